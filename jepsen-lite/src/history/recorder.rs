//! Turns a stream of events into a [`History`], and refuses streams that are none.
//!
//! An ill-formed stream is a fault of whoever recorded it, never a verdict on the system: it has an
//! own error type, [`IllFormed`], and yields no history.

use hstore_core::{LogId, Lsn};

use super::columns::History;
use super::op::{
    Call, EventIndex, Gap, Intervals, Moment, OpId, OpKind, Outcome, ProcessId, RecordId, Status,
};
use super::processes::Processes;

/// Records a history, event by event, in the order in which they happen.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    history: History,
    processes: Processes,
    /// Above the index of every event so far.
    next_index: u64,
}

/// A stream of events that no set of processes can produce.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event}: {reason}")]
pub struct IllFormed {
    /// The event that cannot be.
    pub event: EventIndex,
    /// Why.
    pub reason: IllFormedReason,
}

/// Why an event cannot be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllFormedReason {
    /// Event indexes must rise, or at least not fall where events may share one.
    #[error("the index does not rise: the event before has index {}", .previous.0)]
    IndexNotRising {
        /// The index of the event before.
        previous: EventIndex,
    },
    /// The greatest number of all stands for "never".
    #[error("the index is too great")]
    IndexTooGreat,
    /// A process does one thing at a time.
    #[error("process {} invokes while its {open} is open", .process.0)]
    StillOpen {
        /// Who.
        process: ProcessId,
        /// What it waits for.
        open: OpId,
    },
    /// A process that does not know how its operation ended goes on under a new number.
    #[error("process {} goes on after its {unknown} ended with unknown outcome", .process.0)]
    Retired {
        /// Who.
        process: ProcessId,
        /// The operation of unknown outcome.
        unknown: OpId,
    },
    /// Only an open operation can end.
    #[error("process {} returns, but has nothing open", .process.0)]
    NothingOpen {
        /// Who.
        process: ProcessId,
    },
    /// Only an open operation can end.
    #[error("{op} ends, but is not open")]
    NotOpen {
        /// The operation, which ended before or never began.
        op: OpId,
    },
    /// Where touching operations are ordered, an operation takes time.
    #[error(
        "{op} ends at the moment of its invocation, but in open intervals every operation takes time"
    )]
    NoTime {
        /// The operation.
        op: OpId,
    },
    /// An operation is answered by an outcome of its kind, on its log.
    #[error("the open {op} is `{asked}` of log {}, the answer is to `{answered}`", .log.0)]
    OtherAnswer {
        /// The open operation.
        op: OpId,
        /// Its log.
        log: LogId,
        /// What it asks.
        asked: OpKind,
        /// What the answer belongs to.
        answered: OpKind,
    },
    /// Only an append that demands something can be refused for a mismatch.
    #[error("{op} ends with a mismatch, but demanded nothing")]
    NothingDemanded {
        /// The append.
        op: OpId,
    },
    /// An event names a log other than that of the open operation.
    #[error("the open {op} is of log {}, the event names log {}", .log.0, .named.0)]
    OtherLog {
        /// The open operation.
        op: OpId,
        /// Its log.
        log: LogId,
        /// The log that the event names.
        named: LogId,
    },
    /// A gap has at least one LSN.
    #[error("the gap {first}..={last} ends before it begins")]
    EmptyGap {
        /// Its first LSN.
        first: Lsn,
        /// Its last LSN.
        last: Lsn,
    },
    /// Record ids are unique in their log.
    #[error("record {} was already appended to log {} by {first}", .record.0, .log.0)]
    RecordTwice {
        /// The log.
        log: LogId,
        /// The record id.
        record: RecordId,
        /// The append that carried it before.
        first: OpId,
    },
}

impl Recorder {
    /// An empty recording.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty recording in which events may share an index, if they are recorded with
    /// [`invoke_at`](Self::invoke_at) and [`complete_at`](Self::complete_at).
    #[must_use]
    pub fn with_intervals(intervals: Intervals) -> Self {
        Self {
            history: History::sharing(intervals),
            ..Self::default()
        }
    }

    /// `process` asks `call` of `log`, at `time_ns` of virtual time.
    ///
    /// # Errors
    ///
    /// If the process has something open or may not go on.
    pub fn invoke(
        &mut self,
        process: ProcessId,
        log: LogId,
        call: Call,
        time_ns: u64,
    ) -> Result<OpId, IllFormed> {
        let moment = self.now(time_ns);
        self.invoke_at(process, log, call, moment)
    }

    /// `op` was answered. It ends `Fail` if the answer is a mismatch, and `Ok` otherwise.
    ///
    /// # Errors
    ///
    /// If `op` is not open, or the answer is to another kind of operation or has an empty gap.
    pub fn answer(&mut self, op: OpId, outcome: Outcome, time_ns: u64) -> Result<(), IllFormed> {
        let moment = self.now(time_ns);
        self.complete_at(op, outcome.status(), Some(outcome), moment)
    }

    /// `op` certainly had no effect, and never will have one.
    ///
    /// # Errors
    ///
    /// If `op` is not open.
    pub fn fail(&mut self, op: OpId, time_ns: u64) -> Result<(), IllFormed> {
        let moment = self.now(time_ns);
        self.complete_at(op, Status::Fail, None, moment)
    }

    /// Nobody will learn how `op` ended: it may still take effect. Its process may not go on.
    ///
    /// # Errors
    ///
    /// If `op` is not open.
    pub fn info(&mut self, op: OpId, time_ns: u64) -> Result<(), IllFormed> {
        let moment = self.now(time_ns);
        self.complete_at(op, Status::Info, None, moment)
    }

    /// What `process` waits for.
    #[must_use]
    pub fn open_op(&self, process: ProcessId) -> Option<OpId> {
        self.processes.open_op(process)
    }

    /// What was recorded so far. Operations may be open, and record ids are not yet known to be
    /// unique: [`Recorder::finish`] sees to that.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Ends the recording. What is open stays open for ever.
    ///
    /// # Errors
    ///
    /// If two appends to one log carry the same record id.
    pub fn finish(self) -> Result<History, IllFormed> {
        unique_records(&self.history)?;
        Ok(self.history)
    }

    fn now(&self, time_ns: u64) -> Moment {
        Moment {
            index: EventIndex(self.next_index),
            time_ns,
        }
    }

    fn check_index(&self, event: EventIndex) -> Result<(), IllFormed> {
        if event > EventIndex::MAX {
            let reason = IllFormedReason::IndexTooGreat;
            return Err(IllFormed { event, reason });
        }
        if event.0 >= self.next_index
            || (self.history.shares_indexes() && event.0 + 1 == self.next_index)
        {
            return Ok(());
        }
        let previous = EventIndex(self.next_index - 1);
        Err(IllFormed {
            event,
            reason: IllFormedReason::IndexNotRising { previous },
        })
    }

    /// `process` asks `call` of `log`, at a moment of its own.
    ///
    /// # Errors
    ///
    /// If the process has something open or may not go on, or the index does not rise.
    pub fn invoke_at(
        &mut self,
        process: ProcessId,
        log: LogId,
        call: Call,
        moment: Moment,
    ) -> Result<OpId, IllFormed> {
        self.check_index(moment.index)?;
        let history = &mut self.history;
        let begun = self
            .processes
            .invoke(process, || history.push(process, log, call, moment));
        let op = begun.map_err(|reason| IllFormed {
            event: moment.index,
            reason,
        })?;
        self.next_index = moment.index.0 + 1;
        Ok(op)
    }

    /// `op` ended, at a moment of its own. An outcome brings its status along.
    ///
    /// # Errors
    ///
    /// If `op` is not open, the answer is to another kind of operation or has an empty gap, or the index
    /// does not rise. Panics if the status is not that of the outcome, or is `Ok` without one.
    pub fn complete_at(
        &mut self,
        op: OpId,
        status: Status,
        outcome: Option<Outcome>,
        moment: Moment,
    ) -> Result<(), IllFormed> {
        match &outcome {
            Some(outcome) => assert_eq!(outcome.status(), status, "an outcome has its status"),
            None => assert_ne!(status, Status::Ok, "what ended well has an outcome"),
        }
        self.check_index(moment.index)?;
        let ill_formed = |reason| {
            Err(IllFormed {
                event: moment.index,
                reason,
            })
        };
        if op.0 as usize >= self.history.len() || self.history.op(op).status() != Status::Open {
            return ill_formed(IllFormedReason::NotOpen { op });
        }
        let view = self.history.op(op);
        let takes_time = view.invoked().index < moment.index;
        if self.history.intervals() == Intervals::Open && !takes_time {
            return ill_formed(IllFormedReason::NoTime { op });
        }
        if let Some(outcome) = &outcome {
            if !outcome.answers(view.kind()) {
                return ill_formed(IllFormedReason::OtherAnswer {
                    op,
                    log: view.log(),
                    asked: view.kind(),
                    answered: outcome.kind(),
                });
            }
            if matches!(outcome, Outcome::Mismatch(_)) && !view.terms().is_conditional() {
                return ill_formed(IllFormedReason::NothingDemanded { op });
            }
            if let Some(Gap { first, last, .. }) = empty_gap(outcome) {
                return ill_formed(IllFormedReason::EmptyGap { first, last });
            }
        }
        match status {
            Status::Ok | Status::Fail => self.processes.free(view.process()),
            Status::Info | Status::Open => self.processes.retire(view.process(), op),
        }
        self.history.complete(op, status, outcome, moment);
        self.next_index = moment.index.0 + 1;
        Ok(())
    }
}

fn empty_gap(outcome: &Outcome) -> Option<Gap> {
    match outcome {
        Outcome::Read(read) => read.gaps.iter().find(|gap| gap.first > gap.last).copied(),
        _ => None,
    }
}

/// Finds the first append that carries a record id of an earlier one.
fn unique_records(history: &History) -> Result<(), IllFormed> {
    let appends = || {
        history
            .ops()
            .filter_map(|op| Some((op.log(), op.record()?, op.id())))
    };
    // Ids mostly come from one rising counter; then there is nothing to sort.
    if appends().is_sorted_by(|a, b| a.1 < b.1) {
        return Ok(());
    }
    let mut sorted: Vec<_> = appends().collect();
    sorted.sort_unstable();
    let twice = sorted
        .windows(2)
        .filter(|pair| (pair[0].0, pair[0].1) == (pair[1].0, pair[1].1))
        .min_by_key(|pair| pair[1].2);
    let Some(&[(log, record, first), (_, _, second)]) = twice else {
        return Ok(());
    };
    Err(IllFormed {
        event: history.op(second).invoked().index,
        reason: IllFormedReason::RecordTwice { log, record, first },
    })
}
