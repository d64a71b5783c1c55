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
    /// It failed: what comes next waits for twice as long as the last time.
    pub(super) fn fail(&mut self, now: Timestamp, shortest: Duration) {
        self.not_before = now + shortest * (1 << self.failed.min(DOUBLINGS_MAX));
        self.failed += 1;
    }
}
