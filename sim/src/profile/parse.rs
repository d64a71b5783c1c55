//! Reading a profile's text, which is TOML.
//!
//! One file is one layer: what it says, without what it extends. Everything is checked here that can be without
//! drawing; what is wrong is told with its line and column.

use std::collections::BTreeMap;
use std::ops::Range;

use hstore_core::probe::PROBES;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::distribution::{Base, Distribution, Operand, Step, Value};
use super::error::{Place, ProfileError, nearest};
use super::knobs::{Knob, Takes};
use crate::mutants::MUTANTS;
use crate::probes;

/// What a file says.
#[derive(Clone, Debug, Default)]
pub(super) struct Layer {
    pub(super) about: Option<String>,
    /// What it extends, and where it says so.
    pub(super) extends: Option<(String, Range<usize>)>,
    pub(super) knobs: Knobs,
    pub(super) variants: Vec<Variant>,
    pub(super) probes: Option<Vec<String>>,
    pub(super) spared_probes: Option<Vec<String>>,
    pub(super) probes_after_seconds: Option<u64>,
    pub(super) canaries: Option<Vec<String>>,
}

/// Some knobs, each with how it is drawn.
#[derive(Clone, Debug, Default)]
pub(super) struct Knobs {
    pub(super) set: BTreeMap<String, Distribution>,
    /// Whether families of faults that are not named here have none.
    pub(super) faults_only: bool,
}

/// Knobs that are set otherwise in some runs.
#[derive(Clone, Debug)]
pub(super) struct Variant {
    pub(super) name: String,
    /// Of the variants of a group, a run has one at most; if none is named, it is a group by itself.
    pub(super) group: Option<String>,
    pub(super) chance: f64,
    pub(super) knobs: Knobs,
}

type Table<'t> = DeTable<'t>;
type Item<'t> = Spanned<DeValue<'t>>;

/// Reads a file's text.
pub(super) fn parse(file: &str, text: &str) -> Result<Layer, ProfileError> {
    let reader = Reader { file, text };
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map(|bytes| Place::of(text, bytes.start));
        let what = format!("this is not TOML: {}", error.message().trim());
        ProfileError {
            file: file.to_owned(),
            at,
            what,
            help: None,
        }
    })?;
    reader.layer(document.get_ref())
}

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
}

/// The keys of a file beside the sections of knobs.
const TOP: [&str; 5] = ["about", "extends", "variant", "probes", "canary"];
const VARIANT: [&str; 3] = ["name", "group", "chance"];

impl Reader<'_> {
    fn error(
        &self,
        bytes: &Range<usize>,
        what: impl Into<String>,
        help: Option<String>,
    ) -> ProfileError {
        ProfileError {
            file: self.file.to_owned(),
            at: Some(Place::of(self.text, bytes.start)),
            what: what.into(),
            help,
        }
    }

    fn unknown<'k>(
        &self,
        bytes: &Range<usize>,
        what: &str,
        word: &str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> ProfileError {
        let mut known: Vec<&str> = known.into_iter().collect();
        known.sort_unstable();
        known.dedup();
        let help = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are: {}", known.join(", ")),
        };
        self.error(bytes, format!("there is no {what} `{word}`"), Some(help))
    }

    fn layer(&self, document: &Table<'_>) -> Result<Layer, ProfileError> {
        let mut layer = Layer::default();
        for (key, item) in document.iter() {
            match key.get_ref().as_ref() {
                "about" => layer.about = Some(self.word("about", item)?),
                "extends" => {
                    layer.extends = Some((self.word("extends", item)?, item.span()));
                }
                "variant" => {
                    for one in self.list("variant", item)?.iter() {
                        let variant = self.variant(one)?;
                        if layer.variants.iter().any(|it| it.name == variant.name) {
                            let what = format!("there are two variants `{}`", variant.name);
                            return Err(self.error(&one.span(), what, None));
                        }
                        layer.variants.push(variant);
                    }
                }
                "probes" => self.probes(item, &mut layer)?,
                "canary" => layer.canaries = Some(self.canaries(item)?),
                _ => self.knobs("", key, item, &TOP, &mut layer.knobs)?,
            }
        }
        Ok(layer)
    }

    /// Reads a section of knobs, or a single knob.
    fn knobs(
        &self,
        section: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        item: &Item<'_>,
        beside: &[&str],
        knobs: &mut Knobs,
    ) -> Result<(), ProfileError> {
        let name = key.get_ref().as_ref();
        let path = format!("{section}{name}");
        if let Some(knob) = Knob::by_path(&path) {
            let distribution = self.distribution(&knob, item)?;
            knobs.set.insert(path, distribution);
            return Ok(());
        }
        if path == "faults.only" {
            knobs.faults_only = self.switch(&path, item)?;
            return Ok(());
        }
        let inside = format!("{path}.");
        let is_section = Knob::all().any(|knob| knob.path.starts_with(&inside));
        if is_section {
            let Some(table) = item.get_ref().as_table() else {
                let what = format!("`{path}` is a section of knobs, not a value");
                let help = format!("write it as a table: [{path}]");
                return Err(self.error(&item.span(), what, Some(help)));
            };
            for (key, item) in table.iter() {
                self.knobs(&inside, key, item, &[], knobs)?;
            }
            return Ok(());
        }
        let paths: Vec<_> = Knob::all().map(|knob| knob.path).collect();
        let here = paths.iter().filter_map(|it| it.strip_prefix(section));
        let here = here.map(|rest| rest.split('.').next().unwrap_or(rest));
        let known = here.chain(beside.iter().copied());
        let what = match section.strip_suffix('.') {
            None => "section or key".to_owned(),
            Some("faults") => "family of faults".to_owned(),
            Some(section) => format!("knob of `{section}`"),
        };
        Err(self.unknown(&key.span(), &what, name, known))
    }

    fn variant(&self, item: &Item<'_>) -> Result<Variant, ProfileError> {
        let Some(table) = item.get_ref().as_table() else {
            return Err(self.error(&item.span(), "a variant is a table: [[variant]]", None));
        };
        let (mut name, mut group, mut chance) = (None, None, None);
        let mut knobs = Knobs::default();
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "name" => name = Some(self.word("name", value)?),
                "group" => group = Some(self.word("group", value)?),
                "chance" => chance = Some(self.share("chance", value)?),
                _ => self.knobs("", key, value, &VARIANT, &mut knobs)?,
            }
        }
        let missing = |what: &str, example: &str| {
            let what = format!("a variant needs a {what}");
            self.error(
                &item.span(),
                what,
                Some(format!("write, for instance: {example}")),
            )
        };
        let name = name.ok_or_else(|| missing("name", "name = \"small\""))?;
        Ok(Variant {
            group,
            name,
            chance: chance.ok_or_else(|| missing("chance", "chance = 0.5"))?,
            knobs,
        })
    }

    fn probes(&self, item: &Item<'_>, layer: &mut Layer) -> Result<(), ProfileError> {
        let table = self.table("probes", item)?;
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "required" => {
                    let names = match value.get_ref().as_str() {
                        Some(probes::ALL) => vec![probes::ALL.to_owned()],
                        _ => self.probe_names("probes.required", value)?,
                    };
                    layer.probes = Some(names);
                }
                "except" => {
                    let names = self.probe_names("probes.except", value)?;
                    layer.spared_probes = Some(names);
                }
                "after_seconds" => {
                    let takes = Takes::Count(1, 1_000_000);
                    layer.probes_after_seconds =
                        Some(self.count("probes.after_seconds", takes, value)?);
                }
                other => {
                    let known = ["required", "except", "after_seconds"];
                    return Err(self.unknown(&key.span(), "key of `probes`", other, known));
                }
            }
        }
        Ok(())
    }

    fn canaries(&self, item: &Item<'_>) -> Result<Vec<String>, ProfileError> {
        let table = self.table("canary", item)?;
        let mut canaries = Vec::new();
        for (key, value) in table.iter() {
            match key.get_ref().as_ref() {
                "mutants" => {
                    for one in self.list("canary.mutants", value)?.iter() {
                        let name = self.word("canary.mutants", one)?;
                        if MUTANTS.iter().all(|mutant| mutant.name != name) {
                            let known = MUTANTS.iter().map(|mutant| mutant.name);
                            return Err(self.unknown(&one.span(), "planted bug", &name, known));
                        }
                        canaries.push(name);
                    }
                }
                other => {
                    return Err(self.unknown(&key.span(), "key of `canary`", other, ["mutants"]));
                }
            }
        }
        Ok(canaries)
    }

    fn distribution(&self, knob: &Knob, item: &Item<'_>) -> Result<Distribution, ProfileError> {
        let Some(table) = item.get_ref().as_table() else {
            let value = self.value(knob, knob.takes, item)?;
            return Ok(Distribution::always(value));
        };
        let path = &knob.path;
        let get = |key: &str| table.get(key);
        for (key, _) in table.iter() {
            let known = [
                "value",
                "from",
                "to",
                "one_of",
                "weights",
                "chance",
                "otherwise",
            ];
            let known = known
                .into_iter()
                .chain(Step::ALL.iter().map(|(name, _)| *name));
            if !known.clone().any(|it| it == key.get_ref().as_ref()) {
                let what = "key of a distribution";
                return Err(self.unknown(&key.span(), what, key.get_ref(), known));
            }
        }
        let mut steps = Vec::new();
        for (key, step) in Step::ALL {
            if let Some(operand) = get(key) {
                steps.push((step, self.operand(knob, key, operand)?));
            }
        }
        // What is multiplied or added to need not be in the range itself.
        let takes = match knob.takes {
            Takes::Count(_, to) if !steps.is_empty() => Takes::Count(0, to),
            takes => takes,
        };
        let base = match (get("value"), get("from"), get("to"), get("one_of")) {
            (Some(value), None, None, None) => Base::Value(self.value(knob, takes, value)?),
            (None, Some(from), Some(to), None) => self.range(knob, takes, from, to, item)?,
            (None, None, None, Some(choices)) => self.choices(knob, choices, get("weights"))?,
            _ => {
                let what = format!("`{path}` needs one thing to be drawn from");
                let help = "write a value, { value = x }, { from = a, to = b } or { one_of = [a, b, ...] }";
                return Err(self.error(&item.span(), what, Some(help.to_owned())));
            }
        };
        if let (Some(weights), None) = (get("weights"), get("one_of")) {
            let what = "weights go with one_of";
            return Err(self.error(&weights.span(), what, None));
        }
        let chance = match (get("chance"), get("otherwise")) {
            (None, None) => None,
            (None, Some(otherwise)) => {
                let what = "otherwise goes with chance";
                return Err(self.error(&otherwise.span(), what, None));
            }
            (Some(chance), otherwise) => {
                let otherwise = match otherwise {
                    Some(otherwise) => self.distribution(knob, otherwise)?,
                    None => Distribution::always(self.nothing(knob, item)?),
                };
                Some((self.share("chance", chance)?, Box::new(otherwise)))
            }
        };
        Ok(Distribution {
            base,
            chance,
            steps,
        })
    }

    /// What a knob is without its chance, if nothing else is said.
    fn nothing(&self, knob: &Knob, item: &Item<'_>) -> Result<Value, ProfileError> {
        match knob.takes {
            Takes::Count(0, _) => Ok(Value::Count(0)),
            Takes::Share => Ok(Value::Share(0.0)),
            Takes::Switch => Ok(Value::Switch(false)),
            _ => {
                let what = format!("what is `{}` otherwise?", knob.path);
                let help = format!("add `otherwise`, {}", knob.takes);
                Err(self.error(&item.span(), what, Some(help)))
            }
        }
    }

    fn range(
        &self,
        knob: &Knob,
        takes: Takes,
        from: &Item<'_>,
        to: &Item<'_>,
        item: &Item<'_>,
    ) -> Result<Base, ProfileError> {
        let values = (self.value(knob, takes, from)?, self.value(knob, takes, to)?);
        match values {
            (Value::Count(from), Value::Count(to)) if from <= to => Ok(Base::Counts(from, to)),
            (Value::Share(from), Value::Share(to)) if from <= to => Ok(Base::Shares(from, to)),
            (Value::Count(_), Value::Count(_)) | (Value::Share(_), Value::Share(_)) => {
                let what = format!("`{}` is from more to less", knob.path);
                Err(self.error(&item.span(), what, None))
            }
            _ => {
                let what = format!("`{}` has no range: it is {}", knob.path, knob.takes);
                Err(self.error(&item.span(), what, None))
            }
        }
    }

    fn choices(
        &self,
        knob: &Knob,
        choices: &Item<'_>,
        weights: Option<&Item<'_>>,
    ) -> Result<Base, ProfileError> {
        let list = self.list(&knob.path, choices)?;
        let drawn: Result<Vec<Distribution>, ProfileError> = list
            .iter()
            .map(|one| self.distribution(knob, one))
            .collect();
        let drawn = drawn?;
        let weights = match weights {
            None => vec![1; drawn.len()],
            Some(weights) => {
                let list = self.list("weights", weights)?;
                let takes = Takes::Count(0, 1_000_000);
                let counts: Result<Vec<u64>, ProfileError> = list
                    .iter()
                    .map(|one| self.count("weights", takes, one))
                    .collect();
                let counts = counts?;
                if counts.len() != drawn.len() {
                    let (is, has) = (counts.len(), drawn.len());
                    let what = format!("there are {is} weights for {has} choices");
                    return Err(self.error(&weights.span(), what, None));
                }
                counts
            }
        };
        if weights.iter().sum::<u64>() == 0 {
            let what = format!("`{}` has nothing to choose from", knob.path);
            return Err(self.error(&choices.span(), what, None));
        }
        Ok(Base::OneOf(weights.into_iter().zip(drawn).collect()))
    }

    fn operand(&self, knob: &Knob, key: &str, item: &Item<'_>) -> Result<Operand, ProfileError> {
        if !matches!(knob.takes, Takes::Count(..)) {
            let what = format!("`{key}` is for numbers; `{}` is {}", knob.path, knob.takes);
            return Err(self.error(&item.span(), what, None));
        }
        let Some(path) = item.get_ref().as_str() else {
            return Ok(Operand::Number(self.count(
                key,
                Takes::Count(0, u64::from(u32::MAX)),
                item,
            )?));
        };
        let is_count = |knob: &Knob| matches!(knob.takes, Takes::Count(..));
        if Knob::by_path(path).is_some_and(|knob| is_count(&knob)) {
            return Ok(Operand::Knob(path.to_owned()));
        }
        let counts: Vec<_> = Knob::all().filter(is_count).map(|it| it.path).collect();
        let known = counts.iter().map(AsRef::as_ref);
        Err(self.unknown(&item.span(), "knob that is a number", path, known))
    }

    fn value(&self, knob: &Knob, takes: Takes, item: &Item<'_>) -> Result<Value, ProfileError> {
        match takes {
            Takes::Count(..) => Ok(Value::Count(self.count(&knob.path, takes, item)?)),
            Takes::Share => Ok(Value::Share(self.share(&knob.path, item)?)),
            Takes::Switch => Ok(Value::Switch(self.switch(&knob.path, item)?)),
            Takes::Word(_) | Takes::Quorums => {
                let allowed = |word: &&str| match takes {
                    Takes::Word(words) => words.contains(word),
                    _ => Takes::is_quorums(word),
                };
                let word = item.get_ref().as_str().filter(allowed);
                word.map(|word| Value::Word(word.to_owned()))
                    .ok_or_else(|| self.not(&knob.path, &takes.to_string(), item))
            }
        }
    }

    fn not(&self, path: &str, allowed: &str, item: &Item<'_>) -> ProfileError {
        let written = self.text.get(item.span()).unwrap_or("this").trim();
        let what = format!("`{path}` cannot be {written}");
        self.error(&item.span(), what, Some(format!("it must be {allowed}")))
    }

    fn count(&self, path: &str, takes: Takes, item: &Item<'_>) -> Result<u64, ProfileError> {
        let number = item.get_ref().as_integer();
        let number = number.and_then(|it| u64::from_str_radix(it.as_str(), it.radix()).ok());
        let fits = |number: &u64| match takes {
            Takes::Count(from, to) => (from..=to).contains(number),
            _ => false,
        };
        number
            .filter(fits)
            .ok_or_else(|| self.not(path, &takes.to_string(), item))
    }

    fn share(&self, path: &str, item: &Item<'_>) -> Result<f64, ProfileError> {
        let value = item.get_ref();
        let text = match (value.as_float(), value.as_integer()) {
            (Some(float), _) => float.as_str(),
            (None, Some(integer)) => integer.as_str(),
            (None, None) => "",
        };
        let share = text.parse().ok().filter(|it| (0.0..=1.0).contains(it));
        share.ok_or_else(|| self.not(path, &Takes::Share.to_string(), item))
    }

    fn switch(&self, path: &str, item: &Item<'_>) -> Result<bool, ProfileError> {
        let switch = item.get_ref().as_bool();
        switch.ok_or_else(|| self.not(path, &Takes::Switch.to_string(), item))
    }

    fn word(&self, path: &str, item: &Item<'_>) -> Result<String, ProfileError> {
        let word = item.get_ref().as_str().map(str::to_owned);
        word.ok_or_else(|| self.not(path, "a text", item))
    }

    fn probe_names(&self, path: &str, item: &Item<'_>) -> Result<Vec<String>, ProfileError> {
        let known = || PROBES.iter().map(|probe| probe.name);
        let name = |one: &Item<'_>| {
            let name = self.word(path, one)?;
            if known().any(|it| it == name) {
                Ok(name)
            } else {
                Err(self.unknown(&one.span(), "probe", &name, known()))
            }
        };
        self.list(path, item)?.iter().map(name).collect()
    }

    fn list<'t>(&self, path: &str, item: &'t Item<'_>) -> Result<&'t DeArray<'t>, ProfileError> {
        let list = item.get_ref().as_array();
        list.ok_or_else(|| self.not(path, "a list", item))
    }

    fn table<'t>(&self, path: &str, item: &'t Item<'_>) -> Result<&'t Table<'t>, ProfileError> {
        let table = item.get_ref().as_table();
        table.ok_or_else(|| self.not(path, "a table", item))
    }
}
