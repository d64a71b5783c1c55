//! What was given up by trims, and by when.
//!
//! A trim is lazy: it allows, and never demands. What lies at or below it may be answered as given up
//! from the moment at which it was invoked, because nothing can tell when it took effect; a trim of
//! unknown outcome counts as well, one that failed does not.

use crate::history::{Call, Op, OpId, Status};

/// The trims of one log.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trims {
    /// In the order of invocation; only those that reach above all before them.
    higher: Vec<Trim>,
    /// The others, and those that failed.
    others: Vec<Trim>,
}

/// One trim.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trim {
    /// When it was invoked.
    pub(crate) begins: u64,
    /// The last number of a position that it gives up.
    pub(crate) upto: u64,
    pub(crate) op: OpId,
}

impl Trims {
    /// Adds a trim; they come in the order of invocation. Any other operation is passed over.
    pub(crate) fn note(&mut self, op: Op<'_>) {
        let Call::Trim { upto } = op.call() else {
            return;
        };
        let trim = Trim {
            begins: op.begins(),
            upto: upto.as_u64(),
            op: op.id(),
        };
        let highest = self.higher.last().map_or(0, |last| last.upto);
        if op.status() != Status::Fail && trim.upto > highest {
            self.higher.push(trim);
        } else {
            self.others.push(trim);
        }
    }

    /// Whether there are none that give up anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.higher.is_empty()
    }

    /// Up to which number of a position all can be given up for what returned at `deadline`.
    pub(crate) fn given_up(&self, deadline: u64) -> u64 {
        self.furthest(deadline).map_or(0, |trim| trim.upto)
    }

    /// The one that reaches furthest of those that were invoked before `deadline`.
    pub(crate) fn furthest(&self, deadline: u64) -> Option<Trim> {
        let before = self.higher.partition_point(|trim| trim.begins < deadline);
        self.higher[..before].last().copied()
    }

    /// A trim that came too late to give up a position, or failed; else one that does not reach it.
    pub(crate) fn nearest(&self, lsn: u64) -> Option<OpId> {
        let reaches = |trims: &&Trim| trims.upto >= lsn;
        let mut all = self.higher.iter().chain(&self.others);
        let reaching = all.clone().find(reaches).map(|trim| trim.op);
        reaching.or_else(|| Some(all.next()?.op))
    }
}
