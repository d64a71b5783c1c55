//! What the history of a log has beside appends, reads of everything, and tails.
//!
//! Most histories have nothing of it, and the checks of it are then passed over.

use crate::history::{Answer, Call, GapKind, Op, OpKind, Source};

/// Which of these there is at least one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// A poll of a subscription.
    pub(crate) subscriptions: bool,
    /// A trim that returned, or an answer that speaks of one.
    pub(crate) trims: bool,
    /// A read of one tier.
    pub(crate) tiers: bool,
}

impl Features {
    /// Notes one operation.
    pub(crate) fn note(&mut self, op: Op<'_>) {
        match (op.kind(), op.answer()) {
            (OpKind::Append | OpKind::Tail | OpKind::Seal, _) | (_, None) => {}
            (OpKind::Trim, _) => self.trims = true,
            (OpKind::Read | OpKind::Poll, Some(Answer::Read(read) | Answer::Poll(read))) => {
                self.subscriptions |= read.subscription.is_some();
                self.tiers |= read.source != Source::Log;
                self.trims |= read.gaps.iter().any(|gap| gap.kind == GapKind::Trim);
            }
            (OpKind::Read | OpKind::Poll, Some(_)) => {
                self.trims = true;
                let subscription = match op.call() {
                    Call::Poll { subscription, .. } => subscription,
                    _ => None,
                };
                self.subscriptions |= subscription.is_some();
            }
        }
    }
}
