//! Reads the public histories to which `JEPSEN_LITE_CORPORA` points; says so where it points nowhere.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use jepsen_lite::formats::{Format, Recording, guess, read};
use jepsen_lite::history::Status;

/// A history and what is known of it.
struct Known {
    path: PathBuf,
    format: Format,
    /// The object, as its index names it.
    model: String,
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
            let (file, model) = (columns.next(), columns.next());
            let (file, model) = (file.expect("a file"), model.expect("a model"));
            all.push(Known {
                path: root.join(file),
                format: format(folder, file),
                model: model.to_owned(),
            });
        }
    }
    all
}

#[test]
fn every_history_is_guessed_and_read() {
    let Some(corpora) = env::var_os("JEPSEN_LITE_CORPORA") else {
        println!("skipped: JEPSEN_LITE_CORPORA is not set");
        return;
    };
    let all = known(Path::new(&corpora));
    assert!(all.len() >= 100, "only {} histories are there", all.len());
    let mut operations = 0;
    for Known {
        path,
        format,
        model,
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
