//! Damage to the bytes of a frame under way, as cables, switches and kernels do it.

use bytes::Bytes;
use hstore_core::Rng;
use serde::{Deserialize, Serialize};

/// What happens to a frame's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Damage {
    /// One bit flips.
    Bit,
    /// Up to four bytes in a row are any others.
    Burst,
    /// All from some byte on is zeros.
    Zeros,
    /// All from some byte on is missing.
    Cut,
    /// Two stretches of it stand in each other's place.
    Swapped,
}

impl Damage {
    /// All kinds.
    pub const ALL: [Self; 5] = [
        Self::Bit,
        Self::Burst,
        Self::Zeros,
        Self::Cut,
        Self::Swapped,
    ];

    /// The damaged frame; `None` if it came to be as it was.
    #[must_use]
    pub fn inflict(self, frame: &[u8], rng: &mut Rng) -> Option<Bytes> {
        let mut damaged = frame.to_vec();
        let length = damaged.len();
        let at = rng.below(length.max(1) as u64) as usize;
        match self {
            Self::Bit => damaged[at] ^= 1 << rng.below(8),
            Self::Burst => {
                let end = length.min(at + 4);
                for byte in &mut damaged[at..end] {
                    *byte = rng.below(256) as u8;
                }
            }
            Self::Zeros => damaged[at..].fill(0),
            Self::Cut => damaged.truncate(at),
            Self::Swapped => damaged.rotate_left(at),
        }
        (damaged != frame).then(|| damaged.into())
    }
}
