//! A data directory belongs to one node of one cluster, and to one process at a time.
//!
//! ```text
//!   data/LOCK        locked while a process uses the directory
//!   data/identity    written once, before anything else: whose directory it is
//!   data/store/      RocksDB
//! ```
//!
//! `identity` is a text of lines `key = value`: `format`, `cluster`, `node`, `metadata`. The last one
//! is the set of nodes that hold the registers: what they agreed on stays with them, so it must not
//! change over the lives of a node.
//!
//! # Invariants
//!
//! - The store is created only after the identity is durable.
//! - A directory that holds something and no identity is nobody's, and left alone.

use std::fmt;
use std::path::{Path, PathBuf};

use hstore_core::ports::file_system::{FileError, FileErrorKind, FileSystem, LockId};
use hstore_core::{NodeId, NodeSet};
use hstore_tier1::posix::PosixFileSystem;

/// The version of the directory's layout.
pub const FORMAT: u32 = 1;

const LOCK: &str = "LOCK";
const IDENTITY: &str = "identity";
/// Says that there was a store.
const STORED: &str = "stored";
const UNFINISHED: &str = "identity.new";
const STORE: &str = "store";
/// An identity is a few lines; what is longer is none.
const IDENTITY_BYTES_MAX: usize = 4096;

/// Whose directory it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The node.
    pub node: NodeId,
    /// The nodes that hold the registers.
    pub metadata: NodeSet,
}

/// A directory that this process may use, until this is dropped.
#[derive(Debug)]
pub struct Claim {
    files: PosixFileSystem,
    lock: LockId,
    root: PathBuf,
}

/// Why a directory was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// A file operation failed.
    #[error("the data directory {} cannot be used: {error}", .root.display())]
    File {
        /// The directory.
        root: PathBuf,
        /// What failed.
        error: FileError,
    },
    /// Another process has it.
    #[error(
        "the data directory {} is in use by another process: a node runs once; stop that process, or choose another directory",
        .root.display()
    )]
    InUse {
        /// The directory.
        root: PathBuf,
    },
    /// It is another's.
    #[error(
        "the data directory {} belongs to {found}, this process is {wanted}: give it the directory of its own node",
        .root.display()
    )]
    Other {
        /// The directory.
        root: PathBuf,
        /// Whose it is.
        found: Identity,
        /// Who asks.
        wanted: Identity,
    },
    /// A later build wrote it.
    #[error(
        "the data directory {} has format {found}, this build reads format {FORMAT}: use the build that wrote it, or a later one",
        .root.display()
    )]
    Format {
        /// The directory.
        root: PathBuf,
        /// The format found.
        found: u64,
    },
    /// It is not empty, and says nothing of whose it is.
    #[error(
        "the data directory {} has content (`{entry}`) and no file `{IDENTITY}`: it is no node's; choose an empty or a new one",
        .root.display()
    )]
    Foreign {
        /// The directory.
        root: PathBuf,
        /// Something in it.
        entry: String,
    },
    /// The node has stored something, and the store is gone.
    #[error(
        "the data directory {} has lost its store: the node must not begin anew under its old number, since it has promised what it does not remember; restore the directory `{STORE}`",
        .root.display()
    )]
    StoreGone {
        /// The directory.
        root: PathBuf,
    },
    /// The identity cannot be read.
    #[error("{}: {reason}", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            cluster,
            node,
            metadata,
        } = self;
        write!(
            f,
            "node {} of cluster `{cluster}` with registers on {metadata}",
            node.0
        )
    }
}

/// Takes the directory for `identity`, and makes it that node's if it is empty or new.
///
/// # Errors
/// If it is another's, in use, of a later format, or cannot be read or written.
pub fn claim(root: &Path, identity: &Identity) -> Result<Claim, IdentityError> {
    let failed = |error| IdentityError::File {
        root: root.to_owned(),
        error,
    };
    let mut files = open(root).map_err(failed)?;
    let lock = files.lock(LOCK).map_err(|error| match error.kind {
        FileErrorKind::Locked => IdentityError::InUse {
            root: root.to_owned(),
        },
        _ => failed(error),
    })?;
    match read(&mut files).map_err(failed)? {
        Some(text) => {
            check(root, &text, identity)?;
            let stored = is_there(&mut files, STORED).map_err(failed)?;
            if stored && !is_there(&mut files, &format!("{STORE}/CURRENT")).map_err(failed)? {
                let root = root.to_owned();
                return Err(IdentityError::StoreGone { root });
            }
        }
        None => {
            let entries = files.list("").map_err(failed)?;
            let ours = |entry: &String| entry == LOCK || entry == UNFINISHED;
            if let Some(entry) = entries.into_iter().find(|entry| !ours(entry)) {
                let root = root.to_owned();
                return Err(IdentityError::Foreign { root, entry });
            }
            write(&mut files, identity).map_err(failed)?;
        }
    }
    Ok(Claim {
        files,
        lock,
        root: root.to_owned(),
    })
}

impl Claim {
    /// Where the store goes.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.root.join(STORE)
    }

    /// Notes that there is a store, durably: from now on the directory is refused without it.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn note_store(&mut self) -> Result<(), IdentityError> {
        let files = &mut self.files;
        let mut note = || {
            if is_there(files, STORED)? {
                return Ok(());
            }
            let file = files.create(STORED)?;
            files.sync(file)?;
            files.close(file);
            files.sync_dir("")
        };
        note().map_err(|error| IdentityError::File {
            root: self.root.clone(),
            error,
        })
    }

    /// Lets the directory go.
    pub fn release(mut self) {
        self.files.unlock(self.lock);
    }
}

/// Opens the directory. Its own name is made durable too.
fn open(root: &Path) -> Result<PosixFileSystem, FileError> {
    if let (Some(parent), Some(name)) = (root.parent(), root.file_name()) {
        let mut above = PosixFileSystem::open(parent)?;
        // A link to a directory is followed, by the next line; its name is its owner's matter.
        if !root.is_symlink() {
            above.create_dir(&name.to_string_lossy())?;
            above.sync_dir("")?;
        }
    }
    PosixFileSystem::open(root)
}

fn is_there(files: &mut PosixFileSystem, path: &str) -> Result<bool, FileError> {
    match files.look_up(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind == FileErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn read(files: &mut PosixFileSystem) -> Result<Option<String>, FileError> {
    let file = match files.open(IDENTITY) {
        Ok(file) => file,
        Err(error) if error.kind == FileErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let content = files.read_at(file, 0, IDENTITY_BYTES_MAX)?;
    files.close(file);
    Ok(Some(String::from_utf8_lossy(&content).into_owned()))
}

fn write(files: &mut PosixFileSystem, identity: &Identity) -> Result<(), FileError> {
    let Identity {
        cluster,
        node,
        metadata,
    } = identity;
    let text = format!(
        "format = {FORMAT}\ncluster = {cluster}\nnode = {}\nmetadata = {:#x}\n",
        node.0,
        metadata.bits()
    );
    let file = files.create(UNFINISHED)?;
    files.append(file, text.as_bytes())?;
    files.sync(file)?;
    files.close(file);
    files.rename(UNFINISHED, IDENTITY)?;
    files.sync_dir("")
}

fn check(root: &Path, text: &str, wanted: &Identity) -> Result<(), IdentityError> {
    let damaged = |reason: String| IdentityError::Damaged {
        path: root.join(IDENTITY),
        reason,
    };
    let value = |key: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once(" = "));
        let found = lines.find(|(found, _)| *found == key);
        let missing = || damaged(format!("`{key}` is missing: the file is damaged"));
        found.map(|(_, value)| value).ok_or_else(missing)
    };
    let number = |key: &str| {
        let text = value(key)?;
        let parsed = match text.strip_prefix("0x") {
            Some(digits) => u128::from_str_radix(digits, 16),
            None => text.parse(),
        };
        parsed.map_err(|_| damaged(format!("`{key}` is `{text}`: expected a number")))
    };
    // Before anything else: a later format may say the rest in another way.
    let format = number("format")? as u64;
    if format > u64::from(FORMAT) {
        return Err(IdentityError::Format {
            root: root.to_owned(),
            found: format,
        });
    }
    let found = Identity {
        cluster: value("cluster")?.to_owned(),
        node: NodeId(number("node")? as u8),
        metadata: NodeSet::from_bits(number("metadata")?),
    };
    if found != *wanted {
        return Err(IdentityError::Other {
            root: root.to_owned(),
            found,
            wanted: wanted.clone(),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(node: u8) -> Identity {
        Identity {
            cluster: "test".to_owned(),
            node: NodeId(node),
            metadata: [NodeId(0), NodeId(1)].into_iter().collect(),
        }
    }

    #[test]
    fn a_directory_whose_store_is_gone_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().join("data");
        let first = claim(&root, &identity(0)).expect("new");
        // A process that ended before it had a store has promised nothing.
        first.release();
        let mut second = claim(&root, &identity(0)).expect("its own");
        std::fs::create_dir(second.store()).expect("created");
        std::fs::write(second.store().join("CURRENT"), "").expect("written");
        second.note_store().expect("noted");
        second.note_store().expect("noted before");
        second.release();
        claim(&root, &identity(0)).expect("its own").release();
        std::fs::remove_dir_all(root.join(STORE)).expect("removed");
        let error = claim(&root, &identity(0)).expect_err("it is gone");
        assert_eq!(error, IdentityError::StoreGone { root });
    }

    #[test]
    fn a_directory_has_one_owner_and_one_process() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let root = directory.path().join("data");
        let first = claim(&root, &identity(0)).expect("new");
        let error = claim(&root, &identity(0)).expect_err("in use");
        assert_eq!(error, IdentityError::InUse { root: root.clone() });
        first.release();
        claim(&root, &identity(0)).expect("its own").release();

        let error = claim(&root, &identity(1))
            .expect_err("another's")
            .to_string();
        assert!(
            error.contains("belongs to node 0 of cluster `test`"),
            "{error}"
        );
        let other = Identity {
            metadata: NodeSet::only(NodeId(0)),
            ..identity(0)
        };
        let error = claim(&root, &other).expect_err("other registers");
        assert!(matches!(error, IdentityError::Other { .. }));

        std::fs::write(root.join(IDENTITY), "format = 2\nowner = me\n").expect("written");
        let error = claim(&root, &identity(0)).expect_err("newer").to_string();
        assert!(
            error.contains("format 2, this build reads format 1"),
            "{error}"
        );
        std::fs::write(root.join(IDENTITY), "format = 1\n").expect("written");
        let error = claim(&root, &identity(0)).expect_err("damaged").to_string();
        assert!(error.contains("`cluster` is missing"), "{error}");
    }

    #[test]
    fn a_directory_of_something_else_is_left_alone() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join("letters.txt"), "dear").expect("written");
        let error = claim(directory.path(), &identity(0)).expect_err("not ours");
        assert!(matches!(error, IdentityError::Foreign { .. }), "{error}");
        let entries = std::fs::read_dir(directory.path()).expect("there").count();
        assert_eq!(entries, 2, "the lock and the letters");
    }

    /// The process ended between the parts of the first claim.
    #[test]
    fn an_unfinished_identity_is_written_anew() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(directory.path().join(UNFINISHED), "form").expect("written");
        claim(directory.path(), &identity(0))
            .expect("empty so far")
            .release();
        claim(directory.path(), &identity(0))
            .expect("its own")
            .release();
    }
}
