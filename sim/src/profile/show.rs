//! A profile as text for people, and for a file of one's own: everything that it says or extends.

use std::fmt::{self, Write as _};

use super::Profile;
use super::distribution::{Base, Distribution, Operand, Step, Value};
use super::knobs::Knob;
use super::parse::{Knobs, Variant};

impl Profile {
    /// The whole profile as TOML, each knob with what it means.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let lines = &mut text;
        line(lines, format_args!("about = {}", quoted(&self.about)));
        let mut section = "";
        for knob in Knob::all() {
            let Some(distribution) = self.knobs.get(knob.path.as_ref()) else {
                continue;
            };
            let Some((of, name)) = knob.path.split_once('.') else {
                unreachable!("every knob stands in a section");
            };
            if of != section {
                line(lines, format_args!("\n[{of}]"));
                if of == "faults" {
                    line(lines, format_args!("only = true"));
                }
                section = known(of);
            }
            line(lines, format_args!("# {}", knob.about));
            line(lines, format_args!("{name} = {distribution}"));
        }
        if section != "faults" {
            line(lines, format_args!("\n[faults]\nonly = true"));
        }
        line(lines, format_args!("\n[probes]"));
        let required = match &self.required_probes[..] {
            [all] if all == "all" => quoted(all),
            names => list(names),
        };
        line(lines, format_args!("required = {required}"));
        line(
            lines,
            format_args!("except = {}", list(&self.spared_probes)),
        );
        let after = self.probes_after_seconds;
        line(lines, format_args!("after_seconds = {after}"));
        line(lines, format_args!("\n[canary]"));
        line(lines, format_args!("mutants = {}", list(&self.canaries)));
        for variant in &self.variants {
            show(lines, variant);
        }
        text
    }
}

fn show(lines: &mut String, variant: &Variant) {
    line(lines, format_args!("\n[[variant]]"));
    line(lines, format_args!("name = {}", quoted(&variant.name)));
    if let Some(group) = &variant.group {
        line(lines, format_args!("group = {}", quoted(group)));
    }
    line(lines, format_args!("chance = {:?}", variant.chance));
    let Knobs { set, faults_only } = &variant.knobs;
    if *faults_only {
        line(lines, format_args!("faults.only = true"));
    }
    for (path, distribution) in set {
        line(lines, format_args!("{path} = {distribution}"));
    }
}

/// The section's name as the table of knobs has it.
fn known(section: &str) -> &'static str {
    let paths = super::knobs::KNOBS.iter().map(|knob| knob.path.as_ref());
    let sections = paths.filter_map(|path| path.split_once('.'));
    let mut sections = sections.map(|(section, _)| section);
    sections.find(|it| *it == section).unwrap_or("faults")
}

fn line(lines: &mut String, line: fmt::Arguments<'_>) {
    writeln!(lines, "{line}").expect("strings take everything");
}

/// A text as TOML has it.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("[{}]", words.join(", "))
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Share(share) => write!(f, "{share:?}"),
            Self::Switch(switch) => write!(f, "{switch}"),
            Self::Word(word) => f.write_str(&quoted(word)),
        }
    }
}

/// As a profile says it.
impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let (Base::Value(value), None, []) = (&self.base, &self.chance, &self.steps[..]) {
            return write!(f, "{value}");
        }
        f.write_str("{ ")?;
        if let Some((chance, _)) = &self.chance {
            write!(f, "chance = {chance:?}, ")?;
        }
        match &self.base {
            Base::Value(value) => write!(f, "value = {value}")?,
            Base::Counts(from, to) => write!(f, "from = {from}, to = {to}")?,
            Base::Shares(from, to) => write!(f, "from = {from:?}, to = {to:?}")?,
            Base::OneOf(choices) => {
                let shown: Vec<String> = choices.iter().map(|(_, it)| it.to_string()).collect();
                write!(f, "one_of = [{}]", shown.join(", "))?;
                if choices.iter().any(|(weight, _)| *weight != 1) {
                    let weights: Vec<String> = choices
                        .iter()
                        .map(|(weight, _)| weight.to_string())
                        .collect();
                    write!(f, ", weights = [{}]", weights.join(", "))?;
                }
            }
        }
        if let Some((_, otherwise)) = &self.chance {
            write!(f, ", otherwise = {otherwise}")?;
        }
        for (step, operand) in &self.steps {
            let key = Step::ALL.iter().find(|(_, it)| it == step);
            let key = key.map_or("", |(key, _)| key);
            match operand {
                Operand::Number(number) => write!(f, ", {key} = {number}")?,
                Operand::Knob(path) => write!(f, ", {key} = {}", quoted(path))?,
            }
        }
        f.write_str(" }")
    }
}
