//! The next version of the product, made for the tests: this one with a field and a message more.
//!
//! A node runs one of two builds. The next one is this build's machines with another skin: what it says
//! to its like has a field more, there is a message that this build does not know, and all metadata that
//! it stores has a field and a key more. What it relies on is what [`hstore_replicator::wire`] and
//! [`hstore_replicator::keys`] promise, and nothing else; who keeps to the promises is judged.

use bytes::Bytes;
use hstore_core::ports::log_store::StoreOp;
use hstore_core::{Incarnation, NodeId};
use hstore_replicator::message::Message;
use hstore_replicator::wire::{self, Format, FrameError, HEADER_BYTES, VERSIONS, Versions};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Which build of the product a node runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Build {
    /// This one.
    #[default]
    Current,
    /// The next one.
    Next,
}

/// The frames of the next build.
const NEXT: Format = Format {
    versions: Versions {
        oldest: VERSIONS.newest,
        newest: VERSIONS.newest + 1,
    },
    ..wire::MESSAGES
};
/// The kind of the message that the next build adds: the kinds of [`Message`] are counted from 0.
const GREETING: u8 = 7;
/// Ends a value of metadata to which the next build has added its field.
const MARK: [u8; 8] = *b"\xffh-next\xff";
/// The key that the next build adds: of a kind that comes after those of this build.
const KEY: &[u8] = &[4, 0];

/// What the next build says beside what this one does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Who says it.
    pub node: NodeId,
    /// In which life.
    pub life: Incarnation,
}

/// What a frame says, to the build that got it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A message that both builds know.
    Message(Message),
    /// One that the next build has added a field to; and whether the field is what was said.
    Extended(Message, bool),
    /// One that only the next build knows.
    Greeting(Greeting),
}

/// Metadata that the next build finds damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a field that the next version stored is there and is not what it stored")]
pub struct WrongField;

impl Build {
    /// The versions of messages it speaks.
    #[must_use]
    pub fn versions(self) -> Versions {
        match self {
            Self::Current => VERSIONS,
            Self::Next => NEXT.versions,
        }
    }

    /// The frame of a message in a version that it speaks.
    ///
    /// # Errors
    /// If the message is too long.
    pub fn encode(self, message: &Message, version: u8) -> Result<Bytes, FrameError> {
        match self {
            Self::Next if version == NEXT.versions.newest => {
                NEXT.encode(&(message, field_of(message)))
            }
            Self::Next => NEXT.encode_as(version, message),
            Self::Current => wire::encode(message),
        }
    }

    /// What a frame says.
    ///
    /// # Errors
    /// If the build refuses it.
    pub fn decode(self, frame: &[u8]) -> Result<Said, FrameError> {
        // Where the version of a frame stands: see `wire`.
        let extended = frame.get(4) == Some(&NEXT.versions.newest);
        match self {
            Self::Next if extended && frame.get(HEADER_BYTES) == Some(&GREETING) => {
                let (_, greeting): (u32, Greeting) = NEXT.decode(frame)?;
                Ok(Said::Greeting(greeting))
            }
            Self::Next if extended => {
                let (message, field): (Message, u64) = NEXT.decode(frame)?;
                let right = field == field_of(&message);
                Ok(Said::Extended(message, right))
            }
            Self::Next => NEXT.decode(frame).map(Said::Message),
            Self::Current => wire::decode(frame).map(Said::Message),
        }
    }

    /// Has what it stores be as it stores it.
    pub fn store(self, batch: &mut Vec<StoreOp>) {
        if self == Self::Current {
            return;
        }
        let mut any = false;
        for op in batch.iter_mut() {
            if let StoreOp::PutMeta { value, .. } = op {
                any = true;
                *value = extended(value);
            }
        }
        if any {
            let value = extended(b"of the next version");
            batch.push(StoreOp::PutMeta {
                key: Bytes::from_static(KEY),
                value,
            });
        }
    }

    /// Looks at what it finds stored: its own fields are as it stored them, or are not there.
    ///
    /// # Errors
    /// If one is not.
    pub fn check_stored(self, metadata: &[(Bytes, Bytes)]) -> Result<(), WrongField> {
        let wrong = |value: &Bytes| {
            let Some(before) = value.strip_suffix(&MARK[..]) else {
                return false;
            };
            let (content, field) = before.split_at(before.len().saturating_sub(8));
            field != xxh3_64(content).to_le_bytes()
        };
        if self == Self::Next && metadata.iter().any(|(_, value)| wrong(value)) {
            return Err(WrongField);
        }
        Ok(())
    }
}

impl Greeting {
    /// The frame of this greeting. Only builds that agreed on the next version may be sent it.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let body = (u32::from(GREETING), self);
        NEXT.encode(&body).expect("it is short")
    }
}

/// The field that the next build adds to every message: something that can be told to be right.
fn field_of(message: &Message) -> u64 {
    let bytes = postcard::to_stdvec(message).expect("a message has a serialised form");
    xxh3_64(&bytes)
}

/// A value of metadata with the next build's field after it.
fn extended(value: &[u8]) -> Bytes {
    let field = xxh3_64(value).to_le_bytes();
    [value, &field, &MARK].concat().into()
}

#[cfg(test)]
mod tests {
    use hstore_core::{Epoch, LogId, NodeSet};
    use hstore_replicator::keys::{DurableState, MetaKey, durable_state};
    use hstore_replicator::message::{Heartbeat, Pulse};

    use super::*;

    fn sample() -> Message {
        Message::Heartbeat(Heartbeat {
            pulse: Pulse {
                incarnation: Incarnation(2),
                sequence: 9,
                sequencing: Vec::new(),
            },
            hears: NodeSet::EMPTY,
            misses: NodeSet::EMPTY,
            others: Vec::new(),
        })
    }

    fn agreed(one: Build, other: Build) -> u8 {
        let agreed = one.versions().agree(other.versions());
        agreed.expect("neighbours understand each other")
    }

    #[test]
    fn two_builds_understand_each_other_in_what_they_agreed_on() {
        use Build::{Current, Next};
        for from in [Current, Next] {
            for to in [Current, Next] {
                let frame = from.encode(&sample(), agreed(from, to)).expect("short");
                let said = to.decode(&frame).expect("it is spoken");
                let expected = match (from, to) {
                    (Next, Next) => Said::Extended(sample(), true),
                    _ => Said::Message(sample()),
                };
                assert_eq!(said, expected, "{from:?} to {to:?}");
            }
        }
        assert_eq!(agreed(Next, Next), VERSIONS.newest + 1);
    }

    #[test]
    fn this_build_refuses_what_only_the_next_one_says() {
        let greeting = Greeting {
            node: NodeId(1),
            life: Incarnation(5),
        };
        let frame = greeting.encode();
        assert_eq!(Build::Next.decode(&frame), Ok(Said::Greeting(greeting)));
        let refused = Build::Current.decode(&frame);
        assert!(matches!(refused, Err(FrameError::Version { .. })));
        // Nor would it take it for something else if the next build forgot about the version.
        let body = (u32::from(GREETING), greeting);
        let frame = NEXT.encode_as(VERSIONS.newest, &body).expect("short");
        let refused = Build::Current.decode(&frame);
        assert!(matches!(refused, Err(FrameError::Body(_))));
    }

    #[test]
    fn this_build_reads_what_the_next_one_stored_and_that_one_finds_its_fields_or_does_not() {
        let mut batch = vec![MetaKey::Incarnation.put(&Incarnation(3))];
        Build::Next.store(&mut batch);
        let metadata: Vec<(Bytes, Bytes)> = batch
            .iter()
            .map(|op| match op {
                StoreOp::PutMeta { key, value } => (key.clone(), value.clone()),
                other => unreachable!("{other:?} is no metadata"),
            })
            .collect();
        assert_eq!(metadata.len(), 2, "a key was added");
        let (key, value) = &metadata[0];
        let life = durable_state(key, value);
        assert_eq!(life, Some(DurableState::Life(Incarnation(3))));
        assert_eq!(durable_state(&metadata[1].0, &metadata[1].1), None);
        assert_eq!(Build::Next.check_stored(&metadata), Ok(()));
        let mut damaged = metadata.clone();
        let mut bytes = damaged[0].1.to_vec();
        bytes[0] ^= 1;
        damaged[0].1 = bytes.into();
        assert_eq!(Build::Next.check_stored(&damaged), Err(WrongField));
        assert_eq!(Build::Current.check_stored(&damaged), Ok(()));

        let mut none = vec![StoreOp::DeleteRange {
            log: LogId(1),
            first: hstore_core::Lsn::at(Epoch(1), hstore_core::Offset(1)),
            last: hstore_core::Lsn::at(Epoch(1), hstore_core::Offset(2)),
        }];
        Build::Next.store(&mut none);
        assert_eq!(none.len(), 1, "what is no metadata stays as it is");
    }
}
