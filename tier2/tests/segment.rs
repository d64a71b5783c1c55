//! Segments round trip, and whatever happens to their bytes is noticed and placed.

use bytes::Bytes;
use hstore_core::{
    Attributes, LogId, Lsn, Offset, ProducerId, ProducerSequence, Record, Stamp, Stamped, Token,
    WallTime, crc32c, crc32c_append,
};
use hstore_replicator::reader::{Delivery, GapKind};
use hstore_tier2::segment::{
    Codec, Finished, NotInOrder, Segment, SegmentError, SegmentInfo, SegmentWriter, WriterOptions,
};
use proptest::prelude::*;

const LOG: LogId = LogId(7);

/// What comes next in a log.
#[derive(Clone, Debug)]
enum Step {
    Record {
        payload: Vec<u8>,
        attributes: Attributes,
        later: u64,
    },
    Hole,
    Loss(u32),
    /// The epoch ends; so many are passed over.
    Bridge(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let payload = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        "[a-d]{0,300}".prop_map(String::into_bytes),
    ];
    let producer = prop::option::of((any::<u64>(), any::<u64>()).prop_map(
        |(producer, sequence)| ProducerSequence {
            producer: ProducerId(producer),
            sequence,
        },
    ));
    let attributes = (producer, prop::option::of(any::<u64>().prop_map(Token)));
    let attributes = prop_oneof![
        3 => Just(Attributes::NONE),
        1 => attributes.prop_map(|(producer, sets_token)| Attributes { producer, sets_token }),
    ];
    let later = prop_oneof![Just(0), 0..5_000u64, any::<u32>().prop_map(u64::from)];
    let record =
        (payload, attributes, later).prop_map(|(payload, attributes, later)| Step::Record {
            payload,
            attributes,
            later,
        });
    let step = prop_oneof![
        12 => record,
        1 => Just(Step::Hole),
        1 => (0..1_000u32).prop_map(Step::Loss),
        1 => (0..3u32).prop_map(Step::Bridge),
    ];
    prop::collection::vec(step, 1..200)
}

/// The steps as a reader delivers them from `first` on. Clocks of later epochs may be behind.
fn deliveries(first: Lsn, steps: &[Step]) -> Vec<Delivery> {
    let mut next = first;
    let mut stamp = Stamp::default();
    let mut told = Vec::new();
    let mut now = WallTime(1_700_000_000_000_000);
    for step in steps {
        let gap = |kind, last| Delivery::Gap {
            kind,
            first: next,
            last,
        };
        let delivery = match step {
            Step::Record {
                payload,
                attributes,
                later,
            } => {
                let record = Record::with(payload.clone().into(), *attributes);
                now.0 += later;
                stamp = Stamp::after(stamp, LOG, next, now, &record);
                Delivery::Record(next, Stamped { stamp, record })
            }
            Step::Hole => gap(GapKind::Hole, next),
            Step::Loss(more) => gap(
                GapKind::DataLoss,
                Lsn::at(next.epoch, Offset(next.offset.0 + more)),
            ),
            Step::Bridge(_) => gap(GapKind::Bridge, Lsn::end_of(next.epoch)),
        };
        next = delivery.last().successor();
        if let Step::Bridge(back) = step {
            now.0 -= u64::from(*back) * 1_000_000;
            stamp = Stamp::default();
        }
        told.push(delivery);
    }
    told
}

fn written(told: &[Delivery], options: WriterOptions) -> Finished {
    let mut writer = SegmentWriter::new(LOG, told[0].first(), options);
    for delivery in told {
        writer.push(delivery).expect("it is in order");
    }
    writer.finish().expect("it is not empty")
}

fn options() -> impl Strategy<Value = WriterOptions> {
    let codec = prop::sample::select(Codec::ALL.to_vec());
    (codec, 1..2_000usize, prop_oneof![Just(0), 300..2_000usize]).prop_map(
        |(codec, block_bytes, dictionary_bytes)| WriterOptions {
            codec,
            level: 3,
            block_bytes,
            dictionary_bytes,
        },
    )
}

/// What a segment says when all of it is read, by its tail and its blocks.
fn read(file: &Bytes) -> Result<Vec<Delivery>, SegmentError> {
    let length = file.len() as u64;
    let tail = Segment::tail_bytes(file, length)? as usize;
    let segment = Segment::open(&file.slice(file.len() - tail..), length)?;
    let mut told = Vec::new();
    for block in segment.read(file) {
        told.extend(block?);
    }
    Ok(told)
}

proptest! {
    #[test]
    fn what_is_written_is_read(steps in steps(), options in options(), epoch in 1..9u32, offset in 1..9u32) {
        let told = deliveries(Lsn::new(epoch, offset), &steps);
        let finished = written(&told, options);
        prop_assert_eq!(&read(&finished.bytes).expect("in order"), &told);
        let segment = Segment::verify(&finished.bytes).expect("in order");
        prop_assert_eq!(segment.info(), &finished.info);
        let info = &finished.info;
        let first = told[0].first();
        let last = told[told.len() - 1].last();
        prop_assert_eq!((info.first, info.last), (first, last));
        prop_assert_eq!(info.file_bytes, finished.bytes.len() as u64);
        let records: Vec<(Lsn, WallTime)> = told.iter().filter_map(|it| match it {
            Delivery::Record(lsn, it) => Some((*lsn, it.stamp.time)),
            Delivery::Gap { .. } => None,
        }).collect();
        prop_assert_eq!(info.records, records.len() as u64);
        prop_assert_eq!(info.latest, records.iter().map(|it| it.1).max().unwrap_or_default());
        prop_assert_eq!(info.earliest, records.iter().map(|it| it.1).min().unwrap_or_default());
        // Every place is found in its block, by LSN and by time.
        for delivery in &told {
            for lsn in [delivery.first(), delivery.last()] {
                let block = segment.blocks()[segment.block_of(lsn).expect("in its range")];
                prop_assert!(block.first <= lsn && lsn <= block.last);
            }
        }
        prop_assert_eq!(segment.block_of(last.successor()), None);
        for (_, time) in &records {
            let at = records.iter().find(|(_, it)| it >= time).expect("it is there itself").0;
            prop_assert_eq!(segment.block_at(*time), segment.block_of(at));
        }
        prop_assert_eq!(segment.block_at(WallTime(info.latest.0 + 1)), None);
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_never_read_over(
        steps in steps(), options in options(), at in any::<prop::sample::Index>(), bit in 0..8u8,
    ) {
        let told = deliveries(Lsn::FIRST, &steps);
        let mut bytes = written(&told, options).bytes.to_vec();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let file = Bytes::from(bytes);
        Segment::verify(&file).expect_err("it is damaged");
        // Who reads parts of it meets the damage, or right data.
        if let Ok(read) = read(&file) {
            prop_assert!(at < 8, "only the magic at the start is not part of any read");
            prop_assert_eq!(read, told);
        }
    }

    #[test]
    fn a_cut_is_noticed(steps in steps(), options in options(), at in any::<prop::sample::Index>()) {
        let file = written(&deliveries(Lsn::FIRST, &steps), options).bytes;
        let cut = at.index(file.len());
        for part in [file.slice(..cut), file.slice(file.len() - cut..)] {
            Segment::verify(&part).expect_err("it was cut");
            read(&part).expect_err("it was cut");
        }
    }

    #[test]
    fn anything_may_be_given_to_the_reader(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        Segment::verify(&bytes.into()).expect_err("it is no segment");
    }
}

/// The reader behind its checksums: of a block whose bytes were made up and whose checksums are right.
mod forged {
    use super::*;

    /// Puts the right checksums over a segment without compression that was changed.
    fn sealed(mut bytes: Vec<u8>) -> Bytes {
        let length = bytes.len();
        let (footer, index) = (length - 112, length - 112 - 48);
        let block = crc32c(&bytes[8..index]);
        bytes[index + 44..index + 48].copy_from_slice(&block.to_le_bytes());
        let crc = crc32c(&bytes[index..footer]);
        bytes[footer + 68..footer + 72].copy_from_slice(&crc.to_le_bytes());
        let hash = xxhash_rust::xxh3::xxh3_128(&bytes[..footer]);
        // As `put_u128_le` has it.
        bytes[footer + 80..footer + 96].copy_from_slice(&hash.to_le_bytes());
        let crc = crc32c_append(
            crc32c(&bytes[footer..footer + 96]),
            &bytes[length - 12..length - 8],
        );
        bytes[length - 16..length - 12].copy_from_slice(&crc.to_le_bytes());
        bytes.into()
    }

    proptest! {
        #[test]
        fn a_forged_block_is_never_read_as_what_it_is_not(
            steps in steps(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        ) {
            let told = deliveries(Lsn::FIRST, &steps);
            let options = WriterOptions { codec: Codec::None, block_bytes: 1 << 20, ..WriterOptions::default() };
            let mut bytes = written(&told, options).bytes.to_vec();
            prop_assert_eq!(&sealed(bytes.clone())[..], &bytes[..]);
            let end = bytes.len() - 112 - 48;
            for (at, byte) in changes {
                bytes[8 + at.index(end - 8)] = byte;
            }
            // No panic; and what is read has its chain values from the records, so it is whole.
            if let Ok(read) = read(&sealed(bytes)) {
                let mut next = Lsn::FIRST;
                for delivery in read {
                    prop_assert_eq!(delivery.first(), next);
                    if let Delivery::Record(lsn, it) = &delivery {
                        prop_assert!(it.belongs_at(LOG, *lsn) && it.record.verify().is_ok());
                    }
                    next = delivery.last().successor();
                }
            }
        }
    }
}

fn record(payload: &'static [u8]) -> Step {
    Step::Record {
        payload: payload.to_vec(),
        attributes: Attributes::NONE,
        later: 10,
    }
}

#[test]
fn only_what_follows_is_taken() {
    let told = deliveries(
        Lsn::FIRST,
        &[record(b"one"), record(b"two"), record(b"three")],
    );
    let mut writer = SegmentWriter::new(LOG, Lsn::FIRST, WriterOptions::default());
    assert_eq!(writer.clone().finish(), None);
    writer.push(&told[0]).expect("it is in order");
    let again = writer.push(&told[0]).expect_err("it was taken");
    assert_eq!(
        again.to_string(),
        "what stands at e1:1 does not follow: e1:2 is next"
    );
    writer.push(&told[2]).expect_err("one is missing");
    let Delivery::Record(lsn, stamped) = told[1].clone() else {
        panic!("it is a record");
    };
    let mut other = stamped.clone();
    other.record.payload = Bytes::from_static(b"twO");
    let damaged = writer.push(&Delivery::Record(lsn, other));
    assert_eq!(damaged, Err(NotInOrder::Record(lsn)));
    let mut other = stamped;
    other.record = Record::new(Bytes::from_static(b"twO"));
    let strange = writer.push(&Delivery::Record(lsn, other));
    assert_eq!(strange, Err(NotInOrder::Record(lsn)));
    let trim = Delivery::Gap {
        kind: GapKind::Trim,
        first: lsn,
        last: lsn,
    };
    assert_eq!(writer.push(&trim), Err(NotInOrder::Trimmed(lsn)));
    writer.push(&told[1]).expect("it is next");
    assert_eq!(writer.next(), Lsn::new(1, 3));
}

#[test]
fn damage_is_placed() {
    let steps = vec![record(b"some bytes that stand in the segment as they are"); 40];
    let options = WriterOptions {
        codec: Codec::None,
        block_bytes: 500,
        ..WriterOptions::default()
    };
    let file = written(&deliveries(Lsn::FIRST, &steps), options).bytes;
    let length = file.len();
    let said = |at: usize| {
        let mut bytes = file.to_vec();
        bytes[at] ^= 1;
        Segment::verify(&bytes.into())
            .expect_err("it is damaged")
            .to_string()
    };
    for (at, part) in [
        (3, "the header at byte 0"),
        (20, "block 0 at byte 8, 4"),
        (length - 16 - 96 - 10, "the index at byte "),
        (length - 16 - 20, "the footer at byte "),
        (length - 1, "the trailer at byte "),
    ] {
        let said = said(at);
        assert!(said.contains(part), "{said}");
    }
    let cut = Segment::verify(&file.slice(..100)).expect_err("it was cut");
    assert!(cut.to_string().contains("the file of 100 bytes"), "{cut}");
}

#[test]
fn a_dictionary_is_kept_where_it_pays() {
    let steps: Vec<Step> = (0..4_000u64)
        .map(|number| Step::Record {
            payload: format!(
                "{{\"device\":\"sensor-{}\",\"building\":\"north-east\",\"celsius\":{}.{}}}",
                number * 7 % 13,
                number * 31 % 40,
                number * 17 % 10
            )
            .into_bytes(),
            attributes: Attributes::NONE,
            later: 1_000,
        })
        .collect();
    let told = deliveries(Lsn::FIRST, &steps);
    for codec in [Codec::Lz4, Codec::Zstd] {
        let size = |dictionary_bytes| {
            let options = WriterOptions {
                codec,
                level: 3,
                block_bytes: 1_000,
                dictionary_bytes,
            };
            let finished = written(&told, options);
            assert_eq!(read(&finished.bytes).expect("in order"), told);
            finished.bytes.len()
        };
        let (with, without) = (size(8 << 10), size(0));
        assert!(
            with * 10 < without * 9,
            "{codec}: {with} with, {without} without"
        );
    }
}

#[test]
fn companions_are_joined_and_a_bad_one_is_named() {
    let info = |epoch| {
        let told = deliveries(Lsn::new(epoch, 1), &[record(b"one")]);
        written(&told, WriterOptions::default()).info
    };
    let all = [info(1), info(2)];
    let text: String = all.iter().map(SegmentInfo::line).collect();
    assert_eq!(SegmentInfo::read_all(&text).expect("in order"), all);
    let bad = format!("{}\nno info\n", text.trim_end());
    let error = SegmentInfo::read_all(&bad).expect_err("the third is none");
    assert!(
        error.to_string().starts_with("line 3 of the info is not"),
        "{error}"
    );
}

/// The bytes of version 1 stay what they are.
#[test]
fn the_layout_stands() {
    let producer = Attributes {
        producer: Some(ProducerSequence {
            producer: ProducerId(5),
            sequence: 6,
        }),
        sets_token: None,
    };
    let named = Step::Record {
        payload: b"two".to_vec(),
        attributes: producer,
        later: 300,
    };
    let steps = [
        record(b"one"),
        named,
        Step::Hole,
        record(b"four"),
        Step::Bridge(0),
    ];
    let told = deliveries(Lsn::FIRST, &steps);
    let options = WriterOptions {
        codec: Codec::None,
        ..WriterOptions::default()
    };
    let file = written(&told, options).bytes;
    let hex: String = file.iter().map(|it| format!("{it:02x}")).collect();
    assert_eq!(hex, GOLDEN);
}

const GOLDEN: &str = "\
    48535453454730313e0000000200000000009480f281838985060301d804030105000000000000000600000000000000\
    03dde8200f040002dde8200f00140403e43cecea05faffffff0f6f6e6574776f666f75720100000001000000ffffffff\
    0100000040411e18240a060008000000000000004c0000004c000000030000004410ed01010000000700000001000000\
    01000000ffffffff010000000a401e18240a060040411e18240a060003000000000000000a000000000000004c000000\
    000000000100000069f7ad290000000000000000c32d91f50079cc09b4375fca31f1982115f49113a000000048535453\
    45474654";
