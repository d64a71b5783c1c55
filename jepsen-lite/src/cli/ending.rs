//! With which code to exit.

use std::process::ExitCode;

use jepsen_lite::verdict::VerdictKind;

/// How it ended, for one history or for all: the worst counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Ending {
    Valid,
    Unknown,
    Invalid,
    BadInput,
}

impl From<VerdictKind> for Ending {
    fn from(verdict: VerdictKind) -> Self {
        match verdict {
            VerdictKind::Valid => Self::Valid,
            VerdictKind::Unknown => Self::Unknown,
            VerdictKind::Invalid => Self::Invalid,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Valid => 0,
            Ending::Invalid => 1,
            Ending::BadInput => 2,
            Ending::Unknown => 3,
        })
    }
}
