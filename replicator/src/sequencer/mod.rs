//! The sequencer of a log: activation, then a reign over one epoch.
//!
//! Activation asks the nodeset first (an epoch on nodes that cannot be reached would block every later
//! recovery), then has the register begin a new epoch. It owns the epoch only if the committed value
//! carries its name.

mod appends;
mod copyset;
mod reign;
mod tails;

use std::time::Duration;

use hstore_core::{Address, Epoch, LogId, Lsn, NodeId, NodeSet, Record, Timestamp};

pub use appends::WINDOW;
use reign::{Deposed, Reign, reply};
pub use tails::TAILS_MAX;

use crate::effects::{Env, Event, StopReason};
use crate::message::RegisterStep;
use crate::message::{ClientAnswer, ClientAsk, Message, Sequencing, StorageAnswer, StorageAsk};
use crate::register::{Activation, Change, Proposer, RegisterBallot};

/// One node's sequencer of one log: at rest, on the way to a reign, or reigning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sequencer {
    log: LogId,
    phase: Phase,
    /// Activations begun in this life.
    activations: u64,
    /// The round that the next proposer may use.
    round: u64,
    /// No new activation before this.
    not_before: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// Asking the nodeset whether it is there.
    Probing {
        here: NodeSet,
        resend_at: Timestamp,
        patience: Timestamp,
    },
    /// The register is asked for a new epoch.
    Activating {
        proposer: Box<Proposer>,
        activation: Activation,
        patience: Timestamp,
    },
    Reigning(Box<Reign>),
}

impl Sequencer {
    /// A sequencer at rest.
    #[must_use]
    pub fn new(log: LogId) -> Self {
        Self {
            log,
            phase: Phase::Idle,
            activations: 0,
            round: 1,
            not_before: Timestamp::ZERO,
        }
    }

    /// Whether it neither reigns nor tries to.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Idle)
    }

    /// The epoch it reigns over.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.reign().map(Reign::epoch)
    }

    /// The epoch it reigns over and answers for.
    #[must_use]
    pub fn open_epoch(&self) -> Option<Epoch> {
        self.reign().filter(|it| it.is_open()).map(Reign::epoch)
    }

    /// What it wants known in heartbeats.
    #[must_use]
    pub fn sequencing(&self) -> Option<Sequencing> {
        self.reign().map(|reign| Sequencing {
            log: self.log,
            epoch: reign.epoch(),
            released: reign.released(),
        })
    }

    /// Its state in words, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.phase {
            Phase::Idle => "idle".to_owned(),
            Phase::Probing { here, .. } => format!("probing, here: {here}"),
            Phase::Activating { .. } => "activating".to_owned(),
            Phase::Reigning(reign) => format!("{} {}", reign.epoch(), reign.describe()),
        }
    }

    fn reign(&self) -> Option<&Reign> {
        match &self.phase {
            Phase::Reigning(reign) => Some(reign),
            _ => None,
        }
    }

    /// When to call [`Sequencer::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Probing {
                resend_at,
                patience,
                ..
            } => Some(*resend_at.min(patience)),
            Phase::Activating {
                proposer, patience, ..
            } => Some(proposer.deadline().min(*patience)),
            Phase::Reigning(reign) => reign.deadline(),
        }
    }

    /// Tries to become the log's sequencer, unless it is on the way or was refused just now.
    pub fn activate(&mut self, env: &mut Env) {
        if !self.is_idle() || env.now < self.not_before {
            return;
        }
        self.activations += 1;
        self.phase = Phase::Probing {
            here: NodeSet::EMPTY,
            resend_at: env.now,
            patience: env.now + env.config.timing.activation_patience,
        };
        self.on_time(env);
    }

    /// Time has passed.
    pub fn on_time(&mut self, env: &mut Env) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Probing { patience, .. } | Phase::Activating { patience, .. }
                if *patience <= env.now =>
            {
                self.rest(env);
            }
            Phase::Probing {
                here, resend_at, ..
            } => {
                if *resend_at <= env.now {
                    *resend_at = env.now + env.config.timing.resend;
                    let Some(spec) = env.config.logs.get(&self.log) else {
                        return;
                    };
                    for node in spec.quorums.nodes().difference(*here).iter() {
                        let nonce = self.activations;
                        let (log, ask) = (self.log, StorageAsk::Probe { nonce });
                        env.out.send(node, Message::Storage { log, ask });
                    }
                }
            }
            Phase::Activating { proposer, .. } => proposer.on_time(env),
            Phase::Reigning(reign) => {
                if reign.is_out_of_patience(env.now) {
                    self.stop(StopReason::OutOfPatience, env);
                } else {
                    reign.on_time(env);
                }
            }
        }
    }

    /// Takes a client's request. `hint` is the node that sequences the log, for all this node knows.
    pub fn on_request(
        &mut self,
        from: Address,
        number: u64,
        ask: &ClientAsk,
        hint: Option<NodeId>,
        env: &mut Env,
    ) {
        let origin = (from, number);
        let Phase::Reigning(reign) = &mut self.phase else {
            reply(origin, ClientAnswer::Redirect(hint), env);
            return;
        };
        match ask {
            ClientAsk::Append(record) => {
                let record: Record = record.clone();
                reign.on_append(origin, record, env);
            }
            ClientAsk::Tail => reign.on_tail(origin, env),
        }
    }

    /// A storage node wants to know which epochs are clean.
    pub fn on_recovered_wanted(&self, from: Address, after: Epoch, env: &mut Env) {
        if let Some(reign) = self.reign() {
            reign.on_recovered_wanted(from, after, env);
        }
    }

    /// Takes a storage node's answer.
    pub fn on_stored(&mut self, from: NodeId, answer: &StorageAnswer, env: &mut Env) {
        match &mut self.phase {
            Phase::Probing { here, patience, .. } => {
                let StorageAnswer::Here { nonce } = answer else {
                    return;
                };
                if *nonce != self.activations {
                    return;
                }
                here.insert(from);
                let quorums = env.config.quorum_system(self.log);
                let quorums = quorums.expect("only configured logs are probed");
                if quorums.is_write_quorum(*here) && quorums.is_seal_quorum(*here) {
                    let activation = Activation {
                        node: env.me,
                        incarnation: env.incarnation,
                        number: self.activations,
                    };
                    let change = Change::Activate {
                        activation,
                        quorums,
                        above: None,
                    };
                    let patience = *patience;
                    let proposer = Box::new(Proposer::start(self.log, change, self.round, env));
                    self.round = proposer.next_round();
                    self.phase = Phase::Activating {
                        proposer,
                        activation,
                        patience,
                    };
                }
            }
            Phase::Reigning(reign) => {
                if let Err(Deposed) = reign.on_stored(from, answer, &mut self.round, env) {
                    self.stop(StopReason::Deposed, env);
                }
            }
            Phase::Idle | Phase::Activating { .. } => {}
        }
    }

    /// Takes an acceptor's answer.
    pub fn on_register(
        &mut self,
        from: NodeId,
        ballot: RegisterBallot,
        step: &RegisterStep,
        env: &mut Env,
    ) {
        match &mut self.phase {
            Phase::Activating {
                proposer,
                activation,
                ..
            } => {
                let committed = proposer.on_step(from, ballot, step, env);
                self.round = self.round.max(proposer.next_round());
                let Some(committed) = committed else {
                    return;
                };
                if committed.applied {
                    assert_eq!(
                        committed.value.activation,
                        Some(*activation),
                        "an activation that applied is the value's"
                    );
                    let patience = env.now + env.config.timing.activation_patience;
                    let activation = *activation;
                    self.phase = Phase::Reigning(Box::new(Reign::begin(
                        self.log,
                        activation,
                        committed.value,
                        patience,
                        env,
                    )));
                } else {
                    self.rest(env);
                }
            }
            Phase::Reigning(reign) => {
                if let Err(Deposed) = reign.on_register(from, ballot, step, &mut self.round, env) {
                    self.stop(StopReason::Deposed, env);
                }
            }
            Phase::Idle | Phase::Probing { .. } => {}
        }
    }

    /// Another node is known to reign over `epoch`.
    pub fn on_rival(&mut self, epoch: Epoch, env: &mut Env) {
        if self.epoch().is_some_and(|own| own < epoch) {
            self.stop(StopReason::Deposed, env);
        }
    }

    fn stop(&mut self, why: StopReason, env: &mut Env) {
        let Phase::Reigning(reign) = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        env.out.events.push(Event::Stopped {
            log: self.log,
            epoch: reign.epoch(),
            why,
            in_flight: reign.in_flight(),
        });
        reign.end(env);
        self.rest(env);
    }

    /// Back to rest, for a while.
    fn rest(&mut self, env: &mut Env) {
        self.phase = Phase::Idle;
        let nanos = env.config.timing.activation_backoff.as_nanos() as u64;
        let pause = Duration::from_nanos(env.rng.within(nanos..=2 * nanos));
        self.not_before = env.now + pause;
    }

    /// Up to where readers may read, as far as this sequencer released it.
    #[must_use]
    pub fn released(&self) -> Option<Lsn> {
        self.reign().and_then(Reign::released)
    }
}
