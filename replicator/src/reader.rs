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

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hstore_core::{
    Chain, Entry, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Stamped, Timestamp, probe,
};
use serde::{Deserialize, Serialize};

use crate::cold::ColdQuestion;
use crate::config::Timing;
use crate::message::{
    Cold, ColdTold, EpochSpan, Fetch, FetchCold, Fetched, Message, SingleCopy, StorageAsk,
    quorums_of,
};
use crate::patience::Patience;
use crate::queue::Queue;
use crate::storage::COPIES_PER_ANSWER;

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

/// What the second tier told so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct SecondTier {
    /// Who sequences the log, for all that is known.
    sequencer: NodeId,
    question: Option<ColdQuestion>,
    /// What it told and was not delivered yet.
    told: VecDeque<Delivery>,
    /// Where it has nothing.
    nothing: Option<Nothing>,
}

/// That there is nothing in the second tier from an LSN on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Nothing {
    first: Lsn,
    /// There should be, up to here.
    lost: Option<Lsn>,
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
            second_tier: range.second_tier.map(|sequencer| SecondTier {
                sequencer,
                question: None,
                told: VecDeque::new(),
                nothing: None,
            }),
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
        let cold = self.second_tier.as_ref().map_or(0, |it| it.told.len());
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
        let second_tier = self.second_tier.as_ref();
        let question = second_tier.and_then(|it| it.question.as_ref());
        let question = question.map(ColdQuestion::deadline);
        let all = resend.into_iter().chain(self.suspicion).chain(question);
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
        if let Some(SecondTier {
            question: Some(question),
            ..
        }) = &mut self.second_tier
        {
            question.on_time(now, timing, nodes, send);
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
        let Some(tier) = &mut self.second_tier else {
            return;
        };
        let Some(question) = &mut tier.question else {
            return;
        };
        let Some(told) = question.on_told(from, answer, now, timing) else {
            return;
        };
        tier.sequencer = from;
        let first = question.first();
        let nothing = |lost| Some(Nothing { first, lost });
        match told {
            ColdTold::Entries(entries) => {
                let log = self.log;
                let mut next = first;
                let sound = entries.iter().take_while(|it| {
                    let (at, last) = (it.first(), it.last());
                    // A gap ends with its epoch at the latest.
                    let is_sane = at <= last && at.epoch == last.epoch && last < Lsn::MAX;
                    if at != next || !is_sane {
                        return false;
                    }
                    next = last.successor();
                    belongs(log, it)
                });
                let sound: VecDeque<_> = sound.take(COLD_PER_ANSWER).cloned().collect();
                if sound.is_empty() {
                    tier.nothing = nothing(Some(first));
                }
                tier.told = sound;
                tier.question = None;
            }
            ColdTold::Lost(last) => {
                probe!("reader.lost-in-the-second-tier");
                tier.nothing = nothing(Some(first.max(*last)));
                tier.question = None;
            }
            // It was handed over: whoever says so knows nothing of that yet, or is no sequencer any more.
            _ if first <= self.handed => question.ask_another(now, timing),
            _ => {
                tier.nothing = nothing(None);
                tier.question = None;
            }
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
                if entry.is_none() && lost.is_some() && self.is_tiered {
                    if !self.is_not_there() {
                        probe!("reader.looks-in-the-second-tier-before-it-tells-of-loss");
                        self.ask_second_tier();
                        break;
                    }
                    // Of what lies behind it the second tier may have more.
                    let tier = self.second_tier.as_ref();
                    let nothing = tier.and_then(|it| it.nothing);
                    lost = lost.min(nothing.and_then(|it| it.lost).or(lost));
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

    /// What the second tier told of the next LSN, if it did, and if it continues the chain.
    fn take_cold(&mut self) -> Option<Delivery> {
        let (next, link) = (self.next, self.link);
        let tier = self.second_tier.as_mut()?;
        while tier.told.front().is_some_and(|it| it.last() < next) {
            tier.told.pop_front();
        }
        let delivery = tier.told.pop_front()?;
        let continues = match &delivery {
            Delivery::Record(_, it) => link.is_none_or(|link| link == it.stamp.previous),
            Delivery::Gap { .. } => true,
        };
        if delivery.first() > next || !continues {
            probe!("reader.cold-entry-does-not-continue", !continues);
            tier.told.clear();
            let (first, lost) = (next, Some(next));
            tier.nothing = Some(Nothing { first, lost });
            return None;
        }
        Some(delivery)
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
        let Some(tier) = &mut self.second_tier else {
            return;
        };
        if tier.question.as_ref().is_none_or(|it| it.first() != next) {
            let ask = FetchCold {
                nonce: self.nonce,
                first: next,
                last,
                limit: u32::try_from(wanted).unwrap_or(u32::MAX),
                time: None,
            };
            tier.question = Some(ColdQuestion::new(self.log, ask, Some(tier.sequencer)));
        }
    }

    /// Whether the second tier should tell of the next LSN, and has nothing that is in order.
    fn is_lost_there(&self) -> bool {
        let nothing = self.second_tier.as_ref().and_then(|it| it.nothing);
        let covers = |it: Nothing, last| it.first <= self.next && self.next <= last;
        nothing.is_some_and(|it| it.lost.is_some_and(|last| covers(it, last)))
    }

    /// Whether the second tier has nothing that is in order from the next LSN on.
    fn is_not_there(&self) -> bool {
        let Some(tier) = &self.second_tier else {
            return true;
        };
        let is_it = |it: Nothing| it.lost.is_none() && it.first == self.next;
        self.is_lost_there() || tier.nothing.is_some_and(is_it)
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

/// Whether what the second tier tells is what was put there.
fn belongs(log: LogId, delivery: &Delivery) -> bool {
    match delivery {
        Delivery::Record(lsn, it) => it.belongs_at(log, *lsn) && it.record.verify().is_ok(),
        Delivery::Gap { .. } => true,
    }
}

/// Whether an entry is what was put there.
fn is_in_order(log: LogId, lsn: Lsn, entry: &Entry) -> bool {
    record_of(entry).is_none_or(|it| it.belongs_at(log, lsn) && it.record.verify().is_ok())
}

#[cfg(test)]
mod tests {
    use hstore_core::quorum::QuorumSystem;
    use hstore_core::{Record, Stamp, WallTime};

    use super::*;

    const LOG: LogId = LogId(1);
    const START: Timestamp = Timestamp::from_millis(1);
    const GRACE: Timestamp = Timestamp::from_millis(10_000);

    /// Three nodes that hold a log of five records, two copies each, and what they are asked.
    struct Nodes {
        reader: Reader,
        timing: Timing,
        records: Vec<Stamped>,
        asked: Vec<(NodeId, StorageAsk)>,
    }

    fn records(count: u32) -> Vec<Stamped> {
        let mut stamp = Stamp::default();
        let mut records = Vec::new();
        for offset in 1..=count {
            let record = Record::new(offset.to_le_bytes().to_vec().into());
            stamp = Stamp::after(stamp, LOG, Lsn::new(1, offset), WallTime(0), &record);
            records.push(Stamped { stamp, record });
        }
        records
    }

    fn at(offset: u32) -> Lsn {
        Lsn::new(1, offset)
    }

    impl Nodes {
        fn new(until: u32) -> Self {
            let spans = vec![EpochSpan {
                first: Epoch(1),
                quorums: QuorumSystem::flat(3, 2).expect("valid"),
            }];
            let range = Range {
                from: Lsn::FIRST,
                until: at(until),
                limit: 10_000,
                trim: Lsn::MIN,
                down: NodeSet::EMPTY,
                second_tier: None,
                is_tiered: false,
            };
            let mut nodes = Self {
                reader: Reader::new(LOG, spans, &range, 7),
                timing: Timing::default(),
                records: records(until - 1),
                asked: Vec::new(),
            };
            nodes.at(START);
            nodes
        }

        fn at(&mut self, now: Timestamp) {
            let asked = &mut self.asked;
            self.reader
                .on_time(now, &self.timing, &mut |node, message| match message {
                    Message::Storage { ask, .. } => asked.push((node, ask)),
                    other => panic!("a reader sends no {other:?}"),
                });
        }

        /// A node tells that it holds these, and nothing else up to `passed`.
        fn tell(
            &mut self,
            node: u8,
            entries: &[(u32, Option<Entry>)],
            passed: u32,
            now: Timestamp,
        ) {
            let told = Fetched {
                nonce: 7,
                round: self.reader.round,
                entries: entries.iter().map(|(o, it)| (at(*o), it.clone())).collect(),
                passed: at(passed),
                authoritative: true,
                trim: Lsn::MIN,
                handed: Lsn::MIN,
            };
            self.reader
                .on_fetched(NodeId(node), &told, now, &self.timing);
            self.at(now);
        }

        fn record(&self, offset: u32) -> (u32, Option<Entry>) {
            let record = self.records[offset as usize - 1].clone();
            (offset, Some(Entry::Record(record)))
        }

        /// What was delivered: offsets of records, negative for the first of a gap.
        fn delivered(&mut self) -> Vec<i64> {
            let taken = self.reader.take().into_iter();
            taken
                .map(|it| match it {
                    Delivery::Record(lsn, _) => i64::from(lsn.offset.0),
                    Delivery::Gap { first, .. } => -i64::from(first.offset.0),
                })
                .collect()
        }

        fn reports(&self) -> Vec<(NodeId, Lsn)> {
            let bad = |(node, ask): &(NodeId, StorageAsk)| match ask {
                StorageAsk::BadCopy { lsn } => Some((*node, *lsn)),
                _ => None,
            };
            self.asked.iter().filter_map(bad).collect()
        }
    }

    #[test]
    fn what_nobody_sent_alone_is_asked_of_everyone_and_only_that_can_be_loss() {
        let mut nodes = Nodes::new(2);
        for node in 0..3 {
            nodes.tell(node, &[], 1, START);
        }
        assert_eq!(nodes.reader.round, 1, "it rewinds");
        assert_eq!(nodes.delivered(), []);
        nodes.tell(0, &[], 1, START);
        nodes.tell(1, &[], 1, START);
        assert_eq!(nodes.delivered(), []);
        nodes.at(GRACE);
        assert_eq!(nodes.delivered(), [-1], "a seal quorum, and a grace");
    }

    /// The record is on nodes 0 and 2. Node 0 cannot read its copy, node 2 is slow.
    #[test]
    fn an_unreadable_copy_is_reported_and_no_evidence_of_loss() {
        let mut nodes = Nodes::new(2);
        nodes.tell(0, &[(1, None)], 1, START);
        assert_eq!(nodes.reader.round, 1, "it rewinds at once");
        nodes.tell(0, &[(1, None)], 1, START);
        nodes.tell(1, &[], 1, START);
        nodes.at(GRACE);
        assert_eq!(nodes.delivered(), []);
        let record = nodes.record(1);
        nodes.tell(2, &[record], 1, GRACE);
        assert_eq!(nodes.delivered(), [1]);
        assert_eq!(nodes.reports(), [(NodeId(0), at(1))], "once");
    }

    impl Nodes {
        /// The same nodes, where node 1 sequences the log and its history may have moved.
        fn tiered(until: u32) -> Self {
            let mut nodes = Self::new(until);
            nodes.reader.is_tiered = true;
            nodes.reader.second_tier = Some(SecondTier {
                sequencer: NodeId(1),
                question: None,
                told: VecDeque::new(),
                nothing: None,
            });
            nodes
        }

        /// All nodes tell that they hold nothing up to an offset: it was handed over.
        fn hand_over(&mut self, upto: u32, last: u32) {
            for node in 0..3 {
                let told = Fetched {
                    nonce: 7,
                    round: self.reader.round,
                    entries: Vec::new(),
                    passed: at(last),
                    authoritative: true,
                    trim: Lsn::MIN,
                    handed: at(upto),
                };
                self.reader
                    .on_fetched(NodeId(node), &told, START, &self.timing);
            }
            self.at(START);
        }

        /// Whom it asks for what in the second tier, since the last call.
        fn asked_cold(&mut self) -> Vec<(NodeId, Lsn)> {
            let asked = std::mem::take(&mut self.asked).into_iter();
            let first = |(node, ask)| match ask {
                StorageAsk::FetchCold(it) => Some((node, it.first)),
                _ => None,
            };
            asked.filter_map(first).collect()
        }

        fn tell_cold(&mut self, node: u8, first: u32, told: ColdTold, now: Timestamp) {
            let answer = Cold {
                nonce: 7,
                first: at(first),
                trim: Lsn::MIN,
                told,
            };
            self.reader
                .on_cold(NodeId(node), &answer, now, &self.timing);
            self.at(now);
        }

        fn entries(&self, offsets: std::ops::RangeInclusive<u32>) -> ColdTold {
            let record = |offset: u32| {
                Delivery::Record(at(offset), self.records[offset as usize - 1].clone())
            };
            ColdTold::Entries(offsets.map(record).collect())
        }
    }

    #[test]
    fn what_was_handed_over_is_read_from_the_second_tier_and_the_rest_from_nodes() {
        let mut nodes = Nodes::tiered(6);
        nodes.hand_over(3, 3);
        assert_eq!(nodes.asked_cold(), [(NodeId(1), at(1))]);
        // It is another that sequences it now.
        nodes.tell_cold(1, 1, ColdTold::Elsewhere(Some(NodeId(2))), START);
        assert_eq!(nodes.asked_cold(), [(NodeId(2), at(1))]);
        let entries = nodes.entries(1..=2);
        nodes.tell_cold(2, 1, entries, START);
        assert_eq!(nodes.delivered(), [1, 2]);
        assert_eq!(nodes.asked_cold(), [(NodeId(2), at(3))]);
        let entries = nodes.entries(3..=3);
        nodes.tell_cold(2, 3, entries, START);
        assert_eq!(nodes.delivered(), [3]);
        let all: Vec<_> = (4..6).map(|offset| nodes.record(offset)).collect();
        nodes.tell(0, &all, 5, START);
        assert_eq!(nodes.delivered(), [4, 5]);
        assert!(nodes.reader.is_complete());
    }

    #[test]
    fn what_the_second_tier_tells_is_checked_like_all_else() {
        let mut nodes = Nodes::tiered(4);
        nodes.hand_over(3, 3);
        let ColdTold::Entries(mut entries) = nodes.entries(1..=3) else {
            unreachable!("these are entries");
        };
        let Delivery::Record(_, it) = &mut entries[1] else {
            unreachable!("these are records");
        };
        it.record.payload = bytes::Bytes::from_static(b"other");
        nodes.tell_cold(1, 1, ColdTold::Entries(entries), START);
        assert_eq!(nodes.delivered(), [1], "up to what is wrong");
        nodes.asked.clear();
        nodes.tell_cold(1, 2, ColdTold::Entries(Vec::new()), START);
        assert_eq!(nodes.delivered(), [], "nothing is no answer");
    }

    #[test]
    fn who_has_not_heard_of_what_was_handed_over_is_not_believed() {
        let mut nodes = Nodes::tiered(4);
        nodes.hand_over(3, 3);
        nodes.asked.clear();
        nodes.tell_cold(1, 1, ColdTold::Nothing(Lsn::MIN), START);
        assert_eq!(nodes.delivered(), []);
        let later = nodes.reader.deadline().expect("it asks again");
        assert!(later > START);
        nodes.at(later);
        assert_eq!(nodes.asked_cold().len(), 1);
    }

    /// Nobody holds the record: before it is told as lost, and not for ever, the second tier is asked for it.
    #[test]
    fn loss_is_told_once_neither_tier_has_it() {
        for found in [true, false] {
            let mut nodes = Nodes::tiered(2);
            for _ in 0..2 {
                for node in 0..2 {
                    nodes.tell(node, &[], 1, START);
                }
                nodes.tell(2, &[(1, None)], 1, START);
            }
            assert_eq!(nodes.delivered(), []);
            assert_eq!(nodes.asked_cold(), [(NodeId(1), at(1))]);
            nodes.at(GRACE);
            assert_eq!(nodes.asked_cold(), [(NodeId(1), at(1))], "once more");
            let waits = nodes.reader.deadline().expect("for an answer");
            assert!(waits > GRACE, "it does not ask without end");
            if found {
                let entries = nodes.entries(1..=1);
                nodes.tell_cold(1, 1, entries, GRACE);
                assert_eq!(nodes.delivered(), [1]);
            } else {
                nodes.tell_cold(1, 1, ColdTold::Nothing(Lsn::MIN), GRACE);
                nodes.at(GRACE + nodes.timing.reader_grace);
                assert_eq!(nodes.delivered(), [-1]);
            }
        }
    }

    #[test]
    fn while_the_second_tier_is_asked_the_reader_does_not_wake_without_end() {
        let mut nodes = Nodes::tiered(2);
        for _ in 0..3 {
            for node in 0..2 {
                nodes.tell(node, &[], 1, START);
            }
            nodes.at(nodes.reader.deadline().expect("it will not wait for ever"));
        }
        let mut now = START;
        for _ in 0..100 {
            now = nodes.reader.deadline().expect("for an answer").max(now);
            nodes.at(now);
            let next = nodes.reader.deadline().expect("for an answer");
            assert!(next > now, "{next} after {now}");
        }
        let asked = nodes.asked_cold().len();
        assert!((1..100).contains(&asked), "{asked}");
    }

    #[test]
    fn what_the_second_tier_lost_is_looked_for_with_all_nodes_once_more() {
        let mut nodes = Nodes::tiered(3);
        nodes.hand_over(1, 1);
        nodes.asked.clear();
        nodes.tell_cold(1, 1, ColdTold::Lost(at(1)), START);
        assert_eq!(nodes.delivered(), []);
        // One node has not forgotten it yet.
        let one = nodes.record(1);
        nodes.tell(2, &[one], 1, START);
        assert_eq!(nodes.delivered(), [1]);
    }

    #[test]
    fn loss_is_certain_once_everyone_has_told() {
        let mut nodes = Nodes::new(2);
        nodes.tell(0, &[(1, None)], 1, START);
        nodes.tell(0, &[(1, None)], 1, START);
        nodes.tell(1, &[], 1, START);
        nodes.tell(2, &[], 1, START);
        assert_eq!(nodes.delivered(), [-1]);
    }

    #[test]
    fn a_silent_node_is_passed_over_after_a_while_and_nothing_comes_twice() {
        let mut nodes = Nodes::new(6);
        let (one, three) = (nodes.record(1), nodes.record(3));
        nodes.tell(0, &[one, three], 5, START);
        nodes.tell(1, &[], 5, START);
        assert_eq!(nodes.delivered(), [1]);
        let later = nodes.reader.deadline().expect("it will not wait for ever");
        assert!(later < START + nodes.timing.resend);
        nodes.at(later);
        assert_eq!(nodes.reader.down(), NodeSet::only(NodeId(2)));
        let all: Vec<_> = (1..6).map(|offset| nodes.record(offset)).collect();
        nodes.tell(0, &[all[2].clone(), all[3].clone()], 5, later);
        assert_eq!(nodes.delivered(), []);
        nodes.tell(1, &all, 5, later);
        assert_eq!(nodes.delivered(), [2, 3, 4, 5]);
        assert!(nodes.reader.is_complete());
    }

    #[test]
    fn an_answer_of_an_earlier_round_proves_nothing() {
        let mut nodes = Nodes::new(2);
        let early = Fetched {
            nonce: 7,
            round: 0,
            entries: Vec::new(),
            passed: at(1),
            authoritative: true,
            trim: Lsn::MIN,
            handed: Lsn::MIN,
        };
        for node in 0..3 {
            nodes.tell(node, &[], 1, START);
        }
        for node in 0..3 {
            let timing = Timing::default();
            nodes
                .reader
                .on_fetched(NodeId(node), &early, START, &timing);
        }
        nodes.at(GRACE);
        assert_eq!(nodes.delivered(), []);
    }

    /// Node 0 is down. Node 1, which holds the second copy of what is missed, told much beyond it.
    #[test]
    fn who_told_much_ahead_is_asked_for_what_is_missed() {
        let mut nodes = Nodes::new(201);
        let ahead: Vec<_> = (2..=200).map(|offset| nodes.record(offset)).collect();
        nodes.tell(1, &ahead, 200, START);
        nodes.tell(2, &[], 200, START);
        assert_eq!(nodes.delivered(), []);
        nodes.asked.clear();
        let later = nodes.reader.deadline().expect("it will not wait for ever");
        nodes.at(later);
        assert!(nodes.asked.iter().any(|(node, _)| *node == NodeId(1)));
        let first = nodes.record(1);
        nodes.tell(1, &[first], 1, later);
        assert_eq!(nodes.delivered(), [1]);
    }

    /// Each copy is in order by itself; the second is of another life of the log.
    #[test]
    fn a_copy_that_does_not_continue_the_chain_is_not_taken() {
        let mut nodes = Nodes::new(3);
        let record = Record::new(bytes::Bytes::from_static(b"other"));
        let stamp = Stamp::after(Stamp::default(), LOG, at(2), WallTime(0), &record);
        let other = (2, Some(Entry::Record(Stamped { stamp, record })));
        let (one, two) = (nodes.record(1), nodes.record(2));
        nodes.tell(0, &[one, other.clone()], 2, START);
        assert_eq!(nodes.delivered(), [1]);
        assert_eq!(nodes.reports(), [(NodeId(0), at(2))]);
        nodes.tell(0, &[other], 2, START);
        nodes.tell(1, &[two], 2, START);
        assert_eq!(nodes.delivered(), [2]);
    }

    /// The first copy that came is of another life of the log; all others agree.
    #[test]
    fn one_wrong_copy_makes_no_loss_of_those_that_agree() {
        let mut nodes = Nodes::new(4);
        let record = Record::new(bytes::Bytes::from_static(b"other"));
        let stamp = Stamp::after(
            Stamp::default(),
            LOG,
            at(1),
            hstore_core::WallTime(0),
            &record,
        );
        let other = (1, Some(Entry::Record(Stamped { stamp, record })));
        let other = [other];
        nodes.tell(0, &other, 3, START);
        assert_eq!(nodes.delivered(), [1]);
        let all: Vec<_> = (1..4).map(|offset| nodes.record(offset)).collect();
        for round in 0..2 {
            nodes.tell(0, &other[round..], 3, START);
            nodes.tell(1, &all, 3, START);
            nodes.tell(2, &all, 3, START);
        }
        assert_eq!(nodes.delivered(), [2, 3]);
    }

    #[test]
    fn after_a_hole_the_chain_is_anchored_anew() {
        let mut nodes = Nodes::new(4);
        let (one, three) = (nodes.record(1), nodes.record(3));
        nodes.tell(0, &[one, (2, Some(Entry::Hole)), three], 3, START);
        assert_eq!(nodes.delivered(), [1, -2, 3]);
    }

    #[test]
    fn a_copy_of_another_place_is_as_good_as_unreadable() {
        let mut nodes = Nodes::new(3);
        let (one, two) = (nodes.record(1), nodes.record(2));
        nodes.tell(0, &[(1, two.1.clone())], 2, START);
        assert_eq!(nodes.delivered(), []);
        assert_eq!(nodes.reports(), [(NodeId(0), at(1))]);
        nodes.tell(1, &[one, two], 2, START);
        assert_eq!(nodes.delivered(), [1, 2]);
    }

    #[test]
    fn whoever_takes_nothing_makes_it_ask_nothing() {
        let mut nodes = Nodes::new(1001);
        let mut passed = 0;
        for _ in 0..1000 {
            let asked = std::mem::take(&mut nodes.asked);
            let Some((node, _)) = asked.last() else { break };
            let entries: Vec<_> = (1..=64).map(|more| nodes.record(passed + more)).collect();
            passed += 64;
            nodes.tell(node.0, &entries, passed, START);
        }
        assert_eq!(passed, 128, "as much as there is room for");
        assert_eq!(nodes.reader.deadline(), None);
        assert_eq!(nodes.delivered().len(), 128);
        nodes.at(START);
        assert_ne!(nodes.asked, [], "there is room again");
    }

    #[test]
    fn what_was_given_up_is_a_gap_up_to_the_trim() {
        let mut nodes = Nodes::new(6);
        let told = Fetched {
            nonce: 7,
            round: 0,
            entries: Vec::new(),
            passed: at(3),
            authoritative: true,
            trim: at(3),
            handed: Lsn::MIN,
        };
        let timing = Timing::default();
        nodes.reader.on_fetched(NodeId(0), &told, START, &timing);
        let gap = Delivery::Gap {
            kind: GapKind::Trim,
            first: at(1),
            last: at(3),
        };
        assert_eq!(nodes.reader.take(), [gap]);
        assert_eq!(nodes.reader.next(), at(4));
    }
}
