//! Several registers, read and written together.

use super::decode;
use super::{NilReads, Settings};
use crate::history::Status;
use crate::object::{ObjectOp, Value};
use crate::search::{Decoded, Model, Undecodable};

/// Registers by name: `txn` of a list of `[:read x v]` and `[:write x v]` (or `:r` and `:w`), which are done in
/// this order at one moment; `read` and `write` of a map of values by register; or, where operations have a
/// key, of the value of the register of that name.
///
/// A transaction's answer is its list with the values filled in. Of a transaction of unknown outcome
/// only the writes count.
#[derive(Clone, Debug)]
pub struct MultiRegister {
    initial: Initial,
    nil_reads: NilReads,
}

/// What the registers hold at first.
#[derive(Clone, Debug)]
enum Initial {
    /// All of them the same.
    All(Value),
    /// These, and the others `nil`.
    Each(Registers),
}

/// Values by register, sorted by register; those not in it hold what they held at first.
type Registers = Box<[(Value, Value)]>;

/// A transaction: its parts in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Transaction(Box<[Part]>);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    Read(Value, Value),
    Write(Value, Value),
}

/// What the registers hold that were written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Written(Registers);

impl MultiRegister {
    /// Registers as the settings say: a map of values by register, or one value for all.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let initial = match &settings.initial {
            Some(Value::Map(entries)) => Initial::Each(entries.clone()),
            Some(all) => Initial::All(all.clone()),
            None => Initial::All(Value::Int(0)),
        };
        Self {
            initial,
            nil_reads: settings.nil_reads,
        }
    }

    fn first(&self, register: &Value) -> &Value {
        match &self.initial {
            Initial::All(value) => value,
            Initial::Each(values) => find(values, register).unwrap_or(&Value::Nil),
        }
    }

    /// The parts of a `txn`. A read of `nil` has no value where that says nothing.
    fn parts(&self, list: &Value) -> Option<Vec<Part>> {
        let mut parts = Vec::new();
        for part in list.items()? {
            let [function, register, value] = part.items()? else {
                return None;
            };
            match function.as_name()? {
                "r" | "read" => {
                    if !value.is_nil() || self.nil_reads == NilReads::Nil {
                        parts.push(Part::Read(register.clone(), value.clone()));
                    }
                }
                "w" | "write" => parts.push(Part::Write(register.clone(), value.clone())),
                _ => return None,
            }
        }
        Some(parts)
    }

    /// Values by register, from a map, or from one value and the register of the operation's key.
    fn entries(op: ObjectOp<'_>, value: &Value) -> Option<Vec<(Value, Value)>> {
        match value {
            _ if !op.key().is_nil() => Some(vec![(op.key().clone(), value.clone())]),
            Value::Map(entries) => Some(entries.to_vec()),
            _ => None,
        }
    }
}

fn find<'r>(registers: &'r [(Value, Value)], register: &Value) -> Option<&'r Value> {
    let at = registers.binary_search_by(|(name, _)| name.cmp(register));
    at.ok().map(|at| &registers[at].1)
}

/// The registers of two lists of parts, and which of them are written.
fn shape(parts: &Value) -> Option<Vec<(bool, &Value)>> {
    let parts = parts.items()?.iter();
    parts
        .map(|part| match part.items()? {
            [function, register, _] => {
                Some((matches!(function.as_name()?, "w" | "write"), register))
            }
            _ => None,
        })
        .collect()
}

impl Model for MultiRegister {
    type Op = Transaction;
    type State = Written;

    fn initial(&self) -> Written {
        Written(Box::default())
    }

    fn step(&self, state: &Written, transaction: &Transaction) -> Option<Written> {
        let mut now: std::borrow::Cow<'_, [(Value, Value)]> = (&*state.0).into();
        for part in &transaction.0 {
            match part {
                Part::Read(register, value) => {
                    let is = find(&now, register).unwrap_or_else(|| self.first(register));
                    if is != value {
                        return None;
                    }
                }
                Part::Write(register, value) => {
                    let at = now.binary_search_by(|(name, _)| name.cmp(register));
                    // What holds its first value is left out, so that equal states are equal.
                    match (at, value == self.first(register)) {
                        (Ok(at), true) => drop(now.to_mut().remove(at)),
                        (Ok(at), false) => now.to_mut()[at].1.clone_from(value),
                        (Err(_), true) => {}
                        (Err(at), false) => {
                            now.to_mut().insert(at, (register.clone(), value.clone()))
                        }
                    }
                }
            }
        }
        Some(Written(now.into()))
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<Transaction>, Undecodable> {
        let parts = match op.function() {
            "txn" => {
                let must = "a list of [:read register value] and [:write register value]";
                let asked = self.parts(op.argument());
                let asked = asked.ok_or_else(|| decode::bad_argument(op, must))?;
                if op.status() == Status::Ok {
                    if shape(op.result()) != shape(op.argument()) {
                        let must = "its argument with the values that were read";
                        return Err(decode::bad_result(op, must));
                    }
                    let answered = self.parts(op.result());
                    answered.ok_or_else(|| decode::bad_result(op, must))?
                } else {
                    let writes = asked.into_iter();
                    let is_write = |part: &Part| matches!(part, Part::Write(..));
                    writes.filter(is_write).collect()
                }
            }
            "read" => match decode::seen(op, self.nil_reads) {
                Some(value) => {
                    let entries = Self::entries(op, value);
                    let must = "a map of values by register";
                    let entries = entries.ok_or_else(|| decode::bad_result(op, must))?;
                    let says = |value: &Value| !value.is_nil() || self.nil_reads == NilReads::Nil;
                    let entries = entries.into_iter().filter(|(_, value)| says(value));
                    entries
                        .map(|(register, value)| Part::Read(register, value))
                        .collect()
                }
                None => Vec::new(),
            },
            "write" => {
                let entries = Self::entries(op, op.argument());
                let must = "a map of values by register";
                let entries = entries.ok_or_else(|| decode::bad_argument(op, must))?;
                entries
                    .into_iter()
                    .map(|(register, value)| Part::Write(register, value))
                    .collect()
            }
            _ => return Err(decode::unknown_function(op, "txn, read, write")),
        };
        if parts.is_empty() {
            return Ok(Decoded::Nothing);
        }
        Ok(decode::effect(op, Transaction(parts.into())))
    }

    fn observes(&self, transaction: &Transaction) -> bool {
        let mut parts = transaction.0.iter();
        parts.all(|part| matches!(part, Part::Read(..)))
    }

    fn show(&self, state: &Written) -> String {
        let mut all = match &self.initial {
            Initial::Each(first) => first.to_vec(),
            Initial::All(_) => Vec::new(),
        };
        all.extend_from_slice(&state.0);
        let shown = Value::map(all).to_string();
        match &self.initial {
            Initial::All(value) => format!("{shown}, others {value}"),
            Initial::Each(_) => shown,
        }
    }
}
