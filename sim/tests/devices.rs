//! What devices do wrong, one family of faults at a time: each takes effect, and the cluster gets over it.

use hstore_sim::nemesis::{FaultOptions, draw_plan};
use hstore_sim::options::{Engine, SimOptions};
use hstore_sim::profile::PROFILES;
use hstore_sim::report::Counts;
use hstore_sim::seeds::SimSeeds;
use hstore_sim::world::{Stopped, World};

const ENGINES: [Engine; 2] = [Engine::Rocksdb, Engine::Model];

/// Runs seeds in which nothing goes wrong but this, three times in each. What happened in all of them.
fn strike(family: &str, seeds: u64, options: impl Fn(&mut SimOptions)) -> Vec<(Engine, Counts)> {
    let mut all = Vec::new();
    for engine in ENGINES {
        for seed in 1..=seeds {
            let mut drawn = SimOptions {
                engine,
                faults: FaultOptions::of(&[(family, 3)]),
                ..PROFILES[0].draw(SimSeeds(seed))
            };
            options(&mut drawn);
            let plan = draw_plan(&drawn, SimSeeds(seed));
            let remains = World::new(drawn, plan, false).run(|_| {});
            match remains.stopped {
                None | Some(Stopped::Vacuous(_)) => {}
                Some(stopped) => panic!("{family}, {engine:?}, seed {seed}: {stopped:#?}"),
            }
            all.push((engine, remains.counts));
        }
    }
    all
}

fn total(of: &[(Engine, Counts)], engine: Engine, count: impl Fn(&Counts) -> u64) -> u64 {
    let those = of.iter().filter(|(it, _)| *it == engine);
    those.map(|(_, counts)| count(counts)).sum()
}

#[test]
fn a_node_ends_when_its_device_fails_an_operation_and_comes_back() {
    for family in ["read_errors", "write_errors", "sync_errors", "full_disks"] {
        let all = strike(family, 20, |_| {});
        for engine in ENGINES {
            let effective = total(&all, engine, |it| it.effective_faults);
            let ended = total(&all, engine, |it| it.store_failures + it.failed_starts);
            assert!(effective > 10, "{family}, {engine:?}: {effective} faults");
            assert!(ended > 5, "{family}, {engine:?}: {ended} ends");
            assert_eq!(total(&all, engine, |it| it.retired_nodes), 0);
        }
    }
}

#[test]
fn a_disk_that_stands_still_takes_nothing() {
    let all = strike("stalled_disks", 10, |_| {});
    for engine in ENGINES {
        assert!(total(&all, engine, |it| it.effective_faults) > 15);
        assert_eq!(total(&all, engine, |it| it.store_failures), 0);
    }
}

#[test]
fn a_node_that_cannot_go_on_stays_down_and_is_not_missed() {
    for family in ["misdirected_writes", "bad_sectors", "wiped_disks"] {
        let all = strike(family, 20, |_| {});
        for engine in ENGINES {
            let effective = total(&all, engine, |it| it.effective_faults);
            let retired = total(&all, engine, |it| it.retired_nodes);
            assert!(effective > 5, "{family}, {engine:?}: {effective} faults");
            assert!(retired > 5, "{family}, {engine:?}: {retired} nodes");
        }
    }
}

#[test]
fn a_record_that_is_lost_is_told_as_lost() {
    let all = strike("rotten_records", 20, |options| options.beyond = true);
    for engine in ENGINES {
        let told = total(&all, engine, |it| it.losses_told);
        assert!(told > 5, "{engine:?}: {told} losses");
    }
    // Elsewhere it does not happen.
    for (engine, counts) in strike("rotten_records", 3, |_| {}) {
        assert_eq!(counts.effective_faults, 0, "{engine:?}");
        assert_eq!(counts.granted_damage, 0, "{engine:?}");
    }
}
