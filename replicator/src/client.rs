//! The client: appends, tails and reads, to whichever node sequences a log.
//!
//! The outcome of an append is one of three, and they are kept apart: it stands at an LSN; it certainly
//! has no effect, for some reason; or nobody can say. An append that a node may have received is never
//! sent again, conditional or not; only one that names its producer and sequence is, under a new request
//! number, until it is answered or the time is over. However often that one is taken, it stands once.
//!
//! Once a request of an append has been left without an answer, nothing but its LSN is certain any more.
//! That a later request was refused says nothing of the earlier one: it may yet arrive, and be taken.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hstore_core::{
    ClientId, Epoch, Incarnation, LogId, Lsn, NodeId, NodeSet, Record, Rng, Timestamp, WallTime,
    probe,
};
use serde::Serialize;

use crate::config::{ClusterConfig, Timing};
use crate::find_time::Search;
use crate::message::{
    ClientAnswer, ClientAsk, Cold, Conditions, EpochSpan, Fetched, FoundTime, Message, Mismatch,
    Move, Refusal, Reply, Request, StorageAnswer,
};
use crate::patience::Patience;
use crate::queue::Queue;
use crate::reader::{Delivery, GapKind, Range, Reader};

/// How many calls a client has open at most; more fail at once.
pub const CALLS_MAX: usize = 1024;
/// How long a client remembers that a node was slow to answer a reader.
const DOWN_FOR: Duration = Duration::from_millis(500);
/// Of so many requests it is remembered when they were sent.
const SENT_MAX: usize = 64;

/// What a client can be asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    /// Append a record.
    Append {
        /// To this log.
        log: LogId,
        /// With the checksum taken where the payload was made.
        record: Record,
        /// What must be so.
        conditions: Conditions,
    },
    /// Where does the log end? Linearizable.
    Tail {
        /// Which log.
        log: LogId,
    },
    /// Read from an LSN to the end of the log as it is now, or to a number of records. Linearizable:
    /// the end is taken first, and the read waits until all before it is released.
    Read {
        /// Which log.
        log: LogId,
        /// From here.
        from: Lsn,
        /// At most so many records.
        limit: usize,
    },
    /// Begin a new epoch.
    Move {
        /// Of which log.
        log: LogId,
        /// With another leader, on other nodes, or both.
        wanted: Move,
        /// Not in good order: whoever is to lead takes over, whatever the sequencer is doing. Only if
        /// somebody is named.
        by_hand: bool,
    },
    /// Read from an LSN what is released, or a number of records of that. Not linearizable, but never less
    /// than the client was told of before.
    Poll {
        /// Which log.
        log: LogId,
        /// From here.
        from: Lsn,
        /// At most so many records.
        limit: usize,
    },
    /// Give up all records up to an LSN.
    Trim {
        /// Of this log.
        log: LogId,
        /// The last LSN to be given up. It must be released.
        upto: Lsn,
    },
    /// Where does a time begin?
    FindTime {
        /// In this log.
        log: LogId,
        /// The time, by the sequencers' clocks.
        time: WallTime,
    },
    /// Does the log hold no record, or none that was not given up? Linearizable.
    IsEmpty {
        /// Which log.
        log: LogId,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Outcome {
    /// The record stands here.
    Appended(Lsn),
    /// The log ended here: the next LSN to be given.
    Tail(Lsn),
    /// A read.
    Read {
        /// Records and gaps, in order.
        deliveries: Vec<Delivery>,
        /// The end of the log that the read took; for a poll, what follows the last LSN it was told of
        /// as released.
        tail: Lsn,
    },
    /// The log moved: this epoch has begun.
    Moved(Epoch),
    /// Certainly no effect: what the append demands was not so.
    Mismatch(Mismatch),
    /// Certainly no effect: the log cannot take the append.
    Refused(Refusal),
    /// The trim holds.
    Trimmed,
    /// The trim reaches beyond what is released: certainly no effect.
    NotReleased {
        /// Up to here is released.
        released: Lsn,
    },
    /// No released record of the time or a later one lies before this LSN.
    Found(Lsn),
    /// Whether the log was empty.
    Empty(bool),
    /// Whether the log is empty cannot be told now.
    Again,
    /// Certainly no effect: no node took the request in time.
    Failed,
    /// A question without an answer, or an append, a trim or a move whose fate nobody can tell.
    Unknown,
}

impl Outcome {
    /// Whether the call certainly had no effect and never will have one.
    #[must_use]
    pub fn is_without_effect(&self) -> bool {
        match self {
            Self::Mismatch(_) | Self::Refused(_) | Self::NotReleased { .. } | Self::Failed => true,
            Self::Appended(_)
            | Self::Tail(_)
            | Self::Read { .. }
            | Self::Moved(_)
            | Self::Trimmed
            | Self::Found(_)
            | Self::Empty(_)
            | Self::Again
            | Self::Unknown => false,
        }
    }

    /// Whether the same call may be made again, as it is, without the danger of appending twice, and might
    /// end otherwise. `idempotent`: it is an append that names its producer and sequence, or no append.
    #[must_use]
    pub fn may_retry(&self, idempotent: bool) -> bool {
        match self {
            Self::Failed | Self::Again => true,
            Self::Unknown => idempotent,
            // The log will have to change first, or the conditions.
            Self::Mismatch(_) | Self::Refused(_) | Self::NotReleased { .. } => false,
            Self::Appended(_)
            | Self::Tail(_)
            | Self::Read { .. }
            | Self::Moved(_)
            | Self::Trimmed
            | Self::Found(_)
            | Self::Empty(_) => false,
        }
    }
}

/// Names a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// What a client puts out in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientOutputs {
    /// Messages to send.
    pub messages: Vec<(NodeId, Message)>,
    /// Calls that ended.
    pub done: Vec<(CallId, Outcome)>,
}

/// How long an answer is waited for at least: so long as nothing else is known, that suffices.
fn answer_takes(timing: &Timing) -> Duration {
    timing.client_retry * 8
}

/// A client process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    id: ClientId,
    config: Arc<ClusterConfig>,
    rng: Rng,
    /// Who answers for a log, for all this client knows.
    leaders: BTreeMap<LogId, NodeId>,
    /// What this client was told of as released. It stays so, whatever a deposed sequencer says.
    released: BTreeMap<LogId, Released>,
    /// Nodes that were slow to answer a reader, and until when that is remembered.
    down: BTreeMap<NodeId, Timestamp>,
    /// The lives of nodes, as far as known.
    incarnations: BTreeMap<NodeId, Incarnation>,
    /// When the last requests were sent, at most [`SENT_MAX`], by number.
    sent: BTreeMap<u64, Timestamp>,
    /// How long answers of nodes take.
    patience: BTreeMap<NodeId, Patience>,
    next_number: u64,
    next_call: u64,
    calls: BTreeMap<CallId, Running>,
}

/// What may be read of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Released {
    /// Up to here.
    upto: Lsn,
    trim: Lsn,
    epochs: Vec<EpochSpan>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Running {
    call: Call,
    phase: Phase,
    /// After this the client gives up.
    deadline: Timestamp,
    /// A request that might have an effect is on its way, unanswered.
    exposed: bool,
    /// An earlier request might have had an effect, or might yet.
    in_doubt: bool,
    /// How many requests were sent that a node may have taken.
    tries: u32,
    /// A hint was followed since the last pause: two nodes may point at each other.
    hinted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Waiting { retry_at: Timestamp },
    /// A request is on its way.
    Asking {
        node: NodeId,
        number: u64,
        /// Ask again, where that is harmless.
        retry_at: Timestamp,
    },
    /// The tail is known; the records come.
    Reading {
        reader: Box<Reader>,
        /// What was delivered so far: as much as the caller's limit allows.
        deliveries: Vec<Delivery>,
        tail: Lsn,
        nonce: u64,
    },
    /// The nodes look for a time.
    Searching { search: Box<Search>, nonce: u64 },
}

impl Client {
    /// A client that has asked nothing yet. `id` must never have been used before.
    #[must_use]
    pub fn new(id: ClientId, config: Arc<ClusterConfig>, seed: u64) -> Self {
        Self {
            id,
            config,
            rng: Rng::from_seed(seed),
            leaders: BTreeMap::new(),
            released: BTreeMap::new(),
            down: BTreeMap::new(),
            incarnations: BTreeMap::new(),
            sent: BTreeMap::new(),
            patience: BTreeMap::new(),
            next_number: 1,
            next_call: 0,
            calls: BTreeMap::new(),
        }
    }

    /// The process.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Begins a call.
    pub fn call(&mut self, now: Timestamp, call: Call, out: &mut ClientOutputs) -> CallId {
        let id = CallId(self.next_call);
        self.next_call += 1;
        if self.calls.len() >= CALLS_MAX {
            out.done.push((id, Outcome::Failed));
            return id;
        }
        let running = Running {
            call,
            phase: Phase::Waiting { retry_at: now },
            deadline: now + self.config.timing.operation_timeout,
            exposed: false,
            in_doubt: false,
            tries: 0,
            hinted: false,
        };
        self.calls.insert(id, running);
        self.ask(now, id, out);
        id
    }

    /// The queues of this machine and its readers.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        let calls = Queue {
            name: "client: calls",
            length: self.calls.len(),
            bound: CALLS_MAX,
        };
        let readers = self.calls.values().filter_map(|it| match &it.phase {
            Phase::Reading { reader, .. } => Some(reader.queues()),
            _ => None,
        });
        std::iter::once(calls).chain(readers.flatten())
    }

    /// When to call [`Client::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let of = |running: &Running| {
            let phase = match &running.phase {
                Phase::Waiting { retry_at } | Phase::Asking { retry_at, .. } => Some(*retry_at),
                Phase::Reading { reader, .. } => reader.deadline(),
                Phase::Searching { search, .. } => Some(search.deadline()),
            };
            phase.map_or(running.deadline, |at| at.min(running.deadline))
        };
        self.calls.values().map(of).min()
    }

    /// Takes a message.
    pub fn on_message(
        &mut self,
        now: Timestamp,
        from: NodeId,
        message: &Message,
        out: &mut ClientOutputs,
    ) {
        match message {
            Message::Reply(reply) => self.on_reply(now, from, reply, out),
            Message::Stored {
                answer: StorageAnswer::Fetched(told),
                ..
            } => self.on_fetched(now, from, told, out),
            Message::Stored {
                answer: StorageAnswer::Cold(told),
                ..
            } => self.on_cold(now, from, told, out),
            Message::Stored {
                answer: StorageAnswer::FoundTime(told),
                ..
            } => self.on_found_time(now, from, told, out),
            // Clients are told nothing else.
            _ => {}
        }
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Timestamp, out: &mut ClientOutputs) {
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            let running = &self.calls[&id];
            if running.deadline <= now {
                let in_doubt = match running.call {
                    // Asked again and again: any of the requests may have had its effect.
                    Call::Trim { .. } => running.tries > 0,
                    _ => running.exposed,
                };
                let outcome = if in_doubt || !running.call.has_effects() {
                    Outcome::Unknown
                } else {
                    Outcome::Failed
                };
                if let Phase::Asking { node, .. } = running.phase {
                    let log = running.call.log();
                    self.forget_leader(log, node);
                    self.patience.remove(&node);
                }
                self.end_without(id, outcome, out);
                continue;
            }
            match running.phase {
                Phase::Waiting { retry_at } if retry_at <= now => {
                    let running = self.calls.get_mut(&id).expect("running");
                    running.hinted = false;
                    self.ask(now, id, out);
                }
                Phase::Asking { node, retry_at, .. } if retry_at <= now => {
                    let must_wait = running.exposed && !running.call.may_repeat();
                    let log = running.call.log();
                    self.forget_leader(log, node);
                    if must_wait {
                        probe!("client.must-not-ask-again");
                        // Asking again could append twice.
                        self.wait_on(id);
                    } else {
                        self.ask(now, id, out);
                    }
                }
                Phase::Reading { .. } => self.read_on(now, id, out),
                Phase::Searching { .. } => self.search_on(now, id, out),
                Phase::Waiting { .. } | Phase::Asking { .. } => {}
            }
        }
    }

    /// Nothing left to do for a call but wait for its answer or its deadline.
    fn wait_on(&mut self, id: CallId) {
        let running = self.calls.get_mut(&id).expect("running");
        let deadline = running.deadline;
        if let Phase::Asking { retry_at, .. } = &mut running.phase {
            *retry_at = deadline;
        }
    }

    /// Sends the request of a call to the node that should answer it.
    fn ask(&mut self, now: Timestamp, id: CallId, out: &mut ClientOutputs) {
        let call = &self.calls[&id].call;
        let log = call.log();
        let node = match (call, self.leaders.get(&log)) {
            (
                Call::Move {
                    wanted: Move { to: Some(to), .. },
                    by_hand: true,
                    ..
                },
                _,
            ) => *to,
            (_, Some(&node)) => node,
            (_, None) => {
                // Whoever is to lead and does not would take over at once.
                let heir = match call {
                    Call::Move { wanted, .. } => wanted.to,
                    _ => None,
                };
                let mut nodes: Vec<NodeId> = self.config.nodes.keys().copied().collect();
                if nodes.len() > 1 {
                    nodes.retain(|&node| Some(node) != heir);
                }
                *self.rng.pick(&nodes).expect("a cluster has nodes")
            }
        };
        let number = self.next_number;
        self.next_number += 1;
        let running = self.calls.get_mut(&id).expect("running");
        // No node has life 0: it refuses and tells its own. Such a request has no effect.
        let incarnation = self.incarnations.get(&node).copied().unwrap_or_default();
        running.in_doubt |= running.exposed;
        running.exposed = incarnation != Incarnation(0);
        running.tries += u32::from(running.exposed);
        let ask = match &running.call {
            Call::Append {
                record, conditions, ..
            } => ClientAsk::Append {
                record: record.clone(),
                conditions: *conditions,
            },
            Call::Move { wanted, .. } => ClientAsk::Move(wanted.clone()),
            Call::Tail { .. } | Call::Read { .. } => ClientAsk::Tail,
            Call::Poll { .. } | Call::FindTime { .. } => ClientAsk::Poll,
            Call::Trim { upto, .. } => ClientAsk::Trim(*upto),
            Call::IsEmpty { .. } => ClientAsk::IsEmpty,
        };
        let patience = self.patience.get(&node).copied().unwrap_or_default();
        let patience = patience.after(0, answer_takes(&self.config.timing));
        // However long answers took: a node that is gone must not take all of a call's time.
        let patience = patience.min(self.config.timing.operation_timeout / 3);
        running.phase = Phase::Asking {
            node,
            number,
            retry_at: now + patience,
        };
        if self.sent.len() == SENT_MAX {
            self.sent.pop_first();
        }
        self.sent.insert(number, now);
        let request = Request {
            incarnation,
            number,
            log,
            ask,
        };
        out.messages.push((node, Message::Request(request)));
    }

    fn on_reply(&mut self, now: Timestamp, from: NodeId, reply: &Reply, out: &mut ClientOutputs) {
        // Also of an answer that comes when the node was asked again, or another one: where all are late,
        // nothing else would ever be learned.
        if let Some(sent) = self.sent.remove(&reply.number) {
            let shortest = answer_takes(&self.config.timing);
            let patience = self.patience.entry(from).or_default();
            patience.answered(now.since(sent), shortest);
        }
        if let ClientAnswer::WrongIncarnation(incarnation) = &reply.answer {
            let known = self.incarnations.entry(from).or_default();
            *known = (*known).max(*incarnation);
        }
        let found = self
            .calls
            .iter()
            .find_map(|(&id, running)| match running.phase {
                Phase::Asking { node, number, .. } if number == reply.number && node == from => {
                    Some(id)
                }
                _ => None,
            });
        let Some(id) = found else {
            return;
        };
        let log = self.calls[&id].call.log();
        let retry_at = now + self.config.timing.client_retry;
        let running = self.calls.get_mut(&id).expect("just found");
        match &reply.answer {
            ClientAnswer::Appended(lsn) => {
                self.leaders.insert(log, from);
                self.end(id, Outcome::Appended(*lsn), out);
            }
            ClientAnswer::Moved(epoch) => {
                let leader = match &running.call {
                    Call::Move { wanted, .. } => wanted.to.unwrap_or(from),
                    _ => from,
                };
                self.leaders.insert(log, leader);
                self.end(id, Outcome::Moved(*epoch), out);
            }
            ClientAnswer::Unknown if running.call.is_named_append() => {
                probe!("client.named-append-in-doubt");
                running.in_doubt = true;
                running.exposed = false;
                running.phase = Phase::Waiting { retry_at };
                self.forget_leader(log, from);
            }
            ClientAnswer::Unknown => self.end(id, Outcome::Unknown, out),
            ClientAnswer::Mismatch(mismatch) => {
                self.leaders.insert(log, from);
                self.end_without(id, Outcome::Mismatch(*mismatch), out);
            }
            ClientAnswer::Refused(why) => {
                self.leaders.insert(log, from);
                self.end_without(id, Outcome::Refused(*why), out);
            }
            ClientAnswer::Tail { lsn, trim, epochs } => {
                self.leaders.insert(log, from);
                match running.call {
                    Call::Read {
                        from: first, limit, ..
                    } => {
                        let range = (first, *lsn, limit, *trim);
                        self.begin_to_read(now, id, from, range, epochs.clone(), out);
                    }
                    _ => self.end(id, Outcome::Tail(*lsn), out),
                }
            }
            ClientAnswer::Released {
                released,
                trim,
                epochs,
            } => {
                self.leaders.insert(log, from);
                let known = self.released.entry(log).or_default();
                if *released >= known.upto {
                    known.upto = *released;
                    known.epochs.clone_from(epochs);
                }
                known.trim = known.trim.max(*trim);
                let Released { upto, trim, epochs } = known.clone();
                match running.call {
                    Call::Poll {
                        from: first, limit, ..
                    } => {
                        let range = (first, upto.next(), limit, trim);
                        self.begin_to_read(now, id, from, range, epochs, out);
                    }
                    Call::FindTime { time, .. } => {
                        let nonce = self.next_nonce();
                        let range = (trim, upto);
                        let search = Search::new(log, epochs, range, time, nonce, Some(from));
                        let search = Box::new(search);
                        let running = self.calls.get_mut(&id).expect("just found");
                        running.phase = Phase::Searching { search, nonce };
                        self.search_on(now, id, out);
                    }
                    _ => {}
                }
            }
            ClientAnswer::Trimmed => {
                self.leaders.insert(log, from);
                self.end(id, Outcome::Trimmed, out);
            }
            ClientAnswer::NotReleased { released } => {
                // An earlier request of this call may have been taken by a sequencer that knew more.
                let outcome = if running.tries > 1 {
                    probe!("client.trim-in-doubt");
                    Outcome::Unknown
                } else {
                    let released = *released;
                    Outcome::NotReleased { released }
                };
                self.end(id, outcome, out);
            }
            ClientAnswer::Empty(empty) => {
                self.leaders.insert(log, from);
                self.end(id, Outcome::Empty(*empty), out);
            }
            ClientAnswer::Again => self.end(id, Outcome::Again, out),
            ClientAnswer::Redirect(hint) => {
                running.exposed = false;
                running.phase = Phase::Waiting { retry_at };
                let follow = !std::mem::replace(&mut running.hinted, true);
                match hint {
                    Some(node) if *node != from => {
                        self.leaders.insert(log, *node);
                        if follow {
                            self.ask(now, id, out);
                        }
                    }
                    _ => self.forget_leader(log, from),
                }
            }
            ClientAnswer::WrongIncarnation(_) => {
                self.leaders.entry(log).or_insert(from);
                if running.exposed && !running.call.may_repeat() {
                    probe!("client.asked-a-life-that-is-over");
                    // The life it was meant for may have taken it before it ended; what this life
                    // refused may be a duplicate.
                    self.end(id, Outcome::Unknown, out);
                } else {
                    self.ask(now, id, out);
                }
            }
            ClientAnswer::Busy => {
                running.exposed = false;
                running.phase = Phase::Waiting { retry_at };
            }
        }
    }

    fn read_on(&mut self, now: Timestamp, id: CallId, out: &mut ClientOutputs) {
        let running = self.calls.get_mut(&id).expect("running");
        let Phase::Reading {
            reader,
            deliveries,
            tail,
            ..
        } = &mut running.phase
        else {
            return;
        };
        loop {
            reader.on_time(now, &self.config.timing, &mut |node, message| {
                out.messages.push((node, message));
            });
            let taken = reader.take();
            if taken.is_empty() {
                break;
            }
            for delivery in taken {
                collect(deliveries, delivery);
            }
            // A long read may take long, as long as it goes on.
            running.deadline = now + self.config.timing.operation_timeout;
        }
        for node in reader.down().iter() {
            self.down.entry(node).or_insert(now + DOWN_FOR);
        }
        if reader.is_complete() {
            let (deliveries, tail) = (std::mem::take(deliveries), *tail);
            self.end(id, Outcome::Read { deliveries, tail }, out);
        }
    }

    fn begin_to_read(
        &mut self,
        now: Timestamp,
        id: CallId,
        sequencer: NodeId,
        (from, until, limit, trim): (Lsn, Lsn, usize, Lsn),
        epochs: Vec<EpochSpan>,
        out: &mut ClientOutputs,
    ) {
        let log = self.calls[&id].call.log();
        let nonce = self.next_nonce();
        self.down.retain(|_, until| *until > now);
        let range = Range {
            from,
            until,
            limit,
            trim,
            down: self.down.keys().copied().collect::<NodeSet>(),
            // Whatever the configuration says now: history may have moved before.
            second_tier: Some(sequencer),
            is_tiered: self.config.is_tiered(log),
        };
        let running = self.calls.get_mut(&id).expect("running");
        let reader = Reader::new(log, epochs, &range, nonce);
        running.phase = Phase::Reading {
            reader: Box::new(reader),
            deliveries: Vec::new(),
            tail: until,
            nonce,
        };
        self.read_on(now, id, out);
    }

    fn on_fetched(
        &mut self,
        now: Timestamp,
        from: NodeId,
        told: &Fetched,
        out: &mut ClientOutputs,
    ) {
        let found = self.calls.iter_mut().find_map(|(&id, running)| {
            if let Phase::Reading { reader, nonce, .. } = &mut running.phase
                && *nonce == told.nonce
            {
                Some((id, reader))
            } else {
                None
            }
        });
        if let Some((id, reader)) = found {
            self.down.remove(&from);
            reader.on_fetched(from, told, now, &self.config.timing);
            self.read_on(now, id, out);
        }
    }

    fn on_cold(&mut self, now: Timestamp, from: NodeId, told: &Cold, out: &mut ClientOutputs) {
        let timing = &self.config.timing;
        let ids: Vec<CallId> = self.calls.keys().copied().collect();
        for id in ids {
            let running = self.calls.get_mut(&id).expect("running");
            match &mut running.phase {
                Phase::Reading { reader, nonce, .. } if *nonce == told.nonce => {
                    reader.on_cold(from, told, now, timing);
                    return self.read_on(now, id, out);
                }
                Phase::Searching { search, nonce } if *nonce == told.nonce => {
                    search.on_cold(from, told, now, timing);
                    return self.search_on(now, id, out);
                }
                _ => {}
            }
        }
    }

    fn on_found_time(
        &mut self,
        now: Timestamp,
        from: NodeId,
        told: &FoundTime,
        out: &mut ClientOutputs,
    ) {
        let found = self.calls.iter_mut().find_map(|(&id, running)| {
            if let Phase::Searching { search, nonce: own } = &mut running.phase
                && *own == told.nonce
            {
                Some((id, search))
            } else {
                None
            }
        });
        if let Some((id, search)) = found {
            search.on_found(from, told);
            self.search_on(now, id, out);
        }
    }

    fn search_on(&mut self, now: Timestamp, id: CallId, out: &mut ClientOutputs) {
        let running = self.calls.get_mut(&id).expect("running");
        let Phase::Searching { search, .. } = &mut running.phase else {
            return;
        };
        search.on_time(now, &self.config.timing, &mut |node, message| {
            out.messages.push((node, message));
        });
        if let Some(lsn) = search.found() {
            self.end(id, Outcome::Found(lsn), out);
        }
    }

    fn next_nonce(&mut self) -> u64 {
        let nonce = self.next_number;
        self.next_number += 1;
        nonce
    }

    fn forget_leader(&mut self, log: LogId, node: NodeId) {
        if self.leaders.get(&log) == Some(&node) {
            self.leaders.remove(&log);
        }
    }

    /// Ends a call whose last request had no effect, or that was asked nothing last.
    fn end_without(&mut self, id: CallId, outcome: Outcome, out: &mut ClientOutputs) {
        let outcome = if self.calls[&id].in_doubt {
            Outcome::Unknown
        } else {
            outcome
        };
        self.end(id, outcome, out);
    }

    fn end(&mut self, id: CallId, outcome: Outcome, out: &mut ClientOutputs) {
        self.calls.remove(&id);
        out.done.push((id, outcome));
    }
}

impl Call {
    /// The log it is about.
    #[must_use]
    pub fn log(&self) -> LogId {
        match self {
            Self::Append { log, .. }
            | Self::Tail { log }
            | Self::Read { log, .. }
            | Self::Poll { log, .. }
            | Self::Trim { log, .. }
            | Self::FindTime { log, .. }
            | Self::IsEmpty { log }
            | Self::Move { log, .. } => *log,
        }
    }

    /// Whether it can have an effect.
    fn has_effects(&self) -> bool {
        matches!(
            self,
            Self::Append { .. } | Self::Trim { .. } | Self::Move { .. }
        )
    }

    /// Whether asking twice has no other effect than asking once.
    fn may_repeat(&self) -> bool {
        !matches!(self, Self::Append { .. }) || self.is_named_append()
    }

    /// Whether it is an append of a record that names its producer and sequence.
    fn is_named_append(&self) -> bool {
        match self {
            Self::Append { record, .. } => record.attributes.producer.is_some(),
            _ => false,
        }
    }
}

/// Adds to what a read returns. What is given up is a prefix of the log: a gap of a trim takes the place of
/// all before it.
fn collect(deliveries: &mut Vec<Delivery>, delivery: Delivery) {
    match delivery {
        Delivery::Gap {
            kind: GapKind::Trim,
            first,
            last,
        } => {
            let first = deliveries.first().map_or(first, Delivery::first);
            deliveries.clear();
            let kind = GapKind::Trim;
            deliveries.push(Delivery::Gap { kind, first, last });
        }
        other => deliveries.push(other),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use hstore_core::NodeSet;
    use hstore_core::quorum::Location;

    use super::*;

    const NODE: NodeId = NodeId(0);
    const LOG: LogId = LogId(1);

    /// A client of a cluster with one node, that has begun to append.
    fn appending() -> (Client, ClientOutputs) {
        let config = ClusterConfig {
            nodes: [(NODE, Location::default())].into(),
            metadata: NodeSet::only(NODE),
            logs: BTreeMap::new(),
            timing: Timing::default(),
        };
        let mut client = Client::new(ClientId(1), Arc::new(config), 1);
        let mut out = ClientOutputs::default();
        let record = Record::new(Bytes::from_static(b"r"));
        let call = Call::Append {
            log: LOG,
            record,
            conditions: Conditions::NONE,
        };
        client.call(Timestamp::ZERO, call, &mut out);
        (client, out)
    }

    fn request(out: &mut ClientOutputs) -> Option<Request> {
        match out.messages.pop()?.1 {
            Message::Request(request) => Some(request),
            other => panic!("a client sends no {other:?}"),
        }
    }

    fn answered(
        client: &mut Client,
        now: Timestamp,
        number: u64,
        answer: ClientAnswer,
        out: &mut ClientOutputs,
    ) {
        let reply = Message::Reply(Reply { number, answer });
        client.on_message(now, NODE, &reply, out);
    }

    /// The network duplicates an append. The node's life 5 takes the first copy and ends; life 6 refuses
    /// the second. The refusal says nothing of the first: sending again would append twice.
    #[test]
    fn a_refusal_by_a_later_life_leaves_an_append_unknown() {
        let (mut client, mut out) = appending();
        let first = request(&mut out).expect("it asks at once");
        assert_eq!(first.incarnation, Incarnation(0));

        // Nobody has life 0: being refused is certain to have had no effect.
        let five = ClientAnswer::WrongIncarnation(Incarnation(5));
        answered(&mut client, Timestamp::ZERO, first.number, five, &mut out);
        let second = request(&mut out).expect("it asks again");
        assert_eq!(second.incarnation, Incarnation(5));
        assert!(out.done.is_empty());

        let six = ClientAnswer::WrongIncarnation(Incarnation(6));
        answered(&mut client, Timestamp::ZERO, second.number, six, &mut out);
        assert_eq!(request(&mut out), None);
        assert_eq!(out.done, [(CallId(0), Outcome::Unknown)]);
    }

    /// A node that refuses a request of its own life has not taken it: the append may be sent again.
    #[test]
    fn a_redirected_append_is_sent_again_and_fails_for_certain_if_nobody_takes_it() {
        let (mut client, mut out) = appending();
        let first = request(&mut out).expect("it asks at once");
        let one = ClientAnswer::WrongIncarnation(Incarnation(1));
        answered(&mut client, Timestamp::ZERO, first.number, one, &mut out);
        let mut now = Timestamp::ZERO;
        for round in 0.. {
            let Some(sent) = request(&mut out) else { break };
            assert_eq!(sent.incarnation, Incarnation(1));
            let refused = ClientAnswer::Redirect(None);
            answered(&mut client, now, sent.number, refused, &mut out);
            now = client.deadline().expect("it will ask again or give up");
            client.on_time(now, &mut out);
            assert!(round < 1_000, "it gives up");
        }
        assert_eq!(out.done, [(CallId(0), Outcome::Failed)]);
        assert!(now >= Timestamp::ZERO + Timing::default().operation_timeout);
    }

    #[test]
    fn answers_that_always_come_late_are_learned_from() {
        let (mut client, mut out) = appending();
        let first = request(&mut out).expect("it asks at once");
        let retry = client.deadline().expect("it will ask again");
        let late = Timestamp::ZERO + Duration::from_millis(225);
        assert!(retry < late);
        client.on_time(retry, &mut out);
        let second = request(&mut out).expect("it asks again");
        assert_eq!(second.incarnation, Incarnation(0));
        let three = ClientAnswer::WrongIncarnation(Incarnation(3));
        answered(&mut client, late, first.number, three, &mut out);
        assert_eq!(request(&mut out), None);
        let retry = client.deadline().expect("it will ask again");
        client.on_time(retry, &mut out);
        let third = request(&mut out).expect("it asks again");
        assert_eq!(third.incarnation, Incarnation(3));
        let patient = client.deadline().expect("it will ask again");
        assert!(patient.since(retry) >= Duration::from_millis(2 * 225));
    }
}
