//! How a run ends.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The end of a run. Everything but `Passed` counts as a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// All checks were made and held.
    Passed,
    /// Something happened that never may.
    Safety,
    /// The cluster did not come to work again after it was healed.
    Liveness,
    /// The product panicked: an assertion of its own failed.
    Panic,
    /// Two runs of one seed differed.
    NonDeterministic,
    /// A checker could not tell; or the cluster could not come to work again, as data is provably lost.
    Inconclusive,
    /// The run did too little to mean anything: too few appends, or no planned fault took effect.
    Vacuous,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Passed,
        Self::Safety,
        Self::Liveness,
        Self::Panic,
        Self::NonDeterministic,
        Self::Inconclusive,
        Self::Vacuous,
    ];

    /// The exit code of a process that ends so. 2 is bad input, which is no outcome of a run.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Passed => 0,
            Self::Safety => 1,
            Self::Inconclusive => 3,
            Self::Liveness => 4,
            Self::Panic => 5,
            Self::NonDeterministic => 6,
            Self::Vacuous => 7,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "PASSED",
            Self::Safety => "SAFETY",
            Self::Liveness => "LIVENESS",
            Self::Panic => "PANIC",
            Self::NonDeterministic => "NON-DETERMINISTIC",
            Self::Inconclusive => "INCONCLUSIVE",
            Self::Vacuous => "VACUOUS",
        })
    }
}
