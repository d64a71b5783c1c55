//! The tests of the whole crate, as one binary.

mod anomalies;
mod brute;
mod brute_force;
mod command;
mod conditions;
mod generator;
mod json;
mod online;
mod script;
