//! The clock: the one place that asks the machine for the time.
//!
//! A node's timestamps count from its start and never go back.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use hstore_core::{Timestamp, WallTime};

/// A clock that started at [`Timestamp::ZERO`]. Copies tell the same time.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the port through which time enters"
    )]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        let nanos = u64::try_from(self.start.elapsed().as_nanos());
        Timestamp(nanos.expect("a process lives less than 584 years"))
    }

    /// What the system clock shows; 0 if that lies before 1970.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the port through which time enters"
    )]
    pub fn wall(&self) -> WallTime {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let millis = since.map_or(0, |it| it.as_millis());
        WallTime(u64::try_from(millis).expect("584 million years are not over"))
    }

    /// Returns at `at` or a little later; never, if that is `None`.
    pub async fn sleep_until(&self, at: Option<Timestamp>) {
        match at {
            Some(at) => {
                let instant = self.start + Duration::from_nanos(at.0);
                tokio::time::sleep_until(instant.into()).await;
            }
            None => std::future::pending().await,
        }
    }
}
