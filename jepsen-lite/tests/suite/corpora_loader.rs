//! Reads the public histories, as simply as can be: for the tests of the search alone.

use jepsen_lite::history::{Intervals, Moment, OpId, ProcessId, Status};
use jepsen_lite::object::{AfterInfo, Asked, ObjectHistory, ObjectRecorder, Value};

/// A part of a text, and the rest.
type Rest<'t> = &'t str;

/// One value of EDN or JSON, of those that the corpora use.
pub(crate) fn value(text: Rest<'_>) -> (Value, Rest<'_>) {
    let text = skip(text);
    let first = text.chars().next().expect("a value");
    match first {
        '[' | '(' => {
            let (items, rest) = items(&text[1..]);
            (Value::list(items), rest)
        }
        '{' => {
            let (items, rest) = items(&text[1..]);
            let entries = items
                .chunks(2)
                .map(|pair| (pair[0].clone(), pair[1].clone()));
            (Value::map(entries), rest)
        }
        '"' => {
            let mut is_escaped = false;
            let end = text[1..].find(|c: char| {
                let is_end = c == '"' && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                is_end
            });
            let end = 1 + end.expect("the end of a string");
            (Value::text(&text[1..end]), &text[end + 1..])
        }
        _ => {
            let is_end = |c: char| c.is_whitespace() || ",:]})".contains(c);
            let end = 1 + text[1..].find(is_end).unwrap_or(text.len() - 1);
            let (word, rest) = text.split_at(end);
            let value = match word {
                "nil" | "null" => Value::Nil,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => match word.parse::<i64>() {
                    Ok(number) => Value::Int(number),
                    Err(_) => match word.parse::<u64>() {
                        Ok(number) => Value::Int(number.cast_signed()),
                        Err(_) => Value::keyword(word.trim_start_matches(':')),
                    },
                },
            };
            (value, rest)
        }
    }
}

fn items(mut text: Rest<'_>) -> (Vec<Value>, Rest<'_>) {
    let mut items = Vec::new();
    loop {
        text = skip(text);
        if let Some(rest) = text.strip_prefix([']', ')', '}']) {
            return (items, rest);
        }
        let (item, rest) = value(text);
        // The colon of JSON follows a string at once.
        let is_json = matches!(item, Value::Text(_)) && rest.starts_with(':');
        text = if is_json { &rest[1..] } else { rest };
        items.push(item);
    }
}

fn skip(mut text: Rest<'_>) -> Rest<'_> {
    loop {
        text = text.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        match text.strip_prefix(';') {
            Some(comment) => text = comment.split_once('\n').map_or("", |(_, rest)| rest),
            None => return text,
        }
    }
}

pub(crate) struct Loader {
    recorder: ObjectRecorder,
    event: u64,
}

impl Loader {
    pub(crate) fn new() -> Self {
        Self {
            recorder: ObjectRecorder::new(Intervals::Open, AfterInfo::GoOn),
            event: 0,
        }
    }

    fn at(&mut self) -> Moment {
        let index = self.event;
        self.event += 1;
        Moment {
            index: jepsen_lite::history::EventIndex(index),
            time_ns: 0,
        }
    }

    pub(crate) fn invoke(&mut self, process: u32, function: &str, key: Value, argument: Value) {
        let asked = Asked {
            function: self.recorder.function(function),
            key: self.recorder.value(key),
            argument: self.recorder.value(argument),
        };
        let at = self.at();
        let invoked = self.recorder.invoke(ProcessId(process), asked, at);
        invoked.expect("a well-formed history");
    }

    pub(crate) fn end(&mut self, process: u32, status: Status, result: Value) {
        let result = self.recorder.value(result);
        let at = self.at();
        if let Some(op) = self.recorder.open_op(ProcessId(process)) {
            let ended = self.recorder.complete(op, status, result, at);
            ended.expect("a well-formed history");
        }
    }

    pub(crate) fn finish(self) -> ObjectHistory {
        self.recorder.history().clone()
    }
}

/// The completion event of an operation, from 0.
pub(crate) fn completion(history: &ObjectHistory, op: OpId) -> u64 {
    history.op(op).completed().expect("it returned").index.0
}

fn status(name: &str) -> Status {
    match name {
        "ok" => Status::Ok,
        "fail" => Status::Fail,
        "info" => Status::Info,
        other => panic!("{other}"),
    }
}

/// Jepsen's maps: in one vector or list, or one a line, which is a kv log then.
pub(crate) fn edn(text: &str) -> ObjectHistory {
    let is_list = skip(text).starts_with(['[', '(']);
    let maps = if is_list {
        value(text).0.items().expect("a list").to_vec()
    } else {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.map(|line| value(line).0).collect()
    };
    let mut loader = Loader::new();
    for map in maps {
        let name = |field| map.field(field).and_then(Value::as_name).expect("a name");
        let field = |field| map.field(field).cloned().unwrap_or_default();
        let Some(process) = field("process").as_int() else {
            loader.event += 1;
            continue;
        };
        let process = u32::try_from(process).expect("a small number");
        match name("type") {
            "invoke" => loader.invoke(process, name("f"), field("key"), field("value")),
            other => loader.end(process, status(other), field("value")),
        }
    }
    loader.finish()
}

pub(crate) fn etcd(text: &str) -> ObjectHistory {
    let mut loader = Loader::new();
    for line in text.lines() {
        let Some((_, event)) = line.split_once(" - ") else {
            continue;
        };
        let mut columns = event.split_whitespace();
        let mut column = || columns.next().expect("a column");
        let Ok(process) = column().parse() else {
            continue;
        };
        let (kind, function) = (column(), column().trim_start_matches(':'));
        let what: Vec<&str> = columns.collect();
        let argument = value(&what.join(" ")).0;
        match kind {
            ":invoke" => loader.invoke(process, function, Value::Nil, argument),
            ":fail" if function == "cas" => {
                loader.end(process, Status::Ok, Value::Bool(false));
            }
            other => loader.end(process, status(&other[1..]), argument),
        }
    }
    loader.finish()
}

/// Calls and returns; gives the object as well.
pub(crate) fn calls(text: &str) -> (String, ObjectHistory) {
    let mut loader = Loader::new();
    let mut object = None;
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("# @object ") {
            object = Some(name.to_owned());
        }
        let Some((id, event)) = line
            .strip_prefix('[')
            .and_then(|line| line.split_once("] "))
        else {
            continue;
        };
        let process = id.parse().expect("a number");
        if let Some(call) = event.strip_prefix("call ") {
            let (function, argument) = call.split_once('(').unwrap_or((call, ")"));
            let argument = argument.trim_end_matches(')');
            let argument = if argument.is_empty() {
                Value::Nil
            } else {
                value(argument).0
            };
            loader.invoke(process, function, Value::Nil, argument);
        } else {
            let result = event.strip_prefix("return").expect("call or return").trim();
            let result = if result.is_empty() {
                Value::Nil
            } else {
                value(result).0
            };
            loader.end(process, Status::Ok, result);
        }
    }
    (object.expect("it is named"), loader.finish())
}

pub(crate) fn s2(text: &str) -> ObjectHistory {
    let mut loader = Loader::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let (line, _) = value(line);
        let client = line
            .field("client_id")
            .and_then(Value::as_int)
            .expect("a number");
        let client = u32::try_from(client).expect("a small number");
        let event = line.field("event").expect("an event");
        if let Some(start) = event.field("Start") {
            match (start.as_name(), start.field("Append")) {
                (Some("CheckTail"), _) => {
                    loader.invoke(client, "check-tail", Value::Nil, Value::Nil)
                }
                (Some(_), _) => loader.invoke(client, "read", Value::Nil, Value::Nil),
                (None, batch) => {
                    let batch = batch.expect("an append").clone();
                    loader.invoke(client, "append", Value::Nil, batch);
                }
            }
            continue;
        }
        let finish = event.field("Finish").expect("a start or a finish");
        match finish {
            Value::Map(entries) => loader.end(client, Status::Ok, entries[0].1.clone()),
            failure => {
                let name = failure.as_name().expect("a name");
                let status = if name.contains("Indefinite") {
                    Status::Info
                } else {
                    Status::Fail
                };
                loader.end(client, status, Value::Nil);
            }
        }
    }
    loader.finish()
}
