//! The sequencer of a log: activation, then a reign over one epoch.
//!
//! Activation asks the register which epoch is the newest and what it is made of: that is what the next
//! one is made of, whatever the configuration says, unless somebody asked for something else. It then
//! asks the nodeset (an epoch on nodes that cannot be reached would block every later recovery), and has
//! the register begin a new epoch. It owns the epoch only if the committed value carries its name.
//!
//! A reign that is asked to move the log ends in good order ([`moving`]).

mod appends;
mod asker;
mod judge;
mod moving;
mod observations;
mod probe;
mod rebuild;
mod reign;
mod trims;

use std::sync::Arc;
use std::time::Duration;

use hstore_core::quorum::QuorumSystem;
use hstore_core::{Address, Epoch, LogId, Lsn, NodeId, Timestamp};

pub use appends::{ORIGINS_MAX, WINDOW};
use asker::Asker;
use judge::Append;
pub use judge::WAITING_MAX;
use moving::{Moving, Stage};
pub use observations::OBSERVATIONS_MAX;
use observations::Question;
use probe::Probe;
pub use reign::EPOCHS_PER_ANSWER;
use reign::{Deposed, Reign, reply};
pub use trims::TRIMS_MAX;

use crate::effects::{Env, Event, StopReason};
use crate::message::RegisterStep;
use crate::message::{ClientAnswer, ClientAsk, Move, Sequencing, StorageAnswer};
use crate::patience::backed_off;
use crate::queue::Queue;
use crate::register::{Activation, Annex, Change, Proposer, RegisterBallot, RegisterValue};

/// One node's sequencer of one log: at rest, on the way to a reign, or reigning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Sequencer {
    log: LogId,
    phase: Phase,
    /// Activations and probes begun in this life.
    activations: u64,
    /// The round that the next proposer may use.
    round: u64,
    /// No new activation before this, unless somebody asks for it.
    not_before: Timestamp,
    /// Activations that came to nothing, since one did not.
    failures: u32,
    /// The newest epoch that this node has heard of.
    newest: Epoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Idle,
    /// The register is asked which epoch is the newest.
    Looking {
        proposer: Box<Proposer>,
        /// Somebody wants it. Otherwise the log is orphaned.
        asker: Option<Asker>,
        patience: Timestamp,
    },
    /// Asking the nodeset whether it is there.
    Probing {
        probe: Probe,
        bid: Box<Bid>,
        patience: Timestamp,
    },
    /// The register is asked for a new epoch.
    Activating {
        proposer: Box<Proposer>,
        activation: Activation,
        bid: Box<Bid>,
        patience: Timestamp,
    },
    Reigning {
        reign: Box<Reign>,
        moving: Option<Box<Moving>>,
    },
}

/// What is asked of the register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Bid {
    /// Somebody wants it. Otherwise the log is orphaned.
    planned: bool,
    /// Who waits for an answer.
    asker: Option<Asker>,
    /// The epoch after which the new one comes.
    above: Epoch,
    /// Whose that was.
    predecessor: Option<NodeId>,
    quorums: QuorumSystem,
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
            failures: 0,
            newest: Epoch(0),
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
            trim: reign.value().trim,
            handed: reign.value().handed(),
        })
    }

    /// The register as the one who reigns last saw it.
    #[must_use]
    pub fn value(&self) -> Option<&RegisterValue> {
        self.reign().map(Reign::value)
    }

    /// The log keeps nothing up to `upto`: gives it up, if it reigns and has released that.
    pub fn keep_no_longer(&mut self, upto: Lsn, env: &mut Env) {
        if let Phase::Reigning { reign, .. } = &mut self.phase {
            reign.keep_no_longer(upto, &mut self.round, env);
        }
    }

    /// Has the register keep the next version of the annex: it comes to stand in [`Sequencer::value`], or this reign
    /// ends. Ignored where another epoch is sequenced, or none.
    pub fn keep_annex(&mut self, epoch: Epoch, annex: Annex, env: &mut Env) {
        if let Phase::Reigning { reign, .. } = &mut self.phase
            && reign.epoch() == epoch
        {
            reign.keep_annex(Box::new(annex), &mut self.round, env);
        }
    }

    /// Its state in words, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        match &self.phase {
            Phase::Idle => "idle".to_owned(),
            Phase::Looking { .. } => "asking for the newest epoch".to_owned(),
            Phase::Probing { probe, .. } => format!("probing, here: {}", probe.here()),
            Phase::Activating { .. } => "activating".to_owned(),
            Phase::Reigning { reign, moving } => {
                let moving = moving.as_ref();
                let moving = moving.map_or(String::new(), |it| format!(", {}", it.describe()));
                format!("{} {}{moving}", reign.epoch(), reign.describe())
            }
        }
    }

    /// The queues of this machine.
    pub fn queues(&self) -> impl Iterator<Item = Queue> {
        self.reign().map(Reign::queues).into_iter().flatten()
    }

    fn reign(&self) -> Option<&Reign> {
        match &self.phase {
            Phase::Reigning { reign, .. } => Some(reign),
            _ => None,
        }
    }

    /// When to call [`Sequencer::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Idle => None,
            Phase::Probing {
                probe, patience, ..
            } => Some(probe.deadline().min(*patience)),
            Phase::Looking {
                proposer, patience, ..
            }
            | Phase::Activating {
                proposer, patience, ..
            } => Some(proposer.deadline().min(*patience)),
            Phase::Reigning { reign, moving } => {
                let moving = moving.as_ref().map(|it| it.deadline());
                reign.deadline().into_iter().chain(moving).min()
            }
        }
    }

    /// Tries to become the log's sequencer, unless it is on the way or was refused just now.
    pub fn activate(&mut self, env: &mut Env) {
        if self.is_idle() && env.now >= self.not_before {
            self.look(None, env);
        }
    }

    /// Until when a step of an activation may take. What failed is given longer.
    fn activation_patience(&self, env: &Env) -> Timestamp {
        env.now + backed_off(env.config.timing.activation_patience, self.failures)
    }

    /// Asks the register what there is.
    fn look(&mut self, asker: Option<Asker>, env: &mut Env) {
        let proposer = Proposer::start(self.log, Change::Nothing, &mut self.round, env);
        self.phase = Phase::Looking {
            proposer: Box::new(proposer),
            asker,
            patience: self.activation_patience(env),
        };
    }

    /// The register has told: asks the nodeset.
    fn looked(&mut self, asker: Option<Asker>, value: &RegisterValue, env: &mut Env) {
        self.newest = self.newest.max(value.epoch);
        let standing = value.spans.last().map(|span| span.quorums.clone());
        let wanted = asker.as_ref().and_then(|it| it.wanted().quorums.clone());
        let quorums = wanted.or(standing);
        let Some(quorums) = quorums.or_else(|| env.config.quorum_system(self.log)) else {
            self.rest(env);
            return;
        };
        let bid = Bid {
            planned: asker.is_some(),
            asker,
            above: value.epoch,
            predecessor: value.activation.map(|it| it.node),
            quorums,
        };
        self.probe(bid, env);
    }

    fn probe(&mut self, bid: Bid, env: &mut Env) {
        self.activations += 1;
        let nodes = bid.quorums.nodes();
        self.phase = Phase::Probing {
            probe: Probe::start(self.log, nodes, self.activations, env),
            bid: Box::new(bid),
            patience: self.activation_patience(env),
        };
    }

    /// Time has passed.
    pub fn on_time(&mut self, env: &mut Env) {
        match &mut self.phase {
            Phase::Idle => {}
            Phase::Looking { patience, .. }
            | Phase::Probing { patience, .. }
            | Phase::Activating { patience, .. }
                if *patience <= env.now =>
            {
                hstore_core::probe!("activation.out-of-patience");
                self.rest(env);
            }
            Phase::Probing { probe, .. } => probe.on_time(self.log, env),
            Phase::Looking { proposer, .. } | Phase::Activating { proposer, .. } => {
                proposer.on_time(env);
            }
            Phase::Reigning { reign, moving } => {
                if reign.is_out_of_patience(env.now) {
                    hstore_core::probe!("reign.out-of-patience");
                    self.stop(StopReason::OutOfPatience, None, env);
                    return;
                }
                reign.on_time(&mut self.round, env);
                if let Some(moving) = moving {
                    if moving.is_out_of_patience(env.now) {
                        self.give_up_move(env);
                    } else {
                        moving.on_time(self.log, reign, env);
                    }
                }
            }
        }
    }

    /// Nothing came of a move in time: the old reign goes on.
    fn give_up_move(&mut self, env: &mut Env) {
        let Phase::Reigning { reign, moving } = &mut self.phase else {
            return;
        };
        let Some(moving) = moving.take() else {
            return;
        };
        let answer = if moving.may_happen() {
            hstore_core::probe!("move.given-up-in-doubt");
            ClientAnswer::Unknown
        } else {
            ClientAnswer::Busy
        };
        moving.asker.tell(answer, env);
        if reign.place_again(&mut self.round, env) {
            hstore_core::probe!("move.old-reign-goes-on");
            let (log, epoch) = (self.log, reign.epoch());
            env.out.events.push(Event::Resumed { log, epoch });
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
        if let ClientAsk::Move(wanted) = ask {
            self.on_move(origin, wanted, hint, env);
            return;
        }
        let Phase::Reigning { reign, .. } = &mut self.phase else {
            reply(origin, ClientAnswer::Redirect(hint), env);
            return;
        };
        match ask {
            ClientAsk::Append { record, conditions } => {
                let append = Append {
                    origin,
                    record: record.clone(),
                    conditions: *conditions,
                };
                reign.on_append(append, env);
            }
            ClientAsk::Tail => reign.on_tail(origin, Question::Tail, env),
            ClientAsk::IsEmpty => reign.on_tail(origin, Question::IsEmpty, env),
            ClientAsk::Poll => reign.on_poll(origin, env),
            ClientAsk::Trim(upto) => reign.on_trim(origin, *upto, &mut self.round, env),
            ClientAsk::Move(_) => unreachable!("taken above"),
        }
    }

    fn on_move(
        &mut self,
        origin: (Address, u64),
        wanted: &Move,
        hint: Option<NodeId>,
        env: &mut Env,
    ) {
        let stored_on = wanted.quorums.iter().flat_map(|it| it.nodes().iter());
        let all_known = stored_on
            .chain(wanted.to)
            .all(|node| env.config.nodes.contains_key(&node));
        if !all_known {
            // Nodes that cannot be reached are no different.
            reply(origin, ClientAnswer::Busy, env);
            return;
        }
        let asker = Asker::new(origin, wanted.clone());
        if self.asker().is_some_and(|it| it.is_repeated_by(&asker)) {
            return;
        }
        let asked_for = self.is_asked_for();
        match &mut self.phase {
            Phase::Reigning { reign, moving } => {
                let answer = if moving.is_some() {
                    ClientAnswer::Busy
                } else if wanted.is_so(env.me, reign.quorums()) {
                    hstore_core::probe!("move.is-so-already");
                    // Also of a reign that is not open yet: it has begun, and its answer may be lost.
                    ClientAnswer::Moved(reign.epoch())
                } else if reign.is_open() {
                    self.activations += 1;
                    let to = wanted.to.unwrap_or(env.me);
                    let quorums = wanted.quorums.as_ref().unwrap_or(reign.quorums()).clone();
                    let nonce = self.activations;
                    let patience = reign.patience();
                    let it = Moving::start(self.log, asker, to, quorums, nonce, patience, env);
                    *moving = Some(Box::new(it));
                    return;
                } else {
                    ClientAnswer::Busy
                };
                asker.tell(answer, env);
            }
            _ if wanted.to != Some(env.me) => asker.tell(ClientAnswer::Redirect(hint), env),
            Phase::Probing { bid, .. } | Phase::Activating { bid, .. }
                if bid.asker.is_none() && wanted.is_so(env.me, &bid.quorums) =>
            {
                hstore_core::probe!("move.joins-one-under-way");
                // On the way already, handed over or orphaned; nobody waits for an answer yet.
                bid.planned = true;
                bid.asker = Some(asker);
            }
            Phase::Activating { .. } => asker.tell(ClientAnswer::Busy, env),
            Phase::Looking { .. } | Phase::Probing { .. } if asked_for => {
                asker.tell(ClientAnswer::Busy, env);
            }
            Phase::Idle | Phase::Looking { .. } | Phase::Probing { .. } => {
                self.look(Some(asker), env);
            }
        }
    }

    /// Who waits for the move that is under way.
    fn asker(&mut self) -> Option<&mut Asker> {
        match &mut self.phase {
            Phase::Idle => None,
            Phase::Looking { asker, .. } => asker.as_mut(),
            Phase::Probing { bid, .. } | Phase::Activating { bid, .. } => bid.asker.as_mut(),
            Phase::Reigning { moving, .. } => moving.as_mut().map(|it| &mut it.asker),
        }
    }

    /// Whether it is about to activate because somebody wants it.
    fn is_asked_for(&self) -> bool {
        match &self.phase {
            Phase::Looking { asker, .. } => asker.is_some(),
            Phase::Probing { bid, .. } | Phase::Activating { bid, .. } => bid.planned,
            Phase::Idle | Phase::Reigning { .. } => false,
        }
    }

    /// The sequencer of `epoch` hands the log over to this node. Ignored if a later epoch is known: a
    /// network delays and duplicates. Should there be one that is not known here, the register refuses.
    pub fn on_hand_over(
        &mut self,
        from: NodeId,
        epoch: Epoch,
        quorums: &QuorumSystem,
        env: &mut Env,
    ) {
        if epoch < self.newest || self.is_asked_for() {
            hstore_core::probe!("move.late-hand-over");
            return;
        }
        self.on_rival(from, epoch, env);
        match &self.phase {
            Phase::Activating { .. } | Phase::Reigning { .. } => {}
            Phase::Idle | Phase::Looking { .. } | Phase::Probing { .. } => {
                let bid = Bid {
                    planned: true,
                    asker: None,
                    above: epoch,
                    predecessor: Some(from),
                    quorums: quorums.clone(),
                };
                self.probe(bid, env);
            }
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
            Phase::Probing {
                probe,
                bid,
                patience,
            } => {
                probe.on_answer(from, answer);
                if !probe.finds(&bid.quorums) {
                    return;
                }
                let activation = Activation {
                    node: env.me,
                    incarnation: env.incarnation,
                    number: self.activations,
                };
                let change = Change::Activate {
                    activation,
                    quorums: bid.quorums.clone(),
                    above: bid.above,
                };
                let (bid, patience) = (bid.clone(), *patience);
                let proposer = Box::new(Proposer::start(self.log, change, &mut self.round, env));
                self.phase = Phase::Activating {
                    proposer,
                    activation,
                    bid,
                    patience,
                };
            }
            Phase::Reigning { reign, moving } => {
                if let Err(Deposed) = reign.on_stored(from, answer, &mut self.round, env) {
                    self.stop(StopReason::Deposed, None, env);
                } else if let Some(moving) = moving {
                    moving.on_stored(from, answer);
                    let (number, round) = (&mut self.activations, &mut self.round);
                    moving.go_on(self.log, reign, number, round, env);
                }
            }
            Phase::Idle | Phase::Looking { .. } | Phase::Activating { .. } => {}
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
            Phase::Looking {
                proposer, asker, ..
            } => {
                let committed = proposer.on_step(from, ballot, step, &mut self.round, env);
                if let Some(committed) = committed {
                    let asker = asker.take();
                    self.looked(asker, &committed.value, env);
                }
            }
            Phase::Activating {
                proposer,
                activation,
                bid,
                ..
            } => {
                let committed = proposer.on_step(from, ballot, step, &mut self.round, env);
                let Some(committed) = committed else {
                    return;
                };
                self.newest = self.newest.max(committed.value.epoch);
                if committed.applied {
                    let (activation, bid) = (*activation, bid.clone());
                    self.reign_over(
                        activation,
                        committed.value,
                        bid.predecessor,
                        bid.planned,
                        env,
                    );
                    if let Some(asker) = bid.asker {
                        asker.tell(ClientAnswer::Moved(self.newest), env);
                    }
                } else {
                    hstore_core::probe!("activation.refused-by-the-register");
                    self.rest(env);
                }
            }
            Phase::Reigning { reign, moving } => {
                if let Err(Deposed) = reign.on_register(from, ballot, step, &mut self.round, env) {
                    hstore_core::probe!("reign.deposed-by-the-register");
                    self.stop(StopReason::Deposed, None, env);
                    return;
                }
                let Some(moving) = moving else {
                    return;
                };
                let Stage::Activating {
                    proposer,
                    activation,
                } = &mut moving.stage
                else {
                    return;
                };
                let committed = proposer.on_step(from, ballot, step, &mut self.round, env);
                let Some(committed) = committed else {
                    return;
                };
                self.newest = self.newest.max(committed.value.epoch);
                if committed.applied {
                    let activation = *activation;
                    let asker = moving.asker.clone();
                    self.end_reign(StopReason::Moved, &ClientAnswer::Busy, env);
                    self.reign_over(activation, committed.value, Some(env.me), true, env);
                    asker.tell(ClientAnswer::Moved(self.newest), env);
                } else {
                    hstore_core::probe!("move.refused-by-the-register");
                    self.stop(StopReason::Deposed, None, env);
                }
            }
            Phase::Idle | Phase::Probing { .. } => {}
        }
    }

    fn reign_over(
        &mut self,
        activation: Activation,
        value: Arc<RegisterValue>,
        predecessor: Option<NodeId>,
        planned: bool,
        env: &mut Env,
    ) {
        assert_eq!(
            value.activation,
            Some(activation),
            "an activation that applied is the value's"
        );
        self.failures = 0;
        let (log, epoch) = (self.log, value.epoch);
        let quorums = value.quorums(epoch).clone();
        let before = (epoch > Epoch(1)).then(|| value.quorums(epoch.prev()));
        let nodeset_changed = before.is_some_and(|it| it.nodes() != quorums.nodes());
        let moved = planned.then(|| Event::Moved {
            log,
            epoch,
            leader_changed: predecessor.is_some_and(|it| it != env.me),
            nodeset_changed,
            quorums_changed: !nodeset_changed && before.is_some_and(|it| *it != quorums),
        });
        env.out.events.push(Event::Activated {
            log,
            epoch,
            quorums,
        });
        env.out.events.extend(moved);
        let reign = Reign::begin(log, activation, value, &mut self.round, env);
        self.phase = Phase::Reigning {
            reign: Box::new(reign),
            moving: None,
        };
    }

    /// `node` is known to reign over `epoch`.
    pub fn on_rival(&mut self, node: NodeId, epoch: Epoch, env: &mut Env) {
        self.newest = self.newest.max(epoch);
        if self.epoch().is_some_and(|own| own < epoch) {
            self.stop(StopReason::Deposed, Some(node), env);
        }
    }

    /// Ends the reign. `rival` is who reigns now, if that is known.
    fn stop(&mut self, why: StopReason, rival: Option<NodeId>, env: &mut Env) {
        let Phase::Reigning { moving, .. } = &mut self.phase else {
            return;
        };
        if let Some(moving) = moving.take() {
            hstore_core::probe!("move.ended-by-a-rival");
            let answer = match moving.stage {
                Stage::HandedOver { .. } if rival == Some(moving.to) => {
                    ClientAnswer::Moved(self.newest)
                }
                Stage::HandedOver { .. } | Stage::Activating { .. } => ClientAnswer::Unknown,
                Stage::Probing(_) | Stage::Draining => ClientAnswer::Redirect(rival),
            };
            moving.asker.tell(answer, env);
        }
        self.end_reign(why, &ClientAnswer::Redirect(rival), env);
        self.rest(env);
    }

    /// Tells everyone who waits. Whoever asked for a tail hears `elsewhere`: it had no effect.
    fn end_reign(&mut self, why: StopReason, elsewhere: &ClientAnswer, env: &mut Env) {
        let Phase::Reigning { reign, .. } = std::mem::replace(&mut self.phase, Phase::Idle) else {
            return;
        };
        env.out.events.push(Event::Stopped {
            log: self.log,
            epoch: reign.epoch(),
            why,
            in_flight: reign.in_flight(),
        });
        reign.end(elsewhere, env);
    }

    /// Back to rest, for a while.
    fn rest(&mut self, env: &mut Env) {
        let before = std::mem::replace(&mut self.phase, Phase::Idle);
        let (asker, answer) = match before {
            Phase::Looking { asker, .. } => (asker, ClientAnswer::Busy),
            Phase::Probing { bid, .. } => (bid.asker, ClientAnswer::Busy),
            Phase::Activating { bid, .. } => (bid.asker, ClientAnswer::Unknown),
            Phase::Idle | Phase::Reigning { .. } => (None, ClientAnswer::Unknown),
        };
        if let Some(asker) = asker {
            asker.tell(answer, env);
        }
        let pause = backed_off(env.config.timing.activation_backoff, self.failures);
        let nanos = pause.as_nanos() as u64;
        let pause = Duration::from_nanos(env.rng.within(nanos..=2 * nanos));
        self.not_before = env.now + pause;
        self.failures = self.failures.saturating_add(1);
    }

    /// Up to where readers may read, as far as this sequencer released it.
    #[must_use]
    pub fn released(&self) -> Option<Lsn> {
        self.reign().and_then(Reign::released)
    }
}
