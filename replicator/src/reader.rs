//! Reading a range of a log.
//!
//! Every LSN of the range is delivered once and in order, as a record or within a typed gap. All nodes
//! of an epoch are asked for all they hold. A copy, or a plug that recovery left, speaks for itself.
//! That *nothing* stands at an LSN below the release pointer is never normal: every decided LSN has a
//! write quorum of copies or plugs. If a seal quorum passed it with nothing, data is lost, and the
//! reader says so.

use std::collections::BTreeMap;

use hstore_core::{Entry, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Record, Timestamp};
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
    Record(Lsn, Record),
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
        now: Timestamp,
        timing: &Timing,
    ) {
        let Some(source) = self.sources.get_mut(&from) else {
            return;
        };
        source.asked = false;
        for (lsn, entry) in entries {
            if *lsn > source.passed && *lsn >= self.next {
                // A copy whose checksum is wrong is as good as one that cannot be read.
                let readable = entry.clone().filter(
                    |entry| !matches!(entry, Entry::Record(record) if record.verify().is_err()),
                );
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
        let passed: NodeSet = self
            .sources
            .iter()
            .filter(|(_, source)| source.passed >= next)
            .map(|(&node, _)| node)
            .collect();
        if !quorums.is_seal_quorum(passed) {
            return None;
        }
        if !quorums.nodes().is_subset(passed) {
            let until = *self.suspicion.get_or_insert(now + timing.reader_grace);
            if until > now {
                return None;
            }
        }
        // Up to what comes next: an entry, the end of what was looked at, or of the range.
        let entry = self
            .sources
            .values()
            .filter_map(|source| {
                let readable = source.entries.iter().filter(|(_, entry)| entry.is_some());
                readable.map(|(&lsn, _)| lsn).next()
            })
            .min()
            .map(|lsn| Lsn::at(lsn.epoch, Offset(lsn.offset.0 - 1)));
        let looked_at = self
            .sources
            .iter()
            .filter(|(node, _)| passed.contains(**node))
            .map(|(_, source)| source.passed)
            .min();
        entry
            .into_iter()
            .chain(looked_at)
            .chain([self.last()])
            .min()
    }
}
