//! The canary of a campaign: a planted bug, unasked, that has to be noticed.
//!
//! A campaign that passes says something only if it would have failed. So beside its own runs it makes a few
//! more, of the same profile and settings, with one of the bugs that the profile is known to find soon; which
//! one and on which seeds is drawn from its first seed. They go on until a checker of the bug's row notices.
//!
//! A run that never takes the changed decision says nothing, and does not count. A run that takes it and passes
//! does: of so many of those the bug must have shown in one, or the campaign is blind. If the decision is hardly
//! ever taken, the profile does not do what it is believed to: that is a failure, too.

use serde::{Deserialize, Serialize};

use crate::hunt::judge;
use crate::mutants::Mutant;
use crate::run::{RunArtifacts, RunRequest};
use crate::seeds::{SimSeeds, Stream};
use crate::settings::Settings;

/// The bug must be noticed in one of so many runs that took the changed decision.
const REACHED_MAX: u64 = 60;
/// So many runs are made at most.
const RUNS_MAX: u64 = 200;

/// What came of a canary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Canary {
    /// The bug; `None` if there was none to plant.
    pub mutant: Option<String>,
    /// Why there was none.
    pub why_not: Option<String>,
    /// Runs made with it.
    pub runs: u64,
    /// Of these, the runs that took the changed decision.
    pub reached: u64,
    /// The seed of the run in which a checker of its row noticed, and that checker.
    pub noticed: Option<(u64, String)>,
}

impl Canary {
    fn none(why_not: &'static str) -> Self {
        Self {
            mutant: None,
            why_not: Some(why_not.to_owned()),
            runs: 0,
            reached: 0,
            noticed: None,
        }
    }

    /// Whether a bug was planted and nobody noticed.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        self.mutant.is_some() && self.noticed.is_none()
    }
}

/// Plants a bug beside a campaign whose first seed is `first_seed`.
pub fn sing(
    first_seed: u64,
    settings: &Settings,
    run_one: impl Fn(&RunRequest) -> RunArtifacts,
) -> Canary {
    if settings.mutant.is_some() {
        return Canary::none("a bug is planted already");
    }
    if !settings.white_box {
        return Canary::none("from outside alone no bug is known to be found soon");
    }
    if settings.quorums.is_some() {
        return Canary::none("on a chosen quorum system no bug is known to be found soon");
    }
    let mut rng = SimSeeds(first_seed).stream(Stream::Canary);
    let known = settings.profile.canaries.iter();
    let known: Vec<&Mutant> = known.filter_map(|name| Mutant::by_name(name)).collect();
    let Some(&mutant) = rng.pick(&known) else {
        return Canary::none("the profile knows of no bug that it finds soon");
    };
    let settings = Settings {
        mutant: Some(mutant),
        ..settings.clone()
    };
    let mut canary = Canary {
        mutant: Some(mutant.name.to_owned()),
        why_not: None,
        runs: 0,
        reached: 0,
        noticed: None,
    };
    while canary.noticed.is_none() && canary.reached < REACHED_MAX && canary.runs < RUNS_MAX {
        let run = run_one(&settings.request(rng.seed(), false));
        canary.runs += 1;
        canary.reached += u64::from(run.report.counts.mutant_reached > 0);
        let (found, _) = judge(mutant, &run);
        canary.noticed = found.map(|it| (it.seed, it.checker));
    }
    canary
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up;
    use crate::profile::Profile;

    /// A run with a bug: whether it was reached, and who noticed a loss.
    fn ended(request: &RunRequest, reached: bool, noticed: Option<&str>) -> RunArtifacts {
        made_up::run_with_a_bug(request, reached, noticed.map(|it| (it, "LostWrite")))
    }

    fn sung(run: impl Fn(u64, &RunRequest) -> RunArtifacts) -> Canary {
        let made = std::cell::Cell::new(0);
        // It knows of one bug, which loses what was acknowledged.
        let settings = Settings {
            profile: Profile::by_name("calm").expect("a profile"),
            ..Settings::default()
        };
        sing(1, &settings, |request| {
            made.set(made.get() + 1);
            assert!(request.mutant.is_some());
            run(made.get(), request)
        })
    }

    #[test]
    fn it_goes_on_until_somebody_notices_and_says_who() {
        let canary =
            sung(|run, request| ended(request, run > 2, (run == 5).then_some("durability")));
        assert_eq!((canary.runs, canary.reached), (5, 3));
        assert_eq!(
            canary.noticed.as_ref().map(|it| it.1.as_str()),
            Some("durability")
        );
        assert!(!canary.is_failure());
    }

    #[test]
    fn a_campaign_that_never_notices_is_blind() {
        let canary = sung(|_, request| ended(request, true, None));
        assert_eq!((canary.runs, canary.reached), (REACHED_MAX, REACHED_MAX));
        assert!(canary.is_failure());
        // Whoever notices, it has to be a checker of the bug's row.
        let other = sung(|_, request| ended(request, true, Some("assertion")));
        assert!(other.is_failure());
    }

    #[test]
    fn runs_that_do_not_reach_the_bug_do_not_count_and_do_not_go_on_for_ever() {
        let canary = sung(|run, request| ended(request, run % 100 == 0, None));
        assert_eq!((canary.runs, canary.reached), (RUNS_MAX, 2));
        assert!(canary.is_failure());
    }

    #[test]
    fn where_none_can_be_expected_to_be_noticed_none_is_planted() {
        let none = |settings: Settings| {
            let canary = sing(1, &settings, |_| panic!("nothing is run"));
            assert!(!canary.is_failure() && canary.why_not.is_some());
        };
        none(Settings {
            white_box: false,
            ..Settings::default()
        });
        none(Settings {
            mutant: Mutant::by_name("ack-before-fsync"),
            ..Settings::default()
        });
    }

    #[test]
    fn each_campaign_has_the_same_canary_every_time() {
        let run = |_: u64, request: &RunRequest| ended(request, true, Some("durability"));
        assert_eq!(sung(run), sung(run));
    }
}
