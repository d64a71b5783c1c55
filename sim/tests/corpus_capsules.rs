//! The corpus of capsules, `sim/corpus/*.json`. Each once failed. Those with a planted bug still have to, in the
//! same way; the others have to pass, as what they showed was fixed.

use std::collections::BTreeSet;
use std::path::Path;

use hstore_sim::capsule::Capsule;
use hstore_sim::options::Engine;
use hstore_sim::outcome::Outcome;

fn corpus() -> Vec<(String, Capsule)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let entries = std::fs::read_dir(directory).expect("the corpus is there");
    let mut capsules: Vec<(String, Capsule)> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|it| it == "json"))
        .map(|path| {
            let name = path
                .file_stem()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let capsule = Capsule::read(&path).unwrap_or_else(|error| panic!("{error}"));
            assert!(!capsule.about.is_empty(), "{name} says what it shows");
            (name, capsule)
        })
        .collect();
    capsules.sort_by(|a, b| a.0.cmp(&b.0));
    capsules
}

#[test]
fn what_was_fixed_passes() {
    let mut count = 0;
    for (name, capsule) in corpus() {
        if capsule.options.mutant.is_some() {
            continue;
        }
        for engine in [Engine::Rocksdb, Engine::Model] {
            let mut capsule = capsule.clone();
            capsule.options.engine = engine;
            let (_, artifacts) = capsule.replay(false);
            let report = artifacts.report;
            assert_eq!(report.outcome, Outcome::Passed, "{name}: {report:#?}");
        }
        count += 1;
    }
    assert!(count >= 5, "{count}");
}

#[test]
fn planted_bugs_still_fail_as_they_did() {
    let mut mutants = BTreeSet::new();
    for (name, capsule) in corpus() {
        let Some(mutant) = capsule.options.mutant.clone() else {
            continue;
        };
        let (replay, artifacts) = capsule.replay(false);
        let signature = (&replay.signature, &capsule.signature);
        assert!(
            replay.same_outcome && replay.same_signature,
            "{name}: {signature:?}"
        );
        assert!(artifacts.report.counts.mutant_reached > 0, "{name}");
        // Without the bug nothing is wrong with it; it may do too little to mean anything.
        let mut healthy = capsule.clone();
        healthy.options.mutant = None;
        let (replay, _) = healthy.replay(false);
        let sound = [Outcome::Passed, Outcome::Vacuous];
        assert!(sound.contains(&replay.outcome), "{name}: {replay:?}");
        mutants.insert(mutant);
    }
    assert!(mutants.len() >= 9, "{mutants:?}");
}
