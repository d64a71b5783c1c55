//! First in, first out.

use super::Settings;
use super::container::{Container, Discipline, Role};
use super::decode;
use super::interned::{self, Interned};
use crate::history::Status;
use crate::object::{ObjectOp, Value, ValueId};
use crate::search::{Decoded, Foresight, Model, Timed, Undecodable};

/// A queue: `enqueue` (or `add`, or `push`) of a value, `dequeue` (or `remove`, or `pop`), which returns the oldest, or `nil` or
/// `empty` when there is none. A `dequeue` of unknown outcome may have taken the oldest, whatever it was.
#[derive(Debug)]
pub struct Queue {
    values: Interned,
    initial: Line,
}

/// What is in a queue, the oldest first.
pub type Line = Box<[ValueId]>;

/// What is done to a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum QueueOp {
    /// Now this is the youngest.
    Enqueue(ValueId),
    /// This was the oldest, and is gone.
    Dequeue(ValueId),
    /// Something was the oldest, and is gone.
    DequeueAny,
    /// One of these, which rise, was the oldest, and is gone.
    DequeueOf(Box<[ValueId]>),
    /// There is nothing in it.
    Empty,
}

impl Queue {
    /// A queue as the settings say: a list of what is in it at first.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let values = Interned::default();
        let initial = settings.initial.as_ref().and_then(Value::items);
        let initial = initial.unwrap_or(&[]).iter().map(|value| values.id(value));
        let initial = initial.collect();
        Self { values, initial }
    }
}

impl Model for Queue {
    type Op = QueueOp;
    type State = Line;

    fn initial(&self) -> Line {
        self.initial.clone()
    }

    fn step(&self, line: &Line, op: &QueueOp) -> Option<Line> {
        match op {
            QueueOp::Enqueue(value) => {
                let mut longer = Vec::with_capacity(line.len() + 1);
                longer.extend_from_slice(line);
                longer.push(*value);
                Some(longer.into())
            }
            QueueOp::Dequeue(value) => (line.first() == Some(value)).then(|| line[1..].into()),
            QueueOp::DequeueOf(values) => {
                let is_one = values.binary_search(line.first()?).is_ok();
                is_one.then(|| line[1..].into())
            }
            QueueOp::DequeueAny => (!line.is_empty()).then(|| line[1..].into()),
            QueueOp::Empty => line.is_empty().then(|| line.clone()),
        }
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<QueueOp>, Undecodable> {
        Ok(match op.function() {
            "enqueue" | "add" | "push" => {
                decode::effect(op, QueueOp::Enqueue(self.values.id(op.argument())))
            }
            "dequeue" | "remove" | "pop" => decode::effect(
                op,
                if op.status() != Status::Ok {
                    QueueOp::DequeueAny
                } else if decode::is_empty_answer(op.result()) {
                    QueueOp::Empty
                } else {
                    QueueOp::Dequeue(self.values.id(op.result()))
                },
            ),
            _ => {
                return Err(decode::unknown_function(
                    op,
                    "enqueue, dequeue; or add, remove; or push, pop",
                ));
            }
        })
    }

    fn observes(&self, op: &QueueOp) -> bool {
        *op == QueueOp::Empty
    }

    fn foresee(&self, ops: &[Timed<QueueOp>]) -> Foresight<QueueOp> {
        let role = |op: &QueueOp| match op {
            QueueOp::Enqueue(value) => Role::Put(*value),
            QueueOp::Dequeue(value) => Role::Take(*value),
            QueueOp::DequeueAny | QueueOp::DequeueOf(_) => Role::TakeAny,
            QueueOp::Empty => Role::Empty,
        };
        let container = Container {
            discipline: Discipline::Queue,
            role: &role,
            put: &QueueOp::Enqueue,
            take_of: &QueueOp::DequeueOf,
            initial: &self.initial,
            // Whoever takes this says that there was nothing.
            nobody: self.values.id(&Value::Nil),
        };
        container.foresee(ops)
    }

    fn show(&self, line: &Line) -> String {
        interned::show(line.iter().map(|&value| self.values.get(value)))
    }
}
