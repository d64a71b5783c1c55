//! A store of one's own: here, the model store in a directory of its own, with a count of its syncs. It has a
//! planted bug: see `own_planted_bug.rs`.
//!
//!     cargo run --release -p hstore-sim --example own_store

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, LogStore, Scan, StoreError, StoreOp};
use hstore_core::{LogId, Lsn, planted};
use hstore_sim::disk::MountedDisk;
use hstore_sim::extend::OpenStore;
use hstore_sim::outcome::Outcome;
use hstore_sim::profile::PROFILES;
use hstore_sim::run::{RunRequest, View, run_extended};
use hstore_tier1::model::{ModelStore, ModelStoreOptions};

/// Opens the store, and counts for all nodes.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    syncs: Arc<AtomicU64>,
}

struct CountedStore {
    store: ModelStore<MountedDisk>,
    syncs: Arc<AtomicU64>,
}

impl OpenStore for Counted {
    fn open(&self, disk: MountedDisk) -> Result<Box<dyn LogStore>, StoreError> {
        let store = ModelStore::open_with(disk, "counted", ModelStoreOptions::default())?;
        let syncs = Arc::clone(&self.syncs);
        Ok(Box::new(CountedStore { store, syncs }))
    }
}

impl LogStore for CountedStore {
    fn apply(&mut self, batch: &[StoreOp]) -> Result<Vec<Applied>, StoreError> {
        self.store.apply(batch)
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        if planted!("own-store-skips-a-sync")
            && self.syncs.load(Ordering::Relaxed).is_multiple_of(3)
        {
            return Ok(());
        }
        self.store.sync()
    }

    fn scan(
        &mut self,
        log: LogId,
        first: Lsn,
        last: Lsn,
        limit: usize,
    ) -> Result<Scan, StoreError> {
        self.store.scan(log, first, last, limit)
    }

    fn metadata(&mut self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.store.metadata()
    }
}

pub(crate) fn main() {
    for seed in 1..=10 {
        let course = RunRequest::of(&PROFILES[0], seed).draw();
        let store = Counted::default();
        let syncs = Arc::clone(&store.syncs);
        let ran = run_extended(course, View::default(), |world| {
            world.with_store(Arc::new(store))
        });
        assert_eq!(
            ran.report.outcome,
            Outcome::Passed,
            "{:#?}",
            ran.report.violation
        );
        let syncs = syncs.load(Ordering::Relaxed);
        assert!(syncs > 0 && ran.report.counts.crashes > 0);
        println!("seed {seed}: {}, {syncs} syncs", ran.report.outcome);
    }
}
