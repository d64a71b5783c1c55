//! `runs.jsonl` while it grows: which seeds are done, and what came of them.
//!
//! A line is appended for each run when it is over, in one write. A process that is killed leaves whole lines, and
//! at most one torn one at the end, which is dropped: its seed is run again, as are those that were under way.
//! Lines stand in the order in which runs ended until the campaign is complete; then they are put in the order
//! of seeds, without what they cost, so that two campaigns of the same runs have the same file.
//!
//! Invariants: a seed that has a line is never run again; of two lines of a seed, the later counts.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use hstore_reports::damage::Damage;

use super::error::CampaignError;
use super::line::RunLine;
use crate::fresh_dir::WriteError;

/// The lines of a campaign.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
    /// How long the campaign had taken when it was opened.
    used: Duration,
    /// The highest seed that was done when it was opened.
    last_seed: Option<u64>,
    lines: Mutex<Lines>,
}

/// Where lines are.
#[derive(Debug, Default)]
struct Lines {
    /// Of each seed that is done: the place of its line, and the length without the line feed.
    places: BTreeMap<u64, (u64, usize)>,
    /// The end of the last whole line.
    end: u64,
}

impl Journal {
    /// Opens the file, which exists, and drops a torn end.
    ///
    /// # Errors
    /// If it cannot be read or written, or has a line that is none of ours.
    pub fn open(path: &Path) -> Result<Self, CampaignError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .open(path)
            .map_err(WriteError::at(path))?;
        let mut lines = Lines::default();
        let mut used_us = 0;
        read_lines(path, |line, place, length| {
            used_us = used_us.max(line.spent.map_or(0, |spent| spent.campaign_us));
            lines.places.insert(line.seed, (place, length));
            lines.end = place + length as u64 + 1;
            Ok(())
        })?;
        file.set_len(lines.end).map_err(WriteError::at(path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            used: Duration::from_micros(used_us),
            last_seed: lines.places.keys().next_back().copied(),
            lines: Mutex::new(lines),
        })
    }

    /// How long the campaign had taken when it was opened.
    #[must_use]
    pub fn used(&self) -> Duration {
        self.used
    }

    /// Whether the seed was begun before the file was opened, so that it belongs to the campaign.
    #[must_use]
    pub fn was_begun(&self, seed: u64) -> bool {
        self.last_seed.is_some_and(|last| seed <= last)
    }

    /// The seeds that are done.
    #[must_use]
    pub fn seeds(&self) -> Vec<u64> {
        let lines = self.lines.lock().expect("no holder panics");
        lines.places.keys().copied().collect()
    }

    /// What came of a seed, if it is done.
    ///
    /// # Errors
    /// If the file cannot be read any more.
    pub fn find(&self, seed: u64) -> Result<Option<RunLine>, CampaignError> {
        let lines = self.lines.lock().expect("no holder panics");
        let Some(&(place, length)) = lines.places.get(&seed) else {
            return Ok(None);
        };
        drop(lines);
        let mut text = vec![0; length];
        self.file
            .read_exact_at(&mut text, place)
            .map_err(|error| Damage::whole(&self.path, error))?;
        let line = serde_json::from_slice(&text);
        Ok(Some(
            line.map_err(|error| Damage::json(&self.path, 0, &error))?,
        ))
    }

    /// Keeps what came of a seed.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn append(&self, line: &RunLine) -> Result<(), CampaignError> {
        let mut text = serde_json::to_vec(line).expect("a line is plain data");
        let length = text.len();
        text.push(b'\n');
        let mut lines = self.lines.lock().expect("no holder panics");
        let place = lines.end;
        if let Err(error) = (&self.file).write_all(&text) {
            // Others may still append: nothing torn may stand before what they do.
            let _ = self.file.set_len(place);
            return Err(WriteError::at(&self.path)(error).into());
        }
        lines.places.insert(line.seed, (place, length));
        lines.end = place + text.len() as u64;
        Ok(())
    }

    /// Writes the lines to `place`, in the order of seeds, without what they cost, and makes them durable.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn write_sorted(&self, place: &Path) -> Result<(), CampaignError> {
        let file = File::create(place).map_err(WriteError::at(place))?;
        let mut file = BufWriter::new(file);
        for seed in self.seeds() {
            let mut line = self.find(seed)?.expect("it is done");
            (line.spent, line.states) = (None, Vec::new());
            write_line(&mut file, &line).map_err(WriteError::at(place))?;
        }
        let synced = file.into_inner().map_err(io::IntoInnerError::into_error);
        synced
            .and_then(|file| file.sync_all())
            .map_err(WriteError::at(place))?;
        Ok(())
    }
}

/// Writes a line.
pub(super) fn write_line(file: &mut impl Write, line: &RunLine) -> io::Result<()> {
    let text = serde_json::to_string(line).expect("a line is plain data");
    writeln!(file, "{text}")
}

/// Calls `take` with each whole line of a file, its place, and its length without the line feed.
pub(super) fn read_lines(
    path: &Path,
    mut take: impl FnMut(RunLine, u64, usize) -> Result<(), CampaignError>,
) -> Result<(), CampaignError> {
    let mut lines = Reader::open(path)?;
    let mut place = 0;
    while let Some((line, length)) = lines.next_line()? {
        take(line, place, length)?;
        place += length as u64 + 1;
    }
    Ok(())
}

/// Reads lines one by one.
pub(super) struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    text: Vec<u8>,
    lines: u64,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, CampaignError> {
        let file = File::open(path).map_err(|error| Damage::whole(path, error))?;
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::new(file),
            text: Vec::new(),
            lines: 0,
        })
    }

    /// The next whole line, and its length without the line feed.
    pub(super) fn next_line(&mut self) -> Result<Option<(RunLine, usize)>, CampaignError> {
        self.text.clear();
        self.file
            .read_until(b'\n', &mut self.text)
            .map_err(|error| Damage::whole(&self.path, error))?;
        if self.text.pop() != Some(b'\n') {
            return Ok(None);
        }
        let line = serde_json::from_slice(&self.text);
        let line = line.map_err(|error| Damage::json(&self.path, self.lines, &error))?;
        self.lines += 1;
        Ok(Some((line, self.text.len())))
    }
}
