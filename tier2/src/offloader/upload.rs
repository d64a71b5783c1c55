//! One upload: put, read back, compared.
//!
//! It is read back where the [marker](super::marker) stands: what was put into another store, that one is not taken
//! for.

use std::time::Duration;

use bytes::Bytes;
use hstore_core::ports::object_store::{
    ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey,
};
use hstore_core::{Lsn, Timestamp, planted};

use super::retry::Retry;
use super::{Effect, Event, Job, Offloader};
use crate::manifest::{Intent, IntentId, SegmentRef};
use crate::segment::Finished;

/// A segment on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) finished: Finished,
    /// What the register holds of it, once it does.
    pub(super) intent: Option<Intent>,
    pub(super) stage: Stage,
    /// Something lies under its key, for all that the store has said.
    is_there: bool,
    /// Of all calls since it was made.
    retry: Retry,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The register is to hold its intent first.
    Unannounced,
    /// It is to be put.
    ToPut,
    /// It is being put.
    Putting,
    /// It may be there: it is to be read back, once the marker is found.
    ToCompare,
    /// The marker is looked for.
    Confirming,
    /// It is being read back.
    Comparing,
    /// It is there, byte by byte. It is to be committed.
    Verified,
    /// Something else is there. It is to be given up and begun anew.
    Spoiled,
}

impl Upload {
    pub(super) fn new(finished: Finished) -> Self {
        Self {
            finished,
            intent: None,
            stage: Stage::Unannounced,
            is_there: false,
            retry: Retry::default(),
        }
    }

    /// It is under a new intent, or none: it begins anew.
    pub(super) fn announced(&mut self, intent: Option<Intent>) {
        self.intent = intent;
        self.is_there = false;
        self.stage = match intent {
            Some(_) => Stage::ToPut,
            None => Stage::Unannounced,
        };
    }

    pub(super) fn first(&self) -> Lsn {
        self.finished.info.first
    }

    pub(super) fn last(&self) -> Lsn {
        self.finished.info.last
    }

    pub(super) fn segment(&self, intent: Intent) -> SegmentRef {
        SegmentRef::new(intent, &self.finished)
    }

    /// Something else lies under its key.
    fn spoil(&mut self, now: Timestamp, backoff: Duration, out: &mut Vec<Effect>) -> Stage {
        self.retry.fail(now, backoff);
        let intent = self.intent.expect("what was put was announced");
        out.push(Effect::Event(Event::Spoiled(intent)));
        Stage::Spoiled
    }

    /// Whether it was put, for all that is known.
    pub(super) fn is_put(&self) -> bool {
        matches!(
            self.stage,
            Stage::ToCompare | Stage::Confirming | Stage::Comparing | Stage::Verified
        )
    }

    /// When something is to be done for it, where bytes may move from `free_at` on.
    pub(super) fn due_at(&self, free_at: Timestamp) -> Option<Timestamp> {
        match self.stage {
            Stage::ToPut | Stage::ToCompare => Some(self.retry.not_before.max(free_at)),
            _ => None,
        }
    }
}

impl Offloader {
    pub(super) fn go_on_with_uploads(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for number in 0..self.uploads.len() {
            let upload = &self.uploads[number];
            let Some(intent) = upload.intent else {
                continue;
            };
            let is_due = upload
                .due_at(self.calls.free_at)
                .is_some_and(|at| at <= now);
            if !is_due {
                continue;
            }
            let ask = if upload.stage == Stage::ToPut {
                let bytes = upload.finished.bytes.clone();
                self.calls
                    .charge(now, bytes.len() as u64, self.policy.bytes_per_second);
                let key = self.upload_key(intent);
                self.uploads[number].stage = Stage::Putting;
                ObjectAsk::PutIfAbsent { key, bytes }
            } else {
                let Some(ask) = self.look_for_marker() else {
                    // It is put soon: the register is to number it first.
                    self.uploads[number].retry.fail(now, self.policy.backoff);
                    continue;
                };
                self.uploads[number].stage = Stage::Confirming;
                ask
            };
            self.calls.ask(Job::Upload(intent.id), ask, out);
        }
    }

    /// Where an upload is put, and read back.
    fn upload_key(&self, mut intent: Intent) -> ObjectKey {
        if planted!("epoch-key-mismatch") {
            // As if it had been begun in the epoch whose uploads were given up.
            let given_up = self.held.manifest.dropped().map(|it| it.intent.epoch);
            intent.epoch = given_up.min().unwrap_or(intent.epoch);
        }
        intent.key(&self.root, self.log)
    }

    /// The marker was looked for: if it is there, the upload is read back.
    fn on_confirmed(
        &mut self,
        number: usize,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let upload = &mut self.uploads[number];
        let intent = upload.intent.expect("what was put was announced");
        match answer {
            Ok(_) => {
                upload.stage = Stage::Comparing;
                let bytes = upload.finished.bytes.len() as u64;
                self.calls.charge(now, bytes, self.policy.bytes_per_second);
                let ask = whole(self.upload_key(intent), bytes);
                self.calls.ask(Job::Upload(intent.id), ask, out);
            }
            Err(error) => {
                upload.stage = Stage::ToCompare;
                upload.retry.fail(now, self.policy.backoff);
                out.push(Effect::Event(Event::Failed(error)));
            }
        }
    }

    pub(super) fn on_upload(
        &mut self,
        id: IntentId,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let is_it = |it: &Upload| it.intent.is_some_and(|it| it.id == id);
        let Some(number) = self.uploads.iter().position(is_it) else {
            return;
        };
        if self.uploads[number].stage == Stage::Confirming {
            self.on_confirmed(number, answer, now, out);
            return;
        }
        let answer = read(answer);
        let upload = &mut self.uploads[number];
        let is_put = upload.stage == Stage::Putting;
        upload.is_there |= is_put
            && match &answer {
                Ok(_) => true,
                Err(error) => error.kind == ObjectErrorKind::Exists,
            };
        let is_there = upload.is_there;
        upload.stage = match answer {
            // It is read back in any case: an answer says that it was put, not what.
            Ok(_) if is_put && planted!("truncated-upload") => Stage::Verified,
            Ok(_) if is_put => Stage::ToCompare,
            Err(error) if is_put && error.kind == ObjectErrorKind::Exists => {
                if planted!("ambiguous-put") {
                    Stage::Verified
                } else {
                    Stage::ToCompare
                }
            }
            Ok(ObjectAnswer::Got(bytes)) if bytes == upload.finished.bytes => Stage::Verified,
            // Something is there, and it is nothing.
            Err(error) if error.kind == ObjectErrorKind::NotFound && is_there => {
                upload.spoil(now, self.policy.backoff, out)
            }
            Ok(_) => upload.spoil(now, self.policy.backoff, out),
            Err(error) => {
                upload.retry.fail(now, self.policy.backoff);
                let next = match error.kind {
                    // It may have been done all the same.
                    ObjectErrorKind::Unavailable if is_put && !planted!("ambiguous-put") => {
                        Stage::ToCompare
                    }
                    _ if is_put => Stage::ToPut,
                    // What is not there may be put again: under this key nothing else is ever put.
                    ObjectErrorKind::NotFound => Stage::ToPut,
                    _ => Stage::ToCompare,
                };
                out.push(Effect::Event(Event::Failed(error)));
                next
            }
        };
    }
}

/// What was read of an object: nothing where it ends before that.
pub(super) fn read(answer: Result<ObjectAnswer, ObjectError>) -> Result<ObjectAnswer, ObjectError> {
    match answer {
        Err(error) if error.kind == ObjectErrorKind::BehindEnd => {
            Ok(ObjectAnswer::Got(Bytes::new()))
        }
        answer => answer,
    }
}

/// All of an object that is to be so long, and a byte more: what is longer is another.
pub(super) fn whole(key: ObjectKey, bytes: u64) -> ObjectAsk {
    ObjectAsk::Get {
        key,
        range: 0..bytes + 1,
    }
}
