//! The contract of [`FileSystem`], short of power failures: those are for the simulated disk's own
//! tests, since only it can have them.

use std::fmt::Debug;

use hstore_core::ports::file_system::{FileError, FileErrorKind, FileSystem, PathKind};

/// Runs the suite; `new_files` makes an empty file system.
///
/// # Panics
/// If the file system breaks the contract.
pub fn check_file_system<F: FileSystem>(mut new_files: impl FnMut() -> F) {
    what_was_appended_is_read(&mut new_files());
    creating_empties_what_was_there(&mut new_files());
    truncating_cuts_and_never_extends(&mut new_files());
    renaming_replaces(&mut new_files());
    linking_gives_one_name_more(&mut new_files());
    removing_takes_the_name_and_not_the_open_file(&mut new_files());
    paths_are_looked_up(&mut new_files());
    only_empty_directories_are_removed(&mut new_files());
    a_lock_is_held_once(&mut new_files());
    directories_list_their_names(&mut new_files());
    names_that_are_taken_or_missing_are_refused(&mut new_files());
    paths_stay_below_the_root(&mut new_files());
    a_closed_file_is_refused(&mut new_files());
}

fn expect_kind<T: Debug>(result: Result<T, FileError>, kind: FileErrorKind, what: &str) {
    match result {
        Err(error) => assert_eq!(error.kind, kind, "{what}: {error}"),
        Ok(done) => panic!("{what}: expected {kind:?}, got {done:?}"),
    }
}

fn write<F: FileSystem>(files: &mut F, path: &str, content: &[u8]) {
    let file = files.create(path).expect("a file can be created");
    files.append(file, content).expect("a file can be appended");
    files.close(file);
}

fn read<F: FileSystem>(files: &mut F, path: &str) -> Vec<u8> {
    let file = files.open(path).expect("the file exists");
    let content = files
        .read_at(file, 0, usize::MAX)
        .expect("a file can be read");
    files.close(file);
    content.to_vec()
}

fn what_was_appended_is_read<F: FileSystem>(files: &mut F) {
    let file = files.create("file").expect("a file can be created");
    let mut expected = Vec::new();
    for i in 0..40_u8 {
        let part = vec![i; usize::from(i) * 7];
        files.append(file, &part).expect("appends succeed");
        expected.extend_from_slice(&part);
        if i % 4 == 0 {
            let end = expected.len() as u64;
            files.range_sync(file, 0, end).expect("it is only a hint");
        }
        if i % 8 == 0 {
            files.sync(file).expect("syncs succeed");
        }
        assert_eq!(files.len(file), Ok(expected.len() as u64));
    }
    for (offset, length) in [(0, 10), (500, 600), (expected.len() - 5, 5)] {
        let content = files
            .read_at(file, offset as u64, length)
            .expect("reads succeed");
        assert_eq!(content[..], expected[offset..offset + length]);
    }
    let end = expected.len() as u64;
    let tail = files
        .read_at(file, end - 5, 100)
        .expect("a read over the end gets what is there");
    assert_eq!(tail[..], expected[expected.len() - 5..]);
    for beyond in [end, end + 1, end + 10_000] {
        let nothing = files
            .read_at(file, beyond, 10)
            .expect("a read beyond the end gets nothing");
        assert!(nothing.is_empty());
    }
    files.close(file);
    assert_eq!(read(files, "file"), expected, "closing changes nothing");
}

fn creating_empties_what_was_there<F: FileSystem>(files: &mut F) {
    write(files, "file", b"old content");
    write(files, "file", b"new");
    assert_eq!(read(files, "file"), b"new");
    let file = files.open("file").expect("the file exists");
    files
        .append(file, b"er")
        .expect("an opened file is appended to");
    assert_eq!(read(files, "file"), b"newer");
}

fn truncating_cuts_and_never_extends<F: FileSystem>(files: &mut F) {
    let file = files.create("file").expect("a file can be created");
    files.append(file, &[7; 2_000]).expect("appends succeed");
    files.truncate(file, 1_001).expect("a file can be cut");
    files.append(file, b"tail").expect("appends go to the end");
    let mut expected = vec![7; 1_001];
    expected.extend_from_slice(b"tail");
    assert_eq!(read(files, "file"), expected);
    assert!(
        files.truncate(file, 1_006).is_err(),
        "a file is cut to no more than it has"
    );
    files.truncate(file, 0).expect("a file can be emptied");
    assert_eq!(files.len(file), Ok(0));
}

fn renaming_replaces<F: FileSystem>(files: &mut F) {
    files
        .create_dir("directory")
        .expect("a directory can be created");
    write(files, "from", b"from");
    write(files, "directory/to", b"to");
    files
        .rename("from", "directory/to")
        .expect("a file can be renamed");
    assert_eq!(read(files, "directory/to"), b"from");
    assert_eq!(files.list("").expect("the root exists"), ["directory"]);
    files
        .rename("directory/to", "directory/to")
        .expect("a file can be renamed to itself");
    assert_eq!(read(files, "directory/to"), b"from");
    expect_kind(
        files.rename("from", "elsewhere"),
        FileErrorKind::NotFound,
        "renaming what is not there",
    );
    expect_kind(
        files.rename("directory/to", "missing/to"),
        FileErrorKind::NotFound,
        "renaming into a missing directory",
    );
}

fn linking_gives_one_name_more<F: FileSystem>(files: &mut F) {
    files
        .create_dir("directory")
        .expect("a directory can be created");
    write(files, "first", b"content");
    files
        .link("first", "directory/second")
        .expect("a file can be linked");
    let file = files.open("first").expect("the file exists");
    files.append(file, b" and more").expect("appends succeed");
    assert_eq!(read(files, "directory/second"), b"content and more");
    files.remove("first").expect("a name can be removed");
    assert_eq!(read(files, "directory/second"), b"content and more");
    write(files, "taken", b"");
    expect_kind(
        files.link("directory/second", "taken"),
        FileErrorKind::Exists,
        "linking to a name that is taken",
    );
    expect_kind(
        files.link("missing", "name"),
        FileErrorKind::NotFound,
        "linking what is not there",
    );
    expect_kind(
        files.link("directory", "name"),
        FileErrorKind::Exists,
        "linking a directory",
    );
}

fn paths_are_looked_up<F: FileSystem>(files: &mut F) {
    files.create_dir("a/b").expect("both are created");
    write(files, "a/file", b"twelve bytes");
    assert_eq!(files.look_up(""), Ok(PathKind::Directory));
    assert_eq!(files.look_up("a/b"), Ok(PathKind::Directory));
    assert_eq!(files.look_up("a/file"), Ok(PathKind::File(12)));
    for missing in ["b", "a/b/file", "a/file/file", "missing/file"] {
        expect_kind(files.look_up(missing), FileErrorKind::NotFound, missing);
    }
}

fn only_empty_directories_are_removed<F: FileSystem>(files: &mut F) {
    files.create_dir("a/b").expect("both are created");
    write(files, "file", b"");
    let full = "removing a directory that is not empty";
    expect_kind(files.remove_dir("a"), FileErrorKind::Exists, full);
    files.remove_dir("a/b").expect("it is empty");
    files.remove_dir("a").expect("it is empty now");
    assert_eq!(files.list("").expect("the root exists"), ["file"]);
    expect_kind(
        files.remove_dir("a"),
        FileErrorKind::NotFound,
        "removing twice",
    );
    expect_kind(
        files.remove_dir("file"),
        FileErrorKind::NotFound,
        "removing a file as a directory",
    );
}

fn a_lock_is_held_once<F: FileSystem>(files: &mut F) {
    let lock = files.lock("lock").expect("a free lock is taken");
    assert_eq!(files.look_up("lock"), Ok(PathKind::File(0)), "it is a file");
    expect_kind(
        files.lock("lock"),
        FileErrorKind::Locked,
        "taking a lock twice",
    );
    let other = files.lock("other").expect("another lock is free");
    files.unlock(lock);
    let again = files.lock("lock").expect("it was let go");
    assert!(
        again != lock && again != other,
        "a lock's number is not used again"
    );
    expect_kind(
        files.lock("missing/lock"),
        FileErrorKind::NotFound,
        "locking in a missing directory",
    );
}

fn removing_takes_the_name_and_not_the_open_file<F: FileSystem>(files: &mut F) {
    write(files, "file", b"content");
    let file = files.open("file").expect("the file exists");
    files.remove("file").expect("a file can be removed");
    expect_kind(
        files.open("file"),
        FileErrorKind::NotFound,
        "opening a removed file",
    );
    expect_kind(
        files.remove("file"),
        FileErrorKind::NotFound,
        "removing twice",
    );
    write(files, "file", b"another");
    assert_eq!(
        files.read_at(file, 0, 100).expect("the file is still open")[..],
        *b"content"
    );
}

fn directories_list_their_names<F: FileSystem>(files: &mut F) {
    assert!(files.list("").expect("the root exists").is_empty());
    files.create_dir("a/b").expect("both are created");
    files
        .create_dir("a/b")
        .expect("an existing directory is left");
    for name in ["z", "a/y", "a/b/two", "a/b/one"] {
        write(files, name, b"");
    }
    assert_eq!(files.list("").expect("it exists"), ["a", "z"]);
    assert_eq!(files.list("a").expect("it exists"), ["b", "y"]);
    assert_eq!(files.list("a/b").expect("it exists"), ["one", "two"]);
    for directory in ["", "a", "a/b"] {
        files
            .sync_dir(directory)
            .expect("a directory can be synced");
    }
}

fn names_that_are_taken_or_missing_are_refused<F: FileSystem>(files: &mut F) {
    use FileErrorKind::{Exists, NotFound};
    files
        .create_dir("directory")
        .expect("a directory can be created");
    write(files, "file", b"");
    expect_kind(files.open("missing"), NotFound, "opening a missing file");
    expect_kind(
        files.create("missing/file"),
        NotFound,
        "creating in a missing directory",
    );
    expect_kind(files.create("file/file"), NotFound, "creating below a file");
    expect_kind(
        files.create("directory"),
        Exists,
        "creating a file where a directory is",
    );
    expect_kind(files.open("directory"), Exists, "opening a directory");
    expect_kind(files.remove("directory"), Exists, "removing a directory");
    expect_kind(
        files.rename("directory", "other"),
        Exists,
        "renaming a directory",
    );
    expect_kind(
        files.rename("file", "directory"),
        Exists,
        "renaming onto a directory",
    );
    expect_kind(
        files.create_dir("file"),
        Exists,
        "creating a directory where a file is",
    );
    expect_kind(
        files.create_dir("file/directory"),
        NotFound,
        "creating a directory below a file",
    );
    expect_kind(files.list("missing"), NotFound, "listing what is missing");
    expect_kind(files.list("file"), NotFound, "listing a file");
    expect_kind(
        files.sync_dir("missing"),
        NotFound,
        "syncing a missing directory",
    );
    expect_kind(
        files.sync_dir("file"),
        NotFound,
        "syncing a file as a directory",
    );
}

fn paths_stay_below_the_root<F: FileSystem>(files: &mut F) {
    use FileErrorKind::NotFound;
    files.create_dir("a").expect("a directory can be created");
    write(files, "file", b"");
    for path in [
        "/file",
        "../file",
        "a/../file",
        "./file",
        "a//file",
        "file/",
        "..",
        ".",
        "/",
        "a\0b",
    ] {
        let what = format!("the path {path:?}");
        expect_kind(files.create(path), NotFound, &what);
        expect_kind(files.open(path), NotFound, &what);
        expect_kind(files.remove(path), NotFound, &what);
        expect_kind(files.rename(path, "to"), NotFound, &what);
        expect_kind(files.rename("file", path), NotFound, &what);
        expect_kind(files.link(path, "to"), NotFound, &what);
        expect_kind(files.link("file", path), NotFound, &what);
        expect_kind(files.look_up(path), NotFound, &what);
        expect_kind(files.remove_dir(path), NotFound, &what);
        expect_kind(files.lock(path), NotFound, &what);
        expect_kind(files.create_dir(path), NotFound, &what);
        expect_kind(files.list(path), NotFound, &what);
        expect_kind(files.sync_dir(path), NotFound, &what);
    }
    for operation in [
        FileSystem::create as fn(&mut F, &str) -> _,
        FileSystem::open,
    ] {
        expect_kind(operation(files, ""), NotFound, "the root as a file");
    }
    assert_eq!(files.list("").expect("the root exists"), ["a", "file"]);
}

fn a_closed_file_is_refused<F: FileSystem>(files: &mut F) {
    let file = files.create("file").expect("a file can be created");
    files.close(file);
    let what = "a closed file";
    expect_kind(files.append(file, b"x"), FileErrorKind::Io, what);
    expect_kind(files.read_at(file, 0, 1), FileErrorKind::Io, what);
    expect_kind(files.len(file), FileErrorKind::Io, what);
    expect_kind(files.truncate(file, 0), FileErrorKind::Io, what);
    expect_kind(files.sync(file), FileErrorKind::Io, what);
    expect_kind(files.range_sync(file, 0, 1), FileErrorKind::Io, what);
    let again = files.open("file").expect("the file exists");
    assert_ne!(again, file, "a file's number is not used again");
}
