//! The configurations that a search has visited.
//!
//! Each is kept by its place, its state and the set of open operations that are linearized, with the
//! configuration and the operation from which it was first reached, so that an order can be read
//! off it. One that is dominated by a kept one counts as visited.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;

use super::states::StateId;
use super::timeline::OpIndex;

/// A configuration by number, in the order of the visits.
pub(super) type ConfigurationId = u32;

const NONE: u32 = u32::MAX;

/// A configuration without its set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The event that it stands before.
    pub(super) place: u32,
    pub(super) state: StateId,
    parent: ConfigurationId,
    via: u32,
    /// The one before with the same place, state and required operations.
    like: ConfigurationId,
}

/// Those visited so far.
pub(super) struct Configurations {
    words: usize,
    required_words: usize,
    rows: Vec<Row>,
    sets: Vec<u64>,
    table: HashTable<ConfigurationId>,
}

/// How a configuration was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Via {
    /// It is the first one.
    Start,
    /// By an operation.
    Op(ConfigurationId, OpIndex),
    /// By leaving out the optional operation that returned.
    Skip(ConfigurationId),
}

impl Configurations {
    pub(super) fn new(words: usize, required_words: usize) -> Self {
        Self {
            words,
            required_words,
            rows: Vec::new(),
            sets: Vec::new(),
            table: HashTable::new(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn row(&self, id: ConfigurationId) -> Row {
        self.rows[id as usize]
    }

    pub(super) fn via(&self, id: ConfigurationId) -> Via {
        let row = self.row(id);
        match (row.parent, row.via) {
            (NONE, _) => Via::Start,
            (parent, NONE) => Via::Skip(parent),
            (parent, op) => Via::Op(parent, op as usize),
        }
    }

    /// The open operations that are linearized.
    pub(super) fn set(&self, id: ConfigurationId) -> &[u64] {
        &self.sets[id as usize * self.words..][..self.words]
    }

    /// All at this place.
    pub(super) fn at(&self, place: usize) -> impl Iterator<Item = ConfigurationId> + '_ {
        let ids = 0..u32::try_from(self.len()).expect("configurations are numbered by u32");
        ids.filter(move |&id| self.row(id).place as usize == place)
    }

    /// Keeps a configuration; `None` if it, or one that dominates it, is kept already.
    pub(super) fn visit(
        &mut self,
        place: usize,
        state: StateId,
        set: &[u64],
        via: Via,
    ) -> Option<ConfigurationId> {
        let place = u32::try_from(place).expect("events are numbered by u32");
        let (required, optional) = set.split_at(self.required_words);
        let hash = hash(place, state, required);
        let same = |id: ConfigurationId| {
            let row = &self.rows[id as usize];
            row.place == place
                && row.state == state
                && &self.set(id)[..self.required_words] == required
        };
        let last = self.table.find(hash, |&id| same(id)).copied();
        let mut like = last;
        while let Some(id) = like {
            let kept = &self.set(id)[self.required_words..];
            if kept
                .iter()
                .zip(optional)
                .all(|(kept, new)| kept & !new == 0)
            {
                return None;
            }
            let next = self.row(id).like;
            like = (next != NONE).then_some(next);
        }
        let id = u32::try_from(self.rows.len()).expect("configurations are numbered by u32");
        let (parent, via) = match via {
            Via::Start => (NONE, NONE),
            Via::Skip(parent) => (parent, NONE),
            Via::Op(parent, op) => (
                parent,
                u32::try_from(op).expect("operations are numbered by u32"),
            ),
        };
        self.rows.push(Row {
            place,
            state,
            parent,
            via,
            like: last.unwrap_or(NONE),
        });
        self.sets.extend_from_slice(set);
        self.remember(hash, id, last);
        Some(id)
    }

    /// Makes `id` what is found under its hash, in place of `last`.
    fn remember(&mut self, hash: u64, id: ConfigurationId, last: Option<ConfigurationId>) {
        if let Some(last) = last {
            *self
                .table
                .find_mut(hash, |&found| found == last)
                .expect("it was just found") = id;
            return;
        }
        let (rows, sets) = (&self.rows, &self.sets);
        let (words, required_words) = (self.words, self.required_words);
        self.table.insert_unique(hash, id, |&id| {
            let row = &rows[id as usize];
            let required = &sets[id as usize * words..][..required_words];
            self::hash(row.place, row.state, required)
        });
    }
}

fn hash(place: u32, state: StateId, required: &[u64]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write_u64(u64::from(place) << 32 | u64::from(state));
    for &word in required {
        hasher.write_u64(word);
    }
    hasher.finish()
}
