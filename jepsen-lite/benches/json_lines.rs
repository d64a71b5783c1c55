//! Reading and writing histories as JSON lines. One element is one event.
//!
//! `cargo bench -p jepsen-lite --bench json_lines`

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hstore_core::{LogId, Lsn};
use jepsen_lite::history::{
    Call, History, Outcome, ProcessId, ReadOutcome, RecordId, Recorder, read_json, write_json,
};

/// Appends and, after every third one, a tail and a read of the last four records, by eight processes
/// whose operations overlap.
fn history(ops: u64) -> History {
    let mut recorder = Recorder::new();
    let mut records: Vec<(Lsn, RecordId)> = Vec::new();
    let mut waiting = std::collections::VecDeque::new();
    for op in 0..ops {
        let (process, now) = (ProcessId((op % 8) as u32), op * 1_000);
        if waiting.len() == 8 {
            let (id, outcome) = waiting.pop_front().expect("eight wait");
            recorder.answer(id, outcome, now).expect("it is open");
        }
        let next = records.last().map_or(Lsn::FIRST, |(lsn, _)| lsn.next());
        let last = &records[records.len().saturating_sub(4)..];
        let (call, outcome) = match op % 5 {
            0 => (Call::Tail, Outcome::Tail { tail: next }),
            1 => {
                let from = last.first().map_or(next, |(lsn, _)| *lsn);
                let read = ReadOutcome {
                    records: last.to_vec(),
                    gaps: Vec::new(),
                    tail: next,
                };
                (Call::read(from, 100, false), Outcome::Read(read))
            }
            _ => {
                records.push((next, RecordId(op)));
                (Call::append(RecordId(op)), Outcome::Append { lsn: next })
            }
        };
        let id = recorder.invoke(process, LogId(1), call, now);
        waiting.push_back((id.expect("the process is free"), outcome));
    }
    recorder.finish().expect("ids are unique")
}

fn json_lines(criterion: &mut Criterion) {
    let history = history(250_000);
    let mut text = Vec::new();
    write_json(&history, &mut text).expect("memory takes everything");
    let events = text.iter().filter(|&&byte| byte == b'\n').count();
    println!("{events} events, {} bytes", text.len());
    let mut group = criterion.benchmark_group("json_lines");
    group.sample_size(10);
    group.throughput(Throughput::Elements(events as u64));
    group.bench_function("read", |bench| {
        bench.iter(|| read_json(text.as_slice()).expect("what we wrote"));
    });
    group.bench_function("write", |bench| {
        bench.iter(|| {
            let mut text = Vec::with_capacity(text.len());
            write_json(&history, &mut text).expect("memory takes everything");
            text
        });
    });
    group.finish();
}

criterion_group!(benches, json_lines);
criterion_main!(benches);
