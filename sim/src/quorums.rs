//! The protocol on many quorum systems: a campaign for each, one table.
//!
//! Whether the quorums of a system meet is for `hstore_core::quorum` to prove. Here the whole protocol runs
//! on it, also on systems that cannot write or fail over without some node: those stand still while it is away.
//! They are as safe, work again once everything is healed, and owe as many appends as any other: what a client
//! cannot do now it does later.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use hstore_core::NodeSet;
use hstore_core::quorum::samples::{SMALL, random_systems};
use hstore_core::quorum::{Names, QuorumSystem};
use serde::Serialize;

use crate::campaign::campaign;
use crate::campaign::error::CampaignError;
use crate::campaign::line::RunLine;
use crate::campaign::request::CampaignRequest;
use crate::campaign::summary::Summary;
use crate::outcome::Outcome;
use crate::run::run_with;
use crate::seed_range::SeedRange;
use crate::settings::Settings;

/// Which systems to run, and how.
#[derive(Clone, Debug)]
pub struct Tour {
    /// The systems of the literature with at most 7 nodes are run in any case; so many random ones after
    /// them.
    pub random: usize,
    /// What the random ones are drawn from.
    pub random_seed: u64,
    /// The seeds that each system is run with.
    pub seeds: SeedRange,
    /// What each run is made with, but for its quorum system.
    pub settings: Settings,
    /// How many threads run seeds.
    pub jobs: NonZeroUsize,
}

/// What came of one system.
#[derive(Clone, Debug, Serialize)]
pub struct Stop {
    /// Its name, or which of the random ones it is.
    pub name: String,
    /// The system.
    pub quorums: QuorumSystem,
    /// How many nodes it has.
    pub nodes: usize,
    /// How many of them may fail, whichever they are, and it still writes and fails over.
    pub tolerates: usize,
    /// Runs made.
    pub runs: u64,
    /// Runs that passed.
    pub passed: u64,
    /// The least number of appends that a run acknowledged.
    pub acked_min: u64,
    /// Acknowledged appends of a run, on average.
    pub acked: f64,
    /// Epochs of a run, on average.
    pub epochs: f64,
    /// Epochs that a run recovered, on average.
    pub recoveries: f64,
    /// Holes that a run's recoveries plugged, on average.
    pub holes: f64,
    /// How the runs ended that did not pass, worst first, and the first such run's command.
    pub failure: Option<(Outcome, String)>,
}

impl Tour {
    /// The systems to run, with their names.
    #[must_use]
    pub fn systems(&self) -> Vec<(String, QuorumSystem)> {
        let named = SMALL.iter().map(|it| {
            let system = QuorumSystem::parse(it.text, &mut Names::open());
            (it.name.to_owned(), system.expect("samples are systems"))
        });
        let random = random_systems(self.random_seed, self.random);
        let numbered = random.into_iter().zip(1..);
        let random = numbered.map(|((_, system), number)| (format!("random {number}"), system));
        named.chain(random).collect()
    }

    /// Runs them all. `observe` is called after each run.
    ///
    /// # Errors
    /// Never: nothing is written.
    pub fn run(&self, mut observe: impl FnMut(&RunLine)) -> Result<Vec<Stop>, CampaignError> {
        let mut stops = Vec::new();
        for (name, quorums) in self.systems() {
            let settings = Settings {
                quorums: Some(quorums.clone()),
                ..self.settings.clone()
            };
            let request = CampaignRequest::of_seeds(self.seeds, settings, self.jobs);
            let mut acked_min = u64::MAX;
            let summary = campaign(&request, run_with, None, &AtomicBool::new(false), |line| {
                acked_min = acked_min.min(line.counts.appends_acked);
                observe(line);
            })?;
            stops.push(stop(name, quorums, acked_min, &summary));
        }
        Ok(stops)
    }
}

fn stop(name: String, quorums: QuorumSystem, acked_min: u64, summary: &Summary) -> Stop {
    let average = |figure: &str| summary.averages.get(figure).copied().unwrap_or(0.0);
    let worst = summary
        .failures
        .iter()
        .min_by_key(|it| it.signature.outcome.exit_code());
    Stop {
        name,
        nodes: quorums.nodes().len(),
        tolerates: tolerates(&quorums),
        quorums,
        runs: summary.runs,
        passed: summary.passed,
        acked_min,
        acked: average("acked_appends"),
        epochs: average("epochs"),
        recoveries: average("recoveries"),
        holes: average("holes"),
        failure: worst.map(|it| (it.signature.outcome, it.reproduce.clone())),
    }
}

/// How many nodes may fail, whichever they are, and a write quorum and a seal quorum are left.
fn tolerates(quorums: &QuorumSystem) -> usize {
    let nodes: Vec<NodeSet> = quorums.nodes().iter().map(NodeSet::only).collect();
    // Sets of so many failed nodes, with the first node that may fail as well.
    let mut failed = vec![(NodeSet::EMPTY, 0)];
    for count in 0..nodes.len() {
        let mut next = Vec::new();
        for (set, first) in failed {
            for (at, node) in nodes.iter().enumerate().skip(first) {
                let set = set.union(*node);
                if !is_able(quorums, quorums.nodes().difference(set)) {
                    return count;
                }
                next.push((set, at + 1));
            }
        }
        failed = next;
    }
    unreachable!("without nodes there is no quorum")
}

fn is_able(quorums: &QuorumSystem, nodes: NodeSet) -> bool {
    quorums.is_write_quorum(nodes) && quorums.is_seal_quorum(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_systems_tolerate_what_they_do() {
        for (text, count) in [
            ("majority(5)", 2),
            ("nodeset(5, copies=2)", 1),
            ("nodeset(3, copies=3)", 0),
            ("a*b + c*d", 1),
            ("a*b*c + d*e*f", 1),
            ("n0", 0),
            ("grid(3 x 3)", 2),
        ] {
            let system = QuorumSystem::parse(text, &mut Names::open()).expect("valid");
            assert_eq!(tolerates(&system), count, "{text}");
        }
    }
}
