//! `jepsen-lite`: judges recorded histories.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
