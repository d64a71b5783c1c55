//! The model store: what a log store means, kept durable in the simplest way that is correct.
//!
//! [`ModelState`] is the meaning: a value without I/O. [`ModelStore`] adds durability: it logs each
//! batch to a write-ahead file before it applies it to the state, and starts each life by writing
//! the state that it recovered as a checkpoint. Every other engine is compared with the two.

mod frame;
mod generation;
mod state;
mod store;

pub use frame::BATCH_BYTES_MAX;
pub use state::ModelState;
pub use store::{ModelStore, ModelStoreOptions, Recovered};
