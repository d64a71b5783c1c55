//! A workload of one's own: each client appends a record and reads it back, over and over.
//!
//!     cargo run --release -p hstore-sim --example own_workload

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::LogId;
use hstore_sim::capsule::Capsule;
use hstore_sim::outcome::Outcome;
use hstore_sim::profile::PROFILES;
use hstore_sim::run::{RunRequest, View, run_extended};
use hstore_workloads::{Ask, Knowledge, Place, Workload};

#[derive(Debug)]
struct ReadYourWrites {
    operations_left: u32,
    next_id: u64,
    /// Whether the client appends next.
    appends: BTreeMap<u32, bool>,
}

impl Workload for ReadYourWrites {
    fn pause(&mut self, client: u32) -> Duration {
        Duration::from_millis(20 + u64::from(client))
    }

    fn next(&mut self, client: u32, _: &Knowledge) -> Option<Ask> {
        self.operations_left = self.operations_left.checked_sub(1)?;
        let log = LogId(1);
        let appends = self.appends.entry(client).or_insert(true);
        *appends = !*appends;
        if *appends {
            return Some(Ask::Read {
                log,
                from: Place::Back(0),
                limit: 10,
            });
        }
        let id = self.next_id;
        self.next_id += 1;
        Some(Ask::Append {
            log,
            id,
            bytes: 100,
            salt: id,
            producer: None,
            sets_token: None,
            last: None,
            token: None,
        })
    }

    fn is_exhausted(&self) -> bool {
        self.operations_left == 0
    }
}

pub(crate) fn main() {
    let course = RunRequest::of(&PROFILES[0], 1).draw();
    let workload = ReadYourWrites {
        operations_left: 1_000,
        next_id: 1,
        appends: BTreeMap::new(),
    };
    let ran = run_extended(course, View::default(), |world| {
        world.with_workload(Box::new(workload))
    });
    let counts = ran.report.counts;
    assert_eq!(
        ran.report.outcome,
        Outcome::Passed,
        "{:#?}",
        ran.report.violation
    );
    assert!(counts.reads > 300 && counts.appends_acked > 300);
    // What clients did is part of a capsule, whoever said it.
    let (replay, again) = Capsule::of(&ran, false).replay(false);
    assert!(replay.same_outcome);
    assert_eq!(again.report.trace_hash, ran.report.trace_hash);
    println!(
        "{}: {} appends, {} reads",
        ran.report.outcome, counts.appends_acked, counts.reads
    );
}
