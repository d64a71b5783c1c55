//! `determinism`: each seed twice.

use std::fmt::Write;

use anyhow::Context;
use hstore_reports::text::{heading, labelled};
use hstore_sim::determinism::{Comparison, Difference, Twins};
use hstore_sim::ordered::for_each_in_order;
use hstore_sim::outcome::Outcome;
use hstore_sim::provenance::provenance;
use hstore_sim::seed_range::SeedRange;
use hstore_sim::settings::{Settings, shell_line};
use serde::Serialize;

use super::args::DeterminismArgs;
use super::output;

/// Of more seeds that differ, the first differing event is not looked for.
const LOCATED_MAX: usize = 3;
/// An event is shown on so many lines.
const EVENT_LINES_MAX: usize = 4;

/// What was found; printed by `--json`.
#[derive(Serialize)]
struct Found {
    outcome: Outcome,
    seeds: SeedRange,
    settings: Settings,
    runs: u64,
    agreed: u64,
    differed: u64,
    /// Seeds whose first run did not pass. Whether it should have is not asked here.
    not_passed: u64,
    differences: Vec<Comparison>,
    provenance: hstore_reports::provenance::Provenance,
}

pub(crate) fn determinism(args: &DeterminismArgs) -> anyhow::Result<u8> {
    let settings = args.settings.settings();
    let twins = Twins {
        program: std::env::current_exe().context("this program cannot find itself")?,
        settings: settings.clone(),
    };
    let mut found = Found {
        outcome: Outcome::Passed,
        seeds: args.seeds,
        runs: 0,
        agreed: 0,
        differed: 0,
        not_passed: 0,
        differences: Vec::new(),
        provenance: provenance(&settings),
        settings,
    };
    let progress = output::progress(args.seeds.count());
    let work = |seed| twins.compare(seed);
    let result = for_each_in_order(args.seeds.iter(), args.jobs.count(), work, |_, compared| {
        let compared = compared?;
        progress.inc(1);
        add(&mut found, compared, &twins)
    });
    progress.finish_and_clear();
    result?;
    if args.json {
        output::print_json(&found)?;
    } else {
        output::print(&text(&found))?;
    }
    Ok(found.outcome.exit_code())
}

fn add(found: &mut Found, mut compared: Comparison, twins: &Twins) -> anyhow::Result<()> {
    found.runs += 1;
    found.not_passed += u64::from(compared.outcome != Outcome::Passed);
    let Some(difference) = &mut compared.difference else {
        found.agreed += 1;
        return Ok(());
    };
    found.outcome = Outcome::NonDeterministic;
    found.differed += 1;
    if found.differences.len() < LOCATED_MAX {
        difference.event = twins.locate(compared.seed)?;
    }
    found.differences.push(compared);
    Ok(())
}

fn text(found: &Found) -> String {
    let seeds = found.seeds;
    let mut text = if found.differences.is_empty() {
        format!(
            "PASSED seeds {seeds}: {} of {} agreed",
            found.agreed, found.runs
        )
    } else {
        format!(
            "{} seeds {seeds}: {} of {} differed",
            found.outcome, found.differed, found.runs
        )
    };
    text += " when run twice, each time in a fresh process\n";
    if found.not_passed > 0 {
        let _ = writeln!(
            text,
            "  {} did not pass; whether they should is for `campaign` to say",
            found.not_passed
        );
    }
    for compared in found.differences.iter().take(LOCATED_MAX) {
        if let Some(difference) = &compared.difference {
            text += &one_difference(compared.seed, difference, found);
        }
    }
    let hidden = found.differences.len().saturating_sub(LOCATED_MAX);
    if hidden > 0 {
        let _ = writeln!(text, "and {hidden} more seeds");
    }
    text
}

fn one_difference(seed: u64, difference: &Difference, found: &Found) -> String {
    let (first_hash, second_hash) = (&difference.first_hash, &difference.second_hash);
    let mut lines = vec![heading(&format!(
        "seed {seed}: trace {first_hash} and then {second_hash}"
    ))];
    match &difference.event {
        None => lines.extend(labelled(
            "event",
            "made again with their traces kept, the runs agreed: where they part is unknown",
            2,
        )),
        Some(event) => {
            let place = format!("the traces part at event {}", event.line);
            lines.extend(labelled("event", &place, 1));
            for (label, side) in [("first", &event.first), ("second", &event.second)] {
                let side = side.as_deref().unwrap_or("the trace ended before");
                lines.extend(labelled(label, side, EVENT_LINES_MAX));
            }
        }
    }
    let mut again = vec![output::program(), "determinism".to_owned()];
    again.extend(["--seeds".to_owned(), format!("{seed}..{seed}")]);
    again.extend(found.settings.arguments());
    lines.extend(labelled("reproduce", &shell_line(&again), 3));
    lines.join("\n") + "\n"
}
