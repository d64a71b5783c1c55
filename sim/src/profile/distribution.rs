//! How a knob is drawn: a distribution, as data.

use hstore_core::Rng;

/// What a knob comes to be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A whole number.
    Count(u64),
    /// A share, from 0 to 1.
    Share(f64),
    /// A word, or a quorum system.
    Word(String),
    /// Yes or no.
    Switch(bool),
}

/// How a knob is drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// What is drawn at first.
    pub base: Base,
    /// Otherwise, with what is left of this chance, something else.
    pub chance: Option<(f64, Box<Distribution>)>,
    /// What is done to a number that was drawn, in this order.
    pub steps: Vec<(Step, Operand)>,
}

/// What a knob is drawn from.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// Always the same.
    Value(Value),
    /// Each number of these has the same chance, both ends included.
    Counts(u64, u64),
    /// Each share between these has the same chance.
    Shares(f64, f64),
    /// One of these, by weight.
    OneOf(Vec<(u64, Distribution)>),
}

/// What is done to a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// It is multiplied.
    Times,
    /// It is divided, and rounded down.
    Over,
    /// Something is added.
    Plus,
    /// It becomes less than this, if it is not.
    Below,
    /// It becomes this, if it is more.
    AtMost,
    /// It becomes this, if it is less.
    AtLeast,
}

/// A number, or what another knob came to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    /// The number.
    Number(u64),
    /// The knob of this path.
    Knob(String),
}

impl Step {
    /// All of them in the order in which they are taken, with their keys.
    pub const ALL: [(&'static str, Self); 6] = [
        ("times", Self::Times),
        ("over", Self::Over),
        ("plus", Self::Plus),
        ("below", Self::Below),
        ("at_most", Self::AtMost),
        ("at_least", Self::AtLeast),
    ];

    fn take(self, number: u64, operand: u64) -> u64 {
        match self {
            Self::Times => number.saturating_mul(operand),
            Self::Over => number / operand.max(1),
            Self::Plus => number.saturating_add(operand),
            Self::Below => number.min(operand.saturating_sub(1)),
            Self::AtMost => number.min(operand),
            Self::AtLeast => number.max(operand),
        }
    }
}

impl Distribution {
    /// Always this.
    #[must_use]
    pub fn always(value: Value) -> Self {
        Self {
            base: Base::Value(value),
            chance: None,
            steps: Vec::new(),
        }
    }

    /// Draws. `other` tells what another knob came to be.
    pub fn draw(&self, rng: &mut Rng, other: &mut impl FnMut(&str) -> u64) -> Value {
        let mut value = match &self.chance {
            Some((chance, otherwise)) if !rng.chance(*chance) => otherwise.draw(rng, other),
            _ => self.base.draw(rng, other),
        };
        if let Value::Count(number) = &mut value {
            for (step, operand) in &self.steps {
                let operand = match operand {
                    Operand::Number(number) => *number,
                    Operand::Knob(path) => other(path),
                };
                *number = step.take(*number, operand);
            }
        }
        value
    }

    /// The paths of the knobs that it needs.
    pub fn needs(&self) -> Vec<&str> {
        let own = self.steps.iter().filter_map(|(_, operand)| match operand {
            Operand::Knob(path) => Some(path.as_str()),
            Operand::Number(_) => None,
        });
        let choices = match &self.base {
            Base::OneOf(choices) => &choices[..],
            _ => &[],
        };
        let inner = choices.iter().map(|(_, choice)| choice);
        let inner = inner.chain(self.chance.iter().map(|(_, otherwise)| &**otherwise));
        own.chain(inner.flat_map(Self::needs)).collect()
    }
}

impl Base {
    fn draw(&self, rng: &mut Rng, other: &mut impl FnMut(&str) -> u64) -> Value {
        match self {
            Self::Value(value) => value.clone(),
            Self::Counts(from, to) => Value::Count(rng.within(*from..=*to)),
            Self::Shares(from, to) => {
                // Exact at a millionth of the way.
                let part = rng.within(0..=1_000_000) as f64 / 1e6;
                Value::Share(from + (to - from) * part)
            }
            Self::OneOf(choices) => {
                let total = choices.iter().map(|(weight, _)| weight).sum();
                let mut left = rng.below(total);
                for (weight, choice) in choices {
                    if left < *weight {
                        return choice.draw(rng, other);
                    }
                    left -= weight;
                }
                unreachable!("what is left is below the sum of all weights")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn counts(from: u64, to: u64) -> Distribution {
        Distribution {
            base: Base::Counts(from, to),
            chance: None,
            steps: Vec::new(),
        }
    }

    /// How often each number came, of ten thousand.
    fn drawn(distribution: &Distribution) -> BTreeMap<u64, u32> {
        let mut rng = Rng::from_seed(1);
        let mut seen = BTreeMap::new();
        for _ in 0..10_000 {
            let Value::Count(number) = distribution.draw(&mut rng, &mut |_| 7) else {
                panic!("it draws numbers");
            };
            *seen.entry(number).or_default() += 1;
        }
        seen
    }

    #[test]
    fn ranges_include_both_ends_and_choices_have_their_weights() {
        let seen = drawn(&counts(2, 4));
        assert!(seen.keys().eq(&[2, 3, 4]));
        assert!(seen.values().all(|&times| (3_100..3_600).contains(&times)));
        let one_of = Distribution {
            base: Base::OneOf(vec![
                (3, Distribution::always(Value::Count(1))),
                (1, counts(8, 9)),
            ]),
            ..counts(0, 0)
        };
        let seen = drawn(&one_of);
        assert!(seen.keys().eq(&[1, 8, 9]));
        assert!((7_300..7_700).contains(&seen[&1]), "{seen:?}");
    }

    #[test]
    fn a_chance_leaves_the_rest_to_what_is_drawn_otherwise() {
        let sometimes = Distribution {
            chance: Some((0.25, Box::new(Distribution::always(Value::Count(0))))),
            ..counts(1, 4)
        };
        let seen = drawn(&sometimes);
        assert!(seen.keys().eq(&[0, 1, 2, 3, 4]));
        assert!((7_300..7_700).contains(&seen[&0]), "{seen:?}");
    }

    #[test]
    fn steps_are_taken_in_order() {
        let stepped = |steps: &[(Step, Operand)]| {
            let seen = drawn(&Distribution {
                steps: steps.to_vec(),
                ..counts(10, 10)
            });
            *seen.keys().next().expect("something was drawn")
        };
        let knob = || Operand::Knob("a.knob".to_owned());
        assert_eq!(stepped(&[(Step::Times, knob())]), 70);
        assert_eq!(stepped(&[(Step::Over, knob())]), 1);
        assert_eq!(
            stepped(&[(Step::Times, knob()), (Step::Plus, Operand::Number(5))]),
            75
        );
        assert_eq!(stepped(&[(Step::Below, knob())]), 6);
        assert_eq!(stepped(&[(Step::AtMost, knob())]), 7);
        assert_eq!(stepped(&[(Step::AtLeast, Operand::Number(12))]), 12);
    }
}
