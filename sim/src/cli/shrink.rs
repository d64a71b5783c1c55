//! `shrink`: the least that still fails.

use std::path::{Path, PathBuf};

use hstore_reports::text::{heading, labelled, seconds};
use hstore_sim::capsule::Capsule;
use hstore_sim::run_dir::write_capsule;
use hstore_sim::settings::shell_line;
use hstore_sim::shrink::items;
use hstore_sim::shrink::{SEEDS, Shrunk, Size, shrink as shrink_capsule};
use hstore_sim::stopwatch::Stopwatch;
use serde::Serialize;

use super::args::ShrinkArgs;
use super::output;

/// So many parts of the plan are told.
const PARTS_MAX: usize = 12;

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    before: Size,
    after: Size,
    plan_is_minimal: bool,
    runs: u64,
    wall_seconds: f64,
    capsule: &'a Path,
}

pub(crate) fn shrink(args: &ShrinkArgs) -> anyhow::Result<u8> {
    let capsule = Capsule::read(&args.capsule)?;
    let out = args.out.clone().unwrap_or_else(|| beside(&args.capsule));
    anyhow::ensure!(
        !out.exists(),
        "{}: there is a file already: nothing is ever overwritten",
        out.display()
    );
    let progress = output::spinner();
    let stopwatch = Stopwatch::start();
    let shrunk = shrink_capsule(&capsule, args.jobs.count(), |it| {
        progress.set_position(it.runs);
        let size = it.size;
        progress.set_message(format!(
            "{}: {} faults, {} moves, {} operations, {} nodes",
            it.stage, size.faults, size.moves, size.operations, size.nodes
        ));
    });
    progress.finish_and_clear();
    let shrunk = shrunk.map_err(|error| anyhow::anyhow!("{}: {error}", args.capsule.display()))?;
    let wall_seconds = stopwatch.elapsed().as_secs_f64();
    write_capsule(&out, &shrunk.capsule)?;
    if args.json {
        output::print_json(&Printed {
            before: shrunk.before,
            after: shrunk.after,
            plan_is_minimal: true,
            runs: shrunk.runs,
            wall_seconds,
            capsule: &out,
        })?;
    } else {
        output::print(&text(&shrunk, wall_seconds, &out))?;
    }
    Ok(0)
}

/// `seed-7.json` becomes `seed-7.shrunk.json`.
fn beside(capsule: &Path) -> PathBuf {
    capsule.with_extension("shrunk.json")
}

fn text(shrunk: &Shrunk, wall_seconds: f64, out: &Path) -> String {
    let (before, after) = (shrunk.before, shrunk.after);
    let signature = shrunk.capsule.signature.as_ref();
    let signature = signature.expect("what was shrunk fails").to_string();
    let mut lines = vec![heading(&format!("SHRUNK: {signature}"))];
    let faults = format!(
        "{} of {}, of which {} had an effect",
        after.faults, before.faults, before.effective_faults
    );
    lines.extend(labelled("faults", &faults, 1));
    let of = |after: usize, before: usize| format!("{after} of {before}");
    if before.moves > 0 {
        lines.extend(labelled("moves", &of(after.moves, before.moves), 1));
    }
    lines.extend(labelled(
        "operations",
        &of(after.operations, before.operations),
        1,
    ));
    let cluster = format!(
        "{} nodes, {} logs, {} clients, of {}, {}, {}",
        after.nodes, after.logs, after.clients, before.nodes, before.logs, before.clients
    );
    lines.extend(labelled("cluster", &cluster, 1));
    let parts = items::of(&shrunk.capsule.plan);
    for part in parts.iter().take(PARTS_MAX) {
        lines.extend(labelled("plan", &part.to_string(), 2));
    }
    if parts.len() > PARTS_MAX {
        let more = format!("and {} more", parts.len() - PARTS_MAX);
        lines.extend(labelled("plan", &more, 1));
    }
    let minimal = match parts.len() {
        0 => "it fails without any fault or move".to_owned(),
        _ => format!(
            "without any single one of these it does not fail so: each was left out, with {SEEDS} seeds of chance"
        ),
    };
    lines.extend(labelled("minimal", &minimal, 2));
    let effort = format!("{} runs in {}", shrunk.runs, seconds(wall_seconds));
    lines.extend(labelled("effort", &effort, 1));
    for command in ["replay", "explain"] {
        let words = [
            output::program(),
            command.to_owned(),
            out.display().to_string(),
        ];
        lines.extend(labelled(command, &shell_line(&words), 2));
    }
    lines.join("\n") + "\n"
}
