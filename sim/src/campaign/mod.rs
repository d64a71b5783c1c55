//! Many seeds, one summary.
//!
//! Seeds are run on several threads; everything but the speed figures is made of their results in the
//! order of seeds, so it does not depend on how many threads there are. Nor does it depend on how often a
//! campaign with a directory was killed on its way: a seed that is done is read from the journal instead of
//! being run again, in its place in that order.
//!
//! | module | what it is |
//! |---|---|
//! | [`request`] | what a campaign is asked for |
//! | [`line`] | what is kept of every run |
//! | [`journal`] | the lines of those that are done |
//! | [`directory`] | the campaign directory |
//! | [`kept`] | which failures are kept whole |
//! | `totals` | what is added up over the runs |
//! | [`summary`] | what that comes to |
//! | [`merge`] | uniting what several machines found |
//! | [`error`] | why a campaign cannot be begun, go on, or be kept |

pub mod directory;
pub mod error;
pub mod journal;
pub mod kept;
pub mod line;
pub mod merge;
pub mod request;
pub mod summary;
mod totals;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hstore_reports::directory::PLAN_FILE;

use self::directory::CampaignDir;
use self::error::CampaignError;
use self::journal::Journal;
use self::kept::{KEPT_BYTES_MAX, Kept};
use self::line::{RunLine, Spent, micros};
use self::request::CampaignRequest;
use self::summary::Summary;
use self::totals::{Frame, Totals};
use crate::canary;
use crate::guide::{Attempt, for_each_guided};
use crate::ordered::for_each_in_order;
use crate::provenance::provenance;
use crate::run::{Alteration, RunArtifacts, RunRequest, draw};
use crate::settings::Settings;
use crate::stopwatch::Stopwatch;

/// Runs a campaign with `run_one`. If there is a directory to keep it in, it goes on where that stands, and
/// completes it. `observe` is called after each run that is made now, once it is kept, in the order of seeds.
/// When `called_off` is set, no further seed is begun; the directory is left to go on with then.
///
/// # Errors
/// If a file cannot be read or written.
pub fn campaign(
    request: &CampaignRequest,
    run_one: impl Fn(&RunRequest, &Alteration) -> (RunArtifacts, Vec<u32>) + Sync,
    directory: Option<&CampaignDir>,
    called_off: &AtomicBool,
    mut observe: impl FnMut(&RunLine),
) -> Result<Summary, CampaignError> {
    let journal = directory.map(|it| Journal::open(&it.runs_file()));
    let journal = journal.transpose()?;
    let clock = Clock {
        before: journal.as_ref().map_or(Duration::ZERO, Journal::used),
        stopwatch: Stopwatch::start(),
    };
    let stopped_short = AtomicBool::new(false);
    let seeds = request.shard.seeds(request.seeds).take_while(|&seed| {
        if called_off.load(Ordering::Relaxed) {
            stopped_short.store(true, Ordering::Relaxed);
            return false;
        }
        // What was begun belongs to the campaign, however much time has passed since.
        let begun = journal.as_ref().is_some_and(|it| it.was_begun(seed));
        begun || request.time.is_none_or(|time| clock.used() < time)
    });
    let run = |attempt: &Attempt, record_trace| {
        let alteration = Alteration {
            plan: attempt.plan.clone(),
            covered: request.guided,
        };
        let settings = &request.settings;
        let run = RunRequest {
            record_log: record_trace && request.log_failures,
            ..settings.request(attempt.cluster, record_trace)
        };
        run_one(&run, &alteration)
    };
    let work = |attempt: &Attempt| -> Result<(RunLine, bool), CampaignError> {
        if let Some(journal) = &journal
            && let Some(line) = journal.find(attempt.seed)?
        {
            return Ok((line, false));
        }
        let stopwatch = Stopwatch::start();
        let (artifacts, states) = run(attempt, false);
        let spent = Spent {
            wall_us: micros(stopwatch.elapsed()),
            judging_us: micros(artifacts.judging),
            campaign_us: micros(clock.used()),
        };
        let line = RunLine {
            seed: attempt.seed,
            cluster: attempt.plan.is_some().then_some(attempt.cluster),
            states,
            ..RunLine::new(&artifacts.report, Some(spent))
        };
        if let Some(journal) = &journal {
            journal.append(&line)?;
        }
        Ok((line, true))
    };
    let mut kept = directory.map(|it| Kept::new(it.path(), KEPT_BYTES_MAX));
    let mut totals = Totals::new();
    let take = |attempt: &Attempt, done: Result<(RunLine, bool), CampaignError>| {
        let (mut line, is_new) = done?;
        if let (Some(kept), Some(journal)) = (&mut kept, &journal) {
            let settings = Settings {
                plan: attempt.plan.is_some().then(|| PLAN_FILE.into()),
                ..request.settings.clone()
            };
            let amend = |line: &RunLine| journal.append(line);
            kept.failure(&mut line, &settings, || run(attempt, true).0, amend)?;
        }
        totals.add(&line);
        let states = std::mem::take(&mut line.states);
        if is_new {
            observe(&line);
        }
        Ok::<_, CampaignError>(states)
    };
    if request.guided {
        let draw = |seed| draw(&request.settings.request(seed, false));
        for_each_guided(seeds, request.jobs, draw, work, take)?;
    } else {
        let mut take = take;
        let plain = |seed| work(&Attempt::plain(seed));
        for_each_in_order(seeds, request.jobs, plain, |seed, done| {
            take(&Attempt::plain(seed), done).map(|_| ())
        })?;
    }
    let complete = !stopped_short.into_inner();
    let tried = clock.used();
    let canary = (request.canary && complete).then(|| {
        let plain = |request: &RunRequest| run_one(request, &Alteration::default()).0;
        canary::sing(request.seeds.first(), &request.settings, plain)
    });
    let frame = Frame {
        complete,
        wall: clock.used(),
        tried,
        canary,
        provenance: provenance(&request.settings),
    };
    let summary = totals.summary(request, frame);
    if let (Some(directory), Some(journal)) = (directory, &journal)
        && summary.complete
    {
        directory.complete(journal, &summary)?;
    }
    Ok(summary)
}

/// How long a campaign has taken, its parts before an interruption included.
struct Clock {
    before: Duration,
    stopwatch: Stopwatch,
}

impl Clock {
    fn used(&self) -> Duration {
        self.before + self.stopwatch.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::num::NonZeroUsize;
    use std::path::Path;

    use hstore_reports::directory::{RUNS_FILE, read_campaign, read_run};
    use hstore_reports::findability::Findability;

    use super::kept::{KEPT_OF_A_SIGNATURE_MAX, SAME_TRACE};
    use super::request::Asked;
    use super::summary::INCOMPLETE;
    use super::*;
    use crate::made_up;
    use crate::outcome::Outcome;
    use crate::seed_range::SeedRange;

    fn outcome_of(seed: u64) -> Outcome {
        match seed {
            50 => Outcome::Vacuous,
            51 => Outcome::Liveness,
            52..100 => Outcome::Inconclusive,
            _ => Outcome::Passed,
        }
    }

    /// A run whose end follows from its seed. Seed 53 goes otherwise if its trace is kept.
    fn run_one(request: &RunRequest, _: &Alteration) -> (RunArtifacts, Vec<u32>) {
        (artifacts(request), vec![request.seed as u32])
    }

    fn artifacts(request: &RunRequest) -> RunArtifacts {
        let seed = request.seed;
        let outcome = outcome_of(seed);
        let flips = seed == 53 && request.record_trace;
        let stuck = outcome == Outcome::Liveness;
        let violation = stuck.then(|| made_up::violation("liveness", "convergence"));
        let mut artifacts = made_up::run(request, outcome, violation);
        artifacts.report.trace_hash = format!("{:016x}", seed + 1000 * u64::from(flips));
        artifacts.report.trace_events = 1;
        artifacts.report.counts.appends_acked = seed;
        artifacts.report.virtual_us = 500_000;
        artifacts.trace = Vec::from_iter(request.record_trace.then(|| "{}".to_owned()));
        artifacts
    }

    fn request(first: u64, last: u64, jobs: usize) -> CampaignRequest {
        CampaignRequest::of_seeds(
            SeedRange::new(first, last).expect("not empty"),
            Settings::default(),
            NonZeroUsize::new(jobs).expect("not 0"),
        )
    }

    fn without_files(request: &CampaignRequest) -> Summary {
        campaign(request, run_one, None, &AtomicBool::new(false), |_| {}).expect("no files")
    }

    /// Goes on with the campaign at `place` until `observed` runs were made, and returns their seeds.
    fn go_on(request: &CampaignRequest, place: &Path, observed: usize) -> (Vec<u64>, Summary) {
        let directory = CampaignDir::open(place, &request.asked()).expect("a place");
        let called_off = AtomicBool::new(false);
        let mut seeds = Vec::new();
        let summary = campaign(request, run_one, Some(&directory), &called_off, |line| {
            seeds.push(line.seed);
            if seeds.len() == observed {
                called_off.store(true, Ordering::Relaxed);
            }
        });
        (seeds, summary.expect("written"))
    }

    #[test]
    fn what_passes_is_counted_and_averaged() {
        let summary = without_files(&request(1, 4, 2));
        assert_eq!((summary.runs, summary.passed, summary.failed), (4, 4, 0));
        assert_eq!(summary.exit_code(), 0);
        assert_eq!(summary.averages["acked_appends"], 2.5);
        assert!(!summary.averages.contains_key("appends_acked"));
        assert_eq!(summary.virtual_seconds, 2.0);
        assert!(summary.failures.is_empty());
        let slowest = summary.wall_ms_per_seed.expect("runs take time");
        assert!((1..=4).contains(&slowest.max_seed));
    }

    #[test]
    fn everything_but_passed_is_a_failure_and_the_lowest_code_counts() {
        let run = |first, last| without_files(&request(first, last, 2));
        let all = run(40, 59);
        assert_eq!((all.runs, all.passed, all.failed), (20, 10, 10));
        assert_eq!(all.exit_code(), Outcome::Inconclusive.exit_code());
        assert_eq!(run(40, 51).exit_code(), Outcome::Liveness.exit_code());
        assert_eq!(run(40, 50).exit_code(), Outcome::Vacuous.exit_code());
        // By what they have in common, the lowest seed first.
        let kinds: Vec<_> = all
            .failures
            .iter()
            .map(|it| (it.signature.outcome, it.count, it.seeds.clone()))
            .collect();
        let expected = [
            (Outcome::Vacuous, 1, vec![50]),
            (Outcome::Liveness, 1, vec![51]),
            (Outcome::Inconclusive, 8, (52..60).collect()),
        ];
        assert_eq!(kinds, expected);
        assert!(
            all.failures[0]
                .reproduce
                .starts_with("hstore-sim run --seed 50 --revision ")
        );
        let second = &all.failures[1].signature;
        assert_eq!(second.property, "convergence");
        assert_eq!(second.checker, "liveness");
        assert_eq!(all.failures[2].findability, Findability::of(8, 20));
    }

    #[test]
    fn a_shard_is_a_part_and_time_ends_a_campaign() {
        let mut part = request(1, 20, 2);
        part.shard = "2/3".parse().expect("a shard");
        let summary = without_files(&part);
        assert_eq!((summary.runs, summary.failed), (7, 0));
        // No seed is begun after that; the first is before it.
        let mut short = request(1, u64::MAX, 1);
        short.time = Some(Duration::from_nanos(1));
        let summary = without_files(&short);
        assert!(summary.complete);
        assert!(summary.runs <= 1);
        assert_eq!(summary.seeds.first(), 1);
    }

    #[test]
    fn the_number_of_jobs_changes_nothing_but_the_speed() {
        let run = |jobs| {
            let mut seen = Vec::new();
            let called_off = AtomicBool::new(false);
            let observe = |line: &RunLine| seen.push((line.seed, line.options_hash.clone()));
            let summary = campaign(&request(1, 80, jobs), run_one, None, &called_off, observe)
                .expect("no files");
            let failures: Vec<_> = summary.failures.into_iter().map(|it| it.seeds).collect();
            (seen, failures, summary.traces_hash, summary.averages)
        };
        let alone = run(1);
        assert_eq!(alone, run(3));
        assert!(alone.0.is_sorted_by_key(|(seed, _)| *seed));
        assert_ne!(alone.2, without_files(&request(2, 81, 1)).traces_hash);
    }

    #[test]
    fn the_first_failures_of_each_kind_are_kept_and_confirmed() {
        let room = tempfile::tempdir().expect("a directory");
        let place = room.path().join("campaign");
        let (_, summary) = go_on(&request(45, 99, 2), &place, usize::MAX);
        assert_eq!(summary.failed, 50);
        let kept = |seed: u64| place.join(format!("seed-{seed}"));
        // One is vacuous, one is stuck, one flips, the others are inconclusive.
        for seed in 50..=55 {
            let run = read_run(&kept(seed)).expect("a whole run directory");
            assert_eq!(run.verdict.seed, seed);
            assert_eq!(run.verdict.lines.map(|lines| lines.trace), Some(1));
        }
        assert_eq!([52, 54, 55].len(), KEPT_OF_A_SIGNATURE_MAX);
        assert!(!kept(49).exists() && !kept(56).exists());

        let lines = fs::read_to_string(place.join(RUNS_FILE)).expect("a file");
        assert_eq!(lines.lines().count(), 55);
        let view = read_campaign(&place).expect("a whole campaign directory");
        let counts: Vec<_> = view
            .failures
            .iter()
            .map(|it| (it.kind.outcome.as_str(), it.seeds[0], it.count))
            .collect();
        // Made again, seed 53 went otherwise.
        let expected = [
            ("vacuous", 50, 1),
            ("liveness", 51, 1),
            ("inconclusive", 52, 47),
            ("non-deterministic", 53, 1),
        ];
        assert_eq!(counts, expected);
        assert_eq!(view.failures[3].kind.property, SAME_TRACE);
        assert_eq!(summary.outcomes[&Outcome::NonDeterministic], 1);
    }

    #[test]
    fn the_same_is_kept_wherever_a_campaign_was_interrupted() {
        let again = |seed| artifacts(&Settings::default().request(seed, true));
        let lines = (50..60).map(|seed| {
            let failed = artifacts(&Settings::default().request(seed, false));
            RunLine::new(&failed.report, None)
        });
        let lines: Vec<RunLine> = lines.collect();
        let keep = |place: &Path, lines: &mut [RunLine]| {
            let mut kept = Kept::new(place, KEPT_BYTES_MAX);
            for line in lines {
                let seed = line.seed;
                kept.failure(line, &Settings::default(), || again(seed), |_| Ok(()))
                    .expect("written");
            }
            let entries = fs::read_dir(place).expect("there");
            let names = entries.map(|entry| entry.expect("an entry").file_name());
            names.collect::<BTreeSet<_>>()
        };
        let whole = tempfile::tempdir().expect("a directory");
        let expected = keep(whole.path(), &mut lines.clone());
        assert_eq!(expected.len(), 6);
        for cut in 0..lines.len() {
            let room = tempfile::tempdir().expect("a directory");
            let mut lines = lines.clone();
            keep(room.path(), &mut lines[..cut]);
            assert_eq!(keep(room.path(), &mut lines), expected, "cut at {cut}");
        }
    }

    #[test]
    fn no_more_is_kept_than_fits() {
        let room = tempfile::tempdir().expect("a directory");
        let settings = Settings::default();
        let mut kept = Kept::new(room.path(), 1);
        let failed = artifacts(&settings.request(50, false));
        let mut line = RunLine::new(&failed.report, None);
        kept.failure(&mut line, &settings, || failed, |_| Ok(()))
            .expect("written");
        assert_eq!(fs::read_dir(room.path()).expect("there").count(), 0);
    }

    /// The campaign directory, but for what it cost.
    fn found(place: &Path) -> (String, Vec<String>, String) {
        let lines = fs::read_to_string(place.join(RUNS_FILE)).expect("a file");
        let entries = fs::read_dir(place).expect("a directory");
        let mut names: Vec<String> = entries
            .map(|entry| entry.expect("an entry").file_name())
            .map(|name| name.into_string().expect("plain names"))
            .collect();
        names.sort();
        let view = read_campaign(place).expect("a whole campaign directory");
        (lines, names, view.traces_hash)
    }

    #[test]
    fn an_interrupted_campaign_goes_on_and_finds_the_same() {
        let room = tempfile::tempdir().expect("a directory");
        let (whole, parts) = (room.path().join("whole"), room.path().join("parts"));
        let request = request(40, 79, 2);
        let (all, _) = go_on(&request, &whole, usize::MAX);
        assert_eq!(all.len(), 40);
        let mut made = Vec::new();
        for _ in 0..100 {
            let (seeds, summary) = go_on(&request, &parts, 5);
            made.extend(seeds);
            if summary.complete {
                break;
            }
            assert_eq!(summary.exit_code() == INCOMPLETE, summary.failed == 0);
            read_campaign(&parts).expect_err("it is not complete");
        }
        // Each once.
        made.sort_unstable();
        assert_eq!(made, all);
        assert_eq!(found(&parts), found(&whole));
    }

    #[test]
    fn a_torn_line_is_dropped_and_its_seed_run_again() {
        let room = tempfile::tempdir().expect("a directory");
        let place = room.path().join("campaign");
        let request = request(1, 20, 1);
        go_on(&request, &place, 7);
        let runs = place.join(RUNS_FILE);
        let text = fs::read_to_string(&runs).expect("a file");
        let done = text.lines().count();
        // As a process leaves it that is killed while it writes.
        fs::write(&runs, &text[..text.len() - 10]).expect("written");
        let (seeds, summary) = go_on(&request, &place, usize::MAX);
        assert_eq!(seeds.len(), 20 - done + 1);
        assert_eq!(seeds[0], done as u64);
        assert!(summary.complete);
    }

    #[test]
    fn a_campaign_that_is_killed_at_its_last_steps_is_completed_and_not_run_again() {
        let room = tempfile::tempdir().expect("a directory");
        let place = room.path().join("campaign");
        let request = request(1, 20, 1);
        go_on(&request, &place, usize::MAX);
        let whole = found(&place);
        let file = |name| place.join(name);
        // The lines are in order, and the summary is written and has no name yet.
        fs::rename(file("summary.json"), file("summary.partial")).expect("there");
        let directory = CampaignDir::open(&place, &request.asked()).expect("a place");
        assert!(directory.is_complete());
        assert_eq!(found(&place), whole);
        drop(directory);
        // Neither has its name: what is written may be torn, and is made again of the lines as they were.
        fs::remove_file(file("summary.json")).expect("there");
        fs::write(file("summary.partial"), "{").expect("written");
        fs::copy(file(RUNS_FILE), file("runs.partial")).expect("there");
        let (seeds, summary) = go_on(&request, &place, usize::MAX);
        assert!(summary.complete && seeds.is_empty());
        assert_eq!(found(&place), whole);
    }

    #[test]
    fn a_damaged_line_is_named_with_its_place() {
        let room = tempfile::tempdir().expect("a directory");
        let place = room.path().join("campaign");
        let request = request(1, 20, 1);
        go_on(&request, &place, 3);
        let runs = place.join(RUNS_FILE);
        let text = fs::read_to_string(&runs).expect("a file");
        fs::write(&runs, text.replacen("\"seed\"", "\"sad\"", 1)).expect("written");
        let directory = CampaignDir::open(&place, &request.asked()).expect("a place");
        let error = campaign(
            &request,
            run_one,
            Some(&directory),
            &AtomicBool::new(false),
            |_| {},
        )
        .expect_err("it cannot be read");
        let said = error.to_string();
        assert!(
            said.contains("runs.jsonl:1:") && said.contains("unknown field `sad`")
                || said.contains("missing field `seed`"),
            "{said}"
        );
    }

    #[test]
    fn only_the_same_goes_on_and_one_process_at_a_time() {
        let room = tempfile::tempdir().expect("a directory");
        let place = room.path().join("campaign");
        let asked = request(1, 20, 1).asked();
        let held = CampaignDir::open(&place, &asked).expect("a free place");
        let refused = |asked: &Asked| {
            let error = CampaignDir::open(&place, asked).expect_err("it is refused");
            error.to_string()
        };
        assert!(refused(&asked).contains("another process works on this campaign"));
        drop(held);
        let said = refused(&request(1, 21, 1).asked());
        assert!(
            said.contains("begun with `--seeds 1..20 --canary off`, not with `--seeds 1..21"),
            "{said}"
        );
        let mut older = asked.clone();
        older.provenance.revision = "0123456789ab".to_owned();
        let said = refused(&older);
        assert!(said.contains("this is 0123456789ab"), "{said}");
        let mut other = asked.clone();
        other.settings = serde_json::json!({"profile": "another of that name"});
        assert!(refused(&other).contains("what its arguments stand for"));
        // How many threads run them is no part of it.
        CampaignDir::open(&place, &request(1, 20, 7).asked()).expect("the same");
    }

    /// What was under way when a process was killed belongs to the campaign, though time is over.
    #[test]
    fn seeds_under_way_are_made_up_for_when_time_is_over() {
        let room = tempfile::tempdir().expect("a directory");
        let place = room.path().join("campaign");
        let mut request = request(1, u64::MAX, 2);
        request.time = Some(Duration::from_secs(3600));
        let (mut made, _) = go_on(&request, &place, 10);
        let runs = place.join(RUNS_FILE);
        let text = fs::read_to_string(&runs).expect("a file");
        let last = made.last().copied().expect("ten");
        let lines: Vec<String> = text
            .lines()
            .filter(|line| !line.starts_with("{\"seed\":4,"))
            .map(|line| {
                let mut line: RunLine = serde_json::from_str(line).expect("a line");
                line.spent.as_mut().expect("kept").campaign_us = 3_600_000_000;
                serde_json::to_string(&line).expect("JSON") + "\n"
            })
            .collect();
        fs::write(&runs, lines.concat()).expect("written");
        let (again, summary) = go_on(&request, &place, usize::MAX);
        assert_eq!(again, [4]);
        assert!(summary.complete);
        assert_eq!(summary.wall_seconds.floor(), 3600.0);
        made.sort_unstable();
        assert_eq!((summary.runs, summary.seeds.last()), (last, last));
    }
}
