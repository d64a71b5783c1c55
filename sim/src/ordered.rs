//! Work over many seeds on several threads, its results taken in the order of seeds.
//!
//! So whatever is made of the results does not depend on the number of threads. Workers run ahead of
//! the oldest result that is not yet taken by no more than [`AHEAD_MAX`] seeds.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex};
use std::thread;

use crate::seed_range::SeedRange;

/// How many seeds may be done or under way beyond the oldest that is not taken: it bounds memory.
pub const AHEAD_MAX: u64 = 4096;

/// Calls `work` for each seed, on `jobs` threads, and `take` with each result, on this thread, in the
/// order of seeds.
///
/// # Errors
/// The first error of `take`; no further seed is begun then.
///
/// # Panics
/// If `work` panics.
pub fn for_each_in_order<T: Send, E>(
    seeds: SeedRange,
    jobs: NonZeroUsize,
    work: impl Fn(u64) -> T + Sync,
    mut take: impl FnMut(u64, T) -> Result<(), E>,
) -> Result<(), E> {
    let desk = Desk::new(seeds);
    let (sender, results) = mpsc::channel();
    thread::scope(|scope| {
        for job in 0..jobs.get() {
            let (desk, work, sender) = (&desk, &work, sender.clone());
            thread::Builder::new()
                .name(format!("job-{job}"))
                .spawn_scoped(scope, move || work_off(desk, work, &sender))
                .expect("the system has room for a thread");
        }
        drop(sender);
        // However this ends, by an error or a panic of `take`, workers are told to stop.
        let _closing = CloseOnDrop(&desk);
        let mut waiting = BTreeMap::new();
        let mut oldest = seeds.first();
        for (seed, result) in results {
            waiting.insert(seed, result);
            while let Some(result) = waiting.remove(&oldest) {
                take(oldest, result)?;
                if oldest == seeds.last() {
                    return Ok(());
                }
                oldest += 1;
            }
            desk.advance(oldest);
        }
        // A worker panicked: leaving the scope passes that on.
        Ok(())
    })
}

fn work_off<T>(desk: &Desk, work: &impl Fn(u64) -> T, sender: &Sender<(u64, T)>) {
    while let Some(seed) = desk.next() {
        let closing = CloseOnDrop(desk);
        let result = work(seed);
        // Only a panic of `work` closes the desk: nobody must wait for this seed's result.
        std::mem::forget(closing);
        if sender.send((seed, result)).is_err() {
            return;
        }
    }
}

/// Hands out seeds.
struct Desk {
    seeds: SeedRange,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The next seed to hand out; `None` if there is none, or no more are wanted.
    next: Option<u64>,
    /// The first seed whose result is not taken.
    oldest: u64,
}

impl Desk {
    fn new(seeds: SeedRange) -> Self {
        Self {
            seeds,
            state: Mutex::new(State {
                next: Some(seeds.first()),
                oldest: seeds.first(),
            }),
            changed: Condvar::new(),
        }
    }

    /// The next seed, once it is near enough; `None` when there is none.
    fn next(&self) -> Option<u64> {
        let state = self.state.lock().expect("no holder panics");
        let is_far = |state: &mut State| {
            state
                .next
                .is_some_and(|next| next - state.oldest >= AHEAD_MAX)
        };
        let mut state = self
            .changed
            .wait_while(state, is_far)
            .expect("no holder panics");
        let seed = state.next?;
        state.next = (seed < self.seeds.last()).then(|| seed + 1);
        Some(seed)
    }

    fn advance(&self, oldest: u64) {
        self.state.lock().expect("no holder panics").oldest = oldest;
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state.lock().expect("no holder panics").next = None;
        self.changed.notify_all();
    }
}

struct CloseOnDrop<'a>(&'a Desk);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn range(first: u64, last: u64) -> SeedRange {
        SeedRange::new(first, last).expect("not empty")
    }

    fn jobs(jobs: usize) -> NonZeroUsize {
        NonZeroUsize::new(jobs).expect("not 0")
    }

    #[test]
    fn results_come_in_order_whatever_the_number_of_jobs() {
        for count in [1, 2, 7] {
            let mut taken = Vec::new();
            let work = |seed: u64| {
                // Seeds take times of their own, so that they are done out of order.
                (0..(seed * 7919) % 5000).fold(seed, |sum, n| std::hint::black_box(sum ^ n ^ n))
            };
            for_each_in_order(range(3, 500), jobs(count), work, |seed, result| {
                assert_eq!(seed, result);
                taken.push(seed);
                Ok::<(), ()>(())
            })
            .expect("take does not fail");
            assert_eq!(taken, (3..=500).collect::<Vec<_>>());
        }
        let mut taken = Vec::new();
        for_each_in_order(
            range(u64::MAX - 1, u64::MAX),
            jobs(2),
            |seed| seed,
            |seed, _| {
                taken.push(seed);
                Ok::<(), ()>(())
            },
        )
        .expect("take does not fail");
        assert_eq!(taken, [u64::MAX - 1, u64::MAX]);
    }

    #[test]
    fn an_error_ends_it_soon() {
        let begun = AtomicU64::new(0);
        let work = |_| begun.fetch_add(1, Ordering::Relaxed);
        let result = for_each_in_order(range(0, u64::MAX), jobs(2), work, |seed, _| {
            if seed == 10 { Err("enough") } else { Ok(()) }
        });
        assert_eq!(result, Err("enough"));
        // At the error the oldest seed not taken is 10 at most.
        assert!(begun.into_inner() <= 10 + AHEAD_MAX);
    }

    #[test]
    fn workers_do_not_run_far_ahead() {
        let last = 3 * AHEAD_MAX;
        let taken = AtomicU64::new(0);
        let work = |seed| {
            assert!(seed <= taken.load(Ordering::SeqCst) + AHEAD_MAX);
        };
        for_each_in_order(range(0, last), jobs(2), work, |seed, ()| {
            taken.store(seed + 1, Ordering::SeqCst);
            Ok::<(), ()>(())
        })
        .expect("take does not fail");
        assert_eq!(taken.into_inner(), last + 1);
    }

    #[test]
    fn a_panic_of_the_work_is_passed_on_instead_of_waited_for() {
        let result = catch_unwind(AssertUnwindSafe(|| {
            let work = |seed| assert!(seed != 5, "seed 5");
            for_each_in_order(range(0, u64::MAX), jobs(2), work, |_, ()| Ok::<(), ()>(()))
        }));
        assert!(result.is_err());
    }
}
