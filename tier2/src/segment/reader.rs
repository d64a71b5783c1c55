//! Reading a segment: its tail once, then any of its blocks.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use hstore_core::{Lsn, WallTime};
use hstore_replicator::reader::Delivery;
use xxhash_rust::xxh3::xxh3_128;

use super::block::Block;
use super::codec::Decompressor;
use super::error::{Damage, Part, SegmentError, checked};
use super::info::SegmentInfo;
use super::layout::{
    BlockEntry, ENTRY_BYTES, FOOTER_BYTES, HEADER_BYTES, RAW_MAX, TRAILER_BYTES, check_header,
    footer_of, tail_length,
};

/// A segment whose tail was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    info: SegmentInfo,
    blocks: Vec<BlockEntry>,
    dictionary: Bytes,
    body_hash: u128,
}

impl Segment {
    /// How long the tail of a segment of `file_bytes` is, in bytes, from its last [`TRAILER_BYTES`] (or more).
    /// For whom no manifest tells it.
    ///
    /// # Errors
    /// If they are not the end of a segment.
    pub fn tail_bytes(end: &[u8], file_bytes: u64) -> Result<u32, SegmentError> {
        tail_length(end, file_bytes)
    }

    /// Opens a segment of `file_bytes` by its tail.
    ///
    /// # Errors
    /// If it is not one, or is damaged.
    pub fn open(tail: &Bytes, file_bytes: u64) -> Result<Self, SegmentError> {
        let footer = footer_of(tail, file_bytes)?;
        let dictionary_end = footer.dictionary_bytes as usize;
        let index_end = tail.len() - FOOTER_BYTES - TRAILER_BYTES;
        let dictionary = tail.slice(..dictionary_end);
        let start = file_bytes - tail.len() as u64;
        let part = Part::Dictionary { offset: start };
        checked(&dictionary, footer.dictionary_crc32c)
            .and_then(|()| Decompressor::new(footer.codec, &dictionary).map(drop))
            .map_err(|it| it.of(part))?;
        let mut index = &tail[dictionary_end..index_end];
        let offset = start + dictionary_end as u64;
        let part = || Part::Index { offset };
        checked(index, footer.index_crc32c).map_err(|it| it.of(part()))?;
        let mut blocks = Vec::with_capacity(index.len() / ENTRY_BYTES);
        while !index.is_empty() {
            blocks.push(BlockEntry::get(&mut index));
        }
        let info = footer.info(file_bytes);
        check_index(&blocks, &info, start).map_err(|it| it.of(part()))?;
        Ok(Self {
            info,
            blocks,
            // The tail need not be kept for it.
            dictionary: Bytes::copy_from_slice(&dictionary),
            body_hash: footer.body_hash,
        })
    }

    /// Opens a segment that is there as a whole, and checks all of it: every checksum, and every record.
    ///
    /// # Errors
    /// If it is damaged anywhere.
    pub fn verify(file: &Bytes) -> Result<Self, SegmentError> {
        let file_bytes = file.len() as u64;
        let tail = Self::tail_bytes(file, file_bytes)? as usize;
        let segment = Self::open(&file.slice(file.len() - tail..), file_bytes)?;
        check_header(file)?;
        let mut records = 0;
        let mut payload_bytes = 0;
        for block in segment.read(file) {
            for delivery in block? {
                if let Delivery::Record(_, it) = delivery {
                    records += 1;
                    payload_bytes += it.record.payload.len() as u64;
                }
            }
        }
        let whole = || Part::File { bytes: file_bytes };
        let (expected, body) = (segment.body_hash, file.len() - FOOTER_BYTES - TRAILER_BYTES);
        let found = xxh3_128(&file[..body]);
        if found != expected {
            return Err(Damage::Hash { expected, found }.of(whole()));
        }
        if (records, payload_bytes) != (segment.info.records, segment.info.payload_bytes) {
            let why = "its footer counts other records than its blocks hold";
            return Err(Damage::Contradiction(why).of(whole()));
        }
        Ok(segment)
    }

    /// What it holds.
    #[must_use]
    pub fn info(&self) -> &SegmentInfo {
        &self.info
    }

    /// Its blocks, in order.
    #[must_use]
    pub fn blocks(&self) -> &[BlockEntry] {
        &self.blocks
    }

    /// The number of the block in which `lsn` lies; `None` outside the segment's range.
    #[must_use]
    pub fn block_of(&self, lsn: Lsn) -> Option<usize> {
        let number = self.blocks.partition_point(|it| it.last < lsn);
        let block = self.blocks.get(number)?;
        (block.first <= lsn).then_some(number)
    }

    /// The number of the first block that has a record of `time` or later, if any has.
    #[must_use]
    pub fn block_at(&self, time: WallTime) -> Option<usize> {
        if self.info.records == 0 {
            return None;
        }
        let number = self.blocks.partition_point(|it| it.latest < time);
        // Where the time is before all records, the first blocks may have none.
        let has_records = |it: &BlockEntry| it.records > 0;
        let rest = self.blocks.get(number..)?;
        rest.iter()
            .position(has_records)
            .map(|ahead| number + ahead)
    }

    /// Where a block lies in the file.
    #[must_use]
    pub fn range(&self, number: usize) -> Range<u64> {
        let block = &self.blocks[number];
        block.offset..block.offset + u64::from(block.stored)
    }

    /// What stands in its blocks, one after the other, where its file is there as a whole. A block that is not what
    /// was written keeps nothing back of the others.
    pub fn read(&self, file: &[u8]) -> impl Iterator<Item = Result<Vec<Delivery>, SegmentError>> {
        let mut reader = self.reader();
        (0..self.blocks.len()).map(move |number| {
            let Range { start, end } = self.range(number);
            // What is cut short is found out by its length.
            let end = file.len().min(end as usize);
            reader.deliveries(number, file.get(start as usize..end).unwrap_or_default())
        })
    }

    /// Reads blocks, one after the other.
    #[must_use]
    pub fn reader(&self) -> BlockReader<'_> {
        BlockReader {
            segment: self,
            decompressor: Decompressor::new(self.info.codec, &self.dictionary)
                .expect("it was tried when the segment was opened"),
        }
    }
}

/// Reads blocks of one segment. What decompression needs is set up once.
pub struct BlockReader<'a> {
    segment: &'a Segment,
    decompressor: Decompressor<'a>,
}

impl BlockReader<'_> {
    /// A block, of the bytes that are stored in its [range](Segment::range). It lies in `room`, whatever that held
    /// before.
    ///
    /// # Errors
    /// If they are not those that were written.
    pub fn block(
        &mut self,
        number: usize,
        stored: &[u8],
        room: BytesMut,
    ) -> Result<Block, SegmentError> {
        let entry = &self.segment.blocks[number];
        let of_block = |damage: Damage| damage.of(entry.part(number));
        let (expected, found) = (u64::from(entry.stored), stored.len() as u64);
        if expected != found {
            return Err(of_block(Damage::Length { expected, found }));
        }
        checked(stored, entry.crc32c).map_err(of_block)?;
        let raw = self.decompressor.decompress(stored, entry.raw, room);
        let raw = raw.map_err(of_block)?;
        Ok(Block::new(self.segment.info.log, entry, raw))
    }

    /// What stands in a block.
    ///
    /// # Errors
    /// If it is not what was written.
    pub fn deliveries(
        &mut self,
        number: usize,
        stored: &[u8],
    ) -> Result<Vec<Delivery>, SegmentError> {
        let block = self.block(number, stored, BytesMut::new())?;
        let entry = &self.segment.blocks[number];
        block.deliveries().map_err(|it| it.of(entry.part(number)))
    }
}

/// Whether the index tells of blocks that tile the range and fill the file up to the tail.
fn check_index(blocks: &[BlockEntry], info: &SegmentInfo, tail: u64) -> Result<(), Damage> {
    let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else {
        return Err(Damage::Contradiction("there is no block"));
    };
    let follow = |pair: &[BlockEntry]| {
        let [one, two] = pair else { return true };
        one.last < Lsn::MAX
            && one.last.successor() == two.first
            && one.latest <= two.latest
            && one.offset.checked_add(u64::from(one.stored)) == Some(two.offset)
    };
    let in_order = first.first == info.first
        && last.last == info.last
        && last.latest == info.latest
        && first.offset == HEADER_BYTES as u64
        && last.offset.checked_add(u64::from(last.stored)) == Some(tail)
        && blocks
            .iter()
            .all(|it| it.first <= it.last && it.raw <= RAW_MAX)
        && blocks.windows(2).all(follow);
    let sum = |of: fn(&BlockEntry) -> u32| blocks.iter().map(|it| u64::from(of(it))).sum::<u64>();
    if !in_order || sum(|it| it.raw) != info.raw_bytes || sum(|it| it.records) != info.records {
        return Err(Damage::Contradiction("its blocks do not tile the segment"));
    }
    Ok(())
}
