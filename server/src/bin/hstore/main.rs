//! `hstore`: starts clusters, and uses them.

mod append;
mod cluster;
mod moving;
mod output;
mod reach;
mod read;
mod rebuild;
mod status;
mod trim;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use hstore_core::Lsn;
use hstore_core::quorum::Replication;
use hstore_server::logging;

use crate::output::Failure;

/// Starts clusters of HStore, and appends to and reads from their logs.
#[derive(Parser)]
#[command(
    version,
    after_help = "\
Examples:
  hstore cluster start --nodes 3 --dir demo
  export HSTORE_CLUSTER=demo/cluster.toml
  echo hello | hstore append 1
  hstore read 1

Exit codes:
  0  done
  1  something else failed, such as a file that cannot be read
  2  wrong arguments, a wrong configuration, or no cluster was named
  3  the cluster did not answer in time; for `append`: no record of unknown fate is left
  4  `append` cannot tell whether some records stand in the log
  5  a line was not appended: what it demands was not so, or the log cannot take it"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// Which cluster.
#[derive(clap::Args)]
struct Which {
    /// The cluster's file, or the directory that `cluster start` was given.
    #[arg(long, env = "HSTORE_CLUSTER", value_name = "PATH")]
    cluster: Option<PathBuf>,
    /// Write JSON, for programs.
    #[arg(long)]
    json: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Run a cluster on this machine.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    /// Append records to a log: one for each line.
    #[command(after_help = "\
Records keep the order of their lines as long as the log keeps its sequencer; if some stand in another
order, that is said. With `--window 1` each waits for the one before it.

When an append's fate is unknown (its node died with it on the way), nothing further is appended, and the
lines are named: appending them again could write them twice. With `--producer` it does not: the same
lines appended again under the same names stand once, and so lines of unknown fate are tried again.

A line that demands something and does not get it is not appended, and neither is any after it; what was
so instead is told.

Examples:
  echo hello | hstore append 1
  hstore append 1 --file lines.txt
  hstore append 1 --file lines.txt --producer 7
  echo mine | hstore append 1 --expect e3:17
  hstore append 1 --file lines.txt --token 4 --set-token 5
  hstore append 1 --file lines.txt --json")]
    Append {
        /// The log's number.
        log: u32,
        /// Where the lines are; `-` is standard input.
        #[arg(long, value_name = "FILE", default_value = "-")]
        file: PathBuf,
        /// How many records may be on their way at a time.
        #[arg(long, value_name = "RECORDS", default_value_t = 128, value_parser = clap::value_parser!(u16).range(1..=200))]
        window: u16,
        #[command(flatten)]
        demands: append::Demands,
        #[command(flatten)]
        which: Which,
    },
    /// Read a log, up to its end as it is when the reading begins.
    #[command(after_help = "\
Examples:
  hstore read 1
  hstore read 1 --from e3:17 --limit 10
  hstore read 1 --raw > lines.txt
  hstore read 1 --json | jq .record")]
    Read {
        /// The log's number.
        log: u32,
        /// The first LSN to read, such as `e3:17`.
        #[arg(long, value_name = "LSN", default_value_t = Lsn::FIRST)]
        from: Lsn,
        /// At most so many records.
        #[arg(long, value_name = "RECORDS")]
        limit: Option<usize>,
        /// Read what is released, without proof that nothing newer is: faster, and perhaps less.
        #[arg(long)]
        poll: bool,
        /// Write the records alone, one a line.
        #[arg(long, conflicts_with = "json")]
        raw: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Tell where a log ends: the LSN that its next record gets.
    #[command(after_help = "\
Examples:
  hstore tail 1
  hstore tail 1 -f")]
    Tail {
        /// The log's number.
        log: u32,
        /// Go on with the records that are appended from now on, until interrupted.
        #[arg(short, long)]
        follow: bool,
        /// Write the records alone, one a line.
        #[arg(long, conflicts_with = "json")]
        raw: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Move a log: to another leader, to other nodes, or to another quorum system, while it is used.
    #[command(after_help = "\
What was appended before stays where it is, and readable. Appends wait for some milliseconds meanwhile.

Examples:
  hstore move 1 --to n2                       # hand the log over to node 2
  hstore move 1 --to n2 --by-hand             # node 2 takes over, whatever the leader is doing
  hstore move 1 --nodes 0,1,2 --copies 2
  hstore move 1 --quorums 'n0*n1 + n2*n3'")]
    Move {
        /// The log's number.
        log: u32,
        /// Who is to lead, such as `n2`.
        #[arg(long, value_name = "NODE")]
        to: Option<String>,
        /// That node takes over, instead of being handed the log.
        #[arg(long, requires = "to")]
        by_hand: bool,
        /// The write quorums, as an expression over nodes `n0`, `n1`, ...
        #[arg(long, value_name = "EXPR", conflicts_with_all = ["nodes", "copies", "racks", "regions"])]
        quorums: Option<String>,
        /// The nodes that are to store the log; all of them if left out.
        #[arg(
            long,
            value_name = "NUMBERS",
            value_delimiter = ',',
            requires = "copies"
        )]
        nodes: Vec<u8>,
        /// How many copies.
        #[arg(long)]
        copies: Option<u8>,
        /// Over how many racks at least.
        #[arg(long, requires = "copies", default_value_t = 1)]
        racks: u8,
        /// Over how many regions at least.
        #[arg(long, requires = "copies", default_value_t = 1)]
        regions: u8,
        #[command(flatten)]
        which: Which,
    },
    /// Give up the oldest records of a log, for good.
    #[command(after_help = "\
Records may stay readable for a while. Asking twice does no harm.

Examples:
  hstore trim 1 --upto e3:17")]
    Trim {
        /// The log's number.
        log: u32,
        /// The last LSN to be given up, such as `e3:17`. It must be released.
        #[arg(long, value_name = "LSN")]
        upto: Lsn,
        #[command(flatten)]
        which: Which,
    },
    /// Tell from which LSN on the records of a time and later stand.
    #[command(after_help = "\
The LSN may be early, and is never late: reading from there misses no record of that time.

Examples:
  hstore find-time 1 --ms 1767225600000
  hstore read 1 --from $(hstore find-time 1 --ms 1767225600000)")]
    FindTime {
        /// The log's number.
        log: u32,
        /// Milliseconds since 1970 began (UTC), by the clocks of the nodes.
        #[arg(long, value_name = "MILLISECONDS")]
        ms: u64,
        #[command(flatten)]
        which: Which,
    },
    /// Tell what lies of a log in the object store, from that alone: no node is asked.
    #[command(after_help = "\
The newest copy of the manifest that is in order says it, and of what was moved after it the segments themselves
do; without one, they say all. What is wanting is said, and makes the exit code 1, and so does that nothing is
there. That a segment that has its length is damaged is seen with `--records` only. Credentials come from the
environment, as for nodes.

Examples:
  hstore rebuild 1
  hstore rebuild 1 --records > lines.txt
  hstore rebuild 1 --manifest manifest.bin --json")]
    Rebuild {
        /// The log's number.
        log: u32,
        /// Write the manifest to this file, as registers hold it.
        #[arg(long, value_name = "FILE")]
        manifest: Option<PathBuf>,
        /// Write the records, not the segments that they are in.
        #[arg(long)]
        records: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Tell how the nodes are: logs, counters, latencies.
    #[command(after_help = "\
Examples:
  hstore status
  hstore status --json | jq '.[].status.counters'")]
    Status {
        #[command(flatten)]
        which: Which,
    },
}

#[derive(Subcommand)]
enum ClusterCommand {
    /// Start a cluster of processes on this machine, and stop it with Ctrl-C.
    #[command(after_help = "\
Writes DIR/cluster.toml, and for each node DIR/node-N with its configuration, its log and its data. If
DIR has a cluster already, that one is started again, with all it holds. A node that dies leaves the
others at work; how it is started again is printed.

Examples:
  hstore cluster start --nodes 3 --dir demo
  hstore cluster start --nodes 5 --logs 4 --copies 3 --dir demo
  hstore cluster start --dir demo          # again")]
    Start(cluster::Start),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(error) = logging::begin("off") {
        output::note(&format!("hstore: {error}"));
        return ExitCode::from(2);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let ended = match runtime {
        Ok(runtime) => {
            let ended = runtime.block_on(run(arguments.command));
            // Reading standard input cannot be interrupted: not waited for.
            runtime.shutdown_background();
            ended
        }
        Err(error) => Err(error.into()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::note(&format!("hstore: {error:#}"));
            let failure = error.downcast_ref::<Failure>();
            ExitCode::from(failure.map_or(1, |failure| failure.code))
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Cluster(ClusterCommand::Start(start)) => cluster::start(start).await,
        Command::Append {
            log,
            file,
            window,
            demands,
            which,
        } => append::run(log, &file, usize::from(window), demands, &which).await,
        Command::Read {
            log,
            from,
            limit,
            poll,
            raw,
            which,
        } => read::read(log, from, limit, poll, raw, &which).await,
        Command::Tail {
            log,
            follow,
            raw,
            which,
        } => read::tail(log, follow, raw, &which).await,
        Command::Move {
            log,
            to,
            by_hand,
            quorums,
            nodes,
            copies,
            racks,
            regions,
            which,
        } => {
            let replication = copies.map(|copies| Replication {
                copies,
                racks,
                regions,
            });
            let wish = moving::Wish {
                to,
                by_hand,
                quorums,
                nodes,
                replication,
            };
            moving::run(log, wish, &which).await
        }
        Command::Trim { log, upto, which } => trim::trim(log, upto, &which).await,
        Command::FindTime { log, ms, which } => trim::find_time(log, ms, &which).await,
        Command::Rebuild {
            log,
            manifest,
            records,
            which,
        } => rebuild::run(log, manifest.as_deref(), records, &which).await,
        Command::Status { which } => status::run(&which).await,
    }
}
