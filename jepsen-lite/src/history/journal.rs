//! A recording that survives whoever makes it: each event is written as it is recorded.
//!
//! What was written when a recorder crashed is a history of its own: the operations that had not returned
//! stay open. If the crash cut the last line, [`read_json`](super::read_json) says so, and the line can be
//! removed.

use std::io::{self, Write};

use hstore_core::LogId;

use super::columns::History;
use super::json::{write_completion, write_invocation};
use super::op::{Call, OpId, Outcome, ProcessId};
use super::recorder::{IllFormed, Recorder};

/// Records a history and writes it as JSON lines, event by event. Each is flushed before it counts as
/// recorded; whether it is then on a disk is for the output to say.
#[derive(Debug)]
pub struct Journal<W> {
    recorder: Recorder,
    output: W,
}

/// Why an event was not recorded.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// It cannot be.
    #[error(transparent)]
    IllFormed(#[from] IllFormed),
    /// It cannot be written. It may be in the file in part.
    #[error("the event cannot be written: {0}")]
    Io(#[from] io::Error),
}

impl<W: Write> Journal<W> {
    /// An empty recording that is written to `output`.
    pub fn new(output: W) -> Self {
        Self {
            recorder: Recorder::new(),
            output,
        }
    }

    /// See [`Recorder::invoke`].
    ///
    /// # Errors
    ///
    /// If the event cannot be, or cannot be written.
    pub fn invoke(
        &mut self,
        process: ProcessId,
        log: LogId,
        call: Call,
        time_ns: u64,
    ) -> Result<OpId, JournalError> {
        let op = self.recorder.invoke(process, log, call, time_ns)?;
        write_invocation(self.recorder.history().op(op), &mut self.output)?;
        self.output.flush()?;
        Ok(op)
    }

    /// See [`Recorder::answer`].
    ///
    /// # Errors
    ///
    /// If the event cannot be, or cannot be written.
    pub fn answer(&mut self, op: OpId, outcome: Outcome, time_ns: u64) -> Result<(), JournalError> {
        self.recorder.answer(op, outcome, time_ns)?;
        self.ended(op)
    }

    /// See [`Recorder::fail`].
    ///
    /// # Errors
    ///
    /// If the event cannot be, or cannot be written.
    pub fn fail(&mut self, op: OpId, time_ns: u64) -> Result<(), JournalError> {
        self.recorder.fail(op, time_ns)?;
        self.ended(op)
    }

    /// See [`Recorder::info`].
    ///
    /// # Errors
    ///
    /// If the event cannot be, or cannot be written.
    pub fn info(&mut self, op: OpId, time_ns: u64) -> Result<(), JournalError> {
        self.recorder.info(op, time_ns)?;
        self.ended(op)
    }

    fn ended(&mut self, op: OpId) -> Result<(), JournalError> {
        write_completion(self.recorder.history().op(op), &mut self.output)?;
        Ok(self.output.flush()?)
    }

    /// What was recorded so far.
    #[must_use]
    pub fn history(&self) -> &History {
        self.recorder.history()
    }

    /// Ends the recording. What is open stays open for ever.
    ///
    /// # Errors
    ///
    /// If two appends to one log carry the same record id.
    pub fn finish(self) -> Result<History, IllFormed> {
        self.recorder.finish()
    }
}
