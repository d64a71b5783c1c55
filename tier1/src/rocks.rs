//! The log store on RocksDB.
//!
//! ```text
//!   RocksStore            keys, values, batches, when to flush          store.rs, layout.rs
//!       |
//!   RocksDB               write-ahead log, memtables, tables
//!       |
//!   its environment       production: RocksDB's own, real files and threads
//!                         hosted: any `FileSystem` of the port, no threads, no clock    hosted/
//! ```
//!
//! The store is the same code on both. Hosted, RocksDB does nothing that its host does not see: each
//! of its file operations is one call of the [`FileSystem`](hstore_core::ports::file_system) port,
//! its background jobs run on the caller's thread before the call returns, and what it would draw at
//! random is given to it. So the same calls lead to the same file operations with the same bytes.
//!
//! This is not a general wrapper of RocksDB. It has one batch, one scan, and no snapshot.

mod endless;
mod framing;
#[cfg(feature = "hosted")]
pub mod hosted;
mod hosting;
mod layout;
mod settings;
mod store;

pub use hosting::BackgroundWork;
pub use settings::RocksSettings;
pub use store::RocksStore;
