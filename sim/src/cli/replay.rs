//! `replay`: the run of a capsule, once more.

use hstore_reports::text::{heading, labelled};
use hstore_sim::capsule::{Capsule, Replay};
use hstore_sim::fresh_dir::FreshDir;
use hstore_sim::outcome::Outcome;
use hstore_sim::run::View;
use hstore_sim::run_dir;
use hstore_sim::settings::shell_line;
use hstore_sim::signature::Signature;
use serde::Serialize;

use super::args::ReplayArgs;
use super::{look, output};

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    reproduced: bool,
    #[serde(flatten)]
    replay: &'a Replay,
}

pub(crate) fn replay(args: &ReplayArgs) -> anyhow::Result<u8> {
    let capsule = Capsule::read(&args.capsule)?;
    if let Some(until) = args.until {
        let view = View {
            stop_at_violation: capsule.stop_at_violation,
            ..View::default()
        };
        return look::look(capsule.course(), view, until, args.json);
    }
    let directory = args.out.as_deref().map(FreshDir::stage).transpose()?;
    let (replay, artifacts) = capsule.replay(directory.is_some());
    if let Some(path) = &args.capsule_now {
        let now = Capsule {
            about: capsule.about.clone(),
            ..Capsule::of(&artifacts, capsule.stop_at_violation)
        };
        run_dir::write_capsule(path, &now)?;
    }
    if let Some(directory) = directory {
        let words = [
            run_dir::PROGRAM.to_owned(),
            "replay".to_owned(),
            args.capsule.display().to_string(),
        ];
        let stop = capsule.stop_at_violation;
        run_dir::write_with(directory.path(), artifacts, stop, shell_line(&words))?;
        directory.publish()?;
    }
    if let Some(note) = &replay.note {
        output::note(&format!("note: {note}"));
    }
    if args.json {
        output::print_json(&Printed {
            reproduced: replay.is_reproduced(),
            replay: &replay,
        })?;
    } else {
        output::print(&text(&capsule, &replay))?;
    }
    Ok(replay.verdict().exit_code())
}

fn text(capsule: &Capsule, replay: &Replay) -> String {
    let name = |outcome: Outcome, signature: &Option<Signature>| match signature {
        Some(signature) => signature.to_string(),
        None => outcome.to_string(),
    };
    let now = name(replay.outcome, &replay.signature);
    let mut lines = Vec::new();
    if replay.is_reproduced() {
        lines.push(heading(&format!("REPRODUCED: {now}")));
    } else {
        lines.push(heading(&format!("NOT REPRODUCED: {now}")));
        let then = name(capsule.outcome, &capsule.signature);
        lines.extend(labelled("the capsule", &then, 2));
    }
    if !capsule.about.is_empty() {
        lines.extend(labelled("about", &capsule.about, 3));
    }
    let trace = match replay.same_trace {
        Some(true) => format!("{}, the same event by event", replay.trace_hash),
        Some(false) if replay.is_deterministic => format!(
            "{}, twice, but {} in the capsule: it was edited since",
            replay.trace_hash, capsule.trace_hash
        ),
        Some(false) => format!(
            "{}, and another one the next time: the run is not deterministic",
            replay.trace_hash
        ),
        None => format!("{}; another revision has another", replay.trace_hash),
    };
    lines.extend(labelled("trace", &trace, 3));
    lines.join("\n") + "\n"
}
