//! Which failures are kept whole: so many of each signature, the first ones, and no more bytes than fit.
//!
//! A failure that is kept is run again, with its trace. So a run that goes otherwise the second time is found
//! out.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::error::CampaignError;
use super::line::RunLine;
use crate::fresh_dir::{FreshDir, WriteError};
use crate::outcome::Outcome;
use crate::run::RunArtifacts;
use crate::run_dir;
use crate::settings::Settings;
use crate::signature::Signature;

/// So many failures of one signature, the first ones, are run again with their trace and get a run
/// directory.
pub const KEPT_OF_A_SIGNATURE_MAX: usize = 3;
/// More signatures are counted together, and nothing of them is kept.
pub const SIGNATURES_MAX: usize = 64;
/// All run directories of a campaign together are no larger, in bytes.
pub const KEPT_BYTES_MAX: u64 = 256 << 20;

/// The property that a failure violates if its run, made again for its run directory, went otherwise.
pub(super) const SAME_TRACE: &str = "same-seed-same-trace";

/// What is kept of the failures of a campaign.
pub(super) struct Kept {
    directory: PathBuf,
    bytes: u64,
    bytes_max: u64,
    of_signature: BTreeMap<Signature, usize>,
}

impl Kept {
    pub(super) fn new(directory: &Path, bytes_max: u64) -> Self {
        Self {
            directory: directory.to_owned(),
            bytes: 0,
            bytes_max,
            of_signature: BTreeMap::new(),
        }
    }

    /// Keeps a failure, the next in the order of seeds, if it is to be kept: what `again` finds, which makes the same
    /// run again, with its trace. `amend` is given its line if,
    /// made again, it went otherwise: before anything of it is kept.
    pub(super) fn failure(
        &mut self,
        line: &mut RunLine,
        settings: &Settings,
        again: impl FnOnce() -> RunArtifacts,
        amend: impl FnOnce(&RunLine) -> Result<(), CampaignError>,
    ) -> Result<(), CampaignError> {
        let Some(signature) = line.signature.clone() else {
            return Ok(());
        };
        if !self.wants(&signature) {
            return Ok(());
        }
        let place = self.place(line.seed);
        if !place.exists() {
            let artifacts = again();
            if artifacts.report.trace_hash != line.trace_hash {
                let unlike = Signature {
                    outcome: Outcome::NonDeterministic,
                    checker: "campaign".to_owned(),
                    property: SAME_TRACE.to_owned(),
                    about: String::new(),
                };
                line.outcome = unlike.outcome;
                line.signature = Some(unlike.clone());
                amend(line)?;
                // It counts as what its line says: a campaign that goes on reads no more than that.
                self.forget(&signature);
                if !self.wants(&unlike) {
                    return Ok(());
                }
            }
            let fresh = FreshDir::stage(&place)?;
            run_dir::write(fresh.path(), artifacts, settings)?;
            // Dropped, it is removed.
            if self.has_room(bytes_of(fresh.path())?) {
                fresh.publish()?;
            }
            return Ok(());
        }
        self.bytes += bytes_of(&place)?;
        Ok(())
    }

    /// Where the failure of a seed is kept.
    pub(super) fn place(&self, seed: u64) -> PathBuf {
        self.directory.join(seed_dir(seed))
    }

    /// Takes so many bytes, if they fit; if not, nothing fits any more.
    pub(super) fn has_room(&mut self, bytes: u64) -> bool {
        let sum = self.bytes.saturating_add(bytes);
        self.bytes = sum.min(self.bytes_max);
        sum <= self.bytes_max
    }

    /// Takes back that a failure was counted.
    fn forget(&mut self, signature: &Signature) {
        let kept = self
            .of_signature
            .get_mut(signature)
            .expect("it was counted");
        *kept -= 1;
        if *kept == 0 {
            self.of_signature.remove(signature);
        }
    }

    /// Counts a failure, and says whether it is one of the first of its signature and there is room.
    pub(super) fn wants(&mut self, signature: &Signature) -> bool {
        let full = self.of_signature.len() == SIGNATURES_MAX;
        if full && !self.of_signature.contains_key(signature) {
            return false;
        }
        let kept = self.of_signature.entry(signature.clone()).or_default();
        *kept += 1;
        *kept <= KEPT_OF_A_SIGNATURE_MAX && self.bytes < self.bytes_max
    }
}

/// The name of the run directory of a seed.
pub(super) fn seed_dir(seed: u64) -> String {
    format!("seed-{seed}")
}

/// The bytes of all files of a directory.
pub(super) fn bytes_of(directory: &Path) -> Result<u64, WriteError> {
    let sum = || -> io::Result<u64> {
        let mut bytes = 0;
        for entry in fs::read_dir(directory)? {
            bytes += entry?.metadata()?.len();
        }
        Ok(bytes)
    };
    sum().map_err(WriteError::at(directory))
}
