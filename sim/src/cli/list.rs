//! `list`: what there is to choose from.

use hstore_core::probe::PROBES;
use hstore_sim::invariants::INVARIANTS;
use hstore_sim::mutants::{MUTANTS, Mutant};
use hstore_sim::nemesis::families;
use hstore_sim::profile::{PROFILES, Profile};

use super::args::{ListArgs, Listed};
use super::output;

pub(crate) fn list(args: &ListArgs) -> anyhow::Result<u8> {
    let mutants: Vec<String> = MUTANTS.iter().map(mutant).collect();
    let rows: Vec<(&str, &str)> = match args.what {
        Listed::Profiles => {
            let row = |it: &'static Profile| (it.name.as_str(), it.about.as_str());
            PROFILES.iter().map(row).collect()
        }
        Listed::Faults => families().map(|it| (it.name, it.about)).collect(),
        Listed::Probes => PROBES.iter().map(|it| (it.name, it.about)).collect(),
        Listed::Invariants => INVARIANTS.to_vec(),
        Listed::Mutants => {
            let names = MUTANTS.iter().map(|m| m.name);
            names.zip(mutants.iter().map(String::as_str)).collect()
        }
    };
    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines = rows
        .iter()
        .map(|(name, about)| format!("{name:width$}  {about}\n"));
    output::print(&lines.collect::<String>())?;
    Ok(0)
}

/// What a planted bug is, its number, and whose business it is to notice.
fn mutant(it: &Mutant) -> String {
    let families: Vec<String> = it.caught_by.iter().map(ToString::to_string).collect();
    format!("{} (#{}: {})", it.about, it.number, families.join(" "))
}
