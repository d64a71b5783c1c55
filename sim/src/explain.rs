//! Explaining a failure: which parts of the plan it needs, and from when on it could not be averted.
//!
//! A part is *necessary* if the failure is lost without it alone. Of those that are not, some may still be needed
//! *together*: each can be spared, as another stands in for it, but not all. The others are *irrelevant*; and
//! those that changed nothing were *inert*. All of that is found by making runs, as [`crate::shrink`] does.
//!
//! The failure was *inevitable* from the first event on after which it comes even though the cluster is healed
//! there and left alone, whatever chance decides afterwards.

use std::num::NonZeroUsize;

use serde::Serialize;

use crate::capsule::Capsule;
use crate::events;
use crate::ordered::for_each_in_order;
use crate::outcome::Outcome;
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
    /// It changed nothing.
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
    /// What is planned for later, or goes on then, and no longer matters.
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
    let inevitable = inevitable(&course, view, events, jobs, |more| {
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
    let with = |some: &dyn Fn(usize) -> bool| {
        let kept = all.iter().enumerate().filter(|(index, _)| some(*index));
        let kept: Vec<Item> = kept.map(|(_, item)| item.clone()).collect();
        Course {
            plan: items::plan(&kept),
            ..course.clone()
        }
    };
    let mut roles = vec![Role::Irrelevant; all.len()];
    let mut spare = Vec::new();
    for (index, role) in roles.iter_mut().enumerate() {
        let alone = [with(&|it| it != index)];
        if lab.first(&alone, SEEDS).is_none() {
            *role = Role::Necessary;
        } else if effective.get(index) == Some(&false) {
            *role = Role::Inert;
        } else {
            spare.push(index);
        }
    }
    let necessary: Vec<bool> = roles.iter().map(|role| *role == Role::Necessary).collect();
    // What stands in for what: the least of those that can be spared, and the least without each of these.
    let mut least = |spare: Vec<usize>| {
        ddmin(spare, Groups::AloneToo, |candidates| {
            let courses: Vec<Course> = candidates
                .iter()
                .map(|kept| with(&|it| necessary[it] || kept.contains(&it)))
                .collect();
            Some(lab.first(&courses, SEEDS)?.index)
        })
    };
    let first = least(spare.clone());
    for &one in &first {
        roles[one] = Role::Together;
        let others: Vec<usize> = spare.iter().copied().filter(|it| *it != one).collect();
        for other in least(others) {
            roles[other] = Role::Together;
        }
    }
    roles
}

/// Since when a run of so many events was bound to fail. `made` hears of runs that were made.
fn inevitable(
    course: &Course,
    view: View,
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
            run_course(course.clone(), view).report.outcome
        };
        let passed = for_each_in_order(0..CHANCES, jobs, work, |_, outcome| {
            made(1);
            match outcome {
                Outcome::Passed | Outcome::Vacuous => Err(()),
                _ => Ok(()),
            }
        });
        passed.is_err()
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
        Item::Fault(fault) => began_us + fault.until_us > event.t_us,
        Item::Move(planned) => began_us + planned.at_us > event.t_us,
    };
    Inevitable::Since(Moment {
        event: late,
        t_us: event.t_us,
        words: event.words(),
        too_late: items::of(&course.plan)
            .iter()
            .filter(later)
            .map(ToString::to_string)
            .collect(),
        events,
    })
}
