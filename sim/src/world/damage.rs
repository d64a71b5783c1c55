//! Damage to what nodes hold, as the atlas allows it.

use hstore_core::{Epoch, LogId, NodeId, probe};
use hstore_replicator::config::CopyDurability;
use hstore_replicator::keys::accepted_value;
use serde_json::json;

use super::World;
use crate::plan::FlipPlace;
use crate::trace::Kind;

impl World {
    /// The atlas learns of quorum systems from what acceptors keep.
    pub(super) fn learn_from(&mut self, key: &[u8], value: &[u8]) {
        if !self.damages {
            return;
        }
        if let Some((log, value)) = accepted_value(key, value) {
            for span in &value.spans {
                self.atlas.learn(log, &span.quorums);
            }
        }
    }

    fn keeps_copies_in_memory(&self) -> bool {
        let mut logs = self.config.logs.values();
        logs.any(|spec| spec.durability == CopyDurability::Memory)
    }

    /// The epochs of which a power failure of the node would take something.
    fn in_memory(&self, node: NodeId) -> Vec<(LogId, Epoch)> {
        let atlas = &self.atlas;
        let is_clean = |log, epoch| atlas.is_clean(log, epoch);
        self.host(node).in_memory(is_clean).into_iter().collect()
    }

    /// Whether the power of a node may fail now. If so it is going to.
    pub(super) fn may_lose_memory(&mut self, node: NodeId) -> bool {
        if !self.keeps_copies_in_memory() {
            return true;
        }
        let epochs = self.in_memory(node);
        self.atlas.lose(node, epochs)
    }

    /// Whether the power of a node may fail some time from now on.
    pub(super) fn may_arm(&mut self, node: NodeId) -> bool {
        if !self.keeps_copies_in_memory() {
            return true;
        }
        let epochs = self.in_memory(node);
        self.atlas.arm(node, epochs)
    }

    /// The power of a node fails.
    pub(super) fn loses_memory(&mut self, node: NodeId) {
        if self.keeps_copies_in_memory() {
            let epochs = self.in_memory(node);
            self.atlas.note_lost(node, epochs);
            self.atlas.disarm(node);
        }
    }

    /// Flips a bit. False if there is none to flip, or none that may be.
    pub(super) fn flip_bit(&mut self, node: NodeId, place: FlipPlace, pick: u64) -> bool {
        let what = match place {
            FlipPlace::Copy | FlipPlace::NewestCopy => {
                let host = self.host(node);
                let picked = if place == FlipPlace::Copy {
                    host.pick_copy(pick)
                } else {
                    host.pick_newest_copy(pick)
                };
                let Some((log, lsn)) = picked else {
                    return false;
                };
                if !self.host(node).is_up() || !self.atlas.lose(node, [(log, lsn.epoch)]) {
                    return false;
                }
                let flipped = self.host_mut(node).flip_copy(log, lsn, pick);
                self.trace_files(node);
                if self.process_is_over(node, flipped.as_ref().err()) || flipped != Ok(true) {
                    return false;
                }
                format!("the copy of {lsn} of {log}")
            }
            FlipPlace::Log | FlipPlace::Table => {
                if !self.atlas.retire(node) {
                    return false;
                }
                let Some(path) = self.host_mut(node).flip_file(place, pick) else {
                    return false;
                };
                path
            }
        };
        self.counts.flipped_bits += 1;
        let now = self.now;
        self.trace.event(
            now,
            Kind::Fault,
            [u64::from(node.0), 2],
            what.as_bytes(),
            || json!({"node": node.to_string(), "flips": what}),
        );
        true
    }

    /// A node cannot go on with what is left of its store.
    pub(super) fn stays_down(&mut self, node: NodeId) {
        probe!("world.store-beyond-opening");
        let now = self.now;
        self.trace.event(
            now,
            Kind::Process,
            [u64::from(node.0), 3],
            &[],
            || json!({"node": node.to_string(), "process": "cannot start: its store is damaged"}),
        );
    }
}
