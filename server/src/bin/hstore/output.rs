//! Writing to the two standard streams, and ending with a code.

use std::io::{self, Write};

use anyhow::Context;

/// An error that has an exit code of its own.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    text: String,
}

/// Wrong arguments or configuration.
pub(crate) fn wrong(text: impl ToString) -> anyhow::Error {
    fail(2, text)
}

/// The cluster did not answer in time.
pub(crate) fn no_answer(text: impl ToString) -> anyhow::Error {
    fail(3, text)
}

/// Nobody knows whether something was appended.
pub(crate) fn unknown(text: impl ToString) -> anyhow::Error {
    fail(4, text)
}

/// An append cannot be made: what it demands is not so, or the log cannot take it.
pub(crate) fn refused(text: impl ToString) -> anyhow::Error {
    fail(5, text)
}

fn fail(code: u8, text: impl ToString) -> anyhow::Error {
    let text = text.to_string();
    Failure { code, text }.into()
}

/// Whether there is somebody to write for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// There is.
    Listens,
    /// Who stopped reading has seen enough: that is no error.
    Gone,
}

/// Writes to standard output.
pub(crate) fn print(bytes: &[u8]) -> anyhow::Result<Reader> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(Reader::Listens),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(error).context("standard output cannot be written"),
    }
}

/// Writes a line to standard error. With that gone there is nobody left to tell.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
