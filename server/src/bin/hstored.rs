//! `hstored`: one node.

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hstore_server::config::node::{Flags, NodeConfig};
use hstore_server::daemon::{self, DaemonError, Ready};
use hstore_server::logging;
use tokio::io::AsyncReadExt;
use tokio::signal::unix::{SignalKind, signal};

/// Runs one node of an HStore cluster.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
What the file says, an environment variable overrides (HSTORED_NODE, HSTORED_CLUSTER, HSTORED_DATA,
HSTORED_LISTEN, HSTORED_STORE__FLUSH_BYTES, HSTORED_STORE__CACHE_BYTES), and a flag overrides both.

Examples:
  hstored --config node-0/node.toml
  hstored --node 0 --cluster cluster.toml --data node-0/data
  HSTORE_LOG=debug hstored --config node-0/node.toml

Logs go to standard error, from level `info` on, or as HSTORE_LOG says. When the node takes
connections it prints a line that begins with `ready` on standard output. SIGTERM and SIGINT stop it.

Exit codes:
  0  it was stopped
  2  its configuration is wrong
  3  its data directory was refused: in use, another node's, or of a newer format
  4  its store failed: what is not yet acknowledged may be lost, nothing else
  1  anything else, such as an address that is taken"
)]
struct Arguments {
    /// The node's file, TOML: `node`, `cluster`, `data`, and if wanted `listen` and `[store]`.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which node of the cluster this is.
    #[arg(long, value_name = "NUMBER")]
    node: Option<String>,
    /// The cluster's file.
    #[arg(long, value_name = "FILE")]
    cluster: Option<String>,
    /// The directory of the node's data; created if it is missing.
    #[arg(long, value_name = "DIRECTORY")]
    data: Option<String>,
    /// Where to listen, if not at the address in the cluster's file.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Also stop when standard input ends: when whoever started this process is gone.
    #[arg(long)]
    stop_with_input: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = logging::begin("info") {
        return end(2, error);
    }
    let flags = Flags {
        node: arguments.node,
        cluster: arguments.cluster,
        data: arguments.data,
        listen: arguments.listen,
    };
    let environment = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings = NodeConfig::read(arguments.config.as_deref(), environment.collect(), &flags);
    let settings = match settings {
        Ok(settings) => settings,
        Err(error) => return end(2, error),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return end(1, error),
    };
    let ran = runtime.block_on(async {
        let stop = stopped(arguments.stop_with_input)?;
        Ok(daemon::run(settings, stop, say_ready).await)
    });
    // Reading standard input cannot be interrupted: not waited for.
    runtime.shutdown_background();
    match ran {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let code = match &error {
                DaemonError::Identity(_) => 3,
                DaemonError::Store(_) | DaemonError::StorageGone | DaemonError::Boot(_) => 4,
                // Of the object store nothing was asked yet: the configuration is wrong.
                DaemonError::Objects(_) => 2,
                DaemonError::Listen { .. } | DaemonError::Entropy(_) => 1,
            };
            end(code, error)
        }
        Err(error) => {
            let error: std::io::Error = error;
            end(1, error)
        }
    }
}

fn end(code: u8, error: impl Display) -> ExitCode {
    // Nothing is left to say if standard error is closed too.
    let _ = writeln!(std::io::stderr(), "hstored: {error}");
    ExitCode::from(code)
}

fn say_ready(ready: Ready) {
    let Ready { node, listen } = ready;
    tracing::info!(%node, listen, "takes connections");
    // Nobody may be interested.
    let _ = writeln!(std::io::stdout(), "ready node {} on {listen}", node.0);
}

/// Is ready when the process shall stop.
fn stopped(with_input: bool) -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let input_ends = async move {
        if !with_input {
            std::future::pending::<()>().await;
        }
        let mut byte = [0; 256];
        let mut input = tokio::io::stdin();
        while matches!(input.read(&mut byte).await, Ok(count) if count > 0) {}
    };
    Ok(async move {
        tokio::select! {
            biased;
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = input_ends => {}
        }
    })
}
