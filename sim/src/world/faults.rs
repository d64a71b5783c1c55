//! Faults strike and are undone; each notes whether it changed anything.

use hstore_core::{Address, NodeId, NodeSet};
use serde_json::json;

use super::nodes::End;
use super::{Struck, World};
use crate::atlas::Arms;
use crate::disk::FaultId;
use crate::net::Cause;
use crate::plan::{Direction, FaultKind, Moment, ObjectFault, Target, Trigger};
use crate::trace::Kind;

impl World {
    pub(super) fn fault_begins(&mut self, index: usize) {
        if self.faults[index].ended {
            return;
        }
        let fault = self.plan.faults[index].clone();
        self.faults[index].begun = true;
        let first = self.faults[index].nodes.is_empty();
        if first {
            let nodes = self.resolve(fault.target);
            self.faults[index].nodes = nodes;
            self.faults[index].waits =
                nodes.is_empty() && matches!(fault.target, Target::Coordinator(_));
            if self.faults[index].waits {
                return;
            }
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
        tracing::debug!(seed = self.options.seed, fault = index, %nodes, kind = ?fault.kind, "strikes");
        let cause = Cause(index as u32);
        let (inside, outside) = self.sides(nodes);
        match fault.kind {
            FaultKind::Crash {
                trigger: Trigger::InFileOperation(after),
                ..
            } => {
                self.faults[index].countdown = Some(after);
                for node in nodes.iter() {
                    if self.arm(node, after) {
                        self.faults[index].armed.insert(node);
                    }
                }
            }
            FaultKind::Crash {
                trigger: Trigger::AtMoment { .. },
                ..
            } => self.faults[index].waits = true,
            FaultKind::Crash {
                trigger: Trigger::AfterFileOperations { count, .. },
                ..
            } if first => {
                self.faults[index].countdown = Some(count);
            }
            FaultKind::Crash {
                trigger: Trigger::AtObjectCall { call, .. },
                ..
            } if first => {
                self.faults[index].countdown = Some(call);
            }
            FaultKind::Crash { .. } | FaultKind::LoseSuffix => {
                let how = if fault.kind == FaultKind::LoseSuffix {
                    End::ToSynced
                } else {
                    End::Between
                };
                self.end_processes(index, how);
            }
            FaultKind::Exit => self.end_processes(index, End::Exit),
            FaultKind::Loop { .. } => self.take_turn(index),
            FaultKind::Upgrade { to } => self.install(index, to),
            FaultKind::ClockDrift { .. }
            | FaultKind::ClockStep { .. }
            | FaultKind::ClockLeap { .. } => self.set_clocks(index, true),
            FaultKind::Clog { direction, .. } => self.net.clog(cause, nodes, direction),
            FaultKind::Throttle(band) => {
                let everyone = [inside.clone(), outside].concat();
                self.net.throttle(cause, &inside, &everyone, band);
                self.net.throttle(cause, &everyone, &inside, band);
            }
            FaultKind::FlipBit { place, pick } => {
                for node in nodes.iter() {
                    self.faults[index].effective |= self.flip_bit(node, place, pick);
                }
            }
            FaultKind::RotRecord { pick } => {
                self.faults[index].effective |= self.rot_record(nodes, pick);
            }
            FaultKind::Misdirect { from, to, shows } => {
                for node in nodes.iter() {
                    self.faults[index].effective |= self.misdirect(node, from, to, shows);
                }
            }
            FaultKind::BadSector { pick } => {
                for node in nodes.iter() {
                    self.faults[index].effective |= self.make_unreadable(node, pick);
                }
            }
            FaultKind::WipeDisk => {
                for node in nodes.iter() {
                    self.faults[index].effective |= self.wipe(node);
                }
            }
            FaultKind::Disk(fault) => {
                for node in nodes.iter() {
                    if self.may_arm(node, Arms::Fault(index as u32)) {
                        self.host_mut(node).inject(FaultId(index as u32), fault);
                    }
                }
            }
            FaultKind::StallDisk => {
                for node in nodes.iter() {
                    self.host_mut(node).stalls += 1;
                }
            }
            FaultKind::StallMetadata { .. }
            | FaultKind::Echo { .. }
            | FaultKind::Corrupt { .. } => {}
            FaultKind::DropMessages { count, .. }
            | FaultKind::Objects(ObjectFault::Garble { count }) => {
                self.faults[index].messages_left = count;
            }
            FaultKind::Objects(_) => {}
            FaultKind::Tamper { how, pick } => {
                self.faults[index].effective |= self.tamper(how, pick);
            }
            FaultKind::Pause => {
                for node in nodes.iter() {
                    let up = self.host(node).is_up();
                    self.host_mut(node).paused = up;
                }
            }
            FaultKind::Partition { direction, bridge } => {
                let (inside, _) = self.sides(nodes.difference(bridge));
                let (_, outside) = self.sides(nodes.union(bridge));
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
            FaultKind::SlowDisk { .. } => {
                for node in nodes.iter() {
                    self.host_mut(node).slow = self.slowness(node);
                }
            }
        }
    }

    /// The nodes, and all other nodes and the clients.
    pub(super) fn sides(&self, nodes: NodeSet) -> (Vec<Address>, Vec<Address>) {
        let all = self.config.nodes.keys().copied();
        let (inside, outside): (Vec<NodeId>, Vec<NodeId>) =
            all.partition(|&node| nodes.contains(node));
        // Clients reach nodes on either side, as if each were next to the node it asks.
        let addresses = |nodes: Vec<NodeId>| nodes.into_iter().map(Address::Node).collect();
        (addresses(inside), addresses(outside))
    }

    pub(super) fn fault_ends(&mut self, index: usize) {
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
        tracing::debug!(seed = self.options.seed, fault = index, %nodes, "is undone");
        let cause = Cause(index as u32);
        self.faults[index].ended = true;
        match fault.kind {
            FaultKind::Crash { in_restart, .. } => {
                self.faults[index].countdown = None;
                let armed = std::mem::take(&mut self.faults[index].armed);
                let nodes = if std::mem::take(&mut self.faults[index].waits) {
                    NodeSet::EMPTY
                } else {
                    nodes
                };
                for node in nodes.iter() {
                    if armed.contains(node) {
                        self.disarm(node);
                    }
                    self.restart(node, in_restart);
                }
            }
            FaultKind::LoseSuffix
            | FaultKind::WipeDisk
            | FaultKind::Exit
            | FaultKind::Loop { .. }
            | FaultKind::Upgrade { .. } => {
                for node in nodes.iter() {
                    self.restart(node, None);
                }
            }
            FaultKind::ClockDrift { .. }
            | FaultKind::ClockStep { .. }
            | FaultKind::ClockLeap { .. } => self.set_clocks(index, false),
            FaultKind::Clog { release, .. } => {
                self.net.lift(cause);
                self.faults[index].effective |= self.net.affected(cause) > 0;
                self.release(cause, release);
            }
            FaultKind::Disk(_) => {
                for node in nodes.iter() {
                    self.host_mut(node).lift(FaultId(index as u32));
                    self.atlas.disarm(node, Arms::Fault(index as u32));
                }
            }
            FaultKind::FlipBit { .. }
            | FaultKind::RotRecord { .. }
            | FaultKind::Misdirect { .. }
            | FaultKind::BadSector { .. }
            | FaultKind::Corrupt { .. }
            | FaultKind::StallMetadata { .. }
            | FaultKind::Echo { .. }
            | FaultKind::Objects(_)
            | FaultKind::Tamper { .. }
            | FaultKind::DropMessages { .. } => {}
            FaultKind::StallDisk => {
                for node in nodes.iter() {
                    self.host_mut(node).stalls -= 1;
                    if self.host(node).stalls == 0 {
                        for scheduled in self.stalled.remove(&node).unwrap_or_default() {
                            self.agenda.push(now, scheduled);
                        }
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
            FaultKind::Partition { .. } | FaultKind::Degrade(_) | FaultKind::Throttle(_) => {
                self.net.lift(cause);
                self.faults[index].effective |= self.net.affected(cause) > 0;
            }
            FaultKind::SlowDisk { .. } => {
                for node in nodes.iter() {
                    self.host_mut(node).slow = self.slowness(node);
                }
            }
        }
    }

    /// How many times as long the syncs of a node take: as the slowest of the faults in force has it.
    fn slowness(&self, node: NodeId) -> u32 {
        let faults = self.plan.faults.iter().zip(&self.faults);
        let in_force = faults.filter(|(_, struck)| struck.strikes(node));
        let factors = in_force.filter_map(|(fault, _)| match fault.kind {
            FaultKind::SlowDisk { factor } => Some(factor),
            _ => None,
        });
        factors.max().unwrap_or(1)
    }

    /// Whether a fault of a kind has struck a node and goes on.
    pub(super) fn is_struck(&self, node: NodeId, which: impl Fn(&FaultKind) -> bool) -> bool {
        let mut faults = self.plan.faults.iter().zip(&self.faults);
        faults.any(|(fault, struck)| which(&fault.kind) && struck.strikes(node))
    }

    /// Plans a crash within a file operation to come, if the node may lose what it has in memory.
    pub(super) fn arm(&mut self, node: NodeId, after: u32) -> bool {
        let armed = self.host(node).is_up() && self.may_arm(node, Arms::Crash);
        if armed {
            self.host_mut(node).arm_crash(after);
        }
        armed
    }

    /// A planned crash that found no file operation to strike in: it is off.
    pub(super) fn disarm(&mut self, node: NodeId) {
        self.atlas.disarm(node, Arms::Crash);
        self.host_mut(node).disarm_crash();
    }

    /// A moment comes in the work of a node: a crash that waited for it is planned.
    pub(super) fn moment_comes(&mut self, node: NodeId, now: Moment) {
        for index in 0..self.faults.len() {
            let Some(Trigger::AtMoment {
                moment,
                file_operation,
            }) = self.plan.faults[index].kind.trigger()
            else {
                continue;
            };
            let struck = self.faults[index];
            if struck.waits && moment == now && struck.nodes.contains(node) {
                self.faults[index].waits = false;
                self.faults[index].nodes = NodeSet::only(node);
                self.faults[index].countdown = Some(file_operation);
                if self.arm(node, file_operation) {
                    self.faults[index].armed.insert(node);
                }
                // One for each: others may wait for the same moment of another node.
                return;
            }
        }
    }

    pub(super) fn resume(&mut self, node: NodeId) {
        self.host_mut(node).paused = false;
        for scheduled in self.held.remove(&node).unwrap_or_default() {
            self.take(scheduled);
        }
    }

    pub(super) fn mark_pause_effective(&mut self, node: NodeId) {
        self.mark_effective(node, |kind| matches!(kind, FaultKind::Pause));
    }

    pub(super) fn mark_slow_effective(&mut self, node: NodeId) {
        self.mark_effective(node, |kind| matches!(kind, FaultKind::SlowDisk { .. }));
    }

    pub(super) fn mark_effective(&mut self, node: NodeId, which: impl Fn(&FaultKind) -> bool) {
        for (fault, struck) in self.plan.faults.iter().zip(&mut self.faults) {
            if which(&fault.kind) && struck.nodes.contains(node) && !struck.ended {
                struck.effective = true;
            }
        }
    }
}

impl Struck {
    /// Whether the fault has struck a node and goes on.
    pub(super) fn strikes(&self, node: NodeId) -> bool {
        let waits = self.waits || self.countdown.is_some() || self.armed.contains(node);
        self.nodes.contains(node) && !waits && !self.ended
    }

    /// Whether the fault strikes now, on the link between two addresses.
    pub(super) fn touches(&self, from: Address, to: Address) -> bool {
        let is_target =
            |address| matches!(address, Address::Node(node) if self.nodes.contains(node));
        !self.ended && (is_target(from) || is_target(to))
    }
}
