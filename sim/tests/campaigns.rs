//! Campaigns that are killed, called off, cut into shards and united: the real binary.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What most campaigns here run. A planted bug makes some of the seeds fail.
const SEEDS: u64 = 40;
/// The same with so many seeds that it is not over when it is killed for the tenth time.
const MANY: u64 = 400;
const MUCH: &str = "--seeds 1..400 --engine model --mutant ack-before-fsync --jobs 2";
const WHAT: &str = "--seeds 1..40 --engine model --profile calm --mutant ack-before-fsync --jobs 2";

fn room() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn command(room: &TempDir, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hstore-sim"));
    command
        .args(arguments.split(' '))
        .current_dir(room.path())
        .env_remove("HSTORE_LOG");
    command
}

fn call(room: &TempDir, arguments: &str) -> Output {
    command(room, arguments).output().expect("the binary runs")
}

fn spawn(room: &TempDir, arguments: &str) -> Child {
    command(room, arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn summary(directory: &Path) -> Value {
    value(&fs::read_to_string(directory.join("summary.json")).expect("it is complete"))
}

fn assert_refused(output: &Output, why: &str) {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: ") && said.contains(why), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
}

/// The seeds of the whole lines of a journal: each stands there once.
fn journaled(directory: &Path) -> BTreeSet<u64> {
    let journal = fs::read_to_string(directory.join("runs.jsonl")).unwrap_or_default();
    let whole = journal
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    let mut seeds = BTreeSet::new();
    for line in whole {
        let seed = value(line)["seed"].as_u64().expect("a seed");
        assert!(seeds.insert(seed), "{seed} has two lines");
    }
    seeds
}

/// What is equal in two campaigns of the same runs.
fn found(directory: &Path) -> (Value, Value, Value, String, Vec<String>) {
    let summary = summary(directory);
    let runs = fs::read_to_string(directory.join("runs.jsonl")).expect("a file");
    let mut names: Vec<String> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("plain names"))
        .collect();
    names.sort();
    (
        summary["traces_hash"].clone(),
        summary["averages"].clone(),
        summary["failures"].clone(),
        runs,
        names,
    )
}

/// Starts a campaign, kills it after so many runs were told, and returns the seeds that it told.
fn killed_after(room: &TempDir, arguments: &str, lines: usize) -> Vec<u64> {
    let mut child = spawn(room, &format!("campaign --json-lines {arguments}"));
    let mut told = BufReader::new(child.stdout.take().expect("piped"));
    let mut seeds = Vec::new();
    for _ in 0..lines {
        let mut line = String::new();
        told.read_line(&mut line).expect("told");
        seeds.push(value(&line)["seed"].as_u64().expect("still running"));
    }
    child.kill().expect("it runs");
    let status = child.wait().expect("killed");
    assert_eq!(status.code(), None, "it was over before it was killed");
    // What was told before it died, too.
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("told");
    let whole = rest
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'));
    seeds.extend(whole.map(|line| value(line)["seed"].as_u64().expect("still running")));
    seeds
}

#[test]
fn a_campaign_that_is_killed_ten_times_runs_each_seed_once() {
    let room = room();
    let whole = call(&room, &format!("campaign {MUCH} --json --out whole"));
    assert_eq!(whole.status.code(), Some(1), "{}", text(&whole.stderr));

    let place = room.path().join("parts");
    let arguments = format!("{MUCH} --out parts");
    let mut before = BTreeSet::new();
    for lines in [0, 1, 2, 3, 1, 4, 2, 1, 5, 3] {
        let told = killed_after(&room, &arguments, lines);
        let now = journaled(&place);
        // What was done stays done, and is not run again; what was told is done.
        assert!(now.is_superset(&before));
        for seed in &told {
            assert!(!before.contains(seed), "{seed} was run again");
            assert!(now.contains(seed), "{seed} was told and not kept");
        }
        assert!(!place.join("summary.json").exists());
        before = now;
    }
    assert!(
        before.len() >= 22 && (before.len() as u64) < MANY,
        "{before:?}"
    );
    // The rest, in the other way.
    let output = call(&room, "campaign --resume parts --jobs 2 --json-lines");
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let told = text(&output.stdout);
    let lines: Vec<&str> = told.lines().collect();
    let (last, runs) = lines.split_last().expect("a summary");
    assert_eq!(value(last)["complete"], true);
    let rest: Vec<u64> = runs
        .iter()
        .map(|line| value(line)["seed"].as_u64().expect("a run"))
        .collect();
    let missing: Vec<u64> = (1..=MANY).filter(|seed| !before.contains(seed)).collect();
    assert_eq!(rest, missing);
    assert_eq!(found(&place), found(&room.path().join("whole")));
    // Once more, it is complete.
    let again = call(&room, &format!("campaign {arguments} --json"));
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("parts is complete: nothing is run"));
    assert_eq!(value(&text(&again.stdout)), summary(&place));
}

#[test]
fn a_campaign_that_is_called_off_ends_its_runs_and_goes_on() {
    let room = room();
    let arguments =
        "campaign --seeds 1..100000 --engine model --profile calm --json-lines --out parts";
    let mut child = spawn(&room, arguments);
    let mut told = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    told.read_line(&mut line).expect("told");
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status()
        .expect("there is kill");
    assert!(sent.success());
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("told");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("campaign --resume parts` goes on"));
    let last = value(rest.lines().last().expect("a summary"));
    assert_eq!(
        (&last["complete"], &last["failed"]),
        (&false.into(), &0.into())
    );
    let done = journaled(&room.path().join("parts"));
    assert_eq!(last["runs"], done.len());
    // What it was begun for is what goes on.
    for (other, why) in [
        ("--seeds 1..7 --engine model --profile calm", "begun with"),
        (
            "--seeds 1..100000 --engine rocksdb --profile calm",
            "begun with",
        ),
    ] {
        let output = call(&room, &format!("campaign {other} --out parts"));
        assert_refused(&output, why);
    }
    let file = room.path().join("parts/campaign.json");
    let mut asked = value(&fs::read_to_string(&file).expect("a file"));
    asked["provenance"]["revision"] = "0123456789ab".into();
    fs::write(&file, asked.to_string()).expect("written");
    let output = call(&room, "campaign --resume parts");
    assert_refused(&output, "it was begun by revision 0123456789ab");
}

#[test]
fn time_ends_a_campaign_and_every_seed_up_to_the_last_is_run() {
    let room = room();
    let output = call(
        &room,
        "campaign --time 300ms --engine model --profile calm --jobs 2 --json --out timed",
    );
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let found = value(&text(&output.stdout));
    let last = found["seeds"]["last"].as_u64().expect("a seed");
    assert_eq!(found["seeds"]["first"], 1);
    assert_eq!(found["runs"], last);
    assert_eq!(found["time_seconds"], 0.3);
    let done = journaled(&room.path().join("timed"));
    assert_eq!(done, (1..=last).collect());
    // Whichever ends first.
    let output = call(
        &room,
        "campaign --time 1h --seeds 3..4 --engine model --profile calm --json",
    );
    assert_eq!(value(&text(&output.stdout))["runs"], 2);
}

#[test]
fn shards_united_are_the_whole() {
    let room = room();
    let whole = call(&room, &format!("campaign {WHAT} --json --out whole"));
    assert_eq!(whole.status.code(), Some(1));
    for shard in 0..3 {
        let arguments = format!("campaign {WHAT} --shard {shard}/3 --json --out shard-{shard}");
        let output = call(&room, &arguments);
        assert!([0, 1].contains(&output.status.code().expect("no signal")));
    }
    let output = call(
        &room,
        "merge shard-2 shard-0 shard-1 --json --out united --junit junit.xml --markdown page.md",
    );
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    let united = value(&text(&output.stdout));
    assert_eq!(united, summary(&room.path().join("united")));
    assert_eq!(
        (&united["runs"], &united["complete"]),
        (&SEEDS.into(), &true.into())
    );
    assert_eq!(
        found(&room.path().join("united")),
        found(&room.path().join("whole"))
    );
    let junit = fs::read_to_string(room.path().join("junit.xml")).expect("written");
    assert!(
        junit.starts_with("<?xml") && junit.contains("<failure"),
        "{junit}"
    );
    let page = fs::read_to_string(room.path().join("page.md")).expect("written");
    assert!(page.starts_with("## ❌ FAILED seeds 1..40: "), "{page}");

    assert_refused(
        &call(&room, "merge shard-0 shard-2"),
        "shards are missing: 1/3",
    );
    assert_refused(
        &call(&room, "merge shard-0 shard-1 shard-2 shard-1"),
        "it is shard 1/3, and so is shard-1",
    );
    assert_refused(
        &call(&room, "merge shard-0 whole"),
        "shards of one campaign",
    );
    let some = call(&room, "merge shard-0 shard-2 --allow-missing --json");
    assert_eq!(value(&text(&some.stdout))["complete"], false);
    assert_ne!(some.status.code(), Some(0));

    // Of another campaign, of another revision, not complete, changed.
    let other = call(
        &room,
        "campaign --seeds 1..3 --engine model --profile calm --shard 1/3 --json --out other",
    );
    assert_eq!(other.status.code(), Some(0));
    assert_refused(
        &call(&room, "merge shard-0 other shard-2"),
        "not of one campaign",
    );
    let change = |name: &str, change: &dyn Fn(&str) -> String| {
        let file = room.path().join(name);
        let before = fs::read_to_string(&file).expect("a file");
        fs::write(&file, change(&before)).expect("written");
    };
    change("shard-1/runs.jsonl", &|lines| {
        lines.replacen("\"seed\":1,", "\"seed\":2,", 1)
    });
    assert_refused(
        &call(&room, "merge shard-0 shard-1 shard-2"),
        "runs.jsonl has seed 2 where shard 1/3 has another",
    );
    change("shard-1/campaign.json", &|asked| {
        let mut asked = value(asked);
        asked["provenance"]["revision"] = "0123456789ab".into();
        asked.to_string()
    });
    assert_refused(
        &call(&room, "merge shard-0 shard-1 shard-2"),
        "the same build",
    );
    fs::remove_file(room.path().join("shard-2/summary.json")).expect("removed");
    assert_refused(
        &call(&room, "merge shard-0 shard-1 shard-2"),
        "`hstore-sim campaign --resume shard-2` goes on",
    );
}

#[test]
fn a_guided_campaign_depends_on_neither_its_jobs_nor_interruptions_and_names_its_runs() {
    let room = room();
    let what = "--seeds 1..100 --engine model --mutant ack-before-fsync --guided --white-box off";
    let nowhere = call(&room, &format!("campaign {what}"));
    assert_refused(&nowhere, "add --out DIR");
    let whole = call(
        &room,
        &format!("campaign {what} --jobs 1 --json --out whole"),
    );
    assert_eq!(whole.status.code(), Some(1), "{}", text(&whole.stderr));
    let whole = value(&text(&whole.stdout));
    assert!(whole["abstract_states"].as_u64() > Some(100), "{whole}");
    killed_after(&room, &format!("{what} --jobs 2 --out parts"), 45);
    let rest = call(&room, "campaign --resume parts --jobs 2 --json");
    assert_eq!(rest.status.code(), Some(1), "{}", text(&rest.stderr));
    let parts = value(&text(&rest.stdout));
    assert_eq!(parts["abstract_states"], whole["abstract_states"]);
    assert_eq!(
        found(&room.path().join("parts")),
        found(&room.path().join("whole"))
    );
    // Each line that had a plan of its own says in whose cluster, and what was kept of it can be made again.
    let lines = fs::read_to_string(room.path().join("whole/runs.jsonl")).expect("a file");
    let of_plans = lines.lines().filter(|line| value(line)["cluster"].is_u64());
    assert!(of_plans.count() > 20);
    let mut made_again = 0;
    for entry in fs::read_dir(room.path().join("whole")).expect("a directory") {
        let place = entry.expect("an entry").path();
        if !place.is_dir() {
            continue;
        }
        let kept = value(&fs::read_to_string(place.join("verdict.json")).expect("a file"));
        let command = kept["reproduce"].as_str().expect("a command");
        let arguments = command.strip_prefix("hstore-sim ").expect("ours");
        let again = Command::new(env!("CARGO_BIN_EXE_hstore-sim"))
            .args(arguments.split(' '))
            .arg("--json")
            .current_dir(&place)
            .output()
            .expect("the binary runs");
        let again = value(&text(&again.stdout));
        assert_eq!(again["trace_hash"], kept["trace_hash"], "{command}");
        made_again += 1;
    }
    assert!(made_again > 0);
}

#[test]
fn a_plan_of_a_file_is_checked() {
    let room = room();
    let run = call(
        &room,
        "run --seed 1 --engine model --profile calm --out kept",
    );
    assert_eq!(run.status.code(), Some(0));
    let asked = "run --seed 1 --engine model --profile calm --json --plan";
    let again = call(&room, &format!("{asked} kept/plan.json"));
    let kept = value(&fs::read_to_string(room.path().join("kept/verdict.json")).expect("a file"));
    assert_eq!(
        value(&text(&again.stdout))["trace_hash"],
        kept["trace_hash"]
    );
    for (content, why) in [
        ("{", "plan.json: EOF while parsing"),
        (
            r#"{"faults": [{"at_us": 1, "until_us": 2, "target": {"Node": 77}, "kind": "Pause"}]}"#,
            "plan.json: faults[0]: there is no n77",
        ),
    ] {
        fs::write(room.path().join("plan.json"), content).expect("written");
        assert_refused(&call(&room, &format!("{asked} plan.json")), why);
    }
    assert_refused(
        &call(&room, &format!("{asked} nowhere.json")),
        "nowhere.json: No such file",
    );
}
