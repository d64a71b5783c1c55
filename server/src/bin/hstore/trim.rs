//! `hstore trim` and `hstore find-time`.

use hstore_core::{Lsn, WallTime};
use hstore_replicator::client::{Call, Outcome};
use serde_json::json;

use crate::Which;
use crate::output::print;
use crate::reach::Reach;

/// `hstore trim`.
pub(crate) async fn trim(log: u32, upto: Lsn, which: &Which) -> anyhow::Result<()> {
    let reach = Reach::of(which)?;
    let log = reach.log(log)?;
    let mut joined = reach.join()?;
    match joined.ask(Call::Trim { log, upto }).await? {
        Outcome::Trimmed if which.json => {
            let line = json!({"log": log.0, "trimmed": upto.to_string()});
            print(format!("{line}\n").as_bytes())?;
            Ok(())
        }
        Outcome::Trimmed => Ok(()),
        Outcome::NotReleased { released } => {
            anyhow::bail!("{upto} is not released: {log} can be trimmed up to {released}")
        }
        other => anyhow::bail!("a trim was answered with {other:?}"),
    }
}

/// `hstore find-time`.
pub(crate) async fn find_time(log: u32, ms: u64, which: &Which) -> anyhow::Result<()> {
    let reach = Reach::of(which)?;
    let log = reach.log(log)?;
    let mut joined = reach.join()?;
    let time = WallTime(ms);
    match joined.ask(Call::FindTime { log, time }).await? {
        Outcome::Found(lsn) => {
            let text = if which.json {
                json!({"log": log.0, "lsn": lsn.to_string()}).to_string()
            } else {
                lsn.to_string()
            };
            print(format!("{text}\n").as_bytes())?;
            Ok(())
        }
        other => anyhow::bail!("a question for a time was answered with {other:?}"),
    }
}
