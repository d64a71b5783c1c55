//! What is going to happen, in order.
//!
//! A heap moves its entries a lot, so it holds only when each comes and where it lies.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use hstore_core::Timestamp;

/// A queue by time; what is due at one time comes in the order in which it was put in.
#[derive(Debug)]
pub(super) struct Agenda<T> {
    /// When, in what order, and in which slot.
    due: BinaryHeap<Reverse<(Timestamp, u64, usize)>>,
    slots: Vec<Option<T>>,
    free: Vec<usize>,
    /// How many were put in so far.
    count: u64,
}

impl<T> Agenda<T> {
    /// Nothing is going to happen.
    pub(super) fn new() -> Self {
        Self {
            due: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            count: 0,
        }
    }

    /// Puts in what comes at a time.
    pub(super) fn push(&mut self, at: Timestamp, what: T) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(what);
        self.count += 1;
        self.due.push(Reverse((at, self.count, slot)));
    }

    /// When the next comes.
    pub(super) fn next_at(&self) -> Option<Timestamp> {
        self.due.peek().map(|Reverse((at, ..))| *at)
    }

    /// All that comes, in order.
    pub(super) fn in_order(&self) -> Vec<(Timestamp, &T)> {
        let mut due: Vec<_> = self.due.iter().map(|Reverse(it)| *it).collect();
        due.sort_unstable();
        let what = |slot: usize| self.slots[slot].as_ref().expect("its slot is taken");
        due.into_iter()
            .map(|(at, _, slot)| (at, what(slot)))
            .collect()
    }

    /// Takes out what comes next.
    pub(super) fn pop(&mut self) -> Option<(Timestamp, T)> {
        let Reverse((at, _, slot)) = self.due.pop()?;
        let what = self.slots[slot].take().expect("its slot is taken");
        self.free.push(slot);
        Some((at, what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_due_comes_by_time_and_then_by_the_order_it_was_put_in() {
        let mut agenda = Agenda::new();
        for (ms, what) in [(3, 'd'), (1, 'a'), (2, 'b'), (2, 'c')] {
            agenda.push(Timestamp::from_millis(ms), what);
        }
        assert_eq!(agenda.pop(), Some((Timestamp::from_millis(1), 'a')));
        agenda.push(Timestamp::from_millis(3), 'e');
        assert_eq!(agenda.next_at(), Some(Timestamp::from_millis(2)));
        let ahead: Vec<char> = agenda.in_order().into_iter().map(|it| *it.1).collect();
        assert_eq!(ahead, ['b', 'c', 'd', 'e']);
        let rest: Vec<char> = std::iter::from_fn(|| agenda.pop().map(|it| it.1)).collect();
        assert_eq!(rest, ['b', 'c', 'd', 'e']);
        assert_eq!(agenda.slots.len(), 4, "slots are used again");
    }
}
