//! The sequential objects that this crate knows, as [`Model`](crate::search::Model)s.

mod kind;

pub use kind::{ModelKind, NilReads, Settings, UnknownModel};
