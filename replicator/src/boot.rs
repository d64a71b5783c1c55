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
        match postcard::from_bytes(key)? {
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
    use hstore_core::ports::log_store::StoreOp;

    use super::*;

    fn metadata(key: MetaKey, value: &impl serde::Serialize) -> BootMetadata {
        let StoreOp::PutMeta { key, value } = key.put(value) else {
            unreachable!("it puts metadata");
        };
        vec![(key, value)]
    }

    #[test]
    fn a_node_that_has_run_does_not_begin_anew() {
        let empty = BootMetadata::new();
        let fresh = Boot::read(&empty, Past::Blank).expect("it may be new");
        assert_eq!(fresh.incarnation, Incarnation(0));
        let refused = Boot::read(&empty, Past::Lived).expect_err("it is not");
        assert_eq!(refused, BootError::Forgotten);
        let lived = metadata(MetaKey::Incarnation, &Incarnation(3));
        for past in [Past::Blank, Past::Lived] {
            let boot = Boot::read(&lived, past).expect("it remembers");
            assert_eq!(boot.incarnation, Incarnation(3));
        }
    }

    #[test]
    fn metadata_that_makes_no_sense_is_named() {
        let bad = vec![(MetaKey::Incarnation.encode(), bytes::Bytes::new())];
        let error = Boot::read(&bad, Past::Blank).expect_err("a life is a number");
        let BootError::Metadata { key, .. } = error else {
            panic!("expected the key, got {error}");
        };
        assert_eq!(key, MetaKey::Incarnation.encode());
    }
}
