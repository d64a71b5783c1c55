//! The specification of a workload.

use hstore_core::Rng;
use serde::{Deserialize, Serialize};

/// What clients do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// Clients at work at a time, each with one operation at a time.
    pub clients: u32,
    /// Logs, numbered from 1.
    pub logs: u32,
    /// Operations in all.
    pub operations: u32,
    /// Which operations.
    pub mix: Mix,
    /// A record has at least this many bytes; never less than its id and one more.
    pub payload_bytes_min: u32,
    /// A record has at most this many bytes.
    pub payload_bytes_max: u32,
    /// A read asks for at most this many records.
    pub read_limit: u32,
    /// Pause of a client between two operations: up to this many microseconds.
    pub think_us_max: u64,
}

/// How often each operation is chosen, in relation to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mix {
    /// Appends.
    pub append: u32,
    /// Reads.
    pub read: u32,
    /// Tails.
    pub tail: u32,
    /// Appends that demand which record is the last.
    #[serde(default)]
    pub conditional: u32,
    /// Appends that demand the fencing token, set it, or both.
    #[serde(default)]
    pub token: u32,
    /// Appends that name their producer and sequence. Producers are shared by clients, so that one has
    /// several records on their way.
    #[serde(default)]
    pub idempotent: u32,
    /// Polls.
    #[serde(default)]
    pub poll: u32,
    /// Trims.
    #[serde(default)]
    pub trim: u32,
}

impl Mix {
    /// The sum of all.
    #[must_use]
    pub fn total(&self) -> u32 {
        let Self {
            append,
            read,
            tail,
            conditional,
            token,
            idempotent,
            poll,
            trim,
        } = *self;
        append + read + tail + conditional + token + idempotent + poll + trim
    }
}

impl Spec {
    /// Has clients poll and trim, too.
    pub fn poll_and_trim(&mut self) {
        self.mix.poll = 3;
        self.mix.trim = 1;
    }

    /// A workload drawn at random: few logs, several clients, mostly appends.
    #[must_use]
    pub fn draw(operations: u32, rng: &mut Rng) -> Self {
        let payload_bytes_min = rng.within(9..=64) as u32;
        Self {
            clients: rng.within(6..=12) as u32,
            logs: rng.within(1..=3) as u32,
            operations,
            mix: Mix {
                append: 16,
                read: rng.within(1..=2) as u32,
                tail: rng.within(1..=2) as u32,
                conditional: 0,
                token: 0,
                idempotent: 0,
                poll: 0,
                trim: 0,
            },
            payload_bytes_min,
            payload_bytes_max: payload_bytes_min + *rng.pick(&[16, 200, 1000]).expect("not empty"),
            read_limit: rng.within(5..=40) as u32,
            think_us_max: 300_000,
        }
    }

    /// Has clients demand something of most appends, and name some.
    pub fn demand(&mut self, rng: &mut Rng) {
        self.mix.append = rng.within(3..=8) as u32;
        self.mix.conditional = rng.within(2..=6) as u32;
        self.mix.token = rng.within(1..=4) as u32;
        self.mix.idempotent = rng.within(3..=8) as u32;
    }
}
