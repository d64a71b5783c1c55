//! What a read or a poll shows, position by position, whatever tail it took.
//!
//! This takes answers at their word, in the order of positions. That a read contradicts itself is found
//! elsewhere.

use crate::anomaly::Seen;
use crate::history::{ReadAnswer, after, position};

/// A record or a gap that was shown, with its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) first: u64,
    /// Above its last position.
    pub(crate) end: u64,
    pub(crate) seen: Seen,
}

/// All that is shown, by rising first position.
pub(crate) fn pieces(read: &ReadAnswer<'_>, into: &mut Vec<Piece>) {
    into.clear();
    into.extend(read.records.iter().map(|&(lsn, record)| Piece {
        first: lsn.as_u64(),
        end: after(lsn.as_u64()),
        seen: Seen::Record { record },
    }));
    into.extend(read.gaps.iter().map(|gap| Piece {
        first: position(gap.first),
        end: after(gap.last.as_u64()),
        seen: Seen::Gap { kind: gap.kind },
    }));
    // Two sorted runs, mostly: a stable sort merges them.
    into.sort_by_key(|piece| piece.first);
}

/// The position above all that is shown; its start if nothing is.
pub(crate) fn end_of_shown(read: &ReadAnswer<'_>) -> u64 {
    let records = read.records.iter().map(|(lsn, _)| lsn.as_u64());
    let gaps = read.gaps.iter().map(|gap| gap.last.as_u64());
    let start = position(read.from);
    records
        .chain(gaps)
        .max()
        .map_or(start, |last| after(last).max(start))
}

/// Whether the limit may have held something back.
pub(crate) fn is_cut(read: &ReadAnswer<'_>) -> bool {
    read.records.len() as u64 >= u64::from(read.limit)
}
