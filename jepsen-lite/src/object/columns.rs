//! A recorded history of an object, by columns.
//!
//! Invariants, which only the recorder can establish: operations are numbered in the order of their
//! invocation; events do not go back; a process has one open operation at most.
//!
//! An operation costs 53 bytes, 16 more if it is known where in a file it was, and each distinct value is kept once.

use std::fmt;

use super::value::{Value, ValueId, Values};
use crate::history::{EventIndex, Intervals, Moment, OpId, ProcessId, Status, event_order};

/// Stands for "no event" in the column of completions.
const NEVER: u64 = u64::MAX;

/// What was asked of an object and what it answered, complete with the order of events.
#[derive(Clone, Debug, Default)]
pub struct ObjectHistory {
    intervals: Intervals,
    values: Values,
    process: Vec<ProcessId>,
    function: Vec<ValueId>,
    key: Vec<ValueId>,
    argument: Vec<ValueId>,
    result: Vec<ValueId>,
    status: Vec<Status>,
    invoked: Vec<u64>,
    /// `NEVER` for an operation that is still open; the event that said so for `Info`.
    completed: Vec<u64>,
    invoked_ns: Vec<u64>,
    completed_ns: Vec<u64>,
    /// Where the invocations were read; shorter than the other columns where that is not known.
    invoked_in: Vec<TextPlace>,
    completed_in: Vec<TextPlace>,
}

/// Where in a file something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TextPlace {
    /// The line, from 1.
    pub line: u32,
    /// The column in bytes, from 1.
    pub column: u32,
}

impl TextPlace {
    /// Stands for "not known" in the columns.
    const NOWHERE: Self = Self { line: 0, column: 0 };
}

impl fmt::Display for TextPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What a process asks of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The name of what it asks: `read`, `write`, `cas`, ...
    pub function: ValueId,
    /// The part of the object that it is about, or [`ValueId::NIL`] if the object has no parts.
    pub key: ValueId,
    /// The argument.
    pub argument: ValueId,
}

impl ObjectHistory {
    pub(super) fn new(intervals: Intervals) -> Self {
        Self {
            intervals,
            ..Self::default()
        }
    }

    /// What touching operations are to each other.
    #[must_use]
    pub fn intervals(&self) -> Intervals {
        self.intervals
    }

    /// The values that the operations carry.
    #[must_use]
    pub fn values(&self) -> &Values {
        &self.values
    }

    pub(super) fn values_mut(&mut self) -> &mut Values {
        &mut self.values
    }

    /// The number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.process.len()
    }

    /// Whether nothing was recorded.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.process.is_empty()
    }

    /// All operations, in the order of their invocation.
    pub fn ops(&self) -> impl ExactSizeIterator<Item = ObjectOp<'_>> + '_ {
        (0..op_number(self.len())).map(|id| self.op(OpId(id)))
    }

    /// One operation. Panics if it is not one of this history.
    #[must_use]
    pub fn op(&self, id: OpId) -> ObjectOp<'_> {
        assert!((id.0 as usize) < self.len(), "{id} is not of this history");
        ObjectOp { history: self, id }
    }

    /// The events in the order of the recording: an operation, and whether it is its invocation
    /// (or else its completion).
    #[must_use]
    pub fn events(&self) -> Vec<(OpId, bool)> {
        let rows = self.ops().map(|op| {
            let completed = op.completed().map(|at| at.index);
            (op.process(), op.invoked().index, completed)
        });
        event_order(self.intervals, rows)
    }

    /// How many bytes the operations occupy; their values come on top.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        fn of<T>(column: &[T]) -> usize {
            size_of_val(column)
        }
        of(&self.process)
            + of(&self.function)
            + of(&self.key)
            + of(&self.argument)
            + of(&self.result)
            + of(&self.status)
            + of(&self.invoked)
            + of(&self.completed)
            + of(&self.invoked_ns)
            + of(&self.completed_ns)
            + of(&self.invoked_in)
            + of(&self.completed_in)
    }

    pub(super) fn push(&mut self, process: ProcessId, asked: Asked, invoked: Moment) -> OpId {
        let id = OpId(op_number(self.len()));
        self.process.push(process);
        self.function.push(asked.function);
        self.key.push(asked.key);
        self.argument.push(asked.argument);
        self.result.push(ValueId::NIL);
        self.status.push(Status::Open);
        self.invoked.push(invoked.index.0);
        self.completed.push(NEVER);
        self.invoked_ns.push(invoked.time_ns);
        self.completed_ns.push(0);
        id
    }

    /// The invocation of an operation was read here.
    pub(super) fn set_invoked_in(&mut self, id: OpId, place: TextPlace) {
        set(&mut self.invoked_in, id, place);
    }

    /// The completion of an operation was read here.
    pub(super) fn set_completed_in(&mut self, id: OpId, place: TextPlace) {
        set(&mut self.completed_in, id, place);
    }

    pub(super) fn set_argument(&mut self, id: OpId, argument: ValueId) {
        self.argument[id.0 as usize] = argument;
    }

    pub(super) fn set_result_to_argument(&mut self, id: OpId) {
        let row = id.0 as usize;
        self.result[row] = self.argument[row];
    }

    /// Gives the event of index `first + row` the index `indexes[row]` instead. Panics if these do not
    /// rise, or if an event has none.
    pub(crate) fn renumber_events(&mut self, first: u64, indexes: &[u64]) {
        assert!(
            indexes.is_sorted_by(|a, b| a < b),
            "events keep their order"
        );
        let last = indexes.last();
        assert!(last.is_none_or(|&last| EventIndex(last) <= EventIndex::MAX));
        for event in self.invoked.iter_mut().chain(&mut self.completed) {
            if *event != NEVER {
                let row = usize::try_from(*event - first).expect("a row of a table");
                *event = indexes[row];
            }
        }
    }

    pub(super) fn complete(&mut self, id: OpId, status: Status, result: ValueId, at: Moment) {
        let row = id.0 as usize;
        self.status[row] = status;
        self.result[row] = result;
        self.completed[row] = at.index.0;
        self.completed_ns[row] = at.time_ns;
    }
}

fn set(places: &mut Vec<TextPlace>, id: OpId, place: TextPlace) {
    let row = id.0 as usize;
    if places.len() <= row {
        places.resize(row + 1, TextPlace::NOWHERE);
    }
    places[row] = place;
}

fn op_number(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than 2^32 operations in a history")
}

/// One operation of an [`ObjectHistory`].
#[derive(Clone, Copy, Debug)]
pub struct ObjectOp<'h> {
    history: &'h ObjectHistory,
    id: OpId,
}

impl<'h> ObjectOp<'h> {
    fn row(self) -> usize {
        self.id.0 as usize
    }

    /// Its number.
    #[must_use]
    pub fn id(self) -> OpId {
        self.id
    }

    /// Who did it.
    #[must_use]
    pub fn process(self) -> ProcessId {
        self.history.process[self.row()]
    }

    /// The name of what was asked.
    #[must_use]
    pub fn function(self) -> &'h str {
        let name = self.history.values.get(self.history.function[self.row()]);
        name.as_name().expect("a function is recorded by its name")
    }

    /// The part of the object, [`Value::Nil`] if it has none.
    #[must_use]
    pub fn key(self) -> &'h Value {
        self.history.values.get(self.key_id())
    }

    /// The part of the object, by number.
    #[must_use]
    pub fn key_id(self) -> ValueId {
        self.history.key[self.row()]
    }

    /// The argument.
    #[must_use]
    pub fn argument(self) -> &'h Value {
        self.history.values.get(self.argument_id())
    }

    /// The argument, by number.
    #[must_use]
    pub fn argument_id(self) -> ValueId {
        self.history.argument[self.row()]
    }

    /// What was returned: [`Value::Nil`] unless the operation ended `Ok`, and where nothing was.
    #[must_use]
    pub fn result(self) -> &'h Value {
        self.history.values.get(self.result_id())
    }

    /// What was returned, by number.
    #[must_use]
    pub fn result_id(self) -> ValueId {
        self.history.result[self.row()]
    }

    /// How it stands.
    #[must_use]
    pub fn status(self) -> Status {
        self.history.status[self.row()]
    }

    /// When it was invoked.
    #[must_use]
    pub fn invoked(self) -> Moment {
        Moment {
            index: EventIndex(self.history.invoked[self.row()]),
            time_ns: self.history.invoked_ns[self.row()],
        }
    }

    /// When its last event was; `None` while it is open. An operation that ended `Info` has such a
    /// moment too, but may take effect later.
    #[must_use]
    pub fn completed(self) -> Option<Moment> {
        let index = self.history.completed[self.row()];
        (index != NEVER).then(|| Moment {
            index: EventIndex(index),
            time_ns: self.history.completed_ns[self.row()],
        })
    }

    /// Where its invocation was read, if that is known.
    #[must_use]
    pub fn invoked_in(self) -> Option<TextPlace> {
        let place = self.history.invoked_in.get(self.row()).copied();
        place.filter(|&place| place != TextPlace::NOWHERE)
    }

    /// Where its last event was read, if that is known.
    #[must_use]
    pub fn completed_in(self) -> Option<TextPlace> {
        let place = self.history.completed_in.get(self.row()).copied();
        place.filter(|&place| place != TextPlace::NOWHERE)
    }

    /// Its invocation, in the order of [`Intervals::invocation_edge`].
    #[must_use]
    pub fn invocation_edge(self) -> u64 {
        let intervals = self.history.intervals;
        intervals.invocation_edge(self.invoked().index)
    }

    fn completion_edge(self) -> Option<u64> {
        let intervals = self.history.intervals;
        self.completed()
            .map(|at| intervals.completion_edge(at.index))
    }

    /// The edge by which it took effect, or certainly did not: `u64::MAX` for an operation of unknown
    /// outcome. One operation precedes another iff its deadline is less than the other's
    /// [`invocation_edge`](Self::invocation_edge).
    #[must_use]
    pub fn deadline(self) -> u64 {
        match self.status() {
            Status::Ok | Status::Fail => self.completion_edge().expect("it has returned"),
            Status::Open | Status::Info => u64::MAX,
        }
    }
}
