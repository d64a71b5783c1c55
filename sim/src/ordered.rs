//! Work over many items on several threads, its results taken in the order of the items.
//!
//! So whatever is made of the results does not depend on the number of threads. Workers run ahead of
//! the oldest result that is not yet taken by no more than [`AHEAD_MAX`] items.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex};
use std::thread;

/// How many items may be done or under way beyond the oldest that is not taken: it bounds memory.
pub const AHEAD_MAX: u64 = 4096;

/// Calls `work` for each of `items`, on `jobs` threads, and `take` with each result, on this thread, in
/// the order of the items. An item is asked for when a thread is free for it, one at a time: so their
/// iterator may end early. It must not panic.
///
/// # Errors
/// The first error of `take`; no further item is begun then.
///
/// # Panics
/// If `work` panics.
pub fn for_each_in_order<I: Copy + Send, T: Send, E>(
    items: impl IntoIterator<Item = I, IntoIter: Send>,
    jobs: NonZeroUsize,
    work: impl Fn(I) -> T + Sync,
    mut take: impl FnMut(I, T) -> Result<(), E>,
) -> Result<(), E> {
    let desk = Desk::new(items.into_iter());
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
        let mut oldest = 0;
        for (place, item, result) in results {
            waiting.insert(place, (item, result));
            while let Some((item, result)) = waiting.remove(&oldest) {
                take(item, result)?;
                oldest += 1;
            }
            desk.advance(oldest);
        }
        // If a worker panicked, leaving the scope passes that on.
        Ok(())
    })
}

fn work_off<I: Copy, T>(
    desk: &Desk<impl Iterator<Item = I>>,
    work: &impl Fn(I) -> T,
    sender: &Sender<(u64, I, T)>,
) {
    while let Some((place, item)) = desk.next() {
        let closing = CloseOnDrop(desk);
        let result = work(item);
        // Only a panic of `work` closes the desk: nobody must wait for this item's result.
        std::mem::forget(closing);
        if sender.send((place, item, result)).is_err() {
            return;
        }
    }
}

/// Hands out items.
struct Desk<I> {
    state: Mutex<State<I>>,
    changed: Condvar,
}

struct State<I> {
    /// Those to hand out; `None` if there are none, or no more are wanted.
    items: Option<I>,
    /// How many were handed out.
    handed: u64,
    /// How many results were taken.
    taken: u64,
}

impl<I: Iterator> Desk<I> {
    fn new(items: I) -> Self {
        Self {
            state: Mutex::new(State {
                items: Some(items),
                handed: 0,
                taken: 0,
            }),
            changed: Condvar::new(),
        }
    }

    /// The next item and its place in the order, once it is near enough; `None` when there is none.
    fn next(&self) -> Option<(u64, I::Item)> {
        let state = self.state.lock().expect("no holder panics");
        let is_far =
            |state: &mut State<I>| state.items.is_some() && state.handed - state.taken >= AHEAD_MAX;
        let mut state = self
            .changed
            .wait_while(state, is_far)
            .expect("no holder panics");
        let item = state.items.as_mut()?.next();
        let place = state.handed;
        match item {
            Some(_) => state.handed += 1,
            None => state.items = None,
        }
        Some((place, item?))
    }

    fn advance(&self, taken: u64) {
        self.state.lock().expect("no holder panics").taken = taken;
        self.changed.notify_all();
    }
}

impl<I> Desk<I> {
    fn close(&self) {
        self.state.lock().expect("no holder panics").items = None;
        self.changed.notify_all();
    }
}

struct CloseOnDrop<'a, I>(&'a Desk<I>);

impl<I> Drop for CloseOnDrop<'_, I> {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

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
            for_each_in_order(3..=500, jobs(count), work, |seed, result| {
                assert_eq!(seed, result);
                taken.push(seed);
                Ok::<(), ()>(())
            })
            .expect("take does not fail");
            assert_eq!(taken, (3..=500).collect::<Vec<_>>());
        }
        let mut taken = Vec::new();
        for_each_in_order(
            u64::MAX - 1..=u64::MAX,
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
    fn items_may_run_out_early() {
        let done = AtomicU64::new(0);
        let items = (0..=u64::MAX).take_while(|_| done.load(Ordering::Relaxed) < 10);
        let mut taken = Vec::new();
        let work = |item| {
            done.fetch_add(1, Ordering::Relaxed);
            item
        };
        for_each_in_order(items, jobs(3), work, |item, _| {
            taken.push(item);
            Ok::<(), ()>(())
        })
        .expect("take does not fail");
        // Two more may be under way when the tenth is done.
        assert!((10..=12).contains(&taken.len()), "{taken:?}");
        assert_eq!(taken, (0..taken.len() as u64).collect::<Vec<_>>());
        for_each_in_order(std::iter::empty::<u64>(), jobs(2), work, |_, _| Err(()))
            .expect("nothing is taken");
    }

    #[test]
    fn an_error_ends_it_soon() {
        let begun = AtomicU64::new(0);
        let work = |_| begun.fetch_add(1, Ordering::Relaxed);
        let result = for_each_in_order(0..=u64::MAX, jobs(2), work, |seed, _| {
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
        for_each_in_order(0..=last, jobs(2), work, |seed, ()| {
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
            for_each_in_order(0..=u64::MAX, jobs(2), work, |_, ()| Ok::<(), ()>(()))
        }));
        assert!(result.is_err());
    }
}
