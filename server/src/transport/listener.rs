//! Takes connections, shakes hands, and turns frames into the node's inputs.

use std::sync::Arc;

use hstore_core::{Address, NodeId};
use hstore_replicator::message::Message;
use hstore_replicator::wire::MESSAGES;
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

/// Connections at a time; a further one is closed.
pub const CONNECTIONS_MAX: usize = 4096;
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

/// Takes connections, for ever.
pub async fn serve(listener: TcpListener, shared: Shared) {
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
                Ok((stream, from)) if connections.len() < CONNECTIONS_MAX => {
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
    let connected = hello
        .check(&shared.cluster, shared.me)
        .and_then(|()| match hello.caller {
            Caller::Client { id, token } => shared.clients.connect(id, token, now).map(Some),
            Caller::Node(_) | Caller::Status => Ok(None),
        });
    let connected = match connected {
        Ok(connected) => connected,
        Err(reason) => {
            handshake::answer(&mut writer, &Welcome::No(reason.clone())).await?;
            writer.shutdown().await?;
            return Err(Refusal::Handshake(reason));
        }
    };
    let welcomed = handshake::answer(&mut writer, &Welcome::Yes).await;
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
