//! Smaller clusters, fewer logs and clients, and quieter surroundings, for a course.
//!
//! Every candidate is a whole course: what named a node or a log that is gone is changed or left out. Whether a
//! candidate can be run is for the caller to check.

use hstore_core::quorum::Location;
use hstore_core::{LogId, NodeId, NodeSet};
use hstore_replicator::config::CopyDurability;
use hstore_replicator::placement::copyset::CopysetSelector;
use hstore_workloads::Step;

use crate::options::MoveOptions;
use crate::plan::{FaultKind, Target};
use crate::run::Course;

/// Courses with fewer clients, the fewest first: their steps are done by those that are left.
pub(super) fn fewer_clients(course: &Course) -> Vec<Course> {
    let clients = course.options.workload.clients;
    let with = |left: u32| {
        let mut course = course.clone();
        course.options.workload.clients = left;
        for step in course.steps.iter_mut().flatten() {
            step.client %= left;
        }
        course
    };
    (1..clients).map(with).collect()
}

/// Without the clients that do nothing. The others keep what they do, and when.
pub(super) fn without_idle_clients(course: &Course) -> Option<Course> {
    let mut course = course.clone();
    let steps = course.steps.as_mut()?;
    let mut busy: Vec<u32> = steps.iter().map(|step| step.client).collect();
    busy.sort_unstable();
    busy.dedup();
    let left = busy.len().max(1) as u32;
    if left == course.options.workload.clients {
        return None;
    }
    course.options.workload.clients = left;
    for step in steps {
        let new = busy.binary_search(&step.client);
        step.client = new.expect("it does something") as u32;
    }
    Some(course)
}

/// Courses without one of the logs, and without what is about it.
pub(super) fn without_a_log(course: &Course) -> Vec<Course> {
    let logs = course.options.workload.logs;
    if logs == 1 {
        return Vec::new();
    }
    (1..=logs)
        .rev()
        .map(|log| without_log(course, log))
        .collect()
}

fn without_log(course: &Course, gone: u32) -> Course {
    let renamed = |log: LogId| match log.0.cmp(&gone) {
        std::cmp::Ordering::Less => Some(log),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(LogId(log.0 - 1)),
    };
    let mut course = course.clone();
    course.options.workload.logs -= 1;
    course
        .plan
        .faults
        .retain_mut(|fault| match &mut fault.target {
            Target::Sequencer(log)
            | Target::WriteQuorum { log, .. }
            | Target::LastCopyset(log)
            | Target::Coordinator(log) => renamed(*log).map(|new| *log = new).is_some(),
            _ => true,
        });
    course
        .plan
        .moves
        .retain_mut(|planned| renamed(planned.log).map(|new| planned.log = new).is_some());
    if let Some(steps) = course.steps.take() {
        let kept = steps.into_iter().filter_map(|step| {
            let log = renamed(step.ask.log())?;
            Some(Step {
                ask: step.ask.about(log),
                ..step
            })
        });
        course.steps = Some(kept.collect());
    }
    course
}

/// Courses without one of the nodes, the last first, and without what strikes it alone.
pub(super) fn without_a_node(course: &Course) -> Vec<Course> {
    let nodes = course.options.locations.len() as u8;
    // Who names nodes in an expression means these.
    let named =
        course.options.quorums.is_some() || course.plan.moves.iter().any(|it| it.quorums.is_some());
    if nodes == 1 || named {
        return Vec::new();
    }
    let without = |gone| without_node(course, NodeId(gone));
    (0..nodes).rev().map(without).collect()
}

fn without_node(course: &Course, gone: NodeId) -> Course {
    let renamed = |node: NodeId| match node.cmp(&gone) {
        std::cmp::Ordering::Less => Some(node),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(NodeId(node.0 - 1)),
    };
    let set = |nodes: NodeSet| nodes.iter().filter_map(renamed).collect::<NodeSet>();
    let mut course = course.clone();
    let options = &mut course.options;
    options.locations.remove(usize::from(gone.0));
    options.metadata_nodes = options.metadata_nodes.min(options.locations.len() as u8);
    options.nodeset = options.nodeset.map(set);
    if let CopysetSelector::Weighted { weights } = &mut options.copysets {
        *weights = std::mem::take(weights)
            .into_iter()
            .filter_map(|(node, weight)| Some((renamed(node)?, weight)))
            .collect();
    }
    course.plan.faults.retain_mut(|fault| {
        if let FaultKind::Partition { bridge, .. } = &mut fault.kind {
            *bridge = set(*bridge);
        }
        match &mut fault.target {
            Target::Node(node) => renamed(*node).map(|new| *node = new).is_some(),
            Target::Nodes(nodes) => {
                *nodes = set(*nodes);
                !nodes.is_empty()
            }
            _ => true,
        }
    });
    course
        .plan
        .moves
        .retain_mut(|planned| match &mut planned.to {
            Some(node) => renamed(*node).map(|new| *node = new).is_some(),
            None => true,
        });
    course
}

/// Courses in quieter surroundings, each in one respect.
pub(super) fn quieter(course: &Course) -> Vec<Course> {
    let mut quieter = Vec::new();
    let mut change = |change: &dyn Fn(&mut Course)| {
        let mut changed = course.clone();
        change(&mut changed);
        if changed != *course {
            quieter.push(changed);
        }
    };
    // What was drawn from these is in the plan.
    change(&|it| {
        it.options.moves = MoveOptions::default();
        it.options.quiet_us = 0;
        it.options.chaos_us = 0;
    });
    change(&|it| it.options.chaos_us = 0);
    change(&|it| it.options.net.loss = 0.0);
    change(&|it| it.options.net.duplication = 0.0);
    change(&|it| it.options.net.tail_probability = 0.0);
    change(&|it| it.options.metadata_nodes = 1);
    change(&|it| it.options.metadata_nodes = it.options.metadata_nodes.min(3));
    change(&|it| {
        it.options.locations = vec![Location::default(); it.options.locations.len()];
        it.options.replication.racks = 1;
    });
    change(&|it| it.options.durability = CopyDurability::Fsync);
    change(&|it| it.options.copysets = CopysetSelector::Random);
    quieter
}
