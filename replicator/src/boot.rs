//! From stored metadata to the machines as they were when the node stopped.

use hstore_core::Incarnation;

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

/// Metadata that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the stored metadata under key {key:02x?} cannot be understood: {reason}")]
pub struct BootError {
    key: Vec<u8>,
    reason: postcard::Error,
}

impl Boot {
    /// Reads a store's metadata.
    ///
    /// # Errors
    /// Names the key that cannot be understood.
    pub fn read(metadata: &BootMetadata) -> Result<Self, BootError> {
        let mut boot = Self::default();
        for (key, value) in metadata {
            boot.restore(key, value).map_err(|reason| BootError {
                key: key.to_vec(),
                reason,
            })?;
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
