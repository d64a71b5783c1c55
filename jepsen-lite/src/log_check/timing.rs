//! What can be judged by time: whether the slots of a log can be passed one after the other.
//!
//! Let `a_1 .. a_m` be the effective appends by LSN; slot `i` is the state after `a_i`. What a bound
//! saw lies in a range of slots: one slot for a tail and a read that reached it, all from one slot on
//! for a read that its limit cut.
//!
//! ```text
//! earliest(i) = max( invoke(a_j) for j <= i ;  invoke(o) for observers o that only saw slots < i )
//! latest(i)   = min( return(a_j) for j >= i ;  return(o) for observers o that only saw slots >= i )
//! ```
//!
//! The log can have passed into slot `i` at some moment iff `earliest(i) <= latest(i)`, and if that
//! holds for all `i`, then `earliest` itself is a legal choice: both sequences never fall, and between
//! the points of its neighbours each observer finds a moment within its own interval.
//!
//! An operation is in conflict iff it was invoked after `latest` of the lowest slot that must come
//! after it, so conflicts are found one by one, each with the operation that set that `latest`.

use hstore_core::Lsn;

use super::evidence;
use crate::anomaly::{
    Anomaly, AnomalyKind, Seen, Witnesses, Words, by_end, by_observation, by_position,
};
use crate::facts::{Bound, LogFacts, Owner, seek, sort_nearly_sorted};
use crate::history::{Answer, OpId};
use crate::replay::Witness;
use crate::verdict::Findings;

/// Where everything belongs. Index `i` of a vector over slots is slot `i + 1`: slot 0, the empty log,
/// needs no moment.
pub(super) struct Placement {
    /// For each bound, how many effective appends lie below it.
    pub(super) slots: Vec<u32>,
    /// When each slot can have been entered at the earliest.
    pub(super) earliest: Vec<u64>,
    /// By when it must have been.
    pub(super) latest: Vec<u64>,
}

impl Placement {
    /// Whether there is a moment for every slot.
    pub(super) fn is_possible(&self) -> bool {
        let mut slots = self.earliest.iter().zip(&self.latest);
        slots.all(|(earliest, latest)| earliest <= latest)
    }
}

/// Places the bounds among the effective appends.
pub(super) fn place(facts: &LogFacts<'_>, effective: &[Owner]) -> Placement {
    let history = facts.history;
    let mut earliest = Vec::with_capacity(effective.len());
    let mut latest = Vec::with_capacity(effective.len());
    for append in effective {
        let op = history.op(append.op());
        earliest.push(op.begins());
        latest.push(op.deadline());
    }
    let mut slots = Vec::with_capacity(facts.bounds.len());
    let mut hint = 0;
    for bound in &facts.bounds {
        // Bounds come in the order of invocation, so each lies close to the one before.
        hint = seek(effective, hint, |append| append.lsn < bound.below);
        slots.push(u32::try_from(hint).expect("no more appends than operations"));
        let op = history.op(bound.op);
        if let Some(seen) = hint.checked_sub(1) {
            latest[seen] = latest[seen].min(op.deadline());
        }
        if bound.exact && hint < earliest.len() {
            earliest[hint] = earliest[hint].max(op.begins());
        }
    }
    let mut highest = 0;
    for at in &mut earliest {
        highest = highest.max(*at);
        *at = highest;
    }
    let latest = suffix_minimum(latest);
    Placement {
        slots,
        earliest,
        latest,
    }
}

fn suffix_minimum(mut values: Vec<u64>) -> Vec<u64> {
    let mut lowest = u64::MAX;
    for value in values.iter_mut().rev() {
        lowest = lowest.min(*value);
        *value = lowest;
    }
    values
}

/// Adds an anomaly for each operation that comes too late for what must come after it.
pub(super) fn check(
    facts: &LogFacts<'_>,
    effective: &[Owner],
    placement: &Placement,
    findings: &mut Findings,
) {
    if placement.is_possible() {
        return;
    }
    let explain = Explain {
        facts,
        effective,
        witnesses: Witnesses {
            history: facts.history,
            log: facts.log,
        },
    };
    let invoked = |op| facts.history.op(op).begins();
    // Needed only where something is wrong.
    let mut acks = None;
    // What comes too late makes its slot begin too late.
    let is_late = |slot: usize| placement.earliest[slot] > placement.latest[slot];
    for slot in (0..effective.len()).filter(|&slot| is_late(slot)) {
        let append = &effective[slot];
        let invoked = invoked(append.op());
        if invoked > placement.latest[slot] {
            let first_ack = acks.get_or_insert_with(|| first_acks(facts, effective))[slot];
            if invoked > first_ack {
                findings.add(AnomalyKind::Reorder, || {
                    explain.reorder(append, explain.acked_at(slot, first_ack))
                });
            } else {
                findings.add(AnomalyKind::FutureRead, || {
                    let seen = explain.observed_by(placement, slot);
                    explain.future_read(append, seen)
                });
            }
        }
    }
    for (bound, &slot) in facts.bounds.iter().zip(&placement.slots) {
        let slot = slot as usize;
        if bound.exact
            && slot < effective.len()
            && is_late(slot)
            && invoked(bound.op) > placement.latest[slot]
        {
            findings.add(AnomalyKind::StaleRead, || {
                // Where an append suffices as evidence, that is the simpler story.
                let first_ack = acks.get_or_insert_with(|| first_acks(facts, effective))[slot];
                if invoked(bound.op) > first_ack {
                    explain.misses_append(bound, explain.acked_at(slot, first_ack))
                } else {
                    let earlier = explain.observed_by(placement, slot);
                    explain.goes_back(bound, earlier, &effective[slot])
                }
            });
        }
    }
}

/// For each slot, when the first append of this slot or a higher one returned.
fn first_acks(facts: &LogFacts<'_>, effective: &[Owner]) -> Vec<u64> {
    let returns = effective.iter();
    let returns = returns.map(|append| facts.history.op(append.op()).deadline());
    suffix_minimum(returns.collect())
}

struct Explain<'a, 'h> {
    facts: &'a LogFacts<'h>,
    effective: &'a [Owner],
    witnesses: Witnesses<'h>,
}

impl<'a> Explain<'a, '_> {
    /// The append of this slot or a higher one that returned at this event.
    fn acked_at(&self, slot: usize, event: u64) -> &'a Owner {
        let mut appends = self.effective[slot..].iter();
        let history = self.facts.history;
        let append = appends.find(|append| history.op(append.op()).deadline() == event);
        append.expect("some append returned then")
    }

    /// The observer that saw this slot or a higher one and returned first.
    fn observed_by(&self, placement: &Placement, slot: usize) -> &'a Bound {
        let event = placement.latest[slot];
        let history = self.facts.history;
        let mut bounds = self.facts.bounds.iter().zip(&placement.slots);
        let bound = bounds.find(|&(bound, &seen)| {
            seen as usize > slot && history.op(bound.op).deadline() == event
        });
        bound.expect("some observer returned then").0
    }

    fn reorder(&self, late: &Owner, early: &Owner) -> Anomaly {
        let (mut ops, mut chain) = evidence(self.facts, late);
        ops.extend([late.op(), early.op()]);
        chain.push(by_position(late.op(), late.lsn, early.op(), early.lsn));
        chain.push(self.witnesses.real_time(early.op(), late.op()));
        let (late_at, early_at) = (Lsn::from_u64(late.lsn), Lsn::from_u64(early.lsn));
        self.witnesses.anomaly(
            AnomalyKind::Reorder,
            &ops,
            &[late.lsn, early.lsn],
            chain,
            Words {
                expected: format!(
                    "an LSN above {early_at} for {}: {} had ended there before it began",
                    self.witnesses.name(late.op()),
                    self.witnesses.name(early.op())
                ),
                seen: late_at.to_string(),
            },
        )
    }

    fn future_read(&self, append: &Owner, bound: &Bound) -> Anomaly {
        let record = self.facts.history.op(append.op()).record();
        let record = record.expect("an append carries a record");
        let at = Lsn::from_u64(append.lsn);
        let shows = match self.facts.history.op(bound.op).answer() {
            Some(Answer::Read(read)) => read.records.contains(&(at, record)),
            _ => false,
        };
        let (mut ops, mut chain) = if shows {
            (Vec::new(), Vec::new())
        } else {
            evidence(self.facts, append)
        };
        ops.extend([append.op(), bound.op]);
        chain.push(if shows {
            let shown = Seen::Record { record };
            by_observation(append.op(), bound.op, bound.op, append.lsn, shown)
        } else {
            by_position(append.op(), append.lsn, bound.op, bound.below)
        });
        chain.push(self.witnesses.real_time(bound.op, append.op()));
        let observer = self.witnesses.name(bound.op);
        self.witnesses.anomaly(
            AnomalyKind::FutureRead,
            &ops,
            &[append.lsn],
            chain,
            Words {
                expected: format!(
                    "{observer} sees nothing of {}, which began after it had ended",
                    self.witnesses.name(append.op())
                ),
                seen: format!(
                    "it saw a log that ends at {}; the record went to {at}",
                    Lsn::from_u64(bound.below)
                ),
            },
        )
    }

    fn misses_append(&self, bound: &Bound, append: &Owner) -> Anomaly {
        let at = Lsn::from_u64(append.lsn);
        self.witnesses.anomaly(
            AnomalyKind::StaleRead,
            &[bound.op, append.op()],
            &[append.lsn],
            vec![
                by_end(bound.op, bound.below, append.op(), append.lsn),
                self.witnesses.real_time(append.op(), bound.op),
            ],
            Words {
                expected: format!(
                    "a tail above {at} for {}: {} had ended there before it began",
                    self.witnesses.name(bound.op),
                    self.witnesses.name(append.op())
                ),
                seen: format!("tail {}", Lsn::from_u64(bound.below)),
            },
        )
    }

    /// `late` began after `early` had ended, but saw less: `between` lies between what they saw.
    fn goes_back(&self, late: &Bound, early: &Bound, between: &Owner) -> Anomaly {
        let (mut ops, mut chain) = evidence(self.facts, between);
        ops.extend([late.op, early.op, between.op()]);
        chain.push(by_end(late.op, late.below, between.op(), between.lsn));
        chain.push(by_position(
            between.op(),
            between.lsn,
            early.op,
            early.below,
        ));
        chain.push(self.witnesses.real_time(early.op, late.op));
        let at = Lsn::from_u64(between.lsn);
        self.witnesses.anomaly(
            AnomalyKind::StaleRead,
            &ops,
            &[between.lsn],
            chain,
            Words {
                expected: format!(
                    "a tail above {at} for {}: {} had seen the log up to {} before it began, and {} is there",
                    self.witnesses.name(late.op),
                    self.witnesses.name(early.op),
                    Lsn::from_u64(early.below),
                    self.witnesses.name(between.op())
                ),
                seen: format!("tail {}", Lsn::from_u64(late.below)),
            },
        )
    }
}

/// The order in which everything took effect, if [`check`] found nothing: slots are entered at
/// `earliest`, and what is not a bound has its own place.
pub(super) fn witness(
    facts: &LogFacts<'_>,
    effective: &[Owner],
    placement: &Placement,
    earliest: &[u64],
    mut places: Vec<(u64, u32, OpId)>,
) -> Witness {
    let history = facts.history;
    // Observers by the moment and the slot at which they see the log. Appends are in order already:
    // `earliest` never falls.
    let mut hint = 0;
    let mut observers: Vec<(u64, u32, OpId)> = facts
        .bounds
        .iter()
        .zip(&placement.slots)
        .map(|(bound, &lowest)| {
            let entered = lowest
                .checked_sub(1)
                .map_or(0, |slot| earliest[slot as usize]);
            let moment = entered.max(history.op(bound.op).begins());
            if bound.exact {
                return (moment, lowest, bound.op);
            }
            hint = seek(earliest, hint, |&at| at <= moment);
            let slot = u32::try_from(hint).expect("no more appends than operations");
            (moment, slot, bound.op)
        })
        .collect();
    sort_nearly_sorted(&mut observers, |&observer| observer);
    if !places.is_empty() {
        sort_nearly_sorted(&mut places, |&place| place);
        observers.append(&mut places);
        // Two sorted runs: a stable sort merges them.
        observers.sort();
    }
    let mut order = Vec::with_capacity(effective.len() + observers.len());
    let mut observers = observers.into_iter().peekable();
    for (slot, (append, &moment)) in (1_u32..).zip(effective.iter().zip(earliest)) {
        // At one moment, an observer of a lower slot goes first.
        while let Some((_, _, op)) = observers.next_if(|&(at, seen, _)| (at, seen) < (moment, slot))
        {
            order.push(op);
        }
        order.push(append.op());
    }
    order.extend(observers.map(|(_, _, op)| op));
    let unknown = effective
        .iter()
        .filter(|append| history.op(append.op()).answer().is_none())
        .map(|append| (append.op(), Lsn::from_u64(append.lsn)));
    Witness {
        order,
        unknown: unknown.collect(),
    }
}
