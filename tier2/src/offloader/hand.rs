//! Handing over: before the first tier may forget a segment, it is read once more, as a whole.
//!
//! That it was in order when it was committed may be long ago. What is found wrong is noted in the manifest, and
//! nothing is handed over from there on as long as it stays so.

use hstore_core::ports::object_store::{ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind};
use hstore_core::{Lsn, Timestamp, WallTime};

use super::retry::Retry;
use super::upload::whole;
use super::{Effect, Event, Job, Offloader};
use crate::manifest::{Anomaly, Manifest, SegmentRef};
use crate::policy::hand_upto;

/// What is done about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Hand {
    /// All segments up to here were read, and are in order.
    sound: Option<Lsn>,
    /// The one that is being read.
    reading: Option<SegmentRef>,
    /// An older one is there. It is looked for first.
    found: bool,
    retry: Retry,
}

impl Offloader {
    /// Up to where segments were read before they are handed over, and are in order.
    #[must_use]
    pub fn sound(&self) -> Option<Lsn> {
        self.hand.sound
    }

    /// Up to where is to be handed over, by such a manifest, once it is known to be in order.
    fn due(&self, manifest: &Manifest, wall: WallTime) -> Option<Lsn> {
        let due = hand_upto(manifest, &self.policy, self.newer(manifest), wall);
        // Whoever has nothing but the bucket finds it there.
        due.min(self.copies.covers())
    }

    /// Up to where is handed over, by such a manifest.
    pub(super) fn handed(&self, manifest: &Manifest, wall: WallTime) -> Lsn {
        let handed = self.due(manifest, wall).min(self.hand.sound);
        handed.unwrap_or(Lsn::MIN).max(self.held.handed)
    }

    /// The oldest segment that should be in order, if it is another: where that is not there, the store is not the
    /// one that history was moved to, though it shows what was put just now.
    fn anchor(&self, segment: &SegmentRef) -> Option<&SegmentRef> {
        let manifest = &self.held.manifest;
        let mut sound = manifest
            .segments()
            .filter(|it| manifest.anomaly(it.intent.id).is_none());
        sound.next().filter(|it| it.intent.id != segment.intent.id)
    }

    /// The next segment to read.
    fn next_to_hand(&self, wall: WallTime) -> Option<&SegmentRef> {
        let manifest = &self.held.manifest;
        let due = self.due(manifest, wall)?;
        let from = self.hand.sound.max(Some(self.held.handed.max(self.trim)));
        let mut segments = manifest.segments();
        let next = segments.find(|it| Some(it.intent.last) > from)?;
        (next.intent.last <= due).then_some(next)
    }

    /// When to go on with it.
    pub(super) fn hand_deadline(&self) -> Option<Timestamp> {
        self.hand.retry.rests_until()
    }

    pub(super) fn go_on_with_handing(
        &mut self,
        now: Timestamp,
        wall: WallTime,
        out: &mut Vec<Effect>,
    ) {
        if !self.hand.retry.is_over(now) || self.hand.reading.is_some() {
            return;
        }
        let Some(segment) = self.next_to_hand(wall).cloned() else {
            return;
        };
        if self.calls.free_at > now {
            self.hand.retry.not_before = self.calls.free_at;
            return;
        }
        match self.anchor(&segment).map(|it| it.intent) {
            Some(anchor) => {
                self.hand.found = false;
                let key = anchor.key(&self.root, self.log);
                let range = 0..1;
                self.calls
                    .ask(Job::Hand, ObjectAsk::Get { key, range }, out);
                self.hand.reading = Some(segment);
            }
            None => self.read_to_hand(segment, now, out),
        }
    }

    /// Reads a segment before it is handed over, as the last thing.
    fn read_to_hand(&mut self, segment: SegmentRef, now: Timestamp, out: &mut Vec<Effect>) {
        let bytes = segment.file_bytes;
        self.calls.charge(now, bytes, self.policy.bytes_per_second);
        let key = segment.intent.key(&self.root, self.log);
        self.calls.ask(Job::Hand, whole(key, bytes), out);
        self.hand.found = true;
        self.hand.reading = Some(segment);
    }

    pub(super) fn on_hand(
        &mut self,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let Some(segment) = self.hand.reading.take() else {
            return;
        };
        match answer {
            Ok(ObjectAnswer::Got(bytes)) => {
                self.hand.retry = Retry::default();
                if !self.hand.found {
                    self.read_to_hand(segment, now, out);
                } else if segment.is(&bytes) {
                    self.hand.sound = self.hand.sound.max(Some(segment.intent.last));
                } else {
                    self.saw(&segment, Some(Anomaly::Damaged), out);
                }
            }
            Err(error)
                if error.kind == ObjectErrorKind::NotFound
                    && self.care.is_sane
                    && self.hand.found =>
            {
                self.saw(&segment, Some(Anomaly::Missing), out);
            }
            Ok(_) => {}
            Err(error) => {
                self.hand.retry.fail(now, self.policy.backoff);
                out.push(Effect::Event(Event::Failed(error)));
            }
        }
    }
}
