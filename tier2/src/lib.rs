//! The second tier: history in an object store.
//!
//! - [`segment`]: the file that holds a range of a log.
//! - [`manifest`]: what of a log lies in the second tier, as replicated state.
//! - [`policy`]: what is to be uploaded, handed over and given up: the planner.
//! - [`offloader`]: moves the history of a log, as a machine.
//! - [`cold`]: reads it.
//! - [`rebuild`]: the manifest from the object store alone.
//! - [`memory`]: an object store in memory, the model of what any must do.
//! - [`contract`]: what any must do, as a suite.

#![deny(missing_docs)]

pub mod cold;
pub mod contract;
pub mod manifest;
pub mod memory;
pub mod offloader;
pub mod policy;
pub mod rebuild;
pub mod segment;
