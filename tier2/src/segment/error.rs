//! What can be wrong with a segment, and where.

use std::fmt;

use hstore_core::{Lsn, crc32c};

/// A segment that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the segment is damaged: {part}: {damage}")]
pub struct SegmentError {
    /// Which part.
    pub part: Part,
    /// What is wrong with it.
    pub damage: Damage,
}

/// A part of a segment, and where it lies in the file, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The file as a whole.
    File {
        /// Its length.
        bytes: u64,
    },
    /// The magic at the start.
    Header,
    /// A block.
    Block {
        /// Counted from 0.
        number: usize,
        /// Where it begins.
        offset: u64,
        /// Its stored length.
        bytes: u32,
    },
    /// The dictionary.
    Dictionary {
        /// Where it begins.
        offset: u64,
    },
    /// The index.
    Index {
        /// Where it begins.
        offset: u64,
    },
    /// The footer.
    Footer {
        /// Where it begins.
        offset: u64,
    },
    /// The last bytes.
    Trailer {
        /// Where they begin.
        offset: u64,
    },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { bytes } => write!(f, "the file of {bytes} bytes"),
            Self::Header => write!(f, "the header at byte 0"),
            Self::Block {
                number,
                offset,
                bytes,
            } => write!(f, "block {number} at byte {offset}, {bytes} bytes long"),
            Self::Dictionary { offset } => write!(f, "the dictionary at byte {offset}"),
            Self::Index { offset } => write!(f, "the index at byte {offset}"),
            Self::Footer { offset } => write!(f, "the footer at byte {offset}"),
            Self::Trailer { offset } => write!(f, "the trailer at byte {offset}"),
        }
    }
}

/// What is wrong with a part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    /// It is not as long as it must be.
    #[error("{found} bytes where {expected} must be: it was cut, or is not a segment")]
    Length {
        /// What must be.
        expected: u64,
        /// What is.
        found: u64,
    },
    /// It does not say what it is.
    #[error("it does not bear the magic `{expected}`: it was overwritten, or is not a segment")]
    Magic {
        /// What must stand there.
        expected: &'static str,
    },
    /// It is not what was written.
    #[error("its CRC32C is {found:#010x}, it was written with {expected:#010x}")]
    Checksum {
        /// When it was written.
        expected: u32,
        /// Now.
        found: u32,
    },
    /// All that lies before the footer is not what was written.
    #[error(
        "the XXH3-128 of all before the footer is {found:032x}, it was written with {expected:032x}"
    )]
    Hash {
        /// When it was written.
        expected: u128,
        /// Now.
        found: u128,
    },
    /// It was written by a later version.
    #[error("its schema version is {0}, this program reads version 1: use a later one")]
    Schema(u16),
    /// It names a codec that there is not.
    #[error("its codec is {0}; 0 to 2 are known")]
    Codec(u8),
    /// It is no dictionary.
    #[error("the codec cannot use it")]
    Dictionary,
    /// It cannot be decompressed.
    #[error("it does not decompress to {raw} bytes")]
    Compression {
        /// The raw length that the index gives.
        raw: u32,
    },
    /// It cannot be read on.
    #[error("at {at} of its items it cannot be understood")]
    Items {
        /// Bytes from the start of the raw block.
        at: usize,
    },
    /// The chain of records leads somewhere else.
    #[error(
        "the records up to {before} do not lead to the chain value {expected:#010x} but to {found:#010x}: one of them is wrong"
    )]
    Chain {
        /// Just behind the last record concerned.
        before: Lsn,
        /// As the sequencer gave it.
        expected: u32,
        /// As it follows from the records.
        found: u32,
    },
    /// Its parts contradict each other.
    #[error("{0}")]
    Contradiction(&'static str),
}

impl Damage {
    pub(crate) fn of(self, part: Part) -> SegmentError {
        SegmentError { part, damage: self }
    }
}

/// Compares a checksum.
pub(super) fn checked(bytes: &[u8], expected: u32) -> Result<(), Damage> {
    let found = crc32c(bytes);
    if found == expected {
        Ok(())
    } else {
        Err(Damage::Checksum { expected, found })
    }
}
