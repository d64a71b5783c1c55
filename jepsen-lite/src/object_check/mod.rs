//! Checks of objects that need no search, under the names and with the meaning that they have in Jepsen.
//!
//! | check | functions | asks |
//! |---|---|---|
//! | [`set`](set_check) | `add`, `read` | what was added is in the last read, and nothing else |
//! | [`set-full`](set_full) | `add`, `read` | what is known to be in the set stays in it, read by read |
//! | [`total-queue`](total_queue) | `enqueue`, `dequeue`, `drain` | what goes in comes out |
//! | [`unique-ids`](unique_ids) | `generate` | no result comes twice |
//! | [`counter`] | `add`, `read` | each read is between two sums |
//!
//! They assume less than the models of the same objects, and find less: `set` is a check of a *model*'s
//! histories too, where [`ModelKind::Set`](crate::models::ModelKind) asks for linearizability.
//!
//! Parts of an object that have keys are judged each alone.

pub mod counter;
pub mod set_check;
pub mod set_full;
pub mod total_queue;
pub mod unique_ids;

use std::collections::BTreeMap;
use std::fmt;

use crate::anomaly::{
    Anomaly, AnomalyKind, Asked, CertificateOp, Fact, Link, Reason, Subject, Words,
};
use crate::check::Check;
use crate::history::{EventIndex, OpId, Status};
use crate::object::{ObjectHistory, ObjectOp, TextPlace, Value, ValueId};
use crate::search::Undecodable;
use crate::verdict::Verdict;

/// What can be set about the checks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// `set-full`: an element that is known to be in the set must be seen at once, not only in the end.
    pub linearizable: bool,
    /// `total-queue`: what comes out more often than it was put in is an anomaly, and not only counted.
    pub exactly_once: bool,
    /// `counter`: the value before anything was added.
    pub initial: i64,
}

/// How many there are of what a check tells apart, by the name of it.
pub type Tally = BTreeMap<&'static str, u64>;

/// What a check says of one part of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Whether it is as it must be.
    pub verdict: Verdict,
    /// What it counted.
    pub tally: Tally,
}

/// What is judged alone: all operations of one key, or all of an object without keys.
#[derive(Clone, Debug)]
pub struct Part<'h> {
    history: &'h ObjectHistory,
    subject: Subject,
    ops: Vec<OpId>,
}

impl<'h> Part<'h> {
    /// The parts of a history, in the order in which its keys first come.
    #[must_use]
    pub fn all(history: &'h ObjectHistory) -> Vec<Self> {
        let mut at: BTreeMap<ValueId, usize> = BTreeMap::new();
        let mut parts: Vec<Self> = Vec::new();
        for op in history.ops() {
            let at = *at.entry(op.key_id()).or_insert_with(|| {
                parts.push(Self {
                    history,
                    subject: match op.key() {
                        Value::Nil => Subject::Object,
                        key => Subject::Part(key.clone()),
                    },
                    ops: Vec::new(),
                });
                parts.len() - 1
            });
            parts[at].ops.push(op.id());
        }
        parts
    }

    /// What it is.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// Its operations, in the order of invocation.
    #[must_use]
    pub fn op_ids(&self) -> &[OpId] {
        &self.ops
    }

    fn ops(&self) -> impl Iterator<Item = ObjectOp<'h>> + '_ {
        self.ops.iter().map(|&id| self.history.op(id))
    }

    /// An anomaly, certified by `ops` (in any order, with repetitions). Of collections that they returned,
    /// only the elements in `about` are shown.
    fn anomaly(
        &self,
        kind: AnomalyKind,
        ops: &[OpId],
        about: &[&Value],
        chain: Vec<Link>,
        words: Words,
    ) -> Anomaly {
        let mut ops = ops.to_vec();
        ops.sort_unstable();
        ops.dedup();
        Anomaly {
            kind,
            subject: self.subject.clone(),
            expected: words.expected,
            seen: words.seen,
            positions: Vec::new(),
            certificate: ops
                .iter()
                .map(|&op| certificate_op(self.history.op(op), |op| fact(op, about)))
                .collect(),
            chain,
        }
    }

    /// `op` as a sentence can name it: `add(7) by p3`.
    fn name(&self, op: OpId) -> String {
        name(self.history.op(op))
    }

    /// The link that says that `from` had returned before `to` was invoked.
    fn real_time(&self, from: OpId, to: OpId) -> Link {
        real_time(self.history.op(from), self.history.op(to))
    }
}

/// An operation as a sentence can name it: `add(7) by p3`.
pub(crate) fn name(op: ObjectOp<'_>) -> String {
    format!("{} by {}", asked(op), op.process())
}

/// The link that says that `from` had returned before `to` was invoked.
pub(crate) fn real_time(from: ObjectOp<'_>, to: ObjectOp<'_>) -> Link {
    let returned = from.completed();
    let returned = returned.expect("an operation that returned has that event");
    Link {
        from: from.id(),
        to: to.id(),
        reason: Reason::RealTime {
            returned: returned.index,
            invoked: to.invoked().index,
        },
    }
}

fn asked(op: ObjectOp<'_>) -> Asked {
    Asked::Object {
        function: op.function().to_owned(),
        argument: op.argument().clone(),
    }
}

/// An operation for a certificate, with what `fact` makes of its answer.
pub(crate) fn certificate_op(
    op: ObjectOp<'_>,
    fact: impl FnOnce(ObjectOp<'_>) -> Fact,
) -> CertificateOp {
    CertificateOp {
        op: op.id(),
        process: op.process(),
        call: asked(op),
        status: op.status(),
        invoked: op.invoked(),
        completed: op.completed(),
        fact: (op.status() == Status::Ok).then(|| fact(op)),
    }
}

fn fact(op: ObjectOp<'_>, about: &[&Value]) -> Fact {
    match (op.function(), op.result().items()) {
        ("read" | "drain", Some(items)) => {
            let elements: Vec<Value> = items
                .iter()
                .filter(|item| about.contains(item))
                .cloned()
                .collect();
            Fact::Contained {
                left_out: items.len() - elements.len(),
                elements,
            }
        }
        ("add" | "enqueue", _) => Fact::Done,
        _ => Fact::Returned {
            value: op.result().clone(),
        },
    }
}

/// An operation that a check does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {cause}")]
pub struct Unfit {
    /// Which.
    pub op: OpId,
    /// Where it is.
    pub at: Whereabouts,
    /// What is wrong with it.
    pub cause: Undecodable,
}

/// Where an operation is that is not understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whereabouts {
    /// In a file.
    Text(TextPlace),
    /// Among events: it, and the one that invoked it.
    Event(OpId, EventIndex),
}

impl Whereabouts {
    /// Where `op` is at fault.
    pub(crate) fn new(op: ObjectOp<'_>, fault: &Undecodable) -> Self {
        match fault.place(op) {
            Some(place) => Self::Text(place),
            None => Self::Event(op.id(), op.invoked().index),
        }
    }
}

impl fmt::Display for Whereabouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(place) => place.fmt(f),
            Self::Event(op, event) => write!(f, "{event}: {op}"),
        }
    }
}

fn unfit(op: ObjectOp<'_>, cause: Undecodable) -> Unfit {
    Unfit {
        op: op.id(),
        at: Whereabouts::new(op, &cause),
        cause,
    }
}

fn unknown_function(op: ObjectOp<'_>, known: &'static str) -> Unfit {
    let function = op.function().to_owned();
    unfit(op, Undecodable::Function { function, known })
}

fn bad_argument(op: ObjectOp<'_>, must: &'static str) -> Unfit {
    unfit(
        op,
        Undecodable::Argument {
            function: op.function().to_owned(),
            argument: op.argument().clone(),
            must,
        },
    )
}

fn bad_result(op: ObjectOp<'_>, must: &'static str) -> Unfit {
    unfit(
        op,
        Undecodable::Result {
            function: op.function().to_owned(),
            result: op.result().clone(),
            must,
        },
    )
}

/// The elements that an answered operation returned; `None` if what it returned was not recorded.
fn elements_of(op: ObjectOp<'_>) -> Result<Option<&[Value]>, Unfit> {
    match op.result() {
        Value::Nil => Ok(None),
        result => match result.items() {
            Some(items) => Ok(Some(items)),
            None => Err(bad_result(op, "a list or a set of elements")),
        },
    }
}

/// Judges one part by a check of objects; `None` if `check` is one of logs.
///
/// # Errors
///
/// If the part has an operation that the check does not know, or one that carries what it cannot.
pub fn judge(
    part: &Part<'_>,
    check: Check,
    options: &ObjectOptions,
) -> Result<Option<Judged>, Unfit> {
    Ok(Some(match check {
        Check::Set => set_check::check(part)?,
        Check::SetFull => set_full::check(part, options.linearizable)?,
        Check::TotalQueue => total_queue::check(part, options.exactly_once)?,
        Check::UniqueIds => unique_ids::check(part)?,
        Check::Counter => counter::check(part, options.initial)?,
        _ => return Ok(None),
    }))
}
