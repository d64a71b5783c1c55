//! An object store in memory: the simplest that keeps the contract.

use std::collections::BTreeMap;
use std::ops::Bound;

use bytes::Bytes;
use hstore_core::ports::object_store::{
    Capabilities, Listed, ObjectAnswer, ObjectAsk, ObjectError, ObjectErrorKind, ObjectKey,
    ObjectStore,
};
use hstore_core::{WallTime, planted};

/// A page of a list has no more objects than this, unless it is said otherwise.
pub const PAGE: usize = 1_000;

/// The store. What is in it is gone with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryObjectStore {
    objects: BTreeMap<ObjectKey, Object>,
    now: WallTime,
    page: usize,
}

impl Default for MemoryObjectStore {
    fn default() -> Self {
        Self::with_page(PAGE)
    }
}

/// An object, and when it was put.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Object {
    bytes: Bytes,
    put_at: WallTime,
}

impl MemoryObjectStore {
    /// An empty store, with so many objects on a page of a list at most.
    ///
    /// # Panics
    /// If that is 0.
    #[must_use]
    pub fn with_page(page: usize) -> Self {
        assert!(page > 0, "a list goes on");
        Self {
            objects: BTreeMap::new(),
            now: WallTime(0),
            page,
        }
    }

    /// Says what time it is at the store: what is put now will bear it.
    pub fn set_now(&mut self, now: WallTime) {
        self.now = now;
    }

    /// Everything in it, by key.
    pub fn objects(&self) -> impl Iterator<Item = (&ObjectKey, &Bytes)> {
        self.objects
            .iter()
            .map(|(key, object)| (key, &object.bytes))
    }

    /// Puts other bytes in the place of an object, behind everyone's back; `None` removes it.
    pub fn tamper(&mut self, key: &ObjectKey, bytes: Option<Bytes>) {
        match (self.objects.get_mut(key), bytes) {
            (Some(object), Some(bytes)) => object.bytes = bytes,
            (_, None) => drop(self.objects.remove(key)),
            (None, Some(_)) => {}
        }
    }
}

impl ObjectStore for MemoryObjectStore {
    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    fn call(&mut self, ask: &ObjectAsk) -> Result<ObjectAnswer, ObjectError> {
        let fail = |kind, detail| Err(ObjectError::of(ask, kind, detail));
        match ask {
            ObjectAsk::PutIfAbsent { key, bytes } => {
                if self.objects.contains_key(key) && !planted!("zombie-offloader") {
                    return fail(ObjectErrorKind::Exists, "there is an object already");
                }
                let object = Object {
                    bytes: bytes.clone(),
                    put_at: self.now,
                };
                self.objects.insert(key.clone(), object);
                Ok(ObjectAnswer::Put)
            }
            ObjectAsk::Get { key, range } => {
                let Some(object) = self.objects.get(key) else {
                    return fail(ObjectErrorKind::NotFound, "there is no such object");
                };
                let length = object.bytes.len() as u64;
                if range.start >= length {
                    return fail(
                        ObjectErrorKind::BehindEnd,
                        "the range begins behind its end",
                    );
                }
                let end = range.end.min(length);
                let part = object.bytes.slice(range.start as usize..end as usize);
                Ok(ObjectAnswer::Got(part))
            }
            ObjectAsk::List { prefix, after } => {
                let from = after.as_ref().max(Some(prefix)).expect("there is a prefix");
                let rest = self
                    .objects
                    .range((Bound::Excluded(from), Bound::Unbounded));
                let below = rest.filter(|(key, _)| key.is_below(prefix));
                let mut objects: Vec<Listed> = below
                    .take(self.page + 1)
                    .map(|(key, object)| Listed {
                        key: key.clone(),
                        bytes: object.bytes.len() as u64,
                        put_at: object.put_at,
                    })
                    .collect();
                let more = objects.len() > self.page;
                objects.truncate(self.page);
                Ok(ObjectAnswer::Listed { objects, more })
            }
            ObjectAsk::Delete { key } => {
                self.objects.remove(key);
                Ok(ObjectAnswer::Deleted)
            }
        }
    }
}
