//! Strings by key.

use std::cell::RefCell;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::decode;
use super::interned::Interned;
use super::{NilReads, Settings};
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

/// The values by the numbers of their keys; those behind the end are as at first, the last one is not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KvState(Box<[ValueId]>);

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
            appended: RefCell::default(),
        }
    }

    fn value(&self, state: &KvState, key: ValueId) -> ValueId {
        let value = state.0.get(key.0 as usize);
        value.copied().unwrap_or(self.initial)
    }

    fn with(&self, state: &KvState, key: ValueId, value: ValueId) -> KvState {
        let key = key.0 as usize;
        let mut values = Vec::with_capacity(state.0.len().max(key + 1));
        values.extend_from_slice(&state.0);
        values.resize(values.len().max(key + 1), self.initial);
        values[key] = value;
        while values.last() == Some(&self.initial) {
            values.pop();
        }
        KvState(values.into())
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
            KvOp::Get(key, value) => (self.value(state, key) == value).then(|| state.clone()),
            KvOp::Put(key, value) => Some(self.with(state, key, value)),
            KvOp::Append(key, more) => {
                let longer = self.append(self.value(state, key), more)?;
                Some(self.with(state, key, longer))
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
            "put" | "write" => decode::effect(op, KvOp::Put(key, self.values.id(op.argument()))),
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

    fn show(&self, state: &KvState) -> String {
        let entries = state.0.iter().zip(0..).map(|(&value, key)| {
            let key = self.keys.get(ValueId(key));
            (key, self.values.get(value))
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
