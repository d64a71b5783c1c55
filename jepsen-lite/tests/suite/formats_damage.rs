//! Damaged input is refused with a place, or is another history: nothing panics.

use std::io::{self, BufReader, Read};

use jepsen_lite::formats::{Format, MAX_VALUE_BYTES, ReadErrorReason, Recording, guess, read};
use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use proptest::{prop_assert, prop_assert_eq, proptest};

use crate::formats::show;

/// A whole history in each format.
const WHOLE: [(Format, &str); 8] = [
    (
        Format::JsonLines,
        r#"{"index":0,"time_ns":1,"process":3,"type":"invoke","log":1,"f":"append","record":17}
{"index":1,"time_ns":2,"process":3,"type":"ok","log":1,"f":"append","lsn":"e1:1"}
"#,
    ),
    (
        Format::Edn,
        "[{:process 1, :type :invoke, :f :write, :value \"a\\n\", :index 0}
 ; note
 #t {:process 1, :type :ok, :f :write, :value #{[1 2.5] 3N \\a nil} :index 4} #_ x
 {:process :nemesis, :type :info, :f :stop}]",
    ),
    (
        Format::Edn,
        "{:process 3, :type :invoke, :f :append, :value {:log 1, :record 17}}
{:process 3, :type :ok, :f :append, :value {:log 1, :lsn \"e1:1\"}}\n",
    ),
    (
        Format::Json,
        r#"[{"process":1,"type":"invoke","f":"write","value":{"a":[1,"\u00e9\n"]},"key":"k"},
{"process":1,"type":"info","f":"write","value":-1.5e3,"key":"k"}]"#,
    ),
    (
        Format::EtcdLog,
        "INFO  jepsen.util - 0\t:invoke\t:cas\t[1 2]\nother\nINFO  jepsen.util - 0   :fail :cas [1 2]\n",
    ),
    (
        Format::KvLog,
        "{:process 0, :type :invoke, :f :append, :key \"k\", :value \"x\"}\n{:process 0, :type :ok, \
         :f :append, :key \"k\", :value \"x\"}\n",
    ),
    (
        Format::S2,
        r#"{"event":{"Start":{"Append":{"num_records":1,"record_hashes":[1],"set_fencing_token":"t","fencing_token":null,"match_seq_num":0}}},"client_id":0,"op_id":0}
{"event":{"Finish":{"AppendSuccess":{"tail":1}}},"client_id":0,"op_id":0}
"#,
    ),
    (
        Format::Calls,
        "# @object queue\n[1] call enqueue(a, 2)\n  [2] call dequeue\n[1] return\n  [2] return empty\n",
    ),
];

/// What happens to a byte: it becomes another, goes, comes twice, or all from it on goes.
type Damage = (usize, u8, u8);

fn damages() -> impl Strategy<Value = Vec<Damage>> {
    vec((any::<usize>(), 0..5_u8, any::<u8>()), 1..6)
}

fn damage(text: &str, damages: &[Damage]) -> Vec<u8> {
    let mut bytes = text.as_bytes().to_vec();
    for &(at, how, byte) in damages {
        let at = at % (bytes.len() + 1);
        let common = b"[]{}()\"\\#:;,_ \n\t0-N"[usize::from(byte) % 19];
        match how {
            0 => bytes.insert(at, byte),
            1 => bytes.insert(at, common),
            2 if at < bytes.len() => bytes[at] = common,
            3 if at < bytes.len() => drop(bytes.remove(at)),
            4 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

#[test]
fn what_is_to_be_damaged_is_whole() {
    for (format, text) in WHOLE {
        assert_eq!(guess(text.as_bytes()), Ok(format), "{text}");
        if let Err(error) = read(text.as_bytes(), format) {
            panic!("{error}: {text}");
        }
    }
}

/// The error, or what was read.
fn outcome(input: impl Read, buffer_bytes: usize, format: Format) -> Result<String, String> {
    match read(BufReader::with_capacity(buffer_bytes, input), format) {
        Ok(Recording::Object(object)) => Ok(format!("{:?}", show(&object.history))),
        Ok(Recording::Log(history)) => Ok(format!("{history:?}")),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn an_event_without_end_is_refused_before_it_fills_the_memory() {
    for (format, begin) in [
        (Format::Edn, "[{:value \""),
        (Format::Edn, "{:value \\a ["),
        (Format::Json, "[{\"value\":\""),
        (Format::S2, "{\"event\":"),
        (Format::Calls, "[1] call "),
        (Format::EtcdLog, "INFO  jepsen.util - "),
    ] {
        let endless = begin.as_bytes().chain(io::repeat(b'x'));
        let input = BufReader::new(endless.take(2 * MAX_VALUE_BYTES as u64));
        let error = read(input, format).expect_err("it is too long");
        assert!(matches!(error.reason, ReadErrorReason::TooLong), "{error}");
        assert_eq!(error.line, 1, "{error}");
    }
}

proptest! {
    #[test]
    fn it_does_not_matter_how_the_input_is_cut(
        damages in damages(), which in 0..WHOLE.len(), is_whole in any::<bool>(), buffer in 1..9_usize
    ) {
        let (format, text) = WHOLE[which];
        let bytes = if is_whole { text.as_bytes().to_vec() } else { damage(text, &damages) };
        let wanted = outcome(&bytes[..], bytes.len() + 1, format);
        prop_assert_eq!(outcome(&bytes[..], buffer, format), wanted);
    }

    #[test]
    fn nothing_panics(damages in damages(), which in 0..WHOLE.len(), other in 0..Format::ALL.len()) {
        let bytes = damage(WHOLE[which].1, &damages);
        let lines = bytes.split(|&byte| byte == b'\n').count() as u64;
        let guessed = guess(&bytes).ok();
        for format in [Some(WHOLE[which].0), Some(Format::ALL[other]), guessed] {
            if let Some(format) = format
                && let Err(error) = read(&bytes[..], format)
            {
                prop_assert!((1..=lines).contains(&error.line), "{}", error);
                prop_assert!((1..=bytes.len() + 1).contains(&error.column), "{}", error);
                prop_assert!(!error.reason.to_string().is_empty());
            }
        }
    }
}
