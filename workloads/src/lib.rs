//! What clients do: a specification, and the generator that turns it into operations.
//!
//! The same for a simulated and a real cluster: nothing here knows how an operation is carried out.
//! Every record carries an id that is never used twice, so that checkers can tell records apart.

#![deny(missing_docs)]

mod generator;
mod spec;

pub use generator::{Generator, Operation, record_id};
pub use spec::{Mix, Spec};
