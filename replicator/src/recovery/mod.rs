//! Recovery of one old epoch: find out what it holds, and make it so.
//!
//! One [`EpochRecovery`] runs attempts until one has every member of its mutation set *clean*, that
//! is, holding the same decision. It is then for the register to count the epoch as clean. Each
//! attempt has a ballot of its own and begins with durable seals at it, so a message of an earlier
//! attempt can never be taken for one of a later.
//!
//! The *mutation set* of an attempt are the nodes that sealed at its ballot and whose digest is
//! complete.

mod decide;

use std::collections::BTreeMap;

use hstore_core::quorum::{Answers, QuorumSystem, SealAnswer};
use hstore_core::{
    Ballot, Epoch, LogId, Lsn, NodeId, NodeSet, Offset, StoredCopy, Timestamp, planted, probe,
};

pub use decide::{Decision, Digests, decide};

use crate::effects::{Env, Event};
use crate::message::{Message, RecoveryAnswer, RecoveryMetadata, RecoveryStep, StorageAsk};
use crate::patience::backed_off;
use crate::sequencer::WINDOW;

/// How many copies one mutate carries at most.
pub const COPIES_PER_MUTATE: usize = 64;
/// How many offsets of an epoch a recovery looks at. A node that holds a record learned with it what was
/// good then, less than a window before: no record lies further above what any of them knows. One more
/// is the bridge behind the last, of an attempt before; and one is ours.
pub const RECOVERED_MAX: usize = WINDOW + 2;

/// The recovery of one epoch, through as many attempts as it takes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EpochRecovery {
    log: LogId,
    epoch: Epoch,
    quorums: QuorumSystem,
    ballot: Ballot,
    phase: Phase,
    /// When to send again what is unanswered.
    resend_at: Timestamp,
    /// How often was sent again since there was progress.
    resent: u32,
    /// An attempt had too few nodes to decide.
    needs_more: bool,
    /// When the attempt has gone too long without progress. Sealing alone may take for ever.
    expires_at: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Nodes promise to store nothing more and to obey no lower ballot.
    Seal {
        /// Those that did, durably, and the last known good offset each has met.
        sealed: BTreeMap<NodeId, Offset>,
        /// Of these, the nodes that may have lost copies.
        amnesiac: NodeSet,
        /// A quorum sealed: stragglers are awaited until then.
        grace: Option<Timestamp>,
    },
    /// Sealed nodes tell what they hold.
    Digest {
        /// What they told so far.
        digests: Digests,
        /// How far each node has told.
        passed: BTreeMap<NodeId, Offset>,
        /// A quorum told all: stragglers are awaited until then.
        grace: Option<Timestamp>,
    },
    /// The mutation set is made to hold the decision.
    Mutate {
        /// The mutation set and what each member has to take, in order.
        plan: BTreeMap<NodeId, Vec<(Offset, StoredCopy)>>,
        /// How many copies each member has taken.
        taken: BTreeMap<NodeId, u32>,
        /// What was decided.
        decision: Decision,
    },
    /// The mutation set keeps the metadata.
    Clean {
        /// The mutation set.
        members: NodeSet,
        /// Those that did, durably.
        cleaned: NodeSet,
        /// What was decided.
        decision: Decision,
    },
}

/// The end of a recovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecoveryEnd {
    /// All of the mutation set are clean at this ballot.
    Clean {
        /// The winning attempt.
        ballot: Ballot,
        /// The last record of the epoch, if it has any.
        last_record: Option<Lsn>,
    },
    /// A later activation has sealed the log up to this epoch.
    Preempted(Epoch),
}

impl EpochRecovery {
    /// Begins the first attempt of the activation that seals up to `seal`.
    pub fn start(
        log: LogId,
        epoch: Epoch,
        seal: Epoch,
        quorums: QuorumSystem,
        env: &mut Env,
    ) -> Self {
        let mut recovery = Self {
            log,
            epoch,
            quorums,
            ballot: Ballot { seal, attempt: 0 },
            phase: Phase::Seal {
                sealed: BTreeMap::new(),
                amnesiac: NodeSet::EMPTY,
                grace: None,
            },
            resend_at: env.now,
            resent: 0,
            needs_more: false,
            expires_at: env.now,
        };
        recovery.next_attempt(env);
        recovery
    }

    /// The epoch that is recovered.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The name of the phase, for people.
    #[must_use]
    pub fn phase(&self) -> &'static str {
        match self.phase {
            Phase::Seal { .. } => "seal",
            Phase::Digest { .. } => "digest",
            Phase::Mutate { .. } => "mutate",
            Phase::Clean { .. } => "clean",
        }
    }

    /// Whether a seal quorum stores nothing more of the epoch.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        match &self.phase {
            Phase::Seal { sealed, .. } => {
                let nodes = sealed.keys().copied().collect();
                self.quorums.is_seal_quorum(nodes)
            }
            Phase::Digest { .. } | Phase::Mutate { .. } | Phase::Clean { .. } => true,
        }
    }

    /// How many offsets it holds copies of.
    #[must_use]
    pub fn offsets(&self) -> usize {
        match &self.phase {
            Phase::Digest { digests, .. } => {
                let above = digests.last_known_good.next();
                digests.copies.range(above..).count()
            }
            Phase::Mutate { decision, .. } | Phase::Clean { decision, .. } => {
                decision.entries.len()
            }
            Phase::Seal { .. } => 0,
        }
    }

    /// When to call [`EpochRecovery::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        let grace = match &self.phase {
            Phase::Seal { grace, .. } | Phase::Digest { grace, .. } => *grace,
            Phase::Mutate { .. } | Phase::Clean { .. } => None,
        };
        let expires = (!matches!(self.phase, Phase::Seal { .. })).then_some(self.expires_at);
        [Some(self.resend_at), grace, expires]
            .into_iter()
            .flatten()
            .min()
            .expect("there is always a time to resend")
    }

    /// Takes a storage node's answer.
    pub fn on_answer(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        answer: &RecoveryAnswer,
        env: &mut Env,
    ) -> Option<RecoveryEnd> {
        if ballot != self.ballot || !self.quorums.nodes().contains(from) {
            return None;
        }
        match (&mut self.phase, answer) {
            (_, RecoveryAnswer::Preempted { sealed }) => {
                if *sealed > self.ballot.seal {
                    probe!("recovery.preempted-by-a-later-epoch");
                    return Some(RecoveryEnd::Preempted(*sealed));
                }
                self.next_attempt(env);
            }
            (
                Phase::Seal {
                    sealed, amnesiac, ..
                },
                RecoveryAnswer::Sealed {
                    last_known_good,
                    authoritative,
                },
            ) => {
                sealed.insert(from, *last_known_good);
                if !authoritative {
                    probe!("recovery.amnesiac-sealed");
                    amnesiac.insert(from);
                }
                self.after_seal(env);
            }
            (
                Phase::Digest {
                    digests, passed, ..
                },
                RecoveryAnswer::Digest {
                    after,
                    last_known_good,
                    authoritative,
                    copies,
                    passed: told,
                },
            ) => {
                let known = passed.get_mut(&from)?;
                if *known != *after {
                    probe!("recovery.digest-repeated");
                    // An answer to an earlier question, once more.
                    return None;
                }
                *known = *told;
                if !authoritative {
                    digests.amnesiac.insert(from);
                }
                digests.last_known_good = digests.last_known_good.max(*last_known_good);
                for (offset, copy) in copies {
                    digests
                        .copies
                        .entry(*offset)
                        .or_default()
                        .insert(from, copy.clone());
                }
                let next = *told;
                self.progressed(env);
                if next < Offset::MAX {
                    self.send(from, RecoveryStep::Digest { after: next }, env);
                }
                self.after_digest(env);
            }
            (Phase::Mutate { plan, taken, .. }, RecoveryAnswer::Mutated { count }) => {
                let known = taken.get_mut(&from)?;
                if *count <= *known && !plan[&from].is_empty() {
                    return None;
                }
                *known = *count;
                self.progressed(env);
                self.send_mutate(from, env);
                self.after_mutate(env);
            }
            (
                Phase::Clean {
                    members,
                    cleaned,
                    decision,
                },
                RecoveryAnswer::Cleaned,
            ) => {
                cleaned.insert(from);
                if members.is_subset(*cleaned) {
                    let last = decision.last_record();
                    return Some(RecoveryEnd::Clean {
                        ballot: self.ballot,
                        last_record: last.map(|offset| Lsn::at(self.epoch, offset)),
                    });
                }
                self.progressed(env);
            }
            // Late answers to earlier phases.
            _ => {}
        }
        None
    }

    /// Time has passed: sends again, goes on without stragglers, or begins another attempt.
    pub fn on_time(&mut self, env: &mut Env) {
        match &self.phase {
            Phase::Seal { grace, .. } if grace.is_some_and(|at| at <= env.now) => {
                probe!("recovery.sealed-without-all");
                self.begin_digest(env);
                return;
            }
            Phase::Digest { grace, .. } if grace.is_some_and(|at| at <= env.now) => {
                probe!("recovery.digested-without-all");
                self.begin_mutate(env);
                return;
            }
            _ => {}
        }
        if !matches!(self.phase, Phase::Seal { .. }) && self.expires_at <= env.now {
            probe!(
                "recovery.expired-while-mutating",
                matches!(self.phase, Phase::Mutate { .. })
            );
            probe!(
                "recovery.expired-while-cleaning",
                matches!(self.phase, Phase::Clean { .. })
            );
            self.next_attempt(env);
        } else if self.resend_at <= env.now {
            self.resend(env);
        }
    }

    fn next_attempt(&mut self, env: &mut Env) {
        // A ballot of its own: nothing of an earlier attempt may be taken for this one's.
        if self.ballot.attempt == 0 || !planted!("restart-same-ballot") {
            self.ballot.attempt += 1;
        }
        probe!("recovery.fourth-attempt", self.ballot.attempt > 3);
        self.phase = Phase::Seal {
            sealed: BTreeMap::new(),
            amnesiac: NodeSet::EMPTY,
            grace: None,
        };
        env.out.events.push(Event::RecoveryBegan {
            log: self.log,
            epoch: self.epoch,
            ballot: self.ballot,
        });
        self.resend(env);
    }

    /// Whether the answers of `nodes`, of which some are `amnesiac`, are enough to go on: an
    /// authoritative seal quorum among nodes that contain a write quorum, or everyone.
    fn enough(&self, nodes: NodeSet, amnesiac: NodeSet) -> bool {
        let answer = self.quorums.seal_answer(Answers {
            answered: nodes,
            authoritative: nodes.difference(amnesiac),
            lost: NodeSet::EMPTY,
        });
        match answer {
            SealAnswer::None => false,
            SealAnswer::Incomplete => self.quorums.is_write_quorum(nodes),
            SealAnswer::Complete | SealAnswer::NonAuthoritative => true,
        }
    }

    /// Until when stragglers are waited for once there is a quorum. Where an attempt had too few nodes to
    /// decide, those that follow wait for all that answer at all.
    fn stragglers_until(&self, env: &Env) -> Timestamp {
        let timing = &env.config.timing;
        if self.needs_more {
            env.now
                + backed_off(
                    timing.recovery_timeout,
                    self.ballot.attempt.saturating_sub(2),
                ) / 2
        } else {
            env.now + timing.recovery_grace
        }
    }

    fn after_seal(&mut self, env: &mut Env) {
        let Phase::Seal {
            sealed,
            amnesiac,
            grace,
        } = &self.phase
        else {
            return;
        };
        let nodes: NodeSet = sealed.keys().copied().collect();
        if nodes == self.quorums.nodes() {
            self.begin_digest(env);
        } else if grace.is_none() && (self.enough(nodes, *amnesiac) || reads_unfenced()) {
            let until = self.stragglers_until(env);
            if let Phase::Seal { grace, .. } = &mut self.phase {
                *grace = Some(until);
            }
        }
    }

    fn begin_digest(&mut self, env: &mut Env) {
        let Phase::Seal {
            sealed, amnesiac, ..
        } = &self.phase
        else {
            return;
        };
        let last_known_good = sealed.values().copied().max().unwrap_or_default();
        // Only those that sealed: what others hold may grow once it was told.
        let read: NodeSet = if reads_unfenced() {
            self.quorums.nodes()
        } else {
            sealed.keys().copied().collect()
        };
        self.phase = Phase::Digest {
            digests: Digests {
                last_known_good,
                copies: BTreeMap::new(),
                amnesiac: *amnesiac,
            },
            passed: read.iter().map(|node| (node, last_known_good)).collect(),
            grace: None,
        };
        self.progressed(env);
        self.resend(env);
    }

    fn after_digest(&mut self, env: &mut Env) {
        let Phase::Digest {
            digests,
            passed,
            grace,
        } = &self.phase
        else {
            return;
        };
        let done = complete(passed);
        if done.len() == passed.len() {
            self.begin_mutate(env);
        } else if grace.is_none() && self.enough(done, digests.amnesiac) {
            let until = self.stragglers_until(env);
            if let Phase::Digest { grace, .. } = &mut self.phase {
                *grace = Some(until);
            }
        }
    }

    fn begin_mutate(&mut self, env: &mut Env) {
        let Phase::Digest {
            digests, passed, ..
        } = &self.phase
        else {
            return;
        };
        let members = complete(passed);
        let Some(decision) = decide(&self.quorums, digests, members) else {
            probe!("recovery.needs-more-nodes");
            // Some copies cannot be read, and nodes that may have good ones are silent.
            self.needs_more = true;
            self.next_attempt(env);
            return;
        };
        env.out.events.push(Event::RecoveryDecided {
            log: self.log,
            epoch: self.epoch,
            ballot: self.ballot,
            last_known_good: decision.last_known_good,
            records: decision.records(),
            holes: decision.holes(),
            bridge: decision.bridge,
            end: decision.end(),
            members,
        });
        let plan = decision.plan(&self.quorums, digests, members, self.ballot);
        self.phase = Phase::Mutate {
            taken: plan.keys().map(|&node| (node, 0)).collect(),
            plan,
            decision,
        };
        self.progressed(env);
        self.resend(env);
        self.after_mutate(env);
    }

    fn after_mutate(&mut self, env: &mut Env) {
        let Phase::Mutate {
            plan,
            taken,
            decision,
        } = &self.phase
        else {
            return;
        };
        if plan
            .iter()
            .any(|(node, copies)| (taken[node] as usize) < copies.len())
        {
            return;
        }
        self.phase = Phase::Clean {
            members: plan.keys().copied().collect(),
            cleaned: NodeSet::EMPTY,
            decision: decision.clone(),
        };
        self.progressed(env);
        self.resend(env);
    }

    /// Each attempt waits longer for progress than the one before.
    fn progressed(&mut self, env: &Env) {
        let failed = self.ballot.attempt.saturating_sub(1);
        self.expires_at = env.now + backed_off(env.config.timing.recovery_timeout, failed);
        self.resent = 0;
    }

    fn resend(&mut self, env: &mut Env) {
        // A seal is small, and whoever comes back shall hear it soon. What follows is as large as its answers.
        let resent = match self.phase {
            Phase::Seal { .. } => 0,
            _ => self.resent,
        };
        self.resend_at = env.now + backed_off(env.config.timing.resend, resent);
        self.resent = resent.saturating_add(1);
        match &self.phase {
            Phase::Seal { sealed, .. } => {
                let silent = self.quorums.nodes();
                for node in silent.iter().filter(|node| !sealed.contains_key(node)) {
                    self.send(node, RecoveryStep::Seal, env);
                }
            }
            Phase::Digest { passed, .. } => {
                for (&node, &after) in passed.iter().filter(|it| *it.1 < Offset::MAX) {
                    self.send(node, RecoveryStep::Digest { after }, env);
                }
            }
            Phase::Mutate { plan, .. } => {
                for &node in plan.keys() {
                    self.send_mutate(node, env);
                }
            }
            Phase::Clean {
                members,
                cleaned,
                decision,
            } => {
                let metadata = RecoveryMetadata {
                    last_known_good: decision.last_known_good,
                    bridge: decision.bridge,
                };
                for node in members.difference(*cleaned).iter() {
                    self.send(node, RecoveryStep::Clean(metadata), env);
                }
            }
        }
    }

    /// Sends a member the next copies it has to take, if there are more.
    fn send_mutate(&self, node: NodeId, env: &mut Env) {
        let Phase::Mutate { plan, taken, .. } = &self.phase else {
            return;
        };
        let first = taken[&node];
        let copies: Vec<_> = plan[&node]
            .iter()
            .skip(first as usize)
            .take(COPIES_PER_MUTATE)
            .cloned()
            .collect();
        if !copies.is_empty() {
            self.send(node, RecoveryStep::Mutate { first, copies }, env);
        }
    }

    fn send(&self, node: NodeId, step: RecoveryStep, env: &mut Env) {
        let ask = StorageAsk::Recovery {
            epoch: self.epoch,
            ballot: self.ballot,
            step,
        };
        let log = self.log;
        env.out.send(node, Message::Storage { log, ask });
    }
}

/// Whether nodes are asked what they hold though they have not sealed: never, but for the planted bug.
fn reads_unfenced() -> bool {
    planted!("recovery-reads-unfenced")
}

/// The nodes that have told all they hold.
fn complete(passed: &BTreeMap<NodeId, Offset>) -> NodeSet {
    passed
        .iter()
        .filter(|it| *it.1 == Offset::MAX)
        .map(|it| *it.0)
        .collect()
}
