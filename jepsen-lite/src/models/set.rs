//! A set that only grows.

use super::Settings;
use super::decode;
use super::interned::Interned;
use crate::history::Status;
use crate::object::{ObjectOp, Value, ValueId};
use crate::search::{Decoded, Model, Undecodable};

/// A set: `add` of a value, `read` of all that is in it. It is empty at first.
#[derive(Debug)]
pub struct Set {
    values: Interned,
    initial: Members,
}

/// What is done to a set.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SetOp {
    /// Now this is in it.
    Add(ValueId),
    /// Exactly these are in it.
    Read(Members),
}

/// What is in a set: bits by the numbers of values, without zero words at the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Members(Box<[u64]>);

impl Members {
    fn with(&self, value: ValueId) -> Self {
        let (word, bit) = (value.0 as usize / 64, value.0 % 64);
        let mut words = self.0.to_vec();
        words.resize(words.len().max(word + 1), 0);
        words[word] |= 1 << bit;
        Self(words.into())
    }

    fn is_within(&self, other: &Self) -> bool {
        let others = other.0.iter().chain(std::iter::repeat(&0));
        let mut words = self.0.iter().zip(others);
        words.all(|(word, other)| word & !other == 0)
    }
}

impl Set {
    /// A set as the settings say: a list or set of what is in it at first.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let mut set = Self {
            values: Interned::default(),
            initial: Members::default(),
        };
        let initial = settings.initial.as_ref().and_then(Value::items);
        set.initial = set.members(initial.unwrap_or(&[]));
        set
    }

    fn members(&self, values: &[Value]) -> Members {
        let mut words = Vec::new();
        for value in values {
            let id = self.values.id(value).0;
            let word = id as usize / 64;
            words.resize(words.len().max(word + 1), 0);
            words[word] |= 1 << (id % 64);
        }
        Members(words.into())
    }
}

impl Model for Set {
    type Op = SetOp;
    type State = Members;

    fn initial(&self) -> Members {
        self.initial.clone()
    }

    fn step(&self, state: &Members, op: &SetOp) -> Option<Members> {
        match op {
            SetOp::Add(value) => Some(state.with(*value)),
            SetOp::Read(members) => (members == state).then(|| state.clone()),
        }
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<SetOp>, Undecodable> {
        Ok(match op.function() {
            "add" => decode::effect(op, SetOp::Add(self.values.id(op.argument()))),
            "read" if op.status() == Status::Ok && !op.result().is_nil() => {
                let members = op.result().items();
                let must = "a list or a set of values";
                let members = members.ok_or_else(|| decode::bad_result(op, must))?;
                Decoded::Effect(SetOp::Read(self.members(members)))
            }
            "read" => Decoded::Nothing,
            _ => return Err(decode::unknown_function(op, "add, read")),
        })
    }

    fn observes(&self, op: &SetOp) -> bool {
        matches!(op, SetOp::Read(_))
    }

    /// Nothing ever leaves the set.
    fn is_hopeless(&self, state: &Members, op: &SetOp) -> bool {
        matches!(op, SetOp::Read(members) if !state.is_within(members))
    }

    fn lookahead(&self) -> usize {
        4
    }

    fn show(&self, state: &Members) -> String {
        let words = state.0.iter().zip(0_u32..);
        let ids = words.flat_map(|(&word, index)| {
            let bits = (0..64).filter(move |bit| word >> bit & 1 == 1);
            bits.map(move |bit| ValueId(64 * index + bit))
        });
        Value::set(ids.map(|id| self.values.get(id))).to_string()
    }
}
