//! Expressions over nodes: which sets of them are enough.
//!
//! An expression is monotone: more nodes never make it false. It is kept flat, operands before what
//! is made of them, so that neither evaluating it nor reading it from the wire recurses. Every
//! expression is false for the empty set and true for all its nodes: whoever makes one otherwise is
//! told.

use serde::{Deserialize, Serialize, Serializer};
use smallvec::SmallVec;

use super::replication::{Nodeset, Scope};
use crate::ids::NodeId;
use crate::node_set::NodeSet;

/// How many terms an expression has at most, each node of a `nodeset` among them.
pub const TERMS_MAX: usize = 1024;
/// How deep expressions nest at most.
pub const DEPTH_MAX: usize = 32;
/// How many terms it has at most once its grids and nodesets are spelled out.
const SPELLED_OUT_MAX: usize = 16 * TERMS_MAX;
/// The highest weight in `weighted`.
pub const WEIGHT_MAX: u32 = 1_000_000;

/// Up to so many pending operands no evaluation allocates.
const OPERANDS_INLINE: usize = 64;

/// An expression over nodes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "Vec<Step>")]
pub struct Expr {
    steps: Vec<Step>,
}

/// One step of an expression: it replaces the last operands by one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Step {
    /// No operand: a node.
    Node(NodeId),
    /// At least `needed` of the last `of` operands.
    Choose {
        /// From 1 to `of`.
        needed: u16,
        /// At least 1.
        of: u16,
    },
    /// As many operands as weights, with a total weight of at least `threshold`.
    Weighted {
        /// From 1 to [`WEIGHT_MAX`], in the order of the operands.
        weights: Vec<u32>,
        /// From 1 to the sum of the weights.
        threshold: u64,
    },
    /// `rows` times `columns` operands, row by row: all of one row and all of one column.
    Grid {
        /// At least 1.
        rows: u16,
        /// At least 1.
        columns: u16,
    },
    /// No operand: copies over failure domains.
    Nodeset(Box<Nodeset>),
}

/// Why something is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// Nothing to choose from.
    #[error("there is nothing to choose from: name at least one node")]
    NoOperands,
    /// The empty set would be enough.
    #[error("{needed} of {present} is always so: ask for at least 1")]
    Always {
        /// How much is asked for.
        needed: u64,
        /// How much there is.
        present: u64,
    },
    /// Not even all are enough.
    #[error("{needed} of {present} can never be: ask for at most {present}")]
    Never {
        /// How much is asked for.
        needed: u64,
        /// How much there is.
        present: u64,
    },
    /// A weight that is none.
    #[error("the weight {weight} is not from 1 to {WEIGHT_MAX}")]
    Weight {
        /// The weight.
        weight: u32,
    },
    /// A grid whose places are not its operands.
    #[error("a grid of {rows} x {columns} has {} places, not {operands}", u32::from(*.rows) * u32::from(*.columns))]
    Grid {
        /// Rows asked for.
        rows: u16,
        /// Columns asked for.
        columns: u16,
        /// Operands given.
        operands: usize,
    },
    /// A node whose number is too high.
    #[error(
        "{node} is too high a number: node numbers lie below {}",
        NodeSet::MAX_NODES
    )]
    NodeNumber {
        /// The node.
        node: NodeId,
    },
    /// Too large.
    #[error("the expression has more than {TERMS_MAX} terms: write it shorter")]
    TooLarge,
    /// Too deep.
    #[error("the expression nests deeper than {DEPTH_MAX}: write it flatter")]
    TooDeep,
    /// Steps that do not fit together; only damaged data has them.
    #[error("the steps of the expression do not fit together")]
    Damaged,
}

impl Expr {
    /// A node.
    ///
    /// # Errors
    /// If its number is too high.
    pub fn node(node: NodeId) -> Result<Self, ExprError> {
        Self::of(vec![Step::Node(node)])
    }

    /// At least `needed` of some expressions: 1 is "or", all is "and".
    ///
    /// # Errors
    /// If `needed` is not from 1 to their number, or the whole is too large or too deep.
    pub fn choose(needed: u64, operands: Vec<Self>) -> Result<Self, ExprError> {
        let of = operands.len();
        check_count(needed, of as u64)?;
        if of > TERMS_MAX {
            return Err(ExprError::TooLarge);
        }
        let (needed, of) = (needed as u16, of as u16);
        Self::combine(operands, Step::Choose { needed, of })
    }

    /// All of some expressions.
    ///
    /// # Errors
    /// As [`Expr::choose`].
    pub fn all(operands: Vec<Self>) -> Result<Self, ExprError> {
        Self::choose(operands.len() as u64, operands)
    }

    /// One of some expressions.
    ///
    /// # Errors
    /// As [`Expr::choose`].
    pub fn any(operands: Vec<Self>) -> Result<Self, ExprError> {
        Self::choose(1, operands)
    }

    /// More than half of some expressions.
    ///
    /// # Errors
    /// As [`Expr::choose`].
    pub fn majority(operands: Vec<Self>) -> Result<Self, ExprError> {
        Self::choose(operands.len() as u64 / 2 + 1, operands)
    }

    /// Expressions of a total weight of at least `threshold`.
    ///
    /// # Errors
    /// If a weight or the threshold is out of bounds, or the whole is too large or too deep.
    pub fn weighted(operands: Vec<(Self, u32)>, threshold: u64) -> Result<Self, ExprError> {
        let (operands, weights): (Vec<_>, Vec<_>) = operands.into_iter().unzip();
        Self::combine(operands, Step::Weighted { weights, threshold })
    }

    /// All of one row and all of one column of expressions in a grid, given row by row.
    ///
    /// # Errors
    /// If they do not fill the grid, or the whole is too large or too deep.
    pub fn grid(rows: u16, columns: u16, operands: Vec<Self>) -> Result<Self, ExprError> {
        if usize::from(rows) * usize::from(columns) != operands.len() {
            return Err(ExprError::Grid {
                rows,
                columns,
                operands: operands.len(),
            });
        }
        Self::combine(operands, Step::Grid { rows, columns })
    }

    /// Copies over failure domains.
    ///
    /// # Errors
    /// If the nodeset is too large.
    pub fn nodeset(nodeset: Nodeset) -> Result<Self, ExprError> {
        Self::of(vec![Step::Nodeset(Box::new(nodeset))])
    }

    fn combine(operands: Vec<Self>, step: Step) -> Result<Self, ExprError> {
        let mut steps: Vec<Step> = operands.into_iter().flat_map(|it| it.steps).collect();
        steps.push(step);
        Self::of(steps)
    }

    /// An expression of these steps, if they are one.
    fn of(steps: Vec<Step>) -> Result<Self, ExprError> {
        let mut terms = 0;
        // Depth and terms spelled out of each operand.
        let mut operands: Vec<(usize, usize)> = Vec::new();
        for step in &steps {
            terms += step.check()?;
            let first = operands.len().checked_sub(step.arity());
            let first = first.ok_or(ExprError::Damaged)?;
            let last = operands.drain(first..);
            let (depth, inner) =
                last.fold((0, 0), |(depth, inner), it| (depth.max(it.0), inner + it.1));
            let (depth, spelled_out) = (depth + 1, step.spelled_out(inner));
            if terms > TERMS_MAX || spelled_out > SPELLED_OUT_MAX {
                return Err(ExprError::TooLarge);
            }
            if depth > DEPTH_MAX {
                return Err(ExprError::TooDeep);
            }
            operands.push((depth, spelled_out));
        }
        if operands.len() != 1 {
            return Err(ExprError::Damaged);
        }
        Ok(Self { steps })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The nodeset that the expression is, if it is nothing else.
    #[must_use]
    pub fn as_nodeset(&self) -> Option<&Nodeset> {
        match self.steps.as_slice() {
            [Step::Nodeset(nodeset)] => Some(nodeset),
            _ => None,
        }
    }

    /// The nodes it names.
    #[must_use]
    pub fn nodes(&self) -> NodeSet {
        let nodes = self.steps.iter().map(Step::nodes);
        nodes.fold(NodeSet::EMPTY, NodeSet::union)
    }

    /// Whether the nodes of `set` are enough. Nodes it does not name count for nothing.
    #[must_use]
    pub fn is_satisfied(&self, set: NodeSet) -> bool {
        match self.as_nodeset() {
            Some(nodeset) => nodeset.is_satisfied(set),
            None => self.evaluate(set),
        }
    }

    fn evaluate(&self, set: NodeSet) -> bool {
        let mut operands: SmallVec<[bool; OPERANDS_INLINE]> = SmallVec::new();
        for step in &self.steps {
            let first = operands.len() - step.arity();
            let last = &operands[first..];
            let holds = match step {
                Step::Node(node) => set.contains(*node),
                Step::Choose { needed, .. } => {
                    last.iter().filter(|it| **it).count() >= usize::from(*needed)
                }
                Step::Weighted { weights, threshold } => {
                    let held = weights.iter().zip(last).filter(|(_, it)| **it);
                    held.map(|(weight, _)| u64::from(*weight)).sum::<u64>() >= *threshold
                }
                Step::Grid { rows, columns } => {
                    let (rows, columns) = (usize::from(*rows), usize::from(*columns));
                    let row = |row| (0..columns).all(|column| last[row * columns + column]);
                    let column = |column| (0..rows).all(|row| last[row * columns + column]);
                    (0..rows).any(row) && (0..columns).any(column)
                }
                Step::Nodeset(nodeset) => nodeset.is_satisfied(set),
            };
            operands.truncate(first);
            operands.push(holds);
        }
        operands[0]
    }

    /// The expression that is true for just the sets that meet each set for which this one is true.
    /// It may be larger than what can be parsed: grids and nodesets are spelled out.
    #[must_use]
    pub fn dual(&self) -> Self {
        let mut dual = self.without_grids().without_nodesets();
        for step in &mut dual.steps {
            match step {
                Step::Choose { needed, of } => *needed = *of - *needed + 1,
                Step::Weighted { weights, threshold } => {
                    *threshold = total(weights) - *threshold + 1;
                }
                Step::Node(_) => {}
                Step::Grid { .. } | Step::Nodeset(_) => unreachable!("spelled out"),
            }
        }
        dual
    }

    /// The same without grids.
    pub(super) fn without_grids(&self) -> Self {
        self.replaced(|step, operands| match step {
            Step::Grid { rows, columns } => Some(spell_grid(operands, *rows, *columns)),
            _ => None,
        })
    }

    /// The same without nodesets.
    pub(super) fn without_nodesets(&self) -> Self {
        self.replaced(|step, _| match step {
            Step::Nodeset(nodeset) => Some(spell_nodeset(nodeset)),
            _ => None,
        })
    }

    /// The same with other steps for some steps and their operands.
    fn replaced(&self, by: impl Fn(&Step, &[Vec<Step>]) -> Option<Vec<Step>>) -> Self {
        let mut done: Vec<Vec<Step>> = Vec::new();
        for step in &self.steps {
            let operands = done.split_off(done.len() - step.arity());
            done.push(by(step, &operands).unwrap_or_else(|| {
                let operands = operands.into_iter().flatten();
                operands.chain([step.clone()]).collect()
            }));
        }
        let steps = done.pop().expect("an expression is one operand in the end");
        Self { steps }
    }
}

impl Step {
    /// The nodes it names by itself.
    pub(super) fn nodes(&self) -> NodeSet {
        match self {
            Self::Node(node) => NodeSet::only(*node),
            Self::Nodeset(nodeset) => nodeset.nodes(),
            Self::Choose { .. } | Self::Weighted { .. } | Self::Grid { .. } => NodeSet::EMPTY,
        }
    }

    /// How many operands it takes.
    pub(super) fn arity(&self) -> usize {
        match self {
            Self::Node(_) | Self::Nodeset(_) => 0,
            Self::Choose { of, .. } => usize::from(*of),
            Self::Weighted { weights, .. } => weights.len(),
            Self::Grid { rows, columns } => usize::from(*rows) * usize::from(*columns),
        }
    }

    /// How many terms it comes to, spelled out, with operands of so many.
    fn spelled_out(&self, operands: usize) -> usize {
        match self {
            Self::Node(_) | Self::Choose { .. } | Self::Weighted { .. } => operands + 1,
            Self::Grid { rows, columns } => {
                2 * operands + usize::from(*rows) + usize::from(*columns) + 3
            }
            Self::Nodeset(nodeset) => {
                let domains = Scope::ALL.map(|scope| nodeset.domains(nodeset.nodes(), scope));
                3 * nodeset.nodes().len() + domains.iter().sum::<usize>() + 4
            }
        }
    }

    /// Checks that it makes sense by itself; tells how many terms it counts for.
    fn check(&self) -> Result<usize, ExprError> {
        match self {
            Self::Node(node) if usize::from(node.0) >= NodeSet::MAX_NODES => {
                return Err(ExprError::NodeNumber { node: *node });
            }
            Self::Node(_) => {}
            Self::Choose { needed, of } => check_count(u64::from(*needed), u64::from(*of))?,
            Self::Weighted { weights, threshold } => {
                let wrong = |weight: &u32| *weight == 0 || *weight > WEIGHT_MAX;
                if let Some(&weight) = weights.iter().find(|weight| wrong(weight)) {
                    return Err(ExprError::Weight { weight });
                }
                check_count(*threshold, total(weights))?;
            }
            Self::Grid { rows, columns } => {
                check_count(1, u64::from(*rows) * u64::from(*columns))?;
            }
            Self::Nodeset(nodeset) => return Ok(nodeset.nodes().len()),
        }
        Ok(1)
    }
}

fn check_count(needed: u64, present: u64) -> Result<(), ExprError> {
    if present == 0 {
        Err(ExprError::NoOperands)
    } else if needed == 0 {
        Err(ExprError::Always { needed, present })
    } else if needed > present {
        Err(ExprError::Never { needed, present })
    } else {
        Ok(())
    }
}

/// The sum of weights.
pub(super) fn total(weights: &[u32]) -> u64 {
    weights.iter().map(|&weight| u64::from(weight)).sum()
}

/// "And" or "or" of operands that are spelled out.
fn spell_choose(needed: usize, operands: Vec<Vec<Step>>) -> Vec<Step> {
    let of = operands.len() as u16;
    let needed = needed as u16;
    let choose = Step::Choose { needed, of };
    operands.into_iter().flatten().chain([choose]).collect()
}

fn spell_grid(operands: &[Vec<Step>], rows: u16, columns: u16) -> Vec<Step> {
    let (rows, columns) = (usize::from(rows), usize::from(columns));
    let all = |places: Vec<usize>| {
        let operands: Vec<_> = places.into_iter().map(|at| operands[at].clone()).collect();
        spell_choose(operands.len(), operands)
    };
    let row = |row| all((0..columns).map(|column| row * columns + column).collect());
    let column = |column| all((0..rows).map(|row| row * columns + column).collect());
    let any_row = spell_choose(1, (0..rows).map(row).collect());
    let any_column = spell_choose(1, (0..columns).map(column).collect());
    spell_choose(2, vec![any_row, any_column])
}

/// In every scope, enough domains of which some node is there.
fn spell_nodeset(nodeset: &Nodeset) -> Vec<Step> {
    let scopes = Scope::ALL.map(|scope| {
        let domains = nodeset.domains_of(scope).into_iter().map(|domain| {
            let nodes = domain.iter().map(|node| vec![Step::Node(node)]).collect();
            spell_choose(1, nodes)
        });
        spell_choose(nodeset.required(scope), domains.collect())
    });
    spell_choose(scopes.len(), scopes.into())
}

/// By hand: derived, it would clone the steps each time that a message names a quorum system.
impl Serialize for Expr {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.steps.serialize(serializer)
    }
}

impl TryFrom<Vec<Step>> for Expr {
    type Error = ExprError;

    fn try_from(steps: Vec<Step>) -> Result<Self, ExprError> {
        Self::of(steps)
    }
}
