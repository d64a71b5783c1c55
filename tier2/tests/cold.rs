//! Cold reads tell what was written, with no more calls than they need, and say what is wrong.

use std::collections::VecDeque;

use bytes::Bytes;
use hstore_core::ports::object_store::{
    ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey, ObjectStore,
};
use hstore_core::{Epoch, LogId, Lsn, Record, Rng, Stamp, Stamped, WallTime};
use hstore_replicator::reader::{Delivery, GapKind};
use hstore_tier2::cold::{ColdError, ColdOutputs, ColdRead, ColdReads};
use hstore_tier2::manifest::{Manifest, SegmentRef};
use hstore_tier2::memory::MemoryObjectStore;
use hstore_tier2::segment::{Codec, SegmentWriter, WriterOptions};
use proptest::prelude::*;

const LOG: LogId = LogId(3);
const PAYLOAD: usize = 50;

fn root() -> ObjectKey {
    "history".parse().expect("a key")
}

/// A log of records, holes and two ends of epochs, in segments of `per_segment` deliveries.
struct World {
    log: Vec<Delivery>,
    segments: Vec<SegmentRef>,
    store: MemoryObjectStore,
    reads: ColdReads,
    calls: u64,
}

impl World {
    fn new(count: u32, per_segment: usize, cache_bytes: usize) -> Self {
        let mut next = Lsn::FIRST;
        let mut stamp = Stamp::default();
        let mut log = Vec::new();
        for number in 0..count {
            let gap = |kind, last| Delivery::Gap {
                kind,
                first: next,
                last,
            };
            let delivery = match number {
                _ if number % 37 == 5 => gap(GapKind::Hole, next),
                _ if number % 71 == 50 => {
                    stamp = Stamp::default();
                    gap(GapKind::Bridge, Lsn::end_of(next.epoch))
                }
                _ => {
                    let record = Record::new(vec![number as u8; PAYLOAD].into());
                    stamp = Stamp::after(stamp, LOG, next, WallTime(u64::from(number)), &record);
                    Delivery::Record(next, Stamped { stamp, record })
                }
            };
            next = delivery.last().successor();
            log.push(delivery);
        }
        let options = WriterOptions {
            codec: Codec::Zstd,
            level: 1,
            block_bytes: 600,
            dictionary_bytes: 0,
        };
        let mut store = MemoryObjectStore::default();
        let mut manifest = Manifest::default();
        for part in log.chunks(per_segment) {
            let mut writer = SegmentWriter::new(LOG, part[0].first(), options);
            for delivery in part {
                writer.push(delivery).expect("in order");
            }
            let finished = writer.finish().expect("not empty");
            let (first, last) = (finished.info.first, finished.info.last);
            let intent = manifest.begin(Epoch(9), first, last).expect("it follows");
            let put = ObjectAsk::PutIfAbsent {
                key: intent.key(&root(), LOG),
                bytes: finished.bytes.clone(),
            };
            store.call(&put).expect("nothing is there");
            let segment = SegmentRef::new(intent, &finished);
            manifest.commit(segment).expect("it is the first");
        }
        Self {
            log,
            segments: manifest.segments().cloned().collect(),
            store,
            reads: ColdReads::new(root(), cache_bytes),
            calls: 0,
        }
    }

    fn asked(&self, from: Lsn, until: Lsn, limit_bytes: usize, ahead_bytes: u64) -> ColdRead {
        ColdRead {
            log: LOG,
            segments: self.segments.iter().cloned().collect(),
            from,
            until,
            time: None,
            limit_bytes,
            limit: usize::MAX,
            ahead_bytes,
        }
    }

    fn read(&mut self, asked: ColdRead) -> Result<Vec<Delivery>, ColdError> {
        let mut out = ColdOutputs::default();
        let read = self.reads.read(asked, &mut out);
        let mut calls: VecDeque<_> = out.calls.drain(..).collect();
        while let Some(call) = calls.pop_front() {
            self.calls += 1;
            let answer = self.store.call(&call.ask);
            self.reads.on_answer(call.token, answer, &mut out);
            calls.extend(out.calls.drain(..));
        }
        assert_eq!(out.answers.len(), 1);
        assert_eq!(out.answers[0].read, read);
        assert_eq!(self.reads.open_reads(), 0);
        out.answers.remove(0).told
    }

    fn end(&self) -> Lsn {
        self.log[self.log.len() - 1].last().successor()
    }

    fn key(&self, segment: usize) -> ObjectKey {
        self.segments[segment].intent.key(&root(), LOG)
    }

    fn bytes(&self, key: &ObjectKey) -> Bytes {
        let found = self.store.objects().find(|(it, _)| *it == key);
        found.expect("it is there").1.clone()
    }
}

/// The deliveries of a log from `from` on, the first one cut there.
fn expected(log: &[Delivery], from: Lsn, until: Lsn) -> Vec<Delivery> {
    let wanted = log
        .iter()
        .filter(|it| it.last() >= from && it.first() < until);
    let cut = wanted.cloned().map(|mut it| {
        if let Delivery::Gap { first, .. } = &mut it {
            *first = (*first).max(from);
        }
        it
    });
    cut.collect()
}

const ALL: usize = usize::MAX;

#[test]
fn a_single_record_costs_two_calls_and_its_neighbour_none() {
    let mut world = World::new(200, 50, 1 << 20);
    let at = world.log[70].first();
    let one = world.asked(at, at.successor(), 1, 0);
    assert_eq!(
        world.read(one.clone()).expect("it is there"),
        world.log[70..71]
    );
    assert_eq!(world.calls, 2);
    assert_eq!(world.read(one).expect("it is there"), world.log[70..71]);
    let next = world.log[71].first();
    let next = world.asked(next, next.successor(), 1, 0);
    assert_eq!(world.read(next).expect("it is there"), world.log[71..72]);
    assert_eq!(world.calls, 2, "they are in the cache");
}

#[test]
fn a_log_is_read_whole_with_few_calls() {
    let mut world = World::new(500, 100, 1 << 20);
    let whole = world.asked(Lsn::FIRST, world.end(), ALL, 1 << 20);
    assert!(world.read(whole).expect("it is there") == world.log);
    assert_eq!(
        world.calls,
        2 * 5,
        "for each segment its tail and all of its blocks"
    );
    // In pieces, from a cache that holds no two blocks.
    let mut world = World::new(500, 100, 1_500);
    let mut told: Vec<Delivery> = Vec::new();
    while told.len() < world.log.len() {
        let from = told.last().map_or(Lsn::FIRST, |it| it.last().successor());
        let asked = world.asked(from, world.end(), 4 * PAYLOAD, 0);
        told.extend(world.read(asked).expect("it is there"));
        assert!(world.reads.cached_bytes() <= 1_500);
    }
    assert!(told == world.log);
}

#[test]
fn an_epoch_is_read_from_its_beginning_and_what_is_elsewhere_is_said_to_be() {
    for per_segment in 1..80 {
        let mut world = World::new(120, per_segment, 1 << 20);
        let asked = world.asked(Lsn::before(Epoch(2)), world.end(), ALL, 0);
        let told = world.read(asked).expect("it is there");
        assert_eq!(told, expected(&world.log, Lsn::new(2, 1), world.end()));
        let end = world.end();
        let behind = world.asked(end, end.successor(), ALL, 0);
        assert_eq!(world.read(behind), Err(ColdError::Elsewhere(end)));
    }
}

#[test]
fn what_is_on_its_way_is_not_asked_for_twice() {
    let mut world = World::new(100, 100, 1 << 20);
    let mut out = ColdOutputs::default();
    let asked = world.asked(world.log[3].first(), world.log[8].first(), ALL, 0);
    let reads: Vec<u64> = (0..3)
        .map(|_| world.reads.read(asked.clone(), &mut out))
        .collect();
    assert_eq!(out.calls.len(), 1, "the tail");
    let tail = out.calls.remove(0);
    let answer = world.store.call(&tail.ask);
    world.reads.on_answer(tail.token, answer, &mut out);
    assert_eq!(out.calls.len(), 1, "a block");
    while let Some(call) = out.calls.pop() {
        let answer = world.store.call(&call.ask);
        world.reads.on_answer(call.token, answer.clone(), &mut out);
        // A second answer is nobody's.
        world.reads.on_answer(call.token, answer, &mut out);
    }
    let mut over: Vec<u64> = out.answers.iter().map(|it| it.read).collect();
    over.sort_unstable();
    assert_eq!(over, reads);
    for it in out.answers {
        assert_eq!(it.told.expect("it is there"), world.log[3..8]);
    }
}

#[test]
fn what_is_wrong_is_said_with_its_place_and_keeps_nothing_back() {
    let mut world = World::new(200, 50, 1 << 20);
    let key = world.key(2);
    let whole = world.bytes(&key);
    let asked = world.asked(world.log[120].first(), world.log[130].first(), ALL, 0);
    let tail = world.segments[2].tail_bytes as usize;
    for (at, part) in [
        (whole.len() - 5, "the trailer at byte"),
        (whole.len() - tail + 60, "the index at byte"),
        (300, "block "),
    ] {
        let mut bytes = whole.to_vec();
        bytes[at] ^= 1;
        world.store.tamper(&key, Some(bytes.into()));
        world.reads = ColdReads::new(root(), 1 << 20);
        let all = world.asked(world.log[100].first(), world.log[150].first(), ALL, 0);
        // What lies before the damage is told; whoever reads on hears of it.
        let error = match world.read(all) {
            Err(error) => error,
            Ok(told) => {
                assert!(told[..] == world.log[100..100 + told.len()]);
                let rest = world.log[100 + told.len()].first();
                let rest = world.asked(rest, world.log[150].first(), ALL, 1 << 20);
                world.read(rest).expect_err("it is damaged")
            }
        };
        let said = error.to_string();
        assert!(said.contains(part) && said.contains(key.as_str()), "{said}");
    }
    // Another segment's bytes under this key.
    let other = world.bytes(&world.key(1));
    world.store.tamper(&key, Some(other));
    world.reads = ColdReads::new(root(), 1 << 20);
    world.read(asked.clone()).expect_err("it is another");
    world
        .store
        .tamper(&key, Some(whole.slice(..whole.len() - 1)));
    world.reads = ColdReads::new(root(), 1 << 20);
    world.read(asked.clone()).expect_err("it was cut");
    // It ends before what is looked for: it is there all the same.
    for left in [10, 0] {
        world.store.tamper(&key, Some(whole.slice(..left)));
        world.reads = ColdReads::new(root(), 1 << 20);
        let error = world.read(asked.clone()).expect_err("it was cut");
        assert!(matches!(error, ColdError::Damaged { .. }), "{error}");
    }
    world.store.tamper(&key, None);
    assert_eq!(
        world.read(asked.clone()),
        Err(ColdError::Missing {
            key: key.clone(),
            last: world.segments[2].intent.last,
        })
    );
    let put = ObjectAsk::PutIfAbsent { key, bytes: whole };
    world.store.call(&put).expect("it is gone");
    assert_eq!(world.read(asked).expect("it is back"), world.log[120..130]);
}

/// It is in order, as long as the manifest says, and of the same range.
#[test]
fn a_segment_of_another_log_is_not_told() {
    let mut world = World::new(300, 40, 1 << 20);
    let (first, last) = (Lsn::new(99, 1), Lsn::new(99, 7));
    let hole = Delivery::Gap {
        kind: GapKind::Hole,
        first,
        last,
    };
    for (log, is_told) in [(LOG, true), (LogId(LOG.0 + 1), false)] {
        let mut writer = SegmentWriter::new(log, first, WriterOptions::default());
        writer.push(&hole).expect("it is the first");
        let finished = writer.finish().expect("it is not empty");
        let mut manifest = Manifest::default();
        let epoch = Epoch(90 + u32::from(is_told));
        let intent = manifest.begin(epoch, first, last).expect("it is the first");
        let put = ObjectAsk::PutIfAbsent {
            key: intent.key(&root(), LOG),
            bytes: finished.bytes.clone(),
        };
        world.store.call(&put).expect("nothing is there");
        world.segments = vec![SegmentRef::new(intent, &finished)];
        let told = world.read(world.asked(first, last.successor(), ALL, 0));
        match told {
            Ok(told) => assert!(is_told && told == [hole.clone()]),
            Err(error) => assert!(
                !is_told && error.to_string().contains("another log"),
                "{error}"
            ),
        }
    }
}

#[test]
fn a_call_that_fails_fails_its_reads_and_no_others() {
    let mut world = World::new(200, 50, 1 << 20);
    let mut out = ColdOutputs::default();
    let one = world.asked(world.log[3].first(), world.log[4].first(), ALL, 0);
    let two = world.asked(world.log[103].first(), world.log[104].first(), ALL, 0);
    let one = world.reads.read(one, &mut out);
    world.reads.read(two, &mut out);
    let call = out.calls.remove(0);
    let error = ObjectError::of(&call.ask, ObjectErrorKind::Unavailable, "busy");
    world
        .reads
        .on_answer(call.token, Err(error.clone()), &mut out);
    assert_eq!(out.answers.len(), 1);
    assert_eq!(out.answers[0].read, one);
    assert_eq!(out.answers[0].told, Err(ColdError::Store(error)));
    assert_eq!(world.reads.open_reads(), 1);
}

proptest! {
    #[test]
    fn any_range_is_told(
        ranges in prop::collection::vec((0..300usize, 0..300usize, 1..2_000usize, 0..3_000u64), 1..20),
        cache in prop_oneof![Just(0), Just(900), Just(1 << 20)],
        per_segment in 1..80usize,
    ) {
        let mut world = World::new(300, per_segment, cache);
        for (one, two, limit, ahead) in ranges {
            let (from, until) = (world.log[one.min(two)].first(), world.log[one.max(two)].last());
            let asked = world.asked(from, until, limit, ahead);
            let told = world.read(asked).expect("it is there");
            let expected = expected(&world.log, from, until);
            prop_assert_eq!(&told[..], &expected[..told.len()]);
            let bytes = told.iter().filter(|it| matches!(it, Delivery::Record(..))).count() * PAYLOAD;
            prop_assert!(told.len() == expected.len() || bytes >= limit);
            prop_assert!(world.reads.cached_bytes() <= cache);
        }
    }

    #[test]
    fn whoever_reads_on_misses_nothing_however_little_is_told_at_a_time(
        steps in prop::collection::vec((any::<bool>(), 0..60usize, 1..2_000usize, 0..3_000u64), 1..120),
        cache in prop_oneof![Just(0), Just(5_000), Just(20_000), Just(1 << 20)],
        per_segment in 1..80usize,
    ) {
        let mut world = World::new(300, per_segment, cache);
        // Two that read on, each from where it came to.
        let mut next = [Lsn::FIRST; 2];
        for (who, limit, limit_bytes, ahead) in steps {
            let (from, until) = (next[usize::from(who)], world.end());
            if from >= until {
                continue;
            }
            let asked = ColdRead { limit, ..world.asked(from, until, limit_bytes, ahead) };
            let told = world.read(asked).expect("it is there");
            let expected = expected(&world.log, from, until);
            prop_assert!(!told.is_empty() && told.len() <= limit.max(1));
            prop_assert_eq!(&told[..], &expected[..told.len()]);
            prop_assert!(world.reads.cached_bytes() <= cache);
            next[usize::from(who)] = told[told.len() - 1].last().successor();
        }
    }

    #[test]
    fn a_read_may_begin_and_end_anywhere(seed in any::<u64>()) {
        let mut world = World::new(300, 40, 5_000);
        let mut rng = Rng::from_seed(seed);
        let mut any = |world: &World| {
            let it = &world.log[rng.below(300) as usize];
            // Within a gap, too.
            let more = rng.below(3) as u32;
            let offset = it.first().offset.0.saturating_add(more).min(it.last().offset.0);
            Lsn::new(it.first().epoch.0, offset)
        };
        let (one, two) = (any(&world), any(&world));
        let (from, until) = (one.min(two), one.max(two));
        let asked = world.asked(from, until, ALL, 100);
        prop_assert_eq!(world.read(asked).expect("it is there"), expected(&world.log, from, until));
    }
}
