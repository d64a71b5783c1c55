//! What was acknowledged survives `kill -9`.

mod common;

use common::Nodes;
use common::load::{Load, assert_valid};
use hstore_core::LogId;
use hstore_server::storage::{GROUP_COMMITS, WAL_SYNCS};
use jepsen_lite::verdict::VerdictKind;

/// Appends that are acknowledged between two kills.
const BETWEEN: u64 = 200;

/// Nodes are killed in turn, each twice, and the sequencer of a log twice more, while four clients
/// append: one node is always down or just back.
#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_killed_in_turn_under_load() {
    let mut nodes = Nodes::start(3, 2, 2);
    let mut load = Load::start(&nodes.cluster, 4);
    load.progress(BETWEEN).await;
    let mut sequencers_killed = 0;
    for round in 0..2 {
        for turn in 0..4 {
            let mut sequencer = nodes.sequencer(LogId(1)).await;
            while turn == 3 && sequencer.is_none() {
                // It is being replaced; the other log may make progress meanwhile.
                load.progress(1).await;
                sequencer = nodes.sequencer(LogId(1)).await;
            }
            let node = match (turn, sequencer) {
                (3, Some(sequencer)) => sequencer,
                _ => nodes.all()[turn],
            };
            sequencers_killed += u32::from(sequencer == Some(node));
            println!("round {round}: {node} is killed, {sequencer:?} sequences");
            nodes.kill(&[node]);
            load.progress(BETWEEN).await;
            nodes.run(node);
            load.progress(BETWEEN).await;
        }
    }
    assert!(sequencers_killed >= 2);
    load.reach(5_000).await;
    let report = load.finish().await;
    assert_valid(&report, 5_000);
}

/// All nodes are killed at once. `kill -9` keeps what the operating system has not yet written, so it is
/// counted too that every group of acknowledged writes had its sync.
#[tokio::test(flavor = "multi_thread")]
async fn all_nodes_are_killed_at_once_under_load() {
    let mut nodes = Nodes::start(3, 2, 3);
    let mut load = Load::start(&nodes.cluster, 4);
    for round in 0..10 {
        load.progress(BETWEEN).await;
        for node in nodes.all() {
            let status = nodes.status(node).await;
            let commits = status.counters[GROUP_COMMITS];
            let syncs = status.counters[WAL_SYNCS];
            println!("round {round}: {node} has {commits} group commits, {syncs} syncs");
            assert!(commits > 0 && syncs >= commits);
            assert_eq!(status.incarnation, round + 1);
        }
        nodes.kill(&nodes.all());
        for node in nodes.all() {
            nodes.run(node);
        }
    }
    load.progress(BETWEEN).await;
    let report = load.finish().await;
    assert_valid(&report, 11 * BETWEEN);
}

/// The tests above would notice a loss: here the nodes lose everything while they are down.
#[tokio::test(flavor = "multi_thread")]
async fn a_loss_is_noticed() {
    let mut nodes = Nodes::start(3, 1, 2);
    let mut load = Load::start(&nodes.cluster, 4);
    load.progress(BETWEEN).await;
    nodes.kill(&nodes.all());
    for node in nodes.all() {
        std::fs::remove_dir_all(nodes.data(node)).expect("its data is there");
        nodes.run(node);
    }
    load.progress(BETWEEN).await;
    let report = load.finish().await;
    assert_eq!(report.verdict, VerdictKind::Invalid, "{report}");
}
