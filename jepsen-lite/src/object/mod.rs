//! Histories of objects: registers, maps, sets, queues, or whatever a [`Model`](crate::search::Model)
//! describes.
//!
//! An operation is a *function* (`read`, `write`, `enqueue`, ...) with an argument, and ends with a
//! result. What they mean is for models and checkers to say; here they are names and [`Value`]s, as in
//! Jepsen's histories. Logs have histories of their own, in [`history`](crate::history).

mod columns;
mod recorder;
mod value;

pub use columns::{Asked, ObjectHistory, ObjectOp, TextPlace};
pub use recorder::{AfterInfo, ObjectRecorder};
pub use value::{FloatBits, Value, ValueId, Values};
