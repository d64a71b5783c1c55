//! A storage node's part in the recovery of an epoch: seal, digest, mutate, clean.

use hstore_core::ports::log_store::{CorruptCopy, StoreOp};
use hstore_core::{Address, Ballot, Epoch, LogId, Lsn, Offset, StoredCopy, planted, probe};

use super::serve::entry_bytes;
use super::state::CleanMark;
use super::{ANSWER_BYTES_MAX, COPIES_PER_ANSWER, Continuation, StorageNode};
use crate::effects::{DiskWork, Durability, Env};
use crate::message::{Message, RecoveryAnswer, RecoveryMetadata, RecoveryStep, StorageAnswer};

fn answer(log: LogId, epoch: Epoch, ballot: Ballot, answer: RecoveryAnswer) -> Message {
    Message::Stored {
        log,
        answer: StorageAnswer::Recovery {
            epoch,
            ballot,
            answer,
        },
    }
}

/// Whether a digest is the reading of what this node sealed.
fn may_read(promised: Ballot, ballot: Ballot) -> bool {
    ballot == promised || (ballot > promised && planted!("recovery-reads-unfenced"))
}

impl StorageNode {
    /// Takes a step of a recovery, unless a higher ballot was promised for the epoch or a later
    /// activation has sealed the log.
    pub(super) fn on_recovery(
        &mut self,
        from: Address,
        log: LogId,
        epoch: Epoch,
        ballot: Ballot,
        step: &RecoveryStep,
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let promised = state.epochs.entry(epoch).or_default().promised;
        let preempted = match step {
            RecoveryStep::Seal => ballot < promised || ballot.seal < state.bounds.hard_seal,
            // A digest is the reading of the very promise its seal made.
            RecoveryStep::Digest { .. } => !may_read(promised, ballot),
            RecoveryStep::Mutate { .. } | RecoveryStep::Clean(_) => ballot < promised,
        };
        if preempted {
            match step {
                RecoveryStep::Seal => probe!("storage.seal-preempted"),
                RecoveryStep::Digest { .. } => probe!("storage.digest-preempted"),
                RecoveryStep::Mutate { .. } => probe!("storage.mutate-preempted"),
                RecoveryStep::Clean(_) => probe!("storage.clean-preempted"),
            }
            let sealed = promised.seal.max(state.bounds.hard_seal);
            let preempted = RecoveryAnswer::Preempted { sealed };
            env.out.send(from, answer(log, epoch, ballot, preempted));
            return;
        }
        match step {
            RecoveryStep::Seal => self.on_seal(from, log, epoch, ballot, env),
            RecoveryStep::Digest { after } => {
                let first = Lsn::at(epoch, after.next());
                let work = DiskWork::Read {
                    log,
                    first,
                    last: Lsn::end_of(epoch),
                    limit: COPIES_PER_ANSWER,
                };
                let then = Continuation::AnswerDigest {
                    to: from,
                    log,
                    epoch,
                    ballot,
                    after: *after,
                };
                self.request(work, then, env);
            }
            RecoveryStep::Mutate { first, copies } => {
                self.on_mutate(from, log, epoch, ballot, *first, copies, env);
            }
            RecoveryStep::Clean(metadata) => {
                self.on_clean(from, log, epoch, ballot, *metadata, env);
            }
        }
    }

    fn on_seal(&mut self, from: Address, log: LogId, epoch: Epoch, ballot: Ballot, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        let last_known_good = state.known_good(epoch);
        let it = state.epochs.entry(epoch).or_default();
        let authoritative = it.is_authoritative(env.incarnation);
        let sealed = RecoveryAnswer::Sealed {
            last_known_good,
            authoritative,
        };
        if ballot > it.promised {
            // A higher attempt voids what a lower one left, unless the register counts the epoch as
            // clean: then no attempt above the winner exists.
            probe!("storage.seal-voids-a-decision", it.clean.is_some());
            it.clean = None;
        }
        it.promised = ballot;
        state.bounds.hard_seal = state.bounds.hard_seal.max(ballot.seal);
        // Through the queue of stores, even if nothing changed: the answer covers all of them.
        let mut batch = vec![state.put_epoch(log, epoch)];
        if !planted!("seal-not-persisted") {
            batch.push(state.put_bounds(log));
        }
        let then = Continuation::Answer(from, answer(log, epoch, ballot, sealed));
        self.write(batch, Durability::Synced, then, env);
        self.tell_bounds(log, env);
    }

    /// The copies were read after the seal: no store of the epoch can follow them.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn answer_digest(
        &mut self,
        to: Address,
        log: LogId,
        epoch: Epoch,
        ballot: Ballot,
        after: Offset,
        copies: Vec<(Lsn, Result<StoredCopy, CorruptCopy>)>,
        passed: Lsn,
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let it = state.epochs.entry(epoch).or_default();
        if !may_read(it.promised, ballot) {
            probe!("storage.digest-overtaken-by-a-seal");
            let sealed = it.promised.seal.max(state.bounds.hard_seal);
            let preempted = RecoveryAnswer::Preempted { sealed };
            env.out.send(to, answer(log, epoch, ballot, preempted));
            return;
        }
        let authoritative = it.is_authoritative(env.incarnation);
        let mut told = Vec::new();
        let (mut bytes, mut passed) = (0, passed.offset);
        for (lsn, copy) in copies {
            // A copy that cannot be read is told as such: it may be of a record.
            bytes += copy.as_ref().map_or(0, |it| entry_bytes(&it.entry));
            told.push((lsn.offset, copy.ok()));
            if bytes >= ANSWER_BYTES_MAX {
                passed = lsn.offset;
                break;
            }
        }
        let digest = RecoveryAnswer::Digest {
            after,
            last_known_good: state.known_good(epoch),
            authoritative,
            copies: told,
            passed,
        };
        env.out.send(to, answer(log, epoch, ballot, digest));
    }

    #[allow(clippy::too_many_arguments)]
    fn on_mutate(
        &mut self,
        from: Address,
        log: LogId,
        epoch: Epoch,
        ballot: Ballot,
        first: u32,
        copies: &[(Offset, StoredCopy)],
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let forgotten = state.bounds.forgotten();
        let it = state.epochs.entry(epoch).or_default();
        if copies
            .iter()
            .any(|(offset, _)| Lsn::at(epoch, *offset) <= forgotten)
        {
            probe!("storage.mutate-of-what-is-given-up");
            // Whoever decided this did not know what was given up. The next attempt will: this one gets
            // no answer, and expires.
            return;
        }
        let count = first + u32::try_from(copies.len()).expect("a chunk is short");
        let mutated = answer(log, epoch, ballot, RecoveryAnswer::Mutated { count });
        if it.clean.is_some_and(|clean| clean.ballot >= ballot) {
            probe!("storage.mutate-after-clean");
            // Late: the decision of this ballot, or of a higher one, stands already.
            return;
        }
        it.promised = ballot;
        let mut batch: Vec<StoreOp> = copies
            .iter()
            .map(|(offset, copy)| StoreOp::Put {
                log,
                lsn: Lsn::at(epoch, *offset),
                copy: copy.clone(),
            })
            .collect();
        batch.push(state.put_epoch(log, epoch));
        self.write(
            batch,
            Durability::Synced,
            Continuation::Answer(from, mutated),
            env,
        );
    }

    fn on_clean(
        &mut self,
        from: Address,
        log: LogId,
        epoch: Epoch,
        ballot: Ballot,
        metadata: RecoveryMetadata,
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let it = state.epochs.entry(epoch).or_default();
        it.promised = ballot;
        it.clean = Some(CleanMark { ballot, metadata });
        let mut batch = vec![state.put_epoch(log, epoch)];
        // Nothing of the older epochs is touched: only the register's word lets a node purge, and that
        // has not come.
        if state.bounds.last_clean < epoch.prev() && planted!("purge-by-provisional") {
            batch.extend(state.drop_until(log, epoch));
        }
        let cleaned = answer(log, epoch, ballot, RecoveryAnswer::Cleaned);
        self.write(
            batch,
            Durability::Synced,
            Continuation::Answer(from, cleaned),
            env,
        );
    }
}
