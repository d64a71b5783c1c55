//! Files and directories, as little of them as a storage engine needs.
//!
//! The contract is POSIX's, told without its surprises: what was written is seen by later reads at
//! once, and survives a power failure only once it was synced. Syncing a file makes its content and
//! length durable; that a name leads to the file is durable only once its *directory* was synced.
//! Until then a power failure may lose the content in part (whole sectors, or parts of one), and may
//! undo creations, renames and removals, the latest first.
//!
//! Paths are relative to the root that the file system was opened on, with `/` between names.

use std::fmt;

use bytes::Bytes;

/// What went wrong with a file operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileErrorKind {
    /// There is no such file or directory.
    NotFound,
    /// The name is taken.
    Exists,
    /// Another process holds the lock, or this one does already.
    Locked,
    /// The device is full.
    NoSpace,
    /// The device failed, or the power did.
    Io,
}

/// A failed file operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {operation} `{path}`: {detail}")]
pub struct FileError {
    /// What was tried, as a verb.
    pub operation: &'static str,
    /// On which path.
    pub path: String,
    /// The kind of failure.
    pub kind: FileErrorKind,
    /// The failure in words.
    pub detail: String,
}

/// An open file. Closing is dropping it from the file system with [`FileSystem::close`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u64);

impl fmt::Display for FileId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file {}", self.0)
    }
}

/// A held lock. It is let go with [`FileSystem::unlock`], or when its process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LockId(pub u64);

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathKind {
    /// A file of so many bytes.
    File(u64),
    /// A directory.
    Directory,
}

/// The port. Every call is synchronous; a host that simulates time charges for it afterwards.
///
/// # Errors
/// Every method fails with a [`FileError`] that names the operation and the path.
#[allow(clippy::missing_errors_doc)]
pub trait FileSystem {
    /// Creates an empty file, or empties an existing one, and opens it.
    fn create(&mut self, path: &str) -> Result<FileId, FileError>;
    /// Opens an existing file.
    fn open(&mut self, path: &str) -> Result<FileId, FileError>;
    /// Closes a file. Nothing is synced by that.
    fn close(&mut self, file: FileId);
    /// Adds `data` at the end.
    fn append(&mut self, file: FileId, data: &[u8]) -> Result<(), FileError>;
    /// Reads up to `length` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&mut self, file: FileId, offset: u64, length: usize) -> Result<Bytes, FileError>;
    /// The length in bytes.
    fn len(&mut self, file: FileId) -> Result<u64, FileError>;
    /// Cuts the file to `length` bytes.
    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), FileError>;
    /// Makes the content and the length durable.
    fn sync(&mut self, file: FileId) -> Result<(), FileError>;
    /// Asks that the bytes from `offset` on, `length` of them, be on their way to the device, so that
    /// a later sync has less to do. Promises nothing: only [`FileSystem::sync`] makes durable.
    fn range_sync(&mut self, file: FileId, offset: u64, length: u64) -> Result<(), FileError>;
    /// What a path leads to.
    fn look_up(&mut self, path: &str) -> Result<PathKind, FileError>;
    /// Gives a file another name, replacing what had it.
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError>;
    /// Gives a file one name more, which must be free.
    fn link(&mut self, from: &str, to: &str) -> Result<(), FileError>;
    /// Removes a file's name.
    fn remove(&mut self, path: &str) -> Result<(), FileError>;
    /// Creates a directory and what is missing above it; an existing one is left as it is.
    fn create_dir(&mut self, path: &str) -> Result<(), FileError>;
    /// Removes an empty directory's name.
    fn remove_dir(&mut self, path: &str) -> Result<(), FileError>;
    /// The names in a directory, sorted.
    fn list(&mut self, path: &str) -> Result<Vec<String>, FileError>;
    /// Makes the names in a directory durable.
    fn sync_dir(&mut self, path: &str) -> Result<(), FileError>;
    /// Locks the file `path`, which is created if it is missing, against other processes and against
    /// a second lock of this one.
    fn lock(&mut self, path: &str) -> Result<LockId, FileError>;
    /// Lets a lock go. The file stays.
    fn unlock(&mut self, lock: LockId);
}

/// A file system may be lent.
#[allow(clippy::missing_errors_doc)]
impl<F: FileSystem + ?Sized> FileSystem for &mut F {
    fn create(&mut self, path: &str) -> Result<FileId, FileError> {
        (**self).create(path)
    }
    fn open(&mut self, path: &str) -> Result<FileId, FileError> {
        (**self).open(path)
    }
    fn close(&mut self, file: FileId) {
        (**self).close(file);
    }
    fn append(&mut self, file: FileId, data: &[u8]) -> Result<(), FileError> {
        (**self).append(file, data)
    }
    fn read_at(&mut self, file: FileId, offset: u64, length: usize) -> Result<Bytes, FileError> {
        (**self).read_at(file, offset, length)
    }
    fn len(&mut self, file: FileId) -> Result<u64, FileError> {
        (**self).len(file)
    }
    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), FileError> {
        (**self).truncate(file, length)
    }
    fn sync(&mut self, file: FileId) -> Result<(), FileError> {
        (**self).sync(file)
    }
    fn range_sync(&mut self, file: FileId, offset: u64, length: u64) -> Result<(), FileError> {
        (**self).range_sync(file, offset, length)
    }
    fn look_up(&mut self, path: &str) -> Result<PathKind, FileError> {
        (**self).look_up(path)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        (**self).rename(from, to)
    }
    fn link(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        (**self).link(from, to)
    }
    fn remove(&mut self, path: &str) -> Result<(), FileError> {
        (**self).remove(path)
    }
    fn create_dir(&mut self, path: &str) -> Result<(), FileError> {
        (**self).create_dir(path)
    }
    fn remove_dir(&mut self, path: &str) -> Result<(), FileError> {
        (**self).remove_dir(path)
    }
    fn list(&mut self, path: &str) -> Result<Vec<String>, FileError> {
        (**self).list(path)
    }
    fn sync_dir(&mut self, path: &str) -> Result<(), FileError> {
        (**self).sync_dir(path)
    }
    fn lock(&mut self, path: &str) -> Result<LockId, FileError> {
        (**self).lock(path)
    }
    fn unlock(&mut self, lock: LockId) {
        (**self).unlock(lock);
    }
}
