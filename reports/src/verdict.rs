//! `verdict.json`: how a run ended, and its summary for people.

use std::path::Path;
use std::time::Duration;

use hstore_core::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::directory::VERDICT_FILE;
use crate::provenance::Provenance;
use crate::text::{LINES_MAX, heading, labelled, seconds};

/// The outcome of a run in which every check was made and held.
const PASSED: &str = "passed";
/// Of the operations that prove a violation, no more lines are shown.
const OPERATION_LINES_MAX: usize = 5;

/// What this crate reads of `verdict.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Verdict {
    /// The root of all randomness.
    pub seed: u64,
    /// `passed`, or how it failed.
    pub outcome: String,
    /// What was violated, if anything was.
    pub violation: Option<Violation>,
    /// The hash over all events.
    pub trace_hash: String,
    /// Events under the hash.
    pub trace_events: u64,
    /// What the seed drew; any fields.
    pub options: Map<String, Value>,
    /// What happened.
    pub counts: Counts,
    /// How long acknowledged appends took; absent where it was not measured.
    pub append_latency: Option<Latency>,
    /// How long each move of a log kept appends waiting, in microseconds of virtual time.
    #[serde(default)]
    pub move_stalls_us: Vec<u64>,
    /// How much virtual time passed, in microseconds.
    pub virtual_us: u64,
    /// Where the verdict comes from.
    pub provenance: Provenance,
    /// The command that makes the run again.
    pub reproduce: String,
    /// How long the files beside it are; absent where none were written.
    pub lines: Option<Lines>,
}

/// The number of lines of the files beside a verdict: they tell when one was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// Of `history.jsonl`.
    pub history: u64,
    /// Of `trace.jsonl`.
    pub trace: u64,
}

/// The distribution of a latency, in microseconds of virtual time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "they are the names in the file")]
pub struct Latency {
    pub p50_us: u64,
    pub p99_us: u64,
    pub max_us: u64,
}

/// A property that does not hold.
#[derive(Clone, Debug, Deserialize)]
pub struct Violation {
    /// Its name.
    pub property: String,
    /// Who noticed.
    pub checker: String,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// The operations that prove it.
    pub operations: Vec<String>,
    /// When it was noticed, on the virtual clock.
    pub at: Timestamp,
}

/// The figures that a summary shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[expect(missing_docs, reason = "they are the names in the file")]
pub struct Counts {
    pub appends_acked: u64,
    pub appends_failed: u64,
    pub appends_unknown: u64,
    pub reads: u64,
    pub records_read: u64,
    pub tails: u64,
    pub epochs: u64,
    pub recoveries: u64,
    pub recovery_attempts: u64,
    pub holes: u64,
    pub purges: u64,
    pub leader_changes_with_appends_in_flight: u64,
    pub planned_faults: u64,
    pub effective_faults: u64,
    pub crashes: u64,
    pub crashes_with_unsynced_bytes: u64,
    pub crashes_inside_file_operation: u64,
    pub messages: u64,
    pub messages_lost: u64,
    pub messages_duplicated: u64,
    pub file_operations: u64,
    pub syncs: u64,
    pub flushed_tables: u64,
    pub compacted_tables: u64,
    pub operations_checked: u64,
    pub invariants_checked: u64,
    pub mutant_reached: u64,
}

/// What a summary says beyond the verdict, because only the caller knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Around<'a> {
    /// How long the run took.
    pub wall: Option<Duration>,
    /// How much of that went into judging its history.
    pub judging: Option<Duration>,
    /// The command that makes the run again, if not the verdict's.
    pub reproduce: Option<&'a str>,
    /// Where the run directory is.
    pub directory: Option<&'a Path>,
}

/// A run on a screen: no more than [`LINES_MAX`] lines. Of a run that failed, the evidence comes first, and
/// what happened is told in brief.
#[must_use]
pub fn summary(verdict: &Verdict, around: &Around<'_>) -> String {
    let has_passed = verdict.outcome == PASSED;
    let mut before = vec![heading(&first_line(verdict))];
    let mut after = if has_passed {
        figures(verdict)
    } else {
        figures_in_brief(verdict)
    };
    if let Some(violation) = &verdict.violation {
        before.extend(evidence(violation));
    }
    after.extend(labelled("time", &time(verdict, around), 1));
    after.extend(labelled("build", &verdict.provenance.to_string(), 1));
    if !has_passed {
        let reproduce = around.reproduce.unwrap_or(&verdict.reproduce);
        after.extend(labelled("reproduce", reproduce, 3));
    }
    if let Some(directory) = around.directory {
        after.extend(labelled("directory", &directory.display().to_string(), 2));
    }
    let room = LINES_MAX.saturating_sub(before.len() + after.len());
    let mut drawn = options(&verdict.options);
    if drawn.len() > room {
        // Without a line for each group they take less room, and the ellipsis tells if it is too little.
        let groups: Vec<String> = option_groups(&verdict.options)
            .map(|(name, value)| format!("{name} ({})", brief(value)))
            .collect();
        let all = [plain_options(&verdict.options), groups].concat();
        drawn = labelled("options", &all.join(", "), room);
    }
    let lines: Vec<String> = before.into_iter().chain(drawn).chain(after).collect();
    lines.join("\n") + "\n"
}

fn first_line(verdict: &Verdict) -> String {
    let outcome = verdict.outcome.to_uppercase();
    let seed = verdict.seed;
    match &verdict.violation {
        Some(violation) => format!(
            "{outcome} {}, seed {seed}: found by {} at {}",
            violation.property, violation.checker, violation.at
        ),
        None if verdict.outcome == PASSED => format!(
            "{outcome} seed {seed}: {} appends acknowledged, every check made and held",
            verdict.counts.appends_acked
        ),
        None => format!("{outcome} seed {seed}"),
    }
}

fn evidence(violation: &Violation) -> Vec<String> {
    let mut lines = labelled("expected", &violation.expected, 2);
    lines.extend(labelled("seen", &violation.seen, 2));
    let mut operations: Vec<String> = violation.operations.clone();
    if operations.len() > OPERATION_LINES_MAX {
        let hidden = operations.split_off(OPERATION_LINES_MAX - 1).len();
        operations.push(format!(
            "and {hidden} more lines in {VERDICT_FILE}, or with --json"
        ));
    }
    for (at, operation) in operations.iter().enumerate() {
        let label = if at == 0 { "proof" } else { "" };
        lines.extend(labelled(label, operation, 1));
    }
    lines
}

/// What was drawn: plain values first, then a line for each group. Fields come and go with the
/// simulator, so they are shown under their own names.
fn options(options: &Map<String, Value>) -> Vec<String> {
    let mut lines = labelled("options", &plain_options(options).join(", "), 3);
    for (name, value) in option_groups(options) {
        lines.extend(labelled(name, &brief(value), 2));
    }
    lines
}

fn plain_options(options: &Map<String, Value>) -> Vec<String> {
    options
        .iter()
        // The first line has the seed.
        .filter(|(name, value)| *name != "seed" && !value.is_null() && !value.is_object())
        .map(|(name, value)| format!("{name} {}", brief(value)))
        .collect()
}

fn option_groups(options: &Map<String, Value>) -> impl Iterator<Item = (&String, &Value)> {
    options.iter().filter(|(_, value)| value.is_object())
}

/// A value without JSON's punctuation. Equal items of a list are counted.
fn brief(value: &Value) -> String {
    match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| match value {
                Value::Object(_) => format!("{name} ({})", brief(value)),
                _ => format!("{name} {}", brief(value)),
            })
            .collect::<Vec<_>>()
            .join(", "),
        Value::Array(items) => {
            let mut counted: Vec<(String, usize)> = Vec::new();
            for item in items.iter().map(brief) {
                match counted.iter_mut().find(|(known, _)| *known == item) {
                    Some((_, count)) => *count += 1,
                    None => counted.push((item, 1)),
                }
            }
            let items = counted.into_iter().map(|(item, count)| match count {
                1 => item,
                _ => format!("{count} x {item}"),
            });
            format!("[{}]", items.collect::<Vec<_>>().join("; "))
        }
        Value::String(text) => text.clone(),
        plain => plain.to_string(),
    }
}

fn figures(verdict: &Verdict) -> Vec<String> {
    let n = &verdict.counts;
    let cluster = format!(
        "{} epochs, {} leader changes with appends in flight, {} recoveries in {} attempts, {} holes, \
         {} purges",
        n.epochs,
        n.leader_changes_with_appends_in_flight,
        n.recoveries,
        n.recovery_attempts,
        n.holes,
        n.purges
    );
    let nemesis = format!(
        "{} faults planned, {} took effect; {} crashes, of which {} found unsynced bytes and {} fell \
         inside a file operation",
        n.planned_faults,
        n.effective_faults,
        n.crashes,
        n.crashes_with_unsynced_bytes,
        n.crashes_inside_file_operation
    );
    let clients = format!(
        "{}; {} records in {} reads; {} tails",
        appends(n),
        n.records_read,
        n.reads,
        n.tails
    );
    let traffic = format!(
        "{} messages ({} lost, {} duplicated)",
        n.messages, n.messages_lost, n.messages_duplicated
    );
    let disks = format!(
        "{} file operations, {} syncs; tables {} flushed, {} compacted",
        n.file_operations, n.syncs, n.flushed_tables, n.compacted_tables
    );
    let mut lines = labelled("cluster", &cluster, 2);
    lines.extend(labelled("nemesis", &nemesis, 2));
    lines.extend(labelled("clients", &clients, 1));
    if let Some(latency) = verdict.append_latency {
        let [p50, p99, max] = [latency.p50_us, latency.p99_us, latency.max_us]
            .map(|micros| seconds(micros as f64 / 1e6));
        let text =
            format!("acknowledged appends took {p50} (half), {p99} (99%), {max} (all) or less");
        lines.extend(labelled("latency", &text, 1));
    }
    if !verdict.move_stalls_us.is_empty() {
        lines.extend(labelled("moves", &moves(&verdict.move_stalls_us), 1));
    }
    lines.extend(labelled("checks", &checks(verdict), 1));
    lines.extend(labelled("traffic", &traffic, 1));
    lines.extend(labelled("disks", &disks, 1));
    lines
}

fn moves(stalls_us: &[u64]) -> String {
    let mut sorted = stalls_us.to_vec();
    sorted.sort_unstable();
    let [p50, max] = [sorted[(sorted.len() - 1) / 2], sorted[sorted.len() - 1]]
        .map(|micros| seconds(micros as f64 / 1e6));
    format!(
        "{} moves took effect; appends waited {p50} (half), {max} (all) or less",
        sorted.len()
    )
}

fn figures_in_brief(verdict: &Verdict) -> Vec<String> {
    let n = &verdict.counts;
    let happened = format!(
        "{} epochs; {} of {} faults took effect; {} crashes, {} with unsynced bytes; {}; {}",
        n.epochs,
        n.effective_faults,
        n.planned_faults,
        n.crashes,
        n.crashes_with_unsynced_bytes,
        appends(n),
        checks(verdict)
    );
    labelled("happened", &happened, 3)
}

fn appends(n: &Counts) -> String {
    format!(
        "appends {} acked, {} failed, {} unknown",
        n.appends_acked, n.appends_failed, n.appends_unknown
    )
}

fn checks(verdict: &Verdict) -> String {
    let n = &verdict.counts;
    let mut text = format!(
        "{} operations judged, invariants judged {} times",
        n.operations_checked, n.invariants_checked
    );
    if verdict.options.get("mutant").is_some_and(|m| !m.is_null()) {
        text += &format!("; planted bug reached {} times", n.mutant_reached);
    }
    text
}

fn time(verdict: &Verdict, around: &Around<'_>) -> String {
    let mut text = format!("virtual {}", seconds(verdict.virtual_us as f64 / 1e6));
    if let Some(wall) = around.wall {
        text += &format!(", wall {}", seconds(wall.as_secs_f64()));
        if let Some(judging) = around.judging {
            let share = judging.as_secs_f64() / wall.as_secs_f64();
            text += &format!(" ({:.1} % to judge)", share * 100.0);
        }
    }
    text += &format!(
        "; trace {} of {} events",
        verdict.trace_hash, verdict.trace_events
    );
    // A run that is stuck makes more events than are worth keeping.
    match verdict.lines {
        Some(lines) if lines.trace < verdict.trace_events => {
            text + &format!(", of which {} were kept", lines.trace)
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::text::COLUMNS_MAX;

    fn verdict(outcome: &str, violation: Value, count: u64) -> Verdict {
        let counts: Map<String, Value> = [
            "appends_acked",
            "appends_failed",
            "appends_unknown",
            "reads",
            "records_read",
            "tails",
            "epochs",
            "recoveries",
            "recovery_attempts",
            "holes",
            "purges",
            "leader_changes_with_appends_in_flight",
            "planned_faults",
            "effective_faults",
            "crashes",
            "crashes_with_unsynced_bytes",
            "crashes_inside_file_operation",
            "messages",
            "messages_lost",
            "messages_duplicated",
            "file_operations",
            "syncs",
            "flushed_tables",
            "compacted_tables",
            "operations_checked",
            "invariants_checked",
            "mutant_reached",
        ]
        .into_iter()
        .map(|name| (name.to_owned(), json!(count)))
        .collect();
        let group: Map<String, Value> = (0..40)
            .map(|n| (format!("rather_long_name_{n}"), json!(1_000_000 * n)))
            .collect();
        serde_json::from_value(json!({
            "seed": u64::MAX,
            "outcome": outcome,
            "violation": violation,
            "trace_hash": "0123456789abcdef",
            "trace_events": count,
            "options": {
                "seed": 1, "mutant": "ack-before-fsync", "profile": "default", "none": null,
                "locations": [{"rack": 0}, {"rack": 1}, {"rack": 0}],
                "net": group, "disk": group, "faults": group, "workload": group, "mix": group,
            },
            "counts": counts,
            "append_latency": {"p50_us": count, "p99_us": count, "max_us": count},
            "virtual_us": count,
            "provenance": {
                "revision": "0123456789ab-dirty", "lock_hash": "0123456789abcdef",
                "options_hash": "0123456789abcdef", "a_field_of_tomorrow": [1],
            },
            "reproduce": "hstore-sim run --seed 18446744073709551615 --mutant ack-before-fsync",
            "a_field_of_tomorrow": {"x": 1},
        }))
        .expect("a verdict")
    }

    fn assert_fits(text: &str) {
        assert!(text.lines().count() <= LINES_MAX, "{text}");
        let widest = text.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(COLUMNS_MAX), "{text}");
    }

    #[test]
    fn a_run_that_passed_fits_a_screen_whatever_its_figures() {
        let around = Around {
            wall: Some(Duration::from_millis(12)),
            judging: Some(Duration::from_micros(240)),
            reproduce: None,
            directory: Some(Path::new("runs/seed-1")),
        };
        let text = summary(&verdict("passed", Value::Null, 1_000_000_000_000), &around);
        assert_fits(&text);
        assert!(
            text.starts_with("PASSED seed 18446744073709551615: "),
            "{text}"
        );
        assert!(text.contains("wall 12.0 ms (2.0 % to judge)"), "{text}");
        assert!(text.contains("[2 x rack 0; rack 1]"), "{text}");
        assert!(text.contains("mutant ack-before-fsync"), "{text}");
        assert!(text.contains("  workload    rather_long"), "{text}");
        assert!(!text.contains("none"), "{text}");
        assert!(!text.contains("reproduce"), "{text}");
        assert!(text.ends_with("directory   runs/seed-1\n"), "{text}");
    }

    #[test]
    fn a_failure_says_what_was_violated_and_how_to_see_it_again() {
        let violation = json!({
            "property": "lost-write", "checker": "linearizability", "expected": "much ".repeat(99),
            "seen": "little ".repeat(99), "operations": vec!["c1 append #7 ".repeat(20); 9],
            "at": 1_234_567_890,
        });
        let verdict = verdict("safety", violation, 1);
        let text = summary(&verdict, &Around::default());
        assert_fits(&text);
        let first =
            "SAFETY lost-write, seed 18446744073709551615: found by linearizability at 1234.567ms";
        assert_eq!(text.lines().next(), Some(first));
        assert!(text.contains("  expected    much much"), "{text}");
        assert!(text.contains("  seen        little little"), "{text}");
        assert!(text.contains("  proof       c1 append #7"), "{text}");
        assert!(text.contains("and 5 more lines in verdict.json"), "{text}");
        assert!(
            text.contains("  happened    1 epochs; 1 of 1 faults took effect"),
            "{text}"
        );
        assert!(text.contains("bug reached 1 times"), "{text}");
        assert!(text.contains(&verdict.reproduce), "{text}");
    }

    #[test]
    fn a_failure_without_a_violation_has_a_first_line_too() {
        let text = summary(&verdict("vacuous", Value::Null, 0), &Around::default());
        assert!(
            text.starts_with("VACUOUS seed 18446744073709551615\n"),
            "{text}"
        );
        assert!(
            text.contains("  reproduce   hstore-sim run --seed"),
            "{text}"
        );
    }
}
