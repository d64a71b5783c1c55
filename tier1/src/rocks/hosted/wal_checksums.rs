//! For a planted bug: RocksDB's write-ahead log as if the checksums of its records held.
//!
//! RocksDB verifies them whatever it is told, so a store that does not is made by giving it the
//! checksums that it expects. The file is a row of blocks of 32 KiB, read one at a time; a block is a
//! row of fragments, each a masked CRC32C (4 bytes), a length (2), a type (1), and so many bytes of
//! content. The checksum is over type and content.

/// What stands before a fragment's content.
const HEADER_BYTES: usize = 7;

/// A block, with the checksum of each fragment renewed.
pub(super) fn renewed(block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    let mut at = 0;
    while let Some(header) = block.get(at..at + HEADER_BYTES) {
        let end = at + HEADER_BYTES + usize::from(u16::from_le_bytes([header[4], header[5]]));
        let kind = header[6];
        if kind == 0 || end > block.len() {
            break; // What was preallocated and not written, or the end of the file.
        }
        let crc = masked(crc32c::crc32c(&block[at + 6..end]));
        block[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        at = end;
    }
    block
}

/// RocksDB stores checksums so that the checksum of a checksum is no surprise.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(content: &[u8]) -> Vec<u8> {
        let body = [&[1], content].concat();
        let length = (content.len() as u16).to_le_bytes();
        [
            &masked(crc32c::crc32c(&body)).to_le_bytes()[..],
            &length,
            &body,
        ]
        .concat()
    }

    #[test]
    fn a_sound_block_is_left_and_a_torn_fragment_is_made_to_hold() {
        let sound = [fragment(b"one"), fragment(b"second"), vec![0; 20]].concat();
        assert_eq!(renewed(&sound), sound);
        let mut torn = sound.clone();
        torn[HEADER_BYTES..HEADER_BYTES + 3].fill(0);
        let expected = [fragment(&[0; 3]), fragment(b"second"), vec![0; 20]].concat();
        assert_eq!(renewed(&torn), expected);
        let cut = &sound[..sound.len() - 22];
        assert_eq!(renewed(cut), cut, "a fragment whose end is missing is left");
    }
}
