//! What the nodes of an expression are called.

use std::collections::BTreeMap;

use super::replication::Location;
use crate::ids::NodeId;
use crate::node_set::NodeSet;

/// The names that an expression may use, and what they mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    nodes: BTreeMap<String, NodeId>,
    locations: BTreeMap<NodeId, Location>,
    /// What names may be added.
    open: Open,
}

/// How a name that is not known yet is understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    /// It is refused.
    No,
    /// Nothing has been named yet.
    Undecided,
    /// `n7` is node 7; anything else is refused.
    Numbers,
    /// It is the next node, from 0; `n7` is refused.
    Words,
}

impl Names {
    /// No table: either all names are numbers (`n0`, `n7`), or they are words and mean nodes 0, 1, ...
    /// in the order in which they first appear. All nodes stand in one rack.
    #[must_use]
    pub fn open() -> Self {
        Self {
            nodes: BTreeMap::new(),
            locations: BTreeMap::new(),
            open: Open::Undecided,
        }
    }

    /// The nodes of a cluster, called `n0`, `n1` and so on, and where they stand.
    #[must_use]
    pub fn cluster(locations: &BTreeMap<NodeId, Location>) -> Self {
        let nodes = locations.keys().map(|node| (node.to_string(), *node));
        Self {
            nodes: nodes.collect(),
            locations: locations.clone(),
            open: Open::No,
        }
    }

    /// These names; all nodes stand in one rack.
    #[must_use]
    pub fn table(nodes: BTreeMap<String, NodeId>) -> Self {
        Self {
            nodes,
            locations: BTreeMap::new(),
            open: Open::No,
        }
    }

    /// The name of a node, if it has one.
    #[must_use]
    pub fn name(&self, node: NodeId) -> Option<&str> {
        let mut names = self.nodes.iter().filter(|it| *it.1 == node);
        names.next().map(|it| it.0.as_str())
    }

    /// Where a node stands, for all that is known.
    pub(super) fn location(&self, node: NodeId) -> Location {
        self.locations.get(&node).copied().unwrap_or_default()
    }

    /// The node of a name, or what would be a name.
    pub(super) fn resolve(&mut self, name: &str) -> Result<NodeId, String> {
        if let Some(&node) = self.nodes.get(name) {
            return Ok(node);
        }
        let numbered = number(name);
        let most = NodeSet::MAX_NODES;
        let node = match (self.open, numbered) {
            (Open::Undecided | Open::Numbers, Some(number)) => {
                self.open = Open::Numbers;
                if number >= most as u64 {
                    return Err(format!("a node from n0 to n{}", most - 1));
                }
                NodeId(number as u8)
            }
            (Open::Undecided | Open::Words, None) => {
                self.open = Open::Words;
                if self.nodes.len() >= most {
                    return Err(format!("no more than {most} different nodes"));
                }
                NodeId(self.nodes.len() as u8)
            }
            (Open::Numbers, None) => {
                return Err("a numbered node such as `n0`, as before".to_owned());
            }
            (Open::Words, Some(_)) => {
                return Err(
                    "a word such as `a`, as before: `n` with a number would not mix".to_owned(),
                );
            }
            (Open::No, _) => return Err(format!("one of the nodes {}", self.list())),
        };
        self.nodes.insert(name.to_owned(), node);
        Ok(node)
    }

    /// The first `count` nodes, in the order of their numbers.
    pub(super) fn first(&mut self, count: u64) -> Result<Vec<NodeId>, String> {
        let known: NodeSet = self.nodes.values().copied().collect();
        let most = match self.open {
            Open::No => known.len(),
            Open::Undecided | Open::Numbers => NodeSet::MAX_NODES,
            Open::Words => return Err("the names of the nodes: so far they are words".to_owned()),
        };
        if count > most as u64 {
            return Err(format!("at most {most}, the number of nodes"));
        }
        if self.open == Open::No {
            return Ok(known.iter().take(count as usize).collect());
        }
        let names: Vec<String> = (0..count).map(|n| format!("n{n}")).collect();
        names.iter().map(|name| self.resolve(name)).collect()
    }

    fn list(&self) -> String {
        let mut nodes: Vec<_> = self.nodes.iter().map(|(name, node)| (node, name)).collect();
        nodes.sort();
        let names: Vec<&str> = nodes.into_iter().map(|it| it.1.as_str()).collect();
        match names.as_slice() {
            [first, .., last] if names.len() > 8 => format!("{first} to {last}"),
            _ => names.join(", "),
        }
    }
}

/// The number of a name like `n7`.
fn number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix('n')?;
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits == "0" || !digits.starts_with('0');
    // A number beyond all bounds is one all the same.
    (plain && canonical).then(|| digits.parse().unwrap_or(u64::MAX))
}
