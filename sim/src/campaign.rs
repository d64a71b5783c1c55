//! Many seeds, one summary.
//!
//! Seeds are run on several threads; everything but the speed figures is made of their results in the
//! order of seeds, so it does not depend on how many threads there are.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hdrhistogram::Histogram;
use hstore_reports::directory::{RUNS_FILE, SUMMARY_FILE};
use hstore_reports::provenance::Provenance;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::canary::{self, Canary};
use crate::fresh_dir::WriteError;
use crate::memory::peak_rss_bytes;
use crate::ordered::for_each_in_order;
use crate::outcome::Outcome;
use crate::probes::{Reached, Tally};
use crate::provenance::{REVISION, options_hash, provenance};
use crate::report::{Counts, RunReport};
use crate::run::{RunArtifacts, RunRequest};
use crate::run_dir::{self, PROGRAM, write_value};
use crate::seed_range::SeedRange;
use crate::settings::Settings;
use crate::stopwatch::Stopwatch;

/// So many failures, the first ones, are run again with their trace and get a run directory.
pub const KEPT_FAILURES_MAX: usize = 20;

/// Runs that take longer count as this long in the quantiles: an hour.
const WALL_US_MAX: u64 = 3_600_000_000;
/// The property that a failure violates if its run, made again for its run directory, went otherwise.
const SAME_TRACE: &str = "same-seed-same-trace";
/// `averages` has the figure that everybody asks for under this name.
const ACKED_APPENDS: (&str, &str) = ("appends_acked", "acked_appends");

/// Which seeds to run, and with what.
#[derive(Clone, Debug)]
pub struct CampaignRequest {
    /// The seeds.
    pub seeds: SeedRange,
    /// What each is run with.
    pub settings: Settings,
    /// How many threads run seeds.
    pub jobs: NonZeroUsize,
    /// Whether a planted bug has to be noticed.
    pub canary: bool,
}

/// What a campaign found. Written as `summary.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Summary {
    /// The seeds.
    pub seeds: SeedRange,
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
    /// How long it took.
    pub wall_seconds: f64,
    /// How much virtual time all runs had.
    pub virtual_seconds: f64,
    /// Runs by second of wall time, all jobs together.
    pub seeds_per_second: f64,
    /// Virtual by wall time.
    pub sim_seconds_per_wall_second: f64,
    /// How much of the time of all runs went into judging their histories, from 0 to 1.
    pub judging_share: f64,
    /// How long single runs took.
    pub wall_ms_per_seed: WallMillis,
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
    /// The runs that failed, in the order of seeds.
    pub failures: Vec<Failure>,
    /// The hash over the trace hashes of all runs, in the order of seeds.
    pub traces_hash: String,
    /// Where the verdicts come from. The options are the settings here; each run has its own in
    /// `runs.jsonl`.
    pub provenance: Provenance,
}

impl Summary {
    /// The exit code of the campaign: the lowest of its runs that is not 0. A campaign that did not go where
    /// it had to, or is blind, did too little to mean anything.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let runs = self.outcomes.keys().copied();
        let blind = self.canary.as_ref().is_some_and(Canary::is_failure);
        let vacuous = (blind || self.probes.is_failure()).then_some(Outcome::Vacuous);
        let codes = runs.chain(vacuous).map(Outcome::exit_code);
        codes.filter(|&code| code != 0).min().unwrap_or(0)
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

/// A run that did not pass.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was violated, if it is known.
    pub property: Option<String>,
    /// Who noticed.
    pub checker: Option<String>,
    /// The command that makes the run again.
    pub reproduce: String,
}

/// A run of a campaign: a line of `runs.jsonl`.
#[derive(Clone, Debug, Serialize)]
pub struct RunLine {
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was violated, if anything was.
    pub property: Option<String>,
    /// Who noticed.
    pub checker: Option<String>,
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
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
    /// How long each move of a log kept appends waiting, in microseconds of virtual time.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub move_stalls_us: Vec<u64>,
}

impl RunLine {
    fn new(report: &RunReport) -> Self {
        let violation = report.violation.as_ref();
        Self {
            seed: report.seed,
            outcome: report.outcome,
            property: violation.map(|violation| violation.property.clone()),
            checker: violation.map(|violation| violation.checker.clone()),
            trace_hash: report.trace_hash.clone(),
            trace_events: report.trace_events,
            virtual_us: report.virtual_us,
            options_hash: options_hash(&report.options),
            counts: report.counts,
            probes: report.probes.clone(),
            move_stalls_us: report.move_stalls_us.clone(),
        }
    }
}

/// Runs a campaign with `run_one`. If there is a directory to `keep` it in, which exists and is empty,
/// the campaign directory is written there. `observe` is called after each run, in the order of seeds.
///
/// # Errors
/// If a file cannot be written.
pub fn campaign(
    request: &CampaignRequest,
    run_one: impl Fn(&RunRequest) -> RunArtifacts + Sync,
    keep: Option<&Path>,
    mut observe: impl FnMut(&RunLine),
) -> Result<Summary, WriteError> {
    let stopwatch = Stopwatch::start();
    let settings = &request.settings;
    let mut kept = keep.map(Kept::create).transpose()?;
    let mut totals = Totals::new(request);
    let work = |seed| {
        let stopwatch = Stopwatch::start();
        let artifacts = run_one(&settings.request(seed, false));
        let spent = Spent {
            wall: stopwatch.elapsed(),
            judging: artifacts.judging,
        };
        (RunLine::new(&artifacts.report), spent)
    };
    for_each_in_order(request.seeds, request.jobs, work, |_, (mut line, spent)| {
        if let Some(kept) = &mut kept {
            if line.outcome != Outcome::Passed {
                kept.failure(&mut line, settings, &run_one)?;
            }
            kept.line(&line)?;
        }
        totals.add(&line, spent);
        observe(&line);
        Ok(())
    })?;
    let first = request.seeds.first();
    let lasted = stopwatch.elapsed();
    let canary = request
        .canary
        .then(|| canary::sing(first, settings, &run_one));
    let summary = totals.summary(request, lasted, canary);
    if let Some(kept) = kept {
        kept.finish(&summary)?;
    }
    Ok(summary)
}

/// The files of a campaign directory, as they grow.
struct Kept {
    directory: PathBuf,
    runs_file: PathBuf,
    runs: BufWriter<File>,
    failures: usize,
}

impl Kept {
    fn create(directory: &Path) -> Result<Self, WriteError> {
        let runs_file = directory.join(RUNS_FILE);
        let runs = File::create_new(&runs_file).map_err(WriteError::at(&runs_file))?;
        Ok(Self {
            directory: directory.to_owned(),
            runs_file,
            runs: BufWriter::new(runs),
            failures: 0,
        })
    }

    /// Makes a failed run again, this time with its trace, and keeps that.
    fn failure(
        &mut self,
        line: &mut RunLine,
        settings: &Settings,
        run_one: &impl Fn(&RunRequest) -> RunArtifacts,
    ) -> Result<(), WriteError> {
        if self.failures == KEPT_FAILURES_MAX {
            return Ok(());
        }
        self.failures += 1;
        let artifacts = run_one(&settings.request(line.seed, true));
        if artifacts.report.trace_hash != line.trace_hash {
            line.outcome = Outcome::NonDeterministic;
            line.property = Some(SAME_TRACE.to_owned());
            line.checker = Some("campaign".to_owned());
        }
        let directory = self.directory.join(format!("seed-{}", line.seed));
        fs::create_dir(&directory).map_err(WriteError::at(&directory))?;
        run_dir::write(&directory, artifacts, settings)?;
        Ok(())
    }

    fn line(&mut self, line: &RunLine) -> Result<(), WriteError> {
        let text = serde_json::to_string(line).expect("a line is plain data");
        writeln!(self.runs, "{text}").map_err(WriteError::at(&self.runs_file))
    }

    fn finish(mut self, summary: &Summary) -> Result<(), WriteError> {
        self.runs.flush().map_err(WriteError::at(&self.runs_file))?;
        write_value(&self.directory.join(SUMMARY_FILE), summary)
    }
}

/// The wall time of a run.
#[derive(Clone, Copy)]
struct Spent {
    wall: Duration,
    /// The part of it that went into judging its history.
    judging: Duration,
}

/// What is added up over the runs.
struct Totals {
    settings: Settings,
    outcomes: BTreeMap<Outcome, u64>,
    virtual_us: u64,
    counts: BTreeMap<String, u64>,
    probes: Tally,
    stalls_us: Histogram<u64>,
    /// The longest stall, and its seed.
    longest_stall: Option<(u64, u64)>,
    failures: Vec<Failure>,
    traces_hash: u64,
    wall_us: Histogram<u64>,
    wall: Duration,
    judging: Duration,
    slowest: (Duration, u64),
}

impl Totals {
    fn new(request: &CampaignRequest) -> Self {
        Self {
            settings: request.settings.clone(),
            outcomes: BTreeMap::new(),
            virtual_us: 0,
            counts: BTreeMap::new(),
            probes: Tally::default(),
            stalls_us: Histogram::new_with_bounds(1, WALL_US_MAX, 3).expect("the bounds are apart"),
            longest_stall: None,
            failures: Vec::new(),
            traces_hash: 0,
            wall_us: Histogram::new_with_bounds(1, WALL_US_MAX, 3).expect("the bounds are apart"),
            wall: Duration::ZERO,
            judging: Duration::ZERO,
            slowest: (Duration::ZERO, request.seeds.first()),
        }
    }

    fn add(&mut self, line: &RunLine, spent: Spent) {
        let Spent { wall, judging } = spent;
        self.wall += wall;
        self.judging += judging;
        *self.outcomes.entry(line.outcome).or_default() += 1;
        self.virtual_us += line.virtual_us;
        for (name, count) in figures(&line.counts) {
            *self.counts.entry(name).or_default() += count;
        }
        self.probes.add(&line.probes);
        for &stall in &line.move_stalls_us {
            self.stalls_us.saturating_record(stall);
            self.longest_stall = self.longest_stall.max(Some((stall, line.seed)));
        }
        self.traces_hash = xxh3_64_with_seed(line.trace_hash.as_bytes(), self.traces_hash);
        let wall_us = u64::try_from(wall.as_micros()).unwrap_or(u64::MAX);
        self.wall_us.saturating_record(wall_us);
        self.slowest = self.slowest.max((wall, line.seed));
        if line.outcome != Outcome::Passed {
            self.failures.push(Failure {
                seed: line.seed,
                outcome: line.outcome,
                property: line.property.clone(),
                checker: line.checker.clone(),
                reproduce: self.settings.reproduce(PROGRAM, line.seed, REVISION),
            });
        }
    }

    fn summary(self, request: &CampaignRequest, wall: Duration, canary: Option<Canary>) -> Summary {
        let Settings {
            profile, engine, ..
        } = request.settings;
        let runs: u64 = self.outcomes.values().sum();
        let passed = self.outcomes.get(&Outcome::Passed).copied().unwrap_or(0);
        let wall_seconds = wall.as_secs_f64();
        let virtual_seconds = self.virtual_us as f64 / 1e6;
        let quantile_ms = |quantile| self.wall_us.value_at_quantile(quantile) as f64 / 1e3;
        let (slowest, slowest_seed) = self.slowest;
        let stall_ms = |quantile| self.stalls_us.value_at_quantile(quantile) as f64 / 1e3;
        let move_stalls = self.longest_stall.map(|(longest, max_seed)| MoveStalls {
            count: self.stalls_us.len(),
            p50_ms: stall_ms(0.50),
            p99_ms: stall_ms(0.99),
            max_ms: longest as f64 / 1e3,
            max_seed,
        });
        Summary {
            seeds: request.seeds,
            settings: request.settings.clone(),
            jobs: request.jobs,
            runs,
            passed,
            failed: runs - passed,
            wall_seconds,
            virtual_seconds,
            seeds_per_second: runs as f64 / wall_seconds,
            sim_seconds_per_wall_second: virtual_seconds / wall_seconds,
            judging_share: self.judging.as_secs_f64() / self.wall.as_secs_f64(),
            wall_ms_per_seed: WallMillis {
                p50: quantile_ms(0.50),
                p99: quantile_ms(0.99),
                max: slowest.as_secs_f64() * 1e3,
                max_seed: slowest_seed,
            },
            peak_rss_bytes: peak_rss_bytes(),
            probes: self.probes.judge(profile, engine, wall),
            canary,
            move_stalls,
            averages: self
                .counts
                .into_iter()
                .map(|(name, sum)| (name, sum as f64 / runs as f64))
                .collect(),
            outcomes: self.outcomes,
            failures: self.failures,
            traces_hash: format!("{:016x}", self.traces_hash),
            provenance: provenance(&request.settings),
        }
    }
}

/// All figures of a run by name.
fn figures(counts: &Counts) -> BTreeMap<String, u64> {
    let value = serde_json::to_value(counts).expect("figures are plain data");
    let mut figures: BTreeMap<String, u64> =
        serde_json::from_value(value).expect("all figures are counts");
    let (counted, asked) = ACKED_APPENDS;
    let acked = figures.remove(counted).expect("appends are counted");
    figures.insert(asked.to_owned(), acked);
    figures
}

#[cfg(test)]
mod tests {
    use hstore_core::Timestamp;
    use hstore_reports::directory::{read_campaign, read_run};
    use jepsen_lite::check::{CheckOptions, check};
    use jepsen_lite::history::History;

    use super::*;
    use crate::plan::FaultPlan;
    use crate::profile::PROFILES;
    use crate::report::{Latency, Violation};
    use crate::seeds::SimSeeds;

    fn outcome_of(seed: u64) -> Outcome {
        match seed {
            50 => Outcome::Vacuous,
            51 => Outcome::Liveness,
            52..100 => Outcome::Inconclusive,
            _ => Outcome::Passed,
        }
    }

    /// A run whose end follows from its seed. Seed 53 goes otherwise if its trace is kept.
    fn run_one(request: &RunRequest) -> RunArtifacts {
        let seed = request.seed;
        let outcome = outcome_of(seed);
        let flips = seed == 53 && request.record_trace;
        let options = PROFILES[0].draw(SimSeeds(seed));
        let report = RunReport {
            seed,
            outcome,
            violation: (outcome == Outcome::Liveness).then(|| Violation {
                property: "convergence".to_owned(),
                checker: "liveness".to_owned(),
                expected: "progress".to_owned(),
                seen: "none".to_owned(),
                operations: Vec::new(),
                at: Timestamp::ZERO,
            }),
            trace_hash: format!("{:016x}", seed + 1000 * u64::from(flips)),
            trace_events: 1,
            options,
            plan: FaultPlan::default(),
            counts: Counts {
                appends_acked: seed,
                ..Counts::default()
            },
            append_latency: Latency::default(),
            move_stalls_us: Vec::new(),
            probes: Vec::new(),
            virtual_us: 500_000,
        };
        let trace = request.record_trace.then(|| "{}".to_owned());
        RunArtifacts {
            report,
            history: History::default(),
            judged: check(&History::default(), &CheckOptions::default()),
            stuck: None,
            trace: trace.into_iter().collect(),
            judging: Duration::ZERO,
        }
    }

    fn request(first: u64, last: u64, jobs: usize) -> CampaignRequest {
        CampaignRequest {
            seeds: SeedRange::new(first, last).expect("not empty"),
            settings: Settings::default(),
            jobs: NonZeroUsize::new(jobs).expect("not 0"),
            canary: false,
        }
    }

    #[test]
    fn what_passes_is_counted_and_averaged() {
        let summary = campaign(&request(1, 4, 2), run_one, None, |_| {}).expect("no files");
        assert_eq!((summary.runs, summary.passed, summary.failed), (4, 4, 0));
        assert_eq!(summary.exit_code(), 0);
        assert_eq!(summary.averages["acked_appends"], 2.5);
        assert!(!summary.averages.contains_key("appends_acked"));
        assert_eq!(summary.virtual_seconds, 2.0);
        assert!(summary.failures.is_empty());
        assert!((1..=4).contains(&summary.wall_ms_per_seed.max_seed));
    }

    #[test]
    fn everything_but_passed_is_a_failure_and_the_lowest_code_counts() {
        let run = |first, last| {
            campaign(&request(first, last, 2), run_one, None, |_| {}).expect("no files")
        };
        let all = run(40, 59);
        assert_eq!((all.runs, all.passed, all.failed), (20, 10, 10));
        assert_eq!(all.exit_code(), Outcome::Inconclusive.exit_code());
        assert_eq!(run(40, 51).exit_code(), Outcome::Liveness.exit_code());
        assert_eq!(run(40, 50).exit_code(), Outcome::Vacuous.exit_code());
        let first = &all.failures[0];
        assert_eq!((first.seed, first.outcome), (50, Outcome::Vacuous));
        assert_eq!(first.property, None);
        assert!(
            first
                .reproduce
                .starts_with("hstore-sim run --seed 50 --revision ")
        );
        let second = &all.failures[1];
        assert_eq!(second.property.as_deref(), Some("convergence"));
        assert_eq!(second.checker.as_deref(), Some("liveness"));
    }

    #[test]
    fn the_number_of_jobs_changes_nothing_but_the_speed() {
        let run = |jobs| {
            let mut seen = Vec::new();
            let summary = campaign(&request(1, 80, jobs), run_one, None, |line| {
                seen.push((line.seed, line.options_hash.clone()));
            })
            .expect("no files");
            let failures: Vec<u64> = summary.failures.iter().map(|it| it.seed).collect();
            (seen, failures, summary.traces_hash, summary.averages)
        };
        let alone = run(1);
        assert_eq!(alone, run(3));
        assert!(alone.0.is_sorted_by_key(|(seed, _)| *seed));
        let other = campaign(&request(2, 81, 1), run_one, None, |_| {}).expect("no files");
        assert_ne!(alone.2, other.traces_hash);
    }

    #[test]
    fn the_first_failures_are_kept_and_confirmed() {
        let room = tempfile::tempdir().expect("a directory");
        let summary =
            campaign(&request(45, 99, 2), run_one, Some(room.path()), |_| {}).expect("written");
        // 50 to 99 failed, of which 20 are kept.
        assert_eq!(summary.failed, 50);
        let kept = |seed: u64| room.path().join(format!("seed-{seed}"));
        for seed in 50..70 {
            let run = read_run(&kept(seed)).expect("a whole run directory");
            assert_eq!(run.verdict.seed, seed);
            assert_eq!(run.verdict.lines.map(|lines| lines.trace), Some(1));
        }
        assert!(!kept(49).exists() && !kept(70).exists());

        let lines = fs::read_to_string(room.path().join(RUNS_FILE)).expect("a file");
        assert_eq!(lines.lines().count(), 55);
        let view = read_campaign(room.path()).expect("a whole campaign directory");
        assert_eq!(view.failures.len(), 50);
        // Made again, seed 53 went otherwise.
        let flipped = &view.failures[3];
        assert_eq!(
            (flipped.seed, flipped.outcome.as_str()),
            (53, "non-deterministic")
        );
        assert_eq!(flipped.property.as_deref(), Some(SAME_TRACE));
        assert_eq!(summary.outcomes[&Outcome::NonDeterministic], 1);
    }
}
