//! A whole report: the verdict, every anomaly told, how far they reach, and how sure this is.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::plot::Plot;
use super::story::{Proof, Story};
use super::{html, tell, text};
use crate::anomaly::{Anomaly, Subject};
use crate::check::{Check, Report};
use crate::history::{History, OpId};
use crate::object::{ObjectHistory, Value};
use crate::search::Core;
use crate::verdict::{Verdict, VerdictKind};

/// So many anomalies are told in full, of those that were kept with their certificates.
pub const MAX_STORIES: usize = 24;

/// A report that can be shown as text, as JSON and as a page.
#[derive(Clone, Debug, Serialize)]
pub struct Document {
    /// What this is: `jepsen-lite/report/1`. The number rises when a field changes its meaning.
    pub format: &'static str,
    /// The verdict on the whole.
    pub verdict: VerdictKind,
    /// Where the history comes from.
    pub context: Context,
    /// How much was judged, and how much is wrong.
    pub extent: Extent,
    /// What was checked and how sure it is, in sentences.
    pub confidence: Vec<String>,
    /// The verdicts, part by part.
    pub parts: Vec<PartSummary>,
    /// The anomalies. The one whose evidence was complete first comes first.
    pub stories: Vec<Story>,
    #[serde(skip)]
    pub(crate) plot: Plot,
}

/// What the caller knows of a history beyond what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Context {
    /// Its name, such as that of its file.
    pub name: Option<String>,
    /// Whatever helps to repeat it: seed, revision, command, faults that were active.
    pub facts: Vec<ContextFact>,
    /// What happened to each replica meanwhile.
    pub lanes: Vec<Lane>,
}

/// Something worth knowing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContextFact {
    /// What, such as `seed`.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// What happened to one replica, or to the network, or to anything else that is not a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lane {
    /// Its name.
    pub name: String,
    /// What happened when. Spans may overlap.
    pub spans: Vec<Span>,
}

/// Something that was so for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// Which kind of thing.
    pub kind: SpanKind,
    /// What, in a few words: `epoch 3`, `synced e1:7`, `partitioned`.
    pub label: String,
    /// From when, in nanoseconds of the recording's clock.
    pub from_ns: u64,
    /// Until when; to the end of the recording if nothing is said.
    pub to_ns: Option<u64>,
}

/// The kinds of things that happen to replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SpanKind {
    /// It was in an epoch.
    Epoch,
    /// It was sealed.
    Seal,
    /// It had a synced copy.
    Copy,
    /// A fault was active.
    Fault,
    /// Anything else.
    Other,
}

/// How far the anomalies reach.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Extent {
    /// How many operations were judged.
    pub operations: u64,
    /// How they ended, by kind, in words.
    pub operations_by_kind: String,
    /// How many logs, or parts of an object, were judged.
    pub parts: u64,
    /// How many anomalies of each kind were found, by all checks together.
    pub anomalies: BTreeMap<String, u64>,
    /// How many of them are told in full.
    pub told: u64,
    /// How many operations are in the certificates that were kept.
    pub operations_touched: u64,
    /// How many parts have anomalies.
    pub parts_touched: u64,
}

/// The verdicts on one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartSummary {
    /// What was judged, such as `log 0`.
    pub subject: String,
    /// The worst of its verdicts.
    pub verdict: VerdictKind,
    /// How many operations were judged.
    pub operations: u64,
    /// Check by check.
    pub checks: Vec<CheckSummary>,
}

/// The verdict of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckSummary {
    /// Its name.
    pub check: String,
    /// What it says.
    pub verdict: VerdictKind,
    /// What it found, or why it does not know; empty if it is valid.
    pub says: String,
}

/// What a search knows of an anomaly of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ObjectProof {
    /// The operations that cannot all have happened as they were recorded.
    pub required: Vec<OpId>,
    /// Others that may have taken effect or not, which does not help.
    pub optional: Vec<OpId>,
    /// Whether every single one of [`required`](Self::required) is known to be needed.
    pub is_minimal: bool,
    /// Answers to one operation that would have been legal, the nearest first.
    pub legal: Option<(OpId, Vec<Value>)>,
}

impl From<Core> for ObjectProof {
    fn from(core: Core) -> Self {
        Self {
            required: core.required,
            optional: core.optional,
            is_minimal: core.is_minimal,
            legal: None,
        }
    }
}

impl Document {
    /// The report on a history of logs.
    #[must_use]
    pub fn of_log(report: &Report, history: &History, context: Context) -> Self {
        let mut teller = tell::LogTeller::new(history);
        let told = first_told(report);
        let stories = told.iter().enumerate();
        let stories = stories
            .map(|(number, &(check, anomaly))| teller.tell(story_id(number), check, anomaly));
        let stories: Vec<Story> = stories.collect();
        let plot = Plot::of_log(history, &stories);
        Self::new(report, context, stories, plot)
    }

    /// The report on a history of objects. `prove` says what the search knows of an anomaly: see
    /// [`legal_answers`](super::legal_answers) for how to find what would have been legal.
    #[must_use]
    pub fn of_objects(
        report: &Report,
        history: &ObjectHistory,
        context: Context,
        mut prove: impl FnMut(&Anomaly) -> Option<ObjectProof>,
    ) -> Self {
        let told = first_told(report);
        let stories = told.iter().enumerate();
        let stories = stories.map(|(number, &(check, anomaly))| {
            let proof = prove(anomaly);
            tell::tell_object(history, story_id(number), check, anomaly, proof)
        });
        let stories: Vec<Story> = stories.collect();
        let plot = Plot::of_objects(history, &stories);
        Self::new(report, context, stories, plot)
    }

    fn new(report: &Report, context: Context, stories: Vec<Story>, plot: Plot) -> Self {
        Self {
            format: "jepsen-lite/report/1",
            verdict: report.verdict,
            extent: extent(report, stories.len()),
            confidence: confidence(report, &stories),
            parts: parts(report),
            context,
            stories,
            plot,
        }
    }

    /// The report as text of at most 100 columns.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::render(self)
    }

    /// The report as JSON, in one line. Its fields are those of this type.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("all of it is text, numbers and lists")
    }

    /// The report as one page that needs nothing else.
    #[must_use]
    pub fn to_html(&self) -> String {
        html::render(self)
    }
}

fn story_id(number: usize) -> String {
    format!("a{}", number + 1)
}

/// The anomalies to tell, by when their evidence was complete.
fn first_told(report: &Report) -> Vec<(Check, &Anomaly)> {
    let mut told: Vec<_> = report.anomalies().collect();
    told.sort_by_key(|(_, anomaly)| {
        let ops = anomaly.certificate.iter();
        ops.map(|op| op.completed.unwrap_or(op.invoked).index).max()
    });
    told.truncate(MAX_STORIES);
    told
}

fn extent(report: &Report, told: usize) -> Extent {
    let mut anomalies: BTreeMap<String, u64> = BTreeMap::new();
    let mut touched: BTreeSet<&Subject> = BTreeSet::new();
    let mut ops: BTreeSet<OpId> = BTreeSet::new();
    for part in &report.parts {
        for findings in part
            .checks
            .iter()
            .filter_map(|check| check.verdict.findings())
        {
            touched.insert(&part.subject);
            for (kind, count) in &findings.counts {
                *anomalies.entry(kind.to_string()).or_default() += count;
            }
        }
    }
    for (_, anomaly) in report.anomalies() {
        ops.extend(anomaly.certificate.iter().map(|op| op.op));
    }
    Extent {
        operations: report.counts.ops,
        operations_by_kind: report.counts.to_string(),
        parts: report.parts.len() as u64,
        anomalies,
        told: told as u64,
        operations_touched: ops.len() as u64,
        parts_touched: touched.len() as u64,
    }
}

fn parts(report: &Report) -> Vec<PartSummary> {
    let parts = report.parts.iter();
    let parts = parts.map(|part| PartSummary {
        subject: part.subject.to_string(),
        verdict: part.verdict,
        operations: part.counts.ops,
        checks: part
            .checks
            .iter()
            .map(|check| CheckSummary {
                check: check.check.to_string(),
                verdict: check.verdict.kind(),
                says: says(&check.verdict),
            })
            .collect(),
    });
    parts.collect()
}

fn says(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Valid(()) => String::new(),
        Verdict::Unknown(cause) => cause.to_string(),
        Verdict::Invalid(findings) => {
            let counts = findings.counts.iter();
            let counts: Vec<String> = counts
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            counts.join(", ")
        }
    }
}

fn confidence(report: &Report, stories: &[Story]) -> Vec<String> {
    let checks = report.parts.iter().flat_map(|part| &part.checks);
    let names: BTreeSet<&str> = checks.map(|check| check.check.name()).collect();
    let names: Vec<&str> = names.into_iter().collect();
    let mut sentences = vec![format!(
        "Checked: {} of {}.",
        match names.is_empty() {
            true => "nothing".to_owned(),
            false => names.join(", "),
        },
        match report.parts.len() {
            1 => "one part".to_owned(),
            parts => format!("{parts} parts, each alone"),
        }
    )];
    let count = |proves: fn(&Proof) -> bool| {
        let proofs = stories.iter().map(|story| &story.minimal.proof);
        proofs.filter(|proof| proves(proof)).count()
    };
    let told = stories.len();
    let refuted = count(|proof| matches!(proof, Proof::Refuted { .. }));
    let searched = count(|proof| matches!(proof, Proof::Searched { .. }));
    let of_checks = count(|proof| matches!(proof, Proof::NotOfOrder));
    for (number, how) in [
        (refuted, "refuted by brute force over all orders"),
        (searched, "refuted by the general search"),
        (
            of_checks,
            "not of order: their certificates speak for themselves",
        ),
        (told - refuted - searched - of_checks, "not judged again"),
    ] {
        if number > 0 {
            sentences.push(format!("{number} of {told} told anomalies: {how}."));
        }
    }
    match report.verdict {
        VerdictKind::Valid => sentences.push(
            "Valid means that nothing these checks look for is in this history, not that the system is right."
                .to_owned(),
        ),
        VerdictKind::Unknown => sentences.push(
            "Unknown means that no anomaly was found, and that the history does not say enough to exclude one."
                .to_owned(),
        ),
        VerdictKind::Invalid => {}
    }
    sentences
}
