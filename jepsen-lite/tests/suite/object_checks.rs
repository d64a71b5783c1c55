//! The checks of objects that need no search: each anomaly in a good history, found and named; public
//! histories; and judges that look at every pair of operations.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use jepsen_lite::anomaly::{AnomalyKind, Subject};
use jepsen_lite::check::{Check, ObjectCheckError, Report, check_objects};
use jepsen_lite::history::{EventIndex, Intervals, Moment, OpId, ProcessId, Status};
use jepsen_lite::object::{
    AfterInfo, Asked, ObjectHistory, ObjectOp, ObjectRecorder, Value, ValueId,
};
use jepsen_lite::object_check::{ObjectOptions, Tally, Whereabouts};
use jepsen_lite::search::Undecodable;
use jepsen_lite::verdict::{UnknownCause, Verdict, VerdictKind};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use AnomalyKind::{Duplicated, Lost, OutOfBounds, Stale, Unexpected};

/// A history of an object in the making: each event has the next index.
pub(crate) struct Objects {
    pub(crate) recorder: ObjectRecorder,
    next: u64,
    key: ValueId,
}

impl Default for Objects {
    fn default() -> Self {
        Self {
            recorder: ObjectRecorder::new(Intervals::Closed, AfterInfo::GoOn),
            next: 0,
            key: ValueId::NIL,
        }
    }
}

impl Objects {
    fn now(&mut self) -> Moment {
        self.next += 1;
        Moment {
            index: EventIndex(self.next),
            time_ns: self.next * 1_000,
        }
    }

    pub(crate) fn invoke(&mut self, process: u32, function: &str, argument: Value) -> OpId {
        let asked = Asked {
            function: self.recorder.function(function),
            key: self.key,
            argument: self.recorder.value(argument),
        };
        let now = self.now();
        let op = self.recorder.invoke(ProcessId(process), asked, now);
        op.expect("a well-formed script")
    }

    fn end(&mut self, op: OpId, status: Status, result: Value) {
        let result = self.recorder.value(result);
        let now = self.now();
        let ended = self.recorder.complete(op, status, result, now);
        ended.expect("a well-formed script");
    }

    pub(crate) fn ok(&mut self, op: OpId, result: Value) {
        self.end(op, Status::Ok, result);
    }

    pub(crate) fn info(&mut self, op: OpId) {
        self.end(op, Status::Info, Value::Nil);
    }

    pub(crate) fn fail(&mut self, op: OpId) {
        self.end(op, Status::Fail, Value::Nil);
    }

    /// A whole operation of process 0.
    pub(crate) fn whole(&mut self, function: &str, argument: Value, result: Value) -> OpId {
        let op = self.invoke(0, function, argument);
        self.ok(op, result);
        op
    }

    pub(crate) fn add(&mut self, number: i64) -> OpId {
        self.whole("add", Value::Int(number), Value::Nil)
    }

    pub(crate) fn read(&mut self, result: Value) -> OpId {
        self.whole("read", Value::Nil, result)
    }

    pub(crate) fn enqueue(&mut self, number: i64) -> OpId {
        self.whole("enqueue", Value::Int(number), Value::Nil)
    }

    pub(crate) fn dequeue(&mut self, number: i64) -> OpId {
        self.whole("dequeue", Value::Nil, Value::Int(number))
    }
}

pub(crate) fn numbers(numbers: &[i64]) -> Value {
    Value::list(numbers.iter().map(|&number| Value::Int(number)))
}

pub(crate) fn history(write: impl FnOnce(&mut Objects)) -> ObjectHistory {
    let mut objects = Objects::default();
    write(&mut objects);
    objects.recorder.finish()
}

const PLAIN: ObjectOptions = ObjectOptions {
    linearizable: false,
    exactly_once: false,
    initial: 0,
};
const LINEARIZABLE: ObjectOptions = ObjectOptions {
    linearizable: true,
    ..PLAIN
};
const EXACTLY_ONCE: ObjectOptions = ObjectOptions {
    exactly_once: true,
    ..PLAIN
};

fn judge(history: &ObjectHistory, check: Check, options: &ObjectOptions) -> Report {
    let report = check_objects(history, check, options).expect("the check knows its operations");
    for (_, anomaly) in report.anomalies() {
        let shown = |op| anomaly.certificate.iter().any(|shown| shown.op == op);
        assert!((1..=4).contains(&anomaly.certificate.len()), "{anomaly}");
        assert!(!anomaly.chain.is_empty(), "{anomaly}");
        for link in &anomaly.chain {
            assert!(shown(link.from) && shown(link.to), "{anomaly}");
        }
        assert!(report.to_string().contains(&anomaly.kind.to_string()));
    }
    serde_json::to_value(&report).expect("reports serialise");
    report
}

/// Asserts what a check finds in the only part of a history, and the verdict.
fn finds(
    check: Check,
    options: &ObjectOptions,
    write: impl FnOnce(&mut Objects),
    verdict: VerdictKind,
    expected: &[AnomalyKind],
) -> (Report, Tally) {
    let report = judge(&history(write), check, options);
    let found: Vec<AnomalyKind> = report.anomalies().map(|(_, found)| found.kind).collect();
    assert_eq!(found, expected, "{report}");
    assert_eq!(report.verdict, verdict, "{report}");
    let tally = report.parts[0].checks[0].tally.clone();
    (report, tally)
}

use VerdictKind::{Invalid, Unknown, Valid};

// Set

#[test]
fn a_set_that_shows_all_that_was_added_is_valid() {
    let (report, tally) = finds(
        Check::Set,
        &PLAIN,
        |o| {
            o.add(1);
            o.add(2);
            let unknown = o.invoke(0, "add", Value::Int(3));
            o.info(unknown);
            let failed = o.invoke(0, "add", Value::Int(4));
            o.fail(failed);
            o.read(numbers(&[1, 2]));
            o.read(numbers(&[2, 1, 3]));
        },
        Valid,
        &[],
    );
    assert_eq!(tally["attempts"], 4);
    assert_eq!(tally["recovered"], 1);
    assert!(report.to_string().contains("1 recovered"), "{report}");
}

#[test]
fn a_set_without_what_was_added_has_lost_it() {
    let write = |o: &mut Objects| {
        o.add(1);
        o.add(2);
        o.read(numbers(&[1, 2]));
        o.read(numbers(&[1]));
    };
    let (report, tally) = finds(Check::Set, &PLAIN, write, Invalid, &[Lost]);
    assert_eq!(tally["lost"], 1);
    let (_, lost) = report.anomalies().next().expect("it is lost");
    let ops: Vec<OpId> = lost.certificate.iter().map(|op| op.op).collect();
    assert_eq!(ops, [OpId(1), OpId(3)]);
    assert!(lost.to_string().contains("[1 more]"), "{lost}");
}

#[test]
fn a_set_with_what_nobody_added_is_unexpected() {
    let write = |o: &mut Objects| {
        o.add(1);
        o.read(numbers(&[1, 7, 7]));
    };
    finds(Check::Set, &PLAIN, write, Invalid, &[Unexpected]);
}

#[test]
fn a_set_that_says_not_enough_is_unknown() {
    let (report, _) = finds(
        Check::Set,
        &PLAIN,
        |o| {
            o.add(1);
        },
        Unknown,
        &[],
    );
    let never = UnknownCause::NeverRead { attempts: 1 };
    assert_eq!(report.parts[0].checks[0].verdict, Verdict::Unknown(never));
    let write = |o: &mut Objects| {
        let read = o.invoke(1, "read", Value::Nil);
        o.add(1);
        o.ok(read, numbers(&[]));
    };
    let (report, _) = finds(Check::Set, &PLAIN, write, Unknown, &[]);
    let late = UnknownCause::AddedTooLate { elements: 1 };
    assert_eq!(report.parts[0].checks[0].verdict, Verdict::Unknown(late));
}

// Set-full

/// What becomes of one element, added first by whatever comes before it.
fn element(write: impl FnOnce(&mut Objects), verdict: VerdictKind, outcome: &str) -> Tally {
    let expected = match outcome {
        "lost" => &[Lost][..],
        _ => &[],
    };
    let (_, tally) = finds(Check::SetFull, &PLAIN, write, verdict, expected);
    let names = ["stable", "lost", "never-read"];
    let outcomes: Vec<&str> = names.into_iter().filter(|&name| tally[name] > 0).collect();
    assert_eq!(outcomes, [outcome]);
    tally
}

#[test]
fn an_element_is_stable_or_lost_or_never_read() {
    let (with, without) = (|| numbers(&[0]), || numbers(&[]));
    element(
        |o| {
            o.add(0);
        },
        Unknown,
        "never-read",
    );
    element(
        |o| {
            let add = o.invoke(1, "add", Value::Int(0));
            o.read(without());
            o.info(add);
        },
        Unknown,
        "never-read",
    );
    // A read that began before the addition was acknowledged need not show it.
    element(
        |o| {
            let add = o.invoke(1, "add", Value::Int(0));
            let read = o.invoke(2, "read", Value::Nil);
            o.ok(add, Value::Nil);
            o.ok(read, without());
        },
        Unknown,
        "never-read",
    );
    element(
        |o| {
            o.add(0);
            o.read(with());
        },
        Valid,
        "stable",
    );
    element(
        |o| {
            o.add(0);
            o.read(without());
        },
        Invalid,
        "lost",
    );
    element(
        |o| {
            o.add(0);
            o.read(with());
            o.read(without());
        },
        Invalid,
        "lost",
    );
    // A read makes it known that nobody acknowledged.
    element(
        |o| {
            let add = o.invoke(1, "add", Value::Int(0));
            o.read(with());
            o.read(without());
            o.info(add);
        },
        Invalid,
        "lost",
    );
    // Of reads that overlap, the one that began last counts.
    element(
        |o| {
            o.add(0);
            let one = o.invoke(1, "read", Value::Nil);
            let two = o.invoke(2, "read", Value::Nil);
            o.ok(two, with());
            o.ok(one, without());
        },
        Valid,
        "stable",
    );
    // A read that was over before the addition says nothing of it.
    element(
        |o| {
            o.read(without());
            o.add(0);
            o.read(with());
        },
        Valid,
        "stable",
    );
}

#[test]
fn an_element_that_comes_late_is_stale_where_it_must_not_be() {
    let write = |o: &mut Objects| {
        o.add(0);
        o.read(numbers(&[]));
        o.read(numbers(&[0]));
    };
    let tally = element(write, Valid, "stable");
    assert_eq!(tally["stale"], 1);
    let (report, _) = finds(Check::SetFull, &LINEARIZABLE, write, Invalid, &[Stale]);
    let (_, stale) = report.anomalies().next().expect("it is stale");
    assert_eq!(stale.certificate.len(), 3);
    let good = |o: &mut Objects| {
        o.add(0);
        o.read(numbers(&[0]));
    };
    finds(Check::SetFull, &LINEARIZABLE, good, Valid, &[]);
}

#[test]
fn an_element_that_a_read_shows_twice_is_duplicated() {
    let write = |o: &mut Objects| {
        o.add(0);
        o.read(numbers(&[0, 0, 0]));
        o.read(numbers(&[0, 0]));
        o.read(numbers(&[0]));
    };
    let (report, tally) = finds(Check::SetFull, &PLAIN, write, Invalid, &[Duplicated]);
    assert_eq!(tally["duplicated"], 1);
    assert!(report.to_string().contains("3 times"), "{report}");
}

#[test]
fn elements_of_a_set_can_be_any_values() {
    let pair = |one, two| numbers(&[one, two]);
    let write = |o: &mut Objects| {
        o.whole("add", pair(0, 1), Value::Nil);
        o.whole("add", pair(0, 2), Value::Nil);
        o.read(Value::set([pair(0, 1)]));
    };
    let (report, _) = finds(Check::SetFull, &PLAIN, write, Invalid, &[Lost]);
    assert!(report.to_string().contains("[0 2]"), "{report}");
}

// Total queue

#[test]
fn a_queue_that_is_drained_is_valid() {
    let (_, tally) = finds(
        Check::TotalQueue,
        &EXACTLY_ONCE,
        |o| {
            let unknown = o.invoke(1, "enqueue", Value::Int(1));
            o.info(unknown);
            o.enqueue(2);
            o.enqueue(2);
            o.enqueue(3);
            o.dequeue(2);
            o.dequeue(1);
            let empty = o.invoke(0, "dequeue", Value::Nil);
            o.fail(empty);
            o.whole("dequeue", Value::Nil, Value::Nil);
            o.whole("drain", Value::Nil, numbers(&[3, 2]));
        },
        Valid,
        &[],
    );
    assert_eq!((tally["ok"], tally["recovered"]), (4, 1));
}

#[test]
fn what_goes_in_and_does_not_come_out_is_lost() {
    let write = |o: &mut Objects| {
        o.enqueue(1);
        o.enqueue(2);
        o.enqueue(2);
        o.whole("drain", Value::Nil, numbers(&[1, 2]));
    };
    let (report, tally) = finds(Check::TotalQueue, &PLAIN, write, Invalid, &[Lost]);
    assert_eq!(tally["lost"], 1);
    assert!(report.to_string().contains("never came out"), "{report}");
}

#[test]
fn what_comes_out_and_did_not_go_in_is_unexpected() {
    let write = |o: &mut Objects| {
        o.enqueue(1);
        o.dequeue(1);
        o.dequeue(7);
    };
    finds(
        Check::TotalQueue,
        &EXACTLY_ONCE,
        write,
        Invalid,
        &[Unexpected],
    );
}

#[test]
fn what_comes_out_too_often_is_duplicated_and_wrong_on_demand() {
    let twice: [fn(&mut Objects); 2] = [
        |o| {
            o.enqueue(1);
            o.dequeue(1);
            o.dequeue(1);
        },
        |o| {
            o.enqueue(1);
            o.whole("drain", Value::Nil, numbers(&[1, 1]));
        },
    ];
    for write in twice {
        let (report, tally) = finds(Check::TotalQueue, &PLAIN, write, Valid, &[]);
        assert_eq!(tally["duplicated"], 1);
        assert!(report.to_string().contains("1 duplicated"), "{report}");
        finds(
            Check::TotalQueue,
            &EXACTLY_ONCE,
            write,
            Invalid,
            &[Duplicated],
        );
    }
}

#[test]
fn what_an_unanswered_drain_took_is_unknown() {
    let write = |rest: &'static [i64]| {
        move |o: &mut Objects| {
            o.enqueue(1);
            o.enqueue(2);
            let drain = o.invoke(1, "drain", Value::Nil);
            o.info(drain);
            o.whole("drain", Value::Nil, numbers(rest));
        }
    };
    finds(Check::TotalQueue, &PLAIN, write(&[1, 2]), Valid, &[]);
    let (report, _) = finds(Check::TotalQueue, &PLAIN, write(&[1]), Unknown, &[]);
    let unknown = UnknownCause::DrainUnknown {
        drain: OpId(2),
        elements: 1,
    };
    assert_eq!(report.parts[0].checks[0].verdict, Verdict::Unknown(unknown));
}

// Unique ids

#[test]
fn ids_that_are_generated_twice_are_duplicated() {
    let write = |results: &'static [i64]| {
        move |o: &mut Objects| {
            for &result in results {
                o.whole("generate", Value::Nil, Value::Int(result));
            }
            let unknown = o.invoke(0, "generate", Value::Nil);
            o.info(unknown);
        }
    };
    finds(Check::UniqueIds, &PLAIN, write(&[1, 2, 3]), Valid, &[]);
    let again = write(&[1, 2, 1, 1, 3, 2]);
    let (report, tally) = finds(
        Check::UniqueIds,
        &PLAIN,
        again,
        Invalid,
        &[Duplicated, Duplicated],
    );
    assert_eq!(tally["duplicated"], 2);
    assert!(report.to_string().contains("generated 3 times"), "{report}");
}

// Counter

#[test]
fn a_counter_is_between_what_is_sure_and_what_is_possible() {
    let write = |read: i64| {
        move |o: &mut Objects| {
            o.add(10);
            let failed = o.invoke(1, "add", Value::Int(100));
            o.fail(failed);
            let less = o.invoke(2, "add", Value::Int(-3));
            o.info(less);
            let reading = o.invoke(3, "read", Value::Nil);
            o.add(5);
            o.ok(reading, Value::Int(read));
            o.add(1_000);
        }
    };
    for number in [7, 10, 12, 15] {
        finds(Check::Counter, &PLAIN, write(number), Valid, &[]);
    }
    for number in [6, 16, 0, 110, 1_010] {
        let (report, _) = finds(
            Check::Counter,
            &PLAIN,
            write(number),
            Invalid,
            &[OutOfBounds],
        );
        let words = format!("{number} is not between 7 and 15");
        assert!(report.to_string().contains(&words), "{report}");
    }
    let later = ObjectOptions {
        initial: 100,
        ..PLAIN
    };
    finds(Check::Counter, &later, write(110), Valid, &[]);
    finds(Check::Counter, &later, write(10), Invalid, &[OutOfBounds]);
}

#[test]
fn sums_beyond_all_integers_are_sums_all_the_same() {
    let write = |read: i64| {
        move |o: &mut Objects| {
            o.add(i64::MAX);
            o.add(i64::MAX);
            o.add(-i64::MAX);
            o.read(Value::Int(read));
        }
    };
    finds(Check::Counter, &PLAIN, write(i64::MAX), Valid, &[]);
    finds(Check::Counter, &PLAIN, write(0), Invalid, &[OutOfBounds]);
}

// What they have in common

#[test]
fn keys_are_judged_each_alone() {
    let history = history(|o| {
        for (key, read) in [(1, &[5][..]), (2, &[])] {
            o.key = o.recorder.value(Value::Int(key));
            o.add(5);
            o.read(numbers(read));
        }
    });
    let report = judge(&history, Check::SetFull, &PLAIN);
    let parts: Vec<_> = report
        .parts
        .iter()
        .map(|part| (part.subject.clone(), part.verdict))
        .collect();
    assert_eq!(
        parts,
        [
            (Subject::Part(Value::Int(1)), Valid),
            (Subject::Part(Value::Int(2)), Invalid)
        ]
    );
    assert_eq!(report.counts.of_kind("add").ok, 2);
}

#[test]
fn what_a_check_does_not_know_is_no_verdict() {
    let error = |write: fn(&mut Objects), check| {
        let history = history(write);
        check_objects(&history, check, &PLAIN).expect_err("it does not know this")
    };
    let of_logs = error(
        |o| {
            o.add(1);
        },
        Check::Durability,
    );
    assert!(matches!(of_logs, ObjectCheckError::NotOfObjects { .. }));
    let write = |o: &mut Objects| {
        o.whole("write", Value::Int(1), Value::Nil);
    };
    let checks = [
        Check::Set,
        Check::SetFull,
        Check::TotalQueue,
        Check::UniqueIds,
        Check::Counter,
    ];
    for check in checks {
        let unknown = error(write, check);
        assert!(unknown.to_string().contains("`write`"), "{unknown}");
    }
    let not_a_list = |o: &mut Objects| {
        o.read(Value::Int(1));
    };
    let not_a_number = |o: &mut Objects| {
        o.whole("add", Value::text("x"), Value::Nil);
    };
    for (write, check) in [
        (not_a_list as fn(&mut Objects), Check::Set),
        (not_a_list, Check::SetFull),
        (not_a_number, Check::Counter),
    ] {
        let ObjectCheckError::Unfit(unfit) = error(write, check) else {
            panic!("{check} knows what is wrong");
        };
        assert_eq!(unfit.at, Whereabouts::Event(OpId(0), EventIndex(1)));
        let is_value = matches!(
            unfit.cause,
            Undecodable::Argument { .. } | Undecodable::Result { .. }
        );
        assert!(is_value, "{unfit}");
    }
}

// Against judges that look at every pair of operations.

/// A short history of additions and reads; what reads return is damaged now and then.
pub(crate) fn random_history(rng: &mut impl Rng, of_numbers: bool) -> ObjectHistory {
    let mut o = Objects::default();
    let mut open: Vec<(OpId, Option<i64>)> = Vec::new();
    let mut there: Vec<i64> = Vec::new();
    for process in 0..rng.random_range(2..12) {
        if rng.random_bool(0.5) {
            let number = if of_numbers {
                rng.random_range(-3..5)
            } else {
                rng.random_range(0..4)
            };
            let add = o.invoke(process, "add", Value::Int(number));
            open.push((add, Some(number)));
        } else {
            open.push((o.invoke(process, "read", Value::Nil), None));
        }
        while !open.is_empty() && rng.random_bool(0.6) {
            let (op, added) = open.swap_remove(rng.random_range(0..open.len()));
            match (rng.random_range(0..10), added) {
                (0, _) => o.fail(op),
                (1, Some(number)) => {
                    there.push(number);
                    o.info(op);
                }
                (1, None) => o.info(op),
                (_, Some(number)) => {
                    there.push(number);
                    o.ok(op, Value::Nil);
                }
                (_, None) if of_numbers => {
                    let off = if rng.random_bool(0.4) { 1 } else { 0 };
                    let sum: i64 = there.iter().sum();
                    o.ok(op, Value::Int(sum + off));
                }
                (_, None) => {
                    let mut shown = there.clone();
                    shown.sort_unstable();
                    shown.dedup();
                    shown.retain(|_| rng.random_bool(0.8));
                    if rng.random_bool(0.02) {
                        shown.extend(shown.clone());
                    }
                    o.ok(op, numbers(&shown));
                }
            }
        }
    }
    o.recorder.finish()
}

pub(crate) fn before(one: ObjectOp<'_>, two: ObjectOp<'_>) -> bool {
    let returned = matches!(one.status(), Status::Ok | Status::Fail);
    returned && one.completed().expect("it returned").index < two.invoked().index
}

#[test]
fn counters_are_judged_as_addition_by_addition() {
    const HISTORIES: u64 = 20_000;
    let mut wrong = 0;
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = random_history(&mut rng, true);
        let adds = || history.ops().filter(|op| op.function() == "add");
        let mut errors = Vec::new();
        for read in history.ops().filter(|op| op.function() == "read") {
            let Some(number) = read.result().as_int() else {
                continue;
            };
            let (mut low, mut high) = (0, 0);
            for add in adds().filter(|add| add.status() != Status::Fail) {
                let amount = add.argument().as_int().expect("a number");
                if before(read, add) {
                    continue;
                }
                if add.status() == Status::Ok && before(add, read) {
                    low += amount;
                    high += amount;
                } else if amount < 0 {
                    low += amount;
                } else {
                    high += amount;
                }
            }
            if number < low || number > high {
                errors.push(read.id());
            }
        }
        if history.is_empty() {
            continue;
        }
        let report = judge(&history, Check::Counter, &PLAIN);
        let found = report.anomalies().map(|(_, anomaly)| anomaly);
        let found: Vec<OpId> = found
            .map(|anomaly| anomaly.chain.last().expect("a chain").from)
            .collect();
        assert_eq!(found, errors, "seed {seed}: {report} {history:#?}");
        wrong += u64::from(!errors.is_empty());
    }
    println!("{HISTORIES} histories, {wrong} with errors");
    assert!((HISTORIES / 20..HISTORIES * 9 / 10).contains(&wrong));
}

/// The outcome of each element by the definitions, read by read.
fn dumb_set_full(history: &ObjectHistory) -> BTreeMap<&'static str, u64> {
    let mut tally: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut note = |name| *tally.entry(name).or_default() += 1;
    let reads = || {
        history
            .ops()
            .filter(|op| op.function() == "read" && !op.result().is_nil())
    };
    for number in 0..10 {
        let value = Value::Int(number);
        let times = |read: ObjectOp<'_>| {
            let items = read.result().items().expect("a list").iter();
            items.filter(|item| **item == value).count()
        };
        if reads().any(|read| times(read) > 1) {
            note("duplicated");
        }
        let adds: Vec<ObjectOp<'_>> = history
            .ops()
            .filter(|op| op.function() == "add" && *op.argument() == value)
            .collect();
        let Some(&first) = adds.first() else {
            if reads().any(|read| times(read) > 0) {
                note("unexpected");
            }
            continue;
        };
        note("attempts");
        let counting = || reads().filter(|&read| !before(read, first));
        let is_known_to = |later: ObjectOp<'_>| {
            let mut adds = adds.iter();
            let acked = adds.any(|&add| add.status() == Status::Ok && before(add, later));
            acked || counting().any(|read| times(read) > 0 && before(read, later))
        };
        let present = counting().filter(|&read| times(read) > 0).last();
        let absent = counting().filter(|&read| times(read) == 0).last();
        let missed_when_known = absent.is_some_and(is_known_to);
        let present = present.map(|read| read.id());
        let absent = absent.map(|read| read.id());
        if present.is_some() && absent < present {
            note("stable");
            if missed_when_known {
                note("stale");
            }
        } else if missed_when_known {
            note("lost");
        } else {
            note("never-read");
        }
    }
    tally
}

#[test]
fn sets_are_judged_as_read_by_read() {
    const HISTORIES: u64 = 20_000;
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = random_history(&mut rng, false);
        let expected = dumb_set_full(&history);
        for linearizable in [false, true] {
            let options = if linearizable { LINEARIZABLE } else { PLAIN };
            let report = judge(&history, Check::SetFull, &options);
            let mut tally = report.parts[0].checks[0].tally.clone();
            tally.retain(|_, count| *count > 0);
            assert_eq!(tally, expected, "seed {seed}: {report} {history:#?}");
            let has = |name| expected.contains_key(name);
            let kinds = [
                (Lost, has("lost")),
                (Stale, has("stale") && linearizable),
                (Duplicated, has("duplicated")),
            ];
            let is_wrong = kinds.iter().any(|&(_, is)| is);
            for (kind, is) in kinds {
                let mut found = report.anomalies();
                assert_eq!(found.any(|(_, anomaly)| anomaly.kind == kind), is);
            }
            let verdict = match (is_wrong, has("stable")) {
                (true, _) => Invalid,
                (false, true) => Valid,
                (false, false) => Unknown,
            };
            assert_eq!(report.verdict, verdict, "seed {seed}: {report}");
            *times.entry(format!("{verdict}")).or_default() += 1;
        }
        for name in expected.keys() {
            *times.entry((*name).to_owned()).or_default() += 1;
        }
    }
    println!("{HISTORIES} histories: {times:?}");
    for name in [
        "stable",
        "lost",
        "stale",
        "never-read",
        "duplicated",
        "valid",
        "unknown",
    ] {
        assert!(times[name] > HISTORIES / 100, "{name}: {times:?}");
    }
}

// Public histories

fn value(json: &serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => Value::Nil,
        serde_json::Value::Bool(is) => Value::Bool(*is),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => Value::Int(number),
            None => Value::Float(number.as_f64().expect("a number").into()),
        },
        serde_json::Value::String(text) => Value::text(text),
        serde_json::Value::Array(items) => Value::list(items.iter().map(value)),
        serde_json::Value::Object(_) => panic!("no map is expected in {json}"),
    }
}

/// A history of Jepsen as an array of JSON.
fn load(text: &str) -> ObjectHistory {
    let events: Vec<serde_json::Value> = serde_json::from_str(text).expect("JSON");
    let mut o = Objects::default();
    for event in events {
        let number = event["process"].as_u64().expect("a process");
        let process = u32::try_from(number).expect("a small one");
        let carried = value(&event["value"]);
        let function = event["f"].as_str().expect("a function");
        let status = match event["type"].as_str() {
            Some("invoke") => {
                let argument = if function == "read" {
                    Value::Nil
                } else {
                    carried
                };
                o.invoke(process, function, argument);
                continue;
            }
            Some("ok") => Status::Ok,
            Some("fail") => Status::Fail,
            _ => Status::Info,
        };
        let op = o.recorder.open_op(ProcessId(process)).expect("it is open");
        let result = if status == Status::Ok {
            carried
        } else {
            Value::Nil
        };
        o.end(op, status, result);
    }
    o.recorder.finish()
}

#[test]
fn public_histories_are_judged_as_is_known() {
    let Some(corpora) = std::env::var_os("JEPSEN_LITE_CORPORA") else {
        println!("skipped: JEPSEN_LITE_CORPORA does not say where public histories are");
        return;
    };
    let corpus = PathBuf::from(corpora).join("elle-cli");
    let verdicts = fs::read_to_string(corpus.join("verdicts.tsv")).expect("verdicts");
    let mut judged = 0;
    for line in verdicts.lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let (file, model, verdict) = (columns[0], columns[1], columns[3]);
        // The other files have the same contents in another format.
        if !file.ends_with(".json") {
            continue;
        }
        let text = fs::read_to_string(corpus.join(file)).expect("a history");
        let check: Check = model.parse().expect("a check");
        let report = judge(&load(&text), check, &PLAIN);
        let expected = if verdict == "ok" { Valid } else { Invalid };
        assert_eq!(report.verdict, expected, "{file}: {report}");
        judged += 1;
        println!("{file}: {verdict}, {}", report.counts);
    }
    assert!(judged >= 2, "only {judged} histories");
}
