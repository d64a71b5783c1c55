//! The parts of a plan, faults and moves alike.

use std::fmt;

use crate::plan::{FaultPlan, TimedFault, TimedMove};

/// A fault or a move.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A fault.
    Fault(TimedFault),
    /// A move.
    Move(TimedMove),
}

/// All parts of a plan: its faults, then its moves.
#[must_use]
pub fn of(plan: &FaultPlan) -> Vec<Item> {
    let faults = plan.faults.iter().cloned().map(Item::Fault);
    faults
        .chain(plan.moves.iter().cloned().map(Item::Move))
        .collect()
}

/// The plan of these parts.
#[must_use]
pub fn plan(items: &[Item]) -> FaultPlan {
    let mut plan = FaultPlan::default();
    for item in items {
        match item {
            Item::Fault(fault) => plan.faults.push(fault.clone()),
            Item::Move(planned) => plan.moves.push(planned.clone()),
        }
    }
    plan
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |us: u64| us as f64 / 1e6;
        match self {
            Self::Fault(fault) => {
                write!(f, "{} of {}", fault.kind.name(), fault.target)?;
                let (at, until) = (seconds(fault.at_us), seconds(fault.until_us));
                write!(f, ", {at:.3} s to {until:.3} s of chaos")
            }
            Self::Move(planned) => {
                write!(f, "move of {}", planned.log)?;
                if let Some(to) = planned.to {
                    write!(f, " to {to}")?;
                }
                if let Some(quorums) = &planned.quorums {
                    write!(f, " on {quorums}")?;
                }
                write!(f, ", {:.3} s of chaos", seconds(planned.at_us))
            }
        }
    }
}
