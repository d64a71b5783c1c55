//! How long a seed of the default profile takes, run and judged: on each engine, with checks from inside
//! and without.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hstore_sim::options::Engine;
use hstore_sim::profile::PROFILES;
use hstore_sim::run::{RunRequest, run};

fn seeds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seed");
    group.sample_size(40);
    for (name, engine, white_box) in [
        ("rocksdb", Engine::Rocksdb, true),
        ("rocksdb, black box", Engine::Rocksdb, false),
        ("model", Engine::Model, true),
        ("model, black box", Engine::Model, false),
    ] {
        let mut seed = 0;
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    seed += 1;
                    RunRequest {
                        seed,
                        profile: &PROFILES[0],
                        engine,
                        quorums: None,
                        mutant: None,
                        white_box,
                        stop_at_violation: false,
                        record_trace: false,
                        record_log: false,
                    }
                },
                |request| run(&request),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, seeds);
criterion_main!(benches);
