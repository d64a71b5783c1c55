//! Who is alive, who sequences what, and who should step in.
//!
//! All of it is hints: heartbeats that are missed may only be late. Two nodes that both step in do no
//! harm; the register and the seals decide. What the detector owes is that *some* node steps in.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::{Epoch, LogId, NodeId, NodeSet, Timestamp};

use crate::effects::Env;
use crate::message::{Heartbeat, Message, Sequencing};

/// One node's view of the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Detector {
    /// Silence after which this node suspects another: drawn once a life, so that not all nodes
    /// step in at the same moment.
    suspect_after: Duration,
    next_heartbeat: Timestamp,
    sequence: u64,
    heard: BTreeMap<NodeId, Heard>,
    claims: BTreeMap<LogId, Claim>,
    /// Logs that nobody sequences, and since when.
    orphans: BTreeMap<LogId, Timestamp>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Heard {
    incarnation: hstore_core::Incarnation,
    sequence: u64,
    at: Timestamp,
}

/// A node's word that it sequences a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Claim {
    node: NodeId,
    epoch: Epoch,
    at: Timestamp,
}

impl Detector {
    /// The detector of a node that has just started: it has heard nobody, and gives everyone time to
    /// be heard.
    pub fn start(env: &mut Env) -> Self {
        let timing = &env.config.timing;
        let nanos = |duration: Duration| duration.as_nanos() as u64;
        let range = nanos(timing.suspect_after_min)..=nanos(timing.suspect_after_max);
        let suspect_after = Duration::from_nanos(env.rng.within(range));
        let logs = env.config.logs.keys();
        Self {
            suspect_after,
            next_heartbeat: env.now,
            sequence: 0,
            heard: BTreeMap::new(),
            claims: BTreeMap::new(),
            orphans: logs.map(|&log| (log, env.now + suspect_after)).collect(),
        }
    }

    /// When to call [`Detector::beat`].
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.next_heartbeat
    }

    /// Takes a heartbeat. False if it is older than one that was heard.
    pub fn on_heartbeat(&mut self, from: NodeId, heartbeat: &Heartbeat, now: Timestamp) -> bool {
        let mark = (heartbeat.incarnation, heartbeat.sequence);
        if let Some(heard) = self.heard.get(&from)
            && mark <= (heard.incarnation, heard.sequence)
        {
            return false;
        }
        let (incarnation, sequence) = mark;
        let heard = Heard {
            incarnation,
            sequence,
            at: now,
        };
        self.heard.insert(from, heard);
        for claim in &heartbeat.sequencing {
            self.on_claim(from, claim, now);
        }
        true
    }

    fn on_claim(&mut self, node: NodeId, claim: &Sequencing, at: Timestamp) {
        let epoch = claim.epoch;
        let known = self.claims.get(&claim.log);
        if known.is_none_or(|known| known.epoch <= epoch) {
            self.claims.insert(claim.log, Claim { node, epoch, at });
        }
    }

    /// The node that sequences `log`, as far as heard.
    #[must_use]
    pub fn sequencer(&self, log: LogId, now: Timestamp) -> Option<NodeId> {
        let claim = self.claims.get(&log)?;
        (now.since(claim.at) < self.suspect_after).then_some(claim.node)
    }

    /// The nodes that were heard lately, and this one.
    #[must_use]
    pub fn live(&self, me: NodeId, now: Timestamp) -> NodeSet {
        self.heard
            .iter()
            .filter(|(_, heard)| now.since(heard.at) < self.suspect_after)
            .map(|(&node, _)| node)
            .chain([me])
            .collect()
    }

    /// Sends heartbeats, if it is time to. A node that hears no majority keeps its claims to itself:
    /// it may be cut off, and others should step in.
    ///
    /// Returns the logs that this node should try to sequence.
    pub fn beat(&mut self, sequencing: Vec<Sequencing>, env: &mut Env) -> Vec<LogId> {
        if env.now < self.next_heartbeat {
            return Vec::new();
        }
        self.next_heartbeat = env.now + env.config.timing.heartbeat_interval;
        self.sequence += 1;
        let live = self.live(env.me, env.now);
        let connected = live.len() > env.config.nodes.len() / 2;
        for claim in &sequencing {
            self.on_claim(env.me, claim, env.now);
        }
        for &node in env.config.nodes.keys().filter(|&&node| node != env.me) {
            let heartbeat = Heartbeat {
                incarnation: env.incarnation,
                sequence: self.sequence,
                sequencing: if connected {
                    sequencing.clone()
                } else {
                    Vec::new()
                },
            };
            env.out.send(node, Message::Heartbeat(heartbeat));
        }
        self.orphaned(live, connected, env)
    }

    fn orphaned(&mut self, live: NodeSet, connected: bool, env: &Env) -> Vec<LogId> {
        let mut mine = Vec::new();
        for &log in env.config.logs.keys() {
            if self.sequencer(log, env.now).is_some() {
                self.orphans.remove(&log);
                continue;
            }
            let since = *self.orphans.entry(log).or_insert(env.now);
            // The best-placed live node first; if it does not manage, the next, and so on.
            let ahead = live
                .iter()
                .filter(|&node| weight(log, node) > weight(log, env.me))
                .count();
            let turn = since + env.config.timing.activation_stagger * ahead as u32;
            if connected && turn <= env.now {
                mine.push(log);
            }
        }
        mine
    }
}

/// How well a node is placed to sequence a log: rendezvous hashing spreads logs over nodes.
fn weight(log: LogId, node: NodeId) -> (u32, NodeId) {
    let key = [&log.0.to_le_bytes()[..], &[node.0]].concat();
    (crc32c::crc32c(&key), node)
}
