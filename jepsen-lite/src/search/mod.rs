//! The general search: whether some order of operations explains what they returned.
//!
//! This is for objects of which nothing is known but a sequential [`Model`]. It costs exponential time
//! at worst, so it takes a [`Budget`] of steps, and its answer depends on nothing else: no clock, no
//! thread, no randomness. Logs have a faster checker, [`log_check`](crate::log_check).
//!
//! # The algorithm
//!
//! It is a depth-first search in the manner of Wing and Gong ("Testing and verifying concurrent
//! objects", 1993), with Lowe's memory of configurations and his *just-in-time* order ("Testing for
//! linearizability", 2017): the events are gone through in order, and an operation is linearized only
//! when one that returns needs it. A configuration is a place among the events, a state, and the set of
//! open operations that are linearized already. At the return of an operation `x` that is not, it
//! branches into every sequence of open operations that ends in `x`.
//!
//! What keeps the number of configurations low:
//!
//! - *Sets of open operations.* Operations get slots, which are reused once they returned, so a set has as
//!   many bits as operations were ever open at once. States are interned, and each step of a state by a
//!   kind of operation is computed once.
//! - *Eager observers.* An operation that [never changes any state](Model::observes) is linearized as
//!   soon as it is legal. That is safe: take any legal continuation, and move the observer to its
//!   front. It is open, so it may come there; it is legal there; and since it changes nothing, the rest
//!   stays as legal as before. It would *not* be safe for an operation that leaves merely this state as
//!   it is: a write of 1 to a register that holds 1 may be needed after a write of 2.
//! - *Equal open operations.* Of those that do the same, only the one that must return first is tried: in
//!   a continuation that takes another one first, the two can change places. Those of unknown outcome come
//!   last, since they can do without a place. (An optional operation with a deadline is neither sooner nor
//!   later than a required one, and is compared only with its like.)
//! - *Domination.* A configuration that differs from an earlier one only in that more optional operations
//!   are used up is dropped: what continues it also continues the other.
//! - *Needless haste.* In a sequence `y1 .. yk x`, a `yi` which could as well come right after `x`, with
//!   every observer in between still legal and the same state in the end, is not needed before `x`, and the
//!   sequence is not tried. An optional `yi` without which the same state is reached is not needed at all;
//!   if it is the next operation already that leaves nothing of it, the sequence is not even begun. (So of
//!   many unknown writes to a register only those are tried of which somebody reads.)
//! - *Looking ahead.* Where a model says that an observer which is open, or will be soon, can
//!   [never become legal](Model::is_hopeless) after a state, that state is given up. The harder the search
//!   turns out to be, the further it looks. Then [`Blame`] is found afterwards, on beginnings of the history in which
//!   later observers are not there yet.
//! - *Foresight.* A model can tell [beforehand](Model::foresee) that in every legal order one operation comes
//!   before another, or that one is in none. What is not in keeping with that is not tried, since nothing legal
//!   continues it. `Blame` is then found on beginnings, too, and of each it is told anew.
//!
//! Why domination and haste, which depend on the way by which a configuration was reached first, lose
//! nothing: rank a visited configuration with a legal continuation by the events that remain, then by the
//! number of operations that are linearized when `x` is, then by the length of the continuation. A step
//! lowers this rank. Where a step is dropped for haste, the configuration before `yi`, which was visited, has
//! a continuation with one operation less before `x`, which is a lower rank. Domination does not raise it.
//! So as long as anything visited can be continued to the end, something of lower rank is visited, until it
//! is the end itself. The same holds with any event in place of the end, so the furthest event is exact,
//! which is what [`Blame`] says.
//!
//! # Example: a model of one's own
//!
//! ```
//! use jepsen_lite::history::OpId;
//! use jepsen_lite::object::ObjectOp;
//! use jepsen_lite::search::{Budget, Decoded, Model, Searched, Timed, Undecodable, search, unwatched};
//!
//! /// A counter that returns the sum with each increment.
//! struct Tickets;
//!
//! impl Model for Tickets {
//!     /// The number on the ticket.
//!     type Op = i64;
//!     /// How many were taken.
//!     type State = i64;
//!
//!     fn initial(&self) -> i64 {
//!         0
//!     }
//!
//!     fn step(&self, taken: &i64, ticket: &i64) -> Option<i64> {
//!         (*ticket == taken + 1).then_some(*ticket)
//!     }
//!
//!     fn decode(&self, op: ObjectOp<'_>) -> Result<Decoded<i64>, Undecodable> {
//!         match op.result().as_int() {
//!             Some(ticket) => Ok(Decoded::Effect(ticket)),
//!             None => Ok(Decoded::Nothing),
//!         }
//!     }
//! }
//!
//! let ticket = |id, op, invoked, deadline| Timed { id: OpId(id), op, optional: false, invoked, deadline };
//! let concurrent = [ticket(0, 2, 0, 3), ticket(1, 1, 1, 2)];
//! match search(&Tickets, &concurrent, Budget::default(), &unwatched) {
//!     Searched::Linearizable { order, .. } => assert_eq!(order, [OpId(1), OpId(0)]),
//!     other => panic!("{other:?}"),
//! }
//! let backwards = [ticket(0, 2, 0, 1), ticket(1, 1, 2, 3)];
//! match search(&Tickets, &backwards, Budget::default(), &unwatched) {
//!     Searched::Illegal(blame) => assert_eq!(blame.op, OpId(0)),
//!     other => panic!("{other:?}"),
//! }
//! ```

mod configurations;
mod engine;
mod foresight;
mod model;
mod replay;
mod shrink;
mod states;
mod timeline;

pub use engine::{Blame, Budget, Possible, Progress, Searched, Timed, search, unwatched};
pub use foresight::Foresight;
pub use model::{Decoded, Model, Undecodable};
pub use replay::{NotAWitness, replay};
pub use shrink::{Core, shrink};
