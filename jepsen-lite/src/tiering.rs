//! Tiering: all tiers show the same, and what one tier has taken over tiles the log.
//!
//! Reads of the log, of the local tier and of object storage are held against each other at each LSN of
//! which two of them speak. A record agrees with the same record only. Holes and bridges agree with each
//! other, for either tells that no record was ever there; data loss agrees with data loss only. What was
//! trimmed is excused. A position that a read passes without a word says that nothing is there.
//!
//! What reads of one and the same place say of each other is for prefix agreement.
//!
//! [`tiles`] judges what a tier says of itself: the list of ranges that were committed to it.

use hstore_core::{LogId, Lsn};

use crate::anomaly::{Anomaly, AnomalyKind, Seen, Witnesses, Words, by_observation};
use crate::history::{Answer, GapKind, History, OpId, OpKind, Source, after, position};
use crate::shown::{Piece, pieces};
use crate::verdict::{Findings, Verdict};

const SOURCES: [Source; 3] = [Source::Log, Source::Tier1, Source::Tier2];

/// What one place shows.
#[derive(Debug, Default)]
struct Place {
    /// By LSN, each thing once.
    records: Vec<Shown>,
    /// By first position; no trims.
    gaps: Vec<Shown>,
    /// Those among them where no record ever was, it says.
    holes: Vec<Shown>,
    /// The place in `holes` of the one that reaches furthest, up to and with each.
    furthest: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Shown {
    piece: Piece,
    read: OpId,
}

/// Judges one log, whose operations are `ops`.
pub(crate) fn check(history: &History, log: LogId, ops: &[OpId]) -> Verdict {
    let mut findings = Findings::default();
    let witnesses = Witnesses { history, log };
    let mut places = SOURCES.map(|_| Place::default());
    gather(history, ops, &mut places);
    for place in &mut places {
        place.settle();
    }
    for (one, two) in [(0, 1), (0, 2), (1, 2)] {
        let (one, two) = (&places[one], &places[two]);
        let mut report = |one: Shown, two: Shown| {
            findings.add(AnomalyKind::TierDivergence, || {
                divergence(witnesses, one, two)
            });
        };
        records_differ(one, two, &mut report);
        gaps_hide_records(one, two, &mut report);
        gaps_hide_records(two, one, &mut report);
        gaps_differ(one, two, &mut report);
        gaps_differ(two, one, &mut report);
    }
    findings.verdict_or(|| Verdict::Valid(()))
}

fn gather(history: &History, ops: &[OpId], places: &mut [Place; 3]) {
    let mut shown = Vec::new();
    for op in ops.iter().map(|&id| history.op(id)) {
        if !matches!(op.kind(), OpKind::Read | OpKind::Poll) {
            continue;
        }
        let Some(Answer::Read(read) | Answer::Poll(read)) = op.answer() else {
            continue;
        };
        let place = &mut places[read.source as usize];
        pieces(&read, &mut shown);
        let mut due = position(read.from);
        for &piece in &shown {
            if piece.first > due {
                let (first, end, seen) = (due, piece.first, Seen::Nothing);
                let read = op.id();
                let piece = Piece { first, end, seen };
                place.gaps.push(Shown { piece, read });
            }
            due = due.max(piece.end);
            let read = op.id();
            match piece.seen {
                Seen::Record { .. } => place.records.push(Shown { piece, read }),
                Seen::Gap {
                    kind: GapKind::Trim,
                } => {}
                Seen::Gap { .. } | Seen::Nothing => place.gaps.push(Shown { piece, read }),
            }
        }
    }
}

impl Place {
    /// Sorts what was gathered, and keeps each thing once.
    fn settle(&mut self) {
        let order = |shown: &Shown| {
            let what = match shown.piece.seen {
                Seen::Record { record } => record.0,
                Seen::Gap { kind } => kind as u64,
                Seen::Nothing => u64::MAX,
            };
            (shown.piece.first, shown.piece.end, what)
        };
        for list in [&mut self.records, &mut self.gaps] {
            list.sort_by_key(order);
            list.dedup_by_key(|shown| order(shown));
        }
        let holes = self.gaps.iter().filter(|gap| is_hole(gap));
        self.holes = holes.copied().collect();
        let mut furthest = 0;
        for (index, hole) in self.holes.iter().enumerate() {
            if hole.piece.end > self.holes[furthest].piece.end {
                furthest = index;
            }
            self.furthest.push(furthest);
        }
    }

    /// Some hole that shares a position with `piece`.
    fn hole_over(&self, piece: Piece) -> Option<Shown> {
        let begun = self
            .holes
            .partition_point(|hole| hole.piece.first < piece.end);
        let candidate = self.holes[*self.furthest[..begun].last()?];
        (candidate.piece.end > piece.first).then_some(candidate)
    }
}

fn is_hole(shown: &Shown) -> bool {
    matches!(
        shown.piece.seen,
        Seen::Gap {
            kind: GapKind::Hole | GapKind::Bridge
        }
    )
}

/// Two records at one LSN.
fn records_differ(one: &Place, two: &Place, report: &mut impl FnMut(Shown, Shown)) {
    let mut others = two.records.chunk_by(same_lsn).peekable();
    for here in one.records.chunk_by(same_lsn) {
        let lsn = here[0].piece.first;
        while others.next_if(|there| there[0].piece.first < lsn).is_some() {}
        let Some(there) = others.next_if(|there| there[0].piece.first == lsn) else {
            continue;
        };
        let differ = |one: &Shown, two: &Shown| one.piece.seen != two.piece.seen;
        let pairs = here
            .iter()
            .flat_map(|one| there.iter().map(move |two| (one, two)));
        if let Some((one, two)) = pairs.into_iter().find(|(one, two)| differ(one, two)) {
            report(*one, *two);
        }
    }
}

fn same_lsn(one: &Shown, two: &Shown) -> bool {
    one.piece.first == two.piece.first
}

/// A gap in one place, a record in the other: the first record of each gap.
fn gaps_hide_records(gaps: &Place, records: &Place, report: &mut impl FnMut(Shown, Shown)) {
    for &gap in &gaps.gaps {
        let first = records
            .records
            .partition_point(|record| record.piece.first < gap.piece.first);
        let inside = records.records.get(first);
        if let Some(&record) = inside.filter(|record| record.piece.first < gap.piece.end) {
            report(gap, record);
        }
    }
}

/// Data loss in `lossy`, a hole or a bridge in `other`.
fn gaps_differ(lossy: &Place, other: &Place, report: &mut impl FnMut(Shown, Shown)) {
    let loss = Seen::Gap {
        kind: GapKind::DataLoss,
    };
    for &lost in lossy.gaps.iter().filter(|gap| gap.piece.seen == loss) {
        if let Some(hole) = other.hole_over(lost.piece) {
            report(lost, hole);
        }
    }
}

fn divergence(witnesses: Witnesses<'_>, one: Shown, two: Shown) -> Anomaly {
    let lsn = one.piece.first.max(two.piece.first);
    witnesses.anomaly(
        AnomalyKind::TierDivergence,
        &[one.read, two.read],
        &[lsn],
        vec![
            by_observation(one.read, two.read, one.read, lsn, one.piece.seen),
            by_observation(two.read, one.read, two.read, lsn, two.piece.seen),
        ],
        Words {
            expected: format!("all tiers show the same at {}", Lsn::from_u64(lsn)),
            seen: format!(
                "{} shows {}, {} shows {}",
                witnesses.name(one.read),
                one.piece.seen,
                witnesses.name(two.read),
                two.piece.seen
            ),
        },
    )
}

/// A range of LSNs that was committed to a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TierRange {
    /// The first LSN.
    pub first: Lsn,
    /// The last LSN, inclusive.
    pub last: Lsn,
}

/// Why ranges do not tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untiled {
    /// A range ends before it begins.
    #[error("the range from {} to {} ends before it begins", .0.first, .0.last)]
    Backwards(TierRange),
    /// Two ranges have an LSN in common.
    #[error("the ranges from {} to {} and from {} to {} overlap", .0.first, .0.last, .1.first, .1.last)]
    Overlap(TierRange, TierRange),
    /// There are LSNs between two ranges.
    #[error("no range is between the one that ends at {} and the one that begins at {}", .0.last, .1.first)]
    Hole(TierRange, TierRange),
}

/// Whether ranges, in any order, cover a range of LSNs without overlap and without a hole.
///
/// # Errors
///
/// The first fault in the order of LSNs.
pub fn tiles(ranges: &[TierRange]) -> Result<(), Untiled> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    if let Some(&backwards) = ranges.iter().find(|range| range.last < range.first) {
        return Err(Untiled::Backwards(backwards));
    }
    for pair in ranges.windows(2) {
        let (one, two) = (pair[0], pair[1]);
        let (due, next) = (after(one.last.as_u64()), position(two.first));
        if next < due {
            return Err(Untiled::Overlap(one, two));
        }
        if next > due {
            return Err(Untiled::Hole(one, two));
        }
    }
    Ok(())
}
