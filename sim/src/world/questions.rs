//! A client that asks, all through the chaos, where times are in logs and whether logs are empty.

use std::time::Duration;

use hstore_core::{LogId, Rng, Timestamp, WallTime};
use hstore_replicator::client::{Call, Outcome};
use serde_json::json;

use super::{Next, Phase, World};
use crate::trace::Kind;

/// So long it pauses between two questions, in milliseconds.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 1_000..=7_000;

/// The client, and what it waits for.
#[derive(Debug)]
pub(super) struct Questions {
    /// Where it is among the clients.
    pub(super) slot: Option<usize>,
    asked: Option<Asked>,
    rng: Rng,
}

#[derive(Clone, Copy, Debug)]
struct Asked {
    log: LogId,
    at: Timestamp,
    /// The time that is looked for; without one, whether the log is empty.
    time: Option<WallTime>,
}

impl Questions {
    pub(super) fn new(rng: Rng) -> Self {
        Self {
            slot: None,
            asked: None,
            rng,
        }
    }
}

impl World {
    pub(super) fn begin_to_ask(&mut self) {
        self.questions.slot = Some(self.new_slot(false));
        self.pause_asking();
    }

    fn pause_asking(&mut self) {
        let pause = Duration::from_millis(self.questions.rng.within(PAUSE_MS));
        self.schedule(self.now + pause, Next::Ask);
    }

    /// Asks the next question.
    pub(super) fn ask(&mut self) {
        let (Some(slot), Phase::Chaos) = (self.questions.slot, self.phase) else {
            return;
        };
        let now = self.now;
        let rng = &mut self.questions.rng;
        let logs: Vec<LogId> = self.config.logs.keys().copied().collect();
        let log = *rng.pick(&logs).expect("there is a log");
        let time = match (rng.chance(0.7), self.findings.some_time(log, rng.seed())) {
            (true, Some(time)) => Some(time),
            (true, None) => Some(WallTime(0)),
            (false, _) => None,
        };
        let call = match time {
            Some(time) => Call::FindTime { log, time },
            None => Call::IsEmpty { log },
        };
        self.questions.asked = Some(Asked { log, at: now, time });
        let told = format!("{call:?}");
        let code = time.map_or(0, |it| it.0);
        self.trace.event(
            now,
            Kind::Operation,
            [slot as u64, 3, u64::from(log.0), code],
            &[],
            || json!({"client": slot, "asks": told}),
        );
        self.call(slot, call);
    }

    /// The question was answered, or not.
    pub(super) fn question_ended(&mut self, outcome: &Outcome) {
        let Some(Asked { log, at, time }) = self.questions.asked.take() else {
            return;
        };
        let now = self.now;
        let slot = self.questions.slot.unwrap_or_default();
        let bytes = postcard::to_stdvec(outcome).expect("an outcome has a serialised form");
        self.trace.event(
            now,
            Kind::Operation,
            [slot as u64, 4],
            &bytes,
            || json!({"client": slot, "is told": format!("{outcome:?}")}),
        );
        let violation = match (outcome, time) {
            (Outcome::Found(lsn), Some(time)) => {
                self.counts.times_found += 1;
                self.findings.judge_found((at, now), log, time, *lsn)
            }
            (Outcome::Empty(empty), None) => {
                self.counts.emptiness_told += 1;
                let judge = || self.findings.judge_empty((at, now), log);
                empty.then(judge).flatten()
            }
            _ => None,
        };
        // Where records may be lost, what is left of them is all there is.
        if self.options.white_box && !self.options.beyond {
            self.judge(violation);
        }
        self.pause_asking();
    }
}
