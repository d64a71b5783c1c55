//! The report as text: lines of at most 100 columns.

use std::fmt::Write as _;

use super::document::Document;
use super::story::{Story, StoryOp};
use crate::verdict::VerdictKind;

const COLUMNS: usize = 100;

pub(crate) fn render(document: &Document) -> String {
    let mut page = Page::default();
    let extent = &document.extent;
    let name = document.context.name.as_deref().unwrap_or("the history");
    page.line(
        "",
        &format!(
            "{}: {name}, {} operations",
            document.verdict, extent.operations
        ),
    );
    for story in &document.stories {
        page.text.push('\n');
        tell(&mut page, story);
    }
    page.text.push('\n');
    if !extent.anomalies.is_empty() {
        let counts = extent.anomalies.iter();
        let counts: Vec<String> = counts
            .map(|(kind, count)| format!("{count} {kind}"))
            .collect();
        page.line(
            "Extent:     ",
            &format!(
                "{}; {} told; their certificates have {} of {} operations, in {} of {} parts",
                counts.join(", "),
                extent.told,
                extent.operations_touched,
                extent.operations,
                extent.parts_touched,
                extent.parts
            ),
        );
    }
    page.line("Operations: ", &extent.operations_by_kind);
    for (number, sentence) in document.confidence.iter().enumerate() {
        let label = if number == 0 {
            "Confidence: "
        } else {
            "            "
        };
        page.line(label, sentence);
    }
    for part in &document.parts {
        for check in &part.checks {
            if check.verdict != VerdictKind::Valid && !check.says.is_empty() {
                let label = format!("  {}, {}: ", part.subject, check.check);
                page.line(&label, &format!("{}, {}", check.verdict, check.says));
            }
        }
    }
    for fact in &document.context.facts {
        page.line(&format!("{}: ", fact.key), &fact.value);
    }
    page.text
}

fn tell(page: &mut Page, story: &Story) {
    page.line(
        "",
        &format!(
            "{}  {} in {}, found by {}",
            story.id, story.kind, story.subject, story.check
        ),
    );
    page.line("  Broken:   ", &story.guarantee);
    page.line("  Expected: ", &story.expected);
    page.line("  Seen:     ", &story.seen);
    if let Some(nearest) = &story.nearest {
        page.line("  Nearest:  ", &nearest.sentence());
    }
    page.line("  Certificate:", "");
    page.ops(&story.certificate);
    page.line("  Why they cannot all be right:", "");
    for arrow in &story.arrows {
        let ends = match arrow.from == arrow.to {
            true => format!("    op {}: ", arrow.from),
            false => format!("    op {} -> op {}: ", arrow.from, arrow.to),
        };
        page.line(&ends, &arrow.text);
    }
    let minimal = &story.minimal;
    if minimal.ops == story.certificate {
        page.line("  Minimal:  ", "the certificate itself");
    } else {
        page.line("  Minimal sub-history:", "");
        page.ops(&minimal.ops);
        if !minimal.optional.is_empty() {
            let optional = minimal.optional.iter().map(|op| format!("op {op}"));
            let optional: Vec<String> = optional.collect();
            page.line("    ", &format!("with or without {}", optional.join(", ")));
        }
    }
    page.line("            ", &minimal.proof.sentence());
    if !story.around.is_empty() {
        page.line("  Around it:", "");
        page.ops(&story.around);
    }
}

#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    /// A label, and words that are wrapped beside it.
    fn line(&mut self, label: &str, words: &str) {
        let indent = label.chars().count().min(COLUMNS / 2);
        let mut line = label.to_owned();
        let mut is_empty = true;
        for word in words.split_whitespace() {
            let len = line.chars().count() + usize::from(!is_empty) + word.chars().count();
            if len > COLUMNS && !is_empty {
                self.push(&line);
                line = " ".repeat(indent);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.push(&line);
    }

    fn push(&mut self, line: &str) {
        // One word may be too long for a line; then it is cut into several.
        let mut rest: Vec<char> = line.trim_end().chars().collect();
        while rest.len() > COLUMNS {
            let tail = rest.split_off(COLUMNS);
            self.text.extend(rest);
            self.text.push('\n');
            rest = tail;
        }
        self.text.extend(rest);
        self.text.push('\n');
    }

    fn ops(&mut self, ops: &[StoryOp]) {
        let widest = ops.iter().map(|op| op.process.to_string().len()).max();
        for op in ops {
            let label = format!(
                "    op {:<6} p{:<width$}  ",
                op.op,
                op.process,
                width = widest.unwrap_or(0)
            );
            self.line(&label, &format!("{}   {}", op.words(), interval(op)));
        }
    }
}

/// `[events 3..7, 1.5ms..2ms]`
pub(crate) fn interval(op: &StoryOp) -> String {
    let mut words = format!("[events {}..", op.invoked_event);
    if let Some(completed) = op.completed_event {
        let _ = write!(words, "{completed}");
    }
    if op.invoked_ns > 0 || op.completed_ns.is_some_and(|at| at > 0) {
        let _ = write!(words, ", {}..", millis(op.invoked_ns));
        if let Some(completed) = op.completed_ns {
            words.push_str(&millis(completed));
        }
    }
    words.push(']');
    words
}

fn millis(ns: u64) -> String {
    let fraction = format!("{:06}", ns % 1_000_000);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}ms", ns / 1_000_000)
}
