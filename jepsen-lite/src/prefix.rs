//! Prefix agreement: any two reads say the same of each LSN of which both speak.
//!
//! A record agrees with the same record; a gap agrees with a gap, of whatever kind. Nothing is
//! compared with what appends returned, so this holds readers to account even where no append was
//! ever acknowledged.

use hstore_core::Lsn;

use crate::anomaly::{Anomaly, AnomalyKind, Seen, Witnesses, Words, by_observation};
use crate::facts::{LogFacts, Missing, Owner, seek};
use crate::history::{GapKind, OpId};
use crate::verdict::{Findings, Verdict};

/// Judges one log.
pub(crate) fn check(facts: &LogFacts<'_>) -> Verdict {
    let mut findings = Findings::default();
    let mut last: Option<(&Owner, OpId)> = None;
    for owner in &facts.owners {
        let Some(reader) = owner.reader.get() else {
            continue;
        };
        if let Some((other, other_reader)) = last
            && other.lsn == owner.lsn
        {
            findings.add(AnomalyKind::InconsistentOffset, || {
                disagreement(
                    facts,
                    (other, other_reader),
                    reader,
                    Seen::Record {
                        record: owner.record,
                    },
                    owner.append.get(),
                )
            });
        }
        last = Some((owner, reader));
    }
    let mut hint = 0;
    for missing in &facts.missing {
        // What is given up may have been anything.
        if missing.kind == Some(GapKind::Trim) {
            continue;
        }
        hint = seek(&facts.owners, hint, |owner| owner.lsn < missing.first);
        let inside = facts.owners[hint..].iter();
        let mut inside = inside.take_while(|owner| owner.lsn < missing.end);
        let shown = inside.find_map(|owner| Some((owner, owner.reader.get()?)));
        if let Some(shown) = shown {
            findings.add(AnomalyKind::InconsistentOffset, || {
                disagreement(facts, shown, missing.read, seen(missing), None)
            });
        }
    }
    findings.verdict_or(|| Verdict::Valid(()))
}

fn seen(missing: &Missing) -> Seen {
    missing
        .kind
        .map_or(Seen::Nothing, |kind| Seen::Gap { kind })
}

/// `reader` shows `owner`, but `other` shows something else there.
fn disagreement(
    facts: &LogFacts<'_>,
    (owner, reader): (&Owner, OpId),
    other: OpId,
    other_seen: Seen,
    other_append: Option<OpId>,
) -> Anomaly {
    let witnesses = Witnesses {
        history: facts.history,
        log: facts.log,
    };
    let seen = Seen::Record {
        record: owner.record,
    };
    let mut ops = vec![reader, other];
    ops.extend(owner.append.get());
    ops.extend(other_append);
    witnesses.anomaly(
        AnomalyKind::InconsistentOffset,
        &ops,
        &[owner.lsn],
        vec![
            by_observation(reader, other, reader, owner.lsn, seen),
            by_observation(other, reader, other, owner.lsn, other_seen),
        ],
        Words {
            expected: format!("all reads show the same at {}", Lsn::from_u64(owner.lsn)),
            seen: format!(
                "{} shows {seen}, {} shows {other_seen}",
                witnesses.name(reader),
                witnesses.name(other)
            ),
        },
    )
}
