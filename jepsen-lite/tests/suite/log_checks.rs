//! The checks of logs beside linearizability: each anomaly in a good history, found and named; those that
//! are easy to get wrong against a judge that looks at every position on its own.

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::{LogId, Lsn, NodeId, NodeSet};
use jepsen_lite::anomaly::AnomalyKind;
use jepsen_lite::check::{Check, CheckOptions, Report, check};
use jepsen_lite::history::{
    Call, EventIndex, Gap, GapKind, History, OpId, OpKind, Outcome, ReadOutcome, RecordId, Source,
    Status, Subscription,
};
use jepsen_lite::tiering::{TierRange, Untiled, tiles};
use jepsen_lite::verdict::{UnknownCause, Verdict, VerdictKind};
use jepsen_lite::white_box::{self, Synced};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::script::{Script, lsn};

use AnomalyKind::{
    AckBeforeDurable, DirtyRead, Duplicate, NonmonotonicPoll, PollSkip, StaleRead, TierDivergence,
    TrimViolation, Unseen,
};
use Check::{Monotonicity, Subscriptions, Tiering, TrimSafety};

/// The checks of what a log contains: those whose anomalies no legal history has.
pub(crate) fn about_contents() -> CheckOptions {
    let checks = [
        Check::Linearizability,
        Check::Durability,
        Check::Order,
        Check::PrefixAgreement,
    ];
    CheckOptions {
        checks: checks.into(),
    }
}

fn judge(history: &History, asked: Check) -> Report {
    let options = CheckOptions {
        checks: [asked].into(),
    };
    check(history, &options)
}

/// Asserts what one check finds, each kind with its certificate.
fn finds(asked: Check, write: impl FnOnce(&mut Script), expected: &[AnomalyKind]) -> Report {
    let mut script = Script::default();
    write(&mut script);
    let report = judge(&script.finish(), asked);
    let mut found: Vec<AnomalyKind> = report.anomalies().map(|(_, found)| found.kind).collect();
    found.sort_unstable();
    let mut expected = expected.to_vec();
    expected.sort_unstable();
    assert_eq!(found, expected, "{report}");
    assert_eq!(report.verdict == VerdictKind::Invalid, !found.is_empty());
    for (_, anomaly) in report.anomalies() {
        let shown = |op| anomaly.certificate.iter().any(|shown| shown.op == op);
        assert!((1..=4).contains(&anomaly.certificate.len()), "{anomaly}");
        assert!(!anomaly.chain.is_empty(), "{anomaly}");
        for link in &anomaly.chain {
            assert!(shown(link.from) && shown(link.to), "{anomaly}");
        }
        assert!(report.to_string().contains(&anomaly.kind.to_string()));
    }
    report
}

/// `"e1:1 #7"`, `"hole e1:2..e1:3"`, `"trim e1:1"`.
fn shown(entries: &[&str]) -> (Vec<(Lsn, RecordId)>, Vec<Gap>) {
    let (mut records, mut gaps) = (Vec::new(), Vec::new());
    for entry in entries {
        let (one, two) = entry.split_once(' ').expect("two words");
        let kind = match one {
            "hole" => GapKind::Hole,
            "bridge" => GapKind::Bridge,
            "loss" => GapKind::DataLoss,
            "trim" => GapKind::Trim,
            at => {
                let record = two.strip_prefix('#').expect("a record");
                records.push((lsn(at), RecordId(record.parse().expect("a record id"))));
                continue;
            }
        };
        let (first, last) = two.split_once("..").unwrap_or((two, two));
        let (first, last) = (lsn(first), lsn(last));
        gaps.push(Gap { kind, first, last });
    }
    (records, gaps)
}

fn poll_answer(entries: &[&str]) -> Outcome {
    let (records, gaps) = shown(entries);
    Outcome::Read(ReadOutcome::of_poll(records, gaps))
}

fn read_answer(entries: &[&str], tail: &str) -> Outcome {
    let (records, gaps) = shown(entries);
    let tail = lsn(tail);
    Outcome::Read(ReadOutcome {
        records,
        gaps,
        tail,
    })
}

impl Script {
    fn invoke_poll(&mut self, process: u32, by: Option<(u32, u32)>, from: &str) -> OpId {
        let subscription = by.map(|(id, incarnation)| Subscription { id, incarnation });
        let poll = Call::Poll {
            from: lsn(from),
            limit: 3,
            subscription,
        };
        self.invoke(process, poll)
    }

    /// A whole poll of three records at most.
    pub(crate) fn poll_as(
        &mut self,
        process: u32,
        by: Option<(u32, u32)>,
        from: &str,
        entries: &[&str],
    ) {
        let poll = self.invoke_poll(process, by, from);
        self.ok(poll, poll_answer(entries));
    }

    fn trimmed(&mut self, process: u32, from: &str, upto: &str) {
        let read = self.invoke_read(process, from, 9, false);
        self.ok(read, Outcome::Trimmed { upto: lsn(upto) });
    }

    fn read_with(&mut self, process: u32, entries: &[&str], tail: &str) {
        let read = self.invoke_read(process, "e1:1", 9, false);
        self.ok(read, read_answer(entries, tail));
    }

    pub(crate) fn read_tier(&mut self, process: u32, source: Source, entries: &[&str]) {
        let read = Call::Read {
            from: lsn("e1:1"),
            limit: 9,
            is_final: false,
            source,
        };
        let read = self.invoke(process, read);
        self.ok(read, poll_answer(entries));
    }
}

// Monotonicity

#[test]
fn what_a_process_sees_may_stand_still_or_rise() {
    finds(
        Monotonicity,
        |s| {
            s.tail(1, "e1:3");
            s.tail(2, "e1:1");
            s.tail(1, "e1:3");
            s.read(1, &["hole e1:1..e1:3"], "e1:4");
            s.poll_as(1, None, "e1:1", &["e1:4 #4"]);
            s.tail(1, "e2:1");
            s.tail(2, "e1:5");
        },
        &[],
    );
}

#[test]
fn a_tail_or_a_read_that_goes_back_is_stale() {
    let tail_at = |at: &'static str, process| {
        move |s: &mut Script| {
            s.tail(process, at);
        }
    };
    for (before, name) in [
        (
            Box::new(tail_at("e1:5", 1)) as Box<dyn Fn(&mut Script)>,
            "tail",
        ),
        (
            Box::new(|s| {
                s.read(1, &["hole e1:1..e1:4"], "e1:5");
            }),
            "read",
        ),
        (
            Box::new(|s| s.poll_as(1, None, "e1:4", &["e1:4 #4"])),
            "poll",
        ),
        (
            Box::new(|s| s.poll_as(1, Some((1, 0)), "e1:4", &["e1:4 #4"])),
            "poll of a subscription",
        ),
    ] {
        for (at, of, expected) in [
            ("e1:5", 1, &[][..]),
            ("e1:4", 1, &[StaleRead][..]),
            ("e1:4", 2, &[][..]),
        ] {
            println!("{name}, then {at} of process {of}");
            finds(
                Monotonicity,
                |s| {
                    before(s);
                    s.tail(of, at);
                },
                expected,
            );
            finds(
                Monotonicity,
                |s| {
                    before(s);
                    s.read(of, &[], at);
                },
                expected,
            );
            finds(
                Monotonicity,
                |s| {
                    before(s);
                    let seal = Call::Seal {
                        epoch: hstore_core::Epoch(2),
                    };
                    let seal = s.invoke(of, seal);
                    s.ok(seal, Outcome::Seal { tail: lsn(at) });
                },
                expected,
            );
        }
    }
}

#[test]
fn a_process_can_have_any_number() {
    for process in [0, 4_095, 4_096, u32::MAX] {
        finds(
            Monotonicity,
            |s| {
                s.tail(process, "e1:5");
                s.tail(process ^ 1, "e1:4");
                s.tail(process, "e1:4");
            },
            &[StaleRead],
        );
    }
}

#[test]
fn a_read_that_its_limit_cut_says_nothing_of_the_end() {
    finds(
        Monotonicity,
        |s| {
            s.tail(1, "e1:5");
            let read = s.invoke_read(1, "e1:1", 1, false);
            s.ok(read, read_answer(&["e1:1 #1"], "e1:3"));
        },
        &[],
    );
}

#[test]
fn a_poll_shows_again_what_its_process_was_shown() {
    const SHOWN: &[&str] = &["e1:1 #1", "e1:2 #2", "hole e1:3"];
    let then = |from: &'static str, entries: &'static [&str], expected: &[AnomalyKind]| {
        finds(
            Monotonicity,
            |s| {
                s.poll_as(1, None, "e1:1", SHOWN);
                s.poll_as(1, None, from, entries);
            },
            expected,
        );
    };
    then("e1:1", SHOWN, &[]);
    then("e1:2", &["e1:2 #2", "hole e1:3", "e1:4 #4"], &[]);
    then("e1:4", &[], &[]);
    then("e1:1", &["e1:1 #1", "e1:2 #2"], &[NonmonotonicPoll]);
    then("e1:3", &[], &[NonmonotonicPoll]);
    // What its limit holds back is no matter, and neither is what others are shown.
    finds(
        Monotonicity,
        |s| {
            s.poll_as(1, None, "e1:1", &["e1:1 #1", "e1:2 #2", "e1:3 #3"]);
            s.poll_as(1, None, "e1:2", &["e1:2 #2", "e1:3 #3", "e1:4 #4"]);
            s.poll_as(1, None, "e1:1", &["e1:1 #1", "e1:2 #2", "e1:3 #3"]);
            s.poll_as(2, None, "e1:1", &["e1:1 #1"]);
        },
        &[],
    );
}

// Subscriptions

/// Six positions, one of them a hole; `of` says what the poll that begins there shows, if not the truth.
fn subscribed(of: &[(&str, (u32, u32), &[&str])]) -> impl FnOnce(&mut Script) {
    let polls: Vec<(String, (u32, u32), Vec<String>)> = of
        .iter()
        .map(|&(from, by, entries)| {
            let entries = entries.iter().map(|&entry| entry.to_owned());
            (from.to_owned(), by, entries.collect())
        })
        .collect();
    move |s| {
        for (record, at) in [
            (1, "e1:1"),
            (2, "e1:2"),
            (3, "e1:3"),
            (5, "e1:5"),
            (6, "e1:6"),
        ] {
            s.append(1, record, at);
        }
        let failed = s.invoke_append(1, 4);
        s.fail(failed);
        let unknown = s.invoke_append(1, 7);
        s.info(unknown);
        for (from, by, entries) in polls {
            let entries: Vec<&str> = entries.iter().map(String::as_str).collect();
            s.poll_as(2, Some(by), &from, &entries);
        }
    }
}

const LOW: (&str, (u32, u32), &[&str]) = ("e1:1", (1, 0), &["e1:1 #1", "e1:2 #2"]);
const MIDDLE: (&str, (u32, u32), &[&str]) = ("e1:3", (1, 0), &["e1:3 #3", "hole e1:4"]);
const HIGH: (&str, (u32, u32), &[&str]) = ("e1:5", (1, 0), &["e1:5 #5", "e1:6 #6", "e1:7 #7"]);

#[test]
fn a_subscription_may_start_anywhere_and_go_back_when_it_starts_anew() {
    finds(Subscriptions, subscribed(&[LOW, MIDDLE, HIGH]), &[]);
    finds(Subscriptions, subscribed(&[MIDDLE, HIGH]), &[]);
    let empty = ("e1:3", (1, 0), &[][..]);
    finds(Subscriptions, subscribed(&[LOW, empty, MIDDLE, HIGH]), &[]);
    finds(
        Subscriptions,
        subscribed(&[
            LOW,
            MIDDLE,
            ("e1:2", (1, 1), &["e1:2 #2", "e1:3 #3", "hole e1:4"]),
            ("e1:5", (1, 1), &["e1:5 #5"]),
            ("e1:6", (1, 2), &["e1:6 #6"]),
            ("e1:2", (2, 0), &["e1:2 #2"]),
        ]),
        &[],
    );
}

#[test]
fn what_an_incarnation_delivers_twice_is_a_duplicate() {
    finds(
        Subscriptions,
        subscribed(&[LOW, ("e1:2", (1, 0), &["e1:2 #2", "e1:3 #3"])]),
        &[Duplicate],
    );
    finds(
        Subscriptions,
        subscribed(&[("e1:1", (1, 0), &["e1:1 #1", "e1:1 #1", "e1:2 #2"])]),
        &[Duplicate],
    );
}

#[test]
fn an_incarnation_that_goes_back_is_not_monotone() {
    finds(
        Subscriptions,
        subscribed(&[("e1:1", (1, 0), &["e1:2 #2", "e1:1 #1", "e1:3 #3"])]),
        &[NonmonotonicPoll],
    );
    finds(
        Subscriptions,
        subscribed(&[MIDDLE, ("e1:2", (1, 0), &["e1:2 #2"])]),
        &[NonmonotonicPoll],
    );
}

#[test]
fn what_is_passed_over_is_skipped_and_unless_it_comes_later_unseen() {
    // Between two polls.
    finds(Subscriptions, subscribed(&[LOW, HIGH]), &[PollSkip, Unseen]);
    // Within one.
    let sparse = ("e1:1", (1, 0), &["e1:1 #1", "e1:3 #3"][..]);
    finds(Subscriptions, subscribed(&[sparse]), &[PollSkip, Unseen]);
    // Under a gap, or under another record.
    for instead in ["hole e1:3", "loss e1:3", "e1:3 #7"] {
        let poll = ("e1:3", (1, 0), &[instead, "hole e1:4"][..]);
        finds(Subscriptions, subscribed(&[LOW, poll]), &[PollSkip, Unseen]);
        // A later incarnation makes up for it.
        let anew = ("e1:3", (1, 1), &["e1:3 #3"][..]);
        finds(Subscriptions, subscribed(&[LOW, poll, anew]), &[PollSkip]);
    }
    // By a new incarnation.
    let anew = ("e1:5", (1, 1), &["e1:5 #5"][..]);
    let report = finds(Subscriptions, subscribed(&[LOW, anew]), &[PollSkip, Unseen]);
    assert!(
        report
            .to_string()
            .contains("e1:3 is due, but it goes on at e1:5")
    );
    // A position that was no record's is skipped too, but nothing is unseen.
    let before = ("e1:3", (1, 0), &["e1:3 #3"][..]);
    finds(Subscriptions, subscribed(&[LOW, before, HIGH]), &[PollSkip]);
}

#[test]
fn a_record_that_only_a_read_showed_is_not_passed_over_either() {
    let write = |instead: &'static str| {
        move |s: &mut Script| {
            let unknown = s.invoke_append(1, 1);
            s.info(unknown);
            s.read(2, &["e1:1 #1"], "e1:2");
            s.poll_as(3, Some((1, 0)), "e1:1", &[instead]);
        }
    };
    finds(Subscriptions, write("e1:1 #1"), &[]);
    finds(Subscriptions, write("hole e1:1"), &[PollSkip]);
}

#[test]
fn what_nobody_appended_is_not_delivered() {
    for phantom in ["e1:4 #4", "e1:4 #99"] {
        let poll = ("e1:3", (1, 0), &["e1:3 #3", phantom][..]);
        finds(Subscriptions, subscribed(&[LOW, poll]), &[DirtyRead]);
    }
}

#[test]
fn what_was_given_up_need_not_be_delivered() {
    let write = |upto: &'static str, late: bool| {
        move |s: &mut Script| {
            subscribed(&[LOW])(s);
            if !late {
                s.trim(3, upto);
            }
            s.poll_as(2, Some((1, 0)), "e1:6", &["e1:6 #6"]);
            if late {
                s.trim(3, upto);
            }
        }
    };
    finds(Subscriptions, write("e1:5", false), &[]);
    finds(Subscriptions, write("e1:3", false), &[PollSkip, Unseen]);
    // It had been passed over before anybody gave it up.
    finds(Subscriptions, write("e1:5", true), &[PollSkip]);
    // Told so in so many words, and by a gap.
    finds(
        Subscriptions,
        |s| {
            subscribed(&[LOW])(s);
            s.trim(3, "e1:4");
            let poll = s.invoke_poll(2, Some((1, 0)), "e1:3");
            s.ok(poll, Outcome::Trimmed { upto: lsn("e1:4") });
            s.poll_as(2, Some((1, 0)), "e1:5", &["e1:5 #5"]);
            s.poll_as(4, Some((2, 0)), "e1:1", &["trim e1:1..e1:4", "e1:5 #5"]);
        },
        &[],
    );
}

#[test]
fn polls_of_an_incarnation_that_overlap_have_no_order() {
    let report = finds(
        Subscriptions,
        |s| {
            s.append(1, 1, "e1:1");
            let one = s.invoke_poll(2, Some((1, 0)), "e1:1");
            let two = s.invoke_poll(3, Some((1, 0)), "e1:1");
            s.ok(one, poll_answer(&["e1:1 #1"]));
            s.ok(two, poll_answer(&["e1:1 #1"]));
        },
        &[],
    );
    assert_eq!(
        report.parts[0].checks[0].verdict,
        Verdict::Unknown(UnknownCause::ConcurrentPolls {
            first: OpId(1),
            second: OpId(2)
        })
    );
}

// Trims

#[test]
fn trims_are_lazy_and_may_take_effect_before_they_return() {
    finds(
        TrimSafety,
        |s| {
            for (record, at) in [(1, "e1:1"), (2, "e1:2"), (3, "e1:3")] {
                s.append(1, record, at);
            }
            let trim = s.invoke(2, Call::Trim { upto: lsn("e1:2") });
            s.trimmed(3, "e1:1", "e1:2");
            s.read_with(4, &["trim e1:1..e1:2", "e1:3 #3"], "e1:4");
            s.info(trim);
            s.read_with(4, &["e1:1 #1", "e1:2 #2", "e1:3 #3"], "e1:4");
            s.trimmed(3, "e1:1", "e1:2");
            s.trimmed(4, "e1:1", "e1:1");
        },
        &[],
    );
}

#[test]
fn nothing_is_given_up_that_nobody_gave_up() {
    let told: [fn(&mut Script); 3] = [
        |s| s.trimmed(3, "e1:1", "e1:2"),
        |s| s.read_with(3, &["trim e1:1..e1:2", "e1:3 #3"], "e1:4"),
        |s| s.read_tier(3, Source::Tier2, &["trim e1:1..e1:2"]),
    ];
    for told in told {
        finds(TrimSafety, told, &[TrimViolation]);
        // Not far enough, not in time, or for certain not at all.
        finds(
            TrimSafety,
            |s| {
                s.trim(2, "e1:1");
                told(s);
                s.trim(2, "e1:2");
            },
            &[TrimViolation],
        );
        finds(
            TrimSafety,
            |s| {
                let trim = s.invoke(2, Call::Trim { upto: lsn("e1:2") });
                s.fail(trim);
                told(s);
            },
            &[TrimViolation],
        );
        finds(
            TrimSafety,
            |s| {
                s.trim(2, "e1:7");
                s.trim(2, "e1:1");
                told(s);
            },
            &[],
        );
    }
}

#[test]
fn a_read_above_a_trim_is_answered() {
    let write = |from: &'static str| {
        move |s: &mut Script| {
            s.trim(2, "e1:4");
            s.trimmed(3, from, "e1:4");
        }
    };
    finds(TrimSafety, write("e1:4"), &[]);
    finds(TrimSafety, write("e1:5"), &[TrimViolation]);
}

#[test]
fn what_is_given_up_is_a_prefix() {
    let write = |entries: &'static [&'static str]| {
        move |s: &mut Script| {
            s.trim(2, "e1:4");
            s.read_with(3, entries, "e1:4");
        }
    };
    let good = ["hole e1:1", "trim e1:2", "e1:3 #3"];
    finds(TrimSafety, write(&["trim e1:1..e1:2", "e1:3 #3"]), &[]);
    finds(
        TrimSafety,
        |s| write(&["e1:1 #1", "trim e1:2", "e1:3 #3"])(s),
        &[TrimViolation],
    );
    finds(
        TrimSafety,
        |s| {
            s.trim(2, "e1:4");
            s.read_with(3, &good, "e1:4");
        },
        &[],
    );
}

#[test]
fn a_trim_that_a_process_was_told_of_does_not_go_back() {
    let write = |process| {
        move |s: &mut Script| {
            s.trim(2, "e1:4");
            s.trimmed(3, "e1:1", "e1:4");
            s.trimmed(process, "e1:1", "e1:3");
        }
    };
    finds(TrimSafety, write(4), &[]);
    finds(TrimSafety, write(3), &[TrimViolation]);
}

// Tiers

#[test]
fn tiers_agree_on_records_and_on_what_never_was_there() {
    finds(
        Tiering,
        |s| {
            let all = ["e1:1 #1", "hole e1:2", "e1:3 #3", "loss e1:4"];
            s.read_with(1, &all, "e1:5");
            s.read_tier(2, Source::Tier1, &["trim e1:1", "bridge e1:2", "e1:3 #3"]);
            s.read_tier(3, Source::Tier2, &["e1:1 #1", "hole e1:2"]);
            s.read_tier(3, Source::Tier2, &all);
        },
        &[],
    );
}

#[test]
fn tiers_that_show_different_things_diverge() {
    let right = ["e1:1 #1", "hole e1:2", "e1:3 #3", "loss e1:4"];
    let wrong: [&[&str]; 5] = [
        &["e1:1 #9", "hole e1:2"],
        &["hole e1:1", "bridge e1:2"],
        &["e1:1 #1", "loss e1:2"],
        &["e1:1 #1", "e1:2 #2"],
        &["e1:1 #1", "hole e1:2", "loss e1:4"],
    ];
    for wrong in wrong {
        let places: [fn(&mut Script, &[&str]); 3] = [
            |s, entries| s.read_with(1, entries, "e1:5"),
            |s, entries| s.read_tier(1, Source::Tier1, entries),
            |s, entries| s.read_tier(1, Source::Tier2, entries),
        ];
        for one in 0..3 {
            for two in 0..3 {
                let expected = if one == two {
                    &[][..]
                } else {
                    &[TierDivergence]
                };
                println!("{wrong:?} in {two}");
                finds(
                    Tiering,
                    |s| {
                        places[one](s, &right);
                        places[two](s, wrong);
                    },
                    expected,
                );
            }
        }
    }
}

#[test]
fn a_loss_is_told_from_a_hole_behind_a_wider_one() {
    finds(
        Tiering,
        |s| {
            s.read_with(1, &["hole e1:1..e1:5", "hole e1:6"], "e1:7");
            s.read_tier(2, Source::Tier2, &["bridge e1:1..e1:3", "loss e1:4"]);
        },
        &[TierDivergence],
    );
}

#[test]
fn committed_ranges_tile() {
    let range = |first, last| TierRange {
        first: lsn(first),
        last: lsn(last),
    };
    let one = range("e1:1", "e1:5");
    let two = range("e1:6", "e1:4294967295");
    let three = range("e2:1", "e2:9");
    assert_eq!(tiles(&[]), Ok(()));
    assert_eq!(tiles(&[two, one, three]), Ok(()));
    assert_eq!(tiles(&[one, three]), Err(Untiled::Hole(one, three)));
    let wide = range("e1:5", "e1:9");
    assert_eq!(tiles(&[one, wide]), Err(Untiled::Overlap(one, wide)));
    let backwards = range("e1:5", "e1:4");
    assert_eq!(tiles(&[backwards]), Err(Untiled::Backwards(backwards)));
    let error = Untiled::Hole(one, three).to_string();
    assert!(error.contains("e1:5") && error.contains("e2:1"), "{error}");
}

// White-box durability

/// A log, an LSN, a wave, the nodes that synced, and the event before which they had.
pub(crate) type Row = (u32, &'static str, u32, &'static [u8], u64);

/// Two appends, acknowledged at events 1 and 3; the verdict on this evidence where two copies are enough.
pub(crate) fn white_box(evidence: &[Row]) -> Verdict {
    let mut script = Script::default();
    script.append(1, 1, "e1:1");
    script.append(1, 2, "e1:2");
    let evidence: Vec<Synced> = evidence
        .iter()
        .map(|&(log, at, wave, nodes, before)| Synced {
            log: LogId(log),
            lsn: lsn(at),
            wave,
            copies: nodes.iter().map(|&node| NodeId(node)).collect(),
            before: EventIndex(before),
        })
        .collect();
    let suffices = |_, _, copies: NodeSet| copies.len() >= 2;
    white_box::check(&script.finish(), &evidence, suffices)
}

#[test]
fn enough_copies_of_one_wave_make_a_record_durable() {
    let second = (0, "e1:2", 0, &[0, 1][..], 3);
    let valid = Verdict::Valid(());
    assert_eq!(white_box(&[second, (0, "e1:1", 0, &[0, 1], 1)]), valid);
    // One after the other, with another wave between.
    let split = [
        (0, "e1:1", 1, &[0][..], 0),
        second,
        (0, "e1:1", 0, &[1], 1),
        (0, "e1:1", 1, &[2], 1),
    ];
    assert_eq!(white_box(&split), valid);
}

#[test]
fn an_acknowledgement_before_enough_copies_is_found() {
    let second = (0, "e1:2", 0, &[0, 1][..], 3);
    let first: [&[Row]; 5] = [
        // Nothing at all, too few, too late, of two waves, or of another log.
        &[],
        &[(0, "e1:1", 0, &[0], 1)],
        &[(0, "e1:1", 0, &[0], 1), (0, "e1:1", 0, &[1], 2)],
        &[(0, "e1:1", 0, &[0], 1), (0, "e1:1", 1, &[1], 1)],
        &[(7, "e1:1", 0, &[0, 1], 1)],
    ];
    for first in first {
        let mut evidence = first.to_vec();
        evidence.push(second);
        let verdict = white_box(&evidence);
        let findings = verdict.findings().expect("it was too early");
        let anomaly = &findings.anomalies[0];
        assert_eq!(findings.total(), 1);
        assert_eq!(anomaly.kind, AckBeforeDurable);
        assert_eq!(anomaly.certificate[0].op, OpId(0));
        assert!(anomaly.to_string().contains("copies: "), "{anomaly}");
        serde_json::to_value(anomaly).expect("anomalies serialise");
    }
}

// Against a judge that looks at every position on its own.

const POSITIONS: u64 = 7;

pub(crate) fn at(position: u64) -> Lsn {
    Lsn::new(1, u32::try_from(position).expect("small"))
}

/// A short history of a subscription or two: what a right log could have delivered, then damaged.
pub(crate) fn random_subscriptions(rng: &mut impl Rng) -> History {
    let mut s = Script::default();
    let mut truth: BTreeMap<u64, u64> = BTreeMap::new();
    for position in 1..=POSITIONS {
        if rng.random_bool(0.2) {
            continue;
        }
        let append = s.invoke_append(10 + position as u32, position);
        match rng.random_range(0..10) {
            0 => s.fail(append),
            1 => {
                s.info(append);
                if rng.random_bool(0.5) {
                    truth.insert(position, position);
                }
            }
            _ => {
                s.appended(append, &at(position).to_string());
                truth.insert(position, position);
            }
        }
    }
    let mut trim = 0;
    let mut places: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
    let mut open: Vec<(OpId, Outcome)> = Vec::new();
    for step in 0..rng.random_range(2..9_u32) {
        if rng.random_bool(0.1) {
            trim = rng.random_range(1..=POSITIONS);
            s.trim(1, &at(trim).to_string());
        }
        let id = u32::from(rng.random_bool(0.2));
        let (incarnation, next) = places.entry(id).or_insert((0, rng.random_range(1..=3)));
        if rng.random_bool(0.2) {
            *incarnation += 1;
            *next = rng.random_range(1..=*next);
        }
        if rng.random_bool(0.1) {
            *next = rng.random_range(1..=POSITIONS);
        }
        let from = *next;
        let end = (from + rng.random_range(0..4)).min(POSITIONS + 1);
        let (mut records, mut gaps) = (Vec::new(), Vec::new());
        for position in from..end {
            let kind = match rng.random_range(0..40) {
                0 => continue,
                1 => Some(GapKind::Hole),
                2 => Some(GapKind::DataLoss),
                3 => Some(GapKind::Trim),
                4 => {
                    records.push((at(position), RecordId(rng.random_range(1..=POSITIONS + 1))));
                    continue;
                }
                _ if position <= trim && rng.random_bool(0.5) => Some(GapKind::Trim),
                _ => None,
            };
            let (first, last) = (at(position), at(position));
            match (kind, truth.get(&position)) {
                (None, Some(&record)) => records.push((first, RecordId(record))),
                (kind, _) => gaps.push(Gap {
                    kind: kind.unwrap_or(GapKind::Hole),
                    first,
                    last,
                }),
            }
        }
        if records.len() > 1 && rng.random_bool(0.1) {
            records.swap(0, 1);
        }
        if let Some(&first) = records.first()
            && rng.random_bool(0.05)
        {
            records.push(first);
        }
        *next = end;
        let call = Call::Poll {
            from: at(from),
            limit: 9,
            subscription: Some(Subscription {
                id,
                incarnation: *incarnation,
            }),
        };
        let poll = s.invoke(100 + step, call);
        let outcome = match rng.random_range(0..20) {
            0 => Outcome::Trimmed { upto: at(end) },
            _ => Outcome::Read(ReadOutcome::of_poll(records, gaps)),
        };
        open.push((poll, outcome));
        if rng.random_bool(0.03) {
            continue;
        }
        for (poll, outcome) in open.drain(..) {
            if rng.random_bool(0.03) {
                s.info(poll);
            } else {
                s.ok(poll, outcome);
            }
        }
    }
    s.finish()
}

struct DumbPoll {
    incarnation: u32,
    invoked: u64,
    returned: u64,
    from: u64,
    end: u64,
    records: Vec<(u64, u64)>,
    /// Positions that it shows as a gap, and whether that is one of a trim; all that a refusal covers.
    gaps: BTreeMap<u64, bool>,
}

/// What is wrong with the subscriptions of a history, by looking at every position of every poll.
fn dumb_subscriptions(history: &History) -> (BTreeSet<AnomalyKind>, bool) {
    let mut found = BTreeSet::new();
    let mut overlaps = false;
    let offset = |lsn: Lsn| u64::from(lsn.offset.0);
    let mut polls: BTreeMap<u32, Vec<DumbPoll>> = BTreeMap::new();
    let mut acked: BTreeMap<u64, u64> = BTreeMap::new();
    let mut attempted: BTreeSet<u64> = BTreeSet::new();
    let mut trims: Vec<(u64, u64)> = Vec::new();
    for op in history.ops() {
        let invoked = op.invoked().index.0;
        let returned = op.completed().map(|at| at.index.0);
        let call = op.call();
        if op.kind() == OpKind::Append {
            let record = op.record().expect("an append").0;
            if op.status() != Status::Fail {
                attempted.insert(record);
            }
        }
        if let Call::Trim { upto } = call {
            trims.push((invoked, offset(upto)));
        }
        match (op.answer(), call) {
            (Some(jepsen_lite::history::Answer::Append { lsn }), _) => {
                acked.insert(offset(lsn), op.record().expect("an append").0);
            }
            (
                Some(answer),
                Call::Poll {
                    from,
                    subscription: Some(by),
                    ..
                },
            ) => {
                let from = offset(from);
                let mut poll = DumbPoll {
                    incarnation: by.incarnation,
                    invoked,
                    returned: returned.expect("answered"),
                    from,
                    end: from,
                    records: Vec::new(),
                    gaps: BTreeMap::new(),
                };
                match answer {
                    jepsen_lite::history::Answer::Trimmed { upto } => {
                        poll.gaps
                            .extend((from..=offset(upto)).map(|position| (position, true)));
                    }
                    jepsen_lite::history::Answer::Poll(read) => {
                        let records = read.records.iter();
                        poll.records = records.map(|(lsn, id)| (offset(*lsn), id.0)).collect();
                        poll.gaps = read
                            .gaps
                            .iter()
                            .map(|gap| (offset(gap.first), gap.kind == GapKind::Trim))
                            .collect();
                    }
                    _ => unreachable!("a poll is answered so"),
                }
                let shown = poll.records.iter().map(|&(position, _)| position);
                let shown = shown.chain(poll.gaps.keys().copied());
                if let Some(last) = shown.max() {
                    poll.end = last + 1;
                    polls.entry(by.id).or_default().push(poll);
                }
            }
            _ => {}
        }
    }
    let given_up = |position: u64, by: u64| {
        let mut trims = trims.iter();
        trims.any(|&(invoked, upto)| invoked < by && position <= upto)
    };
    // All that is said to be at a position.
    let mut said: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for (&position, &record) in &acked {
        said.entry(position).or_default().insert(record);
    }
    for &(position, record) in polls.values().flatten().flat_map(|poll| &poll.records) {
        said.entry(position).or_default().insert(record);
    }
    for polls in polls.values() {
        for (index, poll) in polls.iter().enumerate() {
            for &(_, record) in &poll.records {
                if !attempted.contains(&record) {
                    found.insert(DirtyRead);
                }
            }
            let same = |other: &&DumbPoll| other.incarnation == poll.incarnation;
            if any_overlap(polls, poll.incarnation) {
                overlaps = true;
                continue;
            }
            let before = || polls[..index].iter().filter(same);
            let own = before().map(|other| other.end).max();
            let earlier = polls.iter();
            let earlier = earlier.filter(|other| other.incarnation < poll.incarnation);
            let due = own.or(earlier.map(|other| other.end).max());
            let first = due.map_or(poll.from, |due| due.min(poll.from));
            for position in first..poll.end {
                if given_up(position, poll.returned) {
                    continue;
                }
                let shows = |record| poll.records.contains(&(position, record));
                let gap = poll.gaps.get(&position);
                let any_record = poll.records.iter().any(|&(at, _)| at == position);
                let is_left_out = position < poll.from || (gap.is_none() && !any_record);
                let acked = acked.get(&position).copied();
                let said = said.get(&position).into_iter().flatten().copied();
                let said: Vec<u64> = said.collect();
                let only = said.first().copied().filter(|_| said.len() == 1);
                let known = acked.or(only.filter(|record| attempted.contains(record)));
                let other = known.is_some_and(|record| !shows(record));
                if is_left_out || (gap != Some(&true) && other) {
                    found.insert(PollSkip);
                }
            }
            let mut delivered: Vec<(u64, u64)> =
                before().flat_map(|other| other.records.clone()).collect();
            let mut high = own.unwrap_or(0);
            for &(position, record) in &poll.records {
                if position < high {
                    found.insert(if delivered.contains(&(position, record)) {
                        Duplicate
                    } else {
                        NonmonotonicPoll
                    });
                }
                high = high.max(position + 1);
                delivered.push((position, record));
            }
        }
        let lowest = polls.iter().map(|poll| poll.incarnation).min();
        let start = polls
            .iter()
            .find(|poll| Some(poll.incarnation) == lowest)
            .map_or(0, |poll| poll.from);
        let end = polls.iter().map(|poll| poll.end).max().unwrap_or(0);
        for (&position, &record) in acked.range(start..end.max(start)) {
            let mut polls = polls.iter();
            let delivered = polls.any(|poll| poll.records.contains(&(position, record)));
            if !delivered && !given_up(position, u64::MAX) {
                found.insert(Unseen);
            }
        }
    }
    (found, overlaps)
}

fn any_overlap(polls: &[DumbPoll], incarnation: u32) -> bool {
    let of: Vec<&DumbPoll> = polls
        .iter()
        .filter(|poll| poll.incarnation == incarnation)
        .collect();
    of.iter().enumerate().any(|(index, one)| {
        of[index + 1..]
            .iter()
            .any(|two| two.invoked < one.returned && one.invoked < two.returned)
    })
}

#[test]
fn subscriptions_are_judged_as_position_by_position() {
    const HISTORIES: u64 = 30_000;
    let mut times: BTreeMap<Option<AnomalyKind>, u64> = BTreeMap::new();
    let mut unknown = 0;
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = random_subscriptions(&mut rng);
        let (expected, overlaps) = dumb_subscriptions(&history);
        let report = judge(&history, Subscriptions);
        let found: BTreeSet<AnomalyKind> =
            report.anomalies().map(|(_, found)| found.kind).collect();
        assert_eq!(found, expected, "seed {seed}: {report} {history:#?}");
        let verdict = match (expected.is_empty(), overlaps) {
            (false, _) => VerdictKind::Invalid,
            (true, true) => VerdictKind::Unknown,
            (true, false) => VerdictKind::Valid,
        };
        assert_eq!(report.verdict, verdict, "seed {seed}: {report}");
        unknown += u64::from(verdict == VerdictKind::Unknown);
        for kind in &expected {
            *times.entry(Some(*kind)).or_default() += 1;
        }
        if expected.is_empty() {
            *times.entry(None).or_default() += 1;
        }
    }
    println!("{HISTORIES} histories: {times:?}, {unknown} unknown");
    for kind in [Duplicate, NonmonotonicPoll, PollSkip, Unseen, DirtyRead] {
        assert!(times[&Some(kind)] >= HISTORIES / 100, "{kind}: {times:?}");
    }
    assert!(times[&None] >= HISTORIES / 10, "{times:?}");
    assert!(unknown > 0);
}

/// Reads of all kinds, tails and trims, of two processes and at random; no appends.
pub(crate) fn random_observations(rng: &mut impl Rng) -> History {
    let mut s = Script::default();
    let mut trim: Option<OpId> = None;
    for _ in 0..rng.random_range(2..8) {
        if let Some(trim) = trim.take() {
            s.ok(trim, Outcome::Trim);
        }
        let process = rng.random_range(1..3);
        let from = rng.random_range(1..4);
        let tail = rng.random_range(2..6);
        if rng.random_bool(0.2) {
            s.tail(process, &at(tail).to_string());
            continue;
        }
        if rng.random_bool(0.2) {
            let upto = at(rng.random_range(1..5));
            trim = Some(s.invoke(3, Call::Trim { upto }));
        }
        let limit = rng.random_range(1..4);
        let call = match rng.random_range(0..6) {
            0 | 1 => Call::Poll {
                from: at(from),
                limit,
                subscription: None,
            },
            kind => Call::Read {
                from: at(from),
                limit,
                is_final: false,
                source: [Source::Log, Source::Tier1, Source::Tier2, Source::Log][kind - 2],
            },
        };
        let read = s.invoke(process, call);
        if rng.random_bool(0.2) {
            let upto = at(rng.random_range(1..5));
            s.ok(read, Outcome::Trimmed { upto });
            continue;
        }
        let (mut records, mut gaps) = (Vec::new(), Vec::new());
        let mut position = from;
        while position < tail && (records.len() as u32) < limit {
            let wide = if rng.random_bool(0.2) { 1 } else { 0 };
            let last = at((position + wide).min(tail - 1));
            let first = at(position);
            let kind = match rng.random_range(0..12) {
                0 => GapKind::Hole,
                1 => GapKind::Bridge,
                2 => GapKind::DataLoss,
                3 => GapKind::Trim,
                number => {
                    if number > 4 {
                        records.push((first, RecordId(position)));
                    }
                    position += 1;
                    continue;
                }
            };
            gaps.push(Gap { kind, first, last });
            position += wide + 1;
        }
        let is_read = matches!(
            call,
            Call::Read {
                source: Source::Log,
                ..
            }
        );
        let answer = match is_read {
            true => ReadOutcome {
                records,
                gaps,
                tail: at(tail),
            },
            false => ReadOutcome::of_poll(records, gaps),
        };
        s.ok(read, Outcome::Read(answer));
    }
    s.finish()
}

/// What an answer says at a position.
fn says(read: &jepsen_lite::history::ReadAnswer<'_>, position: u64) -> Option<String> {
    let record = read.records.iter().find(|(lsn, _)| *lsn == at(position));
    let mut gaps = read.gaps.iter();
    let gap = gaps.find(|gap| gap.first <= at(position) && at(position) <= gap.last);
    let tops = read.records.iter().map(|(lsn, _)| *lsn);
    let top = tops.chain(read.gaps.iter().map(|gap| gap.last)).max()?;
    match (record, gap.map(|gap| gap.kind)) {
        (Some((_, id)), _) => Some(id.to_string()),
        (None, Some(GapKind::Trim)) => None,
        (None, Some(GapKind::Hole | GapKind::Bridge)) => Some("hole".to_owned()),
        (None, Some(GapKind::DataLoss)) => Some("loss".to_owned()),
        (None, None) => (at(position) >= read.from && at(position) < top).then(String::new),
    }
}

#[test]
fn observations_are_judged_as_pair_by_pair() {
    use jepsen_lite::history::Answer;

    const HISTORIES: u64 = 30_000;
    let mut times: BTreeMap<(Check, AnomalyKind), u64> = BTreeMap::new();
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = random_observations(&mut rng);
        let mut expected: BTreeSet<(Check, AnomalyKind)> = BTreeSet::new();
        let ops = || history.ops().filter_map(|op| Some((op, op.answer()?)));
        for (two, of_two) in ops() {
            let trims = history.ops().filter(|op| {
                op.kind() == OpKind::Trim
                    && op.invoked().index < two.completed().expect("answered").index
            });
            let upto = trims.filter_map(|op| match op.call() {
                Call::Trim { upto } => Some(upto),
                _ => None,
            });
            let upto = upto.max().unwrap_or(Lsn::MIN);
            let violates = match (two.call(), of_two) {
                (
                    Call::Read { from, .. } | Call::Poll { from, .. },
                    Answer::Trimmed { upto: told },
                ) => told > upto || told < from,
                (_, Answer::Read(read) | Answer::Poll(read)) => {
                    let trims = read.gaps.iter().filter(|gap| gap.kind == GapKind::Trim);
                    trims
                        .map(|gap| gap.last)
                        .any(|last| last > upto || read.records.iter().any(|(lsn, _)| *lsn < last))
                }
                _ => false,
            };
            if violates {
                expected.insert((TrimSafety, TrimViolation));
            }
            for (one, of_one) in ops().filter(|(one, _)| one.id() < two.id()) {
                let same_process = one.process() == two.process();
                if let (Answer::Trimmed { upto: one }, Answer::Trimmed { upto: two }) =
                    (of_one, of_two)
                    && two < one
                    && same_process
                {
                    expected.insert((TrimSafety, TrimViolation));
                }
                if let (
                    Answer::Read(one) | Answer::Poll(one),
                    Answer::Read(two) | Answer::Poll(two),
                ) = (of_one, of_two)
                    && one.source != two.source
                {
                    let differ = |position| {
                        let told = (says(&one, position)?, says(&two, position)?);
                        // What a read passes without a word is no gap, but no record either.
                        let is_silent = told.0.is_empty() || told.1.is_empty();
                        let of_record = told.0.starts_with('#') || told.1.starts_with('#');
                        Some(told.0 != told.1 && (!is_silent || of_record))
                    };
                    if (1..=POSITIONS).any(|position| differ(position) == Some(true)) {
                        expected.insert((Tiering, TierDivergence));
                    }
                }
                let shown = |answer: Answer<'_>, kind: OpKind| match answer {
                    Answer::Tail { tail } => Some(tail),
                    Answer::Read(read) if read.reached_tail() => Some(read.tail),
                    Answer::Read(read) | Answer::Poll(read)
                        if kind == OpKind::Poll || read.source == Source::Log =>
                    {
                        let tops = read.records.iter().map(|(lsn, _)| *lsn);
                        let gaps = read.gaps.iter().map(|gap| gap.last);
                        tops.chain(gaps).max().map(Lsn::next)
                    }
                    _ => None,
                };
                let Some(known) = shown(of_one, one.kind()).filter(|_| same_process) else {
                    continue;
                };
                match of_two {
                    Answer::Tail { tail } if tail < known => {
                        expected.insert((Monotonicity, StaleRead));
                    }
                    Answer::Read(read) if read.reached_tail() && read.tail < known => {
                        expected.insert((Monotonicity, StaleRead));
                    }
                    Answer::Poll(read)
                        if (one.kind(), two.kind()) == (OpKind::Poll, OpKind::Poll)
                            && (read.records.len() as u64) < u64::from(read.limit)
                            && read.from < known
                            && shown(of_two, OpKind::Poll).is_none_or(|end| end < known) =>
                    {
                        expected.insert((Monotonicity, NonmonotonicPoll));
                    }
                    _ => {}
                }
            }
        }
        let options = CheckOptions {
            checks: [TrimSafety, Tiering, Monotonicity].into(),
        };
        let report = check(&history, &options);
        let found = report.anomalies();
        let found: BTreeSet<_> = found.map(|(check, found)| (check, found.kind)).collect();
        assert_eq!(found, expected, "seed {seed}: {report} {history:#?}");
        for found in found {
            *times.entry(found).or_default() += 1;
        }
    }
    println!("{HISTORIES} histories: {times:?}");
    assert_eq!(times.len(), 4, "{times:?}");
    assert!(
        times
            .values()
            .all(|&times| times > HISTORIES / 100 && times < HISTORIES * 9 / 10)
    );
}
