//! Which abstract states a run went through: what is left of the cluster's state if one forgets which node is
//! which, how far anything has counted, and what the clients did.
//!
//! Two runs that went through the same abstract states have tried much the same; one that went through a new one
//! has tried something. So they are what a guided campaign looks for. Nothing of a run depends on them, and a run
//! that nobody guides does not keep them.
//!
//! The abstract state of a log, when something happens to it: what happened, and what happened to it before; and for
//! each node, in no order, whether it is up, what its sequencer is about, how far that and the node's seal
//! are behind the newest epoch.

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::{Epoch, LogId, NodeId};
use hstore_replicator::effects::{Event, StopReason, Tier2Event};
use xxhash_rust::xxh3::xxh3_64;

/// Epochs and attempts are told apart up to this; more are as many.
const COUNT_MAX: u8 = 2;

/// The abstract states of a run so far.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    states: BTreeSet<u32>,
    logs: BTreeMap<LogId, LogState>,
}

/// Whether a node's process works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Life {
    /// It is not there.
    Down,
    /// It stands still.
    Paused,
    /// It works.
    Up,
}

#[derive(Clone, Debug, Default)]
struct LogState {
    newest: Epoch,
    /// What happened to it last.
    last: u8,
    nodes: BTreeMap<NodeId, NodeState>,
}

/// What a node does for a log.
#[derive(Clone, Copy, Debug, Default)]
struct NodeState {
    role: Role,
    /// The epoch of the role.
    epoch: Epoch,
    sealed: Epoch,
    attempts: u8,
}

/// What the sequencer of a node is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Role {
    #[default]
    Idle,
    /// It has an epoch, and older ones to recover.
    Recovering,
    /// It answers.
    Open,
    /// It is about to be moved.
    Draining,
}

impl Coverage {
    /// Notes what happened to `node`. `nodes` are all there are, with their lives.
    pub fn event(
        &mut self,
        node: NodeId,
        event: &Event,
        nodes: impl Iterator<Item = (NodeId, Life)>,
    ) {
        let Some((log, what)) = kind(event) else {
            if let Event::Started(_) = event {
                // Its sequencers died with the process; what is sealed it will tell.
                for log in self.logs.values_mut() {
                    log.nodes.entry(node).or_default().role = Role::Idle;
                }
            }
            return;
        };
        let state = self.logs.entry(log).or_default();
        state.learn(node, event);
        let mut bytes: Vec<[u8; 5]> = nodes.map(|(node, life)| state.of(node, life)).collect();
        bytes.sort_unstable();
        bytes.push([what, state.last, 0, 0, 0]);
        state.last = what;
        self.states.insert(xxh3_64(bytes.as_flattened()) as u32);
    }

    /// Their hashes, in order.
    #[must_use]
    pub fn into_states(self) -> Vec<u32> {
        self.states.into_iter().collect()
    }
}

impl LogState {
    fn learn(&mut self, node: NodeId, event: &Event) {
        let it = self.nodes.entry(node).or_default();
        match event {
            Event::Activated { epoch, .. } => {
                self.newest = self.newest.max(*epoch);
                (it.role, it.epoch, it.attempts) = (Role::Recovering, *epoch, 0);
            }
            Event::RecoveryBegan { .. } => it.attempts = (it.attempts + 1).min(COUNT_MAX),
            Event::Opened { .. } | Event::Resumed { .. } => it.role = Role::Open,
            Event::Draining { .. } => it.role = Role::Draining,
            Event::Stopped { .. } => it.role = Role::Idle,
            Event::Bounds { sealed, .. } => it.sealed = *sealed,
            _ => {}
        }
    }

    fn of(&self, node: NodeId, life: Life) -> [u8; 5] {
        let it = self.nodes.get(&node).copied().unwrap_or_default();
        let behind = |epoch: Epoch| {
            let behind = self.newest.0.saturating_sub(epoch.0);
            behind.min(u32::from(COUNT_MAX)) as u8
        };
        let role = if life == Life::Down {
            Role::Idle
        } else {
            it.role
        };
        let (epochs, attempts) = match role {
            Role::Idle => (0, 0),
            _ => (behind(it.epoch), it.attempts),
        };
        [life as u8, role as u8, epochs, attempts, behind(it.sealed)]
    }
}

/// The log that an event is about, and a number for what happened, the ways apart in which it goes; nothing if no
/// log is in another state after it.
fn kind(event: &Event) -> Option<(LogId, u8)> {
    Some(match event {
        Event::Activated { log, .. } => (*log, 1),
        Event::Moved {
            log,
            leader_changed,
            nodeset_changed,
            quorums_changed,
            ..
        } => {
            let which = [*leader_changed, *nodeset_changed, *quorums_changed];
            let bits = which
                .into_iter()
                .fold(0, |bits, it| bits << 1 | u8::from(it));
            (*log, 16 + bits)
        }
        Event::Draining { log, .. } => (*log, 2),
        Event::Resumed { log, .. } => (*log, 3),
        Event::Opened { log, .. } => (*log, 4),
        Event::Stopped {
            log,
            why,
            in_flight,
            ..
        } => {
            let why = match why {
                StopReason::Deposed => 0,
                StopReason::OutOfPatience => 1,
                StopReason::Moved => 2,
            };
            (*log, 32 + 2 * why + u8::from(*in_flight > 0))
        }
        Event::RecoveryBegan { log, .. } => (*log, 5),
        Event::Forgotten { log, .. } => (*log, 27),
        Event::Tier2 { log, what, .. } => match what {
            Tier2Event::Held { .. } => (*log, 13),
            Tier2Event::Committed { .. } => (*log, 14),
            Tier2Event::KeepsNoLonger { .. } => (*log, 15),
            Tier2Event::Spoiled { .. } => (*log, 24),
            Tier2Event::Anomaly { .. } => (*log, 25),
            Tier2Event::Collected(_) => (*log, 26),
            Tier2Event::Failed(_) | Tier2Event::Stands(_) => return None,
        },
        Event::RecoveryDecided {
            log,
            records,
            holes,
            bridge,
            ..
        } => {
            let which = [*records > 0, *holes > 0, bridge.is_some()];
            let bits = which
                .into_iter()
                .fold(0, |bits, it| bits << 1 | u8::from(it));
            (*log, 48 + bits)
        }
        Event::EpochClean { log, .. } => (*log, 6),
        Event::WaveFailed { log, wave, .. } => (*log, 64 + (*wave).min(3) as u8),
        Event::Slow { log, .. } => (*log, 7),
        Event::Checkpointed { log, .. } => (*log, 8),
        Event::Bounds { log, .. } => (*log, 9),
        Event::Purged { log, .. } => (*log, 10),
        Event::Trimmed { log, .. } => (*log, 11),
        Event::CopyRepaired { log, .. } => (*log, 12),
        Event::Started(_) | Event::Acked { .. } => return None,
    })
}

#[cfg(test)]
mod tests {
    use hstore_core::Incarnation;

    use super::*;

    const LOG: LogId = LogId(1);

    fn seen(events: &[(u8, Event)], lives: [Life; 2]) -> Vec<u32> {
        let mut coverage = Coverage::default();
        for (node, event) in events {
            let nodes = (0..2).map(NodeId).zip(lives);
            coverage.event(NodeId(*node), event, nodes);
        }
        coverage.into_states()
    }

    fn bounds(sealed: u32) -> Event {
        Event::Bounds {
            log: LOG,
            sealed: Epoch(sealed),
            clean: Epoch(0),
        }
    }

    #[test]
    fn which_node_it_is_makes_no_difference_and_what_it_does_makes_one() {
        let began = |node| {
            (
                node,
                Event::Draining {
                    log: LOG,
                    epoch: Epoch(1),
                },
            )
        };
        let up = [Life::Up; 2];
        assert_eq!(seen(&[began(0)], up), seen(&[began(1)], up));
        assert_ne!(
            seen(&[began(0)], up),
            seen(&[began(0)], [Life::Up, Life::Paused])
        );
        assert_ne!(
            seen(
                &[(
                    0,
                    Event::Opened {
                        log: LOG,
                        epoch: Epoch(1)
                    }
                )],
                up
            ),
            seen(&[began(0)], up)
        );
    }

    #[test]
    fn what_only_counts_makes_none() {
        let up = [Life::Up; 2];
        let once = seen(&[(0, bounds(1)), (0, bounds(1))], up);
        assert_eq!(
            once,
            seen(&[(0, bounds(1)), (0, bounds(1)), (0, bounds(1))], up)
        );
        let started = (0, Event::Started(Incarnation(1)));
        assert_eq!(seen(&[started], up), Vec::<u32>::new());
    }
}
