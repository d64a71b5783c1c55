//! Watches logs while their history is recorded, so that a run can stop at the step that violates.
//!
//! A watch is told of each event once it is recorded, and says at which of them the history so far became
//! one that no log can have: that is the first prefix, with all that has not returned yet open, of which
//! [`log_check`](crate::log_check) says that it is invalid. It keeps what was said of every position, so an
//! event costs amortised logarithmic time, beside what it takes to look at the records that a read returned.
//!
//! It does not judge conditions: whether an append was rightly accepted or refused, given the last record
//! and the token, is left to the checker at the end. What a refusal says of the last record it does judge,
//! and it judges everything else that linearizability asks of a log.
//!
//! What makes it cheap: whatever can be in conflict with an event that is recorded now returned before. So
//! of the moments by which slots must have been entered, a new one only matters above all positions of those
//! before, and they form a staircase. So do the moments from which on slots can have been entered.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use hstore_core::{LogId, Lsn};
use rustc_hash::FxBuildHasher;

use crate::anomaly::{Anomaly, Reason};
use crate::facts::{LogFacts, Owner};
use crate::history::{GapKind, History, OpId, OpKind, RecordId, Status};
use crate::log_check::linearizability;
use crate::trims::Trims;
use crate::verdict::Verdict;

/// Judges histories as they grow.
#[derive(Clone, Debug, Default)]
pub struct Watch {
    logs: BTreeMap<LogId, LogWatch>,
}

impl Watch {
    /// A watch of an empty history.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An operation was invoked, and is in the history.
    pub fn invoked(&mut self, history: &History, id: OpId) {
        let op = history.op(id);
        let watch = self.logs.entry(op.log()).or_default();
        watch.ops.push(id);
        if let Some(record) = op.record() {
            watch.attempts.insert(record, id);
        }
        if op.kind() == OpKind::Trim {
            watch.trims.note(op);
        }
    }

    /// An operation ended, in whichever way. If that makes the history of its log illegal, the evidence;
    /// once per log, as what is illegal stays so.
    ///
    /// # Panics
    ///
    /// If the operation was not invoked before.
    pub fn completed(&mut self, history: &History, id: OpId) -> Option<Anomaly> {
        let log = history.op(id).log();
        let watch = self.logs.get_mut(&log);
        let watch = watch.expect("what ends was invoked");
        if watch.is_violated {
            return None;
        }
        watch.is_violated = !watch.accepts(history, log, id);
        if !watch.is_violated {
            return None;
        }
        let Verdict::Invalid(findings) = linearizability(history, log, &watch.ops) else {
            panic!("the watch and the checker disagree about {log} at {id}");
        };
        findings.anomalies.into_iter().next()
    }
}

/// Whether an anomaly is one for which a [`Watch`] looks out: one that does not rest on what an append
/// demanded.
#[must_use]
pub fn is_watched(anomaly: &Anomaly) -> bool {
    let mut reasons = anomaly.chain.iter().map(|link| link.reason);
    !reasons.any(|reason| matches!(reason, Reason::Told { .. }))
}

/// What is known of one log.
#[derive(Clone, Debug, Default)]
struct LogWatch {
    is_violated: bool,
    /// In the order of invocation.
    ops: Vec<OpId>,
    /// Who appends a record.
    attempts: HashMap<RecordId, OpId, FxBuildHasher>,
    /// Where a record is known to be.
    places: HashMap<RecordId, u64, FxBuildHasher>,
    /// What is known to be at a position.
    records: BTreeMap<u64, RecordId>,
    /// Ranges that are said to hold no record, from the first position to above the last; apart from each
    /// other.
    missing: BTreeMap<u64, u64>,
    /// From a position on, slots were not entered before.
    earliest: Rising,
    /// Below a position, slots were entered by then. Both rise.
    latest: Vec<(u64, u64)>,
    /// From a position on, records have an epoch or a higher one.
    sealed: Rising,
    trims: Trims,
    /// What was answered that a position is given up, and by when.
    given_up: Vec<(u64, u64)>,
}

impl LogWatch {
    /// Takes in how an operation ended. Returns whether the history is still legal.
    fn accepts(&mut self, history: &History, log: LogId, id: OpId) -> bool {
        let op = history.op(id);
        match (op.status(), op.kind()) {
            (Status::Fail, OpKind::Append) => {
                let record = op.record().expect("an append carries a record");
                if self.places.contains_key(&record) {
                    return false;
                }
            }
            (Status::Fail, OpKind::Trim) => {
                self.trims = Trims::default();
                let trims = self.ops.iter().map(|&id| history.op(id));
                trims
                    .filter(|op| op.kind() == OpKind::Trim)
                    .for_each(|op| self.trims.note(op));
                let mut given_up = self.given_up.iter();
                return given_up.all(|&(lsn, deadline)| self.trims.given_up(deadline) >= lsn);
            }
            _ => {}
        }
        if !op.is_answered() {
            return true;
        }
        let facts = LogFacts::gather(history, log, &[id]);
        let (begins, deadline) = (op.begins(), op.deadline());
        for bound in &facts.bounds {
            self.left_by(bound.below, deadline);
        }
        facts.faults.is_empty()
            && self.accepts_owners(history, &facts.owners, deadline)
            && facts.missing.iter().all(|missing| match missing.kind {
                None => false,
                Some(GapKind::Trim) => true,
                Some(_) => self.accepts_missing(missing.first, missing.end),
            })
            && facts.bounds.iter().all(|bound| {
                if bound.exact {
                    self.earliest.raise(bound.below, begins);
                }
                let next = self.records.range(bound.below..).next();
                !bound.exact || next.is_none_or(|(&lsn, _)| begins <= self.latest(lsn))
            })
            && facts.trimmed.iter().all(|&(lsn, _)| {
                self.given_up.push((lsn, deadline));
                self.trims.given_up(deadline) >= lsn
            })
            && facts.seals.iter().all(|seal| {
                self.sealed.raise(seal.tail, u64::from(seal.epoch.0));
                let next = self.records.range(seal.tail..).next();
                next.is_none_or(|(&lsn, _)| Lsn::from_u64(lsn).epoch >= seal.epoch)
            })
    }

    fn accepts_owners(&mut self, history: &History, owners: &[Owner], deadline: u64) -> bool {
        owners.iter().all(|owner| {
            let Some(&append) = self.attempts.get(&owner.record) else {
                return false;
            };
            let append = history.op(append);
            if append.status() == Status::Fail {
                return false;
            }
            if append.acked_at() == Some(owner.lsn) && append.deadline() == deadline {
                self.left_by(owner.lsn + 1, deadline);
            }
            if self.records.get(&owner.lsn) == Some(&owner.record) {
                return true;
            }
            let place = self.places.insert(owner.record, owner.lsn);
            let other = self.records.insert(owner.lsn, owner.record);
            if place.is_some() || other.is_some() || self.is_missing(owner.lsn) {
                return false;
            }
            let epoch = u64::from(Lsn::from_u64(owner.lsn).epoch.0);
            self.earliest.raise(owner.lsn, append.begins());
            self.sealed.at(owner.lsn) <= epoch
                && self.earliest.at(owner.lsn) <= self.latest(owner.lsn)
        })
    }

    fn is_missing(&self, lsn: u64) -> bool {
        let range = self.missing.range(..=lsn).next_back();
        range.is_some_and(|(_, &end)| lsn < end)
    }

    fn accepts_missing(&mut self, first: u64, end: u64) -> bool {
        if self.records.range(first..end).next().is_some() {
            return false;
        }
        let (mut first, mut end) = (first, end);
        while let Some((&start, &stop)) = self.missing.range(..=end).next_back() {
            if stop < first {
                break;
            }
            self.missing.remove(&start);
            (first, end) = (first.min(start), end.max(stop));
        }
        self.missing.insert(first, end);
        true
    }

    /// By when a slot was entered.
    fn latest(&self, lsn: u64) -> u64 {
        let above = self.latest.partition_point(|&(below, _)| below <= lsn);
        self.latest.get(above).map_or(u64::MAX, |&(_, at)| at)
    }

    /// All slots below a position were entered by now.
    fn left_by(&mut self, below: u64, now: u64) {
        if self.latest.last().is_none_or(|&(last, _)| last < below) && below > 0 {
            self.latest.push((below, now));
        }
    }
}

/// A function that never falls: the greatest value that was given to a position or one below.
#[derive(Clone, Debug, Default)]
struct Rising(BTreeMap<u64, u64>);

impl Rising {
    fn at(&self, position: u64) -> u64 {
        let step = self.0.range(..=position).next_back();
        step.map_or(0, |(_, &value)| value)
    }

    fn raise(&mut self, position: u64, value: u64) {
        if self.at(position) >= value {
            return;
        }
        while let Some((&next, &higher)) = self.0.range(position..).next() {
            if higher > value {
                break;
            }
            self.0.remove(&next);
        }
        self.0.insert(position, value);
    }
}
