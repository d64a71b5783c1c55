//! All states, breadth first, and the invariants on every step.
//!
//! Besides the components, a state holds what an observer remembers (`Seen`): who was acked, when the new
//! epoch was first seen, what was decided, what was served. The invariants compare the two.

use hstore_core::{Ballot, Lsn, Precedence};

use super::table::mix;
use super::world::{
    Kind, Limits, LocalAction, Loss, Marks, NODES, NOTHING, OFFSETS, Part, SEQUENCERS, World,
};

/// A state of the world: components by number, and the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    nodes: [u32; NODES],
    sequencers: [u32; SEQUENCERS],
    register: u32,
    network: u32,
    seen: Seen,
}

/// What an observer remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// Records appended at S1.
    appended: u8,
    /// Of these, by bit: appended after the new epoch was seen.
    late: u8,
    /// Of these, by bit: acked.
    acked: u8,
    /// The new epoch has given an observable answer.
    observed: bool,
    /// S1 was asked for a tail; after the new epoch was seen.
    tail_asked: Option<bool>,
    /// The new epoch is open.
    opened: bool,
    /// What the old epoch came to, once the register counts it as clean.
    decided: Option<[u8; OFFSETS]>,
    /// The attempt that decided it: the epoch it seals up to, and its number.
    winner: (u8, u8),
    /// Up to here some node has let readers read the old epoch before it was clean.
    served: u8,
    crashes: u8,
    damages: u8,
    attempts: u8,
    waves_failed: u8,
    /// Sequencers that activated, by bit.
    activated: u8,
    /// Highest epoch activated.
    epoch: u8,
    purged: bool,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Deliver(u16),
    Local(LocalAction),
}

/// What the exploration found.
pub(crate) struct Report {
    pub(crate) states: usize,
    pub(crate) transitions: u64,
    pub(crate) acked: usize,
    pub(crate) recovered: usize,
    pub(crate) opened: usize,
    pub(crate) crashed: usize,
    pub(crate) damaged: usize,
    pub(crate) observed: usize,
    pub(crate) late: usize,
    pub(crate) holes: usize,
    pub(crate) restarted: usize,
    pub(crate) purged: usize,
    pub(crate) components: String,
    /// The first violation, with the shortest way to it.
    pub(crate) violation: Option<Violation>,
}

/// A broken invariant.
pub(crate) struct Violation {
    pub(crate) what: String,
    pub(crate) trace: Vec<String>,
}

struct Search {
    limits: Limits,
    world: World,
    states: Vec<State>,
    /// For each state, the one it was reached from.
    parents: Vec<u32>,
    /// Open addressing over `states`; `u32::MAX` is free.
    index: Vec<u32>,
    transitions: u64,
    /// Whether steps keep an account of what they consist of.
    keeps_account: bool,
}

/// A step from a state: what it consists of, and where it led.
struct Step {
    /// Empty unless accounts are kept.
    account: Vec<(Action, u32)>,
    after: Result<State, String>,
}

/// Walks through all states within `limits`; stops at the first violation.
pub(crate) fn explore(limits: Limits, states_max: usize) -> Report {
    let mut world = World::new(limits);
    let (nodes, sequencers, register, network) = world.initial();
    let mut search = Search {
        limits,
        world,
        states: Vec::new(),
        parents: Vec::new(),
        index: vec![u32::MAX; 1 << 16],
        transitions: 0,
        keeps_account: false,
    };
    let rest = State {
        nodes,
        sequencers,
        register,
        network,
        seen: Seen::default(),
    };
    // S1 reigns over epoch 1 when the exploration begins.
    let activate = LocalAction::Activate { sequencer: 0 };
    let choice = search.world.act(activate, sequencers[0], register);
    let reigns = search.world.choice(choice)[0];
    let begin = search.apply(&rest, Action::Local(activate), reigns);
    search.insert(begin.expect("the beginning breaks nothing"), u32::MAX);

    let mut violation = None;
    let mut next = 0;
    let mut steps = Vec::new();
    while next < search.states.len() && violation.is_none() {
        let state = search.states[next];
        search.steps(&state, &mut steps);
        search.transitions += steps.len() as u64;
        for step in steps.drain(..) {
            match step.after {
                Ok(after) => search.insert(after, next as u32),
                Err(what) => {
                    let trace = search.trace(next as u32, &Err(what.clone()));
                    violation = Some(Violation { what, trace });
                    break;
                }
            }
        }
        next += 1;
        if std::env::var_os("EXPLORE_PROGRESS").is_some() && next.is_multiple_of(1 << 20) {
            eprintln!(
                "{next} of {} states, {}",
                search.states.len(),
                search.world.sizes()
            );
        }
        assert!(
            search.states.len() <= states_max,
            "the scope is larger than {states_max} states: {}",
            search.world.sizes()
        );
    }
    search.report(violation)
}

impl Search {
    fn insert(&mut self, state: State, parent: u32) {
        if (self.states.len() + 1) * 2 > self.index.len() {
            self.index = vec![u32::MAX; self.index.len() * 2];
            for number in 0..self.states.len() {
                let at = self.slot(&self.states[number]);
                self.index[at] = number as u32;
            }
        }
        let at = self.slot(&state);
        if self.index[at] == u32::MAX {
            self.index[at] = u32::try_from(self.states.len()).expect("fewer than 2^32 states");
            self.states.push(state);
            self.parents.push(parent);
        }
    }

    fn slot(&self, state: &State) -> usize {
        let mask = self.index.len() - 1;
        let mut at = hash(state) as usize & mask;
        while self.index[at] != u32::MAX && self.states[self.index[at] as usize] != *state {
            at = (at + 1) & mask;
        }
        at
    }

    /// Every step that may follow.
    fn steps(&mut self, state: &State, steps: &mut Vec<Step>) {
        let messages = self.world.network(state.network).len();
        for i in 0..messages {
            let message = self.world.network(state.network)[i];
            let outcome = self.deliver(state, message);
            if outcome != NOTHING {
                self.push(state, Action::Deliver(message), outcome, steps);
            }
        }
        let seen = state.seen;
        let limits = self.limits;
        let s1 = state.sequencers[0];
        let s1_reigns = !self.world.is_idle(s1);
        if s1_reigns && seen.appended < limits.records {
            let payload = seen.appended;
            self.act(state, LocalAction::Append { payload }, s1, steps);
        }
        if s1_reigns && limits.tail_at_s1 && seen.tail_asked.is_none() {
            self.act(state, LocalAction::TailAtS1, s1, steps);
        }
        if s1_reigns && seen.appended > 0 {
            if seen.waves_failed < limits.late_waves {
                self.act(state, LocalAction::LateWave, s1, steps);
            }
            if limits.releases {
                self.act(state, LocalAction::Release, s1, steps);
            }
        }
        for sequencer in 1..=if limits.third { 2 } else { 1 } {
            let it = state.sequencers[sequencer];
            if seen.activated >> sequencer & 1 == 0 {
                // S3 follows S2.
                if sequencer == 1 || seen.activated >> 1 & 1 == 1 {
                    self.act(state, LocalAction::Activate { sequencer }, it, steps);
                }
            } else if !(self.world.is_idle(it) || sequencer == 1 && limits.silent_second) {
                self.act(state, LocalAction::Impatience { sequencer }, it, steps);
            }
        }
        for node in 0..limits.nodes {
            let it = state.nodes[node];
            if seen.crashes < limits.crashes {
                self.act(state, LocalAction::Crash { node }, it, steps);
            }
            if seen.damages < limits.damages {
                for offset in 0..OFFSETS {
                    if self.world.view(node, it).held[offset].0 == Kind::Record {
                        self.act(state, LocalAction::Damage { node, offset }, it, steps);
                    }
                }
            }
        }
    }

    fn deliver(&mut self, state: &State, message: u16) -> u32 {
        match self.world.receiver(message) {
            Part::Node(node) => self.world.deliver_to_node(node, state.nodes[node], message),
            Part::Sequencer(sequencer) => {
                let before = state.sequencers[sequencer];
                self.world.deliver_to_sequencer(sequencer, before, message)
            }
            Part::Register { asker } => {
                let (before, register) = (state.sequencers[asker], state.register);
                self.world
                    .deliver_to_register(asker, before, register, message)
            }
        }
    }

    fn act(&mut self, state: &State, action: LocalAction, part: u32, steps: &mut Vec<Step>) {
        // Only an activation speaks to the register.
        let register = match action {
            LocalAction::Activate { .. } => state.register,
            _ => 0,
        };
        let choice = self.world.act(action, part, register);
        for i in 0..self.world.choice(choice).len() {
            let outcome = self.world.choice(choice)[i];
            self.push(state, Action::Local(action), outcome, steps);
        }
    }

    /// Adds the step that begins with an outcome: with each answer that arrives promptly, and without
    /// it where it may be lost.
    fn push(&mut self, state: &State, action: Action, outcome: u32, steps: &mut Vec<Step>) {
        let mut account = Vec::new();
        if self.keeps_account {
            account.push((action, outcome));
        }
        match self.apply(state, action, outcome) {
            Err(what) => steps.push(Step {
                account,
                after: Err(what),
            }),
            Ok(after) => {
                let prompt = self.world.outcome(outcome).prompt.clone();
                self.finish(state, after, &prompt, account, steps);
            }
        }
    }

    fn finish(
        &mut self,
        before: &State,
        state: State,
        prompt: &[u16],
        account: Vec<(Action, u32)>,
        steps: &mut Vec<Step>,
    ) {
        let Some((&message, others)) = prompt.split_first() else {
            let seen = &state.seen;
            let is_within = seen.attempts <= self.limits.attempts
                && seen.waves_failed <= self.limits.late_waves;
            if is_within && state != *before {
                let after = Ok(state);
                steps.push(Step { account, after });
            }
            return;
        };
        let loss = self.world.may_be_lost(message);
        if loss != Loss::Never {
            self.finish(before, state, others, account.clone(), steps);
        }
        if loss == Loss::Certain {
            return;
        }
        let outcome = self.deliver(&state, message);
        if outcome == NOTHING {
            if loss == Loss::Never {
                self.finish(before, state, others, account, steps);
            }
            return;
        }
        let mut account = account;
        if self.keeps_account {
            account.push((Action::Deliver(message), outcome));
        }
        match self.apply(&state, Action::Deliver(message), outcome) {
            Err(what) => steps.push(Step {
                account,
                after: Err(what),
            }),
            Ok(after) => {
                let more = &self.world.outcome(outcome).prompt;
                let prompt = [others, more].concat();
                self.finish(before, after, &prompt, account, steps);
            }
        }
    }

    /// The state after an outcome, or the invariant it breaks.
    fn apply(&mut self, state: &State, action: Action, outcome: u32) -> Result<State, String> {
        let network = self.world.send(state.network, outcome);
        let it = self.world.outcome(outcome);
        let mut after = *state;
        after.network = network;
        after.register = it.register.unwrap_or(state.register);
        let mut changed_node = None;
        match action {
            Action::Deliver(message) => match self.world.receiver(message) {
                Part::Node(node) => changed_node = Some(node),
                Part::Sequencer(at) | Part::Register { asker: at } => {
                    after.sequencers[at] = it.after;
                }
            },
            Action::Local(action) => match action {
                LocalAction::Append { payload } => {
                    after.sequencers[0] = it.after;
                    after.seen.appended += 1;
                    after.seen.late |= u8::from(state.seen.observed) << payload;
                }
                LocalAction::TailAtS1 => {
                    after.sequencers[0] = it.after;
                    after.seen.tail_asked = Some(state.seen.observed);
                }
                LocalAction::LateWave | LocalAction::Release => after.sequencers[0] = it.after,
                LocalAction::Activate { sequencer } => {
                    after.sequencers[sequencer] = it.after;
                    after.seen.activated |= 1 << sequencer;
                }
                LocalAction::Impatience { sequencer } => after.sequencers[sequencer] = it.after,
                LocalAction::Crash { node } => {
                    changed_node = Some(node);
                    after.seen.crashes += 1;
                }
                LocalAction::Damage { node, .. } => {
                    changed_node = Some(node);
                    after.seen.damages += 1;
                }
            },
        }
        if let Some(node) = changed_node {
            after.nodes[node] = it.after;
        }
        match self.observe(&mut after, state, &it.marks, changed_node) {
            None => Ok(after),
            Some(what) => Err(what),
        }
    }

    // The invariants.

    /// Brings the observer up to date, and compares what it remembers with what there is.
    fn observe(
        &self,
        after: &mut State,
        before: &State,
        marks: &Marks,
        changed_node: Option<usize>,
    ) -> Option<String> {
        let nodes = 0..self.limits.nodes;
        let views = || (nodes.clone()).map(|node| self.world.view(node, after.nodes[node]));
        let copies_needed = usize::from(self.limits.copies);
        let mut seen = after.seen;
        seen.attempts += marks.attempts;
        if self.limits.silent_second {
            seen.attempts += marks.attempts_at_second;
        }
        seen.waves_failed += marks.waves_failed;
        seen.opened |= marks.opened;
        seen.purged |= marks.purged;
        seen.observed |= marks.observed;

        if let Some(epoch) = marks.activated {
            let epoch = epoch.0 as u8;
            if epoch <= seen.epoch {
                return Some(format!("two owners: epoch {epoch} was activated twice"));
            }
            seen.epoch = epoch;
        }
        if let Some(node) = changed_node
            && before.nodes[node] != after.nodes[node]
        {
            let old = self.world.view(node, before.nodes[node]);
            let new = self.world.view(node, after.nodes[node]);
            if !old.precedes(new) {
                return Some(format!(
                    "n{node}'s durable seal, promise or last clean epoch went back"
                ));
            }
        }
        let fresh = marks.acked & !seen.acked;
        seen.acked |= fresh;
        for offset in bits(fresh) {
            let copies = views().filter(|it| it.durable[offset].is_copy()).count();
            if copies < copies_needed && self.limits.white_box {
                return Some(format!(
                    "ack before durable: e1:{} is acked with {copies} durable copies",
                    offset + 1
                ));
            }
            if seen.late >> offset & 1 == 1 {
                return Some(format!(
                    "order: S1 acked e1:{}, appended after the new epoch had answered",
                    offset + 1
                ));
            }
        }
        if marks.old_tail && seen.tail_asked == Some(true) {
            return Some("order: S1 answered a tail asked after the new epoch had answered".into());
        }
        if let Some(winner) = marks.clean {
            seen.winner = short(winner);
            let winner = Precedence::of_recovery(winner);
            let decided: [u8; OFFSETS] = std::array::from_fn(|offset| {
                let won = views().find(|it| it.held[offset].1 == winner);
                let kind = won.map_or_else(
                    || {
                        let copies = views().filter(|it| it.durable[offset].is_copy());
                        if copies.count() >= copies_needed {
                            Kind::Record
                        } else {
                            Kind::Nothing
                        }
                    },
                    |it| it.held[offset].0,
                );
                if kind == Kind::Unreadable {
                    Kind::Record as u8
                } else {
                    kind as u8
                }
            });
            if seen.decided.is_some_and(|earlier| earlier != decided) {
                return Some("the old epoch was decided twice, and differently".into());
            }
            seen.decided = Some(decided);
        }
        if changed_node.is_none() && fresh == 0 && marks.clean.is_none() {
            // Nothing of what follows has changed.
            after.seen = seen;
            return None;
        }
        let record = Kind::Record as u8;
        if let Some(decided) = &seen.decided {
            for (offset, &kind) in decided.iter().enumerate() {
                let lsn = Lsn::new(1, offset as u32 + 1);
                let decided_record = kind == record;
                if seen.acked >> offset & 1 == 1 && !decided_record {
                    return Some(format!("lost: {lsn} was acked and recovered as no record"));
                }
                if seen.late >> offset & 1 == 1 && decided_record {
                    return Some(format!(
                        "order: {lsn}, appended after the new epoch had answered, took effect below it"
                    ));
                }
                if offset < usize::from(seen.served) && !decided_record {
                    return Some(format!(
                        "changed: {lsn} was released and recovered as no record"
                    ));
                }
                if decided_record {
                    let copies = views().filter(|it| it.durable[offset].is_copy());
                    let readable = views().filter(|it| it.durable[offset] == Kind::Record);
                    if copies.count() < copies_needed
                        || readable.count() + usize::from(seen.damages) < copies_needed
                    {
                        return Some(format!(
                            "bare: {lsn} of the clean epoch has fewer than {copies_needed} copies"
                        ));
                    }
                }
            }
        }
        for (node, view) in views().enumerate() {
            for offset in 0..OFFSETS {
                let lsn = Lsn::new(1, offset as u32 + 1);
                let serves = match view.serves(offset) {
                    // A reader asks another node.
                    Kind::Unreadable => Kind::Nothing,
                    serves => serves,
                };
                match &seen.decided {
                    Some(decided) => {
                        let held = view.held[offset].0;
                        let is_so = match held {
                            Kind::Nothing => true,
                            Kind::Unreadable => decided[offset] == record,
                            held => decided[offset] == held as u8,
                        };
                        if view.clean.map(short) == Some(seen.winner) && !is_so {
                            return Some(format!(
                                "unclean: n{node} is clean and holds {held:?} at {lsn}, decided is {:?}",
                                KINDS[usize::from(decided[offset])]
                            ));
                        }
                        if serves != Kind::Nothing && serves as u8 != decided[offset] {
                            return Some(format!(
                                "served wrongly: n{node} serves {serves:?} at {lsn}, decided is {:?}",
                                KINDS[usize::from(decided[offset])]
                            ));
                        }
                    }
                    None => {
                        if lsn <= view.readable {
                            if serves == Kind::Hole || serves == Kind::Bridge || offset >= 2 {
                                return Some(format!(
                                    "served too early: n{node} serves {lsn} of an epoch not clean"
                                ));
                            }
                            seen.served = seen.served.max(offset as u8 + 1);
                        }
                    }
                }
            }
        }
        after.seen = seen;
        None
    }

    // Words.

    fn describe(&self, action: Action, outcome: u32) -> String {
        let what = match action {
            Action::Deliver(message) => self.world.describe_message(message),
            Action::Local(action) => match action {
                LocalAction::Append { payload } => {
                    format!("a client appends '{}' at S1", char::from(b'a' + payload))
                }
                LocalAction::TailAtS1 => "a client asks S1 for the tail".to_owned(),
                LocalAction::Activate { sequencer } => {
                    format!("S{} activates; a client asks it something", sequencer + 1)
                }
                LocalAction::LateWave => "a wave of S1 is late".to_owned(),
                LocalAction::Release => "S1 releases".to_owned(),
                LocalAction::Impatience { sequencer } => {
                    format!(
                        "S{} goes on without stragglers, or tries again",
                        sequencer + 1
                    )
                }
                LocalAction::Crash { node } => format!("n{node} loses power and starts again"),
                LocalAction::Damage { node, offset } => {
                    format!(
                        "the copy of e1:{} on n{node} becomes unreadable",
                        offset + 1
                    )
                }
            },
        };
        let led_to = self.world.describe_outcome(outcome);
        let sent: Vec<String> = self
            .world
            .outcome(outcome)
            .sent
            .iter()
            .map(|&message| self.world.describe_message(message))
            .collect();
        let mut text = what;
        if !led_to.is_empty() {
            text += &format!(" => {led_to}");
        }
        if !sent.is_empty() {
            text += &format!(" | sends {}", sent.join(", "));
        }
        text
    }

    /// The shortest way to a state, and a last step from there.
    fn trace(&mut self, state: u32, last: &Result<State, String>) -> Vec<String> {
        self.keeps_account = true;
        let mut way = vec![state];
        while let Some(&last) = way.last()
            && self.parents[last as usize] != u32::MAX
        {
            way.push(self.parents[last as usize]);
        }
        way.reverse();
        let mut trace = Vec::new();
        for at in 0..way.len() {
            let from = self.states[way[at] as usize];
            let to = way.get(at + 1).map(|&to| Ok(self.states[to as usize]));
            let to = to.as_ref().unwrap_or(last);
            let mut steps = Vec::new();
            self.steps(&from, &mut steps);
            let step = steps
                .into_iter()
                .find(|step| step.after == *to)
                .expect("the step was taken before");
            for (action, outcome) in step.account {
                trace.push(self.describe(action, outcome));
            }
        }
        trace
    }

    fn report(&self, violation: Option<Violation>) -> Report {
        let count = |which: fn(&Seen) -> bool| {
            self.states
                .iter()
                .filter(|state| which(&state.seen))
                .count()
        };
        Report {
            states: self.states.len(),
            transitions: self.transitions,
            acked: count(|seen| seen.acked != 0),
            recovered: count(|seen| seen.decided.is_some()),
            opened: count(|seen| seen.opened),
            crashed: count(|seen| seen.crashes > 0),
            damaged: count(|seen| seen.damages > 0),
            observed: count(|seen| seen.observed),
            late: count(|seen| seen.late != 0),
            holes: count(|seen| {
                seen.decided
                    .is_some_and(|it| it.contains(&(Kind::Hole as u8)))
            }),
            restarted: count(|seen| seen.attempts > 1),
            purged: count(|seen| seen.purged),
            components: self.world.sizes(),
            violation,
        }
    }
}

const KINDS: [Kind; 4] = [Kind::Nothing, Kind::Record, Kind::Hole, Kind::Bridge];

/// A ballot of a small world.
fn short(ballot: Ballot) -> (u8, u8) {
    (ballot.seal.0 as u8, ballot.attempt as u8)
}

fn bits(mask: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |bit| mask >> bit & 1 == 1)
}

fn hash(state: &State) -> u64 {
    let seen = &state.seen;
    let decided = seen.decided.map_or(0xff, |it| {
        it.iter()
            .fold(0_u64, |code, &kind| code << 2 | u64::from(kind))
    });
    let flags = [
        seen.appended,
        seen.late,
        seen.acked,
        u8::from(seen.observed) | u8::from(seen.opened) << 1 | u8::from(seen.purged) << 2,
        seen.tail_asked.map_or(2, u8::from) | seen.served << 4,
        seen.crashes | seen.waves_failed << 4,
        seen.attempts | seen.damages << 4,
        seen.activated | seen.epoch << 4,
    ];
    let parts = [
        u64::from_le_bytes(flags),
        decided,
        two(state.nodes[0], state.nodes[1]),
        two(state.nodes[2], state.nodes[3]),
        two(
            u32::from(seen.winner.0) << 8 | u32::from(seen.winner.1),
            state.sequencers[0],
        ),
        two(state.sequencers[1], state.sequencers[2]),
        two(state.register, state.network),
    ];
    parts
        .into_iter()
        .fold(0, |code, part| mix(code ^ mix(part)).rotate_left(17))
}

fn two(a: u32, b: u32) -> u64 {
    u64::from(a) << 32 | u64::from(b)
}
