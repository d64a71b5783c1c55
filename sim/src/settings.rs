//! What a seed is run with: everything that a person chooses on the command line.

use std::path::PathBuf;

use clap::ValueEnum;
use hstore_core::quorum::QuorumSystem;
use serde::Serialize;
use serde::ser::SerializeStruct;

use crate::mutants::Mutant;
use crate::options::Engine;
use crate::profile::{PROFILES, Profile};
use crate::run::RunRequest;

/// The store under each node if none is named.
pub const DEFAULT_ENGINE: Engine = Engine::Rocksdb;

/// What to run seeds with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What seeds draw from.
    pub profile: &'static Profile,
    /// The store under each node.
    pub engine: Engine,
    /// The quorum system of every log, instead of what seeds draw.
    pub quorums: Option<QuorumSystem>,
    /// The planted bug to turn on.
    pub mutant: Option<&'static Mutant>,
    /// Whether checks look inside the cluster too.
    pub white_box: bool,
    /// Whether to stop at the step at which what clients saw can no longer be right.
    pub stop_at_violation: bool,
    /// The file with the plan to run a seed with, instead of the one it draws.
    pub plan: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            profile: &PROFILES[0],
            engine: DEFAULT_ENGINE,
            quorums: None,
            mutant: None,
            white_box: true,
            stop_at_violation: false,
            plan: None,
        }
    }
}

impl Settings {
    /// The run of a seed.
    #[must_use]
    pub fn request(&self, seed: u64, record_trace: bool) -> RunRequest {
        RunRequest {
            seed,
            profile: self.profile,
            engine: self.engine,
            quorums: self.quorums.clone(),
            mutant: self.mutant.map(|mutant| mutant.name.to_owned()),
            white_box: self.white_box,
            stop_at_violation: self.stop_at_violation,
            record_trace,
            record_log: false,
        }
    }

    /// The command line that chooses these settings: what is not the default.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let default = Self::default();
        let mut arguments = Vec::new();
        let mut choose = |flag: &str, value: &str| {
            arguments.extend([flag.to_owned(), value.to_owned()]);
        };
        if self.profile.name != default.profile.name {
            choose("--profile", &self.profile.name);
        }
        if self.engine != default.engine {
            choose("--engine", &engine_name(self.engine));
        }
        if let Some(quorums) = &self.quorums {
            choose("--quorums", &quorums.to_string());
        }
        if let Some(mutant) = self.mutant {
            choose("--mutant", mutant.name);
        }
        if let Some(plan) = &self.plan {
            choose("--plan", &plan.to_string_lossy());
        }
        if self.white_box != default.white_box {
            choose("--white-box", if self.white_box { "on" } else { "off" });
        }
        if self.stop_at_violation {
            arguments.push("--stop-at-violation".to_owned());
        }
        arguments
    }

    /// The command that runs `seed` again as it was run by a build of `revision`.
    #[must_use]
    pub fn reproduce(&self, program: &str, seed: u64, revision: &str) -> String {
        let mut words = vec![program.to_owned(), "run".to_owned()];
        words.extend(["--seed".to_owned(), seed.to_string()]);
        words.extend(self.arguments());
        words.extend(["--revision".to_owned(), revision.to_owned()]);
        shell_line(&words)
    }
}

/// As in `summary.json`.
impl Serialize for Settings {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Settings", 6)?;
        fields.serialize_field("profile", &self.profile.name)?;
        fields.serialize_field("engine", &self.engine)?;
        fields.serialize_field("quorums", &self.quorums)?;
        fields.serialize_field("mutant", &self.mutant.map(|mutant| mutant.name))?;
        fields.serialize_field("white_box", &self.white_box)?;
        fields.serialize_field("stop_at_violation", &self.stop_at_violation)?;
        fields.end()
    }
}

/// Words as a line for a shell.
#[must_use]
pub fn shell_line(words: &[String]) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./=:,+@%".contains(c);
    let word = |word: &String| match word.chars().all(plain) && !word.is_empty() {
        true => word.clone(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The engine's name on the command line.
fn engine_name(engine: Engine) -> String {
    let value = engine.to_possible_value().expect("no engine is hidden");
    value.get_name().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::MUTANTS;

    #[test]
    fn the_command_names_what_is_not_the_default() {
        let plain = Settings::default();
        assert_eq!(
            plain.reproduce("hstore-sim", 7, "abc"),
            "hstore-sim run --seed 7 --revision abc"
        );
        let special = Settings {
            profile: Profile::by_name("calm").expect("a profile"),
            quorums: Some(QuorumSystem::flat(3, 2).expect("valid")),
            mutant: Some(&MUTANTS[0]),
            white_box: false,
            stop_at_violation: true,
            ..plain.clone()
        };
        assert_eq!(
            special.reproduce("x/hstore-sim", 7, "abc"),
            format!(
                "x/hstore-sim run --seed 7 --profile calm --quorums 'nodeset(n0, n1, n2, copies=2)' --mutant {} --white-box off --stop-at-violation --revision abc",
                MUTANTS[0].name
            )
        );
    }
}
