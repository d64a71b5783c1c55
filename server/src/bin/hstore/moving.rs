//! `hstore move`.

use hstore_core::quorum::{Names, QuorumSystem, Replication};
use hstore_core::{NodeId, NodeSet};
use hstore_replicator::client::{Call, Outcome};
use hstore_replicator::config::{ClusterConfig, LogSpec};
use hstore_replicator::message::Move;
use serde_json::json;

use crate::Which;
use crate::output::{print, wrong};
use crate::reach::Reach;

/// What is asked for.
pub(crate) struct Wish {
    pub(crate) to: Option<String>,
    pub(crate) by_hand: bool,
    pub(crate) quorums: Option<String>,
    pub(crate) nodes: Vec<u8>,
    pub(crate) replication: Option<Replication>,
}

/// `hstore move`.
pub(crate) async fn run(log: u32, wish: Wish, which: &Which) -> anyhow::Result<()> {
    let reach = Reach::of(which)?;
    let log = reach.log(log)?;
    let config = &reach.cluster.config;
    let to = wish
        .to
        .as_deref()
        .map(|name| node(config, name))
        .transpose()?;
    let quorums = quorums(config, &wish)?;
    let call = Call::Move {
        log,
        wanted: Move { to, quorums },
        by_hand: wish.by_hand,
    };
    // A move says what is to be: it may be asked for again.
    let Outcome::Moved(epoch) = reach.join()?.ask(call).await? else {
        anyhow::bail!("a move was answered with something else");
    };
    let text = if which.json {
        format!("{}\n", json!({"log": log.0, "epoch": epoch.0}))
    } else {
        format!("{log} is in {epoch}\n")
    };
    print(text.as_bytes())?;
    Ok(())
}

fn node(config: &ClusterConfig, name: &str) -> anyhow::Result<NodeId> {
    let number = name.strip_prefix('n').unwrap_or(name).parse().ok();
    number
        .map(NodeId)
        .filter(|node| config.nodes.contains_key(node))
        .ok_or_else(|| wrong(format!("`{name}` is no node of the cluster")))
}

fn quorums(config: &ClusterConfig, wish: &Wish) -> anyhow::Result<Option<QuorumSystem>> {
    if let Some(text) = &wish.quorums {
        let parsed = QuorumSystem::parse(text, &mut Names::cluster(&config.nodes));
        return parsed
            .map(Some)
            .map_err(|error| wrong(format!("`{text}` is no quorum system: {error}")));
    }
    let Some(replication) = wish.replication else {
        return Ok(None);
    };
    let known = |&number: &u8| config.nodes.contains_key(&NodeId(number));
    if let Some(number) = wish.nodes.iter().find(|number| !known(number)) {
        return Err(wrong(format!("the cluster has no node {number}")));
    }
    let nodeset: NodeSet = if wish.nodes.is_empty() {
        config.nodes.keys().copied().collect()
    } else {
        wish.nodes.iter().map(|&number| NodeId(number)).collect()
    };
    LogSpec::replicated(&config.nodes, nodeset, replication)
        .map(|spec| Some(spec.quorums))
        .map_err(wrong)
}
