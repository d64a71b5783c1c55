//! Histories: what clients asked of some logs and what they were answered, in the order of events.
//!
//! A history is a list of events. Each operation begins with an `invoke` and ends with `ok` (an
//! answer), `fail` (certainly no effect) or `info` (unknown: it stays open for ever, and its client
//! goes on under a new process number). One that has no end is unknown as well.
//!
//! The interval of an operation runs from its invocation to its return, and is made of event indexes.
//! Mostly they are all distinct, so that no two intervals touch; where they are not, [`Intervals`] says what
//! touching operations are to each other. Times are kept for people.
//!
//! This is not a judgement: a well-formed history can be full of anomalies. What no set of processes
//! could have produced is refused as [`IllFormed`].

mod columns;
mod event_order;
mod journal;
mod json;
mod later;
pub(crate) mod lsn_text;
mod op;
mod position;
mod processes;
mod recorder;

pub use columns::{Answer, History, Op, ReadAnswer};
pub use journal::{Journal, JournalError};
pub use json::{
    EventKind, FieldFault, MAX_LINE_BYTES, ReadError, ReadErrorReason, read_json, write_json,
};
pub use op::{
    Call, EventIndex, Gap, GapKind, Intervals, Mismatch, Moment, OpId, OpKind, Outcome, ProcessId,
    ReadOutcome, RecordId, Source, Status, Subscription, Terms, Token,
};
pub use recorder::{IllFormed, IllFormedReason, Recorder};

pub(crate) use columns::Reach;
pub(crate) use event_order::event_order;
pub(crate) use position::{after, position};
pub(crate) use processes::Processes;
