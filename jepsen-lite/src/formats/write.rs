//! Writes histories: of logs as our JSON lines, and any as Jepsen's EDN or JSON, one event a line.
//!
//! What is written is read back as the same history, but for what a format cannot say: JSON knows no
//! keywords, sets and tags, and no format says that touching operations are ordered, so that events of one
//! index are given indexes of their own.

use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use super::json::JsonValue;
use super::{Format, Recording, jepsen, log_twin};
use crate::history::{History, Moment, Status, write_json};
use crate::object::{ObjectHistory, ObjectOp, Value};

/// Why a history cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The output does not take it.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Only histories of logs are written so.
    #[error(
        "json-lines hold histories of logs, and this is one of another object: write edn or json"
    )]
    NoLog,
    /// Nothing is written in this format.
    #[error("`{0}` is only read: write edn or json, or json-lines if it is a history of logs")]
    OnlyRead(Format),
}

/// Writes a history.
///
/// # Errors
///
/// Those of `output`, and if the format cannot hold it.
pub fn write(
    recording: &Recording,
    format: Format,
    output: &mut impl Write,
) -> Result<(), WriteError> {
    let text = match format {
        Format::Edn => Text::Edn,
        Format::Json => Text::Json,
        Format::JsonLines => {
            return match recording {
                Recording::Log(history) => Ok(write_json(history, output)?),
                Recording::Object(_) => Err(WriteError::NoLog),
            };
        }
        Format::EtcdLog | Format::KvLog | Format::S2 | Format::Calls => {
            return Err(WriteError::OnlyRead(format));
        }
    };
    match recording {
        Recording::Log(history) => write_log(history, text, output)?,
        Recording::Object(object) => write_object(&object.history, text, output)?,
    }
    Ok(())
}

/// The two ways to write the same event.
#[derive(Clone, Copy)]
enum Text {
    Edn,
    Json,
}

/// An event as it is written.
#[derive(Serialize)]
pub(super) struct Line<'v> {
    pub(super) index: u64,
    #[serde(rename = "time")]
    pub(super) time_ns: u64,
    pub(super) process: u64,
    #[serde(rename = "type")]
    pub(super) kind: &'v str,
    pub(super) f: &'v str,
    pub(super) value: JsonValue<'v>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<JsonValue<'v>>,
}

impl Line<'_> {
    fn write(&self, text: Text, output: &mut impl Write) -> io::Result<()> {
        match text {
            Text::Edn => self.write_edn(output),
            Text::Json => {
                serde_json::to_writer(&mut *output, self)?;
                output.write_all(b"\n")
            }
        }
    }

    fn write_edn(&self, output: &mut impl Write) -> io::Result<()> {
        let (index, time) = (Natural(self.index), Natural(self.time_ns));
        let process = self.process;
        write!(
            output,
            "{{:index {index}, :time {time}, :process {process}, "
        )?;
        write!(output, ":type :{}, ", self.kind)?;
        if is_keyword(self.f) {
            write!(output, ":f :{}, ", self.f)?;
        } else {
            write!(output, ":f {}, ", Value::text(self.f))?;
        }
        write!(output, ":value {}", self.value.0)?;
        if let Some(key) = &self.key {
            write!(output, ", :key {}", key.0)?;
        }
        output.write_all(b"}\n")
    }
}

/// A number as EDN writes it.
struct Natural(u64);

impl fmt::Display for Natural {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_long = i64::try_from(self.0).is_ok();
        write!(f, "{}{}", self.0, if is_long { "" } else { "N" })
    }
}

/// Whether a name can be written behind a colon.
fn is_keyword(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_*!?+.".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

fn write_log(history: &History, text: Text, output: &mut impl Write) -> io::Result<()> {
    let mut lines = Translator {
        text,
        output,
        line: Vec::new(),
    };
    write_json(history, &mut lines)
}

/// Takes our JSON lines and passes them on as Jepsen's.
struct Translator<'o, W> {
    text: Text,
    output: &'o mut W,
    /// What there is of a line so far.
    line: Vec<u8>,
}

impl<W: Write> Write for Translator<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.line.extend_from_slice(bytes);
            return Ok(bytes.len());
        };
        self.line.extend_from_slice(&bytes[..end]);
        let event = log_twin::LogEvent::of_line(&self.line)?;
        self.line.clear();
        event.line().write(self.text, self.output)?;
        Ok(end + 1)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

fn write_object(history: &ObjectHistory, text: Text, output: &mut impl Write) -> io::Result<()> {
    let events = history.events();
    // Events of one index are told apart by their order only, which their positions say as well.
    let indexes = || {
        events
            .iter()
            .map(|&(op, is_invocation)| at(history.op(op), is_invocation).index)
    };
    let rise = indexes().is_sorted_by(|a, b| a < b);
    for (position, &(op, is_invocation)) in events.iter().enumerate() {
        let op = history.op(op);
        let at = at(op, is_invocation);
        let index = if rise { at.index.0 } else { position as u64 };
        line(op, is_invocation, at, index).write(text, output)?;
    }
    Ok(())
}

fn at(op: ObjectOp<'_>, is_invocation: bool) -> Moment {
    if is_invocation {
        op.invoked()
    } else {
        op.completed()
            .expect("only a completed operation has this event")
    }
}

fn line(op: ObjectOp<'_>, is_invocation: bool, at: Moment, index: u64) -> Line<'_> {
    let kind = match (is_invocation, op.status()) {
        (true, _) => "invoke",
        (false, Status::Ok) => "ok",
        (false, Status::Fail) => "fail",
        (false, Status::Info) => "info",
        (false, Status::Open) => unreachable!("an open operation is not completed"),
    };
    // The number of a record in the place of its position would be taken for one.
    let may_repeat = || {
        let is_record = op.function() == "append" && matches!(op.argument(), Value::Int(_));
        op.result().is_nil() && jepsen::only_changes(op.function()) && !is_record
    };
    let value = if is_invocation || may_repeat() {
        op.argument()
    } else {
        op.result()
    };
    Line {
        index,
        time_ns: at.time_ns,
        process: op.process().0.into(),
        kind,
        f: op.function(),
        value: JsonValue(value),
        key: (!op.key().is_nil()).then(|| JsonValue(op.key())),
    }
}
