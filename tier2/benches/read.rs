//! Reading a log from segments in files, beside decompressing the same blocks of the same files and no more:
//! what is left of the speed of the codec. One thread; the files are in the system's cache.
//!
//! `cargo bench -p hstore-tier2`

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hstore_core::ports::object_store::{ObjectAnswer, ObjectAsk, ObjectKey};
use hstore_core::{Epoch, LogId, Lsn, Record, Rng, Stamp, Stamped, WallTime};
use hstore_replicator::reader::Delivery;
use hstore_tier2::cold::{ColdOutputs, ColdRead, ColdReads};
use hstore_tier2::manifest::{Manifest, SegmentRef};
use hstore_tier2::segment::{Codec, Segment, SegmentWriter, WriterOptions};

const LOG: LogId = LogId(1);
const SEGMENTS: u32 = 4;
const SEGMENT_BYTES: u64 = 16 << 20;
const CACHE_BYTES: usize = 8 << 20;
/// What a node reads ahead, and what it puts into one answer.
const AHEAD_BYTES: u64 = 1 << 20;
const ANSWER_BYTES: usize = 256 << 10;
const ANSWER: usize = 1024;

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

/// A log in segments, each in a file.
struct Log {
    segments: Vec<SegmentRef>,
    files: BTreeMap<ObjectKey, (File, Segment)>,
    payload_bytes: u64,
}

fn root() -> ObjectKey {
    "history".parse().expect("a key")
}

fn log(codec: Codec, bytes: usize) -> Log {
    let mut rng = Rng::from_seed(7);
    let options = WriterOptions {
        codec,
        dictionary_bytes: 0,
        ..WriterOptions::default()
    };
    let mut manifest = Manifest::default();
    let mut files = BTreeMap::new();
    let mut stamp = Stamp::default();
    let mut next = Lsn::FIRST;
    for _ in 0..SEGMENTS {
        let mut writer = SegmentWriter::new(LOG, next, options);
        while writer.payload_bytes() < SEGMENT_BYTES {
            let record = Record::new(payload(&mut rng, bytes).into());
            let now = WallTime(stamp.time.0 + rng.within(0..=3));
            stamp = Stamp::after(stamp, LOG, next, now, &record);
            let delivery = Delivery::Record(next, Stamped { stamp, record });
            writer.push(&delivery).expect("it is in order");
            next = writer.next();
        }
        let finished = writer.finish().expect("it is not empty");
        let (first, last) = (finished.info.first, finished.info.last);
        let intent = manifest.begin(Epoch(1), first, last).expect("it follows");
        let segment = SegmentRef::new(intent, &finished);
        manifest.commit(segment).expect("it is the first");
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(&finished.bytes).expect("written");
        let segment = Segment::verify(&finished.bytes).expect("it is in order");
        files.insert(intent.key(&root(), LOG), (file, segment));
    }
    Log {
        segments: manifest.segments().cloned().collect(),
        files,
        payload_bytes: manifest.payload_bytes(),
    }
}

fn part(mut file: &File, range: Range<u64>) -> Vec<u8> {
    let length = range.end - range.start;
    let mut bytes = Vec::with_capacity(length as usize);
    file.seek(SeekFrom::Start(range.start)).expect("a place");
    let read = file.take(length).read_to_end(&mut bytes).expect("read");
    assert_eq!(read as u64, length);
    bytes
}

/// Reads all of a log, as a node does for a client: so much at a time.
fn read_all(log: &Log) -> usize {
    let mut reads = ColdReads::new(root(), CACHE_BYTES);
    let mut out = ColdOutputs::default();
    let last = log.segments.last().expect("there are segments").intent.last;
    let (mut from, mut records) = (Lsn::FIRST, 0);
    while from <= last {
        let asked = ColdRead {
            log: LOG,
            segments: log.segments.iter().cloned().collect(),
            from,
            until: last.successor(),
            time: None,
            limit_bytes: ANSWER_BYTES,
            limit: ANSWER,
            ahead_bytes: AHEAD_BYTES,
        };
        reads.read(asked, &mut out);
        while let Some(call) = out.calls.pop() {
            let ObjectAsk::Get { key, range } = call.ask else {
                unreachable!("nothing else is asked");
            };
            let bytes = part(&log.files[&key].0, range);
            reads.on_answer(call.token, Ok(ObjectAnswer::Got(bytes.into())), &mut out);
        }
        let told = out.answers.remove(0).told.expect("it is in order");
        from = told.last().expect("it goes on").last().successor();
        records += black_box(told).len();
    }
    records
}

/// Decompresses all blocks of a log, and does nothing else: as many in a row as the other reads ahead, each into
/// the same memory.
fn decompress_all(log: &Log, codec: Codec) {
    let mut zstd = zstd::bulk::Decompressor::new().expect("there is memory");
    let mut room = Vec::new();
    for (file, segment) in log.files.values() {
        let mut next = 0;
        while next < segment.blocks().len() {
            let first = next;
            let mut raw = 0;
            while next < segment.blocks().len() && (next == first || raw < AHEAD_BYTES) {
                raw += u64::from(segment.blocks()[next].raw);
                next += 1;
            }
            let start = segment.range(first).start;
            let stored = part(file, start..segment.range(next - 1).end);
            for number in first..next {
                let Range { start: from, end } = segment.range(number);
                let stored = &stored[(from - start) as usize..(end - start) as usize];
                room.resize(segment.blocks()[number].raw as usize, 0);
                let written = match codec {
                    Codec::None => {
                        room.copy_from_slice(stored);
                        stored.len()
                    }
                    Codec::Lz4 => {
                        lz4_flex::block::decompress_into(stored, &mut room).expect("in order")
                    }
                    Codec::Zstd => zstd
                        .decompress_to_buffer(stored, &mut room[..])
                        .expect("in order"),
                };
                assert_eq!(written, black_box(&room).len());
            }
        }
    }
}

fn read(c: &mut Criterion) {
    for (codec, bytes) in [
        (Codec::Lz4, 200),
        (Codec::Lz4, 1_000),
        (Codec::Zstd, 200),
        (Codec::Zstd, 1_000),
    ] {
        let log = log(codec, bytes);
        assert!(read_all(&log) > 0);
        let mut group = c.benchmark_group(format!("{codec}, records of {bytes} bytes"));
        group.throughput(Throughput::Bytes(log.payload_bytes));
        group.sample_size(20);
        group.bench_function("read", |b| b.iter(|| read_all(&log)));
        group.bench_function("decompress", |b| b.iter(|| decompress_all(&log, codec)));
        group.finish();
    }
}

criterion_group!(benches, read);
criterion_main!(benches);
