//! `diff`: where two traces part, in words.

use hstore_reports::text::{heading, labelled};
use hstore_sim::diff::{Diff, diff as compare};
use hstore_sim::events::{self, TraceEvent};
use serde::Serialize;

use super::args::DiffArgs;
use super::output;

/// They part.
const PARTED: u8 = 1;
/// So many events in common are shown before the first that is not.
const BEFORE: usize = 5;
/// So many events of each trace are shown from there on.
const AFTER: usize = 3;
/// An event is shown on so many lines.
const EVENT_LINES_MAX: usize = 3;
/// So many places that were passed over are told.
const PASSED_OVER_MAX: usize = 5;

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    parted: bool,
    diff: &'a Diff,
    before: Vec<String>,
    first: Vec<String>,
    second: Vec<String>,
}

pub(crate) fn diff(args: &DiffArgs) -> anyhow::Result<u8> {
    let (first, second) = (events::read(&args.first)?, events::read(&args.second)?);
    let found = compare(&first, &second);
    if args.json {
        let (before, after_first, after_second) = around(&found, &first, &second);
        output::print_json(&Printed {
            parted: found.parted.is_some(),
            diff: &found,
            before,
            first: after_first,
            second: after_second,
        })?;
    } else {
        output::print(&text(&found, &first, &second))?;
    }
    Ok(if found.parted.is_some() { PARTED } else { 0 })
}

/// The last events in common, and the first of each trace from where they part.
fn around(
    found: &Diff,
    first: &[TraceEvent],
    second: &[TraceEvent],
) -> (Vec<String>, Vec<String>, Vec<String>) {
    let Some(parted) = found.parted else {
        return (Vec::new(), Vec::new(), Vec::new());
    };
    let told = |trace: &[TraceEvent], from: usize, count: usize| {
        let events = trace.iter().skip(from).take(count);
        events
            .map(|event| format!("{} {}", event.time(), event.words()))
            .collect::<Vec<_>>()
    };
    let before = BEFORE.min(parted.first);
    (
        told(first, parted.first - before, before),
        told(first, parted.first, AFTER),
        told(second, parted.second, AFTER),
    )
}

fn text(found: &Diff, first: &[TraceEvent], second: &[TraceEvent]) -> String {
    let mut lines = Vec::new();
    match (found.parted, found.hashes_part) {
        (None, None) => lines.push(heading(&format!("SAME: {} events", first.len()))),
        (None, Some(line)) => lines.push(heading(&format!(
            "SAME IN MEANING: {} and {} events; numbers and content differ from line {} on",
            first.len(),
            second.len(),
            line + 1
        ))),
        (Some(parted), _) => lines.push(heading(&format!(
            "PARTED: at line {} of the first trace, line {} of the second",
            parted.first + 1,
            parted.second + 1
        ))),
    }
    for more in found.passed_over.iter().take(PASSED_OVER_MAX) {
        let (which, trace, at, count) = if more.more_in_first > 0 {
            ("first", first, more.first, more.more_in_first)
        } else {
            ("second", second, more.second, more.more_in_second)
        };
        let event = &trace[at];
        let what = format!(
            "the {which} alone tells of {count} events, then they go on alike: {} {}",
            event.time(),
            event.words()
        );
        lines.extend(labelled("passed over", &what, EVENT_LINES_MAX));
    }
    if found.passed_over.len() > PASSED_OVER_MAX {
        let more = format!("and {} more", found.passed_over.len() - PASSED_OVER_MAX);
        lines.extend(labelled("passed over", &more, 1));
    }
    let (before, after_first, after_second) = around(found, first, second);
    for (label, events) in [
        ("both", before),
        ("first", after_first),
        ("second", after_second),
    ] {
        if events.is_empty() && found.parted.is_some() && label != "both" {
            lines.extend(labelled(label, "the trace ends here", 1));
        }
        for event in events {
            lines.extend(labelled(label, &event, EVENT_LINES_MAX));
        }
    }
    lines.join("\n") + "\n"
}
