//! `quorums`: seeds on many quorum systems.

use std::fmt::Write;

use hstore_reports::text::COLUMNS_MAX;
use hstore_sim::outcome::Outcome;
use hstore_sim::quorums::{Stop, Tour};
use hstore_sim::settings::Settings;

use super::args::QuorumsArgs;
use super::output;

pub(crate) fn quorums(args: &QuorumsArgs) -> anyhow::Result<u8> {
    let tour = Tour {
        random: args.random as usize,
        random_seed: args.random_seed,
        seeds: args.seeds,
        settings: Settings {
            profile: args.profile,
            engine: args.engine,
            ..Settings::default()
        },
        jobs: args.jobs.count(),
    };
    let progress = output::progress(args.seeds.count() * tour.systems().len() as u64);
    let mut failed = 0;
    let stops = tour.run(|line| {
        progress.inc(1);
        if line.outcome != Outcome::Passed {
            failed += 1;
            progress.set_message(format!("{failed} failed"));
        }
    });
    progress.finish_and_clear();
    let stops = stops?;
    if args.json {
        output::print_json(&stops)?;
    } else {
        output::print(&table(&stops))?;
    }
    let codes = stops.iter().filter_map(|it| it.failure.as_ref());
    Ok(codes.map(|it| it.0.exit_code()).min().unwrap_or(0))
}

/// A line for each system: how it went, then what it is. Under them the failures.
fn table(stops: &[Stop]) -> String {
    let mut text =
        String::from("passed  nodes  without  acked  least  epochs  recovered  holes  system\n");
    let mut write = |line: String| {
        let cut: String = line.chars().take(COLUMNS_MAX).collect();
        text += cut.trim_end();
        text += "\n";
    };
    for it in stops {
        write(format!(
            "{:>6}  {:>5}  {:>7}  {:>5.0}  {:>5}  {:>6.1}  {:>9.1}  {:>5.1}  {}: {}",
            format!("{}/{}", it.passed, it.runs),
            it.nodes,
            it.tolerates,
            it.acked,
            it.acked_min,
            it.epochs,
            it.recoveries,
            it.holes,
            it.name,
            it.quorums
        ));
    }
    let (runs, passed) = stops.iter().fold((0, 0), |(runs, passed), it| {
        (runs + it.runs, passed + it.passed)
    });
    let systems = stops.len();
    write(format!(
        "{passed} of {runs} runs on {systems} systems passed"
    ));
    for it in stops {
        if let Some((outcome, command)) = &it.failure {
            let _ = writeln!(text, "{outcome} {}\n  {command}", it.name);
        }
    }
    text
}
