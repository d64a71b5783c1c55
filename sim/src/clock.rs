//! The clocks of a node: virtual time, run too fast or too slow, set wrong, and jumping.
//!
//! A machine has two. The *monotonic* clock is what the node's `now` and its timers follow: it drifts,
//! and now and then it may leap ahead, as that of a machine which was suspended does, but it never goes
//! back. The *system clock* says what time of which day it is, which records are stamped with: it follows
//! the monotonic one, and is set forward and back on top of that.
//!
//! The world itself, its trace and its checkers know virtual time alone.
//!
//! # Invariants
//!
//! - What [`NodeClock::now`] shows never falls as virtual time rises, whatever is done to the clock.
//! - [`NodeClock::when`] is exact: at that time the clock shows what was asked for, or has just passed
//!   it, and a nanosecond before it does not.
//! - A clock that nothing was done to shows virtual time.

use std::time::Duration;

use hstore_core::{Timestamp, WallTime};

/// What every system clock shows when a run begins: a moment of 2024.
const BEGAN: WallTime = WallTime(1_704_067_200_000);
/// A million: of so many nanoseconds a clock is so many parts ahead.
const MILLION: i32 = 1_000_000;

/// The clocks of one node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeClock {
    /// The virtual time since which it runs as it does.
    since: Timestamp,
    /// What it showed then.
    shown: Timestamp,
    /// How many millionths it runs too fast.
    ppm: i32,
    /// How many milliseconds the system clock is set ahead of the monotonic one.
    ahead_ms: i64,
}

impl NodeClock {
    /// What the monotonic clock shows at a virtual time.
    #[must_use]
    pub fn now(&self, at: Timestamp) -> Timestamp {
        let passed = at.since(self.since);
        if self.ppm == 0 {
            return self.shown + passed;
        }
        let shown = passed.as_nanos() * self.rate() / MILLION as u128;
        Timestamp(self.shown.0 + u64::try_from(shown).expect("runs are short"))
    }

    /// The first virtual time at which the monotonic clock shows this or more, as it runs now; not before
    /// it was last touched.
    #[must_use]
    pub fn when(&self, shows: Timestamp) -> Timestamp {
        let to_pass = shows.since(self.shown);
        if self.ppm == 0 {
            return self.since + to_pass;
        }
        let passes = (to_pass.as_nanos() * MILLION as u128).div_ceil(self.rate());
        Timestamp(self.since.0 + u64::try_from(passes).expect("deadlines are near"))
    }

    /// What the system clock shows at a virtual time.
    #[must_use]
    pub fn wall(&self, at: Timestamp) -> WallTime {
        let true_to_itself = BEGAN.0 + self.now(at).0 / 1_000_000;
        WallTime(true_to_itself.saturating_add_signed(self.ahead_ms))
    }

    /// From now on, the clock runs so many millionths too fast; too slow, if negative.
    ///
    /// # Panics
    /// If it were to stand still or go backwards.
    pub fn drift(&mut self, now: Timestamp, ppm: i32) {
        assert!(ppm > -MILLION, "{ppm}: a monotonic clock goes on");
        (self.shown, self.since) = (self.now(now), now);
        self.ppm = ppm;
    }

    /// Both clocks leap ahead.
    pub fn leap(&mut self, now: Timestamp, by: Duration) {
        (self.shown, self.since) = (self.now(now) + by, now);
    }

    /// The system clock is set, so many milliseconds ahead or back.
    pub fn set_wall(&mut self, by_ms: i64) {
        self.ahead_ms += by_ms;
    }

    fn rate(&self) -> u128 {
        u128::try_from(MILLION + self.ppm).expect("a monotonic clock goes on")
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::Rng;

    use super::*;

    #[test]
    fn a_clock_that_is_left_alone_shows_virtual_time() {
        let clock = NodeClock::default();
        for at in [0, 1, 999_999_999, 1 << 50].map(Timestamp) {
            assert_eq!((clock.now(at), clock.when(at)), (at, at));
        }
        let hour = Timestamp::from_millis(3_600_000);
        assert_eq!(clock.wall(hour), WallTime(BEGAN.0 + 3_600_000));
    }

    #[test]
    fn a_drift_is_so_many_millionths_and_a_timer_fires_when_the_clock_shows_it() {
        let mut clock = NodeClock::default();
        let second = Timestamp::from_millis(1_000);
        clock.drift(second, 100);
        let later = Timestamp::from_millis(11_000);
        assert_eq!(clock.now(later), Timestamp(11_000_000_000 + 1_000_000));
        assert_eq!(clock.when(clock.now(later)), later);
        clock.drift(later, -500_000);
        let shown = clock.now(later);
        assert_eq!(
            clock.when(shown + Duration::from_secs(1)),
            later + Duration::from_secs(2)
        );
        clock.leap(later, Duration::from_secs(5));
        assert_eq!(clock.now(later), shown + Duration::from_secs(5));
        assert_eq!(
            clock.when(shown),
            later,
            "what it has passed is due at once"
        );
    }

    #[test]
    fn the_system_clock_goes_back_and_the_monotonic_one_does_not() {
        let mut clock = NodeClock::default();
        let at = Timestamp::from_millis(500);
        clock.set_wall(-400_000);
        assert_eq!(clock.wall(at), WallTime(BEGAN.0 + 500 - 400_000));
        assert_eq!(clock.now(at), at);
        clock.set_wall(i64::MIN / 2);
        assert_eq!(clock.wall(at), WallTime(0), "time began in 1970");
    }

    /// Whatever is done to it, and at odd times.
    #[test]
    fn it_never_goes_back_and_conversions_are_exact() {
        let mut rng = Rng::from_seed(5);
        for _ in 0..200 {
            let mut clock = NodeClock::default();
            let mut at = Timestamp(rng.below(1_000));
            for _ in 0..50 {
                let before = clock.now(at);
                match rng.below(4) {
                    0 => clock.drift(at, rng.within(0..=1_998_000) as i32 - 999_000),
                    1 => clock.leap(at, Duration::from_nanos(rng.below(1_000))),
                    2 => clock.set_wall(rng.below(100) as i64 - 50),
                    _ => {}
                }
                assert!(clock.now(at) >= before);
                let wanted = clock.now(at) + Duration::from_nanos(rng.within(1..=5_000));
                let due = clock.when(wanted);
                assert!(clock.now(due) >= wanted);
                assert!(clock.now(Timestamp(due.0 - 1)) < wanted);
                let next = at + Duration::from_nanos(rng.below(10_000));
                assert!(clock.now(next) >= clock.now(at));
                at = next;
            }
        }
    }
}
