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
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "ack-before-epoch-metadata",
        about: "a sequencer that moves its log goes on at once on the new nodes, before the register has an epoch for them",
    },
    Mutant {
        name: "ack-before-fsync",
        about: "a storage node answers a store once it is written, before it is synced",
    },
    Mutant {
        name: "ack-before-recovery",
        about: "a new sequencer answers at once, before the older epochs are sealed and recovered",
    },
    Mutant {
        name: "conditional-over-hole",
        about: "a conditional append is stored before lower offsets have retired",
    },
    Mutant {
        name: "dedup-by-max",
        about: "a sequence up to the highest of its producer is taken for applied",
    },
    Mutant {
        name: "deposed-tail",
        about: "a sequencer answers a tail from memory",
    },
    Mutant {
        name: "duplicate-on-retry",
        about: "a record that stands is appended again when its append is repeated",
    },
    Mutant {
        name: "epoch-reuse",
        about: "an acceptor of the register answers once its state is written, before it is synced: an epoch may be begun twice",
    },
    Mutant {
        name: "f-majority-off-by-one",
        about: "one node fewer than a seal quorum counts as one",
    },
    Mutant {
        name: "open-without-quorum",
        about: "one node's word that the epoch is not sealed is taken for a write quorum's",
    },
    Mutant {
        name: "racing-repairs",
        about: "an activation that was overtaken may still have the register count an epoch as clean",
    },
    Mutant {
        name: "reconfig-covers-inflight",
        about: "the register counts the epoch that a change of nodeset ends as written to the new nodes",
    },
    Mutant {
        name: "recovery-skips-epoch",
        about: "a new sequencer recovers the newest epoch only, and counts the others as clean",
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
