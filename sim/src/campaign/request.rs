//! What a campaign is asked for, and how that is kept: `campaign.json`.

use std::num::NonZeroUsize;
use std::time::Duration;

use hstore_reports::provenance::Provenance;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::provenance::{hash, provenance};
use crate::seed_range::SeedRange;
use crate::settings::{Settings, shell_line};
use crate::shard::Shard;

/// The seeds of a campaign that only time ends.
pub const ALL_SEEDS: SeedRange = SeedRange::from(1);

/// Which seeds to run, and with what.
#[derive(Clone, Debug)]
pub struct CampaignRequest {
    /// The seeds.
    pub seeds: SeedRange,
    /// No seed is begun once the campaign has taken so long; absent: only the seeds end it.
    pub time: Option<Duration>,
    /// Which part of the seeds.
    pub shard: Shard,
    /// Whether plans that led to unseen abstract states have children.
    pub guided: bool,
    /// Whether a planted bug has to be noticed.
    pub canary: bool,
    /// What each is run with.
    pub settings: Settings,
    /// How many threads run seeds.
    pub jobs: NonZeroUsize,
    /// Whether what failures log is kept with them.
    pub log_failures: bool,
}

/// What a campaign directory was begun for. Everything but the speed of the campaign follows from it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The arguments of `hstore-sim campaign` that ask for it.
    pub arguments: Vec<String>,
    /// The seeds.
    pub seeds: SeedRange,
    /// How long it may take, in seconds.
    pub time_seconds: Option<f64>,
    /// Which part of the seeds.
    pub shard: Shard,
    /// What each is run with.
    pub settings: Value,
    /// The hash of all that the profile says: that of a file may change.
    pub profile_hash: String,
    /// What runs them.
    pub provenance: Provenance,
}

impl CampaignRequest {
    /// All of these seeds.
    #[must_use]
    pub fn of_seeds(seeds: SeedRange, settings: Settings, jobs: NonZeroUsize) -> Self {
        Self {
            seeds,
            time: None,
            shard: Shard::WHOLE,
            guided: false,
            canary: false,
            settings,
            jobs,
            log_failures: false,
        }
    }

    /// The arguments that ask for it, but for those that change nothing of what it finds.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--seeds".to_owned(), self.seeds.to_string()];
        if let Some(time) = self.time {
            let time = humantime::format_duration(time).to_string();
            arguments.extend(["--time".to_owned(), time]);
        }
        if self.shard != Shard::WHOLE {
            arguments.extend(["--shard".to_owned(), self.shard.to_string()]);
        }
        if self.guided {
            arguments.push("--guided".to_owned());
        }
        if !self.canary {
            arguments.extend(["--canary".to_owned(), "off".to_owned()]);
        }
        arguments.extend(self.settings.arguments());
        arguments
    }

    /// What is kept of it.
    #[must_use]
    pub fn asked(&self) -> Asked {
        Asked {
            arguments: self.arguments(),
            seeds: self.seeds,
            time_seconds: self.time.map(|time| time.as_secs_f64()),
            shard: self.shard,
            settings: serde_json::to_value(&self.settings).expect("settings are plain data"),
            profile_hash: hash(format!("{:?}", self.settings.profile).as_bytes()),
            provenance: provenance(&self.settings),
        }
    }
}

impl Asked {
    /// Why what was begun for `self` cannot go on as `other`; nothing if it can.
    #[must_use]
    pub fn refuses(&self, other: &Self) -> Option<String> {
        let (began, goes) = (&self.provenance, &other.provenance);
        if began.revision != goes.revision || began.lock_hash != goes.lock_hash {
            return Some(format!(
                "it was begun by revision {} (lock file {}), and this is {} (lock file {}), where a seed \
                 may do something else: go on with that build, or begin anew in another directory",
                began.revision, began.lock_hash, goes.revision, goes.lock_hash
            ));
        }
        if self.arguments != other.arguments {
            return Some(format!(
                "it was begun with `{}`, not with `{}`: go on with --resume, which takes what it was begun \
                 with, or begin anew in another directory",
                shell_line(&self.arguments),
                shell_line(&other.arguments)
            ));
        }
        if self != other {
            return Some(
                "what its arguments stand for is not what it was when it was begun: begin anew in another \
                 directory"
                    .to_owned(),
            );
        }
        None
    }
}
