//! The second tier of a run: what is drawn of it.

use std::time::Duration;

use hstore_core::ports::object_store::ObjectKey;
use hstore_node::Tiering;
use hstore_tier2::policy::{Policy, Retention};
use hstore_tier2::segment::{Codec, WriterOptions};
use serde::{Deserialize, Serialize};

/// How history is moved to the second tier, and how the object store behaves when nothing is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TieringOptions {
    /// A call takes at least so many microseconds, beside what its bytes take.
    pub latency_us_min: u64,
    /// A call takes at most so many microseconds, beside what its bytes take.
    pub latency_us_max: u64,
    /// So many bytes pass in a second, for each call.
    pub bytes_per_second: u64,
    /// A segment is cut once it has so many bytes.
    pub segment_bytes: u64,
    /// A segment is cut once its first record is so old, in microseconds.
    pub segment_age_us: u64,
    /// How blocks are compressed.
    pub codec: Codec,
    /// A block is cut once it has so many bytes.
    pub block_bytes: u32,
    /// So many uploads of a log go on at a time.
    pub uploads: usize,
    /// The first tier keeps so many bytes of what is in the second.
    pub local_bytes: u64,
    /// So many bytes are kept at all; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
    /// The first tier keeps only what is no older than so many microseconds of what is in the second; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_age_us: Option<u64>,
    /// Only what is no older than so many microseconds is kept at all; all if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_age_us: Option<u64>,
    /// A page of a list of objects has so many at most.
    #[serde(default = "list_page")]
    pub list_page: usize,
    /// What is not needed any more is deleted so long after, in microseconds.
    pub grace_us: u64,
    /// Between two looks for garbage, in microseconds.
    pub care_us: u64,
    /// So many bytes of segments a node keeps for those who read.
    pub cache_bytes: usize,
}

fn list_page() -> usize {
    hstore_tier2::memory::PAGE
}

impl TieringOptions {
    /// Where the history of all logs is moved to, and how.
    #[must_use]
    pub fn tiering(&self) -> Tiering {
        let retention = |bytes, age_us: Option<u64>| Retention {
            bytes,
            age: age_us.map(Duration::from_micros),
        };
        let policy = Policy {
            segment_bytes: self.segment_bytes,
            segment_age: Duration::from_micros(self.segment_age_us),
            uploads: self.uploads,
            bytes_per_second: self.bytes_per_second,
            local: retention(Some(self.local_bytes), self.local_age_us),
            total: retention(self.total_bytes, self.total_age_us),
            grace: Duration::from_micros(self.grace_us),
            care_interval: Duration::from_micros(self.care_us),
            backoff: Duration::from_millis(20),
            writer: WriterOptions {
                codec: self.codec,
                block_bytes: self.block_bytes as usize,
                ..WriterOptions::default()
            },
        };
        Tiering {
            policy,
            cache_bytes: self.cache_bytes,
            ..Tiering::below(root())
        }
    }
}

/// All objects of a run lie below it.
///
/// # Panics
/// Never: it is a key.
#[must_use]
pub fn root() -> ObjectKey {
    "hstore".parse().expect("it is plain")
}
