//! `hstore status`.

use std::fmt::Write;

use anyhow::Context;
use hstore_core::NodeId;
use hstore_server::client;
use hstore_server::metrics::Status;
use serde::Serialize;

use crate::Which;
use crate::output::print;
use crate::reach::Reach;

#[derive(Debug, Serialize)]
struct NodeStatus {
    node: u8,
    address: String,
    /// `None` if it did not answer.
    status: Option<Status>,
    /// Why it did not.
    error: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(which: &Which) -> anyhow::Result<()> {
    let reach = Reach::of(which)?;
    let mut all = Vec::new();
    for (&NodeId(node), address) in &reach.cluster.addresses {
        let told = client::status(&reach.cluster, NodeId(node)).await;
        let (status, error) = match told {
            Ok(status) => (Some(status), None),
            Err(error) => (None, Some(error.to_string())),
        };
        let address = address.clone();
        all.push(NodeStatus {
            node,
            address,
            status,
            error,
        });
    }
    if all.iter().all(|it| it.status.is_none())
        && let Some(error) = reach.nobody_answers().await
    {
        return Err(error);
    }
    let text = if which.json {
        serde_json::to_string_pretty(&all).context("the answer is no JSON")? + "\n"
    } else {
        for_people(&reach.cluster.name, &all)?
    };
    print(text.as_bytes())?;
    Ok(())
}

fn for_people(cluster: &str, all: &[NodeStatus]) -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    writeln!(text, "cluster {cluster}")?;
    for it in all {
        let NodeStatus {
            node,
            address,
            status,
            error,
        } = it;
        let Some(status) = status else {
            let error = error.as_deref().unwrap_or("no answer");
            writeln!(text, "\nnode {node}  {address}  no answer: {error}")?;
            continue;
        };
        writeln!(
            text,
            "\nnode {node}  {address}  up {:.1} s, life {}, pid {}, version {}",
            status.uptime_ms as f64 / 1000.0,
            status.incarnation,
            status.pid,
            status.version
        )?;
        for log in &status.logs {
            let sequences = match log.sequences {
                Some(epoch) => format!("sequences epoch {epoch}"),
                None => log.sequencer.clone(),
            };
            let readable = &log.readable;
            writeln!(
                text,
                "  log {:<4} {sequences}; readable up to {readable}",
                log.log
            )?;
            if let Some(it) = &log.tier2 {
                let (segments, stored, payload) = (it.segments, it.stored_bytes, it.payload_bytes);
                match &it.moved {
                    Some(moved) => write!(
                        text,
                        "           in the object store up to {moved}, not needed on nodes up to {}: {segments} segments, {stored} bytes, that hold {payload} bytes of records",
                        it.handed
                    )?,
                    None => write!(text, "           nothing in the object store")?,
                }
                if it.uploads > 0 {
                    write!(text, "; {} uploads", it.uploads)?;
                }
                if it.anomalies > 0 {
                    write!(text, "; {} SEGMENTS MISSING OR DAMAGED", it.anomalies)?;
                }
                writeln!(text)?;
            }
        }
        for (name, count) in &status.counters {
            writeln!(text, "  {name:<24} {count:>12}")?;
        }
        if !status.histograms.is_empty() {
            let heads = ["count", "p50", "p99", "max"];
            write!(text, "  {:<24}", "")?;
            for head in heads {
                write!(text, " {head:>12}")?;
            }
            writeln!(text)?;
        }
        for (name, it) in &status.histograms {
            write!(text, "  {name:<24}")?;
            for number in [it.count, it.p50, it.p99, it.max] {
                write!(text, " {number:>12}")?;
            }
            writeln!(text)?;
        }
    }
    Ok(text)
}
