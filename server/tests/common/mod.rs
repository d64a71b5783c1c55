//! Real nodes for tests: processes that are started, killed and started again.

// Each test uses its part of this.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;

use hstore_core::{LogId, NodeId};
use hstore_server::client;
use hstore_server::config::cluster::Cluster;
use hstore_server::metrics::Status;
use hstore_server::ports;

pub(crate) mod load;
pub(crate) mod s3;

/// A cluster of processes on this machine. They end with it.
pub(crate) struct Nodes {
    directory: tempfile::TempDir,
    pub(crate) cluster: Arc<Cluster>,
    running: BTreeMap<NodeId, Running>,
    /// What processes find in their environment beside the test's.
    environment: Vec<(String, String)>,
}

struct Running {
    child: Child,
    /// Its standard input: when it is closed, the process stops.
    _input: ChildStdin,
}

impl Nodes {
    /// Starts a cluster.
    pub(crate) fn start(nodes: usize, logs: u32, copies: u8) -> Self {
        let mut it = Self::prepare(nodes, logs, copies);
        for node in it.all() {
            it.run(node);
        }
        it
    }

    /// Writes the files of a cluster.
    pub(crate) fn prepare(nodes: usize, logs: u32, copies: u8) -> Self {
        Self::prepare_with(nodes, logs, copies, "", "")
    }

    /// The same, with more said of the cluster, and of each log.
    pub(crate) fn prepare_with(
        nodes: usize,
        logs: u32,
        copies: u8,
        of_cluster: &str,
        of_logs: &str,
    ) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ports = ports::free(nodes).expect("free ports");
        let addresses: Vec<_> = ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        let file = directory.path().join("cluster.toml");
        let text = Cluster::write_plain("test", &addresses, logs, copies);
        let line = format!("copies = {copies}\n");
        let text = text.replace(&line, &format!("{line}{of_logs}")) + of_cluster;
        std::fs::write(&file, text).expect("written");
        let cluster = Arc::new(Cluster::read(&file).expect("valid"));
        for node in cluster.addresses.keys() {
            let text = format!(
                "node = {0}\ncluster = \"cluster.toml\"\ndata = \"node-{0}\"\n",
                node.0
            );
            std::fs::write(directory.path().join(format!("node-{}.toml", node.0)), text)
                .expect("written");
        }
        Self {
            directory,
            cluster,
            running: BTreeMap::new(),
            environment: Vec::new(),
        }
    }

    /// Starts all nodes, with this in their environment.
    pub(crate) fn run_all(mut self, environment: &[(String, String)]) -> Self {
        self.environment = environment.to_vec();
        for node in self.all() {
            self.run(node);
        }
        self
    }

    pub(crate) fn all(&self) -> Vec<NodeId> {
        self.cluster.addresses.keys().copied().collect()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn data(&self, node: NodeId) -> PathBuf {
        self.file(&format!("node-{}", node.0))
    }

    pub(crate) fn pid(&self, node: NodeId) -> u32 {
        self.running[&node].child.id()
    }

    /// The command that runs a node.
    pub(crate) fn command(&self, node: NodeId) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hstored"));
        command
            .envs(self.environment.iter().cloned())
            .arg("--config")
            .arg(self.file(&format!("node-{}.toml", node.0)));
        command
    }

    /// Starts a node, and returns when it takes connections.
    pub(crate) fn run(&mut self, node: NodeId) {
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.file(&format!("node-{}.log", node.0)))
            .expect("a log file");
        let mut child = self
            .command(node)
            .arg("--stop-with-input")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("hstored starts");
        let input = child.stdin.take().expect("piped");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped"))
            .read_line(&mut line)
            .expect("a line");
        assert!(
            line.starts_with("ready"),
            "node {} did not start:\n{}",
            node.0,
            self.log(node)
        );
        let running = Running {
            child,
            _input: input,
        };
        assert!(self.running.insert(node, running).is_none());
    }

    /// Kills all nodes; their files stay.
    pub(crate) fn without_nodes(mut self) -> Self {
        self.kill(&self.all());
        self
    }

    /// What the node has logged, over all its lives.
    pub(crate) fn log(&self, node: NodeId) -> String {
        let path = self.file(&format!("node-{}.log", node.0));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// `kill -9` of several nodes at once.
    pub(crate) fn kill(&mut self, nodes: &[NodeId]) {
        let mut killed = Vec::new();
        for node in nodes {
            let mut running = self.running.remove(node).expect("it runs");
            running.child.kill().expect("it can be killed");
            killed.push(running);
        }
        for mut running in killed {
            running.child.wait().expect("it ended");
        }
    }

    /// SIGTERM, and waits.
    pub(crate) fn terminate(&mut self, node: NodeId) -> ExitStatus {
        let mut running = self.running.remove(&node).expect("it runs");
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -TERM {}", running.child.id())])
            .status()
            .expect("a shell");
        assert!(sent.success());
        running.child.wait().expect("it ended")
    }

    pub(crate) async fn status(&self, node: NodeId) -> Status {
        client::status(&self.cluster, node).await.expect("a status")
    }

    /// The node that sequences a log, if one says so.
    pub(crate) async fn sequencer(&self, log: LogId) -> Option<NodeId> {
        for &node in self.running.keys() {
            let status = self.status(node).await;
            let sequences =
                |it: &&hstore_server::metrics::LogStatus| it.log == log.0 && it.sequences.is_some();
            if status.logs.iter().any(|it| sequences(&it)) {
                return Some(node);
            }
        }
        None
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for running in self.running.values_mut() {
            // It may have ended by itself.
            let _ = running.child.kill();
            let _ = running.child.wait();
        }
        if std::thread::panicking() {
            for node in self.all() {
                let log = self.log(node);
                let tail: Vec<&str> = log.lines().rev().take(40).collect();
                eprintln!("--- node {} (latest lines first)", node.0);
                eprintln!("{}", tail.join("\n"));
            }
        }
    }
}

/// Runs a command to its end: exit code, standard output, standard error.
pub(crate) fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let output = command.output().expect("it runs");
    (
        output.status.code(),
        String::from_utf8(output.stdout).expect("text"),
        String::from_utf8(output.stderr).expect("text"),
    )
}

/// `hstore`, with the cluster's file.
pub(crate) fn hstore(cluster: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hstore"));
    command.env("HSTORE_CLUSTER", cluster);
    command
}

/// All of a stream.
pub(crate) fn read_all(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("text");
    text
}
