//! Bounded exhaustive exploration of the protocol's machines: every interleaving, within limits that
//! are stated.
//!
//! Three storage nodes, two copies of each record. S1 reigns over epoch 1 and takes appends; S2
//! activates epoch 2, recovers epoch 1, opens, and answers a client, which is how the new epoch is first
//! *seen*. The machines are the real ones: `StorageNode`, `Sequencer` with its `Reign` and
//! `EpochRecovery`, `Proposer`, `Acceptor`. How the world around them is modelled, and why no violation
//! is missed by it, is said in [`explore::world`]: any message may arrive at any time, any number of
//! times, or never; a node may lose power at any moment; every timeout that bears on safety may strike
//! at any moment.
//!
//! Checked on every step ([`explore::search`]):
//!
//! - an acked record has a write quorum of durable copies when it is acked;
//! - an acked record, and a released one, is a record when its epoch is clean, and has a write quorum of
//!   durable copies from then on;
//! - S1 acks nothing, and answers no tail, that was asked for after the new epoch was seen; nor does such
//!   an append take effect at all;
//! - what a node serves of a clean epoch is what was decided; of an epoch that is not clean it serves
//!   records only, and those are kept;
//! - an epoch is decided once, and owned once;
//! - durable seals, promises and last clean epochs never go back.
//!
//! All interleavings of all of it at once are too many; each scope goes far in some directions and not
//! at all in others, and is exhaustive within its limits:
//!
//! | scope | records | crashes | attempts | waves late | also |
//! |---|---|---|---|---|---|
//! | `late_answers` | 1 | 1 | 1 | 0 | answers are messages like all others |
//! | `catching_up` | 2 | 1 | 1 | 0 | nodes learn of the decision, and purge |
//! | `second_attempt` | 2 | 0 | 2 | 0 | |
//! | `second_attempt_and_crash` | 1 | 1 | 2 | 0 | nodes learn of the decision, and purge |
//! | `second_wave` | 1 | 1 | 1 | 1 | |
//! | `two_recoveries` | 1 | 0 | 1 each | 0 | S3 activates epoch 3 at any time and recovers epoch 1 too |
//! | `releases` | 1 | 1 | 1 | 0 | S1 releases |
//! | `ack_in_new_epoch` | 2 | 0 | 1 | 0 | S2 answers with an ack, elsewhere with a tail |
//! | `ack_in_new_epoch_and_crash` | 1 | 1 | 1 | 0 | the same, and nodes catch up |
//! | `tail_of_old_epoch` | 1 | 1 | 1 | 0 | S1 is asked for a tail, at any time |
//!
//! Not covered: a third attempt, and so what an outlived bridge can do (`recovery_bridge_outlived.txt`
//! does), unreadable copies, lost nodes, more copies or domains, several acceptors (scripts and the
//! simulator have these); resending, because nothing is ever gone.
//!
//! That a violation would be found is shown with planted bugs; the shortest way to it is printed.

#[allow(dead_code, reason = "the scripts use the rest of these words")]
#[path = "harness/words.rs"]
mod words;

mod explore;

use std::io::Write as _;

use hstore_core::planted;

use explore::search::{Report, Violation, explore};
use explore::world::Limits;

/// One record, no mishap; each scope says where it goes further.
const LEAST: Limits = Limits {
    records: 1,
    crashes: 0,
    attempts: 1,
    late_waves: 0,
    releases: false,
    catch_up: false,
    third: false,
    ack_at_s2: false,
    tail_at_s1: false,
    prompt: true,
    white_box: true,
};
/// No scope is meant to have more states: 5 million take about 400 MB.
const STATES_MAX: usize = 5_000_000;

/// Explores a scope that must hold, and must have reached what it is about.
fn holds(name: &str, limits: Limits) {
    let report = explore(limits, STATES_MAX);
    tell(name, &report);
    if let Some(violation) = &report.violation {
        panic!("{}", in_words(violation));
    }
    let reached = [
        ("acked", report.acked),
        ("recovered", report.recovered),
        ("opened", report.opened),
        ("seen", report.observed),
        ("appended after the new epoch was seen", report.late),
    ];
    for (what, states) in reached {
        assert!(states > 0, "{name}: no state is {what}");
    }
    let told = [
        ("crashed", limits.crashes > 0, report.crashed),
        ("with a hole", limits.records > 1, report.holes),
        (
            "with a second attempt",
            limits.attempts > 1,
            report.restarted,
        ),
        ("purged", limits.catch_up, report.purged),
    ];
    for (what, expected, states) in told {
        assert!(!expected || states > 0, "{name}: no state is {what}");
    }
}

/// Past the test harness, which keeps what passing tests print to itself.
fn tell(name: &str, report: &Report) {
    let text = format!(
        "{name}: {} states, {} transitions; acked {}, recovered {}, opened {}, seen {}, crashed {}, \
         late appends {}, holes {}, second attempts {}, purged {} ({})\n",
        report.states,
        report.transitions,
        report.acked,
        report.recovered,
        report.opened,
        report.observed,
        report.crashed,
        report.late,
        report.holes,
        report.restarted,
        report.purged,
        report.components,
    );
    let mut stderr = std::io::stderr().lock();
    stderr.write_all(text.as_bytes()).expect("stderr takes it");
}

fn in_words(violation: &Violation) -> String {
    let steps: Vec<String> = violation
        .trace
        .iter()
        .enumerate()
        .map(|(i, step)| format!("\n  {}. {step}", i + 1))
        .collect();
    format!("{}{}", violation.what, steps.concat())
}

#[test]
fn late_answers() {
    holds(
        "late_answers",
        Limits {
            crashes: 1,
            prompt: false,
            ..LEAST
        },
    );
}

#[test]
fn catching_up() {
    holds(
        "catching_up",
        Limits {
            records: 2,
            crashes: 1,
            catch_up: true,
            ..LEAST
        },
    );
}

#[test]
fn second_attempt() {
    holds(
        "second_attempt",
        Limits {
            records: 2,
            attempts: 2,
            ..LEAST
        },
    );
}

#[test]
fn second_attempt_and_crash() {
    holds(
        "second_attempt_and_crash",
        Limits {
            attempts: 2,
            crashes: 1,
            catch_up: true,
            ..LEAST
        },
    );
}

#[test]
fn second_wave() {
    holds(
        "second_wave",
        Limits {
            late_waves: 1,
            crashes: 1,
            ..LEAST
        },
    );
}

#[test]
fn two_recoveries() {
    holds(
        "two_recoveries",
        Limits {
            attempts: 2,
            third: true,
            ..LEAST
        },
    );
}

#[test]
fn releases() {
    holds(
        "releases",
        Limits {
            crashes: 1,
            releases: true,
            ..LEAST
        },
    );
}

#[test]
fn ack_in_new_epoch() {
    holds(
        "ack_in_new_epoch",
        Limits {
            records: 2,
            ack_at_s2: true,
            ..LEAST
        },
    );
}

#[test]
fn ack_in_new_epoch_and_crash() {
    holds(
        "ack_in_new_epoch_and_crash",
        Limits {
            crashes: 1,
            ack_at_s2: true,
            catch_up: true,
            ..LEAST
        },
    );
}

#[test]
fn tail_of_old_epoch() {
    holds(
        "tail_of_old_epoch",
        Limits {
            crashes: 1,
            tail_at_s1: true,
            ..LEAST
        },
    );
}

/// Explores with a planted bug, which must break an invariant that begins with `what`.
fn is_found(bug: &str, what: &str, limits: Limits) {
    planted::activate(Some(bug));
    let report = explore(limits, STATES_MAX);
    let reached = planted::reached();
    planted::activate(None);
    assert!(reached > 0, "the bug's code was never reached");
    let violation = report
        .violation
        .expect("the planted bug breaks an invariant");
    let text = in_words(&violation);
    let mut stderr = std::io::stderr().lock();
    let told = format!("{bug} is found after {} states: {text}\n", report.states);
    stderr.write_all(told.as_bytes()).expect("stderr takes it");
    assert!(
        violation.what.starts_with(what),
        "another invariant: {text}"
    );
}

#[test]
fn an_ack_before_recovery_is_found() {
    is_found("ack-before-recovery", "order:", LEAST);
}

#[test]
fn an_ack_before_fsync_is_found_at_the_disks() {
    let limits = Limits {
        crashes: 1,
        ..LEAST
    };
    is_found("ack-before-fsync", "ack before durable:", limits);
}

#[test]
fn an_ack_before_fsync_is_found_from_outside() {
    let limits = Limits {
        crashes: 1,
        white_box: false,
        ..LEAST
    };
    is_found("ack-before-fsync", "lost:", limits);
}
