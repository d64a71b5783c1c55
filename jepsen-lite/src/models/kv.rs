//! Strings by key.

use std::cell::RefCell;
use std::collections::BTreeMap;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::decode;
use super::interned::Interned;
use super::{NilReads, Settings};
use crate::history::Status;
use crate::object::{ObjectOp, Value, ValueId};
use crate::search::{Decoded, Model, Undecodable};

/// Values by key: `get`, `put` and, for strings, `append`. Each key has the empty string at first.
///
/// The keys have nothing to do with each other, so it is best checked key by key.
#[derive(Debug)]
pub struct Kv {
    values: Interned,
    keys: Interned,
    initial: ValueId,
    nil_reads: NilReads,
    /// What is put somewhere in the history, and how often, by key: see [`Model::is_hopeless`].
    puts: RefCell<BTreeMap<ValueId, BTreeMap<ValueId, u32>>>,
    /// Whether a read is hopeless, by key, what that has, and what was read. Only ever asked for a key.
    hopeless: RefCell<HashMap<(ValueId, Entry, ValueId), bool, FxBuildHasher>>,
    /// What it is to append one to another. Only ever asked for a key.
    appended: RefCell<HashMap<(ValueId, ValueId), Option<ValueId>, FxBuildHasher>>,
}

/// What is done to a key, which comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KvOp {
    /// It has this value.
    Get(ValueId, ValueId),
    /// Now it has this value.
    Put(ValueId, ValueId),
    /// Now its value is longer by this.
    Append(ValueId, ValueId),
}

/// What the keys have, by their numbers; those behind the end are as at first, the last one is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KvState(Box<[Entry]>);

/// What a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    /// What was put there last; `nil` if nothing was.
    base: ValueId,
    value: ValueId,
}

impl Kv {
    /// A map as the settings say, all of whose keys have the same value at first.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let values = Interned::default();
        let initial = settings.initial.clone().unwrap_or_else(|| Value::text(""));
        let initial = values.id(&initial);
        Self {
            values,
            keys: Interned::default(),
            initial,
            nil_reads: settings.nil_reads,
            puts: RefCell::default(),
            hopeless: RefCell::default(),
            appended: RefCell::default(),
        }
    }

    fn entry(&self, state: &KvState, key: ValueId) -> Entry {
        let entry = state.0.get(key.0 as usize);
        entry.copied().unwrap_or(self.first())
    }

    fn first(&self) -> Entry {
        Entry {
            base: ValueId::NIL,
            value: self.initial,
        }
    }

    fn with(&self, state: &KvState, key: ValueId, entry: Entry) -> KvState {
        let key = key.0 as usize;
        let mut entries = Vec::with_capacity(state.0.len().max(key + 1));
        entries.extend_from_slice(&state.0);
        entries.resize(entries.len().max(key + 1), self.first());
        entries[key] = entry;
        while entries.last() == Some(&self.first()) {
            entries.pop();
        }
        KvState(entries.into())
    }

    /// Whether appending can make `whole` of `value`.
    fn is_beginning(&self, value: ValueId, whole: ValueId) -> bool {
        value == whole
            || self
                .values
                .with(value, whole, |value, whole| match (value, whole) {
                    (Value::Text(value), Value::Text(whole)) => whole.starts_with(&**value),
                    _ => false,
                })
    }

    /// `None` if the value is not a string.
    fn append(&self, value: ValueId, more: ValueId) -> Option<ValueId> {
        let mut appended = self.appended.borrow_mut();
        *appended.entry((value, more)).or_insert_with(|| {
            let longer = match (self.values.get(value), self.values.get(more)) {
                (Value::Text(value), Value::Text(more)) => format!("{value}{more}"),
                _ => return None,
            };
            Some(self.values.id(&Value::Text(longer.into())))
        })
    }
}

impl Model for Kv {
    type Op = KvOp;
    type State = KvState;

    fn initial(&self) -> KvState {
        KvState(Box::default())
    }

    fn step(&self, state: &KvState, op: &KvOp) -> Option<KvState> {
        match *op {
            KvOp::Get(key, value) => (self.entry(state, key).value == value).then(|| state.clone()),
            KvOp::Put(key, value) => Some(self.with(state, key, Entry { base: value, value })),
            KvOp::Append(key, more) => {
                let Entry { base, value } = self.entry(state, key);
                let value = self.append(value, more)?;
                Some(self.with(state, key, Entry { base, value }))
            }
        }
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<KvOp>, Undecodable> {
        let key = self.keys.id(op.key());
        Ok(match op.function() {
            "get" | "read" => match decode::seen(op, self.nil_reads) {
                Some(value) if value.is_nil() => Decoded::Effect(KvOp::Get(key, self.initial)),
                Some(value) => Decoded::Effect(KvOp::Get(key, self.values.id(value))),
                None => Decoded::Nothing,
            },
            "put" | "write" => {
                let value = self.values.id(op.argument());
                if op.status() != Status::Fail {
                    let mut puts = self.puts.borrow_mut();
                    *puts.entry(key).or_default().entry(value).or_default() += 1;
                }
                decode::effect(op, KvOp::Put(key, value))
            }
            "append" => {
                if !matches!(op.argument(), Value::Text(_)) {
                    return Err(decode::bad_argument(op, "a string"));
                }
                decode::effect(op, KvOp::Append(key, self.values.id(op.argument())))
            }
            _ => return Err(decode::unknown_function(op, "get, put, append")),
        })
    }

    fn observes(&self, op: &KvOp) -> bool {
        matches!(op, KvOp::Get(..))
    }

    /// A value grows, so that a read must find a continuation of it, unless something that the read begins
    /// with is still to be put. What is put once, and was put last, is not.
    fn is_hopeless(&self, state: &KvState, op: &KvOp) -> bool {
        let KvOp::Get(key, read) = *op else {
            return false;
        };
        let entry = self.entry(state, key);
        let mut hopeless = self.hopeless.borrow_mut();
        *hopeless.entry((key, entry, read)).or_insert_with(|| {
            let Entry { base, value } = entry;
            let puts = self.puts.borrow();
            let mut puts = puts.get(&key).into_iter().flatten();
            !self.is_beginning(value, read)
                && puts.all(|(&put, &count)| {
                    base == put && count == 1 || !self.is_beginning(put, read)
                })
        })
    }

    fn lookahead(&self) -> usize {
        16
    }

    fn show(&self, state: &KvState) -> String {
        let entries = state.0.iter().zip(0..).map(|(entry, key)| {
            let key = self.keys.get(ValueId(key));
            (key, self.values.get(entry.value))
        });
        let mut entries: Vec<(Value, Value)> = entries.collect();
        if let [(Value::Nil, value)] = &mut entries[..] {
            return value.to_string();
        }
        let initial = self.values.get(self.initial);
        entries.retain(|(_, value)| *value != initial);
        Value::map(entries).to_string()
    }
}
