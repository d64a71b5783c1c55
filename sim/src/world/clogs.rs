//! Messages that clogged links hold, and their release.

use std::collections::BTreeMap;
use std::time::Duration;

use hstore_core::Address;
use serde_json::json;

use super::{Next, World, number};
use crate::net::{Cause, HELD_MAX, Release};
use crate::trace::Kind;

/// What each clog holds, in the order in which it would have arrived.
pub(super) type Held = BTreeMap<Cause, Vec<Next>>;

impl World {
    /// A clog holds a message that would arrive now.
    pub(super) fn hold(&mut self, cause: Cause, to: Address, message: u64, next: Next) {
        let held = self.clogged.entry(cause).or_default();
        if held.len() < HELD_MAX {
            held.push(next);
        }
        self.counts.messages_held += 1;
        let now = self.now;
        self.trace.event(
            now,
            Kind::Deliver,
            [message, number(to), 2],
            &[],
            || json!({"message": message, "to": to.to_string(), "held by fault": cause.0}),
        );
    }

    /// A clog is over: what it held arrives, unless another clog holds it.
    pub(super) fn release(&mut self, cause: Cause, release: Release) {
        let mut held = self.clogged.remove(&cause).unwrap_or_default();
        let sent = |next: &Next| match next {
            Next::Deliver { message, .. } => *message,
            _ => unreachable!("clogs hold messages"),
        };
        let gap = match release {
            Release::Burst => Duration::ZERO,
            Release::Reversed => {
                held.sort_by_key(|next| std::cmp::Reverse(sent(next)));
                Duration::ZERO
            }
            Release::InOrder { gap_us } => {
                held.sort_by_key(sent);
                Duration::from_micros(gap_us)
            }
        };
        let mut at = self.now;
        for next in held {
            self.schedule(at, next);
            at = at + gap;
        }
    }
}
