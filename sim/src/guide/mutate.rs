//! Changing a fault plan: what may go wrong in it is what went wrong in others, at other times and to others.
//!
//! Invariants: a mutation depends on the plans and the random source alone; faults stay in the order of time, strike
//! during the chaos; a plan is never without any, nor does it grow for ever.

use hstore_core::{LogId, NodeId, Rng};

use crate::options::SimOptions;
use crate::plan::{FaultPlan, Target, TimedFault};

/// No fault is dropped from a plan that has no more: nothing may come of it.
const FAULTS_MIN: usize = 4;
/// No plan grows to more faults.
const FAULTS_MAX: usize = 40;
/// A mutation is at most so many changes.
const CHANGES_MAX: u64 = 4;

/// The plan of `parent`, which is for a cluster with these options, with some changes, for which `donor` gives
/// faults.
#[must_use]
pub(super) fn mutate(
    parent: &FaultPlan,
    donor: &FaultPlan,
    options: &SimOptions,
    rng: &mut Rng,
) -> FaultPlan {
    let mut plan = parent.clone();
    let faults = &mut plan.faults;
    let most = (faults.len() * 2).clamp(FAULTS_MIN, FAULTS_MAX);
    let given = &donor.faults;
    if !given.is_empty() && rng.chance(0.2) {
        splice(faults, given, options, rng);
    }
    for _ in 0..rng.within(1..=CHANGES_MAX) {
        match rng.below(5) {
            0 if faults.len() < most => {
                if let Some(fault) = rng.pick(given) {
                    faults.push(fault.clone());
                }
            }
            1 if faults.len() > FAULTS_MIN => {
                let at = rng.below(faults.len() as u64) as usize;
                faults.remove(at);
            }
            2 => change(faults, rng, |fault, rng| retarget(fault, options, rng)),
            // Where a fault strikes again, what it did meets what it does.
            3 if faults.len() < most => {
                if let Some(fault) = rng.pick(faults).cloned() {
                    let mut again = fault;
                    shift(&mut again, options, rng);
                    faults.push(again);
                }
            }
            _ => change(faults, rng, |fault, rng| shift(fault, options, rng)),
        }
    }
    faults.truncate(most);
    for fault in faults.iter_mut() {
        keep_in_chaos(fault, options);
    }
    faults.sort_by_key(|fault| fault.at_us);
    plan
}

/// The faults up to a moment, and those of the donor from then on.
fn splice(faults: &mut Vec<TimedFault>, given: &[TimedFault], options: &SimOptions, rng: &mut Rng) {
    let at_us = rng.below(options.chaos_us.max(1));
    if given.iter().filter(|fault| fault.at_us >= at_us).count() < FAULTS_MIN {
        return;
    }
    faults.retain(|fault| fault.at_us < at_us);
    faults.extend(given.iter().filter(|fault| fault.at_us >= at_us).cloned());
}

fn change(faults: &mut [TimedFault], rng: &mut Rng, how: impl FnOnce(&mut TimedFault, &mut Rng)) {
    if faults.is_empty() {
        return;
    }
    let at = rng.below(faults.len() as u64) as usize;
    how(&mut faults[at], rng);
}

/// At another time: any, or one nearby.
fn shift(fault: &mut TimedFault, options: &SimOptions, rng: &mut Rng) {
    let lasts = fault.until_us.saturating_sub(fault.at_us);
    fault.at_us = if rng.chance(0.3) {
        rng.below(options.chaos_us.max(1))
    } else {
        let near_us = 1 << rng.within(10..=20);
        (fault.at_us + rng.below(2 * near_us)).saturating_sub(near_us)
    };
    fault.until_us = fault.at_us + lasts;
}

/// Somebody else, of those that one fault may strike.
fn retarget(fault: &mut TimedFault, options: &SimOptions, rng: &mut Rng) {
    if let Target::Node(_) | Target::Sequencer(_) = fault.target {
        fault.target = if rng.chance(0.5) {
            let log = rng.within(1..=u64::from(options.workload.logs));
            Target::Sequencer(LogId(log as u32))
        } else {
            Target::Node(NodeId(rng.below(options.locations.len() as u64) as u8))
        };
    }
}

fn keep_in_chaos(fault: &mut TimedFault, options: &SimOptions) {
    let lasts = fault.until_us.saturating_sub(fault.at_us);
    let last_us = options.chaos_us.max(options.quiet_us + 1) - 1;
    fault.at_us = fault.at_us.clamp(options.quiet_us, last_us);
    fault.until_us = fault.at_us + lasts;
}
