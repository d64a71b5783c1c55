//! One life of a node: either the real [`Node`], whose failure detector decides when to step in, or
//! the same machines without the detector, which step in when a script says so.

use std::sync::Arc;

use hstore_core::{Address, Incarnation, LogId, Lsn, NodeId, Rng, Timestamp, WallTime};
use hstore_node::{Input, Node};
use hstore_replicator::boot::{Boot, Past};
use hstore_replicator::config::ClusterConfig;
use hstore_replicator::effects::{
    BootMetadata, DiskDone, DiskOwner, DiskRequest, DiskToken, DiskWork, Durability, Env, Event,
    Outputs,
};
use hstore_replicator::keys::MetaKey;
use hstore_replicator::message::{
    ClientAnswer, Message, RegisterStep, Reply, StorageAnswer, StorageAsk,
};
use hstore_replicator::register::Acceptor;
use hstore_replicator::sequencer::Sequencer;
use hstore_replicator::sessions::{Admission, Sessions};
use hstore_replicator::storage::StorageNode;

/// The log of all scripts.
pub(crate) const LOG: LogId = LogId(1);

/// A running node.
pub(crate) enum Life {
    Whole(Box<Node>),
    Parts(Box<Parts>),
}

impl Life {
    /// A new life with what the store holds.
    pub(crate) fn boot(
        me: NodeId,
        config: Arc<ClusterConfig>,
        with_detector: bool,
        metadata: &BootMetadata,
        out: &mut Outputs,
    ) -> Self {
        let seed = u64::from(me.0);
        if with_detector {
            let node = Node::boot(me, config, None, seed, metadata, Past::Blank, out);
            Self::Whole(Box::new(node.expect("own metadata is understood")))
        } else {
            Self::Parts(Box::new(Parts::boot(me, config, seed, metadata, out)))
        }
    }

    pub(crate) fn step(&mut self, now: Timestamp, input: Input, out: &mut Outputs) {
        match self {
            Self::Whole(it) => it.step(now, wall(now), input, out),
            Self::Parts(it) => it.step(now, input, out),
        }
    }

    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        match self {
            Self::Whole(it) => it.deadline(),
            Self::Parts(it) => it.deadline(),
        }
    }

    /// Has the sequencer try to take the log. Only without a detector.
    pub(crate) fn activate(&mut self, now: Timestamp, out: &mut Outputs) {
        match self {
            Self::Whole(_) => panic!("a node with a detector activates by itself"),
            Self::Parts(it) => it.with_env(now, out, |it, env| it.sequencer.activate(env)),
        }
    }

    pub(crate) fn incarnation(&self) -> Incarnation {
        match self {
            Self::Whole(it) => it.incarnation(),
            Self::Parts(it) => it.incarnation,
        }
    }

    pub(crate) fn readable(&self) -> Lsn {
        match self {
            Self::Whole(it) => it.readable(LOG),
            Self::Parts(it) => it.storage.readable(LOG),
        }
    }

    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Whole(it) => it.describe().map(|(_, it)| it).collect(),
            Self::Parts(it) => it.sequencer.describe(),
        }
    }
}

/// The system clock of every node: it shows the script's time.
fn wall(now: Timestamp) -> WallTime {
    WallTime(now.0 / 1_000_000)
}

/// The machines of a node without its failure detector.
pub(crate) struct Parts {
    me: NodeId,
    config: Arc<ClusterConfig>,
    incarnation: Incarnation,
    rng: Rng,
    started: bool,
    acceptor: Acceptor,
    storage: StorageNode,
    sequencer: Sequencer,
    sessions: Sessions,
}

impl Parts {
    fn boot(
        me: NodeId,
        config: Arc<ClusterConfig>,
        seed: u64,
        metadata: &BootMetadata,
        out: &mut Outputs,
    ) -> Self {
        let boot = Boot::read(metadata, Past::Blank).expect("own metadata is understood");
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
        Self {
            me,
            config,
            incarnation,
            rng: Rng::from_seed(seed),
            started: false,
            acceptor: boot.acceptor,
            storage: boot.storage,
            sequencer: Sequencer::new(LOG),
            sessions: Sessions::default(),
        }
    }

    fn with_env(
        &mut self,
        now: Timestamp,
        out: &mut Outputs,
        step: impl FnOnce(&mut Self, &mut Env),
    ) {
        let config = Arc::clone(&self.config);
        let mut rng = self.rng.clone();
        let mut env = Env {
            now,
            wall: wall(now),
            me: self.me,
            incarnation: self.incarnation,
            config: &config,
            rng: &mut rng,
            out,
        };
        step(self, &mut env);
        self.rng = rng;
    }

    fn step(&mut self, now: Timestamp, input: Input, out: &mut Outputs) {
        self.with_env(now, out, |it, env| match input {
            Input::Disk { token, .. } if !it.started => {
                assert_eq!(token.owner, DiskOwner::Node, "nothing else was asked yet");
                it.started = true;
                env.out.events.push(Event::Started(it.incarnation));
            }
            _ if !it.started => {}
            Input::Message { from, message } => it.on_message(from, message, env),
            Input::Disk { token, done } => it.on_disk(token, done, env),
            Input::Object { .. } => unreachable!("there is no object store"),
            Input::Time => {
                if it.sequencer.deadline().is_some_and(|at| at <= env.now) {
                    it.sequencer.on_time(env);
                }
                if it.storage.deadline().is_some_and(|at| at <= env.now) {
                    it.storage.on_time(env);
                }
            }
        });
    }

    fn on_disk(&mut self, token: DiskToken, done: DiskDone, env: &mut Env) {
        match token.owner {
            DiskOwner::Node => unreachable!("asked once"),
            DiskOwner::Acceptor => self.acceptor.on_durable(token.number, env.out),
            DiskOwner::Storage => self.storage.on_disk(token.number, done, env),
        }
    }

    fn on_message(&mut self, from: Address, message: Message, env: &mut Env) {
        match (message, from) {
            (Message::Request(request), Address::Client(client)) => {
                let number = request.number;
                if request.incarnation != self.incarnation {
                    let answer = ClientAnswer::WrongIncarnation(self.incarnation);
                    env.out.send(from, Message::Reply(Reply { number, answer }));
                } else if self.sessions.admit(client, number, env.now) == Admission::New {
                    let ask = &request.ask;
                    self.sequencer.on_request(from, number, ask, None, env);
                }
            }
            (Message::Register { log, ballot, step }, Address::Node(node)) => match step {
                RegisterStep::Prepare | RegisterStep::Accept(_) => {
                    self.acceptor.on_step(from, log, ballot, &step, env.out);
                }
                step => self.sequencer.on_register(node, ballot, &step, env),
            },
            (Message::HandOver { epoch, quorums, .. }, Address::Node(node)) => {
                self.sequencer.on_hand_over(node, epoch, &quorums, env)
            }
            (Message::Storage { log, ask }, _) => match ask {
                StorageAsk::Recovered { after } => {
                    self.sequencer.on_recovered_wanted(from, after, env);
                }
                ask => self.storage.on_ask(from, log, &ask, env),
            },
            (Message::Stored { log, answer }, Address::Node(node)) => match answer {
                StorageAnswer::Recovered(_)
                | StorageAnswer::RecoveryMetadata { .. }
                | StorageAnswer::Copy { .. } => {
                    self.storage.on_answer(node, log, &answer, env);
                }
                answer => self.sequencer.on_stored(node, &answer, env),
            },
            (message, from) => unreachable!("{from} does not send {message:?}"),
        }
    }

    fn deadline(&self) -> Option<Timestamp> {
        let of_parts = [self.sequencer.deadline(), self.storage.deadline()];
        of_parts.into_iter().flatten().min()
    }
}
