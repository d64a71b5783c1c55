//! Who is alive, who sequences what, and who should step in.
//!
//! All of it is hints: heartbeats that are missed may only be late. Two nodes that both step in do no
//! harm; the register and the seals decide. What the detector owes is that *some* node steps in.
//!
//! Heartbeats are gossip: each says whom its sender misses, and carries the newest pulses that it knows of
//! those whom the receiver misses. A node is suspected when nothing new of it has come for a while, *by any
//! way*: nodes that reach each other only through others do not suspect each other. That a node is alive somewhere is
//! of no use to a log, however: a node claims a log, or steps in, only as long as it hears a majority of
//! the nodes by themselves and they say that they hear it. So a sequencer that is cut off one way, or
//! that all but a few have lost, is replaced.
//!
//! The cost: each node sends each other one heartbeat an interval, of about 10 bytes for each log that the
//! sender sequences, and as many and 5 more for each node that the receiver misses. A pulse is everywhere
//! within as many intervals as there are hops; the first that a node misses takes two and a half intervals
//! to come by another way, so that nobody is to be suspected sooner.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::{Epoch, Incarnation, LogId, NodeId, NodeSet, Timestamp, crc32c, probe};

use crate::effects::Env;
use crate::message::{Heartbeat, Message, Pulse, Sequencing};

/// One node's view of the others.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Detector {
    /// Silence after which this node suspects another: drawn once a life, so that not all nodes
    /// step in at the same moment.
    suspect_after: Duration,
    next_heartbeat: Timestamp,
    sequence: u64,
    peers: BTreeMap<NodeId, Peer>,
    claims: BTreeMap<LogId, Claim>,
    /// Logs that nobody sequences, and since when.
    orphans: BTreeMap<LogId, Timestamp>,
}

/// What is known of another node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Peer {
    /// Its newest pulse, by whatever way it came.
    pulse: Pulse,
    /// When that was news.
    at: Timestamp,
    /// Its newest heartbeat that came by itself.
    direct: Option<Direct>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Direct {
    mark: Mark,
    at: Timestamp,
    /// Whom it hears.
    hears: NodeSet,
    /// Of whom it wants to hear.
    misses: NodeSet,
}

/// Whom a node hears.
#[derive(Clone, Copy, Debug)]
struct Heard {
    /// Something of it came lately, by any way; and the node itself.
    live: NodeSet,
    /// It was lately heard by itself.
    direct: NodeSet,
    /// Messages pass both ways; and the node itself.
    both_ways: NodeSet,
    /// It was heard by itself within one and a half intervals; and the node itself.
    just_now: NodeSet,
}

/// Orders the pulses of a node.
type Mark = (Incarnation, u64);

/// A node's word that it sequences a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Claim {
    node: NodeId,
    epoch: Epoch,
    at: Timestamp,
}

impl Pulse {
    fn mark(&self) -> Mark {
        (self.incarnation, self.sequence)
    }
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
            peers: BTreeMap::new(),
            claims: BTreeMap::new(),
            orphans: logs.map(|&log| (log, env.now + suspect_after)).collect(),
        }
    }

    /// When to call [`Detector::beat`].
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.next_heartbeat
    }

    /// Has the next heartbeat leave at once: there is something to claim.
    pub fn hurry(&mut self, now: Timestamp) {
        self.next_heartbeat = now;
    }

    /// Takes a heartbeat. Returns what is news of it: who sequences what, the sender or others.
    pub fn on_heartbeat(
        &mut self,
        from: NodeId,
        heartbeat: &Heartbeat,
        env: &Env,
    ) -> Vec<(NodeId, Sequencing)> {
        let mut news = Vec::new();
        self.on_pulse(from, &heartbeat.pulse, env.now, &mut news);
        let peer = self.peers.get_mut(&from).expect("its pulse was taken");
        let mark = heartbeat.pulse.mark();
        if peer.direct.is_none_or(|known| known.mark < mark) {
            peer.direct = Some(Direct {
                mark,
                at: env.now,
                hears: heartbeat.hears,
                misses: heartbeat.misses,
            });
        }
        for (node, pulse) in &heartbeat.others {
            if *node != env.me && env.config.nodes.contains_key(node) {
                self.on_pulse(*node, pulse, env.now, &mut news);
            }
        }
        news
    }

    fn on_pulse(
        &mut self,
        node: NodeId,
        pulse: &Pulse,
        now: Timestamp,
        news: &mut Vec<(NodeId, Sequencing)>,
    ) {
        if let Some(peer) = self.peers.get_mut(&node) {
            if pulse.mark() <= peer.pulse.mark() {
                return;
            }
            peer.pulse.clone_from(pulse);
            peer.at = now;
        } else {
            let peer = Peer {
                pulse: pulse.clone(),
                at: now,
                direct: None,
            };
            self.peers.insert(node, peer);
        }
        for claim in &pulse.sequencing {
            self.on_claim(node, claim, now);
            news.push((node, *claim));
        }
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

    /// The nodes of which something was heard lately, and this one.
    #[must_use]
    pub fn live(&self, me: NodeId, now: Timestamp) -> NodeSet {
        let heard = |(_, peer): &(&NodeId, &Peer)| now.since(peer.at) < self.suspect_after;
        let live: NodeSet = self
            .peers
            .iter()
            .filter(heard)
            .map(|(&node, _)| node)
            .collect();
        live.union(NodeSet::only(me))
    }

    /// What to tell a node of others.
    fn gossip_for(&self, receiver: NodeId, live: NodeSet) -> Vec<(NodeId, Pulse)> {
        let direct = self.peers.get(&receiver).and_then(|peer| peer.direct);
        let missed = direct.map_or(live, |it| it.misses.intersection(live));
        let known = missed.iter().filter(|&node| node != receiver);
        known
            .filter_map(|node| Some((node, self.peers.get(&node)?.pulse.clone())))
            .collect()
    }

    /// Who is heard, and how well.
    fn listen(&self, env: &Env) -> Heard {
        let patience = env.config.timing.heartbeat_interval * 3 / 2;
        let mut heard = Heard {
            live: NodeSet::only(env.me),
            direct: NodeSet::EMPTY,
            both_ways: NodeSet::only(env.me),
            just_now: NodeSet::only(env.me),
        };
        for (&node, peer) in &self.peers {
            if env.now.since(peer.at) < self.suspect_after {
                heard.live.insert(node);
            }
            let Some(direct) = peer.direct else {
                continue;
            };
            let silent = env.now.since(direct.at);
            if silent < self.suspect_after {
                heard.direct.insert(node);
                if direct.hears.contains(env.me) {
                    heard.both_ways.insert(node);
                }
            }
            if silent < patience {
                heard.just_now.insert(node);
            }
        }
        heard
    }

    /// Sends heartbeats, if it is time to. A node that is not connected to a majority keeps its claims to
    /// itself: it may be cut off, and others should step in.
    ///
    /// Returns the logs that this node should try to sequence.
    pub fn beat(&mut self, sequencing: Vec<Sequencing>, env: &mut Env) -> Vec<LogId> {
        if env.now < self.next_heartbeat {
            return Vec::new();
        }
        self.next_heartbeat = env.now + env.config.timing.heartbeat_interval;
        self.sequence += 1;
        let Heard {
            live,
            direct,
            both_ways,
            just_now,
        } = self.listen(env);
        let connected = both_ways.len() > env.config.nodes.len() / 2;
        let nodes: NodeSet = env.config.nodes.keys().copied().collect();
        for claim in &sequencing {
            self.on_claim(env.me, claim, env.now);
        }
        let heartbeat = Heartbeat {
            pulse: Pulse {
                incarnation: env.incarnation,
                sequence: self.sequence,
                sequencing: if connected { sequencing } else { Vec::new() },
            },
            hears: direct,
            misses: nodes.difference(just_now),
            others: Vec::new(),
        };
        for &node in env.config.nodes.keys().filter(|&&node| node != env.me) {
            let heartbeat = Heartbeat {
                others: self.gossip_for(node, live),
                ..heartbeat.clone()
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
            // The best-placed live node first; if it does not manage, the next, and so on. One that is
            // alive and not connected only costs its turn.
            let ahead = live
                .iter()
                .filter(|&node| weight(log, node) > weight(log, env.me))
                .count();
            let turn = since + env.config.timing.activation_stagger * ahead as u32;
            probe!(
                "detector.second-choice-steps-in",
                connected && ahead > 0 && turn <= env.now
            );
            probe!(
                "detector.cut-off-and-keeps-still",
                !connected && turn <= env.now
            );
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
    (crc32c(&key), node)
}
