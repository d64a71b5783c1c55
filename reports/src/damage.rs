//! Why a directory cannot be read, and where exactly.

use std::fmt;
use std::path::{Path, PathBuf};

use jepsen_lite::history::ReadError;

/// What is wrong with a file, or with a directory as a whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub struct Damage {
    /// The file or directory.
    pub path: PathBuf,
    /// Line and column, both from 1, where there is such a place.
    pub place: Option<(u64, usize)>,
    /// What is wrong, without a line break.
    pub reason: String,
}

/// `dir/verdict.json:3:17: what is wrong`.
impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.path.display())?;
        if let Some((line, column)) = self.place {
            write!(f, "{line}:{column}:")?;
        }
        write!(f, " {}", self.reason)
    }
}

impl Damage {
    /// Something about the whole of a file or directory.
    #[must_use]
    pub fn whole(path: &Path, reason: impl fmt::Display) -> Self {
        Self {
            path: path.to_owned(),
            place: None,
            reason: reason.to_string(),
        }
    }

    /// Something that is not the JSON it has to be. `line_offset` is the number of lines before those that
    /// the parser saw.
    #[must_use]
    pub fn json(path: &Path, line_offset: u64, error: &serde_json::Error) -> Self {
        let text = error.to_string();
        // The place is told apart from the reason, and of an empty text there is none.
        let reason = text.split(" at line ").next().unwrap_or(&text);
        Self {
            path: path.to_owned(),
            place: Some((line_offset + error.line() as u64, error.column().max(1))),
            reason: reason.to_owned(),
        }
    }

    pub(crate) fn history(path: &Path, error: &ReadError) -> Self {
        Self {
            path: path.to_owned(),
            place: Some((error.line, error.column.max(1))),
            reason: error.reason.to_string(),
        }
    }
}
