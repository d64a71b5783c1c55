//! `A..B`: the seeds of a campaign, both ends included.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Seeds from `first` to `last`, both included; never empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeedRange {
    first: u64,
    last: u64,
}

/// Why a text is not a range of seeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseSeedRangeError {
    /// There is no `..` in it.
    #[error("expected A..B, both ends included, for example 1..100")]
    Form,
    /// An end is not a seed.
    #[error("{0:?} is not a seed: expected a number from 0 to {max}", max = u64::MAX)]
    Seed(String),
    /// The ends are the wrong way round.
    #[error("there is no seed from {first} to {last}: expected A..B with A not above B")]
    Empty {
        /// What stands before the `..`.
        first: u64,
        /// What stands after it.
        last: u64,
    },
}

impl SeedRange {
    /// The seeds from `first` to `last`; `None` if there are none.
    #[must_use]
    pub fn new(first: u64, last: u64) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// All seeds from `first` on.
    #[must_use]
    pub const fn from(first: u64) -> Self {
        Self {
            first,
            last: u64::MAX,
        }
    }

    /// The first seed.
    #[must_use]
    pub fn first(self) -> u64 {
        self.first
    }

    /// The last seed.
    #[must_use]
    pub fn last(self) -> u64 {
        self.last
    }

    /// The seeds, in order.
    pub fn iter(self) -> impl Iterator<Item = u64> + Send {
        self.first..=self.last
    }

    /// How many seeds; one less than that for all there are.
    #[must_use]
    pub fn count(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }
}

impl FromStr for SeedRange {
    type Err = ParseSeedRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, last) = text.split_once("..").ok_or(ParseSeedRangeError::Form)?;
        if last.starts_with('=') {
            return Err(ParseSeedRangeError::Form);
        }
        let seed = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let error = || ParseSeedRangeError::Seed(text.to_owned());
            if is_number {
                text.parse().map_err(|_| error())
            } else {
                Err(error())
            }
        };
        let (first, last) = (seed(first)?, seed(last)?);
        Self::new(first, last).ok_or(ParseSeedRangeError::Empty { first, last })
    }
}

/// `1..100`, as it is read.
impl fmt::Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_included() {
        for (text, count) in [
            ("1..1", 1),
            ("1..100", 100),
            ("0..18446744073709551615", u64::MAX),
        ] {
            let range: SeedRange = text.parse().expect(text);
            assert_eq!(range.count(), count);
            assert_eq!(range.to_string(), text);
        }
    }

    #[test]
    fn a_bad_range_says_what_is_wrong_with_it() {
        for (text, why) in [
            ("", "expected A..B"),
            ("7", "expected A..B"),
            ("1-7", "expected A..B"),
            ("1..=7", "expected A..B"),
            ("..7", "\"\" is not a seed"),
            ("1..", "\"\" is not a seed"),
            ("1...7", "\".7\" is not a seed"),
            ("-1..7", "\"-1\" is not a seed"),
            ("+1..7", "\"+1\" is not a seed"),
            ("1..x\ny", "\"x\\ny\" is not a seed"),
            ("0..18446744073709551616", "is not a seed"),
            ("7..1", "no seed from 7 to 1"),
        ] {
            let error = text.parse::<SeedRange>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains('\n'), "{error}");
        }
    }
}
