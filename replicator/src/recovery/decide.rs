//! The decision of a recovery: from what nodes hold to what the epoch is. Pure.

use std::collections::BTreeMap;

use hstore_core::quorum::{Answers, QuorumSystem, SealAnswer};
use hstore_core::{
    Ballot, Entry, NodeId, NodeSet, Offset, Precedence, Stamped, StoredCopy, planted, probe,
};

/// What the nodes of a mutation set hold of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digests {
    /// Up to here everything is fully replicated and stays as it is.
    pub last_known_good: Offset,
    /// By offset, the copies above that, by node. `None` is a copy that cannot be read: it proves
    /// neither a record nor its absence.
    pub copies: BTreeMap<Offset, BTreeMap<NodeId, Option<StoredCopy>>>,
    /// Nodes that may have lost copies: what they hold counts, what they lack proves nothing.
    pub amnesiac: NodeSet,
}

/// What an epoch is from now on, above its last known good offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Decision {
    /// Up to here everything stays as it is.
    pub last_known_good: Offset,
    /// What stands at each offset. An offset without an entry stays as it is: nothing is known of it,
    /// and absence proves nothing.
    pub entries: BTreeMap<Offset, Entry>,
    /// Where the epoch ends: the offset after its last record. `None` if absence proves nothing.
    pub bridge: Option<Offset>,
}

/// Decides. `members` are the nodes whose digests are complete. `None` means: ask more nodes.
///
/// The copy of highest precedence prevails at each offset. A bridge of an earlier attempt turns the
/// later offsets into holes only where it prevails over what is there; then it is forgotten, and a
/// new bridge stands after the last record. Where no record prevails there is a hole, if a seal
/// quorum of nodes that can tell says so.
#[must_use]
pub fn decide(quorums: &QuorumSystem, digests: &Digests, members: NodeSet) -> Option<Decision> {
    let last_known_good = digests.last_known_good;
    let above: BTreeMap<_, _> = digests.copies.range(last_known_good.next()..).collect();
    let bridges: Vec<(Offset, Precedence)> = above
        .iter()
        .flat_map(|(&&offset, copies)| copies.values().map(move |copy| (offset, copy)))
        .filter_map(|(offset, copy)| match copy {
            Some(copy) if copy.entry == Entry::Bridge => Some((offset, copy.precedence)),
            _ => None,
        })
        .collect();
    probe!("decide.bridge-of-an-earlier-attempt", !bridges.is_empty());
    let mut records: BTreeMap<Offset, Stamped> = BTreeMap::new();
    for (&&offset, copies) in &above {
        let winner = copies.values().flatten().max_by_key(|copy| copy.precedence);
        probe!(
            "decide.hole-of-an-earlier-attempt",
            copies
                .values()
                .flatten()
                .any(|copy| copy.entry == Entry::Hole)
        );
        if let Some(StoredCopy {
            precedence,
            entry: Entry::Record(record),
            ..
        }) = winner
            && !bridges
                .iter()
                .any(|(at, bridge)| *at < offset && bridge > precedence)
        {
            records.insert(offset, record.clone());
        }
    }
    let bridge = records
        .last_key_value()
        .map_or(last_known_good, |(&offset, _)| offset)
        .next();
    // Beyond the bridge, too: what anyone holds there must be overwritten.
    let last = if planted!("conflict-left") {
        bridge
    } else {
        above
            .last_key_value()
            .map_or(bridge, |(&&offset, _)| bridge.max(offset))
    };

    probe!("decide.copies-beyond-the-bridge", last > bridge);
    let mut entries = BTreeMap::new();
    let mut authoritative = true;
    for offset in last_known_good.0 + 1..=last.0 {
        let offset = Offset(offset);
        if let Some(record) = records.remove(&offset) {
            entries.insert(offset, Entry::Record(record));
            continue;
        }
        let unreadable: NodeSet = above
            .get(&offset)
            .into_iter()
            .flat_map(|copies| copies.iter())
            .filter(|(_, copy)| copy.is_none() && !planted!("checksum-as-absence"))
            .map(|(&node, _)| node)
            .collect();
        probe!("decide.unreadable-copy", !unreadable.is_empty());
        let answer = quorums.seal_answer(Answers {
            answered: members,
            authoritative: members.difference(unreadable).difference(digests.amnesiac),
            lost: NodeSet::EMPTY,
        });
        match answer {
            SealAnswer::None => return None,
            SealAnswer::NonAuthoritative => authoritative = false,
            SealAnswer::Incomplete | SealAnswer::Complete => {
                probe!("decide.hole", offset < bridge);
                entries.insert(offset, Entry::Hole);
            }
        }
    }
    let bridge = authoritative.then_some(bridge);
    match bridge {
        Some(bridge) => {
            entries.insert(bridge, Entry::Bridge);
        }
        // Readers must see loss as loss: neither holes nor a bridge.
        None => entries.retain(|_, entry| matches!(entry, Entry::Record(_))),
    }
    Some(Decision {
        last_known_good,
        entries,
        bridge,
    })
}

impl Decision {
    /// The last record of the epoch; `None` if it has none.
    #[must_use]
    pub fn last_record(&self) -> Option<Offset> {
        self.entries
            .iter()
            .rev()
            .find(|(_, entry)| matches!(entry, Entry::Record(_)))
            .map(|(&offset, _)| offset)
            .or((self.last_known_good > Offset(0)).then_some(self.last_known_good))
    }

    /// The last offset decided on.
    #[must_use]
    pub fn end(&self) -> Offset {
        let last = self.entries.last_key_value();
        last.map_or(self.last_known_good, |(&offset, _)| offset)
    }

    /// Records decided on.
    #[must_use]
    pub fn records(&self) -> u32 {
        self.count(|entry| matches!(entry, Entry::Record(_)))
    }

    /// Holes decided on.
    #[must_use]
    pub fn holes(&self) -> u32 {
        self.count(|entry| *entry == Entry::Hole)
    }

    fn count(&self, which: impl Fn(&Entry) -> bool) -> u32 {
        let count = self.entries.values().filter(|entry| which(entry)).count();
        u32::try_from(count).expect("an epoch has fewer than 2^32 offsets")
    }

    /// What each of `members` has to take so that the decision stands: plugs go to all; records to
    /// those that hold one, those that hold anything else or cannot read theirs, and to as many more
    /// as a write quorum needs. All of it at the precedence of `ballot`, also where a copy is equal
    /// already.
    #[must_use]
    pub fn plan(
        &self,
        quorums: &QuorumSystem,
        digests: &Digests,
        members: NodeSet,
        ballot: Ballot,
    ) -> BTreeMap<NodeId, Vec<(Offset, StoredCopy)>> {
        let mut plan: BTreeMap<NodeId, Vec<_>> =
            members.iter().map(|node| (node, Vec::new())).collect();
        let first = usize::from(planted!("mutate-off-by-one"));
        for (&offset, entry) in self.entries.iter().skip(first) {
            let mut targets = members;
            if matches!(entry, Entry::Record(_)) {
                let holders = digests.copies.get(&offset).into_iter().flatten();
                targets = holders.map(|(&node, _)| node).collect();
                targets = targets.intersection(members);
                for node in members.iter() {
                    if !quorums.is_write_quorum(targets) {
                        targets.insert(node);
                    }
                }
            }
            for node in targets.iter() {
                let copy = StoredCopy {
                    precedence: Precedence::of_recovery(ballot),
                    copyset: targets,
                    last_known_good: self.last_known_good,
                    entry: entry.clone(),
                };
                plan.get_mut(&node)
                    .expect("targets are members")
                    .push((offset, copy));
            }
        }
        plan
    }
}
