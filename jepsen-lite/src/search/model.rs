//! What a sequential object is.

use std::fmt;
use std::hash::Hash;

use super::engine::Timed;
use super::foresight::Foresight;
use crate::object::{ObjectOp, TextPlace, Value};

/// A sequential object: what it may answer to one client that is alone with it.
///
/// A step is deterministic, and an operation of unknown outcome either takes one or never takes effect.
pub trait Model {
    /// An operation with its answer, as far as the model needs it. Equal operations do the same.
    type Op: Clone + Eq + Hash + fmt::Debug;
    /// A state. Equal states answer alike for ever.
    type State: Clone + Eq + Hash + fmt::Debug;

    /// The state before anything was done.
    fn initial(&self) -> Self::State;

    /// The state after `op`; `None` if it cannot have been answered so in this state.
    fn step(&self, state: &Self::State, op: &Self::Op) -> Option<Self::State>;

    /// Understands a recorded operation.
    ///
    /// # Errors
    ///
    /// If the object has no such operation, or its argument or result is not what it can be.
    fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<Self::Op>, Undecodable>;

    /// Whether `op` changes no state: [`step`](Self::step) returns the state that it was given, or none,
    /// whatever the state. The search is much faster with such operations; one that says so and then
    /// changes a state makes it panic.
    fn observes(&self, op: &Self::Op) -> bool {
        let _ = op;
        false
    }

    /// Whether `op`, which is not legal in this state, cannot become legal any more, whatever
    /// is done before it. `false` is always right. It is asked only where [`step`](Self::step) said no.
    fn is_hopeless(&self, state: &Self::State, op: &Self::Op) -> bool {
        let _ = (state, op);
        false
    }

    /// Of how many [observers](Self::observes) to come, beyond those that are open, the search asks in each state
    /// whether they are [hopeless](Self::is_hopeless). That pays for objects that remember all that was done to them.
    /// With 0, it asks only of the one that returns next.
    fn lookahead(&self) -> usize {
        0
    }

    /// What holds in every legal order of these operations, as far as that is easily told. Nothing is always right.
    ///
    /// The search asks this once, of all that it is about to search: that can be a part of a history in which
    /// operations have become optional, so nothing may be kept from one time to the next.
    fn foresee(&self, ops: &[Timed<Self::Op>]) -> Foresight<Self::Op> {
        let _ = ops;
        Foresight::default()
    }

    /// A state, for people.
    fn show(&self, state: &Self::State) -> String {
        format!("{state:?}")
    }
}

/// What a recorded operation is to a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decoded<O> {
    /// It takes effect once within its interval.
    Effect(O),
    /// It takes effect once, at any time after its invocation, or never.
    Optional(O),
    /// It says nothing and does nothing, such as a read of unknown outcome.
    Nothing,
}

/// An operation that a model does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecodable {
    /// The object has no such function.
    #[error("there is no function `{function}`, only {known}")]
    Function {
        /// The name.
        function: String,
        /// Those that there are, separated by commas.
        known: &'static str,
    },
    /// An argument is not what it can be.
    #[error("the argument of `{function}` is {argument}, but must be {must}")]
    Argument {
        /// The function.
        function: String,
        /// The argument.
        argument: Value,
        /// What it can be.
        must: &'static str,
    },
    /// A result is not what it can be.
    #[error("the result of `{function}` is {result}, but must be {must}")]
    Result {
        /// The function.
        function: String,
        /// The result.
        result: Value,
        /// What it can be.
        must: &'static str,
    },
}

impl Undecodable {
    /// Where that is, if the operation knows.
    pub(crate) fn place(&self, op: ObjectOp<'_>) -> Option<TextPlace> {
        match self {
            Self::Function { .. } | Self::Argument { .. } => op.invoked_in(),
            Self::Result { .. } => op.completed_in(),
        }
    }
}
