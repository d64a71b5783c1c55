//! Parts of the history of one log, each of which proves the whole illegal if it is illegal itself.
//!
//! Leaving operations out is no proof in general: without an append, a read of its record is illegal
//! anywhere. A part is therefore chosen by a scope of positions and by operations that only observe, and then
//! *closed*: it gets every append that can have put a record into the scope and is needed by what
//! is there, and the trims that what is there may rest on. If the whole is legal, then so is every closed
//! part, judged within its scope:
//!
//! - what lies outside of the scope can be left out of a legal order, together with its appends;
//! - an operation that changes nothing can be left out, and so can a seal, which only forbids;
//! - an append of unknown outcome whose record no remaining read shows can be left out, for no remaining read
//!   passes the place where it was; but where an operation names a position as the last one, or
//!   speaks of tokens, those that may be meant stay, as appends of unknown position;
//! - of the trims, the first one that covers what is called trimmed can stand for all that do: moved forward
//!   to just before it is needed, it respects real time as those did.

use hstore_core::{LogId, Lsn};

use super::exhaustive::{Judgement, MAX_OPS, judge};
use super::scope::Scope;
use super::statement::{Saying, Statement};
use crate::history::{Answer, GapKind, History, OpId, OpKind, RecordId, Status};

/// What is asked of a log again and again while parts of it are tried.
pub(crate) struct LogIndex<'h> {
    pub(crate) history: &'h History,
    /// All operations on the log, in the order of invocation.
    pub(crate) ops: Vec<OpId>,
    /// The appends by record.
    by_record: Vec<(RecordId, OpId)>,
    /// The acknowledged appends by position.
    by_lsn: Vec<(u64, OpId)>,
    /// The appends of unknown outcome.
    unknown: Vec<OpId>,
    /// What may have been trimmed, by when it was asked for.
    trims: Vec<(OpId, u64)>,
}

impl<'h> LogIndex<'h> {
    pub(crate) fn new(history: &'h History, log: LogId) -> Self {
        let ops: Vec<OpId> = history
            .ops()
            .filter(|op| op.log() == log)
            .map(|op| op.id())
            .collect();
        let mut index = Self {
            history,
            by_record: Vec::new(),
            by_lsn: Vec::new(),
            unknown: Vec::new(),
            trims: Vec::new(),
            ops,
        };
        for op in index.ops.iter().map(|&id| history.op(id)) {
            if let Some(record) = op.record() {
                index.by_record.push((record, op.id()));
                match op.answer() {
                    Some(Answer::Append { lsn }) => index.by_lsn.push((lsn.as_u64(), op.id())),
                    None if op.status() != Status::Fail => index.unknown.push(op.id()),
                    _ => {}
                }
            } else if let Some(Statement {
                saying: Saying::Trim { upto },
                ..
            }) = (op.kind() == OpKind::Trim)
                .then(|| Statement::of(op, &Scope::default()))
                .flatten()
            {
                index.trims.push((op.id(), upto));
            }
        }
        index.by_record.sort_unstable();
        index.by_lsn.sort_unstable();
        index
    }

    /// The appends that were acknowledged from the first to the last of these positions.
    pub(crate) fn acked(&self, first: u64, last: u64) -> &[(u64, OpId)] {
        let start = self.by_lsn.partition_point(|(at, _)| *at < first);
        let len = self.by_lsn[start..].partition_point(|(at, _)| *at <= last);
        &self.by_lsn[start..start + len]
    }

    /// Whether an append was acknowledged at this position.
    pub(crate) fn is_acked(&self, position: u64) -> bool {
        !self.acked(position, position).is_empty()
    }

    fn append_of(&self, record: RecordId) -> Option<OpId> {
        let at = self
            .by_record
            .binary_search_by_key(&record, |&(record, _)| record);
        at.ok().map(|at| self.by_record[at].1)
    }
}

/// Some operations of a log, and the positions for which they are looked at.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) ops: Vec<OpId>,
    pub(crate) scope: Scope,
}

impl Part {
    /// The closed part of these operations; `None` if it has too many.
    pub(crate) fn close(index: &LogIndex<'_>, ops: &[OpId], scope: Scope) -> Option<Self> {
        let mut part = Self {
            ops: ops.to_vec(),
            scope,
        };
        for &(first, last) in part.scope.ranges() {
            let acked = index.acked(first, last);
            if acked.len() > MAX_OPS {
                return None;
            }
            part.ops.extend(acked.iter().map(|(_, op)| *op));
        }
        part.ops.sort_unstable();
        part.ops.dedup();
        let mut needed = Vec::new();
        for statement in part.statements(index.history) {
            needed.extend(part.needs(index, &statement));
            if needed.len() > 4 * MAX_OPS {
                return None;
            }
        }
        part.ops.extend(needed);
        part.ops.sort_unstable();
        part.ops.dedup();
        // Now that all is there, what says nothing within the scope can go.
        let statements = part.statements(index.history);
        part.ops = statements.iter().map(|statement| statement.op).collect();
        (part.ops.len() <= MAX_OPS).then_some(part)
    }

    pub(crate) fn statements(&self, history: &History) -> Vec<Statement> {
        let ops = self.ops.iter().map(|&op| history.op(op));
        ops.filter_map(|op| Statement::of(op, &self.scope))
            .collect()
    }

    pub(crate) fn judge(&self, history: &History, max_states: u64) -> Judgement {
        judge(&self.statements(history), &self.scope, max_states)
    }

    /// The operations without which a statement could be illegal though the whole is not.
    fn needs(&self, index: &LogIndex<'_>, statement: &Statement) -> Vec<OpId> {
        let unknown = || index.unknown.iter().copied();
        let setters = || {
            unknown()
                .filter(|&op| index.history.op(op).terms().sets.is_some())
                .collect()
        };
        let named = |last: Option<Lsn>| {
            let unowned = last.filter(|last| self.scope.holds(last.as_u64()));
            unowned.filter(|last| !index.is_acked(last.as_u64()))
        };
        match &statement.saying {
            Saying::Append { terms, .. } if named(terms.last).is_some() => unknown().collect(),
            Saying::Refused { terms, told }
                if named(terms.last).is_some() || named(told.last).is_some() =>
            {
                unknown().collect()
            }
            Saying::Append { terms, .. } if terms.token.is_some() => setters(),
            Saying::Refused { terms, told } if terms.token.is_some() || told.token.is_some() => {
                setters()
            }
            Saying::Read(look) => {
                let records = look.records.iter();
                let appends = records.filter_map(|(_, record)| index.append_of(*record));
                let gaps = look.gaps.iter();
                let trimmed = gaps.filter(|gap| gap.kind == GapKind::Trim);
                let covers = trimmed.filter_map(|gap| {
                    let pieces = self.scope.within(gap.first.as_u64(), gap.last.as_u64());
                    first_trim(index, pieces.last()?.1)
                });
                appends.chain(covers).collect()
            }
            Saying::Trimmed { from } => first_trim(index, *from).into_iter().collect(),
            Saying::Append { .. }
            | Saying::Refused { .. }
            | Saying::Tail { .. }
            | Saying::Seal { .. }
            | Saying::Trim { .. } => Vec::new(),
        }
    }
}

/// The trim that was first asked for, of those that cover a position.
fn first_trim(index: &LogIndex<'_>, position: u64) -> Option<OpId> {
    let mut trims = index.trims.iter();
    trims.find(|(_, upto)| *upto >= position).map(|(op, _)| *op)
}
