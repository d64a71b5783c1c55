//! No queue grows past its bound, whoever does not answer and whoever does not read.
//!
//! Three whole nodes on model disks, with an idealised network. Then one thing stops: clients take no
//! answer, nodes are silent, a disk completes nothing. A flood of requests follows, and every queue is
//! looked at after every step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::quorum::{Location, QuorumSystem};
use hstore_core::{
    Address, Ballot, ClientId, Epoch, Incarnation, LogId, Lsn, NodeId, NodeSet, Offset, Record,
    Stamp, Stamped, Timestamp, WallTime,
};
use hstore_node::{Input, Node};
use hstore_replicator::boot::Past;
use hstore_replicator::client::{CALLS_MAX, Call, Client, ClientOutputs};
use hstore_replicator::config::{ClusterConfig, LogSpec, Timing};
use hstore_replicator::effects::{DiskDone, DiskRequest, DiskWork, Outputs};
use hstore_replicator::message::{
    ClientAnswer, ClientAsk, Conditions, EpochSpan, Fetch, Fetched, Message, RecoveryStep,
    RegisterStep, Request, StorageAnswer, StorageAsk,
};
use hstore_replicator::queue::Queue;
use hstore_replicator::reader::{Range, Reader};
use hstore_replicator::register::{RegisterBallot, RegisterValue};
use hstore_replicator::storage::{COPIES_PER_ANSWER, PARKED_MAX};
use hstore_tier1::model::ModelState;

const LOG: LogId = LogId(1);
const CLIENT: ClientId = ClientId(1);
/// More than any bound.
const FLOOD: u64 = 20_000;

struct Cluster {
    config: Arc<ClusterConfig>,
    now: Timestamp,
    nodes: BTreeMap<NodeId, (Node, ModelState)>,
    network: VecDeque<(Address, Address, Message)>,
    /// What reached the client.
    answers: Vec<ClientAnswer>,
    /// These nodes hear and say nothing.
    silent: NodeSet,
    /// These nodes' disks complete nothing.
    stuck: NodeSet,
    /// The greatest length of each queue.
    longest: BTreeMap<&'static str, Queue>,
    number: u64,
}

impl Cluster {
    /// A cluster in which a node has opened the first epoch of the log.
    fn open() -> (Self, NodeId) {
        let ids = || (0..3).map(NodeId);
        let spec = LogSpec::new(QuorumSystem::flat(3, 2).expect("valid"));
        let config = ClusterConfig {
            nodes: ids().map(|node| (node, Location::default())).collect(),
            metadata: ids().collect(),
            logs: [(LOG, spec)].into(),
            timing: Timing::default(),
        };
        let mut cluster = Self {
            config: Arc::new(config),
            now: Timestamp::ZERO,
            nodes: BTreeMap::new(),
            network: VecDeque::new(),
            answers: Vec::new(),
            silent: NodeSet::EMPTY,
            stuck: NodeSet::EMPTY,
            longest: BTreeMap::new(),
            number: 0,
        };
        for id in ids() {
            let mut out = Outputs::default();
            let config = Arc::clone(&cluster.config);
            let seed = u64::from(id.0);
            let node = Node::boot(id, config, None, seed, &Vec::new(), Past::Blank, &mut out);
            let node = node.expect("an empty store is understood");
            cluster.nodes.insert(id, (node, ModelState::default()));
            cluster.take(id, out);
        }
        for _ in 0..1_000 {
            cluster.settle();
            let open = cluster
                .nodes
                .iter()
                .find_map(|(&id, (node, _))| node.open_epoch(LOG).map(|_| id));
            if let Some(open) = open {
                return (cluster, open);
            }
            cluster.pass_time();
        }
        panic!("nobody opened an epoch");
    }

    fn step(&mut self, id: NodeId, input: Input) {
        let (node, _) = self.nodes.get_mut(&id).expect("a node of the cluster");
        let mut out = Outputs::default();
        node.step(self.now, WallTime(0), input, &mut out);
        for queue in node.queues() {
            assert!(queue.length <= queue.bound, "{queue:?}");
            let longest = self.longest.entry(queue.name).or_insert(queue);
            longest.length = longest.length.max(queue.length);
        }
        self.take(id, out);
    }

    fn take(&mut self, id: NodeId, out: Outputs) {
        let sent = out.messages.into_iter();
        self.network
            .extend(sent.map(|(to, message)| (Address::Node(id), to, message)));
        if self.stuck.contains(id) {
            return;
        }
        for DiskRequest { token, work } in out.disk {
            let (_, disk) = self.nodes.get_mut(&id).expect("a node of the cluster");
            let done = match &work {
                DiskWork::Write { batch, .. } => DiskDone::Wrote(disk.apply(batch)),
                read => {
                    let done = read.read(disk).expect("a model does not fail");
                    done.expect("it is no write")
                }
            };
            self.step(id, Input::Disk { token, done });
        }
    }

    fn settle(&mut self) {
        while let Some((from, to, message)) = self.network.pop_front() {
            let is_silent =
                |address| matches!(address, Address::Node(node) if self.silent.contains(node));
            if is_silent(from) || is_silent(to) {
                continue;
            }
            match to {
                Address::Node(node) => self.step(node, Input::Message { from, message }),
                Address::Client(_) => {
                    if let Message::Reply(reply) = message {
                        self.answers.push(reply.answer);
                    }
                }
            }
        }
    }

    /// To the next deadline of any node.
    fn pass_time(&mut self) {
        let due = self.nodes.values().filter_map(|(node, _)| node.deadline());
        self.now = self.now.max(due.min().expect("nodes have timers"));
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        for id in ids {
            let (node, _) = &self.nodes[&id];
            if node.deadline().is_some_and(|at| at <= self.now) {
                self.step(id, Input::Time);
            }
        }
    }

    fn client_sends(&mut self, to: NodeId, message: Message) {
        let from = Address::Client(CLIENT);
        self.step(to, Input::Message { from, message });
    }

    fn ask(&mut self, to: NodeId, ask: ClientAsk) {
        self.number += 1;
        let request = Request {
            incarnation: Incarnation(1),
            number: self.number,
            log: LOG,
            ask,
        };
        self.client_sends(to, Message::Request(request));
    }

    fn append(&mut self, to: NodeId) {
        let record = Record::new(Bytes::from_static(b"record"));
        self.ask(
            to,
            ClientAsk::Append {
                record,
                conditions: Conditions::default(),
            },
        );
    }

    /// A queue grew to its bound, or at least so far.
    #[track_caller]
    fn assert_reached(&self, name: &str, length: usize) {
        let found = self.longest.get(name).map_or(0, |queue| queue.length);
        assert!(found >= length, "{name} grew to {found} only");
    }
}

fn fetch(nonce: u64, first: Lsn) -> Message {
    let ask = StorageAsk::Fetch(Fetch {
        nonce,
        round: 0,
        first,
        last: Lsn::new(1, 1_000_000),
        limit: u32::MAX,
        single: None,
    });
    Message::Storage { log: LOG, ask }
}

#[test]
fn clients_that_do_not_read_leave_nothing_behind() {
    let (mut cluster, sequencer) = Cluster::open();
    for _ in 0..300 {
        cluster.append(sequencer);
        cluster.settle();
    }
    cluster.pass_time();
    cluster.settle();
    for nonce in 0..FLOOD {
        // In turn: something is there, and nothing is yet.
        let first = Lsn::new(1, 1 + (nonce % 2) as u32 * 500_000);
        cluster.client_sends(sequencer, fetch(nonce, first));
        // Nobody takes what is sent.
        cluster.network.clear();
    }
    cluster.assert_reached("storage: parked fetches", PARKED_MAX);
}

#[test]
fn a_disk_that_completes_nothing_stops_what_is_taken() {
    let (mut cluster, sequencer) = Cluster::open();
    cluster.append(sequencer);
    cluster.settle();
    cluster.pass_time();
    cluster.settle();
    let node = NodeId((sequencer.0 + 1) % 3);
    cluster.stuck = NodeSet::only(node);
    let from = Address::Node(sequencer);
    let record = Record::new(Bytes::from_static(b"record"));
    for n in 0..FLOOD {
        let lsn = Lsn::new(1, 2 + n as u32);
        let stamp = Stamp::after(Stamp::default(), LOG, lsn, WallTime(0), &record);
        let store = StorageAsk::Store {
            lsn,
            wave: 1,
            copyset: NodeSet::only(node),
            last_known_good: Offset(0),
            record: Stamped {
                stamp,
                record: record.clone(),
            },
        };
        let seal = StorageAsk::Recovery {
            epoch: Epoch(7),
            ballot: Ballot {
                seal: Epoch(0),
                attempt: 1 + n as u32,
            },
            step: RecoveryStep::Seal,
        };
        let release = StorageAsk::Release {
            released: Lsn::new(1, 1),
            trim: Lsn::new(0, n as u32),
            handed: Lsn::MIN,
        };
        let bad = StorageAsk::BadCopy {
            lsn: Lsn::new(1, 1),
        };
        for ask in [store, seal, release, bad] {
            let message = Message::Storage { log: LOG, ask };
            cluster.step(node, Input::Message { from, message });
        }
        cluster.client_sends(node, fetch(n, Lsn::FIRST));
        let message = Message::Register {
            log: LOG,
            ballot: RegisterBallot {
                round: 1_000 + n,
                node: sequencer,
                incarnation: Incarnation(1),
            },
            step: RegisterStep::Accept(Arc::new(RegisterValue::default())),
        };
        cluster.step(node, Input::Message { from, message });
        // Logs that there are not are not remembered.
        let log = LogId(1_000 + n as u32);
        let ask = StorageAsk::CheckSeal {
            epoch: Epoch(1),
            nonce: n,
        };
        let message = Message::Storage { log, ask };
        cluster.step(node, Input::Message { from, message });
        cluster.network.clear();
    }
    cluster.assert_reached("storage: disk requests under way", 8192);
    cluster.assert_reached("acceptor: writes under way", 1024);
    let (node, _) = &cluster.nodes[&node];
    let of_logs = node
        .queues()
        .filter(|it| it.name == "storage: parked fetches");
    assert_eq!(of_logs.count(), 1, "one log is known");
}

#[test]
fn nodes_that_do_not_answer_push_back_on_clients() {
    let (mut cluster, sequencer) = Cluster::open();
    cluster.append(sequencer);
    cluster.settle();
    let others = (0..3).map(NodeId).filter(|&node| node != sequencer);
    cluster.silent = others.collect();
    cluster.answers.clear();
    for n in 0..FLOOD / 4 {
        cluster.append(sequencer);
        cluster.ask(sequencer, ClientAsk::Tail);
        cluster.ask(sequencer, ClientAsk::Trim(Lsn::new(1, 1)));
        cluster.ask(sequencer, ClientAsk::Poll);
        cluster.ask(sequencer, ClientAsk::IsEmpty);
        cluster.settle();
        if n % 100 == 0 {
            cluster.pass_time();
        }
    }
    cluster.assert_reached("sequencer: window", 256);
    cluster.assert_reached("sequencer: observations", 256);
    cluster.assert_reached("sequencer: trims", 64);
    let busy = cluster
        .answers
        .iter()
        .filter(|it| **it == ClientAnswer::Busy);
    assert!(busy.count() as u64 > FLOOD / 8, "the rest is pushed back");
}

/// The sequencer cannot get a single record acknowledged, places a window of them, and ends. Whoever
/// recovers finds no more than that.
#[test]
fn a_recovery_looks_at_no_more_than_a_window() {
    let (mut cluster, sequencer) = Cluster::open();
    for _ in 0..400 {
        cluster.append(sequencer);
        cluster.settle();
    }
    // Stores arrive, answers do not.
    let other = NodeId((sequencer.0 + 1) % 3);
    for _ in 0..400 {
        cluster.append(sequencer);
        let sent = std::mem::take(&mut cluster.network);
        for (from, to, message) in sent {
            if to == Address::Node(other) {
                cluster.step(other, Input::Message { from, message });
            }
        }
        cluster.network.clear();
    }
    cluster.silent = NodeSet::only(sequencer);
    for _ in 0..1_000 {
        cluster.pass_time();
        cluster.settle();
    }
    cluster.assert_reached("recovery: offsets", 100);
    let opened = cluster
        .nodes
        .iter()
        .any(|(&id, (node, _))| id != sequencer && node.open_epoch(LOG).is_some());
    assert!(opened, "another node took over");
}

#[test]
fn a_client_has_so_many_calls_and_a_reader_that_is_not_read_holds_a_bufferful() {
    let (cluster, _) = Cluster::open();
    let now = cluster.now;
    let mut client = Client::new(CLIENT, Arc::clone(&cluster.config), 1);
    let mut out = ClientOutputs::default();
    for _ in 0..FLOOD {
        client.call(now, Call::Tail { log: LOG }, &mut out);
    }
    assert_eq!(out.done.len() as u64, FLOOD - CALLS_MAX as u64);
    assert!(client.queues().all(|queue| queue.length <= queue.bound));

    let quorums = cluster.config.quorum_system(LOG).expect("configured");
    let spans = vec![EpochSpan {
        first: Epoch(1),
        quorums,
    }];
    let range = Range {
        from: Lsn::FIRST,
        until: Lsn::new(1, 1_000_000),
        limit: usize::MAX,
        trim: Lsn::MIN,
        down: NodeSet::EMPTY,
        second_tier: None,
        is_tiered: false,
    };
    let mut reader = Reader::new(LOG, spans, &range, 1);
    let timing = Timing::default();
    let mut stamps = vec![Stamp::default()];
    let record = Record::new(Bytes::from_static(b"record"));
    for offset in 1..20_000 {
        let before = stamps[offset as usize - 1];
        let lsn = Lsn::new(1, offset);
        stamps.push(Stamp::after(before, LOG, lsn, WallTime(0), &record));
    }
    // Every question is answered at once, in full, by one node alone; nobody takes a record.
    for round in 0..1_000 {
        let mut asked = Vec::new();
        reader.on_time(now, &timing, &mut |node, message| {
            asked.push((node, message))
        });
        if asked.is_empty() {
            assert!(round > 0, "it asks");
            break;
        }
        for (node, message) in asked {
            let Message::Storage {
                ask: StorageAsk::Fetch(fetch),
                ..
            } = message
            else {
                continue;
            };
            let first = fetch.first.offset.0;
            let lsns = (first..first + COPIES_PER_ANSWER as u32).map(|offset| Lsn::new(1, offset));
            let entry = |lsn: Lsn| {
                let stamp = stamps[lsn.offset.0 as usize];
                let record = record.clone();
                (
                    lsn,
                    Some(hstore_core::Entry::Record(Stamped { stamp, record })),
                )
            };
            let told = Fetched {
                nonce: fetch.nonce,
                round: fetch.round,
                entries: lsns.map(entry).collect(),
                passed: Lsn::new(1, first + COPIES_PER_ANSWER as u32 - 1),
                authoritative: true,
                trim: Lsn::MIN,
                handed: Lsn::MIN,
            };
            reader.on_fetched(node, &told, now, &timing);
            for queue in reader.queues() {
                assert!(queue.length <= queue.bound, "{queue:?}");
            }
        }
    }
    assert_eq!(reader.deadline(), None, "it waits to be read");
    // An answer that nobody asked for changes nothing.
    let stray = StorageAnswer::Here { nonce: 1 };
    let message = Message::Stored {
        log: LOG,
        answer: stray,
    };
    client.on_message(now, NodeId(0), &message, &mut out);
}
