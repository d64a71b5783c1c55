//! A node's local store: copies of records by log and LSN, and small metadata by key.
//!
//! A batch is applied whole or, after a crash, not at all. What was applied is seen by later calls
//! at once, and survives a crash once a `sync` that began after it has returned; without one it
//! may survive or not, but batches survive in the order in which they were applied, without gaps.

use bytes::Bytes;

use crate::ids::{LogId, Lsn, Offset};
use crate::node_set::NodeSet;
use crate::ports::file_system::FileError;
use crate::record::{Entry, StoredCopy};
use crate::time::WallTime;

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum StoreOp {
    /// Stores a copy unless one of higher precedence stands there.
    Put {
        /// The log.
        log: LogId,
        /// The place.
        lsn: Lsn,
        /// The copy.
        copy: StoredCopy,
    },
    /// Stores a copy whatever stands there, if anything does: repairs a copy that went bad.
    Replace {
        /// The log.
        log: LogId,
        /// The place.
        lsn: Lsn,
        /// The copy.
        copy: StoredCopy,
    },
    /// Moves a sequencer's copy to a later wave and copyset without sending its payload again. A
    /// copy of higher precedence is left alone.
    Amend {
        /// The log.
        log: LogId,
        /// The place.
        lsn: Lsn,
        /// The wave the copy now belongs to.
        wave: u32,
        /// The nodes of that wave.
        copyset: NodeSet,
    },
    /// Removes all copies from `first` to `last`, both included.
    DeleteRange {
        /// The log.
        log: LogId,
        /// The first LSN to go.
        first: Lsn,
        /// The last LSN to go.
        last: Lsn,
    },
    /// Sets a piece of metadata.
    PutMeta {
        /// Its key.
        key: Bytes,
        /// Its value.
        value: Bytes,
    },
}

/// What an operation of a batch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Applied {
    /// Done as asked.
    Done,
    /// A copy of higher precedence stands there and was kept.
    Kept,
    /// An amend found no copy to amend.
    Missing,
}

/// Why the store failed. It accepts nothing more after that: reopen it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A file operation failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// The storage engine failed, in its words.
    #[error("the storage engine failed: {0}")]
    Engine(String),
    /// What is stored cannot be understood.
    #[error("the store is damaged: {0}")]
    Damaged(String),
    /// An earlier operation failed.
    #[error("the store failed before; it must be reopened")]
    Poisoned,
}

/// A copy that is there and cannot be read: its checksum is wrong. It proves nothing, neither a
/// record nor its absence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CorruptCopy;

/// Copies in LSN order, and how far was looked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// What was found.
    pub copies: Vec<(Lsn, Result<StoredCopy, CorruptCopy>)>,
    /// Every copy up to here (of the range asked for) is in `copies`; later ones were not looked
    /// at, because the limit was reached.
    pub passed: Lsn,
}

/// The port.
///
/// # Errors
/// Every method fails with a [`StoreError`]; then nothing is known of what of it became durable.
#[allow(clippy::missing_errors_doc)]
pub trait LogStore {
    /// Applies a batch, not yet durably. One answer for each operation.
    fn apply(&mut self, batch: &[StoreOp]) -> Result<Vec<Applied>, StoreError>;
    /// Makes everything applied so far durable.
    fn sync(&mut self) -> Result<(), StoreError>;
    /// The copies of `log` from `first` to `last`, both included, at most `limit` of them (at
    /// least one).
    fn scan(&mut self, log: LogId, first: Lsn, last: Lsn, limit: usize)
    -> Result<Scan, StoreError>;
    /// All metadata, sorted by key.
    fn metadata(&mut self) -> Result<Vec<(Bytes, Bytes)>, StoreError>;

    /// An LSN from `first` to `last` before which no record of `log` is of `time` or later; `None` if there
    /// is no such record at all. Times do not fall within an epoch, so each is searched in halves. A copy
    /// that cannot be read counts as such a record unless a later one is of an earlier time, and so does
    /// a hole where many stand in a row: the answer may be early, and is never late.
    fn find_time(
        &mut self,
        log: LogId,
        first: Lsn,
        last: Lsn,
        time: WallTime,
    ) -> Result<Option<Lsn>, StoreError> {
        let mut from = first;
        loop {
            let Some((found, _)) = self.scan(log, from, last, 1)?.copies.pop() else {
                return Ok(None);
            };
            let end = last.min(Lsn::end_of(found.epoch));
            let in_epoch = find_time_in_epoch(self, log, found, end, time)?;
            if in_epoch.is_some() || end == last {
                return Ok(in_epoch);
            }
            from = Lsn::before(found.epoch.next());
        }
    }
}

/// So many holes and unreadable copies in a row are looked through for a record.
const UNDATED_MAX: usize = 64;

fn find_time_in_epoch<S: LogStore + ?Sized>(
    store: &mut S,
    log: LogId,
    first: Lsn,
    last: Lsn,
    time: WallTime,
) -> Result<Option<Lsn>, StoreError> {
    let lsn = |offset| Lsn::at(first.epoch, Offset(offset));
    // All records below `low` are earlier; from `high` on none is known to be, and the first copy of
    // those that may be a record is `found`.
    let (mut low, mut high) = (u64::from(first.offset.0), u64::from(last.offset.0) + 1);
    let mut found = None;
    // Most of an epoch's offsets lie behind its last record, so the first steps are short, and each is
    // twice the one before it: the search takes as long as the records are many, not the offsets.
    let mut step = 1u64;
    while low < high {
        let middle = low + ((high - low) / 2).min(step);
        step = step.saturating_mul(2);
        let (from, to) = (lsn(middle as u32), lsn((high - 1) as u32));
        let mut copies = store.scan(log, from, to, 1)?.copies;
        if matches!(&copies[..], [(at, copy)] if time_at(log, *at, copy).is_none()) {
            copies = store.scan(log, from, to, UNDATED_MAX)?.copies;
        }
        // The first record whose time is known tells of all before it.
        let times = copies.iter().map(|(at, copy)| time_at(log, *at, copy));
        let dated = times.clone().position(|it| it.is_some());
        let known = dated.and_then(|dated| Some((copies[dated].0, times.clone().nth(dated)??)));
        match known {
            Some((at, known)) if known < time => low = u64::from(at.offset.0) + 1,
            _ => {
                let full = copies.len() >= UNDATED_MAX;
                let mut possible = copies.into_iter().filter(|(_, copy)| {
                    let no_record = |copy: &StoredCopy| !matches!(copy.entry, Entry::Record(_));
                    full || !copy.as_ref().is_ok_and(no_record)
                });
                found = possible.next().map(|(at, _)| at).or(found);
                high = middle;
            }
        }
    }
    Ok(found)
}

/// The time of a copy; `None` if it is no record, or is not in order.
fn time_at(log: LogId, lsn: Lsn, copy: &Result<StoredCopy, CorruptCopy>) -> Option<WallTime> {
    match copy {
        Ok(StoredCopy {
            entry: Entry::Record(it),
            ..
        }) if it.belongs_at(log, lsn) => Some(it.stamp.time),
        _ => None,
    }
}
