//! The planted bugs that can be turned on by name, and who may be expected to notice each.

use std::fmt;

use serde::Serialize;

use crate::report::Violation;

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its number in the list of bugs of systems like this one.
    pub number: u8,
    /// Its name, as in the code's `planted!`.
    pub name: &'static str,
    /// The changed decision, in a sentence.
    pub about: &'static str,
    /// The families of checkers of which one has to notice it.
    pub caught_by: &'static [Family],
}

/// A family of checkers: what is wrong, whoever notices. Some are judged from what clients saw, some
/// from inside, most from both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// The history of clients is not linearizable.
    Linearizability,
    /// What was acknowledged is gone; from inside: what a node had synced.
    Durability,
    /// Readers, or nodes that serve them, disagree.
    Agreement,
    /// Something was acknowledged beyond the end of an epoch, or an epoch has two ends.
    Seals,
    /// Too few synced copies stand where a write quorum should.
    Quorums,
    /// The tiers disagree.
    Tiers,
    /// Something persistent went back.
    Monotony,
    /// The healed cluster does not work.
    Liveness,
}

use Family::{Agreement, Durability, Linearizability, Liveness, Monotony, Quorums, Seals, Tiers};

impl Family {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Linearizability,
        Durability,
        Agreement,
        Seals,
        Quorums,
        Tiers,
        Monotony,
        Liveness,
    ];

    /// Its letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Linearizability => 'L',
            Durability => 'D',
            Agreement => 'A',
            Seals => 'S',
            Quorums => 'Q',
            Tiers => 'T',
            Monotony => 'M',
            Liveness => 'V',
        }
    }

    /// Whether a violation is of this family: by its checker and, for invariants, their name. An
    /// assertion of the product is of none: it is no checker of ours.
    #[must_use]
    pub fn has(self, checker: &str, property: &str) -> bool {
        match checker {
            "invariant" => self.invariants().contains(&property),
            // Nothing at all can explain it: whoever notices first, it is gone.
            "linearizability" if property == "LostWrite" => {
                matches!(self, Linearizability | Durability)
            }
            checker => self.checkers().contains(&checker),
        }
    }

    fn checkers(self) -> &'static [&'static str] {
        match self {
            Linearizability => &["linearizability"],
            Durability => &["durability"],
            Agreement => &["prefix-agreement"],
            Tiers => &["tiering"],
            Liveness => &["liveness"],
            Seals | Quorums | Monotony => &[],
        }
    }

    fn invariants(self) -> &'static [&'static str] {
        match self {
            Durability => &["synced-copies-survive", "failed-syncs-are-told"],
            Agreement => &["served-entries-agree"],
            Seals => &[
                "acks-below-bridge",
                "one-decision-per-epoch",
                "one-decision-per-ballot",
                "answered-seals-are-durable",
            ],
            Quorums => &["acked-is-durable", "clean-is-replicated"],
            Monotony => &[
                "durable-state-is-monotone",
                "one-sequencer-per-epoch",
                "record-times-rise",
            ],
            Tiers => &[
                "one-manifest-per-version",
                "segments-tile",
                "segments-stand",
                "segments-of-their-epoch",
                "kept-until-trimmed",
                "handed-lies-in-the-bucket",
                "forgotten-lies-in-the-bucket",
                "needed-objects-stay",
                "retention-keeps-enough",
                "tiers-agree",
                "bucket-tells-all",
            ],
            Linearizability | Liveness => &[],
        }
    }
}

/// Its letter.
impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.letter())
    }
}

/// As its letter.
impl Serialize for Family {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_char(self.letter())
    }
}

/// All of them, by number.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        number: 1,
        name: "ack-before-fsync",
        about: "a storage node answers a store once it is written, before it is synced",
        caught_by: &[Quorums, Durability],
    },
    Mutant {
        number: 2,
        name: "amnesiac-authoritative",
        about: "a node that lost power with copies in memory counts as if it knew all it ever stored",
        caught_by: &[Durability],
    },
    Mutant {
        number: 3,
        name: "recovery-reads-unfenced",
        about: "recovery goes on once one node is sealed, and reads also those that are not",
        caught_by: &[Durability, Seals],
    },
    Mutant {
        number: 4,
        name: "fence-not-atomic",
        about: "a storage node looks whether the epoch is sealed, and stores a few syncs later",
        caught_by: &[Seals, Durability],
    },
    Mutant {
        number: 5,
        name: "seal-not-persisted",
        about: "a storage node answers a seal that it keeps in memory",
        caught_by: &[Seals],
    },
    Mutant {
        number: 6,
        name: "wiped-says-empty",
        about: "a node that has run begins anew on an empty store, under its old number",
        caught_by: &[Durability],
    },
    Mutant {
        number: 7,
        name: "ack-before-epoch-metadata",
        about: "a sequencer that moves its log goes on at once on the new nodes, before the register has an epoch for them",
        caught_by: &[Durability, Quorums],
    },
    Mutant {
        number: 8,
        name: "reconfig-covers-inflight",
        about: "the register counts the epoch that a change of nodeset ends as written to the new nodes",
        caught_by: &[Durability],
    },
    Mutant {
        number: 9,
        name: "recovery-skips-epoch",
        about: "a new sequencer recovers the newest epoch only, and counts the others as clean",
        caught_by: &[Liveness, Agreement],
    },
    Mutant {
        number: 10,
        name: "f-majority-off-by-one",
        about: "one node fewer than a seal quorum counts as one",
        caught_by: &[Seals, Durability],
    },
    Mutant {
        number: 11,
        name: "open-without-quorum",
        about: "one node's word that the epoch is not sealed is taken for a write quorum's",
        caught_by: &[Seals, Linearizability],
    },
    Mutant {
        number: 12,
        name: "mutate-off-by-one",
        about: "recovery repairs from the second undecided offset on",
        caught_by: &[Quorums, Durability],
    },
    Mutant {
        number: 13,
        name: "sealed-stale-tail",
        about: "the register counts an epoch as clean and keeps the tail of those before it",
        caught_by: &[Liveness],
    },
    Mutant {
        number: 14,
        name: "racing-repairs",
        about: "an activation that was overtaken may still have the register count an epoch as clean",
        caught_by: &[Agreement, Liveness],
    },
    Mutant {
        number: 15,
        name: "deposed-tail",
        about: "a sequencer answers a tail from memory",
        caught_by: &[Linearizability],
    },
    Mutant {
        number: 16,
        name: "truncate-to-local",
        about: "a purge deletes down to what the node itself knows to be replicated, not to what was decided",
        caught_by: &[Durability, Agreement],
    },
    Mutant {
        number: 17,
        name: "read-past-release",
        about: "a storage node serves what is not released yet",
        caught_by: &[Agreement],
    },
    Mutant {
        number: 18,
        name: "torn-record-accepted",
        about: "a store takes what it reads from its write-ahead log for whole, whatever the checksums say",
        caught_by: &[Agreement],
    },
    Mutant {
        number: 19,
        name: "corruption-is-torn-tail",
        about: "the model store cuts its write-ahead log at damage in the middle, as if it were a torn end",
        caught_by: &[Durability],
    },
    Mutant {
        number: 20,
        name: "metadata-not-atomic",
        about: "a purge writes that it is done, and deletes in a write of its own",
        caught_by: &[Monotony, Agreement],
    },
    Mutant {
        number: 21,
        name: "flush-mark-survives-truncate",
        about: "a node's mark of what is fully replicated stands for the next epoch too after a purge",
        caught_by: &[Quorums],
    },
    Mutant {
        number: 22,
        name: "epoch-reuse",
        about: "an acceptor of the register answers once its state is written, before it is synced: an epoch may be begun twice",
        caught_by: &[Agreement, Monotony],
    },
    Mutant {
        number: 23,
        name: "duplicate-on-retry",
        about: "a record that stands is appended again when its append is repeated",
        caught_by: &[Linearizability],
    },
    Mutant {
        number: 24,
        name: "zombie-offloader",
        about: "segments' keys name neither epoch nor upload, and a put writes over what stands there: a deposed offloader still puts",
        caught_by: &[Tiers],
    },
    Mutant {
        number: 25,
        name: "epoch-key-mismatch",
        about: "an upload is put under the epoch of an earlier one that was given up, and committed under its own",
        caught_by: &[Tiers],
    },
    Mutant {
        number: 26,
        name: "segment-added-twice",
        about: "whoever gives up the uploads of another does not know that the last one was committed: it deletes the segment",
        caught_by: &[Tiers, Durability],
    },
    Mutant {
        number: 27,
        name: "retention-double-count",
        about: "retention counts the bytes of the second tier twice",
        caught_by: &[Tiers, Durability],
    },
    Mutant {
        number: 28,
        name: "truncated-upload",
        about: "an upload is committed once its put was answered, without reading it back",
        caught_by: &[Tiers],
    },
    Mutant {
        number: 29,
        name: "manifest-not-reuploaded",
        about: "an offloader that takes over believes that the bucket has a copy of the manifest",
        caught_by: &[Liveness, Tiers],
    },
    Mutant {
        number: 30,
        name: "local-deleted-early",
        about: "nodes forget what was put, before it is committed",
        caught_by: &[Tiers, Durability],
    },
    Mutant {
        number: 31,
        name: "gc-removes-fence",
        about: "what is no committed segment is garbage, be it an upload under way",
        caught_by: &[Durability, Tiers],
    },
    Mutant {
        number: 32,
        name: "replay-past-unapplied",
        about: "the model store makes a checkpoint between logging a batch and applying it",
        caught_by: &[Durability],
    },
    Mutant {
        number: 33,
        name: "ambiguous-put",
        about: "a put without an answer is made again, and that something is there is taken for success",
        caught_by: &[Liveness, Tiers],
    },
    Mutant {
        number: 34,
        name: "trimmed-is-underreplicated",
        about: "a storage node does not count what was given up as fully replicated when a recovery asks",
        caught_by: &[Liveness],
    },
    Mutant {
        number: 35,
        name: "late-straggler-kept",
        about: "a new sequencer answers once the older epochs are sealed, before they are recovered",
        caught_by: &[Linearizability],
    },
    Mutant {
        number: 36,
        name: "conditional-over-hole",
        about: "a conditional append is stored before lower offsets have retired",
        caught_by: &[Linearizability],
    },
    Mutant {
        number: 37,
        name: "restart-same-ballot",
        about: "a recovery that begins again uses the ballot of its last attempt again",
        caught_by: &[Agreement, Seals],
    },
    Mutant {
        number: 38,
        name: "conflict-left",
        about: "a recovery writes up to its bridge and leaves what its nodes hold beyond it",
        caught_by: &[Agreement],
    },
    Mutant {
        number: 40,
        name: "dedup-by-max",
        about: "a sequence up to the highest of its producer is taken for applied",
        caught_by: &[Durability, Linearizability],
    },
    Mutant {
        number: 42,
        name: "checksum-as-absence",
        about: "a copy that cannot be read counts as no record when a recovery decides",
        caught_by: &[Durability],
    },
    Mutant {
        number: 43,
        name: "ack-before-recovery",
        about: "a new sequencer answers at once, before the older epochs are sealed and recovered",
        caught_by: &[Linearizability],
    },
    Mutant {
        number: 44,
        name: "purge-by-provisional",
        about: "a node purges the older epochs when a later one is clean, not when the register says so",
        caught_by: &[Durability],
    },
    Mutant {
        number: 45,
        name: "purge-without-seal",
        about: "a node that purges an epoch neither seals it nor promises the ballot that won",
        caught_by: &[Agreement],
    },
    Mutant {
        number: 46,
        name: "release-recovered-epoch",
        about: "a sequencer that opens releases the last record of the older epochs, not its own epoch",
        caught_by: &[Agreement],
    },
];

impl Mutant {
    /// The bug of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        MUTANTS.iter().find(|mutant| mutant.name == name)
    }

    /// Whether a checker that may be expected to notice it noticed this.
    #[must_use]
    pub fn explains(&self, violation: &Violation) -> bool {
        let Violation {
            checker, property, ..
        } = violation;
        self.caught_by.iter().any(|it| it.has(checker, property))
    }
}

#[cfg(test)]
mod tests {
    use jepsen_lite::check::Check;

    use super::*;
    use crate::invariants::INVARIANTS;

    #[test]
    fn the_table_is_in_order_and_every_row_can_be_caught() {
        assert!(MUTANTS.is_sorted_by_key(|it| it.number));
        for mutant in MUTANTS {
            let named = MUTANTS.iter().filter(|it| it.name == mutant.name);
            assert_eq!(named.count(), 1, "{}", mutant.name);
            assert!(!mutant.caught_by.is_empty(), "{}", mutant.name);
        }
    }

    #[test]
    fn families_name_checkers_that_there_are() {
        let invariants: Vec<&str> = INVARIANTS.iter().map(|(name, _)| *name).collect();
        for family in Family::ALL {
            for name in family.invariants() {
                assert!(invariants.contains(name), "{name}");
            }
            for name in family.checkers() {
                let is_check = name.parse::<Check>().is_ok();
                assert!(is_check || *name == "liveness", "{name}");
            }
            assert!(!family.has("assertion", "no-panic"));
        }
    }
}
