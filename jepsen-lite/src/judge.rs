//! Judges whatever was recorded: logs by all that can be checked of them, other objects by a model or by
//! a check of their own.
//!
//! This chooses and puts together; it judges nothing itself.

use std::collections::BTreeMap;

use crate::anomaly::{Anomaly, AnomalyKind, CertificateOp, Fact, Link, Reason, Subject};
use crate::check::{
    self, Check, CheckOptions, CheckReport, Counts, ObjectCheckError, PartReport, Report,
};
use crate::formats::{Recording, Suggestion};
use crate::history::OpId;
use crate::models::{
    self, CannotDecode, CheckedPart, ModelKind, NilReads, ObjectFault, PartVerdict, Settings,
};
use crate::object::{ObjectHistory, ObjectOp, Value};
use crate::object_check::{self, Whereabouts, certificate_op, name, real_time};
use crate::report::{ObjectProof, legal_answers};
use crate::search::{Budget, Progress, unwatched};
use crate::stream_check::StreamCause;
use crate::verdict::{Findings, UnknownCause, Verdict, VerdictKind};

/// How to judge.
#[derive(Clone, Debug, Default)]
pub struct JudgeOptions {
    /// What the object is, if not what the recording suggests.
    pub model: Option<Suggestion>,
    /// The value at first, if not what the recording suggests.
    pub initial: Option<Value>,
    /// Of a log, what to check.
    pub logs: CheckOptions,
    /// Of a model, how.
    pub search: models::ObjectOptions,
    /// Of a check of objects, how strictly.
    pub objects: object_check::ObjectOptions,
}

/// What came out.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The verdicts.
    pub report: Report,
    /// As what the history was judged: `logs`, or the name of a model or a check.
    pub judged_as: String,
    /// Of each part that no order explains, why.
    pub faults: BTreeMap<Subject, ObjectFault>,
    /// The model by which an object was judged, if one was.
    model: Option<(ModelKind, Settings)>,
}

/// So many operations a part may have for which answers are looked for that would have been legal.
const LEGAL_OPS_MAX: usize = 400;
/// What is larger is no help to anybody.
const SHOWN_MAX: usize = 64;
/// So many steps it may take to judge one answer.
const LEGAL_STEPS: u64 = 5_000;

impl Judgement {
    /// What the search for an order knows of an anomaly that it found: what is needed for it, and which
    /// answers would have been legal instead of the one to blame.
    #[must_use]
    pub fn proof(&self, history: &ObjectHistory, anomaly: &Anomaly) -> Option<ObjectProof> {
        match self.faults.get(&anomaly.subject)? {
            ObjectFault::Search { blame, core } => {
                let core = core.clone()?;
                if core.required.len() > SHOWN_MAX {
                    return None;
                }
                Some(ObjectProof {
                    legal: self.legal(history, blame.op),
                    ..core.into()
                })
            }
            // No search was made.
            ObjectFault::Stream(_) => None,
        }
    }

    /// Which answers to an operation would have been legal, given all that began before it returned.
    fn legal(&self, history: &ObjectHistory, blamed: OpId) -> Option<(OpId, Vec<Value>)> {
        let (model, settings) = self.model.as_ref()?;
        let key = history.op(blamed).key_id();
        let returned = history.op(blamed).deadline();
        let before = history
            .ops()
            .filter(|op| op.key_id() == key && op.invocation_edge() < returned);
        let ops: Vec<OpId> = before.map(ObjectOp::id).take(LEGAL_OPS_MAX + 1).collect();
        if ops.len() > LEGAL_OPS_MAX {
            return None;
        }
        let options = models::ObjectOptions {
            budget: Budget {
                steps: LEGAL_STEPS,
                ..Budget::default()
            },
            ..models::ObjectOptions::default()
        };
        let is_legal = |changed: &ObjectHistory| {
            let verdict = models::check_object(changed, *model, settings, &options, &unwatched);
            let parts = verdict.ok()?.parts;
            let mut verdicts = parts.iter().map(|part| match part.verdict {
                PartVerdict::Valid { .. } => Some(true),
                PartVerdict::Invalid(_) => Some(false),
                PartVerdict::OutOfBudget { .. } | PartVerdict::Interrupted { .. } => None,
            });
            verdicts.try_fold(true, |all, one| Some(all && one?))
        };
        let mut legal = legal_answers(history, &ops, blamed, is_legal);
        if settings.nil_reads == NilReads::Anything {
            // It says nothing, so it is legal always.
            legal.retain(|value| !value.is_nil());
        }
        Some((blamed, legal))
    }
}

/// Why nothing can be said: a fault of what was asked or recorded, never a verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotJudge {
    /// The recording does not tell what the object is.
    #[error(
        "nothing tells what object this is: its functions are {functions}; say with --model which of register, \
         cas-register, multi-register, mutex, kv, set, queue, stack, log, s2, counter, set-full, total-queue \
         or unique-ids it is"
    )]
    NoModel {
        /// The functions that were called, separated by commas.
        functions: String,
    },
    /// Logs are judged as such.
    #[error("this is a history of logs, which is not judged as a {model}; leave --model out")]
    IsOfLogs {
        /// What it should have been judged as.
        model: Suggestion,
    },
    /// A model does not know an operation.
    #[error("{at}: {cause}")]
    Model {
        /// Where it is.
        at: Whereabouts,
        /// What is wrong.
        cause: CannotDecode,
    },
    /// A check does not know an operation.
    #[error(transparent)]
    Check(#[from] ObjectCheckError),
    /// There is no such value at first.
    #[error("the initial value is {initial}, but that of a {model} must be {must}; see --init")]
    Initial {
        /// The value.
        initial: Value,
        /// The model or the check.
        model: Suggestion,
        /// What it must be.
        must: &'static str,
    },
}

/// Judges a recording; `watch` is asked now and then whether a search should go on.
///
/// # Errors
///
/// If the recording cannot be judged as it should be.
pub fn judge(
    recording: &Recording,
    options: &JudgeOptions,
    watch: &dyn Fn(Progress) -> bool,
) -> Result<Judgement, CannotJudge> {
    let object = match recording {
        Recording::Log(history) => {
            if let Some(model) = options.model
                && model != Suggestion::Model(ModelKind::Log)
            {
                return Err(CannotJudge::IsOfLogs { model });
            }
            return Ok(Judgement {
                report: check::check(history, &options.logs),
                judged_as: "logs".to_owned(),
                faults: BTreeMap::new(),
                model: None,
            });
        }
        Recording::Object(object) => object,
    };
    let history = &object.history;
    let Some(as_what) = options.model.or(object.suggested) else {
        return Err(CannotJudge::NoModel {
            functions: functions(history),
        });
    };
    let settings = Settings {
        initial: options.initial.clone().or(object.settings.initial.clone()),
        nil_reads: object.settings.nil_reads,
    };
    let one_check = |check| {
        let initial = initial_of_counter(as_what, settings.initial.as_ref())?;
        let objects = object_check::ObjectOptions {
            initial: initial.unwrap_or(options.objects.initial),
            ..options.objects
        };
        let report = check::check_objects(history, check, &objects)?;
        Ok(Judgement {
            report,
            judged_as: as_what.to_string(),
            faults: BTreeMap::new(),
            model: None,
        })
    };
    match as_what {
        Suggestion::Model(model) => by_model(history, model, &settings, options, watch),
        Suggestion::Counter => one_check(Check::Counter),
        Suggestion::SetFull => one_check(Check::SetFull),
        Suggestion::TotalQueue => one_check(Check::TotalQueue),
        Suggestion::UniqueIds => one_check(Check::UniqueIds),
    }
}

fn functions(history: &ObjectHistory) -> String {
    let mut names: Vec<&str> = history.ops().map(ObjectOp::function).collect();
    names.sort_unstable();
    names.dedup();
    names.join(", ")
}

fn initial_of_counter(
    model: Suggestion,
    initial: Option<&Value>,
) -> Result<Option<i64>, CannotJudge> {
    let Some(initial) = initial else {
        return Ok(None);
    };
    let must = match (model, initial) {
        (Suggestion::Counter, Value::Int(number)) => return Ok(Some(*number)),
        (Suggestion::Counter, _) => "an integer",
        _ => "left out: it begins empty",
    };
    Err(CannotJudge::Initial {
        initial: initial.clone(),
        model,
        must,
    })
}

fn by_model(
    history: &ObjectHistory,
    model: ModelKind,
    settings: &Settings,
    options: &JudgeOptions,
    watch: &dyn Fn(Progress) -> bool,
) -> Result<Judgement, CannotJudge> {
    check_initial(model, settings)?;
    let verdict = models::check_object(history, model, settings, &options.search, watch);
    let verdict = verdict.map_err(|cause| CannotJudge::Model {
        at: Whereabouts::new(history.op(cause.op), &cause.reason),
        cause,
    })?;
    let mut faults = BTreeMap::new();
    let mut parts = Vec::new();
    for CheckedPart { key, ops, verdict } in verdict.parts {
        let subject = match key {
            Value::Nil => Subject::Object,
            key => Subject::Part(key),
        };
        let verdict = match verdict {
            PartVerdict::Valid { .. } => Verdict::Valid(()),
            PartVerdict::OutOfBudget { steps } => {
                Verdict::Unknown(UnknownCause::OutOfBudget { steps })
            }
            PartVerdict::Interrupted { steps } => {
                Verdict::Unknown(UnknownCause::Interrupted { steps })
            }
            PartVerdict::Invalid(fault) => {
                let told = Telling {
                    history,
                    subject: &subject,
                }
                .anomaly(&fault);
                faults.insert(subject.clone(), *fault);
                let mut findings = Findings::default();
                findings.add(told.kind, || told);
                Verdict::Invalid(findings)
            }
        };
        let mut counts = Counts::of_object(history, &ops);
        counts.checks = 1;
        parts.push(PartReport {
            subject,
            verdict: verdict.kind(),
            counts,
            checks: vec![CheckReport {
                check: Check::Linearizability,
                verdict,
                tally: object_check::Tally::new(),
            }],
        });
    }
    if model == ModelKind::Set && !faults.is_empty() {
        name_elements(history, &mut parts);
    }
    Ok(Judgement {
        report: check::report(parts),
        judged_as: model.to_string(),
        faults,
        model: Some((model, settings.clone())),
    })
}

/// Adds to what no order explains of a set which elements are lost and which nobody added, if its last read
/// tells.
fn name_elements(history: &ObjectHistory, parts: &mut [PartReport]) {
    let options = object_check::ObjectOptions::default();
    let Ok(named) = check::check_objects(history, Check::Set, &options) else {
        return;
    };
    for named in named.parts {
        let part = parts.iter_mut().find(|part| part.subject == named.subject);
        if let (Some(part), VerdictKind::Invalid) = (part, named.verdict) {
            part.checks.extend(named.checks);
            part.counts.checks += 1;
        }
    }
}

/// Refuses values at first that the model would not understand.
fn check_initial(model: ModelKind, settings: &Settings) -> Result<(), CannotJudge> {
    let Some(initial) = &settings.initial else {
        return Ok(());
    };
    let must = match (model, initial) {
        (ModelKind::Register | ModelKind::CasRegister, _)
        | (ModelKind::MultiRegister, _)
        | (ModelKind::Kv, Value::Text(_))
        | (ModelKind::Set | ModelKind::Queue | ModelKind::Stack, Value::List(_) | Value::Set(_)) => {
            return Ok(());
        }
        (ModelKind::Kv, _) => "a string",
        (ModelKind::Set | ModelKind::Queue | ModelKind::Stack, _) => "a list of what is in it",
        (ModelKind::Mutex | ModelKind::Log | ModelKind::S2, _) => {
            "left out: it begins free or empty"
        }
    };
    Err(CannotJudge::Initial {
        initial: initial.clone(),
        model: Suggestion::Model(model),
        must,
    })
}

/// Tells a fault as an anomaly.
struct Telling<'a> {
    history: &'a ObjectHistory,
    subject: &'a Subject,
}

impl Telling<'_> {
    fn anomaly(&self, fault: &ObjectFault) -> Anomaly {
        let blamed = fault.blamed();
        let required = fault.required().filter(|ops| ops.len() <= SHOWN_MAX);
        let mut ops: Vec<OpId> = required.unwrap_or_default().to_vec();
        if ops.is_empty()
            && let ObjectFault::Search { blame, .. } = fault
        {
            ops.extend(blame.previous_ok);
        }
        ops.push(blamed);
        ops.sort_unstable();
        ops.dedup();
        let (kind, expected, seen) = match fault {
            ObjectFault::Search { blame, .. } => {
                let states: Vec<&str> = blame.possible.iter().map(|it| it.state.as_str()).collect();
                let expected = match states.as_slice() {
                    [] => format!("{} to return what some order explains", self.name(blamed)),
                    [state] => format!(
                        "an answer to {} that fits the only possible state before it returned: {state}",
                        self.name(blamed)
                    ),
                    states => format!(
                        "an answer to {} that fits a possible state before it returned: {}",
                        self.name(blamed),
                        states.join("; ")
                    ),
                };
                (AnomalyKind::NotLinearizable, expected, self.answer(blamed))
            }
            ObjectFault::Stream(fault) => (
                self.kind_of_stream(&fault.cause),
                "operations on one stream that agree on its positions".to_owned(),
                fault.cause.to_string(),
            ),
        };
        let mut chain = self.order_in_time(&ops);
        chain.push(match fault {
            ObjectFault::Search { .. } => Link {
                from: blamed,
                to: blamed,
                reason: Reason::NoOrder,
            },
            ObjectFault::Stream(_) => Link {
                from: ops
                    .iter()
                    .copied()
                    .find(|&op| op != blamed)
                    .unwrap_or(blamed),
                to: blamed,
                reason: Reason::Stream,
            },
        });
        Anomaly {
            kind,
            subject: self.subject.clone(),
            expected,
            seen,
            positions: Vec::new(),
            certificate: ops.iter().map(|&op| self.certificate_op(op)).collect(),
            chain,
        }
    }

    /// What breaks the order of a stream, by the field's names.
    fn kind_of_stream(&self, cause: &StreamCause) -> AnomalyKind {
        let appends = |op| self.history.op(op).function() == "append";
        match *cause {
            StreamCause::TooLong { .. }
            | StreamCause::Overlap { .. }
            | StreamCause::TailInside { .. }
            | StreamCause::Hash { .. } => AnomalyKind::InconsistentOffset,
            StreamCause::NotWhereDemanded { .. } => AnomalyKind::ConditionViolation,
            StreamCause::Token { .. } => AnomalyKind::FenceViolation,
            StreamCause::Hole { .. } => AnomalyKind::DirtyRead,
            StreamCause::TooLate { early, .. } if !appends(early) => AnomalyKind::StaleRead,
            StreamCause::TooLate { late, .. } if !appends(late) => AnomalyKind::FutureRead,
            StreamCause::TooLate { .. } => AnomalyKind::Reorder,
        }
    }

    /// Which of these operations precede which, without what follows from the rest.
    fn order_in_time(&self, ops: &[OpId]) -> Vec<Link> {
        let precedes = |a: OpId, b: OpId| {
            let (a, b) = (self.history.op(a), self.history.op(b));
            a.deadline() < b.invocation_edge()
        };
        let mut links = Vec::new();
        for &to in ops {
            for &from in ops.iter().filter(|&&from| precedes(from, to)) {
                let follows = ops
                    .iter()
                    .any(|&between| precedes(from, between) && precedes(between, to));
                if !follows {
                    links.push(real_time(self.history.op(from), self.history.op(to)));
                }
            }
        }
        links
    }

    fn name(&self, op: OpId) -> String {
        name(self.history.op(op))
    }

    fn answer(&self, op: OpId) -> String {
        match self.history.op(op) {
            op if op.result().is_nil() => "it succeeded".to_owned(),
            op => op.result().to_string(),
        }
    }

    fn certificate_op(&self, id: OpId) -> CertificateOp {
        certificate_op(self.history.op(id), |op| match op.result() {
            Value::Nil => Fact::Done,
            value => Fact::Returned {
                value: value.clone(),
            },
        })
    }
}
