//! A question for what lies in the second tier, asked until it is answered.
//!
//! The node that sequences the log has the answer. Whoever it is not says who is, for all it knows; where nobody
//! knows, or nobody answers, one node after the other is asked.

use hstore_core::{LogId, Lsn, NodeId, NodeSet, Timestamp, probe};

use crate::config::Timing;
use crate::message::{Cold, ColdTold, FetchCold, Message, StorageAsk};
use crate::patience::Patience;

/// Objects are far away: an answer is awaited for so many times the resend interval, at least.
const FAR: u32 = 4;

/// A question on its way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ColdQuestion {
    log: LogId,
    ask: FetchCold,
    /// Who is asked.
    node: Option<NodeId>,
    /// Questions so far.
    tries: u32,
    /// Of these, since anybody said anything.
    unheard: u32,
    /// When to ask, or to ask again.
    ask_at: Timestamp,
}

impl ColdQuestion {
    /// A question that is to be asked at once, of whoever is known to sequence the log.
    pub(crate) fn new(log: LogId, ask: FetchCold, sequencer: Option<NodeId>) -> Self {
        Self {
            log,
            ask,
            node: sequencer,
            tries: 0,
            unheard: 0,
            ask_at: Timestamp::ZERO,
        }
    }

    pub(crate) fn first(&self) -> Lsn {
        self.ask.first
    }

    pub(crate) fn deadline(&self) -> Timestamp {
        self.ask_at
    }

    /// Asks, if it is time: one of `nodes` where nobody is known.
    pub(crate) fn on_time(
        &mut self,
        now: Timestamp,
        timing: &Timing,
        nodes: NodeSet,
        send: &mut impl FnMut(NodeId, Message),
    ) {
        if self.ask_at > now {
            return;
        }
        if self.unheard > 1 {
            // Whoever is silent may not be there any more.
            self.node = None;
        }
        let turn = nodes.iter().nth(self.tries as usize % nodes.len().max(1));
        let Some(node) = self.node.or(turn) else {
            return;
        };
        self.ask_at = now + Patience::default().after(self.tries, timing.resend * FAR);
        self.tries += 1;
        self.unheard += 1;
        let (log, ask) = (self.log, StorageAsk::FetchCold(self.ask));
        send(node, Message::Storage { log, ask });
    }

    /// Takes an answer to it. What it tells of the second tier, if it does.
    pub(crate) fn on_told<'a>(
        &mut self,
        from: NodeId,
        answer: &'a Cold,
        now: Timestamp,
        timing: &Timing,
    ) -> Option<&'a ColdTold> {
        if (answer.nonce, answer.first) != (self.ask.nonce, self.ask.first) {
            return None;
        }
        self.unheard = 0;
        match &answer.told {
            ColdTold::Elsewhere(Some(node)) if *node != from => {
                // Two may take each other for it.
                let patience = Patience::default().after(self.tries, timing.client_retry);
                let is_first = self.node.replace(*node) != Some(*node) && self.tries <= 2;
                self.ask_at = if is_first { now } else { now + patience };
            }
            ColdTold::Elsewhere(_) => {
                self.node = None;
                self.ask_at = now + Patience::default().after(self.tries, timing.client_retry);
            }
            ColdTold::Busy => {
                probe!("cold.asked-a-busy-node");
                self.node = Some(from);
                self.tries = 1;
                self.ask_at = now + timing.resend;
            }
            told => return Some(told),
        }
        None
    }

    /// The answer cannot be all there is: somebody else is asked, a while later.
    pub(crate) fn ask_another(&mut self, now: Timestamp, timing: &Timing) {
        self.node = None;
        self.ask_at = now + timing.resend;
    }
}
