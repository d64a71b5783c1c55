//! The minimal sub-history: a small part of an illegal log history that proves the whole illegal, and is
//! judged illegal by [brute force](super::exhaustive).
//!
//! A certificate names operations and positions, so the search begins there. Where it rests on more
//! than it shows (on what no record in between did, say), wider scopes are tried. Then operations and
//! positions are taken out as long as the rest is illegal still. What remains is minimal in this sense:
//! without any one of its operations that only observe, or any one of its ranges of positions, it is
//! legal.

use std::ops::ControlFlow;

use hstore_core::Lsn;

use super::exhaustive::Judgement;
use super::part::{LogIndex, Part};
use super::scope::Scope;
use super::statement::Statement;
use crate::anomaly::Anomaly;
use crate::history::OpId;

/// So many states are tried of each part.
pub(crate) const MAX_STATES: u64 = 50_000;

/// An illegal part.
#[derive(Clone, Debug)]
pub(crate) struct Shrunk {
    /// The part as it was found illegal.
    pub(crate) found: Part,
    /// The minimal one.
    pub(crate) minimal: Part,
    /// In how many states the minimal one came to nothing.
    pub(crate) states: u64,
}

/// Why there is no illegal part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unproved {
    /// Every part that was tried is legal: what is wrong is not the order.
    Legal,
    /// A part had too many operations or orders.
    TooMany,
}

/// Shrinks the history of a log to a part that shows an anomaly.
pub(crate) fn shrink(index: &LogIndex<'_>, anomaly: &Anomaly) -> Result<Shrunk, Unproved> {
    let ops: Vec<OpId> = anomaly.certificate.iter().map(|op| op.op).collect();
    let mut unproved = Unproved::Legal;
    let tried = scopes(&anomaly.positions).try_for_each(|(scope, is_whole)| {
        let ops = if is_whole { &index.ops } else { &ops };
        let part = Part::close(index, ops, scope);
        let judgement = part
            .as_ref()
            .map_or(Judgement::TooMany, |part| illegal(index, part));
        match (part, judgement) {
            (Some(part), Judgement::Illegal { .. }) => return ControlFlow::Break(part),
            (_, Judgement::TooMany) => unproved = Unproved::TooMany,
            (_, _) => {}
        }
        ControlFlow::Continue(())
    });
    match tried {
        ControlFlow::Break(found) => Ok(minimise(index, found)),
        ControlFlow::Continue(()) => Err(unproved),
    }
}

/// From narrow to wide: the positions, all between them, all below them, everything.
fn scopes(positions: &[Lsn]) -> impl Iterator<Item = (Scope, bool)> {
    let numbers = || positions.iter().map(|at| at.as_u64());
    let (lowest, highest) = (numbers().min(), numbers().max());
    let span = lowest.zip(highest);
    let below = highest.map(|highest| (0, highest));
    [
        Some((Scope::of_positions(positions), false)),
        span.map(|span| (Scope::of_ranges([span]), false)),
        below.map(|below| (Scope::of_ranges([below]), false)),
        Some((Scope::everything(), true)),
    ]
    .into_iter()
    .flatten()
}

fn illegal(index: &LogIndex<'_>, part: &Part) -> Judgement {
    part.judge(index.history, MAX_STATES)
}

fn minimise(index: &LogIndex<'_>, found: Part) -> Shrunk {
    let mut minimal = found.clone();
    let states = loop {
        let smaller = smaller_ones(index, &minimal).into_iter();
        let closed = smaller.filter_map(|(ops, scope)| Part::close(index, &ops, scope));
        let less = |part: &Part| part.scope != minimal.scope || part.ops.len() < minimal.ops.len();
        let next = closed
            .filter(less)
            .find(|part| matches!(illegal(index, part), Judgement::Illegal { .. }));
        match (next, illegal(index, &minimal)) {
            (Some(smaller), _) => minimal = smaller,
            (None, Judgement::Illegal { states }) => break states,
            (None, _) => unreachable!("only illegal parts are kept"),
        }
    };
    Shrunk {
        found,
        minimal,
        states,
    }
}

/// The operations and scopes of the parts with one thing less. What they rest on comes by closing them.
fn smaller_ones(index: &LogIndex<'_>, part: &Part) -> Vec<(Vec<OpId>, Scope)> {
    let statements = part.statements(index.history).into_iter();
    let observers = statements.filter(Statement::only_restricts);
    let observers: Vec<OpId> = observers.map(|observer| observer.op).collect();
    let mut smaller = vec![(observers.clone(), part.scope.clone())];
    let ranges = 0..part.scope.ranges().len();
    let scopes = ranges.map(|range| part.scope.without(range));
    let scopes = scopes.chain(narrower(index, &part.scope));
    smaller.extend(scopes.map(|scope| (part.ops.clone(), scope)));
    smaller.extend((0..observers.len()).map(|left_out| {
        let mut ops = observers.clone();
        ops.remove(left_out);
        (ops, part.scope.clone())
    }));
    smaller
}

/// With one range of positions replaced by those in it that have a record, or cut by one of these at
/// either end.
fn narrower(index: &LogIndex<'_>, scope: &Scope) -> Vec<Scope> {
    let mut scopes = Vec::new();
    for (number, &(first, last)) in scope.ranges().iter().enumerate() {
        let acked = index.acked(first, last).iter().map(|(at, _)| *at);
        let acked: Vec<u64> = acked.collect();
        let next = acked.iter().find(|&&at| at > first);
        let previous = acked.iter().rfind(|&&at| at < last);
        let cut = [
            next.map(|&at| vec![(at, last)]),
            previous.map(|&at| vec![(first, at)]),
            (first < last).then(|| acked.iter().map(|&at| (at, at)).collect()),
        ];
        for pieces in cut.into_iter().flatten() {
            let others = scope.without(number);
            let others = others.ranges().iter().copied();
            scopes.push(Scope::of_ranges(others.chain(pieces)));
        }
    }
    scopes
}
