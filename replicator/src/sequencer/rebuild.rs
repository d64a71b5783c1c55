//! Finding out what the records of older epochs have done: a checkpoint, and the log read on from there.
//!
//! It begins once every older epoch is clean, so what is read stands for good. The log is read as clients
//! read it, in chunks, up to the end of the epoch before the reign's. A node that has yet to catch up
//! with the last recovery answers late; nothing else depends on that.
//!
//! If records were lost, nobody knows what they set and whose they were: that is kept as [`Lost`].

use hstore_core::{Attributes, Entry, Epoch, LogId, Lsn, NodeId, Timestamp};

use crate::effects::Env;
use crate::message::EpochSpan;
use crate::reader::{Delivery, GapKind, Reader};
use crate::register::{Checkpoint, Judgement};

/// How many records are read at a time.
const CHUNK: usize = 256;

/// What cannot be told for lost records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Lost {
    /// Which token was set last.
    pub(super) token: bool,
    /// Which records of which producers stand, apart from those that are known to.
    pub(super) producers: bool,
}

/// What the records up to some LSN have done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Past {
    pub(super) judgement: Judgement,
    pub(super) lost: Lost,
}

impl Past {
    /// A record stands at `lsn`, above all that were told before.
    pub(super) fn stands(&mut self, lsn: Lsn, attributes: &Attributes) {
        self.judgement.stands(lsn, attributes);
        self.lost.token &= attributes.sets_token.is_none();
    }
}

/// The reading, on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Rebuild {
    log: LogId,
    spans: Vec<EpochSpan>,
    /// The epoch that reads: all before it is read.
    epoch: Epoch,
    chunk: u32,
    reader: Reader,
    past: Past,
    /// Records read.
    records: u32,
}

impl Rebuild {
    pub(super) fn start(
        log: LogId,
        epoch: Epoch,
        spans: Vec<EpochSpan>,
        checkpoint: &Checkpoint,
        env: &mut Env,
    ) -> Self {
        let from = checkpoint.as_of.successor();
        let mut rebuild = Self {
            log,
            reader: reader(log, epoch, &spans, from, env.now),
            spans,
            epoch,
            chunk: 0,
            past: Past {
                judgement: checkpoint.judgement.clone(),
                lost: Lost::default(),
            },
            records: 0,
        };
        rebuild.ask(env);
        rebuild
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.reader.deadline()
    }

    /// Time has passed. Returns the past and how many records were read once all is known.
    pub(super) fn on_time(&mut self, env: &mut Env) -> Option<(Past, u32)> {
        self.ask(env);
        self.go_on(env)
    }

    /// Takes a node's answer.
    pub(super) fn on_fetched(
        &mut self,
        from: NodeId,
        nonce: u64,
        entries: &[(Lsn, Option<Entry>)],
        passed: Lsn,
        authoritative: bool,
        env: &mut Env,
    ) -> Option<(Past, u32)> {
        if nonce != self.nonce() {
            return None;
        }
        let timing = &env.config.timing;
        self.reader
            .on_fetched(from, entries, passed, authoritative, env.now, timing);
        self.ask(env);
        self.go_on(env)
    }

    /// Names the questions of a chunk. An answer to another chunk's, or to another reign's, may begin
    /// above what is read now and would make what lies between look absent.
    fn nonce(&self) -> u64 {
        Lsn::new(self.epoch.0, self.chunk).as_u64()
    }

    fn ask(&mut self, env: &mut Env) {
        let nonce = self.nonce();
        let (now, timing) = (env.now, &env.config.timing);
        let out = &mut env.out;
        self.reader
            .on_time(now, timing, nonce, &mut |node, message| {
                out.send(node, message);
            });
    }

    /// Takes what was read, chunk by chunk.
    fn go_on(&mut self, env: &mut Env) -> Option<(Past, u32)> {
        while let Some(deliveries) = self.reader.take_complete() {
            let mut last = Lsn::MIN;
            for delivery in deliveries {
                match delivery {
                    Delivery::Record(lsn, it) => {
                        self.past.stands(lsn, &it.record.attributes);
                        self.records += 1;
                        last = lsn;
                    }
                    Delivery::Gap {
                        kind, last: end, ..
                    } => {
                        if kind == GapKind::DataLoss {
                            self.past.lost = Lost {
                                token: true,
                                producers: true,
                            };
                        }
                        last = end;
                    }
                }
            }
            let next = last.successor();
            if last == Lsn::MIN || next >= end(self.epoch) {
                return Some((std::mem::take(&mut self.past), self.records));
            }
            self.chunk += 1;
            self.reader = reader(self.log, self.epoch, &self.spans, next, env.now);
            self.ask(env);
        }
        None
    }
}

fn reader(log: LogId, epoch: Epoch, spans: &[EpochSpan], from: Lsn, now: Timestamp) -> Reader {
    Reader::new(log, spans.to_vec(), from, end(epoch), CHUNK, now)
}

/// Where the reading of a reign over `epoch` ends: the last LSN of the epoch before, which no record has.
fn end(epoch: Epoch) -> Lsn {
    Lsn::end_of(epoch.prev())
}
