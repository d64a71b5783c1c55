//! Reads and writes recorded histories in the formats in which people keep them.
//!
//! | format | what it is | what it holds |
//! |---|---|---|
//! | [`JsonLines`](Format::JsonLines) | ours: see [`history`] | logs |
//! | [`Edn`](Format::Edn) | Jepsen's operations: one vector, or one map after another | objects, logs |
//! | [`Json`](Format::Json) | the same as JSON: one array, or one object after another | objects, logs |
//! | [`EtcdLog`](Format::EtcdLog) | the log of Jepsen's etcd tests | a register |
//! | [`KvLog`](Format::KvLog) | Jepsen's operations on strings by key | a map |
//! | [`S2`](Format::S2) | the JSON lines of S2's own test | a stream |
//! | [`Calls`](Format::Calls) | `[id] call push(1)`, `[id] return` | a queue, a stack |
//!
//! All readers stream: beside the history itself they hold one line, or one element of a vector.
//! [`guess()`] tells the formats apart by what is in a file, never by its name.
//!
//! Every event of these formats has its own place in the order of the recording, so no two intervals
//! touch. The index of an event is the number of its operation map or line, from 0, among all that
//! are in the file, those of the nemesis included; or the file's own `:index` where all events have one
//! and these rise.
//!
//! This module does not judge: it refuses what is no history, with line, column and reason.

mod calls;
mod convert;
mod edn;
mod encoding;
mod error;
mod etcd;
mod events;
mod forms;
mod guess;
mod jepsen;
mod json;
mod lines;
mod log_twin;
mod rewrite;
mod s2;
mod suggest;
mod write;

use std::fmt;
use std::io::BufRead;
use std::str::FromStr;

use crate::history::{self, History};
use crate::models::{ModelKind, NilReads, Settings, UnknownModel};
use crate::object::{ObjectHistory, Value};
use error::Place;

pub use convert::{ConvertError, Converted, convert};
pub use edn::parse_edn;
pub use encoding::{Foreign, Whole};
pub use error::{ReadError, ReadErrorReason};
pub use forms::{MAX_DEPTH, MAX_VALUE_BYTES};
pub use guess::{HEAD_BYTES, NoGuess, guess, split_head};
pub use write::{WriteError, write};

/// How a history is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Format {
    /// Ours: one event of a log a line, see [`history`].
    #[value(name = "json-lines")]
    JsonLines,
    /// Jepsen's operations as EDN: one vector or list of maps, or one map after another.
    #[value(name = "edn")]
    Edn,
    /// Jepsen's operations as JSON: one array of objects, or one object after another.
    #[value(name = "json")]
    Json,
    /// The log of Jepsen's etcd tests, as Porcupine keeps it.
    #[value(name = "etcd")]
    EtcdLog,
    /// Porcupine's logs of a key-value store: EDN maps with a `:key`.
    #[value(name = "kv")]
    KvLog,
    /// The histories of S2's own linearizability test: one labelled event a line.
    #[value(name = "s2")]
    S2,
    /// `[id] call push(1)` and `[id] return`, one a line.
    #[value(name = "calls")]
    Calls,
}

impl Format {
    /// Every one there is.
    pub const ALL: [Self; 7] = [
        Self::JsonLines,
        Self::Edn,
        Self::Json,
        Self::EtcdLog,
        Self::KvLog,
        Self::S2,
        Self::Calls,
    ];

    /// Its name, as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JsonLines => "json-lines",
            Self::Edn => "edn",
            Self::Json => "json",
            Self::EtcdLog => "etcd",
            Self::KvLog => "kv",
            Self::S2 => "s2",
            Self::Calls => "calls",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no format has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no format is named `{0}`: there are json-lines, edn, json, etcd, kv, s2, calls")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let mut all = Self::ALL.into_iter();
        all.find(|format| format.name() == name)
            .ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

/// What was in a file.
#[derive(Clone, Debug)]
pub enum Recording {
    /// A history of logs.
    Log(History),
    /// A history of another object.
    Object(ObjectRecording),
}

/// A history of an object, and how it asks to be judged where nobody says otherwise.
#[derive(Clone, Debug)]
pub struct ObjectRecording {
    /// The history.
    pub history: ObjectHistory,
    /// What the object is, as far as the format or the functions tell.
    pub suggested: Option<Suggestion>,
    /// What the format says of the model.
    pub settings: Settings,
}

/// How to judge a history of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suggestion {
    /// Linearizability of this object.
    Model(ModelKind),
    /// Bounds of a counter: `add` of numbers, `read` of a number.
    Counter,
    /// What becomes of every element of a set that is read throughout.
    SetFull,
    /// What goes into a queue comes out of it, in any order.
    TotalQueue,
    /// No two `generate`d ids are the same.
    UniqueIds,
}

impl fmt::Display for Suggestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Model(model) => model.name(),
            Self::Counter => "counter",
            Self::SetFull => "set-full",
            Self::TotalQueue => "total-queue",
            Self::UniqueIds => "unique-ids",
        })
    }
}

/// A name that no model and no checker has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}, and besides counter, set-full, total-queue, unique-ids")]
pub struct UnknownSuggestion(#[from] UnknownModel);

/// By the name of a model, or of another checker.
impl FromStr for Suggestion {
    type Err = UnknownSuggestion;

    fn from_str(name: &str) -> Result<Self, UnknownSuggestion> {
        Ok(match name {
            "counter" => Self::Counter,
            "set-full" => Self::SetFull,
            "total-queue" => Self::TotalQueue,
            "unique-ids" => Self::UniqueIds,
            model => Self::Model(model.parse()?),
        })
    }
}

/// Reads a history. A mark that the text is UTF-8 is left out.
///
/// # Errors
///
/// If the input cannot be read, is not in this format, or is no history; with the place.
pub fn read(input: impl BufRead, format: Format) -> Result<Recording, ReadError> {
    let input = match encoding::open(input) {
        Ok(Ok(input)) => input,
        Ok(Err(foreign)) => return Err(Place::START.error(foreign)),
        Err(error) => return Err(Place::START.error(error)),
    };
    let object = |(history, suggested), settings| {
        Recording::Object(ObjectRecording {
            history,
            suggested,
            settings,
        })
    };
    let model = |history, model| (history, Some(Suggestion::Model(model)));
    let jepsen = |recorded| match recorded {
        jepsen::Recorded::Log(history) => Recording::Log(history),
        jepsen::Recorded::Object(history) => {
            let suggested = suggest::suggest(&history);
            object((history, suggested), Settings::default())
        }
    };
    match format {
        Format::JsonLines => Ok(Recording::Log(history::read_json(input)?)),
        Format::Edn => Ok(jepsen(jepsen::read(edn::Events::new(input))?)),
        Format::Json => Ok(jepsen(jepsen::read(json::Events::new(input))?)),
        Format::KvLog => {
            let history = jepsen::read_object(edn::Events::new(input))?;
            Ok(object(model(history, ModelKind::Kv), Settings::default()))
        }
        Format::EtcdLog => {
            let settings = Settings {
                initial: Some(Value::Nil),
                nil_reads: NilReads::Nil,
            };
            let history = etcd::read(input)?;
            Ok(object(model(history, ModelKind::CasRegister), settings))
        }
        Format::S2 => {
            let history = s2::read(input)?;
            Ok(object(model(history, ModelKind::S2), Settings::default()))
        }
        Format::Calls => Ok(object(calls::read(input)?, Settings::default())),
    }
}
