//! What a run found, and what it did.

use hstore_core::Timestamp;
use jepsen_lite::anomaly::Anomaly;
use jepsen_lite::check::Check;
use serde::{Deserialize, Serialize};

use crate::options::SimOptions;
use crate::outcome::Outcome;
use crate::plan::FaultPlan;

/// The verdict of a run with everything needed to believe it. Written as `verdict.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunReport {
    /// The seed.
    pub seed: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// What was violated, if anything was.
    pub violation: Option<Violation>,
    /// The rolling hash over every message, timer, file operation and the verdict, in hexadecimal.
    pub trace_hash: String,
    /// Events under the hash.
    pub trace_events: u64,
    /// What was drawn.
    pub options: SimOptions,
    /// What was planned.
    pub plan: FaultPlan,
    /// What happened.
    pub counts: Counts,
    /// How long acknowledged appends took, in microseconds of virtual time.
    pub append_latency: Latency,
    /// How long each move of a log kept appends waiting, from the moment at which the old epoch placed
    /// nothing more until the new one opened, in microseconds of virtual time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub move_stalls_us: Vec<u64>,
    /// The probes that were reached: see [`hstore_core::probe`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
    /// How much virtual time passed, in microseconds.
    pub virtual_us: u64,
}

/// The distribution of a latency, in microseconds of virtual time; zeros if there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them took no longer.
    pub p50_us: u64,
    /// All but one in a hundred took no longer.
    pub p99_us: u64,
    /// None took longer.
    pub max_us: u64,
}

/// A property that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Its name: an invariant's, an anomaly's, or that of what did not happen in time.
    pub property: String,
    /// Who noticed: `linearizability`, `durability`, `invariant`, ...
    pub checker: String,
    /// What was expected.
    pub expected: String,
    /// What was seen.
    pub seen: String,
    /// The operations that prove it, in words.
    pub operations: Vec<String>,
    /// When it was noticed, on the virtual clock.
    pub at: Timestamp,
}

impl Violation {
    /// What a check of the history found.
    #[must_use]
    pub fn of_anomaly(check: Check, anomaly: &Anomaly, at: Timestamp) -> Self {
        Self {
            property: anomaly.kind.to_string(),
            checker: check.name().to_owned(),
            expected: anomaly.expected.clone(),
            seen: anomaly.seen.clone(),
            operations: anomaly.to_string().lines().map(str::to_owned).collect(),
            at,
        }
    }
}

/// What happened in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Appends that clients were told of.
    pub appends_acked: u64,
    /// Appends that certainly had no effect.
    pub appends_failed: u64,
    /// Appends that were refused because what they demand was not so.
    pub appends_mismatched: u64,
    /// Appends whose fate no client learned.
    pub appends_unknown: u64,
    /// Reads that were answered.
    pub reads: u64,
    /// Records that they delivered.
    pub records_read: u64,
    /// Tails that were answered.
    pub tails: u64,
    /// Polls that were answered.
    #[serde(default)]
    pub polls: u64,
    /// Times that were found in a log.
    #[serde(default)]
    pub times_found: u64,
    /// How often a client was told whether a log is empty.
    #[serde(default)]
    pub emptiness_told: u64,
    /// Trims that hold.
    #[serde(default)]
    pub trims: u64,
    /// Copies that had gone bad and were replaced.
    #[serde(default)]
    pub copies_repaired: u64,
    /// Processes that ended while their machines went on.
    #[serde(default)]
    pub exits: u64,
    /// Messages that a clogged link held.
    #[serde(default)]
    pub messages_held: u64,
    /// Frames that arrived with damaged bytes, and were refused.
    #[serde(default)]
    pub frames_damaged: u64,
    /// Frames that were refused because their receiver had been replaced by another build while they were
    /// under way.
    #[serde(default)]
    pub frames_outlived: u64,
    /// Messages of the next version that arrived.
    #[serde(default)]
    pub next_messages: u64,
    /// Epochs that began.
    pub epochs: u64,
    /// Epochs recovered.
    pub recoveries: u64,
    /// Recovery attempts.
    pub recovery_attempts: u64,
    /// Checkpoints of what appends are judged by.
    pub checkpoints: u64,
    /// Holes that recoveries plugged.
    pub holes: u64,
    /// Processes that ended because the device failed an operation of their store.
    #[serde(default)]
    pub store_failures: u64,
    /// Starts of processes that failed for that reason.
    #[serde(default)]
    pub failed_starts: u64,
    /// Records that readers were told are lost, each as often as it was.
    #[serde(default)]
    pub losses_told: u64,
    /// Damage that struck, or was allowed to: see the fault atlas.
    #[serde(default)]
    pub granted_damage: u64,
    /// Segments that became part of a log.
    #[serde(default)]
    pub segments: u64,
    /// Times that more of a log was handed over to the second tier: nodes forget it.
    #[serde(default)]
    pub local_trims: u64,
    /// Times that a log gave up what it keeps no longer.
    #[serde(default)]
    pub retention_trims: u64,
    /// Reads of clients that were told of records from both tiers.
    #[serde(default)]
    pub seam_reads: u64,
    /// Answers from the second tier that clients got.
    #[serde(default)]
    pub cold_answers: u64,
    /// Offloaders that had been at work when another took over.
    #[serde(default)]
    pub offloaders_deposed: u64,
    /// Uploads that they left.
    #[serde(default)]
    pub uploads_left: u64,
    /// Uploads that were not what was sent, and were made anew.
    #[serde(default)]
    pub uploads_spoiled: u64,
    /// Segments that were found not to be in order, or to be again.
    #[serde(default)]
    pub anomalies: u64,
    /// Objects that were part of nothing and were deleted.
    #[serde(default)]
    pub objects_collected: u64,
    /// Calls to the object store.
    #[serde(default)]
    pub object_calls: u64,
    /// Of these, those whose caller was not told what came of them.
    #[serde(default)]
    pub object_calls_failed: u64,
    /// Epochs purged by a node that was not part of their recovery.
    pub purges: u64,
    /// Changes of leader, after the first of each log, while a client waited for an append to it.
    pub leader_changes_with_appends_in_flight: u64,
    /// Moves of logs planned.
    pub planned_moves: u64,
    /// Moves that were asked for.
    pub moves_asked: u64,
    /// Moves that the asker was told of.
    pub moves_done: u64,
    /// Moves that certainly had no effect.
    pub moves_failed: u64,
    /// Moves whose fate the asker did not learn.
    pub moves_unknown: u64,
    /// Times that a sequencer stopped placing and then went on.
    pub moves_given_up: u64,
    /// Moves whose epoch began: the register has it.
    #[serde(default)]
    pub moves_begun: u64,
    /// Changes of leader that were asked for, whose epoch opened while an append waited.
    pub leader_moves_under_load: u64,
    /// Changes of nodeset whose epoch opened while an append waited.
    pub nodeset_changes_under_load: u64,
    /// Changes of quorum system on the same nodes whose epoch opened while an append waited.
    pub quorum_changes_under_load: u64,
    /// Faults planned.
    pub planned_faults: u64,
    /// Of these, those that changed something.
    pub effective_faults: u64,
    /// Power failures of a node.
    pub crashes: u64,
    /// Of these, those that found unsynced bytes.
    pub crashes_with_unsynced_bytes: u64,
    /// Of the crashes, those that fell inside a file operation.
    pub crashes_inside_file_operation: u64,
    /// Bits flipped in durable data.
    #[serde(default)]
    pub flipped_bits: u64,
    /// Times that damage would have been more than the quorum systems tolerate, and did not strike.
    #[serde(default)]
    pub refused_damage: u64,
    /// Nodes whose store was damaged as a whole.
    #[serde(default)]
    pub retired_nodes: u64,
    /// Messages sent.
    pub messages: u64,
    /// Of these, lost.
    pub messages_lost: u64,
    /// Of these, duplicated.
    pub messages_duplicated: u64,
    /// File operations.
    pub file_operations: u64,
    /// Syncs.
    pub syncs: u64,
    /// Tables that stores flushed.
    pub flushed_tables: u64,
    /// Tables that compactions wrote.
    pub compacted_tables: u64,
    /// Operations that the checkers judged.
    pub operations_checked: u64,
    /// Times that an invariant was judged.
    pub invariants_checked: u64,
    /// Times that the decision of the planted bug was taken.
    pub mutant_reached: u64,
}
