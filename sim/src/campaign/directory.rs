//! The campaign directory: it grows in place, and says whether it is complete.
//!
//! | file | when | content |
//! |---|---|---|
//! | `campaign.json` | from the beginning | what was asked for, and the revision ([`Asked`]) |
//! | `runs.jsonl` | from the beginning | a line for each run that is over ([`super::journal`]) |
//! | `seed-N/` | whole or not at all | a failure that is kept |
//! | `summary.json` | last, whole or not at all | what was found: the campaign is complete |
//!
//! So a process may be killed at any moment: what is there tells the next what is left to do. One process at a
//! time works on a directory; the lock is the system's, and goes with the process.

use std::fs::{self, File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};

use hstore_reports::damage::Damage;
use hstore_reports::directory::{CAMPAIGN_FILE, RUNS_FILE, SUMMARY_FILE};
use serde::Serialize;

use super::error::CampaignError;
use super::journal::Journal;
use super::request::Asked;
use crate::fresh_dir::{FreshDir, WriteError};
use crate::run_dir::write_value;

/// A campaign directory that this process works on.
#[derive(Debug)]
pub struct CampaignDir {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl CampaignDir {
    /// Opens the directory of a campaign that was begun for the same, or begins one where nothing is yet.
    ///
    /// # Errors
    /// If something else is there, or another campaign, or another process works on it, or the system
    /// refuses.
    pub fn open(path: &Path, asked: &Asked) -> Result<Self, CampaignError> {
        let file = path.join(CAMPAIGN_FILE);
        if !file.exists() {
            let fresh = FreshDir::stage(path)?;
            write_value(&fresh.path().join(CAMPAIGN_FILE), asked)?;
            let runs = fresh.path().join(RUNS_FILE);
            File::create_new(&runs).map_err(WriteError::at(&runs))?;
            fresh.publish()?;
        }
        let lock = File::open(&file).map_err(WriteError::at(&file))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let why =
                    "another process works on this campaign: wait until it is over, or end it";
                return Err(CampaignError::refused(path, why));
            }
            Err(TryLockError::Error(error)) => return Err(WriteError::at(&file)(error).into()),
        }
        if let Some(why) = Self::asked(path)?.refuses(asked) {
            return Err(CampaignError::refused(path, why));
        }
        remove_torn_runs(path)?;
        complete_the_last_step(path)?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// What the campaign at `path` was begun for.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn asked(path: &Path) -> Result<Asked, CampaignError> {
        let file = path.join(CAMPAIGN_FILE);
        let text = fs::read(&file).map_err(|error| {
            let why = "--resume goes on with a campaign that was begun with --out";
            Damage::whole(&file, format!("{error}: {why}"))
        })?;
        let asked =
            serde_json::from_slice(&text).map_err(|error| Damage::json(&file, 0, &error))?;
        Ok(asked)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether everything was done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.path.join(SUMMARY_FILE).exists()
    }

    /// Where its lines are.
    #[must_use]
    pub fn runs_file(&self) -> PathBuf {
        self.path.join(RUNS_FILE)
    }

    /// Puts the lines in order and writes the summary, which makes it complete.
    ///
    /// Both files are written and durable before the first gets its name, so that whoever finds the lines in
    /// order and no summary has to do no more than give that its name, too.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn complete(
        &self,
        journal: &Journal,
        summary: &impl Serialize,
    ) -> Result<(), CampaignError> {
        journal.write_sorted(&partial(&self.path, RUNS_FILE))?;
        let place = partial(&self.path, SUMMARY_FILE);
        let write = || {
            let mut file = File::create(&place)?;
            serde_json::to_writer_pretty(&mut file, summary)?;
            file.write_all(b"\n")?;
            file.sync_all()
        };
        write().map_err(WriteError::at(&place))?;
        give_name(&self.path, RUNS_FILE)?;
        give_name(&self.path, SUMMARY_FILE)?;
        Ok(())
    }
}

/// A file that is being written.
fn partial(directory: &Path, name: &str) -> PathBuf {
    directory.join(name).with_extension("partial")
}

/// Gives a file that is written its name. It has it after a power failure, too.
fn give_name(directory: &Path, name: &str) -> Result<(), WriteError> {
    let place = directory.join(name);
    let rename = || {
        fs::rename(partial(directory, name), &place)?;
        File::open(directory)?.sync_all()
    };
    rename().map_err(WriteError::at(&place))
}

/// Makes a campaign complete whose process was killed at its last step.
fn complete_the_last_step(directory: &Path) -> Result<(), WriteError> {
    let lines_are_in_order = !partial(directory, RUNS_FILE).exists();
    if lines_are_in_order && partial(directory, SUMMARY_FILE).exists() {
        give_name(directory, SUMMARY_FILE)?;
    }
    Ok(())
}

/// Removes what a killed process had written of a run directory.
fn remove_torn_runs(path: &Path) -> Result<(), WriteError> {
    for entry in fs::read_dir(path).map_err(WriteError::at(path))? {
        let entry = entry.map_err(WriteError::at(path))?;
        if entry.file_name().to_string_lossy().starts_with(".seed-") {
            let torn = entry.path();
            fs::remove_dir_all(&torn).map_err(WriteError::at(&torn))?;
        }
    }
    Ok(())
}
