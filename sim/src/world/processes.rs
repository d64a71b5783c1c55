//! Processes end and start, as faults have them: once, again and again, or as another build.

use std::time::Duration;

use hstore_core::NodeId;

use super::nodes::End;
use super::{Next, World};
use crate::next::Build;
use crate::plan::FaultKind;

impl World {
    /// Ends the processes that a fault strikes, as far as they may lose what they have in memory.
    pub(super) fn end_processes(&mut self, index: usize, how: End) {
        for node in self.faults[index].nodes.iter() {
            if self.host(node).is_up() && self.may_lose_memory(node) {
                self.faults[index].effective = true;
                self.kill_node(node, how);
            }
        }
    }

    /// A fault that ends processes again and again does so, or lets them run for a while.
    pub(super) fn take_turn(&mut self, index: usize) {
        let FaultKind::Loop {
            up_us,
            down_us,
            power,
        } = self.plan.faults[index].kind
        else {
            unreachable!("only such a fault has turns");
        };
        let nodes = self.faults[index].nodes;
        let running = nodes.iter().any(|node| self.host(node).is_up());
        self.faults[index].lets_run = !running;
        let lasts_us = if running {
            self.end_processes(index, if power { End::Between } else { End::Exit });
            down_us
        } else {
            for node in nodes.iter() {
                self.restart(node, None);
            }
            up_us
        };
        let at = self.now + Duration::from_micros(lasts_us);
        self.schedule(at, Next::FaultBegins(index));
    }

    /// Processes end, and another build is installed in their place.
    pub(super) fn install(&mut self, index: usize, build: Build) {
        self.end_processes(index, End::Exit);
        for node in self.faults[index].nodes.iter() {
            let host = self.host_mut(node);
            if !host.is_up() && host.build != build {
                host.build = build;
                self.faults[index].effective = true;
            }
        }
    }

    /// Whether a fault that goes on keeps a node down.
    pub(super) fn held_down(&self, node: NodeId) -> bool {
        let mut faults = self.plan.faults.iter().zip(&self.faults);
        faults.any(|(fault, struck)| {
            fault.kind.ends_processes() && struck.strikes(node) && !struck.lets_run
        })
    }

    /// Starts a node that is down, unless something keeps it there.
    pub(super) fn restart(&mut self, node: NodeId, crash_after: Option<u32>) {
        if !self.host(node).is_up() && !self.held_down(node) {
            self.start_node(node, crash_after);
        }
    }
}
