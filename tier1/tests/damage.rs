//! What the model store does when its files are not as it left them, and when operations fail.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hstore_core::ports::file_system::FileErrorKind;
use hstore_core::ports::log_store::{LogStore, StoreError, StoreOp};
use hstore_core::{
    Entry, LogId, Lsn, NodeSet, Offset, Precedence, Record, Stamp, Stamped, StoredCopy,
};
use hstore_tier1::contract::{Intercepted, Interceptor, Verdict};
use hstore_tier1::model::{ModelState, ModelStore, ModelStoreOptions};
use hstore_tier1::posix::PosixFileSystem;
use tempfile::TempDir;

fn record(payload: Vec<u8>) -> Entry {
    Entry::Record(Stamped {
        stamp: Stamp::default(),
        record: Record::new(payload.into()),
    })
}

fn batch(i: u32) -> Vec<StoreOp> {
    let copy = StoredCopy {
        precedence: Precedence::of_wave(1),
        copyset: NodeSet::EMPTY,
        last_known_good: Offset(0),
        entry: record(vec![i as u8; 200]),
    };
    vec![
        StoreOp::Put {
            log: LogId(1),
            lsn: Lsn::new(1, i),
            copy,
        },
        StoreOp::PutMeta {
            key: Bytes::from_static(b"last"),
            value: i.to_le_bytes().to_vec().into(),
        },
    ]
}

/// The outcome of the first `count` batches.
fn outcome(count: u32) -> ModelState {
    let mut state = ModelState::default();
    for i in 1..=count {
        state.apply(&batch(i));
    }
    state
}

fn open(root: &Path) -> Result<ModelStore<PosixFileSystem>, StoreError> {
    ModelStore::open(PosixFileSystem::open(root)?, "")
}

/// The files whose names begin with `prefix`.
fn files(root: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(root)
        .expect("the store's directory is there")
        .map(|entry| entry.expect("its names can be read").path())
        .filter(|path| {
            let name = path.file_name().expect("a name");
            name.to_string_lossy().starts_with(prefix)
        })
        .collect();
    found.sort();
    found
}

fn the_file(root: &Path, prefix: &str) -> PathBuf {
    let mut found = files(root, prefix);
    assert_eq!(found.len(), 1, "one generation is left: {found:?}");
    found.remove(0)
}

/// A store with six batches of one length each, synced after those in `synced_after`. Returns its
/// directory and the length of a batch.
fn six_batches(synced_after: &[u32]) -> (TempDir, usize) {
    let root = tempfile::tempdir().expect("there is room for a directory");
    let mut store = open(root.path()).expect("a new store opens");
    for i in 1..=6 {
        store.apply(&batch(i)).expect("a batch is applied");
        if synced_after.contains(&i) {
            store.sync().expect("a sync succeeds");
        }
    }
    drop(store);
    let length = fs::read(the_file(root.path(), "wal-"))
        .expect("the file can be read")
        .len();
    assert_eq!(length % 6, 0);
    (root, length / 6)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).expect("the file can be read");
    change(&mut content);
    fs::write(path, content).expect("the file can be written");
}

#[test]
fn a_torn_end_is_cut_wherever_it_begins() {
    let (_, length) = six_batches(&[]);
    let edges = (0..=6).flat_map(|i| [i * length, i * length + 1, (i + 1) * length - 1]);
    for left in edges.chain((0..6 * length).step_by(97)) {
        let left = left.min(6 * length);
        let (root, _) = six_batches(&[]);
        let wal = the_file(root.path(), "wal-");
        change(&wal, |content| content.truncate(left));
        let whole = left / length;
        let store = open(root.path()).expect("a torn end is no damage");
        assert_eq!(*store.state(), outcome(whole as u32));
        assert_eq!(store.recovered().replayed, whole as u64);
        assert_eq!(store.recovered().cut_bytes, (left % length) as u64);
    }
}

#[test]
fn a_lost_sector_of_unsynced_batches_is_no_damage_though_later_ones_are_there() {
    for lost in 2..6 {
        let (root, length) = six_batches(&[2]);
        let wal = the_file(root.path(), "wal-");
        change(&wal, |content| {
            content[lost * length + 20..(lost + 1) * length].fill(0);
        });
        let store = open(root.path()).expect("an unsynced hole is no damage");
        assert_eq!(*store.state(), outcome(lost as u32));
        assert_eq!(
            store.recovered().cut_bytes,
            ((6 - lost) * length) as u64,
            "what lies behind the hole was not synced either"
        );
    }
}

#[test]
fn a_changed_batch_that_was_synced_is_damage() {
    for changed in 0..4 {
        let (root, length) = six_batches(&[4]);
        let wal = the_file(root.path(), "wal-");
        change(&wal, |content| content[changed * length + 100] ^= 1);
        let error = open(root.path()).expect_err("a durable batch is gone");
        let StoreError::Damaged(what) = error else {
            panic!("expected damage, got {error}");
        };
        assert!(
            what.contains(&format!("batch {},", changed + 1)) && what.contains("batch 5 says"),
            "{what}"
        );
    }
}

#[test]
fn damage_that_no_later_batch_testifies_looks_like_a_torn_end() {
    // The documented limit: nothing in the file says that the last sync came about.
    let (root, length) = six_batches(&[6]);
    let wal = the_file(root.path(), "wal-");
    change(&wal, |content| content[5 * length + 100] ^= 1);
    let store = open(root.path()).expect("it cannot be told from a torn end");
    assert_eq!(*store.state(), outcome(5));
}

/// The store knows how far its own log can tell damage: each byte of that is, and the next batch is not.
#[test]
fn the_testified_part_of_the_log_tells_damage() {
    let (root, _) = six_batches(&[2, 4]);
    let mut store = open(root.path()).expect("the store opens");
    let mut without_last = 0;
    for i in 7..=10 {
        let wal = fs::metadata(the_file(root.path(), "wal-"));
        without_last = wal.expect("the file is there").len();
        store.apply(&batch(i)).expect("a batch is applied");
        store.sync().expect("a sync succeeds");
    }
    let (path, testified) = store.testified();
    drop(store);
    let wal = the_file(root.path(), "wal-");
    assert!(wal.ends_with(&path));
    // Batch 10 was written when 9 was durable; of 10 itself nothing tells.
    assert!(testified > 0);
    assert_eq!(testified, without_last);
    let good = fs::read(&wal).expect("the file can be read");
    for at in (0..testified as usize).step_by(13) {
        change(&wal, |content| content[at] ^= 4);
        let opened = open(root.path());
        assert!(matches!(opened, Err(StoreError::Damaged(_))), "byte {at}");
        fs::write(&wal, &good).expect("the file can be written");
    }
    change(&wal, |content| content[testified as usize] ^= 4);
    open(root.path()).expect("it cannot be told from a torn end");
}

#[test]
fn a_damaged_checkpoint_is_damage() {
    let (root, _) = six_batches(&[6]);
    drop(open(root.path()).expect("the store opens"));
    let checkpoint = the_file(root.path(), "checkpoint-");
    let good = fs::read(&checkpoint).expect("the file can be read");
    for at in (0..good.len()).step_by(7) {
        change(&checkpoint, |content| content[at] ^= 0x10);
        assert!(matches!(open(root.path()), Err(StoreError::Damaged(_))));
        fs::write(&checkpoint, &good).expect("the file can be written");
        change(&checkpoint, |content| content.truncate(at));
        assert!(matches!(open(root.path()), Err(StoreError::Damaged(_))));
        fs::write(&checkpoint, &good).expect("the file can be written");
    }
    change(&checkpoint, |content| content.push(0));
    assert!(matches!(open(root.path()), Err(StoreError::Damaged(_))));
    fs::write(&checkpoint, &good).expect("the file can be written");
    assert_eq!(
        *open(root.path()).expect("the store opens").state(),
        outcome(6)
    );
}

#[test]
fn a_file_that_is_gone_is_damage() {
    for gone in ["wal-", "checkpoint-"] {
        let (root, _) = six_batches(&[6]);
        fs::remove_file(the_file(root.path(), gone)).expect("the file can be removed");
        assert!(
            matches!(open(root.path()), Err(StoreError::Damaged(_))),
            "without `{gone}` there is damage, not an empty store"
        );
    }
}

#[test]
fn one_generation_is_left_and_other_files_are_left_alone() {
    let root = tempfile::tempdir().expect("there is room for a directory");
    fs::write(root.path().join("notes"), b"mine").expect("the file can be written");
    for i in 1..=5 {
        let mut store = open(root.path()).expect("the store opens");
        assert_eq!(*store.state(), outcome(i - 1));
        store.apply(&batch(i)).expect("a batch is applied");
        drop(store);
        the_file(root.path(), "wal-");
        the_file(root.path(), "checkpoint-");
    }
    assert_eq!(
        fs::read(root.path().join("notes")).expect("it is there"),
        b"mine"
    );
}

#[test]
fn a_long_write_ahead_file_ends_with_a_sync() {
    let root = tempfile::tempdir().expect("there is room for a directory");
    let options = ModelStoreOptions {
        wal_bytes_max: 1_000,
    };
    let files = PosixFileSystem::open(root.path()).expect("the root is there");
    let mut store = ModelStore::open_with(files, "", options).expect("a new store opens");
    let mut names = Vec::new();
    for i in 1..=12 {
        store.apply(&batch(i)).expect("a batch is applied");
        store.sync().expect("a sync succeeds");
        assert_eq!((store.sequence(), store.synced()), (i.into(), i.into()));
        let wal = the_file(root.path(), "wal-");
        let length = fs::metadata(&wal).expect("it is there").len();
        assert!(length <= options.wal_bytes_max);
        names.push(wal);
    }
    names.dedup();
    assert!(names.len() > 2, "{names:?}");
    drop(store);
    assert_eq!(
        *open(root.path()).expect("the store opens").state(),
        outcome(12)
    );
}

#[test]
fn a_large_state_fills_many_chunks() {
    let root = tempfile::tempdir().expect("there is room for a directory");
    let mut store = open(root.path()).expect("a new store opens");
    let mut expected = ModelState::default();
    for (i, length) in [1, 300_000, 100_000, 200_000, 2_000_000, 5]
        .iter()
        .enumerate()
    {
        let mut batch = batch(i as u32 + 1);
        if let StoreOp::Put { copy, .. } = &mut batch[0] {
            copy.entry = record(vec![i as u8; *length]);
        }
        expected.apply(&batch);
        store.apply(&batch).expect("a batch is applied");
    }
    drop(store);
    for _ in 0..2 {
        let store = open(root.path()).expect("the store opens");
        assert_eq!(*store.state(), expected);
    }
}

/// Lets some operations succeed and fails one; later ones succeed again.
struct FailsOnce {
    left: Option<u64>,
    syncs: u64,
}

impl Interceptor for FailsOnce {
    fn judge(&mut self, operation: &'static str) -> Verdict {
        let fails = self.left == Some(0);
        self.left = self.left.and_then(|left| left.checked_sub(1));
        if fails {
            return Verdict::Failed(FileErrorKind::NoSpace);
        }
        self.syncs += u64::from(operation == "sync");
        Verdict::Done
    }
}

fn failing(root: &Path, after: Option<u64>) -> Intercepted<PosixFileSystem, FailsOnce> {
    Intercepted {
        files: PosixFileSystem::open(root).expect("the root is there"),
        interceptor: FailsOnce {
            left: after,
            syncs: 0,
        },
    }
}

#[test]
fn any_failure_poisons_the_store_and_a_failed_sync_is_not_tried_again() {
    for fail_sync in [false, true] {
        let root = tempfile::tempdir().expect("there is room for a directory");
        let mut store =
            ModelStore::open(failing(root.path(), None), "").expect("a new store opens");
        store.apply(&batch(1)).expect("a batch is applied");
        store.sync().expect("a sync succeeds");
        let syncs = store.file_system().interceptor.syncs;
        if fail_sync {
            store.apply(&batch(2)).expect("a batch is applied");
        }
        store.file_system().interceptor.left = Some(0);
        let failed = if fail_sync {
            store.sync().err()
        } else {
            store.apply(&batch(2)).err()
        };
        assert!(matches!(failed, Some(StoreError::File(_))));
        assert_eq!(store.sync(), Err(StoreError::Poisoned));
        assert_eq!(store.apply(&batch(3)), Err(StoreError::Poisoned));
        assert_eq!(store.apply(&[]), Err(StoreError::Poisoned));
        assert_eq!(
            store.scan(LogId(1), Lsn::MIN, Lsn::MAX, 1),
            Err(StoreError::Poisoned)
        );
        assert_eq!(store.metadata(), Err(StoreError::Poisoned));
        assert_eq!(store.file_system().interceptor.syncs, syncs);
        assert_eq!(store.synced(), 1);
        drop(store);
        let store = open(root.path()).expect("it can be reopened");
        assert_eq!(*store.state(), outcome(if fail_sync { 2 } else { 1 }));
    }
}

#[test]
fn an_open_that_fails_at_any_operation_can_be_repeated() {
    let mut failures = 0;
    for after in 0.. {
        let root = tempfile::tempdir().expect("there is room for a directory");
        let mut expected = outcome(0);
        let mut failed = false;
        for i in 1..=2 {
            match ModelStore::open(failing(root.path(), Some(after)), "a/b") {
                Ok(_) => {}
                Err(StoreError::File(_)) => failed = true,
                Err(other) => panic!("operation {after}: {other}"),
            }
            let mut store =
                ModelStore::open(failing(root.path(), None), "a/b").expect("the second try");
            assert_eq!(*store.state(), expected, "operation {after}");
            store.apply(&batch(i)).expect("a batch is applied");
            store.sync().expect("a sync succeeds");
            expected = outcome(i);
        }
        if !failed {
            break;
        }
        failures += 1;
    }
    assert!(failures > 10, "an open has more than {failures} operations");
}

#[test]
#[should_panic(expected = "are allowed")]
fn a_batch_that_is_too_long_is_its_senders_bug() {
    let root = tempfile::tempdir().expect("there is room for a directory");
    let mut store = open(root.path()).expect("a new store opens");
    let _ = store.apply(&[StoreOp::PutMeta {
        key: Bytes::new(),
        value: vec![0; hstore_tier1::model::BATCH_BYTES_MAX].into(),
    }]);
}
