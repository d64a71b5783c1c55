//! `summary.json`: what the seeds of a campaign found, and its summary for people.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::failures::{self, Failures};
use crate::provenance::Provenance;
use crate::text::{LINES_MAX, heading, labelled, seconds};

/// The part that is all.
const WHOLE: &str = "0/1";
/// The averages that say whether the runs meant anything come first.
const LEADING_AVERAGES: [&str; 4] = [
    "acked_appends",
    "leader_changes_with_appends_in_flight",
    "effective_faults",
    "crashes_with_unsynced_bytes",
];

/// What this crate reads of `summary.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Campaign {
    /// Whether everything that was asked for was done; if not, it was called off, or shards are missing.
    pub complete: bool,
    /// The seeds, up to the last that was run if time ended the campaign.
    pub seeds: Seeds,
    /// Which part of them was run: `0/1` is all.
    pub shard: String,
    /// What each seed was run with.
    pub settings: Settings,
    /// How many threads ran seeds.
    pub jobs: usize,
    /// Runs made.
    pub runs: u64,
    /// Runs that passed.
    pub passed: u64,
    /// All others.
    pub failed: u64,
    /// How many runs ended how.
    pub outcomes: BTreeMap<String, u64>,
    /// How long it took.
    pub wall_seconds: f64,
    /// How long all its runs took, one after the other.
    pub run_seconds: f64,
    /// Runs by second of wall time, all jobs together.
    pub seeds_per_second: f64,
    /// Virtual by wall time.
    pub sim_seconds_per_wall_second: f64,
    /// How much of the time of all runs went into judging their histories, from 0 to 1.
    pub judging_share: f64,
    /// The most memory the process had; absent where the system does not say.
    pub peak_rss_bytes: Option<u64>,
    /// The mean of each figure of a run.
    pub averages: BTreeMap<String, f64>,
    /// How long moves of logs kept appends waiting; absent if no log was moved.
    #[serde(default)]
    pub move_stalls: Option<MoveStalls>,
    /// Which probes were reached, and which are owed.
    #[serde(default)]
    pub probes: Option<Probes>,
    /// The planted bug that had to be noticed.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// The runs that failed, by what they have in common; the one with the lowest seed first.
    pub failures: Vec<Failures>,
    /// Failures of more kinds than are told apart.
    pub failures_of_other_kinds: u64,
    /// The hash over the trace hashes of all runs, in the order of seeds.
    pub traces_hash: String,
    /// Where the verdicts come from.
    pub provenance: Provenance,
}

/// The seeds of a campaign, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "they are the names in the file")]
pub struct Seeds {
    pub first: u64,
    pub last: u64,
}

/// What each seed of a campaign was run with.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Settings {
    /// The profile that seeds drew from.
    pub profile: String,
    /// The store under each node.
    pub engine: String,
    /// The planted bug that was on.
    pub mutant: Option<String>,
    /// Whether checks looked inside the cluster.
    pub white_box: bool,
}

/// How long moves of logs kept appends waiting, in milliseconds of virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct MoveStalls {
    /// Moves that took effect.
    pub count: u64,
    /// Half of them took no longer.
    pub p50_ms: f64,
    /// All but one in a hundred took no longer.
    pub p99_ms: f64,
    /// None took longer.
    pub max_ms: f64,
    /// The seed of the longest.
    pub max_seed: u64,
}

/// Which rare places runs reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Probes {
    /// In how many runs each was reached that was.
    pub runs: BTreeMap<String, u64>,
    /// Those that were not.
    pub never: Vec<String>,
    /// How many the profile requires.
    pub required: u64,
    /// The required ones that were not reached.
    pub missing: Vec<String>,
    /// Whether the campaign lasted so long that it owes them.
    pub owed: bool,
}

/// The planted bug that a campaign had to notice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Canary {
    /// The bug; absent if there was none to plant.
    pub mutant: Option<String>,
    /// Why there was none.
    pub why_not: Option<String>,
    /// Runs made with it.
    pub runs: u64,
    /// Of these, the runs that took the changed decision.
    pub reached: u64,
    /// The seed of the run in which it was noticed, and by whom.
    pub noticed: Option<(u64, String)>,
}

impl Campaign {
    /// Whether all was done, and nothing went wrong.
    #[must_use]
    pub fn is_passed(&self) -> bool {
        self.complete && self.failed == 0 && self.shortcomings().is_empty()
    }

    /// Why the campaign failed beside its runs.
    #[must_use]
    pub fn shortcomings(&self) -> Vec<String> {
        let mut all = Vec::new();
        if self.runs == 0 {
            all.push("there were none".to_owned());
        }
        if let Some(Canary {
            mutant: Some(mutant),
            noticed: None,
            ..
        }) = &self.canary
        {
            all.push(format!("nobody noticed the planted bug {mutant}"));
        }
        if let Some(probes) = self.probes.as_ref().filter(|it| it.owed)
            && !probes.missing.is_empty()
        {
            all.push(format!(
                "{} required probes not reached",
                probes.missing.len()
            ));
        }
        all
    }
}

/// What a summary says beyond the campaign, because only the caller knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// The command that makes the first failure again, if not the one in the file.
    pub reproduce: Option<&'a str>,
    /// Where the campaign directory is.
    pub directory: Option<&'a Path>,
}

/// A campaign on a screen: no more than [`LINES_MAX`] lines.
#[must_use]
pub fn summary(campaign: &Campaign, around: &Around<'_>) -> String {
    let mut lines = vec![heading(&first_line(campaign))];
    lines.extend(failures::lines(
        &campaign.failures,
        campaign.failures_of_other_kinds,
    ));
    if let Some(first) = campaign.failures.first() {
        let reproduce = around.reproduce.unwrap_or(&first.reproduce);
        lines.extend(labelled("reproduce", reproduce, 3));
    }
    if let Some(canary) = &campaign.canary {
        lines.extend(labelled("canary", &told(canary), 2));
    }
    if let Some(probes) = &campaign.probes {
        lines.extend(labelled("probes", &reached(probes), 4));
    }
    let settings = settings_line(&campaign.settings);
    lines.extend(labelled("settings", &settings, 2));
    if let Some(stalls) = &campaign.move_stalls {
        lines.extend(labelled("moves", &moves(stalls, &campaign.averages), 2));
    }
    lines.extend(labelled("averages", &averages(&campaign.averages), 6));
    lines.extend(labelled("speed", &speed(campaign), 2));
    lines.extend(labelled("traces", &campaign.traces_hash, 1));
    lines.extend(labelled("build", &campaign.provenance.to_string(), 1));
    if let Some(directory) = around.directory {
        lines.extend(labelled("directory", &directory.display().to_string(), 2));
    }
    lines.truncate(LINES_MAX);
    lines.join("\n") + "\n"
}

/// How fast it was, on one line.
pub(crate) fn speed(campaign: &Campaign) -> String {
    let memory = campaign.peak_rss_bytes.map_or_else(
        || "unknown".to_owned(),
        |bytes| format!("{:.1} MB", bytes as f64 / 1e6),
    );
    format!(
        "{} seeds a second, {} virtual seconds a second; took {}, {:.1} % of it to judge histories; \
         peak memory {memory}",
        figure(campaign.seeds_per_second),
        figure(campaign.sim_seconds_per_wall_second),
        seconds(campaign.wall_seconds),
        campaign.judging_share * 100.0
    )
}

/// What it comes to, on one line.
pub(crate) fn first_line(campaign: &Campaign) -> String {
    let Seeds { first, last } = campaign.seeds;
    let runs = campaign.runs;
    let part = match campaign.shard.as_str() {
        WHOLE => String::new(),
        shard => format!(", shard {shard}"),
    };
    let seeds = format!("seeds {first}..{last}{part}");
    let shortcomings = campaign.shortcomings();
    if !campaign.complete {
        let failed = campaign.failed;
        return format!("INCOMPLETE {seeds}: {runs} runs are over, {failed} of them failed");
    }
    if campaign.failed == 0 && !shortcomings.is_empty() {
        let why = shortcomings.join(", ");
        format!("FAILED {seeds}: all {runs} runs passed, but {why}")
    } else if campaign.failed == 0 {
        format!("PASSED {seeds}: all {runs} runs, every check made and held")
    } else {
        let failed = campaign.failed;
        format!("FAILED {seeds}: {failed} of {runs} runs")
    }
}

/// What came of the canary.
pub(crate) fn told(canary: &Canary) -> String {
    let Some(mutant) = &canary.mutant else {
        let why_not = canary.why_not.as_deref().unwrap_or("it was turned off");
        return format!("none: {why_not}");
    };
    let (runs, reached) = (canary.runs, canary.reached);
    match &canary.noticed {
        Some((seed, checker)) => format!(
            "{mutant}: noticed by {checker} in run {runs} with it, seed {seed}; {reached} of these took the changed decision"
        ),
        None => format!(
            "{mutant}: NOT NOTICED in {runs} runs, of which {reached} took the changed decision"
        ),
    }
}

/// How many probes were reached, and which were not.
pub(crate) fn reached(probes: &Probes) -> String {
    let (count, all) = (probes.runs.len(), probes.runs.len() + probes.never.len());
    let mut text = format!("{count} of {all} reached");
    if probes.required > 0 {
        let owed = if probes.owed { "" } else { ", not owed yet" };
        text += &format!(
            "; {} of {} required ones{owed}",
            probes.required - probes.missing.len() as u64,
            probes.required
        );
    }
    let not = if probes.missing.is_empty() {
        &probes.never
    } else {
        &probes.missing
    };
    if !not.is_empty() {
        text += &format!("; not: {}", not.join(", "));
    }
    text
}

/// What each run was made with, on one line.
pub(crate) fn settings_line(settings: &Settings) -> String {
    let mutant = settings.mutant.as_deref().unwrap_or("none");
    let white_box = if settings.white_box { "on" } else { "off" };
    format!(
        "profile {}, engine {}, mutant {mutant}, white-box checks {white_box}",
        settings.profile, settings.engine
    )
}

fn moves(stalls: &MoveStalls, averages: &BTreeMap<String, f64>) -> String {
    let mean = |name: &str| figure(averages.get(name).copied().unwrap_or(0.0));
    format!(
        "a run has {} of leader, {} of nodeset, {} of quorums under load; appends waited {} (half), {} (99%), \
         {} (all; seed {}) or less for {} moves",
        mean("leader_moves_under_load"),
        mean("nodeset_changes_under_load"),
        mean("quorum_changes_under_load"),
        seconds(stalls.p50_ms / 1e3),
        seconds(stalls.p99_ms / 1e3),
        seconds(stalls.max_ms / 1e3),
        stalls.max_seed,
        stalls.count
    )
}

fn averages(averages: &BTreeMap<String, f64>) -> String {
    let leading = LEADING_AVERAGES
        .iter()
        .filter_map(|name| averages.get_key_value(*name));
    let others = averages
        .iter()
        .filter(|(name, _)| !LEADING_AVERAGES.contains(&name.as_str()));
    let all: Vec<String> = leading
        .chain(others)
        .map(|(name, mean)| format!("{name} {}", figure(*mean)))
        .collect();
    all.join(", ")
}

pub(crate) fn figure(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::findability::Findability;
    use crate::text::COLUMNS_MAX;

    pub(crate) fn campaign(failures: &[Value], mean: f64) -> Campaign {
        let failed: u64 = failures.iter().filter_map(|it| it["count"].as_u64()).sum();
        let averages: BTreeMap<String, f64> = (0..25)
            .map(|n| (format!("a_figure_with_a_long_name_{n}"), mean))
            .chain([("effective_faults".to_owned(), 3.0)])
            .collect();
        serde_json::from_value(json!({
            "complete": true, "seeds": {"first": 1, "last": 2000}, "shard": "0/1",
            "outcomes": {}, "jobs": 2, "run_seconds": 79.0, "failures_of_other_kinds": 0,
            "settings": {"profile": "default", "engine": "model", "mutant": null, "white_box": true},
            "runs": 2000, "passed": 2000 - failed, "failed": failed,
            "wall_seconds": 40.0, "seeds_per_second": 50.0, "sim_seconds_per_wall_second": 1234.5,
            "judging_share": 0.021,
            "peak_rss_bytes": null, "averages": averages, "failures": failures,
            "traces_hash": "0123456789abcdef",
            "provenance": {"revision": "unknown", "lock_hash": "1", "options_hash": "2"},
            "a_field_of_tomorrow": 1,
        }))
        .expect("a campaign")
    }

    fn assert_fits(text: &str) {
        assert!(text.lines().count() <= LINES_MAX, "{text}");
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(COLUMNS_MAX), "{text}");
    }

    #[test]
    fn a_campaign_that_passed_says_how_fast_it_was() {
        let text = summary(&campaign(&[], 1.5), &Around::default());
        assert_fits(&text);
        assert!(
            text.starts_with("PASSED seeds 1..2000: all 2000 runs"),
            "{text}"
        );
        assert!(
            text.contains("50.00 seeds a second, 1234 virtual seconds a second"),
            "{text}"
        );
        assert!(text.contains("peak memory unknown"), "{text}");
        assert!(
            text.contains("averages    effective_faults 3.00, a_figure"),
            "{text}"
        );
        assert!(!text.contains("reproduce"), "{text}");
    }

    #[test]
    fn a_shard_and_an_interrupted_campaign_are_called_so() {
        let mut some = campaign(&[], 1.0);
        some.shard = "1/4".to_owned();
        let text = summary(&some, &Around::default());
        assert!(
            text.starts_with("PASSED seeds 1..2000, shard 1/4: "),
            "{text}"
        );
        some.complete = false;
        let text = summary(&some, &Around::default());
        assert!(
            text.starts_with("INCOMPLETE seeds 1..2000, shard 1/4: 2000 runs are over"),
            "{text}"
        );
    }

    #[test]
    fn failures_are_grouped_and_the_first_one_can_be_made_again() {
        let failure = |count: u64, property: &str| {
            json!({
                "outcome": "safety", "property": property, "checker": "durability", "count": count,
                "seeds": (0..count.min(20)).collect::<Vec<_>>(),
                "reproduce": "hstore-sim run --seed 0", "findability": Findability::of(count, 2000),
            })
        };
        let mut all = vec![failure(300, "lost-write")];
        all.extend((0..5).map(|n| failure(2, &format!("kind-{n}"))));
        let text = summary(&campaign(&all, 1e15), &Around::default());
        assert_fits(&text);
        assert!(
            text.starts_with("FAILED seeds 1..2000: 310 of 2000 runs\n"),
            "{text}"
        );
        let group = "300 x SAFETY lost-write by durability: seeds 0, 1, 2, 3, 4, 5, 6, 7, ...\n";
        assert!(text.contains(group), "{text}");
        let cure =
            "15 % of runs (at least 14 %); believe a fix after 19 clean runs, be sure after 21\n";
        assert!(text.contains(cure), "{text}");
        assert!(text.contains("and 3 more kinds of failure"), "{text}");
        assert!(
            text.contains("  reproduce   hstore-sim run --seed 0\n"),
            "{text}"
        );
    }
}
