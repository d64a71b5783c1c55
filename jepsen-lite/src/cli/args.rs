//! The arguments.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jepsen_lite::check::{Check, UnknownCheck};
use jepsen_lite::formats::{Format, Suggestion, parse_edn};
use jepsen_lite::object::Value;
use jepsen_lite::search::Budget;

/// Judges recorded histories: of logs, registers, maps, sets, queues, stacks, locks, counters.
#[derive(Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Judge histories.
    ///
    /// Exits with 0 if all of them are valid, 1 if one is not, 2 if one cannot be read or judged, 3 if one
    /// does not say enough. Of several, 2 comes before 1, 1 before 3, 3 before 0.
    Check(CheckArguments),
    /// Judge a history, and tell each anomaly in full: what cannot be, why not, what would have been legal,
    /// and the smallest part that shows it. Exits as `check` does.
    Explain(ExplainArguments),
    /// Write a history in another format.
    ///
    /// Exits with 0 if all of it was written, else with 2.
    Convert(ConvertArguments),
}

/// How to read and to judge.
#[derive(Args, Clone)]
pub(crate) struct JudgeArguments {
    /// What the object is: register, cas-register, multi-register, mutex, kv, set, queue, stack, log, s2,
    /// counter, set-full, total-queue or unique-ids. If it is not said, the format or the functions tell.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<Suggestion>,
    /// The format. If it is not said, the content tells, and what it tells is printed.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// The value at first, as EDN: `0`, `nil`, `{:x 0 :y 0}`. If it is not said, it is 0 for registers, but
    /// nil in the logs of Jepsen's etcd tests.
    #[arg(long, value_name = "VALUE", value_parser = edn)]
    pub(crate) init: Option<Value>,
    /// Of logs, check only this: linearizability, durability, order, prefix-agreement, monotonicity,
    /// subscriptions, trim-safety or tiering. May be repeated.
    #[arg(long, value_name = "CHECK", value_parser = check_of_logs)]
    pub(crate) only: Vec<Check>,
    /// Do not judge key by key: search for one order of all operations.
    #[arg(long)]
    pub(crate) whole: bool,
    /// How many steps the search for an order may take, for each key; then the verdict is unknown.
    #[arg(long, value_name = "STEPS", default_value_t = Budget::default().steps)]
    pub(crate) steps: u64,
}

#[derive(Args)]
pub(crate) struct CheckArguments {
    /// The histories; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) judge: JudgeArguments,
    /// Print one JSON object a file, each on one line.
    #[arg(long)]
    pub(crate) json: bool,
    /// Write the report as one page that needs nothing else, too. For one history only.
    #[arg(long, value_name = "OUT")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ExplainArguments {
    /// The history; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) judge: JudgeArguments,
    /// Write the report as one page that needs nothing else, too.
    #[arg(long, value_name = "OUT")]
    pub(crate) html: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct ConvertArguments {
    /// The history; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The format that it is in. If it is not said, the content tells.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// The format to write.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) to: Format,
    /// Where to write it; standard output if it is not said.
    #[arg(long, short, value_name = "OUT")]
    pub(crate) output: Option<PathBuf>,
}

fn edn(text: &str) -> Result<Value, String> {
    parse_edn(text).map_err(|error| format!("it is not one value of EDN: {error}"))
}

/// The name of a check of logs: others would check nothing, and call it valid.
fn check_of_logs(name: &str) -> Result<Check, String> {
    let check: Check = name
        .parse()
        .map_err(|error: UnknownCheck| error.to_string())?;
    match Check::OF_LOGS.contains(&check) {
        true => Ok(check),
        false => Err(format!("{check} is no check of logs; give it to --model")),
    }
}
