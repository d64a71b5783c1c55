//! A node's store: one thread, requests in order, group commit.
//!
//! The thread applies all that has been asked for, then syncs once, then completes all of it: the more
//! is asked for while it syncs, the more the next sync covers. Reads see every write asked for before
//! them. A write that need not be synced completes when it was applied.
//!
//! # Invariants
//!
//! - Nothing completes as synced before a sync that began after it was applied has ended.
//! - After a failure nothing completes any more, and the process must end: what a failed sync lost, a
//!   later one would not bring back.
//! - Completions of one life go into a channel of that life, which ends with it.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use hstore_core::Timestamp;
use hstore_core::ports::log_store::{LogStore, StoreError};
use hstore_replicator::effects::{
    BootMetadata, DiskDone, DiskRequest, DiskToken, DiskWork, Durability,
};
use hstore_tier1::rocks::{RocksSettings, RocksStore};
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::metrics::Metrics;

/// How many requests one sync covers at most.
const GROUP_REQUESTS_MAX: usize = 1024;

/// Syncs after which something was completed.
pub const GROUP_COMMITS: &str = "group_commits";
/// RocksDB's own count of syncs of its write-ahead log.
pub const WAL_SYNCS: &str = "wal_syncs";

/// What the thread says.
#[derive(Debug)]
pub enum StorageEvent {
    /// A request is complete.
    Done(DiskToken, DiskDone),
    /// The store failed. Nothing follows.
    Failed(StoreError),
}

/// The thread, seen from the node's task.
///
/// Neither channel has a bound of its own: the node's task takes no message while too many requests are
/// under way, so their number bounds both.
#[derive(Debug)]
pub struct Storage {
    requests: mpsc::UnboundedSender<(Timestamp, DiskRequest)>,
    /// What comes back.
    pub events: mpsc::UnboundedReceiver<StorageEvent>,
    thread: JoinHandle<()>,
}

impl Storage {
    /// Opens the store in `directory`, on a thread of its own. Also tells what the node finds there.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub async fn open(
        directory: PathBuf,
        settings: RocksSettings,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, BootMetadata), StoreError> {
        let (requests, taken) = mpsc::unbounded_channel();
        let (completed, events) = mpsc::unbounded_channel();
        let (opened, found) = oneshot::channel::<Result<BootMetadata, StoreError>>();
        let thread = std::thread::Builder::new()
            .name("storage".to_owned())
            .spawn(move || {
                let open = || -> Result<_, StoreError> {
                    let mut store = RocksStore::open(&directory, settings)?;
                    let metadata = store.metadata()?;
                    Ok((store, metadata))
                };
                let store = match open() {
                    Ok((store, metadata)) => {
                        let _ = opened.send(Ok(metadata));
                        store
                    }
                    Err(error) => {
                        let _ = opened.send(Err(error));
                        return;
                    }
                };
                let mut worker = Worker {
                    store,
                    taken,
                    completed,
                    clock,
                    metrics,
                };
                if let Err(error) = worker.work() {
                    let _ = worker.completed.send(StorageEvent::Failed(error));
                }
            })
            .expect("the operating system gives a thread");
        let metadata = found
            .await
            .expect("the thread says whether the store opened")?;
        let storage = Self {
            requests,
            events,
            thread,
        };
        Ok((storage, metadata))
    }

    /// Asks for work.
    pub fn request(&self, now: Timestamp, request: DiskRequest) {
        // If the thread has failed it says so itself.
        let _ = self.requests.send((now, request));
    }

    /// Completes what was asked for, and closes the store.
    pub async fn close(self) {
        let Self {
            requests,
            mut events,
            thread,
        } = self;
        drop(requests);
        while let Some(event) = events.recv().await {
            if let StorageEvent::Failed(error) = event {
                tracing::error!(%error, "the store failed while it was closed");
            }
        }
        // The channel closes when the thread is about to end.
        thread.join().expect("the storage thread does not panic");
    }
}

struct Worker {
    store: RocksStore,
    taken: mpsc::UnboundedReceiver<(Timestamp, DiskRequest)>,
    completed: mpsc::UnboundedSender<StorageEvent>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// A write that waits for the sync.
struct Awaiting {
    asked: Timestamp,
    token: DiskToken,
    done: DiskDone,
}

impl Worker {
    /// Works until nobody can ask any more.
    fn work(&mut self) -> Result<(), StoreError> {
        while let Some((asked, request)) = self.taken.blocking_recv() {
            let mut awaiting = Vec::new();
            self.begin(asked, request, &mut awaiting)?;
            let mut requests = 1;
            while requests < GROUP_REQUESTS_MAX
                && let Ok((asked, request)) = self.taken.try_recv()
            {
                self.begin(asked, request, &mut awaiting)?;
                requests += 1;
            }
            if !awaiting.is_empty() {
                self.commit(awaiting)?;
            }
        }
        // What nobody waited for.
        self.store.sync()
    }

    fn begin(
        &mut self,
        asked: Timestamp,
        request: DiskRequest,
        awaiting: &mut Vec<Awaiting>,
    ) -> Result<(), StoreError> {
        let token = request.token;
        match request.work {
            DiskWork::Write { batch, until } => {
                let done = DiskDone::Wrote(self.store.apply(&batch)?);
                match until {
                    Durability::Synced => awaiting.push(Awaiting { asked, token, done }),
                    Durability::Written => self.complete(token, done),
                }
            }
            read => {
                let done = read.read(&mut self.store)?.expect("it is no write");
                let took = self.clock.now().since(asked);
                self.metrics.latency("disk_read_us", took);
                self.complete(token, done);
            }
        }
        Ok(())
    }

    /// One sync for all of them.
    fn commit(&mut self, group: Vec<Awaiting>) -> Result<(), StoreError> {
        let begin = self.clock.now();
        self.store.sync()?;
        let end = self.clock.now();
        self.metrics.latency("disk_sync_us", end.since(begin));
        self.metrics.value("group_size", group.len() as u64);
        let syncs = self.store.wal_syncs();
        self.metrics
            .set(WAL_SYNCS, syncs.expect("RocksDB is on its own environment"));
        // Last: whoever compares the two never sees a commit without its sync.
        self.metrics.count(GROUP_COMMITS);
        for Awaiting { asked, token, done } in group {
            self.metrics.latency("disk_write_us", end.since(asked));
            self.complete(token, done);
        }
        Ok(())
    }

    fn complete(&self, token: DiskToken, done: DiskDone) {
        // Nobody listens when the node is being stopped.
        let _ = self.completed.send(StorageEvent::Done(token, done));
    }
}
