//! Write quorums and seal quorums of an epoch: pure set arithmetic, nothing of the protocol.
//!
//! Flexible Paxos (Howard, Malkhi, Spiegelman 2016) asks only that each quorum of one phase meets
//! each quorum of the other. Here the phases are *write* (a record is replicated) and *seal* (an
//! epoch is closed and its records are found). Seal quorums need not meet one another, and no
//! argument may rest on it.
//!
//! The replication property and the f-majority, its dual, are LogDevice's.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::ids::NodeId;
use crate::node_set::NodeSet;

/// Where a node stands: the failure domains it shares with others.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Location {
    /// The region. Racks of different regions are different racks, whatever their number.
    pub region: u16,
    /// The rack within the region.
    pub rack: u16,
}

/// A kind of failure domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// A node is a domain of its own.
    Node,
    /// The nodes of one rack.
    Rack,
    /// The nodes of one region.
    Region,
}

impl Scope {
    /// From the narrowest to the widest.
    pub const ALL: [Self; 3] = [Self::Node, Self::Rack, Self::Region];
}

/// How many copies a record has, and over how many failure domains of each scope they spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Replication {
    /// Copies, each on a node of its own; at least 1.
    pub copies: u8,
    /// Distinct racks among the copies; 1 asks for nothing.
    pub racks: u8,
    /// Distinct regions among the copies; 1 asks for nothing.
    pub regions: u8,
}

impl Replication {
    /// Copies on any distinct nodes.
    #[must_use]
    pub const fn copies(copies: u8) -> Self {
        Self {
            copies,
            racks: 1,
            regions: 1,
        }
    }

    fn required(self, scope: Scope) -> usize {
        usize::from(match scope {
            Scope::Node => self.copies,
            Scope::Rack => self.racks,
            Scope::Region => self.regions,
        })
    }
}

impl fmt::Display for Replication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} copies", self.copies)?;
        for (count, name) in [(self.racks, "racks"), (self.regions, "regions")] {
            if count > 1 {
                write!(f, " over {count} {name}")?;
            }
        }
        Ok(())
    }
}

/// Why a nodeset cannot carry a replication property.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuorumError {
    /// A count of 0 would let the empty set be a quorum.
    #[error("replication over {scope:?} domains is 0: the least is 1")]
    Zero {
        /// The scope that asks for nothing at all.
        scope: Scope,
    },
    /// The nodeset has fewer domains than the property asks for.
    #[error("{needed} {scope:?} domains are asked for, the nodeset has {present}")]
    TooFewDomains {
        /// The scope that cannot be satisfied.
        scope: Scope,
        /// Domains asked for.
        needed: usize,
        /// Domains the nodeset has.
        present: usize,
    },
}

/// The nodes an epoch may write to, and which sets of them are quorums. Valid by construction: the
/// whole nodeset is a write quorum and the empty set is neither kind of quorum.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QuorumSystem {
    locations: BTreeMap<NodeId, Location>,
    replication: Replication,
}

impl QuorumSystem {
    /// A nodeset under a replication property.
    ///
    /// # Errors
    /// If the nodeset can never satisfy the property, or the property asks for nothing.
    pub fn new(
        locations: BTreeMap<NodeId, Location>,
        replication: Replication,
    ) -> Result<Self, QuorumError> {
        let system = Self {
            locations,
            replication,
        };
        for scope in Scope::ALL {
            let needed = replication.required(scope);
            let present = system.domains(system.nodes(), scope);
            if needed == 0 {
                return Err(QuorumError::Zero { scope });
            }
            if needed > present {
                return Err(QuorumError::TooFewDomains {
                    scope,
                    needed,
                    present,
                });
            }
        }
        Ok(system)
    }

    /// Nodes `0..nodes`, each in one rack, with `copies` copies of each record.
    ///
    /// # Errors
    /// As [`QuorumSystem::new`].
    pub fn flat(nodes: u8, copies: u8) -> Result<Self, QuorumError> {
        let locations = (0..nodes)
            .map(|n| (NodeId(n), Location::default()))
            .collect();
        Self::new(locations, Replication::copies(copies))
    }

    /// The nodeset.
    #[must_use]
    pub fn nodes(&self) -> NodeSet {
        self.locations.keys().copied().collect()
    }

    /// The replication property.
    #[must_use]
    pub fn replication(&self) -> Replication {
        self.replication
    }

    /// Where the nodes of the nodeset stand.
    #[must_use]
    pub fn locations(&self) -> &BTreeMap<NodeId, Location> {
        &self.locations
    }

    /// Whether `set` satisfies the replication property in **all** scopes. Nodes outside the nodeset
    /// count for nothing.
    #[must_use]
    pub fn is_write_quorum(&self, set: NodeSet) -> bool {
        Scope::ALL
            .into_iter()
            .all(|scope| self.domains(set, scope) >= self.replication.required(scope))
    }

    /// Whether `set` meets every write quorum: in **some one** scope it covers all but r - 1
    /// domains fully, r being what the scope asks for (LogDevice's f-majority).
    #[must_use]
    pub fn is_seal_quorum(&self, set: NodeSet) -> bool {
        let missing = self.nodes().difference(set);
        Scope::ALL
            .into_iter()
            .any(|scope| self.domains(missing, scope) < self.replication.required(scope))
    }

    /// What the answers so far say about an epoch. See [`SealAnswer`].
    #[must_use]
    pub fn seal_answer(&self, answers: Answers) -> SealAnswer {
        let nodes = self.nodes();
        let silent = nodes.difference(answers.answered).difference(answers.lost);
        let authoritative = answers.answered.intersection(answers.authoritative);
        if !self.is_seal_quorum(authoritative) {
            return if silent.is_empty() {
                SealAnswer::NonAuthoritative
            } else {
                SealAnswer::None
            };
        }
        if nodes.is_subset(authoritative) {
            SealAnswer::Complete
        } else {
            SealAnswer::Incomplete
        }
    }

    /// How many domains of a scope the set touches.
    fn domains(&self, set: NodeSet, scope: Scope) -> usize {
        let members = set.iter().filter_map(|node| self.locations.get(&node));
        let domain = |location: &Location| match scope {
            Scope::Node => unreachable!("nodes are counted"),
            Scope::Rack => (location.region, location.rack),
            Scope::Region => (location.region, 0),
        };
        if scope == Scope::Node {
            return members.count();
        }
        // Sets are small and asked about for every answer: no allocation for up to 16 domains.
        let mut seen: SmallVec<[(u16, u16); 16]> = SmallVec::new();
        for location in members {
            let domain = domain(location);
            if !seen.contains(&domain) {
                seen.push(domain);
            }
        }
        seen.len()
    }
}

impl fmt::Display for QuorumSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {}", self.replication, self.nodes())
    }
}

/// Who has answered a question about an epoch, and with what standing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Answers {
    /// Nodes that answered.
    pub answered: NodeSet,
    /// Nodes that know all they ever stored of what is asked about. Only those that also answered
    /// count.
    pub authoritative: NodeSet,
    /// Nodes durably known to have lost their data. A node that merely is suspected, or slow, is
    /// not lost.
    pub lost: NodeSet,
}

/// What a set of answers allows to conclude.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum SealAnswer {
    /// No authoritative seal quorum yet, and a node that is not lost is silent: wait.
    None,
    /// An authoritative seal quorum answered: what none of them has was never fully replicated.
    Incomplete,
    /// Every node answered, with authority.
    Complete,
    /// Every node that is not lost answered and there is still no authoritative seal quorum:
    /// absence proves nothing.
    NonAuthoritative,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn set(mask: u32) -> NodeSet {
        (0..8).filter(|n| mask >> n & 1 == 1).map(NodeId).collect()
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
                                let meets_every_write_quorum = (0..=all)
                                    .all(|other| !brute[other as usize] || other & mask != 0);
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
    }

    #[test]
    fn nodes_of_other_nodesets_count_for_nothing() {
        let system = QuorumSystem::flat(3, 2).expect("valid");
        assert!(!system.is_write_quorum(set(0b1111_1001)));
        assert!(!system.is_seal_quorum(set(0b1111_0001)));
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
}
