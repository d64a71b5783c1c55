//! The words of a history: what a client asks of a log and what it is answered.
//!
//! These are values without behaviour. Whether an answer is *right* is for the checkers.

use std::fmt;

use hstore_core::Lsn;
use serde::{Deserialize, Serialize};

use super::lsn_text;

/// One client process: it does one thing at a time. A client that crashed, or whose operation
/// ended [`Status::Info`], goes on under a new number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ProcessId(pub u32);

/// The identity that a client gives to the record it appends: unique in its log.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RecordId(pub u64);

/// An operation of a history, numbered in the order of invocation.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct OpId(pub u32);

/// The place of an event in the total order of the recording. Intervals are made of these, not of
/// times.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EventIndex(pub u64);

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "op {}", self.0)
    }
}

impl fmt::Display for EventIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "event {}", self.0)
    }
}

impl EventIndex {
    /// The greatest index that an event can have.
    pub const MAX: Self = Self(u64::MAX / 2 - 1);
}

/// What operations are to each other that touch: one returned at the very moment at which the other was
/// invoked, so that their events have the same index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Intervals {
    /// They are concurrent: an operation can take effect at either end of its interval.
    #[default]
    Closed,
    /// The one that returned precedes the other.
    Open,
}

impl Intervals {
    /// A number for an invocation. It compares with [`completion_edge`](Self::completion_edge) so that
    /// one operation precedes another iff its completion's number is less than the other's invocation's.
    /// The numbers of invocations and completions are never equal.
    #[must_use]
    pub fn invocation_edge(self, index: EventIndex) -> u64 {
        match self {
            Self::Closed => 2 * index.0,
            Self::Open => 2 * index.0 + 1,
        }
    }

    /// A number for a completion; see [`invocation_edge`](Self::invocation_edge).
    #[must_use]
    pub fn completion_edge(self, index: EventIndex) -> u64 {
        match self {
            Self::Closed => 2 * index.0 + 1,
            Self::Open => 2 * index.0,
        }
    }
}

/// When an event happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Its place in the recording: what the checkers compare.
    pub index: EventIndex,
    /// Its time, for people only; no checker looks at it.
    pub time_ns: u64,
}

/// What a process asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "f", rename_all = "lowercase")]
pub enum Call {
    /// Append one record.
    Append {
        /// Its identity; no other append to this log carries it.
        record: RecordId,
    },
    /// Take a validated tail, then return what lies at and above `from`, up to that tail.
    Read {
        /// The first LSN asked for.
        #[serde(with = "lsn_text")]
        from: Lsn,
        /// At most so many records; gaps do not count.
        limit: u32,
        /// Whether it was made after the last append had ended, in order to see what is left.
        #[serde(rename = "final", default)]
        is_final: bool,
    },
    /// Ask for the next LSN to be assigned.
    Tail,
}

/// What an operation is, without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpKind {
    /// [`Call::Append`].
    Append,
    /// [`Call::Read`].
    Read,
    /// [`Call::Tail`].
    Tail,
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Tail => "tail",
        })
    }
}

impl Call {
    /// What is asked, without the arguments.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        match self {
            Self::Append { .. } => OpKind::Append,
            Self::Read { .. } => OpKind::Read,
            Self::Tail => OpKind::Tail,
        }
    }
}

/// `append(#7)`, `read(e1:1, 100)`, `tail()`.
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { record } => write!(f, "append({record})"),
            Self::Read {
                from,
                limit,
                is_final,
            } => {
                let word = if *is_final { "final read" } else { "read" };
                write!(f, "{word}({from}, {limit})")
            }
            Self::Tail => f.write_str("tail()"),
        }
    }
}

/// How an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Nothing was heard of it before the recording ended. Counts as [`Status::Info`].
    Open,
    /// It was answered, and took effect once between its invocation and its return.
    Ok,
    /// It certainly had no effect, and never will.
    Fail,
    /// Nobody knows: it may take effect at any time after its invocation, or never.
    Info,
}

/// The answer to an operation that ended [`Status::Ok`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The record is durable, at this LSN.
    Append {
        /// Its position.
        lsn: Lsn,
    },
    /// What a read returned.
    Read(ReadOutcome),
    /// The next LSN to be assigned.
    Tail {
        /// Above every record that was in the log.
        tail: Lsn,
    },
}

impl Outcome {
    /// The kind of operation that is answered so.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        match self {
            Self::Append { .. } => OpKind::Append,
            Self::Read(_) => OpKind::Read,
            Self::Tail { .. } => OpKind::Tail,
        }
    }
}

/// What a read returned. A right one has all records in rising order, and records and gaps together
/// tile `[from, tail)`, or the lower part of it if the limit cut it: no overlap, and no LSN left out.
/// Cut gaps to that range before recording them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOutcome {
    /// The records, in the order in which they were delivered.
    pub records: Vec<(Lsn, RecordId)>,
    /// The gaps, in any order.
    pub gaps: Vec<Gap>,
    /// The tail that the read took before it read: the next LSN to be assigned then.
    pub tail: Lsn,
}

/// A range of LSNs of which a read said that they hold no record, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Gap {
    /// Why.
    pub kind: GapKind,
    /// The first LSN of the gap.
    #[serde(with = "lsn_text")]
    pub first: Lsn,
    /// The last LSN of the gap, inclusive.
    #[serde(with = "lsn_text")]
    pub last: Lsn,
}

/// Why a range of LSNs holds no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapKind {
    /// The rest of an epoch above its last record.
    Bridge,
    /// An LSN that was assigned, but whose append never took effect.
    Hole,
    /// A record may have been here; it cannot be found any more.
    DataLoss,
}

impl fmt::Display for GapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge",
            Self::Hole => "hole",
            Self::DataLoss => "data loss",
        })
    }
}

/// `hole e1:3`, `bridge e1:4..=e1:4294967295`.
impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            write!(f, "{} {}", self.kind, self.first)
        } else {
            write!(f, "{} {}..={}", self.kind, self.first, self.last)
        }
    }
}
