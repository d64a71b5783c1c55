//! The port on real files, and the model store on it.

use std::os::unix::fs::symlink;

use hstore_core::ports::file_system::{FileErrorKind, FileSystem};
use hstore_core::ports::log_store::StoreError;
use hstore_tier1::contract::{Backend, check_file_system, check_store};
use hstore_tier1::model::{ModelState, ModelStore, ModelStoreOptions};
use hstore_tier1::posix::PosixFileSystem;
use tempfile::TempDir;

/// A model store in a directory that is removed with it. A crash is the end of the process: what was
/// written stays.
struct OnFiles {
    root: TempDir,
    options: ModelStoreOptions,
}

impl OnFiles {
    fn new(options: ModelStoreOptions) -> Self {
        let root = tempfile::tempdir().expect("there is room for a directory");
        Self { root, options }
    }
}

impl Backend for OnFiles {
    type Store = ModelStore<PosixFileSystem>;

    fn open(&mut self) -> Result<Self::Store, StoreError> {
        let files = PosixFileSystem::open(self.root.path())?;
        ModelStore::open_with(files, "node/store", self.options)
    }

    fn crash(&mut self, store: Self::Store) {
        drop(store);
    }
}

/// A store that nothing survives.
struct InMemory;

impl Backend for InMemory {
    type Store = ModelState;

    fn open(&mut self) -> Result<Self::Store, StoreError> {
        Ok(ModelState::default())
    }

    fn crash(&mut self, _: Self::Store) {}

    fn survives(&self) -> bool {
        false
    }
}

#[test]
fn the_model_store_keeps_the_contract_on_real_files() {
    check_store(|| OnFiles::new(ModelStoreOptions::default()));
}

#[test]
fn the_model_store_keeps_the_contract_with_many_generations() {
    let options = ModelStoreOptions {
        wal_bytes_max: 3_000,
    };
    check_store(|| OnFiles::new(options));
}

#[test]
fn the_model_state_keeps_the_contract() {
    check_store(|| InMemory);
}

#[test]
fn real_files_keep_the_contract() {
    let mut roots = Vec::new();
    check_file_system(|| {
        let root = tempfile::tempdir().expect("there is room for a directory");
        let files = PosixFileSystem::open(root.path()).expect("the root is there");
        roots.push(root);
        files
    });
}

#[test]
fn links_out_of_the_root_are_refused() {
    let outside = tempfile::tempdir().expect("there is room for a directory");
    let root = tempfile::tempdir().expect("there is room for a directory");
    std::fs::write(outside.path().join("secret"), b"secret").expect("a file can be written");
    symlink(outside.path(), root.path().join("directory")).expect("a link can be made");
    symlink(outside.path().join("secret"), root.path().join("file")).expect("a link can be made");
    let mut files = PosixFileSystem::open(root.path()).expect("the root is there");
    for path in ["directory/secret", "file"] {
        let errors = [
            files.open(path).err(),
            files.create(path).err(),
            files.remove(path).err(),
        ];
        for error in errors {
            assert_eq!(error.map(|e| e.kind), Some(FileErrorKind::NotFound));
        }
    }
    assert!(files.list("directory").is_err());
    assert!(outside.path().join("secret").exists());
}
