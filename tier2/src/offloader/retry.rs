//! When what failed is tried again.

use std::time::Duration;

use hstore_core::Timestamp;

/// So often the time between two tries is doubled at most.
const DOUBLINGS_MAX: u32 = 8;

/// How often something failed, and until when it rests for that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Retry {
    /// Nothing is asked before then.
    pub(super) not_before: Timestamp,
    failed: u32,
}

impl Retry {
    /// Whether it rests no more. If so it is not waited for any longer.
    pub(super) fn is_over(&mut self, now: Timestamp) -> bool {
        let is_over = self.not_before <= now;
        if is_over {
            self.not_before = Timestamp::ZERO;
        }
        is_over
    }

    /// Until when it rests, if it does.
    pub(super) fn rests_until(&self) -> Option<Timestamp> {
        Some(self.not_before).filter(|at| *at > Timestamp::ZERO)
    }

    /// It failed: what comes next waits for twice as long as the last time.
    pub(super) fn fail(&mut self, now: Timestamp, shortest: Duration) {
        self.not_before = now + shortest * (1 << self.failed.min(DOUBLINGS_MAX));
        self.failed += 1;
    }
}
