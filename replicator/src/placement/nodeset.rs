//! Choosing the nodeset of a log out of a cluster.
//!
//! Pure: the same nodes and the same random source give the same nodeset on every node. Nodes are
//! taken in proportion to their weights, and evenly over regions and, in these, over racks, as far as
//! there are nodes: what one domain takes down with it is then as little as can be.

use std::collections::BTreeMap;

use hstore_core::quorum::{Location, QuorumError, QuorumSystem, Replication};
use hstore_core::{NodeId, NodeSet, Rng};

use super::{copyset, shuffle_by_weight};

/// A node that may be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Where it stands.
    pub location: Location,
    /// How much it takes, compared with others; a node of weight 0 is never chosen.
    pub weight: u32,
}

/// Why there is no nodeset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodesetError {
    /// There are not so many nodes.
    #[error("a nodeset of {size} nodes is asked for, and {present} have a weight")]
    TooFewNodes {
        /// Nodes asked for.
        size: usize,
        /// Nodes that may be chosen.
        present: usize,
    },
    /// So few nodes cannot carry the replication.
    #[error("{replication} need a nodeset of at least {needed} nodes, not of {size}")]
    TooSmall {
        /// Nodes asked for.
        size: usize,
        /// Nodes needed.
        needed: usize,
        /// What for.
        replication: Replication,
    },
    /// Not even all nodes can carry the replication.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
}

/// Chooses `size` nodes that can carry `replication`.
///
/// # Errors
/// If there are none.
pub fn choose(
    nodes: &BTreeMap<NodeId, Candidate>,
    size: usize,
    replication: Replication,
    rng: &mut Rng,
) -> Result<NodeSet, NodesetError> {
    let eligible: BTreeMap<NodeId, Candidate> = nodes
        .iter()
        .filter(|it| it.1.weight > 0)
        .map(|(&node, &candidate)| (node, candidate))
        .collect();
    if eligible.len() < size {
        return Err(NodesetError::TooFewNodes {
            size,
            present: eligible.len(),
        });
    }
    let locations = eligible.iter().map(|(&node, it)| (node, it.location));
    let all = QuorumSystem::new(locations.collect(), replication)?;
    let mut order: Vec<NodeId> = eligible.keys().copied().collect();
    shuffle_by_weight(&mut order, |node| eligible[&node].weight, rng);
    let spread = spread(&order, &eligible, size, NodeSet::EMPTY);
    if all.is_write_quorum(spread) {
        return Ok(spread);
    }
    // Regions were filled evenly and racks came short: begin with what is needed.
    let quorum = copyset::random(&all, NodeSet::EMPTY, rng);
    if quorum.len() > size {
        return Err(NodesetError::TooSmall {
            size,
            needed: quorum.len(),
            replication,
        });
    }
    Ok(self::spread(&order, &eligible, size, quorum))
}

/// Fills `chosen` up to `size` nodes: each time the first node in the order that stands in a region with
/// the fewest chosen nodes, and there in a rack with the fewest.
fn spread(
    order: &[NodeId],
    candidates: &BTreeMap<NodeId, Candidate>,
    size: usize,
    mut chosen: NodeSet,
) -> NodeSet {
    while chosen.len() < size {
        let crowd = |node: NodeId| {
            let at = candidates[&node].location;
            let others = chosen.iter().map(|other| candidates[&other].location);
            let near: Vec<Location> = others.filter(|it| it.region == at.region).collect();
            let rack = near.iter().filter(|it| it.rack == at.rack).count();
            (near.len(), rack)
        };
        let free = order.iter().filter(|node| !chosen.contains(**node));
        // The first of equals.
        let next = free.copied().min_by_key(|&node| crowd(node));
        chosen.insert(next.expect("there are enough candidates"));
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(count: u8, racks: u16, regions: u16, rng: &mut Rng) -> BTreeMap<NodeId, Candidate> {
        let candidate = |n: u8, rng: &mut Rng| Candidate {
            location: Location {
                region: rng.below(u64::from(regions)) as u16,
                rack: rng.below(u64::from(racks)) as u16,
            },
            weight: if n % 5 == 4 {
                0
            } else {
                rng.within(1..=4) as u32
            },
        };
        (0..count).map(|n| (NodeId(n), candidate(n, rng))).collect()
    }

    /// Any cluster, any replication: a nodeset is found if all nodes can carry it and the size allows it.
    #[test]
    fn nodesets_carry_their_replication() {
        let mut rng = Rng::from_seed(1);
        let (mut chosen, mut refused) = (0, 0);
        for _ in 0..3_000 {
            let nodes = cluster(rng.within(1..=15) as u8, 3, 3, &mut rng);
            let replication = Replication {
                copies: rng.within(1..=4) as u8,
                racks: rng.within(1..=4) as u8,
                regions: rng.within(1..=2) as u8,
            };
            let size = rng.within(1..=8) as usize;
            let weighty = nodes.iter().filter(|it| it.1.weight > 0);
            let weighty: BTreeMap<_, _> = weighty.map(|(node, it)| (*node, it.location)).collect();
            let needed = [replication.copies, replication.racks, replication.regions];
            let needed = usize::from(*needed.iter().max().expect("three"));
            let possible = size >= needed
                && size <= weighty.len()
                && QuorumSystem::new(weighty.clone(), replication).is_ok();
            match choose(&nodes, size, replication, &mut rng) {
                Ok(set) => {
                    chosen += 1;
                    assert!(possible);
                    assert_eq!(set.len(), size);
                    let locations = set.iter().map(|node| (node, weighty[&node])).collect();
                    assert!(QuorumSystem::new(locations, replication).is_ok(), "{set}");
                }
                Err(error) => {
                    refused += 1;
                    assert!(!possible, "{error}: {nodes:?}, {size}, {replication}");
                }
            }
        }
        assert!(chosen > 500 && refused > 500, "{chosen} {refused}");
    }

    #[test]
    fn nodes_spread_evenly_and_by_weight() {
        let mut rng = Rng::from_seed(2);
        let place = |n: u8| Candidate {
            location: Location {
                region: 0,
                rack: u16::from(n / 4),
            },
            weight: if n.is_multiple_of(4) { 3 } else { 1 },
        };
        let nodes: BTreeMap<_, _> = (0..12).map(|n| (NodeId(n), place(n))).collect();
        let mut counts = [0_u32; 12];
        for _ in 0..3_000 {
            let set = choose(&nodes, 5, Replication::copies(3), &mut rng).expect("enough");
            let in_rack = |rack| set.iter().filter(|node| node.0 / 4 == rack).count();
            let mut racks = [in_rack(0), in_rack(1), in_rack(2)];
            racks.sort_unstable();
            assert_eq!(racks, [1, 2, 2], "{set}");
            for node in set.iter() {
                counts[usize::from(node.0)] += 1;
            }
        }
        let (heavy, light) = (
            counts[0] + counts[4] + counts[8],
            counts[1] + counts[5] + counts[9],
        );
        assert!(heavy > 3 * light / 2, "{counts:?}");
    }

    #[test]
    fn what_cannot_be_is_said() {
        let mut rng = Rng::from_seed(3);
        let node = Candidate {
            location: Location::default(),
            weight: 1,
        };
        let nodes: BTreeMap<_, _> = (0..4).map(|n| (NodeId(n), node)).collect();
        let error = |size, replication| {
            let error = choose(&nodes, size, replication, &mut Rng::from_seed(3));
            error.expect_err("cannot be").to_string()
        };
        let copies = Replication::copies;
        assert_eq!(
            error(5, copies(2)),
            "a nodeset of 5 nodes is asked for, and 4 have a weight"
        );
        assert_eq!(
            error(2, copies(3)),
            "3 copies need a nodeset of at least 3 nodes, not of 2"
        );
        let racks = Replication {
            racks: 2,
            ..copies(2)
        };
        assert_eq!(
            error(3, racks),
            "2 Rack domains are asked for, the nodeset has 1"
        );
        assert!(choose(&nodes, 4, copies(4), &mut rng).is_ok());
    }
}
