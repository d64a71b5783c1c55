//! A store's view of its host, if it has one. The store knows no more of it than this, so that hosting
//! and the C++ it takes are left out of builds that host nothing.

use std::any::Any;

/// What RocksDB's background work has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackgroundWork {
    /// Tables that flushes wrote. Those that an open wrote from the log are not among them.
    pub flushed_tables: u64,
    /// Tables that compactions wrote. A compaction that only moves a table writes none.
    pub compacted_tables: u64,
}

/// A job that RocksDB had put off and that was done.
#[cfg_attr(
    not(feature = "hosted"),
    expect(dead_code, reason = "only hosts do jobs")
)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::rocks) enum Job {
    /// A flush.
    Flush,
    /// A compaction.
    Compaction,
}

/// What a store needs of the environment that a host gives it.
pub(in crate::rocks) trait Hosting: Send {
    /// The environment.
    fn env(&self) -> &rocksdb::Env;
    /// Opens a database: its session is named after the host's identity.
    fn open(&self, open: &mut dyn FnMut());
    /// Does the first thing that RocksDB has put off, if there is any. No call into the database may be
    /// under way.
    fn run_one(&mut self) -> Option<Job>;
    /// What that has written so far.
    fn background_work(&self) -> BackgroundWork;
    /// The panic of the file system that was kept out of C++, if there was one.
    fn take_panic(&self) -> Option<Box<dyn Any + Send>>;
}
