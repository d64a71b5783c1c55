//! Serving readers.
//!
//! A node tells all it holds of a range up to what it may serve, or what of it falls to it under
//! single-copy delivery. A question that finds nothing new is parked until more is released, so that
//! readers at the end of a log need not ask in a loop. Every answer is bounded, in copies and in bytes,
//! and a reader asks for the next one when it has room: nothing waits here for a reader that does not
//! read.

use hstore_core::{Address, Entry, LogId, Lsn, planted};

use super::state::ParkedFetch;
use super::{ANSWER_BYTES_MAX, COPIES_PER_ANSWER, Continuation, Copies, StorageNode};
use crate::effects::{DiskWork, Env};
use crate::message::{Fetch, Fetched, Message, StorageAnswer};
use crate::patience::{DOUBLINGS_MAX, backed_off};

/// How many questions are parked for one log; beyond that the oldest is dropped, and its reader asks
/// again.
pub const PARKED_MAX: usize = 64;

impl StorageNode {
    pub(super) fn on_fetch(&mut self, from: Address, log: LogId, fetch: Fetch, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        // Beyond that a recovery may yet decide otherwise.
        let readable = if planted!("read-past-release") {
            Lsn::MAX
        } else {
            state.readable()
        };
        if fetch.first > readable {
            let is_another = |it: &ParkedFetch| (it.to, it.fetch.nonce) != (from, fetch.nonce);
            state.parked.retain(is_another);
            if state.parked.len() == PARKED_MAX {
                state.parked.pop_front();
            }
            // So long until its reader asks again, however patient it is.
            let kept = backed_off(env.config.timing.resend, DOUBLINGS_MAX);
            state.parked.push_back(ParkedFetch {
                to: from,
                fetch,
                until: env.now + kept,
            });
            return;
        }
        let last = fetch.last.min(readable);
        let touched = state.epochs.range(fetch.first.epoch..);
        let mut touched = touched.take_while(|(epoch, _)| **epoch <= last.epoch);
        let authoritative = touched.all(|(_, it)| it.is_authoritative(env.incarnation));
        let work = DiskWork::Read {
            log,
            first: fetch.first,
            last,
            limit: COPIES_PER_ANSWER.min(fetch.limit as usize),
        };
        let then = Continuation::AnswerFetch {
            to: from,
            log,
            fetch,
            authoritative,
        };
        self.request(work, then, env);
    }

    /// More may be readable: answers the questions that waited for it.
    pub(super) fn wake_fetches(&mut self, log: LogId, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        let readable = state.readable();
        let nothing = state.parked.iter().all(|it| it.fetch.first > readable);
        if nothing || self.is_overloaded() {
            return;
        }
        let state = self.logs.entry(log).or_default();
        for it in std::mem::take(&mut state.parked) {
            self.on_fetch(it.to, log, it.fetch, env);
        }
    }

    /// Forgets questions whose readers have asked again.
    pub(super) fn drop_stale_fetches(&mut self, log: LogId, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        state.parked.retain(|it| it.until > env.now);
    }

    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer_fetch(
        &self,
        to: Address,
        log: LogId,
        fetch: Fetch,
        authoritative: bool,
        copies: Copies,
        passed: Lsn,
        env: &mut Env,
    ) {
        let Fetch {
            nonce,
            round,
            single,
            ..
        } = fetch;
        let mut told = Fetched {
            nonce,
            round,
            entries: Vec::new(),
            passed,
            authoritative,
            trim: self.trim(log),
            handed: self.handed(log),
        };
        let mut bytes = 0;
        for (lsn, copy) in copies {
            if bytes >= ANSWER_BYTES_MAX {
                break;
            }
            told.passed = lsn;
            let Ok(copy) = copy else {
                // Whose turn it is cannot be read either.
                told.entries.push((lsn, None));
                continue;
            };
            if single.is_none_or(|it| it.sender(copy.copyset) == Some(env.me)) {
                bytes += entry_bytes(&copy.entry);
                told.entries.push((lsn, Some(copy.entry)));
            }
        }
        if bytes < ANSWER_BYTES_MAX {
            told.passed = passed;
        }
        let answer = StorageAnswer::Fetched(told);
        env.out.send(to, Message::Stored { log, answer });
    }
}

/// About how long an entry is in a message.
pub(super) fn entry_bytes(entry: &Entry) -> usize {
    match entry {
        Entry::Record(it) => 32 + it.record.payload.len(),
        Entry::Hole | Entry::Bridge => 8,
    }
}
