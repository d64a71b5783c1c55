//! A column of numbers that lie a little above those of another column.
//!
//! Most operations end soon after they began, so what lies between is kept in four bytes. What is far above,
//! or below, is kept aside.

use std::collections::BTreeMap;

/// Stands for "no number yet".
const NONE: u32 = u32::MAX;
/// Stands for a number that is kept aside.
const ASIDE: u32 = u32::MAX - 1;

/// Such a column. The number of the other column must be the same each time.
#[derive(Clone, Debug, Default)]
pub(super) struct Later {
    above: Vec<u32>,
    aside: BTreeMap<usize, u64>,
}

impl Later {
    /// Adds a row without a number.
    pub(super) fn push(&mut self) {
        self.above.push(NONE);
    }

    /// Sets the number of a row, where that of the other column is `base`.
    pub(super) fn set(&mut self, at: usize, base: u64, number: u64) {
        let above = number.checked_sub(base).map(u32::try_from);
        self.above[at] = match above {
            Some(Ok(above)) if above < ASIDE => above,
            _ => {
                self.aside.insert(at, number);
                ASIDE
            }
        };
    }

    /// The number of a row, if it was set.
    #[inline]
    pub(super) fn get(&self, at: usize, base: u64) -> Option<u64> {
        match self.above[at] {
            NONE => None,
            ASIDE => Some(self.aside[&at]),
            above => Some(base + u64::from(above)),
        }
    }

    /// How many bytes it occupies; what is kept aside is counted by its contents.
    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&self.above[..]) + self.aside.len() * size_of::<(usize, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_wherever_they_lie() {
        let base = 1 << 40;
        let far = u64::from(u32::MAX);
        let numbers = [0, 1, far - 2, far - 1, far, far + 1, far << 8];
        let below = [base - 1, 0];
        let numbers: Vec<u64> = numbers.iter().map(|by| base + by).chain(below).collect();
        let mut column = Later::default();
        for (at, &number) in numbers.iter().enumerate() {
            column.push();
            assert_eq!(column.get(at, base), None);
            column.set(at, base, number);
        }
        for (at, &number) in numbers.iter().enumerate() {
            assert_eq!(column.get(at, base), Some(number));
        }
    }
}
