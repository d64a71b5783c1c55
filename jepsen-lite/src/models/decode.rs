//! What the models share when they read operations.

use crate::history::Status;
use crate::models::NilReads;
use crate::object::{ObjectOp, Value};
use crate::search::{Decoded, Undecodable};

/// An operation that changes something: of unknown outcome it is optional, failed it is none.
pub(super) fn effect<O>(op: ObjectOp<'_>, what: O) -> Decoded<O> {
    match op.status() {
        Status::Ok => Decoded::Effect(what),
        Status::Open | Status::Info => Decoded::Optional(what),
        Status::Fail => Decoded::Nothing,
    }
}

/// What a read returned, if it says anything.
pub(super) fn seen<'h>(op: ObjectOp<'h>, nil_reads: NilReads) -> Option<&'h Value> {
    if op.status() != Status::Ok {
        return None;
    }
    let says_nothing = op.result().is_nil() && nil_reads == NilReads::Anything;
    (!says_nothing).then(|| op.result())
}

pub(super) fn unknown_function(op: ObjectOp<'_>, known: &'static str) -> Undecodable {
    Undecodable::Function {
        function: op.function().to_owned(),
        known,
    }
}

pub(super) fn bad_argument(op: ObjectOp<'_>, must: &'static str) -> Undecodable {
    Undecodable::Argument {
        function: op.function().to_owned(),
        argument: op.argument().clone(),
        must,
    }
}

pub(super) fn bad_result(op: ObjectOp<'_>, must: &'static str) -> Undecodable {
    Undecodable::Result {
        function: op.function().to_owned(),
        result: op.result().clone(),
        must,
    }
}

/// Whether a container said that there was nothing in it.
pub(super) fn is_empty_answer(result: &Value) -> bool {
    let is_word = !matches!(result, Value::Text(_)) && result.as_name() == Some("empty");
    result.is_nil() || is_word
}
