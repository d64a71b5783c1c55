//! The fault atlas: which damage to durable data may strike, and what has struck.
//!
//! A power failure takes nothing that was synced, and a partition takes nothing at all: of such faults
//! there may be any number. *Damage* is what takes something that the product was promised to keep: a
//! flipped bit, or copies that a log under `memory` lets a node keep unsynced. A protocol survives so much
//! of it and no more. The atlas knows what, and refuses the rest, so that a red run is always a bug.
//!
//! A set of damaged nodes is tolerated by a quorum system if
//!
//! - it contains no write quorum: every record that was acknowledged has a copy elsewhere; so no two
//!   copies of a record that are all it has are ever damaged;
//! - the other nodes are a seal quorum: recovery can tell what was never stored.
//!
//! It is judged when damage would strike, for every quorum system that an epoch of the log has had so
//! far or is planned to have, whatever the epoch. Damage counts for good: a repair may come, and is not waited for. All that
//! errs on the side of too little damage.
//!
//! A node whose store cannot be opened any more is *retired*: it is down for the rest of the run, as long
//! as nothing rebuilds it. Enough others must remain for the log to work: a write quorum of each system
//! and a majority of the metadata nodes.

use std::collections::BTreeMap;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{Epoch, LogId, NodeId, NodeSet};

/// What is damaged.
#[derive(Clone, Debug)]
pub struct FaultAtlas {
    metadata: NodeSet,
    /// All quorum systems that epochs of a log have had.
    systems: BTreeMap<LogId, Vec<QuorumSystem>>,
    /// Nodes that lost data of an epoch.
    lost: BTreeMap<(LogId, Epoch), NodeSet>,
    /// Nodes whose store is damaged as a whole.
    retired: NodeSet,
    /// Nodes about to lose what they have in memory: a power failure waits for them.
    armed: NodeSet,
    /// The last clean epoch of each log.
    clean: BTreeMap<LogId, Epoch>,
    refused: u64,
}

impl FaultAtlas {
    /// Nothing is damaged, no epoch is known.
    #[must_use]
    pub fn new(metadata: NodeSet) -> Self {
        Self {
            metadata,
            systems: BTreeMap::new(),
            lost: BTreeMap::new(),
            retired: NodeSet::EMPTY,
            armed: NodeSet::EMPTY,
            clean: BTreeMap::new(),
            refused: 0,
        }
    }

    /// How often damage was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Nodes whose store is damaged as a whole.
    #[must_use]
    pub fn retired(&self) -> NodeSet {
        self.retired
    }

    /// Nodes that lost, or may be about to lose, data of an epoch.
    #[must_use]
    pub fn lost(&self, log: LogId, epoch: Epoch) -> NodeSet {
        let lost = self.lost.get(&(log, epoch)).copied().unwrap_or_default();
        lost.union(self.retired).union(self.armed)
    }

    /// An epoch of a log has, or may have, this quorum system.
    pub fn learn(&mut self, log: LogId, quorums: &QuorumSystem) {
        let known = self.systems.entry(log).or_default();
        if !known.contains(quorums) {
            known.push(quorums.clone());
        }
    }

    /// The register counts an epoch as clean.
    pub fn learn_clean(&mut self, log: LogId, epoch: Epoch) {
        let clean = self.clean.entry(log).or_default();
        *clean = (*clean).max(epoch);
    }

    /// Whether the register is known to count an epoch as clean.
    #[must_use]
    pub fn is_clean(&self, log: LogId, epoch: Epoch) -> bool {
        self.clean.get(&log).is_some_and(|clean| *clean >= epoch)
    }

    /// Whether `node` may lose data of these epochs; if so it has, from now on.
    pub fn lose(
        &mut self,
        node: NodeId,
        epochs: impl IntoIterator<Item = (LogId, Epoch), IntoIter: Clone>,
    ) -> bool {
        let epochs = epochs.into_iter();
        let tolerated = epochs.clone().all(|(log, epoch)| {
            let damaged = self.lost(log, epoch).union(NodeSet::only(node));
            self.tolerates(log, damaged)
        });
        if !tolerated {
            self.refused += 1;
            return false;
        }
        self.note_lost(node, epochs);
        true
    }

    /// `node` has lost data of these epochs: what struck it was granted before.
    pub fn note_lost(&mut self, node: NodeId, epochs: impl IntoIterator<Item = (LogId, Epoch)>) {
        for key in epochs {
            self.lost.entry(key).or_default().insert(node);
        }
    }

    /// Whether `node` may lose what it has in memory at some time from now on, until
    /// [`FaultAtlas::disarm`]; `epochs` are those that it has there now.
    pub fn arm(
        &mut self,
        node: NodeId,
        epochs: impl IntoIterator<Item = (LogId, Epoch), IntoIter: Clone>,
    ) -> bool {
        let damaged = self.retired.union(self.armed).union(NodeSet::only(node));
        let logs: Vec<LogId> = self.systems.keys().copied().collect();
        // Of the epochs that begin until then nothing is known yet.
        if logs.iter().any(|&log| !self.tolerates(log, damaged)) {
            self.refused += 1;
            return false;
        }
        if !self.lose(node, epochs) {
            return false;
        }
        self.armed.insert(node);
        true
    }

    /// The power failure that `node` was armed for has struck, or is off.
    pub fn disarm(&mut self, node: NodeId) {
        self.armed.remove(node);
    }

    /// Whether the whole store of `node` may be damaged; if so it is, from now on.
    pub fn retire(&mut self, node: NodeId) -> bool {
        let retired = self.retired.union(NodeSet::only(node));
        let left = self.metadata.difference(retired);
        let tolerated = left.len() > self.metadata.len() / 2
            && self.systems.iter().all(|(&log, systems)| {
                let works = |system: &QuorumSystem| {
                    system.is_write_quorum(system.nodes().difference(retired))
                };
                systems.iter().all(works) && self.tolerates(log, retired.union(self.armed))
            })
            && self.lost.iter().all(|(&(log, _), lost)| {
                self.tolerates(log, lost.union(retired).union(self.armed))
            });
        if !tolerated {
            self.refused += 1;
            return false;
        }
        self.retired = retired;
        true
    }

    fn tolerates(&self, log: LogId, damaged: NodeSet) -> bool {
        let systems = self.systems.get(&log).map_or(&[][..], Vec::as_slice);
        systems.iter().all(|system| {
            !system.is_write_quorum(damaged)
                && system.is_seal_quorum(system.nodes().difference(damaged))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: LogId = LogId(1);
    const E1: (LogId, Epoch) = (LOG, Epoch(1));
    const E2: (LogId, Epoch) = (LOG, Epoch(2));

    fn atlas(copies: u8) -> FaultAtlas {
        let mut atlas = FaultAtlas::new((0..3).map(NodeId).collect());
        atlas.learn(LOG, &QuorumSystem::flat(5, copies).expect("valid"));
        atlas
    }

    #[test]
    fn damaged_nodes_contain_no_write_quorum() {
        let mut atlas = atlas(2);
        assert!(atlas.lose(NodeId(0), [E1]));
        assert!(!atlas.lose(NodeId(1), [E1]), "both copies of a record");
        assert!(atlas.lose(NodeId(0), [E1]), "what is lost already");
        assert_eq!(atlas.refused(), 1);
        assert_eq!(atlas.lost(LOG, Epoch(1)), NodeSet::only(NodeId(0)));
    }

    #[test]
    fn epochs_are_damaged_by_themselves() {
        let mut atlas = atlas(2);
        assert!(atlas.lose(NodeId(0), [E1]));
        assert!(atlas.lose(NodeId(1), [E2]));
        assert!(!atlas.lose(NodeId(2), [(LOG, Epoch(3)), E1]), "one of them");
        assert_eq!(atlas.lost(LOG, Epoch(3)), NodeSet::EMPTY, "all or none");
    }

    #[test]
    fn the_others_are_a_seal_quorum() {
        let mut atlas = atlas(3);
        assert!(atlas.lose(NodeId(0), [E1]) && atlas.lose(NodeId(1), [E1]));
        let left: NodeSet = (2..5).map(NodeId).collect();
        assert!(
            QuorumSystem::flat(5, 3)
                .expect("valid")
                .is_seal_quorum(left)
        );
        assert!(!atlas.lose(NodeId(2), [E1]));
    }

    #[test]
    fn every_quorum_system_of_the_log_counts_also_later_ones() {
        let mut atlas = atlas(3);
        assert!(atlas.lose(NodeId(0), [E1]));
        atlas.learn(LOG, &QuorumSystem::flat(4, 2).expect("valid"));
        assert!(!atlas.lose(NodeId(1), [E1]));
    }

    #[test]
    fn what_is_armed_counts_for_all_epochs() {
        let mut atlas = atlas(2);
        assert!(atlas.arm(NodeId(0), [E1]));
        assert!(
            !atlas.lose(NodeId(1), [E2]),
            "it may begin before the crash"
        );
        atlas.disarm(NodeId(0));
        assert!(atlas.lose(NodeId(1), [E2]));
        assert!(
            !atlas.lose(NodeId(1), [E1]),
            "granted is lost, for all anyone knows"
        );
    }

    #[test]
    fn retired_nodes_leave_enough_to_work_with() {
        // 4 of 5 copies: two nodes' data can be spared, but not their work.
        let mut four = atlas(4);
        assert!(four.retire(NodeId(3)));
        assert!(!four.retire(NodeId(4)));
        let mut two = atlas(3);
        assert!(two.retire(NodeId(0)));
        assert!(!two.retire(NodeId(1)), "a majority of three metadata nodes");
        assert!(two.retire(NodeId(4)));
        assert!(!two.lose(NodeId(1), [E1]), "retired nodes lost everything");
    }

    #[test]
    fn a_retired_node_counts_with_what_others_lost() {
        let mut atlas = atlas(2);
        assert!(atlas.lose(NodeId(1), [E1]));
        assert!(!atlas.retire(NodeId(4)));
        assert_eq!(atlas.retired(), NodeSet::EMPTY);
    }
}
