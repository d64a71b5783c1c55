//! What is added up over the runs of a campaign, in the order of seeds.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;
use hstore_reports::directory::PLAN_FILE;
use hstore_reports::findability::Findability;
use hstore_reports::provenance::Provenance;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::kept::{SIGNATURES_MAX, seed_dir};
use super::line::RunLine;
use super::request::CampaignRequest;
use super::summary::{Failures, MoveStalls, Summary, WallMillis};
use crate::canary::Canary;
use crate::memory::peak_rss_bytes;
use crate::outcome::Outcome;
use crate::probes::Tally;
use crate::report::Counts;
use crate::run_dir::PROGRAM;
use crate::seed_range::SeedRange;
use crate::settings::Settings;
use crate::signature::Signature;

/// Runs that take longer count as this long in the quantiles: an hour.
const WALL_US_MAX: u64 = 3_600_000_000;
/// `averages` has the figure that everybody asks for under this name.
const ACKED_APPENDS: (&str, &str) = ("appends_acked", "acked_appends");
/// More seeds of one signature are counted, not named.
const SEEDS_OF_A_SIGNATURE_MAX: usize = 20;

/// What is added up over the runs.
pub(super) struct Totals {
    outcomes: BTreeMap<Outcome, u64>,
    virtual_us: u64,
    counts: BTreeMap<String, u64>,
    probes: Tally,
    stalls_us: Histogram<u64>,
    /// The longest stall, and its seed.
    longest_stall: Option<(u64, u64)>,
    /// Of each signature: how many failures, and the seeds of the first.
    failures: BTreeMap<Signature, Alike>,
    /// Failures of more signatures than are told apart.
    other_failures: u64,
    traces_hash: u64,
    states: BTreeSet<u32>,
    last_seed: Option<u64>,
    wall_us: Histogram<u64>,
    run_us: u64,
    judging_us: u64,
    slowest: Option<(u64, u64)>,
}

/// Failures with the same signature.
#[derive(Default)]
struct Alike {
    count: u64,
    /// The seeds of the first of them.
    seeds: Vec<u64>,
    /// The seed of the cluster of the first, if it had a plan of its own.
    cluster: Option<u64>,
}

impl Alike {
    /// The command that makes the first of them again, in the campaign directory if it had a plan of its own.
    fn reproduce(&self, settings: &Settings, revision: &str) -> String {
        let first = self.seeds[0];
        match self.cluster {
            None => settings.reproduce(PROGRAM, first, revision),
            Some(cluster) => {
                let plan = Path::new(&seed_dir(first)).join(PLAN_FILE);
                let settings = Settings {
                    plan: Some(plan),
                    ..settings.clone()
                };
                settings.reproduce(PROGRAM, cluster, revision)
            }
        }
    }
}

/// What a summary says that is not added up.
pub(super) struct Frame {
    /// Whether everything that was asked for was done.
    pub(super) complete: bool,
    /// How long it took.
    pub(super) wall: Duration,
    /// How long it was looked for what is rare: of shards, all their times together.
    pub(super) tried: Duration,
    /// What came of the canary.
    pub(super) canary: Option<Canary>,
    /// What ran it.
    pub(super) provenance: Provenance,
}

impl Totals {
    pub(super) fn new() -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, WALL_US_MAX, 3).expect("the bounds are apart");
        Self {
            outcomes: BTreeMap::new(),
            virtual_us: 0,
            counts: BTreeMap::new(),
            probes: Tally::default(),
            stalls_us: histogram(),
            longest_stall: None,
            failures: BTreeMap::new(),
            other_failures: 0,
            traces_hash: 0,
            states: BTreeSet::new(),
            last_seed: None,
            wall_us: histogram(),
            run_us: 0,
            judging_us: 0,
            slowest: None,
        }
    }

    /// Adds a run, the next in the order of seeds.
    pub(super) fn add(&mut self, line: &RunLine) {
        self.last_seed = Some(line.seed);
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
        self.states.extend(&line.states);
        if let Some(spent) = line.spent {
            self.run_us += spent.wall_us;
            self.judging_us += spent.judging_us;
            self.wall_us.saturating_record(spent.wall_us);
            self.slowest = self.slowest.max(Some((spent.wall_us, line.seed)));
        }
        if let Some(signature) = &line.signature {
            let full = self.failures.len() == SIGNATURES_MAX;
            if full && !self.failures.contains_key(signature) {
                self.other_failures += 1;
                return;
            }
            let alike = self.failures.entry(signature.clone()).or_default();
            if alike.count == 0 {
                alike.cluster = line.cluster;
            }
            alike.count += 1;
            if alike.seeds.len() < SEEDS_OF_A_SIGNATURE_MAX {
                alike.seeds.push(line.seed);
            }
        }
    }

    pub(super) fn summary(self, request: &CampaignRequest, frame: Frame) -> Summary {
        let settings = &request.settings;
        let runs: u64 = self.outcomes.values().sum();
        let passed = self.outcomes.get(&Outcome::Passed).copied().unwrap_or(0);
        let wall_seconds = frame.wall.as_secs_f64();
        let virtual_seconds = self.virtual_us as f64 / 1e6;
        let quantile_ms = |quantile| self.wall_us.value_at_quantile(quantile) as f64 / 1e3;
        let stall_ms = |quantile| self.stalls_us.value_at_quantile(quantile) as f64 / 1e3;
        let move_stalls = self.longest_stall.map(|(longest, max_seed)| MoveStalls {
            count: self.stalls_us.len(),
            p50_ms: stall_ms(0.50),
            p99_ms: stall_ms(0.99),
            max_ms: longest as f64 / 1e3,
            max_seed,
        });
        let last_seed = match (request.time, self.last_seed) {
            (Some(_), Some(last)) => last,
            (Some(_), None) => request.seeds.first(),
            (None, _) => request.seeds.last(),
        };
        Summary {
            complete: frame.complete,
            seeds: SeedRange::new(request.seeds.first(), last_seed).expect("seeds are in order"),
            shard: request.shard,
            guided: request.guided,
            abstract_states: request.guided.then_some(self.states.len() as u64),
            time_seconds: request.time.map(|time| time.as_secs_f64()),
            settings: settings.clone(),
            jobs: request.jobs,
            runs,
            passed,
            failed: runs - passed,
            wall_seconds,
            run_seconds: self.run_us as f64 / 1e6,
            virtual_seconds,
            seeds_per_second: share(runs as f64, wall_seconds),
            sim_seconds_per_wall_second: share(virtual_seconds, wall_seconds),
            judging_share: share(self.judging_us as f64, self.run_us as f64),
            wall_ms_per_seed: self.slowest.map(|(slowest_us, max_seed)| WallMillis {
                p50: quantile_ms(0.50),
                p99: quantile_ms(0.99),
                max: slowest_us as f64 / 1e3,
                max_seed,
            }),
            peak_rss_bytes: peak_rss_bytes(),
            probes: self
                .probes
                .judge(settings.profile, settings.engine, frame.tried),
            canary: frame.canary,
            move_stalls,
            averages: self
                .counts
                .into_iter()
                .map(|(name, sum)| (name, sum as f64 / runs as f64))
                .collect(),
            outcomes: self.outcomes,
            failures: failures(self.failures, runs, settings, &frame.provenance.revision),
            failures_of_other_kinds: self.other_failures,
            traces_hash: format!("{:016x}", self.traces_hash),
            provenance: frame.provenance,
        }
    }
}

/// A part of a whole, which may be nothing.
pub(super) fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// By the lowest seed.
fn failures(
    all: BTreeMap<Signature, Alike>,
    runs: u64,
    settings: &Settings,
    revision: &str,
) -> Vec<Failures> {
    let mut failures: Vec<Failures> = all
        .into_iter()
        .map(|(signature, alike)| Failures {
            signature,
            count: alike.count,
            reproduce: alike.reproduce(settings, revision),
            findability: Findability::of(alike.count, runs),
            seeds: alike.seeds,
        })
        .collect();
    failures.sort_by_key(|it| it.seeds[0]);
    failures
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
