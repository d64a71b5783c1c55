//! From stored metadata to the machines as they were when the node stopped.

use hstore_core::{Incarnation, planted};

use crate::effects::BootMetadata;
use crate::keys::MetaKey;
use crate::register::Acceptor;
use crate::storage::StorageNode;

/// What a node finds in its store when it starts.
#[derive(Clone, Debug, Default)]
pub struct Boot {
    /// The last life; 0 on a new store.
    pub incarnation: Incarnation,
    /// The acceptor.
    pub acceptor: Acceptor,
    /// The storage node.
    pub storage: StorageNode,
}

/// What a host knows of a node's past, beside what the store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Past {
    /// Nothing is known to have run: the store may be new.
    Blank,
    /// The node has run, so its store holds at least that.
    Lived,
}

/// Why a node cannot go on with what its store holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// Metadata cannot be understood.
    #[error("the stored metadata under key {key:02x?} cannot be understood: {reason}")]
    Metadata {
        /// The key.
        key: Vec<u8>,
        /// What is wrong with its value, or with itself.
        reason: postcard::Error,
    },
    /// The store is that of a node which has never run, and the node has.
    #[error(
        "the store is empty, and the node has run before: it must not begin anew under its old number, since it \
         has promised what it does not remember"
    )]
    Forgotten,
}

impl Boot {
    /// Reads a store's metadata.
    ///
    /// # Errors
    /// Names the key that cannot be understood; or the node has run, and its store knows nothing of it.
    pub fn read(metadata: &BootMetadata, past: Past) -> Result<Self, BootError> {
        let mut boot = Self::default();
        for (key, value) in metadata {
            boot.restore(key, value)
                .map_err(|reason| BootError::Metadata {
                    key: key.to_vec(),
                    reason,
                })?;
        }
        // A life is durable before it says anything: without one there were seals, promises and copies.
        let forgotten = past == Past::Lived && boot.incarnation == Incarnation(0);
        if forgotten && !planted!("wiped-says-empty") {
            return Err(BootError::Forgotten);
        }
        Ok(boot)
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), postcard::Error> {
        // A later build ran here before, and was taken back: what it alone knows is left alone.
        let Some(known) = MetaKey::decode(key)? else {
            return Ok(());
        };
        match known {
            MetaKey::Incarnation => self.incarnation = postcard::from_bytes(value)?,
            MetaKey::Acceptor(log) => self.acceptor.restore(log, postcard::from_bytes(value)?),
            MetaKey::Log(log) => self.storage.restore_log(log, postcard::from_bytes(value)?),
            MetaKey::Epoch(log, epoch) => {
                let state = postcard::from_bytes(value)?;
                self.storage.restore_epoch(log, epoch, state);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use hstore_core::ports::log_store::StoreOp;
    use hstore_core::{Epoch, LogId};

    use super::*;
    use crate::storage::LogBounds;

    fn written(key: MetaKey, value: &impl serde::Serialize) -> (Bytes, Bytes) {
        match key.put(value) {
            StoreOp::PutMeta { key, value } => (key, value),
            other => unreachable!("{other:?} puts no metadata"),
        }
    }

    #[test]
    fn a_node_that_has_run_does_not_begin_anew() {
        let empty = BootMetadata::new();
        let fresh = Boot::read(&empty, Past::Blank).expect("it may be new");
        assert_eq!(fresh.incarnation, Incarnation(0));
        let refused = Boot::read(&empty, Past::Lived).expect_err("it is not");
        assert_eq!(refused, BootError::Forgotten);
        let lived = vec![written(MetaKey::Incarnation, &Incarnation(3))];
        for past in [Past::Blank, Past::Lived] {
            let boot = Boot::read(&lived, past).expect("it remembers");
            assert_eq!(boot.incarnation, Incarnation(3));
        }
    }

    #[test]
    fn what_the_next_version_has_stored_is_read_as_far_as_it_is_known() {
        let bounds = LogBounds {
            hard_seal: Epoch(7),
            ..LogBounds::default()
        };
        let metadata = vec![
            written(MetaKey::Incarnation, &(Incarnation(3), "a field")),
            written(MetaKey::Log(LogId(1)), &(bounds, 9_u64)),
            // A kind of key that comes after those there are.
            (Bytes::from_static(&[4, 1]), Bytes::from_static(&[255])),
        ];
        let boot = Boot::read(&metadata, Past::Lived).expect("a rollback goes back one version");
        assert_eq!(boot.incarnation, Incarnation(3));
        assert_eq!(boot.storage.bounds(LogId(1)).0, Epoch(7));
    }

    #[test]
    fn metadata_that_makes_no_sense_is_named() {
        for (wrong, value) in [(&[][..], &[1][..]), (&[2], &[1]), (&[0], &[])] {
            let metadata = vec![(Bytes::from_static(wrong), Bytes::from_static(value))];
            let error = Boot::read(&metadata, Past::Blank).expect_err("it makes no sense");
            let BootError::Metadata { key, .. } = error else {
                panic!("expected the key, got {error}");
            };
            assert_eq!(key, wrong);
        }
    }

    #[test]
    fn every_kind_of_key_is_known_by_its_first_byte() {
        let keys = [
            MetaKey::Incarnation,
            MetaKey::Acceptor(LogId(1)),
            MetaKey::Log(LogId(1)),
            MetaKey::Epoch(LogId(1), Epoch(1)),
        ];
        for key in keys {
            assert_eq!(MetaKey::decode(&key.encode()), Ok(Some(key)));
        }
    }
}
