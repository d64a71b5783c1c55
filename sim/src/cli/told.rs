//! Telling what a campaign found: to people, to programs, to what shows test results or pages.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use hstore_reports::campaign::{Around, Campaign, summary};
use hstore_reports::junit::junit;
use hstore_reports::markdown::markdown;
use serde_json::Value;

use super::args::ToldArgs;
use super::output;

/// Finds out before anything is run whether the files can be written.
pub(crate) fn check(args: &ToldArgs) -> anyhow::Result<()> {
    for file in [&args.junit, &args.markdown].into_iter().flatten() {
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    Ok(())
}

/// Tells a summary.
pub(crate) fn tell(args: &ToldArgs, found: &Value, directory: Option<&Path>) -> anyhow::Result<()> {
    let view: Campaign = serde_json::from_value(found.clone())?;
    if let Some(file) = &args.junit {
        fs::write(file, junit(&view))
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if let Some(file) = &args.markdown {
        append(file, &markdown(&view))
            .with_context(|| format!("{} cannot be written", file.display()))?;
    }
    if args.json {
        output::print_json(found)
    } else if args.json_lines {
        output::print(&format!("{found}\n"))
    } else {
        let first = view.failures.first();
        // As this program was called.
        let reproduce = first.and_then(|it| {
            let arguments = it.reproduce.strip_prefix(hstore_sim::run_dir::PROGRAM)?;
            Some(output::program() + arguments)
        });
        let around = Around {
            reproduce: reproduce.as_deref(),
            directory,
        };
        output::print(&summary(&view, &around))
    }
}

fn append(file: &Path, text: &str) -> std::io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    file.write_all(text.as_bytes())
}
