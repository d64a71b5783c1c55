//! Any bytes as a block of a segment whose checksums are right: an error, or records that are what they say. So
//! what stands behind the checksums is reached.
//!
//! `cargo +nightly fuzz run block` in `tier2`

#![no_main]

use bytes::{BufMut, Bytes};
use hstore_core::{LogId, Lsn, crc32c, crc32c_append};
use hstore_replicator::reader::Delivery;
use hstore_tier2::segment::Segment;
use libfuzzer_sys::fuzz_target;
use xxhash_rust::xxh3::xxh3_128;

const LOG: LogId = LogId(7);

/// A segment of one block, not compressed. The layout is that of the crate's documentation.
fn segment(codec: u8, raw_bytes: u32, last: Lsn, records: u32, block: &[u8]) -> Bytes {
    let mut file = b"HSTSEG01".to_vec();
    file.extend_from_slice(block);
    let index_at = file.len();
    file.put_u64_le(Lsn::FIRST.as_u64());
    file.put_u64_le(last.as_u64());
    file.put_u64_le(0);
    file.put_u64_le(8);
    file.put_u32_le(block.len() as u32);
    file.put_u32_le(raw_bytes);
    file.put_u32_le(records);
    file.put_u32_le(crc32c(block));
    let index_crc32c = crc32c(&file[index_at..]);
    let body_hash = xxh3_128(&file);
    let footer_at = file.len();
    file.put_u16_le(1);
    file.put_u8(codec);
    file.put_u8(0);
    file.put_u32_le(LOG.0);
    file.put_u64_le(Lsn::FIRST.as_u64());
    file.put_u64_le(last.as_u64());
    file.put_u64_le(0);
    file.put_u64_le(0);
    file.put_u64_le(u64::from(records));
    file.put_u64_le(0);
    file.put_u64_le(u64::from(raw_bytes));
    file.put_u32_le(1);
    file.put_u32_le(index_crc32c);
    file.put_u32_le(0);
    file.put_u32_le(crc32c(&[]));
    file.put_u128_le(body_hash);
    let tail = (file.len() - index_at + 16) as u32;
    let crc32c = crc32c_append(crc32c(&file[footer_at..]), &tail.to_le_bytes());
    file.put_u32_le(crc32c);
    file.put_u32_le(tail);
    file.extend_from_slice(b"HSTSEGFT");
    file.into()
}

fuzz_target!(|input: (u8, u16, u32, u8, &[u8])| {
    let (codec, raw_bytes, last, records, block) = input;
    let codec = codec % 3;
    let raw_bytes = match codec {
        0 => block.len() as u32,
        _ => u32::from(raw_bytes),
    };
    let last = Lsn::new(1 + last % 2, last / 2);
    let file = segment(codec, raw_bytes, last, u32::from(records), block);
    let tail = Segment::tail_bytes(&file, file.len() as u64).expect("the trailer is right");
    let tail = file.slice(file.len() - tail as usize..);
    let Ok(segment) = Segment::open(&tail, file.len() as u64) else {
        // The range is empty.
        return;
    };
    let Ok(told) = segment.reader().deliveries(0, block) else {
        return;
    };
    let mut next = Lsn::FIRST;
    for delivery in &told {
        assert_eq!(delivery.first(), next);
        if let Delivery::Record(lsn, it) = delivery {
            assert!(it.belongs_at(LOG, *lsn) && it.record.verify().is_ok());
        }
        next = delivery.last().successor();
    }
    assert_eq!(told.last().map(Delivery::last), Some(last));
});
