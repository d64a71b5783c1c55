//! `check` and `explain`.

use std::path::Path;
use std::sync::Arc;

use jepsen_lite::anomaly::Anomaly;
use jepsen_lite::check::CheckOptions;
use jepsen_lite::formats::{Format, Recording};
use jepsen_lite::judge::{JudgeOptions, Judgement, judge};
use jepsen_lite::models::{ObjectOptions, Parts};
use jepsen_lite::report::{Context, ContextFact, Document};
use jepsen_lite::search::Budget;
use jepsen_lite::verdict::VerdictKind;
use serde::Serialize;

use super::args::{CheckArguments, ExplainArguments, JudgeArguments};
use super::ending::Ending;
use super::input::{Loaded, Source};
use super::job::{self, Done, Stage, Watch};
use super::output::{complain, print, write};

/// So many steps each of the searches may take by which a fault is made small.
const SHRINK_STEPS: u64 = 100_000;

/// A history and the verdict on it.
struct Judged {
    format: Format,
    guessed: bool,
    judgement: Judgement,
    document: Option<Document>,
}

/// What `--json` prints of a history.
#[derive(Serialize)]
struct Printed<'a> {
    file: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format_guessed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_as: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verdict: Option<VerdictKind>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    report: Option<&'a Document>,
}

pub(crate) fn check(arguments: &CheckArguments) -> Ending {
    if arguments.html.is_some() && arguments.files.len() > 1 {
        return complain("--html", "a page is of one history; give one file");
    }
    let mut worst = Ending::Valid;
    for file in &arguments.files {
        let ending = check_one(file, arguments).unwrap_or_else(|ending| ending);
        worst = worst.max(ending);
    }
    worst
}

fn check_one(file: &Path, arguments: &CheckArguments) -> Result<Ending, Ending> {
    let source = Source::new(file);
    let name = source.to_string();
    let wants_document = arguments.json || arguments.html.is_some();
    let judged = match run(&source, &arguments.judge, wants_document) {
        Ok(judged) => judged,
        Err(stopped) => {
            if arguments.json {
                let (verdict, error) = stopped.for_programs();
                let printed = Printed {
                    file: &name,
                    format: None,
                    format_guessed: None,
                    judged_as: None,
                    verdict,
                    error: Some(error),
                    report: None,
                };
                print(&one_line(&printed))?;
            }
            return Ok(stopped.tell(&name));
        }
    };
    let verdict = judged.judgement.report.verdict;
    if arguments.json {
        let printed = Printed {
            file: &name,
            format: Some(judged.format.name()),
            format_guessed: Some(judged.guessed),
            judged_as: Some(&judged.judgement.judged_as),
            verdict: Some(verdict),
            error: None,
            report: judged.document.as_ref(),
        };
        print(&one_line(&printed))?;
    } else {
        print(&format!(
            "{}{}",
            heading(&name, &judged),
            judged.judgement.report
        ))?;
    }
    write_page(arguments.html.as_deref(), &judged)?;
    Ok(verdict.into())
}

pub(crate) fn explain(arguments: &ExplainArguments) -> Ending {
    explain_one(arguments).unwrap_or_else(|ending| ending)
}

fn explain_one(arguments: &ExplainArguments) -> Result<Ending, Ending> {
    let source = Source::new(&arguments.file);
    let name = source.to_string();
    let judged = match run(&source, &arguments.judge, true) {
        Ok(judged) => judged,
        Err(stopped) => return Ok(stopped.tell(&name)),
    };
    let document = judged.document.as_ref().expect("it was asked for");
    print(&format!(
        "{}{}",
        heading(&name, &judged),
        document.to_text()
    ))?;
    write_page(arguments.html.as_deref(), &judged)?;
    Ok(judged.judgement.report.verdict.into())
}

fn heading(name: &str, judged: &Judged) -> String {
    let guessed = if judged.guessed { " (guessed)" } else { "" };
    let (format, judged_as) = (judged.format, &judged.judgement.judged_as);
    format!("{name}: {format}{guessed}, judged as {judged_as}\n")
}

fn one_line(printed: &Printed<'_>) -> String {
    serde_json::to_string(printed).expect("it is text, numbers and lists") + "\n"
}

fn write_page(file: Option<&Path>, judged: &Judged) -> Result<(), Ending> {
    match (file, &judged.document) {
        (Some(file), Some(document)) => write(file, &document.to_html()),
        _ => Ok(()),
    }
}

/// Why there is no verdict.
enum Stopped {
    BadInput(String),
    Interrupted(String),
}

impl Stopped {
    fn for_programs(&self) -> (Option<VerdictKind>, &str) {
        match self {
            Self::BadInput(reason) => (None, reason),
            Self::Interrupted(where_to) => (Some(VerdictKind::Unknown), where_to),
        }
    }

    fn tell(&self, name: &str) -> Ending {
        match self {
            Self::BadInput(reason) => complain(name, reason),
            Self::Interrupted(where_to) => {
                complain(name, where_to);
                Ending::Unknown
            }
        }
    }
}

fn run(
    source: &Source,
    arguments: &JudgeArguments,
    wants_document: bool,
) -> Result<Judged, Stopped> {
    if job::interrupted() {
        return Err(Stopped::Interrupted(
            "unknown: interrupted before it was read".to_owned(),
        ));
    }
    let (from, how) = (source.clone(), arguments.clone());
    let done = job::run(&source.to_string(), move |watch| {
        judge_source(&from, &how, wants_document, watch)
    });
    match done {
        Done::Finished(Ok(judged)) => Ok(judged),
        Done::Finished(Err(reason)) => Err(Stopped::BadInput(reason)),
        Done::Interrupted(stage) => Err(Stopped::Interrupted(match stage {
            Stage::Reading { bytes, .. } => {
                format!("unknown: interrupted when {bytes} bytes were read")
            }
            Stage::Judging { steps: 0, .. } => {
                "unknown: interrupted when it was read, but not judged".to_owned()
            }
            Stage::Judging { steps, .. } => {
                format!("unknown: interrupted after {steps} steps of a search")
            }
        })),
    }
}

fn judge_source(
    source: &Source,
    arguments: &JudgeArguments,
    wants_document: bool,
    watch: &Arc<Watch>,
) -> Result<Judged, String> {
    let Loaded {
        recording,
        format,
        guessed,
    } = source.load(arguments.format, watch)?;
    watch.judging();
    match &recording {
        Recording::Log(_) if arguments.init.is_some() => {
            return Err("it is a history of logs, which begin empty; leave --init out".to_owned());
        }
        Recording::Object(_) if !arguments.only.is_empty() => {
            return Err("it is no history of logs, so --only says nothing; use --model".to_owned());
        }
        _ => {}
    }
    let options = options(arguments);
    let judgement = judge(&recording, &options, &|progress| watch.go_on(progress))
        .map_err(|error| error.to_string())?;
    let context = context(source, format, &judgement);
    let document = wants_document.then(|| document(&recording, &judgement, context));
    Ok(Judged {
        format,
        guessed,
        judgement,
        document,
    })
}

fn options(arguments: &JudgeArguments) -> JudgeOptions {
    let logs = match arguments.only.is_empty() {
        true => CheckOptions::default(),
        false => CheckOptions {
            checks: arguments.only.iter().copied().collect(),
        },
    };
    JudgeOptions {
        model: arguments.model,
        initial: arguments.init.clone(),
        logs,
        search: ObjectOptions {
            parts: if arguments.whole {
                Parts::Whole
            } else {
                Parts::ByKey
            },
            budget: Budget {
                steps: arguments.steps,
                ..Budget::default()
            },
            shrink_steps: SHRINK_STEPS,
        },
        ..JudgeOptions::default()
    }
}

fn context(source: &Source, format: Format, judgement: &Judgement) -> Context {
    let fact = |key: &str, value: String| ContextFact {
        key: key.to_owned(),
        value,
    };
    Context {
        name: Some(source.to_string()),
        facts: vec![
            fact("format", format.to_string()),
            fact("judged as", judgement.judged_as.clone()),
        ],
        ..Context::default()
    }
}

fn document(recording: &Recording, judgement: &Judgement, context: Context) -> Document {
    match recording {
        Recording::Log(history) => Document::of_log(&judgement.report, history, context),
        Recording::Object(object) => {
            let prove = |anomaly: &Anomaly| judgement.proof(&object.history, anomaly);
            Document::of_objects(&judgement.report, &object.history, context, prove)
        }
    }
}
