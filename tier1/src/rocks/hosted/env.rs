//! The environment of a hosted RocksDB, as its store holds it.

#![allow(unsafe_code)]

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use hstore_core::Timestamp;
use hstore_core::ports::file_system::FileSystem;
use librocksdb_sys::rocksdb_env_t;

use super::table::{Context, HstoreFiles};
use crate::rocks::hosting::{BackgroundWork, Hosting, Job};

unsafe extern "C" {
    fn hstore_env_create(
        files: *const HstoreFiles,
        now_micros: u64,
        identity: u64,
    ) -> *mut rocksdb_env_t;
    fn hstore_env_run_one(env: *mut rocksdb_env_t) -> i32;
    fn hstore_name_sessions(session: u64);
}

/// What a host gives to a store beside its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    /// What RocksDB takes for the time, for as long as the store is open. It ends up in tables.
    pub now: Timestamp,
    /// What RocksDB takes for its random identifiers. Not the same for two opens of one store: the
    /// names of tables in caches are made from it. Not zero.
    pub identity: u64,
}

/// The environment. It ends when the last database that uses it is closed and this is dropped.
pub(in crate::rocks) struct HostedEnv<F> {
    env: rocksdb::Env,
    raw: *mut rocksdb_env_t,
    context: Arc<Context<F>>,
    identity: u64,
    work: BackgroundWork,
}

// SAFETY: what `raw` points to belongs to `env`, which is `Send`; it is used through `&mut self`.
unsafe impl<F: Send> Send for HostedEnv<F> {}

impl<F: FileSystem + Send + 'static> HostedEnv<F> {
    pub(in crate::rocks) fn new(files: F, host: Host) -> Self {
        assert_ne!(host.identity, 0, "zero names no session");
        let context = Context::new(files);
        let table = context.table();
        let now_micros = host.now.0 / 1_000;
        // SAFETY: C++ copies the table and calls its `drop` once, when the environment ends.
        let raw = unsafe { hstore_env_create(&raw const table, now_micros, host.identity) };
        // SAFETY: ownership passes to `env`; `raw` is used only while that lives.
        let env = unsafe { rocksdb::Env::from_raw(raw) };
        Self {
            env,
            raw,
            context,
            identity: host.identity,
            work: BackgroundWork::default(),
        }
    }
}

/// Names the sessions of this thread until it is dropped.
struct SessionName;

impl SessionName {
    fn set(identity: u64) -> Self {
        // SAFETY: sets a variable of this thread.
        unsafe { hstore_name_sessions(identity) };
        Self
    }
}

impl Drop for SessionName {
    fn drop(&mut self) {
        // SAFETY: sets a variable of this thread.
        unsafe { hstore_name_sessions(0) };
    }
}

impl<F: FileSystem + Send + 'static> Hosting for HostedEnv<F> {
    fn env(&self) -> &rocksdb::Env {
        &self.env
    }

    fn open(&self, open: &mut dyn FnMut()) {
        let _name = SessionName::set(self.identity);
        open();
    }

    fn run_one(&mut self) -> Option<Job> {
        let before = self.context.tables_created();
        // SAFETY: the environment lives, and no call into its database is under way.
        let job = match unsafe { hstore_env_run_one(self.raw) } {
            0 => return None,
            1 => Job::Flush,
            2 => Job::Compaction,
            other => unreachable!("shim.h has no job {other}"),
        };
        let written = self.context.tables_created() - before;
        match job {
            Job::Flush => self.work.flushed_tables += written,
            Job::Compaction => self.work.compacted_tables += written,
        }
        Some(job)
    }

    fn background_work(&self) -> BackgroundWork {
        self.work
    }

    fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        self.context.take_panic()
    }
}

impl<F> fmt::Debug for HostedEnv<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostedEnv")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use rocksdb::checkpoint::Checkpoint;
    use rocksdb::{DB, FlushOptions, Options};

    use super::*;
    use crate::contract::{Intercepted, Interceptor, Verdict};
    use crate::posix::PosixFileSystem;

    unsafe extern "C" {
        fn hstore_describe_outcome(
            outcome: i32,
            code: *mut i32,
            subcode: *mut i32,
            retryable: *mut bool,
        );
    }

    /// As in RocksDB's `status.h`.
    const OK: i32 = 0;
    const IO_ERROR: i32 = 5;
    const NO_SUBCODE: i32 = 0;
    const NO_SPACE: i32 = 4;
    const PATH_NOT_FOUND: i32 = 9;

    #[test]
    fn rocksdb_is_told_the_kind_of_a_failure_and_whether_to_try_again() {
        // In the order of `HstoreOutcome`: done, not found, exists, locked, no space, I/O.
        let expected = [
            (OK, NO_SUBCODE, false),
            (IO_ERROR, PATH_NOT_FOUND, false),
            (IO_ERROR, NO_SUBCODE, false),
            (IO_ERROR, NO_SUBCODE, false),
            (IO_ERROR, NO_SPACE, true),
            (IO_ERROR, NO_SUBCODE, false),
        ];
        for (outcome, expected) in expected.into_iter().enumerate() {
            let (mut code, mut subcode, mut retryable) = (-1, -1, false);
            // SAFETY: it fills in three variables.
            unsafe {
                hstore_describe_outcome(
                    outcome as i32,
                    &raw mut code,
                    &raw mut subcode,
                    &raw mut retryable,
                );
            }
            assert_eq!((code, subcode, retryable), expected, "outcome {outcome}");
        }
    }

    /// Notes the operations that pass.
    #[derive(Clone, Default)]
    struct Noted(Arc<Mutex<Vec<&'static str>>>);

    impl Interceptor for Noted {
        fn judge(&mut self, operation: &'static str) -> Verdict {
            let mut noted = self.0.lock().expect("nothing panics while it is held");
            noted.push(operation);
            Verdict::Done
        }
    }

    /// What a store of ours does not do, or not often, but RocksDB may: links, range syncs, removing
    /// directories.
    #[test]
    fn every_operation_of_rocksdb_reaches_the_files() {
        let root = tempfile::tempdir().expect("there is room for a directory");
        let noted = Noted::default();
        let files = Intercepted {
            files: PosixFileSystem::open(root.path()).expect("the root is there"),
            interceptor: noted.clone(),
        };
        let host = Host {
            now: Timestamp::from_millis(1),
            identity: 1,
        };
        let mut hosted = HostedEnv::new(files, host);
        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_env(hosted.env());
        options.set_wal_bytes_per_sync(64 << 10);
        let open = || DB::open(&options, "store").expect("it opens");
        let db = open();
        for key in 0..4_000_u32 {
            let value = vec![key as u8; 1_000];
            db.put(key.to_be_bytes(), value).expect("it is written");
        }
        db.flush_wal(true).expect("it is synced");
        // Waiting for it would last for ever: it is done below.
        let mut flush = FlushOptions::default();
        flush.set_wait(false);
        db.flush_opt(&flush).expect("a flush can be asked for");
        assert_eq!(hosted.run_one(), Some(Job::Flush));
        assert_eq!(hosted.background_work().flushed_tables, 1);
        // A checkpoint links every file into a new directory and gives that its name. The port renames
        // files alone, so it fails there, and everything is removed.
        let checkpoint = Checkpoint::new(&db).expect("the database is open");
        let error = checkpoint.create_checkpoint_with_log_size("copy", u64::MAX);
        let error = error.expect_err("a directory is not renamed");
        assert!(error.to_string().contains("is a directory"), "{error}");
        assert!(!root.path().join("copy.tmp").exists());
        drop(checkpoint);
        drop(db);
        // A second database cannot be opened while the first one is, and can after it.
        let db = open();
        let error = DB::open(&options, "store").expect_err("it is open");
        assert!(error.to_string().contains("lock"), "{error}");
        for key in 0..4_000_u32 {
            let value = db.get(key.to_be_bytes()).expect("it can be read");
            assert_eq!(value, Some(vec![key as u8; 1_000]));
        }
        drop(db);
        let noted = noted.0.lock().expect("nothing panics while it is held");
        for operation in [
            "create",
            "open",
            "append to",
            "read",
            "sync",
            "range sync",
            "look up",
            "rename",
            "link",
            "remove",
            "create directory",
            "remove directory",
            "list",
            "sync directory",
            "lock",
        ] {
            assert!(noted.contains(&operation), "{operation}");
        }
    }
}
