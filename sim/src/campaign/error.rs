//! Why a campaign cannot be begun, go on, or be kept.

use std::path::{Path, PathBuf};

use hstore_reports::damage::Damage;

use crate::fresh_dir::WriteError;

/// Why a campaign cannot be begun, go on, or be kept.
#[derive(Debug, thiserror::Error)]
pub enum CampaignError {
    /// A file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// What is kept of it cannot be read.
    #[error(transparent)]
    Damage(#[from] Damage),
    /// A directory is not what it would have to be.
    #[error("{path}: {why}", path = path.display())]
    Refused {
        /// The directory.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
}

impl CampaignError {
    pub(super) fn refused(path: &Path, why: impl Into<String>) -> Self {
        Self::Refused {
            path: path.to_owned(),
            why: why.into(),
        }
    }
}
