//! Identifiers. Every integer with a meaning has a type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! integer_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }
    };
}

integer_id!(
    /// A storage node. Numbers are small: a node is a bit of a [`NodeSet`](crate::NodeSet).
    NodeId(u8),
    "n"
);
integer_id!(
    /// A log: an independent sequence of records with its own sequencer and epochs.
    LogId(u32),
    "log"
);
integer_id!(
    /// A client process. A client that crashed goes on under a new number.
    ClientId(u32),
    "c"
);
integer_id!(
    /// The reign of one sequencer over one log. 0 means "before any".
    Epoch(u32),
    "e"
);
integer_id!(
    /// Position of a record within its epoch, from 1. 0 is not a position: as a bound it means
    /// "before the first".
    Offset(u32),
    ""
);
integer_id!(
    /// Who appends idempotently: whoever numbers the records. Chosen by the client; two that use one
    /// number at a time take each other's records for their own.
    ProducerId(u64),
    "p"
);
integer_id!(
    /// A log's fencing token: set by a record, demanded by appends that only its setter may make.
    Token(u64),
    "t"
);
integer_id!(
    /// Counts the lives of a node. Each start takes the next number, durably, before it speaks.
    Incarnation(u64),
    "#"
);

impl Epoch {
    /// The epoch after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("fewer than 2^32 activations of a log"),
        )
    }

    /// The epoch before this one; epoch 0 has none.
    #[must_use]
    pub fn prev(self) -> Self {
        Self(self.0.checked_sub(1).expect("epoch 0 has no predecessor"))
    }
}

impl Offset {
    /// The first position of an epoch.
    pub const FIRST: Self = Self(1);
    /// Beyond every position of an epoch.
    pub const MAX: Self = Self(u32::MAX);

    /// The position after this one.
    #[must_use]
    #[inline]
    pub fn next(self) -> Self {
        Self(
            self.0
                .checked_add(1)
                .expect("fewer than 2^32 records in an epoch"),
        )
    }
}

/// Log sequence number: the place of a record in its log. Ordered by epoch, then offset; one LSN
/// never names two records.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Lsn {
    /// The epoch that wrote the record.
    pub epoch: Epoch,
    /// The position within the epoch.
    pub offset: Offset,
}

impl Lsn {
    /// Below every record.
    pub const MIN: Self = Self::new(0, 0);
    /// Above every record.
    pub const MAX: Self = Self::new(u32::MAX, u32::MAX);
    /// The first LSN a record can have.
    pub const FIRST: Self = Self::new(1, 1);

    /// An LSN from bare numbers.
    #[must_use]
    pub const fn new(epoch: u32, offset: u32) -> Self {
        Self {
            epoch: Epoch(epoch),
            offset: Offset(offset),
        }
    }

    /// An LSN of an epoch.
    #[must_use]
    pub const fn at(epoch: Epoch, offset: Offset) -> Self {
        Self { epoch, offset }
    }

    /// Just before the first record of `epoch`.
    #[must_use]
    pub const fn before(epoch: Epoch) -> Self {
        Self::at(epoch, Offset(0))
    }

    /// The greatest LSN of `epoch`.
    #[must_use]
    pub const fn end_of(epoch: Epoch) -> Self {
        Self::at(epoch, Offset::MAX)
    }

    /// The next LSN of the same epoch.
    #[must_use]
    #[inline]
    pub fn next(self) -> Self {
        Self::at(self.epoch, self.offset.next())
    }

    /// The least LSN above this one that a record can have: in the next epoch if this one is used
    /// up.
    #[must_use]
    #[inline]
    pub fn successor(self) -> Self {
        if self.offset == Offset::MAX {
            Self::at(self.epoch.next(), Offset::FIRST)
        } else {
            self.next()
        }
    }

    /// As one number that sorts like the LSN: epoch in the high, offset in the low half.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        ((self.epoch.0 as u64) << 32) | self.offset.0 as u64
    }

    /// The inverse of [`Lsn::as_u64`].
    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        Self::new((value >> 32) as u32, value as u32)
    }
}

/// `e3:17`.
impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.offset)
    }
}

/// Why a text is not an LSN.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an LSN: expected `e<epoch>:<offset>`, for example `e3:17`")]
pub struct ParseLsnError(String);

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (epoch, offset) = text.strip_prefix('e')?.split_once(':')?;
            Some(Self::new(epoch.parse().ok()?, offset.parse().ok()?))
        };
        parse().ok_or_else(|| ParseLsnError(text.to_owned()))
    }
}

/// Who sends or receives a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Address {
    /// A storage node.
    Node(NodeId),
    /// A client process.
    Client(ClientId),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Client(client) => client.fmt(f),
        }
    }
}

impl From<NodeId> for Address {
    fn from(node: NodeId) -> Self {
        Self::Node(node)
    }
}

impl From<ClientId> for Address {
    fn from(client: ClientId) -> Self {
        Self::Client(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lsn_order_is_number_order_and_text_round_trips() {
        let mut last = Lsn::MIN;
        for epoch in 1..4 {
            for offset in 1..4 {
                let lsn = Lsn::new(epoch, offset);
                assert!(lsn > last && lsn.as_u64() > last.as_u64());
                assert_eq!(Lsn::from_u64(lsn.as_u64()), lsn);
                assert_eq!(lsn.to_string().parse(), Ok(lsn));
                last = lsn;
            }
            assert!(last < Lsn::end_of(Epoch(epoch)));
            assert!(Lsn::end_of(Epoch(epoch)) < Lsn::before(Epoch(epoch + 1)));
        }
        for bad in ["", "3:17", "e3", "e3:", "e:1", "e3:17:1", "e-1:2", "ex:1"] {
            assert!(bad.parse::<Lsn>().is_err(), "{bad} was accepted");
        }
    }
}
