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
pub const MUTANTS: [Mutant; 16] = [
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
        name: "checksum-as-absence",
        about: "a copy that cannot be read counts as no record when a recovery decides",
    },
    Mutant {
        name: "conflict-left",
        about: "a recovery writes up to its bridge and leaves what its nodes hold beyond it",
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
        name: "late-straggler-kept",
        about: "a new sequencer answers once the older epochs are sealed, before they are recovered",
    },
    Mutant {
        name: "purge-by-provisional",
        about: "a node purges the older epochs when a later one is clean, not when the register says so",
    },
    Mutant {
        name: "purge-without-seal",
        about: "a node that purges an epoch neither seals it nor promises the ballot that won",
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
        name: "release-recovered-epoch",
        about: "a sequencer that opens releases the last record of the older epochs, not its own epoch",
    },
    Mutant {
        name: "restart-same-ballot",
        about: "a recovery that begins again uses the ballot of its last attempt again",
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
