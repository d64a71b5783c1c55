//! Where everything lies whose position is known, and when the stream must have got there.

use super::{Action, Batch, StreamOp};
use crate::history::OpId;

/// An append whose position is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Placed<'o> {
    pub(crate) id: OpId,
    pub(crate) invoked: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) batch: Batch<'o>,
}

/// A read or a check of the tail.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Observer {
    pub(crate) id: OpId,
    pub(crate) invoked: u64,
    pub(crate) tail: u64,
    pub(crate) hash: Option<u64>,
}

/// An append of unknown outcome.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loose<'o> {
    pub(crate) id: OpId,
    pub(crate) invoked: u64,
    pub(crate) batch: Batch<'o>,
}

/// All operations, in the order of the stream.
#[derive(Debug)]
pub(crate) struct Layout<'o> {
    /// By position; they do not overlap.
    pub(crate) placed: Vec<Placed<'o>>,
    /// By tail; those of one tail in the order of invocation.
    pub(crate) observers: Vec<Observer>,
    /// In the order of invocation.
    pub(crate) loose: Vec<Loose<'o>>,
    /// The highest position that is known to have been reached.
    pub(crate) end: u64,
    /// By falling position: from there down, the earliest return so far and whose it is.
    deadlines: Vec<Deadline>,
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    position: u64,
    at: u64,
    op: OpId,
}

/// Why operations cannot be laid out, whatever the appends of unknown outcome did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfit {
    /// The append cannot end at the tail that it was told: it has more records.
    TooLong { append: OpId },
    /// The append starts elsewhere than it demanded.
    NotAtMatch { append: OpId, start: u64 },
    /// Both own this position.
    Overlap { one: OpId, two: OpId, at: u64 },
    /// The observer's tail lies in the middle of the append.
    TailInside { observer: OpId, append: OpId },
    /// `late` comes after `early` in the stream, or ends where it begins, but had returned before `early`
    /// was invoked.
    TooLate { early: OpId, late: OpId },
}

impl<'o> Layout<'o> {
    /// Lays the operations out.
    pub(crate) fn of(ops: &[StreamOp<'o>]) -> Result<Self, Misfit> {
        let mut layout = Self {
            placed: Vec::new(),
            observers: Vec::new(),
            loose: Vec::new(),
            end: 0,
            deadlines: Vec::new(),
        };
        for op in ops {
            let (id, invoked) = (op.id, op.invoked);
            let position = match op.action {
                Action::Observe { tail, hash } => {
                    layout.observers.push(Observer {
                        id,
                        invoked,
                        tail,
                        hash,
                    });
                    tail
                }
                Action::Append { batch, tail: None } => {
                    layout.loose.push(Loose { id, invoked, batch });
                    continue;
                }
                Action::Append {
                    batch,
                    tail: Some(end),
                } => {
                    let start = end
                        .checked_sub(batch.records)
                        .ok_or(Misfit::TooLong { append: id })?;
                    if batch.match_tail.is_some_and(|demanded| demanded != start) {
                        return Err(Misfit::NotAtMatch { append: id, start });
                    }
                    layout.placed.push(Placed {
                        id,
                        invoked,
                        start,
                        end,
                        batch,
                    });
                    end
                }
            };
            layout.end = layout.end.max(position);
            layout.deadlines.push(Deadline {
                position,
                at: op.deadline,
                op: id,
            });
        }
        layout.placed.sort_by_key(|append| append.start);
        layout.observers.sort_by_key(|observer| observer.tail);
        layout.loose.sort_by_key(|append| append.invoked);
        layout.settle_deadlines();
        layout.check_places()?;
        layout.check_times()?;
        Ok(layout)
    }

    fn settle_deadlines(&mut self) {
        let deadlines = &mut self.deadlines;
        deadlines.sort_by_key(|deadline| (std::cmp::Reverse(deadline.position), deadline.at));
        // Only those count that come before all from higher up.
        let mut earliest = u64::MAX;
        deadlines.retain(|deadline| {
            let counts = deadline.at < earliest;
            earliest = earliest.min(deadline.at);
            counts
        });
    }

    /// The earliest return of what comes no earlier than the moment at which the stream reached
    /// `position`, and whose it is; `u64::MAX` if nothing does.
    pub(crate) fn deadline(&self, position: u64) -> (u64, Option<OpId>) {
        let lower = self
            .deadlines
            .partition_point(|deadline| deadline.position >= position);
        let last = self.deadlines[..lower].last();
        last.map_or((u64::MAX, None), |it| (it.at, Some(it.op)))
    }

    /// The appends that start and end between two positions.
    pub(crate) fn appends_between(&self, start: u64, end: u64) -> impl Iterator<Item = OpId> {
        let first = self.placed.partition_point(|append| append.start < start);
        let appends = self.placed[first..].iter();
        let appends = appends.take_while(move |append| append.end <= end);
        appends.map(|append| append.id)
    }

    /// The appends and observers of which it is known that they lie at or below `position`.
    pub(crate) fn known_below(&self, position: u64) -> Vec<OpId> {
        let observers = self.observers.iter();
        let observers = observers.take_while(|observer| observer.tail <= position);
        let appends = self.appends_between(0, position);
        appends
            .chain(observers.map(|observer| observer.id))
            .collect()
    }

    fn check_places(&self) -> Result<(), Misfit> {
        for pair in self.placed.windows(2) {
            if pair[0].end > pair[1].start {
                return Err(Misfit::Overlap {
                    one: pair[0].id,
                    two: pair[1].id,
                    at: pair[1].start,
                });
            }
        }
        let mut below = 0;
        for observer in &self.observers {
            while self
                .placed
                .get(below)
                .is_some_and(|append| append.end <= observer.tail)
            {
                below += 1;
            }
            if let Some(append) = self.placed.get(below)
                && append.start < observer.tail
            {
                return Err(Misfit::TailInside {
                    observer: observer.id,
                    append: append.id,
                });
            }
        }
        Ok(())
    }

    /// With holes filled by appends that were invoked at the beginning of time.
    fn check_times(&self) -> Result<(), Misfit> {
        let mut reached: Vec<u64> = self.placed.iter().map(|append| append.end).collect();
        reached.extend(self.observers.iter().map(|observer| observer.tail));
        reached.sort_unstable();
        reached.dedup();
        let mut latest: Option<(u64, OpId)> = None;
        let mut appends = self.placed.iter().peekable();
        let mut observers = self.observers.iter().peekable();
        for position in reached.into_iter().filter(|&position| position > 0) {
            while let Some(observer) = observers.next_if(|observer| observer.tail < position) {
                latest = latest.max(Some((observer.invoked, observer.id)));
            }
            while let Some(append) = appends.next_if(|append| append.end <= position) {
                latest = latest.max(Some((append.invoked, append.id)));
            }
            if let (Some((invoked, early)), (at, Some(late))) = (latest, self.deadline(position))
                && at < invoked
            {
                return Err(Misfit::TooLate { early, late });
            }
        }
        Ok(())
    }
}
