//! The command: what it takes, what it prints, and with which code it exits.

mod args;
mod check;
mod convert;
mod ending;
mod input;
mod job;
mod output;
mod progress;

use std::process::ExitCode;

use clap::Parser;

use args::{Arguments, Command};

pub(crate) fn main() -> ExitCode {
    let ending = match Arguments::parse().command {
        Command::Check(arguments) => check::check(&arguments),
        Command::Explain(arguments) => check::explain(&arguments),
        Command::Convert(arguments) => convert::convert(&arguments),
    };
    ending.into()
}
