//! Verifies a witness: replays the order that a checker claims through the sequential model.
//!
//! It trusts the checker in nothing. If it accepts, the log is linearizable: every answered operation
//! is in the order once, the order respects real time, and each answer is legal where it stands.

use hstore_core::Lsn;
use serde::{Deserialize, Serialize};

use crate::facts::seek;
use crate::history::{Answer, Call, History, Op, OpId, OpKind, Status, position};
use crate::model::LogModel;
use crate::trims::Trims;

pub use crate::model::Illegal;

/// An order in which the operations of a log can have taken effect.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// The operations. Unknown ones that are not here never took effect.
    pub order: Vec<OpId>,
    /// Where the unknown appends among them put their records, in the same order.
    pub unknown: Vec<(OpId, Lsn)>,
}

/// Why an order proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It is of another log, or comes twice.
    #[error("{0} does not belong here, or comes twice")]
    Misplaced(OpId),
    /// It had failed or is unknown, and there is no place for it.
    #[error("{0} was not answered, and the witness does not say what it did")]
    Effectless(OpId),
    /// It had returned before something that comes earlier in the order was invoked.
    #[error("{0} comes too late in the order")]
    RealTime(OpId),
    /// Its answer is not legal where it stands.
    #[error("{0}: {1}")]
    Illegal(OpId, Illegal),
    /// So many answered operations are not in the order.
    #[error("{0} answered operations are not in the order")]
    LeftOut(usize),
}

/// Replays `witness` as an order of `ops`, the operations on one log in the order of invocation.
///
/// # Errors
///
/// If it proves nothing.
pub fn replay(history: &History, ops: &[OpId], witness: &Witness) -> Result<(), ReplayError> {
    let mut trims = Trims::default();
    let mut demanded = 0;
    for op in ops.iter().map(|&id| history.op(id)) {
        if op.kind() == OpKind::Trim {
            trims.note(op);
        }
        demanded += usize::from(op.is_answered());
    }
    let mut model = LogModel::default();
    let places = Places::of(ops);
    let mut used = vec![false; ops.len()];
    let mut at = 0;
    let mut unknown = witness.unknown.iter().peekable();
    let mut latest_invocation = 0;
    let mut answered = 0;
    for &id in &witness.order {
        at = places.find(ops, at, id).ok_or(ReplayError::Misplaced(id))?;
        if std::mem::replace(&mut used[at], true) {
            return Err(ReplayError::Misplaced(id));
        }
        let op = history.op(id);
        latest_invocation = latest_invocation.max(op.begins());
        let deadline = op.deadline();
        if deadline < latest_invocation {
            return Err(ReplayError::RealTime(id));
        }
        answered += usize::from(deadline != u64::MAX);
        let legal = if let (Some(lsn), Some(record)) = (op.acked_at(), op.record()) {
            model.append(lsn, record, op.terms())
        } else if let Some(tail) = op.tail_result() {
            model.tail(tail)
        } else if op.is_read() {
            model.read(&op.read_result(), || trims.given_up(deadline))
        } else if let Some(answer) = op.answer() {
            step(&mut model, op, answer, &trims)
        } else {
            let next = unknown.next_if(|(unknown, _)| *unknown == id);
            match (next, op.record()) {
                (Some((_, lsn)), Some(record)) if op.status() != Status::Fail => {
                    model.append(lsn.as_u64(), record, op.terms())
                }
                _ => return Err(ReplayError::Effectless(id)),
            }
        };
        legal.map_err(|illegal| ReplayError::Illegal(id, illegal))?;
    }
    match demanded - answered {
        0 => Ok(()),
        left_out => Err(ReplayError::LeftOut(left_out)),
    }
}

/// Where operations are among those of the log.
enum Places {
    /// The log has all operations from one on.
    From(u32),
    /// They are looked for.
    Apart,
}

impl Places {
    fn of(ops: &[OpId]) -> Self {
        match ops {
            [first, .., last] if (last.0 - first.0) as usize == ops.len() - 1 => {
                // They rise, so none is left out.
                Self::From(first.0)
            }
            _ => Self::Apart,
        }
    }

    /// The place of an operation, looked for from `hint` on.
    fn find(&self, ops: &[OpId], hint: usize, id: OpId) -> Option<usize> {
        let at = match self {
            Self::From(first) => id.0.checked_sub(*first)? as usize,
            Self::Apart => seek(ops, hint, |&op| op < id),
        };
        (ops.get(at) == Some(&id)).then_some(at)
    }
}

/// Replays an answer that is rare.
fn step(
    model: &mut LogModel,
    op: Op<'_>,
    answer: Answer<'_>,
    trims: &Trims,
) -> Result<(), Illegal> {
    match (answer, op.call()) {
        (Answer::Mismatch(told), Call::Append { terms, .. }) => model.mismatch(terms, told),
        (Answer::Seal { tail }, Call::Seal { epoch }) => model.seal(epoch, position(tail)),
        (Answer::Trimmed { .. }, Call::Read { from, .. } | Call::Poll { from, .. }) => {
            model.trimmed(from, trims.given_up(op.deadline()))
        }
        (Answer::Trim, _) => Ok(()),
        (answer, call) => {
            unreachable!("{call} is not answered by {answer:?}, or not replayed here")
        }
    }
}
