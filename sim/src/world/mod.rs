//! The world: a cluster, its network and disks, its clients and what hurts them, in one queue of events.
//!
//! Virtual time is madsim's clock, moved from event to event; nothing else passes time. Everything
//! happens on one thread, in the order of (time, order of scheduling), so a seed has one run.

mod agenda;
mod clocks;
mod clogs;
mod damage;
mod extensions;
mod faults;
mod looking;
mod moves;
mod network;
mod nodes;
mod objects;
mod phases;
mod processes;
mod questions;
mod targets;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::object_store::{ObjectAnswer, ObjectError};
use hstore_core::{Address, ClientId, NodeId, NodeSet, Rng, Timestamp, probe};
use hstore_node::Input;
use hstore_replicator::config::{ClusterConfig, CopyDurability};
use hstore_replicator::effects::{DiskDone, DiskToken, ObjectToken};
use hstore_workloads::{Generator, Knowledge, Step, Workload};
use jepsen_lite::history::Recorder;
use jepsen_lite::online::Watch;
use serde_json::json;

use agenda::Agenda;

use crate::atlas::FaultAtlas;
use crate::clients::Slot;
use crate::coverage::Coverage;
use crate::findings::Findings;
use crate::host::Host;
use crate::invariants::Invariants;
use crate::lost::Lost;
use crate::net::SimNet;
use crate::options::SimOptions;
use crate::plan::{FaultKind, FaultPlan};
use crate::report::{Counts, Violation};
use crate::seeds::{SimSeeds, Stream};
use crate::trace::{FIRST_CLIENT, Kind, Trace};
use crate::until::Until;

/// How long a cluster may take to begin its work.
const WARMUP: Duration = Duration::from_secs(30);
/// How long chaos may last, plan and workload together.
const CHAOS: Duration = Duration::from_secs(300);
/// How long a healed cluster may take to work again, and to read everything back.
const CONVERGE: Duration = Duration::from_secs(60);

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// The cluster starts; nothing goes wrong yet.
    Warmup,
    /// Clients work, faults strike.
    Chaos,
    /// All faults are undone.
    Heal,
    /// The cluster has to come to work again.
    Converge,
    /// Everything is read back.
    FinalRead,
    /// All is done.
    Done,
}

/// Why a run stopped short.
#[derive(Clone, Debug)]
pub enum Stopped {
    /// Something happened that never may.
    Safety(Violation),
    /// Something did not happen in time.
    Liveness(Violation),
    /// Something did not happen in time, and could not: data is provably lost.
    Excused(Violation),
    /// Too little happened.
    Vacuous(Violation),
}

/// What happens next.
#[derive(Debug)]
enum Next {
    Deliver {
        from: Address,
        to: Address,
        message: u64,
        frame: Bytes,
        /// Its bytes are not those that were sent.
        damaged: bool,
        /// The life of the receiver when it was sent.
        life: u64,
    },
    NodeTimer(NodeId),
    SyncEnds(NodeId),
    DiskDone(NodeId, DiskToken, DiskDone),
    /// A call comes to the object store.
    ObjectArrives(Box<objects::ObjectCall>),
    /// It is answered.
    ObjectDone(NodeId, ObjectToken, Result<ObjectAnswer, ObjectError>),
    /// A process that ended because its store failed is started again.
    Restart(NodeId),
    ClientTimer(usize),
    Think(usize),
    FaultBegins(usize),
    FaultEnds(usize),
    /// An added fault strikes.
    AddedBegins(usize),
    /// An added fault is undone.
    AddedEnds(usize),
    /// A planned move is asked for.
    Move(usize),
    /// The next question is asked.
    Ask,
    /// Looks whether the phase is over.
    Look,
}

#[derive(Debug)]
struct Scheduled {
    /// For what concerns a process: its life. Dropped if that is over.
    life: u64,
    next: Next,
}

/// A fault that strikes or has struck.
#[derive(Clone, Copy, Debug, Default)]
struct Struck {
    /// It began.
    begun: bool,
    /// The nodes it strikes, once it began.
    nodes: NodeSet,
    /// It changed something.
    effective: bool,
    /// It waits for a file operation: so many more.
    countdown: Option<u32>,
    /// Of the nodes, those in whose next file operations the power is going to fail.
    armed: NodeSet,
    /// It waits for a moment in the work of one of its nodes.
    waits: bool,
    /// It strikes so many messages more.
    messages_left: u32,
    /// It lets processes run for a while that it ends again and again.
    lets_run: bool,
    /// It is over.
    ended: bool,
}

/// The world.
pub struct World {
    options: SimOptions,
    config: Arc<ClusterConfig>,
    plan: FaultPlan,
    now: Timestamp,
    agenda: Agenda<Scheduled>,
    phase: Phase,
    phase_began: Timestamp,
    hosts: Vec<Host>,
    /// What reached a paused process, in order.
    held: BTreeMap<NodeId, Vec<Scheduled>>,
    /// Completions of disks that stand still, in the order in which they would have come.
    stalled: BTreeMap<NodeId, Vec<Scheduled>>,
    net: SimNet,
    /// What clogged links hold.
    clogged: clogs::Held,
    roles: targets::Roles,
    slots: Vec<Slot>,
    /// Where each client process works.
    slot_of: BTreeMap<ClientId, usize>,
    next_client: u32,
    /// What clients do.
    workload: Box<dyn Workload>,
    /// What they were told.
    knowledge: Knowledge,
    /// What they have asked for, in order.
    steps: Vec<Step>,
    /// When each of these began, in microseconds.
    steps_began_us: Vec<u64>,
    /// The id of the next record beyond those of the workload.
    next_record: u64,
    recorder: Recorder,
    /// Judges what is recorded at once, if somebody wants to stop there.
    watch: Option<Watch>,
    faults: Vec<Struck>,
    moves: moves::Moves,
    questions: questions::Questions,
    findings: Findings,
    /// What others have added.
    extensions: extensions::Extensions,
    /// What damage there is and may be.
    atlas: FaultAtlas,
    /// Records that went bad where damage goes beyond what must be survived: they may be told as lost.
    lost: Lost,
    /// After healing: one for each log, in their order.
    probes: Vec<Probe>,
    invariants: Invariants,
    /// The object store, if history is moved there.
    second_tier: Option<objects::SecondTier>,
    trace: Trace,
    counts: Counts,
    stopped: Option<Stopped>,
    /// Which abstract states it was in, if somebody wants to know.
    coverage: Option<Coverage>,
    /// Somebody wants something of it before each event.
    attended: bool,
    /// What happens is logged, with its time.
    logged: bool,
    /// Where to stop.
    until: Option<Until>,
    /// After so many events the plan is over, if not by itself.
    heals: Option<(u64, u64)>,
    /// Nothing that is planned comes any more.
    plan_is_over: bool,
    messages: u64,
    /// Whether the plan has faults that look at each message.
    meddles: bool,
    /// Whether the plan may damage what nodes hold: then the atlas has to learn.
    damages: bool,
    /// Whether the plan has operations of disks fail: then those that did are asked for.
    fails_disks: bool,
    /// Whether the plan clogs links.
    clogs: bool,
    /// Whether the plan touches clocks.
    sets_clocks: bool,
    /// Whether the plan has two builds run beside each other.
    mixes: bool,
    rng_net: Rng,
    rng_disk: Rng,
    rng_product: Rng,
}

/// What a world leaves.
pub struct Remains {
    /// Why it stopped short, if it did.
    pub stopped: Option<Stopped>,
    /// What clients have asked for, in order.
    pub steps: Vec<Step>,
    /// When each of these began, in microseconds of virtual time.
    pub steps_began_us: Vec<u64>,
    /// For each fault of the plan: whether it changed something.
    pub effective: Vec<bool>,
    /// What clients did and saw.
    pub recorder: Recorder,
    /// What happened.
    pub counts: Counts,
    /// How long each planned change of a log kept appends waiting, in microseconds.
    pub move_stalls_us: Vec<u64>,
    /// The abstract states that it was in, if they were to be noted.
    pub states: Vec<u32>,
    /// Every event.
    pub trace: Trace,
    /// The end of time.
    pub now: Timestamp,
}

impl World {
    /// A world before its first event.
    #[must_use]
    pub fn new(options: SimOptions, plan: FaultPlan, keep_trace: bool) -> Self {
        let seeds = SimSeeds(options.seed);
        let config = Arc::new(options.cluster());
        config.validate().expect("profiles draw valid clusters");
        let generator = Generator::new(options.workload.clone(), seeds.stream(Stream::Workload));
        let has = |which: fn(&FaultKind) -> bool| plan.faults.iter().any(|it| which(&it.kind));
        let meddles = has(FaultKind::meddles);
        let damages = options.durability == CopyDurability::Memory || has(FaultKind::damages);
        let fails_disks = has(|kind| matches!(kind, FaultKind::Disk(_)));
        let clogs = has(|kind| matches!(kind, FaultKind::Clog { .. }));
        let sets_clocks = has(|kind| {
            matches!(
                kind,
                FaultKind::ClockDrift { .. }
                    | FaultKind::ClockStep { .. }
                    | FaultKind::ClockLeap { .. }
            )
        });
        let mixes = has(|kind| matches!(kind, FaultKind::Upgrade { .. }));
        let mut world = Self {
            net: SimNet::new(options.net),
            clogged: clogs::Held::default(),
            roles: targets::Roles::default(),
            hosts: config
                .nodes
                .keys()
                .map(|&node| Host::new(node, options.engine, options.store))
                .collect(),
            faults: vec![Struck::default(); plan.faults.len()],
            atlas: if options.beyond {
                FaultAtlas::new(config.metadata).beyond()
            } else {
                FaultAtlas::new(config.metadata)
            },
            lost: Lost::default(),
            config,
            plan,
            now: Timestamp::ZERO,
            agenda: Agenda::new(),
            phase: Phase::Warmup,
            phase_began: Timestamp::ZERO,
            held: BTreeMap::new(),
            stalled: BTreeMap::new(),
            slots: Vec::new(),
            slot_of: BTreeMap::new(),
            next_client: 1,
            workload: Box::new(generator),
            knowledge: Knowledge::default(),
            steps: Vec::new(),
            steps_began_us: Vec::new(),
            next_record: 1,
            recorder: Recorder::new(),
            watch: None,
            moves: moves::Moves::default(),
            questions: questions::Questions::new(seeds.stream(Stream::Questions)),
            findings: Findings::default(),
            extensions: extensions::Extensions::default(),
            probes: Vec::new(),
            invariants: Invariants::default(),
            second_tier: options
                .tiering
                .map(|it| objects::SecondTier::new(it, seeds.stream(Stream::Objects))),
            trace: Trace::new(keep_trace),
            counts: Counts::default(),
            stopped: None,
            coverage: None,
            attended: false,
            logged: false,
            until: None,
            heals: None,
            plan_is_over: false,
            messages: 0,
            meddles,
            damages,
            fails_disks,
            clogs,
            sets_clocks,
            mixes,
            rng_net: seeds.stream(Stream::Net),
            rng_disk: seeds.stream(Stream::Disk),
            rng_product: seeds.stream(Stream::Product),
            options,
        };
        world.counts.planned_faults = world.plan.faults.len() as u64;
        world.counts.planned_moves = world.plan.moves.len() as u64;
        for &log in world.config.logs.keys() {
            let quorums = world.config.quorum_system(log).expect("it is configured");
            world.atlas.plan(log, &quorums);
        }
        // Who is damaged for good before a move that needs it may still answer, and fail after it.
        for planned in &world.plan.moves {
            if let Some(quorums) = &planned.quorums {
                world.atlas.plan(planned.log, quorums);
            }
        }
        world
    }

    /// The root of its randomness.
    #[must_use]
    pub fn seed(&self) -> u64 {
        self.options.seed
    }

    /// Has clients do what this workload says, instead of what the seed draws.
    #[must_use]
    pub fn with_workload(mut self, workload: Box<dyn Workload>) -> Self {
        self.workload = workload;
        self
    }

    /// Heals the cluster after so many events of the trace: what is planned for later does not come. With a
    /// `salt` that is not 0, what chance decides afterwards it decides otherwise.
    #[must_use]
    pub fn healed_after(mut self, events: u64, salt: u64) -> Self {
        self.heals = Some((events, salt));
        self.attended = true;
        self
    }

    /// Stops at the step at which what clients saw can no longer be right.
    #[must_use]
    pub fn watched(mut self) -> Self {
        self.watch = Some(Watch::new());
        self
    }

    /// Notes which abstract states it is in.
    #[must_use]
    pub fn covered(mut self) -> Self {
        self.coverage = Some(Coverage::default());
        self
    }

    /// Runs to the end, or to the first violation. `advance` moves the clock that the product would
    /// see if it asked for one.
    #[must_use]
    pub fn run(mut self, advance: impl FnMut(Duration)) -> Remains {
        self.play(advance);
        self.finish()
    }

    /// The same, without the end: a world that panics within is not lost.
    pub fn play(&mut self, mut advance: impl FnMut(Duration)) {
        for node in 0..self.hosts.len() {
            self.start_node(NodeId(node as u8), None);
        }
        for _ in 0..self.options.workload.clients {
            self.new_slot(true);
        }
        self.schedule(self.now, Next::Look);
        let mut told = self.now;
        while self.phase != Phase::Done && self.stopped.is_none() {
            if self.attended && self.attend() {
                break;
            }
            let Some((at, scheduled)) = self.agenda.pop() else {
                unreachable!("the next look at the phase is always scheduled");
            };
            // The product has no business to ask for that clock: to a millisecond is near enough.
            let behind = at.since(told);
            if behind >= Duration::from_millis(1) {
                advance(behind);
                told = at;
            }
            self.now = at;
            self.take(scheduled);
        }
        for host in 0..self.hosts.len() {
            self.count_background_work(self.hosts[host].id);
        }
    }

    /// What the world leaves, wherever it stands.
    #[must_use]
    pub fn finish(mut self) -> Remains {
        self.counts.effective_faults = self.faults.iter().filter(|struck| struck.effective).count()
            as u64
            + self.extensions.effective();
        let net = self.net.counts();
        self.counts.messages = net.sent;
        self.counts.messages_lost = net.dropped + net.blocked + net.overflowed;
        self.counts.messages_duplicated = net.duplicated;
        let tiers = self.second_tier.as_ref().map_or(0, |it| it.tiers.checked());
        self.counts.invariants_checked = self.invariants.checked() + tiers;
        self.counts.refused_damage = self.atlas.refused();
        probe!("world.damage-refused", self.atlas.refused() > 0);
        self.counts.granted_damage = self.atlas.granted();
        self.counts.losses_told = self.lost.told();
        self.counts.retired_nodes = self.atlas.retired().len() as u64;
        if self.stopped.is_none() {
            self.stopped = self.vacuous().map(Stopped::Vacuous);
        }
        Remains {
            stopped: self.stopped,
            steps: self.steps,
            steps_began_us: self.steps_began_us,
            effective: self.faults.iter().map(|struck| struck.effective).collect(),
            recorder: self.recorder,
            counts: self.counts,
            move_stalls_us: self.moves.stalls_us,
            states: self.coverage.map_or_else(Vec::new, Coverage::into_states),
            trace: self.trace,
            now: self.now,
        }
    }

    fn vacuous(&self) -> Option<Violation> {
        let acked_min =
            u64::from(self.options.workload.operations) * self.options.acked_percent_min / 100;
        let counts = &self.counts;
        let (property, expected, seen) = if counts.appends_acked < acked_min {
            (
                "enough-appends",
                format!("at least {acked_min} appends are acknowledged"),
                format!("{} were", counts.appends_acked),
            )
        } else if counts.planned_faults > 0 && counts.effective_faults == 0 {
            (
                "effective-faults",
                "at least one planned fault takes effect".to_owned(),
                format!("all {} were inert", counts.planned_faults),
            )
        } else if counts.planned_moves > 0 && counts.moves_begun == 0 {
            (
                "effective-moves",
                "at least one planned move begins an epoch".to_owned(),
                format!("none of {} did", counts.planned_moves),
            )
        } else {
            return None;
        };
        Some(Violation {
            property: property.to_owned(),
            checker: "vacuity".to_owned(),
            expected,
            seen,
            operations: Vec::new(),
            at: self.now,
        })
    }

    fn schedule(&mut self, at: Timestamp, next: Next) {
        let life = match &next {
            Next::NodeTimer(node)
            | Next::SyncEnds(node)
            | Next::DiskDone(node, ..)
            | Next::ObjectDone(node, ..)
            | Next::Restart(node) => self.host(*node).life(),
            _ => 0,
        };
        self.agenda.push(at, Scheduled { life, next });
    }

    fn take(&mut self, scheduled: Scheduled) {
        // A process that is over gets nothing any more; one that is paused gets it later.
        let node = match &scheduled.next {
            Next::Deliver {
                to: Address::Node(node),
                ..
            } => Some(*node),
            Next::NodeTimer(node)
            | Next::SyncEnds(node)
            | Next::DiskDone(node, ..)
            | Next::ObjectDone(node, ..)
            | Next::Restart(node) => {
                if self.host(*node).life() != scheduled.life {
                    return;
                }
                Some(*node)
            }
            _ => None,
        };
        if let Some(node) = node
            && self.host(node).paused
        {
            self.mark_pause_effective(node);
            self.held.entry(node).or_default().push(scheduled);
            return;
        }
        if let Next::SyncEnds(node) | Next::DiskDone(node, ..) = scheduled.next
            && self.host(node).stalls > 0
        {
            self.mark_effective(node, |kind| matches!(kind, FaultKind::StallDisk));
            self.stalled.entry(node).or_default().push(scheduled);
            return;
        }
        let next = scheduled.next;
        if self.clogs
            && let Next::Deliver {
                from, to, message, ..
            } = next
            && let Some(cause) = self.net.clogged(from, to)
        {
            self.hold(cause, to, message, next);
            return;
        }
        match next {
            Next::Deliver {
                from,
                to,
                message,
                frame,
                damaged,
                life,
            } => self.deliver(from, to, message, &frame, damaged, life),
            Next::NodeTimer(node) => self.node_timer(node),
            Next::SyncEnds(node) => self.sync_ends(node),
            Next::DiskDone(node, token, done) => {
                let now = self.now;
                let numbers = [u64::from(node.0), token.owner as u64, token.number];
                self.trace.event(
                    now,
                    Kind::Disk,
                    numbers,
                    &[],
                    || json!({"node": node.to_string(), "request": format!("{token:?}")}),
                );
                self.step(node, Input::Disk { token, done });
            }
            Next::ObjectArrives(call) => self.object_arrives(*call),
            Next::ObjectDone(node, token, answer) => self.object_done(node, token, answer),
            Next::Restart(node) => self.restart(node, None),
            Next::ClientTimer(slot) => self.client_timer(slot),
            Next::Think(slot) => self.begin_operation(slot),
            Next::FaultBegins(index) => self.fault_begins(index),
            Next::FaultEnds(index) => self.fault_ends(index),
            Next::AddedBegins(index) => self.added_begins(index),
            Next::AddedEnds(index) => self.added_ends(index),
            Next::Move(index) => self.ask_for_move(index),
            Next::Ask => self.ask(),
            Next::Look => self.look(),
        }
    }

    fn host(&self, node: NodeId) -> &Host {
        &self.hosts[usize::from(node.0)]
    }

    fn host_mut(&mut self, node: NodeId) -> &mut Host {
        &mut self.hosts[usize::from(node.0)]
    }
}

/// A client that looks whether a log works.
#[derive(Clone, Copy, Debug)]
struct Probe {
    slot: usize,
    /// Its operation was answered.
    done: bool,
}

fn number(address: Address) -> u64 {
    match address {
        Address::Node(node) => u64::from(node.0),
        Address::Client(client) => FIRST_CLIENT + u64::from(client.0),
    }
}
