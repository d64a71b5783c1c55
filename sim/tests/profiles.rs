//! Profiles: what is built in can be used, says what it always said, and what is wrong with a file is told
//! with its place.

use std::fs;
use std::path::PathBuf;

use hstore_sim::nemesis::{FaultOptions, families};
use hstore_sim::options::SimOptions;
use hstore_sim::profile::knobs::Knob;
use hstore_sim::profile::{PROFILES, Profile};
use hstore_sim::seeds::SimSeeds;

const SEEDS: u64 = 400;

fn draws(profile: &'static str) -> Vec<SimOptions> {
    let profile = Profile::by_name(profile).expect("it is built in");
    (1..=SEEDS)
        .map(|seed| profile.draw(SimSeeds(seed)))
        .collect()
}

/// A file of this content, and the directory that it is in as long as that is kept.
fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let room = tempfile::tempdir().expect("a directory");
    let path = room.path().join("mine.toml");
    fs::write(&path, text).expect("written");
    (room, path)
}

/// What a file draws.
fn drawn(text: &str) -> Vec<SimOptions> {
    let (_room, path) = file(text);
    let profile = Profile::read(&path).unwrap_or_else(|error| panic!("{error}"));
    (1..=SEEDS)
        .map(|seed| profile.draw(SimSeeds(seed)))
        .collect()
}

/// What is said of a wrong file, behind its name.
fn refused(text: &str) -> String {
    let (_room, path) = file(text);
    let error = Profile::read(&path).expect_err("something is wrong");
    let said = error.to_string();
    let said = said.strip_prefix(&path.display().to_string());
    said.expect("the file is named first").to_owned()
}

#[test]
fn every_built_in_profile_draws_clusters_that_can_be() {
    assert_eq!(PROFILES[0].name, "default");
    for profile in PROFILES.iter() {
        for seed in 1..=SEEDS {
            let options = profile.draw(SimSeeds(seed));
            assert_eq!(options.profile, profile.name);
            assert_eq!(options.cluster().validate(), Ok(()));
            assert_eq!(profile.draw(SimSeeds(seed)), options, "the same once more");
        }
    }
}

/// What speed is measured with must not drift.
#[test]
fn the_default_profile_is_what_it_was() {
    let draws = draws("default");
    let all = |what: fn(&SimOptions) -> bool| draws.iter().all(what);
    assert!(all(
        |it| it.locations.len() == 5 && it.workload.operations == 500
    ));
    assert!(all(|it| it.chaos_us == 10_000_000 && it.quiet_us == 0));
    assert!(all(|it| it.moves.is_none() && it.quorums.is_none()));
    assert!(all(|it| (2..=3).contains(&it.replication.copies)));
    assert!(all(|it| (2..=4).contains(&it.faults.count("crashes"))));
    assert!(all(
        |it| (1..=2).contains(&it.faults.count("power_failures"))
    ));
    assert!(all(|it| (1..=3).contains(&it.faults.count("partitions"))));
    let mean = |of: fn(&SimOptions) -> f64| draws.iter().map(of).sum::<f64>() / SEEDS as f64;
    let near = |mean: f64, wanted: f64| (mean - wanted).abs() < 0.12 * wanted;
    assert!(near(mean(|it| f64::from(it.workload.clients)), 9.0));
    assert!(near(mean(|it| f64::from(it.faults.count("pauses"))), 1.0));
    assert!(near(
        mean(|it| f64::from(it.faults.count("slow_disks"))),
        1.0
    ));
    let spread = |it: &SimOptions| f64::from(u8::from(it.replication.racks == 2));
    assert!(near(mean(spread), 1.0 / 3.0));
    assert!(near(mean(|it| it.disk.sync_us_max as f64), 1_100.0 * 11.0));
}

#[test]
fn calm_has_no_faults_whatever_families_there_are() {
    assert!(
        draws("calm")
            .iter()
            .all(|it| it.faults == FaultOptions::default())
    );
}

/// Each seed is another mixture: shape, families of faults, durability, quorum systems.
#[test]
fn nightly_draws_everything() {
    let draws = draws("nightly");
    let some = |what: &dyn Fn(&SimOptions) -> bool| {
        let seeds = draws.iter().filter(|it| what(it)).count();
        assert!(seeds > 0 && seeds < draws.len(), "{seeds}");
    };
    for family in families() {
        let count = |it: &SimOptions| it.faults.count(family.name) > 0;
        if draws.iter().any(count) && family.name != "pauses" {
            some(&count);
        }
    }
    some(&|it| it.quorums.is_some());
    some(&|it| it.moves.nodeset > 0);
    some(&|it| it.locations.len() == 3);
    some(&|it| it.locations.len() == 9);
    some(&|it| it.variants.iter().any(|it| it == "memory"));
    some(&|it| it.workload.mix.poll > 0 && it.workload.mix.conditional > 0);
}

/// What is shown can be written to a file, and is the same profile.
#[test]
fn a_profile_that_is_shown_draws_the_same() {
    for profile in PROFILES.iter() {
        let (_room, path) = file(&profile.to_toml());
        let read = Profile::read(&path).unwrap_or_else(|error| panic!("{error}"));
        for seed in 1..=50 {
            let options = SimOptions {
                profile: profile.name.clone(),
                ..read.draw(SimSeeds(seed))
            };
            assert_eq!(options, profile.draw(SimSeeds(seed)));
        }
    }
}

#[test]
fn a_file_changes_what_it_names_and_leaves_the_rest_as_it_was() {
    let mine = drawn("extends = \"default\"\n[topology]\nnodes = 7\n[faults]\ncrashes = 9");
    for (mine, default) in mine.iter().zip(draws("default")) {
        assert_eq!(mine.locations.len(), 7);
        assert_eq!(mine.faults.count("crashes"), 9);
        assert_eq!(mine.faults.count("pauses"), default.faults.count("pauses"));
        assert_eq!(mine.workload, default.workload);
        assert_eq!((mine.net, mine.disk), (default.net, default.disk));
    }
}

#[test]
fn a_file_may_extend_another_beside_it() {
    let (room, path) = file("extends = \"base.toml\"\n[topology]\nracks = 1");
    fs::write(room.path().join("base.toml"), "[topology]\nnodes = 6").expect("written");
    let profile = Profile::read(&path).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(profile.draw(SimSeeds(1)).locations.len(), 6);
    fs::write(room.path().join("base.toml"), "extends = \"mine.toml\"").expect("written");
    let said = Profile::read(&path).expect_err("a circle").to_string();
    assert!(said.contains("`mine.toml` extends itself"), "{said}");
    fs::write(room.path().join("base.toml"), "[topology]\nnodes = 0").expect("written");
    let said = Profile::read(&path).expect_err("wrong").to_string();
    assert!(
        said.contains("base.toml:2:9: `topology.nodes` cannot be 0"),
        "{said}"
    );
}

#[test]
fn variants_of_a_group_exclude_each_other_and_have_their_chances() {
    let draws = drawn(
        r#"
        [[variant]]
        name = "a"
        group = "one"
        chance = 0.5
        topology.nodes = 6
        [[variant]]
        name = "b"
        group = "one"
        chance = 0.3
        topology.nodes = 7
        [[variant]]
        name = "c"
        chance = 0.5
        faults.only = true
        "#,
    );
    let with = |name: &str| {
        let has = |it: &&SimOptions| it.variants.iter().any(|variant| variant == name);
        draws.iter().filter(has).collect::<Vec<_>>()
    };
    let share = |name: &str| with(name).len() as f64 / SEEDS as f64;
    assert!((share("a") - 0.5).abs() < 0.08 && (share("b") - 0.3).abs() < 0.08);
    assert!(with("a").iter().all(|it| it.locations.len() == 6));
    assert!(with("b").iter().all(|it| it.locations.len() == 7));
    assert!(
        with("c")
            .iter()
            .all(|it| it.faults == FaultOptions::default())
    );
    let both = with("a").iter().filter(|it| it.variants.len() == 2).count() as f64;
    assert!((both / SEEDS as f64 - 0.25).abs() < 0.08);
}

/// Knobs that do not fit together are drawn again, until they do.
#[test]
fn what_does_not_fit_together_is_drawn_again() {
    let draws = drawn(
        "[topology]\nnodes = 3\nmetadata_nodes = 3\n[quorums]\ncopies = { from = 2, to = 4 }",
    );
    let copies = |count| {
        draws
            .iter()
            .filter(|it| it.replication.copies == count)
            .count()
    };
    assert_eq!(copies(4), 0);
    assert!(copies(2) > 100 && copies(3) > 100);
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_what_is_allowed() {
    for (text, said) in [
        (
            "[faults]\ncrashs = 3",
            ":2:1: there is no family of faults `crashs`: did you mean `crashes`?",
        ),
        (
            "[topologie]\nnodes = 3",
            ":1:2: there is no section or key `topologie`: did you mean `topology`?",
        ),
        (
            "[disk]\nspeed = 3",
            ":2:1: there is no knob of `disk` `speed`: there are: read_us, sync_us_max, sync_us_min",
        ),
        (
            "[faults]\ncrashes = 5000",
            ":2:11: `faults.crashes` cannot be 5000: it must be a whole number from 0 to 1000",
        ),
        (
            "[faults]\ncrashes = { from = 3, to = 2 }",
            ":2:11: `faults.crashes` is from more to less",
        ),
        (
            "[faults]\ncrashes = { form = 3, to = 2 }",
            ":2:13: there is no key of a distribution `form`: did you mean `from`?",
        ),
        (
            "[faults]\ncrashes = { from = 3 }",
            ":2:11: `faults.crashes` needs one thing to be drawn from",
        ),
        (
            "[faults]\ncrashes = { one_of = [] }",
            ":2:22: `faults.crashes` has nothing to choose from",
        ),
        (
            "[faults]\ncrashes = { one_of = [1], weights = [1, 2] }",
            ":2:37: there are 2 weights for 1 choices",
        ),
        (
            "[faults]\ncrashes = -1",
            ":2:11: `faults.crashes` cannot be -1",
        ),
        (
            "[net]\nloss = 1.5",
            ":2:8: `net.loss` cannot be 1.5: it must be a number from 0 to 1",
        ),
        (
            "[net]\nloss = { from = 0.1, to = 0.2, times = 3 }",
            ":2:40: `times` is for numbers",
        ),
        (
            "[topology]\nnodes = { value = 3, times = \"disk.sync\" }",
            ":2:30: there is no knob that is a number `disk.sync`: did you mean `disk.sync_us_",
        ),
        (
            "[topology]\nnodeset = \"some\"",
            ":2:11: `topology.nodeset` cannot be \"some\": it must be one of \"all\", \"ring\", \"weighted\"",
        ),
        (
            "[topology]\nnodeset = { chance = 0.5, value = \"ring\" }",
            ":2:11: what is `topology.nodeset` otherwise?",
        ),
        (
            "[quorums]\nsystem = \"a *\"",
            ":2:10: `quorums.system` cannot be \"a *\"",
        ),
        (
            "topology = 3",
            ":1:12: `topology` is a section of knobs, not a value",
        ),
        ("nodes = ", ":1:9: this is not TOML: "),
        (
            "extends = \"caos\"",
            ":1:11: there is no profile `caos`: did you mean `chaos`?",
        ),
        (
            "extends = \"elsewhere/x.toml\"",
            ":1:11: there is no profile `elsewhere/x.toml`",
        ),
        (
            "[[variant]]\nname = \"x\"",
            ":1:1: a variant needs a chance",
        ),
        ("[[variant]]\nchance = 0.5", ":1:1: a variant needs a name"),
        (
            "[[variant]]\nname = \"x\"\nchance = 0.5\nfaults.stall = 3",
            ":4:8: there is no family of faults `stall`: did you mean `stalls`?",
        ),
        (
            "[canary]\nmutants = [\"ack\"]",
            ":2:12: there is no planted bug `ack`",
        ),
        (
            "[probes]\nrequired = [\"decide.hol\"]",
            ":2:13: there is no probe `decide.hol`: did you mean `decide.hole`?",
        ),
        (
            "[probes]\nafter_seconds = 0",
            ":2:17: `probes.after_seconds` cannot be 0",
        ),
        (
            "[chaos]\nlasts_us = { value = 1, plus = \"chaos.quiet_us\" }\nquiet_us = { value = 1, plus = \"chaos.lasts_us\" }",
            ": `chaos.lasts_us` depends on itself",
        ),
        (
            "[[variant]]\nname = \"x\"\ngroup = \"g\"\nchance = 0.7\n[[variant]]\nname = \"y\"\ngroup = \"g\"\nchance = 0.7",
            ": the chances of the variants of `g` sum up to 1.4",
        ),
        (
            "[quorums]\ncopies = 9",
            ": seed 1 draws what cannot be, however often: ",
        ),
    ] {
        let told = refused(text);
        assert!(told.starts_with(said), "{text:?}:\n  {told:?}\n  {said:?}");
        assert_eq!(told.lines().count(), 1, "{told}");
    }
    let missing = Profile::read("nowhere.toml".as_ref()).expect_err("there is none");
    assert!(
        missing
            .to_string()
            .starts_with("nowhere.toml: cannot be read: ")
    );
}

/// Every knob is set by the default profile: others need to say only what they change.
#[test]
fn the_default_profile_sets_every_knob() {
    let text = PROFILES[0].to_toml();
    for knob in Knob::all().filter(|knob| !knob.path.starts_with("faults.")) {
        let (_, name) = knob.path.split_once('.').expect("it has a section");
        let set = format!("# {}\n{name} = ", knob.about);
        assert!(text.contains(&set), "{}", knob.path);
    }
}
