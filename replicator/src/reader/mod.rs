//! Reading a range of a log.
//!
//! Every LSN of the range is delivered once and in order, as a record or within a typed gap. A copy that
//! is in order, or a plug that recovery left, speaks for itself. That *nothing* stands at an LSN below the
//! release pointer is never normal: every decided LSN has a write quorum of copies or plugs. If a seal
//! quorum passed it with nothing, it was given up or data is lost, and the reader says which.
//!
//! # Whom it asks
//!
//! At first each node sends only what falls to it (*single-copy delivery*): of the nodes of a copyset, the
//! first one that is not known to be down. There, that nobody sends anything proves nothing. On suspicion
//! the reader *rewinds*: it begins a new *round* from the next LSN, in which it asks everyone for all they
//! hold. Suspicion is: everyone passed the LSN with nothing; a node is silent where others went on; a copy
//! is bad. Answers of earlier rounds count for nothing. After a while it tries single copies again.
//!
//! # The second tier
//!
//! What the nodes no longer hold, because it was handed over, is asked for there; so is what they hold no copy of
//! that is in order, before it is told as lost. And what the second tier should have and has not is looked for
//! with all nodes once more. Either way the reader goes on where the other tier left off.
//!
//! # What it checks
//!
//! A record's checksum, that it belongs where it was found, and that it continues the chain: its stamp
//! names the chain value of the record before, unless a gap lies between. What fails is as good as
//! unreadable: another copy is taken, and the node that sent it is told.
//!
//! # What it holds
//!
//! It asks each node one question at a time, for a bounded answer, and not before there is room: at most
//! [`BUFFER_MAX`] entries of one node, or about [`BUFFER_BYTES_MAX`] bytes, wait for those of others, and
//! as many deliveries for being taken; both may be exceeded by one answer. Whoever takes nothing makes the
//! reader ask nothing.

mod second_tier;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::{
    Chain, Entry, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Stamped, Timestamp, probe,
};
use serde::{Deserialize, Serialize};

use crate::config::Timing;
use crate::message::{
    Cold, EpochSpan, Fetch, FetchCold, Fetched, Message, SingleCopy, StorageAsk, quorums_of,
};
use crate::patience::Patience;
use crate::queue::Queue;
use crate::storage::COPIES_PER_ANSWER;

use second_tier::SecondTier;

/// How many entries of one node wait for those of others, and how many deliveries for being taken; no
/// node is asked for more before.
pub const BUFFER_MAX: usize = 128;
/// The same in bytes of payload.
pub const BUFFER_BYTES_MAX: usize = 1 << 20;
/// A reader reports no more bad copies than this.
pub const REPORTS_MAX: usize = 64;
/// One answer of the second tier has no more records and gaps than this.
pub const COLD_PER_ANSWER: usize = 1024;
/// After so many LSNs or gaps that everyone was asked for, single copies are tried again.
const REWOUND: usize = 64;

/// Why no record stands at some LSNs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum GapKind {
    /// The epoch ended before.
    Bridge,
    /// A record was begun here and never came to be.
    Hole,
    /// There was a record, for all anyone can tell, and no copy is left.
    DataLoss,
    /// Whatever was here was given up by a trim.
    Trim,
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

impl Delivery {
    /// The first LSN it is about.
    #[must_use]
    pub fn first(&self) -> Lsn {
        match self {
            Self::Record(lsn, _) => *lsn,
            Self::Gap { first, .. } => *first,
        }
    }

    /// The last LSN it is about.
    #[must_use]
    pub fn last(&self) -> Lsn {
        match self {
            Self::Record(lsn, _) => *lsn,
            Self::Gap { last, .. } => *last,
        }
    }
}

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Range {
    /// From here.
    pub from: Lsn,
    /// To here, not included.
    pub until: Lsn,
    /// At most so many records.
    pub limit: usize,
    /// Up to here everything was given up, for all that is known.
    pub trim: Lsn,
    /// Nodes that may be down. A hint.
    pub down: NodeSet,
    /// Who sequences the log, for all that is known, where some of it may lie in a second tier. `None`: nothing of
    /// the range does.
    pub second_tier: Option<NodeId>,
    /// Whether history moves there also now: what nodes lost is looked for there as well.
    pub is_tiered: bool,
}

/// A read on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reader {
    log: LogId,
    spans: Vec<EpochSpan>,
    nonce: u64,
    /// The next LSN to deliver.
    next: Lsn,
    /// The chain value of the record just before, if one was delivered.
    link: Option<Chain>,
    /// Nodes whose copy of the next LSN does not continue the chain.
    broken: NodeSet,
    /// Where the range ends, not included.
    until: Lsn,
    /// How many records are wanted at most.
    limit: usize,
    /// Records delivered since the last trim.
    records: usize,
    trim: Lsn,
    /// Up to here the nodes hold nothing, for all that is known.
    handed: Lsn,
    second_tier: Option<SecondTier>,
    /// Whether all that is lost may lie there.
    is_tiered: bool,
    delivered: Vec<Delivery>,
    /// Bytes of payload in `delivered`.
    delivered_bytes: usize,
    sources: BTreeMap<NodeId, Source>,
    round: u32,
    /// How many more deliveries everyone is asked for. 0: single copies.
    everyone: usize,
    /// Nodes not to wait for with single copies.
    down: NodeSet,
    /// Some nodes passed the next LSN with nothing: the others are awaited until then.
    suspicion: Option<Timestamp>,
    /// Bad copies to be reported.
    reports: Vec<(NodeId, Lsn)>,
    reported: BTreeSet<(NodeId, Lsn)>,
}

/// What one node told so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Source {
    /// All it holds up to here was told, or all that falls to it.
    passed: Lsn,
    /// What it told and was not delivered yet; `None` is a copy that is bad.
    entries: BTreeMap<Lsn, Option<Entry>>,
    /// It may have lost some: that it told nothing at an LSN proves nothing.
    amnesiac: bool,
    /// The question that is open, if any.
    asked: bool,
    /// When that was asked first, and how often since without an answer that counts.
    asked_at: Timestamp,
    tries: u32,
    resend_at: Timestamp,
    patience: Patience,
}

impl Source {
    /// Whether it may be asked for more.
    fn has_room(&self) -> bool {
        let records = self.entries.values().flatten().filter_map(record_of);
        let bytes: usize = records.map(|it| it.record.payload.len()).sum();
        self.entries.len() < BUFFER_MAX && bytes < BUFFER_BYTES_MAX
    }
}

impl Reader {
    /// A reader of a range. `spans` are the epochs' quorum systems as the sequencer told them; `nonce`
    /// names the reader among those of its client.
    #[must_use]
    pub fn new(log: LogId, spans: Vec<EpochSpan>, range: &Range, nonce: u64) -> Self {
        let from = range.from.max(Lsn::FIRST);
        let next = if from.offset == Offset(0) {
            from.next()
        } else {
            from
        };
        let mut reader = Self {
            log,
            spans: Vec::new(),
            nonce,
            next,
            link: None,
            broken: NodeSet::EMPTY,
            until: range.until,
            limit: range.limit,
            records: 0,
            trim: range.trim,
            handed: Lsn::MIN,
            is_tiered: range.is_tiered,
            second_tier: range.second_tier.map(SecondTier::new),
            delivered: Vec::new(),
            delivered_bytes: 0,
            sources: BTreeMap::new(),
            round: 0,
            everyone: 0,
            down: range.down,
            suspicion: None,
            reports: Vec::new(),
            reported: BTreeSet::new(),
        };
        reader.extend(spans, range.until);
        reader
    }

    /// Goes on to a later end, with the epochs there are by then.
    pub fn extend(&mut self, spans: Vec<EpochSpan>, until: Lsn) {
        self.until = self.until.max(until);
        self.spans = spans;
        let nodes = self
            .spans
            .iter()
            .flat_map(|span| span.quorums.nodes().iter());
        for node in nodes.collect::<NodeSet>().iter() {
            let passed = below(self.next);
            self.sources.entry(node).or_insert_with(|| Source {
                passed,
                entries: BTreeMap::new(),
                amnesiac: false,
                asked: false,
                asked_at: Timestamp::ZERO,
                tries: 0,
                resend_at: Timestamp::ZERO,
                patience: Patience::default(),
            });
        }
    }

    /// Takes what was delivered since the last call, in order. There is room for more then: call
    /// [`Reader::on_time`].
    pub fn take(&mut self) -> Vec<Delivery> {
        self.delivered_bytes = 0;
        std::mem::take(&mut self.delivered)
    }

    /// Whether all is delivered that was asked for.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.next >= self.until || self.records >= self.limit
    }

    /// The queues of this machine.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        let queue = |name, length, bound| Queue {
            name,
            length,
            bound,
        };
        let sources = self.sources.values().map(move |source| {
            let bound = BUFFER_MAX + COPIES_PER_ANSWER;
            queue("reader: entries of a node", source.entries.len(), bound)
        });
        let delivered = queue("reader: deliveries", self.delivered.len(), BUFFER_MAX);
        let reports = queue("reader: reports", self.reported.len(), REPORTS_MAX);
        let cold = self.second_tier.as_ref().map_or(0, SecondTier::waiting);
        let cold = queue("reader: from the second tier", cold, COLD_PER_ANSWER);
        [delivered, reports, cold].into_iter().chain(sources)
    }

    /// The next LSN to be delivered.
    #[must_use]
    pub fn next(&self) -> Lsn {
        self.next
    }

    /// Nodes that did not answer in time.
    #[must_use]
    pub fn down(&self) -> NodeSet {
        self.down
    }

    /// When to call [`Reader::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        if self.is_complete() || !self.has_room() {
            return None;
        }
        let last = self.last();
        let asked = self.sources.iter().filter(|(node, source)| {
            self.is_asked(**node) && source.passed < last && source.has_room()
        });
        let resend = asked.map(|(_, source)| source.resend_at).min();
        let second_tier = self.second_tier.as_ref().and_then(SecondTier::deadline);
        let all = resend.into_iter().chain(self.suspicion).chain(second_tier);
        all.min()
    }

    /// Sends questions that are due, and goes on without silent nodes once patience is over.
    pub fn on_time(
        &mut self,
        now: Timestamp,
        timing: &Timing,
        send: &mut impl FnMut(NodeId, Message),
    ) {
        self.deliver(now, timing);
        let log = self.log;
        for (node, lsn) in self.reports.drain(..) {
            let ask = StorageAsk::BadCopy { lsn };
            send(node, Message::Storage { log, ask });
        }
        if self.is_complete() || !self.has_room() {
            return;
        }
        let nodes = self.sources.keys().copied().collect();
        if let Some(tier) = &mut self.second_tier {
            tier.on_time(now, timing, nodes, send);
        }
        let last = self.last();
        let single = (self.everyone == 0).then_some(SingleCopy {
            seed: self.nonce,
            down: self.down,
        });
        let wanted = self.limit - self.records;
        for (&node, source) in &mut self.sources {
            let is_asked = single.is_none_or(|it| !it.down.contains(node));
            let due = !source.asked || source.resend_at <= now;
            if is_asked && due && source.passed < last && source.has_room() {
                source.asked = true;
                if source.tries == 0 {
                    source.asked_at = now;
                }
                source.resend_at = now + source.patience.after(source.tries, timing.resend);
                source.tries = source.tries.saturating_add(1);
                let ask = StorageAsk::Fetch(Fetch {
                    nonce: self.nonce,
                    round: self.round,
                    first: source.passed.successor(),
                    last,
                    limit: u32::try_from(wanted.saturating_add(1)).unwrap_or(u32::MAX),
                    single,
                });
                send(node, Message::Storage { log, ask });
            }
        }
    }

    /// Whether a node is asked in this round.
    fn is_asked(&self, node: NodeId) -> bool {
        self.everyone > 0 || !self.down.contains(node)
    }

    /// Whether there is room for more deliveries.
    fn has_room(&self) -> bool {
        self.delivered.len() < BUFFER_MAX && self.delivered_bytes < BUFFER_BYTES_MAX
    }

    /// Takes a node's answer.
    pub fn on_fetched(&mut self, from: NodeId, told: &Fetched, now: Timestamp, timing: &Timing) {
        let Some(source) = self.sources.get_mut(&from) else {
            return;
        };
        self.down.remove(from);
        self.trim = self.trim.max(told.trim);
        self.handed = self.handed.max(told.handed);
        if told.round != self.round {
            probe!("reader.answer-of-an-earlier-round");
            return;
        }
        if source.tries > 0 {
            let took = now.since(source.asked_at);
            source.patience.answered(took, timing.resend);
            source.tries = 0;
        }
        source.asked = false;
        source.amnesiac |= !told.authoritative;
        let mut bad = Vec::new();
        for (lsn, entry) in &told.entries {
            if *lsn > source.passed && *lsn >= self.next {
                let readable = entry.clone().filter(|it| is_in_order(self.log, *lsn, it));
                if readable.is_none() {
                    probe!("reader.unreadable-copy");
                    bad.push(*lsn);
                }
                source.entries.insert(*lsn, readable);
            }
        }
        source.passed = source.passed.max(told.passed);
        for lsn in bad {
            self.report(from, lsn);
        }
        self.deliver(now, timing);
    }

    /// Takes what is told of the second tier.
    pub fn on_cold(&mut self, from: NodeId, answer: &Cold, now: Timestamp, timing: &Timing) {
        self.trim = self.trim.max(answer.trim);
        if let Some(tier) = &mut self.second_tier {
            tier.on_told(from, answer, self.log, self.handed, now, timing);
        }
        self.deliver(now, timing);
    }

    fn report(&mut self, node: NodeId, lsn: Lsn) {
        if self.reported.len() < REPORTS_MAX && self.reported.insert((node, lsn)) {
            self.reports.push((node, lsn));
        }
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
        while !self.is_complete() && self.has_room() {
            let next = self.next;
            let after = if next <= self.trim {
                // What is given up may be anything; the count of records begins anew behind it.
                self.records = 0;
                self.gap(GapKind::Trim, self.trim.min(self.last()))
            } else if let Some(delivery) = self.take_cold() {
                self.deliver_cold(delivery)
            } else {
                let mut entry = self.entry(next);
                let mut lost = None;
                if entry.is_none() && next <= self.handed && !self.is_lost_there() {
                    self.ask_second_tier();
                    break;
                }
                if entry.is_none() {
                    lost = self.nobody_has(now, timing);
                    // Copies that are in order and continue nothing are no loss: what came before is wrong.
                    entry = lost.and_then(|_| self.anchor(next));
                }
                if entry.is_none() && lost.is_some() {
                    if self.is_tiered && !self.is_not_there() {
                        probe!("reader.looks-in-the-second-tier-before-it-tells-of-loss");
                        self.ask_second_tier();
                        break;
                    }
                    // Of what lies behind it the second tier may have more, also where nothing moves there any more.
                    let tier = self.second_tier.as_ref();
                    lost = lost.min(tier.and_then(|it| it.lost(next)).or(lost));
                }
                match entry {
                    Some(Entry::Record(record)) => {
                        self.take_record(next, record);
                        next.successor()
                    }
                    Some(Entry::Hole) => self.gap(GapKind::Hole, next),
                    Some(Entry::Bridge) => self.gap(GapKind::Bridge, Lsn::end_of(next.epoch)),
                    None => match lost {
                        Some(last) => self.gap(GapKind::DataLoss, last),
                        None => break,
                    },
                }
            };
            if after.epoch != next.epoch {
                self.link = None;
            }
            self.next = after;
            self.broken = NodeSet::EMPTY;
            self.suspicion = None;
            for source in self.sources.values_mut() {
                source.entries = source.entries.split_off(&after);
            }
            if self.everyone > 0 {
                self.everyone -= 1;
                if self.everyone == 0 {
                    self.begin_round();
                }
            }
        }
    }

    /// What the second tier told of the next LSN, if it did.
    fn take_cold(&mut self) -> Option<Delivery> {
        let tier = self.second_tier.as_mut()?;
        tier.take(self.next, self.link)
    }

    fn deliver_cold(&mut self, delivery: Delivery) -> Lsn {
        probe!("reader.reads-from-the-second-tier");
        let after = match delivery {
            Delivery::Gap { kind, last, .. } => self.gap(kind, last),
            Delivery::Record(lsn, record) => {
                self.take_record(lsn, record);
                lsn.successor()
            }
        };
        // No node is asked for it any more.
        let passed = below(after);
        for source in self.sources.values_mut() {
            source.passed = source.passed.max(passed);
        }
        after
    }

    fn take_record(&mut self, lsn: Lsn, record: Stamped) {
        self.records += 1;
        self.link = Some(record.stamp.own);
        self.delivered_bytes += record.record.payload.len();
        self.delivered.push(Delivery::Record(lsn, record));
    }

    /// Asks the second tier for what stands from the next LSN on, unless that is asked already.
    fn ask_second_tier(&mut self) {
        let (next, last) = (self.next, self.last());
        // While it is asked nothing else is waited for.
        self.suspicion = None;
        let wanted = self.limit - self.records;
        if let Some(tier) = &mut self.second_tier {
            let ask = FetchCold {
                nonce: self.nonce,
                first: next,
                last,
                limit: u32::try_from(wanted).unwrap_or(u32::MAX),
                time: None,
            };
            tier.ask(self.log, ask);
        }
    }

    /// Whether the second tier should tell of the next LSN, and has nothing that is in order.
    fn is_lost_there(&self) -> bool {
        let tier = self.second_tier.as_ref();
        tier.is_some_and(|it| it.lost(self.next).is_some())
    }

    /// Whether the second tier has nothing that is in order from the next LSN on.
    fn is_not_there(&self) -> bool {
        let tier = self.second_tier.as_ref();
        tier.is_none_or(|it| it.has_nothing(self.next))
    }

    /// What stands at an LSN, by the word of anyone whose copy is in order and continues the chain.
    fn entry(&mut self, lsn: Lsn) -> Option<Entry> {
        let mut found = None;
        let mut broken = NodeSet::EMPTY;
        for (&node, source) in &self.sources {
            let Some(Some(entry)) = source.entries.get(&lsn) else {
                continue;
            };
            let link = record_of(entry).map(|it| it.stamp.previous);
            if self.link.is_none() || link.is_none() || link == self.link {
                found = Some(entry.clone());
                break;
            }
            broken.insert(node);
        }
        for node in broken.difference(self.broken).iter() {
            self.report(node, lsn);
        }
        self.broken = self.broken.union(broken);
        found
    }

    /// What most of those tell whose copies are in order but do not continue the chain.
    fn anchor(&self, lsn: Lsn) -> Option<Entry> {
        let told = |node| self.sources[&node].entries.get(&lsn)?.as_ref();
        let entries: Vec<&Entry> = self.broken.iter().filter_map(told).collect();
        let alike = |entry: &&&Entry| entries.iter().filter(|it| *it == *entry).count();
        entries
            .iter()
            .max_by_key(alike)
            .map(|entry| (*entry).clone())
    }

    fn gap(&mut self, kind: GapKind, last: Lsn) -> Lsn {
        let first = self.next;
        self.link = None;
        self.delivered.push(Delivery::Gap { kind, first, last });
        last.successor()
    }

    /// Begins anew from the next LSN. What was told stays told; what was not, proves nothing any more.
    fn begin_round(&mut self) {
        self.round += 1;
        self.suspicion = None;
        for source in self.sources.values_mut() {
            source.passed = below(self.next);
            source.entries.retain(|_, entry| entry.is_some());
            // What it told ahead would keep it from being asked for what is missed.
            if !source.has_room() {
                probe!("reader.forgets-what-was-told-ahead");
                source.entries.clear();
            }
            source.asked = false;
        }
    }

    /// Nobody has anything readable at the next LSN. If that is loss: the last LSN of it.
    fn nobody_has(&mut self, now: Timestamp, timing: &Timing) -> Option<Lsn> {
        if self.everyone > 0 {
            return self.lost(now, timing);
        }
        let next = self.next;
        let nodes = quorums_of(&self.spans, next.epoch.max(Epoch(1)))?.nodes();
        let told = self.nodes_where(|source| source.passed >= next);
        let silent = nodes.difference(told).difference(self.down);
        let is_bad = |source: &Source| source.entries.contains_key(&next);
        if !silent.is_empty() && !self.sources.values().any(is_bad) {
            if nodes.intersection(told).is_empty() {
                // It may not be released yet.
                self.suspicion = None;
                return None;
            }
            // As patient as with the answers of those that do answer, and of these.
            let patience = self.sources.values().map(|source| source.patience);
            let patience = patience.fold(Patience::default(), Patience::max);
            let wait = patience.after(0, timing.reader_patience);
            let until = *self.suspicion.get_or_insert(now + wait);
            if until > now {
                return None;
            }
            probe!("reader.passes-over-the-silent");
            self.down = self.down.union(silent);
        }
        probe!("reader.asks-everyone");
        self.everyone = REWOUND;
        self.begin_round();
        None
    }

    /// Everyone was asked. If enough nodes have nothing at the next LSN: the last LSN of the loss.
    fn lost(&mut self, now: Timestamp, timing: &Timing) -> Option<Lsn> {
        let next = self.next;
        let quorums = quorums_of(&self.spans, next.epoch.max(Epoch(1)))?;
        let told = |source: &&Source| source.passed >= next;
        let everyone = self.nodes_where(|source| told(&source));
        if !quorums.nodes().is_subset(everyone) {
            // A copy that cannot be read proves neither a record nor its absence, nor does what a node
            // that lost copies has not: they do not count.
            let absent = self.sources.iter().filter(|(node, source)| {
                let has_none = !source.entries.contains_key(&next) || self.broken.contains(**node);
                told(source) && !source.amnesiac && has_none
            });
            let absent = absent.map(|(&node, _)| node).collect();
            if !quorums.is_seal_quorum(absent) {
                // Those that counted when the wait began may not any more.
                self.suspicion = None;
                return None;
            }
            let until = *self.suspicion.get_or_insert(now + timing.reader_grace);
            if until > now {
                return None;
            }
        }
        // Up to the next LSN of which anyone tells anything, the end of what was looked at, of the range, or
        // of the epoch: of the next, other nodes may hold all there is.
        let counted = self
            .sources
            .iter()
            .filter(|(node, source)| quorums.nodes().contains(**node) && told(source));
        let looked_at = counted.map(|(_, source)| source.passed).min();
        let entry = self
            .sources
            .values()
            .filter_map(|source| source.entries.range(next.successor()..).next())
            .map(|(&lsn, _)| Lsn::at(lsn.epoch, Offset(lsn.offset.0 - 1)))
            .min();
        looked_at
            .into_iter()
            .chain(entry)
            .chain([self.last(), Lsn::end_of(next.epoch)])
            .min()
    }

    fn nodes_where(&self, which: impl Fn(&Source) -> bool) -> NodeSet {
        let sources = self.sources.iter().filter(|(_, source)| which(source));
        sources.map(|(&node, _)| node).collect()
    }
}

/// The greatest LSN of an epoch below one that is in it.
fn below(lsn: Lsn) -> Lsn {
    Lsn::at(lsn.epoch, Offset(lsn.offset.0 - 1))
}

fn record_of(entry: &Entry) -> Option<&Stamped> {
    match entry {
        Entry::Record(record) => Some(record),
        Entry::Hole | Entry::Bridge => None,
    }
}

/// Whether an entry is what was put there.
fn is_in_order(log: LogId, lsn: Lsn, entry: &Entry) -> bool {
    record_of(entry).is_none_or(|it| it.belongs_at(log, lsn) && it.record.verify().is_ok())
}
