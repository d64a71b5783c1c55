//! Frames: how messages travel.
//!
//! ```text
//! | length u32 | version u8 | CRC32C u32 | body (length bytes) |      all little-endian
//! ```
//!
//! The body is a value in postcard's encoding: a [`Message`], or what a host says for itself
//! ([`Format`]). The checksum covers version and body. A frame that is too long, of a version that is not
//! spoken, cut short or damaged is refused whole.
//!
//! # Versions
//!
//! A cluster is upgraded one node at a time, and may be rolled back the same way, so two neighbouring
//! versions meet in it. What one may change and the other rely on:
//!
//! - A build speaks its own version and, from the second on that follows these rules, the one before
//!   ([`Versions`]). Two hosts that connect tell each other what they speak and use the newest that both
//!   do ([`Versions::agree`]); if there is none, they do not talk.
//! - A frame's version is that of its body. A later version may append fields at the end of a body and
//!   variants at the end of an enum, and has to be able to leave them out: what it says in the older
//!   version is what the older build would say.
//! - What follows a body is skipped: fields of a later build do no harm. A message of which the build
//!   does not know the kind is refused, as is a version that it does not speak. The frame is lost, like any
//!   that networks lose, and counted. In a cluster that keeps the rules only frames come to that which
//!   were under way while their receiver was replaced.
//! - Stored metadata follows the same rules without being asked: see [`crate::keys`].
//! - What is passed on, or kept, on behalf of others (a pulse, a value of the register) loses what the
//!   older build does not know. It may gain fields only where their absence means what was so before.

use std::fmt;

use bytes::Bytes;
use hstore_core::{crc32c, crc32c_append};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::message::Message;

/// The versions of [`MESSAGES`] this build speaks. Nothing before the first of them followed the rules.
pub const VERSIONS: Versions = Versions {
    oldest: 5,
    newest: 5,
};
/// Bytes before the body.
pub const HEADER_BYTES: usize = 9;
/// The longest body of a message that is sent or accepted, in bytes.
pub const BODY_BYTES_MAX: usize = 32 << 20;

/// The frames of messages.
pub const MESSAGES: Format = Format {
    versions: VERSIONS,
    body_bytes_max: BODY_BYTES_MAX,
};

/// The versions that a build speaks, from the oldest to the newest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// The oldest.
    pub oldest: u8,
    /// The newest: the build's own.
    pub newest: u8,
}

impl Versions {
    /// This one alone.
    #[must_use]
    pub const fn only(version: u8) -> Self {
        Self {
            oldest: version,
            newest: version,
        }
    }

    /// Whether a version is spoken.
    #[must_use]
    pub fn contain(self, version: u8) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }

    /// The newest version that both speak, if there is any.
    #[must_use]
    pub fn agree(self, other: Self) -> Option<u8> {
        let newest = self.newest.min(other.newest);
        (self.contain(newest) && other.contain(newest)).then_some(newest)
    }
}

/// `4`, or `4 to 5`.
impl fmt::Display for Versions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { oldest, newest } = self;
        if oldest == newest {
            return write!(f, "{newest}");
        }
        write!(f, "{oldest} to {newest}")
    }
}

/// A kind of frame. What is in the body is agreed by where in a conversation the frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// The versions that are spoken.
    pub versions: Versions,
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
        /// The versions that are spoken.
        spoken: Versions,
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
/// If it is anything but one whole, undamaged frame of a version that is spoken, with a message that is
/// known.
pub fn decode(frame: &[u8]) -> Result<Message, FrameError> {
    MESSAGES.decode(frame)
}

impl Format {
    /// The frame of a value, in the newest version.
    ///
    /// # Errors
    /// If the body would be longer than allowed.
    pub fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, FrameError> {
        self.encode_as(self.versions.newest, value)
    }

    /// The frame of a value that is as this version has it.
    ///
    /// # Errors
    /// If the body would be longer than allowed.
    ///
    /// # Panics
    /// If the version is not spoken.
    pub fn encode_as<T: Serialize>(&self, version: u8, value: &T) -> Result<Bytes, FrameError> {
        assert!(self.versions.contain(version), "only what is spoken");
        // Room for most messages, so that few frames grow while they are written.
        let mut frame = Vec::with_capacity(512);
        frame.resize(HEADER_BYTES, 0);
        let mut frame = postcard::to_extend(value, frame).map_err(FrameError::Body)?;
        let length = self.allow(frame.len() - HEADER_BYTES)?;
        let length = u32::try_from(length).expect("a body's limit fits in 32 bits");
        frame[0..4].copy_from_slice(&length.to_le_bytes());
        frame[4] = version;
        let crc = checksum(version, &frame[HEADER_BYTES..]);
        frame[5..HEADER_BYTES].copy_from_slice(&crc.to_le_bytes());
        Ok(frame.into())
    }

    /// How many bytes follow a header. To be asked before there is room made for them.
    ///
    /// # Errors
    /// If they are too many, or the version is not spoken.
    pub fn body_length(&self, header: &[u8; HEADER_BYTES]) -> Result<usize, FrameError> {
        let length = self.allow(word(header, 0) as usize)?;
        if !self.versions.contain(header[4]) {
            return Err(FrameError::Version {
                found: header[4],
                spoken: self.versions,
            });
        }
        Ok(length)
    }

    /// The value at the beginning of a frame's body. What follows it, a later build has added.
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
    crc32c_append(crc32c(&[version]), body)
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
    fn two_builds_speak_the_newest_version_that_both_know() {
        let versions = |oldest, newest| Versions { oldest, newest };
        for (one, other, agreed) in [
            (versions(4, 4), versions(4, 4), Some(4)),
            (versions(4, 4), versions(4, 5), Some(4)),
            (versions(5, 6), versions(4, 5), Some(5)),
            (versions(6, 7), versions(4, 5), None),
        ] {
            assert_eq!(one.agree(other), agreed, "{one} and {other}");
            assert_eq!(other.agree(one), agreed, "{other} and {one}");
        }
    }

    /// A build of the next version adds a field to what it says and a kind of message, and speaks this
    /// version too.
    #[test]
    fn what_a_later_build_adds_to_a_body_is_skipped_and_what_it_says_anew_is_refused() {
        let next = Format {
            versions: Versions {
                oldest: VERSIONS.newest,
                newest: VERSIONS.newest + 1,
            },
            ..MESSAGES
        };
        let added = next.encode_as(VERSIONS.newest, &(sample(), 7_u64));
        assert_eq!(decode(&added.expect("short")), Ok(sample()));
        let refused = decode(&next.encode(&(sample(), 7_u64)).expect("short"));
        assert!(matches!(refused, Err(FrameError::Version { .. })));
        assert_eq!(
            next.decode(&encode(&sample()).expect("short")),
            Ok(sample())
        );
        // The kinds of messages are counted from 0; `Stored` is the last.
        let unknown = next.encode_as(VERSIONS.newest, &(7_u32, 1_u64));
        let refused = decode(&unknown.expect("short"));
        assert!(matches!(refused, Err(FrameError::Body(_))));
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
                spoken: VERSIONS
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
