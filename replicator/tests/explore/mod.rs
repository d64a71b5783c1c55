//! Bounded exhaustive exploration. [`world`]: the machines and what they do, and which messages make no
//! difference any more. [`search`]: the states, the invariants, and the walk through all of them.
//! [`table`]: numbers for values.

pub(crate) mod search;
pub(crate) mod table;
pub(crate) mod world;
