//! Checks a history of an object against a model, part by part.
//!
//! Parts that have nothing to do with each other are linearizable together iff each is alone (Herlihy and Wing's
//! locality), and much faster to search so.

use std::collections::BTreeMap;

use super::{
    CasRegister, Kv, Log, ModelKind, MultiRegister, Mutex, Queue, Register, S2, S2Op, Set,
    Settings, Stack,
};
use crate::history::{OpId, Status};
use crate::object::{ObjectHistory, ObjectOp, Value};
use crate::search::{
    Blame, Budget, Core, Decoded, Model, Possible, Progress, Searched, Timed, Undecodable, search,
    shrink,
};
use crate::stream_check::{self, StreamFault, StreamVerdict};

/// How to check a history of an object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectOptions {
    /// What it is divided into.
    pub parts: Parts,
    /// How much work the search of each part may be.
    pub budget: Budget,
    /// How many steps each of the searches by which a fault is [shrunk](shrink) may take; 0 to leave it
    /// as it is. Some ten thousand suffice for most histories.
    pub shrink_steps: u64,
}

/// What a history is divided into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Parts {
    /// One part for each key.
    #[default]
    ByKey,
    /// One, where the model knows keys (`kv` and `multi-register`).
    Whole,
}

/// The verdict on a history of an object.
#[derive(Clone, Debug)]
pub struct ObjectVerdict {
    /// Its parts, in the order of their first operations; parts about which nothing is said are not here.
    pub parts: Vec<CheckedPart>,
}

/// A part of the history.
#[derive(Clone, Debug)]
pub struct CheckedPart {
    /// Its key; `nil` if there is none.
    pub key: Value,
    /// The operations in it, in the order of their invocation.
    pub ops: Vec<OpId>,
    /// The verdict on it.
    pub verdict: PartVerdict,
}

/// The verdict on a part.
#[derive(Clone, Debug)]
pub enum PartVerdict {
    /// It is linearizable.
    Valid {
        /// The operations, each when it takes effect; those of unknown outcome that are not in it never do.
        /// Reads that say nothing are not in it either.
        order: Vec<OpId>,
        /// The steps of the search.
        steps: u64,
    },
    /// It is not.
    Invalid(Box<ObjectFault>),
    /// The budget did not suffice.
    OutOfBudget {
        /// The steps that were made.
        steps: u64,
    },
    /// The watcher ended the search.
    Interrupted {
        /// The steps that were made.
        steps: u64,
    },
}

/// Why a part is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectFault {
    /// The general search found no order.
    Search {
        /// What stops every order, and what was possible before. Its `previous_ok` is the last operation of
        /// the part that ended `Ok` before, also if it says nothing.
        blame: Blame<String>,
        /// A small part that proves it, if that was asked for.
        core: Option<Core>,
    },
    /// What the checker of streams found.
    Stream(StreamFault),
}

impl ObjectFault {
    /// The operation that is to blame: of the general search, the one whose return ends the shortest illegal
    /// beginning.
    #[must_use]
    pub fn blamed(&self) -> OpId {
        match self {
            Self::Search { blame, .. } => blame.op,
            Self::Stream(fault) => fault.cause.blamed(),
        }
    }

    /// The operations that cannot all have happened as they were recorded, whether or not others took
    /// effect; `None` if the fault was not shrunk.
    #[must_use]
    pub fn required(&self) -> Option<&[OpId]> {
        match self {
            Self::Search { core, .. } => core.as_ref().map(|core| core.required.as_slice()),
            Self::Stream(fault) => Some(&fault.required),
        }
    }
}

/// An operation that the model does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}. Is `{model}` the right model?")]
pub struct CannotDecode {
    /// The operation.
    pub op: OpId,
    /// What is wrong with it.
    pub reason: Undecodable,
    /// The model.
    pub model: ModelKind,
}

/// Checks a history; `watch` is asked now and then whether to go on.
///
/// # Errors
///
/// If the model does not know an operation.
pub fn check_object(
    history: &ObjectHistory,
    kind: ModelKind,
    settings: &Settings,
    options: &ObjectOptions,
    watch: &dyn Fn(Progress) -> bool,
) -> Result<ObjectVerdict, CannotDecode> {
    let check = Check {
        history,
        kind,
        options: *options,
        watch,
    };
    match kind {
        ModelKind::Register => check.run(|| Register::new(settings)),
        ModelKind::CasRegister => check.run(|| CasRegister::new(settings)),
        ModelKind::MultiRegister => check.run(|| MultiRegister::new(settings)),
        ModelKind::Mutex => check.run(|| Mutex),
        ModelKind::Kv => check.run(|| Kv::new(settings)),
        ModelKind::Set => check.run(|| Set::new(settings)),
        ModelKind::Queue => check.run(|| Queue::new(settings)),
        ModelKind::Stack => check.run(|| Stack::new(settings)),
        ModelKind::Log => check.run(Log::default),
        ModelKind::S2 => check.parts(&|| S2, |_, ids, ops| check.stream(ids, ops)),
    }
}

struct Check<'a> {
    history: &'a ObjectHistory,
    kind: ModelKind,
    options: ObjectOptions,
    watch: &'a dyn Fn(Progress) -> bool,
}

impl Check<'_> {
    fn run<M: Model>(&self, model: impl Fn() -> M) -> Result<ObjectVerdict, CannotDecode> {
        self.parts(&model, |model, ids, ops| self.search(model, ids, ops))
    }

    fn parts<M: Model>(
        &self,
        model: &impl Fn() -> M,
        judge: impl Fn(&M, &[OpId], &[Timed<M::Op>]) -> PartVerdict,
    ) -> Result<ObjectVerdict, CannotDecode> {
        let mut verdict = ObjectVerdict { parts: Vec::new() };
        for (key, ids) in self.divide() {
            let model = model();
            let mut ops = Vec::with_capacity(ids.len());
            for &id in &ids {
                ops.extend(self.decode(&model, self.history.op(id))?);
            }
            let judged = judge(&model, &ids, &ops);
            verdict.parts.push(CheckedPart {
                key,
                ops: ids,
                verdict: judged,
            });
        }
        Ok(verdict)
    }

    /// Judges a stream with the checker of its own, which hands over what it cannot decide.
    fn stream(&self, ids: &[OpId], ops: &[Timed<S2Op>]) -> PartVerdict {
        match stream_check::check(ops, self.options.budget.steps) {
            StreamVerdict::Valid { order, steps } => PartVerdict::Valid { order, steps },
            StreamVerdict::Invalid(fault) => {
                PartVerdict::Invalid(Box::new(ObjectFault::Stream(fault)))
            }
            StreamVerdict::OutOfBudget => self.search(&S2, ids, ops),
        }
    }

    fn divide(&self) -> Vec<(Value, Vec<OpId>)> {
        let is_whole = match self.kind {
            // A transaction can be about several registers.
            ModelKind::MultiRegister => true,
            ModelKind::Kv => self.options.parts == Parts::Whole,
            _ => false,
        };
        let mut numbers = BTreeMap::new();
        let mut parts: Vec<(Value, Vec<OpId>)> = Vec::new();
        for op in self.history.ops() {
            let key = (!is_whole).then(|| op.key_id());
            let part = *numbers.entry(key).or_insert_with(|| {
                let key = if is_whole { &Value::Nil } else { op.key() };
                parts.push((key.clone(), Vec::new()));
                parts.len() - 1
            });
            parts[part].1.push(op.id());
        }
        parts
    }

    fn decode<M: Model>(
        &self,
        model: &M,
        op: ObjectOp<'_>,
    ) -> Result<Option<Timed<M::Op>>, CannotDecode> {
        let decoded = model.decode(op).map_err(|reason| CannotDecode {
            op: op.id(),
            reason,
            model: self.kind,
        })?;
        let (what, optional) = match decoded {
            Decoded::Effect(what) => (what, false),
            Decoded::Optional(what) => (what, true),
            Decoded::Nothing => return Ok(None),
        };
        Ok(Some(Timed {
            id: op.id(),
            op: what,
            optional,
            invoked: op.invocation_edge(),
            deadline: op.deadline(),
        }))
    }

    fn search<M: Model>(&self, model: &M, ids: &[OpId], ops: &[Timed<M::Op>]) -> PartVerdict {
        match search(model, ops, self.options.budget, self.watch) {
            Searched::Linearizable { order, steps } => PartVerdict::Valid { order, steps },
            Searched::OutOfBudget { steps } => PartVerdict::OutOfBudget { steps },
            Searched::Interrupted { steps } => PartVerdict::Interrupted { steps },
            Searched::Illegal(blame) => {
                let shrinking = Budget {
                    steps: self.options.shrink_steps,
                    ..self.options.budget
                };
                let core = (shrinking.steps > 0).then(|| shrink(model, ops, &blame, shrinking));
                let previous_ok = self.previous_ok(ids, blame.op);
                let possible = blame.possible.into_iter().map(|possible| Possible {
                    state: model.show(&possible.state),
                    ahead: possible.ahead,
                });
                let blame = Blame {
                    op: blame.op,
                    previous_ok,
                    possible: possible.collect(),
                    order: blame.order,
                    is_exact: blame.is_exact,
                    steps: blame.steps,
                };
                PartVerdict::Invalid(Box::new(ObjectFault::Search { blame, core }))
            }
        }
    }

    /// The last operation of a part that ended `Ok` before `blamed` did.
    fn previous_ok(&self, ids: &[OpId], blamed: OpId) -> Option<OpId> {
        let end = self.history.op(blamed).deadline();
        let ops = ids.iter().map(|&id| self.history.op(id));
        let before = ops.filter(|op| op.status() == Status::Ok && op.deadline() < end);
        before.max_by_key(|op| op.deadline()).map(ObjectOp::id)
    }
}
