//! The real binary, where a failure is kept, made small, explained and looked at.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

fn room() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn call(directory: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hstore-sim"))
        .args(arguments)
        .current_dir(directory)
        .env_remove("HSTORE_LOG")
        .output()
        .expect("the binary runs")
}

/// Calls with arguments without spaces in them, and expects an exit code.
fn run(directory: &Path, code: i32, arguments: &str) -> String {
    let words: Vec<&str> = arguments.split(' ').collect();
    expect(code, &call(directory, &words))
}

fn expect(code: i32, output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The first seed that loses a record, as a capsule.
fn lost_write(directory: &Path) -> String {
    let base = "--engine model --mutant ack-before-fsync --white-box off";
    for seed in 1..100 {
        let file = format!("seed-{seed}.json");
        let words = format!("run --seed {seed} {base} --capsule {file}");
        let words: Vec<&str> = words.split(' ').collect();
        if call(directory, &words).status.code() == Some(1) {
            return file;
        }
        fs::remove_file(directory.join(&file)).expect("a passing run is written, too");
    }
    panic!("no seed loses a record");
}

#[test]
fn a_failure_is_kept_made_small_and_explained() {
    let room = room();
    let file = lost_write(room.path());
    let said = run(room.path(), 1, &format!("replay {file}"));
    assert!(
        said.starts_with("REPRODUCED: SAFETY LostWrite (durability)"),
        "{said}"
    );
    let replayed = json(&run(room.path(), 1, &format!("replay {file} --json")));
    assert_eq!(replayed["reproduced"], true);

    let said = run(
        room.path(),
        0,
        &format!("shrink {file} -o small.json --jobs 1"),
    );
    assert!(
        said.starts_with("SHRUNK: SAFETY LostWrite (durability)"),
        "{said}"
    );
    assert!(said.contains("without any single one of these"), "{said}");
    let other = json(&run(
        room.path(),
        0,
        &format!("shrink {file} --jobs 3 --json"),
    ));
    assert!(other["after"]["operations"].as_u64() < Some(20));
    let beside = other["capsule"].as_str().expect("a file");
    let text = |name: &str| fs::read_to_string(room.path().join(name)).expect("a file");
    assert_eq!(
        text("small.json"),
        text(beside),
        "the number of jobs matters"
    );
    run(room.path(), 1, "replay small.json");

    let said = run(room.path(), 0, "explain small.json");
    assert!(
        said.contains("  necessary ") && said.contains("  inevitable"),
        "{said}"
    );
    assert!(
        !said.contains("  irrelevant"),
        "what is small needs all of it: {said}"
    );
    let explained = json(&run(room.path(), 0, "explain small.json --json --jobs 2"));
    assert!(
        explained["parts"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
    );

    // Nothing is overwritten, and what cannot be is said.
    run(room.path(), 2, &format!("shrink {file} -o small.json"));
    run(room.path(), 2, "replay no-such-file.json");
    let passed = "run --seed 1 --profile calm --engine model --capsule calm.json";
    run(room.path(), 0, passed);
    run(room.path(), 0, "replay calm.json");
    run(room.path(), 2, "shrink calm.json");
    run(room.path(), 2, "explain calm.json");
}

#[test]
fn a_failed_run_directory_has_a_capsule_and_a_log_on_demand() {
    let room = room();
    run(
        room.path(),
        1,
        "run --seed 1 --engine model --mutant ack-before-fsync --out failed",
    );
    run(room.path(), 1, "replay failed/capsule.json --out again");
    let same = |name: &str| {
        let read = |dir: &str| fs::read(room.path().join(dir).join(name)).expect("a file");
        read("failed") == read("again")
    };
    assert!(same("trace.jsonl") && same("history.jsonl") && same("plan.json"));
    run(room.path(), 0, "run --seed 1 --engine model --out passed");
    assert!(!room.path().join("passed/capsule.json").exists());
    let campaign = "campaign --seeds 1..2 --engine model --mutant ack-before-fsync --out many";
    run(room.path(), 1, &format!("{campaign} --log-failures"));
    let log = fs::read_to_string(room.path().join("many/seed-1/log.txt")).expect("a log");
    assert!(log.contains("DEBUG") && log.contains("Activated"), "{log}");
    assert!(room.path().join("many/seed-1/capsule.json").exists());
    assert!(!room.path().join("failed/log.txt").exists());
}

#[test]
fn what_is_logged_is_the_same_every_time() {
    let room = room();
    run(room.path(), 0, "run --seed 2 --engine model --log one.txt");
    run(room.path(), 0, "run --seed 2 --engine model --log two.txt");
    let read = |name: &str| fs::read_to_string(room.path().join(name)).expect("a log");
    let (one, two) = (read("one.txt"), read("two.txt"));
    assert_eq!(one, two);
    let lines: Vec<&str> = one.lines().collect();
    assert!(lines.len() > 1_000);
    let time = |line: &str| -> f64 {
        let word = line.split_whitespace().next().expect("a word");
        word.parse().expect("a time")
    };
    assert!(lines.windows(2).all(|pair| time(pair[0]) <= time(pair[1])));
    assert!(time(lines[lines.len() - 1]) > 1.0);
    run(room.path(), 2, "run --seed 2 --engine model --log one.txt");
}

#[test]
fn a_run_stops_where_it_is_told_to_and_shows_every_machine() {
    let room = room();
    let until = |place: &str, code: i32| {
        let words = [
            "run", "--seed", "3", "--engine", "model", "--json", "--until", place,
        ];
        json(&expect(code, &call(room.path(), &words)))
    };
    let acked = until("acked 17", 0);
    assert_eq!(acked["reached"], true);
    let nodes = acked["nodes"].as_array().expect("nodes");
    assert_eq!(nodes.len(), 5);
    let reigns = |node: &Value| {
        let logs = node["logs"].as_array().expect("logs");
        logs.iter().any(|log| {
            log["sequencer"]
                .as_str()
                .is_some_and(|it| it.starts_with('e'))
        })
    };
    assert!(nodes.iter().any(reigns), "{acked}");
    assert!(
        nodes
            .iter()
            .any(|node| !node["registers"].as_array().expect("some").is_empty())
    );
    let in_flight = |place| until(place, 0)["in_flight"].as_array().map_or(0, Vec::len);
    let some = ["acked 17", "event 1000", "event 2000", "event 3000"];
    assert!(some.into_iter().any(|place| in_flight(place) > 0));
    let at = |place: &str| until(place, 0)["t_us"].as_u64().expect("a time");
    assert!(at("12.5ms") <= 12_500 && at("3s") <= 3_000_000 && at("3s") > 2_900_000);
    let event = until("event 1000", 0);
    assert!((1_000..1_100).contains(&event["event"].as_u64().expect("a number")));
    assert_eq!(until("phase converge", 0)["phase"], "Converge");
    assert!(at("epoch 2") > at("epoch 1"));
    let fault = until("fault 0", 0);
    assert_eq!(fault["faults"].as_array().map(Vec::len), Some(1), "{fault}");
    let crash = until("crash 1", 0);
    let down = |node: &Value| node["state"] == "down";
    assert!(crash["nodes"].as_array().expect("nodes").iter().any(down));
    assert_eq!(until("violation", 2)["reached"], false);
    let words = ["run", "--seed", "3", "--until", "sometime"];
    expect(2, &call(room.path(), &words));
    let words = ["run", "--seed", "3", "--engine", "model", "--until", "2s"];
    let text = expect(0, &call(room.path(), &words));
    assert!(
        text.contains("n0: up, life ") && text.contains("messages in flight: "),
        "{text}"
    );
    assert!(
        text.contains("unsynced: ") && text.contains("faults in force: "),
        "{text}"
    );
}

#[test]
fn traces_are_compared_in_words_and_exported() {
    let room = room();
    for (seed, out) in [(1, "a"), (1, "b"), (2, "c")] {
        run(
            room.path(),
            0,
            &format!("run --seed {seed} --engine model --out {out}"),
        );
    }
    let same = run(room.path(), 0, "diff a b/trace.jsonl");
    assert!(same.starts_with("SAME: "), "{same}");
    let parted = run(room.path(), 1, "diff a c");
    assert!(parted.starts_with("PARTED: at line "), "{parted}");
    assert!(
        parted.contains("  first ") && parted.contains("  second "),
        "{parted}"
    );
    let found = json(&run(room.path(), 1, "diff a c --json"));
    assert_eq!(found["parted"], true);
    run(room.path(), 2, "diff a no-such-trace");
    run(room.path(), 2, "diff a a/options.json");

    run(room.path(), 0, "export a --to perfetto -o a.json");
    let text = fs::read_to_string(room.path().join("a.json")).expect("a file");
    assert!(
        json(&text)["traceEvents"]
            .as_array()
            .is_some_and(|it| it.len() > 1_000)
    );
    run(room.path(), 0, "export a/trace.jsonl --to shiviz -o a.txt");
    let text = fs::read_to_string(room.path().join("a.txt")).expect("a file");
    assert!(text.starts_with("(?<host>"), "{text}");
    run(room.path(), 2, "export a --to shiviz -o a.txt");
}
