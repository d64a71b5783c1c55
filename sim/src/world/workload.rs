//! The clients' side of the world: operations begin, end, and are recorded.

use hstore_core::{Address, ClientId, LogId};
use hstore_replicator::client::{Call, ClientOutputs, Outcome};
use hstore_replicator::reader::Delivery;
use hstore_replicator::wire;
use hstore_workloads::{Ask, Operation, Place, Step};
use jepsen_lite::check::Check;
use serde_json::json;

use super::network::Kinds;
use super::{Next, Phase, World};
use crate::clients::{Ended, Slot};
use crate::report::Violation;
use crate::trace::Kind;

impl World {
    pub(super) fn new_slot(&mut self, worker: bool) -> usize {
        let slot = self.slots.len();
        let (id, seed) = self.next_client(slot);
        self.slots.push(Slot::new(id, &self.config, seed, worker));
        slot
    }

    pub(super) fn next_client(&mut self, slot: usize) -> (ClientId, u64) {
        let id = ClientId(self.next_client);
        self.next_client += 1;
        self.slot_of.insert(id, slot);
        self.trace.note_client(id, slot);
        (id, self.rng_product.seed())
    }

    pub(super) fn begin_operation(&mut self, slot: usize) {
        if self.phase != Phase::Chaos || self.slots[slot].running.is_some() {
            return;
        }
        let client = slot as u32;
        if let Some(ask) = self.workload.next(client, &self.knowledge) {
            let operation = self.knowledge.operation(&ask);
            if let Ask::Append { id, .. } = ask {
                self.next_record = self.next_record.max(id + 1);
            }
            self.steps_began_us.push(self.now.0 / 1_000);
            self.steps.push(Step {
                client,
                pause_us: self.slots[slot].pause_us,
                ask,
            });
            self.begin(slot, operation, false);
        }
    }

    /// Has a client of the workload pause before its next operation.
    pub(super) fn pause(&mut self, slot: usize) {
        let pause = self.workload.pause(slot as u32);
        self.slots[slot].pause_us = pause.as_micros() as u64;
        self.schedule(self.now + pause, Next::Think(slot));
    }

    /// One more append, beyond those of the workload, on condition that the last record is the last that
    /// clients know of.
    pub(super) fn append_to_last(&mut self, log: LogId) -> Operation {
        let id = self.next_record;
        self.next_record += 1;
        self.knowledge.operation(&Ask::Append {
            log,
            id,
            bytes: self.options.workload.payload_bytes_min,
            salt: id,
            producer: None,
            sets_token: None,
            last: Some(Place::Last),
            token: None,
        })
    }

    pub(super) fn begin(&mut self, slot: usize, operation: Operation, is_final: bool) {
        let now = self.now;
        let bytes = postcard::to_stdvec(&operation).expect("an operation has a serialised form");
        self.trace.event(
            now,
            Kind::Operation,
            [slot as u64, 1],
            &bytes,
            || json!({"client": slot, "begins": format!("{operation:?}")}),
        );
        tracing::debug!(
            seed = self.options.seed,
            client = slot,
            ?operation,
            "begins"
        );
        if let Operation::Trim { log, upto } = operation {
            self.findings.on_trim(log, upto);
        }
        let mut out = ClientOutputs::default();
        let it = &mut self.slots[slot];
        let op = it.begin(now, operation, is_final, &mut self.recorder, &mut out);
        if let Some(watch) = &mut self.watch {
            watch.invoked(self.recorder.history(), op);
        }
        self.carry_out_client(slot, out);
    }

    /// Has a client ask for what no workload does, and no history tells.
    pub(super) fn call(&mut self, slot: usize, call: Call) {
        let mut out = ClientOutputs::default();
        self.slots[slot].client.call(self.now, call, &mut out);
        self.carry_out_client(slot, out);
    }

    pub(super) fn carry_out_client(&mut self, slot: usize, out: ClientOutputs) {
        let from = Address::Client(self.slots[slot].client.id());
        for (to, message) in out.messages {
            let frame = wire::encode(&message).expect("messages are bounded");
            let kinds = Kinds::default();
            self.send(from, to.into(), frame, kinds, || format!("{message:?}"));
        }
        for (_, outcome) in out.done {
            let now = self.now;
            if self.moves.slot == Some(slot) {
                self.move_ended(&outcome);
                continue;
            }
            if self.questions.slot == Some(slot) {
                self.question_ended(&outcome);
                continue;
            }
            let bytes = postcard::to_stdvec(&outcome).expect("an outcome has a serialised form");
            self.trace.event(
                now,
                Kind::Operation,
                [slot as u64, 0],
                &bytes,
                || json!({"client": slot, "ends": format!("{outcome:?}")}),
            );
            tracing::debug!(seed = self.options.seed, client = slot, ?outcome, "ends");
            self.note_ended(slot);
            self.note_seam(slot, &outcome);
            let (op, ended) =
                self.slots[slot].end(now, outcome, &mut self.lost, &mut self.recorder);
            if let Some(watch) = &mut self.watch
                && let Some(anomaly) = watch.completed(self.recorder.history(), op)
            {
                self.violate(Violation::of_anomaly(Check::Linearizability, &anomaly, now));
            }
            self.on_ended(slot, &ended);
        }
        self.set_client_timer(slot);
    }

    /// Whether a read was told of records from both tiers.
    fn note_seam(&mut self, slot: usize, outcome: &Outcome) {
        let (Some(cold), Outcome::Read { deliveries, .. }) = (self.slots[slot].cold, outcome)
        else {
            return;
        };
        // What comes behind all that the second tier told of came from nodes.
        let is_hot = |it: &Delivery| matches!(it, Delivery::Record(lsn, _) if *lsn > cold);
        self.counts.seam_reads += u64::from(deliveries.iter().any(is_hot));
    }

    pub(super) fn on_ended(&mut self, slot: usize, ended: &Ended) {
        let counts = &mut self.counts;
        match ended {
            Ended::Appended(log, lsn, sets) => {
                counts.appends_acked += 1;
                self.knowledge.observe(*log, *lsn);
                if let Some(token) = sets {
                    self.knowledge.observe_token(*log, *token);
                }
            }
            Ended::AppendMismatched(log, last, token) => {
                counts.appends_mismatched += 1;
                self.knowledge.observe_last(*log, *last);
                if let Some(token) = token {
                    self.knowledge.observe_token(*log, *token);
                }
            }
            Ended::AppendFailed => counts.appends_failed += 1,
            Ended::AppendUnknown => counts.appends_unknown += 1,
            Ended::Read(records) => {
                counts.reads += 1;
                counts.records_read += *records as u64;
            }
            Ended::Tail => counts.tails += 1,
            Ended::Poll(records) => {
                counts.polls += 1;
                counts.records_read += *records as u64;
            }
            Ended::Trimmed => counts.trims += 1,
            Ended::TrimFailed => {}
            Ended::Unanswered => {}
        }
        if let Ended::AppendMismatched(log, ..) = ended
            && self.slots[slot].worker
        {
            self.workload.mismatched(slot as u32, *log);
        }
        if matches!(ended, Ended::Appended(..) | Ended::Read(_))
            && let Some(probe) = self.probes.iter_mut().find(|probe| probe.slot == slot)
        {
            probe.done = true;
        }
        if matches!(ended, Ended::AppendUnknown | Ended::Unanswered) {
            // What a process does not know it never learns: another one goes on in its place.
            let (id, seed) = self.next_client(slot);
            let worker = self.slots[slot].worker;
            self.slot_of.remove(&self.slots[slot].client.id());
            self.slots[slot] = Slot::new(id, &self.config, seed, worker);
        }
        if self.slots[slot].worker {
            self.pause(slot);
        }
    }

    pub(super) fn set_client_timer(&mut self, slot: usize) {
        let now = self.now;
        let it = &mut self.slots[slot];
        let Some(deadline) = it.client.deadline() else {
            return;
        };
        let deadline = deadline.max(now);
        if it.timer.is_none_or(|set| deadline < set) {
            it.timer = Some(deadline);
            self.schedule(deadline, Next::ClientTimer(slot));
        }
    }

    pub(super) fn client_timer(&mut self, slot: usize) {
        let now = self.now;
        let it = &mut self.slots[slot];
        if it.timer.is_none_or(|set| set > now) {
            return;
        }
        it.timer = None;
        if it.client.deadline().is_some_and(|at| at <= now) {
            self.trace.event(
                now,
                Kind::ClientTimer,
                [slot as u64],
                &[],
                || json!({"client": slot}),
            );
            let mut out = ClientOutputs::default();
            self.slots[slot].client.on_time(now, &mut out);
            self.carry_out_client(slot, out);
        } else {
            self.set_client_timer(slot);
        }
    }
}
