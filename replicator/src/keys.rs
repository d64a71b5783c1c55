//! The keys under which a node keeps its metadata. Keys and values are in postcard's encoding.

use bytes::Bytes;
use hstore_core::ports::log_store::StoreOp;
use hstore_core::{Epoch, LogId};
use serde::{Deserialize, Serialize};

/// A key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MetaKey {
    /// The node's life: [`hstore_core::Incarnation`].
    Incarnation,
    /// The acceptor's state of a log's register.
    Acceptor(LogId),
    /// A storage node's bounds of a log.
    Log(LogId),
    /// A storage node's state of one epoch of a log.
    Epoch(LogId, Epoch),
}

impl MetaKey {
    /// As bytes.
    #[must_use]
    pub fn encode(self) -> Bytes {
        postcard::to_stdvec(&self)
            .expect("a key has a serialised form")
            .into()
    }

    /// The operation that sets this key.
    #[must_use]
    pub fn put(self, value: &impl Serialize) -> StoreOp {
        StoreOp::PutMeta {
            key: self.encode(),
            value: postcard::to_stdvec(value)
                .expect("metadata has a serialised form")
                .into(),
        }
    }
}
