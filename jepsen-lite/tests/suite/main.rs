//! The tests of the whole crate, as one binary.

mod anomalies;
mod brute;
mod brute_force;
mod command;
mod generator;
mod json;
mod log_checks;
mod object_checks;
mod script;
