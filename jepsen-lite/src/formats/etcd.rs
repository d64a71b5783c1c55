//! The logs of Jepsen's etcd tests, as Porcupine keeps them: a register that is absent at first.
//!
//! ```text
//! INFO  jepsen.util - 3   :invoke  :cas    [1 4]
//! INFO  jepsen.util - 3   :fail    :cas    [1 4]
//! ```
//!
//! Columns are separated by tabs or blanks. Other lines are none of ours. `:fail :cas` is an answer, not
//! a failure: the register was compared and differed, so it is recorded as `Ok` with the result `false`.
//! Any other `:fail` had no effect, and an `:info` leaves its operation open for ever.

use std::io::BufRead;

use super::edn;
use super::error::{Place, ReadError, ReadErrorReason};
use super::events::EventType;
use super::jepsen::nothing_open;
use super::lines::Lines;
use crate::history::{EventIndex, Intervals, Moment, ProcessId, Status};
use crate::object::{AfterInfo, Asked, ObjectHistory, ObjectRecorder, Value, ValueId};

/// What stands before the columns of an event.
const MARK: &str = "jepsen.util - ";

/// Reads such a log.
pub(super) fn read(input: impl BufRead) -> Result<ObjectHistory, ReadError> {
    let mut lines = Lines::new(input);
    let mut recorder = ObjectRecorder::new(Intervals::Closed, AfterInfo::GoOn);
    let mut position = 0;
    while let Some((line, place)) = lines.next()? {
        if let Some(columns) = columns(line, place)? {
            recorder.read_at(place.to_keep());
            record(&mut recorder, &columns, EventIndex(position))?;
            position += 1;
        }
    }
    if position == 0 {
        let reason = "no line is an event such as `INFO  jepsen.util - 0 :invoke :read nil`";
        return Err(Place::START.syntax(reason));
    }
    Ok(recorder.finish())
}

/// Whether a line is an event.
pub(super) fn is_event(line: &str) -> bool {
    columns(line, Place::START).is_ok_and(|columns| columns.is_some())
}

/// An event as its columns say it.
struct Columns<'t> {
    place: Place,
    process: ProcessId,
    kind: EventType,
    function: &'t str,
    value: Value,
}

/// The columns of a line, if it is an event of a client.
fn columns(line: &str, start: Place) -> Result<Option<Columns<'_>>, ReadError> {
    let Some(mark) = line.find(MARK) else {
        return Ok(None);
    };
    let at = |rest: &str| Place {
        line: start.line,
        column: start.column + line.len() - rest.len(),
    };
    let rest = line[mark + MARK.len()..].trim_start();
    let (process, after) = column(rest);
    let (kind, tail) = column(after);
    let is_number = !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    // The nemesis is no number, and other lines have no keyword after one.
    if !is_number || !kind.starts_with(':') {
        return Ok(None);
    }
    let process = process
        .parse()
        .map_err(|_| at(rest).syntax(format!("process {process} is above {}", u32::MAX)))?;
    let kind = EventType::parse(&kind[1..]).ok_or_else(|| {
        let reason = format!("`{kind}` is not `:invoke`, `:ok`, `:fail` or `:info`");
        at(after).syntax(reason)
    })?;
    let (function, text) = column(tail);
    let Some(function) = function.strip_prefix(':').filter(|name| !name.is_empty()) else {
        return Err(at(tail).syntax("here must be `:read`, `:write` or `:cas`"));
    };
    Ok(Some(Columns {
        place: at(rest),
        process: ProcessId(process),
        kind,
        function,
        value: value(text.trim_end(), at(text))?,
    }))
}

/// The first column, and what follows it.
fn column(text: &str) -> (&str, &str) {
    let end = text.find([' ', '\t']).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches([' ', '\t']))
}

fn value(text: &str, place: Place) -> Result<Value, ReadError> {
    if text.is_empty() {
        return Err(place.syntax("a value must be here"));
    }
    if text == "nil" {
        return Ok(Value::Nil);
    }
    if let Ok(number) = text.parse() {
        return Ok(Value::Int(number));
    }
    if let Some(pair) = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        && let Some((from, to)) = pair.split_once(' ')
        && let (Ok(from), Ok(to)) = (from.parse(), to.parse())
    {
        return Ok(Value::list([Value::Int(from), Value::Int(to)]));
    }
    edn::first_value(text, place)
}

fn record(
    recorder: &mut ObjectRecorder,
    columns: &Columns<'_>,
    index: EventIndex,
) -> Result<(), ReadError> {
    let Columns { place, process, .. } = *columns;
    let ill_formed = |error| place.error(ReadErrorReason::IllFormed(error));
    let at = Moment { index, time_ns: 0 };
    if columns.kind == EventType::Invoke {
        let asked = Asked {
            function: recorder.function(columns.function),
            key: ValueId::NIL,
            argument: recorder.value(columns.value.clone()),
        };
        recorder.invoke(process, asked, at).map_err(ill_formed)?;
        return Ok(());
    }
    let Some(op) = recorder.open_op(process) else {
        return match columns.kind {
            EventType::Info => Ok(()),
            _ => Err(ill_formed(nothing_open(process, index))),
        };
    };
    let open = recorder.history().op(op);
    if open.function() != columns.function {
        return Err(place.event(format!(
            "the open {op} of process {} is `{}`, the answer is to `{}`",
            process.0,
            open.function(),
            columns.function
        )));
    }
    let is_argument = columns.value == *open.argument();
    let (status, result) = match (columns.kind, columns.function) {
        (EventType::Ok, "write" | "cas") if is_argument => (Status::Ok, ValueId::NIL),
        (EventType::Ok, _) => (Status::Ok, recorder.value(columns.value.clone())),
        (EventType::Fail, "cas") if is_argument => (Status::Ok, recorder.value(Value::Bool(false))),
        (EventType::Fail, _) => (Status::Fail, ValueId::NIL),
        (EventType::Info | EventType::Invoke, _) => (Status::Info, ValueId::NIL),
    };
    recorder
        .complete(op, status, result, at)
        .map_err(ill_formed)
}
