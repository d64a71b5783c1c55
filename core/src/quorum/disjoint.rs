//! Two sides that are to meet: do they, and if not, who proves it?

use super::expr::{Expr, Step};
use super::minimal::{TooMany, minimised};
use crate::ids::NodeId;
use crate::node_set::NodeSet;

/// So many minimal quorums are few.
const FEW: usize = 1 << 10;
/// How many sets a search looks at before it gives up.
const LOOKS_MAX: usize = 1 << 20;

/// The search was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GaveUp;

/// A minimal quorum of each side that do not meet; `None` if all meet. Exact.
///
/// If one side has few minimal quorums, each is tried: is the other side satisfied without it? Otherwise
/// splits of the nodes into two parts are searched for one whose parts are quorums, one of each side. A
/// branch ends where a part, with all that is undecided, is none. Nodes that both sides treat alike are
/// interchangeable, and only their numbers are tried: thresholds over any number of like nodes cost a
/// handful of looks. At worst this search is exponential in the nodes; it gives up after [`LOOKS_MAX`]
/// looks, a second or so.
pub(super) fn disjoint_pair(
    write: &Expr,
    seal: &Expr,
) -> Result<Option<(NodeSet, NodeSet)>, GaveUp> {
    let part = match by_listing(write, seal) {
        Ok(part) => part,
        Err(TooMany { .. }) => by_splitting(write, seal)?,
    };
    let Some(part) = part else {
        return Ok(None);
    };
    let other = write.nodes().union(seal.nodes()).difference(part);
    Ok(Some((
        minimised(part, |set| write.is_satisfied(set)),
        minimised(other, |set| seal.is_satisfied(set)),
    )))
}

/// A write quorum without which there is a seal quorum, if one side has few minimal quorums.
fn by_listing(write: &Expr, seal: &Expr) -> Result<Option<NodeSet>, TooMany> {
    let all = write.nodes().union(seal.nodes());
    if let Ok(quorums) = write.minimal(FEW) {
        let misses = |it: &NodeSet| seal.is_satisfied(all.difference(*it));
        return Ok(quorums.into_iter().find(misses));
    }
    let quorums = seal.minimal(FEW)?.into_iter();
    let mut rest = quorums.map(|it| all.difference(it));
    Ok(rest.find(|it| write.is_satisfied(*it)))
}

/// The same by search.
fn by_splitting(write: &Expr, seal: &Expr) -> Result<Option<NodeSet>, GaveUp> {
    let all = write.nodes().union(seal.nodes());
    let mut search = Search {
        write,
        seal,
        classes: classes(write, seal),
        looks: 0,
    };
    search.split(0, NodeSet::EMPTY, NodeSet::EMPTY, all)
}

struct Search<'a> {
    write: &'a Expr,
    seal: &'a Expr,
    classes: Vec<Vec<NodeId>>,
    looks: usize,
}

impl Search<'_> {
    /// A write quorum without which there is a seal quorum, that has `with` and not `without`.
    /// `undecided` are the nodes of the classes from `depth` on.
    fn split(
        &mut self,
        depth: usize,
        with: NodeSet,
        without: NodeSet,
        undecided: NodeSet,
    ) -> Result<Option<NodeSet>, GaveUp> {
        self.looks += 1;
        if self.looks > LOOKS_MAX {
            return Err(GaveUp);
        }
        if !self.write.is_satisfied(with.union(undecided))
            || !self.seal.is_satisfied(without.union(undecided))
        {
            return Ok(None);
        }
        let Some(class) = self.classes.get(depth).cloned() else {
            return Ok(Some(with));
        };
        let whole: NodeSet = class.iter().copied().collect();
        let undecided = undecided.difference(whole);
        for count in 0..=class.len() {
            let taken: NodeSet = class.iter().copied().take(count).collect();
            let (with, without) = (with.union(taken), without.union(whole.difference(taken)));
            if let Some(found) = self.split(depth + 1, with, without, undecided)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// The nodes, in groups within which any two may be exchanged without changing a side.
fn classes(write: &Expr, seal: &Expr) -> Vec<Vec<NodeId>> {
    let sides = [write, seal].map(|side| side.without_grids().without_nodesets());
    let same = sides.clone().map(|side| canonical(&side, |node| node));
    let mut classes: Vec<Vec<NodeId>> = Vec::new();
    for node in write.nodes().union(seal.nodes()).iter() {
        // Exchanging is transitive: one member speaks for its class.
        let class = classes.iter_mut().find(|class| {
            let other = class[0];
            let exchanged = |it| match it {
                _ if it == node => other,
                _ if it == other => node,
                _ => it,
            };
            let changed = sides.iter().zip(&same);
            changed
                .into_iter()
                .all(|(side, same)| canonical(side, exchanged) == *same)
        });
        match class {
            Some(class) => class.push(node),
            None => classes.push(vec![node]),
        }
    }
    classes
}

/// A form that is the same for expressions that differ in the order of operands alone.
fn canonical(expr: &Expr, rename: impl Fn(NodeId) -> NodeId) -> Vec<u8> {
    let mut operands: Vec<Vec<u8>> = Vec::new();
    for step in expr.steps() {
        let mut last = operands.split_off(operands.len() - step.arity());
        let mut form = Vec::new();
        let (tag, number) = match step {
            Step::Node(node) => (0, u64::from(rename(*node).0)),
            Step::Choose { needed, .. } => (1, u64::from(*needed)),
            Step::Weighted { weights, threshold } => {
                for (operand, weight) in last.iter_mut().zip(weights) {
                    operand.extend(weight.to_le_bytes());
                }
                (2, *threshold)
            }
            Step::Grid { .. } | Step::Nodeset(_) => unreachable!("spelled out"),
        };
        last.sort();
        form.push(tag);
        form.extend(number.to_le_bytes());
        form.extend((last.len() as u64).to_le_bytes());
        form.extend(last.into_iter().flatten());
        operands.push(form);
    }
    operands.swap_remove(0)
}

#[cfg(test)]
mod tests {
    use super::super::names::Names;
    use super::super::samples::random;
    use super::*;
    use crate::rng::Rng;

    fn side(rng: &mut Rng) -> Expr {
        loop {
            let text = random(rng);
            if !text.contains(';') {
                let text = text.trim_start_matches("seal: ");
                return Expr::parse(text, &mut Names::open()).expect("it was made to be read");
            }
        }
    }

    /// Both ways, and all sets tried one by one, find the same.
    #[test]
    fn listing_and_splitting_agree() {
        let mut rng = Rng::from_seed(1);
        let (mut apart, mut alike) = (0, 0);
        for _ in 0..2_000 {
            let (write, seal) = (side(&mut rng), side(&mut rng));
            let all = write.nodes().union(seal.nodes());
            let listed = by_listing(&write, &seal).expect("few");
            let split = by_splitting(&write, &seal).expect("short");
            let brute = (0..1 << 7)
                .map(NodeSet::from_bits)
                .find(|&set| write.is_satisfied(set) && seal.is_satisfied(all.difference(set)));
            assert_eq!(listed.is_some(), brute.is_some(), "{write} | {seal}");
            assert_eq!(split.is_some(), brute.is_some(), "{write} | {seal}");
            for part in [listed, split].into_iter().flatten() {
                assert!(write.is_satisfied(part), "{part} of {write}");
                assert!(
                    seal.is_satisfied(all.difference(part)),
                    "without {part}: {seal}"
                );
            }
            apart += u32::from(split.is_some());
            alike += u32::from(classes(&write, &seal).iter().any(|class| class.len() > 1));
        }
        assert!(
            apart > 300 && apart < 1_700 && alike > 300,
            "{apart} {alike}"
        );
    }
}
