//! How RocksDB frames records in its write-ahead logs and manifests.
//!
//! A file is a row of blocks of 32 KiB; a block is a row of fragments, each a masked CRC32C (4 bytes), a
//! length (2), a type (1), and so many bytes of content. The checksum is over type and content. Of a record
//! that is cut by the end of a block each part is a fragment. What is left of a block after a fragment that
//! makes no sense is passed over.

use hstore_core::crc32c;

/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 32 << 10;
/// What stands before a fragment's content.
pub(super) const HEADER_BYTES: usize = 7;
/// The type of what was preallocated and not written.
pub(super) const ZERO: u8 = 0;

/// A fragment: where it begins in its block, and what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) kind: u8,
    pub(super) checksum: u32,
}

impl Fragment {
    /// The fragment whose header is there, if the whole header is.
    pub(super) fn at(block: &[u8], start: usize) -> Option<Self> {
        let header = block.get(start..start + HEADER_BYTES)?;
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        Some(Self {
            start,
            end: start + HEADER_BYTES + length,
            kind: header[6],
            checksum: u32::from_le_bytes([header[0], header[1], header[2], header[3]]),
        })
    }

    /// The checksum that it should have, if its end is in the block.
    pub(super) fn expected_checksum(&self, block: &[u8]) -> Option<u32> {
        let body = block.get(self.start + HEADER_BYTES - 1..self.end)?;
        Some(masked(crc32c(body)))
    }
}

/// RocksDB stores checksums so that the checksum of a checksum is no surprise.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A fragment as RocksDB would write it.
#[cfg(test)]
pub(super) fn fragment(kind: u8, content: &[u8]) -> Vec<u8> {
    let body = [&[kind], content].concat();
    let length = (content.len() as u16).to_le_bytes();
    let checksum = masked(crc32c(&body)).to_le_bytes();
    [&checksum[..], &length, &body].concat()
}
