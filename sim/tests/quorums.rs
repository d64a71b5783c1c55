//! The protocol on quorum systems of all sorts, in short. `hstore-sim quorums` is the long form.

use std::num::NonZeroUsize;

use hstore_core::quorum::{Names, QuorumSystem};
use hstore_sim::options::Engine;
use hstore_sim::outcome::Outcome;
use hstore_sim::profile::Profile;
use hstore_sim::quorums::Tour;
use hstore_sim::run::run;
use hstore_sim::seed_range::SeedRange;
use hstore_sim::settings::Settings;

fn on_the_model_store() -> Settings {
    Settings {
        engine: Engine::Model,
        ..Settings::default()
    }
}

#[test]
fn the_protocol_runs_on_systems_of_all_sorts() {
    let tour = Tour {
        random: 10,
        random_seed: 1,
        seeds: "1..2".parse::<SeedRange>().expect("a range"),
        settings: on_the_model_store(),
        jobs: NonZeroUsize::MIN,
    };
    let stops = tour.run(|_| {}).expect("nothing is written");
    for stop in &stops {
        assert_eq!(stop.failure, None, "{}: {}", stop.name, stop.quorums);
        assert_eq!(stop.passed, 2);
    }
    let some = |which: &str, of: fn(&hstore_sim::quorums::Stop) -> bool| {
        let count = stops.iter().filter(|stop| of(stop)).count();
        assert!(count > 0, "no system that {which}");
    };
    some("no failure of a node may hit", |stop| stop.tolerates == 0);
    some("two failures may hit", |stop| stop.tolerates >= 2);
    some("changed leaders", |stop| stop.epochs > 5.0);
    some("plugged holes", |stop| stop.holes > 0.0);
}

/// A system that needs all its nodes does nothing while one is away, and everything once it is healed.
#[test]
fn a_system_that_needs_everyone_comes_back() {
    let all = QuorumSystem::parse("a*b*c*d*e", &mut Names::open()).expect("valid");
    let settings = Settings {
        quorums: Some(all.clone()),
        ..on_the_model_store()
    };
    for seed in 1..=10 {
        let report = run(&settings.request(seed, false)).report;
        assert_eq!(report.outcome, Outcome::Passed, "{report:#?}");
        assert_eq!(report.options.quorums.as_ref(), Some(&all));
        assert_eq!(report.options.locations.len(), 5);
    }
}

#[test]
fn nodesets_and_copysets_are_drawn_in_many_ways() {
    let profile = Profile::by_name("placement").expect("a profile");
    let settings = Settings {
        profile,
        ..on_the_model_store()
    };
    let mut sizes = std::collections::BTreeSet::new();
    for seed in 1..=20 {
        let report = run(&settings.request(seed, false)).report;
        assert_eq!(report.outcome, Outcome::Passed, "{report:#?}");
        sizes.insert(report.options.nodeset.map(hstore_core::NodeSet::len));
    }
    assert!(sizes.len() > 3, "{sizes:?}");
}
