//! The ports: what a host lends to the machines.
//!
//! Machines do no I/O themselves. Time is the `now` of `step` ([`Timestamp`](crate::Timestamp)),
//! messages are its inputs and outputs, randomness is a seeded [`Rng`](crate::Rng). What is left are
//! the ports a host calls on a node's behalf: the [`LogStore`](log_store::LogStore), under it the
//! [`FileSystem`](file_system::FileSystem), and the [`ObjectStore`](object_store::ObjectStore).

pub mod file_system;
pub mod log_store;
pub mod object_store;
