//! Cuts a stream of EDN or JSON into the values of which it is made, without understanding them.
//!
//! The values are the elements of one vector, list or array, or they follow one another. Only one is
//! ever in memory. What a value is, is for the parsers to say: here brackets are counted, not matched,
//! and strings, comments and characters are known only so that no bracket in them counts.

use std::io::{self, BufRead};

use super::error::{Place, ReadError, ReadErrorReason};

/// A longer value is refused, so that a damaged file cannot exhaust memory.
pub const MAX_VALUE_BYTES: usize = 64 << 20;

/// A value that is nested deeper is refused, so that a damaged file cannot exhaust the stack.
pub const MAX_DEPTH: usize = 100;

/// What the text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// With comments, discarded values, tags, characters and lists; commas are blanks.
    Edn,
    /// With commas.
    Json,
}

/// The values of an input.
#[derive(Debug)]
pub(super) struct Forms<R> {
    input: R,
    dialect: Dialect,
    outside: Outside,
    /// The place of the next byte.
    here: Place,
    /// The value that was cut out last.
    text: Vec<u8>,
    /// Where it begins.
    start: Place,
}

/// Where the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outside {
    /// Nothing was seen yet.
    Unknown,
    /// One after another.
    Bare,
    /// In brackets, of which this is the last; and what is between the values.
    Within(u8, Comma),
    /// The brackets were closed.
    Closed,
}

/// Where JSON wants a comma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comma {
    /// No value was seen yet.
    First,
    /// A value was seen, and no comma after it.
    Wanted,
    /// A comma was seen, and no value after it.
    Seen,
}

/// A value cut out of the input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Form<'f> {
    /// Its text.
    pub(super) text: &'f [u8],
    /// Where it begins.
    pub(super) start: Place,
}

impl Form<'_> {
    /// Its text as such, if it is UTF-8.
    pub(super) fn utf8(&self) -> Result<&str, ReadError> {
        std::str::from_utf8(self.text).map_err(|error| {
            let place = self.start.within(self.text, error.valid_up_to());
            place.syntax("the text is not UTF-8")
        })
    }
}

/// What a byte of a value is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Blanks before a value, or between a tag and what it is on.
    Blank,
    /// A number, name, keyword or character that is in no brackets.
    Token,
    /// A tag that is in no brackets.
    Tag,
    /// `#` was seen.
    Hash,
    /// Something in brackets.
    Brackets,
    /// A string.
    Text,
    /// The character after a backslash in a string.
    Escape,
    /// A comment.
    Comment,
    /// The character after a backslash outside of strings.
    Character,
}

impl<R: BufRead> Forms<R> {
    pub(super) fn new(input: R, dialect: Dialect) -> Self {
        Self {
            input,
            dialect,
            outside: Outside::Unknown,
            here: Place::START,
            text: Vec::new(),
            start: Place::START,
        }
    }

    /// Takes a vector or a list at the beginning for a value like others.
    pub(super) fn is_bare(&mut self) {
        self.outside = Outside::Bare;
    }

    /// The next value, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Form<'_>>, ReadError> {
        // In EDN, `#_` discards the value that follows; each of several in a row discards one.
        let mut discards = 0_usize;
        loop {
            if !self.blanks()? {
                if discards > 0 {
                    return Err(self.here.syntax("`#_` discards nothing: no value follows"));
                }
                return Ok(None);
            }
            match (self.cut()?, discards) {
                (Cut::Discard, _) => discards += 1,
                (Cut::Value, 0) => break,
                (Cut::Value, _) => discards -= 1,
            }
        }
        if let Outside::Within(close, _) = self.outside {
            self.outside = Outside::Within(close, Comma::Wanted);
        }
        Ok(Some(Form {
            text: &self.text,
            start: self.start,
        }))
    }

    /// The next byte, which stays there.
    fn peek(&mut self) -> Result<Option<u8>, ReadError> {
        let here = self.here;
        Ok(fill(&mut self.input)
            .map_err(|error| here.error(error))?
            .first()
            .copied())
    }

    /// Steps over the byte that was peeked.
    fn step(&mut self, byte: u8) {
        self.input.consume(1);
        self.here = past(self.here, byte);
    }

    /// Goes on to the beginning of a value; returns whether there is one.
    fn blanks(&mut self) -> Result<bool, ReadError> {
        let is_edn = self.dialect == Dialect::Edn;
        let mut is_comment = false;
        loop {
            let Some(byte) = self.peek()? else {
                return match self.outside {
                    Outside::Within(close, _) => {
                        let close = char::from(close);
                        Err(self.here.syntax(format!("the input ends before `{close}`")))
                    }
                    _ => Ok(false),
                };
            };
            let place = self.here;
            match (byte, self.outside) {
                (b'\n', _) => is_comment = false,
                _ if is_comment => {}
                (b' ' | b'\t' | b'\r' | b'\x0c', _) => {}
                (b';', _) if is_edn => is_comment = true,
                (b',', _) if is_edn => {}
                (b',', Outside::Within(close, Comma::Wanted)) => {
                    self.outside = Outside::Within(close, Comma::Seen);
                }
                (_, Outside::Closed) => {
                    return Err(place.syntax("something follows the end of the history"));
                }
                (b'[', Outside::Unknown) => self.outside = Outside::Within(b']', Comma::First),
                (b'(', Outside::Unknown) if is_edn => {
                    self.outside = Outside::Within(b')', Comma::First);
                }
                (_, Outside::Within(close, comma)) if byte == close => {
                    if !is_edn && comma == Comma::Seen {
                        return Err(place.syntax("no value follows the comma"));
                    }
                    self.outside = Outside::Closed;
                }
                (b']' | b'}' | b')', _) => {
                    let close = char::from(byte);
                    return Err(place.syntax(format!("nothing is open that `{close}` could close")));
                }
                (_, Outside::Within(_, Comma::Wanted)) if !is_edn => {
                    return Err(place.syntax("a comma must be here"));
                }
                (_, outside) => {
                    if outside == Outside::Unknown {
                        self.outside = Outside::Bare;
                    }
                    return Ok(true);
                }
            }
            self.step(byte);
        }
    }

    /// Takes a value, which begins here, into `text`.
    fn cut(&mut self) -> Result<Cut, ReadError> {
        self.text.clear();
        self.start = self.here;
        let classes = self.dialect.classes();
        let class = |byte: u8| classes[usize::from(byte)];
        let (mut part, mut depth) = (Part::Blank, 0_usize);
        loop {
            let buffer = fill(&mut self.input).map_err(|error| self.here.error(error))?;
            if buffer.is_empty() {
                if part == Part::Token {
                    return Ok(Cut::Value);
                }
                return Err(self.start.syntax("the input ends within this value"));
            }
            let mut taken = 0;
            let mut end = None;
            while end.is_none()
                && let Some(&byte) = buffer.get(taken)
            {
                let is_inside = depth > 0;
                match (part, class(byte)) {
                    // Most of a history is plain text in brackets or strings, so that goes fast.
                    (Part::Brackets, Class::Plain | Class::Blank | Class::Hash) => {
                        let plain = |&byte: &u8| {
                            matches!(class(byte), Class::Plain | Class::Blank | Class::Hash)
                        };
                        taken += buffer[taken..]
                            .iter()
                            .take_while(|byte| plain(byte))
                            .count();
                        continue;
                    }
                    (Part::Text, _) if byte != b'"' && byte != b'\\' => {
                        let rest = buffer[taken..].iter();
                        taken += rest
                            .take_while(|&&byte| byte != b'"' && byte != b'\\')
                            .count();
                        continue;
                    }
                    (Part::Text, _) if byte == b'\\' => part = Part::Escape,
                    (Part::Text, _) if is_inside => part = Part::Brackets,
                    (Part::Text, _) => end = Some(Cut::Value),
                    (Part::Escape, _) => part = Part::Text,
                    (Part::Comment, _) if byte != b'\n' => {}
                    (Part::Comment, _) if is_inside => part = Part::Brackets,
                    (Part::Comment, _) => part = Part::Blank,
                    (Part::Character, _) if is_inside => part = Part::Brackets,
                    (Part::Character, _) => part = Part::Token,
                    (Part::Hash, _) if byte == b'_' => end = Some(Cut::Discard),
                    (Part::Token, Class::Plain | Class::Hash | Class::Backslash) => {}
                    (Part::Token, _) => {
                        // What bounds it is not a part of it.
                        end = Some(Cut::Value);
                        continue;
                    }
                    (Part::Tag, Class::Plain | Class::Hash | Class::Backslash) => {}
                    (_, Class::Open) => {
                        depth += 1;
                        if depth > MAX_DEPTH {
                            let place = self.here.within(buffer, taken);
                            return Err(place.error(ReadErrorReason::TooDeep));
                        }
                        part = Part::Brackets;
                    }
                    (_, Class::Close) => {
                        // A value does not begin so: this is behind a tag.
                        let Some(left) = depth.checked_sub(1) else {
                            let place = self.here.within(buffer, taken);
                            return Err(place.syntax("a tag is on no value"));
                        };
                        depth = left;
                        if depth == 0 {
                            end = Some(Cut::Value);
                        }
                    }
                    (_, Class::Quote) => part = Part::Text,
                    (_, Class::Semicolon) => part = Part::Comment,
                    (_, Class::Backslash) => part = Part::Character,
                    (_, Class::Blank) => part = Part::Blank,
                    (Part::Blank, Class::Hash) => part = Part::Hash,
                    (Part::Hash, Class::Plain | Class::Hash) => part = Part::Tag,
                    (Part::Blank, Class::Plain) => part = Part::Token,
                }
                taken += 1;
            }
            self.text.extend_from_slice(&buffer[..taken]);
            self.here = self.here.within(buffer, taken);
            self.input.consume(taken);
            if self.text.len() > MAX_VALUE_BYTES {
                return Err(self.start.error(ReadErrorReason::TooLong));
            }
            if let Some(end) = end {
                return Ok(end);
            }
        }
    }
}

/// What a byte can do to what is around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Nothing.
    Plain,
    /// It is between things.
    Blank,
    /// It opens a bracket.
    Open,
    /// It closes a bracket.
    Close,
    /// It begins a string.
    Quote,
    /// It begins a comment.
    Semicolon,
    /// It begins a character.
    Backslash,
    /// It begins a tag, a set or a discarded value.
    Hash,
}

impl Dialect {
    fn classes(self) -> &'static [Class; 256] {
        const EDN: [Class; 256] = classes(true);
        const JSON: [Class; 256] = classes(false);
        match self {
            Self::Edn => &EDN,
            Self::Json => &JSON,
        }
    }
}

const fn classes(is_edn: bool) -> [Class; 256] {
    let mut classes = [Class::Plain; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b' ' | b'\t' | b'\r' | b'\n' | b'\x0c' | b',' => Class::Blank,
            b'[' | b'{' => Class::Open,
            b']' | b'}' => Class::Close,
            b'"' => Class::Quote,
            b'(' if is_edn => Class::Open,
            b')' if is_edn => Class::Close,
            b';' if is_edn => Class::Semicolon,
            b'\\' if is_edn => Class::Backslash,
            b'#' if is_edn => Class::Hash,
            _ => Class::Plain,
        };
        byte += 1;
    }
    classes
}

/// What was cut out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// A value.
    Value,
    /// `#_`.
    Discard,
}

fn past(place: Place, byte: u8) -> Place {
    match byte {
        b'\n' => Place {
            line: place.line + 1,
            column: 1,
        },
        _ => Place {
            line: place.line,
            column: place.column + 1,
        },
    }
}

/// What is there to read, empty only at the end.
fn fill(input: &mut impl BufRead) -> io::Result<&[u8]> {
    while let Err(error) = input.fill_buf() {
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    input.fill_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str, dialect: Dialect) -> Result<Vec<(String, u64, usize)>, String> {
        let mut forms = Forms::new(text.as_bytes(), dialect);
        let mut all = Vec::new();
        while let Some(form) = forms.next().map_err(|error| error.to_string())? {
            let text = String::from_utf8(form.text.to_vec()).expect("the tests are UTF-8");
            all.push((text, form.start.line, form.start.column));
        }
        Ok(all)
    }

    fn texts(text: &str, dialect: Dialect) -> Vec<String> {
        let all = cut(text, dialect).expect("the text is whole");
        all.into_iter().map(|(text, ..)| text).collect()
    }

    #[test]
    fn the_elements_of_a_vector_are_found() {
        let text = "; first\n[{:a \"]\\\"\"} ; a comment ]\n  {:b \\]} #{1} #t {:c 1}, nil]\n;end";
        assert_eq!(
            cut(text, Dialect::Edn).expect("whole"),
            [
                ("{:a \"]\\\"\"}".to_owned(), 2, 2),
                ("{:b \\]}".to_owned(), 3, 3),
                ("#{1}".to_owned(), 3, 11),
                ("#t {:c 1}".to_owned(), 3, 16),
                ("nil".to_owned(), 3, 27),
            ]
        );
        assert_eq!(texts("({} {})", Dialect::Edn), ["{}", "{}"]);
        assert_eq!(texts("[]", Dialect::Edn), [""; 0]);
        assert_eq!(texts("[{},\n {}]\n", Dialect::Json), ["{}", "{}"]);
    }

    #[test]
    fn values_follow_one_another() {
        assert_eq!(
            texts("{}\n{1 2}#t{}\"x\" y", Dialect::Edn),
            ["{}", "{1 2}", "#t{}", "\"x\"", "y"]
        );
        assert_eq!(
            texts("{}\n{\"a\":[{}]}", Dialect::Json),
            ["{}", "{\"a\":[{}]}"]
        );
        assert_eq!(texts(" \n", Dialect::Edn), [""; 0]);
    }

    #[test]
    fn discarded_values_are_not_there() {
        assert_eq!(
            texts("#_{} {1 2} #_ #_ a {} b", Dialect::Edn),
            ["{1 2}", "b"]
        );
        assert_eq!(texts("[#_{} {1 2} #_x]", Dialect::Edn), ["{1 2}"]);
    }

    #[test]
    fn damage_has_a_place() {
        let edn = |text| cut(text, Dialect::Edn).expect_err("damaged");
        let json = |text| cut(text, Dialect::Json).expect_err("damaged");
        assert_eq!(
            edn("[{}\n {:a [1}"),
            "line 2, column 2: the input ends within this value"
        );
        assert_eq!(edn("[{}"), "line 1, column 4: the input ends before `]`");
        assert_eq!(
            edn("[{}]\n{}"),
            "line 2, column 1: something follows the end of the history"
        );
        assert_eq!(
            edn("{} }"),
            "line 1, column 4: nothing is open that `}` could close"
        );
        assert_eq!(edn("[#t]"), "line 1, column 4: a tag is on no value");
        assert_eq!(
            edn("{} #_"),
            "line 1, column 6: `#_` discards nothing: no value follows"
        );
        assert_eq!(json("[{} {}]"), "line 1, column 5: a comma must be here");
        assert_eq!(
            json("[{},]"),
            "line 1, column 5: no value follows the comma"
        );
    }

    #[test]
    fn a_bomb_of_brackets_is_refused() {
        let error = cut(&"[".repeat(1 << 20), Dialect::Edn).expect_err("too deep");
        assert_eq!(
            error,
            "line 1, column 102: values are nested more than 100 deep"
        );
    }
}
