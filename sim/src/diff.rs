//! Where two traces part, in what they mean.
//!
//! Hashes part with the first byte that differs, and with every line after it. Here events are compared by what
//! they say: messages are known by who says what to whom, not by their numbers; files by what is done to them, not
//! by the checksums of their content. So traces of two revisions can be compared, of which one counts otherwise or
//! writes other bytes. Where one trace only tells of something more, and they go on alike, that is noted and
//! passed over.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::events::TraceEvent;

/// One trace may tell of so many events more than the other at a place.
const MORE_MAX: usize = 64;
/// They go on alike if so many events in a row are the same.
const ALIKE_MIN: usize = 12;
/// So many places are passed over.
const PASSED_OVER_MAX: usize = 100;

/// What two traces have in common.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// The first lines whose hashes differ; `None` if there are none.
    pub hashes_part: Option<usize>,
    /// Where one tells of more than the other, and they go on alike.
    pub passed_over: Vec<More>,
    /// Where they part for good.
    pub parted: Option<Parted>,
}

/// A place where one trace tells of more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct More {
    /// Where it begins in the first trace, counted from 0.
    pub first: usize,
    /// Where it begins in the second.
    pub second: usize,
    /// How many more events the first has there.
    pub more_in_first: usize,
    /// How many more the second has.
    pub more_in_second: usize,
}

/// Where two traces part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Parted {
    /// The first event that the second trace does not have there, counted from 0; that after the last, if the
    /// first trace ends here.
    pub first: usize,
    /// The same of the second trace.
    pub second: usize,
}

/// Compares two traces.
#[must_use]
pub fn diff(first: &[TraceEvent], second: &[TraceEvent]) -> Diff {
    let hashes_part = (0..first.len().max(second.len())).find(|&index| {
        let hash = |trace: &[TraceEvent]| trace.get(index).map(|event| event.hash.clone());
        hash(first) != hash(second)
    });
    if hashes_part.is_none() {
        return Diff {
            hashes_part,
            passed_over: Vec::new(),
            parted: None,
        };
    }
    let (a, b) = (meanings(first), meanings(second));
    let (mut i, mut j) = (0, 0);
    let mut passed_over = Vec::new();
    let parted = loop {
        match (a.get(i), b.get(j)) {
            (None, None) => break None,
            (x, y) if x == y => (i, j) = (i + 1, j + 1),
            _ => match more(&a[i..], &b[j..]) {
                Some((more_in_first, more_in_second)) if passed_over.len() < PASSED_OVER_MAX => {
                    passed_over.push(More {
                        first: i,
                        second: j,
                        more_in_first,
                        more_in_second,
                    });
                    (i, j) = (i + more_in_first, j + more_in_second);
                }
                _ => {
                    break Some(Parted {
                        first: i,
                        second: j,
                    });
                }
            },
        }
    };
    Diff {
        hashes_part,
        passed_over,
        parted,
    }
}

/// How many events more one of two traces has, after which they go on alike.
fn more(a: &[String], b: &[String]) -> Option<(usize, usize)> {
    let alike = |a: &[String], b: &[String]| {
        let count = ALIKE_MIN.min(a.len()).min(b.len());
        // The end of both is alike, too; the end of one alone is not.
        (count == ALIKE_MIN || a.len() == b.len()) && a[..count] == b[..count]
    };
    (1..=MORE_MAX).find_map(|more| {
        if more <= a.len() && alike(&a[more..], b) {
            Some((more, 0))
        } else if more <= b.len() && alike(a, &b[more..]) {
            Some((0, more))
        } else {
            None
        }
    })
}

/// What each event means, as a text that does not depend on how things are numbered and encoded.
fn meanings(trace: &[TraceEvent]) -> Vec<String> {
    let mut said: BTreeMap<u64, String> = BTreeMap::new();
    trace
        .iter()
        .map(|event| {
            let text = |name: &str| event.what.get(name).map(plain).unwrap_or_default();
            let number = event.what.get("message").and_then(Value::as_u64);
            let what = match event.kind.as_str() {
                "send" => {
                    let said_now = format!("{}->{} {}", text("from"), text("to"), text("says"));
                    if let Some(number) = number {
                        said.insert(number, said_now.clone());
                    }
                    said_now
                }
                "deliver" => {
                    let said = number.and_then(|number| said.get(&number));
                    format!("{} {}", text("to"), said.map_or("", String::as_str))
                }
                "file" => format!("{} {}", text("node"), without_content(&text("file"))),
                _ => Value::Object(event.what.clone()).to_string(),
            };
            format!("{} {} {what}", event.t_us, event.kind)
        })
        .collect()
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

/// A file operation without where, how much and what: encodings may differ.
fn without_content(operation: &str) -> String {
    let end = operation.find(" at ").unwrap_or(operation.len());
    operation[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::clocks::Clock;

    fn event(number: u64, t_us: u64, kind: &str, what: Value, hash: u64) -> TraceEvent {
        let Value::Object(what) = what else {
            panic!("an event is an object");
        };
        TraceEvent {
            event: number,
            t_us,
            kind: kind.to_owned(),
            what,
            at: None,
            life: None,
            clock: Clock::new(),
            hash: hash.to_string(),
        }
    }

    /// A conversation whose messages are numbered from `first`.
    fn conversation(first: u64, hash: u64) -> Vec<TraceEvent> {
        let mut trace = Vec::new();
        for turn in 0..40 {
            let message = first + turn;
            let send = json!({"message": message, "from": "n0", "to": "n1", "says": format!("word {turn}"), "crc32c": hash});
            let number = trace.len() as u64 + 1;
            trace.push(event(number, turn * 10, "send", send, hash + turn));
            let deliver = json!({"message": message, "to": "n1"});
            trace.push(event(
                number + 1,
                turn * 10 + 5,
                "deliver",
                deliver,
                hash + turn,
            ));
        }
        trace
    }

    #[test]
    fn numbers_and_checksums_mean_nothing() {
        let first = conversation(1, 0);
        assert_eq!(diff(&first, &first).hashes_part, None);
        let diff = diff(&first, &conversation(500, 1_000));
        assert_eq!(diff.hashes_part, Some(0));
        assert_eq!((diff.passed_over, diff.parted), (Vec::new(), None));
    }

    #[test]
    fn what_only_one_tells_is_passed_over() {
        let first = conversation(1, 0);
        let mut second = conversation(1, 1_000);
        for _ in 0..3 {
            let noise = event(0, 101, "process", json!({"event": "Curious"}), 77);
            second.insert(20, noise);
        }
        let found = diff(&first, &second);
        let more = More {
            first: 20,
            second: 20,
            more_in_first: 0,
            more_in_second: 3,
        };
        assert_eq!((found.passed_over, found.parted), (vec![more], None));
        let found = diff(&second, &first);
        assert_eq!(found.passed_over[0].more_in_first, 3);
        // One more at the very end.
        let mut longer = first.clone();
        longer.push(event(99, 999, "verdict", json!({"outcome": "passed"}), 5));
        assert_eq!(diff(&first, &longer).passed_over[0].more_in_second, 1);
    }

    #[test]
    fn the_first_event_that_means_something_else_is_found() {
        let first = conversation(1, 0);
        let mut second = conversation(300, 1_000);
        second[30].what["says"] = json!("another word");
        for event in &mut second[50..] {
            event.t_us += 1;
        }
        let found = diff(&first, &second);
        assert_eq!(
            found.parted,
            Some(Parted {
                first: 30,
                second: 30
            })
        );
        // What a message says shows where it arrives, too.
        let mut third = conversation(1, 0);
        third[31].what["message"] = json!(3);
        third[31].hash = "other".to_owned();
        for event in &mut third[40..] {
            event.t_us += 1;
        }
        let parted = diff(&first, &third).parted.expect("they part");
        assert_eq!((parted.first, parted.second), (31, 31));
    }
}
