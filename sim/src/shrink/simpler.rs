//! Simpler forms of a single fault: fewer nodes, nothing on top, a shorter time.

use hstore_core::{NodeId, NodeSet};

use crate::plan::{Direction, FaultKind, ObjectFault, Target, TimedFault, Trigger};

/// A fault that lasts no longer than this is not made shorter.
const SHORT_US: u64 = 10_000;

/// Simpler forms of a fault, the simplest first. `nodes` is how many the cluster has.
pub(super) fn simpler(fault: &TimedFault, nodes: u8) -> Vec<TimedFault> {
    let mut forms = Vec::new();
    forms.extend(
        targets(fault.target, nodes)
            .into_iter()
            .map(|target| TimedFault {
                target,
                ..fault.clone()
            }),
    );
    forms.extend(kinds(&fault.kind).into_iter().map(|kind| TimedFault {
        kind,
        ..fault.clone()
    }));
    let lasts = fault.until_us - fault.at_us;
    for part in [16, 4, 2] {
        if lasts / part >= SHORT_US {
            forms.push(TimedFault {
                until_us: fault.at_us + lasts / part,
                ..fault.clone()
            });
        }
    }
    forms
}

fn targets(target: Target, nodes: u8) -> Vec<Target> {
    let several: NodeSet = match target {
        Target::Nodes(several) => several,
        Target::Everyone => (0..nodes).map(NodeId).collect(),
        // Whoever that is: one of all may do.
        Target::Rack(_)
        | Target::WriteQuorum { .. }
        | Target::MetadataMajority { .. }
        | Target::LastCopyset(_) => {
            return (0..nodes).map(|node| Target::Node(NodeId(node))).collect();
        }
        _ => return Vec::new(),
    };
    let single = several.iter().map(Target::Node);
    let without = several
        .iter()
        .filter(|_| several.len() > 2)
        .map(|node| Target::Nodes(several.difference(NodeSet::only(node))));
    single.chain(without).collect()
}

fn kinds(kind: &FaultKind) -> Vec<FaultKind> {
    match *kind {
        FaultKind::Crash {
            trigger,
            in_restart,
            restart_us,
        } => {
            let mut simpler = Vec::new();
            if trigger != Trigger::AtOnce {
                simpler.push(FaultKind::Crash {
                    trigger: Trigger::AtOnce,
                    in_restart,
                    restart_us,
                });
            }
            if in_restart.is_some() {
                simpler.push(FaultKind::Crash {
                    trigger,
                    in_restart: None,
                    restart_us,
                });
            }
            if restart_us.is_some() {
                simpler.push(FaultKind::Crash {
                    trigger,
                    in_restart,
                    restart_us: None,
                });
            }
            simpler
        }
        FaultKind::Partition { direction, bridge } => {
            let mut simpler = Vec::new();
            if !bridge.is_empty() {
                simpler.push(FaultKind::Partition {
                    direction,
                    bridge: NodeSet::EMPTY,
                });
            }
            if direction != Direction::Both {
                simpler.push(FaultKind::Partition {
                    direction: Direction::Both,
                    bridge,
                });
            }
            simpler
        }
        FaultKind::SlowDisk { factor } if factor > 2 => vec![FaultKind::SlowDisk {
            factor: factor.div_ceil(2),
        }],
        FaultKind::Objects(ObjectFault::Slow { factor }) if factor > 2 => {
            let factor = factor.div_ceil(2);
            vec![FaultKind::Objects(ObjectFault::Slow { factor })]
        }
        FaultKind::Objects(ObjectFault::Garble { count }) if count > 1 => {
            vec![FaultKind::Objects(ObjectFault::Garble { count: 1 })]
        }
        // Later, if at all: a failure that is not carried out is simpler than one that is.
        FaultKind::Objects(ObjectFault::Late { permille, .. })
        | FaultKind::Objects(ObjectFault::LoseAnswers { permille }) => {
            vec![FaultKind::Objects(ObjectFault::Fail { permille })]
        }
        FaultKind::DropMessages { which, count } if count > 1 => [1, 2, 5, 20]
            .into_iter()
            .filter(|fewer| *fewer < count)
            .map(|count| FaultKind::DropMessages { which, count })
            .collect(),
        _ => Vec::new(),
    }
}
