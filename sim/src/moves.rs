//! Planning how logs are moved. Carrying it out is the world's.
//!
//! Like faults, moves are data that is made before the run. Each names what it wants in full; what has come of
//! the moves before, it does not depend on. The first of each kind comes while nothing goes wrong yet, and has
//! time before the next does: one that is asked for sooner may end it half way. So every run has some that take
//! effect.

use std::collections::BTreeMap;

use hstore_core::quorum::{Location, Names, QuorumSystem, Replication};
use hstore_core::{LogId, NodeId, NodeSet, Rng};

use crate::options::{MoveOptions, SimOptions};
use crate::plan::TimedMove;
use crate::seeds::{SimSeeds, Stream};

/// How many nodes a nodeset has.
const NODESET: std::ops::RangeInclusive<u64> = 3..=5;

/// What a log is meant to be made of.
#[derive(Clone)]
struct Made {
    nodes: NodeSet,
    replication: Replication,
}

/// Draws the moves of a run. When each kind is asked for, and what for, comes from a stream of its own.
#[must_use]
pub fn draw_moves(options: &SimOptions, seeds: SimSeeds) -> Vec<TimedMove> {
    let mut parts = [0, 1, 2];
    seeds
        .named(Stream::Moves, "first of each kind")
        .shuffle(&mut parts);
    let part_us = options.quiet_us / parts.len() as u64;
    let mut rngs = Kind::ALL.map(|kind| seeds.named(Stream::Moves, kind.name()));
    let mut timed: Vec<(u64, Kind)> = Vec::new();
    for ((kind, part), rng) in Kind::ALL.into_iter().zip(parts).zip(&mut rngs) {
        for n in 0..kind.count(options.moves) {
            let at_us = if n == 0 {
                part * part_us + rng.below((part_us / 3).max(1))
            } else {
                options.quiet_us + rng.below(options.chaos_us - options.quiet_us)
            };
            timed.push((at_us, kind));
        }
    }
    timed.sort_by_key(|it| it.0);
    let locations: BTreeMap<NodeId, Location> = options.cluster().nodes;
    let all: NodeSet = locations.keys().copied().collect();
    let first = Made {
        nodes: options.nodeset.unwrap_or(all),
        replication: options.replication,
    };
    let mut logs: BTreeMap<LogId, Made> = (1..=options.workload.logs)
        .map(|log| (LogId(log), first.clone()))
        .collect();
    let mut moves = Vec::new();
    for (at_us, kind) in timed {
        let rng = &mut rngs[kind as usize];
        let log = LogId(rng.within(1..=u64::from(options.workload.logs)) as u32);
        let made = logs.get_mut(&log).expect("all logs are there");
        let quorums = match kind {
            Kind::Leader => None,
            Kind::Nodeset => Some(move_nodes(made, &locations, rng)),
            Kind::Quorums => Some(change_quorums(made, &locations, rng)),
        };
        let lead = match kind {
            Kind::Leader => true,
            // Sometimes all of it changes at once.
            Kind::Nodeset | Kind::Quorums => rng.chance(0.2),
        };
        let nodes: Vec<NodeId> = all.iter().collect();
        let to = lead.then(|| *rng.pick(&nodes).expect("a cluster has nodes"));
        moves.push(TimedMove {
            at_us,
            log,
            to,
            by_hand: lead && rng.chance(0.4),
            quorums,
        });
    }
    moves
}

#[derive(Clone, Copy)]
enum Kind {
    Leader,
    Nodeset,
    Quorums,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Leader, Self::Nodeset, Self::Quorums];

    fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Nodeset => "nodeset",
            Self::Quorums => "quorums",
        }
    }

    fn count(self, counts: MoveOptions) -> u32 {
        match self {
            Self::Leader => counts.leader,
            Self::Nodeset => counts.nodeset,
            Self::Quorums => counts.quorums,
        }
    }
}

/// Other nodes: one more, one less, one for another, or all of them others.
fn move_nodes(
    made: &mut Made,
    locations: &BTreeMap<NodeId, Location>,
    rng: &mut Rng,
) -> QuorumSystem {
    loop {
        let mut nodes: Vec<NodeId> = locations.keys().copied().collect();
        rng.shuffle(&mut nodes);
        let next: NodeSet = match rng.below(4) {
            0 => {
                let count = rng.within(NODESET) as usize;
                nodes.into_iter().take(count).collect()
            }
            1 => made
                .nodes
                .union(one(&nodes, |node| !made.nodes.contains(node))),
            2 => made
                .nodes
                .difference(one(&nodes, |node| made.nodes.contains(node))),
            _ => made
                .nodes
                .union(one(&nodes, |node| !made.nodes.contains(node)))
                .difference(one(&nodes, |node| made.nodes.contains(node))),
        };
        let sized = NODESET.contains(&(next.len() as u64));
        if sized
            && next != made.nodes
            && let Some(quorums) = system(next, made.replication, locations)
        {
            made.nodes = next;
            return quorums;
        }
    }
}

/// Another replication on the same nodes, or an expression over them.
fn change_quorums(
    made: &mut Made,
    locations: &BTreeMap<NodeId, Location>,
    rng: &mut Rng,
) -> QuorumSystem {
    if rng.chance(0.6) {
        let text = expression(made.nodes, rng);
        let quorums = QuorumSystem::parse(&text, &mut Names::cluster(locations));
        return quorums.expect("the expressions drawn here are quorum systems");
    }
    loop {
        let next = Replication {
            copies: rng.within(2..=3) as u8,
            racks: rng.within(1..=2) as u8,
            regions: 1,
        };
        if next != made.replication
            && let Some(quorums) = system(made.nodes, next, locations)
        {
            made.replication = next;
            return quorums;
        }
    }
}

/// Write quorums over 3 to 5 nodes; seal quorums are their dual.
fn expression(nodes: NodeSet, rng: &mut Rng) -> String {
    let mut nodes: Vec<String> = nodes.iter().map(|node| node.to_string()).collect();
    rng.shuffle(&mut nodes);
    let all = nodes.join(", ");
    match (rng.below(4), &nodes[..]) {
        (0, [a, b, c, d]) => format!("{a}*{b} + {c}*{d}"),
        (0, [a, b, c, d, e]) => format!("{a}*{b} + {c}*{d}*{e}"),
        (1, [_, _, _, _]) => format!("grid(2 x 2, {all})"),
        (1, [a, b, c, d, e]) => format!("{a} * choose(1, {b}, {c}) + {d}*{e}"),
        (0 | 1, [a, b, c]) => format!("{a} * ({b} + {c})"),
        (2, _) => format!("choose({}, {all})", rng.within(2..=3)),
        _ => format!("majority({all})"),
    }
}

fn one(nodes: &[NodeId], which: impl Fn(NodeId) -> bool) -> NodeSet {
    let found = nodes.iter().find(|&&node| which(node));
    found.map_or(NodeSet::EMPTY, |&node| NodeSet::only(node))
}

fn system(
    nodes: NodeSet,
    replication: Replication,
    locations: &BTreeMap<NodeId, Location>,
) -> Option<QuorumSystem> {
    let locations = nodes.iter().map(|node| (node, locations[&node])).collect();
    QuorumSystem::new(locations, replication).ok()
}
