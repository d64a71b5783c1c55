//! The command: its output and its exit codes.

use std::fmt::Write as _;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use jepsen_lite::history::write_json;
use rustix::process::{Pid, Signal, kill_process};

use crate::script::Script;

const BINARY: &str = env!("CARGO_BIN_EXE_jepsen-lite");

/// Runs `jepsen-lite check` on this text.
fn run(text: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("history.jsonl");
    std::fs::write(&file, text).expect("a file");
    let mut command = Command::new(BINARY);
    let command = command.arg("check").arg(&file).args(arguments);
    command.output().expect("it runs")
}

/// Runs `jepsen-lite` in a folder with these files.
fn run_in(files: &[(&str, &str)], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("a file");
    }
    let mut command = Command::new(BINARY);
    let command = command.current_dir(folder.path()).args(arguments);
    command.output().expect("it runs")
}

const VALID: (&str, &str) = (
    "valid.edn",
    "{:process 0 :type :invoke :f :write :value 1}
     {:process 0 :type :ok :f :write :value 1}
     {:process 1 :type :invoke :f :read :value nil}
     {:process 1 :type :ok :f :read :value 1}",
);
const INVALID: (&str, &str) = (
    "invalid.edn",
    "{:process 0 :type :invoke :f :write :value 1}
     {:process 0 :type :ok :f :write :value 1}
     {:process 1 :type :invoke :f :read :value nil}
     {:process 1 :type :ok :f :read :value 2}",
);
const DAMAGED: (&str, &str) = (
    "damaged.edn",
    "{:process 0 :type :invoke :f :write\n :value",
);
/// Nothing says whether what was appended is still there.
const SILENT: (&str, &str) = (
    "silent.jsonl",
    concat!(
        r#"{"index":0,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"append","record":1}"#,
        "\n",
        r#"{"index":1,"time_ns":0,"process":1,"type":"ok","log":0,"f":"append","lsn":"e1:1"}"#,
    ),
);

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
    let text = stdout(&output);
    let (heading, verdict) = text.split_once('\n').expect("lines");
    assert!(
        heading.ends_with("history.jsonl: json-lines (guessed), judged as logs"),
        "{text}"
    );
    assert!(
        verdict.starts_with("valid: 2 operations in 1 part, 8 checks\n"),
        "{text}"
    );
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
        error.ends_with(
            "history.jsonl: it begins like no known format; they are json-lines, edn, json, etcd, kv, s2 \
             and calls: say which it is\n"
        ),
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

#[test]
fn of_several_files_bad_input_comes_before_invalid_before_unknown_before_valid() {
    let files = [VALID, INVALID, DAMAGED, SILENT];
    let code = |names: &[&str]| {
        let arguments = [&["check"], names].concat();
        run_in(&files, &arguments).status.code()
    };
    assert_eq!(code(&["valid.edn"]), Some(0));
    assert_eq!(code(&["valid.edn", "silent.jsonl"]), Some(3));
    assert_eq!(code(&["silent.jsonl", "invalid.edn", "valid.edn"]), Some(1));
    assert_eq!(
        code(&["invalid.edn", "damaged.edn", "silent.jsonl"]),
        Some(2)
    );
    let output = run_in(
        &files,
        &["check", "damaged.edn", "invalid.edn", "valid.edn"],
    );
    // Each is told of, whatever became of the others.
    let text = stdout(&output);
    assert!(
        text.contains("invalid.edn: edn (guessed), judged as register\nINVALID"),
        "{text}"
    );
    assert!(
        text.contains("valid.edn: edn (guessed), judged as register\nvalid"),
        "{text}"
    );
    let error = stderr(&output);
    assert!(
        error.starts_with("damaged.edn: line 1, column 1: "),
        "{error}"
    );
}

#[test]
fn the_model_the_format_and_the_first_value_can_be_said() {
    let files = [VALID, INVALID];
    let output = run_in(&files, &["check", "--format", "edn", "valid.edn"]);
    assert!(stdout(&output).starts_with("valid.edn: edn, judged as register\n"));
    let read_first = (
        "read-first.edn",
        "[{:process 0 :type :invoke :f :read} {:process 0 :type :ok :f :read :value 7}]",
    );
    let code = |arguments: &[&str]| {
        let arguments = [&["check", "read-first.edn"], arguments].concat();
        run_in(&[read_first], &arguments).status.code()
    };
    assert_eq!(code(&[]), Some(1));
    assert_eq!(code(&["--init", "7"]), Some(0));
    assert_eq!(code(&["--model", "cas-register", "--init", "7"]), Some(0));
    // Another object than it is, or none: that is no verdict.
    assert_eq!(code(&["--model", "queue"]), Some(2));
    assert_eq!(code(&["--model", "heap"]), Some(2));
    assert_eq!(code(&["--init", "[7"]), Some(2));
    assert_eq!(code(&["--format", "s2"]), Some(2));
    let output = run_in(
        &[read_first],
        &["check", "read-first.edn", "--model", "queue"],
    );
    let error = stderr(&output);
    let place = "read-first.edn: line 1, column 2: there is no function `read`, only enqueue";
    assert!(error.starts_with(place), "{error}");
}

#[test]
fn a_search_that_may_take_no_steps_knows_nothing() {
    let output = run_in(&[VALID], &["check", "--steps", "0", "valid.edn"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("none ruled out; allow more with --steps"));
}

#[test]
fn standard_input_is_a_dash_and_json_is_one_object_a_file() {
    let mut command = Command::new(BINARY);
    let command = command
        .args(["check", "--json", "-", "no/such/file"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    input.write_all(INVALID.1.as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(2));
    let lines: Vec<serde_json::Value> = stdout(&output)
        .lines()
        .map(|line| serde_json::from_str(line).expect("an object"))
        .collect();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0]["file"], "standard input");
    assert_eq!(lines[0]["format"], "edn");
    assert_eq!(lines[0]["format_guessed"], true);
    assert_eq!(lines[0]["judged_as"], "register");
    assert_eq!(lines[0]["verdict"], "invalid");
    assert_eq!(lines[0]["report"]["stories"][0]["kind"], "NotLinearizable");
    assert_eq!(lines[1]["file"], "no/such/file");
    assert!(lines[1]["error"].is_string());
}

#[test]
fn a_history_is_explained_and_drawn() {
    let output = run_in(&[INVALID], &["explain", "invalid.edn"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for words in ["NotLinearizable", "read() by p1", "write(1)"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("history.edn");
    let page = folder.path().join("page.html");
    std::fs::write(&file, INVALID.1).expect("a file");
    let mut command = Command::new(BINARY);
    let command = command.arg("check").arg(&file).arg("--html").arg(&page);
    assert_eq!(command.output().expect("it runs").status.code(), Some(1));
    let page = std::fs::read_to_string(page).expect("a page");
    assert!(page.to_lowercase().starts_with("<!doctype html>") && page.contains("NotLinearizable"));
    let two = run_in(
        &[VALID, INVALID],
        &["check", "valid.edn", "invalid.edn", "--html", "x"],
    );
    assert_eq!(two.status.code(), Some(2));
}

#[test]
fn histories_are_converted_there_and_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("silent.jsonl"), SILENT.1).expect("a file");
    let convert = |from: &str, to: &str, format: &str| {
        let mut command = Command::new(BINARY);
        let command = command.arg("convert").arg(path(from));
        let command = command.args(["--to", format, "-o"]).arg(path(to));
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        std::fs::read_to_string(path(to)).expect("it was written")
    };
    let edn = convert("silent.jsonl", "silent.edn", "edn");
    assert!(edn.contains(":f :append"), "{edn}");
    let json = convert("silent.edn", "silent.json", "json");
    assert!(json.contains("\"append\""), "{json}");
    let back = convert("silent.json", "back.jsonl", "json-lines");
    assert_eq!(back.trim_end(), SILENT.1);
    let bad = run_in(&[DAMAGED], &["convert", "damaged.edn", "--to", "json"]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(bad.stdout.is_empty());
}

#[test]
fn an_interrupt_ends_it_with_what_is_known() {
    let mut command = Command::new(BINARY);
    let command = command
        .args(["check", "--format", "edn", "-", "valid.edn"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("it runs");
    let mut input = child.stdin.take().expect("a pipe");
    // More than a pipe holds: once it is written, somebody reads, and listens for the interrupt.
    let comment = vec![b';'; 4 << 20];
    input.write_all(&comment).expect("it reads");
    let process = Pid::from_child(&child);
    kill_process(process, Signal::INT).expect("it is there");
    // The pipe stays open: it would wait for more.
    let output = child.wait_with_output().expect("it ends");
    drop(input);
    assert_eq!(output.status.code(), Some(3));
    let error = stderr(&output);
    assert!(
        error.starts_with("standard input: unknown: interrupted when "),
        "{error}"
    );
    assert!(
        error.contains("valid.edn: unknown: interrupted before it was read"),
        "{error}"
    );
}

#[test]
fn what_a_set_lost_is_named() {
    let set = (
        "set.edn",
        "{:process 0 :type :invoke :f :add :value 1}
         {:process 0 :type :ok :f :add :value 1}
         {:process 1 :type :invoke :f :read}
         {:process 1 :type :ok :f :read :value #{5}}",
    );
    let output = run_in(&[set], &["check", "set.edn"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    for words in ["1 NotLinearizable", "INVALID: 1 Lost, 1 Unexpected"] {
        assert!(text.contains(words), "{words} in {text}");
    }
}

/// A register whose writes are of unknown outcome, and what it is read as then.
fn unknown_writes(writes: u32, reads: impl Iterator<Item = u32>) -> String {
    let mut text = String::new();
    for value in 1..=writes {
        let _ = writeln!(
            text,
            "{{:process {value} :type :invoke :f :write :value {value}}}"
        );
        let _ = writeln!(
            text,
            "{{:process {value} :type :info :f :write :value {value}}}"
        );
    }
    for value in reads {
        let _ = writeln!(text, "{{:process 0 :type :invoke :f :read :value nil}}");
        let _ = writeln!(text, "{{:process 0 :type :ok :f :read :value {value}}}");
    }
    text
}

#[test]
fn many_unknown_writes_are_judged_in_few_steps() {
    let judged = |text: String| {
        let arguments = ["check", "--steps", "100000", "history.edn"];
        run_in(&[("history.edn", &text)], &arguments).status.code()
    };
    assert_eq!(judged(unknown_writes(60, (1..=60).rev())), Some(0));
    assert_eq!(judged(unknown_writes(60, [1, 2, 1].into_iter())), Some(1));
    assert_eq!(judged(unknown_writes(60, [99].into_iter())), Some(1));
    assert_eq!(judged(unknown_writes(60, [1, 0].into_iter())), Some(1));
}

#[test]
fn a_long_illegal_history_is_made_small_within_its_steps() {
    let mut text = String::new();
    for value in 0..10_000 {
        let read = if value == 9_990 { 7 } else { value };
        let _ = writeln!(
            text,
            "{{:process 0 :type :invoke :f :write :value {value}}}"
        );
        let _ = writeln!(text, "{{:process 0 :type :ok :f :write :value {value}}}");
        let _ = writeln!(text, "{{:process 1 :type :invoke :f :read :value nil}}");
        let _ = writeln!(text, "{{:process 1 :type :ok :f :read :value {read}}}");
    }
    let output = run_in(&[("history.edn", &text)], &["check", "history.edn"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stdout(&output);
    assert!(
        text.contains("the only possible state before it returned: 9990"),
        "{text}"
    );
    assert!(text.lines().count() < 20, "{text}");
}

#[test]
fn what_cannot_be_converted_costs_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("valid.edn"), folder.path().join("kept"));
    std::fs::write(&from, VALID.1).expect("a file");
    std::fs::write(&to, "kept").expect("a file");
    let mut command = Command::new(BINARY);
    let command = command.arg("convert").arg(&from);
    let command = command.args(["--to", "s2", "-o"]).arg(&to);
    assert_eq!(command.output().expect("it runs").status.code(), Some(2));
    assert_eq!(std::fs::read_to_string(&to).expect("it is there"), "kept");
}

#[test]
fn files_that_are_no_utf8_text_are_told_from_others() {
    let check = |bytes: &[u8], arguments: &[&str]| {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("history");
        std::fs::write(&file, bytes).expect("a file");
        let mut command = Command::new(BINARY);
        let command = command.arg("check").arg(&file).args(arguments);
        command.output().expect("it runs")
    };
    let marked = [b"\xef\xbb\xbf", VALID.1.as_bytes()].concat();
    for arguments in [&[][..], &["--format", "edn"]] {
        assert_eq!(check(&marked, arguments).status.code(), Some(0));
        for (bytes, what) in [
            (&b"\x1f\x8b\x08\0"[..], "gunzip"),
            (b"\xff\xfe{\0:\0", "iconv"),
            (b"\xfe\xff\0{\0:", "iconv"),
        ] {
            let output = check(bytes, arguments);
            assert_eq!(output.status.code(), Some(2));
            assert!(stderr(&output).contains(what), "{}", stderr(&output));
        }
    }
}

#[test]
fn a_value_that_the_object_does_not_have_is_shown_in_the_file() {
    let text = "{:process 0 :type :invoke :f :read :value nil}
  {:process 0 :type :ok :f :read :value 3}";
    for model in ["set", "set-full"] {
        let output = run_in(
            &[("set.edn", text)],
            &["check", "--model", model, "set.edn"],
        );
        assert_eq!(output.status.code(), Some(2));
        let place = "set.edn: line 2, column 3: the result of `read` is 3";
        assert!(stderr(&output).contains(place), "{}", stderr(&output));
    }
    let output = run_in(
        &[("set.edn", text)],
        &["check", "--model", "mutex", "set.edn"],
    );
    let place = "set.edn: line 1, column 1: there is no function `read`";
    assert!(stderr(&output).contains(place), "{}", stderr(&output));
}
