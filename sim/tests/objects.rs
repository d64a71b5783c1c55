//! The simulated object store keeps the contract of all object stores.

use hstore_core::Rng;
use hstore_sim::objects::SimObjectStore;
use hstore_sim::profile::Profile;
use hstore_sim::seeds::SimSeeds;
use hstore_tier2::contract::check_object_store;

#[test]
fn the_simulated_object_store_keeps_the_contract() {
    let profile = Profile::by_name("offload").expect("it is built in");
    let options = profile.draw(SimSeeds(1)).tiering.expect("it is tiered");
    let mut store = SimObjectStore::new(options, Rng::from_seed(1));
    let root = "root".parse().expect("a key");
    check_object_store(&mut store, &root);
}
