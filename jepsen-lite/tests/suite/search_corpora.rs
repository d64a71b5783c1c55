//! The search on public histories whose verdicts are known.

use std::fs;
use std::path::{Path, PathBuf};

use jepsen_lite::models::{
    ModelKind, NilReads, ObjectFault, ObjectOptions, ObjectVerdict, PartVerdict, Parts, Settings,
    check_object,
};
use jepsen_lite::object::{ObjectHistory, Value};
use jepsen_lite::search::unwatched;

use crate::corpora_loader as load;

fn corpora() -> Option<PathBuf> {
    let corpora = std::env::var_os("JEPSEN_LITE_CORPORA").map(PathBuf::from);
    if corpora.is_none() {
        println!("skipped: JEPSEN_LITE_CORPORA does not say where the public histories are");
    }
    corpora
}

/// The files of a corpus with their models and verdicts.
fn listed(corpus: &Path) -> Vec<(PathBuf, String, bool)> {
    let list = fs::read_to_string(corpus.join("verdicts.tsv")).expect("the list of verdicts");
    let lines = list.lines().skip(1).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            (
                corpus.join(columns[0]),
                columns[1].to_owned(),
                columns[3] == "ok",
            )
        })
        .collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).expect("a file of the corpora")
}

fn checked(
    history: &ObjectHistory,
    kind: ModelKind,
    settings: &Settings,
    parts: Parts,
) -> ObjectVerdict {
    let options = ObjectOptions {
        parts,
        shrink_steps: 20_000,
        ..ObjectOptions::default()
    };
    check_object(history, kind, settings, &options, &unwatched).expect("a history of this model")
}

fn faults(verdict: &ObjectVerdict) -> Vec<&ObjectFault> {
    let parts = verdict.parts.iter();
    parts
        .filter_map(|part| match &part.verdict {
            PartVerdict::Valid { .. } => None,
            PartVerdict::Invalid(fault) => Some(&**fault),
            unknown => panic!("{unknown:?}"),
        })
        .collect()
}

fn etcd() -> Settings {
    Settings {
        initial: Some(Value::Nil),
        nil_reads: NilReads::Nil,
    }
}

#[test]
fn every_verdict_of_porcupines_histories_is_found() {
    let Some(corpora) = corpora() else { return };
    let files = listed(&corpora.join("porcupine"));
    assert_eq!(files.len(), 56);
    for (file, model, is_ok) in files {
        let text = read(&file);
        let verdicts = if model == "kv" {
            let history = load::edn(&text);
            let by = |parts| checked(&history, ModelKind::Kv, &Settings::default(), parts);
            vec![by(Parts::ByKey), by(Parts::Whole)]
        } else {
            let (history, kind) = (load::etcd(&text), ModelKind::CasRegister);
            vec![checked(&history, kind, &etcd(), Parts::ByKey)]
        };
        for verdict in verdicts {
            assert_eq!(faults(&verdict).is_empty(), is_ok, "{}", file.display());
        }
    }
}

#[test]
fn every_verdict_of_knossos_histories_is_found_and_the_right_operation_blamed() {
    let Some(corpora) = corpora() else { return };
    let files = listed(&corpora.join("knossos"));
    assert_eq!(files.len(), 61);
    let mut blamed = 0;
    for (file, model, is_ok) in files {
        let history = load::edn(&read(&file));
        let kind: ModelKind = model.parse().expect("a model");
        let verdict = checked(&history, kind, &Settings::default(), Parts::ByKey);
        let faults = faults(&verdict);
        assert_eq!(faults.is_empty(), is_ok, "{}", file.display());
        let name = file.file_name().expect("a name").to_str().expect("letters");
        let (index, previous) = match name {
            "bad-analysis.edn" => (14, Some(11)),
            "rethink-fail-minimal.edn" => (4, None),
            "immediate-failure.edn" => (3, None),
            _ => continue,
        };
        let ObjectFault::Search { blame, .. } = faults[0] else {
            panic!("{name}: the general search judges registers");
        };
        assert_eq!(load::completion(&history, blame.op), index, "{name}");
        if let Some(previous) = previous {
            let op = blame.previous_ok.expect("something returned");
            assert_eq!(load::completion(&history, op), previous, "{name}");
        }
        blamed += 1;
    }
    assert_eq!(blamed, 3);
}

#[test]
fn every_verdict_of_the_histories_of_queues_and_stacks_is_found() {
    let Some(corpora) = corpora() else { return };
    let files = listed(&corpora.join("popl2016"));
    assert_eq!(files.len(), 9);
    for (file, _, is_ok) in files {
        // The file itself names its object, not always as the list does.
        let (object, history) = load::calls(&read(&file));
        let kind = match object.as_str() {
            "atomic-queue" => ModelKind::Queue,
            other => other.parse().expect("a model"),
        };
        let verdict = checked(&history, kind, &Settings::default(), Parts::ByKey);
        assert_eq!(faults(&verdict).is_empty(), is_ok, "{}", file.display());
    }
}

#[test]
fn every_verdict_of_the_histories_of_streams_is_found() {
    let Some(corpora) = corpora() else { return };
    let files = listed(&corpora.join("s2-derived"));
    assert_eq!(files.len(), 5);
    for (file, _, is_ok) in files {
        let history = load::s2(&read(&file));
        let verdict = checked(&history, ModelKind::S2, &Settings::default(), Parts::ByKey);
        assert_eq!(faults(&verdict).is_empty(), is_ok, "{}", file.display());
    }
}
