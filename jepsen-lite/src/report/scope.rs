//! Which positions of a log are looked at.
//!
//! If a history is legal, then so is what remains when all positions outside of a scope are left out,
//! together with the appends that put records there. So a part may be judged within its scope alone.
//!
//! Invariant: the ranges are not empty, rising, and do not touch.

use hstore_core::Lsn;

use crate::history::after;

/// Some positions, as ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    /// First and last position of each, both included.
    ranges: Vec<(u64, u64)>,
}

impl Scope {
    /// All positions.
    pub(crate) fn everything() -> Self {
        Self {
            ranges: vec![(0, u64::MAX)],
        }
    }

    /// These ranges, in any order.
    pub(crate) fn of_ranges(ranges: impl IntoIterator<Item = (u64, u64)>) -> Self {
        let mut sorted: Vec<(u64, u64)> = ranges.into_iter().collect();
        sorted.sort_unstable();
        let mut scope = Self::default();
        for (first, last) in sorted {
            match scope.ranges.last_mut() {
                Some(previous) if first <= after(previous.1) => previous.1 = previous.1.max(last),
                _ => scope.ranges.push((first, last)),
            }
        }
        scope
    }

    /// These positions alone.
    pub(crate) fn of_positions(positions: &[Lsn]) -> Self {
        Self::of_ranges(positions.iter().map(|at| (at.as_u64(), at.as_u64())))
    }

    pub(crate) fn ranges(&self) -> &[(u64, u64)] {
        &self.ranges
    }

    /// Without the range of this number.
    pub(crate) fn without(&self, range: usize) -> Self {
        let mut ranges = self.ranges.clone();
        ranges.remove(range);
        Self { ranges }
    }

    pub(crate) fn holds(&self, position: u64) -> bool {
        self.holds_all(position, position)
    }

    /// Whether everything from `first` to `last` is in it; nothing is if `last` is the lower one.
    pub(crate) fn holds_all(&self, first: u64, last: u64) -> bool {
        first > last
            || self
                .ranges
                .iter()
                .any(|range| range.0 <= first && last <= range.1)
    }

    /// What of `first` to `last` is in it.
    pub(crate) fn within(&self, first: u64, last: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        let cut = move |range: &(u64, u64)| (range.0.max(first), range.1.min(last));
        let ranges = self.ranges.iter().map(cut);
        ranges.filter(|(first, last)| first <= last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_ranges_are_one() {
        let at = |offset| Lsn::new(1, offset).as_u64();
        let range = |(first, last)| (at(first), at(last));
        let scope = Scope::of_ranges([(9, 9), (1, 3), (4, 6), (5, 5)].map(range));
        assert_eq!(scope.ranges(), [(1, 6), (9, 9)].map(range));
        assert!(scope.holds_all(at(2), at(6)) && scope.holds(at(9)));
        assert!(!scope.holds_all(at(6), at(9)) && !scope.holds(at(8)));
        let within: Vec<_> = scope.within(at(5), at(20)).collect();
        assert_eq!(
            within,
            [(5, 6), (9, 9)].map(range),
            "cut to what was asked for"
        );
        assert!(Scope::everything().holds_all(0, u64::MAX));
    }
}
