//! What a seed draws: the whole configuration of a run, printed first and kept with it.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::quorum::{Location, QuorumSystem, Replication};
use hstore_core::{LogId, NodeId, NodeSet, Rng};
use hstore_replicator::config::{ClusterConfig, CopyDurability, LogSpec, Timing};
use hstore_replicator::placement::copyset::CopysetSelector;
use hstore_replicator::placement::nodeset::{self, Candidate};
use hstore_workloads::Spec;
use serde::{Deserialize, Serialize};

use crate::nemesis::FaultOptions;
use crate::net::NetOptions;

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
    /// How many records after one checkpoint a sequencer makes the next.
    pub checkpoint_records: u32,
    /// Nothing goes wrong in this much of it, the first part.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub quiet_us: u64,
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

/// What seeds are drawn from.
#[derive(Clone, Copy, Debug)]
pub struct Profile {
    /// Its name.
    pub name: &'static str,
    /// What it is for, in a sentence.
    pub about: &'static str,
    draw_faults: fn(&mut Rng) -> FaultOptions,
    /// Changes what was drawn like that of the default profile.
    adapt: fn(&mut SimOptions, &mut Rng),
}

/// The profiles there are; the first is the default.
pub const PROFILES: &[Profile] = &[
    Profile {
        name: "default",
        about: "5 nodes, 500 operations; crashes, power failures, pauses, partitions, bad links, slow disks",
        draw_faults: of_every_family,
        adapt: |_, _| {},
    },
    Profile {
        name: "calm",
        about: "5 nodes, 500 operations; nothing goes wrong",
        draw_faults: |_| FaultOptions::default(),
        adapt: |_, _| {},
    },
    Profile {
        name: "reconfigure",
        about: "6 or 7 nodes, 1200 operations; logs change leader, nodeset and quorums under load, while nodes crash, pause and are cut off",
        draw_faults: |rng| {
            FaultOptions::of(&[
                ("crashes", rng.within(2..=3) as u32),
                ("power_failures", rng.below(2) as u32),
                ("pauses", rng.below(2) as u32),
                ("partitions", rng.within(1..=2) as u32),
                ("degradations", rng.below(2) as u32),
                ("slow_disks", rng.below(2) as u32),
            ])
        },
        adapt: on_the_move,
    },
    Profile {
        name: "placement",
        about: "9 nodes in 3 racks, logs on 5 to 9 of them by weight; copysets random, weighted or sticky; slow disks, bad links, crashes",
        draw_faults: |rng| {
            FaultOptions::of(&[
                ("crashes", rng.within(1..=3) as u32),
                ("power_failures", rng.below(2) as u32),
                ("pauses", rng.below(2) as u32),
                ("partitions", rng.within(1..=2) as u32),
                ("degradations", rng.within(1..=2) as u32),
                ("slow_disks", rng.within(2..=4) as u32),
            ])
        },
        adapt: spread_out,
    },
    Profile {
        name: "appends",
        about: "as default; most appends are conditional or idempotent, checkpoints are frequent",
        draw_faults: of_every_family,
        adapt: |options, rng| {
            options.workload.demand(rng);
            options.checkpoint_records = rng.within(4..=60) as u32;
        },
    },
    Profile {
        name: "reading",
        about: "as default; clients poll and trim, and bits flip",
        draw_faults: |rng| {
            let mut faults = of_every_family(rng);
            faults.set("flipped_bits", rng.below(3) as u32);
            faults
        },
        adapt: |options, _| options.workload.poll_and_trim(),
    },
    Profile {
        name: "chaos",
        about: "everything there is, in another mixture for each seed: planted bugs are searched for in it",
        draw_faults: |rng| {
            // Each family is there or not: with all of them always, each would hide what another shows.
            let mut some = |most: u64| {
                if rng.chance(0.5) {
                    rng.within(1..=most) as u32
                } else {
                    0
                }
            };
            FaultOptions::of(&[
                ("crashes", some(4)),
                ("power_failures", some(2)),
                ("partitions", some(4)),
                ("degradations", some(2)),
                ("slow_disks", some(3)),
                ("moments", some(4)),
                ("lost_suffixes", some(3)),
                ("flipped_bits", some(3)),
                ("stalls", some(2)),
                ("drops", some(4)),
                ("echoes", some(2)),
                ("pauses", rng.within(1..=3) as u32),
            ])
        },
        adapt: |options, rng| {
            if rng.chance(0.4) {
                on_the_move(options, rng);
                options.workload.operations = 800;
            } else {
                in_small(options, rng);
            }
            if rng.chance(0.25) {
                options.durability = CopyDurability::Memory;
            }
            if rng.chance(0.5) {
                options.workload.demand(rng);
                options.checkpoint_records = rng.within(4..=60) as u32;
            }
            options.store.generation_bytes = rng
                .pick(&[None, Some(8), Some(32)])
                .expect("not empty")
                .map(|kib: u64| kib << 10);
            if rng.chance(0.5) {
                options.workload.poll_and_trim();
            }
            options.faults.set("coups", rng.below(4) as u32);
        },
    },
];

/// A cluster with room, a nodeset out of it, any selector.
fn spread_out(options: &mut SimOptions, rng: &mut Rng) {
    let candidate = |n: u16, rng: &mut Rng| Candidate {
        location: Location {
            region: 0,
            rack: n / 3,
        },
        weight: rng.within(1..=4) as u32,
    };
    let nodes: BTreeMap<NodeId, Candidate> = (0..9)
        .map(|n| (NodeId(n as u8), candidate(n, rng)))
        .collect();
    options.locations = nodes.values().map(|it| it.location).collect();
    let size = rng.within(5..=9) as usize;
    let nodeset = nodeset::choose(&nodes, size, options.replication, rng);
    options.nodeset = Some(nodeset.expect("five of nine nodes carry what five carry"));
    options.copysets = match rng.below(3) {
        0 => CopysetSelector::Random,
        1 => CopysetSelector::Weighted {
            weights: nodes.iter().map(|(node, it)| (*node, it.weight)).collect(),
        },
        _ => CopysetSelector::Sticky {
            records: rng.within(2..=50) as u32,
            lasts: Duration::from_millis(rng.within(50..=2_000)),
        },
    };
}

fn of_every_family(rng: &mut Rng) -> FaultOptions {
    FaultOptions::of(&[
        ("crashes", rng.within(2..=4) as u32),
        ("power_failures", rng.within(1..=2) as u32),
        ("pauses", rng.below(3) as u32),
        ("partitions", rng.within(1..=3) as u32),
        ("degradations", rng.below(3) as u32),
        ("slow_disks", rng.below(3) as u32),
    ])
}

/// More nodes than store a log at a time, and planned moves.
fn on_the_move(options: &mut SimOptions, rng: &mut Rng) {
    let nodes = rng.within(6..=7) as u16;
    let racks = rng.within(2..=3) as u16;
    options.locations = (0..nodes)
        .map(|n| Location {
            region: 0,
            rack: n % racks,
        })
        .collect();
    let (first, stores) = (rng.below(u64::from(nodes)) as u16, rng.within(3..=5) as u16);
    // Three neighbours are never all in one rack.
    let ring = (first..first + stores).map(|n| NodeId((n % nodes) as u8));
    options.nodeset = Some(ring.collect());
    // Enough at a time that a move of some milliseconds meets an append.
    options.workload.operations = 1_200;
    options.workload.clients = rng.within(14..=20) as u32;
    options.workload.logs = rng.within(1..=2) as u32;
    options.workload.think_us_max = 100_000;
    options.disk.sync_us_min = options.disk.sync_us_min.max(300);
    options.disk.sync_us_max = options.disk.sync_us_max.max(600);
    // On a slow disk a move takes long: a drained window, two rounds of the register and a recovery are about a
    // dozen syncs one after another. Three of them have to fit in before anything goes wrong, with room.
    options.quiet_us = (48 * options.disk.sync_us_max).max(600_000);
    options.chaos_us = options.quiet_us + 5_000_000;
    options.moves = MoveOptions {
        leader: rng.within(4..=6) as u32,
        nodeset: rng.within(4..=6) as u32,
        quorums: rng.within(2..=4) as u32,
    };
}

/// Small clusters, where a few nodes decide, and dense runs, where much happens at a time.
fn in_small(options: &mut SimOptions, rng: &mut Rng) {
    let nodes = *rng.pick(&[3, 3, 4, 5, 5, 5]).expect("not empty");
    options.locations.truncate(usize::from(nodes));
    options.replication.copies = options.replication.copies.min(nodes - 1);
    options.metadata_nodes = options.metadata_nodes.min(nodes);
    let pace = *rng.pick(&[1, 2, 4]).expect("not empty");
    options.chaos_us /= pace;
    options.workload.think_us_max /= pace;
}

impl Profile {
    /// The profile of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// What a seed draws from this profile.
    #[must_use]
    pub fn draw(&self, seed: u64, rng: &mut Rng) -> SimOptions {
        let nodes = 5_u16;
        let racks = rng.within(1..=3) as u16;
        let copies = rng.within(2..=3) as u8;
        let locations = (0..nodes)
            .map(|n| Location {
                region: 0,
                rack: n % racks,
            })
            .collect();
        let rack_spread = racks > 1 && rng.chance(0.5);
        let sync_us_min = *rng.pick(&[100, 300, 1000, 3000]).expect("not empty");
        let latency_us_min = *rng.pick(&[50, 100, 250]).expect("not empty");
        let mut options = SimOptions {
            seed,
            nodeset: None,
            moves: MoveOptions::default(),
            profile: self.name.to_owned(),
            engine: Engine::Model,
            mutant: None,
            white_box: true,
            locations,
            durability: CopyDurability::Fsync,
            replication: Replication {
                racks: if rack_spread { 2 } else { 1 },
                ..Replication::copies(copies)
            },
            copysets: CopysetSelector::Random,
            quorums: None,
            metadata_nodes: *rng.pick(&[3, 5]).expect("not empty"),
            workload: Spec::draw(500, rng),
            net: NetOptions {
                latency_us_min,
                latency_us_max: latency_us_min * rng.within(2..=6),
                tail_probability: 0.01,
                tail_us_max: rng.within(5_000..=40_000),
                loss: *rng.pick(&[0.0, 0.001, 0.005]).expect("not empty"),
                duplication: *rng.pick(&[0.0, 0.005, 0.02]).expect("not empty"),
                clients_beside_nodes: false,
            },
            disk: DiskOptions {
                sync_us_min,
                sync_us_max: sync_us_min * rng.within(2..=20),
                read_us: 100,
            },
            faults: (self.draw_faults)(rng),
            chaos_us: 10_000_000,
            quiet_us: 0,
            store: StoreOptions {
                flush_bytes: *rng.pick(&[8, 24, 64, 128]).expect("not empty") << 10,
                level0_tables: rng.within(2..=5) as u16,
                generation_bytes: None,
            },
            checkpoint_records: Timing::default().checkpoint_records,
        };
        (self.adapt)(&mut options, rng);
        options
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
    #[must_use]
    pub fn cluster(&self) -> ClusterConfig {
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
            None => LogSpec::replicated(&nodes, nodeset, self.replication)
                .expect("profiles draw what their nodes can carry"),
        };
        spec.copysets = self.copysets.clone();
        spec.durability = self.durability;
        ClusterConfig {
            metadata: all.iter().take(usize::from(self.metadata_nodes)).collect(),
            logs: (1..=self.workload.logs)
                .map(|log| (LogId(log), spec.clone()))
                .collect(),
            nodes,
            timing: Timing {
                checkpoint_records: self.checkpoint_records,
                ..Timing::default()
            },
        }
    }
}
