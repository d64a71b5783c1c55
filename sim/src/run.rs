//! One run: a seed in, a verdict out.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use hdrhistogram::Histogram;
use hstore_core::quorum::QuorumSystem;
use hstore_core::{Timestamp, planted, probe};
use jepsen_lite::check::{self, Check, CheckOptions};
use jepsen_lite::history::{History, OpKind, Status};
use jepsen_lite::verdict::VerdictKind;
use serde_json::json;

use crate::moves::draw_moves;
use crate::nemesis::draw_plan;
use crate::options::{Engine, SimOptions};
use crate::outcome::Outcome;
use crate::plan::FaultPlan;
use crate::profile::Profile;
use crate::report::{Counts, Latency, RunReport, Violation};
use crate::seeds::SimSeeds;
use crate::stopwatch::Stopwatch;
use crate::trace::Kind;
use crate::world::{Remains, Stopped, World};

/// What to run.
#[derive(Clone, Debug)]
pub struct RunRequest {
    /// The root of all randomness.
    pub seed: u64,
    /// What the seed draws from.
    pub profile: &'static Profile,
    /// The store under each node.
    pub engine: Engine,
    /// The quorum system of every log, instead of what the seed draws. The cluster has as many nodes as
    /// it needs.
    pub quorums: Option<QuorumSystem>,
    /// The planted bug to turn on; a name of [`crate::mutants::MUTANTS`].
    pub mutant: Option<String>,
    /// Whether checks look inside the cluster too.
    pub white_box: bool,
    /// Whether to stop at the step at which what clients saw can no longer be right. Otherwise the run goes
    /// on to its end, where its history is judged; either way it is.
    pub stop_at_violation: bool,
    /// Whether to keep the trace's events, beside its hash.
    pub record_trace: bool,
}

/// What a run leaves.
#[derive(Debug)]
pub struct RunArtifacts {
    /// The verdict.
    pub report: RunReport,
    /// What clients did and saw.
    pub history: History,
    /// The trace's events, one JSON object each, if they were to be kept.
    pub trace: Vec<String>,
    /// What was judged of that.
    pub judged: check::Report,
    /// What the cluster did not come to do, be the verdict about something worse.
    pub stuck: Option<Violation>,
    /// How much wall time the judgement of the history took.
    pub judging: Duration,
}

/// Runs a seed, on a thread of its own: nothing that a thread remembers passes from seed to seed.
#[must_use]
pub fn run(request: &RunRequest) -> RunArtifacts {
    run_with(request, &Alteration::default()).0
}

/// What of a run is not as its seed draws it, and what is noted of it beside its trace.
#[derive(Clone, Debug, Default)]
pub struct Alteration {
    /// What goes wrong, instead of what the seed draws.
    pub plan: Option<FaultPlan>,
    /// Whether to note which abstract states it is in.
    pub covered: bool,
}

/// What a seed draws, but for the planted bug: nothing of it depends on that.
#[must_use]
pub fn draw(request: &RunRequest) -> (SimOptions, FaultPlan) {
    let seeds = SimSeeds(request.seed);
    let mut options = SimOptions {
        engine: request.engine,
        white_box: request.white_box,
        ..request.profile.draw(seeds)
    };
    if let Some(quorums) = &request.quorums {
        options = options.on(quorums.clone());
    }
    let plan = FaultPlan {
        moves: draw_moves(&options, seeds),
        ..draw_plan(&options, seeds)
    };
    (options, plan)
}

/// Runs a seed that is altered so. The abstract states that it was in, in order, come with what it leaves.
#[must_use]
pub fn run_with(request: &RunRequest, alteration: &Alteration) -> (RunArtifacts, Vec<u32>) {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name(format!("seed-{}", request.seed))
            .spawn_scoped(scope, || run_here(request, alteration))
            .expect("the system has room for one more thread")
            .join()
            .expect("panics of the product are caught")
    })
}

fn run_here(request: &RunRequest, alteration: &Alteration) -> (RunArtifacts, Vec<u32>) {
    let (options, drawn) = draw(request);
    let plan = alteration.plan.clone().unwrap_or(drawn);
    // Only now: what goes wrong does not depend on the planted bug.
    let options = SimOptions {
        mutant: request.mutant.clone(),
        ..options
    };
    planted::activate(request.mutant.as_deref());
    // Whatever came before, on this thread, was no part of the run.
    drop(probe::take_reached());
    let panics = PanicNotes::listen();
    let caught = panic::catch_unwind(AssertUnwindSafe(|| {
        let mut world = World::new(options.clone(), plan.clone(), request.record_trace);
        if request.stop_at_violation {
            world = world.watched();
        }
        if alteration.covered {
            world = world.covered();
        }
        let runtime =
            madsim::runtime::Runtime::with_seed_and_config(request.seed, madsim::Config::default());
        // The product never asks for the time or for randomness; if it did, madsim would answer.
        runtime.block_on(async move { world.run(madsim::time::advance) })
    }));
    let note = panics.take();
    let reached = planted::reached();
    planted::activate(None);
    let probes = probe::take_reached();
    let (mut artifacts, states) = match caught {
        Ok(mut remains) => {
            let states = std::mem::take(&mut remains.states);
            (conclude(request, options, plan, remains, reached), states)
        }
        Err(_) => (panicked(options, plan, note, reached), Vec::new()),
    };
    let names = probes.into_iter().map(|probe| probe.name.to_owned());
    artifacts.report.probes = names.collect();
    (artifacts, states)
}

fn conclude(
    request: &RunRequest,
    options: SimOptions,
    plan: FaultPlan,
    remains: Remains,
    mutant_reached: u64,
) -> RunArtifacts {
    let Remains {
        stopped,
        recorder,
        mut counts,
        move_stalls_us,
        states: _,
        mut trace,
        now,
    } = remains;
    let history = recorder
        .finish()
        .expect("the simulated clients record well-formed histories");
    counts.mutant_reached = mutant_reached;
    // A history is judged also when the run stopped short: an invariant may have been late to see what
    // clients saw.
    let stopwatch = Stopwatch::start();
    let judged = check::check(&history, &CheckOptions::default());
    let judging = stopwatch.elapsed();
    counts.operations_checked = judged.counts.ops;
    let stuck = match &stopped {
        Some(Stopped::Liveness(violation)) => Some(violation.clone()),
        _ => None,
    };
    let (outcome, violation) = judge(stopped, &judged, now);
    trace.event(
        now,
        Kind::Verdict,
        [u64::from(outcome.exit_code())],
        violation
            .as_ref()
            .map_or("", |it| it.property.as_str())
            .as_bytes(),
        || json!({"outcome": outcome, "violation": violation}),
    );
    let report = RunReport {
        seed: request.seed,
        outcome,
        violation,
        trace_hash: format!("{:016x}", trace.hash()),
        trace_events: trace.events(),
        options,
        plan,
        append_latency: append_latency(&history),
        move_stalls_us,
        counts,
        probes: Vec::new(),
        virtual_us: now.0 / 1_000,
    };
    RunArtifacts {
        report,
        history,
        trace: trace.into_kept(),
        judged,
        stuck,
        judging,
    }
}

fn append_latency(history: &History) -> Latency {
    let mut histogram = Histogram::<u64>::new(3).expect("3 digits are a valid precision");
    for op in history.ops() {
        let acked = op.kind() == OpKind::Append && op.status() == Status::Ok;
        if let (true, Some(completed)) = (acked, op.completed()) {
            let nanos = completed.time_ns - op.invoked().time_ns;
            histogram
                .record(nanos / 1_000)
                .expect("the histogram grows as it must");
        }
    }
    Latency {
        p50_us: histogram.value_at_quantile(0.5),
        p99_us: histogram.value_at_quantile(0.99),
        max_us: histogram.max(),
    }
}

fn judge(
    stopped: Option<Stopped>,
    report: &check::Report,
    at: Timestamp,
) -> (Outcome, Option<Violation>) {
    if let Some(Stopped::Safety(violation)) = stopped {
        return (Outcome::Safety, Some(violation));
    }
    // A lost record is told by several checks; that of durability says it most plainly.
    let told = report.anomalies();
    if let Some((check, anomaly)) = told.min_by_key(|(check, _)| *check != Check::Durability) {
        let violation = Violation::of_anomaly(check, anomaly, at);
        return (Outcome::Safety, Some(violation));
    }
    match stopped {
        Some(Stopped::Safety(_)) => unreachable!("handled above"),
        Some(Stopped::Liveness(violation)) => (Outcome::Liveness, Some(violation)),
        Some(Stopped::Vacuous(violation)) => (Outcome::Vacuous, Some(violation)),
        None if report.verdict == VerdictKind::Unknown => {
            let violation = Violation {
                property: "a verdict".to_owned(),
                checker: "jepsen-lite".to_owned(),
                expected: "every check comes to a verdict".to_owned(),
                seen: report.to_string(),
                operations: Vec::new(),
                at,
            };
            (Outcome::Inconclusive, Some(violation))
        }
        None => (Outcome::Passed, None),
    }
}

fn panicked(
    options: SimOptions,
    plan: FaultPlan,
    note: Option<String>,
    mutant_reached: u64,
) -> RunArtifacts {
    let seen = note.unwrap_or_else(|| "a panic without a message".to_owned());
    let violation = Violation {
        property: "no-panic".to_owned(),
        checker: "assertion".to_owned(),
        expected: "the product's own assertions hold".to_owned(),
        seen,
        operations: Vec::new(),
        at: Timestamp::ZERO,
    };
    RunArtifacts {
        report: RunReport {
            seed: options.seed,
            outcome: Outcome::Panic,
            violation: Some(violation),
            trace_hash: format!("{:016x}", 0),
            trace_events: 0,
            options,
            plan,
            append_latency: Latency::default(),
            move_stalls_us: Vec::new(),
            counts: Counts {
                mutant_reached,
                ..Counts::default()
            },
            probes: Vec::new(),
            virtual_us: 0,
        },
        judged: check::check(&History::default(), &CheckOptions::default()),
        stuck: None,
        history: History::default(),
        trace: Vec::new(),
        judging: Duration::ZERO,
    }
}

/// What this thread's panics said, instead of on standard error.
struct PanicNotes;

thread_local! {
    static NOTE: std::cell::RefCell<Option<Option<String>>> = const { std::cell::RefCell::new(None) };
}

impl PanicNotes {
    /// Notes this thread's panics from now on; other threads' go where they went.
    fn listen() -> Self {
        static HOOK: std::sync::Once = std::sync::Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                let noted = NOTE.with_borrow_mut(|note| match note {
                    Some(note) => {
                        note.get_or_insert_with(|| info.to_string());
                        true
                    }
                    None => false,
                });
                if !noted {
                    before(info);
                }
            }));
        });
        NOTE.set(Some(None));
        Self
    }

    /// The first panic since, if there was one.
    fn take(self) -> Option<String> {
        NOTE.take().flatten()
    }
}
