//! The reign of a sequencer over one epoch: recover the older ones, then answer.
//!
//! Invariant: no observable answer (an ack, a tail) before the register counts every older epoch as
//! clean. Sealing them is not enough: a record that the old sequencer still gets stored after the
//! seal of one node can survive at an LSN below one that was acked here.

use hstore_core::quorum::QuorumSystem;
use hstore_core::{Address, Ballot, Epoch, LogId, Lsn, NodeId, Offset, Record, Timestamp, planted};

use super::appends::Appends;
use super::tails::Tails;
use crate::effects::{Env, Event};
use crate::message::RegisterStep;
use crate::message::{ClientAnswer, Message, RecoveryAnswer, Reply, StorageAnswer, StorageAsk};
use crate::recovery::{EpochRecovery, RecoveryEnd};
use crate::register::{Activation, Change, Proposer, RegisterBallot, RegisterValue};

/// How many clean epochs one answer to a storage node tells of at most.
const EPOCHS_PER_ANSWER: usize = 32;

/// A reign.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reign {
    log: LogId,
    epoch: Epoch,
    activation: Activation,
    quorums: QuorumSystem,
    /// The register as this reign last saw it.
    value: RegisterValue,
    progress: Progress,
    /// Unless the reign is open by then, another node may try.
    patience: Timestamp,
    /// Whether appends are placed; not while the log is about to move.
    placing: bool,
    appends: Appends,
    tails: Tails,
    /// When to tell the nodes what is released, if there is news.
    release_at: Option<Timestamp>,
    /// What they were told last.
    released: Option<Lsn>,
}

/// How far the recovery of the older epochs is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Progress {
    /// One is being recovered.
    Recovering(EpochRecovery),
    /// One is clean on its mutation set; the register is being told.
    Advancing(Proposer, Epoch, Ballot),
    /// All are clean.
    Open,
}

/// Why a reign is over: a later epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Deposed;

impl Reign {
    pub(super) fn begin(
        log: LogId,
        activation: Activation,
        value: RegisterValue,
        patience: Timestamp,
        round: &mut u64,
        env: &mut Env,
    ) -> Self {
        let epoch = value.epoch;
        let quorums = value.quorums(epoch).clone();
        let mut reign = Self {
            log,
            epoch,
            activation,
            quorums,
            value,
            progress: Progress::Open,
            patience,
            placing: true,
            appends: Appends::new(log, epoch),
            tails: Tails::default(),
            release_at: None,
            released: None,
        };
        reign.recover_next(round, env);
        reign
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// What its epoch is made of.
    pub(super) fn quorums(&self) -> &QuorumSystem {
        &self.quorums
    }

    /// Places nothing from now on: appends are pushed back.
    pub(super) fn stop_placing(&mut self) {
        self.placing = false;
    }

    /// Places appends again. False if it did all the time.
    pub(super) fn place_again(&mut self) -> bool {
        !std::mem::replace(&mut self.placing, true)
    }

    /// A planted bug's: goes on, on other nodes than those of the epoch.
    pub(super) fn place_on(&mut self, quorums: QuorumSystem) {
        self.quorums = quorums;
    }

    /// Whether all that was placed is retired and answered.
    pub(super) fn is_drained(&self) -> bool {
        self.is_open() && self.appends.is_empty()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.appends.in_flight()
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.progress, Progress::Open)
    }

    /// Up to where readers may read; `None` before the reign is open.
    pub(super) fn released(&self) -> Option<Lsn> {
        self.is_open().then(|| self.appends.last_known_good())
    }

    /// In words, for people.
    pub(super) fn describe(&self) -> String {
        match &self.progress {
            Progress::Recovering(it) => format!("recovering {}: {}", it.epoch(), it.phase()),
            Progress::Advancing(_, epoch, _) => format!("advancing to {epoch}"),
            Progress::Open => format!("open, released {}", self.appends.last_known_good()),
        }
    }

    pub(super) fn deadline(&self) -> Option<Timestamp> {
        let progress = match &self.progress {
            Progress::Recovering(it) => Some(it.deadline().min(self.patience)),
            Progress::Advancing(it, ..) => Some(it.deadline().min(self.patience)),
            Progress::Open => None,
        };
        [
            progress,
            self.appends.deadline(),
            self.tails.deadline(),
            self.release_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    pub(super) fn is_out_of_patience(&self, now: Timestamp) -> bool {
        !self.is_open() && self.patience <= now
    }

    pub(super) fn on_time(&mut self, env: &mut Env) {
        match &mut self.progress {
            Progress::Recovering(it) => it.on_time(env),
            Progress::Advancing(it, ..) => it.on_time(env),
            Progress::Open => {}
        }
        self.appends.on_time(&self.quorums, env);
        self.tails.on_time(self.log, &self.quorums, env);
        if self.release_at.is_some_and(|at| at <= env.now) {
            self.release(env);
        }
    }

    /// Takes an append. Not open, it places the record all the same: only the answer waits.
    pub(super) fn on_append(&mut self, origin: (Address, u64), record: Record, env: &mut Env) {
        if !self.placing || !self.appends.place(record, origin, &self.quorums, env) {
            reply(origin, ClientAnswer::Busy, env);
        }
    }

    pub(super) fn on_tail(&mut self, origin: (Address, u64), env: &mut Env) {
        let taken = if self.may_answer() {
            let tail = self.appends.tail();
            self.tails.check(origin, tail, self.log, &self.quorums, env)
        } else {
            self.tails.wait(origin)
        };
        if !taken {
            reply(origin, ClientAnswer::Busy, env);
        }
    }

    /// A storage node wants to know which epochs are clean.
    pub(super) fn on_recovered_wanted(&self, from: Address, after: Epoch, env: &mut Env) {
        let epochs = self.value.recovered(after, EPOCHS_PER_ANSWER);
        let log = self.log;
        let answer = StorageAnswer::Recovered(epochs);
        env.out.send(from, Message::Stored { log, answer });
    }

    /// Takes a storage node's answer.
    pub(super) fn on_stored(
        &mut self,
        from: NodeId,
        answer: &StorageAnswer,
        round: &mut u64,
        env: &mut Env,
    ) -> Result<(), Deposed> {
        match answer {
            StorageAnswer::Store { lsn, wave, outcome } => {
                let before = self.appends.last_known_good();
                self.appends
                    .on_answer(from, *lsn, *wave, *outcome, &self.quorums, env)
                    .map_err(|_| Deposed)?;
                self.answer_retired(env);
                if self.is_open() && self.appends.last_known_good() > before {
                    let at = env.now + env.config.timing.release_delay;
                    self.release_at.get_or_insert(at);
                }
                Ok(())
            }
            StorageAnswer::Seals {
                epoch,
                nonce,
                sealed,
            } => {
                if *sealed >= self.epoch {
                    return Err(Deposed);
                }
                if *epoch != self.epoch {
                    // To a question of an earlier reign: what it says may no longer be so.
                    return Ok(());
                }
                let answered = self.tails.on_unsealed(from, *nonce, &self.quorums);
                if let Some((origin, lsn)) = answered {
                    let epochs = self.value.spans.clone();
                    reply(origin, ClientAnswer::Tail { lsn, epochs }, env);
                }
                Ok(())
            }
            StorageAnswer::Recovery {
                epoch,
                ballot,
                answer,
            } => self.on_recovery(from, *epoch, *ballot, answer, round, env),
            StorageAnswer::Here { .. }
            | StorageAnswer::Recovered(_)
            | StorageAnswer::RecoveryMetadata { .. }
            | StorageAnswer::Fetched { .. } => Ok(()),
        }
    }

    fn on_recovery(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        ballot: Ballot,
        answer: &RecoveryAnswer,
        round: &mut u64,
        env: &mut Env,
    ) -> Result<(), Deposed> {
        let Progress::Recovering(recovery) = &mut self.progress else {
            return Ok(());
        };
        if recovery.epoch() != epoch {
            return Ok(());
        }
        match recovery.on_answer(from, ballot, answer, env) {
            None => Ok(()),
            Some(RecoveryEnd::Preempted(_)) => Err(Deposed),
            Some(RecoveryEnd::Clean {
                ballot,
                last_record,
            }) => {
                self.advance(epoch, ballot, last_record, round, env);
                Ok(())
            }
        }
    }

    /// Has the register count an epoch as clean.
    fn advance(
        &mut self,
        epoch: Epoch,
        ballot: Ballot,
        last_record: Option<Lsn>,
        round: &mut u64,
        env: &mut Env,
    ) {
        let change = Change::Advance {
            activation: self.activation,
            epoch,
            ballot,
            last_record,
        };
        let proposer = Proposer::start(self.log, change, *round, env);
        *round = proposer.next_round();
        self.progress = Progress::Advancing(proposer, epoch, ballot);
    }

    /// Takes an acceptor's answer.
    pub(super) fn on_register(
        &mut self,
        from: NodeId,
        ballot: RegisterBallot,
        step: &RegisterStep,
        round: &mut u64,
        env: &mut Env,
    ) -> Result<(), Deposed> {
        let Progress::Advancing(proposer, epoch, winner) = &mut self.progress else {
            return Ok(());
        };
        let (epoch, winner) = (*epoch, *winner);
        let committed = proposer.on_step(from, ballot, step, env);
        *round = (*round).max(proposer.next_round());
        let Some(committed) = committed else {
            return Ok(());
        };
        if !committed.applied {
            return Err(Deposed);
        }
        self.value = committed.value;
        env.out.events.push(Event::EpochClean {
            log: self.log,
            epoch,
            ballot: winner,
        });
        self.recover_next(round, env);
        Ok(())
    }

    /// Begins the recovery of the next epoch, or opens the reign if none is left.
    fn recover_next(&mut self, round: &mut u64, env: &mut Env) {
        let next = self.value.last_clean().next();
        // Every epoch is recovered, one that a failed activation left empty like any other.
        if next < self.epoch.prev() && planted!("recovery-skips-epoch") {
            self.advance(next, Ballot::default(), None, round, env);
            return;
        }
        if next < self.epoch {
            let quorums = self.value.quorums(next).clone();
            let seal = self.epoch.prev();
            let recovery = EpochRecovery::start(self.log, next, seal, quorums, env);
            self.progress = Progress::Recovering(recovery);
            return;
        }
        self.progress = Progress::Open;
        let (log, epoch) = (self.log, self.epoch);
        env.out.events.push(Event::Opened { log, epoch });
        self.answer_retired(env);
        self.release(env);
        for origin in self.tails.take_waiting() {
            self.on_tail(origin, env);
        }
    }

    /// Whether this reign may be seen: every older epoch is clean.
    fn may_answer(&self) -> bool {
        self.is_open()
            || planted!("ack-before-recovery")
            || (self.all_older_are_sealed() && planted!("late-straggler-kept"))
    }

    /// Whether a seal quorum of every older epoch stores nothing more of it. This is not enough to
    /// answer: see the module.
    fn all_older_are_sealed(&self) -> bool {
        match &self.progress {
            Progress::Recovering(it) => it.epoch().next() == self.epoch && it.is_sealed(),
            Progress::Advancing(_, epoch, _) => epoch.next() == self.epoch,
            Progress::Open => true,
        }
    }

    fn answer_retired(&mut self, env: &mut Env) {
        if !self.may_answer() {
            return;
        }
        for retired in self.appends.take_retired() {
            env.out.events.push(Event::Acked {
                log: self.log,
                lsn: retired.lsn,
                stored: retired.stored,
            });
            reply(retired.origin, ClientAnswer::Appended(retired.lsn), env);
        }
    }

    fn release(&mut self, env: &mut Env) {
        self.release_at = None;
        let mut released = self.appends.last_known_good();
        // Of this epoch, be it its offset 0: a node that hears it catches up with the older ones first.
        // An LSN of a recovered epoch would let a straggler serve what it holds of that.
        if released.offset == Offset(0)
            && self.value.clean_tail > Lsn::MIN
            && planted!("release-recovered-epoch")
        {
            released = self.value.clean_tail;
        }
        if self.released == Some(released) {
            return;
        }
        let first = self.released.replace(released).is_none();
        let mut nodes = self.quorums.nodes();
        if first && self.epoch > Epoch(1) {
            // Readers of the last epoch need not wait until its nodes hear of this by heartbeat.
            nodes = nodes.union(self.value.quorums(self.epoch.prev()).nodes());
        }
        for node in nodes.iter() {
            let log = self.log;
            let ask = StorageAsk::Release { released };
            env.out.send(node, Message::Storage { log, ask });
        }
    }

    /// Ends the reign: tells every client that waits what is certain; those that asked for the tail,
    /// that it had no effect and where to go on.
    pub(super) fn end(self, elsewhere: &ClientAnswer, env: &mut Env) {
        for origin in self.appends.abandon() {
            reply(origin, ClientAnswer::Unknown, env);
        }
        for origin in self.tails.abandon() {
            reply(origin, elsewhere.clone(), env);
        }
    }
}

/// Answers a client's request.
pub(super) fn reply((to, number): (Address, u64), answer: ClientAnswer, env: &mut Env) {
    env.out.send(to, Message::Reply(Reply { number, answer }));
}
