//! `hstore-sim`: runs seeds of the simulated cluster and says what they found.

mod cli;

use std::process::ExitCode;

/// A run makes and drops millions of small values, most of them messages on their way.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::main()
}
