//! Where a verdict comes from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Everything that decides what a seed does, besides the seed. Two verdicts of one seed with equal
/// provenance must be equal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The commit that was built, with `-dirty` if its sources had been edited; `unknown` if it was
    /// not built from a repository.
    pub revision: String,
    /// The XXH3 hash of the lock file, in hexadecimal: the versions of all dependencies.
    pub lock_hash: String,
    /// The XXH3 hash of the options as JSON, in hexadecimal.
    pub options_hash: String,
}

/// On one line, for people.
impl fmt::Display for Provenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "revision {}, lock file {}, options {}",
            self.revision, self.lock_hash, self.options_hash
        )
    }
}
