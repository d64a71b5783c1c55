//! The nearest legal outcome: which answer to one operation would have been legal, if all others
//! stay as they are.
//!
//! Answers are tried from near to far (what a read showed at one position, a tail by one record, and so
//! on), of the last operation to return first: what came before could not know of it. An answer is
//! taken once [brute force](super::exhaustive) finds an order that explains the certificate with it. For
//! tails and positions of appends the whole log is asked first which ones real time allows.

use std::cmp::Reverse;

use hstore_core::Lsn;

use super::exhaustive::{Judgement, judge};
use super::part::{LogIndex, Part};
use super::scope::Scope;
use super::shrink::MAX_STATES;
use super::statement::{Look, Saying, Statement};
use crate::anomaly::{Anomaly, Fact, Reason};
use crate::history::{
    Answer, Gap, GapKind, History, Mismatch, OpId, RecordId, Terms, after, position,
};

/// At most so many answers to one operation are tried.
const MAX_ANSWERS: usize = 400;

/// An answer that would have been legal.
#[derive(Clone, Debug)]
pub(crate) struct LegalAnswer {
    pub(crate) op: OpId,
    /// As a certificate shows it.
    pub(crate) fact: Fact,
}

/// The nearest legal answer to an operation of an illegal part.
pub(crate) fn nearest(index: &LogIndex<'_>, anomaly: &Anomaly, part: &Part) -> Option<LegalAnswer> {
    let part = with_all_appends(index, anomaly, part)?;
    let mut statements = part.statements(index.history);
    let mut order: Vec<usize> = (0..statements.len()).collect();
    // What demanded or was told something wrong first, then those that came too early or too late.
    // Observers before appends: what is written is written. Then the last to return.
    let told = |op: OpId| {
        let mut links = anomaly.chain.iter();
        links.any(|link| link.reason == Reason::Told { by: op })
    };
    let in_time = |op: OpId| {
        let mut links = anomaly.chain.iter();
        links.any(|link| {
            matches!(link.reason, Reason::RealTime { .. }) && (link.from == op || link.to == op)
        })
    };
    order.sort_by_key(|&at| {
        let statement = &statements[at];
        let is_append = matches!(statement.saying, Saying::Append { .. });
        (
            !told(statement.op),
            !in_time(statement.op),
            is_append,
            Reverse(statement.deadline),
        )
    });
    for at in order {
        let is_certified = |op: OpId| anomaly.certificate.iter().any(|shown| shown.op == op);
        if !statements[at].is_required() || !is_certified(statements[at].op) {
            continue;
        }
        let original = statements[at].saying.clone();
        for saying in alternatives(index, &statements, at, &part.scope) {
            statements[at].saying = saying;
            if judge(&statements, &part.scope, MAX_STATES) == Judgement::Legal {
                let op = statements[at].op;
                let fact = fact(index.history, anomaly, &statements[at]);
                return Some(LegalAnswer { op, fact });
            }
        }
        statements[at].saying = original;
    }
    None
}

/// The part with the positions of all appends of the certificate: what would be legal must respect these
/// too.
fn with_all_appends(index: &LogIndex<'_>, anomaly: &Anomaly, part: &Part) -> Option<Part> {
    let certificate = anomaly.certificate.iter().map(|op| op.op);
    let ops: Vec<OpId> = part
        .ops
        .iter()
        .copied()
        .chain(certificate.clone())
        .collect();
    let acked = certificate.filter_map(|op| match index.history.op(op).answer()? {
        Answer::Append { lsn } => Some((lsn.as_u64(), lsn.as_u64())),
        _ => None,
    });
    let ranges = part.scope.ranges().iter().copied();
    Part::close(index, &ops, Scope::of_ranges(ranges.chain(acked)))
}

/// Other answers to the statement at `at`, from near to far.
fn alternatives(
    index: &LogIndex<'_>,
    statements: &[Statement],
    at: usize,
    scope: &Scope,
) -> Vec<Saying> {
    let op = statements[at].op;
    let bounds = Bounds::of(index, op);
    match &statements[at].saying {
        Saying::Tail { tail } => tails(statements, *tail, bounds)
            .into_iter()
            .map(|tail| Saying::Tail { tail })
            .collect(),
        &Saying::Seal { tail, lowest } => tails(statements, tail, bounds)
            .into_iter()
            .map(|tail| Saying::Seal { tail, lowest })
            .collect(),
        Saying::Append {
            record,
            lsn: Some(lsn),
            terms,
        } => {
            let refusal = terms.is_conditional().then_some(Saying::Refused {
                terms: *terms,
                told: Mismatch::default(),
            });
            let (record, terms) = (*record, *terms);
            let others = free_positions(index, statements, *lsn, bounds);
            let others = others.into_iter().map(|lsn| Saying::Append {
                record,
                lsn: Some(lsn),
                terms,
            });
            refusal.into_iter().chain(others).collect()
        }
        Saying::Refused { terms, told } => {
            let accepted = accepted(index, statements, op, terms, bounds);
            let tolds = told.last.map(|last| last_records(index, last, bounds));
            let tolds = tolds.into_iter().flatten().map(|last| Saying::Refused {
                terms: *terms,
                told: Mismatch {
                    last: Some(last),
                    token: None,
                },
            });
            accepted.into_iter().chain(tolds).collect()
        }
        Saying::Read(look) => looks(statements, look, scope, bounds)
            .into_iter()
            .map(Saying::Read)
            .collect(),
        Saying::Append { lsn: None, .. } | Saying::Trim { .. } | Saying::Trimmed { .. } => {
            Vec::new()
        }
    }
}

/// What a refused append could have been answered instead, if the record that it demands exists. Where it
/// demands a token, the part may not know enough to say.
fn accepted(
    index: &LogIndex<'_>,
    statements: &[Statement],
    op: OpId,
    terms: &Terms,
    bounds: Bounds,
) -> Vec<Saying> {
    let record = index.history.op(op).record();
    let record = record.expect("an append carries a record");
    let exists = |last: Lsn| last == Lsn::MIN || index.is_acked(last.as_u64());
    if terms.token.is_some() || !terms.last.is_none_or(exists) {
        return Vec::new();
    }
    let positions = free_positions(index, statements, 0, bounds);
    let accepted = positions.into_iter().map(|lsn| Saying::Append {
        record,
        lsn: Some(lsn),
        terms: *terms,
    });
    accepted.collect()
}

/// The records that can have been the last one as far as real time goes, the nearest to `told` first.
fn last_records(index: &LogIndex<'_>, told: Lsn, bounds: Bounds) -> Vec<Lsn> {
    let empty = (bounds.at_least == position(Lsn::MIN)).then_some(0);
    let highest = bounds.below.saturating_sub(1);
    let acked = index.acked(bounds.at_least.saturating_sub(1), highest);
    let acked = acked.iter().map(|(at, _)| *at).take(MAX_ANSWERS);
    let others = acked.chain(empty).filter(|&at| at != told.as_u64());
    let others = near(others.collect(), told.as_u64());
    others.into_iter().map(Lsn::from_u64).collect()
}

/// What real time allows an operation to see of the whole log.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// All below this was there before it began.
    at_least: u64,
    /// Nothing from here on was asked for before it ended.
    below: u64,
}

impl Bounds {
    fn of(index: &LogIndex<'_>, op: OpId) -> Self {
        let history = index.history;
        let op = history.op(op);
        let (mut at_least, mut below) = (position(Lsn::MIN), u64::MAX);
        for other in index.ops.iter().map(|&id| history.op(id)) {
            if let Some(Answer::Append { lsn }) = other.answer() {
                if other.deadline() < op.begins() {
                    at_least = at_least.max(after(lsn.as_u64()));
                }
                if op.deadline() < other.begins() {
                    below = below.min(lsn.as_u64());
                }
            }
        }
        Self { at_least, below }
    }

    /// The nearest to `bound` that is allowed, if the appends leave any.
    fn clamp(self, bound: u64) -> Option<u64> {
        (self.at_least <= self.below).then(|| bound.clamp(self.at_least, self.below))
    }

    fn allows(self, bound: u64) -> bool {
        self.at_least <= bound && bound <= self.below
    }
}

/// Every position that a statement mentions, and the one after it.
fn mentioned(statements: &[Statement]) -> Vec<u64> {
    let mentions = statements.iter().flat_map(Statement::mentions);
    mentions
        .flat_map(|at| [position(Lsn::from_u64(at)), after(at)])
        .collect()
}

/// Without repetitions, the nearest to `center` first, and of two the higher.
fn near(mut positions: Vec<u64>, center: u64) -> Vec<u64> {
    positions.sort_unstable();
    positions.dedup();
    positions.sort_by_key(|&at| (at.abs_diff(center), at < center));
    positions
}

/// Other tails that real time allows.
fn tails(statements: &[Statement], tail: u64, bounds: Bounds) -> Vec<u64> {
    let mut tails = mentioned(statements);
    tails.extend(bounds.clamp(tail));
    tails.retain(|&other| other != tail && bounds.allows(other));
    near(tails, tail)
}

/// Positions for an append that no other one was acknowledged at.
fn free_positions(
    index: &LogIndex<'_>,
    statements: &[Statement],
    lsn: u64,
    bounds: Bounds,
) -> Vec<u64> {
    let free = |mut at: u64| {
        while index.is_acked(at) {
            at = after(at);
        }
        at
    };
    let mut positions = mentioned(statements);
    positions.extend(bounds.clamp(lsn));
    let mut positions: Vec<u64> = positions.into_iter().map(free).collect();
    // An append that nobody waited for may lie below the end; one that began later may not.
    positions.retain(|&at| at != lsn && bounds.allows(at));
    near(positions, lsn)
}

/// What else a read could have shown: other things at single positions, and other tails.
fn looks(statements: &[Statement], look: &Look, scope: &Scope, bounds: Bounds) -> Vec<Look> {
    let candidates = records(statements);
    let ends: Vec<u64> = match look.tail {
        // What the limit cut stays as long as it was.
        None => vec![look.end],
        Some(tail) => {
            let same = bounds.allows(tail).then_some(tail);
            same.into_iter()
                .chain(tails(statements, tail, bounds))
                .collect()
        }
    };
    let mut looks: Vec<(usize, usize, Look)> = Vec::new();
    for (distance, end) in ends.into_iter().enumerate() {
        let places = places(statements, look, end, scope);
        let mut partial = vec![(0, Vec::new())];
        for (first, last) in places {
            let shown = look.records.iter().find(|(at, _)| *at == first);
            let mut choices: Vec<Option<RecordId>> = vec![None];
            if first == last {
                let here = candidates
                    .iter()
                    .filter(|(at, _)| at.is_none_or(|at| at == first));
                choices.extend(here.map(|(_, record)| Some(*record)));
            }
            choices.dedup();
            let had_gap = look
                .gaps
                .iter()
                .any(|gap| position(gap.first) <= first && last <= gap.last.as_u64());
            let extended = partial.into_iter().flat_map(|(changes, entries)| {
                let before = shown.map(|(_, record)| *record);
                choices.clone().into_iter().map(move |choice| {
                    let is_same = choice == before && (choice.is_some() || had_gap);
                    let mut entries: Vec<_> = entries.clone();
                    entries.push((first, last, choice));
                    (changes + usize::from(!is_same), entries)
                })
            });
            partial = extended.take(MAX_ANSWERS).collect();
        }
        looks.extend(
            partial
                .into_iter()
                .map(|(changes, entries)| (changes, distance, with_entries(look, end, &entries))),
        );
    }
    looks.sort_by_key(|(changes, distance, _)| (changes + distance, *distance));
    let looks = looks.into_iter().map(|(_, _, look)| look);
    looks.take(MAX_ANSWERS).collect()
}

/// The records of the appends, with their positions where these are known.
fn records(statements: &[Statement]) -> Vec<(Option<u64>, RecordId)> {
    let appends = statements
        .iter()
        .filter_map(|statement| match statement.saying {
            Saying::Append { record, lsn, .. } => Some((lsn, record)),
            _ => None,
        });
    appends.collect()
}

/// The positions of the scope that a read passes if it ends at `end`, in pieces: those that are
/// mentioned alone, and what lies between them.
fn places(statements: &[Statement], look: &Look, end: u64, scope: &Scope) -> Vec<(u64, u64)> {
    let Some(last) = end.checked_sub(1) else {
        return Vec::new();
    };
    let mut mentions = mentioned(statements);
    mentions.sort_unstable();
    mentions.dedup();
    let mut places = Vec::new();
    for (first, last) in scope.within(look.from, last) {
        let mut cursor = position(Lsn::from_u64(first));
        for &mention in mentions.iter().filter(|&&at| first <= at && at <= last) {
            if cursor < mention {
                places.push((cursor, mention - 1));
            }
            places.push((mention, mention));
            cursor = after(mention);
        }
        if cursor <= last {
            places.push((cursor, last));
        }
    }
    places
}

fn with_entries(look: &Look, end: u64, entries: &[(u64, u64, Option<RecordId>)]) -> Look {
    let records = entries.iter();
    let records = records.filter_map(|&(at, _, record)| Some((at, record?)));
    let gaps = entries.iter().filter(|(_, _, record)| record.is_none());
    let gaps = gaps.map(|&(first, last, _)| Gap {
        kind: kind_there(look, first),
        first: Lsn::from_u64(first),
        last: Lsn::from_u64(last),
    });
    Look {
        from: look.from,
        end,
        tail: look.tail.map(|_| end),
        records: records.collect(),
        gaps: gaps.collect(),
    }
}

/// The kind of the gap that a read showed at a position; a hole where it showed none, or one of a trim that
/// it may not have been.
fn kind_there(look: &Look, at: u64) -> GapKind {
    let mut gaps = look.gaps.iter();
    let there = gaps.find(|gap| position(gap.first) <= at && at <= gap.last.as_u64());
    match there.map(|gap| gap.kind) {
        None | Some(GapKind::Trim) => GapKind::Hole,
        Some(kind) => kind,
    }
}

/// The answer of a statement, as a certificate shows it.
fn fact(history: &History, anomaly: &Anomaly, statement: &Statement) -> Fact {
    match &statement.saying {
        Saying::Append { lsn, .. } => Fact::Appended {
            lsn: Lsn::from_u64(lsn.expect("only known positions are tried")),
        },
        Saying::Refused { told, .. } => Fact::Mismatched { told: *told },
        Saying::Tail { tail } | Saying::Seal { tail, .. } => Fact::Tail {
            tail: Lsn::from_u64(*tail),
        },
        Saying::Trim { .. } | Saying::Trimmed { .. } => Fact::Done,
        Saying::Read(look) => {
            let records = look.records.iter();
            let records = records.map(|&(at, record)| (Lsn::from_u64(at), record));
            let mut certificate = anomaly.certificate.iter();
            let left_out = certificate.find_map(|op| match &op.fact {
                Some(Fact::Read { left_out, .. }) if op.op == statement.op => Some(*left_out),
                _ => None,
            });
            let tail = match history.op(statement.op).answer() {
                Some(Answer::Read(read) | Answer::Poll(read)) => read.tail,
                _ => Lsn::MIN,
            };
            Fact::Read {
                records: records.collect(),
                gaps: look.gaps.clone(),
                end: Lsn::from_u64(look.end),
                reached_tail: look.tail.is_some(),
                tail: look.tail.map_or(tail, Lsn::from_u64),
                left_out: left_out.unwrap_or(0),
            }
        }
    }
}
