//! Catching up with epochs that became clean.
//!
//! A node whose copies took part in the winning attempt has nothing to do but believe it. Any other
//! *purges*: in one durable write it deletes what it holds above the epoch's last known good
//! offset, seals the epoch, promises the winning ballot and keeps its metadata. Only the register's
//! word that the epoch is clean, and only metadata of the ballot it names, allow that: a provisional
//! decision may yet be overruled. Nothing at or below last known good is ever deleted.

use hstore_core::ports::log_store::StoreOp;
use hstore_core::{Address, Ballot, Epoch, LogId, Lsn, NodeId, planted, probe};

use super::state::{CatchUp, CleanMark};
use super::{Continuation, StorageNode};
use crate::effects::{Durability, Env, Event};
use crate::message::{Message, RecoveredEpoch, RecoveryMetadata, StorageAnswer, StorageAsk};
use crate::sequencer::EPOCHS_PER_ANSWER;

impl StorageNode {
    /// The register counts more epochs as clean than this node: asks `sequencer` for them.
    pub(super) fn catch_up(&mut self, sequencer: NodeId, log: LogId, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        if let Some(catch_up) = &mut state.catching_up {
            catch_up.sequencer = sequencer;
            return;
        }
        state.catching_up = Some(CatchUp {
            sequencer,
            epochs: [].into(),
            deadline: env.now,
        });
        self.ask_again(log, env);
    }

    /// What the register says of the epochs after the local last clean one.
    pub(super) fn on_recovered(
        &mut self,
        from: NodeId,
        log: LogId,
        epochs: &[RecoveredEpoch],
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let Some(catch_up) = &mut state.catching_up else {
            return;
        };
        if catch_up.sequencer != from || !catch_up.epochs.is_empty() {
            return;
        }
        let next = state.bounds.last_clean.next();
        let news = epochs.iter().copied().skip_while(|it| it.epoch < next);
        catch_up.epochs.extend(news.take(EPOCHS_PER_ANSWER));
        if catch_up.epochs.front().is_some_and(|it| it.epoch == next) {
            self.believe(log, env);
            self.ask_again(log, env);
        } else {
            catch_up.epochs.clear();
        }
    }

    /// Lifts the local last clean epoch over every epoch in which this node agrees with the winning
    /// attempt or has nothing.
    fn believe(&mut self, log: LogId, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        let Some(catch_up) = &mut state.catching_up else {
            return;
        };
        let before = state.bounds;
        while let Some(next) = catch_up.epochs.front() {
            assert_eq!(next.epoch, state.bounds.last_clean.next(), "in order");
            let clean = state.epochs.get(&next.epoch).and_then(|it| it.clean);
            if next.nodes.contains(env.me) && clean.is_none_or(|it| it.ballot != next.ballot) {
                probe!("purge.decision-of-a-loser", clean.is_some());
                break;
            }
            state.bounds.last_clean = next.epoch;
            if !next.nodes.contains(env.me) {
                probe!("purge.epoch-of-others");
                // The others have sealed it: before they were clean, or when they purged.
                state.bounds.hard_seal = state.bounds.hard_seal.max(next.epoch);
            }
            catch_up.epochs.pop_front();
        }
        let done =
            catch_up.epochs.is_empty() && state.bounds.last_clean >= state.released.epoch.prev();
        if done {
            state.catching_up = None;
        }
        if state.bounds != before {
            let batch = vec![state.put_bounds(log)];
            self.write(batch, Durability::Synced, Continuation::Nothing, env);
            self.tell_bounds(log, env);
            self.wake_fetches(log, env);
        }
    }

    /// Asks for what is missing: the sequencer for more epochs, or the nodes of the next epoch for
    /// its recovery metadata.
    pub(super) fn ask_again(&mut self, log: LogId, env: &mut Env) {
        let state = self.logs.entry(log).or_default();
        let Some(catch_up) = &mut state.catching_up else {
            return;
        };
        catch_up.deadline = env.now + env.config.timing.resend;
        match catch_up.epochs.front() {
            None => {
                let after = state.bounds.last_clean;
                let ask = StorageAsk::Recovered { after };
                let sequencer = catch_up.sequencer;
                env.out.send(sequencer, Message::Storage { log, ask });
            }
            Some(next) => {
                for node in next.nodes.iter().filter(|&node| node != env.me) {
                    let ask = StorageAsk::RecoveryMetadata {
                        epoch: next.epoch,
                        ballot: next.ballot,
                    };
                    env.out.send(node, Message::Storage { log, ask });
                }
            }
        }
    }

    /// Another node wants to catch up.
    pub(super) fn on_metadata_wanted(
        &mut self,
        from: Address,
        log: LogId,
        epoch: Epoch,
        ballot: Ballot,
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let clean = state.epochs.get(&epoch).and_then(|it| it.clean);
        let metadata = clean
            .filter(|clean| clean.ballot == ballot)
            .map(|clean| clean.metadata);
        let answer = StorageAnswer::RecoveryMetadata {
            epoch,
            ballot,
            metadata,
        };
        env.out.send(from, Message::Stored { log, answer });
    }

    /// The metadata of the winning attempt: purges by it.
    pub(super) fn on_metadata(
        &mut self,
        log: LogId,
        epoch: Epoch,
        ballot: Ballot,
        metadata: RecoveryMetadata,
        env: &mut Env,
    ) {
        let state = self.logs.entry(log).or_default();
        let wanted = state
            .catching_up
            .as_ref()
            .and_then(|catch_up| catch_up.epochs.front());
        if wanted.is_none_or(|next| next.epoch != epoch || next.ballot != ballot) {
            return;
        }
        let it = state.epochs.entry(epoch).or_default();
        it.clean = Some(CleanMark { ballot, metadata });
        // This node may have missed the seal and the winning attempt: what is on its way from the
        // epoch's sequencer, and from attempts that lost, must find it closed.
        if !planted!("purge-without-seal") {
            it.promised = it.promised.max(ballot);
            state.bounds.hard_seal = state.bounds.hard_seal.max(epoch);
        }
        let mut batch = Vec::new();
        probe!(
            "purge.several-epochs-behind",
            epoch < state.released.epoch.prev()
        );
        // After a recovery without authority nothing is deleted: a copy that recovery did not see
        // may be the last one.
        if metadata.bridge.is_some() {
            // By the decision: what this node knows to be good may be less.
            let keep = if planted!("truncate-to-local") {
                it.last_known_good
            } else {
                metadata.last_known_good
            };
            probe!(
                "purge.keeps-more-than-it-knew-good",
                state.epochs[&epoch].last_known_good < keep
            );
            batch.push(StoreOp::DeleteRange {
                log,
                first: Lsn::at(epoch, keep.next()),
                last: Lsn::end_of(epoch),
            });
        }
        if planted!("flush-mark-survives-truncate") {
            // What the epoch that follows holds is not known to be good at all.
            let mark = state.epochs[&epoch].last_known_good;
            let next = state.epochs.entry(epoch.next()).or_default();
            next.last_known_good = next.last_known_good.max(mark);
        }
        let metadata = [state.put_bounds(log), state.put_epoch(log, epoch)];
        if planted!("metadata-not-atomic") {
            // What was done is kept first; it is done when that is synced.
            let done = metadata.to_vec();
            self.write(done, Durability::Synced, Continuation::Nothing, env);
            self.store_later(1, batch, Durability::Synced, Continuation::Nothing, env);
        } else {
            batch.extend(metadata);
            self.write(batch, Durability::Synced, Continuation::Nothing, env);
        }
        env.out.events.push(Event::Purged { log, epoch });
        self.believe(log, env);
        self.ask_again(log, env);
    }
}
