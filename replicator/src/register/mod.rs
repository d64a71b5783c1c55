//! The register: one value per log, agreed among the metadata nodes.
//!
//! CASPaxos (Rystsov 2018): a proposer learns the latest accepted value in phase 1, applies a change
//! to it, and has the result accepted in phase 2. There is no log and no leader; a read is a change
//! that changes nothing. The consensus that the rest of the protocol leans on is all here.
//!
//! - [`Acceptor`]: the durable side, on each metadata node.
//! - [`Proposer`]: one change, driven until it is committed.
//! - [`RegisterValue`] and [`Change`]: what is agreed on, and the changes there are.

mod acceptor;
mod proposer;
mod value;
mod vote;

use std::fmt;

use hstore_core::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};

pub use acceptor::Acceptor;
pub(crate) use acceptor::AcceptorState;
pub use proposer::{Committed, Proposer};
pub use value::{Activation, Annex, Change, Checkpoint, Judgement, RegisterValue};
pub use vote::Vote;
pub(crate) use vote::shared;

/// Names one round of a proposer. Never reused: a round is counted within a node's life, and lives
/// are numbered durably.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct RegisterBallot {
    /// Rises above every round the proposer has met.
    pub round: u64,
    /// The proposing node.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
}

impl fmt::Display for RegisterBallot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}{}", self.round, self.node, self.incarnation)
    }
}
