//! JSON lines: what is written is read back, and what is damaged is refused with its place.

use hstore_core::{Epoch, LogId, Lsn};
use jepsen_lite::history::{
    Call, EventIndex, Gap, GapKind, History, Intervals, Journal, Mismatch, Moment, OpId, Outcome,
    ProcessId, ReadOutcome, RecordId, Recorder, Source, Status, Subscription, Terms, Token,
    read_json, write_json,
};
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use proptest::{collection, option};
use proptest::{prop_assert, prop_assert_eq, proptest};
use rand::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::generator;

fn to_json(history: &History) -> String {
    let mut bytes = Vec::new();
    write_json(history, &mut bytes).expect("memory takes everything");
    String::from_utf8(bytes).expect("JSON is UTF-8")
}

fn lsns() -> impl Strategy<Value = Lsn> {
    any::<u64>().prop_map(Lsn::from_u64)
}

fn tokens() -> impl Strategy<Value = Option<Token>> {
    option::of(any::<u64>().prop_map(Token))
}

fn calls() -> impl Strategy<Value = Call> {
    let terms = (option::of(lsns()), tokens(), tokens());
    let append = terms.prop_map(|(last, token, sets)| Call::Append {
        record: RecordId(0),
        terms: Terms { last, token, sets },
    });
    let source = select(vec![Source::Log, Source::Tier1, Source::Tier2]);
    let read = (lsns(), any::<u32>(), any::<bool>(), source);
    let read = read.prop_map(|(from, limit, is_final, source)| Call::Read {
        from,
        limit,
        is_final,
        source,
    });
    let subscription = (any::<u32>(), any::<u32>());
    let subscription = subscription.prop_map(|(id, incarnation)| Subscription { id, incarnation });
    let poll = (lsns(), any::<u32>(), option::of(subscription));
    let poll = poll.prop_map(|(from, limit, subscription)| Call::Poll {
        from,
        limit,
        subscription,
    });
    prop_oneof![
        Just(Call::append(RecordId(0))),
        append,
        read,
        poll,
        Just(Call::Tail),
        lsns().prop_map(|upto| Call::Trim { upto }),
        any::<u32>().prop_map(|epoch| Call::Seal {
            epoch: Epoch(epoch)
        }),
    ]
}

/// What a step draws: a time, a process, a log, a call, and an answer to whatever is open.
pub(crate) type Step = (u64, u32, u32, Call, u8, Answers);

/// An answer to whatever may be open.
pub(crate) type Answers = (Lsn, ReadOutcome, Mismatch);

pub(crate) fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = select(vec![
        GapKind::Hole,
        GapKind::Bridge,
        GapKind::DataLoss,
        GapKind::Trim,
    ]);
    let gap = (kind, lsns(), lsns()).prop_map(|(kind, one, two)| Gap {
        kind,
        first: one.min(two),
        last: one.max(two),
    });
    let record = (lsns(), any::<u64>().prop_map(RecordId));
    let read = (
        collection::vec(record, 0..5),
        collection::vec(gap, 0..3),
        lsns(),
    );
    let read = read.prop_map(|(records, gaps, tail)| ReadOutcome {
        records,
        gaps,
        tail,
    });
    let mismatch = (option::of(lsns()), option::of(tokens()));
    let mismatch = mismatch.prop_map(|(last, token)| Mismatch { last, token });
    let step = (
        any::<u64>(),
        0..4_u32,
        0..3_u32,
        calls(),
        0..10_u8,
        (lsns(), read, mismatch),
    );
    collection::vec(step, 0..60)
}

/// A process that is free invokes, one that waits is answered. Where events share indexes, two and two
/// do.
pub(crate) fn record(sharing: Option<Intervals>, steps: Vec<Step>) -> History {
    let mut recorder = sharing.map_or_else(Recorder::new, Recorder::with_intervals);
    let mut lives = [0; 4];
    for (number, (time_ns, client, log, call, end, answers)) in (0..).zip(steps) {
        let index = EventIndex(if sharing.is_some() {
            number / 2
        } else {
            number
        });
        let now = Moment { index, time_ns };
        let process = ProcessId(client + 4 * lives[client as usize]);
        let Some(op) = recorder.open_op(process) else {
            let call = match call {
                Call::Append { terms, .. } => Call::Append {
                    record: RecordId(u64::MAX - number),
                    terms,
                },
                other => other,
            };
            let invoked = recorder.invoke_at(process, LogId(log), call, now);
            invoked.expect("the process is free");
            continue;
        };
        let outcome = outcome(recorder.history().op(op).call(), end, answers);
        let takes_no_time = recorder.history().op(op).invoked().index == index;
        if takes_no_time && sharing == Some(Intervals::Open) {
            continue;
        }
        match end {
            0 => recorder.complete_at(op, Status::Fail, None, now),
            1 => {
                lives[client as usize] += 1;
                recorder.complete_at(op, Status::Info, None, now)
            }
            _ => recorder.complete_at(op, outcome.status(), Some(outcome), now),
        }
        .expect("the operation is open");
    }
    recorder.finish().expect("record ids are unique")
}

fn outcome(call: Call, end: u8, (lsn, read, mismatch): Answers) -> Outcome {
    match call {
        Call::Append { terms, .. } if terms.is_conditional() && end < 5 => {
            Outcome::Mismatch(mismatch)
        }
        Call::Append { .. } => Outcome::Append { lsn },
        Call::Read { .. } | Call::Poll { .. } if end == 2 => Outcome::Trimmed { upto: lsn },
        Call::Read {
            source: Source::Log,
            ..
        } => Outcome::Read(read),
        Call::Read { .. } | Call::Poll { .. } => {
            Outcome::Read(ReadOutcome::of_poll(read.records, read.gaps))
        }
        Call::Tail => Outcome::Tail { tail: lsn },
        Call::Trim { .. } => Outcome::Trim,
        Call::Seal { .. } => Outcome::Seal { tail: lsn },
    }
}

fn sharing() -> impl Strategy<Value = Option<Intervals>> {
    select(vec![None, Some(Intervals::Closed), Some(Intervals::Open)])
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(sharing in sharing(), steps in steps()) {
        let history = record(sharing, steps);
        let text = to_json(&history);
        let back = read_json(text.as_bytes()).expect("what we wrote");
        prop_assert_eq!(to_json(&back), text);
        prop_assert_eq!(back, history);
    }

    #[test]
    fn damage_is_an_error_with_a_place_or_another_history(
        sharing in sharing(), steps in steps(), at in any::<usize>(), byte in any::<u8>()
    ) {
        let mut text = to_json(&record(sharing, steps)).into_bytes();
        if !text.is_empty() {
            let at = at % text.len();
            text[at] = byte;
        }
        let lines = text.split(|&byte| byte == b'\n').count() as u64;
        if let Err(error) = read_json(text.as_slice()) {
            prop_assert!((1..=lines).contains(&error.line) && error.column >= 1, "{}", error);
        }
    }
}

#[test]
fn random_small_histories_round_trip() {
    for seed in 0..2_000 {
        let history = generator::history(&mut Xoshiro256PlusPlus::seed_from_u64(seed), 12);
        let text = to_json(&history);
        assert_eq!(read_json(text.as_bytes()).expect("what we wrote"), history);
    }
}

#[test]
fn the_format_is_readable() {
    let mut recorder = Recorder::new();
    let (process, log) = (ProcessId(3), LogId(1));
    let record = RecordId(17);
    let open = |result: Result<OpId, _>| result.expect("the process is free");
    let op = open(recorder.invoke(process, log, Call::append(record), 1_000));
    let lsn = Lsn::new(1, 1);
    recorder
        .answer(op, Outcome::Append { lsn }, 2_500)
        .expect("open");
    let read = Call::read(lsn, 9, true);
    let op = open(recorder.invoke(process, log, read, 2_600));
    let outcome = ReadOutcome {
        records: vec![(lsn, record)],
        gaps: vec![Gap {
            kind: GapKind::DataLoss,
            first: Lsn::new(1, 2),
            last: Lsn::new(1, 3),
        }],
        tail: Lsn::new(1, 4),
    };
    recorder
        .answer(op, Outcome::Read(outcome), 2_700)
        .expect("open");
    let op = open(recorder.invoke(process, log, Call::Tail, 2_800));
    recorder.fail(op, 2_900).expect("open");
    let op = open(recorder.invoke(process, log, Call::Tail, 3_000));
    recorder.info(op, 3_100).expect("open");
    let expected = r#"{"index":0,"time_ns":1000,"process":3,"type":"invoke","log":1,"f":"append","record":17}
{"index":1,"time_ns":2500,"process":3,"type":"ok","log":1,"f":"append","lsn":"e1:1"}
{"index":2,"time_ns":2600,"process":3,"type":"invoke","log":1,"f":"read","from":"e1:1","limit":9,"final":true}
{"index":3,"time_ns":2700,"process":3,"type":"ok","log":1,"f":"read","records":[["e1:1",17]],"gaps":[{"kind":"data_loss","first":"e1:2","last":"e1:3"}],"tail":"e1:4"}
{"index":4,"time_ns":2800,"process":3,"type":"invoke","log":1,"f":"tail"}
{"index":5,"time_ns":2900,"process":3,"type":"fail","log":1,"f":"tail"}
{"index":6,"time_ns":3000,"process":3,"type":"invoke","log":1,"f":"tail"}
{"index":7,"time_ns":3100,"process":3,"type":"info","log":1,"f":"tail"}
"#;
    assert_eq!(to_json(&recorder.finish().expect("unique")), expected);
}

const INVOKE: &str =
    r#"{"index":0,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"append","record":5}"#;

fn refused(text: &str) -> String {
    read_json(text.as_bytes())
        .expect_err("it must be refused")
        .to_string()
}

#[test]
fn damaged_input_is_refused_with_line_column_and_reason() {
    let cases = [
        (
            "{\"index\":0,",
            "line 1, column 11: the last line is cut, as if the recording had ended within it",
        ),
        (
            "\n\n [1]",
            "line 3, column 2: an event is a JSON object, in braces",
        ),
        (
            r#"{"index":0,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"read","from":"e1","limit":3}"#,
            "line 1, column 81: `e1` is not an LSN: expected `e<epoch>:<offset>`, for example `e3:17`",
        ),
        (
            r#"{"index":0,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"cas"}"#,
            "line 1, column 68: unknown variant `cas`, expected one of `append`, `read`, `poll`, `tail`, `trim`, `seal`",
        ),
        (
            r#"{"index":0,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"tail","who":1}"#,
            "line 1, column 75: unknown field `who`, expected one of",
        ),
        (
            r#"{"index":0,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"append"}"#,
            "line 1, column 1: `invoke` of `append` needs a field `record`",
        ),
        (
            r#"{"index":0,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"tail","lsn":"e1:1"}"#,
            "line 1, column 1: `invoke` of `tail` has no field `lsn`",
        ),
    ];
    for (text, expected) in cases {
        let error = refused(text);
        assert!(
            error.starts_with(expected),
            "{text}\n  {error}\n  {expected}"
        );
    }
}

#[test]
fn ill_formed_histories_are_refused() {
    let after_invoke = |line: &str| refused(&format!("{INVOKE}\n\n{line}\n"));
    let cases = [
        (
            r#"{"index":1,"time_ns":0,"process":2,"type":"ok","log":0,"f":"append","lsn":"e1:1"}"#,
            "line 3, column 1: event 1: process 2 returns, but has nothing open",
        ),
        (
            r#"{"index":1,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"tail"}"#,
            "line 3, column 1: event 1: process 1 invokes while its op 0 is open",
        ),
        (
            r#"{"index":0,"time_ns":0,"process":2,"type":"invoke","log":0,"f":"tail"}"#,
            "line 3, column 1: event 0: the index does not rise: the event before has index 0",
        ),
        (
            r#"{"index":18446744073709551615,"time_ns":0,"process":2,"type":"invoke","log":0,"f":"tail"}"#,
            "line 3, column 1: event 18446744073709551615: the index is too great",
        ),
        (
            r#"{"index":1,"time_ns":0,"process":1,"type":"ok","log":4,"f":"append","lsn":"e1:1"}"#,
            "line 3, column 1: event 1: the open op 0 is of log 0, the event names log 4",
        ),
        (
            r#"{"index":1,"time_ns":0,"process":1,"type":"info","log":0,"f":"tail"}"#,
            "line 3, column 1: event 1: the open op 0 is `append` of log 0, the answer is to `tail`",
        ),
        (
            r#"{"index":9,"time_ns":0,"process":2,"type":"invoke","log":0,"f":"append","record":5}"#,
            "line 3, column 1: event 9: record 5 was already appended to log 0 by op 0",
        ),
    ];
    for (line, expected) in cases {
        assert_eq!(after_invoke(line), expected);
    }
    let retired = [
        INVOKE,
        r#"{"index":1,"time_ns":0,"process":1,"type":"info","log":0,"f":"append"}"#,
        r#"{"index":2,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"tail"}"#,
    ];
    assert_eq!(
        refused(&retired.join("\n")),
        "line 3, column 1: event 2: process 1 goes on after its op 0 ended with unknown outcome"
    );
    let twice = [
        INVOKE,
        r#"{"index":1,"time_ns":0,"process":1,"type":"info","log":0,"f":"append"}"#,
        r#"{"index":2,"time_ns":0,"process":1,"type":"ok","log":0,"f":"append","lsn":"e1:1"}"#,
    ];
    assert_eq!(
        refused(&twice.join("\n")),
        "line 3, column 1: event 2: process 1 returns, but has nothing open"
    );
    let empty_gap = [
        r#"{"index":0,"time_ns":0,"process":1,"type":"invoke","log":0,"f":"read","from":"e1:1","limit":3}"#,
        r#"{"index":1,"time_ns":0,"process":1,"type":"ok","log":0,"f":"read","records":[],"gaps":[{"kind":"hole","first":"e1:2","last":"e1:1"}],"tail":"e1:3"}"#,
    ];
    assert_eq!(
        refused(&empty_gap.join("\n")),
        "line 2, column 1: event 1: the gap e1:2..=e1:1 ends before it begins"
    );
}

#[test]
fn the_recorder_refuses_what_no_process_can_do() {
    let mut recorder = Recorder::new();
    let append = recorder.invoke(ProcessId(1), LogId(0), Call::Tail, 0);
    let op = append.expect("the process is free");
    let lsn = Lsn::FIRST;
    assert!(
        recorder.answer(op, Outcome::Append { lsn }, 0).is_err(),
        "another kind of answer"
    );
    assert!(recorder.fail(OpId(1), 0).is_err(), "never invoked");
    assert_eq!(recorder.open_op(ProcessId(1)), Some(op));
    recorder
        .fail(op, 0)
        .expect("what was refused left no trace");
    assert_eq!(recorder.open_op(ProcessId(1)), None);
    assert!(recorder.info(op, 0).is_err(), "ended before");
    assert_eq!(recorder.history().events(), [(op, true), (op, false)]);
}

#[test]
fn a_line_without_end_is_refused() {
    let endless = std::io::Read::chain(INVOKE.as_bytes(), std::io::repeat(b' '));
    let error = read_json(std::io::BufReader::new(endless)).expect_err("too long");
    assert!(error.to_string().contains("longer than"), "{error}");
}

#[test]
fn an_operation_costs_less_than_a_hundred_bytes() {
    let mut recorder = Recorder::new();
    let process = ProcessId(0);
    for number in 0..1_000 {
        let call = match number % 3 {
            0 => Call::append(RecordId(number)),
            1 => Call::read(Lsn::FIRST, 1, false),
            _ => Call::Tail,
        };
        let op = recorder.invoke(process, LogId(0), call, number);
        recorder.fail(op.expect("free"), number).expect("open");
    }
    let history = recorder.finish().expect("unique");
    assert!(history.memory_bytes() <= 100 * history.len());
}

#[test]
fn a_journal_is_a_history_wherever_it_ends() {
    let (process, log, lsn) = (ProcessId(1), LogId(0), Lsn::FIRST);
    let mut text = Vec::new();
    let mut journal = Journal::new(&mut text);
    let op = journal.invoke(process, log, Call::append(RecordId(7)), 1_000);
    let op = op.expect("the process is free");
    let answered = journal.answer(op, Outcome::Append { lsn }, 2_000);
    answered.expect("it is open");
    let op = journal.invoke(process, log, Call::Tail, 3_000);
    journal.info(op.expect("free"), 4_000).expect("it is open");
    assert!(journal.invoke(process, log, Call::Tail, 5_000).is_err());
    let whole = journal.finish().expect("one record");
    assert_eq!(to_json(&whole).into_bytes(), text);
    let mut ends = 0;
    for len in 0..=text.len() {
        let cut = &text[..len];
        match read_json(cut) {
            Ok(history) => {
                assert!(history.len() <= whole.len());
                ends += 1;
            }
            Err(error) => assert!(
                error.to_string().contains("the last line is cut"),
                "{error}"
            ),
        }
    }
    // Nothing, and each of four lines with and without its end.
    assert_eq!(ends, 9);
}
