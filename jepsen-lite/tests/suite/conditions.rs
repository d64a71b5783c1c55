//! Anomalies of conditional appends, tokens, trims, seals and polls: a history that has each, and the
//! nearest one that has not.

use hstore_core::LogId;
use jepsen_lite::anomaly::AnomalyKind;
use jepsen_lite::check::Check;
use jepsen_lite::history::{Call, Mismatch, Outcome, RecordId, Terms, Token};
use jepsen_lite::log_check::{STEPS_MAX, linearizability_within};
use jepsen_lite::replay::replay;
use jepsen_lite::verdict::{UnknownCause, Verdict, VerdictKind};

use crate::anomalies::{finds, is_valid, judge};
use crate::script::{Script, lsn};

use AnomalyKind::{
    ConditionViolation, DirtyRead, FenceViolation, InconsistentOffset, LostWrite, StaleRead,
    TrimViolation,
};
use Check::{Durability, Linearizability, PrefixAgreement};

fn if_last(at: &str) -> Terms {
    Terms {
        last: Some(lsn(at)),
        ..Terms::NONE
    }
}

fn if_token(token: u64) -> Terms {
    Terms {
        token: Some(Token(token)),
        ..Terms::NONE
    }
}

fn sets(token: u64) -> Terms {
    Terms {
        sets: Some(Token(token)),
        ..Terms::NONE
    }
}

const PLAIN: Mismatch = Mismatch {
    last: None,
    token: None,
};

fn told_last(at: &str) -> Mismatch {
    Mismatch {
        last: Some(lsn(at)),
        token: None,
    }
}

fn told_token(token: Option<u64>) -> Mismatch {
    Mismatch {
        last: None,
        token: Some(token.map(Token)),
    }
}

#[test]
fn condition_violation_of_an_accepted_append() {
    let then = |demanded: &'static str| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            let terms = if_last(demanded);
            s.append_if(2, 3, terms, Ok("e1:4"));
            let entries = ["e1:1 #1", "e1:2 #2", "hole e1:3", "e1:4 #3"];
            s.final_read(3, &entries, "e1:5");
        }
    };
    // Holes are no records.
    is_valid(then("e1:2"));
    for demanded in ["e1:1", "e1:3", "e0:0", "e1:9"] {
        finds(then(demanded), &[(Linearizability, ConditionViolation)]);
    }
}

#[test]
fn condition_violation_of_a_refused_append() {
    let then = |demanded: &'static str| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            s.append_if(2, 2, if_last(demanded), Err(PLAIN));
            s.append(1, 3, "e1:2");
            s.final_read(3, &["e1:1 #1", "e1:2 #3"], "e1:3");
        }
    };
    is_valid(then("e0:0"));
    is_valid(then("e1:2"));
    let report = finds(then("e1:1"), &[(Linearizability, ConditionViolation)]);
    let (_, anomaly) = report.anomalies().next().expect("one anomaly");
    assert_eq!(anomaly.certificate.len(), 3, "{anomaly}");
    // It is refused rightly while the next append is under way.
    is_valid(|s| {
        s.append(1, 1, "e1:1");
        let next = s.invoke_append(1, 3);
        s.append_if(2, 2, if_last("e1:1"), Err(PLAIN));
        s.appended(next, "e1:2");
        s.final_read(3, &["e1:1 #1", "e1:2 #3"], "e1:3");
    });
}

#[test]
fn one_refusal_forces_another() {
    // The first is refused only after #2 is there, so #2 is there before the second begins, and it
    // is refused only if #3 is there as well.
    let then = |third_ends_late: bool| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            let second = s.invoke_append(1, 2);
            let first_refused = s.append_if(2, 12, if_last("e1:1"), Err(PLAIN));
            assert_eq!(first_refused.0, 2);
            let third = third_ends_late.then(|| s.invoke_append(4, 3));
            s.append_if(2, 13, if_last("e1:2"), Err(PLAIN));
            let third = third.unwrap_or_else(|| s.invoke_append(4, 3));
            s.appended(second, "e1:2");
            s.appended(third, "e1:3");
            s.final_read(3, &["e1:1 #1", "e1:2 #2", "e1:3 #3"], "e1:4");
        }
    };
    is_valid(then(true));
    finds(then(false), &[(Linearizability, ConditionViolation)]);
}

#[test]
fn stale_refusal_that_tells_of_the_last_record() {
    let then = |told: &'static str| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.append_if(2, 3, if_last("e0:0"), Err(told_last(told)));
            s.final_read(3, &["e1:1 #1", "e1:2 #2"], "e1:3");
        }
    };
    is_valid(then("e1:2"));
    finds(then("e1:1"), &[(Linearizability, StaleRead)]);
    finds(then("e1:5"), &[(Linearizability, DirtyRead)]);
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.append_if(2, 3, if_last("e1:1"), Err(told_last("e1:1")));
            s.final_read(3, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, ConditionViolation)],
    );
}

#[test]
fn fence_violation_of_a_token() {
    let then = |demanded: u64, at: Result<&'static str, Mismatch>| {
        move |s: &mut Script| {
            s.append_if(1, 1, sets(1), Ok("e1:1"));
            s.append_if(2, 2, sets(2), Ok("e1:2"));
            s.append_if(1, 3, if_token(demanded), at);
            match at {
                Ok(_) => s.final_read(3, &["e1:1 #1", "e1:2 #2", "e1:3 #3"], "e1:4"),
                Err(_) => s.final_read(3, &["e1:1 #1", "e1:2 #2"], "e1:3"),
            };
        }
    };
    let violated = [(Linearizability, FenceViolation)];
    is_valid(then(2, Ok("e1:3")));
    finds(then(1, Ok("e1:3")), &violated);
    finds(then(3, Ok("e1:3")), &violated);
    for told in [PLAIN, told_token(Some(2)), told_last("e1:2")] {
        is_valid(then(1, Err(told)));
        finds(then(2, Err(told)), &violated);
    }
    for told in [told_token(Some(1)), told_token(Some(3)), told_token(None)] {
        finds(then(4, Err(told)), &violated);
    }
}

#[test]
fn a_token_that_recurs_allows_either_time() {
    let then = |demanded: u64| {
        move |s: &mut Script| {
            s.append_if(1, 1, sets(1), Ok("e1:1"));
            let between = s.invoke(
                1,
                Call::Append {
                    record: RecordId(2),
                    terms: sets(2),
                },
            );
            s.append_if(2, 9, if_token(demanded), Err(told_token(Some(1))));
            s.appended(between, "e1:2");
            s.append_if(1, 3, sets(1), Ok("e1:3"));
            s.append_if(2, 10, if_token(demanded), Err(told_token(Some(1))));
            s.final_read(3, &["e1:1 #1", "e1:2 #2", "e1:3 #3"], "e1:4");
        }
    };
    is_valid(then(2));
    finds(then(1), &[(Linearizability, FenceViolation)]);
}

#[test]
fn fence_violation_of_an_epoch() {
    let then = |at: &'static str| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            s.seal(2, 2, "e1:2");
            s.append(1, 2, at);
        }
    };
    assert_eq!(
        judge(then("e2:1")).parts[0].checks[0].verdict.kind(),
        VerdictKind::Valid
    );
    finds(then("e1:2"), &[(Linearizability, FenceViolation)]);
    // It may have been appended before the epoch was ended; then the seal must know of it.
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.seal(2, 2, "e1:1");
        },
        &[
            (Linearizability, StaleRead),
            (Linearizability, FenceViolation),
        ],
    );
    // A seal of which nobody knows ends nothing for sure.
    let report = judge(|s| {
        let seal = s.invoke(
            2,
            Call::Seal {
                epoch: hstore_core::Epoch(2),
            },
        );
        s.info(seal);
        s.append(1, 1, "e1:1");
        s.append(1, 2, "e2:1");
    });
    assert!(report.anomalies().next().is_none(), "{report}");
}

#[test]
fn an_unknown_append_that_nobody_saw_explains_a_refusal() {
    let then = |is_known: bool| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            let other = s.invoke_append(3, 2);
            if is_known {
                s.fail(other);
            } else {
                s.info(other);
            }
            s.append_if(2, 3, if_last("e1:1"), Err(PLAIN));
            let read = s.invoke_read(2, "e1:1", 1, true);
            s.returned(read, &["e1:1 #1"], "e1:2");
        }
    };
    // The final read saw nothing above #1, so the unknown append cannot have been there before.
    finds(then(false), &[(Linearizability, ConditionViolation)]);
    finds(then(true), &[(Linearizability, ConditionViolation)]);
    is_valid(|s| {
        s.append(1, 1, "e1:1");
        let other = s.invoke_append(3, 2);
        s.info(other);
        s.append_if(2, 3, if_last("e1:1"), Err(told_last("e1:2")));
        let read = s.invoke_read(2, "e1:1", 1, true);
        s.returned(read, &["e1:1 #1"], "e1:3");
    });
}

#[test]
fn unknown_appends_are_guessed_in_any_order_within_one_hole() {
    let then = |last_token: u64| {
        move |s: &mut Script| {
            for token in [1, 2] {
                let process = 10 + u32::try_from(token).expect("it is small");
                let record = RecordId(token);
                let terms = sets(token);
                let unknown = s.invoke(process, Call::Append { record, terms });
                s.info(unknown);
            }
            let record = RecordId(7);
            let terms = if_token(77);
            // It is told of the token that is set last, but begins first.
            let long = s.invoke(1, Call::Append { record, terms });
            s.append_if(2, 8, if_token(77), Err(told_token(Some(1))));
            s.append_if(2, 9, if_token(77), Err(told_token(Some(last_token))));
            s.ok(long, Outcome::Mismatch(told_token(Some(2))));
            s.append_if(2, 10, if_token(77), Err(told_token(Some(2))));
        }
    };
    is_valid(then(2));
    is_valid(then(1));
    finds(then(3), &[(Linearizability, FenceViolation)]);
}

#[test]
fn an_unknown_append_is_not_guessed_into_an_ended_epoch() {
    let then = |last: &'static str| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            let unknown = s.invoke_append(3, 2);
            s.info(unknown);
            s.seal(2, 2, "e1:2");
            s.append_if(2, 3, if_last("e1:1"), Err(told_last(last)));
            let read = s.invoke_read(2, "e1:1", 1, true);
            s.returned(read, &["e1:1 #1"], "e2:3");
        }
    };
    is_valid(then("e2:1"));
    finds(then("e1:3"), &[(Linearizability, DirtyRead)]);
}

#[test]
fn what_takes_too_long_to_guess_is_unknown_and_always_so() {
    // Each refusal names another token, and any unknown append may have set it, before or after others.
    const TOKENS: u64 = 5;
    let mut s = Script::default();
    for token in 1..=TOKENS {
        let process = 10 + u32::try_from(token).expect("it is small");
        let record = RecordId(token);
        let terms = sets(token);
        let unknown = s.invoke(process, Call::Append { record, terms });
        s.info(unknown);
    }
    for token in 1..=TOKENS {
        s.append_if(1, 100 + token, if_token(77), Err(told_token(Some(token))));
    }
    s.tail(1, "e1:9");
    let history = s.finish();
    let ops: Vec<_> = history.ops().map(|op| op.id()).collect();
    let judge = |steps| linearizability_within(&history, LogId(0), &ops, steps);
    let Verdict::Valid(witness) = judge(STEPS_MAX) else {
        panic!("the tokens can have been set in that order");
    };
    assert_eq!(replay(&history, &ops, &witness), Ok(()));
    for steps in [1, 10, 50] {
        let cause = UnknownCause::Ambiguous {
            appends: TOKENS,
            steps,
        };
        assert_eq!(judge(steps), Verdict::Unknown(cause));
    }
}

#[test]
fn trim_violation() {
    let violated = [(Linearizability, TrimViolation)];
    let gap = |upto: &'static str| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.trim(1, upto);
            s.final_read(2, &["trim e1:1..e1:2"], "e1:3");
        }
    };
    is_valid(gap("e1:2"));
    finds(
        gap("e1:1"),
        &[(Durability, LostWrite), (Linearizability, TrimViolation)],
    );
    let answer = |status: u32| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            let trim = s.invoke(1, Call::Trim { upto: lsn("e1:1") });
            match status {
                0 => s.ok(trim, Outcome::Trim),
                1 => s.info(trim),
                _ => s.fail(trim),
            }
            let read = s.invoke_read(2, "e1:1", 9, false);
            s.ok(read, Outcome::Trimmed { upto: lsn("e1:1") });
            s.final_read(2, &["e1:1 #1"], "e1:2");
        }
    };
    is_valid(answer(0));
    is_valid(answer(1));
    finds(answer(2), &violated);
    // A trim that begins after the answer excuses nothing.
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            let read = s.invoke_read(2, "e1:1", 9, false);
            s.ok(read, Outcome::Trimmed { upto: lsn("e1:1") });
            s.trim(1, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        },
        &violated,
    );
}

#[test]
fn what_is_trimmed_needs_not_be_read_back() {
    is_valid(|s| {
        s.append(1, 1, "e1:1");
        s.append(1, 2, "e1:2");
        s.trim(1, "e1:1");
        let read = s.invoke_read(2, "e1:2", 9, true);
        s.returned(read, &["e1:2 #2"], "e1:3");
    });
    // Only a trim gap excuses what a read shows in its place.
    finds(
        |s| {
            s.append(1, 1, "e1:1");
            s.trim(1, "e1:1");
            s.final_read(2, &["hole e1:1"], "e1:2");
        },
        &[(Linearizability, LostWrite)],
    );
}

#[test]
fn polls_say_what_is_there_at_least() {
    let then = |entries: &'static [&'static str]| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.poll(2, entries);
            s.final_read(3, &["e1:1 #1", "e1:2 #2"], "e1:3");
        }
    };
    is_valid(then(&[]));
    is_valid(then(&["e1:1 #1"]));
    for entries in [&["e1:2 #2"], &["hole e1:1"]] {
        finds(
            then(entries),
            &[
                (Linearizability, LostWrite),
                (PrefixAgreement, InconsistentOffset),
            ],
        );
    }
    // What a poll shows, a tail that begins later has passed.
    finds(
        |s| {
            let append = s.invoke_append(1, 1);
            s.poll(2, &["e1:1 #1"]);
            s.tail(2, "e1:1");
            s.appended(append, "e1:1");
            s.final_read(3, &["e1:1 #1"], "e1:2");
        },
        &[(Linearizability, StaleRead)],
    );
}
