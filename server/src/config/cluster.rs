//! A cluster: who is in it and where, which logs there are, how long is waited for what.
//!
//! ```toml
//! cluster = "music"           # its name; a node of another cluster is refused
//!
//! [[nodes]]
//! node = 0                    # its number
//! address = "10.0.0.1:7100"   # where the others and clients reach it
//! rack = 1                    # failure domains, 0 if left out
//! region = 1
//! weight = 2                  # how much it takes, compared with others, 1 if left out
//!
//! [[logs]]
//! log = 1
//! copies = 3
//! racks = 2                   # over so many racks and regions, 1 if left out
//! regions = 1
//! nodes = [0, 1, 2]           # all, if left out
//! size = 2                    # so many of these, by weight and spread over racks and regions; else all
//! copysets = "sticky"         # "random" if left out, "weighted": by the nodes' weights, or "sticky": the
//! sticky_records = 1000       # same for so many records (1000) and so many milliseconds (1000)
//! sticky_ms = 1000
//! durability = "memory"       # a copy counts before it is synced; "fsync" if left out
//!
//! [[logs]]
//! log = 2
//! quorums = "n0*n1 + n2*n3"   # instead of copies, racks, regions: which nodes a write needs
//!
//! # What may be left out:
//! metadata = [0, 1, 2]        # nodes that hold the registers; else the first five
//! [timing_ms]
//! heartbeat_interval = 100
//! ```
//!
//! Where history moves to, and what logs keep, is in [`tier2`].
//!
//! `quorums` takes any quorum system, as [`QuorumSystem::parse`] reads it: `+` is "or", `*` is "and", and there
//! are `choose(2, n0, n1, n2)`, `majority(n0, n1, n2)` or `majority(5)` (the first five nodes), `grid(2 x 3)`,
//! `weighted(n0:2, n1:1, n2:1; 3)` and `nodeset(5, copies=3, rack=2)`. An expression says which nodes have to
//! store a record; an epoch is closed by the nodes that meet all of those. `seal: ...` gives the other side
//! instead, `write: ...; seal: ...` both. Nodes are `n` and their number, out of `nodes`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use config::{Config, ValueKind};
use hstore_core::quorum::{Location, Names, QuorumSystem, Replication, SystemError};
use hstore_core::{LogId, NodeId, NodeSet, Rng};
use hstore_replicator::config::{
    ClusterConfig, ConfigError as Misfit, CopyDurability, LogSpec, Timing,
};
use hstore_replicator::placement::copyset::CopysetSelector;
use hstore_replicator::placement::nodeset::{self, Candidate};
use hstore_tier2::policy::Policy;

use super::ConfigError;
use super::table::{self, Table};
use super::tier2::{self, Tier2};

/// The longest name of a cluster.
const NAME_CHARACTERS_MAX: usize = 64;
/// So many nodes hold the registers, if nothing else is said.
const METADATA_NODES: usize = 5;
/// The highest weight of a node.
const WEIGHT_MAX: u64 = 1_000;
/// The most records of a block that shares a copyset; so many there are, if nothing else is said.
const STICKY_RECORDS: (u64, u64) = (1_000_000, 1_000);
/// The longest of all waits.
const TIMING_MS_MAX: u64 = 3_600_000;

/// A cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// Where each node listens, as host and port.
    pub addresses: BTreeMap<NodeId, String>,
    /// What the protocol is told.
    pub config: ClusterConfig,
    /// Where the history of its logs moves to, if it does.
    pub tier2: Option<Tier2>,
}

impl Cluster {
    /// Reads a cluster's file.
    ///
    /// # Errors
    /// If it is not one.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let place = path.display().to_string();
        let builder = Config::builder().add_source(table::file(path)?);
        Self::parse(&place, Table::build(&place, builder)?)
    }

    fn parse(place: &str, mut table: Table) -> Result<Self, ConfigError> {
        let wanted = "a name of 1 to 64 letters, digits, `-` and `_`";
        let name = table.text("cluster", wanted, |text| {
            is_name(text).then(|| text.to_owned())
        })?;
        let name = name.ok_or_else(|| table.missing("cluster", wanted))?;

        let (addresses, nodes) = parse_nodes(&mut table)?;
        let metadata = match table.numbers("metadata", 0..=NodeSet::MAX_NODES as u64 - 1)? {
            Some(numbers) => node_set(&numbers),
            None => nodes.keys().copied().take(METADATA_NODES).collect(),
        };
        let mut tier2 = match table.table("tier2")? {
            Some(table) => Some(tier2::parse(&name, table)?),
            None => None,
        };
        let logs = parse_logs(&mut table, &nodes, &mut tier2)?;
        let nodes: BTreeMap<NodeId, Location> = nodes
            .into_iter()
            .map(|(node, it)| (node, it.location))
            .collect();
        let timing = match table.table("timing_ms")? {
            Some(table) => parse_timing(table)?,
            None => default_timing(),
        };
        table.finish()?;
        let config = ClusterConfig {
            nodes,
            metadata,
            logs,
            timing,
        };
        config.validate().map_err(|reason| ConfigError::Misfit {
            place: place.to_owned(),
            reason,
        })?;
        Ok(Self {
            name,
            addresses,
            config,
            tier2,
        })
    }

    /// A number that differs for clusters that must not speak with each other: of everything but
    /// addresses and timings.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let ClusterConfig {
            nodes,
            metadata,
            logs,
            timing: _,
        } = &self.config;
        let mut bytes = postcard::to_stdvec(&(&self.name, nodes, metadata, logs))
            .expect("a cluster has a serialised form");
        if let Some(tier2) = &self.tier2 {
            // What one node put where another does not look would be missing there.
            bytes.extend_from_slice(tier2.url.as_bytes());
        }
        // FNV-1a.
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// A file that describes a cluster of plain nodes, each log on all of them.
    #[must_use]
    pub fn write_plain(name: &str, addresses: &[String], logs: u32, copies: u8) -> String {
        let mut file = String::new();
        let mut line = |text: std::fmt::Arguments<'_>| {
            writeln!(file, "{text}").expect("strings take everything");
        };
        line(format_args!(
            "# A cluster of HStore. All nodes and clients read this file."
        ));
        line(format_args!("cluster = \"{name}\""));
        for (node, address) in addresses.iter().enumerate() {
            line(format_args!(
                "\n[[nodes]]\nnode = {node}\naddress = \"{address}\""
            ));
        }
        for log in 1..=logs {
            line(format_args!("\n[[logs]]\nlog = {log}\ncopies = {copies}"));
        }
        file
    }
}

fn is_name(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !text.is_empty() && text.len() <= NAME_CHARACTERS_MAX && text.chars().all(plain)
}

/// Host and port.
pub(super) fn address(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    (!host.is_empty() && port != 0).then(|| text.to_owned())
}

pub(super) const ADDRESS: &str = "a host and a port, for example \"10.0.0.1:7100\"";

type Nodes = (BTreeMap<NodeId, String>, BTreeMap<NodeId, Candidate>);

fn parse_nodes(table: &mut Table) -> Result<Nodes, ConfigError> {
    let mut addresses = BTreeMap::new();
    let mut candidates = BTreeMap::new();
    let tables = table.tables("nodes")?;
    if tables.is_empty() {
        return Err(table.missing("nodes", "a table `[[nodes]]` for each node"));
    }
    for mut table in tables {
        let last = NodeSet::MAX_NODES as u64 - 1;
        let number = table.number("node", 0..=last)?;
        let number = number.ok_or_else(|| table.missing("node", "the node's number"))?;
        let node = NodeId(number as u8);
        let at = table.text("address", ADDRESS, address)?;
        let at = at.ok_or_else(|| table.missing("address", ADDRESS))?;
        let domain = 0..=u64::from(u16::MAX);
        let location = Location {
            region: table.number("region", domain.clone())?.unwrap_or(0) as u16,
            rack: table.number("rack", domain)?.unwrap_or(0) as u16,
        };
        if let Some((other, _)) = addresses.iter().find(|(_, other)| **other == at) {
            let expected = format!("an address of its own: this one is that of {other}");
            return Err(table.invalid("address", &at.into(), &expected));
        }
        if addresses.insert(node, at).is_some() {
            let expected = "a number that no other node has";
            return Err(table.invalid("node", &number.into(), expected));
        }
        let weight = table.number("weight", 0..=WEIGHT_MAX)?.unwrap_or(1) as u32;
        candidates.insert(node, Candidate { location, weight });
        table.finish()?;
    }
    Ok((addresses, candidates))
}

fn parse_logs(
    table: &mut Table,
    nodes: &BTreeMap<NodeId, Candidate>,
    tier2: &mut Option<Tier2>,
) -> Result<BTreeMap<LogId, LogSpec>, ConfigError> {
    let mut logs = BTreeMap::new();
    for mut table in table.tables("logs")? {
        let number = table.number("log", 1..=u64::from(u32::MAX))?;
        let number = number.ok_or_else(|| table.missing("log", "the log's number"))?;
        let log = LogId(number as u32);
        let mut spec = LogSpec {
            quorums: parse_quorums(log, &mut table, nodes)?,
            copysets: parse_copysets(&mut table, nodes)?,
            durability: table
                .text("durability", DURABILITY, durability)?
                .unwrap_or_default(),
            tiered: false,
        };
        let kept = tier2::parse_log(&mut table, tier2.is_some())?;
        if let (Some((local, total)), Some(tier2)) = (kept, tier2.as_mut()) {
            spec.tiered = true;
            let tiering = &mut tier2.tiering;
            let policy = Policy {
                local,
                total,
                ..tiering.policy
            };
            tiering.logs.insert(log, policy);
        }
        if logs.insert(log, spec).is_some() {
            let expected = "a number that no other log has";
            return Err(table.invalid("log", &number.into(), expected));
        }
        table.finish()?;
    }
    if logs.is_empty() {
        return Err(table.missing("logs", "a table `[[logs]]` for each log"));
    }
    Ok(logs)
}

fn parse_quorums(
    log: LogId,
    table: &mut Table,
    nodes: &BTreeMap<NodeId, Candidate>,
) -> Result<QuorumSystem, ConfigError> {
    let most = NodeSet::MAX_NODES as u64;
    let copies = table.number("copies", 1..=most)?;
    let racks = table.number("racks", 1..=most)?;
    let regions = table.number("regions", 1..=most)?;
    let named = match table.numbers("nodes", 0..=most - 1)? {
        Some(numbers) => node_set(&numbers),
        None => nodes.keys().copied().collect(),
    };
    let size = table.number("size", 1..=most)?;
    if let Some(value) = table.take("quorums") {
        let counts = [
            ("copies", copies),
            ("racks", racks),
            ("regions", regions),
            ("size", size),
        ];
        if let Some((key, count)) = counts.iter().find_map(|it| Some((it.0, it.1?))) {
            let expected =
                "nothing: `quorums` says it all, for example \"nodeset(5, copies=3, rack=2)\"";
            return Err(table.invalid(key, &count.into(), expected));
        }
        let places = nodes.iter().filter(|(node, _)| named.contains(**node));
        let places = places.map(|(node, it)| (*node, it.location)).collect();
        let quorums = match &value.kind {
            ValueKind::String(text) => QuorumSystem::parse(text, &mut Names::cluster(&places))
                .map_err(|error| match error {
                    SystemError::Parse(error) => format!("a quorum system; at {error}"),
                    SystemError::Quorum(error) => format!("a quorum system; {error}"),
                }),
            _ => Err("a text: a quorum system".to_owned()),
        };
        return quorums.map_err(|expected| table.invalid("quorums", &value, &expected));
    }
    let copies = copies.ok_or_else(|| {
        table.missing(
            "copies",
            "how many copies are kept, or `quorums`: a quorum system",
        )
    })?;
    let replication = Replication {
        copies: copies as u8,
        racks: racks.unwrap_or(1) as u8,
        regions: regions.unwrap_or(1) as u8,
    };
    let misfit = |error| table.misfit(Misfit::Quorum { log, error });
    let locations = nodes.iter().map(|(node, it)| (*node, it.location));
    let locations = locations.collect();
    let mut chosen = named;
    if let Some(size) = size {
        let mut candidates = nodes.clone();
        candidates.retain(|node, _| named.contains(*node));
        // The same on every node and client; different for each log.
        let mut rng = Rng::from_seed(u64::from(log.0));
        chosen = nodeset::choose(&candidates, size as usize, replication, &mut rng)
            .map_err(|error| table.invalid("size", &size.into(), &format!("another: {error}")))?;
    }
    let spec = LogSpec::replicated(&locations, chosen, replication).map_err(misfit)?;
    Ok(spec.quorums)
}

fn parse_copysets(
    table: &mut Table,
    nodes: &BTreeMap<NodeId, Candidate>,
) -> Result<CopysetSelector, ConfigError> {
    let (most, records) = STICKY_RECORDS;
    let records = table.number("sticky_records", 1..=most)?.unwrap_or(records);
    let lasts = table
        .number("sticky_ms", 1..=TIMING_MS_MAX)?
        .unwrap_or(1_000);
    let wanted = "\"random\", \"weighted\" or \"sticky\"";
    let selector = table.text("copysets", wanted, |text| match text {
        "random" => Some(CopysetSelector::Random),
        "weighted" => Some(CopysetSelector::Weighted {
            weights: nodes.iter().map(|(node, it)| (*node, it.weight)).collect(),
        }),
        "sticky" => Some(CopysetSelector::Sticky {
            records: records as u32,
            lasts: Duration::from_millis(lasts),
        }),
        _ => None,
    })?;
    Ok(selector.unwrap_or_default())
}

const DURABILITY: &str = "\"fsync\" or \"memory\"";

fn durability(text: &str) -> Option<CopyDurability> {
    match text {
        "fsync" => Some(CopyDurability::Fsync),
        "memory" => Some(CopyDurability::Memory),
        _ => None,
    }
}

fn node_set(numbers: &[u64]) -> NodeSet {
    numbers.iter().map(|&number| NodeId(number as u8)).collect()
}

/// For nodes that share their machines with others: more patient than a quiet network asks for, since
/// being wrong about who is alive costs more than being late.
fn default_timing() -> Timing {
    let ms = Duration::from_millis;
    Timing {
        suspect_after_min: ms(1000),
        suspect_after_max: ms(1300),
        // More than the two above differ by: the best-placed node tries first, alone.
        activation_stagger: ms(500),
        drain_patience: ms(1000),
        hand_over_patience: ms(1500),
        wave_timeout: ms(250),
        resend: ms(200),
        recovery_grace: ms(20),
        recovery_timeout: ms(1000),
        reader_patience: ms(150),
        reader_grace: ms(1000),
        operation_timeout: ms(5000),
        ..Timing::default()
    }
}

fn parse_timing(mut table: Table) -> Result<Timing, ConfigError> {
    let mut timing = default_timing();
    let Timing {
        heartbeat_interval,
        suspect_after_min,
        suspect_after_max,
        activation_stagger,
        activation_backoff,
        activation_patience,
        drain_patience,
        hand_over_patience,
        wave_timeout,
        grey_list,
        slow_answer,
        release_delay,
        resend,
        recovery_grace,
        recovery_timeout,
        register_backoff,
        client_retry,
        reader_patience,
        reader_grace,
        operation_timeout,
        // No time.
        checkpoint_records: _,
    } = &mut timing;
    for (key, duration) in [
        ("heartbeat_interval", heartbeat_interval),
        ("suspect_after_min", suspect_after_min),
        ("suspect_after_max", suspect_after_max),
        ("activation_stagger", activation_stagger),
        ("activation_backoff", activation_backoff),
        ("activation_patience", activation_patience),
        ("drain_patience", drain_patience),
        ("hand_over_patience", hand_over_patience),
        ("wave_timeout", wave_timeout),
        ("grey_list", grey_list),
        ("slow_answer", slow_answer),
        ("release_delay", release_delay),
        ("resend", resend),
        ("recovery_grace", recovery_grace),
        ("recovery_timeout", recovery_timeout),
        ("register_backoff", register_backoff),
        ("client_retry", client_retry),
        ("reader_patience", reader_patience),
        ("reader_grace", reader_grace),
        ("operation_timeout", operation_timeout),
    ] {
        if let Some(ms) = table.number(key, 1..=TIMING_MS_MAX)? {
            *duration = Duration::from_millis(ms);
        }
    }
    if timing.suspect_after_min > timing.suspect_after_max {
        let most = (timing.suspect_after_max.as_millis() as u64).into();
        let expected = "no less than `suspect_after_min`";
        return Err(table.invalid("suspect_after_max", &most, expected));
    }
    table.finish()?;
    Ok(timing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Cluster, String> {
        let builder =
            Config::builder().add_source(config::File::from_str(text, config::FileFormat::Toml));
        Table::build("x.toml", builder)
            .and_then(|table| Cluster::parse("x.toml", table))
            .map_err(|error| error.to_string())
    }

    fn plain() -> String {
        let addresses = ["127.0.0.1:7100", "127.0.0.1:7101", "127.0.0.1:7102"];
        Cluster::write_plain("test", &addresses.map(str::to_owned), 2, 3)
    }

    #[test]
    fn what_is_written_is_read() {
        let cluster = read(&plain()).expect("valid");
        assert_eq!(cluster.name, "test");
        assert_eq!(cluster.addresses[&NodeId(2)], "127.0.0.1:7102");
        assert_eq!(cluster.config.logs.len(), 2);
        assert_eq!(cluster.config.metadata.len(), 3);
        let other = read(&plain().replace("copies = 3", "copies = 2")).expect("valid");
        assert_ne!(cluster.fingerprint(), other.fingerprint());
        let patient = plain() + "[timing_ms]\nresend = 500\n";
        let patient = read(&patient).expect("valid");
        assert_eq!(cluster.fingerprint(), patient.fingerprint());
        assert_eq!(patient.config.timing.resend, Duration::from_millis(500));
    }

    #[test]
    fn a_log_runs_on_any_quorum_system() {
        let text = plain().replacen("copies = 3", "quorums = \"seal: n0*n1 + n2\"", 1);
        let cluster = read(&text).expect("valid");
        let of = |log| cluster.config.logs[&LogId(log)].quorums.to_string();
        assert_eq!(of(1), "seal: n0 * n1 + n2");
        assert_eq!(of(2), "nodeset(n0, n1, n2, copies=3)");
        let racks = plain()
            .replacen("node = 2", "rack = 7\nnode = 2", 1)
            .replacen(
                "copies = 3",
                "quorums = \"nodeset(3, copies=2, rack=2)\"",
                1,
            );
        let cluster = read(&racks).expect("valid");
        let quorums = &cluster.config.logs[&LogId(1)].quorums;
        assert_eq!(
            quorums.to_string(),
            "nodeset(n0, n1, n2@7, copies=2, rack=2)"
        );
        let node_set = |nodes: [u8; 2]| nodes.map(NodeId).into_iter().collect();
        assert!(quorums.is_write_quorum(node_set([0, 2])));
        assert!(!quorums.is_write_quorum(node_set([0, 1])));
    }

    #[test]
    fn nodesets_and_copysets_are_chosen_as_asked() {
        let text = plain()
            .replacen("node = 2", "weight = 0\nnode = 2", 1)
            .replacen(
                "copies = 3",
                "copies = 2\nsize = 2\ncopysets = \"weighted\"",
                1,
            )
            .replacen(
                "copies = 3",
                "copies = 2\ncopysets = \"sticky\"\nsticky_records = 7",
                1,
            );
        let cluster = read(&text).expect("valid");
        let spec = |log| &cluster.config.logs[&LogId(log)];
        assert_eq!(spec(1).quorums, QuorumSystem::flat(2, 2).expect("valid"));
        let weights = [(NodeId(0), 1), (NodeId(1), 1), (NodeId(2), 0)].into();
        assert_eq!(spec(1).copysets, CopysetSelector::Weighted { weights });
        let (records, lasts) = (7, Duration::from_secs(1));
        assert_eq!(spec(2).copysets, CopysetSelector::Sticky { records, lasts });
        assert_eq!(spec(2).quorums.nodes().len(), 3);
    }

    #[test]
    fn errors_name_place_key_value_and_what_was_expected() {
        for (from, to, error) in [
            (
                "node = 1\n",
                "node = 300\n",
                "x.toml: `nodes[1].node` is `300`: expected a number from 0 to 127",
            ),
            (
                "node = 1\n",
                "node = 0\n",
                "x.toml: `nodes[1].node` is `0`: expected a number that no other node has",
            ),
            (
                "127.0.0.1:7101",
                "127.0.0.1",
                "x.toml: `nodes[1].address` is `127.0.0.1`: expected a host and a port, for example \"10.0.0.1:7100\"",
            ),
            (
                "127.0.0.1:7101",
                "127.0.0.1:7100",
                "x.toml: `nodes[1].address` is `127.0.0.1:7100`: expected an address of its own: this one is that of n0",
            ),
            (
                "cluster = \"test\"",
                "",
                "x.toml: `cluster` is missing: expected a name of 1 to 64 letters, digits, `-` and `_`",
            ),
            (
                "log = 2\n",
                "log = 2\ncolour = \"red\"\n",
                "x.toml: `logs[1].colour` is no key here: expected one of `log`, `copies`, `racks`, `regions`, `nodes`, `size`, `quorums`, `sticky_records`, `sticky_ms`, `copysets`, `durability`, `tiered`, `local_kib`, `local_age_ms`, `total_kib`, `total_age_ms`",
            ),
            (
                "copies = 3",
                "copies = 3\ntiered = true",
                "x.toml: `logs[0].tiered` is `true`: expected a table `[tier2]` beside the logs that says where their history moves to",
            ),
            (
                "copies = 3",
                "copies = 3\nlocal_kib = 7",
                "x.toml: `logs[0].local_kib` is `7`: expected nothing, or `tiered = true` beside it: what does not move is kept until it is trimmed",
            ),
            (
                "cluster = \"test\"",
                "cluster = \"test\"\n[tier2]\ncodec = \"zstd\"",
                "x.toml: `tier2.url` is missing: expected the URL of an object store, for example \"s3://bucket/history\"",
            ),
            (
                "copies = 3",
                "copies = 4",
                "x.toml: log1: 4 Node domains are asked for, the nodeset has 3",
            ),
            (
                "copies = 3",
                "",
                "x.toml: `logs[0].copies` is missing: expected how many copies are kept, or `quorums`: a quorum system",
            ),
            (
                "copies = 3",
                "nodes = [0, 1]\nquorums = \"n0*n1 + n2\"",
                "x.toml: `logs[0].quorums` is `n0*n1 + n2`: expected a quorum system; at column 9: found `n2`, expected one of the nodes n0, n1",
            ),
            (
                "copies = 3",
                "quorums = \"write: n0*n1; seal: n2\"",
                "x.toml: `logs[0].quorums` is `write: n0*n1; seal: n2`: expected a quorum system; the write quorum {n0,n1} and the seal quorum {n2} do not meet: leave one side out and it becomes the other's dual",
            ),
            (
                "copies = 3",
                "copies = 3\nsize = 2",
                "x.toml: `logs[0].size` is `2`: expected another: 3 copies need a nodeset of at least 3 nodes, not of 2",
            ),
            (
                "copies = 3",
                "copies = 3\ncopysets = \"best\"",
                "x.toml: `logs[0].copysets` is `best`: expected \"random\", \"weighted\" or \"sticky\"",
            ),
            (
                "copies = 3",
                "quorums = 3",
                "x.toml: `logs[0].quorums` is `3`: expected a text: a quorum system",
            ),
            (
                "copies = 3",
                "copies = 3\nquorums = \"majority(3)\"",
                "x.toml: `logs[0].copies` is `3`: expected nothing: `quorums` says it all, for example \"nodeset(5, copies=3, rack=2)\"",
            ),
            (
                "copies = 3",
                "copies = 2\nnodes = [0, 9]",
                "x.toml: log1 names {n9}, of which the cluster knows nothing",
            ),
            (
                "cluster = \"test\"",
                "cluster = \"test\"\nmetadata = [7]",
                "x.toml: the metadata set names {n7}, of which the cluster knows nothing",
            ),
        ] {
            let text = plain().replacen(from, to, 2);
            assert_eq!(read(&text).expect_err(to), error);
        }
    }

    #[test]
    fn errors_tell_no_value_that_is_not_expected_to_be_there() {
        let begin = plain() + "[tier2]\nurl = \"file:///x\"\n";
        for (text, error) in [
            (
                format!("{begin}secret_key = \"TOPSECRET\""),
                "x.toml: `tier2.secret_key` is no key here: expected one of `url`, `segment_kib`, `segment_age_ms`, `codec`, `block_kib`, `uploads`, `kib_per_second`, `grace_ms`, `care_ms`, `cache_kib`",
            ),
            (
                plain() + "[tier2]\nurl = [\"s3://TOPSECRET@bucket\"]",
                "x.toml: `tier2.url` is a list: expected the URL of an object store, for example \"s3://bucket/history\"",
            ),
            (
                format!("tier2 = \"s3://TOPSECRET@bucket\"\n{}", plain()),
                "x.toml: `tier2` is a text: expected a table",
            ),
            (
                format!("metadata = [0, \"TOPSECRET\"]\n{}", plain()),
                "x.toml: `metadata` is `[0, a text]`: expected a list of numbers from 0 to 127",
            ),
            (
                format!("metadata = \"TOPSECRET\"\n{}", plain()),
                "x.toml: `metadata` is a text: expected a list of numbers from 0 to 127",
            ),
            (
                begin.clone() + "uploads = \"TOPSECRET\"",
                "x.toml: `tier2.uploads` is a text: expected a number from 1 to 4",
            ),
            (
                "cluster = \"test\"\nkey = a-TOPSECRET\n".to_owned(),
                "x.toml: TOML parse error at line 2, column 7: string values must be quoted, expected literal string",
            ),
        ] {
            assert_eq!(read(&text).expect_err(error), error);
        }
    }

    #[test]
    fn what_is_kept_of_a_log_has_room_for_what_nodes_keep_of_it() {
        let with = |of_log: &str| {
            let text = plain().replacen("copies = 3", &format!("copies = 3\n{of_log}"), 1);
            read(&(text + "[tier2]\nurl = \"file:///x\"\n"))
        };
        for (of_log, error) in [
            (
                "tiered = true\nlocal_kib = 9\ntotal_kib = 8",
                "x.toml: `logs[0].local_kib` is `9`: expected no more than `total_kib`, which is 8: nodes keep nothing that the log keeps no longer",
            ),
            (
                "tiered = true\nlocal_age_ms = 9\ntotal_age_ms = 8",
                "x.toml: `logs[0].local_age_ms` is `9`: expected no more than `total_age_ms`, which is 8: nodes keep nothing that the log keeps no longer",
            ),
        ] {
            assert_eq!(with(of_log).expect_err(error), error);
        }
        with("tiered = true\nlocal_kib = 8\ntotal_kib = 8\nlocal_age_ms = 9").expect("valid");
    }
}
