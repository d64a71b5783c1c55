//! Files of calls and returns, one a line, such as those of research on concurrent queues and stacks.
//!
//! ```text
//! # @object queue
//! [1] call enqueue(7)
//! [1] return
//! [2] call dequeue
//! [2] return 7
//! ```
//!
//! What is in brackets says which call a return belongs to: it is the process. An argument or result is
//! an integer, `true`, `false`, `nil`, or else a string; several arguments are a list. A result `empty`
//! is the keyword `:empty`. Lines that begin with `#` are comments, one of which names the object.

use std::io::BufRead;

use super::Suggestion;
use super::error::{Place, ReadError, ReadErrorReason};
use super::jepsen::nothing_open;
use super::lines::Lines;
use super::suggest::suggest;
use crate::history::{EventIndex, Intervals, Moment, ProcessId, Status};
use crate::models::ModelKind;
use crate::object::{AfterInfo, Asked, ObjectHistory, ObjectRecorder, Value, ValueId};

/// What names the object in a comment.
const OBJECT: &str = "@object";

/// Reads such a file.
pub(super) fn read(input: impl BufRead) -> Result<(ObjectHistory, Option<Suggestion>), ReadError> {
    let mut lines = Lines::new(input);
    let mut recorder = ObjectRecorder::new(Intervals::Closed, AfterInfo::GoOn);
    let mut named = None;
    let mut position = 0;
    while let Some((line, start)) = lines.next()? {
        let text = line.trim();
        if let Some(comment) = text.strip_prefix('#') {
            named = named.or(object(comment));
            continue;
        }
        if text.is_empty() {
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let place = start.within(line.as_bytes(), indent);
        let call = parse(text, place)?;
        recorder.read_at(place.to_keep());
        record(&mut recorder, call, EventIndex(position), place)?;
        position += 1;
    }
    let history = recorder.finish();
    let suggested = named.or_else(|| suggest(&history));
    Ok((history, suggested))
}

/// Whether a line is a call or a return.
pub(super) fn is_event(line: &str) -> bool {
    parse(line.trim(), Place::START).is_ok()
}

/// The object that a comment names, if it does.
fn object(comment: &str) -> Option<Suggestion> {
    let mut words = comment.split_whitespace();
    words.find(|word| *word == OBJECT)?;
    Some(Suggestion::Model(match words.next()? {
        // It is called so where its operations take effect at once.
        "queue" | "atomic-queue" => ModelKind::Queue,
        "stack" | "atomic-stack" => ModelKind::Stack,
        other => other.parse().ok()?,
    }))
}

/// A line.
enum Line<'t> {
    Call(ProcessId, &'t str, Value),
    Return(ProcessId, Value),
}

fn parse(text: &str, start: Place) -> Result<Line<'_>, ReadError> {
    let at = |rest: &str| start.within(text.as_bytes(), text.len() - rest.len());
    let shape = || start.syntax("a line is `[1] call push(7)` or `[1] return 7`");
    let (id, rest) = text
        .strip_prefix('[')
        .and_then(|text| text.split_once(']'))
        .ok_or_else(shape)?;
    let digits = id.trim();
    let process = digits.parse().map(ProcessId).map_err(|_| {
        let place = start.within(text.as_bytes(), 1);
        place.syntax(format!("`{digits}` is not a number up to {}", u32::MAX))
    })?;
    let rest = rest.trim_start();
    let (word, after) = rest
        .split_once(char::is_whitespace)
        .map_or((rest, ""), |(word, after)| (word, after.trim_start()));
    match word {
        "call" => {
            let (function, argument) = call(after).map_err(|reason| at(after).syntax(reason))?;
            Ok(Line::Call(process, function, argument))
        }
        "return" => Ok(Line::Return(process, result(after))),
        other => Err(at(rest).syntax(format!("`{other}` is neither `call` nor `return`"))),
    }
}

fn call(text: &str) -> Result<(&str, Value), &'static str> {
    let (function, argument) = match text.split_once('(') {
        None => (text, Value::Nil),
        Some((function, inner)) => {
            let inner = inner.strip_suffix(')').ok_or("`)` must be at the end")?;
            let mut values: Vec<Value> = inner.split(',').map(str::trim).map(value).collect();
            let only = values.pop().expect("there is one at least");
            if values.is_empty() {
                (function.trim_end(), only)
            } else {
                values.push(only);
                (function.trim_end(), Value::list(values))
            }
        }
    };
    let is_name = |character: char| character.is_alphanumeric() || "-_!?".contains(character);
    if function.is_empty() || !function.chars().all(is_name) {
        return Err("`call` needs the name of what is called");
    }
    Ok((function, argument))
}

fn result(text: &str) -> Value {
    match text {
        "empty" => Value::keyword("empty"),
        text => value(text),
    }
}

fn value(text: &str) -> Value {
    match text {
        "" | "nil" | "null" => Value::Nil,
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        text => text.parse().map_or_else(|_| Value::text(text), Value::Int),
    }
}

fn record(
    recorder: &mut ObjectRecorder,
    line: Line<'_>,
    index: EventIndex,
    place: Place,
) -> Result<(), ReadError> {
    let ill_formed = |error| place.error(ReadErrorReason::IllFormed(error));
    let at = Moment { index, time_ns: 0 };
    match line {
        Line::Call(process, function, argument) => {
            let asked = Asked {
                function: recorder.function(function),
                key: ValueId::NIL,
                argument: recorder.value(argument),
            };
            recorder.invoke(process, asked, at).map_err(ill_formed)?;
            Ok(())
        }
        Line::Return(process, result) => {
            let op = recorder
                .open_op(process)
                .ok_or_else(|| ill_formed(nothing_open(process, index)))?;
            let result = recorder.value(result);
            recorder
                .complete(op, Status::Ok, result, at)
                .map_err(ill_formed)
        }
    }
}
