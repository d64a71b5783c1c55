//! What every implementation of a port must do, as suites that run against any of them.
//!
//! A suite panics with a sentence that says what was expected of the implementation. It tests the
//! port's contract and nothing of how an implementation meets it.

mod file_system;
mod store;

pub use file_system::check_file_system;
pub use store::{Backend, check_store, contents};
