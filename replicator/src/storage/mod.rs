//! The storage node: keeps copies, obeys seals, serves recoveries and readers.
//!
//! It decides nothing about a log. What it guarantees, each by one durable write before the answer:
//!
//! - What it says it stored survives. Of a log under [`CopyDurability::Memory`] it may not: then the node
//!   knows in its next life that it may lack some of the epoch, and says so whenever its lack of a copy
//!   could count as evidence. The mark that tells it is durable before the first such answer.
//! - After it sealed an epoch it stores nothing more of it, and its answer covers every store it
//!   accepted before: seals and stores pass one queue.
//! - It obeys no recovery ballot below the highest it promised; promises are per epoch.
//! - It serves only what no later decision can change: epochs that the *register* counts as clean and
//!   in which its own copies agree with the decision, and the released part of the reigning epoch.
//!
//! Where each part is: [`state`] what is remembered; [`store`] stores and releases; [`recovery`]
//! seal, digest, mutate, clean; [`purge`] catching up with decisions it was not part of; [`serve`]
//! readers; [`find_time`] what they ask about times; [`repair`] bad copies; [`trim`] what is given up.
//!
//! [`CopyDurability::Memory`]: crate::config::CopyDurability::Memory

mod find_time;
mod purge;
mod recovery;
mod repair;
mod serve;
mod state;
mod store;
mod trim;

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::ports::log_store::{Applied, CorruptCopy, StoreOp};
use hstore_core::{
    Address, Entry, Epoch, LogId, Lsn, NodeId, Offset, StoredCopy, Timestamp, probe,
};

use crate::effects::{
    DiskDone, DiskOwner, DiskRequest, DiskToken, DiskWork, Durability, Env, Event,
};
use crate::message::{Fetch, FoundTime, Message, StorageAnswer, StorageAsk, StoreOutcome};

use crate::queue::Queue;
use state::LogState;
pub(crate) use state::{EpochState, LogBounds};

pub use repair::REPAIRS_MAX;
pub use serve::PARKED_MAX;

/// How many copies one answer to a digest or a fetch carries at most.
pub const COPIES_PER_ANSWER: usize = 64;
/// An answer to a fetch or a digest is cut behind the copy with which it comes to have so many bytes.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;
/// How many disk requests a node waits for at most. What is asked of it meanwhile is dropped, as if the
/// network had lost it; whoever asks asks again.
pub const WAITING_MAX: usize = 8192;

/// A node's side of storing all logs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct StorageNode {
    logs: BTreeMap<LogId, LogState>,
    /// What to do when a disk request completes.
    waiting: BTreeMap<u64, Continuation>,
    next_request: u64,
}

/// What follows a disk completion.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Continuation {
    /// Send this.
    Answer(Address, Message),
    /// Answer an amend, depending on what it met.
    AnswerAmend {
        to: Address,
        log: LogId,
        lsn: Lsn,
        wave: u32,
    },
    /// Answer a digest with what was read.
    AnswerDigest {
        to: Address,
        log: LogId,
        epoch: Epoch,
        ballot: hstore_core::Ballot,
        after: Offset,
    },
    /// Answer a reader with what was read.
    AnswerFetch {
        to: Address,
        log: LogId,
        fetch: Fetch,
        /// Whether what the node lacks of the range was never there.
        authoritative: bool,
    },
    /// Answer a reader that looks for a time.
    AnswerFindTime {
        to: Address,
        log: LogId,
        /// But for what is found.
        told: FoundTime,
    },
    /// Repair the copy if what was read is bad.
    CheckCopy { log: LogId, lsn: Lsn },
    /// Give another node the copy that was read, if it is in order.
    AnswerCopy { to: Address, log: LogId, lsn: Lsn },
    /// Tell observers that a copy is in order again.
    Repaired { log: LogId, lsn: Lsn },
    /// The epoch is known to be dirty, durably: its copies may be answered unsynced.
    Marked { log: LogId, epoch: Epoch },
    /// Write this, once so many more syncs have passed: see [`StorageNode::store_later`].
    StoreLater {
        syncs: u8,
        batch: Vec<StoreOp>,
        until: Durability,
        then: Box<Continuation>,
    },
    /// Nothing: the write stands for itself.
    Nothing,
}

impl StorageNode {
    /// Restores the bounds of a log as they were when the node stopped.
    pub(crate) fn restore_log(&mut self, log: LogId, bounds: LogBounds) {
        self.logs.entry(log).or_default().bounds = bounds;
    }

    /// Restores the state of an epoch as it was when the node stopped.
    pub(crate) fn restore_epoch(&mut self, log: LogId, epoch: Epoch, state: EpochState) {
        let log = self.logs.entry(log).or_default();
        log.epochs.insert(epoch, state);
    }

    /// The durable bounds of a log: the hard seal and the local last clean epoch.
    #[must_use]
    pub fn bounds(&self, log: LogId) -> (Epoch, Epoch) {
        self.logs.get(&log).map_or_else(Default::default, |state| {
            (state.bounds.hard_seal, state.bounds.last_clean)
        })
    }

    /// Up to where this node lets readers of `log` read.
    #[must_use]
    pub fn readable(&self, log: LogId) -> Lsn {
        self.logs.get(&log).map_or(Lsn::MIN, LogState::readable)
    }

    /// When to call [`StorageNode::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.logs.values().filter_map(LogState::deadline).min()
    }

    /// Takes a question.
    pub fn on_ask(&mut self, from: Address, log: LogId, ask: &StorageAsk, env: &mut Env) {
        // What is kept of a log stays: only of those that there are.
        if !env.config.logs.contains_key(&log) || self.is_overloaded() {
            return;
        }
        match ask {
            StorageAsk::Probe { nonce } => {
                let answer = StorageAnswer::Here { nonce: *nonce };
                env.out.send(from, Message::Stored { log, answer });
            }
            StorageAsk::Store {
                lsn,
                wave,
                copyset,
                last_known_good,
                record,
            } => {
                let op = store::put(log, *lsn, *wave, *copyset, *last_known_good, record);
                self.on_store(from, log, *lsn, *wave, *last_known_good, op, env);
            }
            StorageAsk::Amend {
                lsn,
                wave,
                copyset,
                last_known_good,
            } => {
                let op = StoreOp::Amend {
                    log,
                    lsn: *lsn,
                    wave: *wave,
                    copyset: *copyset,
                };
                self.on_store(from, log, *lsn, *wave, *last_known_good, op, env);
            }
            StorageAsk::Release {
                released,
                trim,
                handed,
            } => {
                if let Address::Node(sequencer) = from {
                    self.on_trim(log, *trim, *handed, env);
                    self.on_release(sequencer, log, *released, env);
                }
            }
            StorageAsk::CheckSeal { epoch, nonce } => {
                let state = self.logs.entry(log).or_default();
                let answer = StorageAnswer::Seals {
                    epoch: *epoch,
                    nonce: *nonce,
                    sealed: state.bounds.hard_seal.max(state.soft_seal),
                };
                env.out.send(from, Message::Stored { log, answer });
            }
            StorageAsk::RecoveryMetadata { epoch, ballot } => {
                self.on_metadata_wanted(from, log, *epoch, *ballot, env);
            }
            StorageAsk::Fetch(fetch) => self.on_fetch(from, log, *fetch, env),
            StorageAsk::BadCopy { lsn } => self.on_bad_copy(log, *lsn, env),
            StorageAsk::Copy { lsn } => self.on_copy_wanted(from, log, *lsn, env),
            StorageAsk::FindTime { nonce, time, last } => {
                self.on_find_time(from, log, *nonce, *time, *last, env);
            }
            StorageAsk::Recovery {
                epoch,
                ballot,
                step,
            } => self.on_recovery(from, log, *epoch, *ballot, step, env),
            // For sequencers, and for the second tier.
            StorageAsk::Recovered { .. } | StorageAsk::FetchCold(_) => {}
        }
    }

    /// Takes an answer to a question this node asked as a storage node.
    pub fn on_answer(&mut self, from: NodeId, log: LogId, answer: &StorageAnswer, env: &mut Env) {
        if !env.config.logs.contains_key(&log) || self.is_overloaded() {
            return;
        }
        match answer {
            StorageAnswer::Recovered(epochs) => self.on_recovered(from, log, epochs, env),
            StorageAnswer::RecoveryMetadata {
                epoch,
                ballot,
                metadata: Some(metadata),
            } => self.on_metadata(log, *epoch, *ballot, *metadata, env),
            StorageAnswer::Copy { lsn, copy } => self.on_copy(log, *lsn, copy, env),
            _ => {}
        }
    }

    /// Takes a disk completion.
    pub fn on_disk(&mut self, number: u64, done: DiskDone, env: &mut Env) {
        let Some(continuation) = self.waiting.remove(&number) else {
            return;
        };
        match (continuation, done) {
            (Continuation::Answer(to, message), DiskDone::Wrote(_)) => env.out.send(to, message),
            (Continuation::AnswerAmend { to, log, lsn, wave }, DiskDone::Wrote(applied)) => {
                let outcome = if applied.first() == Some(&Applied::Missing) {
                    probe!("store.amend-missing");
                    StoreOutcome::Missing
                } else {
                    StoreOutcome::Stored
                };
                let answer = StorageAnswer::Store { lsn, wave, outcome };
                env.out.send(to, Message::Stored { log, answer });
            }
            (
                Continuation::AnswerDigest {
                    to,
                    log,
                    epoch,
                    ballot,
                    after,
                },
                DiskDone::Read { copies, passed },
            ) => {
                let copies = in_their_places(log, copies);
                self.answer_digest(to, log, epoch, ballot, after, copies, passed, env);
            }
            (
                Continuation::AnswerFetch {
                    to,
                    log,
                    fetch,
                    authoritative,
                },
                DiskDone::Read { copies, passed },
            ) => {
                let copies = in_their_places(log, copies);
                self.answer_fetch(to, log, fetch, authoritative, copies, passed, env);
            }
            (Continuation::AnswerFindTime { to, log, told }, DiskDone::FoundTime(first)) => {
                find_time::answer(to, log, told, first, env)
            }
            (Continuation::CheckCopy { log, lsn }, DiskDone::Read { copies, .. }) => {
                let copies = in_their_places(log, copies);
                self.on_copy_checked(log, lsn, &copies, env);
            }
            (Continuation::AnswerCopy { to, log, lsn }, DiskDone::Read { copies, .. }) => {
                let copies = in_their_places(log, copies);
                repair::answer_copy(to, log, lsn, copies, env);
            }
            (Continuation::Repaired { log, lsn }, DiskDone::Wrote(_)) => {
                repair::tell_repaired(log, lsn, env);
            }
            (Continuation::Marked { log, epoch }, DiskDone::Wrote(_)) => {
                self.logs.entry(log).or_default().marked.insert(epoch);
            }
            (
                Continuation::StoreLater {
                    syncs,
                    batch,
                    until,
                    then,
                },
                DiskDone::Wrote(_),
            ) => self.store_later(syncs, batch, until, *then, env),
            (Continuation::Nothing, DiskDone::Wrote(_)) => {}
            (continuation, done) => {
                unreachable!("{continuation:?} was completed by {done:?}: the host mixed up tokens")
            }
        }
    }

    /// Time has passed: asks again what is unanswered.
    pub fn on_time(&mut self, env: &mut Env) {
        let due: BTreeSet<LogId> = self
            .logs
            .iter()
            .filter(|(_, state)| state.deadline().is_some_and(|at| at <= env.now))
            .map(|(&log, _)| log)
            .collect();
        for log in due {
            self.ask_again(log, env);
            self.drop_stale_fetches(log, env);
            self.drop_stale_repairs(log, env);
        }
    }

    /// Whether too many disk requests are under way to take more work.
    fn is_overloaded(&self) -> bool {
        self.waiting.len() >= WAITING_MAX
    }

    /// The queues of this machine.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        // Waking readers is not refused.
        let waiting = Queue {
            name: "storage: disk requests under way",
            length: self.waiting.len(),
            bound: WAITING_MAX + PARKED_MAX,
        };
        let of_logs = self.logs.values().flat_map(LogState::queues);
        std::iter::once(waiting).chain(of_logs)
    }

    /// Writes `batch`; `then` follows once it is as durable as `until`.
    fn write(&mut self, batch: Vec<StoreOp>, until: Durability, then: Continuation, env: &mut Env) {
        self.request(DiskWork::Write { batch, until }, then, env);
    }

    fn request(&mut self, work: DiskWork, then: Continuation, env: &mut Env) {
        let number = self.next_request;
        self.next_request += 1;
        self.waiting.insert(number, then);
        env.out.disk.push(DiskRequest {
            token: DiskToken {
                owner: DiskOwner::Storage,
                number,
            },
            work,
        });
    }

    /// Tells observers the bounds of a log after they changed.
    fn tell_bounds(&self, log: LogId, env: &mut Env) {
        let (sealed, clean) = self.bounds(log);
        env.out.events.push(Event::Bounds { log, sealed, clean });
    }
}

/// Copies as a disk gave them: by place, unless it could not read one.
type Copies = Vec<(Lsn, Result<StoredCopy, CorruptCopy>)>;

/// Counts a record that belongs elsewhere as one that cannot be read: the disk mixed up its copies.
fn in_their_places(log: LogId, mut copies: Copies) -> Copies {
    for (lsn, copy) in &mut copies {
        if let Ok(StoredCopy {
            entry: Entry::Record(it),
            ..
        }) = copy
            && !it.belongs_at(log, *lsn)
        {
            *copy = Err(CorruptCopy);
        }
    }
    copies
}
