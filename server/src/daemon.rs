//! One node, hosted: the task that owns it, and all that belongs to one life of a process.
//!
//! # Invariants
//!
//! - The node takes one input after another. Its outputs are carried out before the next: disk work in
//!   order, messages into queues that never make it wait.
//! - No message is taken while [`DISK_REQUESTS_MAX`] requests are under way. Completions and time always
//!   are, so that it goes on.
//! - All channels, queues and connections are made new for a life and end with it: nothing of the node's
//!   own old life reaches a new one, except by way of its store.
//! - When the store fails the process ends, and sends nothing more.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::log_store::StoreError;
use hstore_core::ports::object_store::{ObjectError, ObjectErrorKind};
use hstore_core::{Address, ClientId, LogId, NodeId, Rng, Timestamp};
use hstore_node::{Input, Node};
use hstore_replicator::boot::{BootError, Past};
use hstore_replicator::effects::{DiskRequest, Event, Outputs, Tier2Event};
use hstore_replicator::message::{
    ClientAnswer, ClientAsk, ColdTold, Message, Reply, Request, StorageAnswer,
};
use hstore_replicator::wire;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::node::NodeConfig;
use crate::identity::{self, Identity, IdentityError};
use crate::metrics::{LogStatus, Metrics, Status, Tier2Status};
use crate::object_calls::{Answer, CallsError, ObjectCalls};
use crate::objects;
use crate::storage::{Storage, StorageEvent};
use crate::transport::clients::Clients;
use crate::transport::listener::{self, Inbound, Shared};
use crate::transport::outbox::{Outbox, outbox};
use crate::transport::peers;

/// Disk requests under way at which no further message is taken. One input asks for few more.
pub const DISK_REQUESTS_MAX: usize = 1024;
/// Messages that connections have read and the node has not taken.
const INBOUND_MAX: usize = 1024;
/// Appends whose latency is being measured.
const MEASURED_MAX: usize = 1 << 16;
/// An append unanswered for so long is measured no more.
const MEASURED_FOR: Duration = Duration::from_secs(60);

/// Why a node's process ended other than by being asked to.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The data directory was refused.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The address cannot be listened on.
    #[error("cannot listen on {address}: {error}; is another process using it?")]
    Listen {
        /// The address.
        address: String,
        /// Why.
        error: io::Error,
    },
    /// The store cannot be opened, or failed.
    #[error("the store failed: {0}; the node must not go on with it")]
    Store(#[from] StoreError),
    /// History cannot be moved to where it is to be.
    #[error(transparent)]
    Objects(#[from] CallsError),
    /// The storage thread is gone.
    #[error("the storage thread ended by itself")]
    StorageGone,
    /// The store's content is not a node's.
    #[error("the store cannot be understood: {0}")]
    Boot(#[from] BootError),
    /// The operating system gives no random numbers.
    #[error("the operating system gives no random numbers: {0}")]
    Entropy(getrandom::Error),
}

/// What a node's observer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The node.
    pub node: NodeId,
    /// Where it listens.
    pub listen: String,
}

/// Runs a node until `stop` is ready. `ready` is called once it takes connections.
///
/// # Errors
/// If it cannot start or must not go on.
pub async fn run(
    settings: NodeConfig,
    stop: impl Future<Output = ()>,
    ready: impl FnOnce(Ready),
) -> Result<(), DaemonError> {
    let NodeConfig {
        node: me,
        cluster,
        data,
        listen,
        store,
    } = settings;
    let clock = Clock::start();
    let metrics = Arc::new(Metrics::default());
    let mut rng = Rng::from_seed(getrandom::u64().map_err(DaemonError::Entropy)?);
    let wanted = Identity {
        cluster: cluster.name.clone(),
        node: me,
        metadata: cluster.config.metadata,
    };
    let tier2 = cluster.tier2.as_ref();
    let objects = tier2.map(|it| ObjectCalls::open(&it.url, objects::environment()));
    let mut objects = objects.transpose()?;
    let tiering = tier2.map(|it| Arc::new(it.tiering.clone()));
    let mut claim = identity::claim(&data, &wanted)?;
    let listener = TcpListener::bind(&listen).await;
    let listener = listener.map_err(|error| DaemonError::Listen {
        address: listen.clone(),
        error,
    })?;
    let opened = Storage::open(claim.store(), store, clock, Arc::clone(&metrics)).await;
    let (mut storage, metadata) = opened?;
    if let Err(error) = claim.note_store() {
        storage.close().await;
        return Err(error.into());
    }

    let mut outputs = Outputs::default();
    let config = Arc::new(cluster.config.clone());
    // Whether the store is gone the directory has said by itself.
    let booted = Node::boot(
        me,
        config,
        tiering,
        rng.seed(),
        &metadata,
        Past::Blank,
        &mut outputs,
    );
    let node = match booted {
        Ok(node) => node,
        Err(error) => {
            storage.close().await;
            return Err(error.into());
        }
    };

    let (sender, mut inbound) = mpsc::channel(INBOUND_MAX);
    let clients = Arc::new(Clients::default());
    let mut tasks = JoinSet::new();
    let mut others = BTreeMap::new();
    for &to in cluster.addresses.keys().filter(|&&to| to != me) {
        let (outbox, outgoing) = outbox();
        others.insert(to, outbox);
        let cluster = Arc::clone(&cluster);
        let (rng, metrics) = (Rng::from_seed(rng.seed()), Arc::clone(&metrics));
        tasks.spawn(peers::serve(me, to, cluster, outgoing, clock, rng, metrics));
    }
    let shared = Shared {
        me,
        cluster: Arc::clone(&cluster),
        clients: Arc::clone(&clients),
        inbound: sender,
        clock,
        metrics: Arc::clone(&metrics),
    };
    tasks.spawn(listener::serve(listener, shared));

    let mut host = Host {
        node,
        cluster: cluster.name.clone(),
        others,
        clients,
        clock,
        metrics,
        under_way: 0,
        to_self: VecDeque::new(),
        appends: BTreeMap::new(),
    };
    host.carry_out(outputs, &storage, objects.as_mut());
    ready(Ready { node: me, listen });

    let mut stop = std::pin::pin!(stop);
    let ended = loop {
        let deadline = host.node.deadline();
        let input = tokio::select! {
            biased;
            () = &mut stop => break Ok(()),
            event = storage.events.recv() => match event {
                Some(StorageEvent::Done(token, done)) => {
                    host.under_way -= 1;
                    Input::Disk { token, done }
                }
                Some(StorageEvent::Failed(error)) => {
                    tracing::error!(%error, "the store failed: the node ends");
                    break Err(error.into());
                }
                None => break Err(DaemonError::StorageGone),
            },
            Some((token, answer)) = answered(&mut objects) => Input::Object { token, answer },
            () = clock.sleep_until(deadline) => Input::Time,
            Some(arrived) = inbound.recv(), if host.under_way < DISK_REQUESTS_MAX => match arrived {
                Inbound::Message { from, message } => {
                    host.observe_request(from, &message);
                    Input::Message { from, message }
                }
                Inbound::Status(asked) => {
                    // Whoever asked may be gone.
                    let _ = asked.send(host.status());
                    continue;
                }
            },
            Some(ended) = tasks.join_next() => {
                let error = ended.expect_err("connections are served for ever");
                std::panic::resume_unwind(error.into_panic());
            }
        };
        host.step(input, &storage, objects.as_mut());
    };

    tracing::info!("stopping");
    tasks.shutdown().await;
    // Also after a failure: RocksDB must be closed before the process takes its globals down.
    storage.close().await;
    claim.release();
    tracing::info!("stopped");
    ended
}

/// The next answer of the object store; where there is none, never.
async fn answered(objects: &mut Option<ObjectCalls>) -> Option<Answer> {
    match objects {
        Some(objects) => objects.answers.recv().await,
        None => std::future::pending().await,
    }
}

/// The node and where its outputs go.
struct Host {
    node: Node,
    cluster: String,
    others: BTreeMap<NodeId, Outbox>,
    clients: Arc<Clients>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Disk requests asked for and not complete.
    under_way: usize,
    /// Messages of the node to itself.
    to_self: VecDeque<Message>,
    /// When appends came in that are not answered yet.
    appends: BTreeMap<(ClientId, u64), Timestamp>,
}

impl Host {
    /// Gives the node an input and carries out what follows.
    fn step(&mut self, input: Input, storage: &Storage, mut objects: Option<&mut ObjectCalls>) {
        let mut next = Some(input);
        while let Some(input) = next {
            let mut outputs = Outputs::default();
            let (now, wall) = (self.clock.now(), self.clock.wall());
            self.node.step(now, wall, input, &mut outputs);
            self.carry_out(outputs, storage, objects.as_deref_mut());
            next = self.to_self.pop_front().map(|message| Input::Message {
                from: self.node.id().into(),
                message,
            });
        }
    }

    fn carry_out(
        &mut self,
        outputs: Outputs,
        storage: &Storage,
        objects: Option<&mut ObjectCalls>,
    ) {
        let Outputs {
            messages,
            disk,
            objects: calls,
            events,
        } = outputs;
        if let Some(objects) = objects {
            for call in calls {
                self.metrics.count("object_calls");
                objects.make(call);
            }
        }
        let now = self.clock.now();
        for request in disk {
            self.request(now, request, storage);
        }
        // The same message often goes to several nodes: encoded once.
        let mut last: Option<(Message, Bytes)> = None;
        for (to, message) in messages {
            self.observe_reply(to, &message, now);
            if let Message::Stored {
                answer: StorageAnswer::Cold(cold),
                ..
            } = &message
                && let ColdTold::Entries(_) = cold.told
            {
                self.metrics.count("cold_reads");
            }
            if to == Address::Node(self.node.id()) {
                self.to_self.push_back(message);
                continue;
            }
            let frame = match &last {
                Some((same, frame)) if *same == message => frame.clone(),
                _ => match wire::encode(&message) {
                    Ok(frame) => frame,
                    Err(error) => {
                        tracing::error!(%to, %error, "a message that cannot be sent");
                        self.metrics.count("frames_dropped");
                        continue;
                    }
                },
            };
            self.send(to, frame.clone());
            last = Some((message, frame));
        }
        for event in events {
            self.tell(&event);
        }
    }

    fn request(&mut self, now: Timestamp, request: DiskRequest, storage: &Storage) {
        self.under_way += 1;
        storage.request(now, request);
    }

    fn send(&self, to: Address, frame: Bytes) {
        let sent = match to {
            Address::Node(node) => self
                .others
                .get(&node)
                .is_some_and(|outbox| outbox.push(frame)),
            Address::Client(client) => self.clients.send(client, frame),
        };
        self.metrics.count(if sent {
            "frames_sent"
        } else {
            "frames_dropped"
        });
    }

    fn observe_request(&mut self, from: Address, message: &Message) {
        if let Address::Client(client) = from
            && let Message::Request(Request {
                number,
                ask: ClientAsk::Append { .. },
                ..
            }) = message
        {
            let now = self.clock.now();
            if self.appends.len() >= MEASURED_MAX {
                self.appends.retain(|_, at| now.since(*at) < MEASURED_FOR);
            }
            if self.appends.len() < MEASURED_MAX {
                self.appends.insert((client, *number), now);
            }
        }
    }

    fn observe_reply(&mut self, to: Address, message: &Message, now: Timestamp) {
        if let Address::Client(client) = to
            && let Message::Reply(Reply { number, answer }) = message
            && let Some(at) = self.appends.remove(&(client, *number))
            && matches!(answer, ClientAnswer::Appended(_))
        {
            self.metrics.latency("append_us", now.since(at));
        }
    }

    fn tell(&self, event: &Event) {
        let counter = match event {
            Event::Started(incarnation) => {
                tracing::info!(%incarnation, "started");
                return;
            }
            Event::Acked { .. } => "appends_acknowledged",
            Event::WaveFailed { .. } => "waves_failed",
            Event::Slow { .. } => "nodes_found_slow",
            Event::Activated { .. } => "epochs_activated",
            Event::Moved { .. } => "moves",
            Event::Draining { .. } => "moves_begun",
            Event::Resumed { .. } => "moves_given_up",
            Event::Opened { .. } => "epochs_opened",
            Event::Stopped { .. } => "epochs_stopped",
            Event::RecoveryBegan { .. } => "recoveries_begun",
            Event::RecoveryDecided { .. } => "recoveries_decided",
            Event::EpochClean { .. } => "epochs_cleaned",
            Event::Bounds { .. } => "bounds_changed",
            Event::Purged { .. } => "epochs_purged",
            Event::Checkpointed { .. } => "checkpoints_kept",
            Event::Trimmed { .. } => "trims",
            Event::Forgotten { .. } => "handed_over",
            Event::Tier2 { what, .. } => match what {
                Tier2Event::Held { .. } => "manifests_held",
                Tier2Event::Committed { .. } => "segments_committed",
                Tier2Event::Spoiled { .. } => "uploads_spoiled",
                Tier2Event::Anomaly { .. } => "segment_anomalies",
                Tier2Event::KeepsNoLonger { .. } => "retentions",
                Tier2Event::Collected(_) => "objects_collected",
                Tier2Event::Failed(_) => "object_calls_failed",
                Tier2Event::Stands(_) => "offloads_that_stand",
            },
            Event::CopyRepaired { .. } => "copies_repaired",
        };
        self.metrics.count(counter);
        match event {
            Event::Acked { .. } | Event::WaveFailed { .. } | Event::Bounds { .. } => {
                tracing::debug!(?event);
            }
            Event::Tier2 { what, .. } if is_for_people(what) => tracing::warn!(?event),
            _ => tracing::info!(?event),
        }
    }

    fn status(&self) -> Status {
        let (counters, histograms) = self.metrics.tell();
        let log = |(log, sequencer): (LogId, String)| LogStatus {
            log: log.0,
            sequences: self.node.open_epoch(log).map(|epoch| epoch.0),
            sequencer,
            readable: self.node.readable(log).to_string(),
            tier2: self.node.held(log).map(Tier2Status::of),
        };
        Status {
            node: self.node.id().0,
            cluster: self.cluster.clone(),
            incarnation: self.node.incarnation().0,
            pid: std::process::id(),
            uptime_ms: self.clock.now().0 / 1_000_000,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            logs: self.node.describe().map(log).collect(),
            counters,
            histograms,
        }
    }
}

/// Whether somebody may have to do something about it.
fn is_for_people(what: &Tier2Event) -> bool {
    match what {
        Tier2Event::Anomaly { .. } | Tier2Event::Stands(_) => true,
        // Asking again does not help; with other failures it may.
        Tier2Event::Failed(ObjectError { kind, .. }) => *kind == ObjectErrorKind::Denied,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::ports::object_store::ObjectAsk;

    use super::*;

    #[test]
    fn who_may_not_use_the_object_store_is_warned() {
        let ask = ObjectAsk::Delete {
            key: "a/key".parse().expect("a key"),
        };
        let failed = |kind| Tier2Event::Failed(ObjectError::of(&ask, kind, "why"));
        assert!(is_for_people(&failed(ObjectErrorKind::Denied)));
        assert!(!is_for_people(&failed(ObjectErrorKind::Unavailable)));
    }
}
