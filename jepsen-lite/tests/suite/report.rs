//! Reports: what they say is so, and they can be read.

use hstore_core::{Epoch, LogId, Lsn};
use jepsen_lite::anomaly::{Anomaly, AnomalyKind, Asked, CertificateOp, Fact, Subject};
use jepsen_lite::check::{Check, CheckOptions, CheckReport, Counts, PartReport, Report, check};
use jepsen_lite::history::{
    Answer, Call, EventIndex, Gap, GapKind, History, Intervals, Mismatch, Moment, OpId, OpKind,
    Outcome, ProcessId, ReadOutcome, RecordId, Status, Terms, Token,
};
use jepsen_lite::object::{self, AfterInfo, ObjectHistory, ObjectRecorder, Value};
use jepsen_lite::report::{
    Context, ContextFact, Document, Lane, MAX_STORIES, ObjectProof, Proof, Span, SpanKind,
    legal_answers,
};
use jepsen_lite::verdict::{Findings, Verdict, VerdictKind};
use rand::{RngExt, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

use crate::log_checks::about_contents;
use crate::script::{Script, lsn};
use crate::{browser, brute, generator};

fn document(write: impl FnOnce(&mut Script)) -> Document {
    let mut script = Script::default();
    write(&mut script);
    let history = script.finish();
    let report = check(&history, &CheckOptions::default());
    Document::of_log(&report, &history, Context::default())
}

/// A report that only says this.
fn report_of(anomaly: Anomaly) -> Report {
    let findings = Findings {
        counts: [(anomaly.kind, 1)].into(),
        anomalies: vec![anomaly.clone()],
    };
    let part = PartReport {
        subject: anomaly.subject,
        verdict: VerdictKind::Invalid,
        counts: Counts::default(),
        checks: vec![CheckReport {
            check: Check::Linearizability,
            verdict: Verdict::Invalid(findings),
            tally: Default::default(),
        }],
    };
    Report {
        verdict: VerdictKind::Invalid,
        counts: Counts::default(),
        parts: vec![part],
    }
}

/// An anomaly that says that these operations contradict each other at these positions, true or not.
fn claim(history: &History, ops: &[OpId], positions: &[&str]) -> Anomaly {
    let certificate = ops.iter().map(|&id| {
        let op = history.op(id);
        CertificateOp {
            op: id,
            process: op.process(),
            call: Asked::Log(op.call()),
            status: op.status(),
            invoked: op.invoked(),
            completed: op.completed(),
            fact: None,
        }
    });
    Anomaly {
        kind: AnomalyKind::StaleRead,
        subject: Subject::Log(LogId(0)),
        expected: String::new(),
        seen: String::new(),
        positions: positions.iter().map(|at| lsn(at)).collect(),
        certificate: certificate.collect(),
        chain: Vec::new(),
    }
}

/// What the report makes of such a claim: the proof, and the nearest legal outcome.
fn judged(write: impl FnOnce(&mut Script) -> Vec<OpId>, positions: &[&str]) -> (Proof, String) {
    let mut script = Script::default();
    let ops = write(&mut script);
    let history = script.finish();
    let report = report_of(claim(&history, &ops, positions));
    let document = Document::of_log(&report, &history, Context::default());
    let story = &document.stories[0];
    let nearest = story.nearest.as_ref();
    (
        story.minimal.proof,
        nearest.map_or_else(String::new, |nearest| nearest.sentence()),
    )
}

#[test]
fn every_anomaly_is_refuted_again_and_its_nearest_legal_outcome_is_legal() {
    const HISTORIES: u64 = 20_000;
    let (mut stories, mut nearest_found, mut verified) = (0_u64, 0_u64, 0_u64);
    let (mut smaller, mut larger) = (0_u64, 0_u64);
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = generator::history(&mut rng, 7);
        let report = check(&history, &about_contents());
        let document = Document::of_log(&report, &history, Context::default());
        for story in &document.stories {
            stories += 1;
            let refuted = matches!(story.minimal.proof, Proof::Refuted { .. });
            assert!(refuted, "seed {seed}: {}", document.to_text());
            larger += u64::from(story.minimal.ops.len() > story.certificate.len().max(4));
            smaller += u64::from(story.minimal.ops.len() < story.certificate.len());
            let Some(nearest) = &story.nearest else {
                continue;
            };
            nearest_found += 1;
            let mut anomalies = report.anomalies();
            let original = anomalies.find(|(check, anomaly)| {
                check.name() == story.check
                    && anomaly.kind.to_string() == story.kind
                    && anomaly.seen == story.seen
                    && anomaly.expected == story.expected
            });
            let (_, original) = original.expect("a story is about an anomaly");
            let mut changed = original.clone();
            let mut ops = changed.certificate.iter_mut();
            let op = ops.find(|op| op.op.0 == nearest.op);
            let op =
                op.expect("the nearest legal outcome is that of an operation of the certificate");
            assert_ne!(op.fact, nearest.fact, "seed {seed}: {}", document.to_text());
            op.fact.clone_from(&nearest.fact);
            add_what_reads_rest_on(&history, &mut changed);
            if names_others(&changed) {
                continue;
            }
            verified += 1;
            assert!(
                brute::certificate_is_legal(&changed, history.intervals()),
                "seed {seed}: not legal: {nearest:?} in {original}"
            );
        }
    }
    println!(
        "{stories} stories, {nearest_found} with a legal outcome, {verified} verified; {smaller} parts are smaller than their \
         certificates, {larger} larger"
    );
    assert!(stories > HISTORIES / 8, "only {stories}");
    assert!(
        nearest_found * 10 >= stories * 9,
        "only {nearest_found} of {stories} have a legal outcome"
    );
    assert!(verified * 10 >= nearest_found * 9, "only {verified}");
    assert!(smaller > 0);
    assert!(larger * 100 < stories, "{larger} parts are large");
}

/// Whether an append was told of a last record, or got through although it demands one, that no append of the
/// certificate is known to have put there: then the certificate does not say enough to judge what else would
/// be legal.
fn names_others(anomaly: &Anomaly) -> bool {
    let is_there = |last: Lsn| {
        let mut facts = anomaly.certificate.iter().map(|op| &op.fact);
        last == Lsn::MIN || facts.any(|fact| *fact == Some(Fact::Appended { lsn: last }))
    };
    let named = anomaly
        .certificate
        .iter()
        .map(|op| match (&op.call, &op.fact) {
            (_, Some(Fact::Mismatched { told })) => told.last,
            (Asked::Log(Call::Append { terms, .. }), Some(Fact::Appended { .. })) => terms.last,
            _ => None,
        });
    named.flatten().any(|last| !is_there(last))
}

/// A certificate need not say where every record comes from that its reads show, and who gave up what they
/// miss; a legal history must.
fn add_what_reads_rest_on(history: &History, anomaly: &mut Anomaly) {
    let reads = anomaly.certificate.iter().filter_map(|op| match &op.fact {
        Some(Fact::Read { records, .. }) => Some(records.clone()),
        _ => None,
    });
    let shown: Vec<RecordId> = reads.flatten().map(|(_, record)| record).collect();
    for op in history.ops() {
        let is_trim = op.kind() == OpKind::Trim && op.status() != Status::Fail;
        let is_shown = op.record().is_some_and(|record| shown.contains(&record));
        let is_new = anomaly.certificate.iter().all(|shown| shown.op != op.id());
        if is_new && (is_shown || is_trim) {
            let mut certified = claim(history, &[op.id()], &[]).certificate;
            certified[0].fact = match op.answer() {
                Some(Answer::Append { lsn }) => Some(Fact::Appended { lsn }),
                Some(Answer::Trim) => Some(Fact::Done),
                _ => None,
            };
            anomaly.certificate.append(&mut certified);
        }
    }
}

/// Two brute forces that share no line agree, with every kind of operation.
#[test]
fn whole_histories_are_refuted_if_and_only_if_they_are_illegal() {
    const HISTORIES: u64 = 20_000;
    let mut illegal = 0;
    for seed in 0..HISTORIES {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = generator::history(&mut rng, 6);
        let ops: Vec<OpId> = history.ops().map(|op| op.id()).collect();
        // Nothing is claimed of any position, so only the whole can show what is wrong.
        let mut anomaly = claim(&history, &ops, &[]);
        anomaly.certificate.clear();
        let report = report_of(anomaly);
        let document = Document::of_log(&report, &history, Context::default());
        let proof = document.stories[0].minimal.proof;
        let legal = brute::is_legal(&history);
        illegal += u64::from(!legal);
        assert_ne!(
            is_refuted(proof),
            legal,
            "seed {seed}: {proof:?}, {} {history:#?}",
            document.to_text()
        );
    }
    println!("{HISTORIES} histories, {illegal} illegal");
    assert!(illegal * 10 > HISTORIES);
}

#[test]
fn no_part_of_a_legal_history_is_refuted() {
    let (mut legal, mut claims) = (0, 0);
    for seed in 0..20_000 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let history = generator::history(&mut rng, 7);
        if history.is_empty() || !brute::is_legal(&history) {
            continue;
        }
        legal += 1;
        let domain = brute::domain();
        for _ in 0..3 {
            let mut ops: Vec<OpId> = history.ops().map(|op| op.id()).collect();
            ops.retain(|_| rng.random_range(0..3) > 0);
            let mut anomaly = claim(&history, &ops, &[]);
            anomaly.positions.clone_from(&domain);
            anomaly.positions.retain(|_| rng.random_range(0..8) == 0);
            let report = report_of(anomaly);
            let document = Document::of_log(&report, &history, Context::default());
            let proof = document.stories[0].minimal.proof;
            assert!(
                !matches!(proof, Proof::Refuted { .. }),
                "seed {seed}: a legal history is refuted: {} {history:#?}",
                document.to_text()
            );
            claims += 1;
        }
    }
    println!("{legal} legal histories, {claims} false claims");
    assert!(legal > 4_000, "only {legal}");
}

fn conditional(script: &mut Script, process: u32, record: u64, terms: Terms) -> OpId {
    let record = RecordId(record);
    script.invoke(process, Call::Append { record, terms })
}

fn after(last: &str) -> Terms {
    Terms {
        last: Some(lsn(last)),
        ..Terms::NONE
    }
}

fn fenced(token: Option<u64>, sets: Option<u64>) -> Terms {
    Terms {
        last: None,
        token: token.map(Token),
        sets: sets.map(Token),
    }
}

const NOT_REFUTED: Proof = Proof::NotOfOrder;

fn is_refuted(proof: Proof) -> bool {
    matches!(proof, Proof::Refuted { .. })
}

#[test]
fn conditions_on_the_last_record_are_judged() {
    let with_last = |last: &'static str| {
        move |s: &mut Script| {
            let one = s.append(1, 1, "e1:1");
            let two = s.append(1, 2, "e1:2");
            let three = conditional(s, 2, 3, after(last));
            s.appended(three, "e1:3");
            vec![one, two, three]
        }
    };
    let positions = ["e1:1", "e1:2", "e1:3"];
    let (proof, nearest) = judged(with_last("e1:1"), &positions);
    assert!(is_refuted(proof), "{proof:?}");
    assert_eq!(
        nearest,
        "`append(#3, if last is e1:1) -> mismatch` would have been legal, op 2 returned e1:3"
    );
    assert_eq!(judged(with_last("e1:2"), &positions).0, NOT_REFUTED);

    let refused = |told: &'static str| {
        move |s: &mut Script| {
            let one = s.append(1, 1, "e1:1");
            let two = s.append(1, 2, "e1:2");
            let refused = conditional(s, 2, 3, after("e1:9"));
            let last = Some(lsn(told));
            s.ok(refused, Outcome::Mismatch(Mismatch { last, token: None }));
            vec![one, two, refused]
        }
    };
    let (proof, nearest) = judged(refused("e1:1"), &["e1:1", "e1:2"]);
    assert!(is_refuted(proof), "{proof:?}");
    assert!(nearest.contains("mismatch: last is e1:2"), "{nearest}");
    assert_eq!(judged(refused("e1:2"), &["e1:1", "e1:2"]).0, NOT_REFUTED);
    // What it demanded was so.
    let (proof, _) = judged(
        |s| {
            let one = s.append(1, 1, "e1:1");
            let refused = conditional(s, 2, 3, after("e1:1"));
            s.ok(refused, Outcome::Mismatch(Mismatch::default()));
            vec![one, refused]
        },
        &["e1:1"],
    );
    assert!(is_refuted(proof), "{proof:?}");
}

#[test]
fn tokens_are_judged_where_every_record_since_they_were_set_is_known() {
    let with_between = |between: Option<u64>| {
        move |s: &mut Script| {
            let set = conditional(s, 1, 1, fenced(None, Some(7)));
            s.appended(set, "e1:1");
            let other = conditional(s, 1, 2, fenced(None, between));
            s.appended(other, "e1:2");
            let late = conditional(s, 2, 3, fenced(Some(5), None));
            s.appended(late, "e1:3");
            vec![set, late]
        }
    };
    let (proof, nearest) = judged(with_between(None), &["e1:1", "e1:3"]);
    assert!(is_refuted(proof), "{proof:?}");
    assert!(nearest.contains("-> mismatch`"), "{nearest}");
    assert_eq!(
        judged(with_between(Some(5)), &["e1:1", "e1:3"]).0,
        NOT_REFUTED
    );
    // An append of unknown outcome may have set it.
    let (proof, _) = judged(
        |s| {
            let unknown = conditional(s, 3, 9, fenced(None, Some(5)));
            s.info(unknown);
            let set = conditional(s, 1, 1, fenced(None, Some(7)));
            s.appended(set, "e1:1");
            let late = conditional(s, 2, 3, fenced(Some(5), None));
            s.appended(late, "e1:3");
            vec![set, late]
        },
        &["e1:1", "e1:3"],
    );
    assert_eq!(proof, NOT_REFUTED);
}

#[test]
fn trims_seals_and_polls_are_judged() {
    let trimmed = |trim: Option<&'static str>| {
        move |s: &mut Script| {
            s.append(1, 1, "e1:1");
            if let Some(upto) = trim {
                let upto = lsn(upto);
                let trim = s.invoke(3, Call::Trim { upto });
                s.info(trim);
            }
            let read = s.invoke_read(2, "e1:1", 9, false);
            s.ok(read, Outcome::Trimmed { upto: lsn("e1:1") });
            vec![read]
        }
    };
    assert!(is_refuted(judged(trimmed(None), &["e1:1"]).0));
    assert_eq!(judged(trimmed(Some("e1:1")), &["e1:1"]).0, NOT_REFUTED);

    let trim_gap = |trim: bool| {
        move |s: &mut Script| {
            let append = s.append(1, 1, "e1:1");
            if trim {
                let upto = lsn("e1:5");
                let trim = s.invoke(3, Call::Trim { upto });
                s.ok(trim, Outcome::Trim);
            }
            let read = s.invoke_read(2, "e1:1", 9, false);
            let (first, last) = (lsn("e1:1"), lsn("e1:1"));
            let kind = GapKind::Trim;
            let outcome = ReadOutcome {
                gaps: vec![Gap { kind, first, last }],
                records: Vec::new(),
                tail: lsn("e1:2"),
            };
            s.ok(read, Outcome::Read(outcome));
            vec![append, read]
        }
    };
    let (proof, nearest) = judged(trim_gap(false), &["e1:1"]);
    assert!(is_refuted(proof), "{proof:?}");
    assert!(nearest.contains("[e1:1 #1]"), "{nearest}");
    assert_eq!(judged(trim_gap(true), &["e1:1"]).0, NOT_REFUTED);

    let sealed = |at: &'static str| {
        move |s: &mut Script| {
            let seal = s.invoke(3, Call::Seal { epoch: Epoch(2) });
            s.ok(seal, Outcome::Seal { tail: lsn("e1:1") });
            vec![seal, s.append(1, 1, at)]
        }
    };
    let (proof, _) = judged(sealed("e1:4"), &["e1:4"]);
    assert!(is_refuted(proof), "{proof:?}");
    assert_eq!(judged(sealed("e2:1"), &["e2:1"]).0, NOT_REFUTED);

    let polled = |before: bool| {
        move |s: &mut Script| {
            let call = Call::Poll {
                from: lsn("e1:1"),
                limit: 9,
                subscription: None,
            };
            let outcome = ReadOutcome::of_poll(vec![(lsn("e1:1"), RecordId(1))], Vec::new());
            let mut ops = Vec::new();
            if before {
                ops.push(s.append(1, 1, "e1:1"));
                ops.push(s.append(1, 2, "e1:2"));
            }
            let poll = s.invoke(2, call);
            s.ok(poll, Outcome::Read(outcome));
            if !before {
                ops.push(s.append(1, 1, "e1:1"));
            }
            ops.push(poll);
            ops
        }
    };
    // It may miss what is there, but not see what is not.
    assert_eq!(judged(polled(true), &["e1:1", "e1:2"]).0, NOT_REFUTED);
    assert!(is_refuted(judged(polled(false), &["e1:1"]).0));
}

#[test]
fn the_nearest_legal_tail_is_the_smallest_that_the_whole_log_allows() {
    let document = document(|s| {
        for record in 1..=5 {
            s.append(1, record, &format!("e1:{record}"));
        }
        s.tail(2, "e1:3");
    });
    let story = &document.stories[0];
    assert_eq!(story.kind, "StaleRead");
    let nearest = story.nearest.as_ref().expect("some tail is legal");
    assert_eq!(
        nearest.sentence(),
        "`tail() -> e1:6` would have been legal, op 5 returned e1:3"
    );
    assert_eq!(nearest.fact, Some(Fact::Tail { tail: lsn("e1:6") }));
}

/// One history for each kind of anomaly.
fn one_of_each() -> Vec<Document> {
    vec![
        document(|s| {
            s.append(1, 1, "e1:1");
            s.append(1, 2, "e1:2");
            s.final_read(2, &["e1:1 #1", "loss e1:2"], "e1:3");
        }),
        document(|s| {
            let failed = s.invoke_append(1, 1);
            s.fail(failed);
            s.final_read(2, &["e1:1 #1"], "e1:2");
        }),
        document(|s| {
            let open = s.invoke_append(1, 1);
            s.info(open);
            s.tail(2, "e1:2");
            s.tail(3, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        }),
        document(|s| {
            s.tail(2, "e1:2");
            s.append(1, 1, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        }),
        document(|s| {
            s.append(1, 1, "e1:1");
            s.append(2, 2, "e1:1");
        }),
        document(|s| {
            s.append(1, 1, "e1:1");
            s.final_read(2, &["e1:1 #1", "e1:2 #1"], "e1:3");
        }),
        document(|s| {
            s.append(1, 1, "e1:2");
            s.final_read(2, &["e1:2 #1"], "e1:3");
        }),
        document(|s| {
            s.append(1, 1, "e1:2");
            s.append(2, 2, "e1:1");
            s.final_read(2, &["e1:1 #2", "e1:2 #1"], "e1:3");
        }),
        document(|s| {
            let append = s.invoke_append(1, 1);
            s.read(2, &["e1:1 #1"], "e1:1");
            s.appended(append, "e1:1");
            s.final_read(2, &["e1:1 #1"], "e1:2");
        }),
    ]
}

/// `JEPSEN_LITE_BLESS=1` writes the file anew; read the difference before you keep it.
#[test]
fn each_kind_is_told_as_text() {
    let documents = one_of_each();
    let text: Vec<String> = documents.iter().map(Document::to_text).collect();
    let text = text.join("\n----\n\n");
    let long = text.lines().find(|line| line.chars().count() > 100);
    assert_eq!(long, None, "a line has more than 100 columns");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/testdata/report.txt");
    if std::env::var_os("JEPSEN_LITE_BLESS").is_some() {
        std::fs::write(file, &text).expect("the file is written");
    }
    let expected = std::fs::read_to_string(file).expect("the file is there");
    assert_eq!(text, expected, "{file} says otherwise:\n{text}");
}

#[test]
fn the_json_has_the_fields_that_are_promised() {
    let document = document(|s| {
        s.append(1, 1, "e1:1");
        s.tail(2, "e1:1");
        s.final_read(2, &["e1:1 #1"], "e1:2");
    });
    let json: serde_json::Value = serde_json::from_str(&document.to_json()).expect("it is JSON");
    assert_eq!(json["format"], "jepsen-lite/report/1");
    assert_eq!(json["verdict"], "invalid");
    assert_eq!(json["extent"]["anomalies"]["StaleRead"], 1);
    assert_eq!(json["extent"]["operations"], 3);
    assert_eq!(json["extent"]["operations_touched"], 2);
    let story = &json["stories"][0];
    assert_eq!(story["id"], "a1");
    assert_eq!(story["kind"], "StaleRead");
    assert_eq!(story["check"], "linearizability");
    assert_eq!(story["positions"][0], "e1:1");
    assert_eq!(
        story["certificate"][1],
        serde_json::json!({
            "op": 1, "process": 2, "call": "tail()", "answer": "e1:1", "status": "ok",
            "invoked_event": 2, "completed_event": 3,
            "invoked_ns": 1_500_000, "completed_ns": 2_000_000,
        })
    );
    assert_eq!(story["nearest"]["op"], 1);
    assert_eq!(story["nearest"]["legal"][0], "e1:2");
    let reasons = story["arrows"].as_array().expect("a list").iter();
    let reasons: Vec<_> = reasons.map(|arrow| &arrow["reason"]).collect();
    assert_eq!(reasons, ["ends_below", "real_time"]);
    assert_eq!(story["minimal"]["proof"]["proof"], "refuted");
    assert_eq!(story["minimal"]["ops"].as_array().map(Vec::len), Some(2));
    assert_eq!(json["parts"][0]["checks"][0]["verdict"], "invalid");
}

/// Opens a page; nothing may be wrong with it.
fn opened(document: &Document) -> String {
    let page = document.to_html();
    for outside in ["http://", "https://", "src=", "<link", "@import", "url(//"] {
        // The name of SVG's namespace is no address of a resource.
        let rest = page.replace("\"http://www.w3.org/2000/svg\"", "");
        assert!(
            !rest.contains(outside),
            "the page needs something outside: {outside}"
        );
    }
    let opened = browser::open(&page);
    assert_eq!(opened.console, Vec::<String>::new());
    assert!(
        opened.dom.contains("data-state=\"ready\""),
        "the script ended"
    );
    opened.dom
}

/// How often `needle` is in the page outside of its data.
fn count_of(dom: &str, needle: &str) -> usize {
    let data = dom.find("id=\"data\"").expect("the page has data");
    dom[..data].matches(needle).count()
}

#[test]
fn the_page_shows_the_operations_of_the_certificate_in_lists_and_figures() {
    let mut script = Script::default();
    script.append(1, 1, "e1:1");
    script.append(1, 2, "e1:2");
    script.tail(2, "e1:2");
    script.append(3, 3, "e1:3");
    script.final_read(4, &["loss e1:1", "e1:2 #2", "e1:3 #3"], "e1:4");
    let history = script.finish();
    let report = check(&history, &CheckOptions::default());
    let context = Context {
        name: Some("run 17".to_owned()),
        facts: vec![ContextFact {
            key: "seed".to_owned(),
            value: "424242".to_owned(),
        }],
        lanes: vec![Lane {
            name: "node 1".to_owned(),
            spans: vec![Span {
                kind: SpanKind::Seal,
                label: "sealed epoch 1".to_owned(),
                from_ns: 1_000_000,
                to_ns: None,
            }],
        }],
    };
    let document = Document::of_log(&report, &history, context);
    assert!(document.stories.len() >= 2);
    let dom = opened(&document);
    for story in &document.stories {
        assert_eq!(
            count_of(
                &dom,
                &format!("<article class=\"story\" id=\"{}\"", story.id)
            ) + count_of(
                &dom,
                &format!("<article class=\"story chosen\" id=\"{}\"", story.id)
            ),
            1
        );
        for op in &story.certificate {
            assert_eq!(count_of(&dom, &format!("id=\"op-{}\"", op.op)), 1);
        }
    }
    // On the plane and in the lanes.
    for op in &document.stories[0].certificate {
        let mark = format!("<g class=\"mark\" data-op=\"{}\">", op.op);
        assert_eq!(count_of(&dom, &mark), 2, "{mark}");
    }
    assert!(count_of(&dom, "class=\"arrow real_time\"") >= 1);
    for words in [
        "424242",
        "run 17",
        "sealed epoch 1",
        "Nearest legal outcome",
    ] {
        assert!(count_of(&dom, words) >= 1, "{words}");
    }
}

#[test]
fn a_page_of_many_operations_is_small_and_opens() {
    let mut script = Script::default();
    for record in 1..=50_000 {
        script.append(1, record, &format!("e1:{record}"));
        let tail = if record == 40_000 { record } else { record + 1 };
        script.tail(2, &format!("e1:{tail}"));
    }
    let history = script.finish();
    let report = check(&history, &CheckOptions::default());
    let document = Document::of_log(&report, &history, Context::default());
    let page = document.to_html();
    println!("{} operations: {} bytes", history.len(), page.len());
    assert!(page.len() < 10_000_000, "{} bytes", page.len());
    let dom = opened(&document);
    for op in &document.stories[0].certificate {
        assert_eq!(count_of(&dom, &format!("id=\"op-{}\"", op.op)), 1);
        let mark = format!("<g class=\"mark\" data-op=\"{}\">", op.op);
        assert_eq!(count_of(&dom, &mark), 2, "{mark}");
    }
}

#[test]
fn what_is_too_much_to_draw_is_cut_around_the_certificates() {
    let mut script = Script::default();
    for record in 1..=160_000 {
        script.append(1, record, &format!("e1:{record}"));
    }
    script.tail(2, "e1:5");
    let history = script.finish();
    let report = check(&history, &CheckOptions::default());
    let document = Document::of_log(&report, &history, Context::default());
    let page = document.to_html();
    assert!(page.contains(" of 160001 operations: those around the certificates."));
    assert!(page.len() < 12_000_000, "{} bytes", page.len());
    let certificate = document.stories[0].certificate.iter();
    for op in certificate {
        assert!(page.contains(&format!("id=\"op-{}\"", op.op)));
    }
}

#[test]
fn no_more_than_so_many_stories_are_told() {
    let document = document(|s| {
        s.append(1, 1, "e1:1");
        for _ in 0..50 {
            s.tail(2, "e1:1");
        }
        for record in 2..60 {
            let failed = s.invoke_append(1, record);
            s.fail(failed);
            s.read(2, &["e1:1 #1", &format!("e1:2 #{record}")], "e1:3");
        }
    });
    assert_eq!(document.stories.len(), MAX_STORIES);
    assert_eq!(document.extent.anomalies["StaleRead"], 50);
    let text = document.to_text();
    assert!(text.contains("50 StaleRead"), "{text}");
}

#[test]
fn pages_of_valid_and_of_unknown_histories_say_so() {
    let valid = document(|s| {
        s.append(1, 1, "e1:1");
        s.final_read(2, &["e1:1 #1"], "e1:2");
    });
    let dom = opened(&valid);
    assert_eq!(
        count_of(&dom, "<strong class=\"verdict\">valid</strong>"),
        1
    );
    assert!(count_of(&dom, "1 records read") >= 1);
    assert!(
        valid
            .to_text()
            .starts_with("valid: the history, 2 operations\n")
    );
    let unknown = document(|s| {
        s.append(1, 1, "e1:1");
    });
    let dom = opened(&unknown);
    assert_eq!(
        count_of(&dom, "<strong class=\"verdict\">unknown</strong>"),
        1
    );
    assert!(count_of(&dom, "no final read returned") >= 1);
    let empty = document(|_| {});
    opened(&empty);
}

/// A history of a register: writes of 1 and 2 one after the other, then a read of 1.
fn stale_register(text: &str) -> ObjectHistory {
    let mut recorder = ObjectRecorder::new(Intervals::Closed, AfterInfo::Retire);
    let first = Value::text(text);
    let mut index = 0;
    let mut whole = |function: &str, argument: Value, result: Value| {
        let mut at = || {
            index += 1;
            Moment {
                index: EventIndex(index),
                time_ns: index * 1_000,
            }
        };
        let asked = object::Asked {
            function: recorder.function(function),
            key: recorder.value(Value::Nil),
            argument: recorder.value(argument),
        };
        let op = recorder.invoke(ProcessId(1), asked, at()).expect("free");
        let result = recorder.value(result);
        recorder
            .complete(op, Status::Ok, result, at())
            .expect("open");
    };
    whole("write", first.clone(), Value::Nil);
    whole("write", Value::text("two"), Value::Nil);
    whole("read", Value::Nil, first);
    recorder.finish()
}

/// A register that one process uses.
fn register_is_legal(history: &ObjectHistory) -> bool {
    let mut value = &Value::Nil;
    history.ops().all(|op| match op.function() {
        "write" => {
            value = op.argument();
            true
        }
        _ => op.result() == value,
    })
}

fn register_document(text: &str) -> Document {
    let history = stale_register(text);
    assert!(!register_is_legal(&history));
    let ops: Vec<OpId> = history.ops().map(|op| op.id()).collect();
    let certificate = history.ops().map(|op| CertificateOp {
        op: op.id(),
        process: op.process(),
        call: Asked::Object {
            function: op.function().to_owned(),
            argument: op.argument().clone(),
        },
        status: op.status(),
        invoked: op.invoked(),
        completed: op.completed(),
        fact: Some(Fact::Returned {
            value: op.result().clone(),
        }),
    });
    let report = report_of(Anomaly {
        kind: AnomalyKind::StaleRead,
        subject: Subject::Object,
        expected: "something else".to_owned(),
        seen: format!("the value {text}"),
        positions: Vec::new(),
        certificate: certificate.collect(),
        chain: Vec::new(),
    });
    Document::of_objects(&report, &history, Context::default(), |_| {
        let judge = |changed: &ObjectHistory| Some(register_is_legal(changed));
        let legal = legal_answers(&history, &ops, OpId(2), judge);
        Some(ObjectProof {
            required: ops.clone(),
            optional: Vec::new(),
            is_minimal: true,
            legal: Some((OpId(2), legal)),
        })
    })
}

#[test]
fn objects_are_told_with_what_the_search_knows() {
    let document = register_document("one");
    let story = &document.stories[0];
    let nearest = story.nearest.as_ref().expect("a read of 2 is legal");
    assert_eq!(
        nearest.sentence(),
        "`read() -> \"two\"` would have been legal, op 2 returned \"one\""
    );
    assert_eq!(story.minimal.proof, Proof::Searched { is_minimal: true });
    let dom = opened(&document);
    assert_eq!(
        count_of(&dom, "<g class=\"mark\" data-op=\"2\">"),
        1,
        "no plane"
    );
}

#[test]
fn values_of_a_history_never_become_a_part_of_the_page() {
    let nasty =
        "</script><script>broken()</script><img id='nasty' onerror=broken()>\u{2028}&amp;<!--";
    let document = register_document(nasty);
    let dom = opened(&document);
    assert_eq!(dom.matches("<img").count(), 0);
    assert_eq!(dom.matches("<script").count(), 2, "data and script");
    assert!(
        count_of(&dom, "&lt;/script&gt;&lt;script&gt;broken()") >= 1,
        "it is shown as it is"
    );
}
