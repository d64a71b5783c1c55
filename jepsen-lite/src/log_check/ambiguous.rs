//! Whether unknown appends that nobody saw can explain what else nothing explains.
//!
//! Such an append is taken as never done, unless a condition needs it: a refusal names a last record that
//! nobody read, an accepted append demands a token that nobody else set. Which of several unknown appends
//! it was, and where its record went, must be guessed. This is a search over guesses. A guess is a set of
//! LSNs, each with the terms of the append whose record is there. With it, all is decided as fast as
//! without any.
//!
//! - A conflict names the ways in which one more append could repair it. If a legal guess contains the
//!   present one, it contains an append that is one of these ways: outside of them, an append leaves the
//!   reasons of the conflict as they are. So only these are tried; where there is none, the guess is wrong.
//! - Appends with the same terms are interchangeable, and those invoked earlier can do whatever those can
//!   that were invoked later; so they are used in the order of invocation, by rising LSN.
//! - LSNs are interchangeable where no bound, read, seal or name of a last record lies between them.
//!
//! The search is exponential in the number of appends that must be guessed. Its budget is counted in
//! operations and LSNs looked at, so that the answer "unknown" is always the same for the same history.

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::Lsn;

use super::conditions::{self, Conflict, Need, Way};
use super::timing;
use crate::facts::{LogFacts, MaybeOp, Owner};
use crate::history::{Answer, GapKind, OpId, Terms, after, position};
use crate::replay::Witness;
use crate::verdict::{UnknownCause, Verdict};

/// Of the conflicts of a guess, so many are compared to find the one with the fewest ways out.
const CONFLICTS_COMPARED_MAX: usize = 16;

/// Where appends are guessed to have put their records, with the class of each.
type Guess = Vec<(u64, usize)>;

/// Appends that differ in nothing but the time of their invocation.
struct Class {
    terms: Terms,
    /// In the order of invocation.
    appends: Vec<OpId>,
}

struct Search<'a, 'h> {
    facts: &'a LogFacts<'h>,
    effective: &'a [Owner],
    classes: Vec<Class>,
    /// Ranges of which reads said that they hold no record, in order and apart.
    blocked: Vec<(u64, u64)>,
    /// Between two of these, one LSN is like another.
    cuts: Vec<u64>,
    seen: BTreeSet<Guess>,
    /// How many operations and LSNs may still be looked at.
    steps_left: u64,
}

/// The budget is used up.
struct OutOfBudget;

/// Looks for unknown appends that repair the conflicts. `None` if there are none, so that the conflicts
/// stand.
pub(super) fn resolve(
    facts: &LogFacts<'_>,
    ops: &[OpId],
    effective: &[Owner],
    conflicts: &[Conflict],
    steps_max: u64,
) -> Option<Verdict<Witness>> {
    if conflicts.iter().any(|conflict| conflict.ways.is_empty()) {
        return None;
    }
    let classes = unseen(facts, ops);
    if classes.is_empty() {
        return None;
    }
    let blocked = blocked(facts);
    let mut search = Search {
        facts,
        effective,
        classes,
        cuts: cuts(facts, ops, &blocked),
        blocked,
        seen: BTreeSet::new(),
        steps_left: steps_max,
    };
    match search.explore(&Guess::new(), conflicts) {
        Ok(found) => found.map(Verdict::Valid),
        Err(OutOfBudget) => {
            let appends = search
                .classes
                .iter()
                .map(|class| class.appends.len() as u64);
            Some(Verdict::Unknown(UnknownCause::Ambiguous {
                appends: appends.sum(),
                steps: steps_max,
            }))
        }
    }
}

/// The unknown appends that nobody saw.
fn unseen(facts: &LogFacts<'_>, ops: &[OpId]) -> Vec<Class> {
    let mut classes: BTreeMap<Terms, Vec<OpId>> = BTreeMap::new();
    for op in ops.iter().map(|&id| facts.history.op(id)) {
        let Some(record) = op.record() else { continue };
        if op.is_unknown() && facts.claims_of(record).is_empty() {
            classes.entry(op.terms()).or_default().push(op.id());
        }
    }
    let classes = classes.into_iter();
    classes
        .map(|(terms, appends)| Class { terms, appends })
        .collect()
}

fn blocked(facts: &LogFacts<'_>) -> Vec<(u64, u64)> {
    let ranges = facts.missing.iter();
    let ranges = ranges.filter(|missing| missing.kind != Some(GapKind::Trim));
    let mut ranges: Vec<_> = ranges.map(|range| (range.first, range.end)).collect();
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (first, end) in ranges {
        match merged.last_mut() {
            Some(last) if first <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((first, end)),
        }
    }
    merged
}

fn cuts(facts: &LogFacts<'_>, ops: &[OpId], blocked: &[(u64, u64)]) -> Vec<u64> {
    let mut cuts = vec![position(Lsn::MIN)];
    cuts.extend(facts.bounds.iter().map(|bound| bound.below));
    cuts.extend(blocked.iter().flat_map(|&(first, end)| [first, end]));
    let seals = facts.seals.iter();
    cuts.extend(seals.flat_map(|seal| [seal.tail, position(Lsn::before(seal.epoch))]));
    let mut name = |lsn: Lsn| cuts.extend([position(lsn), after(lsn.as_u64())]);
    for op in ops.iter().map(|&id| facts.history.op(id)) {
        if !op.has_terms() && op.record().is_none() {
            continue;
        }
        if let Some(last) = op.terms().last {
            name(last);
        }
        match op.answer() {
            Some(Answer::Append { lsn }) => name(lsn),
            Some(Answer::Mismatch(told)) => told.last.into_iter().for_each(&mut name),
            _ => {}
        }
    }
    for claim in &facts.claims {
        name(Lsn::from_u64(claim.lsn));
    }
    cuts.retain(|&cut| cut > 0);
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

impl Need {
    fn is_met_by(self, terms: &Terms) -> bool {
        match self {
            Self::Anything => true,
            Self::Token(token) => terms.sets == Some(token),
            Self::OtherThan(token) => terms.sets.is_some_and(|set| set != token),
        }
    }
}

impl Search<'_, '_> {
    /// A witness for some guess that contains this one, which has these conflicts.
    fn explore(
        &mut self,
        guess: &Guess,
        conflicts: &[Conflict],
    ) -> Result<Option<Witness>, OutOfBudget> {
        let mut fewest: Option<Vec<(u64, usize)>> = None;
        for conflict in conflicts.iter().take(CONFLICTS_COMPARED_MAX) {
            let choices = self.choices(guess, conflict)?;
            if fewest.as_ref().is_none_or(|few| choices.len() < few.len()) {
                fewest = Some(choices);
            }
        }
        for choice in fewest.unwrap_or_default() {
            let mut more = guess.clone();
            more.insert(more.partition_point(|placed| *placed < choice), choice);
            if !self.seen.insert(more.clone()) {
                continue;
            }
            let effective = self.with(&more);
            self.spend(effective.len() + self.facts.bounds.len() + self.facts.refused.len())?;
            let placement = timing::place(self.facts, &effective);
            if !placement.is_possible() {
                continue;
            }
            match conditions::judge(self.facts, &effective, &placement) {
                Ok(entered) => {
                    return Ok(Some(timing::witness(
                        self.facts,
                        &effective,
                        &placement,
                        &entered.moments[1..],
                        entered.places,
                    )));
                }
                Err(conflicts) => {
                    if let Some(found) = self.explore(&more, &conflicts)? {
                        return Ok(Some(found));
                    }
                }
            }
        }
        Ok(None)
    }

    fn spend(&mut self, steps: usize) -> Result<(), OutOfBudget> {
        let left = self.steps_left.checked_sub(steps as u64);
        self.steps_left = left.ok_or(OutOfBudget)?;
        Ok(())
    }

    /// The appends that could repair a conflict.
    fn choices(
        &mut self,
        guess: &Guess,
        conflict: &Conflict,
    ) -> Result<Vec<(u64, usize)>, OutOfBudget> {
        let mut choices = Vec::new();
        for way in &conflict.ways {
            let classes = (0..self.classes.len()).filter(|&class| {
                let Class { terms, appends } = &self.classes[class];
                let used = guess.iter().filter(|placed| placed.1 == class).count();
                used < appends.len() && way.need.is_met_by(terms)
            });
            let classes: Vec<usize> = classes.collect();
            if classes.is_empty() {
                continue;
            }
            for lsn in self.places(guess, way)? {
                choices.extend(classes.iter().map(|&class| (lsn, class)));
            }
        }
        choices.sort_unstable();
        choices.dedup();
        Ok(choices)
    }

    /// The LSNs within a way that can hold a record of which nobody knows: of those that are alike, as
    /// many as there are appends.
    fn places(&mut self, guess: &Guess, way: &Way) -> Result<Vec<u64>, OutOfBudget> {
        let appends = self.classes.iter().map(|class| class.appends.len());
        let enough = appends.sum::<usize>();
        let mut places = Vec::new();
        let first = self.cuts.partition_point(|&cut| cut <= way.above);
        for index in first.saturating_sub(1)..self.cuts.len() {
            let start = self.cuts[index];
            let end = self.cuts.get(index + 1).map_or(u64::MAX, |&end| end);
            if start >= way.below {
                break;
            }
            self.spend(1)?;
            if !self.can_hold(start) {
                continue;
            }
            let mut lsn = start.max(position(Lsn::from_u64(way.above.saturating_add(1))));
            let mut found = 0;
            while lsn < end.min(way.below) && found < enough {
                if guess.binary_search_by_key(&lsn, |placed| placed.0).is_err() {
                    self.spend(1)?;
                    places.push(lsn);
                    found += 1;
                }
                lsn = after(lsn);
            }
        }
        Ok(places)
    }

    /// Whether a record can be at the start of a range without cuts.
    fn can_hold(&self, lsn: u64) -> bool {
        let range = self.blocked.partition_point(|&(first, _)| first <= lsn);
        let is_blocked = range > 0 && lsn < self.blocked[range - 1].1;
        let mut seals = self.facts.seals.iter();
        !is_blocked
            && self
                .effective
                .binary_search_by_key(&lsn, |append| append.lsn)
                .is_err()
            && !seals.any(|seal| seal.tail <= lsn && Lsn::from_u64(lsn).epoch < seal.epoch)
    }

    /// The effective appends together with the guessed ones.
    fn with(&self, guess: &Guess) -> Vec<Owner> {
        let mut all = self.effective.to_vec();
        let mut used = vec![0; self.classes.len()];
        for &(lsn, class) in guess {
            let append = self.classes[class].appends[used[class]];
            let record = self.facts.history.op(append).record();
            all.push(Owner {
                lsn,
                record: record.expect("an append carries a record"),
                append: append.into(),
                reader: MaybeOp::NONE,
            });
            used[class] += 1;
        }
        all.sort_unstable_by_key(|append| append.lsn);
        all
    }
}
