//! A recorded history, by columns.
//!
//! Invariants, which only the recorder can establish: operations are numbered in the order of their
//! invocation; event indexes never fall, and rise unless the recording says that events may share one; a
//! process has one open operation at most, and none after one that ended `Info`; an answer fits what was
//! asked; no two appends to a log carry the same record id.
//!
//! An operation costs 54 bytes; a read or a poll 48 more, and 16 for each record that it returned; an
//! append with terms 40 more.

use std::collections::BTreeMap;
use std::ops::Range;

use hstore_core::{Epoch, LogId, Lsn};

use super::event_order::event_order;
use super::later::Later;
use super::op::{
    Call, EventIndex, Gap, Intervals, Mismatch, Moment, OpId, OpKind, Outcome, ProcessId,
    ReadOutcome, RecordId, Source, Status, Subscription, Terms, Token,
};
use super::position::{after, position};

/// The deadline of what may yet take effect.
const NEVER: u64 = u64::MAX;

/// What was asked of some logs and what they answered, complete with the order of events.
#[derive(Clone, Debug, Default)]
pub struct History {
    intervals: Intervals,
    shares_indexes: bool,
    process: Vec<ProcessId>,
    log: Vec<LogId>,
    kind: Vec<OpKind>,
    status: Vec<Status>,
    /// Event indexes: all that the checkers know of time.
    invoked: Vec<u64>,
    /// Above `invoked`; nothing for an operation that is still open, the event that said so for `Info`.
    completed: Later,
    invoked_ns: Vec<u64>,
    /// Above `invoked_ns`.
    completed_ns: Later,
    /// An append's record id; the place of a read or a poll in `reads`; the LSN of a trim; the epoch of
    /// a seal.
    argument: Vec<u64>,
    /// The LSN or the tail that was returned.
    result: Vec<u64>,
    /// An append's place in `terms`, or `PLAIN`.
    terms_at: Vec<u32>,
    terms: Vec<TermsRow>,
    reads: Vec<ReadRow>,
    records: Vec<(Lsn, RecordId)>,
    gaps: Vec<Gap>,
}

/// Stands for "no terms".
const PLAIN: u32 = u32::MAX;

/// What an append demanded and set, and what it was told when it was refused. Options are packed: a row
/// takes less than half of what they would.
#[derive(Clone, Debug, PartialEq, Eq)]
struct TermsRow {
    last: Lsn,
    token: Token,
    sets: Token,
    told_token: Token,
    has_last: bool,
    has_token: bool,
    has_sets: bool,
    is_refused: bool,
    /// Then the last record that it was told of is in the column of results.
    is_told_last: bool,
    is_told_token: bool,
    /// Whether it was told of a token, and not that none was ever set.
    has_told_token: bool,
}

impl TermsRow {
    fn new(terms: Terms) -> Self {
        let Terms { last, token, sets } = terms;
        Self {
            last: last.unwrap_or_default(),
            token: token.unwrap_or_default(),
            sets: sets.unwrap_or_default(),
            told_token: Token::default(),
            has_last: last.is_some(),
            has_token: token.is_some(),
            has_sets: sets.is_some(),
            is_refused: false,
            is_told_last: false,
            is_told_token: false,
            has_told_token: false,
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            last: self.has_last.then_some(self.last),
            token: self.has_token.then_some(self.token),
            sets: self.has_sets.then_some(self.sets),
        }
    }

    /// Notes a refusal, all but the last record that it told of.
    fn refuse(&mut self, mismatch: Mismatch) {
        let told_token = mismatch.token.flatten();
        self.told_token = told_token.unwrap_or_default();
        self.is_refused = true;
        self.is_told_last = mismatch.last.is_some();
        self.is_told_token = mismatch.token.is_some();
        self.has_told_token = told_token.is_some();
    }

    /// The refusal, if it is one; `result` is the last record that it may have told of.
    fn mismatch(&self, result: Lsn) -> Option<Mismatch> {
        let told_token = self.has_told_token.then_some(self.told_token);
        self.is_refused.then(|| Mismatch {
            last: self.is_told_last.then_some(result),
            token: self.is_told_token.then_some(told_token),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ReadRow {
    from: Lsn,
    limit: u32,
    is_final: bool,
    /// Whether it was answered that all of it is trimmed.
    is_trimmed: bool,
    source: Source,
    subscription: Option<Subscription>,
    records_start: u64,
    gaps_start: u64,
    records_len: u32,
    gaps_len: u32,
}

/// Histories are equal if they tell the same; the order in which answers were recorded that share an index
/// does not matter.
impl PartialEq for History {
    fn eq(&self, other: &Self) -> bool {
        let told = |op: Op<'_>| {
            let events = (op.invoked(), op.completed());
            (op.process(), op.log(), op.call(), op.status(), events)
        };
        let same = |(a, b): (Op<'_>, Op<'_>)| told(a) == told(b) && a.answer() == b.answer();
        self.intervals == other.intervals
            && self.shares_indexes == other.shares_indexes
            && self.len() == other.len()
            && self.ops().zip(other.ops()).all(same)
    }
}

impl Eq for History {}

impl History {
    fn records_of(&self, row: &ReadRow) -> &[(Lsn, RecordId)] {
        &self.records[span(row.records_start, row.records_len)]
    }

    fn gaps_of(&self, row: &ReadRow) -> &[Gap] {
        &self.gaps[span(row.gaps_start, row.gaps_len)]
    }

    /// A history in which events may share an index.
    pub(super) fn sharing(intervals: Intervals) -> Self {
        Self {
            intervals,
            shares_indexes: true,
            ..Self::default()
        }
    }

    /// What touching operations are to each other.
    #[must_use]
    pub fn intervals(&self) -> Intervals {
        self.intervals
    }

    /// Whether events may have the same index.
    #[must_use]
    pub fn shares_indexes(&self) -> bool {
        self.shares_indexes
    }

    /// The number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.process.len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.process.is_empty()
    }

    /// All operations, in the order of their invocation.
    pub fn ops(&self) -> impl ExactSizeIterator<Item = Op<'_>> + '_ {
        (0..op_number(self.len())).map(|id| self.op(OpId(id)))
    }

    /// One operation. Panics if it is not one of this history.
    #[must_use]
    pub fn op(&self, id: OpId) -> Op<'_> {
        assert!((id.0 as usize) < self.len(), "{id} is not of this history");
        Op { history: self, id }
    }

    /// The operations by log, each list in the order of invocation.
    #[must_use]
    pub fn by_log(&self) -> BTreeMap<LogId, Vec<OpId>> {
        let mut logs: Vec<Vec<OpId>> = Vec::new();
        let mut slot_of: BTreeMap<LogId, usize> = BTreeMap::new();
        let mut last = None;
        for (id, &log) in (0..op_number(self.len())).zip(&self.log) {
            let slot = match last {
                Some((last_log, slot)) if last_log == log => slot,
                _ => *slot_of.entry(log).or_insert_with(|| {
                    logs.push(Vec::new());
                    logs.len() - 1
                }),
            };
            last = Some((log, slot));
            logs[slot].push(OpId(id));
        }
        slot_of
            .into_iter()
            .map(|(log, slot)| (log, std::mem::take(&mut logs[slot])))
            .collect()
    }

    /// The events in the order of the recording: an operation, and whether it is its invocation
    /// (or else its completion).
    #[must_use]
    pub fn events(&self) -> Vec<(OpId, bool)> {
        let rows = self.process.iter().zip(&self.invoked);
        let rows = rows.enumerate().map(|(at, (&process, &invoked))| {
            let completed = self.completed.get(at, invoked).map(EventIndex);
            (process, EventIndex(invoked), completed)
        });
        event_order(self.intervals, rows)
    }

    /// Whether some append demands or sets something.
    pub(crate) fn has_terms(&self) -> bool {
        !self.terms.is_empty()
    }

    /// How many bytes the history occupies.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        fn of<T>(column: &[T]) -> usize {
            size_of_val(column)
        }
        of(&self.process)
            + of(&self.log)
            + of(&self.kind)
            + of(&self.status)
            + of(&self.invoked)
            + self.completed.memory_bytes()
            + of(&self.invoked_ns)
            + self.completed_ns.memory_bytes()
            + of(&self.argument)
            + of(&self.result)
            + of(&self.terms_at)
            + of(&self.terms)
            + of(&self.reads)
            + of(&self.records)
            + of(&self.gaps)
    }

    /// The recorder's way to add an operation; it has checked that the process is free.
    pub(super) fn push(
        &mut self,
        process: ProcessId,
        log: LogId,
        call: Call,
        invoked: Moment,
    ) -> OpId {
        let id = OpId(op_number(self.len()));
        self.process.push(process);
        self.log.push(log);
        self.kind.push(call.kind());
        self.status.push(Status::Open);
        self.invoked.push(invoked.index.0);
        self.completed.push();
        self.invoked_ns.push(invoked.time_ns);
        self.completed_ns.push();
        self.result.push(0);
        let mut terms_at = PLAIN;
        let argument = match call {
            Call::Append { record, terms } => {
                if terms != Terms::NONE {
                    terms_at = small(self.terms.len());
                    self.terms.push(TermsRow::new(terms));
                }
                record.0
            }
            Call::Tail => 0,
            Call::Trim { upto } => upto.as_u64(),
            Call::Seal { epoch } => u64::from(epoch.0),
            Call::Read {
                from,
                limit,
                is_final,
                source,
            } => self.push_read(ReadRow {
                is_final,
                source,
                ..ReadRow::new(from, limit)
            }),
            Call::Poll {
                from,
                limit,
                subscription,
            } => self.push_read(ReadRow {
                subscription,
                ..ReadRow::new(from, limit)
            }),
        };
        self.argument.push(argument);
        self.terms_at.push(terms_at);
        id
    }

    fn push_read(&mut self, row: ReadRow) -> u64 {
        self.reads.push(row);
        self.reads.len() as u64 - 1
    }

    /// The recorder's way to end an operation; it has checked that it is open and that the outcome
    /// fits.
    pub(super) fn complete(
        &mut self,
        id: OpId,
        status: Status,
        outcome: Option<Outcome>,
        completed: Moment,
    ) {
        let at = id.0 as usize;
        self.status[at] = status;
        let Moment { index, time_ns } = completed;
        self.completed.set(at, self.invoked[at], index.0);
        self.completed_ns.set(at, self.invoked_ns[at], time_ns);
        match outcome {
            None | Some(Outcome::Trim) => {}
            Some(Outcome::Append { lsn }) => self.result[at] = lsn.as_u64(),
            Some(Outcome::Mismatch(mismatch)) => {
                self.terms[self.terms_at[at] as usize].refuse(mismatch);
                self.result[at] = mismatch.last.unwrap_or_default().as_u64();
            }
            Some(Outcome::Tail { tail } | Outcome::Seal { tail }) => {
                self.result[at] = tail.as_u64();
            }
            Some(Outcome::Trimmed { upto }) => {
                self.result[at] = upto.as_u64();
                self.reads[self.argument[at] as usize].is_trimmed = true;
            }
            Some(Outcome::Read(read)) => {
                let row = &mut self.reads[self.argument[at] as usize];
                let takes_tail = self.kind[at] == OpKind::Read && row.source == Source::Log;
                let read = if takes_tail {
                    read
                } else {
                    // Whatever tail it was given means nothing.
                    ReadOutcome::of_poll(read.records, read.gaps)
                };
                self.result[at] = read.tail.as_u64();
                row.records_start = self.records.len() as u64;
                row.records_len = small(read.records.len());
                self.records.extend(read.records);
                row.gaps_start = self.gaps.len() as u64;
                row.gaps_len = small(read.gaps.len());
                self.gaps.extend(read.gaps);
            }
        }
    }
}

impl ReadRow {
    fn new(from: Lsn, limit: u32) -> Self {
        Self {
            from,
            limit,
            is_final: false,
            is_trimmed: false,
            source: Source::Log,
            subscription: None,
            records_start: 0,
            gaps_start: 0,
            records_len: 0,
            gaps_len: 0,
        }
    }
}

fn op_number(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than 2^32 operations in a history")
}

fn small(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than 2^32 entries in one read")
}

/// One operation of a [`History`].
#[derive(Clone, Copy, Debug)]
pub struct Op<'h> {
    history: &'h History,
    id: OpId,
}

impl<'h> Op<'h> {
    fn at(self) -> usize {
        self.id.0 as usize
    }

    /// Its number.
    #[must_use]
    pub fn id(self) -> OpId {
        self.id
    }

    /// Who did it.
    #[must_use]
    pub fn process(self) -> ProcessId {
        self.history.process[self.at()]
    }

    /// The log it was done to.
    #[must_use]
    pub fn log(self) -> LogId {
        self.history.log[self.at()]
    }

    /// What kind of operation it is.
    #[must_use]
    pub fn kind(self) -> OpKind {
        self.history.kind[self.at()]
    }

    /// What was asked.
    #[must_use]
    pub fn call(self) -> Call {
        let argument = self.history.argument[self.at()];
        match self.kind() {
            OpKind::Append => Call::Append {
                record: RecordId(argument),
                terms: self.terms(),
            },
            OpKind::Read => {
                let row = self.read_row();
                Call::Read {
                    from: row.from,
                    limit: row.limit,
                    is_final: row.is_final,
                    source: row.source,
                }
            }
            OpKind::Poll => {
                let row = self.read_row();
                Call::Poll {
                    from: row.from,
                    limit: row.limit,
                    subscription: row.subscription,
                }
            }
            OpKind::Tail => Call::Tail,
            OpKind::Trim => Call::Trim {
                upto: Lsn::from_u64(argument),
            },
            OpKind::Seal => Call::Seal {
                epoch: Epoch(u32::try_from(argument).expect("it was an epoch")),
            },
        }
    }

    /// Whether it is a read of one tier.
    pub(crate) fn is_read_of_tier(self) -> bool {
        self.kind() == OpKind::Read && self.read_row().source != Source::Log
    }

    /// Whether it is a read of the log, which takes a tail first.
    pub(crate) fn takes_tail(self) -> bool {
        self.kind() == OpKind::Read && self.read_row().source == Source::Log
    }

    fn read_row(self) -> &'h ReadRow {
        &self.history.reads[self.history.argument[self.at()] as usize]
    }

    /// What an append demands and sets; nothing for other operations.
    #[must_use]
    pub fn terms(self) -> Terms {
        self.terms_row().map_or(Terms::NONE, TermsRow::terms)
    }

    /// Whether it is an append that demands or sets something.
    pub(crate) fn has_terms(self) -> bool {
        self.history.terms_at[self.at()] != PLAIN
    }

    fn terms_row(self) -> Option<&'h TermsRow> {
        let at = self.history.terms_at[self.at()];
        (at != PLAIN).then(|| &self.history.terms[at as usize])
    }

    /// How it stands.
    #[must_use]
    pub fn status(self) -> Status {
        self.history.status[self.at()]
    }

    /// When it was invoked.
    #[must_use]
    pub fn invoked(self) -> Moment {
        Moment {
            index: EventIndex(self.history.invoked[self.at()]),
            time_ns: self.history.invoked_ns[self.at()],
        }
    }

    /// When its last event was; `None` while it is open. An operation that ended `Info` has such a
    /// moment too, but may take effect later.
    #[must_use]
    pub fn completed(self) -> Option<Moment> {
        let (at, invoked) = (self.at(), self.invoked());
        let History {
            completed,
            completed_ns,
            ..
        } = self.history;
        Some(Moment {
            index: EventIndex(completed.get(at, invoked.index.0)?),
            time_ns: completed_ns.get(at, invoked.time_ns)?,
        })
    }

    /// Its invocation, as a number that compares with [`deadline`](Self::deadline); see
    /// [`Intervals::invocation_edge`].
    #[inline]
    pub(crate) fn begins(self) -> u64 {
        let index = EventIndex(self.history.invoked[self.at()]);
        self.history.intervals.invocation_edge(index)
    }

    /// By when it must have taken effect, if it did: `u64::MAX` unless it was answered. One operation
    /// precedes another iff its deadline is less than where the other [`begins`](Self::begins).
    #[inline]
    pub(crate) fn deadline(self) -> u64 {
        if !self.is_answered() {
            return NEVER;
        }
        let at = self.at();
        let index = self.history.completed.get(at, self.history.invoked[at]);
        let index = EventIndex(index.expect("it was answered"));
        self.history.intervals.completion_edge(index)
    }

    /// Whether it was answered; a refusal is an answer too.
    #[inline]
    pub(crate) fn is_answered(self) -> bool {
        match self.status() {
            Status::Ok => true,
            Status::Fail => self.terms_row().is_some_and(|row| row.is_refused),
            Status::Open | Status::Info => false,
        }
    }

    /// Where an acknowledged append put its record.
    #[inline]
    pub(crate) fn acked_at(self) -> Option<u64> {
        let at = self.at();
        let is_acked =
            self.history.kind[at] == OpKind::Append && self.history.status[at] == Status::Ok;
        is_acked.then(|| self.history.result[at])
    }

    /// What an answered read or poll returned. Panics if it is none, or was answered otherwise.
    #[inline]
    pub(crate) fn read_result(self) -> ReadAnswer<'h> {
        self.read_answer(Lsn::from_u64(self.history.result[self.at()]))
    }

    /// Whether it is a read or a poll that was answered with what is there.
    #[inline]
    pub(crate) fn is_read(self) -> bool {
        matches!(self.kind(), OpKind::Read | OpKind::Poll)
            && self.status() == Status::Ok
            && !self.read_row().is_trimmed
    }

    /// The tail that a tail was answered with.
    #[inline]
    pub(crate) fn tail_result(self) -> Option<u64> {
        let is_tail = self.kind() == OpKind::Tail && self.status() == Status::Ok;
        is_tail.then(|| position(Lsn::from_u64(self.history.result[self.at()])))
    }

    /// Whether nobody knows whether it took effect.
    pub(crate) fn is_unknown(self) -> bool {
        matches!(self.status(), Status::Open | Status::Info)
    }

    /// What a refused append was told.
    #[must_use]
    pub fn mismatch(self) -> Option<Mismatch> {
        let result = Lsn::from_u64(self.history.result[self.at()]);
        self.terms_row()?.mismatch(result)
    }

    /// The record that an append carries. `None` for other operations.
    #[must_use]
    pub fn record(self) -> Option<RecordId> {
        (self.kind() == OpKind::Append).then(|| RecordId(self.history.argument[self.at()]))
    }

    /// What an operation was answered. `None` for one that failed without a reason, or is unknown.
    #[must_use]
    pub fn answer(self) -> Option<Answer<'h>> {
        match self.status() {
            Status::Ok => {}
            Status::Fail => return self.mismatch().map(Answer::Mismatch),
            Status::Open | Status::Info => return None,
        }
        let result = Lsn::from_u64(self.history.result[self.at()]);
        Some(match self.kind() {
            OpKind::Append => Answer::Append { lsn: result },
            OpKind::Tail => Answer::Tail { tail: result },
            OpKind::Trim => Answer::Trim,
            OpKind::Seal => Answer::Seal { tail: result },
            OpKind::Read | OpKind::Poll if self.read_row().is_trimmed => {
                Answer::Trimmed { upto: result }
            }
            OpKind::Read | OpKind::Poll => {
                let read = self.read_answer(result);
                if read.takes_tail {
                    Answer::Read(read)
                } else {
                    Answer::Poll(read)
                }
            }
        })
    }

    #[inline]
    fn read_answer(self, tail: Lsn) -> ReadAnswer<'h> {
        let row = self.read_row();
        ReadAnswer {
            from: row.from,
            limit: row.limit,
            is_final: row.is_final,
            source: row.source,
            subscription: row.subscription,
            records: self.history.records_of(row),
            gaps: self.history.gaps_of(row),
            tail,
            takes_tail: self.kind() == OpKind::Read && row.source == Source::Log,
        }
    }
}

fn span(start: u64, len: u32) -> Range<usize> {
    start as usize..start as usize + len as usize
}

/// What an operation was answered, borrowed from its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'h> {
    /// See [`Outcome::Append`].
    Append {
        /// Its position.
        lsn: Lsn,
    },
    /// See [`Outcome::Mismatch`].
    Mismatch(Mismatch),
    /// See [`Outcome::Read`].
    Read(ReadAnswer<'h>),
    /// The same, of a poll or of a read of a tier: its tail means nothing.
    Poll(ReadAnswer<'h>),
    /// See [`Outcome::Trimmed`].
    Trimmed {
        /// The last LSN that is given up.
        upto: Lsn,
    },
    /// See [`Outcome::Tail`].
    Tail {
        /// The next LSN to be assigned.
        tail: Lsn,
    },
    /// See [`Outcome::Trim`].
    Trim,
    /// See [`Outcome::Seal`].
    Seal {
        /// The next LSN to be assigned.
        tail: Lsn,
    },
}

/// What a read or a poll asked and returned, borrowed from its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadAnswer<'h> {
    /// The first LSN asked for.
    pub from: Lsn,
    /// The most records asked for.
    pub limit: u32,
    /// Whether it was made to see what is left at the end.
    pub is_final: bool,
    /// Where it looked.
    pub source: Source,
    /// The subscription that asked, if one did.
    pub subscription: Option<Subscription>,
    /// See [`ReadOutcome::records`].
    pub records: &'h [(Lsn, RecordId)],
    /// See [`ReadOutcome::gaps`].
    pub gaps: &'h [Gap],
    /// See [`ReadOutcome::tail`].
    pub tail: Lsn,
    /// Whether that is a tail of the log: a poll takes none, and neither does a read of a tier.
    pub takes_tail: bool,
}

/// The positions of which a read speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// The first one, if there are any.
    pub(crate) start: u64,
    /// Above the last one.
    pub(crate) end: u64,
    /// See [`ReadAnswer::reached_tail`].
    pub(crate) reached_tail: bool,
    /// Whether it shows a record at each of them, in order, and none elsewhere. Most reads do.
    pub(crate) is_seamless: bool,
}

impl Reach {
    /// Whether the read says nothing of any position: one that its limit cut before the first entry does
    /// not.
    pub(crate) fn is_empty(self) -> bool {
        self.end <= self.start
    }
}

impl ReadAnswer<'_> {
    /// Whether the read took a tail and reached it. If so it says what the log was, exactly; one that its
    /// limit cut short of the tail says only what the log had at least, and so does a poll.
    #[must_use]
    pub fn reached_tail(&self) -> bool {
        self.reach().reached_tail
    }

    /// The position above the last one of which the read speaks.
    pub(crate) fn end(&self) -> u64 {
        self.reach().end
    }

    /// Of which positions it speaks, and how.
    #[inline]
    pub(crate) fn reach(&self) -> Reach {
        let start = position(self.from);
        let seamless = self.seamless_end();
        let end_of_entries = seamless.unwrap_or_else(|| self.end_of_entries());
        let tail = self.tail();
        let is_cut = self.records.len() as u64 >= u64::from(self.limit);
        let reached_tail = self.takes_tail && (!is_cut || end_of_entries >= tail);
        let end = if reached_tail {
            tail.max(start)
        } else {
            end_of_entries
        };
        Reach {
            start,
            end,
            reached_tail,
            is_seamless: seamless == Some(end) && end <= tail,
        }
    }

    /// Where its entries end, if they are records without a gap from its start on.
    #[inline]
    fn seamless_end(&self) -> Option<u64> {
        let mut cursor = position(self.from);
        if !self.gaps.is_empty() {
            return None;
        }
        for (lsn, _) in self.records {
            if lsn.as_u64() != cursor {
                return None;
            }
            cursor = after(cursor);
        }
        Some(cursor)
    }

    /// The tail, as a position; above all where none was taken.
    pub(crate) fn tail(&self) -> u64 {
        if self.takes_tail {
            position(self.tail)
        } else {
            u64::MAX
        }
    }

    fn end_of_entries(&self) -> u64 {
        let records = self.records.iter().map(|(lsn, _)| lsn.as_u64());
        let gaps = self.gaps.iter().map(|gap| gap.last.as_u64());
        // Almost always the last of each is the greatest, but an ill-ordered read must not mislead.
        records
            .chain(gaps)
            .max()
            .map_or(position(self.from), |last| {
                after(last).max(position(self.from))
            })
    }

    /// The same, owned.
    #[must_use]
    pub fn to_outcome(&self) -> ReadOutcome {
        ReadOutcome {
            records: self.records.to_vec(),
            gaps: self.gaps.to_vec(),
            tail: self.tail,
        }
    }
}
