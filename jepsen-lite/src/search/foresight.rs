//! What can be told of a history before it is searched.
//!
//! A search that only looks back learns late that it went wrong: it may put elements in a queue in any of
//! a million orders before the first of them comes out. A model that knows the object tells
//! [beforehand](super::Model::foresee) what holds in every legal order, and the search keeps to that.
//!
//! Nothing of it can be wrong and go unnoticed in one direction only: what the search finds is replayed with
//! the operations as they were. That nothing is lost, the model must see to.

use std::borrow::Cow;

use super::engine::Timed;
use super::model::Model;
use super::timeline::OpIndex;

/// What holds in every legal order of a history. Operations are given by their indexes in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foresight<O> {
    /// What may be done in the place of operations: an order of all is legal with these iff it is legal with
    /// what they stand for. They make different operations equal, of which the search then tries one.
    pub stand_ins: Vec<(usize, O)>,
    /// Operations that no legal order has; or, of optional ones, none that cannot do without all of them.
    pub never: Vec<usize>,
    /// An operation, and a later one: where the later one is in a legal order, the other one comes before it.
    pub precedences: Vec<(usize, usize)>,
}

impl<O> Default for Foresight<O> {
    fn default() -> Self {
        Self {
            stand_ins: Vec::new(),
            never: Vec::new(),
            precedences: Vec::new(),
        }
    }
}

/// A history, and what is known of its orders.
pub(super) struct Foreseen<'o, O: Clone> {
    /// The operations, or what stands for them.
    pub(super) ops: Cow<'o, [Timed<O>]>,
    /// The operation whose answer is not taken for granted.
    pub(super) exempt: Option<OpIndex>,
    /// Whether something that must take effect never can.
    pub(super) is_illegal: bool,
    /// By operation, whether it is left out; empty if none is.
    left_out: Vec<bool>,
    /// By the later operation, and the earlier ones by number of the later one.
    precedences: Vec<(u32, u32)>,
    first_precedence: Vec<u32>,
}

impl<'o, O: Clone> Foreseen<'o, O> {
    /// What is known of `ops`. Of the answer to `exempt` nothing is concluded: orders that get as far as its
    /// return are wanted.
    pub(super) fn new<M: Model<Op = O>>(
        model: &M,
        ops: &'o [Timed<O>],
        exempt: Option<OpIndex>,
    ) -> Self {
        let foresight = match exempt {
            None => model.foresee(ops),
            Some(exempt) => {
                let mut without = ops.to_vec();
                without[exempt].optional = true;
                without[exempt].deadline = u64::MAX;
                model.foresee(&without)
            }
        };
        let mut foreseen = Self {
            ops: Cow::Borrowed(ops),
            exempt,
            is_illegal: false,
            left_out: Vec::new(),
            precedences: Vec::new(),
            first_precedence: Vec::new(),
        };
        for op in foresight.never {
            if exempt == Some(op) {
                continue;
            }
            if ops[op].optional {
                foreseen.left_out.resize(ops.len(), false);
                foreseen.left_out[op] = true;
            } else {
                foreseen.is_illegal = true;
            }
        }
        if !foresight.stand_ins.is_empty() {
            let stand_ins = foreseen.ops.to_mut();
            for (op, what) in foresight.stand_ins {
                stand_ins[op].op = what;
            }
        }
        foreseen.keep_precedences(foresight.precedences);
        foreseen
    }

    fn keep_precedences(&mut self, precedences: Vec<(usize, usize)>) {
        if precedences.is_empty() {
            return;
        }
        let number = |op| u32::try_from(op).expect("operations are numbered by u32");
        let turned = precedences.into_iter();
        self.precedences = turned
            .map(|(earlier, later)| (number(later), number(earlier)))
            .collect();
        self.precedences.sort_unstable();
        self.precedences.dedup();
        let mut first = vec![0; self.ops.len() + 1];
        for &(later, _) in &self.precedences {
            first[later as usize + 1] += 1;
        }
        for op in 1..first.len() {
            first[op] += first[op - 1];
        }
        self.first_precedence = first;
    }

    /// Whether some orders are not tried that are legal up to some event, since none that goes on from there is.
    pub(super) fn concludes(&self) -> bool {
        self.is_illegal || self.has_stand_ins() || !self.left_out.is_empty()
    }

    /// Whether other operations stand for some.
    pub(super) fn has_stand_ins(&self) -> bool {
        matches!(self.ops, Cow::Owned(_))
    }

    /// Whether an operation has no part in any order that is looked for.
    pub(super) fn is_left_out(&self, op: OpIndex) -> bool {
        self.left_out.get(op) == Some(&true)
    }

    /// What comes before an operation in every legal order.
    pub(super) fn before(&self, op: OpIndex) -> impl Iterator<Item = OpIndex> + '_ {
        let range = match self.first_precedence.get(op..op + 2) {
            Some(ends) => ends[0] as usize..ends[1] as usize,
            None => 0..0,
        };
        let precedences = self.precedences[range].iter();
        precedences.map(|&(_, earlier)| earlier as usize)
    }
}
