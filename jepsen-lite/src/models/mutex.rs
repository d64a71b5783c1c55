//! A lock that does not know who holds it.

use super::decode;
use crate::object::ObjectOp;
use crate::search::{Decoded, Model, Undecodable};

/// A lock: `acquire` when it is free, `release` when it is held. It is free at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Mutex;

/// What is done to a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MutexOp {
    /// It was free, now it is held.
    Acquire,
    /// It was held, now it is free.
    Release,
}

impl Model for Mutex {
    type Op = MutexOp;
    /// Whether it is held.
    type State = bool;

    fn initial(&self) -> bool {
        false
    }

    fn step(&self, is_held: &bool, op: &MutexOp) -> Option<bool> {
        match op {
            MutexOp::Acquire => (!is_held).then_some(true),
            MutexOp::Release => is_held.then_some(false),
        }
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<MutexOp>, Undecodable> {
        match op.function() {
            "acquire" | "lock" => Ok(decode::effect(op, MutexOp::Acquire)),
            "release" | "unlock" => Ok(decode::effect(op, MutexOp::Release)),
            _ => Err(decode::unknown_function(op, "acquire, release")),
        }
    }

    fn show(&self, is_held: &bool) -> String {
        if *is_held { "held" } else { "free" }.to_owned()
    }
}
