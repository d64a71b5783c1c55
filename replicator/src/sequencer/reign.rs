//! The reign of a sequencer over one epoch: recover the older ones, then answer.
//!
//! Invariant: no observable answer (an ack, a tail, a mismatch, a duplicate) before the register counts
//! every older epoch as clean. Sealing them is not enough: a record that the old sequencer still gets
//! stored after the seal of one node can survive at an LSN below one that was acked here. Plain appends
//! are placed before that; those that are judged by what stands in the log are not ([`judge`](super::judge)).

use std::sync::Arc;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{
    Address, Ballot, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, Timestamp, planted, probe,
};

use super::appends::{Appends, Fate, Joined, WINDOW};
use super::judge::{Append, Judge, Ruling};
use super::observations::{OBSERVATIONS_MAX, Observations, Observed, Question};
use super::trims::{TRIMS_MAX, Trims};
use crate::effects::{Env, Event};
use crate::message::RegisterStep;
use crate::message::{ClientAnswer, Message, RecoveryAnswer, Reply, StorageAnswer, StorageAsk};
use crate::patience::Patience;
use crate::queue::Queue;
use crate::recovery::{EpochRecovery, RECOVERED_MAX, RecoveryEnd};
use crate::register::{
    Activation, Annex, Change, Checkpoint, Committed, Proposer, RegisterBallot, RegisterValue,
};

/// How many clean epochs one answer to a storage node tells of at most.
pub const EPOCHS_PER_ANSWER: usize = 32;

/// A reign.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Reign {
    log: LogId,
    epoch: Epoch,
    activation: Activation,
    quorums: QuorumSystem,
    /// The register as this reign last saw it.
    value: Arc<RegisterValue>,
    progress: Progress,
    /// Unless the reign is open by then, or has come further, another node may try.
    patience: Timestamp,
    /// Whether appends are placed; not while the log is about to move.
    placing: bool,
    appends: Appends,
    judge: Judge,
    observations: Observations,
    trims: Trims,
    /// The next version of the annex, once the register is free for it.
    annex: Option<Box<Annex>>,
    /// The change before was a trim: the annex goes first, if it waits.
    trimmed: bool,
    /// The change of the register that is on its way, beside those that recovery makes: one at a time.
    changing: Option<Proposer>,
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
        value: Arc<RegisterValue>,
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
            patience: env.now,
            placing: true,
            appends: Appends::new(log, epoch),
            judge: Judge::default(),
            observations: Observations::new(log, epoch),
            trims: Trims::default(),
            annex: None,
            trimmed: false,
            changing: None,
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

    /// Places nothing from now on: appends are pushed back. A change of the register that is on its way is
    /// left to itself: the register takes it or not, and an activation of this node's own must not be taken for
    /// a rival's by it.
    pub(super) fn stop_placing(&mut self) {
        self.placing = false;
        probe!(
            "register.change-left-to-itself-by-a-move",
            self.changing.is_some()
        );
        self.changing = None;
    }

    /// Places appends again. False if it did all the time.
    pub(super) fn place_again(&mut self, round: &mut u64, env: &mut Env) -> bool {
        let again = !std::mem::replace(&mut self.placing, true);
        self.change_register(round, env);
        again
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

    /// The register as this reign last saw it.
    pub(super) fn value(&self) -> &RegisterValue {
        &self.value
    }

    pub(super) fn queues(&self) -> Vec<Queue> {
        let recovered = match &self.progress {
            Progress::Recovering(it) => it.offsets(),
            Progress::Advancing(..) | Progress::Open => 0,
        };
        let queue = |name, length, bound| Queue {
            name,
            length,
            bound,
        };
        [
            queue("sequencer: window", self.appends.placed(), WINDOW),
            queue(
                "sequencer: observations",
                self.observations.len(),
                OBSERVATIONS_MAX,
            ),
            queue("sequencer: trims", self.trims.len(), TRIMS_MAX),
            queue("recovery: offsets", recovered, RECOVERED_MAX),
        ]
        .into_iter()
        .chain(self.judge.queues())
        .collect()
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
            self.judge.deadline(),
            self.observations.deadline(),
            self.changing.as_ref().map(Proposer::deadline),
            self.release_at,
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// How patient it has to be with its nodes, by what waves took.
    pub(super) fn patience(&self) -> Patience {
        self.appends.patience()
    }

    pub(super) fn is_out_of_patience(&self, now: Timestamp) -> bool {
        !self.is_open() && self.patience <= now
    }

    pub(super) fn on_time(&mut self, round: &mut u64, env: &mut Env) {
        match &mut self.progress {
            Progress::Recovering(it) => it.on_time(env),
            Progress::Advancing(it, ..) => it.on_time(env),
            Progress::Open => {}
        }
        self.appends.on_time(&self.quorums, env);
        self.observations.on_time(&self.quorums, env);
        if let Some(proposer) = &mut self.changing {
            proposer.on_time(env);
        }
        if self.judge.on_time(env) {
            self.judge_waiting(env);
            self.change_register(round, env);
        }
        if self.release_at.is_some_and(|at| at <= env.now) {
            self.release(env);
        }
    }

    /// Takes an append. Not open, it places a plain one all the same: only the answer waits.
    pub(super) fn on_append(&mut self, append: Append, env: &mut Env) {
        let origin = append.origin;
        if append.is_plain() {
            self.place(append, env);
            return;
        }
        if !self.is_open() {
            self.wait(append, env);
            return;
        }
        let last_record = self.last_placed();
        match self.judge.rule(&append, last_record) {
            Ruling::Place => self.place(append, env),
            Ruling::Duplicate(lsn) => self.answer_duplicate(origin, lsn, env),
            Ruling::Refuse(why) => reply(origin, ClientAnswer::Refused(why), env),
            Ruling::Mismatch(mismatch) => {
                // It rests on everything placed so far.
                let rests_on = Offset(self.appends.tail().offset.0 - 1);
                let observed = Observed::Mismatch(mismatch);
                self.observe(origin, observed, rests_on, env);
            }
            Ruling::Wait => {
                self.wait(append, env);
                self.find_out(env);
            }
        }
    }

    fn place(&mut self, append: Append, env: &mut Env) {
        probe!("appends.pushed-back-by-a-move", !self.placing);
        if !self.placing || self.appends.is_full() {
            reply(append.origin, ClientAnswer::Busy, env);
            return;
        }
        let lsn = self.appends.tail();
        self.judge.placed(lsn, &append.record.attributes);
        let conditional = append.conditions.is_some();
        let (record, origin) = (append.record, append.origin);
        self.appends
            .place(record, origin, conditional, &self.quorums, env);
    }

    /// The record stands at `lsn` already, or is on its way there.
    fn answer_duplicate(&mut self, origin: (Address, u64), lsn: Lsn, env: &mut Env) {
        let joined = if lsn.epoch == self.epoch {
            self.appends.join(lsn.offset, origin)
        } else {
            Joined::Retired
        };
        match joined {
            Joined::Waits => probe!("dedup.joins-the-record-in-flight"),
            Joined::Retired => {
                probe!("dedup.after-failover", lsn.epoch < self.epoch);
                reply(origin, ClientAnswer::Appended(lsn), env);
            }
            Joined::Full => reply(origin, ClientAnswer::Busy, env),
        }
    }

    /// The last record that was placed: of this reign, or the last of the older epochs.
    fn last_placed(&self) -> Lsn {
        let next = self.appends.tail();
        if next.offset > Offset::FIRST {
            Lsn::at(next.epoch, Offset(next.offset.0 - 1))
        } else {
            self.value.clean_tail
        }
    }

    fn wait(&mut self, append: Append, env: &mut Env) {
        let origin = append.origin;
        if !self.judge.wait(append) {
            reply(origin, ClientAnswer::Busy, env);
        }
    }

    fn judge_waiting(&mut self, env: &mut Env) {
        for append in self.judge.take_waiting() {
            self.on_append(append, env);
        }
    }

    fn find_out(&mut self, env: &mut Env) {
        let RegisterValue {
            spans, checkpoint, ..
        } = &*self.value;
        self.judge
            .find_out(self.log, self.epoch, spans, checkpoint, env);
    }

    /// Takes a question for the end of the log: answered once it is certain that this reign was not over
    /// when the answer was so.
    pub(super) fn on_tail(&mut self, origin: (Address, u64), question: Question, env: &mut Env) {
        let observed = match question {
            Question::Tail if !self.may_answer() => {
                probe!("reign.tail-waits-for-recovery");
                if !self.observations.wait(origin) {
                    reply(origin, ClientAnswer::Busy, env);
                }
                return;
            }
            Question::Tail => Observed::Tail(self.appends.tail()),
            // What is on its way may become a hole: it would be told as a record that never was.
            Question::IsEmpty if !self.is_open() || self.appends.in_flight() > 0 => {
                reply(origin, ClientAnswer::Again, env);
                return;
            }
            Question::IsEmpty => Observed::Empty(self.last_placed() <= self.value.trim),
        };
        if planted!("deposed-tail") {
            self.tell(origin, observed, env);
            return;
        }
        self.observe(origin, observed, Offset(0), env);
    }

    fn observe(
        &mut self,
        origin: (Address, u64),
        observed: Observed,
        rests_on: Offset,
        env: &mut Env,
    ) {
        let taken = self
            .observations
            .check(origin, observed, rests_on, &self.quorums, env);
        if !taken {
            reply(origin, ClientAnswer::Busy, env);
        }
    }

    /// Tells what was observed and has become certain.
    fn tell_certain(&mut self, env: &mut Env) {
        let last_known_good = self.appends.last_known_good().offset;
        for (origin, observed) in self.observations.take_certain(last_known_good) {
            self.tell(origin, observed, env);
        }
    }

    fn tell(&self, origin: (Address, u64), observed: Observed, env: &mut Env) {
        let answer = match observed {
            Observed::Tail(lsn) => ClientAnswer::Tail {
                lsn,
                trim: self.value.trim,
                epochs: self.value.spans.clone(),
            },
            Observed::Mismatch(mismatch) => ClientAnswer::Mismatch(mismatch),
            Observed::Empty(empty) => ClientAnswer::Empty(empty),
        };
        reply(origin, answer, env);
    }

    /// Takes a poll: answered at once, and a lower bound for that.
    pub(super) fn on_poll(&mut self, origin: (Address, u64), env: &mut Env) {
        let answer = match self.released() {
            Some(released) => ClientAnswer::Released {
                released,
                trim: self.value.trim,
                epochs: self.value.spans.clone(),
            },
            None => ClientAnswer::Busy,
        };
        reply(origin, answer, env);
    }

    /// Takes a trim: answered once the register holds it.
    pub(super) fn on_trim(
        &mut self,
        origin: (Address, u64),
        upto: Lsn,
        round: &mut u64,
        env: &mut Env,
    ) {
        let answer = match self.released() {
            None => ClientAnswer::Busy,
            Some(released) if upto > released => {
                probe!("trim.not-released");
                ClientAnswer::NotReleased { released }
            }
            Some(_) if upto <= self.value.trim => ClientAnswer::Trimmed,
            Some(_) if self.placing && self.trims.wait(origin, upto) => {
                self.change_register(round, env);
                return;
            }
            Some(_) => ClientAnswer::Busy,
        };
        reply(origin, answer, env);
    }

    /// The log keeps nothing up to `upto`, which was released: gives it up.
    pub(super) fn keep_no_longer(&mut self, upto: Lsn, round: &mut u64, env: &mut Env) {
        if upto > self.value.trim && self.released().is_some_and(|released| upto <= released) {
            self.trims.keep_no_longer(upto);
            self.change_register(round, env);
        }
    }

    /// Has the register keep the next version of the annex. It does, or this reign ends.
    pub(super) fn keep_annex(&mut self, annex: Box<Annex>, round: &mut u64, env: &mut Env) {
        self.annex = Some(annex);
        self.change_register(round, env);
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
                    .map_err(|_| {
                        probe!("reign.deposed-by-a-store");
                        Deposed
                    })?;
                self.answer_retired(env);
                if self.appends.last_known_good() > before {
                    self.settle(round, env);
                }
                Ok(())
            }
            StorageAnswer::Seals {
                epoch,
                nonce,
                sealed,
            } => {
                if *sealed >= self.epoch {
                    probe!("reign.deposed-by-a-check");
                    return Err(Deposed);
                }
                if *epoch != self.epoch {
                    probe!("reign.check-of-an-earlier-reign");
                    // To a question of an earlier reign: what it says may no longer be so.
                    return Ok(());
                }
                self.observations.on_unsealed(from, *nonce, &self.quorums);
                self.tell_certain(env);
                Ok(())
            }
            StorageAnswer::Recovery {
                epoch,
                ballot,
                answer,
            } => self.on_recovery(from, *epoch, *ballot, answer, round, env),
            StorageAnswer::Fetched(told) => {
                if self.judge.on_fetched(from, told, env) {
                    self.judge_waiting(env);
                    self.change_register(round, env);
                }
                Ok(())
            }
            StorageAnswer::Here { .. }
            | StorageAnswer::Recovered(_)
            | StorageAnswer::RecoveryMetadata { .. }
            | StorageAnswer::Copy { .. }
            | StorageAnswer::FoundTime(_)
            | StorageAnswer::Cold(_) => Ok(()),
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
            Some(RecoveryEnd::Preempted(_)) => {
                probe!("reign.deposed-while-recovering");
                Err(Deposed)
            }
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
        self.patience = env.now + env.config.timing.activation_patience;
        let proposer = Proposer::start(self.log, change, round, env);
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
        if let Some(proposer) = &mut self.changing {
            let committed = proposer.on_step(from, ballot, step, round, env);
            return committed.map_or(Ok(()), |it| self.changed(it, round, env));
        }
        let Progress::Advancing(proposer, epoch, winner) = &mut self.progress else {
            return Ok(());
        };
        let (epoch, winner) = (*epoch, *winner);
        let committed = proposer.on_step(from, ballot, step, round, env);
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

    /// The register has taken a change, or not.
    fn changed(
        &mut self,
        committed: Committed,
        round: &mut u64,
        env: &mut Env,
    ) -> Result<(), Deposed> {
        self.changing = None;
        if !committed.applied {
            probe!("register.change-refused");
            return Err(Deposed);
        }
        let before = std::mem::replace(&mut self.value, committed.value);
        let (log, as_of) = (self.log, self.value.checkpoint.as_of);
        if as_of > before.checkpoint.as_of {
            env.out.events.push(Event::Checkpointed { log, as_of });
        }
        let version = self.value.annex.version;
        if self.annex.as_ref().is_some_and(|it| it.version <= version) {
            self.annex = None;
        }
        for origin in self.trims.take_done(self.value.trim) {
            reply(origin, ClientAnswer::Trimmed, env);
        }
        if (self.value.trim, self.value.handed()) != (before.trim, before.handed()) {
            self.tell_released(self.quorums.nodes(), env);
        }
        self.change_register(round, env);
        Ok(())
    }

    /// Begins the next change of the register, if there is one to make: one at a time, and none while the log is
    /// about to move.
    fn change_register(&mut self, round: &mut u64, env: &mut Env) {
        if !self.is_open() || !self.placing || self.changing.is_some() {
            return;
        }
        let annex = self.annex.clone();
        let activation = self.activation;
        let annex = annex.map(|annex| Change::Annex { activation, annex });
        let is_next = std::mem::take(&mut self.trimmed) && annex.is_some();
        let trim = if is_next { None } else { self.trim_change(env) };
        self.trimmed = trim.is_some();
        let change = trim;
        // What is to be handed over has to be behind a checkpoint.
        let is_behind = self.value.annex.handed <= self.value.checkpoint.as_of;
        let change = change.or_else(|| {
            if is_behind {
                None
            } else {
                self.checkpoint_change(env)
            }
        });
        let change = change.or(annex);
        self.changing = change.map(|it| Proposer::start(self.log, it, round, env));
    }

    /// Gives up what the waiting trims ask for, together with a checkpoint that covers it: a trim never passes the
    /// checkpoint. If what the records have done is not known yet it is found out first.
    fn trim_change(&mut self, env: &mut Env) -> Option<Change> {
        let upto = self.trims.furthest()?;
        let mut checkpoint = None;
        if upto > self.value.checkpoint.as_of {
            if !self.judge.knows() {
                probe!("trim.waits-for-the-past");
                self.find_out(env);
                return None;
            }
            // The trim is within it. Where the past was lost, what goes now makes no difference.
            checkpoint = self.checkpoint();
        }
        Some(Change::Trim {
            activation: self.activation,
            upto,
            checkpoint,
        })
    }

    /// Keeps what the records have done.
    fn checkpoint_change(&mut self, env: &mut Env) -> Option<Change> {
        // Also where nobody has asked yet: what there is to read grows.
        self.find_out(env);
        let checkpoint = self.checkpoint()?;
        Some(Change::Checkpoint {
            activation: self.activation,
            checkpoint,
        })
    }

    /// Of a prefix that has retired, so that every recovery keeps it as it is.
    fn checkpoint(&mut self) -> Option<Box<Checkpoint>> {
        let as_of = self.appends.last_known_good();
        let judgement = self.judge.checkpoint()?;
        Some(Box::new(Checkpoint { as_of, judgement }))
    }

    /// Begins the recovery of the next epoch, or opens the reign if none is left.
    fn recover_next(&mut self, round: &mut u64, env: &mut Env) {
        // For each epoch anew: were it for all of them, a log with many of them might never come to open,
        // and have one more with each attempt.
        self.patience = env.now + env.config.timing.activation_patience;
        let next = self.value.last_clean().next();
        // Every epoch is recovered, one that a failed activation left empty like any other.
        if next < self.epoch.prev() && planted!("recovery-skips-epoch") {
            self.advance(next, Ballot::default(), None, round, env);
            return;
        }
        if next < self.epoch {
            probe!("reign.several-epochs-to-recover", next < self.epoch.prev());
            let quorums = self.value.quorums(next).clone();
            let seal = self.epoch.prev();
            let recovery = EpochRecovery::start(self.log, next, seal, quorums, env);
            self.progress = Progress::Recovering(recovery);
            return;
        }
        self.progress = Progress::Open;
        let (log, epoch) = (self.log, self.epoch);
        env.out.events.push(Event::Opened { log, epoch });
        self.judge
            .open(&self.value.checkpoint, self.value.clean_tail);
        self.answer_retired(env);
        self.release(env);
        for origin in self.observations.take_waiting() {
            self.on_tail(origin, Question::Tail, env);
        }
        self.judge_waiting(env);
    }

    /// The contiguous retired prefix has grown.
    fn settle(&mut self, round: &mut u64, env: &mut Env) {
        for (lsn, attributes) in self.appends.take_settled() {
            self.judge.settled(lsn, &attributes);
        }
        if !self.is_open() {
            return;
        }
        let at = env.now + env.config.timing.release_delay;
        self.release_at.get_or_insert(at);
        self.tell_certain(env);
        if self.judge.unchecked() < env.config.timing.checkpoint_records {
            return;
        }
        if self.changing.is_some() || !self.placing {
            probe!("checkpoint.has-to-wait");
            self.find_out(env);
            return;
        }
        let change = self.checkpoint_change(env);
        self.changing = change.map(|it| Proposer::start(self.log, it, round, env));
    }

    /// Whether this reign may be seen: every older epoch is clean.
    fn may_answer(&self) -> bool {
        if planted!("late-straggler-kept") {
            return self.all_older_are_sealed();
        }
        self.is_open() || planted!("ack-before-recovery")
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
            for origin in retired.origins {
                reply(origin, ClientAnswer::Appended(retired.lsn), env);
            }
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
        self.tell_released(nodes, env);
    }

    /// Tells nodes what may be read, and what is given up.
    fn tell_released(&self, nodes: NodeSet, env: &mut Env) {
        let Some(released) = self.released else {
            return;
        };
        let (trim, handed) = (self.value.trim, self.value.handed());
        for node in nodes.iter() {
            let log = self.log;
            let ask = StorageAsk::Release {
                released,
                trim,
                handed,
            };
            env.out.send(node, Message::Storage { log, ask });
        }
    }

    /// Ends the reign: tells every client that waits what is certain; those whose requests had no effect,
    /// where to go on.
    pub(super) fn end(mut self, elsewhere: &ClientAnswer, env: &mut Env) {
        for append in self.judge.take_waiting() {
            reply(append.origin, elsewhere.clone(), env);
        }
        for (origin, fate) in self.appends.abandon() {
            let answer = match fate {
                Fate::NoEffect => elsewhere.clone(),
                Fate::Unknown => ClientAnswer::Unknown,
            };
            reply(origin, answer, env);
        }
        // Asking again does no harm, also where a trim was on its way.
        for origin in self.observations.abandon().chain(self.trims.abandon()) {
            reply(origin, elsewhere.clone(), env);
        }
    }
}

/// Answers a client's request.
pub(super) fn reply((to, number): (Address, u64), answer: ClientAnswer, env: &mut Env) {
    env.out.send(to, Message::Reply(Reply { number, answer }));
}
