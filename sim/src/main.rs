//! `hstore-sim`: runs seeds of the simulated cluster and says what they found.

mod cli;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
