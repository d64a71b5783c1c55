//! Repair: a copy that went bad is replaced by a good one.
//!
//! A reader reports a copy that is wrong, or that this node could not read. The node looks at it again;
//! if it is bad, it asks the other nodes for theirs and takes the first that is in order. Only what the
//! node may serve is repaired, and others give away only what they may serve: no later decision can
//! change it, so all good copies there hold the same. Where no node answers the copy stays bad, which is
//! never the same as absent; the next reader reports it again.

use hstore_core::ports::log_store::{CorruptCopy, StoreOp};
use hstore_core::{Address, Entry, LogId, Lsn, StoredCopy, probe};

use super::state::Repair;
use super::{Continuation, Copies, StorageNode};
use crate::effects::{DiskWork, Durability, Env, Event};
use crate::message::{Message, StorageAnswer, StorageAsk};

/// How many copies of a log a node repairs at a time; more reports are dropped.
pub const REPAIRS_MAX: usize = 16;

/// How many times the resend interval a repair may take before it is given up.
const PATIENCE: u32 = 4;

impl StorageNode {
    /// A reader says that the copy at `lsn` is bad.
    pub(super) fn on_bad_copy(&mut self, log: LogId, lsn: Lsn, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        if !state.serves(lsn)
            || state.repairs.contains_key(&lsn)
            || state.repairs.len() >= REPAIRS_MAX
        {
            return;
        }
        let until = env.now + env.config.timing.resend * PATIENCE;
        state.repairs.insert(lsn, Repair { until });
        self.look_at(log, lsn, Continuation::CheckCopy { log, lsn }, env);
    }

    /// Another node's copy is bad.
    pub(super) fn on_copy_wanted(&mut self, to: Address, log: LogId, lsn: Lsn, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        if state.serves(lsn) {
            self.look_at(log, lsn, Continuation::AnswerCopy { to, log, lsn }, env);
        }
    }

    fn look_at(&mut self, log: LogId, lsn: Lsn, then: Continuation, env: &mut Env) {
        let work = DiskWork::Read {
            log,
            first: lsn,
            last: lsn,
            limit: 1,
        };
        self.request(work, then, env);
    }

    /// The reported copy was read again.
    pub(super) fn on_copy_checked(&mut self, log: LogId, lsn: Lsn, copies: &Copies, env: &mut Env) {
        if !matches!(copies[..], [(_, Err(CorruptCopy))]) {
            let state = self.logs.entry(log).or_default();
            probe!("repair.copy-was-in-order");
            state.repairs.remove(&lsn);
            return;
        }
        let others = env.config.nodes.keys().filter(|&&node| node != env.me);
        for &node in others {
            let ask = StorageAsk::Copy { lsn };
            env.out.send(node, Message::Storage { log, ask });
        }
    }

    /// Another node's copy, to take the place of a bad one.
    pub(super) fn on_copy(&mut self, log: LogId, lsn: Lsn, copy: &StoredCopy, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        if !is_in_order(log, lsn, copy) || state.repairs.remove(&lsn).is_none() {
            return;
        }
        let copy = copy.clone();
        probe!("repair.replaced");
        let batch = vec![StoreOp::Replace { log, lsn, copy }];
        let then = Continuation::Repaired { log, lsn };
        self.write(batch, Durability::Synced, then, env);
    }

    /// Gives up repairs that nobody could help with.
    pub(super) fn drop_stale_repairs(&mut self, log: LogId, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        probe!(
            "repair.given-up",
            state.repairs.values().any(|it| it.until <= env.now)
        );
        state.repairs.retain(|_, it| it.until > env.now);
    }
}

pub(super) fn answer_copy(to: Address, log: LogId, lsn: Lsn, copies: Copies, env: &mut Env) {
    if let Some((_, Ok(copy))) = copies.into_iter().next() {
        let copy = Box::new(copy);
        let answer = StorageAnswer::Copy { lsn, copy };
        env.out.send(to, Message::Stored { log, answer });
    }
}

pub(super) fn tell_repaired(log: LogId, lsn: Lsn, env: &mut Env) {
    env.out.events.push(Event::CopyRepaired { log, lsn });
}

fn is_in_order(log: LogId, lsn: Lsn, copy: &StoredCopy) -> bool {
    match &copy.entry {
        Entry::Record(it) => it.belongs_at(log, lsn) && it.record.verify().is_ok(),
        Entry::Hole | Entry::Bridge => true,
    }
}
