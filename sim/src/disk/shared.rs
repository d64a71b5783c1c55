//! A disk between its host, who crashes it, and the node that uses it.
//!
//! The host keeps a [`SharedDisk`]; the node is lent a [`MountedDisk`] for one life. When that life
//! is over, every operation through the mount fails, so that a node that was killed and is dropped
//! late, or answers late, cannot touch what its successor has opened.

use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use hstore_core::ports::file_system::{
    FileError, FileErrorKind, FileId, FileSystem, LockId, PathKind,
};

use super::SimDisk;

/// The host's handle on a disk.
#[derive(Clone, Debug)]
pub struct SharedDisk(Arc<Mutex<SimDisk>>);

impl SharedDisk {
    /// Makes a disk shareable.
    #[must_use]
    pub fn new(disk: SimDisk) -> Self {
        Self(Arc::new(Mutex::new(disk)))
    }

    /// The disk, for this call. No other handle may be used while the guard is held.
    pub fn lock(&self) -> MutexGuard<'_, SimDisk> {
        self.0
            .lock()
            .expect("no operation on a disk panics half done")
    }

    /// The disk for one life: until the next power failure or end of the process.
    #[must_use]
    pub fn mount(&self) -> MountedDisk {
        MountedDisk {
            disk: self.clone(),
            incarnation: self.lock().incarnation(),
        }
    }
}

/// A disk for one life of its user.
#[derive(Debug)]
pub struct MountedDisk {
    /// The disk.
    disk: SharedDisk,
    /// The life that it was mounted for.
    incarnation: u64,
}

impl MountedDisk {
    fn run<T>(
        &self,
        operation: &'static str,
        path: &str,
        run: impl FnOnce(&mut SimDisk) -> Result<T, FileError>,
    ) -> Result<T, FileError> {
        let mut disk = self.disk.lock();
        if disk.incarnation() != self.incarnation {
            return Err(FileError {
                operation,
                path: path.to_owned(),
                kind: FileErrorKind::Io,
                detail: "the life that mounted the disk is over".to_owned(),
            });
        }
        run(&mut disk)
    }
}

impl FileSystem for MountedDisk {
    fn create(&mut self, path: &str) -> Result<FileId, FileError> {
        self.run("create", path, |disk| disk.create(path))
    }

    fn open(&mut self, path: &str) -> Result<FileId, FileError> {
        self.run("open", path, |disk| disk.open(path))
    }

    fn close(&mut self, file: FileId) {
        // Closing in a later life does nothing: numbers of files are not used again.
        self.disk.lock().close(file);
    }

    fn append(&mut self, file: FileId, data: &[u8]) -> Result<(), FileError> {
        self.run("append to", "?", |disk| disk.append(file, data))
    }

    fn read_at(&mut self, file: FileId, offset: u64, length: usize) -> Result<Bytes, FileError> {
        self.run("read", "?", |disk| disk.read_at(file, offset, length))
    }

    fn len(&mut self, file: FileId) -> Result<u64, FileError> {
        self.run("measure", "?", |disk| disk.len(file))
    }

    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), FileError> {
        self.run("truncate", "?", |disk| disk.truncate(file, length))
    }

    fn sync(&mut self, file: FileId) -> Result<(), FileError> {
        self.run("sync", "?", |disk| disk.sync(file))
    }

    fn range_sync(&mut self, file: FileId, offset: u64, length: u64) -> Result<(), FileError> {
        self.run("range sync", "?", |disk| {
            disk.range_sync(file, offset, length)
        })
    }

    fn look_up(&mut self, path: &str) -> Result<PathKind, FileError> {
        self.run("look up", path, |disk| disk.look_up(path))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        self.run("rename", from, |disk| disk.rename(from, to))
    }

    fn link(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        self.run("link", from, |disk| disk.link(from, to))
    }

    fn remove(&mut self, path: &str) -> Result<(), FileError> {
        self.run("remove", path, |disk| disk.remove(path))
    }

    fn create_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.run("create directory", path, |disk| disk.create_dir(path))
    }

    fn remove_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.run("remove directory", path, |disk| disk.remove_dir(path))
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, FileError> {
        self.run("list", path, |disk| disk.list(path))
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.run("sync directory", path, |disk| disk.sync_dir(path))
    }

    fn lock(&mut self, path: &str) -> Result<LockId, FileError> {
        self.run("lock", path, |disk| disk.lock(path))
    }

    fn unlock(&mut self, lock: LockId) {
        // As with files: the numbers of locks are not used again.
        self.disk.lock().unlock(lock);
    }
}
