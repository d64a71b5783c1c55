//! Set: all that was added is in the last read, and nothing else is.
//!
//! Made for histories of additions that are followed by one read. The last read to return is the one that
//! counts; what it must show are the elements whose addition was acknowledged before it began. Elements
//! that were acknowledged later and are missing prove nothing: then the verdict is unknown, as it is
//! without a read.
//!
//! Counted: `attempts` (elements that somebody tried to add), `acknowledged`, `ok` (attempts that are in the
//! read), `lost`, `unexpected` (read, but never tried), `recovered` (read, and tried, but not acknowledged).

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::{Judged, Part, Tally, Unfit, elements_of, unknown_function};
use crate::anomaly::{AnomalyKind, Link, Reason, Words};
use crate::history::{OpId, Status};
use crate::object::{ObjectOp, Value};
use crate::verdict::{Findings, UnknownCause, Verdict};

#[derive(Clone, Copy, Debug)]
struct Element<'h> {
    value: &'h Value,
    /// The acknowledged addition that returned first, with the edge of that.
    acked: Option<(u64, OpId)>,
    is_read: bool,
}

/// Judges one set.
///
/// # Errors
///
/// If it is asked for anything but `add` and `read`, or a read returned no collection.
pub fn check(part: &Part<'_>) -> Result<Judged, Unfit> {
    let mut elements: Vec<Element<'_>> = Vec::new();
    // Where the elements are; the order of the table is never observed.
    let mut at: HashMap<&Value, usize, FxBuildHasher> = HashMap::default();
    let mut last: Option<(ObjectOp<'_>, &[Value])> = None;
    for op in part.ops() {
        match op.function() {
            "add" => {
                let at = *at.entry(op.argument()).or_insert_with(|| {
                    elements.push(Element {
                        value: op.argument(),
                        acked: None,
                        is_read: false,
                    });
                    elements.len() - 1
                });
                let acked = &mut elements[at].acked;
                if op.status() == Status::Ok
                    && acked.is_none_or(|(before, _)| op.deadline() < before)
                {
                    *acked = Some((op.deadline(), op.id()));
                }
            }
            "read" if op.status() == Status::Ok => {
                if let Some(items) = elements_of(op)?
                    && last.is_none_or(|(last, _)| last.deadline() <= op.deadline())
                {
                    last = Some((op, items));
                }
            }
            "read" => {}
            _ => return Err(unknown_function(op, "add, read")),
        }
    }
    let attempts = elements.len() as u64;
    let acknowledged = elements.iter().filter(|e| e.acked.is_some()).count() as u64;
    let Some((read, items)) = last else {
        return Ok(Judged {
            verdict: Verdict::Unknown(UnknownCause::NeverRead { attempts }),
            tally: Tally::from([("attempts", attempts), ("acknowledged", acknowledged)]),
        });
    };
    let mut unexpected: Vec<&Value> = Vec::new();
    for item in items {
        match at.get(item) {
            Some(&at) => elements[at].is_read = true,
            None => unexpected.push(item),
        }
    }
    unexpected.sort_unstable();
    unexpected.dedup();
    let mut findings = Findings::default();
    let mut too_late = 0;
    for element in elements.iter().filter(|element| !element.is_read) {
        match element.acked {
            Some((acked, add)) if acked < read.invocation_edge() => {
                findings.add(AnomalyKind::Lost, || {
                    lost(part, element.value, add, read.id())
                });
            }
            Some(_) => too_late += 1,
            None => {}
        }
    }
    let lost = findings.total();
    for &value in &unexpected {
        findings.add(AnomalyKind::Unexpected, || phantom(part, value, read.id()));
    }
    let ok = elements.iter().filter(|element| element.is_read);
    let recovered = ok.clone().filter(|element| element.acked.is_none()).count();
    Ok(Judged {
        tally: Tally::from([
            ("attempts", attempts),
            ("acknowledged", acknowledged),
            ("ok", ok.count() as u64),
            ("lost", lost),
            ("unexpected", unexpected.len() as u64),
            ("recovered", recovered as u64),
        ]),
        verdict: findings.verdict_or(|| match too_late {
            0 => Verdict::Valid(()),
            elements => Verdict::Unknown(UnknownCause::AddedTooLate { elements }),
        }),
    })
}

fn lost(part: &Part<'_>, value: &Value, add: OpId, read: OpId) -> crate::anomaly::Anomaly {
    part.anomaly(
        AnomalyKind::Lost,
        &[add, read],
        &[value],
        vec![
            part.real_time(add, read),
            Link {
                from: read,
                to: add,
                reason: Reason::Lacks { by: read },
            },
        ],
        Words {
            expected: format!(
                "the last read shows {value}, which {} added",
                part.name(add)
            ),
            seen: format!("{} returned without it", part.name(read)),
        },
    )
}

fn phantom(part: &Part<'_>, value: &Value, read: OpId) -> crate::anomaly::Anomaly {
    part.anomaly(
        AnomalyKind::Unexpected,
        &[read],
        &[value],
        vec![Link {
            from: read,
            to: read,
            reason: Reason::NobodyAsked,
        }],
        Words {
            expected: format!("{} shows only what somebody added", part.name(read)),
            seen: format!("it shows {value}"),
        },
    )
}
