//! Damage that RocksDB would read for ever.
//!
//! RocksDB can write its logs over old ones, *recycled*; fragments then have types of their own. Where it
//! meets such a type in a log that did not begin with one, its reader (`log::Reader::ReadPhysicalRecord`, as of
//! 11.8) says that the record is bad, and does not go on: asked for the next one, it reads the same again,
//! without end. One flipped bit does that, or what a power failure leaves of a log's end; and the store
//! could not be opened any more, nor would it say so.
//!
//! Logs are never recycled here. So before RocksDB opens a store, its logs are looked through for such a
//! fragment. A log is cut within the header, where RocksDB tells it from a log that ends well and does with
//! it what it does with any record that is not whole. A manifest has no end that may be torn: there it is
//! damage, as a wrong checksum would be.

use hstore_core::ports::file_system::{FileError, FileErrorKind, FileId, FileSystem};
use hstore_core::ports::log_store::StoreError;

use super::framing::{BLOCK_BYTES, Fragment, HEADER_BYTES, ZERO};

/// Makes sure that RocksDB comes to an end with the logs in `directory`, if there is one.
///
/// # Errors
/// If a manifest has such a fragment, or a file operation fails.
pub(super) fn cut_endless(files: &mut impl FileSystem, directory: &str) -> Result<(), StoreError> {
    let names = match files.list(directory) {
        Ok(names) => names,
        Err(error) if error.kind == FileErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    for name in names {
        let is_log = name.ends_with(".log");
        if !is_log && !name.starts_with("MANIFEST-") {
            continue;
        }
        let path = if directory.is_empty() {
            name
        } else {
            format!("{directory}/{name}")
        };
        let file = files.open(&path)?;
        let found = look_and_cut(files, file, is_log);
        files.close(file);
        if let Some(offset) = found?
            && !is_log
        {
            return Err(StoreError::Damaged(format!(
                "`{path}` has a record of another kind of file at offset {offset}"
            )));
        }
    }
    Ok(())
}

/// Where the reader would stay, if it would. A log is cut there.
fn look_and_cut(
    files: &mut impl FileSystem,
    file: FileId,
    is_log: bool,
) -> Result<Option<u64>, FileError> {
    let found = look(files, file)?;
    if let (Some(offset), true) = (found, is_log) {
        // All of the header but the type.
        files.truncate(file, offset + HEADER_BYTES as u64 - 1)?;
        files.sync(file)?;
    }
    Ok(found)
}

fn look(files: &mut impl FileSystem, file: FileId) -> Result<Option<u64>, FileError> {
    let mut has_records = false;
    let mut offset = 0;
    loop {
        let block = files.read_at(file, offset, BLOCK_BYTES)?;
        if let Some(start) = look_in_block(&block, &mut has_records) {
            return Ok(Some(offset + start as u64));
        }
        if block.len() < BLOCK_BYTES {
            return Ok(None);
        }
        offset += BLOCK_BYTES as u64;
    }
}

/// `has_records`: whether a sound fragment came before. Without one the log counts as recycled, and its reader
/// takes what there is for that of another log.
fn look_in_block(block: &[u8], has_records: &mut bool) -> Option<usize> {
    let mut at = 0;
    while let Some(fragment) = Fragment::at(block, at) {
        if is_of_recycled(fragment.kind) {
            return has_records.then_some(at);
        }
        // The reader passes over the rest of the block.
        if fragment.kind == ZERO || fragment.expected_checksum(block) != Some(fragment.checksum) {
            return None;
        }
        *has_records = true;
        at = fragment.end;
    }
    None
}

/// Types 5 to 8 are those of records and their parts, 11 and 131 of what is said about a log.
fn is_of_recycled(kind: u8) -> bool {
    matches!(kind, 5..=8 | 11 | 131)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posix::PosixFileSystem;
    use crate::rocks::framing::fragment;

    fn cut(name: &str, content: &[u8]) -> (Result<(), StoreError>, Vec<u8>) {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join(name);
        std::fs::write(&path, content).expect("written");
        let mut files = PosixFileSystem::open(directory.path()).expect("opened");
        let done = cut_endless(&mut files, "");
        (done, std::fs::read(&path).expect("read"))
    }

    #[test]
    fn a_log_is_cut_where_its_reader_would_stay() {
        for kind in [5, 6, 7, 8, 11, 131] {
            let sound = [
                fragment(1, b"one"),
                fragment(2, b"two"),
                fragment(4, b"more"),
            ]
            .concat();
            let whole = [&sound[..], &fragment(kind, b"bad"), &fragment(1, b"x")].concat();
            let (done, left) = cut("000009.log", &whole);
            assert_eq!(done, Ok(()));
            assert_eq!(left, whole[..sound.len() + 6], "type {kind}");
            // It is not found again.
            assert_eq!(cut("000009.log", &left), (Ok(()), left));
        }
    }

    #[test]
    fn it_is_found_in_a_later_block_behind_one_that_makes_no_sense() {
        let mut bytes = fragment(1, b"one");
        bytes.extend(b"no fragment begins here");
        bytes.resize(BLOCK_BYTES, 0xff);
        let end = bytes.len();
        bytes.extend(fragment(8, b""));
        assert_eq!(cut("000009.log", &bytes).1.len(), end + 6);
    }

    #[test]
    fn what_its_reader_gets_over_is_left() {
        let torn = &fragment(1, b"torn")[..9];
        let mut flipped = fragment(1, b"flipped");
        flipped[8] ^= 1;
        for end in [
            &fragment(1, b"whole")[..],
            torn,
            &flipped,
            &[0; 40],
            &[5; 6],
        ] {
            let bytes = [&fragment(1, b"one")[..], end].concat();
            assert_eq!(cut("000009.log", &bytes), (Ok(()), bytes));
        }
        let recycled = fragment(5, b"first");
        assert_eq!(cut("000009.log", &recycled), (Ok(()), recycled));
        let other = [fragment(1, b"one"), fragment(5, b"two")].concat();
        assert_eq!(cut("000009.sst", &other), (Ok(()), other.clone()));
        assert_eq!(cut("LOG", &other), (Ok(()), other));
    }

    #[test]
    fn a_manifest_is_damaged_by_it() {
        let bytes = [fragment(1, b"one"), fragment(5, b"two")].concat();
        let (done, left) = cut("MANIFEST-000004", &bytes);
        let error = done.expect_err("it is damaged").to_string();
        assert!(
            error.contains("`MANIFEST-000004`") && error.contains("offset 10"),
            "{error}"
        );
        assert_eq!(left, bytes);
    }

    #[test]
    fn there_need_be_no_store() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = PosixFileSystem::open(directory.path()).expect("opened");
        assert_eq!(cut_endless(&mut files, "store"), Ok(()));
    }
}
