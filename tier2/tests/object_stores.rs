//! The object store in memory keeps the contract.

use hstore_tier2::contract::check_object_store;
use hstore_tier2::memory::MemoryObjectStore;

#[test]
fn memory() {
    let root = "root".parse().expect("a key");
    check_object_store(&mut MemoryObjectStore::default(), &root);
}
