//! Keys and values in RocksDB.
//!
//! All are in one column family. The first byte of a key says what it is:
//!
//! ```text
//!   0       1       5               13
//!   +-------+-------+---------------+
//!   | 'c'   | log   | LSN           |    a copy; big endian, so that copies are sorted by log and LSN
//!   +-------+-------+---------------+
//!   | 'f'   |                            the version of this layout, 4 bytes
//!   +-------+- - - - - - - - - - - -+
//!   | 'm'   | the caller's key      |    metadata
//!   +-------+- - - - - - - - - - - -+
//! ```
//!
//! Metadata, which is written all the time, sorts behind the copies: a flushed table spans the newest
//! copies and all that sorts behind them, and a compaction leaves the older copies of the last log
//! alone.
//!
//! A copy is stored as follows. The numbers are little endian. What an amend changes stands before the
//! entry, which may be long:
//!
//! ```text
//!  0         1       2        3       7         11     15        31                35
//!  +---------+-------+--------+-------+---------+------+---------+-----------------+- - - - -+
//!  | version | kind  | writer | seal  | attempt | wave | copyset | last known good | entry   |
//!  +---------+-------+--------+-------+---------+------+---------+-----------------+- - - - -+
//! ```
//!
//! - `version`: 2.
//! - `kind`: what the entry is. 0: a record without attributes. 1: a hole. 2: a bridge. Nothing follows
//!   those. 3: a record with attributes.
//! - `writer`: 0: a sequencer, and `seal` and `attempt` are 0. 1: a recovery, whose ballot they are.
//! - `copyset`: node `n` is bit `n`.
//!
//! The entry of a record is its stamp, then what its client made:
//!
//! ```text
//!  35     43         47    51       55
//!  +------+----------+-----+--------+- - - - - -+
//!  | time | previous | own | CRC32C | payload   |
//!  +------+----------+-----+--------+- - - - - -+
//! ```
//!
//! Attributes, if there are any ([`Attributes::encode`]), stand between CRC32C and payload.
//!
//! RocksDB's own checksums guard keys and values at rest; the CRC32C inside guards the record on
//! its whole way from the client that appended it, and the chain value `own` its place.

use bytes::Bytes;
use hstore_core::{
    Attributes, Ballot, Chain, Entry, Epoch, LogId, Lsn, NodeSet, Offset, Precedence, Record,
    Stamp, Stamped, StoredCopy, WallTime,
};

/// The version of the layout.
pub(super) const FORMAT: u32 = 3;

/// Where the version of the layout stands.
pub(super) const FORMAT_KEY: &[u8] = b"f";

/// The first byte of a copy's key.
const COPY: u8 = b'c';

/// The first byte of a key of metadata.
const METADATA: u8 = b'm';

/// The first byte of every value.
const VALUE_VERSION: u8 = 2;

const HEADER_BYTES: usize = 35;
/// What stands before the payload of a record, behind the header.
const RECORD_HEADER_BYTES: usize = 20;
/// Attributes have at most so many bytes.
const ATTRIBUTES_BYTES_MAX: usize = 25;
const RECORD: u8 = 0;
const HOLE: u8 = 1;
const BRIDGE: u8 = 2;
const RECORD_WITH_ATTRIBUTES: u8 = 3;
const BY_SEQUENCER: u8 = 0;
const BY_RECOVERY: u8 = 1;

/// The key of a copy. Sorts as (log, LSN).
pub(super) type CopyKey = [u8; 13];

/// Bytes that are no value of a copy, and in what way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct BadValue(pub(super) String);

pub(super) fn copy_key(log: LogId, lsn: Lsn) -> CopyKey {
    let mut key = [COPY; 13];
    key[1..5].copy_from_slice(&log.0.to_be_bytes());
    key[5..].copy_from_slice(&lsn.as_u64().to_be_bytes());
    key
}

/// The LSN of a key.
pub(super) fn lsn_of(key: &[u8]) -> Option<Lsn> {
    let key: CopyKey = key.try_into().ok()?;
    let lsn = key[5..].try_into().expect("eight of the thirteen bytes");
    Some(Lsn::from_u64(u64::from_be_bytes(lsn)))
}

/// The first key behind that of a copy.
pub(super) fn successor(key: CopyKey) -> [u8; 14] {
    let mut next = [0; 14];
    next[..13].copy_from_slice(&key);
    next
}

/// Where keys of metadata begin.
pub(super) const METADATA_START: &[u8] = &[METADATA];

pub(super) fn metadata_key(key: &[u8]) -> Vec<u8> {
    [&[METADATA], key].concat()
}

/// The caller's key, if this is one of metadata.
pub(super) fn metadata_key_of(key: &[u8]) -> Option<&[u8]> {
    key.strip_prefix(&[METADATA])
}

pub(super) fn encode(copy: &StoredCopy) -> Vec<u8> {
    let payload = match &copy.entry {
        Entry::Record(it) => RECORD_HEADER_BYTES + ATTRIBUTES_BYTES_MAX + it.record.payload.len(),
        Entry::Hole | Entry::Bridge => 0,
    };
    let mut value = Vec::with_capacity(HEADER_BYTES + payload);
    let kind = match &copy.entry {
        Entry::Record(it) if it.record.attributes.is_none() => RECORD,
        Entry::Record(_) => RECORD_WITH_ATTRIBUTES,
        Entry::Hole => HOLE,
        Entry::Bridge => BRIDGE,
    };
    value.extend([VALUE_VERSION, kind]);
    value.extend(precedence_bytes(copy.precedence));
    value.extend(copy.copyset.bits().to_le_bytes());
    value.extend(copy.last_known_good.0.to_le_bytes());
    if let Entry::Record(Stamped { stamp, record }) = &copy.entry {
        value.extend(stamp.time.0.to_le_bytes());
        value.extend(stamp.previous.0.to_le_bytes());
        value.extend(stamp.own.0.to_le_bytes());
        value.extend(record.crc32c.to_le_bytes());
        if kind == RECORD_WITH_ATTRIBUTES {
            value.extend(&record.attributes.encode()[..]);
        }
        value.extend(&record.payload[..]);
    }
    value
}

/// The copy that a value is. The record is not checked against its CRC.
pub(super) fn decode(value: &[u8]) -> Result<StoredCopy, BadValue> {
    let precedence = precedence_of(value)?;
    let body = &value[HEADER_BYTES..];
    let entry = match (value[1], body.len()) {
        (RECORD | RECORD_WITH_ATTRIBUTES, RECORD_HEADER_BYTES..) => {
            let rest = &body[RECORD_HEADER_BYTES..];
            let (attributes, payload) = if value[1] == RECORD {
                (Attributes::default(), rest)
            } else {
                Attributes::decode(rest)
                    .filter(|(attributes, _)| !attributes.is_none())
                    .ok_or_else(|| BadValue("its attributes are none".to_owned()))?
            };
            Entry::Record(Stamped {
                stamp: Stamp {
                    time: WallTime(u64::from_le_bytes(array(body, 0))),
                    previous: Chain(u32::from_le_bytes(array(body, 8))),
                    own: Chain(u32::from_le_bytes(array(body, 12))),
                },
                record: Record {
                    payload: Bytes::copy_from_slice(payload),
                    attributes: attributes.into(),
                    crc32c: u32::from_le_bytes(array(body, 16)),
                },
            })
        }
        (HOLE, 0) => Entry::Hole,
        (BRIDGE, 0) => Entry::Bridge,
        (kind, body) => {
            return Err(BadValue(format!(
                "{body} bytes for an entry of kind {kind}"
            )));
        }
    };
    Ok(StoredCopy {
        precedence,
        copyset: NodeSet::from_bits(u128::from_le_bytes(array(value, 15))),
        last_known_good: Offset(u32::from_le_bytes(array(value, 31))),
        entry,
    })
}

/// The precedence of the copy that a value is, without decoding the rest.
pub(super) fn precedence_of(value: &[u8]) -> Result<Precedence, BadValue> {
    if value.len() < HEADER_BYTES {
        return Err(BadValue(format!("{} bytes are too few", value.len())));
    }
    if value[0] != VALUE_VERSION {
        return Err(BadValue(format!(
            "it has version {}, this build reads version {VALUE_VERSION}",
            value[0]
        )));
    }
    let number = |at| u32::from_le_bytes(array(value, at));
    let recovery = match value[2] {
        BY_SEQUENCER => None,
        BY_RECOVERY => Some(Ballot {
            seal: Epoch(number(3)),
            attempt: number(7),
        }),
        other => return Err(BadValue(format!("no writer has the code {other}"))),
    };
    Ok(Precedence {
        recovery,
        wave: number(11),
    })
}

/// Moves the copy that `value` is to another wave and copyset.
pub(super) fn amend(value: &mut [u8], wave: u32, copyset: NodeSet) {
    value[11..15].copy_from_slice(&wave.to_le_bytes());
    value[15..31].copy_from_slice(&copyset.bits().to_le_bytes());
}

fn precedence_bytes(precedence: Precedence) -> [u8; 13] {
    let (writer, ballot) = match precedence.recovery {
        None => (BY_SEQUENCER, Ballot::default()),
        Some(ballot) => (BY_RECOVERY, ballot),
    };
    let mut bytes = [0; 13];
    bytes[0] = writer;
    bytes[1..5].copy_from_slice(&ballot.seal.0.to_le_bytes());
    bytes[5..9].copy_from_slice(&ballot.attempt.to_le_bytes());
    bytes[9..13].copy_from_slice(&precedence.wave.to_le_bytes());
    bytes
}

/// `N` bytes of a header.
fn array<const N: usize>(value: &[u8], at: usize) -> [u8; N] {
    value[at..at + N]
        .try_into()
        .expect("the header was measured")
}

#[cfg(test)]
mod tests {
    use hstore_core::{ProducerId, ProducerSequence, Token};
    use proptest::prelude::*;

    use super::*;

    fn copies() -> impl Strategy<Value = StoredCopy> {
        let recovery = prop::option::of((any::<u32>(), any::<u32>()).prop_map(
            |(seal, attempt)| Ballot {
                seal: Epoch(seal),
                attempt,
            },
        ));
        let entry = prop_oneof![
            Just(Entry::Hole),
            Just(Entry::Bridge),
            (
                prop::collection::vec(any::<u8>(), 0..40),
                prop::option::of((any::<u64>(), any::<u64>())),
                prop::option::of(any::<u64>()),
                any::<u32>(),
                any::<(u64, u32, u32)>(),
            )
                .prop_map(
                    |(payload, producer, token, crc32c, (time, previous, own))| {
                        let attributes = Attributes {
                            producer: producer.map(|(producer, sequence)| ProducerSequence {
                                producer: ProducerId(producer),
                                sequence,
                            }),
                            sets_token: token.map(Token),
                        };
                        Entry::Record(Stamped {
                            stamp: Stamp {
                                time: WallTime(time),
                                previous: Chain(previous),
                                own: Chain(own),
                            },
                            record: Record {
                                payload: payload.into(),
                                attributes: attributes.into(),
                                crc32c,
                            },
                        })
                    }
                ),
        ];
        (recovery, any::<u32>(), any::<u128>(), any::<u32>(), entry).prop_map(
            |(recovery, wave, copyset, last_known_good, entry)| StoredCopy {
                precedence: Precedence { recovery, wave },
                copyset: NodeSet::from_bits(copyset),
                last_known_good: Offset(last_known_good),
                entry,
            },
        )
    }

    proptest! {
        #[test]
        fn values_round_trip(copy in copies()) {
            let value = encode(&copy);
            prop_assert_eq!(decode(&value), Ok(copy.clone()));
            prop_assert_eq!(precedence_of(&value), Ok(copy.precedence));
        }

        #[test]
        fn an_amended_value_is_the_amended_copy(
            copy in copies(),
            wave in any::<u32>(),
            copyset in any::<u128>().prop_map(NodeSet::from_bits),
        ) {
            let mut value = encode(&copy);
            amend(&mut value, wave, copyset);
            let mut amended = copy;
            amended.precedence.wave = wave;
            amended.copyset = copyset;
            prop_assert_eq!(decode(&value), Ok(amended));
        }

        #[test]
        fn no_bytes_are_more_than_refused(value in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(copy) = decode(&value) {
                prop_assert_eq!(encode(&copy).len(), value.len());
            }
        }

        #[test]
        fn keys_sort_as_logs_and_lsns(
            a in (any::<u32>(), any::<u64>()),
            b in (any::<u32>(), any::<u64>()),
        ) {
            let key = |(log, lsn)| copy_key(LogId(log), Lsn::from_u64(lsn));
            prop_assert_eq!(key(a).cmp(&key(b)), a.cmp(&b));
            prop_assert_eq!(lsn_of(&key(a)), Some(Lsn::from_u64(a.1)));
        }
    }

    #[test]
    fn attributes_stand_before_the_payload() {
        let attributes = Attributes {
            producer: None,
            sets_token: Some(Token(9)),
        };
        let record = Record::with(Bytes::from_static(b"hello"), attributes);
        let crc32c = record.crc32c;
        let value = encode(&StoredCopy {
            precedence: Precedence::of_wave(1),
            copyset: NodeSet::from_bits(1),
            last_known_good: Offset(0),
            entry: Entry::Record(Stamped {
                stamp: Stamp::default(),
                record,
            }),
        });
        assert_eq!(value[..3], [2, 3, 0]);
        assert_eq!(value[51..55], crc32c.to_le_bytes());
        assert_eq!(value[55..64], [2, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(value[64..], *b"hello");
    }

    #[test]
    fn the_layout_is_as_drawn() {
        let copy = StoredCopy {
            precedence: Precedence::of_recovery(Ballot {
                seal: Epoch(0x0102_0304),
                attempt: 5,
            }),
            copyset: NodeSet::from_bits(0b101),
            last_known_good: Offset(7),
            entry: Entry::Record(Stamped {
                stamp: Stamp {
                    time: WallTime(8),
                    previous: Chain(9),
                    own: Chain(10),
                },
                record: Record::new(Bytes::from_static(b"hello")),
            }),
        };
        let value = encode(&copy);
        assert_eq!(value[..3], [2, 0, 1]);
        assert_eq!(value[3..7], [4, 3, 2, 1]);
        assert_eq!(value[7..11], [5, 0, 0, 0]);
        assert_eq!(value[11..15], [0; 4]);
        assert_eq!(value[15..17], [5, 0]);
        assert_eq!(value[31..35], [7, 0, 0, 0]);
        assert_eq!(value[35..43], [8, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(value[43..51], [9, 0, 0, 0, 10, 0, 0, 0]);
        assert_eq!(value[51..55], 0x9a71_bb4c_u32.to_le_bytes());
        assert_eq!(value[55..], *b"hello");
        assert_eq!(
            copy_key(LogId(1), Lsn::new(2, 3)),
            [b'c', 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3]
        );
    }

    #[test]
    fn the_successor_of_a_key_lies_before_all_later_ones() {
        let key = copy_key(LogId(1), Lsn::from_u64(u64::MAX));
        assert!(successor(key)[..] > key[..]);
        assert!(successor(key)[..] < copy_key(LogId(2), Lsn::MIN)[..]);
        let last = copy_key(LogId(u32::MAX), Lsn::from_u64(u64::MAX));
        assert!(successor(last)[..] < *FORMAT_KEY);
        assert!(*FORMAT_KEY < *METADATA_START);
        assert!(*METADATA_START <= metadata_key(b"")[..]);
    }
}
