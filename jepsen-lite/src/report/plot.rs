//! The data of the page's figures, by columns, so that many operations fit.
//!
//! Numbers that rise are told by their differences. LSNs become *heights*: places on an axis on which the
//! used parts of the epochs lie one above the other, so that the gap between two epochs costs nothing.

use std::collections::BTreeMap;

use hstore_core::{LogId, Lsn};
use serde::Serialize;

use super::story::{Story, StoryOp};
use crate::anomaly::Fact;
use crate::history::{Answer, GapKind, History, Moment, Op, OpId, RecordId, Status, position};
use crate::object::{ObjectHistory, Value};

/// So many operations are drawn. Of more, those around the certificates are.
const MAX_DRAWN: usize = 150_000;

/// Longer labels are cut, so that the page stays small.
const MAX_LABEL: usize = 48;

/// Everything that is drawn.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Plot {
    /// How many operations the history has.
    total: usize,
    is_of_logs: bool,
    has_time: bool,
    subjects: Vec<String>,
    kinds: Vec<String>,
    processes: Vec<u32>,
    /// By subject.
    axes: Vec<Vec<AxisPiece>>,
    columns: Columns,
    stories: Vec<PlotStory>,
}

/// A used part of an epoch on the axis of heights.
#[derive(Clone, Copy, Debug, Serialize)]
struct AxisPiece {
    epoch: u32,
    /// The offset at `base`.
    first: u32,
    base: u64,
    len: u64,
}

/// One entry for each operation that is drawn.
#[derive(Clone, Debug, Default, Serialize)]
struct Columns {
    /// The number, as the difference to the one before.
    op: Vec<u32>,
    /// Into `processes`.
    process: Vec<u32>,
    /// Into `subjects`.
    subject: Vec<u32>,
    /// Into `kinds`.
    kind: Vec<u8>,
    /// 0 for ok, 1 for failed, 2 for unknown.
    status: Vec<u8>,
    /// The event of its invocation, as the difference to the one before.
    begin: Vec<u64>,
    /// So many events later it ended; -1 if it did not.
    lasted: Vec<i64>,
    /// The same in nanoseconds. Recordings whose time goes back are drawn too.
    begin_ns: Vec<i64>,
    lasted_ns: Vec<i64>,
    /// The heights of which it speaks; -1 if it speaks of none.
    low: Vec<i64>,
    high: Vec<i64>,
    /// What it says of them: 0 nothing, 1 a record is put there, 2 the log ends at the higher one, 3 the
    /// log reaches up to the higher one.
    shape: Vec<u8>,
    label: Vec<String>,
}

/// What is marked for a story.
#[derive(Clone, Debug, Serialize)]
struct PlotStory {
    id: String,
    subject: u32,
    /// The operations of the certificate, with what they say of its positions.
    ops: Vec<(u32, String)>,
    /// From, to, kind of reason, text.
    arrows: Vec<(u32, u32, String, String)>,
    /// Heights with their LSNs.
    guides: Vec<(i64, String)>,
    /// What a read showed at a height: operation, height, `record`, `gap` or `nothing`.
    marks: Vec<(u32, i64, &'static str)>,
    /// What the nearest legal outcome puts elsewhere: operation, height, what was answered then.
    legal: Option<(u32, i64, String)>,
}

impl Plot {
    pub(crate) fn of_log(history: &History, stories: &[Story]) -> Self {
        let drawn = drawn(history.len(), stories);
        let mut subjects = Numbers::default();
        for &id in &drawn {
            subjects.number(history.op(id).log());
        }
        let axes = axes(history, &drawn, &subjects);
        let found = found_positions(history, &drawn);
        let mut plot = Self {
            total: history.len(),
            is_of_logs: true,
            ..Self::default()
        };
        let mut processes = Numbers::default();
        let mut kinds = Numbers::default();
        let mut rows = Rows::default();
        for op in drawn.iter().map(|&id| history.op(id)) {
            let subject = subjects.number(op.log());
            let told = StoryOp::of_log(op);
            let (low, high, shape) = heights(op, &axes[subject as usize], &found);
            rows.push(
                &mut plot.columns,
                &told,
                op.invoked(),
                op.completed(),
                Row {
                    process: processes.number(told.process),
                    subject,
                    kind: kinds.number(op.kind().to_string()),
                    low,
                    high,
                    shape,
                },
            );
        }
        plot.has_time = rows.has_time;
        plot.processes = processes.in_order();
        plot.kinds = kinds.in_order();
        plot.stories = stories
            .iter()
            .map(|story| {
                let first = story.certificate.first().map(|op| OpId(op.op));
                let log = first.map(|op| history.op(op).log());
                let subject = log.map_or(0, |log| subjects.number(log));
                let axis = axes.get(subject as usize).map_or(&[][..], Vec::as_slice);
                PlotStory {
                    guides: guides(story, axis),
                    marks: marks(history, story, axis),
                    legal: legal(history, story, axis),
                    ..PlotStory::of(story, subject)
                }
            })
            .collect();
        plot.subjects = subjects.in_order().iter().map(LogId::to_string).collect();
        plot.axes = axes;
        plot
    }

    pub(crate) fn of_objects(history: &ObjectHistory, stories: &[Story]) -> Self {
        let mut plot = Self {
            total: history.len(),
            ..Self::default()
        };
        let mut subjects = Numbers::default();
        let mut processes = Numbers::default();
        let mut kinds = Numbers::default();
        let mut rows = Rows::default();
        for op in drawn(history.len(), stories)
            .into_iter()
            .map(|id| history.op(id))
        {
            let told = StoryOp::of_object(op);
            rows.push(
                &mut plot.columns,
                &told,
                op.invoked(),
                op.completed(),
                Row {
                    process: processes.number(told.process),
                    subject: subjects.number(op.key().clone()),
                    // No object has that many functions; if one has, the last share a colour.
                    kind: kinds
                        .number(op.function().to_owned())
                        .min(u32::from(u8::MAX)),
                    low: -1,
                    high: -1,
                    shape: 0,
                },
            );
        }
        plot.has_time = rows.has_time;
        plot.processes = processes.in_order();
        plot.kinds = kinds.in_order();
        plot.stories = stories
            .iter()
            .map(|story| {
                let first = story.certificate.first().map(|op| OpId(op.op));
                let key = first.map(|op| history.op(op).key().clone());
                PlotStory::of(story, key.map_or(0, |key| subjects.number(key)))
            })
            .collect();
        let keys = subjects.in_order();
        plot.subjects = keys
            .iter()
            .map(|key| match key {
                Value::Nil => "the object".to_owned(),
                key => format!("key {key}"),
            })
            .collect();
        plot
    }

    /// How many operations are drawn, and how many there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.columns.op.len(), self.total)
    }

    pub(crate) fn is_of_logs(&self) -> bool {
        self.is_of_logs
    }
}

impl PlotStory {
    fn of(story: &Story, subject: u32) -> Self {
        let (ops, arrows) = (story.certificate.iter(), story.arrows.iter());
        Self {
            id: story.id.clone(),
            subject,
            ops: ops.map(|op| (op.op, cut(&op.words()))).collect(),
            arrows: arrows
                .map(|arrow| {
                    let (reason, text) = (arrow.reason.clone(), arrow.text.clone());
                    (arrow.from, arrow.to, reason, text)
                })
                .collect(),
            guides: Vec::new(),
            marks: Vec::new(),
            legal: None,
        }
    }
}

/// Numbers for things, in the order in which they come.
struct Numbers<T> {
    numbers: BTreeMap<T, u32>,
}

impl<T> Default for Numbers<T> {
    fn default() -> Self {
        Self {
            numbers: BTreeMap::new(),
        }
    }
}

impl<T: Ord + Clone> Numbers<T> {
    fn number(&mut self, thing: T) -> u32 {
        let next = u32::try_from(self.numbers.len()).expect("fewer things than operations");
        *self.numbers.entry(thing).or_insert(next)
    }

    fn in_order(&self) -> Vec<T> {
        let mut things: Vec<(u32, T)> = self
            .numbers
            .iter()
            .map(|(thing, number)| (*number, thing.clone()))
            .collect();
        things.sort_by_key(|(number, _)| *number);
        things.into_iter().map(|(_, thing)| thing).collect()
    }
}

/// What is drawn: everything, or what is near to the certificates.
fn drawn(len: usize, stories: &[Story]) -> Vec<OpId> {
    let all = 0..u32::try_from(len).expect("fewer than 2^32 operations in a history");
    if len <= MAX_DRAWN {
        return all.map(OpId).collect();
    }
    let mut centers: Vec<u32> = stories
        .iter()
        .flat_map(|story| story.certificate.iter().map(|op| op.op))
        .collect();
    centers.sort_unstable();
    centers.dedup();
    if centers.is_empty() {
        return all.map(OpId).take(MAX_DRAWN).collect();
    }
    let reach = u32::try_from(MAX_DRAWN / (2 * centers.len())).expect("a small number");
    let mut drawn = Vec::new();
    let mut next = 0;
    for center in centers {
        let first = center.saturating_sub(reach).max(next);
        let end = center.saturating_add(reach).min(all.end);
        drawn.extend((first..end.max(first)).map(OpId));
        next = end.max(next);
    }
    drawn
}

/// What is pushed beside an operation.
struct Row {
    process: u32,
    subject: u32,
    kind: u32,
    low: i64,
    high: i64,
    shape: u8,
}

/// The row before, to tell differences.
#[derive(Default)]
struct Rows {
    op: u32,
    begin: u64,
    begin_ns: i64,
    has_time: bool,
}

impl Rows {
    fn push(
        &mut self,
        columns: &mut Columns,
        told: &StoryOp,
        invoked: Moment,
        completed: Option<Moment>,
        row: Row,
    ) {
        // Times of this size are nonsense, but must not end the report.
        let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let begin_ns = signed(invoked.time_ns);
        columns.op.push(told.op - self.op);
        columns.process.push(row.process);
        columns.subject.push(row.subject);
        columns.kind.push(u8::try_from(row.kind).unwrap_or(u8::MAX));
        columns.status.push(match told.status {
            Status::Ok => 0,
            Status::Fail => 1,
            Status::Open | Status::Info => 2,
        });
        columns.begin.push(invoked.index.0 - self.begin);
        columns
            .begin_ns
            .push(begin_ns.saturating_sub(self.begin_ns));
        columns
            .lasted
            .push(completed.map_or(-1, |at| signed(at.index.0.saturating_sub(invoked.index.0))));
        columns
            .lasted_ns
            .push(completed.map_or(-1, |at| signed(at.time_ns.saturating_sub(invoked.time_ns))));
        columns.low.push(row.low);
        columns.high.push(row.high);
        columns.shape.push(row.shape);
        columns.label.push(cut(&told.words()));
        self.op = told.op;
        self.begin = invoked.index.0;
        self.begin_ns = begin_ns;
        self.has_time |= begin_ns > 0;
    }
}

fn cut(label: &str) -> String {
    if label.chars().count() <= MAX_LABEL {
        return label.to_owned();
    }
    let start: String = label.chars().take(MAX_LABEL - 1).collect();
    format!("{start}…")
}

/// The positions and bounds of which an operation speaks.
fn span(op: Op<'_>, found: &BTreeMap<(LogId, RecordId), u64>) -> Option<(u64, u64, u8)> {
    match op.answer() {
        Some(Answer::Append { lsn }) => Some((lsn.as_u64(), lsn.as_u64(), 1)),
        Some(Answer::Tail { tail } | Answer::Seal { tail }) => {
            Some((position(tail), position(tail), 2))
        }
        Some(Answer::Read(read)) => {
            let shape = if read.reached_tail() { 2 } else { 3 };
            Some((position(read.from), read.end(), shape))
        }
        Some(Answer::Poll(read)) => Some((position(read.from), read.end(), 3)),
        None => {
            let at = *found.get(&(op.log(), op.record()?))?;
            Some((at, at, 1))
        }
        Some(Answer::Mismatch(_) | Answer::Trimmed { .. } | Answer::Trim) => None,
    }
}

/// Where reads show the records of appends of unknown outcome.
fn found_positions(history: &History, drawn: &[OpId]) -> BTreeMap<(LogId, RecordId), u64> {
    let ops = || drawn.iter().map(|&id| history.op(id));
    let mut wanted: BTreeMap<(LogId, RecordId), Option<u64>> = ops()
        .filter(|op| matches!(op.status(), Status::Open | Status::Info))
        .filter_map(|op| Some(((op.log(), op.record()?), None)))
        .collect();
    if wanted.is_empty() {
        return BTreeMap::new();
    }
    for op in ops() {
        let Some(Answer::Read(read) | Answer::Poll(read)) = op.answer() else {
            continue;
        };
        for &(lsn, record) in read.records {
            if let Some(found) = wanted.get_mut(&(op.log(), record)) {
                *found = Some(lsn.as_u64());
            }
        }
    }
    let found = wanted.into_iter();
    found
        .filter_map(|(record, at)| Some((record, at?)))
        .collect()
}

/// The used parts of the epochs of each subject.
fn axes(history: &History, drawn: &[OpId], subjects: &Numbers<LogId>) -> Vec<Vec<AxisPiece>> {
    let mut used: Vec<BTreeMap<u32, (u32, u32)>> = vec![BTreeMap::new(); subjects.numbers.len()];
    for op in drawn.iter().map(|&id| history.op(id)) {
        let subject = subjects.numbers[&op.log()] as usize;
        let mut note = |at: u64| {
            let lsn = Lsn::from_u64(at);
            let (epoch, offset) = (lsn.epoch.0, lsn.offset.0);
            let (first, last) = used[subject].entry(epoch).or_insert((offset, offset));
            *first = (*first).min(offset);
            *last = (*last).max(offset);
        };
        if let Some((low, high, _)) = span(op, &BTreeMap::new()) {
            note(low);
            note(high);
        }
        if let Some(Answer::Read(read) | Answer::Poll(read)) = op.answer() {
            for at in [read.records.first(), read.records.last()]
                .into_iter()
                .flatten()
            {
                note(at.0.as_u64());
            }
        }
    }
    let axes = used.into_iter().map(|epochs| {
        let mut base = 0;
        let pieces = epochs.into_iter().map(|(epoch, (first, last))| {
            let len = u64::from(last - first) + 1;
            let piece = AxisPiece {
                epoch,
                first,
                base,
                len,
            };
            base += len;
            piece
        });
        pieces.collect()
    });
    axes.collect()
}

/// The height of a position; of one outside of what is used, that of the next one.
fn height(axis: &[AxisPiece], at: u64) -> i64 {
    let lsn = Lsn::from_u64(at);
    let next = axis.partition_point(|piece| piece.epoch < lsn.epoch.0);
    let height = match axis.get(next) {
        Some(piece) if piece.epoch == lsn.epoch.0 => {
            let above = u64::from(lsn.offset.0.saturating_sub(piece.first));
            piece.base + above.min(piece.len)
        }
        Some(piece) => piece.base,
        None => axis.last().map_or(0, |piece| piece.base + piece.len),
    };
    i64::try_from(height).expect("fewer positions than 2^63 are used")
}

fn heights(
    op: Op<'_>,
    axis: &[AxisPiece],
    found: &BTreeMap<(LogId, RecordId), u64>,
) -> (i64, i64, u8) {
    match span(op, found) {
        None => (-1, -1, 0),
        Some((low, _, 1)) => (height(axis, low), height(axis, low) + 1, 1),
        Some((low, high, shape)) => (height(axis, low), height(axis, high), shape),
    }
}

fn positions(story: &Story) -> impl Iterator<Item = Lsn> + '_ {
    story.positions.iter().filter_map(|at| at.parse().ok())
}

fn guides(story: &Story, axis: &[AxisPiece]) -> Vec<(i64, String)> {
    positions(story)
        .map(|lsn| (height(axis, lsn.as_u64()), lsn.to_string()))
        .collect()
}

/// What the reads of a certificate showed at its positions.
fn marks(history: &History, story: &Story, axis: &[AxisPiece]) -> Vec<(u32, i64, &'static str)> {
    let mut marks = Vec::new();
    for op in &story.certificate {
        let Some(Answer::Read(read) | Answer::Poll(read)) = history.op(OpId(op.op)).answer() else {
            continue;
        };
        for lsn in positions(story) {
            let is_here = |first: Lsn, last: Lsn| first <= lsn && lsn <= last;
            let record = read.records.iter().any(|(at, _)| *at == lsn);
            let gap = read.gaps.iter().find(|gap| is_here(gap.first, gap.last));
            let passes = position(read.from) <= lsn.as_u64() && lsn.as_u64() < read.end();
            let mark = match (record, gap.map(|gap| gap.kind)) {
                (true, _) => "record",
                (false, Some(GapKind::Trim)) => "trim",
                (false, Some(_)) => "gap",
                (false, None) if passes => "nothing",
                (false, None) => continue,
            };
            marks.push((op.op, height(axis, lsn.as_u64()), mark));
        }
    }
    marks
}

/// Where the nearest legal outcome lies, if it is not where the answer was.
fn legal(history: &History, story: &Story, axis: &[AxisPiece]) -> Option<(u32, i64, String)> {
    let nearest = story.nearest.as_ref()?;
    let at = match nearest.fact.as_ref()? {
        Fact::Appended { lsn } => lsn.as_u64(),
        Fact::Tail { tail } => position(*tail),
        Fact::Read { end, .. } => position(*end),
        _ => return None,
    };
    let (_, was, _) = span(history.op(OpId(nearest.op)), &BTreeMap::new())?;
    let words = format!("legal: {}", nearest.legal.first()?);
    (at != was).then(|| (nearest.op, height(axis, at), cut(&words)))
}
