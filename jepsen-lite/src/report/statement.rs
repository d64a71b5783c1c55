//! What single operations of a log say of the positions in a [`Scope`].
//!
//! A statement is an operation as the [exhaustive judge](super::exhaustive) sees it: an interval, and
//! what it did or saw within the scope. Reads of a tier and polls say what was there at least.

use hstore_core::Lsn;

use super::scope::Scope;
use crate::history::{
    Answer, Call, Gap, Mismatch, Op, OpId, ReadAnswer, RecordId, Status, Terms, position,
};

/// An operation that matters within a scope.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) op: OpId,
    /// It takes effect after this, in the order of [`Intervals`](crate::history::Intervals) ...
    pub(crate) begins: u64,
    /// ... and before this; `u64::MAX` for one that may also never do so.
    pub(crate) deadline: u64,
    pub(crate) saying: Saying,
}

/// What it did or saw.
#[derive(Clone, Debug)]
pub(crate) enum Saying {
    /// Put a record somewhere; nobody told where if `lsn` is `None`.
    Append {
        record: RecordId,
        lsn: Option<u64>,
        terms: Terms,
    },
    /// Was told that what it demanded is not so.
    Refused { terms: Terms, told: Mismatch },
    /// Saw a log that ends here, exactly.
    Tail { tail: u64 },
    /// The same, and no later record lies below `lowest`.
    Seal { tail: u64, lowest: u64 },
    /// Saw records and gaps.
    Read(Look),
    /// Gave up what lies at and below.
    Trim { upto: u64 },
    /// Was told that `from` is given up.
    Trimmed { from: u64 },
}

/// What a read said of the positions in a scope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// The first position that it was asked for.
    pub(crate) from: u64,
    /// Above the last one of which it speaks.
    pub(crate) end: u64,
    /// The tail, if the read reached it.
    pub(crate) tail: Option<u64>,
    /// As they were delivered.
    pub(crate) records: Vec<(u64, RecordId)>,
    pub(crate) gaps: Vec<Gap>,
}

impl Statement {
    /// What `op` says within the scope; `None` if it says and does nothing there.
    pub(crate) fn of(op: Op<'_>, scope: &Scope) -> Option<Self> {
        let saying = match (op.call(), op.answer()) {
            (Call::Append { record, terms }, None) if op.status() != Status::Fail => {
                Saying::Append {
                    record,
                    terms,
                    lsn: None,
                }
            }
            (Call::Append { record, terms }, Some(Answer::Append { lsn })) => {
                if !scope.holds(lsn.as_u64()) {
                    return None;
                }
                Saying::Append {
                    record,
                    terms,
                    lsn: Some(lsn.as_u64()),
                }
            }
            (Call::Append { terms, .. }, Some(Answer::Mismatch(told))) => {
                Saying::Refused { terms, told }
            }
            (_, Some(Answer::Tail { tail })) => Saying::Tail {
                tail: position(tail),
            },
            (Call::Seal { epoch }, Some(Answer::Seal { tail })) => Saying::Seal {
                tail: position(tail),
                lowest: position(Lsn::before(epoch)),
            },
            (Call::Trim { upto }, _) if op.status() != Status::Fail => Saying::Trim {
                upto: upto.as_u64(),
            },
            (Call::Read { from, .. } | Call::Poll { from, .. }, Some(Answer::Trimmed { .. })) => {
                Saying::Trimmed {
                    from: position(from),
                }
            }
            (_, Some(Answer::Read(read))) => {
                Saying::Read(look(&read, read.reached_tail().then(|| read.tail()), scope))
            }
            (_, Some(Answer::Poll(read))) => Saying::Read(look(&read, None, scope)),
            _ => return None,
        };
        Some(Self {
            op: op.id(),
            begins: op.begins(),
            deadline: op.deadline(),
            saying,
        })
    }

    /// Whether it must have taken effect.
    pub(crate) fn is_required(&self) -> bool {
        self.deadline != u64::MAX
    }

    /// Whether leaving it out only makes more orders legal, so that it may be left out of a proof.
    /// Effects may be needed by others: appends by what shows them, trims by what misses records.
    pub(crate) fn only_restricts(&self) -> bool {
        match self.saying {
            Saying::Append { .. } | Saying::Trim { .. } => false,
            Saying::Refused { .. }
            | Saying::Tail { .. }
            | Saying::Seal { .. }
            | Saying::Read(_)
            | Saying::Trimmed { .. } => true,
        }
    }

    /// The positions and bounds of which it speaks.
    pub(crate) fn mentions(&self) -> Vec<u64> {
        let terms_mention = |terms: &Terms| terms.last.map(Lsn::as_u64);
        match &self.saying {
            Saying::Append { lsn, terms, .. } => {
                lsn.iter().copied().chain(terms_mention(terms)).collect()
            }
            Saying::Refused { terms, told } => {
                let told = told.last.map(Lsn::as_u64);
                told.into_iter().chain(terms_mention(terms)).collect()
            }
            Saying::Tail { tail } => vec![*tail],
            Saying::Seal { tail, lowest } => vec![*tail, *lowest],
            Saying::Trim { upto } => vec![*upto],
            Saying::Trimmed { from } => vec![*from],
            Saying::Read(look) => {
                let records = look.records.iter().map(|(lsn, _)| *lsn);
                let gaps = look.gaps.iter();
                let gaps = gaps.flat_map(|gap| [position(gap.first), gap.last.as_u64()]);
                let bounds = [look.from, look.end];
                bounds.into_iter().chain(records).chain(gaps).collect()
            }
        }
    }
}

fn look(read: &ReadAnswer<'_>, tail: Option<u64>, scope: &Scope) -> Look {
    let records = read.records.iter();
    let records = records.map(|&(lsn, record)| (lsn.as_u64(), record));
    let in_scope = |gap: &&Gap| {
        let (first, last) = (position(gap.first), gap.last.as_u64());
        scope.within(first, last).next().is_some()
    };
    Look {
        from: position(read.from),
        end: read.end(),
        tail,
        records: records.filter(|(lsn, _)| scope.holds(*lsn)).collect(),
        gaps: read.gaps.iter().filter(in_scope).copied().collect(),
    }
}
