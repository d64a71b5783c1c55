//! Fills the holes of a stream with appends of unknown outcome.

use std::collections::{BTreeMap, BTreeSet};

use super::Batch;
use super::layout::{Layout, Loose, Observer};
use crate::history::OpId;
use crate::models::fold;

/// What comes of filling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filled<'o> {
    /// In this order everything is explained. Appends of unknown outcome that are not here never took
    /// effect.
    Explained { order: Vec<OpId>, steps: u64 },
    /// Nothing explains it. This is how the attempt ended that got furthest, and the operations because of
    /// which some attempt ended.
    Stuck(Stuck<'o>, Vec<OpId>),
    /// It took too many steps.
    OutOfBudget,
}

/// Where the attempt that got furthest ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stuck<'o> {
    /// The length of the stream there.
    pub(crate) position: u64,
    pub(crate) cause: StuckCause<'o>,
    /// Up to where nothing needs to be known of what lies below, because a hash tells it and no hole was
    /// filled since: the observer of that hash and its tail. At the very beginning that needs no observer.
    pub(crate) since: Option<(Option<OpId>, u64)>,
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StuckCause<'o> {
    /// The hash that the observer was told is not that of the records below, which is this.
    Hash { observer: OpId, expected: u64 },
    /// Another token is set than the append demanded.
    Token { append: OpId, set: Option<&'o str> },
    /// The operation was told of records above, but nothing can have put them at this position.
    Hole { end: u64, told: OpId },
}

impl Stuck<'_> {
    /// Whether this is so however holes are filled.
    pub(crate) fn stands_alone(&self) -> bool {
        self.since.is_some() && matches!(self.cause, StuckCause::Hash { .. })
    }
}

impl StuckCause<'_> {
    /// The operation that does not fit.
    pub(crate) fn op(&self) -> OpId {
        match *self {
            Self::Hash { observer, .. } => observer,
            Self::Token { append, .. } => append,
            Self::Hole { told, .. } => told,
        }
    }
}

/// How far the stream has come.
#[derive(Clone, Copy, Debug)]
struct Place<'o> {
    position: u64,
    hash: u64,
    token: Option<&'o str>,
    /// How many of the placed appends and of the observers came so far.
    placed: usize,
    observed: usize,
    /// How long the order is.
    ordered: usize,
    /// See [`Stuck::since`].
    since: Option<(Option<OpId>, u64)>,
}

/// A hole to fill at a place, and the appends that could and were not yet tried, the best one last.
#[derive(Debug)]
struct Choice<'o> {
    place: Place<'o>,
    candidates: Vec<usize>,
    taken: Option<usize>,
}

struct Filling<'l, 'o> {
    layout: &'l Layout<'o>,
    /// For each append of unknown outcome, the number of its batch: equal batches have one number.
    batches: Vec<usize>,
    used: Vec<bool>,
    /// Whether no record is in two of these appends. Then what a hash tells is told of them, too.
    distinct: bool,
    order: Vec<OpId>,
    furthest: Option<Stuck<'o>>,
    /// At which operations attempts ended, or what had returned too early for an append to fill a hole.
    ends: BTreeSet<OpId>,
    steps: u64,
}

/// Fills the holes of `layout`, in at most so many steps.
pub(crate) fn fill<'o>(layout: &Layout<'o>, steps_max: u64) -> Filled<'o> {
    let mut filling = Filling {
        layout,
        batches: number(&layout.loose),
        used: vec![false; layout.loose.len()],
        distinct: are_distinct(&layout.loose),
        order: Vec::with_capacity(layout.placed.len() + layout.observers.len()),
        furthest: None,
        ends: BTreeSet::new(),
        steps: steps_max,
    };
    filling.run(steps_max)
}

fn number(loose: &[Loose<'_>]) -> Vec<usize> {
    let mut known: BTreeMap<(u64, &[u64]), Vec<usize>> = BTreeMap::new();
    let mut numbers = Vec::with_capacity(loose.len());
    for (at, append) in loose.iter().enumerate() {
        let alike = known
            .entry((append.batch.records, append.batch.hashes))
            .or_default();
        let same = alike
            .iter()
            .find(|&&other| loose[other].batch == append.batch);
        numbers.push(same.copied().unwrap_or(at));
        if same.is_none() {
            alike.push(at);
        }
    }
    numbers
}

fn are_distinct(loose: &[Loose<'_>]) -> bool {
    let mut records: Vec<u64> = loose
        .iter()
        .flat_map(|append| append.batch.hashes)
        .copied()
        .collect();
    records.sort_unstable();
    records.windows(2).all(|pair| pair[0] != pair[1])
}

impl<'o> Filling<'_, 'o> {
    fn run(&mut self, steps_max: u64) -> Filled<'o> {
        let mut choices: Vec<Choice<'o>> = Vec::new();
        let mut place = Place {
            position: 0,
            hash: 0,
            token: None,
            placed: 0,
            observed: 0,
            ordered: 0,
            since: Some((None, 0)),
        };
        loop {
            // Up to the next hole everything is forced.
            let stuck = match self.go_on(&mut place, &mut choices) {
                Some(Ok(end)) => {
                    let candidates = self.candidates(&place, end);
                    let stuck = candidates.is_empty().then(|| self.unfillable(&place, end));
                    choices.push(Choice {
                        place,
                        candidates,
                        taken: None,
                    });
                    stuck
                }
                Some(Err(stuck)) => Some(stuck),
                None if self.steps == 0 => return Filled::OutOfBudget,
                None => {
                    return Filled::Explained {
                        order: std::mem::take(&mut self.order),
                        steps: steps_max - self.steps,
                    };
                }
            };
            if let Some(stuck) = stuck {
                if stuck.stands_alone() {
                    return Filled::Stuck(stuck, Vec::new());
                }
                self.ends.insert(stuck.cause.op());
                let furthest = self.furthest.as_ref();
                if furthest.is_none_or(|furthest| furthest.position < stuck.position) {
                    self.furthest = Some(stuck);
                }
            }
            if self.steps == 0 {
                return Filled::OutOfBudget;
            }
            match self.choose(&mut choices) {
                Some(next) => place = next,
                None => {
                    let furthest = self.furthest.take();
                    let furthest = furthest.expect("it has failed somewhere");
                    return Filled::Stuck(furthest, self.ends.iter().copied().collect());
                }
            }
        }
    }

    /// Takes the next candidate of the last choice that has one.
    fn choose(&mut self, choices: &mut Vec<Choice<'o>>) -> Option<Place<'o>> {
        loop {
            let choice = choices.last_mut()?;
            if let Some(taken) = choice.taken.take() {
                self.used[taken] = false;
            }
            self.order.truncate(choice.place.ordered);
            let Some(next) = choice.candidates.pop() else {
                choices.pop();
                continue;
            };
            choice.taken = Some(next);
            self.used[next] = true;
            let append = &self.layout.loose[next];
            let mut place = choice.place;
            place.since = None;
            self.take(&mut place, append.id, append.batch);
            return Some(place);
        }
    }

    fn take(&mut self, place: &mut Place<'o>, id: OpId, batch: Batch<'o>) {
        place.position += batch.records;
        place.hash = fold(place.hash, batch.hashes);
        place.token = batch.sets.or(place.token);
        self.order.push(id);
        place.ordered = self.order.len();
    }

    /// Goes on as long as there is no choice. Returns the end of the hole that it comes to, why it cannot
    /// go on, or nothing at the end of the stream, or of the steps.
    fn go_on(
        &mut self,
        place: &mut Place<'o>,
        choices: &mut Vec<Choice<'o>>,
    ) -> Option<Result<u64, Stuck<'o>>> {
        loop {
            self.steps = self.steps.checked_sub(1)?;
            let (position, since) = (place.position, place.since);
            let stuck = |cause| {
                Some(Err(Stuck {
                    position,
                    cause,
                    since,
                }))
            };
            let next = self.layout.placed.get(place.placed);
            if let Some(observer) = self.layout.observers.get(place.observed)
                && observer.tail == place.position
            {
                if observer.hash.is_some_and(|hash| hash != place.hash) {
                    return stuck(StuckCause::Hash {
                        observer: observer.id,
                        expected: place.hash,
                    });
                }
                if observer.hash.is_some() && self.distinct {
                    // Whatever else could be below has another hash.
                    choices.clear();
                }
                self.observe(place, observer);
                continue;
            }
            let Some(append) = next.filter(|append| append.start == place.position) else {
                let observer = self.layout.observers.get(place.observed);
                let ends = [next.map(|next| next.start), observer.map(|it| it.tail)];
                // The next position of which something is known.
                return ends.into_iter().flatten().min().map(Ok);
            };
            if append.batch.token.is_some() && append.batch.token != place.token {
                return stuck(StuckCause::Token {
                    append: append.id,
                    set: place.token,
                });
            }
            place.placed += 1;
            self.take(place, append.id, append.batch);
        }
    }

    fn observe(&mut self, place: &mut Place<'o>, observer: &Observer) {
        if observer.hash.is_some() {
            place.since = Some((Some(observer.id), observer.tail));
        }
        place.observed += 1;
        self.order.push(observer.id);
        place.ordered = self.order.len();
    }

    /// The appends that can come next at `place`, up to `end`: the best one last.
    fn candidates(&mut self, place: &Place<'o>, end: u64) -> Vec<usize> {
        let room = end - place.position;
        let (latest, who) = self.layout.deadline(end);
        let in_time = self
            .layout
            .loose
            .partition_point(|append| append.invoked < latest);
        if in_time < self.layout.loose.len() {
            self.ends.extend(who);
        }
        let mut candidates = Vec::new();
        let mut batches = Vec::new();
        for (at, append) in self.layout.loose[..in_time].iter().enumerate() {
            let Batch {
                records,
                match_tail,
                token,
                ..
            } = append.batch;
            let fits = !self.used[at]
                && records <= room
                && match_tail.is_none_or(|demanded| demanded == place.position)
                && (token.is_none() || token == place.token);
            if !fits {
                continue;
            }
            // That everything else comes in time is known from the layout.
            let (latest, who) = self.layout.deadline(place.position + records);
            if append.invoked > latest {
                self.ends.extend(who);
                continue;
            }
            // Of equal ones the earliest will do: it can be wherever the others can.
            if !batches.contains(&self.batches[at]) {
                batches.push(self.batches[at]);
                candidates.push(at);
            }
        }
        // First what fills the hole, then the longest; of equally long ones the one that was invoked last,
        // which most likely took effect just now.
        candidates.sort_by_key(|&at| (self.layout.loose[at].batch.records, at));
        candidates
    }

    fn unfillable(&self, place: &Place<'o>, end: u64) -> Stuck<'o> {
        // Somebody was told of what lies above.
        let placed = self.layout.placed.get(place.placed);
        let placed = placed.filter(|append| append.start == end).map(|it| it.id);
        let observer = self.layout.observers.get(place.observed).map(|it| it.id);
        Stuck {
            position: place.position,
            cause: StuckCause::Hole {
                end,
                told: placed.or(observer).expect("something ends the hole"),
            },
            since: place.since,
        }
    }
}
