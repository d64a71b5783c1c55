//! The fault plan: what is going to go wrong, as data, made before the run.

use hstore_core::quorum::QuorumSystem;
use hstore_core::{LogId, NodeId, NodeSet};
use serde::{Deserialize, Serialize};

use crate::net::Degradation;

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
    /// All nodes.
    Everyone,
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
    /// Syncs of the target's disk take so many times as long.
    SlowDisk {
        /// The factor.
        factor: u32,
    },
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
    /// The names of all kinds with what they do, for people.
    pub const ALL: [(&'static str, &'static str); 5] = [
        (
            "crash",
            "power failure of a node, a sequencer or all nodes: unsynced sectors are lost or torn; at a moment, inside a file operation, or again while it restarts",
        ),
        (
            "pause",
            "a process stands still for a while and then goes on",
        ),
        (
            "partition",
            "messages to, from, or between a target and the others are lost; bridge nodes may reach both sides",
        ),
        (
            "degrade",
            "the target's links lose, delay and duplicate messages",
        ),
        (
            "slow-disk",
            "syncs of the target's disk take many times as long",
        ),
    ];

    /// When it strikes, if it is a crash.
    #[must_use]
    pub fn trigger(&self) -> Option<Trigger> {
        match self {
            Self::Crash { trigger, .. } => Some(*trigger),
            _ => None,
        }
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
        }
    }
}
