//! The page that shows what clients saw that cannot be: with the run that it was, and its faults.

use std::collections::BTreeMap;

use jepsen_lite::check::Report;
use jepsen_lite::history::History;
use jepsen_lite::report::{Context, ContextFact, Document, Lane, Span, SpanKind};

use crate::plan::{FaultPlan, TimedFault};
use crate::run_dir::Verdict;

/// The page of a run whose history was judged to be so.
#[must_use]
pub fn page(verdict: &Verdict, judged: &Report, history: &History) -> String {
    let fact = |key: &str, value: String| ContextFact {
        key: key.to_owned(),
        value,
    };
    let report = &verdict.report;
    let mut facts = vec![
        fact("seed", report.seed.to_string()),
        fact("reproduce", verdict.reproduce.clone()),
        fact("build", verdict.provenance.to_string()),
        fact("profile", report.options.profile.to_string()),
        fact("trace", report.trace_hash.clone()),
    ];
    if let Some(violation) = &report.violation {
        let found = format!("{} by {}", violation.property, violation.checker);
        facts.push(fact("found", found));
    }
    let context = Context {
        name: Some(format!("hstore-sim, seed {}", report.seed)),
        facts,
        lanes: fault_lanes(&report.plan),
    };
    Document::of_log(judged, history, context).to_html()
}

/// One lane for each kind of fault: as it was planned, which the trace says more about.
fn fault_lanes(plan: &FaultPlan) -> Vec<Lane> {
    let mut lanes: BTreeMap<&str, Vec<Span>> = BTreeMap::new();
    for fault in &plan.faults {
        lanes
            .entry(fault.kind.name())
            .or_default()
            .push(span(fault));
    }
    let lane = |(name, spans): (&str, Vec<Span>)| Lane {
        name: name.to_owned(),
        spans,
    };
    lanes.into_iter().map(lane).collect()
}

fn span(fault: &TimedFault) -> Span {
    Span {
        kind: SpanKind::Fault,
        label: format!("{}: {}", fault.kind.name(), fault.target),
        from_ns: fault.at_us * 1_000,
        to_ns: Some(fault.until_us * 1_000),
    }
}
