//! What a log's register holds, and how it may change.

use bytes::Bytes;
use hstore_core::quorum::QuorumSystem;
use hstore_core::{Attributes, Ballot, Epoch, Incarnation, Lsn, NodeId, Token, planted};
use serde::{Deserialize, Serialize};

use crate::message::{EpochSpan, RecoveredEpoch, quorums_of};
use crate::producers::ProducerTable;

/// Names one activation. An activation owns an epoch only if the committed value carries its name:
/// after an ambiguous change that is how it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Activation {
    /// The node that activates.
    pub node: NodeId,
    /// Its life.
    pub incarnation: Incarnation,
    /// Counts the activations of that life.
    pub number: u64,
}

/// The value of a log's register. History is never rewritten: readers of old epochs need it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RegisterValue {
    /// The newest epoch; 0 before the first activation.
    pub epoch: Epoch,
    /// Whose it is.
    pub activation: Option<Activation>,
    /// Quorum systems of all epochs.
    pub spans: Vec<EpochSpan>,
    /// The winning ballot of each clean epoch, from epoch 1 on. Its length is the last clean
    /// epoch.
    pub winners: Vec<Ballot>,
    /// The last record of the clean epochs, given up or not; `Lsn::MIN` if there is none.
    pub clean_tail: Lsn,
    /// Up to here everything was given up.
    pub trim: Lsn,
    /// What appends are judged by, as it was at some LSN.
    pub checkpoint: Box<Checkpoint>,
    /// What lies in the second tier.
    pub annex: Box<Annex>,
}

/// What a log's second tier has the register keep, for whoever sequences the log. The register does not look into it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Annex {
    /// Counts the changes.
    pub version: u64,
    /// Whatever it is.
    pub bytes: Bytes,
    /// All that stands up to here lies in the second tier, and no node need hold it.
    pub handed: Lsn,
}

/// What the records of a log have done, as far as later appends are judged by it: a function of all its
/// records up to some LSN, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Judgement {
    /// The token that was set last.
    pub token: Option<Token>,
    /// Which records of which producers stand.
    pub producers: ProducerTable,
}

impl Judgement {
    /// A record stands at `lsn`, above all that were told before.
    pub fn stands(&mut self, lsn: Lsn, attributes: &Attributes) {
        if let Some(of) = attributes.producer {
            self.producers.stands(of, lsn);
        }
        if attributes.sets_token.is_some() {
            self.token = attributes.sets_token;
        }
    }
}

/// A [`Judgement`], so that it need not be made again from the first record. It replaces no record: all
/// above `as_of` is read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The LSN up to which records are in it: no less, and no more. All up to there stands for good.
    pub as_of: Lsn,
    /// What they have done.
    pub judgement: Judgement,
}

impl RegisterValue {
    /// The last clean epoch (LCE): it and all before it are recovered.
    #[must_use]
    pub fn last_clean(&self) -> Epoch {
        Epoch(u32::try_from(self.winners.len()).expect("no more winners than epochs"))
    }

    /// The quorum system of an epoch that was activated.
    #[must_use]
    pub fn quorums(&self, epoch: Epoch) -> &QuorumSystem {
        assert!(
            epoch > Epoch(0) && epoch <= self.epoch,
            "only activated epochs have a quorum system"
        );
        quorums_of(&self.spans, epoch).expect("the first span begins with the first epoch")
    }

    /// Up to here no node holds anything for readers: what was not given up lies in the second tier. Never behind
    /// the checkpoint, so that what a sequencer has to read again stands in the first.
    #[must_use]
    pub fn handed(&self) -> Lsn {
        self.annex.handed.min(self.checkpoint.as_of)
    }

    /// Keeps a checkpoint, if it is later than the one that stands.
    fn keep(&mut self, checkpoint: &Checkpoint) {
        if self.checkpoint.as_of < checkpoint.as_of {
            *self.checkpoint = checkpoint.clone();
        }
    }

    /// The clean epochs after `after`, at most `limit`.
    #[must_use]
    pub fn recovered(&self, after: Epoch, limit: usize) -> Vec<RecoveredEpoch> {
        (after.0..self.last_clean().0)
            .take(limit)
            .map(|before| {
                let epoch = Epoch(before).next();
                RecoveredEpoch {
                    epoch,
                    ballot: self.winners[before as usize],
                    nodes: self.quorums(epoch).nodes(),
                }
            })
            .collect()
    }
}

/// A change of the register. Applying one twice has the effect of applying it once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// None: what is committed is the value as it stood at some moment after the change was begun.
    Nothing,
    /// Begin a new epoch.
    Activate {
        /// Whose.
        activation: Activation,
        /// What the epoch is made of.
        quorums: QuorumSystem,
        /// The epoch that was the newest when the activation looked. If another has begun since, it
        /// has lost.
        above: Epoch,
    },
    /// Count one more epoch as clean. Fails if a later activation exists.
    Advance {
        /// Whose recovery it was.
        activation: Activation,
        /// The epoch recovered: the one after the last clean epoch.
        epoch: Epoch,
        /// The attempt that recovered it.
        ballot: Ballot,
        /// The last record of the epoch, if it has any.
        last_record: Option<Lsn>,
    },
    /// Keep a later checkpoint. Fails if a later activation exists: a deposed sequencer may take for
    /// certain what is not.
    Checkpoint {
        /// Who made it.
        activation: Activation,
        /// What to keep.
        checkpoint: Box<Checkpoint>,
    },
    /// Give up everything up to an LSN. Fails if a later activation exists: whoever recovers the epoch
    /// then knows all trims that can be.
    Trim {
        /// Whose.
        activation: Activation,
        /// The last LSN given up. It was released.
        upto: Lsn,
        /// A checkpoint that covers it, unless the one that stands does: what the records did that go is
        /// not forgotten. `None` also where that cannot be told any more.
        checkpoint: Option<Box<Checkpoint>>,
    },
    /// Keep the next version of the annex. Fails if a later activation exists, or if it is not the next: whoever
    /// made it did not know what stands.
    Annex {
        /// Whose.
        activation: Activation,
        /// What to keep.
        annex: Box<Annex>,
    },
}

impl Change {
    /// Applies the change to the value that stands. `None` if it does not apply: the value is then
    /// committed as it stands.
    pub fn apply(&self, value: &RegisterValue) -> Option<RegisterValue> {
        match self {
            Self::Nothing => Some(value.clone()),
            Self::Activate {
                activation,
                quorums,
                above,
            } => {
                if value.activation == Some(*activation) {
                    return Some(value.clone());
                }
                if *above != value.epoch {
                    return None;
                }
                let mut next = value.clone();
                next.epoch = value.epoch.next();
                next.activation = Some(*activation);
                if value.spans.last().map(|span| &span.quorums) != Some(quorums) {
                    // What the epochs before have written stays where it is.
                    let first = if planted!("reconfig-covers-inflight") {
                        value.epoch
                    } else {
                        next.epoch
                    };
                    let quorums = quorums.clone();
                    next.spans.push(EpochSpan { first, quorums });
                }
                Some(next)
            }
            Self::Advance {
                activation,
                epoch,
                ballot,
                last_record,
            } => {
                // Who was overtaken decides nothing any more.
                let overtaken = value.activation != Some(*activation);
                if overtaken && !planted!("racing-repairs") {
                    return None;
                }
                if value.last_clean() >= *epoch {
                    let ours = value.winners[epoch.0 as usize - 1] == *ballot;
                    return ours.then(|| value.clone());
                }
                assert_eq!(
                    value.last_clean().next(),
                    *epoch,
                    "an activation recovers epochs in order"
                );
                let mut next = value.clone();
                next.winners.push(*ballot);
                if let Some(lsn) = last_record {
                    assert!(*lsn > value.clean_tail, "the tail only rises");
                    // In the same change: an epoch that counts has its records before the tail.
                    if !planted!("sealed-stale-tail") {
                        next.clean_tail = *lsn;
                    }
                }
                Some(next)
            }
            Self::Checkpoint {
                activation,
                checkpoint,
            } => {
                if value.activation != Some(*activation) {
                    return None;
                }
                let mut next = value.clone();
                next.keep(checkpoint);
                Some(next)
            }
            Self::Trim {
                activation,
                upto,
                checkpoint,
            } => {
                if value.activation != Some(*activation) {
                    return None;
                }
                let mut next = value.clone();
                next.trim = value.trim.max(*upto);
                if let Some(checkpoint) = checkpoint {
                    next.keep(checkpoint);
                }
                Some(next)
            }
            Self::Annex { activation, annex } => {
                if value.activation != Some(*activation) {
                    return None;
                }
                if value.annex == *annex {
                    return Some(value.clone());
                }
                let is_next = annex.version == value.annex.version + 1;
                // What was handed over is not taken back.
                if !is_next || annex.handed < value.annex.handed {
                    return None;
                }
                let annex = annex.clone();
                Some(RegisterValue {
                    annex,
                    ..value.clone()
                })
            }
        }
    }
}
