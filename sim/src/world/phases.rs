//! The phases of a run, and when each is over.

use std::time::Duration;

use hstore_core::{LogId, Lsn};
use hstore_workloads::Operation;
use serde_json::json;

use super::{CHAOS, CONVERGE, Next, Phase, Probe, Stopped, WARMUP, World};
use crate::recoverability;
use crate::report::Violation;
use crate::seeds::{SimSeeds, Stream};
use crate::trace::Kind;

impl World {
    pub(super) fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_began = self.now;
        let now = self.now;
        self.trace.event(
            now,
            Kind::Phase,
            [phase as u64],
            &[],
            || json!({"phase": format!("{phase:?}")}),
        );
        tracing::debug!(seed = self.options.seed, ?phase);
    }

    pub(super) fn look(&mut self) {
        let lasted = self.now.since(self.phase_began);
        match self.phase {
            Phase::Warmup => {
                if self.config.logs.keys().all(|&log| self.is_open(log)) {
                    self.enter(Phase::Chaos);
                    self.begin_chaos();
                } else if lasted > WARMUP {
                    self.late("every log has a sequencer that answers", "warm-up");
                }
            }
            Phase::Chaos => {
                let planned = Duration::from_micros(self.options.chaos_us);
                let idle = self.slots.iter().all(|slot| slot.running.is_none());
                let exhausted = self.workload.is_exhausted();
                if lasted >= planned && exhausted && idle {
                    self.heal();
                } else if lasted > CHAOS {
                    self.late("clients get through their operations", "chaos");
                }
            }
            Phase::Heal => self.enter(Phase::Converge),
            Phase::Converge => {
                if self.has_converged() {
                    self.enter(Phase::FinalRead);
                } else if lasted > CONVERGE && !self.is_moving() {
                    let what = "every log takes an append to its last record, every node serves all of it, and what is to move has moved";
                    self.late(what, "convergence");
                }
            }
            Phase::FinalRead => {
                if self.has_read_everything() {
                    self.read_buckets();
                    self.enter(Phase::Done);
                } else if lasted > CONVERGE {
                    self.late(
                        "every log can be read from its first record",
                        "the final read",
                    );
                }
            }
            Phase::Done => {}
        }
        self.schedule(self.now + Duration::from_millis(20), Next::Look);
    }

    /// The plan is over before its time, and all that struck is undone; the work goes on.
    pub(super) fn heal_early(&mut self, salt: u64) {
        self.heals = None;
        self.plan_is_over = true;
        self.end_all_faults();
        if salt > 0 {
            let seeds = SimSeeds(self.options.seed ^ salt << 32);
            self.rng_net = seeds.stream(Stream::Net);
            self.rng_disk = seeds.stream(Stream::Disk);
            self.rng_product = seeds.stream(Stream::Product);
        }
    }

    fn end_all_faults(&mut self) {
        for index in 0..self.faults.len() {
            self.fault_ends(index);
        }
        for index in 0..self.extensions.faults.len() {
            self.added_ends(index);
        }
    }

    pub(super) fn begin_chaos(&mut self) {
        for index in 0..self.plan.faults.len() {
            let fault = &self.plan.faults[index];
            let begins = self.now + Duration::from_micros(fault.at_us);
            let ends = self.now + Duration::from_micros(fault.until_us);
            self.schedule(begins, Next::FaultBegins(index));
            self.schedule(ends, Next::FaultEnds(index));
        }
        self.plan_added();
        self.plan_moves();
        self.begin_to_ask();
        for slot in 0..self.slots.len() {
            if !self.slots[slot].worker {
                continue;
            }
            self.pause(slot);
        }
    }

    pub(super) fn heal(&mut self) {
        self.enter(Phase::Heal);
        self.end_all_faults();
        // One process for each log looks whether it works again, and reads it all.
        for _ in 0..self.config.logs.len() {
            let slot = self.new_slot(false);
            self.probes.push(Probe { slot, done: false });
        }
    }

    pub(super) fn is_open(&self, log: LogId) -> bool {
        self.hosts
            .iter()
            .filter_map(|host| host.node())
            .any(|node| node.open_epoch(log).is_some())
    }

    /// Appends to the last record of every log until it is acknowledged; then waits until all nodes serve all
    /// of it. On that condition, as a log that has lost sight of its end may take other appends.
    pub(super) fn has_converged(&mut self) -> bool {
        let logs: Vec<LogId> = self.config.logs.keys().copied().collect();
        let mut all = true;
        for (index, log) in logs.into_iter().enumerate() {
            let Probe { slot, done } = self.probes[index];
            if !done && self.slots[slot].running.is_none() {
                let operation = self.append_to_last(log);
                self.begin(slot, operation, false);
            }
            all &= self.probes[index].done && self.is_served_everywhere(log);
            all &= self.is_offloaded(log);
        }
        if all {
            for probe in &mut self.probes {
                probe.done = false;
            }
        }
        all
    }

    /// Whether every node lets readers of `log` read from the same LSN, up to the same, in the open epoch.
    pub(super) fn is_served_everywhere(&self, log: LogId) -> bool {
        // A node whose store is damaged cannot take part before something rebuilds it.
        let in_service = self
            .hosts
            .iter()
            .filter(|it| it.is_up() || !it.is_damaged());
        // A trim holds also where it was not heard of when it was made.
        let range = |node: &hstore_node::Node| (node.trim(log), node.readable(log));
        let ranges: Vec<(Lsn, Lsn)> = in_service
            .map(|host| host.node().map_or_else(Default::default, range))
            .collect();
        let Some(open) = self
            .hosts
            .iter()
            .filter_map(|host| host.node()?.open_epoch(log))
            .max()
        else {
            return false;
        };
        ranges
            .iter()
            .all(|range| *range == ranges[0] && range.1.epoch == open)
    }

    pub(super) fn has_read_everything(&mut self) -> bool {
        let logs: Vec<LogId> = self.config.logs.keys().copied().collect();
        for (index, log) in logs.into_iter().enumerate() {
            let Probe { slot, done } = self.probes[index];
            if !done && self.slots[slot].running.is_none() {
                let operation = Operation::Read {
                    log,
                    from: Lsn::FIRST,
                    limit: u32::MAX,
                };
                self.begin(slot, operation, true);
            }
        }
        self.probes.iter().all(|probe| probe.done)
    }

    /// Why each of the logs that does not work cannot. Without a reason for one of them there is none.
    fn excuse(&self) -> Option<String> {
        let logs = self.config.logs.keys().copied().enumerate();
        let stuck = logs.filter(|(index, log)| {
            let answered = self.probes.get(*index).is_some_and(|probe| probe.done);
            let served = self.phase == Phase::FinalRead || self.is_served_everywhere(*log);
            let offloaded = self.phase == Phase::FinalRead || self.is_offloaded(*log);
            !(answered && served && offloaded)
        });
        let excuses = stuck.map(|(_, log)| recoverability::excuse(&self.atlas, log));
        let excuses: Option<Vec<String>> = excuses.collect();
        excuses.filter(|it| !it.is_empty()).map(|it| it.join("; "))
    }

    pub(super) fn late(&mut self, what: &str, phase: &str) {
        let mut operations = Vec::new();
        for host in &self.hosts {
            let state = match host.node() {
                None => "down".to_owned(),
                Some(node) => {
                    let logs = node.describe().map(|(log, state)| {
                        let (sealed, clean) = node.bounds(log);
                        let readable = node.readable(log);
                        format!(
                            "{log} {state}, sealed {sealed}, clean {clean}, readable {readable}"
                        )
                    });
                    logs.collect::<Vec<_>>().join("; ")
                }
            };
            operations.push(format!("{}: {state}", host.id));
        }
        let excuse = self.excuse();
        let seen = match &excuse {
            None => "it did not".to_owned(),
            Some(excuse) => format!("it did not, and could not: {excuse}"),
        };
        let violation = Violation {
            property: format!("progress in {phase}"),
            checker: "liveness".to_owned(),
            expected: format!("{what} within {:?}", self.now.since(self.phase_began)),
            seen,
            operations,
            at: self.now,
        };
        let stopped = match excuse {
            None => Stopped::Liveness(violation),
            Some(_) => Stopped::Excused(violation),
        };
        self.stopped.get_or_insert(stopped);
    }
}
