//! A log as an object among others.
//!
//! This is for small histories and for comparison; histories of logs proper, with LSNs, gaps and
//! fences, have [their own checker](crate::log_check).

use super::decode;
use super::interned::{self, Chain, Chains, Interned};
use crate::history::Status;
use crate::object::{ObjectOp, ValueId};
use crate::search::{Decoded, Model, Undecodable};

/// A log whose positions count from 0: `append` of a value, which returns its position or `nil` (not
/// recorded); `read` from a position (`nil` for 0), which returns all from there on as a list of
/// `[position value]`; `tail`, which returns how many values there are. It is empty at first.
#[derive(Debug, Default)]
pub struct Log {
    values: Interned,
    chains: Chains,
}

/// What is done to a log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum LogOp {
    /// Now this is the last one, at this position if it is known.
    Append(ValueId, Option<u32>),
    /// From this position on there are exactly these.
    Read(u32, Box<[ValueId]>),
    /// There are so many.
    Tail(u32),
    /// What was returned cannot be: a position is missing or comes twice.
    Never,
}

impl Model for Log {
    type Op = LogOp;
    type State = Chain;

    fn initial(&self) -> Chain {
        Chains::EMPTY
    }

    fn step(&self, log: &Chain, op: &LogOp) -> Option<Chain> {
        let tail = self.chains.len(*log);
        match op {
            LogOp::Append(value, position) => {
                let is_there = position.is_none_or(|position| position == tail);
                is_there.then(|| self.chains.push(*log, *value))
            }
            LogOp::Read(from, values) => {
                let count = u32::try_from(values.len()).ok()?;
                let is_all = tail.saturating_sub(*from) == count;
                let last = self.chains.backwards(*log);
                let is_seen = is_all && last.zip(values.iter().rev()).all(|(a, b)| a == *b);
                is_seen.then_some(*log)
            }
            LogOp::Tail(count) => (tail == *count).then_some(*log),
            LogOp::Never => None,
        }
    }

    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<LogOp>, Undecodable> {
        let position = |value: &crate::object::Value| u32::try_from(value.as_int()?).ok();
        Ok(match op.function() {
            "append" => {
                let at = match op.result() {
                    result if result.is_nil() => None,
                    result => {
                        let at = position(result);
                        Some(at.ok_or_else(|| decode::bad_result(op, "a position or nil"))?)
                    }
                };
                decode::effect(op, LogOp::Append(self.values.id(op.argument()), at))
            }
            "read" => {
                let from = match op.argument() {
                    from if from.is_nil() => 0,
                    from => position(from)
                        .ok_or_else(|| decode::bad_argument(op, "a position or nil"))?,
                };
                if op.status() != Status::Ok || op.result().is_nil() {
                    return Ok(Decoded::Nothing);
                }
                let must = "a list of [position value]";
                let bad = || decode::bad_result(op, must);
                let mut values = Vec::new();
                let mut is_whole = true;
                for (entry, expected) in op.result().items().ok_or_else(bad)?.iter().zip(from..) {
                    let Some([at, value]) = entry.items() else {
                        return Err(bad());
                    };
                    is_whole &= position(at).ok_or_else(bad)? == expected;
                    values.push(self.values.id(value));
                }
                Decoded::Effect(if is_whole {
                    LogOp::Read(from, values.into())
                } else {
                    LogOp::Never
                })
            }
            "tail" => {
                if op.status() != Status::Ok || op.result().is_nil() {
                    return Ok(Decoded::Nothing);
                }
                let tail = position(op.result());
                let tail = tail.ok_or_else(|| decode::bad_result(op, "a number of records"))?;
                Decoded::Effect(LogOp::Tail(tail))
            }
            _ => return Err(decode::unknown_function(op, "append, read, tail")),
        })
    }

    fn observes(&self, op: &LogOp) -> bool {
        !matches!(op, LogOp::Append(..))
    }

    /// Nothing ever leaves the log.
    fn is_hopeless(&self, log: &Chain, op: &LogOp) -> bool {
        let tail = self.chains.len(*log);
        match op {
            LogOp::Append(_, Some(position)) => tail > *position,
            LogOp::Append(_, None) => false,
            LogOp::Read(from, values) => {
                let there = tail.saturating_sub(*from) as usize;
                let Some(begins_with) = values.get(..there) else {
                    return true;
                };
                // One of them is another one, and stays so.
                let last = self.chains.backwards(*log);
                let is_beginning = last.zip(begins_with.iter().rev()).all(|(a, b)| a == *b);
                !is_beginning
            }
            LogOp::Tail(count) => tail > *count,
            LogOp::Never => true,
        }
    }

    fn lookahead(&self) -> usize {
        4
    }

    fn show(&self, log: &Chain) -> String {
        let mut values: Vec<ValueId> = self.chains.backwards(*log).collect();
        values.reverse();
        interned::show(values.into_iter().map(|value| self.values.get(value)))
    }
}
