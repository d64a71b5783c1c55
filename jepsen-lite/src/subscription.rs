//! Subscriptions: each delivers its log in order, leaves nothing out, and makes nothing up.
//!
//! A subscription polls, and goes on where its last poll ended. It may start anew, as its next
//! *incarnation*, and then go back to what it had not acknowledged. For each subscription:
//!
//! - Within an incarnation, deliveries rise strictly. What was delivered comes twice: `Duplicate`; something
//!   else from below comes: `NonmonotonicPoll`.
//! - Within an incarnation, each poll continues where the one before ended, and shows of each position that
//!   it passes a record or a gap. A new incarnation begins at or below the end of those before it. Else
//!   positions are passed over: `PollSkip`.
//! - No gap, and no other record, stands in for a record that was acknowledged, or that a read or another
//!   poll showed there if nobody says otherwise: `PollSkip`.
//! - From where it first began to where it came at last, every acknowledged record was delivered at least
//!   once, in one incarnation or another: else `Unseen`.
//! - What is delivered was appended, and its append did not fail: else `DirtyRead`.
//!
//! Positions are excused that a trim gave up which was invoked before the poll returned. A poll that was
//! told that its start is trimmed passes all up to the trim. Polls that show nothing say nothing, and those
//! of unknown outcome deliver nothing. An incarnation polls once at a time: where two of its polls overlap,
//! its order cannot be judged, and the verdict is unknown at best.

use std::collections::BTreeMap;

use hstore_core::Lsn;

use crate::anomaly::{
    Anomaly, AnomalyKind, Link, Reason, Seen, Witnesses, Words, by_observation, by_position,
};
use crate::facts::{LogFacts, Owner, failed};
use crate::history::{
    Answer, Call, GapKind, History, OpId, OpKind, ReadAnswer, RecordId, after, position,
};
use crate::shown::{Piece, end_of_shown, pieces};
use crate::verdict::{Findings, UnknownCause, Verdict};

/// A poll of a subscription that showed something.
#[derive(Clone, Copy)]
struct Poll<'h> {
    incarnation: u32,
    op: OpId,
    begins: u64,
    deadline: u64,
    /// The first position that it asked for.
    start: u64,
    /// Above all that it passed.
    end: u64,
    /// `None` if it was told that its start is trimmed.
    read: Option<ReadAnswer<'h>>,
}

/// A record as it was delivered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Delivery {
    lsn: u64,
    record: RecordId,
    poll: OpId,
}

/// What an incarnation delivered.
#[derive(Default)]
struct Delivered {
    /// Rises strictly.
    rising: Vec<Delivery>,
    /// What came from below.
    others: BTreeMap<(u64, RecordId), OpId>,
}

impl Delivered {
    /// The first delivery of a record at an LSN.
    fn first(&self, lsn: u64, record: RecordId) -> Option<Delivery> {
        let at = self.rising.partition_point(|known| known.lsn < lsn);
        let known = self.rising.get(at).copied();
        let known = known.filter(|known| (known.lsn, known.record) == (lsn, record));
        let other = || self.others.get(&(lsn, record));
        known.or_else(|| other().map(|&poll| Delivery { lsn, record, poll }))
    }
}

/// Judges one log, whose operations are `ops`.
pub(crate) fn check(facts: &LogFacts<'_>, ops: &[OpId]) -> Verdict {
    let mut judge = Judge {
        facts,
        findings: Findings::default(),
        unknown: None,
        strays: Vec::new(),
        pieces: Vec::new(),
    };
    for mut polls in gather(facts.history, ops).into_values() {
        polls.sort_by_key(|poll| poll.incarnation);
        judge.subscription(&polls);
    }
    judge.phantoms(ops);
    let unknown = judge.unknown;
    judge
        .findings
        .verdict_or(|| unknown.map_or(Verdict::Valid(()), Verdict::Unknown))
}

/// The polls by subscription, in the order of their invocation.
fn gather<'h>(history: &'h History, ops: &[OpId]) -> BTreeMap<u32, Vec<Poll<'h>>> {
    let mut polls: BTreeMap<u32, Vec<Poll<'h>>> = BTreeMap::new();
    let ops = ops.iter().map(|&id| history.op(id));
    for op in ops.filter(|op| op.kind() == OpKind::Poll) {
        let Call::Poll {
            from,
            subscription: Some(subscription),
            ..
        } = op.call()
        else {
            continue;
        };
        let start = position(from);
        let (read, end) = match op.answer() {
            Some(Answer::Poll(read)) => (Some(read), end_of_shown(&read)),
            Some(Answer::Trimmed { upto }) => (None, after(upto.as_u64())),
            _ => continue,
        };
        if end <= start {
            continue;
        }
        polls.entry(subscription.id).or_default().push(Poll {
            incarnation: subscription.incarnation,
            op: op.id(),
            begins: op.begins(),
            deadline: op.deadline(),
            start,
            end,
            read,
        });
    }
    polls
}

struct Judge<'f, 'h> {
    facts: &'f LogFacts<'h>,
    findings: Findings,
    unknown: Option<UnknownCause>,
    /// Delivered records that nobody acknowledged at their LSN.
    strays: Vec<Delivery>,
    /// Scratch space.
    pieces: Vec<Piece>,
}

/// Up to where something came, and by which poll.
#[derive(Clone, Copy)]
struct Reached {
    end: u64,
    by: OpId,
}

impl Judge<'_, '_> {
    /// Judges one subscription by its polls, by incarnation and then by time.
    fn subscription(&mut self, polls: &[Poll<'_>]) {
        let mut delivered: Vec<(u64, RecordId)> = Vec::new();
        let mut highest: Option<Reached> = None;
        for incarnation in polls.chunk_by(|one, two| one.incarnation == two.incarnation) {
            let overlap = incarnation
                .windows(2)
                .find(|pair| pair[1].begins < pair[0].deadline);
            match overlap {
                None => self.incarnation(incarnation, highest),
                Some(pair) => {
                    self.unknown = self.unknown.or(Some(UnknownCause::ConcurrentPolls {
                        first: pair[0].op,
                        second: pair[1].op,
                    }));
                }
            }
            for poll in incarnation {
                let records = poll.read.iter().flat_map(|read| read.records);
                delivered.extend(records.map(|&(lsn, record)| (lsn.as_u64(), record)));
                self.note_strays(poll);
                if highest.is_none_or(|highest| highest.end < poll.end) {
                    highest = Some(Reached {
                        end: poll.end,
                        by: poll.op,
                    });
                }
            }
        }
        if let (Some(first), Some(highest)) = (polls.first(), highest) {
            delivered.sort_unstable();
            self.unseen(first.start, highest, &delivered);
        }
    }

    /// Judges one incarnation. Those before it came to `earlier`.
    fn incarnation(&mut self, polls: &[Poll<'_>], earlier: Option<Reached>) {
        let mut own: Option<Reached> = None;
        let mut delivered = Delivered::default();
        for poll in polls {
            if let Some(due) = own.or(earlier)
                && poll.start > due.end
            {
                self.skip(due.by, poll, due.end, poll.start);
            }
            if let Some(read) = &poll.read {
                self.deliveries(poll, read, own, &mut delivered);
                self.gapless(poll, read);
                self.passed_over(poll, read);
            }
            if own.is_none_or(|own| own.end < poll.end) {
                own = Some(Reached {
                    end: poll.end,
                    by: poll.op,
                });
            }
        }
    }

    /// Looks for records that come twice, or below what was passed in this incarnation.
    fn deliveries(
        &mut self,
        poll: &Poll<'_>,
        read: &ReadAnswer<'_>,
        own: Option<Reached>,
        delivered: &mut Delivered,
    ) {
        let mut due = own.unwrap_or(Reached {
            end: 0,
            by: poll.op,
        });
        for &(lsn, record) in read.records {
            let lsn = lsn.as_u64();
            let delivery = Delivery {
                lsn,
                record,
                poll: poll.op,
            };
            if lsn >= due.end {
                delivered.rising.push(delivery);
                due = Reached {
                    end: after(lsn),
                    by: poll.op,
                };
                continue;
            }
            match delivered.first(lsn, record) {
                Some(first) => self.add(AnomalyKind::Duplicate, |witnesses| {
                    twice(witnesses, first, delivery)
                }),
                None => {
                    delivered.others.insert((lsn, record), poll.op);
                    self.add(AnomalyKind::NonmonotonicPoll, |witnesses| {
                        from_below(witnesses, due, delivery)
                    });
                }
            }
        }
    }

    /// Looks for positions that a poll passes without a word.
    fn gapless(&mut self, poll: &Poll<'_>, read: &ReadAnswer<'_>) {
        let mut shown = std::mem::take(&mut self.pieces);
        pieces(read, &mut shown);
        let mut due = poll.start;
        for piece in &shown {
            if piece.first > due {
                self.skip(poll.op, poll, due, piece.first);
            }
            due = due.max(piece.end);
        }
        self.pieces = shown;
    }

    /// `poll` goes on at `next`, though `first` is due after what `before` passed.
    fn skip(&mut self, before: OpId, poll: &Poll<'_>, first: u64, next: u64) {
        let facts = self.facts;
        let first = first.max(after(facts.trims.given_up(poll.deadline)));
        if first >= next {
            return;
        }
        let at = facts.owners.partition_point(|owner| owner.lsn < first);
        let mut passed = facts.owners[at..]
            .iter()
            .take_while(|owner| owner.lsn < next);
        let lost = passed.find(|owner| facts.acked_here(owner)).copied();
        self.add(AnomalyKind::PollSkip, |witnesses| {
            skipped(witnesses, before, poll.op, first, next, lost)
        });
    }

    /// Looks for records that are known, but in the place of which the poll shows something else.
    fn passed_over(&mut self, poll: &Poll<'_>, read: &ReadAnswer<'_>) {
        let facts = self.facts;
        let shown = std::mem::take(&mut self.pieces);
        let owners = &facts.owners;
        let from = owners.partition_point(|owner| owner.lsn < poll.start);
        let mut at = 0;
        for (index, owner) in owners.iter().enumerate().skip(from) {
            if owner.lsn >= poll.end {
                break;
            }
            // All that begins at or below the owner; the last of it is what shows there.
            while shown
                .get(at + 1)
                .is_some_and(|piece| piece.first <= owner.lsn)
            {
                at += 1;
            }
            let Some(piece) = shown
                .get(at)
                .filter(|piece| (piece.first..piece.end).contains(&owner.lsn))
            else {
                continue;
            };
            let same = Seen::Record {
                record: owner.record,
            };
            let is_trim = piece.seen
                == Seen::Gap {
                    kind: GapKind::Trim,
                };
            if piece.seen == same || is_trim || owner.lsn <= facts.trims.given_up(poll.deadline) {
                continue;
            }
            // Where an answer shows several things at one position, it delivered each.
            let records = read.records.iter();
            if records
                .clone()
                .any(|&(lsn, record)| (lsn.as_u64(), record) == (owner.lsn, owner.record))
            {
                continue;
            }
            let alone = |other: Option<&Owner>| other.is_none_or(|other| other.lsn != owner.lsn);
            let is_disputed = !alone(owners.get(index + 1))
                || !alone(index.checked_sub(1).map(|before| &owners[before]));
            let mut append = owner.append.get().into_iter();
            let is_possible = append.any(|append| !failed(facts.history, append));
            if !facts.acked_here(owner) && (is_disputed || !is_possible) {
                continue;
            }
            let seen = piece.seen;
            self.add(AnomalyKind::PollSkip, |witnesses| {
                replaced(witnesses, owner, poll, seen)
            });
        }
        self.pieces = shown;
    }

    /// Looks for acknowledged records in `[start, highest)` that were never delivered.
    fn unseen(&mut self, start: u64, highest: Reached, delivered: &[(u64, RecordId)]) {
        let facts = self.facts;
        let from = facts.owners.partition_point(|owner| owner.lsn < start);
        let owners = facts.owners[from..].iter();
        let mut delivered = delivered.iter().copied().peekable();
        for owner in owners.take_while(|owner| owner.lsn < highest.end) {
            let this = (owner.lsn, owner.record);
            while delivered.next_if(|&known| known < this).is_some() {}
            if delivered.peek() == Some(&this)
                || !facts.acked_here(owner)
                || owner.lsn <= facts.trims.given_up(u64::MAX)
            {
                continue;
            }
            self.add(AnomalyKind::Unseen, |witnesses| {
                never_delivered(witnesses, owner, highest)
            });
        }
    }

    fn note_strays(&mut self, poll: &Poll<'_>) {
        let facts = self.facts;
        for &(lsn, record) in poll.read.iter().flat_map(|read| read.records) {
            let lsn = lsn.as_u64();
            let owner = facts.owner_index(lsn, record);
            if !owner.is_some_and(|owner| facts.acked_here(&facts.owners[owner])) {
                let poll = poll.op;
                self.strays.push(Delivery { lsn, record, poll });
            }
        }
    }

    /// Looks for delivered records that nobody appended, or whose append failed.
    fn phantoms(&mut self, ops: &[OpId]) {
        if self.strays.is_empty() {
            return;
        }
        let history = self.facts.history;
        let appends = ops
            .iter()
            .filter_map(|&op| Some((history.op(op).record()?, op)));
        let mut appends: Vec<(RecordId, OpId)> = appends.collect();
        appends.sort_unstable();
        let mut strays = std::mem::take(&mut self.strays);
        strays.sort_unstable_by_key(|stray| (stray.record, stray.lsn, stray.poll));
        strays.dedup_by_key(|stray| (stray.record, stray.lsn));
        for stray in strays {
            let append = appends.binary_search_by_key(&stray.record, |&(record, _)| record);
            let append = append.ok().map(|at| appends[at].1);
            if append.is_none_or(|append| failed(history, append)) {
                self.add(AnomalyKind::DirtyRead, |witnesses| {
                    phantom(witnesses, stray, append)
                });
            }
        }
    }

    fn add(&mut self, kind: AnomalyKind, certify: impl FnOnce(Witnesses<'_>) -> Anomaly) {
        let witnesses = Witnesses {
            history: self.facts.history,
            log: self.facts.log,
        };
        self.findings.add(kind, || certify(witnesses));
    }
}

/// A record is delivered again in one incarnation.
fn twice(witnesses: Witnesses<'_>, first: Delivery, second: Delivery) -> Anomaly {
    let (lsn, record) = (first.lsn, first.record);
    let seen = Seen::Record { record };
    witnesses.anomaly(
        AnomalyKind::Duplicate,
        &[first.poll, second.poll],
        &[lsn],
        vec![
            by_observation(first.poll, second.poll, first.poll, lsn, seen),
            by_observation(second.poll, first.poll, second.poll, lsn, seen),
        ],
        Words {
            expected: format!("the subscription delivers {record} once in its incarnation"),
            seen: format!(
                "{} delivers it at {}, and so does {}",
                witnesses.name(first.poll),
                Lsn::from_u64(lsn),
                witnesses.name(second.poll)
            ),
        },
    )
}

/// A record is delivered that lies below what its incarnation had come to.
fn from_below(witnesses: Witnesses<'_>, due: Reached, delivery: Delivery) -> Anomaly {
    let Delivery { lsn, record, poll } = delivery;
    let above = due.by;
    let (due, at) = (Lsn::from_u64(due.end), Lsn::from_u64(lsn));
    witnesses.anomaly(
        AnomalyKind::NonmonotonicPoll,
        &[above, poll],
        &[lsn],
        vec![
            Link {
                from: above,
                to: poll,
                reason: Reason::WentBack {
                    from_end: due,
                    to_end: at,
                },
            },
            by_observation(above, poll, poll, lsn, Seen::Record { record }),
        ],
        Words {
            expected: format!("the incarnation goes on at {due} or above"),
            seen: format!("{} delivers {record} at {at}", witnesses.name(poll)),
        },
    )
}

/// `poll` goes on at `next`, but `first` is due.
fn skipped(
    witnesses: Witnesses<'_>,
    before: OpId,
    poll: OpId,
    first: u64,
    next: u64,
    lost: Option<Owner>,
) -> Anomaly {
    let mut ops = vec![before, poll];
    let mut positions = vec![first, next];
    let (first, next) = (Lsn::from_u64(first), Lsn::from_u64(next));
    let mut chain = vec![Link {
        from: before,
        to: poll,
        reason: Reason::Skipped { first, next },
    }];
    let mut seen = format!("{} goes on at {next}", witnesses.name(poll));
    if let Some(owner) = lost
        && let Some(append) = owner.append.get()
    {
        ops.push(append);
        positions.push(owner.lsn);
        chain.push(by_position(append, owner.lsn, poll, next.as_u64()));
        seen += &format!(
            ", past what {} put at {}",
            witnesses.name(append),
            Lsn::from_u64(owner.lsn)
        );
    }
    witnesses.anomaly(
        AnomalyKind::PollSkip,
        &ops,
        &positions,
        chain,
        Words {
            expected: format!("the subscription shows what is at {first}, or why there is nothing"),
            seen,
        },
    )
}

/// `poll` shows something else in the place of a known record.
fn replaced(witnesses: Witnesses<'_>, owner: &Owner, poll: &Poll<'_>, seen: Seen) -> Anomaly {
    let (lsn, record) = (owner.lsn, owner.record);
    let mut ops = vec![poll.op];
    ops.extend(owner.append.get());
    ops.extend(owner.reader.get());
    let by = owner.append.get().or(owner.reader.get());
    let by = by.expect("somebody says that the record is there");
    witnesses.anomaly(
        AnomalyKind::PollSkip,
        &ops,
        &[lsn],
        vec![
            by_position(by, lsn, poll.op, poll.end),
            by_observation(poll.op, by, poll.op, lsn, seen),
        ],
        Words {
            expected: format!(
                "the subscription delivers {record}, which is at {}",
                Lsn::from_u64(lsn)
            ),
            seen: format!("{} shows {seen} there", witnesses.name(poll.op)),
        },
    )
}

/// An acknowledged record below where the subscription came was never delivered.
fn never_delivered(witnesses: Witnesses<'_>, owner: &Owner, highest: Reached) -> Anomaly {
    let append = owner.append.get().expect("an acked owner has its append");
    let end = Lsn::from_u64(highest.end);
    witnesses.anomaly(
        AnomalyKind::Unseen,
        &[append, highest.by],
        &[owner.lsn],
        vec![by_position(append, owner.lsn, highest.by, highest.end)],
        Words {
            expected: format!(
                "the subscription delivers what {} put at {}",
                witnesses.name(append),
                Lsn::from_u64(owner.lsn)
            ),
            seen: format!(
                "with {} it came up to {end}, and no poll of it delivered the record",
                witnesses.name(highest.by)
            ),
        },
    )
}

/// A record is delivered that cannot be there.
fn phantom(witnesses: Witnesses<'_>, stray: Delivery, append: Option<OpId>) -> Anomaly {
    let Delivery { lsn, record, poll } = stray;
    let mut ops = vec![poll];
    ops.extend(append);
    let mut chain: Vec<Link> = append
        .map(|append| Link {
            from: append,
            to: poll,
            reason: Reason::Failed,
        })
        .into_iter()
        .collect();
    let from = append.unwrap_or(poll);
    chain.push(by_observation(
        from,
        poll,
        poll,
        lsn,
        Seen::Record { record },
    ));
    witnesses.anomaly(
        AnomalyKind::DirtyRead,
        &ops,
        &[lsn],
        chain,
        Words {
            expected: match append {
                Some(append) => format!("no trace of {}, which failed", witnesses.name(append)),
                None => format!("no trace of {record}, which nobody appended"),
            },
            seen: format!(
                "{} delivers it at {}",
                witnesses.name(poll),
                Lsn::from_u64(lsn)
            ),
        },
    )
}
