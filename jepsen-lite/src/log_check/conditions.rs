//! What can be judged by conditions: whether each append was accepted or refused rightly.
//!
//! Let `a_1 .. a_m` be the effective appends by LSN, slot `i` the state after `a_i`, and `T_i` the moment
//! at which slot `i` is entered, with `T_0` before and `T_(m+1)` after all. Whether an append was rightly
//! *accepted* does not depend on time: the last record and the token before it are those of the slot
//! below. An append that was *refused* must have been so in one of the slots in which its terms do not
//! hold and what it was told does. One that was told of the last record has one such slot at most: it is
//! a bound, like a tail. For the others, the slots in which they cannot have been refused fall into
//! *gaps*: maximal ranges `a ..= b`. Take a refusal with interval `[invoked, returned]`. Consecutive
//! slots touch, and between two gaps there is a slot, so the refusal finds no moment iff the whole
//! interval lies within one gap. Thus it is legal iff for each of its gaps
//!
//! ```text
//! T_a >= invoked  or  T_(b+1) <= returned
//! ```
//!
//! (where `T_0` is never late enough, and `T_(m+1)` never early enough). This holds for any number of gaps,
//! so also where tokens recur. The `T` that fulfil such a clause are closed under pointwise minimum: of two
//! that do, either both fulfil the first half, and so does the minimum; or one fulfils the second, and so
//! does the minimum. The same is true of `T_i >= earliest(i)` and of being in order. So if there is a
//! solution, there is a least one. It is found by starting from `earliest` and raising `T_a` to `invoked`
//! only where a clause forces it, because `T_(b+1)` is after `returned` in this and so in every solution.
//! A raise changes only slots of its gap: above, all are entered after `returned` already. So what a clause
//! asks of `T_(b+1)` can only be changed by clauses whose gap contains `b + 1`, which end higher; taken by
//! falling `b`, each clause is looked at once, with a Fenwick tree of maxima: O(n log n). Then the history
//! is legal iff the least solution nowhere exceeds `latest`.

use std::collections::BTreeMap;

use hstore_core::Lsn;

use super::evidence;
use super::timing::Placement;
use crate::anomaly::{Anomaly, AnomalyKind, Link, Reason, Witnesses, Words, by_end, by_position};
use crate::facts::{LogFacts, Owner, seek};
use crate::history::{Mismatch, OpId, Terms, Token};

/// What is wrong with a condition.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    case: Case,
    /// Only an unknown append that nobody saw can repair it, in one of these ways. Without one, nothing
    /// can.
    pub(super) ways: Vec<Way>,
}

/// An append that sets what is needed, with an LSN between two others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) need: Need,
    pub(super) above: u64,
    pub(super) below: u64,
}

/// What a missing append must set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// It does not matter.
    Anything,
    /// This token.
    Token(Token),
    /// Some other token.
    OtherThan(Token),
}

#[derive(Clone, Debug)]
enum Case {
    /// The append of a slot was accepted, but the last record was another one.
    LastWasOther { slot: usize },
    /// The append of a slot was accepted, but the token was another one.
    TokenWasOther { slot: usize },
    /// Refused in a slot where all that was demanded held.
    Held { refused: OpId, slot: usize },
    /// Refused in a slot where another token was in force than it was told.
    ToldOtherToken { refused: OpId, slot: usize },
    /// Told of a last record that nobody appended.
    NobodyAppended { refused: OpId, last: Lsn },
    /// In no slot is it as it was told.
    Nowhere { refused: OpId },
    /// There is no moment at which a slot can have been entered.
    NoMoment {
        slot: usize,
        /// The clauses that force it to be late.
        clauses: Vec<Clause>,
        /// What forces the last of them, or the slot itself, to be late.
        late: Option<OpId>,
        /// What forces the slot to be early.
        early: Option<OpId>,
    },
}

/// A gap of a refusal: slots `from ..= to`.
#[derive(Clone, Copy, Debug)]
struct Clause {
    from: usize,
    to: usize,
    refused: OpId,
    invoked: u64,
    returned: u64,
}

/// The tokens in force, by slot.
struct Runs {
    /// The first slot of each run, in order; the first is slot 0, where none is set. Neighbours differ.
    starts: Vec<(usize, Option<Token>)>,
    /// The runs of each token.
    of: BTreeMap<Option<Token>, Vec<usize>>,
}

impl Runs {
    fn new(facts: &LogFacts<'_>, effective: &[Owner]) -> Self {
        let mut starts = vec![(0, None)];
        for (index, append) in effective.iter().enumerate() {
            let sets = facts.history.op(append.op()).terms().sets;
            if sets.is_some() && starts.last().is_some_and(|&(_, token)| token != sets) {
                starts.push((index + 1, sets));
            }
        }
        let mut of: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for (run, &(_, token)) in starts.iter().enumerate() {
            of.entry(token).or_default().push(run);
        }
        Self { starts, of }
    }

    /// The run to which a slot belongs.
    fn at(&self, slot: usize) -> usize {
        self.starts.partition_point(|&(start, _)| start <= slot) - 1
    }

    fn token_at(&self, slot: usize) -> Option<Token> {
        self.starts[self.at(slot)].1
    }

    /// The last slot of a run, where there are slots up to `last`.
    fn end(&self, run: usize, last: usize) -> usize {
        self.starts
            .get(run + 1)
            .map_or(last, |&(start, _)| start - 1)
    }
}

/// Judges the conditions of some appends that are taken to be all that took effect.
pub(super) struct Conditions<'a, 'h> {
    facts: &'a LogFacts<'h>,
    effective: &'a [Owner],
    placement: &'a Placement,
    runs: Runs,
    conflicts: Vec<Conflict>,
    hints: Hints,
}

/// Where something was found last. Refusals come in the order of invocation, so the next is found close to
/// it.
#[derive(Clone, Copy, Debug, Default)]
struct Hints {
    held: usize,
    begun: usize,
    passed: usize,
}

/// Either the least moments at which the slots can have been entered, or what is wrong.
pub(super) fn judge(
    facts: &LogFacts<'_>,
    effective: &[Owner],
    placement: &Placement,
) -> Result<Entered, Vec<Conflict>> {
    let mut conditions = Conditions {
        facts,
        effective,
        placement,
        runs: Runs::new(facts, effective),
        conflicts: Vec::new(),
        hints: Hints::default(),
    };
    conditions.accepted();
    let mut clauses = conditions.refused();
    if !conditions.conflicts.is_empty() {
        return Err(conditions.conflicts);
    }
    clauses.sort_by_key(|clause| std::cmp::Reverse(clause.to));
    let (moments, raises) = conditions.raise(&clauses);
    let late = (0..moments.len()).find(|&slot| moments[slot] > conditions.latest(slot));
    match late {
        None => Ok(Entered {
            places: conditions.places(&moments),
            moments,
        }),
        Some(slot) => Err(vec![conditions.no_moment(slot, &moments, &raises)]),
    }
}

/// A least solution.
pub(super) struct Entered {
    /// When each slot is entered, slot 0 included.
    pub(super) moments: Vec<u64>,
    /// When and in which slot what was refused without being told of the last record can have been so.
    pub(super) places: Vec<(u64, u32, OpId)>,
}

impl Conditions<'_, '_> {
    fn last_slot(&self) -> usize {
        self.effective.len()
    }

    fn earliest(&self, slot: usize) -> u64 {
        match slot {
            0 => 0,
            slot if slot > self.last_slot() => u64::MAX,
            slot => self.placement.earliest[slot - 1],
        }
    }

    fn latest(&self, slot: usize) -> u64 {
        match slot {
            0 => 0,
            slot if slot > self.last_slot() => u64::MAX,
            slot => self.placement.latest[slot - 1],
        }
    }

    /// The LSN of a slot; 0 for that without records, and the greatest number above all.
    fn lsn(&self, slot: usize) -> u64 {
        match slot {
            0 => 0,
            slot => self
                .effective
                .get(slot - 1)
                .map_or(u64::MAX, |append| append.lsn),
        }
    }

    /// The slot whose last record is at an LSN.
    fn slot_of(&mut self, last: Lsn) -> Option<usize> {
        if last == Lsn::MIN {
            return Some(0);
        }
        let last = last.as_u64();
        let index = seek(self.effective, self.hints.held, |append| append.lsn < last);
        self.hints.held = index;
        let append = self.effective.get(index)?;
        (append.lsn == last).then_some(index + 1)
    }

    /// Where the token that is in force in a slot was set.
    fn set_at(&self, slot: usize) -> u64 {
        self.lsn(self.runs.starts[self.runs.at(slot)].0)
    }

    fn conflict(&mut self, case: Case, ways: Vec<Way>) {
        self.conflicts.push(Conflict { case, ways });
    }

    /// Judges the appends that took effect.
    fn accepted(&mut self) {
        for (index, append) in self.effective.iter().enumerate() {
            let slot = index + 1;
            let terms = self.facts.history.op(append.op()).terms();
            if let Some(last) = terms.last
                && last.as_u64() != self.lsn(index)
            {
                let last = last.as_u64();
                let between = self.lsn(index) < last && last < append.lsn;
                let way = between.then_some(Way {
                    need: Need::Anything,
                    above: last.saturating_sub(1),
                    below: last + u64::from(between),
                });
                self.conflict(Case::LastWasOther { slot }, way.into_iter().collect());
            }
            if let Some(token) = terms.token
                && Some(token) != self.runs.token_at(index)
            {
                let way = Way {
                    need: Need::Token(token),
                    above: self.set_at(index),
                    below: append.lsn,
                };
                self.conflict(Case::TokenWasOther { slot }, vec![way]);
            }
        }
    }

    /// Judges the refusals that need no time; returns the gaps of the others.
    fn refused(&mut self) -> Vec<Clause> {
        let mut clauses = Vec::new();
        let mut gaps = Vec::new();
        let facts = self.facts;
        for &refused in &facts.refused {
            let op = facts.history.op(refused);
            let told = op.mismatch().expect("it was refused for a mismatch");
            match told.last {
                Some(last) => self.told_last(refused, op.terms(), told, last),
                None => {
                    let (invoked, returned) = (op.begins(), op.deadline());
                    let relevant = self.relevant(refused);
                    self.gaps(refused, op.terms(), told, relevant, &mut gaps);
                    let (begun, passed) = relevant;
                    let gaps = gaps.iter();
                    let matter = gaps.filter(|&&(from, to)| from <= begun && passed <= to);
                    clauses.extend(matter.map(|&(from, to)| Clause {
                        from,
                        to,
                        refused,
                        invoked,
                        returned,
                    }));
                }
            }
        }
        clauses
    }

    fn told_last(&mut self, refused: OpId, terms: Terms, told: Mismatch, last: Lsn) {
        let Some(slot) = self.slot_of(last) else {
            let way = Way {
                need: Need::Anything,
                above: last.as_u64() - 1,
                below: last.as_u64().saturating_add(1),
            };
            self.conflict(Case::NobodyAppended { refused, last }, vec![way]);
            return;
        };
        let in_force = self.runs.token_at(slot);
        let way = |need| Way {
            need,
            above: self.set_at(slot),
            below: last.as_u64(),
        };
        if let Some(token) = told.token
            && token != in_force
        {
            let ways = token.map(|token| way(Need::Token(token)));
            let ways = ways.into_iter().collect();
            self.conflict(Case::ToldOtherToken { refused, slot }, ways);
            return;
        }
        let is_last = terms.last.is_none_or(|demanded| demanded == last);
        if is_last && terms.token.is_none_or(|token| Some(token) == in_force) {
            let ways = match (terms.token, told.token) {
                (Some(token), None) => vec![way(Need::OtherThan(token))],
                _ => Vec::new(),
            };
            self.conflict(Case::Held { refused, slot }, ways);
        }
    }

    /// Puts the gaps of a refusal that was not told of the last record into `gaps`: at least those that begin
    /// at or below the first of two slots and end at or above the second.
    fn gaps(
        &mut self,
        refused: OpId,
        terms: Terms,
        told: Mismatch,
        relevant: (usize, usize),
        gaps: &mut Vec<(usize, usize)>,
    ) {
        gaps.clear();
        let held = terms.last.and_then(|last| self.slot_of(last));
        match (told.token, terms.token) {
            (None, None) => gaps.extend(held.map(|slot| (slot, slot))),
            (None, Some(token)) if terms.last.is_some() => {
                let held = held.filter(|&slot| self.runs.token_at(slot) == Some(token));
                gaps.extend(held.map(|slot| (slot, slot)));
            }
            (None, Some(token)) => {
                let last = self.last_slot();
                let runs = self.runs.of.get(&Some(token));
                let runs = runs.map_or(&[][..], Vec::as_slice);
                let gap = |&run: &usize| (self.runs.starts[run].0, self.runs.end(run, last));
                let first = runs.partition_point(|run| gap(run).1 < relevant.1);
                let of = runs[first..].iter().map(gap);
                gaps.extend(of.take_while(|&(from, _)| from <= relevant.0));
            }
            (Some(in_force), demanded) => {
                if demanded.is_some() && demanded == in_force && terms.last.is_none() {
                    self.conflict(Case::Nowhere { refused }, Vec::new());
                    return;
                }
                let excluded = if demanded.is_none() || demanded == in_force {
                    held
                } else {
                    None
                };
                self.gaps_between(refused, in_force, excluded, relevant, gaps);
            }
        }
    }

    /// Adds the gaps between the runs of a token, from which one slot is excluded.
    fn gaps_between(
        &mut self,
        refused: OpId,
        token: Option<Token>,
        excluded: Option<usize>,
        (low, high): (usize, usize),
        gaps: &mut Vec<(usize, usize)>,
    ) {
        let last = self.last_slot();
        let runs = self.runs.of.get(&token).map_or(&[][..], Vec::as_slice);
        // The gap below a run ends at or above `high` iff the run starts above it, and begins at or below
        // `low` iff the run before ends below that. One run more on either side, as the excluded slot may
        // be all of a run.
        let first = runs.partition_point(|&run| self.runs.starts[run].0 <= high);
        let first = first.saturating_sub(2);
        let end = runs.partition_point(|&run| self.runs.end(run, last) < low);
        let end = (end + 2).clamp(first, runs.len());
        let mut allowed = Vec::new();
        for &run in &runs[first..end] {
            let (from, to) = (self.runs.starts[run].0, self.runs.end(run, last));
            match excluded.filter(|slot| (from..=to).contains(slot)) {
                None => allowed.push((from, to)),
                Some(slot) => {
                    if from < slot {
                        allowed.push((from, slot - 1));
                    }
                    if slot < to {
                        allowed.push((slot + 1, to));
                    }
                }
            }
        }
        if allowed.is_empty() && first == 0 && end == runs.len() {
            let ways = Way {
                need: token.map_or(Need::Anything, Need::Token),
                above: 0,
                below: u64::MAX,
            };
            let mut ways = vec![ways];
            if let Some(slot) = excluded {
                ways.push(Way {
                    need: Need::Anything,
                    above: self.set_at(slot),
                    below: self.lsn(slot + 1),
                });
            }
            self.conflict(Case::Nowhere { refused }, ways);
            return;
        }
        let mut from = (first == 0).then_some(0);
        for (start, stop) in allowed {
            if let Some(from) = from
                && from < start
            {
                gaps.push((from, start - 1));
            }
            from = Some(stop + 1);
        }
        if let Some(from) = from
            && end == runs.len()
            && from <= last
        {
            gaps.push((from, last));
        }
    }

    /// A gap matters only if it begins at or below the first of these slots and ends at or above the
    /// second: otherwise its clause holds whatever is raised.
    fn relevant(&mut self, refused: OpId) -> (usize, usize) {
        let op = self.facts.history.op(refused);
        let Placement {
            earliest, latest, ..
        } = self.placement;
        let (invoked, returned) = (op.begins(), op.deadline());
        let begun = seek(earliest, self.hints.begun, |&at| at < invoked);
        let passed = seek(latest, self.hints.passed, |&at| at <= returned);
        self.hints = Hints {
            begun,
            passed,
            ..self.hints
        };
        (begun, passed)
    }

    /// The least moments that fulfil the clauses, which come by falling `to`; and the raises that were
    /// needed. The moments are those of all slots, slot 0 included.
    fn raise(&self, clauses: &[Clause]) -> (Vec<u64>, Vec<Clause>) {
        let mut raised = Maxima::new(self.last_slot() + 1);
        let mut raises = Vec::new();
        for clause in clauses {
            let (from, next) = (clause.from, clause.to + 1);
            let is_late_enough = |entered: u64| from > 0 && entered >= clause.invoked;
            let is_early_enough = |left: u64| left <= clause.returned;
            // Most hold without a look at what was raised.
            if is_late_enough(self.earliest(from))
                || (is_early_enough(self.earliest(next)) && is_early_enough(raised.up_to(next)))
                || is_late_enough(raised.up_to(from))
            {
                continue;
            }
            // No operation is invoked before the first event, but one may be at it.
            raised.raise(from, clause.invoked.max(1));
            raises.push(*clause);
        }
        (self.entered(&raises), raises)
    }

    /// When all slots, slot 0 included, are entered after these raises.
    fn entered(&self, raises: &[Clause]) -> Vec<u64> {
        let mut moments = Vec::with_capacity(self.last_slot() + 1);
        moments.push(0);
        moments.extend_from_slice(&self.placement.earliest);
        for raise in raises {
            let at = &mut moments[raise.from];
            *at = (*at).max(raise.invoked.max(1));
        }
        let mut highest = 0;
        for at in &mut moments {
            highest = highest.max(*at);
            *at = highest;
        }
        moments
    }

    /// Finds a place for what was refused without being told of the last record.
    fn places(&mut self, moments: &[u64]) -> Vec<(u64, u32, OpId)> {
        let facts = self.facts;
        let mut places = Vec::new();
        let mut gaps = Vec::new();
        let mut hint = 0;
        for &refused in &facts.refused {
            let op = facts.history.op(refused);
            let told = op.mismatch().expect("it was refused for a mismatch");
            if told.last.is_some() {
                continue;
            }
            let (invoked, returned) = (op.begins(), op.deadline());
            hint = seek(moments, hint, |&at| at <= invoked);
            let slot = hint.max(1) - 1;
            self.gaps(refused, op.terms(), told, (slot, slot), &mut gaps);
            let gap = gaps.iter().find(|(from, to)| (*from..=*to).contains(&slot));
            let (at, slot) = match gap {
                None => (invoked, slot),
                Some(&(_, to)) if moments.get(to + 1).is_some_and(|&at| at <= returned) => {
                    (moments[to + 1], to + 1)
                }
                Some(&(from, _)) => (invoked, from - 1),
            };
            let slot = u32::try_from(slot).expect("no more appends than operations");
            places.push((at, slot, refused));
        }
        places
    }

    fn no_moment(&self, slot: usize, moments: &[u64], raises: &[Clause]) -> Conflict {
        let mut clauses = Vec::new();
        let mut at = slot;
        while at <= self.last_slot() && moments[at] > self.earliest(at) {
            let clause = raises.iter().rfind(|clause| {
                clause.from <= at && at <= clause.to && clause.invoked.max(1) == moments[at]
            });
            let clause = *clause.expect("what is later than needed was raised");
            clauses.push(clause);
            at = clause.to + 1;
        }
        let late = if at > self.last_slot() {
            None
        } else {
            Some(self.entered_by(at))
        };
        let early = (slot > 0).then(|| self.left_by(slot));
        let ways = clauses.iter().map(|clause| self.way(clause)).collect();
        Conflict {
            case: Case::NoMoment {
                slot,
                clauses,
                late,
                early,
            },
            ways,
        }
    }

    /// The way to split a gap.
    fn way(&self, clause: &Clause) -> Way {
        let op = self.facts.history.op(clause.refused);
        let told = op.mismatch().expect("it was refused for a mismatch");
        let terms = op.terms();
        let need = match (terms.last, terms.token, told.token) {
            (None, Some(token), None) => Need::OtherThan(token),
            (_, Some(demanded), Some(Some(token))) if demanded != token => Need::Token(token),
            _ => Need::Anything,
        };
        Way {
            need,
            above: self.set_at(clause.from),
            below: self.lsn(clause.to + 1),
        }
    }

    /// An operation because of which a slot cannot have been entered earlier.
    fn entered_by(&self, slot: usize) -> OpId {
        let moment = self.earliest(slot);
        let history = self.facts.history;
        let begins_then = |op: &OpId| history.op(*op).begins() == moment;
        let mut appends = self.effective[..slot]
            .iter()
            .rev()
            .map(|append| append.op());
        let observers = self.facts.bounds.iter().zip(&self.placement.slots);
        let mut observers = observers
            .filter(|(bound, seen)| bound.exact && (**seen as usize) < slot)
            .map(|(bound, _)| bound.op);
        appends
            .find(begins_then)
            .or_else(|| observers.find(begins_then))
            .expect("something makes a slot as early as it is")
    }

    /// An operation because of which a slot cannot have been entered later.
    fn left_by(&self, slot: usize) -> OpId {
        let moment = self.latest(slot);
        let history = self.facts.history;
        let ends_then = |op: &OpId| history.op(*op).deadline() == moment;
        let mut appends = self.effective[slot - 1..].iter().map(|append| append.op());
        let observers = self.facts.bounds.iter().zip(&self.placement.slots);
        let mut observers = observers
            .filter(|(_, seen)| **seen as usize >= slot)
            .map(|(bound, _)| bound.op);
        appends
            .find(ends_then)
            .or_else(|| observers.find(ends_then))
            .expect("something makes a slot as late as it is")
    }
}

impl Conflict {
    /// The anomaly, of appends that were judged so.
    pub(super) fn explain(
        &self,
        facts: &LogFacts<'_>,
        effective: &[Owner],
        placement: &Placement,
    ) -> Anomaly {
        Explain {
            conditions: Conditions {
                facts,
                effective,
                placement,
                runs: Runs::new(facts, effective),
                conflicts: Vec::new(),
                hints: Hints::default(),
            },
            ops: Vec::new(),
            positions: Vec::new(),
            chain: Vec::new(),
        }
        .explain(&self.case)
    }

    /// What it is called.
    pub(super) fn kind(&self, facts: &LogFacts<'_>) -> AnomalyKind {
        let fenced = |refused: OpId| {
            let op = facts.history.op(refused);
            let told = op.mismatch().and_then(|told| told.token);
            op.terms().token.is_some() || told.is_some()
        };
        let is_fenced = match &self.case {
            Case::LastWasOther { .. } => false,
            Case::TokenWasOther { .. } | Case::ToldOtherToken { .. } => true,
            Case::NobodyAppended { .. } => return AnomalyKind::DirtyRead,
            Case::Held { refused, .. } | Case::Nowhere { refused } => fenced(*refused),
            Case::NoMoment { clauses, .. } => clauses.iter().any(|clause| fenced(clause.refused)),
        };
        if is_fenced {
            AnomalyKind::FenceViolation
        } else {
            AnomalyKind::ConditionViolation
        }
    }
}

/// A certificate in the making.
struct Explain<'a, 'h> {
    conditions: Conditions<'a, 'h>,
    ops: Vec<OpId>,
    positions: Vec<u64>,
    chain: Vec<Link>,
}

impl Explain<'_, '_> {
    fn explain(mut self, case: &Case) -> Anomaly {
        let facts = self.conditions.facts;
        let witnesses = Witnesses {
            history: facts.history,
            log: facts.log,
        };
        let name = |op| witnesses.name(op);
        let words = match *case {
            Case::LastWasOther { slot } => {
                let append = self.slot(slot).expect("it took effect");
                self.last_record(slot - 1, append);
                let terms = facts.history.op(append).terms();
                let last = terms.last.expect("it demands a last record");
                if last != Lsn::MIN {
                    self.positions.push(last.as_u64());
                }
                Words {
                    expected: format!("{} is refused", name(append)),
                    seen: format!("it went to {}", self.at(slot)),
                }
            }
            Case::TokenWasOther { slot } => {
                let append = self.slot(slot).expect("it took effect");
                self.token(slot - 1, append);
                Words {
                    expected: format!("{} is refused", name(append)),
                    seen: format!("it went to {}", self.at(slot)),
                }
            }
            Case::Held { refused, slot } => {
                self.slot(slot);
                self.last_record(slot, refused);
                if facts.history.op(refused).terms().token.is_some() {
                    self.token(slot, refused);
                }
                Words {
                    expected: format!("{} is accepted, as what it demands is so", name(refused)),
                    seen: "it is refused".to_owned(),
                }
            }
            Case::ToldOtherToken { refused, slot } => {
                self.slot(slot);
                self.token(slot, refused);
                Words {
                    expected: format!("{} is told of the token that was set last", name(refused)),
                    seen: "it is told of another one".to_owned(),
                }
            }
            Case::NobodyAppended { refused, last } => {
                self.positions.push(last.as_u64());
                self.told(refused, refused);
                self.chain.push(Link {
                    from: refused,
                    to: refused,
                    reason: Reason::LastRecord { lsn: last },
                });
                Words {
                    expected: format!("{} is told of a record that is there", name(refused)),
                    seen: format!("nobody put one at {last}"),
                }
            }
            Case::Nowhere { refused } => {
                self.told(refused, refused);
                Words {
                    expected: format!("{} is told what was so at some time", name(refused)),
                    seen: "it never was".to_owned(),
                }
            }
            Case::NoMoment {
                slot,
                ref clauses,
                late,
                early,
            } => {
                self.no_moment(slot, clauses, late, early);
                let refused = clauses[0].refused;
                Words {
                    expected: format!(
                        "{} is refused when what it demands is not so, and told what is",
                        name(refused)
                    ),
                    seen: "at no moment between its invocation and its return was that so"
                        .to_owned(),
                }
            }
        };
        let conflict = Conflict {
            case: case.clone(),
            ways: Vec::new(),
        };
        let kind = conflict.kind(facts);
        witnesses.anomaly(kind, &self.ops, &self.positions, self.chain, words)
    }

    fn at(&self, slot: usize) -> Lsn {
        Lsn::from_u64(self.conditions.lsn(slot))
    }

    /// Shows the append of a slot, with what is needed to know of it. Slot 0 has none, and neither has
    /// what is above all.
    fn slot(&mut self, slot: usize) -> Option<OpId> {
        let append = self.conditions.effective.get(slot.checked_sub(1)?)?;
        if !self.ops.contains(&append.op()) {
            let (ops, chain) = evidence(self.conditions.facts, append);
            self.ops.extend(ops);
            self.chain.extend(chain);
            self.ops.push(append.op());
            self.positions.push(append.lsn);
        }
        Some(append.op())
    }

    /// Says that `by` relies on what it demands or was told, against `from`.
    fn told(&mut self, from: OpId, by: OpId) {
        self.ops.push(by);
        self.chain.push(Link {
            from,
            to: by,
            reason: Reason::Told { by },
        });
    }

    /// Says what the last record is in a slot.
    fn last_record(&mut self, slot: usize, by: OpId) {
        let from = self.slot(slot).unwrap_or(by);
        let lsn = self.at(slot);
        self.chain.push(Link {
            from,
            to: by,
            reason: Reason::LastRecord { lsn },
        });
        self.told(from, by);
    }

    /// Says what the token is in a slot.
    fn token(&mut self, slot: usize, by: OpId) {
        let runs = &self.conditions.runs;
        let (set, token) = runs.starts[runs.at(slot)];
        let from = self.slot(set).unwrap_or(by);
        self.chain.push(Link {
            from,
            to: by,
            reason: Reason::TokenInForce { token },
        });
        self.told(from, by);
    }

    fn no_moment(
        &mut self,
        slot: usize,
        clauses: &[Clause],
        late: Option<OpId>,
        early: Option<OpId>,
    ) {
        let witnesses = Witnesses {
            history: self.conditions.facts.history,
            log: self.conditions.facts.log,
        };
        let mut at = slot;
        let mut before = early;
        for clause in clauses {
            self.ops.push(clause.refused);
            // What had happened before it was invoked brings the log into the gap, or above.
            if let Some(before) = before {
                self.shows(before, at);
                self.chain.push(witnesses.real_time(before, clause.refused));
            }
            let op = self.conditions.facts.history.op(clause.refused);
            let told = op.mismatch().and_then(|told| told.token);
            if op.terms().last.is_some() && clause.from == clause.to {
                self.last_record(clause.from, clause.refused);
            }
            if op.terms().token.is_some() || told.is_some() {
                self.token(clause.from, clause.refused);
            }
            self.slot(clause.from);
            self.slot(clause.to + 1);
            at = clause.to + 1;
            before = Some(clause.refused);
        }
        if let (Some(late), Some(before)) = (late, before) {
            self.shows(late, at);
            self.chain.push(witnesses.real_time(before, late));
        }
    }

    /// Shows an operation that says something of a slot: an append, or an observer that saw it or not.
    fn shows(&mut self, op: OpId, slot: usize) {
        let Conditions {
            facts,
            effective,
            placement,
            ..
        } = self.conditions;
        let append = effective.iter().position(|append| append.op() == op);
        if let Some(index) = append {
            self.slot(index + 1);
            return;
        }
        self.ops.push(op);
        let Some(between) = self.slot(slot) else {
            return;
        };
        let bounds = facts.bounds.iter().zip(&placement.slots);
        let mut own = bounds.filter(|(bound, _)| bound.op == op);
        let Some((bound, &seen)) = own.next() else {
            return;
        };
        let lsn = self.conditions.lsn(slot);
        self.chain.push(if (seen as usize) < slot {
            by_end(op, bound.below, between, lsn)
        } else {
            by_position(between, lsn, op, bound.below)
        });
    }
}

/// Prefix maxima under point raises.
struct Maxima(Vec<u64>);

impl Maxima {
    fn new(len: usize) -> Self {
        Self(vec![0; len + 1])
    }

    fn raise(&mut self, index: usize, value: u64) {
        let mut at = index + 1;
        while at < self.0.len() {
            self.0[at] = self.0[at].max(value);
            at += at & at.wrapping_neg();
        }
    }

    /// The greatest value at or below an index.
    fn up_to(&self, index: usize) -> u64 {
        let mut at = index + 1;
        let mut greatest = 0;
        while at > 0 {
            greatest = greatest.max(self.0[at]);
            at -= at & at.wrapping_neg();
        }
        greatest
    }
}
