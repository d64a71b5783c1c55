//! Bounded exhaustive exploration of the protocol's machines: every interleaving, within limits that
//! are stated.
//!
//! Three storage nodes, two copies of each record; in some scopes four nodes. S1 reigns over epoch 1 and
//! takes appends; S2 activates epoch 2, recovers epoch 1, opens, and answers a client, which is how the
//! new epoch is first *seen*. The machines are the real ones: `StorageNode`, `Sequencer` with its `Reign`
//! and `EpochRecovery`, `Proposer`, `Acceptor`. How the world around them is modelled, and why no
//! violation is missed by it, is said in [`explore::world`]: any message may arrive at any time, any
//! number of times, or never; a node may lose power at any moment, or the payload of a record may become
//! unreadable; every timeout that bears on safety may strike at any moment.
//!
//! Checked on every step ([`explore::search`]):
//!
//! - an acked record has a write quorum of durable copies when it is acked;
//! - an acked record, and a released one, is a record when its epoch is clean, and has a write quorum of
//!   durable copies from then on;
//! - S1 acks nothing, and answers no tail and no mismatch, that was asked for after the new epoch was seen;
//!   nor does such an append take effect at all;
//! - a record that was to follow another does; one that was appended again stands once, and where its client
//!   is told; a record that is told as the last one is, and stands for good;
//! - what a node serves of a clean epoch is what was decided; of an epoch that is not clean it serves
//!   records only, and those are kept;
//! - a node that is clean by the winning attempt holds nothing that differs from what was decided;
//! - an epoch is decided once, and owned once; an LSN has one payload;
//! - durable seals, promises and last clean epochs never go back.
//!
//! All interleavings of all of it at once are too many; each scope goes far in some directions and not
//! at all in others, and is exhaustive within its limits:
//!
//! | scope | records | crashes | attempts | also |
//! |---|---|---|---|---|
//! | `late_answers` | 1 | 1 | 1 | answers are messages like all others |
//! | `catching_up` | 2 | 1 | 1 | nodes learn of the decision, and purge |
//! | `second_attempt` | 2 | 0 | 2 | nodes catch up |
//! | `second_attempt_and_crash` | 1 | 1 | 2 | nodes catch up |
//! | `third_attempt` | 1 | 1 | 3 | |
//! | `second_wave` | 1 | 1 | 1 | a wave is late |
//! | `two_recoveries` | 1 | 0 | 2 | S3 activates epoch 3 at any time and recovers epoch 1 too; nodes catch up |
//! | `two_epochs` | 1 | 1 | 3 | S2 falls silent, S3 recovers epochs 1 and 2, nodes catch up |
//! | `damage` | 1 | 0 | 2 | a record on a node becomes unreadable, nodes catch up |
//! | `three_copies_on_four_nodes` | 1 | 1 | 1 | nodes catch up |
//! | `three_copies_on_four_nodes_and_second_attempt` | 1 | 0 | 2 | |
//! | `two_copies_on_four_nodes` | 1 | 0 | 1 | nodes catch up |
//! | `two_copies_on_four_nodes_and_second_attempt` | 1 | 0 | 2 | |
//! | `releases` | 1 | 1 | 1 | S1 releases |
//! | `ack_in_new_epoch` | 2 | 0 | 1 | S2 answers with an ack, elsewhere with a tail |
//! | `ack_in_new_epoch_and_crash` | 1 | 1 | 1 | the same, and nodes catch up |
//! | `tail_of_old_epoch` | 1 | 1 | 1 | S1 is asked for a tail, at any time |
//! | `conditional` | 2 | 1 | 2 | the second is to follow the first, and so is S2's; nodes catch up |
//! | `mismatch` | 2 | 1 | 2 | each is to be the first, and so is S2's |
//! | `repeated` | 2 | 1 | 1 | one producer's; the first is appended again at S2, which reads the old epoch |
//! | `repeated_and_second_attempt` | 2 | 0 | 2 | the same |
//! | `repeated_at_once` | 1 | 1 | 1 | it is appended again at S1, and at S2 |
//! | `repeated_after_hand_over` | 1 | 0 | 1 | S1 hands over to S2, where it is appended again |
//! | `repeated_on_other_nodes` | 1 | 0 | 1 | it is appended again at S1, in the old epoch or the new |
//! | `other_nodes` | 1 | 1 | 1 | S1 moves the log to other nodes, one of three is replaced, or S2 takes over; S1 is asked for a tail |
//! | `other_nodes_and_two_recoveries` | 1 | 1 | 2 | both |
//! | `hand_over` | 2 | 0 | 1 | S1 hands over to S2, which may also take over; S1 is asked for a tail |
//! | `hand_over_and_two_attempts` | 1 | 1 | 2 | nodes catch up |
//!
//! Records, attempts, and so on: up to so many, of all sequencers together. A move is asked for at any time and
//! may be given up at any time, also when the register has begun the new epoch already.
//!
//! There are two profiles. The short one takes about a minute on two cores; with `HSTORE_EXPLORE=long` in
//! the environment some scopes go further, which takes some minutes.
//!
//! States that differ only in what makes no difference any more are one ([`explore::world`]'s `spent`): that
//! nothing is missed by it is argued there, and tried here.
//!
//! Not covered: what an outlived bridge can do (`recovery_bridge_outlived.txt` does), lost nodes, several
//! domains, several acceptors, tokens (scripts and the simulator have these); resending, because nothing is
//! ever gone.
//!
//! That a violation would be found is shown with planted bugs; the shortest way to it is printed.

#[allow(dead_code, reason = "the scripts use the rest of these words")]
#[path = "harness/words.rs"]
mod words;

mod explore;

use std::io::Write as _;

use hstore_core::planted;

use explore::search::{Report, Violation, explore, outlines};
use explore::world::Demand::{LastAt, Once, Stand};
use explore::world::{Demand, Goal, Limits, Question};

/// One record, no mishap; each scope says where it goes further.
const LEAST: Limits = Limits {
    nodes: 3,
    copies: 2,
    appends: &[Stand],
    crashes: 0,
    damages: 0,
    attempts: 1,
    late_waves: 0,
    releases: false,
    catch_up: false,
    third: false,
    silent_second: false,
    second_epoch: false,
    at_s2: Question::Tail,
    tail_at_s1: false,
    goal: None,
    prompt: true,
    white_box: true,
    keeps_spent: false,
};
/// Two plain records.
const TWO: &[Demand] = &[Stand, Stand];
/// S2 answers with an ack.
const ACK: Question = Question::Append(Stand);
/// No scope is meant to have more states: 10 million take about 1 GB.
const STATES_MAX: usize = 10_000_000;

/// Set to `long`, scopes that take minutes are explored, too.
const PROFILE: &str = "HSTORE_EXPLORE";

/// Explores a scope of the long profile; in the short one, says that it is left out.
fn holds_further(name: &str, limits: Limits) {
    if std::env::var_os(PROFILE).is_some_and(|it| it == "long") {
        holds(name, limits);
    } else {
        print(&format!(
            "{name}: left out by the short profile, {PROFILE}=long has it\n"
        ));
    }
}

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
    ];
    for (what, states) in reached {
        assert!(states > 0, "{name}: no state is {what}");
    }
    let told = [
        ("seen", !limits.silent_second, report.observed),
        (
            "appended after the new epoch was seen",
            !limits.silent_second,
            report.late,
        ),
        ("crashed", limits.crashes > 0, report.crashed),
        ("damaged", limits.damages > 0, report.damaged),
        ("with a hole", limits.appends == TWO, report.holes),
        (
            "with a second attempt",
            limits.attempts > 1,
            report.restarted,
        ),
        ("purged", limits.catch_up, report.purged),
    ];
    let demands = |which: fn(&Demand) -> bool| {
        let at_s2 = match &limits.at_s2 {
            Question::Append(demand) => which(demand),
            Question::Tail => false,
        };
        at_s2 && limits.appends.iter().any(which)
    };
    let conditional = demands(|it| matches!(it, LastAt(_)));
    let repeated = demands(|it| matches!(it, Once(_)));
    let steps = [
        ("finds a condition not met", conditional, report.mismatches),
        ("finds a record repeated", repeated, report.duplicates),
        ("moves the log", limits.goal.is_some(), report.moves),
    ];
    for (what, expected, steps) in steps {
        assert!(!expected || steps > 0, "{name}: no step {what}");
    }
    for (what, expected, states) in told {
        assert!(!expected || states > 0, "{name}: no state is {what}");
    }
}

fn tell(name: &str, report: &Report) {
    print(&format!(
        "{name}: {} states, {} transitions; acked {}, recovered {}, opened {}, seen {}, crashed {}, \
         damaged {}, late appends {}, holes {}, second attempts {}, purged {}; steps: mismatches {}, \
         duplicates {}, moves {} ({})\n",
        report.states,
        report.transitions,
        report.acked,
        report.recovered,
        report.opened,
        report.observed,
        report.crashed,
        report.damaged,
        report.late,
        report.holes,
        report.restarted,
        report.purged,
        report.mismatches,
        report.duplicates,
        report.moves,
        report.components,
    ));
}

/// Past the test harness, which keeps what passing tests print to itself.
fn print(text: &str) {
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
            appends: TWO,
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
            appends: TWO,
            attempts: 2,
            catch_up: true,
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
fn third_attempt() {
    holds(
        "third_attempt",
        Limits {
            attempts: 3,
            crashes: 1,
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
            catch_up: true,
            ..LEAST
        },
    );
}

#[test]
fn two_epochs() {
    holds(
        "two_epochs",
        Limits {
            attempts: 3,
            crashes: 1,
            third: true,
            silent_second: true,
            second_epoch: true,
            catch_up: true,
            ..LEAST
        },
    );
}

#[test]
fn damage() {
    holds(
        "damage",
        Limits {
            attempts: 2,
            damages: 1,
            catch_up: true,
            ..LEAST
        },
    );
}

/// Two nodes are a seal quorum, and two such quorums need not meet.
const THREE_COPIES: Limits = Limits {
    nodes: 4,
    copies: 3,
    ..LEAST
};

#[test]
fn three_copies_on_four_nodes() {
    holds(
        "three_copies_on_four_nodes",
        Limits {
            crashes: 1,
            catch_up: true,
            ..THREE_COPIES
        },
    );
}

#[test]
fn three_copies_on_four_nodes_and_second_attempt() {
    holds(
        "three_copies_on_four_nodes_and_second_attempt",
        Limits {
            attempts: 2,
            ..THREE_COPIES
        },
    );
}

#[test]
fn two_copies_on_four_nodes() {
    holds(
        "two_copies_on_four_nodes",
        Limits {
            nodes: 4,
            catch_up: true,
            ..LEAST
        },
    );
}

#[test]
fn two_copies_on_four_nodes_and_second_attempt() {
    holds(
        "two_copies_on_four_nodes_and_second_attempt",
        Limits {
            nodes: 4,
            attempts: 2,
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
            appends: TWO,
            at_s2: ACK,
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
            at_s2: ACK,
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

/// A record that is to follow the first at once: it is sent only when that has retired.
const CONDITIONAL: Limits = Limits {
    appends: &[Stand, LastAt(1)],
    at_s2: Question::Append(LastAt(1)),
    ..LEAST
};

#[test]
fn conditional() {
    holds(
        "conditional",
        Limits {
            crashes: 1,
            attempts: 2,
            catch_up: true,
            ..CONDITIONAL
        },
    );
}

/// Each is to be the first record: who comes second is told of the first, once that stands for good.
#[test]
fn mismatch() {
    holds(
        "mismatch",
        Limits {
            crashes: 1,
            attempts: 2,
            appends: &[LastAt(0), LastAt(0)],
            at_s2: Question::Append(LastAt(0)),
            ..LEAST
        },
    );
}

/// Two records of a producer, of which the first is appended again at S2.
const REPEATED: Limits = Limits {
    appends: &[Once(0), Once(1)],
    at_s2: Question::Append(Once(0)),
    catch_up: true,
    ..LEAST
};

#[test]
fn repeated() {
    holds(
        "repeated",
        Limits {
            crashes: 1,
            ..REPEATED
        },
    );
}

#[test]
fn repeated_and_second_attempt() {
    holds(
        "repeated_and_second_attempt",
        Limits {
            attempts: 2,
            ..REPEATED
        },
    );
}

#[test]
fn repeated_at_once() {
    holds(
        "repeated_at_once",
        Limits {
            appends: &[Once(0), Once(0)],
            crashes: 1,
            ..REPEATED
        },
    );
}

/// S1 moves to other nodes.
const OTHER_NODES: Limits = Limits {
    nodes: 4,
    goal: Some(Goal::OtherNodes),
    ..LEAST
};

#[test]
fn other_nodes() {
    let limits = Limits {
        crashes: 1,
        tail_at_s1: true,
        ..OTHER_NODES
    };
    holds("other_nodes", limits);
    holds_further(
        "other_nodes, catching up",
        Limits {
            catch_up: true,
            ..limits
        },
    );
}

/// S2 recovers the old epoch as well.
#[test]
fn other_nodes_and_two_recoveries() {
    holds(
        "other_nodes_and_two_recoveries",
        Limits {
            crashes: 1,
            attempts: 2,
            ..OTHER_NODES
        },
    );
    holds_further(
        "other_nodes_and_two_recoveries, and of the epoch that S1 began",
        Limits {
            attempts: 3,
            second_epoch: true,
            ..OTHER_NODES
        },
    );
}

/// S1 hands over to S2.
const HAND_OVER: Limits = Limits {
    goal: Some(Goal::Successor),
    ..LEAST
};

#[test]
fn hand_over() {
    let limits = Limits {
        appends: TWO,
        tail_at_s1: true,
        ..HAND_OVER
    };
    holds("hand_over", limits);
    holds_further(
        "hand_over, and a crash",
        Limits {
            crashes: 1,
            ..limits
        },
    );
}

#[test]
fn hand_over_and_two_attempts() {
    holds(
        "hand_over_and_two_attempts",
        Limits {
            crashes: 1,
            attempts: 2,
            catch_up: true,
            ..HAND_OVER
        },
    );
}

/// What is taken out of states because it makes no difference any more makes none: with it and without it,
/// nodes, register, the new sequencers and what was seen go through the same states.
#[test]
fn what_is_spent_makes_no_difference() {
    let scopes = [
        Limits {
            attempts: 2,
            crashes: 1,
            ..LEAST
        },
        Limits {
            attempts: 2,
            third: true,
            ..LEAST
        },
        Limits {
            tail_at_s1: true,
            crashes: 1,
            ..LEAST
        },
        Limits {
            late_waves: 1,
            ..LEAST
        },
        CONDITIONAL,
        REPEATED,
        OTHER_NODES,
        Limits {
            crashes: 1,
            ..HAND_OVER
        },
    ];
    for limits in scopes {
        let (fewer, expected) = outlines(limits, STATES_MAX);
        let with_spent = Limits {
            keeps_spent: true,
            ..limits
        };
        let (more, same) = outlines(with_spent, STATES_MAX);
        print(&format!(
            "{fewer} states instead of {more}, {expected} outlines\n"
        ));
        assert!(fewer < more, "nothing is taken out: {limits:?}");
        assert_eq!(same, expected, "{limits:?}");
    }
}

/// What S1 placed is not placed again by the successor.
#[test]
fn repeated_after_hand_over() {
    holds(
        "repeated_after_hand_over",
        Limits {
            appends: &[Once(0)],
            goal: Some(Goal::Successor),
            ..REPEATED
        },
    );
}

/// What S1 placed it does not place again itself, in its next epoch.
#[test]
fn repeated_on_other_nodes() {
    holds(
        "repeated_on_other_nodes",
        Limits {
            appends: &[Once(0), Once(0)],
            catch_up: true,
            ..OTHER_NODES
        },
    );
}

/// Explores with a planted bug, which must break an invariant that begins with `what`.
fn is_found(bug: &str, what: &str, limits: Limits) {
    planted::activate(Some(bug));
    let report = explore(limits, STATES_MAX);
    let reached = planted::reached();
    planted::activate(None);
    let Some(violation) = report.violation else {
        panic!("{bug} breaks no invariant in {} states", report.states);
    };
    let text = in_words(&violation);
    assert!(
        reached > 0,
        "the bug's code was never reached, and yet: {text}"
    );
    print(&format!(
        "{bug} is found after {} states, in {} steps: {text}\n",
        report.states,
        violation.trace.len()
    ));
    assert!(
        violation.what.starts_with(what),
        "another invariant: {text}"
    );
}

#[test]
fn a_straggler_kept_is_found() {
    let limits = Limits {
        at_s2: ACK,
        ..LEAST
    };
    is_found("late-straggler-kept", "order:", limits);
}

#[test]
fn a_ballot_used_twice_is_found() {
    let limits = Limits {
        attempts: 2,
        ..LEAST
    };
    is_found("restart-same-ballot", "unclean:", limits);
}

#[test]
fn a_conflict_left_is_found() {
    let limits = Limits {
        attempts: 2,
        ..LEAST
    };
    is_found("conflict-left", "unclean:", limits);
}

#[test]
fn a_checksum_taken_for_absence_is_found() {
    let limits = Limits {
        damages: 1,
        white_box: false,
        ..LEAST
    };
    is_found("checksum-as-absence", "lost:", limits);
}

#[test]
fn a_purge_by_a_provisional_clean_is_found() {
    let limits = Limits {
        third: true,
        silent_second: true,
        second_epoch: true,
        attempts: 3,
        ..LEAST
    };
    is_found("purge-by-provisional", "bare:", limits);
}

#[test]
fn a_purge_without_a_seal_is_found() {
    let limits = Limits {
        catch_up: true,
        ..LEAST
    };
    is_found("purge-without-seal", "unclean:", limits);
}

#[test]
fn a_release_of_a_recovered_epoch_is_found() {
    let limits = Limits {
        appends: TWO,
        ..LEAST
    };
    is_found("release-recovered-epoch", "served wrongly:", limits);
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

#[test]
fn a_conditional_append_over_a_hole_is_found() {
    is_found("conditional-over-hole", "condition:", CONDITIONAL);
}

#[test]
fn a_sequence_taken_for_applied_is_found() {
    is_found("dedup-by-max", "told wrongly:", REPEATED);
}

#[test]
fn an_ack_on_nodes_of_no_epoch_is_found() {
    let limits = Limits {
        white_box: false,
        ..OTHER_NODES
    };
    is_found("ack-before-epoch-metadata", "lost:", limits);
}

#[test]
fn an_epoch_counted_as_on_other_nodes_is_found() {
    is_found("reconfig-covers-inflight", "lost:", OTHER_NODES);
}

#[test]
fn a_record_repeated_is_found() {
    is_found("duplicate-on-retry", "twice:", REPEATED);
}

#[test]
fn a_tail_from_memory_is_found() {
    let limits = Limits {
        tail_at_s1: true,
        ..LEAST
    };
    is_found("deposed-tail", "order:", limits);
}

#[test]
fn a_tail_on_the_word_of_one_node_is_found() {
    let limits = Limits {
        tail_at_s1: true,
        ..LEAST
    };
    is_found("open-without-quorum", "order:", limits);
}

#[test]
fn a_stale_tail_is_found() {
    is_found("sealed-stale-tail", "told wrongly:", CONDITIONAL);
}

#[test]
fn a_digest_of_what_is_not_sealed_is_found() {
    is_found("recovery-reads-unfenced", "ack before durable:", LEAST);
}

#[test]
fn a_seal_in_memory_is_found() {
    let limits = Limits {
        crashes: 1,
        ..LEAST
    };
    is_found("seal-not-persisted", "ack before durable:", limits);
}

#[test]
fn a_seal_quorum_too_small_is_found() {
    let limits = Limits {
        nodes: 4,
        white_box: false,
        ..LEAST
    };
    is_found("f-majority-off-by-one", "lost:", limits);
}

#[test]
fn an_offset_left_is_found() {
    is_found("mutate-off-by-one", "unclean:", LEAST);
}

#[test]
fn an_overtaken_recovery_that_counts_is_found() {
    let limits = Limits {
        attempts: 2,
        third: true,
        catch_up: true,
        ..LEAST
    };
    is_found("racing-repairs", "bare:", limits);
}

#[test]
fn a_purge_by_what_the_node_knows_is_found() {
    let limits = Limits {
        appends: TWO,
        catch_up: true,
        ..LEAST
    };
    is_found("truncate-to-local", "bare:", limits);
}

#[test]
fn an_epoch_not_recovered_is_found() {
    let limits = Limits {
        attempts: 2,
        third: true,
        ..LEAST
    };
    is_found("recovery-skips-epoch", "lost:", limits);
}
