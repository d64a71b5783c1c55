//! The marker: an object that tells the store that history was moved to from every other.
//!
//! The register numbers it, and each number is put once: so no two stores have the same. One is put where there is
//! no history yet, and where the one before is gone but most of what should be there is there. Only where it stands
//! is what is missing lost, and only there is anything committed or handed over.

use bytes::Bytes;
use hstore_core::ports::object_store::{Listed, ObjectAnswer, ObjectAsk, ObjectError, ObjectKey};

use super::{Effect, Event, Job, Offloader};

impl Offloader {
    /// The key of the marker, once the register has a number for it.
    pub(super) fn marker(&self) -> Option<ObjectKey> {
        self.held.manifest.marker_key(&self.root, self.log)
    }

    /// Answered if it is there.
    pub(super) fn look_for_marker(&self) -> Option<ObjectAsk> {
        let key = self.marker()?;
        let range = 0..1;
        Some(ObjectAsk::Get { key, range })
    }

    /// Whether it is the marker. One that has no bytes is as good as none.
    pub(super) fn is_marker(&self, listed: &Listed) -> bool {
        listed.bytes > 0 && Some(&listed.key) == self.marker().as_ref()
    }

    /// The register has a new number: its marker is put, once.
    pub(super) fn put_marker(&mut self, out: &mut Vec<Effect>) {
        let Some(key) = self.marker() else {
            return;
        };
        let log = self.log;
        // For whoever comes across it.
        let text = format!("The history of {log} was moved here.\n");
        let bytes = Bytes::from(text);
        self.calls
            .ask(Job::Mark, ObjectAsk::PutIfAbsent { key, bytes }, out);
    }

    /// A list is to show it. If it does not, another is put.
    pub(super) fn on_marked(
        &mut self,
        answer: Result<ObjectAnswer, ObjectError>,
        out: &mut Vec<Effect>,
    ) {
        if let Err(error) = answer {
            out.push(Effect::Event(Event::Failed(error)));
        }
    }
}
