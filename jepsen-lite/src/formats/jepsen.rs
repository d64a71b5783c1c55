//! Makes a history of Jepsen's events.
//!
//! - What is no client is the nemesis, and skipped; so is an `:info` of a process that has nothing open.
//! - An `:info` leaves its operation open for ever. Its process may go on: nothing that is wrong would
//!   be judged right by that.
//! - The value of an invocation is the argument, that of a completion the result. Operations that only
//!   change something ([`only_changes`]) return their argument in Jepsen's histories: that is no result.
//!   Unless it is an `append`, of a history in which another one returned something else: then that is
//!   the position of the record, and may well be the same number as the record itself.
//!   Where only the completion says what was written, that is the argument.
//! - A `:key`, or a value tagged as a tuple of `jepsen.independent`, says which part of the object an
//!   operation is about. An untagged pair is a value like others.

use super::error::{Place, ReadError, ReadErrorReason};
use super::events::{Event, EventType, Events, Placed};
use super::log_twin;
use crate::history::{
    EventIndex, History, IllFormed, IllFormedReason, Intervals, Moment, OpId, ProcessId, Status,
};
use crate::object::{AfterInfo, Asked, ObjectHistory, ObjectOp, ObjectRecorder, Value, ValueId};

/// What the events were about.
pub(super) enum Recorded {
    Log(History),
    Object(ObjectHistory),
}

/// Reads events of logs, if the first one of a client is one of a log, or of another object.
pub(super) fn read(mut events: impl Events) -> Result<Recorded, ReadError> {
    let mut skipped = 0;
    while let Some(event) = events.next()? {
        if event.what.process.is_none() {
            skipped += 1;
            continue;
        }
        if log_twin::is_of_log(&event.what) {
            return log_twin::read(event, skipped, events).map(Recorded::Log);
        }
        return read_on(skipped, Some(event), events).map(Recorded::Object);
    }
    read_on(skipped, None, events).map(Recorded::Object)
}

/// Reads events of an object that is no log.
pub(super) fn read_object(events: impl Events) -> Result<ObjectHistory, ReadError> {
    read_on(0, None, events)
}

/// Goes on after `skipped` events of the nemesis and this one of a client.
fn read_on(
    skipped: u64,
    first: Option<Placed<Event>>,
    mut events: impl Events,
) -> Result<ObjectHistory, ReadError> {
    let mut recorder = ObjectRecorder::new(Intervals::Closed, AfterInfo::GoOn);
    let mut indexes = Indexes::after(skipped);
    let mut appends = Appends::default();
    let mut next = match first {
        Some(event) => Some(event),
        None => events.next()?,
    };
    while let Some(event) = next {
        let position = indexes.note(event.what.index);
        recorder.read_at(event.place.to_keep());
        record(&mut recorder, &mut appends, event.what, position)
            .map_err(|fault| fault.at(event.place))?;
        next = events.next()?;
    }
    appends.settle(&mut recorder);
    let mut history = recorder.finish();
    if let Some(indexes) = indexes.own() {
        history.renumber_events(skipped, &indexes);
    }
    Ok(history)
}

/// Why an event cannot be recorded.
pub(super) enum Fault {
    Event(String),
    IllFormed(IllFormed),
}

impl Fault {
    pub(super) fn at(self, place: Place) -> ReadError {
        place.error(match self {
            Self::Event(reason) => ReadErrorReason::Event(reason),
            Self::IllFormed(reason) => ReadErrorReason::IllFormed(reason),
        })
    }
}

impl From<IllFormed> for Fault {
    fn from(error: IllFormed) -> Self {
        Self::IllFormed(error)
    }
}

/// What the appends of a history returned.
#[derive(Default)]
struct Appends {
    /// Those that returned a number that is their argument, too.
    repeated: Vec<OpId>,
    /// Whether another one returned a number that is not.
    tell_positions: bool,
}

impl Appends {
    /// Notes the answer to an append that is still open.
    fn note(&mut self, append: ObjectOp<'_>, answer: &Value) {
        if append.function() != "append" || !matches!(answer, Value::Int(_)) {
            return;
        }
        if answer == append.argument() {
            self.repeated.push(append.id());
        } else if !append.argument().is_nil() {
            self.tell_positions = true;
        }
    }

    /// Takes what was repeated for a position if others told theirs.
    fn settle(self, recorder: &mut ObjectRecorder) {
        if self.tell_positions {
            for append in self.repeated {
                recorder.learn_result_is_argument(append);
            }
        }
    }
}

fn record(
    recorder: &mut ObjectRecorder,
    appends: &mut Appends,
    event: Event,
    position: EventIndex,
) -> Result<(), Fault> {
    let Some(process) = event.process else {
        return Ok(());
    };
    let at = Moment {
        index: position,
        time_ns: event.time_ns,
    };
    if event.kind == EventType::Invoke {
        let asked = Asked {
            function: recorder.function(&event.function),
            key: recorder.value(event.key.unwrap_or_default()),
            argument: recorder.value(event.value),
        };
        recorder.invoke(process, asked, at)?;
        return Ok(());
    }
    let Some(op) = recorder.open_op(process) else {
        if event.kind == EventType::Info {
            return Ok(());
        }
        return Err(nothing_open(process, position).into());
    };
    let open = recorder.history().op(op);
    if open.function() != event.function {
        return Err(Fault::Event(format!(
            "the open {op} of process {} is `{}`, the answer is to `{}`",
            process.0,
            open.function(),
            event.function
        )));
    }
    if let Some(key) = &event.key
        && key != open.key()
    {
        return Err(Fault::Event(format!(
            "the open {op} of process {} is about {}, the answer is about {key}",
            process.0,
            open.key()
        )));
    }
    let status = match event.kind {
        EventType::Ok => Status::Ok,
        EventType::Fail => Status::Fail,
        EventType::Info => Status::Info,
        EventType::Invoke => unreachable!("invocations were sorted out above"),
    };
    let result = match status {
        Status::Ok => {
            appends.note(open, &event.value);
            take_result(recorder, op, event.value)
        }
        Status::Fail | Status::Info | Status::Open => ValueId::NIL,
    };
    recorder.complete(op, status, result, at)?;
    Ok(())
}

pub(super) fn nothing_open(process: ProcessId, event: EventIndex) -> IllFormed {
    IllFormed {
        event,
        reason: IllFormedReason::NothingOpen { process },
    }
}

/// Keeps the value of a completion where it belongs, and returns the result.
fn take_result(recorder: &mut ObjectRecorder, op: OpId, value: Value) -> ValueId {
    let open = recorder.history().op(op);
    if only_changes(open.function()) {
        if value == *open.argument() {
            return ValueId::NIL;
        }
        if open.argument().is_nil() {
            let argument = recorder.value(value);
            recorder.learn_argument(op, argument);
            return ValueId::NIL;
        }
    }
    recorder.value(value)
}

/// Whether an operation of this name returns nothing but what it was given.
pub(super) fn only_changes(function: &str) -> bool {
    matches!(
        function,
        "write" | "cas" | "add" | "enqueue" | "push" | "put" | "append" | "acquire" | "release"
    )
}

/// The indexes that events have by their own word, as long as all have one and they rise.
struct Indexes {
    /// How many events were before the first that is noted.
    skipped: u64,
    noted: u64,
    own: Option<Vec<u64>>,
}

impl Indexes {
    fn after(skipped: u64) -> Self {
        Self {
            skipped,
            noted: 0,
            own: Some(Vec::new()),
        }
    }

    /// Notes the index of the next event, and returns its position in the file.
    fn note(&mut self, index: Option<u64>) -> EventIndex {
        let position = EventIndex(self.skipped + self.noted);
        self.noted += 1;
        if let Some(own) = &mut self.own {
            match index {
                Some(index)
                    if own.last().is_none_or(|&last| last < index)
                        && EventIndex(index) <= EventIndex::MAX =>
                {
                    own.push(index);
                }
                _ => self.own = None,
            }
        }
        position
    }

    /// The indexes by position after the first, if they are to be used.
    fn own(self) -> Option<Vec<u64>> {
        let first = self.skipped;
        let own = self.own?;
        let is_position = own.iter().zip(first..).all(|(&index, at)| index == at);
        (!is_position).then_some(own)
    }
}
