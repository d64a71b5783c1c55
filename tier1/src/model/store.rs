//! A durable log store: the state in memory, each batch in a write-ahead file before it is applied.
//!
//! It is not an engine for large stores: all copies are held in memory, and each open writes them
//! all. In exchange every step of it can be followed, and every crash of it tried. The byte layout
//! is drawn in [`frame`](super::frame), the files and their order in
//! [`generation`](super::generation).
//!
//! One `apply` is one append to the write-ahead file; one `sync` is one sync of it, and now and then
//! a new generation. One open replays the current generation and begins the next, so nothing is ever
//! appended behind an end that was cut, and nothing is trusted to be durable because it could be
//! read: what a failed sync left in a page cache is written again.
//!
//! # Invariants
//!
//! - `synced <= sequence`, and both only rise.
//! - The state is the outcome of the batches up to `sequence`.
//! - After a failed file operation the store accepts nothing. A failed sync is not tried again: the
//!   second one could succeed without having written what the first one lost.

use bytes::Bytes;
use hstore_core::Lsn;
use hstore_core::planted;
use hstore_core::ports::file_system::{FileId, FileSystem};
use hstore_core::ports::log_store::{Applied, LogStore, Scan, StoreError, StoreOp};
use hstore_core::{LogId, probe};

use super::frame::{self, Kind, Label};
use super::generation::{self, Directory, Replayed};
use super::state::ModelState;
use crate::root::create_durable_directory;

/// What may be chosen when a model store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelStoreOptions {
    /// A sync that finds the write-ahead file longer than this begins a new generation.
    pub wal_bytes_max: u64,
}

impl Default for ModelStoreOptions {
    fn default() -> Self {
        Self {
            wal_bytes_max: 64 << 20,
        }
    }
}

/// What an open found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The generation that was current, or 0 if the store is new.
    pub generation: u64,
    /// The number of the last batch that survived, or 0 if there was none.
    pub sequence: u64,
    /// How many batches were replayed from the write-ahead file.
    pub replayed: u64,
    /// How many bytes of torn end were cut from it.
    pub cut_bytes: u64,
}

/// A [`LogStore`] in one directory of a [`FileSystem`].
#[derive(Debug)]
pub struct ModelStore<F> {
    /// Where the files are.
    files: F,
    /// The store's directory.
    directory: String,
    /// What was chosen at open.
    options: ModelStoreOptions,
    /// The outcome of all batches so far.
    state: ModelState,
    /// The current generation.
    generation: u64,
    /// Its write-ahead file.
    wal: FileId,
    /// How long that is.
    wal_bytes: u64,
    /// The number of the last batch.
    sequence: u64,
    /// The number of the last batch that is durable.
    synced: u64,
    /// How long the write-ahead file was up to the last durable batch, when the last batch was logged.
    testified_by_last: u64,
    /// See [`ModelStore::testified`].
    testified: u64,
    /// How long the write-ahead file was when it was last synced.
    synced_bytes: u64,
    /// Whether a file operation failed, or is under way.
    poisoned: bool,
    /// The frame of the batch being applied; kept for its allocation.
    frame: Vec<u8>,
    /// What the open found.
    recovered: Recovered,
}

impl<F: FileSystem> ModelStore<F> {
    /// Opens the store in `directory` (`""` is the root), and creates it if there is none.
    ///
    /// # Errors
    /// If a file operation fails, or what is stored is damaged.
    pub fn open(files: F, directory: &str) -> Result<Self, StoreError> {
        Self::open_with(files, directory, ModelStoreOptions::default())
    }

    /// [`ModelStore::open`] with other than the default options.
    ///
    /// # Errors
    /// As [`ModelStore::open`].
    pub fn open_with(
        mut files: F,
        directory: &str,
        options: ModelStoreOptions,
    ) -> Result<Self, StoreError> {
        create_durable_directory(&mut files, directory)?;
        let found = Directory::read(&mut files, directory)?;
        let (state, recovered) = recover(&mut files, directory, &found)?;
        probe!(
            "model-store.checkpoint-half-written",
            !found.temporaries.is_empty()
        );
        probe!("model-store.two-generations", found.checkpoints.len() > 1);
        let generation = found.unused();
        let wal = generation::begin(
            &mut files,
            directory,
            generation,
            &state,
            recovered.sequence,
        )?;
        generation::remove_others(&mut files, directory, &found, generation)?;
        Ok(Self {
            files,
            directory: directory.to_owned(),
            options,
            state,
            generation,
            wal,
            wal_bytes: 0,
            sequence: recovered.sequence,
            synced: recovered.sequence,
            testified_by_last: 0,
            testified: 0,
            synced_bytes: 0,
            poisoned: false,
            frame: Vec::new(),
            recovered,
        })
    }

    /// What the open found.
    #[must_use]
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// The outcome of all batches so far.
    #[must_use]
    pub fn state(&self) -> &ModelState {
        &self.state
    }

    /// The number of the last batch. Batches are counted from 1 over the whole life of the store;
    /// those that a crash took were not counted. Empty batches are not counted.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The number of the last batch that is durable.
    #[must_use]
    pub fn synced(&self) -> u64 {
        self.synced
    }

    /// The write-ahead file, and up to which byte of it a durable batch further on says that it was
    /// durable. Damage there is told from a torn end; damage between this and what was synced last is
    /// not (see [`frame`](super::frame)).
    #[must_use]
    pub fn testified(&self) -> (String, u64) {
        let path = generation::wal_path(&self.directory, self.generation);
        (path, self.testified)
    }

    /// The file system. Writing to the store's own files is not its user's business.
    pub fn file_system(&mut self) -> &mut F {
        &mut self.files
    }

    /// Closes the store without syncing it.
    pub fn close(mut self) -> F {
        self.files.close(self.wal);
        self.files
    }

    /// Runs an operation that may leave the store poisoned: it stays so unless the operation
    /// succeeds.
    fn guarded<T>(
        &mut self,
        operate: impl FnOnce(&mut Self) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.refuse_if_poisoned()?;
        self.poisoned = true;
        let done = operate(self)?;
        self.poisoned = false;
        Ok(done)
    }

    fn refuse_if_poisoned(&self) -> Result<(), StoreError> {
        if self.poisoned {
            return Err(StoreError::Poisoned);
        }
        Ok(())
    }

    fn log(&mut self, batch: &[StoreOp]) -> Result<(), StoreError> {
        let sequence = self.sequence + 1;
        let label = Label {
            kind: Kind::Batch,
            sequence,
            synced: self.synced,
        };
        frame::write(
            &mut self.frame,
            self.generation,
            self.wal_bytes,
            label,
            |out| generation::encode(batch, out),
        );
        self.files.append(self.wal, &self.frame)?;
        self.testified_by_last = self.synced_bytes;
        self.wal_bytes += self.frame.len() as u64;
        self.sequence = sequence;
        Ok(())
    }

    fn sync_log(&mut self) -> Result<(), StoreError> {
        self.files.sync(self.wal)?;
        self.synced = self.sequence;
        self.testified = self.testified_by_last;
        self.synced_bytes = self.wal_bytes;
        Ok(())
    }

    fn generation_is_due(&self) -> bool {
        self.wal_bytes > self.options.wal_bytes_max
    }

    /// Begins a new generation with the state as it is.
    fn begin_generation(&mut self) -> Result<(), StoreError> {
        assert_eq!(self.synced, self.sequence, "a checkpoint follows a sync");
        let next = self.generation + 1;
        let wal = generation::begin(
            &mut self.files,
            &self.directory,
            next,
            &self.state,
            self.sequence,
        )?;
        self.files.close(self.wal);
        let left = Directory {
            checkpoints: vec![self.generation],
            wals: vec![self.generation],
            temporaries: Vec::new(),
        };
        generation::remove_others(&mut self.files, &self.directory, &left, next)?;
        self.generation = next;
        self.wal = wal;
        self.wal_bytes = 0;
        (self.testified_by_last, self.testified, self.synced_bytes) = (0, 0, 0);
        Ok(())
    }
}

/// The state that the files hold.
fn recover(
    files: &mut impl FileSystem,
    directory: &str,
    found: &Directory,
) -> Result<(ModelState, Recovered), StoreError> {
    let current = found.current();
    for later in found.wals.iter().filter(|wal| Some(**wal) > current) {
        let path = generation::wal_path(directory, *later);
        if !generation::read_file(files, &path)?.is_empty() {
            return Err(StoreError::Damaged(format!(
                "`{path}` holds batches and its checkpoint is gone"
            )));
        }
    }
    let Some(current) = current else {
        return Ok((ModelState::default(), Recovered::default()));
    };
    if !found.wals.contains(&current) {
        return Err(StoreError::Damaged(format!(
            "`{}` is gone",
            generation::wal_path(directory, current)
        )));
    }
    let (mut state, covered) = generation::read_checkpoint(files, directory, current)?;
    let Replayed { last, cut_bytes } =
        generation::replay(files, directory, current, &mut state, covered)?;
    let recovered = Recovered {
        generation: current,
        sequence: last,
        replayed: last - covered,
        cut_bytes,
    };
    Ok((state, recovered))
}

impl<F: FileSystem> LogStore for ModelStore<F> {
    fn apply(&mut self, batch: &[StoreOp]) -> Result<Vec<Applied>, StoreError> {
        self.guarded(|store| {
            if batch.is_empty() {
                return Ok(Vec::new());
            }
            store.log(batch)?;
            // A checkpoint holds all that it says it covers, so none is made before this is applied.
            if store.generation_is_due() && checkpoints_before_applying() {
                store.sync_log()?;
                store.begin_generation()?;
            }
            Ok(store.state.apply(batch))
        })
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.guarded(|store| {
            store.sync_log()?;
            if store.generation_is_due() {
                store.begin_generation()?;
            }
            Ok(())
        })
    }

    fn scan(
        &mut self,
        log: LogId,
        first: Lsn,
        last: Lsn,
        limit: usize,
    ) -> Result<Scan, StoreError> {
        self.refuse_if_poisoned()?;
        Ok(self.state.scan(log, first, last, limit))
    }

    fn metadata(&mut self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        self.refuse_if_poisoned()?;
        Ok(self.state.metadata())
    }
}
/// A planted bug's: a checkpoint passes a batch that is logged and not applied. Neither generic nor inlined, so
/// that it is in the object code of this crate, where it is looked for.
#[inline(never)]
fn checkpoints_before_applying() -> bool {
    planted!("replay-past-unapplied")
}
