//! Does a seed do the same twice? Each is run in two fresh processes, so that nothing is shared that a
//! run might leave behind: no addresses, no seeds of hashers, no counters.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use hstore_reports::directory::TRACE_FILE;
use serde::{Deserialize, Serialize};

use crate::outcome::Outcome;
use crate::settings::Settings;

/// A difference that does not come back when the runs are made again with their traces is looked for so
/// often.
pub const ATTEMPTS_MAX: usize = 3;

/// Makes runs in processes of their own.
#[derive(Clone, Debug)]
pub struct Twins {
    /// The program: `hstore-sim`.
    pub program: PathBuf,
    /// What seeds are run with.
    pub settings: Settings,
}

/// What the two runs of a seed did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// The seed.
    pub seed: u64,
    /// How the first run ended.
    pub outcome: Outcome,
    /// How the two differ, if they do.
    pub difference: Option<Difference>,
}

/// How two runs of a seed differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The trace hash of the first run.
    pub first_hash: String,
    /// That of the second.
    pub second_hash: String,
    /// Where their traces part. Absent if it was not looked for, or the runs agreed when they were made
    /// again.
    pub event: Option<EventDifference>,
}

/// The first event that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventDifference {
    /// Its line in the trace, from 1.
    pub line: u64,
    /// The event of the first run; absent if its trace ended before.
    pub first: Option<String>,
    /// That of the second.
    pub second: Option<String>,
}

/// Why runs could not be compared.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// A process could not be started, or its files could not be read.
    #[error("{path}: {error}", path = path.display())]
    Io {
        /// The program or file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A process ended without a verdict.
    #[error("the process for seed {seed} ended with {status} and no verdict: {stderr}")]
    NoVerdict {
        /// The seed.
        seed: u64,
        /// How it ended.
        status: String,
        /// The last line that it said.
        stderr: String,
    },
}

/// What is needed of a run's JSON.
#[derive(Debug, Deserialize)]
struct Run {
    outcome: Outcome,
    trace_hash: String,
}

impl Twins {
    /// Runs `seed` twice and compares. Where the traces part is left open.
    ///
    /// # Errors
    /// If a run has no verdict.
    pub fn compare(&self, seed: u64) -> Result<Comparison, TwinError> {
        let (first, second) = (self.run(seed, None)?, self.run(seed, None)?);
        let difference = (first.trace_hash != second.trace_hash).then_some(Difference {
            first_hash: first.trace_hash,
            second_hash: second.trace_hash,
            event: None,
        });
        Ok(Comparison {
            seed,
            outcome: first.outcome,
            difference,
        })
    }

    /// Runs `seed` twice more, keeping traces, until they part: that event, or `None` if they do not.
    ///
    /// # Errors
    /// If a run has no verdict, or there is no room for traces.
    pub fn locate(&self, seed: u64) -> Result<Option<EventDifference>, TwinError> {
        for _ in 0..ATTEMPTS_MAX {
            let room = tempfile::tempdir().map_err(at(&std::env::temp_dir()))?;
            let directories = ["first", "second"].map(|name| room.path().join(name));
            for directory in &directories {
                self.run(seed, Some(directory))?;
            }
            let [first, second] = directories.map(|directory| directory.join(TRACE_FILE));
            let open = |path: &Path| Ok(BufReader::new(File::open(path).map_err(at(path))?));
            let parted = first_difference(open(&first)?, open(&second)?).map_err(at(&first))?;
            if parted.is_some() {
                return Ok(parted);
            }
        }
        Ok(None)
    }

    fn run(&self, seed: u64, out: Option<&Path>) -> Result<Run, TwinError> {
        let mut command = Command::new(&self.program);
        command
            .args(["run", "--json", "--seed", &seed.to_string()])
            .args(self.settings.arguments());
        if let Some(directory) = out {
            command.arg("--out").arg(directory);
        }
        let output = command.output().map_err(at(&self.program))?;
        // Whatever it found, a run that came to an end says so in JSON.
        serde_json::from_slice(&output.stdout).map_err(|_| no_verdict(seed, &output))
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> TwinError {
    let path = path.to_owned();
    |error| TwinError::Io { path, error }
}

fn no_verdict(seed: u64, output: &Output) -> TwinError {
    let stderr = String::from_utf8_lossy(&output.stderr);
    let last = stderr.lines().last().unwrap_or("it said nothing");
    TwinError::NoVerdict {
        seed,
        status: output.status.to_string(),
        stderr: last.to_owned(),
    }
}

/// The first line that is not the same.
fn first_difference(
    first: impl BufRead,
    second: impl BufRead,
) -> io::Result<Option<EventDifference>> {
    let (mut first, mut second) = (first.lines(), second.lines());
    for line in 1.. {
        let pair = (first.next().transpose()?, second.next().transpose()?);
        match pair {
            (None, None) => break,
            (first, second) if first != second => {
                return Ok(Some(EventDifference {
                    line,
                    first,
                    second,
                }));
            }
            _ => {}
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parted(first: &str, second: &str) -> Option<(u64, Option<String>, Option<String>)> {
        let difference = first_difference(first.as_bytes(), second.as_bytes()).expect("readable");
        difference.map(|event| (event.line, event.first, event.second))
    }

    #[test]
    fn the_first_differing_line_is_found() {
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parted("", ""), None);
        assert_eq!(parted("a\nb\n", "a\nb\n"), None);
        assert_eq!(
            parted("a\nb\nc\n", "a\nx\ny\n"),
            Some((2, some("b"), some("x")))
        );
        assert_eq!(parted("a\nb\n", "a\n"), Some((2, some("b"), None)));
        assert_eq!(parted("", "a\n"), Some((1, None, some("a"))));
    }

    /// Stands in for `hstore-sim`: what it answers depends on the seed, and on whether it is called for
    /// the first or the second time.
    const PROGRAM: &str = r#"#!/bin/sh
seed=$4
calls="$0.calls"
echo >> "$calls"
turn=$(( $(wc -l < "$calls") % 2 ))
hash=same
case $seed in
    2|3) hash=$turn ;;
    4) echo "a first line" >&2; echo "error: out of order" >&2; exit 2 ;;
esac
while [ $# -gt 0 ]; do
    if [ "$1" = --out ]; then
        mkdir "$2"
        echo '{"event":1}' > "$2/trace.jsonl"
        [ $seed = 2 ] && echo "{\"turn\":$turn}" >> "$2/trace.jsonl"
    fi
    shift
done
echo "{\"outcome\":\"vacuous\",\"trace_hash\":\"$hash\",\"more\":1}"
exit 7
"#;

    // One test, as no other may start a process while the program's file is open for writing.
    #[test]
    fn two_processes_are_compared_and_their_first_difference_located() {
        use std::os::unix::fs::PermissionsExt;

        let room = tempfile::tempdir().expect("a directory");
        let program = room.path().join("program");
        std::fs::write(&program, PROGRAM).expect("written");
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
        let twins = Twins {
            program,
            settings: Settings::default(),
        };

        let same = twins.compare(1).expect("two verdicts");
        assert_eq!((same.outcome, same.difference), (Outcome::Vacuous, None));
        assert_eq!(twins.locate(1).expect("two traces"), None);

        let differs = twins.compare(2).expect("two verdicts");
        let difference = differs.difference.expect("a difference");
        assert_eq!(difference.first_hash, "1");
        assert_eq!(difference.second_hash, "0");
        let event = twins.locate(2).expect("two traces").expect("an event");
        assert_eq!(event.line, 2);
        assert_eq!(event.first.as_deref(), Some(r#"{"turn":1}"#));
        assert_eq!(event.second.as_deref(), Some(r#"{"turn":0}"#));

        assert!(twins.compare(3).expect("two verdicts").difference.is_some());
        assert_eq!(twins.locate(3).expect("two traces"), None);

        let error = twins.compare(4).expect_err("no verdict").to_string();
        assert!(
            error.contains("seed 4") && error.ends_with("error: out of order"),
            "{error}"
        );
        assert!(!error.contains('\n'), "{error}");
    }
}
