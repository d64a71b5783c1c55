//! The tests of the whole crate, as one binary.

mod anomalies;
mod browser;
mod brute;
mod brute_force;
mod certificates;
mod command;
mod conditions;
mod corpora;
mod every_kind;
mod formats;
mod formats_damage;
mod formats_round_trip;
mod generator;
mod json;
mod log_checks;
mod object_checks;
mod online;
mod report;
mod script;
mod search_brute_force;
