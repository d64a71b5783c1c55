//! The administrator's side of the world: logs are moved as planned, and what comes of it is told.

use std::collections::BTreeMap;

use hstore_core::{Epoch, LogId, Timestamp};
use hstore_replicator::client::{Call, Outcome};
use hstore_replicator::effects::Event;
use hstore_replicator::message::Move;
use serde_json::json;

use super::{Next, World};
use crate::trace::Kind;

/// Moves as they go on, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Where the administrator's client is among the clients.
    pub(super) slot: Option<usize>,
    /// Epochs whose sequencers place nothing any more, and since when.
    draining: BTreeMap<(LogId, Epoch), Timestamp>,
    /// Epochs that have begun because they were asked for, and are not open.
    begun: BTreeMap<(LogId, Epoch), Begun>,
    /// When an append to a log ended last, as its client saw it.
    append_ended: BTreeMap<LogId, Timestamp>,
    /// How long each change kept appends waiting, in microseconds.
    pub(super) stalls_us: Vec<u64>,
}

#[derive(Clone, Copy, Debug)]
struct Begun {
    leader: bool,
    nodeset: bool,
    quorums: bool,
    /// When the epoch before placed its last record, as far as its sequencer knows.
    stalled_since: Timestamp,
}

impl World {
    pub(super) fn plan_moves(&mut self) {
        if self.plan.moves.is_empty() {
            return;
        }
        self.moves.slot = Some(self.new_slot(false));
        for index in 0..self.plan.moves.len() {
            let at_us = self.plan.moves[index].at_us;
            let at = self.now + std::time::Duration::from_micros(at_us);
            self.schedule(at, Next::Move(index));
        }
    }

    /// Asks for a planned move.
    pub(super) fn ask_for_move(&mut self, index: usize) {
        let planned = self.plan.moves[index].clone();
        let (Some(slot), now, false) = (self.moves.slot, self.now, self.plan_is_over) else {
            return;
        };
        self.counts.moves_asked += 1;
        self.trace.event(
            now,
            Kind::Operation,
            [slot as u64, 2, index as u64],
            &[],
            || json!({"administrator": slot, "asks": format!("{planned:?}")}),
        );
        let call = Call::Move {
            log: planned.log,
            wanted: Move {
                to: planned.to,
                quorums: planned.quorums,
            },
            by_hand: planned.by_hand,
        };
        self.call(slot, call);
    }

    /// A move has ended, as the administrator sees it.
    pub(super) fn move_ended(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Moved(_) => self.counts.moves_done += 1,
            Outcome::Failed => self.counts.moves_failed += 1,
            _ => self.counts.moves_unknown += 1,
        }
    }

    /// Whether a client waits for an append to `log`.
    pub(super) fn appends_wait(&self, log: LogId) -> bool {
        self.slots.iter().any(|slot| {
            slot.running
                .is_some_and(|running| running.append && running.log == log)
        })
    }

    /// What a client was doing has ended.
    pub(super) fn note_ended(&mut self, slot: usize) {
        if let Some(running) = self.slots[slot].running.filter(|it| it.append) {
            self.moves.append_ended.insert(running.log, self.now);
        }
    }

    /// Counts the changes that took effect: those whose epoch opened. One was under load if an append was
    /// in flight at some time of it.
    pub(super) fn on_move_event(&mut self, event: &Event) {
        match event {
            Event::Draining { log, epoch } => {
                self.moves.draining.insert((*log, *epoch), self.now);
            }
            Event::Resumed { log, epoch } => {
                self.counts.moves_given_up += 1;
                self.moves.draining.remove(&(*log, *epoch));
            }
            Event::Moved {
                log,
                epoch,
                leader_changed,
                nodeset_changed,
                quorums_changed,
            } => {
                let before = (*log, epoch.prev());
                let drained = self.moves.draining.remove(&before);
                let begun = Begun {
                    leader: *leader_changed,
                    nodeset: *nodeset_changed,
                    quorums: *quorums_changed,
                    stalled_since: drained.unwrap_or(self.now),
                };
                self.counts.moves_begun += 1;
                self.moves.begun.insert((*log, *epoch), begun);
            }
            Event::Opened { log, epoch } => {
                let Some(begun) = self.moves.begun.remove(&(*log, *epoch)) else {
                    return;
                };
                let stall = self.now.since(begun.stalled_since);
                self.moves.stalls_us.push(stall.as_micros() as u64);
                let ended = self.moves.append_ended.get(log);
                let met_one = ended.is_some_and(|at| *at >= begun.stalled_since);
                if met_one || self.appends_wait(*log) {
                    self.counts.leader_moves_under_load += u64::from(begun.leader);
                    self.counts.nodeset_changes_under_load += u64::from(begun.nodeset);
                    self.counts.quorum_changes_under_load += u64::from(begun.quorums);
                }
            }
            _ => {}
        }
    }
}
