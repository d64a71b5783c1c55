//! Where records go: which nodes an epoch may use, which of them take a record, and which are avoided.
//!
//! | module | what it decides |
//! |---|---|
//! | [`nodeset`] | the nodeset of a log, out of a cluster: by weight, spread over failure domains |
//! | [`copyset`] | the copyset of a record, out of a nodeset: at random, by weight, or sticky |
//! | [`grey`] | the nodes to avoid for a while: those that fail or are slow |
//!
//! None of it bears on safety: a copyset is a minimal write quorum whatever was wished for, and nodes
//! are avoided only where there is a write quorum without them.

pub mod copyset;
pub(crate) mod grey;
pub mod nodeset;

use hstore_core::{NodeId, Rng};

/// Brings nodes into an order in which each comes next with a probability in proportion to its weight.
/// Nodes without weight come last.
fn shuffle_by_weight(nodes: &mut [NodeId], weight: impl Fn(NodeId) -> u32, rng: &mut Rng) {
    let weight = |node| u64::from(weight(node));
    let mut left: u64 = nodes.iter().map(|&node| weight(node)).sum();
    for next in 0..nodes.len() {
        if left == 0 {
            rng.shuffle(&mut nodes[next..]);
            return;
        }
        let mut drawn = rng.below(left);
        let chosen = nodes[next..].iter().position(|&node| {
            let hit = drawn < weight(node);
            drawn = drawn.saturating_sub(weight(node));
            hit
        });
        let chosen = next + chosen.expect("what is left of the weight is somebody's");
        left -= weight(nodes[chosen]);
        nodes.swap(next, chosen);
    }
}
