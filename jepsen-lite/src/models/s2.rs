//! A stream of S2, as its public histories describe it.

use std::rc::Rc;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::decode;
use crate::history::Status;
use crate::object::{ObjectOp, Value};
use crate::search::{Decoded, Model, Undecodable};

/// A stream of records, known by its tail and by a hash of all that is in it.
///
/// - `append` of `{num_records, record_hashes, set_fencing_token, fencing_token, match_seq_num}` returns `{tail}`,
///   that after the batch. It takes effect only if the token, if given, is that of the stream, and the sequence
///   number, if given, is the tail.
/// - `read` returns `{tail, stream_hash}` of the whole stream; `check-tail` returns `{tail}`.
///
/// Hashes are unsigned, and carried as the signed integers of the same bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct S2;

/// What is done to a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum S2Op {
    /// A batch is appended.
    Append {
        /// How many records it has, at least one.
        records: u64,
        /// The hashes of their bodies.
        hashes: Box<[u64]>,
        /// The fencing token that it sets.
        sets_token: Option<Rc<str>>,
        /// What the fencing token must be.
        token: Option<Rc<str>>,
        /// What the tail must be.
        at: Option<u64>,
        /// The tail after it, if it was answered.
        tail: Option<u64>,
    },
    /// The stream is so long, and has this hash if it was recorded.
    Seen {
        /// The tail.
        tail: u64,
        /// The hash of all records.
        hash: Option<u64>,
    },
}

/// A stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct S2State {
    /// The sequence number that the next record gets.
    pub tail: u64,
    /// The hash of all records, see [`fold`].
    pub hash: u64,
    /// The fencing token.
    pub token: Option<Rc<str>>,
}

/// The hash of a stream to which records with these hashes are appended. The empty stream has 0; each record
/// is hashed (XXH3, 64 bits, of the eight bytes of its own hash, the least first) with what precedes as
/// the seed.
#[must_use]
pub fn fold(stream: u64, records: &[u64]) -> u64 {
    records.iter().fold(stream, |stream, record| {
        xxh3_64_with_seed(&record.to_le_bytes(), stream)
    })
}

impl Model for S2 {
    type Op = S2Op;
    type State = S2State;

    fn initial(&self) -> S2State {
        S2State::default()
    }

    fn step(&self, state: &S2State, op: &S2Op) -> Option<S2State> {
        match op {
            S2Op::Append {
                records,
                hashes,
                sets_token,
                token,
                at,
                tail: answered,
            } => {
                if token.is_some() && *token != state.token || at.is_some_and(|at| at != state.tail)
                {
                    return None;
                }
                let tail = state.tail.checked_add(*records)?;
                if answered.is_some_and(|answered| answered != tail) {
                    return None;
                }
                Some(S2State {
                    tail,
                    hash: fold(state.hash, hashes),
                    token: sets_token.clone().or_else(|| state.token.clone()),
                })
            }
            S2Op::Seen { tail, hash } => {
                let is_it = *tail == state.tail && hash.is_none_or(|hash| hash == state.hash);
                is_it.then(|| state.clone())
            }
        }
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<S2Op>, Undecodable> {
        match op.function() {
            "append" => {
                let append = decode_append(op).ok_or_else(|| {
                    let must = "a map of num_records (1 or more), record_hashes (a list of integers), \
                                set_fencing_token, fencing_token (strings or nil) and match_seq_num";
                    decode::bad_argument(op, must)
                })?;
                Ok(decode::effect(op, with_answer(op, append)?))
            }
            "read" | "check-tail" if op.status() == Status::Ok => {
                let tail = number(op.result(), "tail").flatten();
                let tail = tail.ok_or_else(|| decode::bad_result(op, "a map with a tail"))?;
                let hash = match op.result().field("stream_hash") {
                    Some(hash) if !hash.is_nil() => {
                        let hash = hash.as_int().map(i64::cast_unsigned);
                        let must = "a map with a stream_hash that is an integer";
                        Some(hash.ok_or_else(|| decode::bad_result(op, must))?)
                    }
                    _ => None,
                };
                Ok(Decoded::Effect(S2Op::Seen { tail, hash }))
            }
            "read" | "check-tail" => Ok(Decoded::Nothing),
            _ => Err(decode::unknown_function(op, "append, read, check-tail")),
        }
    }

    fn observes(&self, op: &S2Op) -> bool {
        matches!(op, S2Op::Seen { .. })
    }

    /// A stream only grows.
    fn is_hopeless(&self, state: &S2State, op: &S2Op) -> bool {
        match op {
            S2Op::Append {
                records, at, tail, ..
            } => {
                let before = tail.map(|tail| tail.checked_sub(*records));
                let is_past = |needed: u64| state.tail > needed;
                before.is_some_and(|before| before.is_none_or(is_past)) || at.is_some_and(is_past)
            }
            // As long and yet not legal: it has other records, and keeps them.
            S2Op::Seen { tail, .. } => state.tail >= *tail,
        }
    }

    fn lookahead(&self) -> usize {
        4
    }

    fn show(&self, state: &S2State) -> String {
        let S2State { tail, hash, token } = state;
        match token {
            Some(token) => format!("tail {tail}, hash {hash}, fencing token {token:?}"),
            None => format!("tail {tail}, hash {hash}"),
        }
    }
}

/// The number under a name, which may be missing or `nil`; `None` if there is something else.
fn number(map: &Value, name: &str) -> Option<Option<u64>> {
    match map.field(name) {
        None | Some(Value::Nil) => Some(None),
        Some(number) => Some(Some(number.as_int()?.cast_unsigned())),
    }
}

fn token(map: &Value, name: &str) -> Option<Option<Rc<str>>> {
    match map.field(name) {
        None | Some(Value::Nil) => Some(None),
        Some(token) => Some(Some(token.as_name()?.into())),
    }
}

fn decode_append(op: ObjectOp<'_>) -> Option<S2Op> {
    let batch = op.argument();
    let hashes = batch.field("record_hashes")?.items()?.iter();
    let hashes: Option<Box<[u64]>> = hashes
        .map(|hash| Some(hash.as_int()?.cast_unsigned()))
        .collect();
    let records = number(batch, "num_records")?;
    Some(S2Op::Append {
        records: records.filter(|&records| records > 0)?,
        hashes: hashes?,
        sets_token: token(batch, "set_fencing_token")?,
        token: token(batch, "fencing_token")?,
        at: number(batch, "match_seq_num")?,
        tail: None,
    })
}

fn with_answer(op: ObjectOp<'_>, mut append: S2Op) -> Result<S2Op, Undecodable> {
    if let (Status::Ok, S2Op::Append { tail, .. }) = (op.status(), &mut append) {
        let answered = number(op.result(), "tail").flatten();
        let answered = answered.ok_or_else(|| decode::bad_result(op, "a map with a tail"))?;
        *tail = Some(answered);
    }
    Ok(append)
}
