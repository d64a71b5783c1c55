//! `--until`: the state of every machine at a place in a run.

use hstore_sim::picture::Picture;
use hstore_sim::run::{Course, View, look as look_at};
use hstore_sim::until::Until;
use serde::Serialize;

use super::output;

/// The run ended before it came there: what was asked for is not in it.
const NOT_REACHED: u8 = 2;

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    until: String,
    reached: bool,
    #[serde(flatten)]
    picture: &'a Picture,
}

pub(crate) fn look(course: Course, view: View, until: Until, json: bool) -> anyhow::Result<u8> {
    let view = View {
        until: Some(until),
        // What clients saw is judged at once: otherwise the run would go on beyond it.
        stop_at_violation: view.stop_at_violation || until == Until::Violation,
        ..view
    };
    let (reached, picture) = look_at(course, view);
    if json {
        output::print_json(&Printed {
            until: until.to_string(),
            reached,
            picture: &picture,
        })?;
    } else {
        output::print(&picture.to_string())?;
    }
    if !reached {
        output::note(&format!(
            "note: the run ended without {until}: this is its end"
        ));
        return Ok(NOT_REACHED);
    }
    Ok(0)
}
