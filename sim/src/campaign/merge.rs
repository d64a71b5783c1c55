//! Uniting the shards of a campaign: what they found together is what one machine would have found.
//!
//! Their lines are read in the order of seeds, as one campaign takes its results; so all that is made of them is
//! equal to what a campaign without shards has, but for what it cost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hstore_reports::campaign::Campaign;
use hstore_reports::damage::Damage;
use hstore_reports::directory::{CAMPAIGN_FILE, RUNS_FILE, SUMMARY_FILE, read_campaign};

use serde::Deserialize;

use super::directory::CampaignDir;
use super::error::CampaignError;
use super::journal::{Reader, write_line};
use super::kept::{KEPT_BYTES_MAX, Kept, bytes_of, seed_dir};
use super::line::RunLine;
use super::request::{Asked, CampaignRequest};
use super::summary::Summary;
use super::totals::{Frame, Totals};
use crate::canary::Canary;
use crate::fresh_dir::{FreshDir, WriteError};
use crate::run_dir::write_value;
use crate::shard::Shard;

/// The shards of one campaign, as they were found.
#[derive(Debug)]
pub struct Shards {
    /// In the order of their numbers.
    parts: Vec<Part>,
    /// The numbers of those that are not there.
    missing: Vec<u64>,
}

#[derive(Debug)]
struct Part {
    path: PathBuf,
    asked: Asked,
    campaign: Campaign,
    canary: Option<Canary>,
}

/// What is taken over of a shard's summary as it is.
#[derive(Deserialize)]
struct TakenOver {
    #[serde(default)]
    canary: Option<Canary>,
}

impl Shards {
    /// Reads what the shards were asked for and found.
    ///
    /// # Errors
    /// If one cannot be read or is not complete, if two are the same, or are not of the same campaign and
    /// revision.
    ///
    /// # Panics
    /// If there is none.
    pub fn read(paths: &[PathBuf]) -> Result<Self, CampaignError> {
        let mut parts: Vec<Part> = paths
            .iter()
            .map(|path| Part::read(path))
            .collect::<Result<_, _>>()?;
        parts.sort_by_key(|it| it.asked.shard.index());
        let first = parts.first().expect("there is a shard");
        for (at, part) in parts.iter().enumerate().skip(1) {
            if let Some(why) = differs(first, part) {
                return Err(CampaignError::refused(&part.path, why));
            }
            let before = &parts[at - 1];
            if before.asked.shard == part.asked.shard {
                let why = format!(
                    "it is shard {}, and so is {}: name each shard once",
                    part.asked.shard,
                    before.path.display()
                );
                return Err(CampaignError::refused(&part.path, why));
            }
        }
        let there: Vec<u64> = parts.iter().map(|it| it.asked.shard.index()).collect();
        let all = 0..first.asked.shard.count();
        let missing = all.filter(|index| !there.contains(index)).collect();
        Ok(Self { parts, missing })
    }

    /// Those that are not there, in words; nothing if all are.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let count = self.parts[0].asked.shard.count();
        let names: Vec<String> = self
            .missing
            .iter()
            .map(|index| format!("{index}/{count}"))
            .collect();
        (!names.is_empty()).then(|| names.join(", "))
    }

    /// The arguments that ask for all of the campaign.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        whole(&self.parts[0].asked).arguments
    }

    /// Unites what they found, and keeps it as the directory of one campaign, if there is a place for it.
    /// `request` is what the shards together were asked for.
    ///
    /// # Errors
    /// If a file cannot be read or written, or a shard has a seed that it should not have.
    pub fn unite(
        &self,
        request: &CampaignRequest,
        place: Option<&Path>,
    ) -> Result<Summary, CampaignError> {
        let fresh = place.map(FreshDir::stage).transpose()?;
        let runs_file = fresh.as_ref().map(|it| it.path().join(RUNS_FILE));
        let create = |path: &PathBuf| File::create_new(path).map_err(WriteError::at(path));
        let mut runs = runs_file
            .as_ref()
            .map(create)
            .transpose()?
            .map(BufWriter::new);
        let mut totals = Totals::new();
        let mut kept = fresh
            .as_ref()
            .map(|it| Kept::new(it.path(), KEPT_BYTES_MAX));
        self.lines(|line, part| {
            if let (Some(runs), Some(file)) = (&mut runs, &runs_file) {
                write_line(runs, line).map_err(WriteError::at(file))?;
            }
            if let Some(kept) = &mut kept {
                kept.copy(line, &part.path)?;
            }
            totals.add(line);
            Ok(())
        })?;
        let longest = self.parts.iter().map(|it| it.campaign.wall_seconds);
        let frame = Frame {
            complete: self.missing.is_empty(),
            wall: Duration::try_from_secs_f64(longest.fold(0.0, f64::max)).unwrap_or_default(),
            tried: Duration::try_from_secs_f64(self.sum(|it| it.wall_seconds)).unwrap_or_default(),
            // Each shard had the same.
            canary: self.parts[0].canary.clone(),
            provenance: self.parts[0].asked.provenance.clone(),
        };
        let mut summary = totals.summary(request, frame);
        self.add_costs(&mut summary);
        // Each shard guides itself; which states it saw is not kept.
        summary.abstract_states = None;
        if let (Some(fresh), Some(mut runs), Some(file)) = (fresh, runs, runs_file) {
            runs.flush().map_err(WriteError::at(&file))?;
            let asked = whole(&self.parts[0].asked);
            write_value(&fresh.path().join(CAMPAIGN_FILE), &asked)?;
            write_value(&fresh.path().join(SUMMARY_FILE), &summary)?;
            fresh.publish()?;
        }
        Ok(summary)
    }

    /// What the shards cost together.
    fn add_costs(&self, summary: &mut Summary) {
        summary.run_seconds = self.sum(|it| it.run_seconds);
        let judging = self.sum(|it| it.run_seconds * it.judging_share);
        summary.judging_share = super::totals::share(judging, summary.run_seconds);
        let peaks = self.parts.iter().map(|it| it.campaign.peak_rss_bytes);
        summary.peak_rss_bytes = peaks.flatten().max();
        let jobs: usize = self.parts.iter().map(|it| it.campaign.jobs).sum();
        summary.jobs = NonZeroUsize::new(jobs).unwrap_or(NonZeroUsize::MIN);
    }

    /// A figure of all shards together.
    fn sum(&self, of: fn(&Campaign) -> f64) -> f64 {
        self.parts.iter().map(|it| of(&it.campaign)).sum()
    }

    /// Calls `take` with all lines in the order of seeds.
    fn lines(
        &self,
        mut take: impl FnMut(&RunLine, &Part) -> Result<(), CampaignError>,
    ) -> Result<(), CampaignError> {
        let files = self
            .parts
            .iter()
            .map(|it| Reader::open(&it.path.join(RUNS_FILE)));
        let mut files: Vec<Reader> = files.collect::<Result<_, _>>()?;
        // The next line of each shard, the lowest seed on top.
        let mut next = BinaryHeap::new();
        let mut lines: Vec<Option<RunLine>> = Vec::new();
        for (at, file) in files.iter_mut().enumerate() {
            let line = file.next_line()?.map(|(line, _)| line);
            next.extend(line.as_ref().map(|line| Reverse((line.seed, at))));
            lines.push(line);
        }
        let mut expected: Vec<_> = self.parts.iter().map(Part::seeds).collect();
        while let Some(Reverse((seed, at))) = next.pop() {
            let part = &self.parts[at];
            if expected[at].next() != Some(seed) {
                let shard = part.asked.shard;
                let why = format!(
                    "{RUNS_FILE} has seed {seed} where shard {shard} has another: the file was changed"
                );
                return Err(CampaignError::refused(&part.path, why));
            }
            let line = lines[at].take().expect("it is next");
            take(&line, part)?;
            lines[at] = files[at].next_line()?.map(|(line, _)| line);
            next.extend(lines[at].as_ref().map(|line| Reverse((line.seed, at))));
        }
        // As many as a summary says there are, no line is missing at an end.
        Ok(())
    }
}

impl Part {
    fn read(path: &Path) -> Result<Self, CampaignError> {
        let asked = CampaignDir::asked(path)?;
        let campaign = read_campaign(path)?;
        let file = path.join(SUMMARY_FILE);
        let text = fs::read(&file).map_err(|error| Damage::whole(&file, error))?;
        let TakenOver { canary } =
            serde_json::from_slice(&text).map_err(|error| Damage::json(&file, 0, &error))?;
        Ok(Self {
            path: path.to_owned(),
            campaign,
            canary,
            asked,
        })
    }

    /// The seeds that it should have, in order.
    fn seeds(&self) -> impl Iterator<Item = u64> + use<> {
        self.asked.shard.seeds(self.asked.seeds)
    }
}

/// Why `part` is not a shard of the same campaign as `first`; nothing if it is.
fn differs(first: &Part, part: &Part) -> Option<String> {
    let count = |part: &Part| part.asked.shard.count();
    if count(first) != count(part) {
        return Some(format!(
            "it is shard {}, and {} is shard {}: shards of one campaign are of the same number",
            part.asked.shard,
            first.path.display(),
            first.asked.shard
        ));
    }
    let (one, other) = (whole(&first.asked), whole(&part.asked));
    if one == other {
        return None;
    }
    let place = first.path.display();
    if one.provenance.revision != other.provenance.revision
        || one.provenance.lock_hash != other.provenance.lock_hash
    {
        return Some(format!(
            "revision {} found it, and {place} was found by {}: shards are united that the same build ran",
            other.provenance.revision, one.provenance.revision
        ));
    }
    Some(format!(
        "it was begun with `{}`, and {place} with `{}`: they are not of one campaign",
        other.arguments.join(" "),
        one.arguments.join(" ")
    ))
}

/// What the campaign was asked for that this is a shard of.
fn whole(asked: &Asked) -> Asked {
    let mut whole = asked.clone();
    whole.shard = Shard::WHOLE;
    if let Some(at) = whole.arguments.iter().position(|word| word == "--shard") {
        whole.arguments.drain(at..at + 2);
    }
    whole
}

impl Kept {
    /// Copies a failure, the next in the order of seeds, from the shard at `from`, if it is to be kept and the shard
    /// has kept it.
    fn copy(&mut self, line: &RunLine, from: &Path) -> Result<(), CampaignError> {
        let Some(signature) = &line.signature else {
            return Ok(());
        };
        let from = from.join(seed_dir(line.seed));
        if !self.wants(signature) || !from.exists() || !self.has_room(bytes_of(&from)?) {
            return Ok(());
        }
        let place = self.place(line.seed);
        fs::create_dir(&place).map_err(WriteError::at(&place))?;
        for entry in fs::read_dir(&from).map_err(WriteError::at(&from))? {
            let file = entry.map_err(WriteError::at(&from))?;
            let to = place.join(file.file_name());
            fs::copy(file.path(), &to).map_err(WriteError::at(&to))?;
        }
        Ok(())
    }
}
