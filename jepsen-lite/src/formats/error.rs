//! Why a file is not a history, and where.

use std::io;

use super::encoding::Foreign;
use super::forms::{MAX_DEPTH, MAX_VALUE_BYTES};
use crate::history::{self, IllFormed};
use crate::object::TextPlace;

/// Why a file is not a history, and where.
#[derive(Debug, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub struct ReadError {
    /// The line, from 1.
    pub line: u64,
    /// The column in bytes, from 1; where the event begins if the event as a whole is at fault.
    pub column: usize,
    /// Why.
    pub reason: ReadErrorReason,
}

/// Why a file is not a history.
#[derive(Debug, thiserror::Error)]
pub enum ReadErrorReason {
    /// The input cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is no text.
    #[error("{0}")]
    Foreign(#[from] Foreign),
    /// An event is longer than [`MAX_VALUE_BYTES`].
    #[error("the event is longer than {MAX_VALUE_BYTES} bytes")]
    TooLong,
    /// Values are nested deeper than [`MAX_DEPTH`].
    #[error("values are nested more than {MAX_DEPTH} deep")]
    TooDeep,
    /// The text is not EDN, not JSON, or not what a line of the format looks like.
    #[error("{0}")]
    Syntax(String),
    /// A value is there, but it is no event, or not one that can follow here.
    #[error("{0}")]
    Event(String),
    /// The event is in the format, but cannot follow on those before.
    #[error("{0}")]
    IllFormed(#[from] IllFormed),
    /// The event is one of a log, and not what it must be.
    #[error("{0}")]
    Log(history::ReadErrorReason),
}

impl From<history::ReadError> for ReadError {
    fn from(error: history::ReadError) -> Self {
        Self {
            line: error.line,
            column: error.column,
            reason: ReadErrorReason::Log(error.reason),
        }
    }
}

/// Where something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The line, from 1.
    pub(super) line: u64,
    /// The column in bytes, from 1.
    pub(super) column: usize,
}

impl Place {
    /// The beginning of the input.
    pub(super) const START: Self = Self { line: 1, column: 1 };

    /// The same for operations to keep; the greatest ones are all alike.
    pub(super) fn to_keep(self) -> TextPlace {
        TextPlace {
            line: u32::try_from(self.line).unwrap_or(u32::MAX),
            column: u32::try_from(self.column).unwrap_or(u32::MAX),
        }
    }

    /// The place `offset` bytes further on, in `text` that begins here.
    pub(super) fn within(self, text: &[u8], offset: usize) -> Self {
        let before = &text[..offset.min(text.len())];
        let lines = before.iter().filter(|&&byte| byte == b'\n').count();
        let Some(last) = before.iter().rposition(|&byte| byte == b'\n') else {
            return Self {
                line: self.line,
                column: self.column + offset,
            };
        };
        Self {
            line: self.line + lines as u64,
            column: offset - last,
        }
    }

    /// What is wrong here.
    pub(super) fn error(self, reason: impl Into<ReadErrorReason>) -> ReadError {
        ReadError {
            line: self.line,
            column: self.column,
            reason: reason.into(),
        }
    }

    /// What here is not of the format.
    pub(super) fn syntax(self, reason: impl Into<String>) -> ReadError {
        self.error(ReadErrorReason::Syntax(reason.into()))
    }

    /// What here is no event.
    pub(super) fn event(self, reason: impl Into<String>) -> ReadError {
        self.error(ReadErrorReason::Event(reason.into()))
    }
}
