//! `mutants`: how many seeds it takes to find each planted bug.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use hstore_sim::hunt::{Catch, Findings, Hunt, Status, hunt};
use hstore_sim::mutants::{MUTANTS, Mutant};
use hstore_sim::provenance::{REVISION, provenance};
use hstore_sim::run::run_with;
use hstore_sim::settings::{Settings, shell_line};
use hstore_sim::stopwatch::Stopwatch;
use serde::Serialize;

use super::args::MutantsArgs;
use super::output;

/// Not all were found by a checker of their row.
const NOT_ALL: u8 = 1;

/// Set by Ctrl-C.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    all_found: bool,
    found: usize,
    hunted: usize,
    settings: Settings,
    budget_seeds: u64,
    guided: bool,
    jobs: std::num::NonZeroUsize,
    wall_seconds: f64,
    mutants: &'a [Findings],
    provenance: hstore_reports::provenance::Provenance,
}

pub(crate) fn mutants(args: &MutantsArgs) -> anyhow::Result<u8> {
    let request = Hunt {
        settings: args.settings(),
        budget_seeds: args.budget_seeds,
        jobs: args.jobs.count(),
        guided: args.guided,
    };
    let only: BTreeSet<&str> = args.only.iter().map(|it| it.name).collect();
    let wanted: Vec<&'static Mutant> = MUTANTS
        .iter()
        .filter(|it| only.is_empty() || only.contains(it.name))
        .collect();
    ctrlc::set_handler(|| INTERRUPTED.store(true, Ordering::Relaxed))
        .context("Ctrl-C cannot be listened for")?;
    let stopwatch = Stopwatch::start();
    let mut all = Vec::new();
    for mutant in wanted {
        let progress = output::progress(request.budget_seeds);
        progress.set_message(mutant.name);
        let findings = hunt(mutant, &request, run_with, |_| {
            progress.inc(1);
            !INTERRUPTED.load(Ordering::Relaxed)
        });
        progress.finish_and_clear();
        all.push(findings);
        if INTERRUPTED.load(Ordering::Relaxed) {
            break;
        }
    }
    let found = all.iter().filter(|it| it.status == Status::Found).count();
    let hunted = if only.is_empty() {
        MUTANTS.len()
    } else {
        only.len()
    };
    if args.json {
        output::print_json(&Printed {
            all_found: found == hunted,
            found,
            hunted,
            settings: request.settings.clone(),
            budget_seeds: request.budget_seeds,
            guided: request.guided,
            jobs: request.jobs,
            wall_seconds: stopwatch.elapsed().as_secs_f64(),
            mutants: &all,
            provenance: provenance(&request.settings),
        })?;
    } else {
        output::print(&text(&all, hunted, &request))?;
    }
    Ok(if found == hunted { 0 } else { NOT_ALL })
}

fn text(all: &[Findings], hunted: usize, request: &Hunt) -> String {
    let found = all.iter().filter(|it| it.status == Status::Found).count();
    let mut text = format!(
        "{found} of {hunted} planted bugs found, within {} seeds of profile {}{}\n\n",
        request.budget_seeds,
        request.settings.profile.name,
        if request.guided { ", guided" } else { "" }
    );
    let names = all.iter().map(|it| it.name.len());
    let width = names.max().unwrap_or(0).max("name".len());
    let _ = writeln!(
        text,
        "{:>3}  {:width$}  {:13}  {:>6}  {:>8}  {:>7}  {:8}  caught by",
        "#", "name", "", "seeds", "seconds", "reached", "expected",
    );
    for it in all {
        let expected: Vec<String> = it.expected.iter().map(ToString::to_string).collect();
        let caught = match (&it.found, it.others.first()) {
            (Some(catch), _) | (None, Some(catch)) => who(catch),
            (None, None) => "-".to_owned(),
        };
        let _ = writeln!(
            text,
            "{:>3}  {:width$}  {:13}  {:>6}  {:>8.1}  {:>7}  {:8}  {caught}",
            it.number,
            it.name,
            it.status.name(),
            it.seeds,
            it.wall_seconds,
            it.reached_seeds,
            expected.join(" "),
        );
    }
    for it in all {
        if let Some(catch) = it.found.as_ref().or(it.others.first()) {
            let again = again(it, catch, request);
            let _ = write!(text, "\n{}: {again}", it.name);
        }
    }
    text + "\n"
}

/// The command that makes the run again; if it had a plan of its own, the hunt that came to it.
fn again(it: &Findings, catch: &Catch, request: &Hunt) -> String {
    if request.guided {
        let mut words = vec![output::program(), "mutants".to_owned()];
        words.extend([
            "--only".to_owned(),
            it.name.to_owned(),
            "--guided".to_owned(),
        ]);
        words.extend([
            "--profile".to_owned(),
            request.settings.profile.name.to_owned(),
        ]);
        words.extend(["--budget-seeds".to_owned(), it.seeds.to_string()]);
        return shell_line(&words);
    }
    let settings = Settings {
        mutant: Mutant::by_name(it.name),
        white_box: catch.white_box,
        ..request.settings.clone()
    };
    settings.reproduce(&output::program(), catch.seed, REVISION)
}

fn who(catch: &Catch) -> String {
    let families: Vec<String> = catch.families.iter().map(ToString::to_string).collect();
    let families = if families.is_empty() {
        "-".to_owned()
    } else {
        families.join(" ")
    };
    let from = if catch.white_box {
        ""
    } else {
        ", from outside"
    };
    format!("{families} {}: {}{from}", catch.checker, catch.property)
}
