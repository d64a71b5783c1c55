//! Reads and judges the public histories to which `JEPSEN_LITE_CORPORA` points; says so where it points
//! nowhere. Their verdicts are known.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use jepsen_lite::formats::{Format, ObjectRecording, Recording, guess, read};
use jepsen_lite::history::Status;
use jepsen_lite::judge::{JudgeOptions, judge};
use jepsen_lite::models::{ObjectFault, ObjectOptions, Parts};
use jepsen_lite::search::unwatched;
use jepsen_lite::verdict::VerdictKind;

/// A history and what is known of it.
struct Known {
    path: PathBuf,
    format: Format,
    /// The object, as its index names it.
    model: String,
    /// Whether it is a history that the object can have.
    is_ok: bool,
}

/// The format in which each folder keeps its histories.
fn format(folder: &str, file: &str) -> Format {
    match (folder, file.rsplit_once('.')) {
        ("porcupine", Some((_, "log"))) => Format::EtcdLog,
        ("porcupine", _) => Format::KvLog,
        ("popl2016", _) => Format::Calls,
        ("s2-derived", _) => Format::S2,
        (_, Some((_, "json"))) => Format::Json,
        _ => Format::Edn,
    }
}

fn known(corpora: &Path) -> Vec<Known> {
    let mut all = Vec::new();
    for folder in ["elle-cli", "knossos", "popl2016", "porcupine", "s2-derived"] {
        let root = corpora.join(folder);
        let verdicts = fs::read_to_string(root.join("verdicts.tsv")).expect("each has verdicts");
        for line in verdicts.lines().skip(1) {
            let mut columns = line.split('\t');
            let mut next = || columns.next().expect("file, model, initial value, verdict");
            let (file, model, _, verdict) = (next(), next(), next(), next());
            all.push(Known {
                path: root.join(file),
                format: format(folder, file),
                model: model.to_owned(),
                is_ok: verdict == "ok",
            });
        }
    }
    all
}

/// All of them, if they are there.
fn corpora() -> Option<Vec<Known>> {
    let Some(corpora) = env::var_os("JEPSEN_LITE_CORPORA") else {
        println!("skipped: JEPSEN_LITE_CORPORA does not say where the public histories are");
        return None;
    };
    Some(known(Path::new(&corpora)))
}

fn object(known: &Known) -> ObjectRecording {
    let bytes = fs::read(&known.path).expect("the index names files that are there");
    match read(&bytes[..], known.format) {
        Ok(Recording::Object(object)) => object,
        other => panic!("{}: {other:?}", known.path.display()),
    }
}

/// The first anomaly names the operation to blame: of Knossos' files some state it, by the index of the
/// event that ended it, and one the last answer before.
const BLAMED: [(&str, u64, Option<u64>); 3] = [
    ("bad-analysis.edn", 14, Some(11)),
    ("rethink-fail-minimal.edn", 4, None),
    ("immediate-failure.edn", 3, None),
];

#[test]
fn every_verdict_is_right_and_the_right_operation_blamed() {
    let Some(all) = corpora() else { return };
    let mut blamed = 0;
    for known in &all {
        let name = known.path.display();
        let recording = Recording::Object(object(known));
        let judge = |parts| {
            let options = JudgeOptions {
                search: ObjectOptions {
                    parts,
                    shrink_steps: 20_000,
                    ..ObjectOptions::default()
                },
                ..JudgeOptions::default()
            };
            judge(&recording, &options, &unwatched)
                .unwrap_or_else(|error| panic!("{name}: {error}"))
        };
        let judgement = judge(Parts::ByKey);
        let expected = match known.is_ok {
            true => VerdictKind::Valid,
            false => VerdictKind::Invalid,
        };
        assert_eq!(judgement.report.verdict, expected, "{name}");
        assert_eq!(
            judge(Parts::Whole).report.verdict,
            expected,
            "{name}, whole"
        );
        let is_told = judgement.report.anomalies().next().is_some();
        assert_eq!(is_told, !known.is_ok, "{name}");
        for fault in judgement.faults.values() {
            assert!(
                fault.required().is_some_and(|core| !core.is_empty()),
                "{name}"
            );
        }
        let stated = BLAMED.iter().find(|(file, ..)| known.path.ends_with(file));
        if let Some(&(_, index, previous)) = stated {
            let Recording::Object(ObjectRecording { history, .. }) = &recording else {
                unreachable!("it is of an object");
            };
            let fault = judgement.faults.values().next().expect("it is invalid");
            let ObjectFault::Search { blame, .. } = fault else {
                panic!("{name}: the general search judges registers");
            };
            let ended = |op| history.op(op).completed().map(|at| at.index.0);
            assert_eq!(ended(blame.op), Some(index), "{name}");
            if previous.is_some() {
                assert_eq!(blame.previous_ok.and_then(ended), previous, "{name}");
            }
            blamed += 1;
        }
    }
    assert_eq!(blamed, BLAMED.len());
}

#[test]
fn every_history_is_guessed_and_read() {
    let Some(all) = corpora() else { return };
    assert!(all.len() >= 100, "only {} histories are there", all.len());
    let mut operations = 0;
    for Known {
        path,
        format,
        model,
        ..
    } in all
    {
        let name = path.display();
        let bytes = fs::read(&path).expect("the index names files that are there");
        assert_eq!(guess(&bytes), Ok(format), "{name}");
        let recording = read(&bytes[..], format).unwrap_or_else(|error| panic!("{name}: {error}"));
        let Recording::Object(object) = recording else {
            panic!("{name} is no history of a log");
        };
        let suggested = object
            .suggested
            .unwrap_or_else(|| panic!("{name}: no guess"));
        let may_be = match suggested.to_string().as_str() {
            // Where nobody compares, they are the same.
            "register" => model == "register" || model == "cas-register",
            // Some files of calls say stack, and are judged as queues by their index.
            "stack" => model == "stack" || (model == "queue" && format == Format::Calls),
            other => model == other,
        };
        assert!(may_be, "{name}: {suggested}, not {model}");
        let text = String::from_utf8_lossy(&bytes);
        operations += object.history.len();
        let invocations = text.matches(match format {
            Format::Calls => "] call",
            Format::S2 => "\"Start\"",
            Format::Json => "\"invoke\"",
            _ => ":invoke",
        });
        let count = |status| {
            object
                .history
                .ops()
                .filter(|op| op.status() == status)
                .count()
        };
        assert_eq!(object.history.len(), invocations.count(), "{name}");
        assert!(2 * count(Status::Open) <= object.history.len(), "{name}");
    }
    assert!(
        operations > 15_000,
        "only {operations} operations are there"
    );
}
