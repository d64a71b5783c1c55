//! What must hold at every moment, seen from inside the cluster.
//!
//! A checker of histories sees what clients saw. These see more, and sooner: they are told of every
//! event, every message and every durable write.

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::quorum::QuorumSystem;
use hstore_core::{Ballot, Entry, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Timestamp, WallTime};
use hstore_replicator::effects::Event;
use hstore_replicator::keys::{DurableState, durable_state};
use hstore_replicator::message::{Fetched, Message, RecoveryAnswer, StorageAnswer};
use hstore_replicator::reader::{Delivery, GapKind};
use xxhash_rust::xxh3::xxh3_64;

use crate::host::{Found, Metadata};
use crate::report::Violation;

/// The invariants by name, and what they say.
pub const INVARIANTS: [(&str, &str); 27] = [
    (
        "one-sequencer-per-epoch",
        "no epoch of a log is ever begun by two activations",
    ),
    (
        "acked-is-durable",
        "at the moment of an ack, the nodes with a synced copy are a write quorum of the epoch (a written one, where the log says that is enough)",
    ),
    (
        "clean-is-replicated",
        "when an epoch is counted as clean, the nodes with a synced copy of what was decided at an LSN are a write quorum",
    ),
    (
        "synced-copies-survive",
        "what a node has synced is there when it starts again, unless it deleted it",
    ),
    (
        "failed-syncs-are-told",
        "a store of which the device has failed a sync does not claim to have made anything durable since",
    ),
    (
        "acks-below-bridge",
        "no record at or above the bridge of a clean epoch is ever acked",
    ),
    (
        "answered-seals-are-durable",
        "a node that answers a seal has made it durable: it stores nothing more of the epoch, also after a crash",
    ),
    (
        "served-entries-agree",
        "two nodes never serve different entries at one LSN, nor one node at two times, nor a record beyond the bridge of a clean epoch",
    ),
    (
        "times-are-found",
        "where a client is told that a time begins, no record of that time or a later one lies before that was served when it asked",
    ),
    (
        "empty-is-true",
        "a log of which a client is told that it is empty has no record that was served when it asked, and is not trimmed",
    ),
    (
        "record-times-rise",
        "the times that the records of an epoch carry never fall from one to the next, whatever clocks do",
    ),
    (
        "damaged-frames-are-refused",
        "a frame that arrives with damaged bytes is refused",
    ),
    (
        "builds-understand-each-other",
        "builds that follow each other take what the other says as it was said, but for frames that outlived their receiver",
    ),
    (
        "one-decision-per-epoch",
        "an epoch is counted as clean once, by one ballot",
    ),
    (
        "one-decision-per-ballot",
        "no two decisions on an epoch have one ballot",
    ),
    (
        "durable-state-is-monotone",
        "a node's durable seal, last clean epoch, promises and life never go back, also over a crash",
    ),
    (
        "one-manifest-per-version",
        "two sequencers never hold different things of a log's second tier under one version",
    ),
    (
        "segments-tile",
        "the segments and uploads of a log are in the order of their ranges, without a hole, and each is known once",
    ),
    (
        "segments-stand",
        "a segment that is part of a log is in the bucket, whole and as it was committed, unless somebody tampered with it",
    ),
    (
        "segments-of-their-epoch",
        "a segment's object was put by the offloader of the epoch that its manifest names",
    ),
    (
        "kept-until-trimmed",
        "a segment stays part of its log until all of it is given up",
    ),
    (
        "handed-lies-in-the-bucket",
        "what is handed over to the second tier lies in committed segments that a copy of the manifest in the bucket knows of",
    ),
    (
        "forgotten-lies-in-the-bucket",
        "what a node forgets was handed over, and is in the bucket whole",
    ),
    (
        "needed-objects-stay",
        "no object of a segment or of an upload under way is deleted",
    ),
    (
        "retention-keeps-enough",
        "a log that keeps its newest so many bytes gives up none of them",
    ),
    (
        "tiers-agree",
        "the second tier holds at each LSN what nodes serve there",
    ),
    (
        "bucket-tells-all",
        "the bucket alone tells of all segments that the registers tell of",
    ),
];

/// The extent of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decided {
    last_known_good: Offset,
    records: u32,
    holes: u32,
    bridge: Offset,
    end: Offset,
    members: NodeSet,
}

/// Watches a run.
#[derive(Debug, Default)]
pub struct Invariants {
    checked: u64,
    /// Who began each epoch, and what it is made of.
    owners: BTreeMap<(LogId, Epoch), (NodeId, QuorumSystem)>,
    winners: BTreeMap<(LogId, Epoch), Ballot>,
    /// What each attempt decided, if it had authority.
    decided: BTreeMap<(LogId, Epoch, Ballot), Decided>,
    /// Bridges of clean epochs.
    bridges: BTreeMap<(LogId, Epoch), Offset>,
    highest_ack: BTreeMap<(LogId, Epoch), Offset>,
    served: BTreeMap<(LogId, Lsn), (u64, NodeId)>,
    durable: BTreeMap<(NodeId, Vec<u8>), DurableState>,
    /// Up to which epoch each node's durable state seals a log.
    sealed: BTreeMap<(NodeId, LogId), Epoch>,
}

impl Invariants {
    /// How often an invariant was judged.
    #[must_use]
    pub fn checked(&self) -> u64 {
        self.checked
    }

    /// A node's event. `holders_of` tells which nodes hold a copy of an LSN, as durable as its log asks for.
    pub fn on_event(
        &mut self,
        at: Timestamp,
        node: NodeId,
        event: &Event,
        holders_of: impl Fn(LogId, Lsn) -> NodeSet,
    ) -> Option<Violation> {
        match event {
            Event::Activated {
                log,
                epoch,
                quorums,
            } => {
                self.checked += 1;
                let begun = (node, quorums.clone());
                if let Some((owner, _)) = self.owners.insert((*log, *epoch), begun) {
                    return Some(violation(
                        at,
                        "one-sequencer-per-epoch",
                        format!("{epoch} of {log} is begun once"),
                        format!("{node} began it after {owner} had"),
                    ));
                }
            }
            Event::Acked { log, lsn, stored } => {
                self.checked += 2;
                let holders = holders_of(*log, *lsn);
                let owner = self.owners.get(&(*log, lsn.epoch));
                let (_, quorums) = owner.expect("an epoch begins before it acks");
                if !quorums.is_write_quorum(holders) {
                    return Some(violation(
                        at,
                        "acked-is-durable",
                        format!(
                            "{lsn} of {log} is acked once a write quorum ({quorums}) holds it, synced"
                        ),
                        format!(
                            "{node} acked it on the word of {stored}; synced copies are on {holders}"
                        ),
                    ));
                }
                let key = (*log, lsn.epoch);
                let highest = self.highest_ack.entry(key).or_default();
                *highest = (*highest).max(lsn.offset);
                return self.judge_bridge(at, key);
            }
            Event::RecoveryDecided {
                log,
                epoch,
                ballot,
                last_known_good,
                records,
                holes,
                bridge,
                end,
                members,
            } => {
                if let Some(bridge) = *bridge {
                    let decided = Decided {
                        last_known_good: *last_known_good,
                        records: *records,
                        holes: *holes,
                        bridge,
                        end: *end,
                        members: *members,
                    };
                    self.checked += 1;
                    let before = self.decided.insert((*log, *epoch, *ballot), decided);
                    let differs = |before: &Decided| {
                        // The same decision may be carried to others.
                        let members = decided.members;
                        Decided { members, ..*before } != decided
                    };
                    if let Some(before) = before.filter(differs) {
                        return Some(violation(
                            at,
                            "one-decision-per-ballot",
                            format!("ballot {ballot} decides on {epoch} of {log} once: {before:?}"),
                            format!("{node} decides by it again: {decided:?}"),
                        ));
                    }
                }
            }
            Event::EpochClean { log, epoch, ballot } => {
                self.checked += 1;
                let winner = *self.winners.entry((*log, *epoch)).or_insert(*ballot);
                if winner != *ballot {
                    return Some(violation(
                        at,
                        "one-decision-per-epoch",
                        format!("{epoch} of {log} is clean by ballot {winner}"),
                        format!("{node} has the register count it as clean by {ballot}"),
                    ));
                }
                if let Some(&decided) = self.decided.get(&(*log, *epoch, *ballot)) {
                    self.bridges.insert((*log, *epoch), decided.bridge);
                    // An epoch that nobody knew it had is empty.
                    let owner = self.owners.get(&(*log, *epoch)).cloned();
                    let replicated = owner.and_then(|(_, quorums)| {
                        self.judge_clean(at, *log, *epoch, decided, &quorums, holders_of)
                    });
                    return replicated.or_else(|| self.judge_bridge(at, (*log, *epoch)));
                }
            }
            Event::Started(_)
            | Event::Moved { .. }
            | Event::Draining { .. }
            | Event::Resumed { .. }
            | Event::Opened { .. }
            | Event::Stopped { .. }
            | Event::RecoveryBegan { .. }
            | Event::Slow { .. }
            | Event::WaveFailed { .. }
            | Event::Checkpointed { .. }
            | Event::Bounds { .. }
            | Event::Purged { .. }
            | Event::Trimmed { .. }
            | Event::Forgotten { .. }
            | Event::Tier2 { .. }
            | Event::CopyRepaired { .. } => {}
        }
        None
    }

    /// What a decision wrote, or found, stands on a write quorum.
    fn judge_clean(
        &mut self,
        at: Timestamp,
        log: LogId,
        epoch: Epoch,
        decided: Decided,
        quorums: &QuorumSystem,
        holders_of: impl Fn(LogId, Lsn) -> NodeSet,
    ) -> Option<Violation> {
        if !quorums.is_write_quorum(decided.members) {
            // All that are left were made to hold it.
            return None;
        }
        for offset in decided.last_known_good.0 + 1..=decided.bridge.0 {
            self.checked += 1;
            let lsn = Lsn::at(epoch, Offset(offset));
            let holders = holders_of(log, lsn);
            if !quorums.is_write_quorum(holders) {
                return Some(violation(
                    at,
                    "clean-is-replicated",
                    format!(
                        "{epoch} of {log} is clean: what stands at {lsn} is on a write quorum ({quorums})"
                    ),
                    format!("synced copies are on {holders}"),
                ));
            }
        }
        None
    }

    fn judge_bridge(&mut self, at: Timestamp, key: (LogId, Epoch)) -> Option<Violation> {
        let (bridge, acked) = (*self.bridges.get(&key)?, *self.highest_ack.get(&key)?);
        (acked >= bridge).then(|| {
            let (log, epoch) = key;
            violation(
                at,
                "acks-below-bridge",
                format!(
                    "{epoch} of {log} ends at offset {bridge}: nothing there or beyond is acked"
                ),
                format!("offset {acked} was acked"),
            )
        })
    }

    /// A message that a node sends.
    pub fn on_message(
        &mut self,
        at: Timestamp,
        node: NodeId,
        message: &Message,
    ) -> Option<Violation> {
        let Message::Stored { log, answer } = message else {
            return None;
        };
        match answer {
            StorageAnswer::Fetched(Fetched { entries, .. }) => {
                self.judge_served(at, node, *log, entries)
            }
            StorageAnswer::Recovery {
                ballot,
                answer: RecoveryAnswer::Sealed { .. },
                ..
            } => {
                self.checked += 1;
                let sealed = self.sealed.get(&(node, *log)).copied().unwrap_or_default();
                (sealed < ballot.seal).then(|| {
                    violation(
                        at,
                        "answered-seals-are-durable",
                        format!("{node} has sealed {log} up to {}, as it says", ballot.seal),
                        format!("durably it has up to {sealed}"),
                    )
                })
            }
            _ => None,
        }
    }

    fn judge_served(
        &mut self,
        at: Timestamp,
        node: NodeId,
        log: LogId,
        entries: &[(Lsn, Option<Entry>)],
    ) -> Option<Violation> {
        let mut latest = (Epoch::default(), WallTime::default());
        for (lsn, entry) in entries {
            let Some(entry) = entry else { continue };
            self.checked += 1;
            if let Entry::Record(it) = entry {
                let time = it.stamp.time;
                if latest.0 == lsn.epoch && time < latest.1 {
                    return Some(violation(
                        at,
                        "record-times-rise",
                        format!("the record at {lsn} of {log} is of {} or later", latest.1),
                        format!("{node} serves one of {time}"),
                    ));
                }
                latest = (lsn.epoch, time);
            }
            let bridge = self.bridges.get(&(log, lsn.epoch));
            if let (Some(bridge), Entry::Record(_)) = (bridge.filter(|it| lsn.offset > **it), entry)
            {
                return Some(violation(
                    at,
                    "served-entries-agree",
                    format!(
                        "{} of {log} ends at offset {bridge}, whoever serves it",
                        lsn.epoch
                    ),
                    format!("{node} serves {} at {lsn}", name(entry)),
                ));
            }
            let print = fingerprint(entry);
            let (known, first) = *self.served.entry((log, *lsn)).or_insert((print, node));
            if known != print {
                return Some(violation(
                    at,
                    "served-entries-agree",
                    format!("all nodes serve at {lsn} of {log} what {first} served"),
                    format!("{node} serves something else: {}", name(entry)),
                ));
            }
        }
        None
    }

    /// What stands in a segment that became part of a log is what nodes serve.
    pub fn on_segment(
        &mut self,
        at: Timestamp,
        log: LogId,
        entries: &[Delivery],
    ) -> Option<Violation> {
        for entry in entries {
            let (lsn, print, what) = match entry {
                Delivery::Record(lsn, it) => {
                    let entry = Entry::Record(it.clone());
                    (*lsn, fingerprint(&entry), name(&entry))
                }
                Delivery::Gap {
                    kind: GapKind::Hole,
                    first,
                    ..
                } => (*first, fingerprint(&Entry::Hole), name(&Entry::Hole)),
                Delivery::Gap {
                    kind: GapKind::Bridge,
                    first,
                    ..
                } => (*first, fingerprint(&Entry::Bridge), name(&Entry::Bridge)),
                Delivery::Gap { .. } => continue,
            };
            self.checked += 1;
            if let Some((known, first)) = self.served.get(&(log, lsn))
                && *known != print
            {
                return Some(violation(
                    at,
                    "tiers-agree",
                    format!("the second tier holds at {lsn} of {log} what {first} served"),
                    format!("it holds something else: {what}"),
                ));
            }
        }
        None
    }

    /// What a node found when it started.
    pub fn on_start(&mut self, at: Timestamp, node: NodeId, found: &Found) -> Option<Violation> {
        self.checked += 1;
        if let Some((log, lsn)) = found.lost.first() {
            return Some(violation(
                at,
                "synced-copies-survive",
                format!("{node} finds all that it had synced"),
                format!(
                    "the copy at {lsn} of {log} is gone, {} in all",
                    found.lost.len()
                ),
            ));
        }
        let keys: BTreeSet<&[u8]> = found.metadata.iter().map(|(key, _)| &key[..]).collect();
        let known = self.durable.iter().filter(|((of, _), _)| *of == node);
        for ((_, key), state) in known {
            if !keys.contains(&key[..]) {
                return Some(violation(
                    at,
                    "durable-state-is-monotone",
                    format!("{node} keeps at least {state:?}"),
                    "it is gone".to_owned(),
                ));
            }
        }
        self.on_durable(at, node, &found.metadata)
    }

    /// A node's store claims that what was written is durable; a sync of this file failed before, if any did.
    pub fn on_synced(
        &mut self,
        at: Timestamp,
        node: NodeId,
        failed: Option<&str>,
    ) -> Option<Violation> {
        self.checked += 1;
        failed.map(|path| {
            violation(
                at,
                "failed-syncs-are-told",
                format!("{node} ends: the device has failed a sync of `{path}`"),
                "its store claims that all it wrote is durable".to_owned(),
            )
        })
    }

    /// Metadata that became durable on a node, or that it found when it started.
    pub fn on_durable(
        &mut self,
        at: Timestamp,
        node: NodeId,
        metadata: &[Metadata],
    ) -> Option<Violation> {
        for (key, value) in metadata {
            let Some(state) = durable_state(key, value) else {
                continue;
            };
            if let DurableState::Log { log, hard_seal, .. } = state {
                self.sealed.insert((node, log), hard_seal);
            }
            self.checked += 1;
            let slot = (node, key.to_vec());
            if let Some(before) = self.durable.get(&slot)
                && !before.precedes(&state)
            {
                return Some(violation(
                    at,
                    "durable-state-is-monotone",
                    format!("{node} keeps at least {before:?}"),
                    format!("it now has {state:?}"),
                ));
            }
            self.durable.insert(slot, state);
        }
        None
    }
}

fn fingerprint(entry: &Entry) -> u64 {
    match entry {
        // The chain value covers the checksum, and with it the attributes.
        Entry::Record(it) => xxh3_64(&it.record.payload) ^ u64::from(it.stamp.own.0),
        Entry::Hole => 1,
        Entry::Bridge => 2,
    }
}

fn name(entry: &Entry) -> String {
    match entry {
        Entry::Record(it) => format!("a record of {} bytes", it.record.payload.len()),
        Entry::Hole => "a hole".to_owned(),
        Entry::Bridge => "a bridge".to_owned(),
    }
}

/// An invariant does not hold.
pub(crate) fn violation(
    at: Timestamp,
    property: &str,
    expected: String,
    seen: String,
) -> Violation {
    Violation {
        property: property.to_owned(),
        checker: "invariant".to_owned(),
        expected,
        seen,
        operations: Vec::new(),
        at,
    }
}
