//! What a reader delivers, as the history tells it.

use hstore_core::Lsn;
use hstore_replicator::reader::GapKind;
use hstore_workloads::record_id;
use jepsen_lite::history::{self, RecordId};

/// A record that is none of ours gets an id that no append has.
pub(crate) fn record(lsn: Lsn, payload: &[u8]) -> (Lsn, RecordId) {
    (lsn, RecordId(record_id(payload).unwrap_or(u64::MAX)))
}

/// A gap from `first` to `last`, both included.
pub(crate) fn gap(kind: GapKind, first: Lsn, last: Lsn) -> history::Gap {
    let kind = match kind {
        GapKind::Bridge => history::GapKind::Bridge,
        GapKind::Hole => history::GapKind::Hole,
        GapKind::DataLoss => history::GapKind::DataLoss,
        GapKind::Trim => history::GapKind::Trim,
    };
    history::Gap { kind, first, last }
}
