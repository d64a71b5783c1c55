//! The fault plan: what is going to go wrong, as data, made before the run.

use std::fmt;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{LogId, NodeId, NodeSet};
use hstore_replicator::effects::Event;
use hstore_replicator::message::{Message, RecoveryStep, RegisterStep, StorageAnswer, StorageAsk};
use serde::{Deserialize, Serialize};

use crate::disk::{DiskFault, Operations};
use crate::net::{Bandwidth, Damage, Degradation, Release};
use crate::next::Build;

/// What goes wrong, in the order of time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FaultPlan {
    /// The faults.
    pub faults: Vec<TimedFault>,
    /// What an administrator does meanwhile.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub moves: Vec<TimedMove>,
}

/// A log is moved, under load.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedMove {
    /// When it is asked for, in microseconds of virtual time.
    pub at_us: u64,
    /// Which log.
    pub log: LogId,
    /// Who is to lead; `None`: whoever does.
    pub to: Option<NodeId>,
    /// Whether that node takes over, instead of being handed the log.
    pub by_hand: bool,
    /// What the new epoch is to be made of; `None`: as it is.
    pub quorums: Option<QuorumSystem>,
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimedFault {
    /// When it strikes, in microseconds of virtual time.
    pub at_us: u64,
    /// When it is undone, in microseconds of virtual time.
    pub until_us: u64,
    /// Whom it strikes.
    pub target: Target,
    /// What it does.
    pub kind: FaultKind,
}

/// Whom a fault strikes. Roles are resolved when it strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// One node.
    Node(NodeId),
    /// These nodes.
    Nodes(NodeSet),
    /// The node that sequences a log; inert if none does.
    Sequencer(LogId),
    /// The nodes of a rack.
    Rack(u16),
    /// A minimal write quorum of a log's newest epoch.
    WriteQuorum {
        /// The log.
        log: LogId,
        /// Which: what it is drawn from when it strikes.
        pick: u64,
    },
    /// A minimal majority of the nodes that keep the registers.
    MetadataMajority {
        /// Which: what it is drawn from when it strikes.
        pick: u64,
    },
    /// The nodes that hold the last record of a log, durably; inert if there is none.
    LastCopyset(LogId),
    /// The node that recovers a log. If none does, the fault waits until one begins to.
    Coordinator(LogId),
    /// All nodes.
    Everyone,
}

/// In words: `n1`, `sequencer of log 1`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => write!(f, "{node}"),
            Self::Nodes(nodes) => write!(f, "{nodes}"),
            Self::Sequencer(log) => write!(f, "sequencer of {log}"),
            Self::Rack(rack) => write!(f, "rack {rack}"),
            Self::WriteQuorum { log, .. } => write!(f, "a write quorum of {log}"),
            Self::MetadataMajority { .. } => write!(f, "a metadata majority"),
            Self::LastCopyset(log) => write!(f, "copies of the last record of {log}"),
            Self::Coordinator(log) => write!(f, "who recovers {log}"),
            Self::Everyone => write!(f, "everyone"),
        }
    }
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum FaultKind {
    /// Power failure: the process ends, unsynced data is lost or torn. It restarts at the end.
    Crash {
        /// When it strikes.
        trigger: Trigger,
        /// It strikes again while the process restarts: within the file operation that comes so many
        /// after the start began, from 1. Then the process restarts once more.
        in_restart: Option<u32>,
        /// It restarts so many microseconds after it was struck, if that is before the end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        restart_us: Option<u64>,
    },
    /// The process stands still, its messages wait.
    Pause,
    /// The target and the others do not reach each other.
    Partition {
        /// Which way messages are lost.
        direction: Direction,
        /// Nodes that reach both sides all the same, and are reached.
        bridge: NodeSet,
    },
    /// All links of the target are bad.
    Degrade(Degradation),
    /// Little passes the links between the target and other nodes.
    Throttle(Bandwidth),
    /// What is under way on the target's links, and what is sent, is held, and let go at the end.
    Clog {
        /// Which way messages are held.
        direction: Direction,
        /// How they are let go.
        release: Release,
    },
    /// Some of the messages to and from the target arrive with damaged bytes.
    Corrupt {
        /// How many of a thousand messages do.
        permille: u32,
        /// What happens to them.
        damage: Damage,
    },
    /// The target's clocks run too fast or too slow.
    ClockDrift {
        /// How many millionths too fast.
        ppm: i32,
    },
    /// The target's system clock is set wrong, and right again at the end.
    ClockStep {
        /// How many milliseconds ahead.
        by_ms: i64,
    },
    /// Both clocks of the target leap ahead, as if the machine had been suspended, and stay there.
    ClockLeap {
        /// How many microseconds.
        by_us: u64,
    },
    /// The process ends, its machine goes on: nothing that it wrote is lost. It starts at the end.
    Exit,
    /// The process ends again and again: it runs for a while, is down for a while, until the end.
    Loop {
        /// How long it runs, in microseconds.
        up_us: u64,
        /// How long it is down, in microseconds.
        down_us: u64,
        /// Whether the power fails each time.
        power: bool,
    },
    /// The process ends as in `Exit`, and another build of the product starts at the end, for good.
    Upgrade {
        /// Which.
        to: Build,
    },
    /// Syncs of the target's disk take so many times as long.
    SlowDisk {
        /// The factor.
        factor: u32,
    },
    /// Power failure at once that leaves nothing of what was not synced: the whole of the suffix that
    /// the durability of a log lets a node keep in memory. It restarts at the end.
    LoseSuffix,
    /// Operations of the target's disk fail.
    Disk(DiskFault),
    /// The target's disk completes nothing until the end.
    StallDisk,
    /// The target's disk is replaced by an empty one. It restarts at the end.
    WipeDisk,
    /// A sector that the target's disk holds durably was written over another one.
    Misdirect {
        /// Which: a number that is reduced to those there are when it strikes.
        from: u64,
        /// Over which.
        to: u64,
        /// Whether it shows at once; otherwise once the power has failed.
        shows: bool,
    },
    /// A sector that the target's disk holds durably cannot be read any more.
    BadSector {
        /// Which: a number that is reduced to those there are when it strikes.
        pick: u64,
    },
    /// One bit of what the target's disk holds durably flips. It does not flip back.
    FlipBit {
        /// Of what.
        place: FlipPlace,
        /// Which: a number that is reduced to those there are when it strikes.
        pick: u64,
    },
    /// A record goes bad in all copies of it that the targets hold, below the checksums of their stores. More
    /// than must be survived: where that is not asked for, it does not happen.
    RotRecord {
        /// Which: a number that is reduced to those there are when it strikes.
        pick: u64,
    },
    /// What the metadata nodes say about registers is late, by so many microseconds.
    StallMetadata {
        /// The delay.
        delay_us: u64,
    },
    /// Messages of one kind to and from the target are lost, the next so many.
    DropMessages {
        /// The kind.
        which: Traffic,
        /// How many.
        count: u32,
    },
    /// What the target asks of the object store goes wrong.
    Objects(ObjectFault),
    /// An object of the second tier is changed behind everyone's back. Only one of a segment that nodes hold as well.
    Tamper {
        /// What becomes of it.
        how: Tampering,
        /// Which: a number that is reduced to those there are when it strikes.
        pick: u64,
    },
    /// Some of the messages to and from the target arrive once more, much later: maybe in another life of
    /// their receiver.
    Echo {
        /// How many of a thousand messages do.
        permille: u32,
        /// How much later at least, in microseconds.
        delay_us_min: u64,
        /// How much later at most, in microseconds.
        delay_us_max: u64,
    },
}

/// What goes wrong with calls to the object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ObjectFault {
    /// They take so many times as long.
    Slow {
        /// The factor.
        factor: u32,
    },
    /// Some fail, and are not carried out.
    Fail {
        /// How many of a thousand calls do.
        permille: u32,
    },
    /// Some are refused, and are not carried out: rights were taken away for a while.
    Deny {
        /// How many of a thousand calls are.
        permille: u32,
    },
    /// Some are carried out, and their answers are lost.
    LoseAnswers {
        /// How many of a thousand calls do.
        permille: u32,
    },
    /// Some puts and deletes fail, and are carried out some time later.
    Late {
        /// How many of a thousand do.
        permille: u32,
        /// How much later, in microseconds.
        delay_us: u64,
    },
    /// Of some puts only a part arrives; they are answered as if all had, or not at all.
    Cut {
        /// How many of a thousand puts.
        permille: u32,
        /// Whether they are answered.
        answered: bool,
    },
    /// The bytes of the next so many gets come back damaged.
    Garble {
        /// How many.
        count: u32,
    },
}

/// What becomes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tampering {
    /// It is gone.
    Delete,
    /// One of its bits flips.
    Flip,
    /// It is cut short.
    Cut,
    /// Another is put beside it, under a name that is none of ours.
    Stranger,
}

/// What a bit flips in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FlipPlace {
    /// The payload of a copy, below the checksums of the store that holds it: only the record's own
    /// tells.
    Copy,
    /// The same, of the newest copy of a log on the target: a recovery may want it.
    NewestCopy,
    /// A write-ahead log, where the store is able to tell damage from a torn end: see
    /// [`crate::store::Store::log_that_tells_damage`].
    Log,
    /// A table, or a checkpoint.
    Table,
}

/// A kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Traffic {
    /// A sequencer's request to store.
    Stores,
    /// A storage node's answer to a store.
    StoreAcks,
    /// A node's answer to a client.
    Replies,
    /// An acceptor's answer that it accepted.
    Accepts,
    /// A recovery's request to seal.
    Seals,
    /// The answers to it, and those to the later steps of a recovery.
    RecoveryAnswers,
    /// A sequencer's word that more may be read.
    Releases,
    /// Signs of life.
    Heartbeats,
}

impl Traffic {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Stores,
        Self::StoreAcks,
        Self::Replies,
        Self::Accepts,
        Self::Seals,
        Self::RecoveryAnswers,
        Self::Releases,
        Self::Heartbeats,
    ];

    /// The kind of a message, if it has one of these.
    #[must_use]
    pub fn of(message: &Message) -> Option<Self> {
        match message {
            Message::Reply(_) => Some(Self::Replies),
            Message::Heartbeat(_) => Some(Self::Heartbeats),
            Message::Register {
                step: RegisterStep::Accepted,
                ..
            } => Some(Self::Accepts),
            Message::Storage { ask, .. } => match ask {
                StorageAsk::Recovery {
                    step: RecoveryStep::Seal,
                    ..
                } => Some(Self::Seals),
                StorageAsk::Release { .. } => Some(Self::Releases),
                StorageAsk::Store { .. } | StorageAsk::Amend { .. } => Some(Self::Stores),
                _ => None,
            },
            Message::Stored { answer, .. } => match answer {
                StorageAnswer::Store { .. } => Some(Self::StoreAcks),
                StorageAnswer::Recovery { .. } => Some(Self::RecoveryAnswers),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A moment in the work of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Moment {
    /// It sealed an epoch, or found more of a log clean.
    Bounds,
    /// The register gave it an epoch.
    Activated,
    /// A recovery of its own decided.
    Decided,
    /// A recovery of its own made an epoch clean.
    Clean,
    /// It dropped what a recovery left out.
    Purged,
}

impl Moment {
    /// All moments.
    pub const ALL: [Self; 5] = [
        Self::Bounds,
        Self::Activated,
        Self::Decided,
        Self::Clean,
        Self::Purged,
    ];

    /// The moment that an event tells of, if it is one of these.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Bounds { .. } => Some(Self::Bounds),
            Event::Activated { .. } => Some(Self::Activated),
            Event::RecoveryDecided { .. } => Some(Self::Decided),
            Event::EpochClean { .. } => Some(Self::Clean),
            Event::Purged { .. } => Some(Self::Purged),
            _ => None,
        }
    }
}

/// When a crash strikes, once its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// At once.
    AtOnce,
    /// Within the file operation of the target that comes so many after, from 1: it may or may not
    /// happen, and nothing follows it. The crash may fall between writing and syncing.
    InFileOperation(u32),
    /// A while after so many file operations of any node: in the midst of work, and on all disks at
    /// the same moment.
    AfterFileOperations {
        /// How many operations, from 1.
        count: u32,
        /// How long after the last of them, in microseconds.
        delay_us: u64,
    },
    /// At a call of the target to the object store.
    AtObjectCall {
        /// Which, from 1, of all targets together.
        call: u32,
        /// Whether it comes to the store.
        carried_out: bool,
    },
    /// Within the file operation that comes so many after a moment, from 1: of the first of the targets
    /// for which it comes.
    AtMoment {
        /// The moment.
        moment: Moment,
        /// How many operations after it.
        file_operation: u32,
    },
}

/// Which messages a partition loses, seen from its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// All.
    Both,
    /// Those to the target.
    Inbound,
    /// Those from the target.
    Outbound,
}

impl FaultKind {
    /// When it strikes, if it is a crash.
    #[must_use]
    pub fn trigger(&self) -> Option<Trigger> {
        match self {
            Self::Crash { trigger, .. } => Some(*trigger),
            _ => None,
        }
    }

    /// Whether it looks at each message by itself.
    #[must_use]
    pub fn meddles(&self) -> bool {
        matches!(
            self,
            Self::StallMetadata { .. }
                | Self::DropMessages { .. }
                | Self::Echo { .. }
                | Self::Corrupt { .. }
        )
    }

    /// How many microseconds after a crash its node restarts, if not at the end.
    #[must_use]
    pub fn restart_us(&self) -> Option<u64> {
        match self {
            Self::Crash { restart_us, .. } => *restart_us,
            _ => None,
        }
    }

    /// Whether it keeps the processes of its target down.
    #[must_use]
    pub fn ends_processes(&self) -> bool {
        matches!(
            self,
            Self::Crash { .. }
                | Self::LoseSuffix
                | Self::WipeDisk
                | Self::Exit
                | Self::Loop { .. }
                | Self::Upgrade { .. }
        )
    }

    /// Whether it takes what the target was promised to keep.
    #[must_use]
    pub fn damages(&self) -> bool {
        matches!(
            self,
            Self::FlipBit { .. }
                | Self::RotRecord { .. }
                | Self::WipeDisk
                | Self::Misdirect { .. }
                | Self::BadSector { .. }
        )
    }

    /// The name of the kind.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::Pause => "pause",
            Self::Partition { .. } => "partition",
            Self::Degrade(_) => "degrade",
            Self::SlowDisk { .. } => "slow-disk",
            Self::LoseSuffix => "lose-suffix",
            Self::Disk(DiskFault::Error { operations, .. }) => match operations {
                Operations::Read => "read-error",
                Operations::Write => "write-error",
                Operations::Sync => "sync-error",
            },
            Self::Disk(DiskFault::Full { .. }) => "full-disk",
            Self::StallDisk => "stalled-disk",
            Self::WipeDisk => "wiped-disk",
            Self::Misdirect { .. } => "misdirected-write",
            Self::BadSector { .. } => "bad-sector",
            Self::FlipBit { .. } => "flip-bit",
            Self::RotRecord { .. } => "rotten-record",
            Self::StallMetadata { .. } => "stall-metadata",
            Self::DropMessages { .. } => "drop-messages",
            Self::Echo { .. } => "echo",
            Self::Objects(it) => match it {
                ObjectFault::Slow { .. } => "slow-objects",
                ObjectFault::Fail { .. } => "failing-objects",
                ObjectFault::Deny { .. } => "denied-objects",
                ObjectFault::LoseAnswers { .. } => "lost-object-answers",
                ObjectFault::Late { .. } => "late-object-calls",
                ObjectFault::Cut { .. } => "cut-puts",
                ObjectFault::Garble { .. } => "garbled-gets",
            },
            Self::Tamper { .. } => "tampered-object",
            Self::Throttle(_) => "throttle",
            Self::Clog { .. } => "clog",
            Self::Corrupt { .. } => "corrupt",
            Self::ClockDrift { .. } => "clock-drift",
            Self::ClockStep { .. } => "clock-step",
            Self::ClockLeap { .. } => "clock-leap",
            Self::Exit => "exit",
            Self::Loop { .. } => "loop",
            Self::Upgrade { .. } => "upgrade",
        }
    }
}
