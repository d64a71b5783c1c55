//! Whatever is asked of a manifest, in whatever order: it tiles, and what was given up does not come back.

use hstore_core::{Epoch, LogId, Lsn, WallTime};
use hstore_tier2::manifest::{
    DROPPED_MAX, Intent, IntentId, Manifest, ManifestError, NotApplied, ObjectName, SegmentRef,
};
use proptest::prelude::*;

/// What is asked next.
#[derive(Clone, Debug)]
enum Step {
    /// Where the manifest ends, or so many LSNs off.
    Begin {
        off: u32,
        length: u32,
    },
    /// Of the upload so many places from the first under way.
    Commit(usize),
    /// One that was committed, once more.
    CommitAgain,
    Abort(usize),
    /// Of so many LSNs behind the last trim.
    Trim(u32),
    Forget,
    /// Another offloader takes over: it gives up what is under way.
    TakeOver,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (prop_oneof![9 => Just(0), 1 => 1..3u32], 0..20u32)
            .prop_map(|(off, length)| Step::Begin { off, length }),
        6 => prop_oneof![4 => Just(0), 1 => 0..3usize].prop_map(Step::Commit),
        1 => Just(Step::CommitAgain),
        1 => (0..3usize).prop_map(Step::Abort),
        2 => (0..40u32).prop_map(Step::Trim),
        2 => Just(Step::Forget),
        1 => Just(Step::TakeOver),
    ];
    prop::collection::vec(step, 1..150)
}

fn segment(intent: Intent) -> SegmentRef {
    SegmentRef {
        intent,
        file_bytes: 1_000,
        tail_bytes: 160,
        hash: u128::MAX - u128::from(intent.id.0),
        records: 1,
        payload_bytes: 10,
        latest: WallTime(5),
    }
}

fn lsn(offset: u32) -> Lsn {
    Lsn::new(1, offset)
}

proptest! {
    #[test]
    fn it_tiles_and_nothing_comes_back(steps in steps()) {
        let mut manifest = Manifest::default();
        let mut epoch = Epoch(1);
        let mut trim = lsn(0);
        let mut given: Vec<IntentId> = Vec::new();
        let mut committed: Vec<SegmentRef> = Vec::new();
        for step in steps {
            let before = manifest.clone();
            match step {
                Step::Begin { off, length } => {
                    let next = manifest.next().unwrap_or(trim.next());
                    let first = lsn(next.offset.0 + off);
                    let begun = manifest.begin(epoch, first, lsn(first.offset.0 + length));
                    match begun {
                        Ok(intent) => {
                            prop_assert!(!given.contains(&intent.id), "numbers are given once");
                            given.push(intent.id);
                        }
                        Err(_) => prop_assert_eq!(&manifest, &before),
                    }
                }
                Step::Commit(place) => {
                    if let Some(intent) = before.intents().nth(place) {
                        let done = manifest.commit(segment(*intent));
                        prop_assert_eq!(done.is_ok(), place == 0, "in the order of ranges");
                        if done.is_ok() {
                            committed.push(segment(*intent));
                        } else {
                            prop_assert_eq!(&manifest, &before);
                        }
                    }
                }
                Step::CommitAgain => {
                    if let Some(segment) = before.segments().last() {
                        prop_assert_eq!(manifest.commit(segment.clone()), Ok(()));
                        prop_assert_eq!(&manifest, &before, "once");
                    }
                    if let Some(dropped) = before.dropped().next() {
                        manifest.commit(segment(dropped.intent)).expect_err("it was dropped");
                    }
                }
                Step::Abort(place) => {
                    if let Some(intent) = before.intents().nth(place) {
                        manifest.abort(intent.id, WallTime(6));
                        prop_assert_eq!(manifest.intents().len(), place);
                        manifest.commit(segment(*intent)).expect_err("it was given up");
                    }
                }
                Step::Trim(more) => {
                    trim.offset.0 += more;
                    let changed = manifest.drop_upto(trim, WallTime(7));
                    prop_assert_eq!(changed, manifest != before);
                    prop_assert!(!manifest.drop_upto(trim, WallTime(8)), "once");
                    // Nothing that was given up is there, but for what waits for room among the dropped.
                    if manifest.dropped().len() < DROPPED_MAX {
                        prop_assert!(manifest.segments().all(|it| it.intent.last > trim));
                        let is_first = manifest.segments().len() == 0;
                        prop_assert!(!is_first || manifest.intents().all(|it| it.last > trim));
                    }
                }
                Step::Forget => {
                    if let Some(oldest) = before.dropped().next() {
                        manifest.forget(oldest.intent.id);
                        prop_assert!(!manifest.knows(oldest.intent.epoch, oldest.intent.id));
                    }
                }
                Step::TakeOver => {
                    epoch = epoch.next();
                    if let Some(first) = before.intents().next() {
                        manifest.abort(first.id, WallTime(6));
                    }
                    prop_assert_eq!(manifest.intents().len(), 0);
                }
            }
            // Segments and uploads tile what lies between.
            let ranges: Vec<(Lsn, Lsn)> = manifest
                .segments()
                .map(|it| it.intent)
                .chain(manifest.intents().copied())
                .map(|it| (it.first, it.last))
                .collect();
            for pair in ranges.windows(2) {
                prop_assert_eq!(pair[0].1.successor(), pair[1].0);
            }
            if let Some((_, last)) = ranges.last() {
                prop_assert_eq!(manifest.next(), Some(last.successor()));
            }
            // What is there was committed, and was not changed by that.
            for it in manifest.segments() {
                prop_assert!(committed.contains(it));
                prop_assert_eq!(manifest.segment_of(it.intent.first), Some(it));
                prop_assert_eq!(manifest.segment_of(it.intent.last), Some(it));
            }
            let back = Manifest::decode(&manifest.encode());
            prop_assert_eq!(back.as_ref(), Ok(&manifest));
        }
    }
}

#[test]
fn changes_that_do_not_apply_say_why() {
    let mut manifest = Manifest::default();
    let one = manifest
        .begin(Epoch(1), lsn(1), lsn(9))
        .expect("it is the first");
    let two = manifest
        .begin(Epoch(1), lsn(10), lsn(19))
        .expect("it follows");
    let apart = manifest.begin(Epoch(1), lsn(21), lsn(29));
    let said = apart.expect_err("it does not follow").to_string();
    assert_eq!(said, "the upload begins at e1:21, e1:20 is next");
    assert_eq!(
        manifest.commit(segment(two)),
        Err(NotApplied::NotNext(two.id))
    );
    let other = Intent {
        epoch: Epoch(2),
        ..one
    };
    assert_eq!(
        manifest.commit(segment(other)),
        Err(NotApplied::Other(one.id))
    );
    let unknown = Intent {
        id: IntentId(9),
        ..one
    };
    assert_eq!(
        manifest.commit(segment(unknown)),
        Err(NotApplied::NotNext(IntentId(9)))
    );
    assert_eq!(manifest.commit(segment(one)), Ok(()));
    assert_eq!(manifest.last(), Some(lsn(9)));
}

#[test]
fn a_key_says_whose_the_upload_is() {
    let born = WallTime(0xb0);
    let intent = Intent {
        born,
        id: IntentId(7),
        epoch: Epoch(3),
        first: Lsn::new(2, 1),
        last: Lsn::new(3, 255),
    };
    let root = "history".parse().expect("a key");
    let expected = "history/log-5/00000000000000b0/e3/0000000200000001-00000003000000ff-7.seg";
    assert_eq!(intent.key(&root, LogId(5)).as_str(), expected);
    let prefix = "history/log-5".parse().expect("a key");
    let named = |text: &str| ObjectName::read(&text.parse().expect("a key"), &prefix);
    assert_eq!(named(expected), Some(ObjectName::Segment(intent)));
    let copy = named("history/log-5/00000000000000b0/manifest/00000003-000000000000000a");
    assert_eq!(
        copy,
        Some(ObjectName::Copy {
            born,
            epoch: Epoch(3),
            version: 10,
        })
    );
    let marker = named("history/log-5/00000000000000b0/marker-3");
    assert_eq!(marker, Some(ObjectName::Marker { born, number: 3 }));
    for strange in [
        "history/log-5/b0/marker-3",
        "history/log-5/00000000000000b0/marker-03",
        "history/log-5/00000000000000b0/e3/backup-7.seg",
        "history/log-5/00000000000000b0/e03/0000000200000001-00000003000000ff-7.seg",
        "history/log-5/00000000000000b0/e3/200000001-3000000ff-7.seg",
        "history/log-5/00000000000000b0/e3/0000000200000001-00000003000000ff-7-8.seg",
        "history/log-5/00000000000000b0/manifest/3-a",
        "history/log-5/notes",
        "history/log-50/e3/0000000200000001-00000003000000ff-7.seg",
    ] {
        assert_eq!(named(strange), None, "{strange}");
    }
}

#[test]
fn what_is_no_manifest_is_refused() {
    assert_eq!(Manifest::decode(&[]), Ok(Manifest::default()));
    assert_eq!(Manifest::decode(&[2, 0]), Err(ManifestError::Version(2)));
    let mut manifest = Manifest::default();
    manifest
        .begin(Epoch(1), lsn(1), lsn(9))
        .expect("it is the first");
    let bytes = manifest.encode();
    for length in 1..bytes.len() {
        let cut = Manifest::decode(&bytes[..length]);
        assert_eq!(cut, Err(ManifestError::Damaged), "{length}");
    }
    for bit in 8..bytes.len() * 8 {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            Manifest::decode(&flipped),
            Err(ManifestError::Damaged),
            "{bit}"
        );
    }
}
