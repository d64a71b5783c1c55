//! The sequential objects that this crate knows, as [`Model`](crate::search::Model)s, and the check of a history
//! against one of them.
//!
//! Operations of unknown outcome that only look say nothing. Others are optional. What failed did not happen.

mod check;
mod container;
mod decode;
mod interned;
mod kind;
mod kv;
mod log;
mod multi_register;
mod mutex;
mod queue;
mod register;
mod s2;
mod set;
mod stack;

pub use check::{
    CannotDecode, CheckedPart, ObjectFault, ObjectOptions, ObjectVerdict, PartVerdict, Parts,
    check_object,
};
pub use interned::Chain;
pub use kind::{ModelKind, NilReads, Settings, UnknownModel};
pub use kv::{Kv, KvOp, KvState};
pub use log::{Log, LogOp};
pub use multi_register::{MultiRegister, Transaction, Written};
pub use mutex::{Mutex, MutexOp};
pub use queue::{Line, Queue, QueueOp};
pub use register::{CasRegister, Register, RegisterOp};
pub use s2::{S2, S2Op, S2State, fold};
pub use set::{Members, Set, SetOp};
pub use stack::{Stack, StackOp};
