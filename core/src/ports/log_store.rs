//! A node's local store: copies of records by log and LSN, and small metadata by key.
//!
//! A batch is applied whole or, after a crash, not at all. What was applied is seen by later calls
//! at once, and survives a crash once a `sync` that began after it has returned; without one it
//! may survive or not, but batches survive in the order in which they were applied, without gaps.

use bytes::Bytes;

use crate::ids::{LogId, Lsn};
use crate::node_set::NodeSet;
use crate::ports::file_system::FileError;
use crate::record::StoredCopy;

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
}
