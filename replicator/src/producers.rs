//! Which records of which producers stand in a log: what makes a repeated append harmless.
//!
//! The table says of a (producer, sequence) that it *stands* at an LSN, that it does *not* stand, or
//! that it is too old to tell. "Absent" means "not applied" because of two invariants:
//!
//! - It holds every record of a producer whose sequence lies in the producer's *window*, the
//!   [`PRODUCER_WINDOW`] sequences up to the highest. Windows only move up, and what is below one is
//!   refused, never placed. A maximum alone would not do: sequence 7 can become a hole and 8 be acked.
//! - It holds every producer that has a record in the log, and forgets none. When it is full, new
//!   producers are refused.
//!
//! So it must be made of *all* records of the log up to an LSN, in their order: those up to a
//! [checkpoint](crate::register::Checkpoint), and those read after it. A producer that the table does not
//! know has nothing in the log, so any of its sequences is absent. All the same it has to begin within
//! its first window: one that comes with a high sequence has a past, and if the log does not know of it,
//! then the producer has the wrong log, or its log was lost.

use std::collections::BTreeMap;

use hstore_core::{Lsn, ProducerId, ProducerSequence};
use serde::{Deserialize, Serialize};

use crate::message::Refusal;

/// How many sequences up to the highest are remembered of each producer. A producer may have no more
/// records on their way at a time.
pub const PRODUCER_WINDOW: u64 = 32;
/// How many producers a log can have. With as many, its table has about 100 KiB.
pub const PRODUCERS_MAX: usize = 256;

/// The table of a log's producers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProducerTable {
    producers: BTreeMap<ProducerId, Window>,
}

/// What is remembered of one producer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Window {
    /// The highest sequence in the log.
    highest: u64,
    /// Where the records of the window stand; those that do not are not in it.
    stands: BTreeMap<u64, Lsn>,
}

/// What a log has of a producer's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It stands here.
    At(Lsn),
    /// It does not: the record may be placed.
    Absent,
    /// It can neither be told nor placed.
    Refused(Refusal),
}

impl ProducerTable {
    /// What there is of a sequence.
    #[must_use]
    pub fn look_up(&self, of: ProducerSequence) -> Standing {
        let Some(window) = self.producers.get(&of.producer) else {
            return if of.sequence >= PRODUCER_WINDOW {
                Standing::Refused(Refusal::UnknownProducer)
            } else if self.producers.len() >= PRODUCERS_MAX {
                Standing::Refused(Refusal::TooManyProducers)
            } else {
                Standing::Absent
            };
        };
        if of.sequence < window.lowest() {
            return Standing::Refused(Refusal::SequenceTooOld);
        }
        match window.stands.get(&of.sequence) {
            Some(&lsn) => Standing::At(lsn),
            None => Standing::Absent,
        }
    }

    /// The highest sequence of a producer, and where it stands.
    #[must_use]
    pub fn highest(&self, producer: ProducerId) -> Option<(u64, Lsn)> {
        let window = self.producers.get(&producer)?;
        Some((window.highest, window.stands[&window.highest]))
    }

    /// A record stands at `lsn`. Records are told in the order of their LSNs; should one be told twice,
    /// then the first of its places counts, of which its producer may have heard.
    pub fn stands(&mut self, of: ProducerSequence, lsn: Lsn) {
        let window = self.producers.entry(of.producer).or_default();
        window.stands.entry(of.sequence).or_insert(lsn);
        window.highest = window.highest.max(of.sequence);
        window.stands = window.stands.split_off(&window.lowest());
    }

    /// How many producers have records in the log.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// Whether no producer has one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }
}

impl Window {
    /// The lowest sequence that is remembered.
    fn lowest(&self) -> u64 {
        self.highest.saturating_sub(PRODUCER_WINDOW - 1)
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::Rng;

    use super::*;

    /// Remembers everything.
    #[derive(Default)]
    struct Model {
        all: Vec<(ProducerSequence, Lsn)>,
    }

    impl Model {
        fn look_up(&self, of: ProducerSequence) -> Standing {
            let of_producer = || self.all.iter().filter(|it| it.0.producer == of.producer);
            let Some(highest) = of_producer().map(|it| it.0.sequence).max() else {
                let mut producers: Vec<_> = self.all.iter().map(|it| it.0.producer).collect();
                producers.sort_unstable();
                producers.dedup();
                return match of.sequence {
                    PRODUCER_WINDOW.. => Standing::Refused(Refusal::UnknownProducer),
                    _ if producers.len() >= PRODUCERS_MAX => {
                        Standing::Refused(Refusal::TooManyProducers)
                    }
                    _ => Standing::Absent,
                };
            };
            if highest >= PRODUCER_WINDOW && of.sequence <= highest - PRODUCER_WINDOW {
                return Standing::Refused(Refusal::SequenceTooOld);
            }
            let found = of_producer().find(|it| it.0 == of);
            found.map_or(Standing::Absent, |it| Standing::At(it.1))
        }
    }

    fn name(producer: u64, sequence: u64) -> ProducerSequence {
        ProducerSequence {
            producer: ProducerId(producer),
            sequence,
        }
    }

    /// Producers try sequences around where they are, some of them far away; what is absent is placed, or
    /// becomes a hole.
    #[test]
    fn the_table_says_what_one_that_remembers_everything_says() {
        for seed in 0..20 {
            let mut rng = Rng::from_seed(seed);
            let (mut table, mut model) = (ProducerTable::default(), Model::default());
            let mut answers = [0; 3];
            for step in 1..2_000 {
                let producer = rng.below(4);
                let at = table.highest(ProducerId(producer)).map_or(0, |it| it.0);
                let reach = if rng.chance(0.02) { 80 } else { 3 };
                let back = if rng.chance(0.2) { 40 } else { 4 };
                let tried = name(
                    producer,
                    (at + rng.below(reach)).saturating_sub(rng.below(back)),
                );
                let standing = table.look_up(tried);
                assert_eq!(standing, model.look_up(tried), "{tried}, seed {seed}");
                answers[match standing {
                    Standing::At(_) => 0,
                    Standing::Absent => 1,
                    Standing::Refused(_) => 2,
                }] += 1;
                if standing == Standing::Absent && rng.chance(0.8) {
                    let lsn = Lsn::new(1, step);
                    table.stands(tried, lsn);
                    model.all.push((tried, lsn));
                }
                if step % 100 == 0 {
                    let bytes = postcard::to_stdvec(&table).expect("a table has an encoding");
                    table = postcard::from_bytes(&bytes).expect("its own");
                }
            }
            assert!(answers.iter().all(|count| *count > 20), "{answers:?}");
        }
    }

    #[test]
    fn a_full_table_takes_nobody_new_and_stays_in_its_bounds() {
        let mut table = ProducerTable::default();
        let records = 2 * PRODUCER_WINDOW;
        for producer in 0..PRODUCERS_MAX as u64 {
            for sequence in 0..records {
                let it = name(producer, sequence);
                assert_eq!(table.look_up(it), Standing::Absent);
                table.stands(it, Lsn::new(u32::MAX, u32::MAX));
            }
        }
        let late = name(u64::MAX, 0);
        let refused = Standing::Refused(Refusal::TooManyProducers);
        assert_eq!(table.look_up(late), refused);
        assert_eq!(table.look_up(name(0, records)), Standing::Absent);
        let bytes = postcard::to_stdvec(&table).expect("a table has an encoding");
        assert!(bytes.len() < 120 << 10, "{} bytes", bytes.len());
    }

    #[test]
    fn the_highest_sequence_there_can_be_is_one_like_others() {
        let mut table = ProducerTable::default();
        table.stands(name(1, 0), Lsn::new(1, 1));
        table.stands(name(1, u64::MAX), Lsn::new(1, 2));
        let stands = Standing::At(Lsn::new(1, 2));
        assert_eq!(table.look_up(name(1, u64::MAX)), stands);
        assert_eq!(table.look_up(name(1, u64::MAX - 1)), Standing::Absent);
        let old = Standing::Refused(Refusal::SequenceTooOld);
        assert_eq!(table.look_up(name(1, 0)), old);
    }
}
