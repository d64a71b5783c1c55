//! All checks of a history, put together.
//!
//! Logs are independent, so each is judged alone. The verdict on the whole is that of the worst part:
//! invalid, else unknown, else valid.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use hstore_core::LogId;
use serde::{Deserialize, Serialize};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worst of all verdicts below.
    pub verdict: VerdictKind,
    /// What was judged.
    pub counts: Counts,
    /// Log by log.
    pub logs: Vec<LogReport>,
}

/// What came out, for one log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogReport {
    /// Which.
    pub log: LogId,
    /// The worst of its verdicts.
    pub verdict: VerdictKind,
    /// What was judged.
    pub counts: Counts,
    /// Check by check.
    pub checks: Vec<CheckReport>,
}

/// What came out of one check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    /// Which.
    pub check: Check,
    /// What it says.
    pub verdict: Verdict,
}

/// How many operations were judged, by kind and by end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// All of them.
    pub ops: u64,
    /// Appends that were acknowledged.
    pub appends_ok: u64,
    /// Appends that certainly had no effect.
    pub appends_failed: u64,
    /// Appends of unknown outcome.
    pub appends_unknown: u64,
    /// Reads that were answered.
    pub reads_ok: u64,
    /// The marked ones among them.
    pub final_reads_ok: u64,
    /// Records that they returned, all together.
    pub records_read: u64,
    /// Tails that were answered.
    pub tails_ok: u64,
    /// Reads and tails that were not answered; they say nothing.
    pub unanswered: u64,
    /// Verdicts that were reached.
    pub checks: u64,
}

impl Counts {
    fn of(history: &History, ops: &[OpId]) -> Self {
        let mut counts = Self::default();
        for op in ops.iter().map(|&id| history.op(id)) {
            counts.ops += 1;
            let counter = match (op.kind(), op.status()) {
                (OpKind::Append, Status::Ok) => &mut counts.appends_ok,
                (OpKind::Append, Status::Fail) => &mut counts.appends_failed,
                (OpKind::Append, Status::Info | Status::Open) => &mut counts.appends_unknown,
                (OpKind::Read, Status::Ok) => &mut counts.reads_ok,
                (OpKind::Tail, Status::Ok) => &mut counts.tails_ok,
                (OpKind::Read | OpKind::Tail, Status::Fail | Status::Info | Status::Open) => {
                    &mut counts.unanswered
                }
            };
            *counter += 1;
            if let Some(crate::history::Answer::Read(read)) = op.answer() {
                counts.records_read += read.records.len() as u64;
                counts.final_reads_ok += u64::from(read.is_final);
            }
        }
        counts
    }

    fn add(&mut self, other: &Self) {
        let Self {
            ops,
            appends_ok,
            appends_failed,
            appends_unknown,
            reads_ok,
            final_reads_ok,
            records_read,
            tails_ok,
            unanswered,
            checks,
        } = other;
        self.ops += ops;
        self.appends_ok += appends_ok;
        self.appends_failed += appends_failed;
        self.appends_unknown += appends_unknown;
        self.reads_ok += reads_ok;
        self.final_reads_ok += final_reads_ok;
        self.records_read += records_read;
        self.tails_ok += tails_ok;
        self.unanswered += unanswered;
        self.checks += checks;
    }
}

/// Judges a history.
#[must_use]
pub fn check(history: &History, options: &CheckOptions) -> Report {
    let logs: Vec<LogReport> = history
        .by_log()
        .into_iter()
        .map(|(log, ops)| check_log(history, log, &ops, options))
        .collect();
    let mut counts = Counts::default();
    for log in &logs {
        counts.add(&log.counts);
    }
    let worst = logs.iter().map(|log| log.verdict).max();
    Report {
        verdict: worst.unwrap_or(VerdictKind::Valid),
        counts,
        logs,
    }
}

fn check_log(history: &History, log: LogId, ops: &[OpId], options: &CheckOptions) -> LogReport {
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
    LogReport {
        log,
        verdict: worst.unwrap_or(VerdictKind::Valid),
        counts,
        checks,
    }
}

/// A valid verdict is only given out once its witness has been replayed.
fn linearizability(facts: &LogFacts<'_>, ops: &[OpId]) -> Verdict {
    let verdict = log_check::check(facts);
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
        self.logs
            .iter()
            .flat_map(|log| &log.checks)
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
        let logs = self.logs.len();
        writeln!(
            f,
            "{}: {ops} operations, {logs} logs, {checks} checks",
            self.verdict
        )?;
        for log in &self.logs {
            log.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for LogReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        writeln!(
            f,
            "{}: {}; appends {} ok, {} failed, {} unknown; reads {} ({} final), {} records; tails {}; unanswered {}",
            self.log,
            self.verdict,
            counts.appends_ok,
            counts.appends_failed,
            counts.appends_unknown,
            counts.reads_ok,
            counts.final_reads_ok,
            counts.records_read,
            counts.tails_ok,
            counts.unanswered,
        )?;
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
