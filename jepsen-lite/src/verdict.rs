//! What a checker says: valid, invalid with evidence, or unknown with the cause.

use std::collections::BTreeMap;
use std::fmt;

use hstore_core::Lsn;
use serde::{Deserialize, Serialize};

use crate::anomaly::{Anomaly, AnomalyKind};
use crate::history::{OpId, lsn_text};

/// So many anomalies of a kind are kept with their certificates; the others are counted. A system
/// that is broken once is often broken everywhere, and nobody reads the millionth certificate.
pub const MAX_CERTIFICATES_PER_KIND: usize = 16;

/// What a checker says of a history. `W` is what it shows for a valid one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict<W = ()> {
    /// The property holds.
    Valid(W),
    /// It does not.
    Invalid(Findings),
    /// The history does not say enough.
    Unknown(UnknownCause),
}

/// A verdict without its evidence. The order is that of composition: the whole is as bad as its
/// worst part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictKind {
    /// The property holds.
    Valid,
    /// The history does not say enough.
    Unknown,
    /// The property does not hold.
    Invalid,
}

impl fmt::Display for VerdictKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Valid => "valid",
            Self::Unknown => "unknown",
            Self::Invalid => "INVALID",
        })
    }
}

impl<W> Verdict<W> {
    /// Without the evidence.
    #[must_use]
    pub fn kind(&self) -> VerdictKind {
        match self {
            Self::Valid(_) => VerdictKind::Valid,
            Self::Unknown(_) => VerdictKind::Unknown,
            Self::Invalid(_) => VerdictKind::Invalid,
        }
    }

    /// The anomalies, if there are some.
    #[must_use]
    pub fn findings(&self) -> Option<&Findings> {
        match self {
            Self::Invalid(findings) => Some(findings),
            Self::Valid(_) | Self::Unknown(_) => None,
        }
    }

    /// The same verdict with less to show for a valid history.
    #[must_use]
    pub fn without_witness(self) -> Verdict {
        match self {
            Self::Valid(_) => Verdict::Valid(()),
            Self::Invalid(findings) => Verdict::Invalid(findings),
            Self::Unknown(cause) => Verdict::Unknown(cause),
        }
    }
}

/// Why a history does not say enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum UnknownCause {
    /// Records were acknowledged, but no final read says whether they are still there.
    NoFinalRead {
        /// How many records were acknowledged.
        acked: u64,
    },
    /// The final reads do not cover all acknowledged records.
    NotReadBack {
        /// How many records they do not cover.
        records: u64,
        /// The append of the lowest of them.
        first: OpId,
        /// Its LSN.
        #[serde(with = "lsn_text")]
        lsn: Lsn,
    },
    /// Two polls of one incarnation of a subscription overlap, so nobody knows which came first.
    ConcurrentPolls {
        /// The one that was invoked first.
        first: OpId,
        /// The other.
        second: OpId,
    },
    /// No read says what became of the elements of a set.
    NeverRead {
        /// How many adds there were.
        attempts: u64,
    },
    /// Elements are missing from the last read of a set, but were not added for sure before it began.
    AddedTooLate {
        /// How many.
        elements: u64,
    },
    /// Elements of a queue did not come out, but nobody knows what a drain took that has no answer.
    DrainUnknown {
        /// The drain.
        drain: OpId,
        /// How many elements.
        elements: u64,
    },
    /// The search for an order took too many steps.
    OutOfBudget {
        /// How many were made.
        steps: u64,
    },
    /// Somebody ended the search for an order.
    Interrupted {
        /// How many steps it had made.
        steps: u64,
    },
    /// Unknown appends that nobody saw may explain what nothing else does, but there are too many ways in
    /// which they may.
    Ambiguous {
        /// How many unknown appends nobody saw.
        appends: u64,
        /// How many operations were looked at before the search was given up.
        steps: u64,
    },
}

impl fmt::Display for UnknownCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoFinalRead { acked } => {
                write!(
                    f,
                    "{acked} records were acknowledged, but no final read returned"
                )
            }
            Self::NotReadBack {
                records,
                first,
                lsn,
            } => write!(
                f,
                "the final reads do not cover {records} acknowledged records, from {lsn} ({first}) on"
            ),
            Self::ConcurrentPolls { first, second } => write!(
                f,
                "{first} and {second} are polls of one incarnation of a subscription, and overlap"
            ),
            Self::NeverRead { attempts } => write!(
                f,
                "of {attempts} elements that were added none is known to have stayed: no later read says so"
            ),
            Self::AddedTooLate { elements } => write!(
                f,
                "{elements} elements are missing from the last read, but were still being added when it began"
            ),
            Self::DrainUnknown { drain, elements } => write!(
                f,
                "{elements} elements did not come out, but nobody knows what {drain} took"
            ),
            Self::OutOfBudget { steps } => write!(
                f,
                "no order was found in {steps} steps, and none ruled out; allow more with --steps"
            ),
            Self::Interrupted { steps } => {
                write!(
                    f,
                    "interrupted after {steps} steps of the search for an order"
                )
            }
            Self::Ambiguous { appends, steps } => write!(
                f,
                "any of {appends} unknown appends may explain what nobody saw; given up after {steps} steps; \
                 read all that was appended, before it is trimmed and at the end"
            ),
        }
    }
}

/// The anomalies that a checker found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// How many of each kind.
    pub counts: BTreeMap<AnomalyKind, u64>,
    /// The first [`MAX_CERTIFICATES_PER_KIND`] of each kind.
    pub anomalies: Vec<Anomaly>,
}

impl Findings {
    /// Counts an anomaly, and certifies it if it is among the first of its kind.
    pub(crate) fn add(&mut self, kind: AnomalyKind, certify: impl FnOnce() -> Anomaly) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= MAX_CERTIFICATES_PER_KIND as u64 {
            let anomaly = certify();
            assert_eq!(anomaly.kind, kind, "an anomaly is counted under its name");
            self.anomalies.push(anomaly);
        }
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// How many were found.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// Invalid if something was found, else what `otherwise` says.
    pub(crate) fn verdict_or<W>(self, otherwise: impl FnOnce() -> Verdict<W>) -> Verdict<W> {
        if self.is_empty() {
            otherwise()
        } else {
            Verdict::Invalid(self)
        }
    }
}
