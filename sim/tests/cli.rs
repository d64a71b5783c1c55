//! The real binary: its arguments, its streams, its exit codes, its directories.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hstore_reports::directory::{Directory, read, read_run};
use hstore_reports::text::{COLUMNS_MAX, LINES_MAX};
use hstore_sim::fresh_dir::FreshDir;
use hstore_sim::mutants::MUTANTS;
use hstore_sim::profile::PROFILES;
use hstore_sim::provenance::REVISION;
use serde_json::Value;
use tempfile::TempDir;

/// The planted bug that every run of the white-box checks notices soon.
const MUTANT: &str = "ack-before-fsync";

fn room() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// Runs the binary in `directory`.
fn hstore_sim<S: AsRef<OsStr>>(directory: &Path, arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hstore-sim"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("HSTORE_LOG")
        .output()
        .expect("the binary runs")
}

/// Runs the binary with arguments without spaces in them.
fn call(directory: &Path, arguments: &str) -> Output {
    hstore_sim(directory, arguments.split(' '))
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("no signal")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    let text = stdout(output);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// All files below `directory`, with their content.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else {
                let content = fs::read(&path).expect("a file");
                let name = path.strip_prefix(directory).expect("below it").to_owned();
                files.push((name, content));
            }
        }
    }
    files.sort();
    files
}

fn assert_refused(output: &Output, why: &str) {
    let said = stderr(output);
    assert_eq!(code(output), 2, "{why}: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("error: "), "{said}");
    assert!(said.contains(why), "expected {why:?} in {said:?}");
    assert_eq!(stdout(output), "");
}

#[test]
fn bad_arguments_get_one_line_and_leave_nothing_behind() {
    let room = room();
    for (arguments, why) in [
        ("", "unrecognized subcommand ''"),
        ("walk", "unrecognized subcommand 'walk'"),
        ("run", "--seed <N>"),
        ("run --seed", "--seed <N>"),
        ("run --seed x", "invalid digit"),
        ("run --seed -1", "-1"),
        ("run --seed 18446744073709551616", "18446744073709551616"),
        ("run --seed 1 --seed 2", "cannot be used multiple times"),
        (
            "run --seed 1 --profile cahos",
            "did you mean chaos? there are: default, quick",
        ),
        (
            "run --seed 1 --profile mine.toml",
            "mine.toml: cannot be read: No such file",
        ),
        ("profile check", "<NAME|FILE>"),
        ("profile show storm", "there are: default, quick"),
        ("run --seed 1 --mutant ack", "there are: ack-before"),
        (
            "run --seed 1 --engine rust",
            "possible values: rocksdb, model",
        ),
        ("run --seed 1 --white-box maybe", "possible values: on, off"),
        (
            "run --seed 1 --quorums a*",
            "column 3: found the end, expected a node",
        ),
        (
            "run --seed 1 --quorums write:a;seal:b",
            "the write quorum {n0} and the seal quorum {n1} do not meet",
        ),
        ("quorums --seeds 1..2 --random x", "--random <N>"),
        ("run --seed 1 --frobnicate", "--frobnicate"),
        ("run --seed 1 extra", "extra"),
        ("run --seed 1 --out ..", "does not name a directory"),
        ("campaign", "--seeds <A..B>"),
        ("campaign --seeds 5", "expected A..B"),
        ("campaign --seeds 5..1", "no seed from 5 to 1"),
        ("campaign --seeds 1..=5", "expected A..B"),
        ("campaign --seeds a..5", "\"a\" is not a seed"),
        ("campaign --time 10 parsecs", "parsecs"),
        ("campaign --time 10", "such as 90s, 10m or 1h 30m"),
        ("campaign --time 0s", "no time at all"),
        ("campaign --seeds 1..5 --shard 4/4", "the last is 3/4"),
        ("campaign --seeds 1..5 --shard 1", "expected I/N"),
        (
            "campaign --resume nowhere",
            "nowhere/campaign.json: No such file",
        ),
        (
            "campaign --resume nowhere --seeds 1..5",
            "cannot be used with '--seeds <A..B>'",
        ),
        (
            "campaign --seeds 1..5 --json --json-lines",
            "cannot be used with",
        ),
        (
            "campaign --seeds 1..5 --junit no/where.xml",
            "no/where.xml cannot be written",
        ),
        ("merge", "<DIR>..."),
        ("merge nowhere", "nowhere/campaign.json: No such file"),
        ("campaign --seeds 1..5 --jobs 0", "--jobs <N>"),
        ("campaign --seeds 1..5 --jobs 99999", "--jobs <N>"),
        ("determinism --seeds 9", "expected A..B"),
        ("list", "<WHAT>"),
        (
            "list seeds",
            "profiles, faults, invariants, mutants, probes",
        ),
    ] {
        assert_refused(&call(room.path(), arguments), why);
    }
    assert_refused(&hstore_sim(room.path(), [""; 0]), "requires a subcommand");
    let no_text = OsString::from_vec(vec![b'1', 0xff]);
    let arguments = [OsStr::new("run"), OsStr::new("--seed"), &no_text];
    assert_refused(&hstore_sim(room.path(), arguments), "UTF-8");
    let broken = ["run", "--seed", "1", "--profile", "a\nb"];
    assert_refused(
        &hstore_sim(room.path(), broken),
        "there are: default, quick",
    );
    assert_eq!(files(room.path()), []);
}

#[test]
fn a_bad_log_filter_is_bad_input() {
    let output = Command::new(env!("CARGO_BIN_EXE_hstore-sim"))
        .args(["list", "mutants"])
        .env("HSTORE_LOG", "hstore=loud")
        .output()
        .expect("the binary runs");
    assert_refused(&output, "HSTORE_LOG");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused_before_anything_is_run() {
    let room = room();
    fs::write(room.path().join("file"), "mine").expect("written");
    fs::create_dir(room.path().join("full")).expect("made");
    fs::write(room.path().join("full/verdict.json"), "mine").expect("written");
    let before = files(room.path());
    for command in ["run --seed 1", "campaign --seeds 1..2"] {
        for (out, why) in [
            ("file", "file cannot be written"),
            ("file/below", "cannot be written"),
            ("full", "full is not empty"),
            ("/proc/nowhere/run", "/proc/nowhere cannot be written"),
        ] {
            for json in ["", " --json"] {
                let output = call(room.path(), &format!("{command} --out {out}{json}"));
                assert_refused(&output, why);
            }
        }
    }
    assert_eq!(files(room.path()), before);
}

#[test]
fn help_tells_the_exit_codes_and_version_the_version() {
    let room = room();
    for arguments in ["--help", "run --help", "campaign -h", "determinism --help"] {
        let output = call(room.path(), arguments);
        assert_eq!(code(&output), 0);
        let text = stdout(&output);
        for line in [
            "0  passed",
            "2  bad input",
            "6  non-deterministic",
            "7  vacuous",
        ] {
            assert!(text.contains(line), "{arguments}: {text}");
        }
        assert_eq!(stderr(&output), "");
    }
    assert!(stdout(&call(room.path(), "--version")).starts_with("hstore-sim "));
}

#[test]
fn lists_name_what_there_is() {
    let room = room();
    let names = |what: &str| -> Vec<String> {
        let output = call(room.path(), &format!("list {what}"));
        assert_eq!(code(&output), 0);
        let text = stdout(&output);
        let first_word = |line: &str| line.split(' ').next().expect("a name").to_owned();
        text.lines().map(first_word).collect()
    };
    let profiles: Vec<_> = PROFILES.iter().map(|it| it.name.clone()).collect();
    assert_eq!(names("profiles"), profiles);
    let planted: Vec<_> = MUTANTS.iter().map(|mutant| mutant.name).collect();
    assert_eq!(names("mutants"), planted);
    assert!(names("faults").contains(&"crashes".to_owned()));
    assert!(names("probes").contains(&"recovery.fourth-attempt".to_owned()));
    assert!(names("invariants").contains(&"acked-is-durable".to_owned()));
}

#[test]
fn a_profile_of_ones_own_is_checked_shown_and_run() {
    let room = room();
    let text = "about = \"three nodes\"\n[topology]\nnodes = 3\nmetadata_nodes = 3\n";
    fs::write(room.path().join("mine.toml"), text).expect("written");
    let checked = call(room.path(), "profile check mine.toml");
    assert_eq!(code(&checked), 0, "{}", stderr(&checked));
    let said = "mine.toml is good, extends default: three nodes\n";
    assert!(stdout(&checked).starts_with(said), "{}", stdout(&checked));

    let shown = call(room.path(), "profile show mine.toml");
    let shown = stdout(&shown);
    assert!(
        shown.contains("# nodes in the cluster\nnodes = 3\n"),
        "{shown}"
    );
    assert!(shown.contains("crashes = { from = 2, to = 4 }"), "{shown}");

    let run = "run --seed 7 --engine model --profile mine.toml --json";
    let verdict = json(&call(room.path(), run));
    assert_eq!(verdict["options"]["profile"], "mine.toml");
    assert_eq!(
        verdict["options"]["locations"].as_array().map(Vec::len),
        Some(3)
    );
    let reproduce = verdict["reproduce"].as_str().expect("a command");
    assert!(reproduce.contains("--profile mine.toml"), "{reproduce}");
    let again = json(&call(room.path(), run));
    assert_eq!(again["trace_hash"], verdict["trace_hash"]);

    fs::write(room.path().join("mine.toml"), "[topology]\nnode = 3\n").expect("written");
    for command in ["profile check mine.toml", run] {
        let why = "mine.toml:2:1: there is no knob of `topology` `node`: did you mean `nodes`?";
        assert_refused(&call(room.path(), command), why);
    }
}

#[test]
fn planted_bugs_are_hunted_and_it_is_said_who_found_them() {
    let room = room();
    let output = call(
        room.path(),
        "mutants --only ack-before-fsync --only mutate-off-by-one --budget-seeds 20 --json",
    );
    assert_eq!(code(&output), 0, "{}", stdout(&output));
    let found = json(&output);
    assert_eq!(found["all_found"], true);
    let first = &found["mutants"][0];
    assert_eq!(first["name"], "ack-before-fsync");
    assert_eq!(first["status"], "found");
    assert_eq!(first["found"]["seed"], first["seeds"]);
    assert!(first["reached_seeds"].as_u64() >= Some(1));
    let families = first["found"]["families"].as_array();
    assert!(families.is_some_and(|it| !it.is_empty()));

    // Without faults nothing is lost: the decision is taken, and nobody can tell.
    let output = call(
        room.path(),
        "mutants --only ack-before-fsync --budget-seeds 2 --profile calm --white-box off",
    );
    assert_eq!(code(&output), 1);
    let text = stdout(&output);
    assert!(text.starts_with("0 of 1 planted bugs found"), "{text}");
    assert!(text.contains("SURVIVED"), "{text}");
}

#[test]
fn a_run_says_what_happened_on_one_screen() {
    let room = room();
    let output = call(room.path(), "run --seed 1");
    let text = stdout(&output);
    assert_eq!(code(&output), 0, "{text}");
    assert!(text.starts_with("PASSED seed 1: "), "{text}");
    for said in [
        "epochs", "crashes", "acked", "failed", "unknown", "records", "judged", "virtual", "wall",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    assert!(text.contains(REVISION), "{text}");
    assert!(text.lines().count() <= LINES_MAX, "{text}");
    assert!(
        text.lines().all(|line| line.chars().count() <= COLUMNS_MAX),
        "{text}"
    );
    assert_eq!(stderr(&output), "");
    assert_eq!(files(room.path()), []);
}

#[test]
fn the_same_seed_gives_the_same_files_and_they_can_be_read_back() {
    let room = room();
    let verdicts = ["a", "b/below"].map(|out| {
        let output = call(room.path(), &format!("run --seed 3 --json --out {out}"));
        assert_eq!(code(&output), 0);
        assert_eq!(stderr(&output), "");
        json(&output)
    });
    assert_eq!(verdicts[0]["trace_hash"], verdicts[1]["trace_hash"]);
    assert_eq!(verdicts[0]["directory"], "a");
    let (first, second) = (room.path().join("a"), room.path().join("b/below"));
    assert_eq!(files(&first), files(&second));
    let names: Vec<PathBuf> = files(&first).into_iter().map(|(name, _)| name).collect();
    let expected = [
        "history.jsonl",
        "options.json",
        "plan.json",
        "trace.jsonl",
        "verdict.json",
    ];
    assert_eq!(names, expected.map(PathBuf::from));

    let run = read_run(&first).expect("a whole run directory");
    assert_eq!(
        Value::from(run.verdict.trace_hash),
        verdicts[0]["trace_hash"]
    );
    assert!(run.history.len() >= 300);
    // Kept or not, the trace has the same hash; another seed has another.
    let plain = json(&call(room.path(), "run --seed 3 --json"));
    assert_eq!(plain["trace_hash"], verdicts[0]["trace_hash"]);
    assert_eq!(plain["directory"], Value::Null);
    let other = json(&call(room.path(), "run --seed 4 --json"));
    assert_ne!(plain["trace_hash"], other["trace_hash"]);
    for field in ["revision", "lock_hash", "options_hash"] {
        assert!(plain["provenance"][field].is_string(), "{plain}");
    }
    assert_eq!(
        plain["provenance"]["lock_hash"],
        other["provenance"]["lock_hash"]
    );
    assert_ne!(
        plain["provenance"]["options_hash"],
        other["provenance"]["options_hash"]
    );
}

#[test]
fn another_revision_is_told_and_no_obstacle() {
    let room = room();
    let output = call(
        room.path(),
        "run --seed 1 --profile calm --revision 0123456789ab --json",
    );
    let said = stderr(&output);
    assert!(
        said.starts_with("note: ") && said.contains("not 0123456789ab"),
        "{said}"
    );
    assert_eq!(said.lines().count(), 1);
    let verdict = json(&output);
    assert_eq!(verdict["outcome"], "passed");
    let note = verdict["note"].as_str().expect("a note");
    assert!(said.contains(note), "{note}");
}

#[test]
fn a_failure_names_what_is_violated_and_its_command_makes_it_again() {
    let room = room();
    let output = call(
        room.path(),
        &format!("run --seed 1 --mutant {MUTANT} --out kept"),
    );
    let text = stdout(&output);
    assert_eq!(code(&output), 1, "{text}");
    let first = text.lines().next().expect("a first line");
    assert!(
        first.starts_with("SAFETY ") && first.contains("seed 1"),
        "{text}"
    );
    assert!(
        text.contains("  expected") && text.contains("  seen"),
        "{text}"
    );
    assert!(text.contains("kept"), "{text}");
    assert!(text.lines().count() <= LINES_MAX, "{text}");

    let kept = read_run(&room.path().join("kept"))
        .expect("a whole run directory")
        .verdict;
    let property = kept.violation.expect("a violation").property;
    assert!(first.contains(&property), "{text}");
    let arguments = kept
        .reproduce
        .strip_prefix("hstore-sim ")
        .expect("our command");
    assert!(
        arguments.contains(MUTANT) && arguments.contains(REVISION),
        "{arguments}"
    );
    let again = call(room.path(), &format!("{arguments} --json"));
    assert_eq!(code(&again), 1);
    assert_eq!(json(&again)["trace_hash"], Value::from(kept.trace_hash));
}

#[test]
fn a_campaign_sums_up_and_does_not_depend_on_its_jobs() {
    let room = room();
    let summaries = [1, 2].map(|jobs| {
        let arguments = format!("campaign --seeds 1..6 --jobs {jobs} --json --out jobs-{jobs}");
        let output = call(room.path(), &arguments);
        assert_eq!(code(&output), 0, "{}", stdout(&output));
        assert_eq!(stderr(&output), "");
        json(&output)
    });
    let one = &summaries[0];
    assert_eq!(
        (&one["runs"], &one["passed"], &one["failed"]),
        (&6.into(), &6.into(), &0.into())
    );
    assert_eq!(one["failures"], Value::Array(Vec::new()));
    for figure in [
        "seeds_per_second",
        "sim_seconds_per_wall_second",
        "judging_share",
        "peak_rss_bytes",
    ] {
        assert!(one[figure].as_f64() > Some(0.0), "{figure}: {one}");
    }
    for average in [
        "acked_appends",
        "leader_changes_with_appends_in_flight",
        "effective_faults",
        "crashes_with_unsynced_bytes",
        "messages",
    ] {
        assert!(one["averages"][average].is_f64(), "{average}: {one}");
    }
    assert!(one["provenance"]["revision"].is_string());
    assert_eq!(one["traces_hash"], summaries[1]["traces_hash"]);
    assert_eq!(one["averages"], summaries[1]["averages"]);

    let runs =
        |jobs: &str| fs::read_to_string(room.path().join(jobs).join("runs.jsonl")).expect("kept");
    assert_eq!(runs("jobs-1"), runs("jobs-2"));
    let seeds: Vec<Value> = runs("jobs-1")
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["seed"].clone())
        .collect();
    assert_eq!(Value::from(seeds), serde_json::json!([1, 2, 3, 4, 5, 6]));
    let kept: Value =
        serde_json::from_slice(&fs::read(room.path().join("jobs-1/summary.json")).expect("kept"))
            .expect("JSON");
    assert_eq!(&kept, one);
}

#[test]
fn a_campaign_keeps_its_failures_and_ends_with_their_code() {
    let room = room();
    let output = call(
        room.path(),
        &format!("campaign --seeds 1..3 --mutant {MUTANT} --out kept"),
    );
    let text = stdout(&output);
    assert_eq!(code(&output), 1, "{text}");
    assert!(text.starts_with("FAILED seeds 1..3: "), "{text}");
    assert!(text.contains("hstore-sim run --seed"), "{text}");
    assert!(text.lines().count() <= LINES_MAX, "{text}");
    let campaign = match read(&room.path().join("kept")).expect("a whole campaign directory") {
        Directory::Campaign(campaign) => campaign,
        other => panic!("a complete campaign was kept: {other:?}"),
    };
    assert!(!campaign.failures.is_empty());
    for failures in &campaign.failures {
        let directory = room.path().join(format!("kept/seed-{}", failures.seeds[0]));
        let run = read_run(&directory).expect("a whole run directory");
        assert_eq!(run.verdict.outcome, failures.kind.outcome);
        assert_eq!(run.verdict.reproduce, failures.reproduce);
        assert!(run.verdict.counts.mutant_reached > 0);
    }
}

#[test]
fn fresh_processes_agree() {
    let room = room();
    let output = call(room.path(), "determinism --seeds 1..2 --profile calm");
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).starts_with("PASSED seeds 1..2: 2 of 2 agreed"));
    let found = json(&call(
        room.path(),
        &format!("determinism --seeds 3..3 --mutant {MUTANT} --json"),
    ));
    assert_eq!(
        (&found["agreed"], &found["not_passed"]),
        (&1.into(), &1.into())
    );
    assert_eq!(found["outcome"], "passed");
    assert_eq!(files(room.path()), []);
}

#[test]
fn nobody_sees_a_directory_before_it_is_whole() {
    // What the process had written when it was killed is under another name than the one it was given.
    let room = room();
    let target = room.path().join("target");
    let fresh = FreshDir::stage(&target).expect("a free place");
    fs::write(fresh.path().join("verdict.json"), "{").expect("written");
    assert!(!target.exists());
    let output = call(room.path(), "run --seed 1 --profile calm --out target");
    assert_eq!(code(&output), 0);
    fresh.publish().expect_err("the place is taken now");
    assert!(read_run(&target).is_ok());
}
