//! A brute-force judge of small histories of one log: tries every order in which the operations can
//! have taken effect, and every LSN that an unknown append can have got.
//!
//! It shares no code with the checkers, not even what a read says: it looks at each position of a
//! small domain by itself. It judges whole histories, and certificates, which only talk about some
//! positions. Of what an append in a certificate demands, or was told, it believes only what the chain
//! refers to: what else it says is about positions that are left out.

use std::collections::BTreeSet;

use hstore_core::{Epoch, Lsn};
use jepsen_lite::anomaly::{Anomaly, Asked, Fact, Reason};
use jepsen_lite::history::{
    Answer, Call, EventIndex, Gap, GapKind, History, Intervals, Mismatch, ReadOutcome, RecordId,
    Source, Status, Terms, Token,
};

/// An operation that matters.
struct Op {
    invoked: EventIndex,
    /// Only for what was answered.
    returned: Option<EventIndex>,
    action: Action,
}

enum Action {
    /// `None` for an LSN that nobody told.
    Append(RecordId, Terms, Option<Lsn>),
    Mismatch(Terms, Mismatch),
    Tail(Lsn),
    Seal(Epoch, Lsn),
    Read(Read),
    /// From here on, all is said to be given up.
    Trimmed(Lsn),
    Trim,
}

struct Read {
    from: Lsn,
    records: Vec<(Lsn, RecordId)>,
    gaps: Vec<Gap>,
    /// Above the last position of which it speaks.
    end: Lsn,
    /// The tail, if it took one and reached it.
    tail: Option<Lsn>,
}

/// All positions of a few epochs of a few records, and the last ones of each epoch.
pub(crate) fn domain() -> Vec<Lsn> {
    let epochs = 1..=4;
    epochs
        .flat_map(|epoch| {
            let offsets = (1..=12).chain([u32::MAX - 1, u32::MAX]);
            offsets.map(move |offset| Lsn::new(epoch, offset))
        })
        .collect()
}

/// What a read says, `limit` being the most records that it asked for.
fn what_it_says(domain: &[Lsn], call: Call, read: ReadOutcome) -> Read {
    let (from, limit, takes_tail) = match call {
        Call::Read {
            from,
            limit,
            source,
            ..
        } => (from, limit, source == Source::Log),
        Call::Poll { from, limit, .. } => (from, limit, false),
        other => panic!("{other} is no read"),
    };
    let ReadOutcome {
        records,
        gaps,
        tail,
    } = read;
    let tops = records.iter().map(|(lsn, _)| *lsn);
    let top = tops.chain(gaps.iter().map(|gap| gap.last)).max();
    let above = |lsn: Lsn| top.is_none_or(|top| lsn > top);
    let speaks_below_tail = !domain
        .iter()
        .any(|&lsn| from <= lsn && above(lsn) && lsn < tail);
    let reached_tail = takes_tail && (records.len() < limit as usize || speaks_below_tail);
    let end = match top {
        _ if reached_tail => tail,
        None => from,
        Some(top) => Lsn::from_u64(top.as_u64() + 1).max(from),
    };
    Read {
        from,
        records,
        gaps,
        end,
        tail: reached_tail.then_some(tail),
    }
}

/// Whether some order explains the history, whose LSNs must lie in [`domain`].
pub(crate) fn is_legal(history: &History) -> bool {
    let domain = domain();
    let mut trims = Vec::new();
    let mut ops = Vec::new();
    for op in history.ops() {
        let invoked = op.invoked().index;
        if let Call::Trim { upto } = op.call()
            && op.status() != Status::Fail
        {
            trims.push((upto, invoked));
        }
        let action = match (op.call(), op.answer()) {
            (Call::Append { record, terms }, None) if op.status() != Status::Fail => {
                Action::Append(record, terms, None)
            }
            (Call::Append { record, terms }, Some(Answer::Append { lsn })) => {
                Action::Append(record, terms, Some(lsn))
            }
            (Call::Append { terms, .. }, Some(Answer::Mismatch(told))) => {
                Action::Mismatch(terms, told)
            }
            (Call::Tail, Some(Answer::Tail { tail })) => Action::Tail(tail),
            (Call::Seal { epoch }, Some(Answer::Seal { tail })) => Action::Seal(epoch, tail),
            (Call::Trim { .. }, Some(Answer::Trim)) => Action::Trim,
            (Call::Read { from, .. } | Call::Poll { from, .. }, Some(Answer::Trimmed { .. })) => {
                Action::Trimmed(from)
            }
            (call, Some(Answer::Read(read) | Answer::Poll(read))) => {
                Action::Read(what_it_says(&domain, call, read.to_outcome()))
            }
            _ => continue,
        };
        let returned = op.answer().map(|_| op.completed().expect("it returned"));
        ops.push(Op {
            invoked,
            returned: returned.map(|at| at.index),
            action,
        });
    }
    Search::new(ops, trims, domain, history.intervals(), None).run()
}

/// Whether some order explains the certificate of an anomaly of a history with such intervals, taken for
/// itself.
pub(crate) fn certificate_is_legal(anomaly: &Anomaly, intervals: Intervals) -> bool {
    let mut trims = Vec::new();
    let mut ops = Vec::new();
    for op in &anomaly.certificate {
        let Asked::Log(call) = op.call else { continue };
        let invoked = op.invoked.index;
        if let Call::Trim { upto } = call
            && op.status != Status::Fail
        {
            trims.push((upto, invoked));
        }
        let is_told = anomaly
            .chain
            .iter()
            .any(|link| link.reason == Reason::Told { by: op.op });
        let believed = |terms: Terms| match is_told {
            true => terms,
            false => Terms {
                last: None,
                token: None,
                ..terms
            },
        };
        let action = match (call, &op.fact) {
            (Call::Append { record, terms }, None) if op.status != Status::Fail => {
                Action::Append(record, believed(terms), None)
            }
            (Call::Append { record, terms }, Some(Fact::Appended { lsn })) => {
                Action::Append(record, believed(terms), Some(*lsn))
            }
            (Call::Append { terms, .. }, Some(Fact::Mismatched { told })) if is_told => {
                Action::Mismatch(terms, *told)
            }
            // That it was told of a last record is always believed.
            (Call::Append { .. }, Some(Fact::Mismatched { told })) => {
                let impossible = Terms {
                    last: Some(Lsn::MAX),
                    ..Terms::NONE
                };
                let token = None;
                Action::Mismatch(impossible, Mismatch { token, ..*told })
            }
            (Call::Tail, Some(Fact::Tail { tail })) => Action::Tail(*tail),
            (Call::Seal { epoch }, Some(Fact::Tail { tail })) => Action::Seal(epoch, *tail),
            (Call::Trim { .. }, Some(Fact::Done)) => Action::Trim,
            (Call::Read { from, .. } | Call::Poll { from, .. }, Some(Fact::Trimmed { .. })) => {
                Action::Trimmed(from)
            }
            (
                Call::Read { from, .. } | Call::Poll { from, .. },
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
                tail: reached_tail.then_some(*tail),
            }),
            _ => continue,
        };
        let returned = op
            .fact
            .as_ref()
            .map(|_| op.completed.expect("it returned").index);
        ops.push(Op {
            invoked,
            returned,
            action,
        });
    }
    let positions = anomaly.positions.clone();
    let spoken_of = Some(positions.clone());
    Search::new(ops, trims, positions, intervals, spoken_of).run()
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct State {
    done: u64,
    records: Vec<(Lsn, RecordId)>,
    floor: Lsn,
    token: Option<Token>,
    epoch: Epoch,
}

struct Search {
    ops: Vec<Op>,
    /// What trims gave up, and when they were invoked.
    trims: Vec<(Lsn, EventIndex)>,
    domain: Vec<Lsn>,
    intervals: Intervals,
    /// The only positions that anything is known of, if there are others.
    spoken_of: Option<Vec<Lsn>>,
    /// Where a record of unknown LSN can be: above all that anybody mentions, one place is like
    /// another.
    choices: Vec<Lsn>,
    seen: BTreeSet<State>,
}

impl Search {
    fn new(
        ops: Vec<Op>,
        trims: Vec<(Lsn, EventIndex)>,
        domain: Vec<Lsn>,
        intervals: Intervals,
        spoken_of: Option<Vec<Lsn>>,
    ) -> Self {
        assert!(ops.len() <= 64, "small histories only");
        let mentioned = ops.iter().filter_map(|op| match &op.action {
            Action::Append(_, terms, lsn) => (*lsn).max(terms.last),
            Action::Mismatch(terms, told) => terms.last.max(told.last),
            Action::Tail(tail) => Some(*tail),
            Action::Seal(epoch, tail) => Some(Lsn::before(*epoch).max(*tail)),
            Action::Read(read) => {
                let records = read.records.iter().map(|(lsn, _)| *lsn);
                let gaps = read.gaps.iter().map(|gap| gap.last);
                let ends = read.tail.into_iter().chain([read.end]);
                records.chain(gaps).chain(ends).max()
            }
            Action::Trimmed(_) | Action::Trim => None,
        });
        let highest = mentioned.max().unwrap_or(Lsn::MIN);
        let above = domain.partition_point(|&lsn| lsn <= highest);
        let unknown = ops
            .iter()
            .filter(|op| matches!(op.action, Action::Append(_, _, None)))
            .count();
        let choices = domain[..domain.len().min(above + unknown)].to_vec();
        Self {
            ops,
            trims,
            domain,
            intervals,
            spoken_of,
            choices,
            seen: BTreeSet::new(),
        }
    }

    /// Whether what returned at `returned` is over before what was invoked at `invoked`.
    fn precedes(&self, returned: EventIndex, invoked: EventIndex) -> bool {
        match self.intervals {
            Intervals::Closed => returned < invoked,
            Intervals::Open => returned <= invoked,
        }
    }

    fn run(mut self) -> bool {
        self.explains(State {
            done: 0,
            records: Vec::new(),
            floor: Lsn::MIN,
            token: None,
            epoch: Epoch(0),
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
            if self.precedes(first_return, self.ops[index].invoked) {
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

    /// Whether the last record can be `last`, as far as is known.
    fn is_last(&self, state: &State, last: Lsn) -> bool {
        let there = state.records.last().map_or(Lsn::MIN, |(lsn, _)| *lsn);
        match &self.spoken_of {
            Some(positions) if last != Lsn::MIN && !positions.contains(&last) => there <= last,
            _ => there == last,
        }
    }

    /// Whether the last record is certainly `last`.
    fn is_certainly_last(&self, state: &State, last: Lsn) -> bool {
        state.records.last().map_or(Lsn::MIN, |(lsn, _)| *lsn) == last
    }

    fn returned(&self, index: usize) -> EventIndex {
        self.ops[index].returned.expect("it was answered")
    }

    /// Whether a trim gave up a position, before an operation returned.
    fn is_given_up(&self, lsn: Lsn, index: usize) -> bool {
        let returned = self.returned(index);
        let mut trims = self.trims.iter();
        trims.any(|&(upto, invoked)| lsn <= upto && !self.precedes(returned, invoked))
    }

    /// All states in which the operation can leave the log.
    fn step(&self, state: &State, index: usize) -> Vec<State> {
        let mut next = state.clone();
        next.done |= 1 << index;
        let last = state.records.last().map_or(Lsn::MIN, |(lsn, _)| *lsn);
        let is_legal = match &self.ops[index].action {
            Action::Append(record, terms, lsn) => {
                let choices = match lsn {
                    Some(lsn) => vec![*lsn],
                    None => self.choices.clone(),
                };
                if terms.last.is_some_and(|last| !self.is_last(state, last))
                    || (terms.token.is_some() && terms.token != state.token)
                {
                    return Vec::new();
                }
                if terms.sets.is_some() {
                    next.token = terms.sets;
                }
                let legal = choices
                    .into_iter()
                    .filter(|&lsn| lsn > last && lsn >= state.floor && lsn.epoch >= state.epoch);
                return legal
                    .map(|lsn| {
                        let mut next = next.clone();
                        next.records.push((lsn, *record));
                        next
                    })
                    .collect();
            }
            Action::Mismatch(terms, told) => {
                let holds = terms
                    .last
                    .is_none_or(|last| self.is_certainly_last(state, last))
                    && (terms.token.is_none() || terms.token == state.token);
                if let Some(told) = told.last {
                    // No record will be put below: it was told of the highest one.
                    next.floor = next.floor.max(told);
                }
                !holds
                    && told.last.is_none_or(|told| self.is_last(state, told))
                    && told.token.is_none_or(|told| told == state.token)
            }
            Action::Tail(tail) => {
                next.floor = next.floor.max(*tail);
                last < *tail
            }
            Action::Seal(epoch, tail) => {
                next.floor = next.floor.max(*tail);
                next.epoch = next.epoch.max(*epoch);
                last < *tail
            }
            Action::Read(read) => {
                // One that reached its tail settled nothing above, even if it asked for more.
                if read.tail.is_none() && read.end > read.from {
                    next.floor = next.floor.max(read.end);
                }
                if let Some(tail) = read.tail {
                    next.floor = next.floor.max(tail);
                }
                self.read_is_legal(&state.records, read, index)
            }
            Action::Trimmed(from) => self.is_given_up(*from.max(&Lsn::FIRST), index),
            Action::Trim => true,
        };
        if is_legal { vec![next] } else { Vec::new() }
    }

    fn read_is_legal(&self, there: &[(Lsn, RecordId)], read: &Read, index: usize) -> bool {
        if let (Some(tail), Some((last, _))) = (read.tail, there.last())
            && *last >= tail
        {
            return false;
        }
        // Delivered in order.
        if !read.records.is_sorted_by(|a, b| a.0 < b.0) {
            return false;
        }
        let mut trims = read.gaps.iter().filter(|gap| gap.kind == GapKind::Trim);
        if !trims.all(|gap| self.is_given_up(gap.last, index)) {
            return false;
        }
        self.domain.iter().all(|&lsn| {
            let there = there.iter().find(|(at, _)| *at == lsn);
            let shown = read.records.iter().find(|(at, _)| *at == lsn);
            let gaps = read.gaps.iter();
            let gaps: Vec<_> = gaps
                .filter(|gap| gap.first <= lsn && lsn <= gap.last)
                .collect();
            if read.from <= lsn && lsn < read.end {
                let is_given_up = gaps.iter().any(|gap| gap.kind == GapKind::Trim);
                (there == shown || is_given_up) && gaps.len() + usize::from(shown.is_some()) == 1
            } else {
                shown.is_none() && gaps.is_empty()
            }
        })
    }
}
