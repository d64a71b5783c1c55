//! A campaign in Markdown, for the page that a hosted CI makes of a job.

use std::fmt::Write;

use crate::campaign::{Campaign, figure, first_line, reached, settings_line, speed, told};
use crate::failures::Failures;

/// More kinds of failure are counted, not shown.
const KINDS_SHOWN_MAX: usize = 50;

/// The text.
#[must_use]
pub fn markdown(campaign: &Campaign) -> String {
    let mark = if campaign.is_passed() { "✅" } else { "❌" };
    let mut text = format!("## {mark} {}\n\n", plain(&first_line(campaign)));
    let _ = writeln!(text, "{}\n", plain(&settings_line(&campaign.settings)));
    if let Some(canary) = &campaign.canary {
        let _ = writeln!(text, "Canary {}\n", plain(&told(canary)));
    }
    if let Some(probes) = &campaign.probes {
        let _ = writeln!(text, "Probes: {}\n", plain(&reached(probes)));
    }
    if !campaign.failures.is_empty() {
        failures(campaign, &mut text);
    }
    let _ = writeln!(
        text,
        "{}; traces `{}`\n",
        plain(&speed(campaign)),
        campaign.traces_hash
    );
    let _ = writeln!(text, "<details><summary>Averages of a run</summary>\n");
    let _ = writeln!(text, "| figure | mean |\n|---|--:|");
    for (name, mean) in &campaign.averages {
        let _ = writeln!(text, "| `{name}` | {} |", figure(*mean));
    }
    let _ = writeln!(
        text,
        "\n</details>\n\n{}",
        plain(&campaign.provenance.to_string())
    );
    text
}

fn failures(campaign: &Campaign, text: &mut String) {
    text.push_str(
        "| failure | runs | share | at least | seeds | clean runs before a fix is likely | sure to 95 % |\n\
         |---|--:|--:|--:|---|--:|--:|\n",
    );
    for it in campaign.failures.iter().take(KINDS_SHOWN_MAX) {
        let Failures { kind, count, .. } = it;
        let found = it.findability;
        let _ = writeln!(
            text,
            "| {} | {count} | {:.3} % | {:.4} % | {} | {} | {} |",
            plain(&kind.to_string()),
            found.share * 100.0,
            found.share_at_least * 100.0,
            it.seeds(),
            found.clean_runs,
            found.clean_runs_to_be_sure,
        );
    }
    let hidden = campaign.failures.len().saturating_sub(KINDS_SHOWN_MAX);
    if hidden > 0 || campaign.failures_of_other_kinds > 0 {
        let _ = writeln!(text, "\nThere are more kinds of failure.");
    }
    text.push_str("\nThe first of each kind is made again by\n\n```sh\n");
    for it in campaign.failures.iter().take(KINDS_SHOWN_MAX) {
        let _ = writeln!(text, "{}", it.reproduce);
    }
    text.push_str("```\n\n");
}

/// Text in which nothing is taken for markup, on one line.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.chars() {
        match letter {
            '\\' | '`' | '*' | '_' | '|' | '<' | '>' | '[' | ']' | '&' | '#' | '~' => {
                plain.push('\\');
                plain.push(letter);
            }
            '\n' | '\r' => plain.push(' '),
            _ => plain.push(letter),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::campaign::tests::campaign;
    use crate::findability::Findability;

    #[test]
    fn what_passed_says_so_first() {
        let text = markdown(&campaign(&[], 1.5));
        assert!(
            text.starts_with("## ✅ PASSED seeds 1..2000: all 2000 runs"),
            "{text}"
        );
        assert!(text.contains("| `effective_faults` | 3.00 |"), "{text}");
        assert!(!text.contains("made again"), "{text}");
        let mut some = campaign(&[], 1.0);
        some.complete = false;
        assert!(markdown(&some).starts_with("## ❌ INCOMPLETE"));
    }

    #[test]
    fn failures_are_a_table_whatever_they_say() {
        let failure = json!({
            "outcome": "panic", "property": "no-panic", "checker": "assertion", "count": 1,
            "about": "a | b\n`c` <script>", "seeds": [7], "reproduce": "hstore-sim run --seed 7",
            "findability": Findability::of(1, 2000),
        });
        let text = markdown(&campaign(&[failure], 1.0));
        assert!(
            text.starts_with("## ❌ FAILED seeds 1..2000: 1 of 2000 runs"),
            "{text}"
        );
        let row = "| PANIC no-panic by assertion: a \\| b \\`c\\` \\<script\\> | 1 | 0.050 % | 0.0026 % | seed 7 | 5990 | ";
        assert!(text.contains(row), "{text}");
        assert!(
            text.contains("```sh\nhstore-sim run --seed 7\n```"),
            "{text}"
        );
    }
}
