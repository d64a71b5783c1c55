//! From arguments to a cluster and a session with it; and what to say when nobody answers.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hstore_core::{LogId, Timestamp};
use hstore_replicator::client::{Call, Outcome};
use hstore_server::client::{self, Session};
use hstore_server::clock::Clock;
use hstore_server::config::cluster::Cluster;
use tokio::task::JoinSet;

use crate::Which;
use crate::output::{no_answer, wrong};

/// What is certain to have had no effect is tried again for so long.
pub(crate) const TRY_FOR: Duration = Duration::from_secs(30);

const FILE: &str = "cluster.toml";
const HOW_TO_START: &str = "start one on this machine with\n    hstore cluster start --nodes 3 --dir DIR\nand name it with --cluster DIR/cluster.toml or HSTORE_CLUSTER=DIR/cluster.toml";

/// A cluster, and where it is described.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) file: PathBuf,
}

/// A session, and what drives it.
pub(crate) struct Joined {
    pub(crate) session: Session,
    pub(crate) clock: Clock,
    driver: JoinSet<Result<(), String>>,
    reach: Reach,
}

impl Reach {
    /// The cluster that the arguments name.
    pub(crate) fn of(which: &Which) -> anyhow::Result<Self> {
        let Some(path) = &which.cluster else {
            return Err(wrong(format!("no cluster was named; {HOW_TO_START}")));
        };
        let file = if path.is_dir() {
            path.join(FILE)
        } else {
            path.clone()
        };
        if !file.exists() {
            let file = file.display();
            return Err(wrong(format!(
                "there is no cluster at {file}; {HOW_TO_START}"
            )));
        }
        let cluster = Arc::new(Cluster::read(&file).map_err(wrong)?);
        Ok(Self { cluster, file })
    }

    /// A log of the cluster.
    pub(crate) fn log(&self, log: u32) -> anyhow::Result<LogId> {
        let logs = &self.cluster.config.logs;
        if logs.contains_key(&LogId(log)) {
            return Ok(LogId(log));
        }
        let known: Vec<String> = logs.keys().map(|log| log.0.to_string()).collect();
        let name = &self.cluster.name;
        let known = known.join(", ");
        Err(wrong(format!(
            "cluster `{name}` has no log {log}; it has {known}"
        )))
    }

    /// Becomes a client of the cluster.
    pub(crate) fn join(self) -> anyhow::Result<Joined> {
        let clock = Clock::start();
        let (session, driving) = Session::new(Arc::clone(&self.cluster), clock)?;
        let mut driver = JoinSet::new();
        driver.spawn(driving);
        Ok(Joined {
            session,
            clock,
            driver,
            reach: self,
        })
    }

    /// Asks every node whether it is there. Says what to do if none is.
    pub(crate) async fn nobody_answers(&self) -> Option<anyhow::Error> {
        let mut reasons = Vec::new();
        for (&node, address) in &self.cluster.addresses {
            match client::status(&self.cluster, node).await {
                Ok(_) => return None,
                Err(error) => reasons.push(format!("\n    node {} at {address}: {error}", node.0)),
            }
        }
        let directory = self.file.parent().map(|it| it.display().to_string());
        let directory = directory
            .filter(|it| !it.is_empty())
            .unwrap_or(".".to_owned());
        Some(no_answer(format!(
            "no node of cluster `{}` answers:{}\nif it was started with `hstore cluster start`, start it again with\n    hstore cluster start --dir {directory}",
            self.cluster.name,
            reasons.concat(),
        )))
    }
}

impl Joined {
    /// Carries out a call that may be repeated, until it has an answer.
    pub(crate) async fn ask(&mut self, call: Call) -> anyhow::Result<Outcome> {
        let begin = self.clock.now();
        loop {
            let Ok(outcome) = self.session.call(call.clone()).await else {
                return Err(self.refused().await);
            };
            if !matches!(outcome, Outcome::Failed | Outcome::Unknown) {
                return Ok(outcome);
            }
            self.patience(begin).await?;
        }
    }

    /// Whether to go on trying something that was begun at `begin`.
    pub(crate) async fn patience(&self, begin: Timestamp) -> anyhow::Result<()> {
        if let Some(error) = self.reach.nobody_answers().await {
            return Err(error);
        }
        if self.clock.now().since(begin) >= TRY_FOR {
            return Err(no_answer(format!(
                "no answer within {TRY_FOR:?}: too few nodes may be running; `hstore status` tells"
            )));
        }
        Ok(())
    }

    /// Why the session has ended.
    pub(crate) async fn refused(&mut self) -> anyhow::Error {
        match self.driver.join_next().await {
            Some(Ok(Err(reason))) => wrong(reason),
            _ => anyhow::anyhow!("the session with the cluster ended by itself"),
        }
    }
}
