//! Nodes to avoid for a while: those that failed a wave, and those much slower than the others.
//!
//! Suspicion, nothing more: the list says whom a copyset does without if it can. It has an entry for a
//! node of the nodeset at most, and forgets.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{NodeId, NodeSet, Timestamp};

/// A node is slow if its answers take so many times as long as the median of all nodes.
pub(crate) const SLOW_FACTOR: u32 = 4;
/// Among fewer nodes no median means anything.
const KNOWN_MIN: usize = 3;
/// The share of the newest answer in a node's average is one in so many.
const SMOOTHING: u32 = 4;

/// Whom to avoid.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct GreyList {
    /// Until when.
    until: BTreeMap<NodeId, Timestamp>,
    /// How long a node's answers take, averaged from zero: one slow answer makes no slow node.
    took: BTreeMap<NodeId, Duration>,
}

impl GreyList {
    /// The nodes to avoid.
    pub(crate) fn nodes(&self) -> NodeSet {
        self.until.keys().copied().collect()
    }

    /// Forgets what is over. Nodes that were slow begin anew.
    pub(crate) fn on_time(&mut self, now: Timestamp) {
        let took = &mut self.took;
        self.until.retain(|node, until| {
            let stays = *until > now;
            if !stays {
                took.remove(node);
            }
            stays
        });
    }

    /// A node failed a wave.
    pub(crate) fn failed(&mut self, node: NodeId, until: Timestamp) {
        self.until.insert(node, until);
    }

    /// A node answered a wave, `took` after it was sent. True if it is avoided from now on: its answers
    /// take longer than `floor` and than [`SLOW_FACTOR`] times the median, and the nodes that are left
    /// have a write quorum.
    pub(crate) fn answered(
        &mut self,
        node: NodeId,
        took: Duration,
        floor: Duration,
        until: Timestamp,
        quorums: &QuorumSystem,
    ) -> bool {
        if took.is_zero() {
            self.took.remove(&node);
            return false;
        }
        let average = self.took.entry(node).or_default();
        *average = *average * (SMOOTHING - 1) / SMOOTHING + took / SMOOTHING;
        let average = *average;
        if average <= floor || self.until.contains_key(&node) {
            return false;
        }
        let mut all: Vec<Duration> = self.took.values().copied().collect();
        if all.len() < KNOWN_MIN {
            return false;
        }
        all.sort_unstable();
        // The lower one of two: half of the nodes may be slow.
        let median = all[(all.len() - 1) / 2];
        let left = quorums.nodes().difference(self.nodes());
        let left = left.difference(NodeSet::only(node));
        if average <= median * SLOW_FACTOR || !quorums.is_write_quorum(left) {
            return false;
        }
        self.until.insert(node, until);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOR: Duration = Duration::from_millis(5);
    const UNTIL: Timestamp = Timestamp::from_millis(500);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    /// Every node answers once, in so many milliseconds; the nodes that are found slow.
    fn round(list: &mut GreyList, quorums: &QuorumSystem, took: &[u64]) -> NodeSet {
        let nodes = took.iter().enumerate().filter(|&(node, took)| {
            list.answered(NodeId(node as u8), ms(*took), FLOOR, UNTIL, quorums)
        });
        nodes.map(|(node, _)| NodeId(node as u8)).collect()
    }

    fn rounds(list: &mut GreyList, quorums: &QuorumSystem, took: &[u64]) -> NodeSet {
        let rounds = (0..20).map(|_| round(list, quorums, took));
        rounds.fold(NodeSet::EMPTY, NodeSet::union)
    }

    #[test]
    fn a_node_far_slower_than_the_median_is_avoided_for_a_while() {
        let quorums = QuorumSystem::flat(5, 3).expect("valid");
        let mut list = GreyList::default();
        assert_eq!(
            rounds(&mut list, &quorums, &[3, 3, 4, 4, 11]),
            NodeSet::EMPTY
        );
        assert_eq!(
            round(&mut list, &quorums, &[3, 3, 4, 4, 15]),
            NodeSet::EMPTY,
            "one slow answer"
        );
        let slow = NodeSet::only(NodeId(4));
        assert_eq!(rounds(&mut list, &quorums, &[3, 3, 4, 4, 30]), slow);
        assert_eq!(list.nodes(), slow);
        list.on_time(ms_at(499));
        assert_eq!(list.nodes(), slow);
        list.on_time(UNTIL);
        assert_eq!(list.nodes(), NodeSet::EMPTY);
        assert_eq!(
            round(&mut list, &quorums, &[3, 3, 4, 4, 30]),
            NodeSet::EMPTY,
            "it begins anew"
        );
    }

    fn ms_at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn where_all_are_slow_none_is() {
        let quorums = QuorumSystem::flat(5, 3).expect("valid");
        let mut list = GreyList::default();
        assert_eq!(
            rounds(&mut list, &quorums, &[90, 100, 110, 120, 200]),
            NodeSet::EMPTY
        );
        // Nor are answers that nobody would wait for.
        let mut list = GreyList::default();
        assert_eq!(
            rounds(&mut list, &quorums, &[1, 1, 1, 1, 5]),
            NodeSet::EMPTY
        );
    }

    #[test]
    fn slowness_leaves_a_write_quorum() {
        for copies in 1..=5 {
            let quorums = QuorumSystem::flat(5, copies).expect("valid");
            let mut list = GreyList::default();
            let slow = rounds(&mut list, &quorums, &[1, 1, 1, 40, 40]);
            assert!(quorums.is_write_quorum(quorums.nodes().difference(slow)));
            assert_eq!(slow.len(), usize::from(5 - copies).min(2));
        }
    }
}
