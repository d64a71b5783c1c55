//! Unique ids: a generator never returns the same twice.
//!
//! Counted: `attempted` (calls), `acknowledged` (results), `duplicated` (different results that came more
//! than once).

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::{Judged, Part, Tally, Unfit, unknown_function};
use crate::anomaly::{AnomalyKind, Link, Reason, Words};
use crate::history::{OpId, Status};
use crate::object::ValueId;
use crate::verdict::{Findings, Verdict};

/// Judges one generator.
///
/// # Errors
///
/// If it is asked for anything but `generate`.
pub fn check(part: &Part<'_>) -> Result<Judged, Unfit> {
    // The order of the table is never observed.
    let mut first: HashMap<ValueId, (OpId, u64), FxBuildHasher> = HashMap::default();
    let mut acknowledged = 0;
    // The operations that returned something for the second time.
    let mut again: Vec<OpId> = Vec::new();
    for op in part.ops() {
        if op.function() != "generate" {
            return Err(unknown_function(op, "generate"));
        }
        if op.status() != Status::Ok {
            continue;
        }
        acknowledged += 1;
        let (_, times) = first.entry(op.result_id()).or_insert((op.id(), 0));
        *times += 1;
        if *times == 2 {
            again.push(op.id());
        }
    }
    let mut findings = Findings::default();
    for &second in &again {
        let result = part.history.op(second).result();
        let (first, times) = first[&part.history.op(second).result_id()];
        findings.add(AnomalyKind::Duplicated, || {
            part.anomaly(
                AnomalyKind::Duplicated,
                &[first, second],
                &[],
                vec![Link {
                    from: first,
                    to: second,
                    reason: Reason::SameResult,
                }],
                Words {
                    expected: format!("{result} is generated once"),
                    seen: format!("it is generated {times} times"),
                },
            )
        });
    }
    Ok(Judged {
        tally: Tally::from([
            ("attempted", part.ops.len() as u64),
            ("acknowledged", acknowledged),
            ("duplicated", again.len() as u64),
        ]),
        verdict: findings.verdict_or(|| Verdict::Valid(())),
    })
}
