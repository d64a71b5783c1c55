//! White-box durability: an append is acknowledged only once enough copies of its record are synced.
//!
//! This looks into the system, as only a simulator or an instrumented server can: it is told of each copy
//! as it is synced. Copies of different *waves* (rounds of sending a record) do not add up, for each wave
//! has a copyset of its own, and only a whole one is promised to be found again. What suffices is for the
//! caller to say, by log and LSN: the epoch of the LSN tells its nodeset.
//!
//! It is not said here that the copies stay; that is what the check of durability asks at the end.

use hstore_core::{LogId, Lsn, NodeSet};

use crate::anomaly::{AnomalyKind, Link, Reason, Witnesses, Words};
use crate::history::{Answer, EventIndex, History, Op};
use crate::verdict::{Findings, Verdict};

/// Copies of one record that were synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synced {
    /// The log.
    pub log: LogId,
    /// The position of the record.
    pub lsn: Lsn,
    /// The round of sending that the copies are of.
    pub wave: u32,
    /// The nodes that have synced theirs, or those of them that were not told of before: sets of one wave
    /// add up.
    pub copies: NodeSet,
    /// They had been synced before the event with this index: the one that was to be recorded next.
    pub before: EventIndex,
}

/// The most copies that one wave of a record had, with the wave.
#[derive(Clone, Copy, Debug, Default)]
struct Best {
    wave: Option<u32>,
    copies: NodeSet,
}

/// Judges all acknowledged appends of a history by `evidence`, in any order. `suffices` says whether these
/// copies of the record at an LSN of a log are enough.
///
/// Takes time O((n + e) log (n + e)) for n operations and e pieces of evidence.
#[must_use]
pub fn check(
    history: &History,
    evidence: &[Synced],
    mut suffices: impl FnMut(LogId, Lsn, NodeSet) -> bool,
) -> Verdict {
    let mut findings = Findings::default();
    let mut acked: Vec<(LogId, Lsn, Op<'_>)> = history
        .ops()
        .filter_map(|op| match op.answer()? {
            Answer::Append { lsn } => Some((op.log(), lsn, op)),
            _ => None,
        })
        .collect();
    acked.sort_by_key(|&(log, lsn, op)| (log, lsn, op.id()));
    let mut order: Vec<u32> = (0..count(evidence)).collect();
    let key = |&index: &u32| {
        let Synced { log, lsn, wave, .. } = evidence[index as usize];
        (log, lsn, wave)
    };
    order.sort_by_key(key);
    let mut synced = order.chunk_by(|one, two| key(one) == key(two)).peekable();
    let mut waves: Vec<&[u32]> = Vec::new();
    let mut waves_of = None;
    for (log, lsn, op) in acked {
        if waves_of != Some((log, lsn)) {
            waves_of = Some((log, lsn));
            waves.clear();
            let place = |wave: &[u32]| {
                let (log, lsn, _) = key(&wave[0]);
                (log, lsn)
            };
            while synced.next_if(|&wave| place(wave) < (log, lsn)).is_some() {}
            while let Some(wave) = synced.next_if(|&wave| place(wave) == (log, lsn)) {
                waves.push(wave);
            }
        }
        let acked_at = op.completed().expect("it was acknowledged").index;
        let mut best = Best::default();
        let is_durable = waves.iter().any(|wave| {
            let rows = wave.iter().map(|&index| &evidence[index as usize]);
            let rows = rows.filter(|row| row.before <= acked_at);
            let copies = rows.fold(NodeSet::EMPTY, |copies, row| copies.union(row.copies));
            if copies.len() > best.copies.len() {
                let wave = Some(evidence[wave[0] as usize].wave);
                best = Best { wave, copies };
            }
            suffices(log, lsn, copies)
        });
        if !is_durable && !suffices(log, lsn, NodeSet::EMPTY) {
            findings.add(AnomalyKind::AckBeforeDurable, || {
                too_early(history, op, lsn, best)
            });
        }
    }
    findings.verdict_or(|| Verdict::Valid(()))
}

fn count(evidence: &[Synced]) -> u32 {
    u32::try_from(evidence.len()).expect("fewer than 2^32 pieces of evidence")
}

fn too_early(history: &History, append: Op<'_>, lsn: Lsn, best: Best) -> crate::anomaly::Anomaly {
    let witnesses = Witnesses {
        history,
        log: append.log(),
    };
    let Best { wave, copies } = best;
    let id = append.id();
    witnesses.anomaly(
        AnomalyKind::AckBeforeDurable,
        &[id],
        &[lsn.as_u64()],
        vec![Link {
            from: id,
            to: id,
            reason: Reason::Synced { wave, copies },
        }],
        Words {
            expected: format!(
                "{} is acknowledged at {lsn} once one wave has enough copies synced",
                witnesses.name(id)
            ),
            seen: match wave {
                Some(wave) => format!("no wave had more than wave {wave}: {copies}"),
                None => "no copy was synced".to_owned(),
            },
        },
    )
}
