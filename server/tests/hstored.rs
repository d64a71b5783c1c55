//! The program `hstored`: its beginning and its ends.

mod common;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use common::{Nodes, output, read_all};
use hstore_core::{LogId, Lsn, NodeId, Record};
use hstore_replicator::client::{Call, Outcome};
use hstore_replicator::message::Conditions;
use hstore_replicator::reader::Delivery;
use hstore_server::client::Session;
use hstore_server::clock::Clock;
use tokio::task::JoinSet;

const NODE: NodeId = NodeId(0);

#[test]
fn a_wrong_configuration_ends_with_code_2_and_a_sentence() {
    let nodes = Nodes::prepare(1, 1, 1);
    let (code, _, error) = output(nodes.command(NODE).args(["--node", "7"]));
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("--node: `node` is `7`: expected a node of"),
        "{error}"
    );
    let (code, _, error) = output(nodes.command(NODE).env("HSTORED_LISTEN", "here"));
    assert_eq!(code, Some(2), "{error}");
    assert!(
        error.contains("the environment: `listen` is `here`: expected a host"),
        "{error}"
    );
    let (code, _, error) =
        output(Command::new(env!("CARGO_BIN_EXE_hstored")).args(["--config", "/nowhere"]));
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("/nowhere: cannot read this file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_has_one_node_and_one_process() {
    let mut nodes = Nodes::prepare(2, 1, 1);
    nodes.run(NODE);
    let address = "127.0.0.1:1";
    let (code, _, error) = output(nodes.command(NODE).args(["--listen", address]));
    assert_eq!(code, Some(3), "{error}");
    assert!(error.contains("is in use by another process"), "{error}");
    assert!(nodes.terminate(NODE).success());

    let data = nodes.data(NODE).display().to_string();
    let (code, _, error) = output(nodes.command(NodeId(1)).args(["--data", &data]));
    assert_eq!(code, Some(3), "{error}");
    assert!(
        error.contains("belongs to node 0 of cluster `test`"),
        "{error}"
    );
    assert!(
        error.contains("this process is node 1 of cluster `test`"),
        "{error}"
    );

    let identity = nodes.data(NODE).join("identity");
    let text = std::fs::read_to_string(&identity).expect("there");
    let newer = text.replace("format = 1", "format = 2");
    assert_ne!(text, newer);
    std::fs::write(&identity, newer).expect("written");
    let (code, _, error) = output(&mut nodes.command(NODE));
    assert_eq!(code, Some(3), "{error}");
    assert!(
        error.contains("has format 2, this build reads format 1"),
        "{error}"
    );

    std::fs::write(&identity, text).expect("written");
    let taken = TcpListener::bind(&nodes.cluster.addresses[&NODE]).expect("free");
    let (code, _, error) = output(&mut nodes.command(NODE));
    assert_eq!(code, Some(1), "{error}");
    assert!(error.contains("cannot listen on 127.0.0.1:"), "{error}");
    drop(taken);
    nodes.run(NODE);
    assert_eq!(nodes.status(NODE).await.incarnation, 2);
}

/// The file system takes no more: the store fails. The node ends, and nothing acknowledged is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_failing_store_ends_the_node() {
    let mut nodes = Nodes::prepare(1, 1, 1);
    let limited = nodes.command(NODE);
    let mut shell = Command::new("sh");
    // Files of at most 1 or 2 MiB, depending on the shell.
    shell.args(["-c", "trap '' XFSZ; ulimit -f 2048; exec \"$@\"", "sh"]);
    shell.arg(limited.get_program()).args(limited.get_args());
    let mut child = shell
        .arg("--stop-with-input")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    out.read_line(&mut line).expect("a line");
    assert!(line.starts_with("ready"), "{line}");

    let made = Session::new(Arc::clone(&nodes.cluster), Clock::start());
    let (session, driving) = made.expect("random numbers");
    let mut driver = JoinSet::new();
    driver.spawn(driving);
    let log = LogId(1);
    let mut acknowledged = Vec::new();
    loop {
        let payload = Bytes::from(format!("{:060000}", acknowledged.len()));
        let record = Record::new(payload.clone());
        let outcome = session
            .call(Call::Append {
                log,
                record,
                conditions: Conditions::NONE,
            })
            .await;
        match outcome.expect("the session goes on") {
            Outcome::Appended(lsn) => acknowledged.push((lsn, payload)),
            Outcome::Failed | Outcome::Unknown => break,
            other => panic!("{other:?}"),
        }
        assert!(acknowledged.len() < 1000, "the limit was not met");
    }
    let status = child.wait().expect("it ended");
    let error = read_all(child.stderr.take().expect("piped"));
    assert_eq!(status.code(), Some(4), "{error}");
    assert!(error.contains("the store failed"), "{error}");
    assert!(!acknowledged.is_empty());

    nodes.run(NODE);
    let (from, limit) = (Lsn::FIRST, usize::MAX);
    let read = loop {
        match session.call(Call::Read { log, from, limit }).await {
            Ok(Outcome::Read { deliveries, .. }) => break deliveries,
            Ok(Outcome::Unknown) => {}
            other => panic!("{other:?}"),
        }
    };
    let found: Vec<_> = read
        .into_iter()
        .filter_map(|it| match it {
            Delivery::Record(lsn, it) => Some((lsn, it.record.payload)),
            Delivery::Gap { .. } => None,
        })
        .collect();
    for record in &acknowledged {
        assert!(found.contains(record), "{} is lost", record.0);
    }
}
