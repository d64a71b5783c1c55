//! The table of functions through which RocksDB's file system reaches the port.
//!
//! `shim/shim.h` declares the same in C++; the two must agree.
//!
//! # Safety
//!
//! Each function is called with the context of its own table, with texts and buffers that are valid
//! for the time of the call, and with results that may be written to. That is what the C++ side
//! promises; nothing else calls them.
//!
//! A panic of the file system does not pass through C++: the operation fails, so do all later ones,
//! and [`Context::take_panic`] hands it to whoever called RocksDB.

#![allow(unsafe_code)]

use std::any::Any;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use hstore_core::ports::file_system::{
    FileError, FileErrorKind, FileId, FileSystem, LockId, PathKind,
};

use super::wal_checksums;

/// Text or bytes that C++ lends.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct HstoreBytes {
    pub(super) data: *const u8,
    pub(super) size: usize,
}

/// How many bytes of an error's text reach RocksDB.
const FAILURE_TEXT_BYTES: usize = 248;

/// Why an operation failed, in words.
#[repr(C)]
pub(super) struct HstoreFailure {
    pub(super) size: usize,
    pub(super) text: [u8; FAILURE_TEXT_BYTES],
}

/// What a path leads to.
#[repr(C)]
pub(super) struct HstorePathKind {
    pub(super) is_directory: bool,
    pub(super) length: u64,
}

type Path = HstoreBytes;
type Failure = *mut HstoreFailure;
type AddName = unsafe extern "C" fn(*mut c_void, HstoreBytes);

/// The table.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct HstoreFiles {
    pub(super) context: *mut c_void,
    pub(super) drop: unsafe extern "C" fn(*mut c_void),
    pub(super) create: unsafe extern "C" fn(*mut c_void, Path, *mut u64, Failure) -> i32,
    pub(super) open: unsafe extern "C" fn(*mut c_void, Path, *mut u64, Failure) -> i32,
    pub(super) close: unsafe extern "C" fn(*mut c_void, u64),
    pub(super) append: unsafe extern "C" fn(*mut c_void, u64, HstoreBytes, Failure) -> i32,
    pub(super) read_at:
        unsafe extern "C" fn(*mut c_void, u64, u64, *mut u8, usize, *mut usize, Failure) -> i32,
    pub(super) len: unsafe extern "C" fn(*mut c_void, u64, *mut u64, Failure) -> i32,
    pub(super) truncate: unsafe extern "C" fn(*mut c_void, u64, u64, Failure) -> i32,
    pub(super) sync: unsafe extern "C" fn(*mut c_void, u64, Failure) -> i32,
    pub(super) range_sync: unsafe extern "C" fn(*mut c_void, u64, u64, u64, Failure) -> i32,
    pub(super) look_up:
        unsafe extern "C" fn(*mut c_void, Path, *mut HstorePathKind, Failure) -> i32,
    pub(super) rename: unsafe extern "C" fn(*mut c_void, Path, Path, Failure) -> i32,
    pub(super) link: unsafe extern "C" fn(*mut c_void, Path, Path, Failure) -> i32,
    pub(super) remove: unsafe extern "C" fn(*mut c_void, Path, Failure) -> i32,
    pub(super) create_dir: unsafe extern "C" fn(*mut c_void, Path, Failure) -> i32,
    pub(super) remove_dir: unsafe extern "C" fn(*mut c_void, Path, Failure) -> i32,
    pub(super) list: unsafe extern "C" fn(*mut c_void, Path, *mut c_void, AddName, Failure) -> i32,
    pub(super) sync_dir: unsafe extern "C" fn(*mut c_void, Path, Failure) -> i32,
    pub(super) lock: unsafe extern "C" fn(*mut c_void, Path, *mut u64, Failure) -> i32,
    pub(super) unlock: unsafe extern "C" fn(*mut c_void, u64),
}

/// The file system behind a table.
#[derive(Debug)]
pub(super) struct Context<F> {
    files: Mutex<F>,
    /// The open files that are read as if the checksums in them held: a planted bug's.
    unchecked: Mutex<BTreeSet<FileId>>,
    tables_created: AtomicU64,
    panic: Mutex<Panic>,
}

/// Whether the file system has panicked.
#[derive(Debug)]
enum Panic {
    /// It has not.
    None,
    /// It has, and nobody was told.
    Caught(Box<dyn Any + Send>),
    /// It has, and somebody was told.
    Resumed,
}

impl<F: FileSystem + Send + 'static> Context<F> {
    pub(super) fn new(files: F) -> Arc<Self> {
        Arc::new(Self {
            files: Mutex::new(files),
            unchecked: Mutex::new(BTreeSet::new()),
            tables_created: AtomicU64::new(0),
            panic: Mutex::new(Panic::None),
        })
    }

    /// A table that shares this context until its `drop` is called.
    pub(super) fn table(self: &Arc<Self>) -> HstoreFiles {
        HstoreFiles {
            context: Arc::into_raw(Arc::clone(self)).cast_mut().cast(),
            drop: drop_context::<F>,
            create: create::<F>,
            open: open::<F>,
            close: close::<F>,
            append: append::<F>,
            read_at: read_at::<F>,
            len: len::<F>,
            truncate: truncate::<F>,
            sync: sync::<F>,
            range_sync: range_sync::<F>,
            look_up: look_up::<F>,
            rename: rename::<F>,
            link: link::<F>,
            remove: remove::<F>,
            create_dir: create_dir::<F>,
            remove_dir: remove_dir::<F>,
            list: list::<F>,
            sync_dir: sync_dir::<F>,
            lock: lock::<F>,
            unlock: unlock::<F>,
        }
    }

    fn create(&self, path: &str) -> Result<FileId, FileError> {
        let file = self.run(|files| files.create(path))?;
        if path.ends_with(".sst") {
            self.tables_created.fetch_add(1, Ordering::Relaxed);
        }
        Ok(file)
    }

    /// Opens a file to be read.
    fn open(&self, path: &str) -> Result<FileId, FileError> {
        let file = self.run(|files| files.open(path))?;
        if path.ends_with(".log") && hstore_core::planted!("torn-record-accepted") {
            locked(&self.unchecked).insert(file);
        }
        Ok(file)
    }

    fn read_at(&self, file: FileId, offset: u64, length: usize) -> Result<Bytes, FileError> {
        let content = self.run(|files| {
            let content = files.read_at(file, offset, length)?;
            assert!(content.len() <= length, "a read gives what was asked for");
            Ok(content)
        })?;
        if locked(&self.unchecked).contains(&file) {
            return Ok(wal_checksums::renewed(&content).into());
        }
        Ok(content)
    }

    /// How many table files were created.
    pub(super) fn tables_created(&self) -> u64 {
        self.tables_created.load(Ordering::Relaxed)
    }

    /// The panic that ended an operation, if one did and nobody was told yet.
    pub(super) fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        let mut panic = locked(&self.panic);
        match std::mem::replace(&mut *panic, Panic::Resumed) {
            Panic::None => {
                *panic = Panic::None;
                None
            }
            Panic::Caught(payload) => Some(payload),
            Panic::Resumed => None,
        }
    }

    /// Carries out an operation; a panic becomes a failure.
    fn run<T>(&self, operate: impl FnOnce(&mut F) -> Result<T, FileError>) -> Result<T, FileError> {
        let mut panic = locked(&self.panic);
        if !matches!(*panic, Panic::None) {
            return Err(panicked());
        }
        let mut files = locked(&self.files);
        // After a panic nothing is done with the file system any more.
        match std::panic::catch_unwind(AssertUnwindSafe(|| operate(&mut files))) {
            Ok(done) => done,
            Err(payload) => {
                *panic = Panic::Caught(payload);
                Err(panicked())
            }
        }
    }
}

/// Panics are caught inside of the locks, so a poisoned one holds nothing half done.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn panicked() -> FileError {
    FileError {
        operation: "go on",
        path: String::new(),
        kind: FileErrorKind::Io,
        detail: "the file system panicked".to_owned(),
    }
}

/// The number that stands for a kind of failure in C++.
fn outcome(kind: FileErrorKind) -> i32 {
    match kind {
        FileErrorKind::NotFound => 1,
        FileErrorKind::Exists => 2,
        FileErrorKind::Locked => 3,
        FileErrorKind::NoSpace => 4,
        FileErrorKind::Io => 5,
    }
}

/// A path of RocksDB's. One that is not text leads nowhere, so it needs no error of its own.
///
/// # Safety
/// As all of this module: `path` is valid for the time of the call.
unsafe fn text<'a>(path: Path) -> &'a str {
    // SAFETY: the caller's promise.
    std::str::from_utf8(unsafe { slice(path) }).unwrap_or("\0")
}

/// # Safety
/// As all of this module: `bytes` are valid for the time of the call.
unsafe fn slice<'a>(bytes: HstoreBytes) -> &'a [u8] {
    if bytes.size == 0 {
        return &[]; // The pointer may be null then.
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(bytes.data, bytes.size) }
}

/// Runs an operation on the context of a table, writes down why it failed, if it did, and hands
/// on what it gave, if it did not.
///
/// # Safety
/// As all of this module.
unsafe fn answer<F: FileSystem + Send + 'static, T>(
    context: *mut c_void,
    failure: Failure,
    operate: impl FnOnce(&Context<F>) -> Result<T, FileError>,
    succeed: impl FnOnce(T),
) -> i32 {
    // SAFETY: the context is that of the table, which `drop` was not called on yet.
    let context = unsafe { &*context.cast::<Context<F>>() };
    match operate(context) {
        Ok(done) => {
            succeed(done);
            0
        }
        Err(error) => {
            let words = error.to_string();
            let size = words.floor_char_boundary(FAILURE_TEXT_BYTES);
            // SAFETY: the caller's promise. The text is not initialised, so nothing refers to it.
            unsafe {
                let text = (&raw mut (*failure).text).cast::<u8>();
                std::ptr::copy_nonoverlapping(words.as_ptr(), text, size);
                (&raw mut (*failure).size).write(size);
            }
            outcome(error.kind)
        }
    }
}

/// [`answer`], for an operation on the file system.
///
/// # Safety
/// As all of this module.
unsafe fn on_files<F: FileSystem + Send + 'static, T>(
    context: *mut c_void,
    failure: Failure,
    operate: impl FnOnce(&mut F) -> Result<T, FileError>,
    succeed: impl FnOnce(T),
) -> i32 {
    // SAFETY: the caller's promise.
    unsafe {
        answer(
            context,
            failure,
            |port: &Context<F>| port.run(operate),
            succeed,
        )
    }
}

unsafe extern "C" fn drop_context<F>(context: *mut c_void) {
    // SAFETY: `table` made this pointer from an `Arc`, and C++ calls this once.
    drop(unsafe { Arc::from_raw(context.cast::<Context<F>>().cast_const()) });
}

unsafe extern "C" fn create<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    file: *mut u64,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        answer::<F, _>(
            context,
            failure,
            |port| port.create(path),
            |id| *file = id.0,
        )
    }
}

unsafe extern "C" fn open<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    file: *mut u64,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        answer::<F, _>(context, failure, |port| port.open(path), |id| *file = id.0)
    }
}

unsafe extern "C" fn close<F: FileSystem + Send + 'static>(context: *mut c_void, file: u64) {
    // SAFETY: see the module.
    let context = unsafe { &*context.cast::<Context<F>>() };
    // Closing has no result; a panic is kept for the caller of RocksDB.
    let _ = context.run(|files| {
        files.close(FileId(file));
        Ok(())
    });
}

unsafe extern "C" fn append<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    file: u64,
    data: HstoreBytes,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let data = slice(data);
        on_files::<F, _>(
            context,
            failure,
            |files| files.append(FileId(file), data),
            |()| (),
        )
    }
}

unsafe extern "C" fn read_at<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    file: u64,
    offset: u64,
    into: *mut u8,
    length: usize,
    read: *mut usize,
    failure: Failure,
) -> i32 {
    let operate = |port: &Context<F>| port.read_at(FileId(file), offset, length);
    let succeed = |content: Bytes| {
        // SAFETY: `into` has room for `length` bytes, none of which are in `content`.
        unsafe {
            std::ptr::copy_nonoverlapping(content.as_ptr(), into, content.len());
            *read = content.len();
        }
    };
    // SAFETY: see the module.
    unsafe { answer(context, failure, operate, succeed) }
}

unsafe extern "C" fn len<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    file: u64,
    length: *mut u64,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        on_files::<F, _>(
            context,
            failure,
            |files| files.len(FileId(file)),
            |found| *length = found,
        )
    }
}

unsafe extern "C" fn truncate<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    file: u64,
    length: u64,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        on_files::<F, _>(
            context,
            failure,
            |files| files.truncate(FileId(file), length),
            |()| (),
        )
    }
}

unsafe extern "C" fn sync<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    file: u64,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe { on_files::<F, _>(context, failure, |files| files.sync(FileId(file)), |()| ()) }
}

unsafe extern "C" fn range_sync<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    file: u64,
    offset: u64,
    length: u64,
    failure: Failure,
) -> i32 {
    let operate = |files: &mut F| files.range_sync(FileId(file), offset, length);
    // SAFETY: see the module.
    unsafe { on_files::<F, _>(context, failure, operate, |()| ()) }
}

unsafe extern "C" fn look_up<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    kind: *mut HstorePathKind,
    failure: Failure,
) -> i32 {
    let succeed = |found| {
        let (is_directory, length) = match found {
            PathKind::Directory => (true, 0),
            PathKind::File(length) => (false, length),
        };
        // SAFETY: see the module; it may hold anything before, so it is written whole.
        unsafe {
            kind.write(HstorePathKind {
                is_directory,
                length,
            });
        }
    };
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        on_files::<F, _>(context, failure, |files| files.look_up(path), succeed)
    }
}

unsafe extern "C" fn rename<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    from: Path,
    to: Path,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let (from, to) = (text(from), text(to));
        on_files::<F, _>(context, failure, |files| files.rename(from, to), |()| ())
    }
}

unsafe extern "C" fn link<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    from: Path,
    to: Path,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let (from, to) = (text(from), text(to));
        on_files::<F, _>(context, failure, |files| files.link(from, to), |()| ())
    }
}

unsafe extern "C" fn remove<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        on_files::<F, _>(context, failure, |files| files.remove(path), |()| ())
    }
}

unsafe extern "C" fn create_dir<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        on_files::<F, _>(context, failure, |files| files.create_dir(path), |()| ())
    }
}

unsafe extern "C" fn remove_dir<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        on_files::<F, _>(context, failure, |files| files.remove_dir(path), |()| ())
    }
}

unsafe extern "C" fn list<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    names: *mut c_void,
    add: AddName,
    failure: Failure,
) -> i32 {
    let succeed = |found: Vec<String>| {
        for name in found {
            let (data, size) = (name.as_ptr(), name.len());
            // SAFETY: C++ copies the name into the `names` that it gave.
            unsafe { add(names, HstoreBytes { data, size }) };
        }
    };
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        on_files::<F, _>(context, failure, |files| files.list(path), succeed)
    }
}

unsafe extern "C" fn sync_dir<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        on_files::<F, _>(context, failure, |files| files.sync_dir(path), |()| ())
    }
}

unsafe extern "C" fn lock<F: FileSystem + Send + 'static>(
    context: *mut c_void,
    path: Path,
    lock: *mut u64,
    failure: Failure,
) -> i32 {
    // SAFETY: see the module.
    unsafe {
        let path = text(path);
        on_files::<F, _>(
            context,
            failure,
            |files| files.lock(path),
            |id| *lock = id.0,
        )
    }
}

unsafe extern "C" fn unlock<F: FileSystem + Send + 'static>(context: *mut c_void, lock: u64) {
    // SAFETY: see the module.
    let context = unsafe { &*context.cast::<Context<F>>() };
    let _ = context.run(|files| {
        files.unlock(LockId(lock));
        Ok(())
    });
}
