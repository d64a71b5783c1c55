//! A brute-force judge of small histories of one log: tries every order in which the operations can
//! have taken effect, and every LSN that an unknown append can have got.
//!
//! It shares no code with the checkers, not even what a read says: it looks at each position of a
//! small domain by itself. It judges whole histories, and certificates, which only talk about some
//! positions.

use std::collections::BTreeSet;

use hstore_core::Lsn;
use jepsen_lite::anomaly::{Anomaly, Asked, Fact};
use jepsen_lite::history::{Answer, Call, Gap, History, RecordId, Status};

/// An operation that matters.
struct Op {
    invoked: u64,
    /// Only for what was answered.
    returned: Option<u64>,
    action: Action,
}

enum Action {
    /// `None` for an LSN that nobody told.
    Append(RecordId, Option<Lsn>),
    Tail(Lsn),
    Read(Read),
}

struct Read {
    from: Lsn,
    records: Vec<(Lsn, RecordId)>,
    gaps: Vec<Gap>,
    /// Above the last position of which it speaks.
    end: Lsn,
    /// The tail, and whether it was reached.
    tail: Lsn,
    reached_tail: bool,
}

/// All positions of a few epochs of a few records, and the last ones of each epoch.
pub(crate) fn domain() -> Vec<Lsn> {
    let epochs = 1..=4;
    epochs
        .flat_map(|epoch| {
            let offsets = (1..=9).chain([u32::MAX - 1, u32::MAX]);
            offsets.map(move |offset| Lsn::new(epoch, offset))
        })
        .collect()
}

/// Whether some order explains the history, whose LSNs must lie in [`domain`].
pub(crate) fn is_legal(history: &History) -> bool {
    let domain = domain();
    let ops = history
        .ops()
        .filter_map(|op| {
            let action = match (op.call(), op.answer()) {
                (Call::Append { record, .. }, None) if op.status() != Status::Fail => {
                    Action::Append(record, None)
                }
                (Call::Append { record, .. }, Some(Answer::Append { lsn })) => {
                    Action::Append(record, Some(lsn))
                }
                (Call::Tail, Some(Answer::Tail { tail })) => Action::Tail(tail),
                (Call::Read { from, limit, .. }, Some(Answer::Read(read))) => {
                    let records = read.records.to_vec();
                    let gaps = read.gaps.to_vec();
                    let tops = records.iter().map(|(lsn, _)| *lsn);
                    let top = tops.chain(gaps.iter().map(|gap| gap.last)).max();
                    let above = |lsn: Lsn| top.is_none_or(|top| lsn > top);
                    let speaks_below_tail = !domain
                        .iter()
                        .any(|&lsn| from <= lsn && above(lsn) && lsn < read.tail);
                    let reached_tail = records.len() < limit as usize || speaks_below_tail;
                    let end = match top {
                        _ if reached_tail => read.tail,
                        None => from,
                        Some(top) => Lsn::from_u64(top.as_u64() + 1),
                    };
                    Action::Read(Read {
                        from,
                        records,
                        gaps,
                        end,
                        tail: read.tail,
                        reached_tail,
                    })
                }
                _ => return None,
            };
            Some(Op {
                invoked: op.invoked().index.0,
                returned: op
                    .answer()
                    .map(|_| op.completed().expect("it returned").index.0),
                action,
            })
        })
        .collect();
    Search::new(ops, domain).run()
}

/// Whether some order explains the certificate of an anomaly, taken for itself.
pub(crate) fn certificate_is_legal(anomaly: &Anomaly) -> bool {
    let ops = anomaly
        .certificate
        .iter()
        .filter_map(|op| {
            let Asked::Log(call) = op.call else {
                return None;
            };
            let action = match (call, &op.fact) {
                (Call::Append { record, .. }, None) if op.status != Status::Fail => {
                    Action::Append(record, None)
                }
                (Call::Append { record, .. }, Some(Fact::Appended { lsn })) => {
                    Action::Append(record, Some(*lsn))
                }
                (Call::Tail, Some(Fact::Tail { tail })) => Action::Tail(*tail),
                (
                    Call::Read { from, .. },
                    Some(Fact::Read {
                        records,
                        gaps,
                        end,
                        reached_tail,
                        tail,
                        left_out: _,
                    }),
                ) => Action::Read(Read {
                    from,
                    records: records.clone(),
                    gaps: gaps.clone(),
                    end: *end,
                    tail: *tail,
                    reached_tail: *reached_tail,
                }),
                _ => return None,
            };
            Some(Op {
                invoked: op.invoked.index.0,
                returned: op
                    .fact
                    .as_ref()
                    .map(|_| op.completed.expect("it returned").index.0),
                action,
            })
        })
        .collect();
    Search::new(ops, anomaly.positions.clone()).run()
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    done: u64,
    records: Vec<(Lsn, RecordId)>,
    floor: Lsn,
}

struct Search {
    ops: Vec<Op>,
    domain: Vec<Lsn>,
    /// Where a record of unknown LSN can be: above all that anybody mentions, one place is like
    /// another.
    choices: Vec<Lsn>,
    seen: BTreeSet<State>,
}

impl Search {
    fn new(ops: Vec<Op>, domain: Vec<Lsn>) -> Self {
        assert!(ops.len() <= 64, "small histories only");
        let mentioned = ops.iter().filter_map(|op| match &op.action {
            Action::Append(_, lsn) => *lsn,
            Action::Tail(tail) => Some(*tail),
            Action::Read(read) => {
                let records = read.records.iter().map(|(lsn, _)| *lsn);
                let gaps = read.gaps.iter().map(|gap| gap.last);
                records.chain(gaps).chain([read.tail, read.end]).max()
            }
        });
        let highest = mentioned.max().unwrap_or(Lsn::MIN);
        let above = domain.partition_point(|&lsn| lsn <= highest);
        let choices = domain[..domain.len().min(above + 1)].to_vec();
        Self {
            ops,
            domain,
            choices,
            seen: BTreeSet::new(),
        }
    }

    fn run(mut self) -> bool {
        self.explains(State {
            done: 0,
            records: Vec::new(),
            floor: Lsn::MIN,
        })
    }

    fn explains(&mut self, state: State) -> bool {
        let open = |index: &usize| state.done & (1 << index) == 0;
        let open: Vec<usize> = (0..self.ops.len()).filter(open).collect();
        let first_return = open.iter().filter_map(|&i| self.ops[i].returned).min();
        let Some(first_return) = first_return else {
            return true;
        };
        if !self.seen.insert(state.clone()) {
            return false;
        }
        for index in open {
            if self.ops[index].invoked > first_return {
                continue;
            }
            for next in self.step(&state, index) {
                if self.explains(next) {
                    return true;
                }
            }
        }
        false
    }

    /// All states in which the operation can leave the log.
    fn step(&self, state: &State, index: usize) -> Vec<State> {
        let mut next = state.clone();
        next.done |= 1 << index;
        let last = state.records.last().map_or(Lsn::MIN, |(lsn, _)| *lsn);
        match &self.ops[index].action {
            Action::Append(record, lsn) => {
                let choices = match lsn {
                    Some(lsn) => vec![*lsn],
                    None => self.choices.clone(),
                };
                let legal = choices
                    .into_iter()
                    .filter(|&lsn| lsn > last && lsn >= state.floor);
                legal
                    .map(|lsn| {
                        let mut next = next.clone();
                        next.records.push((lsn, *record));
                        next
                    })
                    .collect()
            }
            Action::Tail(tail) => {
                if last >= *tail {
                    return Vec::new();
                }
                next.floor = next.floor.max(*tail);
                vec![next]
            }
            Action::Read(read) => {
                if !self.read_is_legal(&state.records, read) {
                    return Vec::new();
                }
                // One that reached its tail settled nothing above, even if it asked for more.
                if !read.reached_tail && read.end > read.from {
                    next.floor = next.floor.max(read.end);
                }
                if read.reached_tail {
                    next.floor = next.floor.max(read.tail);
                }
                vec![next]
            }
        }
    }

    fn read_is_legal(&self, there: &[(Lsn, RecordId)], read: &Read) -> bool {
        if read.reached_tail && there.last().is_some_and(|(lsn, _)| *lsn >= read.tail) {
            return false;
        }
        // Delivered in order.
        if !read.records.is_sorted_by(|a, b| a.0 < b.0) {
            return false;
        }
        self.domain.iter().all(|&lsn| {
            let there = there.iter().find(|(at, _)| *at == lsn);
            let shown = read.records.iter().find(|(at, _)| *at == lsn);
            let gaps = read.gaps.iter();
            let gaps = gaps
                .filter(|gap| gap.first <= lsn && lsn <= gap.last)
                .count();
            if read.from <= lsn && lsn < read.end {
                there == shown && gaps + usize::from(shown.is_some()) == 1
            } else {
                shown.is_none() && gaps == 0
            }
        })
    }
}
