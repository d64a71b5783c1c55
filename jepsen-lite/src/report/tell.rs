//! Turns anomalies into stories.

use std::collections::BTreeMap;

use hstore_core::{LogId, Lsn};

use super::document::ObjectProof;
use super::nearest::nearest;
use super::part::{LogIndex, Part};
use super::shrink::{Unproved, shrink};
use super::story::{Arrow, Minimal, Nearest, Proof, Story, StoryOp};
use crate::anomaly::{Anomaly, Subject};
use crate::check::Check;
use crate::history::{History, OpId, Status};
use crate::object::{AfterInfo, Asked, ObjectHistory, ObjectOp, ObjectRecorder, Value};

/// So many operations around a certificate are told.
const MAX_AROUND: usize = 16;

/// Concurrent operations are looked for among so many before and after.
const REACH: usize = 512;

/// Tells the anomalies of the logs of one history.
pub(crate) struct LogTeller<'h> {
    history: &'h History,
    /// Of the logs that have anomalies.
    indexes: BTreeMap<LogId, LogIndex<'h>>,
}

impl<'h> LogTeller<'h> {
    pub(crate) fn new(history: &'h History) -> Self {
        Self {
            history,
            indexes: BTreeMap::new(),
        }
    }

    pub(crate) fn tell(&mut self, id: String, check: Check, anomaly: &Anomaly) -> Story {
        let history = self.history;
        let story = plain(id, check, anomaly);
        let Subject::Log(log) = anomaly.subject else {
            return story;
        };
        let index = self
            .indexes
            .entry(log)
            .or_insert_with(|| LogIndex::new(history, log));
        let around = around(&index.ops, &certificate_ops(anomaly), |id| {
            let op = history.op(id);
            (op.begins(), op.completed().map(|_| op.deadline()))
        });
        let around = around.into_iter().map(|id| StoryOp::of_log(history.op(id)));
        let story = Story {
            around: around.collect(),
            ..story
        };
        match shrink(index, anomaly) {
            Ok(shrunk) => {
                let legal = nearest(index, anomaly, &shrunk.found);
                let proof = Proof::Refuted {
                    states: shrunk.states,
                };
                Story {
                    nearest: legal.map(|legal| {
                        let op = StoryOp::of_log(history.op(legal.op));
                        let shown = story.certificate.iter().find(|shown| shown.op == op.op);
                        let was = shown.and_then(|shown| shown.answer.clone());
                        let was = was.or(op.answer);
                        Nearest {
                            op: op.op,
                            call: op.call,
                            legal: vec![legal.fact.to_string()],
                            was: was.unwrap_or_default(),
                            fact: Some(legal.fact),
                        }
                    }),
                    minimal: minimal(history, &shrunk.minimal, anomaly, proof),
                    ..story
                }
            }
            Err(unproved) => Story {
                minimal: Minimal {
                    proof: match unproved {
                        Unproved::Legal => Proof::NotOfOrder,
                        Unproved::TooMany => Proof::TooMany,
                    },
                    ..story.minimal.clone()
                },
                ..story
            },
        }
    }
}

/// The minimal part; what its operations say of the certificate's positions, if they are of it.
fn minimal(history: &History, part: &Part, anomaly: &Anomaly, proof: Proof) -> Minimal {
    let statements = part.statements(history);
    let optional = statements
        .iter()
        .filter(|statement| !statement.is_required());
    let ops = part.ops.iter().map(|&id| {
        let certified = anomaly.certificate.iter().find(|op| op.op == id);
        certified.map_or_else(|| StoryOp::of_log(history.op(id)), StoryOp::of_certificate)
    });
    Minimal {
        ops: ops.collect(),
        optional: optional.map(|statement| statement.op.0).collect(),
        positions: part
            .scope
            .ranges()
            .iter()
            .map(|&range| match range {
                (0, u64::MAX) => "all".to_owned(),
                (first, last) if first == last => Lsn::from_u64(first).to_string(),
                (first, last) => format!("{}..={}", Lsn::from_u64(first), Lsn::from_u64(last)),
            })
            .collect(),
        proof,
    }
}

/// Tells an anomaly of an object, with what the search knows of it.
pub(crate) fn tell_object(
    history: &ObjectHistory,
    id: String,
    check: Check,
    anomaly: &Anomaly,
    proof: Option<ObjectProof>,
) -> Story {
    let story = plain(id, check, anomaly);
    let certificate = certificate_ops(anomaly);
    let of_subject: Vec<OpId> = history
        .ops()
        .filter(|op| match &anomaly.subject {
            Subject::Part(key) => op.key() == key,
            Subject::Object | Subject::Log(_) => true,
        })
        .map(|op| op.id())
        .collect();
    let around = around(&of_subject, &certificate, |id| {
        let op = history.op(id);
        (op.invocation_edge(), op.completed().map(|_| op.deadline()))
    });
    let told = |id: &OpId| StoryOp::of_object(history.op(*id));
    let around: Vec<StoryOp> = around.iter().map(told).collect();
    let Some(proof) = proof else {
        return Story { around, ..story };
    };
    let mut ops = [proof.required.clone(), proof.optional.clone()].concat();
    ops.sort_unstable();
    let nearest = proof.legal.filter(|(_, legal)| !legal.is_empty());
    Story {
        around,
        nearest: nearest.map(|(op, legal)| {
            let op = StoryOp::of_object(history.op(op));
            Nearest {
                op: op.op,
                call: op.call,
                legal: legal.iter().map(Value::to_string).collect(),
                was: op.answer.unwrap_or_default(),
                fact: None,
            }
        }),
        minimal: Minimal {
            ops: ops.iter().map(told).collect(),
            optional: proof.optional.iter().map(|op| op.0).collect(),
            positions: Vec::new(),
            proof: Proof::Searched {
                is_minimal: proof.is_minimal,
            },
        },
        ..story
    }
}

/// The answers to one operation of a history of objects that would have been legal, of those that
/// operations in it were answered or carried: tried one by one with `is_legal`, which returns `None` if it does
/// not know. `ops` are the operations to try with, such as a minimal sub-history. They are taken as they were
/// recorded until `op` returns, which is one of them that was answered, and what has not returned by then as
/// open: so what is legal then is legal too if some may be left out.
pub fn legal_answers(
    history: &ObjectHistory,
    ops: &[OpId],
    op: OpId,
    mut is_legal: impl FnMut(&ObjectHistory) -> Option<bool>,
) -> Vec<Value> {
    let was = history.op(op).result();
    let mut values: Vec<&Value> = Vec::new();
    for one in ops.iter().map(|&id| history.op(id)) {
        // A compare-and-set carries both of its values in one argument.
        let carried = one.argument();
        let carried = [carried]
            .into_iter()
            .chain(carried.items().into_iter().flatten());
        let of_same_kind = one.function() == history.op(op).function();
        values.extend(carried);
        values.extend(of_same_kind.then(|| one.result()));
    }
    values.push(&Value::Nil);
    values.sort_unstable();
    values.dedup();
    let same_kind = |value: &Value| std::mem::discriminant(value) == std::mem::discriminant(was);
    values.retain(|&value| value != was);
    values.sort_by_key(|&value| !same_kind(value));
    let legal = values.into_iter().filter(|&value| {
        let changed = with_answer(history, ops, op, value);
        is_legal(&changed) == Some(true)
    });
    legal.cloned().collect()
}

/// Some operations of a history up to the return of one of them, which is answered otherwise. What has not
/// returned by then stays open. Their numbers change.
fn with_answer(
    history: &ObjectHistory,
    ops: &[OpId],
    changed: OpId,
    answer: &Value,
) -> ObjectHistory {
    let mut kept = ops.to_vec();
    kept.sort_unstable();
    let mut recorder = ObjectRecorder::new(history.intervals(), AfterInfo::GoOn);
    let mut numbers: BTreeMap<OpId, OpId> = BTreeMap::new();
    for (id, is_invocation) in history.events() {
        if kept.binary_search(&id).is_err() {
            continue;
        }
        let op: ObjectOp<'_> = history.op(id);
        if is_invocation {
            let asked = Asked {
                function: recorder.function(op.function()),
                key: recorder.value(op.key().clone()),
                argument: recorder.value(op.argument().clone()),
            };
            let number = recorder.invoke(op.process(), asked, op.invoked());
            numbers.insert(id, number.expect("a part of a history is well-formed"));
        } else if let (Some(&number), Some(at)) = (numbers.get(&id), op.completed()) {
            let result = if id == changed { answer } else { op.result() };
            let result = match op.status() {
                Status::Ok => result.clone(),
                _ => op.result().clone(),
            };
            let result = recorder.value(result);
            recorder
                .complete(number, op.status(), result, at)
                .expect("a part of a history is well-formed");
        }
        if id == changed && !is_invocation {
            break;
        }
    }
    recorder.finish()
}

fn certificate_ops(anomaly: &Anomaly) -> Vec<OpId> {
    anomaly.certificate.iter().map(|op| op.op).collect()
}

/// What can be told without looking at the history.
fn plain(id: String, check: Check, anomaly: &Anomaly) -> Story {
    let certificate = anomaly.certificate.iter();
    let certificate: Vec<StoryOp> = certificate.map(StoryOp::of_certificate).collect();
    Story {
        id,
        check: check.name().to_owned(),
        kind: anomaly.kind.to_string(),
        guarantee: anomaly.kind.guarantee().to_owned(),
        subject: anomaly.subject.to_string(),
        expected: anomaly.expected.clone(),
        seen: anomaly.seen.clone(),
        nearest: None,
        positions: anomaly.positions.iter().map(Lsn::to_string).collect(),
        arrows: anomaly.chain.iter().map(Arrow::of).collect(),
        minimal: Minimal {
            ops: certificate.clone(),
            optional: Vec::new(),
            positions: Vec::new(),
            proof: Proof::NotTried,
        },
        certificate,
        around: Vec::new(),
    }
}

/// The operations that were open while one of the certificate was, and those next to these, but not the
/// certificate itself. `interval` returns the begin and the end of an operation that ended.
fn around(
    ops: &[OpId],
    certificate: &[OpId],
    interval: impl Fn(OpId) -> (u64, Option<u64>),
) -> Vec<OpId> {
    let mut found: Vec<(usize, OpId)> = Vec::new();
    for &op in certificate {
        let at = ops.partition_point(|&other| other < op);
        let (begin, end) = interval(op);
        let near = at.saturating_sub(REACH)..(at + REACH).min(ops.len());
        for (index, &other) in ops[near.clone()].iter().enumerate() {
            let distance = (near.start + index).abs_diff(at);
            let (other_begin, other_end) = interval(other);
            let overlaps = end.is_some_and(|end| other_begin < end)
                && other_end.is_some_and(|other_end| begin < other_end);
            if (overlaps || distance <= 2) && !certificate.contains(&other) {
                found.push((distance, other));
            }
        }
    }
    found.sort_unstable();
    let mut around = Vec::new();
    for (_, op) in found {
        if !around.contains(&op) && around.len() < MAX_AROUND {
            around.push(op);
        }
    }
    around.sort_unstable();
    around
}
