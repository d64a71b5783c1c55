//! Handing over: before the first tier may forget a segment, it is read once more, as a whole.
//!
//! That it was in order when it was committed may be long ago. What is not there, or not as it was written, is looked
//! into by [care](super::care), which notes it in the manifest: nothing is handed over from there on as long as it
//! stays so. Nothing is where the [marker](super::marker) does not stand.

use hstore_core::ports::object_store::{ObjectAnswer, ObjectError, ObjectErrorKind};
use hstore_core::{Lsn, Timestamp, WallTime};

use super::retry::Retry;
use super::upload::{read, whole};
use super::{Effect, Event, Job, Offloader};
use crate::manifest::{Manifest, SegmentRef};
use crate::policy::hand_upto;

/// What is done about it.
#[derive(Clone, Debug, Default)]
pub(super) struct Hand {
    /// All segments up to here were read, and are in order.
    sound: Option<Lsn>,
    stage: Stage,
    retry: Retry,
}

#[derive(Clone, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// It is to be read, once the marker is found.
    Confirming(SegmentRef),
    /// It is being read, as the last thing.
    Reading(SegmentRef),
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

    /// The next segment to read.
    fn next_to_hand(&self, wall: WallTime) -> Option<&SegmentRef> {
        let manifest = &self.held.manifest;
        let due = self.due(manifest, wall)?;
        let from = self.hand.sound.max(Some(self.held.handed.max(self.trim)));
        let mut segments = manifest.segments();
        let next = segments.find(|it| Some(it.intent.last) > from)?;
        // What is known to be wrong is about to be noted.
        let is_sound = !self.seen.contains_key(&next.intent.id);
        (is_sound && next.intent.last <= due).then_some(next)
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
        if !self.hand.retry.is_over(now) || !matches!(self.hand.stage, Stage::Idle) {
            return;
        }
        let Some(segment) = self.next_to_hand(wall).cloned() else {
            return;
        };
        if self.calls.free_at > now {
            self.hand.retry.not_before = self.calls.free_at;
            return;
        }
        let Some(ask) = self.look_for_marker() else {
            return;
        };
        self.calls.ask(Job::Hand, ask, out);
        self.hand.stage = Stage::Confirming(segment);
    }

    pub(super) fn on_hand(
        &mut self,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let stage = std::mem::take(&mut self.hand.stage);
        let answer = match stage {
            Stage::Reading(_) => read(answer),
            _ => answer,
        };
        match (stage, answer) {
            (Stage::Confirming(segment), Ok(_)) => {
                let bytes = segment.file_bytes;
                self.calls.charge(now, bytes, self.policy.bytes_per_second);
                let key = segment.intent.key(&self.root, self.log);
                self.calls.ask(Job::Hand, whole(key, bytes), out);
                self.hand.stage = Stage::Reading(segment);
            }
            (Stage::Reading(segment), Ok(ObjectAnswer::Got(bytes))) => {
                if segment.is(&bytes) {
                    self.hand.retry = Retry::default();
                    self.hand.sound = self.hand.sound.max(Some(segment.intent.last));
                } else {
                    self.suspect(segment.intent.id);
                    self.hand.retry.fail(now, self.policy.backoff);
                }
            }
            (stage, Err(error)) => {
                if let Stage::Reading(segment) = stage
                    && error.kind == ObjectErrorKind::NotFound
                {
                    self.suspect(segment.intent.id);
                }
                self.hand.retry.fail(now, self.policy.backoff);
                out.push(Effect::Event(Event::Failed(error)));
            }
            (_, Ok(_)) => {}
        }
    }
}
