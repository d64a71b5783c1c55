//! The parts of a segment of fixed size, as bytes.

use bytes::{Buf, BufMut};
use hstore_core::{LogId, Lsn, WallTime, crc32c, crc32c_append};

use super::codec::Codec;
use super::error::{Damage, Part, SegmentError, checked};
use super::info::SegmentInfo;

pub(super) const HEADER: &str = "HSTSEG01";
const TRAILER: &str = "HSTSEGFT";
pub(super) const HEADER_BYTES: usize = HEADER.len();
pub(super) const ENTRY_BYTES: usize = 48;
pub(super) const FOOTER_BYTES: usize = 96;
const SCHEMA: u16 = 1;

/// So many bytes at the end of a segment tell how long its tail is.
pub const TRAILER_BYTES: usize = 16;

/// No raw block is longer: a reader never takes more memory for one.
pub(super) const RAW_MAX: u32 = 1 << 28;

/// What the index says of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockEntry {
    /// The first LSN of the block.
    pub first: Lsn,
    /// Its last LSN.
    pub last: Lsn,
    /// The latest time of any record from the start of the segment to the end of the block; 0 if there is
    /// none.
    pub latest: WallTime,
    /// Where the block begins in the file.
    pub offset: u64,
    /// So many bytes it takes there.
    pub stored: u32,
    /// So many it has when it is decompressed.
    pub raw: u32,
    /// So many records are in it.
    pub records: u32,
    /// Of its stored bytes.
    pub crc32c: u32,
}

impl BlockEntry {
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.first.as_u64());
        out.put_u64_le(self.last.as_u64());
        out.put_u64_le(self.latest.0);
        out.put_u64_le(self.offset);
        out.put_u32_le(self.stored);
        out.put_u32_le(self.raw);
        out.put_u32_le(self.records);
        out.put_u32_le(self.crc32c);
    }

    pub(super) fn get(bytes: &mut &[u8]) -> Self {
        Self {
            first: Lsn::from_u64(bytes.get_u64_le()),
            last: Lsn::from_u64(bytes.get_u64_le()),
            latest: WallTime(bytes.get_u64_le()),
            offset: bytes.get_u64_le(),
            stored: bytes.get_u32_le(),
            raw: bytes.get_u32_le(),
            records: bytes.get_u32_le(),
            crc32c: bytes.get_u32_le(),
        }
    }

    /// Which part of the segment the block is.
    pub(crate) fn part(&self, number: usize) -> Part {
        Part::Block {
            number,
            offset: self.offset,
            bytes: self.stored,
        }
    }
}

/// The footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    pub(super) codec: Codec,
    pub(super) log: LogId,
    pub(super) first: Lsn,
    pub(super) last: Lsn,
    pub(super) earliest: WallTime,
    pub(super) latest: WallTime,
    pub(super) records: u64,
    pub(super) payload_bytes: u64,
    pub(super) raw_bytes: u64,
    pub(super) blocks: u32,
    pub(super) index_crc32c: u32,
    pub(super) dictionary_bytes: u32,
    pub(super) dictionary_crc32c: u32,
    pub(super) body_hash: u128,
}

impl Footer {
    /// How long the tail is.
    pub(super) fn tail_bytes(&self) -> u64 {
        let index = u64::from(self.blocks) * ENTRY_BYTES as u64;
        u64::from(self.dictionary_bytes) + index + (FOOTER_BYTES + TRAILER_BYTES) as u64
    }

    /// Footer and trailer.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_u16_le(SCHEMA);
        out.put_u8(self.codec.as_u8());
        out.put_u8(0);
        out.put_u32_le(self.log.0);
        out.put_u64_le(self.first.as_u64());
        out.put_u64_le(self.last.as_u64());
        out.put_u64_le(self.earliest.0);
        out.put_u64_le(self.latest.0);
        out.put_u64_le(self.records);
        out.put_u64_le(self.payload_bytes);
        out.put_u64_le(self.raw_bytes);
        out.put_u32_le(self.blocks);
        out.put_u32_le(self.index_crc32c);
        out.put_u32_le(self.dictionary_bytes);
        out.put_u32_le(self.dictionary_crc32c);
        out.put_u128_le(self.body_hash);
        debug_assert_eq!(out.len() - start, FOOTER_BYTES);
        let tail = u32::try_from(self.tail_bytes()).expect("a tail is shorter than 4 GiB");
        let crc32c = crc32c_append(crc32c(&out[start..]), &tail.to_le_bytes());
        out.put_u32_le(crc32c);
        out.put_u32_le(tail);
        out.put_slice(TRAILER.as_bytes());
    }

    fn get(mut bytes: &[u8]) -> Result<Self, Damage> {
        let schema = bytes.get_u16_le();
        if schema != SCHEMA {
            return Err(Damage::Schema(schema));
        }
        let codec = Codec::from_u8(bytes.get_u8())?;
        let zero = bytes.get_u8();
        let footer = Self {
            codec,
            log: LogId(bytes.get_u32_le()),
            first: Lsn::from_u64(bytes.get_u64_le()),
            last: Lsn::from_u64(bytes.get_u64_le()),
            earliest: WallTime(bytes.get_u64_le()),
            latest: WallTime(bytes.get_u64_le()),
            records: bytes.get_u64_le(),
            payload_bytes: bytes.get_u64_le(),
            raw_bytes: bytes.get_u64_le(),
            blocks: bytes.get_u32_le(),
            index_crc32c: bytes.get_u32_le(),
            dictionary_bytes: bytes.get_u32_le(),
            dictionary_crc32c: bytes.get_u32_le(),
            body_hash: bytes.get_u128_le(),
        };
        if zero != 0 {
            return Err(Damage::Contradiction("a byte is set that is to be 0"));
        }
        Ok(footer)
    }

    pub(super) fn info(&self, file_bytes: u64) -> SegmentInfo {
        SegmentInfo {
            log: self.log,
            first: self.first,
            last: self.last,
            earliest: self.earliest,
            latest: self.latest,
            records: self.records,
            payload_bytes: self.payload_bytes,
            raw_bytes: self.raw_bytes,
            blocks: self.blocks,
            codec: self.codec,
            file_bytes,
            tail_bytes: self.tail_bytes() as u32,
        }
    }
}

/// The length of the tail, from the last bytes of a segment of `file_bytes`.
pub(super) fn tail_length(end: &[u8], file_bytes: u64) -> Result<u32, SegmentError> {
    let whole = Part::File { bytes: file_bytes };
    let least = (HEADER_BYTES + FOOTER_BYTES + TRAILER_BYTES) as u64;
    if file_bytes < least || end.len() < TRAILER_BYTES {
        let found = file_bytes.min(end.len() as u64);
        let expected = least;
        return Err(Damage::Length { expected, found }.of(whole));
    }
    let offset = file_bytes - TRAILER_BYTES as u64;
    let mut trailer = &end[end.len() - TRAILER_BYTES..];
    if &trailer[8..] != TRAILER.as_bytes() {
        return Err(Damage::Magic { expected: TRAILER }.of(Part::Trailer { offset }));
    }
    trailer.advance(4);
    let tail = trailer.get_u32_le();
    let (shortest, longest) = (
        (FOOTER_BYTES + TRAILER_BYTES) as u64,
        file_bytes - HEADER_BYTES as u64,
    );
    if !(shortest..=longest).contains(&u64::from(tail)) {
        let why = "it says that the tail is longer than the file, or shorter than a footer";
        return Err(Damage::Contradiction(why).of(Part::Trailer { offset }));
    }
    Ok(tail)
}

/// The footer that a tail ends with.
pub(super) fn footer_of(tail: &[u8], file_bytes: u64) -> Result<Footer, SegmentError> {
    let expected = u64::from(tail_length(tail, file_bytes)?);
    let found = tail.len() as u64;
    if expected != found {
        let part = Part::Trailer {
            offset: file_bytes - TRAILER_BYTES as u64,
        };
        return Err(Damage::Length { expected, found }.of(part));
    }
    let end = tail.len() - TRAILER_BYTES;
    let footer = &tail[end - FOOTER_BYTES..end];
    let offset = file_bytes - (FOOTER_BYTES + TRAILER_BYTES) as u64;
    let part = || Part::Footer { offset };
    let mut trailer = &tail[end..];
    let expected = trailer.get_u32_le();
    let covered = [footer, &trailer[..4]].concat();
    checked(&covered, expected).map_err(|it| it.of(part()))?;
    let footer = Footer::get(footer).map_err(|it| it.of(part()))?;
    if footer.tail_bytes() != found {
        let why = "its dictionary and index do not make up the tail";
        return Err(Damage::Contradiction(why).of(part()));
    }
    Ok(footer)
}

/// Whether a segment begins as one must.
pub(super) fn check_header(start: &[u8]) -> Result<(), SegmentError> {
    if start.starts_with(HEADER.as_bytes()) {
        Ok(())
    } else {
        Err(Damage::Magic { expected: HEADER }.of(Part::Header))
    }
}
