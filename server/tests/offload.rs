//! History moves to an object store while nodes are killed, and is read back from there.

mod common;

use std::path::Path;

use common::load::{Load, assert_valid};
use common::s3::S3;
use common::{Nodes, hstore, output};
use hstore_core::{LogId, NodeId};

/// Appends that are acknowledged between two kills.
const BETWEEN: u64 = 150;

/// Segments that are small and soon there, and nodes that keep next to nothing of what is in them.
fn moves_at_once(url: &str) -> (String, &'static str) {
    let cluster = format!(
        "[tier2]\nurl = \"{url}\"\nsegment_kib = 8\nsegment_age_ms = 200\nblock_kib = 1\ngrace_ms = 300\ncare_ms = 100\n"
    );
    (cluster, "tiered = true\nlocal_kib = 4\n")
}

/// Nodes are killed in turn, and three times whoever moves a log, under load; then everything is read back.
async fn history_moves_and_is_read_back(mut nodes: Nodes) -> Nodes {
    let mut load = Load::start(&nodes.cluster, 4);
    for turn in 0..6 {
        load.progress(BETWEEN).await;
        let sequencer = nodes.sequencer(LogId(1)).await;
        let node = match (turn % 2, sequencer) {
            (1, Some(sequencer)) => sequencer,
            _ => nodes.all()[turn / 2],
        };
        nodes.kill(&[node]);
        load.progress(BETWEEN).await;
        nodes.run(node);
    }
    load.progress(BETWEEN).await;
    let report = load.finish().await;
    assert_valid(&report, 13 * BETWEEN);
    nodes
}

async fn sum(nodes: &Nodes, counter: &str) -> u64 {
    let mut sum = 0;
    for node in nodes.all() {
        let counters = nodes.status(node).await.counters;
        sum += counters.get(counter).copied().unwrap_or(0);
    }
    sum
}

#[tokio::test(flavor = "multi_thread")]
async fn history_moves_to_local_files() {
    let bucket = tempfile::tempdir().expect("a temporary directory");
    let url = format!("file://{}", bucket.path().display());
    let (cluster, log) = moves_at_once(&url);
    let nodes = Nodes::prepare_with(3, 2, 2, &cluster, log).run_all(&[]);
    let nodes = history_moves_and_is_read_back(nodes).await;
    let (committed, handed) = (
        sum(&nodes, "segments_committed").await,
        sum(&nodes, "handed_over").await,
    );
    let cold = sum(&nodes, "cold_reads").await;
    println!("{committed} segments, handed over {handed} times, {cold} cold reads");
    assert!(committed > 0 && handed > 0 && cold > 0);
    assert!(segments(bucket.path()) > 0);
    let (_, told, said) = output(hstore(&nodes.file("cluster.toml")).arg("status"));
    let is_told =
        told.contains("in the object store up to e") && told.contains(" bytes of records");
    assert!(is_told, "{told}{said}");
    // The bucket alone tells the oldest records of the log, also with all nodes gone.
    let file = nodes.file("cluster.toml");
    let all = records(&file, &["read", "1", "--json"]);
    let nodes = nodes.without_nodes();
    let kept = records(&file, &["rebuild", "1", "--records", "--json"]);
    assert!(!kept.is_empty() && all.starts_with(&kept));
    let (code, told, said) = output(hstore(&file).args(["rebuild", "1"]));
    assert_eq!(code, Some(0), "{said}");
    assert!(told.contains(" records, ") && said.contains("by the manifest's copy"));
    let (code, _, said) = output(hstore(&file).args(["rebuild", "9"]));
    assert_eq!(code, Some(2), "{said}");
    drop(nodes);
}

/// The records that a command tells, in order.
fn records(cluster: &Path, arguments: &[&str]) -> Vec<String> {
    let (code, told, said) = output(hstore(cluster).args(arguments));
    assert_eq!(code, Some(0), "{said}");
    let lines = told.lines().filter(|it| it.contains("\"time_ms\""));
    lines.map(str::to_owned).collect()
}

fn segments(directory: &Path) -> usize {
    let entries = std::fs::read_dir(directory).expect("it is a directory");
    let count = |entry: std::fs::DirEntry| {
        let path = entry.path();
        if path.is_dir() {
            segments(&path)
        } else {
            usize::from(path.extension().is_some_and(|it| it == "seg"))
        }
    };
    entries
        .map(|entry| count(entry.expect("it can be read")))
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn history_moves_to_an_s3_server() {
    let s3 = S3::start();
    let (cluster, log) = moves_at_once("s3://bucket/history");
    let nodes = Nodes::prepare_with(3, 2, 2, &cluster, log).run_all(&s3.environment());
    let nodes = history_moves_and_is_read_back(nodes).await;
    let cold = sum(&nodes, "cold_reads").await;
    assert!(sum(&nodes, "segments_committed").await > 0 && cold > 0);
    // Credentials never appear.
    for node in nodes.all() {
        let log = nodes.log(node);
        assert!(!log.contains(common::s3::SECRET) && !log.contains(common::s3::KEY_ID));
    }
}

#[test]
fn a_store_that_cannot_be_moved_to_is_refused_with_a_sentence() {
    for (url, why) in [
        (
            "https://127.0.0.1:1/dav",
            "cannot refuse to overwrite an object, so history cannot be moved to it",
        ),
        ("file:///not/there", "is not a directory"),
        ("s3://user:secret@bucket", "has credentials in it"),
        ("ftp://host/path", "its scheme is unknown"),
        ("https://127.0.0.1:1/dav#secret@", "(a URL with an `@`)"),
    ] {
        let (cluster, log) = moves_at_once(url);
        let nodes = Nodes::prepare_with(1, 1, 1, &cluster, log);
        let output = nodes.command(NodeId(0)).output().expect("hstored runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{said}");
        assert!(!said.contains("secret@"), "{said}");
    }
}
