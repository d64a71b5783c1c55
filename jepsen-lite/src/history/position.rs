//! LSNs as numbers, for walking along a log.
//!
//! Offsets start at 1 and epochs at 1, so some numbers name no position; as a bound, such a number
//! means the next one that does. [`position`] and [`after`] never return one that does not.

use hstore_core::Lsn;

/// The first position at or above `lsn`.
#[must_use]
pub(crate) fn position(lsn: Lsn) -> u64 {
    normal(lsn.as_u64())
}

/// The first position above `position`; the greatest number of all stays as it is.
#[must_use]
pub(crate) fn after(position: u64) -> u64 {
    normal(position.saturating_add(1))
}

fn normal(number: u64) -> u64 {
    let number = number.max(Lsn::FIRST.as_u64());
    if number & u64::from(u32::MAX) == 0 {
        number + 1
    } else {
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_position_steps_over_what_names_none() {
        assert_eq!(position(Lsn::MIN), Lsn::FIRST.as_u64());
        assert_eq!(position(Lsn::new(0, 7)), Lsn::FIRST.as_u64());
        assert_eq!(position(Lsn::new(3, 0)), Lsn::new(3, 1).as_u64());
        assert_eq!(position(Lsn::new(3, 5)), Lsn::new(3, 5).as_u64());
        assert_eq!(after(position(Lsn::new(3, 5))), Lsn::new(3, 6).as_u64());
        assert_eq!(
            after(Lsn::new(3, u32::MAX).as_u64()),
            Lsn::new(4, 1).as_u64()
        );
        assert_eq!(after(Lsn::MAX.as_u64()), Lsn::MAX.as_u64());
    }
}
