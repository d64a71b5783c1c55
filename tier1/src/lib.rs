//! The local tier: what one node keeps of the logs, on its own disk.
//!
//! Above it is the [`LogStore`](hstore_core::ports::log_store::LogStore) port, below it the
//! [`FileSystem`](hstore_core::ports::file_system::FileSystem) port; this crate is what stands
//! between the two. It knows copies and precedence. It knows nothing of quorums, epochs' states or
//! other nodes.
//!
//! - [`model`]: what a store means, as an in-memory value ([`model::ModelState`]), and a store that
//!   keeps that value safe with a write-ahead file and checkpoints ([`model::ModelStore`]).
//! - `rocks`, with the feature `rocksdb`: the store on RocksDB; with the feature `hosted` also on any
//!   implementation of the file-system port.
//! - [`posix`]: the file-system port on real files. The simulator brings its own.
//! - [`contract`]: what every implementation of either port must do, as executable suites.
//!
//! # Limits
//!
//! [`model::ModelStore`] holds all it stores in memory and writes all of it anew at each open: it is
//! the yardstick that other engines are measured against, and the engine for stores of moderate
//! size. Its module names the bounds.

#![deny(missing_docs)]

mod checked;
pub mod contract;
pub mod model;
pub mod posix;
#[cfg(feature = "rocksdb")]
pub mod rocks;
mod root;
