//! What a storage node remembers of a log.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use hstore_core::ports::log_store::StoreOp;
use hstore_core::{
    Address, Ballot, Epoch, Incarnation, LogId, Lsn, NodeId, Offset, Timestamp, planted,
};
use serde::{Deserialize, Serialize};

use super::{PARKED_MAX, REPAIRS_MAX};
use crate::keys::MetaKey;
use crate::message::{Fetch, RecoveredEpoch, RecoveryMetadata};
use crate::queue::Queue;
use crate::sequencer::EPOCHS_PER_ANSWER;

/// All of a log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct LogState {
    /// Durable bounds.
    pub(super) bounds: LogBounds,
    /// Refuses stores of these epochs too, because a later epoch was seen to store. Not durable and
    /// no evidence: it answers no seal.
    pub(super) soft_seal: Epoch,
    /// Up to where the sequencer of the reigning epoch lets readers read.
    pub(super) released: Lsn,
    /// Up to where readers were let read already. What was released stays released, also while the
    /// node catches up with the epochs that followed.
    pub(super) floor: Lsn,
    /// Durable state of each epoch this node had to do with. Never forgotten while the epoch is
    /// readable.
    pub(super) epochs: BTreeMap<Epoch, EpochState>,
    /// Epochs whose dirty marker is durable: of these, copies may be answered before they are synced.
    pub(super) marked: BTreeSet<Epoch>,
    /// Decisions this node has to catch up with before it serves them.
    pub(super) catching_up: Option<CatchUp>,
    /// Readers that wait for more to be released.
    pub(super) parked: VecDeque<ParkedFetch>,
    /// Copies that were reported as bad and are being looked at or replaced.
    pub(super) repairs: BTreeMap<Lsn, Repair>,
}

/// Durable bounds of a log. They only rise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct LogBounds {
    /// Nothing more of this epoch or an older one is stored.
    pub(crate) hard_seal: Epoch,
    /// Local last clean epoch: this node's copies of it and all older ones agree with what the
    /// register's winners decided.
    pub(crate) last_clean: Epoch,
    /// Up to here everything was given up: nothing is held there any more.
    pub(crate) trim: Lsn,
    /// Up to here everything was given up or lies in the second tier: nothing is held there any more.
    pub(crate) handed: Lsn,
}

impl LogBounds {
    /// Up to here nothing is held any more.
    pub(crate) fn forgotten(&self) -> Lsn {
        self.trim.max(self.handed)
    }
}

/// Durable state of one epoch of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct EpochState {
    /// No recovery ballot below this is obeyed.
    pub(crate) promised: Ballot,
    /// The decision this node's copies agree with. Provisional until the register names its ballot.
    pub(crate) clean: Option<CleanMark>,
    /// The highest last known good offset this node has met. Written along with stores, so it may
    /// come back lower after a crash, never higher than the truth.
    pub(crate) last_known_good: Offset,
    /// The life in which copies of the epoch were first said to be stored before they were synced, if
    /// that ever was. Durable before the first of them is answered. It is never taken back: the node
    /// cannot tell what a later life lacks.
    pub(crate) dirty: Option<Incarnation>,
}

impl EpochState {
    /// Whether a node in this life knows all it ever stored of the epoch.
    pub(super) fn is_authoritative(&self, life: Incarnation) -> bool {
        let kept = self.dirty.is_none_or(|dirty| dirty == life);
        kept || planted!("amnesiac-authoritative")
    }
}

/// A recovery attempt's decision, as a node keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct CleanMark {
    /// The attempt.
    pub(crate) ballot: Ballot,
    /// What it decided.
    pub(crate) metadata: RecoveryMetadata,
}

/// Catching up with decisions that the register counts as clean.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CatchUp {
    /// Who told of them, and can tell more.
    pub(super) sequencer: NodeId,
    /// What is known of the next epochs, in order, from the one after the local last clean epoch.
    pub(super) epochs: VecDeque<RecoveredEpoch>,
    /// When to ask again.
    pub(super) deadline: Timestamp,
}

/// A reader's question that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ParkedFetch {
    pub(super) to: Address,
    pub(super) fetch: Fetch,
    /// The reader has asked again by then.
    pub(super) until: Timestamp,
}

/// A copy that is being repaired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Repair {
    /// Given up then.
    pub(super) until: Timestamp,
}

impl LogState {
    /// Whether readers are served what stands at `lsn`.
    pub(super) fn serves(&self, lsn: Lsn) -> bool {
        self.bounds.forgotten() < lsn && lsn <= self.readable()
    }

    /// Up to where readers may read here: all clean epochs, and the released part of the epoch
    /// after them. Never goes back.
    pub(super) fn readable(&self) -> Lsn {
        let bound = if self.released.epoch == self.bounds.last_clean.next() {
            self.released
        } else {
            Lsn::end_of(self.bounds.last_clean)
        };
        bound.max(self.floor)
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        // Asked after every step, and mostly nothing is going on.
        let mut earliest = self.catching_up.as_ref().map(|it| it.deadline);
        if let Some(parked) = self.parked.front() {
            earliest = Some(earliest.map_or(parked.until, |at| at.min(parked.until)));
        }
        for repair in self.repairs.values() {
            earliest = Some(earliest.map_or(repair.until, |at| at.min(repair.until)));
        }
        earliest
    }

    pub(super) fn queues(&self) -> impl Iterator<Item = Queue> {
        let epochs = self.catching_up.as_ref().map_or(0, |it| it.epochs.len());
        let queue = |name, length, bound| Queue {
            name,
            length,
            bound,
        };
        [
            queue("storage: parked fetches", self.parked.len(), PARKED_MAX),
            queue("storage: repairs", self.repairs.len(), REPAIRS_MAX),
            queue(
                "storage: epochs to catch up with",
                epochs,
                EPOCHS_PER_ANSWER,
            ),
        ]
        .into_iter()
    }

    /// The writes that delete what stands above the last known good offsets of the epochs between the
    /// local last clean epoch and `end`.
    pub(super) fn drop_until(&self, log: LogId, end: Epoch) -> impl Iterator<Item = StoreOp> {
        let older = self.bounds.last_clean.next()..end;
        self.epochs.range(older).map(move |(&epoch, state)| {
            let decided = state.clean.map(|clean| clean.metadata.last_known_good);
            let last_known_good = decided.unwrap_or_default().max(state.last_known_good);
            StoreOp::DeleteRange {
                log,
                first: Lsn::at(epoch, last_known_good.next()),
                last: Lsn::end_of(epoch),
            }
        })
    }

    /// The write that makes the bounds durable.
    pub(super) fn put_bounds(&self, log: LogId) -> StoreOp {
        MetaKey::Log(log).put(&self.bounds)
    }

    /// The write that makes an epoch's state durable.
    pub(super) fn put_epoch(&self, log: LogId, epoch: Epoch) -> StoreOp {
        MetaKey::Epoch(log, epoch).put(&self.epochs[&epoch])
    }
}
