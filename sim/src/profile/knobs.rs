//! The knobs that a profile sets: what there is to draw, and what each may be.
//!
//! A knob is an entry of this table and a line of [`super::assemble`]. It draws from a stream of its own, found
//! by its path: a new knob leaves what all others draw as it was. Each family of faults is a knob as well, as
//! are all that come.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use hstore_core::NodeSet;
use hstore_core::quorum::{Names, QuorumSystem};

use crate::nemesis::Family;

/// The section whose knobs are the families of faults.
const FAULTS: &str = "faults";
/// More faults of a family than this are certainly a mistake.
const FAULTS_MAX: u64 = 1_000;
/// A minute: latencies and times to think are shorter.
const MINUTE_US: u64 = 60_000_000;

/// Something that a seed draws.
#[derive(Clone, Debug)]
pub struct Knob {
    /// Where it stands in a profile: `section.name`.
    pub path: Cow<'static, str>,
    /// What it means.
    pub about: &'static str,
    /// What it may be.
    pub takes: Takes,
}

/// What a knob may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// A number.
    Count(u64, u64),
    /// A share of all, from 0 to 1.
    Share,
    /// One of these words.
    Word(&'static [&'static str]),
    /// Yes or no.
    Switch,
    /// `replicated`, `random`, or a quorum system in full.
    Quorums,
}

const fn knob(path: &'static str, takes: Takes, about: &'static str) -> Knob {
    Knob {
        path: Cow::Borrowed(path),
        about,
        takes,
    }
}

const fn count(range: RangeInclusive<u64>) -> Takes {
    Takes::Count(*range.start(), *range.end())
}

const NODES: Takes = Takes::Count(1, NodeSet::MAX_NODES as u64);
const TIMES: Takes = Takes::Count(0, MINUTE_US);
const WEIGHT: Takes = Takes::Count(0, 1_000);

/// All knobs but those of the fault families, section by section.
pub const KNOBS: &[Knob] = &[
    knob("topology.nodes", NODES, "nodes in the cluster"),
    knob("topology.racks", NODES, "racks that they stand in"),
    knob(
        "topology.racks_by",
        Takes::Word(&["turns", "blocks"]),
        "whether nodes go to racks in turns, or neighbours stand together",
    ),
    knob(
        "topology.metadata_nodes",
        count(1..=9),
        "how many of the nodes, the first ones, keep the registers",
    ),
    knob(
        "topology.nodeset",
        Takes::Word(&["all", "ring", "weighted"]),
        "which nodes store the logs at first: all, neighbours, or some chosen by weight and rack",
    ),
    knob(
        "topology.nodeset_nodes",
        NODES,
        "how many these are, unless all",
    ),
    knob(
        "topology.weight",
        WEIGHT,
        "the weight of a node, drawn for each of them",
    ),
    knob(
        "quorums.system",
        Takes::Quorums,
        "`replicated` over the nodeset, a `random` one, or an expression such as `majority(5)`, which brings its nodes",
    ),
    knob("quorums.copies", NODES, "copies of a record, if replicated"),
    knob(
        "quorums.racks",
        NODES,
        "racks that these are spread over at least",
    ),
    knob(
        "quorums.copysets",
        Takes::Word(&["random", "weighted", "sticky"]),
        "which copyset a record gets",
    ),
    knob(
        "quorums.sticky_records",
        count(1..=1_000_000),
        "records that share a copyset, if sticky",
    ),
    knob(
        "quorums.sticky_ms",
        count(1..=600_000),
        "how long they may, in milliseconds",
    ),
    knob(
        "quorums.durability",
        Takes::Word(&["fsync", "memory"]),
        "when a copy counts as stored: once synced, or once in memory",
    ),
    knob(
        "workload.clients",
        count(1..=200),
        "clients at work at a time",
    ),
    knob("workload.logs", count(1..=64), "logs"),
    knob(
        "workload.operations",
        count(1..=1_000_000),
        "operations of a run, all clients together",
    ),
    knob(
        "workload.think_us_max",
        TIMES,
        "a client rests up to this long between two operations",
    ),
    knob(
        "workload.payload_bytes_min",
        count(9..=1 << 20),
        "the least size of a record",
    ),
    knob(
        "workload.payload_bytes_max",
        count(9..=1 << 20),
        "the greatest size of a record",
    ),
    knob(
        "workload.read_limit",
        count(1..=10_000),
        "records that a read asks for at most",
    ),
    knob(
        "workload.acked_percent_min",
        count(0..=100),
        "a run that acknowledges fewer appends than this share of its operations means nothing",
    ),
    knob("workload.append", WEIGHT, "weight of plain appends"),
    knob("workload.read", WEIGHT, "weight of reads"),
    knob("workload.tail", WEIGHT, "weight of tails"),
    knob(
        "workload.conditional",
        WEIGHT,
        "weight of appends that demand which record is the last",
    ),
    knob(
        "workload.token",
        WEIGHT,
        "weight of appends that demand or set the fencing token",
    ),
    knob(
        "workload.idempotent",
        WEIGHT,
        "weight of appends that name their producer and sequence",
    ),
    knob("workload.poll", WEIGHT, "weight of polls"),
    knob("workload.trim", WEIGHT, "weight of trims"),
    knob("net.latency_us_min", TIMES, "the least latency"),
    knob(
        "net.latency_us_max",
        TIMES,
        "the greatest latency but for the tail",
    ),
    knob(
        "net.tail_probability",
        Takes::Share,
        "messages that are in the tail",
    ),
    knob(
        "net.tail_us_max",
        TIMES,
        "the most that the tail adds to the latency",
    ),
    knob("net.loss", Takes::Share, "messages that are lost"),
    knob(
        "net.duplication",
        Takes::Share,
        "messages that arrive twice",
    ),
    knob(
        "net.clients_beside_nodes",
        Takes::Switch,
        "whether each client runs beside the node that it asks",
    ),
    knob(
        "net.far",
        Takes::Share,
        "pairs of places that are far from each other",
    ),
    knob(
        "net.far_us_max",
        TIMES,
        "the most that a message takes longer between such places; the least is a quarter of it",
    ),
    knob(
        "net.detour",
        Takes::Share,
        "directions of links that are a detour, up to twice as long again",
    ),
    knob(
        "net.kib_per_second",
        count(0..=1 << 20),
        "KiB that pass each link in a second; 0: whatever is sent",
    ),
    knob(
        "net.buffer_kib",
        count(1..=1 << 20),
        "KiB that may wait for a link of such a bandwidth",
    ),
    knob("disk.sync_us_min", TIMES, "a sync takes this long at least"),
    knob("disk.sync_us_max", TIMES, "a sync takes this long at most"),
    knob("disk.read_us", TIMES, "a read takes this long"),
    knob(
        "store.flush_kib",
        count(1..=1 << 20),
        "RocksDB: KiB of batches that lead to a flush",
    ),
    knob(
        "store.level0_tables",
        count(2..=1_000),
        "RocksDB: flushed tables that lead to a compaction",
    ),
    knob(
        "store.generation_kib",
        count(0..=1 << 20),
        "the model store: KiB of batches that lead to a new generation; 0: none in a run",
    ),
    knob(
        "checkpoint.records",
        count(1..=1_000_000),
        "records after one checkpoint a sequencer makes the next",
    ),
    knob(
        "tiering.on",
        Takes::Switch,
        "whether the history of logs moves to the object store",
    ),
    knob(
        "tiering.segment_bytes",
        count(1..=1 << 30),
        "a segment is cut once it has so many bytes, before compression",
    ),
    knob(
        "tiering.segment_age_us",
        TIMES,
        "a segment is cut once its first record is so old",
    ),
    knob(
        "tiering.block_bytes",
        count(64..=1 << 20),
        "a block of a segment is cut once it has so many bytes",
    ),
    knob(
        "tiering.codec",
        Takes::Word(&["none", "lz4", "zstd"]),
        "how blocks of segments are compressed",
    ),
    knob(
        "tiering.uploads",
        count(1..=4),
        "segments of a log that are uploaded at a time",
    ),
    knob(
        "tiering.local_bytes",
        count(0..=1 << 30),
        "bytes of payload that nodes keep of what is in the object store too",
    ),
    knob(
        "tiering.total_bytes",
        count(0..=1 << 30),
        "bytes of payload that a log keeps at all; 0: all",
    ),
    knob(
        "tiering.local_age_us",
        TIMES,
        "nodes keep what is no older of what is in the object store too; 0: all",
    ),
    knob(
        "tiering.total_age_us",
        TIMES,
        "a log keeps what is no older; 0: all",
    ),
    knob(
        "tiering.grace_us",
        TIMES,
        "an object that is not needed any more is deleted so long after",
    ),
    knob(
        "tiering.care_us",
        TIMES,
        "between two looks for objects that are not needed",
    ),
    knob(
        "tiering.cache_kib",
        count(1..=1 << 20),
        "KiB of segments that a node keeps for those who read",
    ),
    knob(
        "objects.latency_us_min",
        TIMES,
        "a call to the object store takes this long at least",
    ),
    knob(
        "objects.latency_us_max",
        TIMES,
        "a call to the object store takes this long at most, beside its bytes",
    ),
    knob(
        "objects.list_page",
        count(1..=1_000),
        "objects on a page of a list",
    ),
    knob(
        "objects.kib_per_second",
        count(1..=1 << 20),
        "KiB of a call that pass in a second",
    ),
    knob(
        "moves.leader",
        count(0..=FAULTS_MAX),
        "changes of leader, handed or taken over",
    ),
    knob("moves.nodeset", count(0..=FAULTS_MAX), "changes of nodeset"),
    knob(
        "moves.quorums",
        count(0..=FAULTS_MAX),
        "changes of the quorum system on the same nodes",
    ),
    knob(
        "chaos.lasts_us",
        count(1..=600_000_000),
        "how long faults may strike and clients work at least, quiet time included",
    ),
    knob(
        "chaos.quiet_us",
        count(0..=600_000_000),
        "nothing goes wrong in this much of it, the first part",
    ),
    knob(
        "chaos.pace",
        count(1..=100),
        "how dense a run is: for other knobs to divide their times by",
    ),
];

impl Knob {
    /// The knob of a path.
    #[must_use]
    pub fn by_path(path: &str) -> Option<Self> {
        if let Some(family) = family(path) {
            return Some(Self::of_family(family));
        }
        KNOBS.iter().find(|knob| knob.path == path).cloned()
    }

    /// All knobs, fault families last.
    pub fn all() -> impl Iterator<Item = Self> {
        let families = crate::nemesis::families().map(Self::of_family);
        KNOBS.iter().cloned().chain(families)
    }

    fn of_family(family: &'static Family) -> Self {
        Self {
            path: format!("{FAULTS}.{}", family.name).into(),
            about: family.about,
            takes: count(0..=FAULTS_MAX),
        }
    }
}

fn family(path: &str) -> Option<&'static Family> {
    let (section, name) = path.split_once('.')?;
    (section == FAULTS).then(|| Family::by_name(name))?
}

impl Takes {
    /// Whether a text is a quorum system or stands for one.
    pub(super) fn is_quorums(text: &str) -> bool {
        ["replicated", "random"].contains(&text)
            || QuorumSystem::parse(text, &mut Names::open()).is_ok()
    }
}

/// What is allowed, in words.
impl fmt::Display for Takes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(from, to) => write!(f, "a whole number from {from} to {to}"),
            Self::Share => write!(f, "a number from 0 to 1"),
            Self::Word(words) => {
                let quoted: Vec<String> = words.iter().map(|word| format!("\"{word}\"")).collect();
                write!(f, "one of {}", quoted.join(", "))
            }
            Self::Switch => write!(f, "true or false"),
            Self::Quorums => write!(
                f,
                "\"replicated\", \"random\", or a quorum system such as \"a*b + c*d\" or \"majority(5)\""
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_knob_is_found_by_its_path() {
        let paths: BTreeSet<_> = Knob::all().map(|knob| knob.path).collect();
        assert_eq!(paths.len(), Knob::all().count());
        for path in paths {
            assert!(Knob::by_path(&path).is_some_and(|knob| knob.path == path));
        }
        assert!(Knob::by_path("faults.none").is_none());
        assert!(Knob::by_path("topology").is_none());
    }
}
