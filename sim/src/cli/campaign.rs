//! `campaign`: many seeds.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use clap::Parser;
use hstore_reports::directory::{SUMMARY_FILE, read_campaign};
use hstore_sim::campaign::campaign as run_campaign;
use hstore_sim::campaign::directory::CampaignDir;
use hstore_sim::campaign::line::RunLine;
use hstore_sim::campaign::request::CampaignRequest;
use hstore_sim::campaign::summary::{INCOMPLETE, exit_code};
use hstore_sim::mutants::MUTANTS;
use hstore_sim::outcome::Outcome;
use hstore_sim::provenance::REVISION;
use hstore_sim::run::{Alteration, RunRequest, run_with};
use hstore_sim::settings::Settings;
use indicatif::ProgressBar;

use super::args::{CampaignArgs, Cli, Command};
use super::overdue::Overdue;
use super::{output, told};

/// Set by Ctrl-C, and when the system asks the process to end.
static CALLED_OFF: AtomicBool = AtomicBool::new(false);

pub(crate) fn campaign(args: &CampaignArgs) -> anyhow::Result<u8> {
    let (request, place) = asked(args)?;
    told::check(&args.told)?;
    let (seeds, shards) = (request.seeds.count(), request.shard.count());
    if seeds < shards {
        bail!("{seeds} seeds are too few for {shards} shards: some would run nothing, and pass");
    }
    if request.guided && place.is_none() {
        bail!(
            "--guided makes plans up, and keeps those that fail in a campaign directory: add --out DIR"
        );
    }
    let directory = place
        .as_deref()
        .map(|place| CampaignDir::open(place, &request.asked()))
        .transpose()?;
    if let Some(directory) = directory.as_ref().filter(|it| it.is_complete()) {
        return already_complete(args, directory.path());
    }
    listen();
    let progress = progress(&request);
    let mut failed = 0;
    let mut wrote = Ok(());
    let overdue = Overdue::default();
    let run = |run: &RunRequest, alteration: &Alteration| {
        let told = if alteration.plan.is_some() {
            "with a plan that its campaign made up".to_owned()
        } else {
            let planted = run.mutant.as_deref();
            let mutant = MUTANTS.iter().find(|it| Some(it.name) == planted);
            let settings = Settings {
                mutant,
                ..request.settings.clone()
            };
            settings.reproduce(&output::program(), run.seed, REVISION)
        };
        overdue.run(run.seed, told, || run_with(run, alteration))
    };
    let observe = |line: &RunLine| {
        progress.inc(1);
        if line.outcome != Outcome::Passed {
            failed += 1;
            progress.set_message(format!("{failed} failed"));
        }
        if args.told.json_lines && wrote.is_ok() {
            wrote = tell(line);
        }
    };
    let found =
        overdue.watch(|| run_campaign(&request, run, directory.as_ref(), &CALLED_OFF, observe));
    progress.finish_and_clear();
    let found = found?;
    wrote?;
    let value = serde_json::to_value(&found)?;
    told::tell(&args.told, &value, place.as_deref())?;
    if !found.complete
        && let Some(place) = &place
    {
        output::note(&format!(
            "interrupted: `{} campaign --resume {}` goes on",
            output::program(),
            place.display()
        ));
    }
    Ok(found.exit_code())
}

/// What to run, and where to keep it.
fn asked(args: &CampaignArgs) -> anyhow::Result<(CampaignRequest, Option<PathBuf>)> {
    let Some(place) = &args.resume else {
        return Ok((args.request(), args.out.clone()));
    };
    let asked = CampaignDir::asked(place)?;
    let request = parse(asked.arguments).with_context(|| place.display().to_string())?;
    let jobs = args.jobs.count();
    let log_failures = args.log_failures;
    let request = CampaignRequest {
        jobs,
        log_failures,
        ..request
    };
    Ok((request, Some(place.clone())))
}

/// What these arguments of `campaign`, which a campaign was begun with, ask for.
pub(crate) fn parse(arguments: Vec<String>) -> anyhow::Result<CampaignRequest> {
    let words = ["hstore-sim".to_owned(), "campaign".to_owned()];
    match Cli::try_parse_from(words.into_iter().chain(arguments)) {
        Ok(cli) => match cli.command {
            Command::Campaign(again) => Ok(again.request()),
            _ => bail!("what it was begun for is no campaign"),
        },
        Err(error) => {
            let first = error.to_string();
            let first = first.lines().next().unwrap_or_default();
            bail!("this build cannot do what it was begun for: {first}")
        }
    }
}

/// Asked once to end, a campaign ends what is under way; asked twice, the process ends.
fn listen() {
    let listening = ctrlc::set_handler(|| {
        if CALLED_OFF.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(INCOMPLETE));
        }
        output::note("interrupted: runs under way are ended; once more ends at once");
    });
    if let Err(error) = listening {
        tracing::warn!(%error, "Ctrl-C is not listened for");
    }
}

fn progress(request: &CampaignRequest) -> ProgressBar {
    match request.time {
        None => {
            let seeds = request.seeds.count() / request.shard.count();
            output::progress(seeds)
        }
        Some(_) => output::endless_progress(),
    }
}

fn tell(line: &RunLine) -> anyhow::Result<()> {
    let text = serde_json::to_string(line).context("a line is no JSON")?;
    output::print(&(text + "\n"))
}

/// Tells again what was found; nothing is run.
fn already_complete(args: &CampaignArgs, place: &Path) -> anyhow::Result<u8> {
    // Whole, or it would not be told.
    let view = read_campaign(place)?;
    let file = place.join(SUMMARY_FILE);
    let text = std::fs::read(&file).with_context(|| file.display().to_string())?;
    let value = serde_json::from_slice(&text).with_context(|| file.display().to_string())?;
    output::note(&format!("{} is complete: nothing is run", place.display()));
    told::tell(&args.told, &value, Some(place))?;
    let outcomes = view.outcomes.keys();
    let mut outcomes: Vec<Outcome> = outcomes
        .map(|name| serde_json::from_value(name.as_str().into()))
        .collect::<Result<_, _>>()
        .with_context(|| file.display().to_string())?;
    if !view.shortcomings().is_empty() {
        outcomes.push(Outcome::Vacuous);
    }
    Ok(exit_code(outcomes, true))
}
