//! Forgetting the oldest part of a log: it was given up, or lies in the second tier.
//!
//! The register says up to where; sequencers repeat it in releases and heartbeats, so that a node that
//! was down hears of it too. A node keeps the bound durably, in one write with the deletion of what lies
//! at or below it. From then on stores and amends there change nothing, recoveries are told that all up
//! to the bound was fully replicated (only what is released can be forgotten), and readers that it was
//! given up, or where it lies: a node without copies there is no evidence of loss.

use hstore_core::ports::log_store::StoreOp;
use hstore_core::{Epoch, LogId, Lsn, Offset, planted, probe};

use super::state::LogState;
use super::{Continuation, StorageNode};
use crate::effects::{Durability, Env, Event};

impl StorageNode {
    /// The register says that all records up to `trim` are given up, and all up to `handed` that were not lie in
    /// the second tier.
    pub fn on_trim(&mut self, log: LogId, trim: Lsn, handed: Lsn, env: &mut Env) {
        if !env.config.logs.contains_key(&log) || self.is_overloaded() {
            return;
        }
        let state = self.logs.entry(log).or_default();
        let before = state.bounds;
        if trim <= before.trim && handed <= before.handed {
            return;
        }
        state.bounds.trim = before.trim.max(trim);
        state.bounds.handed = before.handed.max(handed);
        let upto = state.bounds.forgotten();
        probe!(
            "trim.beyond-what-is-clean-here",
            upto.epoch > state.bounds.last_clean.next()
        );
        state.repairs.retain(|lsn, _| *lsn > upto);
        let mut batch = vec![state.put_bounds(log)];
        if upto > before.forgotten() {
            let delete = StoreOp::DeleteRange {
                log,
                first: Lsn::MIN,
                last: upto,
            };
            batch.insert(0, delete);
        }
        self.write(batch, Durability::Synced, Continuation::Nothing, env);
        if trim > before.trim {
            env.out.events.push(Event::Trimmed { log, upto: trim });
        }
        if handed > before.handed {
            env.out.events.push(Event::Forgotten { log, upto: handed });
        }
    }

    /// Up to where everything is given up, as far as this node knows.
    #[must_use]
    pub fn trim(&self, log: LogId) -> Lsn {
        self.logs
            .get(&log)
            .map_or(Lsn::MIN, |state| state.bounds.trim)
    }

    /// Up to where what was not given up lies in the second tier, as far as this node knows.
    #[must_use]
    pub fn handed(&self, log: LogId) -> Lsn {
        self.logs
            .get(&log)
            .map_or(Lsn::MIN, |state| state.bounds.handed)
    }
}

impl LogState {
    /// Up to where an epoch is fully replicated, or was before it was given up, for all this node knows.
    pub(super) fn known_good(&self, epoch: Epoch) -> Offset {
        let met = self.epochs.get(&epoch).map(|it| it.last_known_good);
        let met = met.unwrap_or_default();
        let forgotten = self.bounds.forgotten();
        if forgotten.epoch == epoch && !planted!("trimmed-is-underreplicated") {
            met.max(forgotten.offset)
        } else {
            met
        }
    }
}
