//! `hstore-reports`: what a run or a campaign left behind, in words.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hstore_reports::command_line::{BAD_INPUT, Parsed, sort_out};
use hstore_reports::damage::Damage;
use hstore_reports::directory::{Directory, read, read_campaign};
use hstore_reports::junit::junit;
use hstore_reports::markdown::markdown;
use hstore_reports::{campaign, verdict};

/// Shows what a run or a campaign of hstore-sim left in its directory.
#[derive(Debug, Parser)]
#[command(
    version,
    arg_required_else_help = false,
    subcommand_required = true,
    after_help = "Exit codes: 0 shown, 2 bad arguments or a missing or damaged file."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the summary of a run directory or of a campaign directory
    Show {
        /// The directory that `hstore-sim run --out` or `campaign --out` wrote
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print a complete campaign as JUnit XML
    Junit {
        /// The directory that `campaign --out` or `merge --out` wrote
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
    /// Print a complete campaign in Markdown
    Markdown {
        /// The directory that `campaign --out` or `merge --out` wrote
        #[arg(value_name = "DIR")]
        directory: PathBuf,
    },
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            return match sort_out(&error) {
                Parsed::Asked(text) => print(&text),
                Parsed::Wrong(line) => refuse(&line),
            };
        }
    };
    let told = match cli.command {
        Command::Show { directory } => show(&directory),
        Command::Junit { directory } => read_campaign(&directory).map(|it| junit(&it)),
        Command::Markdown { directory } => read_campaign(&directory).map(|it| markdown(&it)),
    };
    match told {
        Ok(text) => print(&text),
        Err(damage) => refuse(&format!("error: {damage}")),
    }
}

fn show(directory: &Path) -> Result<String, Damage> {
    Ok(match read(directory)? {
        Directory::Run(run) => {
            let around = verdict::Around {
                directory: Some(directory),
                ..verdict::Around::default()
            };
            verdict::summary(&run.verdict, &around)
        }
        Directory::Campaign(campaign) => {
            let around = campaign::Around {
                directory: Some(directory),
                ..campaign::Around::default()
            };
            campaign::summary(&campaign, &around)
        }
        Directory::Unfinished(unfinished) => unfinished.summary(directory),
    })
}

fn print(text: &str) -> ExitCode {
    match io::stdout().lock().write_all(text.as_bytes()) {
        // Who stopped reading has seen enough.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            refuse(&format!("error: standard output: {error}"))
        }
        _ => ExitCode::SUCCESS,
    }
}

fn refuse(line: &str) -> ExitCode {
    // With standard error gone there is nobody left to tell.
    let _ = writeln!(io::stderr(), "{line}");
    ExitCode::from(BAD_INPUT)
}
