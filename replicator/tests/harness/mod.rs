//! A little cluster that a script drives: nodes on model disks, messages that wait in sight until
//! they are told to arrive, a clock that stands still until it is told to go on.

mod life;
pub(crate) mod words;

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, StoreOp};
use hstore_core::quorum::{Location, QuorumSystem, Replication};
use hstore_core::{
    Address, Attributes, ClientId, Entry, Epoch, Incarnation, Lsn, NodeId, NodeSet, Record,
    Timestamp, WallTime,
};
use hstore_node::Input;
use hstore_replicator::config::{ClusterConfig, LogSpec, Timing};
use hstore_replicator::effects::{
    DiskDone, DiskRequest, DiskToken, DiskWork, Durability, Event, Outputs,
};
use hstore_replicator::find_time::Search;
use hstore_replicator::keys::MetaKey;
use hstore_replicator::message::{
    ClientAnswer, ClientAsk, Conditions, EpochSpan, Message, Request, StorageAnswer,
};
use hstore_replicator::reader::{Delivery, Range, Reader};
use hstore_tier1::model::ModelState;

use life::{LOG, Life};

/// How many messages `settle` delivers at most.
const SETTLE_MAX: usize = 20_000;

/// How much a command tells.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// Each message, and under it what came of it.
    Messages,
    /// Events, answers to clients, and reads.
    Events,
    /// How often each kind of answer reached a client.
    Counts,
}

/// The cluster.
pub(crate) struct Cluster {
    config: Arc<ClusterConfig>,
    with_detector: bool,
    now: Timestamp,
    hosts: BTreeMap<NodeId, Host>,
    /// In the order in which they were sent.
    in_flight: Vec<InFlight>,
    /// Messages that match one of these stay in flight when the network settles.
    held: Vec<Pattern>,
    /// The last request number of each client.
    numbers: BTreeMap<ClientId, u64>,
    /// With what each has read so far.
    readers: BTreeMap<ClientId, (Reader, Vec<Delivery>)>,
    searches: BTreeMap<ClientId, Search>,
    /// Which nodes hold which epochs, as each client's last tail told.
    spans: BTreeMap<ClientId, Vec<EpochSpan>>,
    told: String,
    telling: Telling,
    counts: BTreeMap<String, u32>,
}

/// A node and its disk.
struct Host {
    life: Option<Life>,
    /// What the node sees.
    live: ModelState,
    /// What a crash leaves.
    durable: ModelState,
    /// Asked for and not yet applied.
    queue: VecDeque<DiskRequest>,
    /// Applied and not yet durable: completes at the next sync.
    unsynced: Vec<(DiskToken, Vec<Applied>)>,
    /// Disk work waits for `write` and `sync`.
    manual: bool,
}

struct InFlight {
    from: Address,
    to: Address,
    message: Message,
}

/// `n0->n1 store e1:1`: sender, receiver and words of a message; each may be left out.
pub(crate) struct Pattern {
    from: String,
    to: String,
    words: String,
}

impl Pattern {
    pub(crate) fn parse(text: &str) -> Self {
        let text = text.trim();
        let (link, words) = match text.split_once(' ') {
            Some((link, words)) if link.contains("->") => (link, words),
            None if text.contains("->") => (text, ""),
            _ => ("->", text),
        };
        let (from, to) = link.split_once("->").expect("a link has an arrow");
        Self {
            from: from.to_owned(),
            to: to.to_owned(),
            words: words.to_owned(),
        }
    }

    fn matches(&self, it: &InFlight) -> bool {
        let is =
            |wanted: &str, address: Address| wanted.is_empty() || address.to_string() == wanted;
        is(&self.from, it.from)
            && is(&self.to, it.to)
            && words::message(&it.message).contains(&self.words)
    }
}

impl InFlight {
    fn describe(&self) -> String {
        format!(
            "{}->{} {}",
            self.from,
            self.to,
            words::message(&self.message)
        )
    }
}

impl Cluster {
    /// Starts a cluster of `nodes` nodes with one log. The first three nodes, or as many as there are,
    /// hold the registers.
    pub(crate) fn start(nodes: u8, spec: LogSpec, with_detector: bool, timing: Timing) -> Self {
        let ids = || (0..nodes).map(NodeId);
        let config = ClusterConfig {
            nodes: ids().map(|node| (node, Location::default())).collect(),
            metadata: ids().take(3).collect(),
            logs: [(LOG, spec)].into(),
            timing,
        };
        config.validate().expect("the script's cluster can be");
        let mut cluster = Self {
            config: Arc::new(config),
            with_detector,
            now: Timestamp::ZERO,
            hosts: BTreeMap::new(),
            in_flight: Vec::new(),
            held: Vec::new(),
            numbers: BTreeMap::new(),
            readers: BTreeMap::new(),
            spans: BTreeMap::new(),
            searches: BTreeMap::new(),
            told: String::new(),
            telling: Telling::Events,
            counts: BTreeMap::new(),
        };
        for node in ids() {
            let host = Host {
                life: None,
                live: ModelState::default(),
                durable: ModelState::default(),
                queue: VecDeque::new(),
                unsynced: Vec::new(),
                manual: false,
            };
            cluster.hosts.insert(node, host);
            cluster.boot(node);
        }
        cluster.told.clear();
        cluster
    }

    /// What was told since the last call; `ok` if nothing.
    pub(crate) fn take_told(&mut self) -> String {
        for (what, count) in std::mem::take(&mut self.counts) {
            self.tell(format_args!("{what}: {count} times"));
        }
        let told = std::mem::take(&mut self.told);
        if told.is_empty() {
            "ok\n".to_owned()
        } else {
            told
        }
    }

    pub(crate) fn set_telling(&mut self, telling: Telling) {
        self.telling = telling;
    }

    pub(crate) fn tell(&mut self, what: std::fmt::Arguments) {
        writeln!(self.told, "{what}").expect("a string takes all");
    }

    fn host(&mut self, node: NodeId) -> &mut Host {
        self.hosts
            .get_mut(&node)
            .expect("the script names nodes of the cluster")
    }

    fn life(&mut self, node: NodeId) -> &mut Life {
        let life = &mut self.host(node).life;
        life.as_mut().expect("the script names a running node")
    }

    // Nodes.

    /// Starts a node that is down.
    pub(crate) fn boot(&mut self, node: NodeId) {
        let mut out = Outputs::default();
        let config = Arc::clone(&self.config);
        let with_detector = self.with_detector;
        let host = self.host(node);
        assert!(host.life.is_none(), "{node} is up");
        let metadata = host.durable.metadata();
        host.life = Some(Life::boot(node, config, with_detector, &metadata, &mut out));
        self.take_outputs(node, out);
        if self.hosts[&node].manual {
            self.sync(node);
        }
    }

    /// A power failure: what was not synced is gone.
    pub(crate) fn crash(&mut self, node: NodeId) {
        let host = self.host(node);
        let lost = host.live != host.durable || !host.queue.is_empty();
        assert!(host.life.take().is_some(), "{node} is down already");
        host.live = host.durable.clone();
        host.queue.clear();
        host.unsynced.clear();
        self.tell(format_args!(
            "{node} is down, unsynced writes lost: {}",
            if lost { "yes" } else { "none" }
        ));
    }

    pub(crate) fn activate(&mut self, node: NodeId) {
        let mut out = Outputs::default();
        let now = self.now;
        self.life(node).activate(now, &mut out);
        self.take_outputs(node, out);
    }

    fn step(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        let Some(life) = &mut self.host(node).life else {
            return;
        };
        let mut out = Outputs::default();
        life.step(now, input, &mut out);
        self.take_outputs(node, out);
    }

    fn take_outputs(&mut self, node: NodeId, out: Outputs) {
        for event in &out.events {
            self.tell_event(node, event);
        }
        for (to, message) in out.messages {
            let sent = InFlight {
                from: node.into(),
                to,
                message,
            };
            if self.telling == Telling::Messages {
                let text = sent.describe();
                self.tell(format_args!("  {text}"));
            }
            self.in_flight.push(sent);
        }
        let host = self.host(node);
        host.queue.extend(out.disk);
        if !host.manual {
            self.sync(node);
        }
    }

    fn tell_event(&mut self, node: NodeId, event: &Event) {
        let indent = match self.telling {
            Telling::Messages => "  ",
            Telling::Events => "",
            Telling::Counts => return,
        };
        self.tell(format_args!("{indent}{node} {}", words::event(event)));
    }

    // Disks.

    pub(crate) fn set_manual(&mut self, node: NodeId, manual: bool) {
        self.host(node).manual = manual;
        if !manual {
            self.sync(node);
        }
    }

    /// Carries out what `node` asked of its disk, without making it durable.
    pub(crate) fn write(&mut self, node: NodeId) {
        while let Some(DiskRequest { token, work }) = self.host(node).queue.pop_front() {
            let host = self.host(node);
            let done = match work {
                read @ (DiskWork::Read { .. } | DiskWork::FindTime { .. }) => {
                    let done = read.read(&mut host.live).expect("a model does not fail");
                    done.expect("it is no write")
                }
                DiskWork::Write { batch, until } => {
                    let applied = host.live.apply(&batch);
                    if until == Durability::Synced {
                        host.unsynced.push((token, applied));
                        continue;
                    }
                    DiskDone::Wrote(applied)
                }
            };
            self.step(node, Input::Disk { token, done });
        }
    }

    /// Makes durable all that `node` asked its disk to write, and lets it know.
    pub(crate) fn sync(&mut self, node: NodeId) {
        loop {
            self.write(node);
            let host = self.host(node);
            host.durable = host.live.clone();
            let unsynced = std::mem::take(&mut host.unsynced);
            if unsynced.is_empty() && host.queue.is_empty() {
                return;
            }
            for (token, applied) in unsynced {
                let done = DiskDone::Wrote(applied);
                self.step(node, Input::Disk { token, done });
            }
        }
    }

    /// Damages the payload of a copy, in memory and on disk.
    pub(crate) fn corrupt(&mut self, node: NodeId, lsn: Lsn) {
        let host = self.host(node);
        for state in [&mut host.live, &mut host.durable] {
            let mut copy = state.copy(LOG, lsn).expect("there is a copy").clone();
            let Entry::Record(it) = &mut copy.entry else {
                panic!("{lsn} is no record on {node}");
            };
            it.record.payload = Bytes::from_static(b"rotten");
            state.apply(&[StoreOp::Put {
                log: LOG,
                lsn,
                copy,
            }]);
        }
    }

    /// Puts a copy where another should be, in memory and on disk, as a misdirected write does.
    pub(crate) fn misplace(&mut self, node: NodeId, from: Lsn, to: Lsn) {
        let host = self.host(node);
        for state in [&mut host.live, &mut host.durable] {
            let copy = state.copy(LOG, from).expect("there is a copy").clone();
            state.apply(&[StoreOp::Replace {
                log: LOG,
                lsn: to,
                copy,
            }]);
        }
    }

    /// What a node holds durably, what it knows and what it lets readers read.
    pub(crate) fn tell_state(&mut self, node: NodeId) {
        let host = &self.hosts[&node];
        let bounds = host
            .durable
            .metadata_value(&MetaKey::Log(LOG).encode())
            .map_or((Epoch(0), Epoch(0)), |value| {
                postcard::from_bytes(value).expect("bounds are two epochs")
            });
        let readable = host.life.as_ref().map_or("down".to_owned(), |life| {
            let lsn = life.readable();
            if lsn.offset == hstore_core::Offset::MAX {
                format!("readable to the end of {}", lsn.epoch)
            } else {
                format!("readable to {lsn}")
            }
        });
        let mut text = format!(
            "{node}: sealed {}, clean {}, {readable}",
            bounds.0, bounds.1
        );
        for (_, lsn, copy) in host.live.copies() {
            let synced = host.durable.copy(LOG, lsn) == Some(copy);
            let unreadable = match &copy.entry {
                Entry::Record(it) => it.record.verify().is_err() || !it.belongs_at(LOG, lsn),
                Entry::Hole | Entry::Bridge => false,
            };
            write!(
                text,
                "\n  {lsn} {}{}{}",
                words::stored_copy(copy),
                if synced { "" } else { ", unsynced" },
                if unreadable { ", unreadable" } else { "" },
            )
            .expect("a string takes all");
        }
        self.tell(format_args!("{text}"));
    }

    pub(crate) fn tell_sequencer(&mut self, node: NodeId) {
        let text = self.life(node).describe();
        self.tell(format_args!("{node}: {text}"));
    }

    // Clients.

    /// Sends a client's request to a node, meant for its present life or for `life`.
    pub(crate) fn request(
        &mut self,
        client: ClientId,
        to: NodeId,
        life: Option<u64>,
        ask: ClientAsk,
    ) {
        let incarnation = life.map_or_else(|| self.life(to).incarnation(), Incarnation);
        let number = self.numbers.entry(client).or_default();
        *number += 1;
        let request = Request {
            incarnation,
            number: *number,
            log: LOG,
            ask,
        };
        self.in_flight.push(InFlight {
            from: client.into(),
            to: to.into(),
            message: Message::Request(request),
        });
    }

    pub(crate) fn append(
        &mut self,
        client: ClientId,
        to: NodeId,
        life: Option<u64>,
        payload: &str,
        attributes: Attributes,
        conditions: Conditions,
    ) {
        let record = Record::with(Bytes::copy_from_slice(payload.as_bytes()), attributes);
        let ask = ClientAsk::Append { record, conditions };
        self.request(client, to, life, ask);
    }

    /// What a move asks for: other nodes, other copies, or neither.
    pub(crate) fn quorums(
        &self,
        nodes: Option<NodeSet>,
        copies: Option<u64>,
    ) -> Option<QuorumSystem> {
        if nodes.is_none() && copies.is_none() {
            return None;
        }
        let spec = &self.config.logs[&LOG];
        let nodes = nodes.unwrap_or(spec.quorums.nodes()).iter();
        let locations = nodes.map(|node| (node, Location::default())).collect();
        let configured = spec
            .quorums
            .replication()
            .expect("the script's log is replicated");
        let replication = copies.map_or(configured, |it| Replication::copies(it as u8));
        Some(QuorumSystem::new(locations, replication).expect("the script's quorums can be"))
    }

    /// Which nodes hold which epochs, for all a client knows.
    fn spans(&self, client: ClientId) -> Vec<EpochSpan> {
        self.spans.get(&client).cloned().unwrap_or_else(|| {
            let quorums = self.config.quorum_system(LOG);
            let quorums = quorums.expect("the log is configured");
            let first = Epoch(1);
            vec![EpochSpan { first, quorums }]
        })
    }

    /// Begins to look for a time up to `last`.
    pub(crate) fn find_time(&mut self, client: ClientId, time: WallTime, last: Lsn) {
        let range = (Lsn::MIN, last);
        let mut search = Search::new(LOG, self.spans(client), range, time, 1, None);
        let mut asked = Vec::new();
        search.on_time(self.now, &self.config.timing, &mut |node, message| {
            asked.push((node, message));
        });
        self.searches.insert(client, search);
        self.ask(client, asked);
    }

    fn ask(&mut self, client: ClientId, asked: Vec<(NodeId, Message)>) {
        for (node, message) in asked {
            self.in_flight.push(InFlight {
                from: client.into(),
                to: node.into(),
                message,
            });
        }
    }

    /// Begins to read `[from, until)`.
    pub(crate) fn read(&mut self, client: ClientId, from: Lsn, until: Lsn) {
        let spans = self.spans(client);
        let range = Range {
            from,
            until,
            limit: 1000,
            trim: Lsn::MIN,
            down: NodeSet::EMPTY,
            second_tier: None,
            is_tiered: false,
        };
        let reader = (Reader::new(LOG, spans, &range, 1), Vec::new());
        self.readers.insert(client, reader);
        self.read_on(client);
    }

    fn read_on(&mut self, client: ClientId) {
        let Some((reader, read)) = self.readers.get_mut(&client) else {
            return;
        };
        let mut asked = Vec::new();
        loop {
            reader.on_time(self.now, &self.config.timing, &mut |node, message| {
                asked.push((node, message));
            });
            let taken = reader.take();
            if taken.is_empty() {
                break;
            }
            read.extend(taken);
        }
        let complete = reader.is_complete().then(|| std::mem::take(read));
        self.ask(client, asked);
        if let Some(deliveries) = complete {
            self.readers.remove(&client);
            self.tell(format_args!("{client} reads:"));
            for it in &deliveries {
                self.tell(format_args!("  {}", words::delivery(it)));
            }
        }
    }

    fn on_client_message(&mut self, client: ClientId, from: Address, message: &Message) {
        if let Message::Reply(reply) = message
            && let ClientAnswer::Tail { epochs, .. } = &reply.answer
        {
            self.spans.insert(client, epochs.clone());
        }
        match (message, from) {
            (Message::Reply(reply), _) => match self.telling {
                Telling::Counts => {
                    let kind = words::client_answer(&reply.answer);
                    let kind = kind.split(' ').next().expect("an answer has a name");
                    *self.counts.entry(format!("{client} {kind}")).or_default() += 1;
                }
                Telling::Events => {
                    let text = words::message(message);
                    self.tell(format_args!("{client} <- {from} {text}"));
                }
                Telling::Messages => {}
            },
            (
                Message::Stored {
                    answer: StorageAnswer::Fetched(told),
                    ..
                },
                Address::Node(node),
            ) => {
                if let Some((reader, _)) = self.readers.get_mut(&client) {
                    reader.on_fetched(node, told, self.now, &self.config.timing);
                    self.read_on(client);
                }
            }
            (
                Message::Stored {
                    answer: StorageAnswer::FoundTime(told),
                    ..
                },
                Address::Node(node),
            ) => {
                if let Some(search) = self.searches.get_mut(&client) {
                    search.on_found(node, told);
                    if let Some(lsn) = search.found() {
                        self.searches.remove(&client);
                        self.tell(format_args!("{client} finds the time from {lsn} on"));
                    }
                }
            }
            (message, from) => unreachable!("{from} does not send {message:?} to clients"),
        }
    }

    // The network.

    fn arrive(&mut self, it: InFlight) {
        if self.telling == Telling::Messages {
            self.tell(format_args!("{}", it.describe()));
        }
        match it.to {
            Address::Node(node) => {
                if self.hosts[&node].life.is_none() {
                    if self.telling == Telling::Messages {
                        self.tell(format_args!("  {node} is down"));
                    }
                    return;
                }
                let input = Input::Message {
                    from: it.from,
                    message: it.message,
                };
                self.step(node, input);
            }
            Address::Client(client) => self.on_client_message(client, it.from, &it.message),
        }
    }

    /// Takes the messages out of the network that match, in the order they were sent.
    fn take(&mut self, pattern: &Pattern) -> Vec<InFlight> {
        let all = std::mem::take(&mut self.in_flight);
        let (taken, left) = all.into_iter().partition(|it| pattern.matches(it));
        self.in_flight = left;
        taken
    }

    /// Delivers messages that are in flight now and match; what they cause stays in flight.
    pub(crate) fn deliver(&mut self, pattern: &Pattern) -> usize {
        let taken = self.take(pattern);
        let count = taken.len();
        for it in taken {
            self.arrive(it);
        }
        count
    }

    /// Delivers the message that was sent first, of those that match.
    pub(crate) fn deliver_one(&mut self, pattern: &Pattern) -> usize {
        let first = self.in_flight.iter().position(|it| pattern.matches(it));
        if let Some(first) = first {
            let it = self.in_flight.remove(first);
            self.arrive(it);
        }
        usize::from(first.is_some())
    }

    /// Loses messages.
    pub(crate) fn lose(&mut self, pattern: &Pattern) -> usize {
        let taken = self.take(pattern);
        for it in &taken {
            self.tell(format_args!("lost {}", it.describe()));
        }
        taken.len()
    }

    /// Has messages arrive once more than they were sent.
    pub(crate) fn duplicate(&mut self, pattern: &Pattern) -> usize {
        let copies: Vec<InFlight> = self
            .in_flight
            .iter()
            .filter(|it| pattern.matches(it))
            .map(|it| InFlight {
                from: it.from,
                to: it.to,
                message: it.message.clone(),
            })
            .collect();
        let count = copies.len();
        for it in copies {
            self.tell(format_args!("twice {}", it.describe()));
            self.in_flight.push(it);
        }
        count
    }

    /// Keeps messages that match in flight from now on.
    pub(crate) fn hold(&mut self, pattern: Pattern) {
        self.held.push(pattern);
    }

    /// Holds nothing back any more.
    pub(crate) fn let_go(&mut self) {
        self.held.clear();
    }

    /// Delivers until nothing is in flight but what is held.
    pub(crate) fn settle(&mut self) {
        for _ in 0..SETTLE_MAX {
            let next = self
                .in_flight
                .iter()
                .position(|it| !self.held.iter().any(|held| held.matches(it)));
            let Some(next) = next else {
                return;
            };
            let it = self.in_flight.remove(next);
            self.arrive(it);
        }
        self.tell(format_args!("{SETTLE_MAX} messages delivered and no end"));
    }

    pub(crate) fn tell_in_flight(&mut self) {
        let lines: Vec<String> = self.in_flight.iter().map(InFlight::describe).collect();
        if lines.is_empty() {
            self.tell(format_args!("nothing is in flight"));
        }
        for line in lines {
            self.tell(format_args!("{line}"));
        }
    }

    // Time.

    /// Lets time pass; timers fire at their time, messages stay where they are unless the network is
    /// to `settle` after each.
    pub(crate) fn advance(&mut self, by: Duration, settle: bool) {
        let until = self.now + by;
        loop {
            let of_nodes = self
                .hosts
                .iter()
                .filter_map(|(&node, host)| Some((host.life.as_ref()?.deadline()?, node)));
            let of_readers = self
                .readers
                .iter()
                .filter_map(|(&client, (reader, _))| reader.deadline().map(|at| (at, client)));
            let node = of_nodes.min();
            let reader = of_readers.min();
            let next = node
                .map(|it| it.0)
                .into_iter()
                .chain(reader.map(|it| it.0))
                .min();
            let Some(at) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(at);
            match (node, reader) {
                (Some((due, node)), _) if due == at => self.step(node, Input::Time),
                (_, Some((_, client))) => self.read_on(client),
                _ => unreachable!("one of them is due"),
            }
            if settle {
                self.settle();
            }
        }
        self.now = until;
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.now
    }
}
