//! The simulated clients: processes that carry out a workload and record what they did and saw.

use std::sync::Arc;

use hstore_core::{ClientId, LogId, Lsn, Offset, Record, Timestamp, Token};
use hstore_replicator::client::{Call, Client, ClientOutputs, Outcome};
use hstore_replicator::config::ClusterConfig;
use hstore_replicator::message::{Conditions, Mismatch, TokenSeen};
use hstore_replicator::reader::Delivery;
use hstore_workloads::Operation;
use jepsen_lite::history::{self, OpId, ProcessId, ReadOutcome, RecordId, Recorder, Terms};

use crate::lost::Lost;
use crate::told;

/// One place at which a client process works. A process that does not know how its operation ended is
/// followed by a new one.
#[derive(Debug)]
pub struct Slot {
    /// The process.
    pub client: Client,
    /// What it is doing.
    pub running: Option<Running>,
    /// When its timer is set for.
    pub timer: Option<Timestamp>,
    /// Whether it takes operations of the workload.
    pub worker: bool,
    /// How long it pauses before the next of them, in microseconds.
    pub pause_us: u64,
    /// Up to where the running operation was told of the second tier.
    pub cold: Option<Lsn>,
}

/// An operation on its way.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Its number in the history.
    pub op: OpId,
    /// The log it is about.
    pub log: LogId,
    /// Whether it is an append.
    pub append: bool,
    /// The token it sets.
    pub sets: Option<Token>,
    /// Whether it is a poll.
    poll: bool,
}

/// How an operation ended, for those who count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A record stands here, and has set a token.
    Appended(LogId, Lsn, Option<Token>),
    /// An append had no effect: the last record was this one, the token that one.
    AppendMismatched(LogId, Lsn, Option<Token>),
    /// An append had no effect.
    AppendFailed,
    /// Nobody knows what an append came to.
    AppendUnknown,
    /// A read told so many records.
    Read(usize),
    /// A tail was told.
    Tail,
    /// A poll told so many records.
    Poll(usize),
    /// A trim holds.
    Trimmed,
    /// A trim had no effect.
    TrimFailed,
    /// Something else than an append was not answered.
    Unanswered,
}

impl Slot {
    /// A place with its first process.
    #[must_use]
    pub fn new(id: ClientId, config: &Arc<ClusterConfig>, seed: u64, worker: bool) -> Self {
        Self {
            client: Client::new(id, Arc::clone(config), seed),
            running: None,
            timer: None,
            worker,
            pause_us: 0,
            cold: None,
        }
    }

    /// Begins an operation, and returns its number in the history.
    pub fn begin(
        &mut self,
        now: Timestamp,
        operation: Operation,
        is_final: bool,
        recorder: &mut Recorder,
        out: &mut ClientOutputs,
    ) -> OpId {
        self.cold = None;
        let process = ProcessId(self.client.id().0);
        let (log, call, asked) = match operation {
            Operation::Append {
                log,
                id,
                payload,
                attributes,
                last_record,
                token,
            } => (
                log,
                Call::Append {
                    log,
                    record: Record::with(payload, attributes),
                    conditions: Conditions { last_record, token },
                },
                history::Call::Append {
                    record: RecordId(id),
                    terms: Terms {
                        last: last_record,
                        token: token.map(told_token),
                        sets: attributes.sets_token.map(told_token),
                    },
                },
            ),
            Operation::Read { log, from, limit } => (
                log,
                Call::Read {
                    log,
                    from,
                    limit: limit as usize,
                },
                history::Call::read(from, limit, is_final),
            ),
            Operation::Tail { log } => (log, Call::Tail { log }, history::Call::Tail),
            Operation::Poll { log, from, limit } => {
                let asked = history::Call::Poll {
                    from,
                    limit,
                    subscription: None,
                };
                let limit = limit as usize;
                (log, Call::Poll { log, from, limit }, asked)
            }
            Operation::Trim { log, upto } => {
                (log, Call::Trim { log, upto }, history::Call::Trim { upto })
            }
        };
        let append = matches!(asked, history::Call::Append { .. });
        let poll = matches!(asked, history::Call::Poll { .. });
        let sets = match &call {
            Call::Append { record, .. } => record.attributes.sets_token,
            _ => None,
        };
        let op = recorder
            .invoke(process, log, asked, now.0)
            .expect("a process has one operation at a time");
        self.running = Some(Running {
            op,
            log,
            append,
            sets,
            poll,
        });
        self.client.call(now, call, out);
        op
    }

    /// Records the end of the running operation, as if nothing was lost that may be told as `lost`. Returns
    /// its number in the history, and how it ended.
    pub fn end(
        &mut self,
        now: Timestamp,
        outcome: Outcome,
        lost: &mut Lost,
        recorder: &mut Recorder,
    ) -> (OpId, Ended) {
        let running = self.running.take().expect("a call that ended was running");
        let ok = |recorder: &mut Recorder, outcome| {
            recorder
                .answer(running.op, outcome, now.0)
                .expect("an operation ends once, as its kind ends");
        };
        let ended = match outcome {
            Outcome::Appended(lsn) => {
                ok(recorder, history::Outcome::Append { lsn });
                Ended::Appended(running.log, lsn, running.sets)
            }
            Outcome::Mismatch(Mismatch { last_record, token }) => {
                let told = history::Mismatch {
                    last: Some(last_record),
                    token: match token {
                        TokenSeen::Unasked => None,
                        TokenSeen::NeverSet => Some(None),
                        TokenSeen::Set(token) => Some(Some(told_token(token))),
                    },
                };
                ok(recorder, history::Outcome::Mismatch(told));
                let token = match token {
                    TokenSeen::Set(token) => Some(token),
                    TokenSeen::Unasked | TokenSeen::NeverSet => None,
                };
                Ended::AppendMismatched(running.log, last_record, token)
            }
            Outcome::Tail(tail) => {
                ok(recorder, history::Outcome::Tail { tail });
                Ended::Tail
            }
            Outcome::Read { deliveries, tail } => {
                let mut read = read_outcome(running.log, &deliveries, tail, lost);
                let records = read.records.len();
                if running.poll {
                    read = ReadOutcome::of_poll(read.records, read.gaps);
                }
                ok(recorder, history::Outcome::Read(read));
                if running.poll {
                    Ended::Poll(records)
                } else {
                    Ended::Read(records)
                }
            }
            Outcome::Moved(_) => unreachable!("only the administrator moves logs"),
            Outcome::Trimmed => {
                ok(recorder, history::Outcome::Trim);
                Ended::Trimmed
            }
            Outcome::Failed | Outcome::Refused(_) | Outcome::NotReleased { .. } => {
                recorder
                    .fail(running.op, now.0)
                    .expect("an operation ends once");
                if running.append {
                    Ended::AppendFailed
                } else {
                    Ended::TrimFailed
                }
            }
            Outcome::Found(_) | Outcome::Empty(_) | Outcome::Again => {
                unreachable!("no workload asks for that")
            }
            Outcome::Unknown => {
                recorder
                    .info(running.op, now.0)
                    .expect("an operation ends once");
                if running.append {
                    Ended::AppendUnknown
                } else {
                    Ended::Unanswered
                }
            }
        };
        (running.op, ended)
    }
}

/// A token as the history tells it.
fn told_token(token: Token) -> history::Token {
    history::Token(token.0)
}

/// A read as the history tells it.
fn read_outcome(log: LogId, deliveries: &[Delivery], tail: Lsn, lost: &mut Lost) -> ReadOutcome {
    let mut read = ReadOutcome {
        tail,
        ..ReadOutcome::default()
    };
    for delivery in deliveries {
        match delivery {
            Delivery::Record(lsn, it) => {
                read.records.push(told::record(*lsn, &it.record.payload));
            }
            Delivery::Gap { kind, first, last } => {
                // The history tells a read up to its tail.
                let end = Lsn::at(tail.epoch, Offset(tail.offset.0 - 1));
                let last = if *last < tail { *last } else { end };
                let gap = told::gap(*kind, *first, last);
                if gap.kind == history::GapKind::DataLoss {
                    let (records, gaps) = lost.restore(log, gap);
                    read.records.extend(records);
                    read.gaps.extend(gaps);
                } else {
                    read.gaps.push(gap);
                }
            }
        }
    }
    read
}
