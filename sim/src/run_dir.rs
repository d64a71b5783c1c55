//! What is kept of a run: its verdict, and the run directory.
//!
//! Nothing in it depends on the machine or on the time of day, so two run directories of one seed made
//! by one build are equal, byte for byte. [`hstore_reports::directory`] reads them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use hstore_reports::directory::{
    CAPSULE_FILE, HISTORY_FILE, LOG_FILE, OPTIONS_FILE, PAGE_FILE, PLAN_FILE, TRACE_FILE,
    VERDICT_FILE,
};
use hstore_reports::provenance::Provenance;
use hstore_reports::verdict::Lines;
use jepsen_lite::history::write_json;
use jepsen_lite::verdict::VerdictKind;
use serde::Serialize;

use crate::capsule::Capsule;
use crate::fresh_dir::WriteError;
use crate::outcome::Outcome;
use crate::page::page;
use crate::provenance::{REVISION, provenance};
use crate::report::RunReport;
use crate::run::RunArtifacts;
use crate::settings::Settings;

/// The program's name in commands that are kept in files.
pub const PROGRAM: &str = "hstore-sim";

/// A run's report with everything needed to make it again. Written as `verdict.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The report itself.
    #[serde(flatten)]
    pub report: RunReport,
    /// Where it comes from.
    pub provenance: Provenance,
    /// The command that makes the run again.
    pub reproduce: String,
    /// How long the files beside it are, if they are written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lines: Option<Lines>,
}

impl Verdict {
    /// The verdict of a run that was made with `settings`.
    #[must_use]
    pub fn new(report: RunReport, settings: &Settings) -> Self {
        let reproduce = settings.reproduce(PROGRAM, report.seed, REVISION);
        Self::with(report, reproduce)
    }

    /// The verdict of a run that this command makes again.
    #[must_use]
    pub fn with(report: RunReport, reproduce: String) -> Self {
        Self {
            reproduce,
            provenance: provenance(&report.options),
            report,
            lines: None,
        }
    }
}

/// Writes a run directory into `directory`, which exists and is empty. The run must have kept its trace.
///
/// # Errors
/// If a file cannot be written.
pub fn write(
    directory: &Path,
    artifacts: RunArtifacts,
    settings: &Settings,
) -> Result<Verdict, WriteError> {
    let reproduce = settings.reproduce(PROGRAM, artifacts.report.seed, REVISION);
    write_with(directory, artifacts, settings.stop_at_violation, reproduce)
}

/// The same of a run that another command makes again. `stop_at_violation` says how it was looked at.
///
/// # Errors
/// If a file cannot be written.
pub fn write_with(
    directory: &Path,
    artifacts: RunArtifacts,
    stop_at_violation: bool,
    reproduce: String,
) -> Result<Verdict, WriteError> {
    if artifacts.report.outcome != Outcome::Passed {
        let capsule = Capsule::of(&artifacts, stop_at_violation);
        write_capsule(&directory.join(CAPSULE_FILE), &capsule)?;
    }
    let RunArtifacts {
        report,
        steps: _,
        steps_began_us: _,
        effective: _,
        log,
        history,
        trace,
        judged,
        stuck: _,
        judging: _,
    } = artifacts;
    let mut verdict = Verdict::with(report, reproduce);
    verdict.lines = Some(Lines {
        history: history.events().len() as u64,
        trace: trace.len() as u64,
    });
    write_value(&directory.join(OPTIONS_FILE), &verdict.report.options)?;
    write_value(&directory.join(PLAN_FILE), &verdict.report.plan)?;
    write_file(&directory.join(HISTORY_FILE), |file| {
        write_json(&history, file)
    })?;
    write_file(&directory.join(TRACE_FILE), |file| {
        trace.iter().try_for_each(|event| writeln!(file, "{event}"))
    })?;
    if let Some(log) = log {
        write_file(&directory.join(LOG_FILE), |file| {
            file.write_all(log.as_bytes())
        })?;
    }
    if judged.verdict == VerdictKind::Invalid {
        write_file(&directory.join(PAGE_FILE), |file| {
            file.write_all(page(&verdict, &judged, &history).as_bytes())
        })?;
    }
    write_value(&directory.join(VERDICT_FILE), &verdict)?;
    Ok(verdict)
}

/// Writes a capsule.
///
/// # Errors
/// If there is a file already, or it cannot be written.
pub fn write_capsule(path: &Path, capsule: &Capsule) -> Result<(), WriteError> {
    write_file(path, |file| file.write_all(capsule.to_text().as_bytes()))
}

/// Writes `value` as JSON for people.
pub(crate) fn write_value(path: &Path, value: &impl Serialize) -> Result<(), WriteError> {
    write_file(path, |file| {
        serde_json::to_writer_pretty(&mut *file, value)?;
        file.write_all(b"\n")
    })
}

fn write_file(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>,
) -> Result<(), WriteError> {
    let all = || {
        let mut file = BufWriter::new(File::create_new(path)?);
        write(&mut file)?;
        file.flush()
    };
    all().map_err(WriteError::at(path))
}
