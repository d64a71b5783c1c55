//! Says how fast histories of a log are judged from memory, and in how much memory.
//!
//! ```text
//! cargo run --release -p jepsen-lite --example log_speed -- 10000000
//! ```

#[path = "../benches/workload/mod.rs"]
mod workload;

use jepsen_lite::check::{Check, CheckOptions, check};

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
    for shape in workload::shapes(ops) {
        let history = workload::history(shape);
        let bytes = history.memory_bytes() as f64 / ops as f64;
        println!("{bytes:.1} bytes an operation; {shape:?}");
        let linearizability = CheckOptions {
            checks: [Check::Linearizability].into(),
        };
        for (name, options) in [
            ("all checks", CheckOptions::default()),
            ("linearizability", linearizability),
        ] {
            let (mut best, mut best_cpu) = (f64::INFINITY, f64::INFINITY);
            for _ in 0..5 {
                let (start, start_cpu) = (std::time::Instant::now(), cpu_seconds());
                let report = check(&history, &options);
                best = best.min(start.elapsed().as_secs_f64());
                best_cpu = best_cpu.min(cpu_seconds() - start_cpu);
                assert_eq!(report.counts.ops, ops as u64);
                let found = report.anomalies();
                let found = found.filter(|(check, _)| *check == Check::Linearizability);
                assert_eq!(found.count(), usize::from(shape.fault != Fault::None));
            }
            println!(
                "  {name:15}: {best:.3} s, {:.2} M/s (of a processor {best_cpu:.2} s, {:.2} M/s); peak memory {}",
                ops as f64 / best / 1e6,
                ops as f64 / best_cpu / 1e6,
                peak_memory()
            );
        }
    }
}

/// How long processors have worked for this process, as Linux tells it in hundredths of a second: on a busy
/// machine this says more than the time that passed.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks = after_name.split_whitespace().skip(11).take(2);
    ticks
        .filter_map(|ticks| ticks.parse::<f64>().ok())
        .sum::<f64>()
        / 100.0
}

/// The most memory that this process has held so far, as Linux tells it.
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
