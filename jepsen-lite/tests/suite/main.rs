//! The tests of the whole crate, as one binary.

mod anomalies;
mod browser;
mod brute;
mod brute_force;
mod command;
mod generator;
mod json;
mod report;
mod script;
