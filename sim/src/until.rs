//! Where to stop a run, to look inside.

use std::fmt;
use std::str::FromStr;

use hstore_core::Timestamp;

use crate::world::Phase;

/// A place in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// The event of this number in the trace.
    Event(u64),
    /// A moment of virtual time.
    Time(Timestamp),
    /// So many appends are acknowledged.
    Acked(u64),
    /// A log has come to this epoch.
    Epoch(u32),
    /// The fault of this number in the plan has begun.
    Fault(usize),
    /// A node loses power for the n-th time, all nodes together.
    Crash(u64),
    /// The run enters a phase.
    Phase(Phase),
    /// Something is violated.
    Violation,
}

/// The phases that a run enters, by name.
const PHASES: [(&str, Phase); 5] = [
    ("chaos", Phase::Chaos),
    ("heal", Phase::Heal),
    ("converge", Phase::Converge),
    ("final-read", Phase::FinalRead),
    ("done", Phase::Done),
];

/// Why a text names no place in a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no place in a run: expected an event's number such as 1234, a time such as 12.5ms or 3s, \
     `acked 17`, `epoch 3`, `fault 2`, `crash 1`, `phase heal` (or chaos, converge, final-read, done), or \
     `violation`"
)]
pub struct ParseUntilError(String);

impl FromStr for Until {
    type Err = ParseUntilError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseUntilError(text.to_owned());
        let mut words = text.split_whitespace();
        let (Some(first), second, None) = (words.next(), words.next(), words.next()) else {
            return Err(wrong());
        };
        match (first, second) {
            ("violation", None) => Ok(Self::Violation),
            (alone, None) => match alone.parse() {
                Ok(event) => Ok(Self::Event(event)),
                Err(_) => time(alone).map(Self::Time).ok_or_else(wrong),
            },
            ("event", Some(n)) => n.parse().map(Self::Event).map_err(|_| wrong()),
            ("acked", Some(n)) => n.parse().map(Self::Acked).map_err(|_| wrong()),
            ("epoch", Some(n)) => n.parse().map(Self::Epoch).map_err(|_| wrong()),
            ("fault", Some(n)) => n.parse().map(Self::Fault).map_err(|_| wrong()),
            ("crash", Some(n)) => n.parse().map(Self::Crash).map_err(|_| wrong()),
            ("phase", Some(name)) => {
                let phase = PHASES.iter().find(|(known, _)| *known == name);
                phase.map(|it| Self::Phase(it.1)).ok_or_else(wrong)
            }
            _ => Err(wrong()),
        }
    }
}

/// `12.5ms`.
fn time(text: &str) -> Option<Timestamp> {
    let unit_begins = text.find(|c: char| c.is_ascii_alphabetic())?;
    let (number, unit) = text.split_at(unit_begins);
    let nanos = match unit {
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        _ => return None,
    };
    let number: f64 = number.parse().ok()?;
    let all = number * nanos;
    (0.0..1e18).contains(&all).then_some(Timestamp(all as u64))
}

impl fmt::Display for Until {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(n) => write!(f, "event {n}"),
            Self::Time(at) => write!(f, "{:.6} s", at.0 as f64 / 1e9),
            Self::Acked(n) => write!(f, "acked {n}"),
            Self::Epoch(n) => write!(f, "epoch {n}"),
            Self::Fault(n) => write!(f, "fault {n}"),
            Self::Crash(n) => write!(f, "crash {n}"),
            Self::Phase(phase) => write!(f, "phase {phase:?}"),
            Self::Violation => f.write_str("violation"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        for (text, until) in [
            ("1234", Until::Event(1234)),
            ("event 7", Until::Event(7)),
            ("3s", Until::Time(Timestamp::from_millis(3_000))),
            ("12.5ms", Until::Time(Timestamp(12_500_000))),
            ("250us", Until::Time(Timestamp(250_000))),
            ("acked 17", Until::Acked(17)),
            ("epoch  3", Until::Epoch(3)),
            ("fault 0", Until::Fault(0)),
            ("crash 2", Until::Crash(2)),
            ("phase final-read", Until::Phase(Phase::FinalRead)),
            ("violation", Until::Violation),
        ] {
            assert_eq!(text.parse(), Ok(until), "{text}");
        }
        for text in [
            "",
            "soon",
            "3h",
            "-1s",
            "acked",
            "acked x",
            "phase warm",
            "epoch 3 4",
            "nans",
        ] {
            let error = text.parse::<Until>().expect_err(text).to_string();
            assert!(error.contains("acked 17"), "{error}");
        }
    }
}
