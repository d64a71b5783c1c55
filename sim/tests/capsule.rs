//! Capsules: what failed is kept whole, comes again, and can be edited.

use std::fs;
use std::path::{Path, PathBuf};

use hstore_sim::capsule::Capsule;
use hstore_sim::options::Engine;
use hstore_sim::outcome::Outcome;
use hstore_sim::plan::FaultPlan;
use hstore_sim::profile::Profile;
use hstore_sim::run::{RunArtifacts, RunRequest, run};
use hstore_workloads::Ask;
use tempfile::TempDir;

fn request(profile: &str, engine: Engine, seed: u64, mutant: Option<&str>) -> RunRequest {
    RunRequest {
        seed,
        profile: Profile::by_name(profile).expect("a profile"),
        engine,
        quorums: None,
        mutant: mutant.map(str::to_owned),
        white_box: false,
        stop_at_violation: false,
        record_trace: false,
        record_log: false,
    }
}

/// The first seed that fails for a planted bug.
fn failing(profile: &str, engine: Engine, mutant: &str) -> RunArtifacts {
    (1..=500)
        .map(|seed| run(&request(profile, engine, seed, Some(mutant))))
        .find(|it| it.report.outcome == Outcome::Safety)
        .expect("some seed fails")
}

struct File {
    path: PathBuf,
    _room: TempDir,
}

fn file(text: &str) -> File {
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("capsule.json");
    fs::write(&path, text).expect("written");
    File { path, _room: room }
}

fn read(path: &Path) -> Capsule {
    Capsule::read(path).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_capsule_is_its_run_event_by_event() {
    for (profile, engine) in [
        ("default", Engine::Rocksdb),
        ("default", Engine::Model),
        ("appends", Engine::Model),
        ("reading", Engine::Model),
        ("reconfigure", Engine::Model),
        ("chaos", Engine::Model),
    ] {
        let ran = run(&request(profile, engine, 3, None));
        let capsule = Capsule::of(&ran, false);
        let file = file(&capsule.to_text());
        let capsule_read = read(&file.path);
        assert_eq!(capsule_read, capsule, "{profile}");
        let (replay, again) = capsule_read.replay(false);
        assert_eq!(again.report, ran.report, "{profile}");
        assert_eq!(again.effective, ran.effective);
        assert!(replay.same_outcome && replay.same_signature);
        assert_ne!(replay.same_trace, Some(false));
    }
}

#[test]
fn a_failure_comes_again_and_says_so() {
    let ran = failing("default", Engine::Model, "ack-before-fsync");
    let capsule = Capsule::of(&ran, false);
    assert_eq!(
        capsule.signature.as_ref().expect("a failure").property,
        "LostWrite"
    );
    let (replay, _) = capsule.replay(false);
    assert!(replay.is_reproduced());
    // Without faults nothing is lost; and it is said that this is not what the capsule promises.
    let healthy = Capsule {
        plan: FaultPlan::default(),
        ..capsule
    };
    let (replay, _) = healthy.replay(false);
    assert_eq!(replay.outcome, Outcome::Passed);
    assert!(!replay.is_reproduced() && replay.is_deterministic);
}

/// What clients did makes sense where they see something else: their conditions are about what they know.
#[test]
fn operations_keep_their_meaning_without_the_faults() {
    let ran = run(&request("appends", Engine::Model, 7, None));
    let mut capsule = Capsule::of(&ran, false);
    capsule.plan = FaultPlan::default();
    let (_, calm) = capsule.replay(false);
    assert_eq!(calm.steps.len(), ran.steps.len());
    let acked = calm.report.counts.appends_acked;
    assert!(acked >= ran.report.counts.appends_acked / 2, "{acked}");
}

#[test]
fn operations_may_be_left_to_the_seed() {
    let ran = run(&request("default", Engine::Model, 5, None));
    let capsule = Capsule {
        operations: None,
        ..Capsule::of(&ran, false)
    };
    let file = file(&capsule.to_text());
    let (replay, again) = read(&file.path).replay(false);
    assert!(replay.same_outcome);
    assert_eq!(again.report.trace_hash, ran.report.trace_hash);
}

#[test]
fn what_was_edited_wrongly_is_said_with_its_place() {
    let ran = run(&request("reconfigure", Engine::Model, 1, None));
    let good = Capsule::of(&ran, false);
    let text = good.to_text();
    let refused = |text: &str| {
        let file = file(text);
        Capsule::read(&file.path)
            .expect_err("it is wrong")
            .to_string()
    };
    let edited = |edit: &dyn Fn(&mut Capsule)| {
        let mut capsule = good.clone();
        edit(&mut capsule);
        refused(&capsule.to_text())
    };
    let unknown = text.replacen("\"Crash\"", "\"Crush\"", 1);
    let said = refused(&unknown);
    assert!(
        said.contains("unknown variant `Crush`") && said.contains("line "),
        "{said}"
    );
    let said = refused(&text[..text.len() / 2]);
    assert!(
        said.contains("no capsule") && said.contains("EOF"),
        "{said}"
    );
    let said = refused(&text.replacen("\"pause_us\"", "\"pauses_us\"", 1));
    assert!(said.contains("unknown field `pauses_us`"), "{said}");

    let nodes = good.options.locations.len() as u8;
    for (edit, place, what) in [
        (
            (&|it: &mut Capsule| it.format = 7) as &dyn Fn(&mut Capsule),
            "format",
            "reads version 1",
        ),
        (
            &|it| it.plan.faults.swap(0, 1),
            "plan.faults[1]",
            "in the order of time",
        ),
        (
            &|it| it.plan.faults[0].until_us = 0,
            "plan.faults[0]",
            "before it begins",
        ),
        (
            &|it| {
                it.plan.faults[1].target =
                    hstore_sim::plan::Target::Node(hstore_core::NodeId(nodes));
            },
            "plan.faults[1]",
            "there is no n",
        ),
        (
            &|it| it.plan.moves[2].log = hstore_core::LogId(9),
            "plan.moves[2]",
            "the logs are 1 to",
        ),
        (
            &|it| it.options.mutant = Some("no-such-bug".to_owned()),
            "options.mutant",
            "no planted bug no-such-bug",
        ),
        (&|it| it.options.replication.copies = 99, "options", "log1"),
        (
            &|it| it.options.net.loss = 1.5,
            "options.net.loss",
            "from 0 to 1",
        ),
        (
            &|it| it.options.disk.read_us = u64::MAX,
            "options.disk.read_us",
            "more than makes sense",
        ),
        (
            &|it| it.options.net.latency_us_max = 1 << 60,
            "options.net.latency_us",
            "more than makes sense",
        ),
        (
            &|it| it.options.metadata_nodes = 200,
            "options.metadata_nodes",
            "as there are nodes",
        ),
        (
            &|it| it.operations.as_mut().expect("some")[5].client = 1_000,
            "operations[5]",
            "there is no client 1000",
        ),
        (
            &|it| {
                let steps = it.operations.as_mut().expect("some");
                let appends = |ask: &Ask| matches!(ask, Ask::Append { .. });
                let first = steps.iter().position(|it| appends(&it.ask)).expect("one");
                let copy = steps[first].clone();
                steps.insert(first, copy);
            },
            "operations[",
            "is taken",
        ),
        (
            &|it| it.outcome = Outcome::Safety,
            "signature",
            "a failure has one",
        ),
    ] {
        let said = edited(edit);
        assert!(
            said.contains(place) && said.contains(what),
            "{place}, {what}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
    }
    let missing = Capsule::read(Path::new("/no/such/capsule.json")).expect_err("none there");
    assert!(missing.to_string().starts_with("/no/such/capsule.json: "));
}
