//! Total queue: what goes in comes out, if the queue is drained in the end.
//!
//! Values are counted, not ordered. Of each value:
//!
//! - as many come out as were acknowledged when they went in; what is missing is *lost*;
//! - nothing comes out that nobody tried to put in: that is *unexpected*;
//! - what comes out more often than somebody tried to put it in is *duplicated*. Many queues deliver at
//!   least once, so this is an anomaly only on demand;
//! - what comes out though it was not acknowledged is *recovered*: nothing is wrong.
//!
//! A `drain` returns a collection, and stands for as many dequeues. A dequeue that returned `nil` found
//! nothing. Dequeues of unknown outcome took nothing, for what they took was given to nobody; but
//! what a drain of unknown outcome took may be the rest of all, so nothing is called lost then and the
//! verdict is unknown.
//!
//! Counted, with repetitions: `attempts`, `acknowledged`, `ok` (attempts that came out), `lost`,
//! `unexpected`, `duplicated`, `recovered`.

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use super::{Judged, Part, Tally, Unfit, elements_of, unknown_function};
use crate::anomaly::{Anomaly, AnomalyKind, Link, Reason, Words};
use crate::history::{OpId, Status};
use crate::object::Value;
use crate::verdict::{Findings, UnknownCause, Verdict};

/// How often a value went in and came out.
#[derive(Clone, Copy, Debug)]
struct Flow<'h> {
    value: &'h Value,
    attempts: u64,
    acked: u64,
    out: u64,
    /// The first attempt, and the last that was acknowledged.
    first_in: Option<OpId>,
    last_acked: Option<OpId>,
    /// The first two operations that returned it; the same one twice if a drain did.
    first_out: Option<OpId>,
    second_out: Option<OpId>,
}

impl<'h> Flow<'h> {
    fn new(value: &'h Value) -> Self {
        Self {
            value,
            attempts: 0,
            acked: 0,
            out: 0,
            first_in: None,
            last_acked: None,
            first_out: None,
            second_out: None,
        }
    }

    fn comes_out(&mut self, op: OpId) {
        self.out += 1;
        match self.first_out {
            None => self.first_out = Some(op),
            Some(_) => self.second_out = self.second_out.or(Some(op)),
        }
    }
}

#[derive(Default)]
struct Flows<'h> {
    /// In the order in which the values first come.
    flows: Vec<Flow<'h>>,
    /// Where they are; the order of the table is never observed.
    at: HashMap<&'h Value, usize, FxBuildHasher>,
}

impl<'h> Flows<'h> {
    fn of(&mut self, value: &'h Value) -> &mut Flow<'h> {
        let flows = &mut self.flows;
        let at = *self.at.entry(value).or_insert_with(|| {
            flows.push(Flow::new(value));
            flows.len() - 1
        });
        &mut flows[at]
    }
}

/// Judges one queue.
///
/// # Errors
///
/// If it is asked for anything but `enqueue`, `dequeue` and `drain`, or a drain returned no collection.
pub fn check(part: &Part<'_>, exactly_once: bool) -> Result<Judged, Unfit> {
    let mut flows = Flows::default();
    let mut last_out: Option<OpId> = None;
    let mut unknown_drain: Option<OpId> = None;
    for op in part.ops() {
        let is_ok = op.status() == Status::Ok;
        match op.function() {
            "enqueue" => {
                let flow = flows.of(op.argument());
                flow.attempts += 1;
                flow.first_in = flow.first_in.or(Some(op.id()));
                if is_ok {
                    flow.acked += 1;
                    flow.last_acked = Some(op.id());
                }
            }
            "dequeue" if is_ok => {
                last_out = Some(op.id());
                if !op.result().is_nil() {
                    flows.of(op.result()).comes_out(op.id());
                }
            }
            "drain" if is_ok => {
                last_out = Some(op.id());
                for value in elements_of(op)?.unwrap_or_default() {
                    flows.of(value).comes_out(op.id());
                }
            }
            "drain" if op.status() != Status::Fail => unknown_drain = Some(op.id()),
            "dequeue" | "drain" => {}
            _ => return Err(unknown_function(op, "enqueue, dequeue, drain")),
        }
    }
    Ok(conclude(
        part,
        &flows.flows,
        last_out,
        unknown_drain,
        exactly_once,
    ))
}

fn conclude(
    part: &Part<'_>,
    flows: &[Flow<'_>],
    last_out: Option<OpId>,
    unknown_drain: Option<OpId>,
    exactly_once: bool,
) -> Judged {
    let mut findings = Findings::default();
    let mut tally = Tally::new();
    let mut note = |name, count| *tally.entry(name).or_default() += count;
    let mut all_lost = 0;
    for flow in flows {
        let ok = flow.out.min(flow.attempts);
        let lost = flow.acked.saturating_sub(flow.out);
        let surplus = flow.out - ok;
        note("attempts", flow.attempts);
        note("acknowledged", flow.acked);
        note("ok", ok);
        note("lost", lost);
        note("recovered", ok.saturating_sub(flow.acked));
        note("unexpected", if flow.attempts == 0 { surplus } else { 0 });
        note("duplicated", if flow.attempts == 0 { 0 } else { surplus });
        all_lost += lost;
        if lost > 0 && unknown_drain.is_none() {
            findings.add(AnomalyKind::Lost, || never_came(part, flow, last_out));
        }
        if flow.attempts == 0 {
            findings.add(AnomalyKind::Unexpected, || from_nowhere(part, flow));
        } else if surplus > 0 && exactly_once {
            findings.add(AnomalyKind::Duplicated, || too_often(part, flow));
        }
    }
    Judged {
        verdict: findings.verdict_or(|| match unknown_drain {
            Some(drain) if all_lost > 0 => Verdict::Unknown(UnknownCause::DrainUnknown {
                drain,
                elements: all_lost,
            }),
            _ => Verdict::Valid(()),
        }),
        tally,
    }
}

fn never_came(part: &Part<'_>, flow: &Flow<'_>, last_out: Option<OpId>) -> Anomaly {
    let enqueue = flow.last_acked.expect("what is lost was acknowledged");
    let mut ops = vec![enqueue];
    let mut chain = vec![Link {
        from: enqueue,
        to: enqueue,
        reason: Reason::NeverCame,
    }];
    let history = part.history;
    if let Some(last) = last_out
        && history.op(enqueue).deadline() < history.op(last).invocation_edge()
    {
        ops.push(last);
        chain.push(part.real_time(enqueue, last));
    }
    let Flow {
        value, acked, out, ..
    } = flow;
    part.anomaly(
        AnomalyKind::Lost,
        &ops,
        &[value],
        chain,
        Words {
            expected: format!("{value} comes out {acked} times at least, as often as it went in"),
            seen: format!("it came out {out} times"),
        },
    )
}

fn from_nowhere(part: &Part<'_>, flow: &Flow<'_>) -> Anomaly {
    let value = flow.value;
    let out = flow.first_out.expect("what nobody put in came out");
    part.anomaly(
        AnomalyKind::Unexpected,
        &[out],
        &[value],
        vec![Link {
            from: out,
            to: out,
            reason: Reason::NobodyAsked,
        }],
        Words {
            expected: format!("{} returns what somebody put in", part.name(out)),
            seen: format!("it returned {value}"),
        },
    )
}

fn too_often(part: &Part<'_>, flow: &Flow<'_>) -> Anomaly {
    let Flow {
        value,
        attempts,
        out,
        ..
    } = flow;
    let first = flow.first_in.expect("somebody tried to put it in");
    let ops: Vec<OpId> = [Some(first), flow.first_out, flow.second_out]
        .into_iter()
        .flatten()
        .collect();
    let last = *ops.last().expect("it came out");
    part.anomaly(
        AnomalyKind::Duplicated,
        &ops,
        &[value],
        vec![Link {
            from: flow.first_out.expect("it came out"),
            to: last,
            reason: Reason::SameResult,
        }],
        Words {
            expected: format!("{value} comes out {attempts} times at most, as often as it went in"),
            seen: format!("it came out {out} times"),
        },
    )
}
