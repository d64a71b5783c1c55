//! Writing expressions: what is written reads back as the same.

use std::fmt;

use super::expr::{Expr, Step};
use super::replication::{Location, Nodeset};

/// How tightly a text holds together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    Sum,
    Product,
    Whole,
}

/// `n0 * n1 + choose(2, n2, n3, n4, n5)`.
impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut operands: Vec<(String, Binding)> = Vec::new();
        for step in self.steps() {
            let last = operands.split_off(operands.len() - step.arity());
            operands.push(write_step(step, last));
        }
        f.write_str(&operands[0].0)
    }
}

fn write_step(step: &Step, operands: Vec<(String, Binding)>) -> (String, Binding) {
    let count = operands.len();
    let listed = |operands: Vec<(String, Binding)>| {
        let texts: Vec<String> = operands.into_iter().map(|it| it.0).collect();
        texts.join(", ")
    };
    // What binds no tighter than its surroundings stands in brackets: `(a * b) * c` is not `a * b * c`.
    let joined = |operands: Vec<(String, Binding)>, with: &str, binding: Binding| {
        let texts: Vec<String> = operands
            .into_iter()
            .map(|(text, inner)| match inner > binding {
                true => text,
                false => format!("({text})"),
            })
            .collect();
        (texts.join(with), binding)
    };
    let text = match step {
        Step::Node(node) => node.to_string(),
        Step::Choose { needed, of } if *of > 1 && needed == of => {
            return joined(operands, " * ", Binding::Product);
        }
        Step::Choose { needed: 1, of } if *of > 1 => {
            return joined(operands, " + ", Binding::Sum);
        }
        Step::Choose { needed, .. } if usize::from(*needed) * 2 == count + 1 && count > 1 => {
            format!("majority({})", listed(operands))
        }
        Step::Choose { needed, .. } => format!("choose({needed}, {})", listed(operands)),
        Step::Weighted { weights, threshold } => {
            let weighed = operands.into_iter().zip(weights);
            let weighed = weighed.map(|((text, _), weight)| format!("{text}:{weight}"));
            let weighed: Vec<String> = weighed.collect();
            format!("weighted({}; {threshold})", weighed.join(", "))
        }
        Step::Grid { rows, columns } => {
            format!("grid({rows} x {columns}, {})", listed(operands))
        }
        Step::Nodeset(nodeset) => nodeset.to_string(),
    };
    (text, Binding::Whole)
}

/// `nodeset(n0, n1@1, n2@3.2, copies=2, rack=2)`: nodes with their rack, or region and rack.
impl fmt::Display for Nodeset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nodeset(")?;
        for (node, location) in self.locations() {
            match *location {
                Location { region: 0, rack: 0 } => write!(f, "{node}, ")?,
                Location { region: 0, rack } => write!(f, "{node}@{rack}, ")?,
                Location { region, rack } => write!(f, "{node}@{region}.{rack}, ")?,
            }
        }
        let replication = self.replication();
        write!(f, "copies={}", replication.copies)?;
        for (count, name) in [(replication.racks, "rack"), (replication.regions, "region")] {
            if count > 1 {
                write!(f, ", {name}={count}")?;
            }
        }
        f.write_str(")")
    }
}
