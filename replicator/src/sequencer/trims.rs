//! Trims on their way into the register.
//!
//! A trim holds once the register has it; then its client is told, and the nodes with the next release
//! and every heartbeat. One change of the register is on its way at a time; trims that arrive meanwhile
//! share the next one.

use std::collections::VecDeque;

use hstore_core::{Address, LogId, Lsn, NodeId, Timestamp};

use crate::effects::Env;
use crate::message::RegisterStep;
use crate::register::{Change, Committed, Proposer, RegisterBallot};

/// How many trims of a reign wait for the register at most; more are pushed back.
pub const TRIMS_MAX: usize = 64;

/// The trims of a reign that the register does not hold yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Trims {
    waiting: VecDeque<((Address, u64), Lsn)>,
    proposer: Option<Proposer>,
}

impl Trims {
    /// Takes a trim. False if there are too many.
    pub(super) fn wait(&mut self, origin: (Address, u64), upto: Lsn) -> bool {
        if self.waiting.len() >= TRIMS_MAX {
            return false;
        }
        self.waiting.push_back((origin, upto));
        true
    }

    /// Up to where the waiting trims ask for; `None` if none waits.
    pub(super) fn furthest(&self) -> Option<Lsn> {
        self.waiting.iter().map(|(_, upto)| *upto).max()
    }

    /// Whether a change is on its way.
    pub(super) fn is_busy(&self) -> bool {
        self.proposer.is_some()
    }

    /// Has the register agree to a change.
    pub(super) fn begin(&mut self, log: LogId, change: Change, round: &mut u64, env: &mut Env) {
        let proposer = Proposer::start(log, change, round, env);
        self.proposer = Some(proposer);
    }

    /// Leaves the change that is on its way to itself: the register takes it or not.
    pub(super) fn pause(&mut self) {
        self.proposer = None;
    }

    /// Takes an acceptor's answer. Tells the register's value once it is agreed.
    pub(super) fn on_register(
        &mut self,
        from: NodeId,
        ballot: RegisterBallot,
        step: &RegisterStep,
        round: &mut u64,
        env: &mut Env,
    ) -> Option<Committed> {
        let proposer = self.proposer.as_mut()?;
        let committed = proposer.on_step(from, ballot, step, round, env);
        if committed.is_some() {
            self.proposer = None;
        }
        committed
    }

    /// Takes the requests that a trim up to `trim` fulfils.
    pub(super) fn take_done(&mut self, trim: Lsn) -> Vec<(Address, u64)> {
        let waiting = std::mem::take(&mut self.waiting);
        let (done, waiting): (VecDeque<_>, _) =
            waiting.into_iter().partition(|(_, upto)| *upto <= trim);
        self.waiting = waiting;
        done.into_iter().map(|(origin, _)| origin).collect()
    }

    /// Open requests.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.proposer.as_ref().map(Proposer::deadline)
    }

    pub(super) fn on_time(&mut self, env: &mut Env) {
        if let Some(proposer) = &mut self.proposer {
            proposer.on_time(env);
        }
    }

    /// All open requests: they may take effect yet, once.
    pub(super) fn abandon(self) -> impl Iterator<Item = (Address, u64)> {
        self.waiting.into_iter().map(|(origin, _)| origin)
    }
}
