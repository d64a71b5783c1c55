//! A table with an entry for each process.
//!
//! Most histories number their processes from 0 or 1 on, and those are found by their number; any other
//! number is found all the same. Nobody can see in which order the entries lie.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::history::ProcessId;

/// Processes with smaller numbers are found by their number.
const NEAR: usize = 4_096;

/// What is known by process: at first the default.
#[derive(Debug, Default)]
pub(crate) struct ByProcess<T> {
    near: Vec<T>,
    far: HashMap<ProcessId, T, FxBuildHasher>,
}

impl<T: Clone + Default> ByProcess<T> {
    /// The entry of a process.
    pub(crate) fn of(&mut self, process: ProcessId) -> &mut T {
        let at = process.0 as usize;
        if at >= NEAR {
            return self.far.entry(process).or_default();
        }
        if at >= self.near.len() {
            self.near.resize(at + 1, T::default());
        }
        &mut self.near[at]
    }
}
