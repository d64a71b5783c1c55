//! What a reader hears of the second tier.

use std::collections::VecDeque;

use hstore_core::{Chain, LogId, Lsn, NodeId, NodeSet, Timestamp, probe};

use super::{COLD_PER_ANSWER, Delivery};
use crate::cold::ColdQuestion;
use crate::config::Timing;
use crate::message::{Cold, ColdTold, FetchCold, Message};

/// What the second tier told so far.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SecondTier {
    /// Who sequences the log, for all that is known.
    sequencer: NodeId,
    question: Option<ColdQuestion>,
    /// What it told and was not delivered yet.
    told: VecDeque<Delivery>,
    /// Where it has nothing.
    nothing: Option<Nothing>,
}

/// That there is nothing in the second tier from an LSN on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Nothing {
    first: Lsn,
    /// There should be, up to here.
    lost: Option<Lsn>,
}

impl SecondTier {
    /// Of a log that `sequencer` sequences, for all that is known.
    pub(super) fn new(sequencer: NodeId) -> Self {
        Self {
            sequencer,
            question: None,
            told: VecDeque::new(),
            nothing: None,
        }
    }

    /// So many records and gaps wait for being delivered.
    pub(super) fn waiting(&self) -> usize {
        self.told.len()
    }

    /// When to ask again.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.question.as_ref().map(ColdQuestion::deadline)
    }

    /// Sends the question that is open, if it is due.
    pub(super) fn on_time(
        &mut self,
        now: Timestamp,
        timing: &Timing,
        nodes: NodeSet,
        send: &mut impl FnMut(NodeId, Message),
    ) {
        if let Some(question) = &mut self.question {
            question.on_time(now, timing, nodes, send);
        }
    }

    /// Asks, unless the same is asked already from the same LSN on.
    pub(super) fn ask(&mut self, log: LogId, ask: FetchCold) {
        let is_asked = |it: &ColdQuestion| it.first() == ask.first;
        if !self.question.as_ref().is_some_and(is_asked) {
            self.question = Some(ColdQuestion::new(log, ask, Some(self.sequencer)));
        }
    }

    /// Takes an answer. Up to `handed` the nodes hold nothing.
    pub(super) fn on_told(
        &mut self,
        from: NodeId,
        answer: &Cold,
        log: LogId,
        handed: Lsn,
        now: Timestamp,
        timing: &Timing,
    ) {
        let Some(question) = &mut self.question else {
            return;
        };
        let Some(told) = question.on_told(from, answer, now, timing) else {
            return;
        };
        self.sequencer = from;
        let first = question.first();
        let nothing = |lost| Some(Nothing { first, lost });
        match told {
            ColdTold::Entries(entries) => {
                self.told = sound(log, first, entries);
                if self.told.is_empty() {
                    self.nothing = nothing(Some(first));
                }
            }
            ColdTold::Lost(last) => {
                probe!("reader.lost-in-the-second-tier");
                self.nothing = nothing(Some(first.max(*last)));
            }
            // It was handed over: whoever says so knows nothing of that yet, or is no sequencer any more.
            _ if first <= handed => {
                question.ask_another(now, timing);
                return;
            }
            _ => self.nothing = nothing(None),
        }
        self.question = None;
    }

    /// What it told of `next`, if it did, and if it continues the chain, which has come to `link`.
    pub(super) fn take(&mut self, next: Lsn, link: Option<Chain>) -> Option<Delivery> {
        while self.told.front().is_some_and(|it| it.last() < next) {
            self.told.pop_front();
        }
        let delivery = self.told.pop_front()?;
        let continues = match &delivery {
            Delivery::Record(_, it) => link.is_none_or(|link| link == it.stamp.previous),
            Delivery::Gap { .. } => true,
        };
        if delivery.first() > next || !continues {
            probe!("reader.cold-entry-does-not-continue", !continues);
            self.told.clear();
            let (first, lost) = (next, Some(next));
            self.nothing = Some(Nothing { first, lost });
            return None;
        }
        Some(delivery)
    }

    /// Up to where it has nothing that is in order though it should, if that is so at `next`.
    pub(super) fn lost(&self, next: Lsn) -> Option<Lsn> {
        let nothing = self.nothing.filter(|it| it.first <= next)?;
        nothing.lost.filter(|last| next <= *last)
    }

    /// Whether it has nothing that is in order from `next` on.
    pub(super) fn has_nothing(&self, next: Lsn) -> bool {
        let is_it = |it: Nothing| it.lost.is_none() && it.first == next;
        self.lost(next).is_some() || self.nothing.is_some_and(is_it)
    }
}

/// As much of an answer as follows from `first` on, and is what was put there.
fn sound(log: LogId, first: Lsn, entries: &[Delivery]) -> VecDeque<Delivery> {
    let mut next = first;
    let sound = entries.iter().take_while(|it| {
        let (at, last) = (it.first(), it.last());
        // A gap ends with its epoch at the latest.
        let is_sane = at <= last && at.epoch == last.epoch && last < Lsn::MAX;
        if at != next || !is_sane {
            return false;
        }
        next = last.successor();
        belongs(log, it)
    });
    sound.take(COLD_PER_ANSWER).cloned().collect()
}

/// Whether what the second tier tells is what was put there.
fn belongs(log: LogId, delivery: &Delivery) -> bool {
    match delivery {
        Delivery::Record(lsn, it) => it.belongs_at(log, *lsn) && it.record.verify().is_ok(),
        Delivery::Gap { .. } => true,
    }
}
