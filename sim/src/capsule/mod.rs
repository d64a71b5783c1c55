//! Capsules: a run as a file, whole enough to be made again, small enough to be read and changed by hand.
//!
//! A seed says everything about a run as long as the code is the same that draws from it. A capsule has what was
//! drawn: the options, the plan, and what each client did. It survives changes of the code that draws, and can be
//! edited, shrunk and explained. What is left to the seed in it is chance below the plan: how long messages take,
//! what a power failure spares.
//!
//! Invariant: a capsule that was [`read`](Capsule::read) or made here is sound: it can be run. What is wrong with
//! one that was edited is said with its place.

mod check;
mod replay;
mod write;

use std::io;
use std::path::{Path, PathBuf};

use hstore_workloads::Step;
use serde::{Deserialize, Serialize};

pub use check::{Flaw, check_course};
pub use replay::Replay;

use crate::options::SimOptions;
use crate::outcome::Outcome;
use crate::plan::FaultPlan;
use crate::provenance::REVISION;
use crate::run::{Course, RunArtifacts};
use crate::signature::Signature;

/// The version of the format that is read and written.
pub const FORMAT: u32 = 1;

/// A run as a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capsule {
    /// The version of the format.
    pub format: u32,
    /// The revision that made the run.
    pub revision: String,
    /// What it shows, for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// How the run ended.
    pub outcome: Outcome,
    /// What failure it is, if it is one.
    pub signature: Option<Signature>,
    /// The hash over all events, in hexadecimal. The same only where the same revision runs the same.
    pub trace_hash: String,
    /// Whether the run stops at the step at which what clients saw can no longer be right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stop_at_violation: bool,
    /// What the run is made of.
    pub options: SimOptions,
    /// What goes wrong, and which logs are moved.
    pub plan: FaultPlan,
    /// What clients did until the run ended. Absent: they do what the seed draws.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<Step>>,
}

/// Why a capsule cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CapsuleError {
    /// The file cannot be read.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// It is no capsule.
    #[error("{path}: this is no capsule: {error}", path = path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        error: serde_json::Error,
    },
    /// It is one that cannot be run.
    #[error("{path}: {flaw}", path = path.display())]
    Flawed {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        flaw: Flaw,
    },
}

impl Capsule {
    /// The capsule of a run.
    #[must_use]
    pub fn of(artifacts: &RunArtifacts, stop_at_violation: bool) -> Self {
        let report = &artifacts.report;
        let mut options = report.options.clone();
        // A run that stopped early did fewer than was meant.
        options.workload.operations = artifacts.steps.len() as u32;
        Self {
            format: FORMAT,
            revision: REVISION.to_owned(),
            about: String::new(),
            outcome: report.outcome,
            signature: Signature::of(report.outcome, report.violation.as_ref()),
            trace_hash: report.trace_hash.clone(),
            stop_at_violation,
            options,
            plan: report.plan.clone(),
            operations: Some(artifacts.steps.clone()),
        }
    }

    /// Reads and checks one.
    ///
    /// # Errors
    /// If there is none at `path`, or none that can be run.
    pub fn read(path: &Path) -> Result<Self, CapsuleError> {
        let text = std::fs::read_to_string(path).map_err(|error| CapsuleError::Io {
            path: path.to_owned(),
            error,
        })?;
        let capsule: Self = serde_json::from_str(&text).map_err(|error| CapsuleError::Json {
            path: path.to_owned(),
            error,
        })?;
        capsule.check().map_err(|flaw| CapsuleError::Flawed {
            path: path.to_owned(),
            flaw,
        })?;
        Ok(capsule)
    }

    /// What a run of it follows from.
    #[must_use]
    pub fn course(&self) -> Course {
        Course {
            options: self.options.clone(),
            plan: self.plan.clone(),
            steps: self.operations.clone(),
        }
    }
}
