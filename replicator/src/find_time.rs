//! Where is a time in a log?
//!
//! All nodes of all epochs are asked for the first record they hold of that time or a later one, and the
//! least answer counts, once a seal quorum of each epoch has answered for all that is released: it meets
//! the copies of every record. The answer may be early (a copy that cannot be read may be the one meant)
//! and is never late.

use hstore_core::{LogId, Lsn, NodeId, NodeSet, Timestamp, WallTime};

use crate::config::Timing;
use crate::message::{EpochSpan, Message, StorageAsk};

/// A search on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Search {
    log: LogId,
    spans: Vec<EpochSpan>,
    nonce: u64,
    time: WallTime,
    /// Up to here everything was given up.
    trim: Lsn,
    /// Up to here is searched.
    last: Lsn,
    /// The nodes that answered for all of that.
    told: NodeSet,
    /// Those of them that know all they ever stored.
    sure: NodeSet,
    least: Option<Lsn>,
    resend_at: Timestamp,
}

impl Search {
    /// A search of `(trim, last]`. `nonce` names it among those of its client.
    #[must_use]
    pub fn new(
        log: LogId,
        spans: Vec<EpochSpan>,
        (trim, last): (Lsn, Lsn),
        time: WallTime,
        nonce: u64,
    ) -> Self {
        Self {
            log,
            spans,
            nonce,
            time,
            trim,
            last,
            told: NodeSet::EMPTY,
            sure: NodeSet::EMPTY,
            least: None,
            resend_at: Timestamp::ZERO,
        }
    }

    /// No record of the time or a later one, released when the search began, lies before this LSN; `None`
    /// until enough nodes have answered.
    #[must_use]
    pub fn found(&self) -> Option<Lsn> {
        let enough = |(at, span): (usize, &EpochSpan)| {
            let next = self.spans.get(at + 1);
            let is_searched = span.first <= self.last.epoch
                && next.is_none_or(|next| next.first > self.trim.epoch);
            !is_searched || {
                let nodes = span.quorums.nodes();
                // Where copies were lost, what everyone has left is all there is.
                nodes.is_subset(self.told)
                    || span.quorums.is_seal_quorum(self.sure.intersection(nodes))
            }
        };
        if self.trim >= self.last {
            return Some(self.last.next());
        }
        self.spans.iter().enumerate().all(enough).then(|| {
            let least = self.least.unwrap_or(self.last.next());
            least.max(self.trim.successor())
        })
    }

    /// When to call [`Search::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        self.resend_at
    }

    /// Asks those that have not answered.
    pub fn on_time(
        &mut self,
        now: Timestamp,
        timing: &Timing,
        send: &mut impl FnMut(NodeId, Message),
    ) {
        if self.resend_at > now {
            return;
        }
        self.resend_at = now + timing.resend;
        let nodes = self
            .spans
            .iter()
            .flat_map(|span| span.quorums.nodes().iter());
        let nodes: NodeSet = nodes.collect();
        for node in nodes.difference(self.told).iter() {
            let ask = StorageAsk::FindTime {
                nonce: self.nonce,
                time: self.time,
                last: self.last,
            };
            let log = self.log;
            send(node, Message::Storage { log, ask });
        }
    }

    /// Takes a node's answer.
    pub fn on_found(&mut self, from: NodeId, first: Option<Lsn>, passed: Lsn, authoritative: bool) {
        self.least = self.least.into_iter().chain(first).min();
        if passed >= self.last {
            self.told.insert(from);
            if authoritative {
                self.sure.insert(from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use hstore_core::Epoch;
    use hstore_core::quorum::QuorumSystem;

    use super::*;

    /// Epochs 1 and 2 on three nodes with two copies; epoch 3 on the same with three.
    fn search(trim: Lsn) -> Search {
        let span = |first, copies| EpochSpan {
            first: Epoch(first),
            quorums: QuorumSystem::flat(3, copies).expect("valid"),
        };
        let spans = vec![span(1, 2), span(3, 3)];
        let range = (trim, Lsn::new(3, 5));
        Search::new(LogId(1), spans, range, WallTime(7), 1)
    }

    #[test]
    fn the_least_answer_counts_once_a_seal_quorum_of_each_epoch_has_told_all() {
        let mut it = search(Lsn::MIN);
        it.on_found(NodeId(0), Some(Lsn::new(2, 9)), Lsn::new(3, 5), true);
        assert_eq!(it.found(), None, "two copies: one node is no seal quorum");
        it.on_found(NodeId(1), None, Lsn::new(3, 4), true);
        assert_eq!(it.found(), None, "it has not looked at all of it");
        it.on_found(NodeId(1), Some(Lsn::new(3, 5)), Lsn::new(3, 5), true);
        assert_eq!(it.found(), Some(Lsn::new(2, 9)));
    }

    #[test]
    fn a_node_that_lost_copies_does_not_count_unless_everyone_has_told() {
        let mut it = search(Lsn::MIN);
        let last = Lsn::new(3, 5);
        it.on_found(NodeId(0), None, last, false);
        it.on_found(NodeId(1), Some(Lsn::new(3, 1)), last, true);
        assert_eq!(it.found(), None);
        it.on_found(NodeId(2), None, last, false);
        assert_eq!(it.found(), Some(Lsn::new(3, 1)));
    }

    #[test]
    fn epochs_that_were_given_up_are_not_asked_for() {
        let mut it = search(Lsn::new(3, 1));
        it.on_found(NodeId(2), Some(Lsn::new(1, 1)), Lsn::new(3, 5), true);
        assert_eq!(
            it.found(),
            Some(Lsn::new(3, 2)),
            "three copies: one node is"
        );
        assert_eq!(search(Lsn::new(3, 5)).found(), Some(Lsn::new(3, 6)));
    }
}
