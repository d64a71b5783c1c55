//! Takes connections, shakes hands, and turns frames into the node's inputs.

use std::sync::Arc;

use hstore_core::{Address, NodeId};
use hstore_replicator::message::Message;
use hstore_replicator::wire::MESSAGES;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncWriteExt, BufReader, ReadHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::clients::Clients;
use super::frame::{self, Refusal};
use super::handshake::{self, Caller, STATUSES, Welcome};
use super::{FRAME_DEADLINE, HANDSHAKE_DEADLINE, SILENCE_DEADLINE, prepare, too_long};
use crate::clock::Clock;
use crate::config::cluster::Cluster;
use crate::metrics::{Metrics, Status};

/// Connections at a time, if the system allows as many; a further one is closed.
pub const CONNECTIONS_MAX: usize = 4096;
/// Open files that are left to the store and the node's own connections.
const OTHER_FILES: u64 = 512;
/// Bytes read from a connection at a time.
const READ_BYTES: usize = 64 << 10;

/// What connections bring.
#[derive(Debug)]
pub enum Inbound {
    /// A message.
    Message {
        /// Who sent it.
        from: Address,
        /// The message.
        message: Message,
    },
    /// Somebody wants to know how the node is.
    Status(oneshot::Sender<Status>),
}

/// What all connections share.
#[derive(Clone, Debug)]
pub struct Shared {
    /// This node.
    pub me: NodeId,
    /// Its cluster.
    pub cluster: Arc<Cluster>,
    /// Where answers to clients go.
    pub clients: Arc<Clients>,
    /// Where messages go. When it is full, connections are read no further.
    pub inbound: mpsc::Sender<Inbound>,
    /// The clock.
    pub clock: Clock,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// How many connections there may be at a time: connections share the process's open files with the
/// store, which must not run out of them. Raises the process's limit as far as it may.
fn connections_max() -> usize {
    let limits = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limits.maximum,
        ..limits
    };
    let files = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limits.maximum,
        Err(_) => limits.current,
    };
    let files = files.unwrap_or(u64::MAX);
    let left = files.saturating_sub(OTHER_FILES).max(files / 4);
    usize::try_from(left).map_or(CONNECTIONS_MAX, |left| left.min(CONNECTIONS_MAX))
}

/// Takes connections, for ever.
pub async fn serve(listener: TcpListener, shared: Shared) {
    let connections_max = connections_max();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = connections.join_next() => {
                if let Err(error) = ended && error.is_panic() {
                    // A bug of ours, and not to be passed over.
                    std::panic::resume_unwind(error.into_panic());
                }
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) if connections.len() < connections_max => {
                    shared.metrics.count("connections_taken");
                    let shared = shared.clone();
                    connections.spawn(async move {
                        if let Err(refusal) = converse(stream, &shared).await {
                            shared.metrics.count(refusal.counter());
                            tracing::info!(%from, %refusal, "connection refused");
                        }
                    });
                }
                Ok((_, from)) => {
                    shared.metrics.count("refused_too_many");
                    tracing::warn!(%from, "too many connections: refused");
                }
                Err(error) => {
                    // Out of file descriptors, mostly: some connection has to end first.
                    shared.metrics.count("accept_failed");
                    tracing::warn!(%error, "cannot take a connection");
                    let pause = shared.clock.now() + HANDSHAKE_DEADLINE / 30;
                    shared.clock.sleep_until(Some(pause)).await;
                }
            },
        }
    }
}

async fn converse(stream: TcpStream, shared: &Shared) -> Result<(), Refusal> {
    prepare(&stream)?;
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::with_capacity(READ_BYTES, reader);
    let hello = handshake::hear(&mut reader).await?;
    let now = shared.clock.now();
    let connected =
        hello
            .check(&shared.cluster, shared.me)
            .and_then(|version| match hello.caller {
                Caller::Client { id, token } => {
                    let connected = shared.clients.connect(id, token, now)?;
                    Ok((version, Some(connected)))
                }
                Caller::Node(_) | Caller::Status => Ok((version, None)),
            });
    let (version, connected) = match connected {
        Ok(connected) => connected,
        Err(reason) => {
            handshake::answer(&mut writer, &Welcome::No(reason.clone())).await?;
            writer.shutdown().await?;
            return Err(Refusal::Handshake(reason));
        }
    };
    let welcomed = handshake::answer(&mut writer, &Welcome::Yes(version)).await;
    match (hello.caller, connected) {
        (Caller::Client { id, .. }, Some((number, mut outgoing))) => {
            // Both directions end together.
            let ended = match welcomed {
                Err(refusal) => Err(refusal),
                Ok(()) => tokio::select! {
                    biased;
                    read = take_messages(&mut reader, Address::Client(id), shared) => read,
                    written = outgoing.write_all(&mut writer, None) => written.map_err(Refusal::Broken),
                },
            };
            shared.clients.disconnect(id, number, shared.clock.now());
            ended
        }
        (Caller::Node(node), _) => {
            welcomed?;
            take_messages(&mut reader, Address::Node(node), shared).await
        }
        (Caller::Status, _) => {
            welcomed?;
            let (asked, told) = oneshot::channel();
            let _ = shared.inbound.send(Inbound::Status(asked)).await;
            if let Ok(status) = told.await {
                let text = serde_json::to_string(&status).expect("a status has a JSON form");
                writer.write_all(&STATUSES.encode(&text)?).await?;
            }
            Ok(())
        }
        (Caller::Client { .. }, None) => unreachable!("a client was connected"),
    }
}

/// Takes messages until the connection ends.
async fn take_messages(
    reader: &mut BufReader<ReadHalf<TcpStream>>,
    from: Address,
    shared: &Shared,
) -> Result<(), Refusal> {
    loop {
        let message = frame::read(reader, &MESSAGES, SILENCE_DEADLINE, FRAME_DEADLINE).await?;
        let Some(message) = message else {
            return Ok(());
        };
        if let Some(length) = too_long(&message) {
            return Err(Refusal::Record(length));
        }
        shared.metrics.count("frames_taken");
        let inbound = Inbound::Message { from, message };
        if shared.inbound.send(inbound).await.is_err() {
            // The node stops.
            return Ok(());
        }
    }
}
