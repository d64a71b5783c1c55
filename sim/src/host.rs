//! The simulated host of one node: its process, its disk, its store.
//!
//! It does for a node what a server does: carries out disk work in order, with group commit. A write is
//! applied at once, into the page cache; a sync takes virtual time, and completes what was written when
//! it began. A crash between the two finds unsynced bytes. (The disk takes the sync at its end, so what
//! was written meanwhile is then durable too, and nobody is told.)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, LogStore, StoreError, StoreOp};
use hstore_core::{Entry, Epoch, LogId, Lsn, NodeId, Rng, Timestamp};
use hstore_node::{Node, Tiering};
use hstore_replicator::boot::Past;
use hstore_replicator::config::ClusterConfig;
use hstore_replicator::effects::{DiskDone, DiskRequest, DiskToken, DiskWork, Durability, Outputs};
use hstore_replicator::keys::dirty_epoch;
use hstore_tier1::rocks::BackgroundWork;
use hstore_tier1::rocks::hosted::env::Host as RocksHost;

use crate::clock::NodeClock;
use crate::coverage::Life;
use crate::disk::{
    DiskFault, FaultId, FileClass, FileOp, PowerLoss, SECTOR_BYTES, SharedDisk, SimDisk,
};
use crate::extend::SharedOpenStore;
use crate::next::Build;
use crate::options::{Engine, StoreOptions};
use crate::picture::DiskPicture;
use crate::plan::FlipPlace;
use crate::store::{OwnStore, Store};

/// A host.
#[derive(Debug)]
pub struct Host {
    /// Its node's number.
    pub id: NodeId,
    disk: SharedDisk,
    engine: Engine,
    store_options: StoreOptions,
    /// A store that was added, instead of the engine.
    own_store: Option<SharedOpenStore>,
    process: Option<Process>,
    /// Counts the processes: what was begun for an older one is dropped.
    life: u64,
    /// When the node's timer is set for.
    pub timer: Option<Timestamp>,
    /// The process stands still.
    pub paused: bool,
    /// Syncs take so many times as long.
    pub slow: u32,
    /// The clocks of the machine.
    pub clock: NodeClock,
    /// The build of the product that is installed: the next process runs it.
    pub build: Build,
    /// What is durable, for those who look inside.
    durable: BTreeSet<(LogId, Lsn)>,
    /// Up to where everything was given up, durably.
    given_up: BTreeMap<LogId, Lsn>,
    /// Of that, what no later write may have deleted: the next process has to find it.
    kept: BTreeSet<(LogId, Lsn)>,
    /// Epochs of which copies may be answered unsynced: they are marked as dirty, maybe durably.
    dirty: BTreeSet<(LogId, Epoch)>,
    /// How many faults have its disk stand still.
    pub stalls: u32,
    /// Files of which something durable went bad.
    damaged: BTreeSet<String>,
    /// The disk was replaced by an empty one.
    wiped: bool,
    /// What whoever starts the process knows: whether it has run before.
    past: Past,
}

/// What a process found when it started.
#[derive(Debug)]
pub struct Found {
    /// All metadata.
    pub metadata: Vec<Metadata>,
    /// Copies that were durable and are gone.
    pub lost: Vec<(LogId, Lsn)>,
}

#[derive(Debug)]
struct Process {
    node: Node,
    store: Store,
    build: Build,
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
            own_store: None,
            process: None,
            life: 0,
            timer: None,
            paused: false,
            slow: 1,
            clock: NodeClock::default(),
            build: Build::default(),
            durable: BTreeSet::new(),
            given_up: BTreeMap::new(),
            kept: BTreeSet::new(),
            dirty: BTreeSet::new(),
            stalls: 0,
            damaged: BTreeSet::new(),
            wiped: false,
            past: Past::Blank,
        }
    }

    /// From the next start on, what the node holds is kept in this store.
    pub fn keep_in(&mut self, store: SharedOpenStore) {
        self.own_store = Some(store);
    }

    /// The life that counts now.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Whether its process works.
    #[must_use]
    pub fn works(&self) -> Life {
        match (self.is_up(), self.paused) {
            (false, _) => Life::Down,
            (true, true) => Life::Paused,
            (true, false) => Life::Up,
        }
    }

    /// Whether a process runs.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.process.is_some()
    }

    /// The build that runs; the one that is installed if none does.
    #[must_use]
    pub fn runs(&self) -> Build {
        self.process.as_ref().map_or(self.build, |it| it.build)
    }

    /// The highest LSN of a log of which a durable copy is here.
    #[must_use]
    pub fn newest_durable(&self, log: LogId) -> Option<Lsn> {
        let of_log = self.durable.range((log, Lsn::MIN)..=(log, Lsn::MAX));
        of_log.last().map(|(_, lsn)| *lsn)
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

    /// Whether a copy at this LSN would survive a power failure now, or was given up: a deposed
    /// sequencer may be late to hear that a record is stored which others have trimmed meanwhile.
    #[must_use]
    pub fn has_durable(&self, log: LogId, lsn: Lsn) -> bool {
        let given_up = self.given_up.get(&log).is_some_and(|trim| lsn <= *trim);
        given_up || self.durable.contains(&(log, lsn))
    }

    /// Whether the process has a copy at this LSN that was answered or may be, durable or not.
    #[must_use]
    pub fn has_copy(&self, log: LogId, lsn: Lsn) -> bool {
        let is_it = |op: &StoreOp| matches!(op, StoreOp::Put { log: l, lsn: at, .. } if (*l, *at) == (log, lsn));
        let mut written = self.process.iter().flat_map(|it| &it.written);
        self.has_durable(log, lsn) || written.any(|written| written.batch.iter().any(is_it))
    }

    /// Epochs of which a power failure now would take copies, or the certainty that none is gone.
    /// `is_clean` tells epochs that are recovered: of these nobody will ask what there is.
    pub fn in_memory(&self, is_clean: impl Fn(LogId, Epoch) -> bool) -> BTreeSet<(LogId, Epoch)> {
        let unsynced = |key: &(LogId, Epoch)| {
            let is_of = |op: &StoreOp| matches!(op, StoreOp::Put { log, lsn, .. } if (*log, lsn.epoch) == *key);
            let mut written = self.process.iter().flat_map(|it| &it.written);
            written.any(|written| written.batch.iter().any(is_of))
        };
        let dirty = self.dirty.iter().copied();
        dirty
            .filter(|key| !is_clean(key.0, key.1) || unsynced(key))
            .collect()
    }

    /// Whether something durable went bad in a file that is still there, or all is gone.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        if self.wiped || self.damaged.is_empty() {
            return self.wiped;
        }
        let files = self.disk.lock().durable_files();
        files.iter().any(|(path, _)| self.damaged.contains(path))
    }

    /// Operations of the disk fail from now on, as the fault says.
    pub fn inject(&mut self, id: FaultId, fault: DiskFault) {
        self.disk.lock().inject(id, fault);
    }

    /// A fault that was injected is over.
    pub fn lift(&mut self, id: FaultId) {
        self.disk.lock().lift(id);
    }

    /// The injected faults that have made an operation fail since this was last called.
    #[must_use]
    pub fn drain_struck(&mut self) -> Vec<FaultId> {
        self.disk.lock().drain_struck()
    }

    /// Whether the device has failed an operation of this process.
    #[must_use]
    pub fn failed_by_device(&self) -> bool {
        !self.disk.lock().failed().is_empty()
    }

    /// A sync of this process that the device has failed.
    #[must_use]
    pub fn failed_sync(&self) -> Option<Arc<str>> {
        let disk = self.disk.lock();
        let mut failed = disk.failed().iter();
        let sync = failed.find(|(kind, _)| kind.makes_durable());
        sync.map(|(_, path)| path.clone())
    }

    /// Puts an empty disk in the place of the one there is. No process runs.
    pub fn wipe(&mut self) {
        assert!(self.process.is_none(), "what it held is lost first");
        self.disk.lock().wipe();
        self.wiped = true;
    }

    /// Flips a bit of the payload of a durable copy, beneath the checksums of the store. Returns the payload
    /// as it was; `None` if there is no such copy.
    ///
    /// # Errors
    /// If a file operation failed. The process must not go on.
    pub fn flip_copy(
        &mut self,
        log: LogId,
        lsn: Lsn,
        pick: u64,
    ) -> Result<Option<Bytes>, StoreError> {
        let Some(process) = &mut self.process else {
            return Ok(None);
        };
        let mut scan = process.store.scan(log, lsn, lsn, 1)?;
        let Some((_, Ok(mut copy))) = scan.copies.pop() else {
            return Ok(None);
        };
        let Entry::Record(stamped) = &mut copy.entry else {
            return Ok(None);
        };
        let sound = stamped.record.payload.clone();
        let mut payload = stamped.record.payload.to_vec();
        let bits = payload.len() as u64 * 8;
        if bits == 0 {
            return Ok(None);
        }
        payload[(pick % bits / 8) as usize] ^= 1 << (pick % 8);
        stamped.record.payload = payload.into();
        process.store.apply(&[StoreOp::Put { log, lsn, copy }])?;
        Ok(Some(sound))
    }

    /// A durable record of which a copy is here, if there is any.
    #[must_use]
    pub fn pick_copy(&self, pick: u64) -> Option<(LogId, Lsn)> {
        let count = self.durable.len() as u64;
        let at = pick.checked_rem(count)?;
        self.durable.iter().nth(at as usize).copied()
    }

    /// The newest durable record of a log of which a copy is here, if there is any.
    #[must_use]
    pub fn pick_newest_copy(&self, pick: u64) -> Option<(LogId, Lsn)> {
        let logs: BTreeMap<LogId, Lsn> = self.durable.iter().copied().collect();
        let at = pick.checked_rem(logs.len() as u64)?;
        logs.into_iter().nth(at as usize)
    }

    /// Flips a durable bit of a file that the store checks. Returns the file, if there was one.
    pub fn flip_file(&mut self, place: FlipPlace, pick: u64) -> Option<String> {
        let candidates = match place {
            FlipPlace::Copy | FlipPlace::NewestCopy => return None,
            FlipPlace::Log => self.checked_log(),
            FlipPlace::Table => self.checked_tables(),
        };
        let (path, byte) = pick_byte(candidates, pick)?;
        let flipped = self.disk.lock().flip_bit(&path, byte, (pick >> 56) as u8);
        flipped.then(|| {
            self.damaged.insert(path.clone());
            path
        })
    }

    /// A durable sector was written over another one, both of files that the store checks. Returns from
    /// where to where, if there were two.
    pub fn misdirect(&mut self, from: u64, to: u64, shows: bool) -> Option<[(String, u64); 2]> {
        // Whole sectors: what testifies to their content stands behind them, and stays.
        let whole = |length: u64| length / SECTOR_BYTES as u64 * SECTOR_BYTES as u64;
        let log = self.checked_log().into_iter();
        let mut candidates: Vec<_> = log.map(|(path, length)| (path, whole(length))).collect();
        candidates.extend(self.checked_tables());
        let sector = |(path, byte)| (path, byte / SECTOR_BYTES as u64);
        let from = sector(pick_byte(candidates.clone(), from)?);
        let to = sector(pick_byte(candidates, to)?);
        let mut disk = self.disk.lock();
        let misdirected = disk.misdirect((&from.0, from.1), (&to.0, to.1), shows);
        drop(disk);
        misdirected.then(|| {
            self.damaged.extend([from.0.clone(), to.0.clone()]);
            [from, to]
        })
    }

    /// A durable sector of a file of the store cannot be read from now on. Returns which, if there was one.
    pub fn make_unreadable(&mut self, pick: u64) -> Option<(String, u64)> {
        let files = self.disk.lock().durable_files().into_iter();
        let candidates = files.filter(|(path, _)| FileClass::of(path).is_some());
        let (path, byte) = pick_byte(candidates.collect(), pick)?;
        let sector = byte / SECTOR_BYTES as u64;
        let made = self.disk.lock().make_unreadable(&path, sector);
        made.then(|| {
            self.damaged.insert(path.clone());
            (path, sector)
        })
    }

    /// The write-ahead log as far as the store tells damage of it from a torn end: path and length.
    fn checked_log(&self) -> Vec<(String, u64)> {
        let process = self.process.iter();
        process
            .filter_map(|it| it.store.log_that_tells_damage())
            .collect()
    }

    /// The tables and checkpoints, with how much of each is durable.
    fn checked_tables(&self) -> Vec<(String, u64)> {
        // Nobody knows which files of a store of one's own are checked.
        if self.own_store.is_some() {
            return Vec::new();
        }
        let files = self.disk.lock().durable_files().into_iter();
        files
            .filter(|(path, _)| Store::is_table(self.engine, path))
            .collect()
    }

    /// The places of the copies of a log that are here, durable or not, above an LSN.
    pub fn copies_after(&self, log: LogId, lsn: Lsn) -> impl Iterator<Item = Lsn> {
        let durable = self.durable.range((log, lsn)..=(log, Lsn::MAX));
        let written = self.process.iter().flat_map(|it| &it.written);
        let put = move |op: &StoreOp| match op {
            StoreOp::Put { log: of, lsn, .. } if *of == log => Some(*lsn),
            _ => None,
        };
        let written = written.flat_map(|it| &it.batch).filter_map(put);
        let all = durable.map(|(_, at)| *at).chain(written);
        all.filter(move |at| *at > lsn)
    }

    /// How many durable copies of a log are here.
    #[must_use]
    pub fn copies(&self, log: LogId) -> usize {
        self.durable
            .range((log, Lsn::MIN)..=(log, Lsn::MAX))
            .count()
    }

    /// What the disk looks like.
    #[must_use]
    pub fn disk_picture(&self) -> DiskPicture {
        let disk = self.disk.lock();
        let files = disk.durable_files();
        let process = self.process.as_ref();
        DiskPicture {
            files: files.len(),
            durable_bytes: files.iter().map(|(_, bytes)| bytes).sum(),
            unsynced_bytes: disk.unsynced_bytes(),
            unsynced_names: disk.unsynced_names(),
            unsynced_batches: process.map_or(0, |it| it.written.len()),
            syncing: process.is_some_and(|it| it.syncing.is_some()),
            slow: self.slow,
        }
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
        tiering: Option<Arc<Tiering>>,
        now: Timestamp,
        seed: u64,
        out: &mut Outputs,
    ) -> Result<Found, StoreError> {
        assert!(self.process.is_none(), "one process at a time");
        self.life += 1;
        let rocks_host = RocksHost {
            now,
            identity: seed | 1,
        };
        let disk = self.disk.mount();
        let mut store = match &self.own_store {
            None => Store::open(disk, self.engine, self.store_options, rocks_host)?,
            Some(own) => Store::Own(OwnStore(own.open(disk)?)),
        };
        let metadata = store.metadata()?;
        let build = self.build;
        build
            .check_stored(&metadata)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        let (id, past, config) = (self.id, self.past, Arc::clone(config));
        let node = Node::boot(id, Arc::clone(&config), tiering, seed, &metadata, past, out)
            .map_err(|error| StoreError::Damaged(error.to_string()))?;
        let logs = config.logs.keys().copied();
        let given_up = |log| node.trim(log).max(node.handed(log));
        self.given_up = logs.clone().map(|log| (log, given_up(log))).collect();
        self.durable = store.places(logs)?.into_iter().collect();
        let lost = self.kept.difference(&self.durable).copied().collect();
        self.kept.clone_from(&self.durable);
        let dirty = metadata.iter().filter_map(|(k, v)| dirty_epoch(k, v));
        self.dirty = dirty.collect();
        self.timer = None;
        self.process = Some(Process {
            node,
            store,
            build,
            written: Vec::new(),
            syncing: None,
        });
        Ok(Found { metadata, lost })
    }

    /// The power fails: the process ends, and with it everything unsynced is at the mercy of the disk.
    /// Without `rng` there is no mercy.
    pub fn power_fail(&mut self, rng: Option<&mut Rng>) -> PowerLoss {
        let mut disk = self.disk.lock();
        let loss = match rng {
            Some(rng) => disk.power_fail(rng),
            None => disk.power_fail_to_synced(),
        };
        drop(disk);
        // What the store does on its way out no longer reaches the disk.
        self.process = None;
        self.life += 1;
        self.timer = None;
        loss
    }

    /// The process ends, the machine goes on: what it wrote is still cached.
    pub fn exit(&mut self) {
        self.disk.lock().process_exit();
        // As when the power fails.
        self.process = None;
        self.life += 1;
        self.timer = None;
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
            DiskWork::Write { mut batch, until } => {
                let asked = batch.len();
                process.build.store(&mut batch);
                // First: if the power fails inside the write, it may happen all the same.
                for op in &batch {
                    match op {
                        StoreOp::DeleteRange { log, first, last } => {
                            remove_range(&mut self.kept, *log, *first, *last);
                        }
                        StoreOp::PutMeta { key, value } => {
                            self.dirty.extend(dirty_epoch(key, value));
                        }
                        StoreOp::Put { .. } | StoreOp::Replace { .. } | StoreOp::Amend { .. } => {}
                    }
                }
                let mut applied = process.store.apply(&batch)?;
                applied.truncate(asked);
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
                // What nobody waits for is synced along with what somebody does.
                if process.syncing.is_none() && awaited {
                    process.syncing = Some(process.written.len());
                    follows.push(Follows::SyncBegins);
                }
            }
            read => {
                let done = read.read(&mut process.store)?;
                let done = done.expect("it is no write");
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
        // Before anything else a node makes durable that it lives.
        self.past = Past::Lived;
        let covered = process.syncing.take().expect("a sync was running");
        let mut metadata = Vec::new();
        for written in process.written.drain(..covered) {
            for op in written.batch {
                match op {
                    StoreOp::Put { log, lsn, .. } | StoreOp::Replace { log, lsn, .. } => {
                        self.durable.insert((log, lsn));
                        self.kept.insert((log, lsn));
                    }
                    StoreOp::DeleteRange { log, first, last } => {
                        if first == Lsn::MIN {
                            self.given_up.insert(log, last);
                        }
                        remove_range(&mut self.durable, log, first, last);
                        remove_range(&mut self.kept, log, first, last);
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
        // The disk took these with the sync, too, or a power failure may: they may be done.
        for op in process.written.iter().flat_map(|it| &it.batch) {
            if let StoreOp::DeleteRange { log, first, last } = op {
                remove_range(&mut self.kept, *log, *first, *last);
            }
        }
        if process.written.iter().any(|written| written.awaited) {
            process.syncing = Some(process.written.len());
            follows.push(Follows::SyncBegins);
        }
        Ok(metadata)
    }
}

/// One of the bytes of these files, given with their lengths; `None` if there are none.
fn pick_byte(files: Vec<(String, u64)>, pick: u64) -> Option<(String, u64)> {
    let bytes: u64 = files.iter().map(|(_, length)| length).sum();
    let mut byte = pick.checked_rem(bytes)?;
    for (path, length) in files {
        if byte < length {
            return Some((path, byte));
        }
        byte -= length;
    }
    None
}

fn remove_range(places: &mut BTreeSet<(LogId, Lsn)>, log: LogId, first: Lsn, last: Lsn) {
    let gone: Vec<_> = places.range((log, first)..=(log, last)).copied().collect();
    for key in gone {
        places.remove(&key);
    }
}
