//! Probes over the runs of a campaign: which rare places were reached, in how many runs, and which are owed.
//!
//! What probes are and where they stand is [`hstore_core::probe`]'s. A run tells which it reached; a profile may
//! require some. A campaign that ends before the profile's time only says what it has not reached; one that
//! lasted longer fails.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::probe::PROBES;
use serde::Serialize;

use crate::options::Engine;
use crate::profile::Profile;

/// Stands for all probes where some are named.
pub const ALL: &str = "all";
/// Probes of this area are in the model store, and can be reached on no other.
const MODEL_STORE: &str = "model-store.";

/// In how many runs each probe was reached.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    runs: u64,
    reached: BTreeMap<String, u64>,
}

/// What a campaign reached, and what it owes.
#[derive(Clone, Debug, Serialize)]
pub struct Reached {
    /// In how many runs each probe was reached that was.
    pub runs: BTreeMap<String, u64>,
    /// Those that were not, and could have been on this store.
    pub never: Vec<String>,
    /// How many of them the profile requires.
    pub required: usize,
    /// The required ones that were not reached.
    pub missing: Vec<String>,
    /// Whether the campaign lasted so long that it owes them.
    pub owed: bool,
}

impl Tally {
    /// Takes what a run reached.
    pub fn add(&mut self, reached: &[String]) {
        self.runs += 1;
        for name in reached {
            match self.reached.get_mut(name) {
                Some(runs) => *runs += 1,
                None => {
                    self.reached.insert(name.clone(), 1);
                }
            }
        }
    }

    /// What that comes to after so much time, for a profile on a store.
    #[must_use]
    pub fn judge(self, profile: &Profile, engine: Engine, lasted: Duration) -> Reached {
        let required = |name: &str| {
            let mut names = profile.required_probes.iter();
            let mut spared = profile.spared_probes.iter();
            names.any(|it| it == name || it == ALL) && !spared.any(|it| it == name)
        };
        let possible = PROBES.iter().map(|probe| probe.name).filter(|name| {
            // Nothing can be asked of a store that is not there.
            engine == Engine::Model || !name.starts_with(MODEL_STORE)
        });
        let possible: Vec<&str> = possible.collect();
        let never = possible
            .iter()
            .filter(|name| !self.reached.contains_key(**name));
        let never: Vec<String> = never.map(|name| (*name).to_owned()).collect();
        let missing = never.iter().filter(|name| required(name)).cloned();
        Reached {
            missing: missing.collect(),
            required: possible.iter().filter(|name| required(name)).count(),
            owed: lasted >= Duration::from_secs(profile.probes_after_seconds),
            runs: self.reached,
            never,
        }
    }
}

impl Reached {
    /// Whether the campaign fails for what it did not reach.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.owed && !self.missing.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(required: &[&str]) -> Profile {
        let mut profile = Profile::by_name("default").expect("built in").clone();
        profile.required_probes = required.iter().map(|it| (*it).to_owned()).collect();
        profile.probes_after_seconds = 10;
        profile
    }

    fn tally(runs: &[&[&str]]) -> Tally {
        let mut tally = Tally::default();
        for run in runs {
            let names: Vec<String> = run.iter().map(|it| (*it).to_owned()).collect();
            tally.add(&names);
        }
        tally
    }

    const RARE: &str = "recovery.fourth-attempt";
    const COMMON: &str = "decide.hole";
    const LATE: Duration = Duration::from_secs(10);

    #[test]
    fn runs_are_counted_by_probe() {
        let reached = tally(&[&[COMMON, RARE], &[COMMON], &[]]);
        let reached = reached.judge(&profile(&[]), Engine::Model, LATE);
        assert_eq!((reached.runs[COMMON], reached.runs[RARE]), (2, 1));
        assert_eq!(reached.never.len(), PROBES.len() - 2);
        assert!(!reached.is_failure(), "nothing is required");
    }

    #[test]
    fn what_is_required_is_owed_once_the_time_has_come() {
        let judged = |required: &[&str], lasted| {
            let reached = tally(&[&[COMMON]]);
            reached.judge(&profile(required), Engine::Model, lasted)
        };
        let early = judged(&[RARE, COMMON], LATE - Duration::from_millis(1));
        assert_eq!(
            (early.missing.as_slice(), early.required),
            (&[RARE.to_owned()][..], 2)
        );
        assert!(!early.is_failure());
        assert!(judged(&[RARE, COMMON], LATE).is_failure());
        assert!(!judged(&[COMMON], LATE).is_failure());
        assert!(judged(&[ALL], LATE).is_failure());
        let mut spares = profile(&[ALL]);
        let all = || PROBES.iter().map(|probe| probe.name.to_owned());
        spares.spared_probes = all().filter(|name| name != COMMON).collect();
        let spared = tally(&[&[COMMON]]).judge(&spares, Engine::Model, LATE);
        assert_eq!((spared.required, spared.is_failure()), (1, false));
    }

    #[test]
    fn what_no_run_can_reach_is_not_asked_for() {
        let of_the_model = |engine| {
            let reached = Tally::default().judge(&profile(&[ALL]), engine, LATE);
            let missing = reached.missing.iter();
            missing.filter(|name| name.starts_with(MODEL_STORE)).count()
        };
        assert_eq!(of_the_model(Engine::Rocksdb), 0);
        assert!(of_the_model(Engine::Model) > 0);
    }
}
