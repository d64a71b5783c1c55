//! Trim safety: only what somebody gave up is given up, and it stays so.
//!
//! A trim can take effect from its invocation on, unless it certainly failed; it is lazy, so records that
//! it gives up may be shown for ever. What is judged:
//!
//! - No read or poll is told of a trim, be it in place of an answer or by a typed gap, above every trim that
//!   was invoked before it returned.
//! - A read is answered "trimmed" only if it begins at or below the trim.
//! - What is given up is a prefix of the log: a read that shows a trim's gap shows no record below its end.
//! - The trim that one process is told of in place of answers does not go back.
//!
//! That nothing else vanished is for the check of durability to say.

use hstore_core::Lsn;

use crate::anomaly::{Anomaly, AnomalyKind, Link, Reason, Witnesses, Words};
use crate::by_process::ByProcess;
use crate::facts::LogFacts;
use crate::history::{Answer, Call, GapKind, OpId, OpKind, ReadAnswer, position};
use crate::trims::Trim;
use crate::verdict::{Findings, Verdict};

/// Judges one log, whose operations are `ops`.
pub(crate) fn check(facts: &LogFacts<'_>, ops: &[OpId]) -> Verdict {
    let mut findings = Findings::default();
    let LogFacts {
        history,
        log,
        trims,
        ..
    } = facts;
    let witnesses = Witnesses { history, log: *log };
    let mut told: ByProcess<Option<(u64, OpId)>> = ByProcess::default();
    for op in ops.iter().map(|&id| history.op(id)) {
        if !matches!(op.kind(), OpKind::Read | OpKind::Poll) {
            continue;
        }
        let id = op.id();
        match op.answer() {
            Some(Answer::Trimmed { upto }) => {
                let upto = upto.as_u64();
                if upto > trims.given_up(op.deadline()) {
                    let nearest = trims.furthest(op.deadline());
                    findings.add(AnomalyKind::TrimViolation, || {
                        not_asked_for(witnesses, id, upto, nearest)
                    });
                }
                let (Call::Read { from, .. } | Call::Poll { from, .. }) = op.call() else {
                    unreachable!("it is a read or a poll");
                };
                if position(from) > upto {
                    findings.add(AnomalyKind::TrimViolation, || {
                        begins_above(witnesses, id, from, upto)
                    });
                }
                match told.of(op.process()) {
                    &mut Some((before, by)) if upto < before => {
                        findings.add(AnomalyKind::TrimViolation, || {
                            taken_back(witnesses, (by, before), (id, upto))
                        });
                    }
                    last => *last = Some((upto, id)),
                }
            }
            Some(Answer::Read(read) | Answer::Poll(read)) => {
                let Some(last) = end_of_trim(&read) else {
                    continue;
                };
                if last > trims.given_up(op.deadline()) {
                    let nearest = trims.furthest(op.deadline());
                    findings.add(AnomalyKind::TrimViolation, || {
                        not_asked_for(witnesses, id, last, nearest)
                    });
                }
                let records = read.records.iter().map(|(lsn, _)| lsn.as_u64());
                if let Some(kept) = records.min().filter(|&lsn| lsn < last) {
                    findings.add(AnomalyKind::TrimViolation, || {
                        taken_back(witnesses, (id, last), (id, kept))
                    });
                }
            }
            _ => {}
        }
    }
    findings.verdict_or(|| Verdict::Valid(()))
}

/// The last LSN that a read shows as given up.
fn end_of_trim(read: &ReadAnswer<'_>) -> Option<u64> {
    let gaps = read.gaps.iter();
    let trims = gaps.filter(|gap| gap.kind == GapKind::Trim);
    trims.map(|gap| gap.last.as_u64()).max()
}

/// A read was told that `lsn` is given up, but the trim that reached furthest by then did not.
fn not_asked_for(witnesses: Witnesses<'_>, read: OpId, lsn: u64, nearest: Option<Trim>) -> Anomaly {
    let mut ops = vec![read];
    ops.extend(nearest.map(|trim| trim.op));
    let at = Lsn::from_u64(lsn);
    witnesses.anomaly(
        AnomalyKind::TrimViolation,
        &ops,
        &[lsn],
        vec![Link {
            from: nearest.map_or(read, |trim| trim.op),
            to: read,
            reason: Reason::NotGivenUp { lsn: at },
        }],
        Words {
            expected: match nearest {
                Some(trim) => format!(
                    "nothing above {} is given up: {} reached furthest",
                    Lsn::from_u64(trim.upto),
                    witnesses.name(trim.op)
                ),
                None => "nothing is given up: nobody had asked for it".to_owned(),
            },
            seen: format!("{} is told that {at} is", witnesses.name(read)),
        },
    )
}

/// A read was told "trimmed" of what lies below it.
fn begins_above(witnesses: Witnesses<'_>, read: OpId, from: Lsn, upto: u64) -> Anomaly {
    let (from, upto_lsn) = (Lsn::from_u64(position(from)), Lsn::from_u64(upto));
    witnesses.anomaly(
        AnomalyKind::TrimViolation,
        &[read],
        &[upto],
        vec![Link {
            from: read,
            to: read,
            reason: Reason::NotGivenUp { lsn: from },
        }],
        Words {
            expected: format!(
                "an answer for {}: it begins above {upto_lsn}",
                witnesses.name(read)
            ),
            seen: format!("it is told that all up to {upto_lsn} is given up"),
        },
    )
}

/// One answer told of a trim up to `upto`; another, or the same, has something at `lsn` below.
fn taken_back(
    witnesses: Witnesses<'_>,
    (before, upto): (OpId, u64),
    (now, lsn): (OpId, u64),
) -> Anomaly {
    let mut chain = vec![Link {
        from: before,
        to: now,
        reason: Reason::TrimTakenBack {
            upto: Lsn::from_u64(upto),
            lsn: Lsn::from_u64(lsn),
        },
    }];
    let (upto, lsn_there) = (Lsn::from_u64(upto), Lsn::from_u64(lsn));
    let words = if before == now {
        Words {
            expected: format!("{} shows no record below {upto}", witnesses.name(now)),
            seen: format!("it shows one at {lsn_there}, and that {upto} is given up"),
        }
    } else {
        chain.insert(0, witnesses.real_time(before, now));
        Words {
            expected: format!(
                "all up to {upto} stays given up, as {} was told",
                witnesses.name(before)
            ),
            seen: format!(
                "{} is told of a trim up to {lsn_there} only",
                witnesses.name(now)
            ),
        }
    };
    witnesses.anomaly(
        AnomalyKind::TrimViolation,
        &[before, now],
        &[upto.as_u64(), lsn],
        chain,
        words,
    )
}
