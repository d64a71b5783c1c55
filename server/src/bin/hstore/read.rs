//! `hstore read` and `hstore tail`.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Context;
use hstore_core::{LogId, Lsn};
use hstore_replicator::client::{Call, Outcome};
use hstore_replicator::reader::{Delivery, GapKind};
use serde_json::json;

use crate::Which;
use crate::output::{Reader, note, print};
use crate::reach::{Joined, Reach};

/// Records asked for at a time.
const PAGE: usize = 1000;
/// How often a follower looks for more.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How records are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    People,
    Raw,
    Json,
}

/// `hstore read`.
pub(crate) async fn read(
    log: u32,
    from: Lsn,
    limit: Option<usize>,
    poll: bool,
    raw: bool,
    which: &Which,
) -> anyhow::Result<()> {
    let reach = Reach::of(which)?;
    let log = reach.log(log)?;
    let mut joined = reach.join()?;
    let style = style(raw, which.json);
    let end = if poll {
        Lsn::MAX
    } else {
        tail_of(&mut joined, log).await?
    };
    let mut left = limit.unwrap_or(usize::MAX);
    let mut at = from;
    let mut lost = false;
    while at < end && left > 0 {
        let limit = left.min(PAGE);
        let page = if poll {
            let from = at;
            page(&mut joined, Call::Poll { log, from, limit }).await?
        } else {
            next_page(&mut joined, log, at, limit).await?
        };
        // What was appended meanwhile is for the next reading.
        let page: Vec<Delivery> = page.into_iter().filter(|it| it.first() < end).collect();
        let Some(last) = page.last() else { break };
        at = last.last().successor();
        left -= page.iter().filter(|it| is_record(it)).count();
        lost |= page.iter().any(is_loss);
        if print(&show(&page, style, end)?)? == Reader::Gone {
            return Ok(());
        }
    }
    if lost {
        return Err(lost_of(log));
    }
    Ok(())
}

/// Records of a log are lost.
pub(crate) fn lost_of(log: LogId) -> anyhow::Error {
    anyhow::anyhow!("records of {log} are lost: no copy of them is left, as told above")
}

/// `hstore tail`.
pub(crate) async fn tail(log: u32, follow: bool, raw: bool, which: &Which) -> anyhow::Result<()> {
    let reach = Reach::of(which)?;
    let log = reach.log(log)?;
    let mut joined = reach.join()?;
    let mut at = tail_of(&mut joined, log).await?;
    if !follow {
        let text = if which.json {
            format!("{}\n", json!({"log": log.0, "tail": at.to_string()}))
        } else {
            format!("{at}\n")
        };
        print(text.as_bytes())?;
        return Ok(());
    }
    note(&format!("following {log} from {at}; Ctrl-C ends"));
    let style = style(raw, which.json);
    loop {
        let page = next_page(&mut joined, log, at, PAGE).await?;
        match page.last() {
            Some(last) => {
                // A gap that is still open, such as the rest of an ended epoch, ends with it.
                at = last.last().successor();
                if print(&show(&page, style, Lsn::MAX)?)? == Reader::Gone {
                    return Ok(());
                }
            }
            None => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}

/// All of what was read elsewhere.
pub(crate) fn show_all(page: &[Delivery], json: bool) -> anyhow::Result<Vec<u8>> {
    show(page, style(false, json), Lsn::MAX)
}

fn style(raw: bool, json: bool) -> Style {
    match (raw, json) {
        (true, _) => Style::Raw,
        (_, true) => Style::Json,
        _ => Style::People,
    }
}

async fn tail_of(joined: &mut Joined, log: LogId) -> anyhow::Result<Lsn> {
    match joined.ask(Call::Tail { log }).await? {
        Outcome::Tail(lsn) => Ok(lsn),
        other => anyhow::bail!("a tail was answered with {other:?}"),
    }
}

async fn next_page(
    joined: &mut Joined,
    log: LogId,
    from: Lsn,
    limit: usize,
) -> anyhow::Result<Vec<Delivery>> {
    page(joined, Call::Read { log, from, limit }).await
}

async fn page(joined: &mut Joined, call: Call) -> anyhow::Result<Vec<Delivery>> {
    match joined.ask(call).await? {
        Outcome::Read { deliveries, .. } => Ok(deliveries),
        other => anyhow::bail!("a read was answered with {other:?}"),
    }
}

fn is_record(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Record(..))
}

/// Whether it tells of records of which no copy is left.
pub(crate) fn is_loss(delivery: &Delivery) -> bool {
    let kind = GapKind::DataLoss;
    matches!(delivery, Delivery::Gap { kind: it, .. } if *it == kind)
}

fn show(page: &[Delivery], style: Style, end: Lsn) -> anyhow::Result<Vec<u8>> {
    let mut text = Vec::new();
    for delivery in page {
        match (delivery, style) {
            (Delivery::Record(_, it), Style::Raw) => {
                text.extend_from_slice(&it.record.payload);
                text.push(b'\n');
            }
            (Delivery::Record(lsn, it), Style::People) => {
                text.extend_from_slice(format!("{lsn}  ").as_bytes());
                text.extend_from_slice(String::from_utf8_lossy(&it.record.payload).as_bytes());
                text.push(b'\n');
            }
            (Delivery::Record(lsn, it), Style::Json) => {
                let (lsn, time_ms) = (lsn.to_string(), it.stamp.time.0);
                let payload = &it.record.payload;
                let line = match std::str::from_utf8(payload) {
                    Ok(record) => json!({"lsn": lsn, "time_ms": time_ms, "record": record}),
                    Err(_) => json!({"lsn": lsn, "time_ms": time_ms, "record_hex": hex(payload)}),
                };
                serde_json::to_writer(&mut text, &line).context("the record is no JSON")?;
                text.push(b'\n');
            }
            (Delivery::Gap { kind, first, last }, style) => {
                let last = if *last < end { *last } else { end };
                let kind = match kind {
                    GapKind::Bridge => "bridge",
                    GapKind::Hole => "hole",
                    GapKind::DataLoss => "data loss",
                    GapKind::Trim => "trim",
                };
                if kind == "data loss" && style != Style::Json {
                    note(&format!("{first} to {last}: data loss, no copy is left"));
                }
                if style == Style::Json {
                    let line = json!({
                        "gap": kind, "first": first.to_string(), "last": last.to_string(),
                    });
                    text.extend_from_slice(format!("{line}\n").as_bytes());
                }
            }
        }
    }
    Ok(text)
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        let _ = write!(text, "{byte:02x}");
    }
    text
}
