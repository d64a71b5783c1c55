//! What a seed draws: the whole configuration of a run, printed first and kept with it.

use std::collections::BTreeMap;

use hstore_core::quorum::{Location, QuorumSystem, Replication};
use hstore_core::{LogId, NodeId, NodeSet};
use hstore_replicator::config::{ClusterConfig, ConfigError, CopyDurability, LogSpec, Timing};
use hstore_replicator::placement::copyset::CopysetSelector;
use hstore_workloads::Spec;
use serde::{Deserialize, Serialize};

use crate::nemesis::FaultOptions;
use crate::net::NetOptions;
use crate::tiering::TieringOptions;

/// The store under each node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Engine {
    /// RocksDB itself, each of its file operations on the simulated disk.
    Rocksdb,
    /// The model store: a map and a write-ahead file.
    Model,
}

/// Everything a run is made of, but for its fault plan. Seed and options give the plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SimOptions {
    /// The root of all randomness.
    pub seed: u64,
    /// The profile the rest was drawn from.
    pub profile: String,
    /// The variants of the profile that this run has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<String>,
    /// The store.
    pub engine: Engine,
    /// The planted bug that is on, if any.
    pub mutant: Option<String>,
    /// Whether checks look inside the cluster too, or at what clients saw alone.
    pub white_box: bool,
    /// Where the nodes stand.
    pub locations: Vec<Location>,
    /// The nodes that store the logs at first; absent: all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodeset: Option<NodeSet>,
    /// How records are replicated, unless `quorums` says otherwise.
    pub replication: Replication,
    /// Which copyset a record gets.
    #[serde(default, skip_serializing_if = "is_random")]
    pub copysets: CopysetSelector,
    /// The quorum system of every log, if one was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quorums: Option<QuorumSystem>,
    /// When a copy counts as stored.
    #[serde(default)]
    pub durability: CopyDurability,
    /// How many of the nodes keep the registers.
    pub metadata_nodes: u8,
    /// What clients do.
    pub workload: Spec,
    /// Under this share of the operations acknowledged as appends, in percent, the run means nothing.
    #[serde(default = "acked_percent_min")]
    pub acked_percent_min: u64,
    /// How the network behaves when nothing is wrong.
    pub net: NetOptions,
    /// How disks behave when nothing is wrong.
    pub disk: DiskOptions,
    /// How the store is set up.
    pub store: StoreOptions,
    /// What may go wrong, and how often.
    pub faults: FaultOptions,
    /// How often logs are moved.
    #[serde(default, skip_serializing_if = "MoveOptions::is_none")]
    pub moves: MoveOptions,
    /// How long the chaos lasts at least, in microseconds of virtual time.
    pub chaos_us: u64,
    /// Whether damage to copies may go beyond what must be survived: then records may be lost, and have to be
    /// told as lost.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub beyond: bool,
    /// How history moves to a second tier, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tiering: Option<TieringOptions>,
    /// How many records after one checkpoint a sequencer makes the next.
    pub checkpoint_records: u32,
    /// Nothing goes wrong in this much of it, the first part.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quiet_us: u64,
}

/// What it was before it could be chosen.
fn acked_percent_min() -> u64 {
    20
}

fn is_random(copysets: &CopysetSelector) -> bool {
    *copysets == CopysetSelector::Random
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(us: &u64) -> bool {
    *us == 0
}

/// How long disk work takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskOptions {
    /// A sync takes at least this many microseconds.
    pub sync_us_min: u64,
    /// A sync takes at most this many microseconds.
    pub sync_us_max: u64,
    /// A read takes this many microseconds.
    pub read_us: u64,
}

/// How the store is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOptions {
    /// RocksDB: so many bytes of batches lead to a flush.
    pub flush_bytes: u64,
    /// RocksDB: so many flushed tables lead to a compaction.
    pub level0_tables: u16,
    /// The model store: so many bytes of batches lead to a new generation; none in a run, if left out.
    #[serde(default)]
    pub generation_bytes: Option<u64>,
}

/// How often logs are moved, all logs together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MoveOptions {
    /// Changes of leader: handed over, or taken over.
    pub leader: u32,
    /// Changes of nodeset.
    pub nodeset: u32,
    /// Changes of the quorum system on the same nodes.
    pub quorums: u32,
}

impl MoveOptions {
    /// Whether no log is moved.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

impl SimOptions {
    /// The same on a quorum system, with as many nodes as it needs.
    #[must_use]
    pub fn on(mut self, quorums: QuorumSystem) -> Self {
        let nodes = quorums.nodes().iter().last().map_or(0, |last| last.0 + 1);
        let places = self.locations.iter().copied().cycle();
        self.locations = places.take(usize::from(nodes)).collect();
        self.metadata_nodes = self.metadata_nodes.min(nodes);
        // Logs stay on what was asked for; their leaders may change.
        self.nodeset = None;
        self.moves.nodeset = 0;
        self.moves.quorums = 0;
        self.quorums = Some(quorums);
        self
    }

    /// The cluster that these options describe.
    ///
    /// # Panics
    /// If there is none. Profiles draw what there can be.
    #[must_use]
    pub fn cluster(&self) -> ClusterConfig {
        self.try_cluster()
            .expect("profiles draw what their nodes can carry")
    }

    /// The same, of options that were not drawn from a profile.
    ///
    /// # Errors
    /// If the nodes cannot carry the replication that is asked for.
    pub fn try_cluster(&self) -> Result<ClusterConfig, ConfigError> {
        let nodes: BTreeMap<NodeId, Location> = self
            .locations
            .iter()
            .enumerate()
            .map(|(n, &location)| (NodeId(n as u8), location))
            .collect();
        let all: NodeSet = nodes.keys().copied().collect();
        let nodeset = self.nodeset.unwrap_or(all);
        let mut spec = match &self.quorums {
            Some(quorums) => LogSpec::new(quorums.clone()),
            None => LogSpec::replicated(&nodes, nodeset, self.replication).map_err(|error| {
                ConfigError::Quorum {
                    log: LogId(1),
                    error,
                }
            })?,
        };
        spec.copysets = self.copysets.clone();
        spec.durability = self.durability;
        spec.tiered = self.tiering.is_some();
        Ok(ClusterConfig {
            metadata: all.iter().take(usize::from(self.metadata_nodes)).collect(),
            logs: (1..=self.workload.logs)
                .map(|log| (LogId(log), spec.clone()))
                .collect(),
            nodes,
            timing: Timing {
                checkpoint_records: self.checkpoint_records,
                ..Timing::default()
            },
        })
    }
}
