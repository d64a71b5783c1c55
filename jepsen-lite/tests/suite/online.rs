//! The watch against the checker: it speaks up at the first event at which the checker would, no earlier
//! and no later.

use hstore_core::LogId;
use jepsen_lite::anomaly::{Anomaly, AnomalyKind};
use jepsen_lite::history::{Answer, History, Outcome, Recorder, Status};
use jepsen_lite::log_check::linearizability;
use jepsen_lite::online::{Watch, is_watched};
use jepsen_lite::verdict::Verdict;
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::generator;
use crate::script::Script;

const HISTORIES: u64 = 40_000;

/// Records a history once more, event by event; `look` sees each prefix. Ends when it returns something.
fn grow<T>(
    history: &History,
    mut look: impl FnMut(&Recorder, usize, bool) -> Option<T>,
) -> Option<T> {
    let mut recorder = if history.shares_indexes() {
        Recorder::with_intervals(history.intervals())
    } else {
        Recorder::new()
    };
    for (id, is_invocation) in history.events() {
        let op = history.op(id);
        if is_invocation {
            let again = recorder.invoke_at(op.process(), op.log(), op.call(), op.invoked());
            assert_eq!(again, Ok(id));
        } else {
            let outcome = op.answer().map(|answer| match answer {
                Answer::Append { lsn } => Outcome::Append { lsn },
                Answer::Mismatch(told) => Outcome::Mismatch(told),
                Answer::Read(read) | Answer::Poll(read) => Outcome::Read(read.to_outcome()),
                Answer::Trimmed { upto } => Outcome::Trimmed { upto },
                Answer::Tail { tail } => Outcome::Tail { tail },
                Answer::Trim => Outcome::Trim,
                Answer::Seal { tail } => Outcome::Seal { tail },
            });
            let completed = op.completed().expect("the event is there");
            let ended = recorder.complete_at(id, op.status(), outcome, completed);
            ended.expect("it was recorded before");
        }
        let found = look(&recorder, id.0 as usize, is_invocation);
        if found.is_some() {
            return found;
        }
    }
    None
}

fn checked(history: &History) -> Option<Anomaly> {
    let ops: Vec<_> = history.ops().map(|op| op.id()).collect();
    match linearizability(history, LogId(0), &ops) {
        Verdict::Invalid(findings) => findings.anomalies.into_iter().find(is_watched),
        Verdict::Valid(_) | Verdict::Unknown(_) => None,
    }
}

#[test]
fn the_watch_speaks_up_at_the_first_prefix_that_the_checker_refuses() {
    let (mut violated, mut early, mut late_failures) = (0_u64, 0_u64, 0_u64);
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = generator::history(&mut rng, 9);
        let mut watch = Watch::new();
        let mut events = 0;
        let found = grow(&history, |recorder, op, is_invocation| {
            events += 1;
            let so_far = recorder.history();
            let id = so_far.ops().nth(op).expect("it was invoked").id();
            let seen = if is_invocation {
                watch.invoked(so_far, id);
                None
            } else {
                watch.completed(so_far, id)
            };
            let expected = checked(so_far);
            assert_eq!(
                seen.is_some(),
                expected.is_some(),
                "seed {seed}, event {events}: the watch sees {seen:#?}, the checker {expected:#?} in {so_far:#?}"
            );
            let failed = so_far.op(id).status() == Status::Fail;
            seen.map(|anomaly| (anomaly, failed))
        });
        if let Some((anomaly, failed)) = found {
            assert!(is_watched(&anomaly), "seed {seed}: {anomaly}");
            violated += 1;
            early += u64::from(events < history.events().len());
            late_failures += u64::from(failed);
        }
    }
    println!(
        "{HISTORIES} histories: {violated} violated, {early} before their last event, {late_failures} when \
         something failed"
    );
    assert!(violated * 20 >= HISTORIES && early * 2 >= violated && late_failures > 0);
}

#[test]
fn a_run_stops_at_the_violating_step_and_says_why() {
    let mut script = Script::default();
    script.append(1, 1, "e1:1");
    let stale = script.tail(2, "e1:1");
    script.append(1, 2, "e1:2");
    let history = script.finish();
    let mut watch = Watch::new();
    let found = grow(&history, |recorder, op, is_invocation| {
        let so_far = recorder.history();
        let id = so_far.ops().nth(op).expect("it was invoked").id();
        if is_invocation {
            watch.invoked(so_far, id);
            None
        } else {
            watch.completed(so_far, id).map(|anomaly| (id, anomaly))
        }
    });
    let (id, anomaly) = found.expect("a tail went back");
    assert_eq!((id, anomaly.kind), (stale, AnomalyKind::StaleRead));
}
