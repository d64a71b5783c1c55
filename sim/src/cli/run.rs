//! `run`: one seed.

use std::path::Path;
use std::time::Duration;

use hstore_reports::verdict::{Around, summary};
use hstore_sim::fresh_dir::FreshDir;
use hstore_sim::provenance::{REVISION, revision_note};
use hstore_sim::run::run as run_seed;
use hstore_sim::run_dir::{self, Verdict};
use hstore_sim::stopwatch::Stopwatch;
use serde::Serialize;

use super::args::RunArgs;
use super::output;

/// What `--json` prints: the verdict, and what is not the same every time.
#[derive(Serialize)]
struct Printed<'a> {
    #[serde(flatten)]
    verdict: &'a Verdict,
    wall_seconds: f64,
    judging_seconds: f64,
    directory: Option<&'a Path>,
    note: Option<&'a str>,
}

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<u8> {
    let settings = args.settings.settings();
    let directory = args.out.as_deref().map(FreshDir::stage).transpose()?;
    let stopwatch = Stopwatch::start();
    let artifacts = run_seed(&settings.request(args.seed, directory.is_some()));
    let wall = stopwatch.elapsed();
    let judging = artifacts.judging;
    let verdict = match directory {
        None => Verdict::new(artifacts.report, &settings),
        Some(directory) => {
            let verdict = run_dir::write(directory.path(), artifacts, &settings)?;
            directory.publish()?;
            verdict
        }
    };
    let asked = args.revision.as_deref();
    let note = asked.and_then(|asked| revision_note(asked, REVISION));
    if let Some(note) = &note {
        output::note(&format!("note: {note}"));
    }
    if args.json {
        output::print_json(&Printed {
            verdict: &verdict,
            wall_seconds: wall.as_secs_f64(),
            judging_seconds: judging.as_secs_f64(),
            directory: args.out.as_deref(),
            note: note.as_deref(),
        })?;
    } else {
        let reproduce = settings.reproduce(&output::program(), args.seed, REVISION);
        output::print(&text(
            &verdict,
            (wall, judging),
            &reproduce,
            args.out.as_deref(),
        )?)?;
    }
    Ok(verdict.report.outcome.exit_code())
}

/// The same summary as `hstore-reports` makes of the file.
fn text(
    verdict: &Verdict,
    (wall, judging): (Duration, Duration),
    reproduce: &str,
    directory: Option<&Path>,
) -> anyhow::Result<String> {
    let view = serde_json::from_value(serde_json::to_value(verdict)?)?;
    let around = Around {
        wall: Some(wall),
        judging: Some(judging),
        reproduce: Some(reproduce),
        directory,
    };
    Ok(summary(&view, &around))
}
