//! From a specification to operations.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use hstore_core::{Attributes, LogId, Lsn, ProducerId, ProducerSequence, Rng, Token};
use serde::Serialize;

use crate::spec::Spec;

/// How many producers each log has.
const PRODUCERS: u64 = 2;

/// An operation to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Operation {
    /// Append a record.
    Append {
        /// To this log.
        log: LogId,
        /// The record's id, also found in the payload by [`record_id`].
        id: u64,
        /// What to append.
        payload: Bytes,
        /// Whose record it is, and the token it sets.
        attributes: Attributes,
        /// Only if this is the last record; [`Lsn::MIN`]: only if there is none.
        last_record: Option<Lsn>,
        /// Only if this token was set last.
        token: Option<Token>,
    },
    /// Read.
    Read {
        /// This log.
        log: LogId,
        /// From here.
        from: Lsn,
        /// At most so many records.
        limit: u32,
    },
    /// Ask where the log ends.
    Tail {
        /// Which log.
        log: LogId,
    },
    /// Read what is released.
    Poll {
        /// This log.
        log: LogId,
        /// From here.
        from: Lsn,
        /// At most so many records.
        limit: u32,
    },
    /// Give up the oldest records.
    Trim {
        /// Of this log.
        log: LogId,
        /// The last LSN to be given up.
        upto: Lsn,
    },
}

/// Draws operations. Not tied to a client: whoever is free takes the next.
#[derive(Clone, Debug)]
pub struct Generator {
    spec: Spec,
    rng: Rng,
    issued: u32,
    next_id: u64,
    /// LSNs at which records are known to stand: where reads start.
    known: BTreeMap<LogId, Vec<Lsn>>,
    /// The last record of each log, for all that clients were told.
    last: BTreeMap<LogId, Lsn>,
    /// The token of each log, for all that clients were told.
    tokens: BTreeMap<LogId, Token>,
    next_token: u64,
    /// The next sequence of each producer. A producer appends to one log.
    sequences: BTreeMap<ProducerId, u64>,
    /// Records that differ from what was drawn in one bit, by id: the byte that differs.
    flipped: BTreeMap<u64, usize>,
}

impl Generator {
    /// A generator of `spec`'s operations.
    #[must_use]
    pub fn new(spec: Spec, rng: Rng) -> Self {
        Self {
            spec,
            rng,
            issued: 0,
            next_id: 1,
            known: BTreeMap::new(),
            last: BTreeMap::new(),
            tokens: BTreeMap::new(),
            next_token: 1,
            sequences: BTreeMap::new(),
            flipped: BTreeMap::new(),
        }
    }

    /// The next operation; `None` when all were drawn.
    pub fn next_operation(&mut self) -> Option<Operation> {
        if self.issued == self.spec.operations {
            return None;
        }
        self.issued += 1;
        let log = LogId(1 + self.rng.below(u64::from(self.spec.logs)) as u32);
        let mix = self.spec.mix;
        let mut draw = self.rng.below(u64::from(mix.total())) as u32;
        let mut is = |share: u32| {
            let is = draw < share;
            draw = draw.saturating_sub(share);
            is
        };
        Some(if is(mix.append) {
            self.append(log)
        } else if is(mix.read) {
            Operation::Read {
                log,
                from: self.start(log),
                limit: self.spec.read_limit,
            }
        } else if is(mix.tail) {
            Operation::Tail { log }
        } else if is(mix.poll) {
            Operation::Poll {
                log,
                from: self.start(log),
                limit: self.spec.read_limit,
            }
        } else if is(mix.trim) {
            self.trim(log)
        } else {
            let mut demanding = self.append(log);
            let Operation::Append {
                attributes,
                last_record,
                token,
                ..
            } = &mut demanding
            else {
                unreachable!("an append is one");
            };
            if is(mix.conditional) {
                *last_record = Some(self.guess_last(log));
                if self.rng.chance(0.25) {
                    attributes.producer = Some(self.name(log));
                }
            } else if is(mix.token) {
                // Who sets one without a demand fences off all others.
                if self.rng.chance(0.75) {
                    *token = Some(self.guess_token(log));
                }
                if token.is_none() || self.rng.chance(0.2) {
                    attributes.sets_token = Some(Token(self.next_token));
                    self.next_token += 1;
                }
                if self.rng.chance(0.1) {
                    *last_record = Some(self.guess_last(log));
                }
            } else {
                attributes.producer = Some(self.name(log));
            }
            demanding
        })
    }

    /// Mostly what was the last record a moment ago, for all that is known; sometimes an older one, and
    /// sometimes the next, which may be on its way.
    fn guess_last(&mut self, log: LogId) -> Lsn {
        let last = self.last.get(&log).copied().unwrap_or(Lsn::MIN);
        let known = self.known.get(&log).map_or(&[][..], Vec::as_slice);
        match self.rng.below(20) {
            0 => Lsn::MIN,
            1..=2 => self.rng.pick(known).copied().unwrap_or(last),
            3..=6 if last > Lsn::MIN => last.next(),
            _ => last,
        }
    }

    /// Mostly the token, for all that is known; sometimes another one.
    fn guess_token(&mut self, log: LogId) -> Token {
        match self.tokens.get(&log) {
            Some(token) if self.rng.chance(0.85) => *token,
            _ => Token(self.rng.below(self.next_token + 1)),
        }
    }

    /// A name that no record has.
    fn name(&mut self, log: LogId) -> ProducerSequence {
        let producer = u64::from(log.0) * PRODUCERS + self.rng.below(PRODUCERS);
        let producer = ProducerId(producer);
        let next = self.sequences.entry(producer).or_default();
        let sequence = *next;
        *next += 1;
        ProducerSequence { producer, sequence }
    }

    /// Whether all operations were drawn.
    #[must_use]
    pub fn is_exhausted(&self) -> bool {
        self.issued == self.spec.operations
    }

    /// One more append to `log`, beyond those of the specification.
    pub fn append(&mut self, log: LogId) -> Operation {
        let id = self.next_id;
        self.next_id += 1;
        let (min, max) = (self.spec.payload_bytes_min, self.spec.payload_bytes_max);
        let length = self
            .rng
            .within(u64::from(min.max(8))..=u64::from(max.max(8)));
        let mut payload = payload(id, length as usize, self.rng.seed());
        if let Some(byte) = self.flipped.remove(&id) {
            let mut bytes = payload.to_vec();
            let byte = 8 + byte % (bytes.len() - 8);
            bytes[byte] ^= 1;
            payload = bytes.into();
        }
        Operation::Append {
            log,
            id,
            payload,
            attributes: Attributes::default(),
            last_record: None,
            token: None,
        }
    }

    /// Has the record of this id differ in one bit of one byte after its id: to run a workload again
    /// with nothing else changed.
    pub fn flip(&mut self, id: u64, byte: usize) {
        self.flipped.insert(id, byte);
    }

    /// How long a client pauses before its next operation.
    pub fn think(&mut self) -> Duration {
        Duration::from_micros(self.rng.within(0..=self.spec.think_us_max))
    }

    /// A record is known to stand at `lsn`.
    pub fn observe(&mut self, log: LogId, lsn: Lsn) {
        self.known.entry(log).or_default().push(lsn);
        self.observe_last(log, lsn);
    }

    /// The same, on condition that the last record is the last that clients know of.
    pub fn append_to_last(&mut self, log: LogId) -> Operation {
        let known = self.last.get(&log).copied().unwrap_or(Lsn::MIN);
        let mut operation = self.append(log);
        if let Operation::Append { last_record, .. } = &mut operation {
            *last_record = Some(known);
        }
        operation
    }

    /// The last record of a log stood at `lsn` a moment ago, or a later one did.
    pub fn observe_last(&mut self, log: LogId, lsn: Lsn) {
        let last = self.last.entry(log).or_default();
        *last = (*last).max(lsn);
    }

    /// The token of a log was this one a moment ago.
    pub fn observe_token(&mut self, log: LogId, token: Token) {
        self.tokens.insert(log, token);
    }

    /// A trim: mostly of an early part of what is known, sometimes of nearly all.
    fn trim(&mut self, log: LogId) -> Operation {
        let known = self.known.get(&log).map_or(&[][..], Vec::as_slice);
        let recent = known.len().saturating_sub(3);
        let some = if self.rng.chance(0.3) {
            &known[recent..]
        } else {
            &known[..known.len().div_ceil(4)]
        };
        let upto = self.rng.pick(some).copied().unwrap_or(Lsn::FIRST);
        Operation::Trim { log, upto }
    }

    /// Where a read starts: mostly near the end of what is known, sometimes anywhere.
    fn start(&mut self, log: LogId) -> Lsn {
        let known = self.known.get(&log).map_or(&[][..], Vec::as_slice);
        if known.is_empty() || self.rng.chance(0.05) {
            return Lsn::FIRST;
        }
        let recent = known.len().saturating_sub(self.spec.read_limit as usize);
        let from = if self.rng.chance(0.7) { recent } else { 0 };
        *self.rng.pick(&known[from..]).expect("not empty")
    }
}

/// A record's content: its id, then bytes that only a whole, unmixed record has.
fn payload(id: u64, length: usize, salt: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(length + 8);
    bytes.put_u64_le(id);
    let mut word = salt;
    while bytes.len() < length {
        bytes.put_u64_le(word);
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(id);
    }
    bytes.truncate(length);
    bytes.freeze()
}

/// The id of a record made by a [`Generator`]; `None` for any other.
#[must_use]
pub fn record_id(payload: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(payload.get(..8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn all_operations_are_drawn_and_no_id_twice() {
        let mut rng = Rng::from_seed(3);
        let mut spec = Spec::draw(500, &mut rng);
        spec.poll_and_trim();
        let mut generator = Generator::new(spec.clone(), rng);
        let (mut ids, mut reads, mut tails) = (BTreeSet::new(), 0, 0);
        let (mut polls, mut trims) = (0, 0);
        while let Some(operation) = generator.next_operation() {
            match operation {
                Operation::Append {
                    id,
                    payload,
                    log,
                    attributes,
                    last_record,
                    token,
                } => {
                    assert!(attributes.is_none() && last_record.is_none() && token.is_none());
                    assert_eq!(record_id(&payload), Some(id));
                    assert!(payload.len() >= spec.payload_bytes_min as usize);
                    assert!(payload.len() <= spec.payload_bytes_max as usize);
                    assert!((1..=spec.logs).contains(&log.0));
                    assert!(ids.insert(id), "{id} twice");
                    generator.observe(log, Lsn::new(1, ids.len() as u32));
                }
                Operation::Read { .. } => reads += 1,
                Operation::Tail { .. } => tails += 1,
                Operation::Poll { .. } => polls += 1,
                Operation::Trim { .. } => trims += 1,
            }
        }
        assert_eq!(ids.len() + reads + tails + polls + trims, 500);
        assert!(ids.len() > 300 && reads > 0 && tails > 0 && polls > 0 && trims > 0);
    }

    #[test]
    fn appends_demand_what_is_known_and_no_name_is_used_twice() {
        let mut rng = Rng::from_seed(4);
        let mut spec = Spec::draw(2_000, &mut rng);
        spec.demand(&mut rng);
        let mut generator = Generator::new(spec, rng);
        let (mut names, mut appended) = (BTreeSet::new(), 0);
        let (mut as_known, mut otherwise, mut tokens) = (0, 0, 0);
        while let Some(operation) = generator.next_operation() {
            let Operation::Append {
                log,
                attributes,
                last_record,
                token,
                ..
            } = operation
            else {
                continue;
            };
            if let Some(name) = attributes.producer {
                assert!(names.insert(name), "{name} twice");
            }
            if let Some(last) = last_record {
                let known = generator.last.get(&log).copied().unwrap_or(Lsn::MIN);
                *(if last == known {
                    &mut as_known
                } else {
                    &mut otherwise
                }) += 1;
            }
            tokens += u32::from(token.is_some());
            if let Some(token) = attributes.sets_token {
                generator.observe_token(log, token);
            }
            appended += 1;
            generator.observe(log, Lsn::new(1, appended));
        }
        assert!(names.len() > 100 && tokens > 50);
        assert!(
            as_known > otherwise && otherwise > 50,
            "{as_known}, {otherwise}"
        );
    }
}
