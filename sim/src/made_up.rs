//! Runs that were never made, for tests of what is done with runs.

use std::time::Duration;

use hstore_core::Timestamp;
use jepsen_lite::check::{CheckOptions, check};
use jepsen_lite::history::History;

use crate::options::SimOptions;
use crate::outcome::Outcome;
use crate::plan::FaultPlan;
use crate::report::{Counts, Latency, RunReport, Violation};
use crate::run::{RunArtifacts, RunRequest};
use crate::seeds::SimSeeds;

/// A run in which nothing happened, ended so.
pub(crate) fn run(
    request: &RunRequest,
    outcome: Outcome,
    violation: Option<Violation>,
) -> RunArtifacts {
    let report = RunReport {
        seed: request.seed,
        outcome,
        violation,
        trace_hash: String::new(),
        trace_events: 0,
        options: SimOptions {
            white_box: request.white_box,
            ..request.profile.draw(SimSeeds(request.seed))
        },
        plan: FaultPlan::default(),
        counts: Counts::default(),
        move_stalls_us: Vec::new(),
        probes: Vec::new(),
        append_latency: Latency::default(),
        virtual_us: 0,
    };
    RunArtifacts {
        report,
        steps: Vec::new(),
        steps_began_us: Vec::new(),
        effective: Vec::new(),
        log: None,
        judged: check(&History::default(), &CheckOptions::default()),
        stuck: None,
        history: History::default(),
        trace: Vec::new(),
        judging: Duration::ZERO,
    }
}

/// What a checker noticed.
pub(crate) fn violation(checker: &str, property: &str) -> Violation {
    Violation {
        property: property.to_owned(),
        checker: checker.to_owned(),
        expected: String::new(),
        seen: String::new(),
        operations: Vec::new(),
        at: Timestamp::ZERO,
    }
}

/// A run that took the decision of a planted bug or did not, and violated this, if anything.
pub(crate) fn run_with_a_bug(
    request: &RunRequest,
    reached: bool,
    violated: Option<(&str, &str)>,
) -> RunArtifacts {
    let outcome = violated.map_or(Outcome::Passed, |_| Outcome::Safety);
    let violated = violated.map(|(checker, property)| violation(checker, property));
    let mut made_up = run(request, outcome, violated);
    made_up.report.counts.mutant_reached = u64::from(reached);
    made_up
}
