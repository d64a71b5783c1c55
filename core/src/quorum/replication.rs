//! Copies over failure domains: LogDevice's replication property, and its dual, the f-majority.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

use super::QuorumError;
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

/// Nodes in their failure domains under a replication property that they can carry.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Description")]
pub struct Nodeset {
    locations: BTreeMap<NodeId, Location>,
    replication: Replication,
    nodes: NodeSet,
    /// The members of each rack and of each region: asked about for every answer.
    racks: Vec<NodeSet>,
    regions: Vec<NodeSet>,
}

/// What a nodeset is made from: the rest follows.
#[derive(Deserialize)]
struct Description {
    locations: BTreeMap<NodeId, Location>,
    replication: Replication,
}

/// As a [`Description`], which it need not become for that.
impl Serialize for Nodeset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Description", 2)?;
        fields.serialize_field("locations", &self.locations)?;
        fields.serialize_field("replication", &self.replication)?;
        fields.end()
    }
}

impl TryFrom<Description> for Nodeset {
    type Error = QuorumError;

    fn try_from(description: Description) -> Result<Self, QuorumError> {
        Self::new(description.locations, description.replication)
    }
}

impl Hash for Nodeset {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.locations.hash(state);
        self.replication.hash(state);
    }
}

impl Nodeset {
    /// Nodes under a replication property.
    ///
    /// # Errors
    /// If the nodes can never satisfy the property, the property asks for nothing, or a node's number
    /// is too high.
    pub fn new(
        locations: BTreeMap<NodeId, Location>,
        replication: Replication,
    ) -> Result<Self, QuorumError> {
        if let Some((&node, _)) = locations.last_key_value()
            && usize::from(node.0) >= NodeSet::MAX_NODES
        {
            return Err(QuorumError::NodeNumber { node });
        }
        let mut racks: BTreeMap<(u16, u16), NodeSet> = BTreeMap::new();
        let mut regions: BTreeMap<u16, NodeSet> = BTreeMap::new();
        for (&node, at) in &locations {
            racks.entry((at.region, at.rack)).or_default().insert(node);
            regions.entry(at.region).or_default().insert(node);
        }
        let nodeset = Self {
            nodes: locations.keys().copied().collect(),
            locations,
            replication,
            racks: racks.into_values().collect(),
            regions: regions.into_values().collect(),
        };
        for scope in Scope::ALL {
            let needed = replication.required(scope);
            let present = nodeset.domains(nodeset.nodes, scope);
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
        Ok(nodeset)
    }

    /// The nodes.
    #[must_use]
    pub fn nodes(&self) -> NodeSet {
        self.nodes
    }

    /// Where they stand.
    #[must_use]
    pub fn locations(&self) -> &BTreeMap<NodeId, Location> {
        &self.locations
    }

    /// The replication property.
    #[must_use]
    pub fn replication(&self) -> Replication {
        self.replication
    }

    /// Whether `set` satisfies the replication property in **all** scopes. Other nodes count for
    /// nothing.
    #[must_use]
    pub fn is_satisfied(&self, set: NodeSet) -> bool {
        let set = set.intersection(self.nodes);
        Scope::ALL
            .into_iter()
            .all(|scope| self.reaches(set, scope, self.replication.required(scope)))
    }

    /// Whether `set` meets every set that satisfies the property: in **some one** scope it covers all
    /// but r - 1 domains fully, r being what the scope asks for.
    #[must_use]
    pub fn is_f_majority(&self, set: NodeSet) -> bool {
        let missing = self.nodes.difference(set);
        Scope::ALL
            .into_iter()
            .any(|scope| !self.reaches(missing, scope, self.replication.required(scope)))
    }

    /// The domains of a scope, each as the set of its nodes.
    pub(super) fn domains_of(&self, scope: Scope) -> Vec<NodeSet> {
        match scope {
            Scope::Node => self.nodes.iter().map(NodeSet::only).collect(),
            Scope::Rack => self.racks.clone(),
            Scope::Region => self.regions.clone(),
        }
    }

    /// How many domains the property asks for.
    pub(super) fn required(&self, scope: Scope) -> usize {
        self.replication.required(scope)
    }

    /// How many domains of a scope a set of the nodes touches.
    pub(super) fn domains(&self, set: NodeSet, scope: Scope) -> usize {
        let domains = match scope {
            Scope::Node => return set.len(),
            Scope::Rack => &self.racks,
            Scope::Region => &self.regions,
        };
        let touched = domains
            .iter()
            .filter(|it| !set.intersection(**it).is_empty());
        touched.count()
    }

    /// Whether a set of the nodes touches so many domains. One is what any node does: mostly nothing
    /// more is asked for.
    fn reaches(&self, set: NodeSet, scope: Scope, count: usize) -> bool {
        if count <= 1 {
            return !set.is_empty();
        }
        self.domains(set, scope) >= count
    }
}
