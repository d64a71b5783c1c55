//! A trace as a log for ShiViz (<https://bestchai.bitbucket.io/shiviz/>).
//!
//! The file begins with the regular expression that reads it, as ShiViz takes it from an uploaded log, and an
//! empty line: there is one execution. Then each event has two lines: place and vector clock, and what happens.
//!
//! Invariant: the clock of a place counts its events in this file, from 1, without a gap. ShiViz refuses others.

use std::fmt::Write;

use serde_json::Value;

use crate::clocks::Clocks;
use crate::events::TraceEvent;

/// How ShiViz reads the rest of the file.
pub const HEADER: &str = r"(?<host>\S*) (?<clock>{.*})\n(?<event>.*)";

/// The trace as a log for ShiViz. Timers and file operations are left out: they would hide what nodes say to each
/// other.
#[must_use]
pub fn shiviz(trace: &[TraceEvent]) -> String {
    let mut text = format!("{HEADER}\n\n");
    let mut clocks = Clocks::default();
    for event in trace {
        let Some(at) = &event.at else {
            continue;
        };
        // A name is one word.
        let place = at.replace(' ', "-");
        let message = event.what.get("message").and_then(Value::as_u64);
        let clock = match (event.kind.as_str(), message) {
            ("send", Some(message)) => clocks.sends(&place, message),
            ("deliver", Some(message)) => clocks.receives(&place, message),
            ("process" | "operation", _) => clocks.happens(&place),
            _ => continue,
        };
        let clock = serde_json::to_string(clock).expect("a clock is plain data");
        let words = event.words().replace('\n', " ");
        writeln!(text, "{place} {clock}\n{} {words}", event.time()).expect("writing to a string");
    }
    text
}
