//! The general search: whether some order of operations explains what they returned.
//!
//! This is for objects of which nothing is known but a sequential [`Model`]. It costs exponential time
//! at worst, so it takes a budget of steps. Logs have a faster checker, [`log_check`](crate::log_check).

mod model;

pub use model::{Decoded, Model, Undecodable};
