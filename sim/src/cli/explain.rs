//! `explain`: what a failure needs, and since when it was inevitable.

use hstore_reports::text::{heading, labelled};
use hstore_sim::capsule::Capsule;
use hstore_sim::explain::{Explanation, Inevitable, Role, explain as explain_capsule};

use super::args::ExplainArgs;
use super::output;

/// So many parts of a role are told.
const PARTS_MAX: usize = 20;

pub(crate) fn explain(args: &ExplainArgs) -> anyhow::Result<u8> {
    let capsule = Capsule::read(&args.capsule)?;
    let progress = output::spinner();
    let explained = explain_capsule(&capsule, args.jobs.count(), |it| {
        progress.set_position(it.runs);
        progress.set_message(it.stage);
    });
    progress.finish_and_clear();
    let explained =
        explained.map_err(|error| anyhow::anyhow!("{}: {error}", args.capsule.display()))?;
    if args.json {
        output::print_json(&explained)?;
    } else {
        output::print(&text(&explained))?;
    }
    Ok(0)
}

fn text(explained: &Explanation) -> String {
    let mut lines = vec![heading(&explained.signature.to_string())];
    for (role, label) in [
        (Role::Necessary, "necessary"),
        (Role::Together, "together"),
        (Role::Irrelevant, "irrelevant"),
        (Role::Inert, "inert"),
    ] {
        let parts: Vec<&str> = explained
            .parts
            .iter()
            .filter(|part| part.role == role)
            .map(|part| part.what.as_str())
            .collect();
        for part in parts.iter().take(PARTS_MAX) {
            lines.extend(labelled(label, part, 2));
        }
        if parts.len() > PARTS_MAX {
            let more = format!("and {} more", parts.len() - PARTS_MAX);
            lines.extend(labelled(label, &more, 1));
        }
    }
    match &explained.inevitable {
        Inevitable::FromTheStart => lines.extend(labelled(
            "inevitable",
            "from the start: it comes without any fault or move",
            2,
        )),
        Inevitable::Since(moment) => {
            let since = format!(
                "since {:.6} s, {:.3} s of chaos, event {} of {}: healed just before, it may pass; healed after, it never did",
                moment.t_us as f64 / 1e6,
                moment.t_us.saturating_sub(moment.chaos_us) as f64 / 1e6,
                moment.event,
                moment.events
            );
            lines.extend(labelled("inevitable", &since, 3));
            lines.extend(labelled("the moment", &moment.words, 4));
            for what in moment.too_late.iter().take(PARTS_MAX) {
                lines.extend(labelled("too late", what, 2));
            }
        }
    }
    let effort = format!("{} runs", explained.runs);
    lines.extend(labelled("effort", &effort, 1));
    lines.join("\n") + "\n"
}
