//! Linearizability of a stream whose positions are dense and whose reads tell a hash of all that lies
//! below the tail, as S2's do.
//!
//! An acknowledged append says where its records are, so the order of the acknowledged ones is known, and
//! all of them are placed at once. What is left over are *holes*: ranges below the highest observed
//! position that no acknowledged append owns. Only appends of unknown outcome can fill them, and a hash
//! told by a read above a hole says whether they were the right ones.
//!
//! Let `U(p)` be the earliest return of whatever is known to come no earlier than the moment at which
//! the stream reached length `p`: acknowledged appends that end at `p` or above, and observers of a
//! tail at `p` or above. Appends of unknown outcome never return, so `U` does not depend on how holes
//! are filled. Going up the stream, let `L` be the latest invocation of whatever came before: appends so
//! far, and observers of tails below. A filling explains the history iff `L < U(p)` wherever an append
//! ends at `p`, every hash agrees and every condition holds; the argument is that of
//! [`log_check`](crate::log_check). So:
//!
//! 1. `layout`: acknowledged appends and observers must fit beside each other, and `L < U` must hold
//!    with all holes filled by appends that were invoked at the beginning of time. Linear, and enough to
//!    find almost everything that is wrong.
//! 2. `fill`: holes are filled from below, going back only as far as the last choice. A wrong choice is
//!    noticed at the next hash; and where no record is in two appends of unknown outcome, a right hash
//!    says that everything below was right. What appends of different sizes make of holes that no hash anchors is
//!    as hard as 3-PARTITION, so the steps are counted, and there may be no verdict.
//!
//! Appends without a record and tails of more than 64 bits are not for this checker.

mod fill;
mod layout;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::history::OpId;
use crate::models::{S2, S2Op};
use crate::search::{Timed, replay};

use fill::{Filled, Stuck, StuckCause, fill};
use layout::{Layout, Misfit};

/// What can be said of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StreamVerdict {
    /// This order explains all that was told. Appends of unknown outcome that are not here never took
    /// effect.
    Valid {
        /// The order.
        order: Vec<OpId>,
        /// How many steps filling the holes took.
        steps: u64,
    },
    /// Nothing does.
    Invalid(StreamFault),
    /// Finding out takes more steps.
    OutOfBudget,
}

/// Why nothing explains what was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamFault {
    /// What is wrong.
    pub cause: StreamCause,
    /// The operations that cannot all be right, whether or not other appends took effect; rising.
    pub required: Vec<OpId>,
}

/// What is wrong with a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamCause {
    /// The append was told a tail that is less than the number of its records.
    TooLong {
        /// The append.
        append: OpId,
    },
    /// The append took effect elsewhere than it demanded.
    NotWhereDemanded {
        /// The append.
        append: OpId,
        /// Where its first record is.
        start: u64,
    },
    /// Two appends own a position.
    Overlap {
        /// One.
        one: OpId,
        /// The other.
        two: OpId,
        /// The position.
        at: u64,
    },
    /// A tail lies in the middle of an append, which is atomic.
    TailInside {
        /// Who was told the tail.
        observer: OpId,
        /// The append.
        append: OpId,
    },
    /// An operation must come before another that had returned before it was invoked.
    TooLate {
        /// The one that must come first.
        early: OpId,
        /// The one that had returned.
        late: OpId,
    },
    /// A hash is not that of the records below.
    Hash {
        /// Who was told the hash.
        observer: OpId,
        /// The hash of the records below.
        expected: u64,
    },
    /// An append took effect although another token was set than it demanded.
    Token {
        /// The append.
        append: OpId,
        /// The token that was set.
        set: Option<String>,
    },
    /// Somebody was told of more records than were appended.
    Hole {
        /// The first position at which nothing can be.
        start: u64,
        /// The position above the last one.
        end: u64,
        /// Who was told of what lies above.
        told: OpId,
    },
}

impl StreamCause {
    /// The operation whose answer is blamed.
    #[must_use]
    pub fn blamed(&self) -> OpId {
        match *self {
            Self::TooLong { append }
            | Self::NotWhereDemanded { append, .. }
            | Self::Token { append, .. } => append,
            Self::Overlap { two, .. } => two,
            Self::TailInside { observer, .. } | Self::Hash { observer, .. } => observer,
            Self::TooLate { early, .. } => early,
            Self::Hole { told, .. } => told,
        }
    }
}

/// One sentence.
impl fmt::Display for StreamCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { append } => {
                write!(
                    f,
                    "{append} was told a tail below the number of its records"
                )
            }
            Self::NotWhereDemanded { append, start } => {
                write!(f, "{append} took effect at {start}, not where it demanded")
            }
            Self::Overlap { one, two, at } => {
                write!(f, "{one} and {two} both have a record at {at}")
            }
            Self::TailInside { observer, append } => write!(
                f,
                "the tail that {observer} was told lies within the records of {append}"
            ),
            Self::TooLate { early, late } => write!(
                f,
                "{early} comes before {late} in the stream, but was invoked after that had returned"
            ),
            Self::Hash { observer, expected } => write!(
                f,
                "the hash that {observer} was told is not that of the records below, {expected}"
            ),
            Self::Token {
                append,
                set: Some(set),
            } => write!(f, "{append} took effect although the token was {set:?}"),
            Self::Token { append, set: None } => {
                write!(f, "{append} took effect although no token was set")
            }
            Self::Hole { start, end, told } => write!(
                f,
                "{told} was told of what lies above {start}..{end}, but no append can have filled that"
            ),
        }
    }
}

/// Judges a stream, whose operations come in the order of invocation. Holes are filled in at most so many
/// steps.
pub(crate) fn check(ops: &[Timed<S2Op>], steps_max: u64) -> StreamVerdict {
    let stream: Vec<StreamOp<'_>> = ops.iter().map(StreamOp::from).collect();
    let layout = match Layout::of(&stream) {
        Ok(layout) => layout,
        Err(misfit) => return StreamVerdict::Invalid(misfit.into()),
    };
    match fill(&layout, steps_max) {
        Filled::Explained { order, steps } => {
            if let Err(error) = replay(&S2, ops, &order) {
                panic!("the checker found an order that is none: {error}");
            }
            StreamVerdict::Valid { order, steps }
        }
        Filled::Stuck(stuck, ends) => StreamVerdict::Invalid(explain(&layout, stuck, ends)),
        Filled::OutOfBudget => StreamVerdict::OutOfBudget,
    }
}

impl From<Misfit> for StreamFault {
    fn from(misfit: Misfit) -> Self {
        let (cause, mut required) = match misfit {
            Misfit::TooLong { append } => (StreamCause::TooLong { append }, vec![append]),
            Misfit::NotAtMatch { append, start } => (
                StreamCause::NotWhereDemanded { append, start },
                vec![append],
            ),
            Misfit::Overlap { one, two, at } => {
                (StreamCause::Overlap { one, two, at }, vec![one, two])
            }
            Misfit::TailInside { observer, append } => (
                StreamCause::TailInside { observer, append },
                vec![observer, append],
            ),
            Misfit::TooLate { early, late } => {
                (StreamCause::TooLate { early, late }, vec![early, late])
            }
        };
        required.sort_unstable();
        Self { cause, required }
    }
}

fn explain(layout: &Layout<'_>, stuck: Stuck<'_>, ends: Vec<OpId>) -> StreamFault {
    let below = stuck.position;
    let mut required = match stuck.since {
        Some((told, start)) if stuck.stands_alone() => {
            let between = layout.appends_between(start, below);
            told.into_iter().chain(between).collect()
        }
        // It takes all of them to say that no filling will do.
        _ => layout.known_below(below),
    };
    required.push(stuck.cause.op());
    required.extend(ends);
    let cause = match stuck.cause {
        StuckCause::Hash { observer, expected } => StreamCause::Hash { observer, expected },
        StuckCause::Token { append, set } => StreamCause::Token {
            append,
            set: set.map(str::to_owned),
        },
        StuckCause::Hole { end, told } => StreamCause::Hole {
            start: below,
            end,
            told,
        },
    };
    required.sort_unstable();
    required.dedup();
    StreamFault { cause, required }
}

/// What the stream was asked, and what it said.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StreamOp<'o> {
    pub(crate) id: OpId,
    /// See [`Timed::invoked`].
    pub(crate) invoked: u64,
    /// See [`Timed::deadline`].
    pub(crate) deadline: u64,
    pub(crate) action: Action<'o>,
}

/// What an operation did.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Action<'o> {
    /// An append and the tail above its records, if it was told.
    Append { batch: Batch<'o>, tail: Option<u64> },
    /// A read or a check of the tail.
    Observe {
        tail: u64,
        /// The hash of all records below.
        hash: Option<u64>,
    },
}

/// The records of an append, and what it demands and sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch<'o> {
    /// How many records: at least one.
    pub(crate) records: u64,
    /// Of each record, what goes into the hash of the stream.
    pub(crate) hashes: &'o [u64],
    /// The stream must be so long.
    pub(crate) match_tail: Option<u64>,
    /// This token must be set.
    pub(crate) token: Option<&'o str>,
    /// This token is set then.
    pub(crate) sets: Option<&'o str>,
}

impl<'o> From<&'o Timed<S2Op>> for StreamOp<'o> {
    fn from(op: &'o Timed<S2Op>) -> Self {
        let action = match &op.op {
            S2Op::Append {
                records,
                hashes,
                sets_token,
                token,
                at,
                tail,
            } => Action::Append {
                batch: Batch {
                    records: *records,
                    hashes,
                    match_tail: *at,
                    token: token.as_deref(),
                    sets: sets_token.as_deref(),
                },
                tail: *tail,
            },
            S2Op::Seen { tail, hash } => Action::Observe {
                tail: *tail,
                hash: *hash,
            },
        };
        Self {
            id: op.id,
            invoked: op.invoked,
            deadline: op.deadline,
            action,
        }
    }
}
