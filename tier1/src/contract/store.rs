//! The contract of [`LogStore`].

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, CorruptCopy, LogStore, StoreError, StoreOp};
use hstore_core::{
    Attributes, Ballot, Chain, Entry, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Precedence,
    ProducerId, ProducerSequence, Record, Rng, Stamp, Stamped, StoredCopy, Token, WallTime,
};

use crate::model::ModelState;

/// The logs that the suite writes to.
const LOGS: [LogId; 3] = [LogId(0), LogId(1), LogId(u32::MAX)];

/// Seeds of random histories, and how many steps each has.
const HISTORIES: u64 = 20;
const HISTORY_STEPS: usize = 120;

/// What the suite needs to know of an implementation: how to open its store, and how to crash it.
pub trait Backend {
    /// The store.
    type Store: LogStore;

    /// Opens the store: a new one at first, later with what survived.
    ///
    /// # Errors
    /// If the store cannot be opened.
    fn open(&mut self) -> Result<Self::Store, StoreError>;

    /// Ends the life of a store in the hardest way that this backend knows. What was not synced may
    /// be lost.
    fn crash(&mut self, store: Self::Store);

    /// Whether anything survives the end of a life. If not, crashes are left out.
    fn survives(&self) -> bool {
        true
    }
}

/// Runs the suite; `new_backend` makes one without a store.
///
/// # Panics
/// If the store breaks the contract.
pub fn check_store<B: Backend>(mut new_backend: impl FnMut() -> B) {
    for check in [
        the_copy_of_higher_precedence_stays,
        amending_moves_a_sequencers_copy,
        operations_of_a_batch_see_earlier_ones,
        deleting_takes_the_range_and_nothing_else,
        scans_stop_at_their_limit_and_say_where,
        every_kind_of_copy_comes_back,
        a_corrupt_payload_is_reported,
        replacing_heeds_no_precedence,
        times_are_found_early_and_never_late,
        metadata_is_sorted_and_replaced,
    ] {
        let mut backend = new_backend();
        let mut store = backend.open().expect("a new store opens");
        check(&mut store);
    }
    if new_backend().survives() {
        what_was_synced_survives(&mut new_backend());
        batches_survive_whole_and_in_order(&mut new_backend());
    }
    for seed in 0..HISTORIES {
        random_history(&mut new_backend(), seed);
    }
}

/// All that a store holds in `logs`, and its metadata. Reads in pages of `page` copies.
///
/// # Errors
/// If the store fails.
///
/// # Panics
/// If a scan is not as the contract says.
#[allow(clippy::type_complexity)]
pub fn contents<S: LogStore>(
    store: &mut S,
    logs: &[LogId],
    page: usize,
) -> Result<
    (
        Vec<(LogId, Lsn, Result<StoredCopy, CorruptCopy>)>,
        Vec<(Bytes, Bytes)>,
    ),
    StoreError,
> {
    let mut copies = Vec::new();
    for log in logs {
        let mut first = Lsn::MIN;
        loop {
            let scan = store.scan(*log, first, Lsn::MAX, page)?;
            assert!(scan.copies.len() <= page, "a scan keeps to its limit");
            assert!(
                scan.copies.is_sorted_by(|a, b| a.0 < b.0),
                "a scan is in LSN order"
            );
            assert!(
                scan.copies
                    .iter()
                    .all(|(lsn, _)| first <= *lsn && *lsn <= scan.passed),
                "a scan finds what lies between `first` and `passed`"
            );
            assert!(
                scan.passed == Lsn::MAX || scan.copies.len() == page,
                "only the limit ends a scan early"
            );
            copies.extend(scan.copies.into_iter().map(|(lsn, copy)| (*log, lsn, copy)));
            if scan.passed == Lsn::MAX {
                break;
            }
            first = Lsn::from_u64(scan.passed.as_u64() + 1);
        }
    }
    Ok((copies, store.metadata()?))
}

fn holds<S: LogStore>(store: &mut S, state: &ModelState) -> bool {
    let held = contents(store, &LOGS, 5).expect("the store can be read");
    let expected = contents(&mut state.clone(), &LOGS, 7).expect("a state cannot fail");
    held == expected
}

fn apply<S: LogStore>(store: &mut S, batch: &[StoreOp]) -> Vec<Applied> {
    store.apply(batch).expect("a batch is applied")
}

fn copy(precedence: Precedence, payload: &[u8]) -> StoredCopy {
    StoredCopy {
        precedence,
        copyset: [NodeId(1), NodeId(2)].into_iter().collect(),
        last_known_good: Offset(3),
        entry: Entry::Record(stamped(payload)),
    }
}

/// A record with a stamp in which every byte counts.
fn stamped(payload: &[u8]) -> Stamped {
    let record = Record::new(Bytes::copy_from_slice(payload));
    let stamp = Stamp {
        time: WallTime(0x0102_0304_0506_0708),
        previous: Chain(0x0910_1112),
        own: Chain(record.crc32c),
    };
    Stamped { stamp, record }
}

fn put(log: LogId, lsn: Lsn, copy: &StoredCopy) -> StoreOp {
    let copy = copy.clone();
    StoreOp::Put { log, lsn, copy }
}

fn ballot(seal: u32, attempt: u32) -> Precedence {
    Precedence::of_recovery(Ballot {
        seal: Epoch(seal),
        attempt,
    })
}

/// In rising order.
fn precedences() -> [Precedence; 7] {
    [
        Precedence::of_wave(1),
        Precedence::of_wave(2),
        Precedence::of_wave(u32::MAX),
        ballot(1, 1),
        ballot(1, 2),
        ballot(2, 1),
        ballot(u32::MAX, u32::MAX),
    ]
}

fn the_only_copy<S: LogStore>(store: &mut S, log: LogId, lsn: Lsn) -> StoredCopy {
    let scan = store.scan(log, lsn, lsn, 10).expect("a scan succeeds");
    assert_eq!(scan.passed, lsn);
    let [(found, Ok(copy))] = &scan.copies[..] else {
        panic!("expected one copy at {lsn}, got {:?}", scan.copies);
    };
    assert_eq!(*found, lsn);
    copy.clone()
}

fn the_copy_of_higher_precedence_stays<S: LogStore>(store: &mut S) {
    let mut lsn = Lsn::FIRST;
    for held in precedences() {
        for offered in precedences() {
            let (old, new) = (copy(held, b"old"), copy(offered, b"new"));
            assert_eq!(apply(store, &[put(LOGS[1], lsn, &old)]), [Applied::Done]);
            let (answer, expected) = if offered >= held {
                (Applied::Done, new.clone())
            } else {
                (Applied::Kept, old)
            };
            assert_eq!(
                apply(store, &[put(LOGS[1], lsn, &new)]),
                [answer],
                "{held:?} is held, {offered:?} is offered"
            );
            assert_eq!(the_only_copy(store, LOGS[1], lsn), expected);
            lsn = lsn.next();
        }
    }
}

fn amending_moves_a_sequencers_copy<S: LogStore>(store: &mut S) {
    let log = LOGS[1];
    let copyset = NodeSet::only(NodeId(9));
    let amend = |lsn, wave| StoreOp::Amend {
        log,
        lsn,
        wave,
        copyset,
    };
    assert_eq!(
        apply(store, &[amend(Lsn::FIRST, 1)]),
        [Applied::Missing],
        "an amend needs a copy"
    );
    let mut lsn = Lsn::FIRST;
    for held in precedences() {
        for wave in [0, 1, 2, 3, u32::MAX] {
            let before = copy(held, b"payload");
            apply(store, &[put(log, lsn, &before)]);
            let moves = held.recovery.is_none() && held.wave <= wave;
            let answer = if moves { Applied::Done } else { Applied::Kept };
            assert_eq!(
                apply(store, &[amend(lsn, wave)]),
                [answer],
                "{held:?} is held, wave {wave} is offered"
            );
            let after = if moves {
                StoredCopy {
                    precedence: Precedence::of_wave(wave),
                    copyset,
                    ..before
                }
            } else {
                before
            };
            assert_eq!(the_only_copy(store, log, lsn), after);
            lsn = lsn.next();
        }
    }
}

fn operations_of_a_batch_see_earlier_ones<S: LogStore>(store: &mut S) {
    let (log, lsn) = (LOGS[1], Lsn::new(2, 5));
    let amend = |wave| StoreOp::Amend {
        log,
        lsn,
        wave,
        copyset: NodeSet::EMPTY,
    };
    let delete = StoreOp::DeleteRange {
        log,
        first: lsn,
        last: lsn,
    };
    let answers = apply(
        store,
        &[
            amend(1),
            put(log, lsn, &copy(Precedence::of_wave(2), b"a")),
            put(log, lsn, &copy(Precedence::of_wave(1), b"b")),
            amend(3),
            delete,
            amend(4),
            put(log, lsn, &copy(Precedence::of_wave(1), b"c")),
        ],
    );
    use Applied::{Done, Kept, Missing};
    assert_eq!(answers, [Missing, Done, Kept, Done, Done, Missing, Done]);
    assert_eq!(
        the_only_copy(store, log, lsn),
        copy(Precedence::of_wave(1), b"c")
    );
    assert_eq!(apply(store, &[]), [], "a batch may be empty");
}

fn deleting_takes_the_range_and_nothing_else<S: LogStore>(store: &mut S) {
    let held = copy(Precedence::of_wave(1), b"x");
    let all: Vec<Lsn> = (1..=3)
        .flat_map(|epoch| (1..=3).map(move |offset| Lsn::new(epoch, offset)))
        .collect();
    let mut bounds = vec![Lsn::MIN, Lsn::end_of(Epoch(1)), Lsn::MAX];
    bounds.extend(&all);
    for first in &bounds {
        for last in &bounds {
            let mut expected = ModelState::default();
            let fill: Vec<StoreOp> = LOGS
                .iter()
                .flat_map(|log| all.iter().map(|lsn| put(*log, *lsn, &held)))
                .collect();
            let delete = [StoreOp::DeleteRange {
                log: LOGS[1],
                first: *first,
                last: *last,
            }];
            for batch in [&fill[..], &delete] {
                assert_eq!(apply(store, batch), expected.apply(batch));
            }
            assert!(
                holds(store, &expected),
                "deleting {first} to {last} takes what lies between, in that log"
            );
        }
    }
}

fn scans_stop_at_their_limit_and_say_where<S: LogStore>(store: &mut S) {
    let log = LOGS[1];
    let there: Vec<Lsn> = [1, 2, 3, 7, 9].map(|offset| Lsn::new(4, offset)).to_vec();
    let mut batch: Vec<StoreOp> = there
        .iter()
        .map(|lsn| put(log, *lsn, &copy(Precedence::of_wave(1), b"x")))
        .collect();
    // Neighbours that must not be seen.
    for other in [LOGS[0], LOGS[2]] {
        batch.push(put(
            other,
            Lsn::new(4, 4),
            &copy(Precedence::of_wave(1), b"y"),
        ));
    }
    apply(store, &batch);
    let mut bounds: Vec<Lsn> = (0..=10).map(|offset| Lsn::new(4, offset)).collect();
    bounds.extend([Lsn::MIN, Lsn::MAX]);
    for first in &bounds {
        for last in &bounds {
            for limit in 0..=6 {
                let scan = store
                    .scan(log, *first, *last, limit)
                    .expect("a scan succeeds");
                let found: Vec<Lsn> = scan.copies.iter().map(|(lsn, _)| *lsn).collect();
                let inside: Vec<Lsn> = there
                    .iter()
                    .copied()
                    .filter(|lsn| first <= lsn && lsn <= last)
                    .collect();
                let taken = inside.len().min(limit.max(1));
                assert_eq!(found, inside[..taken], "{first} to {last}, limit {limit}");
                if taken < inside.len() {
                    assert!(
                        inside[taken - 1] <= scan.passed && scan.passed < inside[taken],
                        "{first} to {last}, limit {limit}: passed {}",
                        scan.passed
                    );
                } else if taken < limit {
                    assert_eq!(
                        scan.passed, *last,
                        "{first} to {last}, limit {limit}: all was looked at"
                    );
                }
            }
        }
    }
}

fn every_kind_of_copy_comes_back<S: LogStore>(store: &mut S) {
    let log = LOGS[2];
    let payloads = [0, 1, 511, 512, 513, 100_000];
    let mut entries: Vec<Entry> = payloads
        .iter()
        .map(|length| Entry::Record(stamped(&vec![0xa5; *length])))
        .collect();
    let producer = ProducerSequence {
        producer: ProducerId(u64::MAX),
        sequence: 7,
    };
    for (producer, sets_token) in [
        (Some(producer), None),
        (None, Some(Token(0))),
        (Some(producer), Some(Token(u64::MAX))),
    ] {
        let attributes = Attributes {
            producer,
            sets_token,
        };
        for length in [0, 30] {
            let payload = vec![0x5a; length].into();
            let record = Record::with(payload, attributes);
            entries.push(Entry::Record(Stamped {
                record,
                ..stamped(b"")
            }));
        }
    }
    entries.extend([Entry::Hole, Entry::Bridge]);
    let copysets = [
        NodeSet::EMPTY,
        NodeSet::only(NodeId(127)),
        (0..128).map(NodeId).collect(),
    ];
    let mut lsn = Lsn::FIRST;
    let mut expected = ModelState::default();
    for entry in &entries {
        for copyset in copysets {
            for precedence in precedences() {
                let copy = StoredCopy {
                    precedence,
                    copyset,
                    last_known_good: Offset::MAX,
                    entry: entry.clone(),
                };
                let batch = [put(log, lsn, &copy)];
                assert_eq!(apply(store, &batch), expected.apply(&batch));
                lsn = lsn.next();
            }
        }
    }
    for edge in [Lsn::MIN, Lsn::MAX] {
        let batch = [put(log, edge, &copy(Precedence::of_wave(1), b"edge"))];
        assert_eq!(apply(store, &batch), expected.apply(&batch));
    }
    assert!(holds(store, &expected), "copies come back as they were put");
}

fn a_corrupt_payload_is_reported<S: LogStore>(store: &mut S) {
    let log = LOGS[1];
    let good = copy(Precedence::of_wave(1), b"good");
    let mut bad = good.clone();
    if let Entry::Record(it) = &mut bad.entry {
        it.record.crc32c ^= 1;
    }
    let lsns = [1, 2, 3].map(|offset| Lsn::new(1, offset));
    apply(
        store,
        &[
            put(log, lsns[0], &good),
            put(log, lsns[1], &bad),
            put(log, lsns[2], &good),
        ],
    );
    let scan = store
        .scan(log, Lsn::MIN, Lsn::MAX, 10)
        .expect("a corrupt copy does not fail the scan");
    assert_eq!(
        scan.copies,
        [
            (lsns[0], Ok(good.clone())),
            (lsns[1], Err(CorruptCopy)),
            (lsns[2], Ok(good.clone())),
        ]
    );
    apply(store, &[put(log, lsns[1], &good)]);
    assert_eq!(
        the_only_copy(store, log, lsns[1]),
        good,
        "it can be replaced"
    );
}

fn replacing_heeds_no_precedence<S: LogStore>(store: &mut S) {
    let (log, mut lsn) = (LOGS[1], Lsn::FIRST);
    let replace = |lsn, copy: &StoredCopy| StoreOp::Replace {
        log,
        lsn,
        copy: copy.clone(),
    };
    for held in precedences() {
        for offered in precedences() {
            let mut bad = copy(held, b"bad");
            if let Entry::Record(it) = &mut bad.entry {
                it.record.crc32c ^= 1;
            }
            let good = copy(offered, b"good");
            for old in [bad, copy(held, b"old")] {
                apply(store, &[put(log, lsn, &old)]);
                assert_eq!(apply(store, &[replace(lsn, &good)]), [Applied::Done]);
                assert_eq!(the_only_copy(store, log, lsn), good);
                lsn = lsn.next();
            }
        }
    }
    let (new, newer) = (copy(ballot(1, 1), b"new"), copy(ballot(1, 2), b"newer"));
    let later = copy(Precedence::of_wave(1), b"later");
    let batch = [
        replace(lsn, &new),
        put(log, lsn, &later),
        put(log, lsn, &newer),
    ];
    use Applied::{Done, Kept};
    assert_eq!(apply(store, &batch), [Done, Kept, Done]);
    assert_eq!(the_only_copy(store, log, lsn), newer, "where nothing stood");
}

/// Every third copy of two epochs is bad or a hole; the second epoch's clock was behind.
fn times_are_found_early_and_never_late<S: LogStore>(store: &mut S) {
    let log = LOGS[1];
    let mut records: Vec<(Lsn, u64)> = Vec::new();
    for (epoch, began) in [(1, 100), (3, 90)] {
        let mut stamp = Stamp::default();
        for offset in 1..=40_u32 {
            let lsn = Lsn::new(epoch, offset);
            let record = Record::new(vec![offset as u8; 20].into());
            let now = WallTime(began + u64::from(offset / 2));
            stamp = Stamp::after(stamp, log, lsn, now, &record);
            let mut copy = copy(Precedence::of_wave(1), b"");
            copy.entry = Entry::Record(Stamped { stamp, record });
            match offset % 6 {
                0 => copy.entry = Entry::Hole,
                3 => {
                    if let Entry::Record(it) = &mut copy.entry {
                        it.record.crc32c ^= 1;
                    }
                }
                // Other nodes hold these.
                5 => continue,
                _ => records.push((lsn, now.0)),
            }
            apply(store, &[put(log, lsn, &copy)]);
        }
        let mut bridge = copy(ballot(4, 1), b"");
        bridge.entry = Entry::Bridge;
        apply(store, &[put(log, Lsn::new(epoch, 41), &bridge)]);
    }
    for time in 80..130 {
        for first in [Lsn::MIN, Lsn::new(1, 20), Lsn::new(2, 0), Lsn::new(3, 7)] {
            for last in [Lsn::new(1, 30), Lsn::new(3, 20), Lsn::MAX] {
                let found = store
                    .find_time(log, first, last, WallTime(time))
                    .expect("it is found or not");
                let mut of_time = records
                    .iter()
                    .filter(|(lsn, at)| first <= *lsn && *lsn <= last && *at >= time);
                let exact = of_time.next().map(|(lsn, _)| *lsn);
                let context = format!("{time} from {first} to {last}: {found:?}, {exact:?}");
                if let Some(exact) = exact {
                    let found = found.expect(&context);
                    assert!(first <= found && found <= exact, "{context}");
                    let earlier = records.iter().filter(|(lsn, at)| {
                        found < *lsn && *lsn < exact && lsn.epoch == exact.epoch && *at < time
                    });
                    assert_eq!(earlier.count(), 0, "{context}: not by much");
                }
            }
        }
    }
    let never = store.find_time(log, Lsn::MIN, Lsn::new(1, 2), WallTime(1000));
    assert_eq!(never, Ok(None));
}

fn metadata_is_sorted_and_replaced<S: LogStore>(store: &mut S) {
    assert_eq!(store.metadata(), Ok(Vec::new()));
    let keys: [&'static [u8]; 6] = [b"b", b"", b"a", b"\xff\xff", b"ab", b"\x00"];
    for round in 0..2_u8 {
        for (i, key) in keys.iter().enumerate() {
            let op = StoreOp::PutMeta {
                key: Bytes::from_static(key),
                value: vec![round; i].into(),
            };
            assert_eq!(apply(store, &[op]), [Applied::Done]);
        }
        let mut expected: Vec<(Bytes, Bytes)> = keys
            .iter()
            .enumerate()
            .map(|(i, key)| (Bytes::from_static(key), vec![round; i].into()))
            .collect();
        expected.sort();
        assert_eq!(store.metadata(), Ok(expected));
    }
    // Copies and metadata do not get in each other's way.
    apply(
        store,
        &[StoreOp::DeleteRange {
            log: LOGS[0],
            first: Lsn::MIN,
            last: Lsn::MAX,
        }],
    );
    assert_eq!(store.metadata().map(|all| all.len()), Ok(keys.len()));
}

fn what_was_synced_survives<B: Backend>(backend: &mut B) {
    let mut state = ModelState::default();
    let mut rng = Rng::from_seed(1);
    for life in 0..5 {
        let mut store = backend.open().expect("the store opens after a crash");
        assert!(holds(&mut store, &state), "life {life} has what was synced");
        for _ in 0..20 {
            let batch = random_batch(&mut rng);
            assert_eq!(apply(&mut store, &batch), state.apply(&batch));
        }
        store.sync().expect("a sync succeeds");
        backend.crash(store);
    }
}

fn batches_survive_whole_and_in_order<B: Backend>(backend: &mut B) {
    let mut states = vec![ModelState::default()];
    for life in 0..10_u32 {
        let mut store = backend.open().expect("the store opens after a crash");
        let survived = states
            .iter()
            .rposition(|state| holds(&mut store, state))
            .unwrap_or_else(|| panic!("life {life} has the outcome of the first so many batches"));
        states.drain(..survived);
        states.truncate(1);
        for i in 0..12 {
            let mut state = states.last().expect("there is the first").clone();
            let offset = life * 100 + i + 1;
            let copy = copy(Precedence::of_wave(1), &[i as u8; 700]);
            let batch = LOGS.map(|log| put(log, Lsn::new(1, offset), &copy));
            state.apply(&batch);
            apply(&mut store, &batch);
            states.push(state);
        }
        backend.crash(store);
    }
}

fn random_history<B: Backend>(backend: &mut B, seed: u64) {
    let mut rng = Rng::from_seed(seed);
    let mut store = backend.open().expect("a new store opens");
    // What the store may be after a crash: the state at the last sync, and those since.
    let mut states = vec![ModelState::default()];
    for step in 0..HISTORY_STEPS {
        let context = format!("seed {seed}, step {step}");
        match rng.below(20) {
            0..13 => {
                let mut state = states.last().expect("there is one").clone();
                let batch = random_batch(&mut rng);
                assert_eq!(apply(&mut store, &batch), state.apply(&batch), "{context}");
                states.push(state);
            }
            13..16 => {
                store.sync().expect("a sync succeeds");
                states.drain(..states.len() - 1);
            }
            16..19 => {
                let state = states.last().expect("there is one");
                assert!(
                    holds(&mut store, state),
                    "{context}: it holds what it should"
                );
            }
            _ if backend.survives() => {
                backend.crash(store);
                store = backend.open().expect("the store opens after a crash");
                let survived = states
                    .iter()
                    .rposition(|state| holds(&mut store, state))
                    .unwrap_or_else(|| {
                        panic!("{context}: what survives is a prefix, and all that was synced")
                    });
                states.drain(..survived);
                states.truncate(1);
            }
            _ => {}
        }
    }
}

fn random_batch(rng: &mut Rng) -> Vec<StoreOp> {
    (0..rng.within(0..=5)).map(|_| random_op(rng)).collect()
}

fn random_op(rng: &mut Rng) -> StoreOp {
    let log = *rng.pick(&LOGS).expect("there are logs");
    let lsn = |rng: &mut Rng| Lsn::new(rng.within(1..=3) as u32, rng.within(1..=6) as u32);
    match rng.below(10) {
        0..5 => {
            let precedence = *rng.pick(&precedences()).expect("there are precedences");
            let payload = vec![rng.below(256) as u8; rng.below(900) as usize];
            StoreOp::Put {
                log,
                lsn: lsn(rng),
                copy: copy(precedence, &payload),
            }
        }
        5..7 => StoreOp::Amend {
            log,
            lsn: lsn(rng),
            wave: rng.within(0..=4) as u32,
            copyset: NodeSet::only(NodeId(rng.below(128) as u8)),
        },
        7 => StoreOp::DeleteRange {
            log,
            first: lsn(rng),
            last: lsn(rng),
        },
        _ => StoreOp::PutMeta {
            key: vec![b'k'; rng.below(4) as usize].into(),
            value: rng.seed().to_le_bytes().to_vec().into(),
        },
    }
}
