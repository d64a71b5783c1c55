//! A campaign that goes on, or was interrupted: what there is of it so far.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::campaign::Seeds;
use crate::failures::{Kind, named};
use crate::provenance::Provenance;
use crate::text::{heading, labelled};

/// More kinds of failure are not shown.
const KINDS_SHOWN_MAX: usize = 6;

/// What this crate reads of `campaign.json`.
#[derive(Clone, Debug, Deserialize)]
pub struct Asked {
    /// The arguments of `hstore-sim campaign` that ask for it.
    pub arguments: Vec<String>,
    /// The seeds.
    pub seeds: Seeds,
    /// Where the verdicts come from.
    pub provenance: Provenance,
}

/// What this crate reads of a line of `runs.jsonl`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct RunLine {
    pub(crate) seed: u64,
    #[serde(default)]
    pub(crate) signature: Option<Kind>,
}

/// A campaign that is not complete.
#[derive(Clone, Debug)]
pub struct Unfinished {
    /// What was asked for.
    pub asked: Asked,
    /// Runs that are over.
    pub runs: u64,
    /// Those that failed.
    pub failed: u64,
    /// The seeds of failures by kind.
    pub failures: BTreeMap<Kind, Vec<u64>>,
}

impl Unfinished {
    pub(crate) fn new(asked: Asked, runs: BTreeMap<u64, Option<Kind>>) -> Self {
        let mut failures: BTreeMap<Kind, Vec<u64>> = BTreeMap::new();
        let count = runs.len() as u64;
        for (seed, kind) in runs {
            if let Some(kind) = kind {
                failures.entry(kind).or_default().push(seed);
            }
        }
        Self {
            asked,
            runs: count,
            failed: failures.values().map(|seeds| seeds.len() as u64).sum(),
            failures,
        }
    }

    /// What there is so far, on a screen.
    #[must_use]
    pub fn summary(&self, directory: &Path) -> String {
        let asked = self.asked.arguments.join(" ");
        let (runs, failed) = (self.runs, self.failed);
        let mut lines = vec![heading(&format!(
            "UNFINISHED: {runs} runs are over, {failed} of them failed"
        ))];
        lines.extend(labelled("asked for", &asked, 2));
        for (at, (kind, seeds)) in self.failures.iter().take(KINDS_SHOWN_MAX).enumerate() {
            let label = if at == 0 { "failures" } else { "" };
            let count = seeds.len() as u64;
            let text = format!("{count} x {kind}: {}", named(seeds, count));
            lines.extend(labelled(label, &text, 2));
        }
        let resume = format!("hstore-sim campaign --resume {}", directory.display());
        lines.extend(labelled("go on", &resume, 2));
        lines.extend(labelled("build", &self.asked.provenance.to_string(), 1));
        lines.join("\n") + "\n"
    }
}
