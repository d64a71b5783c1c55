//! Upgrades: another build comes to run in the place of the one that does, node by node.

use hstore_core::NodeId;

use super::{Draw, Family};
use crate::next::Build;
use crate::plan::{FaultKind, Target, TimedFault};

pub(super) const FAMILIES: &[Family] = &[Family {
    name: "upgrades",
    about: "node by node, all or some, the next version starts in the place of this one; in the second round this one again, and so on",
    draw: upgrades,
}];

/// So many rounds, one after another over the whole of the chaos.
fn upgrades(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    let (quiet_us, rounds) = (draw.options.quiet_us, u64::from(count.max(1)));
    let round_us = (draw.options.chaos_us - quiet_us) / rounds;
    let mut order: Vec<u64> = (0..draw.nodes()).collect();
    let mut faults = Vec::new();
    for round in 0..u64::from(count) {
        draw.rng.shuffle(&mut order);
        let to = if round % 2 == 0 {
            Build::Next
        } else {
            Build::Current
        };
        // Some stop half way: the two run beside each other until the next round.
        let reached = if draw.rng.chance(0.6) {
            draw.nodes()
        } else {
            draw.rng.within(1..=draw.nodes())
        };
        let first_us = quiet_us + round * round_us + draw.rng.below(round_us / 3 + 1);
        let gap_us = round_us / 2 / draw.nodes();
        for (turn, &node) in (0..reached).zip(&order) {
            let at_us = first_us + turn * gap_us;
            let node = Target::Node(NodeId(node as u8));
            faults.push(draw.fault_at(at_us, 20..=400, node, FaultKind::Upgrade { to }));
        }
    }
    faults
}
