//! `profile`: what seeds draw from, checked and shown.

use std::collections::BTreeMap;

use hstore_sim::profile::Profile;
use hstore_sim::seeds::SimSeeds;

use super::args::ProfileCommand;
use super::output;

/// So many seeds are drawn to say how often each variant comes.
const SEEDS: u64 = 1_000;

pub(crate) fn profile(command: &ProfileCommand) -> anyhow::Result<u8> {
    // Whatever is wrong with it was said when it was read.
    match command {
        ProfileCommand::Check(args) => output::print(&checked(args.profile))?,
        ProfileCommand::Show(args) => output::print(&args.profile.to_toml())?,
    }
    Ok(0)
}

/// That it is good, and what it comes to.
fn checked(profile: &Profile) -> String {
    let mut variants: BTreeMap<String, u64> = BTreeMap::new();
    for seed in 1..=SEEDS {
        for variant in profile.draw(SimSeeds(seed)).variants {
            *variants.entry(variant).or_default() += 1;
        }
    }
    let extends = match &profile.extends[..] {
        [] => String::new(),
        bases => format!(", extends {}", bases.join(", ")),
    };
    let mut text = format!(
        "{} is good{extends}: {}\n{SEEDS} seeds draw runs that can be\n",
        profile.name, profile.about
    );
    for (variant, seeds) in variants {
        text += &format!("  {seeds:>4} of them with the variant `{variant}`\n");
    }
    text
}
