//! The object store's side of the world: calls are made, carried out and answered, and the tiers are watched.

use std::time::Duration;

use hstore_core::ports::object_store::{ObjectAnswer, ObjectAsk, ObjectError};
use hstore_core::{Epoch, LogId, Lsn, NodeId, NodeSet, Timestamp, WallTime};
use hstore_node::Input;
use hstore_replicator::effects::{ObjectOwner, ObjectRequest, ObjectToken, Tier2Event};
use hstore_replicator::reader::Delivery;
use hstore_workloads::record_id;
use jepsen_lite::history::{self, ProcessId, ReadOutcome, RecordId, Source};
use serde_json::json;

use super::{Next, World};
use crate::clock::NodeClock;
use crate::objects::{Fate, SimObjectStore};
use crate::plan::{FaultKind, ObjectFault, Tampering, Trigger};
use crate::tiering::{TieringOptions, root};
use crate::tiers::{GivenUp, Seen, Tiers};
use crate::told;
use crate::trace::Kind;

/// As long as history is to move, a segment becomes part of a log within so long.
const MOVES_WITHIN: Duration = Duration::from_secs(10);
/// The process that gives up what logs keep no longer.
const RETENTION: ProcessId = ProcessId(1_000_000);
/// The process that reads the bucket when all is over.
const BUCKET: ProcessId = ProcessId(1_000_001);

/// The second tier of a run.
#[derive(Debug)]
pub(super) struct SecondTier {
    pub(super) options: TieringOptions,
    pub(super) store: SimObjectStore,
    pub(super) tiers: Tiers,
    /// When a segment became part of a log last.
    moved_at: Timestamp,
    /// The retention's trims so far: each is a process of its own in the history.
    trims: u32,
}

/// A call on its way to the store.
#[derive(Debug)]
pub(super) struct ObjectCall {
    node: NodeId,
    /// The life of the node that made it.
    life: u64,
    token: ObjectToken,
    ask: ObjectAsk,
    fate: Fate,
    /// When it is answered, at the earliest.
    answered: Timestamp,
}

impl SecondTier {
    pub(super) fn new(options: TieringOptions, rng: hstore_core::Rng) -> Self {
        Self {
            options,
            store: SimObjectStore::new(options, rng),
            tiers: Tiers::new(root()),
            moved_at: Timestamp::ZERO,
            trims: 0,
        }
    }
}

impl World {
    /// A node makes a call.
    pub(super) fn call_objects(&mut self, node: NodeId, request: ObjectRequest) {
        let ObjectRequest { token, ask } = request;
        let indices: Vec<usize> = (0..self.faults.len())
            .filter(|&index| self.faults[index].strikes(node) && self.faults[index].begun)
            .collect();
        let mut faults = Vec::new();
        for &index in &indices {
            match self.plan.faults[index].kind {
                FaultKind::Objects(ObjectFault::Garble { .. }) => {
                    let count = self.faults[index].messages_left;
                    faults.push((index, ObjectFault::Garble { count }));
                }
                FaultKind::Objects(fault) => faults.push((index, fault)),
                _ => {}
            }
        }
        let now = self.now;
        let life = self.host(node).life();
        let crash = self.crashes_at_call(node);
        let Some(second_tier) = &mut self.second_tier else {
            return;
        };
        if let ObjectOwner::Offloader(log, epoch) = token.owner {
            second_tier.tiers.on_call(log, epoch);
        }
        let in_force: Vec<ObjectFault> = faults.iter().map(|(_, fault)| *fault).collect();
        let (mut fate, struck) = second_tier.store.fate(&ask, &in_force);
        if let Some((index, carried_out)) = crash {
            if !carried_out {
                fate.arrives = None;
            }
            self.schedule(now, Next::FaultBegins(index));
        }
        for ((index, fault), struck) in faults.iter().zip(struck) {
            self.faults[*index].effective |= struck;
            if struck && matches!(fault, ObjectFault::Garble { .. }) {
                self.faults[*index].messages_left -= 1;
            }
        }
        self.counts.object_calls += 1;
        self.counts.object_calls_failed += u64::from(!fate.is_told || fate.denied);
        self.trace.event(
            now,
            Kind::Object,
            [u64::from(node.0), token.number, 0],
            ask.key().as_str().as_bytes(),
            || json!({"node": node.to_string(), "call": ask.verb(), "key": ask.key().as_str()}),
        );
        tracing::debug!(seed = self.options.seed, %node, call = ask.verb(), key = %ask.key(), ?fate);
        let answered = now + fate.answered;
        match fate.arrives {
            None => {
                let answer = Err(SimObjectStore::unknown(&ask));
                self.schedule(answered, Next::ObjectDone(node, token, answer));
            }
            Some(after) => {
                if !fate.is_told {
                    let answer = Err(SimObjectStore::unknown(&ask));
                    self.schedule(answered, Next::ObjectDone(node, token, answer));
                }
                let call = ObjectCall {
                    node,
                    life,
                    token,
                    ask,
                    fate,
                    answered,
                };
                self.schedule(now + after, Next::ObjectArrives(Box::new(call)));
            }
        }
    }

    /// A crash that waited for this call of a node's, and whether the call comes to the store.
    fn crashes_at_call(&mut self, node: NodeId) -> Option<(usize, bool)> {
        let mut crash = None;
        for index in 0..self.faults.len() {
            let Some(Trigger::AtObjectCall { carried_out, .. }) =
                self.plan.faults[index].kind.trigger()
            else {
                continue;
            };
            let struck = &mut self.faults[index];
            let Some(more) = struck.countdown.filter(|_| struck.nodes.contains(node)) else {
                continue;
            };
            struck.countdown = Some(more - 1).filter(|more| *more > 0);
            if struck.countdown.is_none() {
                struck.nodes = NodeSet::only(node);
                crash = Some((index, carried_out));
            }
        }
        crash
    }

    /// A call has come to the store. It is carried out, also if whoever made it is no more.
    pub(super) fn object_arrives(&mut self, call: ObjectCall) {
        let now = self.now;
        let Some(second_tier) = &mut self.second_tier else {
            return;
        };
        let tiers = &mut second_tier.tiers;
        let is_heard = call.fate.is_told && !call.fate.garbled && !call.fate.denied;
        let mut violation = match (&call.ask, call.token.owner) {
            (ObjectAsk::Delete { key }, _) => {
                // A node whose clock was wrong may have been early.
                let options = &second_tier.options;
                let grace = (!self.sets_clocks).then(|| Duration::from_micros(options.grace_us));
                tiers.on_delete((now, NodeClock::default().wall(now)), key, grace)
            }
            (ObjectAsk::Get { key, .. }, ObjectOwner::Offloader(..)) if is_heard => {
                tiers.on_get((call.node, call.token), key);
                None
            }
            _ => None,
        };
        let before = match &call.ask {
            ObjectAsk::PutIfAbsent { key, .. } => second_tier.store.bytes(key),
            _ => None,
        };
        let wall = NodeClock::default().wall(now);
        let answer = second_tier.store.carry_out(&call.ask, call.fate, wall);
        if let (ObjectAsk::PutIfAbsent { key, .. }, Ok(_), ObjectOwner::Offloader(log, epoch)) =
            (&call.ask, &answer, call.token.owner)
        {
            let is_over = before.is_some();
            let put = second_tier
                .tiers
                .on_put((now, wall), (log, epoch), key, is_over);
            violation = violation.or(put);
        }
        if self.options.white_box {
            self.judge(violation);
        }
        if call.fate.is_told && self.host(call.node).life() == call.life {
            let at = call.answered.max(now + Duration::from_micros(1));
            self.schedule(at, Next::ObjectDone(call.node, call.token, answer));
        }
    }

    /// A call is answered.
    pub(super) fn object_done(
        &mut self,
        node: NodeId,
        token: ObjectToken,
        answer: Result<ObjectAnswer, ObjectError>,
    ) {
        let now = self.now;
        self.trace.event(
            now,
            Kind::Object,
            [u64::from(node.0), token.number, 1],
            &[],
            || json!({"node": node.to_string(), "answers": format!("{token:?}"), "ok": answer.is_ok()}),
        );
        self.step(node, Input::Object { token, answer });
        if let ObjectOwner::Offloader(log, _) = token.owner {
            let host = &self.hosts[usize::from(node.0)];
            let sound = host.node().and_then(|it| it.sound(log));
            if let Some(second_tier) = &mut self.second_tier {
                second_tier.tiers.on_answered((node, token), log, sound);
            }
        }
    }

    /// Somebody tampers with an object of the second tier.
    pub(super) fn tamper(&mut self, how: Tampering, pick: u64) -> bool {
        let Some(second_tier) = &mut self.second_tier else {
            return false;
        };
        let Some((log, key)) = second_tier.tiers.pick(pick) else {
            return false;
        };
        tracing::debug!(seed = self.options.seed, ?how, %key, "tampers");
        let before = second_tier.store.bytes(&key);
        second_tier.store.tamper(&key, how);
        if how == Tampering::Stranger {
            return true;
        }
        let stood = second_tier.tiers.on_tampered(log, &key, before.as_ref());
        for delivery in stood {
            if let Delivery::Record(lsn, it) = delivery
                && let Some(id) = record_id(&it.record.payload)
            {
                self.lost.insert(log, lsn, RecordId(id));
            }
        }
        true
    }

    /// Something happened with the second tier of a log that a node sequences.
    pub(super) fn on_tier2_event(
        &mut self,
        node: NodeId,
        log: LogId,
        epoch: Epoch,
        what: &Tier2Event,
    ) {
        match what {
            Tier2Event::Held { .. } => self.on_held(node, log, epoch),
            Tier2Event::KeepsNoLonger { upto } => self.on_kept_no_longer(node, log, *upto),
            Tier2Event::Committed { .. } => {}
            Tier2Event::Spoiled { .. } => self.counts.uploads_spoiled += 1,
            Tier2Event::Anomaly { .. } => self.counts.anomalies += 1,
            Tier2Event::Collected(_) => self.counts.objects_collected += 1,
            Tier2Event::Failed(_) | Tier2Event::Stands(_) => {}
        }
    }

    fn on_held(&mut self, node: NodeId, log: LogId, epoch: Epoch) {
        let host = &self.hosts[usize::from(node.0)];
        let (Some(second_tier), Some(machine)) = (&mut self.second_tier, host.node()) else {
            return;
        };
        let (Some(held), Some(register)) = (machine.held(log), machine.register(log)) else {
            return;
        };
        let seen = Seen {
            log,
            epoch,
            held,
            trim: register.trim,
        };
        let store = second_tier.store.inside();
        match second_tier.tiers.on_held(self.now, &seen, store) {
            Err(violation) => {
                if self.options.white_box {
                    self.violate(*violation);
                }
            }
            Ok(news) => {
                self.counts.segments += news.segments;
                if news.segments > 0 {
                    second_tier.moved_at = self.now;
                }
                self.counts.local_trims += u64::from(news.handed);
                self.counts.offloaders_deposed += u64::from(news.deposed);
                self.counts.uploads_left += news.left;
                if self.options.white_box {
                    let entries = &news.entries;
                    let violation = self.invariants.on_segment(self.now, log, entries);
                    self.judge(violation);
                }
            }
        }
    }

    /// A log gives up what it keeps no longer: the history has to know.
    fn on_kept_no_longer(&mut self, node: NodeId, log: LogId, upto: Lsn) {
        let wall = self.host(node).clock.wall(self.now);
        self.findings.on_trim(log, upto);
        let payload_max = u64::from(self.options.workload.payload_bytes_max);
        let Some(second_tier) = &mut self.second_tier else {
            return;
        };
        let last = second_tier
            .tiers
            .held(log)
            .and_then(|it| it.manifest.last())
            .unwrap_or(Lsn::MIN);
        let newer = self
            .hosts
            .iter()
            .flat_map(|host| host.copies_after(log, last))
            .collect::<std::collections::BTreeSet<Lsn>>();
        let newer = newer.len() as u64 * payload_max;
        let age_us = second_tier.options.total_age_us;
        let host = &self.hosts[usize::from(node.0)];
        let given_up = GivenUp {
            log,
            upto,
            held: host.node().and_then(|it| it.held(log)),
            newer,
            bytes: second_tier.options.total_bytes.unwrap_or(u64::MAX),
            oldest: age_us.map(|age_us| WallTime(wall.0.saturating_sub(age_us / 1_000))),
        };
        let tiers = &mut second_tier.tiers;
        let violation = tiers.on_kept_no_longer(self.now, &given_up);
        second_tier.trims += 1;
        self.counts.retention_trims += 1;
        // Nobody waits for it, and when it takes hold nobody is told.
        let process = ProcessId(RETENTION.0 + second_tier.trims * 2);
        let call = history::Call::Trim { upto };
        let op = self
            .recorder
            .invoke(process, log, call, self.now.0)
            .expect("each is a process of its own");
        self.recorder
            .info(op, self.now.0)
            .expect("it has just begun");
        if self.options.white_box {
            self.judge(violation);
        }
    }

    /// A node forgets what lies in the second tier.
    pub(super) fn on_forgotten(&mut self, node: NodeId, log: LogId, upto: Lsn) {
        let trim = self.host(node).node().map_or(Lsn::MIN, |it| it.trim(log));
        if let Some(second_tier) = &mut self.second_tier {
            let store = second_tier.store.inside();
            let tiers = &mut second_tier.tiers;
            let violation = tiers.on_forgotten(self.now, log, upto, trim, store);
            if self.options.white_box {
                self.judge(violation);
            }
        }
    }

    /// Whether the second tier has come to rest: all that is released lies there, and nothing else does.
    pub(super) fn is_offloaded(&self, log: LogId) -> bool {
        let Some(second_tier) = &self.second_tier else {
            return true;
        };
        let nodes = self.hosts.iter().filter_map(|host| host.node());
        let Some(node) = nodes.max_by_key(|node| node.open_epoch(log)) else {
            return false;
        };
        let store = second_tier.store.inside();
        let released = node.readable(log);
        second_tier.tiers.is_settled(log, released, store)
    }

    /// Whether history moves on: how much there is to move depends on how little moves at a time.
    pub(super) fn is_moving(&self) -> bool {
        let second_tier = self.second_tier.as_ref();
        second_tier.is_some_and(|it| self.now.since(it.moved_at) < MOVES_WITHIN)
    }

    /// Reads the bucket, as whoever has nothing else does, for the history.
    pub(super) fn read_buckets(&mut self) {
        let logs: Vec<LogId> = self.config.logs.keys().copied().collect();
        for log in logs {
            let now = self.now;
            let Some(second_tier) = &mut self.second_tier else {
                return;
            };
            let store = second_tier.store.inside();
            let read = second_tier.tiers.read_bucket(now, log, store);
            let alone = second_tier.tiers.read_segments_alone(now, log, store);
            if let Err(violation) = alone
                && self.options.white_box
            {
                self.violate(*violation);
                continue;
            }
            let entries = match read {
                Ok(entries) => entries,
                Err(violation) => {
                    if self.options.white_box {
                        self.violate(*violation);
                    }
                    continue;
                }
            };
            if entries.is_empty() || second_tier.tiers.is_tampered(log) {
                continue;
            }
            let call = history::Call::Read {
                from: entries[0].first(),
                limit: u32::MAX,
                is_final: false,
                source: Source::Tier2,
            };
            let op = self
                .recorder
                .invoke(BUCKET, log, call, now.0)
                .expect("it reads one log after the other");
            let outcome = history::Outcome::Read(read_outcome(&entries));
            self.recorder
                .answer(op, outcome, now.0)
                .expect("it has just begun");
        }
    }
}

/// A read of the bucket as the history tells it.
fn read_outcome(entries: &[Delivery]) -> ReadOutcome {
    let mut records = Vec::new();
    let mut gaps = Vec::new();
    for entry in entries {
        match entry {
            Delivery::Record(lsn, it) => {
                records.push(told::record(*lsn, &it.record.payload));
            }
            Delivery::Gap { kind, first, last } => gaps.push(told::gap(*kind, *first, *last)),
        }
    }
    ReadOutcome::of_poll(records, gaps)
}
