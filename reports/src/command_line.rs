//! How our commands take bad arguments: one line on standard error, exit code 2.

use clap::error::ErrorKind;

/// The exit code for bad input of any kind.
pub const BAD_INPUT: u8 = 2;

/// What to do with what clap would print.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Help or the version was asked for: print it on standard output and end well.
    Asked(String),
    /// The arguments are wrong: print this one line on standard error and end with [`BAD_INPUT`].
    Wrong(String),
}

/// Sorts out clap's error. Its explanation, which it spreads over several lines, becomes one.
#[must_use]
pub fn sort_out(error: &clap::Error) -> Parsed {
    let text = error.render().to_string();
    if matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        return Parsed::Asked(text);
    }
    let explanation = text
        .lines()
        .map(str::trim)
        .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>();
    Parsed::Wrong(explanation.join(" "))
}
