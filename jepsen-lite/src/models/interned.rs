//! Values and lists by number, for models whose states would be large otherwise.
//!
//! A model gives out numbers as it meets values, also while it steps, so it keeps them behind a cell. Equal
//! numbers of one model mean equal values.

use std::cell::RefCell;

use hashbrown::HashMap;
use rustc_hash::FxBuildHasher;

use crate::object::{Value, ValueId, Values};

/// The values of a model.
#[derive(Debug, Default)]
pub(super) struct Interned(RefCell<Values>);

impl Interned {
    pub(super) fn id(&self, value: &Value) -> ValueId {
        self.0.borrow_mut().intern(value.clone())
    }

    pub(super) fn get(&self, id: ValueId) -> Value {
        self.0.borrow().get(id).clone()
    }

    pub(super) fn with<T>(
        &self,
        a: ValueId,
        b: ValueId,
        look: impl FnOnce(&Value, &Value) -> T,
    ) -> T {
        let values = self.0.borrow();
        look(values.get(a), values.get(b))
    }
}

/// Lists that grow at their end, by number. Equal lists have equal numbers, whatever the way they came about.
#[derive(Debug, Default)]
pub(super) struct Chains(RefCell<ChainsInner>);

/// A list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Chain(u32);

#[derive(Debug, Default)]
struct ChainsInner {
    /// The lists but for the empty one: what precedes, the last value, and how many there are.
    links: Vec<(Chain, ValueId, u32)>,
    numbers: HashMap<(Chain, ValueId), Chain, FxBuildHasher>,
}

impl Chains {
    /// Nothing.
    pub(super) const EMPTY: Chain = Chain(0);

    pub(super) fn push(&self, chain: Chain, value: ValueId) -> Chain {
        let length = self.len(chain) + 1;
        let inner = &mut *self.0.borrow_mut();
        *inner.numbers.entry((chain, value)).or_insert_with(|| {
            inner.links.push((chain, value, length));
            Chain(u32::try_from(inner.links.len()).expect("fewer than 2^32 lists"))
        })
    }

    /// What precedes the last value, and that.
    pub(super) fn pop(&self, chain: Chain) -> Option<(Chain, ValueId)> {
        let index = chain.0.checked_sub(1)?;
        let (rest, value, _) = self.0.borrow().links[index as usize];
        Some((rest, value))
    }

    pub(super) fn len(&self, chain: Chain) -> u32 {
        match chain.0.checked_sub(1) {
            Some(index) => self.0.borrow().links[index as usize].2,
            None => 0,
        }
    }

    /// The values, the last one first.
    pub(super) fn backwards(&self, mut chain: Chain) -> impl Iterator<Item = ValueId> + '_ {
        std::iter::from_fn(move || {
            let (rest, value) = self.pop(chain)?;
            chain = rest;
            Some(value)
        })
    }
}

/// The values of a list, for people.
pub(super) fn show(values: impl Iterator<Item = Value>) -> String {
    Value::list(values).to_string()
}
