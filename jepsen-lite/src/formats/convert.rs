//! From one format into another.

use std::io::{self, BufRead, Write};

use super::{Format, NoGuess, ReadError, Recording, WriteError, guess, read, split_head, write};

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converted {
    /// The format that was read: the one that was said, or guessed.
    pub from: Format,
    /// How many operations there were.
    pub operations: usize,
}

/// Why a file was not converted.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// The input cannot be read.
    #[error("{0}")]
    Input(#[from] io::Error),
    /// Nobody said the format of the input, and it does not tell.
    #[error("{0}")]
    NoGuess(#[from] NoGuess),
    /// The input is no history.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The history cannot be written.
    #[error("{0}")]
    Write(#[from] WriteError),
}

/// Reads a history in `from`, or in the format that its beginning tells, and writes it in `to`. Nothing is
/// written unless all of it could be read.
///
/// # Errors
///
/// If it cannot be read, guessed or written.
pub fn convert(
    input: impl BufRead,
    from: Option<Format>,
    to: Format,
    output: &mut impl Write,
) -> Result<Converted, ConvertError> {
    let (head, input) = split_head(input)?;
    let from = match from {
        Some(from) => from,
        None => guess(&head)?,
    };
    let recording = read(input, from)?;
    write(&recording, to, output)?;
    let operations = match &recording {
        Recording::Log(history) => history.len(),
        Recording::Object(object) => object.history.len(),
    };
    Ok(Converted { from, operations })
}
