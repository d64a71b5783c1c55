//! `jepsen-lite`: judges a recorded history.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jepsen_lite::check::{Check, CheckOptions, UnknownCheck, check};
use jepsen_lite::history::{History, read_json};
use jepsen_lite::verdict::VerdictKind;

/// Judges recorded histories of logs.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check a history of JSON lines. Exits with 0 if it is valid, 1 if it is not, 2 if the input is
    /// bad, 3 if the history does not say enough.
    Check {
        /// The history.
        file: PathBuf,
        /// Print the report as JSON.
        #[arg(long)]
        json: bool,
        /// Check only this: linearizability, durability, order, prefix-agreement, monotonicity,
        /// subscriptions, trim-safety or tiering. May be repeated.
        #[arg(long, value_name = "CHECK", value_parser = check_of_logs)]
        only: Vec<Check>,
    },
}

fn main() -> ExitCode {
    let Command::Check { file, json, only } = Arguments::parse().command;
    let history = match read(&file) {
        Ok(history) => history,
        Err(reason) => return bad_input(&file, &reason),
    };
    let options = match only.is_empty() {
        true => CheckOptions::default(),
        false => CheckOptions {
            checks: only.into_iter().collect(),
        },
    };
    let report = check(&history, &options);
    let mut output = io::stdout().lock();
    let written = if json {
        serde_json::to_writer_pretty(&mut output, &report)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(output))
    } else {
        write!(output, "{report}")
    };
    match (written, report.verdict) {
        // Whoever closed our output does not want to read on; the verdict stands.
        (Err(error), _) if error.kind() != io::ErrorKind::BrokenPipe => {
            bad_input(Path::new("standard output"), &error.to_string())
        }
        (_, VerdictKind::Valid) => ExitCode::SUCCESS,
        (_, VerdictKind::Invalid) => ExitCode::from(1),
        (_, VerdictKind::Unknown) => ExitCode::from(3),
    }
}

/// The name of a check of logs: others would check nothing, and call it valid.
fn check_of_logs(name: &str) -> Result<Check, String> {
    let check: Check = name
        .parse()
        .map_err(|error: UnknownCheck| error.to_string())?;
    match Check::OF_LOGS.contains(&check) {
        true => Ok(check),
        false => Err(format!(
            "{check} is a check of objects, and this history is of logs"
        )),
    }
}

fn read(file: &Path) -> Result<History, String> {
    let input = File::open(file).map_err(|error| error.to_string())?;
    read_json(BufReader::new(input)).map_err(|error| error.to_string())
}

fn bad_input(file: &Path, reason: &str) -> ExitCode {
    // Nothing is left to say if standard error is closed too.
    let _ = writeln!(io::stderr(), "{}: {reason}", file.display());
    ExitCode::from(2)
}
