//! What is to be uploaded, handed over and given up, as functions of what there is: the planner.

use std::time::Duration;

use hstore_core::{Lsn, WallTime, planted};

use crate::manifest::{Manifest, SegmentRef};
use crate::segment::WriterOptions;

/// How history is moved, and how long it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// A segment is cut once it has so many bytes, before compression.
    pub segment_bytes: u64,
    /// A segment is cut once its first record is so old.
    pub segment_age: Duration,
    /// So many segments are uploaded at a time.
    pub uploads: usize,
    /// So many bytes a second go to the object store and come back from it, in the long run.
    pub bytes_per_second: u64,
    /// What stays in the first tier of what is in the second, too.
    pub local: Retention,
    /// What stays at all.
    pub total: Retention,
    /// What was put or dropped is deleted so long after, at the earliest: readers that were sent there, and
    /// puts that are still under way, have ended by then.
    pub grace: Duration,
    /// Between two looks for garbage, and between two segments that are read to see whether they are in order.
    pub care_interval: Duration,
    /// A call that failed is made again so long after, and each further time twice as long.
    pub backoff: Duration,
    /// How segments are made.
    pub writer: WriterOptions,
}

impl Default for Policy {
    fn default() -> Self {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        Self {
            segment_bytes: 64 << 20,
            segment_age: minutes(10),
            uploads: 2,
            bytes_per_second: 100 << 20,
            local: Retention::default(),
            total: Retention::default(),
            grace: minutes(60),
            care_interval: minutes(10),
            backoff: Duration::from_millis(200),
            writer: WriterOptions::default(),
        }
    }
}

/// What is kept: what lies within both limits. Without any, all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// The newest so many bytes of payload.
    pub bytes: Option<u64>,
    /// What is no older than this.
    pub age: Option<Duration>,
}

impl Retention {
    /// The last of the oldest segments that need not be kept, where `newer` bytes lie behind all of them.
    fn beyond<'a>(
        &self,
        segments: impl DoubleEndedIterator<Item = &'a SegmentRef> + Clone,
        newer: u64,
        now: WallTime,
    ) -> Option<Lsn> {
        // From the newest on: the first segment behind which enough lies.
        let mut behind = newer;
        if planted!("retention-double-count") {
            behind += segments.clone().map(|it| it.payload_bytes).sum::<u64>();
        }
        let by_bytes = self.bytes.and_then(|bytes| {
            segments.clone().rev().find_map(|it| {
                let enough = behind >= bytes;
                behind += it.payload_bytes;
                enough.then_some(it.intent.last)
            })
        });
        // From the oldest on: what follows one that is kept is kept.
        let by_age = self.age.and_then(|age| {
            let is_old = |it: &&SegmentRef| is_older(it.latest, age, now);
            segments.take_while(is_old).last().map(|it| it.intent.last)
        });
        by_bytes.max(by_age)
    }
}

/// Whether what was at `at` is longer ago than `age`.
pub(crate) fn is_older(at: WallTime, age: Duration, now: WallTime) -> bool {
    let millis = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    at.0.saturating_add(millis) < now.0
}

/// Up to where the first tier need not hold what the second does: nothing from a segment on that is not in order.
/// `newer` bytes of payload are not in the second yet.
#[must_use]
pub fn hand_upto(manifest: &Manifest, policy: &Policy, newer: u64, now: WallTime) -> Option<Lsn> {
    let is_sound = |it: &&SegmentRef| manifest.anomaly(it.intent.id).is_none();
    let sound = manifest.segments().take_while(is_sound).last()?.intent.last;
    let beyond = policy.local.beyond(manifest.segments(), newer, now)?;
    Some(beyond.min(sound))
}

/// Up to where the log is to be given up. A record counts once, wherever it lies.
#[must_use]
pub fn trim_upto(manifest: &Manifest, policy: &Policy, newer: u64, now: WallTime) -> Option<Lsn> {
    policy.total.beyond(manifest.segments(), newer, now)
}
