//! Whether a fault plan can be carried out in a cluster: it may come from a file.

use hstore_core::{LogId, NodeSet};

use crate::options::SimOptions;
use crate::plan::{FaultKind, FaultPlan, ObjectFault, Target, Trigger};

/// More virtual time than this before something is certainly a mistake: an hour, in microseconds.
pub(crate) const TIME_US_MAX: u64 = 3_600_000_000;

/// Calls that are slower are certainly a mistake.
const SLOW_FACTOR_MAX: u32 = 1_000_000;

/// A clock that is further off in its pace is certainly a mistake.
const DRIFT_PPM_MAX: u32 = 500_000;

impl FaultPlan {
    /// Whether it names only what a cluster with these options has, in the order of time.
    ///
    /// # Errors
    /// Says what is wrong, and with which fault or move.
    pub fn check(&self, options: &SimOptions) -> Result<(), String> {
        let nodes = options.locations.len();
        let all = options.cluster().nodes.keys().copied().collect::<NodeSet>();
        let has_nodes = |some: NodeSet| match some.difference(all).iter().next() {
            None => Ok(()),
            Some(node) => Err(format!("there is no {node}: the cluster has {nodes} nodes")),
        };
        let logs = options.workload.logs;
        let has_log = |log: LogId| match (1..=logs).contains(&log.0) {
            true => Ok(()),
            false => Err(format!("there is no {log}: the logs are 1 to {logs}")),
        };
        let mut last_us = 0;
        for (index, fault) in self.faults.iter().enumerate() {
            let checked = match fault.target {
                // A set does not hold every number.
                Target::Node(node) if usize::from(node.0) >= nodes => {
                    Err(format!("there is no {node}: the cluster has {nodes} nodes"))
                }
                Target::Nodes(some) => has_nodes(some),
                Target::Rack(rack) if options.locations.iter().all(|it| it.rack != rack) => {
                    Err(format!("there is no rack {rack}"))
                }
                Target::Sequencer(log)
                | Target::WriteQuorum { log, .. }
                | Target::LastCopyset(log)
                | Target::Coordinator(log) => has_log(log),
                _ => Ok(()),
            };
            let bridge = match fault.kind {
                FaultKind::Partition { bridge, .. } => has_nodes(bridge),
                _ => Ok(()),
            };
            let times = in_order(&mut last_us, fault.at_us, fault.until_us);
            let kind = check_kind(&fault.kind);
            let checked = checked.and(bridge).and(kind).and(times);
            checked.map_err(|what| format!("faults[{index}]: {what}"))?;
        }
        last_us = 0;
        for (index, planned) in self.moves.iter().enumerate() {
            let to = planned.to.map_or(NodeSet::EMPTY, NodeSet::only);
            let quorums = planned
                .quorums
                .as_ref()
                .map_or(NodeSet::EMPTY, |it| it.nodes());
            let checked = has_log(planned.log)
                .and(has_nodes(to.union(quorums)))
                .and(in_order(&mut last_us, planned.at_us, planned.at_us));
            checked.map_err(|what| format!("moves[{index}]: {what}"))?;
        }
        Ok(())
    }
}

fn in_order(last_us: &mut u64, at_us: u64, until_us: u64) -> Result<(), String> {
    if at_us < *last_us {
        return Err(format!(
            "it comes at {at_us}, the one before it at {last_us}: they stand in the order of time"
        ));
    }
    if until_us < at_us {
        return Err(format!(
            "it ends at {until_us}, before it begins at {at_us}"
        ));
    }
    if until_us > TIME_US_MAX {
        return Err(format!("it ends at {until_us}, which is more than an hour"));
    }
    *last_us = at_us;
    Ok(())
}

/// Whether it is a probability.
pub(crate) fn check_share(share: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&share) {
        Ok(())
    } else {
        Err(format!("a probability is from 0 to 1, not {share}"))
    }
}

fn check_kind(kind: &FaultKind) -> Result<(), String> {
    match kind {
        FaultKind::Crash {
            trigger:
                Trigger::InFileOperation(0)
                | Trigger::AfterFileOperations { count: 0, .. }
                | Trigger::AtObjectCall { call: 0, .. }
                | Trigger::AtMoment {
                    file_operation: 0, ..
                },
            ..
        }
        | FaultKind::Crash {
            in_restart: Some(0),
            ..
        } => Err("operations and calls are counted from 1".to_owned()),
        FaultKind::Degrade(degradation) => {
            check_share(degradation.loss)?;
            check_share(degradation.duplication)?;
            check_range(degradation.delay_us_min, degradation.delay_us_max)
        }
        FaultKind::Echo {
            permille,
            delay_us_min,
            delay_us_max,
        } => {
            check_permille(*permille)?;
            check_range(*delay_us_min, *delay_us_max)
        }
        FaultKind::Corrupt { permille, .. }
        | FaultKind::Objects(
            ObjectFault::Fail { permille }
            | ObjectFault::Deny { permille }
            | ObjectFault::LoseAnswers { permille }
            | ObjectFault::Late {
                permille,
                delay_us: 0..=TIME_US_MAX,
            }
            | ObjectFault::Cut { permille, .. },
        ) => check_permille(*permille),
        FaultKind::Throttle(band) if band.bytes_per_second == 0 => {
            Err("at least 1 byte a second passes".to_owned())
        }
        FaultKind::Loop { up_us, down_us, .. } if *up_us == 0 || *down_us == 0 => {
            Err("a process is up and down for at least 1 us each".to_owned())
        }
        FaultKind::ClockDrift { ppm } if ppm.unsigned_abs() > DRIFT_PPM_MAX => Err(format!(
            "a clock is at most {DRIFT_PPM_MAX} millionths too fast or too slow, not {ppm}"
        )),
        FaultKind::ClockStep { by_ms } if by_ms.unsigned_abs() > TIME_US_MAX => Err(format!(
            "a clock is set wrong by at most {TIME_US_MAX} ms, not {by_ms}"
        )),
        FaultKind::Objects(ObjectFault::Late { delay_us: us, .. })
        | FaultKind::ClockLeap { by_us: us }
        | FaultKind::StallMetadata { delay_us: us }
            if *us > TIME_US_MAX =>
        {
            Err(format!("{us} us is more than an hour"))
        }
        FaultKind::Objects(ObjectFault::Slow { factor }) if *factor > SLOW_FACTOR_MAX => Err(
            format!("calls are at most {SLOW_FACTOR_MAX} times as slow, not {factor} times"),
        ),
        FaultKind::SlowDisk { factor: 0 } | FaultKind::Objects(ObjectFault::Slow { factor: 0 }) => {
            Err("a factor is at least 1".to_owned())
        }
        _ => Ok(()),
    }
}

fn check_permille(permille: u32) -> Result<(), String> {
    if permille > 1_000 {
        return Err(format!("permille is at most 1000, not {permille}"));
    }
    Ok(())
}

fn check_range(min: u64, max: u64) -> Result<(), String> {
    if max > TIME_US_MAX {
        return Err(format!("a delay of {max} us is more than an hour"));
    }
    if min > max {
        return Err(format!("the least delay, {min}, is above the most, {max}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use hstore_core::NodeId;

    use super::*;
    use crate::run::draw;
    use crate::settings::Settings;

    #[test]
    fn drawn_plans_are_sound_and_others_say_what_is_wrong() {
        let (options, plan) = draw(&Settings::default().request(1, false));
        assert_eq!(plan.check(&options), Ok(()));
        let wrong = |change: fn(&mut FaultPlan)| {
            let mut plan = plan.clone();
            change(&mut plan);
            plan.check(&options).expect_err("it is wrong")
        };
        let said = wrong(|plan| plan.faults[2].target = Target::Node(NodeId(40)));
        assert!(said.starts_with("faults[2]: there is no n40"), "{said}");
        let said = wrong(|plan| plan.faults[0].target = Target::Sequencer(LogId(0)));
        assert!(said.starts_with("faults[0]: there is no "), "{said}");
        let said = wrong(|plan| plan.faults.reverse());
        assert!(said.contains("in the order of time"), "{said}");
        let said = wrong(|plan| plan.faults[1].until_us = 0);
        assert!(said.contains("before it begins"), "{said}");
        let said = wrong(|plan| plan.faults[1].until_us = u64::MAX);
        assert!(said.contains("more than an hour"), "{said}");
    }
}
