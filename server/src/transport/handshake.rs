//! The beginning of a connection: the one who dialled says who it is and whom it means, the other
//! answers that this is right, or why not.

use hstore_core::{ClientId, NodeId};
use hstore_replicator::wire::{Format, VERSIONS, Versions};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frame::{self, Refusal};
use super::{HANDSHAKE_DEADLINE, prepare};
use crate::config::cluster::Cluster;

/// The frames of handshakes: both are short. Builds of all versions read them: later ones append to what
/// is in them, and the version stays.
pub const HANDSHAKES: Format = Format {
    versions: Versions::only(2),
    body_bytes_max: 4096,
};

/// The frame of a status: JSON, as [`crate::metrics::Status`].
pub const STATUSES: Format = Format {
    versions: Versions::only(1),
    body_bytes_max: 4 << 20,
};

/// Tells HStore from whatever else may dial.
const MAGIC: [u8; 6] = *b"HSTORE";

/// What the one who dialled says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    magic: [u8; 6],
    /// The cluster's name.
    cluster: String,
    /// [`Cluster::fingerprint`].
    fingerprint: u64,
    /// Whom it means.
    to: NodeId,
    /// Who it is, or what it wants.
    pub caller: Caller,
    /// The versions of messages it speaks.
    pub versions: Versions,
}

/// Who dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Caller {
    /// A node, to send messages.
    Node(NodeId),
    /// A client, to send messages and be answered.
    Client {
        /// Its number.
        id: ClientId,
        /// Tells it from another that drew the same number.
        token: u128,
    },
    /// Somebody who wants the node's status.
    Status,
}

/// What the other answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Welcome {
    /// Go on, in this version of messages.
    Yes(u8),
    /// No, and why not.
    No(String),
}

impl Hello {
    /// What `caller` says to a node of its cluster.
    #[must_use]
    pub fn new(cluster: &Cluster, to: NodeId, caller: Caller) -> Self {
        Self {
            magic: MAGIC,
            cluster: cluster.name.clone(),
            fingerprint: cluster.fingerprint(),
            to,
            caller,
            versions: VERSIONS,
        }
    }

    /// Whether node `me` of `cluster` is meant, by somebody who may mean it. Returns the version of messages
    /// that both are going to speak.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn check(&self, cluster: &Cluster, me: NodeId) -> Result<u8, String> {
        if self.magic != MAGIC {
            return Err(
                "this is a node of HStore, and the caller does not speak its language".into(),
            );
        }
        if self.cluster != cluster.name {
            return Err(format!(
                "this is a node of cluster `{}`, the caller means cluster `{}`",
                cluster.name, self.cluster
            ));
        }
        if self.to != me {
            return Err(format!(
                "this is node {}, the caller means node {}",
                me.0, self.to.0
            ));
        }
        if self.fingerprint != cluster.fingerprint() {
            return Err(format!(
                "the caller's file of cluster `{}` names other nodes or logs than that of node {}",
                cluster.name, me.0
            ));
        }
        match self.caller {
            Caller::Node(node) if node == me => Err(format!("this is node {} already", me.0)),
            Caller::Node(node) if !cluster.addresses.contains_key(&node) => {
                Err(format!("cluster `{}` has no node {}", cluster.name, node.0))
            }
            Caller::Node(_) | Caller::Client { .. } | Caller::Status => {
                VERSIONS.agree(self.versions).ok_or_else(|| {
                    format!(
                        "node {} speaks version {VERSIONS} of the protocol, the caller version {}: upgrade one version at a time",
                        me.0, self.versions
                    )
                })
            }
        }
    }
}

/// Dials `address` and shakes hands.
///
/// # Errors
/// If nobody is there, the other does not want to, or does not do it in time.
pub async fn dial(address: &str, hello: &Hello) -> Result<TcpStream, Refusal> {
    let shake = async {
        let mut stream = TcpStream::connect(address).await?;
        prepare(&stream)?;
        let frame = HANDSHAKES.encode(hello)?;
        stream.write_all(&frame).await?;
        let deadline = HANDSHAKE_DEADLINE;
        let welcome = frame::read(&mut stream, &HANDSHAKES, deadline, deadline).await?;
        match welcome {
            Some(Welcome::Yes(version)) if hello.versions.contain(version) => Ok(stream),
            Some(Welcome::Yes(version)) => Err(Refusal::Handshake(format!(
                "the node wants to speak version {version} of the protocol, this side speaks version {}",
                hello.versions
            ))),
            Some(Welcome::No(reason)) => Err(Refusal::Handshake(reason)),
            None => Err(Refusal::Cut),
        }
    };
    timeout(HANDSHAKE_DEADLINE, shake)
        .await
        .map_err(|_| Refusal::Silent(HANDSHAKE_DEADLINE))?
}

/// Waits for the other side's [`Hello`].
///
/// # Errors
/// If it is none, or does not come in time.
pub async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Result<Hello, Refusal> {
    let deadline = HANDSHAKE_DEADLINE;
    let hello = frame::read(stream, &HANDSHAKES, deadline, deadline).await?;
    hello.ok_or(Refusal::Cut)
}

/// Answers a [`Hello`].
///
/// # Errors
/// If the connection breaks.
pub async fn answer(
    stream: &mut (impl AsyncWrite + Unpin),
    welcome: &Welcome,
) -> Result<(), Refusal> {
    let frame = HANDSHAKES.encode(welcome)?;
    stream.write_all(&frame).await?;
    Ok(())
}
