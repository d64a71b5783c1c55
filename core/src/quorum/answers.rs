//! What the answers to a question about an epoch allow to conclude.

use serde::{Deserialize, Serialize};

use crate::node_set::NodeSet;

/// Who has answered a question about an epoch, and with what standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Answers {
    /// Nodes that answered.
    pub answered: NodeSet,
    /// Nodes that know all they ever stored of what is asked about. Only those that also answered
    /// count.
    pub authoritative: NodeSet,
    /// Nodes durably known to have lost their data. A node that merely is suspected, or slow, is
    /// not lost.
    pub lost: NodeSet,
}

/// What a set of answers allows to conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SealAnswer {
    /// No authoritative seal quorum yet, and a node that is not lost is silent: wait.
    None,
    /// An authoritative seal quorum answered: what none of them has was never fully replicated.
    Incomplete,
    /// Every node answered, with authority.
    Complete,
    /// Every node that is not lost answered and there is still no authoritative seal quorum:
    /// absence proves nothing.
    NonAuthoritative,
}
