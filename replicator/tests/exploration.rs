//! Exploration.

#[allow(dead_code, reason = "the scripts use the rest")]
#[path = "harness/words.rs"]
mod words;

mod explore;

use explore::search::{Report, explore};
use explore::world::Limits;

const BASE: Limits = Limits {
    records: 2,
    crashes: 0,
    attempts: 1,
    late_waves: 0,
    releases: false,
    catch_up: false,
    third: false,
    ack_at_s2: false,
    tail_at_s1: false,
    slow_disk: None,
    white_box: true,
    prompt: true,
};

fn tell(name: &str, report: &Report) {
    println!(
        "{name}: {} states, {} transitions; acked {}, recovered {}, opened {}, observed {}, \
         crashed {}, late {}, holes {}, restarted {}, purged {}; {}",
        report.states,
        report.transitions,
        report.acked,
        report.recovered,
        report.opened,
        report.observed,
        report.crashed,
        report.late,
        report.holes,
        report.restarted,
        report.purged,
        report.components,
    );
    if let Some(violation) = &report.violation {
        println!("VIOLATION: {}", violation.what);
        for (i, line) in violation.trace.iter().enumerate() {
            println!("  {}. {line}", i + 1);
        }
    }
}

#[test]
fn probe() {
    let text = std::env::var("SCOPE").unwrap_or_default();
    let mut limits = BASE;
    for word in text.split_whitespace() {
        match word.split_once('=').unwrap_or((word, "1")) {
            ("records", n) => limits.records = n.parse().unwrap(),
            ("crashes", n) => limits.crashes = n.parse().unwrap(),
            ("attempts", n) => limits.attempts = n.parse().unwrap(),
            ("waves", n) => limits.late_waves = n.parse().unwrap(),
            ("releases", _) => limits.releases = true,
            ("catch_up", _) => limits.catch_up = true,
            ("third", _) => limits.third = true,
            ("ack", _) => limits.ack_at_s2 = true,
            ("tail", _) => limits.tail_at_s1 = true,
            ("slow", n) => limits.slow_disk = Some(n.parse().unwrap()),
            ("black", _) => limits.white_box = false,
            ("late", _) => limits.prompt = false,
            ("bug", name) => hstore_core::planted::activate(Some(name)),
            (other, _) => panic!("{other}"),
        }
    }
    let max = std::env::var("MAX").map_or(30_000_000, |it| it.parse().unwrap());
    tell(&text, &explore(limits, max));
}
