//! What was drawn becomes the options of a run.
//!
//! Knobs are drawn each by itself, so they may come to what no cluster can be: more copies than nodes, say. That
//! is *unfit*, and the seed draws again.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::quorum::samples;
use hstore_core::quorum::{Location, Names, QuorumSystem, Replication};
use hstore_core::{NodeId, NodeSet, Rng};
use hstore_replicator::config::CopyDurability;
use hstore_replicator::placement::copyset::CopysetSelector;
use hstore_replicator::placement::nodeset::{self, Candidate};
use hstore_tier2::segment::Codec;
use hstore_workloads::{Mix, Spec};

use super::distribution::{Distribution, Value};
use crate::nemesis::{FaultOptions, families};
use crate::net::{Bandwidth, LinkOptions, NetOptions};
use crate::options::{DiskOptions, Engine, MoveOptions, SimOptions, StoreOptions};
use crate::seeds::{SimSeeds, Stream};
use crate::tiering::TieringOptions;

/// Why knobs do not fit together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfit(pub(super) String);

fn unfit(why: impl ToString) -> Unfit {
    Unfit(why.to_string())
}

/// The knobs of one seed.
pub(super) struct Draw<'a> {
    pub(super) knobs: &'a BTreeMap<&'a str, &'a Distribution>,
    pub(super) seeds: SimSeeds,
    /// How often knobs drawn before did not fit together.
    pub(super) attempt: u32,
    pub(super) drawn: BTreeMap<&'a str, Value>,
}

impl<'a> Draw<'a> {
    /// The stream of a knob, or of what else has a name.
    fn rng(&self, name: &str) -> Rng {
        match self.attempt {
            0 => self.seeds.named(Stream::Options, name),
            attempt => self
                .seeds
                .named(Stream::Options, &format!("{name} again {attempt}")),
        }
    }

    fn value(&mut self, path: &str) -> Value {
        if let Some(value) = self.drawn.get(path) {
            return value.clone();
        }
        let (&path, &distribution) = self
            .knobs
            .get_key_value(path)
            .unwrap_or_else(|| panic!("the default profile does not set `{path}`"));
        let mut rng = self.rng(path);
        let value = distribution.draw(&mut rng, &mut |path| self.count(path));
        self.drawn.insert(path, value.clone());
        value
    }

    fn count(&mut self, path: &str) -> u64 {
        match self.value(path) {
            Value::Count(count) => count,
            other => panic!("`{path}` is a number, not {other:?}"),
        }
    }

    fn small(&mut self, path: &str) -> u32 {
        u32::try_from(self.count(path)).unwrap_or(u32::MAX)
    }

    fn share(&mut self, path: &str) -> f64 {
        match self.value(path) {
            Value::Share(share) => share,
            other => panic!("`{path}` is a share, not {other:?}"),
        }
    }

    fn word(&mut self, path: &str) -> String {
        match self.value(path) {
            Value::Word(word) => word,
            other => panic!("`{path}` is a word, not {other:?}"),
        }
    }

    fn switch(&mut self, path: &str) -> bool {
        match self.value(path) {
            Value::Switch(switch) => switch,
            other => panic!("`{path}` is a switch, not {other:?}"),
        }
    }

    /// The options of the run, but for engine, planted bug and profile.
    pub(super) fn options(&mut self) -> Result<SimOptions, Unfit> {
        let nodes = self.count("topology.nodes");
        let locations = self.locations(nodes);
        let replication = Replication {
            copies: self.small("quorums.copies") as u8,
            racks: self.small("quorums.racks") as u8,
            regions: 1,
        };
        let weights = self.weights(nodes);
        let nodeset = self.nodeset(&locations, &weights, replication)?;
        let copysets = self.copysets(&weights);
        let faults = self.faults();
        let options = SimOptions {
            seed: self.seeds.0,
            profile: String::new(),
            variants: Vec::new(),
            engine: Engine::Rocksdb,
            mutant: None,
            white_box: true,
            nodeset,
            replication,
            copysets,
            quorums: None,
            durability: match self.word("quorums.durability").as_str() {
                "memory" => CopyDurability::Memory,
                _ => CopyDurability::Fsync,
            },
            metadata_nodes: self.small("topology.metadata_nodes") as u8,
            workload: self.workload()?,
            acked_percent_min: self.count("workload.acked_percent_min"),
            net: self.net(),
            disk: DiskOptions {
                sync_us_min: self.count("disk.sync_us_min"),
                sync_us_max: self.count("disk.sync_us_max"),
                read_us: self.count("disk.read_us"),
            },
            store: StoreOptions {
                flush_bytes: self.count("store.flush_kib") << 10,
                level0_tables: self.small("store.level0_tables") as u16,
                generation_bytes: match self.count("store.generation_kib") {
                    0 => None,
                    kib => Some(kib << 10),
                },
            },
            // Whoever asks for these asks for more than must be survived.
            beyond: faults.count("rotten_records") > 0,
            faults,
            moves: MoveOptions {
                leader: self.small("moves.leader"),
                nodeset: self.small("moves.nodeset"),
                quorums: self.small("moves.quorums"),
            },
            chaos_us: self.count("chaos.lasts_us"),
            quiet_us: self.count("chaos.quiet_us"),
            checkpoint_records: self.small("checkpoint.records"),
            tiering: self.tiering(),
            locations,
        };
        let options = match self.quorums()? {
            Some(quorums) => options.on(quorums),
            None => options,
        };
        fits(&options)?;
        Ok(options)
    }

    fn tiering(&mut self) -> Option<TieringOptions> {
        if !self.switch("tiering.on") {
            return None;
        }
        let limit = |limit| Some(limit).filter(|limit| *limit > 0);
        Some(TieringOptions {
            latency_us_min: self.count("objects.latency_us_min"),
            latency_us_max: self.count("objects.latency_us_max"),
            bytes_per_second: self.count("objects.kib_per_second") << 10,
            segment_bytes: self.count("tiering.segment_bytes"),
            segment_age_us: self.count("tiering.segment_age_us"),
            codec: match self.word("tiering.codec").as_str() {
                "lz4" => Codec::Lz4,
                "zstd" => Codec::Zstd,
                _ => Codec::None,
            },
            block_bytes: self.small("tiering.block_bytes"),
            uploads: self.count("tiering.uploads") as usize,
            local_bytes: self.count("tiering.local_bytes"),
            total_bytes: limit(self.count("tiering.total_bytes")),
            local_age_us: limit(self.count("tiering.local_age_us")),
            total_age_us: limit(self.count("tiering.total_age_us")),
            list_page: self.count("objects.list_page") as usize,
            grace_us: self.count("tiering.grace_us"),
            care_us: self.count("tiering.care_us"),
            cache_bytes: (self.count("tiering.cache_kib") << 10) as usize,
        })
    }

    fn locations(&mut self, nodes: u64) -> Vec<Location> {
        let racks = self.count("topology.racks");
        let block = nodes.div_ceil(racks);
        let blocks = self.word("topology.racks_by") == "blocks";
        let rack = |n: u64| if blocks { n / block } else { n % racks };
        let at = |n| Location {
            region: 0,
            rack: rack(n) as u16,
        };
        (0..nodes).map(at).collect()
    }

    /// The weight of each node: one distribution, drawn for each from the same stream.
    fn weights(&mut self, nodes: u64) -> BTreeMap<NodeId, u32> {
        let weight = self.knobs["topology.weight"];
        let mut rng = self.rng("topology.weight");
        let mut weights = BTreeMap::new();
        for node in 0..nodes {
            let Value::Count(weight) = weight.draw(&mut rng, &mut |path| self.count(path)) else {
                panic!("a weight is a number");
            };
            weights.insert(NodeId(node as u8), weight as u32);
        }
        weights
    }

    fn nodeset(
        &mut self,
        locations: &[Location],
        weights: &BTreeMap<NodeId, u32>,
        replication: Replication,
    ) -> Result<Option<NodeSet>, Unfit> {
        let nodes = locations.len() as u64;
        let kind = self.word("topology.nodeset");
        if kind == "all" {
            return Ok(None);
        }
        let size = self.count("topology.nodeset_nodes");
        if size > nodes {
            return Err(unfit(format!(
                "a nodeset of {size} nodes in a cluster of {nodes}"
            )));
        }
        let mut rng = self.rng("topology.nodeset which");
        if kind == "ring" {
            let first = rng.below(nodes);
            let ring = (first..first + size).map(|n| NodeId((n % nodes) as u8));
            return Ok(Some(ring.collect()));
        }
        let candidate = |(n, &location): (usize, &Location)| {
            let node = NodeId(n as u8);
            let weight = weights[&node];
            (node, Candidate { location, weight })
        };
        let candidates = locations.iter().enumerate().map(candidate).collect();
        nodeset::choose(&candidates, size as usize, replication, &mut rng)
            .map(Some)
            .map_err(unfit)
    }

    fn copysets(&mut self, weights: &BTreeMap<NodeId, u32>) -> CopysetSelector {
        match self.word("quorums.copysets").as_str() {
            "weighted" => CopysetSelector::Weighted {
                weights: weights.clone(),
            },
            "sticky" => CopysetSelector::Sticky {
                records: self.small("quorums.sticky_records"),
                lasts: Duration::from_millis(self.count("quorums.sticky_ms")),
            },
            _ => CopysetSelector::Random,
        }
    }

    fn quorums(&mut self) -> Result<Option<QuorumSystem>, Unfit> {
        let text = match self.word("quorums.system").as_str() {
            "replicated" => return Ok(None),
            "random" => samples::random(&mut self.rng("quorums.system which")),
            text => text.to_owned(),
        };
        QuorumSystem::parse(&text, &mut Names::open())
            .map(Some)
            .map_err(unfit)
    }

    fn workload(&mut self) -> Result<Spec, Unfit> {
        let spec = Spec {
            clients: self.small("workload.clients"),
            logs: self.small("workload.logs"),
            operations: self.small("workload.operations"),
            mix: Mix {
                append: self.small("workload.append"),
                read: self.small("workload.read"),
                tail: self.small("workload.tail"),
                conditional: self.small("workload.conditional"),
                token: self.small("workload.token"),
                idempotent: self.small("workload.idempotent"),
                poll: self.small("workload.poll"),
                trim: self.small("workload.trim"),
            },
            payload_bytes_min: self.small("workload.payload_bytes_min"),
            payload_bytes_max: self.small("workload.payload_bytes_max"),
            read_limit: self.small("workload.read_limit"),
            think_us_max: self.count("workload.think_us_max"),
        };
        if spec.mix.total() == 0 {
            return Err(unfit("a workload without any operation"));
        }
        Ok(spec)
    }

    fn net(&mut self) -> NetOptions {
        NetOptions {
            latency_us_min: self.count("net.latency_us_min"),
            latency_us_max: self.count("net.latency_us_max"),
            tail_probability: self.share("net.tail_probability"),
            tail_us_max: self.count("net.tail_us_max"),
            loss: self.share("net.loss"),
            duplication: self.share("net.duplication"),
            clients_beside_nodes: self.switch("net.clients_beside_nodes"),
            links: self.links(),
            bandwidth: self.bandwidth(),
        }
    }

    /// How links differ, if they do.
    fn links(&mut self) -> Option<LinkOptions> {
        let (far, detour) = (self.share("net.far"), self.share("net.detour"));
        let far_us_max = self.count("net.far_us_max");
        (far > 0.0 || detour > 0.0).then(|| LinkOptions {
            seed: self.seeds.named(Stream::Options, "net.links").seed(),
            far,
            far_us_min: far_us_max / 4,
            far_us_max,
            detour,
        })
    }

    fn bandwidth(&mut self) -> Option<Bandwidth> {
        let bytes_per_second = self.count("net.kib_per_second") << 10;
        let buffer_bytes = self.count("net.buffer_kib") << 10;
        (bytes_per_second > 0).then_some(Bandwidth {
            bytes_per_second,
            buffer_bytes,
        })
    }

    fn faults(&mut self) -> FaultOptions {
        let mut faults = FaultOptions::default();
        for family in families() {
            let path = format!("faults.{}", family.name);
            if self.knobs.contains_key(path.as_str()) {
                faults.set(family.name, self.small(&path));
            }
        }
        faults
    }
}

/// Whether there can be such a run.
fn fits(options: &SimOptions) -> Result<(), Unfit> {
    let ordered = [
        (
            "workload.payload_bytes",
            u64::from(options.workload.payload_bytes_min),
            u64::from(options.workload.payload_bytes_max),
        ),
        (
            "net.latency_us",
            options.net.latency_us_min,
            options.net.latency_us_max,
        ),
        (
            "disk.sync_us",
            options.disk.sync_us_min,
            options.disk.sync_us_max,
        ),
    ];
    let objects = options.tiering.map(|it| {
        let (min, max) = (it.latency_us_min, it.latency_us_max);
        ("objects.latency_us", min, max)
    });
    let mut ordered = ordered.into_iter().chain(objects);
    if let Some((what, min, max)) = ordered.find(|(_, min, max)| min > max) {
        return Err(unfit(format!("{what}_min is {min}, {what}_max is {max}")));
    }
    if options.quiet_us >= options.chaos_us {
        return Err(unfit(format!(
            "chaos.quiet_us is {} of chaos.lasts_us {}: nothing could ever go wrong",
            options.quiet_us, options.chaos_us
        )));
    }
    let nodes = options.locations.len();
    if usize::from(options.metadata_nodes) > nodes {
        return Err(unfit(format!(
            "{} metadata nodes in a cluster of {nodes}",
            options.metadata_nodes
        )));
    }
    if options.quorums.is_none() {
        let storing = |node: NodeId| options.nodeset.is_none_or(|nodes| nodes.contains(node));
        let locations = options.locations.iter().enumerate();
        let locations: BTreeMap<NodeId, Location> = locations
            .map(|(n, &location)| (NodeId(n as u8), location))
            .filter(|(node, _)| storing(*node))
            .collect();
        let count = locations.len();
        QuorumSystem::new(locations, options.replication).map_err(unfit)?;
        let moves = options.moves;
        let changes = moves.nodeset + moves.quorums;
        if changes > 0 && (!(3..=5).contains(&count) || options.replication.copies > 3) {
            return Err(unfit(format!(
                "changes of nodeset or quorums are drawn for 3 to 5 nodes with at most 3 copies, not for {count} with {}",
                options.replication.copies
            )));
        }
        if moves.nodeset > 0 && nodes < 4 {
            return Err(unfit(format!(
                "changes of nodeset need a cluster of 4 nodes, not of {nodes}"
            )));
        }
    }
    options.cluster().validate().map_err(unfit)
}
