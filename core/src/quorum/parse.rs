//! Reading expressions and quorum systems from text.
//!
//! ```text
//! system   = expr                                  the write side; the seal side is its dual
//!          | "write" ":" expr                      the same
//!          | "seal" ":" expr                       the seal side; the write side is its dual
//!          | "write" ":" expr ";" "seal" ":" expr  both, in either order
//! expr     = term { "+" term }                     any of them
//! term     = factor { "*" factor }                 all of them
//! factor   = NAME
//!          | "(" expr ")"
//!          | "choose" "(" COUNT "," list ")"       so many of them
//!          | "majority" "(" ( COUNT | list ) ")"   more than half of the first so many nodes, of these
//!          | "grid" "(" COUNT "x" COUNT [ "," list ] ")"
//!                                                  a full row and a full column; without a list, of the
//!                                                  first nodes
//!          | "weighted" "(" expr ":" COUNT { "," expr ":" COUNT } ";" COUNT ")"
//!                                                  expressions and their weights; the weight needed
//!          | "nodeset" "(" ( COUNT | place { "," place } ) { "," property } ")"
//!                                                  copies on the first so many nodes, on these
//! list     = expr { "," expr } | "[" expr { "," expr } "]"
//! place    = NAME [ "@" [ REGION "." ] RACK ]      a node and where it stands
//! property = "copies" "=" COUNT
//!          | ( "rack" | "region" ) "=" COUNT [ "of" COUNT ]
//!                                                  over so many racks or regions; "of": the nodes are
//!                                                  dealt over that many in turn
//! ```
//!
//! Names begin with a letter and go on with letters, digits and `_`; what they mean is for [`Names`] to
//! say. White space separates and is otherwise ignored.

use std::collections::BTreeMap;
use std::fmt;

use super::expr::{Expr, ExprError, TERMS_MAX};
use super::names::Names;
use super::replication::{Location, Nodeset, Replication};
use super::{QuorumError, QuorumSystem};
use crate::ids::NodeId;

/// The longest text of a quorum system, in bytes.
pub const TEXT_BYTES_MAX: usize = 1 << 16;
/// How deep brackets nest at most. More than expressions do: brackets may be idle.
pub const BRACKETS_MAX: usize = 64;

/// Why a text is no quorum system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: found {found}, expected {expected}")]
pub struct ParseError {
    /// Where.
    pub place: Place,
    /// What stands there.
    pub found: String,
    /// What may stand there instead, or what to do.
    pub expected: String,
}

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column, in characters from 1.
    pub column: usize,
}

/// `column 3`, or `line 2, column 3`.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 1 {
            write!(f, "line {}, ", self.line)?;
        }
        write!(f, "column {}", self.column)
    }
}

/// Why a text gives no quorum system.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SystemError {
    /// It cannot be read.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It can be read, and is not one.
    #[error(transparent)]
    Quorum(#[from] QuorumError),
}

impl Expr {
    /// Reads an expression: see [`QuorumSystem::parse`] for the syntax.
    ///
    /// # Errors
    /// Where it cannot be read, what was found there and what was expected.
    pub fn parse(text: &str, names: &mut Names) -> Result<Self, ParseError> {
        let mut parser = Parser::new(text, names)?;
        let expr = parser.expr()?;
        parser.end("`+`, `*`")?;
        Ok(expr)
    }
}

impl QuorumSystem {
    /// Reads a quorum system.
    ///
    /// An expression alone is the write side, and the seal side is its dual; `seal: ...` gives the seal
    /// side; `write: ...; seal: ...` both. `+` is "or", `*` is "and". There are also
    /// `choose(2, a, b, c)`, `majority(a, b, c)` or `majority(3)`, `grid(2 x 3)` (a full row and a full
    /// column of the first six nodes, or of those listed: `grid(2 x 2, a, b, c, d)`),
    /// `weighted(a:2, b:1; 2)` (a total weight of at least 2) and `nodeset(9, copies=3, rack=2 of 3)` (3
    /// copies on 2 racks, 9 nodes in 3 racks), `nodeset(n0@1, n1@1, n2@2, copies=2, rack=2)` (nodes and
    /// their racks).
    ///
    /// ```
    /// use hstore_core::quorum::{Names, QuorumSystem};
    ///
    /// let pairs = QuorumSystem::parse("a*b + c*d", &mut Names::open()).expect("a system");
    /// assert_eq!(pairs.to_string(), "n0 * n1 + n2 * n3");
    /// let error = QuorumSystem::parse("a*b + ", &mut Names::open()).expect_err("no system");
    /// assert_eq!(
    ///     error.to_string(),
    ///     "column 7: found the end, expected a node, `(`, `choose`, `majority`, `grid`, `weighted` or `nodeset`"
    /// );
    /// ```
    ///
    /// # Errors
    /// Where the text cannot be read, what was found there and what was expected; or why its two sides
    /// are no quorum system.
    pub fn parse(text: &str, names: &mut Names) -> Result<Self, SystemError> {
        let mut parser = Parser::new(text, names)?;
        let (mut write, mut seal) = (None, None);
        match parser.side() {
            None => {
                write = Some(parser.expr()?);
                parser.end("`+`, `*`")?;
            }
            Some(mut next) => loop {
                let side = if next == Side::Write {
                    &mut write
                } else {
                    &mut seal
                };
                if side.is_some() {
                    let expected = "the other side: this one was given before";
                    return Err(parser.wrong(expected).into());
                }
                parser.skip(2);
                *side = Some(parser.expr()?);
                if !parser.takes(";") {
                    parser.end("`+`, `*`, `;`")?;
                    break;
                }
                next = match parser.side() {
                    Some(side) => side,
                    None => return Err(parser.wrong("`write:` or `seal:`").into()),
                };
            },
        }
        Ok(match (write, seal) {
            (Some(write), Some(seal)) => Self::of_both(write, seal)?,
            (Some(write), None) => Self::of_write(write),
            (None, Some(seal)) => Self::of_seal(seal),
            (None, None) => unreachable!("a side was read"),
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Write,
    Seal,
}

const FACTOR: &str = "a node, `(`, `choose`, `majority`, `grid`, `weighted` or `nodeset`";

/// A word, a number, or another character.
#[derive(Clone, Copy)]
struct Token<'a> {
    text: &'a str,
    place: Place,
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    end: Place,
    brackets: usize,
    names: &'a mut Names,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, names: &'a mut Names) -> Result<Self, ParseError> {
        let mut place = Place { line: 1, column: 1 };
        if text.len() > TEXT_BYTES_MAX {
            return Err(ParseError {
                place,
                found: format!("{} bytes", text.len()),
                expected: format!("at most {TEXT_BYTES_MAX}"),
            });
        }
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let is_word = |c: char| c.is_alphanumeric() || c == '_';
            let len = if first.is_ascii_digit() {
                // A number ends with its digits: `3x3` is three tokens.
                rest.find(|c: char| !c.is_ascii_digit())
            } else if is_word(first) {
                rest.find(|c| !is_word(c))
            } else {
                Some(first.len_utf8())
            };
            let (token, after) = rest.split_at(len.unwrap_or(rest.len()));
            if !first.is_whitespace() {
                tokens.push(Token { text: token, place });
            }
            place.column += token.chars().count();
            if first == '\n' {
                place = Place {
                    line: place.line + 1,
                    column: 1,
                };
            }
            rest = after;
        }
        Ok(Self {
            tokens,
            at: 0,
            end: place,
            brackets: 0,
            names,
        })
    }

    fn peek(&self, ahead: usize) -> &'a str {
        self.tokens.get(self.at + ahead).map_or("", |it| it.text)
    }

    fn skip(&mut self, count: usize) {
        self.at += count;
    }

    fn takes(&mut self, text: &str) -> bool {
        let found = self.peek(0) == text;
        self.at += usize::from(found);
        found
    }

    fn needs(&mut self, text: &str, expected: &str) -> Result<(), ParseError> {
        if self.takes(text) {
            Ok(())
        } else {
            Err(self.wrong(expected))
        }
    }

    fn end(&self, or: &str) -> Result<(), ParseError> {
        if self.at < self.tokens.len() {
            return Err(self.wrong(&format!("{or} or the end")));
        }
        Ok(())
    }

    /// The next token is wrong.
    fn wrong(&self, expected: &str) -> ParseError {
        self.wrong_at(self.at, expected)
    }

    fn wrong_at(&self, at: usize, expected: &str) -> ParseError {
        let (place, found) = match self.tokens.get(at) {
            Some(token) => (token.place, quoted(token.text)),
            None => (self.end, "the end".to_owned()),
        };
        ParseError {
            place,
            found,
            expected: expected.to_owned(),
        }
    }

    /// What stands from token `at` on up to here is no expression.
    fn misfit(&self, at: usize, error: &ExprError) -> ParseError {
        ParseError {
            place: self.tokens.get(at).map_or(self.end, |it| it.place),
            found: quoted(self.tokens.get(at).map_or("", |it| it.text)),
            expected: format!("something that can be: {error}"),
        }
    }

    /// The keyword of a side, if it is next.
    fn side(&self) -> Option<Side> {
        match (self.peek(0), self.peek(1)) {
            ("write", ":") => Some(Side::Write),
            ("seal", ":") => Some(Side::Seal),
            _ => None,
        }
    }

    fn expr(&mut self) -> Result<Expr, ParseError> {
        if self.brackets == BRACKETS_MAX {
            let expected = format!("brackets that nest no deeper than {BRACKETS_MAX}");
            return Err(self.wrong(&expected));
        }
        self.brackets += 1;
        let start = self.at;
        let mut terms = vec![self.term()?];
        while self.takes("+") {
            terms.push(self.term()?);
        }
        self.brackets -= 1;
        self.joined(start, terms, Expr::any)
    }

    fn term(&mut self) -> Result<Expr, ParseError> {
        let start = self.at;
        let mut factors = vec![self.factor()?];
        while self.takes("*") {
            factors.push(self.factor()?);
        }
        self.joined(start, factors, Expr::all)
    }

    fn joined(
        &self,
        start: usize,
        mut operands: Vec<Expr>,
        join: impl Fn(Vec<Expr>) -> Result<Expr, ExprError>,
    ) -> Result<Expr, ParseError> {
        if operands.len() == 1 {
            return Ok(operands.remove(0));
        }
        join(operands).map_err(|error| self.misfit(start, &error))
    }

    fn factor(&mut self) -> Result<Expr, ParseError> {
        let start = self.at;
        if self.takes("(") {
            let expr = self.expr()?;
            self.needs(")", "`+`, `*` or `)`")?;
            return Ok(expr);
        }
        if self.peek(1) != "(" {
            let node = self.node(FACTOR)?;
            return Expr::node(node).map_err(|error| self.misfit(start, &error));
        }
        let read = match self.peek(0) {
            "choose" => Self::choose,
            "majority" => Self::majority,
            "grid" => Self::grid,
            "weighted" => Self::weighted,
            "nodeset" => Self::nodeset,
            _ => return Err(self.wrong(FACTOR)),
        };
        self.skip(2);
        let expr = read(self)?;
        self.needs(")", "`,` or `)`")?;
        expr.map_err(|error| self.misfit(start, &error))
    }

    fn node(&mut self, expected: &str) -> Result<NodeId, ParseError> {
        let name = self.peek(0);
        let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
        if !is_name {
            return Err(self.wrong(expected));
        }
        let node = self.names.resolve(name);
        let node = node.map_err(|expected| self.wrong(&expected))?;
        self.at += 1;
        Ok(node)
    }

    /// Whether a count is next.
    fn is_count(&self) -> bool {
        self.peek(0).starts_with(|c: char| c.is_ascii_digit())
    }

    fn count(&mut self, what: &str) -> Result<u64, ParseError> {
        if !self.is_count() {
            return Err(self.wrong(what));
        }
        let count = self.peek(0).parse();
        let count = count.map_err(|_| self.wrong("a smaller number"))?;
        self.at += 1;
        Ok(count)
    }

    /// A count that is small: of nodes, racks, copies.
    fn small(&mut self, what: &str, most: usize) -> Result<usize, ParseError> {
        let at = self.at;
        let count = self.count(what)?;
        match usize::try_from(count) {
            Ok(count) if (1..=most).contains(&count) => Ok(count),
            _ => Err(self.wrong_at(at, &format!("a number from 1 to {most}"))),
        }
    }

    fn list(&mut self) -> Result<Vec<Expr>, ParseError> {
        let in_brackets = self.takes("[");
        let mut list = vec![self.expr()?];
        while self.takes(",") {
            list.push(self.expr()?);
        }
        if in_brackets {
            self.needs("]", "`+`, `*`, `,` or `]`")?;
        }
        Ok(list)
    }

    /// The first so many nodes.
    fn first(&mut self, at: usize, count: u64) -> Result<Vec<NodeId>, ParseError> {
        let nodes = self.names.first(count);
        nodes.map_err(|expected| self.wrong_at(at, &expected))
    }

    fn choose(&mut self) -> Result<Result<Expr, ExprError>, ParseError> {
        let needed = self.count("a count: how many are needed")?;
        self.needs(",", "`,` and what to choose from")?;
        let list = self.list()?;
        Ok(Expr::choose(needed, list))
    }

    fn majority(&mut self) -> Result<Result<Expr, ExprError>, ParseError> {
        if !self.is_count() {
            return Ok(Expr::majority(self.list()?));
        }
        let at = self.at;
        let count = self.small("a count", TERMS_MAX)?;
        let nodes = self.first(at, count as u64)?;
        Ok(each(&nodes).and_then(Expr::majority))
    }

    fn grid(&mut self) -> Result<Result<Expr, ExprError>, ParseError> {
        let at = self.at;
        let rows = self.small("a count of rows", TERMS_MAX)?;
        let columns = match self.peek(0) {
            "x" => {
                self.at += 1;
                self.small("a count of columns", TERMS_MAX)?
            }
            // `3x3`.
            word => {
                let digits = word.strip_prefix('x').and_then(|it| it.parse().ok());
                let columns = digits.filter(|it| (1..=TERMS_MAX).contains(it));
                let columns = columns.ok_or_else(|| self.wrong("`x` and a count of columns"))?;
                self.at += 1;
                columns
            }
        };
        let cells = if self.takes(",") {
            self.list()?
        } else {
            let nodes = self.first(at, (rows * columns) as u64)?;
            match each(&nodes) {
                Ok(cells) => cells,
                Err(error) => return Ok(Err(error)),
            }
        };
        Ok(Expr::grid(rows as u16, columns as u16, cells))
    }

    fn weighted(&mut self) -> Result<Result<Expr, ExprError>, ParseError> {
        let mut operands = Vec::new();
        loop {
            let operand = self.expr()?;
            self.needs(":", "`+`, `*` or `:` and a weight")?;
            let at = self.at;
            let weight = self.count("a weight")?;
            let weight = u32::try_from(weight);
            operands.push((
                operand,
                weight.map_err(|_| self.wrong_at(at, "a smaller number"))?,
            ));
            if self.takes(";") {
                break;
            }
            self.needs(",", "`,` or `;` and the weight that is needed")?;
        }
        let threshold = self.count("the weight that is needed")?;
        Ok(Expr::weighted(operands, threshold))
    }

    fn nodeset(&mut self) -> Result<Result<Expr, ExprError>, ParseError> {
        let start = self.at;
        let places = self.places()?;
        let mut wanted = Wanted::default();
        while self.takes(",") {
            self.property(&mut wanted)?;
        }
        let copies = wanted
            .copies
            .ok_or_else(|| self.wrong("`, copies=` and a count"))?;
        let locations: BTreeMap<NodeId, Location> = places
            .iter()
            .enumerate()
            .map(|(index, (node, at))| {
                let dealt = |wanted: Option<(u8, Option<u8>)>, otherwise: u16| match wanted {
                    Some((_, Some(of))) => index as u16 % u16::from(of),
                    _ => otherwise,
                };
                let rack = dealt(wanted.racks, at.rack);
                let region = dealt(wanted.regions, at.region);
                (*node, Location { region, rack })
            })
            .collect();
        if locations.len() < places.len() {
            return Err(self.wrong_at(start, "each node once"));
        }
        let replication = Replication {
            copies,
            racks: wanted.racks.map_or(1, |it| it.0),
            regions: wanted.regions.map_or(1, |it| it.0),
        };
        let nodeset = Nodeset::new(locations, replication);
        let nodeset = nodeset.map_err(|error| ParseError {
            expected: format!("something that can be: {error}"),
            ..self.wrong_at(start - 2, "")
        })?;
        Ok(Expr::nodeset(nodeset))
    }

    /// The nodes of a nodeset and where they stand.
    fn places(&mut self) -> Result<Vec<(NodeId, Location)>, ParseError> {
        if self.is_count() {
            let at = self.at;
            let count = self.small("a count of nodes", TERMS_MAX)?;
            let nodes = self.first(at, count as u64)?;
            let place = |node| (node, self.names.location(node));
            return Ok(nodes.into_iter().map(place).collect());
        }
        let mut places = Vec::new();
        loop {
            let node = self.node("a count of nodes, or a node")?;
            let mut location = self.names.location(node);
            if self.takes("@") {
                location = Location::default();
                location.rack = self.domain()?;
                if self.takes(".") {
                    location.region = location.rack;
                    location.rack = self.domain()?;
                }
            }
            places.push((node, location));
            if self.peek(0) != "," || self.peek(2) == "=" {
                return Ok(places);
            }
            self.at += 1;
        }
    }

    fn domain(&mut self) -> Result<u16, ParseError> {
        let at = self.at;
        let number = self.count("the number of a rack, or of a region, `.` and a rack")?;
        let most = u16::MAX;
        u16::try_from(number).map_err(|_| self.wrong_at(at, &format!("a number from 0 to {most}")))
    }

    fn property(&mut self, wanted: &mut Wanted) -> Result<(), ParseError> {
        const PROPERTY: &str = "`copies=`, `rack=` or `region=` and a count";
        let at = self.at;
        let name = self.peek(0);
        if !matches!(name, "copies" | "rack" | "region") {
            return Err(self.wrong(PROPERTY));
        }
        self.at += 1;
        self.needs("=", "`=` and a count")?;
        let most = usize::from(u8::MAX);
        let count = self.small("a count", most)? as u8;
        if name == "copies" {
            if wanted.copies.replace(count).is_some() {
                return Err(self.wrong_at(at, "each property once"));
            }
            return Ok(());
        }
        let of = if self.takes("of") {
            Some(self.small("the number of domains there are", most)? as u8)
        } else {
            None
        };
        let property = if name == "rack" {
            &mut wanted.racks
        } else {
            &mut wanted.regions
        };
        if property.replace((count, of)).is_some() {
            return Err(self.wrong_at(at, "each property once"));
        }
        Ok(())
    }
}

/// The properties of a nodeset, as far as they were read; domains needed, and over how many the nodes
/// are dealt.
#[derive(Default)]
struct Wanted {
    copies: Option<u8>,
    racks: Option<(u8, Option<u8>)>,
    regions: Option<(u8, Option<u8>)>,
}

fn each(nodes: &[NodeId]) -> Result<Vec<Expr>, ExprError> {
    nodes.iter().map(|&node| Expr::node(node)).collect()
}

/// A token in a message. Long ones are cut.
fn quoted(text: &str) -> String {
    const CHARACTERS_MAX: usize = 24;
    let mut short: String = text
        .chars()
        .take(CHARACTERS_MAX)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().count() > CHARACTERS_MAX {
        short.push_str("...");
    }
    format!("`{short}`")
}
