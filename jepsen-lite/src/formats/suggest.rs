//! Tells from the operations of a history which object it is of.
//!
//! | functions | object |
//! |---|---|
//! | `read`, `write`, `cas` | cas-register; without `cas`, register |
//! | `read`, `write` of maps; `txn` of reads and writes | multi-register |
//! | `acquire`, `release` | mutex |
//! | `enqueue`, `dequeue` | queue; with `drain`, total-queue |
//! | `push`, `pop` | stack |
//! | `get`, `put`, `append` | kv |
//! | `generate` | unique-ids |
//! | `add`, `read` of numbers; only `add`, and of one number twice | counter |
//! | `add`, `read` of collections | set; set-full if it is read before the last `add` has ended, or if what is added are pairs, as keys of `jepsen.independent` leave them |
//! | `append`, `read`, `tail` | log |
//! | `append`, `read`, `check-tail` | s2 |
//!
//! A history without operations is right of every object, so it is taken for the first of these. Nothing
//! else is guessed: transactions that append, for instance, are of no object here.

use std::collections::BTreeSet;

use super::Suggestion;
use crate::history::Status;
use crate::models::ModelKind;
use crate::object::{ObjectHistory, ObjectOp, Value};

/// The object of a history, if its functions tell.
pub(super) fn suggest(history: &ObjectHistory) -> Option<Suggestion> {
    let names: BTreeSet<&str> = history.ops().map(ObjectOp::function).collect();
    let only = |known: &[&str]| names.iter().all(|name| known.contains(name));
    let has = |name: &str| names.contains(name);
    let model = |model| Some(Suggestion::Model(model));
    if only(&["read", "write"]) && is_of_maps(history) {
        return model(ModelKind::MultiRegister);
    }
    if only(&["read", "write"]) {
        return model(ModelKind::Register);
    }
    if only(&["read", "write", "cas"]) {
        return model(ModelKind::CasRegister);
    }
    if only(&["txn"]) && history.ops().all(reads_and_writes) {
        return model(ModelKind::MultiRegister);
    }
    if only(&["acquire", "release"]) {
        return model(ModelKind::Mutex);
    }
    if only(&["enqueue", "dequeue", "drain"]) {
        return match has("drain") {
            true => Some(Suggestion::TotalQueue),
            false => model(ModelKind::Queue),
        };
    }
    if only(&["push", "pop"]) {
        return model(ModelKind::Stack);
    }
    if only(&["generate"]) {
        return Some(Suggestion::UniqueIds);
    }
    if only(&["get", "put", "append"]) {
        return model(ModelKind::Kv);
    }
    if only(&["append", "read", "tail"]) && has("append") {
        return model(ModelKind::Log);
    }
    if only(&["append", "read", "check-tail"]) {
        return model(ModelKind::S2);
    }
    if only(&["add", "read"]) {
        return added(history);
    }
    None
}

fn is_of_maps(history: &ObjectHistory) -> bool {
    history
        .ops()
        .any(|op| matches!(op.argument(), Value::Map(_)) || matches!(op.result(), Value::Map(_)))
}

/// Whether a transaction is made of `[:read x nil]` and `[:write x 1]`.
fn reads_and_writes(op: ObjectOp<'_>) -> bool {
    let Value::List(steps) = op.argument() else {
        return false;
    };
    steps.iter().all(|step| {
        let name = step.items().and_then(|step| step.first()?.as_name());
        matches!(name, Some("read" | "write" | "r" | "w"))
    })
}

/// A counter or a set.
fn added(history: &ObjectHistory) -> Option<Suggestion> {
    let reads = || {
        let all = history.ops().filter(|op| op.function() == "read");
        all.filter(|op| op.status() == Status::Ok && !op.result().is_nil())
    };
    let adds = || history.ops().filter(|op| op.function() == "add");
    let is_number = |value: &Value| matches!(value, Value::Int(_) | Value::Float(_));
    let Some(first) = reads().next() else {
        // What is added to a set is added once.
        let mut added: Vec<_> = adds().map(|op| op.argument_id()).collect();
        added.sort_unstable();
        let is_twice = added.windows(2).any(|pair| pair[0] == pair[1]);
        let is_counter = is_twice && adds().all(|op| is_number(op.argument()));
        return is_counter.then_some(Suggestion::Counter);
    };
    if is_number(first.result()) {
        let is_counter = reads().all(|op| is_number(op.result()));
        return is_counter.then_some(Suggestion::Counter);
    }
    if !reads().all(|op| op.result().items().is_some()) {
        return None;
    }
    let last_add = adds()
        .filter_map(|op| op.completed())
        .map(|at| at.index)
        .max();
    let is_read_throughout = last_add.is_some_and(|last| first.invoked().index < last);
    let are_pairs = adds().any(|op| op.argument().items().is_some_and(|pair| pair.len() == 2));
    Some(if is_read_throughout || are_pairs {
        Suggestion::SetFull
    } else {
        Suggestion::Model(ModelKind::Set)
    })
}
