//! What the history of a log has beside appends, reads of everything, and tails.
//!
//! Most histories have nothing of it, and the checks of it then cost one look at each operation.

use crate::history::{Answer, Call, GapKind, History, OpId, OpKind, Source};

/// Which of these there is at least one of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    /// A poll of a subscription.
    pub(crate) subscriptions: bool,
    /// A trim, or an answer that speaks of one.
    pub(crate) trims: bool,
    /// A read of one tier.
    pub(crate) tiers: bool,
}

impl Features {
    /// Those of one log, whose operations are `ops`.
    pub(crate) fn of(history: &History, ops: &[OpId]) -> Self {
        let mut found = Self::default();
        for op in ops.iter().map(|&id| history.op(id)) {
            match op.kind() {
                OpKind::Append | OpKind::Tail | OpKind::Seal => continue,
                OpKind::Trim => found.trims = true,
                OpKind::Read | OpKind::Poll => match op.answer() {
                    Some(Answer::Trimmed { .. }) => {
                        found.trims = true;
                        found.subscriptions |= matches!(
                            op.call(),
                            Call::Poll {
                                subscription: Some(_),
                                ..
                            }
                        );
                    }
                    Some(Answer::Read(read) | Answer::Poll(read)) => {
                        found.subscriptions |= read.subscription.is_some();
                        found.tiers |= read.source != Source::Log;
                        found.trims |= read.gaps.iter().any(|gap| gap.kind == GapKind::Trim);
                    }
                    _ => {}
                },
            }
        }
        found
    }
}
