//! CRC32C: the CRC with Castagnoli's polynomial, as iSCSI has it (RFC 3720, appendix B.4).

use crc_fast::{CrcAlgorithm, Digest};

/// The CRC32C of `bytes`.
#[must_use]
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc_fast::crc32_iscsi(bytes)
}

/// The CRC32C of `bytes` behind others, whose CRC32C is `before`.
#[must_use]
#[inline]
pub fn crc32c_append(before: u32, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, u64::from(!before));
    digest.update(bytes);
    u32::try_from(digest.finalize()).expect("it has 32 bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rng;

    /// Bit by bit.
    fn slowly(bytes: &[u8]) -> u32 {
        let mut crc = u32::MAX;
        for byte in bytes {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
            }
        }
        !crc
    }

    #[test]
    fn it_is_that_of_the_standard() {
        let counted: Vec<u8> = (0..32).collect();
        for (bytes, expected) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&counted, 0x46dd_794e),
            (b"123456789", 0xe306_9283),
            (b"", 0),
        ] {
            assert_eq!(crc32c(bytes), expected, "{bytes:?}");
        }
    }

    /// Long and short bytes go different ways, and so do those that begin at a word and others.
    #[test]
    fn it_is_the_same_of_every_length_and_from_every_place() {
        let mut rng = Rng::from_seed(1);
        let bytes: Vec<u8> = (0..1 << 14).map(|_| rng.within(0..=255) as u8).collect();
        let lengths = (0..=600).chain((700..bytes.len() - 8).step_by(611));
        for length in lengths {
            for start in 0..8 {
                let bytes = &bytes[start..start + length];
                assert_eq!(crc32c(bytes), slowly(bytes), "{length} from {start}");
            }
        }
    }

    #[test]
    fn what_is_appended_counts_as_if_it_had_been_there() {
        let mut rng = Rng::from_seed(2);
        let bytes: Vec<u8> = (0..600).map(|_| rng.within(0..=255) as u8).collect();
        for cut in 0..=bytes.len() {
            let (before, behind) = bytes.split_at(cut);
            let appended = crc32c_append(crc32c(before), behind);
            assert_eq!(appended, crc32c(&bytes), "cut at {cut}");
        }
    }
}
