//! The store under a simulated node: one of the engines on its simulated disk.

use std::fmt;

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, LogStore, Scan, StoreError, StoreOp};
use hstore_core::{LogId, Lsn};
use hstore_tier1::model::{ModelStore, ModelStoreOptions};
use hstore_tier1::rocks::hosted::env::Host;
use hstore_tier1::rocks::{BackgroundWork, RocksSettings, RocksStore};

use crate::disk::{FileClass, MountedDisk};
use crate::options::{Engine, StoreOptions};

/// The directory of the store on the simulated disk.
const DIRECTORY: &str = "store";

/// Large enough that no block is ever dropped from it: what would be dropped depends on addresses of
/// memory.
const CACHE_BYTES: usize = 64 << 20;

/// A store.
#[derive(Debug)]
pub enum Store {
    /// RocksDB, hosted.
    Rocksdb(RocksStore),
    /// The model store.
    Model(ModelStore<MountedDisk>),
    /// One that was added: see [`crate::extend`].
    Own(OwnStore),
}

/// A store that was added.
pub struct OwnStore(pub Box<dyn LogStore>);

impl fmt::Debug for OwnStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OwnStore")
    }
}

impl Store {
    /// Opens the store that the disk holds.
    ///
    /// # Errors
    /// If a file operation fails, or the product cannot open what it wrote.
    pub fn open(
        disk: MountedDisk,
        engine: Engine,
        options: StoreOptions,
        host: Host,
    ) -> Result<Self, StoreError> {
        match engine {
            Engine::Rocksdb => {
                let settings = RocksSettings {
                    flush_bytes: options.flush_bytes,
                    level0_tables: options.level0_tables,
                    cache_bytes: CACHE_BYTES,
                };
                RocksStore::open_hosted(disk, DIRECTORY, settings, host).map(Self::Rocksdb)
            }
            Engine::Model => {
                let model = options
                    .generation_bytes
                    .map_or_else(ModelStoreOptions::default, |wal_bytes_max| {
                        ModelStoreOptions { wal_bytes_max }
                    });
                ModelStore::open_with(disk, DIRECTORY, model).map(Self::Model)
            }
        }
    }

    /// What the engine has written in the background since it was opened.
    #[must_use]
    pub fn background_work(&self) -> BackgroundWork {
        match self {
            Self::Rocksdb(store) => store.background_work().expect("it is hosted"),
            Self::Model(_) | Self::Own(_) => BackgroundWork::default(),
        }
    }

    /// The write-ahead log, and up to which byte the store tells damage of it from a torn end. RocksDB,
    /// as it is set up, tells none: it takes the first record that is not whole for the end.
    #[must_use]
    pub fn log_that_tells_damage(&self) -> Option<(String, u64)> {
        match self {
            Self::Rocksdb(_) | Self::Own(_) => None,
            Self::Model(store) => Some(store.testified()),
        }
    }

    /// Whether a file is one that the store checks wherever it is damaged: a table or a checkpoint.
    #[must_use]
    pub fn is_table(engine: Engine, path: &str) -> bool {
        let unfinished = engine == Engine::Model && path.ends_with(".tmp");
        FileClass::of(path) == Some(FileClass::Table) && !unfinished
    }

    /// Where the copies of these logs are.
    ///
    /// # Errors
    /// If the store fails.
    pub fn places(
        &mut self,
        logs: impl Iterator<Item = LogId>,
    ) -> Result<Vec<(LogId, Lsn)>, StoreError> {
        let mut places = Vec::new();
        for log in logs {
            let scan = self.scan(log, Lsn::MIN, Lsn::MAX, usize::MAX)?;
            places.extend(scan.copies.into_iter().map(|(lsn, _)| (log, lsn)));
        }
        Ok(places)
    }

    fn engine(&mut self) -> &mut dyn LogStore {
        match self {
            Self::Rocksdb(store) => store,
            Self::Model(store) => store,
            Self::Own(store) => &mut *store.0,
        }
    }
}

impl LogStore for Store {
    fn apply(&mut self, batch: &[StoreOp]) -> Result<Vec<Applied>, StoreError> {
        self.engine().apply(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.engine().sync()
    }

    fn scan(
        &mut self,
        log: LogId,
        first: Lsn,
        last: Lsn,
        limit: usize,
    ) -> Result<Scan, StoreError> {
        self.engine().scan(log, first, last, limit)
    }

    fn metadata(&mut self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.engine().metadata()
    }
}
