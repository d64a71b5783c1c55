//! The words of a history: what a client asks of a log and what it is answered.
//!
//! These are values without behaviour. Whether an answer is *right* is for the checkers.

use std::fmt;

use hstore_core::{Epoch, Lsn};
use serde::{Deserialize, Serialize};

use super::lsn_text;
use super::position::after;

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

/// A fencing token: a number that appends can set, and can demand to be the one that was set last.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Token(pub u64);

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "token {}", self.0)
    }
}

/// What an append demands and sets beside its record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Terms {
    /// The last record of the log must be the one here; [`Lsn::MIN`] stands for a log without a record.
    /// Holes and bridges are no records.
    pub last: Option<Lsn>,
    /// This token must be the one that was set last.
    pub token: Option<Token>,
    /// The record sets this token.
    pub sets: Option<Token>,
}

impl Terms {
    /// Demands nothing and sets nothing.
    pub const NONE: Self = Self {
        last: None,
        token: None,
        sets: None,
    };

    /// Whether it can be refused.
    #[must_use]
    pub fn is_conditional(&self) -> bool {
        self.last.is_some() || self.token.is_some()
    }
}

/// A subscription that reads a log once, in order, and again from where it was when it starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Subscription {
    /// Which.
    pub id: u32,
    /// How often it has started anew: at the start of each incarnation it may go back to what it had not
    /// acknowledged.
    pub incarnation: u32,
}

/// Where a read looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// Wherever the log is: this is how clients read.
    #[default]
    Log,
    /// In the local tier alone.
    Tier1,
    /// In object storage alone.
    Tier2,
}

/// What a process asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Append one record.
    Append {
        /// Its identity; no other append to this log carries it.
        record: RecordId,
        /// What it demands and sets.
        terms: Terms,
    },
    /// Take a validated tail, then return what lies at and above `from`, up to that tail.
    Read {
        /// The first LSN asked for.
        from: Lsn,
        /// At most so many records; gaps do not count.
        limit: u32,
        /// Whether it was made after the last append had ended, in order to see what is left.
        is_final: bool,
        /// Where it looks. Only a read of the log takes a tail; one of a tier is a poll of that tier.
        source: Source,
    },
    /// Return what is known to lie at and above `from`: not necessarily all.
    Poll {
        /// The first LSN asked for.
        from: Lsn,
        /// At most so many records; gaps do not count.
        limit: u32,
        /// The subscription that asks, if one does.
        subscription: Option<Subscription>,
    },
    /// Ask for the next LSN to be assigned.
    Tail,
    /// Give up all records at and below `upto`. They may stay readable for a while.
    Trim {
        /// The last LSN given up.
        upto: Lsn,
    },
    /// End all epochs below this one: later records have this epoch or a higher one.
    Seal {
        /// The first epoch that is not ended.
        epoch: Epoch,
    },
}

/// What an operation is, without its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OpKind {
    /// [`Call::Append`].
    Append,
    /// [`Call::Read`].
    Read,
    /// [`Call::Poll`].
    Poll,
    /// [`Call::Tail`].
    Tail,
    /// [`Call::Trim`].
    Trim,
    /// [`Call::Seal`].
    Seal,
}

impl OpKind {
    /// Every one there is, in order.
    pub const ALL: [Self; 6] = [
        Self::Append,
        Self::Read,
        Self::Poll,
        Self::Tail,
        Self::Trim,
        Self::Seal,
    ];
}

impl fmt::Display for OpKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Append => "append",
            Self::Read => "read",
            Self::Poll => "poll",
            Self::Tail => "tail",
            Self::Trim => "trim",
            Self::Seal => "seal",
        })
    }
}

impl Call {
    /// An append that demands and sets nothing.
    #[must_use]
    pub const fn append(record: RecordId) -> Self {
        Self::Append {
            record,
            terms: Terms::NONE,
        }
    }

    /// A read of the log.
    #[must_use]
    pub const fn read(from: Lsn, limit: u32, is_final: bool) -> Self {
        Self::Read {
            from,
            limit,
            is_final,
            source: Source::Log,
        }
    }

    /// What is asked, without the arguments.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        match self {
            Self::Append { .. } => OpKind::Append,
            Self::Read { .. } => OpKind::Read,
            Self::Poll { .. } => OpKind::Poll,
            Self::Tail => OpKind::Tail,
            Self::Trim { .. } => OpKind::Trim,
            Self::Seal { .. } => OpKind::Seal,
        }
    }
}

/// `append(#7)`, `append(#7, if last is e1:3, sets token 2)`, `read(e1:1, 100)`, `tail()`, ...
impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Append { record, terms } => {
                write!(f, "append({record}")?;
                match terms.last {
                    Some(Lsn::MIN) => f.write_str(", if empty")?,
                    Some(last) => write!(f, ", if last is {last}")?,
                    None => {}
                }
                if let Some(token) = terms.token {
                    write!(f, ", if {token}")?;
                }
                if let Some(token) = terms.sets {
                    write!(f, ", sets {token}")?;
                }
                f.write_str(")")
            }
            Self::Read {
                from,
                limit,
                is_final,
                source,
            } => {
                let word = if *is_final { "final read" } else { "read" };
                let place = match source {
                    Source::Log => "",
                    Source::Tier1 => ", tier 1",
                    Source::Tier2 => ", tier 2",
                };
                write!(f, "{word}({from}, {limit}{place})")
            }
            Self::Poll {
                from,
                limit,
                subscription: None,
            } => write!(f, "poll({from}, {limit})"),
            Self::Poll {
                from,
                limit,
                subscription: Some(Subscription { id, incarnation }),
            } => write!(f, "poll({from}, {limit}, subscription {id}.{incarnation})"),
            Self::Tail => f.write_str("tail()"),
            Self::Trim { upto } => write!(f, "trim({upto})"),
            Self::Seal { epoch } => write!(f, "seal({epoch})"),
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

/// The answer to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The record is durable, at this LSN. Ends [`Status::Ok`].
    Append {
        /// Its position.
        lsn: Lsn,
    },
    /// What an append demands was not so. It ends [`Status::Fail`]: it had no effect, but says something
    /// of the log.
    Mismatch(Mismatch),
    /// What a read or a poll returned.
    Read(ReadOutcome),
    /// A read or a poll began at or below what was given up by a trim.
    Trimmed {
        /// The last LSN that is given up, as the answer says.
        upto: Lsn,
    },
    /// The next LSN to be assigned.
    Tail {
        /// Above every record that was in the log.
        tail: Lsn,
    },
    /// The trim will hold.
    Trim,
    /// The epochs below are ended.
    Seal {
        /// The next LSN to be assigned when they were.
        tail: Lsn,
    },
}

/// What a refused append was told. Without either, only that what it demands was not so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mismatch {
    /// The last record was the one here; [`Lsn::MIN`] if there was none.
    pub last: Option<Lsn>,
    /// This token was set last; `Some(None)` if none ever was.
    pub token: Option<Option<Token>>,
}

impl Outcome {
    /// The kind of operation that is answered so; polls are answered like reads.
    #[must_use]
    pub fn kind(&self) -> OpKind {
        match self {
            Self::Append { .. } | Self::Mismatch(_) => OpKind::Append,
            Self::Read(_) | Self::Trimmed { .. } => OpKind::Read,
            Self::Tail { .. } => OpKind::Tail,
            Self::Trim => OpKind::Trim,
            Self::Seal { .. } => OpKind::Seal,
        }
    }

    /// Whether an operation of this kind can be answered so.
    #[must_use]
    pub fn answers(&self, asked: OpKind) -> bool {
        let asked = match asked {
            OpKind::Poll => OpKind::Read,
            other => other,
        };
        self.kind() == asked
    }

    /// How an operation ends that is answered so.
    #[must_use]
    pub fn status(&self) -> Status {
        match self {
            Self::Mismatch(_) => Status::Fail,
            _ => Status::Ok,
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
    /// The tail that the read took before it read: the next LSN to be assigned then. A poll takes none,
    /// and neither does a read of a tier: there, it is above the last position of which it speaks.
    pub tail: Lsn,
}

impl ReadOutcome {
    /// What a poll returned, or a read of a tier: it speaks of what lies below its last entry.
    #[must_use]
    pub fn of_poll(records: Vec<(Lsn, RecordId)>, gaps: Vec<Gap>) -> Self {
        let mut poll = Self {
            records,
            gaps,
            tail: Lsn::MIN,
        };
        poll.tail = poll.end_of_entries();
        poll
    }

    /// Just above the last entry; [`Lsn::MIN`] if there is none.
    pub(crate) fn end_of_entries(&self) -> Lsn {
        let tops = self.records.iter().map(|(lsn, _)| *lsn);
        let top = tops.chain(self.gaps.iter().map(|gap| gap.last)).max();
        top.map_or(Lsn::MIN, |top| Lsn::from_u64(after(top.as_u64())))
    }
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
    /// Whatever was here was given up by a trim.
    Trim,
}

impl fmt::Display for GapKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bridge => "bridge",
            Self::Hole => "hole",
            Self::DataLoss => "data loss",
            Self::Trim => "trim",
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
