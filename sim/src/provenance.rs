//! Where the verdicts of this build come from.

use hstore_reports::provenance::Provenance;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

/// The commit of this build, with `-dirty` if its sources had been edited; `unknown` if it was not
/// built from a repository.
pub const REVISION: &str = env!("HSTORE_REVISION");

const LOCK_FILE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock"));
const DIRTY: &str = "-dirty";
/// A shorter text may begin the names of many commits.
const COMMIT_LENGTH_MIN: usize = 7;

/// The provenance of a verdict of this build under `options`.
#[must_use]
pub fn provenance(options: &impl Serialize) -> Provenance {
    Provenance {
        revision: REVISION.to_owned(),
        lock_hash: hash(LOCK_FILE),
        options_hash: options_hash(options),
    }
}

/// The hash of options, which are data and thus always JSON.
#[must_use]
pub fn options_hash(options: &impl Serialize) -> String {
    hash(&serde_json::to_vec(options).expect("options are plain data"))
}

/// XXH3 in hexadecimal.
#[must_use]
pub fn hash(bytes: &[u8]) -> String {
    format!("{:016x}", xxh3_64(bytes))
}

/// What to say to someone who asks this build, made from `built`, for a run of revision `asked`;
/// nothing if it is certainly the same.
#[must_use]
pub fn revision_note(asked: &str, built: &str) -> Option<String> {
    if is_same_commit(asked, built) {
        return None;
    }
    if asked == built && asked.ends_with(DIRTY) {
        return Some(format!(
            "revision {asked} had uncommitted changes, and so has this build: if they are not the \
             same, neither is the run"
        ));
    }
    Some(format!(
        "this is revision {built}, not {asked}: the same seed may do something else here"
    ))
}

/// One may be an abbreviation of the other.
fn is_same_commit(asked: &str, built: &str) -> bool {
    let is_commit = |text: &str| {
        text.len() >= COMMIT_LENGTH_MIN && text.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    is_commit(asked) && is_commit(built) && (asked.starts_with(built) || built.starts_with(asked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_clean_commit_goes_without_a_note() {
        for (asked, built) in [
            ("0123456789ab", "0123456789ab"),
            ("0123456", "0123456789ab"),
            ("0123456789abcdef", "0123456789ab"),
        ] {
            assert_eq!(revision_note(asked, built), None, "{asked} {built}");
        }
        for (asked, built) in [
            ("0123456789ab", "0123456789ac"),
            ("012345", "0123456789ab"),
            ("", "0123456789ab"),
            ("unknown", "0123456789ab"),
            ("unknown", "unknown"),
            ("0123456789ab", "0123456789ab-dirty"),
        ] {
            let note = revision_note(asked, built).expect("a note");
            assert!(note.contains("may do something else"), "{note}");
        }
        let note = revision_note("0123456789ab-dirty", "0123456789ab-dirty").expect("a note");
        assert!(note.contains("uncommitted changes"), "{note}");
    }

    #[test]
    fn provenance_tells_options_apart() {
        let one = provenance(&1);
        assert_eq!(one, provenance(&1));
        assert_ne!(one.options_hash, provenance(&2).options_hash);
        assert_eq!(one.lock_hash.len(), 16);
        assert!(!one.revision.is_empty());
    }
}
