//! Jepsen's events as JSON: keywords are strings, sets are arrays.

use std::borrow::Cow;
use std::fmt;
use std::io::BufRead;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::error::{Place, ReadError};
use super::events::{self, Event, Fields, Placed, Who, as_u64, big_integer};
use super::forms::{Dialect, Forms};
use crate::object::Value;

/// The events of a JSON file: elements of one array, or one after another.
#[derive(Debug)]
pub(super) struct Events<R>(Forms<R>);

impl<R: BufRead> Events<R> {
    pub(super) fn new(input: R) -> Self {
        Self(Forms::new(input, Dialect::Json))
    }
}

impl<R: BufRead> events::Events for Events<R> {
    fn next(&mut self) -> Result<Option<Placed<Event>>, ReadError> {
        let Some(form) = self.0.next()? else {
            return Ok(None);
        };
        let place = form.start;
        if form.text.first() != Some(&b'{') {
            return Err(place.event("an event is an object, in braces"));
        }
        let line: Line<'_> = parse(form.utf8()?, place)?;
        let what = event(line).map_err(|reason| place.event(reason))?;
        Ok(Some(Placed { what, place }))
    }
}

/// A value of JSON that begins at `place`.
pub(super) fn parse<'de, T: Deserialize<'de>>(
    text: &'de str,
    place: Place,
) -> Result<T, ReadError> {
    serde_json::from_str(text).map_err(|error| {
        // Its places are those in the text, and the text need not begin a line.
        let place = Place {
            line: place.line + error.line().saturating_sub(1) as u64,
            column: match error.line() {
                0 | 1 => place.column + error.column().saturating_sub(1),
                _ => error.column().max(1),
            },
        };
        let text = error.to_string();
        place.syntax(text.split(" at line ").next().unwrap_or(&text))
    })
}

/// An event as it is written; what it says besides is ignored.
#[derive(Deserialize)]
struct Line<'t> {
    process: Option<ReadValue>,
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'t, str>>,
    #[serde(borrow)]
    f: Option<Cow<'t, str>>,
    #[serde(default)]
    value: ReadValue,
    key: Option<ReadValue>,
    index: Option<ReadValue>,
    time: Option<ReadValue>,
}

fn event(line: Line<'_>) -> Result<Event, String> {
    let mut fields = Fields::default();
    if let Some(ReadValue(process)) = line.process {
        let is_above = as_u64(&process).is_some();
        fields.process(match &process {
            Value::Int(number) => Who::Number(*number),
            Value::Text(name) => Who::Name(name),
            _ if is_above => Who::Number(i64::MAX),
            _ => Who::Nobody,
        })?;
    }
    if line.kind.is_some() {
        fields.kind(line.kind.as_deref())?;
    }
    if line.f.is_some() {
        fields.function(line.f.as_deref())?;
    }
    if let Some(ReadValue(key)) = line.key {
        fields.key(key);
    }
    if let Some(ReadValue(index)) = line.index {
        fields.index(as_u64(&index))?;
    }
    if let Some(ReadValue(time)) = line.time {
        fields.time(as_u64(&time));
    }
    fields.value(line.value.0);
    fields.finish()
}

/// A [`Value`] that was read from JSON.
#[derive(Clone, Debug, Default)]
struct ReadValue(Value);

impl<'de> Deserialize<'de> for ReadValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Seed.deserialize(deserializer).map(Self)
    }
}

/// Reads a value; the parser bounds the depth.
struct Seed;

impl<'de> DeserializeSeed<'de> for Seed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E: Error>(self, is: bool) -> Result<Value, E> {
        Ok(Value::Bool(is))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Int(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Value, E> {
        Ok(i64::try_from(number).map_or_else(|_| big_integer(number), Value::Int))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Ok(Value::Float(number.into()))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Value, E> {
        Ok(Value::text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(item) = items.next_element_seed(Self)? {
            all.push(item);
        }
        Ok(Value::list(all))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut all = Vec::new();
        while let Some(key) = entries.next_key_seed(Self)? {
            all.push((key, entries.next_value_seed(Self)?));
        }
        Ok(Value::map(all))
    }
}

/// A [`Value`] to be written as JSON. What JSON cannot say is written as near as it can: keywords, symbols
/// and keys of maps as strings, sets as arrays, numbers that are none as null, tags not at all.
#[derive(Clone, Copy, Debug)]
pub(super) struct JsonValue<'v>(pub(super) &'v Value);

impl Serialize for JsonValue<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Nil => serializer.serialize_unit(),
            Value::Bool(is) => serializer.serialize_bool(*is),
            Value::Int(number) => serializer.serialize_i64(*number),
            Value::Float(number) => serializer.serialize_f64(number.get()),
            Value::Symbol(name) => match as_u64(self.0) {
                Some(number) => serializer.serialize_u64(number),
                None => serializer.serialize_str(name),
            },
            Value::Text(name) | Value::Keyword(name) => serializer.serialize_str(name),
            Value::List(items) | Value::Set(items) => {
                serializer.collect_seq(items.iter().map(JsonValue))
            }
            Value::Map(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (key, value) in entries {
                    match key.as_name() {
                        Some(name) => map.serialize_entry(name, &JsonValue(value))?,
                        None => map.serialize_entry(&key.to_string(), &JsonValue(value))?,
                    }
                }
                map.end()
            }
            Value::Tagged(_, value) => JsonValue(value).serialize(serializer),
        }
    }
}
