//! What clients are told of the log as it is: where it ends, and why an append was not taken.
//! Linearizable answers.
//!
//! The log is observed after the request arrived, and the answer leaves once a write quorum says, later
//! still, that it has not sealed the epoch. Every later epoch must first seal a set that meets that
//! quorum, so at the moment of the observation no later epoch had answered anyone. Asking a seal quorum
//! would not do: two of them need not meet.
//!
//! What is observed may rest on records in flight. A tail says nothing of them: LSNs below it may turn out
//! holes. A mismatch names the last record, and waits until all up to it have retired.

use std::collections::VecDeque;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{Address, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Timestamp, planted};

use crate::effects::Env;
use crate::message::{Message, Mismatch, StorageAsk};
use crate::placement::copyset;

/// How many observations a reign has open at most; further requests are pushed back.
pub const OBSERVATIONS_MAX: usize = 256;

/// What is asked about the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Question {
    /// Where is it?
    Tail,
    /// Is there nothing before it?
    IsEmpty,
}

/// What was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Observed {
    /// The next LSN to be given.
    Tail(Lsn),
    /// What an append demanded was not so.
    Mismatch(Mismatch),
    /// Whether the log had no record that was not given up.
    Empty(bool),
}

/// The observations of a reign that are not answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Observations {
    log: LogId,
    epoch: Epoch,
    next_nonce: u64,
    /// Requests for the tail that arrived before the older epochs were recovered.
    waiting: VecDeque<(Address, u64)>,
    /// Observations that are being validated, oldest first.
    checks: VecDeque<Check>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Check {
    origin: (Address, u64),
    observed: Observed,
    /// It rests on all records up to here.
    rests_on: Offset,
    nonce: u64,
    /// Nodes that say the epoch is not sealed.
    unsealed: NodeSet,
    /// Enough of them do.
    valid: bool,
    resend_at: Timestamp,
    /// The client has given up by then.
    expires_at: Timestamp,
}

impl Observations {
    pub(super) fn new(log: LogId, epoch: Epoch) -> Self {
        Self {
            log,
            epoch,
            next_nonce: 0,
            waiting: VecDeque::new(),
            checks: VecDeque::new(),
        }
    }

    /// Takes a request for the tail for later. False if there are too many.
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

    /// Begins to validate what was observed for a request just now. It rests on the records up to
    /// `rests_on`. False if there are too many.
    pub(super) fn check(
        &mut self,
        origin: (Address, u64),
        observed: Observed,
        rests_on: Offset,
        quorums: &QuorumSystem,
        env: &mut Env,
    ) -> bool {
        if self.is_full() {
            return false;
        }
        let check = Check {
            origin,
            observed,
            rests_on,
            nonce: self.next_nonce,
            unsealed: NodeSet::EMPTY,
            valid: false,
            resend_at: env.now,
            expires_at: env.now + env.config.timing.operation_timeout,
        };
        self.next_nonce += 1;
        self.checks.push_back(check);
        // One write quorum is enough, if it answers; all are asked when it is late.
        let first = copyset::random(quorums, NodeSet::EMPTY, env.rng);
        let (log, epoch) = (self.log, self.epoch);
        let check = self.checks.back_mut().expect("just pushed");
        check.ask(log, epoch, first, env);
        true
    }

    fn is_full(&self) -> bool {
        self.len() >= OBSERVATIONS_MAX
    }

    /// Open requests.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.checks.len()
    }

    /// A node says that the epoch is not sealed.
    pub(super) fn on_unsealed(&mut self, from: NodeId, nonce: u64, quorums: &QuorumSystem) {
        let Some(check) = self.checks.iter_mut().find(|it| it.nonce == nonce) else {
            return;
        };
        check.unsealed.insert(from);
        check.valid |= quorums.is_write_quorum(check.unsealed) || planted!("open-without-quorum");
    }

    /// The observations that are certain, where all up to `last_known_good` has retired.
    pub(super) fn take_certain(
        &mut self,
        last_known_good: Offset,
    ) -> Vec<((Address, u64), Observed)> {
        let is_certain = |it: &Check| it.valid && it.rests_on <= last_known_good;
        let mut certain = Vec::new();
        self.checks.retain(|it| {
            if is_certain(it) {
                certain.push((it.origin, it.observed));
            }
            !is_certain(it)
        });
        certain
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.checks
            .iter()
            .map(|it| match it.valid {
                true => it.expires_at,
                false => it.resend_at.min(it.expires_at),
            })
            .min()
    }

    pub(super) fn on_time(&mut self, quorums: &QuorumSystem, env: &mut Env) {
        self.checks.retain(|it| it.expires_at > env.now);
        for check in &mut self.checks {
            if !check.valid && check.resend_at <= env.now {
                check.ask(self.log, self.epoch, quorums.nodes(), env);
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
    fn ask(&mut self, log: LogId, epoch: Epoch, nodes: NodeSet, env: &mut Env) {
        self.resend_at = env.now + env.config.timing.resend;
        for node in nodes.difference(self.unsealed).iter() {
            let nonce = self.nonce;
            let ask = StorageAsk::CheckSeal { epoch, nonce };
            env.out.send(node, Message::Storage { log, ask });
        }
    }
}
