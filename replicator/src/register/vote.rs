//! What an acceptor accepted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{RegisterBallot, RegisterValue};

/// A value, and the ballot at which it was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Vote {
    /// The ballot.
    pub ballot: RegisterBallot,
    /// The value. Shared: a proposer sends the same to every acceptor, who keeps and promises it.
    #[serde(with = "shared")]
    pub value: Arc<RegisterValue>,
}

/// How a shared value is written: as the value.
pub(crate) mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::RegisterValue;

    pub(crate) fn serialize<S: Serializer>(
        value: &Arc<RegisterValue>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        RegisterValue::serialize(value, serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Arc<RegisterValue>, D::Error> {
        RegisterValue::deserialize(deserializer).map(Arc::new)
    }
}
