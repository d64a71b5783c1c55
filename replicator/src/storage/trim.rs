//! Trim: giving up the oldest part of a log.
//!
//! The register says up to where; sequencers repeat it in releases and heartbeats, so that a node that
//! was down hears of it too. A node keeps the bound durably, in one write with the deletion of what lies
//! at or below it. From then on stores and amends there change nothing, recoveries are told that all up
//! to the bound was fully replicated (only what is released can be given up), and readers that it was
//! given up: a node without copies there is no evidence of loss.

use hstore_core::ports::log_store::StoreOp;
use hstore_core::{Epoch, LogId, Lsn, Offset, planted, probe};

use super::state::LogState;
use super::{Continuation, StorageNode};
use crate::effects::{Durability, Env, Event};

impl StorageNode {
    /// The register says that all records up to `upto` are given up.
    pub fn on_trim(&mut self, log: LogId, upto: Lsn, env: &mut Env) {
        if !env.config.logs.contains_key(&log) || self.is_overloaded() {
            return;
        }
        let state = self.logs.entry(log).or_default();
        if upto <= state.bounds.trim {
            return;
        }
        probe!(
            "trim.beyond-what-is-clean-here",
            upto.epoch > state.bounds.last_clean.next()
        );
        state.bounds.trim = upto;
        state.repairs.retain(|lsn, _| *lsn > upto);
        let delete = StoreOp::DeleteRange {
            log,
            first: Lsn::MIN,
            last: upto,
        };
        let batch = vec![delete, state.put_bounds(log)];
        self.write(batch, Durability::Synced, Continuation::Nothing, env);
        env.out.events.push(Event::Trimmed { log, upto });
    }

    /// Up to where everything is given up, as far as this node knows.
    #[must_use]
    pub fn trim(&self, log: LogId) -> Lsn {
        self.logs
            .get(&log)
            .map_or(Lsn::MIN, |state| state.bounds.trim)
    }
}

impl LogState {
    /// Up to where an epoch is fully replicated, or was before it was given up, for all this node knows.
    pub(super) fn known_good(&self, epoch: Epoch) -> Offset {
        let met = self.epochs.get(&epoch).map(|it| it.last_known_good);
        let met = met.unwrap_or_default();
        let trim = self.bounds.trim;
        if trim.epoch == epoch && !planted!("trimmed-is-underreplicated") {
            met.max(trim.offset)
        } else {
            met
        }
    }
}
