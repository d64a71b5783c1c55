//! Drawing the copyset of a record.

use hstore_core::quorum::QuorumSystem;
use hstore_core::{NodeSet, Rng};

/// A random minimal write quorum, with nodes of `avoid` only where there is none without them.
pub(super) fn draw(quorums: &QuorumSystem, avoid: NodeSet, rng: &mut Rng) -> NodeSet {
    let mut nodes: Vec<_> = quorums.nodes().iter().collect();
    rng.shuffle(&mut nodes);
    nodes.sort_by_key(|&node| avoid.contains(node));
    let mut copyset = NodeSet::EMPTY;
    for &node in &nodes {
        if quorums.is_write_quorum(copyset) {
            break;
        }
        copyset.insert(node);
    }
    // Failure domains may have left a node that is not needed; the avoided go first.
    for &node in nodes.iter().rev() {
        let without = copyset.difference(NodeSet::only(node));
        if quorums.is_write_quorum(without) {
            copyset = without;
        }
    }
    copyset
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hstore_core::NodeId;
    use hstore_core::quorum::{Location, Replication};

    use super::*;

    #[test]
    fn copysets_are_minimal_write_quorums_and_avoid_whom_they_can() {
        let locations: BTreeMap<_, _> = (0..9)
            .map(|n| {
                let rack = u16::from(n / 3);
                (NodeId(n), Location { region: 0, rack })
            })
            .collect();
        let replication = Replication {
            racks: 2,
            ..Replication::copies(3)
        };
        let quorums = QuorumSystem::new(locations, replication).expect("valid");
        let mut rng = Rng::from_seed(1);
        let mut seen = std::collections::BTreeSet::new();
        for round in 0..2000 {
            let avoid: NodeSet = (0..9)
                .filter(|n| round >> n & 1 == 1 && round % 3 == 0)
                .map(NodeId)
                .collect();
            let copyset = draw(&quorums, avoid, &mut rng);
            assert!(quorums.is_write_quorum(copyset));
            for node in copyset.iter() {
                let without = copyset.difference(NodeSet::only(node));
                assert!(
                    !quorums.is_write_quorum(without),
                    "{copyset} is not minimal"
                );
            }
            let others = quorums.nodes().difference(avoid);
            if quorums.is_write_quorum(others) {
                assert!(copyset.is_subset(others), "{copyset} has one of {avoid}");
            }
            seen.insert(copyset);
        }
        assert_eq!(seen.len(), 81, "all valid copysets are drawn");
    }
}
