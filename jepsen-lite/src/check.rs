//! All checks of a history, put together.
//!
//! Logs are independent, so each is judged alone. The verdict on the whole is that of the worst part:
//! invalid, else unknown, else valid.
//!
//! A check that finds nothing to look at says valid, and so does that of an empty history: nothing in it
//! breaks the property. How much there was to look at the counts say. Only where a check needs something
//! said to call a property kept, as durability needs final reads of what was acknowledged, does it say
//! unknown without it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::ops::AddAssign;
use std::str::FromStr;

use hstore_core::LogId;
use serde::{Deserialize, Serialize};

use crate::anomaly::Subject;
use crate::durability;
use crate::facts::LogFacts;
use crate::history::{History, OpId, OpKind, Status};
use crate::log_check;
use crate::monotone;
use crate::object::ObjectHistory;
use crate::object_check::{self, Judged, ObjectOptions, Part, Tally, Unfit};
use crate::order;
use crate::prefix;
use crate::replay::replay;
use crate::subscription;
use crate::tiering;
use crate::trim;
use crate::verdict::{Verdict, VerdictKind};

/// A property that can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// All operations take effect one after the other, each within its interval.
    Linearizability,
    /// What was acknowledged is still there at the end, and what failed never shows.
    Durability,
    /// Appends acknowledged to one process in sequence have rising LSNs.
    Order,
    /// Any two reads say the same of each LSN.
    PrefixAgreement,
    /// What a process sees of the end of a log does not go back.
    Monotonicity,
    /// Each subscription delivers its log in order, without a hole.
    Subscriptions,
    /// Only what somebody gave up is given up.
    TrimSafety,
    /// All tiers show the same.
    Tiering,
    /// The last read of a set shows all that was added.
    Set,
    /// What is known to be in a set stays in it.
    SetFull,
    /// What goes into a queue comes out.
    TotalQueue,
    /// No id is generated twice.
    UniqueIds,
    /// A counter is between the sum of what was added and that of what may have been.
    Counter,
}

impl Check {
    /// Those of logs.
    pub const OF_LOGS: [Self; 8] = [
        Self::Linearizability,
        Self::Durability,
        Self::Order,
        Self::PrefixAgreement,
        Self::Monotonicity,
        Self::Subscriptions,
        Self::TrimSafety,
        Self::Tiering,
    ];

    /// Those of objects that need no search.
    pub const OF_OBJECTS: [Self; 5] = [
        Self::Set,
        Self::SetFull,
        Self::TotalQueue,
        Self::UniqueIds,
        Self::Counter,
    ];

    /// Its name, as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linearizability => "linearizability",
            Self::Durability => "durability",
            Self::Order => "order",
            Self::PrefixAgreement => "prefix-agreement",
            Self::Monotonicity => "monotonicity",
            Self::Subscriptions => "subscriptions",
            Self::TrimSafety => "trim-safety",
            Self::Tiering => "tiering",
            Self::Set => "set",
            Self::SetFull => "set-full",
            Self::TotalQueue => "total-queue",
            Self::UniqueIds => "unique-ids",
            Self::Counter => "counter",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that no check has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no check is named `{0}`: there are linearizability, durability, order, prefix-agreement, monotonicity, \
     subscriptions, trim-safety and tiering of logs; set, set-full, total-queue, unique-ids and counter of objects"
)]
pub struct UnknownCheck(String);

impl FromStr for Check {
    type Err = UnknownCheck;

    fn from_str(name: &str) -> Result<Self, UnknownCheck> {
        let mut all = Self::OF_LOGS.into_iter().chain(Self::OF_OBJECTS);
        all.find(|check| check.name() == name)
            .ok_or_else(|| UnknownCheck(name.to_owned()))
    }
}

/// What to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// These properties, of every log; what is a property of objects only is passed over.
    pub checks: BTreeSet<Check>,
}

impl Default for CheckOptions {
    /// Everything that can be said of logs.
    fn default() -> Self {
        Self {
            checks: Check::OF_LOGS.into(),
        }
    }
}

/// What came out, for the whole history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The worst of all verdicts below.
    pub verdict: VerdictKind,
    /// What was judged.
    pub counts: Counts,
    /// Part by part: log by log, or key by key.
    pub parts: Vec<PartReport>,
}

/// What came out, for what is judged alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// What was judged.
    pub subject: Subject,
    /// The worst of its verdicts.
    pub verdict: VerdictKind,
    /// How much was judged.
    pub counts: Counts,
    /// Check by check.
    pub checks: Vec<CheckReport>,
}

/// What came out of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckReport {
    /// Which.
    pub check: Check,
    /// What it says.
    pub verdict: Verdict,
    /// What it counted, by name; checks of logs count nothing.
    #[serde(skip_serializing_if = "Tally::is_empty")]
    pub tally: Tally,
}

/// How many operations were judged, by kind and by end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub ops: u64,
    /// By what was asked.
    pub by_kind: BTreeMap<String, Ends>,
    /// Records that reads and polls of a log returned, all together.
    pub records_read: u64,
    /// Reads among the answered ones that were made to see what is left.
    pub final_reads: u64,
    /// Verdicts that were reached.
    pub checks: u64,
}

/// How operations of one kind ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ends {
    /// So many were answered.
    pub ok: u64,
    /// So many certainly had no effect.
    pub failed: u64,
    /// Of so many nobody knows.
    pub unknown: u64,
}

impl Ends {
    /// Counts one more.
    pub(crate) fn count(&mut self, status: Status) {
        *match status {
            Status::Ok => &mut self.ok,
            Status::Fail => &mut self.failed,
            Status::Open | Status::Info => &mut self.unknown,
        } += 1;
    }
}

impl AddAssign for Ends {
    fn add_assign(&mut self, other: Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.unknown += other.unknown;
    }
}

impl Counts {
    /// Of operations of a log, which are `ops`.
    fn of(facts: &LogFacts<'_>, ops: &[OpId]) -> Self {
        let mut by_kind = [Ends::default(); OpKind::ALL.len()];
        for op in ops.iter().map(|&id| facts.history.op(id)) {
            by_kind[op.kind() as usize].count(op.status());
        }
        let all = OpKind::ALL.into_iter().zip(by_kind);
        let by_kind = all
            .filter(|(_, ends)| *ends != Ends::default())
            .map(|(kind, ends)| (kind.to_string(), ends));
        Self {
            ops: ops.len() as u64,
            by_kind: by_kind.collect(),
            records_read: facts.features.records_read,
            final_reads: facts.final_reads.len() as u64,
            checks: 0,
        }
    }

    /// How operations of a kind ended.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> Ends {
        self.by_kind.get(kind).copied().unwrap_or_default()
    }

    /// Of operations of an object.
    pub(crate) fn of_object(history: &ObjectHistory, ops: &[OpId]) -> Self {
        let mut counts = Self {
            ops: ops.len() as u64,
            ..Self::default()
        };
        for op in ops.iter().map(|&id| history.op(id)) {
            let kind = op.function();
            if !counts.by_kind.contains_key(kind) {
                counts.by_kind.insert(kind.to_owned(), Ends::default());
            }
            let ends = counts.by_kind.get_mut(kind);
            ends.expect("it is there now").count(op.status());
        }
        counts
    }

    fn add(&mut self, other: &Self) {
        let Self {
            ops,
            by_kind,
            records_read,
            final_reads,
            checks,
        } = other;
        self.ops += ops;
        for (kind, &ends) in by_kind {
            *self.by_kind.entry(kind.clone()).or_default() += ends;
        }
        self.records_read += records_read;
        self.final_reads += final_reads;
        self.checks += checks;
    }
}

/// `append 5 ok, 1 failed, 2 unknown; read 3 ok (1 final), 15 records`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds = self.by_kind.iter().map(|(kind, ends)| {
            let mut words = format!("{kind} {} ok", ends.ok);
            for (count, word) in [(ends.failed, "failed"), (ends.unknown, "unknown")] {
                if count > 0 {
                    let _ = write!(words, ", {count} {word}");
                }
            }
            words
        });
        let mut words: Vec<String> = kinds.collect();
        if self.records_read > 0 {
            words.push(format!("{} records read", self.records_read));
        }
        if self.final_reads > 0 {
            words.push(format!("{} final reads", self.final_reads));
        }
        f.write_str(&words.join("; "))
    }
}

/// Judges a history.
#[must_use]
pub fn check(history: &History, options: &CheckOptions) -> Report {
    let parts: Vec<PartReport> = history
        .by_log()
        .into_iter()
        .map(|(log, ops)| check_log(history, log, &ops, options))
        .collect();
    report(parts)
}

/// Judges a history of an object by one of the checks that need no search, key by key.
///
/// # Errors
///
/// If the check is not one of objects, or the history has operations that it does not know: neither is a
/// verdict.
pub fn check_objects(
    history: &ObjectHistory,
    check: Check,
    options: &ObjectOptions,
) -> Result<Report, ObjectCheckError> {
    let parts = Part::all(history).into_iter().map(|part| {
        let judged = object_check::judge(&part, check, options)?;
        let Judged { verdict, tally } = judged.ok_or(ObjectCheckError::NotOfObjects { check })?;
        let mut counts = Counts::of_object(history, part.op_ids());
        counts.checks = 1;
        Ok(PartReport {
            subject: part.subject().clone(),
            verdict: verdict.kind(),
            counts,
            checks: vec![CheckReport {
                check,
                verdict,
                tally,
            }],
        })
    });
    let parts: Result<Vec<PartReport>, ObjectCheckError> = parts.collect();
    parts.map(report)
}

/// Why a history of an object cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectCheckError {
    /// The check is one of logs.
    #[error(
        "{check} is not checked of objects this way: there are set, set-full, total-queue, unique-ids, counter"
    )]
    NotOfObjects {
        /// The check.
        check: Check,
    },
    /// The history has an operation that the check does not know.
    #[error(transparent)]
    Unfit(#[from] Unfit),
}

/// Puts together what was judged part by part.
pub(crate) fn report(parts: Vec<PartReport>) -> Report {
    let mut counts = Counts::default();
    for part in &parts {
        counts.add(&part.counts);
    }
    let worst = parts.iter().map(|part| part.verdict).max();
    Report {
        verdict: worst.unwrap_or(VerdictKind::Valid),
        counts,
        parts,
    }
}

fn check_log(history: &History, log: LogId, ops: &[OpId], options: &CheckOptions) -> PartReport {
    let facts = LogFacts::gather(history, log, ops);
    let features = facts.features;
    let mut counts = Counts::of(&facts, ops);
    let judge = |check| {
        let nothing_to_see = Verdict::Valid(());
        Some(match check {
            Check::Linearizability => linearizability(&facts, ops),
            Check::Durability => durability::check(&facts, ops),
            Check::Order => order::check(history, log, ops),
            Check::PrefixAgreement => prefix::check(&facts),
            Check::Monotonicity => monotone::check(&facts),
            Check::Subscriptions if !features.subscriptions => nothing_to_see,
            Check::Subscriptions => subscription::check(&facts, ops),
            Check::TrimSafety if !features.trims => nothing_to_see,
            Check::TrimSafety => trim::check(&facts, ops),
            Check::Tiering if !features.tiers => nothing_to_see,
            Check::Tiering => tiering::check(history, log, ops),
            Check::Set | Check::SetFull | Check::TotalQueue | Check::UniqueIds | Check::Counter => {
                return None;
            }
        })
    };
    let checks: Vec<CheckReport> = options
        .checks
        .iter()
        .filter_map(|&check| {
            Some(CheckReport {
                check,
                verdict: judge(check)?,
                tally: Tally::new(),
            })
        })
        .collect();
    let worst = checks.iter().map(|check| check.verdict.kind()).max();
    counts.checks = checks.len() as u64;
    PartReport {
        subject: Subject::Log(log),
        verdict: worst.unwrap_or(VerdictKind::Valid),
        counts,
        checks,
    }
}

/// A valid verdict is only given out once its witness has been replayed.
fn linearizability(facts: &LogFacts<'_>, ops: &[OpId]) -> Verdict {
    let verdict = log_check::check(facts, ops, log_check::STEPS_MAX);
    if let Verdict::Valid(witness) = &verdict
        && let Err(error) = replay(facts.history, ops, witness)
    {
        panic!("the checker is wrong about {}: {error}", facts.log);
    }
    verdict.without_witness()
}

impl Report {
    /// All anomalies that were kept, with the check that found them.
    pub fn anomalies(&self) -> impl Iterator<Item = (Check, &crate::anomaly::Anomaly)> {
        self.parts
            .iter()
            .flat_map(|part| &part.checks)
            .flat_map(|report| {
                let found = report.verdict.findings();
                let found = found.into_iter().flat_map(|findings| &findings.anomalies);
                found.map(|anomaly| (report.check, anomaly))
            })
    }
}

/// The report as text, for people.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { ops, checks, .. } = self.counts;
        let parts = match self.parts.len() {
            1 => "1 part".to_owned(),
            parts => format!("{parts} parts"),
        };
        writeln!(
            f,
            "{}: {ops} operations in {parts}, {checks} checks",
            self.verdict
        )?;
        for part in &self.parts {
            part.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for PartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}; {}", self.subject, self.verdict, self.counts)?;
        for report in &self.checks {
            let CheckReport { check, verdict, .. } = report;
            match verdict {
                Verdict::Valid(()) => writeln!(f, "  {check:16} valid")?,
                Verdict::Unknown(cause) => writeln!(f, "  {check:16} unknown: {cause}")?,
                Verdict::Invalid(findings) => {
                    let counts = findings.counts.iter();
                    let counts: Vec<String> = counts
                        .map(|(kind, count)| format!("{count} {kind}"))
                        .collect();
                    writeln!(f, "  {check:16} INVALID: {}", counts.join(", "))?;
                    for anomaly in &findings.anomalies {
                        for line in anomaly.to_string().lines() {
                            writeln!(f, "    {line}")?;
                        }
                    }
                }
            }
            let tally = report.tally.iter().filter(|&(_, &count)| count > 0);
            let tally: Vec<String> = tally
                .map(|(name, count)| format!("{count} {name}"))
                .collect();
            if !tally.is_empty() {
                writeln!(f, "    counted: {}", tally.join(", "))?;
            }
        }
        Ok(())
    }
}
