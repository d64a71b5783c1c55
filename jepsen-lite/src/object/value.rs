//! Values as operations carry them: what EDN and JSON can say, in one type.

use std::fmt;

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;
use std::hash::BuildHasher;

/// A value. Equality is that of EDN: `1` is not `1.0`, a keyword is not a string. Sets and maps are kept
/// sorted, so that equal ones are equal here.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Value {
    /// No value.
    #[default]
    Nil,
    /// A truth value.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A number with a fraction, by its bits.
    Float(FloatBits),
    /// A string.
    Text(Box<str>),
    /// A keyword of EDN, without its colon. JSON has none: there it is a string.
    Keyword(Box<str>),
    /// A symbol of EDN.
    Symbol(Box<str>),
    /// A vector or a list.
    List(Box<[Value]>),
    /// A set, sorted and without repetitions: see [`Value::set`].
    Set(Box<[Value]>),
    /// A map, sorted by its keys, which are all distinct: see [`Value::map`].
    Map(Box<[(Value, Value)]>),
    /// A value under a tag of EDN.
    Tagged(Box<str>, Box<Value>),
}

/// A floating-point number by its bits, so that it is equal to itself and has a place in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FloatBits(u64);

impl FloatBits {
    /// The number.
    #[must_use]
    pub fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

impl From<f64> for FloatBits {
    fn from(number: f64) -> Self {
        Self(number.to_bits())
    }
}

impl Value {
    /// A string.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    /// A keyword, given without its colon.
    #[must_use]
    pub fn keyword(name: &str) -> Self {
        Self::Keyword(name.into())
    }

    /// A list of these.
    pub fn list(values: impl IntoIterator<Item = Self>) -> Self {
        Self::List(values.into_iter().collect())
    }

    /// A set of these; what comes twice is in it once.
    pub fn set(values: impl IntoIterator<Item = Self>) -> Self {
        let mut values: Vec<Self> = values.into_iter().collect();
        values.sort_unstable();
        values.dedup();
        Self::Set(values.into())
    }

    /// A map of these. Of entries with one key, the last stays.
    pub fn map(entries: impl IntoIterator<Item = (Self, Self)>) -> Self {
        let mut entries: Vec<(Self, Self)> = entries.into_iter().collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        entries.reverse();
        entries.dedup_by(|earlier, later| earlier.0 == later.0);
        entries.reverse();
        Self::Map(entries.into())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_nil(&self) -> bool {
        *self == Self::Nil
    }

    /// The integer, if it is one.
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(*number),
            _ => None,
        }
    }

    /// The characters of a string, a keyword or a symbol.
    #[must_use]
    pub fn as_name(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Keyword(text) | Self::Symbol(text) => Some(text),
            _ => None,
        }
    }

    /// What is in a list or a set.
    #[must_use]
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::List(items) | Self::Set(items) => Some(items),
            _ => None,
        }
    }

    /// The value under a key of a map; a key that is a string is also found as a keyword, and the other
    /// way round.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let found = entries.iter().find(|(key, _)| key.as_name() == Some(name));
        found.map(|(_, value)| value)
    }
}

/// As EDN: `nil`, `1`, `"x"`, `:x`, `[1 2]`, `#{1 2}`, `{:x 1, :y 2}`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nil => f.write_str("nil"),
            Self::Bool(is) => write!(f, "{is}"),
            Self::Int(number) => write!(f, "{number}"),
            Self::Float(number) => write_float(f, number.get()),
            Self::Text(text) => write_text(f, text),
            Self::Keyword(name) => write!(f, ":{name}"),
            Self::Symbol(name) => f.write_str(name),
            Self::List(items) => write_all(f, "[", items.iter(), "]"),
            Self::Set(items) => write_all(f, "#{", items.iter(), "}"),
            Self::Map(entries) => {
                let entries = entries.iter();
                f.write_str("{")?;
                for (index, (key, value)) in entries.enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{key} {value}")?;
                }
                f.write_str("}")
            }
            Self::Tagged(tag, value) => write!(f, "#{tag} {value}"),
        }
    }
}

fn write_float(f: &mut fmt::Formatter<'_>, number: f64) -> fmt::Result {
    if number.is_nan() {
        f.write_str("##NaN")
    } else if number.is_infinite() {
        f.write_str(if number > 0.0 { "##Inf" } else { "##-Inf" })
    } else {
        // With a point or an exponent, so that it reads back as what it is.
        write!(f, "{number:?}")
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for character in text.chars() {
        match character {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            other => write!(f, "{other}")?,
        }
    }
    f.write_str("\"")
}

fn write_all<'v>(
    f: &mut fmt::Formatter<'_>,
    open: &str,
    items: impl Iterator<Item = &'v Value>,
    close: &str,
) -> fmt::Result {
    f.write_str(open)?;
    for (index, item) in items.enumerate() {
        let separator = if index == 0 { "" } else { " " };
        write!(f, "{separator}{item}")?;
    }
    f.write_str(close)
}

/// A value of a history, by number: equal numbers, equal values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(pub(crate) u32);

impl ValueId {
    /// The number of [`Value::Nil`] in every history.
    pub const NIL: Self = Self(0);
}

/// The values of a history, each kept once.
#[derive(Clone, Debug)]
pub struct Values {
    values: Vec<Value>,
    numbers: HashTable<u32>,
}

impl Default for Values {
    fn default() -> Self {
        let mut values = Self {
            values: Vec::new(),
            numbers: HashTable::new(),
        };
        assert_eq!(values.intern(Value::Nil), ValueId::NIL, "nil comes first");
        values
    }
}

impl Values {
    /// Keeps a value, and returns its number.
    pub fn intern(&mut self, value: Value) -> ValueId {
        let hash = FxBuildHasher.hash_one(&value);
        let values = &self.values;
        if let Some(&known) = self
            .numbers
            .find(hash, |&known| values[known as usize] == value)
        {
            return ValueId(known);
        }
        let number = u32::try_from(values.len()).expect("fewer than 2^32 values in a history");
        self.values.push(value);
        let values = &self.values;
        self.numbers.insert_unique(hash, number, |&known| {
            FxBuildHasher.hash_one(&values[known as usize])
        });
        ValueId(number)
    }

    /// The value of a number. Panics if it is of another history.
    #[must_use]
    pub fn get(&self, id: ValueId) -> &Value {
        &self.values[id.0 as usize]
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Never: `nil` is there.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_have_one_number() {
        let mut values = Values::default();
        let one = values.intern(Value::list([Value::Int(1), Value::text("x")]));
        let two = values.intern(Value::list([Value::Int(1), Value::text("x")]));
        let other = values.intern(Value::list([Value::Int(1), Value::keyword("x")]));
        assert_eq!(one, two);
        assert_ne!(one, other);
        assert_eq!(values.intern(Value::Nil), ValueId::NIL);
        assert_eq!(values.get(one).to_string(), "[1 \"x\"]");
        assert_eq!(values.len(), 3);
    }

    #[test]
    fn sets_and_maps_are_what_they_contain() {
        let (x, y) = (Value::keyword("x"), Value::keyword("y"));
        assert_eq!(
            Value::set([y.clone(), x.clone(), y.clone()]),
            Value::set([x.clone(), y.clone()])
        );
        let map = Value::map([
            (y, Value::Int(1)),
            (x.clone(), Value::Int(2)),
            (x, Value::Int(3)),
        ]);
        assert_eq!(map.to_string(), "{:x 3, :y 1}");
        assert_eq!(map.field("x"), Some(&Value::Int(3)));
    }
}
