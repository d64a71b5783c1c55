//! The events of a history in order, and which operations are open at a place among them.
//!
//! Each operation has a *slot*, a bit in the sets of open operations: no two that are open at once share
//! one. Those that must take effect come first, in words of their own, then the optional ones.

use super::engine::Timed;
use super::states::{Class, classes};

/// The number of an operation among those that the search was given.
pub(super) type OpIndex = usize;

/// What happens at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Invoke(OpIndex),
    /// From here on it did take effect, or, if it is optional, never will.
    Return(OpIndex),
}

/// What the search needs to know of an operation, apart from the operation itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) class: Class,
    pub(super) slot: u32,
    pub(super) deadline: u64,
    pub(super) optional: bool,
    pub(super) observes: bool,
    /// The places just behind its invocation and its return; beyond all others if there is no such event.
    opened: u32,
    closed: u32,
}

/// The events, and a cursor among them.
pub(super) struct Timeline {
    pub(super) facts: Vec<Facts>,
    events: Vec<Event>,
    /// How many words of a set hold operations that must take effect.
    pub(super) required_words: usize,
    /// How many words a set has.
    pub(super) words: usize,
    place: usize,
    /// The observers by invocation, and how many of them were invoked.
    all_observers: Vec<OpIndex>,
    invoked: usize,
    /// By slot, the operation that had it last up to the place of the cursor. Right for slots in use.
    owner: Vec<OpIndex>,
    /// The open operations that observe, and those that do not.
    pub(super) observers: Vec<u64>,
    pub(super) effects: Vec<u64>,
}

impl Timeline {
    /// The events of `ops`, without those that `is_left_out`.
    pub(super) fn new<O: Eq + std::hash::Hash>(
        ops: &[Timed<O>],
        observes: impl Fn(&O) -> bool,
        is_left_out: impl Fn(OpIndex) -> bool,
    ) -> Self {
        let mut timeline = Self {
            facts: Vec::with_capacity(ops.len()),
            events: Vec::with_capacity(2 * ops.len()),
            required_words: 0,
            words: 0,
            place: 0,
            all_observers: Vec::new(),
            invoked: 0,
            owner: Vec::new(),
            observers: Vec::new(),
            effects: Vec::new(),
        };
        let mut edges: Vec<(u64, bool, OpIndex)> = Vec::with_capacity(2 * ops.len());
        for (index, (op, class)) in ops
            .iter()
            .zip(classes(ops.iter().map(|op| &op.op)))
            .enumerate()
        {
            assert!(
                op.invoked < op.deadline,
                "{} has a deadline before its invocation",
                op.id
            );
            timeline.facts.push(Facts {
                class,
                slot: u32::MAX,
                deadline: op.deadline,
                optional: op.optional,
                observes: observes(&op.op),
                opened: u32::MAX,
                closed: u32::MAX,
            });
            // An observer that may be left out says nothing.
            if op.optional && timeline.facts[index].observes || is_left_out(index) {
                continue;
            }
            edges.push((op.invoked, false, index));
            if !op.optional || op.deadline != u64::MAX {
                edges.push((op.deadline, true, index));
            }
        }
        edges.sort_unstable();
        for (_, is_return, op) in edges {
            if !is_return && timeline.facts[op].observes {
                timeline.all_observers.push(op);
            }
            timeline.events.push(if is_return {
                Event::Return(op)
            } else {
                Event::Invoke(op)
            });
            let behind = timeline.events.len();
            let behind = u32::try_from(behind).expect("events are numbered by u32");
            let facts = &mut timeline.facts[op];
            *if is_return {
                &mut facts.closed
            } else {
                &mut facts.opened
            } = behind;
        }
        timeline.assign_slots();
        timeline
    }

    fn assign_slots(&mut self) {
        let [mut required, mut optional] = [Slots::default(), Slots::default()];
        for event in &self.events {
            let op = match *event {
                Event::Invoke(op) | Event::Return(op) => op,
            };
            let facts = &mut self.facts[op];
            let slots = if facts.optional {
                &mut optional
            } else {
                &mut required
            };
            match event {
                Event::Invoke(_) => facts.slot = slots.take(),
                Event::Return(_) => slots.free.push(facts.slot),
            }
        }
        self.required_words = required.words();
        self.words = self.required_words + optional.words();
        let base =
            u32::try_from(64 * self.required_words).expect("slots are fewer than operations");
        for facts in self.facts.iter_mut().filter(|facts| facts.optional) {
            // Those without a slot have no event either.
            facts.slot = facts.slot.saturating_add(base);
        }
        self.owner = vec![usize::MAX; 64 * self.words];
        self.observers = vec![0; self.words];
        self.effects = vec![0; self.words];
    }

    /// The event at the cursor; `None` at the end.
    pub(super) fn event(&self) -> Option<Event> {
        self.events.get(self.place).copied()
    }

    pub(super) fn place(&self) -> usize {
        self.place
    }

    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    pub(super) fn event_at(&self, place: usize) -> Option<Event> {
        self.events.get(place).copied()
    }

    /// Lets the event at the cursor happen.
    pub(super) fn forward(&mut self) {
        match self.events[self.place] {
            Event::Invoke(op) => {
                self.open(op);
                self.invoked += usize::from(self.facts[op].observes);
            }
            Event::Return(op) => self.close(op),
        }
        self.place += 1;
    }

    /// Moves the cursor.
    pub(super) fn seek(&mut self, place: usize) {
        while self.place < place {
            self.forward();
        }
        while self.place > place {
            self.place -= 1;
            match self.events[self.place] {
                Event::Invoke(op) => {
                    self.close(op);
                    self.invoked -= usize::from(self.facts[op].observes);
                }
                Event::Return(op) => self.open(op),
            }
        }
    }

    fn open(&mut self, op: OpIndex) {
        let Facts { slot, observes, .. } = self.facts[op];
        self.owner[slot as usize] = op;
        insert(
            if observes {
                &mut self.observers
            } else {
                &mut self.effects
            },
            slot,
        );
    }

    fn close(&mut self, op: OpIndex) {
        let Facts { slot, observes, .. } = self.facts[op];
        remove(
            if observes {
                &mut self.observers
            } else {
                &mut self.effects
            },
            slot,
        );
    }

    /// The next observers to be invoked.
    pub(super) fn coming(&self, count: usize) -> &[OpIndex] {
        let end = self.all_observers.len().min(self.invoked + count);
        &self.all_observers[self.invoked..end]
    }

    /// Whether an operation can still take effect, where those of a set did that are open at the cursor.
    pub(super) fn is_pending(&self, op: OpIndex, set: &[u64]) -> bool {
        let facts = &self.facts[op];
        let place = self.place as u64;
        if place < u64::from(facts.opened) {
            true
        } else {
            place < u64::from(facts.closed) && !contains(set, facts.slot)
        }
    }

    /// The open operation in a slot.
    pub(super) fn owner(&self, slot: u32) -> OpIndex {
        self.owner[slot as usize]
    }
}

#[derive(Default)]
struct Slots {
    free: Vec<u32>,
    used: u32,
}

impl Slots {
    fn take(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.used += 1;
            self.used - 1
        })
    }

    fn words(&self) -> usize {
        self.used.div_ceil(64) as usize
    }
}

pub(super) fn insert(set: &mut [u64], slot: u32) {
    set[(slot / 64) as usize] |= 1 << (slot % 64);
}

pub(super) fn remove(set: &mut [u64], slot: u32) {
    set[(slot / 64) as usize] &= !(1 << (slot % 64));
}

pub(super) fn contains(set: &[u64], slot: u32) -> bool {
    set[(slot / 64) as usize] >> (slot % 64) & 1 == 1
}

/// The slots in a word of a set, in rising order.
pub(super) fn slots(index: usize, mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        if word == 0 {
            return None;
        }
        let bit = word.trailing_zeros();
        word &= word - 1;
        Some(u32::try_from(64 * index).expect("slots are numbered by u32") + bit)
    })
}
