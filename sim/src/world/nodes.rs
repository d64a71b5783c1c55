//! The nodes' side of the world: starting, killing, stepping, disk work, and what is judged of it.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::log_store::StoreError;
use hstore_core::{Address, LogId, Lsn, NodeId, NodeSet, probe};
use hstore_node::Input;
use hstore_replicator::config::CopyDurability;
use hstore_replicator::effects::{Event, Outputs};
use hstore_replicator::message::Message;
use hstore_replicator::wire::VERSIONS;
use serde_json::json;

use super::network::Kinds;
use super::{Next, Stopped, World};
use crate::disk::PowerLoss;
use crate::host::{Follows, Host, Metadata};
use crate::plan::{Moment, Trigger};
use crate::report::Violation;
use crate::trace::Kind;

/// How long after the end of a process, by itself, whoever watches over it starts it again.
const RESTART_AFTER: Duration = Duration::from_millis(300);

/// How the process of a node ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself: its machine goes on.
    Exit,
    /// The power fails between two events.
    Between,
    /// The power fails between two events, and nothing of what was not synced is left.
    ToSynced,
    /// The power fails in the midst of a file operation.
    InFileOperation,
}

impl World {
    /// Starts a node. If the power is to fail meanwhile, it does within the file operation that comes
    /// so many after, and the node starts again.
    pub(super) fn start_node(&mut self, node: NodeId, crash_after: Option<u32>) {
        if let Some(after) = crash_after {
            self.host_mut(node).arm_crash(after);
        }
        let seed = self.rng_product.seed();
        let config = Arc::clone(&self.config);
        let mut out = Outputs::default();
        let now = self.now;
        let tiering = self.options.tiering.map(|it| Arc::new(it.tiering()));
        let host = self.host_mut(node);
        let started = host.start(&config, tiering, now, seed, &mut out);
        self.trace.event(
            now,
            Kind::Process,
            [u64::from(node.0), 1],
            &[],
            || json!({"node": node.to_string(), "process": "starts"}),
        );
        tracing::debug!(seed = self.options.seed, %node, "starts");
        self.trace_files(node);
        if self.host(node).crash_struck() {
            probe!("world.crash-while-restarting");
            self.end_process(node, End::InFileOperation);
            self.start_node(node, None);
            return;
        }
        self.host_mut(node).disarm_crash();
        match started {
            Ok(found) => {
                if self.options.white_box {
                    let violation = self.invariants.on_start(now, node, &found);
                    self.judge(violation);
                }
                self.carry_out(node, out);
            }
            Err(_) if self.host(node).is_damaged() => self.stays_down(node),
            Err(error) if self.host(node).failed_by_device() => {
                self.counts.failed_starts += 1;
                self.process_exits(node, &error);
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

    pub(super) fn kill_node(&mut self, node: NodeId, how: End) {
        if self.host(node).is_up() {
            self.end_process(node, how);
        }
    }

    /// A process ends by itself, because its store failed. Whoever watches over it starts it again.
    fn process_exits(&mut self, node: NodeId, error: &StoreError) {
        self.count_background_work(node);
        self.loses_memory(node);
        self.host_mut(node).exit();
        self.held.remove(&node);
        self.host_mut(node).paused = false;
        let now = self.now;
        self.trace.event(
            now,
            Kind::Process,
            [u64::from(node.0), 4],
            &[],
            || json!({"node": node.to_string(), "process": "ends", "because": error.to_string()}),
        );
        tracing::debug!(seed = self.options.seed, at = %now, %node, %error, "ends");
        self.trace_files(node);
        self.schedule(now + RESTART_AFTER, Next::Restart(node));
    }

    fn end_process(&mut self, node: NodeId, how: End) {
        let inside_file_operation = how == End::InFileOperation;
        self.count_background_work(node);
        self.loses_memory(node);
        // What a sequencer was doing dies with it; a change of leader follows.
        let mut rng = self.rng_disk.clone();
        let loss = match how {
            End::Exit => {
                self.host_mut(node).exit();
                PowerLoss::default()
            }
            End::ToSynced => self.host_mut(node).power_fail(None),
            End::Between | End::InFileOperation => self.host_mut(node).power_fail(Some(&mut rng)),
        };
        self.rng_disk = rng;
        self.held.remove(&node);
        self.host_mut(node).paused = false;
        if how == End::Exit {
            self.counts.exits += 1;
        } else {
            self.counts.crashes += 1;
        }
        self.counts.crashes_with_unsynced_bytes += u64::from(loss.unsynced_bytes > 0);
        self.counts.crashes_inside_file_operation += u64::from(inside_file_operation);
        let to_synced = how == End::ToSynced;
        probe!("world.suffix-lost", to_synced && loss.unsynced_bytes > 0);
        let now = self.now;
        let numbers = [u64::from(node.0), 0, loss.unsynced_bytes];
        self.trace.event(now, Kind::Process, numbers, &[], || {
            json!({"node": node.to_string(), "process": "dies", "unsynced_bytes": loss.unsynced_bytes})
        });
        let unsynced_bytes = loss.unsynced_bytes;
        tracing::debug!(seed = self.options.seed, %node, unsynced_bytes, "dies");
        self.trace_files(node);
    }

    /// Counts what a store has done before its process ends.
    pub(super) fn count_background_work(&mut self, node: NodeId) {
        let work = self.host(node).background_work();
        self.counts.flushed_tables += work.flushed_tables;
        self.counts.compacted_tables += work.compacted_tables;
    }

    pub(super) fn step(&mut self, node: NodeId, input: Input) {
        let now = self.now;
        let mut out = Outputs::default();
        let host = self.host_mut(node);
        let (shown, wall) = (host.clock.now(now), host.clock.wall(now));
        let Some(machine) = host.node_mut() else {
            return;
        };
        machine.step(shown, wall, input, &mut out);
        self.carry_out(node, out);
    }

    pub(super) fn carry_out(&mut self, node: NodeId, out: Outputs) {
        for event in &out.events {
            self.on_event(node, event);
        }
        // A message to several receivers is encoded once, but for those who speak another version.
        let mut last: Option<(Message, u8, Bytes)> = None;
        for (to, message) in out.messages {
            let version = self.agreed(node, to);
            let frame = match last {
                Some((said, spoken, frame)) if spoken == version && said == message => frame,
                _ => {
                    self.findings.on_message(self.now, &message);
                    if self.options.white_box {
                        let violation = self.invariants.on_message(self.now, node, &message);
                        self.judge(violation);
                    }
                    let build = self.host(node).runs();
                    build
                        .encode(&message, version)
                        .expect("messages are bounded")
                }
            };
            let from = Address::Node(node);
            let kind = Kinds::of(&message);
            self.send(from, to, frame.clone(), kind, || format!("{message:?}"));
            if version > VERSIONS.newest {
                self.greet(node, to, &message);
            }
            last = Some((message, version, frame));
        }
        for request in out.objects {
            self.call_objects(node, request);
        }
        let mut follows = Vec::new();
        let read_us = self.options.disk.read_us;
        let mut begun = Ok(());
        for request in out.disk {
            begun = self.host_mut(node).begin(request, read_us, &mut follows);
            if begun.is_err() {
                break;
            }
        }
        self.trace_files(node);
        if self.process_is_over(node, begun.err().as_ref()) {
            return;
        }
        self.follow(node, follows);
        self.set_node_timer(node);
    }

    pub(super) fn follow(&mut self, node: NodeId, follows: Vec<Follows>) {
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

    pub(super) fn sync_ends(&mut self, node: NodeId) {
        let mut follows = Vec::new();
        let synced = self.host_mut(node).sync_ends(&mut follows);
        self.trace_files(node);
        if self.process_is_over(node, synced.as_ref().err()) {
            return;
        }
        let metadata = synced.expect("a failure ends the process");
        if self.fails_disks && self.options.white_box {
            let failed = self.host(node).failed_sync();
            let violation = self.invariants.on_synced(self.now, node, failed.as_deref());
            self.judge(violation);
        }
        for (key, value) in &metadata {
            self.learn_from(key, value);
        }
        self.judge_durable(node, &metadata);
        self.follow(node, follows);
    }

    /// Whether a node's process ended in a call of its store: a planned crash struck inside it, which an
    /// engine may get over and its process does not, or the store failed by itself, which it must not.
    pub(super) fn process_is_over(&mut self, node: NodeId, error: Option<&StoreError>) -> bool {
        if !self.host(node).crash_struck() {
            let Some(error) = error else {
                return false;
            };
            if self.host(node).is_damaged() {
                self.kill_node(node, End::Between);
                self.stays_down(node);
                return true;
            }
            if self.host(node).failed_by_device() {
                self.counts.store_failures += 1;
                self.process_exits(node, error);
                return true;
            }
            self.violate(Violation {
                property: "store-fails-only-with-its-disk".to_owned(),
                checker: "invariant".to_owned(),
                expected: format!("the store of {node} works as long as its disk does"),
                seen: error.to_string(),
                operations: Vec::new(),
                at: self.now,
            });
            return true;
        }
        for index in 0..self.faults.len() {
            let fault = &self.plan.faults[index];
            let struck = &mut self.faults[index];
            if struck.armed.remove(node) {
                struck.effective = true;
                struck.countdown = None;
                if let Some(us) = fault.kind.restart_us() {
                    let at = self.now + Duration::from_micros(us);
                    self.schedule(at, Next::FaultEnds(index));
                }
            }
        }
        self.kill_node(node, End::InFileOperation);
        true
    }

    pub(super) fn set_node_timer(&mut self, node: NodeId) {
        let now = self.now;
        let host = self.host_mut(node);
        let Some(deadline) = host.node().and_then(hstore_node::Node::deadline) else {
            return;
        };
        let deadline = host.clock.when(deadline).max(now);
        if host.timer.is_none_or(|set| deadline < set) {
            host.timer = Some(deadline);
            self.schedule(deadline, Next::NodeTimer(node));
        }
    }

    pub(super) fn node_timer(&mut self, node: NodeId) {
        let now = self.now;
        let host = self.host_mut(node);
        if host.timer.is_none_or(|set| set > now) {
            return; // Replaced by an earlier one.
        }
        host.timer = None;
        let due = host.node().and_then(hstore_node::Node::deadline);
        let shown = host.clock.now(now);
        if due.is_none_or(|at| at > shown) {
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

    pub(super) fn on_event(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::Activated {
                log,
                epoch,
                quorums,
            } => {
                self.roles.reign(*log, *epoch, quorums);
                self.counts.epochs += 1;
                if epoch.0 > 1 && self.appends_wait(*log) {
                    self.counts.leader_changes_with_appends_in_flight += 1;
                }
            }
            Event::RecoveryBegan { log, .. } => {
                self.counts.recovery_attempts += 1;
                self.recovery_began(node, *log);
            }
            Event::Opened { log, .. } => self.roles.recovered(node, *log),
            Event::RecoveryDecided { holes, .. } => self.counts.holes += u64::from(*holes),
            Event::EpochClean { .. } => self.counts.recoveries += 1,
            Event::Purged { .. } => self.counts.purges += 1,
            Event::Checkpointed { .. } => self.counts.checkpoints += 1,
            Event::CopyRepaired { .. } => self.counts.copies_repaired += 1,
            Event::Forgotten { log, upto } => self.on_forgotten(node, *log, *upto),
            Event::Tier2 { log, epoch, what } => self.on_tier2_event(node, *log, *epoch, what),
            _ => {}
        }
        self.on_move_event(event);
        if let Some(coverage) = &mut self.coverage {
            let lives = self.hosts.iter().map(|host| (host.id, host.works()));
            coverage.event(node, event, lives);
        }
        if let Event::EpochClean { log, epoch, .. } = event {
            self.atlas.learn_clean(*log, *epoch);
        }
        if let Some(moment) = Moment::of(event) {
            self.moment_comes(node, moment);
        }
        let now = self.now;
        self.judge_by_added(node, event);
        tracing::debug!(seed = self.options.seed, %node, ?event);
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
        let (hosts, atlas, config) = (&self.hosts, &self.atlas, &self.config);
        // Under `memory` what was answered may be lost again before the ack, as far as damage may go.
        let holders_of = |log: LogId, lsn: Lsn| -> NodeSet {
            let holds = |host: &&Host| match config.copy_durability(log) {
                CopyDurability::Fsync => host.has_durable(log, lsn),
                CopyDurability::Memory => host.has_copy(log, lsn),
            };
            let holders: NodeSet = hosts.iter().filter(holds).map(|host| host.id).collect();
            holders.union(atlas.lost(log, lsn.epoch))
        };
        let violation = self.invariants.on_event(now, node, event, holders_of);
        self.judge(violation);
    }

    pub(super) fn judge_durable(&mut self, node: NodeId, metadata: &[Metadata]) {
        if self.options.white_box {
            let violation = self.invariants.on_durable(self.now, node, metadata);
            self.judge(violation);
        }
    }

    pub(super) fn judge(&mut self, violation: Option<Violation>) {
        if let Some(violation) = violation {
            self.violate(violation);
        }
    }

    pub(super) fn violate(&mut self, violation: Violation) {
        self.stopped.get_or_insert(Stopped::Safety(violation));
    }

    pub(super) fn trace_files(&mut self, node: NodeId) {
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
            let names = match &operation.to {
                None => Cow::Borrowed(&*operation.path),
                Some(to) => Cow::Owned(format!("{}\0{to}", operation.path)),
            };
            self.trace.event(
                now,
                Kind::File,
                numbers,
                names.as_bytes(),
                || json!({"node": node.to_string(), "file": operation.to_string()}),
            );
            self.count_down();
        }
        if self.fails_disks {
            for id in self.host_mut(node).drain_struck() {
                self.faults[id.0 as usize].effective = true;
            }
        }
    }

    /// Crashes that wait for file operations of any node.
    pub(super) fn count_down(&mut self) {
        for index in 0..self.faults.len() {
            let Some(Trigger::AfterFileOperations { delay_us, .. }) =
                self.plan.faults[index].kind.trigger()
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
}
