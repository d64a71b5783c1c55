//! The front door: arguments in, text or JSON out, an exit code.
//!
//! Nothing is judged here. Standard output has what was asked for and nothing else; notes, progress and
//! errors go to standard error.

mod args;
mod campaign;
mod determinism;
mod diff;
mod explain;
mod export;
mod list;
mod look;
mod merge;
mod mutants;
mod output;
mod overdue;
mod profile;
mod quorums;
mod replay;
mod run;
mod shrink;
mod told;

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use hstore_reports::command_line::{BAD_INPUT, Parsed, sort_out};
use hstore_sim::log::VirtualTime;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use self::args::{Cli, Command};

/// The variable that says what to log.
const LOG_VARIABLE: &str = "HSTORE_LOG";

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => match sort_out(&error) {
            Parsed::Asked(text) => return finish(output::print(&text).map(|()| 0)),
            Parsed::Wrong(line) => return refuse(&line),
        },
    };
    finish(start_log().and_then(|()| match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Shrink(args) => shrink::shrink(&args),
        Command::Explain(args) => explain::explain(&args),
        Command::Campaign(args) => campaign::campaign(&args),
        Command::Merge(args) => merge::merge(&args),
        Command::Determinism(args) => determinism::determinism(&args),
        Command::Quorums(args) => quorums::quorums(&args),
        Command::Mutants(args) => mutants::mutants(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Export(args) => export::export(&args),
        Command::List(args) => list::list(&args),
        Command::Profile(command) => profile::profile(&command),
    }))
}

fn start_log() -> anyhow::Result<()> {
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::WARN.into())
        .with_env_var(LOG_VARIABLE)
        .from_env()
        .map_err(|error| anyhow::anyhow!("{LOG_VARIABLE}: {error}"))?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // A run has a time of its own.
        .with_timer(VirtualTime)
        .init();
    Ok(())
}

fn finish(result: anyhow::Result<u8>) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => refuse(&format!("error: {error:#}")),
    }
}

fn refuse(line: &str) -> ExitCode {
    output::note(line);
    ExitCode::from(BAD_INPUT)
}
