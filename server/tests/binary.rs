//! The programs contain no simulator, no planted bug, and RocksDB as it is.
//!
//! Only true if they were built by themselves: the simulator asks for the planted bugs, and cargo would
//! give them to every program of the same build. `cargo test -p hstore-server` builds them by
//! themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const PROGRAMS: [&str; 2] = [env!("CARGO_BIN_EXE_hstored"), env!("CARGO_BIN_EXE_hstore")];
/// The crates whose code asks whether a planted bug is on.
const PRODUCT: [&str; 6] = ["core", "replicator", "tier1", "tier2", "node", "server"];

fn contains(bytes: &[u8], name: &str) -> bool {
    bytes.windows(name.len()).any(|it| it == name.as_bytes())
}

/// The names in `planted!("...")` of all files under `directory`.
fn planted_names(directory: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            planted_names(&path, names);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).expect("text");
            let found = text.split("planted!(\"").skip(1);
            names.extend(found.filter_map(|it| Some(it.split_once('"')?.0.to_owned())));
        }
    }
}

#[test]
fn no_simulator_and_no_planted_bug_is_in_the_programs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace");
    let mut names = BTreeSet::new();
    for folder in PRODUCT {
        planted_names(&root.join(folder).join("src"), &mut names);
    }
    assert!(
        names.contains("ack-before-fsync") && names.len() >= 3,
        "{names:?}"
    );
    // The function that asks, as the compiler mangles it; the simulator and what it stands on.
    names.extend(["planted6active", "hstore_sim", "madsim"].map(str::to_owned));
    // What takes the place of RocksDB's own where RocksDB is hosted.
    let hosting = [
        "hstore_env_create",
        "hstore_name_sessions",
        "hstore_without_timer",
    ];
    names.extend(hosting.map(str::to_owned));
    for program in PROGRAMS {
        let bytes = fs::read(program).expect("the program");
        // What is there is found.
        for name in ["hstore_server", "hstore_replicator", "HSTORE_LOG"] {
            assert!(contains(&bytes, name), "{name} is not in {program}");
        }
        for name in &names {
            assert!(!contains(&bytes, name), "{name} is in {program}");
        }
    }
}
