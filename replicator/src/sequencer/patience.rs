//! How long a wave is waited for.
//!
//! Answers to an old wave do not count. If waves follow one another faster than nodes answer, then no
//! wave is ever complete, and the waves themselves are what keeps the nodes from answering. So each wave
//! of a record is given twice as long as the one before, and the records that follow begin where one
//! succeeded: exponential backoff, and a timeout that is kept until a sample that is free of
//! retransmission says otherwise (Karn and Partridge, "Improving Round-Trip Time Estimates in Reliable
//! Transport Protocols", 1987). That an answer names its wave makes every sample such a one.

use std::time::Duration;

/// How often the shortest timeout is doubled at most.
pub(super) const DOUBLINGS_MAX: u32 = 5;

/// How long the waves of an epoch are waited for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Patience {
    /// How often the shortest timeout is doubled for a first wave.
    doublings: u32,
}

impl Patience {
    /// How long wave number `wave`, from one, of a record is waited for.
    pub(super) fn of(self, wave: u32, shortest: Duration) -> Duration {
        let doublings = self.doublings + wave.saturating_sub(1);
        shortest * (1 << doublings.min(DOUBLINGS_MAX))
    }

    /// A wave was complete `took` after it was sent: first waves get at least twice as long.
    pub(super) fn completed(&mut self, took: Duration, shortest: Duration) {
        self.doublings = (0..DOUBLINGS_MAX)
            .find(|&doublings| shortest * (1 << doublings) >= took * 2)
            .unwrap_or(DOUBLINGS_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORTEST: Duration = Duration::from_millis(60);

    fn after(took_ms: u64) -> Patience {
        let mut patience = Patience::default();
        patience.completed(Duration::from_millis(took_ms), SHORTEST);
        patience
    }

    #[test]
    fn each_wave_gets_twice_as_long_up_to_a_bound() {
        let waits: Vec<u32> = (1..9)
            .map(|wave| Patience::default().of(wave, SHORTEST).as_millis() as u32)
            .collect();
        assert_eq!(waits, [60, 120, 240, 480, 960, 1920, 1920, 1920]);
    }

    #[test]
    fn what_one_wave_took_the_next_first_waves_get_twice() {
        for (took, wait) in [(0, 60), (30, 60), (31, 120), (100, 240), (9_000, 1_920)] {
            let wait = Duration::from_millis(wait);
            assert_eq!(after(took).of(1, SHORTEST), wait, "after {took} ms");
        }
    }

    #[test]
    fn it_comes_down_again() {
        let mut patience = after(400);
        patience.completed(Duration::from_millis(2), SHORTEST);
        assert_eq!(patience, Patience::default());
    }
}
