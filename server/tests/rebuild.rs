//! `hstore rebuild` from an object store that a test has filled: what is told of it, and what is not.

mod common;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::{hstore, output};
use hstore_core::ports::object_store::ObjectKey;
use hstore_core::{Epoch, LogId, Lsn, Offset, Record, Stamp, Stamped, WallTime};
use hstore_replicator::reader::{Delivery, GapKind};
use hstore_server::config::cluster::Cluster;
use hstore_tier2::manifest::{Intent, IntentId, Manifest, SegmentRef};
use hstore_tier2::segment::{Codec, Finished, SegmentWriter, WriterOptions};

const LOG: LogId = LogId(1);

/// A cluster's file, and the directory that is its object store.
struct Bucket {
    room: tempfile::TempDir,
}

impl Bucket {
    fn new() -> Self {
        let room = tempfile::tempdir().expect("a temporary directory");
        let url = format!("file://{}/bucket", room.path().display());
        let plain = Cluster::write_plain("test", &["127.0.0.1:1".to_owned()], 1, 1);
        let text = plain.replace("copies = 1", "copies = 1\ntiered = true");
        let text = format!("{text}[tier2]\nurl = \"{url}\"\n");
        std::fs::write(room.path().join("cluster.toml"), text).expect("written");
        std::fs::create_dir(room.path().join("bucket")).expect("created");
        Self { room }
    }

    fn path(&self, key: &str) -> PathBuf {
        self.room.path().join("bucket").join(key)
    }

    fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.path(key);
        std::fs::create_dir_all(path.parent().expect("below the bucket")).expect("created");
        std::fs::write(path, bytes).expect("written");
    }

    /// Puts a segment and the manifest that has it.
    fn commit(&self, finished: &Finished) -> ObjectKey {
        let intent = Intent {
            born: WallTime(1),
            id: IntentId(0),
            epoch: Epoch(1),
            first: finished.info.first,
            last: finished.info.last,
        };
        let manifest = Manifest::of(vec![SegmentRef::new(intent, finished)]);
        let copy = format!("test/log-1/{:016x}/manifest/{:08x}-{:016x}", 1, 1, 1);
        self.put(&copy, &manifest.encode());
        let key = intent.key(&"test".parse().expect("a key"), LOG);
        self.put(key.as_str(), &finished.bytes);
        key
    }

    fn rebuild(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let file = self.room.path().join("cluster.toml");
        output(hstore(&file).args(["rebuild", "1"]).args(arguments))
    }
}

fn at(offset: u32) -> Lsn {
    Lsn::at(Epoch(1), Offset(offset))
}

/// Records from `first` on, each in a block of its own, and then a gap of data loss if `loss`.
fn segment(log: LogId, first: u32, payloads: &[&'static str], loss: bool) -> Finished {
    let options = WriterOptions {
        codec: Codec::None,
        block_bytes: 1,
        ..WriterOptions::default()
    };
    let mut writer = SegmentWriter::new(log, at(first), options);
    let mut stamp = Stamp::default();
    let mut next = at(first);
    for payload in payloads {
        let record = Record::new(Bytes::from_static(payload.as_bytes()));
        stamp = Stamp::after(stamp, log, next, WallTime(7), &record);
        let delivery = Delivery::Record(next, Stamped { stamp, record });
        writer.push(&delivery).expect("in order");
        next = next.successor();
    }
    if loss {
        let (first, last) = (next, next);
        let kind = GapKind::DataLoss;
        writer
            .push(&Delivery::Gap { kind, first, last })
            .expect("in order");
    }
    writer.finish().expect("there is something in it")
}

#[test]
fn what_is_there_is_told() {
    let bucket = Bucket::new();
    bucket.commit(&segment(LOG, 1, &["one", "two"], false));
    let (code, told, said) = bucket.rebuild(&["--records"]);
    assert_eq!(
        (code, &*told),
        (Some(0), "e1:1  one\ne1:2  two\n"),
        "{said}"
    );
}

#[test]
fn a_log_of_which_nothing_is_there_is_none_that_is_empty() {
    let bucket = Bucket::new();
    let manifest = bucket.room.path().join("manifest");
    let (code, told, said) = bucket.rebuild(&["--manifest", manifest.to_str().expect("text")]);
    assert_eq!((code, &*told), (Some(1), ""), "{said}");
    let place = bucket.path("test");
    let expected = format!(
        "nothing of {LOG} lies in the object store below file://{}",
        place.display()
    );
    assert!(said.contains(&expected), "{said}");
    assert!(!Path::exists(&manifest));
}

#[test]
fn lost_records_are_told_of_as_a_read_does() {
    let bucket = Bucket::new();
    bucket.commit(&segment(LOG, 1, &["one"], true));
    let (code, told, said) = bucket.rebuild(&["--records"]);
    assert_eq!((code, &*told), (Some(1), "e1:1  one\n"), "{said}");
    let lost = format!("records of {LOG} are lost: no copy of them is left");
    assert!(said.contains(&lost), "{said}");
}

#[test]
fn what_was_not_committed_is_told_as_such() {
    let bucket = Bucket::new();
    let committed = segment(LOG, 1, &["one", "two"], false);
    let key = bucket.commit(&committed);
    // A segment in order, of the same length, and another.
    let other = segment(LOG, 1, &["uno", "two"], false);
    assert_eq!(other.bytes.len(), committed.bytes.len());
    bucket.put(key.as_str(), &other.bytes);
    let (code, told, said) = bucket.rebuild(&["--records"]);
    assert_eq!(
        (code, &*told),
        (Some(1), "e1:1  uno\ne1:2  two\n"),
        "{said}"
    );
    assert!(
        said.contains("e1:1 to e1:2 is not what was committed"),
        "{said}"
    );
    // A block is damaged: the other is told.
    let mut bytes = committed.bytes.to_vec();
    let payload = bytes.windows(3).position(|it| it == b"one");
    bytes[payload.expect("not compressed")] ^= 1;
    bucket.put(key.as_str(), &bytes);
    let (code, told, said) = bucket.rebuild(&["--records"]);
    assert_eq!((code, &*told), (Some(1), "e1:2  two\n"), "{said}");
    assert!(said.contains("e1:1 to e1:1 cannot be read"), "{said}");
    // Another log's, and another range of this one: nothing is told.
    for other in [
        segment(LogId(2), 1, &["one", "two"], false),
        segment(LOG, 5, &["one", "two"], false),
    ] {
        assert_eq!(other.bytes.len(), committed.bytes.len());
        bucket.put(key.as_str(), &other.bytes);
        let (code, told, said) = bucket.rebuild(&["--records"]);
        assert_eq!((code, &*told), (Some(1), ""), "{said}");
        let (log, first) = (other.info.log, other.info.first);
        let why = format!("is a segment of {log}, from {first} to ");
        assert!(said.contains(&why), "{said}");
    }
}
