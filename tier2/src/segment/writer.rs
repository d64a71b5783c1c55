//! Making a segment of what a reader delivers.

use bytes::{Bytes, BytesMut};
use hstore_core::{LogId, Lsn, WallTime, crc32c};
use hstore_replicator::reader::{Delivery, GapKind};
use xxhash_rust::xxh3::xxh3_128;

use super::block::Items;
use super::codec::{Codec, Compressor, Decompressor};
use super::info::SegmentInfo;
use super::layout::{BlockEntry, Footer, HEADER, RAW_MAX};

/// A dictionary is made from so many bytes of each block, at its start.
const SAMPLE_BYTES: usize = 4096;
/// Of fewer samples no dictionary is made.
const SAMPLES_MIN: usize = 16;

/// Blocks are compressed once so many bytes of them are there, raw: what is done at a time stays little, however
/// long the segment.
const BATCH_BYTES: usize = 4 << 20;

/// How a segment is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriterOptions {
    /// How blocks are compressed.
    pub codec: Codec,
    /// How hard, for zstd: 1 to 22.
    pub level: i32,
    /// A block ends once it is so long, raw, in bytes.
    pub block_bytes: usize,
    /// The dictionary is at most so long, in bytes; without compression there is none. It pays where blocks
    /// are small.
    pub dictionary_bytes: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self {
            codec: Codec::Zstd,
            level: 3,
            block_bytes: 64 << 10,
            dictionary_bytes: 16 << 10,
        }
    }
}

/// What is no part of the segment, or is damaged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotInOrder {
    /// It does not follow what came before.
    #[error("what stands at {found} does not follow: {expected} is next")]
    Place {
        /// What is next.
        expected: Lsn,
        /// What came.
        found: Lsn,
    },
    /// The record is not the one that was appended, or does not belong there.
    #[error("the record at {0} does not match its checksum or its place")]
    Record(Lsn),
    /// What was given up is not kept.
    #[error("up to {0} everything was given up while the segment was made")]
    Trimmed(Lsn),
    /// The record is longer than a block can be.
    #[error("the record at {0} is longer than 128 MiB")]
    TooLong(Lsn),
}

/// A segment that is being made. It is held in memory until it is finished, compressed but for its newest blocks.
#[derive(Clone, Debug)]
pub struct SegmentWriter {
    log: LogId,
    options: WriterOptions,
    first: Lsn,
    next: Lsn,
    /// The last LSN taken, if any was.
    last: Lsn,
    current: Items,
    /// Where the current block begins.
    current_first: Lsn,
    /// Blocks that are not compressed yet.
    pending: Vec<RawBlock>,
    /// How many bytes they have.
    pending_bytes: usize,
    /// What those that are have in common; made of the first of them.
    dictionary: Option<Vec<u8>>,
    /// The file so far.
    bytes: Vec<u8>,
    index: Vec<u8>,
    blocks: u32,
    times: Option<(WallTime, WallTime)>,
    records: u64,
    payload_bytes: u64,
    raw_bytes: u64,
}

#[derive(Clone, Debug)]
struct RawBlock {
    first: Lsn,
    last: Lsn,
    latest: WallTime,
    records: u32,
    raw: Vec<u8>,
    /// Where its payloads begin.
    payloads: usize,
}

/// A segment as it is stored, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// The file.
    pub bytes: Bytes,
    /// Its companion.
    pub info: SegmentInfo,
    /// XXH3-128 of the file.
    pub hash: u128,
}

impl SegmentWriter {
    /// A segment of what stands in `log` from `first` on.
    #[must_use]
    pub fn new(log: LogId, first: Lsn, options: WriterOptions) -> Self {
        Self {
            log,
            options,
            first,
            next: first,
            last: Lsn::MIN,
            current: Items::default(),
            current_first: first,
            pending: Vec::new(),
            pending_bytes: 0,
            dictionary: None,
            bytes: HEADER.as_bytes().to_vec(),
            index: Vec::new(),
            blocks: 0,
            times: None,
            records: 0,
            payload_bytes: 0,
            raw_bytes: 0,
        }
    }

    /// The next LSN that is wanted.
    #[must_use]
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// So many bytes of payload were taken.
    #[must_use]
    pub fn payload_bytes(&self) -> u64 {
        self.payload_bytes
    }

    /// So many bytes were taken, raw.
    #[must_use]
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes + self.current.raw_bytes() as u64
    }

    /// Takes what stands next.
    ///
    /// # Errors
    /// If it does not stand next, or is damaged. Nothing was taken then.
    pub fn push(&mut self, delivery: &Delivery) -> Result<(), NotInOrder> {
        let (found, last) = (delivery.first(), delivery.last());
        if found != self.next || last < found || last.epoch != found.epoch {
            let expected = self.next;
            return Err(NotInOrder::Place { expected, found });
        }
        match delivery {
            Delivery::Record(lsn, stamped) => {
                if !stamped.belongs_at(self.log, *lsn) || stamped.record.verify().is_err() {
                    return Err(NotInOrder::Record(*lsn));
                }
                let bytes = stamped.record.payload.len();
                if bytes > RAW_MAX as usize / 2 {
                    return Err(NotInOrder::TooLong(*lsn));
                }
                if !self.current.is_empty()
                    && self.current.raw_bytes() + bytes > self.options.block_bytes
                {
                    self.end_block();
                }
                self.current.record(stamped);
                let time = stamped.stamp.time;
                let (earliest, latest) = self.times.unwrap_or((time, time));
                self.times = Some((earliest.min(time), latest.max(time)));
                self.records += 1;
                self.payload_bytes += bytes as u64;
            }
            Delivery::Gap {
                kind: GapKind::Trim,
                last,
                ..
            } => return Err(NotInOrder::Trimmed(*last)),
            Delivery::Gap { kind, first, last } => self.current.gap(*kind, *first, *last),
        }
        self.last = last;
        self.next = last.successor();
        if self.current.raw_bytes() >= self.options.block_bytes {
            self.end_block();
        }
        Ok(())
    }

    fn end_block(&mut self) {
        let records = self.current.records();
        let payload_bytes = self.current.payloads().len();
        let raw = self.current.finish();
        self.raw_bytes += raw.len() as u64;
        self.pending_bytes += raw.len();
        self.pending.push(RawBlock {
            first: self.current_first,
            last: self.last,
            latest: self.times.map_or(WallTime(0), |(_, latest)| latest),
            records,
            payloads: raw.len() - payload_bytes,
            raw,
        });
        self.current_first = self.next;
        if self.pending_bytes >= BATCH_BYTES {
            self.compress();
        }
    }

    /// Compresses the blocks that are there, and sees that they can be had back.
    ///
    /// # Panics
    /// If they cannot: nothing of that is to be put anywhere.
    fn compress(&mut self) {
        if self.dictionary.is_none() {
            self.dictionary = Some(self.make_dictionary());
        }
        let dictionary = self.dictionary.as_deref().unwrap_or_default();
        let codec = self.options.codec;
        let mut compressor = Compressor::new(codec, self.options.level, dictionary);
        let mut decompressor =
            Decompressor::new(codec, dictionary).expect("the dictionary was made here");
        self.pending_bytes = 0;
        for block in self.pending.drain(..) {
            let stored = compressor.compress(&block.raw);
            let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a block is short");
            let raw = length(&block.raw);
            let back = decompressor.decompress(&stored, raw, BytesMut::new());
            assert!(
                back.is_ok_and(|back| back == block.raw),
                "what was compressed is had back"
            );
            let entry = BlockEntry {
                first: block.first,
                last: block.last,
                latest: block.latest,
                offset: self.bytes.len() as u64,
                stored: length(&stored),
                raw,
                records: block.records,
                crc32c: crc32c(&stored),
            };
            entry.put(&mut self.index);
            self.bytes.extend_from_slice(&stored);
            self.blocks += 1;
        }
    }

    /// The segment, or `None` if nothing was taken.
    #[must_use]
    pub fn finish(mut self) -> Option<Finished> {
        if !self.current.is_empty() {
            self.end_block();
        }
        if self.last < self.first {
            return None;
        }
        self.compress();
        let last = self.last;
        let dictionary = self.dictionary.unwrap_or_default();
        let (mut bytes, index) = (self.bytes, self.index);
        bytes.extend_from_slice(&dictionary);
        bytes.extend_from_slice(&index);
        let (earliest, latest) = self.times.unwrap_or_default();
        let footer = Footer {
            codec: self.options.codec,
            log: self.log,
            first: self.first,
            last,
            earliest,
            latest,
            records: self.records,
            payload_bytes: self.payload_bytes,
            raw_bytes: self.raw_bytes,
            blocks: self.blocks,
            index_crc32c: crc32c(&index),
            dictionary_bytes: u32::try_from(dictionary.len()).expect("a dictionary is short"),
            dictionary_crc32c: crc32c(&dictionary),
            body_hash: xxh3_128(&bytes),
        };
        footer.put(&mut bytes);
        Some(Finished {
            info: footer.info(bytes.len() as u64),
            hash: xxh3_128(&bytes),
            bytes: bytes.into(),
        })
    }

    /// What the payloads have in common, or nothing if that cannot be found, or is not worth its bytes.
    fn make_dictionary(&self) -> Vec<u8> {
        let wanted = self
            .options
            .dictionary_bytes
            .min(self.raw_bytes as usize / 16);
        if self.options.codec == Codec::None || wanted == 0 || self.pending.len() < SAMPLES_MIN {
            return Vec::new();
        }
        let samples: Vec<&[u8]> = self.pending.iter().map(RawBlock::sample).collect();
        let dictionary = zstd::dict::from_samples(&samples, wanted).unwrap_or_default();
        let size = |dictionary: &[u8]| -> usize {
            let mut compressor =
                Compressor::new(self.options.codec, self.options.level, dictionary);
            let sizes = self
                .pending
                .iter()
                .step_by(8)
                .map(|it| compressor.compress(&it.raw).len());
            sizes.sum()
        };
        // An eighth of the blocks was tried.
        let saved = size(&[]).saturating_sub(size(&dictionary)) * 8;
        if saved > dictionary.len() {
            dictionary
        } else {
            Vec::new()
        }
    }
}

impl RawBlock {
    fn sample(&self) -> &[u8] {
        let end = self.raw.len().min(self.payloads + SAMPLE_BYTES);
        &self.raw[self.payloads..end]
    }
}
