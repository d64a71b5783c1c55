//! The manifest: what of a log lies in the second tier, as replicated state.
//!
//! It stands in the log's register and is changed by compare-and-swap, by whoever sequences the log. This is the
//! value and the changes there are, without I/O: each change applies whole, or says why it does not apply and
//! leaves everything as it was. What lies in the object store *follows* from it, never the other way round.
//!
//! # A segment's life
//!
//! 1. An [`Intent`] says which range is to be uploaded under which key, before a byte of it is. Its number is
//!    never used again, so no two uploads share a key.
//! 2. The upload is put, read back and compared.
//! 3. [`Manifest::commit`] makes it part of the log's history, in the order of ranges. Only what is committed
//!    may be trimmed from the first tier.
//! 4. A trim drops it: readers are not sent to it any more. Its object is deleted some time later, when those
//!    who were sent to it before have had time to finish ([`Manifest::drop_upto`], [`Manifest::forget`]).
//!
//! An offloader that was deposed can still put its object. It cannot commit it: the register refuses that, as the
//! one who deposed it has changed the epoch. Its intent is given up by the next offloader ([`Manifest::abort`]),
//! and what it put is garbage.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use hstore_core::ports::object_store::ObjectKey;
use hstore_core::{Epoch, LogId, Lsn, WallTime, crc32c, planted};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use crate::segment::{Finished, SegmentInfo};

/// A manifest has no more segments: nothing is uploaded until some were dropped.
pub const SEGMENTS_MAX: usize = 8_192;
/// Uploads of a log that are under way at a time at most.
pub const INTENTS_MAX: usize = 4;
/// Dropped uploads that wait for being deleted at most; more segments are dropped later.
pub const DROPPED_MAX: usize = 256;

/// Numbers the uploads of a log. Never reused.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct IntentId(pub u64);

/// An upload: what it is to hold, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Intent {
    /// Whose history it is part of: see [`Manifest::born`].
    pub born: WallTime,
    /// Its number.
    pub id: IntentId,
    /// The epoch of the offloader, which is a part of the key.
    pub epoch: Epoch,
    /// The first LSN.
    pub first: Lsn,
    /// The last LSN.
    pub last: Lsn,
}

impl Intent {
    /// Where the upload is put: `<root>/log-7/<born>/e3/<first>-<last>-<id>.seg`, so that keys sort like LSNs.
    ///
    /// # Panics
    /// If `root` is so long that there is no such key.
    #[must_use]
    pub fn key(&self, root: &ObjectKey, log: LogId) -> ObjectKey {
        below(&log_prefix(root, log), &self.name())
    }

    /// Whether a segment is what its key says: of this range of `log`.
    #[must_use]
    pub fn is_of(&self, log: LogId, info: &SegmentInfo) -> bool {
        (info.log, info.first, info.last) == (log, self.first, self.last)
    }

    /// The key below those of the log.
    fn name(&self) -> String {
        let (first, last) = (self.first.as_u64(), self.last.as_u64());
        if planted!("zombie-offloader") {
            return format!("{first:016x}.seg");
        }
        let (born, epoch, id) = (self.born.0, self.epoch.0, self.id.0);
        format!("{born:016x}/e{epoch}/{first:016x}-{last:016x}-{id}.seg")
    }
}

/// A segment that is part of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SegmentRef {
    /// The upload: the range, and the key.
    pub intent: Intent,
    /// How long the object is, in bytes.
    pub file_bytes: u64,
    /// How many of them are the tail.
    pub tail_bytes: u32,
    /// XXH3-128 of the object.
    pub hash: u128,
    /// How many records are in it.
    pub records: u64,
    /// How many bytes of payload they have.
    pub payload_bytes: u64,
    /// The latest time of a record.
    pub latest: WallTime,
}

impl SegmentRef {
    /// The segment that was made for an intent.
    #[must_use]
    pub fn new(intent: Intent, finished: &Finished) -> Self {
        Self::of(intent, &finished.info, finished.hash)
    }

    /// Whether these bytes are the object, all of it.
    #[must_use]
    pub fn is(&self, bytes: &[u8]) -> bool {
        bytes.len() as u64 == self.file_bytes && xxh3_128(bytes) == self.hash
    }

    /// The segment that `info` tells of, and the XXH3-128 of its object.
    #[must_use]
    pub fn of(intent: Intent, info: &SegmentInfo, hash: u128) -> Self {
        Self {
            intent,
            file_bytes: info.file_bytes,
            tail_bytes: info.tail_bytes,
            hash,
            records: info.records,
            payload_bytes: info.payload_bytes,
            latest: info.latest,
        }
    }
}

/// An upload that is part of the log no more, or never was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Dropped {
    /// The upload.
    pub intent: Intent,
    /// When it was dropped, by the clock of the node that did.
    pub at: WallTime,
}

/// What is wrong with a segment's object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Anomaly {
    /// It is not there.
    Missing,
    /// It is not what was committed.
    Damaged,
}

/// What an object is, by its key below those of its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectName {
    /// An upload: see [`Intent::key`].
    Segment(Intent),
    /// A copy of the manifest.
    Copy {
        /// Whose history it tells of.
        born: WallTime,
        /// The epoch of the offloader.
        epoch: Epoch,
        /// The version of what the register held.
        version: u64,
    },
    /// Shows that this is the store that history was moved to: see [`marker_key`].
    Marker {
        /// Whose history it is of.
        born: WallTime,
        /// Its number: see [`Manifest::marker`].
        number: u64,
    },
}

impl ObjectName {
    /// What lies under `key`, where all of the log's objects lie below `prefix`; `None` if it is none of ours.
    #[must_use]
    pub fn read(key: &ObjectKey, prefix: &ObjectKey) -> Option<Self> {
        let rest = key
            .as_str()
            .strip_prefix(prefix.as_str())?
            .strip_prefix('/')?;
        let hex = |text| u64::from_str_radix(text, 16).ok();
        let (history, name) = rest.split_once('/')?;
        let born = WallTime(hex(history)?);
        if let Some(number) = name.strip_prefix("marker-") {
            let number = number.parse().ok()?;
            let marker = Self::Marker { born, number };
            return (marker_name(born, number) == rest).then_some(marker);
        }
        let (directory, name) = name.split_once('/')?;
        let (read, written) = if directory == "manifest" {
            let (epoch, version) = name.split_once('-')?;
            let epoch = Epoch(u32::try_from(hex(epoch)?).ok()?);
            let version = hex(version)?;
            let written = copy_name(born, epoch, version);
            let copy = Self::Copy {
                born,
                epoch,
                version,
            };
            (copy, written)
        } else {
            let mut parts = name.strip_suffix(".seg")?.split('-');
            let mut next = || parts.next();
            let intent = Intent {
                born,
                first: Lsn::from_u64(hex(next()?)?),
                last: Lsn::from_u64(hex(next()?)?),
                id: IntentId(next()?.parse().ok()?),
                epoch: Epoch(directory.strip_prefix('e')?.parse().ok()?),
            };
            (Self::Segment(intent), intent.name())
        };
        // What only looks like one of ours is somebody else's.
        (written == rest).then_some(read)
    }
}

/// All objects of a log lie below this.
///
/// # Panics
/// If `root` is so long that there is no such key.
#[must_use]
pub fn log_prefix(root: &ObjectKey, log: LogId) -> ObjectKey {
    below(root, &format!("log-{}", log.0))
}

/// Where a copy of the manifest is put.
///
/// # Panics
/// If `root` is so long that there is no such key.
#[must_use]
pub(crate) fn copy_key(
    root: &ObjectKey,
    log: LogId,
    born: WallTime,
    epoch: Epoch,
    version: u64,
) -> ObjectKey {
    below(&log_prefix(root, log), &copy_name(born, epoch, version))
}

/// Where a marker of a history is put: see [`Manifest::marker`].
///
/// # Panics
/// If `root` is so long that there is no such key.
#[must_use]
pub fn marker_key(root: &ObjectKey, log: LogId, born: WallTime, number: u64) -> ObjectKey {
    below(&log_prefix(root, log), &marker_name(born, number))
}

/// All objects of one history of a log lie below this.
///
/// # Panics
/// If `root` is so long that there is no such key.
#[must_use]
pub fn history_prefix(root: &ObjectKey, log: LogId, born: WallTime) -> ObjectKey {
    below(&log_prefix(root, log), &format!("{:016x}", born.0))
}

fn below(prefix: &ObjectKey, name: &str) -> ObjectKey {
    let key = prefix.child(name);
    key.expect("a root leaves room for a key")
}

/// The key of a copy of the manifest, below those of its log.
fn copy_name(born: WallTime, epoch: Epoch, version: u64) -> String {
    format!("{:016x}/manifest/{:08x}-{version:016x}", born.0, epoch.0)
}

/// The key of a history's marker, below those of its log.
fn marker_name(born: WallTime, number: u64) -> String {
    format!("{:016x}/marker-{number}", born.0)
}

/// What of a log lies in the second tier.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Manifest {
    /// When the history began, by the clock of the node that began it; 0 if none has. It names the history: a log
    /// that is begun anew under an old name, because its nodes were lost, say, knows none of the old objects for its
    /// own, and harms none.
    born: WallTime,
    /// Oldest first, each where the one before it ends.
    segments: VecDeque<SegmentRef>,
    /// Uploads under way, each where the one before it ends, the first behind the segments.
    intents: VecDeque<Intent>,
    /// Where the next intent begins: behind everything; at first, where the log begins.
    next: Option<Lsn>,
    /// The next intent's number.
    next_id: IntentId,
    /// Uploads whose objects are to be deleted, in the order in which they were dropped.
    dropped: VecDeque<Dropped>,
    /// Segments that were found not to be in order.
    anomalies: BTreeMap<IntentId, Anomaly>,
    /// The marker's number; 0 if there was none yet.
    marker: u64,
    /// The trim up to which something was dropped last.
    given_up: Lsn,
}

/// Why a change does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NotApplied {
    /// It does not begin where the manifest ends.
    #[error("the upload begins at {found}, {expected} is next")]
    Place {
        /// Where the manifest ends.
        expected: Lsn,
        /// Where the upload begins.
        found: Lsn,
    },
    /// There are as many as there can be.
    #[error("{INTENTS_MAX} uploads are under way, or the log has {SEGMENTS_MAX} segments")]
    Full,
    /// There is no such upload, or it is not the first of those under way.
    #[error("upload {} is not the next to be committed", .0.0)]
    NotNext(IntentId),
    /// The upload is not of that range or that epoch.
    #[error("upload {} is of another range or epoch", .0.0)]
    Other(IntentId),
}

impl Manifest {
    /// A manifest of these segments, oldest first, each where the one before it ends.
    ///
    /// # Panics
    /// If they do not tile.
    #[must_use]
    pub fn of(segments: Vec<SegmentRef>) -> Self {
        for pair in segments.windows(2) {
            let (end, begin) = (pair[0].intent.last, pair[1].intent.first);
            assert_eq!(end.successor(), begin, "segments tile");
        }
        let ids = segments.iter().map(|it| it.intent.id.0.saturating_add(1));
        Self {
            born: segments
                .first()
                .map(|it| it.intent.born)
                .unwrap_or_default(),
            next_id: IntentId(ids.max().unwrap_or(0)),
            next: segments.last().map(|it| it.intent.last.successor()),
            segments: segments.into(),
            ..Self::default()
        }
    }

    /// The same without what is under way or waits for being deleted: their objects are garbage. The numbers that
    /// they have are not given again.
    #[must_use]
    pub fn settled(self) -> Self {
        let next = self.segments.back().map(|it| it.intent.last.successor());
        Self {
            next,
            intents: VecDeque::new(),
            dropped: VecDeque::new(),
            ..self
        }
    }

    /// The same with segments behind it, where no register is there that could say whether they are part of the log.
    ///
    /// # Panics
    /// If they do not begin where it ends, or do not tile.
    #[must_use]
    pub(crate) fn extended(self, row: Vec<SegmentRef>) -> Self {
        let all: Vec<SegmentRef> = self.segments.iter().cloned().chain(row).collect();
        let longer = Self::of(all);
        Self {
            next: longer.next,
            next_id: longer.next_id.max(self.next_id),
            segments: longer.segments,
            ..self
        }
    }

    /// When the history began, if it has.
    #[must_use]
    pub fn born(&self) -> Option<WallTime> {
        Some(self.born).filter(|it| *it > WallTime(0))
    }

    /// Begins the history, if it has not begun.
    pub fn begin_history(&mut self, now: WallTime) {
        if self.born().is_none() {
            self.born = now.max(WallTime(1));
        }
    }

    /// The number of the marker, if there was one: an object that tells the store that history was moved to from
    /// every other (another bucket, a directory that is not mounted). Where it does not stand, that something is
    /// missing says nothing. Each number is put once, in one store.
    #[must_use]
    pub fn marker(&self) -> Option<u64> {
        Some(self.marker).filter(|it| *it > 0)
    }

    /// Where the marker is put, if there was one.
    ///
    /// # Panics
    /// If `root` is so long that there is no such key.
    #[must_use]
    pub fn marker_key(&self, root: &ObjectKey, log: LogId) -> Option<ObjectKey> {
        let (born, number) = (self.born()?, self.marker()?);
        Some(marker_key(root, log, born, number))
    }

    /// A marker is to be put. Those before it count no more, wherever they stand.
    pub fn renew_marker(&mut self) {
        self.marker += 1;
    }

    /// The segments, oldest first.
    pub fn segments(
        &self,
    ) -> impl DoubleEndedIterator<Item = &SegmentRef> + ExactSizeIterator + Clone {
        self.segments.iter()
    }

    /// The uploads under way.
    pub fn intents(&self) -> impl ExactSizeIterator<Item = &Intent> {
        self.intents.iter()
    }

    /// The uploads whose objects are to be deleted.
    pub fn dropped(&self) -> impl ExactSizeIterator<Item = &Dropped> {
        self.dropped.iter()
    }

    /// Where the next upload begins, if there was any before.
    #[must_use]
    pub fn next(&self) -> Option<Lsn> {
        self.next
    }

    /// Up to here, at least, the log was given up: what lies there does not come back.
    #[must_use]
    pub fn given_up(&self) -> Lsn {
        self.given_up
    }

    /// The last LSN that lies in the second tier, committed; `None` if nothing does.
    #[must_use]
    pub fn last(&self) -> Option<Lsn> {
        Some(self.segments.back()?.intent.last)
    }

    /// The segment in which `lsn` lies.
    #[must_use]
    pub fn segment_of(&self, lsn: Lsn) -> Option<&SegmentRef> {
        let number = self.segments.partition_point(|it| it.intent.last < lsn);
        let segment = self.segments.get(number)?;
        (segment.intent.first <= lsn).then_some(segment)
    }

    /// The bytes of payload in the second tier: each record counts once, whatever the first tier holds.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.segments.iter().map(|it| it.payload_bytes).sum()
    }

    /// Whether the manifest knows of an upload: its object is not garbage.
    #[must_use]
    pub fn knows(&self, epoch: Epoch, id: IntentId) -> bool {
        let segments = self.segments.iter().map(|it| &it.intent);
        let dropped = self.dropped.iter().map(|it| &it.intent);
        let mut all = segments.chain(&self.intents).chain(dropped);
        all.any(|it| (it.epoch, it.id) == (epoch, id))
    }

    /// Announces an upload by the offloader of `epoch`.
    ///
    /// # Errors
    /// If it does not begin where the manifest ends, or too many are under way.
    pub fn begin(&mut self, epoch: Epoch, first: Lsn, last: Lsn) -> Result<Intent, NotApplied> {
        let expected = self.next.unwrap_or(first);
        if first != expected || last < first {
            let found = first;
            return Err(NotApplied::Place { expected, found });
        }
        let segments = self.segments.len() + self.intents.len();
        if self.intents.len() >= INTENTS_MAX || segments >= SEGMENTS_MAX {
            return Err(NotApplied::Full);
        }
        let id = self.next_id;
        let intent = Intent {
            born: self.born,
            id,
            epoch,
            first,
            last,
        };
        self.intents.push_back(intent);
        self.next_id = IntentId(id.0 + 1);
        self.next = Some(last.successor());
        Ok(intent)
    }

    /// Makes a verified upload a part of the log. Where it is one already nothing happens.
    ///
    /// # Errors
    /// If it is not the first upload under way: it was given up, or others come before.
    pub fn commit(&mut self, segment: SegmentRef) -> Result<(), NotApplied> {
        let intent = segment.intent;
        if self.segments.iter().any(|it| it.intent.id == intent.id) {
            return Ok(());
        }
        match self.intents.front() {
            Some(first) if first.id != intent.id => Err(NotApplied::NotNext(intent.id)),
            Some(first) if *first != intent => Err(NotApplied::Other(intent.id)),
            Some(_) => {
                self.intents.pop_front();
                self.segments.push_back(segment);
                Ok(())
            }
            None => Err(NotApplied::NotNext(intent.id)),
        }
    }

    /// Gives up an upload, and those behind it: their objects, if they are put, are deleted later. Where there is
    /// none such, nothing happens.
    pub fn abort(&mut self, id: IntentId, now: WallTime) {
        if let Some(place) = self.intents.iter().position(|it| it.id == id) {
            self.next = Some(self.intents[place].first);
            if planted!("segment-added-twice") {
                // As if the commit of the last segment were not known: its upload is given up, too.
                let last = self.segments.back().map(|it| it.intent);
                last.into_iter().for_each(|it| self.drop_object(it, now));
            }
            for intent in self.intents.split_off(place) {
                self.drop_object(intent, now);
            }
        }
    }

    /// An object is to be deleted. For want of room it may be forgotten: it is garbage all the same.
    fn drop_object(&mut self, intent: Intent, at: WallTime) {
        if self.dropped.len() < DROPPED_MAX {
            self.dropped.push_back(Dropped { intent, at });
        }
    }

    /// Drops the segments of which nothing lies behind `trim`, as long as there is room for them, and then the
    /// uploads of which nothing does: what was given up does not come back. Says whether anything changed.
    pub fn drop_upto(&mut self, trim: Lsn, now: WallTime) -> bool {
        let mut changed = false;
        while let Some(oldest) = self.segments.front()
            && oldest.intent.last <= trim
            && self.dropped.len() < DROPPED_MAX
        {
            let intent = oldest.intent;
            self.drop_object(intent, now);
            self.anomalies.remove(&intent.id);
            self.segments.pop_front();
            changed = true;
        }
        while self.segments.is_empty()
            && let Some(oldest) = self.intents.front().copied()
            && oldest.last <= trim
        {
            self.intents.pop_front();
            self.drop_object(oldest, now);
            changed = true;
        }
        // With nothing left, the next upload begins behind the trim.
        let is_empty = self.segments.is_empty() && self.intents.is_empty();
        if is_empty && self.next.is_some_and(|next| next <= trim) {
            self.next = None;
            changed = true;
        }
        if changed {
            self.given_up = self.given_up.max(trim);
        }
        changed
    }

    /// What was dropped by a clock that was ahead of this one counts as dropped now: it would wait for ever else.
    pub fn set_right(&mut self, now: WallTime) {
        for it in &mut self.dropped {
            it.at = it.at.min(now);
        }
    }

    /// Notes what is wrong with a segment, or that nothing is any more.
    pub fn mark(&mut self, id: IntentId, anomaly: Option<Anomaly>) {
        match anomaly {
            Some(anomaly) if self.segments.iter().any(|it| it.intent.id == id) => {
                self.anomalies.insert(id, anomaly);
            }
            _ => drop(self.anomalies.remove(&id)),
        }
    }

    /// What is wrong with a segment, as far as is known.
    #[must_use]
    pub fn anomaly(&self, id: IntentId) -> Option<Anomaly> {
        self.anomalies.get(&id).copied()
    }

    /// Segments with which something is wrong, as far as is known.
    pub fn anomalies(&self) -> impl ExactSizeIterator<Item = (IntentId, Anomaly)> {
        self.anomalies.iter().map(|(id, anomaly)| (*id, *anomaly))
    }

    /// Forgets a dropped segment: its object is deleted.
    pub fn forget(&mut self, id: IntentId) {
        self.dropped.retain(|it| it.intent.id != id);
    }

    /// As bytes: what the register keeps, and what lies in the object store.
    ///
    /// ```text
    /// | version u8: 1 | CRC32C of what follows u32, little-endian | the manifest in postcard's encoding |
    /// ```
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let body = postcard::to_stdvec(self).expect("plain data can be written");
        let crc32c = crc32c(&body).to_le_bytes();
        [&[VERSION][..], &crc32c, &body].concat().into()
    }

    /// The inverse of [`Manifest::encode`]. No bytes are a manifest of nothing.
    ///
    /// # Errors
    /// If they are no manifest, or one of a later version.
    pub fn decode(bytes: &[u8]) -> Result<Self, ManifestError> {
        let Some((&version, rest)) = bytes.split_first() else {
            return Ok(Self::default());
        };
        if version != VERSION {
            return Err(ManifestError::Version(version));
        }
        let (expected, body) = rest.split_first_chunk().ok_or(ManifestError::Damaged)?;
        if crc32c(body) != u32::from_le_bytes(*expected) {
            return Err(ManifestError::Damaged);
        }
        postcard::from_bytes(body).map_err(|_| ManifestError::Damaged)
    }
}

const VERSION: u8 = 1;

/// Bytes that are not a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It was written by a later build.
    #[error(
        "the manifest is of version {0}, this program reads version {VERSION}: use a later one"
    )]
    Version(u8),
    /// It is not what was written.
    #[error("the manifest is damaged: its checksum is wrong, or it is cut short")]
    Damaged,
}
