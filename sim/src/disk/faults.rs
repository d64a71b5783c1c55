//! What a device does wrong while programs use it: operations that fail, and a device that is full.
//!
//! A fault is *injected* under a number and is over when it is *lifted*, or has struck as often as it was
//! to. It says which operations it strikes and in which files, and nothing about when: whoever injects it
//! knows the time.
//!
//! - A read that fails has read nothing.
//! - A write that fails may have added the beginning of its bytes.
//! - A sync that fails was the last one that knew of the pages it was to write: they count as clean
//!   afterwards, and no later sync writes them. Whoever goes on as if it only had to try again has lost
//!   them.
//! - A sync of a directory that fails leaves the changes of names as they were: not durable.
//! - On a full device nothing is created, and files grow by what room is left. What is removed meanwhile
//!   gives no room back: others take it.

use hstore_core::Rng;
use hstore_core::ports::file_system::FileErrorKind;
use serde::{Deserialize, Serialize};

use super::{Failure, FileOp, FileOpKind};

/// The number of a fault: whoever injects it chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FaultId(pub u32);

/// Files, by what stores keep in them. They are told by the names that the stores give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FileClass {
    /// Write-ahead logs.
    Log,
    /// Tables and checkpoints, also unfinished ones.
    Table,
    /// What says which tables there are, and how the store is set up.
    Manifest,
    /// Any file or directory.
    Any,
}

impl FileClass {
    /// All classes.
    pub const ALL: [Self; 4] = [Self::Log, Self::Table, Self::Manifest, Self::Any];

    /// The class of a file, if it has one of its own.
    #[must_use]
    pub fn of(path: &str) -> Option<Self> {
        let name = path.rsplit('/').next().unwrap_or(path);
        if name.starts_with("wal-") || name.ends_with(".log") {
            return Some(Self::Log);
        }
        if name.starts_with("checkpoint-") || name.ends_with(".sst") {
            return Some(Self::Table);
        }
        let manifest = ["MANIFEST-", "CURRENT", "OPTIONS-", "IDENTITY"];
        let is_manifest =
            manifest.iter().any(|it| name.starts_with(it)) || name.ends_with(".dbtmp");
        is_manifest.then_some(Self::Manifest)
    }

    /// Whether a file is of this class.
    #[must_use]
    pub fn has(self, path: &str) -> bool {
        self == Self::Any || Self::of(path) == Some(self)
    }
}

/// What operations a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Operations {
    /// Those that look: reading, opening, listing.
    Read,
    /// Those that change: appending, cutting, creating, renaming, removing.
    Write,
    /// Those that make durable.
    Sync,
}

impl Operations {
    fn have(self, kind: FileOpKind) -> bool {
        use FileOpKind::{
            Append, Close, Create, CreateDir, Length, Link, List, Lock, LookUp, Open, RangeSync,
            Read, Remove, RemoveDir, Rename, Sync, SyncDir, Truncate, Unlock,
        };
        match kind {
            Read | Open | Length | LookUp | List => self == Self::Read,
            Append | Create | CreateDir | Link | Remove | RemoveDir | Rename | Truncate => {
                self == Self::Write
            }
            Sync | SyncDir | RangeSync => self == Self::Sync,
            Close | Lock | Unlock => false,
        }
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DiskFault {
    /// Operations fail with an I/O error.
    Error {
        /// Which operations.
        operations: Operations,
        /// In which files.
        files: FileClass,
        /// So many of them pass first.
        passes: u32,
        /// How many fail.
        count: u32,
        /// After a sync that failed, the pages stay in the cache as they are, until the power fails.
        /// Otherwise the cache drops them.
        keeps_cache: bool,
        /// From this it is drawn what of a failed operation was done all the same.
        pick: u64,
    },
    /// The device is full.
    Full {
        /// So many bytes can still be written.
        room: u64,
    },
}

/// A fault that strikes now.
#[derive(Debug)]
struct Active {
    id: FaultId,
    fault: DiskFault,
    rng: Rng,
}

/// What becomes of an operation that is struck.
#[derive(Debug)]
pub(super) struct Blow {
    /// Why it fails.
    pub(super) failure: Failure,
    /// An append adds so many of its bytes all the same.
    pub(super) appended: usize,
    /// A sync drops what it was to write; the cache may keep it.
    pub(super) keeps_cache: bool,
    /// Decides what of it was written.
    pub(super) rng: Rng,
}

/// The faults of a disk.
#[derive(Debug, Default)]
pub(super) struct Faults {
    active: Vec<Active>,
    /// Those that have struck since it was last asked.
    struck: Vec<FaultId>,
}

const ERROR: Failure = Failure {
    kind: FileErrorKind::Io,
    detail: "input/output error",
};

pub(super) const UNREADABLE: Failure = Failure {
    kind: FileErrorKind::Io,
    detail: "input/output error: a sector cannot be read",
};

const FULL: Failure = Failure {
    kind: FileErrorKind::NoSpace,
    detail: "no space left on device",
};

impl Faults {
    pub(super) fn inject(&mut self, id: FaultId, fault: DiskFault) {
        let pick = match fault {
            DiskFault::Error { pick, .. } => pick,
            DiskFault::Full { .. } => 0,
        };
        let rng = Rng::from_seed(pick);
        self.active.push(Active { id, fault, rng });
    }

    pub(super) fn lift(&mut self, id: FaultId) {
        self.active.retain(|active| active.id != id);
    }

    pub(super) fn drain_struck(&mut self) -> std::vec::Drain<'_, FaultId> {
        self.struck.drain(..)
    }

    /// What becomes of an operation that is going to write so many bytes, if it is struck.
    pub(super) fn judge(&mut self, op: &FileOp, bytes: usize) -> Option<Blow> {
        for Active { id, fault, rng } in &mut self.active {
            let (failure, appended, keeps_cache) = match fault {
                DiskFault::Error {
                    operations,
                    files,
                    passes,
                    count,
                    keeps_cache,
                    ..
                } => {
                    if *count == 0 || !operations.have(op.kind) || !files.has(&op.path) {
                        continue;
                    }
                    if *passes > 0 {
                        *passes -= 1;
                        continue;
                    }
                    // For ever is no number.
                    *count -= u32::from(*count != u32::MAX);
                    (ERROR, rng.within(0..=bytes as u64) as usize, *keeps_cache)
                }
                DiskFault::Full { room } => match op.kind {
                    FileOpKind::Append if bytes as u64 > *room => {
                        (FULL, std::mem::take(room) as usize, true)
                    }
                    FileOpKind::Append => {
                        *room -= bytes as u64;
                        continue;
                    }
                    FileOpKind::Create | FileOpKind::CreateDir if *room == 0 => (FULL, 0, true),
                    _ => continue,
                },
            };
            if !self.struck.contains(id) {
                self.struck.push(*id);
            }
            return Some(Blow {
                failure,
                appended,
                keeps_cache,
                rng: Rng::from_seed(rng.seed()),
            });
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_the_names_that_stores_give() {
        for (path, class) in [
            ("store/000012.log", Some(FileClass::Log)),
            ("store/wal-000000000000002a", Some(FileClass::Log)),
            ("store/000013.sst", Some(FileClass::Table)),
            (
                "store/checkpoint-000000000000002a.tmp",
                Some(FileClass::Table),
            ),
            ("store/MANIFEST-000005", Some(FileClass::Manifest)),
            ("store/000005.dbtmp", Some(FileClass::Manifest)),
            ("CURRENT", Some(FileClass::Manifest)),
            ("store", None),
            ("LOCK", None),
        ] {
            assert_eq!(FileClass::of(path), class, "{path}");
            assert!(FileClass::Any.has(path));
            let has = |it: &FileClass| *it != FileClass::Any && it.has(path);
            let those: Vec<_> = FileClass::ALL.into_iter().filter(has).collect();
            assert_eq!(those, Vec::from_iter(class), "{path}");
        }
    }

    #[test]
    fn every_operation_that_can_fail_is_struck_by_one_sort_of_faults() {
        use FileOpKind::{Append, Close, Lock, Read, Sync, SyncDir, Unlock};
        let all = [Operations::Read, Operations::Write, Operations::Sync];
        for kind in [Append, Read, Sync, SyncDir] {
            assert_eq!(all.iter().filter(|it| it.have(kind)).count(), 1);
        }
        for kind in [Close, Lock, Unlock] {
            assert!(!all.iter().any(|it| it.have(kind)), "{kind:?}");
        }
    }
}
