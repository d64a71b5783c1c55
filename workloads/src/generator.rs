//! From a specification to operations.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::{LogId, Lsn, ProducerId, ProducerSequence, Rng, Token};

use crate::ask::{Ask, Fence, Place};
use crate::knowledge::Knowledge;
use crate::spec::Spec;
use crate::workload::Workload;

/// Who tries again pauses one in so many parts of what others do.
const RETRY_HASTE: u64 = 64;
/// How many producers each log has.
const PRODUCERS: u64 = 2;

/// Draws operations. Not tied to a client: whoever is free takes the next.
#[derive(Clone, Debug)]
pub struct Generator {
    spec: Spec,
    rng: Rng,
    issued: u32,
    next_id: u64,
    next_token: u64,
    /// The next sequence of each producer. A producer appends to one log.
    sequences: BTreeMap<ProducerId, u64>,
    /// Clients that try a conditional append again, at once: compare and append, until it succeeds.
    retries: BTreeMap<u32, LogId>,
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
            next_token: 1,
            sequences: BTreeMap::new(),
            retries: BTreeMap::new(),
        }
    }

    fn draw(&mut self, log: LogId, knowledge: &Knowledge) -> Ask {
        let mix = self.spec.mix;
        let mut draw = self.rng.below(u64::from(mix.total())) as u32;
        let mut is = |share: u32| {
            let is = draw < share;
            draw = draw.saturating_sub(share);
            is
        };
        if is(mix.append) {
            self.append(log)
        } else if is(mix.read) {
            Ask::Read {
                log,
                from: self.start(log, knowledge),
                limit: self.spec.read_limit,
            }
        } else if is(mix.tail) {
            Ask::Tail { log }
        } else if is(mix.poll) {
            Ask::Poll {
                log,
                from: self.start(log, knowledge),
                limit: self.spec.read_limit,
            }
        } else if is(mix.trim) {
            self.trim(log, knowledge)
        } else {
            let mut demanding = self.append(log);
            let Ask::Append {
                producer,
                sets_token,
                last,
                token,
                ..
            } = &mut demanding
            else {
                unreachable!("an append is one");
            };
            if is(mix.conditional) {
                *last = Some(self.guess_last(log, knowledge));
                if self.rng.chance(0.25) {
                    *producer = Some(self.name(log));
                }
            } else if is(mix.token) {
                // Who sets one without a demand fences off all others.
                if self.rng.chance(0.75) {
                    *token = Some(self.guess_token(log, knowledge));
                }
                if token.is_none() || self.rng.chance(0.2) {
                    *sets_token = Some(Token(self.next_token));
                    self.next_token += 1;
                }
                if self.rng.chance(0.1) {
                    *last = Some(self.guess_last(log, knowledge));
                }
            } else {
                *producer = Some(self.name(log));
            }
            demanding
        }
    }

    /// Mostly what was the last record a moment ago, for all that is known; sometimes an older one, and
    /// sometimes the next, which may be on its way.
    fn guess_last(&mut self, log: LogId, knowledge: &Knowledge) -> Place {
        let known = knowledge.places(log);
        let is_known = knowledge.last(log) > Lsn::MIN;
        match self.rng.below(20) {
            0 => Place::Nothing,
            1..=2 => self.among_newest(known).unwrap_or(Place::Last),
            3..=6 if is_known => Place::AfterLast,
            _ => Place::Last,
        }
    }

    /// Mostly the token, for all that is known; sometimes another one.
    fn guess_token(&mut self, log: LogId, knowledge: &Knowledge) -> Fence {
        if knowledge.has_token(log) && self.rng.chance(0.85) {
            Fence::Current
        } else {
            Fence::Of(Token(self.rng.below(self.next_token + 1)))
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

    fn append(&mut self, log: LogId) -> Ask {
        let id = self.next_id;
        self.next_id += 1;
        let (min, max) = (self.spec.payload_bytes_min, self.spec.payload_bytes_max);
        let bytes = self
            .rng
            .within(u64::from(min.max(8))..=u64::from(max.max(8)));
        Ask::Append {
            log,
            id,
            bytes: bytes as u32,
            salt: self.rng.seed(),
            producer: None,
            sets_token: None,
            last: None,
            token: None,
        }
    }

    /// A trim: mostly of an early part of what is known, sometimes of nearly all.
    fn trim(&mut self, log: LogId, knowledge: &Knowledge) -> Ask {
        let known = knowledge.places(log);
        let upto = if self.rng.chance(0.3) {
            self.among_newest(known.min(3))
        } else {
            self.among_oldest(known.div_ceil(4), known)
        };
        let upto = upto.unwrap_or(Place::First);
        Ask::Trim { log, upto }
    }

    /// Where a read starts: mostly near the end of what is known, sometimes anywhere.
    fn start(&mut self, log: LogId, knowledge: &Knowledge) -> Place {
        let known = knowledge.places(log);
        if known == 0 || self.rng.chance(0.05) {
            return Place::First;
        }
        let newest = if self.rng.chance(0.7) {
            known.min(self.spec.read_limit as usize)
        } else {
            known
        };
        self.among_newest(newest).expect("not empty")
    }

    /// One of so many places that became known last; `None` if there is none.
    fn among_newest(&mut self, newest: usize) -> Option<Place> {
        let picked = self.below(newest)?;
        Some(Place::Back((newest - 1 - picked) as u32))
    }

    /// One of so many of the `known` places that became known first; `None` if there is none.
    fn among_oldest(&mut self, oldest: usize, known: usize) -> Option<Place> {
        let picked = self.below(oldest)?;
        Some(Place::Back((known - 1 - picked) as u32))
    }

    fn below(&mut self, count: usize) -> Option<usize> {
        (count > 0).then(|| self.rng.below(count as u64) as usize)
    }
}

impl Workload for Generator {
    fn pause(&mut self, client: u32) -> Duration {
        let us_max = match self.retries.contains_key(&client) {
            true => self.spec.think_us_max / RETRY_HASTE,
            false => self.spec.think_us_max,
        };
        Duration::from_micros(self.rng.within(0..=us_max))
    }

    fn next(&mut self, client: u32, knowledge: &Knowledge) -> Option<Ask> {
        if self.is_exhausted() {
            return None;
        }
        self.issued += 1;
        if let Some(log) = self.retries.remove(&client) {
            let mut again = self.append(log);
            if let Ask::Append { last, .. } = &mut again {
                *last = Some(Place::Last);
            }
            return Some(again);
        }
        let log = LogId(1 + self.rng.below(u64::from(self.spec.logs)) as u32);
        Some(self.draw(log, knowledge))
    }

    fn mismatched(&mut self, client: u32, log: LogId) {
        if self.spec.mix.conditional > 0 && self.rng.chance(0.5) {
            self.retries.insert(client, log);
        }
    }

    fn is_exhausted(&self) -> bool {
        self.issued == self.spec.operations
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::operation::{Operation, record_id};

    #[test]
    fn who_is_told_otherwise_mostly_tries_again_at_once() {
        let mut rng = Rng::from_seed(3);
        let mut spec = Spec::draw(500, &mut rng);
        spec.mix.conditional = 5;
        let mut generator = Generator::new(spec.clone(), rng);
        let knowledge = Knowledge::default();
        let mut hasty = 0;
        for client in 0..100 {
            generator.mismatched(client, LogId(1));
            let pause = generator.pause(client).as_micros() as u64;
            let ask = generator.next(client, &knowledge);
            let again = matches!(
                ask,
                Some(Ask::Append {
                    log: LogId(1),
                    last: Some(Place::Last),
                    ..
                })
            );
            hasty += u32::from(again && pause <= spec.think_us_max / RETRY_HASTE);
        }
        assert!((30..80).contains(&hasty), "{hasty}");
    }

    #[test]
    fn all_operations_are_drawn_and_no_id_twice() {
        let mut rng = Rng::from_seed(3);
        let mut spec = Spec::draw(500, &mut rng);
        spec.poll_and_trim();
        let mut generator = Generator::new(spec.clone(), rng);
        let mut knowledge = Knowledge::default();
        let (mut ids, mut reads, mut tails) = (BTreeSet::new(), 0, 0);
        let (mut polls, mut trims) = (0, 0);
        while let Some(ask) = generator.next(0, &knowledge) {
            match knowledge.operation(&ask) {
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
                    knowledge.observe(log, Lsn::new(1, ids.len() as u32));
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
        let mut knowledge = Knowledge::default();
        let (mut names, mut appended) = (BTreeSet::new(), 0);
        let (mut as_known, mut otherwise, mut tokens) = (0, 0, 0);
        while let Some(ask) = generator.next(0, &knowledge) {
            let Operation::Append {
                log,
                attributes,
                last_record,
                token,
                ..
            } = knowledge.operation(&ask)
            else {
                continue;
            };
            if let Some(name) = attributes.producer {
                assert!(names.insert(name), "{name} twice");
            }
            if let Some(last) = last_record {
                let known = knowledge.last(log);
                *(if last == known {
                    &mut as_known
                } else {
                    &mut otherwise
                }) += 1;
            }
            tokens += u32::from(token.is_some());
            if let Some(token) = attributes.sets_token {
                knowledge.observe_token(log, token);
            }
            appended += 1;
            knowledge.observe(log, Lsn::new(1, appended));
        }
        assert!(names.len() > 100 && tokens > 50);
        assert!(
            as_known > otherwise && otherwise > 50,
            "{as_known}, {otherwise}"
        );
    }
}
