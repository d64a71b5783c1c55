//! Frames: how the model store's files are divided, and how a torn end is told from damage.
//!
//! A file is a row of frames, without anything before, between or after them. Numbers are little
//! endian:
//!
//! ```text
//!  0       4       8       12      16              24              32
//!  +-------+-------+-------+-------+---------------+---------------+----------- - - -+
//!  | magic | crc   | length| kind  | sequence      | synced        | body            |
//!  +-------+-------+-------+-------+---------------+---------------+----------- - - -+
//!                                                                    `length` bytes
//! ```
//!
//! - `crc`: CRC32C over the file's generation and the frame's position in the file (8 bytes each,
//!   not stored), then over everything from `length` to the end of the body. A frame is therefore
//!   valid only where it was written: neither an older file's sectors nor a client's payload that
//!   happens to contain a frame can pass for one.
//! - `sequence`: counts the frames. Consecutive frames have consecutive numbers.
//! - `synced`: when the frame was written, every frame up to this number was known to be durable.
//!
//! # Torn or damaged
//!
//! A power failure may take any sector that was not synced: an early one may be gone and a later one
//! may be there. So a valid frame behind a bad one does not prove damage; it may be what is left of
//! an unsynced write. What tells the two apart is the mark `synced`. If a valid frame behind the bad
//! one was written when the bad one was already durable, then something durable has changed: the
//! file is damaged, and cutting it there would silently drop what the store has promised. Without
//! such a witness the bad frame is where the unsynced end begins, and all behind it is cut.
//!
//! The rule needs a witness: damage to the last frames that were synced, with nothing written after
//! them, looks like a torn end.

use std::ops::Range;

use hstore_core::{crc32c, crc32c_append};

/// The longest batch, encoded. Encoding adds about 100 bytes to each record's payload.
pub const BATCH_BYTES_MAX: usize = 32 << 20;

/// The longest body of a frame. A longer length is not believed when reading. It exceeds the longest
/// batch because an operation may grow between its batch and a checkpoint, by an amended copyset.
const BODY_BYTES_MAX: usize = BATCH_BYTES_MAX + (1 << 20);

/// The first bytes of every frame; the last of them is the version of the format.
const MAGIC: [u8; 4] = [0xF7, b'H', b'S', 3];

/// What stands before the body.
const HEADER_BYTES: usize = 32;

/// What a frame's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A batch, in a write-ahead file.
    Batch,
    /// A part of a checkpoint's content.
    Chunk,
    /// The end of a checkpoint.
    End,
}

impl Kind {
    fn code(self) -> u32 {
        match self {
            Self::Batch => 1,
            Self::Chunk => 2,
            Self::End => 3,
        }
    }

    fn of_code(code: u32) -> Option<Self> {
        [Self::Batch, Self::Chunk, Self::End]
            .into_iter()
            .find(|kind| kind.code() == code)
    }
}

/// What a frame says about itself and its surroundings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    /// What the body is.
    pub(super) kind: Kind,
    /// The frame's number.
    pub(super) sequence: u64,
    /// Up to which number frames were durable when this one was written.
    pub(super) synced: u64,
}

/// A frame that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// What it says about itself.
    pub(super) label: Label,
    /// Where its body lies in the file. The frame ends where the body does.
    pub(super) body: Range<usize>,
}

/// Fills `buffer` with a frame that is to stand at `position` of the file of `generation`; `encode`
/// adds the body to what it is given.
pub(super) fn write(
    buffer: &mut Vec<u8>,
    generation: u64,
    position: u64,
    label: Label,
    encode: impl FnOnce(Vec<u8>) -> Vec<u8>,
) {
    buffer.clear();
    buffer.resize(HEADER_BYTES, 0);
    *buffer = encode(std::mem::take(buffer));
    let length = buffer.len() - HEADER_BYTES;
    let bytes_max = match label.kind {
        Kind::Batch => BATCH_BYTES_MAX,
        Kind::Chunk | Kind::End => BODY_BYTES_MAX,
    };
    assert!(
        length <= bytes_max,
        "{:?} {} has {length} bytes; {bytes_max} are allowed",
        label.kind,
        label.sequence
    );
    buffer[0..4].copy_from_slice(&MAGIC);
    buffer[8..12].copy_from_slice(&(length as u32).to_le_bytes());
    buffer[12..16].copy_from_slice(&label.kind.code().to_le_bytes());
    buffer[16..24].copy_from_slice(&label.sequence.to_le_bytes());
    buffer[24..32].copy_from_slice(&label.synced.to_le_bytes());
    let crc = checksum(generation, position, &buffer[8..]);
    buffer[4..8].copy_from_slice(&crc.to_le_bytes());
}

/// The frame at `position`, or `None` if what stands there is no valid frame.
pub(super) fn read(file: &[u8], generation: u64, position: usize) -> Option<Frame> {
    let rest = file.get(position..)?;
    if rest.len() < HEADER_BYTES || rest[0..4] != MAGIC {
        return None;
    }
    let length = number(&rest[8..12]) as usize;
    if length > BODY_BYTES_MAX || rest.len() - HEADER_BYTES < length {
        return None;
    }
    let checked = &rest[8..HEADER_BYTES + length];
    let whole = number(&rest[4..8]) == u64::from(checksum(generation, position as u64, checked));
    if !whole && !hstore_core::planted!("torn-record-accepted") {
        return None;
    }
    let body = position + HEADER_BYTES;
    Some(Frame {
        label: Label {
            kind: Kind::of_code(number(&rest[12..16]) as u32)?,
            sequence: number(&rest[16..24]),
            synced: number(&rest[24..32]),
        },
        body: body..body + length,
    })
}

/// The first valid frame behind `bad` that was written when frame number `sequence` was durable: the
/// proof that the bad frame, whose number that is, was not merely torn.
pub(super) fn witness(file: &[u8], generation: u64, bad: usize, sequence: u64) -> Option<Frame> {
    let mut position = bad + 1;
    while position + HEADER_BYTES <= file.len() {
        match read(file, generation, position) {
            Some(frame) if frame.label.synced >= sequence => return Some(frame),
            Some(frame) => position = frame.body.end,
            None => position += 1,
        }
    }
    None
}

fn checksum(generation: u64, position: u64, checked: &[u8]) -> u32 {
    let mut place = [0; 16];
    place[..8].copy_from_slice(&generation.to_le_bytes());
    place[8..].copy_from_slice(&position.to_le_bytes());
    crc32c_append(crc32c(&place), checked)
}

/// A little-endian number of at most 8 bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |high, byte| high << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GENERATION: u64 = 9;

    fn file_of(bodies: &[Vec<u8>], synced: impl Fn(u64) -> u64) -> Vec<u8> {
        let mut file = Vec::new();
        let mut buffer = Vec::new();
        for (i, body) in bodies.iter().enumerate() {
            let sequence = i as u64 + 1;
            let label = Label {
                kind: Kind::Batch,
                sequence,
                synced: synced(sequence),
            };
            write(
                &mut buffer,
                GENERATION,
                file.len() as u64,
                label,
                |mut out| {
                    out.extend_from_slice(body);
                    out
                },
            );
            file.extend_from_slice(&buffer);
        }
        file
    }

    proptest! {
        #[test]
        fn frames_round_trip(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..8),
        ) {
            let file = file_of(&bodies, |sequence| sequence / 2);
            let mut position = 0;
            for (i, body) in bodies.iter().enumerate() {
                let frame = read(&file, GENERATION, position).expect("a frame stands here");
                let sequence = i as u64 + 1;
                prop_assert_eq!(
                    frame.label,
                    Label { kind: Kind::Batch, sequence, synced: sequence / 2 }
                );
                prop_assert_eq!(&file[frame.body.clone()], &body[..]);
                position = frame.body.end;
            }
            prop_assert_eq!(position, file.len());
        }

        #[test]
        fn a_changed_bit_is_noticed(
            body in prop::collection::vec(any::<u8>(), 0..100),
            bit in any::<prop::sample::Index>(),
        ) {
            let mut file = file_of(&[body], |_| 0);
            let bit = bit.index(file.len() * 8);
            file[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(read(&file, GENERATION, 0), None);
        }
    }

    #[test]
    fn a_frame_is_valid_only_where_it_was_written() {
        let file = file_of(&[b"one".to_vec(), b"two".to_vec()], |_| 0);
        let second = read(&file, GENERATION, 0).expect("the first").body.end;
        assert!(read(&file, GENERATION, second).is_some());
        assert_eq!(read(&file, GENERATION + 1, second), None);
        assert_eq!(read(&file[second..], GENERATION, 0), None);
        assert_eq!(read(&file[..file.len() - 1], GENERATION, second), None);
    }

    #[test]
    fn only_a_frame_that_knew_the_bad_one_durable_is_a_witness() {
        let bodies: Vec<Vec<u8>> = (0..6_u8).map(|i| vec![i; 40]).collect();
        for synced_before_fifth in 0..5 {
            let mut file = file_of(
                &bodies,
                |sequence| {
                    if sequence < 5 { 0 } else { synced_before_fifth }
                },
            );
            let bad = 2 * (HEADER_BYTES + 40);
            file[bad + HEADER_BYTES] ^= 1;
            assert_eq!(read(&file, GENERATION, bad), None);
            let witness = witness(&file, GENERATION, bad, 3);
            assert_eq!(
                witness.map(|frame| frame.label.sequence),
                (synced_before_fifth >= 3).then_some(5)
            );
        }
    }
}
