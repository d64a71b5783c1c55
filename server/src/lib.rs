//! A node of HStore on a real machine: TCP, RocksDB, the operating system's clock and chance.
//!
//! The second host of [`hstore_node::Node`]; the simulator is the first. It turns bytes, timers and
//! completions into inputs, and outputs into I/O. It decides nothing of the protocol.
//!
//! ```text
//!   connections --frames--> | node task: owns the Node  | --requests--> storage thread --> RocksDB
//!   (transport)   bounded   |  one input after another  | <-completions-  group commit
//!                           +---------------------------+
//!                  <--frames--  outboxes, bounded: what does not fit is dropped, as a network would
//! ```
//!
//! | module | idea |
//! |---|---|
//! | [`config`] | the files that say what a cluster and a node are |
//! | [`identity`] | a data directory belongs to one node |
//! | [`clock`] | the one place that asks the time |
//! | [`storage`] | one thread, one store, group commit |
//! | [`transport`] | frames, handshakes, deadlines, queues |
//! | [`daemon`] | the task that steps the node |
//! | [`metrics`] | what is counted and measured, and how a node tells it |
//! | [`objects`] | the object store, by URL |
//! | [`ports`] | finds ports to listen on |
//! | [`logging`] | where the programs' logs go |
//! | [`client`] | hosts the protocol's client for programs |
//!
//! # Limits
//!
//! - Whoever reaches a node's port is believed: there is no authentication and no encryption.
//! - All nodes and clients must be given the same cluster; it does not change while nodes run. A
//!   handshake compares.
//! - Client numbers are 32 random bits. A node notices that two clients drew the same, and refuses the
//!   second, as long as it lives; so with `n` clients within a node's life about one in `2^32 / n` of
//!   them has to start again.

#![deny(missing_docs)]

pub mod client;
pub mod clock;
pub mod config;
pub mod daemon;
pub mod identity;
pub mod logging;
pub mod metrics;
pub mod object_calls;
pub mod objects;
pub mod ports;
pub mod storage;
pub mod transport;
