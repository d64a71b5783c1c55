//! Numbering a producer's records: what a client needs to append idempotently.
//!
//! A sequence names one record for ever. Two rules follow, and [`Sequences`] keeps them:
//!
//! - A sequence is given to another record only if its own certainly was not appended and never will be.
//! - No record of unknown fate falls below the producer's window, where nobody could tell its fate any
//!   more. As long as there is one, only so many sequences above it are given.

use std::collections::BTreeSet;

use hstore_core::{ProducerId, ProducerSequence};

use crate::client::Outcome;
use crate::producers::PRODUCER_WINDOW;

/// The sequences of a producer, in its only life: after a crash it goes on as another producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequences {
    producer: ProducerId,
    next: u64,
    /// Given, and their records' fate is not known.
    open: BTreeSet<u64>,
    /// Given, and free again.
    free: BTreeSet<u64>,
}

impl Sequences {
    /// The sequences of a producer that has appended nothing yet. No other may ever have used its id.
    #[must_use]
    pub fn new(producer: ProducerId) -> Self {
        Self {
            producer,
            next: 0,
            open: BTreeSet::new(),
            free: BTreeSet::new(),
        }
    }

    /// A name for a record. `None` as long as too many above one of unknown fate were given.
    pub fn give(&mut self) -> Option<ProducerSequence> {
        // What is free and may be below the window by now is left out for good.
        self.free = self
            .free
            .split_off(&self.next.saturating_sub(PRODUCER_WINDOW));
        let sequence = match self.free.first() {
            Some(&sequence) => sequence,
            None => self.next,
        };
        let lowest = self.open.first().copied().unwrap_or(sequence);
        if sequence >= lowest.saturating_add(PRODUCER_WINDOW) {
            return None;
        }
        if !self.free.remove(&sequence) {
            self.next += 1;
        }
        self.open.insert(sequence);
        let producer = self.producer;
        Some(ProducerSequence { producer, sequence })
    }

    /// An append under a name has ended. If its fate is unknown the name stays with its record: append it
    /// again under the same name, or [give it up](Self::give_up).
    pub fn ended(&mut self, name: ProducerSequence, outcome: &Outcome) {
        match outcome {
            Outcome::Unknown => {}
            outcome => {
                let given = self.open.remove(&name.sequence);
                assert!(given, "{name} was given and has not ended");
                if outcome.is_without_effect() {
                    self.free.insert(name.sequence);
                }
            }
        }
    }

    /// Nobody cares any more whether the record stands. The name is not given again.
    pub fn give_up(&mut self, name: ProducerSequence) {
        self.open.remove(&name.sequence);
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::{Lsn, Rng};

    use super::*;
    use crate::producers::{ProducerTable, Standing};

    /// Appends end in every way and in any order; those of unknown fate may have been placed or not, and
    /// are appended again. The log never has to refuse one, and each record stands once.
    #[test]
    fn a_log_can_always_tell_of_what_was_given_and_not_given_up() {
        let unknown = Outcome::Unknown;
        for seed in 0..50 {
            let mut rng = Rng::from_seed(seed);
            let mut sequences = Sequences::new(ProducerId(1));
            let mut table = ProducerTable::default();
            let mut running: Vec<ProducerSequence> = Vec::new();
            let (mut refused, mut lsn) = (0, Lsn::FIRST);
            for _ in 0..1_000 {
                if rng.chance(0.6) {
                    match sequences.give() {
                        Some(name) => running.push(name),
                        None => refused += 1,
                    }
                    continue;
                }
                if running.is_empty() {
                    continue;
                }
                let name = running.swap_remove(rng.below(running.len() as u64) as usize);
                let outcome = match table.look_up(name) {
                    Standing::Refused(why) => panic!("{name}: {why:?}"),
                    Standing::At(lsn) => Outcome::Appended(lsn),
                    Standing::Absent if rng.chance(0.3) => Outcome::Failed,
                    Standing::Absent => {
                        table.stands(name, lsn);
                        lsn = lsn.next();
                        Outcome::Appended(lsn)
                    }
                };
                if outcome != Outcome::Failed && rng.chance(0.4) {
                    sequences.ended(name, &unknown);
                    running.push(name);
                } else {
                    sequences.ended(name, &outcome);
                }
            }
            assert!(refused > 0 && lsn > Lsn::new(1, 50), "{refused}, {lsn}");
        }
    }

    #[test]
    fn only_what_certainly_had_no_effect_frees_its_name() {
        let mut sequences = Sequences::new(ProducerId(1));
        let [a, b, c] = [(); 3].map(|()| sequences.give().expect("there is room"));
        sequences.ended(a, &Outcome::Appended(Lsn::FIRST));
        sequences.ended(b, &Outcome::Failed);
        sequences.ended(c, &Outcome::Unknown);
        assert_eq!(sequences.give(), Some(b));
        for sequence in 3..=PRODUCER_WINDOW {
            assert_eq!(sequences.give().map(|it| it.sequence), Some(sequence));
        }
        // b is the lowest open: up to 32 of them.
        assert_eq!(sequences.give(), None);
        sequences.give_up(b);
        assert!(sequences.give().is_some());
        assert_eq!(sequences.give(), None);
        sequences.give_up(c);
        assert!(sequences.give().is_some());
    }
}
