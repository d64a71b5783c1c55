//! The simulated host of one node: its process, its disk, its store.
//!
//! It does for a node what a server does: carries out disk work in order, with group commit. A write is
//! applied at once, into the page cache; a sync takes virtual time, and completes what was written when
//! it began. A crash between the two finds unsynced bytes. (The disk takes the sync at its end, so what
//! was written meanwhile is then durable too, and nobody is told.)

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, LogStore, StoreError, StoreOp};
use hstore_core::{LogId, Lsn, NodeId, Rng, Timestamp};
use hstore_node::Node;
use hstore_replicator::config::ClusterConfig;
use hstore_replicator::effects::{DiskDone, DiskRequest, DiskToken, DiskWork, Durability, Outputs};
use hstore_tier1::rocks::BackgroundWork;
use hstore_tier1::rocks::hosted::env::Host as RocksHost;

use crate::disk::{FileOp, PowerLoss, SharedDisk, SimDisk};
use crate::options::{Engine, StoreOptions};
use crate::store::Store;

/// A host.
#[derive(Debug)]
pub struct Host {
    /// Its node's number.
    pub id: NodeId,
    disk: SharedDisk,
    engine: Engine,
    store_options: StoreOptions,
    process: Option<Process>,
    /// Counts the processes: what was begun for an older one is dropped.
    life: u64,
    /// When the node's timer is set for.
    pub timer: Option<Timestamp>,
    /// The process stands still.
    pub paused: bool,
    /// Syncs take so many times as long.
    pub slow: u32,
    /// What is durable, for those who look inside.
    durable: BTreeSet<(LogId, Lsn)>,
}

#[derive(Debug)]
struct Process {
    node: Node,
    store: Store,
    /// Written and not covered by a sync that ended.
    written: Vec<Written>,
    /// How many of `written` the running sync covers.
    syncing: Option<usize>,
}

#[derive(Debug)]
struct Written {
    token: DiskToken,
    applied: Vec<Applied>,
    /// Whether its completion waits for the sync.
    awaited: bool,
    batch: Vec<StoreOp>,
}

/// What follows from disk work.
#[derive(Debug)]
pub enum Follows {
    /// A request is complete, after so many microseconds.
    Done(DiskToken, DiskDone, u64),
    /// A sync began; [`Host::sync_ends`] is to be called when it ends.
    SyncBegins,
}

/// A durable piece of metadata, for those who look inside.
pub type Metadata = (Bytes, Bytes);

impl Host {
    /// A host with an empty disk and no process.
    #[must_use]
    pub fn new(id: NodeId, engine: Engine, store_options: StoreOptions) -> Self {
        Self {
            id,
            disk: SharedDisk::new(SimDisk::new()),
            engine,
            store_options,
            process: None,
            life: 0,
            timer: None,
            paused: false,
            slow: 1,
            durable: BTreeSet::new(),
        }
    }

    /// The life that counts now.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Whether a process runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The node, if a process runs.
    #[must_use]
    pub fn node(&self) -> Option<&Node> {
        self.process.as_ref().map(|process| &process.node)
    }

    /// The node, if a process runs.
    pub fn node_mut(&mut self) -> Option<&mut Node> {
        self.process.as_mut().map(|process| &mut process.node)
    }

    /// Whether a copy at this LSN would survive a power failure now.
    #[must_use]
    pub fn has_durable(&self, log: LogId, lsn: Lsn) -> bool {
        self.durable.contains(&(log, lsn))
    }

    /// What the process's store has written in the background.
    #[must_use]
    pub fn background_work(&self) -> BackgroundWork {
        let process = self.process.as_ref();
        process.map_or_else(BackgroundWork::default, |process| {
            process.store.background_work()
        })
    }

    /// Starts a process on what the disk holds.
    ///
    /// # Errors
    /// If the store cannot be opened: a fault, or a bug of the store.
    pub fn start(
        &mut self,
        config: &Arc<ClusterConfig>,
        now: Timestamp,
        seed: u64,
        out: &mut Outputs,
    ) -> Result<Vec<Metadata>, StoreError> {
        assert!(self.process.is_none(), "one process at a time");
        self.life += 1;
        let rocks_host = RocksHost {
            now,
            identity: seed | 1,
        };
        let disk = self.disk.mount();
        let mut store = Store::open(disk, self.engine, self.store_options, rocks_host)?;
        let metadata = store.metadata()?;
        let node = Node::boot(self.id, Arc::clone(config), seed, &metadata, out)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        let logs = config.logs.keys().copied();
        self.durable = store.places(logs)?.into_iter().collect();
        self.timer = None;
        self.process = Some(Process {
            node,
            store,
            written: Vec::new(),
            syncing: None,
        });
        Ok(metadata)
    }

    /// The power fails: the process ends, and with it everything unsynced is at the mercy of the disk.
    pub fn power_fail(&mut self, rng: &mut Rng) -> PowerLoss {
        let loss = self.disk.lock().power_fail(rng);
        // What the store does on its way out no longer reaches the disk.
        self.process = None;
        self.life += 1;
        self.timer = None;
        loss
    }

    /// From the `after`-th file operation on, all fail, as if the power had.
    pub fn arm_crash(&mut self, after: u32) {
        self.disk.lock().arm_crash(u64::from(after) - 1);
    }

    /// Calls an armed crash off that has not struck.
    pub fn disarm_crash(&mut self) {
        self.disk.lock().disarm_crash();
    }

    /// Whether an armed crash has struck.
    #[must_use]
    pub fn crash_struck(&self) -> bool {
        self.disk.lock().crashed()
    }

    /// The file operations since the last call.
    #[must_use]
    pub fn drain_file_operations(&mut self) -> Vec<FileOp> {
        self.disk.lock().drain_ops().collect()
    }

    /// Begins disk work.
    ///
    /// # Errors
    /// If a file operation failed. The process must not go on.
    pub fn begin(
        &mut self,
        request: DiskRequest,
        read_us: u64,
        follows: &mut Vec<Follows>,
    ) -> Result<(), StoreError> {
        let process = self.process.as_mut().expect("a process asked");
        let token = request.token;
        match request.work {
            DiskWork::Write { batch, until } => {
                let applied = process.store.apply(&batch)?;
                let awaited = until == Durability::Synced;
                if !awaited {
                    follows.push(Follows::Done(token, DiskDone::Wrote(applied.clone()), 1));
                }
                process.written.push(Written {
                    token,
                    applied,
                    awaited,
                    batch,
                });
                if process.syncing.is_none() {
                    process.syncing = Some(process.written.len());
                    follows.push(Follows::SyncBegins);
                }
            }
            DiskWork::Read {
                log,
                first,
                last,
                limit,
            } => {
                let scan = process.store.scan(log, first, last, limit)?;
                let done = DiskDone::Read {
                    copies: scan.copies,
                    passed: scan.passed,
                };
                follows.push(Follows::Done(token, done, read_us));
            }
        }
        Ok(())
    }

    /// The running sync ends: what it covers is durable. Begins the next one if more was written since.
    ///
    /// # Errors
    /// If the sync failed. The process must not go on.
    pub fn sync_ends(&mut self, follows: &mut Vec<Follows>) -> Result<Vec<Metadata>, StoreError> {
        let process = self.process.as_mut().expect("a process asked");
        process.store.sync()?;
        let covered = process.syncing.take().expect("a sync was running");
        let mut metadata = Vec::new();
        for written in process.written.drain(..covered) {
            for op in written.batch {
                match op {
                    StoreOp::Put { log, lsn, .. } => {
                        self.durable.insert((log, lsn));
                    }
                    StoreOp::DeleteRange { log, first, last } => {
                        let gone: Vec<_> = self
                            .durable
                            .range((log, first)..=(log, last))
                            .copied()
                            .collect();
                        for key in gone {
                            self.durable.remove(&key);
                        }
                    }
                    StoreOp::PutMeta { key, value } => metadata.push((key, value)),
                    StoreOp::Amend { .. } => {}
                }
            }
            if written.awaited {
                let done = DiskDone::Wrote(written.applied);
                follows.push(Follows::Done(written.token, done, 0));
            }
        }
        if !process.written.is_empty() {
            process.syncing = Some(process.written.len());
            follows.push(Follows::SyncBegins);
        }
        Ok(metadata)
    }
}
