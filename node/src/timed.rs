//! A machine with its deadline beside it.

use hstore_core::Timestamp;
use hstore_replicator::sequencer::Sequencer;
use hstore_replicator::storage::StorageNode;

/// A machine that wants to be called when its time has come.
pub(crate) trait Waits {
    /// When.
    fn deadline(&self) -> Option<Timestamp>;
}

impl Waits for Sequencer {
    fn deadline(&self) -> Option<Timestamp> {
        Self::deadline(self)
    }
}

impl Waits for StorageNode {
    fn deadline(&self) -> Option<Timestamp> {
        Self::deadline(self)
    }
}

/// A machine whose deadline is known without asking it. A node's deadline is wanted after every step, and
/// a step changes few of its machines.
///
/// Invariant: the deadline is what the machine would say. So it is changed by [`Timed::change`] alone.
#[derive(Clone, Debug)]
pub(crate) struct Timed<M> {
    machine: M,
    deadline: Option<Timestamp>,
}

impl<M: Waits> Timed<M> {
    pub(crate) fn new(machine: M) -> Self {
        let deadline = machine.deadline();
        Self { machine, deadline }
    }

    /// When to call it.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }

    pub(crate) fn machine(&self) -> &M {
        &self.machine
    }

    pub(crate) fn change<T>(&mut self, act: impl FnOnce(&mut M) -> T) -> T {
        let out = act(&mut self.machine);
        self.deadline = self.machine.deadline();
        out
    }
}
