//! What failures have in common when they are the same failure.
//!
//! Two runs fail alike if their signatures are equal: how they ended, who noticed, which property is violated,
//! and, where a property has more than one face, what was expected, without all that is of one run only. No
//! LSN, no number, no list of nodes is part of it: so it holds across seeds, and mostly across revisions.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::report::Violation;

/// What was expected is cut off here, in characters.
const ABOUT_MAX: usize = 160;

/// What makes a failure the same as another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// How the run ended.
    pub outcome: Outcome,
    /// Who noticed.
    pub checker: String,
    /// What is violated.
    pub property: String,
    /// Which face of the property: what was expected, or what an assertion said, in general terms. Empty if
    /// the property says it all.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
}

impl Signature {
    /// The signature of a run; `None` if it passed.
    #[must_use]
    pub fn of(outcome: Outcome, violation: Option<&Violation>) -> Option<Self> {
        if outcome == Outcome::Passed {
            return None;
        }
        let about = violation.map_or("", |violation| match violation.checker.as_str() {
            "assertion" => &violation.seen,
            "invariant" | "liveness" => &violation.expected,
            // The kinds of anomalies of a history are fine enough.
            _ => "",
        });
        Some(Self {
            outcome,
            checker: violation.map_or_else(String::new, |it| it.checker.clone()),
            property: violation.map_or_else(String::new, |it| it.property.clone()),
            about: general(about),
        })
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outcome)?;
        if !self.property.is_empty() {
            write!(f, " {} ({})", self.property, self.checker)?;
        }
        if !self.about.is_empty() {
            write!(f, ": {}", self.about)?;
        }
        Ok(())
    }
}

/// A text without what is of one run only: brackets and what is in them, and numbers.
fn general(text: &str) -> String {
    let mut kept = String::new();
    let mut depth = 0_u32;
    for c in text.chars() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            c if c.is_ascii_digit() => {
                if !kept.ends_with('#') {
                    kept.push('#');
                }
            }
            c if c.is_whitespace() => {
                if !kept.is_empty() && !kept.ends_with(' ') {
                    kept.push(' ');
                }
            }
            c => kept.push(c),
        }
    }
    kept.chars()
        .take(ABOUT_MAX)
        .collect::<String>()
        .trim()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use hstore_core::Timestamp;

    use super::*;

    fn signature(outcome: Outcome, checker: &str, expected: &str, seen: &str) -> Signature {
        let violation = Violation {
            property: "some-property".to_owned(),
            checker: checker.to_owned(),
            expected: expected.to_owned(),
            seen: seen.to_owned(),
            operations: vec!["op 17".to_owned()],
            at: Timestamp(5),
        };
        Signature::of(outcome, Some(&violation)).expect("it failed")
    }

    #[test]
    fn what_is_of_one_run_is_left_out() {
        let first = signature(
            Outcome::Safety,
            "invariant",
            "e3:17 of log 1 is acked once a write quorum (nodeset(n0, n1)) holds it, synced",
            "n1 has it",
        );
        let second = signature(
            Outcome::Safety,
            "invariant",
            "e12:4 of log 2 is acked once a write quorum (majority(n0, n1, n2)) holds it, synced",
            "nobody has it",
        );
        assert_eq!(first, second);
        assert_eq!(
            first.about,
            "e#:# of log # is acked once a write quorum holds it, synced"
        );
        assert_eq!(
            first.to_string(),
            "SAFETY some-property (invariant): e#:# of log # is acked once a write quorum holds it, synced"
        );
        let other = signature(Outcome::Safety, "invariant", "e3:17 is there", "");
        assert_ne!(first, other);
    }

    #[test]
    fn an_assertion_is_known_by_what_it_says_and_an_anomaly_by_its_kind() {
        let said = "panicked at replicator/src/storage/mod.rs:123:9:\nleft: Some(3), right: None";
        let panic = signature(Outcome::Panic, "assertion", "", said);
        assert_eq!(
            panic.about,
            "panicked at replicator/src/storage/mod.rs:#:#: left: Some, right: None"
        );
        let anomaly = signature(
            Outcome::Safety,
            "durability",
            "record 3 is read",
            "it is gone",
        );
        assert_eq!(anomaly.about, "");
        assert_eq!(anomaly.to_string(), "SAFETY some-property (durability)");
        assert_ne!(anomaly, signature(Outcome::Safety, "order", "", ""));
    }

    #[test]
    fn what_passed_has_none() {
        assert_eq!(Signature::of(Outcome::Passed, None), None);
        let bare = Signature::of(Outcome::Inconclusive, None).expect("it failed");
        assert_eq!(bare.to_string(), "INCONCLUSIVE");
    }
}
