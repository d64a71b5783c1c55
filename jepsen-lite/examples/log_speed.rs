//! Says how fast histories of a log are judged from memory, and in how much memory.
//!
//! ```text
//! cargo run --release -p jepsen-lite --example log_speed -- 10000000
//! ```

#[path = "../benches/workload/mod.rs"]
mod workload;

use jepsen_lite::check::{CheckOptions, check};

use workload::Fault;

#[expect(
    clippy::disallowed_methods,
    reason = "this program measures how long the checkers take; nothing else depends on it"
)]
fn main() {
    let ops = std::env::args().nth(1);
    let ops = ops.map_or(1_000_000, |ops| {
        ops.parse().expect("a number of operations")
    });
    for fault in [Fault::None, Fault::OneStaleRead] {
        let history = workload::history(ops, fault);
        let bytes = history.memory_bytes() as f64 / ops as f64;
        let mut best = f64::INFINITY;
        for _ in 0..3 {
            let start = std::time::Instant::now();
            let report = check(&history, &CheckOptions::default());
            best = best.min(start.elapsed().as_secs_f64());
            assert_eq!(report.counts.ops, ops as u64);
            let found: Vec<_> = report.anomalies().map(|(_, found)| found.kind).collect();
            assert_eq!(found.len(), usize::from(fault != Fault::None), "{found:?}");
        }
        println!(
            "{fault:?}: {ops} operations in {best:.3} s, {:.2} M/s; {bytes:.1} bytes each; peak memory {}",
            ops as f64 / best / 1e6,
            peak_memory()
        );
    }
}

/// The most memory that this process has held so far, as Linux tells it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
