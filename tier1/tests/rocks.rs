//! The store on RocksDB: on its own environment, and hosted on the POSIX side of the port.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use hstore_core::ports::file_system::FileErrorKind;
use hstore_core::ports::log_store::{LogStore, StoreError, StoreOp};
use hstore_core::{
    Entry, LogId, Lsn, NodeSet, Offset, Precedence, Record, Stamp, Stamped, StoredCopy, Timestamp,
};
use hstore_tier1::contract::{Backend, Intercepted, Interceptor, Verdict, check_store, contents};
use hstore_tier1::model::ModelState;
use hstore_tier1::posix::PosixFileSystem;
use hstore_tier1::rocks::hosted::env::Host;
use hstore_tier1::rocks::{RocksSettings, RocksStore};
use tempfile::TempDir;

/// Flushes at every sync, of however little, and compacts every second time. An apply flushes only twice
/// as much.
const RESTLESS: RocksSettings = RocksSettings {
    flush_bytes: 60,
    level0_tables: 2,
    cache_bytes: 1 << 20,
};

struct OnFiles {
    root: TempDir,
    settings: RocksSettings,
    hosted: bool,
    opens: u64,
}

impl OnFiles {
    fn new(settings: RocksSettings, hosted: bool) -> Self {
        Self {
            root: tempfile::tempdir().expect("there is room for a directory"),
            settings,
            hosted,
            opens: 0,
        }
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("store")
    }
}

impl Backend for OnFiles {
    type Store = RocksStore;

    fn open(&mut self) -> Result<RocksStore, StoreError> {
        self.opens += 1;
        if !self.hosted {
            return RocksStore::open(&self.directory(), self.settings);
        }
        let files = PosixFileSystem::open(self.root.path())?;
        let host = Host {
            now: Timestamp::from_millis(self.opens),
            identity: self.opens,
        };
        RocksStore::open_hosted(files, "store", self.settings, host)
    }

    fn crash(&mut self, store: RocksStore) {
        drop(store);
    }
}

fn put(log: u32, offset: u32, payload: &[u8]) -> StoreOp {
    StoreOp::Put {
        log: LogId(log),
        lsn: Lsn::new(1, offset),
        copy: StoredCopy {
            precedence: Precedence::of_wave(1),
            copyset: NodeSet::EMPTY,
            last_known_good: Offset(0),
            entry: Entry::Record(Stamped {
                stamp: Stamp::default(),
                record: Record::new(payload.to_vec().into()),
            }),
        },
    }
}

#[test]
fn the_store_keeps_the_contract_on_its_own_environment() {
    check_store(|| OnFiles::new(RocksSettings::default(), false));
    check_store(|| OnFiles::new(RESTLESS, false));
}

#[test]
fn the_store_keeps_the_contract_on_the_ports_files() {
    check_store(|| OnFiles::new(RocksSettings::default(), true));
    check_store(|| OnFiles::new(RESTLESS, true));
}

#[test]
fn either_environment_opens_what_the_other_wrote() {
    let mut files = OnFiles::new(RESTLESS, false);
    let mut state = ModelState::default();
    for offset in 1..=40 {
        files.hosted = !files.hosted;
        let mut store = files.open().expect("the store opens");
        let batch = [put(1, offset, &[offset as u8; 100])];
        state.apply(&batch);
        store.apply(&batch).expect("a batch is applied");
        store.sync().expect("the store syncs");
        let held = contents(&mut store, &[LogId(1)], 7).expect("the store can be read");
        assert_eq!(
            held,
            contents(&mut state, &[LogId(1)], 7).expect("a state cannot fail")
        );
    }
}

/// A bit flips in the type of each record of the log in turn: the one that makes of it a type that recycled
/// logs have.
#[test]
fn a_log_that_rocksdb_would_read_for_ever_ends_where_it_makes_no_sense() {
    const RECORDS: u32 = 4;
    for hosted in [false, true] {
        for damaged in 1..RECORDS {
            let mut files = OnFiles::new(RocksSettings::default(), hosted);
            let mut store = files.open().expect("the store opens");
            let payload = |offset: u32| [offset as u8; 50];
            for offset in 1..=RECORDS {
                let batch = [put(1, offset, &payload(offset))];
                store.apply(&batch).expect("a batch is applied");
                store.sync().expect("the store syncs");
            }
            drop(store);
            let logs = std::fs::read_dir(files.directory()).expect("it is there");
            let logs = logs.map(|entry| entry.expect("an entry").path());
            let log = logs.filter(|path| path.extension().is_some_and(|it| it == "log"));
            let log = log.max().expect("it has a log");
            let mut bytes = std::fs::read(&log).expect("it can be read");
            let content = payload(damaged + 1);
            let at = bytes.windows(content.len()).position(|it| it == content);
            // The header of the record that holds it: the last before it that leads to the next one.
            let starts = starts_of_records(&bytes);
            let of = |start: &&usize| **start < at.expect("the log holds it");
            let header = *starts.iter().rfind(of).expect("it is in a record");
            bytes[header + 6] ^= 4;
            std::fs::write(&log, bytes).expect("it can be written");
            let mut store = files.open().expect("the store opens");
            let left = contents(&mut store, &[LogId(1)], 7).expect("the store can be read");
            let mut expected = ModelState::default();
            for offset in 1..=damaged {
                expected.apply(&[put(1, offset, &payload(offset))]);
            }
            let expected = contents(&mut expected, &[LogId(1)], 7);
            assert_eq!(left, expected.expect("a state cannot fail"));
        }
    }
}

/// Where the records of a log of one block begin.
fn starts_of_records(log: &[u8]) -> Vec<usize> {
    let mut starts = Vec::new();
    let mut at = 0;
    while let Some(header) = log.get(at..at + 7) {
        starts.push(at);
        at += 7 + usize::from(u16::from_le_bytes([header[4], header[5]]));
    }
    starts
}

#[test]
fn a_store_is_open_once() {
    for hosted in [false, true] {
        let mut files = OnFiles::new(RocksSettings::default(), hosted);
        let store = files.open().expect("the store opens");
        let error = files.open().expect_err("it is open");
        assert!(error.to_string().contains("lock"), "{error}");
        drop(store);
        files.open().expect("it was closed");
    }
}

#[test]
fn a_store_of_another_format_is_refused() {
    let mut files = OnFiles::new(RocksSettings::default(), false);
    drop(files.open().expect("the store opens"));
    let raw = rocksdb::DB::open_default(files.directory()).expect("it is a database");
    raw.put(b"f", u32::MAX.to_le_bytes())
        .expect("it can be written");
    drop(raw);
    let error = files.open().expect_err("the format is from the future");
    assert!(error.to_string().contains("format"), "{error}");
}

#[test]
fn background_work_is_over_when_a_call_of_a_hosted_store_returns() {
    let mut files = OnFiles::new(RESTLESS, true);
    let mut store = files.open().expect("the store opens");
    for number in 1..=10 {
        let batch = [put(1, number % 3, b"x")];
        store.apply(&batch).expect("a batch is applied");
        store.sync().expect("the store syncs");
        let work = store.background_work().expect("it is hosted");
        assert!(work.flushed_tables >= u64::from(number), "{work:?}");
        // The first compactions may do no more than move a table.
        assert!(
            work.compacted_tables + 3 >= u64::from(number) / 2,
            "{work:?}"
        );
    }
    files.hosted = false;
    drop(store);
    let store = files.open().expect("the store opens");
    assert_eq!(store.background_work(), None);
}

/// What the tests below do to a store's files, from a moment on.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// An operation fails, but for the next so many of its kind.
    Fail(&'static str, FileErrorKind, u32),
    Panic(&'static str),
}

#[derive(Clone, Default)]
struct Planned(Arc<Mutex<Option<Plan>>>);

impl Interceptor for Planned {
    fn judge(&mut self, operation: &'static str) -> Verdict {
        let plan = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match plan {
            Some(Plan::Fail(planned, kind, spared)) if *planned == operation => {
                if *spared == 0 {
                    return Verdict::Failed(*kind);
                }
                *spared -= 1;
                Verdict::Done
            }
            Some(Plan::Panic(planned)) if *planned == operation => {
                std::panic::panic_any("a bug of the file system")
            }
            _ => Verdict::Done,
        }
    }
}

impl Planned {
    fn set(&self, plan: Option<Plan>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    fn open(&self, root: &Path) -> Result<RocksStore, StoreError> {
        let files = Intercepted {
            files: PosixFileSystem::open(root)?,
            interceptor: self.clone(),
        };
        let host = Host {
            now: Timestamp::from_millis(1),
            identity: 7,
        };
        RocksStore::open_hosted(files, "store", RESTLESS, host)
    }
}

#[test]
fn an_error_of_the_files_comes_back_in_words_and_ends_the_stores_life() {
    // The WAL is written by `apply` and synced by `sync`, which also flushes here.
    for (operation, kind, in_sync) in [
        ("append to", FileErrorKind::NoSpace, false),
        ("append to", FileErrorKind::Io, false),
        ("sync", FileErrorKind::Io, true),
        ("create", FileErrorKind::NoSpace, true),
        ("sync directory", FileErrorKind::Io, true),
    ] {
        let what = format!("{operation} fails with {kind:?}");
        let root = tempfile::tempdir().expect("there is room for a directory");
        let planned = Planned::default();
        let mut store = planned.open(root.path()).expect("the store opens");
        store
            .apply(&[put(1, 1, b"first")])
            .expect("nothing fails yet");
        store.sync().expect("nothing fails yet");
        if in_sync {
            store
                .apply(&[put(1, 2, b"second")])
                .expect("nothing fails yet");
        }
        planned.set(Some(Plan::Fail(operation, kind, 0)));
        let failed = if in_sync {
            store.sync().expect_err(&what)
        } else {
            store.apply(&[put(1, 2, b"second")]).expect_err(&what)
        };
        let StoreError::Engine(words) = &failed else {
            panic!("{what}: {failed}");
        };
        assert!(words.contains("as planned"), "{what}: {words}");
        let full = words.contains("No space left");
        assert_eq!(full, kind == FileErrorKind::NoSpace, "{what}: {words}");
        planned.set(None);
        assert_eq!(store.sync(), Err(StoreError::Poisoned), "{what}");
        assert_eq!(store.apply(&[]), Err(StoreError::Poisoned), "{what}");
        assert_eq!(store.metadata(), Err(StoreError::Poisoned), "{what}");
        drop(store);
        let mut store = planned.open(root.path()).expect("it can be reopened");
        let (copies, _) = contents(&mut store, &[LogId(1)], 9).expect("it can be read");
        assert!(!copies.is_empty(), "{what}: the first batch was synced");
    }
}

#[test]
fn an_open_that_fails_can_be_repeated() {
    let root = tempfile::tempdir().expect("there is room for a directory");
    let planned = Planned::default();
    for operation in [
        "create",
        "open",
        "append to",
        "sync",
        "rename",
        "list",
        "look up",
        "lock",
        "sync directory",
        "create directory",
        "read",
    ] {
        planned.set(Some(Plan::Fail(operation, FileErrorKind::Io, 0)));
        let failed = planned.open(root.path()).map(drop);
        failed.expect_err(operation);
        planned.set(None);
        let mut store = planned.open(root.path()).expect(operation);
        store.apply(&[put(1, 1, b"x")]).expect(operation);
        store.sync().expect(operation);
    }
}

#[test]
fn work_in_the_background_that_fails_ends_the_stores_life_however_far_it_came() {
    // RocksDB would try a compaction that finds no room again for ever.
    for kind in [FileErrorKind::NoSpace, FileErrorKind::Io] {
        let mut ended = 0;
        for spared in 0..30 {
            let root = tempfile::tempdir().expect("there is room for a directory");
            let planned = Planned::default();
            let mut store = planned.open(root.path()).expect("the store opens");
            planned.set(Some(Plan::Fail("create", kind, spared)));
            let mut failed = None;
            for number in 1..=4 {
                store
                    .apply(&[put(1, number % 2, b"x")])
                    .expect("it is only logged");
                failed = store.sync().err();
                if failed.is_some() {
                    break;
                }
            }
            planned.set(None);
            if failed.is_some() {
                ended += 1;
                assert_eq!(store.sync(), Err(StoreError::Poisoned));
            }
            drop(store);
            let mut store = planned.open(root.path()).expect("it can be reopened");
            let (copies, _) = contents(&mut store, &[LogId(1)], 9).expect("it can be read");
            assert!(!copies.is_empty(), "the first batch was synced");
        }
        assert!(ended > 10, "{kind:?}: {ended}");
    }
}

#[test]
fn a_store_that_is_never_synced_flushes_all_the_same() {
    let settings = RocksSettings {
        flush_bytes: 100_000,
        ..RESTLESS
    };
    let mut files = OnFiles::new(settings, true);
    let mut store = files.open().expect("the store opens");
    for number in 1..=500 {
        let batch = [put(1, number, &[7; 1_000])];
        store.apply(&batch).expect("a batch is applied");
    }
    let work = store.background_work().expect("it is hosted");
    assert!(work.flushed_tables >= 2, "{work:?}");
}

#[test]
fn a_store_may_be_named_relative_to_the_working_directory() {
    let error = RocksStore::open(Path::new(""), RESTLESS).expect_err("this is no name");
    assert!(error.to_string().contains("directory"), "{error}");
    let error = RocksStore::open(Path::new("a/.."), RESTLESS).expect_err("this is no name");
    assert!(error.to_string().contains("directory"), "{error}");
    let root = tempfile::tempdir_in(".").expect("there is room for a directory");
    let name = root.path().file_name().expect("it has a name");
    drop(RocksStore::open(&Path::new(name).join("new/store"), RESTLESS).expect("it opens"));
    assert!(root.path().join("new/store/CURRENT").exists());
}

#[test]
fn a_panic_of_the_files_passes_by_rocksdb_and_reaches_the_caller() {
    let root = tempfile::tempdir().expect("there is room for a directory");
    let planned = Planned::default();
    let mut store = planned.open(root.path()).expect("the store opens");
    planned.set(Some(Plan::Panic("append to")));
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        store.apply(&[put(1, 1, b"x")])
    }));
    let payload = panic.expect_err("the panic is not lost");
    assert_eq!(
        payload.downcast_ref::<&str>(),
        Some(&"a bug of the file system")
    );
    planned.set(None);
    assert_eq!(store.sync(), Err(StoreError::Poisoned));
}
