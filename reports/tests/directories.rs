//! Good and damaged directories, through the real binary.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const HISTORY: &str = r#"{"index":0,"time_ns":1000,"process":3,"type":"invoke","log":1,"f":"append","record":17}
{"index":1,"time_ns":2500,"process":3,"type":"ok","log":1,"f":"append","lsn":"e1:1"}
"#;
const TRACE: &str = "{\"event\":1}\n{\"event\":2}\n{\"event\":3}\n";

fn verdict() -> Value {
    let count_names = [
        "appends_acked",
        "appends_failed",
        "appends_unknown",
        "reads",
        "records_read",
        "tails",
        "epochs",
        "recoveries",
        "recovery_attempts",
        "holes",
        "purges",
        "leader_changes_with_appends_in_flight",
        "planned_faults",
        "effective_faults",
        "crashes",
        "crashes_with_unsynced_bytes",
        "crashes_inside_file_operation",
        "messages",
        "messages_lost",
        "messages_duplicated",
        "file_operations",
        "syncs",
        "flushed_tables",
        "compacted_tables",
        "operations_checked",
        "invariants_checked",
        "mutant_reached",
    ];
    let counts: serde_json::Map<String, Value> = count_names
        .iter()
        .map(|name| ((*name).to_owned(), json!(12)))
        .collect();
    json!({
        "seed": 7, "outcome": "passed", "violation": null,
        "trace_hash": "0123456789abcdef", "trace_events": 3,
        "options": {"profile": "calm", "net": {"loss": 0.5}},
        "counts": counts, "virtual_us": 1_500_000,
        "provenance": {"revision": "abc", "lock_hash": "1", "options_hash": "2"},
        "reproduce": "hstore-sim run --seed 7",
        "lines": {"history": 2, "trace": 3},
    })
}

fn run_directory() -> TempDir {
    let room = tempfile::tempdir().expect("a directory");
    let write = |name: &str, text: &str| fs::write(room.path().join(name), text).expect("written");
    write("options.json", "{\"seed\": 7}\n");
    write("plan.json", "{\"faults\": []}\n");
    write("history.jsonl", HISTORY);
    write("trace.jsonl", TRACE);
    let verdict = serde_json::to_string_pretty(&verdict()).expect("JSON");
    write("verdict.json", &verdict);
    room
}

fn asked() -> Value {
    json!({
        "arguments": ["--seeds", "1..2"], "seeds": {"first": 1, "last": 2},
        "provenance": {"revision": "abc", "lock_hash": "1", "options_hash": "2"},
    })
}

fn campaign_directory() -> TempDir {
    let room = tempfile::tempdir().expect("a directory");
    let summary = json!({
        "complete": true, "seeds": {"first": 1, "last": 2}, "shard": "0/1",
        "settings": {"profile": "default", "engine": "model", "mutant": null, "white_box": true},
        "runs": 2, "passed": 1, "failed": 1, "outcomes": {"passed": 1, "vacuous": 1},
        "jobs": 2, "run_seconds": 0.2, "wall_seconds": 0.1, "seeds_per_second": 20.0,
        "sim_seconds_per_wall_second": 300.0, "judging_share": 0.02, "peak_rss_bytes": 12_000_000,
        "averages": {"acked_appends": 400.5},
        "failures": [{"outcome": "vacuous", "property": "", "checker": "", "count": 1, "seeds": [2],
            "reproduce": "hstore-sim run --seed 2",
            "findability": {"share": 0.5, "share_at_least": 0.025, "clean_runs": 5, "clean_runs_to_be_sure": 117}}],
        "failures_of_other_kinds": 0,
        "traces_hash": "0123456789abcdef",
        "provenance": {"revision": "abc", "lock_hash": "1", "options_hash": "2"},
    });
    fs::write(room.path().join("campaign.json"), asked().to_string()).expect("written");
    fs::write(room.path().join("summary.json"), summary.to_string()).expect("written");
    fs::write(
        room.path().join("runs.jsonl"),
        "{\"seed\":1}\n{\"seed\":2}\n",
    )
    .expect("written");
    room
}

fn show(directory: &Path) -> Output {
    report("show", directory)
}

fn report(command: &str, directory: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hstore-reports"))
        .arg(command)
        .arg(directory)
        .output()
        .expect("the binary runs")
}

fn assert_refused(output: &Output, why: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{why}: {said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.contains(why), "expected {why:?} in {said:?}");
    assert!(output.stdout.is_empty());
}

#[test]
fn a_whole_run_directory_is_shown() {
    let room = run_directory();
    let output = show(room.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text.starts_with("PASSED seed 7: 12 appends acknowledged"),
        "{text}"
    );
    assert!(
        text.contains("profile calm") && text.contains("loss 0.5"),
        "{text}"
    );
    assert!(text.contains("virtual 1.50 s"), "{text}");
    assert!(
        text.contains("trace 0123456789abcdef of 3 events"),
        "{text}"
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn a_whole_campaign_directory_is_shown() {
    let room = campaign_directory();
    let output = show(room.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text.starts_with("FAILED seeds 1..2: 1 of 2 runs\n"),
        "{text}"
    );
    assert!(text.contains("1 x VACUOUS: seed 2\n"), "{text}");
    assert!(text.contains("hstore-sim run --seed 2\n"), "{text}");
    assert!(text.contains("acked_appends 400"), "{text}");
    assert!(text.contains("peak memory 12.0 MB"), "{text}");
}

#[test]
fn a_missing_file_is_named() {
    for file in ["options.json", "plan.json", "history.jsonl", "trace.jsonl"] {
        let room = run_directory();
        fs::remove_file(room.path().join(file)).expect("it was there");
        assert_refused(&show(room.path()), &format!("{file}: No such file"));
    }
    let room = campaign_directory();
    fs::remove_file(room.path().join("runs.jsonl")).expect("it was there");
    assert_refused(&show(room.path()), "runs.jsonl: No such file");

    let empty = tempfile::tempdir().expect("a directory");
    assert_refused(&show(empty.path()), "neither a run directory");
    assert_refused(
        &show(&empty.path().join("nowhere")),
        "nowhere: No such file",
    );
    let file = empty.path().join("file");
    fs::write(&file, "").expect("written");
    assert_refused(&show(&file), "file: is not a directory");
}

#[test]
fn a_damaged_file_is_named_with_the_place() {
    let first_line = HISTORY.lines().next().expect("a line");
    let verdict = serde_json::to_string_pretty(&verdict()).expect("JSON");
    let cut = &verdict[..verdict.len() / 2];
    let lines = cut.lines().count();
    for (file, content, why) in [
        ("verdict.json", "", "verdict.json:1:1: EOF"),
        (
            "verdict.json",
            "{}",
            "verdict.json:1:2: missing field `seed`",
        ),
        (
            "verdict.json",
            "{\"seed\": 7,\n\"x\": 2,\n x}",
            "verdict.json:3:",
        ),
        ("verdict.json", cut, &format!("verdict.json:{lines}:")),
        (
            "verdict.json",
            &verdict.replace("\"seed\": 7", "\"seed\": \"7\""),
            "invalid type",
        ),
        ("options.json", "{\"seed\": 7", "options.json:1:10: EOF"),
        ("plan.json", "{} {}", "plan.json:1:4: trailing"),
        ("history.jsonl", "{}\n", "history.jsonl:1:"),
        (
            "history.jsonl",
            first_line,
            "history.jsonl:2:1: the file has 1 lines where its run wrote 2",
        ),
        (
            "history.jsonl",
            &HISTORY.replace("e1:1", "e1"),
            "history.jsonl:2:",
        ),
        ("history.jsonl", HISTORY.split_at(120).0, "history.jsonl:2:"),
        ("trace.jsonl", "{}\n{\n", "trace.jsonl:2:1: EOF"),
        ("trace.jsonl", "{}\n\n{}\n", "trace.jsonl:2:1: EOF"),
        (
            "trace.jsonl",
            "{}\n{}\n",
            "trace.jsonl:3:1: the file has 2 lines where its run wrote 3",
        ),
    ] {
        let room = run_directory();
        fs::write(room.path().join(file), content).expect("written");
        assert_refused(&show(room.path()), why);
    }
    for (file, content, why) in [
        (
            "summary.json",
            "{\"seeds\": 1}",
            "summary.json:1:11: invalid type",
        ),
        (
            "runs.jsonl",
            "{}\n",
            "runs.jsonl:2:1: the file has 1 lines where its run wrote 2",
        ),
        ("runs.jsonl", "{}\nx\n", "runs.jsonl:2:1: expected value"),
    ] {
        let room = campaign_directory();
        fs::write(room.path().join(file), content).expect("written");
        assert_refused(&show(room.path()), why);
    }
}

#[test]
fn fields_of_tomorrow_are_left_alone() {
    let room = run_directory();
    let mut verdict = verdict();
    verdict["tomorrow"] = json!([1, 2]);
    verdict["counts"]["tomorrow"] = json!("soon");
    verdict["options"]["tomorrow"] = json!({"deep": [{"er": null}]});
    fs::write(room.path().join("verdict.json"), verdict.to_string()).expect("written");
    let output = show(room.path());
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains("tomorrow"));
}

#[test]
fn bad_arguments_get_one_line() {
    for (arguments, why) in [
        (&[][..], "requires a subcommand"),
        (&["show"][..], "<DIR>"),
        (&["show", "a", "b"][..], "unexpected argument 'b'"),
        (&["draw", "a"][..], "unrecognized subcommand 'draw'"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_hstore-reports"))
            .args(arguments)
            .output()
            .expect("the binary runs");
        assert_refused(&output, why);
    }
}

#[test]
fn a_campaign_is_told_to_what_shows_tests_and_to_what_shows_pages() {
    let room = campaign_directory();
    let text = |command: &str| {
        let output = report(command, room.path());
        assert_eq!(output.status.code(), Some(0));
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    assert!(
        text("junit").contains("failures=\"1\" errors=\"1\"")
            || text("junit").contains("errors=\"1\" failures=\"1\"")
    );
    assert!(text("markdown").starts_with("## ❌ FAILED seeds 1..2: 1 of 2 runs\n"));
}

#[test]
fn a_campaign_that_is_not_finished_is_shown_so_and_not_taken_for_one_that_is() {
    let room = campaign_directory();
    fs::remove_file(room.path().join("summary.json")).expect("removed");
    let lines = "{\"seed\":2,\"signature\":{\"outcome\":\"panic\",\"property\":\"p\",\"checker\":\"c\"}}\n\
                 {\"seed\":5}\n{\"seed\":7,\"sig";
    fs::write(room.path().join("runs.jsonl"), lines).expect("written");
    let output = show(room.path());
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text.starts_with("UNFINISHED: 2 runs are over, 1 of them failed\n"),
        "{text}"
    );
    assert!(text.contains("1 x PANIC p by c: seed 2\n"), "{text}");
    assert!(text.contains("hstore-sim campaign --resume /"), "{text}");
    for command in ["junit", "markdown"] {
        let output = report(command, room.path());
        assert_refused(&output, "a campaign that is not finished");
    }
    fs::write(room.path().join("runs.jsonl"), "{\"seed\":1}\nnonsense\n").expect("written");
    assert_refused(&show(room.path()), "runs.jsonl:2:");
}
