//! Which objects there are, and what can be set about them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::object::Value;

/// A sequential object, by its name.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[serde(rename_all = "kebab-case")]
pub enum ModelKind {
    /// `read`, `write`.
    Register,
    /// `read`, `write`, `cas` from one value to another.
    CasRegister,
    /// Several registers, read and written together: `txn`, or `read` and `write` of a map.
    MultiRegister,
    /// `acquire`, `release`.
    Mutex,
    /// Strings by key: `get`, `put`, `append`.
    Kv,
    /// `add`, `read` of all that is in it.
    Set,
    /// First in, first out: `enqueue`, `dequeue`.
    Queue,
    /// Last in, first out: `push`, `pop`.
    Stack,
    /// A log: `append`, `read`, `tail`.
    Log,
    /// A stream of S2: appends of batches under conditions, reads by their hash, tails.
    S2,
}

impl ModelKind {
    /// Every one there is.
    pub const ALL: [Self; 10] = [
        Self::Register,
        Self::CasRegister,
        Self::MultiRegister,
        Self::Mutex,
        Self::Kv,
        Self::Set,
        Self::Queue,
        Self::Stack,
        Self::Log,
        Self::S2,
    ];

    /// Its name, as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::CasRegister => "cas-register",
            Self::MultiRegister => "multi-register",
            Self::Mutex => "mutex",
            Self::Kv => "kv",
            Self::Set => "set",
            Self::Queue => "queue",
            Self::Stack => "stack",
            Self::Log => "log",
            Self::S2 => "s2",
        }
    }
}

impl fmt::Display for ModelKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no model has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no model is named `{0}`: there are register, cas-register, multi-register, mutex, kv, set, queue, stack, log, s2"
)]
pub struct UnknownModel(String);

impl FromStr for ModelKind {
    type Err = UnknownModel;

    fn from_str(name: &str) -> Result<Self, UnknownModel> {
        let mut all = Self::ALL.into_iter();
        all.find(|model| model.name() == name)
            .ok_or_else(|| UnknownModel(name.to_owned()))
    }
}

/// What a read that returned `nil` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NilReads {
    /// Nothing: its value was not recorded. So in Knossos' histories.
    #[default]
    Anything,
    /// That the register holds `nil`. So in the logs of Jepsen's etcd tests.
    Nil,
}

/// What can be set about a model. A format suggests it, people may say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The value that a register has at first, a map of values by register for several; `None` for the
    /// model's own: 0 for registers, empty for containers.
    pub initial: Option<Value>,
    /// What reads of `nil` say.
    pub nil_reads: NilReads,
}
