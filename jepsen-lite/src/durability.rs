//! Durability: what was acknowledged is still there at the end, and what failed never shows.
//!
//! The evidence are *final reads*: reads that the workload marked as such, made when all was quiet
//! and healed. Together they must cover every acknowledged record; where they do not, the verdict is
//! "unknown", not "valid". A typed gap excuses nothing: an acknowledged record that became data loss
//! is lost. Only what was given up by a trim need not be there; it is given up once the trim is invoked.
//!
//! This overlaps with linearizability on purpose: it asks the simplest question, and asks it of every
//! single record.

use std::borrow::Cow;

use hstore_core::Lsn;

use crate::anomaly::{
    Anomaly, AnomalyKind, Link, Reason, Seen, Witnesses, Words, by_end, by_observation, by_position,
};
use crate::facts::{LogFacts, Owner, failed};
use crate::history::{Call, OpId, ReadAnswer, RecordId, after, position};
use crate::verdict::{Findings, UnknownCause, Verdict};

/// How an acknowledged record fared in the final reads so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unread,
    ReadBack,
    GivenUp,
    Lost,
}

/// Judges one log, whose operations are `ops`.
pub(crate) fn check(facts: &LogFacts<'_>, ops: &[OpId]) -> Verdict {
    let mut findings = Findings::default();
    failed_but_read(facts, &mut findings);
    let acked: Cow<'_, [Owner]> = if facts.claims.is_empty() {
        Cow::Borrowed(&facts.owners)
    } else {
        let owners = facts.owners.iter();
        let acked = owners.filter(|owner| facts.acked_here(owner));
        Cow::Owned(acked.copied().collect())
    };
    let mut fates = vec![Fate::Unread; acked.len()];
    let final_reads: Vec<(OpId, ReadAnswer<'_>)> = final_reads_of(facts).collect();
    for (id, read) in &final_reads {
        compare(facts, &acked, &mut fates, *id, read, &mut findings);
    }
    beyond_the_end(facts, &acked, &mut fates, &final_reads, &mut findings);
    excuse(facts, ops, &acked, &mut fates);
    findings.verdict_or(|| coverage(&acked, &fates, final_reads.len()))
}

/// Up to where all was given up before an operation returned.
fn given_up(facts: &LogFacts<'_>, op: OpId) -> u64 {
    facts.trims.given_up(facts.history.op(op).deadline())
}

/// Asks nothing of what was given up before the last final read returned, whatever that was answered.
fn excuse(facts: &LogFacts<'_>, ops: &[OpId], acked: &[Owner], fates: &mut [Fate]) {
    if facts.trims.is_empty() {
        return;
    }
    let finals = ops.iter().map(|&id| facts.history.op(id)).filter(|op| {
        matches!(op.call(), Call::Read { is_final: true, .. }) && op.answer().is_some()
    });
    let given_up = finals.map(|op| given_up(facts, op.id())).max().unwrap_or(0);
    for (owner, fate) in acked.iter().zip(fates) {
        if owner.lsn <= given_up && *fate == Fate::Unread {
            *fate = Fate::GivenUp;
        }
    }
}

/// Those that looked at the log itself.
fn final_reads_of<'h>(facts: &LogFacts<'h>) -> impl Iterator<Item = (OpId, ReadAnswer<'h>)> {
    let history = facts.history;
    let reads = facts.final_reads.iter();
    let reads = reads.map(|&id| (id, history.op(id).read_result()));
    reads.filter(|(_, read)| read.takes_tail)
}

/// Looks for the acknowledged records of which one final read speaks.
fn compare(
    facts: &LogFacts<'_>,
    acked: &[Owner],
    fates: &mut [Fate],
    id: OpId,
    read: &ReadAnswer<'_>,
    findings: &mut Findings,
) {
    // Right reads deliver in order.
    let mut shown = Cow::Borrowed(read.records);
    if !shown.is_sorted() {
        shown.to_mut().sort_unstable();
    }
    let first = acked.partition_point(|owner| owner.lsn < position(read.from));
    let end = read.end();
    let mut at = 0;
    let given_up = given_up(facts, id);
    for (owner, fate) in acked[first..].iter().zip(&mut fates[first..]) {
        if owner.lsn >= end {
            break;
        }
        if owner.lsn <= given_up {
            continue;
        }
        while shown
            .get(at)
            .is_some_and(|(lsn, _)| lsn.as_u64() < owner.lsn)
        {
            at += 1;
        }
        let here = shown[at..].iter();
        let here = here.take_while(|(lsn, _)| lsn.as_u64() == owner.lsn);
        if here.clone().any(|&(_, record)| record == owner.record) {
            if *fate == Fate::Unread {
                *fate = Fate::ReadBack;
            }
        } else if *fate != Fate::Lost {
            *fate = Fate::Lost;
            let instead = here.map(|&(_, record)| record).next();
            findings.add(AnomalyKind::LostWrite, || {
                passed_over(facts, owner, id, read, instead)
            });
        }
    }
}

/// Looks for records that lie above the tail of a final read which began after they had been
/// acknowledged.
fn beyond_the_end(
    facts: &LogFacts<'_>,
    acked: &[Owner],
    fates: &mut [Fate],
    final_reads: &[(OpId, ReadAnswer<'_>)],
    findings: &mut Findings,
) {
    let reached = final_reads.iter().filter(|(_, read)| read.reached_tail());
    let mut tails: Vec<(u64, OpId)> = reached.map(|&(id, read)| (read.tail(), id)).collect();
    tails.sort_unstable();
    let highest = acked.last().map_or(0, |owner| owner.lsn);
    if tails.first().is_none_or(|&(lowest, _)| lowest > highest) {
        return;
    }
    let mut tails = tails.into_iter().peekable();
    // Of all reads that ended at or below a record, the last one to begin misses it if any does.
    let mut last_begun: Option<(u64, OpId)> = None;
    for (owner, fate) in acked.iter().zip(fates) {
        while let Some((tail, read)) = tails.next_if(|&(tail, _)| tail <= owner.lsn) {
            if last_begun.is_none_or(|(_, last)| last < read) {
                last_begun = Some((tail, read));
            }
        }
        let Some((tail, read)) = last_begun else {
            continue;
        };
        let append = owner.append.get().expect("an acked owner has its append");
        let history = facts.history;
        let begun = history.op(read).begins();
        let is_missed = history.op(append).deadline() < begun && owner.lsn > given_up(facts, read);
        if is_missed && *fate != Fate::Lost {
            *fate = Fate::Lost;
            findings.add(AnomalyKind::LostWrite, || {
                above_end(facts, append, owner, read, tail)
            });
        }
    }
}

/// Whether the final reads said enough.
fn coverage(acked: &[Owner], fates: &[Fate], final_reads: usize) -> Verdict {
    let unread = || {
        let fates = acked.iter().zip(fates);
        fates.filter(|&(_, fate)| *fate == Fate::Unread)
    };
    let Some((owner, _)) = unread().next() else {
        return Verdict::Valid(());
    };
    Verdict::Unknown(if final_reads == 0 {
        UnknownCause::NoFinalRead {
            acked: acked.len() as u64,
        }
    } else {
        UnknownCause::NotReadBack {
            records: unread().count() as u64,
            first: owner.append.get().expect("an acked owner has its append"),
            lsn: Lsn::from_u64(owner.lsn),
        }
    })
}

fn witnesses<'h>(facts: &LogFacts<'h>) -> Witnesses<'h> {
    Witnesses {
        history: facts.history,
        log: facts.log,
    }
}

/// A final read says that the log ends below an acknowledged record.
fn above_end(facts: &LogFacts<'_>, append: OpId, owner: &Owner, read: OpId, tail: u64) -> Anomaly {
    let witnesses = witnesses(facts);
    witnesses.anomaly(
        AnomalyKind::LostWrite,
        &[append, read],
        &[owner.lsn],
        vec![
            witnesses.real_time(append, read),
            by_end(read, tail, append, owner.lsn),
        ],
        Words {
            expected: expected(witnesses, append, owner),
            seen: format!(
                "{} says that the log ends at {}",
                witnesses.name(read),
                Lsn::from_u64(tail)
            ),
        },
    )
}

/// A final read speaks of the LSN of an acknowledged record, but does not show it.
fn passed_over(
    facts: &LogFacts<'_>,
    owner: &Owner,
    read: OpId,
    answer: &ReadAnswer<'_>,
    instead: Option<RecordId>,
) -> Anomaly {
    let witnesses = witnesses(facts);
    let append = owner.append.get().expect("an acked owner has its append");
    let gap = answer
        .gaps
        .iter()
        .find(|gap| (position(gap.first)..after(gap.last.as_u64())).contains(&owner.lsn));
    let shown = match (instead, gap) {
        (Some(record), _) => Seen::Record { record },
        (None, Some(gap)) => Seen::Gap { kind: gap.kind },
        (None, None) => Seen::Nothing,
    };
    let mut ops = vec![append, read];
    let other = instead.and_then(|record| facts.owner_index(owner.lsn, record));
    ops.extend(other.and_then(|at| facts.owners[at].append.get()));
    witnesses.anomaly(
        AnomalyKind::LostWrite,
        &ops,
        &[owner.lsn],
        vec![
            by_position(append, owner.lsn, read, answer.end()),
            by_observation(read, append, read, owner.lsn, shown),
        ],
        Words {
            expected: expected(witnesses, append, owner),
            seen: format!("{} shows {shown} there", witnesses.name(read)),
        },
    )
}

fn expected(witnesses: Witnesses<'_>, append: OpId, owner: &Owner) -> String {
    format!(
        "the final reads show the record that {} put at {}",
        witnesses.name(append),
        Lsn::from_u64(owner.lsn)
    )
}

/// Records of failed appends that some read, final or not, shows.
fn failed_but_read(facts: &LogFacts<'_>, findings: &mut Findings) {
    let witnesses = witnesses(facts);
    for owner in &facts.claims {
        let Some(append) = owner.append.get() else {
            continue;
        };
        if !failed(facts.history, append) {
            continue;
        }
        findings.add(AnomalyKind::DirtyRead, || {
            let read = owner
                .reader
                .get()
                .expect("what nobody acked, somebody read");
            let record = owner.record;
            let shown = Seen::Record { record };
            witnesses.anomaly(
                AnomalyKind::DirtyRead,
                &[append, read],
                &[owner.lsn],
                vec![
                    Link {
                        from: append,
                        to: read,
                        reason: Reason::Failed,
                    },
                    by_observation(append, read, read, owner.lsn, shown),
                ],
                Words {
                    expected: format!("no trace of {}, which failed", witnesses.name(append)),
                    seen: format!(
                        "{} shows it at {}",
                        witnesses.name(read),
                        Lsn::from_u64(owner.lsn)
                    ),
                },
            )
        });
    }
}
