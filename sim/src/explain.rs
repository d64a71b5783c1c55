//! Explaining a failure: which parts of the plan it needs, and from when on it could not be averted.
//!
//! A part is *necessary* if the failure is lost without it alone. Of those that are not, some may still be needed
//! *together*: each can be spared, as another stands in for it, but not all. The others are *irrelevant*; and
//! those that changed nothing were *inert*. All of that is found by making runs, as [`crate::shrink`] does.
//!
//! The failure was *inevitable* from the first event on after which it comes, the same one, even though the cluster
//! is healed there and left alone, whatever chance decides afterwards.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::capsule::Capsule;
use crate::events;
use crate::ordered::for_each_in_order;
use crate::run::{Course, View, run_course};
use crate::shrink::ddmin::{Groups, ddmin};
use crate::shrink::items::{self, Item};
use crate::shrink::lab::Lab;
use crate::shrink::{SEEDS, ShrinkError, reproduce};
use crate::signature::Signature;

/// So often chance may decide otherwise after the cluster is healed, before a failure counts as inevitable.
const CHANCES: u64 = 6;

/// What a failure is made of.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Explanation {
    /// The failure.
    pub signature: Signature,
    /// The parts of the plan: its faults, then its moves.
    pub parts: Vec<Part>,
    /// Since when it was inevitable.
    pub inevitable: Inevitable,
    /// How many runs that took.
    pub runs: u64,
}

/// A part of the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its number among the faults, or among the moves.
    pub index: usize,
    /// What it is, in words.
    pub what: String,
    /// What it has to do with the failure.
    pub role: Role,
}

/// What a part of the plan has to do with a failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Without it alone there is no failure.
    Necessary,
    /// It can be spared alone, but not together with all others of this role.
    Together,
    /// It has nothing to do with it.
    Irrelevant,
    /// It changed nothing, and nothing changes without it.
    Inert,
}

/// Since when a failure was inevitable.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Inevitable {
    /// It comes without any fault or move.
    FromTheStart,
    /// Since this event.
    Since(Moment),
}

/// An event of the run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// Its number in the trace.
    pub event: u64,
    /// When it happens, in microseconds of virtual time.
    pub t_us: u64,
    /// What happens.
    pub words: String,
    /// When the chaos begins, in microseconds of virtual time: the times of faults and moves count from there.
    pub chaos_us: u64,
    /// What is planned for later, and no longer matters.
    pub too_late: Vec<String>,
    /// How many events the run has in all.
    pub events: u64,
}

/// What is being found out.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What.
    pub stage: &'static str,
    /// How many runs were made.
    pub runs: u64,
}

/// Explains the failure of a capsule. The result does not depend on the number of jobs.
///
/// # Errors
/// If there is no failure, or it does not come again.
pub fn explain(
    capsule: &Capsule,
    jobs: NonZeroUsize,
    mut observe: impl FnMut(Progress),
) -> Result<Explanation, ShrinkError> {
    let (signature, view, artifacts) = reproduce(capsule)?;
    let course = Course {
        steps: capsule.operations.clone().or(Some(artifacts.steps)),
        ..capsule.course()
    };
    let stage = "which faults it needs";
    let mut show = |runs| observe(Progress { stage, runs });
    let mut lab = Lab::new(signature.clone(), view, jobs, &mut show);
    let roles = roles(&course, &artifacts.effective, &mut lab);
    let mut runs = lab.runs();
    let all = items::of(&course.plan);
    let parts = all.iter().zip(roles).enumerate();
    let faults = course.plan.faults.len();
    let parts = parts.map(|(index, (item, role))| Part {
        index: index.checked_sub(faults).unwrap_or(index),
        what: item.to_string(),
        role,
    });
    let parts = parts.collect();
    let events = artifacts.report.trace_events;
    let inevitable = inevitable(&course, view, &signature, events, jobs, |more| {
        runs += more;
        let stage = "since when it was inevitable";
        observe(Progress { stage, runs });
    });
    Ok(Explanation {
        signature,
        parts,
        inevitable,
        runs,
    })
}

/// The roles of the parts of the plan.
fn roles(course: &Course, effective: &[bool], lab: &mut Lab<'_>) -> Vec<Role> {
    let all = items::of(&course.plan);
    let with = |kept: &Vec<usize>| {
        let kept: Vec<Item> = kept.iter().map(|&index| all[index].clone()).collect();
        Course {
            plan: items::plan(&kept),
            ..course.clone()
        }
    };
    let is_inert = |index| effective.get(index) == Some(&false);
    roles_of(all.len(), is_inert, |candidates| {
        let courses: Vec<Course> = candidates.iter().map(with).collect();
        Some(lab.first(&courses, SEEDS)?.index)
    })
}

/// The roles of so many parts. `first` names the first of some sets of parts, each in order, with which the
/// failure comes; with all parts it does.
fn roles_of(
    count: usize,
    is_inert: impl Fn(usize) -> bool,
    mut first: impl FnMut(&[Vec<usize>]) -> Option<usize>,
) -> Vec<Role> {
    let mut roles = vec![Role::Irrelevant; count];
    for (index, role) in roles.iter_mut().enumerate() {
        let others = (0..count).filter(|it| *it != index).collect();
        if first(&[others]).is_none() {
            *role = Role::Necessary;
        } else if is_inert(index) {
            *role = Role::Inert;
        }
    }
    let necessary: Vec<bool> = roles.iter().map(|role| *role == Role::Necessary).collect();
    let with_necessary = |kept: &Vec<usize>| -> Vec<usize> {
        let is_kept = |it: &usize| necessary[*it] || kept.contains(it);
        (0..count).filter(is_kept).collect()
    };
    // The least of what can be spared that brings the failure, without one of them. What changed nothing is
    // looked at only where the rest is not enough: it stands in for something then.
    let mut least = |without: Option<usize>| {
        let spared = |it: &usize| !necessary[*it] && Some(*it) != without;
        let spare: Vec<usize> = (0..count).filter(spared).collect();
        let moving: Vec<usize> = spare.iter().copied().filter(|it| !is_inert(*it)).collect();
        let is_enough = first(&[with_necessary(&moving)]).is_some();
        let items = if is_enough { moving } else { spare };
        ddmin(items, Groups::AloneToo, |candidates| {
            let candidates: Vec<Vec<usize>> = candidates.iter().map(with_necessary).collect();
            first(&candidates)
        })
    };
    for one in least(None) {
        roles[one] = Role::Together;
        for other in least(Some(one)) {
            roles[other] = Role::Together;
        }
    }
    roles
}

/// Since when a run of so many events was bound to fail. `made` hears of runs that were made.
fn inevitable(
    course: &Course,
    view: View,
    signature: &Signature,
    events: u64,
    jobs: NonZeroUsize,
    mut made: impl FnMut(u64),
) -> Inevitable {
    let mut may_pass = |after: u64| {
        let work = |salt| {
            let view = View {
                healed_after: Some((after, salt)),
                ..view
            };
            let report = run_course(course.clone(), view).report;
            Signature::of(report.outcome, report.violation.as_ref())
        };
        // To fail otherwise is to be spared this failure.
        let spared = for_each_in_order(0..CHANCES, jobs, work, |_, found| {
            made(1);
            match found {
                Some(found) if found == *signature => Ok(()),
                _ => Err(()),
            }
        });
        spared.is_err()
    };
    if !may_pass(0) {
        return Inevitable::FromTheStart;
    }
    // Healed after `early` events it may pass, healed after `late` ones it fails.
    let (mut early, mut late) = (0, events);
    while late - early > 1 {
        let middle = early + (late - early) / 2;
        if may_pass(middle) {
            early = middle;
        } else {
            late = middle;
        }
    }
    let view = View {
        record_trace: true,
        ..view
    };
    let kept = run_course(course.clone(), view).trace;
    let event = &events::parse(&kept[late as usize - 1..late as usize])[0];
    let began = kept
        .iter()
        .find(|line| line.contains("\"phase\":\"Chaos\""));
    let began_us = began.map_or(0, |line| events::parse(std::slice::from_ref(line))[0].t_us);
    let later = |item: &&Item| match item {
        Item::Fault(fault) => began_us + fault.at_us > event.t_us,
        Item::Move(planned) => began_us + planned.at_us > event.t_us,
    };
    Inevitable::Since(Moment {
        event: late,
        t_us: event.t_us,
        chaos_us: began_us,
        words: event.words(),
        too_late: items::of(&course.plan)
            .iter()
            .filter(later)
            .map(ToString::to_string)
            .collect(),
        events,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of five parts, of which the fourth and the fifth change nothing; `fails` says what brings the failure.
    fn roles(fails: impl Fn(&[usize]) -> bool) -> Vec<Role> {
        roles_of(5, |it| it >= 3, |sets| sets.iter().position(|it| fails(it)))
    }

    #[test]
    fn what_stands_in_for_another_is_found_even_where_it_changed_nothing() {
        use Role::{Inert, Irrelevant, Necessary, Together};
        let has = |set: &[usize], it| set.contains(&it);
        assert_eq!(
            roles(|set| has(set, 0)),
            [Necessary, Irrelevant, Irrelevant, Inert, Inert]
        );
        assert_eq!(
            roles(|set| has(set, 0) && (has(set, 1) || has(set, 2))),
            [Necessary, Together, Together, Inert, Inert]
        );
        assert_eq!(
            roles(|set| has(set, 0) && (has(set, 1) || has(set, 3))),
            [Necessary, Together, Irrelevant, Together, Inert]
        );
        assert_eq!(
            roles(|_| true),
            [Irrelevant, Irrelevant, Irrelevant, Inert, Inert]
        );
    }
}
