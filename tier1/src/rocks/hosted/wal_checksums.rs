//! For a planted bug: RocksDB's write-ahead log as if the checksums of its records held.
//!
//! RocksDB verifies them whatever it is told, so a store that does not is made by giving it the
//! checksums that it expects. It reads one block at a time.

use crate::rocks::framing::{Fragment, ZERO};

/// A block, with the checksum of each fragment renewed.
pub(super) fn renewed(block: &[u8]) -> Vec<u8> {
    let mut block = block.to_vec();
    let mut at = 0;
    while let Some(fragment) = Fragment::at(&block, at)
        && fragment.kind != ZERO
        && let Some(expected) = fragment.expected_checksum(&block)
    {
        block[at..at + 4].copy_from_slice(&expected.to_le_bytes());
        at = fragment.end;
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rocks::framing::HEADER_BYTES;

    fn fragment(content: &[u8]) -> Vec<u8> {
        crate::rocks::framing::fragment(1, content)
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
