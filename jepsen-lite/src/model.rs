//! The log as a sequential machine: what one client, alone, may be answered.
//!
//! This knows nothing of time and concurrency. It is deliberately simple, and shares no decision
//! with the checkers: [`replay`](crate::replay) runs their witnesses through it.

use std::borrow::Cow;

use hstore_core::{Epoch, Lsn};

use crate::facts::seek;
use crate::history::{GapKind, Mismatch, ReadAnswer, RecordId, Terms, Token, after, position};

/// The state of a log.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogModel {
    /// By rising LSN.
    records: Vec<(Lsn, RecordId)>,
    /// No record will be put below this: somebody has seen all that is there.
    floor: u64,
    /// The token that was set last.
    token: Option<Token>,
    /// Lower epochs are ended.
    epoch: Epoch,
    /// Where the last read began among the records: the next one begins close to it.
    hint: usize,
}

/// An answer that the log cannot give in this state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Illegal {
    /// The record is put below another one, or where the log was seen to be settled.
    #[error("the record is not put at the end of the log")]
    NotAtEnd,
    /// The epoch of the record is ended.
    #[error("the epoch of the record is ended")]
    EpochEnded,
    /// The append is accepted, but what it demands is not so.
    #[error("what the append demands is not so")]
    Accepted,
    /// The append is refused, but what it demands is so.
    #[error("what the append demands is so")]
    Refused,
    /// The append is told of a last record or a token that are not those.
    #[error("the last record or the token is another one")]
    ToldWrong,
    /// The tail is not above all records.
    #[error("the tail is not above all records")]
    TailTooLow,
    /// The read does not show the records that are there.
    #[error("the read does not show the records that are there")]
    OtherRecords,
    /// The read leaves an LSN out, speaks of one twice, or speaks of one outside of its range.
    #[error("the read does not say one thing of each LSN that it passes")]
    NotTiled,
    /// Nobody has given up what is said to be given up.
    #[error("nobody has given up what is said to be given up")]
    NotGivenUp,
}

impl LogModel {
    pub(crate) fn append(
        &mut self,
        lsn: u64,
        record: RecordId,
        terms: Terms,
    ) -> Result<(), Illegal> {
        if lsn < self.floor || lsn < self.end() {
            return Err(Illegal::NotAtEnd);
        }
        if Lsn::from_u64(lsn).epoch < self.epoch {
            return Err(Illegal::EpochEnded);
        }
        if !self.has(terms) {
            return Err(Illegal::Accepted);
        }
        self.records.push((Lsn::from_u64(lsn), record));
        self.token = terms.sets.or(self.token);
        Ok(())
    }

    /// An append that demands `terms` is refused.
    pub(crate) fn mismatch(&self, terms: Terms, told: Mismatch) -> Result<(), Illegal> {
        if self.has(terms) {
            return Err(Illegal::Refused);
        }
        let is_last = told.last.is_none_or(|last| last == self.last());
        if is_last && told.token.is_none_or(|token| token == self.token) {
            Ok(())
        } else {
            Err(Illegal::ToldWrong)
        }
    }

    /// Whether all that an append demands is so.
    fn has(&self, terms: Terms) -> bool {
        terms.last.is_none_or(|last| last == self.last())
            && (terms.token.is_none() || terms.token == self.token)
    }

    pub(crate) fn tail(&mut self, tail: u64) -> Result<(), Illegal> {
        if tail < self.end() {
            return Err(Illegal::TailTooLow);
        }
        self.floor = self.floor.max(tail);
        Ok(())
    }

    /// All epochs below `epoch` are ended.
    pub(crate) fn seal(&mut self, epoch: Epoch, tail: u64) -> Result<(), Illegal> {
        self.epoch = self.epoch.max(epoch);
        self.tail(tail)
    }

    /// All from `from` on is said to be given up, where it is up to `given_up`.
    pub(crate) fn trimmed(&self, from: Lsn, given_up: u64) -> Result<(), Illegal> {
        if position(from) <= given_up {
            Ok(())
        } else {
            Err(Illegal::NotGivenUp)
        }
    }

    /// A read or a poll, where all up to what `given_up` says is given up.
    pub(crate) fn read(
        &mut self,
        read: &ReadAnswer<'_>,
        given_up: impl Fn() -> u64,
    ) -> Result<(), Illegal> {
        let from = position(read.from);
        let first = seek(&self.records, self.hint, |(lsn, _)| lsn.as_u64() < from);
        self.hint = first;
        let reach = read.reach();
        let end = reach.end;
        let there = self.records[first..].get(..read.records.len());
        let next = self.records.get(first + read.records.len());
        let shows_all =
            there == Some(read.records) && next.is_none_or(|(lsn, _)| lsn.as_u64() >= end);
        if !shows_all && !self.shows_rest(read, first, end) {
            return Err(Illegal::OtherRecords);
        }
        if !reach.is_seamless && !is_tiled(read, from, end) {
            return Err(Illegal::NotTiled);
        }
        let mut trims = read.gaps.iter().filter(|gap| gap.kind == GapKind::Trim);
        if trims.any(|gap| gap.last.as_u64() > given_up()) {
            return Err(Illegal::NotGivenUp);
        }
        if reach.reached_tail {
            self.tail(read.tail())?;
        } else if end > from {
            self.floor = self.floor.max(end);
        }
        Ok(())
    }

    /// Whether a read shows what is left from a record on below `end`: all of which it does not say that
    /// it is given up.
    fn shows_rest(&self, read: &ReadAnswer<'_>, first: usize, end: u64) -> bool {
        let trims = read.gaps.iter().filter(|gap| gap.kind == GapKind::Trim);
        let trims: Vec<_> = trims.map(|gap| gap.first..=gap.last).collect();
        let there = self.records[first..].iter();
        let there = there.take_while(|(lsn, _)| lsn.as_u64() < end);
        there
            .filter(|(lsn, _)| !trims.iter().any(|trim| trim.contains(lsn)))
            .eq(read.records)
    }

    /// Just above the last record.
    fn end(&self) -> u64 {
        self.records
            .last()
            .map_or(0, |(lsn, _)| after(lsn.as_u64()))
    }

    fn last(&self) -> Lsn {
        let last = self.records.last();
        last.map_or(Lsn::MIN, |(lsn, _)| *lsn)
    }
}

/// Whether records and gaps cover `[from, end)` without overlap; the records rise.
fn is_tiled(read: &ReadAnswer<'_>, from: u64, end: u64) -> bool {
    let mut gaps = Cow::Borrowed(read.gaps);
    if !gaps.is_sorted_by_key(|gap| gap.first) {
        gaps.to_mut().sort_by_key(|gap| gap.first);
    }
    let mut gaps = gaps.iter().peekable();
    let mut cursor = from;
    for (lsn, _) in read.records {
        let lsn = lsn.as_u64();
        while cursor != lsn {
            let Some(gap) = gaps.next_if(|gap| position(gap.first) == cursor) else {
                return false;
            };
            cursor = after(gap.last.as_u64());
        }
        cursor = after(lsn);
    }
    for gap in gaps {
        if position(gap.first) != cursor {
            return false;
        }
        cursor = after(gap.last.as_u64());
    }
    cursor == end
}
