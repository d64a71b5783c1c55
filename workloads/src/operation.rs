//! An operation as a client carries it out, and the content of a record.

use bytes::{BufMut, Bytes, BytesMut};
use hstore_core::{Attributes, LogId, Lsn, Token};
use serde::Serialize;

/// The shortest content of a record: its id, and one byte more.
pub(crate) const PAYLOAD_BYTES_MIN: u32 = 9;

/// An operation to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub enum Operation {
    /// Append a record.
    Append {
        /// To this log.
        log: LogId,
        /// The record's id, also found in the payload by [`record_id`].
        id: u64,
        /// What to append.
        payload: Bytes,
        /// Whose record it is, and the token it sets.
        attributes: Attributes,
        /// Only if this is the last record; [`Lsn::MIN`]: only if there is none.
        last_record: Option<Lsn>,
        /// Only if this token was set last.
        token: Option<Token>,
    },
    /// Read.
    Read {
        /// This log.
        log: LogId,
        /// From here.
        from: Lsn,
        /// At most so many records.
        limit: u32,
    },
    /// Ask where the log ends.
    Tail {
        /// Which log.
        log: LogId,
    },
    /// Read what is released.
    Poll {
        /// This log.
        log: LogId,
        /// From here.
        from: Lsn,
        /// At most so many records.
        limit: u32,
    },
    /// Give up the oldest records.
    Trim {
        /// Of this log.
        log: LogId,
        /// The last LSN to be given up.
        upto: Lsn,
    },
}

/// A record's content: its id, then bytes that only a whole, unmixed record has.
pub(crate) fn payload(id: u64, length: usize, salt: u64) -> Bytes {
    let mut bytes = BytesMut::with_capacity(length + 8);
    bytes.put_u64_le(id);
    let mut word = salt;
    while bytes.len() < length {
        bytes.put_u64_le(word);
        word = word
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(id);
    }
    bytes.truncate(length);
    bytes.freeze()
}

/// The id of a record whose content was made here; `None` for any other.
#[must_use]
pub fn record_id(payload: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(payload.get(..8)?.try_into().ok()?))
}
