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

use hstore_core::{ClientId, Epoch, Incarnation, LogId, Lsn, NodeId, Record, Rng, Timestamp};
use serde::Serialize;

use crate::config::ClusterConfig;
use crate::message::{
    ClientAnswer, ClientAsk, Conditions, Message, Mismatch, Move, Refusal, Reply, Request,
    StorageAnswer,
};
use crate::reader::{Delivery, Reader};

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
        /// The end of the log that the read took.
        tail: Lsn,
    },
    /// The log moved: this epoch has begun.
    Moved(Epoch),
    /// Certainly no effect: what the append demands was not so.
    Mismatch(Mismatch),
    /// Certainly no effect: the log cannot take the append.
    Refused(Refusal),
    /// Certainly no effect: no node took the request in time.
    Failed,
    /// A read or a tail without an answer, or an append or a move whose fate nobody can tell.
    Unknown,
}

impl Outcome {
    /// Whether the call certainly had no effect and never will have one.
    #[must_use]
    pub fn is_without_effect(&self) -> bool {
        match self {
            Self::Mismatch(_) | Self::Refused(_) | Self::Failed => true,
            Self::Appended(_)
            | Self::Tail(_)
            | Self::Read { .. }
            | Self::Moved(_)
            | Self::Unknown => false,
        }
    }

    /// Whether the same call may be made again, as it is, without the danger of appending twice, and might
    /// end otherwise. `idempotent`: it is an append that names its producer and sequence, or no append.
    #[must_use]
    pub fn may_retry(&self, idempotent: bool) -> bool {
        match self {
            Self::Failed => true,
            Self::Unknown => idempotent,
            // The log will have to change first, or the conditions.
            Self::Mismatch(_) | Self::Refused(_) => false,
            Self::Appended(_) | Self::Tail(_) | Self::Read { .. } | Self::Moved(_) => false,
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

/// A client process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Client {
    id: ClientId,
    config: Arc<ClusterConfig>,
    rng: Rng,
    /// Who answers for a log, for all this client knows.
    leaders: BTreeMap<LogId, NodeId>,
    /// The lives of nodes, as far as known.
    incarnations: BTreeMap<NodeId, Incarnation>,
    next_number: u64,
    next_call: u64,
    calls: BTreeMap<CallId, Running>,
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
        tail: Lsn,
        nonce: u64,
    },
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
            incarnations: BTreeMap::new(),
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
        let running = Running {
            call,
            phase: Phase::Waiting { retry_at: now },
            deadline: now + self.config.timing.operation_timeout,
            exposed: false,
            in_doubt: false,
            hinted: false,
        };
        self.calls.insert(id, running);
        self.ask(now, id, out);
        id
    }

    /// When to call [`Client::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let of = |running: &Running| {
            let phase = match &running.phase {
                Phase::Waiting { retry_at } | Phase::Asking { retry_at, .. } => Some(*retry_at),
                Phase::Reading { reader, .. } => reader.deadline(),
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
                answer:
                    StorageAnswer::Fetched {
                        nonce,
                        entries,
                        passed,
                        authoritative,
                    },
                ..
            } => {
                let timing = self.config.timing.clone();
                let found =
                    self.calls
                        .iter_mut()
                        .find_map(|(&id, running)| match &mut running.phase {
                            Phase::Reading {
                                reader, nonce: own, ..
                            } if own == nonce => Some((id, reader)),
                            _ => None,
                        });
                let Some((id, reader)) = found else {
                    return;
                };
                reader.on_fetched(from, entries, *passed, *authoritative, now, &timing);
                self.read_on(now, id, out);
            }
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
                let outcome = if running.exposed || !running.call.has_effects() {
                    Outcome::Unknown
                } else {
                    Outcome::Failed
                };
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
                    if running.exposed && !running.call.may_repeat() {
                        // Asking again could append twice.
                        self.wait_on(id);
                    } else {
                        let log = running.call.log();
                        self.forget_leader(log, node);
                        self.ask(now, id, out);
                    }
                }
                Phase::Reading { .. } => self.read_on(now, id, out),
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
        let ask = match &running.call {
            Call::Append {
                record, conditions, ..
            } => {
                running.exposed = incarnation != Incarnation(0);
                ClientAsk::Append {
                    record: record.clone(),
                    conditions: *conditions,
                }
            }
            Call::Move { wanted, .. } => {
                running.exposed = incarnation != Incarnation(0);
                ClientAsk::Move(wanted.clone())
            }
            Call::Tail { .. } | Call::Read { .. } => ClientAsk::Tail,
        };
        running.phase = Phase::Asking {
            node,
            number,
            retry_at: now + self.config.timing.client_retry * 8,
        };
        let request = Request {
            incarnation,
            number,
            log,
            ask,
        };
        out.messages.push((node, Message::Request(request)));
    }

    fn on_reply(&mut self, now: Timestamp, from: NodeId, reply: &Reply, out: &mut ClientOutputs) {
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
            ClientAnswer::Tail { lsn, epochs } => {
                self.leaders.insert(log, from);
                let (from, limit) = match running.call {
                    Call::Read { from, limit, .. } => (from, limit),
                    Call::Append { .. } | Call::Tail { .. } | Call::Move { .. } => {
                        self.end(id, Outcome::Tail(*lsn), out);
                        return;
                    }
                };
                let nonce = self.next_number;
                self.next_number += 1;
                let reader = Reader::new(log, epochs.clone(), from, *lsn, limit, now);
                running.phase = Phase::Reading {
                    reader: Box::new(reader),
                    tail: *lsn,
                    nonce,
                };
                self.read_on(now, id, out);
            }
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
            ClientAnswer::WrongIncarnation(incarnation) => {
                let known = self.incarnations.entry(from).or_default();
                *known = (*known).max(*incarnation);
                self.leaders.entry(log).or_insert(from);
                if running.exposed && !running.call.may_repeat() {
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
            tail,
            nonce,
        } = &mut running.phase
        else {
            return;
        };
        reader.on_time(now, &self.config.timing, *nonce, &mut |node, message| {
            out.messages.push((node, message));
        });
        if let Some(deliveries) = reader.take_complete() {
            let tail = *tail;
            self.end(id, Outcome::Read { deliveries, tail }, out);
        }
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
            | Self::Move { log, .. } => *log,
        }
    }

    /// Whether it can have an effect.
    fn has_effects(&self) -> bool {
        matches!(self, Self::Append { .. } | Self::Move { .. })
    }

    /// Whether asking twice has no other effect than asking once.
    fn may_repeat(&self) -> bool {
        !matches!(self, Self::Append { .. }) || self.is_named_append()
    }

    /// Whether it is an append of a record that names its producer and sequence.
    fn is_named_append(&self) -> bool {
        match self {
            Self::Append { record, .. } => record.attributes.producer.is_some(),
            Self::Tail { .. } | Self::Read { .. } | Self::Move { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use hstore_core::NodeSet;
    use hstore_core::quorum::Location;

    use super::*;
    use crate::config::Timing;

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
}
