//! Jepsen's events, whatever text they were written in: one map each.

use std::borrow::Cow;

use super::error::{Place, ReadError};
use crate::history::ProcessId;
use crate::object::Value;

/// A source of events, in the order of the recording.
pub(super) trait Events {
    /// The next event, `None` at the end.
    fn next(&mut self) -> Result<Option<Placed<Event>>, ReadError>;
}

/// Something, and where it begins.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) what: T,
    pub(super) place: Place,
}

/// An event of a client, or of something else.
#[derive(Clone, Debug)]
pub(super) struct Event {
    /// Who; `None` for what is no client, such as the nemesis.
    pub(super) process: Option<ProcessId>,
    pub(super) kind: EventType,
    /// The name of what is asked.
    pub(super) function: Cow<'static, str>,
    /// The argument or the result.
    pub(super) value: Value,
    /// The part of the object that it is about.
    pub(super) key: Option<Value>,
    /// Its place in the recording, if it says so.
    pub(super) index: Option<u64>,
    /// When it happened; 0 if it does not say.
    pub(super) time_ns: u64,
}

/// What an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EventType {
    Invoke,
    Ok,
    Fail,
    Info,
}

impl EventType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Invoke => "invoke",
            Self::Ok => "ok",
            Self::Fail => "fail",
            Self::Info => "info",
        }
    }

    pub(super) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "invoke" => Self::Invoke,
            "ok" => Self::Ok,
            "fail" => Self::Fail,
            "info" => Self::Info,
            _ => return None,
        })
    }
}

/// What a process is called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Who<'e> {
    Number(i64),
    Name(&'e str),
    Nobody,
}

/// The fields of an event as they come.
#[derive(Debug, Default)]
pub(super) struct Fields {
    process: Option<Option<ProcessId>>,
    kind: Option<EventType>,
    function: Option<Cow<'static, str>>,
    value: Value,
    key: Option<Value>,
    index: Option<u64>,
    time_ns: u64,
}

impl Fields {
    /// A process: a client if it is a number, however it is written.
    pub(super) fn process(&mut self, who: Who<'_>) -> Result<(), String> {
        let number = match who {
            Who::Number(number) => Some(number),
            Who::Name(name) => name.parse().ok(),
            Who::Nobody => return Err("`process` must be a number or a name".to_owned()),
        };
        self.process = Some(match number {
            // Newer versions of Jepsen call the nemesis -1.
            None | Some(..0) => None,
            Some(number) => {
                let number = u32::try_from(number)
                    .map_err(|_| format!("process {number} is above {}", u32::MAX))?;
                Some(ProcessId(number))
            }
        });
        Ok(())
    }

    pub(super) fn kind(&mut self, name: Option<&str>) -> Result<(), String> {
        let kind = name.and_then(EventType::parse);
        self.kind = Some(kind.ok_or("`type` must be `invoke`, `ok`, `fail` or `info`")?);
        Ok(())
    }

    pub(super) fn function(&mut self, name: Option<&str>) -> Result<(), String> {
        let name = name.ok_or("`f` must be a name")?;
        // Nearly all histories are made of these.
        const KNOWN: [&str; 12] = [
            "read", "write", "cas", "get", "put", "append", "add", "enqueue", "dequeue", "txn",
            "acquire", "release",
        ];
        let known = KNOWN.into_iter().find(|known| *known == name);
        self.function = Some(known.map_or_else(|| Cow::Owned(name.to_owned()), Cow::Borrowed));
        Ok(())
    }

    pub(super) fn value(&mut self, value: Value) {
        self.value = value;
    }

    pub(super) fn key(&mut self, key: Value) {
        self.key = Some(key).filter(|key| !key.is_nil());
    }

    pub(super) fn index(&mut self, index: Option<u64>) -> Result<(), String> {
        self.index = Some(index.ok_or("`index` must be a number, not below 0")?);
        Ok(())
    }

    pub(super) fn time(&mut self, time_ns: Option<u64>) {
        // For people only, so a clock that went wrong is no reason to refuse a history.
        self.time_ns = time_ns.unwrap_or(0);
    }

    pub(super) fn finish(self) -> Result<Event, String> {
        let process = self.process.ok_or("an event needs a `process`")?;
        let event = Event {
            process,
            kind: self.kind.ok_or("an event needs a `type`")?,
            function: match (self.function, process) {
                (Some(function), _) => function,
                (None, None) => Cow::Borrowed(""),
                (None, Some(_)) => return Err("an event needs an `f`".to_owned()),
            },
            value: self.value,
            key: self.key,
            index: self.index,
            time_ns: self.time_ns,
        };
        Ok(split_key(event))
    }
}

/// Values of `jepsen.independent` are pairs of a key and a value, but only a tag tells them from other
/// pairs, such as those of `cas`: `#jepsen.independent.Tuple [key value]`.
fn split_key(mut event: Event) -> Event {
    if let Value::Tagged(tag, pair) = &event.value
        && let Some(name) = tag.rsplit(['.', '/']).next()
        && name.eq_ignore_ascii_case("tuple")
        && let Value::List(pair) = &**pair
        && let [key, value] = &**pair
    {
        event.key = Some(key.clone());
        event.value = value.clone();
    }
    event
}

/// An integer that need not fit in an `i64`: greater ones are kept as symbols, see [`big_integer`].
pub(super) fn as_u64(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Symbol(digits) => digits.strip_suffix('N')?.parse().ok(),
        _ => None,
    }
}

/// An integer that does not fit in an `i64`: its digits and an `N`, as EDN writes it. Models see it as a
/// name, so it is equal to itself and to nothing else.
pub(super) fn big_integer(digits: impl std::fmt::Display) -> Value {
    Value::Symbol(format!("{digits}N").into())
}
