//! Write quorums and seal quorums of an epoch: pure set arithmetic, nothing of the protocol.
//!
//! Flexible Paxos (Howard, Malkhi, Spiegelman 2016) asks only that each quorum of one phase meets
//! each quorum of the other. Here the phases are *write* (a record is replicated) and *seal* (an
//! epoch is closed and its records are found). Seal quorums need not meet one another, and no
//! argument may rest on it.
//!
//! A [`QuorumSystem`] is data: two monotone expressions over nodes ([`Expr`]), of which one may be left
//! to be the other's dual. It is read from text, written as text, sent in messages and kept in the
//! register. LogDevice's replication property and its f-majority ([`Nodeset`]) are one form among
//! others.

mod answers;
mod disjoint;
mod display;
mod expr;
mod minimal;
mod names;
mod parse;
mod replication;
pub mod samples;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use answers::{Answers, SealAnswer};
pub use expr::{DEPTH_MAX, Expr, ExprError, TERMS_MAX, WEIGHT_MAX};
pub use minimal::{MINIMAL_MAX, TooMany, minimised};
pub use names::Names;
pub use parse::{BRACKETS_MAX, ParseError, Place, SystemError, TEXT_BYTES_MAX};
pub use replication::{Location, Nodeset, Replication, Scope};

use crate::ids::NodeId;
use crate::node_set::NodeSet;
use crate::planted;

/// Why something is no quorum system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// A count of 0 would let the empty set be a quorum.
    #[error("replication over {scope:?} domains is 0: the least is 1")]
    Zero {
        /// The scope that asks for nothing at all.
        scope: Scope,
    },
    /// The nodeset has fewer domains than the property asks for.
    #[error("{needed} {scope:?} domains are asked for, the nodeset has {present}")]
    TooFewDomains {
        /// The scope that cannot be satisfied.
        scope: Scope,
        /// Domains asked for.
        needed: usize,
        /// Domains the nodeset has.
        present: usize,
    },
    /// A node whose number is too high.
    #[error(
        "{node} is too high a number: node numbers lie below {}",
        NodeSet::MAX_NODES
    )]
    NodeNumber {
        /// The node.
        node: NodeId,
    },
    /// Not every seal quorum meets every write quorum: what one wrote another would not find.
    #[error(
        "the write quorum {write} and the seal quorum {seal} do not meet: leave one side out and it becomes the other's dual"
    )]
    Disjoint {
        /// A minimal write quorum.
        write: NodeSet,
        /// A minimal seal quorum that has none of its nodes.
        seal: NodeSet,
    },
    /// Whether they meet takes too long to find out.
    #[error(
        "whether each write quorum meets each seal quorum takes too long to find out: leave one side out and it becomes the other's dual"
    )]
    Undecided,
    /// It has no serialised form of its own, or a damaged one.
    #[error("a quorum system has a write side or a seal side: neither is there")]
    NoSide,
}

/// The nodes an epoch may write to, and which sets of them are quorums. Valid by construction: each
/// seal quorum meets each write quorum, the whole nodeset is both, and the empty set is neither.
///
/// Cheap to copy: copies share what they are made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QuorumSystem(Arc<Sides>);

/// One side is given, or both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sides {
    /// Which sets are write quorums; if left out, those that meet every seal quorum.
    write: Option<Expr>,
    /// Which sets are seal quorums; if left out, those that meet every write quorum.
    seal: Option<Expr>,
    /// Every node that a side names.
    nodes: NodeSet,
}

impl QuorumSystem {
    /// A nodeset under a replication property.
    ///
    /// # Errors
    /// If the nodeset can never satisfy the property, or the property asks for nothing.
    pub fn new(
        locations: BTreeMap<NodeId, Location>,
        replication: Replication,
    ) -> Result<Self, QuorumError> {
        let nodeset = Nodeset::new(locations, replication)?;
        let write = Expr::nodeset(nodeset).expect("there are fewer nodes than terms");
        Ok(Self::of_write(write))
    }

    /// Nodes `0..nodes`, each in one rack, with `copies` copies of each record.
    ///
    /// # Errors
    /// As [`QuorumSystem::new`].
    pub fn flat(nodes: u8, copies: u8) -> Result<Self, QuorumError> {
        let locations = (0..nodes)
            .map(|n| (NodeId(n), Location::default()))
            .collect();
        Self::new(locations, Replication::copies(copies))
    }

    /// These write quorums; a set is a seal quorum if it meets all of them.
    #[must_use]
    pub fn of_write(write: Expr) -> Self {
        let nodes = write.nodes();
        Self(Arc::new(Sides {
            write: Some(write),
            seal: None,
            nodes,
        }))
    }

    /// These seal quorums; a set is a write quorum if it meets all of them.
    #[must_use]
    pub fn of_seal(seal: Expr) -> Self {
        let nodes = seal.nodes();
        Self(Arc::new(Sides {
            write: None,
            seal: Some(seal),
            nodes,
        }))
    }

    /// These write and seal quorums.
    ///
    /// # Errors
    /// If some write quorum and some seal quorum do not meet, with such a pair; or if that takes too
    /// long to find out, which only happens to intricate expressions over some tens of nodes.
    pub fn of_both(write: Expr, seal: Expr) -> Result<Self, QuorumError> {
        match disjoint::disjoint_pair(&write, &seal) {
            Ok(None) => {}
            Ok(Some((write, seal))) => return Err(QuorumError::Disjoint { write, seal }),
            Err(disjoint::GaveUp) => return Err(QuorumError::Undecided),
        }
        Ok(Self(Arc::new(Sides {
            nodes: write.nodes().union(seal.nodes()),
            write: Some(write),
            seal: Some(seal),
        })))
    }

    /// The nodeset.
    #[must_use]
    pub fn nodes(&self) -> NodeSet {
        self.0.nodes
    }

    /// The replication property, where the system is one.
    #[must_use]
    pub fn replication(&self) -> Option<Replication> {
        match (&self.0.write, &self.0.seal) {
            (Some(write), None) => write.as_nodeset().map(Nodeset::replication),
            _ => None,
        }
    }

    /// Whether `set` is a write quorum. Nodes outside the nodeset count for nothing.
    #[must_use]
    pub fn is_write_quorum(&self, set: NodeSet) -> bool {
        match (&self.0.write, &self.0.seal) {
            (Some(write), _) => write.is_satisfied(set),
            (None, Some(seal)) => !seal.is_satisfied(self.nodes().difference(set)),
            (None, None) => unreachable!("a side is given"),
        }
    }

    /// Whether `set` is a seal quorum: it meets every write quorum. Nodes outside the nodeset count
    /// for nothing.
    #[must_use]
    pub fn is_seal_quorum(&self, set: NodeSet) -> bool {
        if planted!("f-majority-off-by-one") {
            // One node fewer.
            let missing = self.nodes().difference(set);
            return missing.is_empty()
                || missing
                    .iter()
                    .any(|node| self.seals(set.union(NodeSet::only(node))));
        }
        self.seals(set)
    }

    fn seals(&self, set: NodeSet) -> bool {
        match (&self.0.write, &self.0.seal) {
            (_, Some(seal)) => seal.is_satisfied(set),
            (Some(write), None) => match write.as_nodeset() {
                Some(nodeset) => nodeset.is_f_majority(set),
                None => !write.is_satisfied(self.nodes().difference(set)),
            },
            (None, None) => unreachable!("a side is given"),
        }
    }

    /// What the answers so far say about an epoch. See [`SealAnswer`].
    #[must_use]
    pub fn seal_answer(&self, answers: Answers) -> SealAnswer {
        let nodes = self.nodes();
        let silent = nodes.difference(answers.answered).difference(answers.lost);
        let authoritative = answers.answered.intersection(answers.authoritative);
        if !self.is_seal_quorum(authoritative) {
            return if silent.is_empty() {
                SealAnswer::NonAuthoritative
            } else {
                SealAnswer::None
            };
        }
        if nodes.is_subset(authoritative) {
            SealAnswer::Complete
        } else {
            SealAnswer::Incomplete
        }
    }

    /// The write side as an expression.
    #[must_use]
    pub fn write(&self) -> Expr {
        match (&self.0.write, &self.0.seal) {
            (Some(write), _) => write.clone(),
            (None, Some(seal)) => seal.dual(),
            (None, None) => unreachable!("a side is given"),
        }
    }

    /// The seal side as an expression.
    #[must_use]
    pub fn seal(&self) -> Expr {
        match (&self.0.write, &self.0.seal) {
            (_, Some(seal)) => seal.clone(),
            (Some(write), None) => write.dual(),
            (None, None) => unreachable!("a side is given"),
        }
    }

    /// All minimal write quorums, in order.
    ///
    /// # Errors
    /// If there are more than `limit`: see [`Expr::minimal`].
    pub fn minimal_write_quorums(&self, limit: usize) -> Result<Vec<NodeSet>, TooMany> {
        self.write().minimal(limit)
    }

    /// All minimal seal quorums, in order.
    ///
    /// # Errors
    /// If there are more than `limit`: see [`Expr::minimal`].
    pub fn minimal_seal_quorums(&self, limit: usize) -> Result<Vec<NodeSet>, TooMany> {
        self.seal().minimal(limit)
    }
}

/// As [`QuorumSystem::parse`] reads it: the write side, `seal: ...`, or both.
impl fmt::Display for QuorumSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.write, &self.0.seal) {
            (Some(write), None) => write.fmt(f),
            (None, Some(seal)) => write!(f, "seal: {seal}"),
            (Some(write), Some(seal)) => write!(f, "write: {write}; seal: {seal}"),
            (None, None) => unreachable!("a side is given"),
        }
    }
}

/// For people as text, otherwise as data.
impl Serialize for QuorumSystem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            return serializer.collect_str(self);
        }
        (&self.0.write, &self.0.seal).serialize(serializer)
    }
}

/// Data was written from a system: that its sides meet is not proved again, everything else is. A text
/// may be anyone's.
impl<'de> Deserialize<'de> for QuorumSystem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            return Self::parse(&text, &mut Names::open()).map_err(D::Error::custom);
        }
        let (write, seal) = <(Option<Expr>, Option<Expr>)>::deserialize(deserializer)?;
        let named = [&write, &seal].into_iter().flatten().map(Expr::nodes);
        let nodes = named.fold(NodeSet::EMPTY, NodeSet::union);
        if nodes.is_empty() {
            return Err(D::Error::custom(QuorumError::NoSide));
        }
        Ok(Self(Arc::new(Sides { write, seal, nodes })))
    }
}

#[cfg(test)]
mod tests;
