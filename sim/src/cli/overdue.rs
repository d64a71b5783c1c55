//! Runs that do not come to an end.
//!
//! A run cannot be ended from outside: what it stays in may be anything, down to the store's own code. So it is
//! named, once, and whoever started the campaign decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use hstore_sim::stopwatch::Stopwatch;

use super::output;

/// A run that takes longer than this is named. Runs take well under a second.
const OVERDUE: Duration = Duration::from_secs(60);
/// So often is looked.
const LOOK: Duration = Duration::from_secs(5);

/// The runs that are under way.
#[derive(Default)]
pub(super) struct Overdue {
    state: Mutex<State>,
    over: Condvar,
}

#[derive(Default)]
struct State {
    under_way: BTreeMap<u64, Stopwatch>,
    over: bool,
}

impl Overdue {
    /// Makes a run; while it is under way it may come to be named.
    pub(super) fn run<T>(&self, seed: u64, run: impl FnOnce() -> T) -> T {
        let add = |state: &mut State| state.under_way.insert(seed, Stopwatch::start());
        add(&mut self.state());
        let result = run();
        self.state().under_way.remove(&seed);
        result
    }

    /// Does `work`, and names meanwhile, by `command`, what does not come to an end.
    pub(super) fn watch<T>(
        &self,
        command: impl Fn(u64) -> String + Sync,
        work: impl FnOnce() -> T,
    ) -> T {
        thread::scope(|scope| {
            scope.spawn(|| self.look(&command));
            let _over = OverOnDrop(self);
            work()
        })
    }

    fn look(&self, command: &impl Fn(u64) -> String) {
        let mut told = BTreeSet::new();
        let mut state = self.state();
        while !state.over {
            let waited = self.over.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let overdue = state
                .under_way
                .iter()
                .filter(|(_, it)| it.elapsed() > OVERDUE);
            for (&seed, _) in overdue {
                if told.insert(seed) {
                    output::note(&format!(
                        "seed {seed} has not come to an end for {} s; it alone: {}",
                        OVERDUE.as_secs(),
                        command(seed)
                    ));
                }
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct OverOnDrop<'a>(&'a Overdue);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.over.notify_all();
    }
}
