//! Jepsen's events as EDN.
//!
//! A tag around an event (`#jepsen.history.Op{...}`) says nothing. Keys of an event may be keywords or
//! strings, and those that are not known are ignored.

use std::io::BufRead;

use clojure_reader::edn::{self, Edn};
use clojure_reader::error::Code;

use super::error::{Place, ReadError};
use super::events::{self, Event, Fields, Placed, Who, big_integer};
use super::forms::{Dialect, Forms};
use super::rewrite;
use crate::object::Value;

/// The events of an EDN file: elements of one vector or list, or one after another.
#[derive(Debug)]
pub(super) struct Events<R>(Forms<R>);

impl<R: BufRead> Events<R> {
    pub(super) fn new(input: R) -> Self {
        Self(Forms::new(input, Dialect::Edn))
    }
}

impl<R: BufRead> events::Events for Events<R> {
    fn next(&mut self) -> Result<Option<Placed<Event>>, ReadError> {
        let Some(form) = self.0.next()? else {
            return Ok(None);
        };
        let place = form.start;
        let what = parse(form.utf8()?, place, event)?;
        Ok(Some(Placed { what, place }))
    }
}

/// Parses one value, such as an argument of a command.
///
/// # Errors
///
/// If the text is not one value of EDN.
pub fn parse_edn(text: &str) -> Result<Value, ReadError> {
    parse(text.trim(), Place::START, convert)
}

/// The first of the values in `text`, which begins at `place` and is a line.
pub(super) fn first_value(text: &str, place: Place) -> Result<Value, ReadError> {
    let mut forms = Forms::new(text.as_bytes(), Dialect::Edn);
    // A vector would be taken for a list of events, were it not for what is before it.
    forms.is_bare();
    let within = |error: ReadError| ReadError {
        line: place.line,
        column: place.column + error.column - 1,
        reason: error.reason,
    };
    let Some(form) = forms.next().map_err(within)? else {
        return Err(place.syntax("a value must be here"));
    };
    let start = place.within(text.as_bytes(), form.start.column - 1);
    parse(form.utf8()?, start, convert)
}

/// Parses what begins at `place`, and gives the value to `take`.
fn parse<T>(
    text: &str,
    place: Place,
    take: impl Fn(&Edn<'_>) -> Result<T, String>,
) -> Result<T, ReadError> {
    let taken = |edn: &Edn<'_>| take(edn).map_err(|reason| place.event(reason));
    let error = match edn::read(text) {
        Ok((edn, "")) => return taken(&edn),
        Ok((_, rest)) => {
            let place = place.within(text.as_bytes(), text.len() - rest.len());
            return Err(place.syntax("something follows the value"));
        }
        Err(error) => error,
    };
    // What the parser does not know is rare, so it is only looked for when parsing failed.
    if let Some(plain) = rewrite::plain(text)
        && let Ok((edn, "")) = edn::read(&plain)
    {
        return taken(&edn);
    }
    // Without a place, the text ended before any value began.
    let place = place.within(text.as_bytes(), error.ptr.unwrap_or(text.len()));
    Err(place.syntax(explain(&error.code)))
}

fn explain(code: &Code) -> String {
    match code {
        Code::HashMapDuplicateKey => "a map has this key twice".to_owned(),
        Code::SetDuplicateKey => "a set has this element twice".to_owned(),
        Code::InvalidChar => "there is no such character".to_owned(),
        Code::InvalidEscape => {
            "there is no such escape in a string: there are \\t \\r \\n \\b \\f \\u \\\\ \\\""
                .to_owned()
        }
        Code::InvalidKeyword => "a keyword needs a name".to_owned(),
        Code::InvalidNumber | Code::InvalidRadix(_) => "this is not a number".to_owned(),
        Code::InvalidTag => "this is not a tag".to_owned(),
        Code::UnexpectedEOF => "the value ends too early".to_owned(),
        Code::UnmatchedDelimiter(close) => {
            format!("`{close}` does not close what is open, or closes it too early")
        }
        other => format!("this is not EDN: {other:?}"),
    }
}

fn event(edn: &Edn<'_>) -> Result<Event, String> {
    let mut edn = edn;
    while let Edn::Tagged(_, inner) = edn {
        edn = inner;
    }
    let Edn::Map(entries) = edn else {
        return Err("an event is a map, in braces".to_owned());
    };
    let mut fields = Fields::default();
    for (key, value) in entries {
        match name(key) {
            Some("process") => fields.process(who(value))?,
            Some("type") => fields.kind(name(value))?,
            Some("f") => fields.function(name(value))?,
            Some("value") => fields.value(convert(value)?),
            Some("key") => fields.key(convert(value)?),
            // Histories that were never indexed may say so.
            Some("index") if matches!(value, Edn::Nil) => {}
            Some("index") => fields.index(natural(value))?,
            Some("time") => fields.time(natural(value)),
            _ => {}
        }
    }
    fields.finish()
}

fn name<'e>(edn: &'e Edn<'_>) -> Option<&'e str> {
    match edn {
        Edn::Key(name) | Edn::Str(name) | Edn::Symbol(name) => Some(name),
        _ => None,
    }
}

fn who<'e>(edn: &'e Edn<'_>) -> Who<'e> {
    match (edn, name(edn)) {
        (Edn::Int(number), _) => Who::Number(*number),
        // Above what a process can be, so that it is refused rather than taken for the nemesis.
        (Edn::BigInt(_), _) => Who::Number(i64::MAX),
        (_, Some(name)) => Who::Name(name),
        (_, None) => Who::Nobody,
    }
}

fn natural(edn: &Edn<'_>) -> Option<u64> {
    match edn {
        Edn::Int(number) => u64::try_from(*number).ok(),
        Edn::BigInt(number) => number.to_string().parse().ok(),
        _ => None,
    }
}

/// Calls itself for what is inside: [`Forms`] has bounded the depth.
fn convert(edn: &Edn<'_>) -> Result<Value, String> {
    let all = |items: &Vec<Edn<'_>>| items.iter().map(convert).collect::<Result<Vec<_>, _>>();
    Ok(match edn {
        Edn::Nil => Value::Nil,
        Edn::Bool(is) => Value::Bool(*is),
        Edn::Int(number) => Value::Int(*number),
        Edn::Key(name) => Value::keyword(name),
        Edn::Str(text) => Value::text(text),
        Edn::Symbol(name) => Value::Symbol((&**name).into()),
        Edn::Vector(items) | Edn::List(items) => Value::list(all(items)?),
        Edn::Set(items) => Value::set(items.iter().map(convert).collect::<Result<Vec<_>, _>>()?),
        Edn::Map(entries) => {
            let entries = entries
                .iter()
                .map(|(key, value)| Ok((convert(key)?, convert(value)?)));
            Value::map(entries.collect::<Result<Vec<_>, String>>()?)
        }
        Edn::Tagged(tag, _) if let Some(number) = rewrite::number(tag) => {
            Value::Float(number.into())
        }
        Edn::Tagged(tag, inner) => Value::Tagged((&**tag).into(), Box::new(convert(inner)?)),
        Edn::Double(number) => Value::Float(number.0.into()),
        Edn::Char(character) => Value::Text(character.to_string().into()),
        Edn::Rational((above, below)) => Value::Symbol(format!("{above}/{below}").into()),
        Edn::BigInt(number) => {
            let digits = number.to_string();
            digits
                .parse()
                .map_or_else(|_| big_integer(&digits), Value::Int)
        }
        Edn::BigDec(number) => Value::Symbol(format!("{number}M").into()),
        other => return Err(format!("there is no place for {other} in a history")),
    })
}
