//! A table of a configuration, taken key by key.
//!
//! What is not taken is unknown: [`Table::finish`] says so. Every value knows where it came from. One is told only
//! where it has the type that is expected: any other may be a secret that went astray.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;

use config::{Config, File, FileFormat, Source, Value, ValueKind};

use super::ConfigError;

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// Where values come from that do not say it themselves.
    place: String,
    /// What stands before its keys in messages: `nodes[0].`.
    prefix: String,
    values: BTreeMap<String, Value>,
    /// The keys that were asked for.
    known: Vec<&'static str>,
}

/// The TOML file at `path`.
pub(super) fn file(path: &Path) -> Result<File<config::FileSourceString, FileFormat>, ConfigError> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ConfigError::Unreadable {
        place,
        reason: format!("cannot read this file: {error}"),
    })?;
    Ok(File::from_str(&text, FileFormat::Toml))
}

impl Table {
    /// What all sources say together; later ones override.
    pub(super) fn read(place: &str, sources: Config) -> Self {
        let values = sources.collect().expect("built sources can be collected");
        Self {
            place: place.to_owned(),
            prefix: String::new(),
            values: values.into_iter().collect(),
            known: Vec::new(),
        }
    }

    /// Builds the sources.
    pub(super) fn build(
        place: &str,
        builder: config::ConfigBuilder<config::builder::DefaultState>,
    ) -> Result<Self, ConfigError> {
        let built = builder.build().map_err(|error| ConfigError::Unreadable {
            place: place.to_owned(),
            reason: reason(&error),
        })?;
        Ok(Self::read(place, built))
    }

    fn key(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    fn place_of(&self, value: &Value) -> String {
        value.origin().unwrap_or(&self.place).to_owned()
    }

    pub(super) fn invalid(&self, key: &str, value: &Value, expected: &str) -> ConfigError {
        ConfigError::Invalid {
            place: self.place_of(value),
            key: self.key(key),
            value: show(value),
            expected: expected.to_owned(),
        }
    }

    fn mistyped(&self, key: &str, value: &Value, expected: &str) -> ConfigError {
        ConfigError::Mistyped {
            place: self.place_of(value),
            key: self.key(key),
            found: type_of(value),
            expected: expected.to_owned(),
        }
    }

    pub(super) fn missing(&self, key: &str, expected: &str) -> ConfigError {
        ConfigError::Missing {
            place: self.place.clone(),
            key: self.key(key),
            expected: expected.to_owned(),
        }
    }

    /// What the table says does not fit together.
    pub(super) fn misfit(&self, reason: hstore_replicator::config::ConfigError) -> ConfigError {
        ConfigError::Misfit {
            place: self.place.clone(),
            reason,
        }
    }

    /// A value that is still to be taken.
    pub(super) fn peek(&self, key: &str) -> Option<Value> {
        self.values.get(key).cloned()
    }

    /// Takes a value as it is.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value> {
        self.known.push(key);
        self.values.remove(key)
    }

    /// Takes a text that `read` understands.
    pub(super) fn text<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let ValueKind::String(text) = &value.kind else {
            return Err(self.mistyped(key, &value, expected));
        };
        match read(text) {
            Some(read) => Ok(Some(read)),
            None => Err(self.invalid(key, &value, expected)),
        }
    }

    /// Takes a yes or a no.
    pub(super) fn flag(
        &mut self,
        key: &'static str,
        expected: &str,
    ) -> Result<Option<bool>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.kind {
            ValueKind::Boolean(flag) => Ok(Some(flag)),
            _ => Err(self.mistyped(key, &value, expected)),
        }
    }

    /// Takes a number of a range.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let expected = format!("a number from {} to {}", range.start(), range.end());
        match number_of(&value) {
            Some(number) if range.contains(&number) => Ok(Some(number)),
            _ if is_other_text(&value) => Err(self.mistyped(key, &value, &expected)),
            _ => Err(self.invalid(key, &value, &expected)),
        }
    }

    /// Takes a list of numbers of a range.
    pub(super) fn numbers(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<Vec<u64>>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        let allowed = |value: &Value| number_of(value).filter(|number| range.contains(number));
        let (first, last) = (range.start(), range.end());
        let expected = format!("a list of numbers from {first} to {last}");
        let ValueKind::Array(items) = &value.kind else {
            return Err(self.mistyped(key, &value, &expected));
        };
        let numbers: Option<Vec<u64>> = items.iter().map(allowed).collect();
        let numbers = numbers.ok_or_else(|| self.invalid(key, &value, &expected))?;
        Ok(Some(numbers))
    }

    /// Takes a table.
    pub(super) fn table(&mut self, key: &'static str) -> Result<Option<Self>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        self.sub_table(key, format!("{}{key}.", self.prefix), value)
            .map(Some)
    }

    /// Takes a list of tables.
    pub(super) fn tables(&mut self, key: &'static str) -> Result<Vec<Self>, ConfigError> {
        let Some(value) = self.take(key) else {
            return Ok(Vec::new());
        };
        let ValueKind::Array(items) = value.kind else {
            return Err(self.mistyped(key, &value, "a list of tables"));
        };
        let tables = items.into_iter().enumerate().map(|(index, item)| {
            self.sub_table(key, format!("{}{key}[{index}].", self.prefix), item)
        });
        tables.collect()
    }

    fn sub_table(&self, key: &str, prefix: String, value: Value) -> Result<Self, ConfigError> {
        match value.kind {
            ValueKind::Table(values) => Ok(Self {
                place: self.place.clone(),
                prefix,
                values: values.into_iter().collect(),
                known: Vec::new(),
            }),
            _ => Err(self.mistyped(key, &value, "a table")),
        }
    }

    /// Fails if something was not taken.
    pub(super) fn finish(self) -> Result<(), ConfigError> {
        let Some((key, value)) = self.values.first_key_value() else {
            return Ok(());
        };
        let known: Vec<String> = self.known.iter().map(|key| format!("`{key}`")).collect();
        Err(ConfigError::Unknown {
            place: self.place_of(value),
            key: self.key(key),
            expected: known.join(", "),
        })
    }
}

/// Environment variables are text, whatever they say.
fn number_of(value: &Value) -> Option<u64> {
    match &value.kind {
        ValueKind::I64(number) => u64::try_from(*number).ok(),
        ValueKind::U64(number) => Some(*number),
        ValueKind::String(text) => text.parse().ok(),
        _ => None,
    }
}

/// Whether it is a text of anything but a whole number.
fn is_other_text(value: &Value) -> bool {
    matches!(&value.kind, ValueKind::String(text) if text.parse::<i128>().is_err())
}

/// The value, or its type where that alone is wrong for a text or a number.
fn show(value: &Value) -> String {
    match &value.kind {
        ValueKind::Array(items) => {
            let item = |it: &Value| match number_of(it) {
                Some(number) => number.to_string(),
                None => type_of(it).to_owned(),
            };
            let items: Vec<String> = items.iter().map(item).collect();
            format!("[{}]", items.join(", "))
        }
        ValueKind::Table(_) => type_of(value).to_owned(),
        ValueKind::String(text) => text.clone(),
        _ => value.to_string(),
    }
}

fn type_of(value: &Value) -> &'static str {
    match value.kind {
        ValueKind::Nil => "nothing",
        ValueKind::Boolean(_) => "a boolean",
        ValueKind::I64(_) | ValueKind::I128(_) | ValueKind::U64(_) | ValueKind::U128(_) => {
            "a number"
        }
        ValueKind::Float(_) => "a number with a fraction",
        ValueKind::String(_) => "a text",
        ValueKind::Table(_) => "a table",
        ValueKind::Array(_) => "a list",
    }
}

/// Why sources cannot be read, without their text.
fn reason(error: &config::ConfigError) -> String {
    let config::ConfigError::FileParse { cause, .. } = error else {
        return error.to_string();
    };
    // First comes the place, then three lines that show the text there, then what is wrong with it.
    let told = cause.to_string();
    let told = told.lines().enumerate();
    let told: Vec<&str> = told
        .filter(|(number, _)| !(1..=3).contains(number))
        .map(|(_, line)| line)
        .collect();
    told.join(": ")
}
