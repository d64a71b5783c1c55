//! Faults strike and are undone; each notes whether it changed anything.

use hstore_core::{Address, LogId, NodeId, NodeSet};
use serde_json::json;

use super::World;
use crate::net::Cause;
use crate::plan::{Direction, FaultKind, Target, Trigger};
use crate::trace::Kind;

impl World {
    pub(super) fn resolve(&self, target: Target) -> NodeSet {
        match target {
            Target::Node(node) => NodeSet::only(node),
            Target::Nodes(nodes) => nodes,
            Target::Everyone => self.config.nodes.keys().copied().collect(),
            Target::Sequencer(log) => self.sequencer(log).map_or(NodeSet::EMPTY, NodeSet::only),
        }
    }

    /// The node that reigns over the newest epoch of a log.
    pub(super) fn sequencer(&self, log: LogId) -> Option<NodeId> {
        self.hosts
            .iter()
            .filter_map(|host| Some((host.node()?.epoch(log)?, host.id)))
            .max()
            .map(|(_, node)| node)
    }

    pub(super) fn fault_begins(&mut self, index: usize) {
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
        tracing::debug!(seed = self.options.seed, at = %now, fault = index, %nodes, kind = ?fault.kind, "strikes");
        let cause = Cause(index as u32);
        let (inside, outside) = self.sides(nodes);
        match fault.kind {
            FaultKind::Crash {
                trigger: Trigger::InFileOperation(after),
                ..
            } => {
                self.faults[index].countdown = Some(after);
                for node in nodes.iter() {
                    if self.host(node).is_up() {
                        self.host_mut(node).arm_crash(after);
                    }
                }
            }
            FaultKind::Crash {
                trigger: Trigger::AfterFileOperations { count, .. },
                ..
            } if first => {
                self.faults[index].countdown = Some(count);
            }
            FaultKind::Crash { .. } => {
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
            FaultKind::SlowDisk { factor } => {
                for node in nodes.iter() {
                    self.host_mut(node).slow = factor;
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
        tracing::debug!(seed = self.options.seed, at = %now, fault = index, %nodes, "is undone");
        let cause = Cause(index as u32);
        self.faults[index].ended = true;
        match fault.kind {
            FaultKind::Crash { in_restart, .. } => {
                let armed = self.faults[index].countdown.take().is_some();
                for node in nodes.iter() {
                    if armed {
                        self.disarm(node);
                    }
                    if !self.host(node).is_up() && !self.held_down(node) {
                        self.start_node(node, in_restart);
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
    pub(super) fn held_down(&self, node: NodeId) -> bool {
        self.is_struck(node, |kind| matches!(kind, FaultKind::Crash { .. }))
    }

    /// Whether a fault of a kind has struck a node and goes on.
    pub(super) fn is_struck(&self, node: NodeId, which: impl Fn(&FaultKind) -> bool) -> bool {
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
    pub(super) fn disarm(&mut self, node: NodeId) {
        self.host_mut(node).disarm_crash();
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
