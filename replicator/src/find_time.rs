//! Where is a time in a log?
//!
//! All nodes of all epochs are asked for the first record they hold of that time or a later one, and the
//! least answer counts, once a seal quorum of each epoch has answered for all that is released: it meets
//! the copies of every record. What they do not hold any more because it was handed over comes before all that they
//! do: the second tier is asked for it first of all. The answer may be early (a copy that cannot be read may be the
//! one meant) and is never late.

use hstore_core::{LogId, Lsn, NodeId, NodeSet, Timestamp, WallTime};

use crate::cold::ColdQuestion;
use crate::config::Timing;
use crate::message::{Cold, ColdTold, EpochSpan, FetchCold, FoundTime, Message, StorageAsk};
use crate::reader::Delivery;

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
    /// Who sequences the log, where some of it may lie in a second tier.
    second_tier: Option<NodeId>,
    question: Option<ColdQuestion>,
    /// Up to here some of those who answered did not look: it was handed over.
    handed: Lsn,
    /// Up to here the second tier was searched.
    searched: Lsn,
    /// What it found.
    cold: Option<Lsn>,
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
        second_tier: Option<NodeId>,
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
            second_tier,
            question: None,
            handed: trim,
            searched: trim,
            cold: None,
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
        if self.cold.is_some() {
            return self.cold;
        }
        if self.handed > self.searched && self.second_tier.is_some() {
            return None;
        }
        self.spans.iter().enumerate().all(enough).then(|| {
            let least = self.least.unwrap_or(self.last.next());
            least.max(self.trim.successor())
        })
    }

    /// When to call [`Search::on_time`].
    #[must_use]
    pub fn deadline(&self) -> Timestamp {
        let question = self.question.as_ref().map(ColdQuestion::deadline);
        question.map_or(self.resend_at, |at| at.min(self.resend_at))
    }

    /// Asks those that have not answered.
    pub fn on_time(
        &mut self,
        now: Timestamp,
        timing: &Timing,
        send: &mut impl FnMut(NodeId, Message),
    ) {
        let nodes = self
            .spans
            .iter()
            .flat_map(|span| span.quorums.nodes().iter());
        let nodes: NodeSet = nodes.collect();
        if let Some(question) = &mut self.question {
            question.on_time(now, timing, nodes, send);
        }
        if self.resend_at > now {
            return;
        }
        self.resend_at = now + timing.resend;
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
    pub fn on_found(&mut self, from: NodeId, told: &FoundTime) {
        let FoundTime {
            first,
            passed,
            authoritative,
            handed,
            ..
        } = *told;
        self.handed = self.handed.max(handed);
        self.ask_second_tier();
        self.least = self.least.into_iter().chain(first).min();
        if passed >= self.last {
            self.told.insert(from);
            if authoritative {
                self.sure.insert(from);
            }
        }
    }

    /// What was handed over is searched there.
    fn ask_second_tier(&mut self) {
        let is_open = self.handed <= self.searched || self.question.is_some();
        let Some(sequencer) = self.second_tier.filter(|_| !is_open) else {
            return;
        };
        let ask = FetchCold {
            nonce: self.nonce,
            first: self.searched.successor(),
            last: self.handed,
            limit: 1,
            time: Some(self.time),
        };
        self.question = Some(ColdQuestion::new(self.log, ask, Some(sequencer)));
    }

    /// Takes what is told of the second tier.
    pub fn on_cold(&mut self, from: NodeId, answer: &Cold, now: Timestamp, timing: &Timing) {
        let Some(question) = &mut self.question else {
            return;
        };
        let Some(told) = question.on_told(from, answer, now, timing) else {
            return;
        };
        self.second_tier = Some(from);
        match told {
            ColdTold::Entries(entries) if !entries.is_empty() => {
                self.cold = entries.first().map(Delivery::first);
            }
            // It may be the one meant.
            ColdTold::Lost(_) => self.cold = Some(question.first()),
            ColdTold::Nothing(upto) if *upto >= question.first() => {
                self.searched = self.searched.max(*upto);
            }
            // Whoever says so knows less than nodes do: it may be no sequencer any more.
            _ => {
                question.ask_another(now, timing);
                return;
            }
        }
        self.question = None;
        self.ask_second_tier();
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
        Search::new(LogId(1), spans, range, WallTime(7), 1, None)
    }

    fn told(first: Option<Lsn>, passed: Lsn, authoritative: bool) -> FoundTime {
        FoundTime {
            nonce: 1,
            first,
            passed,
            authoritative,
            handed: Lsn::MIN,
        }
    }

    #[test]
    fn the_least_answer_counts_once_a_seal_quorum_of_each_epoch_has_told_all() {
        let mut it = search(Lsn::MIN);
        it.on_found(NodeId(0), &told(Some(Lsn::new(2, 9)), Lsn::new(3, 5), true));
        assert_eq!(it.found(), None, "two copies: one node is no seal quorum");
        it.on_found(NodeId(1), &told(None, Lsn::new(3, 4), true));
        assert_eq!(it.found(), None, "it has not looked at all of it");
        it.on_found(NodeId(1), &told(Some(Lsn::new(3, 5)), Lsn::new(3, 5), true));
        assert_eq!(it.found(), Some(Lsn::new(2, 9)));
    }

    #[test]
    fn a_node_that_lost_copies_does_not_count_unless_everyone_has_told() {
        let mut it = search(Lsn::MIN);
        let last = Lsn::new(3, 5);
        it.on_found(NodeId(0), &told(None, last, false));
        it.on_found(NodeId(1), &told(Some(Lsn::new(3, 1)), last, true));
        assert_eq!(it.found(), None);
        it.on_found(NodeId(2), &told(None, last, false));
        assert_eq!(it.found(), Some(Lsn::new(3, 1)));
    }

    #[test]
    fn epochs_that_were_given_up_are_not_asked_for() {
        let mut it = search(Lsn::new(3, 1));
        it.on_found(NodeId(2), &told(Some(Lsn::new(1, 1)), Lsn::new(3, 5), true));
        assert_eq!(
            it.found(),
            Some(Lsn::new(3, 2)),
            "three copies: one node is"
        );
        assert_eq!(search(Lsn::new(3, 5)).found(), Some(Lsn::new(3, 6)));
    }

    #[test]
    fn what_was_handed_over_is_searched_in_the_second_tier() {
        let timing = Timing::default();
        for (told, found) in [
            (ColdTold::Nothing(Lsn::new(2, 4)), Some(Lsn::new(3, 2))),
            (ColdTold::Lost(Lsn::new(1, 9)), Some(Lsn::new(1, 1))),
            // It is asked for the rest, and another where that was nothing.
            (ColdTold::Nothing(Lsn::new(2, 3)), None),
            (ColdTold::Nothing(Lsn::MIN), None),
            (ColdTold::Entries(Vec::new()), None),
        ] {
            let mut it = Search::new(
                LogId(1),
                search(Lsn::MIN).spans,
                (Lsn::before(Epoch(1)), Lsn::new(3, 5)),
                WallTime(7),
                1,
                Some(NodeId(2)),
            );
            for node in 0..3 {
                let handed = Lsn::new(2, 4);
                let answer = FoundTime {
                    handed,
                    ..self::told(Some(Lsn::new(3, 2)), Lsn::new(3, 5), true)
                };
                it.on_found(NodeId(node), &answer);
            }
            assert_eq!(it.found(), None, "what comes before is not known");
            let mut asked = Vec::new();
            it.on_time(Timestamp::ZERO, &timing, &mut |node, message| {
                asked.push((node, message));
            });
            let is_asked = |(node, message): &(NodeId, Message)| {
                let cold = matches!(
                    message,
                    Message::Storage {
                        ask: StorageAsk::FetchCold(_),
                        ..
                    }
                );
                cold && *node == NodeId(2)
            };
            assert!(asked.iter().any(is_asked));
            let answer = Cold {
                nonce: 1,
                first: Lsn::new(1, 1),
                trim: Lsn::MIN,
                told,
            };
            it.on_cold(NodeId(2), &answer, Timestamp::ZERO, &timing);
            assert_eq!(it.found(), found);
        }
    }
}
