//! Histories as JSON lines: one event a line, in the order in which they happened.
//!
//! ```text
//! {"index":0,"time_ns":1000,"process":3,"type":"invoke","log":1,"f":"append","record":17}
//! {"index":1,"time_ns":2500,"process":3,"type":"ok","log":1,"f":"append","lsn":"e1:1"}
//! {"index":2,"time_ns":2600,"process":4,"type":"invoke","log":1,"f":"read","from":"e1:1","limit":9}
//! {"index":3,"time_ns":2700,"process":4,"type":"ok","log":1,"f":"read",
//!  "records":[["e1:1",17]],"gaps":[{"kind":"hole","first":"e1:2","last":"e1:2"}],"tail":"e1:3"}
//! {"index":4,"time_ns":2800,"process":3,"type":"invoke","log":1,"f":"tail"}
//! {"index":5,"time_ns":9900,"process":3,"type":"info","log":1,"f":"tail"}
//! ```
//!
//! (Each event is on one line; the fourth is folded here.) Indexes rise, but need not be dense, so a
//! person can cut lines out of a file. Reading is strict: a field that is missing, unknown or out of
//! place is an error with its place.
//!
//! | `f` | `invoke` | `ok` |
//! |---|---|---|
//! | `append` | `record`; may have `match` (the last record must be here, `e0:0` for none), `token` (must be set), `sets` (a token) | `lsn` |
//! | `read` | `from`, `limit`; may have `final` (made to see what is left), `source` (`tier1`, `tier2`) | `records`, `tail`, may have `gaps`; or `trimmed` (all at and below it is given up) |
//! | `poll` | `from`, `limit`; may have `subscription` (`id`, `incarnation`) | `records`, may have `gaps`; or `trimmed` |
//! | `tail` | | `tail` |
//! | `trim` | `upto` | |
//! | `seal` | `epoch` | `tail` |
//!
//! A `fail` of an `append` may have a `mismatch`: `{"last":"e1:3"}`, `{"token":7}` (or `null` where none
//! was ever set), both, or neither.
//!
//! Where events may share an index, the first line is `{"intervals":"closed"}`, or `"open"` if an
//! operation precedes another that was invoked at the very index at which it returned.

use std::fmt;
use std::io::{self, BufRead, Read, Write};

use hstore_core::{Epoch, LogId, Lsn};
use serde::{Deserialize, Deserializer, Serialize};

use super::columns::{Answer, History, Op, ReadAnswer};
use super::lsn_text::LsnText;
use super::op::{
    Call, EventIndex, Gap, Intervals, Mismatch, Moment, OpKind, Outcome, ProcessId, ReadOutcome,
    RecordId, Source, Status, Subscription, Terms, Token,
};
use super::recorder::{IllFormed, IllFormedReason, Recorder};

/// A longer line is refused, so that a damaged file cannot exhaust memory.
pub const MAX_LINE_BYTES: usize = 64 << 20;

/// Writes all events of `history`.
///
/// # Errors
///
/// Those of `output`.
pub fn write_json(history: &History, output: &mut impl Write) -> io::Result<()> {
    if history.shares_indexes() {
        serde_json::to_writer(
            &mut *output,
            &Header {
                intervals: history.intervals(),
            },
        )?;
        output.write_all(b"\n")?;
    }
    for (op, is_invocation) in history.events() {
        let op = history.op(op);
        if is_invocation {
            write_invocation(op, output)?;
        } else {
            write_completion(op, output)?;
        }
    }
    Ok(())
}

/// Writes the event that began an operation.
pub(super) fn write_invocation(op: Op<'_>, output: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *output, &invocation(op))?;
    output.write_all(b"\n")
}

/// Writes the event that ended an operation, or told that nobody will know.
pub(super) fn write_completion(op: Op<'_>, output: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(&mut *output, &completion(op))?;
    output.write_all(b"\n")
}

/// Reads a history, line by line.
///
/// # Errors
///
/// If the input cannot be read, is not in this format, or is no history; with the place.
pub fn read_json(mut input: impl BufRead) -> Result<History, ReadError> {
    let mut recorder = Recorder::new();
    let mut is_first = true;
    let mut lines = LineNumbers::default();
    let mut buffer = Vec::new();
    for number in 1.. {
        let at = |(column, reason)| ReadError {
            line: number,
            column,
            reason,
        };
        buffer.clear();
        let read = (&mut input)
            .take(MAX_LINE_BYTES as u64 + 1)
            .read_until(b'\n', &mut buffer)
            .map_err(|error| at((0, error.into())))?;
        if read == 0 {
            break;
        }
        if read > MAX_LINE_BYTES {
            return Err(at((MAX_LINE_BYTES, ReadErrorReason::LineTooLong)));
        }
        if buffer.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        if std::mem::take(&mut is_first)
            && let Ok(header) = serde_json::from_slice::<Header>(&buffer)
        {
            recorder = Recorder::with_intervals(header.intervals);
            continue;
        }
        let index = match record_line(&mut recorder, &buffer) {
            Ok(index) => index,
            Err((column, ReadErrorReason::Json(reason)))
                if buffer.last() != Some(&b'\n') && reason.starts_with("EOF") =>
            {
                return Err(at((column, ReadErrorReason::CutLine)));
            }
            Err(error) => return Err(at(error)),
        };
        lines.note(index, number);
    }
    recorder.finish().map_err(|error| ReadError {
        line: lines.of(error.event),
        column: 1,
        reason: error.into(),
    })
}

/// Why a file is not a history, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ReadError {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1; 1 where the line as a whole is at fault.
    pub column: usize,
    /// Why.
    pub reason: ReadErrorReason,
}

/// Why a line is not an event of a history.
#[derive(Debug, thiserror::Error)]
pub enum ReadErrorReason {
    /// The input cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The line is longer than [`MAX_LINE_BYTES`].
    #[error("the line is longer than {MAX_LINE_BYTES} bytes")]
    LineTooLong,
    /// The last line is no event, and has no end.
    #[error(
        "the last line is cut, as if the recording had ended within it; remove the line to judge what is before"
    )]
    CutLine,
    /// The line is not JSON, or a value is not what belongs there.
    #[error("{0}")]
    Json(String),
    /// A field is missing, or does not belong to this kind of event.
    #[error("{event} {fault} `{field}`")]
    Field {
        /// What the event is.
        event: EventKind,
        /// What is wrong.
        fault: FieldFault,
        /// The field.
        field: &'static str,
    },
    /// The event is in the format, but cannot follow on those before.
    #[error("{0}")]
    IllFormed(#[from] IllFormed),
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldFault {
    /// It must be there.
    Missing,
    /// It must not be there.
    OutOfPlace,
}

impl fmt::Display for FieldFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "needs a field",
            Self::OutOfPlace => "has no field",
        })
    }
}

/// What an event is: its `type` and its `f`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKind {
    of: EventType,
    f: OpKind,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = match self.of {
            EventType::Invoke => "invoke",
            EventType::Ok => "ok",
            EventType::Fail => "fail",
            EventType::Info => "info",
        };
        write!(f, "`{of}` of `{}`", self.f)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum EventType {
    Invoke,
    Ok,
    Fail,
    Info,
}

/// A line of the file; which fields there are depends on `kind` and `f`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    index: EventIndex,
    time_ns: u64,
    process: ProcessId,
    #[serde(rename = "type")]
    kind: EventType,
    log: LogId,
    f: OpKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    record: Option<RecordId>,
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    last: Option<LsnText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    token: Option<Token>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sets: Option<Token>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    from: Option<LsnText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    limit: Option<u32>,
    #[serde(rename = "final", default, skip_serializing_if = "Option::is_none")]
    is_final: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<Source>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subscription: Option<Subscription>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    upto: Option<LsnText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epoch: Option<Epoch>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lsn: Option<LsnText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    mismatch: Option<MismatchText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    records: Option<Vec<(LsnText, RecordId)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gaps: Option<Vec<Gap>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trimmed: Option<LsnText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tail: Option<LsnText>,
}

/// The first line of a file in which events may share an index.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    intervals: Intervals,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MismatchText {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<LsnText>,
    /// `null` says that there is none, so it is not the same as no field.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "present"
    )]
    token: Option<Option<Token>>,
}

/// A field that is there, be it `null`.
fn present<'de, D: Deserializer<'de>>(field: D) -> Result<Option<Option<Token>>, D::Error> {
    Option::deserialize(field).map(Some)
}

fn bare(op: Op<'_>, kind: EventType, at: Moment) -> Line {
    Line {
        index: at.index,
        time_ns: at.time_ns,
        process: op.process(),
        kind,
        log: op.log(),
        f: op.kind(),
        record: None,
        last: None,
        token: None,
        sets: None,
        from: None,
        limit: None,
        is_final: None,
        source: None,
        subscription: None,
        upto: None,
        epoch: None,
        lsn: None,
        mismatch: None,
        records: None,
        gaps: None,
        trimmed: None,
        tail: None,
    }
}

fn invocation(op: Op<'_>) -> Line {
    let mut line = bare(op, EventType::Invoke, op.invoked());
    match op.call() {
        Call::Append { record, terms } => {
            line.record = Some(record);
            line.last = terms.last.map(LsnText);
            line.token = terms.token;
            line.sets = terms.sets;
        }
        Call::Read {
            from,
            limit,
            is_final,
            source,
        } => {
            line.from = Some(LsnText(from));
            line.limit = Some(limit);
            line.is_final = is_final.then_some(true);
            line.source = (source != Source::Log).then_some(source);
        }
        Call::Poll {
            from,
            limit,
            subscription,
        } => {
            line.from = Some(LsnText(from));
            line.limit = Some(limit);
            line.subscription = subscription;
        }
        Call::Tail => {}
        Call::Trim { upto } => line.upto = Some(LsnText(upto)),
        Call::Seal { epoch } => line.epoch = Some(epoch),
    }
    line
}

fn completion(op: Op<'_>) -> Line {
    let at = op
        .completed()
        .expect("only a completed operation has this event");
    let kind = match op.status() {
        Status::Ok => EventType::Ok,
        Status::Fail => EventType::Fail,
        Status::Info => EventType::Info,
        Status::Open => unreachable!("an open operation is not completed"),
    };
    let mut line = bare(op, kind, at);
    match op.answer() {
        None | Some(Answer::Trim) => {}
        Some(Answer::Append { lsn }) => line.lsn = Some(LsnText(lsn)),
        Some(Answer::Mismatch(mismatch)) => {
            line.mismatch = Some(MismatchText {
                last: mismatch.last.map(LsnText),
                token: mismatch.token,
            });
        }
        Some(Answer::Tail { tail } | Answer::Seal { tail }) => line.tail = Some(LsnText(tail)),
        Some(Answer::Trimmed { upto }) => line.trimmed = Some(LsnText(upto)),
        Some(Answer::Read(read)) => {
            entries(&mut line, &read);
            line.tail = Some(LsnText(read.tail));
        }
        Some(Answer::Poll(poll)) => entries(&mut line, &poll),
    }
    line
}

fn entries(line: &mut Line, read: &ReadAnswer<'_>) {
    let records = read.records.iter();
    line.records = Some(records.map(|&(lsn, id)| (LsnText(lsn), id)).collect());
    line.gaps = Some(read.gaps.to_vec());
}

/// Records the event of one line and returns its index, or the column and the reason why not.
fn record_line(
    recorder: &mut Recorder,
    text: &[u8],
) -> Result<EventIndex, (usize, ReadErrorReason)> {
    // An array of the fields' values would do for the parser.
    if let Some(column) = text.iter().position(|byte| !byte.is_ascii_whitespace())
        && text[column] != b'{'
    {
        let reason = "an event is a JSON object, in braces".to_owned();
        return Err((column + 1, ReadErrorReason::Json(reason)));
    }
    let mut line: Line = serde_json::from_slice(text).map_err(|error| {
        // A line is all that the parser sees, so its own line number says nothing.
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or(&text);
        (
            error.column().max(1),
            ReadErrorReason::Json(reason.to_owned()),
        )
    })?;
    let moment = Moment {
        index: line.index,
        time_ns: line.time_ns,
    };
    let whole_line = |error: IllFormed| (1, error.into());
    if line.kind == EventType::Invoke {
        let call = take_call(&mut line).map_err(|reason| (1, reason))?;
        recorder
            .invoke_at(line.process, line.log, call, moment)
            .map_err(whole_line)?;
        return Ok(line.index);
    }
    let ill_formed = |reason| {
        whole_line(IllFormed {
            event: line.index,
            reason,
        })
    };
    let op = recorder.open_op(line.process).ok_or_else(|| {
        ill_formed(IllFormedReason::NothingOpen {
            process: line.process,
        })
    })?;
    let open = recorder.history().op(op);
    if open.log() != line.log {
        return Err(ill_formed(IllFormedReason::OtherLog {
            op,
            log: open.log(),
            named: line.log,
        }));
    }
    if open.kind() != line.f {
        return Err(ill_formed(IllFormedReason::OtherAnswer {
            op,
            log: line.log,
            asked: open.kind(),
            answered: line.f,
        }));
    }
    let takes_tail = open.takes_tail();
    let (status, outcome) = take_completion(&mut line, takes_tail).map_err(|reason| (1, reason))?;
    recorder
        .complete_at(op, status, outcome, moment)
        .map_err(whole_line)?;
    Ok(line.index)
}

fn take_call(line: &mut Line) -> Result<Call, ReadErrorReason> {
    let call = match line.f {
        OpKind::Append => Call::Append {
            record: need(line, "record", |line| line.record.take())?,
            terms: Terms {
                last: line.last.take().map(|last| last.0),
                token: line.token.take(),
                sets: line.sets.take(),
            },
        },
        OpKind::Read => Call::Read {
            from: need(line, "from", |line| line.from.take())?.0,
            limit: need(line, "limit", |line| line.limit.take())?,
            is_final: line.is_final.take().unwrap_or(false),
            source: line.source.take().unwrap_or_default(),
        },
        OpKind::Poll => Call::Poll {
            from: need(line, "from", |line| line.from.take())?.0,
            limit: need(line, "limit", |line| line.limit.take())?,
            subscription: line.subscription.take(),
        },
        OpKind::Tail => Call::Tail,
        OpKind::Trim => Call::Trim {
            upto: need(line, "upto", |line| line.upto.take())?.0,
        },
        OpKind::Seal => Call::Seal {
            epoch: need(line, "epoch", |line| line.epoch.take())?,
        },
    };
    nothing_left(line)?;
    Ok(call)
}

fn take_completion(
    line: &mut Line,
    takes_tail: bool,
) -> Result<(Status, Option<Outcome>), ReadErrorReason> {
    let (status, outcome) = match line.kind {
        EventType::Ok => (Status::Ok, Some(take_outcome(line, takes_tail)?)),
        EventType::Fail => {
            let mismatch = match line.f {
                OpKind::Append => line.mismatch.take(),
                _ => None,
            };
            let mismatch = mismatch.map(|told| {
                Outcome::Mismatch(Mismatch {
                    last: told.last.map(|last| last.0),
                    token: told.token,
                })
            });
            (Status::Fail, mismatch)
        }
        EventType::Info => (Status::Info, None),
        EventType::Invoke => unreachable!("the caller has sorted out invocations"),
    };
    nothing_left(line)?;
    Ok((status, outcome))
}

/// `takes_tail`: whether the read that ends took a tail.
fn take_outcome(line: &mut Line, takes_tail: bool) -> Result<Outcome, ReadErrorReason> {
    Ok(match line.f {
        OpKind::Append => Outcome::Append {
            lsn: need(line, "lsn", |line| line.lsn.take())?.0,
        },
        OpKind::Read | OpKind::Poll if line.trimmed.is_some() => Outcome::Trimmed {
            upto: need(line, "trimmed", |line| line.trimmed.take())?.0,
        },
        OpKind::Read if takes_tail => {
            let (records, gaps) = take_entries(line)?;
            let tail = need(line, "tail", |line| line.tail.take())?.0;
            Outcome::Read(ReadOutcome {
                records,
                gaps,
                tail,
            })
        }
        OpKind::Read | OpKind::Poll => {
            let (records, gaps) = take_entries(line)?;
            Outcome::Read(ReadOutcome::of_poll(records, gaps))
        }
        OpKind::Tail => Outcome::Tail {
            tail: need(line, "tail", |line| line.tail.take())?.0,
        },
        OpKind::Trim => Outcome::Trim,
        OpKind::Seal => Outcome::Seal {
            tail: need(line, "tail", |line| line.tail.take())?.0,
        },
    })
}

type Entries = (Vec<(Lsn, RecordId)>, Vec<Gap>);

fn take_entries(line: &mut Line) -> Result<Entries, ReadErrorReason> {
    let records = need(line, "records", |line| line.records.take())?;
    let records = records.into_iter().map(|(lsn, id)| (lsn.0, id)).collect();
    Ok((records, line.gaps.take().unwrap_or_default()))
}

fn need<T>(
    line: &mut Line,
    field: &'static str,
    take: impl FnOnce(&mut Line) -> Option<T>,
) -> Result<T, ReadErrorReason> {
    take(line).ok_or_else(|| fault(line, FieldFault::Missing, field))
}

/// All fields that belong to the event have been taken.
fn nothing_left(line: &Line) -> Result<(), ReadErrorReason> {
    let left = [
        ("record", line.record.is_some()),
        ("match", line.last.is_some()),
        ("token", line.token.is_some()),
        ("sets", line.sets.is_some()),
        ("from", line.from.is_some()),
        ("limit", line.limit.is_some()),
        ("final", line.is_final.is_some()),
        ("source", line.source.is_some()),
        ("subscription", line.subscription.is_some()),
        ("upto", line.upto.is_some()),
        ("epoch", line.epoch.is_some()),
        ("lsn", line.lsn.is_some()),
        ("mismatch", line.mismatch.is_some()),
        ("records", line.records.is_some()),
        ("gaps", line.gaps.is_some()),
        ("trimmed", line.trimmed.is_some()),
        ("tail", line.tail.is_some()),
    ];
    match left.into_iter().find(|(_, is_left)| *is_left) {
        Some((field, _)) => Err(fault(line, FieldFault::OutOfPlace, field)),
        None => Ok(()),
    }
}

fn fault(line: &Line, fault: FieldFault, field: &'static str) -> ReadErrorReason {
    ReadErrorReason::Field {
        event: EventKind {
            of: line.kind,
            f: line.f,
        },
        fault,
        field,
    }
}

/// Finds the line of an event again: one entry for each stretch in which line and index rise
/// together, which in a file that nobody edited is one.
#[derive(Default)]
struct LineNumbers(Vec<(EventIndex, u64)>);

impl LineNumbers {
    fn note(&mut self, index: EventIndex, line: u64) {
        let in_step = self
            .0
            .last()
            .is_some_and(|&(first, at)| index.0 - first.0 == line - at);
        if !in_step {
            self.0.push((index, line));
        }
    }

    fn of(&self, index: EventIndex) -> u64 {
        let stretch = self.0.partition_point(|&(first, _)| first <= index) - 1;
        let (first, line) = self.0[stretch];
        line + (index.0 - first.0)
    }
}
