//! The tests of the whole crate, as one binary.

mod anomalies;
mod browser;
mod brute;
mod brute_force;
mod command;
mod corpora;
mod corpora_loader;
mod formats;
mod formats_damage;
mod formats_round_trip;
mod generator;
mod json;
mod log_checks;
mod object_checks;
mod report;
mod script;
mod search_brute_force;
mod search_corpora;
