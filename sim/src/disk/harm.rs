//! What is wrong with the medium beneath a file, while the page cache still shows it whole.
//!
//! Most files have none of this. A file has where a sync failed, or a write went astray: the pages count
//! as clean, so no later sync writes them, and what is read is right until the cache forgets them. Then
//! what the medium holds comes to the surface. And it has where sectors cannot be read any more.
//!
//! # Invariants
//!
//! - All of it lies within what counts as durable.
//! - What is written anew is sound: harm ends where a file is cut.

use std::collections::BTreeSet;
use std::ops::Range;

use super::SECTOR_BYTES;

/// What is wrong beneath one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Harm {
    /// What the medium holds, and where; of two at one place the later one counts.
    beneath: Vec<(usize, Vec<u8>)>,
    /// Sectors, by number, that cannot be read.
    unreadable: BTreeSet<usize>,
}

impl Harm {
    /// From `at` on the medium holds these bytes, whatever is cached.
    pub(super) fn lay(&mut self, at: usize, bytes: Vec<u8>) {
        self.beneath.push((at, bytes));
    }

    /// The sector with this number cannot be read from now on.
    pub(super) fn make_unreadable(&mut self, sector: usize) {
        self.unreadable.insert(sector);
    }

    /// Whether a read of these bytes would touch a sector that cannot be read.
    pub(super) fn refuses(&self, bytes: Range<usize>) -> bool {
        let sectors = bytes.start / SECTOR_BYTES..bytes.end.div_ceil(SECTOR_BYTES);
        !bytes.is_empty() && self.unreadable.range(sectors).next().is_some()
    }

    /// Puts what the medium holds from byte `from` on into `content`, which begins there.
    pub(super) fn surface(&self, from: usize, content: &mut [u8]) {
        for (at, bytes) in &self.beneath {
            let begin = (*at).max(from);
            let end = (at + bytes.len()).min(from + content.len());
            if begin < end {
                content[begin - from..end - from].copy_from_slice(&bytes[begin - at..end - at]);
            }
        }
    }

    /// The cache has forgotten the file: what the medium holds is all there is.
    pub(super) fn forget_cached(&mut self) {
        self.beneath.clear();
    }

    /// The file is cut to `length`: what lay behind that is gone.
    pub(super) fn cut(&mut self, length: usize) {
        for (at, bytes) in &mut self.beneath {
            bytes.truncate(length.saturating_sub(*at));
        }
        self.beneath.retain(|(_, bytes)| !bytes.is_empty());
        self.unreadable.split_off(&length.div_ceil(SECTOR_BYTES));
    }

    /// Whether there is none.
    pub(super) fn is_none(&self) -> bool {
        self.beneath.is_empty() && self.unreadable.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_pieces_shows_and_a_cut_ends_both() {
        let mut harm = Harm::default();
        harm.lay(2, vec![1; 4]);
        harm.lay(4, vec![2; 4]);
        let mut content = [0; 10];
        harm.surface(0, &mut content);
        assert_eq!(content, [0, 0, 1, 1, 2, 2, 2, 2, 0, 0]);
        let mut rest = [0; 3];
        harm.surface(5, &mut rest);
        assert_eq!(rest, [2, 2, 2]);
        harm.cut(5);
        let mut content = [0; 10];
        harm.surface(0, &mut content);
        assert_eq!(content, [0, 0, 1, 1, 2, 0, 0, 0, 0, 0]);
        harm.cut(1);
        assert!(harm.is_none());
    }

    #[test]
    fn a_read_is_refused_if_it_touches_a_sector_that_cannot_be_read() {
        let mut harm = Harm::default();
        harm.make_unreadable(1);
        assert!(!harm.refuses(0..SECTOR_BYTES));
        assert!(harm.refuses(0..SECTOR_BYTES + 1));
        assert!(harm.refuses(SECTOR_BYTES + 5..SECTOR_BYTES + 6));
        assert!(!harm.refuses(2 * SECTOR_BYTES..3 * SECTOR_BYTES));
        assert!(!harm.refuses(SECTOR_BYTES..SECTOR_BYTES), "nothing is read");
        harm.cut(SECTOR_BYTES + 1);
        assert!(!harm.is_none(), "the sector is still there in part");
        harm.cut(SECTOR_BYTES);
        assert!(harm.is_none());
    }
}
