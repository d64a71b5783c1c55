//! The world: a cluster, its network and disks, its clients and what hurts them, in one queue of events.
//!
//! Virtual time is madsim's clock, moved from event to event; nothing else passes time. Everything
//! happens on one thread, in the order of (time, order of scheduling), so a seed has one run.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::{Address, ClientId, LogId, Lsn, NodeId, NodeSet, Rng, Timestamp};
use hstore_node::Input;
use hstore_replicator::client::ClientOutputs;
use hstore_replicator::config::ClusterConfig;
use hstore_replicator::effects::{DiskDone, DiskToken, Event, Outputs};
use hstore_replicator::wire;
use hstore_workloads::{Generator, Operation};
use jepsen_lite::history::Recorder;
use serde_json::json;

use crate::clients::{Ended, Slot};
use crate::host::{Follows, Host, Metadata};
use crate::invariants::Invariants;
use crate::net::{Cause, SimNet};
use crate::options::SimOptions;
use crate::plan::{Direction, FaultKind, FaultPlan, Target, Trigger};
use crate::report::{Counts, Violation};
use crate::seeds::{SimSeeds, Stream};
use crate::trace::{Kind, Trace};

/// How long a cluster may take to begin its work.
const WARMUP: Duration = Duration::from_secs(30);
/// How long chaos may last, plan and workload together.
const CHAOS: Duration = Duration::from_secs(300);
/// How long a healed cluster may take to work again, and to read everything back.
const CONVERGE: Duration = Duration::from_secs(60);
/// Under this share of the operations acknowledged as appends, in percent, a run means nothing.
const ACKED_PERCENT_MIN: u64 = 20;

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
    },
    NodeTimer(NodeId),
    SyncEnds(NodeId),
    DiskDone(NodeId, DiskToken, DiskDone),
    ClientTimer(usize),
    Think(usize),
    FaultBegins(usize),
    FaultEnds(usize),
    /// Looks whether the phase is over.
    Look,
}

#[derive(Debug)]
struct Scheduled {
    at: Timestamp,
    order: u64,
    /// For what concerns a process: its life. Dropped if that is over.
    life: u64,
    next: Next,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// A fault that strikes or has struck.
#[derive(Clone, Copy, Debug, Default)]
struct Struck {
    /// The nodes it strikes, once it began.
    nodes: NodeSet,
    /// It changed something.
    effective: bool,
    /// It waits for a file operation: so many more.
    countdown: Option<u32>,
    /// It is over.
    ended: bool,
}

/// The world.
pub struct World {
    options: SimOptions,
    config: Arc<ClusterConfig>,
    plan: FaultPlan,
    now: Timestamp,
    queue: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    phase: Phase,
    phase_began: Timestamp,
    hosts: Vec<Host>,
    /// What reached a paused process, in order.
    held: BTreeMap<NodeId, Vec<Scheduled>>,
    net: SimNet,
    slots: Vec<Slot>,
    /// Where each client process works.
    slot_of: BTreeMap<ClientId, usize>,
    next_client: u32,
    generator: Generator,
    recorder: Recorder,
    faults: Vec<Struck>,
    /// After healing: one for each log, in their order.
    probes: Vec<Probe>,
    invariants: Invariants,
    trace: Trace,
    counts: Counts,
    stopped: Option<Stopped>,
    messages: u64,
    rng_net: Rng,
    rng_disk: Rng,
    rng_product: Rng,
}

/// What a world leaves.
pub struct Remains {
    /// Why it stopped short, if it did.
    pub stopped: Option<Stopped>,
    /// What clients did and saw.
    pub recorder: Recorder,
    /// What happened.
    pub counts: Counts,
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
        let mut world = Self {
            net: SimNet::new(options.net),
            hosts: config.nodes.keys().map(|&node| Host::new(node)).collect(),
            faults: vec![Struck::default(); plan.faults.len()],
            config,
            plan,
            now: Timestamp::ZERO,
            queue: BinaryHeap::new(),
            order: 0,
            phase: Phase::Warmup,
            phase_began: Timestamp::ZERO,
            held: BTreeMap::new(),
            slots: Vec::new(),
            slot_of: BTreeMap::new(),
            next_client: 1,
            generator,
            recorder: Recorder::new(),
            probes: Vec::new(),
            invariants: Invariants::default(),
            trace: Trace::new(keep_trace),
            counts: Counts::default(),
            stopped: None,
            messages: 0,
            rng_net: seeds.stream(Stream::Net),
            rng_disk: seeds.stream(Stream::Disk),
            rng_product: seeds.stream(Stream::Product),
            options,
        };
        world.counts.planned_faults = world.plan.faults.len() as u64;
        world
    }

    /// Runs to the end, or to the first violation. `advance` moves the clock that the product would
    /// see if it asked for one.
    #[must_use]
    pub fn run(mut self, mut advance: impl FnMut(Duration)) -> Remains {
        for node in 0..self.hosts.len() {
            self.start_node(NodeId(node as u8));
        }
        for _ in 0..self.options.workload.clients {
            self.new_slot(true);
        }
        self.schedule(self.now, Next::Look);
        while self.phase != Phase::Done && self.stopped.is_none() {
            let Some(Reverse(scheduled)) = self.queue.pop() else {
                unreachable!("the next look at the phase is always scheduled");
            };
            advance(scheduled.at.since(self.now));
            self.now = scheduled.at;
            self.take(scheduled);
        }
        self.finish()
    }

    fn finish(mut self) -> Remains {
        self.counts.effective_faults =
            self.faults.iter().filter(|struck| struck.effective).count() as u64;
        let net = self.net.counts();
        self.counts.messages = net.sent;
        self.counts.messages_lost = net.dropped + net.blocked;
        self.counts.messages_duplicated = net.duplicated;
        self.counts.invariants_checked = self.invariants.checked();
        if self.stopped.is_none() {
            self.stopped = self.vacuous().map(Stopped::Vacuous);
        }
        Remains {
            stopped: self.stopped,
            recorder: self.recorder,
            counts: self.counts,
            trace: self.trace,
            now: self.now,
        }
    }

    fn vacuous(&self) -> Option<Violation> {
        let acked_min = u64::from(self.options.workload.operations) * ACKED_PERCENT_MIN / 100;
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

    // ----- the queue -----

    fn schedule(&mut self, at: Timestamp, next: Next) {
        let life = match &next {
            Next::NodeTimer(node) | Next::SyncEnds(node) | Next::DiskDone(node, ..) => {
                self.host(*node).life()
            }
            _ => 0,
        };
        self.order += 1;
        let order = self.order;
        self.queue.push(Reverse(Scheduled {
            at,
            order,
            life,
            next,
        }));
    }

    fn take(&mut self, scheduled: Scheduled) {
        // A process that is over gets nothing any more; one that is paused gets it later.
        let node = match &scheduled.next {
            Next::Deliver {
                to: Address::Node(node),
                ..
            } => Some(*node),
            Next::NodeTimer(node) | Next::SyncEnds(node) | Next::DiskDone(node, ..) => {
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
        match scheduled.next {
            Next::Deliver {
                from,
                to,
                message,
                frame,
            } => self.deliver(from, to, message, &frame),
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
            Next::ClientTimer(slot) => self.client_timer(slot),
            Next::Think(slot) => self.begin_operation(slot),
            Next::FaultBegins(index) => self.fault_begins(index),
            Next::FaultEnds(index) => self.fault_ends(index),
            Next::Look => self.look(),
        }
    }

    fn host(&self, node: NodeId) -> &Host {
        &self.hosts[usize::from(node.0)]
    }

    fn host_mut(&mut self, node: NodeId) -> &mut Host {
        &mut self.hosts[usize::from(node.0)]
    }

    // ----- nodes -----

    fn start_node(&mut self, node: NodeId) {
        let seed = self.rng_product.seed();
        let config = Arc::clone(&self.config);
        let mut out = Outputs::default();
        let started = self.host_mut(node).start(&config, seed, &mut out);
        let now = self.now;
        self.trace.event(
            now,
            Kind::Process,
            [u64::from(node.0), 1],
            &[],
            || json!({"node": node.to_string(), "process": "starts"}),
        );
        self.trace_files(node);
        match started {
            Ok(metadata) => {
                self.judge_durable(node, &metadata);
                self.carry_out(node, out);
            }
            Err(error) => {
                // The disk is as the product left it before a power failure: that it cannot be
                // opened is the product's doing.
                self.violate(Violation {
                    property: "store-opens-after-crash".to_owned(),
                    checker: "invariant".to_owned(),
                    expected: format!("{node} starts on the disk that a power failure left"),
                    seen: error.to_string(),
                    operations: Vec::new(),
                    at: now,
                });
            }
        }
    }

    fn kill_node(&mut self, node: NodeId, inside_file_operation: bool) {
        if !self.host(node).is_up() {
            return;
        }
        // What a sequencer was doing dies with it; a change of leader follows.
        let mut rng = self.rng_disk.clone();
        let loss = self.host_mut(node).power_fail(&mut rng);
        self.rng_disk = rng;
        self.held.remove(&node);
        self.host_mut(node).paused = false;
        self.counts.crashes += 1;
        self.counts.crashes_with_unsynced_bytes += u64::from(loss.unsynced_bytes > 0);
        self.counts.crashes_inside_file_operation += u64::from(inside_file_operation);
        let now = self.now;
        let numbers = [u64::from(node.0), 0, loss.unsynced_bytes];
        self.trace.event(now, Kind::Process, numbers, &[], || {
            json!({"node": node.to_string(), "process": "dies", "unsynced_bytes": loss.unsynced_bytes})
        });
        self.trace_files(node);
    }

    fn step(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        let mut out = Outputs::default();
        let Some(machine) = self.host_mut(node).node_mut() else {
            return;
        };
        machine.step(now, input, &mut out);
        self.carry_out(node, out);
    }

    fn carry_out(&mut self, node: NodeId, out: Outputs) {
        for event in &out.events {
            self.on_event(node, event);
        }
        for (to, message) in out.messages {
            if self.options.white_box {
                let violation = self.invariants.on_message(self.now, node, &message);
                self.judge(violation);
            }
            let frame = wire::encode(&message).expect("messages are bounded");
            self.send(Address::Node(node), to, frame, || format!("{message:?}"));
        }
        let mut follows = Vec::new();
        let read_us = self.options.disk.read_us;
        let mut failed = false;
        for request in out.disk {
            let begun = self.host_mut(node).begin(request, read_us, &mut follows);
            if begun.is_err() {
                failed = true;
                break;
            }
        }
        self.trace_files(node);
        if failed {
            self.store_failed(node);
            return;
        }
        self.follow(node, follows);
        self.set_node_timer(node);
    }

    fn follow(&mut self, node: NodeId, follows: Vec<Follows>) {
        for it in follows {
            match it {
                Follows::Done(token, done, after_us) => {
                    let at = self.now + Duration::from_micros(after_us);
                    self.schedule(at, Next::DiskDone(node, token, done));
                }
                Follows::SyncBegins => {
                    let disk = self.options.disk;
                    let slow = self.host(node).slow;
                    let us = self.rng_disk.within(disk.sync_us_min..=disk.sync_us_max);
                    if slow > 1 {
                        self.mark_slow_effective(node);
                    }
                    self.counts.syncs += 1;
                    let at = self.now + Duration::from_micros(us * u64::from(slow));
                    self.schedule(at, Next::SyncEnds(node));
                }
            }
        }
    }

    fn sync_ends(&mut self, node: NodeId) {
        let mut follows = Vec::new();
        let synced = self.host_mut(node).sync_ends(&mut follows);
        self.trace_files(node);
        match synced {
            Ok(metadata) => {
                self.judge_durable(node, &metadata);
                self.follow(node, follows);
            }
            Err(_) => self.store_failed(node),
        }
    }

    /// A file operation failed: because a planned crash struck inside it. The process is gone.
    fn store_failed(&mut self, node: NodeId) {
        assert!(
            self.host(node).crash_struck(),
            "file operations fail only when the power does"
        );
        for index in 0..self.faults.len() {
            let fault = &self.plan.faults[index];
            let struck = &mut self.faults[index];
            if matches!(fault.kind, FaultKind::Crash(Trigger::InFileOperation(_)))
                && struck.countdown.is_some()
                && struck.nodes.contains(node)
            {
                struck.effective = true;
                struck.countdown = None;
            }
        }
        self.kill_node(node, true);
    }

    fn set_node_timer(&mut self, node: NodeId) {
        let now = self.now;
        let host = self.host_mut(node);
        let Some(deadline) = host.node().and_then(hstore_node::Node::deadline) else {
            return;
        };
        let deadline = deadline.max(now);
        if host.timer.is_none_or(|set| deadline < set) {
            host.timer = Some(deadline);
            self.schedule(deadline, Next::NodeTimer(node));
        }
    }

    fn node_timer(&mut self, node: NodeId) {
        let now = self.now;
        let host = self.host_mut(node);
        if host.timer.is_none_or(|set| set > now) {
            return; // Replaced by an earlier one.
        }
        host.timer = None;
        let due = host.node().and_then(hstore_node::Node::deadline);
        if due.is_none_or(|at| at > now) {
            self.set_node_timer(node);
            return;
        }
        self.trace.event(
            now,
            Kind::NodeTimer,
            [u64::from(node.0)],
            &[],
            || json!({"node": node.to_string()}),
        );
        self.step(node, Input::Time);
    }

    fn on_event(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::Activated { log, epoch } => {
                self.counts.epochs += 1;
                let waits = self.slots.iter().any(|slot| {
                    slot.running
                        .is_some_and(|running| running.append && running.log == *log)
                });
                if epoch.0 > 1 && waits {
                    self.counts.leader_changes_with_appends_in_flight += 1;
                }
            }
            Event::RecoveryBegan { .. } => self.counts.recovery_attempts += 1,
            Event::RecoveryDecided { holes, .. } => self.counts.holes += u64::from(*holes),
            Event::EpochClean { .. } => self.counts.recoveries += 1,
            Event::Purged { .. } => self.counts.purges += 1,
            _ => {}
        }
        let now = self.now;
        self.trace.event(
            now,
            Kind::Process,
            [u64::from(node.0), 2],
            &[],
            || json!({"node": node.to_string(), "event": format!("{event:?}")}),
        );
        if !self.options.white_box {
            return;
        }
        let hosts = &self.hosts;
        let durable = |log: LogId, lsn: Lsn| -> NodeSet {
            hosts
                .iter()
                .filter(|host| host.has_durable(log, lsn))
                .map(|host| host.id)
                .collect()
        };
        let violation = self
            .invariants
            .on_event(now, node, event, &self.config, durable);
        self.judge(violation);
    }

    fn judge_durable(&mut self, node: NodeId, metadata: &[Metadata]) {
        if self.options.white_box {
            let violation = self.invariants.on_durable(self.now, node, metadata);
            self.judge(violation);
        }
    }

    fn judge(&mut self, violation: Option<Violation>) {
        if let Some(violation) = violation {
            self.violate(violation);
        }
    }

    fn violate(&mut self, violation: Violation) {
        self.stopped.get_or_insert(Stopped::Safety(violation));
    }

    fn trace_files(&mut self, node: NodeId) {
        let now = self.now;
        let operations = self.host_mut(node).drain_file_operations();
        for operation in operations {
            self.counts.file_operations += 1;
            let numbers = [
                u64::from(node.0),
                operation.seq,
                operation.kind as u64,
                operation.offset,
                operation.len,
                u64::from(operation.crc32c),
                operation.failed.map_or(0, |kind| 1 + kind as u64),
            ];
            let names = [&*operation.path, operation.to.as_deref().unwrap_or("")].join("\0");
            self.trace.event(
                now,
                Kind::File,
                numbers,
                names.as_bytes(),
                || json!({"node": node.to_string(), "file": operation.to_string()}),
            );
            self.count_down();
        }
    }

    /// Crashes that wait for file operations of any node.
    fn count_down(&mut self) {
        for index in 0..self.faults.len() {
            let FaultKind::Crash(Trigger::AfterFileOperations { delay_us, .. }) =
                self.plan.faults[index].kind
            else {
                continue;
            };
            let countdown = &mut self.faults[index].countdown;
            *countdown = countdown.map(|more| more - 1);
            if *countdown == Some(0) {
                *countdown = None;
                let at = self.now + Duration::from_micros(delay_us);
                self.schedule(at, Next::FaultBegins(index));
            }
        }
    }

    // ----- the network -----

    fn send(
        &mut self,
        from: Address,
        to: Address,
        frame: Bytes,
        describe: impl FnOnce() -> String,
    ) {
        self.messages += 1;
        let message = self.messages;
        let now = self.now;
        let numbers = [message, number(from), number(to)];
        self.trace.event(now, Kind::Send, numbers, &frame, || {
            json!({
                "message": message,
                "from": from.to_string(),
                "to": to.to_string(),
                "bytes": frame.len(),
                "crc32c": format!("{:08x}", crc32c::crc32c(&frame)),
                "says": describe(),
            })
        });
        let fate = self
            .net
            .route(now, from, to, frame.len(), &mut self.rng_net);
        for at in fate.arrivals() {
            let frame = frame.clone();
            self.schedule(
                at,
                Next::Deliver {
                    from,
                    to,
                    message,
                    frame,
                },
            );
        }
    }

    fn deliver(&mut self, from: Address, to: Address, message: u64, frame: &[u8]) {
        let now = self.now;
        self.trace.event(
            now,
            Kind::Deliver,
            [message, number(to)],
            &[],
            || json!({"message": message, "to": to.to_string()}),
        );
        let decoded = wire::decode(frame).expect("the network does not damage frames");
        match to {
            Address::Node(node) => {
                let message = decoded;
                self.step(node, Input::Message { from, message });
            }
            Address::Client(client) => {
                let (Some(&slot), Address::Node(node)) = (self.slot_of.get(&client), from) else {
                    return;
                };
                let mut out = ClientOutputs::default();
                let it = &mut self.slots[slot];
                it.client.on_message(now, node, &decoded, &mut out);
                self.carry_out_client(slot, out);
            }
        }
    }

    // ----- clients -----

    fn new_slot(&mut self, worker: bool) -> usize {
        let slot = self.slots.len();
        let (id, seed) = self.next_client(slot);
        self.slots.push(Slot::new(id, &self.config, seed, worker));
        slot
    }

    fn next_client(&mut self, slot: usize) -> (ClientId, u64) {
        let id = ClientId(self.next_client);
        self.next_client += 1;
        self.slot_of.insert(id, slot);
        (id, self.rng_product.seed())
    }

    fn begin_operation(&mut self, slot: usize) {
        if self.phase != Phase::Chaos || self.slots[slot].running.is_some() {
            return;
        }
        if let Some(operation) = self.generator.next_operation() {
            self.begin(slot, operation, false);
        }
    }

    fn begin(&mut self, slot: usize, operation: Operation, is_final: bool) {
        let now = self.now;
        let bytes = postcard::to_stdvec(&operation).expect("an operation has a serialised form");
        self.trace
            .event(now, Kind::Operation, [slot as u64, 1], &bytes, || {
                json!({"client": slot, "begins": format!("{operation:?}")})
            });
        let mut out = ClientOutputs::default();
        let it = &mut self.slots[slot];
        it.begin(now, operation, is_final, &mut self.recorder, &mut out);
        self.carry_out_client(slot, out);
    }

    fn carry_out_client(&mut self, slot: usize, out: ClientOutputs) {
        let from = Address::Client(self.slots[slot].client.id());
        for (to, message) in out.messages {
            let frame = wire::encode(&message).expect("messages are bounded");
            self.send(from, to.into(), frame, || format!("{message:?}"));
        }
        for (_, outcome) in out.done {
            let now = self.now;
            let bytes = postcard::to_stdvec(&outcome).expect("an outcome has a serialised form");
            self.trace
                .event(now, Kind::Operation, [slot as u64, 0], &bytes, || {
                    json!({"client": slot, "ends": format!("{outcome:?}")})
                });
            let ended = self.slots[slot].end(now, outcome, &mut self.recorder);
            self.on_ended(slot, &ended);
        }
        self.set_client_timer(slot);
    }

    fn on_ended(&mut self, slot: usize, ended: &Ended) {
        let counts = &mut self.counts;
        match ended {
            Ended::Appended(log, lsn) => {
                counts.appends_acked += 1;
                self.generator.observe(*log, *lsn);
            }
            Ended::AppendFailed => counts.appends_failed += 1,
            Ended::AppendUnknown => counts.appends_unknown += 1,
            Ended::Read(records) => {
                counts.reads += 1;
                counts.records_read += *records as u64;
            }
            Ended::Tail => counts.tails += 1,
            Ended::Unanswered => {}
        }
        if matches!(ended, Ended::Appended(..) | Ended::Read(_))
            && let Some(probe) = self.probes.iter_mut().find(|probe| probe.slot == slot)
        {
            probe.done = true;
        }
        if matches!(ended, Ended::AppendUnknown | Ended::Unanswered) {
            // What a process does not know it never learns: another one goes on in its place.
            let (id, seed) = self.next_client(slot);
            let worker = self.slots[slot].worker;
            self.slot_of.remove(&self.slots[slot].client.id());
            self.slots[slot] = Slot::new(id, &self.config, seed, worker);
        }
        if self.slots[slot].worker {
            let at = self.now + self.generator.think();
            self.schedule(at, Next::Think(slot));
        }
    }

    fn set_client_timer(&mut self, slot: usize) {
        let now = self.now;
        let it = &mut self.slots[slot];
        let Some(deadline) = it.client.deadline() else {
            return;
        };
        let deadline = deadline.max(now);
        if it.timer.is_none_or(|set| deadline < set) {
            it.timer = Some(deadline);
            self.schedule(deadline, Next::ClientTimer(slot));
        }
    }

    fn client_timer(&mut self, slot: usize) {
        let now = self.now;
        let it = &mut self.slots[slot];
        if it.timer.is_none_or(|set| set > now) {
            return;
        }
        it.timer = None;
        if it.client.deadline().is_some_and(|at| at <= now) {
            self.trace.event(
                now,
                Kind::ClientTimer,
                [slot as u64],
                &[],
                || json!({"client": slot}),
            );
            let mut out = ClientOutputs::default();
            self.slots[slot].client.on_time(now, &mut out);
            self.carry_out_client(slot, out);
        } else {
            self.set_client_timer(slot);
        }
    }

    // ----- faults -----

    fn resolve(&self, target: Target) -> NodeSet {
        match target {
            Target::Node(node) => NodeSet::only(node),
            Target::Nodes(nodes) => nodes,
            Target::Everyone => self.config.nodes.keys().copied().collect(),
            Target::Sequencer(log) => self.sequencer(log).map_or(NodeSet::EMPTY, NodeSet::only),
        }
    }

    /// The node that reigns over the newest epoch of a log.
    fn sequencer(&self, log: LogId) -> Option<NodeId> {
        self.hosts
            .iter()
            .filter_map(|host| Some((host.node()?.epoch(log)?, host.id)))
            .max()
            .map(|(_, node)| node)
    }

    fn fault_begins(&mut self, index: usize) {
        if self.faults[index].ended {
            return;
        }
        let fault = self.plan.faults[index].clone();
        let first = self.faults[index].nodes.is_empty();
        if first {
            self.faults[index].nodes = self.resolve(fault.target);
        }
        let nodes = self.faults[index].nodes;
        let now = self.now;
        self.trace.event(
            now,
            Kind::Fault,
            [index as u64, 1],
            &[],
            || json!({"fault": index, "begins": fault.kind.name(), "nodes": nodes.to_string()}),
        );
        let cause = Cause(index as u32);
        let (inside, outside) = self.sides(nodes);
        match fault.kind {
            FaultKind::Crash(Trigger::InFileOperation(after)) => {
                self.faults[index].countdown = Some(after);
                for node in nodes.iter() {
                    if self.host(node).is_up() {
                        self.host_mut(node).arm_crash(after);
                    }
                }
            }
            FaultKind::Crash(Trigger::AfterFileOperations { count, .. }) if first => {
                self.faults[index].countdown = Some(count);
            }
            FaultKind::Crash(_) => {
                for node in nodes.iter() {
                    self.faults[index].effective |= self.host(node).is_up();
                    self.kill_node(node, false);
                }
            }
            FaultKind::Pause => {
                for node in nodes.iter() {
                    let up = self.host(node).is_up();
                    self.host_mut(node).paused = up;
                }
            }
            FaultKind::Partition { direction } => {
                if direction != Direction::Outbound {
                    self.net.block(cause, &outside, &inside);
                }
                if direction != Direction::Inbound {
                    self.net.block(cause, &inside, &outside);
                }
            }
            FaultKind::Degrade(degradation) => {
                let everyone = [inside.clone(), outside].concat();
                self.net.degrade(cause, &inside, &everyone, degradation);
                self.net.degrade(cause, &everyone, &inside, degradation);
            }
            FaultKind::SlowDisk { factor } => {
                for node in nodes.iter() {
                    self.host_mut(node).slow = factor;
                }
            }
        }
    }

    /// The nodes, and all other nodes and the clients.
    fn sides(&self, nodes: NodeSet) -> (Vec<Address>, Vec<Address>) {
        let all = self.config.nodes.keys().copied();
        let (inside, outside): (Vec<NodeId>, Vec<NodeId>) =
            all.partition(|&node| nodes.contains(node));
        // Clients reach nodes on either side, as if each were next to the node it asks.
        let addresses = |nodes: Vec<NodeId>| nodes.into_iter().map(Address::Node).collect();
        (addresses(inside), addresses(outside))
    }

    fn fault_ends(&mut self, index: usize) {
        if self.faults[index].ended {
            return;
        }
        let fault = self.plan.faults[index].clone();
        let nodes = self.faults[index].nodes;
        let now = self.now;
        self.trace.event(
            now,
            Kind::Fault,
            [index as u64, 0],
            &[],
            || json!({"fault": index, "ends": fault.kind.name(), "nodes": nodes.to_string()}),
        );
        let cause = Cause(index as u32);
        self.faults[index].ended = true;
        match fault.kind {
            FaultKind::Crash(_) => {
                let armed = self.faults[index].countdown.take().is_some();
                for node in nodes.iter() {
                    if armed {
                        self.disarm(node);
                    }
                    if !self.host(node).is_up() && !self.held_down(node) {
                        self.start_node(node);
                    }
                }
            }
            FaultKind::Pause => {
                for node in nodes.iter() {
                    let still = self.is_struck(node, |kind| matches!(kind, FaultKind::Pause));
                    if !still {
                        self.resume(node);
                    }
                }
            }
            FaultKind::Partition { .. } | FaultKind::Degrade(_) => {
                self.net.lift(cause);
                self.faults[index].effective |= self.net.affected(cause) > 0;
            }
            FaultKind::SlowDisk { .. } => {
                for node in nodes.iter() {
                    self.host_mut(node).slow = 1;
                }
            }
        }
    }

    /// Whether another fault that goes on keeps a crashed node down.
    fn held_down(&self, node: NodeId) -> bool {
        self.is_struck(node, |kind| matches!(kind, FaultKind::Crash(_)))
    }

    /// Whether a fault of a kind has struck a node and goes on.
    fn is_struck(&self, node: NodeId, which: impl Fn(&FaultKind) -> bool) -> bool {
        self.plan
            .faults
            .iter()
            .zip(&self.faults)
            .any(|(fault, struck)| {
                which(&fault.kind)
                    && struck.nodes.contains(node)
                    && struck.countdown.is_none()
                    && !struck.ended
            })
    }

    /// A planned crash that found no file operation to strike in: it is off.
    fn disarm(&mut self, node: NodeId) {
        self.host_mut(node).disarm_crash();
    }

    fn resume(&mut self, node: NodeId) {
        self.host_mut(node).paused = false;
        for scheduled in self.held.remove(&node).unwrap_or_default() {
            self.take(scheduled);
        }
    }

    fn mark_pause_effective(&mut self, node: NodeId) {
        self.mark_effective(node, |kind| matches!(kind, FaultKind::Pause));
    }

    fn mark_slow_effective(&mut self, node: NodeId) {
        self.mark_effective(node, |kind| matches!(kind, FaultKind::SlowDisk { .. }));
    }

    fn mark_effective(&mut self, node: NodeId, which: impl Fn(&FaultKind) -> bool) {
        for (fault, struck) in self.plan.faults.iter().zip(&mut self.faults) {
            if which(&fault.kind) && struck.nodes.contains(node) && !struck.ended {
                struck.effective = true;
            }
        }
    }

    // ----- phases -----

    fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_began = self.now;
        let now = self.now;
        self.trace.event(
            now,
            Kind::Phase,
            [phase as u64],
            &[],
            || json!({"phase": format!("{phase:?}")}),
        );
    }

    fn look(&mut self) {
        let lasted = self.now.since(self.phase_began);
        match self.phase {
            Phase::Warmup => {
                if self.config.logs.keys().all(|&log| self.is_open(log)) {
                    self.enter(Phase::Chaos);
                    self.begin_chaos();
                } else if lasted > WARMUP {
                    self.late("every log has a sequencer that answers", "warm-up");
                }
            }
            Phase::Chaos => {
                let planned = Duration::from_micros(self.options.chaos_us);
                let idle = self.slots.iter().all(|slot| slot.running.is_none());
                let exhausted = self.generator.is_exhausted();
                if lasted >= planned && exhausted && idle {
                    self.heal();
                } else if lasted > CHAOS {
                    self.late("clients get through their operations", "chaos");
                }
            }
            Phase::Heal => self.enter(Phase::Converge),
            Phase::Converge => {
                if self.has_converged() {
                    self.enter(Phase::FinalRead);
                } else if lasted > CONVERGE {
                    let what = "every log takes an append, and every node serves all of it";
                    self.late(what, "convergence");
                }
            }
            Phase::FinalRead => {
                if self.has_read_everything() {
                    self.enter(Phase::Done);
                } else if lasted > CONVERGE {
                    self.late(
                        "every log can be read from its first record",
                        "the final read",
                    );
                }
            }
            Phase::Done => {}
        }
        self.schedule(self.now + Duration::from_millis(20), Next::Look);
    }

    fn begin_chaos(&mut self) {
        for index in 0..self.plan.faults.len() {
            let fault = &self.plan.faults[index];
            let begins = self.now + Duration::from_micros(fault.at_us);
            let ends = self.now + Duration::from_micros(fault.until_us);
            self.schedule(begins, Next::FaultBegins(index));
            self.schedule(ends, Next::FaultEnds(index));
        }
        for slot in 0..self.slots.len() {
            let at = self.now + self.generator.think();
            self.schedule(at, Next::Think(slot));
        }
    }

    fn heal(&mut self) {
        self.enter(Phase::Heal);
        for index in 0..self.faults.len() {
            self.fault_ends(index);
        }
        // One process for each log looks whether it works again, and reads it all.
        for _ in 0..self.config.logs.len() {
            let slot = self.new_slot(false);
            self.probes.push(Probe { slot, done: false });
        }
    }

    fn is_open(&self, log: LogId) -> bool {
        self.hosts
            .iter()
            .filter_map(|host| host.node())
            .any(|node| node.open_epoch(log).is_some())
    }

    /// Appends to every log until it is acknowledged; then waits until all nodes serve all of it.
    fn has_converged(&mut self) -> bool {
        let logs: Vec<LogId> = self.config.logs.keys().copied().collect();
        let mut all = true;
        for (index, log) in logs.into_iter().enumerate() {
            let Probe { slot, done } = self.probes[index];
            if !done && self.slots[slot].running.is_none() {
                let operation = self.generator.append(log);
                self.begin(slot, operation, false);
            }
            all &= self.probes[index].done && self.is_served_everywhere(log);
        }
        if all {
            for probe in &mut self.probes {
                probe.done = false;
            }
        }
        all
    }

    /// Whether every node lets readers of `log` read up to the same LSN, in the open epoch.
    fn is_served_everywhere(&self, log: LogId) -> bool {
        let up_to: Vec<Lsn> = self
            .hosts
            .iter()
            .map(|host| host.node().map_or(Lsn::MIN, |node| node.readable(log)))
            .collect();
        let Some(open) = self
            .hosts
            .iter()
            .filter_map(|host| host.node()?.open_epoch(log))
            .max()
        else {
            return false;
        };
        up_to
            .iter()
            .all(|lsn| *lsn == up_to[0] && lsn.epoch == open)
    }

    fn has_read_everything(&mut self) -> bool {
        let logs: Vec<LogId> = self.config.logs.keys().copied().collect();
        for (index, log) in logs.into_iter().enumerate() {
            let Probe { slot, done } = self.probes[index];
            if !done && self.slots[slot].running.is_none() {
                let operation = Operation::Read {
                    log,
                    from: Lsn::FIRST,
                    limit: u32::MAX,
                };
                self.begin(slot, operation, true);
            }
        }
        self.probes.iter().all(|probe| probe.done)
    }

    fn late(&mut self, what: &str, phase: &str) {
        let mut operations = Vec::new();
        for host in &self.hosts {
            let state = match host.node() {
                None => "down".to_owned(),
                Some(node) => {
                    let logs = node.describe().map(|(log, state)| {
                        let (sealed, clean) = node.bounds(log);
                        let readable = node.readable(log);
                        format!(
                            "{log} {state}, sealed {sealed}, clean {clean}, readable {readable}"
                        )
                    });
                    logs.collect::<Vec<_>>().join("; ")
                }
            };
            operations.push(format!("{}: {state}", host.id));
        }
        let violation = Violation {
            property: format!("progress in {phase}"),
            checker: "liveness".to_owned(),
            expected: format!("{what} within {:?}", self.now.since(self.phase_began)),
            seen: "it did not".to_owned(),
            operations,
            at: self.now,
        };
        self.stopped.get_or_insert(Stopped::Liveness(violation));
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
        Address::Client(client) => 1_000 + u64::from(client.0),
    }
}
