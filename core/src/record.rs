//! What a log holds: records with their checksum, and the copies of them that nodes store.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::crc32c::{crc32c, crc32c_append};
use crate::ids::{Epoch, LogId, Lsn, Offset, ProducerId, Token};
use crate::node_set::NodeSet;
use crate::time::WallTime;

/// A client's record. The CRC32C is taken by the client before the record leaves it and is verified
/// wherever the record changes hands, last by the reader.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    /// What the client appended.
    pub payload: Bytes,
    /// What the record does to its log beside standing in it.
    pub attributes: RareAttributes,
    /// CRC32C of the payload, and of the attributes if there are any.
    pub crc32c: u32,
}

/// What a record does to its log beside standing in it. Most have none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attributes {
    /// Which record of which producer it is: an append that is repeated under the same name stands in
    /// the log once.
    pub producer: Option<ProducerSequence>,
    /// The record sets the log's fencing token.
    pub sets_token: Option<Token>,
}

/// The attributes of a record, in the room of a pointer: most records have none, and records are moved a lot.
#[derive(Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Attributes", into = "Attributes")]
pub struct RareAttributes(Option<Box<Attributes>>);

impl From<Attributes> for RareAttributes {
    #[inline]
    fn from(attributes: Attributes) -> Self {
        Self((!attributes.is_none()).then(|| Box::new(attributes)))
    }
}

impl From<RareAttributes> for Attributes {
    fn from(attributes: RareAttributes) -> Self {
        *attributes
    }
}

impl Deref for RareAttributes {
    type Target = Attributes;

    fn deref(&self) -> &Attributes {
        self.0.as_deref().unwrap_or(&Attributes::NONE)
    }
}

impl fmt::Debug for RareAttributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Names a record among all of a log, before it has an LSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProducerSequence {
    /// Who appends it.
    pub producer: ProducerId,
    /// Counts the producer's records, from 0. A record that is appended again keeps its number; no
    /// other record ever has it.
    pub sequence: u64,
}

impl fmt::Display for ProducerSequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.producer, self.sequence)
    }
}

/// A record that does not match its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the record's CRC32C is {found:#010x}, it was appended with {expected:#010x}")]
pub struct ChecksumError {
    /// The checksum the record was appended with.
    pub expected: u32,
    /// The checksum of the record as it is now.
    pub found: u32,
}

impl Record {
    /// A record with the checksum of `payload`, and without attributes.
    #[must_use]
    pub fn new(payload: Bytes) -> Self {
        Self::with(payload, Attributes::default())
    }

    /// A record with the checksum of `payload` and `attributes`.
    #[must_use]
    #[inline]
    pub fn with(payload: Bytes, attributes: Attributes) -> Self {
        let crc32c = checksum(&payload, &attributes);
        Self {
            payload,
            attributes: attributes.into(),
            crc32c,
        }
    }

    /// Checks the record against the checksum it was appended with.
    ///
    /// # Errors
    /// If they differ.
    pub fn verify(&self) -> Result<(), ChecksumError> {
        let found = checksum(&self.payload, &self.attributes);
        if found == self.crc32c {
            Ok(())
        } else {
            Err(ChecksumError {
                expected: self.crc32c,
                found,
            })
        }
    }
}

#[inline]
fn checksum(payload: &[u8], attributes: &Attributes) -> u32 {
    let crc = crc32c(payload);
    if attributes.is_none() {
        return crc;
    }
    crc32c_append(crc, &attributes.encode())
}

/// The bits of the first byte of encoded attributes.
const HAS_PRODUCER: u8 = 1;
const SETS_TOKEN: u8 = 2;

impl Attributes {
    /// None.
    pub const NONE: Self = Self {
        producer: None,
        sets_token: None,
    };

    /// Whether there are none.
    #[must_use]
    #[inline]
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }

    /// As bytes, the same on every machine and in every version. All numbers are little endian:
    ///
    /// ```text
    /// | which: u8 | producer: u64 | sequence: u64 | token: u64 |
    /// ```
    ///
    /// Bit 0 of `which` says that producer and sequence are there, bit 1 that the token is.
    #[must_use]
    pub fn encode(&self) -> SmallVec<[u8; 25]> {
        let mut bytes = SmallVec::new();
        bytes.push(0);
        if let Some(ProducerSequence { producer, sequence }) = self.producer {
            bytes[0] |= HAS_PRODUCER;
            bytes.extend_from_slice(&producer.0.to_le_bytes());
            bytes.extend_from_slice(&sequence.to_le_bytes());
        }
        if let Some(token) = self.sets_token {
            bytes[0] |= SETS_TOKEN;
            bytes.extend_from_slice(&token.0.to_le_bytes());
        }
        bytes
    }

    /// The attributes that [`encode`](Self::encode) put at the start of `bytes`, and what follows them.
    /// `None` if none stand there.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (&which, mut rest) = bytes.split_first()?;
        if which & !(HAS_PRODUCER | SETS_TOKEN) != 0 {
            return None;
        }
        let mut number = || {
            let (number, after) = rest.split_first_chunk()?;
            rest = after;
            Some(u64::from_le_bytes(*number))
        };
        let mut attributes = Self::default();
        if which & HAS_PRODUCER != 0 {
            attributes.producer = Some(ProducerSequence {
                producer: ProducerId(number()?),
                sequence: number()?,
            });
        }
        if which & SETS_TOKEN != 0 {
            attributes.sets_token = Some(Token(number()?));
        }
        Some((attributes, rest))
    }
}

/// A value of the chain that links the records of an epoch: a CRC32C over all that makes a record this
/// one at this place, and over the value before.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Chain(pub u32);

/// What the sequencer adds to a record when it gives it its place. It is a part of what stands there:
/// recovery keeps it.
///
/// A copy that was written to the wrong place, or is an old one, matches its own checksum. It does not
/// match the place, or the copy before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// When the record got its place, by the sequencer's clock. Never falls within an epoch.
    pub time: WallTime,
    /// The chain value of the record before, or 0 for the first of an epoch. Where recovery put a hole
    /// between the two it leads nowhere.
    pub previous: Chain,
    /// The record's own chain value.
    pub own: Chain,
}

impl Stamp {
    /// The stamp of a record that gets `lsn` at `now`, after the one stamped `before` (in the same
    /// epoch).
    #[must_use]
    pub fn after(before: Self, log: LogId, lsn: Lsn, now: WallTime, record: &Record) -> Self {
        Self::linked(before.own, log, lsn, now.max(before.time), record)
    }

    /// The stamp of a record that got `lsn` at `time`, after one whose chain value is `previous`: it follows
    /// from these.
    #[must_use]
    #[inline]
    pub fn linked(previous: Chain, log: LogId, lsn: Lsn, time: WallTime, record: &Record) -> Self {
        Self {
            time,
            previous,
            own: chain(previous, log, lsn, time, record.crc32c),
        }
    }
}

#[inline]
fn chain(previous: Chain, log: LogId, lsn: Lsn, time: WallTime, checksum: u32) -> Chain {
    // Written in words, as they are read again at once: a processor waits for what it reads across two writes.
    let linked = [
        u64::from(log.0) << 32 | u64::from(previous.0),
        lsn.as_u64(),
        time.0,
        u64::from(checksum),
    ];
    let linked = linked.map(u64::to_le_bytes);
    Chain(crc32c(&linked.as_flattened()[..28]))
}

/// A record as it stands in a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamped {
    /// What the sequencer added.
    pub stamp: Stamp,
    /// What the client appended.
    pub record: Record,
}

impl Stamped {
    /// Whether the record was given this place: its chain value says so. The payload is not looked at:
    /// that is [`Record::verify`]'s.
    #[must_use]
    pub fn belongs_at(&self, log: LogId, lsn: Lsn) -> bool {
        let Stamp {
            time,
            previous,
            own,
        } = self.stamp;
        own == chain(previous, log, lsn, time, self.record.crc32c)
    }
}

/// What stands at an LSN.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Entry {
    /// A client's record.
    Record(Stamped),
    /// Recovery decided that no record stands here. It never came to be fully replicated.
    Hole,
    /// Recovery decided that the epoch ends here: no record at this or a later offset of it.
    Bridge,
}

/// Names one attempt to recover an epoch. Later activations, then later attempts of one activation,
/// are greater; no two attempts share a ballot.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Ballot {
    /// The epoch the attempt seals up to: one below that of the activation that recovers.
    pub seal: Epoch,
    /// Counts the attempts of one activation, from 1.
    pub attempt: u32,
}

impl fmt::Display for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.seal.0, self.attempt)
    }
}

/// Which of two copies of one LSN prevails. What recovery wrote beats what the epoch's sequencer
/// wrote, a later ballot beats an earlier, a later wave beats an earlier.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Precedence {
    /// The recovery attempt that wrote the copy, or `None` for the epoch's own sequencer.
    pub recovery: Option<Ballot>,
    /// The sequencer's wave, from 1; 0 for recovery.
    pub wave: u32,
}

impl Precedence {
    /// Of a copy that the epoch's sequencer stored.
    #[must_use]
    pub const fn of_wave(wave: u32) -> Self {
        Self {
            recovery: None,
            wave,
        }
    }

    /// Of a copy that a recovery attempt stored.
    #[must_use]
    pub const fn of_recovery(ballot: Ballot) -> Self {
        Self {
            recovery: Some(ballot),
            wave: 0,
        }
    }
}

/// One node's copy of what stands at an LSN.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoredCopy {
    /// Which copy prevails where two differ.
    pub precedence: Precedence,
    /// The nodes this copy's writer sent it to.
    pub copyset: NodeSet,
    /// End of the contiguous fully replicated prefix of the epoch when the copy was sent; 0 if none.
    pub last_known_good: Offset,
    /// What stands here.
    pub entry: Entry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_value_is_over_all_that_makes_a_record_this_one() {
        let record = Record::new(Bytes::from_static(b"hello"));
        let (log, lsn, time) = (
            LogId(0x0102_0304),
            Lsn::new(5, 6),
            WallTime(0x0708_0900_0a0b_0c0d),
        );
        let stamp = Stamp::linked(Chain(0xf1f2_f3f4), log, lsn, time, &record);
        let linked = [
            &[0xf4, 0xf3, 0xf2, 0xf1][..],
            &[4, 3, 2, 1],
            &[6, 0, 0, 0, 5, 0, 0, 0],
            &[0x0d, 0x0c, 0x0b, 0x0a, 0, 9, 8, 7],
            &record.crc32c.to_le_bytes(),
        ];
        assert_eq!(stamp.own, Chain(crc32c(&linked.concat())));
    }

    #[test]
    fn a_changed_payload_is_noticed() {
        let record = Record::new(Bytes::from_static(b"hello"));
        assert_eq!(record.crc32c, 0x9a71_bb4c);
        assert_eq!(record.verify(), Ok(()));
        for bit in 0..40 {
            let mut payload = record.payload.to_vec();
            payload[bit / 8] ^= 1 << (bit % 8);
            let damaged = Record {
                payload: payload.into(),
                ..record.clone()
            };
            assert!(damaged.verify().is_err());
        }
    }

    fn all_attributes() -> Vec<Attributes> {
        let producer = ProducerSequence {
            producer: ProducerId(7),
            sequence: 1 << 40,
        };
        let mut all = Vec::new();
        for producer in [None, Some(producer)] {
            for sets_token in [None, Some(Token(3))] {
                all.push(Attributes {
                    producer,
                    sets_token,
                });
            }
        }
        all
    }

    #[test]
    fn attributes_round_trip_and_a_cut_is_noticed() {
        for attributes in all_attributes() {
            let bytes = attributes.encode();
            let followed = [&bytes[..], b"rest"].concat();
            assert_eq!(
                Attributes::decode(&followed),
                Some((attributes, &b"rest"[..]))
            );
            for length in 0..bytes.len() {
                assert_eq!(Attributes::decode(&bytes[..length]), None);
            }
        }
        assert_eq!(Attributes::decode(&[4]), None);
    }

    #[test]
    fn changed_attributes_are_noticed() {
        for attributes in all_attributes() {
            let record = Record::with(Bytes::from_static(b"hello"), attributes);
            assert_eq!(record.verify(), Ok(()));
            for other in all_attributes() {
                let changed = Record {
                    attributes: other.into(),
                    ..record.clone()
                };
                assert_eq!(changed.verify().is_ok(), other == attributes);
            }
        }
    }

    #[test]
    fn a_stamp_belongs_to_one_place_and_one_record_and_time_never_falls() {
        let (log, first) = (LogId(1), Lsn::new(2, 1));
        let record = Record::new(Bytes::from_static(b"hello"));
        let stamp = Stamp::after(Stamp::default(), log, first, WallTime(70), &record);
        let record = |payload: &'static [u8]| Record::new(Bytes::from_static(payload));
        let stamped = Stamped {
            stamp,
            record: record(b"hello"),
        };
        assert!(stamped.belongs_at(log, first));
        assert!(!stamped.belongs_at(LogId(2), first));
        for elsewhere in [Lsn::new(2, 2), Lsn::new(1, 1)] {
            assert!(!stamped.belongs_at(log, elsewhere));
        }
        let other = Stamped {
            stamp,
            record: record(b"other"),
        };
        assert!(!other.belongs_at(log, first));
        let mut moved = stamped.clone();
        moved.stamp.time.0 += 1;
        assert!(!moved.belongs_at(log, first));

        let next = Stamp::after(stamp, log, first.next(), WallTime(60), &record(b"next"));
        assert_eq!(next.previous, stamp.own);
        assert_eq!(
            next.time,
            WallTime(70),
            "the clock went back, time does not"
        );
    }

    #[test]
    fn recovery_beats_waves_and_later_ballots_beat_earlier() {
        let ballot = |seal, attempt| {
            Precedence::of_recovery(Ballot {
                seal: Epoch(seal),
                attempt,
            })
        };
        let rising = [
            Precedence::of_wave(1),
            Precedence::of_wave(2),
            Precedence::of_wave(u32::MAX),
            ballot(1, 1),
            ballot(1, 2),
            ballot(2, 1),
        ];
        assert!(rising.is_sorted_by(|a, b| a < b));
    }
}
