//! One piece of work that can be watched, and ended at once.
//!
//! The work is done on a thread of its own, so that whoever waits for it can tell how far it is, and can
//! leave it alone when somebody presses Ctrl-C: reading cannot be interrupted otherwise.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use jepsen_lite::search::Progress;

use super::progress::Bar;

/// How often whoever waits looks around.
const TICK: Duration = Duration::from_millis(50);

/// Work that is asked to stop has so many ticks to say what it knows.
const LAST_TICKS: u32 = 10;

/// What is known of a piece of work while it goes on.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    bytes: AtomicU64,
    bytes_total: AtomicU64,
    /// Whether everything is read.
    judging: AtomicBool,
    steps: AtomicU64,
    events: AtomicU64,
    events_total: AtomicU64,
    stop: AtomicBool,
}

/// How far a piece of work is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stage {
    Reading {
        bytes: u64,
        bytes_total: u64,
    },
    Judging {
        steps: u64,
        events: u64,
        events_total: u64,
    },
}

impl Watch {
    pub(crate) fn expect_bytes(&self, total: u64) {
        self.bytes_total.store(total, Ordering::Relaxed);
    }

    pub(crate) fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Everything is read.
    pub(crate) fn judging(&self) {
        self.judging.store(true, Ordering::Relaxed);
    }

    /// Notes how far a search is, and tells whether it should go on.
    pub(crate) fn go_on(&self, progress: Progress) -> bool {
        self.steps.store(progress.steps, Ordering::Relaxed);
        self.events.store(progress.events as u64, Ordering::Relaxed);
        self.events_total
            .store(progress.events_total as u64, Ordering::Relaxed);
        !self.stop.load(Ordering::Relaxed)
    }

    pub(crate) fn stage(&self) -> Stage {
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        match self.judging.load(Ordering::Relaxed) {
            false => Stage::Reading {
                bytes: load(&self.bytes),
                bytes_total: load(&self.bytes_total),
            },
            true => Stage::Judging {
                steps: load(&self.steps),
                events: load(&self.events),
                events_total: load(&self.events_total),
            },
        }
    }
}

/// What came of a piece of work.
pub(crate) enum Done<T> {
    /// This. It may have been cut short.
    Finished(T),
    /// It was left alone at this stage.
    Interrupted(Stage),
}

/// Whether somebody has pressed Ctrl-C.
pub(crate) fn interrupted() -> bool {
    flag().load(Ordering::Relaxed)
}

fn flag() -> &'static AtomicBool {
    static INTERRUPTED: OnceLock<AtomicBool> = OnceLock::new();
    INTERRUPTED.get_or_init(|| {
        // Without it, Ctrl-C ends the process all the same, but says nothing.
        let _ = ctrlc::set_handler(|| flag().store(true, Ordering::Relaxed));
        AtomicBool::new(false)
    })
}

/// Does some work, shows on a terminal how far it is, and leaves it alone when somebody presses Ctrl-C.
pub(crate) fn run<T: Send + 'static>(
    name: &str,
    work: impl FnOnce(&Arc<Watch>) -> T + Send + 'static,
) -> Done<T> {
    interrupted();
    let watch = Arc::new(Watch::default());
    let (sender, receiver) = mpsc::channel();
    let watched = Arc::clone(&watch);
    let worker = thread::Builder::new().name("judge".to_owned());
    let worker = worker.spawn(move || {
        // Whoever waited may have left.
        let _ = sender.send(work(&watched));
    });
    let worker = worker.expect("the system has room for one more thread");
    let mut bar = Bar::new(name);
    let mut last_ticks = LAST_TICKS;
    loop {
        match receiver.recv_timeout(TICK) {
            Ok(done) => return Done::Finished(done),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                let panic = worker.join().expect_err("it ended without a word");
                std::panic::resume_unwind(panic);
            }
        }
        bar.show(watch.stage());
        if interrupted() {
            watch.stop.store(true, Ordering::Relaxed);
            last_ticks -= 1;
            if last_ticks == 0 {
                return Done::Interrupted(watch.stage());
            }
        }
    }
}
