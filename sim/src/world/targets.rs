//! Whom faults strike: roles become nodes when a fault strikes, from what the cluster is then.

use std::collections::BTreeMap;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{Epoch, LogId, NodeId, NodeSet, Rng};

use super::{Next, World};
use crate::plan::Target;

/// What is known of roles beside what nodes tell when they are asked.
#[derive(Debug, Default)]
pub(super) struct Roles {
    /// What the newest epoch of each log is made of.
    reigns: BTreeMap<LogId, (Epoch, QuorumSystem)>,
    /// Who recovers a log.
    coordinators: BTreeMap<LogId, NodeId>,
}

impl Roles {
    /// An epoch has begun.
    pub(super) fn reign(&mut self, log: LogId, epoch: Epoch, quorums: &QuorumSystem) {
        let known = self.reigns.get(&log);
        if known.is_none_or(|(newest, _)| *newest < epoch) {
            self.reigns.insert(log, (epoch, quorums.clone()));
        }
    }

    /// A node is done with recovering a log.
    pub(super) fn recovered(&mut self, node: NodeId, log: LogId) {
        if self.coordinators.get(&log) == Some(&node) {
            self.coordinators.remove(&log);
        }
    }
}

impl World {
    pub(super) fn resolve(&self, target: Target) -> NodeSet {
        let all = || -> NodeSet { self.config.nodes.keys().copied().collect() };
        match target {
            Target::Node(node) => NodeSet::only(node),
            Target::Nodes(nodes) => nodes,
            Target::Everyone => all(),
            Target::Sequencer(log) => self.sequencer(log).map_or(NodeSet::EMPTY, NodeSet::only),
            Target::Rack(rack) => {
                let nodes = self.config.nodes.iter();
                let there = nodes.filter(|(_, location)| location.rack == rack);
                there.map(|(&node, _)| node).collect()
            }
            Target::WriteQuorum { log, pick } => {
                self.roles
                    .reigns
                    .get(&log)
                    .map_or(NodeSet::EMPTY, |(_, quorums)| {
                        let enough = |set| quorums.is_write_quorum(set);
                        drawn_minimal(quorums.nodes(), pick, enough)
                    })
            }
            Target::MetadataMajority { pick } => {
                let metadata = self.config.metadata;
                let enough = |set: NodeSet| set.len() > metadata.len() / 2;
                drawn_minimal(metadata, pick, enough)
            }
            Target::LastCopyset(log) => {
                let newest = |node| self.host(node).newest_durable(log);
                let Some(last) = all().iter().filter_map(newest).max() else {
                    return NodeSet::EMPTY;
                };
                let holders = all().iter().filter(|&node| newest(node) == Some(last));
                holders.collect()
            }
            Target::Coordinator(log) => {
                let coordinator = self.roles.coordinators.get(&log);
                let at_work = coordinator.filter(|node| self.host(**node).is_up());
                at_work.map_or(NodeSet::EMPTY, |node| NodeSet::only(*node))
            }
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

    /// A node begins to recover a log: faults that waited for one strike.
    pub(super) fn recovery_began(&mut self, node: NodeId, log: LogId) {
        self.roles.coordinators.insert(log, node);
        for index in 0..self.faults.len() {
            let waits = self.faults[index].waits && self.faults[index].nodes.is_empty();
            if waits && self.plan.faults[index].target == Target::Coordinator(log) {
                self.faults[index].waits = false;
                self.schedule(self.now, Next::FaultBegins(index));
            }
        }
    }
}

/// A set of these nodes that is enough and of which no node can be spared; empty if all are not enough.
fn drawn_minimal(nodes: NodeSet, pick: u64, enough: impl Fn(NodeSet) -> bool) -> NodeSet {
    if !enough(nodes) {
        return NodeSet::EMPTY;
    }
    let mut order: Vec<NodeId> = nodes.iter().collect();
    Rng::from_seed(pick).shuffle(&mut order);
    order.into_iter().fold(nodes, |set, node| {
        let without = set.difference(NodeSet::only(node));
        if enough(without) { without } else { set }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_quorum_is_minimal_and_every_one_is_drawn() {
        let quorums = QuorumSystem::flat(5, 3).expect("valid");
        let mut drawn = std::collections::BTreeSet::new();
        for pick in 0..200 {
            let set = drawn_minimal(quorums.nodes(), pick, |set| quorums.is_write_quorum(set));
            assert!(quorums.is_write_quorum(set) && set.len() == 3);
            drawn.insert(set);
        }
        assert_eq!(drawn.len(), 10, "three of five");
        assert_eq!(drawn_minimal(quorums.nodes(), 1, |_| false), NodeSet::EMPTY);
    }
}
