//! Copies of the manifest in the object store, for whoever has nothing but the bucket.
//!
//! Each is an object of its own, `<root>/log-7/<born>/manifest/<epoch>-<version>`, all in hexadecimal, so that the newest
//! is the last by key. None is ever changed; older ones are deleted once a newer one is known to be there, where the
//! [marker](super::marker) stands. An offloader that begins puts one in any case: what the one before it did is not
//! known.

use bytes::Bytes;
use hstore_core::ports::object_store::{
    ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey,
};
use hstore_core::{Lsn, Timestamp};

use super::retry::Retry;
use super::upload::{read, whole};
use super::{Effect, Event, Held, Job, Offloader};
use crate::manifest::copy_key;

/// What is done about copies.
#[derive(Clone, Debug, Default)]
pub(super) struct Copies {
    /// The version of the newest copy of this epoch that is known to be there.
    put: Option<u64>,
    /// The last LSN of the segments that it knows, if it knows any.
    covers: Option<Lsn>,
    /// The call that is under way, and of which version.
    stage: Stage,
    /// What is put by it, and the last LSN of the segments that it knows.
    putting: (Bytes, Option<Lsn>),
    /// Something lies under its key, for all that the store has said.
    is_there: bool,
    /// Since the last copy that is there.
    retry: Retry,
    /// Under the newest version's key lies something else. Only a newer version helps.
    is_spoiled: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    Putting(u64),
    /// It may be there already.
    ToCompare(u64),
    /// The marker is looked for.
    Confirming(u64),
    Comparing(u64),
}

impl Copies {
    /// A planted bug's: as if a copy of what the register holds were there.
    pub(super) fn of(held: &Held) -> Self {
        Self {
            put: Some(held.version),
            covers: held.manifest.last(),
            ..Self::default()
        }
    }

    /// The version of the newest copy of this epoch that is known to be there.
    pub(super) fn newest(&self) -> Option<u64> {
        self.put
    }

    /// Up to here the segments are known to the newest copy.
    pub(super) fn covers(&self) -> Option<Lsn> {
        self.covers
    }

    /// The newest copy is not there any more: it is put again.
    pub(super) fn is_gone(&mut self) {
        (self.put, self.covers) = (None, None);
    }

    /// Whether the register is to hold a newer version, though nothing else has changed.
    pub(super) fn is_spoiled(&self) -> bool {
        self.is_spoiled
    }

    /// The register holds a newer version.
    pub(super) fn is_newer(&mut self) {
        self.is_spoiled = false;
    }

    /// When something is to be done, where the register holds the same manifest since this version.
    pub(super) fn deadline(&self, since: u64) -> Option<Timestamp> {
        match self.stage {
            Stage::Idle => {
                let is_there = self.put.is_some_and(|put| put >= since);
                (!is_there && !self.is_spoiled).then_some(self.retry.not_before)
            }
            Stage::ToCompare(_) => Some(self.retry.not_before),
            Stage::Putting(_) | Stage::Confirming(_) | Stage::Comparing(_) => None,
        }
    }
}

impl Offloader {
    pub(super) fn copy_key(&self, version: u64) -> ObjectKey {
        let born = self.held.manifest.born().unwrap_or_default();
        copy_key(&self.root, self.log, born, self.epoch, version)
    }

    pub(super) fn go_on_with_copies(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        let version = self.held.version;
        if self.copies.deadline(self.since).is_none_or(|due| due > now) {
            return;
        }
        match self.copies.stage {
            Stage::Idle => {
                let manifest = &self.held.manifest;
                self.copies.putting = (manifest.encode(), manifest.last());
                let ask = ObjectAsk::PutIfAbsent {
                    key: self.copy_key(version),
                    bytes: self.copies.putting.0.clone(),
                };
                self.copies.stage = Stage::Putting(version);
                self.calls.ask(Job::Copies, ask, out);
            }
            Stage::ToCompare(version) => match self.look_for_marker() {
                Some(ask) => {
                    self.copies.stage = Stage::Confirming(version);
                    self.calls.ask(Job::Copies, ask, out);
                }
                // It is put soon: the register is to number it first.
                None => self.copies.retry.fail(now, self.policy.backoff),
            },
            Stage::Putting(_) | Stage::Confirming(_) | Stage::Comparing(_) => {}
        }
    }

    pub(super) fn on_copies(
        &mut self,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let (stage, copies) = (self.copies.stage, &mut self.copies);
        copies.stage = Stage::Idle;
        if let Stage::Putting(_) = stage {
            copies.is_there = match &answer {
                Ok(_) => true,
                Err(error) => error.kind == ObjectErrorKind::Exists,
            };
        }
        let answer = match stage {
            Stage::Comparing(_) => read(answer),
            _ => answer,
        };
        match (stage, answer) {
            // An answer says that it was put, not what.
            (Stage::Putting(version), Ok(_)) => copies.stage = Stage::ToCompare(version),
            (Stage::Confirming(version), Ok(_)) => {
                let bytes = copies.putting.0.len() as u64;
                copies.stage = Stage::Comparing(version);
                let ask = whole(self.copy_key(version), bytes);
                self.calls.ask(Job::Copies, ask, out);
            }
            (Stage::Confirming(version), Err(error)) => {
                copies.stage = Stage::ToCompare(version);
                copies.retry.fail(now, self.policy.backoff);
                out.push(Effect::Event(Event::Failed(error)));
            }
            // The register may hold another manifest meanwhile: that one is put next. This one covers what it knows.
            (Stage::Comparing(version), Ok(ObjectAnswer::Got(bytes))) => {
                if bytes == copies.putting.0 {
                    copies.put = Some(version);
                    copies.covers = copies.putting.1.max(copies.covers);
                    copies.retry = Retry::default();
                } else {
                    copies.is_spoiled = version == self.held.version;
                    copies.retry.fail(now, self.policy.backoff);
                }
            }
            (Stage::Putting(version), Err(error)) => {
                let exists = error.kind == ObjectErrorKind::Exists;
                copies.stage = Stage::ToCompare(version);
                if !exists {
                    copies.retry.fail(now, self.policy.backoff);
                    out.push(Effect::Event(Event::Failed(error)));
                }
            }
            // Something is there, and it is nothing.
            (Stage::Comparing(version), Err(error))
                if error.kind == ObjectErrorKind::NotFound && copies.is_there =>
            {
                copies.is_spoiled = version == self.held.version;
                copies.retry.fail(now, self.policy.backoff);
            }
            (_, Err(error)) => {
                copies.retry.fail(now, self.policy.backoff);
                out.push(Effect::Event(Event::Failed(error)));
            }
            _ => {}
        }
    }
}
