//! Sets of nodes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::NodeId;

/// A set of nodes, as a bit mask. Iterates in the order of node numbers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NodeSet(u128);

impl NodeSet {
    /// How many nodes a cluster may have: node numbers lie below this.
    pub const MAX_NODES: usize = 128;
    /// No node.
    pub const EMPTY: Self = Self(0);

    /// The set with one node.
    #[must_use]
    pub fn only(node: NodeId) -> Self {
        assert!(
            usize::from(node.0) < Self::MAX_NODES,
            "node numbers lie below {}",
            Self::MAX_NODES
        );
        Self(1 << node.0)
    }

    /// The set as bits: node `n` is bit `n`.
    #[must_use]
    pub const fn bits(self) -> u128 {
        self.0
    }

    /// The set of the nodes whose bits are set.
    #[must_use]
    pub const fn from_bits(bits: u128) -> Self {
        Self(bits)
    }

    /// Adds `node`; tells whether it was absent.
    pub fn insert(&mut self, node: NodeId) -> bool {
        let before = *self;
        self.0 |= Self::only(node).0;
        *self != before
    }

    /// Removes `node`; tells whether it was present.
    pub fn remove(&mut self, node: NodeId) -> bool {
        let before = *self;
        self.0 &= !Self::only(node).0;
        *self != before
    }

    /// Whether `node` belongs to the set.
    #[must_use]
    pub fn contains(self, node: NodeId) -> bool {
        self.0 & Self::only(node).0 != 0
    }

    /// How many nodes.
    #[must_use]
    pub fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Nodes of either set.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Nodes of both sets.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Nodes of this set that are not in `other`.
    #[must_use]
    pub fn difference(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether every node of this set is in `other`.
    #[must_use]
    pub fn is_subset(self, other: Self) -> bool {
        self.difference(other).is_empty()
    }

    /// The nodes, lowest number first.
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            if rest == 0 {
                return None;
            }
            let node = NodeId(rest.trailing_zeros() as u8);
            rest &= rest - 1;
            Some(node)
        })
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut set = Self::EMPTY;
        for node in nodes {
            set.insert(node);
        }
        set
    }
}

/// `{n0,n2}`.
impl fmt::Display for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, node) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "{node}")?;
        }
        f.write_str("}")
    }
}
