//! One register, with or without compare-and-set.

use super::decode;
use super::{NilReads, Settings};
use crate::history::Status;
use crate::object::{ObjectOp, Value};
use crate::search::{Decoded, Model, Undecodable};

/// A register: `read`, `write`.
///
/// A `cas` is an error here: see [`CasRegister`].
#[derive(Clone, Debug)]
pub struct Register(CasRegister);

/// A register with `read`, `write` and `cas`.
///
/// The argument of `cas` is a list of two, what must be there and what shall. One that succeeded found the
/// first; one that ended `Ok` with `false` found something else, which it asserts. One that failed says nothing.
#[derive(Clone, Debug)]
pub struct CasRegister {
    initial: Value,
    nil_reads: NilReads,
}

/// What is done to a register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RegisterOp {
    /// It holds this.
    Read(Value),
    /// Now it holds this.
    Write(Value),
    /// It held the first, now it holds the second.
    Cas(Value, Value),
    /// It does not hold this.
    Differs(Value),
}

impl CasRegister {
    /// A register as the settings say.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self {
            initial: settings.initial.clone().unwrap_or(Value::Int(0)),
            nil_reads: settings.nil_reads,
        }
    }
}

impl Model for CasRegister {
    type Op = RegisterOp;
    type State = Value;

    fn initial(&self) -> Value {
        self.initial.clone()
    }

    fn step(&self, state: &Value, op: &RegisterOp) -> Option<Value> {
        match op {
            RegisterOp::Read(value) => (value == state).then(|| state.clone()),
            RegisterOp::Write(value) => Some(value.clone()),
            RegisterOp::Cas(from, to) => (from == state).then(|| to.clone()),
            RegisterOp::Differs(from) => (from != state).then(|| state.clone()),
        }
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<RegisterOp>, Undecodable> {
        Ok(match op.function() {
            "read" => match decode::seen(op, self.nil_reads) {
                Some(value) => Decoded::Effect(RegisterOp::Read(value.clone())),
                None => Decoded::Nothing,
            },
            "write" => decode::effect(op, RegisterOp::Write(op.argument().clone())),
            "cas" => {
                let Some([from, to]) = op.argument().items() else {
                    let must = "a list of two values, [from to]";
                    return Err(decode::bad_argument(op, must));
                };
                if op.status() == Status::Ok && *op.result() == Value::Bool(false) {
                    Decoded::Effect(RegisterOp::Differs(from.clone()))
                } else {
                    decode::effect(op, RegisterOp::Cas(from.clone(), to.clone()))
                }
            }
            _ => return Err(decode::unknown_function(op, "read, write, cas")),
        })
    }

    fn observes(&self, op: &RegisterOp) -> bool {
        matches!(op, RegisterOp::Read(_) | RegisterOp::Differs(_))
    }

    fn show(&self, state: &Value) -> String {
        state.to_string()
    }
}

impl Register {
    /// A register as the settings say.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        Self(CasRegister::new(settings))
    }
}

impl Model for Register {
    type Op = RegisterOp;
    type State = Value;

    fn initial(&self) -> Value {
        self.0.initial()
    }

    fn step(&self, state: &Value, op: &RegisterOp) -> Option<Value> {
        self.0.step(state, op)
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<RegisterOp>, Undecodable> {
        match op.function() {
            "read" | "write" => self.0.decode(op),
            _ => Err(decode::unknown_function(op, "read, write")),
        }
    }

    fn observes(&self, op: &RegisterOp) -> bool {
        self.0.observes(op)
    }

    fn show(&self, state: &Value) -> String {
        self.0.show(state)
    }
}
