//! What a log store holds, as a value: copies by log and LSN, and metadata by key.
//!
//! It does no I/O and cannot fail. Equal states are equal values: a log without copies is not kept,
//! so states can be compared and hashed by what they hold and not by how they came to it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::ports::log_store::{Applied, LogStore, Scan, StoreError, StoreOp};
use hstore_core::{LogId, Lsn, NodeSet, StoredCopy};

use crate::checked::checked;

/// The copies of one log.
type Copies = BTreeMap<Lsn, StoredCopy>;

/// The meaning of a store. Cloning shares the logs until one of the clones changes them, so that an
/// exhaustive search can afford a clone for each of its states.
///
/// As a [`LogStore`] it is a store that nothing survives: for tests, and for hosts that model no
/// disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ModelState {
    /// The copies of each log that has any.
    logs: BTreeMap<LogId, Arc<Copies>>,
    /// The metadata.
    metadata: Arc<BTreeMap<Bytes, Bytes>>,
}

impl ModelState {
    /// Applies a batch. One answer for each operation.
    pub fn apply(&mut self, batch: &[StoreOp]) -> Vec<Applied> {
        batch.iter().map(|op| self.apply_one(op)).collect()
    }

    fn apply_one(&mut self, op: &StoreOp) -> Applied {
        match op {
            StoreOp::Put { log, lsn, copy } => self.put(*log, *lsn, copy),
            StoreOp::Replace { log, lsn, copy } => {
                self.insert(*log, *lsn, copy);
                Applied::Done
            }
            StoreOp::Amend {
                log,
                lsn,
                wave,
                copyset,
            } => self.amend(*log, *lsn, *wave, *copyset),
            StoreOp::DeleteRange { log, first, last } => {
                self.delete_range(*log, *first, *last);
                Applied::Done
            }
            StoreOp::PutMeta { key, value } => {
                Arc::make_mut(&mut self.metadata).insert(key.clone(), value.clone());
                Applied::Done
            }
        }
    }

    fn put(&mut self, log: LogId, lsn: Lsn, copy: &StoredCopy) -> Applied {
        if let Some(held) = self.copy(log, lsn)
            && held.precedence > copy.precedence
        {
            return Applied::Kept;
        }
        self.insert(log, lsn, copy);
        Applied::Done
    }

    fn insert(&mut self, log: LogId, lsn: Lsn, copy: &StoredCopy) {
        Arc::make_mut(self.logs.entry(log).or_default()).insert(lsn, copy.clone());
    }

    fn amend(&mut self, log: LogId, lsn: Lsn, wave: u32, copyset: NodeSet) -> Applied {
        let Some(held) = self.copy(log, lsn) else {
            return Applied::Missing;
        };
        if held.precedence.recovery.is_some() || held.precedence.wave > wave {
            return Applied::Kept;
        }
        let copies = self.logs.get_mut(&log).expect("the log holds the copy");
        let held = Arc::make_mut(copies)
            .get_mut(&lsn)
            .expect("the copy was just found");
        held.precedence.wave = wave;
        held.copyset = copyset;
        Applied::Done
    }

    fn delete_range(&mut self, log: LogId, first: Lsn, last: Lsn) {
        let Some(copies) = self.logs.get_mut(&log) else {
            return;
        };
        if first > last || copies.range(first..=last).next().is_none() {
            return;
        }
        let copies = Arc::make_mut(copies);
        if copies.range(..first).next().is_none() {
            // Trimming removes from the front: keep what lies behind instead of moving it twice.
            *copies = match last {
                Lsn::MAX => Copies::new(),
                last => copies.split_off(&Lsn::from_u64(last.as_u64() + 1)),
            };
        } else {
            let gone: Vec<Lsn> = copies.range(first..=last).map(|(lsn, _)| *lsn).collect();
            for lsn in gone {
                copies.remove(&lsn);
            }
        }
        if copies.is_empty() {
            self.logs.remove(&log);
        }
    }

    /// The copies of `log` from `first` to `last`, both included, at most `limit` of them (at least
    /// one). A record whose payload does not match its checksum is reported, not returned.
    #[must_use]
    pub fn scan(&self, log: LogId, first: Lsn, last: Lsn, limit: usize) -> Scan {
        let mut copies = Vec::new();
        if let Some(held) = self.logs.get(&log)
            && first <= last
        {
            for (lsn, copy) in held.range(first..=last) {
                if copies.len() == limit.max(1) {
                    let (passed, _) = *copies.last().expect("at least one copy was taken");
                    return Scan { copies, passed };
                }
                copies.push((*lsn, checked(copy).map(|()| copy.clone())));
            }
        }
        Scan {
            copies,
            passed: last,
        }
    }

    /// All metadata, sorted by key.
    #[must_use]
    pub fn metadata(&self) -> Vec<(Bytes, Bytes)> {
        self.metadata
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    }

    /// The value of a piece of metadata.
    #[must_use]
    pub fn metadata_value(&self, key: &[u8]) -> Option<&Bytes> {
        self.metadata.get(key)
    }

    /// The copy at an LSN, its payload unchecked.
    #[must_use]
    pub fn copy(&self, log: LogId, lsn: Lsn) -> Option<&StoredCopy> {
        self.logs.get(&log)?.get(&lsn)
    }

    /// All copies, by log and LSN, their payloads unchecked.
    pub fn copies(&self) -> impl Iterator<Item = (LogId, Lsn, &StoredCopy)> {
        self.logs
            .iter()
            .flat_map(|(log, copies)| copies.iter().map(|(lsn, copy)| (*log, *lsn, copy)))
    }

    /// Operations that make an empty state equal to this one.
    pub(super) fn operations(&self) -> impl Iterator<Item = StoreOp> {
        let metadata = self.metadata.iter().map(|(key, value)| StoreOp::PutMeta {
            key: key.clone(),
            value: value.clone(),
        });
        let copies = self.copies().map(|(log, lsn, copy)| StoreOp::Put {
            log,
            lsn,
            copy: copy.clone(),
        });
        metadata.chain(copies)
    }
}

impl LogStore for ModelState {
    fn apply(&mut self, batch: &[StoreOp]) -> Result<Vec<Applied>, StoreError> {
        Ok(Self::apply(self, batch))
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn scan(
        &mut self,
        log: LogId,
        first: Lsn,
        last: Lsn,
        limit: usize,
    ) -> Result<Scan, StoreError> {
        Ok(Self::scan(self, log, first, last, limit))
    }

    fn metadata(&mut self) -> Result<Vec<(Bytes, Bytes)>, StoreError> {
        Ok(Self::metadata(self))
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::{Entry, Offset, Precedence, Record, Stamp, Stamped};

    use super::*;

    fn put(log: u32, offset: u32, wave: u32) -> StoreOp {
        StoreOp::Put {
            log: LogId(log),
            lsn: Lsn::new(1, offset),
            copy: StoredCopy {
                precedence: Precedence::of_wave(wave),
                copyset: NodeSet::EMPTY,
                last_known_good: Offset(0),
                entry: Entry::Record(Stamped {
                    stamp: Stamp::default(),
                    record: Record::new(Bytes::from_static(b"payload")),
                }),
            },
        }
    }

    #[test]
    fn a_clone_does_not_see_later_changes() {
        let mut state = ModelState::default();
        state.apply(&[put(1, 1, 1), put(2, 1, 1)]);
        let before = state.clone();
        state.apply(&[put(1, 2, 1)]);
        assert_eq!(before.copies().count(), 2);
        assert_eq!(state.copies().count(), 3);
        assert!(Arc::ptr_eq(&before.logs[&LogId(2)], &state.logs[&LogId(2)]));
    }

    #[test]
    fn states_with_the_same_content_are_equal_however_they_came_to_it() {
        let mut state = ModelState::default();
        state.apply(&[put(1, 1, 1), put(1, 2, 1), put(2, 7, 1)]);
        state.apply(&[StoreOp::DeleteRange {
            log: LogId(1),
            first: Lsn::MIN,
            last: Lsn::MAX,
        }]);
        let mut other = ModelState::default();
        other.apply(&[put(2, 7, 1)]);
        assert_eq!(state, other);

        let operations: Vec<StoreOp> = state.operations().collect();
        let mut again = ModelState::default();
        again.apply(&operations);
        assert_eq!(again, state);
    }

    #[test]
    fn deleting_takes_the_range_and_nothing_else() {
        for first in 0..7 {
            for last in 0..7 {
                let mut state = ModelState::default();
                state.apply(&[1, 2, 3, 5].map(|offset| put(1, offset, 1)));
                state.apply(&[StoreOp::DeleteRange {
                    log: LogId(1),
                    first: Lsn::new(1, first),
                    last: Lsn::new(1, last),
                }]);
                let left: Vec<u32> = state.copies().map(|(_, lsn, _)| lsn.offset.0).collect();
                let expected: Vec<u32> = [1, 2, 3, 5]
                    .into_iter()
                    .filter(|offset| !(first <= *offset && *offset <= last))
                    .collect();
                assert_eq!(left, expected, "{first}..={last}");
            }
        }
    }
}
