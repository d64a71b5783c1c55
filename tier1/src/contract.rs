//! What every implementation of a port must do, as suites that run against any of them.
//!
//! A suite panics with a sentence that says what was expected of the implementation. It tests the
//! port's contract and nothing of how an implementation meets it. [`Intercepted`] is a file system
//! that fails on purpose, for tests of what stands on one.

mod file_system;
mod intercepted;
mod store;

pub use file_system::check_file_system;
pub use intercepted::{Intercepted, Interceptor, Verdict};
pub use store::{Backend, check_store, contents};
