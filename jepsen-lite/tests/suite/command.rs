//! The command: its output and its exit codes.

use std::process::{Command, Output};

use jepsen_lite::history::write_json;

use crate::script::Script;

/// Runs `jepsen-lite check` on this text.
fn run(text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("history.jsonl");
    std::fs::write(&file, text).expect("a file");
    let mut command = Command::new(env!("CARGO_BIN_EXE_jepsen-lite"));
    let command = command.arg("check").arg(&file).args(arguments);
    command.output().expect("it runs")
}

fn history(write: impl FnOnce(&mut Script)) -> String {
    let mut script = Script::default();
    write(&mut script);
    let mut text = Vec::new();
    write_json(&script.finish(), &mut text).expect("memory takes everything");
    String::from_utf8(text).expect("JSON is UTF-8")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

#[test]
fn valid_is_0() {
    let text = history(|s| {
        s.append(1, 1, "e1:1");
        s.final_read(1, &["e1:1 #1"], "e1:2");
    });
    let output = run(&text, &[]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).starts_with("valid: 2 operations in 1 part, 8 checks\n"));
}

#[test]
fn invalid_is_1() {
    let text = history(|s| {
        s.append(1, 1, "e1:1");
        s.final_read(1, &[], "e1:1");
    });
    let output = run(&text, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stdout(&output).contains("StaleRead in log0"));
    let output = run(&text, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["verdict"], "invalid");
    let output = run(&text, &["--only", "order", "--only", "prefix-agreement"]);
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn bad_input_is_2() {
    let output = run("{}", &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let error = stderr(&output);
    assert!(
        error.ends_with("history.jsonl: line 1, column 2: missing field `index`\n"),
        "{error}"
    );
    assert_eq!(run("", &["--only", "luck"]).status.code(), Some(2));
    let mut missing = Command::new(env!("CARGO_BIN_EXE_jepsen-lite"));
    let missing = missing
        .args(["check", "no/such/file"])
        .output()
        .expect("it runs");
    assert_eq!(missing.status.code(), Some(2));
}

#[test]
fn unknown_is_3() {
    let text = history(|s| {
        s.append(1, 1, "e1:1");
    });
    let output = run(&text, &[]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("no final read returned"));
}
