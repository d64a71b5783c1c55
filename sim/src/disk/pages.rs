//! One file's bytes: what is read of it now, and what a power failure would leave of it.
//!
//! A file only ever grows at its end or is cut, so what is durable and what is cached agree up to
//! some point. Only the durable bytes behind that point are kept a second time, and there are none
//! unless the file was cut: appending and syncing copy nothing.
//!
//! # Invariants
//!
//! - The durable bytes are `cached[..shared]`, then `replaced`; but for what `harm` says.
//! - `shared` is the least length that the file has had since it was last synced.

use std::ops::Range;

use hstore_core::Rng;

use super::harm::Harm;
use super::{PowerLoss, SECTOR_BYTES};

/// The content of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// What is read.
    cached: Vec<u8>,
    /// Up to where that is durable.
    shared: usize,
    /// The durable bytes from there on.
    replaced: Vec<u8>,
    /// What is wrong beneath, if anything is.
    harm: Option<Box<Harm>>,
}

/// How a power failure treats the unsynced sectors of one file. Sectors that fell independently
/// would almost never leave a long row intact; real caches often do.
#[derive(Clone, Copy, Debug)]
enum WriteBack {
    /// None was written.
    Nothing,
    /// All were written.
    Everything,
    /// Those before the one at this position were; that one in part.
    UpTo { position: usize },
    /// Each by itself.
    Scattered,
}

/// What became of an unsynced sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sector {
    /// It is as it was at the last sync.
    Old,
    /// It is as it was in the cache.
    New,
    /// So many bytes are as in the cache, the rest as at the last sync.
    Torn(usize),
    /// It was being written, and is neither: what was not synced of it is anything.
    Garbage,
}

impl Pages {
    /// What is read of the file now.
    pub(super) fn cached(&self) -> &[u8] {
        &self.cached
    }

    pub(super) fn append(&mut self, data: &[u8]) {
        self.cached.extend_from_slice(data);
    }

    /// Cuts the file to `length`, which is not more than it has.
    pub(super) fn truncate(&mut self, length: usize) {
        assert!(length <= self.cached.len(), "a cut does not extend");
        if length < self.shared {
            let cut = &mut self.cached[length..self.shared];
            if let Some(harm) = &mut self.harm {
                harm.surface(length, cut);
                harm.cut(length);
                self.harm.take_if(|harm| harm.is_none());
            }
            self.replaced.splice(0..0, cut.iter().copied());
            self.shared = length;
        }
        self.cached.truncate(length);
    }

    /// Makes what is cached durable. Returns how many bytes that were not.
    pub(super) fn sync(&mut self) -> u64 {
        let written = self.cached.len() - self.shared;
        self.shared = self.cached.len();
        self.replaced = Vec::new();
        written as u64
    }

    /// A sync fails: of what it was to write, some was written, and none will be. The pages count as clean.
    /// Either they stay in the cache as they are, or it drops them and reads back what was written.
    /// Returns how many bytes it was to write. The length is the inode's, and is kept.
    pub(super) fn fail_sync(&mut self, keeps_cache: bool, rng: &mut Rng) -> u64 {
        let unsynced = self.unsynced_bytes();
        if unsynced == 0 {
            return 0;
        }
        let mut medium = self.written_back(rng, &mut PowerLoss::default());
        medium.resize(self.cached.len(), 0);
        let written = medium.split_off(self.shared.min(medium.len()));
        if keeps_cache {
            let at = self.shared;
            self.harm.get_or_insert_default().lay(at, written);
        } else {
            self.cached.truncate(self.shared);
            self.cached.extend(written);
        }
        self.sync();
        unsynced
    }

    /// The durable bytes of a sector, as they are read; `None` if there are none.
    pub(super) fn durable_sector(&self, sector: usize) -> Option<Range<usize>> {
        let bytes = sector * SECTOR_BYTES..((sector + 1) * SECTOR_BYTES).min(self.shared);
        (!bytes.is_empty()).then_some(bytes)
    }

    /// From `at` on the medium holds these bytes, whatever is cached. Those behind what is durable are
    /// left out.
    pub(super) fn lay_beneath(&mut self, at: usize, mut bytes: Vec<u8>) {
        bytes.truncate(self.shared.saturating_sub(at));
        if !bytes.is_empty() {
            self.harm.get_or_insert_default().lay(at, bytes);
        }
    }

    /// The sector cannot be read from now on.
    pub(super) fn make_unreadable(&mut self, sector: usize) {
        self.harm.get_or_insert_default().make_unreadable(sector);
    }

    /// Whether these bytes cannot be read.
    pub(super) fn refuses(&self, bytes: Range<usize>) -> bool {
        self.harm.as_ref().is_some_and(|harm| harm.refuses(bytes))
    }

    /// The cache forgets what is clean: what the medium holds comes to the surface.
    pub(super) fn forget_cached(&mut self) {
        if let Some(harm) = &mut self.harm {
            harm.surface(0, &mut self.cached[..self.shared]);
            harm.forget_cached();
            self.harm.take_if(|harm| harm.is_none());
        }
    }

    /// How many bytes differ between now and the last sync, or may.
    pub(super) fn unsynced_bytes(&self) -> u64 {
        (self.end() - self.shared) as u64
    }

    fn durable_length(&self) -> usize {
        self.shared + self.replaced.len()
    }

    /// The greater of the durable and the cached length.
    fn end(&self) -> usize {
        self.cached.len().max(self.durable_length())
    }

    /// Up to where what is read is durable.
    pub(super) fn shared(&self) -> usize {
        self.shared
    }

    /// Flips a bit of a byte that is durable as it is read. False if there is none.
    pub(super) fn flip_bit(&mut self, byte: usize, bit: u8) -> bool {
        let shared = &mut self.cached[..self.shared];
        let Some(byte) = shared.get_mut(byte) else {
            return false;
        };
        *byte ^= 1 << (bit % 8);
        true
    }

    /// Leaves what was synced, and nothing else.
    pub(super) fn lose_unsynced(&mut self, loss: &mut PowerLoss) {
        self.forget_cached();
        let unsynced = self.unsynced_bytes();
        if unsynced == 0 {
            return;
        }
        loss.unsynced_files += 1;
        loss.unsynced_bytes += unsynced;
        loss.lost_sectors += unsynced.div_ceil(SECTOR_BYTES as u64);
        self.cached.truncate(self.shared);
        self.cached.append(&mut self.replaced);
        self.shared = self.cached.len();
    }

    /// Leaves what a power failure leaves, and makes that the durable and the cached content.
    pub(super) fn lose_power(&mut self, rng: &mut Rng, loss: &mut PowerLoss) {
        self.forget_cached();
        if self.unsynced_bytes() == 0 {
            return;
        }
        loss.unsynced_files += 1;
        loss.unsynced_bytes += self.unsynced_bytes();
        self.cached = self.written_back(rng, loss);
        self.sync();
    }

    /// What is on the medium after some of what was not synced was written.
    fn written_back(&self, rng: &mut Rng, loss: &mut PowerLoss) -> Vec<u8> {
        let end = self.end();
        let length = match rng.below(3) {
            0 => self.durable_length(),
            1 => self.cached.len(),
            _ => rng.within(self.shared as u64..=end as u64) as usize,
        };
        let write_back = match rng.below(4) {
            0 => WriteBack::Nothing,
            1 => WriteBack::Everything,
            2 => WriteBack::UpTo {
                position: rng.within(self.shared as u64..=end as u64) as usize,
            },
            _ => WriteBack::Scattered,
        };
        let mut left = self.cached[..self.shared].to_vec();
        left.resize(end, 0);
        let first = self.shared / SECTOR_BYTES * SECTOR_BYTES;
        for start in (first..end).step_by(SECTOR_BYTES) {
            let fate = write_back.fate(start, rng);
            let from = start.max(self.shared);
            let to = (start + SECTOR_BYTES).min(end);
            let cut = match fate {
                Sector::Old | Sector::Garbage => from,
                Sector::New => to,
                Sector::Torn(bytes) => (start + bytes).clamp(from, to),
            };
            copy_from(&mut left, &self.cached, 0, from, cut);
            copy_from(&mut left, &self.replaced, self.shared, cut, to);
            if fate == Sector::Garbage {
                // Not what was synced of the sector: a disk rewrites that as it was.
                left[from..to].fill_with(|| rng.below(256) as u8);
            }
            loss.count(fate, from < length, to <= length);
        }
        left.truncate(length);
        left
    }
}

impl WriteBack {
    fn fate(self, start: usize, rng: &mut Rng) -> Sector {
        match self {
            Self::Nothing => Sector::Old,
            Self::Everything => Sector::New,
            Self::UpTo { position } if start + SECTOR_BYTES <= position => Sector::New,
            Self::UpTo { position } if position <= start => Sector::Old,
            Self::UpTo { position } => Sector::Torn(position - start),
            Self::Scattered => match rng.below(7) {
                0 | 1 => Sector::Old,
                2 | 3 => Sector::New,
                4 => Sector::Garbage,
                _ => Sector::Torn(rng.within(1..=SECTOR_BYTES as u64 - 1) as usize),
            },
        }
    }
}

/// Copies `from..to` of a file into `left`; `source` holds the file's bytes from `base` on, and
/// zeros stand behind its end.
fn copy_from(left: &mut [u8], source: &[u8], base: usize, from: usize, to: usize) {
    let to = to.min(base + source.len());
    if from < to {
        left[from..to].copy_from_slice(&source[from - base..to - base]);
    }
}

impl PowerLoss {
    /// Counts an unsynced sector, given whether its first and last unsynced byte lie within the
    /// length that is left.
    fn count(&mut self, fate: Sector, begins_inside: bool, ends_inside: bool) {
        match fate {
            Sector::New if ends_inside => self.kept_sectors += 1,
            Sector::New | Sector::Torn(_) if begins_inside => self.torn_sectors += 1,
            Sector::Garbage if begins_inside => self.garbage_sectors += 1,
            _ => self.lost_sectors += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Byte `i` of a file that ends early is zero.
    fn at(content: &[u8], i: usize) -> u8 {
        content.get(i).copied().unwrap_or(0)
    }

    /// How many sectors of `left` are no prefix of the new one with the rest of the old one.
    fn not_mixtures(left: &[u8], old: &[u8], new: &[u8]) -> u64 {
        let is_mixture = |start: usize| {
            let sector = start..(start + SECTOR_BYTES).min(left.len());
            (start..=sector.end).any(|cut| {
                sector
                    .clone()
                    .all(|i| left[i] == if i < cut { at(new, i) } else { at(old, i) })
            })
        };
        let sectors = (0..left.len()).step_by(SECTOR_BYTES);
        sectors.filter(|start| !is_mixture(*start)).count() as u64
    }

    fn random_change(pages: &mut Pages, rng: &mut Rng) {
        if rng.chance(0.25) {
            let length = rng.within(0..=pages.cached().len() as u64);
            pages.truncate(length as usize);
        } else {
            let data: Vec<u8> = (0..rng.within(0..=1_500))
                .map(|_| rng.within(1..=255) as u8)
                .collect();
            pages.append(&data);
        }
    }

    #[test]
    fn synced_bytes_survive_and_unsynced_sectors_are_new_or_old_or_both_or_garbage() {
        let (mut torn, mut lost, mut kept, mut garbage) = (0, 0, 0, 0);
        for seed in 0..2_000 {
            let mut rng = Rng::from_seed(seed);
            let mut pages = Pages::default();
            for _ in 0..rng.below(4) {
                random_change(&mut pages, &mut rng);
            }
            pages.sync();
            let old = pages.cached().to_vec();
            let mut shortest = old.len();
            for _ in 0..rng.below(4) {
                random_change(&mut pages, &mut rng);
                shortest = shortest.min(pages.cached().len());
            }
            let new = pages.cached().to_vec();
            let mut loss = PowerLoss::default();
            pages.lose_power(&mut rng, &mut loss);
            let left = pages.cached();

            assert_eq!(left[..shortest], old[..shortest], "seed {seed}");
            assert!(left.len() <= old.len().max(new.len()), "seed {seed}");
            let strange = not_mixtures(left, &old, &new);
            assert!(strange <= loss.garbage_sectors, "seed {seed}");
            assert_eq!(pages.unsynced_bytes(), 0);
            if old == new && shortest == old.len() {
                assert_eq!(left, old, "seed {seed}: nothing was at stake");
                assert_eq!(loss, PowerLoss::default());
            }
            torn += loss.torn_sectors;
            lost += loss.lost_sectors;
            kept += loss.kept_sectors;
            garbage += strange;
        }
        let told = format!("{torn} torn, {lost} lost, {kept} kept, {garbage} garbage");
        assert!(
            torn > 100 && lost > 100 && kept > 100 && garbage > 50,
            "{told}"
        );
    }

    #[test]
    fn an_append_never_endangers_the_synced_bytes_of_its_first_sector() {
        for seed in 0..500 {
            let mut rng = Rng::from_seed(seed);
            let mut pages = Pages::default();
            pages.append(&[1; 700]);
            assert_eq!(pages.sync(), 700);
            pages.append(&[2; 700]);
            assert_eq!(pages.unsynced_bytes(), 700);
            pages.lose_power(&mut rng, &mut PowerLoss::default());
            assert_eq!(pages.cached()[..700], [1; 700]);
        }
    }

    #[test]
    fn cut_bytes_come_back_until_the_cut_is_synced() {
        let mut came_back = 0;
        for seed in 0..200 {
            let mut rng = Rng::from_seed(seed);
            let mut pages = Pages::default();
            pages.append(&[1; 1_000]);
            pages.sync();
            pages.truncate(600);
            pages.truncate(100);
            let mut synced = pages.clone();
            synced.sync();
            pages.lose_power(&mut rng, &mut PowerLoss::default());
            came_back += u32::from(pages.cached() == [1; 1_000]);
            synced.lose_power(&mut rng, &mut PowerLoss::default());
            assert_eq!(synced.cached(), [1; 100]);
        }
        assert!(came_back > 20);
    }
    #[test]
    fn what_a_failed_sync_was_to_write_is_written_by_no_later_one() {
        let (mut lost, mut read_back) = (0, 0);
        for seed in 0..400 {
            let keeps_cache = seed % 2 == 0;
            let mut rng = Rng::from_seed(seed);
            let mut pages = Pages::default();
            pages.append(&[1; 700]);
            pages.sync();
            pages.append(&[2; 1_500]);
            assert_eq!(pages.fail_sync(keeps_cache, &mut rng), 1_500);
            let seen = pages.cached().to_vec();
            assert_eq!(seen.len(), 2_200, "the length is the inode's");
            assert_eq!(seen[..700], [1; 700]);
            if keeps_cache {
                assert_eq!(seen[700..], [2; 1_500], "until the cache forgets");
            }
            assert_eq!(pages.sync(), 0, "there is nothing left to write");
            pages.append(&[3; 100]);
            assert_eq!(pages.sync(), 100);
            pages.lose_power(&mut rng, &mut PowerLoss::default());
            let left = pages.cached();
            assert_eq!(left[..700], [1; 700]);
            assert_eq!(left[2_200..], [3; 100]);
            lost += u32::from(left[700..2_200] != [2; 1_500]);
            if !keeps_cache {
                read_back += u32::from(seen[700..] != [2; 1_500]);
                assert_eq!(left[..2_200], seen, "seed {seed}");
            }
        }
        assert!(lost > 200 && read_back > 100, "{lost}, {read_back}");
    }

    #[test]
    fn harm_beneath_comes_to_the_surface_also_of_bytes_that_were_cut() {
        let mut pages = Pages::default();
        pages.append(&[1; 2_000]);
        pages.sync();
        pages.lay_beneath(512, vec![9; 512]);
        pages.lay_beneath(1_536, vec![8; 512]);
        assert_eq!(pages.cached(), [1; 2_000], "the cache shows nothing of it");
        let mut cut = pages.clone();
        pages.forget_cached();
        assert_eq!(pages.cached()[512..1_024], [9; 512]);
        assert_eq!(pages.cached()[1_536..], [8; 464], "no more than there is");
        assert_eq!(pages.cached()[..512], [1; 512]);
        // The cut is not synced: what comes back is what the medium holds.
        cut.truncate(600);
        cut.lose_unsynced(&mut PowerLoss::default());
        assert_eq!(cut, pages);
        // A cut that is synced ends it.
        cut.lay_beneath(0, vec![7; 2_000]);
        cut.make_unreadable(1);
        assert!(cut.refuses(500..513) && !cut.refuses(0..512));
        cut.truncate(0);
        cut.append(&[4; 1_000]);
        cut.sync();
        cut.forget_cached();
        assert_eq!(cut.cached(), [4; 1_000]);
        assert!(!cut.refuses(0..1_000));
    }
}
