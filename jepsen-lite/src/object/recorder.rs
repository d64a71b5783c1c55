//! Turns a stream of events into an [`ObjectHistory`], and refuses streams that are none.

use super::columns::{Asked, ObjectHistory, TextPlace};
use super::value::{Value, ValueId};
use crate::history::{
    EventIndex, IllFormed, IllFormedReason, Intervals, Moment, OpId, ProcessId, Processes, Status,
};

/// Whether a process may go on after an operation that ended `Info`. Some recordings do that: the
/// operation then stays open for ever, as it would under a new process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterInfo {
    /// It goes on under another number, or the stream is ill-formed.
    #[default]
    Retire,
    /// It may go on.
    GoOn,
}

/// Records what processes ask of an object, event by event, in the order in which the events happen.
#[derive(Clone, Debug, Default)]
pub struct ObjectRecorder {
    history: ObjectHistory,
    after_info: AfterInfo,
    processes: Processes,
    last_index: Option<EventIndex>,
    place: Option<TextPlace>,
}

impl ObjectRecorder {
    /// An empty recording.
    #[must_use]
    pub fn new(intervals: Intervals, after_info: AfterInfo) -> Self {
        Self {
            history: ObjectHistory::new(intervals),
            after_info,
            ..Self::default()
        }
    }

    /// Keeps a value, and returns the number under which operations can carry it.
    pub fn value(&mut self, value: Value) -> ValueId {
        self.history.values_mut().intern(value)
    }

    /// Keeps the name of a function.
    pub fn function(&mut self, name: &str) -> ValueId {
        self.value(Value::keyword(name))
    }

    /// What is recorded from now on was read here.
    pub fn read_at(&mut self, place: TextPlace) {
        self.place = Some(place);
    }

    /// What was recorded so far.
    #[must_use]
    pub fn history(&self) -> &ObjectHistory {
        &self.history
    }

    /// What `process` waits for.
    #[must_use]
    pub fn open_op(&self, process: ProcessId) -> Option<OpId> {
        self.processes.open_op(process)
    }

    /// The event index after that of the last event.
    #[must_use]
    pub fn next_index(&self) -> EventIndex {
        EventIndex(self.last_index.map_or(0, |last| last.0 + 1))
    }

    /// `process` asks something.
    ///
    /// # Errors
    ///
    /// If events go back, the process has something open, or it may not go on.
    pub fn invoke(
        &mut self,
        process: ProcessId,
        asked: Asked,
        at: Moment,
    ) -> Result<OpId, IllFormed> {
        self.check_index(at.index)?;
        let history = &mut self.history;
        let begun = self
            .processes
            .invoke(process, || history.push(process, asked, at));
        let op = begun.map_err(|reason| IllFormed {
            event: at.index,
            reason,
        })?;
        self.last_index = Some(at.index);
        if let Some(place) = self.place {
            self.history.set_invoked_in(op, place);
        }
        Ok(op)
    }

    /// `op` ended: `Ok` with a result, `Fail` (certainly no effect) or `Info` (nobody knows).
    ///
    /// # Errors
    ///
    /// If events go back, or `op` is not open.
    pub fn complete(
        &mut self,
        op: OpId,
        status: Status,
        result: ValueId,
        at: Moment,
    ) -> Result<(), IllFormed> {
        self.check_index(at.index)?;
        let ill_formed = |reason| IllFormed {
            event: at.index,
            reason,
        };
        if op.0 as usize >= self.history.len() || self.history.op(op).status() != Status::Open {
            return Err(ill_formed(IllFormedReason::NotOpen { op }));
        }
        let open = self.history.op(op);
        let takes_time = open.invoked().index < at.index;
        if self.history.intervals() == Intervals::Open && !takes_time {
            return Err(ill_formed(IllFormedReason::NoTime { op }));
        }
        match (status, self.after_info) {
            (Status::Ok | Status::Fail, _) | (_, AfterInfo::GoOn) => {
                self.processes.free(open.process());
            }
            (Status::Info | Status::Open, AfterInfo::Retire) => {
                self.processes.retire(open.process(), op);
            }
        }
        self.history.complete(op, status, result, at);
        if let Some(place) = self.place {
            self.history.set_completed_in(op, place);
        }
        self.last_index = Some(at.index);
        Ok(())
    }

    /// What `op`, which is open, asked becomes known only now: some recordings say so in the answer.
    /// Panics if it is not open.
    pub fn learn_argument(&mut self, op: OpId, argument: ValueId) {
        let status = self.history.op(op).status();
        assert_eq!(status, Status::Open, "{op} is open");
        self.history.set_argument(op, argument);
    }

    /// What `op` returned becomes known only now: it was what it was asked. Panics if it did not end `Ok`.
    pub fn learn_result_is_argument(&mut self, op: OpId) {
        let status = self.history.op(op).status();
        assert_eq!(status, Status::Ok, "{op} returned");
        self.history.set_result_to_argument(op);
    }

    /// Ends the recording. What is open stays open for ever.
    #[must_use]
    pub fn finish(self) -> ObjectHistory {
        self.history
    }

    fn check_index(&self, event: EventIndex) -> Result<(), IllFormed> {
        let reason = match self.last_index {
            _ if event > EventIndex::MAX => IllFormedReason::IndexTooGreat,
            Some(previous) if event < previous => IllFormedReason::IndexNotRising { previous },
            _ => return Ok(()),
        };
        Err(IllFormed { event, reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(index: u64) -> Moment {
        Moment {
            index: EventIndex(index),
            time_ns: index,
        }
    }

    #[test]
    fn touching_operations_are_concurrent_in_closed_intervals_and_ordered_in_open_ones() {
        for (intervals, ordered) in [(Intervals::Closed, false), (Intervals::Open, true)] {
            let mut recorder = ObjectRecorder::new(intervals, AfterInfo::Retire);
            let read = Asked {
                function: recorder.function("read"),
                key: ValueId::NIL,
                argument: ValueId::NIL,
            };
            let one = recorder.invoke(ProcessId(1), read, at(0)).expect("free");
            recorder
                .complete(one, Status::Ok, ValueId::NIL, at(5))
                .expect("open");
            let two = recorder.invoke(ProcessId(2), read, at(5)).expect("free");
            let history = recorder.finish();
            let (one, two) = (history.op(one), history.op(two));
            assert_eq!(one.deadline() < two.invocation_edge(), ordered);
            assert_eq!(two.deadline(), u64::MAX);
        }
    }

    #[test]
    fn ill_formed_streams_are_refused() {
        let mut recorder = ObjectRecorder::new(Intervals::Open, AfterInfo::Retire);
        let read = Asked {
            function: recorder.function("read"),
            key: ValueId::NIL,
            argument: ValueId::NIL,
        };
        let process = ProcessId(1);
        let op = recorder.invoke(process, read, at(3)).expect("free");
        let reason = |refused: Result<(), IllFormed>| refused.expect_err("ill-formed").reason;
        assert_eq!(
            reason(recorder.invoke(process, read, at(4)).map(drop)),
            IllFormedReason::StillOpen { process, open: op }
        );
        assert_eq!(
            reason(recorder.complete(op, Status::Ok, ValueId::NIL, at(3))),
            IllFormedReason::NoTime { op }
        );
        assert_eq!(
            reason(recorder.complete(op, Status::Ok, ValueId::NIL, at(2))),
            IllFormedReason::IndexNotRising {
                previous: EventIndex(3)
            }
        );
        recorder
            .complete(op, Status::Info, ValueId::NIL, at(5))
            .expect("open");
        assert_eq!(
            reason(recorder.complete(op, Status::Ok, ValueId::NIL, at(6))),
            IllFormedReason::NotOpen { op }
        );
        assert_eq!(
            reason(recorder.invoke(process, read, at(7)).map(drop)),
            IllFormedReason::Retired {
                process,
                unknown: op
            }
        );
    }
}
