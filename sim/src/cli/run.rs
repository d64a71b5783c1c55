//! `run`: one seed.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use hstore_reports::verdict::{Around, summary};
use hstore_sim::capsule::Capsule;
use hstore_sim::fresh_dir::FreshDir;
use hstore_sim::plan::FaultPlan;
use hstore_sim::provenance::{REVISION, revision_note};
use hstore_sim::run::{Course, RunRequest, run_course};
use hstore_sim::run_dir::{self, Verdict, write_capsule};
use hstore_sim::settings::Settings;
use hstore_sim::stopwatch::Stopwatch;
use serde::Serialize;

use super::args::RunArgs;
use super::{look, output};

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
    let settings = Settings {
        plan: args.plan.clone(),
        ..args.settings.settings()
    };
    let request = RunRequest {
        record_log: args.log.is_some(),
        ..settings.request(args.seed, args.out.is_some())
    };
    let mut course = request.draw();
    if let Some(file) = &args.plan {
        course.plan = read_plan(file, &course)?;
    }
    if let Some(until) = args.until {
        return look::look(course, request.view(), until, args.json);
    }
    let directory = args.out.as_deref().map(FreshDir::stage).transpose()?;
    let stopwatch = Stopwatch::start();
    let artifacts = run_course(course, request.view());
    let wall = stopwatch.elapsed();
    let judging = artifacts.judging;
    if let (Some(path), Some(log)) = (&args.log, &artifacts.log) {
        File::create_new(path)
            .and_then(|mut file| file.write_all(log.as_bytes()))
            .with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &args.capsule {
        write_capsule(path, &Capsule::of(&artifacts, settings.stop_at_violation))?;
    }
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

/// The plan of a file, if it is one for what the seed draws.
fn read_plan(file: &Path, course: &Course) -> anyhow::Result<FaultPlan> {
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(name)?;
    let plan: FaultPlan = serde_json::from_str(&text).with_context(name)?;
    plan.check(&course.options)
        .map_err(|what| anyhow::anyhow!("{}: {what}", name()))?;
    Ok(plan)
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
