//! Traces for other tools, of real runs: they keep the rules of the formats.

use std::collections::{BTreeMap, BTreeSet};

use hstore_sim::clocks::Clock;
use hstore_sim::diff::diff;
use hstore_sim::events::{TraceEvent, parse};
use hstore_sim::export::perfetto::perfetto;
use hstore_sim::export::shiviz::{HEADER, shiviz};
use hstore_sim::options::Engine;
use hstore_sim::profile::PROFILES;
use hstore_sim::run::{RunRequest, run};
use serde_json::Value;

fn trace(seed: u64) -> Vec<TraceEvent> {
    let kept = run(&RunRequest {
        seed,
        profile: &PROFILES[0],
        engine: Engine::Model,
        quorums: None,
        mutant: None,
        white_box: true,
        stop_at_violation: false,
        record_trace: true,
        record_log: false,
    });
    parse(&kept.trace)
}

#[test]
fn kept_events_say_where_they_happen_and_what_came_before() {
    let trace = trace(4);
    let mut lives: BTreeMap<String, u64> = BTreeMap::new();
    let (mut sends, mut carried) = (0, BTreeMap::new());
    for event in &trace {
        let placed = !["fault", "phase", "verdict"].contains(&event.kind.as_str());
        assert_eq!(event.at.is_some(), placed, "{event:?}");
        let at = event.at.clone().unwrap_or_default();
        if at.starts_with('n') {
            let life = event.life.expect("a node has lives");
            let before = lives.insert(at.clone(), life).unwrap_or(0);
            assert!(life == before || life == before + 1, "{event:?}");
        }
        let message = event.what.get("message").and_then(Value::as_u64);
        match (event.kind.as_str(), message) {
            ("send", Some(message)) => {
                sends += 1;
                carried.insert(message, event.clock.clone());
            }
            ("deliver", Some(message)) => {
                let sent = carried.get(&message).expect("it was sent");
                for (place, count) in sent {
                    assert!(event.clock.get(place) >= Some(count), "{event:?}");
                }
            }
            _ => assert!(event.clock.is_empty()),
        }
    }
    assert!(sends > 1_000);
    assert!(
        lives.values().any(|life| *life > 1),
        "some node had two lives"
    );
    // What was said and asked has payloads, in which there may be anything.
    let anything = |event: &TraceEvent| ["send", "operation"].contains(&event.kind.as_str());
    let mut others = trace.iter().filter(|event| !anything(event));
    assert!(others.all(|event| !event.words().contains('?')));
}

#[test]
fn shiviz_gets_clocks_without_a_gap() {
    let text = shiviz(&trace(4));
    let (header, rest) = text.split_once("\n\n").expect("a header");
    assert_eq!(header, HEADER);
    let lines: Vec<&str> = rest.lines().collect();
    assert!(lines.len() > 2_000 && lines.len().is_multiple_of(2));
    let mut own: BTreeMap<&str, u64> = BTreeMap::new();
    for pair in lines.chunks(2) {
        let (host, clock) = pair[0].split_once(' ').expect("host and clock");
        let clock: Clock = serde_json::from_str(clock).expect("a clock");
        let count = own.entry(host).or_default();
        *count += 1;
        assert_eq!(clock[host], *count, "{}", pair[0]);
        // Nobody knows of what has not happened yet.
        for (place, known) in &clock {
            assert!(own.get(place.as_str()) >= Some(known), "{}", pair[0]);
        }
        assert!(!pair[1].is_empty());
    }
}

#[test]
fn perfetto_gets_whole_spans_and_arrows_from_slice_to_slice() {
    let text = perfetto(&trace(4));
    let whole: Value = serde_json::from_str(&text).expect("JSON");
    let events = whole["traceEvents"].as_array().expect("events");
    let text = |event: &Value, field: &str| event[field].as_str().expect("a text").to_owned();
    let mut slices = BTreeSet::new();
    let (mut open, mut spans, mut arrows) = (BTreeSet::new(), 0, BTreeMap::new());
    let mut last: BTreeMap<(u64, u64), f64> = BTreeMap::new();
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let phase = text(event, "ph");
        *kinds.entry(phase.clone()).or_default() += 1;
        assert!(event["name"].is_string() && event["pid"].is_u64());
        let track = (
            event["pid"].as_u64().expect("a number"),
            event["tid"].as_u64().expect("a number"),
        );
        let at = event["ts"].as_f64();
        match phase.as_str() {
            "M" => continue,
            "X" => {
                let (at, dur) = (at.expect("a time"), event["dur"].as_f64().expect("one"));
                let before = last.insert(track, at + dur).unwrap_or(0.0);
                assert!(before <= at, "slices overlap: {event}");
                slices.insert((track, at.to_bits()));
            }
            "s" | "f" => {
                let at = at.expect("a time").to_bits();
                assert!(slices.contains(&(track, at)), "no slice: {event}");
                let ends: &mut Vec<String> = arrows.entry(event["id"].to_string()).or_default();
                ends.push(phase);
            }
            "b" => assert!(open.insert((track, text(event, "id"))), "open: {event}"),
            "e" => {
                spans += 1;
                assert!(
                    open.remove(&(track, text(event, "id"))),
                    "not open: {event}"
                );
            }
            "i" => assert!(["g", "t"].contains(&text(event, "s").as_str())),
            other => panic!("{other}"),
        }
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(spans > 500 && arrows.len() > 1_000);
    assert!(arrows.values().all(|ends| ends.concat() == "sf"));
    assert!(kinds["i"] > 1_000);
}

#[test]
fn a_trace_differs_from_that_of_another_seed_and_not_from_itself() {
    let (one, other) = (trace(4), trace(5));
    assert_eq!(diff(&one, &one).parted, None);
    let parted = diff(&one, &other).parted.expect("they part");
    assert!(parted.first < 2_000);
}
