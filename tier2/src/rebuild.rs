//! The manifest from the object store alone: for a log whose registers are lost.
//!
//! The newest copy that is in order says it, but for what was moved after it was put: segments that it does not know
//! say that themselves, and all of it where there is no copy. Their keys say what they are, and each is read as a
//! whole to see that it is. What was put there had been released, so a segment that was never committed tells nothing
//! that is not so; of those that overlap, those are taken that make the longest row.
//!
//! What was given up does not come back where a copy says so. Where there is none, a put that came late, after what it
//! put had been given up, may make the longest row: it is told that there is more behind it.
//!
//! Of several histories of a log, the one that began last is looked at.
//!
//! It is told what was found wanting. Records that never came to the second tier cannot be had from it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use hstore_core::ports::object_store::{
    Listed, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey, ObjectStore,
};
use hstore_core::{LogId, Lsn};
use xxhash_rust::xxh3::xxh3_128;

use crate::manifest::{Intent, Manifest, ManifestError, ObjectName, SegmentRef, log_prefix};
use crate::segment::{Segment, SegmentError};

/// Objects are got in pieces of this, in bytes.
const PIECE: u64 = 16 << 20;

/// What was found of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// What lies in the second tier. Nothing is under way, nothing waits for being deleted.
    pub manifest: Manifest,
    /// The copy it is from; `None` if it was made of the segments.
    pub copy: Option<ObjectKey>,
    /// What was found wanting.
    pub wanting: Vec<Wanting>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wanting {
    /// A copy of the manifest cannot be read.
    #[error("the copy `{0}` of the manifest is passed over: {1}")]
    Copy(ObjectKey, ManifestError),
    /// A segment that the manifest knows is not there, or is not so long.
    #[error("the segment `{0}` is not there, or is of another length")]
    Segment(ObjectKey),
    /// A segment is passed over.
    #[error("the segment `{0}` is passed over: {1}")]
    Damaged(ObjectKey, SegmentError),
    /// A segment is passed over, as it is another one.
    #[error(
        "the segment `{0}` is passed over: what lies there is of another log, or of another range"
    )]
    Other(ObjectKey),
    /// There are older segments, and nothing tells of all that lies between.
    #[error(
        "there are segments of {0} and behind that do not reach to {1}, where the manifest begins"
    )]
    Before(Lsn, Lsn),
    /// There are newer segments, and nothing tells of all that lies between.
    #[error(
        "there are segments behind {0}, where the manifest ends, up to {1}, that do not begin there"
    )]
    Behind(Lsn, Lsn),
}

/// Finds out what lies of `log` below `root`. Nothing is changed.
///
/// # Errors
/// If the store fails.
pub fn rebuild(
    store: &mut dyn ObjectStore,
    root: &ObjectKey,
    log: LogId,
) -> Result<Rebuilt, ObjectError> {
    let prefix = log_prefix(root, log);
    let mut objects = list(store, &prefix)?;
    // Of the history that began last: those before it were given up when the log was begun anew.
    let born = |it: &Listed| match ObjectName::read(&it.key, &prefix)? {
        ObjectName::Copy { born, .. }
        | ObjectName::Segment(Intent { born, .. })
        | ObjectName::Marker { born, .. } => Some(born),
    };
    let newest = objects.iter().filter_map(born).max();
    objects.retain(|it| born(it) == newest);
    let mut wanting = Vec::new();
    let copies = objects
        .iter()
        .filter_map(|it| match ObjectName::read(&it.key, &prefix) {
            Some(ObjectName::Copy { epoch, version, .. }) => Some(((epoch, version), it)),
            _ => None,
        });
    let copies: BTreeMap<_, &Listed> = copies.collect();
    for copy in copies.values().rev() {
        let bytes = get(store, copy)?;
        // No bytes are a manifest of nothing to a register, and none to whoever has lost it.
        let is_whole = !bytes.is_empty() && bytes.len() as u64 == copy.bytes;
        let read = is_whole.then(|| Manifest::decode(&bytes));
        match read.unwrap_or(Err(ManifestError::Damaged)) {
            Ok(manifest) => {
                let lengths: BTreeMap<&ObjectKey, u64> =
                    objects.iter().map(|it| (&it.key, it.bytes)).collect();
                for it in manifest.segments() {
                    let key = it.intent.key(root, log);
                    if lengths.get(&key) != Some(&it.file_bytes) {
                        wanting.push(Wanting::Segment(key));
                    }
                }
                // What was announced may have been committed since.
                let committed = manifest.segments().map(|it| it.intent);
                let dropped = manifest.dropped().map(|it| it.intent);
                let known: BTreeSet<_> = committed.chain(dropped).map(|it| it.id).collect();
                let manifest = manifest.settled();
                // Where nothing is left of it, a put may have come late of what had been given up.
                let is_given_up =
                    |it: &Intent| manifest.next().is_none() && it.last <= manifest.given_up();
                let known = |it: &Intent| known.contains(&it.id) || is_given_up(it);
                let all = segments(store, (root, log), &objects, &known, &mut wanting)?;
                let row = match manifest.next() {
                    None => tiled(all, &mut wanting),
                    Some(next) => behind(next, all, &mut wanting),
                };
                return Ok(Rebuilt {
                    manifest: manifest.extended(row),
                    copy: Some(copy.key.clone()),
                    wanting,
                });
            }
            Err(error) => wanting.push(Wanting::Copy(copy.key.clone(), error)),
        }
    }
    let all = segments(store, (root, log), &objects, &|_| false, &mut wanting)?;
    Ok(Rebuilt {
        manifest: Manifest::of(tiled(all, &mut wanting)),
        copy: None,
        wanting,
    })
}

/// The segments of a log that are in order, but for those of which enough is known already.
fn segments(
    store: &mut dyn ObjectStore,
    (root, log): (&ObjectKey, LogId),
    objects: &[Listed],
    known: &dyn Fn(&Intent) -> bool,
    wanting: &mut Vec<Wanting>,
) -> Result<Vec<SegmentRef>, ObjectError> {
    let prefix = log_prefix(root, log);
    let mut segments = Vec::new();
    for object in objects {
        let Some(ObjectName::Segment(intent)) = ObjectName::read(&object.key, &prefix) else {
            continue;
        };
        if known(&intent) {
            continue;
        }
        let bytes = get(store, object)?;
        match Segment::verify(&bytes) {
            Ok(segment) => {
                let info = segment.info();
                if intent.is_of(log, info) {
                    segments.push(SegmentRef::of(intent, info, xxh3_128(&bytes)));
                } else {
                    wanting.push(Wanting::Other(object.key.clone()));
                }
            }
            Err(error) => wanting.push(Wanting::Damaged(object.key.clone(), error)),
        }
    }
    Ok(segments)
}

/// Of the segments, those that make the longest row from `next` on.
fn behind(next: Lsn, mut all: Vec<SegmentRef>, wanting: &mut Vec<Wanting>) -> Vec<SegmentRef> {
    all.sort_by_key(|it| it.intent.first);
    let mut ends = BTreeSet::from([next]);
    let reached = all.iter().filter(|it| {
        let is_reached = ends.contains(&it.intent.first);
        if is_reached {
            ends.insert(it.intent.last.successor());
        }
        is_reached
    });
    let row = longest(&mut reached.cloned().collect::<Vec<_>>());
    let until = row.last().map_or(next, |it| it.intent.last.successor());
    wanting.extend(more_behind(until, &all));
    row
}

/// Of the segments, those that make the longest row; what lies before and behind it is found wanting.
fn tiled(mut segments: Vec<SegmentRef>, wanting: &mut Vec<Wanting>) -> Vec<SegmentRef> {
    let row = longest(&mut segments);
    if let (Some(first), Some(last)) = (row.first(), row.last()) {
        let (from, until) = (first.intent.first, last.intent.last.successor());
        if let Some(oldest) = segments.first().filter(|it| it.intent.first < from) {
            wanting.push(Wanting::Before(oldest.intent.first, from));
        }
        wanting.extend(more_behind(until, &segments));
    }
    row
}

/// What is found wanting where a row of the segments ends before the last of them.
fn more_behind(until: Lsn, segments: &[SegmentRef]) -> Option<Wanting> {
    let furthest = segments.iter().map(|it| it.intent.last.successor()).max()?;
    (furthest > until).then_some(Wanting::Behind(until, furthest))
}

/// Sorts the segments. Of them, those that tile a range and have the most records; of several such, the latest.
fn longest(segments: &mut [SegmentRef]) -> Vec<SegmentRef> {
    segments.sort_by_key(|it| (it.intent.first, it.intent.last, it.intent.id));
    // For each, by where it ends: the most records that a row ending with it has, and the one before it.
    let mut rows: Vec<(u64, Option<usize>)> = Vec::new();
    let mut ending: BTreeMap<Lsn, usize> = BTreeMap::new();
    for (number, it) in segments.iter().enumerate() {
        let before = ending.get(&it.intent.first).copied();
        let records = it.records + before.map_or(0, |before| rows[before].0);
        rows.push((records, before));
        let end = it.intent.last.successor();
        let best = ending.entry(end).or_insert(number);
        // Of two of the same, the later: an upload that was given up may have come late.
        if rows[*best].0 <= records {
            *best = number;
        }
    }
    let ends = ending
        .iter()
        .max_by_key(|(end, number)| (rows[**number].0, **end));
    let mut row: Vec<SegmentRef> = Vec::new();
    let mut next = ends.map(|(_, number)| *number);
    while let Some(number) = next {
        row.push(segments[number].clone());
        next = rows[number].1;
    }
    row.reverse();
    row
}

fn list(store: &mut dyn ObjectStore, prefix: &ObjectKey) -> Result<Vec<Listed>, ObjectError> {
    let mut all: Vec<Listed> = Vec::new();
    loop {
        let ask = ObjectAsk::List {
            prefix: prefix.clone(),
            after: all.last().map(|it| it.key.clone()),
        };
        let ObjectAnswer::Listed { objects, more } = store.call(&ask)? else {
            unreachable!("a list is answered with one");
        };
        all.extend(objects);
        if !more {
            return Ok(all);
        }
    }
}

/// All of an object, or what is left of it if it has become shorter.
fn get(store: &mut dyn ObjectStore, object: &Listed) -> Result<Bytes, ObjectError> {
    let mut whole = BytesMut::new();
    while (whole.len() as u64) < object.bytes {
        let start = whole.len() as u64;
        let ask = ObjectAsk::Get {
            key: object.key.clone(),
            range: start..object.bytes.min(start + PIECE),
        };
        match store.call(&ask) {
            Ok(ObjectAnswer::Got(bytes)) => whole.extend_from_slice(&bytes),
            Ok(_) => unreachable!("a get is answered with bytes"),
            Err(error)
                if matches!(
                    error.kind,
                    ObjectErrorKind::NotFound | ObjectErrorKind::BehindEnd
                ) =>
            {
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(whole.freeze())
}
