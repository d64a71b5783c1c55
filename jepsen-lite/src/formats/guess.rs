//! Tells formats apart by how a file begins.

use std::io::{self, BufRead, Cursor, Read};

use super::encoding::{self, Foreign, Whole};
use super::{Format, calls, etcd};

/// So much of a file is enough to tell its format, unless it begins with a very long comment.
pub const HEAD_BYTES: usize = 64 << 10;

/// Nothing in a file tells its format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoGuess {
    /// There is nothing in it.
    #[error("there is nothing in it")]
    Empty,
    /// It is no text.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// It begins like none of them.
    #[error(
        "it begins like no known format; they are json-lines, edn, json, etcd, kv, s2 and calls: \
         say which it is"
    )]
    Unknown,
}

/// The format of a file that begins with `head`, a few KiB at least unless it is shorter.
///
/// # Errors
///
/// If there is nothing in it, it is no text, or nothing tells.
pub fn guess(head: &[u8]) -> Result<Format, NoGuess> {
    let head = encoding::text(head)?;
    // The head may end within a character.
    let text = String::from_utf8_lossy(head);
    if text.trim().is_empty() {
        return Err(NoGuess::Empty);
    }
    let of_a_line = |line| {
        if etcd::is_event(line) {
            Some(Format::EtcdLog)
        } else if calls::is_event(line) {
            Some(Format::Calls)
        } else {
            None
        }
    };
    of_maps(&text)
        .or_else(|| text.lines().find_map(of_a_line))
        .ok_or(NoGuess::Unknown)
}

/// Takes the beginning off an input in order to guess; what is returned with it reads all of it.
///
/// # Errors
///
/// Those of `input`.
pub fn split_head<R: BufRead>(input: R) -> io::Result<(Vec<u8>, Whole<R>)> {
    let (head, rest) = encoding::split_off(input, HEAD_BYTES)?;
    Ok((head.clone(), Cursor::new(head).chain(rest)))
}

/// The formats that are made of maps, by the keys of the first one.
fn of_maps(text: &str) -> Option<Format> {
    let mut text = skip(text);
    let mut is_list = false;
    if let Some(inner) = text.strip_prefix(['[', '(']) {
        is_list = true;
        text = skip(inner);
        if text.starts_with([']', ')']) {
            return Some(Format::Edn);
        }
    }
    if let Some(tag) = text.strip_prefix('#')
        && let Some(brace) = tag.find('{')
        && brace > 0
        && !tag[..brace].contains(char::is_whitespace)
    {
        text = &tag[brace..];
    }
    let text = skip(text.strip_prefix('{')?);
    if text.starts_with('"') {
        let keys = json_keys(text);
        let has = |key: &str| keys.contains(&key);
        return if has("event") && !has("process") {
            Some(Format::S2)
        } else if !is_list && (has("time_ns") || has("log")) {
            Some(Format::JsonLines)
        } else if has("process") || has("type") || has("f") {
            Some(Format::Json)
        } else {
            None
        };
    }
    let event = edn_event(text);
    if !event.contains(&":type") && !event.contains(&":process") && !event.contains(&":f") {
        return None;
    }
    let function = event.iter().position(|word| *word == ":f");
    let function = function.and_then(|at| event.get(at + 1));
    let is_kv = matches!(function, Some(&(":get" | ":put" | ":append")));
    Some(if is_kv && event.contains(&":key") {
        Format::KvLog
    } else {
        Format::Edn
    })
}

/// Leaves blanks and comments of EDN out.
fn skip(mut text: &str) -> &str {
    loop {
        text = text
            .trim_start_matches(|character: char| character.is_whitespace() || character == ',');
        if !text.starts_with(';') {
            return text;
        }
        text = text.split_once('\n').map_or("", |(_, rest)| rest);
    }
}

/// The keys of an object whose brace was taken off, as far as it is there.
fn json_keys(text: &str) -> Vec<&str> {
    let mut keys = Vec::new();
    each(text, |token, depth, rest| {
        if depth == 0 && token.starts_with('"') && rest.trim_start().starts_with(':') {
            keys.push(token.trim_matches('"'));
        }
    });
    keys
}

/// The words of a map whose brace was taken off that are not within values, as far as it is there.
fn edn_event(text: &str) -> Vec<&str> {
    let mut words = Vec::new();
    each(text, |token, depth, _| {
        if depth == 0 {
            words.push(token);
        }
    });
    words
}

/// Calls `see` with each word and string up to the bracket that closes what was open before `text`, with
/// how many brackets are open around it, and with what follows it.
fn each<'t>(text: &'t str, mut see: impl FnMut(&'t str, usize, &'t str)) {
    let is_between = |character: char| character.is_whitespace() || ",[](){}\"".contains(character);
    let (mut rest, mut depth) = (text, 0_usize);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '[' | '(' | '{' => {
                depth += 1;
                1
            }
            ']' | ')' | '}' => {
                let Some(outer) = depth.checked_sub(1) else {
                    return;
                };
                depth = outer;
                1
            }
            _ if is_between(first) => first.len_utf8(),
            _ => rest.find(is_between).unwrap_or(rest.len()),
        };
        let (token, after) = rest.split_at(length);
        if first == '"' || !is_between(first) {
            see(token, depth, after);
        }
        rest = after;
    }
}

/// How long the string is with which `text` begins; all of it if the string does not end.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str, format: Format) {
        assert_eq!(guess(text.as_bytes()), Ok(format), "{text}");
        // As long as the first event is there, more or less of the rest does not matter.
        let longer = format!("\n\n{text}\n\u{1f600}");
        let cut = &longer.as_bytes()[..longer.len() - 2];
        assert_eq!(guess(cut), Ok(format), "{text}");
    }

    #[test]
    fn formats_are_told_apart_by_content() {
        is(
            r#"{"index":0,"time_ns":1,"process":3,"type":"invoke","log":1,"f":"tail"}"#,
            Format::JsonLines,
        );
        is(
            "{:process 3, :type :invoke, :f :read, :value nil}",
            Format::Edn,
        );
        is("; note\n[{:f :txn\n :type :invoke}", Format::Edn);
        is("({:type :invoke, :f :write, :key 3}", Format::Edn);
        is("#jepsen.history.Op{:process 3, :type :invoke", Format::Edn);
        is("[]", Format::Edn);
        is(
            r#"[{"type":"invoke","f":"add","value":{"log":1}}"#,
            Format::Json,
        );
        is(
            r#"{"process":0,"f":"add","value":"\"time_ns\":"}"#,
            Format::Json,
        );
        is(
            "x\nINFO  jepsen.core - ready\nINFO  jepsen.util - 0\t:invoke\t:read\tnil",
            Format::EtcdLog,
        );
        is(
            "{:process 0, :type :invoke, :f :append, :key \"0\", :value \"}\"}",
            Format::KvLog,
        );
        is(
            r#"{"event":{"Start":"Read"},"client_id":0,"op_id":0}"#,
            Format::S2,
        );
        is("# @object stack\n\n  [12] call push(1)", Format::Calls);
        is("[1] call pop", Format::Calls);
    }

    #[test]
    fn a_mark_of_utf8_is_left_out_and_other_encodings_are_named() {
        assert_eq!(guess(b"\xef\xbb\xbf[1] call pop"), Ok(Format::Calls));
        assert_eq!(guess(b"\xef\xbb\xbf"), Err(NoGuess::Empty));
        for (head, foreign) in [
            (b"\x1f\x8b\x08", Foreign::Gzip),
            (b"\xff\xfe[", Foreign::Utf16),
            (b"\xfe\xff\0", Foreign::Utf16),
        ] {
            assert_eq!(guess(head), Err(NoGuess::Foreign(foreign)));
        }
    }

    #[test]
    fn what_fits_nothing_is_not_guessed() {
        for text in ["", " \n\n"] {
            assert_eq!(guess(text.as_bytes()), Err(NoGuess::Empty));
        }
        for text in [
            "hello",
            "{}",
            "{\"a\":1}",
            "{:a 1}",
            "[1 2]",
            "# [1]",
            "[",
            "{\"",
            "\"x\"",
            "#{1}",
        ] {
            assert_eq!(guess(text.as_bytes()), Err(NoGuess::Unknown), "{text}");
        }
        let message = NoGuess::Unknown.to_string();
        for format in Format::ALL {
            assert!(message.contains(format.name()), "{message}");
        }
    }

    #[test]
    fn the_head_is_read_again() {
        let text = "x".repeat(HEAD_BYTES + 5);
        let (head, mut all) = split_head(text.as_bytes()).expect("memory can be read");
        assert_eq!(head.len(), HEAD_BYTES);
        let mut back = String::new();
        all.read_to_string(&mut back).expect("memory can be read");
        assert_eq!(back, text);
    }
}
