//! Clocks are set, drift and leap, as faults have them.

use std::time::Duration;

use hstore_core::NodeId;

use super::{Struck, World};
use crate::plan::{FaultKind, TimedFault};

impl World {
    /// A fault that strikes clocks begins or ends.
    pub(super) fn set_clocks(&mut self, index: usize, begins: bool) {
        let now = self.now;
        let kind = self.plan.faults[index].kind;
        for node in self.faults[index].nodes.iter() {
            let drift = self.drift_of(node);
            let host = self.host_mut(node);
            match kind {
                FaultKind::ClockDrift { .. } => host.clock.drift(now, drift),
                FaultKind::ClockStep { by_ms } => {
                    host.clock.set_wall(if begins { by_ms } else { -by_ms });
                }
                FaultKind::ClockLeap { by_us } if begins => {
                    host.clock.leap(now, Duration::from_micros(by_us));
                }
                _ => {}
            }
            // What was to come at one time comes at another.
            host.timer = None;
            let is_up = host.is_up();
            self.faults[index].effective |= is_up;
            self.set_node_timer(node);
        }
    }

    /// How many millionths too fast the clocks of a node run: as the last fault has it that goes on.
    fn drift_of(&self, node: NodeId) -> i32 {
        let faults = self.plan.faults.iter().zip(&self.faults);
        let drift = |(fault, struck): (&TimedFault, &Struck)| match fault.kind {
            FaultKind::ClockDrift { ppm } if struck.strikes(node) => Some(ppm),
            _ => None,
        };
        faults.rev().find_map(drift).unwrap_or(0)
    }
}
