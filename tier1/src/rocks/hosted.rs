//! RocksDB in an environment that belongs to its host: files through the
//! [`FileSystem`](hstore_core::ports::file_system::FileSystem) port, no threads, no clock, no
//! chance.
//!
//! The C++ side is in `shim/`, one idea a file: `files.cc` is RocksDB's file system over the port,
//! `env.cc` its environment without threads; `unique_ids.cc` and `timer.cc` take the place of what
//! RocksDB would draw and do past its environment. [`table`] is the Rust
//! side of the boundary, [`env`](self::env) what a store holds of it.

pub mod env;
mod table;
#[cfg(test)]
mod table_tests;
mod wal_checksums;
