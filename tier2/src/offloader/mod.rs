//! The offloader: moves the history of one log to the second tier, as a machine that is stepped.
//!
//! It lives where the log is sequenced, for one epoch. It is given what was released, and puts out calls to the
//! object store and changes of the [manifest](crate::manifest). It can be killed at any moment: what it holds in
//! memory it can make again, and what it put and did not commit the next one gives up.
//!
//! ```text
//!   released records -> filling -> announced -> put -> compared -> committed -> handed over
//!                       a writer    an intent    the object store    a segment    the first tier may forget
//! ```
//!
//! # What it owes
//!
//! - An object's key has the epoch and the number of its intent: no two uploads share one, so that what is known by
//!   a key is known by the bytes that this offloader put under it, or by none.
//! - An answer that is lost proves nothing, and neither does "there is one already": what stands there is read
//!   back and compared, byte by byte, before it is committed. It is only where the marker of this history stands:
//!   not in another store that has taken the place of the one that history was moved to.
//! - Only one change of the manifest is on its way. What is to change is worked out anew each time, from what the
//!   register holds then and from what has happened: so a change that was lost is made again, or is not needed.
//! - What is handed over to the second tier is read there once more before, as a whole, where the marker stands.
//! - Nothing of a later epoch is garbage to it, and nothing that the manifest knows of.
//!
//! What keeps it from harming a log that another node has taken over is the register alone: it takes no change
//! of a deposed offloader.

mod care;
mod copies;
mod hand;
mod marker;
mod retry;
mod upload;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use hstore_core::ports::object_store::{ObjectAnswer, ObjectAsk, ObjectError, ObjectKey};
use hstore_core::{Epoch, LogId, Lsn, Timestamp, WallTime, planted};
use hstore_replicator::reader::{Delivery, GapKind};

use crate::manifest::{Anomaly, Intent, IntentId, Manifest, SEGMENTS_MAX};
use crate::policy::{Policy, trim_upto};
use crate::segment::{NotInOrder, SegmentWriter};

use care::Care;
use copies::Copies;
use hand::Hand;
use retry::Retry;
use upload::{Stage, Upload};

/// What the register holds of a log's second tier.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// The manifest.
    pub manifest: Manifest,
    /// Up to here the first tier may forget what it holds.
    pub handed: Lsn,
    /// Counts the changes of both.
    pub version: u64,
}

/// What an offloader puts out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Have the register hold this instead of what it holds, if that is still of the version before and the
    /// epoch is still the newest. Answered by [`Offloader::on_held`], or by the end of the offloader.
    Change(Held),
    /// Ask the object store. Answered by [`Offloader::on_answer`].
    Ask {
        /// Names the call.
        token: u64,
        /// What is asked.
        ask: ObjectAsk,
    },
    /// Give the log up to here: it is kept no longer.
    Trim(Lsn),
    /// Something that people may want to know.
    Event(Event),
}

/// What happened. Nothing depends on anyone's looking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The register holds this version.
    Held(u64),
    /// A segment is part of the log.
    Committed(Intent),
    /// What was put under an upload's key is not what was sent; it is uploaded anew.
    Spoiled(Intent),
    /// A segment is not as it was committed, or is again.
    Anomaly(Intent, Option<Anomaly>),
    /// The manifest has as many segments as it can have: nothing more is moved until some are given up.
    Full,
    /// So many segments are not in the store, and neither is the marker of the history.
    Elsewhere(usize),
    /// A call failed; it is made again.
    Failed(ObjectError),
    /// An object that is part of nothing was deleted.
    Collected(ObjectKey),
    /// What was read of the first tier cannot be moved; it is read again some time later.
    Unreadable(Unreadable),
}

/// Why what was read of the first tier is not moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not what stands there, or cannot be written.
    #[error(transparent)]
    NotInOrder(#[from] NotInOrder),
    /// It is told as lost. It may come back with a node that is down: so it is not moved as lost at once.
    #[error("what stands from {0} on is told as lost; it is moved as lost if that stays so")]
    Lost(Lsn),
}

/// Why a call was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Job {
    /// Put an upload, or read it back.
    Upload(IntentId),
    /// Put or compare a copy of the manifest, list or delete old ones.
    Copies,
    /// Look for garbage, delete it, look after segments.
    Care,
    /// Put a marker.
    Mark,
    /// Read what is to be handed over.
    Hand,
}

/// The offloader of one log in one epoch.
#[derive(Clone, Debug)]
pub struct Offloader {
    log: LogId,
    epoch: Epoch,
    root: ObjectKey,
    policy: Policy,
    held: Held,
    /// The version from which on it has held this manifest.
    since: u64,
    /// The change that is on its way.
    changing: Option<Held>,
    /// Up to here everything was given up.
    trim: Lsn,
    /// Up to here records may be moved.
    released: Lsn,
    filling: Option<Filling>,
    /// Of what could not be moved.
    reading: Retry,
    /// From here on records were told as lost, and since when.
    lost: Option<(Lsn, Timestamp)>,
    /// In the order of their ranges.
    uploads: VecDeque<Upload>,
    /// Dropped uploads whose objects are deleted.
    deleted: BTreeSet<IntentId>,
    /// Segments of which is known that they are not in order, or are again.
    seen: BTreeMap<IntentId, Option<Anomaly>>,
    copies: Copies,
    care: Care,
    hand: Hand,
    calls: Calls,
    /// What was asked last to be given up, and when.
    asked_trim: (Lsn, Timestamp),
}

/// A segment that is being filled.
#[derive(Clone, Debug)]
struct Filling {
    writer: SegmentWriter,
    /// Its first record was taken then, by the offloader's clock.
    since: Timestamp,
}

/// Calls to the object store, and how fast they may follow one another.
#[derive(Clone, Debug, Default)]
struct Calls {
    next: u64,
    open: BTreeMap<u64, Job>,
    /// Bytes may move again from here on.
    free_at: Timestamp,
}

impl Calls {
    fn ask(&mut self, job: Job, ask: ObjectAsk, out: &mut Vec<Effect>) {
        let token = self.next;
        self.next += 1;
        self.open.insert(token, job);
        out.push(Effect::Ask { token, ask });
    }

    /// Takes time for so many bytes.
    fn charge(&mut self, now: Timestamp, bytes: u64, per_second: u64) {
        let takes = Duration::from_secs_f64(bytes as f64 / per_second.max(1) as f64);
        self.free_at = self.free_at.max(now) + takes;
    }
}

impl Offloader {
    /// The offloader of `log` in `epoch`, where the register holds `held` when the epoch begins. There is one in
    /// each epoch.
    ///
    /// # Panics
    /// If there was another in this epoch.
    #[must_use]
    pub fn new(log: LogId, epoch: Epoch, root: ObjectKey, policy: Policy, held: Held) -> Self {
        let is_older = held.manifest.intents().all(|it| it.epoch < epoch);
        assert!(is_older, "one offloader an epoch");
        let copies = if planted!("manifest-not-reuploaded") {
            Copies::of(&held)
        } else {
            Copies::default()
        };
        Self {
            log,
            epoch,
            root,
            policy,
            since: held.version,
            held,
            changing: None,
            trim: Lsn::MIN,
            released: Lsn::MIN,
            filling: None,
            reading: Retry::default(),
            lost: None,
            uploads: VecDeque::new(),
            deleted: BTreeSet::new(),
            seen: BTreeMap::new(),
            copies,
            care: Care::default(),
            hand: Hand::default(),
            calls: Calls::default(),
            asked_trim: (Lsn::MIN, Timestamp::ZERO),
        }
    }

    /// What the register holds, as far as is known here.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// The range of the log that it wants to read next: from, and to, the second not included.
    #[must_use]
    pub fn wants(&self, now: Timestamp) -> Option<(Lsn, Lsn)> {
        if self.reading.not_before > now {
            return None;
        }
        self.wanted()
    }

    /// The same, once it reads again.
    fn wanted(&self) -> Option<(Lsn, Lsn)> {
        let manifest = &self.held.manifest;
        let is_behind = manifest.next().is_some_and(|next| next <= self.trim);
        // What another offloader has announced is given up first: its range is read again.
        let is_foreign = manifest.intents().any(|it| it.epoch != self.epoch);
        if is_behind || is_foreign || self.uploads.len() >= self.policy.uploads {
            return None;
        }
        let from = self.next();
        let until = self.released.successor();
        (from < until && self.released > Lsn::MIN).then_some((from, until))
    }

    /// The next LSN that is not read yet.
    fn next(&self) -> Lsn {
        let filling = self.filling.as_ref().map(|it| it.writer.next());
        let waiting = self.uploads.back().map(|it| it.last().successor());
        let after = filling.or(waiting).or(self.held.manifest.next());
        after.unwrap_or_else(|| self.trim.max(Lsn::before(Epoch(1))).successor())
    }

    /// What was read of the first tier.
    pub fn on_read(&mut self, deliveries: &[Delivery], now: Timestamp, out: &mut Vec<Effect>) {
        for delivery in deliveries {
            if self.uploads.len() >= self.policy.uploads {
                return;
            }
            let first = self.next();
            // What was read before is not taken again.
            if delivery.first() != first {
                continue;
            }
            if let Delivery::Gap {
                kind: GapKind::DataLoss,
                ..
            } = delivery
                && !self.stays_lost(first, now)
            {
                self.reading.fail(now, self.policy.backoff);
                let lost = Unreadable::Lost(first);
                out.push(Effect::Event(Event::Unreadable(lost)));
                return;
            }
            let filling = self.filling.get_or_insert_with(|| Filling {
                writer: SegmentWriter::new(self.log, first, self.policy.writer),
                since: now,
            });
            match filling.writer.push(delivery) {
                Ok(()) => self.reading = Retry::default(),
                Err(NotInOrder::Trimmed(upto)) => {
                    self.trim = self.trim.max(upto);
                    self.forget_trimmed();
                    return;
                }
                Err(error) => {
                    self.reading.fail(now, self.policy.backoff);
                    out.push(Effect::Event(Event::Unreadable(error.into())));
                    return;
                }
            }
            if filling.writer.raw_bytes() >= self.policy.segment_bytes {
                self.cut();
            }
        }
    }

    /// Whether what is told as lost at `first` has been for so long that nobody is waited for any more.
    fn stays_lost(&mut self, first: Lsn, now: Timestamp) -> bool {
        match self.lost {
            Some((lsn, since)) if lsn == first => since + self.policy.grace <= now,
            _ => {
                self.lost = Some((first, now));
                false
            }
        }
    }

    /// Ends the segment that is being filled.
    fn cut(&mut self) {
        if let Some(finished) = self.filling.take().and_then(|it| it.writer.finish()) {
            self.uploads.push_back(Upload::new(finished));
        }
    }

    /// Up to where the log is released and given up, by whoever sequences it.
    pub fn on_bounds(&mut self, released: Lsn, trim: Lsn) {
        self.released = self.released.max(released);
        self.trim = self.trim.max(trim);
        self.forget_trimmed();
    }

    /// Forgets what was read and was given up since.
    fn forget_trimmed(&mut self) {
        if self
            .filling
            .as_ref()
            .is_some_and(|it| it.writer.next() <= self.trim.successor())
        {
            self.filling = None;
        }
        let trim = self.trim;
        while self
            .uploads
            .front()
            .is_some_and(|it| it.last() <= trim && it.intent.is_none())
        {
            self.uploads.pop_front();
        }
    }

    /// The register holds this now.
    pub fn on_held(&mut self, held: Held, out: &mut Vec<Effect>) {
        self.changing = None;
        self.copies.is_newer();
        let before = std::mem::replace(&mut self.held, held);
        if self.held.manifest.marker() > before.manifest.marker() {
            self.care.wants_marker = false;
            self.put_marker(out);
        }
        if self.held.manifest != before.manifest {
            self.since = self.held.version;
        }
        out.push(Effect::Event(Event::Held(self.held.version)));
        let manifest = &self.held.manifest;
        let segments: BTreeSet<IntentId> = manifest.segments().map(|it| it.intent.id).collect();
        let newest = before.manifest.segments().last().map(|it| it.intent.id);
        let new = manifest.segments().filter(|it| Some(it.intent.id) > newest);
        out.extend(new.map(|it| Effect::Event(Event::Committed(it.intent))));
        let is_full = segments.len() >= SEGMENTS_MAX;
        if is_full && before.manifest.segments().len() < SEGMENTS_MAX {
            out.push(Effect::Event(Event::Full));
        }
        self.uploads.retain_mut(|upload| {
            match upload.intent {
                Some(intent) if segments.contains(&intent.id) => return false,
                Some(intent) if manifest.intents().any(|it| *it == intent) => {}
                // It was given up, or not announced before.
                _ => {
                    let mine = |it: &&Intent| it.epoch == self.epoch && it.first == upload.first();
                    let intent = manifest.intents().find(mine).copied();
                    upload.announced(intent);
                }
            }
            upload.intent.is_some() || upload.last() > self.trim
        });
        let manifest = &self.held.manifest;
        self.deleted
            .retain(|id| manifest.dropped().any(|it| it.intent.id == *id));
        self.seen
            .retain(|id, anomaly| segments.contains(id) && manifest.anomaly(*id) != *anomaly);
    }

    /// The object store has answered a call.
    pub fn on_answer(
        &mut self,
        token: u64,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        wall: WallTime,
        out: &mut Vec<Effect>,
    ) {
        let Some(job) = self.calls.open.remove(&token) else {
            return;
        };
        match job {
            Job::Upload(id) => self.on_upload(id, answer, now, out),
            Job::Copies => self.on_copies(answer, now, out),
            Job::Care => self.on_care(answer, now, wall, out),
            Job::Mark => self.on_marked(answer, out),
            Job::Hand => self.on_hand(answer, now, out),
        }
    }

    /// Does what is due. To be called after every other input, and at the [deadline](Offloader::deadline).
    pub fn on_time(&mut self, now: Timestamp, wall: WallTime, out: &mut Vec<Effect>) {
        let is_due = |it: &Filling| it.since + self.policy.segment_age <= now;
        if self.filling.as_ref().is_some_and(is_due) && self.uploads.len() < self.policy.uploads {
            self.cut();
        }
        self.reading.is_over(now);
        if self.held.manifest.born().is_some() {
            // First: it makes room, and uploads would leave no bytes for it.
            self.go_on_with_handing(now, wall, out);
            self.go_on_with_uploads(now, out);
            self.go_on_with_copies(now, out);
            self.go_on_with_care(now, wall, out);
        }
        if self.changing.is_none() && self.may_change(wall) {
            let next = self.change(wall);
            let is_new = next.manifest != self.held.manifest || next.handed != self.held.handed;
            if is_new || self.copies.is_spoiled() {
                self.changing = Some(next.clone());
                out.push(Effect::Change(next));
            }
        }
        let newer = self.newer(&self.held.manifest);
        if let Some(upto) = trim_upto(&self.held.manifest, &self.policy, newer, wall)
            && upto > self.trim
        {
            // It may have been lost on its way.
            let (asked, at) = self.asked_trim;
            if upto > asked || at + self.policy.care_interval <= now {
                self.asked_trim = (upto, now);
                out.push(Effect::Trim(upto));
            }
        }
    }

    /// When [`Offloader::on_time`] has something to do next.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        let filling = self
            .filling
            .as_ref()
            .map(|it| it.since + self.policy.segment_age);
        let filling = filling.filter(|_| self.uploads.len() < self.policy.uploads);
        if self.held.manifest.born().is_none() {
            // The register is asked to begin the history; nothing else is done before.
            return filling;
        }
        let uploads = self
            .uploads
            .iter()
            .filter_map(|it| it.due_at(self.calls.free_at));
        let others = [
            filling,
            self.reading.rests_until(),
            self.copies.deadline(self.since),
            self.hand_deadline(),
            self.care.deadline(),
        ];
        uploads.chain(others.into_iter().flatten()).min()
    }

    /// Bytes of payload that are not in the second tier yet, by such a manifest, as far as is known here. What is
    /// in it counts there.
    fn newer(&self, manifest: &Manifest) -> u64 {
        let last = manifest.last();
        let uploads = self.uploads.iter().filter(|it| Some(it.last()) > last);
        let uploads = uploads.map(|it| it.finished.info.payload_bytes);
        let filling = self
            .filling
            .as_ref()
            .map_or(0, |it| it.writer.payload_bytes());
        uploads.sum::<u64>() + filling
    }

    /// Whether the register may have to hold something else. Where it need not, that is found out cheaply.
    fn may_change(&self, wall: WallTime) -> bool {
        let manifest = &self.held.manifest;
        let first = manifest.segments().next().map(|it| it.intent.last);
        let first = first.or(manifest.intents().next().map(|it| it.last));
        let is_dropped = first.or(manifest.next()).is_some_and(|it| it <= self.trim);
        let is_ready = |it: &Upload| {
            it.intent.is_none() || matches!(it.stage, Stage::Verified | Stage::Spoiled)
        };
        is_dropped
            || manifest.born().is_none()
            || self.copies.is_spoiled()
            || self.care.wants_marker
            || manifest.intents().any(|it| it.epoch != self.epoch)
            || self.uploads.iter().any(is_ready)
            || !self.deleted.is_empty()
            || !self.seen.is_empty()
            || manifest.dropped().any(|it| it.at > wall)
            || planted!("local-deleted-early")
            || self.handed(manifest, wall) > self.held.handed
    }

    /// What the register is to hold, by all that is known here.
    fn change(&self, wall: WallTime) -> Held {
        let mut next = self.held.clone();
        let manifest = &mut next.manifest;
        manifest.begin_history(wall);
        // What a deposed offloader has announced it cannot commit any more.
        let foreign = manifest.intents().find(|it| it.epoch != self.epoch);
        if let Some(Intent { id, .. }) = foreign.copied() {
            manifest.abort(id, wall);
        }
        for upload in &self.uploads {
            match (upload.intent, &upload.stage) {
                (Some(intent), Stage::Verified) => {
                    if manifest.commit(upload.segment(intent)).is_err() {
                        break;
                    }
                }
                (Some(intent), Stage::Spoiled) => manifest.abort(intent.id, wall),
                _ => break,
            }
        }
        manifest.set_right(wall);
        manifest.drop_upto(self.trim, wall);
        for id in &self.deleted {
            manifest.forget(*id);
        }
        for (id, anomaly) in &self.seen {
            manifest.mark(*id, *anomaly);
        }
        if self.care.wants_marker {
            manifest.renew_marker();
        }
        for upload in &self.uploads {
            // In order: what is begun anew comes before what stands behind it. A manifest with nothing left takes
            // whatever is first for its beginning.
            let is_spoiled = upload.stage == Stage::Spoiled;
            let (first, last) = (upload.first(), upload.last());
            let is_new = upload.intent.is_none();
            if is_spoiled || is_new && manifest.begin(self.epoch, first, last).is_err() {
                break;
            }
        }
        next.handed = self.handed(&next.manifest, wall);
        if planted!("local-deleted-early") {
            let put = self.uploads.iter().filter(|it| it.is_put());
            let put = put.map(Upload::last).max();
            next.handed = next.handed.max(put.unwrap_or(Lsn::MIN));
        }
        next.version += 1;
        next
    }
}
