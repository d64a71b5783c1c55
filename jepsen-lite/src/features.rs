//! What the history of a log has beside appends, reads of everything, and tails.
//!
//! Most histories have little of it, and the checks of what there is none of are then passed over.

use crate::history::{GapKind, ReadAnswer, Source};

/// What there is, noted while facts are gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// Some poll of a subscription was answered.
    pub(crate) subscriptions: bool,
    /// Some trim returned, or some answer speaks of one.
    pub(crate) trims: bool,
    /// Some read of one tier was answered with what is there.
    pub(crate) tiers: bool,
    /// So many records were returned, all reads and polls together.
    pub(crate) records_read: u64,
}

impl Features {
    /// Notes a read or a poll that was answered with what is there.
    pub(crate) fn note_read(&mut self, read: &ReadAnswer<'_>) {
        self.subscriptions |= read.subscription.is_some();
        self.tiers |= read.source != Source::Log;
        self.trims |= read.gaps.iter().any(|gap| gap.kind == GapKind::Trim);
        self.records_read += read.records.len() as u64;
    }
}
