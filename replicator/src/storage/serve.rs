//! Serving readers.
//!
//! A node tells all it holds of a range up to what it may serve. A question that finds nothing new is
//! parked until more is released, so that readers at the end of a log need not ask in a loop.

use hstore_core::ports::log_store::CorruptCopy;
use hstore_core::{Address, LogId, Lsn, StoredCopy};

use super::state::ParkedFetch;
use super::{COPIES_PER_ANSWER, Continuation, StorageNode};
use crate::effects::{DiskWork, Env};
use crate::message::{Message, StorageAnswer};

/// How many questions are parked for one log; beyond that the oldest is dropped, and its reader asks
/// again.
const PARKED_MAX: usize = 64;

impl StorageNode {
    pub(super) fn on_fetch(
        &mut self,
        from: Address,
        log: LogId,
        nonce: u64,
        first: Lsn,
        last: Lsn,
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let readable = state.readable();
        if first > readable {
            if state.parked.len() == PARKED_MAX {
                state.parked.pop_front();
            }
            state.parked.push_back(ParkedFetch {
                to: from,
                nonce,
                first,
                last,
                until: env.now + env.config.timing.resend,
            });
            return;
        }
        let last = last.min(readable);
        let touched = state.epochs.range(first.epoch..);
        let mut touched = touched.take_while(|(epoch, _)| **epoch <= last.epoch);
        let then = Continuation::AnswerFetch {
            to: from,
            log,
            nonce,
            authoritative: touched.all(|(_, it)| it.is_authoritative(env.incarnation)),
        };
        let work = DiskWork::Read {
            log,
            first,
            last,
            limit: COPIES_PER_ANSWER,
        };
        self.request(work, then, env);
    }

    /// More may be readable: answers the questions that waited for it.
    pub(super) fn wake_fetches(&mut self, log: LogId, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        let readable = state.readable();
        if state.parked.iter().all(|it| it.first > readable) {
            return;
        }
        for it in std::mem::take(&mut state.parked) {
            self.on_fetch(it.to, log, it.nonce, it.first, it.last, env);
        }
    }

    /// Forgets questions whose readers have asked again.
    pub(super) fn drop_stale_fetches(&mut self, log: LogId, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        state.parked.retain(|it| it.until > env.now);
    }
}

pub(super) fn answer_fetch(
    to: Address,
    log: LogId,
    nonce: u64,
    authoritative: bool,
    copies: Vec<(Lsn, Result<StoredCopy, CorruptCopy>)>,
    passed: Lsn,
    env: &mut Env,
) {
    let entries = copies
        .into_iter()
        .map(|(lsn, copy)| (lsn, copy.ok().map(|copy| copy.entry)))
        .collect();
    let answer = StorageAnswer::Fetched {
        nonce,
        entries,
        passed,
        authoritative,
    };
    env.out.send(to, Message::Stored { log, answer });
}
