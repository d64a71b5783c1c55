//! The environment of a hosted RocksDB, as its store holds it.

#![allow(unsafe_code)]

use std::fmt;
use std::sync::Arc;

use hstore_core::Timestamp;
use hstore_core::ports::file_system::FileSystem;
use librocksdb_sys::rocksdb_env_t;

use super::table::{Context, HstoreFiles, Watched};

#[allow(unreachable_pub, reason = "they are C++'s")]
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

/// What RocksDB's background work has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackgroundWork {
    /// Tables that flushes wrote. Those that an open wrote from the log are not among them.
    pub flushed_tables: u64,
    /// Tables that compactions wrote. A compaction that only moves a table writes none.
    pub compacted_tables: u64,
}

/// The kind of a job that `hstore_env_run_one` ran, as `shim.h` numbers it.
const FLUSH: i32 = 1;
const COMPACTION: i32 = 2;

/// The environment. It ends when the last database that uses it is closed and this is dropped.
pub(in crate::rocks) struct HostedEnv {
    env: rocksdb::Env,
    raw: *mut rocksdb_env_t,
    context: Arc<dyn Watched>,
    identity: u64,
    work: BackgroundWork,
}

// SAFETY: what `raw` points to belongs to `env`, which is `Send`; it is used through `&mut self`.
unsafe impl Send for HostedEnv {}

impl HostedEnv {
    pub(in crate::rocks) fn new<F: FileSystem + Send + 'static>(files: F, host: Host) -> Self {
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

    pub(in crate::rocks) fn env(&self) -> &rocksdb::Env {
        &self.env
    }

    /// Opens a database, its session named after the host's identity.
    pub(in crate::rocks) fn open<T>(&mut self, open: impl FnOnce() -> T) -> T {
        // SAFETY: sets a variable of this thread.
        unsafe { hstore_name_sessions(self.identity) };
        let opened = open();
        // SAFETY: as above.
        unsafe { hstore_name_sessions(0) };
        opened
    }

    /// Does what RocksDB has put off.
    pub(in crate::rocks) fn run_jobs(&mut self) {
        loop {
            let before = self.context.tables_created();
            // SAFETY: the environment lives, and no call into its database is under way.
            let kind = unsafe { hstore_env_run_one(self.raw) };
            let written = match kind {
                FLUSH => &mut self.work.flushed_tables,
                COMPACTION => &mut self.work.compacted_tables,
                _ => return,
            };
            *written += self.context.tables_created() - before;
        }
    }

    pub(in crate::rocks) fn background_work(&self) -> BackgroundWork {
        self.work
    }

    /// Goes on with a panic of the file system, which was kept out of C++.
    pub(in crate::rocks) fn resume_panic(&self) {
        if let Some(panic) = self.context.take_panic() {
            std::panic::resume_unwind(panic);
        }
    }
}

impl fmt::Debug for HostedEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostedEnv")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}
