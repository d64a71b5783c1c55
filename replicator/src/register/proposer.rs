//! One change of a register, driven until it is committed.
//!
//! A change whose fate is unknown (its ballot was preempted after phase 2 began) is tried again: the
//! change itself tells whether it took effect meanwhile, because changes apply at most once.

use std::sync::Arc;
use std::time::Duration;

use hstore_core::{LogId, NodeId, NodeSet, Timestamp, probe};

use super::{Change, RegisterBallot, RegisterValue, Vote};
use crate::effects::Env;
use crate::message::{Message, RegisterStep};
use crate::patience::backed_off;

/// A change on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposer {
    log: LogId,
    change: Change,
    ballot: RegisterBallot,
    phase: Phase,
    /// Phase 1 met a higher ballot once. The first time that is mostly one of long ago, and nobody is
    /// waited for; the second time somebody else is at work.
    refused: u32,
    /// How often the same was sent without an answer that sufficed.
    unanswered: u32,
    /// When to send again, or to try a higher ballot.
    deadline: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// A higher ballot was met: wait a little.
    BackingOff,
    /// Phase 1.
    Preparing {
        promised: NodeSet,
        /// The value accepted at the highest ballot, of those told.
        latest: Option<Vote>,
    },
    /// Phase 2.
    Accepting {
        accepted: NodeSet,
        value: Arc<RegisterValue>,
        /// Whether `value` carries the change.
        applied: bool,
    },
}

/// The end of a change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Committed {
    /// Whether the change took effect.
    pub applied: bool,
    /// The value that stands.
    pub value: Arc<RegisterValue>,
}

impl Proposer {
    /// Starts to drive a change. `round` is a round that no ballot of this node's life has had yet; it is
    /// raised above every one that this proposer uses or meets.
    pub fn start(log: LogId, change: Change, round: &mut u64, env: &mut Env) -> Self {
        let ballot = RegisterBallot {
            round: *round,
            node: env.me,
            incarnation: env.incarnation,
        };
        let mut proposer = Self {
            log,
            change,
            ballot,
            phase: Phase::BackingOff,
            refused: 0,
            unanswered: 0,
            deadline: env.now,
        };
        proposer.prepare(env);
        proposer.raise(round);
        proposer
    }

    /// Raises a round above every one this proposer has used or met.
    fn raise(&self, round: &mut u64) {
        *round = (*round).max(self.ballot.round + 1);
    }

    /// When to call [`Proposer::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// Takes an acceptor's answer. `round` is raised as [`Proposer::start`] says.
    pub fn on_step(
        &mut self,
        from: NodeId,
        ballot: RegisterBallot,
        step: &RegisterStep,
        round: &mut u64,
        env: &mut Env,
    ) -> Option<Committed> {
        let committed = self.take(from, ballot, step, env);
        self.raise(round);
        committed
    }

    fn take(
        &mut self,
        from: NodeId,
        ballot: RegisterBallot,
        step: &RegisterStep,
        env: &mut Env,
    ) -> Option<Committed> {
        if ballot != self.ballot || !env.config.metadata.contains(from) {
            return None;
        }
        let majority = env.config.metadata.len() / 2 + 1;
        match (&mut self.phase, step) {
            (Phase::Preparing { promised, latest }, RegisterStep::Promise(accepted)) => {
                promised.insert(from);
                if let Some(vote) = accepted
                    && latest.as_ref().is_none_or(|best| best.ballot < vote.ballot)
                {
                    latest.clone_from(accepted);
                }
                if promised.len() >= majority {
                    let latest = latest.take();
                    self.accept(latest.map(|vote| vote.value).unwrap_or_default(), env);
                }
                None
            }
            (
                Phase::Accepting {
                    accepted,
                    value,
                    applied,
                },
                RegisterStep::Accepted,
            ) => {
                accepted.insert(from);
                (accepted.len() >= majority).then(|| Committed {
                    applied: *applied,
                    value: value.clone(),
                })
            }
            (Phase::Preparing { .. } | Phase::Accepting { .. }, RegisterStep::Refused(higher)) => {
                self.ballot.round = self.ballot.round.max(higher.round) + 1;
                let preparing = matches!(self.phase, Phase::Preparing { .. });
                self.refused = self.refused.saturating_add(1);
                if preparing && self.refused == 1 {
                    self.prepare(env);
                    return None;
                }
                probe!(
                    "register.fate-unknown",
                    matches!(self.phase, Phase::Accepting { .. })
                );
                self.phase = Phase::BackingOff;
                // Where a round takes long, those who would disturb each other have to pause as long.
                let pause = backed_off(env.config.timing.register_backoff, self.refused - 1);
                let nanos = pause.as_nanos() as u64;
                self.deadline = env.now + Duration::from_nanos(env.rng.within(nanos..=4 * nanos));
                None
            }
            _ => None,
        }
    }

    /// Time has passed: sends again what is unanswered.
    pub fn on_time(&mut self, env: &mut Env) {
        if env.now < self.deadline {
            return;
        }
        match &self.phase {
            Phase::BackingOff => self.prepare(env),
            Phase::Preparing { promised, .. } => {
                let silent = env.config.metadata.difference(*promised);
                self.send(silent, &RegisterStep::Prepare, env);
            }
            Phase::Accepting {
                accepted, value, ..
            } => {
                let silent = env.config.metadata.difference(*accepted);
                let step = RegisterStep::Accept(value.clone());
                self.send(silent, &step, env);
            }
        }
    }

    fn prepare(&mut self, env: &mut Env) {
        self.phase = Phase::Preparing {
            promised: NodeSet::EMPTY,
            latest: None,
        };
        self.unanswered = 0;
        self.send(env.config.metadata, &RegisterStep::Prepare, env);
    }

    fn accept(&mut self, current: Arc<RegisterValue>, env: &mut Env) {
        let changed = self.change.apply(&current);
        let applied = changed.is_some();
        let value = changed.map_or(current, Arc::new);
        self.unanswered = 0;
        self.send(
            env.config.metadata,
            &RegisterStep::Accept(value.clone()),
            env,
        );
        self.phase = Phase::Accepting {
            accepted: NodeSet::EMPTY,
            value,
            applied,
        };
    }

    fn send(&mut self, to: NodeSet, step: &RegisterStep, env: &mut Env) {
        self.deadline = env.now + backed_off(env.config.timing.resend, self.unanswered);
        self.unanswered = self.unanswered.saturating_add(1);
        for node in to.iter() {
            let (log, ballot, step) = (self.log, self.ballot, step.clone());
            env.out.send(node, Message::Register { log, ballot, step });
        }
    }
}
