//! How long a seed of the default profile takes, run and judged: with checks from inside, and without.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use hstore_sim::options::{Engine, PROFILES};
use hstore_sim::run::{RunRequest, run};

fn seeds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seed");
    group.sample_size(40);
    for (name, white_box) in [("white-box", true), ("black-box", false)] {
        let mut seed = 0;
        group.bench_function(name, |bencher| {
            bencher.iter_batched(
                || {
                    seed += 1;
                    RunRequest {
                        seed,
                        profile: &PROFILES[0],
                        engine: Engine::Model,
                        mutant: None,
                        white_box,
                        record_trace: false,
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
