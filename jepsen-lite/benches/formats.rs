//! How many events a second each format is read at, from memory. A million events is what a large run
//! records; the etcd logs are many small files instead, so that what a file costs by itself shows.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use jepsen_lite::formats::{Format, read};

const EVENTS: usize = 1_000_000;

/// Clients of one log: three of four operations append, the others read a little or ask for the tail.
fn json_lines() -> String {
    let mut text = String::new();
    for op in 0..EVENTS / 2 {
        let (index, process, offset) = (2 * op, op % 10, op + 1);
        let (call, answer) = match op % 8 {
            3 => (
                format!(r#""f":"read","from":"e1:{offset}","limit":2"#),
                format!(
                    r#""f":"read","records":[["e1:{offset}",{op}],["e1:{}",{}]],"gaps":[],"tail":"e1:{}""#,
                    offset + 1,
                    op + 1,
                    offset + 2
                ),
            ),
            7 => (
                r#""f":"tail""#.to_owned(),
                format!(r#""f":"tail","tail":"e1:{offset}""#),
            ),
            _ => (
                format!(r#""f":"append","record":{op}"#),
                format!(r#""f":"append","lsn":"e1:{offset}""#),
            ),
        };
        for (index, kind, rest) in [(index, "invoke", call), (index + 1, "ok", answer)] {
            writeln!(
                text,
                r#"{{"index":{index},"time_ns":{},"process":{process},"type":"{kind}","log":0,{rest}}}"#,
                index * 1_000
            )
            .expect("memory takes everything");
        }
    }
    text
}

/// Clients of a register, as Jepsen writes them.
fn register(event: impl Fn(&mut String, usize, &str, &str, Option<usize>)) -> String {
    let mut text = String::new();
    for op in 0..EVENTS / 2 {
        let (function, argument, result) = match op % 2 {
            0 => ("write", Some(op % 5), Some(op % 5)),
            _ => ("read", None, Some(op % 5)),
        };
        event(&mut text, 2 * op, "invoke", function, argument);
        event(&mut text, 2 * op + 1, "ok", function, result);
    }
    text
}

fn edn() -> String {
    register(|text, index, kind, function, value| {
        let value = value.map_or("nil".to_owned(), |value| value.to_string());
        let (process, time) = (index / 2 % 10, index * 1_000);
        writeln!(
            text,
            "{{:process {process}, :type :{kind}, :f :{function}, :value {value}, :index {index}, \
             :time {time}}}"
        )
        .expect("memory takes everything");
    })
}

fn json() -> String {
    register(|text, index, kind, function, value| {
        let value = value.map_or("null".to_owned(), |value| value.to_string());
        let (process, time) = (index / 2 % 10, index * 1_000);
        writeln!(
            text,
            r#"{{"process":{process},"type":"{kind}","f":"{function}","value":{value},"index":{index},"time":{time}}}"#
        )
        .expect("memory takes everything");
    })
}

/// As many lines as the 52 logs of the public corpus have.
fn etcd() -> String {
    let mut text = String::new();
    for op in 0..4_333 {
        let (process, value) = (op % 5, op % 7);
        writeln!(
            text,
            "INFO  jepsen.util - {process}\t:invoke\t:write\t{value}\n\
             INFO  jepsen.util - {process}\t:ok\t:write\t{value}"
        )
        .expect("memory takes everything");
    }
    text
}

fn formats(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("read");
    group.sample_size(10);
    for (format, text) in [
        (Format::JsonLines, json_lines()),
        (Format::Edn, edn()),
        (Format::Json, json()),
        (Format::EtcdLog, etcd()),
    ] {
        let events = text.lines().count() as u64;
        group.throughput(Throughput::Elements(events));
        group.bench_function(format.name(), |bencher| {
            bencher.iter(|| read(black_box(text.as_bytes()), format).expect("it is whole"));
        });
    }
    group.finish();
}

criterion_group!(benches, formats);
criterion_main!(benches);
