//! Guidance by novelty: plans that led to abstract states that no run had been in have children.
//!
//! A guided campaign tries its seeds in generations of [`GENERATION`]. In each, half of the seeds are run as they are
//! drawn; the others give the randomness for a mutation of a plan that found something new, in its cluster. What a
//! generation tries depends on what those before it found, and not on how fast its runs were: so the number of
//! threads changes nothing. Nor does any of it depend on a planted bug.
//!
//! A guided run does not follow from its seed alone. It is named by the campaign, or by its capsule, which has the plan.

mod mutate;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use hstore_core::Rng;

use self::mutate::mutate;
use crate::options::SimOptions;
use crate::ordered::for_each_in_order;
use crate::plan::FaultPlan;
use crate::seeds::{SimSeeds, Stream};

/// So many seeds are tried before what they found is looked at.
pub const GENERATION: usize = 32;
/// So many plans at most are kept to have children: those that found most for what was tried with them.
const PARENTS_MAX: usize = 256;

/// What a guided campaign has seen, and what it makes of that.
#[derive(Debug, Default)]
pub struct Guide {
    seen: BTreeSet<u32>,
    parents: Vec<Parent>,
}

/// A plan that found something.
#[derive(Debug)]
struct Parent {
    /// The seed whose cluster it is for.
    cluster: u64,
    options: SimOptions,
    plan: FaultPlan,
    /// How many abstract states it was the first to be in.
    found: usize,
    /// How many children it had.
    tried: usize,
}

impl Parent {
    /// What it found, by what was tried with it.
    fn worth(&self) -> usize {
        self.found * 1_000 / (1 + self.tried)
    }
}

/// What a seed is run as.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The seed.
    pub seed: u64,
    /// The seed whose options and randomness the run has: itself, or that of the plan that it is a child of.
    pub cluster: u64,
    /// What goes wrong, if not what the seed draws.
    pub plan: Option<FaultPlan>,
    /// Which plan it is a child of.
    parent: Option<usize>,
}

impl Attempt {
    /// A seed as it is drawn.
    #[must_use]
    pub fn plain(seed: u64) -> Self {
        Self {
            seed,
            cluster: seed,
            plan: None,
            parent: None,
        }
    }
}

impl Guide {
    /// How many abstract states were seen.
    #[must_use]
    pub fn seen(&self) -> usize {
        self.seen.len()
    }

    /// What a seed is to be run as.
    #[must_use]
    pub fn attempt(&self, seed: u64) -> Attempt {
        let mut rng = SimSeeds(seed).stream(Stream::Guide);
        if self.parents.is_empty() || rng.chance(0.5) {
            return Attempt::plain(seed);
        }
        let index = self.pick(&mut rng);
        let parent = &self.parents[index];
        let donor = &self.parents[self.pick(&mut rng)];
        // A plan names nodes and logs: that of a cluster with more of them is of no use here.
        let size = |it: &Parent| (it.options.locations.len(), it.options.workload.logs);
        let ((nodes, logs), (given_nodes, given_logs)) = (size(parent), size(donor));
        let fits = given_nodes <= nodes && given_logs <= logs;
        let donor = if fits { donor } else { parent };
        Attempt {
            seed,
            cluster: parent.cluster,
            plan: Some(mutate(&parent.plan, &donor.plan, &parent.options, &mut rng)),
            parent: Some(index),
        }
    }

    /// The better of two.
    fn pick(&self, rng: &mut Rng) -> usize {
        let mut one = || rng.below(self.parents.len() as u64) as usize;
        let (one, other) = (one(), one());
        if self.parents[one].worth() >= self.parents[other].worth() {
            one
        } else {
            other
        }
    }

    /// Learns in which abstract states the attempts of a generation, in order, have been. `draw` is what a seed
    /// draws.
    pub fn learn(
        &mut self,
        generation: Vec<(Attempt, Vec<u32>)>,
        draw: impl Fn(u64) -> (SimOptions, FaultPlan),
    ) {
        for (attempt, _) in &generation {
            if let Some(parent) = attempt.parent {
                self.parents[parent].tried += 1;
            }
        }
        for (attempt, states) in generation {
            let before = self.seen.len();
            self.seen.extend(states);
            let found = self.seen.len() - before;
            if found > 0 {
                let (options, drawn) = draw(attempt.cluster);
                self.parents.push(Parent {
                    cluster: attempt.cluster,
                    options,
                    plan: attempt.plan.unwrap_or(drawn),
                    found,
                    tried: 0,
                });
            }
        }
        if self.parents.len() > PARENTS_MAX {
            // The sort keeps the order of those that are worth the same.
            self.parents.sort_by_key(|it| std::cmp::Reverse(it.worth()));
            self.parents.truncate(PARENTS_MAX);
        }
    }
}

/// Calls `work` for an attempt of each seed, on `jobs` threads, and `take` with each result in the order of
/// seeds; `take` says which abstract states the run was in. `draw` is what a seed draws.
///
/// # Errors
/// The first error of `take`; no further seed is begun then.
pub fn for_each_guided<T: Send, E>(
    mut seeds: impl Iterator<Item = u64> + Send,
    jobs: NonZeroUsize,
    draw: impl Fn(u64) -> (SimOptions, FaultPlan),
    work: impl Fn(&Attempt) -> T + Sync,
    mut take: impl FnMut(&Attempt, T) -> Result<Vec<u32>, E>,
) -> Result<(), E> {
    let mut guide = Guide::default();
    loop {
        let mut generation = Vec::with_capacity(GENERATION);
        let try_one = |seed| {
            let attempt = guide.attempt(seed);
            let result = work(&attempt);
            (attempt, result)
        };
        let some = seeds.by_ref().take(GENERATION);
        for_each_in_order(some, jobs, try_one, |_, (attempt, result)| {
            let states = take(&attempt, result)?;
            generation.push((attempt, states));
            Ok(())
        })?;
        if generation.len() < GENERATION {
            return Ok(());
        }
        guide.learn(generation, &draw);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::draw;
    use crate::settings::Settings;

    fn drawn(seed: u64) -> (SimOptions, FaultPlan) {
        draw(&Settings::default().request(seed, false))
    }

    /// What each seed is run as if a run's states follow from its plan.
    fn guided(jobs: usize) -> Vec<(u64, u64, Option<FaultPlan>)> {
        let mut tried = Vec::new();
        let jobs = NonZeroUsize::new(jobs).expect("not 0");
        let states = |attempt: &Attempt| {
            let faults = attempt
                .plan
                .as_ref()
                .map_or(0, |plan| plan.faults.len() as u32);
            vec![faults, attempt.cluster as u32 % 50]
        };
        let take = |attempt: &Attempt, states| {
            tried.push((attempt.seed, attempt.cluster, attempt.plan.clone()));
            Ok::<_, ()>(states)
        };
        for_each_guided(1..=200, jobs, drawn, states, take).expect("take does not fail");
        tried
    }

    #[test]
    fn what_is_tried_does_not_depend_on_the_number_of_jobs() {
        let alone = guided(1);
        assert_eq!(alone, guided(3));
        assert!(alone.iter().map(|it| it.0).eq(1..=200));
        // The first generation knows nothing; of the others about half are children.
        let children = |some: &[(u64, u64, Option<FaultPlan>)]| {
            some.iter().filter(|it| it.2.is_some()).count()
        };
        assert_eq!(children(&alone[..GENERATION]), 0);
        let rest = children(&alone[GENERATION..]);
        assert!((50..120).contains(&rest), "{rest}");
    }

    #[test]
    fn children_are_sound_plans_and_differ_from_their_parents() {
        let mut changed = 0;
        for (_, cluster, plan) in guided(1) {
            let Some(plan) = plan else { continue };
            let (options, parent) = drawn(cluster);
            assert_eq!(plan.check(&options), Ok(()));
            assert_eq!(plan.moves, parent.moves);
            assert!(!plan.faults.is_empty());
            changed += usize::from(plan != parent);
        }
        assert!(changed > 50, "{changed}");
    }

    #[test]
    fn plans_that_found_most_for_what_was_tried_are_kept() {
        let mut guide = Guide::default();
        let generations = (0..20).map(|generation| {
            let attempt = |n: u64| {
                (
                    Attempt::plain(1000 * generation + n),
                    vec![(1000 * generation + n) as u32],
                )
            };
            (0..GENERATION as u64).map(attempt).collect()
        });
        for generation in generations {
            guide.learn(generation, drawn);
        }
        assert_eq!(guide.seen(), 20 * GENERATION);
        assert_eq!(guide.parents.len(), PARENTS_MAX);
        // What was seen before is nothing new.
        guide.learn(vec![(Attempt::plain(7), vec![1, 2, 3])], drawn);
        assert_eq!(guide.seen(), 20 * GENERATION);
    }
}
