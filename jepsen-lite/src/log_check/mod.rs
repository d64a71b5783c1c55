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

mod statics;
mod timing;

use hstore_core::LogId;

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
    check(&LogFacts::gather(history, log, ops))
}

/// Judges one log.
pub(crate) fn check(facts: &LogFacts<'_>) -> Verdict<Witness> {
    let mut findings = Findings::default();
    let effective = statics::check(facts, &mut findings);
    let placement = timing::place(facts, &effective);
    timing::check(facts, &effective, &placement, &mut findings);
    findings.verdict_or(|| Verdict::Valid(timing::witness(facts, &effective, &placement)))
}
