//! The order of the events of a history, in which it can be written down and read back.

use std::collections::BTreeMap;

use super::op::{EventIndex, Intervals, OpId, ProcessId};

/// An operation, and whether the event is its invocation (or else its completion).
pub(crate) type EventOf = (OpId, bool);

/// The order of all events: by index; and of those that share one, so that each process still does one
/// thing after the other, and so that operations that touch are concurrent or ordered, as `intervals`
/// has it, to somebody who knows nothing but this order. (The latter is not always possible in closed
/// intervals: of two processes that both end an operation and begin another at one index, no order says
/// that each's next is concurrent with the other's last. Then they are ordered here.)
///
/// `ops` come in the order of their invocation, with the indexes of both events.
pub(crate) fn event_order(
    intervals: Intervals,
    ops: impl Iterator<Item = (ProcessId, EventIndex, Option<EventIndex>)>,
) -> Vec<EventOf> {
    // What ends an operation from before has rank 1 among the events of its index. Whatever begins one
    // comes before that, or after; and what a process does then has higher and higher ranks.
    let first_rank = match intervals {
        Intervals::Closed => 0,
        Intervals::Open => 2,
    };
    let mut last: BTreeMap<ProcessId, (EventIndex, u32)> = BTreeMap::new();
    let mut events = Vec::new();
    for (op, (process, invoked, completed)) in (0..).map(OpId).zip(ops) {
        let rank = match last.get(&process) {
            Some(&(ended, rank)) if ended == invoked => rank + 1,
            _ => first_rank,
        };
        events.push((invoked, rank, op, true));
        if let Some(completed) = completed {
            let rank = if completed == invoked { rank + 1 } else { 1 };
            events.push((completed, rank, op, false));
            last.insert(process, (completed, rank));
        }
    }
    events.sort_unstable();
    events
        .into_iter()
        .map(|(_, _, op, is_invocation)| (op, is_invocation))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `1+` is an invocation by process 1, `1-` a completion.
    fn order(intervals: Intervals, ops: &[(u32, u64, u64)]) -> String {
        let events = event_order(
            intervals,
            ops.iter().map(|&(process, invoked, completed)| {
                let completed = (completed != u64::MAX).then_some(EventIndex(completed));
                (ProcessId(process), EventIndex(invoked), completed)
            }),
        );
        let events = events.into_iter().map(|(op, is_invocation)| {
            let sign = if is_invocation { '+' } else { '-' };
            format!("{}{sign}", ops[op.0 as usize].0)
        });
        events.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn touching_operations_overlap_in_closed_intervals_and_follow_each_other_in_open_ones() {
        let touching = [(1, 0, 5), (2, 5, 7)];
        assert_eq!(order(Intervals::Closed, &touching), "1+ 2+ 1- 2-");
        assert_eq!(order(Intervals::Open, &touching), "1+ 1- 2+ 2-");
    }

    #[test]
    fn a_process_does_one_thing_after_the_other() {
        let chain = [(1, 0, 5), (1, 5, 5), (2, 5, 6), (1, 5, u64::MAX)];
        assert_eq!(order(Intervals::Closed, &chain), "1+ 2+ 1- 1+ 1- 1+ 2-");
        let chain = [(1, 0, 5), (1, 5, 6)];
        assert_eq!(order(Intervals::Open, &chain), "1+ 1- 1+ 1-");
    }
}
