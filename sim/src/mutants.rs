//! The planted bugs that can be turned on by name.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its name, as in the code's `planted!`.
    pub name: &'static str,
    /// The changed decision, in a sentence.
    pub about: &'static str,
}

/// All of them.
pub const MUTANTS: [Mutant; 4] = [
    Mutant {
        name: "ack-before-fsync",
        about: "a storage node answers a store once it is written, before it is synced",
    },
    Mutant {
        name: "ack-before-recovery",
        about: "a new sequencer answers at once, before the older epochs are sealed and recovered",
    },
    Mutant {
        name: "f-majority-off-by-one",
        about: "one node fewer than a seal quorum counts as one",
    },
    Mutant {
        name: "torn-record-accepted",
        about: "a store takes what it reads from its write-ahead log for whole, whatever the checksums say",
    },
];

impl Mutant {
    /// The bug of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        MUTANTS.iter().find(|mutant| mutant.name == name)
    }
}
