//! Making the fault plan. Applying it is the world's.

use std::time::Duration;

use hstore_core::{LogId, NodeId, NodeSet, Rng};

use crate::net::Degradation;
use crate::options::SimOptions;
use crate::plan::{
    Direction, FaultKind, FaultPlan, FlipPlace, Moment, Target, TimedFault, Traffic, Trigger,
};

/// Draws a plan. It depends on the options and the stream alone: not on the run, nor on a planted bug.
///
/// # Panics
/// If the options name a planted bug: they must not, yet.
#[must_use]
pub fn draw_plan(options: &SimOptions, rng: &mut Rng) -> FaultPlan {
    assert_eq!(options.mutant, None, "a plan knows of no planted bug");
    let mut draw = Draw { options, rng };
    let mut faults = Vec::new();
    let counts = options.faults;
    for _ in 0..counts.crashes {
        let target = draw.node_or_sequencer();
        let trigger = if draw.rng.chance(0.6) {
            Trigger::InFileOperation(draw.rng.within(1..=6) as u32)
        } else {
            Trigger::AtOnce
        };
        faults.push(draw.fault(200..=3_000, target, crash(trigger)));
    }
    for _ in 0..counts.power_failures {
        let trigger = Trigger::AfterFileOperations {
            count: draw.rng.within(1..=24) as u32,
            delay_us: draw.rng.within(0..=6_000),
        };
        faults.push(draw.fault(300..=1_500, Target::Everyone, crash(trigger)));
    }
    for _ in 0..counts.pauses {
        let target = draw.node_or_sequencer();
        faults.push(draw.fault(100..=2_000, target, FaultKind::Pause));
    }
    for _ in 0..counts.partitions {
        let target = draw.node_group_or_sequencer();
        let direction = *draw
            .rng
            .pick(&[
                Direction::Both,
                Direction::Both,
                Direction::Inbound,
                Direction::Outbound,
            ])
            .expect("not empty");
        // Partitions need not be transitive: some nodes may see a sequencer that others miss.
        let bridge = if draw.rng.chance(0.4) {
            draw.group(1..=2)
        } else {
            NodeSet::EMPTY
        };
        let kind = FaultKind::Partition { direction, bridge };
        faults.push(draw.fault(300..=3_000, target, kind));
    }
    for _ in 0..counts.degradations {
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
        faults.push(draw.fault(500..=3_000, target, FaultKind::Degrade(degradation)));
    }
    for _ in 0..counts.slow_disks {
        let target = draw.node_group_or_sequencer();
        let factor = draw.rng.within(5..=50) as u32;
        faults.push(draw.fault(500..=3_000, target, FaultKind::SlowDisk { factor }));
    }
    for fault in &mut faults {
        if let FaultKind::Crash { in_restart, .. } = &mut fault.kind
            && rng.chance(0.3)
        {
            // Opening RocksDB takes about a hundred operations, the model store a dozen.
            let last = *rng.pick(&[12, 120]).expect("not empty");
            *in_restart = Some(rng.within(1..=last) as u32);
        }
    }
    let mut draw = Draw { options, rng };
    // Crashes at the same moment of several nodes are worth having: often all wait for the same.
    let favourite = *draw.rng.pick(&Moment::ALL).expect("not empty");
    for _ in 0..counts.moments {
        faults.push(draw.crash_at_moment(favourite));
    }
    for _ in 0..counts.lost_suffixes {
        let target = draw.node_or_sequencer();
        faults.push(draw.fault(200..=3_000, target, FaultKind::LoseSuffix));
    }
    for _ in 0..counts.flipped_bits {
        faults.extend(draw.flipped_bit());
    }
    for _ in 0..counts.stalls {
        let delay_us = draw.rng.within(100..=3_000) * 1_000;
        let kind = FaultKind::StallMetadata { delay_us };
        faults.push(draw.fault(500..=4_000, Target::Everyone, kind));
    }
    for _ in 0..counts.drops {
        let target = draw.node_group_or_sequencer();
        // Without signs of life a sequencer is succeeded while it goes on.
        let which = if draw.rng.chance(0.3) {
            Traffic::Heartbeats
        } else {
            *draw.rng.pick(&Traffic::ALL).expect("not empty")
        };
        let count = match which {
            Traffic::Heartbeats => u32::MAX,
            _ => *draw.rng.pick(&[1, 2, 5, 20, u32::MAX]).expect("not empty"),
        };
        let kind = FaultKind::DropMessages { which, count };
        faults.push(draw.fault(300..=3_000, target, kind));
    }
    for _ in 0..counts.echoes {
        let target = draw.node_group_or_sequencer();
        let delay_us_min = draw.rng.within(1..=500) * 1_000;
        let kind = FaultKind::Echo {
            permille: draw.rng.within(5..=200) as u32,
            delay_us_min,
            delay_us_max: delay_us_min * draw.rng.within(1..=6),
        };
        faults.push(draw.fault(500..=4_000, target, kind));
    }
    for _ in 0..counts.coups {
        faults.extend(draw.coup());
    }
    faults.sort_by_key(|fault| fault.at_us);
    FaultPlan {
        faults,
        moves: Vec::new(),
    }
}

fn crash(trigger: Trigger) -> FaultKind {
    FaultKind::Crash {
        trigger,
        in_restart: None,
        restart_us: None,
    }
}

struct Draw<'a> {
    options: &'a SimOptions,
    rng: &'a mut Rng,
}

impl Draw<'_> {
    /// A fault at a random moment of the chaos, lasting for some of `millis`.
    fn fault(
        &mut self,
        millis: std::ops::RangeInclusive<u64>,
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
        millis: std::ops::RangeInclusive<u64>,
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

    fn crash_at_moment(&mut self, favourite: Moment) -> TimedFault {
        let target = if self.rng.chance(0.6) {
            Target::Everyone
        } else {
            self.node_or_sequencer()
        };
        let moment = if self.rng.chance(0.6) {
            favourite
        } else {
            *self.rng.pick(&Moment::ALL).expect("not empty")
        };
        let trigger = Trigger::AtMoment {
            moment,
            file_operation: self.rng.within(1..=8) as u32,
        };
        self.fault(500..=4_000, target, crash(trigger))
    }

    /// A flipped bit; and, as stores look at most of what they hold only when they are opened, often a
    /// crash of its node soon after. A bit of the newest copy matters to a recovery that has no other: those
    /// who may hold one crash.
    fn flipped_bit(&mut self) -> Vec<TimedFault> {
        let node = NodeId(self.rng.below(self.nodes()) as u8);
        let target = Target::Node(node);
        let place = *self
            .rng
            .pick(&[
                FlipPlace::Copy,
                FlipPlace::NewestCopy,
                FlipPlace::NewestCopy,
                FlipPlace::Log,
                FlipPlace::Table,
            ])
            .expect("not empty");
        let pick = self.rng.seed();
        let flip = self.fault(0..=0, target, FaultKind::FlipBit { place, pick });
        let flipped_us = flip.at_us;
        let mut faults = vec![flip];
        if place == FlipPlace::NewestCopy {
            let log = self.rng.within(1..=u64::from(self.options.workload.logs));
            let others = self.group(1..=2).difference(NodeSet::only(node));
            for target in [Target::Sequencer(LogId(log as u32)), Target::Nodes(others)] {
                let at_us = flipped_us + self.rng.within(1..=20_000);
                faults.push(self.fault_at(at_us, 300..=3_000, target, crash(Trigger::AtOnce)));
            }
        } else if place != FlipPlace::Copy && self.rng.chance(0.8) {
            let at_us = flipped_us + self.rng.within(1..=500_000);
            faults.push(self.fault_at(at_us, 50..=1_000, target, crash(Trigger::AtOnce)));
        }
        faults
    }

    /// A sequencer shows no sign of life and is cut off, but for some nodes that its successor reaches as
    /// well: what two reigns want of the same nodes is decided there. Often the seals of these are late or
    /// lost, their disks slow, or one of them crashes once it has sealed, and is back before the old reign
    /// is over.
    fn coup(&mut self) -> Vec<TimedFault> {
        let log = self.rng.within(1..=u64::from(self.options.workload.logs));
        let between = self.group(1..=2);
        let cut = FaultKind::Partition {
            direction: Direction::Both,
            bridge: between,
        };
        let cut = self.fault(1_000..=3_000, Target::Sequencer(LogId(log as u32)), cut);
        // Those who reach both sides would tell of it.
        let silent = TimedFault {
            kind: FaultKind::DropMessages {
                which: Traffic::Heartbeats,
                count: u32::MAX,
            },
            ..cut.clone()
        };
        let mut also = Vec::new();
        if self.rng.chance(0.5) {
            also.push(FaultKind::Crash {
                trigger: Trigger::AtMoment {
                    moment: Moment::Bounds,
                    file_operation: self.rng.within(1..=6) as u32,
                },
                in_restart: None,
                restart_us: Some(self.rng.within(1..=200) * 1_000),
            });
        }
        if self.rng.chance(0.4) {
            also.push(FaultKind::DropMessages {
                which: Traffic::Seals,
                count: *self.rng.pick(&[1, 2, 5, u32::MAX]).expect("not empty"),
            });
        }
        if self.rng.chance(0.4) {
            let factor = self.rng.within(5..=50) as u32;
            also.push(FaultKind::SlowDisk { factor });
        }
        let also = also.into_iter().map(|kind| TimedFault {
            target: Target::Nodes(between),
            kind,
            ..cut
        });
        also.chain([silent, cut.clone()]).collect()
    }

    fn nodes(&self) -> u64 {
        self.options.locations.len() as u64
    }

    fn node_or_sequencer(&mut self) -> Target {
        if self.rng.chance(0.6) {
            let log = self.rng.within(1..=u64::from(self.options.workload.logs));
            Target::Sequencer(LogId(log as u32))
        } else {
            Target::Node(NodeId(self.rng.below(self.nodes()) as u8))
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
    fn group(&mut self, sizes: std::ops::RangeInclusive<u64>) -> NodeSet {
        let mut nodes: Vec<NodeId> = (0..self.nodes()).map(|n| NodeId(n as u8)).collect();
        self.rng.shuffle(&mut nodes);
        let count = self.rng.within(sizes) as usize;
        nodes.into_iter().take(count).collect()
    }
}
