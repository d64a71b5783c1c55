//! The offloader against an object store that fails, and a death after every single call it makes: nothing is lost,
//! nothing is doubled, and after the grace period nothing is left over.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::object_store::{
    ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey, ObjectStore,
};
use hstore_core::{Epoch, LogId, Lsn, Record, Rng, Stamp, Stamped, Timestamp, WallTime};
use hstore_replicator::reader::{Delivery, GapKind};
use hstore_tier2::manifest::{Anomaly, Intent, Manifest, ObjectName, marker_key};
use hstore_tier2::memory::MemoryObjectStore;
use hstore_tier2::offloader::{Effect, Event, Held, Offloader};
use hstore_tier2::policy::{Policy, Retention};
use hstore_tier2::rebuild::{Wanting, rebuild};
use hstore_tier2::segment::{Codec, Segment, SegmentWriter, WriterOptions};

const LOG: LogId = LogId(7);
const RECORDS: u32 = 60;
/// Payloads are this long.
const BYTES: u64 = 100;

fn root() -> ObjectKey {
    "history".parse().expect("a key")
}

fn policy() -> Policy {
    Policy {
        segment_bytes: 1_200,
        segment_age: Duration::from_secs(5),
        uploads: 2,
        bytes_per_second: 1 << 20,
        local: Retention::default(),
        total: Retention::default(),
        grace: Duration::from_secs(60),
        care_interval: Duration::from_secs(10),
        backoff: Duration::from_millis(100),
        writer: WriterOptions {
            codec: Codec::Lz4,
            level: 1,
            block_bytes: 400,
            dictionary_bytes: 0,
        },
    }
}

/// The same, where the first tier keeps nothing of what is in the second.
fn forgetful() -> Policy {
    Policy {
        local: Retention {
            bytes: Some(0),
            age: None,
        },
        ..policy()
    }
}

/// Records, a hole, the end of an epoch, more records.
fn log() -> Vec<Delivery> {
    let mut told = Vec::new();
    let mut next = Lsn::FIRST;
    let mut stamp = Stamp::default();
    for number in 0..RECORDS {
        let gap = |kind, last| Delivery::Gap {
            kind,
            first: next,
            last,
        };
        let delivery = match number {
            17 => gap(GapKind::Hole, next),
            33 => {
                stamp = Stamp::default();
                gap(GapKind::Bridge, Lsn::end_of(next.epoch))
            }
            _ => {
                let payload = vec![number as u8; BYTES as usize];
                let record = Record::new(payload.into());
                stamp = Stamp::after(
                    stamp,
                    LOG,
                    next,
                    WallTime(1_000 * u64::from(number)),
                    &record,
                );
                Delivery::Record(next, Stamped { stamp, record })
            }
        };
        next = delivery.last().successor();
        told.push(delivery);
    }
    told
}

/// What goes wrong with calls.
type Fault = Box<dyn FnMut(&ObjectAsk) -> Wrong>;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// It is not done.
    Undone,
    /// It is done, and the answer is lost.
    Unanswered,
    /// A put stores only its first half, and is answered.
    Cut,
    /// A put is not answered, and stores its first half later.
    CutLate,
    /// A put stores an object of no bytes, and is answered.
    Emptied,
    /// A put is not answered, and is done very much later.
    VeryLate,
    /// A get is answered with a bit that is wrong.
    Garbled,
}

struct World {
    log: Vec<Delivery>,
    store: MemoryObjectStore,
    /// The register.
    held: Held,
    epoch: Epoch,
    trim: Lsn,
    now: Timestamp,
    offloader: Offloader,
    waiting: VecDeque<Effect>,
    events: Vec<Event>,
    /// Calls and changes made.
    made: u64,
    puts: BTreeMap<ObjectKey, u64>,
    fault: Fault,
    /// Puts that come to the store later: after so many calls.
    late: Vec<(u64, ObjectAsk)>,
    /// Changes do not come to the register.
    is_cut_off: bool,
    /// So many trims are lost on their way.
    lost_trims: u32,
}

/// Of the calls under keys with `part` in them this one goes wrong: of the gets, if it is garbled, else of the puts.
fn once(wrong: Wrong, part: &'static str, nth: u32) -> Fault {
    let mut calls = 0;
    Box::new(move |ask| {
        let key = match (ask, wrong) {
            (ObjectAsk::Get { key, .. }, Wrong::Garbled) => key,
            (ObjectAsk::PutIfAbsent { key, .. }, wrong) if wrong != Wrong::Garbled => key,
            _ => return Wrong::Nothing,
        };
        if !key.as_str().contains(part) {
            return Wrong::Nothing;
        }
        calls += 1;
        if calls == nth { wrong } else { Wrong::Nothing }
    })
}

/// A put of the first half; anything else as it is.
fn cut(ask: &ObjectAsk) -> ObjectAsk {
    let mut cut = ask.clone();
    if let ObjectAsk::PutIfAbsent { bytes, .. } = &mut cut {
        bytes.truncate(bytes.len() / 2);
    }
    cut
}

impl World {
    fn new(policy: Policy) -> Self {
        let epoch = Epoch(2);
        let held = Held::default();
        Self {
            log: log(),
            store: MemoryObjectStore::default(),
            offloader: Offloader::new(LOG, epoch, root(), policy, held.clone()),
            held,
            epoch,
            trim: Lsn::MIN,
            now: Timestamp::from_millis(1_000_000),
            waiting: VecDeque::new(),
            events: Vec::new(),
            made: 0,
            puts: BTreeMap::new(),
            fault: Box::new(|_| Wrong::Nothing),
            late: Vec::new(),
            is_cut_off: false,
            lost_trims: 0,
        }
    }

    fn wall(&self) -> WallTime {
        WallTime(self.now.0 / 1_000_000)
    }

    /// Another offloader begins, with what the register holds.
    fn take_over(&mut self, policy: Policy) {
        self.epoch = self.epoch.next();
        self.waiting.clear();
        self.offloader = Offloader::new(LOG, self.epoch, root(), policy, self.held.clone());
    }

    /// Lets the offloader do what it can now. False if it would do nothing.
    fn tick(&mut self) {
        let mut out = Vec::new();
        let released = self.log[self.log.len() - 1].last();
        self.offloader.on_bounds(released, self.trim);
        if let Some((from, until)) = self.offloader.wants(self.now) {
            let trim = self.trim;
            let trimmed = (from <= trim).then_some(Delivery::Gap {
                kind: GapKind::Trim,
                first: from,
                last: trim,
            });
            let rest = self
                .log
                .iter()
                .filter(|it| it.first() >= from && it.last() < until);
            let told: Vec<Delivery> = trimmed.into_iter().chain(rest.cloned()).collect();
            self.offloader.on_read(&told, self.now, &mut out);
        }
        self.offloader.on_time(self.now, self.wall(), &mut out);
        self.take(out);
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Event(event) => self.events.push(event),
                other => self.waiting.push_back(other),
            }
        }
    }

    /// Carries out the next call or change, and gives the answer to the offloader unless it is lost with it.
    fn carry_out(&mut self, effect: Effect, is_answered: bool) {
        self.made += 1;
        let mut out = Vec::new();
        match effect {
            Effect::Change(held) => {
                assert_eq!(held.version, self.held.version + 1, "one change at a time");
                let last = held.manifest.last().unwrap_or(Lsn::MIN);
                assert!(
                    held.handed <= last.max(self.trim),
                    "only what is committed is handed over"
                );
                self.held = held.clone();
                if is_answered {
                    self.offloader.on_held(held, &mut out);
                }
            }
            Effect::Ask { token, ask } => {
                self.store.set_now(self.wall());
                let answer = self.call(&ask);
                if is_answered {
                    let (now, wall) = (self.now, self.wall());
                    self.offloader.on_answer(token, answer, now, wall, &mut out);
                }
            }
            Effect::Trim(_) if self.lost_trims > 0 => self.lost_trims -= 1,
            Effect::Trim(upto) => self.trim = self.trim.max(upto),
            Effect::Event(_) => unreachable!("they do not wait"),
        }
        self.take(out);
    }

    fn call(&mut self, ask: &ObjectAsk) -> Result<ObjectAnswer, ObjectError> {
        let made = self.made;
        for (_, late) in self.late.extract_if(.., |(due, _)| *due <= made) {
            let _ = self.store.call(&late);
        }
        let lost = || {
            Err(ObjectError::of(
                ask,
                ObjectErrorKind::Unavailable,
                "it went wrong",
            ))
        };
        if let ObjectAsk::PutIfAbsent { key, .. } = ask {
            *self.puts.entry(key.clone()).or_default() += 1;
        }
        match (self.fault)(ask) {
            Wrong::Nothing => self.store.call(ask),
            Wrong::Undone => lost(),
            Wrong::Unanswered => {
                let _ = self.store.call(ask);
                lost()
            }
            Wrong::Cut => self.store.call(&cut(ask)),
            Wrong::Emptied => {
                let mut empty = ask.clone();
                if let ObjectAsk::PutIfAbsent { bytes, .. } = &mut empty {
                    bytes.clear();
                }
                self.store.call(&empty)
            }
            Wrong::Garbled => self.store.call(ask).map(|answer| match answer {
                ObjectAnswer::Got(bytes) => {
                    let mut bytes = bytes.to_vec();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    ObjectAnswer::Got(bytes.into())
                }
                other => other,
            }),
            Wrong::VeryLate => {
                self.late.push((self.made + 60, ask.clone()));
                lost()
            }
            Wrong::CutLate => {
                self.late.push((self.made + 2, cut(ask)));
                lost()
            }
        }
    }

    /// Goes on until `until` has passed, or so many calls and changes were made.
    fn run(&mut self, until: Timestamp, most: u64) {
        while self.made < most {
            self.tick();
            let is_held_up = |it: &Effect| self.is_cut_off && matches!(it, Effect::Change(_));
            if let Some(next) = self.waiting.iter().position(|it| !is_held_up(it)) {
                let effect = self.waiting.remove(next).expect("it waits");
                self.carry_out(effect, true);
                continue;
            }
            match self.offloader.deadline() {
                Some(due) if due <= until => {
                    self.now = self.now.max(due) + Duration::from_micros(1)
                }
                _ => {
                    self.now = self.now.max(until);
                    return;
                }
            }
        }
    }

    fn run_for(&mut self, seconds: u64) {
        self.run(self.now + Duration::from_secs(seconds), u64::MAX);
    }

    /// What an object holds, which is there.
    fn bytes(&self, key: &ObjectKey) -> Bytes {
        let mut objects = self.store.objects();
        let (_, bytes) = objects.find(|(it, _)| *it == key).expect("it is there");
        bytes.clone()
    }

    /// What lies in the second tier is the log, once, and nothing else lies in the store.
    fn check(&self, expected: &[Delivery]) {
        let manifest = &self.held.manifest;
        let objects: BTreeMap<&ObjectKey, &Bytes> = self.store.objects().collect();
        let mut told = Vec::new();
        for it in manifest.segments() {
            let bytes = objects[&it.intent.key(&root(), LOG)];
            let segment = Segment::verify(bytes).expect("it is in order");
            assert_eq!(segment.info().first, it.intent.first);
            assert_eq!(segment.info().file_bytes, it.file_bytes);
            told.extend(segment.read(bytes).flat_map(|it| it.expect("in order")));
        }
        assert!(told == expected, "{} of {}", told.len(), expected.len());
        assert_eq!(manifest.intents().len(), 0);
        assert_eq!(manifest.dropped().len(), 0);
        let prefix = root().child("log-7").expect("a key");
        let copies: Vec<&Bytes> = objects
            .iter()
            .filter(|(key, _)| {
                matches!(
                    ObjectName::read(key, &prefix),
                    Some(ObjectName::Copy { .. })
                )
            })
            .map(|(_, bytes)| *bytes)
            .collect();
        assert_eq!(copies.len(), 1, "one copy of the manifest is left");
        assert_eq!(Manifest::decode(copies[0]).as_ref(), Ok(manifest));
        let marker = objects.get(&self.marker());
        assert!(marker.is_some_and(|bytes| !bytes.is_empty()));
        assert_eq!(
            objects.len(),
            manifest.segments().len() + 2,
            "nothing is left over"
        );
    }
}

#[test]
fn a_log_is_moved_whole() {
    let mut world = World::new(policy());
    world.run_for(200);
    world.check(&log());
    let segments = world.held.manifest.segments().len();
    assert!((4..20).contains(&segments), "{segments}");
    let committed = |it: &&Event| matches!(it, Event::Committed(_));
    assert_eq!(world.events.iter().filter(committed).count(), segments);
    // Once for each segment and each copy of the manifest.
    assert!(world.puts.values().all(|count| *count == 1));
    // With nothing to do it only looks after what is there.
    let made = world.made;
    world.run_for(95);
    assert!(world.made - made <= 2 * 11, "{}", world.made - made);
}

#[test]
fn a_death_after_every_single_call_loses_nothing_doubles_nothing_and_leaves_nothing() {
    let mut calls = 0;
    for most in 0.. {
        for (policy, is_answered) in [
            (policy(), true),
            (policy(), false),
            (forgetful(), true),
            (forgetful(), false),
        ] {
            let mut world = World::new(policy);
            world.run(world.now + Duration::from_secs(30), most);
            if let Some(effect) = world.waiting.pop_front().filter(|_| !is_answered) {
                // It is done, and nobody hears of it.
                world.carry_out(effect, false);
            }
            calls = world.made;
            world.take_over(policy);
            world.run_for(400);
            world.check(&log());
            let all = world.held.manifest.last().filter(|_| policy == forgetful());
            assert_eq!(world.held.handed, all.unwrap_or(Lsn::MIN));
        }
        if calls < most {
            assert!(most > 20, "{most} calls were enough");
            return;
        }
    }
}

#[test]
fn an_offloader_that_was_deposed_puts_what_it_can_and_harms_nothing() {
    for most in 1..40 {
        let mut world = World::new(policy());
        world.run(world.now + Duration::from_secs(30), most);
        // What it had asked for comes to the store late: after the next one has done all its work.
        let late: Vec<Effect> = world.waiting.drain(..).collect();
        world.take_over(policy());
        world.run_for(100);
        for effect in late {
            if let Effect::Ask { ask, .. } = effect {
                world.store.set_now(world.wall());
                let _ = world.store.call(&ask);
            }
        }
        world.run_for(300);
        world.check(&log());
    }
}

#[test]
fn a_store_that_fails_all_the_time_is_got_the_better_of() {
    for seed in 0..200 {
        let mut world = World::new(policy());
        let mut rng = Rng::from_seed(seed);
        world.fault = Box::new(move |_| match rng.below(10) {
            0 | 1 => Wrong::Undone,
            2 | 3 => Wrong::Unanswered,
            4 => Wrong::Cut,
            5 => Wrong::CutLate,
            _ => Wrong::Nothing,
        });
        for most in [40, 80, 120] {
            world.take_over(policy());
            world.run(world.now + Duration::from_secs(60), most);
        }
        world.fault = Box::new(|_| Wrong::Nothing);
        world.run_for(600);
        world.check(&log());
    }
}

#[test]
fn a_store_that_spoils_all_it_is_given_is_not_beset() {
    let mut world = World::new(policy());
    world.fault = Box::new(|_| Wrong::Cut);
    world.run_for(120);
    assert!(world.made < 250, "{}", world.made);
    world.fault = Box::new(|_| Wrong::Nothing);
    world.run_for(400);
    world.check(&log());
}

#[test]
fn what_cannot_be_deleted_keeps_nothing_else_from_being_looked_after() {
    let mut world = World::new(policy());
    world.run_for(60);
    world.trim = Lsn::new(1, 20);
    let first = world.held.manifest.segments().next().expect("some").intent;
    let held = first.key(&root(), LOG);
    let is_held = held.clone();
    world.fault = Box::new(move |ask| match ask {
        ObjectAsk::Delete { key } if *key == is_held => Wrong::Undone,
        _ => Wrong::Nothing,
    });
    world.run_for(400);
    // All but that one went, and segments are read.
    let dropped: Vec<_> = world.held.manifest.dropped().map(|it| it.intent).collect();
    assert_eq!(dropped, [first]);
    let third = world.held.manifest.segments().nth(1).expect("some").clone();
    world.store.tamper(&third.intent.key(&root(), LOG), None);
    world.run_for(200);
    let anomaly = world.held.manifest.anomaly(third.intent.id);
    assert_eq!(anomaly, Some(Anomaly::Missing));
}

#[test]
fn what_waits_for_being_committed_is_no_garbage_however_long_it_waits() {
    for most in 1..30 {
        let mut world = World::new(policy());
        world.run(world.now + Duration::from_secs(30), most);
        world.is_cut_off = true;
        world.run_for(300);
        let collected =
            |it: &Event| matches!(it, Event::Collected(key) if key.as_str().ends_with(".seg"));
        assert!(!world.events.iter().any(collected), "cut off after {most}");
        world.is_cut_off = false;
        world.run_for(300);
        world.check(&log());
    }
}

#[test]
fn a_trim_drops_segments_later_and_their_ranges_do_not_come_back() {
    for most in 1..60 {
        let mut world = World::new(policy());
        world.run(world.now + Duration::from_secs(30), most);
        world.trim = Lsn::new(1, 20);
        let before = world.store.objects().count();
        world.run_for(30);
        // Readers that were sent there may still read.
        assert!(world.store.objects().count() >= before);
        world.run_for(400);
        let rest: Vec<Delivery> = log()
            .into_iter()
            .filter(|it| it.last() > world.trim)
            .collect();
        let first = world
            .held
            .manifest
            .segments()
            .next()
            .expect("there is more")
            .intent;
        assert!(first.last > world.trim);
        let whole: Vec<Delivery> = log()
            .into_iter()
            .filter(|it| it.first() >= first.first)
            .collect();
        assert!(whole.len() >= rest.len());
        world.check(&whole);
    }
}

#[test]
fn what_is_not_kept_is_given_up_and_each_byte_counts_once() {
    let keep = 20;
    let mut world = World::new(Policy {
        total: Retention {
            bytes: Some(keep * BYTES),
            age: None,
        },
        ..policy()
    });
    world.lost_trims = 5;
    world.run_for(600);
    let manifest = &world.held.manifest;
    let kept = manifest.payload_bytes();
    assert!(kept >= keep * BYTES, "{kept}");
    let oldest = manifest.segments().next().expect("some are kept");
    assert!(
        kept - oldest.payload_bytes < keep * BYTES,
        "no more than has to be"
    );
    assert!(world.trim > Lsn::MIN && world.trim < oldest.intent.first);
}

#[test]
fn the_first_tier_forgets_what_is_committed_and_in_order_and_not_more_than_it_may() {
    let mut world = World::new(Policy {
        local: Retention {
            bytes: Some(10 * BYTES),
            age: None,
        },
        ..policy()
    });
    world.run_for(100);
    let segments: Vec<_> = world.held.manifest.segments().cloned().collect();
    let behind = |lsn: Lsn| -> u64 {
        let newer = segments.iter().filter(|it| it.intent.first > lsn);
        newer.map(|it| it.payload_bytes).sum()
    };
    assert!(behind(world.held.handed) >= 10 * BYTES);
    assert!(
        segments
            .iter()
            .any(|it| it.intent.last == world.held.handed)
    );
    // All but what has to stay.
    let next = segments
        .iter()
        .find(|it| it.intent.first > world.held.handed)
        .expect("it stays");
    assert!(behind(next.intent.last) < 10 * BYTES);
}

#[test]
fn damage_in_the_store_is_found_and_noted_and_keeps_the_first_tier_from_forgetting() {
    let mut world = World::new(policy());
    world.run_for(60);
    let second = world.held.manifest.segments().nth(1).expect("some").clone();
    let third = world.held.manifest.segments().nth(2).expect("some").clone();
    let key = second.intent.key(&root(), LOG);
    let whole = world.bytes(&key);
    let mut bytes = whole.to_vec();
    bytes[100] ^= 1;
    world.store.tamper(&key, Some(bytes.into()));
    world.store.tamper(&third.intent.key(&root(), LOG), None);
    world.run_for(200);
    let manifest = &world.held.manifest;
    assert_eq!(manifest.anomaly(second.intent.id), Some(Anomaly::Damaged));
    assert_eq!(manifest.anomaly(third.intent.id), Some(Anomaly::Missing));
    let noted = |it: &&Event| matches!(it, Event::Anomaly(_, Some(_)));
    assert_eq!(
        world.events.iter().filter(noted).count(),
        2,
        "each is told once"
    );
    world.take_over(forgetful());
    world.run_for(60);
    assert!(world.held.handed < second.intent.first);
    // It is in order again.
    world.store.tamper(&key, Some(whole));
    world.run_for(200);
    assert_eq!(world.held.manifest.anomaly(second.intent.id), None);
    assert_eq!(world.held.handed, second.intent.last);
}

/// Whoever reads it then: who looks after it, or who hands it over.
#[test]
fn what_is_damaged_on_its_way_is_not_taken_for_damage_in_the_store() {
    let whole = {
        let mut world = World::new(forgetful());
        world.run_for(40);
        world.held.handed
    };
    for garbled in 0..40 {
        let mut world = World::new(forgetful());
        world.fault = once(Wrong::Garbled, ".seg", garbled);
        world.run_for(40);
        let noted = |it: &Event| matches!(it, Event::Anomaly(..));
        assert!(!world.events.iter().any(noted), "the {garbled}th");
        assert_eq!(world.held.handed, whole, "the {garbled}th");
    }
}

#[test]
fn what_was_mended_is_found_soon_however_many_segments_there_are() {
    for rounds in 0..6 {
        let mut world = World::new(policy());
        world.run_for(60);
        let third = world.held.manifest.segments().nth(2).expect("some").clone();
        let key = third.intent.key(&root(), LOG);
        let bytes = world.bytes(&key);
        world.store.tamper(&key, Some(bytes.slice(1..)));
        world.offloader.suspect(third.intent.id);
        world.run_for(1 + 10 * rounds);
        let anomaly = |world: &World| world.held.manifest.anomaly(third.intent.id);
        assert_eq!(anomaly(&world), Some(Anomaly::Damaged));
        world.store.tamper(&key, Some(bytes));
        world.run_for(25);
        assert_eq!(anomaly(&world), None, "after {rounds} rounds");
        assert!(world.held.manifest.segments().len() > 4);
    }
}

#[test]
fn what_is_handed_over_is_read_once_more_before() {
    let mut world = World::new(policy());
    world.run_for(60);
    let second = world.held.manifest.segments().nth(1).expect("some").clone();
    // Nobody has looked at it since.
    world.store.tamper(&second.intent.key(&root(), LOG), None);
    world.take_over(forgetful());
    world.run_for(25);
    let first = world.held.manifest.segments().next().expect("some");
    assert_eq!(world.held.handed, first.intent.last);
    let anomaly = world.held.manifest.anomaly(second.intent.id);
    assert_eq!(anomaly, Some(Anomaly::Missing));
}

/// Its nodes were lost, say, and it was begun anew: the history that was there before is not its own.
#[test]
fn a_log_that_begins_anew_harms_nothing_that_was_there_before() {
    let mut before = World::new(policy());
    before.run_for(200);
    let objects = before.store.objects().count();
    let mut anew = World::new(policy());
    (anew.store, anew.now) = (before.store, before.now + Duration::from_secs(1));
    for _ in 0..3 {
        anew.run_for(200);
        anew.take_over(policy());
    }
    let theirs = before.held.manifest.born().expect("it has begun");
    let prefix = root().child("log-7").expect("a key");
    let left = anew
        .store
        .objects()
        .filter(|(key, _)| match ObjectName::read(key, &prefix) {
            Some(
                ObjectName::Segment(Intent { born, .. })
                | ObjectName::Copy { born, .. }
                | ObjectName::Marker { born, .. },
            ) => born == theirs,
            None => false,
        });
    assert_eq!(left.count(), objects);
    let rebuilt = rebuild(&mut anew.store, &root(), LOG).expect("the store works");
    assert_ne!(rebuilt.manifest.born(), Some(theirs), "the newest counts");
}

/// The directory was not mounted for a while, or is another one.
#[test]
fn a_store_that_shows_nothing_of_what_was_put_is_not_believed() {
    let mut world = World::new(policy());
    world.run_for(100);
    let store = std::mem::take(&mut world.store);
    world.run_for(15);
    let segments: Vec<_> = world.held.manifest.segments().cloned().collect();
    let noted = segments
        .iter()
        .filter(|it| world.held.manifest.anomaly(it.intent.id).is_some());
    assert_eq!(noted.count(), 0);
    world.store = store;
    world.run_for(200);
    world.check(&log());
}

/// What is put there is in order, and all that was put before is elsewhere.
#[test]
fn nothing_is_committed_nor_handed_over_in_another_store() {
    let mut world = World::new(forgetful());
    let rest = world.log.split_off(30);
    world.run_for(100);
    let handed = world.held.handed;
    assert_eq!(handed, world.log[29].last());
    let store = std::mem::take(&mut world.store);
    let puts = world.puts.len();
    world.log.extend(rest);
    world.run_for(100);
    assert!(world.puts.len() > puts, "it is uploaded");
    assert_eq!(world.held.manifest.last(), Some(handed));
    assert_eq!(world.held.handed, handed);
    assert_eq!(world.held.manifest.anomalies().len(), 0);
    world.store = store;
    world.run_for(300);
    world.check(&log());
    assert_eq!(world.held.handed, world.log[world.log.len() - 1].last());
    assert_eq!(world.held.manifest.anomalies().len(), 0);
}

/// The store is another one for a while, from every single call on.
#[test]
fn nothing_is_handed_over_that_the_bucket_alone_does_not_tell_of() {
    for most in 0..60 {
        let mut world = World::new(Policy {
            care_interval: Duration::from_secs(600),
            ..forgetful()
        });
        let rest = world.log.split_off(30);
        world.run_for(100);
        world.log.extend(rest);
        world.run(world.now + Duration::from_secs(20), world.made + most);
        let store = std::mem::take(&mut world.store);
        world.run_for(20);
        world.store = store;
        let until = world.now + Duration::from_secs(100);
        let mut handed = world.held.handed;
        while world.now < until {
            world.run(until, world.made + 1);
            if world.held.handed > handed {
                handed = world.held.handed;
                let told = world.told_by_copies();
                assert!(told >= Some(handed), "{handed} of {told:?} after {most}");
            }
        }
        assert_eq!(handed, world.log[world.log.len() - 1].last(), "{most}");
    }
}

/// The marker vanishes, at every single call.
#[test]
fn nothing_more_is_handed_over_once_the_marker_is_gone() {
    for most in 0..40 {
        let mut world = World::new(policy());
        world.run_for(100);
        world.take_over(forgetful());
        let until = world.now + Duration::from_secs(100);
        world.run(until, world.made + most);
        let marker = world.marker();
        world.store.tamper(&marker, None);
        let (mut handed, mut more) = (world.held.handed, 0);
        while world.now < until {
            world.run(until, world.made + 1);
            let stands = world.store.objects().any(|(it, _)| *it == world.marker());
            if world.held.handed > handed && !stands {
                more += 1;
            }
            handed = world.held.handed;
        }
        // One may have been under way.
        assert!(more <= 1, "{more} after {most}");
        assert_eq!(handed, world.log[world.log.len() - 1].last(), "{most}");
    }
}

impl World {
    fn keys_of_segments(&self) -> Vec<ObjectKey> {
        let segments = self.held.manifest.segments();
        segments.map(|it| it.intent.key(&root(), LOG)).collect()
    }

    fn marker(&self) -> ObjectKey {
        let key = self.held.manifest.marker_key(&root(), LOG);
        key.expect("there is one")
    }

    /// The last LSN that the newest copy of the manifest in the store knows to be moved.
    fn told_by_copies(&self) -> Option<Lsn> {
        let prefix = root().child("log-7").expect("a key");
        let copies =
            self.store
                .objects()
                .filter_map(|(key, bytes)| match ObjectName::read(key, &prefix) {
                    Some(ObjectName::Copy { epoch, version, .. }) => {
                        Some(((epoch, version), bytes))
                    }
                    _ => None,
                });
        let (_, newest) = copies.max_by_key(|(number, _)| *number)?;
        Manifest::decode(newest).expect("it is in order").last()
    }

    fn is_told_to_be_elsewhere(&self) -> bool {
        let mut events = self.events.iter();
        events.any(|it| matches!(it, Event::Elsewhere(_)))
    }

    fn missing(&self) -> usize {
        let manifest = &self.held.manifest;
        let anomalies = manifest.segments().map(|it| manifest.anomaly(it.intent.id));
        anomalies.filter(|it| *it == Some(Anomaly::Missing)).count()
    }
}

/// As long as the marker is there, the store is the one that history was moved to, and what is not there is lost.
#[test]
fn all_segments_may_be_missing_where_the_marker_is() {
    let mut world = World::new(forgetful());
    world.run_for(100);
    for key in world.keys_of_segments() {
        world.store.tamper(&key, None);
    }
    world.run_for(400);
    assert_eq!(world.missing(), world.held.manifest.segments().len());
    assert!(!world.is_told_to_be_elsewhere());
}

#[test]
fn a_marker_that_is_gone_is_put_again_where_history_is() {
    let mut world = World::new(forgetful());
    world.run_for(100);
    world.store.tamper(&world.marker(), None);
    let lost = world.keys_of_segments().swap_remove(1);
    world.store.tamper(&lost, None);
    world.run_for(400);
    assert!(world.store.objects().any(|(key, _)| *key == world.marker()));
    assert_eq!(world.missing(), 1);
    assert!(!world.is_told_to_be_elsewhere());
}

/// It is told, and nothing else is done: that the bucket was emptied and that it is another one look alike.
#[test]
fn where_neither_history_nor_marker_is_nothing_is_missing() {
    let mut world = World::new(forgetful());
    world.run_for(100);
    let objects: Vec<ObjectKey> = world.store.objects().map(|(key, _)| key.clone()).collect();
    for key in objects {
        world.store.tamper(&key, None);
    }
    world.run_for(400);
    assert_eq!(world.missing(), 0);
    assert!(world.is_told_to_be_elsewhere());
    assert!(!world.store.objects().any(|(key, _)| *key == world.marker()));
    // It is looked at now and then, not all the time, also if a call fails, and if readers ask for what is missing.
    let mut is_first = true;
    world.fault = Box::new(move |ask| match ask {
        ObjectAsk::List { .. } if std::mem::take(&mut is_first) => Wrong::Undone,
        _ => Wrong::Nothing,
    });
    let made = world.made;
    for _ in 0..50 {
        let first = world.held.manifest.segments().next().expect("some");
        world.offloader.suspect(first.intent.id);
        world.run_for(8);
    }
    assert!(world.made - made < 400, "{}", world.made - made);
    // What is given up is not looked for.
    world.trim = world.held.handed;
    world.run_for(400);
    assert!(world.store.objects().any(|(key, _)| *key == world.marker()));
}

/// The directory was not mounted when the history began; when it was, all that had moved was given up already. Then
/// it is not mounted once more.
#[test]
fn a_marker_of_long_ago_is_not_taken_for_the_one_that_counts() {
    let mut world = World::new(forgetful());
    let rest = world.log.split_off(30);
    world.run_for(100);
    world.trim = world.held.handed;
    world.run_for(100);
    assert_eq!(world.held.manifest.segments().len(), 0);
    let beneath = std::mem::take(&mut world.store);
    world.log.extend(rest);
    world.run_for(200);
    assert_eq!(world.held.handed, world.log[world.log.len() - 1].last());
    world.store = beneath;
    world.run_for(400);
    assert!(world.is_told_to_be_elsewhere());
    assert_eq!(world.missing(), 0);
}

#[test]
fn a_marker_that_was_spoiled_is_put_anew() {
    for wrong in [Wrong::Cut, Wrong::Emptied, Wrong::Undone, Wrong::VeryLate] {
        let mut world = World::new(forgetful());
        world.tick();
        world.run(world.now, 1);
        let born = world.held.manifest.born().expect("it has begun");
        let marker = marker_key(&root(), LOG, born, 1);
        let mut is_first = true;
        let fault = move |ask: &ObjectAsk| match ask {
            ObjectAsk::PutIfAbsent { key, .. } if *key == marker && is_first => {
                is_first = false;
                wrong
            }
            _ => Wrong::Nothing,
        };
        world.fault = Box::new(fault);
        world.run_for(400);
        assert_eq!(world.held.handed, world.log[world.log.len() - 1].last());
        world.check(&log());
    }
}

/// The node that dropped them had a clock that was wrong.
#[test]
fn what_was_dropped_in_the_future_is_deleted_all_the_same() {
    let mut world = World::new(policy());
    world.run_for(60);
    let right = world.now;
    world.now = world.now + Duration::from_secs(3_000);
    world.trim = world
        .held
        .manifest
        .segments()
        .next()
        .expect("some")
        .intent
        .last;
    world.run_for(1);
    assert_eq!(world.held.manifest.dropped().len(), 1);
    world.now = right;
    world.take_over(policy());
    world.run_for(200);
    assert_eq!(world.held.manifest.dropped().len(), 0);
    // The store's clock was wrong with it: what it says was put later is left for so long.
    world.run_for(3_000);
    let upto = world.trim;
    let rest: Vec<Delivery> = log().into_iter().filter(|it| it.first() > upto).collect();
    world.check(&rest);
}

#[test]
fn what_is_there_and_has_no_bytes_is_uploaded_anew() {
    for answered in [true, false] {
        let mut world = World::new(policy());
        let mut left = 4;
        world.fault = Box::new(move |ask| {
            let is_put = matches!(ask, ObjectAsk::PutIfAbsent { .. }) && left > 0;
            left -= u32::from(is_put);
            match (is_put, answered || left % 2 == 0) {
                (false, _) => Wrong::Nothing,
                (true, true) => Wrong::Emptied,
                (true, false) => Wrong::CutLate,
            }
        });
        world.run_for(400);
        world.check(&log());
    }
}

#[test]
fn a_put_that_comes_after_its_segment_was_deleted_leaves_nothing() {
    let mut world = World::new(policy());
    let mut is_first = true;
    world.fault = Box::new(move |ask| {
        let is_put =
            matches!(ask, ObjectAsk::PutIfAbsent { key, .. } if key.as_str().ends_with(".seg"));
        if is_put && std::mem::take(&mut is_first) {
            Wrong::VeryLate
        } else {
            Wrong::Nothing
        }
    });
    world.run_for(10);
    let first = world.held.manifest.segments().next().expect("some").clone();
    world.trim = first.intent.last;
    world.run_for(400);
    assert!(world.late.is_empty(), "it has come");
    let rest: Vec<Delivery> = log()
        .into_iter()
        .filter(|it| it.first() > first.intent.last)
        .collect();
    world.check(&rest);
}

fn lost(at: Lsn) -> Delivery {
    Delivery::Gap {
        kind: GapKind::DataLoss,
        first: at,
        last: at,
    }
}

/// Copies that are told as lost may come back with a node that is down.
#[test]
fn what_is_told_as_lost_is_waited_for() {
    let mut world = World::new(policy());
    let at = world.log[10].first();
    let record = std::mem::replace(&mut world.log[10], lost(at));
    world.run_for(30);
    let before = world.held.manifest.last().unwrap_or(Lsn::MIN);
    assert!(before < at, "{before}");
    let told = |it: &&Event| matches!(it, Event::Unreadable(_));
    assert!((3..30).contains(&world.events.iter().filter(told).count()));
    let mut returned = world.log.clone();
    returned[10] = record;
    world.log = returned;
    world.run_for(200);
    world.check(&log());
    // It stays lost.
    let mut world = World::new(policy());
    world.log[10] = lost(at);
    world.run_for(400);
    let log = world.log.clone();
    world.check(&log);
}

#[test]
fn bytes_move_no_faster_than_they_may() {
    let slow = Policy {
        bytes_per_second: 200,
        ..policy()
    };
    let mut world = World::new(slow);
    let start = world.now;
    world.run_for(1);
    while world.held.manifest.segments().len() < 4 {
        world.run_for(1);
    }
    let moved: u64 = world
        .held
        .manifest
        .segments()
        .map(|it| 2 * it.file_bytes)
        .sum();
    let took = world.now.since(start).as_secs();
    assert!(took + 10 >= moved / 200, "{moved} bytes in {took} s");
    assert!(took <= moved / 200 + 20, "{moved} bytes in {took} s");
}

#[test]
fn the_manifest_comes_back_from_the_store_alone() {
    let mut world = World::new(policy());
    world.run_for(200);
    let manifest = world.held.manifest.clone();
    let segments: Vec<_> = manifest.segments().cloned().collect();
    // By its copy.
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    let copy = found.copy.expect("there is one");
    assert_eq!(
        (found.manifest, found.wanting),
        (manifest.clone(), Vec::new())
    );
    // By the segments, if the copy is damaged or gone.
    let bytes = world.bytes(&copy);
    world
        .store
        .tamper(&copy, Some(bytes.slice(..bytes.len() - 1)));
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert!(matches!(&found.wanting[..], [Wanting::Copy(key, _)] if *key == copy));
    assert!(found.manifest.segments().eq(&segments));
    // So it is if a crash has left it empty.
    world.store.tamper(&copy, Some(Bytes::new()));
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert!(found.copy.is_none() && found.manifest.segments().eq(&segments));
    world.store.tamper(&copy, None);
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert_eq!((found.copy, found.wanting), (None, Vec::new()));
    assert!(found.manifest.segments().eq(&segments));
    assert_eq!(found.manifest.next(), manifest.next());
    // What is damaged is passed over, and what lies before it is out of reach.
    let third = segments[2].intent.key(&root(), LOG);
    let bytes = world.bytes(&third);
    world.store.tamper(&third, Some(bytes.slice(1..)));
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert!(found.manifest.segments().eq(&segments[3..]));
    let [Wanting::Damaged(key, _), Wanting::Before(first, last)] = &found.wanting[..] else {
        panic!("{:?}", found.wanting);
    };
    assert_eq!(*key, third);
    assert_eq!((*first, *last), (Lsn::FIRST, segments[3].intent.first));
}

/// A manifest of which a trim has left nothing begins with whatever is announced first.
#[test]
fn what_is_begun_anew_comes_before_what_stands_behind_it_wherever_a_trim_falls() {
    for spoiled in 1..4 {
        for most in 1..30 {
            for trimmed in 9..18 {
                let mut world = World::new(policy());
                world.fault = once(Wrong::Emptied, ".seg", spoiled);
                let rest = world.log.split_off(24);
                world.run(world.now + Duration::from_secs(100), most);
                // More is released, and the register takes its time.
                world.log.extend(rest);
                world.is_cut_off = true;
                world.run(world.now + Duration::from_secs(1), most + 20);
                world.trim = world.log[trimmed].last();
                world.is_cut_off = false;
                world.run_for(200);
                let case = format!("put {spoiled}, trim at {trimmed} after {most}");
                let manifest = &world.held.manifest;
                assert_eq!(
                    manifest.last(),
                    world.log.last().map(Delivery::last),
                    "{case}"
                );
                let first = manifest.segments().next().expect("some").intent.first;
                assert!(
                    first <= world.trim.successor(),
                    "{case}: it begins at {first}"
                );
            }
        }
    }
}

/// The copy that is there was put before the last segments were committed.
#[test]
fn what_a_copy_does_not_know_yet_is_found_by_the_segments() {
    let mut world = World::new(policy());
    world.run_for(200);
    let manifest = world.held.manifest.clone();
    let segments: Vec<_> = manifest.segments().cloned().collect();
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    let copy = found.copy.expect("there is one");
    let older = Manifest::of(segments[..2].to_vec()).encode();
    world.store.tamper(&copy, Some(older));
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert!(found.manifest.segments().eq(&segments));
    assert_eq!((found.copy, found.wanting), (Some(copy), Vec::new()));
    assert_eq!(found.manifest.next(), manifest.next());
    // What lies behind one that is gone is out of reach.
    let third = segments[2].intent.key(&root(), LOG);
    world.store.tamper(&third, None);
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert!(found.manifest.segments().eq(&segments[..2]));
    let until = segments[1].intent.last.successor();
    let furthest = manifest.next().expect("it has segments");
    assert_eq!(found.wanting, [Wanting::Behind(until, furthest)]);
}

/// A segment is in order, and not what its key says.
#[test]
fn a_segment_of_another_log_or_range_is_passed_over() {
    let mut world = World::new(policy());
    world.run_for(200);
    let segments: Vec<_> = world.held.manifest.segments().cloned().collect();
    let intent = segments[0].intent;
    let key = intent.key(&root(), LOG);
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    world.store.tamper(&found.copy.expect("one"), None);
    let hole = Delivery::Gap {
        kind: GapKind::Hole,
        first: intent.first,
        last: intent.last,
    };
    let mut writer = SegmentWriter::new(LogId(LOG.0 + 1), intent.first, policy().writer);
    writer.push(&hole).expect("it is the first");
    let of_another_log = writer.finish().expect("it is not empty").bytes;
    let second = segments[1].intent.key(&root(), LOG);
    let of_another_range = world.bytes(&second);
    for bytes in [of_another_log, of_another_range] {
        world.store.tamper(&key, Some(bytes));
        let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
        assert_eq!(found.wanting, [Wanting::Other(key.clone())]);
        assert!(found.manifest.segments().eq(&segments[1..]));
    }
}

#[test]
fn a_manifest_is_made_of_segments_wherever_uploads_were_interrupted() {
    for most in 1..60 {
        let mut world = World::new(policy());
        world.run(world.now + Duration::from_secs(30), most);
        world.take_over(Policy {
            segment_bytes: 1_700,
            ..policy()
        });
        // Long enough for all to be moved, and too short for anything to be deleted.
        world.run_for(30);
        let copies: Vec<ObjectKey> = world
            .store
            .objects()
            .map(|(key, _)| key.clone())
            .filter(|key| key.as_str().contains("manifest"))
            .collect();
        for key in copies {
            world.store.tamper(&key, None);
        }
        let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
        let manifest = found.manifest;
        assert!(manifest.last() >= world.held.manifest.last());
        let first = manifest.segments().next().expect("some").intent.first;
        assert_eq!(first, Lsn::FIRST, "{most}");
        let records: u64 = manifest.segments().map(|it| it.records).sum();
        assert_eq!(records, u64::from(RECORDS) - 2);
    }
}

/// Somebody waits for what is told of each, and nothing else is looked at for ten minutes.
#[test]
fn whatever_is_suspected_is_looked_at_soon() {
    let policy = Policy {
        care_interval: Duration::from_secs(600),
        ..forgetful()
    };
    for between in 0..6 {
        let mut world = World::new(policy);
        world.run_for(300);
        let segments: Vec<_> = world.held.manifest.segments().cloned().collect();
        let lost = &segments[1..4];
        for it in lost {
            world.store.tamper(&it.intent.key(&root(), LOG), None);
        }
        for it in lost {
            world.offloader.suspect(it.intent.id);
            world.run(world.now + Duration::from_secs(1), world.made + between);
        }
        world.run_for(5);
        assert_eq!(world.missing(), lost.len(), "{between} calls between");
        // Then it looks no more often than it did.
        let made = world.made;
        world.run_for(500);
        assert!(world.made - made <= 8, "{}", world.made - made);
    }
}

#[test]
fn what_is_suspected_while_all_is_given_up_is_not_looked_for() {
    let mut world = World::new(policy());
    world.run_for(200);
    let suspect = world.held.manifest.last().and_then(|last| {
        let segment = world.held.manifest.segment_of(last)?;
        Some(segment.intent.id)
    });
    world.trim = world.log[world.log.len() - 1].last();
    world.run_for(100);
    let made = world.made;
    world.offloader.suspect(suspect.expect("there was one"));
    world.run_for(8);
    assert_eq!(world.made - made, 1, "what lies there is listed once");
}

/// A crash of the store has left no byte of a segment.
#[test]
fn a_segment_that_has_become_empty_is_damaged_and_not_missing() {
    // Care finds it, where nothing is handed over, or else who hands over.
    for (policy, is_suspected) in [(policy(), true), (forgetful(), false)] {
        let mut world = World::new(self::policy());
        world.run_for(100);
        let third = world.held.manifest.segments().nth(2).expect("some").clone();
        let key = third.intent.key(&root(), LOG);
        world.store.tamper(&key, Some(Bytes::new()));
        world.take_over(Policy {
            care_interval: Duration::from_secs(600),
            ..policy
        });
        if is_suspected {
            world.offloader.suspect(third.intent.id);
        }
        world.run_for(30);
        let manifest = &world.held.manifest;
        assert_eq!(manifest.anomaly(third.intent.id), Some(Anomaly::Damaged));
        assert!(world.held.handed < third.intent.first);
    }
}

#[test]
fn a_copy_of_the_manifest_that_came_to_be_empty_is_put_anew() {
    let mut world = World::new(policy());
    world.run_for(200);
    // Nothing is moved any more that would make another one anyway.
    world.take_over(policy());
    world.fault = once(Wrong::Emptied, "/manifest/", 1);
    let puts = world.puts.len();
    world.run_for(400);
    let copies = world.puts.len() - puts;
    assert!(copies >= 2, "{copies}: the first one is empty");
    world.check(&log());
}

/// All was given up, and an upload that was given up long before comes late.
#[test]
fn a_manifest_from_the_store_brings_nothing_back_that_was_given_up() {
    let mut world = World::new(policy());
    world.run_for(200);
    let first = world.held.manifest.segments().next().expect("some").intent;
    let bytes = world.bytes(&first.key(&root(), LOG));
    world.trim = world.log[world.log.len() - 1].last();
    world.run_for(400);
    assert_eq!(world.held.manifest.segments().len(), 0);
    assert_eq!(world.held.manifest.dropped().len(), 0);
    let mut late = first;
    late.id.0 += 100;
    let key = late.key(&root(), LOG);
    let put = world.store.call(&ObjectAsk::PutIfAbsent { key, bytes });
    put.expect("there is none");
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert!(found.copy.is_some());
    assert_eq!(found.manifest.segments().len(), 0);
    assert_eq!(found.wanting, []);
}

/// Nothing is committed when the copy is put, and everything when the bucket is all that is left.
#[test]
fn what_follows_a_copy_of_an_empty_manifest_is_found_by_the_segments() {
    let mut world = World::new(policy());
    world.run_for(200);
    let manifest = world.held.manifest.clone();
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    let mut older = Manifest::default();
    older.begin_history(manifest.born().expect("it has begun"));
    let copy = found.copy.expect("there is one");
    world.store.tamper(&copy, Some(older.encode()));
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert!(found.manifest.segments().eq(manifest.segments()));
    assert_eq!((found.copy, found.wanting), (Some(copy), Vec::new()));
}

/// What an upload that was given up has left is garbage, and nobody misses it.
#[test]
fn what_waits_for_being_deleted_is_not_found_wanting() {
    let mut world = World::new(policy());
    world.fault = once(Wrong::Emptied, ".seg", 2);
    world.run_for(30);
    let manifest = &world.held.manifest;
    assert_ne!(manifest.dropped().len(), 0);
    let segments: Vec<_> = manifest.segments().cloned().collect();
    assert_eq!(
        manifest.last(),
        world.log.last().map(Delivery::last),
        "all is moved"
    );
    let found = rebuild(&mut world.store, &root(), LOG).expect("the store answers");
    assert!(found.manifest.segments().eq(&segments));
    assert_eq!(found.wanting, []);
}
