//! What was added to this world by others: faults and invariants of their own.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::{Address, LogId, NodeId, NodeSet};
use hstore_replicator::effects::Event;
use serde_json::json;

use super::nodes::End;
use super::{Next, World};
use crate::extend::{Fault, Hurt, Invariant, SharedOpenStore};
use crate::net::Cause;
use crate::trace::Kind;

/// Causes of these faults are numbered from here on: those of the plan lie below.
const FIRST_CAUSE: u32 = 1 << 16;

/// A fault that was added.
#[derive(Debug)]
pub(super) struct Added {
    /// Absent while it is at work.
    fault: Option<Box<dyn Fault>>,
    name: String,
    at: Duration,
    until: Duration,
    effective: bool,
    ended: bool,
}

/// What was added.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) faults: Vec<Added>,
    pub(super) invariants: Vec<Box<dyn Invariant>>,
}

impl Extensions {
    /// How many of the faults changed something.
    pub(super) fn effective(&self) -> u64 {
        self.faults.iter().filter(|it| it.effective).count() as u64
    }
}

impl World {
    /// Adds a fault. It strikes so long after the chaos began, and is undone after so long.
    #[must_use]
    pub fn with_fault(mut self, at: Duration, until: Duration, fault: Box<dyn Fault>) -> Self {
        self.extensions.faults.push(Added {
            name: fault.name().to_owned(),
            fault: Some(fault),
            at,
            until,
            effective: false,
            ended: false,
        });
        self.counts.planned_faults += 1;
        self
    }

    /// Adds an invariant.
    #[must_use]
    pub fn with_invariant(mut self, invariant: Box<dyn Invariant>) -> Self {
        self.extensions.invariants.push(invariant);
        self
    }

    /// Has each node keep what it holds in this store, instead of that of the options.
    #[must_use]
    pub fn with_store(mut self, store: SharedOpenStore) -> Self {
        for host in &mut self.hosts {
            host.keep_in(Arc::clone(&store));
        }
        self
    }

    /// Asks the invariants that were added.
    pub(super) fn judge_by_added(&mut self, node: NodeId, event: &Event) {
        let now = self.now;
        let mut invariants = self.extensions.invariants.iter_mut();
        let violation = invariants.find_map(|it| it.on_event(now, node, event));
        self.judge(violation);
    }

    pub(super) fn plan_added(&mut self) {
        for index in 0..self.extensions.faults.len() {
            let added = &self.extensions.faults[index];
            let (begins, ends) = (self.now + added.at, self.now + added.until);
            self.schedule(begins, Next::AddedBegins(index));
            self.schedule(ends, Next::AddedEnds(index));
        }
    }

    pub(super) fn added_begins(&mut self, index: usize) {
        if self.plan_is_over || self.extensions.faults[index].ended {
            return;
        }
        self.tell_of_added(index, "begins");
        if let Some(mut fault) = self.extensions.faults[index].fault.take() {
            let effective = fault.strikes(&mut Hurting { world: self, index });
            let added = &mut self.extensions.faults[index];
            added.effective |= effective;
            added.fault = Some(fault);
        }
    }

    pub(super) fn added_ends(&mut self, index: usize) {
        if std::mem::replace(&mut self.extensions.faults[index].ended, true) {
            return;
        }
        self.tell_of_added(index, "ends");
        self.net.lift(cause(index));
        self.extensions.faults[index].effective |= self.net.affected(cause(index)) > 0;
        if let Some(mut fault) = self.extensions.faults[index].fault.take() {
            fault.is_undone(&mut Hurting { world: self, index });
        }
    }

    fn tell_of_added(&mut self, index: usize, what: &'static str) {
        let (now, added) = (self.now, &self.extensions.faults[index]);
        let name = added.name.clone();
        let number = u64::from(what == "begins");
        let numbers = [u64::from(FIRST_CAUSE) + index as u64, number];
        self.trace.event(
            now,
            Kind::Fault,
            numbers,
            name.as_bytes(),
            || json!({"fault": format!("own {index}"), what: name, "nodes": "its own"}),
        );
    }
}

fn cause(index: usize) -> Cause {
    Cause(FIRST_CAUSE + index as u32)
}

/// A world, in the hands of an added fault.
struct Hurting<'a> {
    world: &'a mut World,
    index: usize,
}

impl Hurt for Hurting<'_> {
    fn nodes(&self) -> NodeSet {
        self.world.config.nodes.keys().copied().collect()
    }

    fn sequencer(&self, log: LogId) -> Option<NodeId> {
        self.world.sequencer(log)
    }

    fn is_up(&self, node: NodeId) -> bool {
        self.world.host(node).is_up()
    }

    fn lose_power(&mut self, node: NodeId) -> bool {
        let may = self.is_up(node) && self.world.may_lose_memory(node);
        if may {
            self.world.kill_node(node, End::Between);
        }
        may
    }

    fn start(&mut self, node: NodeId) {
        self.world.restart(node, None);
    }

    fn pause(&mut self, node: NodeId) -> bool {
        let up = self.is_up(node);
        self.world.host_mut(node).paused |= up;
        up
    }

    fn resume(&mut self, node: NodeId) {
        self.world.resume(node);
    }

    fn cut(&mut self, from: NodeSet, to: NodeSet) {
        let addresses = |nodes: NodeSet| nodes.iter().map(Address::Node).collect::<Vec<_>>();
        let (from, to) = (addresses(from), addresses(to));
        self.world.net.block(cause(self.index), &from, &to);
    }
}
