//! The examples of what others can add to a world: each says by itself whether it does what it should.

#![expect(
    clippy::duplicate_mod,
    reason = "the example of a planted bug plants it in the example of a store"
)]

#[path = "../examples/own_fault.rs"]
mod own_fault;
#[path = "../examples/own_invariant.rs"]
mod own_invariant;
#[path = "../examples/own_planted_bug.rs"]
mod own_planted_bug;
#[path = "../examples/own_store.rs"]
mod own_store;
#[path = "../examples/own_workload.rs"]
mod own_workload;

#[test]
fn a_fault_of_ones_own_strikes_and_is_undone() {
    own_fault::main();
}

#[test]
fn an_invariant_of_ones_own_is_judged() {
    own_invariant::main();
}

#[test]
fn a_workload_of_ones_own_is_carried_out() {
    own_workload::main();
}

#[test]
fn a_store_of_ones_own_is_crashed_and_reopened() {
    own_store::main();
}

#[test]
fn a_planted_bug_of_ones_own_is_found() {
    own_planted_bug::main();
}
