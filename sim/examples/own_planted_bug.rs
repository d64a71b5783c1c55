//! A planted bug of one's own, in the store of `own_store.rs`: every third sync is skipped. It is turned on by its
//! name; the first seed that finds it is shrunk.
//!
//!     cargo run --release -p hstore-sim --example own_planted_bug

use std::sync::Arc;

use hstore_sim::outcome::Outcome;
use hstore_sim::profile::PROFILES;
use hstore_sim::report::RunReport;
use hstore_sim::run::{RunRequest, View, run_extended};

#[path = "own_store.rs"]
#[allow(dead_code, reason = "its main function is another example")]
mod own_store;

fn run(seed: u64, bug: Option<&str>) -> RunReport {
    let course = RunRequest {
        mutant: bug.map(str::to_owned),
        ..RunRequest::of(&PROFILES[0], seed)
    }
    .draw();
    let store = Arc::new(own_store::Counted::default());
    run_extended(course, View::default(), |world| world.with_store(store)).report
}

pub(crate) fn main() {
    let (seed, found) = (1..=100)
        .map(|seed| (seed, run(seed, Some("own-store-skips-a-sync"))))
        .find(|(_, report)| report.outcome != Outcome::Passed)
        .expect("a store that does not sync loses something");
    assert!(found.counts.mutant_reached > 0);
    let violation = found.violation.expect("a failure says what is violated");
    println!("seed {seed}: {}, {}", found.outcome, violation.property);
    // Without the bug the same seed passes.
    assert_eq!(run(seed, None).outcome, Outcome::Passed);
}
