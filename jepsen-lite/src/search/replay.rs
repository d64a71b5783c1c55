//! Verifies an order, trusting nothing of the search.

use std::collections::BTreeMap;

use super::engine::Timed;
use super::model::Model;
use crate::history::OpId;

/// Why an order explains nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAWitness {
    /// It is in the order but not in the history.
    #[error("{0} is not an operation of this history")]
    Stranger(OpId),
    /// It is in the order twice.
    #[error("{0} takes effect twice")]
    Twice(OpId),
    /// It is not in the order although it took effect.
    #[error("{0} took effect but is left out")]
    LeftOut(OpId),
    /// The model does not allow it at its place.
    #[error("{0} cannot have been answered so in the state at its place")]
    Illegal(OpId),
    /// It comes after one that was invoked only after its return.
    #[error("{late} returned before {early} was invoked, but comes after it")]
    TooLate {
        /// The one that returned.
        late: OpId,
        /// The one that was invoked later.
        early: OpId,
    },
}

/// Whether these operations, in this order, are legal and in keeping with their intervals.
///
/// # Errors
///
/// The first thing that is wrong.
pub fn replay<M: Model>(
    model: &M,
    ops: &[Timed<M::Op>],
    order: &[OpId],
) -> Result<(), NotAWitness> {
    let mut left: BTreeMap<OpId, &Timed<M::Op>> = ops.iter().map(|op| (op.id, op)).collect();
    let mut state = model.initial();
    // Of those so far, the one that was invoked last.
    let mut latest: Option<&Timed<M::Op>> = None;
    for &id in order {
        let Some(op) = left.remove(&id) else {
            let is_known = ops.iter().any(|op| op.id == id);
            return Err(if is_known {
                NotAWitness::Twice(id)
            } else {
                NotAWitness::Stranger(id)
            });
        };
        if let Some(early) = latest.filter(|early| op.deadline < early.invoked) {
            let early = early.id;
            return Err(NotAWitness::TooLate { late: id, early });
        }
        if latest.is_none_or(|latest| latest.invoked < op.invoked) {
            latest = Some(op);
        }
        state = model.step(&state, &op.op).ok_or(NotAWitness::Illegal(id))?;
    }
    match left.values().find(|op| !op.optional) {
        Some(op) => Err(NotAWitness::LeftOut(op.id)),
        None => Ok(()),
    }
}
