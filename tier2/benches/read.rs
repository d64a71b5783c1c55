//! Reading a log from segments in files, beside decompressing the same blocks of the same files and no more:
//! what is left of the speed of the codec. One thread; the files are in the system's cache.
//!
//! `cargo bench -p hstore-tier2`

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hstore_core::{LogId, Lsn, Record, Rng, Stamp, Stamped, WallTime};
use hstore_replicator::reader::Delivery;
use hstore_tier2::segment::{Codec, Segment, SegmentWriter, WriterOptions};

const LOG: LogId = LogId(1);
const PAYLOAD_BYTES: u64 = 32 << 20;

/// Readings of sensors as lines of JSON, of about `bytes` each.
fn payload(rng: &mut Rng, bytes: usize) -> Vec<u8> {
    let mut line = String::from("[");
    while line.len() < bytes {
        line += &format!(
            "{{\"device\":\"sensor-{}\",\"celsius\":{}.{},\"volts\":{}}},",
            rng.within(1..=400),
            rng.within(1..=40),
            rng.within(0..=99),
            rng.within(200..=250),
        );
    }
    line.into_bytes()
}

fn segment(codec: Codec, bytes: usize) -> (File, Segment) {
    let mut rng = Rng::from_seed(7);
    let options = WriterOptions {
        codec,
        dictionary_bytes: 0,
        ..WriterOptions::default()
    };
    let mut writer = SegmentWriter::new(LOG, Lsn::FIRST, options);
    let mut stamp = Stamp::default();
    while writer.raw_bytes() < PAYLOAD_BYTES {
        let record = Record::new(payload(&mut rng, bytes).into());
        let lsn = writer.next();
        let now = WallTime(stamp.time.0 + rng.within(100..=2_000));
        stamp = Stamp::after(stamp, LOG, lsn, now, &record);
        let delivery = Delivery::Record(lsn, Stamped { stamp, record });
        writer.push(&delivery).expect("it is in order");
    }
    let finished = writer.finish().expect("it is not empty");
    let segment = Segment::verify(&finished.bytes).expect("it is in order");
    let file = tempfile::tempfile().expect("a file");
    file.write_all_at(&finished.bytes, 0).expect("written");
    (file, segment)
}

fn stored(file: &File, segment: &Segment, number: usize) -> Vec<u8> {
    let range = segment.range(number);
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start).expect("read");
    bytes
}

fn read(c: &mut Criterion) {
    for (codec, bytes) in [
        (Codec::Lz4, 200),
        (Codec::Lz4, 1_000),
        (Codec::Zstd, 200),
        (Codec::Zstd, 1_000),
    ] {
        let (file, segment) = segment(codec, bytes);
        let blocks = segment.blocks();
        let mut group = c.benchmark_group(format!("{codec}, records of {bytes} bytes"));
        group.throughput(Throughput::Bytes(segment.info().payload_bytes));
        group.sample_size(20);
        group.bench_function("read", |b| {
            b.iter(|| {
                let mut reader = segment.reader();
                for number in 0..blocks.len() {
                    let stored = stored(&file, &segment, number);
                    black_box(reader.deliveries(number, &stored).expect("in order"));
                }
            });
        });
        group.bench_function("decompress", |b| {
            let mut zstd = zstd::bulk::Decompressor::new().expect("there is memory");
            b.iter(|| {
                for (number, block) in blocks.iter().enumerate() {
                    let stored = stored(&file, &segment, number);
                    let raw = block.raw as usize;
                    black_box(match codec {
                        Codec::None => stored,
                        Codec::Lz4 => lz4_flex::block::decompress(&stored, raw).expect("in order"),
                        Codec::Zstd => zstd.decompress(&stored, raw).expect("in order"),
                    });
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, read);
criterion_main!(benches);
