//! Reading a range of a log.
//!
//! Every LSN of the range is delivered once and in order, as a record or within a typed gap. All nodes
//! of an epoch are asked for all they hold. A copy, or a plug that recovery left, speaks for itself.
//! That *nothing* stands at an LSN below the release pointer is never normal: every decided LSN has a
//! write quorum of copies or plugs. If a seal quorum passed it with nothing, data is lost, and the
//! reader says so.

use std::collections::BTreeMap;

use hstore_core::{Entry, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Stamped, Timestamp};
use serde::{Deserialize, Serialize};

use crate::config::Timing;
use crate::message::{EpochSpan, Message, StorageAsk, quorums_of};

/// How many entries of one node wait for those of others at most; it is not asked for more before.
const BUFFER_MAX: usize = 128;

/// Why no record stands at some LSNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GapKind {
    /// The epoch ended before.
    Bridge,
    /// A record was begun here and never came to be.
    Hole,
    /// There was a record, for all anyone can tell, and no copy is left.
    DataLoss,
}

/// What a reader delivers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Delivery {
    /// A record.
    Record(Lsn, Stamped),
    /// No record stands from `first` to `last`, both included.
    Gap {
        /// Why.
        kind: GapKind,
        /// The first LSN of the gap.
        first: Lsn,
        /// The last LSN of the gap.
        last: Lsn,
    },
}

/// A read on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    log: LogId,
    spans: Vec<EpochSpan>,
    /// The next LSN to deliver.
    next: Lsn,
    /// Where the range ends, not included.
    until: Lsn,
    /// How many records are wanted at most.
    limit: usize,
    records: usize,
    delivered: Vec<Delivery>,
    sources: BTreeMap<NodeId, Source>,
    /// A seal quorum passed the next LSN with nothing: the other nodes are awaited until then.
    suspicion: Option<Timestamp>,
}

/// What one node told so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    /// All it holds up to here was told.
    passed: Lsn,
    /// What it told and was not delivered yet.
    entries: BTreeMap<Lsn, Option<Entry>>,
    /// It may have lost some: that it told nothing at an LSN proves nothing.
    amnesiac: bool,
    /// The question that is open, if any.
    asked: bool,
    resend_at: Timestamp,
}

impl Reader {
    /// A reader of `[from, until)`. `spans` are the epochs' quorum systems as the sequencer told them
    /// with its tail.
    #[must_use]
    pub fn new(
        log: LogId,
        spans: Vec<EpochSpan>,
        from: Lsn,
        until: Lsn,
        limit: usize,
        now: Timestamp,
    ) -> Self {
        let from = from.max(Lsn::FIRST);
        let passed = if from.offset > Offset(0) {
            Lsn::at(from.epoch, Offset(from.offset.0 - 1))
        } else {
            from
        };
        let nodes: NodeSet = spans
            .iter()
            .flat_map(|span| span.quorums.nodes().iter())
            .collect();
        let source = Source {
            passed,
            entries: BTreeMap::new(),
            amnesiac: false,
            asked: false,
            resend_at: now,
        };
        Self {
            log,
            spans,
            next: passed.successor(),
            until,
            limit,
            records: 0,
            delivered: Vec::new(),
            sources: nodes.iter().map(|node| (node, source.clone())).collect(),
            suspicion: None,
        }
    }

    /// What has been delivered, once the read is complete.
    pub fn take_complete(&mut self) -> Option<Vec<Delivery>> {
        (self.next >= self.until || self.records >= self.limit)
            .then(|| std::mem::take(&mut self.delivered))
    }

    /// When to call [`Reader::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let resend = self.sources.values().map(|source| source.resend_at).min();
        resend.into_iter().chain(self.suspicion).min()
    }

    /// Sends questions that are due, and goes on without silent nodes once patience is over.
    pub fn on_time(
        &mut self,
        now: Timestamp,
        timing: &Timing,
        nonce: u64,
        send: &mut impl FnMut(NodeId, Message),
    ) {
        if self.suspicion.is_some_and(|at| at <= now) {
            self.deliver(now, timing);
        }
        let last = self.last();
        for (&node, source) in &mut self.sources {
            let due = !source.asked || source.resend_at <= now;
            if due && source.passed < last && source.entries.len() < BUFFER_MAX {
                source.asked = true;
                source.resend_at = now + timing.resend;
                let ask = StorageAsk::Fetch {
                    nonce,
                    first: source.passed.successor(),
                    last,
                };
                let log = self.log;
                send(node, Message::Storage { log, ask });
            } else if due {
                // Nothing to ask for now: looked at again after the next delivery, or later.
                source.resend_at = now + timing.resend;
            }
        }
    }

    /// Takes a node's answer.
    pub fn on_fetched(
        &mut self,
        from: NodeId,
        entries: &[(Lsn, Option<Entry>)],
        passed: Lsn,
        authoritative: bool,
        now: Timestamp,
        timing: &Timing,
    ) {
        let Some(source) = self.sources.get_mut(&from) else {
            return;
        };
        source.asked = false;
        source.amnesiac |= !authoritative;
        let log = self.log;
        for (lsn, entry) in entries {
            if *lsn > source.passed && *lsn >= self.next {
                // A copy whose checksum is wrong, or that belongs elsewhere, is as good as one that
                // cannot be read.
                let readable = entry.clone().filter(|entry| match entry {
                    Entry::Record(it) => it.belongs_at(log, *lsn) && it.record.verify().is_ok(),
                    Entry::Hole | Entry::Bridge => true,
                });
                source.entries.insert(*lsn, readable);
            }
        }
        source.passed = source.passed.max(passed);
        self.deliver(now, timing);
    }

    /// The last LSN wanted.
    fn last(&self) -> Lsn {
        // `until` is an LSN to be given: its offset is at least 1.
        Lsn::at(
            self.until.epoch,
            Offset(self.until.offset.0.saturating_sub(1)),
        )
    }

    fn deliver(&mut self, now: Timestamp, timing: &Timing) {
        while self.next < self.until && self.records < self.limit {
            let next = self.next;
            let entry = self
                .sources
                .values()
                .find_map(|source| source.entries.get(&next)?.clone());
            let after = match entry {
                Some(Entry::Record(record)) => {
                    self.records += 1;
                    self.delivered.push(Delivery::Record(next, record));
                    next.successor()
                }
                Some(Entry::Hole) => self.gap(GapKind::Hole, next),
                Some(Entry::Bridge) => self.gap(GapKind::Bridge, Lsn::end_of(next.epoch)),
                None => match self.lost(now, timing) {
                    Some(last) => self.gap(GapKind::DataLoss, last),
                    None => break,
                },
            };
            self.next = after;
            self.suspicion = None;
            for source in self.sources.values_mut() {
                source.entries = source.entries.split_off(&after);
            }
        }
    }

    fn gap(&mut self, kind: GapKind, last: Lsn) -> Lsn {
        let first = self.next;
        self.delivered.push(Delivery::Gap { kind, first, last });
        last.successor()
    }

    /// Nobody has anything readable at the next LSN. If enough nodes say so: the last LSN of the loss.
    fn lost(&mut self, now: Timestamp, timing: &Timing) -> Option<Lsn> {
        let next = self.next;
        let quorums = quorums_of(&self.spans, next.epoch.max(Epoch(1)))?;
        let told = |source: &&Source| source.passed >= next;
        let everyone = self.nodes_where(|source| told(&source));
        if !quorums.nodes().is_subset(everyone) {
            // A copy that cannot be read proves neither a record nor its absence, nor does what a node
            // that lost copies has not: they do not count.
            let absent = self.nodes_where(|source| {
                told(&source) && !source.amnesiac && !source.entries.contains_key(&next)
            });
            if !quorums.is_seal_quorum(absent) {
                return None;
            }
            let until = *self.suspicion.get_or_insert(now + timing.reader_grace);
            if until > now {
                return None;
            }
        }
        // Up to the next LSN of which anyone tells anything, the end of what was looked at, or of the
        // range.
        let counted = self.sources.values().filter(told);
        let looked_at = counted.map(|source| source.passed).min();
        let entry = self
            .sources
            .values()
            .filter_map(|source| source.entries.range(next.successor()..).next())
            .map(|(&lsn, _)| Lsn::at(lsn.epoch, Offset(lsn.offset.0 - 1)))
            .min();
        looked_at
            .into_iter()
            .chain(entry)
            .chain([self.last()])
            .min()
    }

    fn nodes_where(&self, which: impl Fn(&Source) -> bool) -> NodeSet {
        let sources = self.sources.iter().filter(|(_, source)| which(source));
        sources.map(|(&node, _)| node).collect()
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::quorum::QuorumSystem;
    use hstore_core::{Record, Stamp, WallTime};

    use super::*;

    const GRACE: Timestamp = Timestamp::from_millis(10_000);

    /// A reader of e1:1, three nodes, two copies a record.
    fn reader() -> Reader {
        let spans = vec![EpochSpan {
            first: Epoch(1),
            quorums: QuorumSystem::flat(3, 2).expect("valid"),
        }];
        Reader::new(
            LogId(1),
            spans,
            Lsn::FIRST,
            Lsn::new(1, 2),
            10,
            Timestamp::ZERO,
        )
    }

    /// What a node holds at e1:1.
    fn tell(reader: &mut Reader, node: u8, entries: &[Option<Entry>], now: Timestamp) {
        let entries: Vec<_> = entries.iter().map(|it| (Lsn::FIRST, it.clone())).collect();
        let timing = Timing::default();
        reader.on_fetched(NodeId(node), &entries, Lsn::FIRST, true, now, &timing);
    }

    #[test]
    fn a_seal_quorum_that_has_nothing_is_loss_after_a_grace() {
        let mut reader = reader();
        tell(&mut reader, 0, &[], Timestamp::ZERO);
        tell(&mut reader, 1, &[], Timestamp::ZERO);
        assert_eq!(reader.take_complete(), None);
        reader.on_time(GRACE, &Timing::default(), 0, &mut |_, _| {});
        let loss = Delivery::Gap {
            kind: GapKind::DataLoss,
            first: Lsn::FIRST,
            last: Lsn::FIRST,
        };
        assert_eq!(reader.take_complete(), Some(vec![loss]));
    }

    /// The record is on nodes 0 and 2. Node 0 cannot read its copy, node 2 is slow.
    #[test]
    fn an_unreadable_copy_is_no_evidence_of_loss() {
        let mut reader = reader();
        tell(&mut reader, 0, &[None], Timestamp::ZERO);
        tell(&mut reader, 1, &[], Timestamp::ZERO);
        reader.on_time(GRACE, &Timing::default(), 0, &mut |_, _| {});
        assert_eq!(reader.take_complete(), None);
        let record = Record::new(bytes::Bytes::from_static(b"r"));
        let stamp = Stamp::after(Stamp::default(), LogId(1), Lsn::FIRST, WallTime(0), &record);
        let record = Stamped { stamp, record };
        tell(
            &mut reader,
            2,
            &[Some(Entry::Record(record.clone()))],
            GRACE,
        );
        let read = Delivery::Record(Lsn::FIRST, record);
        assert_eq!(reader.take_complete(), Some(vec![read]));
    }

    #[test]
    fn loss_is_certain_once_everyone_has_told() {
        let mut reader = reader();
        tell(&mut reader, 0, &[None], Timestamp::ZERO);
        tell(&mut reader, 1, &[], Timestamp::ZERO);
        tell(&mut reader, 2, &[], Timestamp::ZERO);
        let complete = reader.take_complete().expect("nobody is left to ask");
        assert!(matches!(
            complete[..],
            [Delivery::Gap {
                kind: GapKind::DataLoss,
                ..
            }]
        ));
    }
}
