//! Processes: power failures that end them, at many kinds of moments and many at once; ends without; and pauses.

use hstore_core::NodeSet;

use super::{Draw, Family, crash};
use crate::plan::{Direction, FaultKind, Moment, Target, TimedFault, Trigger};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "crashes",
        about: "a node or a sequencer loses power, at a time or inside a file operation, maybe again while it restarts",
        draw: crashes,
    },
    Family {
        name: "power_failures",
        about: "all nodes lose power at the same moment, amid their file operations",
        draw: power_failures,
    },
    Family {
        name: "moments",
        about: "a node loses power soon after it sealed, was activated, decided, made clean or purged",
        draw: moments,
    },
    Family {
        name: "pauses",
        about: "a process stands still for a while and then goes on",
        draw: pauses,
    },
    Family {
        name: "exits",
        about: "a process ends while its machine goes on, and starts again with what it wrote",
        draw: exits,
    },
    Family {
        name: "loops",
        about: "a process ends again and again, with the power of its machine or without",
        draw: loops,
    },
    Family {
        name: "rack_losses",
        about: "all nodes of a rack lose power at once, or are cut off",
        draw: rack_losses,
    },
    Family {
        name: "role_crashes",
        about: "who matters loses power, ends or stands still: a write quorum, the copies of the last record, a recovery's coordinator",
        draw: role_crashes,
    },
];

fn crashes(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_or_sequencer();
        let trigger = if draw.rng.chance(0.6) {
            Trigger::InFileOperation(draw.rng.within(1..=6) as u32)
        } else {
            Trigger::AtOnce
        };
        let kind = crash_maybe_twice(draw, trigger);
        [draw.fault(200..=3_000, target, kind)]
    })
}

fn power_failures(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let trigger = Trigger::AfterFileOperations {
            count: draw.rng.within(1..=24) as u32,
            delay_us: draw.rng.within(0..=6_000),
        };
        let kind = crash_maybe_twice(draw, trigger);
        [draw.fault(300..=1_500, Target::Everyone, kind)]
    })
}

fn crash_maybe_twice(draw: &mut Draw<'_>, trigger: Trigger) -> FaultKind {
    let in_restart = draw.rng.chance(0.3).then(|| {
        // Opening RocksDB takes about a hundred operations, the model store a dozen.
        let last = draw.pick(&[12, 120]);
        draw.rng.within(1..=last) as u32
    });
    FaultKind::Crash {
        trigger,
        in_restart,
        restart_us: None,
    }
}

fn moments(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    // Crashes at the same moment of several nodes are worth having: often all wait for the same.
    let favourite = draw.pick(&Moment::ALL);
    draw.each(count, |draw| {
        let target = if draw.rng.chance(0.6) {
            Target::Everyone
        } else {
            draw.node_or_sequencer()
        };
        let moment = if draw.rng.chance(0.6) {
            favourite
        } else {
            draw.pick(&Moment::ALL)
        };
        let trigger = Trigger::AtMoment {
            moment,
            file_operation: draw.rng.within(1..=8) as u32,
        };
        [draw.fault(500..=4_000, target, crash(trigger))]
    })
}

fn pauses(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_or_sequencer();
        [draw.fault(100..=2_000, target, FaultKind::Pause)]
    })
}

fn exits(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = if draw.rng.chance(0.2) {
            Target::Everyone
        } else {
            draw.node_group_or_sequencer()
        };
        [draw.fault(10..=2_000, target, FaultKind::Exit)]
    })
}

fn loops(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_or_sequencer();
        let kind = FaultKind::Loop {
            up_us: draw.rng.within(1..=600) * 1_000,
            down_us: draw.rng.within(5..=400) * 1_000,
            power: draw.rng.chance(0.5),
        };
        [draw.fault(500..=4_000, target, kind)]
    })
}

fn rack_losses(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.rack();
        let kind = if draw.rng.chance(0.7) {
            let trigger = draw.pick(&[Trigger::AtOnce, Trigger::InFileOperation(1)]);
            crash_maybe_twice(draw, trigger)
        } else {
            FaultKind::Partition {
                direction: Direction::Both,
                bridge: NodeSet::EMPTY,
            }
        };
        [draw.fault(300..=2_500, target, kind)]
    })
}

fn role_crashes(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.role();
        let kind = draw.pick(&[
            crash(Trigger::AtOnce),
            crash(Trigger::InFileOperation(1)),
            FaultKind::Exit,
            FaultKind::Pause,
        ]);
        [draw.fault(200..=2_500, target, kind)]
    })
}
