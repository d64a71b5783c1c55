//! States and steps by number: each state kept once, each step computed once.

use std::hash::{BuildHasher, Hash};

use hashbrown::{HashMap, HashTable};
use rustc_hash::FxBuildHasher;

use super::model::Model;

/// A state by number: equal numbers, equal states.
pub(super) type StateId = u32;

/// Operations that do the same, by number.
pub(super) type Class = u32;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It is legal and leads to this state.
    To(StateId),
    /// It is not legal here.
    Illegal,
    /// It is not legal here nor in any state that follows.
    Hopeless,
}

const ILLEGAL: u32 = u32::MAX;
const HOPELESS: u32 = u32::MAX - 1;

/// The states met so far and the steps between them.
pub(super) struct States<'m, M: Model> {
    model: &'m M,
    states: Vec<M::State>,
    numbers: HashTable<StateId>,
    /// By state and class, a state or `ILLEGAL` or `HOPELESS`. Only ever asked for a key, so that its order is
    /// never observed.
    steps: HashMap<u64, u32, FxBuildHasher>,
}

impl<'m, M: Model> States<'m, M> {
    pub(super) const INITIAL: StateId = 0;

    pub(super) fn new(model: &'m M) -> Self {
        let mut states = Self {
            model,
            states: Vec::new(),
            numbers: HashTable::new(),
            steps: HashMap::with_hasher(FxBuildHasher),
        };
        assert_eq!(
            states.intern(model.initial()),
            Self::INITIAL,
            "it is the first"
        );
        states
    }

    pub(super) fn get(&self, id: StateId) -> &M::State {
        &self.states[id as usize]
    }

    pub(super) fn step(&mut self, from: StateId, class: Class, observes: bool, op: &M::Op) -> Step {
        let key = u64::from(from) << 32 | u64::from(class);
        let known = match self.steps.get(&key) {
            Some(&known) => known,
            None => {
                let state = &self.states[from as usize];
                let to = match self.model.step(state, op) {
                    Some(to) if observes => {
                        assert!(
                            to == *state,
                            "{op:?} says that it observes, but changes {state:?} to {to:?}"
                        );
                        from
                    }
                    Some(to) => self.intern(to),
                    None if self.model.is_hopeless(state, op) => HOPELESS,
                    None => ILLEGAL,
                };
                self.steps.insert(key, to);
                to
            }
        };
        match known {
            ILLEGAL => Step::Illegal,
            HOPELESS => Step::Hopeless,
            to => Step::To(to),
        }
    }

    fn intern(&mut self, state: M::State) -> StateId {
        let hash = FxBuildHasher.hash_one(&state);
        let states = &self.states;
        let known = |&id: &StateId| states[id as usize] == state;
        if let Some(&id) = self.numbers.find(hash, known) {
            return id;
        }
        let id = u32::try_from(self.states.len()).expect("fewer than 2^32 states");
        assert!(
            id < HOPELESS,
            "a budget of configurations bounds the states"
        );
        self.states.push(state);
        let states = &self.states;
        self.numbers
            .insert_unique(hash, id, |&id| FxBuildHasher.hash_one(&states[id as usize]));
        id
    }
}

/// Numbers the operations such that equal ones get one number.
pub(super) fn classes<'o, O: Eq + Hash + 'o>(ops: impl Iterator<Item = &'o O>) -> Vec<Class> {
    let mut known: HashMap<&O, Class, FxBuildHasher> = HashMap::with_hasher(FxBuildHasher);
    ops.map(|op| {
        let next = u32::try_from(known.len()).expect("fewer than 2^32 operations");
        *known.entry(op).or_insert(next)
    })
    .collect()
}
