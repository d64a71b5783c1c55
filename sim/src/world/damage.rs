//! Damage to what nodes hold, as the atlas allows it.

use hstore_core::{Epoch, LogId, Lsn, NodeId, NodeSet, probe};
use hstore_replicator::config::CopyDurability;
use hstore_replicator::keys::accepted_value;
use hstore_workloads::record_id;
use jepsen_lite::history::RecordId;
use serde_json::json;

use super::World;
use super::nodes::End;
use crate::atlas::Arms;
use crate::host::Host;
use crate::plan::FlipPlace;
use crate::trace::Kind;

impl World {
    /// The atlas learns of quorum systems from what acceptors keep.
    pub(super) fn learn_from(&mut self, key: &[u8], value: &[u8]) {
        if !self.damages {
            return;
        }
        if let Some((log, value)) = accepted_value(key, value) {
            self.atlas.learn(log, &value);
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
    pub(super) fn may_arm(&mut self, node: NodeId, by: Arms) -> bool {
        if !self.keeps_copies_in_memory() {
            return true;
        }
        let epochs = self.in_memory(node);
        self.atlas.arm(node, by, epochs)
    }

    /// The power of a node fails.
    pub(super) fn loses_memory(&mut self, node: NodeId) {
        if self.keeps_copies_in_memory() {
            let epochs = self.in_memory(node);
            self.atlas.note_lost(node, epochs);
            self.atlas.disarm(node, Arms::Crash);
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
                if !self.flip_copy(node, log, lsn, pick) {
                    return false;
                }
                format!("the copy of {lsn} of {log}")
            }
            FlipPlace::Log | FlipPlace::Table => {
                let flip = |host: &mut Host| host.flip_file(place, pick);
                let Some(path) = self.damage_store(node, flip) else {
                    return false;
                };
                path
            }
        };
        self.counts.flipped_bits += 1;
        self.note_damage(node, 2, "flips", &what);
        true
    }

    /// Damages the store of a node as a whole, if that may be and there is something to damage.
    fn damage_store<T>(
        &mut self,
        node: NodeId,
        damage: impl FnOnce(&mut Host) -> Option<T>,
    ) -> Option<T> {
        // Asked before, granted after: where there is nothing to damage, nothing is.
        if !self.atlas.may_retire(node) {
            self.atlas.retire(node);
            return None;
        }
        let done = damage(self.host_mut(node))?;
        assert!(self.atlas.retire(node), "it was asked just now");
        Some(done)
    }

    /// Flips a bit of one copy, if that may be.
    fn flip_copy(&mut self, node: NodeId, log: LogId, lsn: Lsn, pick: u64) -> bool {
        if !self.host(node).is_up() || !self.atlas.lose(node, [(log, lsn.epoch)]) {
            return false;
        }
        let flipped = self.host_mut(node).flip_copy(log, lsn, pick);
        self.trace_files(node);
        if self.process_is_over(node, flipped.as_ref().err()) {
            return false;
        }
        let Ok(Some(sound)) = flipped else {
            return false;
        };
        if self.options.beyond
            && let Some(id) = record_id(&sound)
        {
            self.lost.insert(log, lsn, RecordId(id));
        }
        true
    }

    /// A record goes bad in all copies that these nodes hold. False if none is left that could, or may.
    pub(super) fn rot_record(&mut self, nodes: NodeSet, pick: u64) -> bool {
        let mut up = nodes.iter().filter(|node| self.host(*node).is_up());
        let picked = up.find_map(|node| self.host(node).pick_copy(pick));
        let Some((log, lsn)) = picked.filter(|_| self.options.beyond) else {
            return false;
        };
        let mut rotten = false;
        for node in nodes.iter() {
            if self.flip_copy(node, log, lsn, pick) {
                self.counts.flipped_bits += 1;
                self.note_damage(node, 2, "flips", &format!("the copy of {lsn} of {log}"));
                rotten = true;
            }
        }
        rotten
    }

    /// A sector of what the node's store checks was written over another one. False if there are no two, or
    /// none that may be.
    pub(super) fn misdirect(&mut self, node: NodeId, from: u64, to: u64, shows: bool) -> bool {
        if !self.host(node).is_up() {
            return false;
        }
        let misdirect = |host: &mut Host| host.misdirect(from, to, shows);
        let Some([from, to]) = self.damage_store(node, misdirect) else {
            return false;
        };
        let what = format!(
            "sector {} of {} over sector {} of {}",
            from.1, from.0, to.1, to.0
        );
        self.note_damage(node, 3, "wrote", &what);
        true
    }

    /// A sector cannot be read any more. False if there is none, or none that may be.
    pub(super) fn make_unreadable(&mut self, node: NodeId, pick: u64) -> bool {
        let make = |host: &mut Host| host.make_unreadable(pick);
        let Some((path, sector)) = self.damage_store(node, make) else {
            return false;
        };
        let what = format!("sector {sector} of {path}");
        self.note_damage(node, 4, "cannot read", &what);
        true
    }

    /// The node's disk is replaced by an empty one, if that may be.
    pub(super) fn wipe(&mut self, node: NodeId) -> bool {
        if !self.atlas.retire(node) {
            return false;
        }
        self.kill_node(node, End::Between);
        self.host_mut(node).wipe();
        self.note_damage(node, 5, "lost", "its disk");
        true
    }

    fn note_damage(&mut self, node: NodeId, kind: u64, verb: &str, what: &str) {
        let now = self.now;
        self.trace.event(
            now,
            Kind::Fault,
            [u64::from(node.0), kind],
            what.as_bytes(),
            || json!({"node": node.to_string(), verb: what}),
        );
    }

    /// A node cannot go on with what is left of its store.
    pub(super) fn stays_down(&mut self, node: NodeId) {
        probe!("world.store-beyond-opening");
        // The process that was to start has ended, and what the device failed of its operations with it.
        self.host_mut(node).exit();
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
