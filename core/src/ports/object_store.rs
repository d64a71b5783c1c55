//! An object store: objects under keys, far away, which many read and write at a time.
//!
//! An object is put whole, never changed, and perhaps deleted. The contract is what the large stores promise
//! today, and no more:
//!
//! - A put that was answered is seen by every later get and list, whole. Nobody ever sees part of one.
//! - Of several puts under one key one succeeds; the others hear [`ObjectErrorKind::Exists`], as does a put that
//!   is repeated after it had succeeded. *That something exists says nothing of what it is.*
//! - A call that fails with [`ObjectErrorKind::Unavailable`] may have been done, or be done some time later: the
//!   answer may have been lost instead of the question. Get what stands there, and compare.
//! - Deleting what is not there succeeds.
//!
//! What a store cannot do, it says ([`Capabilities`]) before it is asked.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::time::WallTime;

/// Names an object: parts of letters, digits, `-`, `_`, `=` and `.`, with `/` between them. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ObjectKey(Arc<str>);

/// No key is longer, in bytes.
pub const KEY_BYTES_MAX: usize = 512;

/// Why a text is not a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an object key: expected parts of letters, digits and any of `-_=.`, none of them empty or of dots alone, with `/` between them, {KEY_BYTES_MAX} bytes at most"
)]
pub struct ParseKeyError(String);

impl ObjectKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the key lies below `prefix`, a key itself: the parts of the one begin with those of the other.
    #[must_use]
    pub fn is_below(&self, prefix: &Self) -> bool {
        let rest = self.0.strip_prefix(prefix.as_str());
        rest.is_some_and(|rest| rest.starts_with('/'))
    }

    /// The key of a part more.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn child(&self, part: &str) -> Result<Self, ParseKeyError> {
        format!("{self}/{part}").parse()
    }
}

impl FromStr for ObjectKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_=.".contains(c);
        let is_part = |part: &str| part.chars().all(is_plain) && part.chars().any(|c| c != '.');
        if text.len() <= KEY_BYTES_MAX && text.split('/').all(is_part) {
            Ok(Self(text.into()))
        } else {
            Err(ParseKeyError(text.to_owned()))
        }
    }
}

impl TryFrom<String> for ObjectKey {
    type Error = ParseKeyError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ObjectKey> for String {
    fn from(key: ObjectKey) -> Self {
        key.as_str().to_owned()
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is asked of an object store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectAsk {
    /// Put an object, unless there is one under that key.
    PutIfAbsent {
        /// Its key.
        key: ObjectKey,
        /// All of it.
        bytes: Bytes,
    },
    /// Get a part of an object. Where the object ends before the range does, what there is.
    Get {
        /// Its key.
        key: ObjectKey,
        /// From byte to byte, the second not included. Not empty.
        range: Range<u64>,
    },
    /// What lies below a prefix, by key.
    List {
        /// The prefix: whole parts of keys.
        prefix: ObjectKey,
        /// Only what comes after this key.
        after: Option<ObjectKey>,
    },
    /// Delete an object, if it is there.
    Delete {
        /// Its key.
        key: ObjectKey,
    },
}

impl ObjectAsk {
    /// What it is, as a verb.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::PutIfAbsent { .. } => "put",
            Self::Get { .. } => "get",
            Self::List { .. } => "list",
            Self::Delete { .. } => "delete",
        }
    }

    /// The key, or the prefix.
    #[must_use]
    pub fn key(&self) -> &ObjectKey {
        match self {
            Self::PutIfAbsent { key, .. } | Self::Get { key, .. } | Self::Delete { key } => key,
            Self::List { prefix, .. } => prefix,
        }
    }
}

/// What an object store answers, by what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectAnswer {
    /// It was put, by this call.
    Put,
    /// The bytes.
    Got(Bytes),
    /// A page of a list.
    Listed {
        /// What was found, sorted by key.
        objects: Vec<Listed>,
        /// There may be more, after the last of them.
        more: bool,
    },
    /// It is not there, or not any more.
    Deleted,
}

/// An object in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// How long it is.
    pub bytes: u64,
    /// When it was put, by the store's clock.
    pub put_at: WallTime,
}

/// What went wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectErrorKind {
    /// There is no such object.
    NotFound,
    /// There is an object, and it ends before the range begins.
    BehindEnd,
    /// There is an object under that key.
    Exists,
    /// The store may not be used so: wrong credentials, or too few rights. Nothing was done; asking again
    /// does not help before something is changed.
    Denied,
    /// The store cannot do that.
    Unsupported,
    /// It failed, was too busy, or did not answer. Whether it was done is not known.
    Unavailable,
}

/// A call that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot {verb} `{key}` in the object store: {detail}")]
pub struct ObjectError {
    /// What was tried.
    pub verb: &'static str,
    /// On which key, or below which prefix.
    pub key: ObjectKey,
    /// The kind of failure.
    pub kind: ObjectErrorKind,
    /// The failure in words. Credentials never appear in it.
    pub detail: String,
}

impl ObjectError {
    /// The failure of `ask`.
    #[must_use]
    pub fn of(ask: &ObjectAsk, kind: ObjectErrorKind, detail: impl Into<String>) -> Self {
        Self {
            verb: ask.verb(),
            key: ask.key().clone(),
            kind,
            detail: detail.into(),
        }
    }
}

/// What a store can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Capabilities {
    /// Of two puts under one key one fails.
    pub put_if_absent: bool,
    /// A part of an object can be had without the rest.
    pub ranged_get: bool,
    /// What lies below a prefix can be listed.
    pub list: bool,
}

/// Why nothing is offloaded to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the object store cannot {0}, so history cannot be moved to it; it can be read from it. Use a store that can: S3, GCS, Azure, or local files"
)]
pub struct CannotOffload(&'static str);

impl Capabilities {
    /// All there are.
    pub const ALL: Self = Self {
        put_if_absent: true,
        ranged_get: true,
        list: true,
    };

    /// Whether history can be moved to the store.
    ///
    /// # Errors
    /// If something is missing: says what.
    pub fn check_offload(&self) -> Result<(), CannotOffload> {
        if !self.put_if_absent {
            // Two offloaders could overwrite each other's objects.
            return Err(CannotOffload("refuse to overwrite an object"));
        }
        if !self.ranged_get {
            return Err(CannotOffload("give a part of an object"));
        }
        if !self.list {
            // Garbage would never be found.
            return Err(CannotOffload("list its objects"));
        }
        Ok(())
    }
}

/// The port, where calls are made one at a time and waited for. Machines put out [`ObjectAsk`]s instead; a
/// host calls this for them, or something of its own that does the same.
pub trait ObjectStore {
    /// What the store can do.
    fn capabilities(&self) -> Capabilities;

    /// Asks the store, and waits for the answer, which fits what was asked.
    ///
    /// # Errors
    /// As the module says.
    fn call(&mut self, ask: &ObjectAsk) -> Result<ObjectAnswer, ObjectError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_plain() {
        for good in ["a", "a/b", "log-7/e3/x=1_2.seg", "..a"] {
            let key: ObjectKey = good.parse().expect("it is plain");
            assert_eq!(key.to_string(), good);
        }
        let long = "a".repeat(KEY_BYTES_MAX + 1);
        for bad in [
            "", "/", "a/", "/a", "a//b", "a/../b", ".", "a b", "ä", "a\\b", "a:b", &long,
        ] {
            let error = bad.parse::<ObjectKey>().expect_err("it is not");
            assert!(
                error.to_string().contains("is not an object key"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_prefix_is_of_whole_parts() {
        let key = |text: &str| text.parse::<ObjectKey>().expect("a key");
        assert!(key("a/b/c").is_below(&key("a/b")));
        assert!(!key("a/bc").is_below(&key("a/b")));
        assert!(!key("a/b").is_below(&key("a/b")));
        assert_eq!(key("a").child("b").expect("a key"), key("a/b"));
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(Capabilities::ALL.check_offload(), Ok(()));
        let without = Capabilities {
            put_if_absent: false,
            ..Capabilities::ALL
        };
        let said = without
            .check_offload()
            .expect_err("it is missing")
            .to_string();
        assert!(said.contains("cannot refuse to overwrite"), "{said}");
    }
}
