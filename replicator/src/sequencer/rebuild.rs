//! Finding out what the records of older epochs have done: a checkpoint, and the log read on from there.
//!
//! It begins once every older epoch is clean, so what is read stands for good. The log is read as clients
//! read it, up to the end of the epoch before the reign's. A node that has yet to catch up
//! with the last recovery answers late; nothing else depends on that.
//!
//! If records were lost, nobody knows what they set and whose they were: that is kept as [`Lost`].

use hstore_core::{Attributes, Epoch, LogId, Lsn, NodeId, NodeSet, Timestamp, probe};

use crate::effects::Env;
use crate::message::{EpochSpan, Fetched};
use crate::queue::Queue;
use crate::reader::{Delivery, GapKind, Range, Reader};
use crate::register::{Checkpoint, Judgement};

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
    reader: Reader,
    /// Names the reader's questions: the epoch that reads. An answer to another reign's question may
    /// begin above what is read now and would make what lies between look absent.
    nonce: u64,
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
        let nonce = Lsn::before(epoch).as_u64();
        let range = Range {
            from: checkpoint.as_of.successor(),
            // The last LSN of the epoch before, which no record has.
            until: Lsn::end_of(epoch.prev()),
            limit: usize::MAX,
            trim: Lsn::MIN,
            down: NodeSet::EMPTY,
            // What is read stands behind a checkpoint, and nothing there was handed over.
            second_tier: None,
            is_tiered: false,
        };
        let mut rebuild = Self {
            reader: Reader::new(log, spans, &range, nonce),
            nonce,
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

    /// The queues of this machine.
    pub(super) fn queues(&self) -> impl Iterator<Item = Queue> {
        self.reader.queues()
    }

    /// Time has passed. Returns the past and how many records were read once all is known.
    pub(super) fn on_time(&mut self, env: &mut Env) -> Option<(Past, u32)> {
        self.go_on(env)
    }

    /// Takes a node's answer.
    pub(super) fn on_fetched(
        &mut self,
        from: NodeId,
        told: &Fetched,
        env: &mut Env,
    ) -> Option<(Past, u32)> {
        if told.nonce != self.nonce {
            probe!("rebuild.answer-of-another-reign");
            return None;
        }
        self.reader
            .on_fetched(from, told, env.now, &env.config.timing);
        self.go_on(env)
    }

    fn ask(&mut self, env: &mut Env) {
        let (now, timing) = (env.now, &env.config.timing);
        let out = &mut env.out;
        self.reader.on_time(now, timing, &mut |node, message| {
            out.send(node, message);
        });
    }

    /// Takes what was read, as long as there is more.
    fn go_on(&mut self, env: &mut Env) -> Option<(Past, u32)> {
        loop {
            self.ask(env);
            let taken = self.reader.take();
            if taken.is_empty() {
                break;
            }
            for delivery in taken {
                match delivery {
                    Delivery::Record(lsn, it) => {
                        self.past.stands(lsn, &it.record.attributes);
                        self.records += 1;
                    }
                    // Only what a checkpoint covers is given up, unless it was lost before.
                    Delivery::Gap {
                        kind: GapKind::DataLoss | GapKind::Trim,
                        ..
                    } => {
                        self.past.lost = Lost {
                            token: true,
                            producers: true,
                        };
                    }
                    Delivery::Gap { .. } => {}
                }
            }
        }
        let all = self.reader.is_complete();
        all.then(|| (std::mem::take(&mut self.past), self.records))
    }
}
