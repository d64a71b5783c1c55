//! Tables without random order: values by small numbers, sets of numbers, memos.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// The bytes that a value feeds to a hasher: for derived implementations an exact image of it.
#[derive(Default)]
pub(crate) struct Image(Vec<u8>);

impl Image {
    pub(crate) fn of(value: &impl Hash) -> Self {
        let mut image = Self::default();
        value.hash(&mut image);
        image
    }

    /// The image of a machine without its last field, a request counter, which must have come to
    /// `count`. A machine's behaviour depends on the counter only in the numbers it gives to disk
    /// requests, and those are gone once the requests are completed.
    pub(crate) fn without_counter(machine: &impl Hash, count: u64) -> Self {
        let mut image = Self::of(machine);
        let counter = image.0.split_off(image.0.len() - 8);
        assert_eq!(
            counter,
            count.to_ne_bytes(),
            "the machine's last field is its request counter"
        );
        image
    }

    pub(crate) fn and(mut self, value: &impl Hash) -> Self {
        value.hash(&mut self);
        self
    }

    pub(crate) fn and_image(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }
}

impl Hasher for Image {
    fn finish(&self) -> u64 {
        unreachable!("an image is compared, not finished")
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// Distinct values, numbered in the order in which they were met.
pub(crate) struct Interner<T> {
    values: Vec<T>,
    numbers: BTreeMap<Vec<u8>, u32>,
}

impl<T> Interner<T> {
    pub(crate) fn new() -> Self {
        Self {
            values: Vec::new(),
            numbers: BTreeMap::new(),
        }
    }

    pub(crate) fn intern(&mut self, image: Image, value: impl FnOnce() -> T) -> u32 {
        if let Some(&number) = self.numbers.get(&image.0) {
            return number;
        }
        let number = u32::try_from(self.values.len()).expect("fewer than 2^32 values");
        self.values.push(value());
        self.numbers.insert(image.0, number);
        number
    }

    pub(crate) fn get(&self, number: u32) -> &T {
        &self.values[number as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

/// What followed from a pair of numbers, by row and column.
#[derive(Default)]
pub(crate) struct Memo {
    rows: Vec<Vec<u32>>,
}

impl Memo {
    const UNKNOWN: u32 = u32::MAX;

    pub(crate) fn get(&self, row: u32, column: u32) -> Option<u32> {
        let value = *self.rows.get(row as usize)?.get(column as usize)?;
        (value != Self::UNKNOWN).then_some(value)
    }

    pub(crate) fn set(&mut self, row: u32, column: u32, value: u32) {
        let (row, column) = (row as usize, column as usize);
        if self.rows.len() <= row {
            self.rows.resize_with(row + 1, Vec::new);
        }
        let row = &mut self.rows[row];
        if row.len() <= column {
            row.resize(column + 1, Self::UNKNOWN);
        }
        row[column] = value;
    }
}

/// A map from pairs of numbers to numbers, for pairs too many for a [`Memo`].
pub(crate) struct PairMap {
    slots: Vec<(u64, u32)>,
    len: usize,
}

impl PairMap {
    const EMPTY: u64 = u64::MAX;

    pub(crate) fn new() -> Self {
        Self {
            slots: vec![(Self::EMPTY, 0); 1 << 12],
            len: 0,
        }
    }

    fn slot(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = mix(key) as usize & mask;
        while self.slots[at].0 != Self::EMPTY && self.slots[at].0 != key {
            at = (at + 1) & mask;
        }
        at
    }

    pub(crate) fn get(&self, a: u32, b: u32) -> Option<u32> {
        let (key, value) = self.slots[self.slot(pair(a, b))];
        (key != Self::EMPTY).then_some(value)
    }

    pub(crate) fn set(&mut self, a: u32, b: u32, value: u32) {
        if (self.len + 1) * 2 > self.slots.len() {
            let double = vec![(Self::EMPTY, 0); self.slots.len() * 2];
            for (key, value) in std::mem::replace(&mut self.slots, double) {
                if key != Self::EMPTY {
                    let at = self.slot(key);
                    self.slots[at] = (key, value);
                }
            }
        }
        let at = self.slot(pair(a, b));
        self.len += usize::from(self.slots[at].0 == Self::EMPTY);
        self.slots[at] = (pair(a, b), value);
    }
}

fn pair(a: u32, b: u32) -> u64 {
    u64::from(a) << 32 | u64::from(b)
}

pub(crate) fn mix(mut key: u64) -> u64 {
    key = (key ^ (key >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    key = (key ^ (key >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    key ^ (key >> 32)
}
