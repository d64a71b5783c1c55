//! The store: batches into RocksDB's write-ahead log and memtables, scans out of them.
//!
//! `apply` reads what stands where a batch wants to write, decides what prevails, and writes all of
//! it as one batch of RocksDB's, which appends to the log without syncing. `sync` syncs the log.
//!
//! # Invariants
//!
//! - One user at a time, so what `apply` has read stands until it has written.
//! - What an open finds is durable before it returns: RocksDB flushes what it read from the log into
//!   synced tables. So nothing is answered from a page cache that a power failure could take.
//! - After a failed call the store accepts nothing: a sync that failed could otherwise succeed the
//!   second time without having written what the first one lost.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, LogStore, Scan, StoreError, StoreOp};
use hstore_core::{LogId, Lsn};
use rocksdb::statistics::Ticker;
use rocksdb::{
    DB, DBRawIterator, ErrorKind, FlushOptions, Options, ReadOptions, WriteBatch, WriteOptions,
};

use super::endless::cut_endless;
#[cfg(feature = "hosted")]
use super::hosted::env::{Host, HostedEnv};
use super::hosting::{BackgroundWork, Hosting};
use super::layout::{self, BadValue, CopyKey, FORMAT, FORMAT_KEY};
use super::settings::RocksSettings;
use crate::checked::checked;
use crate::posix::PosixFileSystem;
use crate::root::create_durable_directory;

/// A [`LogStore`] on RocksDB.
pub struct RocksStore {
    // Dropped in this order: the database uses its environment.
    db: DB,
    hosted: Option<Box<dyn Hosting>>,
    /// The options it was opened with, which hold its statistics.
    options: Options,
    /// When to flush.
    flush_bytes: u64,
    /// Bytes of batches since the last flush began.
    unflushed_bytes: u64,
    /// Whether a call failed, or is under way.
    poisoned: bool,
}

impl RocksStore {
    /// Opens the store in `directory` on RocksDB's own environment, and creates it if there is none.
    ///
    /// # Errors
    /// If a file operation fails, what is stored is damaged, or another process has it open.
    pub fn open(directory: &Path, settings: RocksSettings) -> Result<Self, StoreError> {
        let refused = || {
            let directory = directory.display();
            StoreError::Engine(format!("`{directory}` cannot be a store's directory"))
        };
        let name = directory.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(refused)?;
        let parent = directory.parent().ok_or_else(refused)?;
        let mut files = PosixFileSystem::open(parent)?;
        create_durable_directory(&mut files, name)?;
        cut_endless(&mut files, name)?;
        Self::open_in(directory, settings, None)
    }

    /// Opens the store in `directory` of a host's file system, and creates it if there is none.
    ///
    /// # Errors
    /// As [`RocksStore::open`].
    #[cfg(feature = "hosted")]
    pub fn open_hosted<F: hstore_core::ports::file_system::FileSystem + Send + 'static>(
        mut files: F,
        directory: &str,
        settings: RocksSettings,
        host: Host,
    ) -> Result<Self, StoreError> {
        create_durable_directory(&mut files, directory)?;
        cut_endless(&mut files, directory)?;
        let hosted = HostedEnv::new(files, host);
        Self::open_in(Path::new(directory), settings, Some(Box::new(hosted)))
    }

    fn open_in(
        directory: &Path,
        settings: RocksSettings,
        hosted: Option<Box<dyn Hosting>>,
    ) -> Result<Self, StoreError> {
        let options = settings.options(hosted.as_ref().map(|hosted| hosted.env()))?;
        let mut opened = None;
        let mut open = || opened = Some(DB::open(&options, directory));
        match &hosted {
            Some(hosted) => hosted.open(&mut open),
            None => open(),
        }
        resume_panic(hosted.as_deref());
        let opened = opened.expect("it was opened, or failed to");
        let mut store = Self {
            db: opened.map_err(|error| engine_error(&error))?,
            hosted,
            options,
            flush_bytes: settings.flush_bytes,
            unflushed_bytes: 0,
            poisoned: false,
        };
        store.guarded(|store| {
            store.check_background()?;
            store.check_format()
        })?;
        Ok(store)
    }

    /// What RocksDB's background work has written since the store was opened, if it is hosted.
    #[must_use]
    pub fn background_work(&self) -> Option<BackgroundWork> {
        self.hosted.as_ref().map(|hosted| hosted.background_work())
    }

    /// How often RocksDB has synced its write-ahead log since the store was opened; counted on its own
    /// environment only.
    #[must_use]
    pub fn wal_syncs(&self) -> Option<u64> {
        let counted = || self.options.get_ticker_count(Ticker::WalFileSynced);
        self.hosted.is_none().then(counted)
    }

    /// Checks the version of the layout, and writes it into a new store.
    fn check_format(&mut self) -> Result<(), StoreError> {
        let found = self
            .db
            .get(FORMAT_KEY)
            .map_err(|error| engine_error(&error))?;
        match found.as_deref() {
            Some(version) if version == FORMAT.to_le_bytes() => Ok(()),
            Some(version) => Err(StoreError::Damaged(format!(
                "its format is {version:?}, this build reads {:?}",
                FORMAT.to_le_bytes()
            ))),
            None if self.is_empty()? => {
                let mut batch = WriteBatch::default();
                batch.put(FORMAT_KEY, FORMAT.to_le_bytes());
                self.write(batch)
            }
            None => Err(StoreError::Damaged(
                "it has content and does not say in which format".to_owned(),
            )),
        }
    }

    fn is_empty(&self) -> Result<bool, StoreError> {
        let mut at = self.db.raw_iterator();
        at.seek_to_first();
        at.status().map_err(|error| engine_error(&error))?;
        Ok(!at.valid())
    }

    fn write(&mut self, batch: WriteBatch) -> Result<(), StoreError> {
        self.unflushed_bytes += batch.size_in_bytes() as u64;
        let mut options = WriteOptions::default();
        options.set_sync(false);
        self.db
            .write_opt(batch, &options)
            .map_err(|error| engine_error(&error))?;
        // Whoever never syncs is bounded as well.
        if self.unflushed_bytes >= self.flush_bytes.saturating_mul(2) {
            self.flush()?;
        }
        Ok(())
    }

    /// Begins a flush of everything. Under a host it is over when this returns; elsewhere this waits if
    /// the flushes before it have not come to an end.
    fn flush(&mut self) -> Result<(), StoreError> {
        let mut options = FlushOptions::default();
        options.set_wait(false);
        self.db
            .flush_opt(&options)
            .map_err(|error| engine_error(&error))?;
        self.unflushed_bytes = 0;
        self.check_background()
    }

    /// Fails if background work has. Under a host, does it first.
    fn check_background(&mut self) -> Result<(), StoreError> {
        loop {
            let job = self.hosted.as_mut().and_then(|hosted| hosted.run_one());
            // After each one: RocksDB tries some again, without end.
            let failures = self
                .db
                .property_int_value("rocksdb.background-errors")
                .map_err(|error| engine_error(&error))?;
            if failures != Some(0) {
                let what = "a flush or a compaction failed";
                return Err(StoreError::Engine(what.to_owned()));
            }
            if job.is_none() {
                return Ok(());
            }
        }
    }

    /// Runs an operation that may leave the store poisoned: it stays so unless the operation
    /// succeeds.
    fn guarded<T>(
        &mut self,
        operate: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        self.poisoned = true;
        let done = operate(self);
        resume_panic(self.hosted.as_deref());
        let done = done?;
        self.poisoned = false;
        Ok(done)
    }
}

/// Goes on with a panic of a host's file system.
fn resume_panic(hosted: Option<&dyn Hosting>) {
    if let Some(panic) = hosted.and_then(Hosting::take_panic) {
        std::panic::resume_unwind(panic);
    }
}

impl fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksStore")
            .field("path", &self.db.path())
            .field("hosted", &self.hosted.is_some())
            .field("unflushed_bytes", &self.unflushed_bytes)
            .field("poisoned", &self.poisoned)
            .finish_non_exhaustive()
    }
}

/// A batch on its way into RocksDB: what it writes, and what its later operations must see of that.
struct Pending<'a> {
    store: &'a RocksStore,
    batch: WriteBatch,
    /// Values that this batch put.
    put: BTreeMap<CopyKey, Vec<u8>>,
    /// Ranges that this batch deleted, both ends included.
    deleted: Vec<(CopyKey, CopyKey)>,
}

impl Pending<'_> {
    /// Asks `change` for the new value of a copy, given the old one.
    fn change(
        &mut self,
        log: LogId,
        lsn: Lsn,
        change: impl FnOnce(Option<&[u8]>) -> Result<Result<Vec<u8>, Applied>, BadValue>,
    ) -> Result<Applied, StoreError> {
        let key = layout::copy_key(log, lsn);
        let deleted = |(first, last): &(CopyKey, CopyKey)| *first <= key && key <= *last;
        let changed = if let Some(value) = self.put.get(&key) {
            change(Some(value))
        } else if self.deleted.iter().any(deleted) {
            change(None)
        } else {
            let stored = self.store.db.get_pinned(key);
            change(stored.map_err(|error| engine_error(&error))?.as_deref())
        };
        match changed.map_err(|bad| bad_value(log, lsn, &bad))? {
            Ok(value) => {
                self.batch.put(key, &value);
                self.put.insert(key, value);
                Ok(Applied::Done)
            }
            Err(unchanged) => Ok(unchanged),
        }
    }

    fn apply(&mut self, op: &StoreOp) -> Result<Applied, StoreError> {
        match op {
            StoreOp::Put { log, lsn, copy } => self.change(*log, *lsn, |old| {
                if let Some(old) = old
                    && layout::precedence_of(old)? > copy.precedence
                {
                    return Ok(Err(Applied::Kept));
                }
                Ok(Ok(layout::encode(copy)))
            }),
            StoreOp::Replace { log, lsn, copy } => {
                // What stands there may be no value of a copy at all: it is not looked at.
                let (key, value) = (layout::copy_key(*log, *lsn), layout::encode(copy));
                self.batch.put(key, &value);
                self.put.insert(key, value);
                Ok(Applied::Done)
            }
            StoreOp::Amend {
                log,
                lsn,
                wave,
                copyset,
            } => self.change(*log, *lsn, |old| {
                let Some(old) = old else {
                    return Ok(Err(Applied::Missing));
                };
                let precedence = layout::precedence_of(old)?;
                if precedence.recovery.is_some() || precedence.wave > *wave {
                    return Ok(Err(Applied::Kept));
                }
                let mut value = old.to_vec();
                layout::amend(&mut value, *wave, *copyset);
                Ok(Ok(value))
            }),
            StoreOp::DeleteRange { log, first, last } => {
                self.delete(
                    layout::copy_key(*log, *first),
                    layout::copy_key(*log, *last),
                );
                Ok(Applied::Done)
            }
            StoreOp::PutMeta { key, value } => {
                self.batch.put(layout::metadata_key(key), value);
                Ok(Applied::Done)
            }
        }
    }

    fn delete(&mut self, first: CopyKey, last: CopyKey) {
        if first > last {
            return;
        }
        // RocksDB excludes the end of a range.
        self.batch
            .delete_range(first.as_slice(), layout::successor(last).as_slice());
        self.put.retain(|key, _| *key < first || last < *key);
        self.deleted.push((first, last));
    }
}

impl LogStore for RocksStore {
    fn apply(&mut self, batch: &[StoreOp]) -> Result<Vec<Applied>, StoreError> {
        self.guarded(|store| {
            let mut pending = Pending {
                store,
                batch: WriteBatch::default(),
                put: BTreeMap::new(),
                deleted: Vec::new(),
            };
            let applied: Vec<Applied> = batch
                .iter()
                .map(|op| pending.apply(op))
                .collect::<Result<_, _>>()?;
            let batch = pending.batch;
            if !batch.is_empty() {
                store.write(batch)?;
            }
            Ok(applied)
        })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.guarded(|store| {
            let synced = store.db.flush_wal(true);
            synced.map_err(|error| engine_error(&error))?;
            if store.unflushed_bytes >= store.flush_bytes {
                store.flush()
            } else {
                store.check_background()
            }
        })
    }

    fn scan(
        &mut self,
        log: LogId,
        first: Lsn,
        last: Lsn,
        limit: usize,
    ) -> Result<Scan, StoreError> {
        self.guarded(|store| {
            if first > last {
                return Ok(Scan {
                    copies: Vec::new(),
                    passed: last,
                });
            }
            let mut options = ReadOptions::default();
            options.set_iterate_lower_bound(layout::copy_key(log, first));
            options.set_iterate_upper_bound(layout::successor(layout::copy_key(log, last)));
            let mut at = store.db.raw_iterator_opt(options);
            at.seek_to_first();
            collect(&mut at, log, last, limit)
        })
    }

    fn metadata(&mut self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.guarded(|store| {
            let mut at = store.db.raw_iterator();
            at.seek(layout::METADATA_START);
            let mut metadata = Vec::new();
            while let Some((key, value)) = at.item() {
                if let Some(key) = layout::metadata_key_of(key) {
                    metadata.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
                }
                at.next();
            }
            at.status().map_err(|error| engine_error(&error))?;
            Ok(metadata)
        })
    }
}

fn collect(
    at: &mut DBRawIterator<'_>,
    log: LogId,
    last: Lsn,
    limit: usize,
) -> Result<Scan, StoreError> {
    let mut copies = Vec::new();
    while let Some((key, value)) = at.item() {
        let lsn = layout::lsn_of(key)
            .ok_or_else(|| StoreError::Damaged(format!("{key:?} is no key of a copy")))?;
        let copy = layout::decode(value).map_err(|bad| bad_value(log, lsn, &bad))?;
        copies.push((lsn, checked(&copy).map(|()| copy)));
        if copies.len() >= limit.max(1) {
            let passed = lsn;
            return Ok(Scan { copies, passed });
        }
        at.next();
    }
    // An iterator that met an error looks as if it had come to the end.
    at.status().map_err(|error| engine_error(&error))?;
    Ok(Scan {
        copies,
        passed: last,
    })
}

fn bad_value(log: LogId, lsn: Lsn, bad: &BadValue) -> StoreError {
    StoreError::Damaged(format!("the copy at {lsn} of log {}: {}", log.0, bad.0))
}

pub(super) fn engine_error(error: &rocksdb::Error) -> StoreError {
    let words = error.to_string();
    match error.kind() {
        ErrorKind::Corruption => StoreError::Damaged(words),
        _ => StoreError::Engine(words),
    }
}
