//! The checkers against a brute-force judge that tries every order.

use std::collections::BTreeMap;

use hstore_core::LogId;
use jepsen_lite::anomaly::AnomalyKind as Kind;
use jepsen_lite::check::{Check, CheckOptions, check};
use jepsen_lite::history::{OpKind, Status};
use jepsen_lite::log_check::linearizability;
use jepsen_lite::replay::replay;
use jepsen_lite::verdict::Verdict;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::{brute, generator};

const HISTORIES: u64 = 60_000;

#[test]
fn the_checker_and_brute_force_agree_and_every_verdict_has_its_proof() {
    let (mut illegal, mut unknown, mut certificates) = (0_u64, 0_u64, 0_u64);
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = generator::history(&mut rng, 7);
        let ops: Vec<_> = history.ops().map(|op| op.id()).collect();
        let legal = brute::is_legal(&history);
        match linearizability(&history, LogId(0), &ops) {
            Verdict::Valid(witness) => {
                assert!(
                    legal,
                    "seed {seed}: the checker misses something in {history:#?}"
                );
                if let Err(error) = replay(&history, &ops, &witness) {
                    panic!("seed {seed}: {error} in {witness:?} of {history:#?}");
                }
            }
            Verdict::Invalid(findings) => {
                let anomalies = &findings.anomalies;
                assert!(
                    !legal,
                    "seed {seed}: false alarm {anomalies:#?} in {history:#?}"
                );
            }
            Verdict::Unknown(cause) => panic!("seed {seed}: {cause}"),
        }
        let report = check(&history, &CheckOptions::default());
        for (check, anomaly) in report.anomalies() {
            certificates += 1;
            assert!(
                !legal,
                "seed {seed}: {check} alone finds {anomaly} in {history:#?}"
            );
            assert!(
                !brute::certificate_is_legal(anomaly, history.intervals()),
                "seed {seed}: the certificate of {check} proves nothing: {anomaly} in {history:#?}"
            );
            let ops = anomaly.certificate.len();
            assert!(
                (1..=4).contains(&ops),
                "seed {seed}: {ops} operations in {anomaly}"
            );
            for link in &anomaly.chain {
                let shown = |op| anomaly.certificate.iter().any(|shown| shown.op == op);
                assert!(shown(link.from) && shown(link.to), "seed {seed}: {anomaly}");
            }
        }
        illegal += u64::from(!legal);
        unknown += u64::from(history.ops().any(|op| {
            op.kind() == OpKind::Append && matches!(op.status(), Status::Info | Status::Open)
        }));
    }
    println!(
        "{HISTORIES} histories: {illegal} illegal, {unknown} with appends of unknown outcome, \
         {certificates} certificates"
    );
    assert!(illegal * 10 >= HISTORIES, "only {illegal} illegal ones");
    assert!(
        (HISTORIES - illegal) * 10 >= HISTORIES,
        "{illegal} illegal ones"
    );
    assert!(
        unknown * 10 >= HISTORIES,
        "only {unknown} with unknown outcomes"
    );
}

#[test]
fn random_damage_shows_every_kind_of_anomaly() {
    let mut found = BTreeMap::new();
    for seed in 0..HISTORIES / 4 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = generator::history(&mut rng, 7);
        let report = check(&history, &CheckOptions::default());
        for (check, anomaly) in report.anomalies() {
            *found.entry((check, anomaly.kind)).or_insert(0_u64) += 1;
        }
    }
    for ((check, kind), count) in &found {
        println!("{count:6} {check:16} {kind}");
    }
    for kind in [
        Kind::LostWrite,
        Kind::DirtyRead,
        Kind::StaleRead,
        Kind::FutureRead,
        Kind::InconsistentOffset,
        Kind::Duplicate,
        Kind::Gap,
        Kind::Reorder,
        Kind::ReadOutOfRange,
    ] {
        assert!(
            found.contains_key(&(Check::Linearizability, kind)),
            "no {kind}"
        );
    }
    for (check, kind) in [
        (Check::Durability, Kind::LostWrite),
        (Check::Durability, Kind::DirtyRead),
        (Check::PrefixAgreement, Kind::InconsistentOffset),
    ] {
        assert!(
            found.contains_key(&(check, kind)),
            "{check} finds no {kind}"
        );
    }
}
