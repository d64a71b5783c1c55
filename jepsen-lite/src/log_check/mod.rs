//! Linearizability of one log, in near-linear time.
//!
//! The log is a sequence of records, ordered by LSN. An append puts its record at the end; a tail is
//! the next LSN to be assigned; a read takes a tail and returns what lies below it. Unknown appends
//! took effect once, at some point after their invocation, or never.
//!
//! *Effective* appends are those that were acknowledged, and unknown ones whose record somebody read.
//! Their order by LSN is the order in which they took effect. The *slot* of a bound is the number of
//! effective appends below it; holes and bridges have none.
//!
//! An unknown append that nobody read is taken as never done. That loses nothing: take any legal order
//! in which it took effect and leave it out. Bounds are compared by LSN, so the slot of every bound
//! above it and the number of records before it fall together, and no read showed it. So there is
//! nothing to guess, and this checker never answers "unknown". An LSN of which no read spoke may have
//! been anything; whether enough was read is for the durability checker to say.
//!
//! A history is legal if and only if
//! - no read contradicts itself, and reads and appends agree on every position (`statics`);
//! - for every slot, whatever must be before it was invoked before whatever must be after it returned
//!   (`timing`).
//!
//! Both parts only look at appends that nothing static speaks against, so that a certificate of the
//! second kind stands even where there are some of the first.

mod ambiguous;
mod conditions;
mod statics;
mod timing;

use conditions::Entered;
use hstore_core::LogId;

use crate::anomaly::{Link, Seen, by_observation};
use crate::facts::{LogFacts, MaybeOp};
use crate::history::{History, OpId};
use crate::replay::Witness;
use crate::verdict::{Findings, Verdict};

/// An append that took effect, as far as we know without contradiction.
#[derive(Clone, Copy, Debug)]
struct Effective {
    lsn: u64,
    append: OpId,
    /// A read that showed it, if there is one: certain for an append that is unknown.
    reader: MaybeOp,
}

/// Judges one log, given its operations in the order of invocation.
#[must_use]
pub fn linearizability(history: &History, log: LogId, ops: &[OpId]) -> Verdict<Witness> {
    check(&LogFacts::gather(history, log, ops), ops)
}

/// Judges one log.
pub(crate) fn check(facts: &LogFacts<'_>, ops: &[OpId]) -> Verdict<Witness> {
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
            &[],
        ));
    }
    match conditions::judge(facts, &effective, &placement) {
        Ok(entered) => {
            let Entered { moments, places } = &entered;
            Verdict::Valid(timing::witness(
                facts, &effective, &placement, moments, places,
            ))
        }
        Err(conflicts) => {
            ambiguous::resolve(facts, ops, &effective, &conflicts).unwrap_or_else(|| {
                for conflict in &conflicts {
                    findings.add(conflict.kind(facts), || {
                        conflict.explain(facts, &effective, &placement)
                    });
                }
                Verdict::Invalid(findings)
            })
        }
    }
}

/// The read without which nobody knows where an unknown append took effect.
fn evidence(facts: &LogFacts<'_>, append: &Effective) -> (Vec<OpId>, Vec<Link>) {
    let op = facts.history.op(append.append);
    if op.answer().is_some() {
        return (Vec::new(), Vec::new());
    }
    let Some(read) = append.reader.get() else {
        return (Vec::new(), Vec::new());
    };
    let record = op.record().expect("an append carries a record");
    let shown = Seen::Record { record };
    let link = by_observation(append.append, read, read, append.lsn, shown);
    (vec![read], vec![link])
}
