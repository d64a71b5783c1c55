//! A reign on its way to the next epoch, in good order.
//!
//! First the nodes of the new epoch, and who is to lead it, are asked whether they are there: nothing
//! stands still for that. Then nothing more is placed, until all that was placed is retired and answered,
//! so that no client is left in doubt. Then the node has the register begin the next epoch for itself,
//! or hands the log over to the successor. Each step has its patience; when it is over the old reign goes
//! on. That is safe whatever has become of the register meanwhile: like any sequencer that was deposed
//! and does not know it yet, this one answers nothing that its epoch's seals do not bear out.

use hstore_core::quorum::QuorumSystem;
use hstore_core::{LogId, NodeId, NodeSet, Timestamp, planted};

use super::asker::Asker;
use super::probe::Probe;
use super::reign::Reign;
use crate::effects::{Env, Event};
use crate::message::{Message, StorageAnswer};
use crate::patience::Patience;
use crate::register::{Activation, Change, Proposer};

/// A move.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Moving {
    /// Who waits for an answer.
    pub(super) asker: Asker,
    /// Who is to lead.
    pub(super) to: NodeId,
    /// What the new epoch is to be made of.
    pub(super) quorums: QuorumSystem,
    pub(super) stage: Stage,
    /// When the next stage must be reached.
    patience: Timestamp,
}

/// How far a move is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// The nodes of the new epoch and its leader are asked whether they are there.
    Probing(Probe),
    /// Nothing is placed any more; what was placed is on its way.
    Draining,
    /// The successor was told.
    HandedOver { resend_at: Timestamp },
    /// The register is asked for the next epoch.
    Activating {
        proposer: Box<Proposer>,
        activation: Activation,
    },
}

impl Moving {
    /// Begins with the question who is there.
    pub(super) fn start(
        log: LogId,
        asker: Asker,
        to: NodeId,
        quorums: QuorumSystem,
        nonce: u64,
        patience: Patience,
        env: &mut Env,
    ) -> Self {
        let nodes = quorums.nodes().union(NodeSet::only(to));
        Self {
            asker,
            to,
            quorums,
            stage: Stage::Probing(Probe::start(log, nodes, nonce, env)),
            patience: env.now + patience.after(0, env.config.timing.hand_over_patience),
        }
    }

    pub(super) fn deadline(&self) -> Timestamp {
        let next = match &self.stage {
            Stage::Probing(probe) => probe.deadline(),
            Stage::Draining => self.patience,
            Stage::HandedOver { resend_at } => *resend_at,
            Stage::Activating { proposer, .. } => proposer.deadline(),
        };
        next.min(self.patience)
    }

    pub(super) fn is_out_of_patience(&self, now: Timestamp) -> bool {
        self.patience <= now
    }

    /// Whether the register or the successor may have been told: if the move is given up now, it may
    /// yet happen.
    pub(super) fn may_happen(&self) -> bool {
        matches!(
            self.stage,
            Stage::HandedOver { .. } | Stage::Activating { .. }
        )
    }

    pub(super) fn on_time(&mut self, log: LogId, reign: &Reign, env: &mut Env) {
        match &mut self.stage {
            Stage::Probing(probe) => probe.on_time(log, env),
            Stage::Draining => {}
            Stage::HandedOver { resend_at } => {
                if *resend_at <= env.now {
                    *resend_at = env.now + env.config.timing.resend;
                    self.hand_over(log, reign, env);
                }
            }
            Stage::Activating { proposer, .. } => proposer.on_time(env),
        }
    }

    /// Takes a storage node's answer: to the probe, if it is one.
    pub(super) fn on_stored(&mut self, from: NodeId, answer: &StorageAnswer) {
        if let Stage::Probing(probe) = &mut self.stage {
            probe.on_answer(from, answer);
        }
    }

    /// Goes on to the next stage once this one is done.
    pub(super) fn go_on(
        &mut self,
        log: LogId,
        reign: &mut Reign,
        number: &mut u64,
        round: &mut u64,
        env: &mut Env,
    ) {
        if let Stage::Probing(probe) = &self.stage
            && probe.finds(&self.quorums)
            && probe.here().contains(self.to)
        {
            env.out.events.push(Event::Draining {
                log,
                epoch: reign.epoch(),
            });
            // Nothing is stored on the new nodeset before the register has an epoch for it.
            if planted!("ack-before-epoch-metadata") {
                reign.place_on(self.quorums.clone());
            } else {
                reign.stop_placing();
            }
            self.stage = Stage::Draining;
            let wait = reign.patience().after(0, env.config.timing.drain_patience);
            self.patience = env.now + wait;
        }
        if self.stage == Stage::Draining && reign.is_drained() {
            let wait = reign
                .patience()
                .after(0, env.config.timing.hand_over_patience);
            self.patience = env.now + wait;
            if self.to != env.me {
                let resend_at = env.now + env.config.timing.resend;
                self.stage = Stage::HandedOver { resend_at };
                self.hand_over(log, reign, env);
                return;
            }
            *number += 1;
            let activation = Activation {
                node: env.me,
                incarnation: env.incarnation,
                number: *number,
            };
            let change = Change::Activate {
                activation,
                quorums: self.quorums.clone(),
                above: reign.epoch(),
            };
            let proposer = Box::new(Proposer::start(log, change, round, env));
            self.stage = Stage::Activating {
                proposer,
                activation,
            };
        }
    }

    fn hand_over(&self, log: LogId, reign: &Reign, env: &mut Env) {
        let message = Message::HandOver {
            log,
            epoch: reign.epoch(),
            quorums: self.quorums.clone(),
        };
        env.out.send(self.to, message);
    }

    /// In words, for people.
    pub(super) fn describe(&self) -> String {
        let stage = match &self.stage {
            Stage::Probing(probe) => format!("probing, here: {}", probe.here()),
            Stage::Draining => "draining".to_owned(),
            Stage::HandedOver { .. } => format!("handed over to {}", self.to),
            Stage::Activating { .. } => "activating".to_owned(),
        };
        format!("moving: {stage}")
    }
}
