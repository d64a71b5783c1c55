//! The second tier: history in an object store.
//!
//! - [`segment`]: the file that holds a range of a log.

#![deny(missing_docs)]

pub mod segment;
