//! The minimal sets that are enough: those of which no node can be spared.

use super::expr::{Expr, Step};
use super::replication::{Nodeset, Scope};
use crate::node_set::NodeSet;

/// How many minimal sets anyone should ask for: listing them takes time quadratic in their number.
pub const MINIMAL_MAX: usize = 10_000;

/// There are more minimal sets than were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are more than {limit} minimal quorums")]
pub struct TooMany {
    /// How many were asked for.
    pub limit: usize,
}

impl Expr {
    /// All minimal sets that are enough, in order.
    ///
    /// # Errors
    /// If there are more than `limit`, or more than `limit` partial ones have to be kept on the way.
    pub fn minimal(&self, limit: usize) -> Result<Vec<NodeSet>, TooMany> {
        let mut operands: Vec<Operand> = Vec::new();
        for step in self.without_grids().steps() {
            let last = operands.split_off(operands.len() - step.arity());
            let nodes = last.iter().map(|it| it.nodes);
            let nodes = nodes.fold(step.nodes(), NodeSet::union);
            let sets = match step {
                Step::Node(node) => vec![NodeSet::only(*node)],
                Step::Choose { needed, of } => {
                    let weights = vec![1; usize::from(*of)];
                    coalitions(&last, &weights, u64::from(*needed), limit)?
                }
                Step::Weighted { weights, threshold } => {
                    coalitions(&last, weights, *threshold, limit)?
                }
                Step::Grid { .. } => unreachable!("spelled out"),
                Step::Nodeset(nodeset) => copysets(nodeset, limit)?,
            };
            operands.push(Operand { sets, nodes });
        }
        let mut sets = operands.swap_remove(0).sets;
        sets.sort();
        Ok(sets)
    }
}

/// An operand: its minimal sets, and all its nodes.
struct Operand {
    sets: Vec<NodeSet>,
    nodes: NodeSet,
}

/// The minimal sets that satisfy operands of a total weight of at least `threshold`.
fn coalitions(
    operands: &[Operand],
    weights: &[u32],
    threshold: u64,
    limit: usize,
) -> Result<Vec<NodeSet>, TooMany> {
    let mut all = NodeSet::EMPTY;
    let mut apart = true;
    for operand in operands {
        apart &= all.intersection(operand.nodes).is_empty();
        all = all.union(operand.nodes);
    }
    // The heaviest first: whoever then completes a coalition is its lightest member, so that nobody in
    // it can be spared. That holds for nodes too, where no two operands share one.
    let mut order: Vec<(u32, &Operand)> = weights.iter().copied().zip(operands).collect();
    order.sort_by_key(|it| std::cmp::Reverse(it.0));
    let mut to_come: u64 = weights.iter().map(|&weight| u64::from(weight)).sum();
    let mut partial = vec![(0, NodeSet::EMPTY)];
    let mut done: Vec<NodeSet> = Vec::new();
    for (weight, operand) in order {
        let weight = u64::from(weight);
        to_come -= weight;
        let mut next: Vec<(u64, NodeSet)> = Vec::new();
        for &(held, set) in &partial {
            if held + to_come >= threshold {
                next.push((held, set));
            }
            let held = held + weight;
            if held + to_come < threshold {
                continue;
            }
            for more in &operand.sets {
                let set = set.union(*more);
                if held >= threshold {
                    done.push(set);
                } else {
                    next.push((held, set));
                }
                if done.len() + next.len() > limit.saturating_mul(2) {
                    return Err(TooMany { limit });
                }
            }
        }
        if !apart {
            next = undominated(next);
            done = antichain(done);
        }
        partial = next;
    }
    if done.len() > limit {
        return Err(TooMany { limit });
    }
    Ok(done)
}

/// Without those than which another has no less weight with no other nodes.
fn undominated(mut partial: Vec<(u64, NodeSet)>) -> Vec<(u64, NodeSet)> {
    partial.sort_by_key(|(held, set)| (set.len(), std::cmp::Reverse(*held), *set));
    let mut kept: Vec<(u64, NodeSet)> = Vec::new();
    for (held, set) in partial {
        let dominated = |it: &(u64, NodeSet)| it.0 >= held && it.1.is_subset(set);
        if !kept.iter().any(dominated) {
            kept.push((held, set));
        }
    }
    kept
}

/// Those sets that contain no other.
fn antichain(sets: Vec<NodeSet>) -> Vec<NodeSet> {
    let sets = undominated(sets.into_iter().map(|set| (0, set)).collect());
    sets.into_iter().map(|it| it.1).collect()
}

/// The minimal sets that satisfy a replication property.
fn copysets(nodeset: &Nodeset, limit: usize) -> Result<Vec<NodeSet>, TooMany> {
    let nodes: Vec<_> = nodeset.nodes().iter().map(NodeSet::only).collect();
    let mut found = Vec::new();
    // Sets that are not enough yet, and the first node that may be added.
    let mut open = vec![(NodeSet::EMPTY, 0)];
    while let Some((set, first)) = open.pop() {
        for (next, node) in nodes.iter().enumerate().skip(first) {
            let with = set.union(*node);
            // In a minimal set every node brought it closer to some scope's count when it came, in
            // whatever order they came.
            let closer = Scope::ALL.into_iter().any(|scope| {
                let before = nodeset.domains(set, scope);
                before < nodeset.required(scope) && nodeset.domains(with, scope) > before
            });
            if !closer {
                continue;
            }
            if !nodeset.is_satisfied(with) {
                open.push((with, next + 1));
            } else if minimised(with, |it| nodeset.is_satisfied(it)) == with {
                found.push(with);
                if found.len() > limit {
                    return Err(TooMany { limit });
                }
            }
        }
    }
    Ok(found)
}

/// Removes from `set`, lowest first, each node that `enough` can spare.
#[must_use]
pub fn minimised(set: NodeSet, enough: impl Fn(NodeSet) -> bool) -> NodeSet {
    set.iter().fold(set, |set, node| {
        let without = set.difference(NodeSet::only(node));
        if enough(without) { without } else { set }
    })
}
