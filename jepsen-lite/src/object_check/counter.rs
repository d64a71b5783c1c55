//! Counter: each read is between two sums.
//!
//! An addition counts for sure if it was acknowledged before the read was invoked. It may count if it was
//! invoked before the read returned, and did not fail. So a read is at least the sum of all that counts for
//! sure, with every subtraction that may count, and at most that sum with every addition that may count. A
//! subtraction is an addition of a negative number.
//!
//! Necessary, not sufficient: that one choice of the uncertain additions yields each number, and that reads
//! agree with each other, is for the general search.
//!
//! Counted: `reads`, `errors` (those outside of their bounds).

use super::{Judged, Part, Tally, Unfit, bad_argument, bad_result, unknown_function};
use crate::anomaly::{AnomalyKind, Link, Reason, Words};
use crate::history::{OpId, Status};
use crate::object::{ObjectOp, Value};
use crate::verdict::{Findings, Verdict};

/// Additions by the edge from which on they count, with the sums of all up to and with each.
#[derive(Debug, Default)]
struct Sums {
    steps: Vec<Step>,
}

#[derive(Clone, Copy, Debug)]
struct Step {
    edge: u64,
    op: OpId,
    up: i128,
    down: i128,
}

impl Sums {
    fn of(mut additions: Vec<(u64, OpId, i64)>) -> Self {
        additions.sort_unstable();
        let (mut up, mut down) = (0, 0);
        let steps = additions.into_iter().map(|(edge, op, amount)| {
            up += i128::from(amount.max(0));
            down += i128::from(amount.min(0));
            Step { edge, op, up, down }
        });
        Self {
            steps: steps.collect(),
        }
    }

    /// The sums of what counts before `edge`, and the last addition among it.
    fn before(&self, edge: u64) -> (i128, i128, Option<OpId>) {
        let count = self.steps.partition_point(|step| step.edge < edge);
        self.steps[..count]
            .last()
            .map_or((0, 0, None), |step| (step.up, step.down, Some(step.op)))
    }
}

/// Judges one counter that begins at `initial`.
///
/// # Errors
///
/// If it is asked for anything but `add` and `read`, or a number is none.
pub fn check(part: &Part<'_>, initial: i64) -> Result<Judged, Unfit> {
    let mut sure = Vec::new();
    let mut possible = Vec::new();
    let mut reads: Vec<(ObjectOp<'_>, i64)> = Vec::new();
    for op in part.ops() {
        match op.function() {
            "add" => {
                let Some(amount) = op.argument().as_int() else {
                    return Err(bad_argument(op, "an integer"));
                };
                if op.status() == Status::Ok {
                    sure.push((op.deadline(), op.id(), amount));
                }
                if op.status() != Status::Fail {
                    possible.push((op.invocation_edge(), op.id(), amount));
                }
            }
            "read" if op.status() == Status::Ok => match op.result() {
                Value::Int(number) => reads.push((op, *number)),
                // What it returned was not recorded.
                Value::Nil => {}
                _ => return Err(bad_result(op, "an integer")),
            },
            "read" => {}
            _ => return Err(unknown_function(op, "add, read")),
        }
    }
    let (sure, possible) = (Sums::of(sure), Sums::of(possible));
    let mut findings = Findings::default();
    for &(read, number) in &reads {
        let (sure_up, sure_down, last_sure) = sure.before(read.invocation_edge());
        let (possible_up, possible_down, _) = possible.before(read.deadline());
        let low = i128::from(initial) + sure_up + possible_down;
        let high = i128::from(initial) + sure_down + possible_up;
        if (low..=high).contains(&i128::from(number)) {
            continue;
        }
        findings.add(AnomalyKind::OutOfBounds, || {
            let mut chain: Vec<Link> = last_sure
                .map(|add| part.real_time(add, read.id()))
                .into_iter()
                .collect();
            chain.push(Link {
                from: read.id(),
                to: read.id(),
                reason: Reason::Sums {
                    low: clamp(low),
                    value: number,
                    high: clamp(high),
                },
            });
            let mut ops = vec![read.id()];
            ops.extend(last_sure);
            part.anomaly(
                AnomalyKind::OutOfBounds,
                &ops,
                &[],
                chain,
                Words {
                    expected: format!(
                        "{} returns a number from {low} to {high}",
                        part.name(read.id())
                    ),
                    seen: format!("it returns {number}"),
                },
            )
        });
    }
    Ok(Judged {
        tally: Tally::from([("reads", reads.len() as u64), ("errors", findings.total())]),
        verdict: findings.verdict_or(|| Verdict::Valid(())),
    })
}

fn clamp(sum: i128) -> i64 {
    let sum = sum.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(sum).expect("it was clamped")
}
