//! How long an answer is waited for.
//!
//! What is asked again before the answer could come is a load on top of the one that keeps it from coming:
//! waves that follow one another faster than nodes answer, of which none is ever complete; digests and
//! fetches that fill a narrow link many times over. So each try is given twice as long as the one before, and
//! what follows begins where one succeeded: exponential backoff, and a timeout that is kept until an
//! answer says otherwise (Karn and Partridge, "Improving Round-Trip Time Estimates in Reliable
//! Transport Protocols", 1987). Where an answer does not tell which try it is for, it is taken for that of the
//! first: too long is safe.

use std::time::Duration;

/// How often the shortest time is doubled at most.
pub(crate) const DOUBLINGS_MAX: u32 = 5;

/// The time that comes after so many that were not enough.
pub(crate) fn backed_off(shortest: Duration, failed: u32) -> Duration {
    shortest * (1 << failed.min(DOUBLINGS_MAX))
}

/// How long first tries are waited for, by what answers took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Patience {
    /// How often the shortest time is doubled for a first try.
    doublings: u32,
}

impl Patience {
    /// How long a try is waited for after so many that failed.
    pub(crate) fn after(self, failed: u32, shortest: Duration) -> Duration {
        backed_off(shortest, self.doublings.saturating_add(failed))
    }

    /// An answer came `took` after it was asked for: first tries get at least twice as long.
    pub(crate) fn answered(&mut self, took: Duration, shortest: Duration) {
        self.doublings = (0..DOUBLINGS_MAX)
            .find(|&doublings| backed_off(shortest, doublings) >= took * 2)
            .unwrap_or(DOUBLINGS_MAX);
    }

    /// The more patient of two.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            doublings: self.doublings.max(other.doublings),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(60);

    fn after(took_ms: u64) -> Patience {
        let mut patience = Patience::default();
        patience.answered(Duration::from_millis(took_ms), SHORTEST);
        patience
    }

    #[test]
    fn each_try_gets_twice_as_long_up_to_a_bound() {
        let waits: Vec<u32> = (0..8)
            .map(|failed| Patience::default().after(failed, SHORTEST).as_millis() as u32)
            .collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 1920, 1920]);
    }

    #[test]
    fn what_an_answer_took_the_next_first_tries_get_twice() {
        for (took, wait) in [(0, 60), (30, 60), (31, 120), (100, 240), (9_000, 1_920)] {
            let wait = Duration::from_millis(wait);
            assert_eq!(after(took).after(0, SHORTEST), wait, "after {took} ms");
        }
    }

    #[test]
    fn it_comes_down_again() {
        let mut patience = after(400);
        patience.answered(Duration::from_millis(2), SHORTEST);
        assert_eq!(patience, Patience::default());
    }
}
