//! Where does the log end? Linearizable answers.
//!
//! The tail is read after the request arrived and answered once a write quorum says, later still, that
//! it has not sealed the epoch. Every later epoch must first seal a set that meets that quorum, so at
//! the moment the tail was read no later epoch had answered anyone. Asking a seal quorum would not
//! do: two of them need not meet.

use std::collections::VecDeque;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{Address, Epoch, LogId, Lsn, NodeId, NodeSet, Timestamp};

use crate::effects::Env;
use crate::message::{Message, StorageAsk};
use crate::placement::copyset;

/// How many tail requests a reign has open at most; more are pushed back.
pub const TAILS_MAX: usize = 256;

/// The tail requests of a reign.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Tails {
    next_nonce: u64,
    /// Requests that arrived before the older epochs were recovered.
    waiting: VecDeque<(Address, u64)>,
    /// Requests that are being validated, oldest first.
    checks: VecDeque<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Check {
    origin: (Address, u64),
    tail: Lsn,
    nonce: u64,
    /// Nodes that say the epoch is not sealed.
    unsealed: NodeSet,
    resend_at: Timestamp,
    /// The client has given up by then.
    expires_at: Timestamp,
}

impl Tails {
    /// Takes a request for later. False if there are too many.
    pub(super) fn wait(&mut self, origin: (Address, u64)) -> bool {
        if self.is_full() {
            return false;
        }
        self.waiting.push_back(origin);
        true
    }

    /// The requests that waited, in the order of their arrival.
    pub(super) fn take_waiting(&mut self) -> VecDeque<(Address, u64)> {
        std::mem::take(&mut self.waiting)
    }

    /// Begins to validate `tail` for a request. False if there are too many.
    pub(super) fn check(
        &mut self,
        origin: (Address, u64),
        tail: Lsn,
        log: LogId,
        quorums: &QuorumSystem,
        env: &mut Env,
    ) -> bool {
        if self.is_full() {
            return false;
        }
        let mut check = Check {
            origin,
            tail,
            nonce: self.next_nonce,
            unsealed: NodeSet::EMPTY,
            resend_at: env.now,
            expires_at: env.now + env.config.timing.operation_timeout,
        };
        self.next_nonce += 1;
        // One write quorum is enough, if it answers; all are asked when it is late.
        let first = copyset::random(quorums, NodeSet::EMPTY, env.rng);
        check.ask(log, first, env);
        self.checks.push_back(check);
        true
    }

    fn is_full(&self) -> bool {
        self.waiting.len() + self.checks.len() >= TAILS_MAX
    }

    /// A node says that `epoch` is not sealed. Tells the request that may now be answered.
    pub(super) fn on_unsealed(
        &mut self,
        from: NodeId,
        nonce: u64,
        quorums: &QuorumSystem,
    ) -> Option<((Address, u64), Lsn)> {
        let at = self.checks.iter().position(|it| it.nonce == nonce)?;
        let check = &mut self.checks[at];
        check.unsealed.insert(from);
        if !quorums.is_write_quorum(check.unsealed) {
            return None;
        }
        let check = self.checks.remove(at).expect("just found");
        Some((check.origin, check.tail))
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.checks
            .iter()
            .map(|it| it.resend_at.min(it.expires_at))
            .min()
    }

    pub(super) fn on_time(&mut self, log: LogId, quorums: &QuorumSystem, env: &mut Env) {
        self.checks.retain(|it| it.expires_at > env.now);
        for check in &mut self.checks {
            if check.resend_at <= env.now {
                check.ask(log, quorums.nodes(), env);
            }
        }
    }

    /// All open requests: they had no effect.
    pub(super) fn abandon(self) -> impl Iterator<Item = (Address, u64)> {
        let checks = self.checks.into_iter().map(|it| it.origin);
        self.waiting.into_iter().chain(checks)
    }
}

impl Check {
    fn ask(&mut self, log: LogId, nodes: NodeSet, env: &mut Env) {
        self.resend_at = env.now + env.config.timing.resend;
        let epoch: Epoch = self.tail.epoch;
        for node in nodes.difference(self.unsealed).iter() {
            let nonce = self.nonce;
            let ask = StorageAsk::CheckSeal { epoch, nonce };
            env.out.send(node, Message::Storage { log, ask });
        }
    }
}
