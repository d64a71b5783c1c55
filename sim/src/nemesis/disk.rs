//! Disks: slow ones, and what they held and hold no more.

use hstore_core::NodeSet;

use super::{Draw, Family, crash};
use crate::plan::{FaultKind, FlipPlace, Target, TimedFault, Trigger};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "slow_disks",
        about: "syncs of a node's disk take many times as long",
        draw: slow_disks,
    },
    Family {
        name: "lost_suffixes",
        about: "power failure that leaves nothing of what was not synced",
        draw: lost_suffixes,
    },
    Family {
        name: "flipped_bits",
        about: "a bit of a copy, a write-ahead log or a table flips, and often its node crashes soon after",
        draw: flipped_bits,
    },
];

fn slow_disks(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_group_or_sequencer();
        let factor = draw.rng.within(5..=50) as u32;
        [draw.fault(500..=3_000, target, FaultKind::SlowDisk { factor })]
    })
}

fn lost_suffixes(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_or_sequencer();
        [draw.fault(200..=3_000, target, FaultKind::LoseSuffix)]
    })
}

fn flipped_bits(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, flipped_bit)
}

/// A flipped bit; and, as stores look at most of what they hold only when they are opened, often a crash of
/// its node soon after. A bit of the newest copy matters to a recovery that has no other: those who may hold
/// one crash.
fn flipped_bit(draw: &mut Draw<'_>) -> Vec<TimedFault> {
    let node = draw.node();
    let target = Target::Node(node);
    let place = draw.pick(&[
        FlipPlace::Copy,
        FlipPlace::NewestCopy,
        FlipPlace::NewestCopy,
        FlipPlace::Log,
        FlipPlace::Table,
    ]);
    let pick = draw.rng.seed();
    let flip = draw.fault(0..=0, target, FaultKind::FlipBit { place, pick });
    let flipped_us = flip.at_us;
    let mut faults = vec![flip];
    if place == FlipPlace::NewestCopy {
        let sequencer = Target::Sequencer(draw.log());
        let others = draw.group(1..=2).difference(NodeSet::only(node));
        for target in [sequencer, Target::Nodes(others)] {
            let at_us = flipped_us + draw.rng.within(1..=20_000);
            faults.push(draw.fault_at(at_us, 300..=3_000, target, crash(Trigger::AtOnce)));
        }
    } else if place != FlipPlace::Copy && draw.rng.chance(0.8) {
        let at_us = flipped_us + draw.rng.within(1..=500_000);
        faults.push(draw.fault_at(at_us, 50..=1_000, target, crash(Trigger::AtOnce)));
    }
    faults
}
