//! Which crate may depend on what.
//!
//! Two questions, two sources. *Who names whom* is in the manifests, and `cargo metadata` tells it.
//! *What comes along with whom* depends on features, and the graph in `cargo metadata` has those of the
//! whole workspace united: what the simulator turns on seems to be on for everybody. So that is asked of
//! cargo's own resolver for each crate alone, as it is built alone: `cargo tree -p CRATE`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// For each crate of ours, the crates of ours that it may name. Tests may name more, so long as no
/// crate names one of `LEAVES`.
const ALLOWED: [(&str, &[&str]); 10] = [
    ("hstore-core", &[]),
    ("hstore-replicator", &["hstore-core"]),
    ("hstore-tier1", &["hstore-core"]),
    ("hstore-tier2", &["hstore-core", "hstore-replicator"]),
    (
        "hstore-node",
        &[
            "hstore-core",
            "hstore-replicator",
            "hstore-tier1",
            "hstore-tier2",
        ],
    ),
    ("jepsen-lite", &["hstore-core"]),
    ("hstore-workloads", &["hstore-core", "jepsen-lite"]),
    ("hstore-reports", &["hstore-core", "jepsen-lite"]),
    (
        "hstore-sim",
        &[
            "hstore-core",
            "hstore-replicator",
            "hstore-tier1",
            "hstore-tier2",
            "hstore-node",
            "jepsen-lite",
            "hstore-workloads",
            "hstore-reports",
        ],
    ),
    (
        "hstore-server",
        &[
            "hstore-core",
            "hstore-replicator",
            "hstore-tier1",
            "hstore-tier2",
            "hstore-node",
        ],
    ),
];

/// Nothing of ours names these, not even in tests.
const LEAVES: [&str; 2] = ["hstore-sim", "hstore-server"];

/// Packages that only one crate of ours may name.
const RESERVED: [(&str, &str); 8] = [
    ("madsim", "hstore-sim"),
    ("madsim-tokio", "hstore-sim"),
    ("tokio", "hstore-server"),
    ("tokio-util", "hstore-server"),
    ("tokio-stream", "hstore-server"),
    ("tonic", "hstore-server"),
    ("rocksdb", "hstore-tier1"),
    ("librocksdb-sys", "hstore-tier1"),
];

/// Crates whose default build, all that comes along included, does no I/O and draws no entropy.
const PURE: [&str; 5] = [
    "hstore-core",
    "hstore-replicator",
    "hstore-tier2",
    "hstore-node",
    "jepsen-lite",
];

/// What must not come along with them.
const IMPURE: [&str; 11] = [
    "tokio",
    "madsim",
    "madsim-tokio",
    "async-std",
    "smol",
    "mio",
    "rocksdb",
    "librocksdb-sys",
    "getrandom",
    "rand_os",
    "fastrand",
];

/// What must not come along with the server: nothing of it is simulated.
const SIMULATED: [&str; 4] = ["hstore-sim", "madsim", "madsim-tokio", "madsim-macros"];

/// Features that let `rand` ask the operating system.
const ENTROPY_FEATURES: [&str; 4] = ["sys_rng", "os_rng", "thread_rng", "getrandom"];

/// A dependency as a manifest names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    from: String,
    to: String,
    kind: DependencyKind,
}

/// A package of a build, with its features.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Built {
    name: String,
    features: BTreeSet<String>,
}

/// What is wrong with the dependencies that our manifests name.
fn judge_names(ours: &BTreeSet<String>, named: &[Named]) -> Vec<String> {
    let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
    let mut faults = Vec::new();
    for name in ours {
        if !allowed.contains_key(name.as_str()) {
            faults.push(format!("{name} is a new crate: say here what it may name"));
        }
    }
    for Named { from, to, kind } in named {
        let is_for_tests = *kind == DependencyKind::Development;
        if ours.contains(to) {
            let may = allowed
                .get(from.as_str())
                .is_some_and(|may| may.contains(&to.as_str()));
            let is_leaf = LEAVES.contains(&to.as_str());
            if is_leaf || !(may || is_for_tests) {
                faults.push(format!("{from} must not name {to}"));
            }
        }
        for (package, owner) in RESERVED {
            if to == package && from != owner {
                faults.push(format!("{from} must not name {to}: only {owner} may"));
            }
        }
    }
    faults
}

/// What is wrong with all that comes along with a pure crate.
fn judge_build(root: &str, build: &[Built]) -> Vec<String> {
    let mut faults = Vec::new();
    if !build.iter().any(|built| built.name == root) {
        faults.push(format!(
            "{root} is not in its own build: the list was misread"
        ));
    }
    for Built { name, features } in build {
        if IMPURE.contains(&name.as_str()) {
            faults.push(format!("{name} comes along with {root}"));
        }
        if name == "rand" || name == "rand_core" {
            let is_on = |feature: &&&str| features.contains(**feature);
            if let Some(feature) = ENTROPY_FEATURES.iter().find(is_on) {
                faults.push(format!(
                    "{name} comes along with {root} with feature {feature}"
                ));
            }
        }
    }
    faults
}

/// What is wrong with all that comes along with the server.
fn judge_server(build: &[Built]) -> Vec<String> {
    let mut faults = Vec::new();
    for Built { name, features } in build {
        if SIMULATED.contains(&name.as_str()) {
            faults.push(format!("{name} comes along with the server"));
        }
        for (feature, what) in [("planted", "planted bugs"), ("probes", "probes")] {
            if name == "hstore-core" && features.contains(feature) {
                faults.push(format!("{what} come along with the server"));
            }
        }
    }
    faults
}

fn metadata() -> Metadata {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .expect("cargo describes the workspace")
}

fn names_of(metadata: &Metadata) -> (BTreeSet<String>, Vec<Named>) {
    let packages = &metadata.packages;
    let ours = packages.iter().map(|package| package.name.to_string());
    let named = packages.iter().flat_map(|package| {
        package.dependencies.iter().map(|dependency| Named {
            from: package.name.to_string(),
            to: dependency.name.clone(),
            kind: dependency.kind,
        })
    });
    (ours.collect(), named.collect())
}

/// All that is linked into a build of `root` alone, on any platform, with its default features.
fn build_of(metadata: &Metadata, root: &str) -> Vec<Built> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--edges", "normal", "--target", "all"])
        .args([
            "--prefix",
            "none",
            "--format",
            "{p}\t{f}",
            "--package",
            root,
        ])
        .current_dir(&metadata.workspace_root)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    parse_tree(&text)
}

/// Lines such as `rand v0.10.0<tab>std,alloc (*)`: a star marks what was listed before.
fn parse_tree(text: &str) -> Vec<Built> {
    let built = text.lines().filter_map(|line| {
        let (package, features) = line.split_once('\t')?;
        let name = package.split(' ').next()?.to_owned();
        let features = features.trim_end_matches("(*)").trim().split(',');
        Some(Built {
            name,
            features: features.map(str::to_owned).collect(),
        })
    });
    built.collect()
}

#[test]
fn crates_name_only_what_the_architecture_allows() {
    let (ours, named) = names_of(&metadata());
    assert!(ours.contains("hstore-sim") && named.len() > ours.len());
    assert_eq!(judge_names(&ours, &named), Vec::<String>::new());
}

#[test]
fn nothing_that_does_io_or_draws_entropy_comes_along_with_a_pure_crate() {
    let metadata = metadata();
    for root in PURE {
        let build = build_of(&metadata, root);
        assert_eq!(judge_build(root, &build), Vec::<String>::new());
    }
}

#[test]
fn nothing_simulated_and_no_planted_bug_comes_along_with_the_server() {
    let metadata = metadata();
    let build = build_of(&metadata, "hstore-server");
    assert!(build.iter().any(|built| built.name == "tokio"));
    assert_eq!(judge_server(&build), Vec::<String>::new());
    let faults = judge_server(&build_of(&metadata, "hstore-sim"));
    for fault in [
        "madsim comes along with the server",
        "planted bugs come along with the server",
    ] {
        assert!(faults.contains(&fault.to_owned()), "{faults:?}");
    }
}

/// The simulator's build has what the pure ones must not have: seen, so it would be seen there too.
#[test]
fn the_eyes_are_open() {
    let metadata = metadata();
    let faults = judge_build("hstore-sim", &build_of(&metadata, "hstore-sim"));
    for package in ["madsim", "tokio", "getrandom"] {
        let fault = format!("{package} comes along with hstore-sim");
        assert!(faults.contains(&fault), "{faults:?}");
    }
}

#[test]
fn a_forbidden_name_is_found() {
    let ours: BTreeSet<String> = ALLOWED.iter().map(|(name, _)| (*name).to_owned()).collect();
    let judged = |from: &str, to: &str, kind| {
        let named = Named {
            from: from.to_owned(),
            to: to.to_owned(),
            kind,
        };
        judge_names(&ours, &[named]).len()
    };
    use DependencyKind::{Build, Development, Normal};
    for (from, to, kind) in [
        ("hstore-core", "hstore-replicator", Normal),
        ("hstore-core", "hstore-replicator", Build),
        ("hstore-replicator", "hstore-tier1", Normal),
        ("hstore-reports", "hstore-sim", Normal),
        ("hstore-workloads", "hstore-sim", Development),
        ("hstore-sim", "hstore-server", Normal),
        ("hstore-node", "hstore-server", Development),
        ("hstore-server", "hstore-sim", Development),
        ("hstore-tier1", "hstore-tier2", Normal),
        ("hstore-server", "madsim", Normal),
        ("hstore-node", "madsim", Normal),
        ("hstore-node", "madsim", Development),
        ("hstore-sim", "tokio", Normal),
        ("hstore-sim", "rocksdb", Normal),
        ("hstore-tier2", "librocksdb-sys", Build),
    ] {
        assert_eq!(judged(from, to, kind), 1, "{from} -> {to} ({kind:?})");
    }
    for (from, to, kind) in [
        ("hstore-replicator", "hstore-core", Normal),
        ("hstore-replicator", "hstore-tier1", Development),
        ("hstore-sim", "madsim", Normal),
        ("hstore-tier1", "rocksdb", Normal),
        ("hstore-server", "tokio", Normal),
        ("hstore-server", "jepsen-lite", Development),
        ("hstore-core", "serde", Normal),
    ] {
        assert_eq!(judged(from, to, kind), 0, "{from} -> {to} ({kind:?})");
    }
    let unknown: BTreeSet<String> = ["hstore-new".to_owned()].into();
    assert_eq!(judge_names(&unknown, &[]).len(), 1);
}

#[test]
fn a_forbidden_companion_is_found() {
    let clean =
        "hstore-core v0.1.0 (/somewhere/core)\t\nrand v0.10.0\tstd\nserde v1.0.0\tstd (*)\n";
    assert_eq!(
        judge_build("hstore-core", &parse_tree(clean)),
        Vec::<String>::new()
    );
    for line in [
        "tokio v1.0.0\tdefault",
        "getrandom v0.4.0\t",
        "getrandom v0.4.0\t (*)",
        "librocksdb-sys v0.17.0\t",
        "madsim v0.2.34\t",
        "rand v0.10.0\tstd,sys_rng",
        "rand v0.9.0\tstd,thread_rng (*)",
        "rand_core v0.9.0\tos_rng",
    ] {
        let doctored = format!("{clean}{line}\n");
        let faults = judge_build("hstore-core", &parse_tree(&doctored));
        assert_eq!(faults.len(), 1, "{line}: {faults:?}");
    }
    assert_eq!(judge_build("hstore-core", &parse_tree("")).len(), 1);
}
