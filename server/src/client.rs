//! Hosts the protocol's client for programs: dials nodes, keeps time, hands out answers.
//!
//! A [`Session`] is one client of the protocol, with a number drawn by the operating system. It may have
//! many calls open at a time. Connections are dialled when there is something to say, and given up when
//! idle; what finds no connection is lost, which the client expects.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use hstore_core::{ClientId, NodeId};
use hstore_replicator::client::{Call, CallId, Client, ClientOutputs, Outcome};
use hstore_replicator::message::Message;
use hstore_replicator::wire::{self, MESSAGES};
use tokio::io::BufReader;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::clock::Clock;
use crate::config::cluster::Cluster;
use crate::metrics::Status;
use crate::transport::frame::{self, Refusal};
use crate::transport::handshake::{self, Caller, Hello, STATUSES};
use crate::transport::outbox::{Outbox, Outgoing, outbox};
use crate::transport::{FRAME_DEADLINE, HANDSHAKE_DEADLINE, SILENCE_DEADLINE};

/// Calls that were asked for and not begun.
const CALLS_MAX: usize = 1024;
/// Messages that connections have read and the client has not taken.
const INBOUND_MAX: usize = 1024;

/// A client of a cluster. Clones share it.
#[derive(Clone, Debug)]
pub struct Session {
    calls: mpsc::Sender<(Call, oneshot::Sender<Outcome>)>,
    id: ClientId,
}

/// Why a call has no outcome.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// The session has ended: a node refused it for good.
    #[error("the client's session has ended")]
    Ended,
}

impl Session {
    /// A client of `cluster`, and what drives it: to be run as a task. It ends when nobody holds the
    /// session any more, or when a node refuses the client, and then says why.
    ///
    /// # Errors
    /// If the operating system gives no random numbers.
    pub fn new(
        cluster: Arc<Cluster>,
        clock: Clock,
    ) -> Result<
        (
            Self,
            impl Future<Output = Result<(), String>> + Send + use<>,
        ),
        getrandom::Error,
    > {
        let id = ClientId(getrandom::u32()?);
        let token = u128::from(getrandom::u64()?) << 64 | u128::from(getrandom::u64()?);
        let seed = getrandom::u64()?;
        let (calls, asked) = mpsc::channel(CALLS_MAX);
        let client = Client::new(id, Arc::new(cluster.config.clone()), seed);
        let driver = Driver {
            client,
            cluster,
            caller: Caller::Client { id, token },
            clock,
            waiting: BTreeMap::new(),
            connections: BTreeMap::new(),
            last_connection: 0,
        };
        Ok((Self { calls, id }, driver.drive(asked)))
    }

    /// The client's number.
    #[must_use]
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Makes a call. Calls are begun in the order in which they are made.
    ///
    /// # Errors
    /// If the session has ended.
    pub async fn call(&self, call: Call) -> Result<Outcome, SessionError> {
        self.begin(call)
            .await?
            .await
            .map_err(|_| SessionError::Ended)
    }

    /// Begins a call. What is returned is told the outcome; it is dropped if the session ends before.
    ///
    /// # Errors
    /// If the session has ended.
    pub async fn begin(&self, call: Call) -> Result<oneshot::Receiver<Outcome>, SessionError> {
        let (tell, told) = oneshot::channel();
        let asked = self.calls.send((call, tell)).await;
        asked.map_err(|_| SessionError::Ended)?;
        Ok(told)
    }
}

/// A connection that is being made, or is there.
#[derive(Debug)]
struct Connection {
    number: u64,
    outbox: Outbox,
}

struct Driver {
    client: Client,
    cluster: Arc<Cluster>,
    caller: Caller,
    clock: Clock,
    waiting: BTreeMap<CallId, oneshot::Sender<Outcome>>,
    connections: BTreeMap<NodeId, Connection>,
    last_connection: u64,
}

/// How a connection ended.
struct Ended {
    node: NodeId,
    number: u64,
    why: Result<(), Refusal>,
}

impl Driver {
    async fn drive(
        mut self,
        mut asked: mpsc::Receiver<(Call, oneshot::Sender<Outcome>)>,
    ) -> Result<(), String> {
        let (sender, mut inbound) = mpsc::channel(INBOUND_MAX);
        let mut tasks: JoinSet<Ended> = JoinSet::new();
        let mut open = true;
        while open || !self.waiting.is_empty() {
            let mut outputs = ClientOutputs::default();
            let deadline = self.client.deadline();
            tokio::select! {
                biased;
                Some(ended) = tasks.join_next() => {
                    let Ended { node, number, why } = match ended {
                        Ok(ended) => ended,
                        Err(error) if error.is_panic() => {
                            std::panic::resume_unwind(error.into_panic());
                        }
                        // The program ends.
                        Err(_) => return Ok(()),
                    };
                    if self.connections.get(&node).is_some_and(|it| it.number == number) {
                        self.connections.remove(&node);
                    }
                    match why {
                        Ok(()) => {}
                        // The node is there, and does not want this client.
                        Err(Refusal::Handshake(reason)) => {
                            // What others have answered already is not lost with the session.
                            while let Ok((from, message)) = inbound.try_recv() {
                                let now = self.clock.now();
                                self.client.on_message(now, from, &message, &mut outputs);
                            }
                            self.carry_out(outputs, &sender, &mut tasks);
                            let address = &self.cluster.addresses[&node];
                            return Err(format!("node {} at {address} refuses: {reason}", node.0));
                        }
                        Err(error) => tracing::debug!(%node, %error, "connection lost"),
                    }
                }
                Some((from, message)) = inbound.recv() => {
                    self.client.on_message(self.clock.now(), from, &message, &mut outputs);
                }
                () = self.clock.sleep_until(deadline) => {
                    self.client.on_time(self.clock.now(), &mut outputs);
                }
                call = asked.recv(), if open => match call {
                    Some((call, tell)) => {
                        let id = self.client.call(self.clock.now(), call, &mut outputs);
                        self.waiting.insert(id, tell);
                    }
                    None => open = false,
                },
            }
            self.carry_out(outputs, &sender, &mut tasks);
        }
        Ok(())
    }

    fn carry_out(
        &mut self,
        outputs: ClientOutputs,
        inbound: &mpsc::Sender<(NodeId, Message)>,
        tasks: &mut JoinSet<Ended>,
    ) {
        for (to, message) in outputs.messages {
            match wire::encode(&message) {
                Ok(frame) => self.send(to, frame, inbound, tasks),
                Err(error) => tracing::error!(%to, %error, "a message that cannot be sent"),
            }
        }
        for (id, outcome) in outputs.done {
            if let Some(tell) = self.waiting.remove(&id) {
                // Whoever asked may have gone.
                let _ = tell.send(outcome);
            }
        }
    }

    fn send(
        &mut self,
        to: NodeId,
        frame: Bytes,
        inbound: &mpsc::Sender<(NodeId, Message)>,
        tasks: &mut JoinSet<Ended>,
    ) {
        // One that is being given up takes nothing more.
        if self
            .connections
            .get(&to)
            .is_some_and(|it| it.outbox.is_closed())
        {
            self.connections.remove(&to);
        }
        let connection = self.connections.entry(to).or_insert_with(|| {
            let (outbox, outgoing) = outbox();
            self.last_connection += 1;
            let number = self.last_connection;
            let hello = Hello::new(&self.cluster, to, self.caller);
            let address = self.cluster.addresses[&to].clone();
            let inbound = inbound.clone();
            tasks.spawn(async move {
                let why = converse(&address, hello, to, outgoing, inbound).await;
                let node = to;
                Ended { node, number, why }
            });
            Connection { number, outbox }
        });
        if !connection.outbox.push(frame) {
            tracing::debug!(%to, "a message is dropped");
        }
    }
}

/// Dials a node and carries messages both ways, until the connection breaks or is idle.
async fn converse(
    address: &str,
    hello: Hello,
    node: NodeId,
    mut outgoing: Outgoing,
    inbound: mpsc::Sender<(NodeId, Message)>,
) -> Result<(), Refusal> {
    let stream = handshake::dial(address, &hello).await?;
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::with_capacity(64 << 10, reader);
    let read = async {
        loop {
            // As long as something is sent, answers may take their time.
            let silence = 2 * SILENCE_DEADLINE;
            let message = frame::read(&mut reader, &MESSAGES, silence, FRAME_DEADLINE).await?;
            let Some(message) = message else {
                return Ok(());
            };
            if inbound.send((node, message)).await.is_err() {
                return Ok(());
            }
        }
    };
    // The node gives silent clients up. What is said last must not meet a closing door.
    let idle = Some(SILENCE_DEADLINE / 2);
    tokio::select! {
        biased;
        read = read => read,
        written = outgoing.write_all(&mut writer, idle) => written.map_err(Refusal::Broken),
    }
}

/// Asks a node how it is.
///
/// # Errors
/// If it cannot be reached, or does not want to say.
pub async fn status(cluster: &Cluster, node: NodeId) -> Result<Status, Refusal> {
    let hello = Hello::new(cluster, node, Caller::Status);
    let mut stream = handshake::dial(&cluster.addresses[&node], &hello).await?;
    let deadline = HANDSHAKE_DEADLINE;
    let text: Option<String> = frame::read(&mut stream, &STATUSES, deadline, deadline).await?;
    let text = text.ok_or(Refusal::Cut)?;
    serde_json::from_str(&text).map_err(|error| Refusal::Handshake(error.to_string()))
}
