//! What the operations of one log say about its positions, gathered once for all checkers.
//!
//! Three things come out: *owners* (which record is said to be at which LSN, and by whom), *missing*
//! ranges (of which a read said, or left to be understood, that they hold no record) and *bounds*
//! (how far the log had come for an observer); beside them what was trimmed, sealed and refused. No
//! judgement is made here, except of reads that contradict themselves. The cost is near-linear: almost
//! every record that a read returns is the next one of the acknowledged appends in LSN order, and is then
//! passed in a few instructions.

use hstore_core::{Epoch, LogId, Lsn};

use crate::anomaly::Seen;
use crate::features::Features;
use crate::history::{
    Answer, Call, Gap, GapKind, History, Op, OpId, OpKind, Reach, ReadAnswer, RecordId, Status,
    after, position,
};
use crate::trims::Trims;

/// An operation or none, in four bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct MaybeOp(u32);

impl MaybeOp {
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn get(self) -> Option<OpId> {
        (self != Self::NONE).then_some(OpId(self.0))
    }
}

impl From<OpId> for MaybeOp {
    fn from(op: OpId) -> Self {
        // A history has fewer than 2^32 operations, so no number is that of `NONE`.
        Self(op.0)
    }
}

/// A record that is said to be at an LSN.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) lsn: u64,
    pub(crate) record: RecordId,
    /// The append that carries the record, if there is one.
    pub(crate) append: MaybeOp,
    /// A read that showed it here, if there is one.
    pub(crate) reader: MaybeOp,
}

impl Owner {
    /// The append that carries the record. Panics if there is none: of those that took effect, all have
    /// one.
    pub(crate) fn op(&self) -> OpId {
        self.append.get().expect("what took effect was asked for")
    }
}

/// Positions of which a read spoke without showing a record there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    pub(crate) first: u64,
    /// Above the last one.
    pub(crate) end: u64,
    /// `None` where the read did not say why.
    pub(crate) kind: Option<GapKind>,
    pub(crate) read: OpId,
}

/// How far the log had come for an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// All records below it were there.
    pub(crate) below: u64,
    pub(crate) op: OpId,
    /// No other record was there.
    pub(crate) exact: bool,
}

/// The end of the epochs below one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    /// Records from here on have `epoch` or a higher one.
    pub(crate) tail: u64,
    pub(crate) epoch: Epoch,
    pub(crate) op: OpId,
}

/// How a read contradicts itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadFault {
    pub(crate) read: OpId,
    pub(crate) kind: ReadFaultKind,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum ReadFaultKind {
    /// It delivered `later` right before `earlier`, which lies below.
    Disorder { later: u64, earlier: u64 },
    /// It delivered the same record at the same LSN twice.
    Twice { lsn: u64, record: RecordId },
    /// A gap that it returned covers a record or a part of another gap that it returned.
    Overlap { lsn: u64, gap: GapKind },
    /// An entry is not between its start and its tail.
    OutOfRange { lsn: u64, entry: Seen },
}

/// Everything, for one log.
#[derive(Debug)]
pub(crate) struct LogFacts<'h> {
    pub(crate) history: &'h History,
    pub(crate) log: LogId,
    /// By LSN, then record. One LSN has several owners only where something is wrong.
    pub(crate) owners: Vec<Owner>,
    /// By record, then LSN: those among the owners that were read but not acknowledged there.
    pub(crate) claims: Vec<Owner>,
    pub(crate) missing: Vec<Missing>,
    pub(crate) bounds: Vec<Bound>,
    pub(crate) faults: Vec<ReadFault>,
    pub(crate) trims: Trims,
    pub(crate) seals: Vec<Sealed>,
    /// Who was answered that a position is given up, and with it all below.
    pub(crate) trimmed: Vec<(u64, OpId)>,
    /// Appends that were refused for a mismatch.
    pub(crate) refused: Vec<OpId>,
    /// Whether some append demands or sets something.
    pub(crate) has_terms: bool,
    /// Reads that were made to see what is left, and answered with what is there.
    pub(crate) final_reads: Vec<OpId>,
    /// What else there is.
    pub(crate) features: Features,
}

impl<'h> LogFacts<'h> {
    /// Gathers them from the operations of one log.
    pub(crate) fn gather(history: &'h History, log: LogId, ops: &[OpId]) -> Self {
        let mut facts = Self {
            history,
            log,
            owners: acked_owners(history, ops),
            claims: Vec::new(),
            missing: Vec::new(),
            bounds: Vec::new(),
            faults: Vec::new(),
            trims: Trims::default(),
            seals: Vec::new(),
            trimmed: Vec::new(),
            refused: Vec::new(),
            has_terms: history.has_terms() && ops.iter().any(|&id| history.op(id).has_terms()),
            final_reads: Vec::new(),
            features: Features::default(),
        };
        facts.bounds.reserve_exact(ops.len() - facts.owners.len());
        let mut hint = 0;
        let mut entries = Vec::new();
        for op in ops.iter().map(|&id| history.op(id)) {
            match op.kind() {
                OpKind::Append if op.status() == Status::Ok => continue,
                OpKind::Trim => facts.trims.note(op),
                OpKind::Tail => {
                    if let Some(tail) = op.tail_result() {
                        facts.bound(op, tail, true);
                    }
                    continue;
                }
                OpKind::Read | OpKind::Poll if op.is_read() => {
                    let read = op.read_result();
                    hint = note_owners(&mut facts.owners, &mut facts.claims, hint, op.id(), &read);
                    facts.features.note_read(&read);
                    if read.is_final {
                        facts.final_reads.push(op.id());
                    }
                    let reach = read.reach();
                    if !reach.is_seamless {
                        facts.note_extent(op, &read, &mut entries);
                    }
                    facts.note_bound(op, &read, reach);
                    continue;
                }
                _ => {}
            }
            let Some(answer) = op.answer() else { continue };
            match answer {
                Answer::Append { .. } | Answer::Tail { .. } | Answer::Read(_) | Answer::Poll(_) => {
                    unreachable!("these are passed above")
                }
                Answer::Seal { tail } => facts.note_seal(op, tail),
                // They say nothing of how far the log had come, but still have a place in the order.
                Answer::Trim => {
                    facts.features.trims = true;
                    facts.bound(op, 0, false);
                }
                Answer::Trimmed { .. } => {
                    facts.features.trims = true;
                    match op.call() {
                        Call::Read { from, .. } => facts.trimmed.push((position(from), op.id())),
                        Call::Poll {
                            from, subscription, ..
                        } => {
                            facts.features.subscriptions |= subscription.is_some();
                            facts.trimmed.push((position(from), op.id()));
                        }
                        other => unreachable!("{other} is not answered so"),
                    }
                    facts.bound(op, 0, false);
                }
                Answer::Mismatch(told) => {
                    facts.refused.push(op.id());
                    // Where it was told of the last record, that is a bound. Otherwise its place in the
                    // order is found later.
                    if let Some(last) = told.last {
                        facts.bound(op, above(last), true);
                    }
                }
            }
        }
        facts.settle(ops);
        facts
    }

    fn bound(&mut self, op: Op<'_>, below: u64, exact: bool) {
        let op = op.id();
        self.bounds.push(Bound { below, op, exact });
    }

    fn note_seal(&mut self, op: Op<'_>, tail: Lsn) {
        let Call::Seal { epoch } = op.call() else {
            unreachable!("only a seal is answered as one")
        };
        let tail = position(tail);
        self.seals.push(Sealed {
            tail,
            epoch,
            op: op.id(),
        });
        self.bound(op, tail, true);
    }

    /// Whether an owner's append was acknowledged at this very LSN.
    pub(crate) fn acked_here(&self, owner: &Owner) -> bool {
        owner
            .append
            .get()
            .is_some_and(|append| self.history.op(append).acked_at() == Some(owner.lsn))
    }

    /// The first owner of an LSN, if it has one.
    pub(crate) fn first_owner_at(&self, lsn: u64) -> Option<&Owner> {
        let first = self.owners.partition_point(|owner| owner.lsn < lsn);
        self.owners.get(first).filter(|owner| owner.lsn == lsn)
    }

    /// Where the owner of an LSN is that says that `record` is there.
    pub(crate) fn owner_index(&self, lsn: u64, record: RecordId) -> Option<usize> {
        self.owners
            .binary_search_by_key(&(lsn, record), |owner| (owner.lsn, owner.record))
            .ok()
    }

    /// Where reads show a record that was not acknowledged there.
    pub(crate) fn claims_of(&self, record: RecordId) -> &[Owner] {
        let first = self.claims.partition_point(|claim| claim.record < record);
        let claims = &self.claims[first..];
        &claims[..claims.partition_point(|claim| claim.record == record)]
    }

    /// Finds out which appends the claimed records come from, and adds the claims to the owners.
    fn settle(&mut self, ops: &[OpId]) {
        if self.claims.is_empty() {
            return;
        }
        let claims = &mut self.claims;
        claims.sort_unstable_by_key(|claim| (claim.record, claim.lsn, claim.reader));
        claims.dedup_by_key(|claim| (claim.record, claim.lsn));
        // Where nothing is wrong, only appends of unknown outcome are claimed, and they are few.
        self.attribute(ops, |status| status != Status::Ok);
        self.attribute(ops, |status| status == Status::Ok);
        self.owners.extend_from_slice(&self.claims);
        self.owners.sort_by_key(|owner| (owner.lsn, owner.record));
    }

    /// Finds the appends of claimed records among those of a status.
    fn attribute(&mut self, ops: &[OpId], status: impl Fn(Status) -> bool) {
        if self
            .claims
            .iter()
            .all(|claim| claim.append != MaybeOp::NONE)
        {
            return;
        }
        let ops = ops.iter().map(|&op| self.history.op(op));
        let ops = ops.filter(|op| status(op.status()));
        let mut appends: Vec<(RecordId, OpId)> =
            ops.filter_map(|op| Some((op.record()?, op.id()))).collect();
        appends.sort_unstable();
        let mut appends = appends.into_iter().peekable();
        for claim in &mut self.claims {
            while appends
                .next_if(|(record, _)| *record < claim.record)
                .is_some()
            {}
            if let Some(&(record, append)) = appends.peek()
                && record == claim.record
            {
                claim.append = append.into();
            }
        }
    }

    /// Notes how far the log had come for a read.
    fn note_bound(&mut self, op: Op<'_>, read: &ReadAnswer<'_>, reach: Reach) {
        let below = match (reach.reached_tail, reach.is_empty()) {
            (true, _) => read.tail(),
            (false, false) => reach.end,
            // It says nothing, but still has a place in the order.
            (false, true) => 0,
        };
        self.bound(op, below, reach.reached_tail);
    }

    /// Notes which positions the read passed without showing a record, and how it contradicts
    /// itself. `entries` is scratch space.
    fn note_extent(&mut self, op: Op<'_>, read: &ReadAnswer<'_>, entries: &mut Vec<Entry>) {
        let id = op.id();
        let mut is_in_order = read.gaps.is_sorted_by_key(|gap| position(gap.first));
        for pair in read.records.windows(2) {
            let (one, two) = (pair[0].0.as_u64(), pair[1].0.as_u64());
            if one > two {
                is_in_order = false;
                self.fault(
                    id,
                    ReadFaultKind::Disorder {
                        later: one,
                        earlier: two,
                    },
                );
            }
        }
        let (start, tail) = (position(read.from), read.tail());
        let mut extent = Extent {
            read: id,
            start,
            tail,
            cursor: start,
            previous: None,
        };
        if is_in_order {
            let mut gaps = read.gaps.iter().map(Entry::gap).peekable();
            for record in read.records.iter().map(Entry::record) {
                while let Some(gap) = gaps.next_if(|gap| gap.first < record.first) {
                    self.note_entry(&mut extent, gap);
                }
                self.note_entry(&mut extent, record);
            }
            gaps.for_each(|gap| self.note_entry(&mut extent, gap));
        } else {
            entries.clear();
            entries.extend(read.records.iter().map(Entry::record));
            entries.extend(read.gaps.iter().map(Entry::gap));
            entries.sort_by_key(|entry| entry.first);
            for &entry in entries.iter() {
                self.note_entry(&mut extent, entry);
            }
        }
        if read.reached_tail() && extent.cursor < tail {
            self.missing.push(Missing {
                first: extent.cursor,
                end: tail,
                kind: None,
                read: id,
            });
        }
    }

    /// Notes the next entry of a read; entries come by their first position.
    fn note_entry(&mut self, extent: &mut Extent, entry: Entry) {
        let Extent {
            read: id,
            start,
            tail,
            ..
        } = *extent;
        if let Seen::Gap { kind } = entry.content {
            if kind == GapKind::Trim {
                self.trimmed.push((entry.last, id));
            }
            self.missing.push(Missing {
                first: entry.first,
                end: after(entry.last),
                kind: Some(kind),
                read: id,
            });
        }
        if entry.first < start || entry.last >= tail {
            let lsn = if entry.first < start {
                entry.first
            } else {
                entry.last
            };
            self.fault(
                id,
                ReadFaultKind::OutOfRange {
                    lsn,
                    entry: entry.content,
                },
            );
            if entry.last < start || entry.first >= tail {
                return;
            }
        }
        if entry.first > extent.cursor {
            self.missing.push(Missing {
                first: extent.cursor,
                end: entry.first,
                kind: None,
                read: id,
            });
        }
        if let Some(previous) = extent.previous
            && entry.first < extent.cursor
        {
            self.note_overlap(id, previous, entry);
        }
        if after(entry.last) > extent.cursor {
            extent.cursor = after(entry.last);
            extent.previous = Some(entry);
        }
    }

    fn note_overlap(&mut self, read: OpId, one: Entry, two: Entry) {
        let lsn = two.first;
        match (one.content, two.content) {
            (Seen::Gap { kind: gap }, _) | (_, Seen::Gap { kind: gap }) => {
                self.fault(read, ReadFaultKind::Overlap { lsn, gap });
            }
            (Seen::Record { record }, two) if two == one.content => {
                self.fault(read, ReadFaultKind::Twice { lsn, record });
            }
            // Two owners of one LSN: that shows without us.
            (_, _) => {}
        }
    }

    fn fault(&mut self, read: OpId, kind: ReadFaultKind) {
        self.faults.push(ReadFault { read, kind });
    }
}

/// Above the last record, where that is at `last`; the first position of all where there is none.
pub(crate) fn above(last: Lsn) -> u64 {
    if last == Lsn::MIN {
        position(last)
    } else {
        after(last.as_u64())
    }
}

/// An entry of a read, with its range.
#[derive(Clone, Copy, Debug)]
struct Entry {
    first: u64,
    last: u64,
    content: Seen,
}

impl Entry {
    fn record(&(lsn, record): &(Lsn, RecordId)) -> Self {
        Self {
            first: lsn.as_u64(),
            last: lsn.as_u64(),
            content: Seen::Record { record },
        }
    }

    fn gap(gap: &Gap) -> Self {
        Self {
            first: position(gap.first),
            last: gap.last.as_u64(),
            content: Seen::Gap { kind: gap.kind },
        }
    }
}

/// How far a read has been looked at.
struct Extent {
    read: OpId,
    start: u64,
    tail: u64,
    /// Above all entries so far.
    cursor: u64,
    /// The entry that reaches up to there.
    previous: Option<Entry>,
}

fn acked_owners(history: &History, ops: &[OpId]) -> Vec<Owner> {
    let ops = || ops.iter().map(|&id| history.op(id));
    let acked = ops().filter(|op| op.acked_at().is_some()).count();
    let mut owners = Vec::with_capacity(acked);
    owners.extend(ops().filter_map(|op| {
        Some(Owner {
            lsn: op.acked_at()?,
            record: op.record()?,
            append: op.id().into(),
            reader: MaybeOp::NONE,
        })
    }));
    // Appends are acknowledged almost in the order in which they are invoked.
    sort_nearly_sorted(&mut owners, |owner| (owner.lsn, owner.record));
    owners
}

/// Sorts what is mostly sorted already. Where no element is far from its place, this is one pass.
pub(crate) fn sort_nearly_sorted<T: Copy, K: Ord>(values: &mut [T], key: impl Fn(&T) -> K) {
    let mut moves_left = 32 * values.len();
    for at in 1..values.len() {
        let value = values[at];
        let wanted = key(&value);
        if key(&values[at - 1]) <= wanted {
            continue;
        }
        let mut to = at;
        while to > 0 && moves_left > 0 && key(&values[to - 1]) > wanted {
            values[to] = values[to - 1];
            to -= 1;
            moves_left -= 1;
        }
        values[to] = value;
        if moves_left == 0 {
            values.sort_by_key(key);
            return;
        }
    }
}

/// Notes the read as a reader of the owners that it shows; what it shows elsewhere becomes a claim.
/// Returns where the next read may look first.
fn note_owners(
    acked: &mut [Owner],
    claims: &mut Vec<Owner>,
    hint: usize,
    read: OpId,
    answer: &ReadAnswer<'_>,
) -> usize {
    let mut at = hint;
    for &(lsn, record) in answer.records {
        let lsn = lsn.as_u64();
        if let Some(owner) = acked.get_mut(at)
            && (owner.lsn, owner.record) == (lsn, record)
        {
            // The next one, as always where nothing is unusual.
            if owner.reader == MaybeOp::NONE {
                owner.reader = read.into();
            }
            at += 1;
            continue;
        }
        at = seek(acked, at, |owner| owner.lsn < lsn);
        let same_lsn = acked[at..].iter_mut().take_while(|owner| owner.lsn == lsn);
        match same_lsn.into_iter().find(|owner| owner.record == record) {
            Some(owner) => {
                if owner.reader == MaybeOp::NONE {
                    owner.reader = read.into();
                }
            }
            None => claims.push(Owner {
                lsn,
                record,
                append: MaybeOp::NONE,
                reader: read.into(),
            }),
        }
    }
    at
}

/// The partition point of a sorted slice, found from `hint` in time logarithmic in the distance.
pub(crate) fn seek<T>(sorted: &[T], hint: usize, is_before: impl Fn(&T) -> bool) -> usize {
    let mut low = hint.min(sorted.len());
    let mut high = low;
    let mut step = 1;
    while high < sorted.len() && is_before(&sorted[high]) {
        low = high + 1;
        high = (high + step).min(sorted.len());
        step *= 2;
    }
    let mut step = 1;
    while low > 0 && !is_before(&sorted[low - 1]) {
        high = low - 1;
        low = low.saturating_sub(step);
        step *= 2;
    }
    low + sorted[low..high].partition_point(is_before)
}

/// Whether an operation certainly had no effect.
pub(crate) fn failed(history: &History, op: OpId) -> bool {
    history.op(op).status() == Status::Fail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nearly_sorted_and_what_is_not_is_sorted() {
        for len in [0, 1, 2, 3, 10, 1_000] {
            for stride in [1, 3, 7, 501, 997] {
                let mut values: Vec<usize> = (0..len).map(|i| i * stride % 1_009 + i / 9).collect();
                let mut expected = values.clone();
                expected.sort_unstable();
                sort_nearly_sorted(&mut values, |&value| value);
                assert_eq!(values, expected, "{stride}");
            }
        }
    }

    #[test]
    fn seeking_from_anywhere_finds_the_partition_point() {
        for len in 0..20 {
            let sorted: Vec<usize> = (0..len).map(|i| i / 2 * 2).collect();
            for hint in 0..len + 2 {
                for wanted in 0..len + 2 {
                    assert_eq!(
                        seek(&sorted, hint, |&x| x < wanted),
                        sorted.partition_point(|&x| x < wanted),
                        "{wanted} in {sorted:?} from {hint}"
                    );
                }
            }
        }
    }
}
