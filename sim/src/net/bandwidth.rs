//! Links of a bandwidth: messages wait for those before them, and there is room for so many.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::{Address, Timestamp};
use serde::{Deserialize, Serialize};

/// How much passes a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bandwidth {
    /// Bytes that pass in a second; not 0.
    pub bytes_per_second: u64,
    /// Bytes that may wait. A message for which there is no room is lost; one that finds nobody waiting
    /// passes, however long it is.
    pub buffer_bytes: u64,
}

impl Bandwidth {
    /// What two limits on one link come to.
    #[must_use]
    pub fn narrower(self, other: Self) -> Self {
        Self {
            bytes_per_second: self.bytes_per_second.min(other.bytes_per_second),
            buffer_bytes: self.buffer_bytes.min(other.buffer_bytes),
        }
    }
}

/// What waits on each link.
#[derive(Clone, Debug, Default)]
pub(super) struct Queues {
    /// Until when what was sent so far passes.
    busy: BTreeMap<(Address, Address), Timestamp>,
}

impl Queues {
    /// How long a message takes until the last of its bytes has left; `None` if there is no room for it.
    pub(super) fn pass(
        &mut self,
        now: Timestamp,
        link: (Address, Address),
        bytes: usize,
        band: Bandwidth,
    ) -> Option<Duration> {
        const SECOND: u128 = 1_000_000_000;
        let (bytes, rate) = (bytes as u128, u128::from(band.bytes_per_second));
        let busy = self.busy.entry(link).or_insert(now);
        let waits = busy.since(now);
        let waiting = waits.as_nanos() * rate / SECOND;
        if !waits.is_zero() && waiting + bytes > u128::from(band.buffer_bytes) {
            return None;
        }
        let nanos = (bytes * SECOND).div_ceil(rate);
        let passes = Duration::from_nanos(u64::try_from(nanos).expect("messages are bounded"));
        *busy = now + waits + passes;
        Some(waits + passes)
    }
}
