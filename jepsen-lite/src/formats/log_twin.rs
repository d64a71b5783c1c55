//! Histories of logs as Jepsen's events.
//!
//! An event has `index`, `time`, `process`, `type` and `f` as in our JSON lines (`time` is `time_ns`
//! there), and all other fields of the line in a map under `value`:
//!
//! ```text
//! {:f :append, :index 0, :process 3, :time 1000, :type :invoke, :value {:log 1, :record 17}}
//! ```
//!
//! So this knows nothing of what the fields mean: it translates lines, and our own reader reads them.

use std::io::{self, BufRead, Read};

use serde_json::{Map, Number};

use super::error::{Place, ReadError, ReadErrorReason};
use super::events::{Event, Events, Placed, as_u64, big_integer};
use super::json::JsonValue;
use super::write::Line;
use crate::history::{self, History};
use crate::object::Value;

type Json = serde_json::Value;

/// Whether this is an event of a log: nothing else has a map with a number under `log`.
pub(super) fn is_of_log(event: &Event) -> bool {
    event.value.field("log").and_then(as_u64).is_some()
}

/// Reads the rest of a history that begins so, after `skipped` events of the nemesis.
pub(super) fn read(
    first: Placed<Event>,
    skipped: u64,
    events: impl Events,
) -> Result<History, ReadError> {
    let mut lines = Lines {
        events,
        first: Some(first),
        position: skipped,
        line: Vec::new(),
        taken: 0,
        places: Vec::new(),
        error: None,
    };
    let read = history::read_json(&mut lines);
    if let Some(error) = lines.error {
        return Err(error);
    }
    read.map_err(|error| {
        let number = usize::try_from(error.line).expect("fewer lines than memory");
        let place = number.checked_sub(1).and_then(|row| lines.places.get(row));
        let place = place.copied().unwrap_or(Place::START);
        place.error(ReadErrorReason::Log(error.reason))
    })
}

/// Our JSON lines, made of events one by one.
struct Lines<E> {
    events: E,
    first: Option<Placed<Event>>,
    position: u64,
    /// The line that is being read, and how much of it was.
    line: Vec<u8>,
    taken: usize,
    /// Where each line comes from.
    places: Vec<Place>,
    /// Why there are no more lines, if that is not the end.
    error: Option<ReadError>,
}

impl<E: Events> Lines<E> {
    /// Makes the next line; leaves none at the end.
    fn next_line(&mut self) -> Result<(), ReadError> {
        self.line.clear();
        self.taken = 0;
        loop {
            let next = match self.first.take() {
                Some(first) => Some(first),
                None => self.events.next()?,
            };
            let Some(event) = next else {
                return Ok(());
            };
            let position = self.position;
            self.position += 1;
            if event.what.process.is_none() {
                continue;
            }
            let line = to_line(&event.what, position).map_err(|why| event.place.event(why))?;
            serde_json::to_writer(&mut self.line, &line).expect("memory takes everything");
            self.line.push(b'\n');
            self.places.push(event.place);
            return Ok(());
        }
    }
}

impl<E: Events> BufRead for Lines<E> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.taken == self.line.len()
            && self.error.is_none()
            && let Err(error) = self.next_line()
        {
            self.error = Some(error);
            self.line.clear();
            self.taken = 0;
        }
        Ok(&self.line[self.taken..])
    }

    fn consume(&mut self, amount: usize) {
        self.taken += amount;
    }
}

impl<E: Events> Read for Lines<E> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut from = self.fill_buf()?;
        let read = from.read(to)?;
        self.consume(read);
        Ok(read)
    }
}

fn to_line(event: &Event, position: u64) -> Result<Json, String> {
    let Value::Map(entries) = &event.value else {
        return Err("the value of an event of a log is a map".to_owned());
    };
    let process = event.process.expect("the nemesis was skipped");
    let mut line = Map::new();
    for (key, value) in entries {
        let name = key.as_name().ok_or("the fields of an event have names")?;
        line.insert(name.to_owned(), to_json(value));
    }
    let common = [
        ("index", Json::from(event.index.unwrap_or(position))),
        ("time_ns", Json::from(event.time_ns)),
        ("process", Json::from(process.0)),
        ("type", Json::from(event.kind.name())),
        ("f", Json::from(&*event.function)),
    ];
    for (name, value) in common {
        if line.insert(name.to_owned(), value).is_some() {
            return Err(format!("`{name}` does not belong under `value`"));
        }
    }
    Ok(Json::Object(line))
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Bool(is) => Json::Bool(*is),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Number::from_f64(number.get()).map_or(Json::Null, Json::Number),
        Value::Symbol(name) => match as_u64(value) {
            Some(number) => Json::from(number),
            None => Json::from(&**name),
        },
        Value::Text(name) | Value::Keyword(name) => Json::from(&**name),
        Value::List(items) | Value::Set(items) => items.iter().map(to_json).collect(),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let name = key.as_name().map_or_else(|| key.to_string(), str::to_owned);
                (name, to_json(value))
            });
            Json::Object(entries.collect())
        }
        Value::Tagged(_, inner) => to_json(inner),
    }
}

/// One of our JSON lines as an event.
pub(super) struct LogEvent {
    index: u64,
    time_ns: u64,
    process: u64,
    kind: String,
    f: String,
    value: Value,
}

impl LogEvent {
    pub(super) fn of_line(line: &[u8]) -> serde_json::Result<Self> {
        let Json::Object(mut line) = serde_json::from_slice(line)? else {
            unreachable!("each of our lines is an object");
        };
        let mut take = |name: &str| line.remove(name).expect("each of our lines has this");
        let mut number = |name: &str| take(name).as_u64().expect("this is a number");
        let (index, time_ns, process) = (number("index"), number("time_ns"), number("process"));
        let mut name = |name: &str| match take(name) {
            Json::String(name) => name,
            _ => unreachable!("this is a string"),
        };
        let (kind, f) = (name("type"), name("f"));
        Ok(Self {
            index,
            time_ns,
            process,
            kind,
            f,
            value: from_json(&Json::Object(line)),
        })
    }

    pub(super) fn line(&self) -> Line<'_> {
        Line {
            index: self.index,
            time_ns: self.time_ns,
            process: self.process,
            kind: &self.kind,
            f: &self.f,
            value: JsonValue(&self.value),
            key: None,
        }
    }
}

fn from_json(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(is) => Value::Bool(*is),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(number), _) => Value::Int(number),
            (None, Some(number)) => big_integer(number),
            (None, None) => Value::Float(number.as_f64().unwrap_or(f64::NAN).into()),
        },
        Json::String(text) => Value::text(text),
        Json::Array(items) => Value::list(items.iter().map(from_json)),
        Json::Object(entries) => Value::map(
            entries
                .iter()
                .map(|(name, value)| (Value::keyword(name), from_json(value))),
        ),
    }
}
