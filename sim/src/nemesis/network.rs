//! The network: partitions, bad, narrow and clogged links, and messages that are lost, late, damaged or heard
//! again.

use hstore_core::NodeSet;

use super::{Draw, Family};
use crate::net::{Bandwidth, Damage, Degradation, Release};
use crate::plan::{Direction, FaultKind, Moment, Target, TimedFault, Traffic, Trigger};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "partitions",
        about: "messages to, from, or between a target and the others are lost; bridge nodes may reach both sides",
        draw: partitions,
    },
    Family {
        name: "degradations",
        about: "the target's links lose, delay and duplicate messages",
        draw: degradations,
    },
    Family {
        name: "stalls",
        about: "what metadata nodes say about registers is late, everything else goes on",
        draw: stalls,
    },
    Family {
        name: "drops",
        about: "messages of one kind to and from the target are lost: stores, acks, replies, accepts, seals, heartbeats, ...",
        draw: drops,
    },
    Family {
        name: "echoes",
        about: "messages arrive once more, up to seconds later, maybe in another life of their receiver",
        draw: echoes,
    },
    Family {
        name: "coups",
        about: "a sequencer is cut off from all but a few nodes, or late, and shows no sign of life; those crash once they sealed, lose seals or are slow",
        draw: coups,
    },
    Family {
        name: "last_words",
        about: "some of the last stores that a sequencer sends are lost, and soon after it ends, stands still or is cut off",
        draw: last_words,
    },
    Family {
        name: "role_partitions",
        about: "who matters is cut off from the others: a sequencer, a write quorum, a metadata majority, the copies of the last record, a recovery's coordinator",
        draw: role_partitions,
    },
    Family {
        name: "clogs",
        about: "links hold what is under way and what is sent, and let go of it later, all at once or in order",
        draw: clogs,
    },
    Family {
        name: "throttles",
        about: "little passes the target's links: messages wait for those before them, or find no room",
        draw: throttles,
    },
    Family {
        name: "corruptions",
        about: "bytes of frames are damaged under way; the checksum has to tell",
        draw: corruptions,
    },
];

fn partitions(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_group_or_sequencer();
        let direction = draw.pick(&[
            Direction::Both,
            Direction::Both,
            Direction::Inbound,
            Direction::Outbound,
        ]);
        // Partitions need not be transitive: some nodes may see a sequencer that others miss.
        let bridge = if draw.rng.chance(0.4) {
            draw.group(1..=2)
        } else {
            NodeSet::EMPTY
        };
        let kind = FaultKind::Partition { direction, bridge };
        [draw.fault(300..=3_000, target, kind)]
    })
}

fn degradations(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = if draw.rng.chance(0.3) {
            Target::Everyone
        } else {
            draw.node_group_or_sequencer()
        };
        let degradation = Degradation {
            loss: draw.rng.below(300) as f64 / 1_000.0,
            delay_us_min: 0,
            delay_us_max: draw.rng.within(0..=60_000),
            duplication: draw.rng.below(200) as f64 / 1_000.0,
        };
        [draw.fault(500..=3_000, target, FaultKind::Degrade(degradation))]
    })
}

fn stalls(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let delay_us = draw.rng.within(100..=3_000) * 1_000;
        let kind = FaultKind::StallMetadata { delay_us };
        [draw.fault(500..=4_000, Target::Everyone, kind)]
    })
}

fn drops(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_group_or_sequencer();
        // Without signs of life a sequencer is succeeded while it goes on.
        let which = if draw.rng.chance(0.3) {
            Traffic::Heartbeats
        } else {
            draw.pick(&Traffic::ALL)
        };
        let count = match which {
            Traffic::Heartbeats => u32::MAX,
            _ => draw.pick(&[1, 2, 5, 20, u32::MAX]),
        };
        let kind = FaultKind::DropMessages { which, count };
        [draw.fault(300..=3_000, target, kind)]
    })
}

fn echoes(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_group_or_sequencer();
        let delay_us_min = draw.rng.within(1..=500) * 1_000;
        let kind = FaultKind::Echo {
            permille: draw.rng.within(5..=200) as u32,
            delay_us_min,
            delay_us_max: delay_us_min * draw.rng.within(1..=6),
        };
        [draw.fault(500..=4_000, target, kind)]
    })
}

fn coups(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, coup)
}

/// What a sequencer sends last does not all arrive: a record is stored nowhere while one after it is.
fn last_words(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let sequencer = Target::Sequencer(draw.log());
        let lost = FaultKind::DropMessages {
            which: Traffic::Stores,
            count: draw.pick(&[1, 2, 3, 5]),
        };
        let lost = draw.fault(100..=300, sequencer, lost);
        let at_us = lost.at_us + draw.rng.within(2..=60) * 1_000;
        let end = match draw.rng.below(3) {
            0 => FaultKind::Crash {
                trigger: Trigger::AtOnce,
                in_restart: None,
                restart_us: None,
            },
            1 => FaultKind::Pause,
            _ => FaultKind::Partition {
                direction: Direction::Both,
                bridge: NodeSet::EMPTY,
            },
        };
        let end = TimedFault {
            at_us,
            until_us: at_us + draw.rng.within(1_000..=3_000) * 1_000,
            target: sequencer,
            kind: end,
        };
        [lost, end]
    })
}

fn role_partitions(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.role();
        let direction = draw.pick(&[Direction::Both, Direction::Inbound, Direction::Outbound]);
        let bridge = NodeSet::EMPTY;
        let kind = FaultKind::Partition { direction, bridge };
        [draw.fault(300..=3_000, target, kind)]
    })
}

fn clogs(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = if draw.rng.chance(0.4) {
            draw.role()
        } else {
            draw.node_group_or_sequencer()
        };
        let direction = draw.pick(&[Direction::Both, Direction::Inbound, Direction::Outbound]);
        let gap_us = draw.rng.within(0..=2_000);
        let release = draw.pick(&[
            Release::Burst,
            Release::Reversed,
            Release::InOrder { gap_us },
        ]);
        let kind = FaultKind::Clog { direction, release };
        [draw.fault(50..=4_000, target, kind)]
    })
}

fn throttles(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_group_or_sequencer();
        let band = Bandwidth {
            bytes_per_second: draw.pick(&[5_000, 20_000, 100_000, 1_000_000]),
            buffer_bytes: draw.pick(&[1_000, 10_000, 100_000]),
        };
        [draw.fault(500..=4_000, target, FaultKind::Throttle(band))]
    })
}

fn corruptions(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = if draw.rng.chance(0.5) {
            Target::Everyone
        } else {
            draw.node_group_or_sequencer()
        };
        let kind = FaultKind::Corrupt {
            permille: draw.pick(&[5, 50, 300]),
            damage: draw.pick(&Damage::ALL),
        };
        [draw.fault(500..=4_000, target, kind)]
    })
}

/// A sequencer shows no sign of life and is cut off, but for some nodes that its successor reaches as well:
/// what two reigns want of the same nodes is decided there. Or all that it sends is late. Often the seals of these are late or lost, their
/// disks slow, or one of them crashes once it has sealed, and is back before the old reign is over.
fn coup(draw: &mut Draw<'_>) -> Vec<TimedFault> {
    let sequencer = Target::Sequencer(draw.log());
    let between = draw.group(1..=2);
    // What it sends to the others is lost, or comes when its reign has long been over.
    let cut = if draw.rng.chance(0.7) {
        FaultKind::Partition {
            direction: Direction::Both,
            bridge: between,
        }
    } else {
        FaultKind::Clog {
            direction: Direction::Outbound,
            release: Release::Burst,
        }
    };
    let cut = draw.fault(1_000..=3_000, sequencer, cut);
    // Those who reach both sides would tell of it.
    let silent = TimedFault {
        kind: FaultKind::DropMessages {
            which: Traffic::Heartbeats,
            count: u32::MAX,
        },
        ..cut.clone()
    };
    let mut also = Vec::new();
    if draw.rng.chance(0.5) {
        also.push(FaultKind::Crash {
            trigger: Trigger::AtMoment {
                moment: Moment::Bounds,
                file_operation: draw.rng.within(1..=6) as u32,
            },
            in_restart: None,
            restart_us: Some(draw.rng.within(1..=200) * 1_000),
        });
    }
    if draw.rng.chance(0.4) {
        also.push(FaultKind::DropMessages {
            which: Traffic::Seals,
            count: draw.pick(&[1, 2, 5, u32::MAX]),
        });
    }
    if draw.rng.chance(0.4) {
        let factor = draw.rng.within(5..=50) as u32;
        also.push(FaultKind::SlowDisk { factor });
    }
    // Single records that are stored nowhere while others are: holes.
    if draw.rng.chance(0.4) {
        also.push(FaultKind::DropMessages {
            which: Traffic::Stores,
            count: draw.pick(&[1, 2, 5]),
        });
    }
    let also = also.into_iter().map(|kind| TimedFault {
        target: Target::Nodes(between),
        kind,
        ..cut
    });
    also.chain([silent, cut.clone()]).collect()
}
