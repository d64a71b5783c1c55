//! What is refused: its sender loses the connection, the node loses nothing.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::Bytes;
use common::Nodes;
use hstore_core::{ClientId, Incarnation, LogId, NodeId, Record};
use hstore_replicator::client::{Call, Outcome};
use hstore_replicator::message::{ClientAsk, Conditions, Message, Request};
use hstore_replicator::wire::{self, BODY_BYTES_MAX, HEADER_BYTES, VERSIONS, Versions};
use hstore_server::client::Session;
use hstore_server::clock::Clock;
use hstore_server::config::cluster::Cluster;
use hstore_server::transport::RECORD_BYTES_MAX;
use hstore_server::transport::handshake::{Caller, HANDSHAKES, Hello, Welcome};
use tokio::task::JoinSet;

const NODE: NodeId = NodeId(0);

struct Sender {
    stream: TcpStream,
}

impl Sender {
    fn connect(cluster: &Cluster) -> Self {
        let stream = TcpStream::connect(&cluster.addresses[&NODE]).expect("the node listens");
        Self { stream }
    }

    /// A client that has shaken hands.
    fn welcome(cluster: &Cluster, id: u32) -> Self {
        let mut sender = Self::connect(cluster);
        let (id, token) = (ClientId(id), 1);
        let hello = Hello::new(cluster, NODE, Caller::Client { id, token });
        assert_eq!(sender.shake(&hello), Welcome::Yes(VERSIONS.newest));
        sender
    }

    fn shake(&mut self, hello: &Hello) -> Welcome {
        self.shake_with(&HANDSHAKES.encode(hello).expect("short"))
    }

    fn shake_with(&mut self, hello: &[u8]) -> Welcome {
        self.send(hello);
        let mut frame = vec![0; HEADER_BYTES];
        self.stream.read_exact(&mut frame).expect("an answer");
        let header = frame.first_chunk().expect("a header");
        let length = HANDSHAKES.body_length(header).expect("a good header");
        frame.resize(HEADER_BYTES + length, 0);
        let body = &mut frame[HEADER_BYTES..];
        self.stream.read_exact(body).expect("an answer");
        HANDSHAKES.decode(&frame).expect("an answer")
    }

    fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the node reads");
    }

    /// Waits until the node has closed the connection.
    fn loses_its_connection(mut self) {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset),
        }
    }
}

fn request(payload: usize) -> Message {
    Message::Request(Request {
        incarnation: Incarnation(1),
        number: 1,
        log: LogId(1),
        ask: ClientAsk::Append {
            record: Record::new(Bytes::from(vec![b'x'; payload])),
            conditions: Conditions::NONE,
        },
    })
}

struct Good {
    session: Session,
    appended: usize,
    _driver: JoinSet<Result<(), String>>,
}

impl Good {
    fn new(cluster: &Arc<Cluster>) -> Self {
        let made = Session::new(Arc::clone(cluster), Clock::start());
        let (session, driving) = made.expect("random numbers");
        let mut driver = JoinSet::new();
        driver.spawn(driving);
        Self {
            session,
            appended: 0,
            _driver: driver,
        }
    }

    /// Appends one record more, and finds all that were appended before.
    async fn works(&mut self) {
        let log = LogId(1);
        let record = Record::new(Bytes::from(format!("record {}", self.appended)));
        let appended = self
            .session
            .call(Call::Append {
                log,
                record,
                conditions: Conditions::NONE,
            })
            .await;
        let appended = appended.expect("the session goes on");
        assert!(matches!(appended, Outcome::Appended(_)), "{appended:?}");
        self.appended += 1;
        let from = hstore_core::Lsn::FIRST;
        let limit = usize::MAX;
        let read = self.session.call(Call::Read { log, from, limit }).await;
        let Ok(Outcome::Read { deliveries, .. }) = read else {
            panic!("{read:?}");
        };
        assert_eq!(deliveries.len(), self.appended);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_right_loses_its_connection_and_nothing_else() {
    let nodes = Nodes::start(1, 1, 1);
    let cluster = &nodes.cluster;
    let mut good = Good::new(cluster);
    good.works().await;

    // These take the node's patience, all at the same time.
    let silent = Sender::connect(cluster);
    let idle = Sender::welcome(cluster, 1);
    let mut stalled = Sender::welcome(cluster, 2);
    let frame = wire::encode(&request(100)).expect("short");
    stalled.send(&frame[..frame.len() / 2]);

    let mut long = Sender::welcome(cluster, 3);
    let length = u32::try_from(BODY_BYTES_MAX + 1).expect("fits");
    let mut header = frame[..HEADER_BYTES].to_vec();
    header[..4].copy_from_slice(&length.to_le_bytes());
    long.send(&header);
    long.loses_its_connection();
    good.works().await;

    let mut damaged = Sender::welcome(cluster, 4);
    let mut flipped = frame.to_vec();
    *flipped.last_mut().expect("a body") ^= 1;
    damaged.send(&flipped);
    damaged.loses_its_connection();
    good.works().await;

    let mut newer = Sender::welcome(cluster, 5);
    let mut version = frame.to_vec();
    version[4] += 1;
    newer.send(&version);
    newer.loses_its_connection();
    good.works().await;

    let mut cut = Sender::welcome(cluster, 6);
    cut.send(&frame[..frame.len() - 1]);
    let ended = cut.stream.shutdown(std::net::Shutdown::Write);
    ended.expect("still open");
    cut.loses_its_connection();

    let mut nonsense = Sender::welcome(cluster, 7);
    let body = [0xff_u8; 4];
    nonsense.send(&wire::MESSAGES.encode(&body).expect("short"));
    nonsense.loses_its_connection();

    let mut huge = Sender::welcome(cluster, 8);
    huge.send(&wire::encode(&request(RECORD_BYTES_MAX + 1)).expect("a frame may be longer"));
    huge.loses_its_connection();

    let mut foreign = Sender::connect(cluster);
    foreign.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    foreign.loses_its_connection();
    good.works().await;

    stalled.loses_its_connection();
    silent.loses_its_connection();
    idle.loses_its_connection();
    good.works().await;

    let counters = nodes.status(NODE).await.counters;
    for (counter, expected) in [
        // The HTTP request's first bytes are a length, too.
        ("refused_long", 2),
        ("refused_checksum", 1),
        ("refused_version", 1),
        ("refused_cut", 1),
        ("refused_body", 1),
        ("refused_record", 1),
        ("refused_silent", 2),
        ("refused_slow", 1),
    ] {
        assert_eq!(
            counters.get(counter),
            Some(&expected),
            "{counter}: {counters:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_say_what_is_wrong() {
    let nodes = Nodes::start(1, 1, 1);
    let cluster = &nodes.cluster;
    let mut good = Good::new(cluster);
    good.works().await;
    let client = |id, token| Caller::Client {
        id: ClientId(id),
        token,
    };
    let _first = Sender::welcome(cluster, 9);
    let mut renamed = (**cluster).clone();
    renamed.name = "other".to_owned();
    let mut grown = (**cluster).clone();
    let spec = grown.config.logs[&LogId(1)].clone();
    grown.config.logs.insert(LogId(2), spec);
    let speaks = |versions| {
        let mut hello = Hello::new(cluster, NODE, client(1, 1));
        hello.versions = versions;
        hello
    };
    let newest = VERSIONS.newest;
    let far = speaks(Versions::only(newest + 2));
    let too_far = format!(
        "node 0 speaks version {newest} of the protocol, the caller version {}: upgrade one version at a time",
        newest + 2
    );
    for (hello, reason) in [
        (far, &*too_far),
        (
            Hello::new(&renamed, NODE, client(1, 1)),
            "this is a node of cluster `test`, the caller means cluster `other`",
        ),
        (
            Hello::new(cluster, NodeId(1), client(1, 1)),
            "this is node 0, the caller means node 1",
        ),
        (
            Hello::new(&grown, NODE, client(1, 1)),
            "the caller's file of cluster `test` names other nodes or logs than that of node 0",
        ),
        (
            Hello::new(cluster, NODE, Caller::Node(NODE)),
            "this is node 0 already",
        ),
        (
            Hello::new(cluster, NODE, Caller::Node(NodeId(5))),
            "cluster `test` has no node 5",
        ),
        (
            Hello::new(cluster, NODE, client(9, 2)),
            "another client has drawn the number 9 too: start again, to draw another",
        ),
    ] {
        let mut sender = Sender::connect(cluster);
        assert_eq!(sender.shake(&hello), Welcome::No(reason.to_owned()));
        sender.loses_its_connection();
    }
    // One of the next version speaks this one too; what it says beyond what is known here is skipped.
    let mut next = Sender::connect(cluster);
    let hello = speaks(Versions {
        oldest: newest,
        newest: newest + 1,
    });
    let frame = HANDSHAKES.encode(&(hello, "a field")).expect("short");
    assert_eq!(next.shake_with(&frame), Welcome::Yes(newest));
    // Handshakes themselves have one version for good.
    let mut newer = Sender::connect(cluster);
    let hello = Hello::new(cluster, NODE, client(1, 1));
    let mut frame = HANDSHAKES.encode(&hello).expect("short").to_vec();
    frame[4] += 1;
    newer.send(&frame);
    newer.loses_its_connection();
    good.works().await;
    let counters = nodes.status(NODE).await.counters;
    assert_eq!(counters["refused_handshake"], 7);
    assert_eq!(counters["refused_version"], 1);
}
