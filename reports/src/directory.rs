//! Reading a run directory or a campaign directory, whole: a file that is missing, cut off or
//! changed so that it cannot be read is found here, not when it is needed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use jepsen_lite::history::{History, read_json};
use serde::de::{DeserializeOwned, IgnoredAny};

use crate::campaign::Campaign;
use crate::damage::Damage;
use crate::failures::Kind;
use crate::unfinished::{RunLine, Unfinished};
use crate::verdict::Verdict;

/// What the seed drew.
pub const OPTIONS_FILE: &str = "options.json";
/// The faults that were planned.
pub const PLAN_FILE: &str = "plan.json";
/// What clients asked and were answered.
pub const HISTORY_FILE: &str = "history.jsonl";
/// Every event.
pub const TRACE_FILE: &str = "trace.jsonl";
/// The outcome and all figures. A directory with this file is a run directory.
pub const VERDICT_FILE: &str = "verdict.json";
/// All that it takes to make the run again, to be edited and shrunk; only of a run that failed.
pub const CAPSULE_FILE: &str = "capsule.json";
/// What the run logged; only if that was asked for.
pub const LOG_FILE: &str = "log.txt";
/// What clients saw that cannot be, drawn; only where they did.
pub const PAGE_FILE: &str = "report.html";
/// What a campaign was asked for. A directory with this file is a campaign directory.
pub const CAMPAIGN_FILE: &str = "campaign.json";
/// The figures of a campaign. A campaign directory with this file is complete.
pub const SUMMARY_FILE: &str = "summary.json";
/// A line for each run of a campaign.
pub const RUNS_FILE: &str = "runs.jsonl";

/// What a directory holds.
#[derive(Debug)]
pub enum Directory {
    /// One run.
    Run(Box<RunDirectory>),
    /// Many.
    Campaign(Box<Campaign>),
    /// Some of many: the campaign goes on, or was interrupted.
    Unfinished(Box<Unfinished>),
}

/// A run directory.
#[derive(Debug)]
pub struct RunDirectory {
    /// How the run ended.
    pub verdict: Verdict,
    /// What clients asked and were answered.
    pub history: History,
}

/// Reads the directory at `path`, whichever kind it is.
///
/// # Errors
/// Says which file is missing or damaged, and where.
pub fn read(path: &Path) -> Result<Directory, Damage> {
    // Asked for its type, a path that is missing or out of reach says why.
    let metadata = path
        .metadata()
        .map_err(|error| Damage::whole(path, error))?;
    if !metadata.is_dir() {
        return Err(Damage::whole(path, "is not a directory"));
    }
    if path.join(VERDICT_FILE).exists() {
        return Ok(Directory::Run(Box::new(read_run(path)?)));
    }
    if path.join(SUMMARY_FILE).exists() {
        return Ok(Directory::Campaign(Box::new(read_campaign(path)?)));
    }
    if path.join(CAMPAIGN_FILE).exists() {
        return Ok(Directory::Unfinished(Box::new(read_unfinished(path)?)));
    }
    let reason = format!(
        "is neither a run directory ({VERDICT_FILE}) nor a campaign directory ({CAMPAIGN_FILE})"
    );
    Err(Damage::whole(path, reason))
}

/// Reads a run directory.
///
/// # Errors
/// Says which file is missing or damaged, and where.
pub fn read_run(path: &Path) -> Result<RunDirectory, Damage> {
    let verdict: Verdict = read_value(&path.join(VERDICT_FILE))?;
    read_value::<IgnoredAny>(&path.join(OPTIONS_FILE))?;
    read_value::<IgnoredAny>(&path.join(PLAN_FILE))?;
    let history_file = path.join(HISTORY_FILE);
    let history =
        read_json(open(&history_file)?).map_err(|error| Damage::history(&history_file, &error))?;
    let trace_file = path.join(TRACE_FILE);
    let trace_lines = check_lines(&trace_file)?;
    if let Some(lines) = verdict.lines {
        check_count(&history_file, history.events().len() as u64, lines.history)?;
        check_count(&trace_file, trace_lines, lines.trace)?;
    }
    Ok(RunDirectory { verdict, history })
}

/// Reads the directory of a complete campaign; not the run directories in it.
///
/// # Errors
/// Says which file is missing or damaged, and where; also if the campaign is not complete.
pub fn read_campaign(path: &Path) -> Result<Campaign, Damage> {
    if path.join(CAMPAIGN_FILE).exists() && !path.join(SUMMARY_FILE).exists() {
        let reason = format!(
            "is the directory of a campaign that is not finished: `hstore-sim campaign --resume {}` goes on \
             with it",
            path.display()
        );
        return Err(Damage::whole(path, reason));
    }
    let campaign: Campaign = read_value(&path.join(SUMMARY_FILE))?;
    let runs_file = path.join(RUNS_FILE);
    check_count(&runs_file, check_lines(&runs_file)?, campaign.runs)?;
    Ok(campaign)
}

/// Reads what there is of a campaign that is not complete. Its last line may be torn.
fn read_unfinished(path: &Path) -> Result<Unfinished, Damage> {
    let asked = read_value(&path.join(CAMPAIGN_FILE))?;
    let runs_file = path.join(RUNS_FILE);
    // A failure that went otherwise when it was made again has two lines: the later counts.
    let mut runs: BTreeMap<u64, Option<Kind>> = BTreeMap::new();
    let mut lines = 0;
    let mut file = open(&runs_file)?;
    let mut text = Vec::new();
    loop {
        text.clear();
        file.read_until(b'\n', &mut text)
            .map_err(|error| Damage::whole(&runs_file, error))?;
        if text.pop() != Some(b'\n') {
            return Ok(Unfinished::new(asked, runs));
        }
        let line: RunLine = serde_json::from_slice(&text)
            .map_err(|error| Damage::json(&runs_file, lines, &error))?;
        lines += 1;
        runs.insert(line.seed, line.signature);
    }
}

fn open(path: &Path) -> Result<BufReader<File>, Damage> {
    let file = File::open(path).map_err(|error| Damage::whole(path, error))?;
    Ok(BufReader::new(file))
}

fn read_value<T: DeserializeOwned>(path: &Path) -> Result<T, Damage> {
    let text = std::fs::read(path).map_err(|error| Damage::whole(path, error))?;
    serde_json::from_slice(&text).map_err(|error| Damage::json(path, 0, &error))
}

/// Checks that each line is a JSON value and returns how many there are.
fn check_lines(path: &Path) -> Result<u64, Damage> {
    let mut lines = 0;
    for line in open(path)?.split(b'\n') {
        let line = line.map_err(|error| Damage::whole(path, error))?;
        serde_json::from_slice::<IgnoredAny>(&line)
            .map_err(|error| Damage::json(path, lines, &error))?;
        lines += 1;
    }
    Ok(lines)
}

fn check_count(path: &Path, found: u64, expected: u64) -> Result<(), Damage> {
    if found == expected {
        return Ok(());
    }
    Err(Damage {
        path: path.to_owned(),
        place: Some((found + 1, 1)),
        reason: format!("the file has {found} lines where its run wrote {expected}"),
    })
}
