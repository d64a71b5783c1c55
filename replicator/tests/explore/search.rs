//! All states, breadth first, and the invariants on every step.
//!
//! Besides the components, a state holds what an observer remembers (`Seen`): who was acked, when the new
//! epoch was first seen, what was decided, what was served. The invariants compare the two.

use std::collections::BTreeSet;

use hstore_core::{Ballot, Epoch, Lsn, Precedence};
use hstore_replicator::message::ClientAnswer;

use super::table::mix;
use super::world::{
    AT_S2, Demand, Kind, Limits, LocalAction, Loss, Marks, NOTHING, NTH_AT_S2, NodeView, OFFSETS,
    Part, Parts, Question, World, old,
};

/// A state of the world: components by number, and the observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    parts: Parts,
    seen: Seen,
}

/// What an observer remembers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    /// How many appends were asked of S1.
    appended: u8,
    /// Of these, by bit: asked after the new epoch was seen.
    late: u8,
    /// By offset of the old epoch: acked, or told as that of the last record.
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
    /// S2 was asked.
    asked: bool,
    /// S1 was asked to move the log.
    moving: bool,
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
    /// Steps in which a client was told that its condition does not hold.
    pub(crate) mismatches: u64,
    /// Steps in which S2 told that the record stands in the old epoch.
    pub(crate) duplicates: u64,
    /// Steps in which the log moved.
    pub(crate) moves: u64,
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
    /// See [`Report`].
    mismatches: u64,
    duplicates: u64,
    moves: u64,
    /// Whether steps keep an account of what they consist of.
    keeps_account: bool,
    /// The number of a sequencer at rest.
    at_rest: u32,
}

/// A step from a state: what it consists of, and where it led.
struct Step {
    /// Empty unless accounts are kept.
    account: Vec<(Action, u32)>,
    after: Result<State, String>,
}

/// Walks through all states within `limits`; stops at the first violation.
pub(crate) fn explore(limits: Limits, states_max: usize) -> Report {
    let (search, violation) = walk(limits, states_max);
    search.report(violation)
}

/// How many states there are within `limits`, and how many that differ in more than in what S1 knows and in
/// what is on its way.
pub(crate) fn outlines(limits: Limits, states_max: usize) -> (usize, usize) {
    let (search, _) = walk(limits, states_max);
    let outline = |state: &State| {
        let mut outline = *state;
        outline.parts.sequencers[0] = 0;
        outline.parts.network = 0;
        hash(&outline)
    };
    let outlines: BTreeSet<u64> = search.states.iter().map(outline).collect();
    (search.states.len(), outlines.len())
}

fn walk(limits: Limits, states_max: usize) -> (Search, Option<Violation>) {
    let mut world = World::new(limits);
    let parts = world.initial();
    let mut search = Search {
        limits,
        world,
        states: Vec::new(),
        parents: Vec::new(),
        index: vec![u32::MAX; 1 << 16],
        transitions: 0,
        mismatches: 0,
        duplicates: 0,
        moves: 0,
        keeps_account: false,
        at_rest: parts.sequencers[0],
    };
    let rest = State {
        parts,
        seen: Seen::default(),
    };
    // S1 reigns over epoch 1 when the exploration begins.
    let activate = LocalAction::Activate { sequencer: 0 };
    let choice = search
        .world
        .act(activate, parts.sequencers[0], parts.register);
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
    (search, violation)
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
        let messages = self.world.network(state.parts.network).len();
        for i in 0..messages {
            let message = self.world.network(state.parts.network)[i];
            let choice = self.deliver(state, message);
            if choice != NOTHING {
                self.push_each(state, Action::Deliver(message), choice, steps);
            }
        }
        let seen = state.seen;
        let limits = self.limits;
        let s1 = state.parts.sequencers[0];
        let s1_reigns = !self.world.is_idle(s1);
        if s1_reigns && usize::from(seen.appended) < limits.appends.len() {
            let nth = seen.appended;
            self.act(state, LocalAction::Append { nth }, s1, steps);
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
        if s1_reigns && limits.goal.is_some() {
            if !seen.moving {
                self.act(state, LocalAction::Move, s1, steps);
            }
            let patience = LocalAction::Impatience { sequencer: 0 };
            self.act(state, patience, s1, steps);
        }
        if seen.activated >> 1 & 1 == 1 && !seen.asked && !limits.silent_second {
            self.act(state, LocalAction::AskS2, state.parts.sequencers[1], steps);
        }
        for sequencer in 1..=if limits.third { 2 } else { 1 } {
            let it = state.parts.sequencers[sequencer];
            if seen.activated >> sequencer & 1 == 0 {
                // S3 follows S2, which may be on its way already.
                if self.world.is_idle(it) && (sequencer == 1 || seen.activated >> 1 & 1 == 1) {
                    self.act(state, LocalAction::Activate { sequencer }, it, steps);
                }
            } else if !(self.world.is_idle(it) || sequencer == 1 && limits.silent_second) {
                self.act(state, LocalAction::Impatience { sequencer }, it, steps);
            }
        }
        for node in 0..limits.nodes {
            let it = state.parts.nodes[node];
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

    /// What a delivery may lead to, as a place for [`World::choice`], or [`NOTHING`].
    fn deliver(&mut self, state: &State, message: u16) -> u32 {
        match self.world.receiver(message) {
            Part::Node(node) => self
                .world
                .deliver_to_node(node, state.parts.nodes[node], message),
            Part::Sequencer(sequencer) => {
                let before = state.parts.sequencers[sequencer];
                self.world.deliver_to_sequencer(sequencer, before, message)
            }
            Part::Register { asker } => {
                let (before, register) = (state.parts.sequencers[asker], state.parts.register);
                self.world
                    .deliver_to_register(asker, before, register, message)
            }
        }
    }

    fn act(&mut self, state: &State, action: LocalAction, part: u32, steps: &mut Vec<Step>) {
        // Only an activation speaks to the register.
        let register = match action {
            LocalAction::Activate { .. } => state.parts.register,
            _ => 0,
        };
        let choice = self.world.act(action, part, register);
        self.push_each(state, Action::Local(action), choice, steps);
    }

    fn push_each(&mut self, state: &State, action: Action, choice: u32, steps: &mut Vec<Step>) {
        for i in 0..self.world.choice(choice).len() {
            let outcome = self.world.choice(choice)[i];
            self.push(state, action, outcome, steps);
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
        mut state: State,
        prompt: &[u16],
        account: Vec<(Action, u32)>,
        steps: &mut Vec<Step>,
    ) {
        let Some((&message, others)) = prompt.split_first() else {
            let may_crash = state.seen.crashes < self.limits.crashes;
            state.parts.network = self.world.without_spent(&state.parts, may_crash);
            if self.is_powerless(&state) {
                state.parts.sequencers[0] = self.at_rest;
            }
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
        let choice = self.deliver(&state, message);
        if choice == NOTHING {
            if loss == Loss::Never {
                self.finish(before, state, others, account, steps);
            }
            return;
        }
        for i in 0..self.world.choice(choice).len() {
            let outcome = self.world.choice(choice)[i];
            let mut account = account.clone();
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
    }

    /// The state after an outcome, or the invariant it breaks.
    fn apply(&mut self, state: &State, action: Action, outcome: u32) -> Result<State, String> {
        self.count(outcome);
        let network = self.world.send(state.parts.network, outcome);
        let it = self.world.outcome(outcome);
        let mut after = *state;
        after.parts.network = network;
        after.parts.register = it.register.unwrap_or(state.parts.register);
        let mut changed_node = None;
        match action {
            Action::Deliver(message) => match self.world.receiver(message) {
                Part::Node(node) => changed_node = Some(node),
                Part::Sequencer(at) => after.parts.sequencers[at] = it.after,
                Part::Register { asker } => {
                    after.parts.sequencers[asker] = it.after;
                    // S1 reigns from the beginning.
                    let reigns = asker > 0 && it.marks.activated.is_some();
                    after.seen.activated |= u8::from(reigns) << asker;
                }
            },
            Action::Local(action) => match action {
                LocalAction::Append { nth } => {
                    after.parts.sequencers[0] = it.after;
                    after.seen.appended += 1;
                    after.seen.late |= u8::from(state.seen.observed) << nth;
                }
                LocalAction::Move => {
                    after.parts.sequencers[0] = it.after;
                    after.seen.moving = true;
                }
                LocalAction::AskS2 => {
                    after.parts.sequencers[1] = it.after;
                    after.seen.asked = true;
                }
                LocalAction::TailAtS1 => {
                    after.parts.sequencers[0] = it.after;
                    after.seen.tail_asked = Some(state.seen.observed);
                }
                LocalAction::LateWave | LocalAction::Release => {
                    after.parts.sequencers[0] = it.after
                }
                LocalAction::Activate { sequencer } => {
                    after.parts.sequencers[sequencer] = it.after;
                    after.seen.activated |= 1 << sequencer;
                    after.seen.asked |= sequencer == 1;
                }
                LocalAction::Impatience { sequencer } => {
                    after.parts.sequencers[sequencer] = it.after
                }
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
            after.parts.nodes[node] = it.after;
        }
        match self.observe(&mut after, state, &it.marks, changed_node) {
            None => Ok(after),
            Some(what) => Err(what),
        }
    }

    /// Whether S1, still in the old epoch, can bring about nothing any more, so that it makes no difference
    /// what it knows. There is nothing left that it may be asked, and nothing on its way whose answer it
    /// would hear ([`World::without_spent`]): a store, a question for seals, a change of the register.
    /// Without an answer it sends nothing but what time makes it send, a wave or a release, and tells no
    /// client that anything is so. It may yet give up a move: then it goes on as it is.
    fn is_powerless(&self, state: &State) -> bool {
        let seen = &state.seen;
        let limits = &self.limits;
        let may_be_asked = usize::from(seen.appended) < limits.appends.len()
            || limits.tail_at_s1 && seen.tail_asked.is_none()
            || seen.waves_failed < limits.late_waves
            || limits.releases
            || limits.goal.is_some() && !seen.moving;
        let s1 = self.world.epoch(state.parts.sequencers[0]);
        let network = self.world.network(state.parts.network);
        limits.prompt
            && !limits.keeps_spent
            && !may_be_asked
            && s1 == Some(Epoch(1))
            && !network.iter().any(|&it| self.world.is_of_old_epoch(it))
    }

    fn count(&mut self, outcome: u32) {
        let marks = &self.world.outcome(outcome).marks;
        self.moves += u64::from(marks.moved);
        for (number, answer) in &marks.answers {
            match answer {
                ClientAnswer::Mismatch(_) => self.mismatches += 1,
                ClientAnswer::Appended(lsn) if *number == AT_S2 && lsn.epoch == Epoch(1) => {
                    self.duplicates += 1;
                }
                _ => {}
            }
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
        let views = || (nodes.clone()).map(|node| self.world.view(node, after.parts.nodes[node]));
        // Those that the old epoch may stand on.
        let old_views = || views().take(self.world.old_nodes());
        let copies_needed = usize::from(self.limits.copies);
        let mut seen = after.seen;
        seen.attempts += marks.attempts;
        if self.limits.second_epoch {
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
            && before.parts.nodes[node] != after.parts.nodes[node]
        {
            let old = self.world.view(node, before.parts.nodes[node]);
            let new = self.world.view(node, after.parts.nodes[node]);
            if !old.precedes(new) {
                return Some(format!(
                    "n{node}'s durable seal, promise or last clean epoch went back"
                ));
            }
            for offset in 0..OFFSETS {
                let mut payloads = views().map(|it| it.payloads[offset]).filter(|&it| it != 0);
                let first = payloads.next();
                if payloads.any(|it| Some(it) != first) {
                    let offset = offset + 1;
                    return Some(format!("two records: e1:{offset} has two payloads"));
                }
            }
        }
        let fresh = marks.acked & !seen.acked;
        seen.acked |= fresh;
        for offset in bits(fresh) {
            let copies = old_views().filter(|it| it.durable[offset].is_copy());
            let copies = copies.count();
            if copies < copies_needed && self.limits.white_box {
                return Some(format!(
                    "ack before durable: e1:{} is acked with {copies} durable copies",
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
                        let copies = old_views().filter(|it| it.durable[offset].is_copy());
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
        let payloads: [u8; OFFSETS] =
            std::array::from_fn(|offset| payload(views(), offset).unwrap_or(0));
        for (number, answer) in &marks.answers {
            let broken = self.judge(&seen, &payloads, *number, answer);
            if broken.is_some() {
                return broken;
            }
        }
        if changed_node.is_none() && fresh == 0 && marks.clean.is_none() {
            // Nothing of what follows has changed.
            after.seen = seen;
            return None;
        }
        let record = Kind::Record as u8;
        if let Some(decided) = &seen.decided {
            let broken = self.judge_decided(decided, &payloads);
            if broken.is_some() {
                return broken;
            }
            for (offset, &kind) in decided.iter().enumerate() {
                let lsn = Lsn::new(1, offset as u32 + 1);
                let decided_record = kind == record;
                if seen.acked >> offset & 1 == 1 && !decided_record {
                    return Some(format!("lost: {lsn} was acked and recovered as no record"));
                }
                if decided_record && self.is_late(&seen, payloads[offset]) {
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
                    let copies = old_views().filter(|it| it.durable[offset].is_copy());
                    let readable = old_views().filter(|it| it.durable[offset] == Kind::Record);
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

    // What clients are told.

    /// Whether a record was asked for, and only after the new epoch was seen.
    fn is_late(&self, seen: &Seen, payload: u8) -> bool {
        let asked = self.limits.appends.iter().zip(0..seen.appended);
        let mut asked = asked.filter(|(demand, nth)| demand.payload(*nth) == payload);
        let first = asked.next();
        first.is_some_and(|(_, nth)| seen.late >> nth & 1 == 1)
    }

    /// Compares an answer with what stands, where `payloads` are those of the old epoch.
    fn judge(
        &self,
        seen: &Seen,
        payloads: &[u8; OFFSETS],
        number: u64,
        answer: &ClientAnswer,
    ) -> Option<String> {
        let at_s2 = number == AT_S2;
        let nth = if at_s2 { NTH_AT_S2 } else { number as u8 };
        let demand = match (at_s2, self.limits.at_s2) {
            (true, Question::Append(demand)) => demand,
            (true, Question::Tail) => return None,
            (false, _) => *self.limits.appends.get(usize::from(nth))?,
        };
        let name = char::from(demand.payload(nth));
        let last = seen.decided.map(|decided| last_record(&decided, OFFSETS));
        match answer {
            ClientAnswer::Appended(lsn) if lsn.epoch == Epoch(1) => {
                let offset = lsn.offset.0 as usize - 1;
                let stands = payloads[offset];
                if stands != 0 && stands != demand.payload(nth) {
                    return Some(format!(
                        "told wrongly: '{name}' is said to stand at {lsn}, there stands '{}'",
                        char::from(stands)
                    ));
                }
                if !at_s2 && self.is_late(seen, demand.payload(nth)) {
                    return Some(format!(
                        "order: S1 acked {lsn}, appended after the new epoch had answered"
                    ));
                }
            }
            ClientAnswer::Appended(lsn) => {
                let decided = seen.decided?;
                let twice = (0..OFFSETS).find(|&offset| {
                    decided[offset] == Kind::Record as u8 && payloads[offset] == demand.payload(nth)
                });
                if let Some(offset) = twice {
                    return Some(format!(
                        "twice: '{name}' stands at e1:{} and {lsn}",
                        offset + 1
                    ));
                }
                if let (Demand::LastAt(wanted), Some(last)) = (demand, last)
                    && wanted != last
                    && at_s2
                {
                    return Some(format!(
                        "condition: '{name}' stands at {lsn}, the last record before is {}",
                        place(last)
                    ));
                }
            }
            ClientAnswer::Mismatch(told) => {
                let told = told.last_record;
                if demand == Demand::LastAt(told.offset.0 as u8) && told.epoch <= Epoch(1) {
                    return Some(format!("told wrongly: {told} is no mismatch of '{name}'"));
                }
                if at_s2 && last.is_some_and(|last| old(last) != told) {
                    return Some(format!(
                        "told wrongly: {told} is said to be the last record"
                    ));
                }
                if !at_s2 && seen.late >> nth & 1 == 1 && self.limits.goal.is_none() {
                    return Some(format!(
                        "order: S1 said that {told} is the last record, asked after the new epoch had \
                         answered"
                    ));
                }
            }
            _ => {}
        }
        None
    }

    /// Whether each record of the old epoch, as it was decided, stands as it was to stand.
    fn judge_decided(&self, decided: &[u8; OFFSETS], payloads: &[u8; OFFSETS]) -> Option<String> {
        let is_record = |offset: usize| decided[offset] == Kind::Record as u8;
        for offset in (0..OFFSETS).filter(|&offset| is_record(offset)) {
            let payload = payloads[offset];
            let lsn = Lsn::new(1, offset as u32 + 1);
            let before = last_record(decided, offset);
            let mut earlier = (0..offset).filter(|&it| is_record(it) && payloads[it] == payload);
            if payload != 0
                && let Some(earlier) = earlier.next()
            {
                return Some(format!(
                    "twice: '{}' stands at e1:{} and {lsn}",
                    char::from(payload),
                    earlier + 1
                ));
            }
            for (demand, nth) in self.limits.appends.iter().zip(0..) {
                if let Demand::LastAt(wanted) = *demand
                    && demand.payload(nth) == payload
                    && wanted != before
                {
                    return Some(format!(
                        "condition: {} stands at {lsn}, the last record before is {}",
                        demand.describe(nth),
                        place(before)
                    ));
                }
            }
        }
        None
    }

    // Words.

    fn describe(&self, action: Action, outcome: u32) -> String {
        let what = match action {
            Action::Deliver(message) => self.world.describe_message(message),
            Action::Local(action) => match action {
                LocalAction::Append { nth } => {
                    let what = self.limits.appends[usize::from(nth)].describe(nth);
                    format!("a client appends {what} at S1")
                }
                LocalAction::Move => "a client asks S1 to move the log".to_owned(),
                LocalAction::AskS2 => "a client asks S2 something".to_owned(),
                LocalAction::TailAtS1 => "a client asks S1 for the tail".to_owned(),
                LocalAction::Activate { sequencer } => {
                    format!("S{} activates; a client asks it something", sequencer + 1)
                }
                LocalAction::LateWave => "a wave of S1 is late".to_owned(),
                LocalAction::Release => "S1 releases".to_owned(),
                LocalAction::Impatience { sequencer } => {
                    format!("S{} loses patience", sequencer + 1)
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
            mismatches: self.mismatches,
            duplicates: self.duplicates,
            moves: self.moves,
            components: self.world.sizes(),
            violation,
        }
    }
}

const KINDS: [Kind; 4] = [Kind::Nothing, Kind::Record, Kind::Hole, Kind::Bridge];

/// The payload of the record at an offset, if any node can read one.
fn payload<'a>(mut views: impl Iterator<Item = &'a NodeView>, offset: usize) -> Option<u8> {
    views.find_map(|it| Some(it.payloads[offset]).filter(|&payload| payload != 0))
}

/// The offset of the last record before the one of this index; 0 if there is none.
fn last_record(decided: &[u8; OFFSETS], before: usize) -> u8 {
    let records = (0..before)
        .rev()
        .find(|&it| decided[it] == Kind::Record as u8);
    records.map_or(0, |offset| offset as u8 + 1)
}

/// An offset of the old epoch in words.
fn place(offset: u8) -> String {
    if offset == 0 {
        "none".to_owned()
    } else {
        format!("at e1:{offset}")
    }
}

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
        u8::from(seen.observed)
            | u8::from(seen.opened) << 1
            | u8::from(seen.purged) << 2
            | u8::from(seen.asked) << 3
            | u8::from(seen.moving) << 4,
        seen.tail_asked.map_or(2, u8::from) | seen.served << 4,
        seen.crashes | seen.waves_failed << 4,
        seen.attempts | seen.damages << 4,
        seen.activated | seen.epoch << 4,
    ];
    let parts = [
        u64::from_le_bytes(flags),
        decided,
        two(state.parts.nodes[0], state.parts.nodes[1]),
        two(state.parts.nodes[2], state.parts.nodes[3]),
        two(
            u32::from(seen.winner.0) << 8 | u32::from(seen.winner.1),
            state.parts.sequencers[0],
        ),
        two(state.parts.sequencers[1], state.parts.sequencers[2]),
        two(state.parts.register, state.parts.network),
    ];
    parts
        .into_iter()
        .fold(0, |code, part| mix(code ^ mix(part)).rotate_left(17))
}

fn two(a: u32, b: u32) -> u64 {
    u64::from(a) << 32 | u64::from(b)
}
