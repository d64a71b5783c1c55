//! `list`: what there is to choose from.

use hstore_sim::invariants::INVARIANTS;
use hstore_sim::mutants::MUTANTS;
use hstore_sim::options::PROFILES;
use hstore_sim::plan::FaultKind;

use super::args::{ListArgs, Listed};
use super::output;

pub(crate) fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let rows: Vec<(&str, &str)> = match args.what {
        Listed::Profiles => PROFILES.iter().map(|p| (p.name, p.about)).collect(),
        Listed::Faults => FaultKind::ALL.to_vec(),
        Listed::Invariants => INVARIANTS.to_vec(),
        Listed::Mutants => MUTANTS.iter().map(|m| (m.name, m.about)).collect(),
    };
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows
        .iter()
        .map(|(name, about)| format!("{name:width$}  {about}\n"));
    output::print(&lines.collect::<String>())?;
    Ok(0)
}
