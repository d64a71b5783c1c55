//! Failures of a campaign, grouped by what they have in common.

use std::fmt;

use serde::Deserialize;

use crate::findability::Findability;
use crate::text::labelled;

/// More kinds of failure are counted, not shown.
const KINDS_SHOWN_MAX: usize = 3;
/// More seeds of one kind of failure are counted, not shown.
const SEEDS_SHOWN_MAX: usize = 8;

/// What failures have in common that are probably of the same bug.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Kind {
    /// How the runs ended.
    pub outcome: String,
    /// Who noticed; empty if that is not known.
    pub checker: String,
    /// What is violated; empty if that is not known.
    pub property: String,
    /// Which face of the property; empty if there is but one.
    #[serde(default)]
    pub about: String,
}

/// On one line, for people.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.outcome.to_uppercase())?;
        if !self.property.is_empty() {
            write!(f, " {}", self.property)?;
        }
        if !self.checker.is_empty() {
            write!(f, " by {}", self.checker)?;
        }
        if !self.about.is_empty() {
            write!(f, ": {}", self.about)?;
        }
        Ok(())
    }
}

/// Failures of one kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Failures {
    /// What they have in common.
    #[serde(flatten)]
    pub kind: Kind,
    /// How many there are.
    pub count: u64,
    /// The seeds of the first of them.
    pub seeds: Vec<u64>,
    /// The command that makes the first of them again.
    pub reproduce: String,
    /// How often they show themselves.
    pub findability: Findability,
}

impl Failures {
    /// The seeds, the first of them named.
    #[must_use]
    pub fn seeds(&self) -> String {
        named(&self.seeds, self.count)
    }

    /// What it takes to believe that they are gone. To be sure is to be wrong in one case of 20.
    #[must_use]
    pub fn cure(&self) -> String {
        let Findability {
            share,
            share_at_least,
            clean_runs,
            clean_runs_to_be_sure,
        } = self.findability;
        format!(
            "{} % of runs (at least {} %); believe a fix after {clean_runs} clean runs, be sure after \
             {clean_runs_to_be_sure}",
            percent(share),
            percent(share_at_least)
        )
    }
}

/// With two digits that say something.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = (1.0 - percent.max(1e-9).log10().floor()).clamp(0.0, 10.0);
    format!("{percent:.*}", digits as usize)
}

/// Seeds of `count`, the first ones of which are known.
pub(crate) fn named(seeds: &[u64], count: u64) -> String {
    let shown = seeds.iter().take(SEEDS_SHOWN_MAX).map(u64::to_string);
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if count > SEEDS_SHOWN_MAX as u64 {
        text += ", ...";
    }
    format!("{} {text}", if count == 1 { "seed" } else { "seeds" })
}

/// Two lines for each kind, for a terminal.
pub(crate) fn lines(failures: &[Failures], others: u64) -> Vec<String> {
    let mut lines = Vec::new();
    for (at, it) in failures.iter().take(KINDS_SHOWN_MAX).enumerate() {
        let label = if at == 0 { "failures" } else { "" };
        let text = format!("{} x {}: {}", it.count, it.kind, it.seeds());
        lines.extend(labelled(label, &text, 2));
        lines.extend(labelled("", &format!("  {}", it.cure()), 2));
    }
    let hidden = failures.len().saturating_sub(KINDS_SHOWN_MAX);
    if hidden > 0 || others > 0 {
        let more = if others > 0 { " at least" } else { "" };
        let text = format!("and{more} {hidden} more kinds of failure");
        lines.extend(labelled("", &text, 1));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_two_digits() {
        for (share, text) in [
            (1.0, "100"),
            (0.5, "50"),
            (0.123_4, "12"),
            (0.012_34, "1.2"),
            (0.000_051_3, "0.0051"),
        ] {
            assert_eq!(percent(share), text);
        }
    }
}
