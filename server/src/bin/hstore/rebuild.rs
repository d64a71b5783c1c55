//! `hstore rebuild`: what lies of a log in the object store, from that alone.

use std::path::Path;

use anyhow::Context;
use hstore_core::LogId;
use hstore_core::ports::object_store::{
    Capabilities, ObjectAnswer, ObjectAsk, ObjectError, ObjectKey, ObjectStore,
};
use hstore_replicator::reader::Delivery;
use hstore_server::config::tier2::Tier2;
use hstore_server::objects::{self, Objects, plain};
use hstore_tier2::manifest::SegmentRef;
use hstore_tier2::rebuild::{Rebuilt, rebuild};
use hstore_tier2::segment::Segment;
use serde_json::json;
use tokio::runtime::Handle;

use crate::Which;
use crate::output::{Reader, note, print, wrong};
use crate::reach::Reach;
use crate::read;

/// The object store, waited for.
struct Waited {
    objects: Objects,
    runtime: Handle,
}

impl ObjectStore for Waited {
    fn capabilities(&self) -> Capabilities {
        self.objects.capabilities()
    }

    fn call(&mut self, ask: &ObjectAsk) -> Result<ObjectAnswer, ObjectError> {
        self.runtime.block_on(self.objects.call(ask))
    }
}

/// Tells of the segments of a log, or its records, and writes the manifest to a file.
pub(crate) async fn run(
    log: u32,
    manifest: Option<&Path>,
    records: bool,
    which: &Which,
) -> anyhow::Result<()> {
    let reach = Reach::of(which)?;
    let log = reach.log(log)?;
    let tier2 = reach.cluster.tier2.clone().ok_or_else(|| {
        wrong("the cluster's file has no table `[tier2]`, so it does not say where the object store is")
    })?;
    let objects = Objects::open(&tier2.url, objects::environment()).map_err(wrong)?;
    let runtime = Handle::current();
    let store = Waited { objects, runtime };
    let manifest = manifest.map(Path::to_owned);
    let json = which.json;
    let work = move || look(store, &tier2, log, manifest.as_deref(), records, json);
    tokio::task::spawn_blocking(work).await?
}

fn look(
    mut store: Waited,
    tier2: &Tier2,
    log: LogId,
    manifest: Option<&Path>,
    records: bool,
    json: bool,
) -> anyhow::Result<()> {
    let root = &tier2.tiering.root;
    let Rebuilt {
        manifest: found,
        copy,
        wanting,
    } = rebuild(&mut store, root, log)?;
    for it in &wanting {
        note(&format!("{log}: {it}"));
    }
    if copy.is_none() && found.segments().len() == 0 {
        let nothing = if wanting.is_empty() {
            "nothing"
        } else {
            "nothing that can be used"
        };
        let url = plain(&tier2.url);
        let url = url.trim_end_matches('/');
        anyhow::bail!("{nothing} of {log} lies in the object store below {url}/{root}");
    }
    if let Some(path) = manifest {
        std::fs::write(path, found.encode())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    if !records {
        match &copy {
            Some(copy) => note(&format!("{log}: by the manifest's copy `{copy}`")),
            None => note(&format!(
                "{log}: there is no copy of the manifest that can be used; by the segments alone"
            )),
        }
    }
    let (mut unread, mut lost) = (false, false);
    for segment in found.segments() {
        let key = segment.intent.key(root, log);
        let text = if records {
            match entries(&mut store, log, segment, &key) {
                Ok((told, wrong)) => {
                    unread |= !wrong.is_empty();
                    lost |= told.iter().any(read::is_loss);
                    for it in wrong {
                        note(&format!("{log}: {it}"));
                    }
                    read::show_all(&told, json)?
                }
                Err(error) => {
                    let (first, last) = (segment.intent.first, segment.intent.last);
                    note(&format!(
                        "{log}: {first} to {last} cannot be read: {error:#}"
                    ));
                    unread = true;
                    continue;
                }
            }
        } else {
            let (first, last) = (segment.intent.first, segment.intent.last);
            let line = if json {
                json!({
                    "first": first.to_string(), "last": last.to_string(), "key": key.as_str(),
                    "records": segment.records, "payload_bytes": segment.payload_bytes,
                    "file_bytes": segment.file_bytes, "latest_ms": segment.latest.0,
                })
                .to_string()
            } else {
                let (records, bytes) = (segment.records, segment.file_bytes);
                format!("{first} to {last}: {records} records, {bytes} bytes, `{key}`")
            };
            (line + "\n").into_bytes()
        };
        if print(&text)? == Reader::Gone {
            return Ok(());
        }
    }
    if !wanting.is_empty() || unread {
        anyhow::bail!("not all of {log} can be told from the object store alone, as said above");
    }
    if lost {
        return Err(read::lost_of(log));
    }
    Ok(())
}

/// What stands in a segment, and what is wrong with it.
fn entries(
    store: &mut Waited,
    log: LogId,
    segment: &SegmentRef,
    key: &ObjectKey,
) -> anyhow::Result<(Vec<Delivery>, Vec<String>)> {
    let ask = ObjectAsk::Get {
        key: key.clone(),
        range: 0..segment.file_bytes,
    };
    let ObjectAnswer::Got(file) = store.call(&ask)? else {
        anyhow::bail!("a get was answered with something else");
    };
    let (first, last) = (segment.intent.first, segment.intent.last);
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    if !segment.is(&file) {
        wrong.push(format!(
            "{first} to {last} is not what was committed: `{key}` was changed since; of its blocks those are told that can be read"
        ));
    }
    let tail = file.len().saturating_sub(segment.tail_bytes as usize);
    let opened = Segment::open(&file.slice(tail..), file.len() as u64)?;
    let info = opened.info();
    if !segment.intent.is_of(log, info) {
        anyhow::bail!(
            "`{key}` is a segment of {}, from {} to {}",
            info.log,
            info.first,
            info.last
        );
    }
    // What can be read of a block lies in the block's range, and the blocks tile the segment's.
    for (block, told) in opened.blocks().iter().zip(opened.read(&file)) {
        match told {
            Ok(told) => all.extend(told),
            Err(error) => {
                wrong.push(format!(
                    "{} to {} cannot be read: {error}",
                    block.first, block.last
                ));
            }
        }
    }
    Ok((all, wrong))
}
