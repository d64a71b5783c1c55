use std::collections::BTreeSet;

use super::samples::{LARGE, SMALL, Sample, random, random_systems};
use super::*;
use crate::rng::Rng;

fn set(mask: u32) -> NodeSet {
    NodeSet::from_bits(u128::from(mask))
}

fn parse(text: &str) -> QuorumSystem {
    let system = QuorumSystem::parse(text, &mut Names::open());
    system.unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The definition, spelled out without scopes or domain sets: enough distinct nodes, and
/// enough distinct racks among them.
fn brute_write_quorum(racks: &[u16], copies: u32, rack_count: u32, mask: u32) -> bool {
    let mut seen = 0_u32;
    for (node, rack) in racks.iter().enumerate() {
        if mask >> node & 1 == 1 {
            seen |= 1 << rack;
        }
    }
    mask.count_ones() >= copies && seen.count_ones() >= rack_count
}

/// Every placement of up to 8 nodes in up to 3 racks, every property they can carry, every set
/// of nodes: a set is a seal quorum if and only if it meets every write quorum.
#[test]
fn seal_quorums_are_the_dual_of_write_quorums() {
    let (mut systems, mut sets) = (0_u64, 0_u64);
    for nodes in 1..=8_u32 {
        // Domains are interchangeable and so are nodes: sorted placements are all placements.
        for first in 0..=nodes {
            for second in 0..=nodes - first {
                let racks: Vec<u16> = (0..nodes)
                    .map(|n| u16::from(n >= first) + u16::from(n >= first + second))
                    .collect();
                let locations: BTreeMap<_, _> = racks
                    .iter()
                    .enumerate()
                    .map(|(n, &rack)| (NodeId(n as u8), Location { region: 0, rack }))
                    .collect();
                for copies in 1..=nodes {
                    for rack_count in 1..=3_u32 {
                        let replication = Replication {
                            copies: copies as u8,
                            racks: rack_count as u8,
                            regions: 1,
                        };
                        let all = (1 << nodes) - 1;
                        let possible = brute_write_quorum(&racks, copies, rack_count, all);
                        let system = QuorumSystem::new(locations.clone(), replication);
                        assert_eq!(system.is_ok(), possible, "{replication} on {racks:?}");
                        let Ok(system) = system else { continue };
                        systems += 1;
                        let brute: Vec<bool> = (0..=all)
                            .map(|mask| brute_write_quorum(&racks, copies, rack_count, mask))
                            .collect();
                        for mask in 0..=all {
                            sets += 1;
                            let meets_every_write_quorum =
                                (0..=all).all(|other| !brute[other as usize] || other & mask != 0);
                            assert_eq!(system.is_write_quorum(set(mask)), brute[mask as usize]);
                            assert_eq!(
                                system.is_seal_quorum(set(mask)),
                                meets_every_write_quorum,
                                "{} on {racks:?}: {}",
                                replication,
                                set(mask)
                            );
                        }
                    }
                }
            }
        }
    }
    println!("duality holds for {sets} node sets of {systems} quorum systems");
    assert!(systems > 500 && sets > 50_000);
}

#[test]
fn a_property_that_cannot_hold_is_refused() {
    assert_eq!(
        QuorumSystem::flat(2, 3),
        Err(QuorumError::TooFewDomains {
            scope: Scope::Node,
            needed: 3,
            present: 2
        })
    );
    assert_eq!(
        QuorumSystem::flat(2, 0),
        Err(QuorumError::Zero { scope: Scope::Node })
    );
    let locations = [(NodeId(200), Location::default())].into();
    assert_eq!(
        QuorumSystem::new(locations, Replication::copies(1)),
        Err(QuorumError::NodeNumber { node: NodeId(200) })
    );
}

#[test]
fn nodes_of_other_nodesets_count_for_nothing() {
    for system in [
        QuorumSystem::flat(3, 2).expect("valid"),
        parse("majority(3)"),
        parse("seal: majority(3)"),
    ] {
        assert!(!system.is_write_quorum(set(0b1111_1001)));
        assert!(!system.is_seal_quorum(set(0b1111_0001)));
        assert!(system.is_write_quorum(set(0b1111_1101)));
        assert!(system.is_seal_quorum(set(0b1111_0011)));
    }
}

/// All nodes known, every split into authoritative, empty-handed, lost and silent.
#[test]
fn seal_answers_say_what_may_be_concluded() {
    let system = QuorumSystem::flat(3, 2).expect("valid");
    let mut seen = BTreeSet::new();
    for code in 0..4_u32.pow(3) {
        let standing = |n: u32| code / 4_u32.pow(n) % 4;
        let mask = |wanted: &[u32]| {
            (0..3)
                .filter(|&n| wanted.contains(&standing(n)))
                .map(|n| NodeId(n as u8))
                .collect::<NodeSet>()
        };
        let answer = system.seal_answer(Answers {
            answered: mask(&[0, 1]),
            authoritative: mask(&[0]),
            lost: mask(&[2]),
        });
        let (good, silent) = (mask(&[0]).len(), mask(&[3]).len());
        let expected = match (good, silent) {
            (3, _) => SealAnswer::Complete,
            (2, _) => SealAnswer::Incomplete,
            (_, 0) => SealAnswer::NonAuthoritative,
            _ => SealAnswer::None,
        };
        assert_eq!(answer, expected, "code {code}");
        seen.insert(answer);
    }
    assert_eq!(seen.len(), 4);
}

/// A dumb reader of the same texts: it splits them at operators outside brackets, and asks each part.
mod dumb {
    pub(super) struct Side<'a> {
        names: &'a [&'a str],
        mask: u32,
    }

    /// Whether the nodes of `mask`, in the order of `names`, are enough.
    pub(super) fn holds(text: &str, names: &[&str], mask: u32) -> bool {
        Side { names, mask }.holds(text)
    }

    /// The parts of a text between separators that stand outside brackets.
    pub(super) fn split(text: &str, at: char) -> Vec<&str> {
        let (mut parts, mut first, mut depth) = (Vec::new(), 0, 0);
        for (index, c) in text.char_indices() {
            match c {
                '(' | '[' => depth += 1,
                ')' | ']' => depth -= 1,
                _ if c == at && depth == 0 => {
                    parts.push(text[first..index].trim());
                    first = index + c.len_utf8();
                }
                _ => {}
            }
        }
        parts.push(text[first..].trim());
        parts
    }

    impl Side<'_> {
        fn has(&self, name: &str) -> bool {
            let numbered = name.strip_prefix('n').and_then(|it| it.parse().ok());
            let named = self.names.iter().position(|it| *it == name);
            let index = named.or(numbered).unwrap_or_else(|| panic!("{name}"));
            self.mask >> index & 1 == 1
        }

        fn holds(&self, text: &str) -> bool {
            let text = text.trim();
            let any = split(text, '+');
            if any.len() > 1 {
                return any.into_iter().any(|it| self.holds(it));
            }
            let all = split(text, '*');
            if all.len() > 1 {
                return all.into_iter().all(|it| self.holds(it));
            }
            let Some((function, inner)) = text.split_once('(') else {
                return self.has(text);
            };
            let inner = inner.strip_suffix(')').expect("a bracket at the end");
            if function.is_empty() {
                return self.holds(inner);
            }
            let listed = |parts: &[&str]| -> Vec<bool> {
                let joined = parts.join(",");
                let joined = joined.trim().trim_start_matches('[').trim_end_matches(']');
                split(joined, ',')
                    .into_iter()
                    .map(|it| self.holds(it))
                    .collect()
            };
            let count = |them: &[bool]| them.iter().filter(|it| **it).count();
            let parts = split(inner, ',');
            match function {
                "choose" => count(&listed(&parts[1..])) >= parts[0].parse().expect("a count"),
                "majority" => {
                    let them = match parts[0].parse::<usize>() {
                        Ok(first) => (0..first).map(|n| self.has(&format!("n{n}"))).collect(),
                        Err(_) => listed(&parts),
                    };
                    2 * count(&them) > them.len()
                }
                "weighted" => {
                    let (weights, threshold) = inner.rsplit_once(';').expect("a threshold");
                    let held = split(weights, ',').into_iter().map(|it| {
                        let (what, weight) = it.rsplit_once(':').expect("a weight");
                        u64::from(self.holds(what)) * weight.parse::<u64>().expect("a number")
                    });
                    held.sum::<u64>() >= threshold.trim().parse().expect("a number")
                }
                "grid" => {
                    let (rows, columns) = parts[0].split_once('x').expect("rows and columns");
                    let (rows, columns): (usize, usize) = (
                        rows.trim().parse().expect("rows"),
                        columns.trim().parse().expect("columns"),
                    );
                    let cells = match parts.len() {
                        1 => (0..rows * columns)
                            .map(|n| self.has(&format!("n{n}")))
                            .collect(),
                        _ => listed(&parts[1..]),
                    };
                    let full_row = cells.chunks(columns).any(|row| row.iter().all(|it| *it));
                    let full_column =
                        (0..columns).any(|at| cells.chunks(columns).all(|row| row[at]));
                    full_row && full_column
                }
                // `nodeset(N, copies=R, rack=D of E)` alone is written here.
                "nodeset" => {
                    let nodes: u32 = parts[0].parse().expect("nodes");
                    let copies = parts[1].strip_prefix("copies=").expect("copies");
                    let (racks, of) = parts[2]
                        .strip_prefix("rack=")
                        .and_then(|it| it.split_once(" of "))
                        .expect("racks");
                    let of: u32 = of.parse().expect("a count");
                    let members: Vec<u32> =
                        (0..nodes).filter(|n| self.mask >> n & 1 == 1).collect();
                    let mut touched: Vec<u32> = members.iter().map(|n| n % of).collect();
                    touched.sort_unstable();
                    touched.dedup();
                    members.len() >= copies.parse().expect("a count")
                        && touched.len() >= racks.parse().expect("a count")
                }
                _ => panic!("{text}"),
            }
        }
    }
}

/// The words that name nodes, in the order of their first appearance.
fn words(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()) {
        if word.len() == 1
            && word.starts_with(|c: char| c.is_ascii_lowercase() && c != 'x')
            && !names.contains(&word)
        {
            names.push(word);
        }
    }
    names
}

/// The system of a text against the dumb reader: all sets of nodes, all pairs of them.
fn check_exhaustively(text: &str) {
    let system = parse(text);
    let names = words(text);
    let count = 128 - system.nodes().bits().leading_zeros();
    let all = (1_u32 << count) - 1;
    let enough = |side: &str| -> Vec<bool> {
        (0..=all)
            .map(|mask| dumb::holds(side, &names, mask))
            .collect()
    };
    let named = system.nodes().bits() as u32;
    let dual = |side: &[bool]| -> Vec<bool> {
        let misses = |mask: u32| !side[(all & !mask) as usize];
        (0..=all).map(misses).collect()
    };
    let (write, seal) = match dumb::split(text, ';').as_slice() {
        [write, seal] => (
            enough(write.trim_start_matches("write:")),
            enough(seal.trim_start_matches("seal:")),
        ),
        [side] => match side.strip_prefix("seal:") {
            Some(side) => {
                let seal = enough(side);
                (dual(&seal), seal)
            }
            None => {
                let write = enough(side);
                let seal = dual(&write);
                (write, seal)
            }
        },
        _ => panic!("{text}"),
    };
    for mask in 0..=all {
        let at = mask as usize;
        assert_eq!(
            system.is_write_quorum(set(mask)),
            write[at],
            "{text}: {mask:b}"
        );
        assert_eq!(
            system.is_seal_quorum(set(mask)),
            seal[at],
            "{text}: {mask:b}"
        );
        assert_eq!(
            system.write().is_satisfied(set(mask)),
            write[at],
            "{text}: {mask:b}"
        );
        assert_eq!(
            system.seal().is_satisfied(set(mask)),
            seal[at],
            "{text}: {mask:b}"
        );
        if write[at] {
            for other in 0..=all {
                assert!(
                    !seal[other as usize] || mask & other != 0,
                    "{text}: {} is written and {} sealed",
                    set(mask),
                    set(other)
                );
            }
        }
    }
    assert!(write[all as usize] && seal[all as usize] && !write[0] && !seal[0]);
    let minimal = |side: &[bool]| -> Vec<NodeSet> {
        (0..=all)
            .filter(|&mask| {
                let spared = |n: u32| mask >> n & 1 == 1 && side[(mask & !(1 << n)) as usize];
                side[mask as usize] && !(0..count).any(spared)
            })
            .map(set)
            .collect()
    };
    assert_eq!(
        system.minimal_write_quorums(MINIMAL_MAX),
        Ok(minimal(&write)),
        "{text}"
    );
    assert_eq!(
        system.minimal_seal_quorums(MINIMAL_MAX),
        Ok(minimal(&seal)),
        "{text}"
    );
    assert_eq!(named & !all, 0);
}

/// What is written reads back as the same, as text and as data.
fn check_round_trip(system: &QuorumSystem) {
    let text = system.to_string();
    assert_eq!(&parse(&text), system, "{text}");
    let json = serde_json::to_string(system).expect("text");
    assert_eq!(
        serde_json::from_str::<QuorumSystem>(&json).expect(&json),
        *system
    );
    let bytes = postcard::to_stdvec(system).expect("data");
    let read: QuorumSystem = postcard::from_bytes(&bytes).expect("data");
    assert_eq!(read, *system, "{text}");
    assert_eq!(read.nodes(), system.nodes(), "{text}");
}

#[test]
fn the_systems_of_the_literature_are_what_they_are() {
    for Sample { name, text } in SMALL {
        println!("{name}: {}", parse(text));
        check_exhaustively(text);
        check_round_trip(&parse(text));
    }
    for Sample { text, .. } in LARGE {
        check_exhaustively(text);
        check_round_trip(&parse(text));
    }
}

#[test]
fn two_hundred_random_systems_are_what_the_dumb_reader_says() {
    let systems = random_systems(1, 200);
    let mut seen = BTreeSet::new();
    for (text, system) in &systems {
        check_exhaustively(text);
        check_round_trip(system);
        check_round_trip(&QuorumSystem::of_write(system.seal()));
        seen.insert(text);
    }
    assert_eq!(seen.len(), 200);
    for form in [
        "choose", "weighted", "grid", "nodeset", "seal:", "write:", "*", "+",
    ] {
        let with = systems
            .iter()
            .filter(|(text, _)| text.contains(form))
            .count();
        assert!(with >= 10, "{form} is in {with}");
    }
}

/// The probability that no quorum is alive, where nodes fail with probability `p` one by one.
fn unavailability(enough: impl Fn(NodeSet) -> bool, nodes: u32, p: f64) -> f64 {
    let dead = (0..1_u32 << nodes).filter(|&mask| !enough(set(mask)));
    dead.map(|mask| {
        let alive = mask.count_ones() as i32;
        (1.0 - p).powi(alive) * p.powi(nodes as i32 - alive)
    })
    .sum()
}

/// How many nodes may fail, whichever they are.
fn resilience(enough: impl Fn(NodeSet) -> bool, nodes: u32) -> u32 {
    let all = (1_u32 << nodes) - 1;
    let dead = (0..=all).filter(|&mask| !enough(set(all & !mask)));
    dead.map(u32::count_ones)
        .min()
        .expect("all nodes are needed")
        - 1
}

fn assert_close(one: f64, other: f64) {
    assert!((one - other).abs() < 1e-6, "{one} is not {other}");
}

#[test]
fn known_figures_come_out() {
    for (text, nodes, failures, at_10, at_30) in [
        ("majority(3)", 3, 1, 0.028, 0.216),
        ("majority(5)", 5, 2, 0.00856, 0.16308),
        ("majority(7)", 7, 3, 0.002728, 0.126036),
        ("grid(3x3)", 9, 2, 0.033_308_8, 0.410_562),
        (SMALL[3].text, 7, 2, 0.006_810_4, 0.151_967),
        (SMALL[4].text, 7, 2, 0.006_227_2, 0.148_262),
        (LARGE[1].text, 9, 3, 0.002_308_1, 0.119_813),
        (SMALL[5].text, 5, 1, 0.03448, 0.23364),
        (SMALL[6].text, 6, 2, 0.00856, 0.16308),
    ] {
        let system = parse(text);
        let enough = |set| system.is_write_quorum(set);
        assert_eq!(system.nodes().len(), nodes as usize, "{text}");
        assert_eq!(resilience(enough, nodes), failures, "{text}");
        assert_close(unavailability(enough, nodes, 0.1), at_10);
        assert_close(unavailability(enough, nodes, 0.3), at_30);
    }
    for (text, failures) in [
        ("a*b*c + d*e*f", 1),
        ("choose(2,[a+b+c, d+e, f])", 2),
        ("choose(2,[a*b, a*c, d])", 0),
        ("(a+a+c)*(d+e+f)", 1),
        ("a*b + b*c + a*c", 1),
    ] {
        let system = parse(text);
        let nodes = system.nodes().len() as u32;
        assert_eq!(
            resilience(|set| system.is_write_quorum(set), nodes),
            failures,
            "{text}"
        );
    }
    let dual = parse("seal: a*b*c + d*e*f");
    assert_eq!(resilience(|set| dual.is_seal_quorum(set), 6), 1);
    assert_eq!(resilience(|set| dual.is_write_quorum(set), 6), 2);
}

#[test]
fn three_copies_over_two_of_three_racks() {
    for system in [
        parse("nodeset(9, copies=3, rack=2 of 3)"),
        parse(
            "choose(3, n0, n1, n2, n3, n4, n5, n6, n7, n8) * choose(2, n0+n3+n6, n1+n4+n7, n2+n5+n8)",
        ),
    ] {
        let copysets = system.minimal_write_quorums(MINIMAL_MAX).expect("few");
        assert_eq!(copysets.len(), 81, "of the 84 sets of 3 nodes");
        assert!(copysets.iter().all(|set| set.len() == 3));
        let majorities = system.minimal_seal_quorums(MINIMAL_MAX).expect("few");
        let of_size = |size| majorities.iter().filter(|set| set.len() == size).count();
        assert_eq!((of_size(7), of_size(6), majorities.len()), (27, 3, 30));
        let writes = unavailability(|set| system.is_write_quorum(set), 9, 0.1);
        let seals = unavailability(|set| system.is_seal_quorum(set), 9, 0.1);
        assert!((writes - 5.185e-6).abs() < 1e-9, "{writes}");
        assert!((seals - 0.051_377_8).abs() < 1e-6, "{seals}");
    }
}

/// Random pairs of sides: refused exactly if some pair of sets proves it, and the proof is one.
#[test]
fn sides_that_do_not_meet_are_refused_with_a_proof() {
    let (mut refused, mut accepted) = (0, 0);
    let mut rng = Rng::from_seed(2);
    let side = |rng: &mut Rng| loop {
        let text = random(rng);
        if !text.contains(':') {
            return Expr::parse(&text, &mut Names::open()).expect("it was made to be read");
        }
    };
    for _ in 0..2_000 {
        let (write, seal) = (side(&mut rng), side(&mut rng));
        let all = write.nodes().union(seal.nodes());
        let meet = (0..1 << 7).all(|mask| {
            let set = set(mask).intersection(all);
            !write.is_satisfied(set) || !seal.is_satisfied(all.difference(set))
        });
        match QuorumSystem::of_both(write.clone(), seal.clone()) {
            Ok(system) => {
                accepted += 1;
                assert!(meet, "{system}");
                check_round_trip(&system);
            }
            Err(QuorumError::Disjoint {
                write: one,
                seal: other,
            }) => {
                refused += 1;
                assert!(!meet);
                assert!(one.intersection(other).is_empty(), "{one} and {other}");
                let minimal = |side: &Expr, set: NodeSet| {
                    side.is_satisfied(set)
                        && set
                            .iter()
                            .all(|node| !side.is_satisfied(set.difference(NodeSet::only(node))))
                };
                assert!(minimal(&write, one), "{one} of {write}");
                assert!(minimal(&seal, other), "{other} of {seal}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    println!("{refused} refused, {accepted} accepted");
    assert!(refused > 300 && accepted > 300);
}

/// Like nodes are counted, not tried one by one.
#[test]
fn large_sides_that_meet_are_accepted() {
    for (text, meets) in [
        (
            "write: choose(20, [NODES]); seal: choose(41, [NODES])",
            true,
        ),
        (
            "write: choose(20, [NODES]); seal: choose(40, [NODES])",
            false,
        ),
        ("write: grid(6 x 10); seal: grid(6 x 10)", true),
        ("write: grid(6 x 10); seal: choose(46, [NODES])", true),
        ("write: grid(6 x 10); seal: choose(45, [NODES])", false),
        (
            "write: nodeset(60, copies=3, rack=2 of 5); seal: choose(48, [NODES])",
            false,
        ),
        (
            "write: nodeset(60, copies=3, rack=2 of 5); seal: choose(58, [NODES])",
            true,
        ),
    ] {
        let nodes: Vec<String> = (0..60).map(|n| format!("n{n}")).collect();
        let text = text.replace("NODES", &nodes.join(","));
        let system = QuorumSystem::parse(&text, &mut Names::open());
        assert_eq!(system.is_ok(), meets, "{text}: {system:?}");
    }
}

#[test]
fn errors_say_where_what_and_what_instead() {
    for (text, error) in [
        (
            "",
            "column 1: found the end, expected a node, `(`, `choose`, `majority`, `grid`, `weighted` or `nodeset`",
        ),
        (
            "a * ",
            "column 5: found the end, expected a node, `(`, `choose`, `majority`, `grid`, `weighted` or `nodeset`",
        ),
        ("a b", "column 3: found `b`, expected `+`, `*` or the end"),
        (
            "(a + b",
            "column 7: found the end, expected `+`, `*` or `)`",
        ),
        (
            "a + 3",
            "column 5: found `3`, expected a node, `(`, `choose`, `majority`, `grid`, `weighted` or `nodeset`",
        ),
        (
            "a +\n  é?",
            "line 2, column 4: found `?`, expected `+`, `*` or the end",
        ),
        (
            "most(a, b)",
            "column 1: found `most`, expected a node, `(`, `choose`, `majority`, `grid`, `weighted` or `nodeset`",
        ),
        (
            "choose(a, b)",
            "column 8: found `a`, expected a count: how many are needed",
        ),
        (
            "choose(3, a, b)",
            "column 1: found `choose`, expected something that can be: 3 of 2 can never be: ask for at most 2",
        ),
        (
            "choose(0, a, b)",
            "column 1: found `choose`, expected something that can be: 0 of 2 is always so: ask for at least 1",
        ),
        (
            "choose(1, [a, b)",
            "column 16: found `)`, expected `+`, `*`, `,` or `]`",
        ),
        (
            "grid(2 y 2)",
            "column 8: found `y`, expected `x` and a count of columns",
        ),
        (
            "grid(2 x 2, a, b, c)",
            "column 1: found `grid`, expected something that can be: a grid of 2 x 2 has 4 places, not 3",
        ),
        (
            "grid(12 x 12)",
            "column 6: found `12`, expected at most 128, the number of nodes",
        ),
        (
            "weighted(a:1, b)",
            "column 16: found `)`, expected `+`, `*` or `:` and a weight",
        ),
        (
            "weighted(a:1, b:1)",
            "column 18: found `)`, expected `,` or `;` and the weight that is needed",
        ),
        (
            "weighted(a:0, b:1; 1)",
            "column 1: found `weighted`, expected something that can be: the weight 0 is not from 1 to 1000000",
        ),
        (
            "weighted(a:1, b:1; 3)",
            "column 1: found `weighted`, expected something that can be: 3 of 2 can never be: ask for at most 2",
        ),
        (
            "nodeset(3)",
            "column 10: found `)`, expected `, copies=` and a count",
        ),
        (
            "nodeset(3, copies=4)",
            "column 1: found `nodeset`, expected something that can be: 4 Node domains are asked for, the nodeset has 3",
        ),
        (
            "nodeset(3, copies=2, rack=2)",
            "column 1: found `nodeset`, expected something that can be: 2 Rack domains are asked for, the nodeset has 1",
        ),
        (
            "nodeset(3, rock=2)",
            "column 12: found `rock`, expected `copies=`, `rack=` or `region=` and a count",
        ),
        (
            "nodeset(a, a, copies=1)",
            "column 9: found `a`, expected each node once",
        ),
        (
            "n0 + a",
            "column 6: found `a`, expected a numbered node such as `n0`, as before",
        ),
        (
            "a + n0",
            "column 5: found `n0`, expected a word such as `a`, as before: `n` with a number would not mix",
        ),
        (
            "n128",
            "column 1: found `n128`, expected a node from n0 to n127",
        ),
        (
            "a + majority(3)",
            "column 14: found `3`, expected the names of the nodes: so far they are words",
        ),
        (
            "seal a",
            "column 6: found `a`, expected `+`, `*` or the end",
        ),
        (
            "write: a; write: b",
            "column 11: found `write`, expected the other side: this one was given before",
        ),
        (
            "write: a*b; read: a",
            "column 13: found `read`, expected `write:` or `seal:`",
        ),
        (
            "write: a*b; seal: c",
            "the write quorum {n0,n1} and the seal quorum {n2} do not meet: leave one side out and it becomes the other's dual",
        ),
        (
            "write: a*b + c*d; seal: a*b + c*d",
            "the write quorum {n0,n1} and the seal quorum {n2,n3} do not meet: leave one side out and it becomes the other's dual",
        ),
    ] {
        let found = QuorumSystem::parse(text, &mut Names::open());
        assert_eq!(found.expect_err(text).to_string(), error, "{text}");
    }
    let deep = format!("{}a{}", "(".repeat(100_000), ")".repeat(100_000));
    let long = format!("choose(1, {}a)", "a, ".repeat(2_000));
    let folded = format!("{}a{}", "choose(1, ".repeat(40), ")".repeat(40));
    let grids = format!("{}a{}", "grid(1 x 1, ".repeat(20), ")".repeat(20));
    for (text, why) in [
        (deep, "at most 65536"),
        ("(".repeat(60_000), "brackets that nest no deeper than 64"),
        (long, "more than 1024 terms"),
        (folded, "nests deeper than 32"),
        (grids, "more than 1024 terms"),
    ] {
        let error = QuorumSystem::parse(&text, &mut Names::open()).expect_err("hostile");
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn clusters_and_tables_name_their_nodes() {
    let at = |region, rack| Location { region, rack };
    let locations = [
        (NodeId(1), at(0, 1)),
        (NodeId(2), at(0, 2)),
        (NodeId(4), at(1, 1)),
    ]
    .into();
    let mut names = Names::cluster(&locations);
    let system = QuorumSystem::parse("nodeset(3, copies=2, rack=2)", &mut names).expect("valid");
    assert_eq!(
        system,
        QuorumSystem::new(
            locations,
            Replication {
                racks: 2,
                ..Replication::copies(2)
            }
        )
        .expect("valid")
    );
    assert_eq!(
        system.to_string(),
        "nodeset(n1@1, n2@2, n4@1.1, copies=2, rack=2)"
    );
    let majority = QuorumSystem::parse("majority(3)", &mut names).expect("valid");
    assert_eq!(majority.to_string(), "majority(n1, n2, n4)");
    for (text, error) in [
        (
            "n1 + n3",
            "column 6: found `n3`, expected one of the nodes n1, n2, n4",
        ),
        (
            "majority(4)",
            "column 10: found `4`, expected at most 3, the number of nodes",
        ),
    ] {
        let found = QuorumSystem::parse(text, &mut names).expect_err(text);
        assert_eq!(found.to_string(), error);
    }
    let nodes = [("left", 3), ("right", 5)].map(|(name, node)| (name.to_owned(), NodeId(node)));
    let mut names = Names::table(nodes.into());
    let system = QuorumSystem::parse("left * right", &mut names).expect("valid");
    assert_eq!(system.to_string(), "n3 * n5");
    assert_eq!(names.name(NodeId(5)), Some("right"));
    let mut names = Names::open();
    QuorumSystem::parse("b + a + b", &mut names).expect("valid");
    assert_eq!(
        (names.name(NodeId(0)), names.name(NodeId(1))),
        (Some("b"), Some("a"))
    );
}

/// Damaged and hostile data: refused, never followed.
#[test]
fn damaged_data_is_refused() {
    let good = postcard::to_stdvec(&parse("write: majority(5); seal: majority(5)")).expect("data");
    let mut rng = Rng::from_seed(3);
    let (mut refused, mut read) = (0, 0);
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..rng.within(1..=4) {
            let at = rng.below(bytes.len() as u64) as usize;
            bytes[at] = rng.below(256) as u8;
        }
        match postcard::from_bytes::<QuorumSystem>(&bytes) {
            Err(_) => refused += 1,
            Ok(system) => {
                read += 1;
                let all = system.nodes();
                assert!(system.is_write_quorum(all) && system.is_seal_quorum(all));
                assert!(!system.is_write_quorum(NodeSet::EMPTY));
            }
        }
    }
    assert!(
        refused > 1_000 && read > 100,
        "{refused} refused, {read} read"
    );
    let nothing = postcard::to_stdvec(&(None::<Expr>, None::<Expr>)).expect("data");
    assert!(postcard::from_bytes::<QuorumSystem>(&nothing).is_err());
}

/// Random text, made of what the syntax is made of and of anything else.
#[test]
fn random_text_never_panics_and_what_is_read_is_written() {
    const PIECES: [&str; 32] = [
        "a",
        "b",
        "n0",
        "n7",
        "n200",
        "+",
        "*",
        "(",
        ")",
        "[",
        "]",
        ",",
        ";",
        ":",
        "=",
        "@",
        ".",
        "choose(",
        "majority(",
        "grid(",
        "weighted(",
        "nodeset(",
        "2",
        "3",
        " x ",
        "copies=",
        "rack=",
        " of ",
        "write:",
        "seal:",
        "99999999999999999999",
        "é\n",
    ];
    let mut rng = Rng::from_seed(4);
    let mut read = 0;
    for round in 0..60_000 {
        let mut text = String::new();
        if round % 2 == 0 {
            for _ in 0..rng.below(12) {
                text.push_str(rng.pick(&PIECES).expect("not empty"));
            }
        } else {
            // A good text with a piece put in, or a character taken out.
            text = random(&mut rng);
            let at = rng.below(text.len() as u64) as usize;
            if rng.chance(0.5) {
                text.insert_str(at, rng.pick(&PIECES).expect("not empty"));
            } else {
                text.remove(at);
            }
        }
        if let Ok(system) = QuorumSystem::parse(&text, &mut Names::open()) {
            read += 1;
            assert_eq!(parse(&system.to_string()), system, "{text}");
        }
    }
    println!("{read} were read");
    assert!(read > 3_000, "{read}");
}
