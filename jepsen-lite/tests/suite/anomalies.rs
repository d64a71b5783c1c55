//! Each anomaly by its name: a history that has it, and the nearest one that has not.

use hstore_core::LogId;
use jepsen_lite::anomaly::{AnomalyKind, Subject};
use jepsen_lite::check::{Check, CheckOptions, Report, check};
use jepsen_lite::history::{Call, Intervals, Outcome, RecordId};
use jepsen_lite::verdict::{MAX_CERTIFICATES_PER_KIND, UnknownCause, Verdict, VerdictKind};

use crate::brute;
use crate::log_checks::about_contents;
use crate::script::{Script, lsn};

use AnomalyKind::{
    DirtyRead, Duplicate, FutureRead, Gap, InconsistentOffset, LostWrite, ReadOutOfRange, Reorder,
    StaleRead,
};
use Check::{Durability, Linearizability, Order, PrefixAgreement};

pub(crate) fn judge(write: impl FnOnce(&mut Script)) -> Report {
    let mut script = Script::default();
    write(&mut script);
    check(&script.finish(), &about_contents())
}

/// Asserts which checks find what; certificates must be illegal for themselves.
pub(crate) fn finds(write: impl FnOnce(&mut Script), expected: &[(Check, AnomalyKind)]) -> Report {
    let report = judge(write);
    let mut found: Vec<_> = report
        .anomalies()
        .map(|(check, anomaly)| (check, anomaly.kind))
        .collect();
    found.dedup();
    let mut expected = expected.to_vec();
    expected.sort();
    found.sort();
    assert_eq!(found, expected, "{report}");
    for (_, anomaly) in report.anomalies() {
        assert!(
            !brute::certificate_is_legal(anomaly, Intervals::Closed),
            "{anomaly}"
        );
    }
    let worst = if expected.is_empty() {
        VerdictKind::Valid
    } else {
        VerdictKind::Invalid
    };
    assert_eq!(report.verdict, worst, "{report}");
    report
}

pub(crate) fn is_valid(write: impl FnOnce(&mut Script)) {
    finds(write, &[]);
}

#[test]
fn a_good_run_with_holes_bridges_and_unknown_appends_is_valid() {
    is_valid(|s| {
        s.append(1, 1, "e1:1");
        let unknown_but_there = s.invoke_append(2, 2);
        s.info(unknown_but_there);
        let unknown_and_gone = s.invoke_append(3, 3);
        s.info(unknown_and_gone);
        s.read(1, &["e1:1 #1", "e1:2 #2"], "e1:3");
        s.append(1, 4, "e1:4");
        s.tail(4, "e1:5");
        s.append(1, 5, "e3:1");
        let failed = s.invoke_append(1, 6);
        s.fail(failed);
        s.final_read(
            5,
            &[
                "e1:1 #1",
                "e1:2 #2",
                "hole e1:3",
                "e1:4 #4",
                "bridge e1:5..e1:4294967295",
                "bridge e2:1..e2:4294967295",
                "e3:1 #5",
            ],
            "e3:2",
        );
    });
    is_valid(|_| {});
}

#[test]
fn a_tail_may_lie_above_what_becomes_a_hole() {
    is_valid(|s| {
        let in_flight = s.invoke_append(1, 1);
        s.tail(2, "e1:2");
        s.info(in_flight);
        s.tail(2, "e2:1");
        s.final_read(2, &["hole e1:1", "bridge e1:2..e1:4294967295"], "e2:1");
    });
}

#[test]
fn concurrent_operations_may_see_each_other_or_not() {
    is_valid(|s| {
        let append = s.invoke_append(1, 1);
        s.tail(2, "e1:1");
        s.tail(2, "e1:2");
        s.appended(append, "e1:1");
        s.final_read(2, &["e1:1 #1"], "e1:2");
    });
}

#[test]
fn lost_write_under_a_gap_of_any_kind() {
    for gap in ["hole e1:1", "bridge e1:1", "loss e1:1"] {
        finds(
            |s| {
                s.append(1, 1, "e1:1");
                s.read(2, &[gap], "e1:2");
                s.final_read(2, &["e1:1 #1"], "e1:2");
            },
            &[
                (Linearizability, LostWrite),
                (PrefixAgreement, InconsistentOffset),
            ],
        );
    }
    // What nobody acknowledged may be lost, even as data loss.
    is_valid(|s| {
        let unknown = s.invoke_append(1, 1);
        s.info(unknown);
        s.final_read(2, &["loss e1:1"], "e1:2");
    });
}

#[test]
fn lost_write_passed_over_in_silence() {
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.final_read(2, &["e1:2 #2"], "e1:3");
        },
        &[(Linearizability, LostWrite), (Durability, LostWrite)],
    );
}

#[test]
fn lost_write_above_the_final_tail() {
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, StaleRead), (Durability, LostWrite)],
    );
}

#[test]
fn lost_write_whose_place_holds_another_record() {
    finds(
        |s| {
            let unknown = s.invoke_append(3, 3);
            s.info(unknown);
            s.append(1, 1, "e1:1");
            s.final_read(2, &["e1:1 #3"], "e1:2");
        },
        &[
            (Linearizability, InconsistentOffset),
            (Durability, LostWrite),
        ],
    );
}

#[test]
fn dirty_read_of_a_failed_append() {
    finds(
        |s| {
            let failed = s.invoke_append(1, 1);
            s.fail(failed);
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, DirtyRead), (Durability, DirtyRead)],
    );
    is_valid(|s| {
        let unknown = s.invoke_append(1, 1);
        s.info(unknown);
        s.final_read(2, &["e1:1 #1"], "e1:2");
    });
}

#[test]
fn dirty_read_of_what_nobody_appended() {
    finds(
        |s| {
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, DirtyRead)],
    );
}

#[test]
fn stale_read_of_a_tail() {
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.tail(2, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, StaleRead)],
    );
}

#[test]
fn stale_read_after_what_another_saw() {
    let report = finds(
        |s| {
            let open = s.invoke_append(1, 1);
            s.tail(2, "e1:2");
            s.tail(3, "e1:1");
            s.appended(open, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, StaleRead)],
    );
    let (_, anomaly) = report.anomalies().next().expect("one anomaly");
    assert_eq!(anomaly.certificate.len(), 3);
    // The same where the append is unknown: then a read must say where it went.
    let report = finds(
        |s| {
            let open = s.invoke_append(1, 1);
            s.info(open);
            s.tail(2, "e1:2");
            s.tail(3, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, StaleRead)],
    );
    let (_, anomaly) = report.anomalies().next().expect("one anomaly");
    assert_eq!(anomaly.certificate.len(), 4);
}

#[test]
fn a_read_cut_by_its_limit_is_no_stale_read() {
    let with_limit = |limit| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            let read = s.invoke_read(2, "e1:1", limit, false);
            s.returned(read, &["e1:1 #1"], "e1:3");
            s.final_read(2, &["e1:1 #1", "e1:2 #2"], "e1:3");
        }
    };
    is_valid(with_limit(1));
    finds(
        with_limit(2),
        &[
            (Linearizability, LostWrite),
            (PrefixAgreement, InconsistentOffset),
        ],
    );
}

#[test]
fn future_read_of_a_record() {
    finds(
        |s| {
            s.read(2, &["e1:1 #1"], "e1:2");
            s.append(1, 1, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, FutureRead)],
    );
}

#[test]
fn future_read_of_a_tail() {
    finds(
        |s| {
            s.tail(2, "e1:2");
            s.append(1, 1, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, FutureRead)],
    );
}

#[test]
fn inconsistent_offset_between_two_acks() {
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.append(2, 2, "e1:1");
        },
        &[(Linearizability, InconsistentOffset)],
    );
}

#[test]
fn inconsistent_offset_between_two_reads() {
    finds(
        |s| {
            for record in [1, 2] {
                let unknown = s.invoke_append(10 + record, u64::from(record));
                s.info(unknown);
            }
            s.read(1, &["e1:1 #1"], "e1:2");
            s.read(2, &["e1:1 #2"], "e1:2");
        },
        &[
            (Linearizability, InconsistentOffset),
            (PrefixAgreement, InconsistentOffset),
        ],
    );
}

#[test]
fn inconsistent_offset_of_a_record_and_a_gap() {
    finds(
        |s| {
            let unknown = s.invoke_append(10, 1);
            s.info(unknown);
            s.read(1, &["e1:1 #1"], "e1:2");
            s.read(2, &["hole e1:1"], "e1:2");
        },
        &[
            (Linearizability, InconsistentOffset),
            (PrefixAgreement, InconsistentOffset),
        ],
    );
    // Gaps of different kinds are the same to whoever reads.
    is_valid(|s| {
        s.read(1, &["loss e1:1"], "e1:2");
        s.read(2, &["hole e1:1"], "e1:2");
    });
}

#[test]
fn inconsistent_offset_within_a_read() {
    finds(
        |s| {
            let unknown = s.invoke_append(10, 1);
            s.info(unknown);
            s.read(2, &["e1:1 #1", "hole e1:1"], "e1:2");
        },
        &[
            (Linearizability, InconsistentOffset),
            (PrefixAgreement, InconsistentOffset),
        ],
    );
    finds(
        |s| {
            s.read(2, &["hole e1:1..e1:3", "hole e1:3..e1:4"], "e1:5");
        },
        &[(Linearizability, InconsistentOffset)],
    );
}

#[test]
fn duplicate_of_an_acknowledged_record() {
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.final_read(2, &["e1:1 #1", "e1:2 #1"], "e1:3");
        },
        &[(Linearizability, Duplicate)],
    );
}

#[test]
fn duplicate_of_an_unknown_record() {
    finds(
        |s| {
            let unknown = s.invoke_append(10, 1);
            s.info(unknown);
            s.final_read(2, &["e1:1 #1", "e1:2 #1"], "e1:3");
        },
        &[(Linearizability, Duplicate)],
    );
}

#[test]
fn duplicate_delivery_within_a_read() {
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.final_read(2, &["e1:1 #1", "e1:1 #1"], "e1:2");
        },
        &[(Linearizability, Duplicate)],
    );
}

#[test]
fn gap_that_nobody_explains() {
    finds(
        |s| {
            s.append(1, 1, "e1:2");
            s.final_read(2, &["e1:2 #1"], "e1:3");
        },
        &[(Linearizability, Gap)],
    );
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e2:1");
        },
        &[(Linearizability, Gap)],
    );
}

#[test]
fn reorder_of_appends() {
    let two_processes = |second| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:2");
            s.append(second, 2, "e1:1");
            s.final_read(2, &["e1:1 #2", "e1:2 #1"], "e1:3");
        }
    };
    finds(two_processes(2), &[(Linearizability, Reorder)]);
    finds(
        two_processes(1),
        &[(Linearizability, Reorder), (Order, Reorder)],
    );
    is_valid(|s| {
        let late = s.invoke_append(2, 2);
        s.append(1, 1, "e1:2");
        s.appended(late, "e1:1");
        s.final_read(2, &["e1:1 #2", "e1:2 #1"], "e1:3");
    });
}

#[test]
fn reorder_within_a_read() {
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.final_read(2, &["e1:2 #2", "e1:1 #1"], "e1:3");
        },
        &[(Linearizability, Reorder)],
    );
}

#[test]
fn read_out_of_range() {
    finds(
        |s| {
            let append = s.invoke_append(1, 1);
            s.read(2, &["e1:1 #1"], "e1:1");
            s.appended(append, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, ReadOutOfRange)],
    );
    finds(
        |s| {
            let read = s.invoke_read(2, "e1:3", 9, false);
            s.returned(read, &["hole e1:2..e1:4"], "e1:5");
        },
        &[(Linearizability, ReadOutOfRange)],
    );
}

#[test]
fn durability_is_unknown_without_enough_final_reads() {
    let cause = |write: fn(&mut Script)| {
        let report = judge(write);
        assert_eq!(report.verdict, VerdictKind::Unknown, "{report}");
        let durability = &report.parts[0].checks[1];
        assert_eq!(durability.check, Durability);
        match durability.verdict {
            Verdict::Unknown(cause) => cause,
            _ => panic!("{report}"),
        }
    };
    assert_eq!(
        cause(|s| {
            s.append(1, 1, "e1:1");
            s.read(2, &["e1:1 #1"], "e1:2");
        }),
        UnknownCause::NoFinalRead { acked: 1 }
    );
    let cut = cause(|s| {
        s.append(1, 1, "e1:1");
        s.append(1, 2, "e1:2");
        let read = s.invoke_read(2, "e1:1", 1, true);
        s.returned(read, &["e1:1 #1"], "e1:3");
    });
    assert!(
        matches!(cut, UnknownCause::NotReadBack { records: 1, lsn: at, .. } if at == lsn("e1:2")),
        "{cut}"
    );
    // Two reads may share the work; a record acknowledged after the final read began was not asked for.
    is_valid(|s| {
        s.append(1, 1, "e1:1");
        s.append(1, 2, "e1:2");
        let read = s.invoke_read(2, "e1:1", 1, true);
        s.returned(read, &["e1:1 #1"], "e1:3");
        let read = s.invoke_read(2, "e1:2", 1, true);
        s.returned(read, &["e1:2 #2"], "e1:3");
    });
    cause(|s| {
        let open = s.invoke_append(1, 1);
        s.final_read(2, &[], "e1:1");
        s.appended(open, "e1:1");
    });
}

#[test]
fn logs_are_independent_and_the_worst_one_counts() {
    let mut s = Script::default();
    s.append(1, 1, "e1:1");
    s.log = LogId(7);
    s.append(1, 1, "e1:1");
    s.tail(2, "e1:1");
    s.final_read(2, &["e1:1 #1"], "e1:2");
    s.log = LogId(3);
    let failed = s.invoke_append(1, 9);
    s.fail(failed);
    let report = check(&s.finish(), &about_contents());
    let verdicts: Vec<_> = report
        .parts
        .iter()
        .map(|part| (part.subject.clone(), part.verdict))
        .collect();
    assert_eq!(
        verdicts,
        [
            (Subject::Log(LogId(0)), VerdictKind::Unknown),
            (Subject::Log(LogId(3)), VerdictKind::Valid),
            (Subject::Log(LogId(7)), VerdictKind::Invalid),
        ]
    );
    assert_eq!(report.verdict, VerdictKind::Invalid);
    assert_eq!(report.counts.ops, 5);
    let appends = report.counts.of_kind("append");
    assert_eq!((appends.ok, appends.failed, appends.unknown), (2, 1, 0));
    assert_eq!(report.counts.checks, 12);
}

#[test]
fn only_what_is_asked_for_is_checked() {
    let mut s = Script::default();
    s.append(1, 1, "e1:1");
    s.tail(2, "e1:1");
    let options = CheckOptions {
        checks: [Order].into(),
    };
    let report = check(&s.finish(), &options);
    assert_eq!(report.verdict, VerdictKind::Valid);
    assert_eq!(report.counts.checks, 1);
}

#[test]
fn a_system_broken_everywhere_yields_all_counts_and_few_certificates() {
    let report = judge(|s| {
        s.append(1, 1, "e1:1");
        for _ in 0..1_000 {
            s.tail(2, "e1:1");
        }
    });
    let findings = report.parts[0].checks[0].verdict.findings();
    let findings = findings.expect("it is invalid");
    assert_eq!(findings.total(), 1_000);
    assert_eq!(findings.counts[&StaleRead], 1_000);
    assert_eq!(findings.anomalies.len(), MAX_CERTIFICATES_PER_KIND);
}

/// A long history of two overlapping clients on two logs; `spoil` says which tail is off by how much.
fn long(spoil: Option<(u32, u32)>) -> Report {
    const APPENDS: u32 = 30_000;
    let tail_of = |count: u32| format!("e1:{}", count + 1);
    judge(|s| {
        let mut entries = Vec::new();
        for number in 1..=APPENDS {
            for log in [0, 1] {
                s.log = LogId(log);
                let append = s.invoke_append(2 * log, u64::from(number));
                let tail = s.invoke(2 * log + 1, Call::Tail);
                s.appended(append, &format!("e1:{number}"));
                let off = match spoil {
                    Some((spoiled, off)) if spoiled == number && log == 1 => off,
                    _ => number % 2,
                };
                let tail_at = lsn(&tail_of(number - off));
                s.ok(tail, Outcome::Tail { tail: tail_at });
            }
            entries.push(format!("e1:{number} #{number}"));
        }
        let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
        for log in [0, 1] {
            s.log = LogId(log);
            let read = s.invoke_read(9, "e1:1", APPENDS + 1, true);
            s.returned(read, &entries, &tail_of(APPENDS));
        }
    })
}

#[test]
fn one_wrong_answer_in_a_long_history_is_found() {
    let good = long(None);
    assert_eq!(good.verdict, VerdictKind::Valid, "{good}");
    let bad = long(Some((20_000, 2)));
    let found: Vec<_> = bad.anomalies().collect();
    assert_eq!(found.len(), 1, "{bad}");
    assert_eq!(found[0].1.kind, StaleRead);
    assert_eq!(found[0].1.subject, Subject::Log(LogId(1)));
}

#[test]
fn a_report_reads_well_as_text_and_as_json() {
    let report = judge(|s| {
        s.append(1, 7, "e1:1");
        s.tail(3, "e1:1");
        s.final_read(2, &["loss e1:1"], "e1:2");
        s.invoke(4, Call::append(RecordId(8)));
    });
    let expected = "\
INVALID: 4 operations in 1 part, 4 checks
log0: INVALID; append 1 ok, 1 unknown; read 1 ok; tail 1 ok; 1 final reads
  linearizability  INVALID: 1 LostWrite, 1 StaleRead
    LostWrite in log0: violates \"an acknowledged record can always be read\"
      expected: final read(e1:1, 1000) by p2 shows the record that append(#7) by p1 put at e1:1
      seen:     it shows a gap (data loss) there
      op 0: p1 append(#7) -> e1:1, events 0..1, 0.500000ms..1.000000ms
      op 2: p2 final read(e1:1, 1000) -> [data loss e1:1] to the tail e1:2, events 4..5, 2.500000ms..3.000000ms
      because op 0 -> op 2, position: e1:1 comes before e1:2
      because op 2 -> op 0, observation: op 2 shows a gap (data loss) at e1:1
    StaleRead in log0: violates \"an operation sees all that was there before it began\"
      expected: a tail above e1:1 for tail() by p3: append(#7) by p1 had ended there before it began
      seen:     tail e1:1
      op 0: p1 append(#7) -> e1:1, events 0..1, 0.500000ms..1.000000ms
      op 1: p3 tail() -> e1:1, events 2..3, 1.500000ms..2.000000ms
      because op 1 -> op 0, position: a log that ends at e1:1 has nothing at e1:1
      because op 0 -> op 1, real time: it returned at event 1, the other was invoked at event 2
  durability       INVALID: 1 LostWrite
    LostWrite in log0: violates \"an acknowledged record can always be read\"
      expected: the final reads show the record that append(#7) by p1 put at e1:1
      seen:     final read(e1:1, 1000) by p2 shows a gap (data loss) there
      op 0: p1 append(#7) -> e1:1, events 0..1, 0.500000ms..1.000000ms
      op 2: p2 final read(e1:1, 1000) -> [data loss e1:1] to the tail e1:2, events 4..5, 2.500000ms..3.000000ms
      because op 0 -> op 2, position: e1:1 comes before e1:2
      because op 2 -> op 0, observation: op 2 shows a gap (data loss) at e1:1
  order            valid
  prefix-agreement valid
";
    let text = report.to_string();
    assert_eq!(text, expected, "\n{text}");
    let json = serde_json::to_value(&report).expect("reports serialise");
    assert_eq!(json["verdict"], "invalid");
    let lost = &json["parts"][0]["checks"][0]["verdict"]["invalid"]["anomalies"][0];
    assert_eq!(lost["kind"], "LostWrite");
    assert_eq!(lost["certificate"][0]["call"], "append(#7)");
}
