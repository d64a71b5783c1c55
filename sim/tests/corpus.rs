//! The corpus: seeds that once showed something, and what they show now; and the planted bugs, each of
//! which has to be found.

use hstore_sim::mutants::Mutant;
use hstore_sim::options::Engine;
use hstore_sim::outcome::Outcome;
use hstore_sim::profile::{PROFILES, Profile};
use hstore_sim::report::{Counts, RunReport};
use hstore_sim::run::{RunRequest, run};

const ENGINES: [Engine; 2] = [Engine::Rocksdb, Engine::Model];

fn report(
    engine: Engine,
    seed: u64,
    profile: &'static Profile,
    mutant: Option<&Mutant>,
    white_box: bool,
) -> RunReport {
    run(&RunRequest {
        seed,
        profile,
        engine,
        quorums: None,
        mutant: mutant.map(|mutant| mutant.name.to_owned()),
        white_box,
        stop_at_violation: false,
        record_trace: false,
        record_log: false,
    })
    .report
}

/// `sim/corpus/seeds.txt`: a profile, a seed, and after `#` what it showed.
#[test]
fn seeds_that_once_failed_pass() {
    let corpus = include_str!("../corpus/seeds.txt");
    let lines = corpus
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let (what, why) = line.split_once('#').expect("a line says what it showed");
        let (profile, seed) = what.trim().split_once(' ').expect("profile and seed");
        let profile = Profile::by_name(profile).expect("the profile exists");
        let seed = seed.trim().parse().expect("a seed is a number");
        for engine in ENGINES {
            let report = report(engine, seed, profile, None, true);
            assert_eq!(
                report.outcome,
                Outcome::Passed,
                "{line}: {why}\n{report:#?}"
            );
        }
        count += 1;
    }
    assert!(count > 0);
}

/// The first seed up to `budget` with which a planted bug is found from outside alone, and its report.
fn found(engine: Engine, name: &str, budget: u64) -> RunReport {
    found_by(engine, &PROFILES[0], name, budget, false)
}

/// The same where logs are moved, with a look inside.
fn found_on_the_move(name: &str, budget: u64) -> RunReport {
    let profile = Profile::by_name("reconfigure").expect("the profile exists");
    found_by(Engine::Model, profile, name, budget, true)
}

fn found_by(
    engine: Engine,
    profile: &'static Profile,
    name: &str,
    budget: u64,
    white_box: bool,
) -> RunReport {
    let mutant = Mutant::by_name(name).expect("the bug is planted");
    (1..=budget)
        .map(|seed| report(engine, seed, profile, Some(mutant), white_box))
        .find(|report| ![Outcome::Passed, Outcome::Vacuous].contains(&report.outcome))
        .unwrap_or_else(|| panic!("{name} survives {budget} seeds"))
}

#[test]
fn an_ack_before_the_sync_is_found_as_a_lost_write() {
    for engine in ENGINES {
        let report = found(engine, "ack-before-fsync", 100);
        let violation = report.violation.expect("a failure says what is violated");
        assert_eq!(report.outcome, Outcome::Safety);
        assert_eq!(violation.property, "LostWrite");
        assert_eq!(violation.checker, "durability");
    }
}

#[test]
fn an_ack_before_recovery_is_found_as_not_linearizable() {
    let profile = Profile::by_name("reconfigure").expect("the profile exists");
    let report = found_by(Engine::Model, profile, "ack-before-recovery", 2_000, false);
    let violation = report.violation.expect("a failure says what is violated");
    assert_eq!(report.outcome, Outcome::Safety);
    assert_eq!(violation.checker, "linearizability");
}

/// A record on the nodes that no seal quorum should go without becomes a hole, or another stands there.
#[test]
fn a_seal_quorum_that_is_one_node_short_is_found() {
    let report = found(Engine::Model, "f-majority-off-by-one", 2_000);
    assert_eq!(report.outcome, Outcome::Safety);
    assert!(report.counts.mutant_reached > 0);
    let violation = report.violation.expect("a failure says what is violated");
    assert!(["durability", "linearizability"].contains(&violation.checker.as_str()));
}

/// Bugs of appends that are judged by what stands, and of what a sequencer says of the log's end: each is
/// found from what clients saw, for what it is.
#[test]
fn bugs_of_appends_are_found_for_what_they_are() {
    let profile = Profile::by_name("appends").expect("the profile exists");
    for (name, properties, checker) in [
        (
            "conditional-over-hole",
            &["ConditionViolation"][..],
            "linearizability",
        ),
        ("dedup-by-max", &["LostWrite"], "durability"),
        ("deposed-tail", &["StaleRead"], "linearizability"),
        ("duplicate-on-retry", &["Duplicate"], "linearizability"),
        ("open-without-quorum", &["StaleRead"], "linearizability"),
        // Appends are judged by what is read up to the tail, as well.
        (
            "sealed-stale-tail",
            &["StaleRead", "FenceViolation"],
            "linearizability",
        ),
    ] {
        let report = found_by(Engine::Model, profile, name, 2_000, false);
        let violation = report.violation.expect("a failure says what is violated");
        assert_eq!(report.outcome, Outcome::Safety, "{name}");
        let found = violation.property.as_str();
        assert!(properties.contains(&found), "{name}: {found}");
        assert_eq!(violation.checker, checker, "{name}");
    }
}

/// What a power failure left of a batch is taken for the batch: it cannot be read, or is not what others
/// have.
#[test]
fn a_torn_record_that_is_accepted_is_found() {
    let mutant = Mutant::by_name("torn-record-accepted").expect("planted");
    for engine in ENGINES {
        let report = found(engine, "torn-record-accepted", 1_000);
        assert_eq!(report.outcome, Outcome::Safety);
        assert!(report.counts.mutant_reached > 0);
        let violation = report.violation.expect("a failure says what is violated");
        assert_eq!(violation.property, "store-opens-after-crash");
    }
    let served = (1..=1_000)
        .map(|seed| report(Engine::Rocksdb, seed, &PROFILES[0], Some(mutant), true))
        .filter_map(|report| report.violation)
        .find(|violation| violation.property == "served-entries-agree");
    assert!(served.is_some(), "no torn record was served");
}

/// From inside, an ack without a synced write quorum is seen at once.
#[test]
fn an_ack_before_the_sync_is_seen_at_the_ack() {
    let mutant = Mutant::by_name("ack-before-fsync").expect("planted");
    let report = report(Engine::Rocksdb, 1, &PROFILES[0], Some(mutant), true);
    let violation = report.violation.expect("a failure says what is violated");
    assert_eq!(violation.property, "acked-is-durable");
    assert!(report.counts.mutant_reached > 0);
}

/// What was stored on the new nodes, the register counts as stored on the old ones.
#[test]
fn an_ack_on_nodes_that_no_epoch_has_is_found() {
    let report = found_on_the_move("ack-before-epoch-metadata", 20);
    let violation = report.violation.expect("a failure says what is violated");
    assert_eq!(violation.property, "acked-is-durable");
}

/// The old epoch is looked for on the new nodes.
#[test]
fn a_change_that_covers_the_epoch_before_is_found() {
    let report = found_on_the_move("reconfig-covers-inflight", 200);
    assert_eq!(report.outcome, Outcome::Safety);
}

/// Nobody can tell how the epoch that was left out was decided: no node ever serves it.
#[test]
fn an_epoch_that_is_not_recovered_is_found() {
    let report = found_on_the_move("recovery-skips-epoch", 20);
    assert_eq!(report.outcome, Outcome::Liveness);
}

#[test]
fn an_overtaken_activation_that_decides_is_found() {
    let report = found_on_the_move("racing-repairs", 2_000);
    assert!([Outcome::Liveness, Outcome::Safety].contains(&report.outcome));
}

#[test]
fn an_epoch_that_is_begun_twice_is_found() {
    let report = found_on_the_move("epoch-reuse", 2_000);
    assert_eq!(report.outcome, Outcome::Safety);
}

/// Logs are moved in good order, and appends go on.
#[test]
fn moves_take_effect_under_load() {
    let profile = Profile::by_name("reconfigure").expect("the profile exists");
    let seeds = 20;
    let reports: Vec<RunReport> = (1..=seeds)
        .map(|seed| report(Engine::Model, seed, profile, None, true))
        .collect();
    let mean = |of: fn(&Counts) -> u64| {
        let sum: u64 = reports.iter().map(|report| of(&report.counts)).sum();
        sum as f64 / seeds as f64
    };
    assert!(mean(|it| it.leader_moves_under_load) >= 2.0);
    assert!(mean(|it| it.nodeset_changes_under_load) >= 2.0);
    assert!(mean(|it| it.quorum_changes_under_load) >= 1.0);
    for report in &reports {
        assert_eq!(report.outcome, Outcome::Passed, "{report:#?}");
        assert!(!report.move_stalls_us.is_empty());
    }
}

#[test]
fn planted_bugs_that_are_off_are_not_reached() {
    let report = report(Engine::Rocksdb, 3, &PROFILES[0], None, true);
    assert_eq!(report.counts.mutant_reached, 0);
}

#[test]
fn nothing_goes_wrong_where_nothing_is_made_to() {
    let calm = Profile::by_name("calm").expect("the profile exists");
    for seed in 1..=20 {
        let report = report(Engine::Rocksdb, seed, calm, None, true);
        assert_eq!(report.outcome, Outcome::Passed, "{report:#?}");
        assert_eq!(report.counts.crashes, 0);
        assert_eq!(report.counts.planned_faults, 0);
    }
}

/// Runs on RocksDB mean something only if its files are flushed, compacted, and torn.
#[test]
fn rocksdb_is_hurt_where_it_can_be() {
    let seeds = 60;
    let reports = (1..=seeds).map(|seed| report(Engine::Rocksdb, seed, &PROFILES[0], None, true));
    let counts: Vec<_> = reports.map(|report| report.counts).collect();
    let sum = |of: fn(&Counts) -> u64| counts.iter().map(of).sum::<u64>();
    let busy = sum(|it| u64::from(it.flushed_tables > 0 && it.compacted_tables > 0));
    assert!(busy >= seeds / 3, "{busy} of {seeds} flushed and compacted");
    assert!(sum(|it| it.crashes_with_unsynced_bytes) >= seeds / 2);
    assert!(sum(|it| it.crashes_inside_file_operation) >= sum(|it| it.crashes) / 10);
}
