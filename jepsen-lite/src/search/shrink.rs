//! Finds a small part of an illegal history that proves the whole of it illegal.
//!
//! Leaving out operations is not enough of a proof in itself: without a write, a read of what it wrote is
//! illegal in any history. So an operation is only ever *relaxed*, such that every order that is
//! legal for the whole is, but for what it leaves out, legal for the part:
//!
//! - an operation that [observes](Model::observes) is left out: it changes nothing for others;
//! - any other one becomes optional: it may take effect in its interval, or never. Orders in which it does
//!   remain, so nothing is proved by its absence;
//! - what was invoked after all required ones had returned is left out: it comes after them in any order,
//!   and a beginning of a legal order is legal.
//!
//! So if no order is legal for the part, none is for the whole. What is still required at the end
//! is the [core](Core::required) of the contradiction; each of its operations is needed for it.

use super::engine::{Blame, Budget, Searched, Timed, search, unwatched};
use super::model::Model;
use crate::history::OpId;

/// A part of an illegal history that is illegal itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Core {
    /// The operations that cannot all have happened as they were recorded.
    pub required: Vec<OpId>,
    /// Others that may each have taken effect in their intervals or not, which does not help.
    pub optional: Vec<OpId>,
    /// Whether every single operation of [`required`](Self::required) is known to be needed for the
    /// contradiction. If not, the budget ran out before.
    pub is_minimal: bool,
}

impl Core {
    /// The part as operations to search.
    #[must_use]
    pub fn ops<O: Clone>(&self, all: &[Timed<O>]) -> Vec<Timed<O>> {
        let is_in = |ids: &[OpId], op: &Timed<O>| ids.binary_search(&op.id).is_ok();
        let mut part: Vec<Timed<O>> = Vec::new();
        for op in all {
            if is_in(&self.required, op) {
                part.push(op.clone());
            } else if is_in(&self.optional, op) {
                part.push(Timed {
                    optional: true,
                    ..op.clone()
                });
            }
        }
        part
    }
}

/// Shrinks an illegal history to a part that proves it illegal: relaxes halves, quarters and so on to single
/// operations, as long as the rest stays illegal.
///
/// `blame` is what the search of `ops` said. `budget` is for each of the searches, of which there are some
/// for each operation that stays; all of them together take four times its steps at most.
pub fn shrink<M: Model>(
    model: &M,
    ops: &[Timed<M::Op>],
    blame: &Blame<M::State>,
    budget: Budget,
) -> Core {
    let mut steps_left = budget.steps.saturating_mul(4);
    let end = ops
        .iter()
        .find(|op| op.id == blame.op)
        .expect("the blamed operation is one of them")
        .deadline;
    // The operations that return up to the blamed one are enough, with what may help them.
    let mut part = Part {
        required: Vec::new(),
        optional: Vec::new(),
    };
    for (index, op) in ops.iter().enumerate() {
        if !op.optional && op.deadline <= end {
            part.required.push(index);
        } else if !model.observes(&op.op) {
            part.optional.push(index);
        }
    }
    part.cut(ops);
    let mut is_minimal = true;
    let mut chunk = part.required.len().div_ceil(2);
    while chunk > 0 {
        let mut index = 0;
        while index < part.required.len() {
            let end = (index + chunk).min(part.required.len());
            let smaller = part.without(index..end, model, ops);
            let budget = Budget {
                steps: budget.steps.min(steps_left),
                ..budget
            };
            match search(model, &smaller.ops(ops), budget, &unwatched) {
                Searched::Illegal(blame) => {
                    steps_left -= blame.steps;
                    part = smaller;
                }
                Searched::Linearizable { steps, .. } => {
                    steps_left -= steps;
                    index = end;
                }
                Searched::OutOfBudget { steps } | Searched::Interrupted { steps } => {
                    steps_left -= steps;
                    is_minimal &= chunk > 1;
                    index = end;
                }
            }
        }
        // Relaxing one more can only make more orders legal, so one pass over single ones is enough.
        chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
    }
    let ids = |indexes: &[usize]| {
        let mut ids: Vec<OpId> = indexes.iter().map(|&index| ops[index].id).collect();
        ids.sort_unstable();
        ids
    };
    Core {
        required: ids(&part.required),
        optional: ids(&part.optional),
        is_minimal,
    }
}

/// A relaxed history, by the indexes of its operations.
#[derive(Clone)]
struct Part {
    required: Vec<usize>,
    optional: Vec<usize>,
}

impl Part {
    fn without<M: Model>(
        &self,
        range: std::ops::Range<usize>,
        model: &M,
        ops: &[Timed<M::Op>],
    ) -> Self {
        let mut smaller = self.clone();
        let relaxed = smaller.required.drain(range);
        let effects = relaxed.filter(|&index| !model.observes(&ops[index].op));
        smaller.optional.extend(effects);
        smaller.cut(ops);
        smaller
    }

    /// Leaves out what comes after all required ones.
    fn cut<O>(&mut self, ops: &[Timed<O>]) {
        let ends = self.required.iter().map(|&index| ops[index].deadline);
        let end = ends.max().unwrap_or(0);
        self.optional.retain(|&index| ops[index].invoked < end);
    }

    fn ops<O: Clone>(&self, ops: &[Timed<O>]) -> Vec<Timed<O>> {
        let required = self.required.iter().map(|&index| ops[index].clone());
        let optional = self.optional.iter().map(|&index| Timed {
            optional: true,
            ..ops[index].clone()
        });
        required.chain(optional).collect()
    }
}
