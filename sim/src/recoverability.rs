//! Whether missing progress is excused: by damage beyond what must be survived, and by nothing else.
//!
//! A log that was given back all its nodes has to come to work again, unless what it would need is gone for
//! good. That is shown, not supposed: from the quorum system of each epoch and from what struck.

use hstore_core::LogId;

use crate::atlas::FaultAtlas;

/// Why a log cannot be expected to work, in one sentence. `None` if it can.
#[must_use]
pub fn excuse(atlas: &FaultAtlas, log: LogId) -> Option<String> {
    let gone = atlas.retired();
    let metadata = atlas.metadata();
    let left = metadata.difference(gone);
    if left.len() <= metadata.len() / 2 {
        return Some(format!(
            "of the metadata nodes {metadata} only {left} have a store: no majority can tell who leads {log}"
        ));
    }
    atlas.unclean(log).find_map(|(epoch, system, damaged)| {
        let rest = system.nodes().difference(damaged);
        if !system.is_seal_quorum(rest) {
            return Some(format!(
                "{epoch} of {log} cannot be recovered from what is known: its copies on {damaged} were damaged, and the others are no seal quorum of {system}"
            ));
        }
        let writers = system.nodes().difference(gone);
        (!system.is_write_quorum(writers)).then(|| {
            format!(
                "{epoch} of {log} has no write quorum left of {system}: the stores of {gone} are beyond repair"
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use hstore_core::quorum::QuorumSystem;
    use hstore_core::{Epoch, NodeId};

    use super::*;

    const LOG: LogId = LogId(1);
    const E1: (LogId, Epoch) = (LOG, Epoch(1));

    /// Two copies on five nodes, three of which hold the metadata.
    fn atlas() -> FaultAtlas {
        let mut atlas = FaultAtlas::new((1..4).map(NodeId).collect()).beyond();
        atlas.plan(LOG, &QuorumSystem::flat(5, 2).expect("valid"));
        atlas
    }

    #[test]
    fn what_the_quorum_systems_survive_excuses_nothing() {
        let mut atlas = atlas();
        assert_eq!(excuse(&atlas, LOG), None);
        assert!(atlas.lose(NodeId(1), [E1]));
        assert_eq!(excuse(&atlas, LOG), None);
    }

    #[test]
    fn damage_to_more_nodes_than_a_seal_quorum_can_miss_is_told() {
        let mut atlas = atlas();
        assert!(atlas.lose(NodeId(1), [E1]) && atlas.lose(NodeId(2), [E1]));
        let said = excuse(&atlas, LOG).expect("beyond");
        assert!(
            said.starts_with("e1 of") && said.contains("no seal quorum"),
            "{said}"
        );
        assert_eq!(excuse(&atlas, LogId(2)), None, "of another log");
    }

    #[test]
    fn an_epoch_that_is_clean_needs_no_recovery() {
        let mut atlas = atlas();
        assert!(atlas.lose(NodeId(1), [E1]) && atlas.lose(NodeId(2), [E1]));
        atlas.learn_clean(LOG, Epoch(1));
        assert_eq!(excuse(&atlas, LOG), None);
    }
}
