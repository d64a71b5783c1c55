//! Tells the crate which revision it is built from.

use std::path::{Path, PathBuf};
use std::process::Command;

/// What goes into the binaries, from the root of the repository. An edit elsewhere, say of the README,
/// does not make a build dirty.
const SOURCES: [&str; 12] = [
    ".cargo",
    "Cargo.toml",
    "Cargo.lock",
    "core",
    "jepsen-lite",
    "node",
    "replicator",
    "reports",
    "sim",
    "tier1",
    "tier2",
    "workloads",
];

fn main() {
    // As cargo says now: checkouts that share a target directory share this program.
    let crate_root = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let root = crate_root
        .parent()
        .expect("the crate lies in the workspace");
    println!("cargo::rustc-env=HSTORE_REVISION={}", revision(root));
    for path in watched(root).iter().filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
}

/// The commit, with `-dirty` if sources differ from it; `unknown` without a repository or git.
fn revision(root: &Path) -> String {
    describe(root).unwrap_or_else(|| "unknown".to_owned())
}

fn describe(root: &Path) -> Option<String> {
    // Sources unpacked inside somebody else's repository have no revision of their own.
    let top = PathBuf::from(git(root, &["rev-parse", "--show-toplevel"])?);
    if top.canonicalize().ok()? != root.canonicalize().ok()? {
        return None;
    }
    let commit = git(root, &["rev-parse", "--short=12", "HEAD"])?;
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(SOURCES);
    let changes = git(root, &status)?;
    let dirty = if changes.is_empty() { "" } else { "-dirty" };
    Some(format!("{commit}{dirty}"))
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        // Looking must not change the repository, not even its index.
        .arg("--no-optional-locks")
        .args(arguments)
        .current_dir(root)
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The revision can change only with these: the sources, and where the branch points.
fn watched(root: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = SOURCES.iter().map(|source| root.join(source)).collect();
    // Asked by name, as in a linked worktree they are elsewhere. Branches that were packed have no
    // file of their own.
    for name in ["HEAD", "refs/heads", "packed-refs"] {
        if let Some(path) = git(root, &["rev-parse", "--git-path", name]) {
            paths.push(root.join(path));
        }
    }
    paths
}
