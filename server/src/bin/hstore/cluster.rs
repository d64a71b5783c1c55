//! `hstore cluster start`: real processes on this machine.
//!
//! The nodes are given a pipe as standard input and stop when it ends: however this process ends, they do
//! not outlive it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use hstore_core::{LogId, NodeId, NodeSet};
use hstore_server::client;
use hstore_server::config::cluster::Cluster;
use hstore_server::ports;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::output::{note, print, wrong};

/// How long is waited for all logs to be ready.
const SEQUENCED_WITHIN: Duration = Duration::from_secs(15);
/// How often is looked whether they are.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

#[derive(clap::Args)]
pub(crate) struct Start {
    /// How many nodes; 3, if nothing is said.
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=128))]
    nodes: Option<u8>,
    /// Where the cluster's file and data are put.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// How many logs, numbered from 1; 1, if nothing is said.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    logs: Option<u32>,
    /// How many copies of each record; a majority of the nodes, but no more than 3, if nothing is said:
    /// then appends go on without one of the nodes.
    #[arg(long)]
    copies: Option<u8>,
    /// Write JSON, for programs: a line when all nodes take connections.
    #[arg(long)]
    json: bool,
}

/// A node's process.
struct Process {
    pid: Option<u32>,
    /// It stops when this is closed.
    _input: Option<ChildStdin>,
}

/// Runs the command.
pub(crate) async fn start(start: Start) -> anyhow::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let dir = std::path::absolute(&start.dir)?;
    let file = dir.join("cluster.toml");
    if !file.exists() {
        create(&dir, &file, &start)?;
    }
    let cluster = Cluster::read(&file).map_err(wrong)?;
    compare(&cluster, &file, &start)?;

    let mut ends: JoinSet<(NodeId, std::io::Result<ExitStatus>)> = JoinSet::new();
    let mut processes = BTreeMap::new();
    let program = program()?;
    for &node in cluster.addresses.keys() {
        let mut child = spawn(&program, &dir, node)?;
        let process = Process {
            pid: child.id(),
            _input: child.stdin.take(),
        };
        processes.insert(node, process);
        let ready = is_ready(&mut child);
        let ready = tokio::select! {
            biased;
            ready = ready => ready,
            _ = interrupt.recv() => return stop(processes, ends).await,
            _ = terminate.recv() => return stop(processes, ends).await,
        };
        if !ready {
            let log = dir.join(directory_of(node)).join("log");
            let text = fs::read_to_string(&log).unwrap_or_default();
            let why = text.lines().last().unwrap_or("it said nothing").to_owned();
            let ended = child.wait().await?;
            drop(child);
            stop(processes, ends).await?;
            bail!("node {} did not start ({ended}): {why}", node.0);
        }
        ends.spawn(async move { (node, child.wait().await) });
    }
    tokio::select! {
        biased;
        _ = interrupt.recv() => return stop(processes, ends).await,
        _ = terminate.recv() => return stop(processes, ends).await,
        () = are_sequenced(&cluster) => {}
    }
    say_ready(&cluster, &file, &dir, &processes, start.json)?;

    let mut running = processes.len();
    loop {
        tokio::select! {
            biased;
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            Some(ended) = ends.join_next() => {
                let (node, status) = ended?;
                running -= 1;
                processes.remove(&node);
                let status = status?;
                let config = dir.join(directory_of(node)).join("node.toml");
                note(&format!(
                    "node {} ended ({status}); {running} of {} go on. To start it again:\n    {} --config {}",
                    node.0,
                    cluster.addresses.len(),
                    program.display(),
                    config.display()
                ));
                if running == 0 {
                    bail!("no node is left; their logs are in {}", dir.display());
                }
            }
        }
    }
    note("stopping");
    stop(processes, ends).await
}

fn directory_of(node: NodeId) -> String {
    format!("node-{}", node.0)
}

/// Appends need as many nodes as a record has copies: one may be missing.
fn default_copies(nodes: u8) -> u8 {
    (nodes / 2 + 1).min(3)
}

/// Writes the files of a new cluster.
fn create(dir: &Path, file: &Path, start: &Start) -> anyhow::Result<()> {
    let nodes = start.nodes.unwrap_or(3);
    let copies = start.copies.unwrap_or(default_copies(nodes));
    if copies == 0 || copies > nodes {
        return Err(wrong(format!(
            "--copies is {copies}: expected a number from 1 to {nodes}, the number of nodes"
        )));
    }
    assert!(usize::from(nodes) <= NodeSet::MAX_NODES);
    let ports = ports::free(usize::from(nodes)).context("no free ports")?;
    let addresses = ports.iter().map(|port| format!("127.0.0.1:{port}"));
    let addresses: Vec<String> = addresses.collect();
    let random = getrandom::u64().context("the operating system gives no random numbers")?;
    let name = format!("local-{random:016x}");
    let text = Cluster::write_plain(&name, &addresses, start.logs.unwrap_or(1), copies);
    let write = |path: &Path, text: &str| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    for node in 0..nodes {
        let directory = dir.join(directory_of(NodeId(node)));
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        let text = format!("node = {node}\ncluster = \"../cluster.toml\"\ndata = \"data\"\n");
        write(&directory.join("node.toml"), &text)?;
    }
    // Last, and by a rename: a cluster is there whole or not at all.
    let unfinished = dir.join("cluster.toml.new");
    write(&unfinished, &text)?;
    fs::rename(&unfinished, file).with_context(|| format!("cannot write {}", file.display()))
}

/// Whether what is there is what was asked for.
fn compare(cluster: &Cluster, file: &Path, start: &Start) -> anyhow::Result<()> {
    let differ = |what: &str, wanted: u32, found: usize| {
        let file = file.display();
        Err(wrong(format!(
            "--{what} is {wanted}: expected {found}, as in {file}, or a --dir without a cluster"
        )))
    };
    if let Some(nodes) = start.nodes
        && usize::from(nodes) != cluster.addresses.len()
    {
        return differ("nodes", nodes.into(), cluster.addresses.len());
    }
    let logs = &cluster.config.logs;
    if let Some(wanted) = start.logs
        && wanted as usize != logs.len()
    {
        return differ("logs", wanted, logs.len());
    }
    if let Some(copies) = start.copies
        && let Some(spec) = logs.get(&LogId(1))
        && let Some(replication) = spec.quorums.replication()
        && copies != replication.copies
    {
        return differ("copies", copies.into(), replication.copies.into());
    }
    Ok(())
}

/// `hstored`, which lies beside this program.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("where this program is cannot be told")?;
    let program = own.with_file_name("hstored");
    if !program.exists() {
        bail!(
            "there is no `hstored` beside this program, at {}: build it with `cargo build --release -p hstore-server`",
            program.display()
        );
    }
    Ok(program)
}

fn spawn(program: &Path, dir: &Path, node: NodeId) -> anyhow::Result<Child> {
    let directory = dir.join(directory_of(node));
    let path = directory.join("log");
    let log = fs::File::options().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("cannot write {}", path.display()))?;
    let child = Command::new(program)
        .arg("--config")
        .arg(directory.join("node.toml"))
        .arg("--stop-with-input")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn();
    child.with_context(|| format!("cannot run {}", program.display()))
}

/// Waits until the node takes connections. False if it ended before.
async fn is_ready(child: &mut Child) -> bool {
    let Some(output) = child.stdout.take() else {
        return false;
    };
    let mut line = String::new();
    let read = BufReader::new(output).read_line(&mut line).await;
    read.is_ok() && line.starts_with("ready")
}

/// Waits until every log has a sequencer that answers, or for [`SEQUENCED_WITHIN`].
async fn are_sequenced(cluster: &Cluster) {
    let all = async {
        let mut missing: BTreeSet<u32> = cluster.config.logs.keys().map(|log| log.0).collect();
        while !missing.is_empty() {
            for &node in cluster.addresses.keys() {
                let Ok(status) = client::status(cluster, node).await else {
                    continue;
                };
                let sequenced = status.logs.iter().filter(|log| log.sequences.is_some());
                for log in sequenced {
                    missing.remove(&log.log);
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    };
    if tokio::time::timeout(SEQUENCED_WITHIN, all).await.is_err() {
        note("not every log has a sequencer yet; `hstore status` tells");
    }
}

fn say_ready(
    cluster: &Cluster,
    file: &Path,
    dir: &Path,
    processes: &BTreeMap<NodeId, Process>,
    as_json: bool,
) -> anyhow::Result<()> {
    let pid = |node: &NodeId| processes.get(node).and_then(|it| it.pid);
    let text = if as_json {
        let nodes: Vec<_> = cluster
            .addresses
            .iter()
            .map(|(node, address)| json!({"node": node.0, "address": address, "pid": pid(node)}))
            .collect();
        let file = file.to_string_lossy();
        format!("{}\n", json!({"cluster": file, "nodes": nodes}))
    } else {
        let mut text = format!("cluster {} runs\n", cluster.name);
        for (node, address) in &cluster.addresses {
            let log = dir.join(directory_of(*node)).join("log");
            let pid = pid(node).map_or("?".to_owned(), |pid| pid.to_string());
            text += &format!(
                "  node {}  {address}  pid {pid}  log {}\n",
                node.0,
                log.display()
            );
        }
        text += &format!(
            "in another terminal:\n    export HSTORE_CLUSTER={}\n    echo hello | hstore append 1\n    hstore read 1\nCtrl-C stops all nodes\n",
            file.display()
        );
        text
    };
    print(text.as_bytes())?;
    Ok(())
}

/// Stops all nodes and waits until they have ended.
async fn stop(
    processes: BTreeMap<NodeId, Process>,
    mut ends: JoinSet<(NodeId, std::io::Result<ExitStatus>)>,
) -> anyhow::Result<()> {
    drop(processes);
    while let Some(ended) = ends.join_next().await {
        let (node, status) = ended?;
        let status = status?;
        if !status.success() {
            note(&format!("node {} ended with {status}", node.0));
        }
    }
    Ok(())
}
