//! What machines put out: messages to send, disk work to do, events to know of.

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, CorruptCopy, LogStore, Scan, StoreError, StoreOp};
use hstore_core::ports::object_store::{ObjectAsk, ObjectError, ObjectKey};
use hstore_core::quorum::QuorumSystem;
use hstore_core::{
    Address, Ballot, Epoch, Incarnation, LogId, Lsn, NodeId, NodeSet, Offset, Rng, StoredCopy,
    Timestamp, WallTime,
};

use crate::config::ClusterConfig;
use crate::message::Message;

/// What one step put out. The host takes all of it, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    /// Messages to send.
    pub messages: Vec<(Address, Message)>,
    /// Disk work, to be done in this order: one queue per node, never reordered.
    pub disk: Vec<DiskRequest>,
    /// Calls to the object store. Each is answered, in any order.
    pub objects: Vec<ObjectRequest>,
    /// What happened, for observers. Nothing depends on anyone's looking.
    pub events: Vec<Event>,
}

impl Outputs {
    /// Adds a message.
    pub fn send(&mut self, to: impl Into<Address>, message: Message) {
        self.messages.push((to.into(), message));
    }
}

/// What a machine of a node may use while it steps.
pub struct Env<'a> {
    /// The time on the node's clock.
    pub now: Timestamp,
    /// What its system clock shows.
    pub wall: WallTime,
    /// The node.
    pub me: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// The cluster.
    pub config: &'a ClusterConfig,
    /// The node's random source.
    pub rng: &'a mut Rng,
    /// Where outputs go.
    pub out: &'a mut Outputs,
}

/// Whose disk request it is. Each owner numbers its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DiskOwner {
    /// The node itself, while it starts.
    Node,
    /// The register's acceptor.
    Acceptor,
    /// The storage node.
    Storage,
}

/// Names a disk request; comes back with its completion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DiskToken {
    /// Who asked.
    pub owner: DiskOwner,
    /// The owner's number for it.
    pub number: u64,
}

/// Disk work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskRequest {
    /// Comes back with the completion.
    pub token: DiskToken,
    /// What to do.
    pub work: DiskWork,
}

/// Whose call to the object store it is. Each owner numbers its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectOwner {
    /// The offloader of a log in an epoch.
    Offloader(LogId, Epoch),
    /// Whoever reads from the second tier.
    Reads,
}

/// Names a call to the object store; comes back with its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectToken {
    /// Who asked.
    pub owner: ObjectOwner,
    /// The owner's number for it.
    pub number: u64,
}

/// A call to the object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRequest {
    /// Comes back with the answer.
    pub token: ObjectToken,
    /// What is asked.
    pub ask: ObjectAsk,
}

/// When a write counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// It survives a power failure.
    Synced,
    /// It was handed to the file system.
    Written,
}

/// What to do on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskWork {
    /// Apply a batch; complete when it is as durable as asked.
    Write {
        /// The batch, applied whole or not at all.
        batch: Vec<StoreOp>,
        /// When to complete.
        until: Durability,
    },
    /// Read copies; sees all writes asked for before.
    Read {
        /// The log.
        log: LogId,
        /// From here.
        first: Lsn,
        /// To here, included.
        last: Lsn,
        /// At most so many copies.
        limit: usize,
    },
    /// Find a time; sees all writes asked for before. See [`LogStore::find_time`].
    FindTime {
        /// The log.
        log: LogId,
        /// From here.
        first: Lsn,
        /// To here, included.
        last: Lsn,
        /// The time.
        time: WallTime,
    },
}

impl DiskWork {
    /// Carries out work that only reads; `None` for a write.
    ///
    /// # Errors
    /// If the store fails.
    pub fn read(&self, store: &mut impl LogStore) -> Result<Option<DiskDone>, StoreError> {
        match *self {
            Self::Write { .. } => Ok(None),
            Self::Read {
                log,
                first,
                last,
                limit,
            } => {
                let Scan { copies, passed } = store.scan(log, first, last, limit)?;
                Ok(Some(DiskDone::Read { copies, passed }))
            }
            Self::FindTime {
                log,
                first,
                last,
                time,
            } => {
                let found = store.find_time(log, first, last, time)?;
                Ok(Some(DiskDone::FoundTime(found)))
            }
        }
    }
}

/// A completed disk request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskDone {
    /// A write is as durable as was asked. What each operation came to.
    Wrote(Vec<Applied>),
    /// A read. See [`hstore_core::ports::log_store::Scan`].
    Read {
        /// What was found.
        copies: Vec<(Lsn, Result<StoredCopy, CorruptCopy>)>,
        /// How far was looked.
        passed: Lsn,
    },
    /// A time was looked for. See [`LogStore::find_time`].
    FoundTime(Option<Lsn>),
}

/// All metadata a node finds at its start, as (key, value).
pub type BootMetadata = Vec<(Bytes, Bytes)>;

/// Something an observer may want to know. Carries no authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The node has begun a new life and speaks.
    Started(Incarnation),
    /// The register committed a new epoch for this node.
    Activated {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
        /// What it is made of.
        quorums: QuorumSystem,
    },
    /// The epoch that was just activated is one that somebody asked for. Failovers are not told so.
    Moved {
        /// The log.
        log: LogId,
        /// The new epoch.
        epoch: Epoch,
        /// Another node reigned over the epoch before.
        leader_changed: bool,
        /// The epoch before was on other nodes.
        nodeset_changed: bool,
        /// The epoch before was on the same nodes with other quorums.
        quorums_changed: bool,
    },
    /// The log is about to move: its sequencer places nothing more.
    Draining {
        /// The log.
        log: LogId,
        /// The epoch that is to end.
        epoch: Epoch,
    },
    /// Nothing came of a move in time: the sequencer places appends again.
    Resumed {
        /// The log.
        log: LogId,
        /// Its epoch.
        epoch: Epoch,
    },
    /// Every older epoch is clean: the sequencer answers.
    Opened {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
    },
    /// The sequencer stopped.
    Stopped {
        /// The log.
        log: LogId,
        /// The epoch it sequenced.
        epoch: Epoch,
        /// Why.
        why: StopReason,
        /// Records it had sent to storage nodes and not yet retired.
        in_flight: usize,
    },
    /// A recovery attempt began.
    RecoveryBegan {
        /// The log.
        log: LogId,
        /// The epoch recovered.
        epoch: Epoch,
        /// The attempt.
        ballot: Ballot,
    },
    /// A recovery attempt decided.
    RecoveryDecided {
        /// The log.
        log: LogId,
        /// The epoch recovered.
        epoch: Epoch,
        /// The attempt.
        ballot: Ballot,
        /// Up to here everything stayed as it was.
        last_known_good: Offset,
        /// Records kept above that.
        records: u32,
        /// Holes plugged.
        holes: u32,
        /// Where the epoch ends; `None` without authority.
        bridge: Option<Offset>,
        /// The last offset decided on: beyond the bridge, if a node held anything there.
        end: Offset,
        /// The mutation set.
        members: NodeSet,
    },
    /// The register counts the epoch as clean.
    EpochClean {
        /// The log.
        log: LogId,
        /// The epoch recovered.
        epoch: Epoch,
        /// The attempt.
        ballot: Ballot,
    },
    /// A client was told that its record stands.
    Acked {
        /// The log.
        log: LogId,
        /// Where.
        lsn: Lsn,
        /// The nodes whose answers made the wave complete.
        stored: NodeSet,
    },
    /// A wave was not complete in time, and another follows.
    WaveFailed {
        /// The log.
        log: LogId,
        /// The record.
        lsn: Lsn,
        /// The wave that failed.
        wave: u32,
    },
    /// A node answers so much later than others that copysets do without it for a while.
    Slow {
        /// The log.
        log: LogId,
        /// The slow node.
        node: NodeId,
    },
    /// The register keeps a checkpoint of what appends are judged by.
    Checkpointed {
        /// The log.
        log: LogId,
        /// Up to here records are in it.
        as_of: Lsn,
    },
    /// This node's durable bounds of a log, after they changed.
    Bounds {
        /// The log.
        log: LogId,
        /// Hard seal.
        sealed: Epoch,
        /// Local last clean epoch.
        clean: Epoch,
    },
    /// The node dropped what it held of an epoch above its last known good: it was not part of the
    /// recovery.
    Purged {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
    },
    /// The node gave up what it held of a log up to an LSN.
    Trimmed {
        /// The log.
        log: LogId,
        /// The last LSN given up.
        upto: Lsn,
    },
    /// The node forgets what it held of a log up to an LSN: it lies in the second tier.
    Forgotten {
        /// The log.
        log: LogId,
        /// The last LSN forgotten.
        upto: Lsn,
    },
    /// Something happened with the second tier of a log that this node sequences.
    Tier2 {
        /// The log.
        log: LogId,
        /// The epoch.
        epoch: Epoch,
        /// What happened.
        what: Tier2Event,
    },
    /// A copy that a reader had reported as bad is in order again, durably.
    CopyRepaired {
        /// The log.
        log: LogId,
        /// Where.
        lsn: Lsn,
    },
}

/// What happens with the second tier of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tier2Event {
    /// The register holds this version of the annex now.
    Held {
        /// The version.
        version: u64,
    },
    /// A segment became part of the log.
    Committed {
        /// Its first LSN.
        first: Lsn,
        /// Its last LSN.
        last: Lsn,
    },
    /// What was put under an upload's key is not what was sent; it is uploaded anew.
    Spoiled {
        /// Its first LSN.
        first: Lsn,
        /// Its last LSN.
        last: Lsn,
    },
    /// A segment is not as it was committed, or is again.
    Anomaly {
        /// Its first LSN.
        first: Lsn,
        /// Its last LSN.
        last: Lsn,
        /// What is wrong; `None`: nothing any more.
        wrong: Option<String>,
    },
    /// The log keeps nothing up to here any more, and gives it up.
    KeepsNoLonger {
        /// The last LSN.
        upto: Lsn,
    },
    /// An object that is part of nothing was deleted.
    Collected(ObjectKey),
    /// A call failed; it is made again.
    Failed(ObjectError),
    /// Nothing is moved, and why.
    Stands(String),
}

/// Why a sequencer stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopReason {
    /// A later epoch exists, or a seal of one was met.
    Deposed,
    /// The older epochs could not be recovered in time.
    OutOfPatience,
    /// The node itself began the next epoch, as it was asked to.
    Moved,
}
