//! The program `hstore`, against a cluster that it started itself.

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};

use common::{hstore, output};
use serde_json::Value;

/// `hstore cluster start`, which is interrupted at the end.
struct Started {
    child: Child,
    errors: BufReader<ChildStderr>,
    file: PathBuf,
    pids: Vec<u64>,
}

impl Started {
    fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_hstore"))
            .args(["cluster", "start", "--json", "--dir"])
            .arg(directory)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("a line");
        let told: Value = serde_json::from_str(&line).expect("JSON");
        let nodes = told["nodes"].as_array().expect("nodes");
        Self {
            errors: BufReader::new(child.stderr.take().expect("piped")),
            child,
            file: told["cluster"].as_str().expect("a path").into(),
            pids: nodes.iter().filter_map(|it| it["pid"].as_u64()).collect(),
        }
    }

    fn interrupt(mut self) {
        signal("INT", u64::from(self.child.id()));
        assert!(self.child.wait().expect("it ends").success());
        for pid in &self.pids {
            // Zombies of this process would still be there, but they are its children's no more.
            assert!(
                !Path::new(&format!("/proc/{pid}")).exists(),
                "{pid} lives on"
            );
        }
    }
}

fn signal(name: &str, pid: u64) {
    let sent = Command::new("sh")
        .args(["-c", &format!("kill -{name} {pid}")])
        .status();
    assert!(sent.expect("a shell").success());
}

fn lines(count: usize) -> String {
    (0..count).map(|it| format!("line {it} ü\n")).collect()
}

#[test]
fn without_a_cluster_it_says_how_to_start_one() {
    let nowhere = Path::new("/nowhere/cluster.toml");
    for command in [
        &["read", "1"][..],
        &["append", "1"],
        &["tail", "1"],
        &["status"],
    ] {
        let program = env!("CARGO_BIN_EXE_hstore");
        let mut plain = Command::new(program);
        let (code, _, error) = output(plain.args(command).env_remove("HSTORE_CLUSTER"));
        assert_eq!(code, Some(2), "{error}");
        assert!(
            error.contains("hstore cluster start --nodes 3 --dir DIR"),
            "{error}"
        );
        let (code, _, error) = output(hstore(nowhere).args(command));
        assert_eq!(code, Some(2), "{error}");
        assert!(
            error.contains("there is no cluster at /nowhere/cluster.toml"),
            "{error}"
        );
    }
}

#[test]
fn a_cluster_is_started_used_and_stopped() {
    let room = tempfile::tempdir().expect("a temporary directory");
    let directory = room.path().join("cluster");
    let started = Started::start(&directory, &["--nodes", "3", "--logs", "2"]);
    let file = started.file.clone();
    assert_eq!(file, directory.join("cluster.toml"));

    let input = room.path().join("input");
    std::fs::write(&input, lines(1000)).expect("written");
    let (code, out, error) = output(
        hstore(&file)
            .args(["append", "1", "--json", "--file"])
            .arg(&input),
    );
    assert_eq!(code, Some(0), "{error}");
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told["records"], 1000);
    assert_eq!(told["out_of_order"], 0);
    assert!(told["latency_us"]["p99"].as_u64() > Some(0));

    let (code, out, error) = output(hstore(&file).args(["read", "1", "--raw"]));
    assert_eq!((code, out), (Some(0), lines(1000)), "{error}");
    let (code, out, _) = output(hstore(&file).args(["read", "1", "--json", "--limit", "2"]));
    assert_eq!(code, Some(0));
    let first: Value = serde_json::from_str(out.lines().next().expect("two")).expect("JSON");
    assert_eq!(first["record"], "line 0 ü");
    let from = first["lsn"].as_str().expect("an LSN");
    let (_, again, _) =
        output(hstore(&file).args(["read", "1", "--json", "--limit", "2", "--from", from]));
    assert_eq!(again, out);

    // A log of its own, from standard input.
    let mut append = hstore(&file)
        .args(["append", "2"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stdin = append.stdin.take().expect("piped");
    stdin.write_all(b"hello\nworld").expect("it reads");
    drop(stdin);
    let told = append.wait_with_output().expect("it ends");
    assert!(told.status.success());
    let text = String::from_utf8(told.stdout).expect("text");
    assert!(text.starts_with("2 records, 10 bytes, from e"), "{text}");
    assert!(text.contains("records/s") && text.contains("p99"), "{text}");
    let (_, out, _) = output(hstore(&file).args(["read", "2"]));
    let out: Vec<_> = out
        .lines()
        .filter_map(|line| line.split_once("  "))
        .collect();
    assert_eq!(
        out.iter().map(|it| it.1).collect::<Vec<_>>(),
        ["hello", "world"]
    );
    let (_, tail, _) = output(hstore(&file).args(["tail", "2"]));
    let epoch = out[1].0.split_once(':').expect("an LSN").0;
    assert_eq!(tail, format!("{epoch}:3\n"));

    // The second record is found by its time, the first is given up.
    let (_, polled, _) = output(hstore(&file).args(["read", "2", "--poll", "--json"]));
    let polled: Vec<Value> = polled
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let records: Vec<&Value> = polled
        .iter()
        .filter(|it| it["record"] != Value::Null)
        .collect();
    assert_eq!(records.len(), 2, "{polled:?}");
    let ms = records[1]["time_ms"].to_string();
    let (code, found, error) = output(hstore(&file).args(["find-time", "2", "--ms", &ms]));
    assert_eq!(code, Some(0), "{error}");
    assert!([out[0].0, out[1].0].contains(&found.trim()), "{found}");
    let (code, _, error) = output(hstore(&file).args(["trim", "2", "--upto", out[0].0]));
    assert_eq!(code, Some(0), "{error}");
    let (_, left, _) = output(hstore(&file).args(["read", "2", "--raw"]));
    assert_eq!(left, "world\n");
    let beyond = format!("{epoch}:9");
    let (code, _, error) = output(hstore(&file).args(["trim", "2", "--upto", &beyond]));
    assert_eq!(code, Some(1));
    assert!(error.contains("is not released"), "{error}");

    let (code, _, error) = output(hstore(&file).args(["read", "3"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("has no log 3; it has 1, 2"), "{error}");
    let (code, _, error) = output(hstore(&file).args(["read", "1", "--from", "17"]));
    assert_eq!(code, Some(2));
    assert!(error.contains("`17` is not an LSN"), "{error}");

    let (code, out, _) = output(hstore(&file).args(["status", "--json"]));
    assert_eq!(code, Some(0));
    let told: Value = serde_json::from_str(&out).expect("JSON");
    let acknowledged = told.as_array().expect("nodes").iter();
    let counter = |it: &Value| it["status"]["counters"]["appends_acknowledged"].as_u64();
    assert_eq!(acknowledged.filter_map(counter).sum::<u64>(), 1002);
    let (_, out, _) = output(hstore(&file).arg("status"));
    assert!(
        out.contains("append_us") && out.contains("wal_syncs"),
        "{out}"
    );

    one_node_dies(started, &file, &input);
    it_is_started_again(&directory);
}

fn one_node_dies(mut started: Started, file: &Path, input: &Path) {
    signal("KILL", started.pids[1]);
    let mut line = String::new();
    started.errors.read_line(&mut line).expect("a line");
    assert!(line.starts_with("node 1 ended (signal: 9"), "{line}");
    assert!(line.contains("2 of 3 go on"), "{line}");
    // A record may have been on its way to a node that had just died: only its line would be unknown.
    let (code, _, error) = output(hstore(file).args(["append", "1", "--file"]).arg(input));
    assert_eq!(code, Some(0), "{error}");
    let (code, out, _) = output(hstore(file).args(["status", "--json"]));
    assert_eq!(code, Some(0));
    let told: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!(told[1]["status"], Value::Null);
    started.interrupt();

    let (code, _, error) = output(hstore(file).arg("status"));
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("hstore cluster start --dir"), "{error}");
    let (code, _, error) = output(hstore(file).args(["append", "1", "--file"]).arg(input));
    assert_eq!(code, Some(3), "{error}");
}

fn it_is_started_again(directory: &Path) {
    let program = env!("CARGO_BIN_EXE_hstore");
    let wrong = ["cluster", "start", "--nodes", "4", "--dir"];
    let (code, _, error) = output(Command::new(program).args(wrong).arg(directory));
    assert_eq!(code, Some(2));
    assert!(error.contains("--nodes is 4: expected 3, as in"), "{error}");
    let started = Started::start(directory, &[]);
    let (code, out, error) = output(hstore(directory).args(["read", "1", "--raw"]));
    assert_eq!(
        (code, out),
        (Some(0), lines(1000) + &lines(1000)),
        "{error}"
    );
    started.interrupt();
}
