//! The histories of S2's own linearizability test: a stream of records.
//!
//! ```text
//! {"event":{"Start":{"Append":{"num_records":1,"record_hashes":[7],"set_fencing_token":null,
//!  "fencing_token":null,"match_seq_num":0}}},"client_id":0,"op_id":0}
//! {"event":{"Finish":{"AppendSuccess":{"tail":1}}},"client_id":0,"op_id":0}
//! ```
//!
//! Functions are `append` (of a map with the fields above), `read` and `check-tail`; results are maps
//! with `tail`, and `stream_hash` for a read. Numbers of 64 bits are kept as the `i64` of the same bits.
//!
//! An `AppendIndefiniteFailure` leaves its append open for ever, wherever it stands: its client may have
//! gone on long before. So a client may start something while an append of it is open, if that append
//! never succeeds. Any other failure had no effect.

use std::collections::BTreeMap;
use std::io::BufRead;

use serde::Deserialize;

use super::error::{Place, ReadError, ReadErrorReason};
use super::forms::{Dialect, Forms};
use super::json;
use crate::history::{EventIndex, Intervals, Moment, OpId, ProcessId, Status};
use crate::object::{AfterInfo, Asked, ObjectHistory, ObjectRecorder, Value, ValueId};

#[derive(Deserialize)]
struct Labelled {
    event: Event,
    client_id: u64,
    op_id: u64,
}

#[derive(Deserialize)]
enum Event {
    Start(Start),
    Finish(Finish),
}

#[derive(Deserialize)]
enum Start {
    Append {
        num_records: u64,
        record_hashes: Vec<u64>,
        set_fencing_token: Option<String>,
        fencing_token: Option<String>,
        match_seq_num: Option<u64>,
    },
    Read,
    CheckTail,
}

#[derive(Deserialize)]
enum Finish {
    AppendSuccess { tail: u64 },
    AppendDefiniteFailure,
    AppendIndefiniteFailure,
    ReadSuccess { tail: u64, stream_hash: u64 },
    ReadFailure,
    CheckTailSuccess { tail: u64 },
    CheckTailFailure,
}

/// Reads such a history.
pub(super) fn read(input: impl BufRead) -> Result<ObjectHistory, ReadError> {
    let mut forms = Forms::new(input, Dialect::Json);
    let mut clients = Clients {
        recorder: ObjectRecorder::new(Intervals::Closed, AfterInfo::GoOn),
        started: BTreeMap::new(),
    };
    let mut position = 0;
    while let Some(form) = forms.next()? {
        let labelled: Labelled = json::parse(form.utf8()?, form.start)?;
        clients.recorder.read_at(form.start.to_keep());
        clients.record(labelled, EventIndex(position), form.start)?;
        position += 1;
    }
    Ok(clients.recorder.finish())
}

struct Clients {
    recorder: ObjectRecorder,
    /// What every client started and did not finish, by the numbers of client and operation.
    started: BTreeMap<(ProcessId, u64), Started>,
}

#[derive(Clone, Copy)]
enum Started {
    /// It is open.
    Open(OpId),
    /// Its client went on, so it ended with unknown outcome.
    Left,
}

impl Clients {
    fn record(
        &mut self,
        labelled: Labelled,
        index: EventIndex,
        place: Place,
    ) -> Result<(), ReadError> {
        let Labelled {
            event,
            client_id,
            op_id,
        } = labelled;
        let process = u32::try_from(client_id)
            .map_err(|_| place.event(format!("client {client_id} is above {}", u32::MAX)))?;
        let id = (ProcessId(process), op_id);
        let at = Moment { index, time_ns: 0 };
        match event {
            Event::Start(start) => self.start(id, start, at, place),
            Event::Finish(finish) => self.finish(id, &finish, at, place),
        }
    }

    fn start(
        &mut self,
        id: (ProcessId, u64),
        start: Start,
        at: Moment,
        place: Place,
    ) -> Result<(), ReadError> {
        let ill_formed = |error| place.error(ReadErrorReason::IllFormed(error));
        let (process, number) = id;
        if self.started.contains_key(&id) {
            let client = process.0;
            return Err(place.event(format!("client {client} starts operation {number} again")));
        }
        if let Some(open) = self.recorder.open_op(process)
            && self.recorder.history().op(open).function() == "append"
        {
            self.recorder
                .complete(open, Status::Info, ValueId::NIL, at)
                .map_err(ill_formed)?;
            let mut of_client = self.started.range_mut((process, 0)..=(process, u64::MAX));
            let started = of_client
                .find_map(|(_, started)| matches!(started, Started::Open(_)).then_some(started));
            *started.expect("what is open was started") = Started::Left;
        }
        let (function, argument) = argument(start);
        let asked = Asked {
            function: self.recorder.function(function),
            key: ValueId::NIL,
            argument: self.recorder.value(argument),
        };
        let op = self
            .recorder
            .invoke(process, asked, at)
            .map_err(ill_formed)?;
        self.started.insert(id, Started::Open(op));
        Ok(())
    }

    fn finish(
        &mut self,
        id: (ProcessId, u64),
        finish: &Finish,
        at: Moment,
        place: Place,
    ) -> Result<(), ReadError> {
        let (client, number) = (id.0.0, id.1);
        let (function, status, result) = outcome(finish);
        let op = match self.started.remove(&id) {
            Some(Started::Open(op)) => op,
            Some(Started::Left) if status == Status::Info => return Ok(()),
            Some(Started::Left) => {
                return Err(place.event(format!(
                    "client {client} finishes its append {number}, but has started others meanwhile"
                )));
            }
            None => {
                return Err(place.event(format!(
                    "client {client} finishes operation {number}, but it is not open"
                )));
            }
        };
        let asked = self.recorder.history().op(op).function();
        if asked != function {
            return Err(place.event(format!(
                "operation {number} of client {client} is `{asked}`, the answer is to `{function}`"
            )));
        }
        let result = self.recorder.value(result);
        self.recorder
            .complete(op, status, result, at)
            .map_err(|error| place.error(ReadErrorReason::IllFormed(error)))
    }
}

fn argument(start: Start) -> (&'static str, Value) {
    let text = |text: Option<String>| text.map_or(Value::Nil, |text| Value::Text(text.into()));
    match start {
        Start::Append {
            num_records,
            record_hashes,
            set_fencing_token,
            fencing_token,
            match_seq_num,
        } => {
            let hashes = Value::list(record_hashes.into_iter().map(number));
            let fields = [
                ("num_records", number(num_records)),
                ("record_hashes", hashes),
                ("set_fencing_token", text(set_fencing_token)),
                ("fencing_token", text(fencing_token)),
                ("match_seq_num", match_seq_num.map_or(Value::Nil, number)),
            ];
            ("append", map(fields))
        }
        Start::Read => ("read", Value::Nil),
        Start::CheckTail => ("check-tail", Value::Nil),
    }
}

fn outcome(finish: &Finish) -> (&'static str, Status, Value) {
    match *finish {
        Finish::AppendSuccess { tail } => ("append", Status::Ok, map([("tail", number(tail))])),
        Finish::AppendDefiniteFailure => ("append", Status::Fail, Value::Nil),
        Finish::AppendIndefiniteFailure => ("append", Status::Info, Value::Nil),
        Finish::ReadSuccess { tail, stream_hash } => {
            let fields = [("tail", number(tail)), ("stream_hash", number(stream_hash))];
            ("read", Status::Ok, map(fields))
        }
        Finish::ReadFailure => ("read", Status::Fail, Value::Nil),
        Finish::CheckTailSuccess { tail } => {
            ("check-tail", Status::Ok, map([("tail", number(tail))]))
        }
        Finish::CheckTailFailure => ("check-tail", Status::Fail, Value::Nil),
    }
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::map(fields.map(|(name, value)| (Value::keyword(name), value)))
}

fn number(bits: u64) -> Value {
    Value::Int(bits.cast_signed())
}
