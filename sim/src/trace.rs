//! The trace of a run: every message's bytes, every timer, every file operation with the checksum of its
//! content, and the verdict, under one rolling hash.
//!
//! Two runs with the same hash did the same things in the same order. Events are kept, as JSON lines,
//! only on demand, and not more than [`KEPT_MAX`] of them; the hash does not depend on it. Kept events also say at which node or client they happened, in
//! which life of the node, and, where messages pass, what its vector clock was.

use std::collections::BTreeMap;

use hstore_core::{ClientId, Timestamp};
use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::xxh3_64;

use crate::clocks::Clocks;

/// How many events are kept at most: those from the beginning on, and the verdict. A run that is stuck may
/// make many times more, of which one tells as much as another.
pub const KEPT_MAX: u64 = 1_000_000;

/// Addresses of clients are numbered from here on, those of nodes below.
pub const FIRST_CLIENT: u64 = 1_000;

/// What an event is. The numbers are part of the hash: append, never renumber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A message was sent.
    Send = 1,
    /// A message arrived.
    Deliver = 2,
    /// A node's timer fired.
    NodeTimer = 3,
    /// A client's timer fired.
    ClientTimer = 4,
    /// A file operation.
    File = 5,
    /// A disk request completed.
    Disk = 6,
    /// A fault struck or was undone.
    Fault = 7,
    /// A node started or died.
    Process = 8,
    /// A client began or ended an operation.
    Operation = 9,
    /// The run entered a phase.
    Phase = 10,
    /// The verdict.
    Verdict = 11,
    /// A call to the object store was made or answered.
    Object = 12,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Deliver => "deliver",
            Self::NodeTimer => "node-timer",
            Self::ClientTimer => "client-timer",
            Self::File => "file",
            Self::Disk => "disk",
            Self::Fault => "fault",
            Self::Process => "process",
            Self::Operation => "operation",
            Self::Phase => "phase",
            Self::Verdict => "verdict",
            Self::Object => "object",
        }
    }
}

/// The second number of [`Kind::Process`] if a node starts.
const STARTS: u64 = 1;

/// How many numbers an event has at most.
const NUMBERS_MAX: usize = 8;

/// A rolling hash over events, and the events if they are kept.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    kept: Option<Kept>,
}

/// Events, and what has to be known to tell them.
#[derive(Debug, Default)]
struct Kept {
    lines: Vec<String>,
    /// Where each client process works.
    slots: BTreeMap<u64, usize>,
    /// The life of each node.
    lives: BTreeMap<u64, u64>,
    clocks: Clocks,
}

/// Where an event happens.
#[derive(Clone, Copy)]
enum Place {
    Node(u64),
    Client(usize),
}

impl Kept {
    fn place(&self, kind: Kind, numbers: &[u64]) -> Option<Place> {
        let address = |number: u64| match number.checked_sub(FIRST_CLIENT) {
            None => Some(Place::Node(number)),
            Some(client) => self.slots.get(&client).map(|slot| Place::Client(*slot)),
        };
        match (kind, numbers) {
            (Kind::Send, [_, from, _]) => address(*from),
            (Kind::Deliver, [_, to]) => address(*to),
            (Kind::NodeTimer | Kind::File | Kind::Disk | Kind::Process, [node, ..]) => {
                Some(Place::Node(*node))
            }
            (Kind::ClientTimer | Kind::Operation, [slot, ..]) => {
                Some(Place::Client(*slot as usize))
            }
            _ => None,
        }
    }

    fn keep(&mut self, mut line: Map<String, Value>, kind: Kind, numbers: &[u64]) {
        if let (Kind::Process, [node, STARTS, ..]) = (kind, numbers) {
            *self.lives.entry(*node).or_default() += 1;
        }
        if let Some(place) = self.place(kind, numbers) {
            let name = match place {
                Place::Node(node) => {
                    let life = self.lives.get(&node).copied().unwrap_or(0);
                    line.insert("life".to_owned(), life.into());
                    format!("n{node}")
                }
                Place::Client(slot) => format!("client {slot}"),
            };
            match kind {
                Kind::Send => {
                    let clock = self.clocks.sends(&name, numbers[0]);
                    line.insert("clock".to_owned(), json!(clock));
                }
                Kind::Deliver => {
                    let clock = self.clocks.receives(&name, numbers[0]);
                    line.insert("clock".to_owned(), json!(clock));
                }
                _ => {
                    self.clocks.happens(&name);
                }
            }
            line.insert("at".to_owned(), name.into());
        }
        self.lines.push(Value::Object(line).to_string());
    }
}

impl Trace {
    /// An empty trace; `keep` says whether to keep events.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self {
            hash: 0,
            events: 0,
            kept: keep.then(Kept::default),
        }
    }

    /// Adds an event. `numbers` and `bytes` are what is hashed; `describe` says it in words and is asked
    /// only if events are kept.
    pub fn event<const N: usize>(
        &mut self,
        at: Timestamp,
        kind: Kind,
        numbers: [u64; N],
        bytes: &[u8],
        describe: impl FnOnce() -> Value,
    ) {
        self.events += 1;
        let mut words = [0; 4 + NUMBERS_MAX];
        words[0] = self.hash;
        words[1] = kind as u64;
        words[2] = at.0;
        words[3] = if bytes.is_empty() { 0 } else { xxh3_64(bytes) };
        words[4..4 + N].copy_from_slice(&numbers);
        let words = words.map(u64::to_le_bytes);
        self.hash = xxh3_64(words[..4 + N].as_flattened());
        let told = self.events <= KEPT_MAX || matches!(kind, Kind::Verdict);
        if let Some(kept) = self.kept.as_mut().filter(|_| told) {
            let Value::Object(line) = json!({
                "event": self.events,
                "t_us": at.0 / 1_000,
                "kind": kind.name(),
                "what": describe(),
                "hash": format!("{:016x}", self.hash),
            }) else {
                unreachable!("an object is one");
            };
            kept.keep(line, kind, &numbers);
        }
    }

    /// A client process works at this place among the clients.
    pub fn note_client(&mut self, client: ClientId, slot: usize) {
        if let Some(kept) = &mut self.kept {
            kept.slots.insert(u64::from(client.0), slot);
        }
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// How many events so far.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.events
    }

    /// The events, if they were kept.
    #[must_use]
    pub fn into_kept(self) -> Vec<String> {
        self.kept.map_or_else(Vec::new, |kept| kept.lines)
    }
}
