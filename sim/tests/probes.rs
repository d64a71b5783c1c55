//! Probes: each that is listed stands somewhere, and runs reach them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hstore_core::probe::PROBES;
use hstore_sim::options::Engine;
use hstore_sim::profile::Profile;
use hstore_sim::run::{RunRequest, run};

fn sources(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|it| it == "rs") {
            found.push(path);
        }
    }
}

/// The names of the probes that a text marks.
fn marked(text: &str) -> impl Iterator<Item = &str> {
    let calls = text.split("probe!(").skip(1);
    calls.filter_map(|call| call.trim_start().strip_prefix('"')?.split('"').next())
}

#[test]
fn every_probe_that_is_listed_stands_somewhere() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut files = Vec::new();
    for part in ["replicator", "node", "tier1", "tier2", "sim"] {
        sources(&root.join(part).join("src"), &mut files);
    }
    let texts: Vec<String> = files
        .iter()
        .map(|path| fs::read_to_string(path).expect("a source"))
        .collect();
    let marked: BTreeSet<&str> = texts.iter().flat_map(|text| marked(text)).collect();
    let listed: BTreeSet<&str> = PROBES.iter().map(|probe| probe.name).collect();
    assert_eq!(marked, listed);
    assert!(listed.len() >= 60);
}

/// What a seed reaches is told with it, is the same every time, and nothing is left over from another.
#[test]
fn a_run_tells_which_probes_it_reached() {
    let report = |profile: &str, seed| {
        run(&RunRequest {
            seed,
            profile: Profile::by_name(profile).expect("built in"),
            engine: Engine::Model,
            quorums: None,
            mutant: None,
            white_box: true,
            stop_at_violation: false,
            record_trace: false,
            record_log: false,
        })
        .report
    };
    let mut reached = BTreeSet::new();
    for seed in 1..=20 {
        let probes = report("chaos", seed).probes;
        assert_eq!(report("chaos", seed).probes, probes);
        reached.extend(probes);
    }
    for common in [
        "recovery.sealed-without-all",
        "reign.tail-waits-for-recovery",
    ] {
        assert!(reached.contains(common), "{reached:?}");
    }
    let calm = report("calm", 1).probes;
    assert!(calm.len() < reached.len() / 2, "{calm:?}");
}
