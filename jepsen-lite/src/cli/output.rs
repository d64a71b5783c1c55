//! Standard output and standard error.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use super::ending::Ending;

/// Prints to standard output. Whoever closed it does not want to read on, which is no fault.
pub(crate) fn print(text: &str) -> Result<(), Ending> {
    let mut output = io::stdout().lock();
    match output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush())
    {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(complain("standard output", error))
        }
        _ => Ok(()),
    }
}

/// Writes a file.
pub(crate) fn write(file: &Path, text: &str) -> Result<(), Ending> {
    fs::write(file, text).map_err(|error| complain(file.display(), error))
}

/// Says what is wrong with what.
pub(crate) fn complain(what: impl Display, reason: impl Display) -> Ending {
    // Nothing is left to say if standard error is closed too.
    let _ = writeln!(io::stderr(), "{what}: {reason}");
    Ending::BadInput
}
