//! Drawing the copyset of a record.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{NodeId, NodeSet, Rng, Timestamp};
use serde::{Deserialize, Serialize};

use super::shuffle_by_weight;

/// How the copysets of a log are drawn. Each is a minimal write quorum.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CopysetSelector {
    /// For each record anew: all nodes have the same chance.
    #[default]
    Random,
    /// For each record anew: nodes have a chance in proportion to their weights.
    Weighted {
        /// The weights; 1, if a node has none here. A node of weight 0 is taken only where nothing
        /// goes without it.
        weights: BTreeMap<NodeId, u32>,
    },
    /// The same copyset for a block of records: fewer different copysets, and so a smaller chance that
    /// the loss of some nodes hits all copies of any record; and longer runs of neighbours on a disk.
    Sticky {
        /// A block has so many records at most.
        records: u32,
        /// A block lasts so long at most.
        lasts: Duration,
    },
}

/// What a selector remembers from record to record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Copysets {
    block: Option<Block>,
}

/// Records that share a copyset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Block {
    copyset: NodeSet,
    /// So many records more.
    room: u32,
    until: Timestamp,
}

impl Copysets {
    /// The copyset of the next record, with nodes of `avoid` only where there is none without them.
    pub(crate) fn draw(
        &mut self,
        selector: &CopysetSelector,
        quorums: &QuorumSystem,
        avoid: NodeSet,
        now: Timestamp,
        rng: &mut Rng,
    ) -> NodeSet {
        match selector {
            CopysetSelector::Random => random(quorums, avoid, rng),
            CopysetSelector::Weighted { weights } => weighted(quorums, avoid, weights, rng),
            CopysetSelector::Sticky { records, lasts } => {
                let usable = |block: &Block| {
                    block.room > 0
                        && block.until > now
                        && block.copyset.intersection(avoid).is_empty()
                };
                let mut block = match self.block.filter(usable) {
                    Some(block) => block,
                    None => Block {
                        copyset: random(quorums, avoid, rng),
                        room: (*records).max(1),
                        until: now + *lasts,
                    },
                };
                block.room -= 1;
                self.block = Some(block);
                block.copyset
            }
        }
    }
}

/// A random minimal write quorum, with nodes of `avoid` only where there is none without them.
pub(crate) fn random(quorums: &QuorumSystem, avoid: NodeSet, rng: &mut Rng) -> NodeSet {
    let mut nodes: Vec<_> = quorums.nodes().iter().collect();
    rng.shuffle(&mut nodes);
    first_quorum(quorums, avoid, nodes)
}

/// The same by weight.
fn weighted(
    quorums: &QuorumSystem,
    avoid: NodeSet,
    weights: &BTreeMap<NodeId, u32>,
    rng: &mut Rng,
) -> NodeSet {
    let mut nodes: Vec<_> = quorums.nodes().iter().collect();
    let weight = |node| weights.get(&node).copied().unwrap_or(1);
    shuffle_by_weight(&mut nodes, weight, rng);
    first_quorum(quorums, avoid, nodes)
}

/// The minimal write quorum that has the first nodes of an order, those of `avoid` last.
fn first_quorum(quorums: &QuorumSystem, avoid: NodeSet, mut nodes: Vec<NodeId>) -> NodeSet {
    nodes.sort_by_key(|&node| avoid.contains(node));
    let mut copyset = NodeSet::EMPTY;
    for &node in &nodes {
        if quorums.is_write_quorum(copyset) {
            break;
        }
        copyset.insert(node);
    }
    // Not every node that came was needed; the avoided go first.
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
    use std::collections::BTreeSet;

    use hstore_core::quorum::samples::{LARGE, SMALL, random_systems};
    use hstore_core::quorum::{MINIMAL_MAX, Names};

    use super::*;

    fn systems() -> Vec<QuorumSystem> {
        let named = SMALL.iter().chain(&LARGE);
        let named = named.map(|it| QuorumSystem::parse(it.text, &mut Names::open()));
        let named = named.map(|it| it.expect("samples are systems"));
        let random = random_systems(7, 200).into_iter().map(|it| it.1);
        named.chain(random).collect()
    }

    fn selectors(rng: &mut Rng) -> [CopysetSelector; 3] {
        [
            CopysetSelector::Random,
            CopysetSelector::Weighted {
                weights: (0..9).map(|n| (NodeId(n), rng.below(4) as u32)).collect(),
            },
            CopysetSelector::Sticky {
                records: rng.below(5) as u32,
                lasts: Duration::from_millis(rng.below(50)),
            },
        ]
    }

    /// Whatever is wished for: every system, every selector, any nodes avoided.
    #[test]
    fn copysets_are_minimal_write_quorums_and_avoid_whom_they_can() {
        let mut rng = Rng::from_seed(1);
        let (mut avoided, mut forced) = (0, 0);
        for quorums in systems() {
            for selector in selectors(&mut rng) {
                let mut copysets = Copysets::default();
                for round in 0..60_u64 {
                    let nodes = quorums.nodes().iter();
                    let avoid: NodeSet = nodes.filter(|_| rng.chance(0.3)).collect();
                    let now = Timestamp::from_millis(10 * round);
                    let copyset = copysets.draw(&selector, &quorums, avoid, now, &mut rng);
                    assert!(quorums.is_write_quorum(copyset), "{copyset} of {quorums}");
                    for node in copyset.iter() {
                        let without = copyset.difference(NodeSet::only(node));
                        assert!(!quorums.is_write_quorum(without), "{copyset} of {quorums}");
                    }
                    let others = quorums.nodes().difference(avoid);
                    if quorums.is_write_quorum(others) {
                        avoided += 1;
                        assert!(copyset.is_subset(others), "{copyset} has one of {avoid}");
                    } else {
                        forced += 1;
                    }
                }
            }
        }
        assert!(avoided > 1_000 && forced > 1_000, "{avoided} {forced}");
    }

    #[test]
    fn all_minimal_write_quorums_are_drawn() {
        let mut rng = Rng::from_seed(2);
        for quorums in systems() {
            let all = quorums.minimal_write_quorums(MINIMAL_MAX).expect("few");
            let drawn: BTreeSet<NodeSet> = (0..100 * all.len())
                .map(|_| random(&quorums, NodeSet::EMPTY, &mut rng))
                .collect();
            assert_eq!(drawn.into_iter().collect::<Vec<_>>(), all, "{quorums}");
        }
    }

    #[test]
    fn weights_are_chances() {
        let quorums = QuorumSystem::flat(5, 1).expect("valid");
        let weights = [1, 2, 3, 4, 0].into_iter().enumerate();
        let weights = weights
            .map(|(n, weight)| (NodeId(n as u8), weight))
            .collect();
        let mut rng = Rng::from_seed(3);
        let mut counts = [0_u32; 5];
        for _ in 0..10_000 {
            let copyset = weighted(&quorums, NodeSet::EMPTY, &weights, &mut rng);
            for node in copyset.iter() {
                counts[usize::from(node.0)] += 1;
            }
        }
        assert_eq!(counts[4], 0);
        for (node, count) in counts.iter().take(4).enumerate() {
            let expected = 1_000 * (node as u32 + 1);
            assert!(count.abs_diff(expected) < 200, "{counts:?}");
        }
        // Nothing goes without the node that has no weight.
        let all = QuorumSystem::flat(5, 5).expect("valid");
        assert_eq!(weighted(&all, NodeSet::EMPTY, &weights, &mut rng).len(), 5);
    }

    #[test]
    fn a_sticky_copyset_changes_when_its_block_is_full_or_old_or_a_node_of_it_is_avoided() {
        let quorums = QuorumSystem::flat(9, 2).expect("valid");
        let selector = CopysetSelector::Sticky {
            records: 10,
            lasts: Duration::from_millis(100),
        };
        let mut rng = Rng::from_seed(4);
        let mut copysets = Copysets::default();
        let mut draw = |avoid, ms| {
            let now = Timestamp::from_millis(ms);
            copysets.draw(&selector, &quorums, avoid, now, &mut rng)
        };
        let first = draw(NodeSet::EMPTY, 0);
        for _ in 1..10 {
            assert_eq!(draw(NodeSet::EMPTY, 99), first);
        }
        let second = draw(NodeSet::EMPTY, 99);
        assert_ne!(second, first, "ten records are a block");
        assert_eq!(draw(first.difference(second), 198), second);
        let third = draw(NodeSet::EMPTY, 199);
        assert_ne!(third, second, "a block lasts 100 ms");
        let one = third.iter().next().map_or(NodeSet::EMPTY, NodeSet::only);
        let fourth = draw(one, 199);
        assert!(fourth.intersection(one).is_empty());
        assert_eq!(
            draw(NodeSet::EMPTY, 199),
            fourth,
            "and stays when it is no longer avoided"
        );
    }
}
