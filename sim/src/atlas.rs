//! The fault atlas: which damage to durable data may strike, and what has struck.
//!
//! A power failure takes nothing that was synced, and a partition takes nothing at all: of such faults
//! there may be any number. *Damage* is what takes something that the product was promised to keep: a
//! flipped bit, or copies that a log under `memory` lets a node keep unsynced. A protocol survives so much
//! of it and no more. The atlas knows what, and refuses the rest, so that a red run is always a bug.
//!
//! A set of damaged nodes is tolerated by a quorum system if
//!
//! - it contains no write quorum: every record that was acknowledged has a copy elsewhere; so no two
//!   copies of a record that are all it has are ever damaged;
//! - the other nodes are a seal quorum: recovery can tell what was never stored.
//!
//! Copies of an epoch are on the nodes of its own quorum system, and its recovery asks those; so damage to
//! them is judged for that system alone. Which one that is the atlas hears from what acceptors make
//! durable, which is before anything of the epoch is stored: there may be several, of which the register
//! comes to hold one, and then each of them counts. What strikes a node as a whole strikes all epochs, also
//! those that are planned or may begin. Damage counts for good: a repair may come, and is not waited for.
//! All that errs on the side of too little damage.
//!
//! A node whose store cannot be opened any more is *retired*: it is down for the rest of the run, as long
//! as nothing rebuilds it. Enough others must remain for the log to work: a write quorum of each system
//! and a majority of the metadata nodes.
//!
//! Damage to copies may go *beyond* that on purpose. Then a record may be lost, and must be told as lost.

use std::collections::{BTreeMap, BTreeSet};

use hstore_core::quorum::QuorumSystem;
use hstore_core::{Epoch, LogId, NodeId, NodeSet};
use hstore_replicator::register::RegisterValue;

/// What is damaged.
#[derive(Clone, Debug)]
pub struct FaultAtlas {
    metadata: NodeSet,
    /// What epochs of a log may be made of.
    systems: BTreeMap<LogId, Systems>,
    /// Nodes that lost data of an epoch.
    lost: BTreeMap<(LogId, Epoch), NodeSet>,
    /// Nodes whose store is damaged as a whole.
    retired: NodeSet,
    /// Nodes about to lose what they have in memory, by what waits for them.
    armed: BTreeSet<(NodeId, Arms)>,
    /// The last clean epoch of each log.
    clean: BTreeMap<LogId, Epoch>,
    refused: u64,
    granted: u64,
    /// Whether copies may be damaged whatever that takes.
    beyond: bool,
}

/// By what a node may come to lose what it has in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Arms {
    /// A power failure that waits for a file operation.
    Crash,
    /// The fault with this number, for as long as it lasts.
    Fault(u32),
}

/// What epochs of one log may be made of.
#[derive(Clone, Debug, Default)]
struct Systems {
    /// Of epochs that may begin.
    planned: Vec<QuorumSystem>,
    /// Of epochs that have begun, or were going to.
    spans: Vec<Span>,
}

/// These epochs have, or may have, this system.
#[derive(Clone, Debug)]
struct Span {
    first: Epoch,
    last: Epoch,
    quorums: QuorumSystem,
}

impl Systems {
    fn learn(&mut self, first: Epoch, last: Epoch, quorums: &QuorumSystem) {
        let mut known = self.spans.iter_mut();
        match known.find(|it| it.first == first && it.quorums == *quorums) {
            Some(span) => span.last = span.last.max(last),
            None => self.spans.push(Span {
                first,
                last,
                quorums: quorums.clone(),
            }),
        }
    }

    /// What an epoch may be made of.
    fn of(&self, epoch: Epoch) -> impl Iterator<Item = &QuorumSystem> {
        let covers = move |span: &&Span| span.first <= epoch && epoch <= span.last;
        let known = self.spans.iter().any(|span| covers(&span));
        let spans = self.spans.iter().filter(covers).map(|span| &span.quorums);
        let planned = self.planned.iter().filter(move |_| !known);
        spans.chain(planned)
    }

    /// What any epoch is or may be made of.
    fn all(&self) -> impl Iterator<Item = &QuorumSystem> {
        let spans = self.spans.iter().map(|span| &span.quorums);
        spans.chain(&self.planned)
    }
}

impl FaultAtlas {
    /// Nothing is damaged, no epoch is known.
    #[must_use]
    pub fn new(metadata: NodeSet) -> Self {
        Self {
            metadata,
            systems: BTreeMap::new(),
            lost: BTreeMap::new(),
            retired: NodeSet::EMPTY,
            armed: BTreeSet::new(),
            clean: BTreeMap::new(),
            refused: 0,
            granted: 0,
            beyond: false,
        }
    }

    /// Lets damage to copies go beyond what must be survived.
    #[must_use]
    pub fn beyond(mut self) -> Self {
        self.beyond = true;
        self
    }

    /// How often damage was allowed.
    #[must_use]
    pub fn granted(&self) -> u64 {
        self.granted
    }

    /// How often damage was refused.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Nodes whose store is damaged as a whole.
    #[must_use]
    pub fn retired(&self) -> NodeSet {
        self.retired
    }

    /// Nodes that lost, or may be about to lose, data of an epoch.
    #[must_use]
    pub fn lost(&self, log: LogId, epoch: Epoch) -> NodeSet {
        let lost = self.lost.get(&(log, epoch)).copied().unwrap_or_default();
        lost.union(self.retired).union(self.armed())
    }

    /// Nodes that hold the metadata.
    #[must_use]
    pub fn metadata(&self) -> NodeSet {
        self.metadata
    }

    /// The epochs of a log that lost something and that the register does not count as clean: what each may
    /// be made of, and the nodes that are damaged.
    pub fn unclean(&self, log: LogId) -> impl Iterator<Item = (Epoch, &QuorumSystem, NodeSet)> {
        let epochs = self.lost.keys().filter(move |(of, _)| *of == log);
        let unclean = epochs.filter(move |(_, epoch)| !self.is_clean(log, *epoch));
        unclean.flat_map(move |&(_, epoch)| {
            let systems = self.systems.get(&log).into_iter();
            let damaged = self.lost(log, epoch);
            systems.flat_map(move |it| it.of(epoch).map(move |system| (epoch, system, damaged)))
        })
    }

    /// An epoch of a log that is yet to begin may have this quorum system.
    pub fn plan(&mut self, log: LogId, quorums: &QuorumSystem) {
        let planned = &mut self.systems.entry(log).or_default().planned;
        if !planned.contains(quorums) {
            planned.push(quorums.clone());
        }
    }

    /// The register of a log holds this, or may come to.
    pub fn learn(&mut self, log: LogId, value: &RegisterValue) {
        let systems = self.systems.entry(log).or_default();
        let ends = value
            .spans
            .iter()
            .skip(1)
            .map(|span| Epoch(span.first.0 - 1));
        for (span, last) in value.spans.iter().zip(ends.chain([value.epoch])) {
            systems.learn(span.first, last, &span.quorums);
        }
    }

    /// The register counts an epoch as clean.
    pub fn learn_clean(&mut self, log: LogId, epoch: Epoch) {
        let clean = self.clean.entry(log).or_default();
        *clean = (*clean).max(epoch);
    }

    /// Whether the register is known to count an epoch as clean.
    #[must_use]
    pub fn is_clean(&self, log: LogId, epoch: Epoch) -> bool {
        self.clean.get(&log).is_some_and(|clean| *clean >= epoch)
    }

    /// Whether an epoch is what it was with these nodes damaged, whatever it is made of.
    fn survives(&self, log: LogId, epoch: Epoch, damaged: NodeSet) -> bool {
        let systems = self.systems.get(&log).into_iter();
        let mut systems = systems.flat_map(|it| it.of(epoch));
        systems.all(|system| tolerates(system, damaged))
    }

    /// Whether `node` may lose data of these epochs; if so it has, from now on.
    pub fn lose(
        &mut self,
        node: NodeId,
        epochs: impl IntoIterator<Item = (LogId, Epoch), IntoIter: Clone>,
    ) -> bool {
        let epochs = epochs.into_iter();
        let mut each = epochs.clone();
        let tolerated = self.beyond
            || each.all(|(log, epoch)| {
                let damaged = self.lost(log, epoch).union(NodeSet::only(node));
                self.survives(log, epoch, damaged)
            });
        if !tolerated {
            self.refused += 1;
            return false;
        }
        self.granted += 1;
        self.note_lost(node, epochs);
        true
    }

    /// `node` has lost data of these epochs: what struck it was granted before.
    pub fn note_lost(&mut self, node: NodeId, epochs: impl IntoIterator<Item = (LogId, Epoch)>) {
        for key in epochs {
            self.lost.entry(key).or_default().insert(node);
        }
    }

    fn armed(&self) -> NodeSet {
        self.armed.iter().map(|(node, _)| *node).collect()
    }

    /// Whether `node` may lose what it has in memory at some time from now on, until
    /// [`FaultAtlas::disarm`]; `epochs` are those that it has there now.
    pub fn arm(
        &mut self,
        node: NodeId,
        by: Arms,
        epochs: impl IntoIterator<Item = (LogId, Epoch), IntoIter: Clone>,
    ) -> bool {
        let down = self.retired.union(self.armed());
        let damaged = down.union(NodeSet::only(node));
        // Of the epochs that begin until then nothing is known yet.
        let systems = self.systems.values();
        // What has begun is stored on nodes that may have lost some of it, and goes on to be.
        let mut lost = self.lost.iter();
        let tolerated = { systems }
            .flat_map(Systems::all)
            .all(|it| tolerates(it, damaged))
            && lost.all(|(&(log, epoch), lost)| {
                self.is_clean(log, epoch) || self.survives(log, epoch, lost.union(damaged))
            });
        if !tolerated {
            self.refused += 1;
            return false;
        }
        if !self.lose(node, epochs) {
            return false;
        }
        self.armed.insert((node, by));
        true
    }

    /// What `node` was armed by has struck, or is off.
    pub fn disarm(&mut self, node: NodeId, by: Arms) {
        self.armed.remove(&(node, by));
    }

    /// Whether the whole store of `node` may be damaged; if so it is, from now on.
    pub fn retire(&mut self, node: NodeId) -> bool {
        if !self.may_retire(node) {
            self.refused += 1;
            return false;
        }
        self.granted += 1;
        self.retired.insert(node);
        true
    }

    /// Whether [`FaultAtlas::retire`] would be granted.
    #[must_use]
    pub fn may_retire(&self, node: NodeId) -> bool {
        let retired = self.retired.union(NodeSet::only(node));
        let left = self.metadata.difference(retired);
        let down = retired.union(self.armed());
        let works = |system: &QuorumSystem| {
            system.is_write_quorum(system.nodes().difference(retired)) && tolerates(system, down)
        };
        let mut lost = self.lost.iter();
        left.len() > self.metadata.len() / 2
            && self.systems.values().flat_map(Systems::all).all(works)
            && lost.all(|(&(log, epoch), lost)| self.survives(log, epoch, lost.union(down)))
    }
}

fn tolerates(system: &QuorumSystem, damaged: NodeSet) -> bool {
    !system.is_write_quorum(damaged) && system.is_seal_quorum(system.nodes().difference(damaged))
}

#[cfg(test)]
mod tests {
    use hstore_replicator::message::EpochSpan;

    use super::*;

    const LOG: LogId = LogId(1);
    const E1: (LogId, Epoch) = (LOG, Epoch(1));
    const E2: (LogId, Epoch) = (LOG, Epoch(2));

    fn atlas(copies: u8) -> FaultAtlas {
        let mut atlas = FaultAtlas::new((0..3).map(NodeId).collect());
        atlas.plan(LOG, &flat(5, copies));
        atlas
    }

    fn flat(nodes: u8, copies: u8) -> QuorumSystem {
        QuorumSystem::flat(nodes, copies).expect("valid")
    }

    /// A register's value in `epoch`, with spans that begin at these epochs.
    fn value(epoch: u32, spans: &[(u32, QuorumSystem)]) -> RegisterValue {
        let spans = spans.iter().map(|(first, quorums)| EpochSpan {
            first: Epoch(*first),
            quorums: quorums.clone(),
        });
        RegisterValue {
            epoch: Epoch(epoch),
            spans: spans.collect(),
            ..RegisterValue::default()
        }
    }

    #[test]
    fn damaged_nodes_contain_no_write_quorum() {
        let mut atlas = atlas(2);
        assert!(atlas.lose(NodeId(0), [E1]));
        assert!(!atlas.lose(NodeId(1), [E1]), "both copies of a record");
        assert!(atlas.lose(NodeId(0), [E1]), "what is lost already");
        assert_eq!(atlas.refused(), 1);
        assert_eq!(atlas.lost(LOG, Epoch(1)), NodeSet::only(NodeId(0)));
    }

    #[test]
    fn beyond_what_must_be_survived_nodes_still_work() {
        let mut atlas = atlas(2).beyond();
        assert!((0..5).all(|node| atlas.lose(NodeId(node), [E1])));
        assert_eq!((atlas.granted(), atlas.refused()), (5, 0));
        assert!(
            !atlas.retire(NodeId(0)),
            "a log that does not work tells nothing"
        );
    }

    #[test]
    fn epochs_are_damaged_by_themselves() {
        let mut atlas = atlas(2);
        assert!(atlas.lose(NodeId(0), [E1]));
        assert!(atlas.lose(NodeId(1), [E2]));
        assert!(!atlas.lose(NodeId(2), [(LOG, Epoch(3)), E1]), "one of them");
        assert_eq!(atlas.lost(LOG, Epoch(3)), NodeSet::EMPTY, "all or none");
    }

    #[test]
    fn the_others_are_a_seal_quorum() {
        let mut atlas = atlas(3);
        assert!(atlas.lose(NodeId(0), [E1]) && atlas.lose(NodeId(1), [E1]));
        let left: NodeSet = (2..5).map(NodeId).collect();
        assert!(
            QuorumSystem::flat(5, 3)
                .expect("valid")
                .is_seal_quorum(left)
        );
        assert!(!atlas.lose(NodeId(2), [E1]));
    }

    #[test]
    fn an_epoch_is_judged_by_its_own_system() {
        let mut atlas = atlas(3);
        atlas.learn(LOG, &value(4, &[(1, flat(5, 3)), (3, flat(4, 2))]));
        for (epoch, spared) in [(1, 2), (2, 2), (3, 1), (4, 1)] {
            let lost = (0..4).filter(|node| atlas.lose(NodeId(*node), [(LOG, Epoch(epoch))]));
            assert_eq!(lost.count(), spared, "epoch {epoch}");
        }
    }

    #[test]
    fn an_epoch_that_is_not_known_is_judged_by_all_that_are_planned() {
        let mut atlas = atlas(3);
        atlas.plan(LOG, &flat(4, 2));
        assert!(atlas.lose(NodeId(0), [E1]));
        assert!(!atlas.lose(NodeId(1), [E1]));
        // Then it is known.
        atlas.learn(LOG, &value(1, &[(1, flat(5, 3))]));
        assert!(atlas.lose(NodeId(1), [E1]));
        assert!(atlas.lose(NodeId(0), [E2]));
        assert!(!atlas.lose(NodeId(1), [E2]));
    }

    #[test]
    fn of_several_values_that_a_register_may_hold_each_counts() {
        let mut atlas = atlas(3);
        atlas.learn(LOG, &value(1, &[(1, flat(5, 3))]));
        atlas.learn(LOG, &value(2, &[(1, flat(5, 3))]));
        atlas.learn(LOG, &value(2, &[(1, flat(5, 3)), (2, flat(5, 2))]));
        assert!(atlas.lose(NodeId(0), [E2]));
        assert!(!atlas.lose(NodeId(1), [E2]), "two copies may be all");
        assert!(atlas.lose(NodeId(0), [E1]) && atlas.lose(NodeId(1), [E1]));
    }

    #[test]
    fn a_node_is_retired_if_every_epoch_and_every_plan_can_spare_it() {
        for (epochs, plan, spared) in [
            (flat(5, 3), flat(5, 3), 2),
            (flat(5, 2), flat(5, 3), 1),
            (flat(5, 3), flat(5, 2), 1),
        ] {
            let mut atlas = FaultAtlas::new((0..5).map(NodeId).collect());
            atlas.plan(LOG, &plan);
            atlas.learn(LOG, &value(1, &[(1, epochs)]));
            let retired = (0..5).filter(|node| atlas.retire(NodeId(*node))).count();
            assert_eq!(retired, spared);
            assert_eq!(atlas.granted(), spared as u64);
            assert_eq!(atlas.refused(), 5 - spared as u64);
        }
    }

    #[test]
    fn a_node_that_other_epochs_miss_is_spared_by_those_that_do_not() {
        let mut atlas = FaultAtlas::new((0..5).map(NodeId).collect());
        atlas.plan(LOG, &flat(5, 3));
        atlas.learn(LOG, &value(2, &[(1, flat(5, 2)), (2, flat(5, 3))]));
        assert!(atlas.lose(NodeId(0), [E1]));
        assert!(
            !atlas.retire(NodeId(1)),
            "the two are all that epoch 1 may have"
        );
        assert!(atlas.retire(NodeId(0)), "it has lost that already");
    }

    #[test]
    fn what_is_armed_counts_for_all_epochs() {
        let mut atlas = atlas(2);
        assert!(atlas.arm(NodeId(0), Arms::Crash, [E1]));
        assert!(
            !atlas.lose(NodeId(1), [E2]),
            "it may begin before the crash"
        );
        assert!(!atlas.arm(NodeId(1), Arms::Crash, []));
        assert!(atlas.arm(NodeId(0), Arms::Fault(3), [E1]), "once more");
        atlas.disarm(NodeId(0), Arms::Crash);
        assert!(!atlas.lose(NodeId(1), [E2]), "the fault goes on");
        atlas.disarm(NodeId(0), Arms::Fault(3));
        assert!(atlas.lose(NodeId(1), [E2]));
        assert!(
            !atlas.lose(NodeId(1), [E1]),
            "granted is lost, for all anyone knows"
        );
    }

    #[test]
    fn retired_nodes_leave_enough_to_work_with() {
        // 4 of 5 copies: two nodes' data can be spared, but not their work.
        let mut four = atlas(4);
        assert!(four.retire(NodeId(3)));
        assert!(!four.retire(NodeId(4)));
        let mut two = atlas(3);
        assert!(two.retire(NodeId(0)));
        assert!(!two.retire(NodeId(1)), "a majority of three metadata nodes");
        assert!(two.retire(NodeId(4)));
        assert!(!two.lose(NodeId(1), [E1]), "retired nodes lost everything");
    }

    #[test]
    fn a_retired_node_counts_with_what_others_lost() {
        let mut atlas = atlas(2);
        assert!(atlas.lose(NodeId(1), [E1]));
        assert!(!atlas.retire(NodeId(4)));
        assert_eq!(atlas.retired(), NodeSet::EMPTY);
    }
}
