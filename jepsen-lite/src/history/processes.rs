//! What processes are at: each does one thing at a time.

use std::collections::BTreeMap;

use super::op::{OpId, ProcessId};
use super::recorder::IllFormedReason;

/// Every process that ever did something.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes(BTreeMap<ProcessId, ProcessState>);

#[derive(Clone, Copy, Debug)]
enum ProcessState {
    /// It may invoke.
    Free,
    /// It waits for the answer to this.
    Waits(OpId),
    /// It does not know how this ended, so it may not go on.
    Retired(OpId),
}

impl Processes {
    /// What a process waits for.
    pub(crate) fn open_op(&self, process: ProcessId) -> Option<OpId> {
        match self.0.get(&process) {
            Some(ProcessState::Waits(op)) => Some(*op),
            Some(ProcessState::Free | ProcessState::Retired(_)) | None => None,
        }
    }

    /// Has a process begin an operation, which is made if it may.
    pub(crate) fn invoke(
        &mut self,
        process: ProcessId,
        begin: impl FnOnce() -> OpId,
    ) -> Result<OpId, IllFormedReason> {
        let state = self.0.entry(process).or_insert(ProcessState::Free);
        match *state {
            ProcessState::Free => {
                let op = begin();
                *state = ProcessState::Waits(op);
                Ok(op)
            }
            ProcessState::Waits(open) => Err(IllFormedReason::StillOpen { process, open }),
            ProcessState::Retired(unknown) => Err(IllFormedReason::Retired { process, unknown }),
        }
    }

    /// A process may invoke again.
    pub(crate) fn free(&mut self, process: ProcessId) {
        self.0.insert(process, ProcessState::Free);
    }

    /// A process does not know how an operation ended, and may not go on.
    pub(crate) fn retire(&mut self, process: ProcessId, unknown: OpId) {
        self.0.insert(process, ProcessState::Retired(unknown));
    }
}
