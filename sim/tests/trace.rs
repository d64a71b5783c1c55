//! The trace hash stands for everything that happened.

use std::time::Duration;

use hstore_sim::nemesis::draw_plan;
use hstore_sim::options::{Engine, SimOptions};
use hstore_sim::outcome::Outcome;
use hstore_sim::profile::{PROFILES, Profile};
use hstore_sim::run::{RunRequest, run};
use hstore_sim::seeds::{SimSeeds, Stream};
use hstore_sim::world::World;
use hstore_workloads::{Ask, Generator, Knowledge, Workload};

const ENGINES: [Engine; 2] = [Engine::Rocksdb, Engine::Model];

fn options(engine: Engine, seed: u64) -> SimOptions {
    SimOptions {
        engine,
        ..PROFILES[0].draw(SimSeeds(seed))
    }
}

/// What the seed draws, but that one record has a content of one byte beside its id; it may be flipped.
#[derive(Debug)]
struct Changed {
    generator: Generator,
    id: u64,
    flipped: bool,
}

impl Workload for Changed {
    fn pause(&mut self, client: u32) -> Duration {
        self.generator.pause(client)
    }

    fn next(&mut self, client: u32, knowledge: &Knowledge) -> Option<Ask> {
        let mut ask = self.generator.next(client, knowledge)?;
        if let Ask::Append {
            id, bytes, salt, ..
        } = &mut ask
            && *id == self.id
        {
            *bytes = 9;
            *salt ^= u64::from(self.flipped);
        }
        Some(ask)
    }

    fn is_exhausted(&self) -> bool {
        self.generator.is_exhausted()
    }
}

fn trace_hash(engine: Engine, seed: u64, id: u64, flipped: bool) -> u64 {
    let options = options(engine, seed);
    let plan = draw_plan(&options, SimSeeds(seed));
    let stream = SimSeeds(seed).stream(Stream::Workload);
    let workload = Changed {
        generator: Generator::new(options.workload.clone(), stream),
        id,
        flipped,
    };
    let remains = World::new(options, plan, false)
        .with_workload(Box::new(workload))
        .run(|_| {});
    assert!(remains.stopped.is_none(), "{:?}", remains.stopped);
    remains.trace.hash()
}

#[test]
fn changing_one_byte_of_one_payload_changes_the_trace() {
    let seed = 11;
    for engine in ENGINES {
        for id in [1, 100, 300] {
            let unchanged = trace_hash(engine, seed, id, false);
            assert_eq!(trace_hash(engine, seed, id, false), unchanged);
            assert_ne!(trace_hash(engine, seed, id, true), unchanged, "record {id}");
        }
        // A record that is never written changes nothing.
        let never = |flipped| trace_hash(engine, seed, 1_000_000, flipped);
        assert_eq!(never(true), never(false));
    }
}

fn request(engine: Engine, seed: u64, profile: &'static Profile) -> RunRequest {
    RunRequest {
        seed,
        profile,
        engine,
        quorums: None,
        mutant: None,
        white_box: true,
        stop_at_violation: false,
        record_trace: false,
        record_log: false,
    }
}

#[test]
fn a_seed_has_one_run_whatever_ran_before_and_whether_or_not_events_are_kept() {
    for engine in ENGINES {
        let first = run(&request(engine, 5, &PROFILES[0])).report;
        let other = run(&request(engine, 6, &PROFILES[0])).report;
        let kept = run(&RunRequest {
            record_trace: true,
            ..request(engine, 5, &PROFILES[0])
        });
        assert_ne!(first.trace_hash, other.trace_hash);
        assert_eq!(first, kept.report);
        // The verdict is an event of the trace as well.
        assert_eq!(kept.trace.len() as u64, first.trace_events);
    }
}

/// The operations of RocksDB itself are in the trace, with the CRC of what they carry.
#[test]
fn the_trace_has_every_file_operation_of_rocksdb() {
    let run = run(&RunRequest {
        record_trace: true,
        ..request(Engine::Rocksdb, 5, &PROFILES[0])
    });
    for operation in [
        "lock store/LOCK",
        "append to store/MANIFEST-",
        "sync store/MANIFEST-",
        "rename store/",
        "sync directory store",
        "read store/",
        "remove store/",
    ] {
        let found = run.trace.iter().any(|event| event.contains(operation));
        assert!(found, "{operation}");
    }
    let written = |event: &&String| {
        event.contains(".log at ") && event.contains("append to") && event.contains("crc ")
    };
    assert!(run.trace.iter().filter(written).count() > 300);
}

#[test]
fn looking_inside_does_not_change_what_happens() {
    for engine in ENGINES {
        let inside = run(&request(engine, 9, &PROFILES[0])).report;
        let outside = run(&RunRequest {
            white_box: false,
            ..request(engine, 9, &PROFILES[0])
        })
        .report;
        let watched = run(&RunRequest {
            stop_at_violation: true,
            ..request(engine, 9, &PROFILES[0])
        })
        .report;
        assert_eq!(inside.trace_hash, outside.trace_hash);
        assert_eq!(inside.trace_hash, watched.trace_hash);
        assert!(inside.counts.invariants_checked > 0);
        assert_eq!(outside.counts.invariants_checked, 0);
    }
}

#[test]
fn a_watched_run_stops_at_the_step_that_violates() {
    let broken = |seed, stop_at_violation| {
        run(&RunRequest {
            mutant: Some("f-majority-off-by-one".to_owned()),
            white_box: false,
            stop_at_violation,
            ..request(Engine::Model, seed, &PROFILES[0])
        })
    };
    // One in ten seeds shows the bug while clients work; others only in the last read, or not.
    let (stopped, whole) = (1..=200)
        .map(|seed| (broken(seed, true), seed))
        .filter(|(stopped, _)| stopped.report.outcome == Outcome::Safety)
        .map(|(stopped, seed)| (stopped, broken(seed, false)))
        .find(|(stopped, whole)| stopped.report.trace_events < whole.report.trace_events)
        .expect("some seed stops early");
    assert_eq!(whole.report.outcome, Outcome::Safety);
    assert_eq!(stopped.report.outcome, Outcome::Safety);
    let violation = stopped.report.violation.expect("it is told");
    assert_eq!(violation.checker, "linearizability");
    assert!(violation.at < whole.report.violation.expect("it is told").at);
    // Nothing is recorded after the operation that shows it.
    let events = stopped.history.events();
    let (last, _) = *events.last().expect("something happened");
    let told = violation.operations.join("\n");
    assert!(told.contains(&format!("  {last}: ")), "{last} in {told}");
}
