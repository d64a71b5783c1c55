//! What lies in the object store is looked after: garbage is deleted, segments are read and compared.
//!
//! One round after the other, each of one call at a time: all that lies below the log's keys is listed; what was
//! dropped, what belongs to nothing and what is out of date is deleted, if it is old enough; one segment is read as
//! a whole, the next one in the next round, and every other round one that is known to be wrong, if there is any: it
//! may have been mended. That it is not there is believed where the marker is, before and after; that it is not as it
//! was written, where it is read so twice: bytes may be damaged on their way.

use std::collections::{BTreeSet, VecDeque};

use hstore_core::ports::object_store::{
    Listed, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey,
};
use hstore_core::{Epoch, Lsn, Timestamp, WallTime, planted};

use super::retry::Retry;
use super::upload::{read, whole};
use super::{Effect, Event, Job, Offloader};
use crate::manifest::{
    Anomaly, Intent, IntentId, ObjectName, SegmentRef, history_prefix, log_prefix,
};
use crate::policy::is_older;

/// So many segments that somebody could not read wait for being looked at.
const SUSPECTS_MAX: usize = 64;

/// How far the round is.
#[derive(Clone, Debug)]
pub(super) struct Care {
    stage: Stage,
    /// The last LSN of the segment that was read last.
    looked: Lsn,
    /// The same, of those that are known to be wrong, and whether the last was one of them.
    looked_again: Lsn,
    was_again: bool,
    /// Segments that somebody could not read: they are read next.
    suspects: VecDeque<IntentId>,
    /// The copy of the manifest that the list has to have.
    expected: Option<u64>,
    has_copy: bool,
    has_marker: bool,
    /// Of what keeps the marker from being seen, without which nothing is handed over.
    retry: Retry,
    /// The register is to number another marker, which is put then.
    pub(super) wants_marker: bool,
    /// The segments that the list should have, but for those that it had already, and how many these were at first.
    unlisted: BTreeSet<(Epoch, IntentId)>,
    segments: usize,
}

#[derive(Clone, Debug)]
enum Stage {
    /// The next round begins then.
    Idle(Timestamp),
    /// The next page of the list is to be asked for, after this key. What is to be deleted so far.
    ToList(Option<ObjectKey>, VecDeque<Waste>),
    Listing(VecDeque<Waste>),
    /// The first is to be deleted.
    ToDelete(VecDeque<Waste>),
    Deleting(VecDeque<Waste>),
    Looking(SegmentRef, Sight),
    /// It is not there; the marker is looked for.
    Confirming(SegmentRef),
}

/// What was seen before a segment is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sight {
    Nothing,
    /// It was not there, and the marker was.
    Marker,
    /// It was not as it was written.
    Damage,
}

/// An object that is to be deleted.
#[derive(Clone, Debug)]
struct Waste {
    key: ObjectKey,
    /// It was a segment, which the manifest still knows.
    dropped: Option<IntentId>,
}

impl Default for Care {
    fn default() -> Self {
        Self {
            stage: Stage::Idle(Timestamp::ZERO),
            looked: Lsn::MIN,
            looked_again: Lsn::MIN,
            was_again: false,
            suspects: VecDeque::new(),
            expected: None,
            has_copy: false,
            has_marker: false,
            retry: Retry::default(),
            wants_marker: false,
            unlisted: BTreeSet::new(),
            segments: 0,
        }
    }
}

impl Care {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Idle(at) => Some(at),
            Stage::ToList(..) | Stage::ToDelete(_) => Some(Timestamp::ZERO),
            Stage::Listing(_) | Stage::Deleting(_) | Stage::Looking(..) | Stage::Confirming(_) => {
                None
            }
        }
    }
}

impl Offloader {
    pub(super) fn go_on_with_care(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        out: &mut Vec<Effect>,
    ) {
        if self.care.deadline().is_none_or(|due| due > now) {
            return;
        }
        let idle = self.idle(now);
        match std::mem::replace(&mut self.care.stage, idle) {
            Stage::Idle(_) => {
                self.care.expected = self.copies.newest();
                (self.care.has_marker, self.care.has_copy) = (false, false);
                // Of those that nodes have forgotten, if there are any: what was put just now says less.
                let manifest = &self.held.manifest;
                let sound = || {
                    let segments = manifest.segments().map(|it| it.intent);
                    segments.filter(|it| manifest.anomaly(it.id).is_none())
                };
                let handed = sound().take_while(|it| it.last <= self.held.handed);
                let counted = match handed.count() {
                    0 => usize::MAX,
                    handed => handed,
                };
                let unlisted = sound().take(counted).map(|it| (it.epoch, it.id));
                self.care.unlisted = unlisted.collect();
                self.care.segments = self.care.unlisted.len();
                self.ask_for_list(None, self.dropped(wall), out);
            }
            Stage::ToList(after, waste) => self.ask_for_list(after, waste, out),
            Stage::ToDelete(waste) => match waste.front() {
                Some(first) => {
                    let key = first.key.clone();
                    self.calls.ask(Job::Care, ObjectAsk::Delete { key }, out);
                    self.care.stage = Stage::Deleting(waste);
                }
                None => self.look(now, out),
            },
            waiting => self.care.stage = waiting,
        }
    }

    /// Until the next round, which begins at once if somebody waits for it.
    fn idle(&self, now: Timestamp) -> Stage {
        if !self.care.suspects.is_empty() {
            return Stage::Idle(self.soonest().max(now));
        }
        let next = now + self.policy.care_interval;
        let retry = self.care.retry.rests_until().filter(|at| *at > now);
        Stage::Idle(retry.map_or(next, |at| at.min(next)))
    }

    /// The next round begins no sooner, whoever waits for it: not as long as nobody knows whether this is the store,
    /// and not faster than bytes may be moved.
    fn soonest(&self) -> Timestamp {
        self.care.retry.not_before.max(self.calls.free_at)
    }

    /// All of this history lies below it, and nothing else is looked at.
    fn prefix(&self) -> ObjectKey {
        let born = self.held.manifest.born().unwrap_or_default();
        history_prefix(&self.root, self.log, born)
    }

    fn ask_for_list(
        &mut self,
        after: Option<ObjectKey>,
        waste: VecDeque<Waste>,
        out: &mut Vec<Effect>,
    ) {
        let prefix = self.prefix();
        self.calls
            .ask(Job::Care, ObjectAsk::List { prefix, after }, out);
        self.care.stage = Stage::Listing(waste);
    }

    /// Uploads that were dropped so long ago that nobody reads them any more.
    fn dropped(&self, wall: WallTime) -> VecDeque<Waste> {
        let dropped = self.held.manifest.dropped();
        let old =
            dropped.filter(|it| self.is_old(it.at, wall) && !self.deleted.contains(&it.intent.id));
        let waste = old.map(|it| Waste {
            key: it.intent.key(&self.root, self.log),
            dropped: Some(it.intent.id),
        });
        waste.collect()
    }

    fn is_old(&self, at: WallTime, wall: WallTime) -> bool {
        is_older(at, self.policy.grace, wall)
    }

    /// The epoch and the number of the upload that a key names, if it names one.
    fn segment_of(&self, key: &ObjectKey) -> Option<(Epoch, IntentId)> {
        match ObjectName::read(key, &log_prefix(&self.root, self.log))? {
            ObjectName::Segment(it) => Some((it.epoch, it.id)),
            ObjectName::Copy { .. } | ObjectName::Marker { .. } => None,
        }
    }

    /// Whether nobody needs an object, and nobody will.
    fn is_waste(&self, listed: &Listed, wall: WallTime) -> bool {
        let name = ObjectName::read(&listed.key, &log_prefix(&self.root, self.log));
        let is_unneeded = match name {
            // Only who sequences a log commits: of the epochs before, nothing more is, and of its own epoch the
            // offloader knows all that can be. A put may have come late, after what it put was dropped.
            Some(ObjectName::Segment(Intent { epoch, id, .. })) => {
                let manifest = &self.held.manifest;
                if planted!("gc-removes-fence") {
                    !manifest.segments().any(|it| it.intent.id == id)
                } else {
                    epoch <= self.epoch && !manifest.knows(epoch, id)
                }
            }
            Some(ObjectName::Copy { epoch, version, .. }) => {
                let newest = self.copies.newest();
                newest.is_some_and(|newest| (epoch, version) < (self.epoch, newest))
            }
            Some(ObjectName::Marker { number, .. }) => Some(number) < self.held.manifest.marker(),
            // Somebody else's.
            None => false,
        };
        is_unneeded && self.is_old(listed.put_at, wall)
    }

    pub(super) fn on_care(
        &mut self,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        wall: WallTime,
        out: &mut Vec<Effect>,
    ) {
        let idle = self.idle(now);
        let stage = std::mem::replace(&mut self.care.stage, idle);
        let answer = match stage {
            Stage::Looking(..) => read(answer),
            _ => answer,
        };
        match (stage, answer) {
            (Stage::Listing(mut waste), Ok(ObjectAnswer::Listed { objects, more })) => {
                let copy = self.care.expected.map(|version| self.copy_key(version));
                let has_copy = objects.iter().any(|it| Some(&it.key) == copy.as_ref());
                let has_marker = objects.iter().any(|it| self.is_marker(it));
                for it in &objects {
                    if let Some((epoch, id)) = self.segment_of(&it.key) {
                        self.care.unlisted.remove(&(epoch, id));
                    }
                }
                self.care.has_copy |= has_copy;
                self.care.has_marker |= has_marker;
                let found = objects.iter().filter(|it| self.is_waste(it, wall));
                waste.extend(found.map(|it| Waste {
                    key: it.key.clone(),
                    dropped: None,
                }));
                match objects.last() {
                    Some(last) if more => {
                        self.care.stage = Stage::ToList(Some(last.key.clone()), waste);
                    }
                    _ => self.on_list_end(waste, now, out),
                }
            }
            (Stage::Deleting(mut waste), Ok(_)) => {
                if let Some(Waste { key, dropped }) = waste.pop_front() {
                    self.deleted.extend(dropped);
                    out.push(Effect::Event(Event::Collected(key)));
                }
                self.care.stage = Stage::ToDelete(waste);
            }
            // What cannot be deleted keeps nothing else from it; the next round tries again.
            (Stage::Deleting(mut waste), Err(error)) => {
                waste.pop_front();
                self.care.stage = Stage::ToDelete(waste);
                out.push(Effect::Event(Event::Failed(error)));
            }
            (Stage::Looking(segment, sight), Ok(ObjectAnswer::Got(bytes))) => {
                let per_second = self.policy.bytes_per_second;
                self.calls.charge(now, bytes.len() as u64, per_second);
                match (segment.is(&bytes), sight) {
                    (true, _) => self.saw(&segment, None, out),
                    (false, Sight::Damage) => self.saw(&segment, Some(Anomaly::Damaged), out),
                    (false, _) => self.look_at(segment, Sight::Damage, out),
                }
            }
            (Stage::Looking(segment, sight), Err(error))
                if error.kind == ObjectErrorKind::NotFound =>
            {
                match (sight, self.look_for_marker()) {
                    (Sight::Marker, _) => self.saw(&segment, Some(Anomaly::Missing), out),
                    (_, Some(ask)) => {
                        self.calls.ask(Job::Care, ask, out);
                        self.care.stage = Stage::Confirming(segment);
                    }
                    (_, None) => {}
                }
            }
            (Stage::Confirming(segment), Ok(_)) => self.look_at(segment, Sight::Marker, out),
            (Stage::Listing(_), Err(error)) => {
                self.care.retry.fail(now, self.policy.backoff);
                self.care.stage = self.idle(now);
                out.push(Effect::Event(Event::Failed(error)));
            }
            (_, Err(error)) => out.push(Effect::Event(Event::Failed(error))),
            _ => {}
        }
    }

    /// The list is there, as a whole.
    fn on_list_end(&mut self, waste: VecDeque<Waste>, now: Timestamp, out: &mut Vec<Effect>) {
        if self.care.expected.is_some() && !self.care.has_copy {
            self.copies.is_gone();
        }
        // Where most of what should be there is not, it is another store, whatever was put since.
        let missing = self.care.unlisted.len();
        let is_elsewhere = missing * 2 > self.care.segments;
        if self.care.has_marker {
            self.care.retry = Retry::default();
        } else if !self.calls.open.values().any(|it| *it == Job::Mark)
            && self.care.retry.is_over(now)
        {
            // It is looked for again some time later, whether another is put or not.
            self.care.retry.fail(now, self.policy.backoff);
            if is_elsewhere {
                out.push(Effect::Event(Event::Elsewhere(missing)));
            } else {
                self.care.wants_marker = true;
            }
        }
        self.care.stage = Stage::ToDelete(waste);
    }

    /// Reads a segment; then the round is over. Uploads wait for it, and not the other way round.
    fn look(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        if let Some(segment) = self.next_to_look_at() {
            self.look_at(segment, Sight::Nothing, out);
        } else {
            self.care.suspects.clear();
            self.care.stage = self.idle(now);
        }
    }

    /// What somebody could not read; else one in turn, of those that are known to be wrong or of all.
    fn next_to_look_at(&mut self) -> Option<SegmentRef> {
        let manifest = &self.held.manifest;
        let suspect = self.care.suspects.pop_front();
        let suspect = suspect.and_then(|id| manifest.segments().find(|it| it.intent.id == id));
        if suspect.is_some() {
            return suspect.cloned();
        }
        let is_wrong = |it: &&SegmentRef| manifest.anomaly(it.intent.id).is_some();
        let again = behind(manifest.segments().filter(is_wrong), self.care.looked_again);
        if !self.care.was_again
            && let Some(again) = again
        {
            self.care.was_again = true;
            self.care.looked_again = again.intent.last;
            return Some(again.clone());
        }
        let next = behind(manifest.segments(), self.care.looked)?;
        self.care.was_again = false;
        self.care.looked = next.intent.last;
        Some(next.clone())
    }

    fn look_at(&mut self, segment: SegmentRef, sight: Sight, out: &mut Vec<Effect>) {
        let key = segment.intent.key(&self.root, self.log);
        let ask = whole(key, segment.file_bytes);
        self.calls.ask(Job::Care, ask, out);
        self.care.stage = Stage::Looking(segment, sight);
    }

    /// Somebody could not read a segment: it is looked at next.
    pub fn suspect(&mut self, id: IntentId) {
        let looked_at = match &self.care.stage {
            Stage::Looking(segment, _) | Stage::Confirming(segment) => Some(segment.intent.id),
            _ => None,
        };
        // What was found is about to be noted.
        let is_known = looked_at == Some(id) || self.seen.contains_key(&id);
        let soonest = self.soonest();
        let suspects = &mut self.care.suspects;
        if is_known || suspects.contains(&id) || suspects.len() >= SUSPECTS_MAX {
            return;
        }
        suspects.push_back(id);
        // Who idles looks now; who does not, after this round.
        if let Stage::Idle(at) = &mut self.care.stage {
            *at = soonest.min(*at);
        }
    }

    pub(super) fn saw(
        &mut self,
        segment: &SegmentRef,
        anomaly: Option<Anomaly>,
        out: &mut Vec<Effect>,
    ) {
        let id = segment.intent.id;
        // It may have been dropped since.
        let known = self.held.manifest.segments().any(|it| it.intent.id == id);
        if known && self.held.manifest.anomaly(id) != anomaly {
            self.seen.insert(id, anomaly);
            out.push(Effect::Event(Event::Anomaly(segment.intent, anomaly)));
        }
    }
}

/// The next segment behind there; behind the last comes the first.
fn behind<'a>(
    segments: impl Iterator<Item = &'a SegmentRef> + Clone,
    last: Lsn,
) -> Option<&'a SegmentRef> {
    let next = segments.clone().find(|it| it.intent.first > last);
    next.or_else(|| segments.clone().next())
}
