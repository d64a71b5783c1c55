//! How fast histories of a log are judged from memory: all checks together, and linearizability with its
//! witness alone.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use hstore_core::LogId;
use jepsen_lite::check::{CheckOptions, check};
use jepsen_lite::log_check::linearizability;

mod workload;

fn log(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("log");
    group.sample_size(10);
    for ops in [10_000, 1_000_000] {
        group.throughput(Throughput::Elements(ops as u64));
        for shape in workload::shapes(ops) {
            let history = workload::history(shape);
            let name = format!(
                "{ops}, fault {:?}, demands {:?}, unknown {} %",
                shape.fault, shape.demands, shape.unknown_percent
            );
            group.bench_with_input(
                BenchmarkId::new("all checks", &name),
                &history,
                |bencher, history| {
                    bencher.iter(|| black_box(check(history, &CheckOptions::default())));
                },
            );
            let by_log = history.by_log();
            group.bench_with_input(
                BenchmarkId::new("linearizability", &name),
                &history,
                |bencher, history| {
                    bencher
                        .iter(|| black_box(linearizability(history, LogId(0), &by_log[&LogId(0)])));
                },
            );
        }
    }
    group.finish();
}

criterion_group!(benches, log);
criterion_main!(benches);
