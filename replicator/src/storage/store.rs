//! Stores, amends and releases from a reigning sequencer.

use hstore_core::ports::log_store::StoreOp;
use hstore_core::{
    Address, Entry, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Precedence, Stamped, StoredCopy,
    planted, probe,
};

use super::{Continuation, StorageNode};
use crate::config::CopyDurability;
use crate::effects::{Durability, Env};
use crate::message::{Message, StorageAnswer, StoreOutcome};

/// The write of a sequencer's record.
pub(super) fn put(
    log: LogId,
    lsn: Lsn,
    wave: u32,
    copyset: NodeSet,
    last_known_good: Offset,
    record: &Stamped,
) -> StoreOp {
    let copy = StoredCopy {
        precedence: Precedence::of_wave(wave),
        copyset,
        last_known_good,
        entry: Entry::Record(record.clone()),
    };
    StoreOp::Put { log, lsn, copy }
}

impl StorageNode {
    /// Stores or amends, unless the epoch is sealed.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn on_store(
        &mut self,
        from: Address,
        log: LogId,
        lsn: Lsn,
        wave: u32,
        last_known_good: Offset,
        op: StoreOp,
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let sealed = state.bounds.hard_seal.max(state.soft_seal);
        if lsn.epoch <= sealed {
            probe!(
                "store.refused-by-a-seal",
                lsn.epoch <= state.bounds.hard_seal
            );
            probe!(
                "store.refused-by-a-soft-seal",
                lsn.epoch > state.bounds.hard_seal
            );
            let outcome = StoreOutcome::Sealed(sealed);
            let answer = StorageAnswer::Store { lsn, wave, outcome };
            env.out.send(from, Message::Stored { log, answer });
            return;
        }
        state.soft_seal = lsn.epoch.prev();
        let forgotten = state.bounds.forgotten();
        if lsn <= forgotten || lsn.offset <= state.known_good(lsn.epoch) {
            probe!("store.of-what-is-given-up", lsn <= forgotten);
            // It is fully replicated, or was before it was given up: nobody waits for this copy.
            let outcome = StoreOutcome::Stored;
            let answer = StorageAnswer::Store { lsn, wave, outcome };
            env.out.send(from, Message::Stored { log, answer });
            return;
        }
        let then = if matches!(op, StoreOp::Amend { .. }) {
            Continuation::AnswerAmend {
                to: from,
                log,
                lsn,
                wave,
            }
        } else {
            let outcome = StoreOutcome::Stored;
            let answer = StorageAnswer::Store { lsn, wave, outcome };
            Continuation::Answer(from, Message::Stored { log, answer })
        };
        // Persist before you answer. First: the epoch's state may be marked, and is written below.
        let until = if planted!("ack-before-fsync") {
            Durability::Written
        } else {
            self.durability_of(log, lsn.epoch, env)
        };
        if planted!("fence-not-atomic") && !self.stores_later() {
            // The check is done; the store follows a few syncs later.
            self.store_later(3, vec![op], until, then, env);
            return;
        }
        let state = self.logs.entry(log).or_default();
        let mut batch = vec![op];
        let epoch = state.epochs.entry(lsn.epoch).or_default();
        if last_known_good > epoch.last_known_good {
            epoch.last_known_good = last_known_good;
            batch.push(state.put_epoch(log, lsn.epoch));
        }
        self.write(batch, until, then, env);
    }

    /// Whether a store waits for its second step. One at a time does: more would be all that the disk does.
    fn stores_later(&self) -> bool {
        let mut waiting = self.waiting.values();
        waiting.any(|then| matches!(then, Continuation::StoreLater { .. }))
    }

    /// Writes `batch` after so many syncs: the second step of the planted bug that checks the seal in a
    /// first.
    pub(super) fn store_later(
        &mut self,
        syncs: u8,
        batch: Vec<StoreOp>,
        until: Durability,
        then: Continuation,
        env: &mut Env,
    ) {
        let Some(left) = syncs.checked_sub(1) else {
            self.write(batch, until, then, env);
            return;
        };
        let then = Continuation::StoreLater {
            syncs: left,
            batch,
            until,
            then: Box::new(then),
        };
        self.write(Vec::new(), Durability::Synced, then, env);
    }

    /// How durable a copy has to be before it is answered. In memory is enough only where the log allows
    /// it and a power failure would leave the mark that copies may be gone.
    fn durability_of(&mut self, log: LogId, epoch: Epoch, env: &mut Env) -> Durability {
        if env.config.copy_durability(log) == CopyDurability::Fsync {
            return Durability::Synced;
        }
        let state = self.logs.entry(log).or_default();
        let it = state.epochs.entry(epoch).or_default();
        let of_an_earlier_life = it.dirty.is_some_and(|life| life != env.incarnation);
        if of_an_earlier_life || state.marked.contains(&epoch) {
            probe!("store.dirty-of-an-earlier-life", of_an_earlier_life);
            return Durability::Written;
        }
        if it.dirty.is_none() {
            it.dirty = Some(env.incarnation);
            let batch = vec![state.put_epoch(log, epoch)];
            let then = Continuation::Marked { log, epoch };
            self.write(batch, Durability::Synced, then, env);
        }
        Durability::Synced
    }

    /// Readers may read up to `released`; every epoch before its own is clean in the register.
    pub fn on_release(&mut self, sequencer: NodeId, log: LogId, released: Lsn, env: &mut Env) {
        if !env.config.logs.contains_key(&log) {
            return;
        }
        let state = self.logs.entry(log).or_default();
        if released > state.released {
            state.floor = state.readable();
            probe!(
                "store.released-before-clean",
                released.epoch > state.bounds.last_clean.next()
            );
            state.released = released;
            // What is released is fully replicated. Remembered in memory at once, on disk with the
            // next store.
            let epoch = state.epochs.entry(released.epoch).or_default();
            epoch.last_known_good = epoch.last_known_good.max(released.offset);
        }
        if state.bounds.last_clean < released.epoch.prev() {
            self.catch_up(sequencer, log, env);
        }
        self.wake_fetches(log, env);
    }
}
