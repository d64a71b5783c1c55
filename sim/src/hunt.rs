//! The hunt for planted bugs: how many seeds it takes to find each, and who notices.
//!
//! A bug counts as found when a checker of its row notices. A run that fails for anything else is made
//! again without looking inside: a check from inside ends a run at the first thing that is wrong, and what
//! follows from it may be what the row asks for. If that is not so either, the hunt goes on, and tells what
//! it met.
//!
//! Nothing that is drawn depends on the bug: seeds, options and fault plans are those of the unmutated
//! profile.

use std::num::NonZeroUsize;
use std::time::Duration;

use serde::Serialize;

use crate::guide::{Attempt, for_each_guided};
use crate::mutants::{Family, Mutant};
use crate::ordered::for_each_in_order;
use crate::outcome::Outcome;
use crate::report::Violation;
use crate::run::{Alteration, RunArtifacts, RunRequest, draw};
use crate::seed_range::SeedRange;
use crate::settings::Settings;
use crate::stopwatch::Stopwatch;

/// What to hunt with.
#[derive(Clone, Debug)]
pub struct Hunt {
    /// Profile and engine. The bug is set for each.
    pub settings: Settings,
    /// The seeds from 1 to this are tried, in order.
    pub budget_seeds: u64,
    /// How many threads run seeds.
    pub jobs: NonZeroUsize,
    /// Whether plans that led to unseen abstract states have children.
    pub guided: bool,
}

/// How the hunt for a bug ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// A checker of its row noticed.
    Found,
    /// Others noticed, within the budget.
    WrongChecker,
    /// Nobody noticed, though runs took the changed decision.
    Survived,
    /// No run took the changed decision.
    Unreached,
    /// The hunt was called off.
    Interrupted,
}

impl Status {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::WrongChecker => "wrong checker",
            Self::Survived => "SURVIVED",
            Self::Unreached => "UNREACHED",
            Self::Interrupted => "interrupted",
        }
    }
}

/// Who noticed, and in which run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Catch {
    /// The seed.
    pub seed: u64,
    /// How the run ended.
    pub outcome: Outcome,
    /// What was violated.
    pub property: String,
    /// Who noticed.
    pub checker: String,
    /// Whether checks looked inside in that run.
    pub white_box: bool,
    /// The families of its row that the checker belongs to.
    pub families: Vec<Family>,
}

/// What the hunt for one bug came to.
#[derive(Clone, Debug, Serialize)]
pub struct Findings {
    /// The bug's number.
    pub number: u8,
    /// Its name.
    pub name: &'static str,
    /// What it changes.
    pub about: &'static str,
    /// The families of which one has to notice.
    pub expected: &'static [Family],
    /// How it ended.
    pub status: Status,
    /// Who found it.
    pub found: Option<Catch>,
    /// The first that noticed and are not of its row.
    pub others: Vec<Catch>,
    /// How many seeds were tried, up to the one that found it.
    pub seeds: u64,
    /// How many of these runs took the changed decision.
    pub reached_seeds: u64,
    /// How long it took, in seconds of wall time.
    pub wall_seconds: f64,
}

/// So many catches by checkers of other rows are told, each of another property.
pub const OTHERS_MAX: usize = 3;

/// One seed's runs.
struct Tried {
    reached: bool,
    states: Vec<u32>,
    found: Option<Catch>,
    other: Option<Catch>,
}

/// Hunts one bug. `observe` is called with each seed that was tried; the hunt is called off if it
/// returns false.
pub fn hunt(
    mutant: &'static Mutant,
    hunt: &Hunt,
    run_one: impl Fn(&RunRequest, &Alteration) -> (RunArtifacts, Vec<u32>) + Sync,
    mut observe: impl FnMut(u64) -> bool,
) -> Findings {
    let stopwatch = Stopwatch::start();
    let mut findings = Findings {
        number: mutant.number,
        name: mutant.name,
        about: mutant.about,
        expected: mutant.caught_by,
        status: Status::Interrupted,
        found: None,
        others: Vec::new(),
        seeds: 0,
        reached_seeds: 0,
        wall_seconds: 0.0,
    };
    let seeds = SeedRange::new(1, hunt.budget_seeds).expect("a budget has at least one seed");
    let settings = Settings {
        mutant: Some(mutant),
        ..hunt.settings.clone()
    };
    let work = |attempt: &Attempt| try_one(mutant, &settings, attempt, hunt.guided, &run_one);
    // An error is how the search ends early.
    let mut take = |attempt: &Attempt, tried: Tried| {
        findings.seeds += 1;
        findings.reached_seeds += u64::from(tried.reached);
        if let Some(other) = tried.other
            && findings.others.len() < OTHERS_MAX
            && !findings
                .others
                .iter()
                .any(|it| it.property == other.property)
        {
            findings.others.push(other);
        }
        findings.found = tried.found;
        if findings.found.is_some() {
            return Err(Status::Found);
        }
        if observe(attempt.seed) {
            Ok(tried.states)
        } else {
            Err(Status::Interrupted)
        }
    };
    let ended = if hunt.guided {
        let draw = |seed| draw(&settings.request(seed, false));
        for_each_guided(seeds.iter(), hunt.jobs, draw, work, take)
    } else {
        let plain = |seed| work(&Attempt::plain(seed));
        for_each_in_order(seeds.iter(), hunt.jobs, plain, |seed, tried| {
            take(&Attempt::plain(seed), tried).map(|_| ())
        })
    };
    findings.status = match ended {
        Err(status) => status,
        Ok(()) if findings.reached_seeds == 0 => Status::Unreached,
        Ok(()) if findings.others.is_empty() => Status::Survived,
        Ok(()) => Status::WrongChecker,
    };
    findings.wall_seconds = rounded(stopwatch.elapsed());
    findings
}

fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1_000.0).round() / 1_000.0
}

fn try_one(
    mutant: &'static Mutant,
    settings: &Settings,
    attempt: &Attempt,
    covered: bool,
    run_one: &impl Fn(&RunRequest, &Alteration) -> (RunArtifacts, Vec<u32>),
) -> Tried {
    let alteration = Alteration {
        plan: attempt.plan.clone(),
        covered,
    };
    let (inside, states) = run_one(&settings.request(attempt.cluster, false), &alteration);
    let mut tried = Tried {
        reached: inside.report.counts.mutant_reached > 0,
        states,
        found: None,
        other: None,
    };
    tried.take(attempt, judge(mutant, &inside));
    if tried.found.is_none() && tried.other.is_some() && settings.white_box {
        let settings = Settings {
            white_box: false,
            ..settings.clone()
        };
        let (outside, _) = run_one(&settings.request(attempt.cluster, false), &alteration);
        tried.take(attempt, judge(mutant, &outside));
    }
    tried
}

impl Tried {
    fn take(&mut self, attempt: &Attempt, (found, other): (Option<Catch>, Option<Catch>)) {
        // A run with a plan of its own is in the cluster of another seed.
        let seed = attempt.seed;
        let named = |catch: Catch| Catch { seed, ..catch };
        self.found = found.map(named);
        self.other = self.other.take().or(other.map(named));
    }
}

/// Looks through all that a run violated: for what the bug's row asks for, and for anything else.
pub(crate) fn judge(mutant: &Mutant, run: &RunArtifacts) -> (Option<Catch>, Option<Catch>) {
    let report = &run.report;
    let meaningless = [Outcome::Passed, Outcome::Vacuous, Outcome::Inconclusive];
    if meaningless.contains(&report.outcome) {
        return (None, None);
    }
    let at = report
        .violation
        .as_ref()
        .map_or_else(Default::default, |it| it.at);
    let told = run.judged.anomalies();
    let told = told.map(|(check, anomaly)| Violation::of_anomaly(check, anomaly, at));
    let first = report.violation.iter().chain(&run.stuck).cloned();
    let violations: Vec<Violation> = first.chain(told).collect();
    let catch = |violation: &Violation| {
        let Violation {
            checker, property, ..
        } = violation;
        let families = mutant.caught_by.iter().copied();
        Catch {
            seed: report.seed,
            outcome: report.outcome,
            property: property.clone(),
            checker: checker.clone(),
            white_box: report.options.white_box,
            families: families.filter(|it| it.has(checker, property)).collect(),
        }
    };
    let first = |explained| {
        let mut violations = violations.iter();
        violations.find(|it| mutant.explains(it) == explained)
    };
    (first(true).map(catch), first(false).map(catch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::run_with_a_bug as ended;

    fn unaltered(
        run_one: impl Fn(&RunRequest) -> RunArtifacts + Sync,
    ) -> impl Fn(&RunRequest, &Alteration) -> (RunArtifacts, Vec<u32>) + Sync {
        move |request, _| (run_one(request), Vec::new())
    }

    const DURABILITY: (&str, &str) = ("durability", "LostWrite");
    const OTHER: (&str, &str) = ("assertion", "no-panic");

    /// Hunts a bug that only losses count for, with 10 seeds.
    fn hunted(run_one: impl Fn(&RunRequest) -> RunArtifacts + Sync) -> Findings {
        let mutant = Mutant::by_name("replay-past-unapplied").expect("planted");
        assert_eq!(mutant.caught_by, [Family::Durability]);
        let request = Hunt {
            settings: Settings::default(),
            budget_seeds: 10,
            jobs: NonZeroUsize::new(2).expect("not 0"),
            guided: false,
        };
        hunt(mutant, &request, unaltered(run_one), |_| true)
    }

    #[test]
    fn the_first_seed_with_a_checker_of_the_row_counts() {
        let findings = hunted(|request| {
            let what = (request.seed >= 4).then_some(DURABILITY);
            ended(request, request.seed > 1, what)
        });
        assert_eq!(findings.status, Status::Found);
        assert_eq!((findings.seeds, findings.reached_seeds), (4, 3));
        let catch = findings.found.expect("found");
        assert_eq!((catch.seed, catch.white_box), (4, true));
        assert_eq!(catch.families, [Family::Durability]);
        assert!(findings.others.is_empty());
    }

    #[test]
    fn what_ends_a_run_too_early_does_not_hide_what_follows() {
        let findings = hunted(|request| {
            let what = if request.white_box { OTHER } else { DURABILITY };
            ended(request, true, (request.seed == 3).then_some(what))
        });
        assert_eq!(findings.status, Status::Found);
        let catch = findings.found.expect("found");
        assert_eq!((catch.seed, catch.white_box), (3, false));
        assert_eq!(findings.others[0].property, "no-panic");
    }

    /// The first thing that was wrong is of another row; what the cluster did not come to do is of this one.
    #[test]
    fn a_cluster_that_is_stuck_is_noticed_beside_something_worse() {
        let mutant = Mutant::by_name("sealed-stale-tail").expect("planted");
        assert_eq!(mutant.caught_by, [Family::Liveness]);
        let request = Hunt {
            settings: Settings::default(),
            budget_seeds: 5,
            jobs: NonZeroUsize::MIN,
            guided: false,
        };
        let run = |request: &RunRequest| {
            let mut artifacts = ended(request, true, Some(DURABILITY));
            let worse = artifacts.report.violation.clone();
            artifacts.stuck = worse.filter(|_| request.seed == 3).map(|it| Violation {
                property: "progress in convergence".to_owned(),
                checker: "liveness".to_owned(),
                ..it
            });
            artifacts
        };
        let findings = hunt(mutant, &request, unaltered(run), |_| true);
        assert_eq!(findings.status, Status::Found);
        let catch = findings.found.expect("found");
        assert_eq!((catch.seed, catch.checker.as_str()), (3, "liveness"));
    }

    #[test]
    fn the_ways_not_to_be_found_are_told_apart() {
        let wrong = hunted(|request| ended(request, true, (request.seed > 5).then_some(OTHER)));
        assert_eq!(wrong.status, Status::WrongChecker);
        assert_eq!((wrong.seeds, wrong.others.len()), (10, 1));
        assert_eq!(wrong.others[0].seed, 6);
        let survived = hunted(|request| ended(request, request.seed == 7, None));
        assert_eq!(survived.status, Status::Survived);
        let unreached = hunted(|request| ended(request, false, None));
        assert_eq!(unreached.status, Status::Unreached);
    }

    #[test]
    fn a_hunt_that_is_called_off_says_what_it_met() {
        let mutant = Mutant::by_name("replay-past-unapplied").expect("planted");
        let request = Hunt {
            settings: Settings::default(),
            budget_seeds: u64::MAX,
            jobs: NonZeroUsize::MIN,
            guided: false,
        };
        let run = |request: &RunRequest| ended(request, true, Some(OTHER));
        let findings = hunt(mutant, &request, unaltered(run), |seed| seed < 3);
        assert_eq!(findings.status, Status::Interrupted);
        assert_eq!(findings.seeds, 3);
        assert_eq!(findings.others.len(), 1);
    }
}
