//! What each format means, on small histories.

use jepsen_lite::formats::{
    ConvertError, Format, ObjectRecording, Recording, Suggestion, WriteError, convert, guess, read,
    write,
};
use jepsen_lite::history::Status;
use jepsen_lite::models::{ModelKind, NilReads};
use jepsen_lite::object::{ObjectHistory, Value};

/// Reads a history of an object, of which the format must be guessed right.
pub(crate) fn object(text: &str, format: Format) -> ObjectRecording {
    assert_eq!(guess(text.as_bytes()), Ok(format), "{text}");
    match read(text.as_bytes(), format) {
        Ok(Recording::Object(object)) => object,
        Ok(Recording::Log(_)) => panic!("this is no history of a log: {text}"),
        Err(error) => panic!("{error}: {text}"),
    }
}

fn error(text: &str, format: Format) -> String {
    match read(text.as_bytes(), format) {
        Ok(_) => panic!("this is damaged: {text}"),
        Err(error) => error.to_string(),
    }
}

/// An operation a line: process, name, argument, result, status, first and last event.
pub(crate) fn show(history: &ObjectHistory) -> Vec<String> {
    history
        .ops()
        .map(|op| {
            let key = match op.key() {
                Value::Nil => String::new(),
                key => format!("{key}: "),
            };
            format!(
                "{} {key}{}({}) -> {} {:?} {}..{}",
                op.process(),
                op.function(),
                op.argument(),
                op.result(),
                op.status(),
                op.invoked().index.0,
                op.completed()
                    .map_or(String::new(), |at| at.index.0.to_string()),
            )
        })
        .collect()
}

#[test]
fn names_of_formats_are_read_back() {
    for format in Format::ALL {
        assert_eq!(format.name().parse(), Ok(format));
    }
    let unknown = "yaml".parse::<Format>().expect_err("there is none");
    assert!(unknown.to_string().contains("`yaml`"));
    for format in Format::ALL {
        assert!(unknown.to_string().contains(format.name()));
    }
}

#[test]
fn names_of_suggestions_are_read_back() {
    let models = ModelKind::ALL.map(Suggestion::Model);
    let others = [
        Suggestion::Counter,
        Suggestion::SetFull,
        Suggestion::TotalQueue,
        Suggestion::UniqueIds,
    ];
    let unknown = "bag".parse::<Suggestion>().expect_err("there is none");
    for suggestion in models.into_iter().chain(others) {
        let name = suggestion.to_string();
        assert_eq!(name.parse(), Ok(suggestion));
        assert!(unknown.to_string().contains(&name), "{unknown}");
    }
}

#[test]
fn edn_is_a_vector_a_list_or_maps_one_after_another() {
    let events = [
        "{:process 1, :type :invoke, :f :write, :value 5, :time 10}",
        "{:process 2 :type :invoke :f :read :value nil}",
        "#jepsen.history.Op{:process 1, :type :ok, :f :write, :value 5, :extra #inst \"2020\"}",
        "{\"process\" 2, \"type\" \"ok\", \"f\" \"read\", \"value\" 5 #_#_ :value 6} ; the end",
    ];
    let wanted = ["p1 write(5) -> nil Ok 0..2", "p2 read(nil) -> 5 Ok 1..3"];
    let all = events.join("\n");
    for text in [
        all.clone(),
        format!("; a note\n[{all}\n]"),
        format!("({all}\n)\n"),
    ] {
        let object = object(&text, Format::Edn);
        assert_eq!(show(&object.history), wanted, "{text}");
        assert_eq!(
            object.suggested,
            Some(Suggestion::Model(ModelKind::Register))
        );
        assert_eq!(object.settings.initial, None, "0, as in Knossos");
        assert_eq!(object.settings.nil_reads, NilReads::Anything);
    }
}

#[test]
fn json_is_an_array_or_objects_one_after_another() {
    let events = [
        r#"{"process":1,"type":"invoke","f":"write","value":{"x":[1,2.5,null,true]}}"#,
        r#"{"process":"nemesis","type":"info","f":"stop","value":null}"#,
        r#"{"type":"ok","process":"1","f":"write","value":{"x":[1,2.5,null,true]},"more":[[]]}"#,
        r#"{"process":2,"type":"invoke","f":"read"}"#,
        r#"{"process":2,"type":"ok","f":"read","value":18446744073709551615}"#,
    ];
    for text in [events.join("\n"), format!("[{}]\n", events.join(",\n"))] {
        assert_eq!(
            show(&object(&text, Format::Json).history),
            [
                "p1 write({\"x\" [1 2.5 nil true]}) -> nil Ok 0..2",
                "p2 read(nil) -> 18446744073709551615N Ok 3..4",
            ]
        );
    }
}

#[test]
fn the_nemesis_is_skipped_but_its_events_count() {
    let text = "
        {:process :nemesis, :type :info, :f :start, :value nil}
        {:process :nemesis, :type :invoke, :f :start, :value nil}
        {:process 0, :type :info, :f :start, :value nil}
        {:process -1, :type :info, :f :start}
        {:process 0, :type :invoke, :f :acquire, :value nil}
        {:process :nemesis, :type :info, :f :stop, :value nil}
        {:process 0, :type :info, :f :acquire, :error :timeout}
        {:process 1, :type :invoke, :f :release, :value nil}
        {:process 1, :type :fail, :f :release, :value nil}";
    let object = object(text, Format::Edn);
    assert_eq!(
        show(&object.history),
        [
            "p0 acquire(nil) -> nil Info 4..6",
            "p1 release(nil) -> nil Fail 7..8"
        ]
    );
    assert_eq!(object.suggested, Some(Suggestion::Model(ModelKind::Mutex)));
}

#[test]
fn indexes_of_the_file_are_used_if_all_events_have_one_and_they_rise() {
    let text = |indexes: [&str; 3]| {
        let [a, b, c] = indexes;
        format!(
            "{{:process 0, :type :invoke, :f :read, {a}}}
             {{:process :nemesis, :type :info, :f :x, {b}}}
             {{:process 0, :type :ok, :f :read, :value 1, {c}}}"
        )
    };
    let read = |indexes| show(&object(&text(indexes), Format::Edn).history);
    let own = ["p0 read(nil) -> 1 Ok 7..40"];
    let positions = ["p0 read(nil) -> 1 Ok 0..2"];
    assert_eq!(read([":index 7", ":index 9", ":index 40"]), own);
    assert_eq!(read([":index 7", "", ":index 40"]), positions);
    assert_eq!(read([":index 7", ":index 9", ":index 9"]), positions);
    assert_eq!(read([":index nil", ":index nil", ":index nil"]), positions);
}

#[test]
fn times_are_kept_and_missing_ones_are_zero() {
    let text = "{:process 0, :type :invoke, :f :read, :time 12345678901}
                {:process 0, :type :ok, :f :read, :value 1}";
    let history = object(text, Format::Edn).history;
    let op = history.ops().next().expect("there is one");
    assert_eq!(op.invoked().time_ns, 12_345_678_901);
    assert_eq!(op.completed().expect("it is").time_ns, 0);
}

#[test]
fn appends_that_repeat_a_number_tell_a_position_where_others_do() {
    let append = |value: u32, answer: &str| {
        format!(
            "{{:process 0, :type :invoke, :f :append, :value {value}}}
             {{:process 0, :type :ok, :f :append, :value {answer}}}\n"
        )
    };
    let shown = |text: &str| show(&object(text, Format::Edn).history);
    let positions = [append(7, "0"), append(1, "1"), append(8, "nil")].concat();
    let expected = [
        "p0 append(7) -> 0 Ok 0..1",
        "p0 append(1) -> 1 Ok 2..3",
        "p0 append(8) -> nil Ok 4..5",
    ];
    assert_eq!(shown(&positions), expected);
    let mut written = Vec::new();
    let recording = read(positions.as_bytes(), Format::Edn).expect("it is a history");
    write(&recording, Format::Edn, &mut written).expect("memory can be written");
    assert_eq!(
        shown(std::str::from_utf8(&written).expect("it is text")),
        expected
    );
    let echoes = [append(7, "7"), append(1, "1")].concat();
    assert_eq!(
        shown(&echoes),
        ["p0 append(7) -> nil Ok 0..1", "p0 append(1) -> nil Ok 2..3"]
    );
}

#[test]
fn values_of_completions_are_results_unless_they_repeat_the_argument() {
    let text = "
        [{:process 0, :type :invoke, :f :cas, :value [0 1]}
         {:process 0, :type :ok, :f :cas, :value [0 1]}
         {:process 0, :type :invoke, :f :read, :value 1}
         {:process 0, :type :ok, :f :read, :value 1}
         {:process 0, :type :invoke, :f :write, :value nil}
         {:process 0, :type :ok, :f :write, :value 9}
         {:process 0, :type :invoke, :f :cas, :value [3 4]}
         {:process 0, :type :fail, :f :cas, :value [3 4]}
         {:process 0, :type :invoke, :f :read, :value nil}
         {:process 0, :type :ok, :f :read, :value nil}]";
    let object = object(text, Format::Edn);
    assert_eq!(
        show(&object.history),
        [
            "p0 cas([0 1]) -> nil Ok 0..1",
            "p0 read(1) -> 1 Ok 2..3",
            "p0 write(9) -> nil Ok 4..5",
            "p0 cas([3 4]) -> nil Fail 6..7",
            "p0 read(nil) -> nil Ok 8..9",
        ]
    );
    assert_eq!(
        object.suggested,
        Some(Suggestion::Model(ModelKind::CasRegister))
    );
}

#[test]
fn a_process_may_go_on_after_info() {
    let text = "
        {:process 0, :type :invoke, :f :write, :value 1}
        {:process 0, :type :info, :f :write, :value :timeout}
        {:process 0, :type :invoke, :f :write, :value 2}";
    assert_eq!(
        show(&object(text, Format::Edn).history),
        [
            "p0 write(1) -> nil Info 0..1",
            "p0 write(2) -> nil Open 2..",
        ]
    );
}

#[test]
fn keys_are_fields_or_tagged_tuples_but_not_pairs() {
    let text = "
        {:process 0, :type :invoke, :f :read, :value #jepsen.independent.Tuple [:x nil]}
        {:process 0, :type :ok, :f :read, :value #jepsen.independent/tuple [:x [1 2]]}
        {:process 0, :type :invoke, :f :read, :key 4, :value nil}
        {:process 0, :type :ok, :f :read, :value [4 5]}";
    assert_eq!(
        show(&object(text, Format::Edn).history),
        [
            "p0 :x: read(nil) -> [1 2] Ok 0..1",
            "p0 4: read(nil) -> [4 5] Ok 2..3",
        ]
    );
}

#[test]
fn values_of_edn_are_kept() {
    let value = |text: &str| {
        let text = format!("{{:process 0, :type :invoke, :f :x, :value {text}}}");
        let history = object(&text, Format::Edn).history;
        let op = history.ops().next().expect("there is one");
        op.argument().clone()
    };
    assert_eq!(value("123N"), Value::Int(123));
    assert_eq!(value("-7"), Value::Int(-7));
    assert_eq!(
        value("99999999999999999999"),
        value("99999999999999999999N")
    );
    assert_ne!(value("99999999999999999999"), value("99999999999999999998"));
    assert_eq!(value("1.5"), Value::Float(1.5.into()));
    assert_eq!(value("\\a"), Value::text("a"));
    assert_eq!(value("\"a\\n\\\"\\\\b;\""), Value::text("a\n\"\\b;"));
    assert_eq!(value("\"\\b\\u00e9\""), Value::text("\u{8}\u{e9}"));
    assert_eq!(value("[##Inf]").to_string(), "[##Inf]");
    assert_eq!(value(":a/b"), Value::keyword("a/b"));
    assert_eq!(value("(1,2)"), value("[1 2]"));
    assert_eq!(value("#{2 1}"), Value::set([Value::Int(1), Value::Int(2)]));
    assert_eq!(value("#inst \"2020\"").to_string(), "#inst \"2020\"");
    assert_eq!(
        value("{:y #_ z [#{}] :x ; }\n nil}").to_string(),
        "{:x nil, :y [#{}]}"
    );
}

#[test]
fn objects_are_told_by_their_functions() {
    // Each word is an invocation and an `ok`: name, argument, result.
    let suggested = |ops: &[(&str, &str, &str)]| {
        let events = ops.iter().flat_map(|(function, argument, result)| {
            [("invoke", argument), ("ok", result)].map(|(kind, value)| {
                format!("{{:process 0, :type :{kind}, :f :{function}, :value {value}}}\n")
            })
        });
        let text: String = events.collect();
        object(&text, Format::Edn).suggested
    };
    let model = |model| Some(Suggestion::Model(model));
    let write = ("write", "1", "1");
    let read = ("read", "nil", "1");
    assert_eq!(suggested(&[write, read]), model(ModelKind::Register));
    assert_eq!(
        suggested(&[write, ("read", "nil", "{:x 1}")]),
        model(ModelKind::MultiRegister)
    );
    let txn = "[[:read :x nil] [:write :y 1]]";
    assert_eq!(
        suggested(&[("txn", txn, txn)]),
        model(ModelKind::MultiRegister)
    );
    let append = "[[:append :x 1]]";
    assert_eq!(suggested(&[("txn", append, append)]), None);
    let enqueue = ("enqueue", "1", "1");
    assert_eq!(
        suggested(&[enqueue, ("dequeue", "nil", "1")]),
        model(ModelKind::Queue)
    );
    assert_eq!(
        suggested(&[enqueue, ("drain", "nil", "[1]")]),
        Some(Suggestion::TotalQueue)
    );
    assert_eq!(
        suggested(&[("push", "1", "1"), ("pop", "nil", "1")]),
        model(ModelKind::Stack)
    );
    assert_eq!(
        suggested(&[("generate", "nil", "1")]),
        Some(Suggestion::UniqueIds)
    );
    let add = ("add", "1", "1");
    assert_eq!(suggested(&[add, read]), Some(Suggestion::Counter));
    let list = ("read", "nil", "[1]");
    assert_eq!(suggested(&[add, list]), model(ModelKind::Set));
    assert_eq!(
        suggested(&[add, ("read", "nil", "#{1}")]),
        model(ModelKind::Set)
    );
    assert_eq!(suggested(&[add, list, add]), Some(Suggestion::SetFull));
    assert_eq!(
        suggested(&[("add", "[0 1]", "[0 1]"), list]),
        Some(Suggestion::SetFull)
    );
    let nothing = object("{:process :nemesis, :type :info, :f :kill}", Format::Edn);
    assert_eq!(nothing.suggested, model(ModelKind::Register));
    assert_eq!(suggested(&[add]), None);
    assert_eq!(suggested(&[add, add]), Some(Suggestion::Counter));
    assert_eq!(suggested(&[add, list, read]), None);
    assert_eq!(
        suggested(&[("append", "1", "5"), ("tail", "nil", "6")]),
        model(ModelKind::Log)
    );
    assert_eq!(suggested(&[("transfer", "1", "1"), read]), None);
}

#[test]
fn etcd_logs_assert_failed_comparisons_and_absence() {
    let text = "Some other line\r
INFO  jepsen.util - :nemesis\t:info\t:start\tnil
INFO  jepsen.util - 0\t:invoke\t:write\t4
INFO  jepsen.util - 1   :invoke  :cas    [1 -2]\r
INFO  jepsen.util - 0\t:info   :write :timed-out
INFO  jepsen.util - 1   :fail    :cas\t[1 -2]
INFO  jepsen.util - 2\t:invoke\t:read\tnil
INFO  jepsen.util - 2\t:ok\t:read\tnil
INFO  jepsen.util - 2\t:invoke\t:read\tnil
INFO  jepsen.util - 2\t:fail\t:read\t:timed-out
INFO  jepsen.util - 2\t:info\t:read\t:timed-out
INFO  jepsen.util - 3\t:invoke\t:cas\t[4 5]
INFO  jepsen.util - 3\t:ok\t:cas\t[4 5]
INFO  jepsen.util - 5 nodes are up
";
    let object = object(text, Format::EtcdLog);
    assert_eq!(
        show(&object.history),
        [
            "p0 write(4) -> nil Info 0..2",
            "p1 cas([1 -2]) -> false Ok 1..3",
            "p2 read(nil) -> nil Ok 4..5",
            "p2 read(nil) -> nil Fail 6..7",
            "p3 cas([4 5]) -> nil Ok 9..10",
        ]
    );
    assert_eq!(
        object.suggested,
        Some(Suggestion::Model(ModelKind::CasRegister))
    );
    assert_eq!(object.settings.initial, Some(Value::Nil));
    assert_eq!(object.settings.nil_reads, NilReads::Nil);
}

#[test]
fn kv_logs_are_of_strings_by_key() {
    let text = r#"{:process 0, :type :invoke, :f :append, :key "k", :value "x 0 y"}
{:process 1, :type :invoke, :f :get, :key "k", :value nil}
{:process 0, :type :ok, :f :append, :key "k", :value "x 0 y"}
{:process 1, :type :ok, :f :get, :key "k", :value "x 0 y"}
{:process 1, :type :invoke, :f :put, :key "", :value ""}
"#;
    let object = object(text, Format::KvLog);
    assert_eq!(
        show(&object.history),
        [
            r#"p0 "k": append("x 0 y") -> nil Ok 0..2"#,
            r#"p1 "k": get(nil) -> "x 0 y" Ok 1..3"#,
            r#"p1 "": put("") -> nil Open 4.."#,
        ]
    );
    assert_eq!(object.suggested, Some(Suggestion::Model(ModelKind::Kv)));
}

#[test]
fn s2_histories_are_of_a_stream() {
    let text = r#"{"event":{"Start":{"Append":{"num_records":2,"record_hashes":[1,18446744073709551615],"set_fencing_token":"t","fencing_token":null,"match_seq_num":0}}},"client_id":0,"op_id":0}
{"event":{"Start":"Read"},"client_id":1,"op_id":1}
{"event":{"Finish":{"AppendSuccess":{"tail":2}}},"client_id":0,"op_id":0}
{"event":{"Finish":{"ReadSuccess":{"tail":0,"stream_hash":9223372036854775808}}},"client_id":1,"op_id":1}
{"event":{"Start":"CheckTail"},"client_id":1,"op_id":2}
{"event":{"Finish":{"CheckTailSuccess":{"tail":2}}},"client_id":1,"op_id":2}
{"event":{"Start":"CheckTail"},"client_id":1,"op_id":3}
{"event":{"Finish":"CheckTailFailure"},"client_id":1,"op_id":3}
{"event":{"Start":"Read"},"client_id":1,"op_id":4}
{"event":{"Finish":"ReadFailure"},"client_id":1,"op_id":4}
"#;
    let object = object(text, Format::S2);
    assert_eq!(
        show(&object.history),
        [
            "p0 append({:fencing_token nil, :match_seq_num 0, :num_records 2, :record_hashes [1 -1], \
             :set_fencing_token \"t\"}) -> {:tail 2} Ok 0..2",
            "p1 read(nil) -> {:stream_hash -9223372036854775808, :tail 0} Ok 1..3",
            "p1 check-tail(nil) -> {:tail 2} Ok 4..5",
            "p1 check-tail(nil) -> nil Fail 6..7",
            "p1 read(nil) -> nil Fail 8..9",
        ]
    );
    assert_eq!(object.suggested, Some(Suggestion::Model(ModelKind::S2)));
}

/// An append of unknown outcome may be said to be so long after its client went on.
#[test]
fn s2_clients_go_on_after_an_append_of_unknown_outcome() {
    let append = |op: u32| {
        format!(
            "{{\"event\":{{\"Start\":{{\"Append\":{{\"num_records\":1,\"record_hashes\":[1],\
             \"set_fencing_token\":null,\"fencing_token\":null,\"match_seq_num\":null}}}}}},\
             \"client_id\":0,\"op_id\":{op}}}\n"
        )
    };
    let finish = |how: &str, op: u32| {
        format!("{{\"event\":{{\"Finish\":{how}}},\"client_id\":0,\"op_id\":{op}}}\n")
    };
    let unknown = "\"AppendIndefiniteFailure\"";
    let statuses = |text: &str| -> Vec<Status> {
        let history = object(text, Format::S2).history;
        history.ops().map(|op| op.status()).collect()
    };
    let gone_on = append(0) + &finish(unknown, 0) + &append(1);
    assert_eq!(statuses(&gone_on), [Status::Info, Status::Open]);
    let late =
        append(0) + &append(1) + &finish("\"AppendDefiniteFailure\"", 1) + &finish(unknown, 0);
    assert_eq!(statuses(&late), [Status::Info, Status::Fail]);

    let succeeds = append(0) + &append(1) + &finish("{\"AppendSuccess\":{\"tail\":1}}", 0);
    assert_eq!(
        error(&succeeds, Format::S2),
        "line 3, column 1: client 0 finishes its append 0, but has started others meanwhile"
    );
    assert_eq!(
        error(&(append(0) + &append(0)), Format::S2),
        "line 2, column 1: client 0 starts operation 0 again"
    );
    assert_eq!(
        error(&(append(0) + &finish("\"ReadFailure\"", 0)), Format::S2),
        "line 2, column 1: operation 0 of client 0 is `append`, the answer is to `read`"
    );
    assert_eq!(
        error(&finish(unknown, 3), Format::S2),
        "line 1, column 1: client 0 finishes operation 3, but it is not open"
    );
}

#[test]
fn files_of_calls_name_their_object() {
    let text = "# Some note\n# @object atomic-queue\n\n[1] call enqueue(a)\n    [2] call dequeue\r\n\
                [1] return\n\t[2] return empty\n[3] call dequeue()\n[3] return -7\n[4] call put(k, 2)\n";
    let queue = object(text, Format::Calls);
    assert_eq!(
        show(&queue.history),
        [
            "p1 enqueue(\"a\") -> nil Ok 0..2",
            "p2 dequeue(nil) -> :empty Ok 1..3",
            "p3 dequeue(nil) -> -7 Ok 4..5",
            "p4 put([\"k\" 2]) -> nil Open 6..",
        ]
    );
    assert_eq!(queue.suggested, Some(Suggestion::Model(ModelKind::Queue)));
    let suggested = |text| object(text, Format::Calls).suggested;
    let stack = Some(Suggestion::Model(ModelKind::Stack));
    assert_eq!(suggested("# @object stack\n[1] call enqueue(1)"), stack);
    assert_eq!(suggested("[1] call push(1)"), stack);
    assert_eq!(suggested("# @object thing\n[1] call do"), None);
}

#[test]
fn damaged_input_has_a_line_a_column_and_a_reason() {
    let edn = |text: &str| error(text, Format::Edn);
    let ok = "{:process 0, :type :invoke, :f :read, :value nil}";
    assert_eq!(
        edn(&format!("[{ok}\n  {{:process 1, :type :invoke :f}}]")),
        "line 2, column 32: the value ends too early"
    );
    assert_eq!(
        edn(&format!("{ok}\n\n{{:process 1,\n :type \"\\x\"}}")),
        "line 4, column 10: there is no such escape in a string: there are \\t \\r \\n \\b \\f \\u \\\\ \\\""
    );
    assert_eq!(
        edn(&format!("[{ok}\n{{:process 1, :value [1)}}]")),
        "line 2, column 23: `)` does not close what is open, or closes it too early"
    );
    assert_eq!(
        edn(&format!("[{ok}\n 5]")),
        "line 2, column 2: an event is a map, in braces"
    );
    assert_eq!(
        edn("{:type :invoke, :f :read}"),
        "line 1, column 1: an event needs a `process`"
    );
    assert_eq!(
        edn("{:process nil, :type :invoke, :f :read}"),
        "line 1, column 1: `process` must be a number or a name"
    );
    assert_eq!(
        edn("{:process 0, :f :read}"),
        "line 1, column 1: an event needs a `type`"
    );
    assert_eq!(
        edn("{:process 0, :type :done, :f :read}"),
        "line 1, column 1: `type` must be `invoke`, `ok`, `fail` or `info`"
    );
    assert_eq!(
        edn("{:process 0, :type :invoke}"),
        "line 1, column 1: an event needs an `f`"
    );
    assert_eq!(
        edn("{:process 4294967296, :type :invoke, :f :read}"),
        "line 1, column 1: process 4294967296 is above 4294967295"
    );
    assert_eq!(
        edn("{:process 0, :type :ok, :f :read, :value 1}"),
        "line 1, column 1: event 0: process 0 returns, but has nothing open"
    );
    assert_eq!(
        edn(&format!("[{ok}\n {ok}]")),
        "line 2, column 2: event 1: process 0 invokes while its op 0 is open"
    );
    assert_eq!(
        edn(&format!(
            "{ok}{{:process 0, :type :ok, :f :write, :value 1}}"
        )),
        "line 1, column 50: the open op 0 of process 0 is `read`, the answer is to `write`"
    );
    let nested = format!("{{:process 0, :value {}", "[".repeat(1000));
    assert_eq!(
        edn(&nested),
        "line 1, column 120: values are nested more than 100 deep"
    );

    let json = |text: &str| error(text, Format::Json);
    assert_eq!(
        json("[{\"process\":0,\"type\":\"invoke\",\"f\":\"read\"},\n  {\"process\":}]"),
        "line 2, column 14: expected value"
    );
    assert_eq!(
        json("[\n[]]"),
        "line 2, column 1: an event is an object, in braces"
    );
    assert_eq!(
        json("{\"process\":0,\"type\":\"invoke\",\"f\":\"read\",\"index\":\"x\"}"),
        "line 1, column 1: `index` must be a number, not below 0"
    );

    let etcd = |text: &str| error(text, Format::EtcdLog);
    assert_eq!(
        etcd("x\nINFO  jepsen.util - 0\t:invok\t:read\tnil"),
        "line 2, column 23: `:invok` is not `:invoke`, `:ok`, `:fail` or `:info`"
    );
    assert_eq!(
        etcd("INFO  jepsen.util - 0\t:invoke\tread\tnil"),
        "line 1, column 31: here must be `:read`, `:write` or `:cas`"
    );
    assert_eq!(
        etcd("INFO  jepsen.util - 0\t:invoke\t:read"),
        "line 1, column 36: a value must be here"
    );
    assert_eq!(
        etcd("INFO  jepsen.util - 0\t:invoke\t:cas\t[1 "),
        "line 1, column 36: the input ends within this value"
    );
    assert_eq!(
        etcd("INFO  jepsen.util - 0\t:ok\t:read\tnil"),
        "line 1, column 21: event 0: process 0 returns, but has nothing open"
    );
    assert!(etcd("hello\n").starts_with("line 1, column 1: no line is an event"));

    let calls = |text: &str| error(text, Format::Calls);
    assert_eq!(
        calls("[1] call push(1)\n  [x] return"),
        "line 2, column 4: `x` is not a number up to 4294967295"
    );
    assert_eq!(
        calls("[1] cal push(1)"),
        "line 1, column 5: `cal` is neither `call` nor `return`"
    );
    assert_eq!(
        calls("[1] call push(1"),
        "line 1, column 10: `)` must be at the end"
    );
    assert_eq!(
        calls("[1] call"),
        "line 1, column 9: `call` needs the name of what is called"
    );
    assert_eq!(
        calls("push"),
        "line 1, column 1: a line is `[1] call push(7)` or `[1] return 7`"
    );
    assert_eq!(
        calls("[1] call pop\n\n [2] return"),
        "line 3, column 2: event 1: process 2 returns, but has nothing open"
    );

    assert_eq!(
        error(
            "{\"event\":{\"Begin\":\"Read\"},\n\"client_id\":0}",
            Format::S2
        ),
        "line 1, column 17: unknown variant `Begin`, expected `Start` or `Finish`"
    );
    assert_eq!(
        error("\n{\"index\":0}", Format::JsonLines),
        "line 2, column 11: missing field `time_ns`"
    );
    let not_text = read(&b"{:process 0, :f \"\xff\"}"[..], Format::Edn).expect_err("not UTF-8");
    assert_eq!(
        not_text.to_string(),
        "line 1, column 18: the text is not UTF-8"
    );
}

#[test]
fn histories_are_converted() {
    let text =
        "INFO  jepsen.util - 1\t:invoke\t:cas\t[1 2]\nINFO  jepsen.util - 1\t:fail\t:cas\t[1 2]\n";
    let mut edn = Vec::new();
    let converted = convert(text.as_bytes(), None, Format::Edn, &mut edn).expect("it is whole");
    assert_eq!(converted.from, Format::EtcdLog);
    assert_eq!(converted.operations, 1);
    assert_eq!(
        String::from_utf8(edn).expect("it is text"),
        "{:index 0, :time 0, :process 1, :type :invoke, :f :cas, :value [1 2]}\n\
         {:index 1, :time 0, :process 1, :type :ok, :f :cas, :value false}\n"
    );

    let mut output = Vec::new();
    let mut refused = |text: &str, from, to| {
        let refused = convert(text.as_bytes(), from, to, &mut output).expect_err("refused");
        assert!(output.is_empty(), "nothing is written then");
        refused
    };
    assert!(matches!(
        refused(text, None, Format::JsonLines),
        ConvertError::Write(WriteError::NoLog)
    ));
    assert!(matches!(
        refused(text, None, Format::EtcdLog),
        ConvertError::Write(WriteError::OnlyRead(Format::EtcdLog))
    ));
    assert!(matches!(
        refused("hello", None, Format::Edn),
        ConvertError::NoGuess(_)
    ));
    assert!(matches!(
        refused(text, Some(Format::Json), Format::Edn),
        ConvertError::Read(_)
    ));
}
