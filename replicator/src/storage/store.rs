//! Stores, amends and releases from a reigning sequencer.

use hstore_core::ports::log_store::StoreOp;
use hstore_core::{
    Address, Entry, LogId, Lsn, NodeId, NodeSet, Offset, Precedence, Stamped, StoredCopy, planted,
};

use super::{Continuation, StorageNode};
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
            let outcome = StoreOutcome::Sealed(sealed);
            let answer = StorageAnswer::Store { lsn, wave, outcome };
            env.out.send(from, Message::Stored { log, answer });
            return;
        }
        state.soft_seal = lsn.epoch.prev();
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
        let mut batch = vec![op];
        let epoch = state.epochs.entry(lsn.epoch).or_default();
        if last_known_good > epoch.last_known_good {
            epoch.last_known_good = last_known_good;
            batch.push(state.put_epoch(log, lsn.epoch));
        }
        // Persist before you answer.
        let until = if planted!("ack-before-fsync") {
            Durability::Written
        } else {
            Durability::Synced
        };
        self.write(batch, until, then, env);
    }

    /// Readers may read up to `released`; every epoch before its own is clean in the register.
    pub fn on_release(&mut self, sequencer: NodeId, log: LogId, released: Lsn, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        if released > state.released {
            state.floor = state.readable();
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
