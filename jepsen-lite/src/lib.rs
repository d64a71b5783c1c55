//! Records what clients did to logs and other objects, and judges it.
//!
//! What was recorded:
//! - [`history`]: what was asked of logs and answered, in the order of events; JSON lines.
//! - [`object`]: the same of registers, maps, sets, queues, or whatever there is a model of.
//! - [`formats`]: reads and writes the files of others, and tells their formats apart.
//!
//! How it is judged:
//! - [`judge`](mod@judge): whatever was read from a file, as what it is.
//! - [`check`](mod@check): all checks of a history put together, with a report as text or JSON.
//! - [`log_check`]: linearizability of a log, in near-linear time; [`online`]: the same while it is
//!   recorded, to stop at the step that violates.
//! - [`stream_check`]: linearizability of a stream whose reads tell a hash, in near-linear time mostly.
//! - [`search`], [`models`]: linearizability of any other object, in exponential time at worst.
//! - [`object_check`]: checks of sets, queues, counters and generators of ids that need no search.
//! - [`white_box`], [`tiering`]: checks that take more than what clients saw.
//! - [`replay`]: verifies the evidence for "linearizable".
//!
//! What comes out:
//! - [`anomaly`], [`verdict`]: what the checks say, with the evidence.
//! - [`report`]: anomalies told for people, as text, JSON and a page.
//!
//! A log here is a sequence of records ordered by LSN. Clients append a record, read from an LSN on,
//! or ask for the tail. Between records there may be gaps, of which a read says why they hold
//! no record.
//!
//! This crate does not run anything, knows nothing of time but the order of events, prints nothing,
//! and does not look into the system: it believes only what clients saw.
//!
//! ```
//! use hstore_core::{LogId, Lsn};
//! use jepsen_lite::check::{CheckOptions, check};
//! use jepsen_lite::history::{Call, Outcome, ProcessId, RecordId, Recorder};
//! use jepsen_lite::verdict::VerdictKind;
//!
//! let mut recorder = Recorder::new();
//! let (alice, bob, log) = (ProcessId(1), ProcessId(2), LogId(0));
//! let append = recorder.invoke(alice, log, Call::append(RecordId(7)), 1_000)?;
//! recorder.answer(append, Outcome::Append { lsn: Lsn::new(1, 1) }, 2_000)?;
//! let tail = recorder.invoke(bob, log, Call::Tail, 3_000)?;
//! recorder.answer(tail, Outcome::Tail { tail: Lsn::new(1, 1) }, 4_000)?;
//!
//! let report = check(&recorder.finish()?, &CheckOptions::default());
//! assert_eq!(report.verdict, VerdictKind::Invalid);
//! assert!(report.to_string().contains("StaleRead"));
//! # Ok::<(), jepsen_lite::history::IllFormed>(())
//! ```

#![deny(missing_docs)]

pub mod anomaly;
pub mod check;
pub mod formats;
pub mod history;
pub mod judge;
pub mod log_check;
pub mod models;
pub mod object;
pub mod object_check;
pub mod online;
pub mod replay;
pub mod report;
pub mod search;
pub mod stream_check;
pub mod tiering;
pub mod verdict;
pub mod white_box;

mod by_process;
mod durability;
mod facts;
mod features;
mod model;
mod monotone;
mod order;
mod prefix;
mod shown;
mod subscription;
mod trim;
mod trims;
