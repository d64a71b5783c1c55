//! Disks: slow ones, such as fail, and what they held and hold no more.
//!
//! Stores read most of what they hold only when they are opened. So a fault that concerns reading, or that
//! the page cache hides, often comes with a crash of its node.

use hstore_core::NodeSet;

use super::{Draw, Family, crash};
use crate::disk::{DiskFault, FileClass, Operations};
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
    Family {
        name: "read_errors",
        about: "reads of a node's disk fail, once or for a while, often when its store is opened",
        draw: read_errors,
    },
    Family {
        name: "write_errors",
        about: "writes to a node's disk fail, once or for a while, and may be done in part",
        draw: |draw, count| errors(draw, count, Operations::Write),
    },
    Family {
        name: "sync_errors",
        about: "syncs of a node's disk fail, once or for a while, and drop what they were to write; later ones succeed without it",
        draw: |draw, count| errors(draw, count, Operations::Sync),
    },
    Family {
        name: "full_disks",
        about: "a node's disk has little room left or none, for a while",
        draw: full_disks,
    },
    Family {
        name: "stalled_disks",
        about: "a node's disk completes nothing, for up to seconds",
        draw: stalled_disks,
    },
    Family {
        name: "misdirected_writes",
        about: "a sector was written over another one, of the same file or another; it shows at once, or once the power has failed",
        draw: misdirected_writes,
    },
    Family {
        name: "bad_sectors",
        about: "a sector of what a node's store wrote cannot be read any more",
        draw: bad_sectors,
    },
    Family {
        name: "wiped_disks",
        about: "a node comes back with an empty disk, and must not answer as if it had never promised anything",
        draw: wiped_disks,
    },
    Family {
        name: "rotten_records",
        about: "every copy of a record goes bad: beyond what must be survived, so that it must be told as lost",
        draw: rotten_records,
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

/// Operations fail, in files of one class. Most stores end with the first; some faults outlast what follows.
fn error(draw: &mut Draw<'_>, operations: Operations) -> TimedFault {
    let target = draw.node_or_sequencer();
    let fault = DiskFault::Error {
        operations,
        files: draw.pick(&[
            FileClass::Any,
            FileClass::Any,
            FileClass::Log,
            FileClass::Table,
            FileClass::Manifest,
        ]),
        passes: draw.rng.below(12) as u32,
        count: draw.pick(&[1, 1, 2, 5, u32::MAX]),
        keeps_cache: draw.rng.chance(0.5),
        pick: draw.rng.seed(),
    };
    draw.fault(100..=3_000, target, FaultKind::Disk(fault))
}

fn errors(draw: &mut Draw<'_>, count: u32, operations: Operations) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let mut faults = vec![error(draw, operations)];
        // What a failed sync dropped is in the cache until the power fails, too.
        if operations == Operations::Sync && draw.rng.chance(0.5) {
            let after_us = draw.rng.within(1..=600_000);
            faults.push(crash_after(draw, faults[0].clone(), after_us));
        }
        faults
    })
}

fn read_errors(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let mut faults = vec![error(draw, Operations::Read)];
        if draw.rng.chance(0.7) {
            let after_us = draw.rng.within(0..=1_000);
            faults.push(crash_after(draw, faults[0].clone(), after_us));
        }
        faults
    })
}

/// The target of a fault crashes so long after it, for a short time.
fn crash_after(draw: &mut Draw<'_>, fault: TimedFault, after_us: u64) -> TimedFault {
    let at_us = fault.at_us + after_us;
    draw.fault_at(at_us, 50..=1_000, fault.target, crash(Trigger::AtOnce))
}

fn full_disks(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_or_sequencer();
        let most = draw.pick(&[0, 2, 30]) << 10;
        let room = draw.rng.within(0..=most);
        let fault = FaultKind::Disk(DiskFault::Full { room });
        [draw.fault(300..=3_000, target, fault)]
    })
}

fn stalled_disks(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_group_or_sequencer();
        [draw.fault(100..=5_000, target, FaultKind::StallDisk)]
    })
}

fn misdirected_writes(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = Target::Node(draw.node());
        let kind = FaultKind::Misdirect {
            from: draw.rng.seed(),
            to: draw.rng.seed(),
            shows: draw.rng.chance(0.5),
        };
        damage_and_crash(draw, target, kind)
    })
}

fn bad_sectors(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = Target::Node(draw.node());
        let pick = draw.rng.seed();
        damage_and_crash(draw, target, FaultKind::BadSector { pick })
    })
}

fn damage_and_crash(draw: &mut Draw<'_>, target: Target, kind: FaultKind) -> Vec<TimedFault> {
    let mut faults = vec![draw.fault(0..=0, target, kind)];
    if draw.rng.chance(0.8) {
        let after_us = draw.rng.within(1..=500_000);
        faults.push(crash_after(draw, faults[0].clone(), after_us));
    }
    faults
}

fn wiped_disks(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_or_sequencer();
        [draw.fault(50..=2_000, target, FaultKind::WipeDisk)]
    })
}

/// A record that all have is wanted by readers; a recovery may want one that is new.
fn rotten_records(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let pick = draw.rng.seed();
        [draw.fault(0..=0, Target::Everyone, FaultKind::RotRecord { pick })]
    })
}
