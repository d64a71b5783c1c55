//! Tries out whether changed courses still fail in the same way.
//!
//! Below the plan a run has chance in it: whatever is changed, messages take other times, and a failure that
//! needs some luck may be gone although nothing that it needs is. So a course is tried with several seeds of that
//! chance before it counts as one that does not fail.
//!
//! Invariant: what is found does not depend on the number of jobs. Of several courses that fail, the first in
//! order is taken, and only what comes before it is counted.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use hstore_core::Rng;
use hstore_workloads::Step;
use xxhash_rust::xxh3::xxh3_64;

use crate::ordered::for_each_in_order;
use crate::run::{Course, View, run_course};
use crate::signature::Signature;

/// A place for trials.
pub struct Lab<'a> {
    signature: Signature,
    view: View,
    jobs: NonZeroUsize,
    /// How many runs were made.
    runs: u64,
    /// What did not fail, by hash.
    sound: BTreeSet<u64>,
    observe: &'a mut dyn FnMut(u64),
}

/// A course that fails.
#[derive(Clone, Debug)]
pub struct Found {
    /// Which of those that were tried.
    pub index: usize,
    /// It, with the seed that it fails with.
    pub course: Course,
    /// For each fault of its plan: whether it changed something.
    pub effective: Vec<bool>,
    /// When each of its steps began, in microseconds: those that did are the first.
    pub steps_began_us: Vec<u64>,
    /// The hash over its events.
    pub trace_hash: String,
}

impl<'a> Lab<'a> {
    /// A lab for one failure. `observe` hears of every run how many were made.
    pub fn new(
        signature: Signature,
        view: View,
        jobs: NonZeroUsize,
        observe: &'a mut dyn FnMut(u64),
    ) -> Self {
        Self {
            signature,
            view,
            jobs,
            runs: 0,
            sound: BTreeSet::new(),
            observe,
        }
    }

    /// How many runs were made so far.
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// The first of `courses` that fails, if one does: each is tried with its own seed, then each with another,
    /// and so on, with so many seeds in all.
    pub fn first(&mut self, courses: &[Course], seeds: u32) -> Option<Found> {
        let mut trials = Vec::new();
        for nth in 0..seeds {
            for (index, course) in courses.iter().enumerate() {
                let hash = hash(course, nth);
                if !self.sound.contains(&hash) {
                    trials.push((index, nth, hash));
                }
            }
        }
        let numbers = 0..trials.len() as u64;
        let (view, signature) = (self.view, self.signature.clone());
        let work = |trial: u64| {
            let (index, nth, _) = trials[trial as usize];
            let mut course = reseeded(&courses[index], nth);
            let artifacts = run_course(course.clone(), view);
            let report = &artifacts.report;
            let found = Signature::of(report.outcome, report.violation.as_ref());
            (found.as_ref() == Some(&signature)).then(|| {
                let written = course.steps.take().unwrap_or_default();
                course.steps = Some(as_begun(artifacts.steps, written));
                Found {
                    index,
                    course,
                    effective: artifacts.effective,
                    steps_began_us: artifacts.steps_began_us,
                    trace_hash: artifacts.report.trace_hash,
                }
            })
        };
        let (sound, runs, observe) = (&mut self.sound, &mut self.runs, &mut self.observe);
        let found = for_each_in_order(numbers, self.jobs, work, |trial, found| {
            *runs += 1;
            observe(*runs);
            match found {
                Some(found) => Err(Box::new(found)),
                None => {
                    sound.insert(trials[trial as usize].2);
                    Ok(())
                }
            }
        });
        found.err().map(|found| *found)
    }
}

/// Steps in the order in which they began; those that did not begin come last. It is the same script: only the order
/// of the steps of one client matters.
pub(super) fn as_begun(begun: Vec<Step>, written: Vec<Step>) -> Vec<Step> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for step in &begun {
        *counts.entry(step.client).or_default() += 1;
    }
    let others = written.into_iter().filter(|step| {
        let count = counts.entry(step.client).or_default();
        let is_begun = *count > 0;
        *count = count.saturating_sub(1);
        !is_begun
    });
    let others: Vec<Step> = others.collect();
    [begun, others].concat()
}

/// The course with another seed for what is left to chance; the 0th is its own.
fn reseeded(course: &Course, nth: u32) -> Course {
    let mut course = course.clone();
    if nth > 0 {
        course.options.seed = Rng::from_seed(course.options.seed ^ u64::from(nth) << 48).seed();
    }
    course
}

fn hash(course: &Course, nth: u32) -> u64 {
    let course = reseeded(course, nth);
    let bytes = serde_json::to_vec(&(&course.options, &course.plan, &course.steps));
    xxh3_64(&bytes.expect("a course is plain data"))
}
