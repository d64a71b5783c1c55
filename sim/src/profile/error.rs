//! What is wrong with a profile, and where.

use std::fmt;

/// Why a profile cannot be used: the file, where in it, what is wrong and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    /// The file, or the name of the built-in profile.
    pub file: String,
    /// Where in it, if it is one place.
    pub at: Option<Place>,
    /// What is wrong.
    pub what: String,
    /// What to do, if that is not said by what is wrong.
    pub help: Option<String>,
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
}

impl Place {
    /// The place of a byte of a text.
    #[must_use]
    pub fn of(text: &str, byte: usize) -> Self {
        let before = text.get(..byte).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

/// One line.
impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(at) = &self.at {
            write!(f, ":{}:{}", at.line, at.column)?;
        }
        write!(f, ": {}", self.what)?;
        match &self.help {
            Some(help) => write!(f, ": {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ProfileError {}

/// The name nearest to `word`, if one is near.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |name: &&str| strsim::jaro_winkler(word, name);
    let best = known
        .into_iter()
        .max_by(|a, b| near(a).total_cmp(&near(b)))?;
    (near(&best) > 0.75).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_told_by_line_and_column() {
        let text = "a = 1\nkéy = 5000 # much\n";
        let at = |byte| {
            let Place { line, column } = Place::of(text, byte);
            (line, column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(13), (2, 7), "characters, not bytes");
        assert_eq!(at(text.len()), (3, 1));
        let error = ProfileError {
            file: "x.toml".to_owned(),
            at: Some(Place::of(text, 13)),
            what: "`key` cannot be 5000".to_owned(),
            help: Some("it must be less".to_owned()),
        };
        let said = "x.toml:2:7: `key` cannot be 5000: it must be less";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn near_names_are_found_and_others_are_not() {
        let known = ["crashes", "pauses", "power_failures"];
        assert_eq!(nearest("crashs", known), Some("crashes"));
        assert_eq!(nearest("zebra", known), None);
    }
}
