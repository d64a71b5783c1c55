//! Frames: how messages travel.
//!
//! ```text
//! | length u32 | version u8 | CRC32C u32 | body (length bytes) |      all little-endian
//! ```
//!
//! The body is a value in postcard's encoding: a [`Message`], or what a host says for itself
//! ([`Format`]). The checksum covers version and body. A frame that is too long, of another version,
//! cut short or damaged is refused whole.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::message::Message;

/// The version of [`MESSAGES`] this build speaks.
pub const VERSION: u8 = 3;
/// Bytes before the body.
pub const HEADER_BYTES: usize = 9;
/// The longest body of a message that is sent or accepted, in bytes.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// The frames of messages.
pub const MESSAGES: Format = Format {
    version: VERSION,
    body_bytes_max: BODY_BYTES_MAX,
};

/// A kind of frame. What is in the body is agreed by where in a conversation the frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The version that is spoken.
    pub version: u8,
    /// The longest body that is sent or accepted, in bytes.
    pub body_bytes_max: usize,
}

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
    /// The body is longer than allowed.
    #[error("the frame's body has {length} bytes, more than the {allowed} allowed")]
    Long {
        /// Bytes of the body.
        length: usize,
        /// The most it may have.
        allowed: usize,
    },
    /// Another version of the protocol.
    #[error("the frame is of version {found}, this build speaks version {spoken}")]
    Version {
        /// The version of the frame.
        found: u8,
        /// The version that was expected.
        spoken: u8,
    },
    /// The checksum does not match.
    #[error("the frame's CRC32C does not match its content")]
    Checksum,
    /// The body is not what should be in it.
    #[error("the frame's body cannot be understood: {0}")]
    Body(postcard::Error),
}

/// The frame of a message.
///
/// # Errors
/// If the body would be longer than [`BODY_BYTES_MAX`].
pub fn encode(message: &Message) -> Result<Bytes, FrameError> {
    MESSAGES.encode(message)
}

/// The message of a frame.
///
/// # Errors
/// If it is anything but one whole, undamaged frame of this version.
pub fn decode(frame: &[u8]) -> Result<Message, FrameError> {
    MESSAGES.decode(frame)
}

impl Format {
    /// The frame of a value.
    ///
    /// # Errors
    /// If the body would be longer than allowed.
    pub fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, FrameError> {
        // Room for most messages, so that few frames grow while they are written.
        let mut frame = Vec::with_capacity(512);
        frame.resize(HEADER_BYTES, 0);
        let mut frame = postcard::to_extend(value, frame).map_err(FrameError::Body)?;
        let length = self.allow(frame.len() - HEADER_BYTES)?;
        let length = u32::try_from(length).expect("a body's limit fits in 32 bits");
        frame[0..4].copy_from_slice(&length.to_le_bytes());
        frame[4] = self.version;
        let crc = checksum(self.version, &frame[HEADER_BYTES..]);
        frame[5..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        Ok(frame.into())
    }

    /// How many bytes follow a header. To be asked before there is room made for them.
    ///
    /// # Errors
    /// If they are too many, or the version is another.
    pub fn body_length(&self, header: &[u8; HEADER_BYTES]) -> Result<usize, FrameError> {
        let length = self.allow(word(header, 0) as usize)?;
        if header[4] != self.version {
            return Err(FrameError::Version {
                found: header[4],
                spoken: self.version,
            });
        }
        Ok(length)
    }

    /// The value of a frame.
    ///
    /// # Errors
    /// If it is anything but one whole, undamaged frame of this kind.
    pub fn decode<T: DeserializeOwned>(&self, frame: &[u8]) -> Result<T, FrameError> {
        let present = frame.len();
        let short = |expected| FrameError::Short { expected, present };
        let (header, body) = frame
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(short(HEADER_BYTES))?;
        let length = self.body_length(header)?;
        if body.len() != length {
            return Err(short(HEADER_BYTES + length));
        }
        if checksum(header[4], body) != word(header, 5) {
            return Err(FrameError::Checksum);
        }
        postcard::from_bytes(body).map_err(FrameError::Body)
    }

    fn allow(&self, length: usize) -> Result<usize, FrameError> {
        let allowed = self.body_bytes_max;
        if length > allowed {
            return Err(FrameError::Long { length, allowed });
        }
        Ok(length)
    }
}

fn word(header: &[u8; HEADER_BYTES], at: usize) -> u32 {
    u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"))
}

fn checksum(version: u8, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&[version]), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{ClientAsk, Conditions, Request};
    use hstore_core::{Incarnation, LogId, Record};

    fn sample() -> Message {
        Message::Request(Request {
            incarnation: Incarnation(3),
            number: 300,
            log: LogId(1),
            ask: ClientAsk::Append {
                record: Record::new(Bytes::from_static(b"payload")),
                conditions: Conditions::NONE,
            },
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
            Err(FrameError::Version {
                found: 9,
                spoken: VERSION
            })
        );
        let mut long = frame.to_vec();
        long[0..4].copy_from_slice(&u32::MAX.to_le_bytes());
        let too_long = FrameError::Long {
            length: u32::MAX as usize,
            allowed: BODY_BYTES_MAX,
        };
        assert_eq!(decode(&long), Err(too_long));
    }
}
