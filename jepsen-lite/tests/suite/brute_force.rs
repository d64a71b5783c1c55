//! The checkers against a brute-force judge that tries every order.

//!
//! `make test` judges 50,000 histories. The long profile sets `JEPSEN_LITE_HISTORIES` to how many it
//! wants, a million or more:
//!
//! ```text
//! JEPSEN_LITE_HISTORIES=1000000 cargo test --release -p jepsen-lite --test suite brute_force -- --nocapture
//! ```

use std::collections::BTreeMap;

use hstore_core::LogId;
use jepsen_lite::anomaly::AnomalyKind as Kind;
use jepsen_lite::check::{Check, Ends, check};
use jepsen_lite::history::{Answer, History, Op, OpKind, Status};
use jepsen_lite::log_check::linearizability;
use jepsen_lite::replay::replay;
use jepsen_lite::verdict::Verdict;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::log_checks::about_contents;
use crate::{brute, generator};

fn histories() -> u64 {
    match std::env::var("JEPSEN_LITE_HISTORIES") {
        Ok(wanted) => wanted.parse().expect("JEPSEN_LITE_HISTORIES is a number"),
        Err(_) => 50_000,
    }
}

/// What a run of the property test has seen.
#[derive(Default)]
struct Tally {
    illegal: u64,
    unknown: u64,
    certificates: u64,
    /// Certificates by how many operations they have.
    sizes: BTreeMap<usize, u64>,
    ops: BTreeMap<&'static str, Ends>,
    anomalies: BTreeMap<(Check, Kind), u64>,
    /// Histories whose witness has an unknown append that nobody saw.
    guessed: u64,
}

/// What an operation is, more exactly than its kind.
fn sort_of(op: Op<'_>) -> &'static str {
    let terms = op.terms();
    match (op.kind(), op.answer()) {
        (OpKind::Append, Some(Answer::Mismatch(told))) => {
            match (told.last.is_some(), told.token.is_some()) {
                (false, false) => "append, plain mismatch",
                (true, false) => "append, told of the last record",
                (false, true) => "append, told of the token",
                (true, true) => "append, told of both",
            }
        }
        (OpKind::Append, _) => match (terms.last.is_some(), terms.token.is_some()) {
            (false, false) if terms.sets.is_some() => "append that sets a token",
            (false, false) => "append",
            (true, false) => "append, if last",
            (false, true) => "append, if token",
            (true, true) => "append, if last and token",
        },
        (OpKind::Read, Some(Answer::Read(_))) => "read",
        (OpKind::Read, Some(Answer::Poll(_))) => "read of a tier",
        (_, Some(Answer::Trimmed { .. })) => "read or poll, trimmed",
        (OpKind::Read, _) => "read without answer",
        (OpKind::Poll, _) => "poll",
        (OpKind::Tail, _) => "tail",
        (OpKind::Trim, _) => "trim",
        (OpKind::Seal, _) => "seal",
    }
}

impl Tally {
    fn add(&mut self, history: &History, is_legal: bool) {
        self.illegal += u64::from(!is_legal);
        let mut has_unknown = false;
        for op in history.ops() {
            let ends = self.ops.entry(sort_of(op)).or_default();
            match op.status() {
                Status::Ok => ends.ok += 1,
                Status::Fail => ends.failed += 1,
                Status::Open | Status::Info => {
                    ends.unknown += 1;
                    has_unknown |= op.kind() == OpKind::Append;
                }
            }
        }
        self.unknown += u64::from(has_unknown);
    }

    fn print(&self, histories: u64) {
        println!(
            "{histories} histories: {} illegal, {} with appends of unknown outcome, {} explained by appends \
             that nobody saw; {} certificates, by size {:?}",
            self.illegal, self.unknown, self.guessed, self.certificates, self.sizes
        );
        for (
            sort,
            Ends {
                ok,
                failed,
                unknown,
            },
        ) in &self.ops
        {
            println!("{sort:32} {ok:8} ok {failed:8} failed {unknown:8} unknown");
        }
        for ((check, kind), count) in &self.anomalies {
            println!("{count:8} {check:16} {kind}");
        }
    }
}

#[test]
fn the_checker_and_brute_force_agree_and_every_verdict_has_its_proof() {
    let histories = histories();
    let mut tally = Tally::default();
    for seed in 0..histories {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = generator::history(&mut rng, 7);
        let ops: Vec<_> = history.ops().map(|op| op.id()).collect();
        let legal = brute::is_legal(&history);
        tally.add(&history, legal);
        match linearizability(&history, LogId(0), &ops) {
            Verdict::Valid(witness) => {
                assert!(
                    legal,
                    "seed {seed}: the checker misses something in {history:#?}"
                );
                if let Err(error) = replay(&history, &ops, &witness) {
                    panic!("seed {seed}: {error} in {witness:?} of {history:#?}");
                }
                let unseen = |(id, _): &(_, _)| {
                    let record = history.op(*id).record();
                    !history.ops().any(|op| match op.answer() {
                        Some(Answer::Read(read) | Answer::Poll(read)) => {
                            read.records.iter().any(|(_, shown)| Some(*shown) == record)
                        }
                        _ => false,
                    })
                };
                tally.guessed += u64::from(witness.unknown.iter().any(unseen));
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
        let report = check(&history, &about_contents());
        for (check, anomaly) in report.anomalies() {
            assert!(
                !legal,
                "seed {seed}: {check} alone finds {anomaly} in {history:#?}"
            );
            assert!(
                !brute::certificate_is_legal(anomaly, history.intervals()),
                "seed {seed}: the certificate of {check} proves nothing: {anomaly} in {history:#?}"
            );
            for link in &anomaly.chain {
                let shown = |op| anomaly.certificate.iter().any(|shown| shown.op == op);
                assert!(shown(link.from) && shown(link.to), "seed {seed}: {anomaly}");
            }
            tally.certificates += 1;
            let size = anomaly.certificate.len();
            *tally.sizes.entry(size).or_default() += 1;
            *tally.anomalies.entry((check, anomaly.kind)).or_default() += 1;
        }
    }
    tally.print(histories);
    let Tally {
        illegal, unknown, ..
    } = tally;
    assert!(illegal * 10 >= histories, "only {illegal} illegal ones");
    assert!(
        (histories - illegal) * 10 >= histories,
        "{illegal} illegal ones"
    );
    assert!(
        unknown * 10 >= histories,
        "only {unknown} with unknown outcomes"
    );
    assert!(tally.guessed > 0, "nothing had to be guessed");
    let certificates = tally.certificates;
    let large: u64 = tally.sizes.range(5..).map(|(_, count)| count).sum();
    assert!(
        large * 100 < certificates,
        "of {certificates} certificates, {large} have more than four operations"
    );
    for (check, kind) in EVERY_KIND {
        assert!(
            tally.anomalies.contains_key(&(check, kind)),
            "{check} finds no {kind}"
        );
    }
}

/// What random damage shows sooner or later.
const EVERY_KIND: [(Check, Kind); 15] = [
    (Check::Linearizability, Kind::LostWrite),
    (Check::Linearizability, Kind::DirtyRead),
    (Check::Linearizability, Kind::StaleRead),
    (Check::Linearizability, Kind::FutureRead),
    (Check::Linearizability, Kind::InconsistentOffset),
    (Check::Linearizability, Kind::Duplicate),
    (Check::Linearizability, Kind::Gap),
    (Check::Linearizability, Kind::Reorder),
    (Check::Linearizability, Kind::ReadOutOfRange),
    (Check::Linearizability, Kind::TrimViolation),
    (Check::Linearizability, Kind::FenceViolation),
    (Check::Linearizability, Kind::ConditionViolation),
    (Check::Durability, Kind::LostWrite),
    (Check::Durability, Kind::DirtyRead),
    (Check::PrefixAgreement, Kind::InconsistentOffset),
];
