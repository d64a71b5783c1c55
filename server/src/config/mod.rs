//! The files that say what a cluster and a node are.
//!
//! - [`cluster`]: nodes and their addresses, logs, timings. One file, the same for all nodes and clients.
//! - [`tier2`]: the part of it that says where history moves to.
//! - [`node`]: which node of which cluster a process is, and where its data is.
//!
//! Both are TOML. Everything is checked before anything is done; an error names the key, the value, where
//! it stands, and what was expected ([`ConfigError`]). What stands where nobody looks for it may be a secret: the
//! value of a key that there is not, one of the wrong type, and the text of a file are never told.

pub mod cluster;
pub mod node;
mod table;
pub mod tier2;

/// Why a configuration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A file cannot be read, or is no TOML.
    #[error("{place}: {reason}")]
    Unreadable {
        /// The file.
        place: String,
        /// Why.
        reason: String,
    },
    /// A value is not what its key takes.
    #[error("{place}: `{key}` is `{value}`: expected {expected}")]
    Invalid {
        /// The file, or what else the value came from.
        place: String,
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What would have been right.
        expected: String,
    },
    /// A value is of another type than its key takes.
    #[error("{place}: `{key}` is {found}: expected {expected}")]
    Mistyped {
        /// The file, or what else the value came from.
        place: String,
        /// The key.
        key: String,
        /// The type of the value.
        found: &'static str,
        /// What would have been right.
        expected: String,
    },
    /// A key is missing.
    #[error("{place}: `{key}` is missing: expected {expected}")]
    Missing {
        /// The file, and what else was looked at.
        place: String,
        /// The key.
        key: String,
        /// What would have been right.
        expected: String,
    },
    /// A key is none.
    #[error("{place}: `{key}` is no key here: expected one of {expected}")]
    Unknown {
        /// The file, or what else the key came from.
        place: String,
        /// The key.
        key: String,
        /// The keys there are.
        expected: String,
    },
    /// The parts do not fit.
    #[error("{place}: {reason}")]
    Misfit {
        /// The file.
        place: String,
        /// What does not.
        reason: hstore_replicator::config::ConfigError,
    },
}
