//! Making the fault plan. Applying it is the world's.
//!
//! What may go wrong comes in families, a file for each area. A family is an entry of its area's table and a
//! function that draws its faults. It draws from a stream of its own, found by its name: a new family leaves
//! what all others draw as it was.

mod clock;
mod disk;
mod families;
mod network;
mod objects;
mod process;
mod upgrade;

use std::ops::RangeInclusive;
use std::time::Duration;

use hstore_core::{LogId, NodeId, NodeSet, Rng};

pub use families::{Family, FaultOptions};

use crate::options::SimOptions;
use crate::plan::{FaultKind, FaultPlan, Target, TimedFault, Trigger};
use crate::seeds::{SimSeeds, Stream};

/// All families, area by area.
pub fn families() -> impl Iterator<Item = &'static Family> {
    [
        process::FAMILIES,
        network::FAMILIES,
        disk::FAMILIES,
        clock::FAMILIES,
        upgrade::FAMILIES,
        objects::FAMILIES,
    ]
    .into_iter()
    .flatten()
}

/// Draws a plan, without moves. It depends on the options and the seed alone: not on the run, nor on a
/// planted bug.
///
/// # Panics
/// If the options name a planted bug: they must not, yet.
#[must_use]
pub fn draw_plan(options: &SimOptions, seeds: SimSeeds) -> FaultPlan {
    assert_eq!(options.mutant, None, "a plan knows of no planted bug");
    let mut faults = Vec::new();
    for (family, count) in options.faults.iter() {
        let rng = seeds.named(Stream::Faults, family.name);
        faults.extend((family.draw)(&mut Draw { options, rng }, count));
    }
    faults.sort_by_key(|fault| fault.at_us);
    FaultPlan {
        faults,
        moves: Vec::new(),
    }
}

/// What the functions of families draw with.
struct Draw<'a> {
    options: &'a SimOptions,
    rng: Rng,
}

impl Draw<'_> {
    /// So many of what `one` draws.
    fn each<T: IntoIterator<Item = TimedFault>>(
        &mut self,
        count: u32,
        mut one: impl FnMut(&mut Self) -> T,
    ) -> Vec<TimedFault> {
        (0..count).flat_map(|_| one(self)).collect()
    }

    /// A fault at a random moment of the chaos, lasting for some of `millis`.
    fn fault(
        &mut self,
        millis: RangeInclusive<u64>,
        target: Target,
        kind: FaultKind,
    ) -> TimedFault {
        let quiet_us = self.options.quiet_us;
        let at_us = quiet_us + self.rng.below(self.options.chaos_us - quiet_us);
        self.fault_at(at_us, millis, target, kind)
    }

    /// A fault at this moment, lasting for some of `millis`.
    fn fault_at(
        &mut self,
        at_us: u64,
        millis: RangeInclusive<u64>,
        target: Target,
        kind: FaultKind,
    ) -> TimedFault {
        let lasts = Duration::from_millis(self.rng.within(millis));
        TimedFault {
            at_us,
            until_us: at_us + lasts.as_micros() as u64,
            target,
            kind,
        }
    }

    /// One of `items`, of which there are some.
    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        *self.rng.pick(items).expect("there is something to pick")
    }

    fn nodes(&self) -> u64 {
        self.options.locations.len() as u64
    }

    fn node(&mut self) -> NodeId {
        NodeId(self.rng.below(self.nodes()) as u8)
    }

    fn log(&mut self) -> LogId {
        LogId(self.rng.within(1..=u64::from(self.options.workload.logs)) as u32)
    }

    /// Nodes that matter to a log at the moment the fault strikes.
    fn role(&mut self) -> Target {
        let (log, pick) = (self.log(), self.rng.seed());
        self.pick(&[
            Target::Sequencer(log),
            Target::WriteQuorum { log, pick },
            Target::MetadataMajority { pick },
            Target::LastCopyset(log),
            Target::Coordinator(log),
        ])
    }

    /// The nodes of a rack.
    fn rack(&mut self) -> Target {
        let locations = &self.options.locations;
        let at = self.rng.below(locations.len() as u64) as usize;
        Target::Rack(locations[at].rack)
    }

    fn node_or_sequencer(&mut self) -> Target {
        if self.rng.chance(0.6) {
            Target::Sequencer(self.log())
        } else {
            Target::Node(self.node())
        }
    }

    /// One node, a sequencer, or a minority or half of the nodes.
    fn node_group_or_sequencer(&mut self) -> Target {
        if self.rng.chance(0.7) {
            return self.node_or_sequencer();
        }
        Target::Nodes(self.group(2..=(self.nodes() / 2 + 1).max(2)))
    }

    /// Some nodes.
    fn group(&mut self, sizes: RangeInclusive<u64>) -> NodeSet {
        let mut nodes: Vec<NodeId> = (0..self.nodes()).map(|n| NodeId(n as u8)).collect();
        self.rng.shuffle(&mut nodes);
        let count = self.rng.within(sizes) as usize;
        nodes.into_iter().take(count).collect()
    }
}

fn crash(trigger: Trigger) -> FaultKind {
    FaultKind::Crash {
        trigger,
        in_restart: None,
        restart_us: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::profile::PROFILES;

    fn options() -> SimOptions {
        PROFILES[0].draw(SimSeeds(1))
    }

    fn plan(options: &SimOptions, counts: &[(&str, u32)]) -> Vec<TimedFault> {
        let options = SimOptions {
            faults: FaultOptions::of(counts),
            ..options.clone()
        };
        draw_plan(&options, SimSeeds(7)).faults
    }

    #[test]
    fn each_family_has_a_name_of_its_own_and_draws_something() {
        let names: BTreeSet<&str> = families().map(|family| family.name).collect();
        assert_eq!(names.len(), families().count());
        for family in families() {
            assert!(
                plan(&options(), &[(family.name, 3)]).len() >= 3,
                "{}",
                family.name
            );
        }
    }

    /// Otherwise each new family would change the meaning of all seeds.
    #[test]
    fn a_family_leaves_what_others_draw_alone() {
        let options = options();
        let all: Vec<(&str, u32)> = families().map(|family| (family.name, 2)).collect();
        let mut apart: Vec<TimedFault> =
            all.iter().flat_map(|&one| plan(&options, &[one])).collect();
        apart.sort_by_key(|fault| fault.at_us);
        assert_eq!(plan(&options, &all), apart);
    }
}
