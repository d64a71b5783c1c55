//! What is kept of every run: a line of `runs.jsonl`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::provenance::options_hash;
use crate::report::{Counts, RunReport};
use crate::signature::Signature;

/// A run of a campaign: a line of `runs.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunLine {
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What it has in common with others that failed alike; absent if it passed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The hash over all events.
    pub trace_hash: String,
    /// Events under the hash.
    pub trace_events: u64,
    /// How much virtual time passed, in microseconds.
    pub virtual_us: u64,
    /// The hash of what the seed drew.
    pub options_hash: String,
    /// What happened.
    pub counts: Counts,
    /// The probes that were reached.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
    /// How long each move of a log kept appends waiting, in microseconds of virtual time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub move_stalls_us: Vec<u64>,
    /// The seed in whose cluster it was run with a plan of its own, if it was: see [`crate::guide`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<u64>,
    /// The abstract states that it was in, where they guide the campaign. Left out once that is complete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub states: Vec<u32>,
    /// What it cost. It is no part of what the run did, and left out once the campaign is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<Spent>,
}

/// Wall time, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// That of the run.
    pub wall_us: u64,
    /// The part of it that went into judging its history.
    pub judging_us: u64,
    /// That of the whole campaign when the run was over.
    pub campaign_us: u64,
}

impl RunLine {
    /// What is kept of this run.
    #[must_use]
    pub fn new(report: &RunReport, spent: Option<Spent>) -> Self {
        Self {
            seed: report.seed,
            outcome: report.outcome,
            signature: Signature::of(report.outcome, report.violation.as_ref()),
            trace_hash: report.trace_hash.clone(),
            trace_events: report.trace_events,
            virtual_us: report.virtual_us,
            options_hash: options_hash(&report.options),
            counts: report.counts,
            probes: report.probes.clone(),
            move_stalls_us: report.move_stalls_us.clone(),
            cluster: None,
            states: Vec::new(),
            spent,
        }
    }
}

/// Whole microseconds of a duration.
pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
