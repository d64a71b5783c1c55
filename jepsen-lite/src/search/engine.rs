//! The search itself. Why it loses nothing is told in the [module](super)'s documentation.

use std::hash::Hash;

use super::configurations::{ConfigurationId, Configurations, Via};
use super::foresight::Foreseen;
use super::model::Model;
use super::replay::replay;
use super::states::{StateId, States, Step};
use super::timeline::{Event, OpIndex, Timeline, contains, insert, remove, slots};
use crate::history::OpId;

/// An operation with its answer and its interval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timed<O> {
    /// Which one it is. No other of the search has this number.
    pub id: OpId,
    /// What it does.
    pub op: O,
    /// Whether it may also never take effect.
    pub optional: bool,
    /// The edge from which on it can take effect, see
    /// [`Intervals::invocation_edge`](crate::history::Intervals::invocation_edge).
    pub invoked: u64,
    /// The edge up to which it can: one operation precedes another iff its deadline is less than the
    /// other's `invoked`. `u64::MAX` if it never returned. Greater than `invoked`.
    pub deadline: u64,
}

/// How much work a search may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// How many operations may be tried, each in one configuration.
    pub steps: u64,
    /// How many configurations may be kept. One takes 28 bytes and a bit for each operation that can be open
    /// with others at once (by 64), and its state and steps come on top: some hundred bytes.
    pub configurations: u32,
}

/// Enough for minutes, and for a gigabyte or two.
impl Default for Budget {
    fn default() -> Self {
        Self {
            steps: 1_000_000_000,
            configurations: 8_000_000,
        }
    }
}

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// How many steps it made.
    pub steps: u64,
    /// The furthest event that some order reached.
    pub events: usize,
    /// How many events there are.
    pub events_total: usize,
}

/// Lets every search go on.
#[must_use]
pub fn unwatched(_: Progress) -> bool {
    true
}

/// What a search found.
#[derive(Clone, Debug)]
pub enum Searched<S> {
    /// There is an order. It was replayed.
    Linearizable {
        /// The operations, each when it takes effect; optional ones that are not in it never do.
        order: Vec<OpId>,
        /// How many steps that took.
        steps: u64,
    },
    /// There is none.
    Illegal(Box<Blame<S>>),
    /// The budget ran out before either was known.
    OutOfBudget {
        /// How many steps were made.
        steps: u64,
    },
    /// The watcher said so.
    Interrupted {
        /// How many steps were made.
        steps: u64,
    },
}

/// Why there is no order: how far one can get, and what stops it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blame<S> {
    /// The operation whose return ends the shortest illegal beginning of the history: what came before
    /// it can be explained, but not together with its answer.
    pub op: OpId,
    /// The last operation of this search that returned before that.
    pub previous_ok: Option<OpId>,
    /// What was possible just before that return: a few at most, each with another state. Empty if
    /// that would have taken too long to find.
    pub possible: Vec<Possible<S>>,
    /// A longest legal order.
    pub order: Vec<OpId>,
    /// Whether [`op`](Self::op) is known to be the first one that cannot be explained. If not, it may be
    /// a later one: the budget ran out before that was known.
    pub is_exact: bool,
    /// How many steps the search took.
    pub steps: u64,
}

/// A way things may stand at some event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Possible<S> {
    /// The state.
    pub state: S,
    /// The operations that took effect already, although they return only after that event.
    pub ahead: Vec<OpId>,
}

/// The most that [`Blame::possible`] shows.
const POSSIBLE_MAX: usize = 8;

/// So many steps are not too many for [`Blame::possible`].
const POSSIBLE_STEPS: u64 = 50_000;

/// The watcher is asked once in so many steps.
const WATCH_STEPS: u64 = 4096;

/// Looks for an order of the operations that the model allows and that keeps to their intervals.
///
/// `watch` is asked now and then whether to go on. Panics if two operations have one number, if a deadline is
/// not after its invocation, or if the model breaks its promises.
pub fn search<M: Model>(
    model: &M,
    ops: &[Timed<M::Op>],
    budget: Budget,
    watch: &dyn Fn(Progress) -> bool,
) -> Searched<M::State> {
    let foreseen = Foreseen::new(model, ops, None);
    let mut search = Search::new(model, &foreseen, budget);
    let end = search.run(watch);
    let steps = search.steps;
    match end {
        End::Found(last) => {
            let order = search.order(last);
            if let Err(error) = replay(model, ops, &order) {
                panic!("the search found an order that is none: {error}");
            }
            Searched::Linearizable { order, steps }
        }
        End::Exhausted => {
            let mut blame = search.blame(ops);
            let is_exact = !search.was_hopeless;
            drop(search);
            drop(foreseen);
            if !is_exact {
                blame = exact_blame(model, ops, blame, budget, watch);
            }
            Searched::Illegal(Box::new(blame))
        }
        End::OutOfBudget => Searched::OutOfBudget { steps },
        End::Interrupted => Searched::Interrupted { steps },
    }
}

/// Whether there is no order, and the steps of the search; `None` if the budget ran out before that was known.
pub(super) fn is_illegal<M: Model>(
    model: &M,
    ops: &[Timed<M::Op>],
    budget: Budget,
) -> (Option<bool>, u64) {
    let foreseen = Foreseen::new(model, ops, None);
    let mut search = Search::new(model, &foreseen, budget);
    let is_illegal = match search.run(&unwatched) {
        End::Found(_) => Some(false),
        End::Exhausted => Some(true),
        End::OutOfBudget | End::Interrupted => None,
    };
    (is_illegal, search.steps)
}

/// Finds the operation to blame where looking ahead ended the orders before they could reach it.
///
/// Beginnings of the history, in which what did not return yet is optional, are illegal from the blamed return
/// on. So it is found by doubling and halving, from the furthest return that was reached.
fn exact_blame<M: Model>(
    model: &M,
    ops: &[Timed<M::Op>],
    reached: Blame<M::State>,
    budget: Budget,
    watch: &dyn Fn(Progress) -> bool,
) -> Blame<M::State> {
    let mut returns: Vec<OpIndex> = (0..ops.len()).filter(|&op| !ops[op].optional).collect();
    returns.sort_unstable_by_key(|&op| (ops[op].deadline, op));
    let reached_op = ops.iter().position(|op| op.id == reached.op);
    let reached_op = reached_op.expect("it is one of them");
    let rank = |op: OpIndex| (ops[op].deadline, op);
    let first = returns.partition_point(|&op| rank(op) < rank(reached_op));
    // Everything before `low` can be explained, not everything up to `high`.
    let (mut low, mut high) = (first, returns.len() - 1);
    let (mut is_bracketed, mut stride) = (false, 0);
    // What explains everything before `low`, if that is not what was reached.
    let mut explained = None;
    while !is_bracketed || low < high {
        let end = if is_bracketed {
            low + (high - low) / 2
        } else {
            (first + stride).min(high)
        };
        let beginning = beginning(model, ops, returns[end]);
        let foreseen = Foreseen::new(model, &beginning, None);
        let mut search = Search::new(model, &foreseen, budget);
        match search.run(watch) {
            End::Found(last) => {
                low = end + 1;
                explained = Some(search.order(last));
            }
            End::Exhausted => {
                high = end;
                is_bracketed = true;
            }
            End::OutOfBudget | End::Interrupted => {
                let unproved = Blame {
                    is_exact: false,
                    ..reached
                };
                return match explained {
                    None => unproved,
                    Some(order) => Blame {
                        op: ops[returns[low]].id,
                        previous_ok: Some(ops[returns[low - 1]].id),
                        possible: Vec::new(),
                        order,
                        ..unproved
                    },
                };
            }
        }
        stride = 2 * stride + 1;
    }
    // Its return must be reached, so it is not looked ahead to: this finds all that was possible before it, or
    // some of it. A few steps for each operation lead there; the rest is for people, and not worth more than what
    // the search took.
    let beginning = beginning(model, ops, returns[low]);
    let exempt = beginning
        .iter()
        .position(|op| op.id == ops[returns[low]].id);
    let steps = reached.steps.saturating_add(8 * ops.len() as u64);
    let budget = Budget {
        steps: steps.max(POSSIBLE_STEPS),
        ..budget
    };
    let foreseen = Foreseen::new(model, &beginning, exempt);
    let mut search = Search::new(model, &foreseen, budget);
    search.run(watch);
    let mut blame = search.blame(&beginning);
    let op = ops[returns[low]].id;
    if blame.op != op {
        blame.possible.clear();
        blame.order = explained.unwrap_or(blame.order);
    }
    Blame {
        op,
        previous_ok: low.checked_sub(1).map(|previous| ops[returns[previous]].id),
        steps: reached.steps,
        ..blame
    }
}

/// The history up to a return. What did not return by then may still take effect; what would only look then says
/// nothing.
fn beginning<M: Model>(model: &M, ops: &[Timed<M::Op>], end: OpIndex) -> Vec<Timed<M::Op>> {
    let rank = |op: OpIndex| (ops[op].deadline, op);
    let mut beginning = Vec::new();
    for (index, op) in ops.iter().enumerate() {
        if rank(index) <= rank(end) {
            beginning.push(op.clone());
        } else if op.invoked < ops[end].deadline && !model.observes(&op.op) {
            beginning.push(Timed {
                optional: true,
                deadline: u64::MAX,
                ..op.clone()
            });
        }
    }
    beginning
}

enum End {
    Found(ConfigurationId),
    Exhausted,
    OutOfBudget,
    Interrupted,
}

struct Search<'a, M: Model> {
    model: &'a M,
    ops: &'a [Timed<M::Op>],
    foreseen: &'a Foreseen<'a, M::Op>,
    budget: Budget,
    timeline: Timeline,
    states: States<'a, M>,
    visited: Configurations,
    /// The first configuration at the furthest place.
    furthest: ConfigurationId,
    steps: u64,
    /// How many observers to come are asked about: more, the harder the search turns out to be.
    lookahead: usize,
    /// After how many steps it is twice as many.
    look_further_at: u64,
    /// Whether looking ahead ended some order, or may have.
    was_hopeless: bool,
    /// The set of a configuration that is being made.
    set: Vec<u64>,
    /// By class and whether optional with a deadline, the operation to try, and the expansion that it is of.
    first_of_class: Vec<(u64, OpIndex)>,
    expansions: u64,
}

/// A configuration whose continuations are being tried.
struct Frame {
    configuration: ConfigurationId,
    stage: Stage,
    /// Where its operations begin on the stack of those left to try.
    base: usize,
}

/// What to try next.
#[derive(Clone, Copy)]
enum Stage {
    /// To leave out the operation that returns, if that may be.
    Skip,
    /// To let it take effect.
    Returning,
    /// To find the others.
    Others,
    /// The others, from the stack.
    Pop,
}

impl<'a, M: Model> Search<'a, M>
where
    M::Op: Eq + Hash,
{
    fn new(model: &'a M, foreseen: &'a Foreseen<'a, M::Op>, budget: Budget) -> Self {
        let ops = &*foreseen.ops;
        let is_left_out = |op| foreseen.is_left_out(op);
        let timeline = Timeline::new(ops, |op| model.observes(op), is_left_out);
        let classes = timeline.facts.iter().map(|facts| facts.class as usize + 1);
        let classes = classes.max().unwrap_or(0);
        Self {
            model,
            ops,
            foreseen,
            budget,
            states: States::new(model),
            visited: Configurations::new(timeline.words, timeline.required_words),
            furthest: 0,
            steps: 0,
            lookahead: model.lookahead(),
            look_further_at: 2 * ops.len() as u64 + 1,
            was_hopeless: foreseen.concludes(),
            set: vec![0; timeline.words],
            first_of_class: vec![(0, 0); 2 * classes],
            expansions: 0,
            timeline,
        }
    }

    fn run(&mut self, watch: &dyn Fn(Progress) -> bool) -> End {
        let mut frames: Vec<Frame> = Vec::new();
        let mut left: Vec<OpIndex> = Vec::new();
        self.arrive(States::<M>::INITIAL, &mut |_| {});
        let mut next = self.keep(States::<M>::INITIAL, Via::Start);
        if self.foreseen.is_illegal {
            self.was_hopeless = true;
            return End::Exhausted;
        }
        loop {
            if let Some(configuration) = next.take() {
                if self.timeline.event().is_none() {
                    return End::Found(configuration);
                }
                if self.visited.len() >= self.budget.configurations as usize {
                    return End::OutOfBudget;
                }
                frames.push(Frame {
                    configuration,
                    stage: Stage::Skip,
                    base: left.len(),
                });
            }
            let Some(frame) = frames.last_mut() else {
                return End::Exhausted;
            };
            let configuration = frame.configuration;
            let row = self.visited.row(configuration);
            self.timeline.seek(row.place as usize);
            let Some(Event::Return(returning)) = self.timeline.event() else {
                unreachable!("configurations stand before returns");
            };
            let facts = self.timeline.facts[returning];
            let via = match frame.stage {
                Stage::Skip => {
                    frame.stage = Stage::Returning;
                    if facts.optional {
                        Via::Skip(configuration)
                    } else if self.step(row.state, returning) == Step::Hopeless {
                        frames.pop();
                        continue;
                    } else {
                        continue;
                    }
                }
                Stage::Returning => {
                    frame.stage = Stage::Others;
                    if facts.observes {
                        // It would have been linearized on arrival.
                        continue;
                    }
                    Via::Op(configuration, returning)
                }
                Stage::Others => {
                    frame.stage = Stage::Pop;
                    // It is looked further ahead than when this was reached.
                    self.set.copy_from_slice(self.visited.set(configuration));
                    if self.is_hopeless(row.state) {
                        frames.pop();
                        continue;
                    }
                    self.others(configuration, returning, &mut left);
                    continue;
                }
                Stage::Pop if left.len() > frame.base => {
                    let op = left.pop().expect("there are more than none");
                    Via::Op(configuration, op)
                }
                Stage::Pop => {
                    frames.pop();
                    continue;
                }
            };
            if self.steps == self.budget.steps {
                return End::OutOfBudget;
            }
            self.steps += 1;
            if self.steps == self.look_further_at {
                self.lookahead *= 2;
                self.look_further_at *= 2;
            }
            if self.steps.is_multiple_of(WATCH_STEPS) && !watch(self.progress()) {
                return End::Interrupted;
            }
            next = self.advance(row.state, returning, via);
        }
    }

    fn progress(&self) -> Progress {
        Progress {
            steps: self.steps,
            events: self.visited.row(self.furthest).place as usize,
            events_total: self.timeline.len(),
        }
    }

    fn step(&mut self, state: StateId, op: OpIndex) -> Step {
        let facts = &self.timeline.facts[op];
        self.states
            .step(state, facts.class, facts.observes, &self.ops[op].op)
    }

    /// Makes the configuration to which `via` leads, unless that is illegal, needless or known.
    fn advance(&mut self, state: StateId, returning: OpIndex, via: Via) -> Option<ConfigurationId> {
        let to = match via {
            Via::Start => unreachable!("nothing leads to the first configuration"),
            Via::Skip(from) => {
                self.set.copy_from_slice(self.visited.set(from));
                self.timeline.forward();
                state
            }
            Via::Op(from, op) => {
                let Step::To(to) = self.step(state, op) else {
                    return None;
                };
                if self.is_too_early(from, op) {
                    self.was_hopeless = true;
                    return None;
                }
                if op == returning {
                    if self.is_hasty(from, op, to) {
                        return None;
                    }
                } else if to == state && self.timeline.facts[op].optional
                    || self.is_overwritten(from, op, to)
                {
                    return None;
                }
                self.set.copy_from_slice(self.visited.set(from));
                insert(&mut self.set, self.timeline.facts[op].slot);
                to
            }
        };
        self.arrive(to, &mut |_| {});
        if self.is_hopeless(to) {
            return None;
        }
        self.keep(to, via)
    }

    /// Whether something did not take effect yet that does before `op` in every legal order.
    fn is_too_early(&self, from: ConfigurationId, op: OpIndex) -> bool {
        let set = self.visited.set(from);
        let mut before = self.foreseen.before(op);
        before.any(|earlier| self.timeline.is_pending(earlier, set))
    }

    /// Whether an observer that is open or will be can never be legal after this state.
    fn is_hopeless(&mut self, state: StateId) -> bool {
        let is_hopeless = self.lookahead > 0 && self.sees_hopeless(state);
        self.was_hopeless |= is_hopeless;
        is_hopeless
    }

    fn sees_hopeless(&mut self, state: StateId) -> bool {
        for word in 0..self.timeline.required_words {
            let open = self.timeline.observers[word] & !self.set[word];
            for slot in slots(word, open) {
                let op = self.timeline.owner(slot);
                if self.foreseen.exempt != Some(op) && self.step(state, op) == Step::Hopeless {
                    return true;
                }
            }
        }
        (0..self.timeline.coming(self.lookahead).len()).any(|coming| {
            let op = self.timeline.coming(self.lookahead)[coming];
            self.foreseen.exempt != Some(op) && self.step(state, op) == Step::Hopeless
        })
    }

    /// Linearizes the observers that are legal in this state, and goes on to the next return of an
    /// operation that is not linearized. `seen` gets those observers.
    fn arrive(&mut self, state: StateId, seen: &mut dyn FnMut(OpIndex)) {
        for word in 0..self.timeline.words {
            let waiting = self.timeline.observers[word] & !self.set[word];
            for slot in slots(word, waiting) {
                let op = self.timeline.owner(slot);
                self.observe(state, op, seen);
            }
        }
        while let Some(event) = self.timeline.event() {
            match event {
                Event::Invoke(op) => {
                    self.timeline.forward();
                    if self.timeline.facts[op].observes {
                        self.observe(state, op, seen);
                    }
                }
                Event::Return(op) => {
                    let slot = self.timeline.facts[op].slot;
                    if !contains(&self.set, slot) {
                        return;
                    }
                    remove(&mut self.set, slot);
                    self.timeline.forward();
                }
            }
        }
    }

    fn observe(&mut self, state: StateId, op: OpIndex, seen: &mut dyn FnMut(OpIndex)) {
        if let Step::To(_) = self.step(state, op) {
            insert(&mut self.set, self.timeline.facts[op].slot);
            seen(op);
        }
    }

    fn keep(&mut self, state: StateId, via: Via) -> Option<ConfigurationId> {
        let place = self.timeline.place();
        let kept = self.visited.visit(place, state, &self.set, via)?;
        if place > self.visited.row(self.furthest).place as usize {
            self.furthest = kept;
        }
        Some(kept)
    }

    /// Pushes the open operations other than `returning` that are worth a try, the best last.
    fn others(&mut self, from: ConfigurationId, returning: OpIndex, left: &mut Vec<OpIndex>) {
        self.expansions += 1;
        let base = left.len();
        let family = |op: OpIndex| {
            let facts = &self.timeline.facts[op];
            let expires = facts.optional && facts.deadline != u64::MAX;
            2 * facts.class as usize + usize::from(expires)
        };
        self.first_of_class[family(returning)] = (self.expansions, returning);
        // Among those that never return, the set of those used is then always a beginning of their class.
        let rank = |op: OpIndex| (self.timeline.facts[op].deadline, op);
        for word in 0..self.timeline.words {
            let open = self.timeline.effects[word] & !self.visited.set(from)[word];
            for slot in slots(word, open) {
                let op = self.timeline.owner(slot);
                let first = &mut self.first_of_class[family(op)];
                if first.0 != self.expansions {
                    *first = (self.expansions, op);
                    left.push(op);
                } else if first.1 != returning && rank(op) < rank(first.1) {
                    let worse = std::mem::replace(&mut first.1, op);
                    let place = left[base..].iter().rposition(|&other| other == worse);
                    left[base + place.expect("it was pushed")] = op;
                }
            }
        }
        left[base..].sort_unstable_by_key(|&op| std::cmp::Reverse(rank(op)));
    }

    /// Whether one of the operations that were linearized for the sake of `returning`, which leads to
    /// `end`, could as well have come right after it, or not at all.
    fn is_hasty(&mut self, from: ConfigurationId, returning: OpIndex, end: StateId) -> bool {
        let place = self.visited.row(from).place;
        // From the last one back to the first: the configurations after them, and they themselves.
        let mut suffix: Vec<(ConfigurationId, OpIndex)> = Vec::new();
        let mut after = from;
        while let Via::Op(before, hasty) = self.visited.via(after) {
            if self.visited.row(before).place != place {
                break;
            }
            if !self.has_observers(before, after, hasty)
                && self.is_needless(before, &suffix, returning, hasty, end)
            {
                return true;
            }
            suffix.push((after, hasty));
            after = before;
        }
        false
    }

    /// Whether the optional operation that led to `from` left nothing behind, now that `op` leads on to
    /// `to`. Then it is not needed, and the way without it is tried, too.
    fn is_overwritten(&mut self, from: ConfigurationId, op: OpIndex, to: StateId) -> bool {
        let Via::Op(before, last) = self.visited.via(from) else {
            return false;
        };
        let row = self.visited.row(before);
        row.place == self.visited.row(from).place
            && self.timeline.facts[last].optional
            && !self.has_observers(before, from, last)
            && self.step(row.state, op) == Step::To(to)
    }

    /// Whether observers were linearized after the operation that leads from `before` to `after`.
    fn has_observers(&self, before: ConfigurationId, after: ConfigurationId, op: OpIndex) -> bool {
        let slot = self.timeline.facts[op].slot;
        let (before, after) = (self.visited.set(before), self.visited.set(after));
        let mut words = before.iter().zip(after).enumerate();
        words.any(|(word, (before, after))| {
            let is_here = (slot / 64) as usize == word;
            after & !before & !(u64::from(is_here) << (slot % 64)) != 0
        })
    }

    /// Goes from `before` without `hasty`, and does it in the end.
    fn is_needless(
        &mut self,
        before: ConfigurationId,
        suffix: &[(ConfigurationId, OpIndex)],
        returning: OpIndex,
        hasty: OpIndex,
        end: StateId,
    ) -> bool {
        let mut state = self.visited.row(before).state;
        for &(after, op) in suffix.iter().rev() {
            let Step::To(to) = self.step(state, op) else {
                return false;
            };
            state = to;
            let Via::Op(without, _) = self.visited.via(after) else {
                unreachable!("an operation leads there");
            };
            let slot = self.timeline.facts[op].slot;
            for word in 0..self.timeline.words {
                let mut new = self.visited.set(after)[word] & !self.visited.set(without)[word];
                if (slot / 64) as usize == word {
                    new &= !(1 << (slot % 64));
                }
                for slot in slots(word, new) {
                    let observer = self.timeline.owner(slot);
                    if self.step(state, observer) != Step::To(state) {
                        return false;
                    }
                }
            }
        }
        let Step::To(state) = self.step(state, returning) else {
            return false;
        };
        let is_optional = self.timeline.facts[hasty].optional;
        is_optional && state == end || self.step(state, hasty) == Step::To(end)
    }

    /// The order by which a configuration was reached.
    fn order(&mut self, last: ConfigurationId) -> Vec<OpId> {
        let mut way = Vec::new();
        let mut at = last;
        loop {
            let via = self.visited.via(at);
            way.push((self.visited.row(at).state, via));
            match via {
                Via::Start => break,
                Via::Op(from, _) | Via::Skip(from) => at = from,
            }
        }
        let mut order = Vec::new();
        self.timeline.seek(0);
        self.set.fill(0);
        for (state, via) in way.into_iter().rev() {
            match via {
                Via::Start => {}
                Via::Skip(_) => self.timeline.forward(),
                Via::Op(_, op) => {
                    order.push(self.ops[op].id);
                    insert(&mut self.set, self.timeline.facts[op].slot);
                }
            }
            let ops = self.ops;
            self.arrive(state, &mut |op| order.push(ops[op].id));
        }
        order
    }

    /// How far it came. `told` are the operations as they were told.
    fn blame(&mut self, told: &[Timed<M::Op>]) -> Blame<M::State> {
        let place = self.visited.row(self.furthest).place as usize;
        let order = self.order(self.furthest);
        self.timeline.seek(place);
        let Some(Event::Return(op)) = self.timeline.event() else {
            unreachable!("every configuration stands before a return, or the search ends");
        };
        let mut shown: Vec<(ConfigurationId, StateId)> = Vec::new();
        for configuration in self.visited.at(place) {
            let state = self.visited.row(configuration).state;
            if shown.len() == POSSIBLE_MAX {
                break;
            }
            if shown.iter().all(|&(_, other)| other != state) {
                shown.push((configuration, state));
            }
        }
        let possible = shown.into_iter().map(|(configuration, state)| {
            let state = if self.foreseen.has_stand_ins() {
                let order = self.order(configuration);
                self.timeline.seek(place);
                state_after(self.model, told, &order)
            } else {
                self.states.get(state).clone()
            };
            let set = self.visited.set(configuration).iter().enumerate();
            let ahead = set.flat_map(|(word, &bits)| slots(word, bits));
            let ahead = ahead.map(|slot| self.ops[self.timeline.owner(slot)].id);
            Possible {
                state,
                ahead: ahead.collect(),
            }
        });
        let possible = possible.collect();
        let mut before = (0..place).rev();
        let previous_ok = before.find_map(|place| match self.timeline.event_at(place) {
            Some(Event::Return(op)) if !self.ops[op].optional => Some(self.ops[op].id),
            _ => None,
        });
        Blame {
            op: self.ops[op].id,
            previous_ok,
            possible,
            order,
            is_exact: true,
            steps: self.steps,
        }
    }
}

/// Where a legal order of some of the operations leads.
fn state_after<M: Model>(model: &M, ops: &[Timed<M::Op>], order: &[OpId]) -> M::State {
    let mut by_id: Vec<&Timed<M::Op>> = ops.iter().collect();
    by_id.sort_unstable_by_key(|op| op.id);
    order.iter().fold(model.initial(), |state, id| {
        let at = by_id.binary_search_by_key(id, |op| op.id);
        let op = &by_id[at.expect("orders are of these operations")].op;
        let next = model.step(&state, op);
        next.expect("what stands for operations is legal where they are")
    })
}
