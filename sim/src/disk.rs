//! The simulated disk: the file-system port over a page cache, durable sectors, and a journal of
//! names.
//!
//! What is written is read back at once, and is durable once it was synced. A power failure
//! ([`SimDisk::power_fail`]) decides from a seed what of the rest is left, within what the port
//! allows:
//!
//! - each sector of [`SECTOR_BYTES`] that was not synced is as it was at the last sync, as it was
//!   last written, or torn: a prefix as last written, the rest as at the last sync; or it was just being
//!   written, and holds garbage where it was not synced;
//! - a file's length is anything between the least and the greatest it had to choose from;
//! - of the changes of names that no directory sync made durable, the latest few are undone.
//!
//! A failure can be planned inside a call of whoever uses the disk: [`SimDisk::arm_crash`] names the
//! file operation at which the power goes. That operation may have happened or not, the later ones
//! do not, and all of them fail.
//!
//! Beside that a device may do wrong what the port does not allow:
//!
//! - operations fail ([`SimDisk::inject`]), and a sync that fails drops what it was to write;
//! - what is durable goes bad: a bit flips, a sector lands in the wrong place, a sector cannot be read.
//!   What went wrong beneath the page cache shows when the power has failed.
//!
//! All operations pass through one method (`perform`), and so do the faults. The disk does not know time:
//! whoever hosts it charges for the operations that it records ([`SimDisk::drain_ops`]), and says when a
//! fault begins and ends. It does not know threads.
//!
//! # Invariants
//!
//! - Without damage, nothing is lost that a sync which succeeded was to write, and nothing appears that was
//!   never written, but for zeros where a length survived without its bytes, and garbage in sectors that
//!   were being written.
//! - The same calls with the same generator lead to the same disk and the same record of operations.
//! - A file that was opened before a power failure or the end of its process is not open after it.

mod faults;
mod harm;
mod names;
mod operation;
mod pages;
mod shared;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::ports::file_system::{
    FileError, FileErrorKind, FileId, FileSystem, LockId, PathKind,
};
use hstore_core::{Rng, crc32c_append};

pub use faults::{DiskFault, FaultId, FileClass, Operations};
use faults::{Faults, UNREADABLE};
use names::{Inode, Names};
pub use operation::{FileOp, FileOpKind};
pub use shared::{MountedDisk, SharedDisk};

/// What a disk writes whole or in part, but never beyond.
pub const SECTOR_BYTES: usize = 512;

/// How many operations may be recorded between two calls of [`SimDisk::drain_ops`].
pub const OPS_MAX: usize = 1 << 20;

/// What a power failure did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize)]
pub struct PowerLoss {
    /// Files that had unsynced bytes.
    pub unsynced_files: u64,
    /// Bytes that were not synced.
    pub unsynced_bytes: u64,
    /// Unsynced sectors of which all is left.
    pub kept_sectors: u64,
    /// Unsynced sectors of which nothing is left.
    pub lost_sectors: u64,
    /// Unsynced sectors of which a part is left.
    pub torn_sectors: u64,
    /// Unsynced sectors that hold garbage.
    pub garbage_sectors: u64,
    /// Creations, renames and removals that were not synced.
    pub unsynced_names: u64,
    /// How many of those were undone.
    pub lost_names: u64,
}

impl PowerLoss {
    /// Whether anything was lost.
    #[must_use]
    pub fn lost_anything(&self) -> bool {
        self.lost_sectors + self.torn_sectors + self.garbage_sectors + self.lost_names > 0
    }
}

/// A disk.
#[derive(Debug)]
pub struct SimDisk {
    /// The files and what is open of them: all that operations change.
    medium: Medium,
    /// Whether there is power.
    power: Power,
    /// Counts power failures and ends of processes.
    incarnation: u64,
    /// The number of the next operation.
    next_op: u64,
    /// The operations since they were last drained.
    ops: Vec<FileOp>,
    /// What makes operations fail, if anything does or did.
    faults: Option<Box<Faults>>,
    /// What failed because of that, or of a sector that cannot be read, since the last power failure or end
    /// of a process.
    failed: Vec<(FileOpKind, Arc<str>)>,
}

/// What an operation is about.
#[derive(Clone, Debug)]
struct Subject<'a> {
    /// The path; `?` if the operation is on a file that is not open.
    path: Arc<str>,
    /// The file, if it is open.
    inode: Option<Inode>,
    /// What is to be appended to it.
    appends: &'a [u8],
}

/// What operations work on.
#[derive(Debug)]
struct Medium {
    /// The directory tree with the files' contents.
    names: Names,
    /// The files that are open.
    open: BTreeMap<FileId, OpenFile>,
    /// The files that are locked.
    locks: BTreeMap<LockId, OpenFile>,
    /// The number of the next file to be opened or locked. Numbers are never used again.
    next_file: u64,
}

#[derive(Clone, Debug)]
struct OpenFile {
    /// The file.
    inode: Inode,
    /// The path it was opened under.
    path: Arc<str>,
}

/// Whether there is power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    /// There is.
    On,
    /// There is for so many operations more.
    OnFor(u64),
    /// There is not, and an operation has noticed.
    Off,
}

/// Why an operation failed, short of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Failure {
    /// The kind.
    kind: FileErrorKind,
    /// The reason in words.
    detail: &'static str,
}

const POWER_FAILED: Failure = Failure {
    kind: FileErrorKind::Io,
    detail: "the power failed",
};

const NOT_OPEN: Failure = Failure {
    kind: FileErrorKind::Io,
    detail: "the file is not open; it was closed, or the life that opened it is over",
};

const LOCKED: Failure = Failure {
    kind: FileErrorKind::Locked,
    detail: "it is locked by this process",
};

impl Default for SimDisk {
    fn default() -> Self {
        Self::new()
    }
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self {
            medium: Medium {
                names: Names::new(),
                open: BTreeMap::new(),
                locks: BTreeMap::new(),
                next_file: 0,
            },
            power: Power::On,
            incarnation: 0,
            next_op: 0,
            ops: Vec::new(),
            faults: None,
            failed: Vec::new(),
        }
    }

    /// Operations fail from now on, as the fault says.
    pub fn inject(&mut self, id: FaultId, fault: DiskFault) {
        self.faults.get_or_insert_default().inject(id, fault);
    }

    /// A fault that was injected is over.
    pub fn lift(&mut self, id: FaultId) {
        if let Some(faults) = &mut self.faults {
            faults.lift(id);
        }
    }

    /// The injected faults that have made an operation fail since this was last called.
    pub fn drain_struck(&mut self) -> Vec<FaultId> {
        let faults = self.faults.as_mut();
        faults.map_or_else(Vec::new, |faults| faults.drain_struck().collect())
    }

    /// What failed because of a fault since the last power failure or end of a process. Whoever used the
    /// disk was told.
    #[must_use]
    pub fn failed(&self) -> &[(FileOpKind, Arc<str>)] {
        &self.failed
    }

    /// The power fails and comes back: some of what was not synced is lost, no file is open, and a
    /// crash that was armed is over.
    pub fn power_fail(&mut self, rng: &mut Rng) -> PowerLoss {
        self.process_exit();
        let mut loss = PowerLoss::default();
        self.medium.names.lose_power(rng, &mut loss);
        loss
    }

    /// As [`SimDisk::power_fail`], but nothing is left of what was not synced.
    pub fn power_fail_to_synced(&mut self) -> PowerLoss {
        self.process_exit();
        let mut loss = PowerLoss::default();
        self.medium.names.lose_unsynced(&mut loss);
        loss
    }

    /// The paths of all files, with how many of their first bytes are durable.
    #[must_use]
    pub fn durable_files(&self) -> Vec<(String, u64)> {
        let files = self.medium.names.all_files();
        files
            .into_iter()
            .map(|(path, pages)| (path, pages.shared() as u64))
            .collect()
    }

    /// Flips a bit of a durable byte of a file, on the medium and in the cache. False if there is no such
    /// byte.
    pub fn flip_bit(&mut self, path: &str, byte: u64, bit: u8) -> bool {
        let pages = self.medium.names.pages_at(path);
        pages.is_some_and(|pages| pages.flip_bit(byte as usize, bit))
    }

    /// A sector of a file was written over one of another file, or elsewhere in the same: the medium holds
    /// zeros where it belongs, and its bytes in the other place. The cache shows nothing of it, unless it
    /// forgets the two files at once. False unless both sectors, given by file and number, are durable.
    pub fn misdirect(&mut self, from: (&str, u64), to: (&str, u64), forgets: bool) -> bool {
        let names = &mut self.medium.names;
        let mut durable = |(path, sector): (&str, u64)| {
            let pages = names.pages_at(path)?;
            let bytes = pages.durable_sector(sector as usize)?;
            Some((bytes.start, pages.cached()[bytes].to_vec()))
        };
        let (Some((source, mut content)), Some((target, _))) = (durable(from), durable(to)) else {
            return false;
        };
        if (from.0, source) == (to.0, target) {
            return false;
        }
        let zeros = vec![0; content.len()];
        content.resize(SECTOR_BYTES, 0);
        for (path, at, bytes) in [(from.0, source, zeros), (to.0, target, content)] {
            let pages = names.pages_at(path).expect("it was there");
            pages.lay_beneath(at, bytes);
            if forgets {
                pages.forget_cached();
            }
        }
        true
    }

    /// A durable sector of a file cannot be read from now on, until the file is cut before it. False if
    /// there is no such sector.
    pub fn make_unreadable(&mut self, path: &str, sector: u64) -> bool {
        let pages = self.medium.names.pages_at(path);
        let pages = pages.filter(|it| it.durable_sector(sector as usize).is_some());
        pages
            .map(|it| it.make_unreadable(sector as usize))
            .is_some()
    }

    /// Another disk is put in its place, and it is empty. The process that used the old one has ended.
    pub fn wipe(&mut self) {
        self.process_exit();
        self.medium.names = Names::new();
    }

    /// The process that used the disk ends, the machine goes on: no file is open, a crash that was
    /// armed is over, and nothing is lost.
    pub fn process_exit(&mut self) {
        self.failed.clear();
        self.medium.open.clear();
        self.medium.locks.clear();
        self.power = Power::On;
        self.incarnation += 1;
    }

    /// Lets `after_ops` more operations succeed. The one after them may happen, but it fails, and so
    /// do all later ones, until [`SimDisk::power_fail`] or [`SimDisk::process_exit`]. Closing a file
    /// is not counted: it cannot fail.
    pub fn arm_crash(&mut self, after_ops: u64) {
        self.power = Power::OnFor(after_ops);
    }

    /// Calls off an armed crash that has not come about.
    pub fn disarm_crash(&mut self) {
        if self.power != Power::Off {
            self.power = Power::On;
        }
    }

    /// Whether a crash that was armed has come about: the user of the disk has seen an operation
    /// fail, and its host ends it.
    #[must_use]
    pub fn crashed(&self) -> bool {
        self.power == Power::Off
    }

    /// How many bytes a power failure could take or bring back.
    #[must_use]
    pub fn unsynced_bytes(&self) -> u64 {
        let pages = self.medium.names.all_pages();
        pages.map(pages::Pages::unsynced_bytes).sum()
    }

    /// How many creations, renames and removals a power failure could undo.
    #[must_use]
    pub fn unsynced_names(&self) -> usize {
        self.medium.names.unsynced()
    }

    /// Counts power failures and ends of processes.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// How many operations there were, closing included.
    #[must_use]
    pub fn op_count(&self) -> u64 {
        self.next_op
    }

    /// The operations since this was last called, in order.
    pub fn drain_ops(&mut self) -> std::vec::Drain<'_, FileOp> {
        self.ops.drain(..)
    }

    /// Every operation passes here: `act` does it and completes its record.
    fn perform<T>(
        &mut self,
        kind: FileOpKind,
        subject: Subject<'_>,
        act: impl FnOnce(&mut Medium, &mut FileOp) -> Result<T, Failure>,
    ) -> Result<T, FileError> {
        let Subject {
            path,
            inode,
            appends,
        } = subject;
        let mut op = FileOp::new(self.next_op, kind, path);
        let outcome = match self.power {
            Power::Off => return Err(op.error(POWER_FAILED)),
            Power::OnFor(0) => {
                self.power = Power::Off;
                // What this changes is not synced, so the power failure decides whether it happened.
                if !kind.makes_durable() {
                    let _ = act(&mut self.medium, &mut op);
                }
                Err(POWER_FAILED)
            }
            Power::OnFor(left) => {
                self.power = Power::OnFor(left - 1);
                self.act_or_fail(inode, appends, &mut op, act)
            }
            Power::On => self.act_or_fail(inode, appends, &mut op, act),
        };
        op.failed = outcome.as_ref().err().map(|failure| failure.kind);
        let outcome = outcome.map_err(|failure| op.error(failure));
        if op.injected {
            self.failed.push((kind, op.path.clone()));
        }
        self.record(op);
        outcome
    }

    /// Acts, unless a fault strikes: then what that leaves of the operation is done.
    fn act_or_fail<T>(
        &mut self,
        inode: Option<Inode>,
        appends: &[u8],
        op: &mut FileOp,
        act: impl FnOnce(&mut Medium, &mut FileOp) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let faults = self.faults.as_mut();
        let Some(mut blow) = faults.and_then(|it| it.judge(op, appends.len())) else {
            return act(&mut self.medium, op);
        };
        op.injected = true;
        if let Some(inode) = inode {
            let pages = self.medium.names.pages_mut(inode);
            if op.kind == FileOpKind::Append {
                let appended = &appends[..blow.appended];
                op.covers(pages.cached().len(), appended);
                pages.append(appended);
            } else if matches!(op.kind, FileOpKind::Sync | FileOpKind::RangeSync) {
                op.len = pages.fail_sync(blow.keeps_cache, &mut blow.rng);
            }
        }
        Err(blow.failure)
    }

    fn perform_at<T>(
        &mut self,
        kind: FileOpKind,
        path: &str,
        act: impl FnOnce(&mut Medium, &mut FileOp) -> Result<T, Failure>,
    ) -> Result<T, FileError> {
        let subject = Subject {
            path: path.into(),
            inode: None,
            appends: &[],
        };
        self.perform(kind, subject, act)
    }

    fn perform_on<T>(
        &mut self,
        kind: FileOpKind,
        file: FileId,
        appends: &[u8],
        act: impl FnOnce(&mut Names, Inode, &mut FileOp) -> Result<T, Failure>,
    ) -> Result<T, FileError> {
        let open = self.medium.open.get(&file).cloned();
        let inode = open.as_ref().map(|open| open.inode);
        let subject = Subject {
            path: open.map_or_else(|| Arc::from("?"), |open| open.path),
            inode,
            appends,
        };
        self.perform(kind, subject, |medium, op| {
            act(&mut medium.names, inode.ok_or(NOT_OPEN)?, op)
        })
    }

    fn record(&mut self, op: FileOp) {
        assert!(
            self.ops.len() < OPS_MAX,
            "the host drains the operations before there are {OPS_MAX}"
        );
        self.next_op += 1;
        self.ops.push(op);
    }
}

impl Medium {
    fn insert(&mut self, inode: Inode, path: Arc<str>) -> FileId {
        let file = FileId(self.next_file);
        self.next_file += 1;
        self.open.insert(file, OpenFile { inode, path });
        file
    }

    fn lock(&mut self, path: Arc<str>) -> Result<LockId, Failure> {
        let inode = match self.names.open(&path) {
            Err(failure) if failure.kind == FileErrorKind::NotFound => self.names.create(&path)?,
            found => found?,
        };
        if self.locks.values().any(|held| held.inode == inode) {
            return Err(LOCKED);
        }
        let lock = LockId(self.next_file);
        self.next_file += 1;
        self.locks.insert(lock, OpenFile { inode, path });
        Ok(lock)
    }

    /// The files that are kept though no name may lead to them.
    fn in_use(&self) -> impl Iterator<Item = Inode> {
        let files = self.open.values().chain(self.locks.values());
        files.map(|file| file.inode)
    }
}

impl FileSystem for SimDisk {
    fn create(&mut self, path: &str) -> Result<FileId, FileError> {
        self.perform_at(FileOpKind::Create, path, |medium, op| {
            let inode = medium.names.create(path)?;
            Ok(medium.insert(inode, op.path.clone()))
        })
    }

    fn open(&mut self, path: &str) -> Result<FileId, FileError> {
        self.perform_at(FileOpKind::Open, path, |medium, op| {
            let inode = medium.names.open(path)?;
            Ok(medium.insert(inode, op.path.clone()))
        })
    }

    fn close(&mut self, file: FileId) {
        if let Some(open) = self.medium.open.remove(&file) {
            self.record(FileOp::new(self.next_op, FileOpKind::Close, open.path));
        }
    }

    fn append(&mut self, file: FileId, data: &[u8]) -> Result<(), FileError> {
        self.perform_on(FileOpKind::Append, file, data, |names, inode, op| {
            let pages = names.pages_mut(inode);
            op.covers(pages.cached().len(), data);
            pages.append(data);
            Ok(())
        })
    }

    fn read_at(&mut self, file: FileId, offset: u64, length: usize) -> Result<Bytes, FileError> {
        self.perform_on(FileOpKind::Read, file, &[], |names, inode, op| {
            let pages = names.pages(inode);
            let end = pages.cached().len();
            let from = usize::try_from(offset).map_or(end, |offset| offset.min(end));
            let range = from..from.saturating_add(length).min(end);
            if pages.refuses(range.clone()) {
                op.injected = true;
                (op.offset, op.len) = (from as u64, range.len() as u64);
                return Err(UNREADABLE);
            }
            let content = &pages.cached()[range];
            op.covers(from, content);
            Ok(Bytes::copy_from_slice(content))
        })
    }

    fn len(&mut self, file: FileId) -> Result<u64, FileError> {
        self.perform_on(FileOpKind::Length, file, &[], |names, inode, op| {
            op.len = names.pages(inode).cached().len() as u64;
            Ok(op.len)
        })
    }

    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), FileError> {
        self.perform_on(FileOpKind::Truncate, file, &[], |names, inode, op| {
            op.offset = length;
            let pages = names.pages_mut(inode);
            let cached = pages.cached().len() as u64;
            op.len = cached.checked_sub(length).ok_or(Failure {
                kind: FileErrorKind::Io,
                detail: "a file cannot be cut to more than it has",
            })?;
            pages.truncate(length as usize);
            Ok(())
        })
    }

    fn sync(&mut self, file: FileId) -> Result<(), FileError> {
        self.perform_on(FileOpKind::Sync, file, &[], |names, inode, op| {
            op.len = names.pages_mut(inode).sync();
            Ok(())
        })
    }

    fn range_sync(&mut self, file: FileId, offset: u64, length: u64) -> Result<(), FileError> {
        self.perform_on(FileOpKind::RangeSync, file, &[], |_, _, op| {
            // What is on its way may still be lost.
            (op.offset, op.len) = (offset, length);
            Ok(())
        })
    }

    fn look_up(&mut self, path: &str) -> Result<PathKind, FileError> {
        self.perform_at(FileOpKind::LookUp, path, |medium, op| {
            let kind = medium.names.look_up(path)?;
            if let PathKind::File(length) = kind {
                op.len = length;
            }
            Ok(kind)
        })
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        self.perform_at(FileOpKind::Rename, from, |medium, op| {
            op.to = Some(to.into());
            medium.names.rename(from, to)
        })
    }

    fn link(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        self.perform_at(FileOpKind::Link, from, |medium, op| {
            op.to = Some(to.into());
            medium.names.link(from, to)
        })
    }

    fn remove(&mut self, path: &str) -> Result<(), FileError> {
        self.perform_at(FileOpKind::Remove, path, |medium, _| {
            medium.names.remove(path)
        })
    }

    fn create_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.perform_at(FileOpKind::CreateDir, path, |medium, _| {
            medium.names.create_dir(path)
        })
    }

    fn remove_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.perform_at(FileOpKind::RemoveDir, path, |medium, _| {
            medium.names.remove_dir(path)
        })
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, FileError> {
        self.perform_at(FileOpKind::List, path, |medium, op| {
            let names = medium.names.list(path)?;
            op.len = names.len() as u64;
            op.crc32c = names.iter().fold(0, |crc, name| {
                crc32c_append(crc32c_append(crc, name.as_bytes()), b"/")
            });
            Ok(names)
        })
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.perform_at(FileOpKind::SyncDir, path, |medium, op| {
            let in_use: Vec<Inode> = medium.in_use().collect();
            op.len = medium.names.sync_dir(path, in_use)?;
            Ok(())
        })
    }

    fn lock(&mut self, path: &str) -> Result<LockId, FileError> {
        self.perform_at(FileOpKind::Lock, path, |medium, op| {
            medium.lock(op.path.clone())
        })
    }

    fn unlock(&mut self, lock: LockId) {
        if let Some(held) = self.medium.locks.remove(&lock) {
            self.record(FileOp::new(self.next_op, FileOpKind::Unlock, held.path));
        }
    }
}
