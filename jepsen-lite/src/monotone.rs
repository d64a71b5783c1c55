//! Monotonicity: what one process sees of the end of a log never goes back.
//!
//! - A tail, the tail of a seal, and a read that reached its tail say where the log ends. None may lie
//!   below what the same process has seen before: an earlier tail, or the end of what an earlier read or
//!   poll showed. Else it is a `StaleRead`. This asks more than linearizability, to which it is the same
//!   whether a log ends below or above positions that never get a record.
//! - A poll says no more than that the log has what it shows. But a process that was shown the positions
//!   below some end must be shown all of them again if it polls from below that end and its limit holds
//!   nothing back. Else it is a `NonmonotonicPoll`. Polls are held against polls only, for they return what
//!   is released, and reads wait for that. Those of subscriptions are judged in
//!   [`subscription`](crate::subscription); a poll that was told of a trim says nothing here.
//!
//! Reads of one tier are not looked at: a tier may lag, and gives up what the other has.

use hashbrown::HashMap;
use hstore_core::{LogId, Lsn};
use rustc_hash::FxBuildHasher;

use crate::anomaly::{Anomaly, AnomalyKind, Link, Reason, Witnesses, Words};
use crate::history::{Answer, History, OpId, OpKind, ProcessId, position};
use crate::shown::{end_of_shown, is_cut};
use crate::verdict::{Findings, Verdict};

/// The greatest end that something saw.
#[derive(Clone, Copy, Debug)]
struct End {
    at: u64,
    op: OpId,
}

/// What a process has seen.
#[derive(Clone, Copy, Debug, Default)]
struct Sight {
    /// In any way.
    seen: Option<End>,
    /// By polls that are of no subscription.
    polled: Option<End>,
}

/// By process.
#[derive(Debug, Default)]
struct Sights {
    /// Of the processes with small numbers, which are all in most histories.
    near: Vec<Sight>,
    /// Of the others. Their order is never observed.
    far: HashMap<ProcessId, Sight, FxBuildHasher>,
}

impl Sights {
    const NEAR: usize = 4_096;

    fn of(&mut self, process: ProcessId) -> &mut Sight {
        let at = process.0 as usize;
        if at >= Self::NEAR {
            return self.far.entry(process).or_default();
        }
        if at >= self.near.len() {
            self.near.resize(at + 1, Sight::default());
        }
        &mut self.near[at]
    }
}

/// Judges one log, whose operations are `ops`.
pub(crate) fn check(history: &History, log: LogId, ops: &[OpId]) -> Verdict {
    let mut findings = Findings::default();
    let witnesses = Witnesses { history, log };
    // A process does one thing at a time, so the order of invocation is that of return.
    let mut sights = Sights::default();
    for op in ops.iter().map(|&id| history.op(id)) {
        if op.kind() == OpKind::Append {
            continue;
        }
        let Some(answer) = op.answer() else {
            continue;
        };
        let id = op.id();
        let (end, is_exact) = match answer {
            Answer::Tail { tail } | Answer::Seal { tail } => (position(tail), true),
            Answer::Read(read) if read.reached_tail() => (read.tail(), true),
            Answer::Read(read) => (read.end(), false),
            Answer::Poll(read) if op.kind() == OpKind::Poll => (end_of_shown(&read), false),
            _ => continue,
        };
        let end = End { at: end, op: id };
        let sight = sights.of(op.process());
        if let Some(seen) = sight.seen
            && is_exact
            && end.at < seen.at
        {
            findings.add(AnomalyKind::StaleRead, || {
                went_back(witnesses, AnomalyKind::StaleRead, seen, end)
            });
        }
        match answer {
            // From above what it had seen, it learns nothing unless something is shown.
            Answer::Read(read) if !is_exact && read.is_empty() => continue,
            Answer::Poll(read) if read.records.is_empty() && read.gaps.is_empty() => {}
            _ => raise(&mut sight.seen, end),
        }
        let Answer::Poll(read) = answer else {
            continue;
        };
        if read.subscription.is_some() {
            continue;
        }
        if let Some(polled) = sight.polled
            && !is_cut(&read)
            && position(read.from) < polled.at
            && end.at < polled.at
        {
            findings.add(AnomalyKind::NonmonotonicPoll, || {
                went_back(witnesses, AnomalyKind::NonmonotonicPoll, polled, end)
            });
        }
        if !(read.records.is_empty() && read.gaps.is_empty()) {
            raise(&mut sight.polled, end);
        }
    }
    findings.verdict_or(|| Verdict::Valid(()))
}

fn raise(known: &mut Option<End>, end: End) {
    if known.is_none_or(|known| known.at < end.at) {
        *known = Some(end);
    }
}

fn went_back(witnesses: Witnesses<'_>, kind: AnomalyKind, before: End, now: End) -> Anomaly {
    let (from_end, to_end) = (Lsn::from_u64(before.at), Lsn::from_u64(now.at));
    witnesses.anomaly(
        kind,
        &[before.op, now.op],
        &[now.at],
        vec![
            witnesses.real_time(before.op, now.op),
            Link {
                from: before.op,
                to: now.op,
                reason: Reason::WentBack { from_end, to_end },
            },
        ],
        Words {
            expected: format!(
                "{} sees the log up to {from_end} at least, as {} did",
                witnesses.name(now.op),
                witnesses.name(before.op)
            ),
            seen: format!("it ends at {to_end}"),
        },
    )
}
