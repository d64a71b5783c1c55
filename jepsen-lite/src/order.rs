//! Order: the appends of one process that were acknowledged one after the other have rising LSNs.
//!
//! Weaker than linearizability, and needs no read at all: this is what a client that waits for each
//! acknowledgement can check alone.

use hstore_core::{LogId, Lsn};

use crate::anomaly::{AnomalyKind, Witnesses, Words, by_position};
use crate::by_process::ByProcess;
use crate::history::{History, OpId};
use crate::verdict::{Findings, Verdict};

/// Judges one log, whose operations are `ops`.
pub(crate) fn check(history: &History, log: LogId, ops: &[OpId]) -> Verdict {
    let mut findings = Findings::default();
    let witnesses = Witnesses { history, log };
    // A process does one thing at a time, so the order of invocation is that of return.
    let mut highest: ByProcess<Option<(Lsn, OpId)>> = ByProcess::default();
    for op in ops.iter().map(|&id| history.op(id)) {
        let Some(lsn) = op.acked_at() else { continue };
        let lsn = Lsn::from_u64(lsn);
        let id = op.id();
        match highest.of(op.process()) {
            last if last.is_none_or(|(above, _)| lsn > above) => *last = Some((lsn, id)),
            &mut None => unreachable!("it was above nothing"),
            &mut Some((above, before)) => findings.add(AnomalyKind::Reorder, || {
                witnesses.anomaly(
                    AnomalyKind::Reorder,
                    &[before, id],
                    &[above.as_u64(), lsn.as_u64()],
                    vec![
                        witnesses.real_time(before, id),
                        by_position(id, lsn.as_u64(), before, above.as_u64()),
                    ],
                    Words {
                        expected: format!(
                            "an LSN above {above} for {}, after {}",
                            witnesses.name(id),
                            witnesses.name(before)
                        ),
                        seen: lsn.to_string(),
                    },
                )
            }),
        }
    }
    findings.verdict_or(|| Verdict::Valid(()))
}
