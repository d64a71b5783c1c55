//! Shrinking: from a failure to the least that still fails in the same way.
//!
//! First goes what had no effect. Then [`ddmin`](ddmin::ddmin) is applied to the plan, faults and moves
//! together, and to what clients did; then the cluster gets smaller, its surroundings quieter, the faults that are
//! left simpler. That is repeated until nothing changes any more. The signature of the failure is held fixed, and
//! all is decided by making runs: nothing is assumed.
//!
//! Invariant: at the end the plan is 1-minimal. Each fault and each move was left out alone, with each of
//! [`SEEDS`] seeds of the chance below the plan, and no run failed in the same way.

pub mod ddmin;
pub mod items;
pub mod lab;
mod simpler;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use hstore_workloads::Step;
use serde::Serialize;

use crate::capsule::{Capsule, FORMAT, check_course};
use crate::plan::TimedFault;
use crate::provenance::REVISION;
use crate::run::{Course, RunArtifacts, View, run_course};
use crate::signature::Signature;
use ddmin::{Groups, ddmin};
use items::Item;
use lab::{Found, Lab};

/// With so many seeds of the chance below the plan a changed plan is tried before it counts as one that does
/// not fail.
pub const SEEDS: u32 = 6;
/// The same for what clients do, and for the cluster: there the number of candidates is large.
const SEEDS_OF_REST: u32 = 2;
/// After so many rounds what still changes is left as it is. The plan is 1-minimal all the same.
const ROUNDS_MAX: u32 = 4;

/// How large a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Faults of the plan.
    pub faults: usize,
    /// Of these, those that took effect.
    pub effective_faults: usize,
    /// Moves of the plan.
    pub moves: usize,
    /// Operations of clients.
    pub operations: usize,
    /// Nodes.
    pub nodes: usize,
    /// Logs.
    pub logs: u32,
    /// Clients.
    pub clients: u32,
}

impl Size {
    fn of(course: &Course, effective: &[bool]) -> Self {
        Self {
            faults: course.plan.faults.len(),
            effective_faults: effective.iter().filter(|it| **it).count(),
            moves: course.plan.moves.len(),
            operations: course.steps.as_ref().map_or(0, Vec::len),
            nodes: course.options.locations.len(),
            logs: course.options.workload.logs,
            clients: course.options.workload.clients,
        }
    }
}

/// What came of shrinking.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// The small failure.
    pub capsule: Capsule,
    /// How large it was.
    pub before: Size,
    /// How large it is.
    pub after: Size,
    /// How many runs that took.
    pub runs: u64,
}

/// Where shrinking stands.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// What is being made smaller.
    pub stage: &'static str,
    /// How large the failure is by now.
    pub size: Size,
    /// How many runs were made.
    pub runs: u64,
}

/// Why a capsule cannot be shrunk.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShrinkError {
    /// There is nothing that could be kept.
    #[error("the capsule passed: there is no failure to shrink")]
    Passed,
    /// It does not fail any more.
    #[error("the failure does not come again: the capsule has {then}, the run ended with {now}")]
    NotReproduced {
        /// What is in the capsule.
        then: String,
        /// What came of it.
        now: String,
    },
}

/// Makes the capsule again, and what its failure is.
pub(crate) fn reproduce(capsule: &Capsule) -> Result<(Signature, View, RunArtifacts), ShrinkError> {
    let signature = capsule.signature.clone().ok_or(ShrinkError::Passed)?;
    let view = View {
        stop_at_violation: capsule.stop_at_violation,
        ..View::default()
    };
    let artifacts = run_course(capsule.course(), view);
    let report = &artifacts.report;
    let now = Signature::of(report.outcome, report.violation.as_ref());
    if now.as_ref() != Some(&signature) {
        return Err(ShrinkError::NotReproduced {
            then: signature.to_string(),
            now: now.map_or_else(|| report.outcome.to_string(), |it| it.to_string()),
        });
    }
    Ok((signature, view, artifacts))
}

/// Shrinks the failure of a capsule. The result does not depend on the number of jobs.
///
/// # Errors
/// If there is no failure, or it does not come again.
pub fn shrink(
    capsule: &Capsule,
    jobs: NonZeroUsize,
    mut observe: impl FnMut(Progress),
) -> Result<Shrunk, ShrinkError> {
    let (signature, view, artifacts) = reproduce(capsule)?;
    let course = Course {
        steps: Some(lab::as_begun(
            artifacts.steps.clone(),
            capsule.operations.clone().unwrap_or_default(),
        )),
        ..capsule.course()
    };
    let before = Size::of(&course, &artifacts.effective);
    let shown = std::cell::Cell::new(("reproducing", before));
    let mut show = |runs| {
        let (stage, size) = shown.get();
        observe(Progress { stage, size, runs });
    };
    let mut shrinking = Shrinking {
        lab: Lab::new(signature.clone(), view, jobs, &mut show),
        course,
        effective: artifacts.effective,
        steps_began_us: artifacts.steps_began_us,
        trace_hash: artifacts.report.trace_hash,
        shown: &shown,
    };
    shrinking.all();
    let runs = shrinking.lab.runs();
    let course = shrinking.course;
    let after = Size::of(&course, &shrinking.effective);
    Ok(Shrunk {
        capsule: Capsule {
            format: FORMAT,
            revision: REVISION.to_owned(),
            about: capsule.about.clone(),
            outcome: signature.outcome,
            signature: Some(signature),
            trace_hash: shrinking.trace_hash,
            stop_at_violation: view.stop_at_violation,
            options: course.options,
            plan: course.plan,
            operations: course.steps,
        },
        before,
        after,
        runs,
    })
}

/// A failure that gets smaller.
struct Shrinking<'a> {
    lab: Lab<'a>,
    course: Course,
    /// For each fault of the plan: whether it changed something.
    effective: Vec<bool>,
    /// When each of its steps began, in microseconds.
    steps_began_us: Vec<u64>,
    trace_hash: String,
    shown: &'a std::cell::Cell<(&'static str, Size)>,
}

impl Shrinking<'_> {
    fn all(&mut self) {
        self.stage("what has no effect");
        self.drop_inert();
        for round in 0..ROUNDS_MAX {
            let before = self.course.clone();
            self.stage("plan");
            self.shrink_plan();
            self.stage("operations");
            self.shrink_steps();
            self.stage("topology");
            self.shrink_topology();
            self.stage("single faults");
            self.simplify_faults();
            if self.course == before || round + 1 == ROUNDS_MAX {
                break;
            }
        }
        // Whatever came last: what is left of the plan is needed, each part of it.
        self.stage("plan");
        self.shrink_plan();
        self.settle();
    }

    fn stage(&mut self, stage: &'static str) {
        self.shown
            .set((stage, Size::of(&self.course, &self.effective)));
    }

    /// Goes on with a course that fails.
    fn take(&mut self, found: Found) {
        self.course = found.course;
        self.effective = found.effective;
        self.steps_began_us = found.steps_began_us;
        self.trace_hash = found.trace_hash;
        let (stage, _) = self.shown.get();
        self.stage(stage);
    }

    /// The first of some courses that can be run and fails becomes the course.
    fn try_courses(&mut self, courses: Vec<Course>, seeds: u32) -> Option<usize> {
        let sound: Vec<(usize, Course)> = courses
            .into_iter()
            .enumerate()
            .filter(|(_, it)| check_course(&it.options, &it.plan, it.steps.as_deref()).is_ok())
            .collect();
        let (indices, courses): (Vec<usize>, Vec<Course>) = sound.into_iter().unzip();
        let found = self.lab.first(&courses, seeds)?;
        let index = indices[found.index];
        self.take(found);
        Some(index)
    }

    fn drop_inert(&mut self) {
        while self.effective.contains(&false) {
            let mut without = self.course.clone();
            let mut effective = self.effective.iter();
            without
                .plan
                .faults
                .retain(|_| *effective.next().expect("one for each"));
            if self.try_courses(vec![without], SEEDS).is_none() {
                return;
            }
        }
    }

    fn shrink_plan(&mut self) {
        ddmin(
            items::of(&self.course.plan),
            Groups::AloneToo,
            |candidates| {
                let with = |items: &Vec<Item>| Course {
                    plan: items::plan(items),
                    ..self.course.clone()
                };
                let courses = candidates.iter().map(with).collect();
                self.try_courses(courses, SEEDS)
            },
        );
    }

    fn shrink_steps(&mut self) {
        let all = self.course.steps.clone().unwrap_or_default();
        // A run that stops before all steps began has nothing to say about the others.
        let began_us = self.steps_began_us.clone();
        let indices = (0..all.len().min(began_us.len())).collect();
        ddmin(indices, Groups::LeftOutOnly, |candidates| {
            let with = |kept: &Vec<usize>| {
                let mut course = self.course.clone();
                course.options.workload.operations = kept.len() as u32;
                course.steps = Some(thinned(&all, &began_us, kept));
                course
            };
            let courses = candidates.iter().map(with).collect();
            self.try_courses(courses, SEEDS_OF_REST)
        });
    }

    fn shrink_topology(&mut self) {
        let idle = topology::without_idle_clients(&self.course);
        self.try_courses(idle.into_iter().collect(), SEEDS_OF_REST);
        self.try_courses(topology::fewer_clients(&self.course), SEEDS_OF_REST);
        while self
            .try_courses(topology::without_a_log(&self.course), SEEDS_OF_REST)
            .is_some()
        {}
        while self
            .try_courses(topology::without_a_node(&self.course), SEEDS_OF_REST)
            .is_some()
        {}
        while self
            .try_courses(topology::quieter(&self.course), SEEDS_OF_REST)
            .is_some()
        {}
    }

    fn simplify_faults(&mut self) {
        for index in 0..self.course.plan.faults.len() {
            loop {
                let nodes = self.course.options.locations.len() as u8;
                let forms = simpler::simpler(&self.course.plan.faults[index], nodes);
                let with = |form: TimedFault| {
                    let mut course = self.course.clone();
                    course.plan.faults[index] = form;
                    course
                };
                let courses = forms.into_iter().map(with).collect();
                if self.try_courses(courses, SEEDS_OF_REST).is_none() {
                    break;
                }
            }
        }
    }

    /// Leaves out each part of the plan alone, until none can be.
    fn settle(&mut self) {
        loop {
            let all = items::of(&self.course.plan);
            let without = |index: usize| {
                let mut items = all.clone();
                items.remove(index);
                Course {
                    plan: items::plan(&items),
                    ..self.course.clone()
                }
            };
            let courses = (0..all.len()).map(without).collect();
            if self.try_courses(courses, SEEDS).is_none() {
                return;
            }
        }
    }
}

/// Some of the steps, by index in order, each at about the time at which it began: its client pauses for what is
/// left out.
fn thinned(all: &[Step], began_us: &[u64], kept: &[usize]) -> Vec<Step> {
    // When the client was free for the step after its last kept one; first, when it began to pause.
    let mut free_us: BTreeMap<u32, u64> = BTreeMap::new();
    let mut kept = kept.iter().peekable();
    let mut steps = Vec::new();
    let mut last_was_kept: BTreeSet<u32> = BTreeSet::new();
    for (index, (step, began)) in all.iter().zip(began_us).enumerate() {
        let free = began.saturating_sub(step.pause_us);
        if last_was_kept.remove(&step.client) {
            free_us.insert(step.client, free);
        }
        let free = *free_us.entry(step.client).or_insert(free);
        if kept.next_if(|it| **it == index).is_some() {
            last_was_kept.insert(step.client);
            steps.push(Step {
                pause_us: began - free,
                ..step.clone()
            });
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use hstore_core::LogId;
    use hstore_workloads::Ask;

    use super::*;

    #[test]
    fn what_is_kept_of_the_steps_keeps_its_time() {
        let step = |client, pause_us| Step {
            client,
            pause_us,
            ask: Ask::Tail { log: LogId(1) },
        };
        // Client 0 begins at 10, 40 and 70, each takes 20; client 1 at 5 and 60.
        let all = [
            step(1, 5),
            step(0, 10),
            step(0, 10),
            step(1, 50),
            step(0, 10),
        ];
        let began_us = [5, 10, 40, 60, 70];
        let pauses = |kept: &[usize]| {
            let steps = thinned(&all, &began_us, kept);
            steps.iter().map(|it| it.pause_us).collect::<Vec<_>>()
        };
        assert_eq!(pauses(&[0, 1, 2, 3, 4]), [5, 10, 10, 50, 10]);
        assert_eq!(pauses(&[4]), [70]);
        assert_eq!(pauses(&[1, 4]), [10, 40]);
        assert_eq!(pauses(&[2, 3]), [40, 60]);
        assert!(pauses(&[]).is_empty());
    }
}
