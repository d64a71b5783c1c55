//! One node of HStore as one value.
//!
//! [`Node`] composes the machines of a node and routes between them: register acceptor, storage node,
//! a sequencer for each log, failure detector, request filter. It does no I/O. A host owns sockets,
//! disk and clock and does three things for ever: gives the node an [`Input`], carries out what it put
//! out, and comes back at its [`deadline`](Node::deadline). The simulator is one host, a server on real
//! sockets another; the node cannot tell them apart.
//!
//! A node *starts* by making its next life durable; until then it takes nothing and says nothing.
//!
//! What a host owes:
//! - Disk requests of a node are carried out in order, and complete in order within their kind.
//! - Calls to the object store are answered, each once, in any order; what takes too long fails.
//! - After a crash, nothing of the old life reaches the new node, but messages of others may.
//! - An input `Time` at or after the deadline; earlier ones are harmless.

#![deny(missing_docs)]

mod second_tier;
mod timed;

use std::collections::BTreeMap;
use std::sync::Arc;

use hstore_core::ports::object_store::{ObjectAnswer, ObjectError};
use hstore_core::{
    Address, Epoch, Incarnation, LogId, Lsn, NodeId, Rng, Timestamp, WallTime, probe,
};
use hstore_replicator::boot::{Boot, BootError, Past};
use hstore_replicator::config::ClusterConfig;
use hstore_replicator::detector::Detector;
use hstore_replicator::effects::{
    BootMetadata, DiskDone, DiskOwner, DiskRequest, DiskToken, DiskWork, Durability, Env, Event,
    ObjectToken, Outputs,
};
use hstore_replicator::keys::MetaKey;
use hstore_replicator::message::{
    ClientAnswer, Heartbeat, Message, RegisterStep, Reply, Request, Sequencing, StorageAnswer,
    StorageAsk,
};
use hstore_replicator::queue::Queue;
use hstore_replicator::register::{Acceptor, RegisterValue};
use hstore_replicator::sequencer::Sequencer;
use hstore_replicator::sessions::{Admission, Sessions};
use hstore_replicator::storage::StorageNode;

use hstore_tier2::offloader::Held;

use second_tier::SecondTier;
pub use second_tier::{COLD_READS_MAX, Tiering};
use timed::Timed;

/// What a host gives a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A message arrived.
    Message {
        /// Who sent it.
        from: Address,
        /// The message.
        message: Message,
    },
    /// A disk request completed.
    Disk {
        /// Which.
        token: DiskToken,
        /// What came of it.
        done: DiskDone,
    },
    /// The object store answered a call.
    Object {
        /// Which.
        token: ObjectToken,
        /// What came of it.
        answer: Result<ObjectAnswer, ObjectError>,
    },
    /// Time has passed.
    Time,
}

/// A node.
#[derive(Debug)]
pub struct Node {
    me: NodeId,
    config: Arc<ClusterConfig>,
    incarnation: Incarnation,
    rng: Rng,
    /// `None` until the new life is durable.
    detector: Option<Detector>,
    acceptor: Acceptor,
    storage: Timed<StorageNode>,
    sequencers: BTreeMap<LogId, Timed<Sequencer>>,
    second_tier: Option<SecondTier>,
    sessions: Sessions,
    /// Since the last step.
    deadline: Option<Timestamp>,
}

impl Node {
    /// A node that begins its next life with what its store holds. `seed` is for its random source. `tiering` is
    /// where the history of logs moves to that the configuration says is tiered; without, it stays.
    ///
    /// # Errors
    /// If the store's metadata cannot be understood, or is that of a node which has never run and this one
    /// has.
    pub fn boot(
        me: NodeId,
        config: Arc<ClusterConfig>,
        tiering: Option<Arc<Tiering>>,
        seed: u64,
        metadata: &BootMetadata,
        past: Past,
        out: &mut Outputs,
    ) -> Result<Self, BootError> {
        let boot = Boot::read(metadata, past)?;
        let incarnation = Incarnation(boot.incarnation.0 + 1);
        out.disk.push(DiskRequest {
            token: DiskToken {
                owner: DiskOwner::Node,
                number: 0,
            },
            work: DiskWork::Write {
                batch: vec![MetaKey::Incarnation.put(&incarnation)],
                until: Durability::Synced,
            },
        });
        let logs = config.logs.keys();
        Ok(Self {
            me,
            incarnation,
            rng: Rng::from_seed(seed),
            detector: None,
            acceptor: boot.acceptor,
            storage: Timed::new(boot.storage),
            sequencers: logs
                .map(|&log| (log, Timed::new(Sequencer::new(log))))
                .collect(),
            second_tier: tiering.map(SecondTier::new),
            sessions: Sessions::default(),
            deadline: None,
            config,
        })
    }

    /// When the node wants an [`Input::Time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    fn next_deadline(&self) -> Option<Timestamp> {
        let detector = self.detector.as_ref()?;
        let sequencers = self.sequencers.values().filter_map(Timed::deadline);
        sequencers
            .chain(self.storage.deadline())
            .chain(self.second_tier.as_ref().and_then(SecondTier::deadline))
            .chain([detector.deadline()])
            .min()
    }

    /// Takes an input. `wall` is what the host's system clock shows.
    pub fn step(&mut self, now: Timestamp, wall: WallTime, input: Input, out: &mut Outputs) {
        let config = Arc::clone(&self.config);
        let mut rng = self.rng.clone();
        let mut env = Env {
            now,
            wall,
            me: self.me,
            incarnation: self.incarnation,
            config: &config,
            rng: &mut rng,
            out,
        };
        if self.detector.is_some() {
            match input {
                Input::Message { from, message } => self.on_message(from, message, &mut env),
                Input::Disk { token, done } => self.on_disk(token, done, &mut env),
                Input::Object { token, answer } => {
                    if let Some(second_tier) = &mut self.second_tier {
                        second_tier.on_object(token, answer, &mut env);
                    }
                }
                Input::Time => self.on_time(&mut env),
            }
            self.follow_sequencers(&mut env);
        } else if let Input::Disk { .. } = input {
            env.out.events.push(Event::Started(self.incarnation));
            self.detector = Some(Detector::start(&mut env));
        }
        self.rng = rng;
        self.deadline = self.next_deadline();
    }

    /// What is sequenced here is moved from here.
    fn follow_sequencers(&mut self, env: &mut Env) {
        if let Some(second_tier) = &mut self.second_tier {
            for (&log, sequencer) in &mut self.sequencers {
                let annex = sequencer.machine().value().map(|it| it.annex.version);
                if env.config.is_tiered(log) || annex.is_some_and(|version| version > 0) {
                    second_tier.follow(log, sequencer, env);
                }
            }
        }
    }

    fn on_message(&mut self, from: Address, message: Message, env: &mut Env) {
        match message {
            Message::Request(request) => self.on_request(from, &request, env),
            Message::Heartbeat(heartbeat) => {
                if let Address::Node(node) = from {
                    self.on_heartbeat(node, &heartbeat, env);
                }
            }
            // What is kept of a log stays: only of those that there are.
            Message::Register { log, .. } if !env.config.logs.contains_key(&log) => {}
            Message::Register { log, ballot, step } => match step {
                RegisterStep::Prepare | RegisterStep::Accept(_) => {
                    if env.config.metadata.contains(self.me) {
                        self.acceptor.on_step(from, log, ballot, &step, env.out);
                    }
                }
                RegisterStep::Promise(_) | RegisterStep::Accepted | RegisterStep::Refused(_) => {
                    if let (Address::Node(node), Some(it)) = (from, self.sequencers.get_mut(&log)) {
                        let before = it.machine().epoch();
                        it.change(|it| it.on_register(node, ballot, &step, env));
                        let epoch = it.machine().epoch();
                        if epoch.is_some_and(|epoch| Some(epoch) != before)
                            && let Some(detector) = &mut self.detector
                        {
                            // The others send clients here once they know.
                            detector.hurry(env.now);
                        }
                    }
                }
            },
            Message::HandOver {
                log,
                epoch,
                quorums,
            } => {
                if let (Address::Node(node), Some(it)) = (from, self.sequencers.get_mut(&log)) {
                    it.change(|it| it.on_hand_over(node, epoch, &quorums, env));
                }
            }
            Message::Storage { log, ask } => match ask {
                StorageAsk::Recovered { after } => {
                    if let Some(it) = self.sequencers.get(&log) {
                        it.machine().on_recovered_wanted(from, after, env);
                    }
                }
                StorageAsk::FetchCold(ask) => {
                    let hint = self.hint(log, env.now);
                    if let Some(second_tier) = &mut self.second_tier {
                        second_tier.on_fetch_cold(from, log, ask, hint, env);
                    }
                }
                ask => self.storage.change(|it| it.on_ask(from, log, &ask, env)),
            },
            Message::Stored { log, answer } => {
                let Address::Node(node) = from else {
                    return;
                };
                match answer {
                    StorageAnswer::Recovered(_)
                    | StorageAnswer::RecoveryMetadata { .. }
                    | StorageAnswer::Copy { .. } => {
                        let storage = &mut self.storage;
                        storage.change(|it| it.on_answer(node, log, &answer, env));
                    }
                    StorageAnswer::Fetched(told)
                        if self
                            .second_tier
                            .as_mut()
                            .is_some_and(|it| it.on_fetched(node, log, &told, env)) => {}
                    answer => {
                        if let Some(it) = self.sequencers.get_mut(&log) {
                            it.change(|it| it.on_stored(node, &answer, env));
                        }
                    }
                }
            }
            // For clients.
            Message::Reply(_) => {}
        }
    }

    fn on_request(&mut self, from: Address, request: &Request, env: &mut Env) {
        let Address::Client(client) = from else {
            return;
        };
        let refuse = |answer, env: &mut Env| {
            let number = request.number;
            env.out.send(from, Message::Reply(Reply { number, answer }));
        };
        if request.incarnation != self.incarnation {
            refuse(ClientAnswer::WrongIncarnation(self.incarnation), env);
            return;
        }
        match self.sessions.admit(client, request.number, env.now) {
            Admission::New => {}
            // Nothing certain can be said of either: the request may be a duplicate of one that was
            // taken, or be duplicated and taken later. Its client hears nothing, and knows nothing.
            Admission::Seen | Admission::Full => {
                probe!("node.request-seen-before");
                return;
            }
        }
        let hint = self.hint(request.log, env.now);
        match self.sequencers.get_mut(&request.log) {
            Some(it) => {
                it.change(|it| it.on_request(from, request.number, &request.ask, hint, env));
            }
            None => refuse(ClientAnswer::Redirect(None), env),
        }
    }

    /// The node that sequences a log, for all this one knows, if it is another.
    fn hint(&self, log: LogId, now: Timestamp) -> Option<NodeId> {
        let node = self.detector.as_ref()?.sequencer(log, now)?;
        (node != self.me).then_some(node)
    }

    fn on_heartbeat(&mut self, from: NodeId, heartbeat: &Heartbeat, env: &mut Env) {
        let Some(detector) = &mut self.detector else {
            return;
        };
        // What others have passed on is as good as what the node itself says: bounds only rise.
        for (node, it) in detector.on_heartbeat(from, heartbeat, env) {
            hear(&mut self.storage, node, &it, env);
            if let Some(sequencer) = self.sequencers.get_mut(&it.log) {
                sequencer.change(|sequencer| sequencer.on_rival(node, it.epoch, env));
            }
        }
    }

    fn on_disk(&mut self, token: DiskToken, done: DiskDone, env: &mut Env) {
        match token.owner {
            DiskOwner::Node => unreachable!("a node asks the disk once, before it starts"),
            DiskOwner::Acceptor => self.acceptor.on_durable(token.number, env.out),
            DiskOwner::Storage => self
                .storage
                .change(|it| it.on_disk(token.number, done, env)),
        }
    }

    fn on_time(&mut self, env: &mut Env) {
        for sequencer in self.sequencers.values_mut() {
            if sequencer.is_due(env.now) {
                sequencer.change(|it| it.on_time(env));
            }
        }
        if self.storage.is_due(env.now) {
            self.storage.change(|it| it.on_time(env));
        }
        let sequencing: Vec<_> = self
            .sequencers
            .values()
            .filter_map(|it| it.machine().sequencing())
            .collect();
        let detector = self.detector.as_mut().expect("the node has started");
        if detector.deadline() <= env.now {
            // A node does not send itself heartbeats; its own releases reach it here.
            for it in &sequencing {
                hear(&mut self.storage, env.me, it, env);
            }
        }
        for log in detector.beat(sequencing, env) {
            if let Some(sequencer) = self.sequencers.get_mut(&log) {
                sequencer.change(|it| it.activate(env));
            }
        }
    }

    /// The node.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// Its life.
    #[must_use]
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// The epoch of `log` that this node sequences and answers for.
    #[must_use]
    pub fn open_epoch(&self, log: LogId) -> Option<Epoch> {
        self.sequencers.get(&log)?.machine().open_epoch()
    }

    /// The epoch of `log` that this node sequences, open or not yet.
    #[must_use]
    pub fn epoch(&self, log: LogId) -> Option<Epoch> {
        self.sequencers.get(&log)?.machine().epoch()
    }

    /// Up to where this node lets readers of `log` read.
    #[must_use]
    pub fn readable(&self, log: LogId) -> Lsn {
        self.storage.machine().readable(log)
    }

    /// Up to where everything of `log` was given up, as far as this node knows.
    #[must_use]
    pub fn trim(&self, log: LogId) -> Lsn {
        self.storage.machine().trim(log)
    }

    /// Up to where this node holds nothing of `log` that was not given up, because it lies in the second tier.
    #[must_use]
    pub fn handed(&self, log: LogId) -> Lsn {
        self.storage.machine().handed(log)
    }

    /// What lies in the second tier of `log`, if this node sequences it.
    #[must_use]
    pub fn held(&self, log: LogId) -> Option<&Held> {
        self.second_tier.as_ref()?.held(log)
    }

    /// Up to where this node has read what it is to hand over of `log`, in its epoch, and found it in order.
    #[must_use]
    pub fn sound(&self, log: LogId) -> Option<(Epoch, Lsn)> {
        self.second_tier.as_ref()?.sound(log)
    }

    /// The register of `log` as this node last saw it, if it sequences the log.
    #[must_use]
    pub fn register(&self, log: LogId) -> Option<&RegisterValue> {
        self.sequencers.get(&log)?.machine().value()
    }

    /// The durable bounds of `log` here: hard seal and local last clean epoch.
    #[must_use]
    pub fn bounds(&self, log: LogId) -> (Epoch, Epoch) {
        self.storage.machine().bounds(log)
    }

    /// All queues of the node's machines: none may be longer than its bound.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        let sequencers = self.sequencers.values().map(Timed::machine);
        sequencers
            .flat_map(Sequencer::queues)
            .chain(self.storage.machine().queues())
            .chain(self.acceptor.queues())
            .chain(self.sessions.queues())
            .chain(self.second_tier.iter().flat_map(SecondTier::queues))
    }

    /// What the acceptor remembers of each register, for people.
    pub fn describe_registers(&self) -> impl Iterator<Item = (LogId, String)> {
        self.acceptor.describe()
    }

    /// What each sequencer is doing, for people.
    pub fn describe(&self) -> impl Iterator<Item = (LogId, String)> {
        self.sequencers
            .iter()
            .map(|(&log, sequencer)| (log, sequencer.machine().describe()))
    }
}

/// The node's storage hears a sequencer's word on its log.
fn hear(storage: &mut Timed<StorageNode>, from: NodeId, it: &Sequencing, env: &mut Env) {
    storage.change(|storage| {
        storage.on_trim(it.log, it.trim, it.handed, env);
        if let Some(released) = it.released {
            storage.on_release(from, it.log, released, env);
        }
    });
}
