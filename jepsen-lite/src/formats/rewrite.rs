//! Says in plain EDN what the EDN parser does not know: some escapes in strings, and numbers that are none.

/// Stands before a number that is none; it is no tag that anybody else would use.
const NUMBER: &str = "hstore.number/";

/// The numbers that are none, as EDN writes them.
const NUMBERS: [(&str, f64); 3] = [
    ("##Inf", f64::INFINITY),
    ("##-Inf", f64::NEG_INFINITY),
    ("##NaN", f64::NAN),
];

/// The number that a tag stands for, if [`plain`] made it.
pub(super) fn number(tag: &str) -> Option<f64> {
    let which: usize = tag.strip_prefix(NUMBER)?.strip_prefix('n')?.parse().ok()?;
    NUMBERS.get(which).map(|&(_, number)| number)
}

/// The same text with `\\b`, `\\f` and `\\uXXXX` in strings as the characters that they stand for, and with
/// `##Inf`, `##-Inf` and `##NaN` as tags on `nil`. `None` if there are none of these.
pub(super) fn plain(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let (mut rest, mut is_in_string, mut is_other) = (text, false, false);
    while let Some(character) = rest.chars().next() {
        let (written, length) = match (is_in_string, character) {
            (true, '\\') => escape(rest),
            (false, '#') => not_a_number(rest),
            // The next character is itself, even if it is a quote.
            (false, '\\') => {
                let next = rest[1..].chars().next().map_or(0, char::len_utf8);
                (None, 1 + next)
            }
            (false, ';') => (None, rest.find('\n').unwrap_or(rest.len())),
            (_, '"') => {
                is_in_string = !is_in_string;
                (None, 1)
            }
            (_, other) => (None, other.len_utf8()),
        };
        let (same, after) = rest.split_at(length);
        is_other |= written.is_some();
        plain.push_str(written.as_deref().unwrap_or(same));
        rest = after;
    }
    is_other.then_some(plain)
}

/// How to say the escape with which `text` begins otherwise, and how long it is.
fn escape(text: &str) -> (Option<String>, usize) {
    let mut characters = text.chars();
    characters.next();
    let length = 1 + characters.clone().next().map_or(0, char::len_utf8);
    let character = match characters.next() {
        Some('b') => Some('\u{8}'),
        Some('f') => Some('\u{c}'),
        Some('u') => {
            let digits = text.get(2..6);
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            return match code.and_then(char::from_u32) {
                Some(quote @ ('"' | '\\')) => (Some(format!("\\{quote}")), 6),
                Some(character) => (Some(character.to_string()), 6),
                None => (None, length),
            };
        }
        _ => None,
    };
    (character.map(String::from), length)
}

/// How to say the number with which `text` may begin otherwise, and how long it is.
fn not_a_number(text: &str) -> (Option<String>, usize) {
    let which = NUMBERS.iter().position(|(name, _)| {
        let ends = |next: char| !next.is_alphanumeric();
        text.strip_prefix(name)
            .is_some_and(|rest| rest.chars().next().is_none_or(ends))
    });
    match which {
        Some(which) => (
            Some(format!("#{NUMBER}n{which} nil")),
            NUMBERS[which].0.len(),
        ),
        None => (None, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_parser_does_not_know_is_said_otherwise() {
        for text in [
            "",
            "[\"\\n\\\\ \\\"\" \\# #{##Infinite} ; \"\\b",
            "\"\\u12\"",
            "\\",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
        // The quotes are characters, not a string.
        assert_eq!(
            plain("\\\"##Inf\\\"").as_deref(),
            Some("\\\"#hstore.number/n0 nil\\\"")
        );
        assert_eq!(
            plain(r#"["\b\u0041\f\u0022\u005c" ##-Inf]"#).as_deref(),
            Some("[\"\u{8}A\u{c}\\\"\\\\\" #hstore.number/n1 nil]")
        );
        assert_eq!(number("hstore.number/n0"), Some(f64::INFINITY));
        assert_eq!(number("hstore.number/n3"), None);
        assert_eq!(number("n0"), None);
    }
}
