//! Writing to the two standard streams.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

/// Writes to standard output. Who stopped reading has seen enough: that is no error.
pub(crate) fn print(text: &str) -> anyhow::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output cannot be written"),
    }
}

/// Writes `value` to standard output as JSON.
pub(crate) fn print_json(value: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(value).context("the answer is no JSON")?;
    print(&(text + "\n"))
}

/// Writes a line to standard error. With that gone there is nobody left to tell.
pub(crate) fn note(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

/// A progress bar over `count` seeds, on standard error, if that is a terminal.
pub(crate) fn progress(count: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template(
        "{bar:40} {human_pos} of {human_len} seeds, {per_sec}, {eta} left  {msg}",
    )
    .expect("the template is a valid one");
    ProgressBar::new(count).with_style(style)
}

/// A count of seeds, on standard error, if that is a terminal.
pub(crate) fn endless_progress() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style =
        ProgressStyle::with_template("{spinner} {human_pos} seeds, {per_sec}, {elapsed}  {msg}")
            .expect("the template is a valid one");
    ProgressBar::new_spinner().with_style(style)
}

/// A sign of life of work whose length nobody knows, on standard error, if that is a terminal.
pub(crate) fn spinner() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {human_pos} runs, {per_sec}  {msg}")
        .expect("the template is a valid one");
    ProgressBar::new_spinner().with_style(style)
}

/// The program as it was called, for commands to be called again.
pub(crate) fn program() -> String {
    let called = std::env::args_os().next();
    called.map_or_else(
        || hstore_sim::run_dir::PROGRAM.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}
