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

use super::engine::{Blame, Budget, Timed, is_illegal};
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

/// Of more operations than these that stay required, only the last ones to return are relaxed one by one:
/// each search costs as much as there are operations before them.
const RELAXED_MAX: usize = 64;

/// Of more operations than these no effect is relaxed before those that return last: what may or may not
/// have happened makes a search hard.
const ALL_RELAXED_MAX: usize = 2_000;

/// Shrinks an illegal history to a part that proves it illegal. Observers are left out and effects relaxed, in
/// halves, quarters and so on to single operations, as long as the rest stays illegal.
///
/// `blame` is what the search of `ops` said. `budget` is for each of the searches; all of them together take
/// four times its steps at most, where each operation of a part counts as a step, too.
pub fn shrink<M: Model>(
    model: &M,
    ops: &[Timed<M::Op>],
    blame: &Blame<M::State>,
    budget: Budget,
) -> Core {
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
    let mut shrinking = Shrinking {
        model,
        ops,
        part,
        budget,
        steps_left: budget.steps.saturating_mul(4),
        is_minimal: true,
    };
    // Observers that return early first: they are the last to be needed, and cost nothing when left out.
    let is_observer = |index: usize| model.observes(&ops[index].op);
    shrinking.order(|index| (!is_observer(index), ops[index].deadline));
    let observers = shrinking.part.required.iter();
    let observers = observers.filter(|&&index| is_observer(index)).count();
    let blamed = usize::from(observers > 0 && model.observes(&blamed_op(ops, blame).op));
    shrinking.relax_in(0..observers - blamed);
    shrinking.order(|index| (false, ops[index].deadline));
    let first = match shrinking.part.required.len() {
        few if few <= ALL_RELAXED_MAX => 0,
        many => many - RELAXED_MAX,
    };
    shrinking.relax_in(first..shrinking.part.required.len());
    shrinking.is_minimal &= first == 0;
    shrinking.core()
}

fn blamed_op<'o, O, S>(ops: &'o [Timed<O>], blame: &Blame<S>) -> &'o Timed<O> {
    let mut ops = ops.iter();
    ops.find(|op| op.id == blame.op)
        .expect("the blamed operation is one of them")
}

struct Shrinking<'a, M: Model> {
    model: &'a M,
    ops: &'a [Timed<M::Op>],
    /// Illegal all the time.
    part: Part,
    budget: Budget,
    steps_left: u64,
    is_minimal: bool,
}

impl<M: Model> Shrinking<'_, M> {
    /// Puts the required operations in order.
    fn order<K: Ord>(&mut self, key: impl Fn(usize) -> K) {
        self.part.required.sort_by_key(|&index| key(index));
    }

    /// Relaxes what can be relaxed of a range of the required operations: of many, first the first ones,
    /// from which the contradiction is furthest.
    fn relax_in(&mut self, range: std::ops::Range<usize>) {
        let mut end = range.end;
        let mut chunk = range.len();
        while chunk > 0 {
            let mut index = range.start;
            while index < end {
                let next = (index + chunk).min(end);
                match self.relax(index..next) {
                    Some(true) => end -= next - index,
                    Some(false) => index = next,
                    None => {
                        self.is_minimal &= chunk > 1;
                        index = next;
                    }
                }
            }
            // Relaxing one more can only make more orders legal, so one pass over single ones is enough.
            chunk = if chunk == 1 { 0 } else { chunk.div_ceil(2) };
        }
    }

    /// Relaxes a range of the required operations, if the rest is illegal then. `None` if that takes too many
    /// steps to know.
    fn relax(&mut self, range: std::ops::Range<usize>) -> Option<bool> {
        let smaller = self.part.without(range, self.model, self.ops);
        let size = (smaller.required.len() + smaller.optional.len()) as u64;
        self.steps_left = self.steps_left.saturating_sub(size);
        let budget = Budget {
            steps: self.budget.steps.min(self.steps_left),
            ..self.budget
        };
        if budget.steps == 0 {
            return None;
        }
        let (is_illegal, steps) = is_illegal(self.model, &smaller.ops(self.ops), budget);
        self.steps_left = self.steps_left.saturating_sub(steps);
        if is_illegal == Some(true) {
            self.part = smaller;
        }
        is_illegal
    }

    fn core(self) -> Core {
        let ids = |indexes: &[usize]| {
            let mut ids: Vec<OpId> = indexes.iter().map(|&index| self.ops[index].id).collect();
            ids.sort_unstable();
            ids
        };
        Core {
            required: ids(&self.part.required),
            optional: ids(&self.part.optional),
            is_minimal: self.is_minimal,
        }
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
