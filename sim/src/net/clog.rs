//! Clogs: links that hold what passes them, and let go of it later.
//!
//! A clog holds what is under way when it comes about as well as what is sent after. Nothing is lost by
//! it, unless there is more than [`HELD_MAX`].

use std::collections::BTreeMap;

use hstore_core::{Address, NodeSet};
use serde::{Deserialize, Serialize};

use super::Cause;
use crate::plan::Direction;

/// How many messages a clog holds; those beyond are lost.
pub const HELD_MAX: usize = 1 << 16;

/// How a clog lets go of what it held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Release {
    /// All at once, as it would have come.
    Burst,
    /// All at once, what was sent last first.
    Reversed,
    /// In the order in which it was sent, one each so many microseconds.
    InOrder {
        /// The time between two.
        gap_us: u64,
    },
}

/// The clogs there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Clogs(BTreeMap<Cause, (NodeSet, Direction)>);

impl Clogs {
    /// Clogs the links of nodes: among them, to other nodes and to clients.
    pub(super) fn begin(&mut self, cause: Cause, nodes: NodeSet, direction: Direction) {
        self.0.insert(cause, (nodes, direction));
    }

    pub(super) fn end(&mut self, cause: Cause) {
        self.0.remove(&cause);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// The first clog that holds what comes from one place to another.
    pub(super) fn holding(&self, from: Address, to: Address) -> Option<Cause> {
        let held = self.0.iter().find(|(_, (nodes, direction))| {
            let is_of = |place| matches!(place, Address::Node(node) if nodes.contains(node));
            match direction {
                Direction::Both => is_of(from) || is_of(to),
                Direction::Inbound => is_of(to),
                Direction::Outbound => is_of(from),
            }
        });
        held.map(|(cause, _)| *cause)
    }
}
