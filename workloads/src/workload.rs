//! What everything that drives clients has in common.

use std::fmt::Debug;
use std::time::Duration;

use hstore_core::LogId;

use crate::ask::Ask;
use crate::knowledge::Knowledge;

/// Says what clients do. A client has one operation at a time: it pauses, asks for something, hears how that
/// ended or that nobody knows, pauses again. Clients are numbered from 0.
///
/// The same calls get the same answers: whatever is drawn comes from a source that was seeded.
pub trait Workload: Debug + Send {
    /// How long a client pauses before its next operation. Asked once before each.
    fn pause(&mut self, client: u32) -> Duration;

    /// What a client asks for next; `None` if there is nothing more for it to do. An id of a record is never
    /// used twice, not even by two clients.
    fn next(&mut self, client: u32, knowledge: &Knowledge) -> Option<Ask>;

    /// What a client's append demanded of a log was not so, and it was told what is.
    fn mismatched(&mut self, client: u32, log: LogId) {
        let _ = (client, log);
    }

    /// Whether no client has anything more to do.
    fn is_exhausted(&self) -> bool;
}
