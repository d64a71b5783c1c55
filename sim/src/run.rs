//! One run: a seed in, a verdict out.
//!
//! A run follows from its [`Course`], which a seed draws or a capsule holds.

use std::panic::{self, AssertUnwindSafe};
use std::time::Duration;

use hdrhistogram::Histogram;
use hstore_core::quorum::QuorumSystem;
use hstore_core::{Timestamp, planted, probe};
use hstore_workloads::{Script, Step};
use jepsen_lite::check::{self, Check, CheckOptions};
use jepsen_lite::history::{History, OpKind, Status};
use jepsen_lite::verdict::VerdictKind;
use serde_json::json;

use crate::log;
use crate::moves::draw_moves;
use crate::nemesis::draw_plan;
use crate::options::{Engine, SimOptions};
use crate::outcome::Outcome;
use crate::picture::Picture;
use crate::plan::FaultPlan;
use crate::profile::Profile;
use crate::report::{Latency, RunReport, Violation};
use crate::seeds::SimSeeds;
use crate::stopwatch::Stopwatch;
use crate::trace::Kind;
use crate::until::Until;
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
    /// Whether to keep what is logged on the way.
    pub record_log: bool,
}

/// What a run follows from.
#[derive(Clone, Debug, PartialEq)]
pub struct Course {
    /// The configuration, and the seed of all randomness that is left.
    pub options: SimOptions,
    /// What goes wrong, and which logs are moved.
    pub plan: FaultPlan,
    /// What clients do; `None`: what the seed draws.
    pub steps: Option<Vec<Step>>,
}

/// How a run is looked at, and where it is left. It changes nothing of what happens before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Whether to stop at the step at which what clients saw can no longer be right.
    pub stop_at_violation: bool,
    /// Whether to keep the trace's events, beside its hash.
    pub record_trace: bool,
    /// Whether the cluster is healed before its time: see [`World::healed_after`].
    pub healed_after: Option<(u64, u64)>,
    /// Whether to note which abstract states it is in.
    pub covered: bool,
    /// Where it stops.
    pub until: Option<Until>,
    /// Whether to keep what is logged on the way.
    pub record_log: bool,
}

impl RunRequest {
    /// A seed of a profile on the model store, with a look inside, and nothing kept.
    #[must_use]
    pub fn of(profile: &'static Profile, seed: u64) -> Self {
        Self {
            seed,
            profile,
            engine: Engine::Model,
            quorums: None,
            mutant: None,
            white_box: true,
            stop_at_violation: false,
            record_trace: false,
            record_log: false,
        }
    }

    /// What a run of it follows from.
    #[must_use]
    pub fn draw(&self) -> Course {
        let (options, plan) = draw(self);
        // Only now: what goes wrong does not depend on the planted bug.
        let options = SimOptions {
            mutant: self.mutant.clone(),
            ..options
        };
        Course {
            options,
            plan,
            steps: None,
        }
    }

    /// How the run is looked at.
    #[must_use]
    pub fn view(&self) -> View {
        View {
            stop_at_violation: self.stop_at_violation,
            record_trace: self.record_trace,
            healed_after: None,
            covered: false,
            until: None,
            record_log: self.record_log,
        }
    }
}

/// What a run leaves.
#[derive(Debug)]
pub struct RunArtifacts {
    /// The verdict.
    pub report: RunReport,
    /// What clients have asked for, in order.
    pub steps: Vec<Step>,
    /// When each of these began, in microseconds of virtual time.
    pub steps_began_us: Vec<u64>,
    /// For each fault of the plan: whether it changed something.
    pub effective: Vec<bool>,
    /// What clients did and saw.
    pub history: History,
    /// What was logged, with virtual time, if it was to be kept.
    pub log: Option<String>,
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
    follow(|| request.draw(), request.view()).0
}

/// Runs a course, on a thread of its own.
#[must_use]
pub fn run_course(course: Course, view: View) -> RunArtifacts {
    follow(|| course, view).0
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
    let course = || {
        let mut course = request.draw();
        if let Some(plan) = &alteration.plan {
            course.plan.clone_from(plan);
        }
        course
    };
    let view = View {
        covered: alteration.covered,
        ..request.view()
    };
    follow(course, view)
}

/// Runs a course in a world to which something was added: see [`crate::extend`].
#[must_use]
pub fn run_extended(
    course: Course,
    view: View,
    extend: impl FnOnce(World) -> World + Send,
) -> RunArtifacts {
    on_a_thread(|| run_here(course, view, extend)).0
}

/// Runs a course. What it leaves comes with the abstract states that it was in, if they were to be noted.
fn follow(course: impl FnOnce() -> Course + Send, view: View) -> (RunArtifacts, Vec<u32>) {
    on_a_thread(|| {
        let course = course();
        let as_it_is = |world| world;
        if !view.record_log {
            return run_here(course, view, as_it_is);
        }
        let (mut ran, text) = log::captured(|| run_here(course, view, as_it_is));
        ran.0.log = Some(text);
        ran
    })
}

fn on_a_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("run".to_owned())
            .spawn_scoped(scope, work)
            .expect("the system has room for one more thread")
            .join()
            .expect("panics of the product are caught")
    })
}

/// Runs a course up to the place where the view has it stop, or to its end. Says whether it came there, and what
/// the world looks like.
#[must_use]
pub fn look(course: Course, view: View) -> (bool, Picture) {
    on_a_thread(|| {
        let mutant = course.options.mutant.clone();
        planted::activate(mutant.as_deref());
        let panics = PanicNotes::listen();
        let mut world = world(course, view);
        // What panicked stands where it did: so it is shown.
        let _ = play(&mut world);
        let _ = panics.take();
        planted::activate(None);
        (world.has_come(), world.picture())
    })
}

fn world(course: Course, view: View) -> World {
    let mut world = World::new(course.options, course.plan, view.record_trace);
    if let Some(steps) = course.steps {
        world = world.with_workload(Box::new(Script::new(steps)));
    }
    if view.stop_at_violation {
        world = world.watched();
    }
    if let Some((events, salt)) = view.healed_after {
        world = world.healed_after(events, salt);
    }
    if tracing::enabled!(tracing::Level::DEBUG) {
        world = world.logged();
    }
    if view.covered {
        world = world.covered();
    }
    if let Some(until) = view.until {
        world = world.until(until);
    }
    world
}

fn play(world: &mut World) -> std::thread::Result<()> {
    panic::catch_unwind(AssertUnwindSafe(|| {
        let runtime =
            madsim::runtime::Runtime::with_seed_and_config(world.seed(), madsim::Config::default());
        // The product never asks for the time or for randomness; if it did, madsim would answer.
        runtime.block_on(async { world.play(madsim::time::advance) });
    }))
}

fn run_here(
    course: Course,
    view: View,
    extend: impl FnOnce(World) -> World,
) -> (RunArtifacts, Vec<u32>) {
    let (options, plan) = (course.options.clone(), course.plan.clone());
    planted::activate(options.mutant.as_deref());
    // Whatever came before, on this thread, was no part of the run.
    drop(probe::take_reached());
    let panics = PanicNotes::listen();
    let mut world = extend(world(course, view));
    let caught = play(&mut world);
    let note = panics.take();
    let reached = planted::reached();
    planted::activate(None);
    let panicked = caught
        .is_err()
        .then(|| note.unwrap_or_else(|| "a panic without a message".to_owned()));
    let mut remains = world.finish();
    let probes = probe::take_reached();
    let states = std::mem::take(&mut remains.states);
    let mut artifacts = conclude(options, plan, remains, panicked, reached);
    let names = probes.into_iter().map(|probe| probe.name.to_owned());
    artifacts.report.probes = names.collect();
    (artifacts, states)
}

fn conclude(
    options: SimOptions,
    plan: FaultPlan,
    remains: Remains,
    panicked: Option<String>,
    mutant_reached: u64,
) -> RunArtifacts {
    let Remains {
        stopped,
        steps,
        steps_began_us,
        effective,
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
    let (outcome, violation) = match panicked {
        Some(said) => (Outcome::Panic, Some(assertion(said, now))),
        None => judge(stopped, &judged, now),
    };
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
        seed: options.seed,
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
        steps,
        steps_began_us,
        effective,
        log: None,
        history,
        trace: trace.into_kept(),
        judged,
        stuck,
        judging,
    }
}

/// An assertion of the product failed.
fn assertion(said: String, at: Timestamp) -> Violation {
    Violation {
        property: "no-panic".to_owned(),
        checker: "assertion".to_owned(),
        expected: "the product's own assertions hold".to_owned(),
        seen: said,
        operations: Vec::new(),
        at,
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
        Some(Stopped::Excused(violation)) => (Outcome::Inconclusive, Some(violation)),
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
