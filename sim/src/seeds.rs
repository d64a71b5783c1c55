//! One root seed, many streams.

use hstore_core::Rng;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// What a stream of randomness is for. New ones are appended, never inserted: a new feature leaves
/// the other streams of old seeds alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// What the seed draws from its profile.
    Options = 1,
    /// The fault plan.
    Faults = 2,
    /// Latency, loss, duplication.
    Net = 3,
    /// Latency of disks, what power failures spare.
    Disk = 4,
    /// What clients do.
    Workload = 5,
    /// The seeds of nodes and clients themselves.
    Product = 6,
    /// When and how logs are moved.
    Moves = 7,
    /// The planted bug that a campaign has to notice, and the seeds that it is looked for with.
    Canary = 8,
    /// What a guided campaign makes of a seed.
    Guide = 9,
    /// What clients ask that no history has a word for.
    Questions = 10,
    /// Latency of the object store, what it does to calls.
    Objects = 11,
}

/// The streams of a root seed.
#[derive(Clone, Copy, Debug)]
pub struct SimSeeds(pub u64);

impl SimSeeds {
    /// The generator of a stream.
    #[must_use]
    pub fn stream(self, stream: Stream) -> Rng {
        // Two rounds of an invertible mix keep neighbouring roots and streams apart.
        let mut root = Rng::from_seed(self.0);
        let mixed = root.seed() ^ (stream as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Rng::from_seed(Rng::from_seed(mixed).seed())
    }

    /// The generator of what has this name in a stream: it is the same whatever other names there are, and
    /// however much is drawn for them.
    #[must_use]
    pub fn named(self, stream: Stream, name: &str) -> Rng {
        let seed = self.stream(stream).seed();
        Rng::from_seed(xxh3_64_with_seed(name.as_bytes(), seed))
    }
}
