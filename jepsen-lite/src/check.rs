//! All checks of a history, put together.
//!
//! Logs are independent, so each is judged alone. The verdict on the whole is that of the worst part:
//! invalid, else unknown, else valid.

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
use crate::order;
use crate::prefix;
use crate::replay::replay;
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
}

impl Check {
    /// Every one there is.
    pub const ALL: [Self; 4] = [
        Self::Linearizability,
        Self::Durability,
        Self::Order,
        Self::PrefixAgreement,
    ];

    /// Its name, as people write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Linearizability => "linearizability",
            Self::Durability => "durability",
            Self::Order => "order",
            Self::PrefixAgreement => "prefix-agreement",
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
#[error("no check is named `{0}`: there are linearizability, durability, order, prefix-agreement")]
pub struct UnknownCheck(String);

impl FromStr for Check {
    type Err = UnknownCheck;

    fn from_str(name: &str) -> Result<Self, UnknownCheck> {
        let mut all = Self::ALL.into_iter();
        all.find(|check| check.name() == name)
            .ok_or_else(|| UnknownCheck(name.to_owned()))
    }
}

/// What to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckOptions {
    /// These properties, of every log.
    pub checks: BTreeSet<Check>,
}

impl Default for CheckOptions {
    /// Everything.
    fn default() -> Self {
        Self {
            checks: Check::ALL.into(),
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
    /// Of operations of a log.
    fn of(history: &History, ops: &[OpId]) -> Self {
        let mut by_kind = [Ends::default(); OpKind::ALL.len()];
        let mut counts = Self {
            ops: ops.len() as u64,
            ..Self::default()
        };
        for op in ops.iter().map(|&id| history.op(id)) {
            let kind = op.kind();
            by_kind[kind as usize].count(op.status());
            if op.is_read() {
                counts.records_read += op.records_read();
                counts.final_reads += u64::from(op.is_final_read());
            }
        }
        let all = OpKind::ALL.into_iter().zip(by_kind);
        counts.by_kind = all
            .filter(|(_, ends)| *ends != Ends::default())
            .map(|(kind, ends)| (kind.to_string(), ends))
            .collect();
        counts
    }

    /// How operations of a kind ended.
    #[must_use]
    pub fn of_kind(&self, kind: &str) -> Ends {
        self.by_kind.get(kind).copied().unwrap_or_default()
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
    let checks: Vec<CheckReport> = options
        .checks
        .iter()
        .map(|&check| CheckReport {
            check,
            verdict: match check {
                Check::Linearizability => linearizability(&facts, ops),
                Check::Durability => durability::check(&facts, ops),
                Check::Order => order::check(history, log, ops),
                Check::PrefixAgreement => prefix::check(&facts),
            },
        })
        .collect();
    let worst = checks.iter().map(|check| check.verdict.kind()).max();
    let mut counts = Counts::of(history, ops);
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
        for CheckReport { check, verdict } in &self.checks {
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
        }
        Ok(())
    }
}
