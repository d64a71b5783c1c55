//! The checks of objects that need no search.

use std::collections::BTreeMap;

use jepsen_lite::anomaly::{Anomaly, AnomalyKind, Reason};
use jepsen_lite::check::{Check, check_objects};
use jepsen_lite::history::{OpId, Status};
use jepsen_lite::object::{ObjectHistory, ObjectOp, Value};
use jepsen_lite::object_check::ObjectOptions;
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::object_checks::{Objects, before, random_history};

/// The operations of a certificate, whole, in the order of invocation.
fn ops_of<'h>(history: &'h ObjectHistory, anomaly: &Anomaly) -> Vec<ObjectOp<'h>> {
    let ops = anomaly.certificate.iter();
    ops.map(|shown| history.op(shown.op)).collect()
}

fn is_add_of(op: ObjectOp<'_>, value: &Value) -> bool {
    op.function() == "add" && op.argument() == value
}

/// How often an answered operation returned a value.
fn times(op: ObjectOp<'_>, value: &Value) -> usize {
    match (op.status(), op.function(), op.result().items()) {
        (Status::Ok, "read" | "drain", Some(items)) => {
            items.iter().filter(|item| *item == value).count()
        }
        (Status::Ok, "dequeue", _) => usize::from(op.result() == value),
        _ => 0,
    }
}

/// Whether a set can have held one value so that each read saw what it says of it: some order of the
/// operations, each after what precedes it, in which the value is there once it is added. Additions that were
/// not acknowledged may have taken effect or not.
fn set_is_explained(left: &[ObjectOp<'_>], value: &Value, is_there: bool) -> bool {
    let must = |op: &ObjectOp<'_>| op.status() == Status::Ok;
    if !left.iter().any(must) {
        return true;
    }
    (0..left.len()).any(|index| {
        let op = left[index];
        if left
            .iter()
            .any(|&other| other.id() != op.id() && before(other, op))
        {
            return false;
        }
        let mut rest = left.to_vec();
        rest.remove(index);
        let is_right = match op.function() {
            "read" if op.result().is_nil() => true,
            "read" => times(op, value) == usize::from(is_there),
            _ => true,
        };
        is_right && set_is_explained(&rest, value, is_there || op.function() == "add")
    })
}

/// Whether each of `left` can be given one of `right` of its own: by trying all.
fn can_be_paired(left: &[OpId], right: &[OpId]) -> bool {
    let Some((_, rest)) = left.split_first() else {
        return true;
    };
    (0..right.len()).any(|index| {
        let mut others = right.to_vec();
        others.remove(index);
        can_be_paired(rest, &others)
    })
}

/// All sums of some numbers, each taken or not.
fn sums(numbers: &[i64]) -> Vec<i64> {
    let Some((first, rest)) = numbers.split_first() else {
        return vec![0];
    };
    let others = sums(rest);
    let with = others.iter().map(|sum| sum + first).collect();
    [others, with].concat()
}

/// The value that an anomaly of a set or a queue is about: its certificate tells of no other.
fn values_of(history: &ObjectHistory) -> Vec<Value> {
    let mut values = Vec::new();
    for op in history.ops() {
        values.push(op.argument().clone());
        match op.result().items() {
            Some(items) => values.extend_from_slice(items),
            None => values.push(op.result().clone()),
        }
    }
    values.retain(|value| !value.is_nil());
    values.sort();
    values.dedup();
    values
}

/// Sets. Where something is said not to be added, all additions of the history could be an excuse; where
/// something is said to be lost for good, all later reads could.
fn set_certificate_is_explained(history: &ObjectHistory, anomaly: &Anomaly) -> bool {
    let ops = ops_of(history, anomaly);
    values_of(history).iter().all(|value| {
        let mut ops: Vec<ObjectOp<'_>> = ops
            .iter()
            .copied()
            .filter(|&op| op.function() == "read" || is_add_of(op, value))
            .collect();
        let shown: Vec<OpId> = ops.iter().map(|op| op.id()).collect();
        let adds = history.ops().filter(|&op| is_add_of(op, value));
        ops.extend(adds.filter(|add| !shown.contains(&add.id())));
        set_is_explained(&ops, value, false)
    })
}

/// Queues. Of what went in, all that the history has could be an excuse for what came out, and the other way
/// round; a drain of which nobody knows what it took would excuse everything.
fn queue_certificate_is_explained(history: &ObjectHistory, anomaly: &Anomaly) -> bool {
    let ops = ops_of(history, anomaly);
    values_of(history).iter().all(|value| {
        let all: Vec<ObjectOp<'_>> = history.ops().collect();
        let acked = |ops: &[ObjectOp<'_>]| -> Vec<OpId> {
            let ops = ops.iter().filter(|op| {
                op.function() == "enqueue" && op.argument() == value && op.status() == Status::Ok
            });
            ops.map(|op| op.id()).collect()
        };
        let attempts = |ops: &[ObjectOp<'_>]| -> Vec<OpId> {
            let ops = ops
                .iter()
                .filter(|op| op.function() == "enqueue" && op.argument() == value);
            ops.map(|op| op.id()).collect()
        };
        let out = |ops: &[ObjectOp<'_>]| -> Vec<OpId> {
            let ops = ops.iter();
            ops.flat_map(|&op| vec![op.id(); times(op, value)])
                .collect()
        };
        match anomaly.kind {
            AnomalyKind::Lost => can_be_paired(&acked(&ops), &out(&all)),
            _ => can_be_paired(&out(&ops), &attempts(&all)),
        }
    })
}

/// Counters: all additions of the history could be an excuse. Also says whether the chain tells the right
/// sums.
fn counter_certificate_is_explained(history: &ObjectHistory, anomaly: &Anomaly) -> bool {
    let ops = ops_of(history, anomaly);
    let reads = ops.iter().filter(|op| op.function() == "read");
    reads.into_iter().all(|&read| {
        let Some(number) = read.result().as_int() else {
            return true;
        };
        let (mut sure, mut possible) = (0, Vec::new());
        for add in history.ops().filter(|op| op.function() == "add") {
            let amount = add.argument().as_int().expect("a number");
            if add.status() == Status::Fail || before(read, add) {
                continue;
            }
            if before(add, read) && add.status() == Status::Ok {
                sure += amount;
            } else {
                possible.push(amount);
            }
        }
        let sums: Vec<i64> = sums(&possible).into_iter().map(|sum| sum + sure).collect();
        let (low, high) = (sums.iter().min(), sums.iter().max());
        let (low, high) = (*low.expect("one sum"), *high.expect("one sum"));
        let told = anomaly.chain.iter().any(|link| {
            let sums = Reason::Sums {
                low,
                value: number,
                high,
            };
            link.reason == sums
        });
        assert!(told, "the sums are {low}..={high}: {anomaly}");
        (low..=high).contains(&number)
    })
}

/// Generators: results are all different.
fn ids_are_explained(ops: &[ObjectOp<'_>]) -> bool {
    ops.iter().all(|one| {
        ops.iter()
            .all(|two| one.id() == two.id() || one.result() != two.result())
    })
}

fn is_explained(history: &ObjectHistory, check: Check, anomaly: &Anomaly) -> bool {
    match check {
        Check::Set | Check::SetFull => set_certificate_is_explained(history, anomaly),
        Check::TotalQueue => queue_certificate_is_explained(history, anomaly),
        Check::UniqueIds => ids_are_explained(&ops_of(history, anomaly)),
        Check::Counter => counter_certificate_is_explained(history, anomaly),
        other => panic!("{other} is of logs"),
    }
}

/// What goes into a queue and comes out, with repetitions.
fn random_queue(rng: &mut impl Rng) -> ObjectHistory {
    let mut o = Objects::default();
    let mut there: Vec<i64> = Vec::new();
    for process in 0..rng.random_range(2..12) {
        let number = rng.random_range(0..3);
        if rng.random_bool(0.5) {
            let enqueue = o.invoke(process, "enqueue", Value::Int(number));
            match rng.random_range(0..10) {
                0 => {
                    o.fail(enqueue);
                    continue;
                }
                1 => o.info(enqueue),
                _ => o.ok(enqueue, Value::Nil),
            }
            if rng.random_bool(0.95) {
                there.push(number);
            }
            continue;
        }
        let out = match there.is_empty() || rng.random_bool(0.08) {
            true => number,
            false => there[rng.random_range(0..there.len())],
        };
        if rng.random_bool(0.9)
            && let Some(at) = there.iter().position(|&it| it == out)
        {
            there.swap_remove(at);
        }
        let dequeue = o.invoke(process, "dequeue", Value::Nil);
        match rng.random_range(0..15) {
            0 => o.info(dequeue),
            1 => o.fail(dequeue),
            _ => o.ok(dequeue, Value::Int(out)),
        }
    }
    let drain = o.invoke(100, "drain", Value::Nil);
    if rng.random_bool(0.05) {
        o.info(drain);
    } else {
        there.retain(|_| rng.random_bool(0.95));
        let there = there.into_iter().map(Value::Int);
        o.ok(drain, Value::list(there));
    }
    o.recorder.finish()
}

fn random_ids(rng: &mut impl Rng) -> ObjectHistory {
    let mut o = Objects::default();
    for process in 0..rng.random_range(2..9) {
        let generate = o.invoke(process, "generate", Value::Nil);
        match rng.random_range(0..10) {
            0 => o.info(generate),
            1 => o.fail(generate),
            _ => o.ok(generate, Value::Int(rng.random_range(0..30))),
        }
    }
    o.recorder.finish()
}

#[test]
fn every_certificate_of_an_object_is_a_proof() {
    const HISTORIES: u64 = 20_000;
    type Random = fn(&mut Xoshiro256PlusPlus) -> ObjectHistory;
    let strict = ObjectOptions {
        linearizable: true,
        exactly_once: true,
        initial: 0,
    };
    let lenient = ObjectOptions::default();
    let cases: [(Check, Random, &ObjectOptions); 7] = [
        (Check::Set, |rng| random_history(rng, false), &lenient),
        (Check::SetFull, |rng| random_history(rng, false), &lenient),
        (Check::SetFull, |rng| random_history(rng, false), &strict),
        (Check::Counter, |rng| random_history(rng, true), &lenient),
        (Check::TotalQueue, |rng| random_queue(rng), &lenient),
        (Check::TotalQueue, |rng| random_queue(rng), &strict),
        (Check::UniqueIds, |rng| random_ids(rng), &lenient),
    ];
    let mut certificates: BTreeMap<(Check, AnomalyKind), u64> = BTreeMap::new();
    for (check, random, options) in cases {
        let mut illegal = 0;
        for seed in 0..HISTORIES {
            let history = random(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
            let report = check_objects(&history, check, options).expect("it knows all of it");
            let mut is_illegal = false;
            for (check, anomaly) in report.anomalies() {
                assert!(
                    !is_explained(&history, check, anomaly),
                    "seed {seed}: the certificate of {check} proves nothing: {anomaly}{history:#?}"
                );
                *certificates.entry((check, anomaly.kind)).or_default() += 1;
                is_illegal = true;
            }
            illegal += u64::from(is_illegal);
        }
        println!("{check}, {options:?}: {HISTORIES} histories, {illegal} illegal");
        assert!(illegal >= HISTORIES / 20, "{check}: {illegal} illegal");
    }
    println!("certificates: {certificates:?}");
    for wanted in [
        (Check::Set, AnomalyKind::Lost),
        (Check::SetFull, AnomalyKind::Lost),
        (Check::SetFull, AnomalyKind::Stale),
        (Check::SetFull, AnomalyKind::Duplicated),
        (Check::Counter, AnomalyKind::OutOfBounds),
        (Check::TotalQueue, AnomalyKind::Lost),
        (Check::TotalQueue, AnomalyKind::Unexpected),
        (Check::TotalQueue, AnomalyKind::Duplicated),
        (Check::UniqueIds, AnomalyKind::Duplicated),
    ] {
        let found = certificates.get(&wanted).copied().unwrap_or_default();
        assert!(found >= 500, "{wanted:?}: {found} certificates");
    }
}
