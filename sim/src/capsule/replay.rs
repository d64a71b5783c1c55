//! Making the run of a capsule again.

use serde::Serialize;

use super::Capsule;
use crate::outcome::Outcome;
use crate::provenance::{REVISION, revision_note};
use crate::run::{RunArtifacts, View, run_course};
use crate::signature::Signature;

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// How the run ended now.
    pub outcome: Outcome,
    /// What failure it is, if it is one.
    pub signature: Option<Signature>,
    /// The hash over all its events.
    pub trace_hash: String,
    /// Whether it ended as the capsule says.
    pub same_outcome: bool,
    /// Whether it is the same failure, or none as before.
    pub same_signature: bool,
    /// Whether it was the same run, event by event. Told only where it has to be: by the same revision.
    pub same_trace: Option<bool>,
    /// Whether, where the trace is another one than in the capsule, it is the same when the run is made once
    /// more: then it is the capsule that was edited.
    pub is_deterministic: bool,
    /// What to know about the revision of the capsule.
    pub note: Option<String>,
}

impl Replay {
    /// Whether the capsule's failure was reproduced; or that it passes, if it passed.
    #[must_use]
    pub fn is_reproduced(&self) -> bool {
        self.same_outcome && self.same_signature && self.is_deterministic
    }

    /// How the run ended, if it ends so every time.
    #[must_use]
    pub fn verdict(&self) -> Outcome {
        if self.is_deterministic {
            self.outcome
        } else {
            Outcome::NonDeterministic
        }
    }
}

impl Capsule {
    /// Makes the run again.
    #[must_use]
    pub fn replay(&self, record_trace: bool) -> (Replay, RunArtifacts) {
        let view = View {
            stop_at_violation: self.stop_at_violation,
            record_trace,
            ..View::default()
        };
        let artifacts = run_course(self.course(), view);
        let mut replay = self.compare(&artifacts);
        if replay.same_trace == Some(false) {
            let again = run_course(self.course(), view);
            replay.is_deterministic = again.report.trace_hash == replay.trace_hash;
        }
        (replay, artifacts)
    }

    fn compare(&self, artifacts: &RunArtifacts) -> Replay {
        let report = &artifacts.report;
        let signature = Signature::of(report.outcome, report.violation.as_ref());
        let note = revision_note(&self.revision, REVISION);
        Replay {
            outcome: report.outcome,
            same_outcome: report.outcome == self.outcome,
            same_signature: signature == self.signature,
            is_deterministic: true,
            same_trace: note.is_none().then(|| report.trace_hash == self.trace_hash),
            trace_hash: report.trace_hash.clone(),
            signature,
            note,
        }
    }
}
