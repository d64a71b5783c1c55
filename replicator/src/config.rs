//! What every node of a cluster is told before it starts, and the timings it goes by.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::quorum::{Location, QuorumError, QuorumSystem, Replication};
use hstore_core::{LogId, NodeId, NodeSet};
use serde::{Deserialize, Serialize};

use crate::placement::copyset::CopysetSelector;

/// A cluster: its nodes, where its registers live, its logs. The same on every node and client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterConfig {
    /// All nodes and where they stand.
    pub nodes: BTreeMap<NodeId, Location>,
    /// The metadata nodes: a majority of them agrees on each register.
    pub metadata: NodeSet,
    /// The logs.
    pub logs: BTreeMap<LogId, LogSpec>,
    /// Timeouts and intervals.
    pub timing: Timing,
}

/// What new epochs of a log are made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogSpec {
    /// The nodes that store the log, and which sets of them are quorums.
    pub quorums: QuorumSystem,
    /// Which of its copysets a record gets.
    pub copysets: CopysetSelector,
    /// When a copy counts as stored.
    #[serde(default)]
    pub durability: CopyDurability,
    /// Whether history moves to a second tier. Readers look there, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub tiered: bool,
}

impl LogSpec {
    /// A log on a quorum system, each record on copies of its own.
    #[must_use]
    pub fn new(quorums: QuorumSystem) -> Self {
        Self {
            quorums,
            copysets: CopysetSelector::Random,
            durability: CopyDurability::Fsync,
            tiered: false,
        }
    }

    /// A log on a nodeset, replicated over it. The nodes stand where the cluster says.
    ///
    /// # Errors
    /// If the nodeset cannot carry that replication.
    pub fn replicated(
        nodes: &BTreeMap<NodeId, Location>,
        nodeset: NodeSet,
        replication: Replication,
    ) -> Result<Self, QuorumError> {
        // Nodes that do not exist are found out when the cluster is validated.
        let place = |node| (node, nodes.get(&node).copied().unwrap_or_default());
        let locations = nodeset.iter().map(place).collect();
        let quorums = QuorumSystem::new(locations, replication)?;
        Ok(Self::new(quorums))
    }
}

/// When a node's copy of a record counts as stored, and the node says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyDurability {
    /// Once it is synced: a power failure of every node loses nothing that was acknowledged.
    #[default]
    Fsync,
    /// Once it is written, to be synced some time later. A node that loses power may lose what it said
    /// it stored. It then knows that it may have, and its lack of a record proves nothing: see
    /// [`crate::storage`].
    Memory,
}

/// Why a cluster cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// There must be someone to agree.
    #[error("there is no metadata node: name at least one")]
    NoMetadataNodes,
    /// A node is named that does not exist.
    #[error("{whose} names {unknown}, of which the cluster knows nothing")]
    UnknownNodes {
        /// What names them.
        whose: String,
        /// The nodes named and not known.
        unknown: NodeSet,
    },
    /// A log's nodeset cannot carry its replication.
    #[error("{log}: {error}")]
    Quorum {
        /// The log.
        log: LogId,
        /// What is wrong.
        error: QuorumError,
    },
}

impl ClusterConfig {
    /// Checks that the parts fit.
    ///
    /// # Errors
    /// Says which part does not.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let known: NodeSet = self.nodes.keys().copied().collect();
        let check = |whose: String, nodes: NodeSet| {
            let unknown = nodes.difference(known);
            if unknown.is_empty() {
                Ok(())
            } else {
                Err(ConfigError::UnknownNodes { whose, unknown })
            }
        };
        if self.metadata.is_empty() {
            return Err(ConfigError::NoMetadataNodes);
        }
        check("the metadata set".to_owned(), self.metadata)?;
        for (log, spec) in &self.logs {
            check(log.to_string(), spec.quorums.nodes())?;
        }
        Ok(())
    }

    /// The quorum system that a new epoch of `log` gets, or `None` for an unknown log.
    #[must_use]
    pub fn quorum_system(&self, log: LogId) -> Option<QuorumSystem> {
        self.logs.get(&log).map(|spec| spec.quorums.clone())
    }

    /// Whether the history of `log` moves to a second tier.
    #[must_use]
    pub fn is_tiered(&self, log: LogId) -> bool {
        self.logs.get(&log).is_some_and(|spec| spec.tiered)
    }

    /// When a copy of a record of `log` counts as stored.
    #[must_use]
    pub fn copy_durability(&self, log: LogId) -> CopyDurability {
        self.logs
            .get(&log)
            .map_or(CopyDurability::Fsync, |spec| spec.durability)
    }
}

/// Timeouts, intervals and the like. None of them bears on safety.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timing {
    /// Between two heartbeats of a node.
    pub heartbeat_interval: Duration,
    /// Silence after which a node is suspected; each node draws its own between these.
    pub suspect_after_min: Duration,
    /// See `suspect_after_min`.
    pub suspect_after_max: Duration,
    /// How much later than the best-placed node the next one tries to take an orphaned log.
    pub activation_stagger: Duration,
    /// Pause after a failed or lost activation; drawn between this and twice as much.
    pub activation_backoff: Duration,
    /// How long an activation or the recovery of the older epochs may take before the node lets
    /// another try.
    pub activation_patience: Duration,
    /// A log that is to move stops placing for this long at most before its window must be empty;
    /// otherwise it does not move.
    pub drain_patience: Duration,
    /// After this the old reign goes on if nothing has come of its handing over.
    pub hand_over_patience: Duration,
    /// A wave that is not complete by then is followed by the next, which gets twice as long. Where
    /// waves take longer than half of it, first waves are given more from the beginning.
    pub wave_timeout: Duration,
    /// How long a node that failed a wave, or is slow, is avoided.
    pub grey_list: Duration,
    /// A node whose answers take no longer than this is never slow.
    pub slow_answer: Duration,
    /// How long a release waits for more to release.
    pub release_delay: Duration,
    /// An unanswered request between nodes is sent again after this.
    pub resend: Duration,
    /// How long a recovery waits for stragglers once it has a quorum.
    pub recovery_grace: Duration,
    /// A recovery attempt that makes no progress for this long is followed by the next.
    pub recovery_timeout: Duration,
    /// Pause of a proposer that met a higher ballot; drawn between this and four times as much.
    pub register_backoff: Duration,
    /// How long a client waits before it asks the next node, or the same one again.
    pub client_retry: Duration,
    /// How long a reader waits for a node where others went on before it asks everyone.
    pub reader_patience: Duration,
    /// How long a reader waits for the other nodes before it reports data loss on the word of a
    /// seal quorum.
    pub reader_grace: Duration,
    /// After this a client gives an operation up; a read, after this without anything new.
    pub operation_timeout: Duration,
    /// So many records after the last checkpoint of what appends are judged by, a sequencer makes
    /// another. This many are about what the next one has to read before it takes idempotent appends.
    pub checkpoint_records: u32,
}

impl Default for Timing {
    /// For a local network: sub-millisecond messages, syncs of a few milliseconds.
    fn default() -> Self {
        let ms = Duration::from_millis;
        Self {
            heartbeat_interval: ms(100),
            suspect_after_min: ms(400),
            suspect_after_max: ms(700),
            activation_stagger: ms(300),
            activation_backoff: ms(100),
            activation_patience: ms(3000),
            drain_patience: ms(300),
            hand_over_patience: ms(500),
            wave_timeout: ms(60),
            grey_list: ms(500),
            slow_answer: ms(10),
            release_delay: ms(3),
            resend: ms(80),
            recovery_grace: ms(10),
            recovery_timeout: ms(400),
            register_backoff: ms(15),
            client_retry: ms(25),
            reader_patience: ms(50),
            reader_grace: ms(300),
            operation_timeout: ms(1500),
            checkpoint_records: 4096,
        }
    }
}
