//! Labelled lines that fit a terminal.

/// No line is wider.
pub const COLUMNS_MAX: usize = 100;
/// No summary is longer: it fits a screen.
pub const LINES_MAX: usize = 24;

const LABEL_COLUMNS: usize = 14;
const ELLIPSIS: &str = " ...";

/// `label` and `text` as lines: `text` is broken between words, and what does not fit into `lines`
/// lines is cut off with an ellipsis.
#[must_use]
pub fn labelled(label: &str, text: &str, lines: usize) -> Vec<String> {
    let room = COLUMNS_MAX - LABEL_COLUMNS;
    let broken = clipped(break_lines(text, room), lines, room);
    broken
        .iter()
        .enumerate()
        .map(|(at, line)| {
            let label = if at == 0 { label } else { "" };
            // Two for the indentation, one so that a long label never touches its text.
            format!("  {label:<width$} {line}", width = LABEL_COLUMNS - 3)
        })
        .collect()
}

/// `text` as one line, cut off with an ellipsis if it is too wide.
#[must_use]
pub fn heading(text: &str) -> String {
    clipped(break_lines(text, COLUMNS_MAX), 1, COLUMNS_MAX).remove(0)
}

/// Breaks between words, and within a word only if it alone is wider than a line.
fn break_lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_whitespace() {
        let width = word.chars().count();
        let separator = usize::from(used > 0);
        if used + separator + width <= columns {
            let line = lines.last_mut().expect("there is a first line");
            line.extend((separator > 0).then_some(' '));
            line.push_str(word);
            used += separator + width;
            continue;
        }
        if used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for letter in word.chars() {
            if used == columns {
                lines.push(String::new());
                used = 0;
            }
            lines
                .last_mut()
                .expect("there is a first line")
                .push(letter);
            used += 1;
        }
    }
    lines
}

fn clipped(mut lines: Vec<String>, count: usize, columns: usize) -> Vec<String> {
    if lines.len() > count {
        lines.truncate(count);
        if let Some(last) = lines.last_mut() {
            let room = columns - ELLIPSIS.len();
            *last = last.chars().take(room).collect();
            last.push_str(ELLIPSIS);
        }
    }
    lines
}

/// A length of time in seconds, with as many digits as are worth reading.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    match seconds {
        s if s < 0.001 => format!("{:.1} us", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s if s < 1000.0 => format!("{s:.2} s"),
        s => format!("{s:.0} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_kept_whole_and_lines_short() {
        let text = "word ".repeat(60);
        let lines = labelled("label", &text, 9);
        assert!(lines.len() > 1);
        assert!(lines[0].starts_with("  label       word word"));
        assert!(lines[1].starts_with("              word"));
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS_MAX));
        let words: usize = lines.iter().map(|line| line.matches("word").count()).sum();
        assert_eq!(words, 60);
    }

    #[test]
    fn a_long_word_is_broken_and_a_long_text_is_cut() {
        let lines = labelled("x", &"é".repeat(1000), 3);
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS_MAX));
        assert!(lines[2].ends_with(ELLIPSIS) && !lines[1].ends_with(ELLIPSIS));

        let cut = heading(&"many words ".repeat(50));
        assert!(cut.chars().count() <= COLUMNS_MAX && cut.ends_with(ELLIPSIS));
        assert_eq!(heading("two\nlines"), "two lines");
        assert_eq!(labelled("none", "", 1), ["  none        "]);
    }

    #[test]
    fn times_have_a_unit_that_suits_them() {
        assert_eq!(seconds(0.000_012_34), "12.3 us");
        assert_eq!(seconds(0.012_34), "12.3 ms");
        assert_eq!(seconds(12.344), "12.34 s");
        assert_eq!(seconds(12_344.5), "12344 s");
    }
}
