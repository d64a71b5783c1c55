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

use hstore_core::Lsn;

use crate::anomaly::{Anomaly, AnomalyKind, Link, Reason, Witnesses, Words};
use crate::by_process::ByProcess;
use crate::facts::{Bound, LogFacts};
use crate::history::{Answer, OpId, OpKind, position};
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

/// Judges one log.
pub(crate) fn check(facts: &LogFacts<'_>) -> Verdict {
    let mut findings = Findings::default();
    let history = facts.history;
    let witnesses = Witnesses {
        history,
        log: facts.log,
    };
    // A process does one thing at a time, so the order of invocation is that of return.
    let mut sights: ByProcess<Sight> = ByProcess::default();
    for &Bound { below, op, exact } in &facts.bounds {
        let kind = history.op(op).kind();
        let says_nothing = below == 0 && kind != OpKind::Poll;
        if says_nothing || kind == OpKind::Append || history.op(op).is_read_of_tier() {
            continue;
        }
        let sight = sights.of(history.op(op).process());
        let end = End { at: below, op };
        if let Some(seen) = sight.seen
            && exact
            && end.at < seen.at
        {
            findings.add(AnomalyKind::StaleRead, || {
                went_back(witnesses, AnomalyKind::StaleRead, seen, end)
            });
        }
        if kind != OpKind::Poll {
            raise(&mut sight.seen, end);
            continue;
        }
        let Some(Answer::Poll(read)) = history.op(op).answer() else {
            continue;
        };
        let end = End {
            at: end_of_shown(&read),
            op,
        };
        let shows_nothing = read.records.is_empty() && read.gaps.is_empty();
        if !shows_nothing {
            raise(&mut sight.seen, end);
        }
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
        if !shows_nothing {
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
