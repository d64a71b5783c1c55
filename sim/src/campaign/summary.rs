//! What a campaign found: `summary.json`.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;

use hstore_reports::findability::Findability;
use hstore_reports::provenance::Provenance;
use serde::Serialize;

use crate::canary::Canary;
use crate::outcome::Outcome;
use crate::probes::Reached;
use crate::seed_range::SeedRange;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::signature::Signature;

/// What a campaign found. Written as `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// Whether everything that was asked for was done; if not, it was called off, or shards are missing.
    pub complete: bool,
    /// The seeds, up to the last that was run if time ended the campaign.
    pub seeds: SeedRange,
    /// Which part of them was run.
    pub shard: Shard,
    /// Whether plans that led to unseen abstract states had children.
    pub guided: bool,
    /// How many abstract states runs were in, if that guided the campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub abstract_states: Option<u64>,
    /// How long it might take, in seconds.
    pub time_seconds: Option<f64>,
    /// What each was run with.
    pub settings: Settings,
    /// How many threads ran seeds.
    pub jobs: NonZeroUsize,
    /// Runs made.
    pub runs: u64,
    /// Runs that passed.
    pub passed: u64,
    /// All others.
    pub failed: u64,
    /// How many runs ended how.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// How long it took: of a campaign that went on after an interruption, all its parts.
    pub wall_seconds: f64,
    /// How long all its runs took, one after the other.
    pub run_seconds: f64,
    /// How much virtual time all runs had.
    pub virtual_seconds: f64,
    /// Runs by second of wall time, all jobs together.
    pub seeds_per_second: f64,
    /// Virtual by wall time.
    pub sim_seconds_per_wall_second: f64,
    /// How much of the time of all runs went into judging their histories, from 0 to 1.
    pub judging_share: f64,
    /// How long single runs took; absent where machines were united that took different times.
    pub wall_ms_per_seed: Option<WallMillis>,
    /// The most memory the process had; absent where the system does not say.
    pub peak_rss_bytes: Option<u64>,
    /// The mean of each figure of a run.
    pub averages: BTreeMap<String, f64>,
    /// How long moves of logs kept appends waiting; absent if no log was moved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub move_stalls: Option<MoveStalls>,
    /// Which probes were reached, and which are owed.
    pub probes: Reached,
    /// The planted bug that had to be noticed; absent if none was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// The runs that failed, by what they have in common; the one with the lowest seed first.
    pub failures: Vec<Failures>,
    /// Failures of more signatures than are told apart.
    pub failures_of_other_kinds: u64,
    /// The hash over the trace hashes of all runs, in the order of seeds.
    pub traces_hash: String,
    /// Where the verdicts come from. The options are the settings here; each run has its own in
    /// `runs.jsonl`.
    pub provenance: Provenance,
}

/// The exit code of a campaign that passed so far and is not complete: that of a process that Ctrl-C ends.
pub const INCOMPLETE: u8 = 130;

/// The exit code of a campaign whose runs ended so: the lowest that is not 0.
#[must_use]
pub fn exit_code(outcomes: impl IntoIterator<Item = Outcome>, complete: bool) -> u8 {
    let codes = outcomes.into_iter().map(Outcome::exit_code);
    let passed = if complete { 0 } else { INCOMPLETE };
    codes.filter(|&code| code != 0).min().unwrap_or(passed)
}

impl Summary {
    /// The exit code of the campaign. One that did not go where it had to, or is blind, did too little to mean
    /// anything.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let runs = self.outcomes.keys().copied();
        let blind = self.canary.as_ref().is_some_and(Canary::is_failure);
        let short = blind || self.probes.is_failure() || (self.runs == 0 && self.complete);
        let vacuous = short.then_some(Outcome::Vacuous);
        exit_code(runs.chain(vacuous), self.complete)
    }
}

/// How long moves of logs kept appends waiting, over all runs, in milliseconds of virtual time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MoveStalls {
    /// Moves that took effect.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// All but one in a hundred took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
    /// The seed of the longest.
    pub max_seed: u64,
}

/// How long single runs took, in milliseconds of wall time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WallMillis {
    /// Half of them were faster.
    pub p50: f64,
    /// All but one of a hundred were faster.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
    /// The seed of the slowest.
    pub max_seed: u64,
}

/// Runs that failed alike: probably of the same bug.
#[derive(Clone, Debug, Serialize)]
pub struct Failures {
    /// What they have in common.
    #[serde(flatten)]
    pub signature: Signature,
    /// How many there are.
    pub count: u64,
    /// The seeds of the first of them.
    pub seeds: Vec<u64>,
    /// The command that makes the first of them again.
    pub reproduce: String,
    /// How often they show themselves, and what it takes to believe that they are gone.
    pub findability: Findability,
}
