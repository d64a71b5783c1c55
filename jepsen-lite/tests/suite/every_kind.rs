//! Each kind of anomaly there is: a history that has it, in which it is found and named, and the same without
//! it, in which nothing is. What is right and what is wrong differs in one answer, or in the time of one.
//!
//! A kind that is new has no way around this: all matches are exhaustive.

use jepsen_lite::anomaly::{Anomaly, AnomalyKind};
use jepsen_lite::check::{Check, CheckOptions, check, check_objects};
use jepsen_lite::formats::{Format, read};
use jepsen_lite::history::{Source, Terms};
use jepsen_lite::judge::{JudgeOptions, judge};
use jepsen_lite::object::Value;
use jepsen_lite::object_check::ObjectOptions;
use jepsen_lite::search::unwatched;

use crate::log_checks::{Row, white_box};
use crate::object_checks::{Objects, history, numbers};
use crate::script::{Script, lsn};

/// The kind after another one; the first after none.
fn after(kind: Option<AnomalyKind>) -> Option<AnomalyKind> {
    use AnomalyKind::*;
    let Some(kind) = kind else {
        return Some(LostWrite);
    };
    Some(match kind {
        LostWrite => DirtyRead,
        DirtyRead => StaleRead,
        StaleRead => FutureRead,
        FutureRead => InconsistentOffset,
        InconsistentOffset => Duplicate,
        Duplicate => Gap,
        Gap => Reorder,
        Reorder => ReadOutOfRange,
        ReadOutOfRange => NonmonotonicPoll,
        NonmonotonicPoll => PollSkip,
        PollSkip => Unseen,
        Unseen => TrimViolation,
        TrimViolation => TierDivergence,
        TierDivergence => AckBeforeDurable,
        AckBeforeDurable => NotLinearizable,
        NotLinearizable => Lost,
        Lost => Stale,
        Stale => Unexpected,
        Unexpected => Duplicated,
        Duplicated => OutOfBounds,
        OutOfBounds => FenceViolation,
        FenceViolation => ConditionViolation,
        ConditionViolation => return None,
    })
}

/// All anomalies of what is written, which has the one of the kind in question or nothing at all.
fn anomalies(kind: AnomalyKind, is_wrong: bool) -> Vec<Anomaly> {
    match kind {
        AnomalyKind::LostWrite => of_log(|s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            let shown: &[&str] = match is_wrong {
                true => &["hole e1:1", "e1:2 #2"],
                false => &["e1:1 #1", "e1:2 #2"],
            };
            s.final_read(2, shown, "e1:3");
        }),
        AnomalyKind::DirtyRead => of_log(|s| {
            let append = s.invoke_append(1, 1);
            match is_wrong {
                true => s.fail(append),
                false => s.info(append),
            }
            s.final_read(2, &["e1:1 #1"], "e1:2");
        }),
        AnomalyKind::StaleRead => of_log(|s| {
            s.append(1, 1, "e1:1");
            s.tail(2, if is_wrong { "e1:1" } else { "e1:2" });
            s.final_read(3, &["e1:1 #1"], "e1:2");
        }),
        AnomalyKind::FutureRead => of_log(|s| {
            s.tail(2, if is_wrong { "e1:2" } else { "e1:1" });
            s.append(1, 1, "e1:1");
            s.final_read(3, &["e1:1 #1"], "e1:2");
        }),
        AnomalyKind::InconsistentOffset => of_log(|s| {
            for record in [1, 2] {
                let unknown = s.invoke_append(10 + record, u64::from(record));
                s.info(unknown);
            }
            s.read(1, &["e1:1 #1"], "e1:2");
            let shown = if is_wrong { "e1:1 #2" } else { "e1:1 #1" };
            s.final_read(2, &[shown], "e1:2");
        }),
        AnomalyKind::Duplicate => of_log(|s| {
            let unknown = s.invoke_append(1, 1);
            s.info(unknown);
            let shown: &[&str] = match is_wrong {
                true => &["e1:1 #1", "e1:2 #1"],
                false => &["e1:1 #1", "hole e1:2"],
            };
            s.final_read(2, shown, "e1:3");
        }),
        AnomalyKind::Gap => of_log(|s| {
            s.append(1, 1, "e1:2");
            let shown: &[&str] = match is_wrong {
                true => &["e1:2 #1"],
                false => &["hole e1:1", "e1:2 #1"],
            };
            s.final_read(2, shown, "e1:3");
        }),
        AnomalyKind::Reorder => of_log(|s| {
            let (one, two) = match is_wrong {
                true => ("e1:2", "e1:1"),
                false => ("e1:1", "e1:2"),
            };
            s.append(1, 1, one);
            s.append(2, 2, two);
        }),
        AnomalyKind::ReadOutOfRange => of_log(|s| {
            s.append(1, 1, "e1:1");
            let read = s.invoke_read(2, "e1:1", 9, true);
            let shown: &[&str] = match is_wrong {
                true => &["e1:1 #1", "hole e1:2"],
                false => &["e1:1 #1"],
            };
            s.returned(read, shown, "e1:2");
        }),
        AnomalyKind::NonmonotonicPoll => of_log(|s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.poll(2, &["e1:1 #1", "e1:2 #2"]);
            let shown: &[&str] = match is_wrong {
                true => &["e1:1 #1"],
                false => &["e1:1 #1", "e1:2 #2"],
            };
            s.poll(2, shown);
        }),
        AnomalyKind::PollSkip => of_log(|s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:3");
            s.poll_as(2, Some((1, 0)), "e1:1", &["e1:1 #1"]);
            let (from, shown): (_, &[&str]) = match is_wrong {
                true => ("e1:3", &["e1:3 #2"]),
                false => ("e1:2", &["hole e1:2", "e1:3 #2"]),
            };
            s.poll_as(2, Some((1, 0)), from, shown);
        }),
        AnomalyKind::Unseen => of_log(|s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            let shown: &[&str] = match is_wrong {
                true => &["hole e1:1", "e1:2 #2"],
                false => &["e1:1 #1", "e1:2 #2"],
            };
            s.poll_as(2, Some((1, 0)), "e1:1", shown);
        }),
        AnomalyKind::TrimViolation => of_log(|s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.trim(1, if is_wrong { "e1:1" } else { "e1:2" });
            s.read(2, &["trim e1:1..e1:2"], "e1:3");
        }),
        AnomalyKind::TierDivergence => of_log(|s| {
            s.append(1, 1, "e1:1");
            s.read_tier(2, Source::Tier1, &["e1:1 #1"]);
            let shown = if is_wrong { "hole e1:1" } else { "e1:1 #1" };
            s.read_tier(2, Source::Tier2, &[shown]);
        }),
        AnomalyKind::AckBeforeDurable => {
            let copies: &[u8] = if is_wrong { &[0] } else { &[0, 1] };
            let evidence: [Row; 2] = [(0, "e1:1", 0, copies, 1), (0, "e1:2", 0, &[0, 1], 3)];
            let verdict = white_box(&evidence);
            let found = verdict.findings().map(|found| found.anomalies.clone());
            found.unwrap_or_default()
        }
        AnomalyKind::NotLinearizable => {
            let value = if is_wrong { 2 } else { 1 };
            let text = format!(
                "{{:process 0 :type :invoke :f :write :value 1}}\n\
                 {{:process 0 :type :ok :f :write :value 1}}\n\
                 {{:process 0 :type :invoke :f :read :value nil}}\n\
                 {{:process 0 :type :ok :f :read :value {value}}}\n"
            );
            let recording = read(text.as_bytes(), Format::Edn).expect("it is well-formed");
            let judged = judge(&recording, &JudgeOptions::default(), &unwatched);
            let report = judged.expect("it is a register").report;
            report.anomalies().map(|(_, found)| found.clone()).collect()
        }
        AnomalyKind::Lost => of_object(Check::SetFull, |o| {
            o.add(1);
            o.add(2);
            o.read(numbers(if is_wrong { &[2] } else { &[1, 2] }));
        }),
        AnomalyKind::Stale => of_object(Check::SetFull, |o| {
            o.add(1);
            o.add(2);
            o.read(numbers(if is_wrong { &[2] } else { &[1, 2] }));
            o.read(numbers(&[1, 2]));
        }),
        AnomalyKind::Unexpected => of_object(Check::TotalQueue, |o| {
            o.enqueue(1);
            o.dequeue(1);
            if is_wrong {
                o.dequeue(7);
            }
        }),
        AnomalyKind::Duplicated => of_object(Check::UniqueIds, |o| {
            o.whole("generate", Value::Nil, Value::Int(1));
            let second = if is_wrong { 1 } else { 2 };
            o.whole("generate", Value::Nil, Value::Int(second));
        }),
        AnomalyKind::OutOfBounds => of_object(Check::Counter, |o| {
            o.add(3);
            o.read(Value::Int(if is_wrong { 2 } else { 3 }));
        }),
        AnomalyKind::FenceViolation => of_log(|s| {
            s.seal(1, 2, "e1:1");
            s.append(2, 1, if is_wrong { "e1:1" } else { "e2:1" });
        }),
        AnomalyKind::ConditionViolation => of_log(|s| {
            s.append(1, 1, "e1:1");
            let last = lsn(if is_wrong { "e1:5" } else { "e1:1" });
            let terms = Terms {
                last: Some(last),
                ..Terms::NONE
            };
            s.append_if(1, 2, terms, Ok("e1:2"));
        }),
    }
}

fn of_log(write: impl FnOnce(&mut Script)) -> Vec<Anomaly> {
    let mut script = Script::default();
    write(&mut script);
    let report = check(&script.finish(), &CheckOptions::default());
    report.anomalies().map(|(_, found)| found.clone()).collect()
}

fn of_object(check: Check, write: impl FnOnce(&mut Objects)) -> Vec<Anomaly> {
    let options = ObjectOptions {
        linearizable: true,
        ..ObjectOptions::default()
    };
    let report = check_objects(&history(write), check, &options).expect("it knows all of it");
    report.anomalies().map(|(_, found)| found.clone()).collect()
}

#[test]
fn every_kind_is_found_and_named_where_it_is_and_nowhere_else() {
    let mut kinds = Vec::new();
    let mut last = None;
    while let Some(kind) = after(last) {
        last = Some(kind);
        kinds.push(kind);
        let right = anomalies(kind, false);
        assert!(right.is_empty(), "{kind}: {right:?}");
        let wrong = anomalies(kind, true);
        let named = wrong.iter().find(|found| found.kind == kind);
        let named = named.unwrap_or_else(|| panic!("no {kind} among {wrong:?}"));
        let text = named.to_string();
        assert!(text.starts_with(&format!("{kind} in ")), "{text}");
        assert!(text.contains(kind.guarantee()), "{text}");
    }
    println!("{} kinds: {kinds:?}", kinds.len());
    let mut different = kinds.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), kinds.len());
}
