//! The account of one anomaly, for people: what was broken, the evidence, why it is evidence, and what
//! would have been legal.
//!
//! A story is neutral: the same for logs and for objects, and for every way of rendering it. All that
//! it says is text or a plain number, so its JSON can be read without knowing this crate.

use serde::Serialize;

use crate::anomaly::{CertificateOp, Fact, Link};
use crate::history::{Answer, Gap, Moment, Op, Status};
use crate::object::ObjectOp;

/// One anomaly, told in full.
#[derive(Clone, Debug, Serialize)]
pub struct Story {
    /// Its name in this report: `a1`, `a2`, ...
    pub id: String,
    /// The check that found it.
    pub check: String,
    /// The kind of the anomaly, such as `StaleRead`.
    pub kind: String,
    /// The guarantee that is broken, in one sentence.
    pub guarantee: String,
    /// What it happened to, such as `log 0`.
    pub subject: String,
    /// What should have come.
    pub expected: String,
    /// What came instead.
    pub seen: String,
    /// The nearest answer that would have been legal, if one is known.
    pub nearest: Option<Nearest>,
    /// The positions of a log that it is about; none for objects.
    pub positions: Vec<String>,
    /// The operations that cannot all be right, in the order of their invocation.
    pub certificate: Vec<StoryOp>,
    /// Why they cannot.
    pub arrows: Vec<Arrow>,
    /// A small part of the history that is illegal itself.
    pub minimal: Minimal,
    /// Other operations on the same log or object at about that time.
    pub around: Vec<StoryOp>,
}

/// An operation, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StoryOp {
    /// Its number in the history.
    pub op: u32,
    /// Who did it.
    pub process: u32,
    /// What was asked, such as `append(#7)`.
    pub call: String,
    /// What was answered, such as `e1:7`; nothing if nothing was.
    pub answer: Option<String>,
    /// How it ended.
    pub status: Status,
    /// The event that began it.
    pub invoked_event: u64,
    /// The event that ended it, if there was one.
    pub completed_event: Option<u64>,
    /// When it began, in nanoseconds of the recording's clock.
    pub invoked_ns: u64,
    /// When it ended.
    pub completed_ns: Option<u64>,
}

/// A step of the argument between two operations of a certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Arrow {
    /// The operation that must come before, or contradicts.
    pub from: u32,
    /// The other, or the same where an operation contradicts itself.
    pub to: u32,
    /// The kind of reason: `real_time`, `position`, `observation`, ...
    pub reason: String,
    /// The reason, in words.
    pub text: String,
}

/// An answer that would have been legal, all others being as they are.
#[derive(Clone, Debug, Serialize)]
pub struct Nearest {
    /// To which operation.
    pub op: u32,
    /// What it asked.
    pub call: String,
    /// The answers that would have been legal, the nearest first.
    pub legal: Vec<String>,
    /// What it was answered.
    pub was: String,
    /// The first of the legal answers to an operation of a log, as a certificate shows it.
    #[serde(skip)]
    pub fact: Option<Fact>,
}

/// A small part of a history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Minimal {
    /// Its operations, in the order of their invocation.
    pub ops: Vec<StoryOp>,
    /// Those among them that may also never have taken effect, which does not help.
    pub optional: Vec<u32>,
    /// The positions of a log for which it is looked at: `e1:3`, `e1:5..=e1:9`.
    pub positions: Vec<String>,
    /// What is known of it.
    pub proof: Proof,
}

/// What is known of a minimal sub-history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "proof", rename_all = "snake_case")]
pub enum Proof {
    /// No order of its operations is legal: all were tried, in so many states.
    Refuted {
        /// How many.
        states: u64,
    },
    /// The general search found no order that is legal, and left out what it could.
    Searched {
        /// Whether each of the required operations is known to be needed.
        is_minimal: bool,
    },
    /// The orders were not tried: there are too many of them.
    TooMany,
    /// An order of the certificate's operations is legal. The anomaly is not one of order: its check
    /// demands more than that.
    NotOfOrder,
    /// Nobody said how to try.
    NotTried,
}

impl Proof {
    /// One sentence.
    #[must_use]
    pub fn sentence(self) -> String {
        match self {
            Self::Refuted { states } => {
                let s = if states == 1 { "" } else { "s" };
                format!("Illegal in every order: all were tried by brute force ({states} state{s}).")
            }
            Self::Searched { is_minimal: true } => {
                "The general search finds no legal order, and each required operation is needed for that."
                    .to_owned()
            }
            Self::Searched { is_minimal: false } => {
                "The general search finds no legal order; smaller ones may exist.".to_owned()
            }
            Self::TooMany => {
                "Not judged again by brute force: there are too many orders to try.".to_owned()
            }
            Self::NotOfOrder => {
                "Not a matter of order: the check demands more than that some order is legal."
                    .to_owned()
            }
            Self::NotTried => "Not judged again.".to_owned(),
        }
    }
}

impl Nearest {
    /// One sentence: `` `tail() -> e1:8` would have been legal, it returned e1:5``.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut legal = self.legal.iter();
        let first = legal.next().map_or("", String::as_str);
        let call = &self.call;
        let mut sentence = format!("`{call} -> {first}` would have been legal");
        let others: Vec<&str> = legal.map(String::as_str).collect();
        if !others.is_empty() {
            sentence.push_str(&format!(" (also {})", others.join(", ")));
        }
        format!("{sentence}, op {} returned {}", self.op, self.was)
    }
}

impl StoryOp {
    pub(crate) fn of_certificate(op: &CertificateOp) -> Self {
        Self {
            op: op.op.0,
            process: op.process.0,
            call: op.call.to_string(),
            answer: op.fact.as_ref().map(Fact::to_string),
            status: op.status,
            ..Self::at(op.invoked, op.completed)
        }
    }

    pub(crate) fn of_log(op: Op<'_>) -> Self {
        Self {
            op: op.id().0,
            process: op.process().0,
            call: op.call().to_string(),
            answer: op.answer().map(|answer| short(answer).to_string()),
            status: op.status(),
            ..Self::at(op.invoked(), op.completed())
        }
    }

    pub(crate) fn of_object(op: ObjectOp<'_>) -> Self {
        let (function, key, argument) = (op.function(), op.key(), op.argument());
        let words = [key, argument].into_iter().filter(|value| !value.is_nil());
        let words: Vec<String> = words.map(ToString::to_string).collect();
        let has_answer = op.status() == Status::Ok;
        Self {
            op: op.id().0,
            process: op.process().0,
            call: format!("{function}({})", words.join(", ")),
            answer: has_answer.then(|| op.result().to_string()),
            status: op.status(),
            ..Self::at(op.invoked(), op.completed())
        }
    }

    fn at(invoked: Moment, completed: Option<Moment>) -> Self {
        Self {
            op: 0,
            process: 0,
            call: String::new(),
            answer: None,
            status: Status::Open,
            invoked_event: invoked.index.0,
            completed_event: completed.map(|at| at.index.0),
            invoked_ns: invoked.time_ns,
            completed_ns: completed.map(|at| at.time_ns),
        }
    }

    /// What it asked and how that ended: `append(#7) -> e1:7`.
    #[must_use]
    pub fn words(&self) -> String {
        let end = match (&self.answer, self.status) {
            (Some(answer), _) => return format!("{} -> {answer}", self.call),
            (None, Status::Ok) => "done",
            (None, Status::Fail) => "failed",
            (None, Status::Open | Status::Info) => "unknown",
        };
        format!("{} {end}", self.call)
    }
}

impl Arrow {
    pub(crate) fn of(link: &Link) -> Self {
        // A link's text begins with its ends, which an arrow has already.
        let words = link.to_string();
        let ends = format!("{} -> {}, ", link.from, link.to);
        let json = serde_json::to_value(link.reason).ok();
        let tag = json.as_ref().and_then(|json| json["reason"].as_str());
        Self {
            from: link.from.0,
            to: link.to.0,
            reason: tag.unwrap_or("other").to_owned(),
            text: words.strip_prefix(&ends).unwrap_or(&words).to_owned(),
        }
    }
}

/// An answer with the first few of its entries.
fn short(answer: Answer<'_>) -> Fact {
    const ENTRIES: usize = 3;
    match answer {
        Answer::Append { lsn } => Fact::Appended { lsn },
        Answer::Mismatch(told) => Fact::Mismatched { told },
        Answer::Tail { tail } | Answer::Seal { tail } => Fact::Tail { tail },
        Answer::Trimmed { upto } => Fact::Trimmed { upto },
        Answer::Trim => Fact::Done,
        Answer::Read(read) | Answer::Poll(read) => {
            let records: Vec<_> = read.records.iter().take(ENTRIES).copied().collect();
            let gaps: Vec<Gap> = read.gaps.iter().take(ENTRIES).copied().collect();
            Fact::Read {
                end: hstore_core::Lsn::from_u64(read.end()),
                reached_tail: matches!(answer, Answer::Read(_)) && read.reached_tail(),
                tail: read.tail,
                left_out: read.records.len() + read.gaps.len() - records.len() - gaps.len(),
                records,
                gaps,
            }
        }
    }
}
