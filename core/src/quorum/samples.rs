//! Quorum systems to try things on: those of the literature, and random ones.

use std::fmt::Write;

use super::names::Names;
use super::{Expr, QuorumSystem};
use crate::rng::Rng;

/// A quorum system with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// What it is called.
    pub name: &'static str,
    /// The system, for [`QuorumSystem::parse`] with [`Names::open`].
    pub text: &'static str,
}

const fn sample(name: &'static str, text: &'static str) -> Sample {
    Sample { name, text }
}

/// Systems of the literature with at most 7 nodes. Every one drives the protocol.
pub const SMALL: [Sample; 17] = [
    sample("majority 3", "majority(3)"),
    sample("majority 5", "majority(5)"),
    sample("majority 7", "majority(7)"),
    sample(
        "Fano plane",
        "a*b*c + a*d*e + a*f*g + b*d*f + b*e*g + c*d*g + c*e*f",
    ),
    sample(
        "tree of height 2",
        "majority(a, majority(b, d, e), majority(c, f, g))",
    ),
    sample("wheel of 5", "weighted(a:3, b:1, c:1, d:1, e:1; 4)"),
    sample(
        "crumbling wall 1, 2, 3",
        "a*(b + c)*(d + e + f) + b*c*(d + e + f) + d*e*f",
    ),
    sample("two triples", "seal: a*b*c + d*e*f"),
    sample("2 of 5", "choose(2, [a, b, c, d, e])"),
    sample("2 of 3", "a*b + b*c + a*c"),
    sample("two pairs", "a*b + c*d"),
    sample("2 of 3 groups", "choose(2, [a + b + c, d + e, f])"),
    sample("2 of 3 with one needed", "choose(2, [a*b, a*c, d])"),
    sample("one of each half", "(a + a + c) * (d + e + f)"),
    sample("a pair or a triple", "a*b + c*d*e"),
    sample("grid 2 x 3", "grid(2 x 3)"),
    sample(
        "3 copies over 2 of 3 racks",
        "nodeset(6, copies=3, rack=2 of 3)",
    ),
];

/// Systems of the literature that are too large to try all pairs of sets.
pub const LARGE: [Sample; 3] = [
    sample("grid 3 x 3", "grid(3 x 3)"),
    sample(
        "hierarchical 2 of 3",
        "majority(majority(a, b, c), majority(d, e, f), majority(g, h, i))",
    ),
    sample(
        "3 copies over 2 of 3 racks of 3",
        "nodeset(9, copies=3, rack=2 of 3)",
    ),
];

/// How deep a random expression nests at most.
const DEPTH: u32 = 3;

/// A random system of at most 7 nodes, as text: any form, either side given, or both.
#[must_use]
pub fn random(rng: &mut Rng) -> String {
    let nodes = rng.within(2..=7);
    let mut text = String::new();
    write_random(&mut text, nodes, DEPTH, rng);
    match rng.below(6) {
        0 => format!("seal: {text}"),
        1 => {
            // What is harder than the dual meets all that the dual meets.
            let write = Expr::parse(&text, &mut Names::open()).expect("it was made to be read");
            let mut more = String::new();
            write_random(&mut more, nodes, 2, rng);
            format!("write: {text}; seal: ({}) * ({more})", write.dual())
        }
        _ => text,
    }
}

/// Writes a random expression over nodes below `nodes` that nests at most `depth` deep.
fn write_random(text: &mut String, nodes: u64, depth: u32, rng: &mut Rng) {
    let form = match depth {
        0 => 0,
        // A node alone would be no system to speak of.
        DEPTH => rng.within(2..=9),
        _ => rng.below(10),
    };
    match form {
        0 | 1 => write!(text, "n{}", rng.below(nodes)).expect("strings take everything"),
        2 | 3 => joined(text, " + ", nodes, depth, rng),
        4 | 5 => joined(text, " * ", nodes, depth, rng),
        6 | 7 => {
            let of = rng.within(2..=5);
            let needed = rng.within(1..=of);
            text.push_str(&format!("choose({needed}, "));
            listed(text, of, nodes, depth, rng);
        }
        8 => {
            let weights: Vec<u64> = (0..rng.within(2..=4)).map(|_| rng.within(1..=4)).collect();
            let threshold = rng.within(1..=weights.iter().sum());
            text.push_str("weighted(");
            for (index, weight) in weights.iter().enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                write_random(text, nodes, depth - 1, rng);
                text.push_str(&format!(":{weight}"));
            }
            text.push_str(&format!("; {threshold})"));
        }
        _ if rng.chance(0.5) => {
            let (rows, columns) = (rng.within(1..=2), rng.within(1..=3));
            text.push_str(&format!("grid({rows} x {columns}, "));
            listed(text, rows * columns, nodes, depth, rng);
        }
        _ => {
            let racks = rng.within(1..=nodes.min(3));
            let needed = rng.within(1..=racks);
            let copies = rng.within(1..=nodes);
            text.push_str(&format!(
                "nodeset({nodes}, copies={copies}, rack={needed} of {racks})"
            ));
        }
    }
}

fn joined(text: &mut String, with: &str, nodes: u64, depth: u32, rng: &mut Rng) {
    for index in 0..rng.within(2..=3) {
        if index > 0 {
            text.push_str(with);
        }
        text.push('(');
        write_random(text, nodes, depth - 1, rng);
        text.push(')');
    }
}

/// Operands and the bracket behind them.
fn listed(text: &mut String, count: u64, nodes: u64, depth: u32, rng: &mut Rng) {
    for index in 0..count {
        if index > 0 {
            text.push_str(", ");
        }
        write_random(text, nodes, depth - 1, rng);
    }
    text.push(')');
}

/// `count` different random systems, as [`random`] makes them from a generator of its own.
///
/// # Panics
/// Never, unless a random text is no quorum system: a bug.
#[must_use]
pub fn random_systems(seed: u64, count: usize) -> Vec<(String, QuorumSystem)> {
    let mut rng = Rng::from_seed(seed);
    let mut systems: Vec<(String, QuorumSystem)> = Vec::new();
    while systems.len() < count {
        let text = random(&mut rng);
        let system = QuorumSystem::parse(&text, &mut Names::open());
        let system = system.unwrap_or_else(|error| panic!("{text}: {error}"));
        if systems.iter().all(|it| it.1 != system) {
            systems.push((text, system));
        }
    }
    systems
}
