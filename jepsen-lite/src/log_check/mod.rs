//! Linearizability of one log, in near-linear time.
//!
//! The log is a sequence of records, ordered by LSN. An append puts its record at the end, if what it
//! demands of the last record and the token is so, and is refused otherwise; a tail is the next LSN to be
//! assigned; a read takes a tail and returns what lies below it; a poll returns what lies below its own
//! end. A seal is a tail from which on records have a later epoch. Unknown appends took effect once, at some
//! point after their invocation, or never.
//!
//! *Effective* appends are those that were acknowledged, and unknown ones whose record somebody read.
//! Their order by LSN is the order in which they took effect. The *slot* of a bound is the number of
//! effective appends below it; holes and bridges have none.
//!
//! An unknown append that nobody read is taken as never done, unless a condition needs it. Otherwise that
//! loses nothing: take any legal order in which it took effect and leave it out. Bounds are compared by
//! LSN, so the slot of every bound above it and the number of records before it fall together, and no read
//! showed it. An LSN of which no read spoke may have been anything; whether enough was read is for the
//! durability checker to say.
//!
//! Trims allow and never demand: what was given up by a trim that had been invoked before a read returned
//! may be missing from it, or may still be there. So they need no place among the slots.
//!
//! A history is legal if and only if
//! - no read contradicts itself, reads and appends agree on every position, and what is given up, sealed or
//!   read is so (`statics`);
//! - for every slot, whatever must be before it was invoked before whatever must be after it returned
//!   (`timing`);
//! - each append was accepted or refused rightly (`conditions`).
//!
//! The first two only look at appends that nothing static speaks against, so that a certificate of the
//! second kind stands even where there are some of the first. Conditions are only looked at where nothing
//! else is wrong: they rest on all that the others establish. Where a condition fails that an unknown append
//! could repair which nobody saw, there is something to guess (`ambiguous`), within a budget: only then can
//! the answer be "unknown".

mod ambiguous;
mod conditions;
mod statics;
mod timing;

use conditions::Entered;
use hstore_core::LogId;

use crate::anomaly::{Link, Seen, by_observation};
use crate::facts::{LogFacts, Owner};
use crate::history::{History, OpId};
use crate::replay::Witness;
use crate::verdict::{Findings, Verdict};

/// So many operations and LSNs are looked at where something has to be guessed, all guesses together.
pub const STEPS_MAX: u64 = 100_000_000;

/// Judges one log, given its operations in the order of invocation.
#[must_use]
pub fn linearizability(history: &History, log: LogId, ops: &[OpId]) -> Verdict<Witness> {
    linearizability_within(history, log, ops, STEPS_MAX)
}

/// The same with a budget of its own for what has to be guessed. Where nothing has to be, it spends none.
#[must_use]
pub fn linearizability_within(
    history: &History,
    log: LogId,
    ops: &[OpId],
    steps_max: u64,
) -> Verdict<Witness> {
    check(&LogFacts::gather(history, log, ops), ops, steps_max)
}

/// Judges one log.
pub(crate) fn check(facts: &LogFacts<'_>, ops: &[OpId], steps_max: u64) -> Verdict<Witness> {
    let mut findings = Findings::default();
    let effective = statics::check(facts, &mut findings);
    let placement = timing::place(facts, &effective);
    timing::check(facts, &effective, &placement, &mut findings);
    if !findings.is_empty() {
        return Verdict::Invalid(findings);
    }
    if !facts.has_terms {
        let earliest = &placement.earliest;
        return Verdict::Valid(timing::witness(
            facts,
            &effective,
            &placement,
            earliest,
            Vec::new(),
        ));
    }
    match conditions::judge(facts, &effective, &placement) {
        Ok(entered) => {
            let Entered { moments, places } = entered;
            Verdict::Valid(timing::witness(
                facts,
                &effective,
                &placement,
                &moments[1..],
                places,
            ))
        }
        Err(conflicts) => ambiguous::resolve(facts, ops, &effective, &conflicts, steps_max)
            .unwrap_or_else(|| {
                for conflict in &conflicts {
                    findings.add(conflict.kind(facts), || {
                        conflict.explain(facts, &effective, &placement)
                    });
                }
                Verdict::Invalid(findings)
            }),
    }
}

/// The read without which nobody knows where an unknown append took effect.
fn evidence(facts: &LogFacts<'_>, append: &Owner) -> (Vec<OpId>, Vec<Link>) {
    let op = facts.history.op(append.op());
    if op.answer().is_some() {
        return (Vec::new(), Vec::new());
    }
    let Some(read) = append.reader.get() else {
        return (Vec::new(), Vec::new());
    };
    let record = op.record().expect("an append carries a record");
    let shown = Seen::Record { record };
    let link = by_observation(append.op(), read, read, append.lsn, shown);
    (vec![read], vec![link])
}
