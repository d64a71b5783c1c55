//! The table called as C++ calls it. There is no C++ in these tests, so that Miri can run them.

#![allow(unsafe_code)]

use std::collections::BTreeMap;
use std::ffi::c_void;
use std::mem::MaybeUninit;

use bytes::Bytes;
use hstore_core::ports::file_system::{
    FileError, FileErrorKind, FileId, FileSystem, LockId, PathKind,
};

use super::table::{Context, HstoreBytes, HstoreFailure, HstoreFiles, HstorePathKind};

/// Files without directories, in memory.
#[derive(Default)]
struct InMemory {
    files: BTreeMap<String, Vec<u8>>,
    open: BTreeMap<u64, String>,
    next: u64,
}

impl InMemory {
    fn error(path: &str, kind: FileErrorKind, detail: &str) -> FileError {
        FileError {
            operation: "use",
            path: path.to_owned(),
            kind,
            detail: detail.to_owned(),
        }
    }

    fn content(&mut self, file: FileId) -> &mut Vec<u8> {
        let path = self.open.get(&file.0).expect("only open files are used");
        self.files.get_mut(path).expect("an open file is there")
    }
}

impl FileSystem for InMemory {
    fn create(&mut self, path: &str) -> Result<FileId, FileError> {
        self.files.insert(path.to_owned(), Vec::new());
        self.open(path)
    }
    fn open(&mut self, path: &str) -> Result<FileId, FileError> {
        if !self.files.contains_key(path) {
            return Err(Self::error(path, FileErrorKind::NotFound, "no such file"));
        }
        self.next += 1;
        self.open.insert(self.next, path.to_owned());
        Ok(FileId(self.next))
    }
    fn close(&mut self, file: FileId) {
        self.open.remove(&file.0);
    }
    fn append(&mut self, file: FileId, data: &[u8]) -> Result<(), FileError> {
        self.content(file).extend_from_slice(data);
        Ok(())
    }
    fn read_at(&mut self, file: FileId, offset: u64, length: usize) -> Result<Bytes, FileError> {
        let content = self.content(file).iter().skip(offset as usize);
        Ok(content.take(length).copied().collect())
    }
    fn len(&mut self, file: FileId) -> Result<u64, FileError> {
        Ok(self.content(file).len() as u64)
    }
    fn truncate(&mut self, file: FileId, length: u64) -> Result<(), FileError> {
        self.content(file).truncate(length as usize);
        Ok(())
    }
    fn sync(&mut self, _: FileId) -> Result<(), FileError> {
        // Longer than what reaches RocksDB, and cut within a character.
        let detail = format!("x{}", "ü".repeat(400));
        Err(Self::error("a file", FileErrorKind::NoSpace, &detail))
    }
    fn range_sync(&mut self, _: FileId, _: u64, _: u64) -> Result<(), FileError> {
        Ok(())
    }
    fn look_up(&mut self, path: &str) -> Result<PathKind, FileError> {
        match self.files.get(path) {
            Some(content) => Ok(PathKind::File(content.len() as u64)),
            None if path == "directory" => Ok(PathKind::Directory),
            None => Err(Self::error(path, FileErrorKind::NotFound, "no such file")),
        }
    }
    fn rename(&mut self, from: &str, to: &str) -> Result<(), FileError> {
        let content = self.files.remove(from).expect("the test renames a file");
        self.files.insert(to.to_owned(), content);
        Ok(())
    }
    fn link(&mut self, _: &str, to: &str) -> Result<(), FileError> {
        Err(Self::error(to, FileErrorKind::Exists, "the name is taken"))
    }
    fn remove(&mut self, path: &str) -> Result<(), FileError> {
        self.files.remove(path);
        Ok(())
    }
    fn create_dir(&mut self, _: &str) -> Result<(), FileError> {
        panic!("a bug of the file system")
    }
    fn remove_dir(&mut self, _: &str) -> Result<(), FileError> {
        Ok(())
    }
    fn list(&mut self, _: &str) -> Result<Vec<String>, FileError> {
        Ok(self.files.keys().cloned().collect())
    }
    fn sync_dir(&mut self, _: &str) -> Result<(), FileError> {
        Ok(())
    }
    fn lock(&mut self, path: &str) -> Result<LockId, FileError> {
        match path {
            "held" => Err(Self::error(path, FileErrorKind::Locked, "it is held")),
            _ => Ok(LockId(9)),
        }
    }
    fn unlock(&mut self, _: LockId) {}
}

fn lend(text: &[u8]) -> HstoreBytes {
    let (data, size) = (text.as_ptr(), text.len());
    HstoreBytes { data, size }
}

/// Calls a function of the table and gives its outcome with the words of its failure. Room for the
/// failure is not initialised, as it is not in C++, but for its size.
fn call(function: impl FnOnce(*mut HstoreFailure) -> i32) -> (i32, String) {
    let mut failure = MaybeUninit::<HstoreFailure>::uninit();
    let pointer = failure.as_mut_ptr();
    // SAFETY: the place exists.
    unsafe { (&raw mut (*pointer).size).write(0) };
    let outcome = function(pointer);
    // SAFETY: the size was written above, and so many bytes of text by the callee.
    let words = unsafe {
        let text = (&raw const (*pointer).text).cast::<u8>();
        std::slice::from_raw_parts(text, (&raw const (*pointer).size).read())
    };
    let words = std::str::from_utf8(words).expect("it is cut between characters");
    (outcome, words.to_owned())
}

unsafe extern "C" fn add(names: *mut c_void, name: HstoreBytes) {
    // SAFETY: the test below passes this vector, and the table a name.
    let (names, name) = unsafe {
        (
            &mut *names.cast::<Vec<Vec<u8>>>(),
            std::slice::from_raw_parts(name.data, name.size),
        )
    };
    names.push(name.to_vec());
}

fn done(outcome: (i32, String)) {
    assert_eq!(outcome, (0, String::new()));
}

fn with_table(test: impl FnOnce(&HstoreFiles, &Context<InMemory>)) {
    let context = Context::new(InMemory::default());
    let table = context.table();
    test(&table, &context);
    // SAFETY: it is called once.
    unsafe { (table.drop)(table.context) };
    assert_eq!(
        std::sync::Arc::strong_count(&context),
        1,
        "the table let go of its context"
    );
}

#[test]
fn files_are_written_and_read_through_the_table() {
    with_table(|table, context| {
        let at = table.context;
        let mut file = 0;
        let path = "a/000001.sst".to_owned();
        let path = lend(path.as_bytes());
        // SAFETY: all of these calls are made as C++ makes them.
        unsafe {
            done(call(|why| (table.create)(at, path, &raw mut file, why)));
            assert_eq!(context.tables_created(), 1);
            done(call(|why| (table.append)(at, file, lend(b"hello"), why)));
            let nothing = HstoreBytes {
                data: std::ptr::null(),
                size: 0,
            };
            done(call(|why| (table.append)(at, file, nothing, why)));
            let mut length = 0;
            done(call(|why| (table.len)(at, file, &raw mut length, why)));
            assert_eq!(length, 5);
            let mut into = [MaybeUninit::<u8>::uninit(); 9];
            let mut read = 0;
            let buffer = into.as_mut_ptr().cast();
            done(call(|why| {
                (table.read_at)(at, file, 1, buffer, 9, &raw mut read, why)
            }));
            assert_eq!(read, 4);
            assert_eq!(
                std::slice::from_raw_parts(buffer.cast_const(), read),
                b"ello"
            );
            done(call(|why| (table.truncate)(at, file, 2, why)));
            done(call(|why| (table.range_sync)(at, file, 0, 2, why)));
            (table.close)(at, file);
            done(call(|why| (table.open)(at, path, &raw mut file, why)));
            (table.close)(at, file);
            let mut kind = MaybeUninit::<HstorePathKind>::uninit();
            done(call(|why| {
                (table.look_up)(at, path, kind.as_mut_ptr(), why)
            }));
            let found = kind.assume_init_ref();
            assert_eq!((found.is_directory, found.length), (false, 2));
            done(call(|why| {
                (table.look_up)(at, lend(b"directory"), kind.as_mut_ptr(), why)
            }));
            assert!(kind.assume_init_ref().is_directory);
            done(call(|why| (table.rename)(at, path, lend(b"b"), why)));
            let mut names: Vec<Vec<u8>> = Vec::new();
            let pointer = (&raw mut names).cast();
            done(call(|why| (table.list)(at, lend(b""), pointer, add, why)));
            assert_eq!(names, [b"b"]);
            done(call(|why| (table.sync_dir)(at, lend(b""), why)));
            done(call(|why| (table.remove_dir)(at, lend(b"x"), why)));
            done(call(|why| (table.remove)(at, lend(b"b"), why)));
            let mut lock = 0;
            done(call(|why| {
                (table.lock)(at, lend(b"lock"), &raw mut lock, why)
            }));
            assert_eq!(lock, 9);
            (table.unlock)(at, lock);
        }
    });
}

#[test]
fn failures_cross_with_their_kind_and_their_words() {
    with_table(|table, _| {
        let at = table.context;
        let mut number = 0;
        // SAFETY: as above.
        unsafe {
            let (outcome, words) = call(|why| (table.open)(at, lend(b"no"), &raw mut number, why));
            assert_eq!(outcome, 1);
            assert_eq!(words, "cannot use `no`: no such file");
            let (outcome, words) =
                call(|why| (table.open)(at, lend(b"\xff\xfe"), &raw mut number, why));
            assert_eq!(outcome, 1, "a path that is not text leads nowhere: {words}");
            assert_eq!(
                call(|why| (table.link)(at, lend(b"a"), lend(b"b"), why)).0,
                2
            );
            let held = call(|why| (table.lock)(at, lend(b"held"), &raw mut number, why));
            assert_eq!(held.0, 3);
            let (outcome, words) = call(|why| (table.sync)(at, 1, why));
            assert_eq!(outcome, 4);
            assert!(
                words.len() > 240 && words.starts_with("cannot use"),
                "{words}"
            );
        }
    });
}

#[test]
fn after_a_panic_everything_fails_and_the_panic_is_handed_on_once() {
    with_table(|table, context| {
        let at = table.context;
        assert!(context.take_panic().is_none());
        // SAFETY: as above.
        unsafe {
            for _ in 0..2 {
                let (outcome, words) = call(|why| (table.create_dir)(at, lend(b"x"), why));
                assert_eq!(outcome, 5);
                assert!(words.contains("panicked"), "{words}");
            }
            let panic = context.take_panic().expect("it was caught");
            assert_eq!(panic.downcast_ref(), Some(&"a bug of the file system"));
            assert!(context.take_panic().is_none(), "it is handed on once");
            assert_eq!(call(|why| (table.sync_dir)(at, lend(b""), why)).0, 5);
            (table.close)(at, 1);
            (table.unlock)(at, 1);
        }
    });
}
