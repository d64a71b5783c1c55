//! What must hold between the tiers, seen from inside the cluster and its object store.
//!
//! The watch knows the newest version of each log's second tier that a sequencer was seen to hold, who has put which
//! object, and what somebody has tampered with: that is not held against the cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::object_store::ObjectKey;
use hstore_core::{Epoch, LogId, Lsn, NodeId, Timestamp, WallTime};
use hstore_replicator::effects::ObjectToken;
use hstore_replicator::reader::Delivery;
use hstore_tier2::manifest::{Manifest, ObjectName, SegmentRef, log_prefix};
use hstore_tier2::memory::MemoryObjectStore;
use hstore_tier2::offloader::Held;
use hstore_tier2::rebuild::rebuild;
use hstore_tier2::segment::Segment;

use crate::invariants::violation;
use crate::report::Violation;

/// What was found of a log's second tier when its sequencer held something new.
#[derive(Debug)]
pub struct Seen<'a> {
    /// The log.
    pub log: LogId,
    /// The epoch that is sequenced.
    pub epoch: Epoch,
    /// What the register holds.
    pub held: &'a Held,
    /// Up to where everything was given up.
    pub trim: Lsn,
}

/// What a log keeps no longer.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp<'a> {
    /// The log.
    pub log: LogId,
    /// The last of it: where a segment ends.
    pub upto: Lsn,
    /// What the sequencer holds that gives it up.
    pub held: Option<&'a Held>,
    /// So many bytes of payload at most are in no segment.
    pub newer: u64,
    /// The newest so many bytes are kept,
    pub bytes: u64,
    /// but for what is older than this.
    pub oldest: Option<WallTime>,
}

/// What is new.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// What stands in the segments that became part of the log.
    pub entries: Vec<Delivery>,
    /// How many these are.
    pub segments: u64,
    /// More was handed over.
    pub handed: bool,
    /// The offloader of an epoch before was at work when this one began.
    pub deposed: bool,
    /// Uploads of an epoch before that were under way.
    pub left: u64,
}

/// Watches the second tier of a run.
#[derive(Debug)]
pub struct Tiers {
    root: ObjectKey,
    logs: BTreeMap<LogId, Tier>,
    /// Whose offloader has put each object, in which epoch.
    putters: BTreeMap<ObjectKey, (LogId, Epoch)>,
    /// When each object was put first: a put that was repeated may come once more, long after it was deleted.
    put_at: BTreeMap<ObjectKey, WallTime>,
    /// What was dropped at some time, and when. A put of it may come later than that.
    dropped: BTreeMap<ObjectKey, WallTime>,
    /// What somebody has tampered with, and whether the offloader could not know: it had just read it before it was
    /// to be handed over.
    tampered: BTreeMap<ObjectKey, bool>,
    /// Reads of offloaders that came to the store and are not answered yet.
    reading: BTreeMap<(NodeId, ObjectToken), ObjectKey>,
    checked: u64,
}

/// What is known of a log.
#[derive(Debug, Default)]
struct Tier {
    held: Held,
    trim: Lsn,
    /// The newest epoch whose sequencer was seen to hold something.
    epoch: Epoch,
    /// The epoch whose sequencer was seen to hold what is held.
    held_in: Epoch,
    /// The newest epoch whose offloader has made a call.
    at_work: Epoch,
    /// Up to where offloaders have read what they are to hand over, by epoch.
    sound: BTreeMap<Epoch, Lsn>,
    /// The latest time of every segment that there was, by its last LSN.
    latest: BTreeMap<Lsn, WallTime>,
}

impl Tier {
    /// The segments of a manifest that are not given up. What was given up just now may still be known to the bucket.
    fn kept<'a>(&self, manifest: &'a Manifest) -> Vec<&'a SegmentRef> {
        let segments = manifest.segments();
        segments.filter(|it| it.intent.last > self.trim).collect()
    }
}

impl Tiers {
    /// Of objects below `root`.
    #[must_use]
    pub fn new(root: ObjectKey) -> Self {
        Self {
            root,
            logs: BTreeMap::new(),
            putters: BTreeMap::new(),
            put_at: BTreeMap::new(),
            dropped: BTreeMap::new(),
            tampered: BTreeMap::new(),
            reading: BTreeMap::new(),
            checked: 0,
        }
    }

    /// How often something was judged.
    #[must_use]
    pub fn checked(&self) -> u64 {
        self.checked
    }

    /// What is known of a log's second tier.
    #[must_use]
    pub fn held(&self, log: LogId) -> Option<&Held> {
        self.logs.get(&log).map(|it| &it.held)
    }

    /// An offloader has made a call.
    pub fn on_call(&mut self, log: LogId, epoch: Epoch) {
        let tier = self.logs.entry(log).or_default();
        tier.at_work = tier.at_work.max(epoch);
    }

    /// An offloader has put an object; `is_over` another one.
    pub fn on_put(
        &mut self,
        (at, wall): (Timestamp, WallTime),
        whose: (LogId, Epoch),
        key: &ObjectKey,
        is_over: bool,
    ) -> Option<Violation> {
        self.checked += 1;
        self.putters.insert(key.clone(), whose);
        self.put_at.entry(key.clone()).or_insert(wall);
        is_over.then(|| {
            violation(
                at,
                "needed-objects-stay",
                format!("what stands under `{key}` is never written over"),
                format!("the offloader of {} in {} did", whose.0, whose.1),
            )
        })
    }

    /// An object is about to be deleted by an offloader. If clocks are right it was not needed for `grace`.
    pub fn on_delete(
        &mut self,
        (at, wall): (Timestamp, WallTime),
        key: &ObjectKey,
        grace: Option<Duration>,
    ) -> Option<Violation> {
        let since = self.dropped.get(key).copied();
        let since = since.or(self.put_at.get(key).copied());
        if let (Some(since), Some(grace)) = (since, grace)
            && u128::from(wall.0.saturating_sub(since.0)) < grace.as_millis()
        {
            return Some(violation(
                at,
                "needed-objects-stay",
                format!("`{key}` stays for {grace:?}: somebody may be reading it, or putting it"),
                format!("it is deleted at {wall}, and was needed or put at {since}"),
            ));
        }
        self.checked += 1;
        for (&log, tier) in &self.logs {
            let manifest = &tier.held.manifest;
            let segments = manifest.segments().map(|it| &it.intent);
            let mut needed = segments.chain(manifest.intents());
            if let Some(intent) = needed.find(|it| it.key(&self.root, log) == *key) {
                let (first, last) = (intent.first, intent.last);
                return Some(violation(
                    at,
                    "needed-objects-stay",
                    format!("`{key}` stays: it is to hold {first} to {last} of {log}"),
                    "it is deleted".to_owned(),
                ));
            }
            if manifest.marker_key(&self.root, log).as_ref() == Some(key) {
                return Some(violation(
                    at,
                    "needed-objects-stay",
                    format!("`{key}` stays: it shows that the history of {log} is here"),
                    "it is deleted".to_owned(),
                ));
            }
        }
        None
    }

    /// An object that may be tampered with: of a segment that nodes hold as well. One for each `pick`.
    #[must_use]
    pub fn pick(&self, pick: u64) -> Option<(LogId, ObjectKey)> {
        let logs = self.logs.iter();
        let held_twice = logs.flat_map(|(&log, tier)| {
            let segments = tier.held.manifest.segments();
            let behind = segments.filter(|it| it.intent.first > tier.held.handed);
            behind.map(move |it| (log, it))
        });
        let candidates: Vec<(LogId, &SegmentRef)> = held_twice.collect();
        let at = pick.checked_rem(candidates.len() as u64)?;
        let (log, segment) = candidates[at as usize];
        Some((log, segment.intent.key(&self.root, log)))
    }

    /// An offloader reads an object, and will hear what stands there.
    pub fn on_get(&mut self, call: (NodeId, ObjectToken), key: &ObjectKey) {
        if !self.tampered.contains_key(key) {
            self.reading.insert(call, key.clone());
        }
    }

    /// A call of an offloader is answered; up to `sound` it has now read what it is to hand over.
    pub fn on_answered(
        &mut self,
        call: (NodeId, ObjectToken),
        log: LogId,
        sound: Option<(Epoch, Lsn)>,
    ) {
        self.reading.remove(&call);
        if let Some((epoch, lsn)) = sound {
            let tier = self.logs.entry(log).or_default();
            let known = tier.sound.entry(epoch).or_default();
            *known = (*known).max(lsn);
        }
    }

    /// Somebody has tampered with an object of a segment. What stood there, if an offloader had just read it to hand
    /// it over, or is about to hear of it: it could not know.
    pub fn on_tampered(
        &mut self,
        log: LogId,
        key: &ObjectKey,
        bytes: Option<&Bytes>,
    ) -> Vec<Delivery> {
        let Some(opened) = bytes.and_then(|bytes| Segment::verify(bytes).ok()) else {
            // It was not in order before.
            return Vec::new();
        };
        let tier = self.logs.entry(log).or_default();
        // The one before may have it handed over yet.
        let last = opened.info().last;
        let recent = tier.sound.range(tier.epoch.prev()..);
        let was_read = recent.into_iter().any(|(_, sound)| last <= *sound);
        let is_read = self.reading.values().any(|it| it == key);
        let could_not_know = was_read || is_read;
        self.tampered.insert(key.clone(), could_not_know);
        match bytes {
            Some(bytes) if could_not_know => entries(&opened, bytes),
            _ => Vec::new(),
        }
    }

    /// A sequencer holds something new of its log's second tier.
    ///
    /// # Errors
    /// If it may not be so.
    pub fn on_held(
        &mut self,
        at: Timestamp,
        seen: &Seen<'_>,
        store: &MemoryObjectStore,
    ) -> Result<News, Box<Violation>> {
        let Seen {
            log,
            epoch,
            held,
            trim,
        } = *seen;
        self.checked += 1;
        let mut news = News::default();
        let tier = self.logs.entry(log).or_default();
        if epoch > tier.epoch {
            let foreign = held.manifest.intents().filter(|it| it.epoch < epoch);
            news.left = foreign.count() as u64;
            news.deposed = tier.at_work > Epoch(0) && tier.at_work < epoch;
            tier.epoch = epoch;
        }
        tier.trim = tier.trim.max(trim);
        let trim = tier.trim;
        let before = &tier.held;
        let fail =
            |property, expected: String, seen: String| Err(boxed(at, property, expected, seen));
        if held.version < before.version {
            if epoch > tier.held_in {
                return fail(
                    "one-manifest-per-version",
                    format!(
                        "{epoch} of {log} begins with version {} or later",
                        before.version
                    ),
                    format!("it begins with version {}", held.version),
                );
            }
            // Of a sequencer that was deposed.
            return Ok(news);
        }
        if held.version == before.version {
            if held != before {
                return fail(
                    "one-manifest-per-version",
                    format!(
                        "version {} of {log}'s manifest is one and the same",
                        held.version
                    ),
                    format!("{epoch} holds another"),
                );
            }
            return Ok(news);
        }
        if let Some((expected, seen)) = untiled(&held.manifest) {
            return fail("segments-tile", format!("{log}: {expected}"), seen);
        }
        for it in before.manifest.segments() {
            let (first, last) = (it.intent.first, it.intent.last);
            let stays = held.manifest.segment_of(first) == Some(it);
            if !stays && last > trim {
                return fail(
                    "kept-until-trimmed",
                    format!("{log} keeps {first} to {last}: it is given up to {trim} only"),
                    format!("version {} does not know it", held.version),
                );
            }
        }
        if held.handed < before.handed {
            return fail(
                "handed-lies-in-the-bucket",
                format!(
                    "what of {log} was handed over, to {}, is not taken back",
                    before.handed
                ),
                format!("it is handed over to {}", held.handed),
            );
        }
        news.handed = held.handed > before.handed;
        let known: BTreeSet<_> = before.manifest.segments().map(|it| it.intent.id).collect();
        let fresh: Vec<SegmentRef> = held
            .manifest
            .segments()
            .filter(|it| !known.contains(&it.intent.id))
            .cloned()
            .collect();
        let held = held.clone();
        for it in held.manifest.dropped() {
            let key = it.intent.key(&self.root, log);
            self.dropped.entry(key).or_insert(it.at);
        }
        for segment in &fresh {
            self.checked += 1;
            news.entries
                .extend(self.stands(at, log, segment, store, false)?);
            news.segments += 1;
        }
        if news.handed {
            self.lies_in_bucket(at, log, trim, &held, store)?;
        }
        let tier = self.logs.entry(log).or_default();
        let latest = fresh.iter().map(|it| (it.intent.last, it.latest));
        tier.latest.extend(latest);
        (tier.held, tier.held_in) = (held, epoch);
        Ok(news)
    }

    /// What stands in a segment that is part of the log. What was tampered with is not looked at, unless the first tier
    /// `forgets` it and nobody has read it before.
    fn stands(
        &self,
        at: Timestamp,
        log: LogId,
        segment: &SegmentRef,
        store: &MemoryObjectStore,
        forgets: bool,
    ) -> Result<Vec<Delivery>, Box<Violation>> {
        let intent = segment.intent;
        let key = intent.key(&self.root, log);
        if let Some(could_not_know) = self.tampered.get(&key)
            && (*could_not_know || !forgets)
        {
            return Ok(Vec::new());
        }
        let wrong = |seen: String| {
            let (first, last) = (intent.first, intent.last);
            let expected = format!("`{key}` holds {first} to {last} of {log}, as it was committed");
            boxed(at, "segments-stand", expected, seen)
        };
        let bytes = store.objects().find(|(it, _)| **it == key);
        let Some((_, bytes)) = bytes else {
            return Err(wrong("it is not there".to_owned()));
        };
        if !segment.is(bytes) {
            return Err(wrong(format!(
                "{} bytes are there that are not those",
                bytes.len()
            )));
        }
        let opened = Segment::verify(bytes).map_err(|error| wrong(error.to_string()))?;
        let info = opened.info();
        if (info.first, info.last, info.records) != (intent.first, intent.last, segment.records) {
            let (first, last, records) = (info.first, info.last, info.records);
            return Err(wrong(format!(
                "it holds {records} records from {first} to {last}"
            )));
        }
        if let Some((whose, epoch)) = self.putters.get(&key)
            && (*whose, *epoch) != (log, intent.epoch)
        {
            return Err(boxed(
                at,
                "segments-of-their-epoch",
                format!(
                    "`{key}` was put by the offloader of {log} in {}",
                    intent.epoch
                ),
                format!("it was put by that of {whose} in {epoch}"),
            ));
        }
        Ok(entries(&opened, bytes))
    }

    /// What was handed over lies in the bucket, and whoever has nothing but the bucket finds it.
    fn lies_in_bucket(
        &self,
        at: Timestamp,
        log: LogId,
        trim: Lsn,
        held: &Held,
        store: &MemoryObjectStore,
    ) -> Result<(), Box<Violation>> {
        let wrong = |seen: String| {
            let expected = format!(
                "what of {log} was handed over, to {}, lies in the bucket",
                held.handed
            );
            boxed(at, "handed-lies-in-the-bucket", expected, seen)
        };
        if held.manifest.last().max(Some(trim)) < Some(held.handed) {
            return Err(wrong(format!(
                "its segments end at {:?}",
                held.manifest.last()
            )));
        }
        let prefix = log_prefix(&self.root, log);
        let copies =
            store
                .objects()
                .filter_map(|(key, bytes)| match ObjectName::read(key, &prefix)? {
                    ObjectName::Copy { .. } => Manifest::decode(bytes).ok(),
                    ObjectName::Segment(_) | ObjectName::Marker { .. } => None,
                });
        let covers = copies.filter_map(|it| it.last()).max();
        if covers.max(Some(trim)) < Some(held.handed) {
            return Err(wrong(format!(
                "no copy of the manifest in the bucket knows more than to {covers:?}"
            )));
        }
        let marker = held.manifest.marker_key(&self.root, log);
        if !store.objects().any(|(key, _)| Some(key) == marker.as_ref()) {
            return Err(wrong(format!(
                "nothing shows that it is the right one: there is no {marker:?}"
            )));
        }
        Ok(())
    }

    /// A node forgets what it held of a log up to `upto`: it has to be in the bucket, whole.
    pub fn on_forgotten(
        &mut self,
        at: Timestamp,
        log: LogId,
        upto: Lsn,
        trim: Lsn,
        store: &MemoryObjectStore,
    ) -> Option<Violation> {
        self.checked += 1;
        let tier = self.logs.entry(log).or_default();
        tier.trim = tier.trim.max(trim);
        let wrong = |seen: String| {
            let expected = format!("what nodes forget of {log}, to {upto}, lies in the bucket");
            Some(violation(
                at,
                "forgotten-lies-in-the-bucket",
                expected,
                seen,
            ))
        };
        if upto > tier.held.handed {
            return wrong(format!("it was handed over to {}", tier.held.handed));
        }
        let trim = tier.trim;
        let segments = tier.held.manifest.segments();
        let needed: Vec<SegmentRef> = segments
            .filter(|it| it.intent.first <= upto && it.intent.last > trim)
            .cloned()
            .collect();
        for segment in &needed {
            if let Err(missing) = self.stands(at, log, segment, store, true) {
                return wrong(missing.seen);
            }
        }
        None
    }

    /// A log is about to give up what lies beyond its limits.
    pub fn on_kept_no_longer(&mut self, at: Timestamp, it: &GivenUp<'_>) -> Option<Violation> {
        let GivenUp {
            log,
            upto,
            held,
            newer,
            bytes,
            oldest,
        } = *it;
        self.checked += 1;
        let tier = self.logs.get(&log)?;
        // Of what is still there: what was given up before, by hand, may be younger.
        let segments = held.into_iter().flat_map(|it| it.manifest.segments());
        let given_up = segments.filter(|it| it.intent.last <= upto);
        let latest = given_up.map(|it| it.latest).max();
        let behind = tier
            .held
            .manifest
            .segments()
            .filter(|it| it.intent.first > upto);
        let kept = behind.map(|it| it.payload_bytes).sum::<u64>() + newer;
        // It may be asked for once more.
        let latest = latest.or(tier.latest.get(&upto).copied());
        let is_too_old = latest.is_some_and(|latest| oldest.is_some_and(|oldest| latest < oldest));
        (kept < bytes && !is_too_old).then(|| {
            violation(
                at,
                "retention-keeps-enough",
                format!("{log} keeps its newest {bytes} bytes, but for what is older than {oldest:?}"),
                format!("it gives up all to {upto}, the latest of {latest:?}, with {kept} bytes at most behind that"),
            )
        })
    }

    /// Whether all that is released of a log lies in the bucket, with a copy of the manifest and a marker, and nothing
    /// else does.
    #[must_use]
    pub fn is_settled(&self, log: LogId, released: Lsn, store: &MemoryObjectStore) -> bool {
        let Some(tier) = self.logs.get(&log) else {
            return false;
        };
        let manifest = &tier.held.manifest;
        let is_all = manifest.next().unwrap_or(tier.trim.successor()) > released;
        if !is_all || manifest.intents().len() + manifest.dropped().len() > 0 {
            return false;
        }
        let prefix = log_prefix(&self.root, log);
        let needed: BTreeSet<ObjectKey> = manifest
            .segments()
            .map(|it| it.intent.key(&self.root, log))
            .collect();
        let (mut copies, mut markers) = (0, 0);
        for (key, bytes) in store.objects().filter(|(key, _)| key.is_below(&prefix)) {
            match ObjectName::read(key, &prefix) {
                Some(ObjectName::Copy { .. }) => {
                    copies += 1;
                    if Manifest::decode(bytes).as_ref() != Ok(manifest) {
                        return false;
                    }
                }
                Some(ObjectName::Marker { .. }) => {
                    markers += 1;
                    if bytes.is_empty()
                        || Some(key) != manifest.marker_key(&self.root, log).as_ref()
                    {
                        return false;
                    }
                }
                Some(ObjectName::Segment(_)) if !needed.contains(key) => return false,
                Some(ObjectName::Segment(_)) | None => {}
            }
        }
        (copies, markers) == (1, 1)
    }

    /// What lies in the bucket of a log, as whoever has nothing else finds it.
    ///
    /// # Errors
    /// If that is not what the log's registers say.
    pub fn read_bucket(
        &mut self,
        at: Timestamp,
        log: LogId,
        store: &MemoryObjectStore,
    ) -> Result<Vec<Delivery>, Box<Violation>> {
        self.checked += 1;
        let Some(tier) = self.logs.get(&log) else {
            return Ok(Vec::new());
        };
        let mut copy = store.clone();
        let found = rebuild(&mut copy, &self.root, log).expect("nothing is wrong with the store");
        let (held, alone) = (tier.kept(&tier.held.manifest), tier.kept(&found.manifest));
        if held != alone {
            return Err(boxed(
                at,
                "bucket-tells-all",
                format!(
                    "the bucket alone tells of the {} segments of {log} that its registers tell of",
                    held.len()
                ),
                format!("it tells of {}: {:?}", alone.len(), found.wanting),
            ));
        }
        let mut all = Vec::new();
        for segment in held {
            all.extend(self.stands(at, log, segment, store, false)?);
        }
        Ok(all)
    }

    /// Without any copy of the manifest, the segments alone tell of all that they tell of with one; but for what was put
    /// late, after the bucket came to rest: only a copy of the manifest tells that it belongs to nothing.
    ///
    /// # Errors
    /// If they do not.
    pub fn read_segments_alone(
        &mut self,
        at: Timestamp,
        log: LogId,
        store: &MemoryObjectStore,
    ) -> Result<(), Box<Violation>> {
        let Some(tier) = self.logs.get(&log) else {
            return Ok(());
        };
        if self.is_tampered(log) {
            return Ok(());
        }
        self.checked += 1;
        let mut alone = store.clone();
        let prefix = log_prefix(&self.root, log);
        let is_without = |key| match ObjectName::read(key, &prefix) {
            Some(ObjectName::Copy { .. }) => true,
            Some(ObjectName::Segment(it)) => !tier.held.manifest.knows(it.epoch, it.id),
            Some(ObjectName::Marker { .. }) | None => false,
        };
        for (key, _) in store.objects().filter(|(key, _)| is_without(key)) {
            alone.tamper(key, None);
        }
        let found = rebuild(&mut alone, &self.root, log).expect("nothing is wrong with the store");
        let (held, told) = (tier.kept(&tier.held.manifest), tier.kept(&found.manifest));
        if held != told {
            return Err(boxed(
                at,
                "bucket-tells-all",
                format!("the segments of {log} alone tell of all that its registers tell of"),
                format!("they tell of something else: {:?}", found.wanting),
            ));
        }
        Ok(())
    }

    /// Whether somebody has tampered with a segment of the log that is still part of it.
    #[must_use]
    pub fn is_tampered(&self, log: LogId) -> bool {
        let segments = self.logs.get(&log).map(|it| it.held.manifest.segments());
        let mut keys = segments
            .into_iter()
            .flatten()
            .map(|it| it.intent.key(&self.root, log));
        keys.any(|key| self.tampered.contains_key(&key))
    }
}

fn boxed(at: Timestamp, property: &str, expected: String, seen: String) -> Box<Violation> {
    Box::new(violation(at, property, expected, seen))
}

/// Where a manifest does not tile: what was expected, and what is.
fn untiled(manifest: &Manifest) -> Option<(String, String)> {
    let segments = manifest.segments().map(|it| it.intent);
    let all = segments.chain(manifest.intents().copied());
    let mut next = None;
    let mut ids = BTreeSet::new();
    for intent in all {
        let (first, last) = (intent.first, intent.last);
        if next.is_some_and(|next| next != first) || last < first {
            let expected = format!("a range begins where the one before it ends, at {next:?}");
            return Some((expected, format!("the next is {first} to {last}")));
        }
        if !ids.insert(intent.id) {
            let expected = "an upload is known once".to_owned();
            let seen = format!("upload {}, {first} to {last}, twice", intent.id.0);
            return Some((expected, seen));
        }
        next = Some(last.successor());
    }
    let dropped = manifest.dropped().find(|it| ids.contains(&it.intent.id));
    dropped.map(|it| {
        let expected = "what is to be deleted is part of nothing".to_owned();
        (expected, format!("upload {} is", it.intent.id.0))
    })
}

/// What stands in a segment that is in order.
fn entries(segment: &Segment, file: &[u8]) -> Vec<Delivery> {
    let blocks = segment.read(file).map(|it| it.expect("it was verified"));
    blocks.flatten().collect()
}
