//! Frames: how messages travel.
//!
//! ```text
//! | length u32 | version u8 | CRC32C u32 | body (length bytes) |      all little-endian
//! ```
//!
//! The body is the message in postcard's encoding. The checksum covers version and body. A frame
//! that is too long, of another version, cut short or damaged is refused whole.

use bytes::Bytes;

use crate::message::Message;

/// The version this build speaks.
pub const VERSION: u8 = 1;
/// Bytes before the body.
pub const HEADER_BYTES: usize = 9;
/// The longest body that is sent or accepted, in bytes.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// Why a frame was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// The frame ends before its header or body does.
    #[error("the frame is cut short: {present} of {expected} bytes")]
    Short {
        /// Bytes that should be there.
        expected: usize,
        /// Bytes that are.
        present: usize,
    },
    /// The body is longer than [`BODY_BYTES_MAX`].
    #[error("the frame's body has {0} bytes, more than the {BODY_BYTES_MAX} allowed")]
    Long(usize),
    /// Another version of the protocol.
    #[error("the frame is of version {0}, this node speaks version {VERSION}")]
    Version(u8),
    /// The checksum does not match.
    #[error("the frame's CRC32C does not match its content")]
    Checksum,
    /// The body is no message.
    #[error("the frame's body is no message: {0}")]
    Body(postcard::Error),
}

/// The frame of a message.
///
/// # Errors
/// If the body would be longer than [`BODY_BYTES_MAX`].
pub fn encode(message: &Message) -> Result<Bytes, FrameError> {
    // Room for most messages, so that few frames grow while they are written.
    let mut frame = Vec::with_capacity(512);
    frame.resize(HEADER_BYTES, 0);
    let mut frame = postcard::to_extend(message, frame).map_err(FrameError::Body)?;
    let length = frame.len() - HEADER_BYTES;
    if length > BODY_BYTES_MAX {
        return Err(FrameError::Long(length));
    }
    let length = u32::try_from(length).expect("BODY_BYTES_MAX fits in 32 bits");
    frame[0..4].copy_from_slice(&length.to_le_bytes());
    frame[4] = VERSION;
    let crc = checksum(VERSION, &frame[HEADER_BYTES..]);
    frame[5..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
    Ok(frame.into())
}

/// The message of a frame.
///
/// # Errors
/// If it is anything but one whole, undamaged frame of this version.
pub fn decode(frame: &[u8]) -> Result<Message, FrameError> {
    let present = frame.len();
    let short = |expected| FrameError::Short { expected, present };
    let (header, body) = frame
        .split_at_checked(HEADER_BYTES)
        .ok_or(short(HEADER_BYTES))?;
    let word = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
    let length = word(0) as usize;
    if length > BODY_BYTES_MAX {
        return Err(FrameError::Long(length));
    }
    if header[4] != VERSION {
        return Err(FrameError::Version(header[4]));
    }
    if body.len() != length {
        return Err(short(HEADER_BYTES + length));
    }
    if checksum(header[4], body) != word(5) {
        return Err(FrameError::Checksum);
    }
    postcard::from_bytes(body).map_err(FrameError::Body)
}

fn checksum(version: u8, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[version]), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ClientAsk, Request};
    use hstore_core::{Incarnation, LogId, Record};

    fn sample() -> Message {
        Message::Request(Request {
            incarnation: Incarnation(3),
            number: 300,
            log: LogId(1),
            ask: ClientAsk::Append(Record::new(Bytes::from_static(b"payload"))),
        })
    }

    #[test]
    fn a_message_round_trips() {
        assert_eq!(decode(&encode(&sample()).expect("short")), Ok(sample()));
    }

    #[test]
    fn any_flipped_bit_and_any_cut_is_refused() {
        let frame = encode(&sample()).expect("short");
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit} was not noticed");
        }
        for length in 0..frame.len() {
            assert!(decode(&frame[..length]).is_err(), "cut at {length}");
        }
        assert_eq!(
            decode(&[&frame[..4], &[9], &frame[5..]].concat()),
            Err(FrameError::Version(9))
        );
        let mut long = frame.to_vec();
        long[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(decode(&long), Err(FrameError::Long(u32::MAX as usize)));
    }
}
