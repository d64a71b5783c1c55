//! Profiles: what seeds draw their runs from, as data.
//!
//! A profile is a TOML file. It says for each knob how it is drawn, beside what it extends: see [`knobs`] for
//! what there is, [`distribution`] for how it can be drawn. Those that are built in are files as well, under
//! `sim/profiles`, and everybody may add to them.
//!
//! *Variants* are sets of knobs that only some runs have, each with its chance; of those of one group a run has
//! one at most. So each seed draws its own mixture.
//!
//! # Invariants
//!
//! - What a seed draws depends on the profile and the seed alone.
//! - Each knob draws from a stream of its own: a new knob, or another distribution of one, leaves all others as
//!   they were.

mod assemble;
pub mod distribution;
mod error;
pub mod knobs;
mod parse;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

pub use error::{Place, ProfileError, nearest};

use assemble::{Draw, Unfit};
use distribution::Distribution;
use parse::{Knobs, Layer, Variant};

use crate::options::SimOptions;
use crate::seeds::{SimSeeds, Stream};

/// The profile that others extend if they do not say otherwise.
const DEFAULT: &str = "default";
/// A seed draws so often until its knobs fit together.
const ATTEMPTS: u32 = 1_000;
/// So many seeds of a file are drawn when it is read, to see that its knobs fit together.
const TRIED_SEEDS: u64 = 200;
/// So long a campaign lasts before it owes the required probes, if a profile does not say, in seconds.
const PROBES_AFTER_SECONDS: u64 = 600;

/// What seeds are drawn from.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Its name: of a file, its path.
    pub name: String,
    /// What it is for, in a sentence.
    pub about: String,
    /// What it extends, in order from the first.
    pub extends: Vec<String>,
    /// The probes that a campaign has to reach: names, or `all`.
    pub required_probes: Vec<String>,
    /// Those that it has not, though all are named.
    pub spared_probes: Vec<String>,
    /// How long a campaign has to last before it owes them, in seconds of wall time.
    pub probes_after_seconds: u64,
    /// Planted bugs that this profile finds in few seeds.
    pub canaries: Vec<String>,
    knobs: BTreeMap<String, Distribution>,
    variants: Vec<Variant>,
}

/// The files of the built-in profiles; the first is the default.
const BUILT_IN: [(&str, &str); 14] = [
    ("default", include_str!("../../profiles/default.toml")),
    ("quick", include_str!("../../profiles/quick.toml")),
    ("calm", include_str!("../../profiles/calm.toml")),
    (
        "reconfigure",
        include_str!("../../profiles/reconfigure.toml"),
    ),
    ("placement", include_str!("../../profiles/placement.toml")),
    ("appends", include_str!("../../profiles/appends.toml")),
    ("reading", include_str!("../../profiles/reading.toml")),
    ("disk", include_str!("../../profiles/disk.toml")),
    ("beyond", include_str!("../../profiles/beyond.toml")),
    ("network", include_str!("../../profiles/network.toml")),
    ("upgrade", include_str!("../../profiles/upgrade.toml")),
    ("offload", include_str!("../../profiles/offload.toml")),
    ("chaos", include_str!("../../profiles/chaos.toml")),
    ("nightly", include_str!("../../profiles/nightly.toml")),
];

/// The profiles that are built in; the first is the default.
pub static PROFILES: LazyLock<Vec<Profile>> = LazyLock::new(|| {
    let load = |(name, text): (&str, &str)| {
        Profile::of_text(name, text, None, &mut Vec::new())
            .unwrap_or_else(|error| panic!("a built-in profile is wrong: {error}"))
    };
    BUILT_IN.into_iter().map(load).collect()
});

impl Profile {
    /// The built-in profile of a name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<&'static Self> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// The profile that a person names: a built-in one, or a file. What is read stays for the life of the
    /// process.
    ///
    /// # Errors
    /// As [`Profile::read`], and if there is neither.
    pub fn named(text: &str) -> Result<&'static Self, ProfileError> {
        if let Some(profile) = Self::by_name(text) {
            return Ok(profile);
        }
        let path = Path::new(text);
        let is_file = text.ends_with(".toml") || text.contains('/') || path.exists();
        if is_file {
            return Self::read(path).map(|profile| &*Box::leak(Box::new(profile)));
        }
        let names: Vec<&str> = PROFILES.iter().map(|it| it.name.as_str()).collect();
        let near = nearest(text, names.iter().copied());
        let near = near.map_or(String::new(), |near| format!("did you mean {near}? "));
        Err(ProfileError {
            file: text.to_owned(),
            at: None,
            what: "there is no such profile, and no file of this name".to_owned(),
            help: Some(format!("{near}there are: {}", names.join(", "))),
        })
    }

    /// Reads the profile of a file, and draws some seeds from it to see that its knobs fit together.
    ///
    /// # Errors
    /// If it cannot be read, or something is wrong with it.
    pub fn read(path: &Path) -> Result<Self, ProfileError> {
        let profile = Self::of_file(path, &mut Vec::new())?;
        for seed in 1..=TRIED_SEEDS {
            if let Err(Unfit(why)) = profile.try_draw(SimSeeds(seed)) {
                return Err(ProfileError {
                    file: profile.name,
                    at: None,
                    what: format!("seed {seed} draws what cannot be, however often: {why}"),
                    help: Some("let knobs depend on each other, as in { from = 2, to = 3, below = \"topology.nodes\" }".to_owned()),
                });
            }
        }
        Ok(profile)
    }

    fn of_file(path: &Path, within: &mut Vec<String>) -> Result<Self, ProfileError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| ProfileError {
            file: name.clone(),
            at: None,
            what: format!("cannot be read: {error}"),
            help: None,
        })?;
        Self::of_text(&name, &text, path.parent(), within)
    }

    /// `within` are the files that extend this one.
    fn of_text(
        name: &str,
        text: &str,
        directory: Option<&Path>,
        within: &mut Vec<String>,
    ) -> Result<Self, ProfileError> {
        let file = match directory {
            Some(_) => name.to_owned(),
            None => format!("{name}.toml"),
        };
        let layer = parse::parse(&file, text)?;
        within.push(name.to_owned());
        let base = Self::base(name, &file, text, &layer, directory, within)?;
        within.pop();
        let profile = base.extended(name, layer);
        if let Some((group, sum)) = profile.too_much() {
            return Err(ProfileError {
                file,
                at: None,
                what: format!("the chances of the variants of `{group}` sum up to {sum}"),
                help: Some(
                    "a run has one of a group at most: the sum must not exceed 1".to_owned(),
                ),
            });
        }
        if let Some(path) = profile.in_a_circle() {
            return Err(ProfileError {
                file,
                at: None,
                what: format!("`{path}` depends on itself"),
                help: Some("break the circle: one of its knobs must not name another".to_owned()),
            });
        }
        Ok(profile)
    }

    /// What a file extends.
    fn base(
        name: &str,
        file: &str,
        text: &str,
        layer: &Layer,
        directory: Option<&Path>,
        within: &mut Vec<String>,
    ) -> Result<Self, ProfileError> {
        let is_root = directory.is_none() && name == DEFAULT;
        let (base, at) = match &layer.extends {
            Some((base, bytes)) => (base.as_str(), Some(Place::of(text, bytes.start))),
            None if is_root => return Ok(Self::nothing()),
            None => (DEFAULT, None),
        };
        let error = |what: String, help: Option<String>| ProfileError {
            file: file.to_owned(),
            at,
            what,
            help,
        };
        if let Some((name, text)) = BUILT_IN.iter().find(|(name, _)| *name == base) {
            if within.iter().any(|it| it == name) {
                return Err(error(format!("`{name}` extends itself"), None));
            }
            return Self::of_text(name, text, None, within);
        }
        let path: PathBuf = directory.unwrap_or(Path::new("")).join(base);
        if within.contains(&path.display().to_string()) {
            return Err(error(format!("`{base}` extends itself"), None));
        }
        if !path.is_file() {
            let names = BUILT_IN.map(|(name, _)| name);
            let help = match nearest(base, names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!(
                    "there is no file {}; built in are: {}",
                    path.display(),
                    names.join(", ")
                ),
            };
            return Err(error(format!("there is no profile `{base}`"), Some(help)));
        }
        Self::of_file(&path, within)
    }

    fn nothing() -> Self {
        Self {
            name: String::new(),
            about: String::new(),
            extends: Vec::new(),
            required_probes: Vec::new(),
            spared_probes: Vec::new(),
            probes_after_seconds: PROBES_AFTER_SECONDS,
            canaries: Vec::new(),
            knobs: BTreeMap::new(),
            variants: Vec::new(),
        }
    }

    /// The same, with another layer over it.
    fn extended(mut self, name: &str, layer: Layer) -> Self {
        if !self.name.is_empty() {
            self.extends.push(std::mem::take(&mut self.name));
        }
        name.clone_into(&mut self.name);
        self.about = layer.about.unwrap_or_else(|| "it does not say".to_owned());
        if layer.knobs.faults_only {
            self.knobs.retain(|path, _| !path.starts_with("faults."));
        }
        self.knobs.extend(layer.knobs.set);
        for variant in layer.variants {
            match self.variants.iter_mut().find(|it| it.name == variant.name) {
                // It is changed in what is said.
                Some(known) => known.change(variant),
                None => self.variants.push(variant),
            }
        }
        if let Some(probes) = layer.probes {
            self.required_probes = probes;
        }
        if let Some(probes) = layer.spared_probes {
            self.spared_probes = probes;
        }
        if let Some(seconds) = layer.probes_after_seconds {
            self.probes_after_seconds = seconds;
        }
        if let Some(canaries) = layer.canaries {
            self.canaries = canaries;
        }
        self
    }

    /// A group of variants whose chances are more than 1 in all.
    fn too_much(&self) -> Option<(&str, f64)> {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for variant in &self.variants {
            *sums.entry(variant.group()).or_default() += variant.chance;
        }
        sums.into_iter().find(|(_, sum)| *sum > 1.000_001)
    }

    /// A knob that needs itself to be drawn, whichever variants a run has.
    fn in_a_circle(&self) -> Option<&str> {
        let mut needs: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        let variants = self.variants.iter().flat_map(|it| &it.knobs.set);
        for (path, distribution) in self.knobs.iter().chain(variants) {
            needs.entry(path).or_default().extend(distribution.needs());
        }
        // Whatever needs nothing that is left is drawn; what can never be is in a circle or needs one.
        loop {
            let left: BTreeSet<&str> = needs.keys().copied().collect();
            needs.retain(|_, needed| needed.iter().any(|it| left.contains(it)));
            if needs.len() == left.len() {
                return needs.keys().next().copied();
            }
        }
    }

    /// What a seed draws from this profile.
    ///
    /// # Panics
    /// If the knobs do not fit together, however often they are drawn. [`Profile::read`] looks for that.
    #[must_use]
    pub fn draw(&self, seeds: SimSeeds) -> SimOptions {
        self.try_draw(seeds).unwrap_or_else(|Unfit(why)| {
            panic!(
                "seed {} of profile {} draws what cannot be, however often: {why}",
                seeds.0, self.name
            )
        })
    }

    fn try_draw(&self, seeds: SimSeeds) -> Result<SimOptions, Unfit> {
        let variants = self.draw_variants(seeds);
        let mut knobs: BTreeMap<&str, &Distribution> = BTreeMap::new();
        set(&mut knobs, &self.knobs);
        for Variant { knobs: more, .. } in &variants {
            let Knobs {
                set: more,
                faults_only,
            } = more;
            if *faults_only {
                knobs.retain(|path, _| !path.starts_with("faults."));
            }
            set(&mut knobs, more);
        }
        let mut unfit = Unfit(String::new());
        for attempt in 0..ATTEMPTS {
            let mut draw = Draw {
                knobs: &knobs,
                seeds,
                attempt,
                drawn: BTreeMap::new(),
            };
            match draw.options() {
                Ok(options) => {
                    return Ok(SimOptions {
                        profile: self.name.clone(),
                        variants: variants.iter().map(|it| it.name.clone()).collect(),
                        ..options
                    });
                }
                Err(why) => unfit = why,
            }
        }
        Err(unfit)
    }

    /// The variants that a run has, in the order of the profile.
    fn draw_variants(&self, seeds: SimSeeds) -> Vec<&Variant> {
        let mut left: BTreeMap<&str, f64> = BTreeMap::new();
        let mut drawn = Vec::new();
        for variant in &self.variants {
            let at = left.entry(variant.group()).or_insert_with(|| {
                let name = format!("variant of {}", variant.group());
                seeds.named(Stream::Options, &name).below(1_000_000) as f64 / 1e6
            });
            if (0.0..variant.chance).contains(at) {
                drawn.push(variant);
            }
            *at -= variant.chance;
        }
        drawn
    }
}

impl Variant {
    fn group(&self) -> &str {
        self.group.as_deref().unwrap_or(&self.name)
    }

    /// Changes what another of the same name says otherwise.
    fn change(&mut self, other: Self) {
        self.chance = other.chance;
        self.group = other.group.or_else(|| self.group.take());
        if other.knobs.faults_only {
            self.knobs
                .set
                .retain(|path, _| !path.starts_with("faults."));
            self.knobs.faults_only = true;
        }
        self.knobs.set.extend(other.knobs.set);
    }
}

fn set<'a>(
    knobs: &mut BTreeMap<&'a str, &'a Distribution>,
    more: &'a BTreeMap<String, Distribution>,
) {
    knobs.extend(more.iter().map(|(path, it)| (path.as_str(), it)));
}
