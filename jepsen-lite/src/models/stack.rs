//! Last in, first out.

use super::Settings;
use super::container::{Container, Discipline, Role};
use super::decode;
use super::interned::{self, Chain, Chains, Interned};
use crate::history::Status;
use crate::object::{ObjectOp, Value, ValueId};
use crate::search::{Decoded, Foresight, Model, Timed, Undecodable};

/// A stack: `push` (or `add`) of a value, `pop` (or `remove`), which returns the youngest, or `nil` or `empty`
/// when there is none. A `pop` of unknown outcome may have taken the youngest, whatever it was.
#[derive(Debug)]
pub struct Stack {
    values: Interned,
    chains: Chains,
    initial: Chain,
}

/// What is done to a stack.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum StackOp {
    /// Now this is the youngest.
    Push(ValueId),
    /// This was the youngest, and is gone.
    Pop(ValueId),
    /// Something was the youngest, and is gone.
    PopAny,
    /// One of these, which rise, was the youngest, and is gone.
    PopOf(Box<[ValueId]>),
    /// There is nothing in it.
    Empty,
}

impl Stack {
    /// A stack as the settings say: a list of what is in it at first, the oldest first.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let (values, chains) = (Interned::default(), Chains::default());
        let initial = settings.initial.as_ref().and_then(Value::items);
        let initial = initial.unwrap_or(&[]).iter();
        let initial = initial.fold(Chains::EMPTY, |stack, value| {
            chains.push(stack, values.id(value))
        });
        Self {
            values,
            chains,
            initial,
        }
    }
}

impl Model for Stack {
    type Op = StackOp;
    type State = Chain;

    fn initial(&self) -> Chain {
        self.initial
    }

    fn step(&self, stack: &Chain, op: &StackOp) -> Option<Chain> {
        match op {
            StackOp::Push(value) => Some(self.chains.push(*stack, *value)),
            StackOp::Pop(value) => {
                let (rest, youngest) = self.chains.pop(*stack)?;
                (youngest == *value).then_some(rest)
            }
            StackOp::PopOf(values) => {
                let (rest, youngest) = self.chains.pop(*stack)?;
                values.binary_search(&youngest).is_ok().then_some(rest)
            }
            StackOp::PopAny => self.chains.pop(*stack).map(|(rest, _)| rest),
            StackOp::Empty => (*stack == Chains::EMPTY).then_some(*stack),
        }
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<StackOp>, Undecodable> {
        Ok(match op.function() {
            "push" | "add" | "enqueue" => {
                decode::effect(op, StackOp::Push(self.values.id(op.argument())))
            }
            "pop" | "remove" | "dequeue" => decode::effect(
                op,
                if op.status() != Status::Ok {
                    StackOp::PopAny
                } else if decode::is_empty_answer(op.result()) {
                    StackOp::Empty
                } else {
                    StackOp::Pop(self.values.id(op.result()))
                },
            ),
            _ => {
                return Err(decode::unknown_function(
                    op,
                    "push, pop; or add, remove; or enqueue, dequeue",
                ));
            }
        })
    }

    fn observes(&self, op: &StackOp) -> bool {
        *op == StackOp::Empty
    }

    fn foresee(&self, ops: &[Timed<StackOp>]) -> Foresight<StackOp> {
        let role = |op: &StackOp| match op {
            StackOp::Push(value) => Role::Put(*value),
            StackOp::Pop(value) => Role::Take(*value),
            StackOp::PopAny | StackOp::PopOf(_) => Role::TakeAny,
            StackOp::Empty => Role::Empty,
        };
        let initial: Vec<ValueId> = self.chains.backwards(self.initial).collect();
        let container = Container {
            discipline: Discipline::Stack,
            role: &role,
            put: &StackOp::Push,
            take_of: &StackOp::PopOf,
            initial: &initial,
            // Whoever takes this says that there was nothing.
            nobody: self.values.id(&Value::Nil),
        };
        container.foresee(ops)
    }

    fn show(&self, stack: &Chain) -> String {
        let mut values: Vec<ValueId> = self.chains.backwards(*stack).collect();
        values.reverse();
        interned::show(values.into_iter().map(|value| self.values.get(value)))
    }
}
