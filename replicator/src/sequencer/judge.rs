//! Whether an append may be placed: its conditions, and whether its record stands already.
//!
//! Appends are judged by what was *placed* before them, in flight or not. That is right only because of
//! what follows from a judgement:
//!
//! - A conditional append is sent to storage nodes only after everything below it has retired. Should
//!   a record it was judged by become a hole, then it was never sent, and certainly has no effect.
//! - A mismatch leaves only after everything it was judged by has retired.
//! - A duplicate is answered only once its original has retired.
//!
//! The last record is always known, of an open reign: the register's tail, or what the reign placed last.
//! What the older epochs' records have set is found out when somebody asks for it first
//! ([`Rebuild`]). Whoever asks waits until then.
//!
//! Beside the past as placed there is the *settled* one: that of the contiguous retired prefix. It stands
//! for good, and so it can be kept as a checkpoint.

use std::collections::VecDeque;

use hstore_core::{
    Address, Attributes, Epoch, LogId, Lsn, NodeId, Record, Timestamp, Token, planted,
};

use super::rebuild::{Past, Rebuild};
use crate::effects::Env;
use crate::message::{Conditions, EpochSpan, Fetched, Mismatch, Refusal, TokenSeen};
use crate::producers::Standing;
use crate::queue::Queue;
use crate::register::{Checkpoint, Judgement};

/// How many appends of a log wait for its past to be known at most; more are pushed back.
pub const WAITING_MAX: usize = 64;

/// An append as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Append {
    pub(super) origin: (Address, u64),
    pub(super) record: Record,
    pub(super) conditions: Conditions,
}

impl Append {
    /// Whether nothing needs to be known to place it.
    pub(super) fn is_plain(&self) -> bool {
        !self.conditions.is_some() && self.record.attributes.producer.is_none()
    }
}

/// What is to be done with an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// It has to wait: not enough is known.
    Wait,
    /// It may be placed.
    Place,
    /// Its record stands here, or will: it was placed before.
    Duplicate(Lsn),
    /// What it demands is not so.
    Mismatch(Mismatch),
    /// It cannot be taken.
    Refuse(Refusal),
}

/// What appends of a reign are judged by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Judge {
    past: Known,
    /// The token that this reign placed last, and the one that settled last.
    placed_token: Option<Token>,
    settled_token: Option<Token>,
    /// Appends that wait until enough is known, in the order of their arrival.
    waiting: VecDeque<Append>,
    /// Records since the checkpoint, as far as they are known of.
    unchecked: u32,
}

/// What is known of what records have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
enum Known {
    /// Nothing of older epochs.
    #[default]
    Nothing,
    /// It is being found out.
    Reading(Box<Rebuild>),
    /// All of it.
    All(Box<All>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct All {
    /// With all that was placed.
    placed: Past,
    /// With the contiguous retired prefix.
    settled: Past,
}

impl Judge {
    /// The reign is open. If the log has no record after the checkpoint, its past is known.
    pub(super) fn open(&mut self, checkpoint: &Checkpoint, clean_tail: Lsn) {
        if clean_tail <= checkpoint.as_of {
            let judgement = checkpoint.judgement.clone();
            self.know(Past {
                judgement,
                ..Past::default()
            });
        }
    }

    /// The past up to this reign is known. Of this reign's records only tokens can be missing in it:
    /// nobody's sequence was placed before.
    fn know(&mut self, past: Past) {
        let with = |token: Option<Token>| {
            let mut past = past.clone();
            if token.is_some() {
                past.judgement.token = token;
                past.lost.token = false;
            }
            past
        };
        self.past = Known::All(Box::new(All {
            placed: with(self.placed_token),
            settled: with(self.settled_token),
        }));
    }

    /// Begins to find out what older epochs' records have done, unless it is known or on the way.
    pub(super) fn find_out(
        &mut self,
        log: LogId,
        epoch: Epoch,
        spans: &[EpochSpan],
        checkpoint: &Checkpoint,
        env: &mut Env,
    ) {
        if self.past == Known::Nothing {
            let rebuild = Rebuild::start(log, epoch, spans.to_vec(), checkpoint, env);
            self.past = Known::Reading(Box::new(rebuild));
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.past {
            Known::Reading(rebuild) => rebuild.deadline(),
            Known::Nothing | Known::All(_) => None,
        }
    }

    /// Time has passed. True if all is known from now on.
    pub(super) fn on_time(&mut self, env: &mut Env) -> bool {
        let Known::Reading(rebuild) = &mut self.past else {
            return false;
        };
        let read = rebuild.on_time(env);
        self.on_read(read)
    }

    /// Takes what a node tells of older epochs. True if all is known from now on.
    pub(super) fn on_fetched(&mut self, from: NodeId, told: &Fetched, env: &mut Env) -> bool {
        let Known::Reading(rebuild) = &mut self.past else {
            return false;
        };
        let read = rebuild.on_fetched(from, told, env);
        self.on_read(read)
    }

    /// Whether it is known what older epochs' records have done, or that it cannot be known.
    pub(super) fn knows(&self) -> bool {
        matches!(self.past, Known::All(_))
    }

    /// The queues of this machine.
    pub(super) fn queues(&self) -> Vec<Queue> {
        let mut queues = vec![Queue {
            name: "sequencer: appends to be judged",
            length: self.waiting.len(),
            bound: WAITING_MAX,
        }];
        if let Known::Reading(rebuild) = &self.past {
            queues.extend(rebuild.queues());
        }
        queues
    }

    fn on_read(&mut self, read: Option<(Past, u32)>) -> bool {
        let Some((past, records)) = read else {
            return false;
        };
        self.unchecked = self.unchecked.saturating_add(records);
        self.know(past);
        true
    }

    /// Judges an append where `last_record` is the last that was placed.
    pub(super) fn rule(&self, append: &Append, last_record: Lsn) -> Ruling {
        if let Some(of) = append.record.attributes.producer {
            let Known::All(all) = &self.past else {
                return Ruling::Wait;
            };
            let producers = &all.placed.judgement.producers;
            match producers.look_up(of) {
                Standing::At(lsn) if !planted!("duplicate-on-retry") => {
                    return Ruling::Duplicate(lsn);
                }
                Standing::Refused(refusal) => return Ruling::Refuse(refusal),
                Standing::Absent if all.placed.lost.producers => {
                    return Ruling::Refuse(Refusal::HistoryLost);
                }
                Standing::Absent | Standing::At(_) => {}
            }
            // Absent within the window means not applied, whatever stands above it.
            if let Some((highest, lsn)) = producers.highest(of.producer)
                && of.sequence <= highest
                && planted!("dedup-by-max")
            {
                return Ruling::Duplicate(lsn);
            }
        }
        let token = match append.conditions.token {
            None => TokenSeen::Unasked,
            Some(_) => match self.token() {
                None => return Ruling::Wait,
                Some(Err(refusal)) => return Ruling::Refuse(refusal),
                Some(Ok(token)) => token.map_or(TokenSeen::NeverSet, TokenSeen::Set),
            },
        };
        let wanted = append.conditions;
        let last_is = wanted.last_record.is_none_or(|it| it == last_record);
        let token_is = wanted.token.is_none_or(|it| token == TokenSeen::Set(it));
        if last_is && token_is {
            Ruling::Place
        } else {
            Ruling::Mismatch(Mismatch { last_record, token })
        }
    }

    /// The token that was placed last; `None` if it is not known yet.
    fn token(&self) -> Option<Result<Option<Token>, Refusal>> {
        match &self.past {
            Known::All(all) if all.placed.lost.token => Some(Err(Refusal::HistoryLost)),
            Known::All(all) => Some(Ok(all.placed.judgement.token)),
            // Whatever was set before.
            Known::Nothing | Known::Reading(_) => self.placed_token.map(|it| Ok(Some(it))),
        }
    }

    /// A record was placed.
    pub(super) fn placed(&mut self, lsn: Lsn, attributes: &Attributes) {
        self.placed_token = attributes.sets_token.or(self.placed_token);
        if let Known::All(all) = &mut self.past {
            all.placed.stands(lsn, attributes);
        }
    }

    /// A record and all below it have retired.
    pub(super) fn settled(&mut self, lsn: Lsn, attributes: &Attributes) {
        self.unchecked = self.unchecked.saturating_add(1);
        self.settled_token = attributes.sets_token.or(self.settled_token);
        if let Known::All(all) = &mut self.past {
            all.settled.stands(lsn, attributes);
        }
    }

    /// How many records there are since the last checkpoint, as far as they are known of.
    pub(super) fn unchecked(&self) -> u32 {
        self.unchecked
    }

    /// What to keep as a checkpoint of the contiguous retired prefix. `None` if it is not known, or if
    /// what was lost would be forgotten to be lost.
    pub(super) fn checkpoint(&mut self) -> Option<Judgement> {
        match &self.past {
            Known::All(all) if !all.settled.lost.producers && !all.settled.lost.token => {
                self.unchecked = 0;
                Some(all.settled.judgement.clone())
            }
            Known::Nothing | Known::Reading(_) | Known::All(_) => None,
        }
    }

    /// Takes an append for later. False if there are too many.
    pub(super) fn wait(&mut self, append: Append) -> bool {
        let room = self.waiting.len() < WAITING_MAX;
        if room {
            self.waiting.push_back(append);
        }
        room
    }

    /// The appends that waited, in the order of their arrival.
    pub(super) fn take_waiting(&mut self) -> VecDeque<Append> {
        std::mem::take(&mut self.waiting)
    }
}
