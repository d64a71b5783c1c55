//! LSNs as text (`e3:17`) in what we serialise, so that people can read it.

use std::fmt;

use hstore_core::Lsn;
use serde::de::{Deserializer, Error, Visitor};
use serde::ser::Serializer;

pub(crate) fn serialize<S: Serializer>(lsn: &Lsn, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(lsn)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Lsn, D::Error> {
    struct LsnVisitor;

    impl Visitor<'_> for LsnVisitor {
        type Value = Lsn;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an LSN such as \"e3:17\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Lsn, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(LsnVisitor)
}

/// An LSN inside a larger value.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct LsnText(#[serde(with = "self")] pub(crate) Lsn);

/// Lists of LSNs.
pub(crate) mod list {
    use hstore_core::Lsn;
    use serde::Serializer;

    use super::LsnText;

    pub(crate) fn serialize<S: Serializer>(lsns: &[Lsn], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(lsns.iter().copied().map(LsnText))
    }
}

/// Lists of records with their LSNs: `["e3:17", 5]` each.
pub(crate) mod records {
    use hstore_core::Lsn;
    use serde::Serializer;

    use super::LsnText;
    use crate::history::RecordId;

    pub(crate) fn serialize<S: Serializer>(
        records: &[(Lsn, RecordId)],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(records.iter().map(|&(lsn, id)| (LsnText(lsn), id)))
    }
}
