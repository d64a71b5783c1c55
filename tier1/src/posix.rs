//! The file-system port on real files below a root directory.
//!
//! Durability is what the operating system makes of `fdatasync` on files and `fsync` on
//! directories. Nothing is cached here and nothing is retried.
//!
//! Paths that could leave the root are refused: absolute ones, ones with empty, `.` or `..` names,
//! and ones that lead over a symbolic link. That guards against mistakes. It does not guard against
//! somebody who changes the directory meanwhile: give the store a directory of its own.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use hstore_core::ports::file_system::{
    FileError, FileErrorKind, FileId, FileSystem, LockId, PathKind,
};

/// A [`FileSystem`] below one directory.
#[derive(Debug)]
pub struct PosixFileSystem {
    /// The directory that all paths are relative to.
    root: PathBuf,
    /// The open files.
    open: BTreeMap<FileId, OpenFile>,
    /// The locked files. The operating system lets a lock go when its file is closed.
    locks: BTreeMap<LockId, File>,
    /// The number of the next file to be opened or locked. Numbers are not used again.
    next_file: u64,
}

#[derive(Debug)]
struct OpenFile {
    /// The file, opened to read and to append.
    file: File,
    /// The path it was opened under.
    path: String,
}

/// Whether `path` is made of plain names, so that it stays below the root it is relative to. The
/// empty path, the root itself, is not.
#[must_use]
pub fn is_plain_path(path: &str) -> bool {
    path.split('/')
        .all(|name| !matches!(name, "" | "." | "..") && !name.contains('\0'))
}

impl PosixFileSystem {
    /// A file system on `root`, which is created durably, with what is missing above it.
    ///
    /// # Errors
    /// If the directory cannot be created.
    pub fn open(root: &Path) -> Result<Self, FileError> {
        // The working directory, if the root is a name in it.
        let root = if root.as_os_str().is_empty() {
            Path::new(".")
        } else {
            root
        };
        create_durably(root)
            .map_err(|error| failure("open the root", &root.to_string_lossy(), &error))?;
        Ok(Self {
            root: root.to_owned(),
            open: BTreeMap::new(),
            locks: BTreeMap::new(),
            next_file: 0,
        })
    }

    /// Where the file or directory `path` is. The last name need not exist.
    fn locate(&self, operation: &'static str, path: &str) -> Result<PathBuf, FileError> {
        if !is_plain_path(path) {
            return Err(refusal(
                operation,
                path,
                "the path is not made of plain names",
            ));
        }
        let mut place = self.root.clone();
        for name in path.split('/') {
            place.push(name);
            if place.is_symlink() {
                return Err(refusal(operation, path, "the path leads over a link"));
            }
        }
        Ok(place)
    }

    /// Where the directory `path` is, which may be the root.
    fn locate_directory(&self, operation: &'static str, path: &str) -> Result<PathBuf, FileError> {
        if path.is_empty() {
            return Ok(self.root.clone());
        }
        self.locate(operation, path)
    }

    fn insert(&mut self, file: File, path: &str) -> FileId {
        let id = FileId(self.next_file);
        self.next_file += 1;
        let path = path.to_owned();
        self.open.insert(id, OpenFile { file, path });
        id
    }

    fn with<T>(
        &self,
        operation: &'static str,
        id: FileId,
        operate: impl FnOnce(&File) -> io::Result<T>,
    ) -> Result<T, FileError> {
        let Some(OpenFile { file, path }) = self.open.get(&id) else {
            return Err(FileError {
                operation,
                path: id.to_string(),
                kind: FileErrorKind::Io,
                detail: "the file is not open".to_owned(),
            });
        };
        operate(file).map_err(|error| failure(operation, path, &error))
    }
}

fn refusal(operation: &'static str, path: &str, detail: &str) -> FileError {
    FileError {
        operation,
        path: path.to_owned(),
        kind: FileErrorKind::NotFound,
        detail: detail.to_owned(),
    }
}

fn failure(operation: &'static str, path: &str, error: &io::Error) -> FileError {
    let kind = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => FileErrorKind::NotFound,
        ErrorKind::AlreadyExists | ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => {
            FileErrorKind::Exists
        }
        ErrorKind::WouldBlock => FileErrorKind::Locked,
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            FileErrorKind::NoSpace
        }
        _ => FileErrorKind::Io,
    };
    FileError {
        operation,
        path: path.to_owned(),
        kind,
        detail: error.to_string(),
    }
}

/// Fails if `place` is a directory: the port's renames and removals are for files.
fn refuse_directory(place: &Path) -> io::Result<()> {
    if place.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    Ok(())
}

fn sorted_names(place: &Path) -> io::Result<Vec<String>> {
    let mut names = std::fs::read_dir(place)?
        .map(|entry| {
            entry?
                .file_name()
                .into_string()
                .map_err(|name| io::Error::other(format!("{name:?} is not text")))
        })
        .collect::<io::Result<Vec<String>>>()?;
    names.sort();
    Ok(names)
}

/// Creates a directory and what is missing above it, and syncs the directory that each name is in.
fn create_durably(directory: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = directory
        .ancestors()
        .filter(|it| !it.as_os_str().is_empty())
        .take_while(|it| !it.exists())
        .collect();
    std::fs::create_dir_all(directory)?;
    for created in missing {
        match created.parent() {
            Some(parent) if parent.as_os_str().is_empty() => sync_directory(Path::new("."))?,
            Some(parent) => sync_directory(parent)?,
            None => {}
        }
    }
    Ok(())
}

fn kind_of(place: &Path) -> io::Result<PathKind> {
    let metadata = place.metadata()?;
    Ok(if metadata.is_dir() {
        PathKind::Directory
    } else {
        PathKind::File(metadata.len())
    })
}

fn lock_file(place: &Path) -> io::Result<File> {
    refuse_directory(place)?;
    let file = OpenOptions::new().append(true).create(true).open(place)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(io::Error::new(
            ErrorKind::WouldBlock,
            "it is locked, by another process or by this one",
        )),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn sync_directory(place: &Path) -> io::Result<()> {
    if !place.metadata()?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    File::open(place)?.sync_all()
}

fn read_fully(file: &File, offset: u64, length: usize) -> io::Result<Bytes> {
    // The length asked for may be far more than there is.
    let there = file.metadata()?.len().saturating_sub(offset);
    let mut content = vec![0; usize::try_from(there).map_or(length, |there| there.min(length))];
    let mut filled = 0;
    while filled < content.len() {
        match file.read_at(&mut content[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    content.truncate(filled);
    Ok(content.into())
}

fn cut(file: &File, length: u64) -> io::Result<()> {
    if length > file.metadata()?.len() {
        return Err(io::Error::new(
            ErrorKind::InvalidInput,
            "a file cannot be cut to more than it has",
        ));
    }
    file.set_len(length)
}

impl FileSystem for PosixFileSystem {
    fn create(&mut self, path: &str) -> Result<FileId, FileError> {
        let place = self.locate("create", path)?;
        let create = || {
            refuse_directory(&place)?;
            let file = OpenOptions::new()
                .read(true)
                .append(true)
                .create(true)
                .open(&place)?;
            file.set_len(0)?;
            Ok(file)
        };
        let file = create().map_err(|error| failure("create", path, &error))?;
        Ok(self.insert(file, path))
    }

    fn open(&mut self, path: &str) -> Result<FileId, FileError> {
        let place = self.locate("open", path)?;
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(&place)
            .map_err(|error| failure("open", path, &error))?;
        Ok(self.insert(file, path))
    }

    fn close(&mut self, file: FileId) {
        self.open.remove(&file);
    }

    fn append(&mut self, file: FileId, data: &[u8]) -> Result<(), FileError> {
        self.with("append to", file, |mut file| file.write_all(data))
    }

    fn read_at(&mut self, file: FileId, offset: u64, length: usize) -> Result<Bytes, FileError> {
        self.with("read", file, |file| read_fully(file, offset, length))
    }

    fn len(&mut self, file: FileId) -> Result<u64, FileError> {
        self.with("measure", file, |file| Ok(file.metadata()?.len()))
    }

    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), FileError> {
        self.with("truncate", file, |file| cut(file, length))
    }

    fn sync(&mut self, file: FileId) -> Result<(), FileError> {
        self.with("sync", file, File::sync_data)
    }

    fn range_sync(&mut self, file: FileId, _offset: u64, _length: u64) -> Result<(), FileError> {
        // Nothing is promised, and the operating system writes back without being asked.
        self.with("range sync", file, |_| Ok(()))
    }

    fn look_up(&mut self, path: &str) -> Result<PathKind, FileError> {
        let place = self.locate_directory("look up", path)?;
        kind_of(&place).map_err(|error| failure("look up", path, &error))
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let source = self.locate("rename", from)?;
        let target = self.locate("rename", to)?;
        refuse_directory(&source)
            .and_then(|()| refuse_directory(&target))
            .and_then(|()| std::fs::rename(&source, &target))
            .map_err(|error| failure("rename", from, &error))
    }

    fn link(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let source = self.locate("link", from)?;
        let target = self.locate("link", to)?;
        refuse_directory(&source)
            .and_then(|()| std::fs::hard_link(&source, &target))
            .map_err(|error| failure("link", from, &error))
    }

    fn remove(&mut self, path: &str) -> Result<(), FileError> {
        let place = self.locate("remove", path)?;
        refuse_directory(&place)
            .and_then(|()| std::fs::remove_file(&place))
            .map_err(|error| failure("remove", path, &error))
    }

    fn create_dir(&mut self, path: &str) -> Result<(), FileError> {
        let place = self.locate_directory("create directory", path)?;
        std::fs::create_dir_all(&place).map_err(|error| failure("create directory", path, &error))
    }

    fn remove_dir(&mut self, path: &str) -> Result<(), FileError> {
        let place = self.locate("remove directory", path)?;
        std::fs::remove_dir(&place).map_err(|error| failure("remove directory", path, &error))
    }

    fn list(&mut self, path: &str) -> Result<Vec<String>, FileError> {
        let place = self.locate_directory("list", path)?;
        sorted_names(&place).map_err(|error| failure("list", path, &error))
    }

    fn sync_dir(&mut self, path: &str) -> Result<(), FileError> {
        let place = self.locate_directory("sync directory", path)?;
        sync_directory(&place).map_err(|error| failure("sync directory", path, &error))
    }

    fn lock(&mut self, path: &str) -> Result<LockId, FileError> {
        let place = self.locate("lock", path)?;
        let file = lock_file(&place).map_err(|error| failure("lock", path, &error))?;
        let id = LockId(self.next_file);
        self.next_file += 1;
        self.locks.insert(id, file);
        Ok(id)
    }

    fn unlock(&mut self, lock: LockId) {
        self.locks.remove(&lock);
    }
}
