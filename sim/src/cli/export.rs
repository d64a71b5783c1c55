//! `export`: a trace for another tool.

use std::fs::File;
use std::io::Write;

use anyhow::Context;
use hstore_sim::events;
use hstore_sim::export::perfetto::perfetto;
use hstore_sim::export::shiviz::shiviz;

use super::args::{ExportArgs, Tool};

pub(crate) fn export(args: &ExportArgs) -> anyhow::Result<u8> {
    let trace = events::read(&args.trace)?;
    let text = match args.to {
        Tool::Perfetto => perfetto(&trace),
        Tool::Shiviz => shiviz(&trace),
    };
    File::create_new(&args.out)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| args.out.display().to_string())?;
    Ok(0)
}
