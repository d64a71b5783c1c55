//! Are you there? Asked of the nodes of an epoch before the register is asked to begin it.

use hstore_core::quorum::QuorumSystem;
use hstore_core::{LogId, NodeId, NodeSet, Timestamp};

use crate::effects::Env;
use crate::message::{Message, StorageAnswer, StorageAsk};

/// A question to some nodes, until enough have answered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Probe {
    nonce: u64,
    nodes: NodeSet,
    here: NodeSet,
    resend_at: Timestamp,
}

impl Probe {
    /// Asks. `nonce` names the question; a node's life has it once.
    pub(super) fn start(log: LogId, nodes: NodeSet, nonce: u64, env: &mut Env) -> Self {
        let mut probe = Self {
            nonce,
            nodes,
            here: NodeSet::EMPTY,
            resend_at: env.now,
        };
        probe.on_time(log, env);
        probe
    }

    /// The nodes that are there.
    pub(super) fn here(&self) -> NodeSet {
        self.here
    }

    pub(super) fn deadline(&self) -> Timestamp {
        self.resend_at
    }

    /// Takes an answer.
    pub(super) fn on_answer(&mut self, from: NodeId, answer: &StorageAnswer) {
        if matches!(answer, StorageAnswer::Here { nonce } if *nonce == self.nonce) {
            self.here.insert(from);
        }
    }

    /// Whether an epoch on `quorums` can take records now, and be recovered.
    pub(super) fn finds(&self, quorums: &QuorumSystem) -> bool {
        quorums.is_write_quorum(self.here) && quorums.is_seal_quorum(self.here)
    }

    /// Asks again those who are silent.
    pub(super) fn on_time(&mut self, log: LogId, env: &mut Env) {
        if env.now < self.resend_at {
            return;
        }
        self.resend_at = env.now + env.config.timing.resend;
        for node in self.nodes.difference(self.here).iter() {
            let nonce = self.nonce;
            let ask = StorageAsk::Probe { nonce };
            env.out.send(node, Message::Storage { log, ask });
        }
    }
}
