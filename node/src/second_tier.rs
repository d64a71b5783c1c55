//! The second tier of a node: the offloaders of the logs that it sequences, and what others read there.
//!
//! An offloader lives as long as its reign: it is made of what the register holds when the reign begins, and dropped
//! with it. What it has the register keep goes through the sequencer, so that a deposed one changes nothing. It reads
//! the log as clients do.
//!
//! Whoever reads from the second tier asks the node that sequences the log: it has the manifest. A read is of the
//! segments that the manifest names when it begins; their objects outlive it.

use std::collections::BTreeMap;
use std::sync::Arc;

use hstore_core::ports::object_store::{ObjectAnswer, ObjectError, ObjectKey};
use hstore_core::{Address, Epoch, LogId, Lsn, NodeId, NodeSet, Timestamp, probe};
use hstore_replicator::effects::{Env, Event, ObjectOwner, ObjectRequest, ObjectToken, Tier2Event};
use hstore_replicator::message::{Cold, ColdTold, FetchCold, Fetched, Message, StorageAnswer};
use hstore_replicator::queue::Queue;
use hstore_replicator::reader::{COLD_PER_ANSWER, Range, Reader};
use hstore_replicator::register::{Annex, RegisterValue};
use hstore_replicator::sequencer::Sequencer;
use hstore_tier2::cold::{ColdAnswer, ColdError, ColdOutputs, ColdRead, ColdReads};
use hstore_tier2::manifest::{Anomaly, Manifest, SEGMENTS_MAX, SegmentRef};
use hstore_tier2::offloader::{self, Effect, Held, Offloader};
use hstore_tier2::policy::Policy;

use crate::timed::Timed;

/// So many reads of others are under way at most; who asks for more is told to ask later.
pub const COLD_READS_MAX: usize = 64;
/// An answer is cut behind the record with which it comes to have so many bytes of payload.
const COLD_ANSWER_BYTES: usize = 256 << 10;
/// A read that goes on is given so many bytes of blocks ahead.
const AHEAD_BYTES: u64 = 1 << 20;
/// A read spans so many segments at most.
const SEGMENTS_PER_READ: usize = 2;
/// What came back damaged is got so often more before it is told as lost: it may have been damaged on its way.
const DAMAGED_RETRIES: u32 = 3;
/// Nonces of an offloader's questions have this bit, those of others do not.
const OFFLOADER_NONCES: u64 = 1 << 63;

/// Where history moves to, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tiering {
    /// All objects lie below it.
    pub root: ObjectKey,
    /// How the history of logs is moved that are not named in `logs`.
    pub policy: Policy,
    /// The same, by log.
    pub logs: BTreeMap<LogId, Policy>,
    /// So many bytes of segments, decompressed, are kept for those who read.
    pub cache_bytes: usize,
}

impl Tiering {
    /// For objects below `root`.
    #[must_use]
    pub fn below(root: ObjectKey) -> Self {
        Self {
            root,
            policy: Policy::default(),
            logs: BTreeMap::new(),
            cache_bytes: 64 << 20,
        }
    }

    fn policy(&self, log: LogId) -> Policy {
        self.logs.get(&log).copied().unwrap_or(self.policy)
    }
}

/// A node's second tier.
#[derive(Debug)]
pub(crate) struct SecondTier {
    tiering: Arc<Tiering>,
    /// The logs that this node sequences.
    reigns: BTreeMap<LogId, Reign>,
    /// Counts the questions of this life's offloaders.
    nonces: u64,
    reads: ColdReads,
    /// The reads of others, by number.
    waiting: BTreeMap<u64, Waiting>,
}

/// A log that this node sequences.
#[derive(Debug)]
struct Reign {
    epoch: Epoch,
    /// `None` where what the register holds cannot be read.
    offloader: Option<Box<Offloader>>,
    /// Answers for older epochs are clean.
    is_open: bool,
    /// Reads what is to be moved.
    reader: Option<Box<Reader>>,
    /// What was taken of it ends before this.
    taken: Lsn,
    nonce: u64,
    /// What is known of the log: the register's version, released, trim.
    seen: (u64, Lsn, Lsn),
    deadline: Option<Timestamp>,
}

/// A read of somebody's.
#[derive(Debug)]
struct Waiting {
    to: Address,
    log: LogId,
    ask: FetchCold,
    asked: ColdRead,
    damaged: u32,
}

impl SecondTier {
    pub(crate) fn new(tiering: Arc<Tiering>) -> Self {
        Self {
            reads: ColdReads::new(tiering.root.clone(), tiering.cache_bytes),
            tiering,
            reigns: BTreeMap::new(),
            nonces: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// When to call [`SecondTier::follow`] for a log.
    pub(crate) fn deadline(&self) -> Option<Timestamp> {
        self.reigns.values().filter_map(Reign::deadline).min()
    }

    pub(crate) fn queues(&self) -> impl Iterator<Item = Queue> {
        let waiting = Queue {
            name: "second tier: reads",
            length: self.waiting.len(),
            bound: COLD_READS_MAX,
        };
        let readers = self.reigns.values().filter_map(|it| it.reader.as_ref());
        std::iter::once(waiting).chain(readers.flat_map(|it| it.queues()))
    }

    /// What the register holds of a log's second tier, if this node sequences it.
    pub(crate) fn held(&self, log: LogId) -> Option<&Held> {
        let offloader = self.reigns.get(&log)?.offloader.as_ref()?;
        Some(offloader.held())
    }

    /// Up to where this node's offloader has read what it is to hand over, and found it in order.
    pub(crate) fn sound(&self, log: LogId) -> Option<(Epoch, Lsn)> {
        let reign = self.reigns.get(&log)?;
        Some((reign.epoch, reign.offloader.as_ref()?.sound()?))
    }

    /// Takes up what has become of a log's sequencer, and does what is due. To be called after each step.
    pub(crate) fn follow(
        &mut self,
        log: LogId,
        sequencer: &mut Timed<Sequencer>,
        env: &mut Env<'_>,
    ) {
        let machine = sequencer.machine();
        let (Some(epoch), Some(value)) = (machine.epoch(), machine.value()) else {
            self.reigns.remove(&log);
            return;
        };
        if self.reigns.get(&log).is_none_or(|it| it.epoch != epoch) {
            let offloader = match held(&value.annex) {
                Ok(held) => {
                    let root = self.tiering.root.clone();
                    let mut policy = self.tiering.policy(log);
                    if !env.config.is_tiered(log) {
                        // What has moved stays there, and is looked after.
                        policy.uploads = 0;
                    }
                    Some(Box::new(Offloader::new(log, epoch, root, policy, held)))
                }
                Err(why) => {
                    tell(log, epoch, Tier2Event::Stands(why), env);
                    None
                }
            };
            let reign = Reign {
                epoch,
                offloader,
                is_open: false,
                reader: None,
                taken: Lsn::MIN,
                nonce: 0,
                seen: (value.annex.version, Lsn::MIN, Lsn::MIN),
                deadline: None,
            };
            self.reigns.insert(log, reign);
            let version = value.annex.version;
            tell(log, epoch, Tier2Event::Held { version }, env);
        }
        let reign = self.reigns.get_mut(&log).expect("it is there now");
        reign.follow(log, sequencer, &mut self.nonces, env);
    }

    /// A node has answered an offloader's question. False if it is somebody else's.
    pub(crate) fn on_fetched(
        &mut self,
        from: NodeId,
        log: LogId,
        told: &Fetched,
        env: &mut Env<'_>,
    ) -> bool {
        if told.nonce & OFFLOADER_NONCES == 0 {
            return false;
        }
        if let Some(reign) = self.reigns.get_mut(&log)
            && reign.nonce == told.nonce
            && let Some(reader) = &mut reign.reader
        {
            reader.on_fetched(from, told, env.now, &env.config.timing);
            reign.deadline = Some(env.now);
        }
        true
    }

    /// The object store has answered a call.
    pub(crate) fn on_object(
        &mut self,
        token: ObjectToken,
        answer: Result<ObjectAnswer, ObjectError>,
        env: &mut Env<'_>,
    ) {
        match token.owner {
            ObjectOwner::Reads => {
                let mut out = ColdOutputs::default();
                self.reads.on_answer(token.number, answer, &mut out);
                self.carry_out(out, env);
            }
            ObjectOwner::Offloader(log, epoch) => {
                if let Some(reign) = self.reigns.get_mut(&log)
                    && reign.epoch == epoch
                    && let Some(offloader) = &mut reign.offloader
                {
                    let mut effects = Vec::new();
                    offloader.on_answer(token.number, answer, env.now, env.wall, &mut effects);
                    reign.deadline = Some(env.now);
                    reign.put_out(log, effects, env);
                }
            }
        }
    }

    /// Somebody reads. `hint` is the node that sequences the log, for all this node knows.
    pub(crate) fn on_fetch_cold(
        &mut self,
        to: Address,
        log: LogId,
        ask: FetchCold,
        hint: Option<NodeId>,
        env: &mut Env<'_>,
    ) {
        let is_it = |it: &Waiting| {
            let theirs = (it.to, it.log, it.ask.nonce, it.ask.first);
            theirs == (to, log, ask.nonce, ask.first)
        };
        if self.waiting.values().any(is_it) {
            // It is answered once it is there.
            return;
        }
        let told = match self.reigns.get(&log) {
            None => ColdTold::Elsewhere(hint),
            Some(_) if self.waiting.len() >= COLD_READS_MAX => {
                probe!("cold.too-many-reads");
                ColdTold::Busy
            }
            Some(Reign {
                offloader: None, ..
            }) => ColdTold::Busy,
            Some(Reign {
                offloader: Some(offloader),
                ..
            }) => match segments(&offloader.held().manifest, &ask) {
                Ok(segments) => {
                    let last = segments.last().map_or(ask.last, |it| it.intent.last);
                    let asked = ColdRead {
                        log,
                        from: ask.first.max(segments[0].intent.first),
                        segments: segments.into(),
                        until: last.min(ask.last).successor(),
                        time: ask.time,
                        limit_bytes: COLD_ANSWER_BYTES,
                        limit: COLD_PER_ANSWER.min(ask.limit as usize),
                        ahead_bytes: self.ahead_bytes(&ask),
                    };
                    let waiting = Waiting {
                        to,
                        log,
                        ask,
                        asked,
                        damaged: 0,
                    };
                    self.read(waiting, env);
                    return;
                }
                Err(upto) => ColdTold::Nothing(upto),
            },
        };
        self.answer(to, log, &ask, told, env);
    }

    /// Nothing for a single record; otherwise what the cache has room for.
    fn ahead_bytes(&self, ask: &FetchCold) -> u64 {
        if ask.limit > 1 {
            AHEAD_BYTES.min(self.tiering.cache_bytes as u64 / 2)
        } else {
            0
        }
    }

    fn read(&mut self, waiting: Waiting, env: &mut Env<'_>) {
        let mut out = ColdOutputs::default();
        let number = self.reads.read(waiting.asked.clone(), &mut out);
        self.waiting.insert(number, waiting);
        self.carry_out(out, env);
    }

    fn carry_out(&mut self, out: ColdOutputs, env: &mut Env<'_>) {
        for call in out.calls {
            let token = ObjectToken {
                owner: ObjectOwner::Reads,
                number: call.token,
            };
            let ask = call.ask;
            env.out.objects.push(ObjectRequest { token, ask });
        }
        for answer in out.answers {
            self.ended(answer, env);
        }
    }

    fn ended(&mut self, answer: ColdAnswer, env: &mut Env<'_>) {
        let Some(mut waiting) = self.waiting.remove(&answer.read) else {
            return;
        };
        let told = match answer.told {
            Ok(entries) if entries.is_empty() => ColdTold::Nothing(waiting.looked()),
            Ok(entries) => ColdTold::Entries(entries),
            Err(ColdError::Damaged { .. }) if waiting.damaged < DAMAGED_RETRIES => {
                probe!("cold.got-damaged-bytes");
                waiting.damaged += 1;
                self.read(waiting, env);
                return;
            }
            Err(ColdError::Missing { last, .. }) => {
                self.is_lost(&waiting, last, Anomaly::Missing, env)
            }
            Err(ColdError::Damaged { last, .. }) => {
                self.is_lost(&waiting, last, Anomaly::Damaged, env)
            }
            Err(ColdError::Elsewhere(_)) => ColdTold::Nothing(waiting.looked()),
            Err(ColdError::Store(_)) => ColdTold::Busy,
        };
        self.answer(waiting.to, waiting.log, &waiting.ask, told, env);
    }

    /// Somebody could not read a segment. That it is lost is told once the offloader has found the same: a store that
    /// is not there for a while, or is another one, must not make anybody pass over history, nor over what is in
    /// order of a segment that is damaged.
    fn is_lost(&mut self, waiting: &Waiting, last: Lsn, found: Anomaly, env: &Env<'_>) -> ColdTold {
        let reign = self.reigns.get_mut(&waiting.log);
        let Some((reign, offloader)) =
            reign.and_then(|it| Some((&mut it.deadline, it.offloader.as_mut()?)))
        else {
            return ColdTold::Busy;
        };
        let manifest = &offloader.held().manifest;
        let at = |lsn| manifest.segment_of(lsn).map(|it| it.intent.id);
        let Some(id) = at(last) else {
            // It was given up meanwhile.
            probe!("cold.segment-was-dropped");
            return ColdTold::Busy;
        };
        if manifest.anomaly(id) == Some(found) {
            return ColdTold::Lost(last);
        }
        offloader.suspect(id);
        *reign = Some(env.now);
        ColdTold::Busy
    }

    fn answer(&self, to: Address, log: LogId, ask: &FetchCold, told: ColdTold, env: &mut Env<'_>) {
        let trim = self.reigns.get(&log).map_or(Lsn::MIN, |it| it.seen.2);
        let answer = StorageAnswer::Cold(Cold {
            nonce: ask.nonce,
            first: ask.first,
            trim,
            told,
        });
        env.out.send(to, Message::Stored { log, answer });
    }
}

impl Waiting {
    /// Up to where was looked, if nothing was found.
    fn looked(&self) -> Lsn {
        let last = self.asked.segments.back().map(|it| it.intent.last);
        last.map_or(Lsn::MIN, |last| last.min(self.ask.last))
    }
}

/// The segments that answer a question, the first of them first. If none does: up to where that is so.
fn segments(manifest: &Manifest, ask: &FetchCold) -> Result<Vec<SegmentRef>, Lsn> {
    let end = manifest.last().unwrap_or(Lsn::MIN);
    let first = match ask.time {
        None => manifest.segment_of(ask.first),
        Some(time) => manifest
            .segments()
            .find(|it| it.intent.last >= ask.first && it.records > 0 && it.latest >= time),
    };
    let from = first.ok_or(end)?.intent.first;
    if from > ask.last {
        return Err(ask.last);
    }
    let rest = manifest.segments().skip_while(|it| it.intent.first < from);
    let rest = rest.take_while(|it| it.intent.first <= ask.last);
    let segments: Vec<SegmentRef> = rest.take(SEGMENTS_PER_READ).cloned().collect();
    Ok(segments)
}

/// What the register holds of the second tier.
fn held(annex: &Annex) -> Result<Held, String> {
    let manifest = Manifest::decode(&annex.bytes).map_err(|error| error.to_string())?;
    Ok(Held {
        manifest,
        handed: annex.handed,
        version: annex.version,
    })
}

fn tell(log: LogId, epoch: Epoch, what: Tier2Event, env: &mut Env<'_>) {
    env.out.events.push(Event::Tier2 { log, epoch, what });
}

impl Reign {
    /// When to go on: nothing is done before the log is open, nor without an offloader.
    fn deadline(&self) -> Option<Timestamp> {
        let goes_on = self.is_open && self.offloader.is_some();
        self.deadline.filter(|_| goes_on)
    }

    fn follow(
        &mut self,
        log: LogId,
        sequencer: &mut Timed<Sequencer>,
        nonces: &mut u64,
        env: &mut Env<'_>,
    ) {
        let Some(value) = sequencer.machine().value() else {
            return;
        };
        let released = sequencer.machine().released();
        if released.is_some() && !self.is_open {
            self.is_open = true;
            self.deadline = Some(env.now);
        }
        let seen = (
            value.annex.version,
            released.unwrap_or(Lsn::MIN),
            value.trim,
        );
        let is_news = seen != self.seen;
        let is_due = self.deadline.is_some_and(|at| at <= env.now);
        if !self.is_open || !(is_news || is_due) {
            return;
        }
        let Some(mut offloader) = self.offloader.take() else {
            return;
        };
        let mut effects = Vec::new();
        if seen.0 != self.seen.0 {
            let held = held(&value.annex).expect("what is held was made here");
            offloader.on_held(held, &mut effects);
        }
        // That more was released leads to nothing but to reading on.
        let is_read = seen.0 == self.seen.0 && seen.2 == self.seen.2 && !is_due;
        self.seen = seen;
        offloader.on_bounds(seen.1, seen.2);
        if !is_read {
            offloader.on_time(env.now, env.wall, &mut effects);
        }
        self.read_on(log, &mut offloader, value, nonces, &mut effects, env);
        let mut trim = None;
        for effect in &effects {
            match effect {
                Effect::Change(held) => {
                    let annex = Annex {
                        version: held.version,
                        bytes: held.manifest.encode(),
                        handed: held.handed,
                    };
                    sequencer.change(|it| it.keep_annex(self.epoch, annex, env));
                }
                Effect::Trim(upto) => trim = Some(*upto),
                Effect::Ask { .. } | Effect::Event(_) => {}
            }
        }
        if let Some(upto) = trim {
            tell(log, self.epoch, Tier2Event::KeepsNoLonger { upto }, env);
            sequencer.change(|it| it.keep_no_longer(upto, env));
        }
        let reader = self.reader.as_ref();
        let reader = reader
            .filter(|_| offloader.wants(env.now).is_some())
            .and_then(|it| it.deadline());
        self.deadline = offloader.deadline().into_iter().chain(reader).min();
        self.offloader = Some(offloader);
        self.put_out(log, effects, env);
    }

    /// Reads what the offloader wants.
    fn read_on(
        &mut self,
        log: LogId,
        offloader: &mut Offloader,
        value: &RegisterValue,
        nonces: &mut u64,
        effects: &mut Vec<Effect>,
        env: &mut Env<'_>,
    ) {
        let (now, wall, timing) = (env.now, env.wall, &env.config.timing);
        while let Some((from, until)) = offloader.wants(now) {
            let reader = match &mut self.reader {
                Some(reader) if self.taken == from => {
                    reader.extend(value.spans.clone(), until);
                    reader
                }
                reader => {
                    let range = Range {
                        from,
                        until,
                        limit: usize::MAX,
                        trim: value.trim,
                        down: NodeSet::EMPTY,
                        // It is what is not there yet.
                        second_tier: None,
                        is_tiered: false,
                    };
                    *nonces += 1;
                    let life = (env.incarnation.0 & 0x7fff_ffff) << 32;
                    self.nonce = OFFLOADER_NONCES | life | (*nonces & 0xffff_ffff);
                    let spans = value.spans.clone();
                    let new = Reader::new(log, spans, &range, self.nonce);
                    self.taken = from;
                    reader.insert(Box::new(new))
                }
            };
            let out = &mut env.out;
            reader.on_time(now, timing, &mut |node, message| out.send(node, message));
            let deliveries = reader.take();
            let Some(last) = deliveries.last() else {
                return;
            };
            self.taken = last.last().successor();
            offloader.on_read(&deliveries, now, effects);
            offloader.on_time(now, wall, effects);
            if offloader.wants(now).is_some_and(|(next, _)| next == from) {
                // It took nothing of it.
                self.reader = None;
                return;
            }
        }
    }

    fn put_out(&self, log: LogId, effects: Vec<Effect>, env: &mut Env<'_>) {
        for effect in effects {
            match effect {
                Effect::Ask { token, ask } => {
                    let token = ObjectToken {
                        owner: ObjectOwner::Offloader(log, self.epoch),
                        number: token,
                    };
                    env.out.objects.push(ObjectRequest { token, ask });
                }
                Effect::Event(event) => tell(log, self.epoch, told(event), env),
                Effect::Change(_) | Effect::Trim(_) => {}
            }
        }
    }
}

fn told(event: offloader::Event) -> Tier2Event {
    use offloader::Event as Told;
    match event {
        Told::Held(version) => Tier2Event::Held { version },
        Told::Committed(it) => Tier2Event::Committed {
            first: it.first,
            last: it.last,
        },
        Told::Spoiled(it) => Tier2Event::Spoiled {
            first: it.first,
            last: it.last,
        },
        Told::Anomaly(it, wrong) => Tier2Event::Anomaly {
            first: it.first,
            last: it.last,
            wrong: wrong.map(|it| format!("{it:?}").to_lowercase()),
        },
        Told::Collected(key) => Tier2Event::Collected(key),
        Told::Failed(error) => Tier2Event::Failed(error),
        Told::Full => Tier2Event::Stands(format!(
            "the manifest has {SEGMENTS_MAX} segments: nothing more moves until some are given up"
        )),
        Told::Elsewhere(segments) => Tier2Event::Stands(format!(
            "the object store lacks {segments} segments and the marker of this history: it is another store, or was emptied; nothing is handed over until they are back, or are given up"
        )),
        Told::Unreadable(error) => Tier2Event::Stands(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::ports::object_store::{ObjectError, ObjectErrorKind};
    use hstore_core::{Incarnation, Rng, WallTime};
    use hstore_replicator::config::{ClusterConfig, Timing};
    use hstore_replicator::effects::Outputs;

    use super::*;

    const LOG: LogId = LogId(1);

    fn at(offset: u32) -> Lsn {
        Lsn::new(1, offset)
    }

    /// A node that sequences a log of which one segment is in the object store, with which something may be wrong.
    fn tier(anomaly: Option<Anomaly>) -> SecondTier {
        let root: ObjectKey = "history".parse().expect("a key");
        let mut manifest = Manifest::default();
        manifest.begin_history(WallTime(1_000));
        manifest.renew_marker();
        let intent = manifest.begin(Epoch(1), at(1), at(1_000));
        let intent = intent.expect("it is the first");
        let segment = SegmentRef {
            intent,
            file_bytes: 100_000,
            tail_bytes: 1_000,
            hash: 1,
            records: 1_000,
            payload_bytes: 90_000,
            latest: WallTime(5),
        };
        manifest.commit(segment).expect("it is next");
        manifest.mark(intent.id, anomaly);
        let held = Held {
            manifest,
            handed: at(1_000),
            version: 3,
        };
        let mut tier = SecondTier::new(Arc::new(Tiering::below(root.clone())));
        let offloader = Offloader::new(LOG, Epoch(2), root, Policy::default(), held);
        let reign = Reign {
            epoch: Epoch(2),
            offloader: Some(Box::new(offloader)),
            is_open: true,
            reader: None,
            taken: Lsn::MIN,
            nonce: 0,
            seen: (3, at(1_000), Lsn::MIN),
            deadline: None,
        };
        tier.reigns.insert(LOG, reign);
        tier
    }

    /// What is told to whoever asks for the history where the store says that the segment is not there.
    fn told_where_it_is_missing(tier: &mut SecondTier) -> ColdTold {
        let config = ClusterConfig {
            nodes: BTreeMap::new(),
            metadata: NodeSet::EMPTY,
            logs: BTreeMap::new(),
            timing: Timing::default(),
        };
        let (mut rng, mut out) = (Rng::from_seed(1), Outputs::default());
        let mut env = Env {
            now: Timestamp::from_millis(1),
            wall: WallTime(2_000),
            me: NodeId(0),
            incarnation: Incarnation(1),
            config: &config,
            rng: &mut rng,
            out: &mut out,
        };
        let ask = FetchCold {
            nonce: 7,
            first: at(1),
            last: at(2_000),
            limit: 100,
            time: None,
        };
        tier.on_fetch_cold(Address::Node(NodeId(1)), LOG, ask, None, &mut env);
        let request = env.out.objects.remove(0);
        let error = ObjectError::of(&request.ask, ObjectErrorKind::NotFound, "it is not there");
        tier.on_object(request.token, Err(error), &mut env);
        let (_, message) = env.out.messages.remove(0);
        let Message::Stored {
            answer: StorageAnswer::Cold(cold),
            ..
        } = message
        else {
            panic!("{message:?}");
        };
        cold.told
    }

    /// One block of a segment is damaged, which is known. Then the store is not there for a while: a directory that
    /// is not mounted. Whoever heard that all of the segment is lost would pass over what is in order.
    #[test]
    fn a_segment_is_lost_once_the_offloader_has_found_the_same() {
        let told = |anomaly| told_where_it_is_missing(&mut tier(anomaly));
        let lost = ColdTold::Lost(at(1_000));
        assert_eq!(told(Some(Anomaly::Missing)), lost);
        assert_eq!(told(Some(Anomaly::Damaged)), ColdTold::Busy);
        assert_eq!(told(None), ColdTold::Busy);
    }

    /// Nothing would be done about it: the node would wake without end.
    #[test]
    fn what_is_suspected_wakes_nobody_before_the_log_is_open() {
        for is_open in [true, false] {
            let mut tier = tier(None);
            tier.reigns.get_mut(&LOG).expect("it is there").is_open = is_open;
            told_where_it_is_missing(&mut tier);
            assert_eq!(tier.deadline().is_some(), is_open);
            tier.reigns.get_mut(&LOG).expect("it is there").offloader = None;
            assert_eq!(tier.deadline(), None);
        }
    }
}
