//! The checks of logs beside linearizability.

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::Lsn;
use jepsen_lite::anomaly::{Anomaly, AnomalyKind};
use jepsen_lite::check::{Check, CheckOptions, check};
use jepsen_lite::history::{
    Answer, Call, Gap, GapKind, History, Op, OpKind, Outcome, ReadAnswer, ReadOutcome, RecordId,
    Source, Status,
};
use rand::{Rng, RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::log_checks::{at, random_observations, random_subscriptions};
use crate::script::Script;

/// All positions of the histories here lie below.
const POSITIONS: u64 = 10;

/// The operations of a certificate, whole, in the order of invocation.
fn ops_of<'h>(history: &'h History, anomaly: &Anomaly) -> Vec<Op<'h>> {
    let ops = anomaly.certificate.iter();
    ops.map(|shown| history.op(shown.op)).collect()
}

fn precedes(one: Op<'_>, two: Op<'_>) -> bool {
    one.answer().is_some() && one.completed().expect("it was answered").index < two.invoked().index
}

/// Whether some trim gave up a position before an operation returned. Trims are excuses: all of the history
/// count.
fn is_given_up(history: &History, lsn: Lsn, op: Op<'_>) -> bool {
    let returned = op.completed().expect("it was answered").index;
    history.ops().any(|trim| {
        matches!(trim.call(), Call::Trim { upto } if lsn <= upto)
            && trim.status() != Status::Fail
            && trim.invoked().index < returned
    })
}

fn read_of(op: Op<'_>) -> Option<ReadAnswer<'_>> {
    match op.answer()? {
        Answer::Read(read) | Answer::Poll(read) => Some(read),
        _ => None,
    }
}

/// The last position that a read shows anything at.
fn top(read: &ReadAnswer<'_>) -> Option<Lsn> {
    let records = read.records.iter().map(|(lsn, _)| *lsn);
    records.chain(read.gaps.iter().map(|gap| gap.last)).max()
}

/// The tail, if the read took one and reached it.
fn tail(read: &ReadAnswer<'_>) -> Option<Lsn> {
    let shown = top(read).map_or(read.from, |top| top.next().max(read.from));
    let is_cut = read.records.len() >= read.limit as usize;
    (read.takes_tail && (!is_cut || shown >= read.tail)).then_some(read.tail)
}

/// What a read says of a position.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    /// It does not speak of it, or it is given up.
    Nothing,
    /// All the records that it shows there, and gaps but those of trims.
    Shown(Vec<RecordId>, Vec<GapKind>),
}

/// `end` is above the last position of which the read speaks.
fn said(read: &ReadAnswer<'_>, lsn: Lsn, end: Lsn) -> Said {
    let records = read.records.iter().filter(|(at, _)| *at == lsn);
    let records: Vec<RecordId> = records.map(|(_, record)| *record).collect();
    let gaps = read.gaps.iter();
    let gaps = gaps.filter(|gap| gap.first <= lsn && lsn <= gap.last);
    let (trims, gaps): (Vec<GapKind>, Vec<GapKind>) = gaps
        .map(|gap| gap.kind)
        .partition(|kind| *kind == GapKind::Trim);
    let is_spoken_of = read.from <= lsn && lsn < end;
    if records.is_empty() && gaps.is_empty() && (!trims.is_empty() || !is_spoken_of) {
        return Said::Nothing;
    }
    Said::Shown(records, gaps)
}

/// What a position can have held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    Record(RecordId),
    Hole,
    Loss,
}

/// All that somebody speaks of, and a record of which nobody does.
fn contents(ops: &[Op<'_>]) -> Vec<Content> {
    let reads = ops.iter().filter_map(|op| read_of(*op));
    let shown = reads.flat_map(|read| read.records.iter().map(|(_, record)| *record));
    let appended = ops.iter().filter_map(|op| op.record());
    let records: BTreeSet<RecordId> = shown.chain(appended).chain([RecordId(u64::MAX)]).collect();
    let records = records.into_iter().map(Content::Record);
    records.chain([Content::Hole, Content::Loss]).collect()
}

/// Prefix agreement: something was at each position that all reads agree on.
fn prefix_is_explained(ops: &[Op<'_>], positions: &[Lsn]) -> bool {
    positions.iter().all(|&lsn| {
        contents(ops).into_iter().any(|content| {
            ops.iter().filter_map(|op| read_of(*op)).all(|read| {
                let end = tail(&read).or(top(&read).map(Lsn::next));
                match said(&read, lsn, end.unwrap_or(read.from)) {
                    Said::Nothing => true,
                    Said::Shown(records, _) if records.is_empty() => {
                        !matches!(content, Content::Record(_))
                    }
                    Said::Shown(records, gaps) => {
                        gaps.is_empty() && records.iter().all(|&it| content == Content::Record(it))
                    }
                }
            })
        })
    })
}

/// Tiering: something was at each position that all places agree on; each for itself agrees with itself.
fn tiers_are_explained(ops: &[Op<'_>], positions: &[Lsn]) -> bool {
    let sources: BTreeSet<Source> = ops
        .iter()
        .filter_map(|op| Some(read_of(*op)?.source))
        .collect();
    if sources.len() < 2 {
        return true;
    }
    positions.iter().all(|&lsn| {
        contents(ops).into_iter().any(|content| {
            ops.iter().filter_map(|op| read_of(*op)).all(|read| {
                let end = top(&read).map_or(read.from, Lsn::next);
                match said(&read, lsn, end) {
                    Said::Nothing => true,
                    Said::Shown(records, gaps) => {
                        let is_gap = |kind: &GapKind| match kind {
                            GapKind::Hole | GapKind::Bridge => content == Content::Hole,
                            GapKind::DataLoss => content == Content::Loss,
                            GapKind::Trim => true,
                        };
                        let is_silent = records.is_empty() && gaps.is_empty();
                        records.iter().all(|&it| content == Content::Record(it))
                            && gaps.iter().all(is_gap)
                            && (!is_silent || !matches!(content, Content::Record(_)))
                    }
                }
            })
        })
    })
}

/// Durability: what was acknowledged is shown by each final read that speaks of its position, or that began
/// afterwards and should have got there; what failed by none.
fn durability_is_explained(history: &History, ops: &[Op<'_>], positions: &[Lsn]) -> bool {
    let reads = || ops.iter().filter_map(|&op| Some((op, read_of(op)?)));
    ops.iter().all(|&append| {
        let Some(record) = append.record() else {
            return true;
        };
        if append.status() == Status::Fail {
            return !reads().any(|(_, read)| {
                let mut shown = read.records.iter();
                shown.any(|shown| shown.1 == record && positions.contains(&shown.0))
            });
        }
        let Some(Answer::Append { lsn }) = append.answer() else {
            return true;
        };
        let finals = || reads().filter(|(_, read)| read.is_final && read.takes_tail);
        !positions.contains(&lsn)
            || finals().all(|(op, read)| {
                let tail = tail(&read);
                let end = tail.or(top(&read).map(Lsn::next)).unwrap_or(read.from);
                let speaks = read.from <= lsn && lsn < end;
                let is_above = tail.is_some_and(|tail| tail <= lsn) && precedes(append, op);
                is_given_up(history, lsn, op)
                    || (!is_above && (!speaks || read.records.contains(&(lsn, record))))
            })
    })
}

/// All orders of some things.
fn permutations<T: Copy>(things: &[T]) -> Vec<Vec<T>> {
    if things.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (index, &first) in things.iter().enumerate() {
        let mut rest = things.to_vec();
        rest.remove(index);
        for mut order in permutations(&rest) {
            order.insert(0, first);
            all.push(order);
        }
    }
    all
}

/// Order: the appends can be put in an order that is that of each process, and in which LSNs rise.
fn order_is_explained(ops: &[Op<'_>]) -> bool {
    permutations(ops).into_iter().any(|order| {
        let lsns: Vec<Lsn> = order
            .iter()
            .filter_map(|op| match op.answer() {
                Some(Answer::Append { lsn }) => Some(lsn),
                _ => None,
            })
            .collect();
        let breaks = |(index, later): (usize, &Op<'_>)| {
            order[..index]
                .iter()
                .any(|earlier| earlier.process() == later.process() && precedes(*later, *earlier))
        };
        lsns.is_sorted_by(|one, two| one < two) && !order.iter().enumerate().any(breaks)
    })
}

/// Whether numbers can be given to some things one after the other, out of `choices`, that never fall and
/// are right for each.
fn can_rise<T>(things: &[T], choices: &BTreeSet<Lsn>, is_right: &dyn Fn(&T, Lsn) -> bool) -> bool {
    fn rise<T>(
        things: &[T],
        from: Lsn,
        choices: &BTreeSet<Lsn>,
        is_right: &dyn Fn(&T, Lsn) -> bool,
    ) -> bool {
        let Some((first, rest)) = things.split_first() else {
            return true;
        };
        choices
            .range(from..)
            .any(|&choice| is_right(first, choice) && rise(rest, choice, choices, is_right))
    }
    rise(things, Lsn::MIN, choices, is_right)
}

/// Monotonicity: there is an end of the log, as one process knows it, that never falls.
fn sights_are_explained(ops: &[Op<'_>]) -> bool {
    assert!(ops.iter().all(|op| op.process() == ops[0].process()));
    let choices: BTreeSet<Lsn> = (0..=POSITIONS + 6)
        .map(|offset| Lsn::from_u64(at(1).as_u64() - 1 + offset))
        .collect();
    let shown = |read: &ReadAnswer<'_>| top(read).map_or(Lsn::MIN, Lsn::next);
    let seen = |op: &Op<'_>, end: Lsn| match op.answer() {
        Some(Answer::Tail { tail } | Answer::Seal { tail }) => end == tail,
        Some(Answer::Read(read)) => match tail(&read) {
            Some(tail) => end == tail,
            None => end >= shown(&read),
        },
        Some(Answer::Poll(read)) if op.kind() == OpKind::Poll => end >= shown(&read),
        _ => true,
    };
    let polled = |op: &Op<'_>, end: Lsn| match op.answer() {
        Some(Answer::Poll(read)) if op.kind() == OpKind::Poll && read.subscription.is_none() => {
            let is_cut = read.records.len() >= read.limit as usize;
            end >= shown(&read) && (is_cut || read.from >= end || shown(&read) >= end)
        }
        _ => true,
    };
    can_rise(ops, &choices, &seen) && can_rise(ops, &choices, &polled)
}

/// Trim safety: for each answer there is a point up to which all was given up; those that one process is told
/// of in place of answers never fall. All trims of the history may be what gave it up.
fn trims_are_explained(history: &History, ops: &[Op<'_>]) -> bool {
    let choices: BTreeSet<Lsn> = (0..=POSITIONS + 6)
        .map(|offset| Lsn::from_u64(at(1).as_u64() - 1 + offset))
        .collect();
    let asked = |op: &Op<'_>, point: Lsn| point < Lsn::FIRST || is_given_up(history, point, *op);
    let told: Vec<Op<'_>> = ops
        .iter()
        .copied()
        .filter(|op| matches!(op.answer(), Some(Answer::Trimmed { .. })))
        .collect();
    let processes: BTreeSet<_> = told.iter().map(|op| op.process()).collect();
    let told_is_right = processes.into_iter().all(|process| {
        let of: Vec<Op<'_>> = told
            .iter()
            .copied()
            .filter(|op| op.process() == process)
            .collect();
        can_rise(&of, &choices, &|op, point| match (op.call(), op.answer()) {
            (Call::Read { from, .. } | Call::Poll { from, .. }, Some(Answer::Trimmed { upto })) => {
                point == upto && from <= upto && asked(op, point)
            }
            _ => true,
        })
    });
    let read_is_right = |op: &Op<'_>| {
        let Some(read) = read_of(*op) else {
            return true;
        };
        let mut trims = read.gaps.iter().filter(|gap| gap.kind == GapKind::Trim);
        if trims.clone().next().is_none() {
            return true;
        }
        choices.iter().any(|&point| {
            trims.clone().all(|gap| gap.last <= point)
                && read.records.iter().all(|(lsn, _)| *lsn > point)
                && asked(op, point)
        }) || trims.all(|gap| gap.last < Lsn::FIRST)
    };
    told_is_right && ops.iter().all(read_is_right)
}

/// A poll of a subscription that showed something.
struct Poll<'h> {
    op: Op<'h>,
    subscription: u32,
    incarnation: u32,
    from: Lsn,
    /// Above all that it passed.
    end: Lsn,
    /// Nothing if it was told that all up to its end is given up.
    read: Option<ReadAnswer<'h>>,
}

/// The polls of the subscriptions to which some operations belong, in the order of invocation.
fn polls_of<'h>(history: &'h History, ops: &[Op<'h>]) -> Vec<Poll<'h>> {
    let by = |op: &Op<'_>| match op.call() {
        Call::Poll { subscription, .. } => subscription,
        _ => None,
    };
    let wanted: BTreeSet<u32> = ops.iter().filter_map(by).map(|by| by.id).collect();
    let polls = history.ops().filter_map(|op| {
        let by = by(&op).filter(|by| wanted.contains(&by.id))?;
        let Call::Poll { from, .. } = op.call() else {
            return None;
        };
        let (read, end) = match op.answer()? {
            Answer::Poll(read) => (Some(read), top(&read)?.next()),
            Answer::Trimmed { upto } => (None, upto.next()),
            _ => return None,
        };
        (end > from).then_some(Poll {
            op,
            subscription: by.id,
            incarnation: by.incarnation,
            from,
            end,
            read,
        })
    });
    polls.collect()
}

/// Subscriptions. Of the history these are taken as excuses: all trims; all polls of the subscription where
/// something is said to be passed over or never delivered; all appends where nobody is said to have appended
/// something; and where nobody is known to be acknowledged, whatever is said of the position.
fn subscription_is_explained(history: &History, anomaly: &Anomaly) -> bool {
    let ops = ops_of(history, anomaly);
    let positions = &anomaly.positions;
    let is_shown = |op: Op<'_>| ops.iter().any(|shown| shown.id() == op.id());
    let all = polls_of(history, &ops);
    let own: Vec<&Poll<'_>> = all.iter().filter(|poll| is_shown(poll.op)).collect();
    let delivers = |poll: &Poll<'_>, lsn: Lsn, record: RecordId| {
        let mut reads = poll.read.iter();
        reads.any(|read| read.records.contains(&(lsn, record)))
    };
    match anomaly.kind {
        AnomalyKind::Duplicate | AnomalyKind::NonmonotonicPoll => {
            let of = |poll: &Poll<'_>| (poll.subscription, poll.incarnation);
            assert!(own.iter().all(|poll| of(poll) == of(own[0])), "{anomaly}");
            let mut passed = Lsn::MIN;
            let mut delivered: Vec<(Lsn, RecordId)> = Vec::new();
            for poll in own {
                let mut here = passed;
                for &(lsn, record) in poll.read.iter().flat_map(|read| read.records) {
                    let again = delivered.contains(&(lsn, record));
                    let is_due = lsn >= here;
                    let is_named = again == (anomaly.kind == AnomalyKind::Duplicate);
                    if !is_due && is_named && positions.contains(&lsn) {
                        return false;
                    }
                    here = here.max(lsn.next());
                    delivered.push((lsn, record));
                }
                passed = here.max(poll.end);
            }
            true
        }
        AnomalyKind::PollSkip => own.iter().all(|poll| {
            positions
                .iter()
                .all(|&lsn| is_accounted_for(history, &ops, &all, poll, lsn))
        }),
        AnomalyKind::Unseen => ops.iter().all(|append| {
            let (Some(record), Some(Answer::Append { lsn })) = (append.record(), append.answer())
            else {
                return true;
            };
            let first = all
                .iter()
                .min_by_key(|poll| (poll.incarnation, poll.op.id()));
            let starts_above = first.is_none_or(|first| first.from > lsn);
            let is_trimmed = history.ops().any(|trim| {
                matches!(trim.call(), Call::Trim { upto } if lsn <= upto)
                    && trim.status() != Status::Fail
            });
            starts_above
                || is_trimmed
                || !positions.contains(&lsn)
                || !own.iter().any(|poll| poll.end > lsn)
                || all.iter().any(|poll| delivers(poll, lsn, record))
        }),
        AnomalyKind::DirtyRead => own.iter().all(|poll| {
            let records = poll.read.iter().flat_map(|read| read.records);
            let mut records = records.filter(|(lsn, _)| positions.contains(lsn));
            records.all(|&(_, record)| {
                history
                    .ops()
                    .any(|op| op.record() == Some(record) && op.status() != Status::Fail)
            })
        }),
        other => panic!("subscriptions do not find {other}"),
    }
}

/// Whether a poll, or what came before it in its incarnation, says what must be said of a position.
fn is_accounted_for(
    history: &History,
    ops: &[Op<'_>],
    all: &[Poll<'_>],
    poll: &Poll<'_>,
    lsn: Lsn,
) -> bool {
    if is_given_up(history, lsn, poll.op) {
        return true;
    }
    let before = |other: &&Poll<'_>| other.op.id() < poll.op.id();
    let same = || {
        let all = all.iter();
        all.filter(|other| other.subscription == poll.subscription)
    };
    let own = same().filter(|other| other.incarnation == poll.incarnation);
    let own = own.filter(before).map(|other| other.end).max();
    let earlier = same().filter(|other| other.incarnation < poll.incarnation);
    let due = own.or(earlier.map(|other| other.end).max());
    let due = due.unwrap_or(poll.from).min(poll.from);
    if lsn < due || lsn >= poll.end {
        return true;
    }
    if lsn < poll.from {
        return false;
    }
    let Some(read) = &poll.read else {
        return true;
    };
    let records = read.records.iter().filter(|(at, _)| *at == lsn);
    let shown: Vec<RecordId> = records.map(|(_, record)| *record).collect();
    let gaps = read.gaps.iter();
    let gaps = gaps.filter(|gap| gap.first <= lsn && lsn <= gap.last);
    let gaps: Vec<GapKind> = gaps.map(|gap| gap.kind).collect();
    if shown.is_empty() && gaps.is_empty() {
        return false;
    }
    if gaps.contains(&GapKind::Trim) {
        return true;
    }
    // The record that must be there, by the certificate.
    let acked = ops.iter().find_map(|op| match op.answer()? {
        Answer::Append { lsn: there } if there == lsn => op.record(),
        _ => None,
    });
    let said: BTreeSet<RecordId> = history
        .ops()
        .flat_map(|op| match op.answer() {
            Some(Answer::Append { lsn: there }) if there == lsn => {
                op.record().into_iter().collect::<Vec<_>>()
            }
            Some(Answer::Read(read) | Answer::Poll(read)) => {
                let there = read.records.iter().filter(|(there, _)| *there == lsn);
                there.map(|(_, record)| *record).collect()
            }
            _ => Vec::new(),
        })
        .collect();
    let undisputed = said.first().filter(|_| said.len() == 1).filter(|record| {
        let is_shown =
            |op: &Op<'_>| read_of(*op).is_some_and(|read| read.records.contains(&(lsn, **record)));
        let is_append = |op: &Op<'_>| op.record() == Some(**record) && op.status() != Status::Fail;
        ops.iter().any(is_shown) && ops.iter().any(is_append)
    });
    let known = acked.or(undisputed.copied());
    known.is_none_or(|record| shown.contains(&record))
}

/// Whether anything explains the certificate of an anomaly that a check found.
fn is_explained(history: &History, check: Check, anomaly: &Anomaly) -> bool {
    let ops = ops_of(history, anomaly);
    let positions = &anomaly.positions;
    match check {
        Check::Durability => durability_is_explained(history, &ops, positions),
        Check::Order => order_is_explained(&ops),
        Check::PrefixAgreement => prefix_is_explained(&ops, positions),
        Check::Monotonicity => sights_are_explained(&ops),
        Check::Subscriptions => subscription_is_explained(history, anomaly),
        Check::TrimSafety => trims_are_explained(history, &ops),
        Check::Tiering => tiers_are_explained(&ops, positions),
        other => panic!("{other} is judged elsewhere"),
    }
}

/// A few clients that append to one log, read it and trim it. Now and then something is wrong.
fn random_log(rng: &mut impl Rng) -> History {
    let mut s = Script::default();
    let mut truth: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut next, mut generation) = (1, 0);
    for record in 1..rng.random_range(3..7) {
        let process = rng.random_range(1..3) + 10 * generation;
        let append = s.invoke_append(process, record);
        next += u64::from(rng.random_bool(0.1));
        match rng.random_range(0..10) {
            0 => {
                s.fail(append);
                if rng.random_bool(0.7) {
                    continue;
                }
            }
            1 => {
                s.info(append);
                generation += 1;
            }
            _ => {
                let told = match rng.random_bool(0.1) {
                    true => rng.random_range(1..POSITIONS),
                    false => next,
                };
                s.appended(append, &at(told).to_string());
            }
        }
        truth.insert(next, record);
        next += 1;
        if rng.random_bool(0.1) {
            s.trim(9, &at(rng.random_range(1..4)).to_string());
        }
        if rng.random_bool(0.3) {
            some_read(rng, &mut s, &truth, next);
        }
    }
    for _ in 0..rng.random_range(1..4) {
        some_read(rng, &mut s, &truth, next);
    }
    s.finish()
}

fn some_read(rng: &mut impl Rng, s: &mut Script, truth: &BTreeMap<u64, u64>, next: u64) {
    let from = rng.random_range(1..3);
    let limit = rng.random_range(2..9);
    let tail = match rng.random_bool(0.1) {
        true => rng.random_range(1..POSITIONS),
        false => next,
    };
    let mut read = ReadOutcome {
        tail: at(tail),
        ..ReadOutcome::default()
    };
    for position in from..tail {
        let (first, last) = (at(position), at(position));
        let kind = [GapKind::Hole, GapKind::DataLoss, GapKind::Trim][rng.random_range(0..3)];
        match truth.get(&position) {
            _ if rng.random_bool(0.03) => {}
            Some(_) if rng.random_bool(0.05) => {
                let other = RecordId(rng.random_range(1..7));
                read.records.push((first, other));
            }
            Some(&record) if rng.random_bool(0.93) => {
                read.records.push((first, RecordId(record)));
            }
            Some(_) => read.gaps.push(Gap { kind, first, last }),
            None => read.gaps.push(Gap {
                kind: GapKind::Hole,
                first,
                last,
            }),
        }
        if read.records.len() == limit as usize {
            break;
        }
    }
    let call = Call::Read {
        from: at(from),
        limit,
        is_final: rng.random_bool(0.6),
        source: Source::Log,
    };
    let op = s.invoke(rng.random_range(5..8), call);
    s.ok(op, Outcome::Read(read));
}

#[test]
fn every_certificate_of_a_log_is_a_proof() {
    const HISTORIES: u64 = 30_000;
    type Random = fn(&mut Xoshiro256PlusPlus) -> History;
    let sources: [(&str, Random); 3] = [
        ("logs", |rng| random_log(rng)),
        ("subscriptions", |rng| random_subscriptions(rng)),
        ("observations", |rng| random_observations(rng)),
    ];
    let mut certificates: BTreeMap<(Check, AnomalyKind), u64> = BTreeMap::new();
    for (name, random) in sources {
        let mut illegal = 0;
        for seed in 0..HISTORIES {
            let history = random(&mut Xoshiro256PlusPlus::seed_from_u64(seed));
            let mut options = CheckOptions::default();
            options.checks.remove(&Check::Linearizability);
            let report = check(&history, &options);
            let mut is_illegal = false;
            for (check, anomaly) in report.anomalies() {
                assert!(
                    !is_explained(&history, check, anomaly),
                    "{name}, seed {seed}: the certificate of {check} proves nothing: {anomaly}{history:#?}"
                );
                let size = anomaly.certificate.len();
                assert!((1..=4).contains(&size), "{name}, seed {seed}: {anomaly}");
                *certificates.entry((check, anomaly.kind)).or_default() += 1;
                is_illegal = true;
            }
            illegal += u64::from(is_illegal);
        }
        println!("{name}: {HISTORIES} histories, {illegal} illegal");
        assert!(illegal >= HISTORIES / 10, "{name}: {illegal} illegal");
    }
    println!("certificates: {certificates:?}");
    for wanted in [
        (Check::Durability, AnomalyKind::LostWrite),
        (Check::Durability, AnomalyKind::DirtyRead),
        (Check::Order, AnomalyKind::Reorder),
        (Check::PrefixAgreement, AnomalyKind::InconsistentOffset),
        (Check::Monotonicity, AnomalyKind::StaleRead),
        (Check::Monotonicity, AnomalyKind::NonmonotonicPoll),
        (Check::Subscriptions, AnomalyKind::Duplicate),
        (Check::Subscriptions, AnomalyKind::NonmonotonicPoll),
        (Check::Subscriptions, AnomalyKind::PollSkip),
        (Check::Subscriptions, AnomalyKind::Unseen),
        (Check::Subscriptions, AnomalyKind::DirtyRead),
        (Check::TrimSafety, AnomalyKind::TrimViolation),
        (Check::Tiering, AnomalyKind::TierDivergence),
    ] {
        let found = certificates.get(&wanted).copied().unwrap_or_default();
        assert!(found >= 1_000, "{wanted:?}: {found} certificates");
    }
}
