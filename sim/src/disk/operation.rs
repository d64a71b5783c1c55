//! The record of one operation on a simulated disk, as the trace of a run shows it.

use std::fmt;
use std::sync::Arc;

use hstore_core::crc32c;
use hstore_core::ports::file_system::{FileError, FileErrorKind};

use super::Failure;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileOpKind {
    /// A file was created or emptied.
    Create,
    /// A file was opened.
    Open,
    /// A file was closed.
    Close,
    /// Bytes were added to a file.
    Append,
    /// Bytes were read.
    Read,
    /// A file's length was asked for.
    Length,
    /// A file was cut.
    Truncate,
    /// A file was made durable.
    Sync,
    /// Bytes of a file were sent on their way.
    RangeSync,
    /// What a path leads to was asked for.
    LookUp,
    /// A file was given another name.
    Rename,
    /// A file was given one name more.
    Link,
    /// A file's name was removed.
    Remove,
    /// A directory was created.
    CreateDir,
    /// A directory's name was removed.
    RemoveDir,
    /// A directory's names were read.
    List,
    /// A directory's names were made durable.
    SyncDir,
    /// A file was locked.
    Lock,
    /// A lock was let go.
    Unlock,
}

impl FileOpKind {
    /// As a verb.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Open => "open",
            Self::Close => "close",
            Self::Append => "append to",
            Self::Read => "read",
            Self::Length => "measure",
            Self::Truncate => "truncate",
            Self::Sync => "sync",
            Self::RangeSync => "range sync",
            Self::LookUp => "look up",
            Self::Rename => "rename",
            Self::Link => "link",
            Self::Remove => "remove",
            Self::CreateDir => "create directory",
            Self::RemoveDir => "remove directory",
            Self::List => "list",
            Self::SyncDir => "sync directory",
            Self::Lock => "lock",
            Self::Unlock => "unlock",
        }
    }

    /// Whether the operation makes something durable.
    #[must_use]
    pub fn makes_durable(self) -> bool {
        matches!(self, Self::Sync | Self::SyncDir)
    }
}

/// What was done, and with which bytes. Two runs that differ in what they read or write differ in
/// these.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileOp {
    /// The operation's number on this disk, from 0.
    pub seq: u64,
    /// What was done.
    pub kind: FileOpKind,
    /// To which file or directory: the path that it was opened under.
    pub path: Arc<str>,
    /// The new name, of a rename or a link.
    pub to: Option<Arc<str>>,
    /// Where the bytes read, appended or sent on their way begin; where a cut was made.
    pub offset: u64,
    /// How many bytes were read, appended, cut, sent on their way or made durable; the length that was
    /// asked for; how many names were listed or made durable.
    pub len: u64,
    /// CRC32C of the bytes read or appended, or of the names listed.
    pub crc32c: u32,
    /// How it failed, if it did.
    pub failed: Option<FileErrorKind>,
    /// It failed because the device is at fault.
    pub injected: bool,
}

impl FileOp {
    pub(super) fn new(seq: u64, kind: FileOpKind, path: Arc<str>) -> Self {
        Self {
            seq,
            kind,
            path,
            to: None,
            offset: 0,
            len: 0,
            crc32c: 0,
            failed: None,
            injected: false,
        }
    }

    /// Notes that the operation is about `content`, which stands at `offset`.
    pub(super) fn covers(&mut self, offset: usize, content: &[u8]) {
        self.offset = offset as u64;
        self.len = content.len() as u64;
        self.crc32c = crc32c(content);
    }

    pub(super) fn error(&self, failure: Failure) -> FileError {
        FileError {
            operation: self.kind.name(),
            path: self.path.to_string(),
            kind: failure.kind,
            detail: failure.detail.to_owned(),
        }
    }
}

/// `17 append to wal-01 at 512: 100 bytes, crc 9a71bb4c`.
impl fmt::Display for FileOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use FileOpKind::{Append, Length, List, LookUp, RangeSync, Read, Sync, SyncDir, Truncate};
        let (offset, len, crc) = (self.offset, self.len, self.crc32c);
        write!(f, "{} {} {}", self.seq, self.kind.name(), self.path)?;
        if let Some(to) = &self.to {
            write!(f, " to {to}")?;
        }
        match self.kind {
            Append | Read => write!(f, " at {offset}: {len} bytes, crc {crc:08x}")?,
            Truncate | RangeSync => write!(f, " at {offset}: {len} bytes")?,
            Length | LookUp | Sync => write!(f, ": {len} bytes")?,
            List => write!(f, ": {len} names, crc {crc:08x}")?,
            SyncDir => write!(f, ": {len} names")?,
            _ => {}
        }
        match self.failed {
            Some(kind) if self.injected => write!(f, ", failed by the device: {kind:?}"),
            Some(kind) => write!(f, ", failed: {kind:?}"),
            None => Ok(()),
        }
    }
}
