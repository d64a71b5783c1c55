//! What lies in the object store is looked after: garbage is deleted, segments are read and compared.
//!
//! One round after the other, each of one call at a time: all that lies below the log's keys is listed; what was
//! dropped, what belongs to nothing and what is out of date is deleted, if it is old enough; one segment is read as
//! a whole, the next one in the next round.

use std::collections::VecDeque;

use hstore_core::ports::object_store::{
    Listed, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey,
};
use hstore_core::{Lsn, Timestamp, WallTime, planted};

use super::upload::whole;
use super::{Effect, Event, Job, Offloader};
use crate::manifest::{Anomaly, IntentId, ObjectName, SegmentRef, log_prefix};
use crate::policy::is_older;

/// How far the round is.
#[derive(Clone, Debug)]
pub(super) struct Care {
    stage: Stage,
    /// The last LSN of the segment that was read last.
    looked: Lsn,
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
    Looking(SegmentRef),
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
        }
    }
}

impl Care {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match self.stage {
            Stage::Idle(at) => Some(at),
            Stage::ToList(..) | Stage::ToDelete(_) => Some(Timestamp::ZERO),
            Stage::Listing(_) | Stage::Deleting(_) | Stage::Looking(_) => None,
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
        let idle = Stage::Idle(now + self.policy.care_interval);
        match std::mem::replace(&mut self.care.stage, idle) {
            Stage::Idle(_) => self.ask_for_list(None, self.dropped(wall), out),
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

    fn ask_for_list(
        &mut self,
        after: Option<ObjectKey>,
        waste: VecDeque<Waste>,
        out: &mut Vec<Effect>,
    ) {
        let prefix = log_prefix(&self.root, self.log);
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

    /// Whether nobody needs an object, and nobody will.
    fn is_waste(&self, listed: &Listed, wall: WallTime) -> bool {
        let is_unneeded = match ObjectName::read(&listed.key, &log_prefix(&self.root, self.log)) {
            // Only who sequences a log commits: of the epochs before, nothing more is, and of its own epoch the
            // offloader knows all that can be. A put may have come late, after what it put was dropped.
            Some(ObjectName::Segment { epoch, id }) => {
                let manifest = &self.held.manifest;
                if planted!("gc-removes-fence") {
                    !manifest.segments().any(|it| it.intent.id == id)
                } else {
                    epoch <= self.epoch && !manifest.knows(epoch, id)
                }
            }
            Some(ObjectName::Copy { epoch, version }) => {
                let newest = self.copies.newest();
                newest.is_some_and(|newest| (epoch, version) < (self.epoch, newest))
            }
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
        let idle = Stage::Idle(now + self.policy.care_interval);
        match (std::mem::replace(&mut self.care.stage, idle), answer) {
            (Stage::Listing(mut waste), Ok(ObjectAnswer::Listed { objects, more })) => {
                let found = objects.iter().filter(|it| self.is_waste(it, wall));
                waste.extend(found.map(|it| Waste {
                    key: it.key.clone(),
                    dropped: None,
                }));
                self.care.stage = match objects.last() {
                    Some(last) if more => Stage::ToList(Some(last.key.clone()), waste),
                    _ => Stage::ToDelete(waste),
                };
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
            (Stage::Looking(segment), Ok(ObjectAnswer::Got(bytes))) => {
                let anomaly = (!segment.is(&bytes)).then_some(Anomaly::Damaged);
                self.saw(&segment, anomaly, out);
            }
            (Stage::Looking(segment), Err(error)) if error.kind == ObjectErrorKind::NotFound => {
                self.saw(&segment, Some(Anomaly::Missing), out);
            }
            (_, Err(error)) => out.push(Effect::Event(Event::Failed(error))),
            _ => {}
        }
    }

    /// Reads the next segment; then the round is over. Uploads wait for it, and not the other way round.
    fn look(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let segments = || self.held.manifest.segments();
        let next = segments().find(|it| it.intent.first > self.care.looked);
        let Some(segment) = next.or(segments().next()).cloned() else {
            return;
        };
        self.care.looked = segment.intent.last;
        let bytes = segment.file_bytes;
        self.calls.charge(now, bytes, self.policy.bytes_per_second);
        let key = segment.intent.key(&self.root, self.log);
        self.calls.ask(Job::Care, whole(key, bytes), out);
        self.care.stage = Stage::Looking(segment);
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
