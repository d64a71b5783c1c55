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
}

impl<'h> Flow<'h> {
    fn new(value: &'h Value) -> Self {
        Self {
            value,
            attempts: 0,
            acked: 0,
            out: 0,
        }
    }
}

/// The operations on one value, in the order of invocation.
#[derive(Debug, Default)]
struct Traffic {
    attempts: Vec<OpId>,
    acked: Vec<OpId>,
    /// Each as often as it returned the value.
    out: Vec<OpId>,
}

impl Traffic {
    /// Looks through the whole part: only certificates need it.
    fn of(part: &Part<'_>, value: &Value) -> Self {
        let mut traffic = Self::default();
        for op in part.ops() {
            let is_ok = op.status() == Status::Ok;
            match op.function() {
                "enqueue" if op.argument() == value => {
                    traffic.attempts.push(op.id());
                    traffic.acked.extend(is_ok.then_some(op.id()));
                }
                "dequeue" if is_ok && op.result() == value => traffic.out.push(op.id()),
                "drain" if is_ok => {
                    let items = op.result().items().unwrap_or_default().iter();
                    let times = items.filter(|item| *item == value).count();
                    traffic.out.extend(std::iter::repeat_n(op.id(), times));
                }
                _ => {}
            }
        }
        traffic
    }
}

/// What a certificate shows at most of what goes in, and of what comes out. Where that is not enough, the
/// numbers in its words have to do.
const SHOWN_MAX: usize = 16;

fn shown(ops: &[OpId], wanted: usize) -> &[OpId] {
    &ops[..wanted.min(SHOWN_MAX)]
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
                flow.acked += u64::from(is_ok);
            }
            "dequeue" if is_ok => {
                last_out = Some(op.id());
                if !op.result().is_nil() {
                    flows.of(op.result()).out += 1;
                }
            }
            "drain" if is_ok => {
                last_out = Some(op.id());
                for value in elements_of(op)?.unwrap_or_default() {
                    flows.of(value).out += 1;
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
    let Traffic { acked, out, .. } = Traffic::of(part, flow.value);
    // One more than came out: for one of these nothing is left.
    let went_in = shown(&acked, out.len() + 1);
    let enqueue = *went_in.last().expect("what is lost was acknowledged");
    let mut ops = [went_in, shown(&out, out.len())].concat();
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
    let traffic = Traffic::of(part, value);
    let out = *traffic.out.first().expect("what nobody put in came out");
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
    let traffic = Traffic::of(part, value);
    // One more than went in.
    let came_out = shown(&traffic.out, traffic.attempts.len() + 1);
    let went_in = shown(&traffic.attempts, traffic.attempts.len());
    let ops = [went_in, came_out].concat();
    part.anomaly(
        AnomalyKind::Duplicated,
        &ops,
        &[value],
        vec![Link {
            from: came_out[0],
            to: *came_out.last().expect("it came out"),
            reason: Reason::SameResult,
        }],
        Words {
            expected: format!("{value} comes out {attempts} times at most, as often as it went in"),
            seen: format!("it came out {out} times"),
        },
    )
}
