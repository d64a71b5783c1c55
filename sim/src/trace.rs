//! The trace of a run: every message's bytes, every timer, every file operation with the checksum of its
//! content, and the verdict, under one rolling hash.
//!
//! Two runs with the same hash did the same things in the same order. Events are kept, as JSON lines,
//! only on demand; the hash does not depend on it.

use hstore_core::Timestamp;
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64;

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
        }
    }
}

/// How many numbers an event has at most.
const NUMBERS_MAX: usize = 8;

/// A rolling hash over events, and the events if they are kept.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    events: u64,
    kept: Option<Vec<String>>,
}

impl Trace {
    /// An empty trace; `keep` says whether to keep events.
    #[must_use]
    pub fn new(keep: bool) -> Self {
        Self {
            hash: 0,
            events: 0,
            kept: keep.then(Vec::new),
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
        if let Some(kept) = &mut self.kept {
            let line = json!({
                "event": self.events,
                "t_us": at.0 / 1_000,
                "kind": kind.name(),
                "what": describe(),
                "hash": format!("{:016x}", self.hash),
            });
            kept.push(line.to_string());
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
        self.kept.unwrap_or_default()
    }
}
