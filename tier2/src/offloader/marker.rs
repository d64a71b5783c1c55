//! The marker: an object that tells the store that history was moved to from every other.
//!
//! It is put when a history begins, and again where it is gone but most of what should be there is there. Only
//! where it stands is what is missing lost, and only there is anything handed over.

use bytes::Bytes;
use hstore_core::ports::object_store::{Listed, ObjectAsk, ObjectKey};

use super::Offloader;
use crate::manifest::marker_key;

impl Offloader {
    pub(super) fn marker(&self) -> ObjectKey {
        let born = self.held.manifest.born().unwrap_or_default();
        marker_key(&self.root, self.log, born)
    }

    /// For whoever comes across it.
    fn marker_bytes(&self) -> Bytes {
        let log = self.log;
        format!(
            "The history of {log} was moved here. It is not looked for where this is missing.\n"
        )
        .into()
    }

    pub(super) fn put_marker(&self) -> ObjectAsk {
        ObjectAsk::PutIfAbsent {
            key: self.marker(),
            bytes: self.marker_bytes(),
        }
    }

    /// Answered if it is there.
    pub(super) fn look_for_marker(&self) -> ObjectAsk {
        ObjectAsk::Get {
            key: self.marker(),
            range: 0..1,
        }
    }

    /// Whether it is the marker, all of it.
    pub(super) fn is_marker(&self, listed: &Listed) -> bool {
        listed.key == self.marker() && listed.bytes == self.marker_bytes().len() as u64
    }
}
