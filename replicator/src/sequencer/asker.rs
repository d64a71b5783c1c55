//! Who asked for a move and is told what comes of it.
//!
//! A client that hears nothing for a while asks again, under a new number, and waits for the answer to that
//! one only. The move that it asked for first may be under way: then it is one and the same, and its answer
//! goes to the newest request.

use hstore_core::Address;

use super::reign::reply;
use crate::effects::Env;
use crate::message::{ClientAnswer, Move};

/// A client and what it wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Asker {
    client: Address,
    /// Of its newest request.
    number: u64,
    wanted: Move,
}

impl Asker {
    pub(super) fn new((client, number): (Address, u64), wanted: Move) -> Self {
        Self {
            client,
            number,
            wanted,
        }
    }

    pub(super) fn wanted(&self) -> &Move {
        &self.wanted
    }

    /// Whether `other` is this client that asks again for the same. If so it is answered in place of
    /// its earlier requests, be they here before it or after: networks reorder.
    pub(super) fn is_repeated_by(&mut self, other: &Self) -> bool {
        let again = self.client == other.client && self.wanted == other.wanted;
        if again {
            self.number = self.number.max(other.number);
        }
        again
    }

    /// Answers.
    pub(super) fn tell(&self, answer: ClientAnswer, env: &mut Env) {
        reply((self.client, self.number), answer, env);
    }
}
