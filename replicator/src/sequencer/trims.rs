//! Trims on their way into the register.
//!
//! A trim holds once the register has it; then its client is told, and the nodes with the next release
//! and every heartbeat. Trims that arrive while a change of the register is on its way share the next one.

use std::collections::VecDeque;

use hstore_core::{Address, Lsn};

/// How many trims of a reign wait for the register at most; more are pushed back.
pub const TRIMS_MAX: usize = 64;

/// The trims of a reign that the register does not hold yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Trims {
    waiting: VecDeque<((Address, u64), Lsn)>,
    /// What nobody waits for: the log keeps no more.
    kept_no_longer: Option<Lsn>,
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

    /// Takes a trim of the log's own, for which nobody waits.
    pub(super) fn keep_no_longer(&mut self, upto: Lsn) {
        self.kept_no_longer = self.kept_no_longer.max(Some(upto));
    }

    /// Up to where the waiting trims ask for; `None` if none waits.
    pub(super) fn furthest(&self) -> Option<Lsn> {
        let asked = self.waiting.iter().map(|(_, upto)| *upto);
        asked.chain(self.kept_no_longer).max()
    }

    /// Takes the requests that a trim up to `trim` fulfils.
    pub(super) fn take_done(&mut self, trim: Lsn) -> Vec<(Address, u64)> {
        self.kept_no_longer = self.kept_no_longer.filter(|upto| *upto > trim);
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

    /// All open requests: they may take effect yet, once.
    pub(super) fn abandon(self) -> impl Iterator<Item = (Address, u64)> {
        self.waiting.into_iter().map(|(origin, _)| origin)
    }
}
