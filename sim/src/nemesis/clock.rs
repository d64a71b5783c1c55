//! Clocks that run too fast or too slow, are set wrong, and leap.

use super::{Draw, Family};
use crate::plan::{FaultKind, Target, TimedFault};

pub(super) const FAMILIES: &[Family] = &[
    Family {
        name: "clock_drifts",
        about: "the clocks of a node run too fast or too slow, by a little or by a third",
        draw: drifts,
    },
    Family {
        name: "clock_steps",
        about: "the system clock of a node is set ahead or back, by moments or years, and right again",
        draw: steps,
    },
    Family {
        name: "clock_leaps",
        about: "both clocks of a node leap ahead, as after its machine was suspended",
        draw: leaps,
    },
];

/// A crystal is off by some tens of millionths; a virtual machine's clock may be anything.
fn drifts(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_group_or_sequencer();
        let ppm = draw.pick(&[50, 500, 20_000, 100_000, 330_000]);
        let ppm = if draw.rng.chance(0.5) { ppm } else { -ppm };
        let (least, most) = draw.pick(&[(500, 2_000), (3_000, 20_000)]);
        [draw.fault(least..=most, target, FaultKind::ClockDrift { ppm })]
    })
}

fn steps(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = if draw.rng.chance(0.1) {
            Target::Everyone
        } else {
            draw.node_or_sequencer()
        };
        let most = draw.pick(&[20, 2_000, 3_600_000, 40_000_000_000]);
        let by_ms = draw.rng.within(1..=most) as i64;
        let by_ms = if draw.rng.chance(0.5) { by_ms } else { -by_ms };
        [draw.fault(50..=4_000, target, FaultKind::ClockStep { by_ms })]
    })
}

fn leaps(draw: &mut Draw<'_>, count: u32) -> Vec<TimedFault> {
    draw.each(count, |draw| {
        let target = draw.node_or_sequencer();
        let most = draw.pick(&[50_000, 2_000_000, 60_000_000]);
        let by_us = draw.rng.within(1..=most);
        [draw.fault(0..=0, target, FaultKind::ClockLeap { by_us })]
    })
}
