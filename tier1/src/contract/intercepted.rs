//! A file system between a store and its files that lets some operations fail, or not happen.

use bytes::Bytes;
use hstore_core::ports::file_system::{
    FileError, FileErrorKind, FileId, FileSystem, LockId, PathKind,
};

/// What becomes of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// It is not done, and said to be. Only for operations without a result.
    Pretended,
    /// It is not done, and fails.
    Failed(FileErrorKind),
}

/// Decides what becomes of operations.
pub trait Interceptor {
    /// What becomes of the next operation. It is named by the verb in its [`FileError`]. Closing and
    /// unlocking cannot fail and are not asked about.
    fn judge(&mut self, operation: &'static str) -> Verdict;
}

/// A file system whose operations pass by an [`Interceptor`].
#[derive(Clone, Debug)]
pub struct Intercepted<F, I> {
    /// The file system.
    pub files: F,
    /// Who decides.
    pub interceptor: I,
}

impl<F: FileSystem, I: Interceptor> Intercepted<F, I> {
    fn run<T>(
        &mut self,
        operation: &'static str,
        path: &str,
        operate: impl FnOnce(&mut F) -> Result<T, FileError>,
        pretend: impl FnOnce() -> T,
    ) -> Result<T, FileError> {
        match self.interceptor.judge(operation) {
            Verdict::Done => operate(&mut self.files),
            Verdict::Pretended => Ok(pretend()),
            Verdict::Failed(kind) => Err(FileError {
                operation,
                path: path.to_owned(),
                kind,
                detail: "as planned".to_owned(),
            }),
        }
    }
}

fn has_a_result<T>() -> T {
    panic!("an operation with a result cannot be pretended")
}

impl<F: FileSystem, I: Interceptor> FileSystem for Intercepted<F, I> {
    fn create(&mut self, path: &str) -> Result<FileId, FileError> {
        self.run("create", path, |files| files.create(path), has_a_result)
    }
    fn open(&mut self, path: &str) -> Result<FileId, FileError> {
        self.run("open", path, |files| files.open(path), has_a_result)
    }
    fn close(&mut self, file: FileId) {
        self.files.close(file);
    }
    fn append(&mut self, file: FileId, data: &[u8]) -> Result<(), FileError> {
        self.run("append to", "?", |files| files.append(file, data), || ())
    }
    fn read_at(&mut self, file: FileId, offset: u64, length: usize) -> Result<Bytes, FileError> {
        let operate = |files: &mut F| files.read_at(file, offset, length);
        self.run("read", "?", operate, has_a_result)
    }
    fn len(&mut self, file: FileId) -> Result<u64, FileError> {
        self.run("measure", "?", |files| files.len(file), has_a_result)
    }
    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), FileError> {
        self.run("truncate", "?", |files| files.truncate(file, length), || ())
    }
    fn sync(&mut self, file: FileId) -> Result<(), FileError> {
        self.run("sync", "?", |files| files.sync(file), || ())
    }
    fn range_sync(&mut self, file: FileId, offset: u64, length: u64) -> Result<(), FileError> {
        let operate = |files: &mut F| files.range_sync(file, offset, length);
        self.run("range sync", "?", operate, || ())
    }
    fn look_up(&mut self, path: &str) -> Result<PathKind, FileError> {
        self.run("look up", path, |files| files.look_up(path), has_a_result)
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        self.run("rename", from, |files| files.rename(from, to), || ())
    }
    fn link(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        self.run("link", from, |files| files.link(from, to), || ())
    }
    fn remove(&mut self, path: &str) -> Result<(), FileError> {
        self.run("remove", path, |files| files.remove(path), || ())
    }
    fn create_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.run(
            "create directory",
            path,
            |files| files.create_dir(path),
            || (),
        )
    }
    fn remove_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.run(
            "remove directory",
            path,
            |files| files.remove_dir(path),
            || (),
        )
    }
    fn list(&mut self, path: &str) -> Result<Vec<String>, FileError> {
        self.run("list", path, |files| files.list(path), has_a_result)
    }
    fn sync_dir(&mut self, path: &str) -> Result<(), FileError> {
        self.run("sync directory", path, |files| files.sync_dir(path), || ())
    }
    fn lock(&mut self, path: &str) -> Result<LockId, FileError> {
        self.run("lock", path, |files| files.lock(path), has_a_result)
    }
    fn unlock(&mut self, lock: LockId) {
        self.files.unlock(lock);
    }
}
