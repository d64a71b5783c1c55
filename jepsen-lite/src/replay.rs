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
        demanded += usize::from(is_answered(op));
    }
    let mut model = LogModel::default();
    let mut used = vec![false; ops.len()];
    let mut at = 0;
    let mut unknown = witness.unknown.iter().peekable();
    let mut latest_invocation = 0;
    let mut answered = 0;
    for &id in &witness.order {
        let op = history.op(id);
        at = seek(ops, at, |&op| op < id);
        if ops.get(at) != Some(&id) || std::mem::replace(&mut used[at], true) {
            return Err(ReplayError::Misplaced(id));
        }
        latest_invocation = latest_invocation.max(op.begins());
        if op.deadline() < latest_invocation {
            return Err(ReplayError::RealTime(id));
        }
        answered += usize::from(is_answered(op));
        let legal = match op.answer() {
            Some(answer) => step(&mut model, op, answer, &trims),
            None => {
                let next = unknown.next_if(|(unknown, _)| *unknown == id);
                match (next, op.record()) {
                    (Some((_, lsn)), Some(record)) if op.status() != Status::Fail => {
                        model.append(lsn.as_u64(), record, op.terms())
                    }
                    _ => return Err(ReplayError::Effectless(id)),
                }
            }
        };
        legal.map_err(|illegal| ReplayError::Illegal(id, illegal))?;
    }
    match demanded - answered {
        0 => Ok(()),
        left_out => Err(ReplayError::LeftOut(left_out)),
    }
}

/// Whether an operation was answered: a refusal is an answer too.
fn is_answered(op: Op<'_>) -> bool {
    op.deadline() != u64::MAX
}

fn step(
    model: &mut LogModel,
    op: Op<'_>,
    answer: Answer<'_>,
    trims: &Trims,
) -> Result<(), Illegal> {
    let given_up = || trims.given_up(op.deadline());
    match (answer, op.call()) {
        (Answer::Append { lsn }, Call::Append { record, terms }) => {
            model.append(lsn.as_u64(), record, terms)
        }
        (Answer::Mismatch(told), Call::Append { terms, .. }) => model.mismatch(terms, told),
        (Answer::Tail { tail }, _) => model.tail(position(tail)),
        (Answer::Seal { tail }, Call::Seal { epoch }) => model.seal(epoch, position(tail)),
        (Answer::Read(read) | Answer::Poll(read), _) => model.read(&read, given_up()),
        (Answer::Trimmed { .. }, Call::Read { from, .. } | Call::Poll { from, .. }) => {
            model.trimmed(from, given_up())
        }
        (Answer::Trim, _) => Ok(()),
        (answer, call) => unreachable!("the recorder lets {call} be answered by {answer:?}"),
    }
}
