//! The log as a sequential machine: what one client, alone, may be answered.
//!
//! This knows nothing of time and concurrency. It is deliberately simple, and shares no decision
//! with the checkers: [`replay`](crate::replay) runs their witnesses through it.

use crate::history::{ReadAnswer, RecordId, after, position};

/// The state of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogModel {
    /// By rising LSN.
    records: Vec<(u64, RecordId)>,
    /// No record will be put below this: somebody has seen all that is there.
    floor: u64,
}

/// An answer that the log cannot give in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The record is put below another one, or where the log was seen to be settled.
    #[error("the record is not put at the end of the log")]
    NotAtEnd,
    /// The tail is not above all records.
    #[error("the tail is not above all records")]
    TailTooLow,
    /// The read does not show the records that are there.
    #[error("the read does not show the records that are there")]
    OtherRecords,
    /// The read leaves an LSN out, speaks of one twice, or speaks of one outside of its range.
    #[error("the read does not say one thing of each LSN that it passes")]
    NotTiled,
}

impl LogModel {
    pub(crate) fn append(&mut self, lsn: u64, record: RecordId) -> Result<(), Illegal> {
        if lsn < self.floor || lsn < self.end() {
            return Err(Illegal::NotAtEnd);
        }
        self.records.push((lsn, record));
        Ok(())
    }

    pub(crate) fn tail(&mut self, tail: u64) -> Result<(), Illegal> {
        if tail < self.end() {
            return Err(Illegal::TailTooLow);
        }
        self.floor = self.floor.max(tail);
        Ok(())
    }

    pub(crate) fn read(&mut self, read: &ReadAnswer<'_>) -> Result<(), Illegal> {
        let (from, end) = (position(read.from), read.end());
        let first = self.records.partition_point(|&(lsn, _)| lsn < from);
        let there = self.records[first..].iter();
        let there = there.copied().take_while(|&(lsn, _)| lsn < end);
        let shown = read.records.iter().map(|&(lsn, id)| (lsn.as_u64(), id));
        if !there.eq(shown) {
            return Err(Illegal::OtherRecords);
        }
        if !is_tiled(read, from, end) {
            return Err(Illegal::NotTiled);
        }
        if read.reached_tail() {
            self.tail(read.tail())?;
        } else if end > from {
            self.floor = self.floor.max(end);
        }
        Ok(())
    }

    /// Just above the last record.
    fn end(&self) -> u64 {
        self.records.last().map_or(0, |&(lsn, _)| after(lsn))
    }
}

/// Whether records and gaps cover `[from, end)` without overlap.
fn is_tiled(read: &ReadAnswer<'_>, from: u64, end: u64) -> bool {
    let records = read.records.iter().map(|(lsn, _)| lsn.as_u64());
    let records = records.map(|lsn| (lsn, after(lsn)));
    if read.gaps.is_empty() {
        return tiles(records, from, end);
    }
    let gaps = read.gaps.iter();
    let gaps = gaps.map(|gap| (position(gap.first), after(gap.last.as_u64())));
    let mut pieces: Vec<(u64, u64)> = records.chain(gaps).collect();
    pieces.sort();
    tiles(pieces.into_iter(), from, end)
}

fn tiles(mut pieces: impl Iterator<Item = (u64, u64)>, from: u64, end: u64) -> bool {
    let reached = pieces.try_fold(from, |cursor, (first, next)| {
        (first == cursor).then_some(next)
    });
    reached == Some(end)
}
