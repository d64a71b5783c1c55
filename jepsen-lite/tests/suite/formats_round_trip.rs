//! What is written in a format is read back from it.

use jepsen_lite::formats::{Format, ObjectRecording, Recording, guess, read, write};
use jepsen_lite::history::{EventIndex, History, Intervals, Moment, ProcessId, Status};
use jepsen_lite::models::Settings;
use jepsen_lite::object::{AfterInfo, Asked, ObjectHistory, ObjectRecorder, Value, ValueId};
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::{prop_assert_eq, proptest};

use crate::formats::show;
use crate::json;

fn written(recording: &Recording, format: Format) -> String {
    let mut bytes = Vec::new();
    write(recording, format, &mut bytes).expect("memory takes everything");
    String::from_utf8(bytes).expect("these formats are text")
}

fn recording(history: ObjectHistory) -> Recording {
    Recording::Object(ObjectRecording {
        history,
        suggested: None,
        settings: Settings::default(),
    })
}

fn object(text: &str, format: Format) -> ObjectHistory {
    match read(text.as_bytes(), format) {
        Ok(Recording::Object(object)) => object.history,
        Ok(Recording::Log(_)) => panic!("this was no log: {text}"),
        Err(error) => panic!("{error}: {text}"),
    }
}

fn log(text: &str, format: Format) -> History {
    match read(text.as_bytes(), format) {
        Ok(Recording::Log(history)) => history,
        Ok(Recording::Object(_)) => panic!("this was a log: {text}"),
        Err(error) => panic!("{error}: {text}"),
    }
}

/// Values that both EDN and JSON can say.
fn plain_values() -> impl Strategy<Value = Value> {
    let text = || "[ -~\n\t\u{e9}\u{1f600}]{0,6}".prop_map(|text| Value::text(&text));
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::Int),
        (-1e9..1e9_f64).prop_map(|number| Value::Float(number.into())),
        (0..=u64::MAX / 2).prop_map(|below| {
            let above = u64::MAX - below;
            Value::Symbol(format!("{above}N").into())
        }),
        text(),
    ];
    leaf.prop_recursive(4, 20, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::list),
            vec((text(), inner), 0..4).prop_map(Value::map),
        ]
    })
}

/// Values that only EDN can say.
fn edn_values() -> impl Strategy<Value = Value> {
    let name = || "[a-z][a-z0-9.*!_?-]{0,5}(/[a-z]{1,3})?";
    let leaf = prop_oneof![
        plain_values(),
        name().prop_map(|name| Value::keyword(&name)),
        Just(Value::Float(f64::NAN.into())),
        Just(Value::Float(f64::NEG_INFINITY.into())),
        "[a-z]{1,6}"
            .prop_filter("these are no symbols", |name| {
                !["nil", "true", "false"].contains(&name.as_str())
            })
            .prop_map(|name| Value::Symbol(name.into())),
    ];
    leaf.prop_recursive(3, 20, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::list),
            vec(inner.clone(), 0..4).prop_map(Value::set),
            vec((inner.clone(), inner.clone()), 0..4).prop_map(Value::map),
            ("tag[a-z]{0,4}", inner)
                .prop_map(|(tag, inner)| Value::Tagged(tag.into(), Box::new(inner))),
        ]
    })
}

/// What a step draws: a process, whether its events are far apart, a function, values, and an end.
type Step = (u32, bool, usize, Value, Value, Value, u8);

fn steps(values: impl Strategy<Value = Value> + Clone) -> impl Strategy<Value = Vec<Step>> {
    let step = (
        0..4_u32,
        any::<bool>(),
        0..5_usize,
        values.clone(),
        values.clone(),
        values,
        0..6_u8,
    );
    vec(step, 0..40)
}

/// A process that is free asks, one that waits is answered.
fn record(steps: Vec<Step>) -> ObjectHistory {
    let mut recorder = ObjectRecorder::new(Intervals::Closed, AfterInfo::GoOn);
    let mut index = 0;
    for (process, is_far, function, key, argument, result, end) in steps {
        let process = ProcessId(process);
        index += if is_far { 7 } else { 1 };
        let at = Moment {
            index: EventIndex(index),
            time_ns: u64::MAX - index,
        };
        let Some(op) = recorder.open_op(process) else {
            let names = ["read", "dequeue", "txn", "write", "an odd \"name\""];
            let asked = Asked {
                function: recorder.function(names[function]),
                key: recorder.value(key),
                argument: recorder.value(argument),
            };
            recorder.invoke(process, asked, at).expect("it is free");
            continue;
        };
        let status = match end {
            0 => Status::Info,
            1 => Status::Fail,
            _ => Status::Ok,
        };
        // A write returns nothing; its answer repeats what was written.
        let result = match recorder.history().op(op).function() {
            "write" => ValueId::NIL,
            _ if status != Status::Ok => ValueId::NIL,
            _ => recorder.value(result),
        };
        recorder
            .complete(op, status, result, at)
            .expect("it is open");
    }
    recorder.finish()
}

fn times(history: &ObjectHistory) -> Vec<(u64, Option<u64>)> {
    let ops = history.ops();
    ops.map(|op| (op.invoked().time_ns, op.completed().map(|at| at.time_ns)))
        .collect()
}

proptest! {
    #[test]
    fn objects_in_json(steps in steps(plain_values().boxed())) {
        let history = record(steps);
        let text = written(&recording(history.clone()), Format::Json);
        let back = object(&text, Format::Json);
        prop_assert_eq!(show(&back), show(&history));
        prop_assert_eq!(times(&back), times(&history));
        if !history.is_empty() {
            prop_assert_eq!(guess(text.as_bytes()), Ok(Format::Json));
        }
        prop_assert_eq!(written(&recording(back), Format::Json), text);
    }

    #[test]
    fn objects_in_edn(steps in steps(edn_values().boxed())) {
        let history = record(steps);
        let text = written(&recording(history.clone()), Format::Edn);
        let back = object(&text, Format::Edn);
        prop_assert_eq!(show(&back), show(&history));
        prop_assert_eq!(times(&back), times(&history));
        if !history.is_empty() {
            prop_assert_eq!(guess(text.as_bytes()), Ok(Format::Edn));
        }
        prop_assert_eq!(written(&recording(back), Format::Edn), text);
    }

    #[test]
    fn logs_in_every_format_that_is_written(steps in json::steps()) {
        let history = json::record(None, steps);
        for format in [Format::JsonLines, Format::Edn, Format::Json] {
            let text = written(&Recording::Log(history.clone()), format);
            if history.is_empty() {
                prop_assert_eq!(text, "");
            } else {
                prop_assert_eq!(guess(text.as_bytes()), Ok(format));
                prop_assert_eq!(log(&text, format), history.clone());
            }
        }
    }
}

#[test]
fn events_of_one_index_get_indexes_of_their_own() {
    let mut recorder = ObjectRecorder::new(Intervals::Closed, AfterInfo::Retire);
    let at = |index| Moment {
        index: EventIndex(index),
        time_ns: 0,
    };
    let read = Asked {
        function: recorder.function("read"),
        key: ValueId::NIL,
        argument: ValueId::NIL,
    };
    let one = recorder.invoke(ProcessId(1), read, at(3)).expect("free");
    let status = Status::Ok;
    recorder
        .complete(one, status, ValueId::NIL, at(5))
        .expect("open");
    recorder.invoke(ProcessId(2), read, at(5)).expect("free");
    let text = written(&recording(recorder.finish()), Format::Edn);
    // They touch in closed intervals, so they are concurrent.
    assert_eq!(
        show(&object(&text, Format::Edn)),
        [
            "p1 read(nil) -> nil Ok 0..2",
            "p2 read(nil) -> nil Open 1..",
        ]
    );
}

/// Events of a log in Jepsen's formats are read by our own reader, and its errors have their places.
#[test]
fn damaged_events_of_logs_have_a_place() {
    let invoke = "{:process 3, :type :invoke, :f :append, :value {:log 1, :record 17}}";
    let error = |text: &str| match read(text.as_bytes(), Format::Edn) {
        Ok(_) => panic!("this is damaged: {text}"),
        Err(error) => error.to_string(),
    };
    assert_eq!(
        error(&format!(
            "[{invoke}\n {{:process 3, :type :ok, :f :append, :value {{:log 1}}}}]"
        )),
        "line 2, column 2: `ok` of `append` needs a field `lsn`"
    );
    assert_eq!(
        error(&format!(
            "{{:process :nemesis, :type :info}}\n{invoke}\n\n {invoke}"
        )),
        "line 4, column 2: event 2: process 3 invokes while its op 0 is open"
    );
    assert_eq!(
        error(&format!(
            "{invoke}\n{{:process 3, :type :ok, :f :append, :value nil}}"
        )),
        "line 2, column 1: the value of an event of a log is a map"
    );
    assert_eq!(
        error("{:process 3, :type :invoke, :f :tail, :value {:log 1, :f 3}}"),
        "line 1, column 1: `f` does not belong under `value`"
    );
    let twice = format!("{invoke}\n\n{}", invoke.replace(":process 3", ":process 4"));
    assert_eq!(
        error(&twice),
        "line 3, column 1: event 1: record 17 was already appended to log 1 by op 0"
    );
    assert_eq!(
        error(&format!("{invoke}\n{{:process")),
        "line 2, column 1: the input ends within this value"
    );
}
