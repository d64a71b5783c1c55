//! `i/n`: the part of a campaign's seeds that one machine runs.
//!
//! Shards are counted from 0, as the indices of array jobs are: of 4 there are `0/4`, `1/4`, `2/4` and `3/4`.
//! Shard i of n has the seeds that leave i when divided by n. So shards share no seed, together they have
//! them all, and where time ends a campaign each of them still begins with the lowest seeds.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::seed_range::SeedRange;

/// More machines than this are certainly a mistake.
pub const SHARDS_MAX: u64 = 100_000;

/// A part of all seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Shard {
    index: u64,
    count: u64,
}

/// Why a text is not a shard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseShardError {
    /// There are no two numbers in it.
    #[error("expected I/N, the shard's number from 0 and how many there are, for example 0/4")]
    Form,
    /// There are none, or too many.
    #[error("there are {0} shards: expected 1 to {SHARDS_MAX}")]
    Count(u64),
    /// There is no shard of that number.
    #[error("there is no shard {index}/{count}: shards are counted from 0, the last is {last}/{count}", last = count - 1)]
    Index {
        /// What stands before the `/`.
        index: u64,
        /// What stands after it.
        count: u64,
    },
}

impl Shard {
    /// All seeds.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Its number, from 0.
    #[must_use]
    pub fn index(self) -> u64 {
        self.index
    }

    /// How many shards there are.
    #[must_use]
    pub fn count(self) -> u64 {
        self.count
    }

    /// Whether it has this seed.
    #[must_use]
    pub fn has(self, seed: u64) -> bool {
        seed % self.count == self.index
    }

    /// Its seeds of a range, in order.
    pub fn seeds(self, range: SeedRange) -> impl Iterator<Item = u64> + Send {
        let ahead = (self.index + self.count - range.first() % self.count) % self.count;
        let first = range.first().checked_add(ahead);
        std::iter::successors(first, move |seed| seed.checked_add(self.count))
            .take_while(move |&seed| seed <= range.last())
    }
}

impl FromStr for Shard {
    type Err = ParseShardError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| {
            let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let number = is_number.then(|| text.parse().ok()).flatten();
            number.ok_or(ParseShardError::Form)
        };
        let (index, count) = text.split_once('/').ok_or(ParseShardError::Form)?;
        let (index, count) = (number(index)?, number(count)?);
        if !(1..=SHARDS_MAX).contains(&count) {
            return Err(ParseShardError::Count(count));
        }
        if index >= count {
            return Err(ParseShardError::Index { index, count });
        }
        Ok(Self { index, count })
    }
}

impl TryFrom<String> for Shard {
    type Error = ParseShardError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// `0/4`, as it is read.
impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_have_all_seeds_each_once() {
        for (first, last) in [(1, 20), (0, 0), (7, 9), (u64::MAX - 5, u64::MAX)] {
            let range = SeedRange::new(first, last).expect("not empty");
            for count in [1, 2, 3, 7, 30] {
                let mut seeds: Vec<u64> = (0..count)
                    .flat_map(|index| {
                        let shard = Shard { index, count };
                        let seeds: Vec<u64> = shard.seeds(range).collect();
                        assert!(seeds.is_sorted());
                        assert!(seeds.iter().all(|&seed| shard.has(seed)));
                        seeds
                    })
                    .collect();
                seeds.sort_unstable();
                assert_eq!(seeds, range.iter().collect::<Vec<_>>(), "{range} {count}");
            }
        }
    }

    #[test]
    fn a_bad_shard_says_what_is_wrong_with_it() {
        for text in ["0/1", "3/4", "99999/100000"] {
            assert_eq!(text.parse::<Shard>().expect(text).to_string(), text);
        }
        for (text, why) in [
            ("", "expected I/N"),
            ("1", "expected I/N"),
            ("1/", "expected I/N"),
            ("-1/4", "expected I/N"),
            ("+1/4", "expected I/N"),
            ("1/2/3", "expected I/N"),
            ("0/99999999999999999999", "expected I/N"),
            ("0/0", "there are 0 shards"),
            ("0/100001", "expected 1 to 100000"),
            (
                "4/4",
                "no shard 4/4: shards are counted from 0, the last is 3/4",
            ),
        ] {
            let error = text.parse::<Shard>().expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
