//! The keys under which a node keeps its metadata. Keys and values are in postcard's encoding.
//!
//! A node may go back to the build before its own: that reads what the later one has written. So a later
//! build may append fields to a value, and kinds of keys to [`MetaKey`]; it must do with their absence,
//! as after a rollback they may be gone or out of date. The earlier build skips the fields, which are gone
//! once it writes the value, and leaves keys alone that it does not know.

use std::sync::Arc;

use bytes::Bytes;
use hstore_core::ports::log_store::StoreOp;
use hstore_core::{Ballot, Epoch, Incarnation, LogId, Lsn};
use serde::{Deserialize, Serialize};

use crate::register::{AcceptorState, RegisterBallot, RegisterValue};
use crate::storage::{EpochState, LogBounds};

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
    /// How many kinds there are: the first byte of a key tells its kind.
    const KINDS: u8 = 4;

    /// Understands a key; `None` if it is of a kind that only a later build knows.
    ///
    /// # Errors
    /// If it is no key.
    pub fn decode(key: &[u8]) -> Result<Option<Self>, postcard::Error> {
        if key.first().is_some_and(|kind| *kind >= Self::KINDS) {
            return Ok(None);
        }
        postcard::from_bytes(key).map(Some)
    }

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

/// What a node's metadata promises, for observers: none of it may ever go back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurableState {
    /// The bounds of a log.
    Log {
        /// Which.
        log: LogId,
        /// Nothing more of this epoch or an older one is stored.
        hard_seal: Epoch,
        /// The node's copies up to this epoch are final.
        last_clean: Epoch,
        /// Everything was given up to here.
        trim: Lsn,
        /// Up to here what was not given up lies in the second tier.
        handed: Lsn,
    },
    /// The state of an epoch.
    Epoch {
        /// No recovery ballot below this is obeyed.
        promised: Ballot,
        /// The attempt whose decision the node's copies agree with. Provisional, and so no promise.
        clean: Option<Ballot>,
    },
    /// The acceptor's state of a register.
    Acceptor {
        /// No ballot below this is answered.
        promised: RegisterBallot,
        /// The ballot of what was accepted last.
        accepted: RegisterBallot,
    },
    /// The node's life.
    Life(Incarnation),
}

impl DurableState {
    /// Whether `later` goes back on nothing that `self` promises.
    #[must_use]
    pub fn precedes(&self, later: &Self) -> bool {
        match (self, later) {
            (
                Self::Log {
                    hard_seal,
                    last_clean,
                    trim,
                    handed,
                    ..
                },
                Self::Log {
                    hard_seal: seal,
                    last_clean: clean,
                    trim: next,
                    handed: over,
                    ..
                },
            ) => {
                let rise = hard_seal <= seal && last_clean <= clean;
                rise && trim <= next && handed <= over
            }
            (Self::Epoch { promised, .. }, Self::Epoch { promised: next, .. }) => promised <= next,
            (
                Self::Acceptor { promised, accepted },
                Self::Acceptor {
                    promised: next,
                    accepted: taken,
                },
            ) => promised <= next && accepted <= taken,
            (Self::Life(life), Self::Life(next)) => life <= next,
            _ => false,
        }
    }
}

/// Understands a piece of a node's metadata; `None` if it is something else.
#[must_use]
pub fn durable_state(key: &[u8], value: &[u8]) -> Option<DurableState> {
    match MetaKey::decode(key).ok()?? {
        MetaKey::Log(log) => {
            let bounds: LogBounds = postcard::from_bytes(value).ok()?;
            Some(DurableState::Log {
                log,
                hard_seal: bounds.hard_seal,
                last_clean: bounds.last_clean,
                trim: bounds.trim,
                handed: bounds.handed,
            })
        }
        MetaKey::Epoch(..) => {
            let state: EpochState = postcard::from_bytes(value).ok()?;
            Some(DurableState::Epoch {
                promised: state.promised,
                clean: state.clean.map(|it| it.ballot),
            })
        }
        MetaKey::Acceptor(_) => {
            // The beginning of an `AcceptorState`: the value is large, and promises nothing.
            let (promised, accepted): (RegisterBallot, Option<RegisterBallot>) =
                postcard::from_bytes(value).ok()?;
            Some(DurableState::Acceptor {
                promised,
                accepted: accepted.unwrap_or_default(),
            })
        }
        MetaKey::Incarnation => Some(DurableState::Life(postcard::from_bytes(value).ok()?)),
    }
}

/// The value of a register that a piece of an acceptor's metadata tells of, for observers. It may never
/// come to be committed.
#[must_use]
pub fn accepted_value(key: &[u8], value: &[u8]) -> Option<(LogId, Arc<RegisterValue>)> {
    let MetaKey::Acceptor(log) = MetaKey::decode(key).ok()?? else {
        return None;
    };
    let state: AcceptorState = postcard::from_bytes(value).ok()?;
    state.accepted.map(|vote| (log, vote.value))
}

/// The epoch that a piece of a storage node's metadata marks as dirty, for observers: copies of it may be
/// answered before they are synced.
#[must_use]
pub fn dirty_epoch(key: &[u8], value: &[u8]) -> Option<(LogId, Epoch)> {
    let MetaKey::Epoch(log, epoch) = MetaKey::decode(key).ok()?? else {
        return None;
    };
    let state: EpochState = postcard::from_bytes(value).ok()?;
    state.dirty.map(|_| (log, epoch))
}
