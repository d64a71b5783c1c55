//! One upload: put, read back, compared.

use std::time::Duration;

use hstore_core::ports::object_store::{
    ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey,
};
use hstore_core::{Lsn, Timestamp};

use super::{Effect, Event, Job, Offloader};
use crate::manifest::{Intent, IntentId, SegmentRef};
use crate::segment::Finished;

/// So often the time between two tries is doubled at most.
const DOUBLINGS_MAX: u32 = 8;

/// A segment on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) finished: Finished,
    /// What the register holds of it, once it does.
    pub(super) intent: Option<Intent>,
    pub(super) stage: Stage,
    /// Nothing is asked for it before then.
    not_before: Timestamp,
    /// What failed since it was made.
    failed: u32,
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
    /// It may be there: it is to be read back.
    ToCompare,
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
            not_before: Timestamp::ZERO,
            failed: 0,
        }
    }

    /// It is under a new intent, or none: it begins anew.
    pub(super) fn announced(&mut self, intent: Option<Intent>) {
        self.intent = intent;
        self.stage = match intent {
            Some(_) => Stage::ToPut,
            None => Stage::Unannounced,
        };
    }

    /// Something failed: what comes next waits for twice as long as the last time.
    fn fail(&mut self, now: Timestamp, backoff: Duration) {
        self.not_before = now + backed_off(backoff, self.failed);
        self.failed += 1;
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

    /// When something is to be done for it, where bytes may move from `free_at` on.
    pub(super) fn due_at(&self, free_at: Timestamp) -> Option<Timestamp> {
        match self.stage {
            Stage::ToPut | Stage::ToCompare => Some(self.not_before.max(free_at)),
            _ => None,
        }
    }
}

impl Offloader {
    pub(super) fn go_on_with_uploads(&mut self, now: Timestamp, out: &mut Vec<Effect>) {
        for upload in &mut self.uploads {
            let Some(intent) = upload.intent else {
                continue;
            };
            let is_due = upload
                .due_at(self.calls.free_at)
                .is_some_and(|at| at <= now);
            if !is_due {
                continue;
            }
            let key = intent.key(&self.root, self.log);
            let bytes = upload.finished.bytes.clone();
            self.calls
                .charge(now, bytes.len() as u64, self.policy.bytes_per_second);
            if upload.stage == Stage::ToPut {
                upload.stage = Stage::Putting;
                let ask = ObjectAsk::PutIfAbsent { key, bytes };
                self.calls.ask(Job::Put(intent.id), ask, out);
            } else {
                upload.stage = Stage::Comparing;
                let ask = whole(key, bytes.len() as u64);
                self.calls.ask(Job::Compare(intent.id), ask, out);
            }
        }
    }

    pub(super) fn on_put(
        &mut self,
        id: IntentId,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let backoff = self.policy.backoff;
        let Some(upload) = under_way(&mut self.uploads, id) else {
            return;
        };
        match answer {
            // It is read back in any case: an answer says that it was put, not what.
            Ok(_) => upload.stage = Stage::ToCompare,
            Err(error) if error.kind == ObjectErrorKind::Exists => {
                upload.stage = Stage::ToCompare;
            }
            Err(error) => {
                upload.fail(now, backoff);
                // It may have been done all the same.
                upload.stage = match error.kind {
                    ObjectErrorKind::Unavailable => Stage::ToCompare,
                    _ => Stage::ToPut,
                };
                out.push(Effect::Event(Event::Failed(error)));
            }
        }
    }

    pub(super) fn on_compared(
        &mut self,
        id: IntentId,
        answer: Result<ObjectAnswer, ObjectError>,
        now: Timestamp,
        out: &mut Vec<Effect>,
    ) {
        let backoff = self.policy.backoff;
        let Some(upload) = under_way(&mut self.uploads, id) else {
            return;
        };
        let intent = upload.intent.expect("it was put");
        match answer {
            Ok(ObjectAnswer::Got(bytes)) if bytes == upload.finished.bytes => {
                upload.stage = Stage::Verified;
            }
            Ok(_) => {
                upload.fail(now, backoff);
                upload.stage = Stage::Spoiled;
                out.push(Effect::Event(Event::Spoiled(intent)));
            }
            Err(error) => {
                upload.fail(now, backoff);
                // What is not there may be put again: under this key nothing else is ever put.
                upload.stage = match error.kind {
                    ObjectErrorKind::NotFound => Stage::ToPut,
                    _ => Stage::ToCompare,
                };
                out.push(Effect::Event(Event::Failed(error)));
            }
        }
    }
}

/// The time that comes after so many that were not enough.
pub(super) fn backed_off(shortest: Duration, failed: u32) -> Duration {
    shortest * (1 << failed.min(DOUBLINGS_MAX))
}

/// All of an object that is to be so long, and a byte more: what is longer is another.
pub(super) fn whole(key: ObjectKey, bytes: u64) -> ObjectAsk {
    ObjectAsk::Get {
        key,
        range: 0..bytes + 1,
    }
}

fn under_way(
    uploads: &mut std::collections::VecDeque<Upload>,
    id: IntentId,
) -> Option<&mut Upload> {
    let is_it = |it: &&mut Upload| it.intent.is_some_and(|it| it.id == id);
    uploads.iter_mut().find(is_it)
}
