//! Runs that do not come to an end.
//!
//! A run cannot be ended from outside: what it stays in may be anything, down to the store's own code. So it is
//! named, once, and whoever started the campaign decides.

use std::collections::BTreeMap;
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
    under_way: BTreeMap<u64, UnderWay>,
    begun: u64,
    over: bool,
}

struct UnderWay {
    seed: u64,
    /// How it is made again.
    told: String,
    since: Stopwatch,
    named: bool,
}

impl Overdue {
    /// Makes a run of a seed; while it is under way it may come to be named, with what is `told` of it.
    pub(super) fn run<T>(&self, seed: u64, told: String, run: impl FnOnce() -> T) -> T {
        let number = self.begin(seed, told);
        let result = run();
        self.state().under_way.remove(&number);
        result
    }

    fn begin(&self, seed: u64, told: String) -> u64 {
        let mut state = self.state();
        state.begun += 1;
        let number = state.begun;
        let under_way = UnderWay {
            seed,
            told,
            since: Stopwatch::start(),
            named: false,
        };
        state.under_way.insert(number, under_way);
        number
    }

    /// Does `work`, and names meanwhile what does not come to an end.
    pub(super) fn watch<T>(&self, work: impl FnOnce() -> T) -> T {
        thread::scope(|scope| {
            scope.spawn(|| self.look());
            let _over = OverOnDrop(self);
            work()
        })
    }

    fn look(&self) {
        let mut state = self.state();
        while !state.over {
            let waited = self.over.wait_timeout(state, LOOK);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            for line in overdue(&mut state, OVERDUE) {
                output::note(&line);
            }
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be said of runs that have been under way for longer, each once.
fn overdue(state: &mut State, longer: Duration) -> Vec<String> {
    let under_way = state.under_way.values_mut();
    let new = under_way.filter(|it| !it.named && it.since.elapsed() >= longer);
    new.map(|it| {
        it.named = true;
        let (seed, told) = (it.seed, &it.told);
        format!(
            "seed {seed} has not come to an end for {} s: {told}",
            longer.as_secs()
        )
    })
    .collect()
}

struct OverOnDrop<'a>(&'a Overdue);

impl Drop for OverOnDrop<'_> {
    fn drop(&mut self) {
        self.0.state().over = true;
        self.0.over.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_named_once_and_not_when_it_is_over() {
        let runs = Overdue::default();
        runs.run(7, "seven".to_owned(), || {
            assert!(overdue(&mut runs.state(), OVERDUE).is_empty());
            let named = overdue(&mut runs.state(), Duration::ZERO);
            assert_eq!(named, ["seed 7 has not come to an end for 0 s: seven"]);
            assert!(overdue(&mut runs.state(), Duration::ZERO).is_empty());
        });
        assert!(overdue(&mut runs.state(), Duration::ZERO).is_empty());
        assert_eq!(runs.watch(|| 5), 5);
    }
}
