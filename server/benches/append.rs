//! Appends 100,000 records of 1 KiB from a file to a real cluster, with three copies of each, all synced;
//! then writes the same bytes by one process to one file, with `fdatasync` after as many records as the
//! cluster's nodes synced together on average: once to a file that grows, once over a file that has its
//! size and blocks already, as RocksDB sets them aside for its log. A growing file's syncs write the file
//! system's journal too. Last it appends them to a cluster that moves its history to a directory meanwhile.
//! Prints all, and the ratios.
//!
//! On a busy machine give it the highest priority: a single process that waits for each sync has to wait
//! for the processor after each, too, and many processes less so.
//!
//!     cargo bench -p hstore-server --bench append

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, ensure};
use hstore_server::clock::Clock;
use hstore_server::metrics::{new_histogram, summary};
use hstore_server::storage::GROUP_COMMITS;
use serde_json::Value;

const RECORDS: u64 = 100_000;
const RECORD_BYTES: usize = 1024;

fn main() -> anyhow::Result<()> {
    let room = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let lines = room.path().join("lines");
    write_lines(&lines)?;
    let (append, status) = append_all(&room.path().join("cluster"), &lines)?;

    let commits: Vec<u64> = status
        .as_array()
        .context("a list")?
        .iter()
        .filter_map(|it| it["status"]["counters"][GROUP_COMMITS].as_u64())
        .collect();
    let average = commits.iter().sum::<u64>() / commits.len() as u64;
    let batch = RECORDS.div_ceil(average);
    println!("cluster of 3, 3 copies, synced:");
    println!("  {append}");
    println!("  group commits of the nodes: {commits:?}; about {batch} records each");

    let cluster_rate = append["records_per_second"].as_f64().context("a rate")?;
    let path = room.path().join("file");
    for kind in ["a growing file", "a file written over"] {
        // The first round leaves what the second writes over.
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let (seconds, syncs) = write_and_sync(file, batch as usize)?;
        let rate = RECORDS as f64 / seconds;
        println!("{kind}, fdatasync after {batch} records:");
        println!("  {seconds:.3} s, {rate:.0} records/s, {syncs}");
        let ratio = cluster_rate / rate;
        println!("  the cluster has {ratio:.2} of this throughput");
    }

    let cluster = room.path().join("moving");
    move_history(&cluster, &room.path().join("bucket"))?;
    let (append, status) = append_all(&cluster, &lines)?;
    let ratio = append["records_per_second"].as_f64().context("a rate")? / cluster_rate;
    let told = status.as_array().context("a list")?;
    let tier2 = told.iter().map(|it| &it["status"]["logs"][0]["tier2"]);
    let moved = tier2.filter_map(|it| it["payload_bytes"].as_u64());
    println!("the same, while history moves to a directory:");
    println!("  {append}");
    println!(
        "  {} of {} bytes had moved when the last record was acknowledged",
        moved.sum::<u64>(),
        RECORDS * RECORD_BYTES as u64
    );
    println!("  it has {ratio:.2} of the throughput that it has without");
    Ok(())
}

/// A cluster of three nodes while it runs.
struct Cluster(Child);

impl Cluster {
    fn start(dir: &Path) -> anyhow::Result<Self> {
        let mut nodes = Command::new(env!("CARGO_BIN_EXE_hstore"))
            .args([
                "cluster", "start", "--nodes", "3", "--copies", "3", "--json",
            ])
            .arg("--dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(nodes.stdout.take().context("piped")?).read_line(&mut line)?;
        ensure!(line.contains("cluster.toml"), "the cluster did not start");
        Ok(Self(nodes))
    }

    fn stop(mut self) -> anyhow::Result<()> {
        let pid = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &pid]).status()?;
        ensure!(sent.success(), "the cluster cannot be stopped");
        self.0.wait()?;
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Its nodes do not outlive it. It may have ended already.
        let _ = self.0.kill();
    }
}

/// Appends all lines to a cluster. What the client told, and what nodes did right after.
fn append_all(dir: &Path, lines: &Path) -> anyhow::Result<(Value, Value)> {
    let nodes = Cluster::start(dir)?;
    let append = ["append", "1", "--json", "--file"];
    let append = hstore(dir, &append.map(String::from), Some(lines))?;
    let status = hstore(dir, &["status".into(), "--json".into()], None)?;
    nodes.stop()?;
    Ok((append, status))
}

/// Makes a cluster whose log moves to a directory, as fast as it may.
fn move_history(dir: &Path, bucket: &Path) -> anyhow::Result<()> {
    std::fs::create_dir(bucket)?;
    Cluster::start(dir)?.stop()?;
    let file = dir.join("cluster.toml");
    let text = std::fs::read_to_string(&file)?;
    let tier2 = format!(
        "[tier2]\nurl = \"file://{}\"\nsegment_kib = 4096\n\n[[logs]]",
        bucket.display()
    );
    let moving = text.replacen("[[logs]]", &tier2, 1);
    let moving = moving.replacen(
        "copies = 3",
        "copies = 3\ntiered = true\nlocal_kib = 4096",
        1,
    );
    ensure!(
        moving.contains("tiered"),
        "the cluster's file has no copies"
    );
    Ok(std::fs::write(file, moving)?)
}

/// The `number`-th line, with its end: together as long as a record and a byte.
fn line(number: u64) -> String {
    format!("{number:0width$}\n", width = RECORD_BYTES)
}

fn write_lines(path: &Path) -> anyhow::Result<()> {
    let mut file = std::io::BufWriter::new(File::create(path)?);
    for number in 0..RECORDS {
        file.write_all(line(number).as_bytes())?;
    }
    Ok(file.flush()?)
}

fn hstore(cluster: &Path, arguments: &[String], file: Option<&Path>) -> anyhow::Result<Value> {
    let output = Command::new(env!("CARGO_BIN_EXE_hstore"))
        .args(arguments)
        .args(file)
        .env("HSTORE_CLUSTER", cluster)
        .output()?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{arguments:?}: {words}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Seconds, and what the syncs took.
fn write_and_sync(mut file: File, batch: usize) -> anyhow::Result<(f64, String)> {
    let clock = Clock::start();
    let mut syncs = new_histogram();
    let begin = clock.now();
    let mut number = 0;
    while number < RECORDS {
        let end = RECORDS.min(number + batch as u64);
        let bytes: String = (number..end).map(line).collect();
        let before = clock.now();
        file.write_all(bytes.as_bytes())?;
        file.sync_data()?;
        syncs.saturating_record(clock.now().since(before).as_micros() as u64);
        number = end;
    }
    let took = clock.now().since(begin).as_secs_f64();
    let syncs = summary(&syncs);
    let text = format!(
        "write and sync p50 {} us, p99 {} us, {} of them",
        syncs.p50, syncs.p99, syncs.count
    );
    Ok((took, text))
}
