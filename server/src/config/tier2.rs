//! The second tier of a cluster: where history moves to, and how.
//!
//! ```toml
//! [tier2]
//! url = "s3://bucket/history"   # an object store that all nodes reach; see `crate::objects`
//!
//! # What may be left out, with what it is then:
//! segment_kib = 65536           # a segment is cut once it has so much, before compression,
//! segment_age_ms = 600000       # or once its first record is so old
//! codec = "zstd"                # "none", "lz4" or "zstd"
//! block_kib = 64                # what a single record is read and decompressed with
//! uploads = 2                   # of a log at a time
//! kib_per_second = 102400       # to and from the object store, for each log
//! grace_ms = 3600000            # what is not needed any more is deleted so long after
//! care_ms = 600000              # between two looks for it
//! cache_kib = 65536             # of segments, kept by each node for those who read
//!
//! [[logs]]
//! log = 1
//! copies = 3
//! tiered = true                 # its history moves; false if left out
//! local_kib = 1048576           # what nodes keep of what is in the object store: the newest so much,
//! local_age_ms = 86400000       # and what is no older; all if both are left out
//! total_kib = 104857600         # what the log keeps at all: the same
//! total_age_ms = 2592000000
//! ```

use std::time::Duration;

use hstore_core::ports::object_store::ObjectKey;
use hstore_node::Tiering;
use hstore_tier2::policy::{Policy, Retention};
use hstore_tier2::segment::{Codec, WriterOptions};

use super::ConfigError;
use super::table::Table;

/// A hundred years.
const AGE_MS_MAX: u64 = 100 * 366 * 24 * 3_600_000;
/// What is being filled is held in memory, and put in one call.
const SEGMENT_KIB_MAX: u64 = 128 << 10;
/// A PiB.
const KIB_MAX: u64 = 1 << 40;
/// Whoever reads a single record reads a block.
const BLOCK_KIB_MAX: u64 = 1 << 10;

/// The second tier of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tier2 {
    /// The object store.
    pub url: String,
    /// What nodes are told.
    pub tiering: Tiering,
}

/// Reads the table `tier2`. All objects lie below the cluster's name.
pub(super) fn parse(name: &str, mut table: Table) -> Result<Tier2, ConfigError> {
    let wanted = "the URL of an object store, for example \"s3://bucket/history\"";
    let url = table.text("url", wanted, |text| Some(text.to_owned()))?;
    let url = url.ok_or_else(|| table.missing("url", wanted))?;
    let mut policy = Policy::default();
    let kib = |table: &mut Table, key, most: u64| {
        let number = table.number(key, 1..=most)?;
        Ok::<_, ConfigError>(number.map(|kib| kib << 10))
    };
    let ms = |table: &mut Table, key| {
        let number = table.number(key, 1..=AGE_MS_MAX)?;
        Ok::<_, ConfigError>(number.map(Duration::from_millis))
    };
    set(
        &mut policy.segment_bytes,
        kib(&mut table, "segment_kib", SEGMENT_KIB_MAX)?,
    );
    set(&mut policy.segment_age, ms(&mut table, "segment_age_ms")?);
    let codecs = "\"none\", \"lz4\" or \"zstd\"";
    let codec = table.text("codec", codecs, |text| match text {
        "none" => Some(Codec::None),
        "lz4" => Some(Codec::Lz4),
        "zstd" => Some(Codec::Zstd),
        _ => None,
    })?;
    let block = kib(&mut table, "block_kib", BLOCK_KIB_MAX)?;
    let writer = WriterOptions::default();
    policy.writer = WriterOptions {
        codec: codec.unwrap_or(writer.codec),
        block_bytes: block.map_or(writer.block_bytes, |bytes| bytes as usize),
        ..writer
    };
    let uploads = table.number("uploads", 1..=4)?;
    set(&mut policy.uploads, uploads.map(|count| count as usize));
    let rate = kib(&mut table, "kib_per_second", KIB_MAX)?;
    set(&mut policy.bytes_per_second, rate);
    set(&mut policy.grace, ms(&mut table, "grace_ms")?);
    set(&mut policy.care_interval, ms(&mut table, "care_ms")?);
    let cache = kib(&mut table, "cache_kib", 1 << 30)?;
    table.finish()?;
    let root: ObjectKey = name.parse().expect("a cluster's name is plain");
    let mut tiering = Tiering::below(root);
    tiering.policy = policy;
    set(&mut tiering.cache_bytes, cache.map(|bytes| bytes as usize));
    Ok(Tier2 { url, tiering })
}

/// What a log keeps, by its table, if its history moves: what nodes keep of that, and what is kept at all.
pub(super) fn parse_log(
    table: &mut Table,
    can_move: bool,
) -> Result<Option<(Retention, Retention)>, ConfigError> {
    let wanted = "true or false";
    let tiered = table.flag("tiered", wanted)?.unwrap_or(false);
    if tiered && !can_move {
        let expected = "a table `[tier2]` beside the logs that says where their history moves to";
        return Err(table.invalid("tiered", &true.into(), expected));
    }
    let mut limit = |key, most| {
        let number = table.number(key, 0..=most)?;
        match number {
            Some(number) if !tiered => {
                let expected = "nothing, or `tiered = true` beside it: what does not move is kept until it is trimmed";
                Err(table.invalid(key, &number.into(), expected))
            }
            number => Ok(number),
        }
    };
    let local_kib = limit("local_kib", KIB_MAX)?;
    let local_age_ms = limit("local_age_ms", AGE_MS_MAX)?;
    let total_kib = limit("total_kib", KIB_MAX)?;
    let total_age_ms = limit("total_age_ms", AGE_MS_MAX)?;
    for (key, local, other, total) in [
        ("local_kib", local_kib, "total_kib", total_kib),
        ("local_age_ms", local_age_ms, "total_age_ms", total_age_ms),
    ] {
        if let (Some(local), Some(total)) = (local, total)
            && local > total
        {
            let expected = format!(
                "no more than `{other}`, which is {total}: nodes keep nothing that the log keeps no longer"
            );
            return Err(table.invalid(key, &local.into(), &expected));
        }
    }
    let kept = |kib: Option<u64>, ms: Option<u64>| Retention {
        bytes: kib.map(|kib| kib << 10),
        age: ms.map(Duration::from_millis),
    };
    let (local, total) = (kept(local_kib, local_age_ms), kept(total_kib, total_age_ms));
    Ok(tiered.then_some((local, total)))
}

fn set<T>(to: &mut T, given: Option<T>) {
    if let Some(given) = given {
        *to = given;
    }
}
