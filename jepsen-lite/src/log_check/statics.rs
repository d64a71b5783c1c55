//! What can be judged without looking at time: whether reads and appends agree on every position.

use std::borrow::Cow;

use hstore_core::Lsn;

use super::evidence;
use crate::anomaly::{
    Anomaly, AnomalyKind, Link, Reason, Seen, Witnesses, Words, by_end, by_observation, by_position,
};
use crate::facts::{LogFacts, Missing, Owner, ReadFaultKind, failed, seek};
use crate::history::{Answer, GapKind, OpId, after};
use crate::verdict::Findings;

/// Adds the anomalies to `findings`; returns the appends that none of them touches, by LSN.
pub(super) fn check<'f>(facts: &'f LogFacts<'_>, findings: &mut Findings) -> Cow<'f, [Owner]> {
    read_faults(facts, findings);
    let effective = if facts.claims.is_empty() && facts.owners.is_sorted_by(|a, b| a.lsn < b.lsn) {
        // Nobody speaks of anything but acknowledged records, and each has its place.
        Cow::Borrowed(&facts.owners[..])
    } else {
        let mut clean = vec![true; facts.owners.len()];
        never_appended(facts, &mut clean, findings);
        two_records_at_one_lsn(facts, &mut clean, findings);
        one_record_at_two_lsns(facts, &mut clean, findings);
        let owners = facts.owners.iter().zip(&clean);
        let owners = owners.filter(|&(_, &clean)| clean);
        Cow::Owned(owners.map(|(owner, _)| *owner).collect())
    };
    missing_records(facts, &effective, findings);
    not_given_up(facts, findings);
    ended_epochs(facts, &effective, findings);
    effective
}

fn witnesses<'h>(facts: &LogFacts<'h>) -> Witnesses<'h> {
    Witnesses {
        history: facts.history,
        log: facts.log,
    }
}

/// Reads that cannot be right whatever the log was.
fn read_faults(facts: &LogFacts<'_>, findings: &mut Findings) {
    let witnesses = witnesses(facts);
    for fault in &facts.faults {
        let read = fault.read;
        let name = witnesses.name(read);
        match fault.kind {
            ReadFaultKind::Disorder { later, earlier } => {
                findings.add(AnomalyKind::Reorder, || {
                    let (low, high) = (Lsn::from_u64(earlier), Lsn::from_u64(later));
                    let mut ops = vec![read];
                    ops.extend(appends_at(facts, &[later, earlier]));
                    witnesses.anomaly(
                        AnomalyKind::Reorder,
                        &ops,
                        &[later, earlier],
                        vec![by_position(read, earlier, read, later)],
                        Words {
                            expected: format!("{name} delivers {low} before {high}"),
                            seen: format!("it delivers {high} first"),
                        },
                    )
                });
            }
            ReadFaultKind::Twice { lsn, record } => findings.add(AnomalyKind::Duplicate, || {
                let mut ops = vec![read];
                ops.extend(appends_at(facts, &[lsn]));
                let at = Lsn::from_u64(lsn);
                witnesses.anomaly(
                    AnomalyKind::Duplicate,
                    &ops,
                    &[lsn],
                    vec![by_observation(
                        read,
                        read,
                        read,
                        lsn,
                        Seen::Record { record },
                    )],
                    Words {
                        expected: format!("{name} delivers {at} once"),
                        seen: "it delivers it twice".to_owned(),
                    },
                )
            }),
            ReadFaultKind::Overlap { lsn, gap } => {
                findings.add(AnomalyKind::InconsistentOffset, || {
                    let mut ops = vec![read];
                    ops.extend(appends_at(facts, &[lsn]));
                    let at = Lsn::from_u64(lsn);
                    witnesses.anomaly(
                        AnomalyKind::InconsistentOffset,
                        &ops,
                        &[lsn],
                        vec![by_observation(
                            read,
                            read,
                            read,
                            lsn,
                            Seen::Gap { kind: gap },
                        )],
                        Words {
                            expected: format!("{name} says one thing of {at}"),
                            seen: format!("a gap ({gap}) and something else"),
                        },
                    )
                });
            }
            ReadFaultKind::OutOfRange { lsn, entry } => {
                findings.add(AnomalyKind::ReadOutOfRange, || {
                    let mut ops = vec![read];
                    ops.extend(appends_at(facts, &[lsn]));
                    witnesses.anomaly(
                        AnomalyKind::ReadOutOfRange,
                        &ops,
                        &[lsn],
                        vec![by_observation(read, read, read, lsn, entry)],
                        Words {
                            expected: format!(
                                "{name} returns what lies between its start and its tail"
                            ),
                            seen: format!("it speaks of {}", Lsn::from_u64(lsn)),
                        },
                    )
                })
            }
        }
    }
}

/// The appends whose records are said to be at these positions, so that a certificate that shows
/// them says where they come from.
fn appends_at(facts: &LogFacts<'_>, positions: &[u64]) -> Vec<OpId> {
    positions
        .iter()
        .filter_map(|&lsn| facts.first_owner_at(lsn)?.append.get())
        .collect()
}

/// Records that are read although their append failed, or was never made.
fn never_appended(facts: &LogFacts<'_>, clean: &mut [bool], findings: &mut Findings) {
    let witnesses = witnesses(facts);
    for owner in &facts.claims {
        let append = owner.append.get();
        if append.is_some_and(|append| !failed(facts.history, append)) {
            continue;
        }
        taint(facts, owner, clean);
        findings.add(AnomalyKind::DirtyRead, || {
            let read = owner
                .reader
                .get()
                .expect("what nobody acked, somebody read");
            let (at, record) = (Lsn::from_u64(owner.lsn), owner.record);
            let shown = Seen::Record { record };
            let mut ops = vec![read];
            let mut chain = Vec::new();
            let expected = match append {
                Some(append) => {
                    ops.push(append);
                    chain.push(Link {
                        from: append,
                        to: read,
                        reason: Reason::Failed,
                    });
                    chain.push(by_observation(append, read, read, owner.lsn, shown));
                    format!(
                        "nobody reads {record}: {} certainly had no effect",
                        witnesses.name(append)
                    )
                }
                None => {
                    chain.push(by_observation(read, read, read, owner.lsn, shown));
                    format!("nobody reads {record}: nobody appended it")
                }
            };
            witnesses.anomaly(
                AnomalyKind::DirtyRead,
                &ops,
                &[owner.lsn],
                chain,
                Words {
                    expected,
                    seen: format!("{} shows it at {at}", witnesses.name(read)),
                },
            )
        });
    }
}

/// Two records that are said to be at one LSN.
fn two_records_at_one_lsn(facts: &LogFacts<'_>, clean: &mut [bool], findings: &mut Findings) {
    let witnesses = witnesses(facts);
    for (index, pair) in facts.owners.windows(2).enumerate() {
        let [one, two] = pair else { unreachable!() };
        if one.lsn != two.lsn {
            continue;
        }
        clean[index] = false;
        clean[index + 1] = false;
        findings.add(AnomalyKind::InconsistentOffset, || {
            let at = Lsn::from_u64(one.lsn);
            let (ops_one, source_one) = source(facts, one);
            let (ops_two, source_two) = source(facts, two);
            let mut chain = vec![Link {
                from: source_one,
                to: source_two,
                reason: Reason::SamePosition { lsn: at },
            }];
            for (owner, source) in [(one, source_one), (two, source_two)] {
                if let (Some(append), false) = (owner.append.get(), facts.acked_here(owner)) {
                    let record = owner.record;
                    chain.push(by_observation(
                        append,
                        source,
                        source,
                        owner.lsn,
                        Seen::Record { record },
                    ));
                }
            }
            witnesses.anomaly(
                AnomalyKind::InconsistentOffset,
                &[ops_one, ops_two].concat(),
                &[one.lsn],
                chain,
                Words {
                    expected: format!("one record at {at}"),
                    seen: format!(
                        "{} by {}, and {} by {}",
                        one.record,
                        witnesses.name(source_one),
                        two.record,
                        witnesses.name(source_two)
                    ),
                },
            )
        });
    }
}

/// The operations that show an owner, and the one of them that says so.
fn source(facts: &LogFacts<'_>, owner: &Owner) -> (Vec<OpId>, OpId) {
    match owner.append.get() {
        Some(append) if facts.acked_here(owner) => (vec![append], append),
        append => {
            let read = owner
                .reader
                .get()
                .expect("what nobody acked, somebody read");
            (append.into_iter().chain([read]).collect(), read)
        }
    }
}

/// Records that are said to be at two LSNs.
fn one_record_at_two_lsns(facts: &LogFacts<'_>, clean: &mut [bool], findings: &mut Findings) {
    // Each append is acked once, so a second LSN of a record can only come from a read.
    let witnesses = witnesses(facts);
    for claims in facts.claims.chunk_by(|a, b| a.record == b.record) {
        let acked = acked_elsewhere(facts, &claims[0]);
        let (one, others) = match acked {
            Some(acked) => (acked, claims),
            None => (&claims[0], &claims[1..]),
        };
        let record = one.record;
        for two in others {
            taint(facts, one, clean);
            taint(facts, two, clean);
            // What was never appended has its own name already.
            let Some(append) = one.append.get() else {
                continue;
            };
            findings.add(AnomalyKind::Duplicate, || {
                let (ops_one, source_one) = source(facts, one);
                let (ops_two, source_two) = source(facts, two);
                let mut chain = Vec::new();
                for (owner, source) in [(one, source_one), (two, source_two)] {
                    if source != append {
                        let shown = Seen::Record { record };
                        chain.push(by_observation(append, source, source, owner.lsn, shown));
                    }
                }
                let (at_one, at_two) = (Lsn::from_u64(one.lsn), Lsn::from_u64(two.lsn));
                witnesses.anomaly(
                    AnomalyKind::Duplicate,
                    &[ops_one, ops_two].concat(),
                    &[one.lsn, two.lsn],
                    chain,
                    Words {
                        expected: format!("{record} at one LSN"),
                        seen: format!(
                            "it is at {at_one} by {}, and at {at_two} by {}",
                            witnesses.name(source_one),
                            witnesses.name(source_two)
                        ),
                    },
                )
            });
        }
    }
}

/// The owner that says where the append of a claimed record was acknowledged.
fn acked_elsewhere<'a>(facts: &'a LogFacts<'_>, claim: &Owner) -> Option<&'a Owner> {
    let append = facts.history.op(claim.append.get()?);
    match append.answer()? {
        Answer::Append { lsn } => facts
            .owner_index(lsn.as_u64(), claim.record)
            .map(|at| &facts.owners[at]),
        _ => None,
    }
}

/// Something speaks against this owner.
fn taint(facts: &LogFacts<'_>, owner: &Owner, clean: &mut [bool]) {
    let at = facts.owner_index(owner.lsn, owner.record);
    let at = at.expect("a claim is among the owners");
    clean[at] = false;
}

/// Ranges that a read passed without a record, though one is there, or without saying why none is.
fn missing_records(facts: &LogFacts<'_>, effective: &[Owner], findings: &mut Findings) {
    let mut hint = 0;
    for missing in &facts.missing {
        hint = seek(effective, hint, |append| append.lsn < missing.first);
        let inside = effective
            .get(hint)
            .filter(|append| append.lsn < missing.end);
        match (inside, missing.kind) {
            // What is given up may have been anything.
            (None, Some(_)) | (_, Some(GapKind::Trim)) => {}
            (Some(append), kind) if facts.history.op(append.op()).answer().is_some() => {
                findings.add(AnomalyKind::LostWrite, || {
                    lost_write(facts, append, missing, kind)
                });
            }
            (Some(append), Some(kind)) => findings.add(AnomalyKind::InconsistentOffset, || {
                record_and_gap(facts, append, missing, kind)
            }),
            (_, None) => findings.add(AnomalyKind::Gap, || untyped(facts, missing)),
        }
    }
}

fn lost_write(
    facts: &LogFacts<'_>,
    append: &Owner,
    missing: &Missing,
    kind: Option<GapKind>,
) -> Anomaly {
    let witnesses = witnesses(facts);
    let (lsn, read) = (append.lsn, missing.read);
    let at = Lsn::from_u64(lsn);
    let shown = kind.map_or(Seen::Nothing, |kind| Seen::Gap { kind });
    witnesses.anomaly(
        AnomalyKind::LostWrite,
        &[append.op(), read],
        &[lsn],
        vec![
            by_position(append.op(), lsn, read, missing.end),
            by_observation(read, append.op(), read, lsn, shown),
        ],
        Words {
            expected: format!(
                "{} shows the record that {} put at {at}",
                witnesses.name(read),
                witnesses.name(append.op())
            ),
            seen: format!("it shows {shown} there"),
        },
    )
}

fn record_and_gap(
    facts: &LogFacts<'_>,
    append: &Owner,
    missing: &Missing,
    kind: GapKind,
) -> Anomaly {
    let witnesses = witnesses(facts);
    let (lsn, gap_read) = (append.lsn, missing.read);
    let at = Lsn::from_u64(lsn);
    let reader = append
        .reader
        .get()
        .expect("what nobody acked, somebody read");
    let record = facts
        .history
        .op(append.op())
        .record()
        .expect("an append carries a record");
    witnesses.anomaly(
        AnomalyKind::InconsistentOffset,
        &[append.op(), reader, gap_read],
        &[lsn],
        vec![
            by_observation(append.op(), reader, reader, lsn, Seen::Record { record }),
            by_position(append.op(), lsn, gap_read, missing.end),
            by_observation(gap_read, append.op(), gap_read, lsn, Seen::Gap { kind }),
        ],
        Words {
            expected: format!("one thing at {at}"),
            seen: format!(
                "record {record} by {}, a gap ({kind}) by {}",
                witnesses.name(reader),
                witnesses.name(gap_read)
            ),
        },
    )
}

fn untyped(facts: &LogFacts<'_>, missing: &Missing) -> Anomaly {
    let witnesses = witnesses(facts);
    let read = missing.read;
    let (first, end) = (Lsn::from_u64(missing.first), Lsn::from_u64(missing.end));
    let range = if after(missing.first) == missing.end {
        first.to_string()
    } else {
        format!("{first}..{end}")
    };
    witnesses.anomaly(
        AnomalyKind::Gap,
        &[read],
        &[missing.first],
        vec![by_observation(
            read,
            read,
            read,
            missing.first,
            Seen::Nothing,
        )],
        Words {
            expected: format!("{} says what is at {range}", witnesses.name(read)),
            seen: "neither a record nor a gap, though it speaks of what lies above".to_owned(),
        },
    )
}

/// Positions that are said to be given up, though nobody had given them up.
fn not_given_up(facts: &LogFacts<'_>, findings: &mut Findings) {
    for &(lsn, op) in &facts.trimmed {
        if facts.trims.given_up(facts.history.op(op).deadline()) >= lsn {
            continue;
        }
        findings.add(AnomalyKind::TrimViolation, || {
            let witnesses = witnesses(facts);
            let at = Lsn::from_u64(lsn);
            let kind = GapKind::Trim;
            let mut chain = vec![by_observation(op, op, op, lsn, Seen::Gap { kind })];
            let trim = facts.trims.nearest(lsn);
            chain.push(Link {
                from: trim.unwrap_or(op),
                to: op,
                reason: Reason::NotGivenUp { lsn: at },
            });
            witnesses.anomaly(
                AnomalyKind::TrimViolation,
                &[Some(op), trim].into_iter().flatten().collect::<Vec<_>>(),
                &[lsn],
                chain,
                Words {
                    expected: format!(
                        "{} shows what is at {at}: no trim up to there had begun before it returned",
                        witnesses.name(op)
                    ),
                    seen: "it says that it is given up".to_owned(),
                },
            )
        });
    }
}

/// Records of an epoch that was ended, above where the log ended then.
fn ended_epochs(facts: &LogFacts<'_>, effective: &[Owner], findings: &mut Findings) {
    let mut hint = 0;
    for seal in &facts.seals {
        hint = seek(effective, hint, |append| append.lsn < seal.tail);
        let Some(append) = effective.get(hint) else {
            continue;
        };
        let at = Lsn::from_u64(append.lsn);
        if at.epoch >= seal.epoch {
            continue;
        }
        findings.add(AnomalyKind::FenceViolation, || {
            let witnesses = witnesses(facts);
            let (mut ops, mut chain) = evidence(facts, append);
            ops.extend([seal.op, append.op()]);
            let tail = Lsn::from_u64(seal.tail);
            let epoch = seal.epoch;
            chain.push(by_end(seal.op, seal.tail, append.op(), append.lsn));
            chain.push(Link {
                from: seal.op,
                to: append.op(),
                reason: Reason::Sealed { epoch, tail },
            });
            witnesses.anomaly(
                AnomalyKind::FenceViolation,
                &ops,
                &[append.lsn],
                chain,
                Words {
                    expected: format!(
                        "an LSN of {epoch} or a higher epoch for {}: {} had ended all below it at {tail}",
                        witnesses.name(append.op()),
                        witnesses.name(seal.op),
                    ),
                    seen: at.to_string(),
                },
            )
        });
    }
}
